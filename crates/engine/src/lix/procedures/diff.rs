//! What one version has that another has not (18.1 of the data model).
//!
//! Guarantee: the source always wins; a row it never knew counts as unchanged; untracked rows take
//! no part on either side. Looking for differences costs what the versions wrote since their
//! lines parted, not what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use lix_engine_protocol::Result;

use super::{Procedure, Row};
use crate::lix::Lix;
use crate::lix::state::{Filter, Key, StateRow, Viewers, is_shared};
use crate::lix::versions::{Layer, Level};
use crate::sqlite::function::Owned;
use crate::sqlite::{Bound, Statement};

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_version_diff",
    columns: DIFF_COLUMNS,
    writes: false,
    run: |lix, call| {
        let (source, target) =
            call.read(|options| Ok((options.id("source")?, options.optional_id("target")?)))?;
        let source = lix.version_or_active(Some(source))?;
        let target = lix.version_or_active(target)?;
        let rows = match call.changed_only {
            true => lix.changed_rows(&source, &target)?,
            false => lix.all_rows(&source, &target)?,
        };
        Ok(rows.into_iter().map(DiffRow::row).collect())
    },
}];

/// The columns of every diff.
pub(super) const DIFF_COLUMNS: &str = "entity_id text, schema_key text, file_id text, \
     before_version_id text, before_change_id text, before_commit_id text, \
     after_version_id text, after_change_id text, after_commit_id text, status text";

/// A row of a diff.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DiffRow {
    pub(super) key: Key,
    pub(super) before: Side,
    pub(super) after: Side,
    pub(super) status: &'static str,
}

/// One side of a row; nothing is known of what is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Side {
    pub(super) version_id: Option<Rc<str>>,
    pub(super) change_id: Option<Rc<str>>,
    pub(super) commit_id: Option<Rc<str>>,
}

impl DiffRow {
    pub(super) fn row(self) -> Row {
        let Self { key, before, after, status } = self;
        let mut row: Row = vec![key.entity_id.into(), key.schema_key.into(), key.file_id.into()];
        for side in [before, after] {
            row.extend([side.version_id, side.change_id, side.commit_id].map(Owned::from));
        }
        row.push(status.into());
        row
    }
}

/// A tracked row or tombstone, and the version that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) is_deleted: bool,
    commit_no: i64,
}

/// How a key differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Added { source: Entry },
    Modified { source: Entry, target: Entry },
    Removed { source: Entry, target: Entry },
}

impl Lix {
    /// The keys under which the target does not show what the source has, in order.
    pub(super) fn differences(
        self: &Rc<Self>,
        source: &Rc<str>,
        target: &Rc<str>,
    ) -> Result<Vec<(Key, Difference)>> {
        let (sources, targets) = (self.levels(source)?, self.levels(target)?);
        let mut differences = Vec::new();
        for key in self.candidates(&sources, &targets)? {
            let own = self.tracked_through(&sources[..1], &key)?;
            let from = match own {
                Some(own) => Some(own),
                // A tombstone of an ancestor is not the source's.
                None => self.tracked_through(&sources[1..], &key)?.filter(|row| !row.is_deleted),
            };
            let Some(from) = from else { continue };
            let to = self.tracked_through(&targets, &key)?.filter(|row| !row.is_deleted);
            let difference = match (from.is_deleted, to) {
                (true, None) => continue,
                (true, Some(target)) => Difference::Removed { source: from, target },
                (false, None) => Difference::Added { source: from },
                (false, Some(target)) if target.seq == from.seq => continue,
                (false, Some(target)) => Difference::Modified { source: from, target },
            };
            differences.push((key, difference));
        }
        Ok(differences)
    }

    /// The keys under which two versions can differ: those that only one of them holds or that
    /// changed after one of them was branched off. Everything else they share.
    fn candidates(self: &Rc<Self>, sources: &[Level], targets: &[Level]) -> Result<BTreeSet<Key>> {
        let shared = sources
            .iter()
            .rev()
            .zip(targets.iter().rev())
            .take_while(|(source, target)| source.version_id == target.version_id)
            .count();
        let (own_sources, own_targets) = (sources.len() - shared, targets.len() - shared);
        let mut keys = BTreeSet::new();
        let ([source, ..], [target, ..]) = (sources, targets) else { return Ok(keys) };

        let met = source.layers.iter().enumerate().find_map(|(depth, layer)| {
            let line = |other: &Layer| other.line == layer.line;
            Some((depth, target.layers.iter().position(line)?))
        });
        let (own_source_layers, own_target_layers) =
            met.unwrap_or((source.layers.len(), target.layers.len()));
        let (above_source, above_target) =
            (&source.layers[..own_source_layers], &target.layers[..own_target_layers]);
        for layer in above_source.iter().chain(above_target) {
            self.keys_of_line(&layer.line, &mut keys)?;
        }
        if let Some((a, b)) = met {
            let (a, b) = (&source.layers[a], &target.layers[b]);
            let (from, to) = (a.until.min(b.until), a.until.max(b.until));
            self.keys_since(&a.line, from, to, &mut keys)?;
        }
        // Versions in between that only one of the two looks through.
        let further = sources[..own_sources].iter().skip(1);
        for level in further.chain(targets[..own_targets].iter().skip(1)) {
            for layer in &level.layers {
                self.keys_of_line(&layer.line, &mut keys)?;
            }
        }
        Ok(keys)
    }

    fn keys_of_line(self: &Rc<Self>, line: &str, keys: &mut BTreeSet<Key>) -> Result<()> {
        const SQL: &str =
            "select schema_key, entity_id, file_id from _lix_state where version_id = ?";
        self.sql.each(SQL, &[Bound::Text(line)], |row| {
            keys.insert(key_of(row));
            Ok(())
        })
    }

    fn keys_since(
        self: &Rc<Self>,
        line: &str,
        from: i64,
        to: i64,
        keys: &mut BTreeSet<Key>,
    ) -> Result<()> {
        const SQL: &str = "select c.schema_key, c.entity_id, c.file_id
          from _lix_commit k
          cross join _lix_commit_change m on m.commit_no = k.no
          cross join _lix_change c on c.seq = m.change_seq
          where k.no > ?1 and k.no <= ?2 and k.version_id = ?3";
        let params = [Bound::Integer(from), Bound::Integer(to), Bound::Text(line)];
        self.sql.each(SQL, &params, |row| {
            keys.insert(key_of(row));
            Ok(())
        })
    }

    /// The tracked row or tombstone that decides about a key: the first on these levels.
    pub(super) fn tracked_through(
        self: &Rc<Self>,
        levels: &[Level],
        key: &Key,
    ) -> Result<Option<Entry>> {
        let depth = if is_shared(&key.schema_key) { usize::MAX } else { 1 };
        for layer in levels.iter().flat_map(|level| level.layers.iter().take(depth)) {
            if let Some(entry) = self.entry(layer, key)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The row of a key in a layer. There may be many keys, so no more is read than which row it is.
    fn entry(&self, Layer { line, until }: &Layer, key: &Key) -> Result<Option<Entry>> {
        const NOW: &str = "select change_seq, commit_no, is_deleted from _lix_state
          where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4";
        const THEN: &str = "select change_seq, commit_no, is_deleted from _lix_state_past
          where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4
            and until_no > ?5 and commit_no <= ?5";
        let read = |row: &Statement| Entry {
            seq: row.integer(0),
            commit_no: row.integer(1),
            is_deleted: row.integer(2) != 0,
        };
        let place = [
            Bound::Text(line),
            Bound::Text(&key.schema_key),
            Bound::Text(&key.entity_id),
            Bound::Text(&key.file_id),
        ];
        match self.sql.first(NOW, &place, read)? {
            Some(now) if now.commit_no <= *until => Ok(Some(now)),
            Some(_) => {
                let [line, schema, entity, file] = place;
                let then = [line, schema, entity, file, Bound::Integer(*until)];
                self.sql.first(THEN, &then, read)
            }
            None => Ok(None),
        }
    }

    /// The rows of a diff whose status is not `unchanged`.
    fn changed_rows(self: &Rc<Self>, source: &Rc<str>, target: &Rc<str>) -> Result<Vec<DiffRow>> {
        let mut rows = Vec::new();
        for (key, difference) in self.differences(source, target)? {
            let side = |version: &Rc<str>, entry: &Entry| self.side(version, entry);
            let (status, before, after) = match difference {
                Difference::Added { source: row } => {
                    ("added", Side::default(), side(source, &row)?)
                }
                Difference::Modified { source: from, target: to } => {
                    ("modified", side(target, &to)?, side(source, &from)?)
                }
                Difference::Removed { source: from, target: to } => {
                    ("removed", side(target, &to)?, side(source, &from)?)
                }
            };
            rows.push(DiffRow { key, before, after, status });
        }
        Ok(rows)
    }

    fn side(self: &Rc<Self>, version_id: &Rc<str>, entry: &Entry) -> Result<Side> {
        Ok(Side {
            version_id: Some(version_id.clone()),
            change_id: Some(self.change(entry.seq)?.id),
            commit_id: Some(self.commit_name(entry.commit_no)?),
        })
    }

    /// All rows of a diff: a walk over everything that the two versions show.
    fn all_rows(self: &Rc<Self>, source: &Rc<str>, target: &Rc<str>) -> Result<Vec<DiffRow>> {
        let mut rows = BTreeMap::new();
        for row in self.changed_rows(source, target)? {
            rows.insert(row.key.clone(), row);
        }
        let mut shown: BTreeMap<Key, [Option<StateRow>; 2]> = BTreeMap::new();
        let viewers = match source == target {
            true => vec![source.clone()],
            false => vec![source.clone(), target.clone()],
        };
        let mut scan =
            self.scan(Filter { viewers: Viewers::These(viewers), ..Filter::default() })?;
        while let Some(mut row) = scan.next()? {
            // Content is not part of a diff, and may be large.
            row.snapshot = None;
            if row.untracked {
                let Some(tracked) = self.tracked_below(&row)? else { continue };
                row = tracked;
            }
            let is_target = row.version_id == *target;
            let sides = shown.entry(row.key.clone()).or_default();
            sides[usize::from(is_target)] = Some(row);
        }
        for (key, [from, to]) in shown {
            if rows.contains_key(&key) {
                continue;
            }
            let side = |row: &StateRow| Side {
                version_id: Some(row.version_id.clone()),
                change_id: Some(row.change_id.clone()),
                commit_id: Some(row.commit_id.clone()),
            };
            // A derived row is in no version's own hands, so only here two versions can be found
            // to differ in it: where one of them does not look through global.
            let (before, after, status) = match (&from, &to) {
                (Some(from), None) if source != target => (Side::default(), side(from), "added"),
                (Some(row), None) => (side(row), side(row), "unchanged"),
                (None, Some(to)) => (side(to), side(to), "unchanged"),
                (Some(from), Some(to)) => (side(to), side(from), "unchanged"),
                (None, None) => continue,
            };
            rows.insert(key.clone(), DiffRow { key, before, after, status });
        }
        Ok(rows.into_values().collect())
    }

    /// The tracked row under an untracked one.
    fn tracked_below(self: &Rc<Self>, row: &StateRow) -> Result<Option<StateRow>> {
        let levels = self.levels(&row.version_id)?;
        let Some(entry) = self.tracked_through(&levels, &row.key)? else { return Ok(None) };
        if entry.is_deleted {
            return Ok(None);
        }
        Ok(Some(StateRow {
            change_id: self.change(entry.seq)?.id,
            commit_id: self.commit_name(entry.commit_no)?,
            change_seq: Some(entry.seq),
            untracked: false,
            ..row.clone()
        }))
    }
}

fn key_of(row: &Statement) -> Key {
    Key { schema_key: row.text(0), entity_id: row.text(1), file_id: row.text(2) }
}
