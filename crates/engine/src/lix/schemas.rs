//! Schemas: what the entities of a key must look like.
//!
//! Guarantee: a document that compiled can be asked about any content and answers; one that did not
//! lets nothing in.

pub(crate) mod builtin;
mod pattern;
mod validate;

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::json;
use builtin::Builtin;
use validate::{Validator, shown};

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) key: Rc<str>,
    pub(crate) version: Rc<str>,
    /// The names of the properties, in the order of the document.
    #[cfg(test)]
    pub(crate) properties: Vec<Rc<str>>,
    /// Empty: it declares none.
    pub(crate) primary_key: Rc<[Rc<str>]>,
    pub(crate) unique: Vec<Rc<[Rc<str>]>>,
    pub(crate) foreign_keys: Vec<Rc<ForeignKey>>,
    pub(crate) document: Value,
    validator: Validator,
    conversions: Vec<(Rc<str>, Conversion)>,
}

/// Properties that name a row of another schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    pub(crate) properties: Rc<[Rc<str>]>,
    /// A schema key, `state` or `lix_change`.
    pub(crate) schema_key: Rc<str>,
    pub(crate) referenced: Rc<[Rc<str>]>,
    /// The referenced schema must be stored in this version.
    pub(crate) schema_version: Option<Rc<str>>,
    /// Not checked when the referencing row is written.
    pub(crate) materialized: bool,
}

/// How a property is taken for the check, for the sake of values that came through SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    /// A string for the JSON it holds.
    Object,
    /// 0 and 1 for false and true.
    Boolean,
}

impl Schema {
    /// From a document, or from a string that holds one. VALIDATION "The provided schema is not a
    /// valid lix schema: …" if it is none.
    pub(crate) fn compile(document: &Value) -> Result<Rc<Self>> {
        let document = unwrapped(document)?;
        Self::compile_document(document).map(Rc::new)
    }

    fn compile_document(document: Value) -> Result<Self> {
        let Value::Object(root) = &document else {
            return Err(not_a_schema("it is no JSON object"));
        };
        let key = text(root, KEY).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| not_a_schema(format!("it must have a string '{KEY}'")))?;
        let version =
            text(root, VERSION).filter(|version| is_version(version)).ok_or_else(|| {
                not_a_schema(format!("it must have a '{VERSION}' of the form '<major>.<minor>'"))
            })?;
        if root.get("type").is_some_and(|kind| kind != "object") {
            return Err(not_a_schema("its type must be 'object'"));
        }
        let validator = Validator::compile(&document).map_err(not_a_schema)?;

        let declared = root.get("properties").and_then(Value::as_object);
        let properties: Vec<Rc<str>> =
            declared.into_iter().flat_map(Map::keys).map(|name| name.as_str().into()).collect();
        let primary_key = match root.get(PRIMARY_KEY) {
            Some(names) => own_names(PRIMARY_KEY, names, &properties)?,
            None => Rc::default(),
        };
        let lists = |keyword: &str| match root.get(keyword) {
            None => Ok(&[][..]),
            Some(Value::Array(lists)) => Ok(&**lists),
            Some(_) => Err(not_a_schema(format!("{keyword} must be an array"))),
        };
        let unique = lists(UNIQUE)?
            .iter()
            .map(|names| match names.as_array().is_some_and(|names| !names.is_empty()) {
                true => own_names(UNIQUE, names, &properties),
                false => Err(not_a_schema(format!("{UNIQUE} must be an array of arrays of names"))),
            })
            .collect::<Result<_>>()?;
        let foreign_keys = lists(FOREIGN_KEYS)?
            .iter()
            .map(|foreign_key| ForeignKey::compile(foreign_key, &properties).map(Rc::new))
            .collect::<Result<_>>()?;
        let conversions = declared
            .into_iter()
            .flatten()
            .filter_map(|(name, schema)| Some((name.as_str().into(), Conversion::of(schema)?)))
            .collect();
        let (key, version) = (key.into(), version.into());
        Ok(Self {
            key,
            version,
            #[cfg(test)]
            properties,
            primary_key,
            unique,
            foreign_keys,
            document,
            validator,
            conversions,
        })
    }

    /// Whether content fits. SCHEMA_MISMATCH with a line for each problem if it does not.
    pub(crate) fn validate(&self, content: &Map<String, Value>) -> Result<()> {
        let problems = match self.converted(content)? {
            Some(converted) => self.validator.problems_of(&converted),
            None => self.validator.problems_of(content),
        };
        if problems.is_empty() {
            return Ok(());
        }
        let mut message = self.mismatch();
        for problem in problems {
            let place = if problem.path.is_empty() { "content" } else { &problem.path };
            message +=
                &format!("\n{place} {}. Received value: {}", problem.message, problem.received);
        }
        Err(Error::new(Reason::SchemaMismatch, message).subject(&*self.key))
    }

    /// The content with its conversions; none: there is nothing to convert.
    fn converted(&self, content: &Map<String, Value>) -> Result<Option<Map<String, Value>>> {
        let mut converted: Option<Map<String, Value>> = None;
        for (name, conversion) in &self.conversions {
            let value = match (conversion, content.get(&**name)) {
                (Conversion::Object, Some(Value::String(text))) => {
                    json::parse(text).map_err(|refused| {
                        let mismatch = self.mismatch();
                        let shown = shown(&content[&**name]);
                        let message = format!(
                            "{mismatch}\nInvalid JSON in property '{name}': {refused}. Received value: {shown}"
                        );
                        Error::new(Reason::SchemaMismatch, message).subject(&*self.key)
                    })?
                }
                (Conversion::Boolean, Some(Value::Number(number))) => match number.as_i64() {
                    Some(flag @ 0..=1) => Value::Bool(flag == 1),
                    _ => continue,
                },
                _ => continue,
            };
            let converted = converted.get_or_insert_with(|| content.clone());
            converted.insert(name.to_string(), value);
        }
        Ok(converted)
    }

    fn mismatch(&self) -> String {
        let Self { key, version, .. } = self;
        format!("The provided snapshot content does not match the schema '{key}' ({version}).")
    }
}

impl ForeignKey {
    fn compile(document: &Value, properties: &[Rc<str>]) -> Result<Self> {
        let wrong = |problem: &str| not_a_schema(format!("{FOREIGN_KEYS}: {problem}"));
        let names = |object: &Value| {
            let names = object.get("properties").and_then(Value::as_array);
            let names: Option<Vec<Rc<str>>> =
                names?.iter().map(|name| name.as_str().map(Rc::from)).collect();
            names.filter(|names| !names.is_empty())
        };
        let own =
            names(document).ok_or_else(|| wrong("'properties' must be names, at least one"))?;
        if let Some(name) = own.iter().find(|name| !properties.contains(name)) {
            return Err(wrong(&format!("there is no property '{name}'")));
        }
        let target = document.get("references").ok_or_else(|| wrong("'references' is missing"))?;
        let referenced = names(target)
            .ok_or_else(|| wrong("'references.properties' must be names, at least one"))?;
        let schema_key = target.get("schemaKey").and_then(Value::as_str);
        let schema_key = schema_key.filter(|key| !key.is_empty());
        let schema_key =
            schema_key.ok_or_else(|| wrong("'references.schemaKey' must be a string"))?;
        let schema_version = match target.get("schemaVersion") {
            None => None,
            Some(Value::String(version)) => Some(version.as_str().into()),
            Some(_) => return Err(wrong("'references.schemaVersion' must be a string")),
        };
        let materialized = match document.get("mode").map(Value::as_str) {
            None | Some(Some("immediate")) => false,
            Some(Some("materialized")) => true,
            Some(_) => return Err(wrong("'mode' must be 'immediate' or 'materialized'")),
        };
        Ok(Self {
            properties: own.into(),
            schema_key: schema_key.into(),
            referenced: referenced.into(),
            schema_version,
            materialized,
        })
    }
}

impl Conversion {
    /// What a property needs, if it may be one thing or null and nothing else.
    fn of(property: &Value) -> Option<Self> {
        let mut types: Vec<&str> = match property.get("type")? {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        types.retain(|name| *name != "null");
        match types[..] {
            ["object"] => Some(Conversion::Object),
            ["boolean"] => Some(Conversion::Boolean),
            _ => None,
        }
    }
}

/// The schemas of a lix: those that come with the engine, and those that are stored.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    /// Sorted by key. Few enough for a list.
    entries: Vec<Entry>,
    /// In the order of [`builtin::ALL`].
    built_in: [OnceCell<Rc<Schema>>; builtin::ALL.len()],
}

/// What is known about a schema key that is stored or referred to.
#[derive(Debug)]
struct Entry {
    key: Rc<str>,
    /// Oldest first; a document that is none has its error.
    versions: Vec<(Rc<str>, Result<Rc<Schema>>)>,
    /// What points at the key.
    referencing: Vec<(Rc<Schema>, Rc<ForeignKey>)>,
    /// The properties by which rows of the key are looked up.
    indexed: Vec<Rc<[Rc<str>]>>,
}

impl Schemas {
    /// A schema that comes with the engine, stored or not.
    pub(crate) fn built_in(&self, key: &str) -> Option<Rc<Schema>> {
        let position = builtin::ALL.iter().position(|builtin| builtin.key == key)?;
        let compiled = self.built_in[position].get_or_init(|| {
            let document = builtin::ALL[position].value();
            Schema::compile(&document).expect("our own document")
        });
        Some(compiled.clone())
    }

    /// Compiles a document, or takes the schema that was compiled from an equal one.
    pub(crate) fn compile(&self, document: &Value) -> Result<Rc<Schema>> {
        let document = unwrapped(document)?;
        if let Value::Object(root) = &document
            && let (Some(key), Some(version)) = (text(root, KEY), text(root, VERSION))
        {
            let stored = self.find(key, version).ok().flatten();
            for known in stored.into_iter().chain(self.built_in(key)) {
                if known.document == document {
                    return Ok(known);
                }
            }
        }
        Schema::compile_document(document).map(Rc::new)
    }

    /// The stored schemas are those of these documents and no others. Of two with the same key and
    /// version the first counts. One that does not compile makes [`Self::find`] fail.
    pub(crate) fn replace_stored(&mut self, documents: impl IntoIterator<Item = Value>) {
        let mut new = Self::default();
        for document in documents {
            let Ok(document) = unwrapped(&document) else { continue };
            let Some(key) = document.get(KEY).and_then(Value::as_str) else { continue };
            let version = document.get(VERSION).and_then(Value::as_str).unwrap_or_default();
            let versions = &mut new.enter(key).versions;
            let is_before = |(other, _): &(Rc<str>, _)| compare_versions(other, version);
            if let Err(place) = versions.binary_search_by(is_before) {
                versions.insert(place, (version.into(), self.compile(&document)));
            }
        }
        let stored: Vec<Rc<Schema>> = new.stored().cloned().collect();
        for schema in &stored {
            let own = new.enter(&schema.key);
            schema.unique.iter().for_each(|properties| own.index(properties));
            for foreign_key in &schema.foreign_keys {
                new.enter(&schema.key).index(&foreign_key.properties);
                let target = new.enter(&foreign_key.schema_key);
                target.referencing.push((schema.clone(), foreign_key.clone()));
                if !matches!(&*foreign_key.schema_key, STATE | CHANGE) {
                    target.index(&foreign_key.referenced);
                }
            }
        }
        // Rows are found by their primary key without an index.
        for schema in &stored {
            let indexed = &mut new.enter(&schema.key).indexed;
            indexed.retain(|properties| *properties != schema.primary_key);
        }
        self.entries = new.entries;
    }

    /// The stored schema that content has to fit. None: no version of the key is stored, so anything
    /// goes. VALIDATION if only other versions are stored, or if the document is no schema.
    pub(crate) fn find(&self, key: &str, version: &str) -> Result<Option<Rc<Schema>>> {
        let versions = self.entry(key).map_or(&[][..], |entry| &entry.versions);
        match versions.iter().find(|(other, _)| **other == *version) {
            Some((_, schema)) => schema.clone().map(Some),
            None if versions.is_empty() => Ok(None),
            None => {
                let message = format!("Schema '{key}' has no stored version '{version}'");
                Err(Error::new(Reason::Validation, message).subject(key))
            }
        }
    }

    /// Whether this very version of a schema is stored.
    pub(crate) fn has_stored(&self, key: &str, version: &str) -> bool {
        let entry = self.entry(key);
        entry.is_some_and(|entry| entry.versions.iter().any(|(other, _)| **other == *version))
    }

    /// The newest stored version of a key.
    pub(crate) fn newest(&self, key: &str) -> Option<&Rc<Schema>> {
        let mut versions = self.entry(key)?.versions.iter().rev();
        versions.find_map(|(_, schema)| schema.as_ref().ok())
    }

    /// The primary key of a key's entities, by its newest stored version.
    pub(crate) fn primary_key(&self, key: &str) -> Option<Rc<[Rc<str>]>> {
        let schema = self.newest(key)?;
        (!schema.primary_key.is_empty()).then(|| schema.primary_key.clone())
    }

    /// The foreign keys of stored schemas that point at a schema key, `state` or `lix_change`.
    pub(crate) fn referencing(&self, target_key: &str) -> Vec<(Rc<Schema>, Rc<ForeignKey>)> {
        self.entry(target_key).map(|entry| entry.referencing.clone()).unwrap_or_default()
    }

    /// The lists of properties, but for primary keys, by which constraints look rows of a key up:
    /// those of all its versions, and those that other schemas refer to.
    pub(crate) fn indexed(&self, key: &str) -> Vec<Rc<[Rc<str>]>> {
        self.entry(key).map(|entry| entry.indexed.clone()).unwrap_or_default()
    }

    /// Whether [`Self::indexed`] names these properties.
    pub(crate) fn is_indexed(&self, key: &str, properties: &[Rc<str>]) -> bool {
        self.entry(key).is_some_and(|entry| entry.indexed.iter().any(|list| **list == *properties))
    }

    /// All stored schemas that compile, by key, then version.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Rc<Schema>> {
        let versions = self.entries.iter().flat_map(|entry| &entry.versions);
        versions.filter_map(|(_, schema)| schema.as_ref().ok())
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        let place = self.entries.binary_search_by(|entry| (*entry.key).cmp(key));
        place.ok().map(|place| &self.entries[place])
    }

    /// The entry of a key, which is there from now on.
    fn enter(&mut self, key: &str) -> &mut Entry {
        let place = self.entries.binary_search_by(|entry| (*entry.key).cmp(key));
        let place = place.unwrap_or_else(|place| {
            let key = key.into();
            let (versions, referencing, indexed) = Default::default();
            self.entries.insert(place, Entry { key, versions, referencing, indexed });
            place
        });
        &mut self.entries[place]
    }
}

impl Entry {
    fn index(&mut self, properties: &Rc<[Rc<str>]>) {
        if !self.indexed.contains(properties) {
            self.indexed.push(properties.clone());
        }
    }
}

/// 1.9 comes before 1.10.
fn compare_versions(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| -> [Option<u64>; 2] {
        let (major, minor) = version.split_once('.').unwrap_or((version, ""));
        [major.parse().ok(), minor.parse().ok()]
    };
    parts(one).cmp(&parts(other)).then_with(|| one.cmp(other))
}

impl Builtin {
    /// The document as a value.
    pub(crate) fn value(&self) -> Value {
        json::parse(self.document).expect("our own document")
    }
}

/// A document, which may be inside a string.
fn unwrapped(document: &Value) -> Result<Value> {
    match document {
        Value::String(text) => json::parse(text)
            .map_err(|refused| not_a_schema(format!("it is a string, but {refused}"))),
        other => Ok(other.clone()),
    }
}

/// Names of properties that there are.
fn own_names(keyword: &str, names: &Value, properties: &[Rc<str>]) -> Result<Rc<[Rc<str>]>> {
    let names = names
        .as_array()
        .ok_or_else(|| not_a_schema(format!("{keyword} must be an array of names")))?;
    let mut found: Vec<Rc<str>> = Vec::with_capacity(names.len());
    for name in names {
        let property = name.as_str().and_then(|name| own_name(keyword, name, properties));
        let property = property
            .ok_or_else(|| not_a_schema(format!("{keyword}: there is no property {name}")))?;
        if found.contains(&property) {
            return Err(not_a_schema(format!("{keyword} names '{property}' twice")));
        }
        found.push(property);
    }
    Ok(found.into())
}

/// Later schemas write names as JSON pointers. What is inside of a property stays one; only unique
/// values may be there.
fn own_name(keyword: &str, name: &str, properties: &[Rc<str>]) -> Option<Rc<str>> {
    let find = |name: &str| properties.iter().find(|property| &***property == name).cloned();
    if let Some(property) = find(name) {
        return Some(property);
    }
    let (first, inside) = match name.strip_prefix('/')?.split_once('/') {
        Some((first, _)) => (first, true),
        None => (&name[1..], false),
    };
    let property = find(&first.replace("~1", "/").replace("~0", "~"))?;
    match inside {
        true if keyword == UNIQUE => Some(name.into()),
        true => None,
        false => Some(property),
    }
}

fn text<'a>(object: &'a Map<String, Value>, keyword: &str) -> Option<&'a str> {
    object.get(keyword).and_then(Value::as_str)
}

fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

fn not_a_schema(problem: impl std::fmt::Display) -> Error {
    let message = format!("The provided schema is not a valid lix schema: {problem}");
    Error::new(Reason::Validation, message)
}

const KEY: &str = "x-lix-key";
const VERSION: &str = "x-lix-version";
const PRIMARY_KEY: &str = "x-lix-primary-key";
const UNIQUE: &str = "x-lix-unique";
const FOREIGN_KEYS: &str = "x-lix-foreign-keys";
const STATE: &str = "state";
const CHANGE: &str = "lix_change";

#[cfg(test)]
mod tests;
