//! What hosts do to a lix as a whole: create and merge versions, close checkpoints, switch
//! accounts. Each is one table-valued function, `select … from lix_<name>('<JSON options>')`, and one
//! method of [`Lix`].
//!
//! Guarantee: options are read before anything is written; what is written is written like any
//! entity, in the statement's transaction, so all of a procedure happens or nothing of it.

mod accounts;
mod change_sets;
mod checkpoints;
mod diff;
mod graph;
mod key_values;
mod labels;
pub(crate) mod line;
mod logs;
mod merge;
pub(crate) mod options;
mod rebuilding;
mod table;
mod threads;
mod transition;
mod versions;

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::json;
use super::state::Key;
use super::write::{Write, WriteKind};
use super::{Lix, OWN_PLUGIN};
use crate::sqlite::Link;
use crate::sqlite::function::Owned;
use crate::sqlite::vtab::Transaction;
use options::Options;
use table::ProcedureTable;

/// Something that is called by reading `lix_<name>`.
pub(crate) struct Procedure {
    pub(crate) name: &'static str,
    /// The result's columns, as in a table's declaration.
    columns: &'static str,
    writes: bool,
    run: fn(&Rc<Lix>, Call<'_>) -> Result<Vec<Row>>,
}

/// How a procedure is called.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// The JSON text of the options, if there is any.
    argument: Option<&'a str>,
    /// Rows whose column `status` is `unchanged` are not wanted.
    changed_only: bool,
}

impl Call<'_> {
    fn read<T>(self, take: impl FnOnce(&mut Options) -> Result<T>) -> Result<T> {
        Options::read(self.argument, take)
    }

    fn no_options(self) -> Result<()> {
        self.read(|_| Ok(()))
    }
}

/// A row of a result, a value for each column.
type Row = Vec<Owned>;

/// All procedures there are.
pub(crate) fn all() -> impl Iterator<Item = &'static Procedure> {
    [
        versions::PROCEDURES,
        merge::PROCEDURES,
        transition::PROCEDURES,
        checkpoints::PROCEDURES,
        change_sets::PROCEDURES,
        accounts::PROCEDURES,
        labels::PROCEDURES,
        threads::PROCEDURES,
        logs::PROCEDURES,
        key_values::PROCEDURES,
        rebuilding::PROCEDURES,
        diff::PROCEDURES,
        graph::PROCEDURES,
    ]
    .into_iter()
    .flatten()
}

/// Makes every procedure callable on a connection.
pub(crate) fn register(
    lix: &Rc<Lix>,
    link: &Link,
    transaction: &Rc<dyn Transaction>,
) -> Result<()> {
    for procedure in all() {
        let table = Rc::new(ProcedureTable::new(procedure, lix));
        link.register_table(procedure.name, table, transaction.clone())?;
    }
    Ok(())
}

/// Built-in entities, as procedures read and write them.
impl Lix {
    /// The version that a call is about: the one it names, or the active one.
    fn version_or_active(self: &Rc<Self>, given: Option<Rc<str>>) -> Result<Rc<str>> {
        match given {
            Some(id) => Ok(self.known_version(&id)?.id.clone()),
            None => match self.active_version_id()? {
                Some(id) => Ok(self.known_version(&id)?.id.clone()),
                None => Err(options::invalid("version", "no version is active; name one")),
            },
        }
    }

    /// The id that was given, or a new one.
    fn id_or_new(self: &Rc<Self>, given: Option<Rc<str>>) -> Rc<str> {
        given.unwrap_or_else(|| self.ids.nano_id(None))
    }

    /// Writes a new tracked entity.
    fn insert(self: &Rc<Self>, version_id: &str, key: Key, snapshot: Value) -> Result<()> {
        self.write_own(WriteKind::Insert, version_id, key, snapshot, false)
    }

    /// Writes over a tracked entity.
    fn update(self: &Rc<Self>, version_id: &str, key: Key, snapshot: Value) -> Result<()> {
        self.write_own(WriteKind::Update, version_id, key, snapshot, false)
    }

    fn write_own(
        self: &Rc<Self>,
        kind: WriteKind,
        version_id: &str,
        key: Key,
        snapshot: Value,
        untracked: bool,
    ) -> Result<()> {
        let Value::Object(snapshot) = snapshot else {
            unreachable!("snapshots of built-in entities are objects")
        };
        self.write(Write {
            kind,
            version_id: version_id.into(),
            key,
            plugin_key: OWN_PLUGIN.into(),
            schema_version: BUILT_IN_VERSION.into(),
            snapshot,
            untracked,
        })
    }

    /// The snapshot that a version shows for a key.
    fn snapshot(
        self: &Rc<Self>,
        version_id: &str,
        key: &Key,
    ) -> Result<Option<Map<String, Value>>> {
        let row = self.get(version_id, key)?;
        Ok(row.and_then(|row| row.snapshot).map(|text| json::object(Some(&text))))
    }
}

/// Whether entities of a schema say which versions and commits there are: written by what makes
/// versions and commits, never taken over or restored.
fn is_bookkeeping(schema_key: &str) -> bool {
    matches!(schema_key, "lix_version_descriptor" | "lix_version_tip" | "lix_commit")
}

/// A property that is a string; empty if it is not.
fn text<'a>(snapshot: &'a Map<String, Value>, property: &str) -> &'a str {
    snapshot.get(property).and_then(Value::as_str).unwrap_or_default()
}

/// JSON in a result's column: NULL for null.
fn json(value: &Value) -> Owned {
    match value {
        Value::Null => Owned::Null,
        value => value.to_string().into(),
    }
}

/// The version of every built-in schema.
pub(crate) const BUILT_IN_VERSION: &str = "1.0";
