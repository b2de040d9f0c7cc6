//! Images of the original: what was visible in them is visible here, and it goes on from there.

use lix_engine_protocol::proto::{
    EngineError, InitRequest, LixOptions, init_request, request, response,
};
use rusqlite::Connection;

use crate::host::{Host, init_request as init};
use crate::rebuild::dump;
use crate::script::Lix;

#[test]
fn state_is_what_it_was() {
    let mut lix = migrated();
    // The merge gave main what draft had; the cache's ghost and what was only staged are nothing.
    assert_eq!(
        lix.plain(
            "select entity_id, snapshot_content, change_id, commit_id, inherited_from_version_id, untracked, created_at,
               updated_at from state where schema_key in ('lix_key_value', 'note') order by 1",
        ),
        [
            r#"'a' | '{"key":"a","value":2}' | 'a2' | 'm1' | NULL | 0 | '2025-09-01T00:00:01.000Z' | '2025-09-01T00:00:04.000Z'"#,
            r#"'b' | '{"key":"b","value":1}' | 'b1' | 'c3' | NULL | 0 | '2025-09-01T00:00:07.000Z' | '2025-09-01T00:00:07.000Z'"#,
            r#"'d' | '{"key":"d","value":{"deep":[1,2.5,true,null,"\u0001"]}}' | 'd1' | 'm1' | NULL | 0 | '2025-09-01T00:00:04.000Z' | '2025-09-01T00:00:04.000Z'"#,
            r#"'g' | '{"key":"g","value":1}' | 'g-1' | 'g3' | 'global' | 0 | '2025-09-01T00:00:08.000Z' | '2025-09-01T00:00:08.000Z'"#,
            r#"'lix_id' | '{"key":"lix_id","value":"id-of-the-lix"}' | 'bk1' | 'g0' | 'global' | 0 | '2025-09-01T00:00:00.000Z' | '2025-09-01T00:00:00.000Z'"#,
            r#"'lix_name' | '{"key":"lix_name","value":"its name"}' | 'bk2' | 'm0' | NULL | 0 | '2025-09-01T00:00:00.000Z' | '2025-09-01T00:00:00.000Z'"#,
            r#"'n' | '{"id":"n","text":"ä \"quoted\" \\ ☃"}' | 'note1' | 'c2' | NULL | 0 | '2025-09-01T00:00:02.000Z' | '2025-09-01T00:00:02.000Z'"#,
        ]
    );
    assert_eq!(
        lix.plain(
            "select key, value, lixcol_untracked from key_value_all
             where lixcol_version_id = 'draft' and key not like 'lix%' order by 1",
        ),
        [r#"'a' | 'over it' | 1"#, r#"'d' | '{"deep":[1,2.5,true,null,"\u0001"]}' | 0"#],
        "an untracked row lies over a, a tombstone over g"
    );
    assert_eq!(lix.rows("select count(*) from stored_schema"), ["20"]);
    assert_eq!(lix.plain("select text from note"), [r#"'ä "quoted" \ ☃'"#]);
    assert_eq!(lix.rows("select name from account"), ["'Anonymous'"]);
    assert_eq!(lix.rows("select account_id from active_account"), ["'me'"]);
    assert_eq!(lix.rows("select entity_id, label_id from entity_label"), ["'mw' | 'label-id'"]);
}

#[test]
fn versions_and_commits_are_what_they_were() {
    let mut lix = migrated();
    // The descriptor that the checkpoint left outside of commits counts, its flag is one again.
    assert_eq!(
        lix.rows(
            "select id, name, commit_id, working_commit_id, inherits_from_version_id, hidden from version order by 1",
        ),
        [
            "'draft' | 'Draft' | 'd1' | 'dw' | 'global' | 0",
            "'global' | 'global' | 'g3' | 'gw' | NULL | 1",
            "'main-id' | 'main' | 'c3' | 'mw2' | 'global' | 0",
        ]
    );
    assert_eq!(lix.rows("select version_id from active_version"), ["'main-id'"]);
    assert_eq!(
        lix.rows("select parent_id, child_id from commit_edge order by 1, 2"),
        [
            "'c1' | 'c2'",
            "'c2' | 'd1'",
            "'c2' | 'm1'",
            "'d1' | 'm1'",
            "'g0' | 'g1'",
            "'g1' | 'g2'",
            "'g2' | 'g3'",
            "'m0' | 'c1'",
            "'m1' | 'mw'",
            "'mw' | 'c3'",
            "'mw' | 'mw2'",
        ]
    );
    assert_eq!(
        lix.rows(
            "select change_set_id, change_id, lixcol_untracked from change_set_element
             where change_set_id in ('set-mw', 'set-mw2', 'set-m1', 'set-g2', 'mine') order by 1, 2",
        ),
        [
            "'mine' | 'a1' | 1",
            "'set-g2' | 'k-label' | 0",
            "'set-g2' | 'k-name' | 0",
            "'set-g2' | 'k-point' | 0",
            "'set-g2' | 'k-set' | 0",
            "'set-g2' | 'k-work' | 0",
            "'set-m1' | 'a2' | 0",
            "'set-m1' | 'd1' | 0",
            "'set-m1' | 'gone3' | 0",
            "'set-mw' | 'a1' | 0",
            "'set-mw' | 'note1' | 0",
            "'set-mw' | 'schema' | 0",
            "'set-mw2' | 'b1' | 1",
        ]
    );
    let authors = "select account_id, count(*) from change_author group by 1";
    assert_eq!(
        lix.rows(authors),
        ["'me' | 18"],
        "all but those of the first commits and the merge"
    );
}

#[test]
fn history_is_what_it_was() {
    let mut lix = migrated();
    let sql =
        "select entity_id, snapshot_content ->> '$.value', commit_id, depth from state_history
               where root_commit_id = 'm1' and entity_id in ('a', 'gone') order by 1, 4, 3";
    assert_eq!(
        lix.rows(sql),
        ["'a' | 2 | 'm1' | 0", "'a' | 2 | 'd1' | 1", "'a' | 1 | 'c1' | 2", "'gone' | 1 | 'c1' | 2"]
    );
    assert_eq!(
        lix.rows(
            "select count(*), sum(snapshot_content is null), min(id = 'bs1'), max(created_at) from (select * from change)",
        ),
        ["140 | 2 | 0 | '2025-09-01T00:00:08.000Z'"]
    );
    let first = lix.rows("select id from change limit 2");
    assert_eq!(first, ["'bs1'", "'bs2'"], "in the order of the log");
}

#[test]
fn it_goes_on_from_there() {
    let mut lix = migrated();
    let changes =
        "select entity_id, status from lix_working_diff() where status <> 'unchanged' order by 1";
    assert_eq!(lix.rows(changes), ["'b' | 'added'"]);
    lix.run(
        "update key_value set value = '3' where key = 'a';
         delete from key_value where key = 'd';
         insert into note (id, text) values ('m', 'more');
         delete from notes",
    );
    assert_eq!(
        lix.rows(changes),
        ["'a' | 'modified'", "'b' | 'added'", "'d' | 'removed'", "'m' | 'added'"]
    );
    let checkpoint = lix.one("select id from lix_create_checkpoint()");
    assert_eq!(checkpoint, "mw2");
    assert_eq!(lix.rows(changes), [""; 0]);
    lix.run(
        "select * from lix_create_version('{\"id\": \"twig\", \"from\": \"draft\"}');
         insert into key_value_all (key, value, lixcol_version_id) values ('t', '1', 'twig');
         select * from lix_merge_version('{\"source\": \"twig\"}')",
    );
    assert_eq!(lix.rows("select value from key_value where key = 't'"), ["1"]);
    rebuilt(&mut lix);
    // Opened once more it is a lix like any other.
    let before = dump(&mut lix);
    let mut again = Lix { host: open(&lix.host.export(), None).unwrap() };
    assert_eq!(dump(&mut again), before);
}

#[test]
fn a_rebuild_changes_nothing() {
    rebuilt(&mut migrated());
}

#[test]
fn tables_of_the_original_are_gone_and_those_of_users_are_not() {
    let mut lix = migrated();
    assert_eq!(
        lix.rows(
            "select type, name from sqlite_schema where name not like '\\_lix\\_%' escape '\\'
                  and name not like 'sqlite%' order by name"
        ),
        ["'table' | 'internal_notes'", "'table' | 'notes'", "'view' | 'notes_in_state'"]
    );
    assert_eq!(lix.rows("select text from notes_in_state"), ["'kept'"]);
    assert_eq!(lix.rows("pragma integrity_check"), ["'ok'"]);
    // Also without virtual tables, caches, and whatever else there need not be.
    let bare = changed(
        &image(),
        "drop table internal_transaction_state; drop table internal_state_cache_lix_key_value;
         drop table internal_file_data_cache; drop table internal_file_lixcol_cache; drop view state; drop view change;
         pragma writable_schema = on; delete from sqlite_schema where name in ('internal_state_vtable', 'internal_state_cache')",
    );
    let mut bare = Lix { host: open(&bare, None).unwrap() };
    assert_eq!(dump(&mut bare), dump(&mut lix));
}

#[test]
fn what_the_engine_remembers_is_in_its_own_table() {
    let mut lix = migrated();
    assert_eq!(
        lix.rows("select key, value from _lix_meta order by 1"),
        [
            "'rng_state' | '17446744073709551615 7'",
            "'schema_version' | '1'",
            "'sequence_number' | 41"
        ]
    );
    assert_eq!(
        lix.rows("select distinct key from key_value_all where key like 'lix%' order by 1"),
        ["'lix_id'", "'lix_name'"]
    );
    lix.run(
        r#"select * from lix_set_key_values('{"key_values": [{"key": "lix_deterministic_mode",
             "value": {"enabled": true}, "version": "global", "untracked": true}]}')"#,
    );
    assert_eq!(lix.one("select lix_next_sequence_number()"), "42");
}

#[test]
fn it_is_migrated_whether_a_lix_is_asked_for_or_not() {
    let mut one = migrated();
    let mut other = Lix { host: open(&image(), Some(LixOptions::default())).unwrap() };
    assert_eq!(dump(&mut one), dump(&mut other));
}

#[test]
fn a_pointer_that_was_only_moved_and_tips_beside_each_other() {
    // Set back from c3 to c2, as an UPDATE of a version did; and a commit beside c3.
    for (moved, tip) in [("c2", "c3"), ("d1", "c3")] {
        let sql = format!(
            "insert into internal_snapshot values ('s1', jsonb('{{\"id\":\"main-id\",\"commit_id\":\"{moved}\"}}'));
             insert into internal_change (id, entity_id, schema_key, schema_version, file_id, plugin_key, snapshot_id, created_at)
               values ('moved', 'main-id', 'lix_version_tip', '1.0', 'lix', 'lix_own_entity', 's1', '2025-09-01T00:00:10.000Z')"
        );
        let mut lix = Lix { host: open(&changed(&image(), &sql), None).unwrap() };
        let commit = lix.one("select commit_id from version where name = 'main'");
        assert_eq!(commit, tip, "the state is that of the tip before");
        assert_eq!(lix.rows("select value from key_value where key = 'b'"), ["1"]);
        rebuilt(&mut lix);
    }
}

#[test]
fn damage_is_refused() {
    for (damage, said) in [
        ("drop table internal_snapshot", "internal_snapshot"),
        ("drop table internal_state_all_untracked", "internal_state_all_untracked"),
        ("delete from internal_snapshot where id = 's-a1'", "change a1"),
        ("delete from internal_snapshot where id = 'no-content'", "change gone2"),
        ("update internal_snapshot set content = x'ff00ff' where id = 's-a1'", "change a1"),
        ("update internal_snapshot set content = jsonb('[1]') where id = 's-c-c1'", "change c-c1"),
        (
            "update internal_state_all_untracked set snapshot_content = x'7b' where entity_id = 'me'",
            "untracked row me",
        ),
        ("create table _lix_more (a)", "_lix_more"),
        (
            "drop table internal_state_all_untracked; create table internal_state_all_untracked (entity_id)",
            "snapshot_content",
        ),
    ] {
        let image = changed(&image(), damage);
        let error = open(&image, Some(LixOptions::default())).err().expect(damage);
        assert_eq!((&*error.reason, &*error.subject), ("IMAGE_INVALID", "image"), "{damage}");
        assert!(error.message.contains(said), "{damage}: {}", error.message);
    }
}

#[test]
fn other_tables_of_such_names_are_no_lix() {
    let sql = "create table internal_change (id); create table internal_state_x (a); create view state as select 1 as a";
    let image = changed(&Host::ready().export(), sql);
    let mut host = open(&image, None).unwrap();
    assert_eq!(host.rows("select count(*) from sqlite_schema"), ["3"]);
}

#[test]
fn an_image_of_a_later_release_is_plain_or_refused() {
    let sql =
        "create table lix_internal_change (id text primary key, snapshot_id text, metadata blob)";
    let image = changed(&Host::ready().export(), sql);
    open(&image, None).expect("a plain database");
    let error = open(&image, Some(LixOptions::default())).err().expect("not ours");
    assert_eq!((&*error.reason, &*error.subject), ("IMAGE_INVALID", "image"));
    assert!(error.message.contains("later release"), "{}", error.message);
}

impl Lix {
    /// Rows without the escapes of string literals.
    fn plain(&mut self, sql: &str) -> Vec<String> {
        let rows = self.rows(sql);
        rows.iter().map(|row| row.replace("\\\"", "\"").replace("\\\\", "\\")).collect()
    }
}

fn rebuilt(lix: &mut Lix) {
    let before = dump(lix);
    lix.run("select * from lix_rebuild()");
    assert_eq!(dump(lix), before);
}

fn migrated() -> Lix {
    Lix { host: open(&image(), None).expect("the image is whole") }
}

/// The image as the original left it.
pub(crate) fn image() -> Vec<u8> {
    let (mut rows, mut ids) = (Vec::new(), String::new());
    for key in STORED {
        let path = format!("{}/src/lix/schemas/{key}.json", env!("CARGO_MANIFEST_DIR"));
        let document: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let key = format!("lix_{key}");
        // As text.
        let content =
            serde_json::json!({"key": key, "version": "1.0", "value": document.to_string()});
        let content = content.to_string().replace('\'', "''");
        rows.push(format!("('b-{key}', 'lix_stored_schema', '{key}', '{content}', 0)"));
        ids += &format!(",\"b-{key}\"");
    }
    let log = include_str!("original/log.sql")
        .replace(
            "insert into log {stored_schemas}",
            &format!("insert into log values {}", rows.join(", ")),
        )
        .replace("{stored_schema_ids}", &ids);
    changed(&[], &format!("{}{log}", include_str!("original/tables.sql")))
}

/// The image, after other software had it.
pub(crate) fn changed(image: &[u8], sql: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("original.sqlite");
    std::fs::write(&path, image).unwrap();
    let connection = Connection::open(&path).unwrap();
    // What the checks of the tables would refuse is damage, too.
    connection
        .execute_batch("pragma ignore_check_constraints = on; pragma foreign_keys = off")
        .unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    std::fs::read(&path).unwrap()
}

fn open(image: &[u8], lix: Option<LixOptions>) -> Result<Host, EngineError> {
    let mut host = Host::new();
    let seed = Some(init_request::Seed::Image(image.to_vec().into()));
    match host.call(request::Call::Init(InitRequest { lix, seed, ..init() })).outcome {
        Some(response::Outcome::Init(_)) => Ok(host),
        Some(response::Outcome::Error(error)) => Err(error),
        other => panic!("init was answered with {other:?}"),
    }
}

/// The schemas that every lix of the original stored.
const STORED: [&str; 19] = [
    "change_set",
    "change_set_element",
    "change_set_label",
    "commit",
    "commit_edge",
    "file_descriptor",
    "log",
    "stored_schema",
    "key_value",
    "account",
    "change_author",
    "label",
    "entity_label",
    "entity_thread",
    "thread",
    "thread_comment",
    "version_descriptor",
    "version_tip",
    "active_version",
];
