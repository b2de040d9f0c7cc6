//! Plugins that JavaScript runs. Their rules are kept over there; this carries text and bytes to and
//! fro.
//!
//! A plugin that is called may query, from within the call. That reaches the database by a closure
//! of its own and never comes near the session, which is busy with the statement.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, JSON, JsString, Object, Reflect, Uint8Array};
use lix_engine_core::{Manifest, PluginFile, PluginQuery, PluginSource, Plugins};
use lix_engine_protocol::proto::PluginFormat;
use lix_engine_protocol::{Error, Reason, Result};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Where plugins are loaded; absent in a shell that cannot.
    pub type PluginLoader;

    /// It has plugins that need no code.
    #[wasm_bindgen(structural, method, getter, js_name = hasOwn)]
    fn has_own(this: &PluginLoader) -> bool;

    /// Begins to load plugins: one key each, and one text, or undefined for one of the loader's own.
    /// `pluginsLoaded` or `pluginsFailed` of the shell ends it, later.
    #[wasm_bindgen(structural, method)]
    fn load(this: &PluginLoader, keys: Array, codes: Array, timeout_ms: u32);

    /// Plugins that are loaded: `PluginRuntime` of the TypeScript side.
    pub type PluginRuntime;

    #[wasm_bindgen(structural, method)]
    fn manifests(this: &PluginRuntime) -> String;

    #[wasm_bindgen(structural, method)]
    fn connect(this: &PluginRuntime, query: &Closure<Query>);

    #[wasm_bindgen(structural, method, catch, js_name = detectChanges)]
    fn detect_changes(
        this: &PluginRuntime,
        plugin: u32,
        before: Option<&str>,
        before_data: Option<Uint8Array>,
        after: &str,
        after_data: Uint8Array,
    ) -> std::result::Result<String, JsValue>;

    #[wasm_bindgen(structural, method, catch, js_name = applyChanges)]
    fn apply_changes(
        this: &PluginRuntime,
        plugin: u32,
        file: &str,
        changes: &str,
    ) -> std::result::Result<Uint8Array, JsValue>;

    type Described;

    #[wasm_bindgen(structural, method, getter)]
    fn key(this: &Described) -> String;

    #[wasm_bindgen(structural, method, getter, js_name = detectChangesGlob)]
    fn glob(this: &Described) -> Option<String>;

    #[wasm_bindgen(structural, method, getter)]
    fn detects(this: &Described) -> bool;

    #[wasm_bindgen(structural, method, getter)]
    fn applies(this: &Described) -> bool;

    type Thrown;

    #[wasm_bindgen(structural, method, getter)]
    fn reason(this: &Thrown) -> Option<String>;

    #[wasm_bindgen(structural, method, getter)]
    fn message(this: &Thrown) -> Option<String>;

    #[wasm_bindgen(structural, method, getter)]
    fn subject(this: &Thrown) -> Option<String>;
}

/// What a plugin's read looks like from JavaScript; it throws `{ reason, message }`.
type Query = dyn Fn(String, String) -> std::result::Result<String, JsValue>;

impl PluginLoader {
    pub(crate) fn formats(&self) -> &'static [PluginFormat] {
        if self.has_own() {
            &[PluginFormat::Esm, PluginFormat::Builtin]
        } else {
            &[PluginFormat::Esm]
        }
    }

    pub(crate) fn begin(&self, sources: &[PluginSource], timeout_ms: u32) {
        let keys = sources.iter().map(|source| JsValue::from_str(&source.key)).collect();
        let codes = sources.iter().map(|source| match source.format {
            PluginFormat::Builtin => JsValue::UNDEFINED,
            _ => JsValue::from_str(&String::from_utf8_lossy(&source.code)),
        });
        self.load(keys, codes.collect(), timeout_ms);
    }
}

/// What was loaded.
pub(crate) struct Loaded {
    runtime: PluginRuntime,
    manifests: Vec<Manifest>,
    /// JavaScript can call it as long as it is here.
    query: RefCell<Option<Closure<Query>>>,
}

impl Loaded {
    pub(crate) fn new(runtime: PluginRuntime) -> Loaded {
        let described: Array =
            JSON::parse(&runtime.manifests()).expect("the runtime writes JSON").unchecked_into();
        let manifests = described.iter().map(|each| {
            let each: Described = each.unchecked_into();
            Manifest {
                key: each.key(),
                detect_changes_glob: each.glob(),
                detects: each.detects(),
                applies: each.applies(),
            }
        });
        Loaded { manifests: manifests.collect(), runtime, query: RefCell::new(None) }
    }
}

impl Plugins for Loaded {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, query: Rc<dyn PluginQuery>) {
        let query = move |sql: String, params: String| query.query(&sql, &params).map_err(told);
        let query: Closure<Query> = Closure::new(query);
        self.runtime.connect(&query);
        self.query.replace(Some(query));
    }

    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Result<String> {
        let (before, before_data) =
            before.map(|file| (file.descriptor, Uint8Array::from(file.data))).unzip();
        let after_data = Uint8Array::from(after.data);
        let index = plugin as u32;
        self.runtime
            .detect_changes(index, before, before_data, after.descriptor, after_data)
            .map_err(thrown)
    }

    fn apply_changes(&self, plugin: usize, file: &str, changes: &str) -> Result<Vec<u8>> {
        let bytes = self.runtime.apply_changes(plugin as u32, file, changes).map_err(thrown)?;
        Ok(bytes.to_vec())
    }
}

/// Why plugins cannot be loaded, as JavaScript names it. An unknown reason is PLUGIN_LOAD.
pub(crate) fn failure(reason: &str, message: &str, subject: &str) -> Error {
    Error::new(known(reason).unwrap_or(Reason::PluginLoad), message).subject(subject)
}

/// What the runtime threw. Anything else is no failure of a plugin: the engine trapped while the
/// plugin was reading, say. That ends it, whatever the plugin made of it.
fn thrown(error: JsValue) -> Error {
    if error.is_object() {
        let fields: &Thrown = error.unchecked_ref();
        if let Some(reason) = fields.reason().as_deref().and_then(known) {
            return Error::new(reason, fields.message().unwrap_or_default())
                .subject(fields.subject().unwrap_or_default());
        }
    }
    wasm_bindgen::throw_val(error)
}

fn known(reason: &str) -> Option<Reason> {
    let all = [
        Reason::PluginLoad,
        Reason::PluginInvalid,
        Reason::PluginDuplicate,
        Reason::PluginAsync,
        Reason::PluginFailed,
        Reason::PluginTimeout,
    ];
    all.into_iter().find(|known| known.as_str() == reason)
}

/// An error of the engine's, for a plugin to see.
fn told(error: Error) -> JsValue {
    let object = Object::new();
    for (name, value) in [("reason", error.reason.as_str()), ("message", &*error.message)] {
        let name = JsString::from(name);
        Reflect::set(&object, &name, &JsString::from(value)).expect("an object takes properties");
    }
    object.into()
}
