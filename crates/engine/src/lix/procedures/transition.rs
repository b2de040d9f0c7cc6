//! Back to what a version was at a commit, by a commit on top (18.3 of the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::{Procedure, is_bookkeeping};
use crate::lix::Lix;
use crate::lix::commit::CommitPlan;
use crate::lix::state::Key;
use crate::sqlite::Bound;

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_transition",
    columns: "id text, change_set_id text",
    writes: true,
    run: |lix, call| {
        let (to, version) =
            call.read(|options| Ok((options.id("to")?, options.optional_id("version")?)))?;
        let version = lix.version_or_active(version)?;
        let id = lix.transition(&to, &version)?;
        let change_set_id = lix.change_set_of(&id)?;
        Ok(vec![vec![id.into(), change_set_id.into()]])
    },
}];

impl Lix {
    /// Restores what a version was at a commit: what differs is referenced or deleted by a commit
    /// whose parents are the old tip and that commit. A version that stands there already stays.
    ///
    /// Versions and commits are not restored: what was made since is not unmade, and where a
    /// version stands is moved by commits alone.
    pub(crate) fn transition(self: &Rc<Self>, to: &str, version_id: &str) -> Result<Rc<str>> {
        let to_no = self.settled_commit("to", to)?;
        let tip = self.sealed_tip(version_id)?;
        if *tip == *to {
            return Ok(tip);
        }
        let tip_no = self.existing_commit("to", &tip)?;
        let (mut changes, mut deleted) = (Vec::new(), Vec::new());
        for (key, there) in self.keys_between(tip_no, to_no)? {
            if is_bookkeeping(&key.schema_key) {
                continue;
            }
            let (here, is_live) = match self.tracked(version_id, &key)? {
                Some((seq, is_deleted)) => (Some(seq), !is_deleted),
                None => (None, false),
            };
            match there {
                Some(at) if Some(at.seq) == here => {}
                // There is nothing to delete, unless the version inherits such a row.
                Some(at) if at.is_deleted && !is_live && self.get(version_id, &key)?.is_none() => {}
                Some(at) => changes.push(at.seq),
                // A schema that is stored stays: what was written with it has to stay readable.
                None if &*key.schema_key == "lix_stored_schema" => {}
                None if is_live => deleted.extend(here.map(|seq| (key, seq))),
                None => {}
            }
        }
        changes.sort_unstable();
        for (key, seq) in deleted {
            changes.push(self.delete_after(&key, seq)?);
        }
        self.commit_with(CommitPlan {
            version_id: version_id.into(),
            parents: vec![tip, to.into()],
            changes,
            authors: Vec::new(),
        })
    }

    /// A new change that deletes what another change left.
    pub(super) fn delete_after(self: &Rc<Self>, key: &Key, seq: i64) -> Result<i64> {
        const SQL: &str = "select plugin_key, schema_version from _lix_change where seq = ?";
        let of = self.sql.first(SQL, &[Bound::Integer(seq)], |row| (row.text(0), row.text(1)))?;
        let (plugin_key, schema_version) = of.unwrap_or_default();
        self.insert_change(key, &plugin_key, &schema_version, None)
    }

    /// The change set of a commit.
    pub(super) fn change_set_of(self: &Rc<Self>, commit_id: &str) -> Result<Option<Rc<str>>> {
        const SQL: &str = "select change_set_id from _lix_commit where id = ?";
        Ok(self.sql.first(SQL, &[Bound::Text(commit_id)], |row| row.optional_text(0))?.flatten())
    }
}
