//! Everything that is computed from changes, computed again.
//!
//! Guarantee: afterwards everything reads as before. The log is gone through in the order in which
//! it was written, and each change does what it did then, by the same functions: a change of a
//! commit becomes what the commit's version sees, a tip begins a line, moves along it, or makes a
//! checkpoint. Only numbers differ, and what a transaction had written and replaced again.
//!
//! Which commit a change was first written into is in no table of its own. It follows from the
//! commits: one that a version made names the change that moved the version's tip there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::json;
use super::state::Key;
use super::{GLOBAL, Lix};
use crate::sqlite::Bound;

impl Lix {
    /// Computes all tables but `_lix_change` and `_lix_untracked` again. Nothing may be pending.
    pub(crate) fn rebuild(self: &Rc<Self>) -> Result<()> {
        self.drain_scans()?;
        self.note_unlisted();
        for empty in EMPTY {
            self.sql.run(empty, &[])?;
        }
        self.forget();
        Replay::prepare(self)?.run()?;
        self.forget();
        self.load_schemas()?;
        // In order: the same changes make the same file.
        let mut schemas: BTreeSet<Rc<str>> = self.changed_schemas()?.into_iter().collect();
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
    /// The change of the version's tip before it. What the commit lists from before that was written
    /// elsewhere.
    since: i64,
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
                let strings = |name: &str| json::strings(&commit, name);
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
        let mut makers: HashMap<Rc<str>, (Rc<str>, i64)> = HashMap::new();
        let mut at: HashMap<Rc<str>, (Rc<str>, i64)> = HashMap::new();
        for tip in tips {
            let Some(commit_id) = tip.commit_id else {
                at.remove(&tip.version_id);
                moves.insert(tip.seq, Move::Nowhere);
                continue;
            };
            let said = first.get(&commit_id);
            let (before, since) = match at.get(&tip.version_id) {
                Some((before, since)) => (Some(before), *since),
                None => (None, 0),
            };
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
                makers.entry(commit_id.clone()).or_insert_with(|| (tip.version_id.clone(), since));
            }
            match way {
                Move::Begin | Move::Append | Move::Checkpoint => {
                    at.insert(tip.version_id, (commit_id, tip.seq));
                }
                Move::Nowhere | Move::Astray => {}
            }
        }

        let mut made: Vec<Made> = makers
            .into_iter()
            .filter_map(|(id, (version_id, since))| {
                let said = first.remove(&id)?;
                let Said { seq, id, change_ids, .. } = said;
                Some(Made { id, version_id, seq, since, change_ids, no: None, is_named: false })
            })
            .collect();
        made.sort_unstable_by_key(|made| made.seq);
        let mut homes = HashMap::new();
        let mut by_id = HashMap::new();
        for (index, made) in made.iter().enumerate() {
            by_id.insert(made.id.clone(), index);
            for id in &made.change_ids {
                if let Some(seq) = seq_of(lix, id)?.filter(|seq| *seq > made.since) {
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
        Ok(string(&json::object(snapshot.as_deref()), "commit_id"))
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
        let snapshot = row.optional_text(3).map(|text| json::object(Some(&text)));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lix::testing::bare;

    /// Changes as another engine of the same data model writes them, in its order.
    struct Foreign(Rc<Lix>);

    impl Foreign {
        /// Two versions, whose first commits list themselves.
        fn new() -> Self {
            let log = Self(bare());
            let members: Vec<_> =
                ["d-global", "d-main", "t-global", "t-main", "g0", "m0", "gw", "mw"]
                    .iter()
                    .map(|id| format!("{id}-0"))
                    .collect();
            for (id, parent) in [("global", None), ("main", Some("global"))] {
                let working = if id == "global" { "gw" } else { "mw" };
                let descriptor = json!({
                    "id": id, "name": id, "working_commit_id": working, "inherits_from_version_id": parent,
                });
                log.put(&format!("d-{id}-0"), "lix_version_descriptor", id, Some(descriptor));
                let commit = if id == "global" { "g0" } else { "m0" };
                log.tip(&format!("t-{id}-0"), id, commit);
            }
            for commit in ["g0", "m0", "gw", "mw"] {
                let members = if commit == "g0" { members.clone() } else { Vec::new() };
                let members: Vec<&str> = members.iter().map(String::as_str).collect();
                log.commit(commit, &[], &members, &[]);
            }
            log
        }

        fn put(&self, id: &str, schema_key: &str, entity_id: &str, snapshot: Option<Value>) {
            let text = snapshot.map(|snapshot| snapshot.to_string());
            let key = Key::own(schema_key, entity_id);
            let now = "2025-01-01T00:00:00.000Z";
            self.0.insert_change_as(id, now, &key, "plugin", "1.0", text.as_deref()).unwrap();
        }

        fn tip(&self, id: &str, version_id: &str, commit_id: &str) {
            let tip = json!({ "id": version_id, "commit_id": commit_id });
            self.put(id, "lix_version_tip", version_id, Some(tip));
        }

        fn commit(&self, id: &str, parents: &[&str], members: &[&str], meta: &[&str]) {
            let commit = json!({
                "id": id, "change_set_id": format!("s-{id}"), "change_ids": members,
                "parent_commit_ids": parents, "meta_change_ids": meta,
            });
            self.put(&format!("{id}-0"), "lix_commit", id, Some(commit));
        }

        /// Of each version its tip, and under keys of `kv` the change and its commit.
        fn state(&self) -> Vec<String> {
            self.0.rebuild().unwrap();
            let mut lines = Vec::new();
            for version in self.0.all_versions().unwrap() {
                let tip = version.tip.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default();
                let mut line = format!("{} {tip}:", version.id);
                let sql = "select c.entity_id, c.id, k.id, s.is_deleted from _lix_state s
                    join _lix_change c on c.seq = s.change_seq join _lix_commit k on k.no = s.commit_no
                    where s.version_id = ?1 and s.schema_key = 'kv' order by 1";
                let version_id = [Bound::Text(&version.id)];
                self.0
                    .sql
                    .each(sql, &version_id, |row| {
                        let gone = if row.integer(3) != 0 { " gone" } else { "" };
                        line += &format!(" {}={}@{}{gone}", row.text(0), row.text(1), row.text(2));
                        Ok(())
                    })
                    .unwrap();
                lines.push(line);
            }
            lines
        }
    }

    #[test]
    fn a_tip_may_be_written_before_its_commit() {
        let log = Foreign::new();
        assert_eq!(log.state(), ["global g0:", "main m0:"]);
        log.put("a1", "kv", "a", Some(json!({})));
        log.tip("t1", "main", "c1");
        log.commit("c1", &["m0"], &["a1"], &["t1"]);
        log.put("a2", "kv", "a", None);
        log.tip("t2", "main", "c2");
        log.commit("c2", &["c1"], &["a2"], &["t2"]);
        assert_eq!(log.state(), ["global g0:", "main c2: a=a2@c2 gone"]);
    }

    #[test]
    fn a_merge_need_not_name_its_tip() {
        let log = Foreign::new();
        log.put("a1", "kv", "a", Some(json!({})));
        log.tip("t1", "main", "c1");
        log.commit("c1", &["m0"], &["a1"], &["t1"]);
        // A version that begins there and goes on by itself.
        let draft = json!({"id": "draft", "name": "draft", "working_commit_id": "dw"});
        log.put("d-draft", "lix_version_descriptor", "draft", Some(draft));
        log.tip("t-draft", "draft", "c1");
        log.tip("t2", "global", "g1");
        log.commit("g1", &["g0"], &["d-draft", "t-draft"], &["t2"]);
        log.put("a2", "kv", "a", Some(json!({})));
        log.tip("t3", "draft", "d1");
        log.commit("d1", &["c1"], &["a2"], &["t3"]);
        assert_eq!(log.state(), ["draft d1: a=a2@d1", "global g1:", "main c1: a=a1@c1"]);

        log.commit("m1", &["c1", "d1"], &["a2"], &[]);
        log.tip("t4", "main", "m1");
        assert_eq!(log.state(), ["draft d1: a=a2@d1", "global g1:", "main m1: a=a2@m1"]);
    }

    #[test]
    fn a_pointer_that_was_only_moved_is_not_believed() {
        let log = Foreign::new();
        for (change, tip, commit, parent) in [("a1", "t1", "c1", "m0"), ("a2", "t2", "c2", "c1")] {
            log.put(change, "kv", "a", Some(json!({})));
            log.tip(tip, "main", commit);
            log.commit(commit, &[parent], &[change], &[tip]);
        }
        log.tip("back", "main", "c1");
        log.tip("t3", "global", "g1");
        log.commit("g1", &["g0"], &["back"], &["t3"]);
        assert_eq!(log.state(), ["global g1:", "main c2: a=a2@c2"]);
    }

    #[test]
    fn a_rebuild_of_nothing_is_nothing() {
        let lix = bare();
        lix.rebuild().unwrap();
        assert!(lix.all_versions().unwrap().is_empty());
    }

    #[test]
    fn a_log_that_makes_no_sense_is_gone_through() {
        let log = Foreign::new();
        log.put(
            "x",
            "lix_commit",
            "",
            Some(json!({ "change_ids": 7, "parent_commit_ids": [1, "x"] })),
        );
        log.put("y", "lix_version_tip", "main", Some(json!({ "commit_id": ["c"] })));
        log.put("z", "lix_version_tip", "nobody", Some(json!({ "commit_id": "nothing" })));
        log.commit("c1", &["c1", "c2"], &["c1-0", "no change"], &["y"]);
        log.commit("c2", &["c1"], &[], &[]);
        log.tip("t1", "main", "c1");
        log.tip("t2", "main", "nowhere");
        log.state();
        log.state();
    }
}
