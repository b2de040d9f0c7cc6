//! Values between SQL and JSON.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Number, Value};

use super::layout::Property;
use crate::lix::json;
use crate::sqlite::Stored;
use crate::sqlite::function::Owned;
use crate::sqlite::vtab::Cell;

/// What a schema lets a property be, as far as it decides how SQL becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string or null: text stays text.
    String,
    /// An object, an array or null: as text always JSON.
    Json,
    /// May be an object or an array, and a string, too.
    Any,
    Boolean,
    /// Numbers and whatever else.
    Other,
}

impl Kind {
    /// The kind of a property by its JSON schema.
    pub(super) fn of(property: &Value) -> Self {
        let mut types = Vec::new();
        collect_types(property, &mut types);
        let only = |wanted: &str| {
            types.contains(&wanted) && types.iter().all(|name| *name == wanted || *name == "null")
        };
        let is_nested = |name: &&str| ["object", "array"].contains(name);
        if types.is_empty() || types.iter().any(is_nested) {
            let is_always = |name: &&str| is_nested(name) || *name == "null";
            if !types.is_empty() && types.iter().all(is_always) { Kind::Json } else { Kind::Any }
        } else if only("string") {
            Kind::String
        } else if only("boolean") {
            Kind::Boolean
        } else {
            Kind::Other
        }
    }

    /// What an SQL value becomes.
    pub(super) fn json(self, value: Stored<'_>) -> Result<Value> {
        Ok(match (self, value) {
            (_, Stored::Null) => Value::Null,
            (_, Stored::Blob(_)) => return Err(invalid("JSON cannot hold BLOB values")),
            (Kind::String, value) => Value::String(text(value)?.unwrap_or_default().to_string()),
            (Kind::Boolean, Stored::Integer(number @ 0..=1)) => Value::Bool(number == 1),
            (_, Stored::Integer(number)) => Value::Number(number.into()),
            (_, Stored::Real(number)) => Value::Number(
                Number::from_f64(number).ok_or_else(|| invalid("JSON cannot hold this number"))?,
            ),
            (_, Stored::Text(bytes)) => {
                let text = utf8(bytes)?;
                match json::parse(text) {
                    Ok(value) => value,
                    Err(json::Refused::NotJson) => Value::String(text.to_owned()),
                    Err(refused) => return Err(invalid(refused.to_string())),
                }
            }
        })
    }
}

/// The names of the types that a schema of a property allows; none: it does not say.
fn collect_types<'a>(schema: &'a Value, types: &mut Vec<&'a str>) {
    match schema.get("type") {
        Some(Value::String(name)) => types.push(name),
        Some(Value::Array(names)) => types.extend(names.iter().filter_map(Value::as_str)),
        _ => {}
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(branches)) = schema.get(keyword) {
            for branch in branches {
                collect_types(branch, types);
            }
        }
    }
}

/// Shows a JSON value as SQLite's JSON functions would extract it.
pub(super) fn show(value: &Value, out: &mut Cell<'_>) {
    match value {
        Value::Null => out.null(),
        Value::Bool(value) => out.integer((*value).into()),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => out.integer(integer),
            None => out.real(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => out.text(text),
        Value::Array(_) | Value::Object(_) => out.text(&value.to_string()),
    }
}

/// What is lost of properties when SQL shows them, a letter each: whether text is a string or JSON,
/// whether 1 is a number or true.
pub(super) fn types(content: &Map<String, Value>, properties: &[Property]) -> String {
    let letter = |property: &Property| match content.get(&*property.name) {
        None | Some(Value::Null) => '0',
        Some(Value::Bool(_)) => 'b',
        Some(Value::Number(_)) => 'n',
        Some(Value::String(_)) => 's',
        Some(Value::Array(_) | Value::Object(_)) => 'j',
    };
    properties.iter().map(letter).collect()
}

/// The declared type of a property's column. What begins with `json` tells hosts which text is JSON:
/// `json text` always, `json blob` unless it is a string. The second word keeps SQLite from
/// converting what it compares.
pub(super) fn declared_type(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "text",
        Kind::Json => "json text",
        Kind::Any => "json blob",
        // Text without a type: what comes out of JSON is compared as it is.
        Kind::Boolean | Kind::Other => "",
    }
}

/// Whether the types of a table's rows are of use.
pub(super) fn are_typed(properties: &[Property]) -> bool {
    properties.iter().any(|property| property.kind == Kind::Any)
}

/// The hidden column that shows them.
pub(super) const TYPES: &str = "_types";

/// A value as a text column takes it; NULL is none.
pub(super) fn text(value: Stored<'_>) -> Result<Option<Rc<str>>> {
    Ok(Some(match value {
        Stored::Null => return Ok(None),
        Stored::Integer(number) => number.to_string().into(),
        Stored::Real(number) => format!("{number:?}").into(),
        Stored::Text(bytes) => utf8(bytes)?.into(),
        Stored::Blob(_) => return Err(invalid("text was expected, not a BLOB")),
    }))
}

/// A flag: NULL is none, 0 is off, anything else is on.
pub(super) fn flag(value: Stored<'_>) -> Option<bool> {
    match value {
        Stored::Null => None,
        Stored::Integer(number) => Some(number != 0),
        Stored::Real(number) => Some(number != 0.0),
        Stored::Text(text) => Some(!matches!(text, b"" | b"0" | b"false")),
        Stored::Blob(_) => Some(true),
    }
}

/// The content of an entity; NULL is none.
pub(super) fn snapshot(value: Stored<'_>) -> Result<Option<Map<String, Value>>> {
    let Some(text) = text(value)? else { return Ok(None) };
    match json::parse(&text) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(invalid("snapshot_content must be a JSON object")),
        Err(refused) => Err(invalid(format!("snapshot_content: {refused}"))),
    }
}

/// The texts among the values of a constraint, for a column that only ever holds texts. NULL equals
/// nothing. None: a value is of another type, and what it equals is for SQLite to say.
pub(super) fn texts(values: Vec<Owned>) -> Option<Vec<Rc<str>>> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Owned::Null => {}
            Owned::Text(text) => texts.push(text),
            _ => return None,
        }
    }
    Some(texts)
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Reason::Validation, message)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| invalid("text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_follow_the_types() {
        let kind = |schema: Value| Kind::of(&schema);
        assert_eq!(kind(json!({})), Kind::Any);
        assert_eq!(kind(json!({"type": "string"})), Kind::String);
        assert_eq!(kind(json!({"type": ["string", "null"]})), Kind::String);
        assert_eq!(kind(json!({"anyOf": [{"type": "string"}, {"type": "null"}]})), Kind::String);
        assert_eq!(kind(json!({"anyOf": [{"type": "string"}, {"type": "object"}]})), Kind::Any);
        assert_eq!(kind(json!({"type": "object", "nullable": true})), Kind::Json);
        assert_eq!(kind(json!({"type": ["array", "null"]})), Kind::Json);
        assert_eq!(kind(json!({"type": "boolean"})), Kind::Boolean);
        assert_eq!(kind(json!({"type": "number"})), Kind::Other);
        assert_eq!(kind(json!({"type": ["string", "number"]})), Kind::Other);
    }

    /// The table of the specification, and what it leaves open.
    #[test]
    fn sql_becomes_json() {
        let any = |value| Kind::Any.json(value).unwrap();
        assert_eq!(any(Stored::Text(b"hello")), json!("hello"));
        assert_eq!(any(Stored::Text(b"1")), json!(1));
        assert_eq!(any(Stored::Integer(1)), json!(1));
        assert_eq!(any(Stored::Text(b"true")), json!(true));
        assert_eq!(any(Stored::Text(br#"{"a":1}"#)), json!({"a": 1}));
        assert_eq!(any(Stored::Text(br#""1""#)), json!("1"));
        assert_eq!(any(Stored::Text(b"")), json!(""));
        assert_eq!(any(Stored::Null), Value::Null);
        assert_eq!(any(Stored::Real(1.5)), json!(1.5));
        assert_eq!(Kind::Json.json(Stored::Text(b"[1]")).unwrap(), json!([1]));
        assert!(Kind::Json.json(Stored::Blob(b"x")).is_err());
        assert!(Kind::Json.json(Stored::Text(b"\xff")).is_err());
        let string = |value| Kind::String.json(value).unwrap();
        assert_eq!(string(Stored::Text(b"1.0")), json!("1.0"));
        assert_eq!(string(Stored::Text(b"true")), json!("true"));
        assert_eq!(string(Stored::Integer(7)), json!("7"));
        assert_eq!(string(Stored::Null), Value::Null);
        assert_eq!(Kind::Boolean.json(Stored::Integer(1)).unwrap(), json!(true));
        assert_eq!(Kind::Boolean.json(Stored::Text(b"false")).unwrap(), json!(false));
        assert_eq!(Kind::Boolean.json(Stored::Integer(5)).unwrap(), json!(5));
        assert_eq!(Kind::Other.json(Stored::Text(b"2")).unwrap(), json!(2));
        assert_eq!(Kind::Other.json(Stored::Text(b"two")).unwrap(), json!("two"));
    }

    #[test]
    fn only_texts_are_looked_up() {
        assert_eq!(texts(vec!["a".into(), Owned::Null]).unwrap(), ["a".into()]);
        assert_eq!(texts(vec![Owned::Null]).unwrap(), [] as [Rc<str>; 0]);
        assert!(texts(vec!["a".into(), Owned::Integer(1)]).is_none());
    }
}
