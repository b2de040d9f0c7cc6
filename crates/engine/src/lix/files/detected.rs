//! What a plugin says has become of a file's entities.
//!
//! Guarantee: nothing of it is believed. It is checked as a whole before anything is written, and
//! says which change is wrong.

use std::collections::HashSet;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::blobs;
use super::rows::Changed;
use crate::lix::schemas::{Schema, builtin};
use crate::lix::state::Key;
use crate::lix::write::{Write, WriteKind};
use crate::lix::{Lix, OWN_PLUGIN, json};

impl Lix {
    /// Reads the answer of a plugin, and stores the schemas it comes with if they are new.
    pub(super) fn read_detected(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        untracked: bool,
        plugin: &str,
        answer: &str,
    ) -> Result<Vec<Changed>> {
        let refuse = |problem: String| {
            let message = format!("plugin '{plugin}': detectChanges returned {problem}");
            Error::new(Reason::PluginInvalid, message).subject(plugin)
        };
        let answer = json::parse(answer).map_err(|why| refuse(format!("no JSON: {why}")))?;
        let Value::Object(mut answer) = answer else { return Err(refuse("no object".into())) };
        let (Some(Value::Array(documents)), Some(Value::Array(changes))) =
            (answer.remove("schemas"), answer.remove("changes"))
        else {
            return Err(refuse("no list of changes".into()));
        };
        let mut schemas = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            let compiled = self
                .schemas
                .borrow()
                .compile(document)
                .map_err(|error| refuse(format!("schema {index}: {}", error.message)))?;
            if is_ours(&compiled.key) {
                let key = &compiled.key;
                return Err(refuse(format!("schema {index}: '{key}' is a schema of the engine's")));
            }
            schemas.push(compiled);
        }
        let mut read = Vec::with_capacity(changes.len());
        let mut known = HashSet::with_capacity(changes.len());
        let mut writes = vec![false; schemas.len()];
        for (number, change) in changes.into_iter().enumerate() {
            let refuse = |problem: &str| refuse(format!("change {number}: {problem}"));
            let Value::Array(parts) = change else { return Err(refuse("it is no list")) };
            let Ok([schema, entity_id, snapshot]) = <[Value; 3]>::try_from(parts) else {
                return Err(refuse("it has not three parts"));
            };
            let index = schema.as_u64().and_then(|index| usize::try_from(index).ok());
            let Some((index, schema)) = index.and_then(|index| Some((index, schemas.get(index)?)))
            else {
                return Err(refuse("it has no schema"));
            };
            let entity_id: Rc<str> = match entity_id {
                Value::String(id) if !id.is_empty() => id.into(),
                Value::String(_) => return Err(refuse("entity_id is empty")),
                _ => return Err(refuse("entity_id is no string")),
            };
            let snapshot = match snapshot {
                Value::Null => None,
                Value::Object(snapshot) => Some(snapshot),
                _ => return Err(refuse("snapshot_content is neither an object nor null")),
            };
            if !known.insert((schema.key.clone(), entity_id.clone())) {
                let key = &schema.key;
                return Err(refuse(&format!("'{entity_id}' of schema '{key}' is there twice")));
            }
            writes[index] |= snapshot.is_some();
            read.push(Changed { schema: schema.clone(), entity_id, snapshot });
        }
        for (schema, writes) in schemas.iter().zip(writes) {
            self.put_schema(version_id, untracked, schema, writes)?;
        }
        Ok(read)
    }

    /// The schema of a detected entity is stored, or the one that is stored is the same.
    pub(super) fn put_schema(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        untracked: bool,
        schema: &Schema,
        writes: bool,
    ) -> Result<()> {
        let Schema { key, version, .. } = schema;
        if self.schemas.borrow().has_stored(key, version) {
            let stored = self.schemas.borrow().find(key, version)?;
            if stored.is_some_and(|stored| stored.document != schema.document) {
                let message = format!(
                    "Schema differs from stored version for key '{key}' version '{version}'. \
                     Please bump the schema version (x-lix-version) to use a different schema."
                );
                return Err(Error::new(Reason::SchemaMismatch, message).subject(&**key));
            }
            return Ok(());
        }
        if !writes {
            return Ok(());
        }
        let mut snapshot = Map::new();
        snapshot.insert("key".into(), (&**key).into());
        snapshot.insert("version".into(), (&**version).into());
        snapshot.insert("value".into(), schema.document.clone());
        self.write(Write {
            kind: WriteKind::Insert,
            version_id: version_id.clone(),
            key: Key::own("lix_stored_schema", &format!("{key}~{version}")),
            plugin_key: OWN_PLUGIN.into(),
            schema_version: "1.0".into(),
            snapshot,
            untracked,
        })
    }
}

fn is_ours(schema_key: &str) -> bool {
    schema_key == blobs::SCHEMA || builtin::ALL.iter().any(|builtin| builtin.key == schema_key)
}
