//! What a statement reads of the state, noted while somebody wants to know.
//!
//! Guarantee: whatever of the state can change the result of the statement is noted, at least as wide
//! as it was read and by the columns of commit events, so that a commit whose rows match nothing that
//! was noted changes nothing. What events do not list makes them say so, see [`Lix::note_unlisted`].
//! While nobody wants to know, a note costs a look at a flag.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use lix_engine_protocol::Result;
use lix_engine_protocol::proto::{self, ReadSet};

use super::state::{Filter, Key, Viewers};
use super::versions::Level;
use super::{GLOBAL, LIX_FILE, Lix, derived};

/// A part of the state; an empty text means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read<'a> {
    pub(crate) schema_key: &'a str,
    pub(crate) version_id: &'a str,
    pub(crate) file_id: &'a str,
    pub(crate) entity_id: &'a str,
}

/// What was noted.
#[derive(Default)]
pub(crate) struct Reads {
    is_on: Cell<bool>,
    noted: RefCell<Noted>,
    /// The open transaction did what its event cannot list.
    unlisted: Cell<bool>,
}

#[derive(Default)]
struct Noted {
    any_commit: bool,
    /// By schema and version.
    places: BTreeMap<Rc<str>, BTreeMap<Rc<str>, Place>>,
    place_count: usize,
    /// Entities and files in all places, at least.
    key_count: usize,
}

/// Entities by file; none: any.
type Place = BTreeMap<Rc<str>, Option<BTreeSet<Rc<str>>>>;

impl Lix {
    /// From here on reads are noted.
    pub(crate) fn start_reads(&self) {
        self.reads.noted.take();
        self.reads.is_on.set(true);
    }

    /// What was noted since [`Lix::start_reads`]. Nothing is from here on.
    pub(crate) fn take_reads(&self) -> ReadSet {
        self.reads.is_on.set(false);
        self.reads.noted.take().finish()
    }

    /// Whether reads are noted.
    pub(crate) fn notes_reads(&self) -> bool {
        self.reads.is_on.get()
    }

    /// The result depends on this. Whoever answers out of what is kept in memory has to say so, too.
    pub(crate) fn note_read(&self, read: Read<'_>) {
        if self.reads.is_on.get() {
            self.reads.noted.borrow_mut().add(read);
        }
    }

    /// The result depends on more than state.
    pub(crate) fn note_any_commit(&self) {
        if self.reads.is_on.get() {
            self.reads.noted.borrow_mut().any_commit = true;
        }
    }

    /// The result depends on what a version holds itself under a key.
    pub(super) fn note_key(&self, version_id: &str, key: &Key) {
        if !self.reads.is_on.get() {
            return;
        }
        let Key { schema_key, entity_id, file_id } = key;
        self.note_read(Read { schema_key, version_id, file_id, entity_id });
        let is_derived = derived::SCHEMAS.contains(&&**schema_key) && &**file_id == LIX_FILE;
        if version_id == GLOBAL && is_derived {
            self.note_graph();
        }
    }

    /// The result depends on through which levels a version looks.
    pub(super) fn note_levels(&self, version_id: &str, levels: &[Level]) -> Result<()> {
        if !self.reads.is_on.get() {
            return Ok(());
        }
        self.note_version(version_id);
        for level in levels {
            self.note_version(&level.version_id);
            // There may be no such version yet, or no more.
            if let Some(version) = self.version(&level.version_id)?
                && let Some(parent) = &version.inherits_from
            {
                self.note_version(parent);
            }
        }
        Ok(())
    }

    /// The result depends on all rows that a filter lets through.
    pub(crate) fn note_filter(&self, filter: &Filter) -> Result<()> {
        if !self.reads.is_on.get() {
            return Ok(());
        }
        let mut versions: BTreeSet<Rc<str>> = BTreeSet::new();
        let mut sees_global = false;
        match &filter.viewers {
            Viewers::All => {
                self.note_version("");
                versions.insert("".into());
                sees_global = true;
            }
            Viewers::These(ids) => {
                for id in ids {
                    let levels = self.levels(id)?;
                    self.note_levels(id, &levels)?;
                    let looks_at = if filter.own_only { 1 } else { levels.len() };
                    for level in levels.iter().take(looks_at) {
                        sees_global |= &*level.version_id == GLOBAL;
                        versions.insert(level.version_id.clone());
                    }
                }
            }
        }
        let any: [Rc<str>; 1] = ["".into()];
        let schemas = filter.schema_keys.as_deref().unwrap_or(&any);
        let files = few(filter.file_ids.as_deref(), &any);
        let entities = few(filter.entity_ids.as_deref(), &any);
        for schema_key in schemas {
            for version_id in &versions {
                for file_id in files {
                    for entity_id in entities {
                        self.note_read(Read { schema_key, version_id, file_id, entity_id });
                    }
                }
            }
            let has_derived = schema_key.is_empty() || derived::SCHEMAS.contains(&&**schema_key);
            let is_own = files.iter().any(|file| matches!(&**file, "" | LIX_FILE));
            if sees_global && has_derived && is_own {
                self.note_graph();
            }
        }
        Ok(())
    }

    /// The result depends on what a version is. That its tip moves does not matter: its rows change
    /// with it or not at all.
    fn note_version(&self, id: &str) {
        if id != GLOBAL {
            self.note_read(Read {
                schema_key: "lix_version_descriptor",
                version_id: GLOBAL,
                file_id: LIX_FILE,
                entity_id: id,
            });
        }
    }

    /// The result depends on derived rows. Not all of them are in events, but a commit always is.
    fn note_graph(&self) {
        let (schema_key, version_id) = ("lix_commit", GLOBAL);
        self.note_read(Read { schema_key, version_id, ..Read::default() });
    }

    /// The open transaction changes what statements find, and no row that it writes says so: how
    /// entities are found by their keys, where a version's line begins.
    pub(crate) fn note_unlisted(&self) {
        self.reads.unlisted.set(true);
    }

    /// Whether a transaction that ends here noted so.
    pub(crate) fn take_unlisted(&self) -> bool {
        self.reads.unlisted.take()
    }
}

impl Noted {
    fn add(&mut self, read: Read<'_>) {
        if self.any_commit {
            return;
        }
        let Read { schema_key, version_id, file_id, entity_id } = read;
        let known = self.places.get(schema_key).and_then(|versions| versions.get(version_id));
        let is_known = known.is_some_and(|place| {
            [file_id, ""].iter().any(|file| match place.get(*file) {
                Some(None) => true,
                Some(Some(entities)) => entities.contains(entity_id),
                None => false,
            })
        });
        if is_known {
            return;
        }
        if known.is_none() {
            self.place_count += 1;
            if self.place_count > MAX_PLACES {
                self.any_commit = true;
                return;
            }
        }
        let versions = self.places.entry(schema_key.into()).or_default();
        let place = versions.entry(version_id.into()).or_default();
        let entities = place.entry(file_id.into()).or_insert_with(|| Some(BTreeSet::new()));
        match entities {
            Some(_) if entity_id.is_empty() => *entities = None,
            Some(these) if these.len() >= MAX_KEYS => *entities = None,
            Some(these) => drop(these.insert(entity_id.into())),
            None => {}
        }
        if place.len() > MAX_KEYS {
            *place = any_key();
        }
        self.key_count += 1;
        if self.key_count > MAX_READS {
            self.key_count = self.place_count;
            self.places.values_mut().flat_map(BTreeMap::values_mut).for_each(|it| *it = any_key());
        }
    }

    /// Each read once, and none that another one covers.
    fn finish(self) -> ReadSet {
        let mut all: BTreeSet<[Rc<str>; 4]> = BTreeSet::new();
        if !self.any_commit {
            for (schema_key, versions) in self.places {
                for (version_id, place) in versions {
                    for (file_id, entities) in place {
                        let entities = entities.unwrap_or_else(|| BTreeSet::from(["".into()]));
                        all.extend(entities.into_iter().map(|entity_id| {
                            [schema_key.clone(), version_id.clone(), file_id.clone(), entity_id]
                        }));
                    }
                }
            }
        }
        let none: Rc<str> = "".into();
        let is_covered = |read: &[Rc<str>; 4]| {
            // Every way to widen it by leaving fields open.
            (1..1 << read.len()).any(|open: usize| {
                let mut wider = read.clone();
                for (field, text) in wider.iter_mut().enumerate() {
                    if open >> field & 1 == 1 {
                        *text = none.clone();
                    }
                }
                wider != *read && all.contains(&wider)
            })
        };
        let reads = all.iter().filter(|read| !is_covered(read)).map(|read| {
            let [schema_key, version_id, file_id, entity_id] =
                read.each_ref().map(|text| text.to_string());
            proto::Read { schema_key, version_id, file_id, entity_id }
        });
        ReadSet { any_commit: self.any_commit, reads: reads.collect() }
    }
}

fn any_key() -> Place {
    Place::from([("".into(), None)])
}

/// A list, unless it is so long that it is as good as any.
fn few<'a>(list: Option<&'a [Rc<str>]>, any: &'a [Rc<str>]) -> &'a [Rc<str>] {
    list.filter(|list| list.len() <= MAX_KEYS).unwrap_or(any)
}

/// More entities of a schema, or files, in one version are noted as any.
const MAX_KEYS: usize = 256;
/// More of both are noted by schema and version only.
const MAX_READS: usize = 4_096;
/// More schemas and versions are noted as any commit.
const MAX_PLACES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>([schema_key, version_id, file_id, entity_id]: [&'a str; 4]) -> Read<'a> {
        Read { schema_key, version_id, file_id, entity_id }
    }

    fn noted(reads: &[[&str; 4]]) -> (bool, Vec<String>) {
        let mut noted = Noted::default();
        reads.iter().for_each(|parts| noted.add(read(*parts)));
        let ReadSet { any_commit, reads } = noted.finish();
        let show = |read: proto::Read| {
            format!("{}|{}|{}|{}", read.schema_key, read.version_id, read.file_id, read.entity_id)
        };
        (any_commit, reads.into_iter().map(show).collect())
    }

    #[test]
    fn each_read_is_there_once_and_none_that_another_covers() {
        let one = ["kv", "main", "lix", "a"];
        assert_eq!(noted(&[one, one]), (false, vec!["kv|main|lix|a".to_owned()]));
        for wider in [
            ["kv", "main", "lix", ""],
            ["kv", "main", "", "a"],
            ["kv", "", "lix", "a"],
            ["", "main", "lix", "a"],
            ["", "", "", ""],
        ] {
            let only = vec![wider.join("|")];
            assert_eq!(noted(&[one, wider]), (false, only.clone()), "{wider:?}");
            assert_eq!(noted(&[wider, one]), (false, only), "{wider:?}");
        }
        let others =
            [["kv", "main", "other", ""], ["kv", "global", "", ""], ["doc", "main", "", "a"]];
        for other in others {
            assert_eq!(noted(&[one, other]).1.len(), 2, "{other:?}");
        }
    }

    #[test]
    fn many_entities_are_any() {
        let ids: Vec<String> = (0..MAX_KEYS + 1).map(|no| no.to_string()).collect();
        let all: Vec<_> = ids.iter().map(|id| ["kv", "main", "lix", id.as_str()]).collect();
        assert_eq!(noted(&all[..MAX_KEYS]).1.len(), MAX_KEYS);
        assert_eq!(noted(&all), (false, vec!["kv|main|lix|".to_owned()]));
        let files: Vec<_> = ids.iter().map(|id| ["kv", "main", id.as_str(), ""]).collect();
        assert_eq!(noted(&files), (false, vec!["kv|main||".to_owned()]));
    }

    #[test]
    fn many_reads_are_by_schema_and_version() {
        let ids: Vec<String> = (0..MAX_KEYS).map(|no| no.to_string()).collect();
        let schemas: Vec<String> = (0..40).map(|no| format!("s{no}")).collect();
        let all: Vec<_> = schemas
            .iter()
            .flat_map(|schema| ids.iter().map(move |id| [schema.as_str(), "main", "lix", id]))
            .collect();
        assert_eq!(noted(&all[..MAX_READS]).1.len(), MAX_READS);
        let (any_commit, reads) = noted(&all);
        assert!(!any_commit && reads.len() < MAX_READS, "{}", reads.len());
        assert!(schemas.iter().all(|schema| reads.iter().any(|read| read.starts_with(schema))));
        assert!(reads.contains(&"s0|main||".to_owned()), "{reads:?}");
    }

    #[test]
    fn many_places_are_any_commit() {
        let ids: Vec<String> = (0..MAX_PLACES + 1).map(|no| no.to_string()).collect();
        let all: Vec<_> = ids.iter().map(|id| ["kv", id.as_str(), "lix", "a"]).collect();
        assert_eq!(noted(&all[..MAX_PLACES]).1.len(), MAX_PLACES);
        assert_eq!(noted(&all), (true, vec![]));
    }
}
