//! The plugins of the conformance suite.

use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::{Error, Reason, Result};

use super::{Manifest, PluginFile, PluginQuery, Plugins};
use crate::Platform;

/// Those that are asked for.
#[derive(Default)]
pub(super) struct Fixtures {
    manifests: Vec<Manifest>,
}

impl Fixtures {
    pub(super) fn new(_platform: Arc<dyn Platform>, _timeout_ms: u32) -> Self {
        Self::default()
    }

    /// Adds the plugin of that key; its index.
    pub(super) fn add(&mut self, _key: &str) -> Option<usize> {
        None
    }
}

impl Plugins for Fixtures {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, _query: Rc<dyn PluginQuery>) {}

    fn detect_changes(
        &self,
        _plugin: usize,
        _before: Option<PluginFile<'_>>,
        _after: PluginFile<'_>,
    ) -> Result<String> {
        Err(Error::new(Reason::PluginFailed, "it does nothing"))
    }

    fn apply_changes(&self, _plugin: usize, _file: &str, _changes: &str) -> Result<Vec<u8>> {
        Err(Error::new(Reason::PluginFailed, "it does nothing"))
    }
}
