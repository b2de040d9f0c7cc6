//! The entities of a file, written and looked at as one.
//!
//! Guarantee: each goes the way of any write, through the same checks, into the same commit. What is
//! the same for all is asked once; what is not different is not written.

use std::collections::HashMap;
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::content::rows_of;
use super::summary::Summary;
use super::{Descriptor, blobs, written};
use crate::lix::schemas::Schema;
use crate::lix::state::{Filter, Key, Own, OwnOfFile, StateRow};
use crate::lix::validation::Target;
use crate::lix::write::{Before, NewChange, Write, WriteKind};
use crate::lix::{FALLBACK_PLUGIN, Lix, json};

/// What becomes of an entity.
pub(super) struct Changed {
    pub(super) schema: Rc<Schema>,
    pub(super) entity_id: Rc<str>,
    /// None: it goes.
    pub(super) snapshot: Option<Map<String, Value>>,
}

/// Writes to the content of one file in one version, and what is known of it meanwhile.
pub(super) struct Writer<'a> {
    lix: &'a Rc<Lix>,
    pub(super) version_id: &'a Rc<str>,
    pub(super) file_id: &'a Rc<str>,
    pub(super) untracked: bool,
    summary: Summary,
    /// What is visible after each write is known.
    is_exact: bool,
    /// One of the keys that were written.
    pub(super) changed: Option<written::Changed>,
}

/// The newest change of a file.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) change_id: Rc<str>,
    pub(crate) commit_id: Rc<str>,
    pub(crate) updated_at: Rc<str>,
}

impl<'a> Writer<'a> {
    /// `before`: the content as the version sees it.
    pub(super) fn new(
        lix: &'a Rc<Lix>,
        version_id: &'a Rc<str>,
        file_id: &'a Rc<str>,
        untracked: bool,
        before: &Summary,
    ) -> Self {
        Self {
            lix,
            version_id,
            file_id,
            untracked,
            summary: before.clone(),
            is_exact: true,
            changed: None,
        }
    }

    /// Writes what a plugin says.
    pub(super) fn write(&mut self, plugin_key: &Rc<str>, changes: Vec<Changed>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let lix = self.lix;
        lix.before_writing()?;
        lix.known_version(self.version_id)?;
        let known = Known::of(self, changes.len())?;
        let mut lookups: HashMap<*const Schema, bool> = HashMap::new();
        for Changed { schema, entity_id, snapshot } in changes {
            let key =
                Key { schema_key: schema.key.clone(), entity_id, file_id: self.file_id.clone() };
            let before = known.visible(self, &key)?;
            let Some(snapshot) = snapshot else {
                if let Some(row) = before {
                    self.erase(&row)?;
                }
                continue;
            };
            let is_same = |row: &StateRow| {
                row.untracked == self.untracked
                    && row.plugin_key == *plugin_key
                    && row.schema_version == schema.version
                    && json::object(row.snapshot.as_deref()) == snapshot
            };
            if before.as_ref().is_some_and(is_same) {
                continue;
            }
            let kind = if before.is_some() { WriteKind::Update } else { WriteKind::Insert };
            let is_plain = schema.primary_key.is_empty()
                && schema.unique.is_empty()
                && schema.foreign_keys.is_empty();
            if is_plain {
                schema.validate(&snapshot)?;
            } else {
                let is_absent =
                    kind == WriteKind::Insert && lix.is_absent(self.version_id, &key)?;
                let target = Target {
                    kind,
                    version_id: self.version_id,
                    key: &key,
                    schema_version: &schema.version,
                    untracked: self.untracked,
                    is_absent,
                };
                lix.validate(&target, &snapshot)?;
            }
            let own = known.own(&key);
            let write = Write {
                kind,
                version_id: self.version_id.clone(),
                key,
                plugin_key: plugin_key.clone(),
                schema_version: schema.version.clone(),
                snapshot,
                untracked: self.untracked,
            };
            self.put(&write, own, before)?;
            let is_looked_up = *lookups.entry(Rc::as_ptr(&schema)).or_insert_with(|| {
                !is_plain || !lix.schemas.borrow().indexed(&schema.key).is_empty()
            });
            if is_looked_up {
                lix.index(&write.key, &schema.version, &write.snapshot)?;
            }
        }
        Ok(())
    }

    /// Writes one row that was checked.
    fn put(&mut self, write: &Write, own: Before, before: Option<StateRow>) -> Result<()> {
        let lix = self.lix;
        let Write { version_id, key, plugin_key, schema_version, snapshot, .. } = write;
        let text = serde_json::to_string(snapshot).expect("a JSON object is text");
        let created_at = lix.ids.timestamp();
        let id;
        let mark = if write.untracked {
            lix.put_untracked(write, &text, &created_at)?;
            lix.touched(version_id, key);
            &text
        } else {
            id = lix.ids.uuid_v7();
            lix.put_change_as(
                &id,
                NewChange {
                    version_id,
                    key,
                    plugin_key,
                    schema_version,
                    snapshot: Some(&text),
                    created_at: &created_at,
                    before: own,
                },
            )?;
            lix.uncover(version_id, key)?;
            &*id
        };
        self.note(key, before.as_ref());
        self.summary.put(plugin_key, &key.schema_key, &key.entity_id, mark);
        Ok(())
    }

    /// Makes that nothing is seen any more under the key of a row that is seen.
    pub(super) fn erase(&mut self, row: &StateRow) -> Result<()> {
        let lix = self.lix;
        let mut below = Some(row.clone());
        while let Some(row) = below {
            let is_own = row.untracked && row.inherited_from.is_none();
            if self.untracked && !is_own {
                lix.hide(self.version_id, &row)?;
            } else {
                lix.delete_row(self.version_id, &row)?;
                lix.release(&row)?;
            }
            below = if is_own { lix.get(self.version_id, &row.key)? } else { None };
        }
        self.note(&row.key, Some(row));
        Ok(())
    }

    /// Erases what some plugins have.
    pub(super) fn erase_those(&mut self, is_wanted: impl Fn(&StateRow) -> bool) -> Result<()> {
        let rows = self.those(false, is_wanted)?;
        rows.iter().try_for_each(|row| self.erase(row))
    }

    /// Takes away what the version itself has besides the log, whether it is seen or hides something:
    /// what lies below is seen again.
    pub(super) fn uncover(&mut self) -> Result<()> {
        let is_own = |row: &StateRow| row.untracked && row.inherited_from.is_none();
        for row in self.those(true, is_own)? {
            self.lix.delete_row(self.version_id, &row)?;
            self.lix.release(&row)?;
            self.note(&row.key, Some(&row).filter(|row| row.snapshot.is_some()));
        }
        self.is_exact = false;
        Ok(())
    }

    fn those(
        &self,
        tombstones: bool,
        is_wanted: impl Fn(&StateRow) -> bool,
    ) -> Result<Vec<StateRow>> {
        let mut scan =
            self.lix.scan(Filter { tombstones, ..rows_of(self.version_id, self.file_id) })?;
        let mut rows = Vec::new();
        while let Some(row) = scan.next()? {
            if is_wanted(&row) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Writes all content again, tracked or not as it is to be from here on.
    pub(super) fn convert(&mut self) -> Result<()> {
        let differs = |row: &StateRow| {
            &*row.key.schema_key != super::SCHEMA && row.untracked != self.untracked
        };
        for row in self.those(false, differs)? {
            let write = Write {
                kind: WriteKind::Update,
                version_id: self.version_id.clone(),
                key: row.key.clone(),
                plugin_key: row.plugin_key.clone(),
                schema_version: row.schema_version.clone(),
                snapshot: json::object(row.snapshot.as_deref()),
                untracked: self.untracked,
            };
            self.lix.write(write)?;
            self.note(&row.key, Some(&row));
            self.is_exact = false;
        }
        Ok(())
    }

    /// Keeps what is known for the next write. The bytes nobody names any more go.
    pub(super) fn finish(self) -> Option<written::Changed> {
        if self.changed.is_some() && self.is_exact {
            let summary = Rc::new(self.summary);
            let keep = |kept: &mut super::Kept| kept.summary = Some(summary);
            self.lix.files.keep(self.version_id, self.file_id, keep);
        }
        self.changed
    }

    fn note(&mut self, key: &Key, before: Option<&StateRow>) {
        if let Some(before) = before {
            self.summary.remove(before);
        }
        self.changed.get_or_insert_with(|| (key.clone(), before.map(|row| row.change_id.clone())));
    }
}

/// Rows by schema and entity.
type Visible = HashMap<(Rc<str>, Rc<str>), StateRow>;

/// What there was before many writes, or nothing yet.
struct Known {
    visible: Option<Visible>,
    own: Option<OwnOfFile>,
}

impl Known {
    /// Of a file that many rows are written to, everything is looked at once.
    fn of(writer: &Writer<'_>, count: usize) -> Result<Self> {
        if count <= FEW {
            return Ok(Self { visible: None, own: None });
        }
        let mut visible = Visible::new();
        writer.lix.each_row_of_file(writer.version_id, writer.file_id, |row| {
            visible.insert((row.key.schema_key.clone(), row.key.entity_id.clone()), row);
            Ok(())
        })?;
        let own = writer.lix.own_of_file(writer.version_id, writer.file_id)?;
        Ok(Self { visible: Some(visible), own: Some(own) })
    }

    fn visible(&self, writer: &Writer<'_>, key: &Key) -> Result<Option<StateRow>> {
        match &self.visible {
            Some(visible) => {
                Ok(visible.get(&(key.schema_key.clone(), key.entity_id.clone())).cloned())
            }
            None => writer.lix.get(writer.version_id, key),
        }
    }

    fn own(&self, key: &Key) -> Before {
        match &self.own {
            Some(own) => {
                let own: Option<&Own> = own.get(&(key.schema_key.clone(), key.entity_id.clone()));
                Before::Known(own.cloned())
            }
            None => Before::Unknown,
        }
    }
}

impl Lix {
    /// The newest change that a version sees of a file, deletions of its content included; none: it
    /// is untracked.
    pub(crate) fn newest(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file: &Descriptor,
    ) -> Result<Option<Newest>> {
        let mut newest: Option<(Rc<str>, i64, Newest)> = None;
        let rows = rows_of(version_id, &file.id);
        let mut scan = self.scan(Filter { tombstones: true, ..rows })?;
        while let Some(row) = scan.next()? {
            let Some(seq) = row.change_seq else { continue };
            let is_newer = newest
                .as_ref()
                .is_none_or(|(updated_at, other, _)| (updated_at, other) < (&row.updated_at, &seq));
            if is_newer {
                let StateRow { change_id, commit_id, updated_at, .. } = row;
                newest =
                    Some((updated_at.clone(), seq, Newest { change_id, commit_id, updated_at }));
            }
        }
        Ok(newest.map(|(_, _, newest)| newest))
    }

    /// What a row of an unknown file held is not needed by it any more.
    pub(super) fn release(&self, row: &StateRow) -> Result<()> {
        match &*row.plugin_key == FALLBACK_PLUGIN && &*row.key.schema_key == blobs::SCHEMA {
            true => self.release_blob(row.snapshot.as_deref()),
            false => Ok(()),
        }
    }
}

/// Up to so many rows are looked up one by one.
const FEW: usize = 32;
