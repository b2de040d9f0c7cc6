//! What a row must fulfil before it is written: chapter 12 of the data model, in its order. Every
//! check sees the state of this moment, with what the open transaction has written.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::json;
use super::schemas::{ForeignKey, Schema};
use super::state::{Filter, Key, PENDING, StateRow, Viewers};
use super::write::WriteKind;
use super::{GLOBAL, Lix, derived};
use crate::sqlite::Bound;

/// The row that is to be written.
pub(crate) struct Target<'a> {
    pub(crate) kind: WriteKind,
    pub(crate) version_id: &'a Rc<str>,
    pub(crate) key: &'a Key,
    pub(crate) schema_version: &'a str,
    pub(crate) untracked: bool,
    /// The version sees nothing under the entity id.
    pub(crate) is_absent: bool,
}

impl Lix {
    /// Everything that can be said against an insert or update.
    pub(crate) fn validate(
        self: &Rc<Self>,
        target: &Target<'_>,
        snapshot: &Map<String, Value>,
    ) -> Result<()> {
        self.known_version(target.version_id)?;
        let schema_key = &*target.key.schema_key;
        let Some(schema) = self.schemas.borrow().find(schema_key, target.schema_version)? else {
            return Ok(());
        };
        schema.validate(snapshot)?;
        self.check_primary_key(target, &schema, snapshot)?;
        for properties in &schema.unique {
            self.check_unique(target, &schema, properties, snapshot)?;
        }
        for foreign_key in &schema.foreign_keys {
            self.check_foreign_key(target, &schema, foreign_key, snapshot)?;
        }
        let text = |name: &str| snapshot.get(name).and_then(Value::as_str);
        match schema_key {
            "lix_commit" => {
                let parents = json::strings(snapshot, "parent_commit_ids");
                if !parents.is_empty() {
                    self.check_edges(&target.key.entity_id, &parents)?;
                }
            }
            "lix_commit_edge" => {
                if let (Some(parent), Some(child)) = (text("parent_id"), text("child_id")) {
                    self.check_edges(child, &[parent.into()])?;
                }
            }
            "lix_stored_schema" => {
                self.schemas.borrow().compile(snapshot.get("value").unwrap_or(&Value::Null))?;
            }
            "lix_version_descriptor" => {
                // A version whose parent was deleted can still be renamed and checkpointed.
                let known = self.version(&target.key.entity_id)?;
                let before = known.as_ref().and_then(|version| version.inherits_from.as_deref());
                if let Some(parent) = text("inherits_from_version_id")
                    && before != Some(parent)
                {
                    self.check_inheritance(&target.key.entity_id, parent)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything that can be said against deleting a tracked row.
    pub(crate) fn validate_delete(self: &Rc<Self>, version_id: &str, row: &StateRow) -> Result<()> {
        let referencing = self.schemas.borrow().referencing(&row.key.schema_key);
        if referencing.is_empty() {
            return Ok(());
        }
        let snapshot = json::object(row.snapshot.as_deref());
        for (schema, foreign_key) in &referencing {
            let Some(values) = values_of(&snapshot, &foreign_key.referenced) else { continue };
            let count = self.count_references(version_id, schema, foreign_key, &values)?;
            if count > 0 {
                let message = format!(
                    "Foreign key constraint violation: Cannot delete entity because it is referenced by \
                     {count} record(s) in schema '{}' via foreign key ({})",
                    schema.key,
                    names(&foreign_key.properties),
                );
                return Err(Error::new(Reason::ForeignKey, message).subject(&*schema.key));
            }
        }
        Ok(())
    }

    fn check_primary_key(
        self: &Rc<Self>,
        target: &Target<'_>,
        schema: &Schema,
        snapshot: &Map<String, Value>,
    ) -> Result<()> {
        if schema.primary_key.is_empty() {
            return Ok(());
        }
        for name in schema.primary_key.iter() {
            if snapshot.get(&**name).is_none_or(Value::is_null) {
                let message = format!("Primary key field '{name}' cannot be null or undefined");
                return Err(Error::new(Reason::PrimaryKey, message).subject(&**name));
            }
        }
        let values = values_of(snapshot, &schema.primary_key).expect("none is null");
        let joined = joined(&values);
        // Rows under the id of the written one are the row itself, or there are none.
        let is_free = joined == target.key.entity_id
            && (target.is_absent || target.kind == WriteKind::Update);
        let mut conflict =
            !is_free && self.conflicts(target, &[joined], &schema.primary_key, &values)?;
        if !conflict && self.has_odd_ids(&schema.key)? {
            let odd = self.lookup(&schema.key, &schema.primary_key, &values)?;
            conflict = self.conflicts_among(target, odd, &schema.primary_key, &values)?;
        }
        match conflict {
            true => Err(violation(
                Reason::PrimaryKey,
                "Primary key",
                "primary key",
                &schema.primary_key,
                &values,
            )),
            false => Ok(()),
        }
    }

    fn check_unique(
        self: &Rc<Self>,
        target: &Target<'_>,
        schema: &Schema,
        properties: &[Rc<str>],
        snapshot: &Map<String, Value>,
    ) -> Result<()> {
        let Some(values) = values_of(snapshot, properties) else { return Ok(()) };
        let mut candidates = self.lookup(&schema.key, properties, &values)?;
        if properties.iter().any(|name| name.starts_with('/')) {
            // Who writes pointers means the file: ids of blocks repeat from file to file.
            candidates.retain(|key| key.file_id == target.key.file_id);
        }
        match self.conflicts_among(target, candidates, properties, &values)? {
            true => Err(violation(Reason::Unique, "Unique", "unique", properties, &values)),
            false => Ok(()),
        }
    }

    /// Whether another live row under one of these ids holds the values.
    fn conflicts(
        self: &Rc<Self>,
        target: &Target<'_>,
        entity_ids: &[Rc<str>],
        properties: &[Rc<str>],
        values: &[&Value],
    ) -> Result<bool> {
        let mut scan = self.scan(Filter {
            viewers: Viewers::These(vec![target.version_id.clone()]),
            schema_keys: Some(vec![target.key.schema_key.clone()]),
            entity_ids: Some(entity_ids.to_vec()),
            ..Filter::default()
        })?;
        while let Some(row) = scan.next()? {
            if !is_itself(target, &row) && holds(&row, properties, values) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn conflicts_among(
        self: &Rc<Self>,
        target: &Target<'_>,
        candidates: Vec<Key>,
        properties: &[Rc<str>],
        values: &[&Value],
    ) -> Result<bool> {
        for key in candidates {
            if let Some(row) = self.get(target.version_id, &key)?
                && !is_itself(target, &row)
                && holds(&row, properties, values)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_foreign_key(
        self: &Rc<Self>,
        target: &Target<'_>,
        schema: &Schema,
        foreign_key: &ForeignKey,
        snapshot: &Map<String, Value>,
    ) -> Result<()> {
        let ForeignKey { properties, schema_key, referenced, .. } = foreign_key;
        if properties.len() != referenced.len() {
            let message = format!(
                "Foreign key constraint error: Local properties ({}) and referenced properties ({}) must have the same length",
                names(properties),
                names(referenced),
            );
            return Err(Error::new(Reason::ForeignKey, message));
        }
        if foreign_key.materialized {
            return Ok(());
        }
        let Some(values) = values_of(snapshot, properties) else { return Ok(()) };
        let mut found = match &**schema_key {
            "lix_change" => {
                if referenced.len() != 1 {
                    let message = "Foreign key constraint error: Special entity 'lix_change' references only support single property";
                    return Err(Error::new(Reason::ForeignKey, message));
                }
                let sql = "select 1 from _lix_change where id = ?1";
                let id = plain(values[0]);
                self.sql.first(sql, &[Bound::Text(&id)], |_| Found { is_untracked: false })?
            }
            "state" => self.find_state(target.version_id, referenced, &values)?,
            _ => self.find_own_entity(target.version_id, schema_key, referenced, &values)?,
        };
        if let Some(wanted) = &foreign_key.schema_version
            && !self.schemas.borrow().has_stored(schema_key, wanted)
        {
            found = None;
        }
        let Some(found) = found else {
            return Err(self.unmatched(target, schema, foreign_key, &values)?);
        };
        let is_ordinary = !matches!(&**schema_key, "lix_change" | "state");
        if is_ordinary && found.is_untracked && !target.untracked {
            let message = "Foreign key constraint violation: tracked entities cannot reference untracked entities. \
                           This would create broken references during sync.";
            return Err(Error::new(Reason::ForeignKey, message).subject(&**schema_key));
        }
        Ok(())
    }

    fn unmatched(
        &self,
        target: &Target<'_>,
        schema: &Schema,
        foreign_key: &ForeignKey,
        values: &[&Value],
    ) -> Result<Error> {
        let ForeignKey { properties, schema_key, referenced, .. } = foreign_key;
        let version = self.known_version(target.version_id)?;
        let message = format!(
            "Foreign key constraint violation. The schema '{}' ({}) has a foreign key constraint on ({}) \
             referencing '{schema_key}.({})' but no matching record exists with values ({}) in version '{}' ({}).\n\
             Relationship: {}.({}) -> {schema_key}.({})\n\
             Entity: {} '{}' in file '{}'\n\
             Note: Foreign key constraints only validate entities that exist in the version context: \
             rows that the version inherits cannot be referenced.",
            schema.key,
            schema.version,
            names(properties),
            names(referenced),
            quoted(values),
            version.id,
            version.name,
            schema.key,
            names(properties),
            names(referenced),
            schema.key,
            target.key.entity_id,
            target.key.file_id,
        );
        Ok(Error::new(Reason::ForeignKey, message).subject(&**schema_key))
    }

    /// A row of whatever schema, by columns of the state.
    fn find_state(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        columns: &[Rc<str>],
        values: &[&Value],
    ) -> Result<Option<Found>> {
        let mut filter = Filter {
            viewers: Viewers::These(vec![version_id.clone()]),
            own_only: true,
            ..Filter::default()
        };
        let mut others = Vec::new();
        for (column, value) in columns.iter().zip(values) {
            let wanted: Rc<str> = plain(value).into();
            match &**column {
                "entity_id" => filter.entity_ids = Some(vec![wanted]),
                "schema_key" => filter.schema_keys = Some(vec![wanted]),
                "file_id" => filter.file_ids = Some(vec![wanted]),
                _ => others.push((column, wanted)),
            }
        }
        let mut scan = self.scan(filter)?;
        while let Some(row) = scan.next()? {
            let fits = others.iter().all(|(column, wanted)| {
                let found = match &***column {
                    "plugin_key" => &row.plugin_key,
                    "schema_version" => &row.schema_version,
                    "version_id" => &row.version_id,
                    "change_id" => &row.change_id,
                    "commit_id" => &row.commit_id,
                    _ => return false,
                };
                found == wanted
            });
            if fits {
                return Ok(Some(Found { is_untracked: row.untracked }));
            }
        }
        Ok(None)
    }

    /// A live row that the version holds itself and that has these values.
    fn find_own_entity(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        schema_key: &Rc<str>,
        properties: &[Rc<str>],
        values: &[&Value],
    ) -> Result<Option<Found>> {
        let mut filter = Filter {
            viewers: Viewers::These(vec![version_id.clone()]),
            schema_keys: Some(vec![schema_key.clone()]),
            own_only: true,
            ..Filter::default()
        };
        let is_key = self.schemas.borrow().primary_key(schema_key).as_deref() == Some(properties);
        let is_derived = derived::SCHEMAS.contains(&&**schema_key);
        if is_key {
            filter.entity_ids = Some(vec![joined(values)]);
            if let Some(found) = self.first_holding(filter.clone(), properties, values)? {
                return Ok(Some(found));
            }
        }
        let is_indexed = self.schemas.borrow().is_indexed(schema_key, properties);
        if is_indexed || is_key {
            for key in self.lookup(schema_key, properties, values)? {
                if let Some(row) = self.find_own(version_id, &key)?
                    && holds(&row, properties, values)
                {
                    return Ok(Some(Found { is_untracked: row.untracked }));
                }
            }
            if !is_derived || is_key {
                return Ok(None);
            }
        }
        filter.entity_ids = None;
        for (property, value) in properties.iter().zip(values) {
            if let Value::String(text) = value {
                filter.properties.push((property.clone(), (&**text).into()));
            }
        }
        self.first_holding(filter, properties, values)
    }

    fn first_holding(
        self: &Rc<Self>,
        filter: Filter,
        properties: &[Rc<str>],
        values: &[&Value],
    ) -> Result<Option<Found>> {
        let mut scan = self.scan(filter)?;
        while let Some(row) = scan.next()? {
            if holds(&row, properties, values) {
                return Ok(Some(Found { is_untracked: row.untracked }));
            }
        }
        Ok(None)
    }

    /// How many live rows of a schema that a version sees refer to these values.
    fn count_references(
        self: &Rc<Self>,
        version_id: &str,
        schema: &Schema,
        foreign_key: &ForeignKey,
        values: &[&Value],
    ) -> Result<usize> {
        let properties = &foreign_key.properties;
        let count = |sql: &'static str, value: &str| {
            let counted = self.sql.first(sql, &[Bound::Text(value)], |row| row.integer(0))?;
            Result::Ok(counted.unwrap_or_default() as usize)
        };
        let sees_global = self.levels(version_id)?.iter().any(|level| &*level.version_id == GLOBAL);
        let first = plain(values[0]);
        let derived = match (&*schema.key, &*properties[0]) {
            _ if !sees_global => 0,
            ("lix_commit", "change_set_id") => {
                return count(
                    "select count(*) from _lix_commit where change_set_id = ?1 and change_seq is not null",
                    &first,
                );
            }
            ("lix_version_tip", "commit_id") => {
                return Ok(self
                    .all_versions()?
                    .iter()
                    .filter(|version| version.tip.as_ref().is_some_and(|(tip, _)| **tip == *first))
                    .count());
            }
            ("lix_change_set_element", "change_set_id") => count(
                "select count(*) from _lix_commit c join _lix_commit_change m on m.commit_no = c.no
                 where c.change_set_id = ?1 and c.change_seq is not null",
                &first,
            )?,
            ("lix_change_set_element", "schema_key") => count(
                "select count(*) from (select 1 from _lix_change c join _lix_commit_change m on m.change_seq = c.seq
                 where c.schema_key = ?1 limit 1000)",
                &first,
            )?,
            ("lix_commit_edge", "parent_id") => count(
                "select count(*) from _lix_commit c join _lix_commit_parent p on p.parent_no = c.no where c.id = ?1",
                &first,
            )?,
            ("lix_commit_edge", "child_id") => count(
                "select count(*) from _lix_commit c join _lix_commit_parent p on p.commit_no = c.no where c.id = ?1",
                &first,
            )?,
            ("lix_change_author", "account_id") => count(
                "select count(*) from (select 1 from _lix_commit_author where account_id = ?1 limit 1000)",
                &first,
            )?,
            _ => 0,
        };
        let mut stored = 0;
        for key in self.lookup(&schema.key, properties, values)? {
            if let Some(row) = self.get(version_id, &key)?
                && holds(&row, properties, values)
            {
                stored += 1;
            }
        }
        Ok(derived + stored)
    }

    /// Whether rows of a schema may have ids that are not their primary keys: those are looked up.
    fn has_odd_ids(&self, schema_key: &Rc<str>) -> Result<bool> {
        if let Some(known) = self.odd_ids.borrow().get(schema_key) {
            return Ok(*known);
        }
        let sql = "select 1 from _lix_lookup where schema_key = ?1";
        let found = self.sql.first(sql, &[Bound::Text(schema_key)], |_| ())?.is_some();
        self.odd_ids.borrow_mut().insert(schema_key.clone(), found);
        Ok(found)
    }

    /// Whether entities of a schema are looked up by these properties; if they are its primary key,
    /// because some of them have other ids.
    pub(crate) fn has_lookups(&self, schema_key: &str, properties: &[Rc<str>]) -> Result<bool> {
        let sql = "select 1 from _lix_lookup where schema_key = ?1 and properties = ?2";
        let properties = names(properties);
        let params = [Bound::Text(schema_key), Bound::Text(&properties)];
        Ok(self.sql.first(sql, &params, |_| ())?.is_some())
    }

    /// Keys that hold, or once held, values in properties that are looked up.
    pub(crate) fn lookup(
        &self,
        schema_key: &str,
        properties: &[Rc<str>],
        values: &[&Value],
    ) -> Result<Vec<Key>> {
        let (names, value) = (names(properties), list(values));
        let mut keys = Vec::new();
        let sql = "select entity_id, file_id from _lix_lookup where schema_key = ?1 and properties = ?2 and value = ?3";
        let params = [Bound::Text(schema_key), Bound::Text(&names), Bound::Text(&value)];
        self.sql.each(sql, &params, |row| {
            keys.push(Key {
                schema_key: schema_key.into(),
                entity_id: row.text(0),
                file_id: row.text(1),
            });
            Ok(())
        })?;
        Ok(keys)
    }

    /// Makes a row findable by the properties that constraints look at.
    pub(crate) fn index(
        &self,
        key: &Key,
        schema_version: &str,
        snapshot: &Map<String, Value>,
    ) -> Result<()> {
        let Ok(Some(schema)) = self.schemas.borrow().find(&key.schema_key, schema_version) else {
            return Ok(());
        };
        let put = |properties: &[Rc<str>], values: &[&Value]| {
            let (names, value) = (names(properties), list(values));
            self.sql.run(
                "insert or ignore into _lix_lookup (schema_key, properties, value, entity_id, file_id)
                 values (?1, ?2, ?3, ?4, ?5)",
                &[
                    Bound::Text(&key.schema_key),
                    Bound::Text(&names),
                    Bound::Text(&value),
                    Bound::Text(&key.entity_id),
                    Bound::Text(&key.file_id),
                ],
            )
        };
        let indexed = self.schemas.borrow().indexed(&key.schema_key);
        for properties in indexed.iter() {
            if let Some(values) = values_of(snapshot, properties) {
                put(properties, &values)?;
            }
        }
        if let Some(values) = values_of(snapshot, &schema.primary_key)
            && !values.is_empty()
            && joined(&values) != key.entity_id
        {
            // From here on, looking up a primary key finds more than the entity that is called so.
            if !self.has_lookups(&key.schema_key, &schema.primary_key)? {
                self.note_unlisted();
            }
            put(&schema.primary_key, &values)?;
            self.odd_ids.borrow_mut().insert(key.schema_key.clone(), true);
        }
        Ok(())
    }
}

impl Lix {
    /// Makes the rows that are there already findable by what a stored schema constrains.
    fn index_for(&self, schema: &Schema) -> Result<()> {
        self.index_rows(&schema.key)?;
        for foreign_key in &schema.foreign_keys {
            let target = &foreign_key.schema_key;
            let primary_key = self.schemas.borrow().primary_key(target);
            let is_key = primary_key.as_ref() == Some(&foreign_key.referenced);
            if !is_key && *target != schema.key {
                self.index_rows(target)?;
            }
        }
        Ok(())
    }

    /// Makes every row of a schema that there is or was findable.
    pub(crate) fn index_rows(&self, schema_key: &str) -> Result<()> {
        let key = [Bound::Text(schema_key)];
        for sql in [
            "select entity_id, file_id, schema_version, snapshot from _lix_change
             where schema_key = ?1 and snapshot is not null",
            "select entity_id, file_id, schema_version, snapshot from _lix_untracked
             where schema_key = ?1 and snapshot is not null",
        ] {
            self.sql.each(sql, &key, |row| {
                let key = Key {
                    schema_key: schema_key.into(),
                    entity_id: row.text(0),
                    file_id: row.text(1),
                };
                self.index(&key, &row.text(2), &json::object(row.optional_text(3).as_deref()))
            })?;
        }
        Ok(())
    }

    /// A schema was stored or removed.
    pub(crate) fn schemas_changed(&self, value: Option<&Value>) -> Result<()> {
        self.load_schemas()?;
        let Some(value) = value else { return Ok(()) };
        let schema = self.schemas.borrow().compile(value)?;
        self.index_for(&schema)
    }
}

/// What a foreign key points to.
struct Found {
    is_untracked: bool,
}

/// Whether a row that stands in the way is the one that is written: on update by its id, on insert
/// if the same transaction wrote it.
fn is_itself(target: &Target<'_>, row: &StateRow) -> bool {
    match target.kind {
        WriteKind::Update => row.key.entity_id == target.key.entity_id,
        WriteKind::Insert => {
            row.key == *target.key && row.inherited_from.is_none() && &*row.commit_id == PENDING
        }
    }
}

fn holds(row: &StateRow, properties: &[Rc<str>], values: &[&Value]) -> bool {
    let Some(snapshot) = &row.snapshot else { return false };
    let snapshot = json::object(Some(snapshot));
    properties.iter().zip(values).all(|(name, value)| match value_at(&snapshot, name) {
        Some(found) => found == *value || canonical(found) == canonical(value),
        None => false,
    })
}

/// The values of properties; none if one is missing or null.
fn values_of<'a>(
    snapshot: &'a Map<String, Value>,
    properties: &[Rc<str>],
) -> Option<Vec<&'a Value>> {
    let value = |name: &Rc<str>| value_at(snapshot, name).filter(|value| !value.is_null());
    properties.iter().map(value).collect()
}

/// A property, or what a JSON pointer leads to.
fn value_at<'a>(snapshot: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = snapshot.get(name) {
        return Some(value);
    }
    let (first, _) = name.strip_prefix('/')?.split_once('/')?;
    let value = snapshot.get(&first.replace("~1", "/").replace("~0", "~"))?;
    value.pointer(&name[1 + first.len()..])
}

/// The entity id that primary key values make.
pub(crate) fn joined(values: &[&Value]) -> Rc<str> {
    match values {
        [Value::String(text)] => (&**text).into(),
        _ => values.iter().map(|value| plain(value)).collect::<Vec<_>>().join("~").into(),
    }
}

/// Text as it is, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(values: &[&Value]) -> String {
    Value::Array(values.iter().map(|value| canonical(value)).collect()).to_string()
}

/// Equal numbers as the same number, whatever way they are written.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < EXACT => Value::from(float as i64),
            Some(float) if number.is_f64() => Value::from(float),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            let mut sorted: Vec<_> = map.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            sorted.into_iter().map(|(name, value)| (name.clone(), canonical(value))).collect()
        }
        other => other.clone(),
    }
}

/// Up to here every integer is a floating-point number too.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn quoted(values: &[&Value]) -> String {
    values.iter().map(|value| format!("'{}'", plain(value))).collect::<Vec<_>>().join(", ")
}

fn names(properties: &[Rc<str>]) -> String {
    properties.join(", ")
}

fn violation(
    reason: Reason,
    title: &str,
    kind: &str,
    properties: &[Rc<str>],
    values: &[&Value],
) -> Error {
    let message = format!(
        "{title} constraint violation: The {kind} constraint on ({}) is violated by values ({})",
        names(properties),
        quoted(values),
    );
    Error::new(reason, message).subject(names(properties))
}
