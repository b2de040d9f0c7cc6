//! Labels, and which entities carry them (chapter 23 of the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::json;

use super::{Options, Procedure, Row};
use crate::lix::Lix;
use crate::lix::state::Key;

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_label",
        columns: "id text, name text",
        writes: true,
        run: |lix, call| {
            let (id, name, version) = call.read(|options| {
                Ok((
                    options.optional_id("id")?,
                    options.text("name")?,
                    options.optional_id("version")?,
                ))
            })?;
            let version = lix.version_or_active(version)?;
            let id = lix.create_label(id, &name, &version)?;
            Ok(vec![vec![id.into(), name.into()]])
        },
    },
    Procedure {
        name: "lix_create_entity_label",
        columns: "entity_id text, schema_key text, file_id text, label_id text",
        writes: true,
        run: |lix, call| {
            let (link, version) = call.read(|options| Link::take(options, LABEL))?;
            let version = lix.version_or_active(version)?;
            lix.link(&version, &link)?;
            Ok(vec![link.row()])
        },
    },
    Procedure {
        name: "lix_delete_entity_label",
        columns: "entity_id text, schema_key text, file_id text, label_id text",
        writes: true,
        run: |lix, call| {
            let (link, version) = call.read(|options| Link::take(options, LABEL))?;
            let version = lix.version_or_active(version)?;
            let was_there = lix.unlink(&version, &link)?;
            Ok(was_there.then(|| link.row()).into_iter().collect())
        },
    },
];

/// An entity that carries a label or has a thread.
pub(super) struct Link {
    kind: LinkKind,
    pub(super) entity: Key,
    pub(super) other_id: Rc<str>,
}

/// What is linked with an entity.
#[derive(Clone, Copy)]
pub(super) struct LinkKind {
    pub(super) schema_key: &'static str,
    pub(super) property: &'static str,
}

pub(super) const LABEL: LinkKind =
    LinkKind { schema_key: "lix_entity_label", property: "label_id" };

impl Link {
    /// The four ids of a link, and the version where it is.
    pub(super) fn take(options: &mut Options, kind: LinkKind) -> Result<(Self, Option<Rc<str>>)> {
        let entity = take_entity(options)?;
        let other_id = options.id(kind.property)?;
        Ok((Self { kind, entity, other_id }, options.optional_id("version")?))
    }

    pub(super) fn new(kind: LinkKind, entity: Key, other_id: Rc<str>) -> Self {
        Self { kind, entity, other_id }
    }

    pub(super) fn row(&self) -> Row {
        let Key { entity_id, schema_key, file_id } = self.entity.clone();
        vec![entity_id.into(), schema_key.into(), file_id.into(), self.other_id.clone().into()]
    }

    fn key(&self) -> Key {
        let Key { entity_id, schema_key, file_id } = &self.entity;
        let id = [&**entity_id, schema_key, file_id, &self.other_id].join("~");
        Key::own(self.kind.schema_key, &id)
    }
}

/// The three ids of an entity.
pub(super) fn take_entity(options: &mut Options) -> Result<Key> {
    Ok(Key {
        entity_id: options.id("entity_id")?,
        schema_key: options.id("schema_key")?,
        file_id: options.id("file_id")?,
    })
}

impl Lix {
    pub(super) fn create_label(
        self: &Rc<Self>,
        id: Option<Rc<str>>,
        name: &str,
        version: &str,
    ) -> Result<Rc<str>> {
        let id = self.id_or_new(id);
        self.insert(version, Key::own("lix_label", &id), json!({"id": &*id, "name": name}))?;
        Ok(id)
    }

    /// Links an entity, unless it is linked already.
    pub(super) fn link(self: &Rc<Self>, version: &str, link: &Link) -> Result<()> {
        let key = link.key();
        if self.get(version, &key)?.is_some() {
            return Ok(());
        }
        let mut snapshot = json!({
            "entity_id": &*link.entity.entity_id,
            "schema_key": &*link.entity.schema_key,
            "file_id": &*link.entity.file_id,
        });
        snapshot[link.kind.property] = json!(&*link.other_id);
        self.insert(version, key, snapshot)
    }

    /// Takes a link away, and says whether there was one.
    pub(super) fn unlink(self: &Rc<Self>, version: &str, link: &Link) -> Result<bool> {
        let key = link.key();
        let was_there = self.get(version, &key)?.is_some();
        if was_there {
            self.delete(version, &key)?;
        }
        Ok(was_there)
    }
}
