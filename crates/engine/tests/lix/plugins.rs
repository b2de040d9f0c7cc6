//! Plugins written for tests: what they do is a function, and every call is noted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use lix_engine_core::{Manifest, PluginFile, PluginQuery, Plugins};
use lix_engine_protocol::{Error, Reason};
use serde_json::{Value, json};

/// What a plugin finds out about, and can ask.
pub(crate) struct Seen<'a> {
    pub(crate) before: Option<(Value, &'a [u8])>,
    pub(crate) after: (Value, &'a [u8]),
    query: &'a dyn PluginQuery,
}

type Answer<T> = Result<T, Error>;
type Detect = Box<dyn Fn(&Seen<'_>) -> Answer<Value>>;
type Apply = Box<dyn Fn(&Value, &Value, &dyn PluginQuery) -> Answer<Vec<u8>>>;

/// A plugin.
pub(crate) struct Plugin {
    pub(crate) key: &'static str,
    pub(crate) glob: Option<&'static str>,
    pub(crate) detect: Option<Detect>,
    pub(crate) apply: Option<Apply>,
}

/// What was called: `detect json /a.json (before)`, `apply json /a.json 3`.
pub(crate) type Calls = Rc<RefCell<Vec<String>>>;

/// Plugins that are loaded.
pub(crate) struct Loaded {
    plugins: Vec<Plugin>,
    manifests: Vec<Manifest>,
    query: RefCell<Option<Rc<dyn PluginQuery>>>,
    calls: Calls,
}

impl Loaded {
    pub(crate) fn new(plugins: Vec<Plugin>, calls: &Calls) -> Self {
        let manifest = |plugin: &Plugin| Manifest {
            key: plugin.key.into(),
            detect_changes_glob: plugin.glob.map(str::to_owned),
            detects: plugin.detect.is_some(),
            applies: plugin.apply.is_some(),
        };
        let manifests = plugins.iter().map(manifest).collect();
        Self { plugins, manifests, query: RefCell::default(), calls: calls.clone() }
    }
}

impl Plugins for Loaded {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, query: Rc<dyn PluginQuery>) {
        *self.query.borrow_mut() = Some(query);
    }

    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Answer<String> {
        let parse =
            |file: PluginFile<'_>| -> Value { serde_json::from_str(file.descriptor).unwrap() };
        let plugin = &self.plugins[plugin];
        let path = parse(after)["path"].as_str().unwrap().to_owned();
        let had = if before.is_some() { " before" } else { "" };
        self.calls.borrow_mut().push(format!("detect {} {path}{had}", plugin.key));
        let query = self.query.borrow().clone().expect("it is connected");
        let seen = Seen {
            before: before.map(|file| (parse(file), file.data)),
            after: (parse(after), after.data),
            query: &*query,
        };
        plugin.detect.as_ref().expect("it detects")(&seen).map(|answer| answer.to_string())
    }

    fn apply_changes(&self, plugin: usize, file: &str, changes: &str) -> Answer<Vec<u8>> {
        let plugin = &self.plugins[plugin];
        let file: Value = serde_json::from_str(file).unwrap();
        let changes: Value = serde_json::from_str(changes).unwrap();
        let count = changes["rows"].as_array().unwrap().len();
        let path = file["path"].as_str().unwrap();
        self.calls.borrow_mut().push(format!("apply {} {path} {count}", plugin.key));
        let query = self.query.borrow().clone().expect("it is connected");
        plugin.apply.as_ref().expect("it applies")(&file, &changes, &*query)
    }
}

impl Seen<'_> {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.after.1).expect("text")
    }

    /// The rows of a query.
    pub(crate) fn ask(&self, sql: &str, params: Value) -> Value {
        ask(self.query, sql, params)
    }
}

pub(crate) fn ask(query: &dyn PluginQuery, sql: &str, params: Value) -> Value {
    let answer = query.query(sql, &params.to_string()).expect("a query");
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    answer["rows"].take()
}

pub(crate) fn failed(message: &str) -> Error {
    Error::new(Reason::PluginFailed, message)
}

/// `{schemas, changes}` of one schema.
pub(crate) fn answer(schema: Value, changes: Vec<(String, Option<Value>)>) -> Value {
    let changes: Vec<Value> =
        changes.into_iter().map(|(id, snapshot)| json!([0, id, snapshot])).collect();
    json!({"schemas": [schema], "changes": changes})
}

/// One entity for each line, its number the id.
pub(crate) fn lines() -> Plugin {
    Plugin {
        key: "lines",
        glob: Some("*.txt"),
        detect: Some(Box::new(|seen| {
            let lines = |data: &[u8]| -> Vec<String> {
                let text = std::str::from_utf8(data).expect("text");
                text.split_inclusive('\n').map(str::to_owned).collect()
            };
            let before = seen.before.as_ref().map_or(vec![], |(_, data)| lines(data));
            let after = lines(seen.after.1);
            let mut changes = Vec::new();
            for (number, line) in after.iter().enumerate() {
                if before.get(number) != Some(line) {
                    changes.push((format!("{number:06}"), Some(json!({"text": line}))));
                }
            }
            for number in after.len()..before.len() {
                changes.push((format!("{number:06}"), None));
            }
            Ok(answer(line_schema(), changes))
        })),
        apply: Some(Box::new(|_, changes, _| {
            let rows = changes["rows"].as_array().unwrap();
            let text: String = rows.iter().map(|row| row[5]["text"].as_str().unwrap()).collect();
            Ok(text.into_bytes())
        })),
    }
}

pub(crate) fn line_schema() -> Value {
    json!({
        "x-lix-key": "line", "x-lix-version": "1.0", "type": "object",
        "properties": {"text": {"type": "string"}}, "required": ["text"],
        "additionalProperties": false,
    })
}

/// One entity for each member of an object; empty content is an empty object.
pub(crate) fn json_members(key: &'static str) -> Plugin {
    Plugin {
        key,
        glob: Some("*.json"),
        detect: Some(Box::new(|seen| {
            let before = seen.before.as_ref().map(|(_, data)| members(data)).transpose()?;
            let before = before.unwrap_or_default();
            let after = members(seen.after.1)?;
            let mut changes = Vec::new();
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                changes.push((name.clone(), None));
            }
            for (name, value) in &after {
                if before.get(name) != Some(value) {
                    changes.push((name.clone(), Some(json!({"value": value}))));
                }
            }
            Ok(answer(member_schema(), changes))
        })),
        apply: Some(Box::new(|_, changes, _| {
            let rows = changes["rows"].as_array().unwrap();
            let member =
                |row: &Value| (row[0].as_str().unwrap().to_owned(), row[5]["value"].clone());
            let object: BTreeMap<String, Value> = rows.iter().map(member).collect();
            Ok(serde_json::to_vec(&object).unwrap())
        })),
    }
}

pub(crate) fn member_schema() -> Value {
    json!({
        "x-lix-key": "member", "x-lix-version": "1.0", "type": "object",
        "properties": {"value": {}}, "required": ["value"],
    })
}

fn members(data: &[u8]) -> Answer<BTreeMap<String, Value>> {
    if data.is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_slice(data).map_err(|error| failed(&format!("no JSON object: {error}")))
}
