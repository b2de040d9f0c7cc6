//! Somebody who keeps the results of queries and asks again only when a commit matches what a query
//! has read. Here it is asked again every time, to see that nothing was missed.

use std::collections::BTreeMap;

use lix_engine_protocol::proto::{CommitEvent, ExecRequest, ReadSet};
use lix_engine_protocol::{Cell, cells};

use crate::host::{Host, rows};
use crate::random::Random;

/// What commits told since the queries were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The columns that reads speak of.
    rows: Vec<BTreeMap<&'static str, String>>,
    /// Any result may be different.
    any: bool,
    commits: u64,
}

impl Heard {
    pub(crate) fn hear(&mut self, event: &CommitEvent) {
        self.commits += 1;
        self.any |= event.truncated || event.any_read || event.changes.is_none();
        let Some(batch) = &event.changes else { return };
        let mut heard = vec![BTreeMap::new(); batch.row_count as usize];
        for (column, decoded) in event.columns.iter().zip(cells(batch)) {
            let Some(name) = COLUMNS.into_iter().find(|name| *name == column.name) else {
                continue;
            };
            for (row, cell) in
                heard.iter_mut().zip(decoded.expect("an engine's batch is well formed"))
            {
                let Cell::Text(text) = cell else { panic!("{name} is {cell:?}") };
                row.insert(name, text.to_owned());
            }
        }
        self.rows.extend(heard);
    }

    /// Whether any of it matches.
    pub(crate) fn matches(&self, reads: &ReadSet) -> bool {
        let is_matched = |row: &BTreeMap<&'static str, String>| {
            reads.reads.iter().any(|read| {
                let wanted = [&read.schema_key, &read.version_id, &read.file_id, &read.entity_id];
                COLUMNS.iter().zip(wanted).all(|(name, text)| text.is_empty() || row[name] == *text)
            })
        };
        self.any || (reads.any_commit && self.commits > 0) || self.rows.iter().any(is_matched)
    }
}

const COLUMNS: [&str; 4] = ["schema_key", "version_id", "file_id", "entity_id"];

/// Queries with what they last answered.
pub(crate) struct Watch {
    queries: Vec<Query>,
    /// How often a query need not have been asked again, though something was committed.
    pub(crate) spared: u64,
}

struct Query {
    sql: String,
    /// None: it is refused.
    last: Option<(Vec<String>, ReadSet)>,
}

impl Watch {
    pub(crate) fn new(host: &mut Host, queries: impl IntoIterator<Item = String>) -> Self {
        let mut watch = Self { queries: Vec::new(), spared: 0 };
        for sql in queries {
            let last = look(host, &sql);
            watch.queries.push(Query { sql, last });
        }
        watch
    }

    /// To be called outside of transactions, with everything that was heard since the last call.
    pub(crate) fn check(&mut self, host: &mut Host, heard: &Heard) -> Result<(), String> {
        for query in &mut self.queries {
            let now = look(host, &query.sql);
            let Some((rows, reads)) = &query.last else {
                query.last = now;
                continue;
            };
            if heard.matches(reads) {
                query.last = now;
                continue;
            }
            self.spared += u64::from(!heard.rows.is_empty());
            // What was read then stays what it was, so the old set has to hold on.
            let new = now.as_ref().map(|(rows, _)| rows);
            if new != Some(rows) {
                return Err(format!(
                    "{}: {rows:?} became {new:?}, without a commit that matches {reads:?}: {heard:?}",
                    query.sql
                ));
            }
        }
        Ok(())
    }
}

fn look(host: &mut Host, sql: &str) -> Option<(Vec<String>, ReadSet)> {
    let request = ExecRequest { sql: sql.into(), report_reads: true, ..Default::default() };
    let answer = host.try_exec_request(request).ok()?;
    let reads = answer.reads.clone().expect("they were asked for");
    Some((rows(&answer), reads))
}

/// A query of some table, in some shape.
pub(crate) fn query(random: &mut Random, versions: &[&str]) -> String {
    let one = |random: &mut Random| {
        let (table, is_all, columns, conditions) = table(random);
        let mut conditions: Vec<String> =
            conditions.iter().filter(|_| random.one_in(3)).map(|text| (*text).to_owned()).collect();
        if is_all && random.one_in(2) {
            let column =
                if table.starts_with("state") { "version_id" } else { "lixcol_version_id" };
            conditions.push(format!("{column} = '{}'", random.pick(versions)));
        }
        let shown = match random.below(4) {
            0 => "*",
            1 => "count(*)",
            _ => columns,
        };
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!(" where {}", conditions.join(" and ")),
        };
        format!("select {shown} from {table}{condition}")
    };
    match random.below(10) {
        0 => format!("select exists ({})", one(random)),
        1 => format!("{} limit 2", one(random)),
        2 => format!("with x as materialized ({}) select count(*) from x", one(random)),
        3 => format!("select (select count(*) from ({})), k.value from key_value k where k.key = 'a'", one(random)),
        4 => random
            .pick(&[
                "select k.key, v.name from key_value_all k join version v on v.id = k.lixcol_version_id where k.key = 'a'",
                "select n.id, d.slug from note n left join doc d on d.id = n.doc_id",
                "select k.key, a.account_id from key_value k join change_author a on a.change_id = k.lixcol_change_id",
                "select d.id, (select value from key_value where key = d.slug) from doc d where d.id in ('d0', 'd2')",
                "select lix_active_version_id(), lix_is_deterministic()",
                "select name from version where id = lix_active_version_id()",
                "select key from key_value union select id from doc union select name from version",
                "select json_extract(v.value, '$') from key_value k, json_each(k.value) v",
                "select count(*) over (), key from key_value",
                "select e.entity_id, s.snapshot_content from change_set_element e join state s on s.entity_id = e.entity_id and s.schema_key = e.schema_key",
            ])
            .to_owned(),
        _ => one(random),
    }
}

type Shape = (&'static str, bool, &'static str, &'static [&'static str]);

/// Name, whether every version looks, some columns, some conditions.
fn table(random: &mut Random) -> Shape {
    TABLES[random.below(TABLES.len())]
}

const ENTITY: &str = "lixcol_entity_id, lixcol_change_id, lixcol_commit_id, lixcol_untracked, lixcol_created_at, lixcol_updated_at";
const TABLES: &[Shape] = &[
    ("key_value", false, "key, value", &["key = 'a'", "lixcol_untracked = 1"]),
    ("key_value", false, ENTITY, &["key in ('a', 'b')"]),
    (
        "key_value",
        false,
        "key, value, lixcol_inherited_from_version_id",
        &["key = 'b'", "value is not null"],
    ),
    ("key_value_all", true, "key, value, lixcol_version_id", &["key = 'a'", "key like 'b%'"]),
    ("key_value_all", true, ENTITY, &["lixcol_entity_id = 'c'", "lixcol_file_id = 'lix'"]),
    ("doc", false, "id, slug", &["id = 'd0'", "slug = 's1'"]),
    ("doc", false, ENTITY, &["lixcol_file_id = 'lix'", "id = 'd1'"]),
    (
        "doc_all",
        true,
        "id, slug, lixcol_version_id, lixcol_inherited_from_version_id",
        &["id = 'd1'"],
    ),
    ("note", false, "id, doc_id", &["id = 'n0'", "doc_id = 'd0'"]),
    ("note_all", true, ENTITY, &["id = 'n1'", "lixcol_untracked = 0"]),
    (
        "state",
        false,
        "entity_id, schema_key, snapshot_content",
        &["schema_key = 'lix_key_value'", "entity_id = 'a'", "file_id = 'lix'"],
    ),
    (
        "state",
        false,
        "entity_id, file_id, change_id, commit_id, untracked",
        &["schema_key in ('doc', 'note')", "file_id = 'lix'"],
    ),
    (
        "state_all",
        true,
        "entity_id, version_id, inherited_from_version_id",
        &["schema_key = 'doc'", "entity_id = 'd0'", "file_id = 'lix'"],
    ),
    (
        "state_all",
        true,
        "entity_id, version_id, commit_id",
        &["schema_key = 'lix_version_tip'", "file_id = 'lix'"],
    ),
    (
        "state_with_tombstones",
        true,
        "entity_id, schema_key, version_id, snapshot_content",
        &["schema_key = 'lix_key_value'", "entity_id = 'a'"],
    ),
    (
        "version",
        false,
        "id, name, hidden, inherits_from_version_id",
        &["name = 'main'", "id = 'v1'", "id <> 'v2'"],
    ),
    ("version", false, "id, commit_id, working_commit_id", &["id = 'v1'", "hidden = 0"]),
    ("version_all", false, "id, name, lixcol_version_id", &["id = 'v0'"]),
    ("active_version", false, "version_id", &[]),
    ("active_account", false, "account_id", &[]),
    ("account", false, "id, name", &["id = 'ada'"]),
    ("account_all", true, "id, name, lixcol_version_id", &[]),
    ("label", false, "id, name", &["name = 'checkpoint'"]),
    ("entity_label", false, "entity_id, label_id", &["schema_key = 'lix_commit'"]),
    ("entity_label_all", true, "entity_id, label_id", &["entity_id = 'a'"]),
    ("change_set", false, "id, metadata", &["id = 'cs0'"]),
    (
        "change_set_element",
        false,
        "change_set_id, change_id",
        &["schema_key = 'doc'", "entity_id = 'a'"],
    ),
    (
        "change_set_element",
        false,
        ENTITY,
        &["change_set_id in (select change_set_id from \"commit\")"],
    ),
    ("change_author", false, "change_id, account_id", &["account_id = 'ada'"]),
    ("\"commit\"", false, "id, change_set_id, parent_commit_ids", &[]),
    ("commit_edge", false, "parent_id, child_id", &[]),
    ("stored_schema", false, "key, version", &["key = 'doc'"]),
    ("log", false, "key, message", &["level = 'info'"]),
    ("thread", false, "id, metadata", &[]),
    ("thread_comment", false, "thread_id, body", &[]),
    ("file", false, "id, path, data", &["id = 'f0'", "path = '/1.json'"]),
    ("file", false, "id, path, hidden, metadata", &["id = 'f1'", "path like '%.lines'"]),
    (
        "file",
        false,
        "id, data, lixcol_change_id, lixcol_commit_id, lixcol_updated_at",
        &["id in ('f0', 'f2')", "lixcol_file_id = 'f0'"],
    ),
    ("file_all", true, "id, path, data, lixcol_version_id", &["id = 'f1'"]),
    ("file_all", true, "id, length(data), lixcol_inherited_from_version_id", &["path = '/0.txt'"]),
    ("state", false, "entity_id, snapshot_content", &["file_id = 'f0'", "plugin_key = 'fx.json'"]),
    ("file_history", false, "id, data, lixcol_depth", &["id = 'f0'"]),
    ("change", false, "id, entity_id", &["schema_key = 'doc'"]),
    ("state_history", false, "entity_id, commit_id, depth", &["schema_key = 'lix_key_value'"]),
    ("key_value_history", false, "key, lixcol_depth", &["lixcol_entity_id = 'a'"]),
    ("lix_working_diff()", false, "*", &[]),
];
