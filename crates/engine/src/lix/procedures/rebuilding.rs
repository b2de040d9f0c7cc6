//! Everything that is computed from changes, computed again.

use super::Procedure;

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_rebuild",
    columns: "table_name text, row_count integer",
    writes: true,
    run: |lix, call| {
        call.no_options()?;
        lix.seal()?;
        lix.rebuild()?;
        let mut rows = Vec::new();
        for (table, count) in DERIVED {
            let count = lix.sql.first(count, &[], |row| row.integer(0))?.unwrap_or_default();
            rows.push(vec![(*table).into(), count.into()]);
        }
        Ok(rows)
    },
}];

/// The tables that are computed, with the statement that counts their rows.
const DERIVED: &[(&str, &str)] = &[
    ("_lix_commit", "select count(*) from _lix_commit"),
    ("_lix_commit_parent", "select count(*) from _lix_commit_parent"),
    ("_lix_commit_change", "select count(*) from _lix_commit_change"),
    ("_lix_commit_author", "select count(*) from _lix_commit_author"),
    ("_lix_state", "select count(*) from _lix_state"),
    ("_lix_state_past", "select count(*) from _lix_state_past"),
    ("_lix_base", "select count(*) from _lix_base"),
    ("_lix_working", "select count(*) from _lix_working"),
    ("_lix_lookup", "select count(*) from _lix_lookup"),
];
