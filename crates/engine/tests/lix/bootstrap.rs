//! What a new lix starts with: chapter 27.

use std::time::{Duration, Instant};

use lix_engine_protocol::proto::{InitRequest, LixKeyValue, LixOptions, request, response};

use crate::host::{Host, init_request};
use crate::script::Lix;

fn given(key: &str, value: &str) -> LixKeyValue {
    LixKeyValue { key: key.into(), value_json: value.into(), ..Default::default() }
}

fn lix(key_values: Vec<LixKeyValue>) -> Lix {
    let mut host = Host::new();
    let lix = Some(LixOptions { key_values });
    let init = InitRequest { lix, ..init_request() };
    match host.call(request::Call::Init(init)).outcome {
        Some(response::Outcome::Init(_)) => Lix { host },
        other => panic!("init was answered with {other:?}"),
    }
}

fn deterministic() -> LixKeyValue {
    given("lix_deterministic_mode", r#"{"enabled": true}"#)
}

#[test]
fn ids_are_counted_in_the_documented_order() {
    let mut lix = lix(vec![deterministic()]);
    assert_eq!(
        lix.rows("select id, commit_id, working_commit_id from version order by name desc"),
        [
            "'boot_0000000000' | '0192aaaa-0000-7000-8000-000000000010' | '0192aaaa-0000-7000-8000-000000000005'",
            "'global' | '0192aaaa-0000-7000-8000-00000000000f' | '0192aaaa-0000-7000-8000-000000000006'",
        ]
    );
    // Global, its working set, main, its working set; working commits come after the others.
    let sets = [
        ("0000000003", 7, "0000000f", 17),
        ("0000000004", 9, "00000006", 21),
        ("0000000001", 11, "00000010", 19),
        ("0000000002", 13, "00000005", 23),
    ];
    let change = |number: u32| format!("0192aaaa-0000-7000-8000-0000{number:08x}");
    for (set, set_change, commit, commit_change) in sets {
        assert_eq!(
            lix.rows(&format!("select lixcol_change_id from change_set where id = 'boot_{set}'")),
            [format!("'{}'", change(set_change))]
        );
        assert_eq!(
            lix.rows(&format!(
                "select id, lixcol_change_id from \"commit\" where change_set_id = 'boot_{set}'"
            )),
            [format!("'0192aaaa-0000-7000-8000-0000{commit}' | '{}'", change(commit_change))]
        );
    }
    assert_eq!(lix.rows("select id from label"), ["'boot_0000000033'"]);
    assert_eq!(
        lix.rows("select id, name from account"),
        ["'boot_0000000220' | 'Anonymous Deterministic'"]
    );
    let change_of = "select id, created_at from change where entity_id =";
    for (entity, number) in
        [("lix_id", 36), ("lix_name", 38), ("lix_deterministic_mode", 40), ("lix_change_set", 42)]
    {
        assert_eq!(
            lix.rows(&format!("{change_of} '{entity}'")),
            [format!("'{}' | '1970-01-01T00:00:00.000Z'", change(number))]
        );
    }
    assert_eq!(
        lix.rows("select key, value from key_value where key in ('lix_id', 'lix_name')"),
        ["'lix_id' | 'deterministic-lix-id'", "'lix_name' | 'deterministic-lix-name'"]
    );
    // The counter of everything after is another one.
    assert_eq!(lix.one("select lix_uuid_v7()"), "01920000-0000-7000-8000-000000000000");
}

#[test]
fn counts() {
    let mut lix = lix(vec![LixKeyValue { version_id: "global".into(), ..given("extra", "1") }]);
    for (what, count) in [
        ("change", "35"),
        ("version", "2"),
        ("change_set", "4"),
        ("\"commit\"", "4"),
        ("commit_edge", "0"),
        ("label", "1"),
        ("stored_schema", "19"),
        ("account", "1"),
        ("change_author", "0"),
        // One for each change; nothing was done in main, so its working set is empty.
        ("change_set_element", "35"),
    ] {
        assert_eq!(lix.one(&format!("select count(*) from {what}")), count, "{what}");
    }
    assert_eq!(
        lix.one(
            "select count(*) from stored_schema where lixcol_inherited_from_version_id = 'global'"
        ),
        "19"
    );
    assert_eq!(lix.rows("select * from lix_working_diff() where status <> 'unchanged'").len(), 0);
}

#[test]
fn the_first_commits_have_their_members() {
    let mut lix = lix(vec![given("in-main", "1"), deterministic()]);
    let members =
        "select c.id from \"commit\" k, json_each(k.change_ids) m join change c on c.id = m.value";
    assert_eq!(
        lix.rows(&format!(
            "select entity_id from change where id in
               ({members} where k.id = (select commit_id from version where name = 'main'))"
        )),
        ["'in-main'", "'lix_deterministic_mode'"]
    );
    assert_eq!(
        lix.rows(
            "select schema_key, count(*) from change where id not in
               (select m.value from \"commit\" k, json_each(k.change_ids) m) group by 1"
        ),
        [""; 0],
        "every change is in a commit, those of the commits themselves too"
    );
    assert_eq!(
        lix.rows(
            "select v.name, k.change_ids, k.parent_commit_ids from version v
             join \"commit\" k on k.id = v.working_commit_id order by 1"
        ),
        ["'global' | '[]' | '[]'", "'main' | '[]' | '[]'"]
    );
    assert_eq!(
        lix.rows("select key, lixcol_inherited_from_version_id from key_value order by key"),
        [
            "'in-main' | NULL",
            "'lix_deterministic_mode' | NULL",
            "'lix_id' | 'global'",
            "'lix_name' | 'global'"
        ]
    );
}

#[test]
fn names_that_are_given_are_not_made_up() {
    let mut lix = lix(vec![
        LixKeyValue { version_id: "global".into(), ..given("lix_id", "\"mine\"") },
        given("lix_name", "\"my lix\""),
        given("other", "1"),
        given("other", "2"),
    ]);
    assert_eq!(
        lix.rows("select key, value, lixcol_inherited_from_version_id from key_value order by key"),
        ["'lix_id' | 'mine' | 'global'", "'lix_name' | 'my lix' | NULL", "'other' | 2 | NULL"]
    );
    assert_eq!(lix.one("select count(*) from change where schema_key = 'lix_key_value'"), "3");
}

#[test]
fn a_lix_without_names_has_some() {
    let mut lix = Lix::new();
    assert_eq!(lix.one("select length(value) from key_value where key = 'lix_id'"), "21");
    assert_eq!(lix.one("select length(value) > 3 from key_value where key = 'lix_name'"), "1");
    assert_eq!(
        lix.one("select a.name glob 'Anonymous *' from account a join active_account c on c.account_id = a.id"),
        "1"
    );
    assert_eq!(
        lix.one("select group_concat(distinct length(id)) from version where id <> 'global'"),
        "21"
    );
}

#[test]
fn everything_in_it_fits_its_schema() {
    let mut lix = lix(vec![given("k", r#"{"a": [1, "2", null]}"#)]);
    // Writing a row over itself validates it.
    let rows = lix.rows(
        "select version_id, schema_key, entity_id from state_all
         where inherited_from_version_id is null
           and schema_key not in ('lix_change_set_element', 'lix_commit_edge', 'lix_stored_schema', 'lix_version_tip')",
    );
    assert!(rows.len() > 12, "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [version, schema, entity] = cells[..] else { panic!("{row}") };
        lix.run(&format!(
            "update state_all set snapshot_content = snapshot_content
             where version_id = {version} and schema_key = {schema} and entity_id = {entity}"
        ));
    }
}

/// Not a benchmark: what fails here takes ten times what it should.
#[test]
fn making_one_takes_no_time() {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        drop(Lix::new());
        best = best.min(begun.elapsed());
    }
    assert!(best < Duration::from_millis(250), "{best:?}");
}
