//! Change sets of a user's making: picked changes, to be named, labelled or applied (16.1, 16.2 of
//! the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Value, json};

use super::labels::take_entity;
use super::{Options, Procedure, is_bookkeeping, options, text};
use crate::lix::commit::CommitPlan;
use crate::lix::json;
use crate::lix::state::{Filter, Key, Viewers};
use crate::lix::{GLOBAL, Lix};
use crate::sqlite::Bound;

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_change_set",
        columns: "id text, metadata json text",
        writes: true,
        run: |lix, call| {
            let wanted = call.read(CreateChangeSet::take)?;
            let metadata = super::json(&wanted.metadata);
            Ok(vec![vec![lix.create_change_set(wanted)?.into(), metadata]])
        },
    },
    Procedure {
        name: "lix_apply_change_set",
        columns: "commit_id text",
        writes: true,
        run: |lix, call| {
            let id = call.read(|options| options.id("id"))?;
            Ok(vec![vec![lix.apply_change_set(&id)?.into()]])
        },
    },
];

struct CreateChangeSet {
    id: Option<Rc<str>>,
    metadata: Value,
    elements: Vec<(Rc<str>, Key)>,
    labels: Vec<Rc<str>>,
    version: Option<Rc<str>>,
}

impl CreateChangeSet {
    fn take(options: &mut Options) -> Result<Self> {
        let element = |element: &mut Options| Ok((element.id("change_id")?, take_entity(element)?));
        Ok(Self {
            id: options.optional_id("id")?,
            metadata: options.optional_object("metadata")?.unwrap_or_default(),
            elements: options.optional_objects("elements", element)?.unwrap_or_default(),
            labels: options.optional_ids("labels")?.unwrap_or_default(),
            version: options.optional_id("version")?,
        })
    }
}

impl Lix {
    fn create_change_set(self: &Rc<Self>, wanted: CreateChangeSet) -> Result<Rc<str>> {
        let version = self.version_or_active(wanted.version)?;
        let id = self.id_or_new(wanted.id);
        let change_set = json!({"id": &*id, "metadata": wanted.metadata});
        self.insert(&version, Key::own("lix_change_set", &id), change_set)?;
        for (change_id, entity) in wanted.elements {
            let element = json!({
                "change_set_id": &*id,
                "change_id": &*change_id,
                "entity_id": &*entity.entity_id,
                "schema_key": &*entity.schema_key,
                "file_id": &*entity.file_id,
            });
            let element_id = format!("{id}~{change_id}");
            self.insert(&version, Key::own("lix_change_set_element", &element_id), element)?;
        }
        for label_id in wanted.labels {
            let label = json!({"change_set_id": &*id, "label_id": &*label_id, "metadata": null});
            let label_key = Key::own("lix_change_set_label", &format!("{id}~{label_id}"));
            self.insert(&version, label_key, label)?;
        }
        Ok(id)
    }

    /// Makes a commit on the active version that contains the changes of a set; none, if the
    /// version shows them all. Versions and commits are not entities that could be applied.
    fn apply_change_set(self: &Rc<Self>, id: &str) -> Result<Option<Rc<str>>> {
        let version = self.version_or_active(None)?;
        let tip = self.sealed_tip(&version)?;
        let chain = self.levels(&version)?;
        let mut changes = Vec::new();
        for change_id in self.elements(&version, id)? {
            const SQL: &str = "select seq, schema_key, entity_id, file_id, snapshot is null
              from _lix_change where id = ?";
            let change = self.sql.first(SQL, &[Bound::Text(&change_id)], |row| {
                let key =
                    Key { schema_key: row.text(1), entity_id: row.text(2), file_id: row.text(3) };
                (row.integer(0), key, row.integer(4) != 0)
            })?;
            let Some((seq, key, is_deletion)) = change else { continue };
            let there = self.tracked_through(&chain, &key)?;
            let shows_it = match there {
                Some(entry) if entry.is_deleted => is_deletion,
                Some(entry) => entry.seq == seq,
                None => is_deletion,
            };
            if !shows_it && !is_bookkeeping(&key.schema_key) {
                changes.push(seq);
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        changes.sort_unstable();
        changes.dedup();
        let plan =
            CommitPlan { version_id: version, parents: vec![tip], changes, authors: Vec::new() };
        self.commit_with(plan).map(Some)
    }

    /// The changes of a set, as global or the given version knows them.
    fn elements(self: &Rc<Self>, version: &Rc<str>, id: &str) -> Result<Vec<Rc<str>>> {
        let viewers = Viewers::These(vec![version.clone(), GLOBAL.into()]);
        let mut scan = self.scan(Filter {
            viewers: viewers.clone(),
            schema_keys: Some(vec!["lix_change_set_element".into()]),
            properties: vec![("change_set_id".into(), id.into())],
            ..Filter::default()
        })?;
        let mut changes: Vec<Rc<str>> = Vec::new();
        while let Some(row) = scan.next()? {
            let element = json::object(row.snapshot.as_deref());
            if text(&element, "change_set_id") == id {
                changes.push(text(&element, "change_id").into());
            }
        }
        if changes.is_empty() {
            let mut sets = self.scan(Filter {
                viewers,
                schema_keys: Some(vec!["lix_change_set".into()]),
                entity_ids: Some(vec![id.into()]),
                ..Filter::default()
            })?;
            if sets.next()?.is_none() {
                let message = format!("Change set with id '{id}' does not exist");
                return Err(options::invalid("id", message));
            }
        }
        changes.sort_unstable();
        changes.dedup();
        Ok(changes)
    }
}
