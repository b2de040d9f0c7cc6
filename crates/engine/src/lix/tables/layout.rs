//! The columns of a table: what they are called, and what of a row they show.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::key;
use super::values::{self, Kind, show};
use crate::lix::json::{self, Extracted};
use crate::lix::state::StateRow;
use crate::sqlite::vtab::Cell;

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    EntityId,
    SchemaKey,
    FileId,
    VersionId,
    PluginKey,
    Snapshot,
    SchemaVersion,
    CreatedAt,
    UpdatedAt,
    InheritedFrom,
    ChangeId,
    Untracked,
    CommitId,
    /// A property of the content, by its number.
    Property(usize),
    /// Hidden: the JSON types of the properties.
    Types,
    /// The hidden primary key.
    Key,
}

impl Column {
    fn declared_type(self, properties: &[Property]) -> &'static str {
        match self {
            Column::Untracked => "integer",
            Column::Snapshot => "json text",
            Column::Property(number) => values::declared_type(properties[number].kind),
            Column::Types => "text hidden",
            Column::Key => "text hidden not null primary key",
            _ => "text",
        }
    }
}

/// The declaration of a table with these columns, each a name and a type.
pub(super) fn declare<'a>(columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sql = String::from("create table x(");
    for (index, (name, declared)) in columns.into_iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let name = name.replace('"', "\"\"");
        let _ = write!(sql, "{comma}\"{name}\" {declared}");
    }
    sql.push(')');
    sql
}

/// A property of the content that has a column.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) name: Rc<str>,
    pub(super) kind: Kind,
}

/// The columns of a table, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) properties: Vec<Property>,
    names: Vec<Rc<str>>,
    columns: Vec<Column>,
}

impl Layout {
    /// The properties first, then the others, then their types if those are of use, then the key if
    /// the table can be written.
    pub(super) fn new(
        properties: Vec<Property>,
        others: &[(&str, Column)],
        is_writable: bool,
    ) -> Self {
        let mut layout = Self::default();
        for (number, property) in properties.iter().enumerate() {
            layout.names.push(property.name.clone());
            layout.columns.push(Column::Property(number));
        }
        for (name, column) in others {
            layout.names.push((*name).into());
            layout.columns.push(*column);
        }
        if values::are_typed(&properties) {
            layout.names.push(values::TYPES.into());
            layout.columns.push(Column::Types);
        }
        if is_writable {
            layout.names.push(KEY.into());
            layout.columns.push(Column::Key);
        }
        layout.properties = properties;
        layout
    }

    /// SQLite can declare it: no name comes twice, and there are not too many.
    pub(super) fn is_possible(&self) -> bool {
        let mut seen = std::collections::HashSet::new();
        self.names.len() <= MAX_COLUMNS
            && self
                .names
                .iter()
                .all(|name| !name.contains('\0') && seen.insert(name.to_ascii_lowercase()))
    }

    pub(super) fn declaration(&self) -> String {
        let types = self.columns.iter().map(|column| column.declared_type(&self.properties));
        let mut sql = declare(self.names.iter().map(|name| &**name).zip(types));
        if self.columns.contains(&Column::Key) {
            sql.push_str(" without rowid");
        }
        sql
    }

    /// What a column shows; none: there is no such column.
    pub(super) fn column(&self, index: i32) -> Option<Column> {
        self.columns.get(usize::try_from(index).ok()?).copied()
    }

    pub(super) fn position(&self, column: Column) -> Option<usize> {
        self.columns.iter().position(|other| *other == column)
    }

    /// Shows a column of a row.
    pub(super) fn show(&self, index: usize, row: &Row, out: &mut Cell<'_>) -> Result<()> {
        let Some(column) = self.columns.get(index) else { return Ok(()) };
        // An UPDATE takes what it does not set from the row itself, with its JSON type.
        if *column != Column::Key && out.is_unchanged() {
            return Ok(());
        }
        let state = &row.state;
        match *column {
            Column::EntityId => out.text(&state.key.entity_id),
            Column::SchemaKey => out.text(&state.key.schema_key),
            Column::FileId => out.text(&state.key.file_id),
            Column::VersionId => out.text(&state.version_id),
            Column::PluginKey => out.text(&state.plugin_key),
            Column::Snapshot => optional(out, state.snapshot.as_deref()),
            Column::SchemaVersion => out.text(&state.schema_version),
            Column::CreatedAt => out.text(&state.created_at),
            Column::UpdatedAt => out.text(&state.updated_at),
            Column::InheritedFrom => optional(out, state.inherited_from.as_deref()),
            Column::ChangeId => out.text(&state.change_id),
            Column::Untracked => out.integer(state.untracked.into()),
            Column::CommitId => out.text(&state.commit_id),
            Column::Property(number) => {
                let name = &*self.properties[number].name;
                if self.properties.len() > FEW_PROPERTIES || row.content.get().is_some() {
                    if let Some(value) = row.content().get(name) {
                        show(value, out);
                    }
                } else if let Some(value) =
                    state.snapshot.as_deref().and_then(|text| json::member(text, name))
                {
                    match value.extract() {
                        Extracted::Null => out.null(),
                        Extracted::Integer(integer) => out.integer(integer),
                        Extracted::Real(real) => out.real(real),
                        Extracted::Text(text) => out.text(&text),
                    }
                }
            }
            Column::Types => out.text(&values::types(row.content(), &self.properties)),
            Column::Key => out.text(&key::pack(&state.version_id, &state.key)),
        }
        Ok(())
    }
}

/// A row of state whose content is parsed when somebody asks for a property.
pub(super) struct Row {
    pub(super) state: StateRow,
    content: OnceCell<Map<String, Value>>,
}

impl Row {
    pub(super) fn new(state: StateRow) -> Self {
        Self { state, content: OnceCell::new() }
    }

    /// The content; empty for a tombstone.
    pub(super) fn content(&self) -> &Map<String, Value> {
        self.content.get_or_init(|| json::object(self.state.snapshot.as_deref()))
    }

    pub(super) fn into_content(self) -> Map<String, Value> {
        self.content();
        self.content.into_inner().unwrap_or_default()
    }
}

/// Stored content: an object, or empty for a deletion.
pub(super) fn optional(out: &mut Cell<'_>, text: Option<&str>) {
    match text {
        Some(text) => out.text(text),
        None => out.null(),
    }
}

/// Up to so many, each is read from the text by itself; more are parsed together.
const FEW_PROPERTIES: usize = 8;

const KEY: &str = "_pk";
/// SQLite's default limit, which is not raised here.
const MAX_COLUMNS: usize = 2_000;
