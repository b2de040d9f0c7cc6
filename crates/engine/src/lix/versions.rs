//! The versions there are: their names, tips and parents, in memory.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::Lix;

/// A version.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: Rc<str>,
    pub(crate) name: Rc<str>,
    pub(crate) hidden: bool,
    pub(crate) inherits_from: Option<Rc<str>>,
    pub(crate) working_commit_id: Rc<str>,
    /// Its newest commit, by id and by number.
    pub(crate) tip: Option<(Rc<str>, i64)>,
}

impl Lix {
    /// A version by id; none: there is no such version (any more).
    pub(crate) fn version(&self, id: &str) -> Result<Option<Rc<Version>>> {
        let _ = id;
        todo!()
    }

    /// A version by id, or the error that says there is none.
    pub(crate) fn known_version(&self, id: &str) -> Result<Rc<Version>> {
        let _ = id;
        todo!()
    }

    /// All versions, ordered by id.
    pub(crate) fn all_versions(&self) -> Result<Vec<Rc<Version>>> {
        todo!()
    }

    /// The id of the active version; none: no version is active.
    pub(crate) fn active_version_id(&self) -> Result<Option<Rc<str>>> {
        todo!()
    }
}
