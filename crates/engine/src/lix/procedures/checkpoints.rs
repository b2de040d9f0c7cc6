//! Checkpoints and what happened since the last one (chapter 19 of the data model).

use std::collections::BTreeMap;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Value, json};

use super::diff::{DIFF_COLUMNS, DiffRow, Side};
use super::labels::{LABEL, Link};
use super::{Procedure, text};
use crate::lix::json;
use crate::lix::state::{Filter, Key, Viewers};
use crate::lix::{GLOBAL, Lix};
use crate::sqlite::Bound;

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_checkpoint",
        columns: "id text, change_set_id text",
        writes: true,
        run: |lix, call| {
            call.no_options()?;
            let id = lix.create_checkpoint()?;
            let change_set_id = lix.change_set_of(&id)?;
            Ok(vec![vec![id.into(), change_set_id.into()]])
        },
    },
    Procedure {
        name: "lix_working_diff",
        columns: DIFF_COLUMNS,
        writes: false,
        run: |lix, call| {
            let version = call.read(|options| options.optional_id("version"))?;
            let version = lix.version_or_active(version)?;
            let rows = lix.working_diff(&version, call.changed_only)?;
            Ok(rows.into_iter().map(DiffRow::row).collect())
        },
    },
];

/// What happened to a key since the last checkpoint.
struct Work {
    key: Key,
    /// The change at the checkpoint; none: there was no such row.
    before: Option<Rc<str>>,
    after: Rc<str>,
    /// Of the change after.
    seq: i64,
    status: &'static str,
}

impl Lix {
    /// Closes what the active version collected: its working commit gets the changes, becomes the
    /// tip and is labelled, and a new one is opened. All of that is in one commit on global. Without
    /// anything collected the tip is the checkpoint.
    fn create_checkpoint(self: &Rc<Self>) -> Result<Rc<str>> {
        let version_id = self.version_or_active(None)?;
        let tip = self.sealed_tip(&version_id)?;
        // What an earlier checkpoint of this transaction wrote must not be written over.
        self.seal_version(GLOBAL)?;
        let mut work = self.work(&version_id)?;
        work.retain(|work| work.status != "unchanged");
        if work.is_empty() {
            return Ok(tip);
        }
        work.sort_unstable_by_key(|work| work.seq);
        let change_ids: Vec<_> = work.iter().map(|work| &*work.after).collect();

        let checkpoint = self.known_version(&version_id)?.working_commit_id.clone();
        let commit_key = Key::own("lix_commit", &checkpoint);
        let mut commit = self
            .snapshot(GLOBAL, &commit_key)?
            .ok_or_else(|| lost(&format!("working commit '{checkpoint}'")))?;
        commit.insert("change_ids".into(), json!(change_ids));
        commit.insert("parent_commit_ids".into(), json!([&*tip]));
        self.update(GLOBAL, commit_key.clone(), Value::Object(commit))?;

        let label_id = self.checkpoint_label()?;
        let working_commit_id = self.open_working_commit(&[&checkpoint])?;
        self.link(GLOBAL, &Link::new(LABEL, commit_key, label_id))?;

        let descriptor_key = Key::own("lix_version_descriptor", &version_id);
        let mut descriptor = self
            .snapshot(GLOBAL, &descriptor_key)?
            .ok_or_else(|| lost(&format!("descriptor of version '{version_id}'")))?;
        descriptor.insert("working_commit_id".into(), json!(&*working_commit_id));
        self.update(GLOBAL, descriptor_key, Value::Object(descriptor))?;
        self.advance(&version_id, &checkpoint)?;
        Ok(checkpoint)
    }

    /// The label `checkpoint`. Somebody may have deleted it.
    fn checkpoint_label(self: &Rc<Self>) -> Result<Rc<str>> {
        let mut scan = self.scan(Filter {
            viewers: Viewers::These(vec![GLOBAL.into()]),
            schema_keys: Some(vec!["lix_label".into()]),
            own_only: true,
            ..Filter::default()
        })?;
        let mut found: Option<(Rc<str>, Rc<str>)> = None;
        while let Some(row) = scan.next()? {
            let label = json::object(row.snapshot.as_deref());
            if text(&label, "name") == "checkpoint" && !row.untracked {
                let this = (row.created_at, text(&label, "id").into());
                found = Some(found.map_or(this.clone(), |other| other.min(this)));
            }
        }
        match found {
            Some((_, id)) => Ok(id),
            None => self.create_label(None, "checkpoint", GLOBAL),
        }
    }

    /// The keys that were touched since the last checkpoint and are not the same since.
    fn work(self: &Rc<Self>, version_id: &str) -> Result<Vec<Work>> {
        const SQL: &str =
            "select w.schema_key, w.entity_id, w.file_id, b.id, a.id, a.seq, a.snapshot is null
          from _lix_working w
          cross join _lix_state s on s.version_id = w.version_id and s.schema_key = w.schema_key
            and s.entity_id = w.entity_id and s.file_id = w.file_id
          cross join _lix_change a on a.seq = s.change_seq
          left join _lix_change b on b.seq = w.base_seq and b.snapshot is not null
          where w.version_id = ?1";
        let mut work = Vec::new();
        self.sql.each(SQL, &[Bound::Text(version_id)], |row| {
            let key = Key { schema_key: row.text(0), entity_id: row.text(1), file_id: row.text(2) };
            let (before, after) = (row.optional_text(3), row.text(4));
            let status = match (&before, row.integer(6) != 0) {
                (None, true) => return Ok(()),
                (None, false) => "added",
                (Some(_), true) => "removed",
                (Some(before), false) if *before == after => "unchanged",
                (Some(_), false) => "modified",
            };
            work.push(Work { key, before, after, seq: row.integer(5), status });
            Ok(())
        })?;
        Ok(work)
    }

    /// The last checkpoint of a version: the parent of its working commit.
    fn last_checkpoint(self: &Rc<Self>, working_commit_id: &str) -> Result<Option<Rc<str>>> {
        const SQL: &str = "select p.id from _lix_commit w
          join _lix_commit_parent e on e.commit_no = w.no
          join _lix_commit p on p.no = e.parent_no
          where w.id = ?1 order by e.position limit 1";
        let id = self.sql.first(SQL, &[Bound::Text(working_commit_id)], |row| row.optional_text(0));
        Ok(id?.flatten())
    }

    /// What a version shows now compared with what it was at its last checkpoint, in order of keys.
    fn working_diff(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        changed_only: bool,
    ) -> Result<Vec<DiffRow>> {
        let working_commit_id = self.known_version(version_id)?.working_commit_id.clone();
        let checkpoint = self.last_checkpoint(&working_commit_id)?;
        let mut rows = BTreeMap::new();
        for work in self.work(version_id)? {
            let before = Side {
                version_id: None,
                commit_id: work.before.as_ref().and(checkpoint.clone()),
                change_id: work.before,
            };
            let after = Side {
                version_id: None,
                change_id: Some(work.after),
                commit_id: Some(working_commit_id.clone()),
            };
            let row = DiffRow { key: work.key.clone(), before, after, status: work.status };
            rows.insert(work.key, row);
        }
        if changed_only {
            return Ok(rows.into_values().filter(|row| row.status != "unchanged").collect());
        }
        let mut scan = self.scan(Filter {
            viewers: Viewers::These(vec![version_id.clone()]),
            own_only: true,
            ..Filter::default()
        })?;
        while let Some(row) = scan.next()? {
            if row.change_seq.is_none() || rows.contains_key(&row.key) {
                continue;
            }
            let side = Side {
                version_id: None,
                change_id: Some(row.change_id),
                commit_id: Some(row.commit_id),
            };
            let (before, after, status) = (side.clone(), side, "unchanged");
            rows.insert(row.key.clone(), DiffRow { key: row.key, before, after, status });
        }
        Ok(rows.into_values().collect())
    }
}

fn lost(what: &str) -> Error {
    Error::new(Reason::DatabaseCorrupt, format!("the {what} is missing"))
}
