//! Change control: every write to an entity becomes a change in a commit, versions branch and
//! merge, history is a table.
//!
//! Guarantee: what a statement writes and the changes, commits and state that follow from it are
//! stored in one SQLite transaction, or nothing of them is. All of it is computed from
//! `_lix_change` and can be computed again.

pub(crate) mod events;
pub(crate) mod graph;
pub(crate) mod ids;
pub(crate) mod sql;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod versions;
mod words;
pub(crate) mod write;

use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::Result;

use crate::Platform;
use crate::sqlite::Link;
use sql::Sql;

/// The change control of one database.
pub(crate) struct Lix {
    pub(crate) sql: Sql,
    pub(crate) graph: graph::Graph,
    pub(crate) platform: Arc<dyn Platform>,
}

impl Lix {
    /// Over a connection whose database has the tables.
    pub(crate) fn new(link: Rc<Link>, platform: Arc<dyn Platform>) -> Rc<Self> {
        Rc::new(Self { sql: Sql::new(link), graph: graph::Graph::default(), platform })
    }

    /// Gives the pending commits of all versions their ids: after this, and a COMMIT, they stand.
    pub(crate) fn seal(&self) -> Result<()> {
        todo!()
    }
}

/// The root of inheritance and the home of everything about versions and commits.
pub(crate) const GLOBAL: &str = "global";
/// The file to which built-in entities belong.
pub(crate) const LIX_FILE: &str = "lix";
/// The plugin of built-in entities.
pub(crate) const OWN_PLUGIN: &str = "lix_own_entity";
