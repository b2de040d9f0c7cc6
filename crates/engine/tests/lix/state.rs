//! `state` and its like: chapter 7.

use lix_engine_protocol::Reason;

use crate::script::Lix;

/// An entity whose schema nobody stored.
fn insert(version: Option<&str>, entity_id: &str, content: &str) -> String {
    let (table, column, value) = match version {
        Some(version) => ("state_all", ", version_id", format!(", '{version}'")),
        None => ("state", "", String::new()),
    };
    format!(
        "insert into {table}(entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version{column})
         values ('{entity_id}', 'paragraph', 'essay.md', 'plugin', '{content}', '1.0'{value})"
    )
}

#[test]
fn columns_come_in_the_promised_order() {
    let mut lix = Lix::new();
    let mut columns = |table: &str| {
        let sql = format!("select name from pragma_table_info('{table}') order by cid");
        lix.rows(&sql).join(" ").replace('\'', "")
    };
    assert_eq!(
        columns("state_all"),
        "entity_id schema_key file_id version_id plugin_key snapshot_content schema_version created_at \
         updated_at inherited_from_version_id change_id untracked commit_id"
    );
    assert_eq!(columns("state_with_tombstones"), columns("state_all"));
    assert_eq!(columns("state"), columns("state_all").replace(" version_id", ""));
    assert_eq!(
        columns("state_history"),
        "entity_id schema_key file_id plugin_key snapshot_content schema_version change_id commit_id \
         root_commit_id depth"
    );
}

#[test]
fn a_row_is_written_read_changed_and_deleted() {
    let mut lix = Lix::new();
    lix.run(&insert(None, "p1", "{ \"text\": \"Once\" }"));
    let row = "select entity_id, file_id, plugin_key, snapshot_content, schema_version, untracked,
                      inherited_from_version_id, created_at = updated_at
               from state where entity_id = 'p1' and schema_key = 'paragraph' and file_id = 'essay.md'";
    assert_eq!(
        lix.rows(row),
        [r#"'p1' | 'essay.md' | 'plugin' | '{\"text\":\"Once\"}' | '1.0' | 0 | NULL | 1"#]
    );
    lix.host.platform.set_now_ms(10_000);
    lix.run("update state set snapshot_content = '{\"text\":\"Twice\"}', created_at = 'never' where entity_id = 'p1'");
    assert_eq!(
        lix.rows(row),
        [r#"'p1' | 'essay.md' | 'plugin' | '{\"text\":\"Twice\"}' | '1.0' | 0 | NULL | 0"#],
        "columns that are not writable are ignored"
    );
    lix.run("delete from state where entity_id = 'p1'");
    assert_eq!(lix.rows(row), [] as [&str; 0]);
}

#[test]
fn what_is_missing_is_an_error() {
    let mut lix = Lix::new();
    let whole = insert(None, "p1", "{}");
    for missing in ["'p1'", "'paragraph'", "'essay.md'", "'plugin'"] {
        for value in ["null", "''"] {
            lix.fails(
                &whole.replace(missing, value),
                Reason::Validation,
                "Missing required fields for state mutation",
            );
        }
    }
    lix.fails(
        &insert(Some("x"), "p1", "{}").replace("'x'", "null"),
        Reason::Validation,
        "version_id is required",
    );
    lix.fails(
        &insert(Some("nowhere"), "p1", "{}"),
        Reason::VersionUnknown,
        "Version with id 'nowhere' does not exist",
    );
    for content in ["[]", "1", "\"text\"", "{", ""] {
        lix.fails(&insert(None, "p1", content), Reason::Validation, "snapshot_content");
    }
    assert_eq!(lix.rows("select 1 from state_all where schema_key = 'paragraph'"), [] as [&str; 0]);
}

#[test]
fn a_key_that_is_changed_moves_the_row() {
    let mut lix = Lix::new();
    lix.run(&insert(None, "old", "{\"n\":1}"));
    lix.run("update state set entity_id = 'new' where entity_id = 'old'");
    assert_eq!(
        lix.rows("select entity_id, snapshot_content from state where schema_key = 'paragraph'"),
        [r#"'new' | '{\"n\":1}'"#]
    );
    lix.run("update state set file_id = 'other.md', entity_id = entity_id where entity_id = 'new'");
    assert_eq!(
        lix.rows("select entity_id, file_id from state where schema_key = 'paragraph'"),
        ["'new' | 'other.md'"]
    );
}

#[test]
fn a_row_can_be_moved_to_another_version() {
    let mut lix = Lix::with_draft();
    lix.run(&insert(Some("draft"), "p", "{}"));
    let main = lix.main();
    lix.run(&format!("update state_all set version_id = '{main}' where entity_id = 'p'"));
    assert_eq!(
        lix.rows("select version_id from state_all where entity_id = 'p'"),
        [format!("'{main}'")]
    );
}

#[test]
fn rows_are_written_where_they_are_seen() {
    let mut lix = Lix::with_draft();
    lix.run(&insert(Some("global"), "p", "{\"n\":1}"));
    lix.run("update state_all set snapshot_content = '{\"n\":2}' where entity_id = 'p' and version_id = 'draft'");
    let rows = "select json_extract(snapshot_content, '$.n'), inherited_from_version_id
                from state_all where entity_id = 'p' order by 1, 2";
    assert_eq!(lix.rows(rows), ["1 | NULL", "1 | 'global'", "2 | NULL"]);
    // Without a version every viewer is meant.
    lix.run("update state_all set snapshot_content = '{\"n\":3}' where entity_id = 'p'");
    assert_eq!(lix.rows(rows), ["3 | NULL", "3 | NULL", "3 | NULL"]);
    lix.run("delete from state_all where entity_id = 'p' and version_id = 'global'");
    assert_eq!(lix.rows(rows), ["3 | NULL", "3 | NULL"]);
}

#[test]
fn same_ids_in_different_schemas_and_files_are_different_rows() {
    let mut lix = Lix::new();
    for (schema, file) in [("aaa", "f"), ("zzz", "f"), ("zzz", "g")] {
        lix.run(&insert(None, "e", "{}").replace("paragraph", schema).replace("essay.md", file));
    }
    lix.run("delete from state where entity_id = 'e' and schema_key = 'zzz' and file_id = 'f'");
    assert_eq!(
        lix.rows("select schema_key, file_id from state where entity_id = 'e' order by 1"),
        ["'aaa' | 'f'", "'zzz' | 'g'"]
    );
}

#[test]
fn ids_may_be_any_text() {
    let mut lix = Lix::new();
    let ids = ["a~b", "it''s", "\"q\"", "😀", "1:x", "%", " ", "a''||char(0)||''b"];
    for id in ids {
        let sql = insert(None, "ID", "{}")
            .replace("'ID'", &format!("'{id}'").replace("''||", "'||").replace("||''", "||'"));
        lix.run(&sql);
    }
    let id = |id: &str| format!("'{id}'").replace("''||", "'||").replace("||''", "||'");
    for this in ids {
        let this = id(this);
        assert_eq!(lix.one(&format!("select count(*) from state where entity_id = {this}")), "1");
        lix.run(&format!(
            "update state set snapshot_content = '{{\"n\":1}}' where entity_id = {this}"
        ));
        assert_eq!(
            lix.one(&format!("select snapshot_content from state where entity_id = {this}")),
            r#"{\"n\":1}"#
        );
    }
    assert_eq!(lix.one("select count(*) from state where schema_key = 'paragraph'"), "8");
    for this in ids {
        lix.run(&format!("delete from state where entity_id = {}", id(this)));
    }
    assert_eq!(lix.one("select count(*) from state where schema_key = 'paragraph'"), "0");
}

#[test]
fn content_nested_500_deep_is_kept_and_beyond_sqlite_refused() {
    let mut lix = Lix::new();
    let nested =
        |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    lix.run(&insert(None, "deep", &nested(500)));
    assert_eq!(
        lix.one(&format!(
            "select snapshot_content = '{}' from state where entity_id = 'deep'",
            nested(500)
        )),
        "1"
    );
    lix.fails(&insert(None, "deeper", &nested(1_001)), Reason::Validation, "nested");
    lix.run(&format!("insert into key_value(key, value) values('deep', '{}')", nested(500)));
    assert_eq!(
        lix.one(&format!("select value = '{}' from key_value where key = 'deep'", nested(500))),
        "1"
    );
}

#[test]
fn tables_that_are_computed_refuse_writes() {
    let mut lix = Lix::new();
    for table in [
        "state_with_tombstones",
        "state_history",
        "commit_edge",
        "commit_edge_all",
        "key_value_history",
        "version_history",
    ] {
        let view = format!("cannot modify {table} because it is a view");
        lix.fails(&format!("delete from {table}"), Reason::ReadOnly, &view);
        let column = lix.one(&format!("select name from pragma_table_info('{table}') limit 1"));
        lix.fails(&format!("update {table} set {column} = 'x'"), Reason::ReadOnly, &view);
        lix.fails(&format!("insert into {table}({column}) values ('x')"), Reason::ReadOnly, &view);
    }
}

#[test]
fn without_an_active_version_there_is_nothing() {
    let mut lix = Lix::new();
    lix.run("delete from active_version");
    assert_eq!(lix.rows("select 1 from state"), [] as [&str; 0]);
    assert_eq!(lix.rows("select 1 from key_value"), [] as [&str; 0]);
    lix.fails(&insert(None, "p", "{}"), Reason::Validation, "version_id is required");
    lix.fails(
        "insert into key_value(key, value) values ('k', 1)",
        Reason::Validation,
        "version_id is required",
    );
}

#[test]
fn a_table_of_the_users_wins() {
    let mut lix = Lix::new();
    lix.run("create table state(own);\n insert into state values (1)");
    assert_eq!(lix.rows("select * from state"), ["1"]);
    lix.run("drop table state");
    assert_eq!(lix.rows("select 1 from state where entity_id = 'nobody'"), [] as [&str; 0]);
    assert_eq!(lix.rows("select 1 from sqlite_schema where name = 'state'"), [] as [&str; 0]);
}

#[test]
fn a_write_that_reads_what_it_writes_ends() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values('a', 1), ('b', 2)");
    lix.run(
        "insert into key_value(key, value)
         select 'copy-' || key, value from key_value where key in ('a', 'b')",
    );
    lix.run("insert into key_value(key, value) select 'change-' || id, 0 from change");
    lix.run("update key_value set value = value + 1 where key in (select key from key_value)");
    assert_eq!(
        lix.rows("select value from key_value where key in ('a', 'copy-b') order by key"),
        ["2", "3"]
    );
}
