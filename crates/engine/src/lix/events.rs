//! What a commit tells those who listen: one row per row of state that it wrote.

use std::rc::Rc;

use lix_engine_protocol::BatchBuilder;
use lix_engine_protocol::proto::{Column, CommitDetail, CommitEvent};

/// A row of a commit event, as `CommitEvent.columns` of the manual describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub(crate) id: Rc<str>,
    pub(crate) entity_id: Rc<str>,
    pub(crate) schema_key: Rc<str>,
    pub(crate) schema_version: Rc<str>,
    pub(crate) file_id: Rc<str>,
    pub(crate) plugin_key: Rc<str>,
    pub(crate) created_at: Rc<str>,
    pub(crate) version_id: Rc<str>,
    /// None: untracked.
    pub(crate) commit_id: Option<Rc<str>>,
    /// None: deleted, or nobody asked for values.
    pub(crate) snapshot: Option<Rc<str>>,
}

/// Whether events list rows at all.
pub(crate) fn has_rows(detail: CommitDetail) -> bool {
    matches!(detail, CommitDetail::Keys | CommitDetail::Values)
}

/// The list of an event, as far as a number of bytes reaches.
pub(crate) struct List {
    batch: BatchBuilder,
    names: &'static [&'static str],
    max_bytes: usize,
    is_full: bool,
}

impl List {
    pub(crate) fn new(detail: CommitDetail, max_bytes: usize) -> Self {
        let is_short = detail != CommitDetail::Values;
        let names = &COLUMNS[..COLUMNS.len() - usize::from(is_short)];
        Self { batch: BatchBuilder::new(names.len()), names, max_bytes, is_full: false }
    }

    /// Whether the content of rows matters.
    pub(crate) fn has_values(&self) -> bool {
        self.names.len() == COLUMNS.len()
    }

    /// Nothing that is added from here on is listed.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn push(&mut self, row: &EventRow) {
        let texts = [
            &row.id,
            &row.entity_id,
            &row.schema_key,
            &row.schema_version,
            &row.file_id,
            &row.plugin_key,
            &row.created_at,
            &row.version_id,
        ];
        let snapshot = row.snapshot.as_ref().filter(|_| self.has_values());
        let bytes: usize = texts
            .into_iter()
            .chain(&row.commit_id)
            .chain(snapshot)
            .map(|text| text.len() + CELL_BYTES)
            .sum();
        self.is_full |= self.batch.size() + bytes + 3 * CELL_BYTES > self.max_bytes;
        if self.is_full {
            return;
        }
        for (column, text) in texts.into_iter().enumerate() {
            self.batch.text(column, text.as_bytes());
        }
        put(&mut self.batch, COMMIT_ID, row.commit_id.as_deref());
        self.batch.integer(UNTRACKED, row.commit_id.is_none().into());
        if self.has_values() {
            put(&mut self.batch, SNAPSHOT, row.snapshot.as_deref());
        }
        self.batch.end_row();
    }

    pub(crate) fn finish(self, event: &mut CommitEvent) {
        event.changes = Some(self.batch.finish());
        event.truncated = self.is_full;
        let column = |name: &&str| Column { name: (*name).into(), decl_type: None };
        event.columns = self.names.iter().map(column).collect();
    }
}

fn put(batch: &mut BatchBuilder, column: usize, text: Option<&str>) {
    match text {
        Some(text) => batch.text(column, text.as_bytes()),
        None => batch.null(column),
    }
}

const COLUMNS: [&str; 11] = [
    "id",
    "entity_id",
    "schema_key",
    "schema_version",
    "file_id",
    "plugin_key",
    "created_at",
    "version_id",
    "commit_id",
    "untracked",
    "snapshot_content",
];
const COMMIT_ID: usize = 8;
const UNTRACKED: usize = 9;
const SNAPSHOT: usize = 10;

/// What a cell takes at most besides its text.
const CELL_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use lix_engine_protocol::{Cell, cells};

    use super::*;

    fn row(commit_id: Option<&str>, snapshot: Option<&str>) -> EventRow {
        let text = |text: &str| Rc::from(text);
        EventRow {
            id: text("i"),
            entity_id: text("e"),
            schema_key: text("k"),
            schema_version: text("1.0"),
            file_id: text("f"),
            plugin_key: text("p"),
            created_at: text("2026-01-01T00:00:00.000Z"),
            version_id: text("v"),
            commit_id: commit_id.map(text),
            snapshot: snapshot.map(text),
        }
    }

    fn column(event: &CommitEvent, name: &str) -> Vec<String> {
        let index = event.columns.iter().position(|column| column.name == name).unwrap();
        let batch = event.changes.as_ref().unwrap();
        let cells = cells(batch).nth(index).unwrap().unwrap();
        let show = |cell| match cell {
            Cell::Null => "NULL".into(),
            Cell::Integer(value) => value.to_string(),
            Cell::Text(text) => text.to_owned(),
            cell => panic!("{cell:?}"),
        };
        cells.map(show).collect()
    }

    fn list(rows: &[EventRow], detail: CommitDetail, max_bytes: usize) -> CommitEvent {
        let mut list = List::new(detail, max_bytes);
        rows.iter().for_each(|row| list.push(row));
        let mut event = CommitEvent::default();
        list.finish(&mut event);
        event
    }

    #[test]
    fn values_come_only_where_they_were_asked_for() {
        let rows = [row(Some("c"), Some("{}")), row(None, None)];
        let event = list(&rows, CommitDetail::Values, usize::MAX);
        assert_eq!(column(&event, "commit_id"), ["c", "NULL"]);
        assert_eq!(column(&event, "untracked"), ["0", "1"]);
        assert_eq!(column(&event, "snapshot_content"), ["{}", "NULL"]);
        assert!(!event.truncated);

        let event = list(&rows, CommitDetail::Keys, usize::MAX);
        assert_eq!(event.columns.last().unwrap().name, "untracked");
        assert_eq!(column(&event, "version_id"), ["v", "v"]);

        let event = list(&[], CommitDetail::Keys, usize::MAX);
        assert_eq!((event.changes.unwrap().row_count, event.columns.len()), (0, 10));
    }

    #[test]
    fn a_list_that_is_too_long_ends_early_and_says_so() {
        let mut rows = vec![row(Some("c"), Some("{}")); 1_000];
        let event = list(&rows, CommitDetail::Values, 10_000);
        assert!(event.truncated);
        let batch = event.changes.unwrap();
        assert!((50..1_000).contains(&batch.row_count), "{}", batch.row_count);
        assert!(prost::Message::encoded_len(&batch) <= 10_000);

        // What is listed is a beginning: a small row behind one that is too large is not.
        rows[1].snapshot = Some("x".repeat(10_000).into());
        let batch = list(&rows[..3], CommitDetail::Values, 10_000).changes.unwrap();
        assert_eq!(batch.row_count, 1);
    }
}
