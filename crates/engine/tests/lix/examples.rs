//! The worked examples of the data model, chapter 28, as far as one table shows them.

use lix_engine_protocol::Reason;

use crate::script::Lix;

#[test]
fn first_tracked_insert() {
    let mut lix = Lix::new();
    let main = lix.main();
    let changes = lix.one("select count(*) from change");
    let before = lix.one(&format!("select commit_id from version where id = '{main}'"));
    let global = lix.one("select commit_id from version where id = 'global'");
    lix.run(r#"insert into key_value(key, value) values ('a', '"1"')"#);
    assert_eq!(
        lix.one(&format!("select count(*) - {changes} from change")),
        "3",
        "the row, the tip, the commit"
    );
    assert_eq!(
        lix.rows("select schema_key, snapshot_content from change where entity_id = 'a'"),
        [r#"'lix_key_value' | '{\"key\":\"a\",\"value\":\"1\"}'"#]
    );
    let after = lix.one(&format!("select commit_id from version where id = '{main}'"));
    assert_ne!(after, before);
    assert_eq!(lix.one("select commit_id from version where id = 'global'"), global);
    assert_eq!(
        lix.rows(&format!(
            "select s.entity_id, s.commit_id = '{after}', s.untracked, s.inherited_from_version_id,
                    (select c.schema_key from change c where c.id = s.change_id)
             from state s where s.entity_id = 'a'"
        )),
        ["'a' | 1 | 0 | NULL | 'lix_key_value'"]
    );
    assert_eq!(
        lix.rows(
            "select e.lixcol_untracked from change_set_element e where e.entity_id = 'a' order by 1"
        ),
        ["0", "1"],
        "in the commit's set and in the working set"
    );
    assert_eq!(
        lix.rows(&format!(
            "select c.change_ids = json_array(s.change_id), c.parent_commit_ids
             from \"commit\" c, state s where c.id = '{after}' and s.entity_id = 'a'"
        )),
        [format!("1 | '[\\\"{before}\\\"]'")]
    );
}

#[test]
fn inheritance_override_and_copy_on_write_delete() {
    let mut lix = Lix::with_draft();
    let main = lix.main();
    lix.run(
        "insert into key_value_all(key, value, lixcol_version_id) values ('theme', '\"light\"', 'global');
         update active_version set version_id = 'draft';
         update key_value set value = '\"dark\"' where key = 'theme'",
    );
    let all = "select lixcol_version_id, value, lixcol_inherited_from_version_id
               from key_value_all where key = 'theme' order by lixcol_version_id <> 'draft', value, 3";
    assert_eq!(
        lix.rows(all),
        [
            "'draft' | 'dark' | NULL".to_owned(),
            "'global' | 'light' | NULL".to_owned(),
            format!("'{main}' | 'light' | 'global'"),
        ]
    );
    lix.run("delete from state where entity_id = 'theme' and schema_key = 'lix_key_value'");
    assert_eq!(
        lix.rows(all),
        ["'global' | 'light' | NULL".to_owned(), format!("'{main}' | 'light' | 'global'")]
    );
    assert_eq!(
        lix.rows(
            "select version_id, snapshot_content, inherited_from_version_id
             from state_with_tombstones where entity_id = 'theme' and snapshot_content is null"
        ),
        ["'draft' | NULL | NULL"]
    );
}

#[test]
fn transactions() {
    let mut lix = Lix::new();
    let commits = "select count(*) from \"commit\"";
    let before: i64 = lix.one(commits).parse().unwrap();
    lix.run("begin;\n insert into key_value(key, value) values('b', '1')");
    assert_eq!(lix.one("select lixcol_commit_id from key_value where key = 'b'"), "pending");
    lix.run("insert into key_value(key, value) values('b', '2');\n commit");
    assert_eq!(lix.one(commits), (before + 1).to_string());
    assert_eq!(
        lix.rows("select snapshot_content from change where entity_id = 'b'"),
        [r#"'{\"key\":\"b\",\"value\":2}'"#]
    );

    lix.run("begin;\n insert into key_value(key, value) values('c', '1');\n delete from key_value where key = 'c'");
    assert_eq!(lix.rows("select 1 from key_value where key = 'c'"), [] as [&str; 0]);
    lix.run("commit");
    assert_eq!(lix.rows("select snapshot_content from change where entity_id = 'c'"), ["NULL"]);
    assert_eq!(lix.rows("select 1 from state where entity_id = 'c'"), [] as [&str; 0]);

    let changes = lix.one("select count(*) from change");
    lix.run("begin;\n insert into key_value(key, value) values('d', '1');\n rollback");
    assert_eq!(lix.one("select count(*) from change"), changes);
    assert_eq!(lix.rows("select 1 from key_value where key = 'd'"), [] as [&str; 0]);
}

#[test]
fn primary_key_versus_inherited_row() {
    let mut lix = Lix::new();
    lix.run("insert into key_value_all(key, value, lixcol_version_id) values('g', '1', 'global')");
    lix.fails(
        "insert into key_value(key, value) values('g', '2')",
        Reason::PrimaryKey,
        "Primary key constraint violation",
    );
    lix.run("update key_value set value = '3' where key = 'g'");
    assert_eq!(
        lix.rows(
            "select value, lixcol_inherited_from_version_id from key_value_all where key = 'g' order by 1"
        ),
        ["1 | NULL", "3 | NULL"]
    );
}

#[test]
fn untracked_overlay() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values('t', '1')");
    let changes = lix.one("select count(*) from change");
    lix.run("update key_value set value = '2', lixcol_untracked = 1 where key = 't'");
    let row = "select value, lixcol_untracked from key_value where key = 't'";
    assert_eq!(lix.rows(row), ["2 | 1"]);
    assert_eq!(lix.one("select count(*) from change"), changes);
    lix.run("delete from key_value where key = 't'");
    assert_eq!(lix.rows(row), ["1 | 0"]);
}

#[test]
fn history_depth() {
    let mut lix = Lix::new();
    lix.run(
        "insert into key_value(key, value) values('a', '\"v0\"');
         update key_value set value = '\"v1\"' where key = 'a';
         insert into key_value(key, value) values('z', '1')",
    );
    let history = "select value, lixcol_depth from key_value_history
                   where key = 'a' and lixcol_root_commit_id =
                       (select commit_id from version where name = 'main')
                   order by lixcol_depth";
    assert_eq!(lix.rows(history), ["'v1' | 1", "'v0' | 2"]);
    lix.run("delete from key_value where key = 'a'");
    assert_eq!(lix.rows(history), ["'v1' | 2", "'v0' | 3"]);
    let deep = history.replace("order by", "and lixcol_depth > 2 order by");
    assert_eq!(lix.rows(&deep), ["'v0' | 3"]);
    assert_eq!(
        lix.rows(
            "select entity_id, json_extract(snapshot_content, '$.value'), depth from state_history
             where entity_id in ('a', 'z') and schema_key = 'lix_key_value' and depth between 1 and 2
             and root_commit_id = (select commit_id from version where name = 'main') order by 1"
        ),
        ["'a' | 'v1' | 2", "'z' | 1 | 1"]
    );
}

#[test]
fn raw_sql_typing_through_key_value() {
    let mut lix = Lix::new();
    for (sql, json) in [
        ("'hello'", "\"hello\""),
        ("'1'", "1"),
        ("1", "1"),
        ("'true'", "true"),
        ("'{\"a\":1}'", "{\"a\":1}"),
        ("'\"1\"'", "\"1\""),
        ("null", "null"),
        ("1.5", "1.5"),
    ] {
        lix.run(&format!("insert into key_value(key, value) values('k', {sql})"));
        let found = "select snapshot_content = '{\"key\":\"k\",\"value\":' || ?1 || '}' from state where entity_id = 'k'";
        let found = found.replace("?1", &format!("'{json}'"));
        assert_eq!(lix.one(&found), "1", "{sql}");
        lix.run("delete from key_value where key = 'k'");
    }
}
