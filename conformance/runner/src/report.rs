//! What a run looks like to people, to CI systems and to programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::schema::{CaseResult, Outcome, Report, Verdict};
use crate::case::{from_json, to_json_text};
use crate::run::CHECKS;
use crate::trace::shorten;

/// The report for people. The last line is `N passed, N failed, N skipped`.
pub fn human(report: &Report) -> String {
    let mut out = String::new();
    let engine = match report.engine_version.as_str() {
        "" => "unknown version".to_owned(),
        version => format!("version {version}"),
    };
    let _ = match is_about_a_host(report) {
        true => writeln!(
            out,
            "{}: {engine}, features {}",
            report.implementation,
            report.capabilities.join(" ")
        ),
        false => writeln!(
            out,
            "{} over {}: {engine}, SQLite {}, {} clock, storage {}, capabilities {}",
            report.implementation,
            report.transport,
            report.sqlite_version,
            report.clock,
            report.storage,
            report.capabilities.join(" ")
        ),
    };
    if report.shuffle_seed != 0 {
        let _ = writeln!(out, "in the order of --shuffle {}", report.shuffle_seed);
    }

    for (suite, results) in by_suite(report) {
        let count = |wanted: &dyn Fn(&CaseResult) -> bool| {
            results.iter().filter(|result| wanted(result)).count()
        };
        let parts = [
            (count(&|r| r.verdict() == Verdict::Green && r.outcome() == Outcome::Pass), "passed"),
            (count(&|r| r.verdict() == Verdict::Red), "FAILED"),
            (count(&|r| r.verdict() == Verdict::Known), "known"),
            (count(&|r| r.verdict() == Verdict::Advisory), "failed, not required"),
            (
                count(&|r| r.outcome() == Outcome::NotApplicable && r.verdict() != Verdict::Red),
                "not applicable",
            ),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let ms: u64 = results.iter().map(|result| result.duration_ms).sum();
        let _ = writeln!(out, "  {suite:32} {}  ({ms} ms)", parts.join(", "));
    }

    let groups = [
        (Verdict::Red, "Failures"),
        (Verdict::Advisory, "Failures that are not required to pass"),
        (Verdict::Known, "Known failures"),
    ];
    for (verdict, heading) in groups {
        let members: Vec<&CaseResult> =
            report.results.iter().filter(|r| r.verdict() == verdict).collect();
        if members.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{heading}");
        for result in members {
            if verdict == Verdict::Known {
                let why = if result.outcome() == Outcome::Skipped { "not run" } else { "failed" };
                let _ = writeln!(out, "  {} {why}, listed as {}", result.id, result.known_failure);
            } else {
                failure(&mut out, report, result);
            }
        }
    }
    if !report.list_faults.is_empty() {
        let _ = writeln!(out, "\nThe known-failure list");
        for fault in &report.list_faults {
            let _ = writeln!(out, "  line {}, {}: {}", fault.line, fault.pattern, fault.message);
        }
    }

    let totals = report.totals.unwrap_or_default();
    let not_run = [Outcome::NotApplicable, Outcome::Skipped];
    let is_check = |id: &str| CHECKS.contains(&id);
    let ran = report
        .results
        .iter()
        .filter(|result| !not_run.contains(&result.outcome()) && !is_check(&result.id))
        .count();
    // Of an engine that keeps nothing it would read like a failure.
    let stored = match report.capabilities.iter().any(|capability| capability == "PERSISTENCE") {
        true => format!("; {} passed on storage {}", totals.stored, report.storage),
        false => String::new(),
    };
    let _ = writeln!(
        out,
        "\n{}: {ran} cases ran in {} ms, {} not applicable{stored}",
        report.implementation, report.duration_ms, totals.not_applicable
    );
    let _ = writeln!(
        out,
        "{} passed, {} failed, {} skipped",
        totals.passed, totals.failed, totals.skipped
    );
    out
}

/// JUnit: one `testsuite` per case file.
pub fn junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (suite, results) in by_suite(report) {
        let count = |wanted: &dyn Fn(&CaseResult) -> bool| {
            results.iter().filter(|result| wanted(result)).count()
        };
        let red = |result: &CaseResult| result.verdict() == Verdict::Red;
        let broke =
            |result: &CaseResult| matches!(result.outcome(), Outcome::Crash | Outcome::Timeout);
        let ms: u64 = results.iter().map(|result| result.duration_ms).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\">",
            escape(&suite),
            results.len(),
            count(&|r| red(r) && !broke(r)),
            count(&|r| red(r) && broke(r)),
            count(&|r| !red(r) && r.outcome() != Outcome::Pass),
            seconds(ms)
        );
        out.push_str("    <properties>\n");
        for (name, value) in [
            ("implementation", report.implementation.clone()),
            ("version", report.engine_version.clone()),
            ("minor", report.minor.to_string()),
            ("capabilities", report.capabilities.join(" ")),
            ("transport", report.transport.clone()),
            ("clock", report.clock.clone()),
        ] {
            let _ = writeln!(out, "      <property name=\"{name}\" value=\"{}\"/>", escape(&value));
        }
        out.push_str("    </properties>\n");
        for result in results {
            let name = result.id.rsplit('/').next().unwrap_or(&result.id);
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
                escape(&format!("{}.{}", report.implementation, suite.replace('/', "."))),
                escape(name),
                seconds(result.duration_ms)
            );
            let text = match result.step.as_str() {
                "" => result.message.clone(),
                step => format!("{step}\n{}", result.message),
            };
            let first = text.lines().next().unwrap_or_default();
            let element = match (red(result), broke(result), result.outcome()) {
                (true, true, _) => Some("error"),
                (true, false, _) => Some("failure"),
                (false, _, Outcome::Pass) => None,
                (false, ..) => Some("skipped"),
            };
            match element {
                None => out.push_str("/>\n"),
                Some("skipped") => {
                    let why = match result.known_failure.as_str() {
                        "" => text.clone(),
                        pattern => format!("known failure {pattern}: {text}"),
                    };
                    let _ = writeln!(out, "><skipped message=\"{}\"/></testcase>", escape(&why));
                }
                Some(element) => {
                    let _ = writeln!(
                        out,
                        "><{element} message=\"{}\">{}</{element}><system-err>{}</system-err></testcase>",
                        escape(first),
                        escape(&text),
                        escape(&result.stderr)
                    );
                }
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// JSON, by `report.proto`.
pub fn json(report: &Report) -> String {
    to_json_text("Report", report)
}

/// Reads what `json` wrote.
pub fn read(path: &Path) -> Result<Report, String> {
    let complain = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| complain(error.to_string()))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| complain(error.to_string()))?;
    from_json("Report", &json).map_err(complain)
}

/// Commands that GitHub turns into annotations: one for each failure. `cases` is the folder of the case files inside of
/// the repository that is checked, if it is there.
pub fn github(report: &Report, cases: Option<&Path>) -> String {
    let mut out = String::new();
    for result in &report.results {
        let command = match result.verdict() {
            Verdict::Red => "error",
            Verdict::Advisory => "warning",
            _ => continue,
        };
        let mut properties = String::new();
        if let (Some(cases), Some((suite, _))) = (cases, result.id.rsplit_once('/')) {
            let file = cases.join(suite).with_extension("json");
            if file.is_file() {
                properties = format!("file={},", github_property(&file.to_string_lossy()));
            }
        }
        let title = format!("{}: {}", report.implementation, result.id);
        let at = match result.step.as_str() {
            "" => String::new(),
            step => format!("at {step}\n"),
        };
        let _ = writeln!(
            out,
            "::{command} {properties}title={}::{}",
            github_property(&title),
            github_data(&format!("{at}{}", shorten(&result.message, 4000)))
        );
    }
    for fault in &report.list_faults {
        let text = format!("line {}, {}: {}", fault.line, fault.pattern, fault.message);
        let _ = writeln!(
            out,
            "::error title={}::{}",
            github_property(&format!("{}: known-failure list", report.implementation)),
            github_data(&text)
        );
    }
    out
}

fn is_about_a_host(report: &Report) -> bool {
    ["host", "pair"].contains(&report.mode.as_str())
}

fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}

fn failure(out: &mut String, report: &Report, result: &CaseResult) {
    let what = match result.outcome() {
        Outcome::Crash => " (crash)",
        Outcome::Timeout => " (time-out)",
        _ => "",
    };
    let _ = writeln!(out, "\n  {}{what}", result.id);
    if !result.step.is_empty() {
        let _ = writeln!(out, "    at {}", result.step);
    }
    for line in result.message.lines() {
        let _ = writeln!(out, "    {}", shorten(line, 2000));
    }
    let mut part = |heading: &str, lines: &[&str]| {
        if !lines.is_empty() {
            let _ = writeln!(out, "    {heading}:");
            for line in lines {
                let _ = writeln!(out, "      {line}");
            }
        }
    };
    let breaches: Vec<&str> = result.breaches.iter().take(5).map(String::as_str).collect();
    let frames: Vec<&str> = result.frames.iter().map(String::as_str).collect();
    let stderr: Vec<&str> = result.stderr.trim().lines().collect();
    part("rules broken on the way", &breaches);
    part("last frames", &frames);
    part("stderr", &stderr[stderr.len().saturating_sub(20)..]);
    if !CHECKS.contains(&result.id.as_str()) {
        let _ = writeln!(
            out,
            "    again: conformance run --impl {} '{}'",
            if report.mode == "pair" { report.spec.clone() } else { quoted(&report.spec) },
            result.id
        );
    }
}

/// As a shell wants it.
pub fn quoted(spec: &str) -> String {
    if spec.contains(' ') { format!("'{spec}'") } else { spec.to_owned() }
}

/// Results by case file.
pub fn by_suite(report: &Report) -> BTreeMap<String, Vec<&CaseResult>> {
    let mut suites: BTreeMap<String, Vec<&CaseResult>> = BTreeMap::new();
    for result in &report.results {
        let suite = result.id.rsplit_once('/').map_or("", |(suite, _)| suite);
        suites.entry(suite.to_owned()).or_default().push(result);
    }
    suites
}

pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// XML text; characters that XML cannot hold become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if (c as u32) < 0x20 || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::schema::Totals;

    fn report() -> Report {
        let result = |id: &str, outcome: Outcome, verdict: Verdict| CaseResult {
            id: id.to_owned(),
            outcome: outcome as i32,
            verdict: verdict as i32,
            message: "rows:\n  expected [<a>]".to_owned(),
            ..CaseResult::default()
        };
        Report {
            implementation: "x".to_owned(),
            results: vec![
                result("a/b/one", Outcome::Pass, Verdict::Green),
                result("a/b/two", Outcome::Fail, Verdict::Red),
                result("c/three", Outcome::Timeout, Verdict::Red),
                result("c/four", Outcome::Skipped, Verdict::Known),
            ],
            totals: Some(Totals { passed: 1, failed: 2, skipped: 1, ..Totals::default() }),
            ..Report::default()
        }
    }

    #[test]
    fn the_closing_line_stands_alone() {
        let text = human(&report());
        assert_eq!(text.lines().last(), Some("1 passed, 2 failed, 1 skipped"));
        assert!(text.contains("c/three (time-out)") && text.contains("a/b/two\n"));
    }

    #[test]
    fn junit_tells_failures_from_errors() {
        let xml = junit(&report());
        assert!(xml.contains(
            "<testsuite name=\"a/b\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""
        ));
        assert!(xml.contains(
            "<testsuite name=\"c\" tests=\"2\" failures=\"0\" errors=\"1\" skipped=\"1\""
        ));
        assert!(xml.contains("expected [&lt;a&gt;]") && !xml.contains("[<a>]"));
    }

    #[test]
    fn json_follows_the_schema() {
        let parsed: serde_json::Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(parsed["results"][1]["outcome"], "OUTCOME_FAIL");
        assert_eq!(parsed["totals"]["failed"], 2);
    }

    #[test]
    fn annotations_are_one_line_each() {
        let text = github(&report(), None);
        assert_eq!(
            text.lines().next(),
            Some("::error title=x%3A a/b/two::rows:%0A  expected [<a>]")
        );
        assert_eq!(text.lines().count(), 2);
    }
}
