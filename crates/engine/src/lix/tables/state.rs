//! `state`, `state_all` and `state_with_tombstones`: every entity, whatever its schema.

use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;

use super::layout::{Column, Layout, Row};
use super::values::{flag, invalid, snapshot};
use super::view::{NewRow, View, Viewer, Writer, replace};
use crate::lix::Lix;
use crate::lix::state::Key;
use crate::lix::write::{Write, WriteKind};

/// Live rows of the active version.
pub(super) fn state(lix: &Weak<Lix>) -> View {
    view(lix, Viewer::Active, Some(Box::new(States)))
}

/// Live rows of every version.
pub(super) fn state_all(lix: &Weak<Lix>) -> View {
    view(lix, Viewer::All, Some(Box::new(States)))
}

/// Rows of every version, tombstones too.
pub(super) fn state_with_tombstones(lix: &Weak<Lix>) -> View {
    View { tombstones: true, ..view(lix, Viewer::All, None) }
}

fn view(lix: &Weak<Lix>, viewer: Viewer, writer: Option<Box<dyn Writer>>) -> View {
    let columns: Vec<(&str, Column)> = COLUMNS
        .into_iter()
        .filter(|(_, column)| viewer == Viewer::All || *column != Column::VersionId)
        .collect();
    View {
        lix: lix.clone(),
        layout: Rc::new(Layout::new(vec![], &columns, writer.is_some())),
        viewer,
        schema_key: None,
        key: vec![],
        tombstones: false,
        writer,
    }
}

struct States;

impl Writer for States {
    fn insert(&self, lix: &Rc<Lix>, row: NewRow<'_>) -> Result<()> {
        let text = |column| -> Result<Rc<str>> { Ok(row.text(column)?.unwrap_or_default()) };
        let key = Key {
            schema_key: text(Column::SchemaKey)?,
            entity_id: text(Column::EntityId)?,
            file_id: text(Column::FileId)?,
        };
        let version_id = row.version_id(lix)?;
        let content = row.given(Column::Snapshot).map(snapshot).transpose()?.flatten();
        let Some(content) = content else {
            return no_content(lix, &version_id, &key);
        };
        lix.write(Write {
            kind: WriteKind::Insert,
            version_id,
            key,
            plugin_key: text(Column::PluginKey)?,
            schema_version: text(Column::SchemaVersion)?,
            snapshot: content,
            untracked: row.given(Column::Untracked).and_then(flag).unwrap_or(false),
        })
    }

    fn update(&self, lix: &Rc<Lix>, old: Row, row: NewRow<'_>) -> Result<()> {
        // What is not set stays; what is set to NULL is missing.
        let text = |column, old: &Rc<str>| -> Result<Rc<str>> {
            match row.given(column) {
                None => Ok(old.clone()),
                Some(value) => Ok(super::values::text(value)?.unwrap_or_default()),
            }
        };
        let state = old.state.clone();
        let content = match row.given(Column::Snapshot) {
            Some(value) => snapshot(value)?,
            None => Some(old.into_content()),
        };
        let key = Key {
            schema_key: text(Column::SchemaKey, &state.key.schema_key)?,
            entity_id: text(Column::EntityId, &state.key.entity_id)?,
            file_id: text(Column::FileId, &state.key.file_id)?,
        };
        let version_id = text(Column::VersionId, &state.version_id)?;
        let Some(content) = content else {
            return lix.delete(&state.version_id, &state.key);
        };
        let new = Write {
            kind: WriteKind::Update,
            version_id,
            key,
            plugin_key: text(Column::PluginKey, &state.plugin_key)?,
            schema_version: text(Column::SchemaVersion, &state.schema_version)?,
            snapshot: content,
            untracked: match row.given(Column::Untracked) {
                Some(value) => flag(value).unwrap_or(false),
                None => state.untracked,
            },
        };
        replace(lix, (&state.version_id, &state.key), new)
    }
}

/// An INSERT without content: a deletion, where that can be meant.
fn no_content(lix: &Rc<Lix>, version_id: &str, key: &Key) -> Result<()> {
    if version_id.is_empty() || lix.get(version_id, key)?.is_none() {
        return Err(invalid("snapshot_content must be a JSON object"));
    }
    lix.delete(version_id, key)
}

const COLUMNS: [(&str, Column); 13] = [
    ("entity_id", Column::EntityId),
    ("schema_key", Column::SchemaKey),
    ("file_id", Column::FileId),
    ("version_id", Column::VersionId),
    ("plugin_key", Column::PluginKey),
    ("snapshot_content", Column::Snapshot),
    ("schema_version", Column::SchemaVersion),
    ("created_at", Column::CreatedAt),
    ("updated_at", Column::UpdatedAt),
    ("inherited_from_version_id", Column::InheritedFrom),
    ("change_id", Column::ChangeId),
    ("untracked", Column::Untracked),
    ("commit_id", Column::CommitId),
];
