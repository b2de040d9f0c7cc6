//! The other kind of database: a lix, with work on its versions, and what has to be true of one
//! after a power cut beyond being the content of some commit.

use lix_engine_protocol::proto::{LixKeyValue, LixOptions, Value};

use crate::client::Client;
use crate::disk::Chance;

/// What a lix starts with: half of them count their ids.
pub(crate) fn options(chance: &mut Chance) -> LixOptions {
    let key_value = |key: &str, value: &str| LixKeyValue {
        key: key.into(),
        value_json: value.into(),
        ..Default::default()
    };
    let mut key_values = vec![key_value("a", "1")];
    if chance.below(2) == 0 {
        key_values.push(key_value("lix_deterministic_mode", r#"{"enabled": true}"#));
    }
    LixOptions { key_values }
}

/// Work on versions. It finds its way by asking the database, so that it means the same to two that
/// hold the same.
pub(crate) fn statement(chance: &mut Chance, in_transaction: bool) -> (String, Vec<Value>) {
    let key = ["a", "b", "c", "d", "e", "f"][chance.below(6)];
    let number = chance.below(1_000);
    let untracked = usize::from(chance.below(6) == 0);
    let version = any(chance, "id", "version");
    let other = any(chance, "id", "version");
    // Going back with global also goes back with the schemas, and what they forbid is allowed then.
    let own = any(chance, "id", "version where id <> 'global'");
    let commit = any(chance, "id", "commit_all where lixcol_version_id = 'global'");
    let sql = match chance.below(if in_transaction { 64 } else { 60 }) {
        0..10 => format!(
            "insert into key_value_all(key, value, lixcol_version_id, lixcol_untracked)
             values ('{key}', {number}, {version}, {untracked})"
        ),
        10..17 => format!(
            "update key_value_all set value = {number}, lixcol_untracked = {untracked}
             where key = '{key}' and lixcol_version_id = {version}"
        ),
        17..20 => format!("update key_value set value = {number} where key = '{key}'"),
        20..24 => format!(
            "delete from key_value_all where key = '{key}' and lixcol_version_id = {version}"
        ),
        24 => format!("delete from key_value where key like '{key}%'"),
        // Many rows of one commit, and one that fills pages of its own.
        25..28 => format!(
            "insert into key_value_all(key, value, lixcol_version_id)
             with n(x) as (select 1 union all select x + 1 from n limit {})
             select '{key}{number}-' || x, x, {version} from n",
            1 + chance.below(60)
        ),
        28..30 => format!(
            "insert into key_value(key, value)
             values ('{key}{number}', json_quote(hex(zeroblob({}))))",
            chance.below(20_000)
        ),
        30 => format!(
            "update state_all set snapshot_content = json_object('key', '{key}', 'value', {number})
             where schema_key = 'lix_key_value' and entity_id = '{key}'"
        ),
        31..34 => format!(
            "select * from lix_create_version(json_object('from', {version}, 'inherits_from', {}))",
            [other.as_str(), "'global'", "null"][chance.below(3)]
        ),
        34..36 => format!("select * from lix_create_version(json_object('from_commit', {commit}))"),
        36..41 => format!(
            "select * from lix_merge_version(json_object('source', {version}, 'target', {own}))"
        ),
        41..45 => "select * from lix_create_checkpoint()".into(),
        45..47 => {
            format!("select * from lix_transition(json_object('to', {commit}, 'version', {own}))")
        }
        47..50 => format!("select * from lix_switch_version(json_object('to', {version}))"),
        50 => format!("update version set name = 'n{number}' where id = {version}"),
        51 => format!("update version set inherits_from_version_id = {other} where id = {version}"),
        52 => format!("delete from version where id = {version} and id <> 'global'"),
        53 => {
            let account = any(chance, "id", "account");
            match chance.below(2) {
                0 => format!("select * from lix_create_account('{{\"name\": \"n{number}\"}}')"),
                _ => format!(
                    "select * from lix_switch_account(json_object('to', json_array({account})))"
                ),
            }
        }
        // Ids that no commit of the lix writes down.
        54 => "select lix_uuid_v7(), lix_nano_id(), lix_random()".into(),
        55 => "select * from lix_rebuild()".into(),
        56 => format!("savepoint s{}", number % 3),
        57 => format!("rollback to s{}", number % 3),
        58 => format!("release s{}", number % 3),
        59 if !in_transaction => "begin".into(),
        59..63 => "commit".into(),
        _ => "rollback".into(),
    };
    (sql, vec![])
}

/// What there is besides what is allowed. It asks only for what has to hold of every lix.
pub(crate) fn check(client: &mut Client) -> Result<(), String> {
    for (what, sql) in RULES {
        let found = client.rows(sql).map_err(|error| format!("{what}: {error:?}"))?;
        if !found.is_empty() {
            return Err(format!("{what}: {}", found[..found.len().min(5)].join("; ")));
        }
    }
    Ok(())
}

/// Computes everything again from the changes: nothing that can be seen may differ.
pub(crate) fn check_rebuild(client: &mut Client) -> Result<(), String> {
    let before = dump(client)?;
    client.rows("select * from lix_rebuild()").map_err(|error| format!("rebuild: {error:?}"))?;
    for (table, (before, after)) in TABLES.iter().zip(before.into_iter().zip(dump(client)?)) {
        if before == after {
            continue;
        }
        let gone = before.iter().filter(|row| !after.contains(row)).map(|row| format!("- {row}"));
        let new = after.iter().filter(|row| !before.contains(row)).map(|row| format!("+ {row}"));
        let mut lines: Vec<_> = gone.chain(new).collect();
        lines.truncate(6);
        let counts = format!("{} rows, then {}", before.len(), after.len());
        return Err(format!("a rebuild changes {table} ({counts}):\n{}", lines.join("\n")));
    }
    Ok(())
}

fn dump(client: &mut Client) -> Result<Vec<Vec<String>>, String> {
    let rows = |table: &&str| {
        let sql = format!("select * from {table}");
        let mut rows = client.rows(&sql).map_err(|error| format!("{table}: {error:?}"))?;
        rows.sort();
        Ok(rows)
    };
    TABLES.iter().map(rows).collect()
}

/// One of what there is, as an expression.
fn any(chance: &mut Chance, column: &str, from: &str) -> String {
    let at = chance.below(1 << 16);
    format!(
        "(select {column} from {from} order by 1 limit 1 offset {at} % (select count(*) from {from}))"
    )
}

/// Statements that find what must not be there.
const RULES: [(&str, &str); 17] = [
    (
        "changes of a transaction that is over are in no commit",
        "select no, version_id from _lix_commit where id is null",
    ),
    (
        "a row has a change that there is not",
        "select version_id, schema_key, entity_id, change_id from state_with_tombstones
         where untracked = 0 and change_id not in (select id from change)",
    ),
    (
        "a row is of another entity or content than its change",
        "select s.version_id, s.schema_key, s.entity_id, s.change_id from state_all s
         join change c on c.id = s.change_id
         where s.untracked = 0 and s.schema_key = 'lix_key_value'
         and (c.entity_id, c.schema_key, c.snapshot_content)
           is not (s.entity_id, s.schema_key, s.snapshot_content)",
    ),
    (
        "an untracked row has a change",
        "select version_id, schema_key, entity_id, change_id from state_with_tombstones
         where untracked = 1 and (change_id <> 'untracked' or commit_id <> 'untracked')",
    ),
    (
        "a row has a commit that there is not",
        "select version_id, schema_key, entity_id, commit_id from state_with_tombstones
         where untracked = 0 and commit_id not in (select id from commit_all)",
    ),
    (
        "there are two rows for one entity",
        "select version_id, schema_key, entity_id, file_id from state_with_tombstones
         group by 1, 2, 3, 4 having count(*) > 1",
    ),
    (
        "a commit has a change that there is not",
        "select c.id, m.value from commit_all c, json_each(c.change_ids) m
         where c.lixcol_version_id = 'global' and m.value not in (select id from change)",
    ),
    (
        "a commit has a parent that there is not",
        "select c.id, p.value from commit_all c, json_each(c.parent_commit_ids) p
         where c.lixcol_version_id = 'global' and p.value not in
           (select id from commit_all where lixcol_version_id = 'global')",
    ),
    (
        "an edge is of no commit",
        "select parent_id, child_id from commit_edge_all where lixcol_version_id = 'global' and not
           (parent_id in (select id from commit_all where lixcol_version_id = 'global')
            and child_id in (select id from commit_all where lixcol_version_id = 'global'))",
    ),
    (
        "edges and parents differ",
        "with edges as (select parent_id, child_id from commit_edge_all where lixcol_version_id = 'global'),
         parents as (select p.value, c.id from commit_all c, json_each(c.parent_commit_ids) p
           where c.lixcol_version_id = 'global')
         select * from (select * from edges except select * from parents)
         union all select * from (select * from parents except select * from edges)",
    ),
    (
        // A parent may have been deleted.
        "a version has a tip, a working commit or a parent that there is not",
        "select id, commit_id, working_commit_id, inherits_from_version_id from version where not
           (commit_id in (select id from commit_all where lixcol_version_id = 'global')
            and working_commit_id in (select id from commit_all where lixcol_version_id = 'global')
            and (inherits_from_version_id is null
                 or inherits_from_version_id in (select id from version)
                 or inherits_from_version_id in (select entity_id from change
                   where schema_key = 'lix_version_descriptor' and snapshot_content is null)))",
    ),
    (
        "the active version is none",
        "select version_id from active_version where version_id not in (select id from version)
         union all select 'none' where not exists (select 1 from active_version)",
    ),
    (
        // Also what once was one, of a version that was deleted.
        "a commit is neither a tip nor a working commit nor before one",
        "with recursive
         here as (select id, parent_commit_ids from commit_all where lixcol_version_id = 'global'),
         deleted as (select entity_id as id from change
           where schema_key = 'lix_version_descriptor' and snapshot_content is null),
         reached(id) as (
           select commit_id from version union select working_commit_id from version
           union select snapshot_content ->> 'commit_id' from change
             where schema_key = 'lix_version_tip' and entity_id in (select id from deleted)
           union select snapshot_content ->> 'working_commit_id' from change
             where schema_key = 'lix_version_descriptor' and entity_id in (select id from deleted)
           union select p.value from reached
             join here on here.id = reached.id, json_each(here.parent_commit_ids) p)
         select id from here where id not in (select id from reached)",
    ),
    (
        "an element has a change that there is not",
        "select change_set_id, change_id from change_set_element_all
         where lixcol_version_id = 'global' and change_id not in (select id from change)",
    ),
    (
        "a version and the history at its tip differ",
        "select s.version_id, s.entity_id, s.change_id from state_all s
         join version v on v.id = s.version_id
         where s.schema_key = 'lix_key_value' and s.untracked = 0
         and s.inherited_from_version_id is null and not exists
           (select 1 from state_history h where h.root_commit_id = v.commit_id and h.depth = 0
            and h.schema_key = s.schema_key and h.entity_id = s.entity_id)
         and not exists
           (select 1 from state_history h where h.root_commit_id = v.commit_id
            and h.schema_key = s.schema_key and h.entity_id = s.entity_id
            and h.change_id = s.change_id)",
    ),
    (
        "a stored row points nowhere",
        "select 'state', version_id, entity_id from _lix_state
           where change_seq not in (select seq from _lix_change)
           or commit_no not in (select no from _lix_commit)
         union all select 'past', version_id, entity_id from _lix_state_past
           where change_seq not in (select seq from _lix_change)
           or commit_no not in (select no from _lix_commit)
         union all select 'working', version_id, entity_id from _lix_working
           where base_seq is not null and base_seq not in (select seq from _lix_change)",
    ),
    (
        "a stored commit points nowhere",
        "select 'change', commit_no, change_seq from _lix_commit_change
           where change_seq not in (select seq from _lix_change)
           or commit_no not in (select no from _lix_commit)
         union all select 'parent', commit_no, parent_no from _lix_commit_parent
           where commit_no not in (select no from _lix_commit)
           or parent_no not in (select no from _lix_commit)
         union all select 'author', commit_no, account_id from _lix_commit_author
           where commit_no not in (select no from _lix_commit)",
    ),
];

/// What a rebuild may not change.
const TABLES: [&str; 11] = [
    "state_all",
    "state_with_tombstones",
    "state_history",
    "change",
    "version",
    "active_version",
    "active_account",
    "commit_all",
    "commit_edge_all",
    "change_set_element_all",
    "change_author_all",
];
