//! SQL functions of a lix: ids, time, chance, and a few questions.

use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::reads::Read;
use super::schemas::Schema;
use super::state::Key;
use super::validation::Target;
use super::write::WriteKind;
use super::{LIX_FILE, Lix, json};
use crate::sqlite::function::{Function, Owned};
use crate::sqlite::{Link, Stored};

/// Makes the functions known.
pub(crate) fn register(lix: &Rc<Lix>, link: &Link) -> Result<()> {
    let draws: [(&str, Draw); 8] = [
        ("lix_uuid_v7", |lix| Ok(lix.ids.uuid_v7().into())),
        ("lix_timestamp", |lix| Ok(lix.ids.timestamp().into())),
        ("lix_human_id", |lix| Ok(lix.ids.human_id().into())),
        ("human_id", |lix| Ok(lix.ids.human_id().into())),
        ("lix_random", |lix| Ok(lix.ids.random().into())),
        ("lix_next_sequence_number", |lix| Ok(lix.ids.next_sequence_number()?.into())),
        ("lix_is_deterministic", is_deterministic),
        ("lix_active_version_id", |lix| Ok(lix.active_version_id()?.into())),
    ];
    for (name, draw) in draws {
        link.register_function(name, 0, false, with(lix, move |lix, _| draw(lix)))?;
    }
    for arguments in [0, 1] {
        let nano_id = |lix: &Rc<Lix>, arguments: &[Stored<'_>]| {
            Ok(lix.ids.nano_id(length(arguments.first())?).into())
        };
        link.register_function("lix_nano_id", arguments, false, with(lix, nano_id))?;
    }
    for name in NANO_ID_DEFAULTS {
        let default = |lix: &Rc<Lix>, _: &[Stored<'_>]| Ok(lix.ids.nano_id(None).into());
        link.register_function(name, 0, false, with(lix, default))?;
    }
    let commit_id = |lix: &Rc<Lix>, _: &[Stored<'_>]| Ok(lix.ids.uuid_v7().into());
    link.register_function("lix_commit_default_id", 0, false, with(lix, commit_id))?;
    for (name, keyword) in SCHEMA_DEFAULTS {
        let default = move |arguments: &[Stored<'_>]| Ok(of_schema(arguments, keyword));
        link.register_function(name, -1, true, Rc::new(default))?;
    }
    link.register_function("lix_encode_pk_part", 1, true, Rc::new(encode_pk_part))?;
    link.register_function("lix_validate_schema", 1, true, Rc::new(validate_schema))?;
    link.register_function("validate_snapshot_content", 5, false, with(lix, validate_snapshot))
}

/// A function without arguments.
type Draw = fn(&Lix) -> Result<Owned>;

/// A function of a lix, which the connection must not keep alive.
fn with(
    lix: &Rc<Lix>,
    body: impl Fn(&Rc<Lix>, &[Stored<'_>]) -> Result<Owned> + 'static,
) -> Rc<Function> {
    let lix: Weak<Lix> = Rc::downgrade(lix);
    Rc::new(move |arguments| {
        let lix = lix.upgrade().expect("a lix lives as long as its connection runs statements");
        lix.refresh()?;
        body(&lix, arguments)
    })
}

/// The key value that says so may lie in any version.
fn is_deterministic(lix: &Lix) -> Result<Owned> {
    let (schema_key, entity_id) = ("lix_key_value", "lix_deterministic_mode");
    lix.note_read(Read { schema_key, version_id: "", file_id: LIX_FILE, entity_id });
    Ok(lix.ids.is_deterministic().into())
}

fn length(argument: Option<&Stored<'_>>) -> Result<Option<usize>> {
    match argument {
        None | Some(Stored::Null) => Ok(None),
        Some(Stored::Integer(length @ 1..=MAX_LENGTH)) => Ok(Some(*length as usize)),
        Some(_) => {
            let message = format!("the length of an id is a number from 1 to {MAX_LENGTH}");
            Err(Error::new(Reason::SqlError, message))
        }
    }
}

/// Percent-encodes like a component of a URI, and `~`.
fn encode_pk_part(arguments: &[Stored<'_>]) -> Result<Owned> {
    let text = text(&arguments[0]).unwrap_or_default();
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'*' | b'\'' | b'(' | b')' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(encoded.into())
}

fn validate_schema(arguments: &[Stored<'_>]) -> Result<Owned> {
    Schema::compile(&schema_document(&arguments[0])?)?;
    Ok(1.into())
}

/// (schema, snapshot, operation, entity id, version id): an error if such a write would get one.
fn validate_snapshot(lix: &Rc<Lix>, arguments: &[Stored<'_>]) -> Result<Owned> {
    let [schema, snapshot, operation, entity_id, version_id] = arguments else {
        unreachable!("registered with five arguments")
    };
    let version_id: Rc<str> = text(version_id)
        .filter(|id| !id.is_empty())
        .map(Rc::from)
        .ok_or_else(|| Error::new(Reason::Validation, "version_id is required"))?;
    // It looks for whatever the row would clash with or refer to.
    lix.note_any_commit();
    lix.known_version(&version_id)?;
    let schema = Schema::compile(&schema_document(schema)?)?;
    let kind = match text(operation).as_deref() {
        Some("insert") => WriteKind::Insert,
        Some("update") => WriteKind::Update,
        Some("delete") => return Ok(Owned::Null),
        _ => {
            let message = "the operation is 'insert', 'update' or 'delete'";
            return Err(Error::new(Reason::SqlError, message));
        }
    };
    let snapshot = object(snapshot)
        .ok_or_else(|| Error::new(Reason::Validation, "the snapshot is not a JSON object"))?;
    schema.validate(&snapshot)?;
    let member = |name: &str| schema.document.get(name).and_then(Value::as_str).unwrap_or_default();
    let key = Key {
        schema_key: member("x-lix-key").into(),
        entity_id: text(entity_id).unwrap_or_default().into(),
        file_id: LIX_FILE.into(),
    };
    let schema_version = member("x-lix-version");
    let target = Target {
        kind,
        version_id: &version_id,
        key: &key,
        schema_version,
        untracked: false,
        is_absent: false,
    };
    lix.validate(&target, &snapshot)?;
    Ok(Owned::Null)
}

/// What a schema among the arguments says of itself.
fn of_schema(arguments: &[Stored<'_>], keyword: &str) -> Owned {
    let schema = arguments.iter().find_map(object);
    schema
        .and_then(|schema| schema.get(keyword).and_then(Value::as_str).map(Rc::<str>::from))
        .into()
}

fn schema_document(argument: &Stored<'_>) -> Result<Value> {
    object(argument).map(Value::Object).ok_or_else(|| {
        let message = "The provided schema is not a valid lix schema: it is not a JSON object";
        Error::new(Reason::Validation, message)
    })
}

fn object(argument: &Stored<'_>) -> Option<Map<String, Value>> {
    match json::parse(&text(argument)?) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// As SQLite would cast it; none for NULL.
fn text(argument: &Stored<'_>) -> Option<String> {
    match argument {
        Stored::Null => None,
        Stored::Integer(value) => Some(value.to_string()),
        Stored::Real(value) => Some(value.to_string()),
        Stored::Text(bytes) | Stored::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

const MAX_LENGTH: i64 = 1_000;

const NANO_ID_DEFAULTS: [&str; 6] = [
    "lix_account_default_id",
    "lix_change_set_default_id",
    "lix_label_default_id",
    "lix_log_default_id",
    "lix_thread_default_id",
    "lix_thread_comment_default_id",
];

const SCHEMA_DEFAULTS: [(&str, &str); 2] = [
    ("lix_stored_schema_default_key", "x-lix-key"),
    ("lix_stored_schema_default_version", "x-lix-version"),
];
