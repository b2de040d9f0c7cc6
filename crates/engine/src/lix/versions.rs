//! The versions there are: names, tips, parents, and where their lines begin. Kept in memory, read
//! from the tables when first asked for, dropped when a transaction takes something back.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::Value;

use super::json;
use super::reads::Read;
use super::state::Key;
use super::{GLOBAL, LIX_FILE, Lix};
use crate::sqlite::Bound;

/// A version.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: Rc<str>,
    pub(crate) name: Rc<str>,
    pub(crate) inherits_from: Option<Rc<str>>,
    pub(crate) working_commit_id: Rc<str>,
    /// Its newest commit, by id and by number.
    pub(crate) tip: Option<(Rc<str>, i64)>,
}

/// A run of rows that a version holds itself: those of a line, up to and including a commit.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) line: Rc<str>,
    pub(crate) until: i64,
}

/// Versions by id.
type ById = BTreeMap<Rc<str>, Rc<Version>>;

/// What is in memory.
#[derive(Default)]
pub(crate) struct Known {
    versions: RefCell<Option<Rc<ById>>>,
    bases: RefCell<Option<Rc<Bases>>>,
    active: RefCell<Option<Option<Rc<str>>>>,
    levels: RefCell<HashMap<Rc<str>, Rc<[Level]>>>,
}

/// One step of inheritance: a version and the layers it holds.
pub(crate) struct Level {
    pub(crate) version_id: Rc<str>,
    pub(crate) layers: Vec<Layer>,
}

#[derive(Default)]
struct Bases {
    /// Version → where its line begins.
    of: HashMap<Rc<str>, (Rc<str>, i64)>,
    /// Version → the latest of its commits that is somebody's base.
    needed: HashMap<Rc<str>, i64>,
}

impl Known {
    pub(crate) fn forget(&self) {
        self.forget_versions();
        self.bases.take();
        self.active.take();
    }

    pub(crate) fn forget_versions(&self) {
        self.versions.take();
        self.levels.borrow_mut().clear();
    }

    pub(crate) fn forget_active(&self) {
        self.active.take();
    }
}

impl Lix {
    /// A version by id; none: there is no such version (any more).
    pub(crate) fn version(&self, id: &str) -> Result<Option<Rc<Version>>> {
        Ok(self.versions()?.get(id).cloned())
    }

    /// A version by id, or the error that says there is none.
    pub(crate) fn known_version(&self, id: &str) -> Result<Rc<Version>> {
        self.version(id)?.ok_or_else(|| unknown_version(id))
    }

    /// All versions, ordered by id.
    pub(crate) fn all_versions(&self) -> Result<Vec<Rc<Version>>> {
        Ok(self.versions()?.values().cloned().collect())
    }

    /// The id of the active version; none: no version is active. While a plugin is called it is the
    /// version that the plugin works for.
    pub(crate) fn active_version_id(&self) -> Result<Option<Rc<str>>> {
        if let Some(version_id) = self.seen_from() {
            return Ok(Some(version_id));
        }
        if let Some(active) = &*self.known.active.borrow() {
            let (schema_key, entity_id) = ACTIVE_VERSION;
            self.note_read(Read { schema_key, version_id: GLOBAL, file_id: LIX_FILE, entity_id });
            return Ok(active.clone());
        }
        let key = Key::own(ACTIVE_VERSION.0, ACTIVE_VERSION.1);
        let active = match self.get(GLOBAL, &key)? {
            Some(row) => {
                let snapshot = json::object(row.snapshot.as_deref());
                snapshot.get("version_id").and_then(Value::as_str).map(Rc::from)
            }
            None => None,
        };
        self.known.active.replace(Some(active.clone()));
        Ok(active)
    }

    /// The levels that a version looks through, itself first. An unknown version has none.
    pub(crate) fn levels(&self, version_id: &str) -> Result<Rc<[Level]>> {
        if let Some(levels) = self.known.levels.borrow().get(version_id) {
            return Ok(levels.clone());
        }
        let mut levels: Vec<Level> = Vec::new();
        let mut next = Some(Rc::<str>::from(version_id));
        while let Some(id) = next {
            let is_known = &*id == GLOBAL || self.versions()?.contains_key(&id);
            if !is_known || levels.iter().any(|level| level.version_id == id) {
                break;
            }
            next = match &*id {
                GLOBAL => None,
                _ => self.versions()?.get(&id).and_then(|version| version.inherits_from.clone()),
            };
            let layers = self.layers(&id)?;
            levels.push(Level { version_id: id, layers });
        }
        let levels: Rc<[Level]> = levels.into();
        self.known.levels.borrow_mut().insert(version_id.into(), levels.clone());
        Ok(levels)
    }

    /// What a version holds itself: its line, then what the line is based on.
    pub(crate) fn layers(&self, version_id: &str) -> Result<Vec<Layer>> {
        let bases = self.bases()?;
        let mut layers = vec![Layer { line: version_id.into(), until: i64::MAX }];
        while let Some((line, until)) = bases.of.get(&layers[layers.len() - 1].line) {
            let until = (*until).min(layers[layers.len() - 1].until);
            layers.push(Layer { line: line.clone(), until });
        }
        Ok(layers)
    }

    /// The latest commit of a version at which another one begins.
    pub(crate) fn needed_until(&self, version_id: &str) -> Result<Option<i64>> {
        Ok(self.bases()?.needed.get(version_id).copied())
    }

    /// The version whose newest commit this is, if it has nothing pending.
    pub(crate) fn version_at(&self, commit_id: &str, except: &str) -> Result<Option<Rc<Version>>> {
        for version in self.versions()?.values() {
            let is_there = version.tip.as_ref().is_some_and(|(tip, _)| &**tip == commit_id);
            if is_there && &*version.id != except && self.pending(&version.id)?.is_none() {
                return Ok(Some(version.clone()));
            }
        }
        Ok(None)
    }

    /// To be called when `_lix_base` has changed.
    pub(crate) fn forget_bases(&self) {
        self.files.forget();
        self.known.bases.take();
        self.known.levels.borrow_mut().clear();
    }

    /// A version's tip is now this commit.
    pub(crate) fn note_tip(&self, version_id: &str, commit_id: &Rc<str>, no: i64) {
        let mut versions = self.known.versions.borrow_mut();
        let Some(versions) = &mut *versions else { return };
        if let Some(version) = Rc::make_mut(versions).get_mut(version_id) {
            Rc::make_mut(version).tip = Some((commit_id.clone(), no));
        }
    }

    fn versions(&self) -> Result<Rc<ById>> {
        if let Some(versions) = &*self.known.versions.borrow() {
            return Ok(versions.clone());
        }
        let mut versions = BTreeMap::new();
        let rows = "
            select d.entity_id, dc.snapshot, tc.snapshot
            from _lix_state d
            join _lix_change dc on dc.seq = d.change_seq
            left join _lix_state t on t.version_id = d.version_id and t.schema_key = 'lix_version_tip'
              and t.entity_id = d.entity_id and t.file_id = d.file_id and t.is_deleted = 0
            left join _lix_change tc on tc.seq = t.change_seq
            where d.version_id = 'global' and d.schema_key = 'lix_version_descriptor'
              and d.file_id = 'lix' and d.is_deleted = 0";
        let mut found = Vec::new();
        self.sql.each(rows, &[], |row| {
            found.push((row.text(0), row.optional_text(1), row.optional_text(2)));
            Ok(())
        })?;
        for (id, descriptor, tip) in found {
            let descriptor = json::object(descriptor.as_deref());
            let text = |name: &str| descriptor.get(name).and_then(Value::as_str).map(Rc::from);
            let tip = match json::object(tip.as_deref()).get("commit_id").and_then(Value::as_str) {
                Some(tip) => self.commit_no(tip)?.map(|no| (tip.into(), no)),
                None => None,
            };
            let version = Version {
                id: id.clone(),
                name: text("name").unwrap_or_default(),
                inherits_from: text("inherits_from_version_id"),
                working_commit_id: text("working_commit_id").unwrap_or_default(),
                tip,
            };
            versions.insert(id, Rc::new(version));
        }
        let versions = Rc::new(versions);
        self.known.versions.replace(Some(versions.clone()));
        Ok(versions)
    }

    fn bases(&self) -> Result<Rc<Bases>> {
        if let Some(bases) = &*self.known.bases.borrow() {
            return Ok(bases.clone());
        }
        let mut bases = Bases::default();
        let sql = "select version_id, base_version_id, base_no from _lix_base";
        self.sql.each(sql, &[], |row| {
            let (base, no) = (row.text(1), row.integer(2));
            let needed = bases.needed.entry(base.clone()).or_insert(no);
            *needed = (*needed).max(no);
            bases.of.insert(row.text(0), (base, no));
            Ok(())
        })?;
        let bases = Rc::new(bases);
        self.known.bases.replace(Some(bases.clone()));
        Ok(bases)
    }

    /// Whether a parent would make a version inherit from itself.
    pub(crate) fn check_inheritance(&self, id: &str, parent: &str) -> Result<()> {
        let mut next = Some(Rc::<str>::from(parent));
        let mut steps = 0;
        while let Some(at) = next {
            if &*at == id || steps > self.versions()?.len() {
                let message = format!(
                    "Version '{id}' cannot inherit from '{parent}': it would inherit from itself"
                );
                return Err(Error::new(Reason::Validation, message).subject(id));
            }
            let version = self.version(&at)?;
            if version.is_none() && steps == 0 {
                return Err(unknown_version(parent));
            }
            next = version.and_then(|version| version.inherits_from.clone());
            steps += 1;
        }
        Ok(())
    }

    /// The number of the commit that a version fills in this transaction.
    pub(crate) fn pending(&self, version_id: &str) -> Result<Option<i64>> {
        if let Some(no) = self.pending.borrow().get(version_id) {
            return Ok(*no);
        }
        let sql = "select no from _lix_commit where id is null and version_id = ?1";
        let no = self.sql.first(sql, &[Bound::Text(version_id)], |row| row.integer(0))?;
        self.pending.borrow_mut().insert(version_id.into(), no);
        Ok(no)
    }
}

impl Key {
    /// A built-in entity's.
    pub(crate) fn own(schema_key: &str, entity_id: &str) -> Self {
        Self {
            schema_key: schema_key.into(),
            entity_id: entity_id.into(),
            file_id: LIX_FILE.into(),
        }
    }
}

/// The entity that says which version is active: its schema and its id.
const ACTIVE_VERSION: (&str, &str) = ("lix_active_version", "active");

pub(crate) fn unknown_version(id: &str) -> Error {
    Error::new(Reason::VersionUnknown, format!("Version with id '{id}' does not exist")).subject(id)
}
