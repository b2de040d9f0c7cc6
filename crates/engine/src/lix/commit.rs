//! Commits: filled while a transaction is open, sealed before SQLite commits it.
//!
//! Guarantee: the change, the commit it belongs to, and the row it makes the winner are written
//! together, so whatever takes one back takes back all. Sealing costs the same in a database of
//! any size. [`Lix::apply`] is the only way in which a change becomes what a version sees, for
//! writing, merging and rebuilding alike.

use std::collections::HashMap;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value, json};

use super::json;
use super::state::{Key, Own, is_shared};
use super::{GLOBAL, LIX_FILE, Lix, OWN_PLUGIN};
use crate::sqlite::Bound;

/// A commit of changes that exist already.
#[derive(Clone, Debug)]
pub(crate) struct CommitPlan {
    pub(crate) version_id: Rc<str>,
    /// The first one is the version's tip.
    pub(crate) parents: Vec<Rc<str>>,
    /// By [`Lix::insert_change`]'s numbers; each becomes what the version sees under its key.
    pub(crate) changes: Vec<i64>,
    pub(crate) authors: Vec<Rc<str>>,
}

/// A change as it is stored.
pub(crate) struct Change {
    pub(crate) id: Rc<str>,
    pub(crate) key: Key,
    pub(crate) created_at: Rc<str>,
    pub(crate) snapshot: Option<Rc<str>>,
}

impl Lix {
    /// Gives the pending commits of all versions their ids: after this, and a COMMIT, they stand.
    pub(crate) fn seal(&self) -> Result<()> {
        if self.has_pending.get() {
            let mut pending = Vec::new();
            let sql = "select version_id from _lix_commit where id is null and version_id is not null order by no";
            self.sql.each(sql, &[], |row| {
                pending.push(row.text(0));
                Ok(())
            })?;
            let mut created_at = None;
            for version_id in pending {
                let created_at = created_at.get_or_insert_with(|| self.ids.timestamp());
                self.seal_at(&version_id, created_at)?;
            }
            self.has_pending.set(false);
        }
        self.ids.store(&self.sql)
    }

    /// Seals what one version has pending, in the middle of a transaction.
    pub(crate) fn seal_version(&self, version_id: &str) -> Result<()> {
        match self.pending(version_id)? {
            Some(_) => self.seal_at(version_id, &self.ids.timestamp()),
            None => Ok(()),
        }
    }

    fn seal_at(&self, version_id: &str, created_at: &Rc<str>) -> Result<()> {
        let Some(no) = self.pending(version_id)? else { return Ok(()) };
        let version = self.known_version(version_id)?;
        let parents: Vec<_> = version.tip.iter().map(|(id, _)| id.clone()).collect();
        let authors = self.active_accounts()?;
        self.finish(no, &version.id, &parents, &authors, created_at)?;
        Ok(())
    }

    /// Appends a commit of existing changes to a version and moves its tip there.
    pub(crate) fn commit_with(self: &Rc<Self>, plan: CommitPlan) -> Result<Rc<str>> {
        self.before_writing()?;
        self.seal_version(&plan.version_id)?;
        for seq in &plan.changes {
            self.seal_holder(*seq)?;
        }
        let created_at = self.ids.timestamp();
        let no = self.open_commit(&plan.version_id)?;
        for seq in &plan.changes {
            let change = self.change(*seq)?;
            self.add_to_commit(no, *seq)?;
            self.apply(&plan.version_id, &change.key, *seq, no, change.snapshot.is_none())?;
            self.uncover(&plan.version_id, &change.key)?;
            self.after_change(&plan.version_id, &change.key, *seq)?;
        }
        self.finish(no, &plan.version_id, &plan.parents, &plan.authors, &created_at)
    }

    /// Seals what is pending where a change is part of it: a change that another commit refers to
    /// is not written over any more.
    fn seal_holder(&self, change_seq: i64) -> Result<()> {
        if !self.has_pending.get() {
            return Ok(());
        }
        let sql = "select k.version_id from _lix_commit_change m cross join _lix_commit k on k.no = m.commit_no
                   where m.change_seq = ?1 and k.id is null and k.version_id is not null";
        let holder = self.sql.first(sql, &[Bound::Integer(change_seq)], |row| row.text(0))?;
        holder.map_or(Ok(()), |version_id| self.seal_version(&version_id))
    }

    /// Moves a version's tip to a commit that only repeats what the version has: a checkpoint.
    pub(crate) fn advance(self: &Rc<Self>, version_id: &str, commit_id: &str) -> Result<()> {
        self.before_writing()?;
        let no = self.commit_no(commit_id)?.ok_or_else(|| unknown_commit(commit_id))?;
        let id = self.ids.uuid_v7();
        let created_at = self.ids.timestamp();
        self.move_tip(version_id, &commit_id.into(), no, &id, &created_at)?;
        self.advanced.borrow_mut().push(no);
        self.checkpointed(version_id, no)
    }

    /// What follows from a checkpoint, live and in a rebuild.
    pub(crate) fn checkpointed(&self, version_id: &str, no: i64) -> Result<()> {
        let sql = "delete from _lix_working where version_id = ?1";
        self.sql.run(sql, &[Bound::Text(version_id)])?;
        let sql = "update _lix_commit set version_id = ?1 where no = ?2";
        self.sql.run(sql, &[Bound::Text(version_id), Bound::Integer(no)])
    }

    /// Writes a change that belongs to no commit yet.
    pub(crate) fn insert_change(
        &self,
        key: &Key,
        plugin_key: &str,
        schema_version: &str,
        snapshot: Option<&str>,
    ) -> Result<i64> {
        let created_at = self.ids.timestamp();
        let id = self.ids.uuid_v7();
        self.insert_change_as(&id, &created_at, key, plugin_key, schema_version, snapshot)
    }

    pub(crate) fn insert_change_as(
        &self,
        id: &str,
        created_at: &str,
        key: &Key,
        plugin_key: &str,
        schema_version: &str,
        snapshot: Option<&str>,
    ) -> Result<i64> {
        self.sql.run(
            "insert into _lix_change (id, entity_id, schema_key, schema_version, file_id, plugin_key, created_at, snapshot)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            &[
                Bound::Text(id),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.schema_key),
                Bound::Text(schema_version),
                Bound::Text(&key.file_id),
                Bound::Text(plugin_key),
                Bound::Text(created_at),
                snapshot.map_or(Bound::Null, Bound::Text),
            ],
        )?;
        Ok(self.sql.last_insert_rowid())
    }

    /// A change by its number.
    pub(crate) fn change(&self, seq: i64) -> Result<Change> {
        let sql = "select id, schema_key, entity_id, file_id, created_at, snapshot from _lix_change where seq = ?1";
        let change = self.sql.first(sql, &[Bound::Integer(seq)], |row| Change {
            id: row.text(0),
            key: Key { schema_key: row.text(1), entity_id: row.text(2), file_id: row.text(3) },
            created_at: row.text(4),
            snapshot: row.optional_text(5),
        })?;
        change
            .ok_or_else(|| Error::new(Reason::DatabaseCorrupt, format!("change {seq} is missing")))
    }

    /// Makes a change what a version sees under its key, as of a commit on its line.
    pub(crate) fn apply(
        &self,
        version_id: &str,
        key: &Key,
        change_seq: i64,
        commit_no: i64,
        is_deleted: bool,
    ) -> Result<()> {
        let before = self.own(version_id, key)?;
        self.apply_over(before, version_id, key, change_seq, commit_no, is_deleted)
    }

    /// [`Lix::apply`] for a caller that knows what the version itself has under the key.
    pub(crate) fn apply_over(
        &self,
        before: Option<Own>,
        version_id: &str,
        key: &Key,
        change_seq: i64,
        commit_no: i64,
        is_deleted: bool,
    ) -> Result<()> {
        self.file_changed(version_id, &key.file_id)?;
        let same_commit =
            before.as_ref().filter(|own| own.is_on_line && own.commit_no == commit_no).cloned();
        if let Some(own) = &before
            && own.is_on_line
            && own.commit_no != commit_no
            && self.needed_until(version_id)?.is_some_and(|needed| needed >= own.commit_no)
        {
            self.sql.run(
                "insert or replace into _lix_state_past
                   (version_id, schema_key, entity_id, file_id, until_no, change_seq, commit_no, created_at, is_deleted)
                 select version_id, schema_key, entity_id, file_id, ?5, change_seq, commit_no, created_at, is_deleted
                 from _lix_state where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4",
                &[
                    Bound::Text(version_id),
                    Bound::Text(&key.schema_key),
                    Bound::Text(&key.entity_id),
                    Bound::Text(&key.file_id),
                    Bound::Integer(commit_no),
                ],
            )?;
        }
        let was_live = before.as_ref().filter(|own| !own.is_deleted);
        let created_at = match &same_commit {
            // Decided when the key was first written in this commit.
            Some(own) => own.stored_created_at.clone(),
            None => was_live.map(|own| own.created_at.clone()),
        };
        self.put_state(version_id, key, change_seq, commit_no, created_at.as_deref(), is_deleted)?;

        if version_id != GLOBAL && is_work(&key.schema_key) {
            let place = [
                Bound::Text(version_id),
                Bound::Text(&key.schema_key),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.file_id),
            ];
            let noted = match &before {
                // A key that the version never had cannot have been noted.
                None => None,
                Some(_) => self.sql.first(
                    "select base_seq from _lix_working
                     where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4",
                    &place,
                    |row| row.optional_integer(0),
                )?,
            };
            let base = match noted {
                Some(base) => base,
                None if same_commit.is_some() => None,
                None => was_live.map(|own| own.change_seq),
            };
            let is_nothing = base == Some(change_seq) || (is_deleted && base.is_none());
            if is_nothing && noted.is_some() {
                self.sql.run(
                    "delete from _lix_working
                     where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4",
                    &place,
                )?;
            } else if !is_nothing && noted.is_none() {
                let [version, schema, entity, file] = place;
                let base = base.map_or(Bound::Null, Bound::Integer);
                self.sql.run(
                    "insert into _lix_working (version_id, schema_key, entity_id, file_id, base_seq)
                     values (?1, ?2, ?3, ?4, ?5)",
                    &[version, schema, entity, file, base],
                )?;
            }
        }
        Ok(())
    }

    pub(crate) fn put_state(
        &self,
        version_id: &str,
        key: &Key,
        change_seq: i64,
        commit_no: i64,
        created_at: Option<&str>,
        is_deleted: bool,
    ) -> Result<()> {
        // An index of files makes replacing dear, and rows of no file are not in it.
        let sql = match &*key.file_id == LIX_FILE {
            true => {
                "insert or replace into _lix_state
                   (version_id, schema_key, entity_id, file_id, change_seq, commit_no, created_at, is_deleted)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
            false => {
                "insert into _lix_state
                   (version_id, schema_key, entity_id, file_id, change_seq, commit_no, created_at, is_deleted)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 on conflict do update set change_seq = ?5, commit_no = ?6, created_at = ?7, is_deleted = ?8"
            }
        };
        self.sql.run(
            sql,
            &[
                Bound::Text(version_id),
                Bound::Text(&key.schema_key),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.file_id),
                Bound::Integer(change_seq),
                Bound::Integer(commit_no),
                created_at.map_or(Bound::Null, Bound::Text),
                Bound::Integer(is_deleted.into()),
            ],
        )
    }

    /// The commit that a version fills in this transaction; a new one if there is none yet.
    pub(crate) fn open_commit(&self, version_id: &str) -> Result<i64> {
        if let Some(no) = self.pending(version_id)? {
            return Ok(no);
        }
        let sql = "insert into _lix_commit (version_id) values (?1)";
        self.sql.run(sql, &[Bound::Text(version_id)])?;
        let no = self.sql.last_insert_rowid();
        self.pending.borrow_mut().insert(version_id.into(), Some(no));
        self.has_pending.set(true);
        Ok(no)
    }

    pub(crate) fn add_to_commit(&self, no: i64, change_seq: i64) -> Result<()> {
        let sql =
            "insert or ignore into _lix_commit_change (commit_no, change_seq) values (?1, ?2)";
        self.sql.run(sql, &[Bound::Integer(no), Bound::Integer(change_seq)])
    }

    /// Gives a filled commit its id, writes the changes that say so, and moves the version's tip.
    fn finish(
        &self,
        no: i64,
        version_id: &str,
        parents: &[Rc<str>],
        authors: &[Rc<str>],
        created_at: &Rc<str>,
    ) -> Result<Rc<str>> {
        let commit_id: Rc<str> = self.ids.uuid_v7();
        let change_set_id = self.ids.uuid_v7();
        let tip_change_id = self.ids.uuid_v7();
        let commit_change_id = self.ids.uuid_v7();

        let mut members = Vec::new();
        let sql =
            "select c.id from _lix_commit_change m cross join _lix_change c on c.seq = m.change_seq
                   where m.commit_no = ?1 order by m.change_seq";
        self.sql.each(sql, &[Bound::Integer(no)], |row| {
            members.push(row.text(0));
            Ok(())
        })?;
        let list = |ids: &[Rc<str>]| {
            Value::from(ids.iter().map(|id| Value::from(&**id)).collect::<Vec<_>>())
        };
        let snapshot = json!({
            "id": &*commit_id,
            "change_set_id": &*change_set_id,
            "change_ids": list(&members),
            "author_account_ids": list(authors),
            "meta_change_ids": [&*tip_change_id],
            "parent_commit_ids": list(parents),
        });
        let key = Key::own("lix_commit", &commit_id);
        let seq = self.insert_change_as(
            &commit_change_id,
            created_at,
            &key,
            OWN_PLUGIN,
            "1.0",
            Some(&snapshot.to_string()),
        )?;
        self.sql.run(
            "update _lix_commit set id = ?2, change_set_id = ?3, change_seq = ?4, created_at = ?5, version_id = ?6
             where no = ?1",
            &[
                Bound::Integer(no),
                Bound::Text(&commit_id),
                Bound::Text(&change_set_id),
                Bound::Integer(seq),
                Bound::Text(created_at),
                Bound::Text(version_id),
            ],
        )?;
        self.put_parents(no, parents)?;
        self.put_authors(no, authors)?;
        self.put_state(GLOBAL, &key, seq, no, None, false)?;
        self.pending.borrow_mut().insert(version_id.into(), None);
        self.move_tip(version_id, &commit_id, no, &tip_change_id, created_at)?;
        self.sealed.borrow_mut().push(no);
        Ok(commit_id)
    }

    fn move_tip(
        &self,
        version_id: &str,
        commit_id: &Rc<str>,
        no: i64,
        change_id: &str,
        created_at: &str,
    ) -> Result<()> {
        let key = Key::own("lix_version_tip", version_id);
        let snapshot = json!({ "id": version_id, "commit_id": &**commit_id }).to_string();
        let seq =
            self.insert_change_as(change_id, created_at, &key, OWN_PLUGIN, "1.0", Some(&snapshot))?;
        self.put_tip(version_id, commit_id, no, seq)
    }

    /// The row that says where a version stands.
    pub(crate) fn put_tip(
        &self,
        version_id: &str,
        commit_id: &Rc<str>,
        no: i64,
        change_seq: i64,
    ) -> Result<()> {
        let key = Key::own("lix_version_tip", version_id);
        let before = self.own(GLOBAL, &key)?.filter(|own| !own.is_deleted);
        let created_at = before.map(|own| own.created_at);
        self.put_state(GLOBAL, &key, change_seq, no, created_at.as_deref(), false)?;
        self.note_tip(version_id, commit_id, no);
        Ok(())
    }

    /// Takes in what a `lix_commit` entity says; without a snapshot the commit is known by name only.
    pub(crate) fn put_commit(
        &self,
        id: &str,
        change_seq: i64,
        snapshot: Option<&Map<String, Value>>,
        created_at: &str,
    ) -> Result<i64> {
        let no = self.commit_named(id)?;
        let empty = Map::new();
        let commit = snapshot.unwrap_or(&empty);
        let seq = snapshot.map_or(Bound::Null, |_| Bound::Integer(change_seq));
        let change_set =
            commit.get("change_set_id").and_then(Value::as_str).map_or(Bound::Null, Bound::Text);
        self.sql.run(
            "update _lix_commit set change_set_id = ?2, change_seq = ?3, created_at = coalesce(created_at, ?4)
             where no = ?1",
            &[Bound::Integer(no), change_set, seq, Bound::Text(created_at)],
        )?;
        self.put_parents(no, &json::strings(commit, "parent_commit_ids"))?;
        self.put_authors(no, &json::strings(commit, "author_account_ids"))?;
        let sql = "delete from _lix_commit_change where commit_no = ?1";
        self.sql.run(sql, &[Bound::Integer(no)])?;
        for change_id in json::strings(commit, "change_ids") {
            self.sql.run(
                "insert or ignore into _lix_commit_change (commit_no, change_seq)
                 select ?1, seq from _lix_change where id = ?2",
                &[Bound::Integer(no), Bound::Text(&change_id)],
            )?;
        }
        Ok(no)
    }

    /// The number of a commit, which it gets now if it has none.
    pub(crate) fn commit_named(&self, id: &str) -> Result<i64> {
        if let Some(no) = self.commit_no(id)? {
            return Ok(no);
        }
        self.sql.run("insert into _lix_commit (id) values (?1)", &[Bound::Text(id)])?;
        Ok(self.sql.last_insert_rowid())
    }

    fn put_parents(&self, no: i64, parents: &[Rc<str>]) -> Result<()> {
        self.sql
            .run("delete from _lix_commit_parent where commit_no = ?1", &[Bound::Integer(no)])?;
        let mut numbers = Vec::with_capacity(parents.len());
        for (position, parent) in parents.iter().enumerate() {
            let parent = self.commit_named(parent)?;
            if numbers.contains(&parent) {
                continue;
            }
            self.sql.run(
                "insert into _lix_commit_parent (commit_no, position, parent_no) values (?1, ?2, ?3)",
                &[Bound::Integer(no), Bound::Integer(position as i64), Bound::Integer(parent)],
            )?;
            numbers.push(parent);
        }
        self.graph.note_commit(no, &numbers);
        Ok(())
    }

    fn put_authors(&self, no: i64, authors: &[Rc<str>]) -> Result<()> {
        self.sql
            .run("delete from _lix_commit_author where commit_no = ?1", &[Bound::Integer(no)])?;
        for author in authors {
            self.sql.run(
                "insert or ignore into _lix_commit_author (commit_no, account_id) values (?1, ?2)",
                &[Bound::Integer(no), Bound::Text(author)],
            )?;
        }
        Ok(())
    }

    /// Makes a version's line begin at a commit: over the rows of the version that stands there, or
    /// over a copy of what the commit's history adds up to.
    pub(crate) fn start_line(&self, version_id: &str, commit_id: &str) -> Result<()> {
        match self.version_at(commit_id, version_id)? {
            Some(base) => self.base_on(version_id, &base.id),
            None => match self.commit_no(commit_id)? {
                Some(no) => self.copy_line(version_id, no),
                None => Ok(()),
            },
        }
    }

    /// A version shares the rows that another one has now.
    pub(crate) fn base_on(&self, version_id: &str, base: &str) -> Result<()> {
        let sql = "select coalesce(max(no), 0) from _lix_commit";
        let base_no = self.sql.first(sql, &[], |row| row.integer(0))?.unwrap_or_default();
        self.sql.run(
            "insert or replace into _lix_base (version_id, base_version_id, base_no) values (?1, ?2, ?3)",
            &[Bound::Text(version_id), Bound::Text(base), Bound::Integer(base_no)],
        )?;
        self.forget_bases();
        Ok(())
    }

    /// Takes the rows of a line away, for a version that starts anew under the id of a deleted one.
    /// Versions that share some of them get rows of their own first.
    pub(crate) fn clear_line(&self, version_id: &str) -> Result<()> {
        let mut dependents = Vec::new();
        let sql = "select version_id from _lix_base where base_version_id = ?1";
        self.sql.each(sql, &[Bound::Text(version_id)], |row| {
            dependents.push(row.text(0));
            Ok(())
        })?;
        for dependent in dependents {
            self.detach(&dependent)?;
        }
        for sql in [
            "delete from _lix_state where version_id = ?1",
            "delete from _lix_state_past where version_id = ?1",
            "delete from _lix_working where version_id = ?1",
            "delete from _lix_base where version_id = ?1",
        ] {
            self.sql.run(sql, &[Bound::Text(version_id)])?;
        }
        self.forget_bases();
        Ok(())
    }

    /// Copies the rows that a version shares with others, so that it shares nothing any more.
    fn detach(&self, version_id: &str) -> Result<()> {
        let mut keys = std::collections::BTreeSet::new();
        for layer in self.layers(version_id)?.iter().skip(1) {
            for sql in [
                "select schema_key, entity_id, file_id from _lix_state where version_id = ?1",
                "select schema_key, entity_id, file_id from _lix_state_past where version_id = ?1",
            ] {
                self.sql.each(sql, &[Bound::Text(&layer.line)], |row| {
                    keys.insert(Key {
                        schema_key: row.text(0),
                        entity_id: row.text(1),
                        file_id: row.text(2),
                    });
                    Ok(())
                })?;
            }
        }
        for key in keys {
            if let Some(own) = self.own(version_id, &key)?
                && !own.is_on_line
            {
                let created_at = own.stored_created_at.as_deref();
                let Own { change_seq, commit_no, is_deleted, .. } = own;
                self.put_state(version_id, &key, change_seq, commit_no, created_at, is_deleted)?;
            }
        }
        let sql = "delete from _lix_base where version_id = ?1";
        self.sql.run(sql, &[Bound::Text(version_id)])?;
        self.forget_bases();
        Ok(())
    }

    /// A version gets rows of its own for what a commit's history adds up to.
    pub(crate) fn copy_line(&self, version_id: &str, no: i64) -> Result<()> {
        for folded in self.fold(no)? {
            let Folded { key, change_seq, commit_no, created_at, is_deleted } = folded;
            // What says how versions and commits are belongs to `global` alone.
            if version_id == GLOBAL || is_shared(&key.schema_key) {
                let created_at = created_at.as_deref();
                self.put_state(version_id, &key, change_seq, commit_no, created_at, is_deleted)?;
            }
        }
        Ok(())
    }

    /// What a version showed whose newest commit this was: per key the nearest change on the line of
    /// first parents. Other parents are merged ones: what was taken over from them is on the line.
    pub(crate) fn fold(&self, no: i64) -> Result<Vec<Folded>> {
        let mut found: HashMap<Key, usize> = HashMap::new();
        let mut folded: Vec<Folded> = Vec::new();
        let mut is_open: Vec<bool> = Vec::new();
        // Checkpoints list changes again: the commit that made one win lies before them.
        let mut is_unchanged: Vec<bool> = Vec::new();
        for commit_no in self.line(no)? {
            let mut members = Vec::new();
            self.sql.each(
                "select c.seq, c.schema_key, c.entity_id, c.file_id, c.created_at, c.snapshot is null
                 from _lix_commit_change m cross join _lix_change c on c.seq = m.change_seq
                 where m.commit_no = ?1 order by c.seq desc",
                &[Bound::Integer(commit_no)],
                |row| {
                    let key = Key { schema_key: row.text(1), entity_id: row.text(2), file_id: row.text(3) };
                    members.push((row.integer(0), key, row.text(4), row.integer(5) != 0));
                    Ok(())
                },
            )?;
            for (change_seq, key, created_at, is_deleted) in members {
                if let Some(&index) = found.get(&key) {
                    is_unchanged[index] &= folded[index].change_seq == change_seq;
                    if is_unchanged[index] {
                        folded[index].commit_no = commit_no;
                    }
                }
                match found.get(&key) {
                    // An older change of a key that has lived since then.
                    Some(&index) if is_open[index] => {
                        is_open[index] = !is_deleted;
                        if !is_deleted {
                            folded[index].created_at = Some(created_at);
                        }
                    }
                    Some(_) => {}
                    None => {
                        found.insert(key.clone(), folded.len());
                        is_open.push(!is_deleted);
                        is_unchanged.push(true);
                        let created_at = None;
                        folded.push(Folded { key, change_seq, commit_no, created_at, is_deleted });
                    }
                }
            }
        }
        Ok(folded)
    }

    /// The accounts that write now, in order.
    pub(crate) fn active_accounts(&self) -> Result<Vec<Rc<str>>> {
        if let Some(accounts) = &*self.accounts.borrow() {
            return Ok(accounts.clone());
        }
        let mut accounts = Vec::new();
        let sql = "select snapshot from _lix_untracked
                   where version_id = 'global' and schema_key = 'lix_active_account' and snapshot is not null
                   order by entity_id";
        self.sql.each(sql, &[], |row| {
            let snapshot = json::object(row.optional_text(0).as_deref());
            if let Some(id) = snapshot.get("account_id").and_then(Value::as_str)
                && !accounts.iter().any(|known: &Rc<str>| &**known == id)
            {
                accounts.push(Rc::from(id));
            }
            Ok(())
        })?;
        self.accounts.replace(Some(accounts.clone()));
        Ok(accounts)
    }
}

/// What a commit's history adds up to under one key.
pub(crate) struct Folded {
    pub(crate) key: Key,
    pub(crate) change_seq: i64,
    pub(crate) commit_no: i64,
    /// None: the change's.
    pub(crate) created_at: Option<Rc<str>>,
    pub(crate) is_deleted: bool,
}

pub(crate) fn unknown_commit(id: &str) -> Error {
    Error::new(Reason::OptionInvalid, format!("Commit with id '{id}' does not exist")).subject(id)
}

/// Whether a change of a schema counts as work since the last checkpoint.
fn is_work(schema_key: &str) -> bool {
    !matches!(
        schema_key,
        "lix_change_set" | "lix_change_set_edge" | "lix_change_set_element" | "lix_version"
    )
}
