//! What a version sees: one row per key, found by walking the version's levels.
//!
//! Guarantee: whoever asks gets exactly one row for a key in a version, and a row that was written
//! a moment ago in the same transaction is that row.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::Lix;

/// What names a row within a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) schema_key: Rc<str>,
    pub(crate) entity_id: Rc<str>,
    pub(crate) file_id: Rc<str>,
}

/// A row of state as one version sees it.
#[derive(Clone, Debug)]
pub(crate) struct StateRow {
    pub(crate) key: Key,
    /// The version that looks.
    pub(crate) version_id: Rc<str>,
    /// The version that holds the row, if it is another one.
    pub(crate) inherited_from: Option<Rc<str>>,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    /// JSON text; none: a tombstone.
    pub(crate) snapshot: Option<Rc<str>>,
    pub(crate) created_at: Rc<str>,
    pub(crate) updated_at: Rc<str>,
    /// The winning change, or `untracked`.
    pub(crate) change_id: Rc<str>,
    /// The commit that made it the winner, `pending` or `untracked`.
    pub(crate) commit_id: Rc<str>,
    pub(crate) untracked: bool,
    /// `_lix_change.seq` of the winning change; none for untracked and some derived rows.
    pub(crate) change_seq: Option<i64>,
}

/// Which versions look.
#[derive(Clone, Debug, Default)]
pub(crate) enum Viewers {
    /// Every version there is.
    #[default]
    All,
    /// These; unknown ones see nothing.
    These(Vec<Rc<str>>),
}

/// Which rows are wanted. An empty list means no row, none means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) viewers: Viewers,
    pub(crate) schema_keys: Option<Vec<Rc<str>>>,
    pub(crate) entity_ids: Option<Vec<Rc<str>>>,
    pub(crate) file_ids: Option<Vec<Rc<str>>>,
    /// Properties that equal these strings, as a hint: more rows may come, so check them.
    pub(crate) properties: Vec<(Rc<str>, Rc<str>)>,
    /// Tombstones too, at the level that owns them.
    pub(crate) tombstones: bool,
    /// Only rows that the viewing version holds itself.
    pub(crate) own_only: bool,
}

/// Rows, one after the other, in no promised order. Writing meanwhile is fine: rows are those of the
/// moment of the scan.
pub(crate) struct Scan {
    rows: std::vec::IntoIter<StateRow>,
}

impl Scan {
    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<StateRow>> {
        Ok(self.rows.next())
    }
}

impl Lix {
    /// The live row of a key, as a version sees it. An unknown version sees nothing.
    pub(crate) fn get(&self, version_id: &str, key: &Key) -> Result<Option<StateRow>> {
        let _ = (version_id, key);
        todo!()
    }

    /// All rows that match.
    pub(crate) fn scan(self: &Rc<Self>, filter: Filter) -> Result<Scan> {
        let _ = filter;
        todo!()
    }
}
