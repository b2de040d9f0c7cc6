//! From entities to bytes.
//!
//! Guarantee: the bytes follow from the entities that a version sees, and from the plugin that has
//! them. If it is not loaded, the bytes that were written last are shown as long as the entities are
//! those that were made of them; otherwise there is an error, and never the bytes of another state.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::Value;

use super::blobs::Unknown;
use super::summary::{Fingerprint, Summary};
use super::{Descriptor, Owner};
use crate::lix::state::{Filter, StateRow, Viewers};
use crate::lix::{FALLBACK_PLUGIN, Lix, OWN_PLUGIN};

/// A part of a file's content.
pub(super) struct Entity {
    pub(super) schema_key: Rc<str>,
    pub(super) entity_id: Rc<str>,
    pub(super) schema_version: Rc<str>,
    pub(super) plugin_key: Rc<str>,
    /// When it became what it is.
    pub(super) created_at: Rc<str>,
    pub(super) change_id: Rc<str>,
    pub(super) snapshot: Rc<str>,
    pub(super) untracked: bool,
}

/// A state of a file, now or at a commit.
pub(super) struct Content<'a> {
    /// The version that looks, or that made the commit.
    pub(super) version_id: &'a Rc<str>,
    pub(super) file: &'a Descriptor,
    pub(super) entities: Vec<Entity>,
}

impl Lix {
    /// Shows somebody the bytes of a file as a version sees it.
    pub(crate) fn with_file_data<T>(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file: &Descriptor,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        if let Some(data) = self.kept_data(version_id, file) {
            self.note_filter(&rows_of(version_id, &file.id))?;
            return Ok(show(&data));
        }
        let short: Rc<str> = file.short().into();
        let mut entities = Vec::new();
        self.each_row_of_file(version_id, &file.id, |row| {
            entities.extend(Entity::of(row));
            Ok(())
        })?;
        let content = Content { version_id, file, entities };
        let keep = |data: &Rc<[u8]>| {
            self.files.keep(version_id, &file.id, |kept| kept.data = Some((short, data.clone())));
        };
        self.with_content(&content, keep, show)
    }

    /// What a plugin made of the entities that a version still sees.
    pub(super) fn kept_data(&self, version_id: &str, file: &Descriptor) -> Option<Rc<[u8]>> {
        let (of, data) = self.files.kept(version_id, &file.id)?.data?;
        (*of == *file.short()).then_some(data)
    }

    /// The bytes of a file, in memory.
    pub(super) fn file_data(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file: &Descriptor,
    ) -> Result<Rc<[u8]>> {
        self.with_file_data(version_id, file, |bytes| Rc::from(bytes))
    }

    /// Makes bytes of content and shows them. What a plugin made is worth keeping.
    pub(super) fn with_content<T>(
        &self,
        content: &Content<'_>,
        keep: impl FnOnce(&Rc<[u8]>),
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let Content { version_id, file, entities } = content;
        let mut keys: Vec<&Rc<str>> = Vec::new();
        for entity in entities {
            if !keys.contains(&&entity.plugin_key) {
                keys.push(&entity.plugin_key);
            }
        }
        let missing =
            match self.owner(&file.path, keys.into_iter(), || self.written_by(version_id, file))? {
                Owner::Nobody => return Ok(show(&[])),
                Owner::Plugin(number) => {
                    let data: Rc<[u8]> = self.apply_entities(number, content)?.into();
                    keep(&data);
                    return Ok(show(&data));
                }
                Owner::Fallback => {
                    let own: Vec<&Entity> =
                        entities.iter().filter(|entity| entity.is_unknown()).collect();
                    return match Unknown::read(&file.id, &own)? {
                        Unknown::Hash(hash) => self.with_blob(&hash, show),
                        Unknown::Inline(bytes) => Ok(show(&bytes)),
                    };
                }
                Owner::Missing(key) => key,
            };
        let mut fingerprint = Fingerprint::default();
        for entity in entities {
            let mark = if entity.untracked { &entity.snapshot } else { &entity.change_id };
            fingerprint.toggle(&entity.schema_key, &entity.entity_id, mark);
        }
        self.with_written(version_id, file, &fingerprint, show)?
            .ok_or_else(|| self.without_plugin(&missing, file))
    }

    fn apply_entities(&self, number: usize, content: &Content<'_>) -> Result<Vec<u8>> {
        let Content { version_id, file, entities } = content;
        let plugins = self.plugins().expect("the owner is one of them");
        let key = &*plugins.manifests()[number].key;
        let text = |text: &str| Value::from(text).to_string();
        let mut changes = format!(
            "{{\"file_id\":{},\"plugin_key\":{},\"version_id\":{},\"rows\":[",
            text(&file.id),
            text(key),
            text(version_id),
        );
        let mut is_first = true;
        for entity in entities.iter().filter(|entity| *entity.plugin_key == *key) {
            changes.push_str(if is_first { "[" } else { ",[" });
            is_first = false;
            let Entity { entity_id, schema_key, schema_version, created_at, change_id, .. } =
                entity;
            for part in [entity_id, schema_key, schema_version, created_at, change_id] {
                changes.push_str(&text(part));
                changes.push(',');
            }
            changes.push_str(&entity.snapshot);
            changes.push(']');
        }
        changes.push_str("]}");
        self.call_plugin(version_id, number, |plugins| {
            plugins.apply_changes(number, &file.short(), &changes)
        })
    }

    fn without_plugin(&self, key: &str, file: &Descriptor) -> Error {
        let is_loaded = self
            .plugins()
            .is_some_and(|plugins| plugins.manifests().iter().any(|plugin| plugin.key == *key));
        let Descriptor { id, path, .. } = file;
        let message = match is_loaded {
            true => format!(
                "the content of file {id} ({path}) belongs to plugin '{key}', which makes no bytes of entities"
            ),
            false => format!(
                "the content of file {id} ({path}) needs plugin '{key}', which is not loaded"
            ),
        };
        Error::new(Reason::PluginMissing, message).subject(key)
    }

    /// The live rows that a version sees of a file, its descriptor among them.
    pub(super) fn each_row_of_file(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file_id: &Rc<str>,
        mut row: impl FnMut(StateRow) -> Result<()>,
    ) -> Result<()> {
        let mut scan = self.scan(rows_of(version_id, file_id))?;
        while let Some(found) = scan.next()? {
            row(found)?;
        }
        Ok(())
    }

    /// What a version sees of a file's content, in short.
    pub(super) fn summary(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file_id: &Rc<str>,
    ) -> Result<Rc<Summary>> {
        if let Some(summary) = self.files.kept(version_id, file_id).and_then(|kept| kept.summary) {
            return Ok(summary);
        }
        let mut summary = Summary::default();
        self.each_row_of_file(version_id, file_id, |row| {
            summary.add(&row);
            Ok(())
        })?;
        let summary = Rc::new(summary);
        self.files.keep(version_id, file_id, |kept| kept.summary = Some(summary.clone()));
        Ok(summary)
    }
}

impl Entity {
    /// None: the row is no content.
    pub(super) fn of(row: StateRow) -> Option<Self> {
        let snapshot = row.snapshot.filter(|_| &*row.plugin_key != OWN_PLUGIN)?;
        Some(Self {
            schema_key: row.key.schema_key,
            entity_id: row.key.entity_id,
            schema_version: row.schema_version,
            plugin_key: row.plugin_key,
            created_at: row.updated_at,
            change_id: row.change_id,
            snapshot,
            untracked: row.untracked,
        })
    }

    fn is_unknown(&self) -> bool {
        &*self.plugin_key == FALLBACK_PLUGIN
    }
}

pub(super) fn rows_of(version_id: &Rc<str>, file_id: &Rc<str>) -> Filter {
    Filter {
        viewers: Viewers::These(vec![version_id.clone()]),
        file_ids: Some(vec![file_id.clone()]),
        ..Filter::default()
    }
}
