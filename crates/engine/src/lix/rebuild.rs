//! State from changes: everything but `_lix_change`, `_lix_untracked` and `_lix_meta` is computed
//! again by replaying the log in the order of writing.
//!
//! Guarantee: nothing visible differs afterwards, in any column. The log of another engine is
//! replayed likewise: a tip that comes before its commit waits for it, and a tip that jumps to
//! where no commit of the version leads starts the version's line anew.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::Value;

use super::commit::Change;
use super::state::Key;
use super::versions::parse;
use super::{GLOBAL, Lix};
use crate::sqlite::Bound;

/// What a replay has come to.
#[derive(Default)]
struct Replay {
    /// Changes about commits and tips that belong to a commit themselves.
    members: HashSet<Rc<str>>,
    /// Version → its newest commit so far.
    tips: HashMap<Rc<str>, Rc<str>>,
    /// Version and commit: what was ever the version's working commit.
    working: HashSet<(Rc<str>, Rc<str>)>,
    /// Tips that name a commit which is still to come.
    waiting: HashMap<Rc<str>, Vec<(i64, Rc<str>)>>,
    known: HashSet<Rc<str>>,
}

impl Lix {
    /// Computes the tables beside the log again.
    pub(crate) fn rebuild(self: &Rc<Self>) -> Result<()> {
        self.before_writing()?;
        self.seal()?;
        for sql in [
            "delete from _lix_commit",
            "delete from _lix_commit_parent",
            "delete from _lix_commit_change",
            "delete from _lix_commit_author",
            "delete from _lix_state",
            "delete from _lix_state_past",
            "delete from _lix_base",
            "delete from _lix_working",
            "delete from _lix_lookup",
        ] {
            self.sql.run(sql, &[])?;
        }
        self.forget();

        let mut replay = Replay { members: self.graph_members()?, ..Replay::default() };
        let sql = "select seq, id, schema_key, entity_id, file_id, created_at, snapshot from _lix_change
                   where schema_key in ('lix_commit', 'lix_version_tip', 'lix_version_descriptor') order by seq";
        self.sql.each(sql, &[], |row| {
            let seq = row.integer(0);
            let change = Change {
                id: row.text(1),
                key: Key { schema_key: row.text(2), entity_id: row.text(3), file_id: row.text(4) },
                created_at: row.text(5),
                snapshot: row.optional_text(6),
            };
            self.replay(&mut replay, seq, &change)
        })?;

        self.forget();
        self.load_schemas()?;
        let mut keys: Vec<Rc<str>> =
            self.schemas.borrow().stored().map(|schema| schema.key.clone()).collect();
        keys.dedup();
        for key in keys {
            self.index_rows(&key)?;
        }
        self.load()
    }

    /// The changes about commits and tips that are members of commits: those are rows of the
    /// version that committed them, the others are bookkeeping of the graph.
    fn graph_members(&self) -> Result<HashSet<Rc<str>>> {
        let mut about_graph = HashSet::new();
        let sql = "select id from _lix_change where schema_key in ('lix_commit', 'lix_version_tip')";
        self.sql.each(sql, &[], |row| {
            about_graph.insert(row.text(0));
            Ok(())
        })?;
        let mut members = HashSet::new();
        let sql = "select snapshot from _lix_change where schema_key = 'lix_commit' and snapshot is not null";
        self.sql.each(sql, &[], |row| {
            let commit = parse(row.optional_text(0).as_deref());
            let ids = commit.get("change_ids").and_then(Value::as_array);
            for id in ids.into_iter().flatten().filter_map(Value::as_str) {
                if about_graph.contains(id) {
                    members.insert(id.into());
                }
            }
            Ok(())
        })?;
        Ok(members)
    }

    fn replay(&self, replay: &mut Replay, seq: i64, change: &Change) -> Result<()> {
        let id = &change.key.entity_id;
        let snapshot = change.snapshot.as_deref().map(|text| parse(Some(text)));
        let text = |name: &str| -> Option<Rc<str>> {
            snapshot.as_ref()?.get(name).and_then(Value::as_str).map(Rc::from)
        };
        match &*change.key.schema_key {
            "lix_commit" => {
                let no = self.put_commit(id, seq, snapshot.as_ref(), &change.created_at)?;
                if !replay.members.contains(&change.id) {
                    let before = self.own(GLOBAL, &change.key)?.filter(|own| !own.is_deleted);
                    let created_at = before.map(|own| own.created_at);
                    let is_deleted = snapshot.is_none();
                    self.put_state(GLOBAL, &change.key, seq, no, created_at.as_deref(), is_deleted)?;
                }
                replay.known.insert(id.clone());
                for (seq, version_id) in replay.waiting.remove(id).unwrap_or_default() {
                    let change = self.change(seq)?;
                    self.replay_tip(replay, seq, &change, &version_id, id)?;
                }
            }
            "lix_version_descriptor" => {
                if let Some(working) = text("working_commit_id") {
                    replay.working.insert((id.clone(), working));
                }
            }
            _ => match text("commit_id") {
                Some(commit) if replay.known.contains(&commit) => {
                    self.replay_tip(replay, seq, change, id, &commit)?;
                }
                Some(commit) => {
                    replay.waiting.entry(commit).or_default().push((seq, id.clone()));
                }
                None => {
                    replay.tips.remove(id);
                }
            },
        }
        Ok(())
    }

    /// A version's tip moves to a commit.
    fn replay_tip(
        &self,
        replay: &mut Replay,
        seq: i64,
        change: &Change,
        version_id: &Rc<str>,
        commit_id: &Rc<str>,
    ) -> Result<()> {
        let no = self.commit_named(commit_id)?;
        match replay.tips.get(version_id).cloned() {
            Some(tip) if tip == *commit_id => {}
            Some(_) if replay.working.contains(&(version_id.clone(), commit_id.clone())) => {
                self.replay_members(version_id, no)?;
                self.checkpointed(version_id, no)?;
            }
            Some(tip) if self.parents(no)?.contains(&self.commit_named(&tip)?) => {
                self.replay_members(version_id, no)?;
                self.lies_on(version_id, no)?;
            }
            tip => {
                if tip.is_some() {
                    for sql in [
                        "delete from _lix_state where version_id = ?1",
                        "delete from _lix_base where version_id = ?1",
                        "delete from _lix_working where version_id = ?1",
                    ] {
                        self.sql.run(sql, &[Bound::Text(version_id)])?;
                    }
                    self.forget_bases();
                }
                let base = replay.tips.iter().find(|(id, tip)| *tip == commit_id && *id != version_id);
                match base {
                    Some((base, _)) => self.base_on(version_id, base)?,
                    None => {
                        self.copy_line(version_id, no)?;
                        self.lies_on(version_id, no)?;
                    }
                }
            }
        }
        replay.tips.insert(version_id.clone(), commit_id.clone());
        match replay.members.contains(&change.id) {
            true => Ok(()),
            false => self.put_tip(version_id, commit_id, no, seq),
        }
    }

    /// Applies what a commit changes and the version does not have yet.
    fn replay_members(&self, version_id: &str, no: i64) -> Result<()> {
        let mut members = Vec::new();
        let sql = "select change_seq from _lix_commit_change where commit_no = ?1 order by change_seq";
        self.sql.each(sql, &[Bound::Integer(no)], |row| {
            members.push(row.integer(0));
            Ok(())
        })?;
        for seq in members {
            let change = self.change(seq)?;
            if self.own(version_id, &change.key)?.is_none_or(|own| own.change_seq != seq) {
                self.apply(version_id, &change.key, seq, no, change.snapshot.is_none())?;
            }
        }
        Ok(())
    }

    fn parents(&self, no: i64) -> Result<Vec<i64>> {
        let mut parents = Vec::new();
        let sql = "select parent_no from _lix_commit_parent where commit_no = ?1 order by position";
        self.sql.each(sql, &[Bound::Integer(no)], |row| {
            parents.push(row.integer(0));
            Ok(())
        })?;
        Ok(parents)
    }

    fn lies_on(&self, version_id: &str, no: i64) -> Result<()> {
        let sql = "update _lix_commit set version_id = ?1 where no = ?2 and version_id is null";
        self.sql.run(sql, &[Bound::Text(version_id), Bound::Integer(no)])
    }
}
