//! The scripted engine's answers: from what a case says to frames.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value as Json, json};

use crate::expr::Vars;
use crate::host::case::EngineSetup;
use crate::proto;
use crate::value::{Cell, Param, hex, unhex};
use crate::wire::Message;

/// InitResponse as this case wants it.
pub fn init(setup: &EngineSetup) -> Json {
    let capabilities: Vec<String> = match &setup.capabilities {
        Some(names) => names.iter().map(|name| format!("CAPABILITY_{name}")).collect(),
        None => vec!["CAPABILITY_CURSORS".to_owned(), "CAPABILITY_NAMED_PARAMS".to_owned()],
    };
    let mut limits = json!({
        "max_frame_bytes": 67_108_864, "max_attachment_bytes": "1073741824", "max_sql_bytes": 1_000_000,
        "max_params": 32_766, "max_batch_statements": 10_000, "max_open_cursors": 100, "max_inflight": 1000,
        "max_result_bytes": "1073741824",
    });
    for (name, value) in &setup.limits {
        limits[name] = value.clone();
    }
    json!({
        "engine_name": "scripted", "engine_version": "1.0.0", "sqlite_version": "3.50.0",
        "capabilities": capabilities, "storage": "STORAGE_KIND_MEMORY", "limits": limits,
    })
}

/// A response to a request of this kind.
pub fn response(
    call: &str,
    reply: &Map<String, Json>,
    setup: &EngineSetup,
    state: &Json,
) -> Result<(Json, Vec<Vec<u8>>), String> {
    let mut reply = reply.clone();
    let mut response = json!({ "state": reply.remove("state").unwrap_or_else(|| state.clone()) });
    let mut attachments = Vec::new();
    if let Some(whole) = reply.remove("response") {
        merge(&mut response, whole);
    } else if let Some(error) = reply.remove("error") {
        response["error"] = error_of(&error)?;
    } else {
        response[call] = match call {
            "init" => {
                let mut init = init(setup);
                merge(&mut init, reply.remove("init").unwrap_or_else(|| json!({})));
                init
            }
            "exec" => result(&mut reply)?,
            "fetch" => {
                let rows = cells(reply.remove("rows").unwrap_or_else(|| json!([])))?;
                let width = rows.first().map_or(0, Vec::len);
                let mut fetch = json!({ "batch": batch(&rows, width)? });
                if let Some(done) = reply.remove("done") {
                    fetch["done"] = done;
                }
                fetch
            }
            "exec_batch" => {
                let items = reply.remove("items").unwrap_or_else(|| json!([]));
                let items = items.as_array().ok_or("items is a list")?;
                let items = items
                    .iter()
                    .map(|item| {
                        let mut item = item.as_object().cloned().ok_or("an item is an object")?;
                        Ok(match item.remove("error") {
                            Some(error) => json!({ "error": error_of(&error)? }),
                            None => json!({ "ok": result(&mut item)? }),
                        })
                    })
                    .collect::<Result<Vec<Json>, String>>()?;
                json!({ "items": items })
            }
            "export" => {
                let image = reply.remove("image_hex");
                let image = image.as_ref().and_then(Json::as_str).unwrap_or_default();
                attachments.push(unhex(image)?);
                json!({ "image_attachment": 0 })
            }
            _ => json!({}),
        };
    }
    match reply.keys().next() {
        Some(name) => Err(format!("a reply to {call} has no {name:?}")),
        None => Ok((response, attachments)),
    }
}

/// A message with this frame; attachments announce themselves.
pub fn message(
    mut frame: Json,
    attachments: Vec<Vec<u8>>,
    append_hex: &str,
) -> Result<Message, String> {
    if !attachments.is_empty() {
        frame["attachment_sizes"] =
            attachments.iter().map(|bytes| json!(bytes.len().to_string())).collect();
    }
    let mut bytes = proto::encode(&proto::from_json("Frame", &frame)?);
    bytes.extend(unhex(append_hex)?);
    Ok(Message { frame: bytes, attachments })
}

/// A request as cases expect it: ProtoJSON with tagged values, blobs in place of their attachments.
pub fn request_json(request: &DynamicMessage, attachments: &[Vec<u8>]) -> Json {
    let mut json = proto::to_json(request);
    tag_values(&mut json, attachments);
    json
}

fn tag_values(json: &mut Json, attachments: &[Vec<u8>]) {
    match json {
        Json::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), &mut *member) {
                    ("params", Json::Array(values)) => {
                        values.iter_mut().for_each(|value| *value = tagged(value, attachments));
                    }
                    ("value", value @ Json::Object(_)) => *value = tagged(value, attachments),
                    (_, member) => tag_values(member, attachments),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| tag_values(item, attachments)),
        _ => {}
    }
}

fn tagged(value: &Json, attachments: &[Vec<u8>]) -> Json {
    if let Some(text) = value["integer"].as_str() {
        return json!({ "int": text });
    }
    if let Some(real) = value.get("real") {
        let real = match real {
            Json::String(text) if text == "Infinity" => f64::INFINITY,
            Json::String(text) if text == "-Infinity" => f64::NEG_INFINITY,
            other => other.as_f64().unwrap_or(f64::NAN),
        };
        return Cell::Real(real).to_json();
    }
    if let Some(index) = value["blob_attachment"].as_u64() {
        let bytes = attachments.get(index as usize).cloned().unwrap_or_default();
        return json!({ "blob": STANDARD.encode(bytes) });
    }
    match value.get("text").map(|text| json!({ "text": text })) {
        Some(text) => text,
        None => match value.get("blob") {
            Some(blob) => json!({ "blob": blob }),
            None if value.get("null").is_some() => Json::Null,
            None => json!({ "unset": "" }),
        },
    }
}

fn result(reply: &mut Map<String, Json>) -> Result<Json, String> {
    let mut exec = json!({});
    let columns = reply.remove("columns");
    if let Some(rows) = reply.remove("rows") {
        let rows = cells(rows)?;
        let width = match (&columns, rows.first()) {
            (Some(Json::Array(columns)), _) => columns.len(),
            (_, Some(row)) => row.len(),
            _ => 1,
        };
        let names = (1..=width).map(|n| json!(format!("c{n}"))).collect();
        let names = columns.unwrap_or(Json::Array(names));
        let names = names.as_array().ok_or("columns is a list of names")?;
        exec["columns"] = names
            .iter()
            .map(|name| if name.is_object() { name.clone() } else { json!({ "name": name }) })
            .collect();
        exec["batch"] = batch(&rows, width)?;
    }
    for name in ["cursor", "changes", "last_insert_rowid", "batch"] {
        if let Some(value) = reply.remove(name) {
            exec[name] = value;
        }
    }
    Ok(exec)
}

fn error_of(error: &Json) -> Result<Json, String> {
    let mut error = error.clone();
    let code = error["code"].as_str().ok_or("an error has a code")?.to_owned();
    if code.parse::<i32>().is_ok() {
        error["code"] = json!(code.parse::<i32>().expect("just parsed"));
    } else {
        error["code"] = json!(format!("ERROR_CODE_{code}"));
    }
    if error.get("message").is_none() {
        error["message"] = json!("scripted");
    }
    Ok(error)
}

fn cells(rows: Json) -> Result<Vec<Vec<Cell>>, String> {
    let rows = rows.as_array().ok_or("rows is a list")?;
    rows.iter()
        .map(|row| {
            let row = row.as_array().ok_or("a row is a list")?;
            row.iter()
                .map(|value| {
                    let param = Param::from_json(value, &Vars::default())?;
                    param.cell.ok_or_else(|| "a cell has a value".to_owned())
                })
                .collect()
        })
        .collect()
}

/// A RowBatch with the smallest widths.
pub fn batch(rows: &[Vec<Cell>], width: usize) -> Result<Json, String> {
    if rows.iter().any(|row| row.len() != width) {
        return Err("rows of different lengths".to_owned());
    }
    let columns: Vec<Json> =
        (0..width).map(|at| column(rows.iter().map(|row| &row[at]).collect())).collect();
    Ok(json!({ "row_count": rows.len(), "columns": columns }))
}

fn column(cells: Vec<&Cell>) -> Json {
    if cells.is_empty() {
        return json!({});
    }
    let class = |cell: &Cell| match cell {
        Cell::Null => 1_u8,
        Cell::Integer(_) => 2,
        Cell::Real(_) => 3,
        Cell::Text(_) => 4,
        Cell::Blob(_) => 5,
        Cell::TextRaw(_) => 6,
    };
    let classes: Vec<u8> = cells.iter().map(|cell| class(cell)).collect();
    let (mut ints, mut lens) = (Vec::new(), Vec::new());
    let (mut reals, mut text, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for cell in &cells {
        match cell {
            Cell::Null => {}
            Cell::Integer(value) => ints.push(*value),
            Cell::Real(value) => reals.extend(value.to_le_bytes()),
            Cell::Text(bytes) => {
                lens.push(bytes.len());
                text.extend(bytes);
            }
            Cell::Blob(bytes) | Cell::TextRaw(bytes) => {
                lens.push(bytes.len());
                blobs.extend(bytes);
            }
        }
    }
    let mut column = json!({});
    if classes.iter().all(|class| *class == classes[0]) {
        column["uniform"] = json!(classes[0]);
    } else {
        column["classes"] = json!(STANDARD.encode(&classes));
    }
    let int_width = |value: &i64| match value {
        -0x80..=0x7f => 1,
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    };
    if let Some(width) = ints.iter().map(int_width).max() {
        let bytes: Vec<u8> =
            ints.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()).collect();
        column["int_width"] = json!(width);
        column["ints"] = json!(STANDARD.encode(bytes));
    }
    let len_width = |len: &usize| match len {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    if let Some(width) = lens.iter().map(len_width).max() {
        let bytes: Vec<u8> =
            lens.iter().flat_map(|len| (*len as u64).to_le_bytes()[..width].to_vec()).collect();
        column["len_width"] = json!(width);
        column["lens"] = json!(STANDARD.encode(bytes));
    }
    for (name, bytes) in [("reals", reals), ("text", text), ("blobs", blobs)] {
        if !bytes.is_empty() {
            column[name] = json!(STANDARD.encode(bytes));
        }
    }
    column
}

/// Members of the second into the first, deep.
fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Where two JSON values differ, of what the first one looks at; `None` if they do not.
pub fn unlike(expected: &Json, actual: &Json, path: &str) -> Option<String> {
    let differ = || Some(format!("{path}:\n  expected {expected}\n  actual   {actual}"));
    match (expected, actual) {
        (Json::Object(wanted), Json::Object(_)) if is_tagged(wanted) => {
            if same_cell(expected, actual) { None } else { differ() }
        }
        (Json::Object(wanted), Json::Object(found)) => wanted.iter().find_map(|(name, value)| {
            let inner = format!("{path}.{name}");
            match found.get(name) {
                Some(actual) => unlike(value, actual, &inner),
                None if value.is_null() => None,
                None => Some(format!("{inner}:\n  expected {value}\n  actual   absent")),
            }
        }),
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => wanted
            .iter()
            .zip(found)
            .enumerate()
            .find_map(|(at, (value, actual))| unlike(value, actual, &format!("{path}[{at}]"))),
        (Json::Array(_), _) => differ(),
        _ if expected == actual || same_cell(expected, actual) => None,
        // ProtoJSON writes 64-bit numbers as text.
        (Json::Number(number), Json::String(text)) if number.to_string() == *text => None,
        (Json::String(text), Json::Number(number)) if number.to_string() == *text => None,
        _ => differ(),
    }
}

fn is_tagged(members: &Map<String, Json>) -> bool {
    const TAGS: [&str; 12] = [
        "int",
        "real",
        "number",
        "bigint",
        "text",
        "blob",
        "hex",
        "text_raw",
        "text_raw_hex",
        "bytes",
        "text_repeat",
        "bool",
    ];
    members.len() == 1 && members.keys().all(|name| TAGS.contains(&name.as_str()))
}

/// True if a host that reports `actual` has kept the value that a case expects: languages with one type for numbers may
/// report one as `number`, if nothing is lost.
pub fn same_cell(expected: &Json, actual: &Json) -> bool {
    if expected == actual {
        return true;
    }
    let number = |json: &Json| json["number"].as_str().and_then(|text| text.parse::<f64>().ok());
    // An exact type was asked for.
    if let Some(wanted) = expected["bigint"].as_str() {
        return actual["int"].as_str() == Some(wanted);
    }
    if expected.get("number").is_some() {
        return number(expected).is_some()
            && number(expected).map(f64::to_bits) == number(actual).map(f64::to_bits);
    }
    let Ok(Param { cell: Some(cell), .. }) = Param::from_json(expected, &Vars::default()) else {
        return false;
    };
    match &cell {
        Cell::Integer(wanted) => match number(actual) {
            Some(found) => wanted.unsigned_abs() <= MAX_SAFE && found == *wanted as f64,
            None => actual["int"].as_str().and_then(|text| text.parse().ok()) == Some(*wanted),
        },
        Cell::Real(wanted) => {
            let found = actual["real"]
                .as_str()
                .and_then(|text| text.parse::<f64>().ok())
                .or(number(actual));
            found.map(f64::to_bits) == Some(wanted.to_bits())
        }
        Cell::TextRaw(bytes) => {
            let lossy = String::from_utf8_lossy(bytes);
            actual["text"].as_str() == Some(&*lossy) || blob(actual).as_deref() == Some(bytes)
        }
        Cell::Blob(bytes) => blob(actual).as_deref() == Some(bytes),
        other => other.to_json() == *actual,
    }
}

fn blob(actual: &Json) -> Option<Vec<u8>> {
    STANDARD.decode(actual["blob"].as_str()?).ok()
}

/// Bytes of an exported image, for comparison.
pub fn image_hex(report: &Json) -> Option<String> {
    Some(hex(&STANDARD.decode(report["image"].as_str()?).ok()?))
}

const MAX_SAFE: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_by_the_checker() {
        let rows = cells(json!([
            [{"int": "1"}, null, {"text": "ä"}, {"real": "-0.0"}],
            [{"int": "-70000"}, {"blob": "AP8="}, {"text": ""}, {"real": "1.5"}],
        ]))
        .unwrap();
        let message = proto::from_json("RowBatch", &batch(&rows, 4).unwrap()).unwrap();
        assert_eq!(crate::batch::decode(&message), Ok(rows));
        let none = proto::from_json("RowBatch", &batch(&[], 2).unwrap()).unwrap();
        assert_eq!(crate::batch::decode(&none), Ok(vec![]));
    }

    #[test]
    fn numbers_of_one_type_are_accepted_while_nothing_is_lost() {
        for (expected, actual, same) in [
            (json!({"int": "5"}), json!({"number": "5"}), true),
            (json!({"int": "5"}), json!({"int": "5"}), true),
            (json!({"int": "5"}), json!({"text": "5"}), false),
            (json!({"int": "9007199254740993"}), json!({"number": "9007199254740992"}), false),
            (json!({"int": "9007199254740993"}), json!({"int": "9007199254740993"}), true),
            (json!({"bigint": "5"}), json!({"number": "5"}), false),
            (json!({"bigint": "5"}), json!({"int": "5"}), true),
            (json!({"real": "-0"}), json!({"number": "-0"}), true),
            (json!({"real": "-0"}), json!({"number": "0"}), false),
            (json!({"real": "inf"}), json!({"number": "Infinity"}), true),
            (json!({"blob": "AA=="}), json!({"blob": "AA=="}), true),
            (json!({"blob": "AA=="}), json!({"text": "\u{0}"}), false),
            (json!(null), json!(null), true),
            (json!(null), json!({"text": ""}), false),
            (json!({"text_raw_hex": "ff"}), json!({"text": "\u{fffd}"}), true),
            (json!({"bool": true}), json!({"bool": true}), true),
        ] {
            assert_eq!(same_cell(&expected, &actual), same, "{expected} {actual}");
        }
    }

    #[test]
    fn only_what_is_looked_at_is_compared() {
        let actual =
            json!({"exec": {"sql": "a", "params": [{"int": "1"}], "rows": "ROW_MODE_ALL"}});
        assert_eq!(unlike(&json!({"exec": {"sql": "a"}}), &actual, "request"), None);
        let found =
            unlike(&json!({"exec": {"params": [{"int": "2"}]}}), &actual, "request").unwrap();
        assert!(found.starts_with("request.exec.params[0]:"), "{found}");
        assert!(unlike(&json!({"fetch": {}}), &actual, "request").unwrap().contains("absent"));
        assert!(unlike(&json!({"exec": {"params": []}}), &actual, "request").is_some());
    }
}
