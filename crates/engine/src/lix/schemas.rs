//! Schemas: what entities of a key must look like.
//!
//! Guarantee: a schema that compiled can be asked anything about any value and answers; whatever a
//! document says, no check runs forever or deep.

pub(crate) mod builtin;
pub(crate) mod validate;

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Map, Value};

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) key: Rc<str>,
    pub(crate) version: Rc<str>,
    /// The names of the properties, in the order of the document.
    pub(crate) properties: Vec<Rc<str>>,
    /// Empty: it declares none.
    pub(crate) primary_key: Vec<Rc<str>>,
    pub(crate) unique: Vec<Vec<Rc<str>>>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// The document, as it was given.
    pub(crate) document: Rc<Value>,
}

/// Properties that name a row of another schema.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) properties: Vec<Rc<str>>,
    /// A schema key, `state` or `lix_change`.
    pub(crate) target_key: Rc<str>,
    pub(crate) target_properties: Vec<Rc<str>>,
    /// The stored schema of this version must exist.
    pub(crate) target_version: Option<Rc<str>>,
    /// Not checked when the referencing row is written.
    pub(crate) is_materialized: bool,
}

impl Schema {
    /// From a document, or from a string that holds one. VALIDATION "The provided schema is not a
    /// valid lix schema: …" if it is none.
    pub(crate) fn compile(document: &Value) -> Result<Rc<Schema>> {
        let _ = document;
        todo!()
    }

    /// Whether content fits; SCHEMA_MISMATCH with a line per problem if not.
    pub(crate) fn validate(&self, content: &Map<String, Value>) -> Result<()> {
        let _ = content;
        todo!()
    }
}

/// The schemas of a lix: those that come with the engine, and those that are stored.
#[derive(Debug, Default)]
pub(crate) struct Schemas {}

/// A foreign key and the schema that declares it.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) schema: Rc<Schema>,
    /// Its position in `schema.foreign_keys`.
    pub(crate) position: usize,
}

impl Schemas {
    /// A schema that comes with the engine, stored or not.
    pub(crate) fn built_in(&self, key: &str) -> Option<Rc<Schema>> {
        let _ = key;
        todo!()
    }

    /// Compiles the value of a `lix_stored_schema` entity; a document that is compiled already costs
    /// nothing.
    pub(crate) fn compile(&self, value: &Value) -> Result<Rc<Schema>> {
        let _ = value;
        todo!()
    }

    /// Knows a stored schema from now on, in place of one by the same key and version.
    pub(crate) fn insert(&mut self, schema: Rc<Schema>) {
        let _ = schema;
        todo!()
    }

    /// A stored schema is gone.
    pub(crate) fn remove(&mut self, key: &str, version: &str) {
        let _ = (key, version);
        todo!()
    }

    /// Nothing is stored any more.
    pub(crate) fn clear(&mut self) {
        todo!()
    }

    /// The stored schema that an entity has to fit. None: no version of the key is stored, so
    /// anything goes. VALIDATION "Schema '<key>' has no stored version '<version>'" if others are.
    pub(crate) fn find(&self, key: &str, version: &str) -> Result<Option<Rc<Schema>>> {
        let _ = (key, version);
        todo!()
    }

    /// The foreign keys of stored schemas that point at a schema key, `state` or `lix_change`.
    pub(crate) fn referencing(&self, target_key: &str) -> Rc<[Reference]> {
        let _ = target_key;
        todo!()
    }

    /// All stored schemas, by key, then version (1.9 before 1.10).
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Rc<Schema>> {
        [].iter()
    }
}
