//! The mutation stage: one row is validated and written, with everything that follows from it.

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

use super::Lix;
use super::state::Key;

/// A row to insert or update.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) kind: WriteKind,
    pub(crate) version_id: Rc<str>,
    pub(crate) key: Key,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    pub(crate) snapshot: Map<String, Value>,
    pub(crate) untracked: bool,
}

/// What validation takes a write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Insert,
    Update,
}

impl Lix {
    /// Validates and writes a row (chapters 11 and 12 of the data model).
    pub(crate) fn write(&self, write: Write) -> Result<()> {
        let _ = write;
        todo!()
    }

    /// Deletes what a version sees under a key: an untracked row uncovers what is below, a row of
    /// its own or an inherited one gets a tombstone. Nothing there is an error.
    pub(crate) fn delete(&self, version_id: &str, key: &Key) -> Result<()> {
        let _ = (version_id, key);
        todo!()
    }
}
