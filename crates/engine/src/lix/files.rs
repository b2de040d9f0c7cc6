//! Files: a path, what is said about it, and bytes.
//!
//! Guarantee: what a file shows is a function of the state. Its descriptor is an entity; its content
//! is the entities that a plugin made of its bytes, and reading makes bytes of them again. So
//! whatever changes entities (a merge, a transition, a write through `state`) changes the file, and
//! nothing but entities has a history. Reading writes nothing.
//!
//! A file that no plugin looks at has one entity as well. It names the bytes by their hash; they lie
//! in `_lix_blob`, once.
//!
//! Plugins are called in the middle of statements, and may read what the statement has written so
//! far. Nothing here is borrowed meanwhile.

mod blobs;
mod content;
mod detected;
mod handlers;
mod history;
mod logs;
mod rows;
mod summary;
mod written;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value, json};

use super::json;
use super::state::Key;
use super::{FALLBACK_PLUGIN, LIX_FILE, Lix};
use crate::Plugins;
use crate::sqlite::glob::glob;
pub(crate) use handlers::{FileChange, NewFile};
pub(crate) use history::FileState;
pub(crate) use rows::Newest;
use summary::Summary;

/// What there is to say about a file besides its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Descriptor {
    pub(crate) id: Rc<str>,
    pub(crate) path: Rc<str>,
    /// An object or null.
    metadata: Value,
    hidden: bool,
}

/// Whose entities are a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// A plugin, by its number.
    Plugin(usize),
    /// Nobody took the bytes apart.
    Fallback,
    /// A plugin that is not there, or that makes no bytes of entities.
    Missing(Rc<str>),
    /// There are no entities, and nobody whose they could be.
    Nobody,
}

/// What is kept in memory of files, and dropped whenever one may have changed.
#[derive(Default)]
pub(crate) struct Files {
    /// By file.
    kept: RefCell<HashMap<Rc<str>, ByVersion>>,
    bytes: Cell<usize>,
    /// How many plugins are being called, one from within another.
    depth: Cell<u32>,
    /// The version that the innermost of them works for.
    seen_from: RefCell<Option<Rc<str>>>,
}

type ByVersion = HashMap<Rc<str>, Kept>;

/// Of one file in one version.
#[derive(Clone, Default)]
struct Kept {
    /// With the descriptor that the plugin was given.
    data: Option<(Rc<str>, Rc<[u8]>)>,
    summary: Option<Rc<Summary>>,
}

impl Descriptor {
    /// What an entity says. One that was written by hand may say strange things.
    pub(crate) fn of(entity_id: &Rc<str>, content: &Map<String, Value>) -> Self {
        let text = |name: &str| content.get(name).and_then(Value::as_str).map(Rc::from);
        let metadata = content.get("metadata").filter(|metadata| metadata.is_object());
        Self {
            id: text("id").unwrap_or_else(|| entity_id.clone()),
            path: text("path").unwrap_or_default(),
            metadata: metadata.cloned().unwrap_or_default(),
            hidden: match content.get("hidden") {
                Some(Value::Bool(hidden)) => *hidden,
                Some(Value::Number(number)) => number.as_i64() != Some(0),
                _ => false,
            },
        }
    }

    pub(crate) fn from_snapshot(entity_id: &Rc<str>, snapshot: Option<&str>) -> Self {
        Self::of(entity_id, &json::object(snapshot))
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// The key of the file's entity.
    pub(crate) fn key(id: &Rc<str>) -> Key {
        Key { schema_key: SCHEMA.into(), entity_id: id.clone(), file_id: id.clone() }
    }

    /// As plugins that detect changes get it.
    fn whole(&self) -> String {
        let Self { id, path, metadata, hidden } = self;
        json!({"id": &**id, "path": &**path, "metadata": metadata, "hidden": hidden}).to_string()
    }

    /// As plugins that apply changes get it.
    fn short(&self) -> String {
        let Self { id, path, metadata, .. } = self;
        json!({"id": &**id, "path": &**path, "metadata": metadata}).to_string()
    }
}

impl Lix {
    fn plugins(&self) -> Option<Rc<dyn Plugins>> {
        self.plugins.borrow().clone()
    }

    /// The plugins that look at what is written to a path, in the order in which they were loaded.
    fn lookers(&self, path: &str) -> Vec<usize> {
        let Some(plugins) = self.plugins() else { return vec![] };
        let looks = |(number, plugin): (usize, &crate::Manifest)| {
            let matches =
                plugin.detect_changes_glob.as_ref().is_some_and(|pattern| glob(pattern, path));
            (matches && plugin.detects).then_some(number)
        };
        plugins.manifests().iter().enumerate().filter_map(looks).collect()
    }

    /// Whose the content is: of those who have entities the first that can make bytes of them, one
    /// that the path belongs to before others.
    fn owner<'a>(
        &self,
        path: &str,
        keys: impl Iterator<Item = &'a Rc<str>> + Clone,
        without_any: impl FnOnce() -> Result<Option<Rc<str>>>,
    ) -> Result<Owner> {
        let plugins = self.plugins();
        let manifests = plugins.as_ref().map_or(&[][..], |plugins| plugins.manifests());
        let matches = |plugin: &crate::Manifest| {
            plugin.detect_changes_glob.as_ref().is_some_and(|pattern| glob(pattern, path))
        };
        let first = |wants: &dyn Fn(&crate::Manifest) -> bool| {
            manifests.iter().position(|plugin| plugin.applies && wants(plugin)).map(Owner::Plugin)
        };
        let of = |keys: &dyn Fn(&str) -> bool| {
            first(&|plugin| keys(&plugin.key) && matches(plugin))
                .or_else(|| first(&|plugin| keys(&plugin.key)))
        };
        if let Some(owner) = of(&|key| keys.clone().any(|other| **other == *key)) {
            return Ok(owner);
        }
        if let Some(key) = keys.clone().find(|key| &***key != FALLBACK_PLUGIN) {
            return Ok(Owner::Missing(key.clone()));
        }
        if keys.clone().next().is_some() {
            return Ok(Owner::Fallback);
        }
        // Without entities it is for whoever the path belongs to.
        if let Some(owner) = first(&matches) {
            return Ok(owner);
        }
        let found_none = without_any()?;
        let by_key = |key: Rc<str>| of(&|other| *key == *other).unwrap_or(Owner::Missing(key));
        Ok(found_none.map_or(Owner::Nobody, by_key))
    }

    /// Calls a plugin on behalf of a version: that is the one which counts as active meanwhile.
    fn call_plugin<T>(
        &self,
        version_id: &Rc<str>,
        number: usize,
        call: impl FnOnce(&dyn Plugins) -> Result<T>,
    ) -> Result<T> {
        let plugins = self.plugins().expect("there is a plugin of that number");
        let key = plugins.manifests()[number].key.clone();
        if self.files.depth.get() >= MAX_DEPTH {
            let message =
                format!("plugin '{key}': what it reads makes it be called again and again");
            return Err(Error::new(Reason::PluginFailed, message).subject(key));
        }
        let _called = Called::new(&self.files, version_id);
        let result = call(&*plugins);
        // A plugin that catches what interrupted its query would go on with half of the truth.
        self.sql.link().check_interrupts()?;
        result.map_err(|error| match error.subject.is_empty() {
            true => error.subject(key),
            false => error,
        })
    }

    /// The version that a plugin works for which is being called.
    pub(crate) fn seen_from(&self) -> Option<Rc<str>> {
        match self.files.depth.get() {
            0 => None,
            _ => self.files.seen_from.borrow().clone(),
        }
    }

    /// A row of a file changed in a version: what is kept of it may be wrong there, and wherever it
    /// is inherited.
    pub(crate) fn file_changed(&self, version_id: &str, file_id: &str) -> Result<()> {
        if file_id == LIX_FILE || !self.files.kept.borrow().contains_key(file_id) {
            return Ok(());
        }
        let mut kept = self.files.kept.borrow().get(file_id).cloned().unwrap_or_default();
        let mut gone = Vec::new();
        for viewer in kept.keys() {
            if self.levels(viewer)?.iter().any(|level| *level.version_id == *version_id) {
                gone.push(viewer.clone());
            }
        }
        for viewer in gone {
            kept.remove(&viewer);
        }
        let mut files = self.files.kept.borrow_mut();
        match kept.is_empty() {
            true => drop(files.remove(file_id)),
            false => drop(files.insert(file_id.into(), kept)),
        }
        Ok(())
    }
}

impl Files {
    /// Nothing that is kept holds any more.
    pub(crate) fn forget(&self) {
        self.kept.borrow_mut().clear();
        self.bytes.set(0);
    }

    fn kept(&self, version_id: &str, file_id: &str) -> Option<Kept> {
        self.kept.borrow().get(file_id)?.get(version_id).cloned()
    }

    fn keep(&self, version_id: &Rc<str>, file_id: &Rc<str>, change: impl FnOnce(&mut Kept)) {
        if self.bytes.get() > MAX_BYTES {
            self.forget();
        }
        let mut kept = self.kept.borrow_mut();
        let entry = kept.entry(file_id.clone()).or_default().entry(version_id.clone()).or_default();
        change(entry);
        // What is dropped is counted until everything is.
        let data = entry.data.as_ref().map_or(0, |(_, data)| data.len());
        self.bytes.set(self.bytes.get() + data + 512);
    }
}

/// While it lives, a plugin is being called.
struct Called<'a> {
    files: &'a Files,
    seen_from: Option<Rc<str>>,
}

impl<'a> Called<'a> {
    fn new(files: &'a Files, version_id: &Rc<str>) -> Self {
        files.depth.set(files.depth.get() + 1);
        Self { files, seen_from: files.seen_from.replace(Some(version_id.clone())) }
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.files.depth.set(self.files.depth.get() - 1);
        self.files.seen_from.replace(self.seen_from.take());
    }
}

/// The schema of descriptors.
pub(crate) const SCHEMA: &str = "lix_file_descriptor";
/// A plugin that reads a file whose reading calls a plugin, and so on.
const MAX_DEPTH: u32 = 8;
/// Of content that is kept in memory.
const MAX_BYTES: usize = 16 * 1024 * 1024;
