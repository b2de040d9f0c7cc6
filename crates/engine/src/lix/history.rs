//! What entities were: their changes as seen from a commit, each with its distance.
//!
//! Guarantee: a row is there if and only if its commit can be reached from the root and lists the
//! change; its depth is the fewest edges in between. The cost of asking for one entity follows the
//! number of its changes and the number of commits, not what else was ever written: the changes
//! are looked up first, and one walk from the root tells how far their commits are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use lix_engine_protocol::Result;

use super::derived::WorkingSet;
use super::graph::Direction;
use super::state::Key;
use super::{LIX_FILE, Lix};
use crate::sqlite::{Bound, Statement};

/// Which history is wanted. An empty list means no row, none means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryFilter {
    /// Seen from these commits. From all there are costs what it says.
    pub(crate) root_commit_ids: Option<Vec<Rc<str>>>,
    pub(crate) entity_ids: Option<Vec<Rc<str>>>,
    pub(crate) schema_keys: Option<Vec<Rc<str>>>,
    pub(crate) file_ids: Option<Vec<Rc<str>>>,
    pub(crate) commit_ids: Option<Vec<Rc<str>>>,
    pub(crate) depth: Option<DepthFilter>,
    /// Of files only: nothing that belongs to none.
    pub(crate) of_files: bool,
}

/// Depths from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DepthFilter {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// A change as seen from a commit.
#[derive(Clone, Debug)]
pub(crate) struct HistoryRow {
    pub(crate) change: Rc<ChangeRow>,
    /// The commit that lists the change.
    pub(crate) commit_id: Rc<str>,
    /// The commit that looks.
    pub(crate) root_commit_id: Rc<str>,
    /// Edges from the root to the commit.
    pub(crate) depth: i64,
}

/// A change with everything it says.
#[derive(Debug)]
pub(crate) struct ChangeRow {
    pub(crate) seq: i64,
    pub(crate) id: Rc<str>,
    pub(crate) entity_id: Rc<str>,
    pub(crate) schema_key: Rc<str>,
    pub(crate) file_id: Rc<str>,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    pub(crate) created_at: Rc<str>,
    /// None: a deletion, which history does not show.
    pub(crate) snapshot: Option<Rc<str>>,
}

/// A commit as seen from another one.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) root_commit_id: Rc<str>,
    pub(crate) depth: i64,
    pub(crate) commit_no: i64,
}

/// Which commits list which changes, deletions included.
#[derive(Default)]
pub(crate) struct Listings {
    members: Members,
}

impl Listings {
    /// What a commit lists, oldest first.
    pub(crate) fn of(&self, commit_no: i64) -> impl Iterator<Item = &Rc<ChangeRow>> {
        let listed = self.members.by_commit.get(&commit_no).into_iter().flatten();
        let mut changes: Vec<_> =
            listed.map(|index| &self.members.changes[*index as usize]).collect();
        changes.sort_unstable_by_key(|change| change.seq);
        changes.into_iter()
    }
}

impl Lix {
    /// The history that matches, by entity and depth.
    pub(crate) fn history(&self, filter: &HistoryFilter) -> Result<Vec<HistoryRow>> {
        if filter.is_impossible() {
            return Ok(Vec::new());
        }
        let roots = self.roots(filter)?;
        let members = self.members(filter, &roots)?;
        let mut sights = self.sights(filter, &roots, &members)?;
        sights.sort_unstable_by_key(|sight| (sight.root, sight.depth, sight.commit_no));

        let only: Option<HashSet<&str>> =
            filter.commit_ids.as_ref().map(|ids| ids.iter().map(|id| &**id).collect());
        let mut names = HashMap::new();
        let mut rows = Vec::new();
        for level in sights.chunk_by(|a, b| (a.root, a.depth) == (b.root, b.depth)) {
            let (root, depth) = (&roots[level[0].root], level[0].depth);
            for (commit_no, change) in members.seen(level) {
                if change.snapshot.is_none() {
                    continue;
                }
                let commit_id: Rc<str> = match names.entry(commit_no) {
                    Entry::Occupied(known) => Rc::clone(known.get()),
                    Entry::Vacant(new) => match self.commit_id(commit_no)? {
                        Some(id) => new.insert(id).clone(),
                        None => continue,
                    },
                };
                if only.as_ref().is_none_or(|only| only.contains(&*commit_id)) {
                    let root_commit_id = root.id.clone();
                    rows.push(HistoryRow {
                        change,
                        commit_id,
                        root_commit_id,
                        depth: depth.into(),
                    });
                }
            }
        }
        rows.sort_by(|a, b| {
            let key = |row: &HistoryRow| (row.depth, row.change.schema_key.clone());
            a.change
                .entity_id
                .cmp(&b.change.entity_id)
                .then_with(|| key(a).cmp(&key(b)))
                .then_with(|| a.change.file_id.cmp(&b.change.file_id))
                .then_with(|| a.root_commit_id.cmp(&b.root_commit_id))
                .then_with(|| b.change.seq.cmp(&a.change.seq))
        });
        Ok(rows)
    }

    /// The commits that list something which a filter wants, as far as roots see them within its depths,
    /// and everything that commits list at any depth.
    pub(crate) fn sightings(&self, filter: &HistoryFilter) -> Result<(Vec<Sighting>, Listings)> {
        if filter.is_impossible() {
            return Ok((Vec::new(), Listings::default()));
        }
        let roots = self.roots(filter)?;
        let members = self.members(&HistoryFilter { depth: None, ..filter.clone() }, &roots)?;
        let sights = self.sights(filter, &roots, &members)?;
        let sighting = |sight: Sight| Sighting {
            root_commit_id: roots[sight.root].id.clone(),
            depth: sight.depth.into(),
            commit_no: sight.commit_no,
        };
        Ok((sights.into_iter().map(sighting).collect(), Listings { members }))
    }

    /// Every schema of which there ever was a change.
    pub(super) fn changed_schemas(&self) -> Result<Vec<Rc<str>>> {
        let mut schemas: Vec<Rc<str>> = Vec::new();
        loop {
            let last = schemas.last().cloned().unwrap_or_default();
            // From one schema to the next over the index, however many changes each has.
            let sql = "select min(schema_key) from _lix_change where schema_key > ?1";
            let next = self.sql.first(sql, &[Bound::Text(&last)], |row| row.optional_text(0))?;
            match next.flatten() {
                Some(next) => schemas.push(next),
                None => return Ok(schemas),
            }
        }
    }

    /// The commits that look: those that stand, not those that are pending or only known by name.
    fn roots(&self, filter: &HistoryFilter) -> Result<Vec<Root>> {
        let mut roots = Vec::new();
        let mut add = |row: &Statement| {
            roots.push(Root { no: row.integer(0), id: row.text(1) });
            Ok(())
        };
        match &filter.root_commit_ids {
            Some(ids) => {
                for id in ids.iter().collect::<HashSet<_>>() {
                    self.sql.each(ROOT, &[Bound::Text(id)], &mut add)?;
                }
            }
            None => self.sql.each(ROOTS, &[], add)?,
        }
        Ok(roots)
    }

    /// Which commits list which of the changes that may be wanted.
    fn members(&self, filter: &HistoryFilter, roots: &[Root]) -> Result<Members> {
        let mut members = Members::default();
        if roots.is_empty() {
            return Ok(members);
        }
        let keys = self.keys(filter)?;
        let within = match (&keys.pairs, keys.indexed_files()) {
            (None, None) => self.reach(filter, roots, keys.schema_keys.is_some())?,
            _ => None,
        };
        let mut add = |row: &Statement| {
            members.add(row, &keys);
            Ok(())
        };
        match (&keys.pairs, &keys.schema_keys, within) {
            (None, ..) if let Some(files) = keys.indexed_files() => {
                for file in files {
                    self.sql.each(OF_FILE, &[Bound::Text(file)], &mut add)?;
                }
            }
            (Some(pairs), ..) => {
                for (schema, entity) in pairs {
                    self.sql.each(
                        OF_ENTITY,
                        &[Bound::Text(schema), Bound::Text(entity)],
                        &mut add,
                    )?;
                }
            }
            (None, _, Some(commits)) => {
                for no in commits {
                    self.sql.each(OF_COMMIT, &[Bound::Integer(no)], &mut add)?;
                }
            }
            (None, Some(schemas), None) => {
                for schema in schemas {
                    self.sql.each(OF_SCHEMA, &[Bound::Text(schema)], &mut add)?;
                }
            }
            (None, None, None) if keys.of_files => self.sql.each(OF_FILES, &[], &mut add)?,
            (None, None, None) => self.sql.each(OF_ANY, &[], &mut add)?,
        }
        // A set that somebody put together by hand, under a commit that names it.
        self.sql.each(OF_STORED_ELEMENTS, &[], &mut add)?;
        for working in WorkingSet::all(self)? {
            let Some(no) = self.commit_no(&working.commit_id)? else { continue };
            let is_seen = filter.root_commit_ids.is_none()
                || roots.iter().any(|root| root.no == no)
                || self.sql.first(IS_PARENT, &[Bound::Integer(no)], |_| ())?.is_some();
            if !is_seen {
                continue;
            }
            let version = [Bound::Integer(no), Bound::Text(&working.version_id)];
            match &keys.pairs {
                None => self.sql.each(OF_WORK, &version, &mut add)?,
                Some(pairs) => {
                    for (schema, entity) in pairs {
                        let [no, version] = version;
                        let params = [no, version, Bound::Text(schema), Bound::Text(entity)];
                        self.sql.each(OF_ENTITY_WORK, &params, &mut add)?;
                    }
                }
            }
        }
        Ok(members)
    }

    /// What a filter says about keys, as far as an index knows them.
    fn keys(&self, filter: &HistoryFilter) -> Result<Keys> {
        let set = |ids: &Option<Vec<Rc<str>>>| -> Option<HashSet<Rc<str>>> {
            ids.as_ref().map(|ids| ids.iter().cloned().collect())
        };
        let mut keys = Keys {
            pairs: None,
            schema_keys: set(&filter.schema_keys),
            file_ids: set(&filter.file_ids),
            of_files: filter.of_files,
        };
        if let Some(entities) = &filter.entity_ids {
            let schemas = match &filter.schema_keys {
                Some(schemas) => schemas.clone(),
                None => self.changed_schemas()?,
            };
            let pairs = schemas.iter().flat_map(|schema| {
                entities.iter().map(move |entity| (schema.clone(), entity.clone()))
            });
            keys.pairs = Some(pairs.collect());
        } else if let Some(commits) = &filter.commit_ids {
            // Only what these commits list can be asked for. Where else the same changes are listed
            // matters too: at the same depth they may be another commit's.
            let mut listed = Members::default();
            let mut add = |row: &Statement| {
                listed.add(row, &keys);
                Ok(())
            };
            for id in commits {
                let Some(no) = self.commit_no(id)? else { continue };
                self.sql.each(OF_COMMIT, &[Bound::Integer(no)], &mut add)?;
                for working in WorkingSet::all(self)? {
                    if working.commit_id == *id {
                        let params = [Bound::Integer(no), Bound::Text(&working.version_id)];
                        self.sql.each(OF_WORK, &params, &mut add)?;
                    }
                }
            }
            self.sql.each(OF_STORED_ELEMENTS, &[], &mut add)?;
            keys.pairs =
                Some(listed.keys.into_iter().map(|key| (key.schema_key, key.entity_id)).collect());
        }
        Ok(keys)
    }

    /// The commits that can be seen; none: all there are. With `if_few` also none when they are
    /// many, because there is another way to the changes.
    fn reach(
        &self,
        filter: &HistoryFilter,
        roots: &[Root],
        if_few: bool,
    ) -> Result<Option<Vec<i64>>> {
        if filter.root_commit_ids.is_none() {
            return Ok(None);
        }
        let edges = self.graph.edges(&self.sql)?;
        let max_depth = filter.depth.map(|depth| depth.max);
        let mut seen = HashSet::new();
        for root in roots {
            edges.walk_until(Direction::Parents, root.no, max_depth, |no, _| {
                seen.insert(no);
                if_few && seen.len() > FEW_COMMITS
            });
            if if_few && seen.len() > FEW_COMMITS {
                return Ok(None);
            }
        }
        Ok(Some(seen.into_iter().collect()))
    }

    /// From which roots which of the commits can be seen, and how far away. Walks start where
    /// there are fewer.
    fn sights(
        &self,
        filter: &HistoryFilter,
        roots: &[Root],
        members: &Members,
    ) -> Result<Vec<Sight>> {
        let mut sights = Vec::new();
        let commits = &members.by_commit;
        let depths = filter.depth.unwrap_or(DepthFilter { min: 0, max: u32::MAX });
        let edges = self.graph.edges(&self.sql)?;
        if roots.len() <= commits.len() {
            for (index, root) in roots.iter().enumerate() {
                let mut missing = commits.len();
                edges.walk_until(Direction::Parents, root.no, Some(depths.max), |no, depth| {
                    if commits.contains_key(&no) {
                        missing -= 1;
                        if depth >= depths.min {
                            sights.push(Sight { root: index, depth, commit_no: no });
                        }
                    }
                    missing == 0
                });
            }
        } else {
            let index: HashMap<i64, usize> =
                roots.iter().enumerate().map(|(index, root)| (root.no, index)).collect();
            for commit_no in commits.keys().copied() {
                let mut missing = roots.len();
                edges.walk_until(Direction::Children, commit_no, Some(depths.max), |no, depth| {
                    if let Some(root) = index.get(&no).copied() {
                        missing -= 1;
                        if depth >= depths.min {
                            sights.push(Sight { root, depth, commit_no });
                        }
                    }
                    missing == 0
                });
            }
        }
        Ok(sights)
    }
}

impl HistoryFilter {
    fn is_impossible(&self) -> bool {
        let lists = [
            &self.root_commit_ids,
            &self.entity_ids,
            &self.schema_keys,
            &self.file_ids,
            &self.commit_ids,
        ];
        lists.into_iter().flatten().any(|list| list.is_empty())
            || self.depth.is_some_and(|depth| depth.min > depth.max)
    }
}

/// A commit that looks.
struct Root {
    no: i64,
    id: Rc<str>,
}

/// A commit that a root can see.
struct Sight {
    /// Its place in the list of roots.
    root: usize,
    depth: u32,
    commit_no: i64,
}

/// What is asked about keys.
struct Keys {
    /// Schema and entity; none: not narrowed down to entities.
    pairs: Option<HashSet<(Rc<str>, Rc<str>)>>,
    schema_keys: Option<HashSet<Rc<str>>>,
    file_ids: Option<HashSet<Rc<str>>>,
    of_files: bool,
}

impl Keys {
    /// The files whose changes are found by an index.
    fn indexed_files(&self) -> Option<&HashSet<Rc<str>>> {
        self.file_ids.as_ref().filter(|ids| !ids.contains(LIX_FILE))
    }

    fn want(&self, key: &Key) -> bool {
        !(self.of_files && &*key.file_id == LIX_FILE)
            && self.file_ids.as_ref().is_none_or(|files| files.contains(&key.file_id))
            && self.schema_keys.as_ref().is_none_or(|schemas| schemas.contains(&key.schema_key))
            && self.pairs.as_ref().is_none_or(|pairs| {
                pairs.contains(&(key.schema_key.clone(), key.entity_id.clone()))
            })
    }
}

/// Changes by the commits that list them.
#[derive(Default)]
struct Members {
    by_commit: HashMap<i64, Vec<u32>>,
    changes: Vec<Rc<ChangeRow>>,
    known: HashMap<i64, u32>,
    listed: HashSet<(i64, u32)>,
    keys: HashSet<Key>,
}

impl Members {
    /// Adds a row of [`member!`] if it is wanted.
    fn add(&mut self, row: &Statement, keys: &Keys) {
        let (commit_no, seq) = (row.integer(0), row.integer(1));
        let index = match self.known.get(&seq) {
            Some(index) => *index,
            None => {
                let key =
                    Key { schema_key: row.text(4), entity_id: row.text(3), file_id: row.text(5) };
                if !keys.want(&key) {
                    return;
                }
                let change = ChangeRow {
                    seq,
                    id: row.text(2),
                    entity_id: key.entity_id.clone(),
                    schema_key: key.schema_key.clone(),
                    file_id: key.file_id.clone(),
                    plugin_key: row.text(6),
                    schema_version: row.text(7),
                    created_at: row.text(9),
                    snapshot: row.optional_text(8),
                };
                self.keys.insert(key);
                let index = self.changes.len() as u32;
                self.changes.push(Rc::new(change));
                self.known.insert(seq, index);
                index
            }
        };
        if self.listed.insert((commit_no, index)) {
            self.by_commit.entry(commit_no).or_default().push(index);
        }
    }

    /// What a root sees at one depth. A change that several commits list at the same distance is
    /// seen once, in the commit that was there first.
    fn seen(&self, level: &[Sight]) -> Vec<(i64, Rc<ChangeRow>)> {
        let all = level.iter().flat_map(|sight| {
            let listed = self.by_commit.get(&sight.commit_no).into_iter().flatten();
            listed.map(move |index| (sight.commit_no, *index))
        });
        let mut known = HashSet::new();
        let is_new = |(_, index): &(i64, u32)| level.len() == 1 || known.insert(*index);
        let row =
            |(commit_no, index): (i64, u32)| (commit_no, self.changes[index as usize].clone());
        all.filter(is_new).map(row).collect()
    }
}

/// Up to here the changes of commits are read commit by commit although there is an index.
const FEW_COMMITS: usize = 64;

const ROOTS: &str =
    "select no, id from _lix_commit where id is not null and change_seq is not null";
const ROOT: &str = "select no, id from _lix_commit where id = ?1 and change_seq is not null";
const IS_PARENT: &str = "select 1 from _lix_commit_parent where parent_no = ?1";

/// A commit and a change.
macro_rules! member {
    ($commit:literal, $($from:literal),+) => {
        concat!(
            "select ",
            $commit,
            ", c.seq, c.id, c.entity_id, c.schema_key, c.file_id, c.plugin_key,
             c.schema_version, c.snapshot, c.created_at from ",
            $($from),+
        )
    };
}
const OF_ENTITY: &str = member!(
    "m.commit_no",
    "_lix_change c cross join _lix_commit_change m on m.change_seq = c.seq
     where c.schema_key = ?1 and c.entity_id = ?2"
);
const OF_SCHEMA: &str = member!(
    "m.commit_no",
    "_lix_change c cross join _lix_commit_change m on m.change_seq = c.seq where c.schema_key = ?1"
);
const OF_FILE: &str = member!(
    "m.commit_no",
    "_lix_change c indexed by _lix_change_file cross join _lix_commit_change m on m.change_seq = c.seq
     where c.file_id = ?1 and c.file_id <> 'lix'"
);
const OF_FILES: &str = member!(
    "m.commit_no",
    "_lix_change c indexed by _lix_change_file cross join _lix_commit_change m on m.change_seq = c.seq
     where c.file_id <> 'lix'"
);
const OF_COMMIT: &str = member!(
    "m.commit_no",
    "_lix_commit_change m cross join _lix_change c on c.seq = m.change_seq where m.commit_no = ?1"
);
const OF_ANY: &str =
    member!("m.commit_no", "_lix_change c cross join _lix_commit_change m on m.change_seq = c.seq");
const OF_STORED_ELEMENTS: &str = member!(
    "m.no",
    "_lix_state s cross join _lix_change e on e.seq = s.change_seq
     cross join _lix_commit m on m.change_set_id = e.snapshot ->> '$.change_set_id'
     cross join _lix_change c on c.id = e.snapshot ->> '$.change_id'
     where s.version_id = 'global' and s.schema_key = 'lix_change_set_element' and s.is_deleted = 0"
);
/// What is staged has no history yet.
macro_rules! work {
    ($more:literal) => {
        member!(
            "?1",
            "_lix_working w
             cross join _lix_state s on s.version_id = w.version_id and s.schema_key = w.schema_key
               and s.entity_id = w.entity_id and s.file_id = w.file_id
             cross join _lix_commit k on k.no = s.commit_no and k.id is not null
             cross join _lix_change c on c.seq = s.change_seq
             where w.version_id = ?2 ",
            $more
        )
    };
}
const OF_WORK: &str = work!("");
const OF_ENTITY_WORK: &str = work!("and w.schema_key = ?3 and w.entity_id = ?4");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lix::testing::Log;

    fn filter(roots: &[&str]) -> HistoryFilter {
        HistoryFilter { root_commit_ids: Some(ids(roots)), ..HistoryFilter::default() }
    }

    fn ids(ids: &[&str]) -> Vec<Rc<str>> {
        ids.iter().map(|id| (*id).into()).collect()
    }

    /// `entity change depth commit` of each row; the root too where there are several.
    fn show(log: &Log, filter: &HistoryFilter) -> Vec<String> {
        let rows = log.lix.history(filter).unwrap();
        let roots: HashSet<_> = rows.iter().map(|row| &row.root_commit_id).collect();
        let several = roots.len() > 1;
        let show = |row: &HistoryRow| {
            let HistoryRow { change, commit_id, root_commit_id, depth } = row;
            let of = if several { format!(" of {root_commit_id}") } else { String::new() };
            format!("{} {} {depth} {commit_id}{of}", change.entity_id, change.id)
        };
        rows.iter().map(show).collect()
    }

    /// Example 28.6 of the data model, then a deletion.
    fn example() -> Log {
        let log = Log::new();
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &["a0"], &[]);
        log.change("a1", "kv/a", Some("{}"));
        log.commit("c2", &["c1"], &["a1"], &[]);
        log.change("z0", "kv/z", Some("{}"));
        log.commit("c3", &["c2"], &["z0"], &[]);
        log.change("a2", "kv/a", None);
        log.commit("c4", &["c3"], &["a2"], &[]);
        log
    }

    #[test]
    fn depth_counts_commits() {
        let log = example();
        let rows = ["a a1 1 c2", "a a0 2 c1", "z z0 0 c3"];
        assert_eq!(show(&log, &filter(&["c3"])), rows);
        let of_a = HistoryFilter { entity_ids: Some(ids(&["a"])), ..filter(&["c4"]) };
        assert_eq!(show(&log, &of_a), ["a a1 2 c2", "a a0 3 c1"], "a deletion has no row");
        assert_eq!(show(&log, &filter(&["c1"])), ["a a0 0 c1"]);
        assert_eq!(show(&log, &filter(&["unknown"])), [""; 0]);
    }

    #[test]
    fn every_filter_finds_what_is_among_all() {
        let log = example();
        log.change("a3", "other/a", Some("{}"));
        log.commit("c5", &["c4", "c2"], &["a3", "a0"], &[]);
        let all = log.lix.history(&HistoryFilter::default()).unwrap();
        assert_eq!(all.len(), 1 + 2 + 3 + 3 + 5);
        let of = |filter: &HistoryFilter| -> Vec<String> {
            log.lix.history(filter).unwrap().iter().map(|row| format!("{row:?}")).collect()
        };
        let kept = |keep: &dyn Fn(&HistoryRow) -> bool| -> Vec<String> {
            all.iter().filter(|row| keep(row)).map(|row| format!("{row:?}")).collect()
        };
        for root in ["c1", "c2", "c3", "c4", "c5"] {
            assert_eq!(of(&filter(&[root])), kept(&|row| &*row.root_commit_id == root));
            let entity = HistoryFilter { entity_ids: Some(ids(&["a"])), ..filter(&[root]) };
            let is_a = |row: &HistoryRow| &*row.change.entity_id == "a";
            assert_eq!(of(&entity), kept(&|row| &*row.root_commit_id == root && is_a(row)));
            let schema = HistoryFilter { schema_keys: Some(ids(&["other"])), ..filter(&[root]) };
            let is_other = |row: &HistoryRow| &*row.change.schema_key == "other";
            assert_eq!(of(&schema), kept(&|row| &*row.root_commit_id == root && is_other(row)));
            for depth in 0..5u32 {
                let depth_filter = Some(DepthFilter { min: depth, max: depth });
                let at = HistoryFilter { depth: depth_filter, ..filter(&[root]) };
                let is_there = |row: &HistoryRow| row.depth == i64::from(depth);
                assert_eq!(of(&at), kept(&|row| &*row.root_commit_id == root && is_there(row)));
                let commit = format!("c{}", depth + 1);
                let listed =
                    HistoryFilter { commit_ids: Some(ids(&[&commit])), ..HistoryFilter::default() };
                assert_eq!(of(&listed), kept(&|row| *row.commit_id == *commit));
                let both = HistoryFilter { root_commit_ids: Some(ids(&[root])), ..listed };
                let is_root = |row: &HistoryRow| &*row.root_commit_id == root;
                assert_eq!(of(&both), kept(&|row| is_root(row) && *row.commit_id == *commit));
            }
        }
        let nothing = HistoryFilter { file_ids: Some(vec![]), ..HistoryFilter::default() };
        assert_eq!(of(&nothing), [""; 0]);
        let elsewhere =
            HistoryFilter { file_ids: Some(ids(&["elsewhere"])), ..HistoryFilter::default() };
        assert_eq!(of(&elsewhere), [""; 0]);
    }

    #[test]
    fn changes_at_the_same_depth_are_all_there() {
        let log = Log::new();
        log.commit("root", &[], &[], &[]);
        log.change("left", "kv/a", Some("{}"));
        log.change("only", "kv/b", Some("{}"));
        log.change("right", "kv/a", Some("{}"));
        log.commit("l", &["root"], &["left", "only"], &[]);
        log.commit("r", &["root"], &["right"], &[]);
        log.commit("m", &["l", "r"], &["left"], &[]);
        let rows = ["a left 0 m", "a right 1 r", "a left 1 l", "b only 1 l"];
        assert_eq!(show(&log, &filter(&["m"])), rows);
        // A deletion hides nothing either.
        log.change("gone", "kv/a", None);
        log.commit("r2", &["root"], &["gone"], &[]);
        log.commit("m2", &["l", "r2"], &[], &[]);
        assert_eq!(show(&log, &filter(&["m2"])), ["a left 1 l", "b only 1 l"]);
    }

    #[test]
    fn a_change_is_once_at_a_depth() {
        let log = Log::new();
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &["a0"], &[]);
        log.commit("l", &["c1"], &["a0"], &[]);
        log.commit("r", &["c1"], &["a0"], &[]);
        log.commit("m", &["r", "l"], &[], &[]);
        assert_eq!(show(&log, &filter(&["m"])), ["a a0 1 l", "a a0 2 c1"]);
        // Also when only the other commit is asked for.
        let other = HistoryFilter { commit_ids: Some(ids(&["r"])), ..filter(&["m"]) };
        assert_eq!(show(&log, &other), [""; 0]);
    }

    #[test]
    fn everything_that_a_commit_lists_is_shown() {
        let log = Log::new();
        log.change("first", "kv/a", Some("{}"));
        log.change("second", "kv/a", Some("{}"));
        log.commit("c1", &[], &["first", "second"], &[]);
        log.commit("c2", &["c1"], &[], &[]);
        assert_eq!(show(&log, &filter(&["c1"])), ["a second 0 c1", "a first 0 c1"]);
        assert_eq!(show(&log, &filter(&["c2"])), ["a second 1 c1", "a first 1 c1"]);
    }

    #[test]
    fn a_change_that_a_checkpoint_repeats_is_there_twice() {
        let log = Log::new();
        log.change("z", "kv/z", Some("{}"));
        log.commit("c3", &[], &["z"], &[]);
        log.commit("c4", &["c3"], &[], &[]);
        log.commit("cp", &["c4"], &["z"], &[]);
        log.commit("c5", &["cp"], &[], &[]);
        assert_eq!(show(&log, &filter(&["c5"])), ["z z 1 cp", "z z 3 c3"]);
    }

    #[test]
    fn a_working_commit_shows_the_work() {
        let log = Log::new();
        let committed = log.change("a0", "kv/a", Some("{}"));
        let gone = log.change("b0", "kv/b", None);
        log.commit("c1", &[], &["a0", "b0"], &[]);
        log.commit("w", &["c1"], &[], &[]);
        log.version("main", "w", "c1");
        log.state("main", "kv/a", committed, "c1");
        log.state("main", "kv/b", gone, "c1");
        log.work("main", "kv/a", None);
        log.work("main", "kv/b", Some(committed));
        // What is staged is not history yet.
        log.lix.sql.script("insert into _lix_commit (no, version_id) values (99, 'main')").unwrap();
        let staged = log.change("s0", "kv/s", Some("{}"));
        log.lix.put_state("main", &Key::own("kv", "s"), staged, 99, None, false).unwrap();
        log.work("main", "kv/s", None);

        let rows = ["a a0 0 w", "a a0 1 c1"];
        assert_eq!(show(&log, &filter(&["w"])), rows);
        let entity = HistoryFilter { entity_ids: Some(ids(&["a", "s"])), ..filter(&["w"]) };
        assert_eq!(show(&log, &entity), rows);
        let commit = HistoryFilter { commit_ids: Some(ids(&["w"])), ..filter(&["w"]) };
        assert_eq!(show(&log, &commit), ["a a0 0 w"]);
    }

    #[test]
    fn a_set_put_together_by_hand_is_part_of_a_commit_that_names_it() {
        let log = Log::new();
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &[], &[], &[]);
        log.commit("c2", &["c1"], &[], &[]);
        let element = r#"{"change_set_id": "set-c1", "change_id": "a0"}"#;
        let seq = log.change("e", "lix_change_set_element/set-c1~a0", Some(element));
        log.state("global", "lix_change_set_element/set-c1~a0", seq, "c2");
        assert_eq!(show(&log, &filter(&["c2"])), ["a a0 1 c1"]);
        let entity = HistoryFilter { entity_ids: Some(ids(&["a"])), ..HistoryFilter::default() };
        assert_eq!(show(&log, &entity), ["a a0 0 c1 of c1", "a a0 1 c1 of c2"]);
    }

    #[test]
    fn commits_that_are_only_known_by_name_do_not_look() {
        let log = Log::new();
        log.change("a0", "kv/a", Some("{}"));
        log.commit("c1", &["elsewhere"], &["a0"], &[]);
        assert_eq!(show(&log, &HistoryFilter::default()), ["a a0 0 c1"]);
        assert_eq!(show(&log, &filter(&["elsewhere"])), [""; 0]);
    }
}
