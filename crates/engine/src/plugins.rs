//! What a shell lends the engine to run plugins: code that turns a file's bytes into entities and
//! entities into bytes.
//!
//! Guarantee: nothing here is trusted. What a plugin returns is checked before anything is written,
//! and a plugin reads through [`PluginQuery`] only, which writes nothing.
//!
//! Calls are synchronous and happen in the middle of a statement. A plugin may query while it is
//! called, so whoever calls one holds no exclusive borrow of anything that a query needs.

mod builtin;
pub(crate) mod loading;

use std::rc::Rc;

use bytes::Bytes;
use lix_engine_protocol::Result;
use lix_engine_protocol::proto::PluginFormat;

/// A plugin as it was asked for.
#[derive(Clone, Debug)]
pub struct PluginSource {
    /// Empty: the key that the code says.
    pub key: String,
    /// What the code is.
    pub format: PluginFormat,
    /// Empty for plugins that are built in.
    pub code: Bytes,
}

/// What a plugin says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Not empty, unique among the loaded.
    pub key: String,
    /// Which paths it wants, as SQLite's GLOB; none: it never detects anything.
    pub detect_changes_glob: Option<String>,
    /// It turns bytes into entities.
    pub detects: bool,
    /// It turns entities into bytes.
    pub applies: bool,
}

/// A file for a plugin to look at.
#[derive(Clone, Copy, Debug)]
pub struct PluginFile<'a> {
    /// A JSON object: `id`, `path`, `metadata` (object or null), `hidden` (boolean).
    pub descriptor: &'a str,
    /// The content.
    pub data: &'a [u8],
}

/// Plugins that are loaded, by their index in the order in which they were asked for.
///
/// Errors have a reason of code PLUGIN and the plugin's key as subject.
pub trait Plugins {
    /// One per plugin.
    fn manifests(&self) -> &[Manifest];

    /// Gives the plugins something to read from. Called once for each database that is opened.
    fn connect(&self, query: Rc<dyn PluginQuery>);

    /// What became of a file's entities. `before` is absent for content that the plugin has not
    /// seen. The answer is a JSON object:
    /// `{"schemas": [schema, …], "changes": [[index in schemas, entity_id, snapshot or null], …]}`.
    ///
    /// # Errors
    ///
    /// PLUGIN_ASYNC, PLUGIN_INVALID (a result of the wrong shape), PLUGIN_FAILED, PLUGIN_TIMEOUT.
    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Result<String>;

    /// A file's bytes, from all of its entities. `file` is a JSON object (`id`, `path`, `metadata`),
    /// `changes` too: `{"file_id", "plugin_key", "version_id", "rows": [[entity_id, schema_key,
    /// schema_version, created_at, change id, snapshot], …]}`, the rows in the order of schema key
    /// and entity id.
    ///
    /// # Errors
    ///
    /// As [`Plugins::detect_changes`].
    fn apply_changes(&self, plugin: usize, file: &str, changes: &str) -> Result<Vec<u8>>;
}

/// Synchronous reads for plugins, from the middle of the statement that called them.
pub trait PluginQuery {
    /// Runs one statement that only reads. `params` is a JSON array, the answer a JSON object:
    /// `{"columns": [name, …], "rows": [[value, …], …]}`. An integer beyond 2^53 is
    /// `{"integer": "…"}`, a blob `{"base64": "…"}`, both ways.
    ///
    /// # Errors
    ///
    /// READ_ONLY for a statement that writes; what SQLite says.
    fn query(&self, sql: &str, params: &str) -> Result<String>;
}
