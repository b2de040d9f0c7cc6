//! Everything that is computed from changes, computed again.
//!
//! Guarantee: afterwards everything reads as before. The log is gone through in the order in which
//! it was written, and each change does what it did then, by the same functions: a change of a
//! commit becomes what the commit's version sees, a tip begins a line, moves along it, or makes a
//! checkpoint. Only numbers differ, and what a transaction had written and replaced again.
//!
//! Which commit a change was first written into is in no table of its own. It follows from the
//! commits: one that a version made names the change that moved the version's tip there.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::state::Key;
use super::versions::parse;
use super::{GLOBAL, Lix};
use crate::sqlite::Bound;

impl Lix {
    /// Computes all tables but `_lix_change` and `_lix_untracked` again. Nothing may be pending.
    pub(crate) fn rebuild(self: &Rc<Self>) -> Result<()> {
        self.drain_scans()?;
        for empty in EMPTY {
            self.sql.run(empty, &[])?;
        }
        self.forget();
        Replay::prepare(self)?.run()?;
        self.forget();
        self.load_schemas()?;
        let mut schemas: HashSet<Rc<str>> = self.changed_schemas()?.into_iter().collect();
        self.sql.each("select distinct schema_key from _lix_untracked", &[], |row| {
            schemas.insert(row.text(0));
            Ok(())
        })?;
        schemas.iter().try_for_each(|schema_key| self.index_rows(schema_key))
    }
}

/// A pass through the log.
struct Replay<'a> {
    lix: &'a Lix,
    commits: Commits,
    /// What each tip change does.
    moves: HashMap<i64, Move>,
    /// Change → the commit that it was first written into.
    homes: HashMap<i64, usize>,
}

/// A commit that some version made.
struct Made {
    id: Rc<str>,
    version_id: Rc<str>,
    /// The change that made it.
    seq: i64,
    change_ids: Vec<Rc<str>>,
    /// Its number, once it has one.
    no: Option<i64>,
    is_named: bool,
}

/// Those that were made, by id.
#[derive(Default)]
struct Commits {
    all: Vec<Made>,
    by_id: HashMap<Rc<str>, usize>,
}

/// What the change of a tip means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// A line begins.
    Begin,
    /// To a commit that the version made.
    Append,
    /// To a commit that was written like an entity and only repeats what the version has.
    Checkpoint,
    /// The version has no tip any more, or the same as before.
    Nowhere,
    /// To a commit that the version is past already, or that has nothing to do with it. An engine
    /// that only moved pointers did that, without the state to go with it; the tip stays.
    Astray,
}

/// What a `lix_commit` change says.
struct Said {
    seq: i64,
    id: Rc<str>,
    parents: Vec<Rc<str>>,
    change_ids: Vec<Rc<str>>,
    meta_change_ids: Vec<Rc<str>>,
}

/// What a `lix_version_tip` change says.
struct Tip {
    seq: i64,
    change_id: Rc<str>,
    version_id: Rc<str>,
    commit_id: Option<Rc<str>>,
}

impl<'a> Replay<'a> {
    /// Finds out what belongs together.
    fn prepare(lix: &'a Lix) -> Result<Self> {
        // A commit may be written again, when it becomes a checkpoint or by hand; what its version
        // wrote into it is what it said at first.
        let mut first: HashMap<Rc<str>, Said> = HashMap::new();
        let mut writes: HashMap<Rc<str>, Rc<str>> = HashMap::new();
        each_of(lix, "lix_commit", |seq, change_id, id, snapshot| {
            writes.insert(change_id, id.clone());
            if let Some(commit) = snapshot {
                let strings = |name: &str| strings(&commit, name);
                first.entry(id.clone()).or_insert_with(|| Said {
                    seq,
                    id,
                    parents: strings("parent_commit_ids"),
                    change_ids: strings("change_ids"),
                    meta_change_ids: strings("meta_change_ids"),
                });
            }
        })?;
        let mut tips = Vec::new();
        each_of(lix, "lix_version_tip", |seq, change_id, version_id, snapshot| {
            let commit_id = snapshot.and_then(|tip| string(&tip, "commit_id"));
            tips.push(Tip { seq, change_id, version_id, commit_id });
        })?;
        // Working commits, and those that somebody wrote by hand, are written like any entity.
        let listed = first.values().flat_map(|said| &said.change_ids);
        let written: HashSet<Rc<str>> =
            listed.filter_map(|change_id| writes.get(change_id).cloned()).collect();

        let mut moves = HashMap::new();
        let mut makers: HashMap<Rc<str>, Rc<str>> = HashMap::new();
        let mut at: HashMap<Rc<str>, Rc<str>> = HashMap::new();
        for tip in tips {
            let Some(commit_id) = tip.commit_id else {
                at.remove(&tip.version_id);
                moves.insert(tip.seq, Move::Nowhere);
                continue;
            };
            let said = first.get(&commit_id);
            let before = at.get(&tip.version_id);
            let is_made = said.is_some_and(|said| said.meta_change_ids.contains(&tip.change_id));
            let follows = |before| said.is_some_and(|said| said.parents.contains(before));
            let way = match before {
                _ if is_made => Move::Append,
                // The first commit of all was there before there was a tip to move.
                None if &*tip.version_id == GLOBAL => Move::Append,
                None => Move::Begin,
                Some(before) if *before == commit_id => Move::Nowhere,
                Some(_) if written.contains(&commit_id) => Move::Checkpoint,
                // Merges of other engines do not name the change that moved the tip.
                Some(before) if follows(before) && !makers.contains_key(&commit_id) => Move::Append,
                Some(_) => Move::Astray,
            };
            moves.insert(tip.seq, way);
            if way == Move::Append {
                makers.entry(commit_id.clone()).or_insert_with(|| tip.version_id.clone());
            }
            if way != Move::Astray {
                at.insert(tip.version_id, commit_id);
            }
        }

        let mut made: Vec<Made> = makers
            .into_iter()
            .filter_map(|(id, version_id)| {
                let said = first.remove(&id)?;
                let Said { seq, id, change_ids, .. } = said;
                Some(Made { id, version_id, seq, change_ids, no: None, is_named: false })
            })
            .collect();
        made.sort_unstable_by_key(|made| made.seq);
        let mut homes = HashMap::new();
        let mut by_id = HashMap::new();
        for (index, made) in made.iter().enumerate() {
            by_id.insert(made.id.clone(), index);
            for id in &made.change_ids {
                if let Some(seq) = seq_of(lix, id)? {
                    homes.entry(seq).or_insert(index);
                }
            }
        }
        Ok(Self { lix, commits: Commits { all: made, by_id }, moves, homes })
    }

    fn run(&mut self) -> Result<()> {
        let sql = "select seq, schema_key, entity_id, file_id, snapshot is null from _lix_change order by seq";
        let mut log = self.lix.sql.start(sql, &[])?;
        while log.step()? {
            let row = log.row();
            let seq = row.integer(0);
            let home = self.homes.get(&seq).copied();
            let schema_key = row.text(1);
            let is_special = matches!(&*schema_key, "lix_commit" | "lix_version_tip");
            // A change that no version ever wrote into a commit is only there.
            if home.is_none() && !is_special {
                continue;
            }
            let key = Key { schema_key, entity_id: row.text(2), file_id: row.text(3) };
            let is_deleted = row.integer(4) != 0;
            match (&*key.schema_key, home) {
                ("lix_commit", None) => self.commit(&key, seq, is_deleted)?,
                ("lix_version_tip", None) => self.tip(&key, seq)?,
                (_, Some(home)) => self.change(home, &key, seq, is_deleted)?,
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// A change that was written into a commit.
    fn change(&mut self, home: usize, key: &Key, seq: i64, is_deleted: bool) -> Result<()> {
        let way = self.moves.get(&seq).copied();
        if way == Some(Move::Astray) {
            return Ok(());
        }
        let no = self.number(home)?;
        let version_id = self.commits.all[home].version_id.clone();
        if way == Some(Move::Begin) {
            self.begin(key, seq)?;
        }
        if &*key.schema_key == "lix_commit" {
            self.name(&key.entity_id)?;
        }
        self.lix.add_to_commit(no, seq)?;
        self.lix.apply(&version_id, key, seq, no, is_deleted)?;
        self.lix.after_change(&version_id, key, seq)?;
        if way == Some(Move::Checkpoint) {
            self.checkpoint(key, seq)?;
        }
        Ok(())
    }

    /// A commit that its version made: it refers to changes, and it stands.
    fn commit(&mut self, key: &Key, seq: i64, is_deleted: bool) -> Result<()> {
        if let Some(&index) = self.commits.by_id.get(&key.entity_id)
            && self.commits.all[index].seq == seq
        {
            let no = self.number(index)?;
            let Made { change_ids, version_id, .. } = &self.commits.all[index];
            for id in change_ids {
                let Some(member) = seq_of(self.lix, id)? else { continue };
                if self.homes.get(&member) == Some(&index) {
                    continue;
                }
                let change = self.lix.change(member)?;
                self.lix.add_to_commit(no, member)?;
                self.lix.apply(version_id, &change.key, member, no, change.snapshot.is_none())?;
                self.lix.after_change(version_id, &change.key, member)?;
            }
        }
        self.name(&key.entity_id)?;
        self.lix.after_change(GLOBAL, key, seq)?;
        let no = self.lix.commit_named(&key.entity_id)?;
        self.lix.apply(GLOBAL, key, seq, no, is_deleted)
    }

    /// A tip that moved beside the changes of commits.
    fn tip(&mut self, key: &Key, seq: i64) -> Result<()> {
        let way = self.moves.get(&seq).copied().unwrap_or(Move::Astray);
        let Some(commit_id) = self.tip_commit(seq)? else { return Ok(()) };
        match way {
            Move::Astray => return Ok(()),
            Move::Begin => self.begin(key, seq)?,
            Move::Append | Move::Checkpoint | Move::Nowhere => {}
        }
        let no = match self.commits.by_id.get(&commit_id) {
            // Another engine writes the tip before the commit.
            Some(&index) => self.number(index)?,
            None => self.lix.commit_named(&commit_id)?,
        };
        self.lix.put_tip(&key.entity_id, &commit_id, no, seq)?;
        if way == Move::Checkpoint {
            self.checkpoint(key, seq)?;
        }
        Ok(())
    }

    fn begin(&self, key: &Key, seq: i64) -> Result<()> {
        match self.tip_commit(seq)? {
            Some(commit_id) => {
                self.lix.clear_line(&key.entity_id)?;
                self.lix.start_line(&key.entity_id, &commit_id)
            }
            None => Ok(()),
        }
    }

    fn checkpoint(&self, key: &Key, seq: i64) -> Result<()> {
        let Some(commit_id) = self.tip_commit(seq)? else { return Ok(()) };
        let no = self.lix.commit_named(&commit_id)?;
        self.lix.checkpointed(&key.entity_id, no)
    }

    fn tip_commit(&self, seq: i64) -> Result<Option<Rc<str>>> {
        let snapshot = self.lix.change(seq)?.snapshot;
        Ok(string(&parse(snapshot.as_deref()), "commit_id"))
    }

    /// The number of a commit that is being filled. As then, it has no name before it stands.
    fn number(&mut self, index: usize) -> Result<i64> {
        let made = &mut self.commits.all[index];
        if let Some(no) = made.no {
            return Ok(no);
        }
        let sql = "insert into _lix_commit (version_id) values (?1)";
        self.lix.sql.run(sql, &[Bound::Text(&made.version_id)])?;
        let no = self.lix.sql.last_insert_rowid();
        self.lix.pending.borrow_mut().insert(made.version_id.clone(), Some(no));
        made.no = Some(no);
        Ok(no)
    }

    /// Gives a commit that was filled its name.
    fn name(&mut self, id: &Rc<str>) -> Result<()> {
        let Some(&index) = self.commits.by_id.get(id) else { return Ok(()) };
        let made = &mut self.commits.all[index];
        let Some(no) = made.no else { return Ok(()) };
        if made.is_named {
            return Ok(());
        }
        made.is_named = true;
        self.lix.pending.borrow_mut().insert(made.version_id.clone(), None);
        let [no, id] = [Bound::Integer(no), Bound::Text(id)];
        // A commit that was written twice in one transaction may name one that came after it.
        if let Some(named) = self.lix.commit_no(&made.id)? {
            let named = Bound::Integer(named);
            let sql = "update _lix_commit_parent set parent_no = ?1 where parent_no = ?2";
            self.lix.sql.run(sql, &[no, named])?;
            self.lix.sql.run("delete from _lix_commit where no = ?1", &[named])?;
            self.lix.graph.forget();
        }
        self.lix.sql.run("update _lix_commit set id = ?2 where no = ?1", &[no, id])
    }
}

/// The changes of a schema in the order of the log: number, id, entity and snapshot.
fn each_of(
    lix: &Lix,
    schema_key: &str,
    mut change: impl FnMut(i64, Rc<str>, Rc<str>, Option<Map<String, Value>>),
) -> Result<()> {
    // The index has them by entity.
    let sql =
        "select seq, id, entity_id, snapshot from _lix_change where schema_key = ?1 order by seq";
    lix.sql.each(sql, &[Bound::Text(schema_key)], |row| {
        let snapshot = row.optional_text(3).map(|text| parse(Some(&text)));
        change(row.integer(0), row.text(1), row.text(2), snapshot);
        Ok(())
    })
}

fn seq_of(lix: &Lix, change_id: &str) -> Result<Option<i64>> {
    let sql = "select seq from _lix_change where id = ?1";
    lix.sql.first(sql, &[Bound::Text(change_id)], |row| row.integer(0))
}

fn string(snapshot: &Map<String, Value>, name: &str) -> Option<Rc<str>> {
    snapshot.get(name).and_then(Value::as_str).map(Rc::from)
}

fn strings(snapshot: &Map<String, Value>, name: &str) -> Vec<Rc<str>> {
    let list = snapshot.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(Rc::from).collect()
}

const EMPTY: [&str; 9] = [
    "delete from _lix_commit",
    "delete from _lix_commit_parent",
    "delete from _lix_commit_change",
    "delete from _lix_commit_author",
    "delete from _lix_state",
    "delete from _lix_state_past",
    "delete from _lix_base",
    "delete from _lix_working",
    "delete from _lix_lookup",
];
