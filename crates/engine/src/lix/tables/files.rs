//! `file` and `file_all`: files with their content.
//!
//! Guarantee: a row is found by its id or path without looking at others, and what costs something
//! (the content, what was changed last) is computed for rows and columns that somebody reads.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::key;
use super::layout::{Row, declare, optional};
use super::lookup;
use super::values::{Kind, flag, show, text, texts};
use super::view::{alive, stored_key};
use crate::lix::Lix;
use crate::lix::files::{Descriptor, FileChange, NewFile, Newest, SCHEMA};
use crate::lix::state::{Filter, Key, Scan, StateRow, UNTRACKED, Viewers};
use crate::sqlite::Stored;
use crate::sqlite::vtab::{self, Argument, Cell, Change, Op, Plan, Table, Values};

/// `file`, or `file_all`.
pub(super) struct Files {
    pub(super) lix: Weak<Lix>,
    /// Seen from every version, not only from the active one.
    pub(super) is_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Path,
    Data,
    Metadata,
    Hidden,
    EntityId,
    SchemaKey,
    FileId,
    VersionId,
    InheritedFrom,
    ChangeId,
    CreatedAt,
    UpdatedAt,
    CommitId,
    Untracked,
    Key,
}

impl Files {
    fn columns(&self) -> impl Iterator<Item = (&'static str, Column)> {
        let is_all = self.is_all;
        COLUMNS.into_iter().filter(move |(_, column)| is_all || *column != Column::VersionId)
    }
}

impl Table for Files {
    fn declaration(&self) -> String {
        let columns = self.columns().map(|(name, column)| {
            let declared = match column {
                Column::Data => "blob",
                Column::Metadata => "json text",
                Column::Hidden | Column::Untracked => "integer",
                Column::Key => "text hidden not null primary key",
                _ => "text",
            };
            (name, declared)
        });
        declare(columns) + " without rowid"
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let columns: Vec<Column> = self.columns().map(|(_, column)| column).collect();
        let chosen = lookup::choose(plan, |constraint| {
            let index = usize::try_from(constraint.column).ok()?;
            let word = match columns.get(index)? {
                Column::Id => "id",
                Column::Path => "path",
                Column::EntityId => "entity",
                Column::FileId => "file",
                Column::VersionId => "version",
                _ => return None,
            };
            // A path can be missing, and NULL is looked up by nobody.
            let is_equal = constraint.op == Op::Eq
                || (constraint.op == Op::Is && !matches!(word, "id" | "path"));
            is_equal.then(|| word.to_owned())
        });
        let is_one_viewer = !self.is_all || chosen.has("version");
        let is_one = ["id", "path", "entity", "file"].iter().any(|word| chosen.has(word));
        let mut rows = if is_one { 1.0 } else { 10_000.0 };
        rows *= if is_one_viewer { 1.0 } else { 4.0 };
        rows *= chosen.fan_out();
        plan.set_cost(10.0 + rows * 3.0);
        plan.set_rows(rows as i64);
        Ok(())
    }

    fn open(&self) -> Box<dyn vtab::Rows> {
        Box::new(Rows {
            lix: self.lix.clone(),
            columns: self.columns().map(|(_, column)| column).collect(),
            is_all: self.is_all,
            scan: None,
            row: None,
        })
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn update(&self, change: Change<'_>) -> Result<()> {
        let lix = alive(&self.lix)?;
        let given = |values| Given { table: self, values };
        match change {
            Change::Insert { values } => insert(&lix, &given(values)),
            Change::Update { key, values } => {
                let (version_id, key) = stored_key(key)?;
                match lix.get(&version_id, &key)? {
                    Some(old) => update(&lix, old, &given(values)),
                    None => Ok(()),
                }
            }
            Change::Delete { key } => {
                let (version_id, key) = stored_key(key)?;
                match lix.get(&version_id, &key)? {
                    Some(row) => lix.delete_file(&version_id, &row),
                    None => lix.delete_as_inherited(&version_id, &key),
                }
            }
        }
    }
}

/// The values of a written row.
struct Given<'a> {
    table: &'a Files,
    values: Values<'a>,
}

impl<'a> Given<'a> {
    /// The value of a column; none if an UPDATE leaves it alone or the table does not have it.
    fn get(&self, column: Column) -> Option<Stored<'a>> {
        let index = self.table.columns().position(|(_, other)| other == column)?;
        (!self.values.is_unchanged(index)).then(|| self.values.get(index))
    }

    fn text(&self, column: Column) -> Result<Option<Rc<str>>> {
        self.get(column).map_or(Ok(None), text)
    }

    fn data(&self) -> Result<Option<&'a [u8]>> {
        let refuse = |kind: &str| {
            let message = format!(
                "the data of a file is bytes: a BLOB, or NULL for an empty file, not {kind} value"
            );
            Err(Error::new(Reason::Validation, message).subject("data"))
        };
        match self.get(Column::Data) {
            None => Ok(None),
            Some(Stored::Null) => Ok(Some(&[])),
            Some(Stored::Blob(bytes)) => Ok(Some(bytes)),
            Some(Stored::Text(_)) => refuse("a TEXT"),
            Some(Stored::Integer(_)) => refuse("an INTEGER"),
            Some(Stored::Real(_)) => refuse("a REAL"),
        }
    }

    /// Puts what is given into a descriptor.
    fn describe(&self, content: &mut Map<String, Value>) -> Result<()> {
        for (column, name, kind) in [
            (Column::Id, "id", Kind::String),
            (Column::Path, "path", Kind::String),
            (Column::Metadata, "metadata", Kind::Json),
            (Column::Hidden, "hidden", Kind::Boolean),
        ] {
            if let Some(given) = self.get(column) {
                content.insert(name.to_owned(), kind.json(given)?);
            }
        }
        Ok(())
    }
}

fn insert(lix: &Rc<Lix>, given: &Given<'_>) -> Result<()> {
    let data = given.data()?.unwrap_or_default();
    let mut content = Map::new();
    given.describe(&mut content)?;
    if content.get("id").is_none_or(Value::is_null) {
        content.insert("id".into(), (&*lix.ids.nano_id(None)).into());
    }
    if content.get("hidden").is_none_or(Value::is_null) {
        content.insert("hidden".into(), false.into());
    }
    let version_id = match given.text(Column::VersionId)? {
        Some(version_id) => version_id,
        None => lix.active_version_id()?.unwrap_or_default(),
    };
    let untracked = given.get(Column::Untracked).and_then(flag).unwrap_or(false);
    lix.insert_file(NewFile { version_id, content, data, untracked })
}

fn update(lix: &Rc<Lix>, old: StateRow, given: &Given<'_>) -> Result<()> {
    let data = given.data()?;
    let mut content = Row::new(old.clone()).into_content();
    given.describe(&mut content)?;
    if content.get("hidden").is_some_and(Value::is_null) {
        content.insert("hidden".into(), false.into());
    }
    let version_id = match given.get(Column::VersionId) {
        Some(version_id) => text(version_id)?.unwrap_or_default(),
        None => old.version_id.clone(),
    };
    let untracked = given.get(Column::Untracked).and_then(flag).unwrap_or(old.untracked);
    lix.update_file(&old, FileChange { version_id, content, data, untracked })
}

/// One pass over files.
struct Rows {
    lix: Weak<Lix>,
    columns: Vec<Column>,
    is_all: bool,
    scan: Option<Scan>,
    row: Option<File>,
}

/// A file that is shown.
struct File {
    row: Row,
    descriptor: OnceCell<Descriptor>,
    newest: OnceCell<Option<Newest>>,
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        (self.scan, self.row) = (None, None);
        let lix = alive(&self.lix)?;
        let mut filter = Filter {
            viewers: match self.is_all {
                true => Viewers::All,
                false => Viewers::These(lix.active_version_id()?.into_iter().collect()),
            },
            schema_keys: Some(vec![SCHEMA.into()]),
            ..Filter::default()
        };
        for (word, argument) in plan.split_ascii_whitespace().zip(arguments) {
            let Some(texts) = texts(argument.values()?) else { continue };
            let narrow = |list: &mut Option<Vec<Rc<str>>>, ids: Vec<Rc<str>>| match list {
                Some(list) => list.retain(|id| ids.contains(id)),
                None => *list = Some(ids),
            };
            match word {
                "version" => filter.viewers = Viewers::These(texts),
                "file" => narrow(&mut filter.file_ids, texts),
                "entity" => narrow(&mut filter.entity_ids, texts),
                // Descriptors that were written through `state` may have whatever entity id.
                "id" => {
                    if lix.notes_reads() && lix.has_lookups(SCHEMA, &["id".into()])? {
                        // Where some have other ids than their entities, any file may come to have it.
                        lix.note_filter(&Filter { entity_ids: None, ..filter.clone() })?;
                    }
                    let mut ids = texts.clone();
                    ids.extend(found(&lix, "id", &texts)?);
                    narrow(&mut filter.entity_ids, ids);
                }
                "path" if lix.schemas.borrow().is_indexed(SCHEMA, &["path".into()]) => {
                    // Any file may come to have the path.
                    lix.note_filter(&Filter { entity_ids: None, ..filter.clone() })?;
                    narrow(&mut filter.entity_ids, found(&lix, "path", &texts)?);
                }
                _ => {}
            }
        }
        self.scan = Some(lix.scan(filter)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.row = match &mut self.scan {
            Some(scan) => scan.next()?.map(|state| File {
                row: Row::new(state),
                descriptor: OnceCell::new(),
                newest: OnceCell::new(),
            }),
            None => None,
        };
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        let (Some(file), Some(column)) = (&self.row, self.columns.get(index)) else {
            return Ok(());
        };
        // An UPDATE takes what it does not set from the row itself.
        if *column != Column::Key && out.is_unchanged() {
            return Ok(());
        }
        let state = &file.row.state;
        let mut property = |name: &str| {
            if let Some(value) = file.row.content().get(name) {
                show(value, out);
            }
        };
        match column {
            Column::Path => property("path"),
            Column::Metadata => property("metadata"),
            Column::Hidden => out.integer(file.descriptor().is_hidden().into()),
            Column::Id | Column::FileId => out.text(&file.descriptor().id),
            Column::EntityId => out.text(&state.key.entity_id),
            Column::SchemaKey => out.text(SCHEMA),
            Column::VersionId => out.text(&state.version_id),
            Column::InheritedFrom => optional(out, state.inherited_from.as_deref()),
            Column::Untracked => out.integer(state.untracked.into()),
            Column::Key => out.text(&key::pack(&state.version_id, &state.key)),
            Column::Data => {
                let lix = alive(&self.lix)?;
                let version_id = &state.version_id;
                return lix.with_file_data(version_id, file.descriptor(), |data| out.blob(data));
            }
            Column::ChangeId | Column::CommitId if state.untracked => out.text(UNTRACKED),
            Column::CreatedAt | Column::UpdatedAt if state.untracked => out.null(),
            Column::CreatedAt => out.text(&state.created_at),
            Column::ChangeId | Column::CommitId | Column::UpdatedAt => {
                if let Some(newest) = file.newest(&alive(&self.lix)?)? {
                    out.text(match column {
                        Column::ChangeId => &newest.change_id,
                        Column::CommitId => &newest.commit_id,
                        _ => &newest.updated_at,
                    });
                }
            }
        }
        Ok(())
    }
}

impl File {
    fn descriptor(&self) -> &Descriptor {
        let state = &self.row.state;
        self.descriptor.get_or_init(|| Descriptor::of(&state.key.entity_id, self.row.content()))
    }

    fn newest(&self, lix: &Rc<Lix>) -> Result<Option<&Newest>> {
        if self.newest.get().is_none() {
            let newest = lix.newest(&self.row.state.version_id, self.descriptor())?;
            let _ = self.newest.set(newest);
        }
        Ok(self.newest.get().expect("set above").as_ref())
    }
}

/// The entities that have, or once had, one of these values.
fn found(lix: &Lix, property: &str, texts: &[Rc<str>]) -> Result<Vec<Rc<str>>> {
    let mut ids = Vec::new();
    for text in texts {
        let value = Value::from(&**text);
        for Key { entity_id, .. } in lix.lookup(SCHEMA, &[property.into()], &[&value])? {
            if !ids.contains(&entity_id) {
                ids.push(entity_id);
            }
        }
    }
    Ok(ids)
}

const COLUMNS: [(&str, Column); 16] = [
    ("id", Column::Id),
    ("path", Column::Path),
    ("data", Column::Data),
    ("metadata", Column::Metadata),
    ("hidden", Column::Hidden),
    ("lixcol_entity_id", Column::EntityId),
    ("lixcol_schema_key", Column::SchemaKey),
    ("lixcol_file_id", Column::FileId),
    ("lixcol_version_id", Column::VersionId),
    ("lixcol_inherited_from_version_id", Column::InheritedFrom),
    ("lixcol_change_id", Column::ChangeId),
    ("lixcol_created_at", Column::CreatedAt),
    ("lixcol_updated_at", Column::UpdatedAt),
    ("lixcol_commit_id", Column::CommitId),
    ("lixcol_untracked", Column::Untracked),
    ("_pk", Column::Key),
];
