//! The tables of versions: chapters 17.2 and 17.3.

use lix_engine_protocol::Reason;

use crate::script::Lix;

/// A commit for a new version to work in.
fn working_commit(lix: &mut Lix, id: &str) {
    lix.run(&format!(
        "insert into change_set_all(id, lixcol_version_id) values ('set-{id}', 'global');
         insert into commit_all(id, change_set_id, lixcol_version_id) values ('{id}', 'set-{id}', 'global')"
    ));
}

#[test]
fn columns() {
    let mut lix = Lix::new();
    let mut columns = |table: &str| {
        let sql = format!("select name from pragma_table_info('{table}') order by cid");
        lix.rows(&sql).join(" ").replace('\'', "")
    };
    let own = "id name commit_id working_commit_id inherits_from_version_id hidden lixcol_entity_id lixcol_file_id \
               lixcol_schema_key";
    let common = "lixcol_inherited_from_version_id lixcol_change_id lixcol_created_at lixcol_updated_at \
                  lixcol_commit_id lixcol_untracked";
    assert_eq!(columns("version"), format!("{own} {common}"));
    assert_eq!(
        columns("version_all"),
        format!("{own} lixcol_plugin_key lixcol_schema_version lixcol_version_id {common}")
    );
    let active = "lixcol_inherited_from_version_id lixcol_created_at lixcol_updated_at lixcol_file_id \
                  lixcol_change_id lixcol_untracked";
    assert_eq!(columns("active_version"), format!("version_id {active}"));
    assert_eq!(columns("active_account"), format!("account_id {active}"));
}

#[test]
fn a_new_lix_has_two() {
    let mut lix = Lix::new();
    assert_eq!(
        lix.rows(
            "select name, inherits_from_version_id, hidden, commit_id is not null, lixcol_schema_key, lixcol_file_id,
                    lixcol_inherited_from_version_id, lixcol_untracked, id = lixcol_entity_id
             from version order by name"
        ),
        [
            "'global' | NULL | 1 | 1 | 'lix_version' | 'lix' | NULL | 0 | 1",
            "'main' | 'global' | 0 | 1 | 'lix_version' | 'lix' | NULL | 0 | 1"
        ]
    );
    let main = lix.main();
    assert_eq!(
        lix.rows(&format!(
            "select name, lixcol_inherited_from_version_id from version_all
             where lixcol_version_id = '{main}' order by 1"
        )),
        ["'global' | 'global'", "'main' | 'global'"]
    );
    assert_eq!(lix.rows("select version_id from active_version"), [format!("'{main}'")]);
}

#[test]
fn an_insert_makes_one_version_with_one_id() {
    let mut lix = Lix::new();
    lix.fails(
        "insert into version(id, name) values ('v', 'V')",
        Reason::ForeignKey,
        "Foreign key constraint violation",
    );
    working_commit(&mut lix, "w1");
    lix.run("insert into version(name, working_commit_id, inherits_from_version_id) values ('V', 'w1', 'global')");
    assert_eq!(
        lix.rows(
            "select length(id), hidden, commit_id is not null, lixcol_change_id is not null from version where name = 'V'"
        ),
        ["21 | 0 | 1 | 1"]
    );
    let id = lix.one("select id from version where name = 'V'");
    assert_eq!(
        lix.rows(&format!(
            "select schema_key from state_all where entity_id = '{id}' and version_id = 'global' order by 1"
        )),
        ["'lix_version_descriptor'", "'lix_version_tip'"]
    );
    lix.fails(
        "insert into version(name, working_commit_id) values ('W', 'w1')",
        Reason::Unique,
        "working_commit_id w1 must be unique among versions",
    );
    working_commit(&mut lix, "w2");
    lix.fails(
        "insert into version(name, working_commit_id, inherits_from_version_id) values ('W', 'w2', 'nobody')",
        Reason::VersionUnknown,
        "nobody",
    );
    lix.run("insert into version(id, working_commit_id) values ('named', 'w2')");
    assert_eq!(lix.one("select length(name) > 0 from version where id = 'named'"), "1");
    lix.run(&format!(
        "insert into key_value_all(key, value, lixcol_version_id) values ('k', 1, '{id}')"
    ));
    assert_eq!(lix.one("select count(*) from key_value_all where key = 'k'"), "1");
}

#[test]
fn an_update_renames_and_hides() {
    let mut lix = Lix::with_draft();
    let tip = lix.one("select commit_id from version where id = 'draft'");
    let global = lix.one("select commit_id from version where id = 'global'");
    lix.run("update version set name = 'New', hidden = 1 where id = 'draft'");
    assert_eq!(
        lix.rows("select name, hidden, inherits_from_version_id from version where id = 'draft'"),
        ["'New' | 1 | 'global'"]
    );
    assert_eq!(
        lix.one("select json_extract(snapshot_content, '$.hidden') || json_type(snapshot_content, '$.hidden')
                 from state_all where entity_id = 'draft' and schema_key = 'lix_version_descriptor' and version_id = 'global'"),
        "1true",
        "a boolean, not a number"
    );
    assert_eq!(lix.one("select commit_id from version where id = 'draft'"), tip);
    assert_ne!(lix.one("select commit_id from version where id = 'global'"), global);
    lix.fails(
        "update version set inherits_from_version_id = 'nobody' where id = 'draft'",
        Reason::VersionUnknown,
        "nobody",
    );
    lix.fails(
        "update version set inherits_from_version_id = 'draft' where id = 'draft'",
        Reason::Validation,
        "inherit",
    );
    lix.fails("update version set id = 'x' where id = 'draft'", Reason::Validation, "id");
    lix.run("update version set inherits_from_version_id = null where id = 'draft'");
    assert_eq!(
        lix.rows("select inherits_from_version_id from version where id = 'draft'"),
        ["NULL"]
    );
    assert_eq!(
        lix.rows(
            "select name from version_history where id = 'draft' and lixcol_root_commit_id =
                         (select commit_id from version where id = 'global') order by lixcol_depth"
        ),
        ["'New'", "'New'", "'Draft'"]
    );
}

#[test]
fn setting_the_tip_restores_what_was_there() {
    let mut lix = Lix::new();
    lix.run("insert into key_value(key, value) values ('a', 1)");
    let then = lix.one("select commit_id from version where name = 'main'");
    lix.run("update key_value set value = 2 where key = 'a';\n insert into key_value(key, value) values ('b', 1)");
    lix.run(&format!("update version set commit_id = '{then}' where name = 'main'"));
    assert_eq!(lix.rows("select key, value from key_value where key in ('a', 'b')"), ["'a' | 1"]);
    assert_ne!(
        lix.one("select commit_id from version where name = 'main'"),
        then,
        "a commit that restores"
    );
}

#[test]
fn a_delete_takes_the_version_and_leaves_its_commits() {
    let mut lix = Lix::with_draft();
    lix.run("insert into key_value_all(key, value, lixcol_version_id) values ('k', 1, 'draft')");
    let commits = lix.one("select count(*) from \"commit\"");
    lix.run("delete from version where id = 'draft'");
    assert_eq!(lix.rows("select 1 from version where id = 'draft'"), [] as [&str; 0]);
    assert_eq!(lix.rows("select 1 from version_all where id = 'draft'"), [] as [&str; 0]);
    assert!(
        lix.one("select count(*) from \"commit\"").parse::<i64>().unwrap()
            >= commits.parse().unwrap()
    );
    lix.fails(
        "insert into key_value_all(key, value, lixcol_version_id) values ('l', 1, 'draft')",
        Reason::VersionUnknown,
        "Version with id 'draft' does not exist",
    );
    lix.fails("delete from version where name = 'main'", Reason::ForeignKey, "lix_active_version");
    lix.fails("delete from version where id = 'global'", Reason::Validation, "global");
}

#[test]
fn all_viewers_of_a_version_mean_the_same_one() {
    let mut lix = Lix::with_draft();
    lix.run("update version_all set name = 'New' where id = 'draft'");
    assert_eq!(
        lix.rows("select distinct name, count(*) from version_all where id = 'draft'"),
        ["'New' | 3"]
    );
    lix.run("delete from version_all where id = 'draft'");
    assert_eq!(lix.rows("select 1 from version_all where id = 'draft'"), [] as [&str; 0]);
}

#[test]
fn switching() {
    let mut lix = Lix::with_draft();
    let changes = lix.one("select count(*) from change");
    lix.run("update active_version set version_id = 'draft'");
    lix.run("insert into key_value(key, value, lixcol_untracked) values ('k', 1, 1)");
    assert_eq!(
        lix.rows("select lixcol_version_id from key_value_all where key = 'k'"),
        ["'draft'"]
    );
    assert_eq!(lix.one("select count(*) from change"), changes, "no commit");
    lix.fails(
        "update active_version set version_id = 'nobody'",
        Reason::ForeignKey,
        "lix_version_descriptor",
    );
    assert_eq!(
        lix.rows("select version_id, lixcol_untracked, lixcol_change_id from active_version"),
        ["'draft' | 1 | 'untracked'"]
    );
    let main = lix.main();
    lix.run(&format!("insert into active_version(version_id) values ('{main}')"));
    assert_eq!(lix.rows("select version_id from active_version"), [format!("'{main}'")]);
}
