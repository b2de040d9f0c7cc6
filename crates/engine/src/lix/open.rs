//! From a database to a lix: what is opened as one, and what is made one.
//!
//! Guarantee: content becomes a lix completely or stays as it was.

use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::proto::{LixKeyValue, LixOptions};
use lix_engine_protocol::{Error, Reason, Result};

use super::bootstrap::KeyValue;
use super::migrate::Layout;
use super::{Lix, Sealer, functions, json, procedures, tables};
use crate::Platform;
use crate::sqlite::Link;
use crate::sqlite::vtab::Transaction;

/// A lix, and whether it is one only now.
pub(crate) struct Opened {
    pub(crate) lix: Rc<Lix>,
    pub(crate) is_new: bool,
}

/// Opens the lix that the database is, or makes it one if that is asked for or if it is one of the
/// original; none: it is a plain database and stays one.
pub(crate) fn open(
    link: &Rc<Link>,
    platform: Arc<dyn Platform>,
    options: Option<&LixOptions>,
) -> Result<Option<Opened>> {
    let key_values = options.map(key_values).transpose()?;
    let lix = Lix::new(link.clone(), platform);
    let is_new = match (lix.found()?, key_values) {
        (Found::Plain { .. }, None) => return Ok(None),
        (Found::Plain { foreign: Some(name) }, Some(_)) => {
            let message = format!("{name} has a name that the engine keeps for itself");
            return Err(Error::new(Reason::ImageInvalid, message));
        }
        (Found::Plain { foreign: None }, Some(key_values)) => {
            let options = options.expect("key values are from there");
            lix.at_once(|| lix.fill(&key_values, options))?;
            true
        }
        (Found::Original(Layout::Known), _) => {
            lix.at_once(|| lix.migrate()).map_err(unreadable)?;
            true
        }
        (Found::Original(Layout::Later), None) => return Ok(None),
        (Found::Original(Layout::Later), Some(_)) => {
            let message = "a lix of a later release of the original cannot be taken over";
            return Err(Error::new(Reason::ImageInvalid, message));
        }
        (Found::Lix, _) => {
            lix.check().map_err(unreadable)?;
            lix.complete()?;
            false
        }
    };
    lix.start(link)?;
    Ok(Some(Opened { lix, is_new }))
}

/// What the database is.
enum Found {
    Lix,
    Original(Layout),
    /// With a table that begins like those of a lix, if there is one.
    Plain {
        foreign: Option<Rc<str>>,
    },
}

impl Lix {
    fn found(&self) -> Result<Found> {
        let sql = "select lower(name) from sqlite_schema
                   where type in ('table', 'view') and name like '\\_lix\\_%' escape '\\'
                   order by lower(name) <> '_lix_meta' limit 1";
        let first = self.sql.first(sql, &[], |row| row.text(0))?;
        Ok(match first {
            Some(name) if &*name == "_lix_meta" => Found::Lix,
            None => match self.original()? {
                Some(layout) => Found::Original(layout),
                None => Found::Plain { foreign: None },
            },
            foreign => Found::Plain { foreign },
        })
    }

    /// Everything that this does, or nothing.
    fn at_once(&self, this: impl FnOnce() -> Result<()>) -> Result<()> {
        self.sql.script("begin immediate")?;
        let result = this().and_then(|()| self.sql.script("commit"));
        if result.is_err() {
            let _ = self.sql.script("rollback");
        }
        result
    }

    fn fill(self: &Rc<Self>, key_values: &[KeyValue], options: &LixOptions) -> Result<()> {
        self.sql.script(include_str!("tables.sql"))?;
        self.bootstrap(key_values)?;
        self.forget();
        for (index, LixKeyValue { version_id, .. }) in options.key_values.iter().enumerate() {
            if !version_id.is_empty() && self.version(version_id)?.is_none() {
                let message = format!("Version with id '{version_id}' does not exist");
                let subject = format!("lix.key_values[{index}].version_id");
                return Err(Error::new(Reason::VersionUnknown, message).subject(subject));
            }
        }
        Ok(())
    }

    /// Whether this engine knows what it sees.
    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(Reason::ImageInvalid, message));
        match self.meta("schema_version")?.as_deref() {
            Some(SCHEMA_VERSION) => {}
            Some(other) => return invalid(format!("a lix of version {other} is unknown here")),
            None => return invalid("the lix does not say its version".into()),
        }
        let mut found = Vec::new();
        let sql = "select name, type from sqlite_schema
                   where tbl_name like '\\_lix\\_%' escape '\\' and type <> 'index'";
        self.sql.each(sql, &[], |row| {
            found.push((row.text(0), &*row.text(1) == "table"));
            Ok(())
        })?;
        for (name, is_table) in &found {
            if !is_table || !table_names().any(|ours| ours == &**name) {
                return invalid(format!("{name} is no part of a lix"));
            }
        }
        let is_missing = |ours: &&str| !found.iter().any(|(name, _)| **name == **ours);
        match table_names().filter(|name| !LATER.contains(name)).find(is_missing) {
            Some(name) => invalid(format!("the lix has no table {name}")),
            None => Ok(()),
        }
    }

    /// Makes the tables and indexes that a lix lacks because it was made before there were any.
    fn complete(&self) -> Result<()> {
        let mut known = std::collections::HashSet::new();
        let sql = "select name from sqlite_schema where name like '\\_lix\\_%' escape '\\'";
        self.sql.each(sql, &[], |row| {
            known.insert(row.text(0));
            Ok(())
        })?;
        let is_missing =
            |statement: &&str| name(statement).is_some_and(|name| !known.contains(name));
        let missing: Vec<&str> =
            include_str!("tables.sql").split(";\n").filter(is_missing).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => self.at_once(|| self.sql.script(&missing.join(";\n"))),
        }
    }

    /// Makes functions and tables known and takes up what the file remembers.
    fn start(self: &Rc<Self>, link: &Rc<Link>) -> Result<()> {
        let transaction: Rc<dyn Transaction> = Rc::new(Sealer(Rc::downgrade(self)));
        link.register_joiner(transaction.clone())?;
        self.load()?;
        functions::register(self, link)?;
        tables::register(self, link, &transaction)?;
        procedures::register(self, link, &transaction)?;
        let stored: Vec<_> = self.schemas.borrow().stored().cloned().collect();
        for schema in stored {
            tables::register_stored(self, link, &transaction, &schema.document)?;
        }
        Ok(())
    }

    /// Writes down how far ids of deterministic mode are used up, outside of any transaction.
    pub(crate) fn store_ids(&self) -> Result<()> {
        self.sql.script("begin immediate")?;
        self.ids.store(&self.sql)?;
        self.sql.script("commit")
    }
}

/// What is wrong with the content is said of the image.
fn unreadable(error: Error) -> Error {
    match error.reason {
        Reason::OutOfMemory => error,
        _ => Error { reason: Reason::ImageInvalid, ..error },
    }
}

/// The key values for a new lix; of those that are there twice, the last.
fn key_values(options: &LixOptions) -> Result<Vec<KeyValue>> {
    let mut checked: Vec<KeyValue> = Vec::new();
    for (index, LixKeyValue { key, value_json, version_id, untracked }) in
        options.key_values.iter().enumerate()
    {
        let invalid = |field: &str, message: String| {
            Error::new(Reason::OptionInvalid, message)
                .subject(format!("lix.key_values[{index}].{field}"))
        };
        if key.is_empty() {
            return Err(invalid("key", "a key value needs a key".into()));
        }
        let value = json::parse(value_json).map_err(|_| {
            invalid("value_json", format!("the value of {key} is not JSON: {value_json:?}"))
        })?;
        let version_id = Some(version_id.clone()).filter(|id| !id.is_empty());
        let key_value = KeyValue { key: key.clone(), value, version_id, untracked: *untracked };
        let twin = checked.iter_mut().find(|other| {
            (&other.key, &other.version_id, other.untracked)
                == (&key_value.key, &key_value.version_id, key_value.untracked)
        });
        match twin {
            Some(twin) => *twin = key_value,
            None => checked.push(key_value),
        }
    }
    Ok(checked)
}

/// The tables of a lix, by name.
fn table_names() -> impl Iterator<Item = &'static str> {
    include_str!("tables.sql")
        .split(";\n")
        .filter(|sql| sql.contains("create table "))
        .filter_map(name)
}

/// What a statement of `tables.sql` creates.
fn name(statement: &str) -> Option<&str> {
    let create = statement.lines().find(|line| line.starts_with("create "))?;
    create.split(' ').nth(2)
}

/// Tables that a lix of this version may lack: it was made before there were any.
const LATER: [&str; 2] = ["_lix_blob", "_lix_file_data"];

/// The version of the tables of this engine.
pub(crate) const SCHEMA_VERSION: &str = "1";
