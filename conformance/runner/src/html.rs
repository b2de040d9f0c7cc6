//! The report as one page: a matrix of implementations and profiles, and behind every number its cases, down to the
//! failing step and its frames.
//!
//! The page loads nothing, runs no script, and reads well without colours: `<details>` opens what is looked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::case::schema::{CaseResult, Outcome, Report, Verdict};
use crate::compare::{Profiles, Score, in_profile, says};
use crate::report::quoted;
use crate::run::{CHECKS, WIRE};

/// The page for these reports.
pub fn page(reports: &[Report], profiles: &Profiles) -> String {
    let mut out = String::from(HEAD);
    out.push_str("<h1>Conformance with <code>lix.engine.v1</code></h1>\n");
    matrix(&mut out, reports, profiles);
    for (index, report) in reports.iter().enumerate() {
        implementation(&mut out, index, report, profiles);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn matrix(out: &mut String, reports: &[Report], profiles: &Profiles) {
    let used: Vec<(&String, &Vec<String>)> = profiles
        .iter()
        .filter(|(_, patterns)| {
            reports.iter().any(|report| in_profile(report, patterns).next().is_some())
        })
        .collect();
    out.push_str("<div class=\"wide\"><table class=\"matrix\"><thead><tr><th>Implementation</th>");
    for (name, _) in &used {
        let _ = write!(out, "<th>{}</th>", escape(name));
    }
    out.push_str("<th>frames</th></tr></thead>\n<tbody>\n");
    for (index, report) in reports.iter().enumerate() {
        let _ = write!(
            out,
            "<tr><th><a href=\"#i{index}\">{}</a><small>{}</small></th>",
            escape(&report.implementation),
            escape(&[report.transport.as_str(), report.engine_version.as_str()].join(" "))
        );
        for (name, patterns) in &used {
            let score = Score::of(in_profile(report, patterns));
            matrix_cell(out, &score, &format!("#i{index}-{name}"));
        }
        let frames = report.results.iter().find(|result| result.id == WIRE);
        let (class, text) = match frames.map(CaseResult::verdict) {
            Some(Verdict::Green) => ("good", "✓ legal"),
            Some(Verdict::Known) => ("known", "~ known faults"),
            Some(_) => ("bad", "✗ faults"),
            None => ("none", ""),
        };
        let _ = writeln!(out, "<td class=\"{class}\">{text}</td></tr>");
    }
    out.push_str("</tbody></table></div>\n");
    out.push_str(
        "<p class=\"legend\">passed of those that apply · <span class=\"good\">✓ all</span> · \
         <span class=\"known\">~ all but known failures</span> · <span class=\"bad\">✗ failures</span> · \
         – does not apply: the capability or the transport is not there</p>\n",
    );
}

fn matrix_cell(out: &mut String, score: &Score, link: &str) {
    if score.applicable() == 0 {
        let text = if score.not_applicable > 0 { "–" } else { "" };
        let _ = write!(out, "<td class=\"none\">{text}</td>");
        return;
    }
    let (class, sign) = match (score.failed, score.known + score.advisory) {
        (0, 0) => ("good", "✓"),
        (0, _) => ("known", "~"),
        _ => ("bad", "✗"),
    };
    let note = match (score.failed, score.known) {
        (0, 0) => String::new(),
        (0, known) => format!("<small>{known} known</small>"),
        (failed, _) => format!("<small>{failed} failed</small>"),
    };
    let _ = write!(
        out,
        "<td class=\"{class}\"><a href=\"{}\">{sign} {}/{}</a>{note}</td>",
        escape(link),
        score.passed,
        score.applicable()
    );
}

fn implementation(out: &mut String, index: usize, report: &Report, profiles: &Profiles) {
    let totals = report.totals.unwrap_or_default();
    let _ = writeln!(
        out,
        "<section id=\"i{index}\">\n<h2>{}</h2>\n<p>{} passed, {} failed, {} skipped, {} not applicable</p>",
        escape(&report.implementation),
        totals.passed,
        totals.failed,
        totals.skipped,
        totals.not_applicable
    );
    out.push_str("<dl>");
    for (name, value) in [
        ("Version", report.engine_version.clone()),
        ("SQLite", report.sqlite_version.clone()),
        ("Transport", report.transport.clone()),
        ("Clock", if report.mode == "engine" { report.clock.clone() } else { String::new() }),
        ("Storage", report.storage.clone()),
        (
            if report.mode == "engine" { "Capabilities" } else { "Features" },
            report.capabilities.join(" "),
        ),
        ("Duration", format!("{:.1} s", report.duration_ms as f64 / 1000.0)),
        ("Started with", report.spec.clone()),
    ] {
        if !value.is_empty() {
            let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
        }
    }
    out.push_str("</dl>\n");

    let red: Vec<&CaseResult> =
        report.results.iter().filter(|result| result.verdict() == Verdict::Red).collect();
    if !red.is_empty() || !report.list_faults.is_empty() {
        out.push_str("<h3>Failures</h3>\n");
        for fault in &report.list_faults {
            let _ = writeln!(
                out,
                "<p class=\"bad\">✗ known-failure list, line {}, <code>{}</code>: {}</p>",
                fault.line,
                escape(&fault.pattern),
                escape(&fault.message)
            );
        }
        for (nth, result) in red.iter().enumerate() {
            case(out, report, result, nth < OPEN);
        }
    }

    for (name, patterns) in profiles {
        let results: Vec<&CaseResult> = in_profile(report, patterns).collect();
        if !results.is_empty() {
            group(out, &format!("i{index}-{name}"), name, report, &results);
        }
    }
    let rest: Vec<&CaseResult> = report
        .results
        .iter()
        .filter(|result| {
            !profiles.values().flatten().any(|pattern| crate::glob::selects(pattern, &result.id))
        })
        .collect();
    if !rest.is_empty() {
        group(out, &format!("i{index}-other"), "checks and others", report, &rest);
    }
    out.push_str("</section>\n");
}

/// A profile; the link from the matrix leads inside, because that is what opens it. Its suites, and in them the cases that need words and the names of the others.
fn group(out: &mut String, id: &str, name: &str, report: &Report, results: &[&CaseResult]) {
    let score = Score::of(results.iter().copied());
    let _ = writeln!(
        out,
        "<details class=\"group\"><summary><b>{}</b> {}</summary><div id=\"{}\"></div>",
        escape(name),
        summary(&score),
        escape(id)
    );
    let mut suites: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for result in results {
        suites
            .entry(result.id.rsplit_once('/').map_or("", |(suite, _)| suite))
            .or_default()
            .push(result);
    }
    for (suite, results) in suites {
        let score = Score::of(results.iter().copied());
        let _ = writeln!(
            out,
            "<details class=\"suite\"><summary>{} {}</summary>",
            escape(suite),
            summary(&score)
        );
        let wordy = |result: &CaseResult| {
            result.outcome() != Outcome::Pass || result.verdict() != Verdict::Green
        };
        for result in results.iter().filter(|result| wordy(result)) {
            case(out, report, result, false);
        }
        let passed: Vec<String> = results
            .iter()
            .filter(|result| !wordy(result))
            .map(|result| {
                format!("<li>{}</li>", escape(result.id.rsplit('/').next().unwrap_or_default()))
            })
            .collect();
        if !passed.is_empty() {
            let _ = writeln!(out, "<ul class=\"passed\">{}</ul>", passed.concat());
        }
        out.push_str("</details>\n");
    }
    out.push_str("</details>\n");
}

fn summary(score: &Score) -> String {
    let mut parts = Vec::new();
    for (count, class, what) in [
        (score.failed, "bad", "✗ failed"),
        (score.known, "known", "~ known"),
        (score.advisory, "known", "~ failed, not required"),
        (score.passed, "good", "✓ passed"),
        (score.not_applicable, "none", "– not applicable"),
    ] {
        if count > 0 {
            let (sign, what) = what.split_once(' ').expect("a sign and words");
            parts.push(format!("<span class=\"{class}\">{sign} {count} {what}</span>"));
        }
    }
    parts.join(" ")
}

fn case(out: &mut String, report: &Report, result: &CaseResult, open: bool) {
    let (class, sign) = match (result.verdict(), result.outcome()) {
        (Verdict::Red, _) => ("bad", "✗"),
        (_, Outcome::NotApplicable) => ("none", "–"),
        (Verdict::Green, _) => ("good", "✓"),
        _ => ("known", "~"),
    };
    let _ = writeln!(
        out,
        "<details class=\"case\"{}><summary><span class=\"{class}\">{sign}</span> <code>{}</code> {}</summary>",
        if open { " open" } else { "" },
        escape(&result.id),
        escape(&says(result))
    );
    if !result.step.is_empty() {
        let _ = writeln!(out, "<p>at <code>{}</code></p>", escape(&result.step));
    }
    if !result.known_failure.is_empty() {
        let _ = writeln!(out, "<p>listed as <code>{}</code></p>", escape(&result.known_failure));
    }
    block(out, "", result.message.lines());
    block(out, "Rules broken on the way", result.breaches.iter().map(String::as_str));
    if !result.frames.is_empty() {
        out.push_str("<h4>Last frames: → to the engine, ← from it</h4>\n<pre class=\"frames\">");
        for line in &result.frames {
            let class = if line.starts_with('→') { "send" } else { "receive" };
            let _ = write!(out, "<span class=\"{class}\">{}</span>", escape(line));
        }
        out.push_str("</pre>\n");
    }
    block(out, "Standard error", result.stderr.trim().lines());
    if !result.spec.is_empty() {
        let rules: Vec<String> =
            result.spec.iter().map(|rule| format!("<code>{}</code>", escape(rule))).collect();
        let _ = writeln!(out, "<p>Rules: {}</p>", rules.join(" "));
    }
    let ran = !matches!(result.outcome(), Outcome::Pass | Outcome::NotApplicable);
    if ran && !CHECKS.contains(&result.id.as_str()) {
        let _ = writeln!(
            out,
            "<p>Again: <code>conformance run --impl {} '{}'</code></p>",
            escape(&if report.mode == "pair" { report.spec.clone() } else { quoted(&report.spec) }),
            escape(&result.id)
        );
    }
    out.push_str("</details>\n");
}

fn block<'a>(out: &mut String, heading: &str, lines: impl Iterator<Item = &'a str>) {
    let lines: Vec<String> =
        lines.take(LINES).map(|line| escape(&crate::trace::shorten(line, 2000))).collect();
    if lines.is_empty() {
        return;
    }
    if !heading.is_empty() {
        let _ = writeln!(out, "<h4>{heading}</h4>");
    }
    let _ = writeln!(out, "<pre>{}</pre>", lines.join("\n"));
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Failures shown open, for each implementation.
const OPEN: usize = 3;
/// Lines of a message or of stderr.
const LINES: usize = 60;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Conformance with lix.engine.v1</title>
<style>
:root { color-scheme: light dark; --good: light-dark(#17692f, #6fd58c); --bad: light-dark(#b3261e, #ff8a80);
  --known: light-dark(#805b00, #e6c15c); --dim: light-dark(#666, #9a9a9a); --line: light-dark(#ddd, #3a3a3a);
  --back: light-dark(#fff, #16181b); --box: light-dark(#f6f7f9, #1f2226) }
body { margin: 0; background: var(--back); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 88rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.5rem } h2 { margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.5rem }
h4 { margin: .6rem 0 .2rem; font-size: .85rem; color: var(--dim) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums }
th, td { border: 1px solid var(--line); padding: .35rem .5rem; text-align: left; vertical-align: top; white-space: nowrap }
thead th { background: var(--box) } tbody th { white-space: normal; min-width: 9rem }
small { display: block; font-weight: normal; color: var(--dim) }
a { color: inherit; text-decoration-color: var(--dim) }
td.good { background: color-mix(in srgb, var(--good) 10%, transparent) }
td.bad { background: color-mix(in srgb, var(--bad) 14%, transparent) }
td.known { background: color-mix(in srgb, var(--known) 12%, transparent) }
.good { color: var(--good) } .bad { color: var(--bad) } .known { color: var(--known) } .none, .legend { color: var(--dim) }
.legend { font-size: .85rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0 }
dt { color: var(--dim) } dd { margin: 0; overflow-wrap: anywhere }
summary { cursor: pointer; padding: .2rem 0 } summary span { margin-left: .6rem } .case summary span { margin: 0 .2rem }
.group, .case { border: 1px solid var(--line); border-radius: 6px; padding: .2rem .8rem; margin: .4rem 0 }
.suite { margin-left: .8rem }
.passed { columns: 18rem; font: 13px/1.6 ui-monospace, monospace; color: var(--dim); padding-left: 1.2rem; list-style: "✓ " }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box); padding: .6rem .8rem; border-radius: 6px; overflow-x: auto; font: 13px/1.5 ui-monospace, monospace; margin: .4rem 0 }
.frames span { display: block; padding-left: 1.5em; text-indent: -1.5em } .send { color: var(--dim) } .receive { color: inherit }
</style>
</head>
<body>
<main>
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::schema::Totals;

    fn report() -> Report {
        Report {
            implementation: "<mine>".to_owned(),
            transport: "stdio".to_owned(),
            spec: "stdio:./mine".to_owned(),
            results: vec![
                CaseResult {
                    id: "values/one".to_owned(),
                    outcome: Outcome::Pass as i32,
                    verdict: Verdict::Green as i32,
                    ..CaseResult::default()
                },
                CaseResult {
                    id: "values/two".to_owned(),
                    outcome: Outcome::Fail as i32,
                    verdict: Verdict::Red as i32,
                    step: "steps[3]".to_owned(),
                    message: "expected <1>".to_owned(),
                    frames: vec![
                        "→ {\"id\":1}".to_owned(),
                        "← {\"id\":1,\"x\":\"</pre>\"}".to_owned(),
                    ],
                    ..CaseResult::default()
                },
            ],
            totals: Some(Totals { passed: 1, failed: 1, ..Totals::default() }),
            ..Report::default()
        }
    }

    #[test]
    fn a_failure_is_shown_with_its_step_and_frames() {
        let profiles = [("core".to_owned(), vec!["values/**".to_owned()])].into();
        let page = page(&[report()], &profiles);
        for part in [
            "<a href=\"#i0-core\">✗ 1/2</a><small>1 failed</small>",
            "id=\"i0-core\"",
            "at <code>steps[3]</code>",
            "expected &lt;1&gt;",
            "<span class=\"send\">→ {&quot;id&quot;:1}</span>",
            "&lt;/pre&gt;",
            "<li>one</li>",
            "conformance run --impl stdio:./mine 'values/two'",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<mine>") && !page.contains("</pre>\"}"));
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&[report()], &Profiles::new());
        for outside in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
