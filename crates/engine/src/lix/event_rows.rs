//! The rows of a commit event: what the transaction wrote, read back from the tables.
//!
//! Guarantee: tracked and untracked rows are both there, in the order that the manual fixes.

use std::collections::HashSet;
use std::hash::Hash;
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::json;

use super::events::{EventRow, List};
use super::state::{Key, UNTRACKED};
use super::{GLOBAL, LIX_FILE, Lix, OWN_PLUGIN};
use crate::sqlite::{Bound, Statement};

/// A sealed commit, as far as events tell of it.
struct Sealed {
    no: i64,
    id: Rc<str>,
    version_id: Rc<str>,
    change_set_id: Rc<str>,
    change_id: Rc<str>,
    created_at: Rc<str>,
    snapshot: Option<Rc<str>>,
}

impl Lix {
    /// Lists what was written since the last call, if somebody listens. To be called after a commit.
    pub(crate) fn list_changes(&self, list: &mut List) -> Result<()> {
        let sealed = self.sealed.take();
        let advanced = self.advanced.take();
        let touched = self.touched.take();
        if !self.wants_events.get() {
            return Ok(());
        }
        let mut commits = Vec::new();
        for no in last_of_each(&sealed) {
            commits.extend(self.sealed_commit(*no)?);
        }
        for commit in &commits {
            self.domain_rows(commit, list)?;
        }
        for (version_id, key) in last_of_each(&touched.keys) {
            if !list.is_full() {
                list.push(&self.untracked_event(version_id, key)?);
            }
        }
        for commit in &commits {
            self.author_rows(commit, list)?;
        }
        for commit in &commits {
            list.push(&EventRow {
                id: commit.change_id.clone(),
                snapshot: commit.snapshot.clone(),
                ..commit.graph_row("lix_commit", commit.id.clone())
            });
        }
        for commit in &commits {
            self.tip_rows(commit, list)?;
        }
        for no in last_of_each(&advanced) {
            if let Some(checkpoint) = self.sealed_commit(*no)? {
                self.tip_rows(&checkpoint, list)?;
            }
        }
        for commit in &commits {
            self.edge_rows(commit, list)?;
        }
        Ok(())
    }

    fn sealed_commit(&self, no: i64) -> Result<Option<Sealed>> {
        let sql = "select k.no, k.id, k.version_id, k.change_set_id, c.id, k.created_at, c.snapshot
                   from _lix_commit k join _lix_change c on c.seq = k.change_seq where k.no = ?1";
        self.sql.first(sql, &[Bound::Integer(no)], |row| Sealed {
            no: row.integer(0),
            id: row.text(1),
            version_id: row.text(2),
            change_set_id: row.text(3),
            change_id: row.text(4),
            created_at: row.text(5),
            snapshot: row.optional_text(6),
        })
    }

    /// Every change of a commit, each followed by its place in the commit's change set.
    fn domain_rows(&self, commit: &Sealed, list: &mut List) -> Result<()> {
        if list.is_full() {
            return Ok(());
        }
        let sql = "select c.id, c.entity_id, c.schema_key, c.schema_version, c.file_id, c.plugin_key, c.created_at, c.snapshot
                   from _lix_commit_change m cross join _lix_change c on c.seq = m.change_seq
                   where m.commit_no = ?1 order by m.change_seq";
        self.sql.each(sql, &[Bound::Integer(commit.no)], |row| {
            if list.is_full() {
                return Ok(());
            }
            let domain = change_row(row, &commit.version_id, &commit.id);
            let snapshot = || {
                json!({
                    "change_set_id": &*commit.change_set_id,
                    "change_id": &*domain.id,
                    "entity_id": &*domain.entity_id,
                    "schema_key": &*domain.schema_key,
                    "file_id": &*domain.file_id,
                })
            };
            let entity_id = format!("{}~{}", commit.change_set_id, domain.id);
            let element = EventRow {
                id: domain.id.clone(),
                snapshot: list.has_values().then(|| snapshot().to_string().into()),
                ..commit.graph_row("lix_change_set_element", entity_id.into())
            };
            list.push(&domain);
            list.push(&element);
            Ok(())
        })
    }

    fn author_rows(&self, commit: &Sealed, list: &mut List) -> Result<()> {
        if list.is_full() {
            return Ok(());
        }
        let sql = "select c.id, a.account_id from _lix_commit_change m cross join _lix_change c on c.seq = m.change_seq
                   join _lix_commit_author a on a.commit_no = m.commit_no
                   where m.commit_no = ?1 order by m.change_seq, a.account_id";
        self.sql.each(sql, &[Bound::Integer(commit.no)], |row| {
            let (change_id, account_id) = (row.text(0), row.text(1));
            let author = json!({ "change_id": &*change_id, "account_id": &*account_id });
            list.push(&EventRow {
                snapshot: Some(author.to_string().into()),
                ..commit.graph_row("lix_change_author", format!("{change_id}~{account_id}").into())
            });
            Ok(())
        })
    }

    fn tip_rows(&self, commit: &Sealed, list: &mut List) -> Result<()> {
        let sql = "select c.id, c.entity_id, c.schema_key, c.schema_version, c.file_id, c.plugin_key, c.created_at, c.snapshot
                   from _lix_change c
                   where c.schema_key = 'lix_version_tip' and c.entity_id = ?1 and c.file_id = 'lix'
                     and c.snapshot ->> '$.commit_id' = ?2
                   order by c.seq desc limit 1";
        let params = [Bound::Text(&commit.version_id), Bound::Text(&commit.id)];
        if let Some(row) =
            self.sql.first(sql, &params, |row| change_row(row, GLOBAL, &commit.id))?
        {
            list.push(&row);
        }
        Ok(())
    }

    fn edge_rows(&self, commit: &Sealed, list: &mut List) -> Result<()> {
        let sql = "select p.id from _lix_commit_parent e join _lix_commit p on p.no = e.parent_no
                   where e.commit_no = ?1 order by e.position";
        self.sql.each(sql, &[Bound::Integer(commit.no)], |row| {
            let parent = row.text(0);
            let edge = json!({ "parent_id": &*parent, "child_id": &*commit.id });
            list.push(&EventRow {
                snapshot: Some(edge.to_string().into()),
                ..commit.graph_row("lix_commit_edge", format!("{parent}~{}", commit.id).into())
            });
            Ok(())
        })
    }

    /// An untracked row as it is now; without a snapshot if it is gone.
    fn untracked_event(&self, version_id: &Rc<str>, key: &Key) -> Result<EventRow> {
        let sql = "select schema_version, plugin_key, updated_at, snapshot from _lix_untracked
                   where version_id = ?1 and schema_key = ?2 and entity_id = ?3 and file_id = ?4";
        let params = [
            Bound::Text(version_id),
            Bound::Text(&key.schema_key),
            Bound::Text(&key.entity_id),
            Bound::Text(&key.file_id),
        ];
        let found = self.sql.first(sql, &params, |row| {
            (row.text(0), row.text(1), row.text(2), row.optional_text(3))
        })?;
        let (schema_version, plugin_key, created_at, snapshot) =
            found.unwrap_or_else(|| ("".into(), "".into(), self.ids.timestamp(), None));
        Ok(EventRow {
            id: UNTRACKED.into(),
            entity_id: key.entity_id.clone(),
            schema_key: key.schema_key.clone(),
            schema_version,
            file_id: key.file_id.clone(),
            plugin_key,
            created_at,
            version_id: version_id.clone(),
            commit_id: None,
            snapshot,
        })
    }
}

impl Sealed {
    /// A row about the commit itself; its change is the commit's unless said otherwise.
    fn graph_row(&self, schema_key: &str, entity_id: Rc<str>) -> EventRow {
        EventRow {
            id: self.change_id.clone(),
            entity_id,
            schema_key: schema_key.into(),
            schema_version: "1.0".into(),
            file_id: LIX_FILE.into(),
            plugin_key: OWN_PLUGIN.into(),
            created_at: self.created_at.clone(),
            version_id: GLOBAL.into(),
            commit_id: Some(self.id.clone()),
            snapshot: None,
        }
    }
}

/// What is there several times stands where it is last.
fn last_of_each<T: Eq + Hash>(items: &[T]) -> Vec<&T> {
    let mut seen = HashSet::new();
    let mut last: Vec<_> = items.iter().rev().filter(|item| seen.insert(*item)).collect();
    last.reverse();
    last
}

fn change_row(row: &Statement, version_id: &str, commit_id: &Rc<str>) -> EventRow {
    EventRow {
        id: row.text(0),
        entity_id: row.text(1),
        schema_key: row.text(2),
        schema_version: row.text(3),
        file_id: row.text(4),
        plugin_key: row.text(5),
        created_at: row.text(6),
        version_id: version_id.into(),
        commit_id: Some(commit_id.clone()),
        snapshot: row.optional_text(7),
    }
}
