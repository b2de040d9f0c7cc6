//! The mutation stage: one row is validated and written, with everything that follows from it.
//!
//! Guarantee: either the row, its change, its place in the commit and all that depends on it are
//! written, or an error says why and the statement that asked is undone as a whole.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::json;
use super::state::{Key, Own, StateRow};
use super::validation::Target;
use super::{GLOBAL, Lix, Sealer, tables};
use crate::sqlite::Bound;
use crate::sqlite::vtab::Transaction;

/// A row to insert or update.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) kind: WriteKind,
    pub(crate) version_id: Rc<str>,
    pub(crate) key: Key,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    pub(crate) snapshot: Map<String, Value>,
    pub(crate) untracked: bool,
}

/// What validation takes a write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Insert,
    Update,
}

/// A change that is about to be written.
pub(super) struct NewChange<'a> {
    pub(super) version_id: &'a str,
    pub(super) key: &'a Key,
    pub(super) plugin_key: &'a str,
    pub(super) schema_version: &'a str,
    /// JSON text; none: a deletion.
    pub(super) snapshot: Option<&'a str>,
    pub(super) created_at: &'a str,
    pub(super) before: Before,
}

/// What the version itself has under the key of a new change.
pub(super) enum Before {
    Unknown,
    Known(Option<Own>),
}

impl Lix {
    /// Validates and writes a row (chapters 11 and 12 of the data model).
    pub(crate) fn write(self: &Rc<Self>, write: Write) -> Result<()> {
        let Write { kind, version_id, key, plugin_key, schema_version, snapshot, untracked } =
            &write;
        let parts = [&key.entity_id, &key.schema_key, &key.file_id, plugin_key, schema_version];
        if parts.iter().any(|part| part.is_empty()) {
            return Err(missing_fields());
        }
        if version_id.is_empty() {
            let message = "version_id is required for state mutation";
            return Err(Error::new(Reason::Validation, message));
        }
        self.before_writing()?;
        let is_absent = *kind == WriteKind::Insert && self.is_absent(version_id, key)?;
        let untracked = *untracked;
        let kind = *kind;
        let target = Target { kind, version_id, key, schema_version, untracked, is_absent };
        self.validate(&target, snapshot)?;
        let text = serde_json::to_string(snapshot).expect("a JSON object is text");
        let created_at = self.ids.timestamp();
        let starts_line = &*key.schema_key == "lix_version_tip" && !untracked;
        if starts_line {
            return self.write_tip(&write, &text, &created_at);
        }
        if untracked {
            self.put_untracked(&write, &text, &created_at)?;
            self.touched(version_id, key);
        } else {
            let seq = self.put_change(NewChange {
                version_id,
                key,
                plugin_key,
                schema_version,
                snapshot: Some(&text),
                created_at: &created_at,
                before: if is_absent { Before::Known(None) } else { Before::Unknown },
            })?;
            self.uncover(version_id, key)?;
            self.after_change(version_id, key, seq)?;
        }
        self.index(key, schema_version, snapshot)?;
        self.after_write(key, Some(snapshot))
    }

    /// Deletes what a version sees under a key: an untracked row uncovers what is below, a row of
    /// its own or an inherited one gets a tombstone. Nothing there is an error.
    pub(crate) fn delete(self: &Rc<Self>, version_id: &str, key: &Key) -> Result<()> {
        self.before_writing()?;
        let Some(row) = self.get(version_id, key)? else {
            self.known_version(version_id)?;
            let message =
                format!("Entity deletion failed: there is no row for '{}'", key.entity_id);
            return Err(Error::new(Reason::Validation, message).subject(&*key.entity_id));
        };
        self.delete_row(version_id, &row)
    }

    /// Deletes a row that a version sees.
    pub(super) fn delete_row(self: &Rc<Self>, version_id: &str, row: &StateRow) -> Result<()> {
        self.before_writing()?;
        let key = &row.key;
        if row.untracked {
            return self.delete_untracked(version_id, key, row);
        }
        self.known_version(version_id)?;
        self.validate_delete(version_id, row)?;
        if &*key.schema_key == "lix_version_descriptor" {
            // Nobody could later.
            self.seal_version(&key.entity_id)?;
        }
        let created_at = self.ids.timestamp();
        let seq = self.put_change(NewChange {
            version_id,
            key,
            plugin_key: &row.plugin_key,
            schema_version: &row.schema_version,
            snapshot: None,
            created_at: &created_at,
            before: Before::Unknown,
        })?;
        self.after_change(version_id, key, seq)?;
        self.after_write(key, None)
    }

    /// Deletes what a version saw until the same statement deleted it where it was inherited from: in
    /// whatever order a statement comes to them, every version gets its tombstone.
    pub(crate) fn delete_as_inherited(self: &Rc<Self>, version_id: &str, key: &Key) -> Result<()> {
        self.before_writing()?;
        for level in self.levels(version_id)?.iter() {
            let Some(own) = self.own(&level.version_id, key)? else { continue };
            if *level.version_id == *version_id || !own.is_deleted {
                return Ok(());
            }
            let sql = "select plugin_key, schema_version from _lix_change where seq = ?1";
            let of = [Bound::Integer(own.change_seq)];
            let of = self.sql.first(sql, &of, |row| (row.text(0), row.text(1)))?;
            let (plugin_key, schema_version) = of.unwrap_or_default();
            let created_at = self.ids.timestamp();
            let seq = self.put_change(NewChange {
                version_id,
                key,
                plugin_key: &plugin_key,
                schema_version: &schema_version,
                snapshot: None,
                created_at: &created_at,
                before: Before::Unknown,
            })?;
            self.after_change(version_id, key, seq)?;
            return self.after_write(key, None);
        }
        Ok(())
    }

    /// Writes a change into the version's pending commit. A key that was written before in the same
    /// transaction keeps its place there and gets another change instead.
    fn put_change(&self, change: NewChange<'_>) -> Result<i64> {
        self.put_change_as(&self.ids.uuid_v7(), change)
    }

    pub(super) fn put_change_as(&self, id: &str, change: NewChange<'_>) -> Result<i64> {
        let NewChange { version_id, key, plugin_key, schema_version, snapshot, created_at, before } =
            change;
        let no = self.open_commit(version_id)?;
        let before = match before {
            Before::Known(own) => own,
            Before::Unknown => self.own(version_id, key)?,
        };
        let staged = before.as_ref().filter(|own| own.is_on_line && own.commit_no == no);
        let seq = match staged {
            Some(&Own { change_seq, .. }) => {
                self.sql.run(
                    "update _lix_change set id = ?2, schema_version = ?3, plugin_key = ?4, created_at = ?5, snapshot = ?6
                     where seq = ?1",
                    &[
                        Bound::Integer(change_seq),
                        Bound::Text(id),
                        Bound::Text(schema_version),
                        Bound::Text(plugin_key),
                        Bound::Text(created_at),
                        snapshot.map_or(Bound::Null, Bound::Text),
                    ],
                )?;
                change_seq
            }
            None => {
                let seq = self.insert_change_as(
                    id,
                    created_at,
                    key,
                    plugin_key,
                    schema_version,
                    snapshot,
                )?;
                self.add_to_commit(no, seq)?;
                seq
            }
        };
        self.apply_over(before, version_id, key, seq, no, snapshot.is_none())?;
        Ok(seq)
    }

    pub(super) fn put_untracked(&self, write: &Write, snapshot: &str, now: &str) -> Result<()> {
        self.file_changed(&write.version_id, &write.key.file_id)?;
        self.sql.run(
            "insert into _lix_untracked
               (version_id, schema_key, entity_id, file_id, plugin_key, schema_version, created_at, updated_at, snapshot)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)
             on conflict do update set plugin_key = ?5, schema_version = ?6, updated_at = ?7, snapshot = ?8,
               created_at = iif(snapshot is null, ?7, created_at)",
            &[
                Bound::Text(&write.version_id),
                Bound::Text(&write.key.schema_key),
                Bound::Text(&write.key.entity_id),
                Bound::Text(&write.key.file_id),
                Bound::Text(&write.plugin_key),
                Bound::Text(&write.schema_version),
                Bound::Text(now),
                Bound::Text(snapshot),
            ],
        )?;
        self.note_untracked(&write.version_id, &write.key.schema_key);
        Ok(())
    }

    /// An untracked row of the version itself goes; over an inherited one, or over nothing of its
    /// own, a tombstone hides what others have.
    fn delete_untracked(
        self: &Rc<Self>,
        version_id: &str,
        key: &Key,
        row: &StateRow,
    ) -> Result<()> {
        if row.inherited_from.is_some() {
            return self.hide(version_id, row);
        }
        self.remove_untracked(version_id, key)?;
        self.touched(version_id, key);
        self.after_write(key, None)
    }

    /// Hides a row that a version sees, and does not have as an untracked one, without a change.
    pub(super) fn hide(self: &Rc<Self>, version_id: &str, row: &StateRow) -> Result<()> {
        self.before_writing()?;
        let key = &row.key;
        self.file_changed(version_id, &key.file_id)?;
        let now = self.ids.timestamp();
        self.sql.run(
            "insert into _lix_untracked
               (version_id, schema_key, entity_id, file_id, plugin_key, schema_version, created_at, updated_at, snapshot)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, null)",
            &[
                Bound::Text(version_id),
                Bound::Text(&key.schema_key),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.file_id),
                Bound::Text(&row.plugin_key),
                Bound::Text(&row.schema_version),
                Bound::Text(&now),
            ],
        )?;
        self.note_untracked(&version_id.into(), &key.schema_key);
        self.touched(version_id, key);
        self.after_write(key, None)
    }

    /// A tracked write takes the place of an untracked row.
    pub(crate) fn uncover(&self, version_id: &str, key: &Key) -> Result<()> {
        match self.has_untracked(version_id, &key.schema_key)? {
            true => self.remove_untracked(version_id, key),
            false => Ok(()),
        }
    }

    fn remove_untracked(&self, version_id: &str, key: &Key) -> Result<()> {
        self.file_changed(version_id, &key.file_id)?;
        self.sql.run(
            "delete from _lix_untracked
             where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4",
            &[
                Bound::Text(version_id),
                Bound::Text(&key.schema_key),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.file_id),
            ],
        )
    }

    /// The tip of a new version says where its line begins. Later on commits move it, nobody else.
    fn write_tip(self: &Rc<Self>, write: &Write, text: &str, now: &str) -> Result<()> {
        let id = &write.key.entity_id;
        let refuse = |message: String| Err(Error::new(Reason::Validation, message).subject(&**id));
        if &*write.version_id != GLOBAL {
            return refuse(format!("The tip of version '{id}' belongs to the version 'global'"));
        }
        if self.own(GLOBAL, &write.key)?.is_some_and(|own| !own.is_deleted) {
            return refuse(format!(
                "The tip of version '{id}' moves with its commits; use lix_transition"
            ));
        }
        let commit_id = write.snapshot.get("commit_id").and_then(Value::as_str).unwrap_or_default();
        let Some(no) = self.commit_no(commit_id)? else {
            return refuse(format!("Commit with id '{commit_id}' does not exist"));
        };
        // The descriptor of a new version is in the same event.
        let descriptor = self.own(GLOBAL, &Key::own("lix_version_descriptor", id))?;
        let pending = self.pending(GLOBAL)?;
        if descriptor.is_none_or(|own| Some(own.commit_no) != pending) {
            self.note_unlisted();
        }
        // What a deleted version of the same id held is not what this one begins with.
        self.clear_line(id)?;
        self.sql.run("delete from _lix_untracked where version_id = ?1", &[Bound::Text(id)])?;
        self.untracked.take();
        self.start_line(id, commit_id)?;
        let seq = self.put_change(NewChange {
            version_id: GLOBAL,
            key: &write.key,
            plugin_key: &write.plugin_key,
            schema_version: &write.schema_version,
            snapshot: Some(text),
            created_at: now,
            before: Before::Unknown,
        })?;
        self.after_change(GLOBAL, &write.key, seq)?;
        self.note_tip(id, &commit_id.into(), no);
        self.after_write(&write.key, Some(&write.snapshot))
    }

    /// What a change of the engine's own entities means for the tables beside the state.
    pub(crate) fn after_change(&self, version_id: &str, key: &Key, seq: i64) -> Result<()> {
        match &*key.schema_key {
            "lix_commit" => {
                let change = self.change(seq)?;
                let snapshot = change.snapshot.as_deref().map(|text| json::object(Some(text)));
                self.put_commit(&key.entity_id, seq, snapshot.as_ref(), &change.created_at)?;
            }
            "lix_version_descriptor" | "lix_version_tip" if version_id == GLOBAL => {
                self.files.forget();
                self.known.forget_versions();
            }
            _ => {}
        }
        Ok(())
    }

    /// What a write means for what is kept in memory.
    fn after_write(
        self: &Rc<Self>,
        key: &Key,
        snapshot: Option<&Map<String, Value>>,
    ) -> Result<()> {
        match &*key.schema_key {
            "lix_active_version" => self.known.forget_active(),
            "lix_active_account" => {
                self.accounts.take();
            }
            "lix_stored_schema" => {
                let value = snapshot.and_then(|map| map.get("value"));
                self.schemas_changed(value)?;
                if let Some(value) = value {
                    let schema = self.schemas.borrow().compile(value)?;
                    let transaction: Rc<dyn Transaction> = Rc::new(Sealer(Rc::downgrade(self)));
                    tables::register_stored(self, self.sql.link(), &transaction, &schema.document)?;
                }
            }
            "lix_key_value" if matches!(&*key.entity_id, "lix_deterministic_mode" | "lix_id") => {
                self.load_mode()?;
            }
            _ => {}
        }
        Ok(())
    }
}

pub(crate) fn missing_fields() -> Error {
    let message = "Missing required fields for state mutation";
    Error::new(Reason::Validation, message)
}
