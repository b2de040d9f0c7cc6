//! What plugins read from.

use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Reason, Result};

use super::Lix;
use crate::PluginQuery;

/// Reads of a lix.
pub(super) struct Query(Weak<Lix>);

impl Query {
    pub(super) fn new(lix: &Rc<Lix>) -> Self {
        Self(Rc::downgrade(lix))
    }
}

impl PluginQuery for Query {
    fn query(&self, _sql: &str, _params: &str) -> Result<String> {
        let Some(_lix) = self.0.upgrade() else {
            return Err(Error::new(Reason::Closed, "the database is closed"));
        };
        Err(Error::new(Reason::PluginFailed, "plugins cannot read yet"))
    }
}
