//! Schemas that users store: chapter 5.3, and their tables.

use lix_engine_protocol::Reason;

use crate::script::Lix;

const NOTE: &str = r#"{"type":"object","x-lix-key":"note","x-lix-version":"1.0","x-lix-primary-key":["id"],"x-lix-unique":[["slug"]],"additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"},"slug":{"type":["string","null"]},"stars":{"type":["number","null"]},"done":{"type":["boolean","null"]}}}"#;

#[test]
fn key_and_version_follow_from_the_document() {
    let mut lix = Lix::new();
    lix.run(&format!("insert into stored_schema(value) values ('{NOTE}')"));
    assert_eq!(
        lix.rows("select key, version, lixcol_entity_id from stored_schema where key = 'note'"),
        ["'note' | '1.0' | 'note~1.0'"]
    );
    lix.fails(
        &format!("insert into stored_schema(key, value) values ('other', '{NOTE}')"),
        Reason::Validation,
        "Inserted key does not match value.x-lix-key",
    );
    lix.fails(
        &format!("insert into stored_schema(version, value) values ('2.0', '{NOTE}')"),
        Reason::Validation,
        "Inserted version does not match value.x-lix-version",
    );
    for table in ["stored_schema", "stored_schema_all"] {
        lix.fails(
            &format!("update {table} set value = '{{}}' where key = 'note'"),
            Reason::Validation,
            "Schemas are immutable and cannot be updated for backwards compatibility. Bump the version number instead.",
        );
    }
    assert_eq!(lix.one("select count(*) from stored_schema where key = 'lix_label'"), "1");
}

#[test]
fn a_stored_schema_has_tables() {
    let mut lix = Lix::new();
    lix.run(&format!("insert into stored_schema(value) values ('{NOTE}')"));
    lix.run("insert into note(id, slug, stars, done, lixcol_file_id) values ('n1', 'first', 5, 1, 'notes.md')");
    assert_eq!(
        lix.rows("select id, slug, stars, done, lixcol_file_id, lixcol_plugin_key from note where id = 'n1'"),
        ["'n1' | 'first' | 5 | 1 | 'notes.md' | 'lix_own_entity'"]
    );
    assert_eq!(
        lix.one("select snapshot_content from state where entity_id = 'n1'"),
        r#"{\"id\":\"n1\",\"slug\":\"first\",\"stars\":5,\"done\":true}"#
    );
    lix.fails(
        "insert into note(id, slug) values ('n2', 'first')",
        Reason::Unique,
        "Unique constraint violation",
    );
    lix.run("update note set stars = 4 where slug = 'first'");
    assert_eq!(lix.rows("select stars from note_all where id = 'n1'"), ["4"]);
    assert_eq!(
        lix.rows(
            "select stars, lixcol_depth from note_history where id = 'n1'
             and lixcol_root_commit_id = (select commit_id from version where name = 'main') order by 2"
        ),
        ["4 | 0", "5 | 1"]
    );
    let image = lix.host.export();
    let mut again = crate::host::Host::seeded(&image).expect("a lix of ours");
    assert_eq!(again.rows("select id, stars from note"), ["'n1' | 4"]);
}

#[test]
fn without_a_primary_key_there_are_no_tables() {
    let mut lix = Lix::new();
    lix.run(r#"insert into stored_schema(value) values ('{"type":"object","x-lix-key":"loose","x-lix-version":"1.0","properties":{"a":{"type":"string"}}}')"#);
    lix.fails("select * from loose", Reason::SqlError, "no such table");
}

/// As later plugins write their schemas.
#[test]
fn unique_values_may_be_inside_a_property_then_they_are_the_files() {
    let mut lix = Lix::new();
    lix.run(r#"insert into stored_schema(value) values ('{"type":"object","x-lix-key":"block","x-lix-version":"1.0","x-lix-unique":[["/data/id"],["/name"]],"properties":{"data":{"type":"object"},"name":{"type":"string"}}}')"#);
    let block = |entity: &str, file: &str, snapshot: &str| {
        format!(
            "insert into state(entity_id, schema_key, schema_version, file_id, plugin_key, snapshot_content)
             values ('{entity}', 'block', '1.0', '{file}', 'p', '{snapshot}')"
        )
    };
    lix.run(&block("a", "f1", r#"{"data":{"id":1},"name":"x"}"#));
    lix.run(&block("b", "f2", r#"{"data":{"id":1}}"#));
    lix.run(&block("c", "f1", r#"{"data":{"id":2}}"#));
    lix.run(&block("d", "f1", r#"{"data":{}}"#));
    lix.fails(
        &block("e", "f1", r#"{"data":{"id":1}}"#),
        Reason::Unique,
        "The unique constraint on (/data/id) is violated by values ('1')",
    );
    lix.fails(
        &block("e", "f2", r#"{"name":"x"}"#),
        Reason::Unique,
        "The unique constraint on (name) is violated by values ('x')",
    );
}

/// serde_json gives up at 128; a snapshot may be as deep as SQLite's JSON.
#[test]
fn constraints_hold_in_snapshots_of_any_depth() {
    let mut lix = Lix::new();
    let page = NOTE
        .replace("\"x-lix-key\":\"note\"", "\"x-lix-key\":\"page\"")
        .replace("\"properties\":{", "\"properties\":{\"body\":{\"type\":[\"array\",\"null\"]},");
    lix.run(&format!("insert into stored_schema(value) values ('{page}')"));
    let body = format!("{}{}", "[".repeat(500), "]".repeat(500));
    lix.run(&format!("insert into page(id, slug, body) values ('p1', 'deep', '{body}')"));
    lix.fails(
        "insert into page(id, slug) values ('p2', 'deep')",
        Reason::Unique,
        "Unique constraint violation",
    );
    lix.run("insert into page(id, slug) values ('p3', 'flat')");
    lix.fails(
        &format!("update page set slug = 'deep', body = '{body}' where id = 'p3'"),
        Reason::Unique,
        "Unique constraint violation",
    );
}
