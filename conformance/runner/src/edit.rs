//! Rewrites files that people also write: case files (format, bless) and known-failure lists.

use serde_json::Value as Json;

use crate::case::schema::{Outcome, Report, Verdict};
use crate::known::{KnownFailures, State};
use crate::play::Blessing;

/// JSON as the case files are written: on one line where it fits, otherwise one member per line.
pub fn format_json(json: &Json) -> String {
    let mut out = String::new();
    write(json, 0, 0, &mut out);
    out.push('\n');
    out
}

/// Writes actual results into the expectations of a case. Members the step does not have yet are added.
pub fn bless(file: &mut Json, case_index: usize, blessings: &[Blessing]) -> Result<usize, String> {
    let case = file
        .pointer_mut(&format!("/cases/{case_index}"))
        .ok_or_else(|| format!("the file has no case {case_index}"))?;
    let mut written = 0;
    for blessing in blessings {
        let Some(step) = case.pointer_mut(&blessing.step).and_then(Json::as_object_mut) else {
            return Err(format!("the case has no step {}", blessing.step));
        };
        // Generated rows are a rule, not a result; replacing a rule by its outcome is for people.
        if blessing.member == "rows" && step.contains_key("rows_generated") {
            continue;
        }
        let value = match (step.get(blessing.member), &blessing.value) {
            // Only members that the author chose to look at.
            (Some(Json::Object(old)), Json::Object(new)) if blessing.member == "state" => {
                Json::Object(
                    old.keys()
                        .filter_map(|name| Some((name.clone(), new.get(name)?.clone())))
                        .collect(),
                )
            }
            _ => blessing.value.clone(),
        };
        step.insert(blessing.member.to_owned(), value);
        written += 1;
    }
    Ok(written)
}

/// A known-failure list brought up to date: entries of single cases that pass are dropped, new failures are added.
/// Comments and patterns stay.
pub fn update_known(text: &str, today: &str, report: &Report) -> String {
    let list = KnownFailures::parse(text, today);
    let passes = |id: &str| {
        report.results.iter().any(|result| result.id == id && result.outcome() == Outcome::Pass)
    };
    let stale: Vec<usize> = list
        .entries
        .iter()
        .filter(|entry| entry.state == State::Fail && passes(&entry.pattern))
        .map(|entry| entry.line)
        .collect();
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        if !stale.contains(&(index + 1)) {
            out.push_str(line);
            out.push('\n');
        }
    }
    for result in &report.results {
        if result.verdict() != Verdict::Red || list.entry(&result.id).is_some() {
            continue;
        }
        let state = match result.outcome() {
            Outcome::Fail => "fail",
            Outcome::Crash | Outcome::Timeout => "skip",
            _ => continue,
        };
        let reason = match result.error.as_str() {
            "" => "no reason written yet".to_owned(),
            error => format!("{error}: no reason written yet"),
        };
        out.push_str(&format!("{} {state} {reason}, seen {today}\n", result.id));
    }
    out
}

fn write(json: &Json, indent: usize, used: usize, out: &mut String) {
    let flat = flat(json);
    if indent + used + flat.len() <= WIDTH && !always_open(json, indent) {
        out.push_str(&flat);
        return;
    }
    let inner = " ".repeat(indent + 2);
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                out.push_str(&inner);
                write(item, indent + 2, 1, out);
                out.push_str(if index + 1 < items.len() { ",\n" } else { "\n" });
            }
            out.push_str(&" ".repeat(indent));
            out.push(']');
        }
        Json::Object(members) if !members.is_empty() => {
            out.push_str("{\n");
            for (index, (name, value)) in members.iter().enumerate() {
                let key = format!("{}: ", Json::String(name.clone()));
                out.push_str(&inner);
                out.push_str(&key);
                write(value, indent + 2, key.len() + 1, out);
                out.push_str(if index + 1 < members.len() { ",\n" } else { "\n" });
            }
            out.push_str(&" ".repeat(indent));
            out.push('}');
        }
        _ => out.push_str(&flat),
    }
}

fn flat(json: &Json) -> String {
    match json {
        Json::Array(items) => {
            format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", "))
        }
        Json::Object(members) if members.is_empty() => "{}".to_owned(),
        Json::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}: {}", Json::String(name.clone()), flat(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// Suites, cases and their steps are easier to read one per line, however short.
fn always_open(json: &Json, indent: usize) -> bool {
    indent <= 4 && json.get("steps").is_some()
        || json.get("cases").is_some()
        || matches!(json, Json::Array(items) if items.iter().any(|item| indent <= 6 && item.is_object() && indent != 8 && is_step(item)))
}

fn is_step(json: &Json) -> bool {
    ["exec", "exec_batch", "fetch", "send_raw", "concurrently", "request", "steps"]
        .iter()
        .any(|verb| json.get(verb).is_some())
}

const WIDTH: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::schema::CaseResult;
    use serde_json::json;

    #[test]
    fn formatting_keeps_the_content_and_is_stable() {
        let json = json!({"suite": "a/b", "cases": [{"name": "n", "steps": [
            {"exec": "select 1", "rows": [[{"int": "1"}, null]]},
            {"exec": "x".repeat(150), "rows": []},
        ]}]});
        let text = format_json(&json);
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), json);
        assert_eq!(format_json(&serde_json::from_str(&text).unwrap()), text);
        assert!(
            text.contains("{ \"exec\": \"select 1\", \"rows\": [[{ \"int\": \"1\" }, null]] },\n"),
            "{text}"
        );
    }

    #[test]
    fn blessing_writes_members_of_steps() {
        let mut file = json!({"cases": [{"steps": [{"exec": "x", "rows": [], "state": {"commit_seq": "1"}}, {"exec": "y", "rows_generated": {}}]}]});
        let blessing =
            |step: &str, member, value| Blessing { step: step.to_owned(), member, value };
        let written = bless(
            &mut file,
            0,
            &[
                blessing("/steps/0", "rows", json!([[null]])),
                blessing("/steps/0", "state", json!({"commit_seq": "2", "saved_seq": "0"})),
                blessing("/steps/1", "rows", json!([])),
            ],
        );
        assert_eq!(written, Ok(2));
        assert_eq!(
            file["cases"][0]["steps"],
            json!([{"exec": "x", "rows": [[null]], "state": {"commit_seq": "2"}}, {"exec": "y", "rows_generated": {}}])
        );
        assert!(bless(&mut file, 0, &[blessing("/steps/9", "rows", json!([]))]).is_err());
    }

    #[test]
    fn updating_drops_stale_entries_and_adds_new_ones() {
        let result = |id: &str, outcome: Outcome, verdict: Verdict, error: &str| CaseResult {
            id: id.to_owned(),
            outcome: outcome as i32,
            verdict: verdict as i32,
            error: error.to_owned(),
            ..CaseResult::default()
        };
        let report = Report {
            results: vec![
                result("a/stale", Outcome::Pass, Verdict::Red, ""),
                result("a/known", Outcome::Fail, Verdict::Known, ""),
                result("a/new", Outcome::Fail, Verdict::Red, "INVALID/SQL_ERROR"),
                result("a/dead", Outcome::Crash, Verdict::Red, ""),
            ],
            ..Report::default()
        };
        let text = "# mine\na/stale fail issue 1\na/known fail issue 2\n";
        assert_eq!(
            update_known(text, "2026-11-22", &report),
            "# mine\na/known fail issue 2\n\
             a/new fail INVALID/SQL_ERROR: no reason written yet, seen 2026-11-22\n\
             a/dead skip no reason written yet, seen 2026-11-22\n"
        );
    }
}
