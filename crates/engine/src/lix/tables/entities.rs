//! A schema as tables: its properties are columns. `N` shows and writes the active version, `N_all`
//! every version.
//!
//! Guarantee: what an UPDATE does not set keeps its JSON value exactly, whatever it looks like in
//! SQL.

use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::layout::{Column, Layout, Property, Row};
use super::values::{Kind, flag, invalid, text};
use super::view::{NewRow, View, Viewer, Writer, replace};
use crate::lix::schemas::builtin::{Builtin, Default};
use crate::lix::state::Key;
use crate::lix::write::{Write, WriteKind};
use crate::lix::{LIX_FILE, Lix, OWN_PLUGIN, json};
use crate::sqlite::Stored;

/// What the tables of a schema need to know about it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) schema_key: Rc<str>,
    pub(super) schema_version: Rc<str>,
    pub(super) properties: Vec<Property>,
    /// Positions in `properties`.
    pub(super) primary_key: Vec<usize>,
    /// It comes with the engine: its entities belong to no file of the user's.
    pub(super) builtin: Option<&'static Builtin>,
}

impl Shape {
    /// None: the schema has no primary key, or its document is not one of a schema.
    pub(super) fn of(document: &Value, builtin: Option<&'static Builtin>) -> Option<Self> {
        let properties: Vec<Property> = document
            .get("properties")?
            .as_object()?
            .iter()
            .map(|(name, schema)| Property { name: name.as_str().into(), kind: Kind::of(schema) })
            .collect();
        let primary_key = document.get("x-lix-primary-key")?.as_array()?;
        let primary_key: Option<Vec<usize>> = primary_key
            .iter()
            .map(|name| {
                properties.iter().position(|property| Some(&*property.name) == name.as_str())
            })
            .collect();
        Some(Self {
            schema_key: document.get("x-lix-key")?.as_str()?.into(),
            schema_version: document.get("x-lix-version")?.as_str()?.into(),
            primary_key: primary_key.filter(|key| !key.is_empty())?,
            properties,
            builtin,
        })
    }

    /// SQLite can declare all of its tables.
    pub(super) fn is_possible(&self) -> bool {
        Layout::new(self.properties.clone(), &COLUMNS, true).is_possible()
            // The columns that only a table of history has.
            && !["lixcol_schema_version", "lixcol_root_commit_id", "lixcol_depth"]
                .iter()
                .any(|name| self.properties.iter().any(|own| own.name.eq_ignore_ascii_case(name)))
    }

    /// Its entities are schemas.
    fn is_schemas(&self) -> bool {
        self.builtin.is_some_and(|builtin| builtin.key == "lix_stored_schema")
    }

    /// What a property becomes that an INSERT leaves out.
    fn default(&self, lix: &Lix, property: &str) -> Value {
        match self.builtin.and_then(|builtin| builtin.default(property)) {
            Some(Default::NanoId) => Value::from(&*lix.ids.nano_id(None)),
            Some(Default::UuidV7) => Value::from(&*lix.ids.uuid_v7()),
            // Follow from the whole row.
            Some(Default::SchemaKey | Default::SchemaVersion) | None => Value::Null,
        }
    }

    /// The id that follows from the primary key; none if a part of it is missing.
    fn entity_id(&self, content: &Map<String, Value>) -> Option<Rc<str>> {
        let mut parts = Vec::with_capacity(self.primary_key.len());
        for part in &self.primary_key {
            parts.push(match content.get(&*self.properties[*part].name)? {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
        }
        Some(parts.join("~").into())
    }
}

/// `N` or `N_all`; writing is refused where the rows are computed.
pub(super) fn entities(
    lix: &Weak<Lix>,
    shape: &Rc<Shape>,
    viewer: Viewer,
    is_writable: bool,
) -> View {
    let columns: Vec<(&str, Column)> = COLUMNS
        .into_iter()
        .filter(|(_, column)| viewer == Viewer::All || *column != Column::VersionId)
        .collect();
    let writer = is_writable.then(|| -> Box<dyn Writer> { Box::new(Entities(shape.clone())) });
    // A lookup by primary key needs texts; other keys are found by looking at all rows.
    let is_text = |part: &usize| shape.properties[*part].kind == Kind::String;
    let key =
        if shape.primary_key.iter().all(is_text) { shape.primary_key.clone() } else { vec![] };
    View {
        lix: lix.clone(),
        layout: Rc::new(Layout::new(shape.properties.clone(), &columns, writer.is_some())),
        viewer,
        schema_key: Some(shape.schema_key.clone()),
        key,
        tombstones: false,
        writer,
    }
}

struct Entities(Rc<Shape>);

impl Writer for Entities {
    fn insert(&self, lix: &Rc<Lix>, row: NewRow<'_>) -> Result<()> {
        let shape = &*self.0;
        let version_id = row.version_id(lix)?;
        let mut content = Map::with_capacity(shape.properties.len());
        for (number, property) in shape.properties.iter().enumerate() {
            let given = row.given(Column::Property(number)).unwrap_or(Stored::Null);
            let value = match property.kind.json(given)? {
                Value::Null => shape.default(lix, &property.name),
                value => value,
            };
            content.insert(property.name.to_string(), value);
        }
        if shape.is_schemas() {
            complete_stored_schema(&mut content)?;
        }
        let (file_id, plugin_key) = self.owner(&row, LIX_FILE, OWN_PLUGIN)?;
        lix.write(Write {
            kind: WriteKind::Insert,
            version_id,
            key: Key {
                schema_key: shape.schema_key.clone(),
                entity_id: shape.entity_id(&content).unwrap_or_default(),
                file_id,
            },
            plugin_key,
            schema_version: shape.schema_version.clone(),
            snapshot: content,
            untracked: row.given(Column::Untracked).and_then(flag).unwrap_or(false),
        })
    }

    fn update(&self, lix: &Rc<Lix>, old: Row, row: NewRow<'_>) -> Result<()> {
        let shape = &*self.0;
        if shape.is_schemas() {
            return Err(invalid(IMMUTABLE));
        }
        let state = old.state.clone();
        let mut content = old.into_content();
        let mut moves = false;
        for (number, property) in shape.properties.iter().enumerate() {
            if let Some(given) = row.given(Column::Property(number)) {
                let value = property.kind.json(given)?;
                moves |= shape.primary_key.contains(&number)
                    && content.get(&*property.name) != Some(&value);
                content.insert(property.name.to_string(), value);
            }
        }
        // An entity keeps the id it has, which need not follow from its primary key.
        let entity_id = match moves {
            true => shape.entity_id(&content).unwrap_or_default(),
            false => state.key.entity_id.clone(),
        };
        let version_id = match row.given(Column::VersionId) {
            Some(value) => text(value)?.unwrap_or_default(),
            None => state.version_id.clone(),
        };
        let (file_id, plugin_key) = self.owner(&row, &state.key.file_id, &state.plugin_key)?;
        let new = Write {
            kind: WriteKind::Update,
            version_id,
            key: Key { schema_key: shape.schema_key.clone(), entity_id, file_id },
            plugin_key,
            schema_version: state.schema_version.clone(),
            snapshot: content,
            untracked: row.given(Column::Untracked).and_then(flag).unwrap_or(state.untracked),
        };
        replace(lix, (&state.version_id, &state.key), new)
    }
}

impl Entities {
    /// The file and the plugin an entity belongs to: fixed for what comes with the engine.
    fn owner(&self, row: &NewRow<'_>, file: &str, plugin: &str) -> Result<(Rc<str>, Rc<str>)> {
        if self.0.builtin.is_some() {
            return Ok((file.into(), plugin.into()));
        }
        let file_id = row.text(Column::FileId)?.unwrap_or_else(|| file.into());
        let plugin_key = row.text(Column::PluginKey)?.unwrap_or_else(|| plugin.into());
        Ok((file_id, plugin_key))
    }
}

/// Key and version of a stored schema are those of its document.
fn complete_stored_schema(content: &mut Map<String, Value>) -> Result<()> {
    let document = match content.get("value") {
        Some(Value::String(text)) => json::parse(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    for (property, keyword) in [("key", "x-lix-key"), ("version", "x-lix-version")] {
        let Some(own) = document.get(keyword).and_then(Value::as_str).filter(|own| !own.is_empty())
        else {
            let message =
                format!("The provided schema is not a valid lix schema: it must have '{keyword}'");
            return Err(invalid(message));
        };
        match content.get(property) {
            None | Some(Value::Null) => {
                content.insert(property.to_owned(), own.into());
            }
            Some(Value::String(given)) if given == own => {}
            Some(given) => {
                let message = format!(
                    "Inserted {property} does not match value.{keyword}: {given} is not \"{own}\""
                );
                return Err(Error::new(Reason::Validation, message));
            }
        }
    }
    Ok(())
}

const COLUMNS: [(&str, Column); 11] = [
    ("lixcol_entity_id", Column::EntityId),
    ("lixcol_schema_key", Column::SchemaKey),
    ("lixcol_plugin_key", Column::PluginKey),
    ("lixcol_file_id", Column::FileId),
    ("lixcol_version_id", Column::VersionId),
    ("lixcol_inherited_from_version_id", Column::InheritedFrom),
    ("lixcol_created_at", Column::CreatedAt),
    ("lixcol_updated_at", Column::UpdatedAt),
    ("lixcol_change_id", Column::ChangeId),
    ("lixcol_commit_id", Column::CommitId),
    ("lixcol_untracked", Column::Untracked),
];

const IMMUTABLE: &str = "Schemas are immutable and cannot be updated for backwards compatibility. \
                         Bump the version number instead.";
