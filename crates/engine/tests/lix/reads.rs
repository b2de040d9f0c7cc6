//! What a statement says it depends on: no more than it needs to, and everything that can change it.
//!
//! `LIX_READS_SEED=n LIX_READS_SEQUENCES=1` repeats one sequence of random work; more sequences look
//! further.

use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    CommitDetail, EventKind, EventOptions, ExecRequest, ExecResponse, InitRequest, LixOptions,
    Plugin, PluginFormat, ReadSet, RowMode, event, request, response,
};

use crate::host::{Host, Sent};
use crate::random::{Random, setting};
use crate::watch::{Heard, Watch, query};

/// A lix, and somebody who hears of its commits.
struct World {
    host: Host,
    heard: Heard,
    log: Vec<String>,
}

impl World {
    fn new() -> Self {
        let mut host = Host::with(SessionOptions { conformance: true, ..SessionOptions::native() });
        let events = EventOptions {
            kinds: vec![EventKind::Commit.into()],
            commit_detail: CommitDetail::Keys.into(),
        };
        let init = InitRequest {
            events: Some(events),
            lix: Some(LixOptions::default()),
            plugins: ["fx.json", "fx.lines"].map(plugin).into(),
            ..Default::default()
        };
        let answer = host.call(request::Call::Init(init)).outcome;
        assert!(matches!(answer, Some(response::Outcome::Init(_))), "{answer:?}");
        Self { host, heard: Heard::default(), log: Vec::new() }
    }

    /// With a schema of somebody's, and a version beside main.
    fn with_docs() -> Self {
        let mut world = Self::new();
        for sql in SETUP {
            world.run(sql);
        }
        world.heard = Heard::default();
        world
    }

    /// A statement that has to succeed.
    fn run(&mut self, sql: &str) {
        assert!(self.attempt(sql), "{:?}", self.log.last());
    }

    /// A statement that may be refused; what was committed is heard.
    fn attempt(&mut self, sql: &str) -> bool {
        let now = self.host.platform.now_ms();
        self.host.platform.set_now_ms(now + 1);
        let exec = ExecRequest { sql: sql.into(), ..Default::default() };
        let (_, mut sent) = self.host.send(request::Call::Exec(exec), vec![]);
        sent.extend(self.host.run());
        let mut error = None;
        for sent in sent {
            match sent {
                Sent::Event(event::Kind::Commit(commit)) => self.heard.hear(&commit),
                Sent::Answer(answer) => {
                    if let Some(response::Outcome::Error(refused)) = answer.response.outcome {
                        error = Some(refused);
                    }
                }
                _ => {}
            }
        }
        let refused = error.as_ref().map(|error| format!("  -- {}", error.message));
        self.log.push(format!("{sql};{}", refused.unwrap_or_default()));
        error.is_none()
    }

    fn ask(&mut self, sql: &str, mode: RowMode) -> ExecResponse {
        let exec = ExecRequest {
            sql: sql.into(),
            report_reads: true,
            rows: mode.into(),
            max_batch_rows: 2,
            ..Default::default()
        };
        self.host.try_exec_request(exec).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// What a query depends on, main's id as `main`; `*` for anything at all.
    fn reads(&mut self, sql: &str) -> Vec<String> {
        let ReadSet { any_commit, reads } =
            self.ask(sql, RowMode::All).reads.expect("they were asked for");
        if any_commit {
            assert!(reads.is_empty(), "{sql}");
            return vec!["*".into()];
        }
        let main =
            self.host.rows("select id from version where name = 'main'")[0].replace('\'', "");
        let show = |read: lix_engine_protocol::proto::Read| {
            let parts = [read.schema_key, read.version_id, read.file_id, read.entity_id];
            parts.join("|").replace(&main, "main")
        };
        let mut reads: Vec<String> = reads.into_iter().map(show).collect();
        reads.sort();
        reads
    }

    /// Whether a query would have to be asked again after statements.
    fn is_stirred(&mut self, sql: &str, by: &[&str]) -> bool {
        let reads = self.ask(sql, RowMode::All).reads.expect("they were asked for");
        self.heard = Heard::default();
        for sql in by {
            self.run(sql);
        }
        self.heard.matches(&reads)
    }
}

fn plugin(key: &str) -> Plugin {
    let format = PluginFormat::Builtin.into();
    Plugin { key: key.into(), format, ..Default::default() }
}

const SETUP: [&str; 4] = [
    r#"insert into stored_schema_all (value, lixcol_version_id) values ('{"x-lix-key": "doc", "x-lix-version": "1.0",
        "x-lix-primary-key": ["id"], "x-lix-unique": [["slug"]], "type": "object", "required": ["id"],
        "properties": {"id": {"type": "string"}, "slug": {"type": ["string", "null"]}}}', 'global')"#,
    r#"insert into stored_schema_all (value, lixcol_version_id) values ('{"x-lix-key": "note", "x-lix-version": "1.0",
        "x-lix-primary-key": ["id"], "type": "object", "required": ["id"],
        "properties": {"id": {"type": "string"}, "doc_id": {"type": ["string", "null"]}}}', 'global')"#,
    "insert into key_value (key, value) values ('a', 1), ('b', 2)",
    "select * from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')",
];

#[test]
fn one_entity_is_one_entity_at_each_level() {
    let mut world = World::with_docs();
    let active = "lix_active_version|global|lix|active";
    let main = "lix_version_descriptor|global|lix|main";
    let by_key = "select value from key_value where key = 'a'";
    assert_eq!(
        world.reads(by_key),
        [active, "lix_key_value|global||a", "lix_key_value|main||a", main]
    );
    let by_all = "select snapshot_content from state where schema_key = 'lix_key_value' and entity_id = 'a' and file_id = 'lix'";
    // What the version has itself hides the rest.
    assert_eq!(world.reads(by_all), [active, "lix_key_value|main|lix|a", main]);
    let missing = "select snapshot_content from state where schema_key = 'lix_key_value' and entity_id = 'z' and file_id = 'lix'";
    assert_eq!(
        world.reads(missing),
        [active, "lix_key_value|global|lix|z", "lix_key_value|main|lix|z", main]
    );
    assert_eq!(
        world.reads(
            "select value from key_value_all where key = 'a' and lixcol_version_id = 'global'"
        ),
        ["lix_key_value|global||a"]
    );
    assert_eq!(
        world.reads("select count(*) from key_value_all where lixcol_version_id = 'nobody'"),
        ["lix_version_descriptor|global|lix|nobody"]
    );
    assert_eq!(world.reads("select lix_active_version_id()"), [active]);
    assert_eq!(world.reads("select 1"), [""; 0]);
    assert_eq!(world.reads("select value from key_value where 0"), [""; 0]);
}

#[test]
fn tables_are_schemas() {
    let mut world = World::with_docs();
    let (active, main) =
        ("lix_active_version|global|lix|active", "lix_version_descriptor|global|lix|main");
    let all = "lix_version_descriptor|global|lix|";
    assert_eq!(
        world.reads("select * from key_value"),
        [active, "lix_key_value|global||", "lix_key_value|main||", main]
    );
    assert_eq!(world.reads("select * from key_value_all"), ["lix_key_value|||", all]);
    assert_eq!(world.reads("select * from state_all"), ["|||"]);
    assert_eq!(world.reads("select * from state"), ["|global||", "|main||"]);
    assert_eq!(
        world.reads("select * from doc"),
        ["doc|global||", "doc|main||", active, "lix_stored_schema|||", main]
    );
    assert_eq!(world.reads("select id, name from version"), [all]);
    assert_eq!(
        world.reads("select commit_id from version where id = 'draft'"),
        ["lix_version_descriptor|global|lix|draft", "lix_version_tip|global|lix|draft"]
    );
    assert_eq!(world.reads("select * from active_version"), ["lix_active_version|global||"]);
    assert_eq!(world.reads("select * from active_account"), ["lix_active_account|global||"]);
    assert_eq!(
        world.reads("select k.key from key_value k, json_each(k.value) where k.key = 'a'"),
        world.reads("select value from key_value where key = 'a'")
    );
    for derived in ["change_set", "change_set_element", "change_author", "commit_edge"] {
        let reads = world.reads(&format!("select * from {derived}"));
        assert!(reads.contains(&"lix_commit|global||".to_owned()), "{derived}: {reads:?}");
    }
}

#[test]
fn what_is_no_state_depends_on_any_commit() {
    let mut world = World::with_docs();
    world.run("create table plain (id integer primary key, text text)");
    world.run("create view shown as select key from key_value");
    world.run("create temp table passing (a)");
    for sql in [
        "select * from plain",
        "select count(*) from plain",
        "select key from key_value where exists (select 1 from plain)",
        "select * from shown",
        "select * from passing",
        "select name from sqlite_schema",
        "select * from pragma_table_info('plain')",
        "pragma user_version",
        "explain query plan select * from key_value",
        "select * from change where id = 'x'",
        "select * from state_history",
        "select * from key_value_history where lixcol_root_commit_id = 'x'",
        "select * from lix_working_diff()",
        "select * from lix_commit_ancestors('{\"id\": \"x\"}')",
        "select count(*) from _lix_change",
        "select last_insert_rowid()",
        "select changes(), total_changes()",
        "insert into key_value (key, value) values ('w', 1) returning key",
        "select * from lix_create_label('{\"name\": \"x\"}')",
    ] {
        if sql.contains("lix_commit_ancestors") {
            let tip = world.host.rows("select commit_id from version where name = 'main'")[0]
                .replace('\'', "");
            assert_eq!(world.reads(&sql.replace("\"x\"", &format!("\"{tip}\""))), ["*"]);
            continue;
        }
        assert_eq!(world.reads(sql), ["*"], "{sql}");
    }
}

#[test]
fn a_table_by_one_of_our_names_is_not_ours() {
    let mut world = World::with_docs();
    assert_ne!(world.reads("select * from label"), ["*"]);
    world.run("create table label (id text)");
    assert_eq!(world.reads("select * from label"), ["*"]);
    assert_eq!(world.reads("select count(*) from main.label"), ["*"]);
    world.run("drop table label");
    assert_ne!(world.reads("select count(*) from main.label"), ["*"]);
    world.run("create temp table thread (id text)");
    assert_eq!(world.reads("select * from thread"), ["*"]);
    assert_ne!(world.reads("select * from main.thread"), ["*"]);
}

#[test]
fn nobody_is_told_who_did_not_ask() {
    let mut world = World::with_docs();
    assert!(world.host.exec("select * from key_value").reads.is_none());
    let mut plain = Host::ready();
    let exec = ExecRequest { sql: "select 1".into(), report_reads: true, ..Default::default() };
    assert!(plain.try_exec_request(exec).unwrap().reads.is_none());
}

#[test]
fn a_cursor_that_stays_open_may_read_anything() {
    let mut world = World::with_docs();
    let few = world.ask("select key from key_value where key = 'a'", RowMode::Cursor);
    assert_eq!((few.cursor, few.reads.unwrap().any_commit), (None, false));
    let many = world.ask("select entity_id from state", RowMode::Cursor);
    assert!(many.cursor.is_some() && many.reads.unwrap().any_commit);
    let none = world.ask("select key from key_value where key = 'a'", RowMode::None);
    assert!(!none.reads.unwrap().reads.is_empty());
}

#[test]
fn many_keys_are_any() {
    let mut world = World::with_docs();
    let keys = |count: usize| (0..count).map(|no| format!("'{no}'")).collect::<Vec<_>>().join(",");
    let few = format!("select * from key_value where key in ({})", keys(200));
    assert_eq!(world.reads(&few).len(), 2 + 2 * 200);
    let many = format!("select * from key_value where key in ({})", keys(300));
    assert_eq!(world.reads(&many), world.reads("select * from key_value"));
    // One by one, too.
    let numbers =
        "with recursive n(no) as (select 1 union all select no + 1 from n where no < 300)";
    let one_by_one = format!(
        "{numbers} select count(*) from n cross join key_value k on k.key = cast(n.no as text)"
    );
    assert_eq!(world.reads(&one_by_one), world.reads("select * from key_value"));
}

#[test]
fn others_of_the_schema_do_not_matter() {
    let mut world = World::with_docs();
    let by_key = "select value from key_value where key = 'a'";
    for others in [
        &["insert into key_value (key, value) values ('c', 1)"][..],
        &["update key_value set value = 3 where key = 'b'"],
        &["delete from key_value where key = 'b'"],
        &["insert into key_value (key, value, lixcol_untracked) values ('u', 1, 1)"],
        &["update key_value_all set value = 9 where key = 'a' and lixcol_version_id = 'draft'"],
        &["insert into doc (id) values ('a')", "update doc set slug = 's'", "delete from doc"],
        &["update active_account set account_id = 'ada'"],
        &[
            "begin",
            "insert into key_value (key, value) values ('d', 1)",
            "savepoint s",
            "update key_value set value = 7 where key = 'a'",
            "rollback to s",
            "commit",
        ],
        &["select * from lix_create_version('{\"id\": \"third\"}')"],
        &["select * from lix_merge_version('{\"source\": \"third\", \"target\": \"draft\"}')"],
    ] {
        assert!(!world.is_stirred(by_key, others), "{others:?}");
    }
    for itself in [
        &["update key_value set value = 2 where key = 'a'"][..],
        &["insert into key_value_all (key, value, lixcol_version_id) values ('a', 9, 'global')"],
        &["begin", "update key_value set value = 8 where key = 'a'", "commit"],
        &["delete from key_value where key = 'a'"],
        &["insert into key_value (key, value, lixcol_untracked) values ('a', 1, 1)"],
        &["select * from lix_switch_version('{\"to\": \"draft\"}')"],
        &["update version set inherits_from_version_id = null where id = 'draft'"],
    ] {
        assert!(world.is_stirred(by_key, itself), "{itself:?}");
    }
}

#[test]
fn a_parent_that_is_gone_may_come_again() {
    let mut world = World::with_docs();
    let mid = "select * from lix_create_version('{\"id\": \"mid\"}')";
    world.run(mid);
    world.run("select * from lix_create_version('{\"id\": \"leaf\", \"inherits_from\": \"mid\"}')");
    let query =
        "select count(*) from key_value_all where key = 'late' and lixcol_version_id = 'leaf'";
    assert!(!world.is_stirred(query, &["insert into key_value (key, value) values ('late', 1)"]));
    let late =
        "insert into key_value_all (key, value, lixcol_version_id) values ('late', 1, 'mid')";
    assert!(world.is_stirred(query, &[late]));
    assert_eq!(world.host.rows(query), ["1"]);
    assert!(world.is_stirred(query, &["delete from version where id = 'mid'"]));
    assert_eq!(world.host.rows(query), ["0"]);
    assert!(world.is_stirred(query, &[mid]));
}

#[test]
fn an_id_that_is_not_the_key_is_told() {
    let mut world = World::with_docs();
    let odd = |id: &str| {
        format!(
            "insert into state (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content)
             values ('{id}', 'doc', 'lix', 'p', '1.0', '{{\"id\": \"x {id}\"}}')"
        )
    };
    let by_key = "select id from doc where id = 'x odd'";
    assert!(!world.is_stirred(by_key, &["insert into doc (id) values ('even')"]));
    assert!(world.is_stirred(by_key, &[&odd("odd")]));
    assert_eq!(world.host.rows(by_key).len(), 1);
    // From now on any doc may be it.
    assert!(world.is_stirred("select id from doc where id = 'x odder'", &[&odd("odder")]));
    assert!(!world.is_stirred("select id from note where id = 'n'", &[&odd("oddest")]));
}

#[test]
fn a_file_is_its_descriptor_and_its_content() {
    let mut world = World::with_docs();
    let insert = |id: &str, path: &str, data: &str| {
        format!(
            "insert into file (id, path, data) values ('{id}', '{path}', cast('{data}' as blob))"
        )
    };
    world.run(&insert("f0", "/0.json", "{\"a\": 1}"));
    world.run(&insert("f1", "/1.json", "{\"a\": 1}"));
    let (active, main) =
        ("lix_active_version|global|lix|active", "lix_version_descriptor|global|lix|main");
    assert_eq!(
        world.reads("select path, metadata from file where id = 'f0'"),
        [active, "lix_file_descriptor|global||f0", "lix_file_descriptor|main||f0", main]
    );
    let data = "select data from file where id = 'f0'";
    let expected = [
        active,
        "lix_file_descriptor|global||f0",
        "lix_file_descriptor|main||f0",
        main,
        "|global|f0|",
        "|main|f0|",
    ];
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(world.reads(data), expected);
    // Out of memory, too.
    assert_eq!(world.reads(data), expected);
    assert_eq!(world.reads("select data from file_history where id = 'f0'"), ["*"]);

    let property = |file: &str, value: u32| {
        format!(
            "update state set snapshot_content = '{{\"value\": {value}}}'
             where schema_key = 'fx_property' and file_id = '{file}'"
        )
    };
    let by_path = "select data from file where path = '/0.json'";
    for query in [data, by_path] {
        assert!(!world.is_stirred(query, &[&property("f1", 2)]), "{query}");
        assert!(world.is_stirred(query, &[&property("f0", 3)]), "{query}");
        let other = "update file set data = cast('{\"b\": 1}' as blob) where id = 'f1'";
        assert!(!world.is_stirred(query, &[other]), "{query}");
        world.run(&property("f1", 4));
    }
    assert!(world.is_stirred(data, &["update file set hidden = 1 where id = 'f0'"]));
    assert!(world.is_stirred(by_path, &["delete from file where id = 'f0'"]));
    assert!(world.is_stirred(by_path, &["update file set path = '/0.json' where id = 'f1'"]));

    let odd = |id: &str| {
        format!(
            "insert into state (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content)
             values ('odd {id}', 'lix_file_descriptor', '{id}', 'lix_own_entity', '1.0',
               '{{\"id\": \"{id}\", \"path\": \"/{id}\", \"metadata\": null, \"hidden\": false}}')"
        )
    };
    let by_id = |id: &str| format!("select path from file where id = '{id}'");
    assert!(world.is_stirred(&by_id("x"), &[&odd("x")]));
    assert_eq!(world.host.rows(&by_id("x")), ["'/x'"]);
    assert!(world.is_stirred(&by_id("y"), &[&odd("y")]));
}

/// Random work on everything that there is, and queries that are looked at after every commit.
#[test]
fn no_commit_changes_what_it_does_not_match() {
    let first = setting("LIX_READS_SEED", 1);
    let count = setting("LIX_READS_SEQUENCES", 12);
    let mut spared = 0;
    for seed in first..first + count {
        let mut world = World::with_docs();
        let mut random = Random::new(seed);
        for sql in MORE {
            world.run(sql);
        }
        world.heard = Heard::default();
        let queries: Vec<String> = (0..40).map(|_| query(&mut random, &VERSIONS)).collect();
        let mut watch = Watch::new(&mut world.host, queries);
        world.log.clear();
        let mut is_open = false;
        for _ in 0..40 {
            let sql = work(&mut random, &mut world, is_open);
            let done = world.attempt(&sql);
            is_open = match sql.as_str() {
                "begin" => is_open || done,
                "commit" | "rollback" => is_open && !done,
                _ => is_open,
            };
            if is_open {
                continue;
            }
            let heard = std::mem::take(&mut world.heard);
            if let Err(message) = watch.check(&mut world.host, &heard) {
                panic!(
                    "LIX_READS_SEED={seed} LIX_READS_SEQUENCES=1:\n{}\n{message}",
                    world.log.join("\n")
                );
            }
        }
        spared += watch.spared;
    }
    assert!(spared > 50 * count, "only {spared} results were kept");
}

const MORE: [&str; 4] = [
    "select * from lix_create_version('{\"id\": \"v0\", \"inherits_from\": \"draft\"}')",
    "select * from lix_create_version('{\"id\": \"v1\", \"from\": \"global\"}')",
    "insert into file (id, path, data) values ('f0', '/0.json', cast('{\"a\": 1, \"b\": 2}' as blob))",
    "insert into file_all (id, path, data, lixcol_version_id) values ('f1', '/1.lines', cast('a' as blob), 'draft')",
];
const VERSIONS: [&str; 5] = ["global", "draft", "v0", "v1", "v2"];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// A statement that may change anything.
fn work(random: &mut Random, world: &mut World, is_open: bool) -> String {
    let version = random.pick(&VERSIONS).to_owned();
    let other = random.pick(&VERSIONS).to_owned();
    let key = random.pick(&KEYS).to_owned();
    let id = random.below(3);
    let number = random.below(100);
    let untracked = u8::from(random.one_in(4));
    let one = |world: &mut World, sql: &str| {
        let rows = world.host.rows(sql);
        rows.first().map(|cell| cell.replace('\'', "").replace("\\\"", "\"")).unwrap_or_default()
    };
    let path = [format!("/{id}.json"), format!("/{id}.lines"), format!("/{id}.txt")];
    let path = &path[random.below(3)];
    let data = match path.as_str() {
        json if json.ends_with("json") => {
            format!("{{\"{key}\": {number}, \"z\": {untracked}}}")
        }
        _ => format!("{number}\n{key}"),
    };
    let data = format!("cast('{data}' as blob)");
    if random.one_in(4) {
        return match random.below(9) {
            0 | 1 => format!("insert into file (id, path, data, lixcol_untracked) values ('f{id}', '{path}', {data}, {untracked})"),
            2 => format!("insert into file_all (id, path, data, lixcol_version_id) values ('f{id}', '{path}', {data}, '{version}')"),
            3 => format!("update file set data = {data} where id = 'f{id}'"),
            4 => format!("update file_all set data = {data} where path = '{path}' and lixcol_version_id = '{version}'"),
            5 => format!("update file set path = '{path}', hidden = {untracked} where id = 'f{id}'"),
            6 => format!("update file_all set metadata = '{{\"n\": {number}}}' where id = 'f{id}'"),
            7 => format!("delete from file where id = 'f{id}'"),
            _ => format!(
                "insert into state_all (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content, version_id)
                 values ('{key}', 'fx_property', 'f{id}', 'fx.json', '1.0', '{{\"value\": {number}}}', '{version}')"
            ),
        };
    }
    match random.below(48) {
        0..=2 => format!("insert into key_value (key, value, lixcol_untracked) values ('{key}', {number}, {untracked})"),
        3..=4 => format!("insert into key_value_all (key, value, lixcol_untracked, lixcol_version_id) values ('{key}', {number}, {untracked}, '{version}')"),
        5..=6 => format!("update key_value set value = {number} where key = '{key}'"),
        7 => format!("update key_value_all set value = {number} where key = '{key}' and lixcol_version_id = '{version}'"),
        8 => format!("delete from key_value where key = '{key}'"),
        9 => format!("delete from key_value_all where key = '{key}' and lixcol_version_id = '{version}'"),
        10 => format!("update key_value set key = '{key}' where key = 'a'"),
        11 => format!("insert into doc (id, slug) values ('d{id}', 's{number}')"),
        12 => format!("insert into doc_all (id, slug, lixcol_version_id, lixcol_file_id) values ('d{id}', 's{number}', '{version}', 'f{id}')"),
        13 => format!("update doc_all set slug = 's{number}' where id = 'd{id}'"),
        14 => format!("delete from doc where id = 'd{id}'"),
        15 => format!("insert into note_all (id, doc_id, lixcol_version_id, lixcol_untracked) values ('n{id}', 'd{id}', '{version}', {untracked})"),
        16 => format!("delete from note_all where id = 'n{id}'"),
        17 => format!(
            "insert into state_all (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content, version_id, untracked)
             values ('odd{id}', 'doc', 'lix', 'p', '1.0', '{{\"id\": \"d{}\"}}', '{version}', {untracked})",
            random.below(3)
        ),
        18 => format!(
            "insert into state (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content)
             values ('odd{id}', 'lix_key_value', 'lix', 'p', '1.0', '{{\"key\": \"{key}\", \"value\": {number}}}')"
        ),
        19 => format!("delete from state_all where entity_id = 'odd{id}' and version_id = '{version}'"),
        20 => format!("update state_all set untracked = {untracked} where entity_id = '{key}' and version_id = '{version}'"),
        21..=22 => format!("select * from lix_create_version('{{\"id\": \"v{id}\", \"name\": \"v{number}\", \"from\": \"{version}\", \"inherits_from\": \"{other}\"}}')"),
        23 => format!("delete from version where id = 'v{id}'"),
        24 => format!("select * from lix_create_version('{{\"id\": \"v{id}\", \"from\": \"{version}\", \"inherits_from\": null}}')"),
        25 => format!("update version set name = 'x{number}' where id = '{version}'"),
        26 => format!("update version set inherits_from_version_id = '{other}' where id = '{version}'"),
        27 => format!("update version set hidden = {untracked} where id = '{version}'"),
        28..=29 => format!("select * from lix_switch_version('{{\"to\": \"{version}\"}}')"),
        30 => format!("update active_version set version_id = '{version}'"),
        31..=32 => format!("select * from lix_merge_version('{{\"source\": \"{version}\", \"target\": \"{other}\"}}')"),
        33 => {
            let to = one(world, "select id from \"commit\" order by random() limit 1");
            format!("select * from lix_transition('{{\"to\": \"{to}\", \"version\": \"{version}\"}}')")
        }
        34..=35 => "select * from lix_create_checkpoint()".into(),
        36 => match random.below(4) {
            0 => "update active_account set account_id = 'ada'".into(),
            1 => "insert into active_account (account_id) values ('bea')".into(),
            2 => "insert into account (id, name) values ('ada', 'Ada')".into(),
            _ => "delete from active_account where account_id = 'bea'".into(),
        },
        37 => match random.below(3) {
            0 => format!("select * from lix_create_label('{{\"name\": \"l{number}\"}}')"),
            1 => {
                let label = one(world, "select id from label limit 1");
                format!("select * from lix_create_entity_label('{{\"entity\": {{\"entity_id\": \"{key}\", \"schema_key\": \"lix_key_value\", \"file_id\": \"lix\"}}, \"label\": \"{label}\"}}')")
            }
            _ => format!("delete from entity_label where entity_id = '{key}'"),
        },
        38 => match random.below(2) {
            0 => format!("select * from lix_create_log('{{\"key\": \"k\", \"message\": \"m{number}\", \"level\": \"info\"}}')"),
            _ => "insert into thread (metadata) values ('{\"a\": 1}')".into(),
        },
        39 => format!(
            "insert into stored_schema (value) values ('{{\"x-lix-key\": \"doc\", \"x-lix-version\": \"1.{number}\",
             \"x-lix-primary-key\": [\"id\"], \"type\": \"object\", \"properties\": {{\"id\": {{\"type\": \"string\"}}, \"slug\": {{\"type\": \"string\"}}, \"p{number}\": {{}}}}}}')"
        ),
        40 => match random.below(4) {
            0 => "create table if not exists thread (id text, metadata text)".into(),
            1 => "drop table if exists thread".into(),
            2 => "create view if not exists log as select 'k' as key, 'm' as message, 'info' as level".into(),
            _ => "drop view if exists log".into(),
        },
        41 => {
            let commit = one(world, "select id from \"commit\" order by random() limit 1");
            match random.below(2) {
                0 => format!("delete from state_all where schema_key = 'lix_version_tip' and entity_id = 'v{id}' and version_id = 'global'"),
                _ => format!(
                    "insert into state_all (entity_id, schema_key, file_id, plugin_key, schema_version, snapshot_content, version_id)
                     values ('v{id}', 'lix_version_tip', 'lix', 'lix_own_entity', '1.0', '{{\"id\": \"v{id}\", \"commit_id\": \"{commit}\"}}', 'global')"
                ),
            }
        }
        42 => match random.below(3) {
            0 => "insert into key_value_all (key, value, lixcol_version_id) values ('lix_deterministic_mode', '{\"enabled\": true, \"random_lix_id\": true}', 'global')".into(),
            1 => "delete from key_value_all where key = 'lix_deterministic_mode' and lixcol_version_id = 'global'".into(),
            _ => "select * from lix_rebuild()".into(),
        },
        43 => {
            let change = one(world, "select id from change where schema_key in ('doc', 'lix_key_value') order by random() limit 1");
            let element = one(world, &format!("select json_object('change_id', id, 'entity_id', entity_id, 'schema_key', schema_key, 'file_id', file_id) from change where id = '{change}'"));
            format!("select * from lix_create_change_set('{{\"id\": \"cs{id}\", \"elements\": [{element}]}}')")
        }
        44 => format!("select * from lix_apply_change_set('{{\"id\": \"cs{id}\"}}')"),
        45 | 46 if !is_open => "begin".into(),
        45 => "commit".into(),
        46 => random.pick(&["commit", "rollback", "commit"]).to_owned(),
        _ if is_open => random.pick(&["savepoint s", "rollback to s", "release s"]).to_owned(),
        _ => "select 1".into(),
    }
}
