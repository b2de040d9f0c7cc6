//! The required sets: which cases an implementation of a minor has to pass.
//!
//! A set is open until its minor is released, and then never changes: cases that are written later for the same minor run
//! and are reported, but nobody's build turns red because the suite grew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::case::Loaded;
use crate::case::schema::case::Level;
use crate::suite::Suite;

/// The file of a minor, `conformance/requirements/1.N.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredSet {
    /// "1.0".
    pub minor: String,
    /// When it was released, `YYYY-MM-DD`; null while the set is open.
    pub released: Option<String>,
    /// The ids of its REQUIRED cases, sorted.
    pub cases: BTreeSet<String>,
}

impl RequiredSet {
    /// Reads the set of a minor.
    pub fn read(suite: &Suite, minor: &str) -> Result<RequiredSet, String> {
        let name = file(minor);
        let text = suite.file(&name)?;
        let set: RequiredSet =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", name.display()))?;
        if set.minor != minor {
            return Err(format!("{} says that it is {}", name.display(), set.minor));
        }
        Ok(set)
    }

    /// What the set would be if it were made today.
    pub fn of(all: &[Loaded], minor: &str) -> RequiredSet {
        let cases = all
            .iter()
            .filter(|loaded| {
                let since = if loaded.case.since.is_empty() { "1.0" } else { &loaded.case.since };
                loaded.case.level() == Level::Required && since == minor
            })
            .map(|loaded| loaded.id.clone())
            .collect();
        RequiredSet { minor: minor.to_owned(), released: None, cases }
    }

    /// What is wrong with it, by the cases that there are; empty if nothing is.
    pub fn faults(&self, all: &[Loaded]) -> Vec<String> {
        let today = RequiredSet::of(all, &self.minor).cases;
        let mut faults: Vec<String> = self
            .cases
            .difference(&today)
            .map(|id| match &self.released {
                Some(date) => format!("{id} has been required since {date} and cannot go"),
                None => format!("{id} is listed and is no REQUIRED case"),
            })
            .collect();
        if self.released.is_none() {
            faults.extend(today.difference(&self.cases).map(|id| format!("{id} is not listed")));
        }
        faults
    }

    /// As the file is written.
    pub fn to_text(&self) -> String {
        format!("{}\n", serde_json::to_string_pretty(self).expect("a set has a JSON form"))
    }

    /// The cases that count in a run; `None` while the set is open, when all of them do.
    pub fn counting(self) -> Option<BTreeSet<String>> {
        self.released.is_some().then_some(self.cases)
    }
}

/// The file of a minor, below `conformance`.
pub fn file(minor: &str) -> PathBuf {
    Path::new("requirements").join(format!("{minor}.json"))
}

/// The minor that is being written.
pub const CURRENT: &str = "1.0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;

    fn cases() -> Vec<Loaded> {
        case::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")).unwrap()
    }

    #[test]
    fn an_open_set_is_what_there_is() {
        let all = cases();
        let mut set = RequiredSet::of(&all, "1.0");
        assert!(set.faults(&all).is_empty());
        assert_eq!(set.clone().counting(), None, "all count");
        let id = all[0].id.clone();
        set.cases.remove(&id);
        assert_eq!(set.faults(&all), [format!("{id} is not listed")]);
        set.cases.insert("a/gone".to_owned());
        assert!(set.faults(&all)[0].contains("a/gone is listed"));
    }

    #[test]
    fn a_released_set_only_keeps() {
        let all = cases();
        let mut set = RequiredSet::of(&all, "1.0");
        set.released = Some("2027-01-01".to_owned());
        set.cases.remove(&all[0].id);
        assert!(set.faults(&all).is_empty(), "a case written later does not count");
        assert!(!set.clone().counting().unwrap().contains(&all[0].id));
        set.cases.insert("a/gone".to_owned());
        assert!(set.faults(&all)[0].contains("cannot go"));
    }

    #[test]
    fn its_text_is_read_back() {
        let set = RequiredSet::of(&cases(), "1.0");
        assert_eq!(serde_json::from_str::<RequiredSet>(&set.to_text()).unwrap(), set);
    }
}
