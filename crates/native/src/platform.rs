//! Time and randomness of the operating system.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The machine this process runs on.
pub(crate) struct Machine;

impl lix_engine_core::Platform for Machine {
    fn unix_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        // A deadline of 0 means none, so the clock starts at 1.
        START.elapsed().as_millis() as u64 + 1
    }

    fn random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the system has randomness");
    }
}
