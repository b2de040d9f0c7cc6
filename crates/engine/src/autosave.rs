//! When to save, as a state machine: it is told what happened and says when the next save is due.
//! It knows no clock, no file and no transaction; nothing is due while its owner does not ask.
//!
//! A commit makes a save due after a quiet time, which further commits extend up to a longest
//! delay. A save that failed is due again after 1, 2, 4 … times the quiet time, or a quiet time
//! after a new commit, whichever comes first.

/// The times of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) is_disabled: bool,
    pub(crate) debounce_ms: u64,
    pub(crate) max_delay_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Autosave {
    policy: Policy,
    waiting: Option<Waiting>,
    failures: u32,
}

/// Something is unsaved that no running save contains.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    first_ms: u64,
    due_ms: u64,
}

impl Autosave {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, waiting: None, failures: 0 }
    }

    /// Something was committed; `true` if that schedules a save where none was.
    pub(crate) fn committed(&mut self, now_ms: u64) -> bool {
        let Policy { debounce_ms, max_delay_ms, .. } = self.policy;
        let quiet = now_ms.saturating_add(debounce_ms);
        match &mut self.waiting {
            None => {
                let due_ms = quiet.min(now_ms.saturating_add(max_delay_ms));
                self.waiting = Some(Waiting { first_ms: now_ms, due_ms });
                !self.policy.is_disabled
            }
            Some(waiting) if self.failures > 0 => {
                waiting.due_ms = waiting.due_ms.min(quiet);
                false
            }
            Some(waiting) => {
                waiting.due_ms = quiet.min(waiting.first_ms.saturating_add(max_delay_ms));
                false
            }
        }
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.policy.is_disabled
    }

    /// When the next save is due.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let waiting = self.waiting.filter(|_| !self.policy.is_disabled);
        waiting.map(|waiting| waiting.due_ms)
    }

    /// A save of everything began.
    pub(crate) fn started(&mut self) {
        self.waiting = None;
    }

    /// It succeeded.
    pub(crate) fn saved(&mut self) {
        self.failures = 0;
    }

    /// It failed: what it was to save waits again.
    pub(crate) fn failed(&mut self, now_ms: u64) {
        let factor = 1_u64 << self.failures.min(32);
        self.failures += 1;
        let pause = self.policy.debounce_ms.max(1).saturating_mul(factor).min(LONGEST_PAUSE_MS);
        let retry = now_ms.saturating_add(pause);
        let waiting = self.waiting.get_or_insert(Waiting { first_ms: now_ms, due_ms: retry });
        waiting.due_ms = waiting.due_ms.min(retry);
    }
}

/// However often it failed, it is tried this often.
const LONGEST_PAUSE_MS: u64 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Autosave {
        Autosave::new(Policy { is_disabled: false, debounce_ms: 300, max_delay_ms: 2_000 })
    }

    #[test]
    fn commits_put_a_save_off_up_to_the_longest_delay() {
        let mut autosave = machine();
        assert_eq!(autosave.due_ms(), None);
        assert!(autosave.committed(1_000));
        assert_eq!(autosave.due_ms(), Some(1_300));
        assert!(!autosave.committed(1_299));
        assert_eq!(autosave.due_ms(), Some(1_599));
        for now in (1_500..4_000).step_by(100) {
            autosave.committed(now);
            assert_eq!(autosave.due_ms(), Some((now + 300).min(3_000)));
        }
    }

    #[test]
    fn a_commit_during_a_save_leads_to_one_more() {
        let mut autosave = machine();
        autosave.committed(0);
        autosave.started();
        assert_eq!(autosave.due_ms(), None);
        assert!(autosave.committed(310));
        assert!(!autosave.committed(320));
        autosave.saved();
        assert_eq!(autosave.due_ms(), Some(620));
        autosave.started();
        autosave.saved();
        assert_eq!(autosave.due_ms(), None);
    }

    #[test]
    fn failures_are_retried_less_and_less_often() {
        let mut autosave = machine();
        autosave.committed(0);
        let mut now = 300;
        for pause in [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 30_000, 30_000] {
            autosave.started();
            autosave.failed(now);
            assert_eq!(autosave.due_ms(), Some(now + pause));
            now += pause;
        }
        for _ in 0..100 {
            autosave.started();
            autosave.failed(now);
        }
        assert!(!autosave.committed(now));
        assert_eq!(autosave.due_ms(), Some(now + 300), "a new commit does not wait for the pause");
        autosave.started();
        autosave.saved();
        autosave.committed(now);
        autosave.started();
        autosave.failed(now);
        assert_eq!(autosave.due_ms(), Some(now + 300), "a success forgets the failures");
    }

    #[test]
    fn a_commit_during_a_save_that_fails_is_not_forgotten() {
        let mut autosave = machine();
        autosave.committed(0);
        autosave.started();
        autosave.committed(310);
        autosave.failed(400);
        assert_eq!(autosave.due_ms(), Some(610));
    }

    #[test]
    fn disabled_is_never_due() {
        let mut autosave =
            Autosave::new(Policy { is_disabled: true, debounce_ms: 1, max_delay_ms: 1 });
        assert!(!autosave.committed(0));
        assert_eq!(autosave.due_ms(), None);
    }

    #[test]
    fn a_longest_delay_below_the_quiet_time_counts() {
        let policy = Policy { is_disabled: false, debounce_ms: 1_000, max_delay_ms: 400 };
        let mut autosave = Autosave::new(policy);
        autosave.committed(0);
        assert_eq!(autosave.due_ms(), Some(400));
    }
}
