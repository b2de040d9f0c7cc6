//! Writes to files: what an INSERT, UPDATE or DELETE of `file` means for entities.
//!
//! Guarantee: the statement writes everything that follows from it, or nothing. A write that changes
//! nothing writes nothing: there is no commit, and no plugin is called for bytes that are there
//! already.
//!
//! Whoever looks at the path gets the bytes. Who has entities of the file but does not look at it
//! any more loses them in the same commit, so that content always has the owner that its path says
//! at the time it was written.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use super::blobs::{self, Unknown};
use super::content::Entity;
use super::logs::Level;
use super::rows::{Changed, Writer};
use super::summary::Summary;
use super::{Descriptor, SCHEMA};
use crate::PluginFile;
use crate::lix::state::{Key, StateRow};
use crate::lix::write::{Write, WriteKind};
use crate::lix::{FALLBACK_PLUGIN, Lix, OWN_PLUGIN, json};

/// A file to insert.
pub(crate) struct NewFile<'a> {
    pub(crate) version_id: Rc<str>,
    /// The properties of its descriptor, the id among them.
    pub(crate) content: Map<String, Value>,
    pub(crate) data: &'a [u8],
    pub(crate) untracked: bool,
}

/// What an UPDATE makes of a file.
pub(crate) struct FileChange<'a> {
    /// The version to write to.
    pub(crate) version_id: Rc<str>,
    pub(crate) content: Map<String, Value>,
    /// None: it is not set.
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) untracked: bool,
}

/// A look at new bytes.
struct Look<'a> {
    before: Option<(&'a Descriptor, &'a [u8])>,
    after: (&'a Descriptor, &'a [u8]),
    verb: &'static str,
}

impl Lix {
    /// Makes a file.
    pub(crate) fn insert_file(self: &Rc<Self>, new: NewFile<'_>) -> Result<()> {
        let NewFile { version_id, content, data, untracked } = new;
        let file = Descriptor::of(&id_of(&content), &content);
        if self.skips_handlers("insert", &file)? {
            return Ok(());
        }
        check_path(&file.path)?;
        let key = Descriptor::key(&file.id);
        if !file.id.is_empty() && self.get(&version_id, &key)?.is_some() {
            let message = format!(
                "Primary key constraint violation: The primary key constraint on (id) is violated by values ('{}')",
                file.id
            );
            return Err(Error::new(Reason::PrimaryKey, message).subject("id"));
        }
        self.write_descriptor(WriteKind::Insert, &version_id, key, content, untracked)?;
        // What a file of that id left behind is none of this one's.
        let summary = self.summary(&version_id, &file.id)?;
        let mut writer = Writer::new(self, &version_id, &file.id, untracked, &summary);
        if !summary.owners.is_empty() {
            writer.erase_those(|row| &*row.plugin_key != OWN_PLUGIN)?;
        }
        let look = Look { before: None, after: (&file, data), verb: "inserted" };
        self.look(writer, &Summary::default(), look).map(drop)
    }

    /// Changes what a version sees as a file, in its own copy.
    pub(crate) fn update_file(self: &Rc<Self>, old: &StateRow, new: FileChange<'_>) -> Result<()> {
        let old_content = json::object(old.snapshot.as_deref());
        let was = Descriptor::of(&old.key.entity_id, &old_content);
        let is = Descriptor::of(&id_of(&new.content), &new.content);
        if self.skips_handlers("update", &is)? {
            return Ok(());
        }
        if is.path != was.path {
            check_path(&is.path)?;
        }
        if new.version_id != old.version_id || is.id != was.id {
            return self.move_file(old, &was, new);
        }
        let FileChange { version_id, content, data, untracked } = new;
        let keeps_descriptor = content == old_content && untracked == old.untracked;
        let keeps_lookers = self.lookers(&was.path) == self.lookers(&is.path);
        if data.is_none() && keeps_lookers {
            if !keeps_descriptor {
                let kind = WriteKind::Update;
                self.write_descriptor(kind, &version_id, old.key.clone(), content, untracked)?;
            }
            if is.path != was.path {
                self.rename_written(&version_id, &was, &is.path)?;
            }
            if untracked != old.untracked {
                let summary = self.summary(&version_id, &is.id)?;
                let mut writer = Writer::new(self, &version_id, &is.id, untracked, &summary);
                writer.convert()?;
                writer.finish();
            }
            return Ok(());
        }
        let summary = self.summary(&version_id, &is.id)?;
        let before = match data {
            Some(_) => self.last_bytes(&version_id, &was, &summary),
            None => self.file_data(&version_id, &was).map(LastBytes::Here),
        };
        if let (Some(data), true) = (data, keeps_descriptor) {
            let is_shown = || self.kept_data(&version_id, &is).is_some_and(|shown| *shown == *data);
            if before.as_ref().is_ok_and(|before| before.is(data)) || is_shown() {
                return Ok(());
            }
        }
        let visible;
        let data = match data {
            Some(data) => data,
            None => {
                visible = match &before {
                    Ok(LastBytes::Here(bytes)) => bytes.clone(),
                    Ok(_) => unreachable!("they were read into memory"),
                    Err(error) => return Err(error.clone()),
                };
                &*visible
            }
        };
        if !keeps_descriptor {
            let kind = WriteKind::Update;
            self.write_descriptor(kind, &version_id, old.key.clone(), content.clone(), untracked)?;
        }
        let mut writer = Writer::new(self, &version_id, &is.id, untracked, &summary);
        if untracked != old.untracked {
            writer.convert()?;
        }
        // Only those need to know what was there who have entities of it.
        let lookers = self.lookers(&is.path);
        let plugins = self.plugins();
        let has_entities = lookers.iter().any(|number| {
            let plugins = plugins.as_ref().expect("they look");
            summary.owners.contains_key(&*plugins.manifests()[*number].key)
        });
        let before = match (has_entities, before) {
            (false, _) => None,
            (true, Ok(LastBytes::Here(bytes))) => Some(bytes),
            // The other owners of the content do not count.
            (true, Ok(LastBytes::Unknown(_))) => Some(self.file_data(&version_id, &was)?),
            (true, Err(error)) => return Err(error),
        };
        let before = before.as_ref().map(|bytes| (&was, &**bytes));
        let look = Look { before, after: (&is, data), verb: "updated" };
        let wrote = self.look(writer, &summary, look)?;
        // A version with content of its own has the file itself.
        if wrote && keeps_descriptor && old.inherited_from.is_some() {
            let kind = WriteKind::Update;
            self.write_descriptor(kind, &version_id, old.key.clone(), content, untracked)?;
        }
        Ok(())
    }

    /// Takes a file away from a version, the content first. What is inherited is hidden.
    pub(crate) fn delete_file(self: &Rc<Self>, version_id: &Rc<str>, row: &StateRow) -> Result<()> {
        let file = Descriptor::from_snapshot(&row.key.entity_id, row.snapshot.as_deref());
        let summary = self.summary(version_id, &file.id)?;
        let mut writer = Writer::new(self, version_id, &file.id, row.untracked, &summary);
        if row.untracked && row.inherited_from.is_none() {
            // A file below is seen again, as it is there.
            writer.uncover()?;
            if self.get(version_id, &row.key)?.is_none() {
                writer.untracked = false;
                writer.erase_those(|_| true)?;
            }
        } else {
            writer.erase_those(|other| other.key != row.key)?;
            writer.erase(row)?;
        }
        let changed = writer.finish();
        self.drop_written(version_id, &file.id, changed.as_ref())
    }

    /// Another id or another version: the file goes there.
    fn move_file(
        self: &Rc<Self>,
        old: &StateRow,
        was: &Descriptor,
        new: FileChange<'_>,
    ) -> Result<()> {
        let visible;
        let data = match new.data {
            Some(data) => data,
            None => {
                visible = self.file_data(&old.version_id, was)?;
                &*visible
            }
        };
        self.delete_file(&old.version_id, old)?;
        let FileChange { version_id, content, untracked, .. } = new;
        let there = self.get(&version_id, &Descriptor::key(&id_of(&content)))?;
        match there {
            Some(there) if version_id != old.version_id => {
                let data = Some(data);
                self.update_file(&there, FileChange { version_id, content, data, untracked })
            }
            _ => self.insert_file(NewFile { version_id, content, data, untracked }),
        }
    }

    /// Shows new bytes to whoever looks at the path, and writes what they say. `true`: something was
    /// written to the content.
    fn look(
        self: &Rc<Self>,
        mut writer: Writer<'_>,
        had: &Summary,
        look: Look<'_>,
    ) -> Result<bool> {
        let Look { before, after: (file, data), verb } = look;
        let lookers = self.lookers(&file.path);
        let plugins = self.plugins();
        let key = |number: usize| -> Rc<str> {
            plugins.as_ref().expect("they look").manifests()[number].key.as_str().into()
        };
        let mut keys: Vec<Rc<str>> = lookers.iter().map(|number| key(*number)).collect();
        if keys.is_empty() {
            keys.push(FALLBACK_PLUGIN.into());
        }
        if had.owners.keys().any(|owner| !keys.contains(owner)) {
            writer.erase_those(|row| {
                &*row.plugin_key != OWN_PLUGIN && !keys.contains(&row.plugin_key)
            })?;
        }
        let version_id = writer.version_id;
        if lookers.is_empty() {
            self.note(
                Level::Warn,
                "lix_file_no_plugin",
                format!("File {verb} at {} but no plugin available to detect changes", file.path),
            )?;
            let schema = self.schemas.borrow().compile(&blobs::schema())?;
            self.put_schema(version_id, writer.untracked, &schema, true)?;
            let entity_id = file.id.clone();
            let own = unknown_key(&file.id);
            let old = self.get(version_id, &own)?;
            if had
                .owners
                .get(FALLBACK_PLUGIN)
                .is_some_and(|count| *count > usize::from(old.is_some()))
            {
                writer.erase_those(|row| &*row.plugin_key == FALLBACK_PLUGIN && row.key != own)?;
            }
            let snapshot = Some(self.put_blob(data)?);
            writer.write(&keys[0], vec![Changed { schema, entity_id, snapshot }])?;
            if let Some(old) = old {
                self.release(&old)?;
            }
            let changed = writer.finish();
            self.drop_written(version_id, &file.id, changed.as_ref())?;
            return Ok(changed.is_some());
        }
        let after = file.whole();
        let was = before.map(|(was, data)| (was.whole(), data));
        let mut found_any = false;
        for (number, key) in lookers.iter().zip(&keys) {
            let before = was.as_ref().filter(|_| had.owners.contains_key(key));
            let before = before.map(|(descriptor, data)| PluginFile { descriptor, data });
            let after = PluginFile { descriptor: &after, data };
            let answer = self.call_plugin(version_id, *number, |plugins| {
                plugins.detect_changes(*number, before, after)
            })?;
            let changes = self.read_detected(version_id, writer.untracked, key, &answer)?;
            found_any |= !changes.is_empty();
            writer.write(key, changes)?;
        }
        if !found_any {
            let message = format!("File {verb} at {} but plugin detected no changes", file.path);
            self.note(Level::Debug, "lix_file_no_changes_detected", message)?;
        }
        let applies = |number: &&usize| {
            plugins.as_ref().is_some_and(|plugins| plugins.manifests()[**number].applies)
        };
        let owner = key(*lookers.iter().find(applies).unwrap_or(&lookers[0]));
        let changed = writer.finish();
        let wrote = changed.is_some();
        self.put_written(version_id, file, &owner, data, changed.as_ref())?;
        Ok(wrote)
    }

    /// The bytes that a version has: those that were written last, if the entities are still those,
    /// or what the entities make.
    fn last_bytes(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file: &Descriptor,
        summary: &Summary,
    ) -> Result<LastBytes> {
        let is_unknown = summary.owners.len() == 1 && summary.owners.contains_key(FALLBACK_PLUGIN);
        if is_unknown && let Some(row) = self.get(version_id, &unknown_key(&file.id))? {
            let entities: Vec<Entity> = Entity::of(row).into_iter().collect();
            let entities: Vec<&Entity> = entities.iter().collect();
            return Unknown::read(&file.id, &entities).map(LastBytes::Unknown);
        }
        let written =
            self.with_written(version_id, file, &summary.fingerprint, |bytes| Rc::from(bytes))?;
        match written {
            Some(bytes) => Ok(LastBytes::Here(bytes)),
            None => self.file_data(version_id, file).map(LastBytes::Here),
        }
    }

    fn write_descriptor(
        self: &Rc<Self>,
        kind: WriteKind,
        version_id: &Rc<str>,
        key: Key,
        snapshot: Map<String, Value>,
        untracked: bool,
    ) -> Result<()> {
        self.write(Write {
            kind,
            version_id: version_id.clone(),
            key,
            plugin_key: OWN_PLUGIN.into(),
            schema_version: "1.0".into(),
            snapshot,
            untracked,
        })
    }

    fn skips_handlers(self: &Rc<Self>, verb: &str, file: &Descriptor) -> Result<bool> {
        if self.key_value("lix_skip_file_handlers")? != Some(Value::Bool(true)) {
            return Ok(false);
        }
        let message =
            format!("Skipping file {verb} for {} due to lix_skip_file_handlers flag", file.path);
        self.note(Level::Debug, &format!("lix_file_skipped_{verb}_handler"), message)?;
        Ok(true)
    }
}

/// What a file's bytes were.
enum LastBytes {
    Here(Rc<[u8]>),
    /// Known by their hash, which is enough to compare them.
    Unknown(Unknown),
}

impl LastBytes {
    fn is(&self, data: &[u8]) -> bool {
        match self {
            LastBytes::Here(bytes) => **bytes == *data,
            LastBytes::Unknown(unknown) => unknown.is(data),
        }
    }
}

fn id_of(content: &Map<String, Value>) -> Rc<str> {
    content.get("id").and_then(Value::as_str).unwrap_or_default().into()
}

fn unknown_key(file_id: &Rc<str>) -> Key {
    Key { schema_key: blobs::SCHEMA.into(), entity_id: file_id.clone(), file_id: file_id.clone() }
}

/// What the pattern of the schema leaves open in some lixes: `//` at the start, line breaks; and a
/// NUL, which no glob can match.
fn check_path(path: &str) -> Result<()> {
    if !path.contains("//") && !path.contains(['\n', '\r', '\0']) {
        return Ok(());
    }
    let pattern = PATH_PATTERN;
    let message = format!(
        "The provided snapshot content does not match the schema '{SCHEMA}' (1.0).\n\
         /path must match pattern \"{pattern}\". Received value: {}",
        Value::from(path)
    );
    Err(Error::new(Reason::SchemaMismatch, message).subject(SCHEMA))
}

const PATH_PATTERN: &str = "^(/[^/\\\\\\r\\n]+)+$";
