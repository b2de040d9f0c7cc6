//! Mistakes that can be switched on, to show that the crash simulator notices them. Without the
//! feature `mutants` none of them is in the program.

/// A mistake in the way a store saves or recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Recovery believes every checksum.
    NoChecksum = 1,
    /// A record is flushed, and its save acknowledged, before the blocks it names are written.
    RecordBeforePages,
    /// Nothing is flushed.
    NoFlush,
    /// The header is written before what it points at is flushed.
    EarlySwitch,
    /// Blocks that a save replaces are free while it is still being written.
    EarlyReuse,
    /// The file is cut off before the blocks that were moved to its front are durable there.
    EarlyTrim,
    /// Both header slots are overwritten at once.
    OneHeader,
    /// What a dead process left unflushed is built upon without a flush.
    TrustRecovered,
    /// A save whose header may or may not be stored counts as not stored.
    ForgetSwitch,
}

#[cfg(not(feature = "mutants"))]
pub(crate) const fn acts(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub(crate) use enabled::acts;
#[cfg(feature = "mutants")]
pub use enabled::{MUTANTS, switch_on_mutant};

#[cfg(feature = "mutants")]
mod enabled {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    /// The names of all mistakes.
    pub const MUTANTS: &[&str] = &[
        "no-checksum",
        "record-before-pages",
        "no-flush",
        "early-switch",
        "early-reuse",
        "early-trim",
        "one-header",
        "trust-recovered",
        "forget-switch",
    ];

    /// Makes every store of this process commit the mistake of this name; `false` if there is none.
    pub fn switch_on_mutant(name: &str) -> bool {
        match MUTANTS.iter().position(|known| *known == name) {
            Some(index) => ACTIVE.store(index as u8 + 1, Ordering::Relaxed),
            None => return false,
        }
        true
    }

    pub(crate) fn acts(mutant: Mutant) -> bool {
        ACTIVE.load(Ordering::Relaxed) == mutant as u8
    }

    static ACTIVE: AtomicU8 = AtomicU8::new(0);
}
