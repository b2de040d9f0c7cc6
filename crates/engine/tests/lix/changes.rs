//! The log: chapter 15.

use lix_engine_protocol::Reason;

use crate::script::Lix;

fn insert(id: &str, created_at: &str, content: &str) -> String {
    format!(
        "insert into change(id, entity_id, schema_key, schema_version, file_id, plugin_key, created_at, snapshot_content)
         values ({id}, 'e', 'mine', '1.0', 'f', 'p', {created_at}, {content})"
    )
}

#[test]
fn a_change_is_added_and_nothing_else_happens() {
    let mut lix = Lix::new();
    let commits = lix.one("select count(*) from \"commit\"");
    lix.run(&insert("'ch'", "'2020-01-01T00:00:00.000Z'", "'{\"a\": 1}'"));
    assert_eq!(
        lix.rows("select * from change where id = 'ch'"),
        [r#"'ch' | 'e' | 'mine' | '1.0' | 'f' | 'p' | '2020-01-01T00:00:00.000Z' | '{\"a\":1}'"#]
    );
    assert_eq!(lix.rows("select 1 from state_all where entity_id = 'e'"), [] as [&str; 0]);
    assert_eq!(lix.one("select count(*) from \"commit\""), commits);
    lix.run(&insert("null", "null", "null"));
    assert_eq!(
        lix.rows("select length(id), created_at like '%Z', snapshot_content from change where entity_id = 'e' and id <> 'ch'"),
        ["36 | 1 | NULL"]
    );
}

#[test]
fn what_is_no_change_is_refused() {
    let mut lix = Lix::new();
    lix.fails(
        &insert("'c'", "'2020-01-01T00:00:00.000+01:00'", "null"),
        Reason::Check,
        "created_at",
    );
    lix.fails(&insert("'c'", "null", "'[]'"), Reason::Validation, "object");
    lix.fails(
        &insert("'c'", "null", "null").replace("'mine'", "null"),
        Reason::NotNull,
        "change.schema_key",
    );
    lix.run(&insert("'c'", "null", "null"));
    lix.fails(&insert("'c'", "null", "null"), Reason::PrimaryKey, "change.id");
    lix.fails("update change set entity_id = 'x' where id = 'c'", Reason::ReadOnly, "change");
    lix.fails("delete from change where id = 'c'", Reason::ReadOnly, "change");
    assert_eq!(lix.one("select count(*) from change where id = 'c'"), "1");
}

#[test]
fn every_way_to_look_finds_the_same() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('a', 1), ('b', 2), ('c', 3);\n update key_value set value = 4 where key = 'a'");
    let all = lix.rows("select * from change order by id");
    for term in ["id", "entity_id", "schema_key", "file_id", "entity_id || ''"] {
        let sql =
            format!("select * from change where {term} in (select {term} from change) order by id");
        assert_eq!(lix.rows(&sql), all, "{term}");
    }
    let one = |lix: &mut Lix, terms: &str| {
        lix.rows(&format!(
            "select json_extract(snapshot_content, '$.value') from change where {terms} order by 1"
        ))
    };
    assert_eq!(one(&mut lix, "entity_id = 'a'"), ["1", "4"]);
    assert_eq!(
        one(&mut lix, "entity_id in ('a', 'b') and schema_key = 'lix_key_value'"),
        ["1", "2", "4"]
    );
    assert_eq!(
        one(&mut lix, "entity_id = 'a' and schema_key = 'lix_key_value' and file_id = 'lix'"),
        ["1", "4"]
    );
    assert_eq!(one(&mut lix, "entity_id = 'a' and file_id = 'other'"), [] as [&str; 0]);
    assert_eq!(one(&mut lix, "entity_id = null"), [] as [&str; 0]);
}

#[test]
fn changes_of_the_open_transaction_are_there() {
    let mut lix = Lix::new();
    lix.run("begin;\n insert into key_value(key, value) values ('a', 1), ('u', 1);\n update key_value set lixcol_untracked = 1 where key = 'u'");
    let id = lix.one("select lixcol_change_id from key_value where key = 'a'");
    assert_eq!(lix.rows(&format!("select entity_id from change where id = '{id}'")), ["'a'"]);
    lix.run("insert into key_value(key, value, lixcol_untracked) values ('v', 1, 1)");
    assert_eq!(lix.rows("select 1 from change where entity_id = 'v'"), [] as [&str; 0]);
    lix.run("commit");
    assert_eq!(lix.one("select lixcol_change_id from key_value where key = 'a'"), id);
    assert_eq!(lix.rows(&format!("select entity_id from change where id = '{id}'")), ["'a'"]);
}
