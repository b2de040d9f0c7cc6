//! What a lix is meant to be, in the simplest words: versions with maps of their own, a list of
//! changes, a list of commits. A transaction is a clone that is thrown away, a savepoint another.
//!
//! What is absent: the engine. Nothing here reads its code or its tables; ids are numbers of the
//! model's, and what the engine calls them is found out by comparing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(crate) type Id = Rc<str>;

/// Why a statement is refused, in the protocol's words.
pub(crate) type Refused = &'static str;
pub(crate) type Outcome<T = ()> = Result<T, Refused>;

pub(crate) const GLOBAL: &str = "global";
pub(crate) const KEY_VALUE: &str = "lix_key_value";
pub(crate) const DOC: &str = "doc";
pub(crate) const NOTE: &str = "note";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) schema: Id,
    pub(crate) entity: Id,
}

impl Key {
    pub(crate) fn new(schema: &str, entity: &str) -> Self {
        Self { schema: schema.into(), entity: entity.into() }
    }
}

/// A change, by its place in [`Model::changes`].
pub(crate) type ChangeNo = usize;
/// A commit, by its place in [`Model::commits`].
pub(crate) type CommitNo = usize;

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) snapshot: Option<Id>,
    /// What the engine calls it, once that was seen.
    pub(crate) id: Option<Id>,
    /// The same transaction wrote over it: it is nowhere.
    pub(crate) is_replaced: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) id: Option<Id>,
    pub(crate) parents: Vec<CommitNo>,
    pub(crate) members: Vec<ChangeNo>,
    pub(crate) authors: Vec<Id>,
    /// What its version held itself when it was made. None: not known, it came with the lix.
    pub(crate) own: Option<Rc<Own>>,
    pub(crate) is_sealed: bool,
    /// It collects work and is nobody's tip.
    pub(crate) is_working: bool,
    /// It was there before the model.
    pub(crate) is_given: bool,
    /// It was compared and cannot become another one.
    pub(crate) is_known: bool,
}

/// The change that wins under a key, and the commit that made it win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) change: ChangeNo,
    pub(crate) commit: CommitNo,
}

pub(crate) type Own = BTreeMap<Key, Entry>;

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: Id,
    pub(crate) parent: Option<Id>,
    pub(crate) tip: CommitNo,
    pub(crate) pending: Option<CommitNo>,
    pub(crate) working: CommitNo,
    pub(crate) last_checkpoint: Option<CommitNo>,
    pub(crate) own: Rc<Own>,
    /// None: a tombstone.
    pub(crate) untracked: Rc<BTreeMap<Key, Option<Id>>>,
    /// What lived at the last checkpoint.
    pub(crate) base: Rc<BTreeMap<Key, ChangeNo>>,
    /// What it began with.
    pub(crate) start: Rc<Own>,
}

/// What a version shows under a key; the owner may be an ancestor.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) owner: Id,
    pub(crate) snapshot: Option<Id>,
    /// None: untracked.
    pub(crate) entry: Option<Entry>,
}

/// A row of the working diff.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) key: Key,
    pub(crate) before: Option<ChangeNo>,
    pub(crate) after: ChangeNo,
    pub(crate) status: &'static str,
}

/// How one version differs from another under a key.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) key: Key,
    pub(crate) before: Option<Entry>,
    pub(crate) after: Entry,
    pub(crate) status: &'static str,
}

/// Names that the engine gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) working_commit: String,
    pub(crate) change_set: String,
    pub(crate) label_mapping: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) changes: Vec<Change>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) versions: BTreeMap<Id, Version>,
    pub(crate) active: String,
    pub(crate) accounts: Vec<Id>,
    /// A version was deleted: what it did last may be out of sight.
    pub(crate) has_deleted: bool,
    /// How many rows the log has, by schema.
    pub(crate) log: BTreeMap<Id, i64>,
}

// What things are called.
impl Model {
    pub(crate) fn name_change(&mut self, no: ChangeNo, id: &Id) -> Result<(), String> {
        if let Some(known) = &self.changes[no].id {
            return match known == id {
                true => Ok(()),
                false => Err(format!("{:?} is {id} now", self.changes[no])),
            };
        }
        if let Some(other) = self.changes.iter().find(|other| other.id.as_ref() == Some(id)) {
            return Err(format!("{:?} has the id of {other:?}", self.changes[no]));
        }
        self.changes[no].id = Some(id.clone());
        Ok(())
    }

    pub(crate) fn name_commit(&mut self, no: CommitNo, id: &Id) -> Result<(), String> {
        let describe = |no: CommitNo| {
            let Commit { id, parents, members, .. } = &self.commits[no];
            let members: Vec<_> = members.iter().map(|change| &self.changes[*change]).collect();
            format!("commit {no} ({id:?}, parents {parents:?}, {members:?})")
        };
        if let Some(known) = &self.commits[no].id {
            return match known == id {
                true => Ok(()),
                false => Err(format!("{} is {id} now", describe(no))),
            };
        }
        let other = self.commits.iter().position(|other| other.id.as_ref() == Some(id));
        if let Some(other) = other {
            return Err(format!("{} has the id of {}", describe(no), describe(other)));
        }
        self.commits[no].id = Some(id.clone());
        Ok(())
    }
}

// What is seen.
impl Model {
    pub(crate) fn version(&self, id: &str) -> Outcome<&Version> {
        self.versions.get(id).ok_or("VERSION_UNKNOWN")
    }

    fn version_mut(&mut self, id: &str) -> &mut Version {
        self.versions.get_mut(id).expect("the version is known")
    }

    /// The versions that a version looks through, itself first.
    pub(crate) fn levels(&self, id: &str) -> Vec<Id> {
        let mut levels: Vec<Id> = Vec::new();
        let mut next: Option<Id> = Some(id.into());
        while let Some(at) = next {
            let Some(version) = self.versions.get(&at) else { break };
            if levels.contains(&at) {
                break;
            }
            next = version.parent.clone();
            levels.push(at);
        }
        levels
    }

    /// What a version holds itself under a key.
    fn held(&self, version: &str, key: &Key) -> Option<Seen> {
        let held = self.versions.get(version)?;
        if let Some(snapshot) = held.untracked.get(key) {
            return Some(Seen { owner: version.into(), snapshot: snapshot.clone(), entry: None });
        }
        let entry = *held.own.get(key)?;
        let snapshot = self.changes[entry.change].snapshot.clone();
        Some(Seen { owner: version.into(), snapshot, entry: Some(entry) })
    }

    /// The nearest level that has anything decides.
    pub(crate) fn decides(&self, version: &str, key: &Key) -> Option<Seen> {
        self.levels(version).iter().find_map(|level| self.held(level, key))
    }

    pub(crate) fn shows(&self, version: &str, key: &Key) -> Option<Seen> {
        self.decides(version, key).filter(|seen| seen.snapshot.is_some())
    }

    fn is_live(&self, entry: &Entry) -> bool {
        self.changes[entry.change].snapshot.is_some()
    }

    /// The tracked row or tombstone that decides, as if nothing were untracked.
    fn tracked(&self, version: &str, key: &Key) -> Option<Entry> {
        let levels = self.levels(version);
        levels.iter().find_map(|level| self.versions[level].own.get(key).copied())
    }

    /// All keys that a version or one of its ancestors has anything under.
    pub(crate) fn keys(&self, version: &str) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        for level in self.levels(version) {
            let version = &self.versions[&level];
            keys.extend(version.own.keys().cloned());
            keys.extend(version.untracked.keys().cloned());
        }
        keys
    }

    pub(crate) fn working_diff(&self, version: &str) -> Vec<Work> {
        let held = &self.versions[version];
        if version == GLOBAL {
            return Vec::new();
        }
        let mut work = Vec::new();
        for (key, entry) in held.own.iter().filter(|(key, _)| is_work(key)) {
            let before = held.base.get(key).copied();
            let status = match (before, self.is_live(entry)) {
                (None, true) => "added",
                (None, false) => continue,
                (Some(_), false) => "removed",
                (Some(before), true) if before == entry.change => continue,
                (Some(_), true) => "modified",
            };
            work.push(Work { key: key.clone(), before, after: entry.change, status });
        }
        work
    }

    /// What a merge of the source would alter in the target.
    pub(crate) fn differences(&self, source: &str, target: &str) -> Vec<Difference> {
        let mut found = Vec::new();
        for key in self.keys(source) {
            let own = self.versions[source].own.get(&key).copied();
            let from =
                own.or_else(|| self.tracked(source, &key).filter(|entry| self.is_live(entry)));
            let Some(after) = from else { continue };
            let before = self.tracked(target, &key).filter(|entry| self.is_live(entry));
            let status = match (self.is_live(&after), before) {
                (false, None) => continue,
                (false, Some(_)) => "removed",
                (true, None) => "added",
                (true, Some(before)) if before.change == after.change => continue,
                (true, Some(_)) => "modified",
            };
            found.push(Difference { key, before, after, status });
        }
        found
    }

    /// Every row of an entity's history: its depth, its change, and the commits one of which it names.
    pub(crate) fn history(
        &self,
        root: CommitNo,
        key: &Key,
    ) -> Vec<(usize, ChangeNo, Vec<CommitNo>)> {
        let mut rows = Vec::new();
        let mut level = BTreeSet::from([root]);
        let mut reached = level.clone();
        let mut depth = 0;
        while !level.is_empty() {
            let mut here: BTreeMap<ChangeNo, Vec<CommitNo>> = BTreeMap::new();
            for &commit in &level {
                for &change in &self.commits[commit].members {
                    let Change { key: of, snapshot, .. } = &self.changes[change];
                    if of == key && snapshot.is_some() {
                        here.entry(change).or_default().push(commit);
                    }
                }
            }
            rows.extend(here.into_iter().map(|(change, commits)| (depth, change, commits)));
            let parents = level.iter().flat_map(|commit| self.commits[*commit].parents.clone());
            level = parents.filter(|parent| reached.insert(*parent)).collect();
            depth += 1;
        }
        rows
    }

    /// Whether going back there deletes a schema or the label of checkpoints: another lix is not the topic.
    pub(crate) fn would_lose_what_it_needs(&self, version: &str, to: CommitNo) -> bool {
        let there = self.commits[to].own.as_ref().expect("it is a place");
        let is_needed = |key: &Key| matches!(&*key.schema, "lix_stored_schema" | "lix_label");
        self.versions[version].own.keys().any(|key| is_needed(key) && !there.contains_key(key))
    }

    /// Commits that can be gone back to or started from.
    pub(crate) fn places(&self) -> Vec<CommitNo> {
        let is_place =
            |commit: &Commit| commit.own.is_some() && commit.is_sealed && !commit.is_working;
        (0..self.commits.len()).filter(|no| is_place(&self.commits[*no])).collect()
    }
}

// What statements do.
impl Model {
    /// Whether the content may be written, by the rules of the two schemas that have some.
    fn check(
        &self,
        kind: Kind,
        version: &str,
        key: &Key,
        snapshot: &str,
        untracked: bool,
    ) -> Outcome {
        self.version(version)?;
        if kind == Kind::Insert
            && let Some(seen) = self.shows(version, key)
        {
            let is_staged = seen.entry.is_some_and(|entry| !self.commits[entry.commit].is_sealed);
            if !is_staged || *seen.owner != *version {
                return Err("PRIMARY_KEY");
            }
        }
        let docs = || self.keys(version).into_iter().filter(|other| &*other.schema == DOC);
        if &*key.schema == DOC {
            let slug = property(snapshot, "slug");
            let has_it = |other: &Key| {
                other != key
                    && self.shows(version, other).is_some_and(|seen| {
                        property(&seen.snapshot.expect("it is shown"), "slug") == slug
                    })
            };
            if slug.is_some() && docs().any(|other| has_it(&other)) {
                return Err("UNIQUE");
            }
        }
        if &*key.schema == NOTE
            && let Some(doc) = property(snapshot, "doc_id")
        {
            let target = self.held(version, &Key::new(DOC, &doc));
            match target.filter(|seen| seen.snapshot.is_some()) {
                None => return Err("FOREIGN_KEY"),
                Some(seen) if seen.entry.is_none() && !untracked => return Err("FOREIGN_KEY"),
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn write(
        &mut self,
        kind: Kind,
        version: &str,
        key: &Key,
        snapshot: &str,
        untracked: bool,
    ) -> Outcome {
        self.check(kind, version, key, snapshot, untracked)?;
        if untracked {
            let held = self.version_mut(version);
            Rc::make_mut(&mut held.untracked).insert(key.clone(), Some(snapshot.into()));
        } else {
            self.stage(version, key.clone(), Some(snapshot.into()));
            self.uncover(version, key);
        }
        Ok(())
    }

    /// Nothing there is nothing to do.
    pub(crate) fn delete(&mut self, version: &str, key: &Key) -> Outcome {
        let Some(seen) = self.shows(version, key) else { return Ok(()) };
        if seen.entry.is_some() {
            if &*key.schema == DOC {
                let refers = |other: &Key| {
                    &*other.schema == NOTE
                        && self.shows(version, other).is_some_and(|seen| {
                            let doc = property(&seen.snapshot.expect("it is shown"), "doc_id");
                            doc.as_deref() == Some(&*key.entity)
                        })
                };
                if self.keys(version).iter().any(refers) {
                    return Err("FOREIGN_KEY");
                }
            }
            self.stage(version, key.clone(), None);
        } else {
            let is_own = *seen.owner == *version;
            let untracked = Rc::make_mut(&mut self.version_mut(version).untracked);
            match is_own {
                true => untracked.remove(key),
                false => untracked.insert(key.clone(), None),
            };
        }
        Ok(())
    }

    /// Every version that shows the entity gets a tombstone.
    pub(crate) fn delete_everywhere(&mut self, key: &Key) -> Outcome {
        let shown = self.versions.keys().filter(|id| self.shows(id, key).is_some());
        for id in shown.cloned().collect::<Vec<Id>>() {
            self.stage(&id, key.clone(), None);
        }
        Ok(())
    }

    /// A tracked write takes the place of an untracked row.
    fn uncover(&mut self, version: &str, key: &Key) {
        let held = self.version_mut(version);
        if held.untracked.contains_key(key) {
            Rc::make_mut(&mut held.untracked).remove(key);
        }
    }

    fn new_change(&mut self, key: Key, snapshot: Option<Id>) -> ChangeNo {
        *self.log.entry(key.schema.clone()).or_default() += 1;
        self.changes.push(Change { key, snapshot, id: None, is_replaced: false });
        self.changes.len() - 1
    }

    /// A change in the version's open commit; of one key it has one.
    fn stage(&mut self, version: &str, key: Key, snapshot: Option<Id>) {
        let commit = match self.versions[version].pending {
            Some(commit) => commit,
            None => {
                self.commits.push(Commit::default());
                let commit = self.commits.len() - 1;
                self.version_mut(version).pending = Some(commit);
                commit
            }
        };
        let change = self.new_change(key.clone(), snapshot);
        let before = self.versions[version].own.get(&key).copied();
        let staged = before.filter(|entry| entry.commit == commit).map(|entry| entry.change);
        let members = &mut self.commits[commit].members;
        match staged.and_then(|staged| members.iter_mut().find(|member| **member == staged)) {
            Some(member) => {
                let replaced = std::mem::replace(member, change);
                self.changes[replaced].is_replaced = true;
                *self.log.entry(key.schema.clone()).or_default() -= 1;
            }
            None => members.push(change),
        }
        let own = &mut self.version_mut(version).own;
        Rc::make_mut(own).insert(key, Entry { change, commit });
    }

    pub(crate) fn seal_all(&mut self) {
        let ids: Vec<Id> = self.versions.keys().cloned().collect();
        for id in ids {
            self.seal(&id);
        }
    }

    /// Closes the open commit of a version.
    fn seal(&mut self, version: &str) {
        let Some(no) = self.version_mut(version).pending.take() else { return };
        let parents = vec![self.versions[version].tip];
        let authors = self.accounts.clone();
        self.finish(version, no, parents, authors);
    }

    fn finish(
        &mut self,
        version: &str,
        no: CommitNo,
        mut parents: Vec<CommitNo>,
        authors: Vec<Id>,
    ) {
        if parents.len() == 2 && parents[0] == parents[1] {
            parents.pop();
        }
        let held = self.version_mut(version);
        held.tip = no;
        let own = held.own.clone();
        let commit = &mut self.commits[no];
        commit.parents = parents;
        commit.authors = authors;
        commit.own = Some(own);
        commit.is_sealed = true;
        for schema in ["lix_commit", "lix_version_tip"] {
            *self.log.entry(schema.into()).or_default() += 1;
        }
        self.touch_tip(version, no);
    }

    /// The row that says where a version stands comes from its newest commit.
    fn touch_tip(&mut self, version: &str, no: CommitNo) {
        let key = Key::new("lix_version_tip", version);
        let global = self.version_mut(GLOBAL);
        if let Some(entry) = Rc::make_mut(&mut global.own).get_mut(&key) {
            entry.commit = no;
        }
    }

    /// A commit of changes that are there already.
    fn commit_with(
        &mut self,
        version: &str,
        parents: Vec<CommitNo>,
        changes: Vec<ChangeNo>,
    ) -> CommitNo {
        self.seal(version);
        for &change in &changes {
            let holder = self.versions.iter().find_map(|(id, held)| {
                let pending = held.pending?;
                self.commits[pending].members.contains(&change).then(|| id.clone())
            });
            if let Some(holder) = holder {
                self.seal(&holder);
            }
        }
        self.commits.push(Commit { members: changes.clone(), ..Commit::default() });
        let commit = self.commits.len() - 1;
        for change in changes {
            let key = self.changes[change].key.clone();
            self.uncover(version, &key);
            let own = &mut self.version_mut(version).own;
            Rc::make_mut(own).insert(key, Entry { change, commit });
        }
        self.finish(version, commit, parents, Vec::new());
        commit
    }

    /// A version that begins at a commit.
    pub(crate) fn create_version(
        &mut self,
        id: &str,
        from: Result<&str, CommitNo>,
        parent: Option<&str>,
        names: &Names,
    ) -> Outcome {
        let tip = match from {
            Ok(version) => {
                self.version(version)?;
                self.seal(version);
                self.versions[version].tip
            }
            Err(commit) => {
                self.seal(GLOBAL);
                commit
            }
        };
        if let Some(parent) = parent {
            self.version(parent)?;
        }
        if self.versions.contains_key(id) {
            return Err("PRIMARY_KEY");
        }
        let working = self.open_working_commit(None, names);
        let mut own = (*self.commits[tip].own.clone().expect("it is a place")).clone();
        own.retain(|key, _| !is_bookkeeping(key));
        let own = Rc::new(own);
        let base = self.living(&own);
        self.versions.insert(
            id.into(),
            Version {
                name: id.into(),
                parent: parent.map(Id::from),
                tip,
                pending: None,
                working,
                last_checkpoint: None,
                own: own.clone(),
                untracked: Rc::default(),
                base,
                start: own,
            },
        );
        self.stage(GLOBAL, Key::new("lix_version_descriptor", id), Some("".into()));
        self.stage(GLOBAL, Key::new("lix_version_tip", id), Some("".into()));
        Ok(())
    }

    fn open_working_commit(&mut self, parent: Option<CommitNo>, names: &Names) -> CommitNo {
        self.stage(GLOBAL, Key::new("lix_change_set", &names.change_set), Some("".into()));
        self.stage(GLOBAL, Key::new("lix_commit", &names.working_commit), Some("".into()));
        self.commits.push(Commit {
            id: Some(names.working_commit.as_str().into()),
            parents: parent.into_iter().collect(),
            is_sealed: true,
            is_working: true,
            ..Commit::default()
        });
        self.commits.len() - 1
    }

    pub(crate) fn living(&self, own: &Own) -> Rc<BTreeMap<Key, ChangeNo>> {
        let living = own.iter().filter(|(_, entry)| self.is_live(entry));
        Rc::new(living.map(|(key, entry)| (key.clone(), entry.change)).collect())
    }

    pub(crate) fn switch(&mut self, to: &str, refused: Refused) -> Outcome {
        self.version(to).map_err(|_| refused)?;
        self.active = to.into();
        Ok(())
    }

    pub(crate) fn update_version(
        &mut self,
        id: &str,
        name: Option<&str>,
        parent: Option<Option<&str>>,
    ) -> Outcome {
        let Some(version) = self.versions.get(id) else { return Ok(()) };
        let mut new = version.clone();
        if let Some(name) = name {
            new.name = name.into();
        }
        if let Some(parent) = parent {
            new.parent = parent.map(Id::from);
        }
        if new.name == version.name && new.parent == version.parent {
            return Ok(());
        }
        if new.parent != version.parent
            && let Some(parent) = &new.parent
        {
            self.version(parent)?;
            if self.levels(parent).iter().any(|level| **level == *id) {
                return Err("VALIDATION");
            }
        }
        self.versions.insert(id.into(), new);
        self.stage(GLOBAL, Key::new("lix_version_descriptor", id), Some("".into()));
        Ok(())
    }

    pub(crate) fn delete_version(&mut self, id: &str) -> Outcome {
        if !self.versions.contains_key(id) {
            return Ok(());
        }
        if self.active == id {
            return Err("FOREIGN_KEY");
        }
        self.seal(id);
        self.versions.remove(id);
        self.has_deleted = true;
        self.stage(GLOBAL, Key::new("lix_version_descriptor", id), None);
        self.stage(GLOBAL, Key::new("lix_version_tip", id), None);
        self.seal(GLOBAL);
        Ok(())
    }

    /// Whether there was anything to do.
    pub(crate) fn merge(&mut self, source: &str, target: &str) -> Outcome<bool> {
        self.version(source)?;
        self.version(target)?;
        if source == target {
            return Ok(false);
        }
        self.seal(source);
        self.seal(target);
        let parents = vec![self.versions[target].tip, self.versions[source].tip];
        let (mut changes, mut deleted) = (Vec::new(), Vec::new());
        for difference in self.differences(source, target) {
            if is_bookkeeping(&difference.key) {
                continue;
            }
            match difference.status {
                "removed" => deleted.push(difference.key),
                _ => changes.push(difference.after.change),
            }
        }
        if changes.is_empty() && deleted.is_empty() {
            return Ok(false);
        }
        for key in deleted {
            changes.push(self.new_change(key, None));
        }
        self.commit_with(target, parents, changes);
        Ok(true)
    }

    pub(crate) fn transition(&mut self, version: &str, to: CommitNo) -> Outcome {
        self.version(version)?;
        self.seal(version);
        let tip = self.versions[version].tip;
        if tip == to {
            return Ok(());
        }
        let there = self.commits[to].own.clone().expect("it is a place");
        let here = self.versions[version].own.clone();
        let (mut changes, mut deleted) = (Vec::new(), Vec::new());
        let keys: BTreeSet<&Key> = there.keys().chain(here.keys()).collect();
        for key in keys.into_iter().filter(|key| !is_bookkeeping(key)) {
            let lives = here.get(key).is_some_and(|entry| self.is_live(entry));
            match (there.get(key), here.get(key)) {
                (Some(at), Some(now)) if at.change == now.change => {}
                // There is nothing to delete, unless the version inherits such a row.
                (Some(at), _)
                    if !self.is_live(at) && !lives && self.shows(version, key).is_none() => {}
                (Some(at), _) => changes.push(at.change),
                (None, _) if lives => deleted.push(key.clone()),
                (None, _) => {}
            }
        }
        for key in deleted {
            changes.push(self.new_change(key, None));
        }
        self.commit_with(version, vec![tip, to], changes);
        Ok(())
    }

    /// Whether anything was collected.
    pub(crate) fn checkpoint(&mut self, names: &Names) -> Outcome<bool> {
        let version = self.active.clone();
        self.seal(&version);
        self.seal(GLOBAL);
        let work = self.working_diff(&version);
        if work.is_empty() {
            return Ok(false);
        }
        let held = &self.versions[version.as_str()];
        let (checkpoint, tip, own) = (held.working, held.tip, held.own.clone());
        let id = self.commits[checkpoint].id.clone().expect("working commits have an id");
        self.stage(GLOBAL, Key::new("lix_commit", &id), Some("".into()));
        let commit = &mut self.commits[checkpoint];
        commit.parents = vec![tip];
        commit.members = work.iter().map(|work| work.after).collect();
        commit.own = Some(own.clone());
        commit.is_working = false;
        (commit.is_known, commit.is_given) = (false, false);
        let working = self.open_working_commit(Some(checkpoint), names);
        self.stage(GLOBAL, Key::new("lix_entity_label", &names.label_mapping), Some("".into()));
        self.stage(GLOBAL, Key::new("lix_version_descriptor", &version), Some("".into()));
        let base = self.living(&own);
        let held = self.version_mut(&version);
        held.tip = checkpoint;
        held.working = working;
        held.last_checkpoint = Some(checkpoint);
        held.base = base;
        *self.log.entry("lix_version_tip".into()).or_default() += 1;
        self.touch_tip(&version, checkpoint);
        Ok(true)
    }

    /// A set of changes in `global`.
    pub(crate) fn create_change_set(&mut self, id: &str, changes: &[ChangeNo]) {
        self.stage(GLOBAL, Key::new("lix_change_set", id), Some("".into()));
        for change in changes {
            let of = self.changes[*change].id.clone().expect("it was seen");
            let key = Key::new("lix_change_set_element", &format!("{id}~{of}"));
            self.stage(GLOBAL, key, Some("".into()));
        }
    }

    /// Whether the active version did not show all of it already.
    pub(crate) fn apply_change_set(&mut self, changes: &[ChangeNo]) -> Outcome<bool> {
        let version = self.active.clone();
        self.seal(&version);
        let shows_it = |change: &ChangeNo| {
            let Change { key, snapshot, .. } = &self.changes[*change];
            match self.tracked(&version, key) {
                Some(entry) if self.is_live(&entry) => entry.change == *change,
                _ => snapshot.is_none(),
            }
        };
        let mut changes: Vec<_> =
            changes.iter().copied().filter(|change| !shows_it(change)).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        changes.sort_unstable();
        let tip = self.versions[version.as_str()].tip;
        self.commit_with(&version, vec![tip], changes);
        Ok(true)
    }
}

/// What says how versions and commits are: it is `global`'s and neither shared nor merged.
pub(crate) fn is_bookkeeping(key: &Key) -> bool {
    matches!(&*key.schema, "lix_version_descriptor" | "lix_version_tip" | "lix_commit")
}

/// Whether a change counts as work since the last checkpoint.
fn is_work(key: &Key) -> bool {
    !matches!(&*key.schema, "lix_change_set" | "lix_change_set_element")
}

/// A property that is a string.
fn property(snapshot: &str, name: &str) -> Option<String> {
    let content: serde_json::Value = serde_json::from_str(snapshot).ok()?;
    Some(content.get(name)?.as_str()?.to_owned())
}
