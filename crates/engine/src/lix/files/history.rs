//! Files as they were: what each commit made of them.
//!
//! Guarantee: a row shows what the version that made the commit saw as of it: every entity in the
//! last change on the way back along first parents, which is how commits add up to state. What a
//! merge took over it lists itself.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use lix_engine_protocol::Result;

use super::content::{Content, Entity};
use super::{Descriptor, SCHEMA};
use crate::lix::history::{ChangeRow, DepthFilter, HistoryFilter, Listings};
use crate::lix::{Lix, OWN_PLUGIN};
use crate::sqlite::Bound;

/// A file at a commit that changed it, as seen from a root.
pub(crate) struct FileState {
    /// What the descriptor was then.
    pub(crate) descriptor: Rc<ChangeRow>,
    /// The newest of the changes of the file that the commit lists.
    pub(crate) change_id: Rc<str>,
    pub(crate) commit_id: Rc<str>,
    pub(crate) root_commit_id: Rc<str>,
    pub(crate) depth: i64,
    commit_no: i64,
    listings: Rc<Listings>,
}

impl Lix {
    /// The states of files, by file and depth.
    pub(crate) fn file_history(&self, filter: HistoryFilter) -> Result<Vec<FileState>> {
        let DepthFilter { min, max } =
            filter.depth.unwrap_or(DepthFilter { min: 0, max: u32::MAX });
        if min > max {
            return Ok(Vec::new());
        }
        let commit_ids = filter.commit_ids.clone();
        let filter = HistoryFilter { of_files: true, commit_ids: None, ..filter };
        let (sightings, listings) = self.sightings(&filter)?;
        let listings = Rc::new(listings);
        let mut descriptors: HashMap<Rc<str>, HashMap<i64, Option<Rc<ChangeRow>>>> = HashMap::new();
        let mut states = Vec::new();
        for sighting in sightings {
            let commit_no = sighting.commit_no;
            // By file: the last one is the newest.
            let mut changed: BTreeMap<Rc<str>, Rc<str>> = BTreeMap::new();
            for change in listings.of(commit_no) {
                changed.insert(change.file_id.clone(), change.id.clone());
            }
            let Some(commit_id) = self.commit_id(commit_no)? else { continue };
            if commit_ids.as_ref().is_some_and(|ids| !ids.contains(&commit_id)) {
                continue;
            }
            for (file_id, change_id) in changed {
                let known = descriptors.entry(file_id.clone()).or_default();
                let descriptor = self.descriptor_at(commit_no, &file_id, &listings, known)?;
                let Some(descriptor) = descriptor.filter(|change| change.snapshot.is_some()) else {
                    continue;
                };
                states.push(FileState {
                    descriptor,
                    change_id,
                    commit_id: commit_id.clone(),
                    root_commit_id: sighting.root_commit_id.clone(),
                    depth: sighting.depth,
                    commit_no,
                    listings: listings.clone(),
                });
            }
        }
        states.sort_by(|a, b| {
            let key = |state: &FileState| (state.descriptor.file_id.clone(), state.depth);
            key(a)
                .cmp(&key(b))
                .then_with(|| b.commit_no.cmp(&a.commit_no))
                .then_with(|| a.root_commit_id.cmp(&b.root_commit_id))
        });
        Ok(states)
    }

    /// Shows somebody the bytes that a file had.
    pub(crate) fn with_file_data_at<T>(
        &self,
        state: &FileState,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let change = &state.descriptor;
        let file = Descriptor::from_snapshot(&change.entity_id, change.snapshot.as_deref());
        let mut found: BTreeMap<(Rc<str>, Rc<str>), Rc<ChangeRow>> = BTreeMap::new();
        let mut next = Some(state.commit_no);
        while let Some(no) = next {
            let listed: Vec<_> = state.listings.of(no).collect();
            for change in listed.into_iter().rev() {
                if change.file_id == state.descriptor.file_id && &*change.plugin_key != OWN_PLUGIN {
                    let key = (change.schema_key.clone(), change.entity_id.clone());
                    found.entry(key).or_insert_with(|| change.clone());
                }
            }
            next = self.first_parent(no)?;
        }
        let entity = |change: &Rc<ChangeRow>| {
            Some(Entity {
                schema_key: change.schema_key.clone(),
                entity_id: change.entity_id.clone(),
                schema_version: change.schema_version.clone(),
                plugin_key: change.plugin_key.clone(),
                created_at: change.created_at.clone(),
                change_id: change.id.clone(),
                snapshot: change.snapshot.clone()?,
                untracked: false,
            })
        };
        let sql = "select version_id from _lix_commit where no = ?1";
        let version_id =
            self.sql.first(sql, &[Bound::Integer(state.commit_no)], |row| row.text(0))?;
        let content = Content {
            version_id: &version_id.unwrap_or_default(),
            file: &file,
            entities: found.values().filter_map(entity).collect(),
        };
        self.with_content(&content, |_| {}, show)
    }

    /// The descriptor as of a commit; what was found on the way is remembered.
    fn descriptor_at(
        &self,
        commit_no: i64,
        file_id: &Rc<str>,
        listings: &Listings,
        known: &mut HashMap<i64, Option<Rc<ChangeRow>>>,
    ) -> Result<Option<Rc<ChangeRow>>> {
        let mut passed = Vec::new();
        let mut next = Some(commit_no);
        let mut found = None;
        while let Some(no) = next {
            if let Some(known) = known.get(&no) {
                found = known.clone();
                break;
            }
            passed.push(no);
            let is_descriptor = |change: &&Rc<ChangeRow>| {
                &*change.schema_key == SCHEMA && change.file_id == *file_id
            };
            found = listings.of(no).filter(is_descriptor).last().cloned();
            if found.is_some() {
                break;
            }
            next = self.first_parent(no)?;
        }
        known.extend(passed.into_iter().map(|no| (no, found.clone())));
        Ok(found)
    }

    fn first_parent(&self, no: i64) -> Result<Option<i64>> {
        Ok(self.graph.edges(&self.sql)?.first_parent(no))
    }
}
