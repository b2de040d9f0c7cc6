//! `version` and `version_all`: a version's descriptor and tip, as one row.
//!
//! Guarantee: there is one version behind a row, whoever looks at it. All writes go to `global`,
//! where versions are kept, and a second one for another viewer of the same version does nothing
//! that the first has not done.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::key;
use super::layout::{Row, declare, optional};
use super::lookup;
use super::values::{flag, invalid, show, text, texts};
use super::view::{alive, stored_key};
use crate::lix::json;
use crate::lix::state::{Filter, Key, Scan, StateRow, Viewers};
use crate::lix::write::{Write, WriteKind};
use crate::lix::{GLOBAL, LIX_FILE, Lix, OWN_PLUGIN};
use crate::sqlite::vtab::{self, Argument, Cell, Change, Op, Plan, Table, Values};

/// `version`, or `version_all`.
pub(super) struct Versions {
    pub(super) lix: Weak<Lix>,
    /// Seen from every version, not only from `global`.
    pub(super) is_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    TipCommitId,
    WorkingCommitId,
    InheritsFrom,
    Hidden,
    EntityId,
    FileId,
    SchemaKey,
    PluginKey,
    SchemaVersion,
    VersionId,
    InheritedFrom,
    ChangeId,
    CreatedAt,
    UpdatedAt,
    CommitId,
    Untracked,
    Key,
}

impl Versions {
    fn columns(&self) -> impl Iterator<Item = (&'static str, Column)> {
        let only_all = [Column::PluginKey, Column::SchemaVersion, Column::VersionId];
        let is_all = self.is_all;
        COLUMNS.into_iter().filter(move |(_, column)| is_all || !only_all.contains(column))
    }
}

impl Table for Versions {
    fn declaration(&self) -> String {
        let columns = self.columns().map(|(name, column)| {
            let declared = match column {
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
                Column::Id | Column::EntityId => "id",
                Column::VersionId => "version",
                _ => return None,
            };
            matches!(constraint.op, Op::Eq | Op::Is).then(|| word.to_owned())
        });
        let is_one_viewer = !self.is_all || chosen.has("version");
        let mut rows = if chosen.has("id") { 1.0 } else { 50.0 };
        rows *= if is_one_viewer { 1.0 } else { 50.0 };
        rows *= chosen.fan_out();
        if chosen.has("id") && is_one_viewer && chosen.lists == 0 {
            plan.set_unique();
        }
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
                let (_, key) = stored_key(key)?;
                update(&lix, &key.entity_id, &given(values))
            }
            Change::Delete { key } => {
                let (_, key) = stored_key(key)?;
                delete(&lix, &key.entity_id)
            }
        }
    }
}

/// The values of a written row.
struct Given<'a> {
    table: &'a Versions,
    values: Values<'a>,
}

impl Given<'_> {
    fn position(&self, column: Column) -> Option<usize> {
        self.table.columns().position(|(_, other)| other == column)
    }

    /// An UPDATE sets it, or it is part of an INSERT.
    fn sets(&self, column: Column) -> bool {
        self.position(column).is_some_and(|index| !self.values.is_unchanged(index))
    }

    /// A text, or none if it is NULL or not set.
    fn text(&self, column: Column) -> Result<Option<Rc<str>>> {
        match self.position(column) {
            Some(index) => text(self.values.get(index)),
            None => Ok(None),
        }
    }

    fn flag(&self, column: Column) -> Option<bool> {
        flag(self.values.get(self.position(column)?))
    }
}

fn insert(lix: &Rc<Lix>, given: &Given<'_>) -> Result<()> {
    if let Some(version_id) = given.text(Column::VersionId)?
        && &*version_id != GLOBAL
    {
        return Err(invalid("versions are kept in 'global': lixcol_version_id must be 'global'"));
    }
    let id = given.text(Column::Id)?.unwrap_or_else(|| lix.ids.nano_id(None));
    let name = given.text(Column::Name)?.unwrap_or_else(|| lix.ids.human_id());
    let working = given.text(Column::WorkingCommitId)?.unwrap_or_else(|| lix.ids.uuid_v7());
    let parent = given.text(Column::InheritsFrom)?;
    check_working_commit(lix, &id, &working)?;
    let tip = match given.text(Column::TipCommitId)? {
        Some(commit_id) => Some(commit_id),
        None => {
            // What is pending there has no commit yet to start from.
            let from = parent.as_deref().unwrap_or(GLOBAL);
            lix.known_version(from)?;
            lix.seal_version(from)?;
            lix.known_version(from)?.tip.as_ref().map(|tip| tip.0.clone())
        }
    };
    let mut descriptor = Map::new();
    descriptor.insert("id".to_owned(), (&*id).into());
    descriptor.insert("name".to_owned(), (&*name).into());
    descriptor.insert("working_commit_id".to_owned(), (&*working).into());
    descriptor.insert("inherits_from_version_id".to_owned(), parent.as_deref().into());
    descriptor.insert("hidden".to_owned(), given.flag(Column::Hidden).unwrap_or(false).into());
    write(lix, WriteKind::Insert, descriptor_key(&id), descriptor)?;
    if let Some(commit_id) = tip {
        let mut tip = Map::new();
        tip.insert("id".to_owned(), (&*id).into());
        tip.insert("commit_id".to_owned(), (&*commit_id).into());
        write(lix, WriteKind::Insert, tip_key(&id), tip)?;
    }
    Ok(())
}

fn update(lix: &Rc<Lix>, id: &Rc<str>, given: &Given<'_>) -> Result<()> {
    if given.sets(Column::Id) && given.text(Column::Id)?.as_deref() != Some(id) {
        return Err(invalid("the id of a version cannot be changed"));
    }
    let Some(old) = lix.get(GLOBAL, &descriptor_key(id))? else { return Ok(()) };
    let old = Row::new(old).into_content();
    let mut new = old.clone();
    if let Some(name) = given.text(Column::Name)? {
        new.insert("name".to_owned(), (&*name).into());
    }
    if let Some(working) = given.text(Column::WorkingCommitId)? {
        check_working_commit(lix, id, &working)?;
        new.insert("working_commit_id".to_owned(), (&*working).into());
    }
    if given.sets(Column::InheritsFrom) {
        let parent = given.text(Column::InheritsFrom)?;
        new.insert("inherits_from_version_id".to_owned(), parent.as_deref().into());
    }
    if let Some(hidden) = given.flag(Column::Hidden) {
        new.insert("hidden".to_owned(), hidden.into());
    }
    if new != old {
        write(lix, WriteKind::Update, descriptor_key(id), new)?;
    }
    let tip = lix.version(id)?.and_then(|version| Some(version.tip.as_ref()?.0.clone()));
    match (given.text(Column::TipCommitId)?, tip) {
        (Some(to), Some(tip)) if to != tip => restore(lix, id, &to),
        _ => Ok(()),
    }
}

fn delete(lix: &Rc<Lix>, id: &str) -> Result<()> {
    if id == GLOBAL {
        return Err(invalid("the version 'global' cannot be deleted"));
    }
    for key in [descriptor_key(id), tip_key(id)] {
        if lix.get(GLOBAL, &key)?.is_some() {
            lix.delete(GLOBAL, &key)?;
        }
    }
    // A version that is made by the same name later in the transaction is another one: the log has to
    // say that this one ended.
    lix.seal_version(GLOBAL)
}

/// Setting the tip is going back to that commit, with everything that lies there.
fn restore(lix: &Rc<Lix>, id: &Rc<str>, commit_id: &Rc<str>) -> Result<()> {
    lix.transition(commit_id, id).map(drop)
}

fn write(lix: &Rc<Lix>, kind: WriteKind, key: Key, snapshot: Map<String, Value>) -> Result<()> {
    lix.write(Write {
        kind,
        version_id: GLOBAL.into(),
        key,
        plugin_key: OWN_PLUGIN.into(),
        schema_version: "1.0".into(),
        snapshot,
        untracked: false,
    })
}

fn check_working_commit(lix: &Lix, id: &str, working: &str) -> Result<()> {
    let taken = |version: &Rc<crate::lix::versions::Version>| {
        &*version.id != id && &*version.working_commit_id == working
    };
    if lix.all_versions()?.iter().any(taken) {
        let message = format!(
            "Unique constraint violation: working_commit_id {working} must be unique among versions"
        );
        return Err(Error::new(Reason::Unique, message));
    }
    Ok(())
}

fn descriptor_key(id: &str) -> Key {
    key_of("lix_version_descriptor", id)
}

fn tip_key(id: &str) -> Key {
    key_of("lix_version_tip", id)
}

fn key_of(schema_key: &str, id: &str) -> Key {
    Key { schema_key: schema_key.into(), entity_id: id.into(), file_id: LIX_FILE.into() }
}

/// One pass over the versions.
struct Rows {
    lix: Weak<Lix>,
    columns: Vec<Column>,
    is_all: bool,
    scan: Option<Scan>,
    row: Option<VersionRow>,
}

struct VersionRow {
    descriptor: Row,
    /// Looked up when a column needs it.
    tip: OnceCell<Option<(StateRow, Map<String, Value>)>>,
}

impl VersionRow {
    fn tip(&self, lix: &Weak<Lix>) -> Result<Option<&(StateRow, Map<String, Value>)>> {
        if self.tip.get().is_none() {
            let descriptor = &self.descriptor.state;
            let row =
                alive(lix)?.get(&descriptor.version_id, &tip_key(&descriptor.key.entity_id))?;
            let tip = row.map(|row| {
                let content = json::object(row.snapshot.as_deref());
                (row, content)
            });
            let _ = self.tip.set(tip);
        }
        Ok(self.tip.get().and_then(Option::as_ref))
    }
}

impl vtab::Rows for Rows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let lix = alive(&self.lix)?;
        let mut filter = Filter {
            viewers: match self.is_all {
                true => Viewers::All,
                false => Viewers::These(vec![GLOBAL.into()]),
            },
            schema_keys: Some(vec!["lix_version_descriptor".into()]),
            file_ids: Some(vec![LIX_FILE.into()]),
            ..Filter::default()
        };
        for (name, argument) in plan.split_ascii_whitespace().zip(arguments) {
            if let Some(texts) = texts(argument.values()?) {
                match name {
                    "id" => filter.entity_ids = Some(texts),
                    _ => filter.viewers = Viewers::These(texts),
                }
            }
        }
        self.scan = Some(lix.scan(filter)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.row = match &mut self.scan {
            Some(scan) => scan
                .next()?
                .map(|state| VersionRow { descriptor: Row::new(state), tip: OnceCell::new() }),
            None => None,
        };
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.row.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        let (Some(row), Some(column)) = (&self.row, self.columns.get(index)) else {
            return Ok(());
        };
        if *column != Column::Key && out.is_unchanged() {
            return Ok(());
        }
        let state = &row.descriptor.state;
        let property = |name: &str, out: &mut Cell<'_>| {
            if let Some(value) = row.descriptor.content().get(name) {
                show(value, out);
            }
        };
        match column {
            Column::Id | Column::EntityId => out.text(&state.key.entity_id),
            Column::Name => property("name", out),
            Column::WorkingCommitId => property("working_commit_id", out),
            Column::InheritsFrom => property("inherits_from_version_id", out),
            Column::Hidden => {
                let hidden = row.descriptor.content().get("hidden");
                let is_hidden = matches!(hidden, Some(Value::Bool(true)))
                    || hidden.and_then(Value::as_i64).is_some_and(|number| number != 0);
                out.integer(is_hidden.into());
            }
            Column::TipCommitId => {
                if let Some(commit_id) = row.tip(&self.lix)?.and_then(|tip| tip.1.get("commit_id"))
                {
                    show(commit_id, out);
                }
            }
            Column::FileId => out.text(LIX_FILE),
            Column::SchemaKey => out.text("lix_version"),
            Column::PluginKey => out.text(OWN_PLUGIN),
            Column::SchemaVersion => out.text(&state.schema_version),
            Column::VersionId => out.text(&state.version_id),
            Column::InheritedFrom => {
                let inherited_from = state.inherited_from.as_deref();
                optional(out, inherited_from.filter(|_| self.is_all));
            }
            Column::ChangeId => {
                out.text(row.tip(&self.lix)?.map_or(&state.change_id, |tip| &tip.0.change_id));
            }
            Column::CreatedAt => {
                let tip = row.tip(&self.lix)?.map(|tip| &tip.0.created_at);
                out.text(tip.map_or(&state.created_at, |tip| tip.min(&state.created_at)));
            }
            Column::UpdatedAt => {
                out.text(row.tip(&self.lix)?.map_or(&state.updated_at, |tip| &tip.0.updated_at));
            }
            Column::CommitId => {
                out.text(row.tip(&self.lix)?.map_or(&state.commit_id, |tip| &tip.0.commit_id));
            }
            Column::Untracked => out.integer(0),
            Column::Key => out.text(&key::pack(&state.version_id, &state.key)),
        }
        Ok(())
    }
}

const COLUMNS: [(&str, Column); 19] = [
    ("id", Column::Id),
    ("name", Column::Name),
    ("commit_id", Column::TipCommitId),
    ("working_commit_id", Column::WorkingCommitId),
    ("inherits_from_version_id", Column::InheritsFrom),
    ("hidden", Column::Hidden),
    ("lixcol_entity_id", Column::EntityId),
    ("lixcol_file_id", Column::FileId),
    ("lixcol_schema_key", Column::SchemaKey),
    ("lixcol_plugin_key", Column::PluginKey),
    ("lixcol_schema_version", Column::SchemaVersion),
    ("lixcol_version_id", Column::VersionId),
    ("lixcol_inherited_from_version_id", Column::InheritedFrom),
    ("lixcol_change_id", Column::ChangeId),
    ("lixcol_created_at", Column::CreatedAt),
    ("lixcol_updated_at", Column::UpdatedAt),
    ("lixcol_commit_id", Column::CommitId),
    ("lixcol_untracked", Column::Untracked),
    ("_pk", Column::Key),
];
