//! Tables of schemas: chapter 21.

use lix_engine_protocol::Reason;

use crate::script::Lix;

#[test]
fn every_built_in_schema_has_three_tables() {
    let mut lix = Lix::new();
    for name in [
        "change_set",
        "change_set_element",
        "change_set_label",
        "commit",
        "commit_edge",
        "stored_schema",
        "account",
        "key_value",
        "change_author",
        "label",
        "thread",
        "thread_comment",
        "entity_label",
        "entity_thread",
        "log",
    ] {
        let mut lixcol = |table: String| {
            let sql = format!(
                "select name from pragma_table_info('{table}') where name like 'lixcol%' order by name"
            );
            lix.rows(&sql).join(" ").replace("'lixcol_", "").replace('\'', "")
        };
        let plain = "change_id commit_id created_at entity_id file_id inherited_from_version_id plugin_key \
                     schema_key untracked updated_at";
        assert_eq!(lixcol(name.to_owned()), plain, "{name}");
        assert_eq!(lixcol(format!("{name}_all")), format!("{plain} version_id"), "{name}");
        assert_eq!(
            lixcol(format!("{name}_history")),
            "change_id commit_id depth entity_id file_id plugin_key root_commit_id schema_key schema_version",
            "{name}"
        );
        let count = lix.rows(&format!("select count(*) from \"{name}_all\""));
        assert_eq!(count.len(), 1, "{name}");
    }
}

#[test]
fn properties_come_in_the_order_of_the_schema() {
    let mut lix = Lix::new();
    let mut columns = |table: &str| {
        let sql = format!(
            "select name from pragma_table_info('{table}') where name not like 'lixcol%' order by cid"
        );
        lix.rows(&sql).join(" ").replace('\'', "")
    };
    assert_eq!(columns("key_value"), "key value");
    assert_eq!(columns("thread_comment"), "id thread_id parent_id body");
    assert_eq!(columns("entity_label"), "entity_id schema_key file_id label_id");
}

/// SQL shows a string and an object alike, true and 1, too. Hosts that want to know look here.
#[test]
fn what_sql_loses_of_json_is_in_a_hidden_column() {
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values
         ('a', '{\"x\":1}'), ('b', json_quote('{\"x\":1}')), ('c', 'true'), ('d', 1), ('e', null)",
    );
    let types = ["'sj'", "'ss'", "'sb'", "'sn'", "'s0'"];
    let sql = "select _types from key_value where key in ('a','b','c','d','e') order by key";
    assert_eq!(lix.rows(sql), types);
    let sql = "select _types from key_value_all where key in ('a','b','c','d','e') order by key";
    assert_eq!(lix.rows(sql), types);
    let tip = "(select commit_id from version where name = 'main')";
    let sql = format!(
        "select _types from key_value_history where lixcol_root_commit_id = {tip}
         and key in ('a','b','c','d','e') order by key"
    );
    assert_eq!(lix.rows(&sql), types);
    assert_eq!(
        lix.one("select count(*) from pragma_table_info('key_value') where name = '_types'"),
        "0"
    );
}

/// What begins with `json` is JSON text, or may be. The affinity is TEXT or none: nothing is converted.
#[test]
fn declared_types_say_which_columns_are_json() {
    let mut lix = Lix::new();
    let mut declared = |table: &str, column: &str| {
        lix.one(&format!("select type from pragma_table_info('{table}') where name = '{column}'"))
    };
    for table in ["key_value", "key_value_all", "key_value_history", "stored_schema"] {
        assert_eq!(declared(table, "value"), "json blob", "{table}");
    }
    assert_eq!(declared("change_set", "metadata"), "json text");
    assert_eq!(declared("commit", "change_ids"), "json text");
    assert_eq!(declared("thread_comment_history", "body"), "json text");
    for table in ["state", "state_all", "state_history", "change"] {
        assert_eq!(declared(table, "snapshot_content"), "json text", "{table}");
    }
    assert_eq!(declared("label", "name"), "TEXT");
}

/// The types that a change of any column once got lost.
#[test]
fn an_update_leaves_alone_what_it_does_not_set() {
    let mut lix = Lix::new();
    for (value, json) in [
        ("'\"1\"'", "\"1\""),
        ("'true'", "true"),
        ("'\"true\"'", "\"true\""),
        ("'{\"a\": [1]}'", "{\"a\":[1]}"),
    ] {
        lix.run(&format!("insert into key_value(key, value) values('k', {value})"));
        lix.run("update key_value set lixcol_untracked = 1 where key = 'k'");
        lix.run("update key_value set lixcol_untracked = 0 where key = 'k'");
        let json = json.replace('"', "\\\"");
        assert_eq!(
            lix.one("select json_extract(snapshot_content, '$') from state where entity_id = 'k'"),
            format!("{{\\\"key\\\":\\\"k\\\",\\\"value\\\":{json}}}"),
        );
        lix.run("delete from key_value where key = 'k'");
    }
}

#[test]
fn a_delete_through_the_active_version_stays_there() {
    let mut lix = Lix::with_draft();
    let main = lix.main();
    lix.run(&format!(
        "insert into key_value_all(key, value, lixcol_version_id)
         values ('k', 1, '{main}'), ('k', 1, 'draft'), ('g', 1, 'global')"
    ));
    lix.run("delete from key_value where key in ('k', 'g')");
    assert_eq!(
        lix.rows(
            "select key, lixcol_version_id from key_value_all where key in ('k', 'g') order by 1, 2"
        ),
        ["'g' | 'draft'", "'g' | 'global'", "'k' | 'draft'"]
    );
}

#[test]
fn a_new_primary_key_moves_the_entity() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values('a', '\"1\"')");
    lix.run("update key_value set key = 'b' where key = 'a'");
    assert_eq!(
        lix.rows("select key, lixcol_entity_id from key_value where key in ('a', 'b')"),
        ["'b' | 'b'"]
    );
    assert_eq!(
        lix.one("select snapshot_content from state where entity_id = 'b'"),
        r#"{\"key\":\"b\",\"value\":\"1\"}"#
    );
    lix.run("insert into key_value(key, value) values('c', 1)");
    lix.fails(
        "update key_value set key = 'c' where key = 'b'",
        Reason::PrimaryKey,
        "Primary key constraint violation",
    );
    assert_eq!(lix.one("select count(*) from key_value where key in ('b', 'c')"), "2");
}

#[test]
fn several_properties_make_one_id() {
    let mut lix = Lix::new();
    lix.run(
        "insert into label(id, name) values ('urgent', 'Urgent');
         insert into key_value(key, value) values ('k', 1);
         insert into entity_label(entity_id, schema_key, file_id, label_id)
         values ('k', 'lix_key_value', 'lix', 'urgent')",
    );
    let key = "entity_id = 'k' and schema_key = 'lix_key_value' and file_id = 'lix' and label_id = 'urgent'";
    assert_eq!(
        lix.one(&format!("select lixcol_entity_id from entity_label where {key}")),
        "k~lix_key_value~lix~urgent"
    );
    lix.run(&format!("delete from entity_label where {key}"));
    assert_eq!(lix.one("select count(*) from entity_label where entity_id = 'k'"), "0");
}

#[test]
fn defaults_are_ids() {
    let mut lix = Lix::new();
    lix.run("insert into label(name) values ('x');\n insert into thread(metadata) values (null)");
    assert_eq!(lix.one("select length(id) from label where name = 'x'"), "21");
    assert_eq!(lix.one("select length(id) from thread"), "21");
    lix.run("insert into change_set(id) values (null), (null);\n insert into log(key, message, level) values ('k', 'm', 'info')");
    assert_eq!(lix.one("select length(id) from log"), "21");
    lix.run("insert into \"commit\"(change_set_id) select id from change_set limit 1");
    assert_eq!(
        lix.rows("select 1 from \"commit\" where length(id) = 36 and change_ids is null and lixcol_untracked = 0"),
        ["1"]
    );
}

#[test]
fn an_insert_answers_with_the_values_as_given() {
    let mut lix = Lix::new();
    assert_eq!(lix.rows("insert into label(name) values ('x') returning id, name"), ["NULL | 'x'"]);
}

#[test]
fn a_missing_primary_key_is_an_error() {
    let mut lix = Lix::new();
    for sql in [
        "insert into key_value(value) values (1)",
        "insert into key_value(key, value) values (null, 1)",
        "insert into key_value(key, value) values ('', 1)",
    ] {
        lix.fails(sql, Reason::Validation, "Missing required fields for state mutation");
    }
    lix.fails(
        "insert into key_value_all(key, value) values ('k', 1)",
        Reason::Validation,
        "version_id is required",
    );
    lix.fails("insert into key_value(key, value) values ('k', x'00')", Reason::Validation, "BLOB");
}

#[test]
fn upserts_and_replacing_are_not_there() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('k', 1)");
    lix.fails(
        "insert into key_value(key, value) values ('k', 2) on conflict(key) do update set value = 2",
        Reason::SqlError,
        "",
    );
    lix.fails(
        "insert or replace into key_value(key, value) values ('k', 2)",
        Reason::PrimaryKey,
        "Primary key constraint violation",
    );
    assert_eq!(lix.one("select value from key_value where key = 'k'"), "1");
}

/// An entity that was written through `state` under an id of its own.
#[test]
fn a_primary_key_is_found_whatever_the_id() {
    let mut lix = Lix::new();
    lix.run(
        "insert into state(entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
         values ('odd', 'lix_key_value', 'other', 'plugin', '{\"key\":\"k\",\"value\":\"1\"}', '1.0')",
    );
    let row = "select key, value, lixcol_entity_id, lixcol_file_id from key_value where key = 'k'";
    assert_eq!(lix.rows(row), ["'k' | '1' | 'odd' | 'other'"]);
    lix.run("update key_value set value = '\"2\"' where key = 'k'");
    assert_eq!(lix.rows(row), ["'k' | '2' | 'odd' | 'other'"]);
    lix.run("delete from key_value where key = 'k'");
    assert_eq!(lix.rows(row), [] as [&str; 0]);
}

#[test]
fn booleans_and_numbers_read_as_numbers() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('t', 'true'), ('f', 'false'), ('n', '12345678901'), ('r', '1e3')");
    assert_eq!(
        lix.rows("select key, value, typeof(value) from key_value where key in ('t', 'f', 'n', 'r') order by key"),
        ["'f' | 0 | 'integer'", "'n' | 12345678901 | 'integer'", "'r' | 1000.0 | 'real'", "'t' | 1 | 'integer'"]
    );
}

#[test]
fn a_statement_that_fails_writes_nothing_and_the_transaction_goes_on() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('taken', 1)");
    let changes = lix.one("select count(*) from change");
    let failing = "insert into key_value(key, value) values ('first', 1), ('taken', 2)";
    lix.fails(failing, Reason::PrimaryKey, "Primary key constraint violation");
    assert_eq!(lix.one("select count(*) from change"), changes);
    lix.run("begin;\n insert into key_value(key, value) values ('before', 1);\n savepoint s");
    lix.fails(failing, Reason::PrimaryKey, "Primary key constraint violation");
    lix.fails(
        "update key_value set key = null where key = 'before'",
        Reason::Validation,
        "Missing required fields",
    );
    lix.run(
        "insert into key_value(key, value) values ('within', 1);\n rollback to s;\n release s;
         insert into key_value(key, value) values ('after', 1);\n commit",
    );
    assert_eq!(
        lix.rows("select key from key_value where key in ('first', 'before', 'within', 'after') order by key"),
        ["'after'", "'before'"]
    );
    assert_eq!(lix.one("select value from key_value where key = 'taken'"), "1");
}

/// Every row is moved although the new keys lie where others have been.
#[test]
fn an_update_of_all_keys_moves_each_row_once() {
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values ('n0', 0), ('n1', 1), ('n2', 2);
         update key_value set key = key || '-' || value where key like 'n_'",
    );
    assert_eq!(
        lix.rows("select key, value from key_value where key like 'n%' order by key"),
        ["'n0-0' | 0", "'n1-1' | 1", "'n2-2' | 2"]
    );
    lix.run(
        "create temp table renamed(old, new);
         insert into renamed values ('n0-0', 'a'), ('n2-2', 'b');
         update key_value set key = new, value = 9 from renamed where key = old",
    );
    assert_eq!(
        lix.rows(
            "select key, value from key_value where key in ('a', 'b', 'n0-0', 'n1-1') order by key"
        ),
        ["'a' | 9", "'b' | 9", "'n1-1' | 1"]
    );
}
