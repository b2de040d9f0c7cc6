//! Time and randomness of the operating system, and what a host says while a statement runs.

use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The machine this process runs on, and the line to one host.
pub(crate) struct Machine(pub(crate) Arc<dyn Line>);

/// What is known of a host without waiting for it. Asked by the session's own thread, in the middle
/// of a statement.
pub(crate) trait Line: Send + Sync + 'static {
    /// Whether a `cancel` for this request has arrived and was not taken in yet, or the host is gone
    /// and nobody can be answered.
    fn wants_stop(&self, request: u32) -> bool;
}

impl lix_engine_core::Platform for Machine {
    fn unix_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        monotonic_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        random(buffer);
    }

    fn hears_cancels(&self) -> bool {
        true
    }

    fn is_cancelled(&self, request: u32) -> bool {
        self.0.wants_stop(request)
    }
}

/// Fills the buffer with random bytes.
pub(crate) fn random(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the system has randomness");
}

/// The clock of [`lix_engine_core::Platform::monotonic_ms`].
pub(crate) fn monotonic_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // A deadline of 0 means none, so the clock starts at 1.
    START.elapsed().as_millis() as u64 + 1
}
