//! A table over rows of state: `state` and its like, entities, what is active. They differ in their
//! columns, in who looks, and in what a write means.

use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::Value;

use super::key;
use super::layout::{Column, Layout, Row};
use super::lookup::{self, Facts, Term, Wanted, join_keys};
use crate::lix::reads::Read;
use crate::lix::schemas::builtin::Builtin;
use crate::lix::state::{Filter, Key, Scan, Viewers};
use crate::lix::write::{Write, WriteKind};
use crate::lix::{GLOBAL, Lix};
use crate::sqlite::Stored;
use crate::sqlite::vtab::{self, Argument, Cell, Change, Plan, Table, Values};

/// A table over rows of state.
pub(super) struct View {
    pub(super) lix: Weak<Lix>,
    pub(super) layout: Rc<Layout>,
    pub(super) viewer: Viewer,
    /// The only schema key of the rows.
    pub(super) schema_key: Option<Rc<str>>,
    /// The properties that entity ids are made of, if they are.
    pub(super) key: Vec<usize>,
    pub(super) tombstones: bool,
    pub(super) writer: Option<Box<dyn Writer>>,
}

/// Who looks at the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewer {
    Active,
    All,
    Global,
}

/// What writing to a view means.
pub(super) trait Writer {
    fn insert(&self, lix: &Rc<Lix>, row: NewRow<'_>) -> Result<()>;

    /// `old` is what the view shows under the key.
    fn update(&self, lix: &Rc<Lix>, old: Row, row: NewRow<'_>) -> Result<()>;

    fn delete(&self, lix: &Rc<Lix>, version_id: &str, key: &Key) -> Result<()> {
        lix.delete(version_id, key)
    }
}

/// The values of a written row, by what they mean.
pub(super) struct NewRow<'a> {
    pub(super) layout: &'a Layout,
    pub(super) values: Values<'a>,
    pub(super) viewer: Viewer,
}

impl<'a> NewRow<'a> {
    /// The value of a column; none if an UPDATE leaves it alone or the view does not have it.
    pub(super) fn given(&self, column: Column) -> Option<Stored<'a>> {
        let index = self.layout.position(column)?;
        (!self.values.is_unchanged(index)).then(|| self.values.get(index))
    }

    /// A text; none if it is not given or NULL.
    pub(super) fn text(&self, column: Column) -> Result<Option<Rc<str>>> {
        self.given(column).map_or(Ok(None), super::values::text)
    }

    /// The version that an INSERT goes to; empty if nobody said.
    pub(super) fn version_id(&self, lix: &Lix) -> Result<Rc<str>> {
        Ok(match self.viewer {
            Viewer::Active => lix.active_version_id()?,
            Viewer::All => self.text(Column::VersionId)?,
            Viewer::Global => Some(GLOBAL.into()),
        }
        .unwrap_or_default())
    }
}

/// Writes what an UPDATE made of a row: in its place, or elsewhere if what names it was changed.
pub(super) fn replace(lix: &Rc<Lix>, old: (&str, &Key), mut new: Write) -> Result<()> {
    new.kind = WriteKind::Update;
    if (&*new.version_id, &new.key) != old {
        lix.delete(old.0, old.1)?;
        new.kind = WriteKind::Insert;
    }
    lix.write(new)
}

impl Table for View {
    fn declaration(&self) -> String {
        self.layout.declaration()
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let facts = Facts {
            all_versions: self.viewer == Viewer::All,
            one_schema: self.schema_key.is_some(),
        };
        lookup::plan(plan, &self.layout, facts, &self.key);
        Ok(())
    }

    fn open(&self) -> Box<dyn vtab::Rows> {
        Box::new(Rows {
            lix: self.lix.clone(),
            layout: self.layout.clone(),
            viewer: self.viewer,
            schema_key: self.schema_key.clone(),
            key: self.key.clone(),
            tombstones: self.tombstones,
            scan: None,
            row: None,
        })
    }

    fn is_writable(&self) -> bool {
        self.writer.is_some()
    }

    /// A row may be gone although the statement found it: the same statement took it from the
    /// version that this one inherited it from.
    fn update(&self, change: Change<'_>) -> Result<()> {
        let lix = alive(&self.lix)?;
        let writer = self.writer.as_ref().expect("SQLite writes to writable tables only");
        let new = |values| NewRow { layout: &self.layout, values, viewer: self.viewer };
        match change {
            Change::Insert { values } => writer.insert(&lix, new(values)),
            Change::Update { key, values } => {
                let (version_id, key) = stored_key(key)?;
                match lix.get(&version_id, &key)? {
                    Some(old) => writer.update(&lix, Row::new(old), new(values)),
                    None => Ok(()),
                }
            }
            Change::Delete { key } => {
                let (version_id, key) = stored_key(key)?;
                match lix.get(&version_id, &key)? {
                    Some(_) => writer.delete(&lix, &version_id, &key),
                    None => lix.delete_as_inherited(&version_id, &key),
                }
            }
        }
    }
}

/// One pass over a view.
struct Rows {
    lix: Weak<Lix>,
    layout: Rc<Layout>,
    viewer: Viewer,
    schema_key: Option<Rc<str>>,
    key: Vec<usize>,
    tombstones: bool,
    scan: Option<Scan>,
    row: Option<Row>,
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        (self.scan, self.row) = (None, None);
        let lix = alive(&self.lix)?;
        let wanted = Wanted::read(plan, arguments)?;
        let viewers = match self.viewer {
            Viewer::Active => Viewers::These(lix.active_version_id()?.into_iter().collect()),
            Viewer::All => Viewers::All,
            Viewer::Global => Viewers::These(vec![GLOBAL.into()]),
        };
        let mut filter = Filter {
            viewers,
            schema_keys: self.schema_key.clone().map(|key| vec![key]),
            tombstones: self.tombstones,
            ..Filter::default()
        };
        let mut by_key = false;
        if wanted.get(Term::Entity).is_none()
            && let Some(schema_key) = &self.schema_key
            && let Some(key) = wanted.key(&self.key)
        {
            filter.entity_ids = self.entity_ids(&lix, schema_key, &key)?;
            by_key = true;
        }
        wanted.narrow(&mut filter, &self.layout);
        if lix.notes_reads() {
            self.note(&lix, &filter, by_key)?;
        }
        if let Some((version_id, key)) = one_key(&filter) {
            self.row = lix.get(&version_id, &key)?.map(Row::new);
            return Ok(());
        }
        self.scan = Some(lix.scan(filter)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.row = match &mut self.scan {
            Some(scan) => scan.next()?.map(Row::new),
            None => None,
        };
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        match &self.row {
            Some(row) => self.layout.show(index, row, out),
            None => Ok(()),
        }
    }
}

impl Rows {
    /// Notes what rows depend on besides themselves.
    fn note(&self, lix: &Lix, filter: &Filter, by_key: bool) -> Result<()> {
        let Some(schema_key) = &self.schema_key else { return Ok(()) };
        if Builtin::find(schema_key).is_none() {
            // Another version of the schema gives the table other columns.
            lix.note_read(Read { schema_key: "lix_stored_schema", ..Read::default() });
        }
        // Where some entities have other ids than their primary keys, any entity may come to have a
        // key; where none has, the event of the first one says so.
        if by_key && lix.has_lookups(schema_key, &self.key_names())? {
            lix.note_filter(&Filter { entity_ids: None, ..filter.clone() })?;
        }
        Ok(())
    }

    fn key_names(&self) -> Vec<Rc<str>> {
        self.key.iter().map(|part| self.layout.properties[*part].name.clone()).collect()
    }

    /// The entities that may have one of these primary keys; none: any.
    fn entity_ids(
        &self,
        lix: &Lix,
        schema_key: &str,
        key: &[Vec<Rc<str>>],
    ) -> Result<Option<Vec<Rc<str>>>> {
        let Some(mut ids) = join_keys(key) else { return Ok(None) };
        // Entities that were written through `state` may have whatever id.
        let names = self.key_names();
        let mut values: Vec<Vec<Value>> = vec![vec![]];
        for texts in key {
            let longer = values.iter().flat_map(|value| {
                texts.iter().map(|text| {
                    let part = Value::from(&**text);
                    value.iter().cloned().chain([part]).collect()
                })
            });
            values = longer.collect();
        }
        for value in values {
            let value: Vec<&Value> = value.iter().collect();
            for Key { entity_id, .. } in lix.lookup(schema_key, &names, &value)? {
                if !ids.contains(&entity_id) {
                    ids.push(entity_id);
                }
            }
        }
        Ok(Some(ids))
    }
}

/// The version and the key, if a filter leaves only one.
fn one_key(filter: &Filter) -> Option<(Rc<str>, Key)> {
    let one = |list: &Option<Vec<Rc<str>>>| match list.as_deref() {
        Some([text]) => Some(text.clone()),
        _ => None,
    };
    let Viewers::These(viewers) = &filter.viewers else { return None };
    let [version_id] = viewers.as_slice() else { return None };
    if filter.tombstones || filter.own_only {
        return None;
    }
    let schema_key = one(&filter.schema_keys)?;
    let entity_id = one(&filter.entity_ids)?;
    let file_id = one(&filter.file_ids)?;
    Some((version_id.clone(), Key { schema_key, entity_id, file_id }))
}

/// What the tables are about; it is gone only while the connection closes.
pub(super) fn alive(lix: &Weak<Lix>) -> Result<Rc<Lix>> {
    lix.upgrade().ok_or_else(|| Error::new(Reason::EngineDefect, "the database is being closed"))
}

/// What the hidden primary key of a row names.
pub(super) fn stored_key(key: Stored<'_>) -> Result<(Rc<str>, Key)> {
    key::unpack(&super::values::text(key)?.unwrap_or_default())
}
