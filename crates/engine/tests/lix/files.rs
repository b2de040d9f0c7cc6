//! `file`, `file_all` and `file_history`, with plugins that tests write.

use lix_engine_core::{Platform, Plugins, SessionOptions};
use lix_engine_protocol::Reason;
use lix_engine_protocol::proto::{
    ExecRequest, InitRequest, LixOptions, Plugin as Asked, PluginFormat, Value, init_request,
    request, response, value,
};
use serde_json::json;

use crate::host::{Host, init_request as init};
use crate::migration::{changed, image};
use crate::plugins::{
    Calls, Loaded, Plugin, answer, ask, failed, json_members, line_schema, lines,
};
use crate::random::{Random, setting};
use crate::script::Lix;

/// A lix with plugins, and what they were called for since the last look.
struct Files {
    lix: Lix,
    calls: Calls,
}

impl std::ops::Deref for Files {
    type Target = Lix;
    fn deref(&self) -> &Lix {
        &self.lix
    }
}

impl std::ops::DerefMut for Files {
    fn deref_mut(&mut self) -> &mut Lix {
        &mut self.lix
    }
}

impl Files {
    /// A new lix.
    fn new(plugins: Vec<Plugin>) -> Self {
        Self::open(None, plugins)
    }

    fn json() -> Self {
        Self::new(vec![json_members("json")])
    }

    /// The lix of an image.
    fn open(image: Option<&[u8]>, plugins: Vec<Plugin>) -> Self {
        static BUILTIN: [PluginFormat; 1] = [PluginFormat::Builtin];
        let mut host = Host::with(SessionOptions { plugins: &BUILTIN, ..SessionOptions::native() });
        let asked = plugins.iter().map(|plugin| Asked {
            key: plugin.key.into(),
            format: PluginFormat::Builtin.into(),
            ..Default::default()
        });
        let asked: Vec<Asked> = asked.collect();
        let calls = Calls::default();
        let loaded: Box<dyn Plugins> = Box::new(Loaded::new(plugins, &calls));
        host.plugins = Some(loaded);
        let init = InitRequest {
            lix: image.is_none().then(LixOptions::default),
            seed: image.map(|_| init_request::Seed::ImageAttachment(0)),
            plugins: asked,
            ..init()
        };
        let attachments = image.map(bytes::Bytes::copy_from_slice).into_iter().collect();
        let answer = host.call_with(request::Call::Init(init), attachments);
        match answer.response.outcome {
            Some(response::Outcome::Init(_)) => Self { lix: Lix { host }, calls },
            other => panic!("init was answered with {other:?}"),
        }
    }

    /// The same lix, opened anew.
    fn reopened(&mut self, plugins: Vec<Plugin>) -> Self {
        let opened = Self::open(Some(&self.lix.host.export()), plugins);
        // The platform of a test throws the same in every session: go past what is used up.
        let used = self.lix.host.platform.drawn();
        opened.lix.host.platform.random(&mut vec![0; used as usize]);
        opened
    }

    fn calls(&self) -> Vec<String> {
        self.calls.take()
    }

    /// Runs a statement with parameters.
    fn exec(&mut self, sql: &str, params: &[value::Kind]) -> Result<(), Reason> {
        let values = params.iter().map(|kind| Value { kind: Some(kind.clone()) }).collect();
        let exec = ExecRequest { sql: sql.into(), params: values, ..Default::default() };
        let result = self.lix.host.try_exec_request(exec);
        result.map(drop).map_err(|error| {
            *Reason::ALL.iter().find(|reason| reason.as_str() == error.reason).unwrap()
        })
    }

    /// The rows of a query, quotes as they are.
    fn rows(&mut self, sql: &str) -> Vec<String> {
        self.lix.rows(sql).into_iter().map(|row| row.replace("\\\"", "\"")).collect()
    }

    fn content(&mut self, path: &str) -> String {
        let sql = format!("select cast(data as text) from file where path = '{path}'");
        self.one(&sql).replace("\\\"", "\"")
    }

    /// Inserts a file.
    fn write(&mut self, id: &str, path: &str, text: &str) {
        let params = [id, path, text].map(|text| value::Kind::Text(text.into()));
        let sql = "insert into file (id, path, data) values (?, ?, cast(? as blob))";
        self.exec(sql, &params).unwrap();
    }

    /// Updates the bytes of a file.
    fn edit(&mut self, id: &str, text: &str) {
        let params = [text, id].map(|text| value::Kind::Text(text.into()));
        self.exec("update file set data = cast(? as blob) where id = ?", &params).expect(text);
    }

    fn commits(&mut self) -> usize {
        self.one("select count(*) from \"commit\"").parse().unwrap()
    }

    fn changes(&mut self) -> usize {
        self.one("select count(*) from change").parse().unwrap()
    }

    fn check_rebuild(&mut self) {
        crate::rebuild::check(&mut self.lix, "files");
    }
}

#[test]
fn a_json_file_is_inserted_edited_renamed_and_deleted() {
    let mut lix = Files::json();
    lix.write("f", "/h.json", r#"{"a":1,"b":1}"#);
    assert_eq!(lix.calls(), ["detect json /h.json"]);
    let entities = "select entity_id, schema_key, plugin_key from state where file_id = 'f' order by schema_key, entity_id";
    assert_eq!(
        lix.rows(entities),
        [
            "'f' | 'lix_file_descriptor' | 'lix_own_entity'",
            "'a' | 'member' | 'json'",
            "'b' | 'member' | 'json'"
        ]
    );
    assert_eq!(lix.content("/h.json"), r#"{"a":1,"b":1}"#);
    lix.run("update file set data = cast('{\"a\":2,\"b\":1}' as blob) where id = 'f'");
    assert_eq!(lix.content("/h.json"), r#"{"a":2,"b":1}"#);
    lix.run("update file set path = '/h2.json' where id = 'f'");
    assert_eq!(lix.content("/h2.json"), r#"{"a":2,"b":1}"#);
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.rows("select id from file"), [""; 0]);
    assert_eq!(lix.rows(entities), [""; 0]);
    let history = "select lixcol_depth, path, cast(data as text) from file_history
        where lixcol_root_commit_id = (select commit_id from version where name = 'main') order by 1";
    assert_eq!(
        lix.rows(history),
        [
            r#"1 | '/h2.json' | '{"a":2,"b":1}'"#,
            r#"2 | '/h.json' | '{"a":2,"b":1}'"#,
            r#"3 | '/h.json' | '{"a":1,"b":1}'"#
        ]
    );
    let rows = "select count(*), sum(snapshot_content is null) from change where file_id = 'f'";
    assert_eq!(lix.rows(rows), ["8 | 3"]);
    lix.check_rebuild();
    assert_eq!(lix.rows(history).len(), 3);
}

/// 19.3 of the reference.
#[test]
fn a_file_of_global_is_copied_when_it_is_written() {
    let mut lix = Files::json();
    lix.run("insert into file_all (id, path, data, lixcol_version_id) values ('f', '/f.json', cast('{\"a\":1,\"b\":1}' as blob), 'global')");
    let inherited = "select lixcol_inherited_from_version_id from file where id = 'f'";
    assert_eq!(lix.rows(inherited), ["'global'"]);
    lix.calls();
    lix.edit("f", r#"{"a":2,"b":1}"#);
    assert_eq!(lix.calls(), ["detect json /f.json before"]);
    assert_eq!(lix.rows(inherited), ["NULL"]);
    let all = "select v.name, cast(f.data as text), f.lixcol_inherited_from_version_id
        from file_all f join version v on v.id = f.lixcol_version_id order by v.name";
    assert_eq!(
        lix.rows(all),
        [r#"'global' | '{"a":1,"b":1}' | NULL"#, r#"'main' | '{"a":2,"b":1}' | NULL"#]
    );
    // What was not changed is still global's.
    let rows =
        "select entity_id, inherited_from_version_id from state where file_id = 'f' order by 1";
    assert_eq!(lix.rows(rows), ["'a' | NULL", "'b' | 'global'", "'f' | NULL"]);
    lix.check_rebuild();
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.rows("select id from file"), [""; 0]);
    assert_eq!(lix.rows(all), [r#"'global' | '{"a":1,"b":1}' | NULL"#]);
    assert_eq!(lix.rows("select entity_id from state where file_id = 'f'"), [""; 0]);
    lix.check_rebuild();
}

/// 19.4 of the reference, without its defects.
#[test]
fn plugins_come_and_go() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", "{ \"a\": 1 }");
    assert_eq!(lix.content("/f.json"), r#"{"a":1}"#);

    // Without the plugin: the bytes that were written.
    let mut without = lix.reopened(vec![]);
    assert_eq!(without.content("/f.json"), r#"{ "a": 1 }"#);
    assert_eq!(
        without.rows("select id, path from file where data is not null"),
        ["'f' | '/f.json'"]
    );
    // Until the entities are others. What needs no bytes needs no plugin.
    without.run("update state set snapshot_content = '{\"value\":2}' where entity_id = 'a'");
    without.fails("select data from file", Reason::PluginMissing, "'json', which is not loaded");
    assert_eq!(without.rows("select id, path from file"), ["'f' | '/f.json'"]);
    without.run("update file set hidden = 1, path = '/g.json' where id = 'f'");
    let mut with = without.reopened(vec![json_members("json")]);
    assert_eq!(with.content("/g.json"), r#"{"a":2}"#);

    // Written without it: nobody takes the bytes apart, and the entities go.
    let mut without = with.reopened(vec![]);
    without.edit("f", "new");
    assert_eq!(without.content("/g.json"), "new");
    let owners = "select entity_id, plugin_key from state where file_id = 'f' order by 1";
    let unknown = ["'f' | 'lix_own_entity'", "'f' | 'lix_unknown_file_fallback_plugin'"];
    let mut rows = without.rows(owners);
    rows.sort();
    assert_eq!(rows, unknown);
    // Opened with a plugin that its path belongs to, it is what it was; the plugin gets the next
    // bytes whole, and nothing stays of the others.
    let mut with = without.reopened(vec![json_members("json")]);
    assert_eq!(with.content("/g.json"), "new");
    assert_eq!(with.calls(), [""; 0]);
    with.edit("f", r#"{"x":1}"#);
    assert_eq!(with.calls(), ["detect json /g.json"]);
    assert_eq!(with.content("/g.json"), r#"{"x":1}"#);
    assert_eq!(with.rows(owners), ["'f' | 'lix_own_entity'", "'x' | 'json'"]);
    with.check_rebuild();
}

#[test]
fn bytes_of_a_missing_plugin_stay_for_whoever_sees_their_entities() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", "{ \"a\": 1 }");
    let main = lix.main();
    for (id, option) in [("branch", "from"), ("other", "from"), ("twin", "inherits_from")] {
        lix.run(&format!(
            "select id from lix_create_version('{{\"id\": \"{id}\", \"{option}\": \"{main}\"}}')"
        ));
    }
    lix.edit("f", "{ \"a\": 2 }");
    lix.edit("f", "{ \"a\": 3 }");
    let mut without = lix.reopened(vec![]);
    assert_eq!(without.content("/f.json"), "{ \"a\": 3 }");
    let of = |lix: &mut Files, version: &str| {
        lix.rows(&format!("select cast(data as text) from file_all where id = 'f' and lixcol_version_id = '{version}'"))
    };
    assert_eq!(of(&mut without, "branch"), ["'{ \"a\": 1 }'"]);
    assert_eq!(of(&mut without, "twin"), ["'{ \"a\": 1 }'"]);
    // Taken over by one version, then lost by the one that had written it.
    let mut lix = without.reopened(vec![json_members("json")]);
    lix.run(&format!(
        "select * from lix_merge_version('{{\"source\": \"{main}\", \"target\": \"branch\"}}')"
    ));
    lix.run("delete from file where id = 'f'");
    let mut without = lix.reopened(vec![]);
    assert_eq!(of(&mut without, "branch"), ["'{ \"a\": 3 }'"]);
    assert_eq!(of(&mut without, "other"), ["'{ \"a\": 1 }'"]);
    assert_eq!(without.rows("select id from file"), [""; 0]);
}

/// 9.2 of the reference.
#[test]
fn paths() {
    let mut lix = Files::new(vec![]);
    let long = format!("/{}", "x".repeat(5_000));
    for path in ["/a", "/ä", "/.hidden", "/a.", &long, "/a b", "/a?b#c", "/a/../b", "/./a", "/%20"]
    {
        lix.write(path, path, "x");
    }
    for path in ["", "a", "/", "/a/", "/a//b", "/a\\b", "//a", "/c\nd", "/c\rd", "/c\n//d", "/c\0d"]
    {
        let params = [value::Kind::Text(path.into())];
        let insert = lix.exec("insert into file (path) values (?)", &params);
        assert_eq!(insert, Err(Reason::SchemaMismatch), "{path:?}");
        let update = lix.exec("update file set path = ? where id = '/a'", &params);
        assert_eq!(update, Err(Reason::SchemaMismatch), "{path:?}");
    }
    lix.fails(
        "insert into file (path) values ('/a//b')",
        Reason::SchemaMismatch,
        "The provided snapshot content does not match the schema 'lix_file_descriptor' (1.0).",
    );
    lix.fails(
        "insert into file (path) values ('x')",
        Reason::SchemaMismatch,
        "/path must match pattern \"",
    );
    lix.fails(
        "insert into file (path) values ('x')",
        Reason::SchemaMismatch,
        "Received value: \"x\"",
    );
    lix.fails("insert into file (id) values ('x')", Reason::SchemaMismatch, "path");
    // Paths are what they are: two that look the same are two files.
    lix.write("nfc", "/\u{e9}", "1");
    lix.write("nfd", "/e\u{301}", "2");
    assert_eq!(lix.content("/e\u{301}"), "2");
    lix.fails(
        "insert into file (id, path) values ('other', '/a')",
        Reason::Unique,
        "Unique constraint violation: The unique constraint on (path) is violated by values ('/a')",
    );
    // In another version the path is free.
    lix.run("select id from lix_create_version('{\"id\": \"draft\", \"from\": \"global\"}')");
    lix.run("insert into file_all (id, path, lixcol_version_id) values ('other', '/a', 'draft')");
    lix.fails(
        "insert into file (id, path) values ('/a', '/other')",
        Reason::PrimaryKey,
        "Primary key constraint violation: The primary key constraint on (id) is violated by values ('/a')",
    );
    lix.run("begin;\ninsert into file (id, path, data) values ('t', '/t', x'01')");
    lix.fails("insert into file (id, path) values ('t', '/t2')", Reason::PrimaryKey, "('t')");
    lix.run("commit");
    assert_eq!(lix.rows("select hex(data) from file where id = 't'"), ["'01'"]);
}

/// 9.3 of the reference.
#[test]
fn columns() {
    let mut lix = Files::new(vec![]);
    let names = |lix: &mut Files, table: &str| -> String {
        let result = lix.host.exec(&format!("select * from {table}"));
        result.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let own = "id path data metadata hidden lixcol_entity_id lixcol_schema_key";
    let rest = "lixcol_inherited_from_version_id lixcol_change_id lixcol_created_at lixcol_updated_at \
                lixcol_commit_id lixcol_untracked";
    assert_eq!(names(&mut lix, "file"), format!("{own} lixcol_file_id {rest}"));
    assert_eq!(
        names(&mut lix, "file_all"),
        format!("{own} lixcol_file_id lixcol_version_id {rest}")
    );
    assert_eq!(
        names(&mut lix, "file_history"),
        format!(
            "{own} lixcol_plugin_key lixcol_file_id lixcol_change_id lixcol_commit_id lixcol_schema_version \
             lixcol_root_commit_id lixcol_depth"
        )
    );
    // As those of key values, but for what belongs to files.
    for (files, key_values) in [
        ("file", "key_value"),
        ("file_all", "key_value_all"),
        ("file_history", "key_value_history"),
    ] {
        let of = |lix: &mut Files, table| -> Vec<String> {
            let names = names(lix, table);
            let known = ["lixcol_file_id", "lixcol_plugin_key", "lixcol_entity_id"];
            let mut names: Vec<String> = names
                .split(' ')
                .filter(|name| name.starts_with("lixcol_") && !known.contains(name))
                .map(str::to_owned)
                .collect();
            names.sort();
            names
        };
        assert_eq!(of(&mut lix, files), of(&mut lix, key_values), "{files}");
    }
    lix.run(
        "insert into file (id, path, metadata, hidden) values ('f', '/f', '{\"k\": [1, true]}', 1)",
    );
    assert_eq!(
        lix.rows("select id, path, data, metadata, hidden, lixcol_entity_id, lixcol_schema_key, lixcol_file_id, lixcol_untracked from file"),
        [r#"'f' | '/f' | x'' | '{"k":[1,true]}' | 1 | 'f' | 'lix_file_descriptor' | 'f' | 0"#]
    );
    lix.run("update file set metadata = null, hidden = null");
    assert_eq!(lix.rows("select metadata, hidden from file"), ["NULL | 0"]);
    lix.fails("update file set metadata = '[1]'", Reason::SchemaMismatch, "metadata");
    lix.fails("update file set hidden = 7", Reason::SchemaMismatch, "hidden");
    // An id of its own for whoever gives none.
    lix.run("insert into file (path) values ('/g')");
    assert_eq!(lix.one("select length(id) from file where path = '/g'"), "21");
}

#[test]
fn content_is_made_for_who_reads_it() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", "{}");
    lix.calls();
    lix.run("select id, path, metadata, hidden, lixcol_change_id, lixcol_commit_id from file");
    lix.run("select count(*) from file_all");
    lix.run("update file set hidden = 1, metadata = '{}' where id = 'f'");
    lix.run("select path, lixcol_depth from file_history");
    assert_eq!(lix.calls(), [""; 0]);
    lix.run("select data from file where id = 'f'");
    lix.run("select data from file where id = 'f'");
    assert_eq!(lix.calls(), ["apply json /f.json 0"]);
    // What is kept is dropped by whatever may change it.
    lix.run("update file set path = '/g.json' where id = 'f'");
    lix.run("select data from file where id = 'f'");
    assert_eq!(lix.calls(), ["apply json /g.json 0"]);
    lix.run("update file set path = '/h.json' where id = 'f'");
    assert_eq!(lix.calls(), [""; 0], "what is not set is not read");
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.calls(), [""; 0], "nor is what is deleted");
}

/// 9.4 of the reference.
#[test]
fn the_newest_change_is_the_files() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", r#"{"a":1,"b":1}"#);
    let tip = "select commit_id from version where name = 'main'";
    let newest = "select lixcol_change_id = (select change_id from state where file_id = 'f' and entity_id = 'a'),
        lixcol_commit_id = (select commit_id from version where name = 'main'),
        lixcol_created_at <= lixcol_updated_at, lixcol_created_at = (select created_at from state where schema_key = 'lix_file_descriptor')
        from file";
    lix.edit("f", r#"{"a":2,"b":1}"#);
    assert_eq!(lix.rows(newest), ["1 | 1 | 1 | 1"]);
    let commit = lix.one(tip);
    lix.run("insert into key_value (key, value) values ('k', 'v')");
    assert_eq!(lix.one("select lixcol_commit_id from file"), commit);
    // A deletion is a change of the file too.
    lix.run("delete from state where file_id = 'f' and entity_id = 'b'");
    let deletion = "select (select snapshot_content is null and entity_id = 'b' from change c where c.id = f.lixcol_change_id) from file f";
    assert_eq!(lix.rows(deletion), ["1"]);
    lix.run("begin");
    lix.edit("f", r#"{"a":3}"#);
    assert_eq!(lix.one("select lixcol_commit_id from file"), "pending");
    lix.run("commit");
    lix.run("insert into file (id, path, lixcol_untracked) values ('u', '/u', 1)");
    assert_eq!(
        lix.rows("select lixcol_change_id, lixcol_created_at, lixcol_updated_at, lixcol_commit_id, lixcol_untracked from file where id = 'u'"),
        ["'untracked' | NULL | NULL | 'untracked' | 1"]
    );
    lix.check_rebuild();
}

/// 9.5 of the reference.
#[test]
fn statements_about_several_files() {
    let mut lix = Files::new(vec![lines(), json_members("json")]);
    let commits = lix.commits();
    lix.run("insert into file (id, path, data) values ('a', '/a.json', cast('{\"x\":1}' as blob)), ('b', '/b.txt', cast('one' as blob)), ('c', '/c', x'00')");
    assert_eq!(lix.commits(), commits + 1);
    assert_eq!(lix.calls(), ["detect json /a.json", "detect lines /b.txt"]);
    lix.run("update file set metadata = '{\"seen\":1}'");
    assert_eq!(lix.calls(), [""; 0]);
    lix.run("update file set path = path || '.txt', data = cast(data || x'0a' as blob)");
    assert_eq!(
        lix.rows("select path, hex(data) from file order by id"),
        ["'/a.json.txt' | '7B2278223A317D0A'", "'/b.txt.txt' | '6F6E650A'", "'/c.txt' | '000A'"]
    );
    lix.run("insert into file (id, path, data) select id || '2', path || '2', data from file");
    assert_eq!(lix.rows("select count(*), count(distinct data) from file"), ["6 | 3"]);
    // Nothing there: nothing happens.
    let commits = lix.commits();
    lix.run("update file set data = x'00' where id = 'nobody'");
    lix.run("delete from file where id = 'nobody'");
    lix.run("update file_all set path = '/x' where id = 'a' and lixcol_version_id = 'nobody'");
    assert_eq!(lix.commits(), commits);
    lix.run("delete from file");
    assert_eq!(lix.rows("select count(*) from file"), ["0"]);
    assert_eq!(lix.rows("select count(*) from state where file_id <> 'lix'"), ["0"]);
    lix.check_rebuild();
}

#[test]
fn each_row_of_a_statement_sees_those_before_it() {
    let counting = Plugin {
        key: "counting",
        glob: Some("*.n"),
        detect: Some(Box::new(|seen| {
            let count = seen.ask("select count(*) from state where schema_key = ?", json!(["n"]));
            let files = seen.ask("select count(*) from file", json!([]));
            let path = seen.ask("select path from file where id = ?", json!([seen.after.0["id"]]));
            let snapshot = json!({"n": count[0][0], "files": files[0][0], "path": path[0][0]});
            Ok(answer(
                json!({"x-lix-key": "n", "x-lix-version": "1.0"}),
                vec![("n".into(), Some(snapshot))],
            ))
        })),
        apply: Some(Box::new(|_, changes, _| Ok(changes["rows"][0][5].to_string().into_bytes()))),
    };
    let mut lix = Files::new(vec![counting]);
    lix.run("insert into file (id, path) values ('a', '/a.n'), ('b', '/b.n'), ('c', '/c.n')");
    assert_eq!(
        lix.rows("select cast(data as text) from file order by id"),
        [
            r#"'{"n":0,"files":1,"path":"/a.n"}'"#,
            r#"'{"n":1,"files":2,"path":"/b.n"}'"#,
            r#"'{"n":2,"files":3,"path":"/c.n"}'"#
        ]
    );
    // The descriptor is the new one.
    lix.run("update file set path = '/d.n', data = x'00' where id = 'a'");
    assert_eq!(lix.content("/d.n"), r#"{"n":3,"files":3,"path":"/d.n"}"#);
}

#[test]
fn a_plugin_sees_the_version_that_it_works_for() {
    let looking = Plugin {
        key: "looking",
        glob: Some("*.n"),
        detect: Some(Box::new(|seen| {
            let found = seen.ask("select value from key_value where key = 'where'", json!([]));
            let schema = json!({"x-lix-key": "n", "x-lix-version": "1.0"});
            Ok(answer(schema, vec![("n".into(), Some(json!({"found": found})))]))
        })),
        apply: Some(Box::new(|_, changes, query| {
            let found = ask(query, "select value from key_value where key = 'where'", json!([]));
            Ok(format!("{} {found}", changes["rows"][0][5]["found"]).into_bytes())
        })),
    };
    let mut lix = Files::new(vec![looking]);
    lix.run("select id from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')");
    lix.run("insert into key_value (key, value) values ('where', 'main')");
    lix.run("insert into key_value_all (key, value, lixcol_version_id) values ('where', 'draft', 'draft')");
    lix.run("insert into file_all (id, path, lixcol_version_id) values ('f', '/f.n', 'draft')");
    assert_eq!(
        lix.rows("select cast(data as text) from file_all where lixcol_version_id = 'draft'"),
        [r#"'[["draft"]] [["draft"]]'"#]
    );
    assert_eq!(lix.rows("select value from key_value where key = 'where'"), ["'main'"]);
}

#[test]
fn untracked_files_make_no_commit() {
    let mut lix = Files::json();
    let before = (lix.commits(), lix.changes());
    lix.run("insert into file (id, path, data, lixcol_untracked) values ('f', '/f.json', cast('{\"a\":1}' as blob), 1)");
    lix.run("insert into file (id, path, data, lixcol_untracked) values ('u', '/u', x'01', 1)");
    lix.edit("f", r#"{"a":2,"b":1}"#);
    lix.run("update file set data = x'02' where id = 'u'");
    lix.run("update file set path = '/g.json' where id = 'f'");
    assert_eq!(lix.rows("select hex(data) from file where id = 'u'"), ["'02'"]);
    assert_eq!(lix.content("/g.json"), r#"{"a":2,"b":1}"#);
    assert_eq!(
        lix.rows("select count(*) from state where file_id in ('f', 'u') and untracked"),
        ["5"]
    );
    assert_eq!((lix.commits(), lix.changes()), before);
    lix.check_rebuild();
    // It becomes tracked as a whole.
    lix.run("update file set lixcol_untracked = 0 where id = 'f'");
    assert_eq!(
        lix.rows("select count(*), sum(untracked) from state where file_id = 'f'"),
        ["3 | 0"]
    );
    assert_eq!(lix.commits(), before.0 + 1);
    lix.run(
        "update file set lixcol_untracked = 1, data = cast('{\"a\":3}' as blob) where id = 'f'",
    );
    assert_eq!(lix.content("/g.json"), r#"{"a":3}"#);
    lix.run("delete from file where id = 'u'");
    assert_eq!(lix.rows("select id from file"), ["'f'"]);
    // Below the untracked one the tracked one is seen again.
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.content("/g.json"), r#"{"a":2,"b":1}"#);
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.rows("select entity_id from state where file_id = 'f'"), [""; 0]);
    lix.check_rebuild();
}

/// 9.6 and 9.7 of the reference.
#[test]
fn handlers_are_skipped_by_a_flag_that_is_true() {
    let mut lix = Files::json();
    lix.run("insert into key_value (key, value) values ('lix_log_levels', '[\"*\"]')");
    lix.run("insert into key_value (key, value) values ('lix_skip_file_handlers', 'false')");
    lix.write("f", "/f.json", "{}");
    assert_eq!(lix.rows("select id from file"), ["'f'"]);
    lix.run("update key_value set value = 'true' where key = 'lix_skip_file_handlers'");
    lix.write("g", "/g.json", "{}");
    lix.run("update file set path = '/x.json' where id = 'f'");
    assert_eq!(lix.rows("select id, path from file"), ["'f' | '/f.json'"]);
    assert_eq!(
        lix.rows("select key, level, message from log order by lixcol_created_at, key"),
        [
            "'lix_file_no_changes_detected' | 'debug' | 'File inserted at /f.json but plugin detected no changes'",
            "'lix_file_skipped_insert_handler' | 'debug' | 'Skipping file insert for /g.json due to lix_skip_file_handlers flag'",
            "'lix_file_skipped_update_handler' | 'debug' | 'Skipping file update for /x.json due to lix_skip_file_handlers flag'"
        ]
    );
}

#[test]
fn unknown_files_are_noted_without_a_change() {
    let mut lix = Files::new(vec![]);
    lix.write("f", "/f", "1");
    let before = lix.changes();
    lix.write("g", "/g", "1");
    // Descriptor and content, the commit and the tip.
    assert_eq!(lix.changes(), before + 4);
    lix.edit("g", "2");
    let log = "select key, level, message, lixcol_untracked, lixcol_inherited_from_version_id from log order by message";
    let row = |verb: &str, path: &str| {
        format!(
            "'lix_file_no_plugin' | 'warn' | 'File {verb} at {path} but no plugin available to detect changes' | 1 | 'global'"
        )
    };
    assert_eq!(lix.rows(log), [row("inserted", "/f"), row("inserted", "/g"), row("updated", "/g")]);
    lix.run("insert into key_value (key, value) values ('lix_log_levels', '[\"error\"]')");
    lix.edit("g", "3");
    assert_eq!(lix.rows(log).len(), 3);
}

#[test]
fn what_does_not_change_is_not_written() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", "{ \"a\": 1 }");
    lix.write("u", "/u", "bytes");
    lix.calls();
    let before = (lix.commits(), lix.changes());
    // As it was written, and as it is shown.
    lix.edit("f", "{ \"a\": 1 }");
    assert_eq!(lix.calls(), [""; 0]);
    lix.run("update file set data = data, path = path, hidden = 0, metadata = null");
    assert_eq!(lix.calls(), ["apply json /f.json 1"]);
    lix.edit("u", "bytes");
    lix.run("update file set lixcol_untracked = 0");
    // Other bytes of the same entities.
    lix.edit("f", "{\"a\" : 1}");
    assert_eq!((lix.commits(), lix.changes()), before);
    let mut without = lix.reopened(vec![]);
    assert_eq!(without.content("/f.json"), "{\"a\" : 1}");
}

#[test]
fn a_plugin_that_changes_nothing_new_writes_nothing() {
    let eager = Plugin {
        key: "eager",
        detect: Some(Box::new(|seen| {
            let text = seen.text().to_owned();
            let length = text.len().to_string();
            let changes = vec![
                ("text".into(), Some(json!({"v": text}))),
                ("length".into(), Some(json!({"v": length}))),
            ];
            Ok(answer(json!({"x-lix-key": "e", "x-lix-version": "1.0"}), changes))
        })),
        apply: Some(Box::new(|_, changes, _| {
            let rows = changes["rows"].as_array().unwrap();
            let text = rows.iter().find(|row| row[0] == "text").unwrap();
            Ok(text[5]["v"].as_str().unwrap().into())
        })),
        glob: Some("*"),
    };
    let mut lix = Files::new(vec![eager]);
    lix.write("f", "/f", "abc");
    let before = lix.changes();
    lix.edit("f", "xyz");
    // The text, the commit and the tip: the length is what it was.
    assert_eq!(lix.changes(), before + 3);
    assert_eq!(lix.content("/f"), "xyz");
}

#[test]
fn a_file_that_is_renamed_changes_hands() {
    let mut lix = Files::new(vec![lines(), json_members("json")]);
    let owners = "select distinct plugin_key from state where file_id = 'f' order by 1";
    lix.write("f", "/f", r#"{"a":1}"#);
    assert_eq!(lix.rows(owners), ["'lix_own_entity'", "'lix_unknown_file_fallback_plugin'"]);
    lix.run("update file set path = '/f.json' where id = 'f'");
    assert_eq!(lix.calls(), ["detect json /f.json"]);
    assert_eq!(lix.rows(owners), ["'json'", "'lix_own_entity'"]);
    assert_eq!(lix.content("/f.json"), r#"{"a":1}"#);
    lix.calls();
    lix.run("update file set path = '/f.txt' where id = 'f'");
    assert_eq!(lix.calls(), ["detect lines /f.txt"]);
    assert_eq!(lix.rows(owners), ["'lines'", "'lix_own_entity'"]);
    assert_eq!(lix.content("/f.txt"), r#"{"a":1}"#);
    lix.run("update file set path = '/f', data = cast('end' as blob) where id = 'f'");
    assert_eq!(lix.rows(owners), ["'lix_own_entity'", "'lix_unknown_file_fallback_plugin'"]);
    assert_eq!(lix.content("/f"), "end");
    // What the new plugin does not take, it does not get.
    lix.fails(
        "update file set path = '/f.json' where id = 'f'",
        Reason::PluginFailed,
        "no JSON object",
    );
    assert_eq!(lix.content("/f"), "end");
    let history = "select lixcol_depth, path, cast(data as text) from file_history
        where lixcol_root_commit_id = (select commit_id from version where name = 'main') order by 1";
    assert_eq!(
        lix.rows(history),
        [
            "0 | '/f' | 'end'",
            r#"1 | '/f.txt' | '{"a":1}'"#,
            r#"2 | '/f.json' | '{"a":1}'"#,
            r#"3 | '/f' | '{"a":1}'"#
        ]
    );
    lix.check_rebuild();
}

#[test]
fn all_plugins_that_match_look_and_one_gives_the_bytes() {
    let size = Plugin {
        key: "size",
        glob: Some("*.json"),
        detect: Some(Box::new(|seen| {
            let schema = json!({"x-lix-key": "size", "x-lix-version": "1.0"});
            Ok(answer(schema, vec![("size".into(), Some(json!({"bytes": seen.after.1.len()})))]))
        })),
        apply: None,
    };
    let blind = Plugin {
        key: "blind",
        glob: Some("*"),
        detect: None,
        apply: Some(Box::new(|_, _, _| Ok(b"blind".into()))),
    };
    let deaf = Plugin { key: "deaf", glob: None, ..json_members("deaf") };
    let mut lix = Files::new(vec![blind, deaf, size, json_members("json")]);
    lix.write("f", "/f.json", r#"{"a":1}"#);
    assert_eq!(lix.calls(), ["detect size /f.json", "detect json /f.json"]);
    assert_eq!(lix.content("/f.json"), r#"{"a":1}"#);
    lix.edit("f", r#"{"a":10}"#);
    assert_eq!(lix.content("/f.json"), r#"{"a":10}"#);
    assert_eq!(
        lix.rows("select snapshot_content from state where entity_id = 'size'"),
        [r#"'{"bytes":8}'"#]
    );
    // Nobody who detects: the bytes stay bytes.
    lix.write("b", "/b", "seen");
    assert_eq!(lix.content("/b"), "seen");
    // Entities of somebody who makes no bytes.
    let mut other = lix.reopened(vec![Plugin { key: "json", apply: None, ..json_members("json") }]);
    assert_eq!(other.content("/f.json"), r#"{"a":10}"#, "as they were written");
    other.run("update state set snapshot_content = '{\"value\":0}' where entity_id = 'a'");
    other.fails("select data from file where id = 'f'", Reason::PluginMissing, "makes no bytes");
}

/// 9.8 of the reference.
#[test]
fn schemas_are_stored_once_and_stay_the_same() {
    let with = |schema: serde_json::Value| Plugin {
        key: "p",
        glob: Some("*"),
        detect: Some(Box::new(move |seen| {
            let text = seen.text();
            let snapshot = (text != "delete").then(|| json!({"text": text}));
            Ok(answer(schema.clone(), vec![("only".into(), snapshot)]))
        })),
        apply: Some(Box::new(|_, changes, _| {
            Ok(changes["rows"][0][5]["text"].as_str().unwrap_or_default().into())
        })),
    };
    let one = json!({"x-lix-key": "s", "x-lix-version": "1.0", "type": "object", "properties": {"text": {"type": "string", "maxLength": 9}}});
    let stored = "select key, version, lixcol_untracked from stored_schema where key in ('s', 't') order by 1, 2";
    let mut lix = Files::new(vec![with(one.clone())]);
    lix.write("empty", "/empty", "delete");
    assert_eq!(lix.rows(stored), [""; 0], "a schema that nothing was written with");
    lix.write("f", "/f", "text");
    assert_eq!(lix.rows(stored), ["'s' | '1.0' | 0"]);
    lix.fails(
        "update file set data = cast('much too long' as blob) where id = 'f'",
        Reason::SchemaMismatch,
        "The provided snapshot content does not match the schema 's' (1.0).",
    );
    // In another order it is the same.
    let same = json!({"properties": {"text": {"maxLength": 9, "type": "string"}}, "type": "object", "x-lix-version": "1.0", "x-lix-key": "s"});
    let mut lix = lix.reopened(vec![with(same)]);
    lix.edit("f", "other");
    let other = json!({"x-lix-key": "s", "x-lix-version": "1.0", "type": "object"});
    let mut lix = lix.reopened(vec![with(other)]);
    lix.fails("update file set data = x'41' where id = 'f'", Reason::SchemaMismatch,
        "Schema differs from stored version for key 's' version '1.0'. Please bump the schema version (x-lix-version) to use a different schema.");
    assert_eq!(lix.content("/f"), "other");
    let newer = json!({"x-lix-key": "s", "x-lix-version": "2.0", "type": "object"});
    let mut lix = lix.reopened(vec![with(newer)]);
    lix.edit("f", "of another version");
    assert_eq!(lix.rows(stored), ["'s' | '1.0' | 0", "'s' | '2.0' | 0"]);
    assert_eq!(
        lix.rows("select schema_version from state where entity_id = 'only' and file_id = 'f'"),
        ["'2.0'"]
    );
    // An untracked file has an untracked schema.
    let third = json!({"x-lix-key": "t", "x-lix-version": "1.0"});
    let mut lix = lix.reopened(vec![with(third)]);
    let before = lix.changes();
    lix.run("insert into file (path, data, lixcol_untracked) values ('/u', x'41', 1)");
    assert_eq!(lix.rows(stored)[2], "'t' | '1.0' | 1");
    assert_eq!(lix.changes(), before);
    lix.check_rebuild();
}

#[test]
fn constraints_of_a_plugins_schema_hold() {
    let schema = || {
        json!({
            "x-lix-key": "row", "x-lix-version": "1.0", "x-lix-primary-key": ["id"], "x-lix-unique": [["name"]],
            "type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
        })
    };
    let rows = Plugin {
        key: "rows",
        glob: Some("*"),
        detect: Some(Box::new(move |seen| {
            let changes = seen.text().split(' ').filter(|word| !word.is_empty()).map(|word| {
                let (id, name) = word.split_once('=').unwrap();
                (id.to_owned(), (!name.is_empty()).then(|| json!({"id": id, "name": name})))
            });
            Ok(answer(schema(), changes.collect()))
        })),
        apply: Some(Box::new(|_, _, _| Ok(vec![]))),
    };
    let mut lix = Files::new(vec![rows]);
    lix.write("f", "/f", "1=a 2=b");
    lix.fails("update file set data = cast('3=a' as blob)", Reason::Unique, "('a')");
    lix.run("update file set data = cast('1= 3=a' as blob)");
    assert_eq!(
        lix.rows("select id, name, lixcol_file_id, lixcol_plugin_key from row order by id"),
        ["'2' | 'b' | 'f' | 'rows'", "'3' | 'a' | 'f' | 'rows'"]
    );
    lix.fails(
        "insert into file (path, data) values ('/g', cast('2=x' as blob))",
        Reason::PrimaryKey,
        "('2')",
    );
}

/// 9.9 and the [→] of it.
#[test]
fn what_is_written_to_entities_shows_in_files() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", r#"{"a":1,"b":1}"#);
    assert_eq!(lix.content("/f.json"), r#"{"a":1,"b":1}"#);
    lix.run("update state set snapshot_content = '{\"value\":2}' where file_id = 'f' and entity_id = 'a'");
    assert_eq!(lix.content("/f.json"), r#"{"a":2,"b":1}"#);
    lix.run("delete from state where file_id = 'f' and entity_id = 'b'");
    assert_eq!(lix.content("/f.json"), r#"{"a":2}"#);
    lix.run("insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version, untracked)
        values ('c', 'member', 'f', 'json', '{\"value\":3}', '1.0', 1)");
    assert_eq!(lix.content("/f.json"), r#"{"a":2,"c":3}"#);
    lix.run("delete from state where file_id = 'f' and entity_id = 'c'");
    assert_eq!(lix.content("/f.json"), r#"{"a":2}"#);
    lix.run("begin");
    lix.run("update state set snapshot_content = '{\"value\":5}' where file_id = 'f' and entity_id = 'a'");
    assert_eq!(lix.content("/f.json"), r#"{"a":5}"#);
    lix.run("rollback");
    assert_eq!(lix.content("/f.json"), r#"{"a":2}"#);
    // What was inherited before, too.
    lix.run("insert into file_all (id, path, data, lixcol_version_id) values ('g', '/g.json', cast('{\"a\":1}' as blob), 'global')");
    assert_eq!(lix.content("/g.json"), r#"{"a":1}"#);
    lix.run("update state_all set snapshot_content = '{\"value\":7}' where file_id = 'g' and entity_id = 'a' and version_id = 'global'");
    assert_eq!(lix.content("/g.json"), r#"{"a":7}"#);
    // The plugin gets what is there now.
    lix.calls();
    lix.edit("g", r#"{"a":7,"b":1}"#);
    assert_eq!(lix.calls(), ["detect json /g.json before"]);
    assert_eq!(lix.content("/g.json"), r#"{"a":7,"b":1}"#);
}

#[test]
fn empty_files() {
    let mut lix = Files::new(vec![lines(), json_members("json")]);
    lix.run("insert into file (id, path, data) values ('u', '/u', null), ('v', '/v', x''), ('l', '/l.txt', x'')");
    lix.run("insert into file (id, path) values ('j', '/j.json'), ('w', '/w')");
    assert_eq!(
        lix.rows("select id, cast(data as text), typeof(data) from file order by id"),
        [
            "'j' | '{}' | 'blob'",
            "'l' | '' | 'blob'",
            "'u' | '' | 'blob'",
            "'v' | '' | 'blob'",
            "'w' | '' | 'blob'"
        ]
    );
    lix.edit("u", "x");
    lix.edit("u", "");
    assert_eq!(lix.content("/u"), "");
    // Also without the plugins that found nothing in them: as they were written.
    let mut without = lix.reopened(vec![]);
    assert_eq!(
        without.rows("select id, hex(data) from file order by id"),
        ["'j' | ''", "'l' | ''", "'u' | ''", "'v' | ''", "'w' | ''"]
    );
    without.run("update file set data = x'01' where id in ('l', 'u')");
    without.run("delete from file where id in ('v', 'j')");
    assert_eq!(
        without.rows("select id, hex(data) from file order by id"),
        ["'l' | '01'", "'u' | '01'", "'w' | ''"]
    );
}

/// 9.11 of the reference.
#[test]
fn data_is_bytes() {
    let mut lix = Files::new(vec![]);
    for given in ["'text'", "1", "1.5"] {
        let sql = format!("insert into file (path, data) values ('/f', {given})");
        lix.fails(&sql, Reason::Validation, "the data of a file is bytes");
    }
    lix.run("insert into file (id, path) values ('f', '/f')");
    lix.fails("update file set data = 'text'", Reason::Validation, "a BLOB, or NULL");
    assert_eq!(lix.rows("select data from file"), ["x''"]);
    lix.exec("update file set data = ?", &[value::Kind::Blob(vec![0, 255, 254].into())]).unwrap();
    assert_eq!(lix.rows("select data from file"), ["x'00fffe'"]);
}

/// 10.1 of the reference: metadata is what it is, everywhere.
#[test]
fn plugins_get_what_they_are_promised() {
    let noted = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let (detected, applied) = (noted.clone(), noted.clone());
    let noting = Plugin {
        key: "noting",
        glob: Some("*"),
        detect: Some(Box::new(move |seen| {
            let before = seen.before.as_ref().map(|(file, data)| format!("{file} {}", data.len()));
            detected.borrow_mut().push(format!(
                "{} -> {} {}",
                before.unwrap_or_default(),
                seen.after.0,
                seen.after.1.len()
            ));
            Ok(answer(line_schema(), vec![("1".into(), Some(json!({"text": seen.text()})))]))
        })),
        apply: Some(Box::new(move |file, changes, _| {
            let mut changes = changes.clone();
            let row = changes["rows"][0].as_array_mut().unwrap();
            assert!(
                row[3].as_str().unwrap().ends_with('Z') && row[4].as_str().unwrap().len() == 36,
                "{row:?}"
            );
            (row[3], row[4]) = (json!("time"), json!("id"));
            changes["version_id"] = json!("main");
            applied.borrow_mut().push(format!("{file} {changes}"));
            Ok(changes["rows"][0][5]["text"].as_str().unwrap().into())
        })),
    };
    let mut lix = Files::new(vec![noting]);
    lix.run("insert into file (id, path, data, metadata, hidden) values ('f', '/f', x'41', '{\"k\":{\"n\":[1]}}', 1)");
    lix.run("update file set data = x'4242', metadata = null, hidden = 0, path = '/g'");
    lix.run("select data from file");
    assert_eq!(
        *noted.borrow(),
        [
            r#" -> {"id":"f","path":"/f","metadata":{"k":{"n":[1]}},"hidden":true} 1"#,
            r#"{"id":"f","path":"/f","metadata":{"k":{"n":[1]}},"hidden":true} 1 -> {"id":"f","path":"/g","metadata":null,"hidden":false} 2"#,
            r#"{"id":"f","path":"/g","metadata":null} {"file_id":"f","plugin_key":"noting","version_id":"main","rows":[["1","line","1.0","time","id",{"text":"BB"}]]}"#,
        ]
    );
}

/// 10.3 of the reference.
#[test]
fn plugins_that_lie_are_found_out() {
    let cases = [
        ("[]", "no object"),
        ("null", "no object"),
        ("{}", "no list of changes"),
        (r#"{"schemas": [], "changes": {}}"#, "no list of changes"),
        (r#"{"schemas": [1], "changes": []}"#, "schema 0"),
        (r#"{"schemas": [{}], "changes": []}"#, "schema 0"),
        (
            r#"{"schemas": [{"x-lix-key": "lix_commit", "x-lix-version": "1.0"}], "changes": []}"#,
            "'lix_commit' is a schema of the engine's",
        ),
        (
            r#"{"schemas": [{"x-lix-key": "lix_unknown_file", "x-lix-version": "2.0"}], "changes": []}"#,
            "schema of the engine's",
        ),
        (r#"{"schemas": [S], "changes": [1]}"#, "change 0"),
        (
            r#"{"schemas": [S], "changes": [[0, "a", {}], [0, "b"]]}"#,
            "change 1: it has not three parts",
        ),
        (r#"{"schemas": [S], "changes": [[1, "a", {}]]}"#, "change 0: it has no schema"),
        (r#"{"schemas": [S], "changes": [[-1, "a", {}]]}"#, "change 0: it has no schema"),
        (r#"{"schemas": [S], "changes": [[0, "", {}]]}"#, "change 0: entity_id is empty"),
        (r#"{"schemas": [S], "changes": [[0, 7, {}]]}"#, "change 0: entity_id is no string"),
        (
            r#"{"schemas": [S], "changes": [[0, "a", "{}"]]}"#,
            "change 0: snapshot_content is neither",
        ),
        (r#"{"schemas": [S], "changes": [[0, "a", []]]}"#, "change 0: snapshot_content is neither"),
        (
            r#"{"schemas": [S], "changes": [[0, "a", {}], [0, "b", {}], [0, "a", null]]}"#,
            "change 2: 'a' of schema 's' is there twice",
        ),
    ];
    for (text, message) in cases {
        let text = text.replace('S', r#"{"x-lix-key": "s", "x-lix-version": "1.0"}"#);
        let lie = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let lying = Plugin {
            key: "lying",
            glob: Some("*"),
            detect: Some(Box::new(move |_| Ok(lie.clone()))),
            apply: None,
        };
        let mut lix = Files::new(vec![lying]);
        let before = (lix.commits(), lix.changes(), lix.rows("select * from stored_schema").len());
        lix.fails("insert into file (path) values ('/f')", Reason::PluginInvalid, message);
        assert_eq!(
            (lix.commits(), lix.changes(), lix.rows("select * from stored_schema").len()),
            before
        );
        assert_eq!(lix.rows("select * from file"), [""; 0]);
    }
}

#[test]
fn a_deletion_of_nothing_is_none() {
    let deleting = Plugin {
        key: "deleting",
        glob: Some("*"),
        detect: Some(Box::new(|_| Ok(answer(line_schema(), vec![("nothing".into(), None)])))),
        apply: Some(Box::new(|_, _, _| Ok(vec![]))),
    };
    let mut lix = Files::new(vec![deleting]);
    lix.write("f", "/f", "x");
    assert_eq!(lix.rows("select entity_id from state where file_id = 'f'"), ["'f'"]);
}

#[test]
fn a_failing_plugin_fails_the_statement_and_nothing_else() {
    let picky = Plugin {
        detect: Some(Box::new(|seen| match seen.text() {
            "bad" => Err(failed("I do not like this")),
            text => Ok(answer(line_schema(), vec![("1".into(), Some(json!({"text": text})))])),
        })),
        key: "picky",
        glob: Some("*.p"),
        apply: Some(Box::new(|_, changes, _| match changes["rows"][0][5]["text"].as_str() {
            Some("unreadable") => Err(failed("I cannot read this")),
            text => Ok(text.unwrap_or_default().into()),
        })),
    };
    let mut lix = Files::new(vec![picky]);
    lix.write("a", "/a.p", "good");
    lix.run("begin");
    lix.write("b", "/b.p", "good");
    lix.write("u", "/u", "unknown");
    let sql = "insert into file (id, path, data) values ('c', '/c.p', cast('good' as blob)), ('d', '/d.p', cast('bad' as blob))";
    lix.fails(sql, Reason::PluginFailed, "I do not like this");
    lix.fails(
        "update file set data = cast('bad' as blob)",
        Reason::PluginFailed,
        "I do not like this",
    );
    assert_eq!(
        lix.rows("select id, cast(data as text) from file order by id"),
        ["'a' | 'good'", "'b' | 'good'", "'u' | 'unknown'"]
    );
    lix.run("savepoint s");
    lix.edit("a", "better");
    assert_eq!(lix.content("/a.p"), "better");
    lix.run("rollback to s");
    assert_eq!(lix.content("/a.p"), "good");
    lix.run("commit");
    let error = lix.host.try_exec(sql).unwrap_err();
    assert_eq!((&*error.subject, &*error.reason), ("picky", "PLUGIN_FAILED"));
    // What cannot be read can be listed, replaced and deleted.
    lix.edit("a", "unreadable");
    lix.edit("b", "unreadable");
    lix.fails("select data from file where id = 'a'", Reason::PluginFailed, "I cannot read this");
    lix.edit("a", "readable");
    assert_eq!(lix.content("/a.p"), "readable");
    lix.run("delete from file where id = 'b'");
    assert_eq!(lix.rows("select id from file order by id"), ["'a'", "'u'"]);
}

#[test]
fn a_plugin_that_reads_itself_ends() {
    let narcissus = Plugin {
        key: "narcissus",
        glob: Some("*"),
        detect: Some(Box::new(|seen| {
            Ok(answer(line_schema(), vec![("1".into(), Some(json!({"text": seen.text()})))]))
        })),
        apply: Some(Box::new(|_, _, query| {
            let answer = query.query("select data from file", "[]")?;
            Ok(answer.into_bytes())
        })),
    };
    let mut lix = Files::new(vec![narcissus]);
    lix.write("f", "/f", "x");
    lix.fails("select data from file", Reason::PluginFailed, "called again and again");
    assert_eq!(lix.rows("select path from file"), ["'/f'"]);
}

/// 11.1 of the reference.
#[test]
fn unknown_files_are_bytes() {
    let mut lix = Files::new(vec![]);
    lix.write("f", "/f", "hello");
    let entity = "select entity_id, schema_key, schema_version, plugin_key, snapshot_content from state where file_id = 'f' and plugin_key <> 'lix_own_entity'";
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(
        lix.rows(entity),
        [format!(
            "'f' | 'lix_unknown_file' | '2.0' | 'lix_unknown_file_fallback_plugin' | '{{\"hash\":\"{hash}\",\"size\":5}}'"
        )]
    );
    // Equal bytes are kept once, and those of history are kept.
    lix.write("g", "/g", "hello");
    lix.edit("f", "other");
    lix.edit("f", "hello");
    assert_eq!(lix.rows("select count(*) from _lix_blob"), ["2"]);
    lix.run("update file set data = x'00' where id = 'g'");
    lix.run("delete from file where id = 'f'");
    assert_eq!(lix.rows("select count(*) from _lix_blob"), ["3"]);
    let history = "select cast(data as text) from file_history where id = 'f'
        and lixcol_root_commit_id = (select commit_id from version where name = 'main') order by lixcol_depth";
    assert_eq!(lix.rows(history), ["'hello'", "'other'", "'hello'"]);
    // What no change names goes.
    lix.run("begin");
    lix.edit("g", "never seen");
    lix.edit("g", "seen");
    lix.run("commit");
    lix.run("insert into file (id, path, data, lixcol_untracked) values ('u', '/u', x'0101', 1)");
    lix.run("update file set data = x'0102' where id = 'u'");
    assert_eq!(lix.rows("select count(*) from _lix_blob"), ["5"]);
    lix.check_rebuild();
}

#[test]
fn entities_of_unknown_files_are_checked_when_they_are_read() {
    let mut lix = Files::new(vec![]);
    lix.write("f", "/f", "x");
    let fallback = "lix_unknown_file_fallback_plugin";
    let put = |lix: &mut Files, entity: &str, snapshot: &str| {
        lix.run("delete from state where file_id = 'f' and plugin_key <> 'lix_own_entity'");
        lix.run(&format!(
            "insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
             values ('{entity}', 'old_unknown', 'f', '{fallback}', '{snapshot}', '1.0')"
        ));
    };
    // As the original wrote them.
    put(&mut lix, "f", r#"{"value":"aGVsbG8="}"#);
    assert_eq!(lix.content("/f"), "hello");
    for (entity, snapshot, message) in [
        ("x", r#"{"value":""}"#, "Expected change for file f, but received change for entity x"),
        ("f", "{}", "Expected base64 string content for file f, but received undefined"),
        ("f", r#"{"value":{}}"#, "but received object"),
        ("f", r#"{"value":7}"#, "but received number"),
        ("f", r#"{"value":"?"}"#, "is not base64"),
        ("f", r#"{"hash":"00"}"#, "there are no bytes with the hash 00"),
    ] {
        put(&mut lix, entity, snapshot);
        lix.fails("select data from file", Reason::PluginFailed, &format!("[{fallback}] "));
        lix.fails("select data from file", Reason::PluginFailed, message);
    }
    put(&mut lix, "f", r#"{"value":""}"#);
    lix.run(&format!(
        "insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
         values ('x', 'old_unknown', 'f', '{fallback}', '{{}}', '1.0')"
    ));
    lix.fails(
        "select data from file",
        Reason::PluginFailed,
        "Expected exactly one change for file f, but received 2 changes",
    );
    // It can be written all the same, and is sound afterwards.
    lix.run("update file set data = x'41'");
    assert_eq!(lix.content("/f"), "A");
    assert_eq!(lix.rows("select count(*) from state where file_id = 'f'"), ["2"]);
}

#[test]
fn a_large_unknown_file() {
    let mut lix = Files::new(vec![]);
    lix.run("insert into file (id, path, data) values ('f', '/f', zeroblob(52428800))");
    assert_eq!(
        lix.rows("select length(data), hex(substr(data, 52428799)) from file"),
        ["52428800 | '0000'"]
    );
    lix.run("update file set path = '/g' where id = 'f'");
    assert_eq!(lix.rows("select count(*) from _lix_blob"), ["1"]);
}

#[test]
fn ten_thousand_entities() {
    let mut lix = Files::new(vec![lines()]);
    let text: String = (0..10_000).map(|number| format!("line number {number}\n")).collect();
    let started = std::time::Instant::now();
    lix.write("f", "/f.txt", &text);
    let inserted = started.elapsed();
    assert_eq!(lix.rows("select count(*) from state where schema_key = 'line'"), ["10000"]);
    assert_eq!(lix.content("/f.txt"), text.escape_debug().to_string());
    let before = lix.changes();
    let started = std::time::Instant::now();
    lix.edit("f", &text.replace("number 5000\n", "number five thousand\n"));
    let edited = started.elapsed();
    assert_eq!(lix.changes(), before + 3);
    let started = std::time::Instant::now();
    lix.edit("f", &text.replace("line", "row"));
    let replaced = started.elapsed();
    let started = std::time::Instant::now();
    lix.run("select length(data) from file");
    let read = started.elapsed();
    let started = std::time::Instant::now();
    lix.run("delete from file");
    eprintln!(
        "10,000 entities: inserted in {inserted:?}, one edited in {edited:?}, all edited in {replaced:?}, \
         read in {read:?}, deleted in {:?}",
        started.elapsed()
    );
    assert_eq!(lix.rows("select count(*) from state where file_id <> 'lix'"), ["0"]);
}

#[test]
fn a_file_is_found_by_an_index() {
    let mut lix = Files::new(vec![]);
    lix.run("insert into key_value (key, value) values ('lix_log_levels', '[]')");
    lix.run(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
        insert into file (id, path) select 'f' || i, '/' || i from n",
    );
    for sql in [
        "select path from file where id = 'f7'",
        "select path from file where path = '/7'",
        "select path from file where lixcol_entity_id = 'f7'",
        "select path from file where lixcol_file_id = 'f7'",
        "select f.path from key_value k join file f on f.id = k.value",
    ] {
        let plan = lix.plan(sql);
        assert!(plan.last().unwrap().contains("VIRTUAL TABLE INDEX"), "{plan:?}");
    }
    assert_eq!(lix.rows("select id from file where path = '/7'"), ["'f7'"]);
    assert_eq!(
        lix.rows("select id from file where path in ('/7', '/8', '/none') order by id"),
        ["'f7'", "'f8'"]
    );
    assert_eq!(lix.rows("select id from file where id = 'f7' and path = '/8'"), [""; 0]);
    // A path that was somebody else's.
    lix.run("update file set path = '/moved' where id = 'f7'");
    lix.run("update file set path = '/7' where id = 'f8'");
    assert_eq!(lix.rows("select id from file where path = '/7'"), ["'f8'"]);
    assert_eq!(lix.rows("select path from file where id is 'f7'"), ["'/moved'"]);
    assert_eq!(
        lix.rows("select count(*) from file where id is not null and path glob '/1?'"),
        ["10"]
    );
}

#[test]
fn descriptors_that_are_written_by_hand() {
    let mut lix = Files::json();
    lix.run("insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
        values ('f', 'lix_file_descriptor', 'f', 'lix_own_entity', '{\"id\":\"f\",\"path\":\"/f.json\",\"hidden\":true}', '1.0')");
    assert_eq!(
        lix.rows("select id, path, hidden, metadata, cast(data as text) from file"),
        ["'f' | '/f.json' | 1 | NULL | '{}'"]
    );
    lix.edit("f", r#"{"a":1}"#);
    assert_eq!(lix.content("/f.json"), r#"{"a":1}"#);
    lix.run("delete from state where schema_key = 'lix_file_descriptor'");
    assert_eq!(lix.rows("select id from file"), [""; 0]);
    // A new file of the same id begins with nothing.
    lix.write("f", "/g.json", r#"{"b":1}"#);
    assert_eq!(lix.content("/g.json"), r#"{"b":1}"#);
    lix.check_rebuild();
}

#[test]
fn a_file_moves_to_another_version_and_another_id() {
    let mut lix = Files::json();
    lix.run("select id from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')");
    lix.write("f", "/f.json", r#"{"a":1}"#);
    let main = lix.main();
    lix.run(&format!("update file_all set lixcol_version_id = 'draft', path = '/g.json' where id = 'f' and lixcol_version_id = '{main}'"));
    assert_eq!(lix.rows("select id from file"), [""; 0]);
    let draft =
        "select id, path, cast(data as text) from file_all where lixcol_version_id = 'draft'";
    assert_eq!(lix.rows(draft), [r#"'f' | '/g.json' | '{"a":1}'"#]);
    lix.run("update file_all set id = 'g' where lixcol_version_id = 'draft'");
    assert_eq!(lix.rows(draft), [r#"'g' | '/g.json' | '{"a":1}'"#]);
    assert_eq!(
        lix.rows("select distinct file_id from state_all where schema_key = 'member'"),
        ["'g'"]
    );
    lix.fails(
        "insert into file_all (path, lixcol_version_id) values ('/x', 'nobody')",
        Reason::VersionUnknown,
        "nobody",
    );
    lix.check_rebuild();
}

#[test]
fn a_delete_that_reaches_every_version() {
    let mut lix = Files::json();
    lix.run("select id from lix_create_version('{\"id\": \"draft\", \"name\": \"Draft\"}')");
    lix.run("insert into file_all (id, path, data, lixcol_version_id) values ('f', '/f.json', cast('{\"a\":1}' as blob), 'global')");
    assert_eq!(lix.rows("select count(*) from file_all"), ["3"]);
    lix.run("delete from file_all where id = 'f'");
    assert_eq!(lix.rows("select count(*) from file_all"), ["0"]);
    assert_eq!(lix.rows("select count(*) from state_all where file_id = 'f'"), ["0"]);
    lix.check_rebuild();
}

#[test]
fn branches_merges_transitions_and_checkpoints_carry_files() {
    let mut lix = Files::new(vec![lines(), json_members("json")]);
    lix.write("f", "/f.json", r#"{"a":1,"b":1}"#);
    lix.write("u", "/u", "one");
    let main = lix.main();
    let at = |lix: &mut Files, version: &str| {
        lix.rows(&format!("select id, path, cast(data as text) from file_all where lixcol_version_id = '{version}' order by id"))
    };
    let tip = "select commit_id from version where name = 'main'";
    let first = lix.one(tip);
    lix.run(&format!(
        "select id from lix_create_version('{{\"id\": \"draft\", \"from_commit\": \"{first}\"}}')"
    ));
    let begin = [r#"'f' | '/f.json' | '{"a":1,"b":1}'"#, "'u' | '/u' | 'one'"];
    assert_eq!(at(&mut lix, "draft"), begin);
    // Work on both sides.
    lix.run("update file_all set data = cast('{\"a\":2,\"b\":1,\"c\":1}' as blob), path = '/d.json' where id = 'f' and lixcol_version_id = 'draft'");
    lix.run("update file_all set data = cast('two' as blob) where id = 'u' and lixcol_version_id = 'draft'");
    assert_eq!(at(&mut lix, &main), begin);
    let drafted = [r#"'f' | '/d.json' | '{"a":2,"b":1,"c":1}'"#, "'u' | '/u' | 'two'"];
    assert_eq!(at(&mut lix, "draft"), drafted);
    lix.run("select * from lix_create_checkpoint()");
    lix.run("select * from lix_merge_version('{\"source\": \"draft\"}')");
    assert_eq!(at(&mut lix, &main), drafted);
    lix.check_rebuild();
    assert_eq!(at(&mut lix, &main), drafted);
    // Every commit shows what its version saw.
    let history = format!("select cast(data as text) from file_history where id = 'f' and lixcol_root_commit_id = ({tip})
        order by lixcol_depth, 1");
    let states = lix.rows(&history);
    assert_eq!(states[0], r#"'{"a":2,"b":1,"c":1}'"#);
    assert_eq!(states.last().unwrap(), r#"'{"a":1,"b":1}'"#);
    // And back.
    lix.run(&format!("select * from lix_transition('{{\"to\": \"{first}\"}}')"));
    assert_eq!(at(&mut lix, &main), begin);
    assert_eq!(at(&mut lix, "draft"), drafted);
    lix.check_rebuild();
    // The plugins are not needed for what was written.
    let mut without = lix.reopened(vec![]);
    assert_eq!(at(&mut without, "draft"), drafted);
}

#[test]
fn history_of_content() {
    let mut lix = Files::json();
    lix.write("f", "/f.json", r#"{"a":1,"b":1}"#);
    lix.write("g", "/g", "other");
    lix.run("update state set snapshot_content = '{\"value\":2}' where file_id = 'f' and entity_id = 'a'");
    lix.edit("f", r#"{"b":1}"#);
    lix.run("update file set metadata = '{\"m\":1}', hidden = 1 where id = 'f'");
    let tip = "(select commit_id from version where name = 'main')";
    let rows = |lix: &mut Files, which: &str| {
        lix.rows(&format!(
            "select lixcol_depth, cast(data as text), metadata, hidden from file_history
             where id = 'f' and lixcol_root_commit_id = {tip} {which} order by 1"
        ))
    };
    let all = [
        r#"0 | '{"b":1}' | '{"m":1}' | 1"#,
        r#"1 | '{"b":1}' | NULL | 0"#,
        r#"2 | '{"a":2,"b":1}' | NULL | 0"#,
        r#"4 | '{"a":1,"b":1}' | NULL | 0"#,
    ];
    assert_eq!(rows(&mut lix, ""), all);
    assert_eq!(rows(&mut lix, "and lixcol_depth = 2"), [all[2]]);
    assert_eq!(rows(&mut lix, "and lixcol_depth > 1 and lixcol_depth < 4"), [all[2]]);
    let commit = lix.one(&format!("select lixcol_commit_id from file_history where id = 'f' and lixcol_root_commit_id = {tip} and lixcol_depth = 2"));
    assert_eq!(rows(&mut lix, &format!("and lixcol_commit_id = '{commit}'")), [all[2]]);
    // From a commit in between.
    assert_eq!(
        lix.rows(&format!("select lixcol_depth, cast(data as text) from file_history where id = 'f' and lixcol_root_commit_id = '{commit}' order by 1")),
        [r#"0 | '{"a":2,"b":1}'"#, r#"2 | '{"a":1,"b":1}'"#]
    );
    let columns = "select lixcol_entity_id, lixcol_schema_key, lixcol_plugin_key, lixcol_file_id, lixcol_schema_version,
        (select entity_id from change c where c.id = lixcol_change_id)
        from file_history where id = 'f' and lixcol_depth = 1 and lixcol_root_commit_id = ";
    assert_eq!(
        lix.rows(&format!("{columns}{tip}")),
        ["'f' | 'lix_file_descriptor' | 'lix_own_entity' | 'f' | '1.0' | 'a'"]
    );
    // From every root, the open working commit among them.
    assert_eq!(lix.rows("select count(*) from file_history where id = 'f'"), ["12"]);
    assert_eq!(lix.rows("select distinct id from file_history order by 1"), ["'f'", "'g'"]);
    lix.check_rebuild();
    assert_eq!(rows(&mut lix, ""), all);
    // Without the plugin only bytes that somebody wrote are there.
    let mut without = lix.reopened(vec![]);
    assert_eq!(without.rows(&format!("select cast(data as text) from file_history where id = 'f' and lixcol_depth = 0 and lixcol_root_commit_id = {tip}")), [r#"'{"b":1}'"#]);
    without.fails(
        "select data from file_history where id = 'f' and lixcol_depth = 2",
        Reason::PluginMissing,
        "'json'",
    );
    assert_eq!(without.rows("select count(*) from file_history where id = 'f'"), ["12"]);
}

/// A lix of the first release with change control has neither the tables nor the indexes.
#[test]
fn a_lix_without_the_tables_for_files_gets_them() {
    let mut old = Files::new(vec![]);
    old.run("insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
        values ('a', 'member', 'f', 'json', '{\"value\":1}', '1.0')");
    let image = changed(
        &old.host.export(),
        "
        drop table _lix_blob;
        drop table _lix_file_data;
        drop index _lix_change_file;
        drop index _lix_change_blob;
        drop index _lix_untracked_file;
        drop index _lix_untracked_blob;
        drop index _lix_state_file;
        drop index _lix_state_past_file;",
    );
    let mut lix = Files::open(Some(&image), vec![json_members("json")]);
    assert_eq!(lix.host.export().len(), lix.host.export().len());
    lix.lix.host.platform.random(&mut vec![0; 100_003]);
    lix.run("insert into state (entity_id, schema_key, file_id, plugin_key, snapshot_content, schema_version)
        values ('f', 'lix_file_descriptor', 'f', 'lix_own_entity', '{\"id\":\"f\",\"path\":\"/f.json\"}', '1.0')");
    assert_eq!(lix.content("/f.json"), r#"{"a":1}"#);
    lix.write("u", "/u", "bytes");
    lix.check_rebuild();
    // Nothing else may be missing.
    let image = changed(&lix.host.export(), "drop table _lix_working");
    let mut host = Host::new();
    let seed = Some(init_request::Seed::Image(image.into()));
    let answer = host.call(request::Call::Init(InitRequest { seed, ..init() })).outcome;
    assert!(matches!(answer, Some(response::Outcome::Error(_))), "{answer:?}");
}

#[test]
fn files_of_an_image_of_the_original() {
    let at = "'2025-09-01T00:00:00.000Z'";
    let row = |entity: &str, schema: &str, file: &str, plugin: &str, content: &str| {
        format!("insert into internal_state_all_untracked (entity_id, schema_key, file_id, version_id, plugin_key, snapshot_content, schema_version, created_at, updated_at)
            values ('{entity}', '{schema}', '{file}', 'main-id', '{plugin}', jsonb('{content}'), '1.0', {at}, {at});")
    };
    let own = "lix_own_entity";
    let sql = [
        row("u", "lix_file_descriptor", "u", own, r#"{"id":"u","path":"//u","metadata":null,"hidden":false}"#),
        row("u", "lix_unknown_file", "u", "lix_unknown_file_fallback_plugin", r#"{"value":"aGVsbG8="}"#),
        row("j", "lix_file_descriptor", "j", own, r#"{"id":"j","path":"/j.json","metadata":null,"hidden":false}"#),
        row("a", "member", "j", "json", r#"{"value":1}"#),
        // Left behind by a rename.
        row("j", "lix_unknown_file", "j", "lix_unknown_file_fallback_plugin", r#"{"value":"aGVsbG8="}"#),
        "insert into internal_file_data_cache values ('j', 'main-id', x'7b20226122203a2031207d'), ('u', 'main-id', x'6f6c64'), ('x', 'y', x'00');".into(),
    ];
    let image = changed(&image(), &sql.concat());
    let mut without = Files::open(Some(&image), vec![]);
    let files = "select id, path, cast(data as text) from file order by id";
    assert_eq!(
        without.rows(files),
        [r#"'j' | '/j.json' | '{ "a" : 1 }'"#, "'u' | '//u' | 'hello'"]
    );
    assert_eq!(
        without.rows("select version_id, file_id, plugin_key from _lix_file_data"),
        ["'main-id' | 'j' | 'json'"]
    );
    let mut with = Files::open(Some(&image), vec![json_members("json")]);
    assert_eq!(with.rows(files), [r#"'j' | '/j.json' | '{"a":1}'"#, "'u' | '//u' | 'hello'"]);
    // A path that was allowed then stays until it is set.
    with.run("update file set data = x'41' where id = 'u'");
    assert_eq!(
        with.rows("select path, cast(data as text) from file where id = 'u'"),
        ["'//u' | 'A'"]
    );
    with.fails(
        "update file set path = '//v' where id = 'u'",
        Reason::SchemaMismatch,
        "/path must match pattern",
    );
    with.edit("j", r#"{"b":1}"#);
    assert_eq!(
        with.rows("select entity_id, plugin_key from state where file_id = 'j' order by 2"),
        ["'b' | 'json'", "'j' | 'lix_own_entity'"]
    );
}

/// What holds for any work: what is written is read, in that version and in no other that does not
/// inherit it; what is kept in memory is what the entities make; what fails or is rolled back leaves
/// nothing; a rebuild changes nothing; without plugins a file shows its bytes or says that it cannot.
///
/// `LIX_FILES_SEED=n LIX_FILES_SEQUENCES=1` repeats one sequence; more sequences look further.
#[test]
fn random_work() {
    let first = setting("LIX_FILES_SEED", 1);
    for seed in first..first + setting("LIX_FILES_SEQUENCES", 12) {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.step();
        }
        world.end();
    }
}

struct World {
    lix: Files,
    random: Random,
    seed: u64,
    log: Vec<String>,
    main: String,
    in_transaction: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut lix = Files::new(vec![lines(), json_members("json")]);
        let main = lix.main();
        lix.run("insert into key_value (key, value) values ('lix_log_levels', '[]')");
        lix.run("select id from lix_create_version('{\"id\": \"draft\"}')");
        lix.run("select id from lix_create_version('{\"id\": \"apart\", \"from\": \"global\"}')");
        let random = Random::new(seed);
        Self { lix, random, seed, log: Vec::new(), main, in_transaction: false }
    }

    fn context(&self) -> String {
        format!("seed {}:\n{}", self.seed, self.log.join(";\n"))
    }

    /// All files as all versions show them.
    fn shown(&mut self) -> Vec<String> {
        self.lix.rows(
            "select lixcol_version_id, id, path, cast(data as text), metadata, hidden, lixcol_untracked
             from file_all order by 1, 2",
        )
    }

    /// The same, made of the entities again.
    fn shown_anew(&mut self) -> Vec<String> {
        self.lix.run("savepoint anew;\ninsert into key_value_all (key, value, lixcol_version_id, lixcol_untracked) values ('nothing', 0, 'global', 1);\nrollback to anew;\nrelease anew");
        self.shown()
    }

    fn version(&mut self) -> String {
        let main = self.main.clone();
        self.random.pick(&[&*main, &*main, "draft", "apart", "global"]).to_owned()
    }

    fn content(&mut self, path: &str) -> String {
        let [a, b, c] = [self.random.below(3), self.random.below(3), self.random.below(4)];
        match path.rsplit('.').next() {
            Some("json") => [
                format!(r#"{{"a":{a},"b":{b}}}"#),
                format!(r#"{{"a":{a},"b":{b},"c":{c}}}"#),
                format!(r#"{{"c":{c}}}"#),
                "{}".to_owned(),
            ][c]
                .clone(),
            _ => (0..c).map(|line| format!("{}\n", (line + a) % 3)).collect(),
        }
    }

    fn step(&mut self) {
        let before = self.shown();
        let version = self.version();
        let id = self.random.pick(&["f", "g", "h"]).to_owned();
        let path =
            self.random.pick(&["/1.json", "/2.json", "/1.txt", "/2.txt", "/1", "/2"]).to_owned();
        let data = self.content(&path);
        let untracked = u8::from(self.random.one_in(5));
        let place = format!("id = '{id}' and lixcol_version_id = '{version}'");
        let other = self.version();
        // What the version is to show afterwards, if something is said about that.
        let mut wanted = None;
        let mut reaches = vec![version.clone()];
        let sql = match self.random.below(16) {
            0..=3 => {
                wanted = Some((path.clone(), data.clone()));
                format!(
                    "insert into file_all (id, path, data, lixcol_version_id, lixcol_untracked) values ('{id}', '{path}', cast('{data}' as blob), '{version}', {untracked})"
                )
            }
            4..=6 => {
                wanted = Some((path.clone(), data.clone()));
                format!(
                    "update file_all set path = '{path}', data = cast('{data}' as blob), hidden = {untracked} where {place}"
                )
            }
            7 => format!("update file_all set path = '{path}' where {place}"),
            8 => format!(
                "update file_all set lixcol_untracked = {untracked}, metadata = '{{\"m\":{untracked}}}' where {place}"
            ),
            9 => format!("delete from file_all where {place}"),
            10 => {
                reaches.push(other.clone());
                format!("update file_all set lixcol_version_id = '{other}' where {place}")
            }
            11 => format!(
                "update state_all set snapshot_content = '{{\"value\":7}}' where file_id = '{id}' and schema_key = 'member' and entity_id = 'a' and version_id = '{version}'"
            ),
            12 => format!(
                "delete from state_all where file_id = '{id}' and schema_key = 'member' and entity_id = 'b' and version_id = '{version}'"
            ),
            13 if version != "global" && other != "global" => {
                format!(
                    "select * from lix_merge_version('{{\"source\": \"{other}\", \"target\": \"{version}\"}}')"
                )
            }
            14 if version != "global" && !self.in_transaction => {
                let commits = self.lix.rows(&format!(
                    "select root.id from lix_commit_ancestors(json_object('id', (select commit_id from version where id = '{version}'))) root limit 5"
                ));
                let commit =
                    commits[self.random.below(commits.len())].trim_matches('\'').to_owned();
                format!(
                    "select * from lix_transition('{{\"to\": \"{commit}\", \"version\": \"{version}\"}}')"
                )
            }
            15 if !self.in_transaction => {
                self.in_transaction = true;
                self.log.push("begin".into());
                self.lix.run("begin");
                let count = 1 + self.random.below(4);
                (0..count).for_each(|_| self.step());
                self.in_transaction = false;
                if self.random.one_in(2) {
                    self.log.push("rollback".into());
                    self.lix.run("rollback");
                    assert_eq!(self.shown(), before, "{}", self.context());
                } else {
                    self.log.push("commit".into());
                    self.lix.run("commit");
                }
                return;
            }
            _ => format!("select * from lix_create_checkpoint('{{\"version\": \"{version}\"}}')"),
        };
        self.log.push(sql.clone());
        let result = self.lix.host.try_exec(&sql);
        let after = self.shown();
        if let Err(error) = result {
            let is_known =
                ["UNIQUE", "PRIMARY_KEY", "PLUGIN_FAILED", "OPTION_INVALID", "VALIDATION"]
                    .contains(&&*error.reason);
            assert!(is_known, "{error:?}\n{}", self.context());
            assert_eq!(after, before, "{}", self.context());
            return;
        }
        assert_eq!(self.shown_anew(), after, "kept in memory\n{}", self.context());
        let row = |rows: &[String]| {
            rows.iter().find(|row| row.starts_with(&format!("'{version}' | '{id}' "))).cloned()
        };
        if let (Some((path, data)), Some(row)) = (wanted, row(&after)) {
            let data = data.replace('\n', "\\n");
            assert!(
                row.contains(&format!("| '{path}' | '{data}' |")),
                "{row} is not {path} {data}\n{}",
                self.context()
            );
        }
        if !reaches.iter().any(|version| version == "global") {
            let of_others = |rows: Vec<String>| -> Vec<String> {
                let is_other = |row: &String| {
                    !reaches.iter().any(|version| row.starts_with(&format!("'{version}' ")))
                };
                rows.into_iter().filter(is_other).collect()
            };
            assert_eq!(
                of_others(after),
                of_others(before),
                "in other versions\n{}",
                self.context()
            );
        }
    }

    fn end(&mut self) {
        let context = self.context();
        let with = self.shown();
        crate::rebuild::check(&mut self.lix.lix, &context);
        assert_eq!(self.shown(), with, "rebuilt\n{context}");
        let mut without = self.lix.reopened(vec![]);
        let mut again = self.lix.reopened(vec![lines(), json_members("json")]);
        for row in with {
            let cells: Vec<&str> = row.split(" | ").collect();
            let sql = format!(
                "select lixcol_version_id, id, path, cast(data as text), metadata, hidden, lixcol_untracked
                 from file_all where lixcol_version_id = {} and id = {}",
                cells[0], cells[1]
            );
            assert_eq!(again.rows(&sql), std::slice::from_ref(&row), "opened again\n{context}");
            match without.host.try_exec(&sql) {
                // No bytes are an empty object to the plugin, and no bytes without it.
                Ok(_) => {
                    let shown = without.rows(&sql).concat();
                    let is_it = shown == row || shown == row.replace("| '{}' |", "| '' |");
                    assert!(is_it, "without plugins: {shown}, not {row}\n{context}");
                }
                Err(error) => assert_eq!(error.reason, "PLUGIN_MISSING", "{error:?}\n{context}"),
            }
        }
    }
}
