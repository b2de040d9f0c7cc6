//! Several reports together: the shards of a run, two runs, many implementations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::case::schema::{CaseResult, Outcome, Report, Verdict};
use crate::glob;
use crate::run::{CHECKS, WIRE, totals};

/// Profiles by name: the patterns of their cases.
pub type Profiles = BTreeMap<String, Vec<String>>;

/// Joins the reports of all shards of a run into the report the run would have had without them.
pub fn merge(shards: &[Report]) -> Result<Report, String> {
    let Some(first) = shards.first() else {
        return Err("there is nothing to merge".to_owned());
    };
    for other in &shards[1..] {
        for (what, a, b) in [
            ("implementations", &first.implementation, &other.implementation),
            ("versions", &first.engine_version, &other.engine_version),
            ("transports", &first.transport, &other.transport),
            ("modes", &first.mode, &other.mode),
        ] {
            if a != b {
                return Err(format!("these are shards of different {what}: {a} and {b}"));
            }
        }
        if first.capabilities != other.capabilities {
            return Err("the shards announced different capabilities".to_owned());
        }
    }
    all_shards(shards)?;

    let mut results: BTreeMap<String, CaseResult> = BTreeMap::new();
    for result in shards.iter().flat_map(|shard| &shard.results) {
        match results.get_mut(&result.id) {
            None => {
                results.insert(result.id.clone(), result.clone());
            }
            Some(seen) if CHECKS.contains(&result.id.as_str()) => join(seen, result),
            Some(_) => return Err(format!("{} is in two shards", result.id)),
        }
    }
    let mut list_faults = Vec::new();
    for fault in shards.iter().flat_map(|shard| &shard.list_faults) {
        if !list_faults.contains(fault) {
            list_faults.push(fault.clone());
        }
    }
    let results: Vec<CaseResult> = results.into_values().collect();
    Ok(Report {
        duration_ms: shards.iter().map(|shard| shard.duration_ms).sum(),
        shard: String::new(),
        totals: Some(totals(&results, &list_faults)),
        results,
        list_faults,
        ..first.clone()
    })
}

/// Each of `1/n` to `n/n` once.
fn all_shards(shards: &[Report]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for shard in shards {
        let (index, count): (usize, usize) = shard
            .shard
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)))
            .ok_or_else(|| {
                format!("{:?} is no shard; merge joins reports of run --shard I/N", shard.shard)
            })?;
        if count != shards.len() {
            return Err(format!("shard {} came with {} reports", shard.shard, shards.len()));
        }
        if !seen.insert(index) {
            return Err(format!("shard {} came twice", shard.shard));
        }
    }
    Ok(())
}

/// The checks on frames run in every shard; what any of them found counts.
fn join(seen: &mut CaseResult, other: &CaseResult) {
    if other.verdict() > seen.verdict() {
        let messages = [&other.message, &seen.message];
        let messages: Vec<&str> =
            messages.into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        *seen = CaseResult { message: messages.join("\n"), ..other.clone() };
    } else if !other.message.is_empty() {
        seen.message = [seen.message.as_str(), other.message.as_str()].join("\n");
    }
}

/// What changed between two runs.
#[derive(Debug, Default)]
pub struct Changes {
    /// Red now, and not before.
    pub broken: Vec<String>,
    /// Red before, and not now.
    pub mended: Vec<String>,
    /// Another outcome, neither of them red: id, before, after.
    pub other: Vec<(String, String, String)>,
    /// Only in the second run.
    pub added: Vec<String>,
    /// Only in the first.
    pub gone: Vec<String>,
}

/// Compares two runs case by case.
pub fn diff(before: &Report, after: &Report) -> Changes {
    let of = |report: &Report| -> BTreeMap<String, CaseResult> {
        report.results.iter().map(|result| (result.id.clone(), result.clone())).collect()
    };
    let (old, new) = (of(before), of(after));
    let red = |result: &CaseResult| result.verdict() == Verdict::Red;
    let mut changes = Changes::default();
    for (id, now) in &new {
        match old.get(id) {
            None => {
                changes.added.push(id.clone());
                if red(now) {
                    changes.broken.push(id.clone());
                }
            }
            Some(then) if red(now) && !red(then) => changes.broken.push(id.clone()),
            Some(then) if red(then) && !red(now) => changes.mended.push(id.clone()),
            Some(then) if then.outcome() != now.outcome() || then.verdict() != now.verdict() => {
                changes.other.push((id.clone(), says(then), says(now)));
            }
            Some(_) => {}
        }
    }
    changes.gone = old.into_keys().filter(|id| !new.contains_key(id)).collect();
    changes
}

impl Changes {
    /// For people.
    pub fn human(&self) -> String {
        let mut out = String::new();
        for (heading, ids) in [
            ("Fails now", &self.broken),
            ("Fails no more", &self.mended),
            ("New", &self.added),
            ("Gone", &self.gone),
        ] {
            if !ids.is_empty() {
                let _ = writeln!(out, "{heading}: {}", ids.len());
                ids.iter().for_each(|id| out.push_str(&format!("  {id}\n")));
            }
        }
        if !self.other.is_empty() {
            let _ = writeln!(out, "Changed: {}", self.other.len());
            for (id, then, now) in &self.other {
                let _ = writeln!(out, "  {id}: {then}, now {now}");
            }
        }
        if out.is_empty() { "No difference\n".to_owned() } else { out }
    }
}

/// An outcome and what it means, in words.
pub fn says(result: &CaseResult) -> String {
    let outcome = match result.outcome() {
        Outcome::Pass => "passed",
        Outcome::Fail => "failed",
        Outcome::Crash => "crashed",
        Outcome::Timeout => "ran out of time",
        Outcome::NotApplicable => "not applicable",
        Outcome::Skipped => "skipped",
        Outcome::Unspecified => "unknown",
    };
    match result.verdict() {
        Verdict::Known => format!("{outcome} as listed"),
        Verdict::Advisory => format!("{outcome}, not required"),
        _ => outcome.to_owned(),
    }
}

/// How an implementation did in a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Cases that passed.
    pub passed: usize,
    /// Red.
    pub failed: usize,
    /// Failed or not run, as listed.
    pub known: usize,
    /// Failed, and not required.
    pub advisory: usize,
    /// Cases that are not for it.
    pub not_applicable: usize,
}

impl Score {
    /// Counts results.
    pub fn of<'a>(results: impl Iterator<Item = &'a CaseResult>) -> Score {
        let mut score = Score::default();
        for result in results {
            match (result.verdict(), result.outcome()) {
                (Verdict::Red, _) => score.failed += 1,
                (_, Outcome::NotApplicable) => score.not_applicable += 1,
                (Verdict::Known, _) => score.known += 1,
                (Verdict::Advisory, _) => score.advisory += 1,
                _ => score.passed += 1,
            }
        }
        score
    }

    /// All that ran or should have.
    pub fn applicable(&self) -> usize {
        self.passed + self.failed + self.known + self.advisory
    }
}

/// The results of a report that belong to a profile.
pub fn in_profile<'a>(
    report: &'a Report,
    patterns: &'a [String],
) -> impl Iterator<Item = &'a CaseResult> {
    report
        .results
        .iter()
        .filter(|result| patterns.iter().any(|pattern| glob::selects(pattern, &result.id)))
}

/// The matrix of implementations and profiles, as Markdown.
pub fn table(reports: &[Report], profiles: &Profiles) -> String {
    let used: Vec<(&String, &Vec<String>)> = profiles
        .iter()
        .filter(|(_, patterns)| {
            reports.iter().any(|report| in_profile(report, patterns).next().is_some())
        })
        .collect();
    let mut out = String::from("| Implementation |");
    used.iter().for_each(|(name, _)| out.push_str(&format!(" {name} |")));
    out.push_str(" frames |\n|---|");
    used.iter().for_each(|_| out.push_str("---|"));
    out.push_str("---|\n");
    for report in reports {
        let _ = write!(out, "| {} |", report.implementation);
        for (_, patterns) in &used {
            let score = Score::of(in_profile(report, patterns));
            let _ = write!(out, " {} |", cell(&score));
        }
        let frames = report.results.iter().find(|result| result.id == WIRE);
        let _ = writeln!(
            out,
            " {} |",
            match frames.map(|result| result.verdict()) {
                Some(Verdict::Green) => "legal",
                Some(Verdict::Known) => "known faults",
                Some(_) => "**faults**",
                None => "",
            }
        );
    }
    out
}

fn cell(score: &Score) -> String {
    if score.applicable() == 0 {
        return if score.not_applicable > 0 { "n/a".to_owned() } else { String::new() };
    }
    let mut text = format!("{}/{}", score.passed, score.applicable());
    if score.failed > 0 {
        text = format!("**{text}**");
    }
    if score.known > 0 {
        text += &format!(" ({} known)", score.known);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::schema::{ListFault, Totals};

    fn result(id: &str, outcome: Outcome, verdict: Verdict) -> CaseResult {
        CaseResult {
            id: id.to_owned(),
            outcome: outcome as i32,
            verdict: verdict as i32,
            ..CaseResult::default()
        }
    }

    fn shard(shard: &str, results: Vec<CaseResult>) -> Report {
        Report { shard: shard.to_owned(), duration_ms: 5, results, ..Report::default() }
    }

    #[test]
    fn shards_become_one_report() {
        let mut first = shard(
            "1/2",
            vec![
                result("a/one", Outcome::Pass, Verdict::Green),
                result(WIRE, Outcome::Pass, Verdict::Green),
            ],
        );
        let mut second = shard(
            "2/2",
            vec![
                result("a/two", Outcome::Fail, Verdict::Red),
                result(WIRE, Outcome::Fail, Verdict::Red),
            ],
        );
        second.results[1].message = "a/two: width".to_owned();
        let fault = ListFault { line: 1, pattern: "x".to_owned(), message: "y".to_owned() };
        first.list_faults.push(fault.clone());
        second.list_faults.push(fault);
        let whole = merge(&[second.clone(), first.clone()]).unwrap();
        let ids: Vec<&str> = whole.results.iter().map(|result| result.id.as_str()).collect();
        assert_eq!(ids, ["a/one", "a/two", WIRE]);
        assert_eq!(whole.results[2].message, "a/two: width");
        assert_eq!(whole.list_faults.len(), 1);
        let expected = Totals { passed: 1, failed: 3, ..Totals::default() };
        assert_eq!((whole.totals, whole.duration_ms), (Some(expected), 10));
        assert_eq!(whole.shard, "");
    }

    #[test]
    fn what_is_no_set_of_shards_is_refused() {
        let part = |name: &str| shard(name, Vec::new());
        let why = |shards: &[Report]| merge(shards).unwrap_err();
        assert!(why(&[]).contains("nothing"));
        assert!(why(&[part("")]).contains("is no shard"));
        assert!(why(&[part("1/2")]).contains("came with 1"));
        assert!(why(&[part("1/2"), part("1/2")]).contains("twice"));
        let other = Report { implementation: "z".to_owned(), ..part("2/2") };
        assert!(why(&[part("1/2"), other]).contains("different implementations"));
        let both = |name| shard(name, vec![result("a/b", Outcome::Pass, Verdict::Green)]);
        assert!(why(&[both("1/2"), both("2/2")]).contains("in two shards"));
    }

    #[test]
    fn differences_are_sorted_by_what_they_mean() {
        use {Outcome::*, Verdict::*};
        let before = shard(
            "",
            vec![
                result("a", Pass, Green),
                result("b", Fail, Red),
                result("c", Fail, Known),
                result("d", Pass, Green),
                result("same", Pass, Green),
            ],
        );
        let after = shard(
            "",
            vec![
                result("a", Crash, Red),
                result("b", Pass, Green),
                result("c", Pass, Green),
                result("e", Fail, Red),
                result("same", Pass, Green),
            ],
        );
        let changes = diff(&before, &after);
        assert_eq!(changes.broken, ["a", "e"]);
        assert_eq!(changes.mended, ["b"]);
        assert_eq!(
            changes.other,
            [("c".to_owned(), "failed as listed".to_owned(), "passed".to_owned())]
        );
        assert_eq!((changes.added, changes.gone), (vec!["e".to_owned()], vec!["d".to_owned()]));
        assert_eq!(diff(&before, &before).human(), "No difference\n");
    }

    #[test]
    fn the_table_has_a_row_for_each_implementation() {
        let profiles: Profiles = [
            ("core".to_owned(), vec!["a/**".to_owned()]),
            ("lix".to_owned(), vec!["l/**".to_owned()]),
            ("none".to_owned(), vec!["n/**".to_owned()]),
        ]
        .into();
        let mut one = shard(
            "",
            vec![
                result("a/x", Outcome::Pass, Verdict::Green),
                result("a/y", Outcome::Fail, Verdict::Red),
                result("l/z@ESM", Outcome::NotApplicable, Verdict::Green),
                result(WIRE, Outcome::Pass, Verdict::Green),
            ],
        );
        one.implementation = "one".to_owned();
        assert_eq!(
            table(&[one], &profiles),
            "| Implementation | core | lix | frames |\n|---|---|---|---|\n| one | **1/2** | n/a | legal |\n"
        );
    }
}
