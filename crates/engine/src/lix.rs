//! Change control: every write to an entity becomes a change in a commit, versions branch and
//! merge, history is a table.
//!
//! Guarantee: what a statement writes and the changes, commits and state that follow from it are
//! stored in one SQLite transaction, or nothing of them is. All of it is computed from
//! `_lix_change` and can be computed again.
//!
//! SQLite owns the transaction: everything is written to ordinary tables as it comes, so rollback
//! and savepoints need no code here, except that what is kept in memory is forgotten. Commits get
//! their ids in the moment before SQLite commits.

pub(crate) mod bootstrap;
pub(crate) mod commit;
pub(crate) mod derived;
mod event_rows;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod functions;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod ids;
pub(crate) mod json;
mod migrate;
pub(crate) mod open;
mod plugin_query;
pub(crate) mod procedures;
pub(crate) mod reads;
pub(crate) mod rebuild;
pub(crate) mod schemas;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod validation;
pub(crate) mod versions;
mod words;
pub(crate) mod write;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use lix_engine_protocol::Result;
use serde_json::Value;

use crate::sqlite::vtab::Transaction;
use crate::sqlite::{Bound, Link};
use crate::{Platform, Plugins};
use ids::{Ids, Mode};
use schemas::Schemas;
use sql::Sql;
use state::{Key, ScanInner};
use versions::Known;

/// The change control of one database.
pub(crate) struct Lix {
    pub(crate) sql: Sql,
    pub(crate) graph: graph::Graph,
    pub(crate) ids: Ids,
    pub(crate) schemas: RefCell<Schemas>,
    pub(crate) known: Known,
    /// Version → the number of the commit that it fills in this transaction.
    pending: RefCell<HashMap<Rc<str>, Option<i64>>>,
    has_pending: Cell<bool>,
    /// Versions and schemas of which there are untracked rows.
    untracked: RefCell<Option<Places>>,
    accounts: RefCell<Option<Vec<Rc<str>>>>,
    /// Schema → whether some of its rows have ids that are not their primary keys.
    odd_ids: RefCell<HashMap<Rc<str>, bool>>,
    last_commit: RefCell<Option<(i64, Rc<str>)>>,
    scans: RefCell<Vec<Weak<RefCell<ScanInner>>>>,
    /// Commits that this transaction sealed, for whoever listens.
    pub(crate) sealed: RefCell<Vec<i64>>,
    /// Commits that became tips without being sealed: checkpoints. Likewise.
    advanced: RefCell<Vec<i64>>,
    /// Untracked rows that this transaction wrote or removed, likewise.
    pub(crate) touched: RefCell<Touched>,
    pub(crate) wants_events: Cell<bool>,
    /// What the shell lends to look into files; none: all files are unknown.
    pub(crate) plugins: RefCell<Option<Rc<dyn Plugins>>>,
    pub(crate) files: files::Files,
    /// What the running statement reads, if somebody wants to know.
    reads: reads::Reads,
    /// SQLite will ask for a seal before it commits.
    has_joined: Cell<bool>,
    /// What is in memory of stored schemas and modes may have been taken back.
    is_stale: Cell<bool>,
}

/// Versions, and the schemas of which each may hold untracked rows.
type Places = HashMap<Rc<str>, HashSet<Rc<str>>>;

/// A list that forgets what savepoints take back.
#[derive(Default)]
pub(crate) struct Touched {
    keys: Vec<(Rc<str>, Key)>,
    /// By savepoint: how long the list was.
    marks: Vec<usize>,
}

impl Lix {
    /// Over a connection whose database has the tables.
    pub(crate) fn new(link: Rc<Link>, platform: Arc<dyn Platform>) -> Rc<Self> {
        Rc::new(Self {
            sql: Sql::new(link),
            graph: graph::Graph::default(),
            ids: Ids::new(platform),
            schemas: RefCell::default(),
            known: Known::default(),
            pending: RefCell::default(),
            has_pending: Cell::new(false),
            untracked: RefCell::default(),
            accounts: RefCell::default(),
            odd_ids: RefCell::default(),
            last_commit: RefCell::default(),
            scans: RefCell::default(),
            sealed: RefCell::default(),
            advanced: RefCell::default(),
            touched: RefCell::default(),
            wants_events: Cell::new(false),
            plugins: RefCell::default(),
            files: files::Files::default(),
            reads: reads::Reads::default(),
            has_joined: Cell::new(false),
            is_stale: Cell::new(false),
        })
    }

    /// Gives plugins their place, and lets them read.
    pub(crate) fn connect(self: &Rc<Self>, plugins: Rc<dyn Plugins>) {
        plugins.connect(Rc::new(plugin_query::Query::new(self)));
        *self.plugins.borrow_mut() = Some(plugins);
    }

    /// Reads what is kept in memory. To be called once the tables have their content.
    pub(crate) fn load(self: &Rc<Self>) -> Result<()> {
        self.forget();
        self.is_stale.set(false);
        self.ids.load(&self.sql)?;
        self.load_schemas()?;
        self.load_mode()
    }

    /// To be called before anything is written: scans read the rest first, and SQLite will ask for
    /// a seal before it commits.
    pub(crate) fn before_writing(self: &Rc<Self>) -> Result<()> {
        if !self.has_joined.get() {
            self.sql.link().join_transaction()?;
            self.has_joined.set(true);
        }
        self.refresh()?;
        self.drain_scans()
    }

    /// To be called before anybody asks for ids or schemas: a rollback may have changed what holds.
    pub(crate) fn refresh(&self) -> Result<()> {
        if self.is_stale.replace(false) {
            let loaded = self.load_schemas().and_then(|()| self.load_mode());
            // Interrupted half-way, it is still to be done.
            self.is_stale.set(loaded.is_err());
            loaded?;
        }
        Ok(())
    }

    /// What is in memory may not be so any more.
    pub(crate) fn forget(&self) {
        self.known.forget();
        self.graph.forget();
        self.pending.borrow_mut().clear();
        self.has_pending.set(true);
        self.untracked.take();
        self.accounts.take();
        self.odd_ids.take();
        self.last_commit.take();
        self.files.forget();
        self.is_stale.set(true);
    }

    /// The schemas that are stored in any version.
    pub(crate) fn load_schemas(&self) -> Result<()> {
        const OF_TRACKED: [&str; 2] = [
            "select min(version_id) from _lix_state where version_id > ?1",
            "select c.snapshot from _lix_state s cross join _lix_change c on c.seq = s.change_seq
             where s.version_id = ?1 and s.schema_key = 'lix_stored_schema' and s.is_deleted = 0",
        ];
        const OF_UNTRACKED: [&str; 2] = [
            "select min(version_id) from _lix_untracked where version_id > ?1",
            "select snapshot from _lix_untracked
             where version_id = ?1 and schema_key = 'lix_stored_schema' and snapshot is not null",
        ];
        let mut documents = Vec::new();
        for [lines, snapshots] in [OF_TRACKED, OF_UNTRACKED] {
            for line in self.distinct(lines, &[])? {
                self.sql.each(snapshots, &[Bound::Text(&line)], |row| {
                    let snapshot = row.optional_text(0);
                    documents.extend(json::object(snapshot.as_deref()).remove("value"));
                    Ok(())
                })?;
            }
        }
        self.schemas.borrow_mut().replace_stored(documents);
        Ok(())
    }

    /// The values of a column of an index, one step through the index for each: the query finds the
    /// smallest one above its first parameter, among the rows that the others say.
    pub(crate) fn distinct(&self, next: &'static str, among: &[&str]) -> Result<Vec<Rc<str>>> {
        let mut values: Vec<Rc<str>> = Vec::new();
        loop {
            let mut params = vec![Bound::Text(values.last().map_or("", |last| &**last))];
            params.extend(among.iter().map(|text| Bound::Text(text)));
            let next = self.sql.first(next, &params, |row| row.optional_text(0))?;
            match next.flatten() {
                Some(value) => values.push(value),
                None => return Ok(values),
            }
        }
    }

    /// Whether ids and times are deterministic, and from which seed.
    pub(crate) fn load_mode(&self) -> Result<()> {
        let value = |key: &str| -> Result<Option<Value>> {
            for version in self.all_versions()? {
                let row = self.find_own(&version.id, &Key::own("lix_key_value", key))?;
                if let Some(snapshot) = row.and_then(|row| row.snapshot) {
                    return Ok(json::object(Some(&snapshot)).remove("value"));
                }
            }
            Ok(None)
        };
        let mode = match value("lix_deterministic_mode")? {
            Some(mode) => {
                let id = value("lix_id")?;
                Mode::from_json(&mode, id.as_ref().and_then(Value::as_str).unwrap_or_default())
            }
            None => Mode::off(),
        };
        self.ids.set_mode(mode);
        Ok(())
    }

    /// An untracked row was written or removed.
    fn touched(&self, version_id: &str, key: &Key) {
        if self.wants_events.get() {
            self.touched.borrow_mut().keys.push((version_id.into(), key.clone()));
        }
    }

    /// An engine-private value.
    pub(crate) fn meta(&self, key: &str) -> Result<Option<Rc<str>>> {
        let sql = "select value from _lix_meta where key = ?1";
        let value = self.sql.first(sql, &[Bound::Text(key)], |row| row.optional_text(0))?;
        Ok(value.flatten())
    }
}

/// Change control's part in SQLite's transactions.
pub(crate) struct Sealer(pub(crate) Weak<Lix>);

impl Transaction for Sealer {
    fn begin(&self) -> Result<()> {
        if let Some(lix) = self.0.upgrade() {
            lix.has_joined.set(true);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.0.upgrade().map_or(Ok(()), |lix| lix.seal())
    }

    fn commit(&self) {
        if let Some(lix) = self.0.upgrade() {
            lix.has_joined.set(false);
            lix.touched.borrow_mut().marks.clear();
            if !lix.wants_events.get() {
                lix.sealed.borrow_mut().clear();
                lix.advanced.borrow_mut().clear();
                lix.take_unlisted();
            }
        }
    }

    fn rollback(&self) {
        if let Some(lix) = self.0.upgrade() {
            lix.has_joined.set(false);
            lix.sealed.borrow_mut().clear();
            lix.advanced.borrow_mut().clear();
            lix.take_unlisted();
            lix.touched.take();
            lix.ids.note_lost();
            lix.forget();
        }
    }

    fn savepoint(&self, number: i32) {
        if let Some(lix) = self.0.upgrade() {
            let mut touched = lix.touched.borrow_mut();
            let length = touched.keys.len();
            if touched.marks.len() <= number as usize {
                touched.marks.resize(number as usize + 1, length);
            }
        }
    }

    fn release(&self, number: i32) {
        if let Some(lix) = self.0.upgrade() {
            lix.touched.borrow_mut().marks.truncate(usize::try_from(number).unwrap_or_default());
        }
    }

    fn rollback_to(&self, number: i32) {
        if let Some(lix) = self.0.upgrade() {
            let mut touched = lix.touched.borrow_mut();
            // -1 is the savepoint that opened the transaction: nothing is left.
            let place = usize::try_from(number).ok();
            let mark = place.and_then(|place| touched.marks.get(place).copied());
            touched.keys.truncate(mark.unwrap_or_default());
            touched.marks.truncate(place.map_or(0, |place| place + 1));
            drop(touched);
            lix.ids.note_lost();
            lix.forget();
        }
    }
}

/// The root of inheritance and the home of everything about versions and commits.
pub(crate) const GLOBAL: &str = "global";
/// The file to which built-in entities belong.
pub(crate) const LIX_FILE: &str = "lix";
/// The plugin of files that no other plugin wants.
pub(crate) const FALLBACK_PLUGIN: &str = "lix_unknown_file_fallback_plugin";
/// The plugin of built-in entities.
pub(crate) const OWN_PLUGIN: &str = "lix_own_entity";
