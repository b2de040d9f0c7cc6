//! Bytes that no plugin takes apart: one entity names them by their hash.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value, json};

use super::content::Entity;
use super::summary::sha256;
use crate::base64;
use crate::lix::{FALLBACK_PLUGIN, Lix, json};
use crate::sqlite::{Bound, Stored};

/// What the entity of such a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The bytes lie in `_lix_blob`.
    Hash(Rc<str>),
    /// The entity has the bytes itself, as the original wrote them.
    Inline(Vec<u8>),
}

impl Unknown {
    /// From the one entity that there has to be.
    pub(super) fn read(file_id: &str, entities: &[&Entity]) -> Result<Self> {
        let refuse = |problem: String| {
            let message = format!("[{FALLBACK_PLUGIN}] {problem}");
            Err(Error::new(Reason::PluginFailed, message).subject(FALLBACK_PLUGIN))
        };
        let entity = match entities {
            [] => {
                return refuse(format!(
                    "Expected exactly one change for file {file_id}, but received no changes"
                ));
            }
            [entity] => entity,
            several => {
                let count = several.len();
                return refuse(format!(
                    "Expected exactly one change for file {file_id}, but received {count} changes"
                ));
            }
        };
        if *entity.entity_id != *file_id {
            let other = &entity.entity_id;
            return refuse(format!(
                "Expected change for file {file_id}, but received change for entity {other}"
            ));
        }
        let content = json::object(Some(&entity.snapshot));
        match (content.get("hash"), content.get("value")) {
            (Some(Value::String(hash)), _) => Ok(Unknown::Hash(hash.as_str().into())),
            (None, Some(Value::String(value))) => match base64::decode(value) {
                Some(bytes) => Ok(Unknown::Inline(bytes)),
                None => refuse(format!("the content of file {file_id} is not base64")),
            },
            (_, other) => {
                let found = match other {
                    None => "undefined",
                    Some(Value::Null | Value::Object(_) | Value::Array(_)) => "object",
                    Some(Value::Bool(_)) => "boolean",
                    Some(Value::Number(_)) => "number",
                    Some(Value::String(_)) => "string",
                };
                refuse(format!(
                    "Expected base64 string content for file {file_id}, but received {found}"
                ))
            }
        }
    }

    /// Whether these are the bytes.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Unknown::Hash(hash) => sha256(bytes) == **hash,
            Unknown::Inline(own) => own == bytes,
        }
    }
}

impl Lix {
    /// Keeps bytes, and gives the snapshot that names them.
    pub(super) fn put_blob(&self, bytes: &[u8]) -> Result<Map<String, Value>> {
        let hash = sha256(bytes);
        let sql = "select 1 from _lix_blob where hash = ?1";
        if self.sql.first(sql, &[Bound::Text(&hash)], |_| ())?.is_none() {
            let sql = "insert into _lix_blob (hash, data) values (?1, ?2)";
            self.sql.run(sql, &[Bound::Text(&hash), Bound::Blob(bytes)])?;
        }
        let mut snapshot = Map::new();
        snapshot.insert("hash".into(), hash.into());
        snapshot.insert("size".into(), bytes.len().into());
        Ok(snapshot)
    }

    /// Shows kept bytes to somebody, without a copy in between.
    pub(super) fn with_blob<T>(&self, hash: &str, show: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let sql = "select data from _lix_blob where hash = ?1";
        let shown = self.sql.first(sql, &[Bound::Text(hash)], |row| match row.cell(0) {
            Stored::Blob(bytes) => show(bytes),
            _ => show(&[]),
        })?;
        shown.ok_or_else(|| {
            let message = format!("[{FALLBACK_PLUGIN}] there are no bytes with the hash {hash}");
            Error::new(Reason::PluginFailed, message).subject(FALLBACK_PLUGIN)
        })
    }

    /// Bytes that an entity named go if nothing in the log or beside it names them.
    pub(super) fn release_blob(&self, snapshot: Option<&str>) -> Result<()> {
        let content = json::object(snapshot);
        let Some(hash) = content.get("hash").and_then(Value::as_str) else { return Ok(()) };
        for sql in [
            "select 1 from _lix_change where schema_key = 'lix_unknown_file' and snapshot ->> '$.hash' = ?1",
            "select 1 from _lix_untracked where schema_key = 'lix_unknown_file' and snapshot ->> '$.hash' = ?1",
        ] {
            if self.sql.first(sql, &[Bound::Text(hash)], |_| ())?.is_some() {
                return Ok(());
            }
        }
        self.sql.run("delete from _lix_blob where hash = ?1", &[Bound::Text(hash)])
    }
}

/// The schema of the entities of such files.
pub(super) fn schema() -> Value {
    json!({
        "x-lix-key": SCHEMA,
        "x-lix-version": "2.0",
        "type": "object",
        "properties": {
            "hash": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
            "size": { "type": "integer", "minimum": 0 },
        },
        "required": ["hash", "size"],
        "additionalProperties": false,
    })
}

pub(super) const SCHEMA: &str = "lix_unknown_file";
