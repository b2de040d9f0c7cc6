//! For the rare code that no interrupt reaches: QuickJS asks for one between its own steps only, and
//! a single built-in function can be told to run for years.
//!
//! Guarantee: whoever waits for a plugin learns after a while that nothing comes. A thread cannot be
//! ended, so what ends is what somebody waits on: the process, or the connection.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Called from another thread, at most once.
pub(crate) type GiveUp = Arc<dyn Fn() + Send + Sync>;

/// Watches one realm, with a thread that sleeps until a call is overdue.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
enum Watched {
    Nothing { is_noticed: bool },
    Call { overdue: Instant },
    Gone,
}

impl Watchdog {
    pub(super) fn new(give_up: GiveUp) -> std::io::Result<Self> {
        let watched = Mutex::new(Watched::Nothing { is_noticed: false });
        let shared = Arc::new(Shared { watched, changed: Condvar::new() });
        let its = shared.clone();
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            if its.watch() {
                give_up();
            }
        })?;
        Ok(Self { shared })
    }

    /// A call begins that should be over after this time.
    pub(super) fn begin(&self, time: Duration) {
        let mut watched = self.shared.lock();
        let is_asleep = matches!(*watched, Watched::Nothing { is_noticed: true });
        *watched = Watched::Call { overdue: Instant::now() + time + time.max(LEAST_GRACE) };
        // Otherwise it looks by itself, at the latest when an earlier call would have been overdue.
        if is_asleep {
            self.shared.changed.notify_one();
        }
    }

    /// The call is over.
    pub(super) fn end(&self) {
        *self.shared.lock() = Watched::Nothing { is_noticed: false };
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.lock() = Watched::Gone;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// `true` if a call is overdue, `false` once there will be none.
    fn watch(&self) -> bool {
        let mut watched = self.lock();
        loop {
            watched = match *watched {
                Watched::Gone => return false,
                Watched::Nothing { .. } => {
                    *watched = Watched::Nothing { is_noticed: true };
                    self.changed.wait(watched).unwrap_or_else(PoisonError::into_inner)
                }
                Watched::Call { overdue } => {
                    let left = overdue.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    let waited = self.changed.wait_timeout(watched, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Interrupts come late when each step takes long. As long again as the call had, but at least this.
const LEAST_GRACE: Duration = Duration::from_secs(2);
