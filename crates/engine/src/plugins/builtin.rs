//! The plugins of the conformance suite that an engine under test has built in; `conformance/README.md`
//! says what each does. The suite has the same as modules, so that loaders can be compared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value, json};

use super::{Manifest, PluginFile, PluginQuery, Plugins};
use crate::Platform;

/// Those that are asked for.
#[derive(Default)]
pub(super) struct Fixtures {
    kinds: Vec<&'static Kind>,
    manifests: Vec<Manifest>,
    surroundings: Surroundings,
}

#[derive(Default)]
struct Surroundings {
    query: RefCell<Option<Rc<dyn PluginQuery>>>,
    platform: Option<Arc<dyn Platform>>,
    timeout_ms: u32,
}

/// What a plugin is.
struct Kind {
    key: &'static str,
    /// The key that it says.
    says: &'static str,
    glob: &'static str,
    detect: Option<Detect>,
    apply: Option<Apply>,
}

type Detect = fn(&Surroundings, Option<&str>, &str, &Value) -> Result<Value>;
type Apply = fn(&Surroundings, &Entities) -> Result<String>;

/// A file's entities: their snapshots.
type Entities = BTreeMap<String, Value>;

impl Fixtures {
    pub(super) fn new(platform: Arc<dyn Platform>, timeout_ms: u32) -> Self {
        let surroundings =
            Surroundings { platform: Some(platform), timeout_ms, ..Default::default() };
        Self { surroundings, ..Self::default() }
    }

    /// Adds the plugin of that key, if there is one; its index.
    pub(super) fn add(&mut self, key: &str) -> Option<usize> {
        let kind = KINDS.iter().find(|kind| kind.key == key)?;
        self.manifests.push(Manifest {
            key: kind.says.into(),
            detect_changes_glob: Some(kind.glob.into()),
            detects: kind.detect.is_some(),
            applies: kind.apply.is_some(),
        });
        self.kinds.push(kind);
        Some(self.kinds.len() - 1)
    }
}

impl Plugins for Fixtures {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, query: Rc<dyn PluginQuery>) {
        *self.surroundings.query.borrow_mut() = Some(query);
    }

    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Result<String> {
        let Some(detect) = self.kinds[plugin].detect else {
            return failed("it does not detect changes");
        };
        let before = before.map(|file| String::from_utf8_lossy(file.data));
        let text = String::from_utf8_lossy(after.data);
        let descriptor = parsed(after.descriptor)?;
        let answer = detect(&self.surroundings, before.as_deref(), &text, &descriptor)?;
        Ok(answer.to_string())
    }

    fn apply_changes(&self, plugin: usize, _file: &str, changes: &str) -> Result<Vec<u8>> {
        let Some(apply) = self.kinds[plugin].apply else {
            return failed("it does not apply changes");
        };
        let changes = parsed(changes)?;
        let entity = |row: &Value| Some((row.get(0)?.as_str()?.to_owned(), row.get(5)?.clone()));
        let rows = changes["rows"].as_array().map_or(&[][..], |rows| rows);
        let entities = rows.iter().filter_map(entity).collect();
        apply(&self.surroundings, &entities).map(String::into_bytes)
    }
}

static KINDS: [Kind; 11] = [
    Kind::new("fx.lines", "*.lines", Some(detect_lines), Some(apply_lines)),
    Kind::new("fx.json", "*.json", Some(detect_json), Some(apply_json)),
    Kind::new("fx.size", "*.json", Some(detect_size), None),
    Kind::new("fx.count", "*.count", Some(detect_count), Some(apply_count)),
    Kind::new("fx.refuse", "*.refuse", Some(detect_refuse), Some(apply_refuse)),
    Kind::new("fx.slow", "*.slow", Some(detect_slow), Some(apply_slow)),
    Kind::new("fx.odd", "*.odd", Some(detect_odd), Some(|_, entities| Ok(text_of(entities)))),
    Kind::new("fx.sql", "*.sql", Some(detect_sql), Some(|_, entities| Ok(text_of(entities)))),
    Kind::new("fx.deaf", "*.deaf", Some(|_, _, _, _| answer(&[], vec![])), Some(apply_deaf)),
    Kind::new("fx.blind", "*.blind", None, Some(|_, _| Ok("blind".into()))),
    Kind { says: "fx.other", ..Kind::new("fx.wrongkey", "*.wrongkey", None, None) },
];

impl Kind {
    const fn new(
        key: &'static str,
        glob: &'static str,
        detect: Option<Detect>,
        apply: Option<Apply>,
    ) -> Self {
        Self { key, says: key, glob, detect, apply }
    }
}

fn detect_lines(_: &Surroundings, before: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    let lines = |text: Option<&str>| -> Vec<String> {
        let text = text.filter(|text| !text.is_empty());
        text.map_or(vec![], |text| text.split('\n').map(str::to_owned).collect())
    };
    let (before, after) = (lines(before), lines(Some(after)));
    let mut changes = Vec::new();
    for (index, line) in after.iter().enumerate() {
        if before.get(index) != Some(line) {
            changes.push(json!([0, (index + 1).to_string(), { "text": line }]));
        }
    }
    for index in after.len()..before.len() {
        changes.push(json!([0, (index + 1).to_string(), null]));
    }
    answer(&["fx_line", "text", "string"], changes)
}

fn apply_lines(_: &Surroundings, entities: &Entities) -> Result<String> {
    let mut lines: Vec<(u64, &str)> = entities
        .iter()
        .map(|(id, snapshot)| (id.parse().unwrap_or(0), text_in(snapshot)))
        .collect();
    lines.sort_unstable();
    Ok(lines.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n"))
}

fn detect_json(_: &Surroundings, before: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    let properties = |text: Option<&str>| -> Result<Map<String, Value>> {
        match text.filter(|text| !text.is_empty()).map(serde_json::from_str) {
            None => Ok(Map::new()),
            Some(Ok(Value::Object(properties))) => Ok(properties),
            Some(_) => failed("the text is no JSON object"),
        }
    };
    let (before, after) = (properties(before)?, properties(Some(after))?);
    let mut changes = Vec::new();
    for (name, value) in &after {
        if before.get(name).map(Value::to_string) != Some(value.to_string()) {
            changes.push(json!([0, name, { "value": value }]));
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.push(json!([0, name, null]));
    }
    answer(&["fx_property", "value", ""], changes)
}

fn apply_json(_: &Surroundings, entities: &Entities) -> Result<String> {
    let value = |snapshot: &Value| snapshot.get("value").cloned().unwrap_or_default();
    let properties: Map<String, Value> =
        entities.iter().map(|(name, snapshot)| (name.clone(), value(snapshot))).collect();
    Ok(Value::from(properties).to_string())
}

fn detect_size(_: &Surroundings, _: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    number_answer(&[("size", after.len() as i64)])
}

fn detect_count(
    around: &Surroundings,
    _: Option<&str>,
    _: &str,
    descriptor: &Value,
) -> Result<Value> {
    let count = |sql: &str, value: &Value| -> Result<i64> {
        let answer = around.ask(sql, &json!([value]))?;
        Ok(answer["rows"][0][0].as_i64().unwrap_or(-1))
    };
    let mine = "select count(*) as n from state where plugin_key = ?";
    let descriptors = "select count(*) as n from state where entity_id = ? and schema_key = 'lix_file_descriptor'";
    number_answer(&[
        ("descriptors", count(descriptors, &descriptor["id"])?),
        ("mine", count(mine, &json!("fx.count"))?),
    ])
}

fn apply_count(_: &Surroundings, entities: &Entities) -> Result<String> {
    let number = |name: &str| {
        entities.get(name).map_or(0, |snapshot| match &snapshot["number"] {
            Value::Number(number) => number.as_i64().unwrap_or(0),
            _ => 0,
        })
    };
    Ok(format!("descriptors={} mine={}", number("descriptors"), number("mine")))
}

fn detect_refuse(_: &Surroundings, _: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    match after.contains("refuse") {
        true => failed("the text says refuse"),
        false => text_answer(after),
    }
}

fn apply_refuse(_: &Surroundings, entities: &Entities) -> Result<String> {
    let text = text_of(entities);
    if text.contains("unreadable") { failed("the text says unreadable") } else { Ok(text) }
}

fn detect_slow(around: &Surroundings, _: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    around.burn(after.strip_prefix("detect "))?;
    text_answer(after)
}

fn apply_slow(around: &Surroundings, entities: &Entities) -> Result<String> {
    let text = text_of(entities);
    around.burn(text.strip_prefix("apply "))?;
    Ok(text)
}

fn detect_odd(_: &Surroundings, _: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    let good = schema("fx_text", "text", "string");
    let odd = |changes: Value| Ok(json!({ "schemas": [good], "changes": changes }));
    match after {
        "twice" => odd(json!([[0, "a", { "text": "1" }], [0, "a", { "text": "2" }]])),
        "empty-id" => odd(json!([[0, "", { "text": "" }]])),
        "number-id" => odd(json!([[0, 1, { "text": "" }]])),
        "no-schema" => odd(json!([[null, "a", { "text": "" }]])),
        "no-snapshot" => odd(json!([[0, "a"]])),
        "text-snapshot" => odd(json!([[0, "a", "text"]])),
        "no-list" => odd(json!({})),
        "mismatch" => odd(json!([[0, "a", { "text": 1 }]])),
        "gone" => odd(json!([[0, "nowhere", null]])),
        "keyless-schema" => Ok(json!({
            "schemas": [{ "type": "object" }],
            "changes": [[0, "a", { "text": "" }]],
        })),
        "own-schema" => Ok(json!({
            "schemas": [schema("lix_key_value", "text", "string")],
            "changes": [[0, "a", { "text": "" }]],
        })),
        "changed-schema" => Ok(json!({
            "schemas": [schema("fx_text", "text", "number")],
            "changes": [[0, "a", { "text": 1 }]],
        })),
        "reordered-schema" => {
            let reversed: Map<String, Value> = good
                .as_object()
                .into_iter()
                .flatten()
                .rev()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            Ok(json!({ "schemas": [reversed], "changes": [[0, "text", { "text": after }]] }))
        }
        _ => text_answer(after),
    }
}

fn detect_sql(around: &Surroundings, _: Option<&str>, after: &str, _: &Value) -> Result<Value> {
    text_answer(&around.ask(after, &json!([]))?.to_string())
}

fn apply_deaf(_: &Surroundings, entities: &Entities) -> Result<String> {
    Ok(format!("deaf to {}", entities.len()))
}

impl Surroundings {
    fn ask(&self, sql: &str, params: &Value) -> Result<Value> {
        let query = self.query.borrow().clone();
        let Some(query) = query else { return failed("there is nothing to read") };
        match query.query(sql, &params.to_string()) {
            Ok(answer) => parsed(&answer),
            Err(error) => failed(&format!("{}: {}", error.reason.as_str(), error.message)),
        }
    }

    /// Works for so many steps, or until the time is over.
    fn burn(&self, steps: Option<&str>) -> Result<()> {
        let steps = match steps {
            None => 0,
            Some("forever") => u64::MAX,
            Some(steps) => steps.parse().unwrap_or(0),
        };
        let now_ms = || self.platform.as_ref().map_or(0, |platform| platform.monotonic_ms());
        let start_ms = now_ms();
        let mut state = 1_u64;
        for step in 0..steps {
            state = std::hint::black_box(state ^ (state << 7) ^ (state >> 9));
            if step % 4096 == 4095 && now_ms() - start_ms > u64::from(self.timeout_ms) {
                let message = format!("the call took more than {} ms", self.timeout_ms);
                return Err(Error::new(Reason::PluginTimeout, message));
            }
        }
        Ok(())
    }
}

fn text_answer(text: &str) -> Result<Value> {
    answer(&["fx_text", "text", "string"], vec![json!([0, "text", { "text": text }])])
}

fn number_answer(numbers: &[(&str, i64)]) -> Result<Value> {
    let change = |(id, number): &(&str, i64)| json!([0, id, { "number": number }]);
    answer(&["fx_number", "number", "integer"], numbers.iter().map(change).collect())
}

/// What [`Plugins::detect_changes`] answers, with changes of one schema.
fn answer(of: &[&str], changes: Vec<Value>) -> Result<Value> {
    let schemas: Vec<Value> = match of {
        [key, property, kind] => vec![schema(key, property, kind)],
        _ => vec![],
    };
    Ok(json!({ "schemas": schemas, "changes": changes }))
}

/// An object with one property, which is needed.
fn schema(key: &str, property: &str, kind: &str) -> Value {
    let values = if kind.is_empty() { json!({}) } else { json!({ "type": kind }) };
    json!({
        "x-lix-key": key,
        "x-lix-version": "1.0",
        "type": "object",
        "properties": { property: values },
        "required": [property],
        "additionalProperties": false,
    })
}

fn text_of(entities: &Entities) -> String {
    entities.get("text").map(text_in).unwrap_or_default().to_owned()
}

fn text_in(snapshot: &Value) -> &str {
    snapshot.get("text").and_then(Value::as_str).unwrap_or_default()
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).or_else(|error| failed(&error.to_string()))
}

fn failed<T>(message: &str) -> Result<T> {
    Err(Error::new(Reason::PluginFailed, message))
}
