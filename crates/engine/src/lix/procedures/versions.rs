//! Versions are created from a commit and made the active one (17.5, 17.6 of the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::json;

use super::{Options, Procedure, options};
use crate::lix::state::Key;
use crate::lix::write::WriteKind;
use crate::lix::{GLOBAL, Lix};
use crate::sqlite::Bound;

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_version",
        columns: "id text, name text, commit_id text, working_commit_id text, inherits_from_version_id text, hidden integer",
        writes: true,
        run: |lix, call| {
            let version = lix.create_version(call.read(CreateVersion::take)?)?;
            Ok(vec![vec![
                version.id.into(),
                version.name.into(),
                version.commit_id.into(),
                version.working_commit_id.into(),
                version.inherits_from.into(),
                false.into(),
            ]])
        },
    },
    Procedure {
        name: "lix_switch_version",
        columns: "version_id text",
        writes: true,
        run: |lix, call| {
            let to = call.read(|options| options.id("to"))?;
            lix.switch_version(&to)?;
            Ok(vec![vec![to.into()]])
        },
    },
];

/// How a new version is to be.
#[derive(Debug, Default)]
pub(crate) struct CreateVersion {
    pub(crate) id: Option<Rc<str>>,
    pub(crate) name: Option<Rc<str>>,
    pub(crate) start: Start,
    pub(crate) inherits_from: Parent,
}

/// Where a version's line begins.
#[derive(Debug, Default)]
pub(crate) enum Start {
    /// At the tip of the active version.
    #[default]
    Active,
    /// At the tip of this version.
    Version(Rc<str>),
    Commit(Rc<str>),
}

/// The version whose rows show through.
#[derive(Debug, Default)]
pub(crate) enum Parent {
    #[default]
    Global,
    Nobody,
    Version(Rc<str>),
}

/// A version that was just created.
pub(crate) struct Created {
    pub(crate) id: Rc<str>,
    pub(crate) name: Rc<str>,
    pub(crate) commit_id: Rc<str>,
    pub(crate) working_commit_id: Rc<str>,
    pub(crate) inherits_from: Option<Rc<str>>,
}

impl CreateVersion {
    fn take(options: &mut Options) -> Result<Self> {
        let (id, name) = (options.optional_id("id")?, options.optional_text("name")?);
        let start = match (options.optional_id("from")?, options.optional_id("from_commit")?) {
            (None, None) => Start::Active,
            (Some(version), None) => Start::Version(version),
            (None, Some(commit)) => Start::Commit(commit),
            (Some(_), Some(_)) => {
                return Err(options.invalid("from_commit", "cannot be given together with from"));
            }
        };
        let inherits_from = match options.nullable_id("inherits_from")? {
            None => Parent::Global,
            Some(None) => Parent::Nobody,
            Some(Some(version)) => Parent::Version(version),
        };
        Ok(Self { id, name, start, inherits_from })
    }
}

impl Lix {
    /// Creates a version that shows what a commit shows, as rows of its own: one commit on global.
    pub(crate) fn create_version(self: &Rc<Self>, wanted: CreateVersion) -> Result<Created> {
        let commit_id = match wanted.start {
            Start::Active => self.sealed_tip(&self.version_or_active(None)?)?,
            Start::Version(id) => self.sealed_tip(&self.version_or_active(Some(id))?)?,
            Start::Commit(id) => {
                self.settled_commit("from_commit", &id)?;
                // What the line begins with must not be written over.
                self.seal_version(GLOBAL)?;
                id
            }
        };
        let inherits_from = match wanted.inherits_from {
            Parent::Nobody => None,
            Parent::Global => Some(GLOBAL.into()),
            Parent::Version(id) => Some(self.known_version(&id)?.id.clone()),
        };
        let id = self.id_or_new(wanted.id);
        let name = wanted.name.unwrap_or_else(|| self.ids.human_id());
        let working_commit_id = self.open_working_commit(&[])?;
        self.insert(
            GLOBAL,
            Key::own("lix_version_descriptor", &id),
            json!({
                "id": &*id,
                "name": &*name,
                "working_commit_id": &*working_commit_id,
                "inherits_from_version_id": inherits_from.as_deref(),
                "hidden": false,
            }),
        )?;
        let tip = json!({"id": &*id, "commit_id": &*commit_id});
        self.insert(GLOBAL, Key::own("lix_version_tip", &id), tip)?;
        Ok(Created { id, name, commit_id, working_commit_id, inherits_from })
    }

    /// Makes a version the active one. That is untracked, so there is no commit.
    pub(crate) fn switch_version(self: &Rc<Self>, to: &str) -> Result<()> {
        let to = self.known_version(to)?.id.clone();
        if self.active_version_id()?.as_deref() == Some(&*to) {
            return Ok(());
        }
        let key = Key::own("lix_active_version", "active");
        let kind = match self.get(GLOBAL, &key)? {
            Some(_) => WriteKind::Update,
            None => WriteKind::Insert,
        };
        self.write_own(kind, GLOBAL, key, json!({"version_id": &*to}), true)
    }

    /// A version's newest commit, after what is still open in it was closed.
    pub(super) fn sealed_tip(self: &Rc<Self>, version_id: &str) -> Result<Rc<str>> {
        self.seal_version(version_id)?;
        match &self.known_version(version_id)?.tip {
            Some((id, _)) => Ok(id.clone()),
            None => Err(options::invalid(
                "version",
                format!("Version with id '{version_id}' has no commit"),
            )),
        }
    }

    /// The number of a commit that an option names.
    pub(super) fn existing_commit(self: &Rc<Self>, option: &str, id: &str) -> Result<i64> {
        const SQL: &str = "select no from _lix_commit where id = ? and change_seq is not null";
        let no = self.sql.first(SQL, &[Bound::Text(id)], |row| row.integer(0))?;
        no.ok_or_else(|| options::invalid(option, format!("Commit with id '{id}' does not exist")))
    }

    /// The number of a commit that an option names and that will not change any more: what comes
    /// after a working commit would come before it once a checkpoint closes it.
    pub(super) fn settled_commit(self: &Rc<Self>, option: &str, id: &str) -> Result<i64> {
        let no = self.existing_commit(option, id)?;
        match self.all_versions()?.iter().find(|version| &*version.working_commit_id == id) {
            Some(version) => {
                let message = format!(
                    "Commit '{id}' is the working commit of version '{}' and still open",
                    version.id
                );
                Err(options::invalid(option, message))
            }
            None => Ok(no),
        }
    }

    /// A new commit that collects changes until it becomes a checkpoint, and its empty change set.
    pub(super) fn open_working_commit(self: &Rc<Self>, parents: &[&str]) -> Result<Rc<str>> {
        let (change_set_id, id) = (self.ids.nano_id(None), self.ids.uuid_v7());
        let change_set = json!({"id": &*change_set_id, "metadata": null});
        self.insert(GLOBAL, Key::own("lix_change_set", &change_set_id), change_set)?;
        let commit = json!({
            "id": &*id,
            "change_set_id": &*change_set_id,
            "change_ids": [],
            "author_account_ids": [],
            "parent_commit_ids": parents,
            "meta_change_ids": [],
        });
        self.insert(GLOBAL, Key::own("lix_commit", &id), commit)?;
        Ok(id)
    }
}
