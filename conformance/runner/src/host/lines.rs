//! The lines between runner and adapter, held against conformance/v1/host.proto: every member is known and of its type, and
//! a report has what belongs to its command.

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Map, Value as Json};

use crate::case::descriptor;

/// What is wrong with a command, if anything.
pub fn fault_of_command(command: &Json) -> Option<String> {
    check(command, &descriptor("HostCommand"), "").err()
}

/// What is wrong with a line from an adapter, if anything; it reads on from "the line ". `command` is the name of the command
/// that it is about.
pub fn fault_of_report(report: &Json, command: Option<&str>) -> Option<String> {
    let fault = check(report, &descriptor("HostReport"), "").err();
    fault.or_else(|| answers(report, command?))
}

/// The member that a successful report on this command has.
fn member_for(command: &str) -> &'static str {
    match command {
        "hello" => "hello",
        "open" => "opened",
        "exec" => "result",
        "batch" => "results",
        "stream" => "rows",
        "export" => "image",
        _ => "done",
    }
}

fn answers(report: &Json, command: &str) -> Option<String> {
    let own = member_for(command);
    let is_there = |name: &str| !report[name].is_null();
    let failed = is_there("error") || is_there("defect");
    if !is_there(own) && !failed {
        return Some(format!("does not say what came of {command}: {own:?} is missing"));
    }
    let others = report.as_object().into_iter().flatten().filter(|(_, member)| !member.is_null());
    let known = ["id", "error", "defect", own];
    let strange = others.map(|(name, _)| name.as_str()).find(|name| !known.contains(name));
    strange.map(|name| format!("answers {command} with {name:?}, which belongs to other commands"))
}

/// The error says where and what, to be read after "the line".
fn check(json: &Json, message: &MessageDescriptor, path: &str) -> Result<(), String> {
    for (name, member) in object(json, path)? {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let field = message
            .get_field_by_name(name)
            .ok_or_else(|| format!("has an unknown member {inner:?}"))?;
        if member.is_null() {
            continue;
        }
        if field.is_list() {
            for (at, item) in list(member, &inner)?.iter().enumerate() {
                typed(item, &field.kind(), name, &format!("{inner}[{at}]"))?;
            }
        } else {
            typed(member, &field.kind(), name, &inner)?;
        }
    }
    Ok(())
}

fn typed(json: &Json, kind: &Kind, name: &str, path: &str) -> Result<(), String> {
    let fits = |is: bool, what: &str| match is {
        true => Ok(()),
        false => Err(format!("has no {what} in {path:?}: {}", shown(json))),
    };
    match kind {
        Kind::String => fits(json.is_string(), "text"),
        Kind::Bool => fits(json.is_boolean(), "true or false"),
        Kind::Uint32 => {
            fits(json.as_u64().is_some_and(|number| u32::try_from(number).is_ok()), "number")
        }
        Kind::Int32 => {
            fits(json.as_i64().is_some_and(|number| i32::try_from(number).is_ok()), "number")
        }
        Kind::Message(message) if message.parent_file().package_name() == "google.protobuf" => {
            open_shape(json, name, path)
        }
        Kind::Message(message) => check(json, message, path),
        other => unreachable!("host.proto has no {other:?}"),
    }
}

/// The shapes that only comments state.
fn open_shape(json: &Json, name: &str, path: &str) -> Result<(), String> {
    let each = |json: &Json, path: &str, look: &dyn Fn(&Json, &str) -> Result<(), String>| {
        let items = list(json, path)?.iter().enumerate();
        items.into_iter().try_for_each(|(at, item)| look(item, &format!("{path}[{at}]")))
    };
    match name {
        "rows" => each(json, path, &|row, path| each(row, path, &value)),
        "params" => each(json, path, &value),
        "named" => object(json, path)?
            .iter()
            .try_for_each(|(name, inner)| value(inner, &format!("{path}.{name}"))),
        "results" => each(json, path, &|item, path| match item.get("error") {
            Some(error) if item.as_object().is_some_and(|members| members.len() == 1) => {
                check(error, &descriptor("HostError"), &format!("{path}.error"))
            }
            _ => check(item, &descriptor("HostResult"), path),
        }),
        _ => value(json, path),
    }
}

fn value(json: &Json, path: &str) -> Result<(), String> {
    if json.is_null() {
        return Ok(());
    }
    let not_tagged =
        || format!("has no tagged value in {path:?}, such as {{\"int\": \"5\"}}: {}", shown(json));
    let members = json.as_object().filter(|members| members.len() == 1).ok_or_else(not_tagged)?;
    check(json, &VALUE, path).and_then(|()| match members.values().any(Json::is_null) {
        true => Err(not_tagged()),
        false => Ok(()),
    })
}

static VALUE: std::sync::LazyLock<MessageDescriptor> =
    std::sync::LazyLock::new(|| descriptor("HostValue"));

fn object<'a>(json: &'a Json, path: &str) -> Result<&'a Map<String, Json>, String> {
    json.as_object().ok_or_else(|| format!("has no object in {path:?}: {}", shown(json)))
}

fn list<'a>(json: &'a Json, path: &str) -> Result<&'a Vec<Json>, String> {
    json.as_array().ok_or_else(|| format!("has no list in {path:?}: {}", shown(json)))
}

fn shown(json: &Json) -> String {
    crate::trace::shorten(&json.to_string(), 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_schema_has_is_accepted() {
        for (command, report) in [
            (
                "hello",
                json!({"id": 1, "hello": {"name": "a", "version": "1", "features": ["batch"]}}),
            ),
            ("open", json!({"id": 1, "opened": {}})),
            (
                "open",
                json!({"id": 1, "error": {"code": "INVALID", "sql_offset": 3, "subject": null}}),
            ),
            (
                "exec",
                json!({"id": 1, "result": {"rows": [[null, {"int": "5"}, {"bool": true}], []], "columns": ["a"],
                    "changes": {"number": "1"}, "state": {"commit_seq": "1"}}}),
            ),
            (
                "batch",
                json!({"id": 1, "results": [{"rows": []}, {"error": {"code": "CONSTRAINT"}}]}),
            ),
            ("stream", json!({"id": 1, "rows": [[{"text": "a"}]], "error": {"code": "ABORTED"}})),
            ("export", json!({"id": 1, "image": ""})),
            ("cancel", json!({"id": 1, "done": {}, "error": null})),
            ("exec", json!({"id": 1, "defect": "TypeError"})),
        ] {
            assert_eq!(fault_of_report(&report, Some(command)), None, "{report}");
        }
        assert_eq!(
            fault_of_report(&json!({"event": {"kind": "commit", "commit_seq": "1"}}), None),
            None
        );
        let command = json!({"id": 1, "exec": {"sql": "a", "params": [null, {"undefined": {}}], "named": {"a": {"real": "1"}}}});
        assert_eq!(fault_of_command(&command), None);
    }

    #[test]
    fn what_it_does_not_have_is_named() {
        for (command, report, expected) in [
            (
                "exec",
                json!({"result": {"lastInsertRowid": null}}),
                r#"unknown member "result.lastInsertRowid""#,
            ),
            ("exec", json!({"reslut": {}}), r#"unknown member "reslut""#),
            ("exec", json!({}), r#"does not say what came of exec: "result" is missing"#),
            ("exec", json!({"result": null}), "does not say what came of exec"),
            ("exec", json!({"rows": []}), r#"does not say what came of exec: "result""#),
            ("exec", json!({"result": {}, "done": {}}), r#"answers exec with "done""#),
            (
                "exec",
                json!({"result": {"rows": [[5]]}}),
                r#"no tagged value in "result.rows[0][0]""#,
            ),
            (
                "exec",
                json!({"result": {"rows": [[{"int": 5}]]}}),
                r#"no text in "result.rows[0][0].int": 5"#,
            ),
            ("exec", json!({"result": {"rows": [[{"int": null}]]}}), "no tagged value"),
            ("exec", json!({"result": {"rows": [[{"int": "5", "text": "5"}]]}}), "no tagged value"),
            ("exec", json!({"result": {"rows": [{"a": null}]}}), r#"no list in "result.rows[0]""#),
            (
                "exec",
                json!({"result": {"changes": {"integer": "1"}}}),
                r#""result.changes.integer""#,
            ),
            ("exec", json!({"error": {"code": 4}}), r#"no text in "error.code": 4"#),
            ("exec", json!({"error": "went wrong"}), r#"no object in "error""#),
            ("batch", json!({"results": [{"error": {"why": ""}}]}), r#""results[0].error.why""#),
            ("hello", json!({"hello": {"features": "batch"}}), r#"no list in "hello.features""#),
        ] {
            let fault = fault_of_report(&report, Some(command)).unwrap_or_default();
            assert!(fault.contains(expected), "{report}: {fault}");
        }
        let fault = fault_of_command(&json!({"id": 1, "exec": {"sql": "a", "timeout": 5}}));
        assert!(fault.is_some_and(|fault| fault.contains(r#""exec.timeout""#)));
    }
}
