//! The known-failure list of an implementation: what is allowed to fail, why, and when that has to be looked at again.
//!
//! A list cannot hide anything by accident: an entry that passes, matches nothing, has no reason, is past its date or is
//! wider than it says is itself a failure.

use crate::glob;

/// A parsed list. Faults found while reading are kept and make the run red.
#[derive(Debug, Default)]
pub struct KnownFailures {
    /// The entries, in file order.
    pub entries: Vec<Entry>,
    faults: Vec<Fault>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Line number, from 1.
    pub line: usize,
    /// Pattern over case ids.
    pub pattern: String,
    /// What is allowed.
    pub state: State,
    /// Why.
    pub reason: String,
    wide: bool,
}

/// What an entry allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The case runs and has to fail.
    Fail,
    /// The case runs and may fail.
    Flaky,
    /// The case does not run.
    Skip,
}

/// Something wrong with the list itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line number, from 1.
    pub line: usize,
    /// The entry's pattern, or the line.
    pub pattern: String,
    /// What is wrong.
    pub message: String,
}

/// What a case did, as far as the list is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed<'a> {
    /// Every expectation held.
    Pass,
    /// One did not; if an unexpected error answer was the cause, its "CODE/REASON".
    Fail(Option<&'a str>),
    /// The engine died or the time ran out.
    CrashOrTimeout,
}

/// What that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// A pass.
    Pass,
    /// Listed.
    Known,
    /// The run is red; why, if the list is the cause.
    Red(Option<String>),
}

impl KnownFailures {
    /// Reads a list. `today` is `YYYY-MM-DD`.
    pub fn parse(text: &str, today: &str) -> KnownFailures {
        let mut list = KnownFailures::default();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let mut words = trimmed.split_whitespace();
            let pattern = words.next().unwrap_or_default().to_owned();
            let state = words.next();
            let rest = words.collect::<Vec<_>>().join(" ");
            let mut fault = |message: String| {
                list.faults.push(Fault { line, pattern: pattern.clone(), message });
            };
            let state = match state {
                Some("fail") => State::Fail,
                Some("flaky") => State::Flaky,
                Some("skip") => State::Skip,
                other => {
                    fault(format!(
                        "the state is {}, expected fail, flaky or skip",
                        other.unwrap_or("missing")
                    ));
                    continue;
                }
            };
            let (reason, wide) = match rest.strip_suffix("# wide") {
                Some(reason) => (reason.trim_end().to_owned(), true),
                None => (rest, false),
            };
            if reason.is_empty() {
                fault("the reason is missing".to_owned());
            }
            if let Some(date) = until(&reason)
                && date < today
            {
                fault(format!("the entry ended on {date}"));
            }
            list.entries.push(Entry { line, pattern, state, reason, wide });
        }
        list
    }

    /// The entry for a case: the last one that matches.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| glob::selects(&entry.pattern, id))
    }

    /// What is wrong with the list, given every id of the suite (not only the selected ones).
    pub fn faults<'a>(&self, ids: impl Iterator<Item = &'a str> + Clone) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        for entry in &self.entries {
            let count = ids.clone().filter(|id| glob::selects(&entry.pattern, id)).count();
            let message = if count == 0 {
                "the pattern matches nothing".to_owned()
            } else if count > WIDE && !entry.wide {
                format!("the pattern matches {count} cases; more than {WIDE} need \"# wide\"")
            } else {
                continue;
            };
            faults.push(Fault { line: entry.line, pattern: entry.pattern.clone(), message });
        }
        faults.sort_by_key(|fault| fault.line);
        faults
    }
}

/// The table of the manual: observed against listed.
pub fn judge(observed: Observed<'_>, entry: Option<&Entry>) -> Judgement {
    let Some(entry) = entry else {
        return match observed {
            Observed::Pass => Judgement::Pass,
            Observed::Fail(_) | Observed::CrashOrTimeout => Judgement::Red(None),
        };
    };
    match (observed, entry.state) {
        (Observed::Pass, State::Fail) => Judgement::Red(Some(format!(
            "stale: the case passes; delete line {} of the known failures ({})",
            entry.line, entry.pattern
        ))),
        (Observed::Pass, State::Flaky | State::Skip) => Judgement::Pass,
        (Observed::Fail(error), State::Fail) => match promised_error(&entry.reason) {
            Some(promised) if error != Some(promised) => Judgement::Red(Some(format!(
                "line {} of the known failures promises {promised}, the case shows {}",
                entry.line,
                error.unwrap_or("no error")
            ))),
            _ => Judgement::Known,
        },
        (Observed::Fail(_), State::Flaky | State::Skip) => Judgement::Known,
        (Observed::CrashOrTimeout, State::Skip) => Judgement::Known,
        (Observed::CrashOrTimeout, State::Fail | State::Flaky) => Judgement::Red(Some(format!(
            "crashes and time-outs are never known failures; line {} has to say skip",
            entry.line
        ))),
    }
}

/// `CODE/REASON` at the start of a reason, if there is one.
fn promised_error(reason: &str) -> Option<&str> {
    let word = reason.split([' ', ':']).next()?;
    let (code, name) = word.split_once('/')?;
    let upper = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    (upper(code) && upper(name)).then_some(word)
}

/// The date after `until`.
fn until(reason: &str) -> Option<&str> {
    let (_, after) = reason.rsplit_once("until ")?;
    let date = after.get(..10)?;
    let shape = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    shape.then_some(date)
}

const WIDE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2026-11-22";

    fn only(line: &str) -> Entry {
        let list = KnownFailures::parse(line, TODAY);
        assert_eq!(list.faults, [], "{line}");
        list.entries[0].clone()
    }

    fn red(judgement: &Judgement) -> bool {
        matches!(judgement, Judgement::Red(_))
    }

    #[test]
    fn row_pass() {
        assert_eq!(judge(Observed::Pass, None), Judgement::Pass);
        let stale = judge(Observed::Pass, Some(&only("a/b fail issue 1")));
        assert!(matches!(stale, Judgement::Red(Some(why)) if why.contains("stale")));
        assert_eq!(judge(Observed::Pass, Some(&only("a/b flaky issue 1"))), Judgement::Pass);
    }

    #[test]
    fn row_fail() {
        assert_eq!(judge(Observed::Fail(None), None), Judgement::Red(None));
        assert_eq!(judge(Observed::Fail(None), Some(&only("a/b fail issue 1"))), Judgement::Known);
        assert_eq!(judge(Observed::Fail(None), Some(&only("a/b flaky issue 1"))), Judgement::Known);
    }

    #[test]
    fn row_fail_with_a_promised_error() {
        let entry = only("a/b  fail  INVALID/SQL_ERROR: driver cuts at NUL");
        assert_eq!(
            judge(Observed::Fail(Some("INVALID/SQL_ERROR")), Some(&entry)),
            Judgement::Known
        );
        assert!(red(&judge(Observed::Fail(Some("INTERNAL/ENGINE_DEFECT")), Some(&entry))));
        assert!(red(&judge(Observed::Fail(None), Some(&entry))));
    }

    #[test]
    fn row_crash() {
        assert_eq!(judge(Observed::CrashOrTimeout, None), Judgement::Red(None));
        assert!(red(&judge(Observed::CrashOrTimeout, Some(&only("a/b fail issue 1")))));
        assert!(red(&judge(Observed::CrashOrTimeout, Some(&only("a/b flaky issue 1")))));
    }

    #[test]
    fn row_matches_nothing() {
        for state in ["fail", "flaky", "skip"] {
            let list = KnownFailures::parse(&format!("a/x {state} issue 1"), TODAY);
            assert_eq!(list.faults(["a/b"].into_iter()).len(), 1, "{state}");
            assert_eq!(list.faults(["a/x"].into_iter()).len(), 0, "{state}");
        }
    }

    #[test]
    fn a_wide_pattern_says_so() {
        let ids: Vec<String> = (0..21).map(|n| format!("a/c{n}")).collect();
        let faults = |line: &str, count: usize| {
            let list = KnownFailures::parse(line, TODAY);
            list.faults(ids[..count].iter().map(String::as_str)).len()
        };
        assert_eq!(faults("a/** skip later", 20), 0);
        assert_eq!(faults("a/** skip later", 21), 1);
        assert_eq!(faults("a/** skip later # wide", 21), 0);
    }

    #[test]
    fn an_entry_needs_state_reason_and_a_living_date() {
        for (line, message) in [
            ("a/b", "state is missing"),
            ("a/b broken why", "state is broken"),
            ("a/b fail", "reason is missing"),
            ("a/b skip # wide", "reason is missing"),
            ("a/b flaky issue 57, until 2026-11-21", "ended on 2026-11-21"),
        ] {
            let list = KnownFailures::parse(line, TODAY);
            assert_eq!(list.faults.len(), 1, "{line}");
            assert!(list.faults[0].message.contains(message), "{:?}", list.faults);
        }
        only("a/b flaky issue 57, until 2026-11-22");
    }

    #[test]
    fn comments_are_no_entries_and_the_last_match_wins() {
        let list = KnownFailures::parse("# all\n\na/** skip later\na/b fail issue 2\n", TODAY);
        assert_eq!(list.entry("a/b").map(|e| e.line), Some(4));
        assert_eq!(list.entry("a/c").map(|e| e.state), Some(State::Skip));
        assert_eq!(list.entry("b/c"), None);
    }
}
