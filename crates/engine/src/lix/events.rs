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

/// Lists the rows in an event, as far as `max_bytes` reach.
pub(crate) fn list(
    event: &mut CommitEvent,
    rows: &[EventRow],
    detail: CommitDetail,
    max_bytes: usize,
) {
    let has_values = detail == CommitDetail::Values;
    let names = &COLUMNS[..if has_values { COLUMNS.len() } else { COLUMNS.len() - 1 }];
    let mut batch = BatchBuilder::new(names.len());
    for row in rows {
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
        let optional = [&row.commit_id, &row.snapshot];
        let bytes = texts.iter().map(|text| text.len()).sum::<usize>()
            + optional
                .iter()
                .filter_map(|text| text.as_ref())
                .map(|text| text.len())
                .sum::<usize>();
        if batch.size() + bytes + names.len() * CELL_BYTES > max_bytes {
            event.truncated = true;
            break;
        }
        for (column, text) in texts.into_iter().enumerate() {
            batch.text(column, text.as_bytes());
        }
        put(&mut batch, COMMIT_ID, row.commit_id.as_deref());
        batch.integer(UNTRACKED, row.commit_id.is_none().into());
        if has_values {
            put(&mut batch, SNAPSHOT, row.snapshot.as_deref());
        }
        batch.end_row();
    }
    event.changes = Some(batch.finish());
    event.columns =
        names.iter().map(|name| Column { name: (*name).into(), decl_type: None }).collect();
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

    #[test]
    fn values_come_only_where_they_were_asked_for() {
        let rows = [row(Some("c"), Some("{}")), row(None, None)];
        let mut event = CommitEvent::default();
        list(&mut event, &rows, CommitDetail::Values, usize::MAX);
        assert_eq!(column(&event, "commit_id"), ["c", "NULL"]);
        assert_eq!(column(&event, "untracked"), ["0", "1"]);
        assert_eq!(column(&event, "snapshot_content"), ["{}", "NULL"]);
        assert!(!event.truncated);

        list(&mut event, &rows, CommitDetail::Keys, usize::MAX);
        assert_eq!(event.columns.last().unwrap().name, "untracked");
        assert_eq!(column(&event, "version_id"), ["v", "v"]);

        list(&mut event, &[], CommitDetail::Keys, usize::MAX);
        assert_eq!((event.changes.unwrap().row_count, event.columns.len()), (0, 10));
    }

    #[test]
    fn a_list_that_is_too_long_ends_early_and_says_so() {
        let rows = vec![row(Some("c"), Some("{}")); 1_000];
        let mut event = CommitEvent::default();
        list(&mut event, &rows, CommitDetail::Values, 10_000);
        assert!(event.truncated);
        let batch = event.changes.unwrap();
        assert!((50..1_000).contains(&batch.row_count), "{}", batch.row_count);
        assert!(prost::Message::encoded_len(&batch) <= 10_000);
    }
}
