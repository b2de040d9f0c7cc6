//! What a new lix starts with: the versions global and main, their first commits, the label for
//! checkpoints, the schemas of built-in entities, an account (chapter 27 of the data model).
//!
//! Guarantee: everything is written as changes at one moment, and what follows from changes is
//! computed by the same code that computes it again at any other time. In deterministic mode ids
//! are the documented ones, in the documented order.

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Value, json};

use super::ids::Boot;
use super::open::SCHEMA_VERSION;
use super::schemas::builtin;
use super::state::Key;
use super::{GLOBAL, Lix, OWN_PLUGIN};
use crate::sqlite::Bound;

/// A key value that a host gives.
#[derive(Clone, Debug)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: Value,
    /// None: the version that is active (of a new lix: main), or global for an untracked one.
    pub(crate) version_id: Option<String>,
    pub(crate) untracked: bool,
}

impl Lix {
    /// Fills a database that has the tables and nothing in them.
    ///
    /// A tracked key value without content makes no entity; of several for one key and version the
    /// last one counts.
    pub(crate) fn bootstrap(self: &Rc<Self>, key_values: &[KeyValue]) -> Result<()> {
        const META: &str = "insert into _lix_meta (key, value) values ('schema_version', ?)";
        self.sql.run(META, &[Bound::Text(SCHEMA_VERSION)])?;

        let given = |key: &str| key_values.iter().rev().find(|given| given.key == key);
        let mode = given("lix_deterministic_mode").map(|given| &given.value);
        let mode = mode.filter(|mode| mode["enabled"] == json!(true));
        let new = New::draw(&self.ids.boot(mode), key_values);
        for change in &new.changes {
            let snapshot = change.snapshot.to_string();
            self.insert_change_as(
                &change.id,
                &new.timestamp,
                &change.key,
                OWN_PLUGIN,
                BUILT_IN_VERSION,
                Some(&snapshot),
            )?;
        }
        for (version_id, key, snapshot) in &new.untracked {
            self.insert_untracked(version_id, key, snapshot, &new.timestamp)?;
        }
        self.rebuild()
    }

    fn insert_untracked(
        &self,
        version_id: &str,
        key: &Key,
        snapshot: &Value,
        timestamp: &str,
    ) -> Result<()> {
        const SQL: &str = "insert or replace into _lix_untracked
            (version_id, schema_key, entity_id, file_id, plugin_key, schema_version, created_at, updated_at, snapshot)
          values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)";
        let params = [
            Bound::Text(version_id),
            Bound::Text(&key.schema_key),
            Bound::Text(&key.entity_id),
            Bound::Text(&key.file_id),
            Bound::Text(OWN_PLUGIN),
            Bound::Text(BUILT_IN_VERSION),
            Bound::Text(timestamp),
            Bound::Text(&snapshot.to_string()),
        ];
        self.sql.run(SQL, &params)
    }
}

/// The content of a new lix, before it is written.
struct New {
    timestamp: Rc<str>,
    changes: Vec<Change>,
    untracked: Vec<(Rc<str>, Key, Value)>,
}

struct Change {
    id: Rc<str>,
    key: Key,
    snapshot: Value,
    /// The commit that contains it.
    commit: Commit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    Global,
    Main,
}

impl New {
    /// Makes everything up, in the order in which the ids are counted.
    fn draw(boot: &Boot<'_>, key_values: &[KeyValue]) -> Self {
        let mut new =
            Self { timestamp: boot.timestamp(), changes: Vec::new(), untracked: Vec::new() };
        let main = boot.nano_id();
        let (main_set, main_working_set) = (boot.nano_id(), boot.nano_id());
        let (global_set, global_working_set) = (boot.nano_id(), boot.nano_id());
        let (main_working, global_working) = (boot.uuid_v7(), boot.uuid_v7());
        for set in [&global_set, &global_working_set, &main_set, &main_working_set] {
            let snapshot = json!({"id": &**set, "metadata": null});
            new.add(boot, "lix_change_set", set, snapshot, Commit::Global);
        }
        let (global_commit, main_commit) = (boot.uuid_v7(), boot.uuid_v7());
        let first_commit = new.changes.len();
        for (commit, set) in [
            (&global_commit, &global_set),
            (&main_commit, &main_set),
            (&global_working, &global_working_set),
            (&main_working, &main_working_set),
        ] {
            let snapshot = json!({
                "id": &**commit,
                "change_set_id": &**set,
                "change_ids": [],
                "parent_commit_ids": [],
            });
            new.add(boot, "lix_commit", commit, snapshot, Commit::Global);
        }
        for (id, name, working, inherits_from, commit) in [
            (GLOBAL, GLOBAL, &global_working, None, &global_commit),
            (&*main, "main", &main_working, Some(GLOBAL), &main_commit),
        ] {
            let descriptor = json!({
                "id": id,
                "name": name,
                "working_commit_id": &**working,
                "inherits_from_version_id": inherits_from,
                "hidden": id == GLOBAL,
            });
            new.add(boot, "lix_version_descriptor", id, descriptor, Commit::Global);
            let tip = json!({"id": id, "commit_id": &**commit});
            new.add(boot, "lix_version_tip", id, tip, Commit::Global);
        }
        let label = boot.nano_id();
        let checkpoint = json!({"id": &*label, "name": "checkpoint"});
        new.add(boot, "lix_label", &label, checkpoint, Commit::Global);
        new.add_key_values(boot, &main, key_values);
        for schema in builtin::ALL.iter().filter(|schema| schema.is_stored) {
            let document: Value =
                serde_json::from_str(schema.document).expect("the engine's own schemas are JSON");
            let stored = json!({
                "key": schema.key,
                "version": document["x-lix-version"],
                // As text: that is how every lix has them.
                "value": document.to_string(),
            });
            new.add(boot, "lix_stored_schema", schema.key, stored, Commit::Global);
        }

        for (index, commit) in [Commit::Global, Commit::Main].into_iter().enumerate() {
            let members = new.changes.iter().filter(|change| change.commit == commit);
            let members: Vec<_> = members.map(|change| Value::from(&*change.id)).collect();
            new.changes[first_commit + index].snapshot["change_ids"] = members.into();
        }
        // The elements of the change sets, and the elements of those elements, follow from the
        // commits and are not written; ids were counted for each and for its snapshot.
        boot.skip(4 * new.changes.len() as u64);

        let account = boot.nano_id();
        let name = boot.account_name();
        let active = json!({"version_id": &*main});
        new.keep(GLOBAL, "lix_active_version", "active", active);
        new.keep(GLOBAL, "lix_account", &account, json!({"id": &*account, "name": &*name}));
        let active = json!({"account_id": &*account});
        new.keep(GLOBAL, "lix_active_account", &format!("active_{account}"), active);
        new
    }

    /// The names of the lix, then whatever else is given.
    fn add_key_values(&mut self, boot: &Boot<'_>, main: &str, key_values: &[KeyValue]) {
        let is_given =
            |given: &KeyValue| !given.key.is_empty() && (given.untracked || !given.value.is_null());
        let given: Vec<_> = key_values.iter().filter(|given| is_given(given)).collect();
        let is_name = |given: &KeyValue| {
            !given.untracked && matches!(given.key.as_str(), "lix_id" | "lix_name")
        };
        for key in ["lix_id", "lix_name"] {
            let named = given.iter().any(|given| given.key == key && is_name(given));
            if !named {
                let value = if key == "lix_id" { boot.lix_id() } else { boot.lix_name() };
                let key_value = json!({"key": key, "value": &*value});
                self.add(boot, "lix_key_value", key, key_value, Commit::Global);
            }
            for given in given.iter().filter(|given| given.key == key && is_name(given)) {
                self.add_key_value(boot, main, given);
            }
        }
        for given in given.iter().filter(|given| !is_name(given)) {
            self.add_key_value(boot, main, given);
        }
    }

    fn add_key_value(&mut self, boot: &Boot<'_>, main: &str, given: &KeyValue) {
        let KeyValue { key, value, version_id, untracked } = given;
        let snapshot = json!({"key": key, "value": value});
        if *untracked {
            let version_id = version_id.as_deref().unwrap_or(GLOBAL);
            return self.keep(version_id, "lix_key_value", key, snapshot);
        }
        let commit = match version_id {
            Some(id) if id != main => Commit::Global,
            _ => Commit::Main,
        };
        let is_twin = |change: &&mut Change| {
            change.commit == commit
                && &*change.key.schema_key == "lix_key_value"
                && *change.key.entity_id == **key
        };
        match self.changes.iter_mut().find(is_twin) {
            Some(twin) => twin.snapshot = snapshot,
            None => self.add(boot, "lix_key_value", key, snapshot, commit),
        }
    }

    fn add(
        &mut self,
        boot: &Boot<'_>,
        schema_key: &str,
        entity_id: &str,
        snapshot: Value,
        commit: Commit,
    ) {
        let id = boot.uuid_v7();
        // The id of the snapshot, which is part of its change here.
        boot.skip(1);
        self.changes.push(Change { id, key: Key::own(schema_key, entity_id), snapshot, commit });
    }

    fn keep(&mut self, version_id: &str, schema_key: &str, entity_id: &str, snapshot: Value) {
        self.untracked.push((version_id.into(), Key::own(schema_key, entity_id), snapshot));
    }
}

const BUILT_IN_VERSION: &str = "1.0";
