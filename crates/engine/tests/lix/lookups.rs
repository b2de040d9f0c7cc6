//! Constraints find rows and lose none: every way to ask gets what a look at every row gets.

use crate::script::Lix;

fn filled() -> Lix {
    let mut lix = Lix::with_draft();
    lix.run(
        "insert into key_value(key, value) values ('a', 1), ('b', '\"1\"'), ('5', 5), ('05', 6), ('A', 7);
         insert into key_value_all(key, value, lixcol_version_id) values ('a', 2, 'draft'), ('g', 'x', 'global');
         insert into key_value_all(key, value, lixcol_version_id, lixcol_untracked) values ('u', 'y', 'draft', 1);
         insert into state(entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
         values ('a', 'paragraph', 'f', 'p', '{}', '1.0'), ('odd', 'lix_key_value', 'f', 'p', '{\"key\":\"k\",\"value\":0}', '1.0')",
    );
    lix
}

/// A unary plus keeps SQLite from offering a constraint.
#[test]
fn constraints_do_not_change_what_is_found() {
    let mut lix = filled();
    for (table, terms) in [
        (
            "state",
            vec![
                "entity_id = 'a'",
                "entity_id in ('a', 'b', 'nobody')",
                "schema_key = 'paragraph'",
                "schema_key in ('paragraph', 'lix_key_value')",
                "file_id = 'f'",
                "file_id is 'f'",
                "entity_id = 5",
                "entity_id in (5, 'a')",
                "entity_id = null",
                "entity_id = 'a' collate nocase",
                "entity_id is null",
                "entity_id = x'61'",
            ],
        ),
        (
            "state_all",
            vec![
                "version_id = 'draft'",
                "version_id in ('draft', 'global')",
                "version_id = 'nobody'",
                "entity_id = 'a'",
                "version_id <> 'draft'",
                "inherited_from_version_id = 'global'",
            ],
        ),
        ("state_with_tombstones", vec!["entity_id = 'a'", "version_id = 'global'"]),
        (
            "key_value",
            vec![
                "key = 'a'",
                "key = 'A'",
                "key in ('a', 'b', 'k')",
                "key = 5",
                "key = '5'",
                "key = 5.0",
                "key = 'k'",
                "key = 'a' collate nocase",
                "key > 'a'",
                "key is 'a'",
                "value = 1",
                "value = '1'",
                "lixcol_entity_id = 'odd'",
                "lixcol_file_id = 'f'",
                "lixcol_schema_key = 'lix_key_value'",
                "lixcol_schema_key = 'x'",
                "key in (select value from key_value)",
                "lixcol_untracked = 1",
            ],
        ),
        (
            "key_value_all",
            vec![
                "lixcol_version_id = 'draft'",
                "key = 'u'",
                "key in ('a', 'g')",
                "lixcol_untracked = 1",
                "key in ('a', 'u') and lixcol_version_id in ('draft', 'global')",
                "key = 'a' and lixcol_version_id = 'draft' and lixcol_file_id = 'lix'",
                "key = 'a' or lixcol_version_id = 'global'",
            ],
        ),
        (
            "version",
            vec![
                "id = 'draft'",
                "id in ('draft', 'global')",
                "lixcol_entity_id = 'draft'",
                "name = 'main'",
            ],
        ),
        (
            "version_all",
            vec![
                "id = 'draft'",
                "lixcol_version_id = 'draft'",
                "id = 'draft' and lixcol_version_id = 'global'",
            ],
        ),
        (
            "change",
            vec![
                "entity_id = 'a'",
                "schema_key = 'lix_key_value'",
                "entity_id = 5",
                "file_id = 'f'",
            ],
        ),
        (
            "change_set_element",
            vec![
                "entity_id = 'a'",
                "schema_key = 'paragraph'",
                "entity_id in ('a', 'b') and schema_key = 'lix_key_value'",
            ],
        ),
    ] {
        for term in terms {
            let query = |term: &str| {
                format!("select * from {table} where {term} order by 1, 2, 3, 4, 5, 6, 7, 8")
            };
            // The same comparison where SQLite cannot offer it: over a copy of all rows.
            lix.run(&format!("create temp table copy as select * from {table}"));
            let all =
                lix.rows(&query(term).replace(&format!("from {table} where"), "from copy where"));
            lix.run("drop table copy");
            let found = lix.rows(&query(term));
            if !term.contains("select") {
                assert_eq!(found, all, "{table}: {term}");
            }
        }
    }
}

#[test]
fn history_is_narrowed_and_not_lost() {
    let mut lix = filled();
    lix.run(
        "update key_value set value = value + 1;\n update key_value set value = 0 where key = 'a'",
    );
    let root = "root_commit_id = (select commit_id from version where name = 'main')";
    lix.run(&format!("create temp table copy as select * from state_history where {root}"));
    for term in [
        "depth = 0",
        "depth < 2",
        "depth <= 1",
        "depth > 0",
        "depth >= 1 and depth < 2",
        "depth between 1 and 1",
        "depth = -1",
        "depth > -1",
        "depth in (0, 2)",
        "depth = 1.0",
        "depth < 1.5",
        "depth = '1'",
        "entity_id = 'a'",
        "entity_id in ('a', 'b') and depth < 2",
        "schema_key = 'lix_key_value'",
        "schema_key in ('paragraph', 'x')",
        "file_id = 'f'",
        "commit_id = (select commit_id from version where name = 'main')",
        "entity_id = null",
    ] {
        let order = "order by entity_id, schema_key, depth, change_id";
        assert_eq!(
            lix.rows(&format!("select * from state_history where {root} and {term} {order}")),
            lix.rows(&format!("select * from copy where {term} {order}")),
            "{term}"
        );
    }
}

#[test]
fn joins_look_up_by_key() {
    let mut lix = filled();
    let plan = lix.plan(
        "select k.value, v.name from key_value_all k join version v on v.id = k.lixcol_version_id where k.key = 'a'",
    );
    assert!(plan[0].contains("SCAN k VIRTUAL TABLE"), "{plan:?}");
    assert!(plan[1].contains("SCAN v VIRTUAL TABLE") && plan[1].contains(":id"), "{plan:?}");
    let plan = lix.plan("select s.entity_id from change c join state s on s.change_id = c.id and s.entity_id = c.entity_id
                         and s.schema_key = c.schema_key where c.id = 'x'");
    assert!(plan[0].contains("SCAN c") && plan[1].contains("SCAN s"), "{plan:?}");
    assert_eq!(
        lix.rows(
            "select s.entity_id, c.schema_key from state s join change c on c.id = s.change_id
             where s.entity_id = 'a' order by 2"
        ),
        ["'a' | 'lix_key_value'", "'a' | 'paragraph'"]
    );
    assert_eq!(
        lix.rows("select e.entity_id from \"commit\" c join change_set_element e on e.change_set_id = c.change_set_id
                  where c.id = (select lixcol_commit_id from key_value where key = 'b') order by 1"),
        ["'05'", "'5'", "'A'", "'a'", "'b'"]
    );
}
