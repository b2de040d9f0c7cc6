//! What unit tests of change control start from.

use std::rc::Rc;
use std::sync::Arc;

use super::Lix;
use super::state::Key;
use crate::Platform;
use crate::sqlite::Link;
use crate::vfs::SharedImage;

/// The tables, empty, over an image in memory.
pub(crate) fn bare() -> Rc<Lix> {
    let platform = Arc::new(Standing);
    let link = match Link::open(SharedImage::default(), platform.clone()) {
        Ok(link) => link,
        Err(report) => panic!("{}", report.message),
    };
    let lix = Lix::new(link, platform);
    lix.sql.script(include_str!("tables.sql")).expect("our own tables");
    lix
}

/// Time stands still and chance always throws the same.
pub(crate) struct Standing;

impl Platform for Standing {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }
}

/// A log and a commit graph put together by hand.
pub(crate) struct Log {
    pub(crate) lix: Rc<Lix>,
    minute: std::cell::Cell<u32>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { lix: bare(), minute: std::cell::Cell::new(0) }
    }

    /// A change of an entity `schema/entity`, each a minute later than the one before.
    pub(crate) fn change(&self, id: &str, key: &str, snapshot: Option<&str>) -> i64 {
        let (schema_key, entity_id) = key.split_once('/').expect("schema/entity");
        self.minute.set(self.minute.get() + 1);
        let created_at = format!("2025-01-01T00:{:02}:00.000Z", self.minute.get());
        let key = Key::own(schema_key, entity_id);
        self.lix.insert_change_as(id, &created_at, &key, "plugin", "1.0", snapshot).unwrap()
    }

    /// A commit `id` with the change set `set-id`.
    pub(crate) fn commit(&self, id: &str, parents: &[&str], changes: &[&str], authors: &[&str]) {
        let commit = serde_json::json!({
            "id": id,
            "change_set_id": format!("set-{id}"),
            "change_ids": changes,
            "author_account_ids": authors,
            "parent_commit_ids": parents,
        });
        let key = format!("lix_commit/{id}");
        let seq = self.change(&format!("of-{id}"), &key, Some(&commit.to_string()));
        let created_at = self.lix.change(seq).unwrap().created_at;
        self.lix.put_commit(id, seq, commit.as_object(), &created_at).unwrap();
    }

    /// A live row of a version, as of a commit.
    pub(crate) fn state(&self, version_id: &str, key: &str, seq: i64, commit_id: &str) {
        let (schema_key, entity_id) = key.split_once('/').expect("schema/entity");
        let no = self.lix.commit_no(commit_id).unwrap().expect("a commit");
        let is_deleted = self.lix.change(seq).unwrap().snapshot.is_none();
        let key = Key::own(schema_key, entity_id);
        self.lix.put_state(version_id, &key, seq, no, None, is_deleted).unwrap();
    }

    /// A version with a working commit and nothing else.
    pub(crate) fn version(&self, id: &str, working_commit_id: &str, commit_id: &str) {
        let descriptor = serde_json::json!({ "id": id, "working_commit_id": working_commit_id });
        let key = format!("lix_version_descriptor/{id}");
        let seq = self.change(&format!("version-{id}"), &key, Some(&descriptor.to_string()));
        self.state("global", &key, seq, commit_id);
        self.lix.forget();
    }

    /// Work of a version since its last checkpoint; `base`: what was there then.
    pub(crate) fn work(&self, version_id: &str, key: &str, base: Option<i64>) {
        let (schema_key, entity_id) = key.split_once('/').expect("schema/entity");
        let base = base.map_or("null".into(), |seq| seq.to_string());
        let sql = format!(
            "insert into _lix_working values ('{version_id}', '{schema_key}', '{entity_id}', 'lix', {base})"
        );
        self.lix.sql.script(&sql).unwrap();
    }
}
