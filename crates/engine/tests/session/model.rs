//! Random sequences of statements, savepoints and cursors, side by side with SQLite itself: the
//! same rows, errors, counts and transaction state, and one commit for each step of the change
//! counter in the header of SQLite's own file.
//!
//! `LIX_MODEL_SEED=n LIX_MODEL_SEQUENCES=1` repeats one sequence; more sequences look further.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use lix_engine_protocol::Cell as Wire;
use lix_engine_protocol::proto::{
    BatchErrorMode, CloseCursorRequest, EngineError, ExecBatchRequest, ExecRequest, ExecResponse,
    FetchRequest, RowMode, batch_item, request, response,
};
use rusqlite::hooks::Action;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};

use crate::host::{Host, Sent, batch_rows, literal, rows};
use crate::random::{Random, setting};

#[test]
fn agrees_with_sqlite() {
    let first = setting("LIX_MODEL_SEED", 1);
    let count = setting("LIX_MODEL_SEQUENCES", 200);
    for seed in first..first + count {
        let mut world = World::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.live()));
        if let Err(panic) = result {
            let steps = world.history.iter().map(|step| format!("  {step}\n")).collect::<String>();
            eprintln!("LIX_MODEL_SEED={seed} LIX_MODEL_SEQUENCES=1 repeats this:\n{steps}");
            std::panic::resume_unwind(panic);
        }
    }
}

struct World {
    random: Random,
    host: Host,
    oracle: Oracle,
    /// What each open cursor still has to show, in batches of so many rows.
    cursors: BTreeMap<u32, OpenCursor>,
    ended: Vec<u32>,
    commit_seq: u64,
    history: Vec<String>,
}

struct OpenCursor {
    rows: Vec<String>,
    batch_rows: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut host = Host::ready();
        let oracle = Oracle::new();
        for sql in SCHEMA {
            host.exec(sql);
            oracle.run(sql);
        }
        Self {
            random: Random::new(seed),
            host,
            oracle,
            cursors: BTreeMap::new(),
            ended: Vec::new(),
            commit_seq: SCHEMA.len() as u64,
            history: Vec::new(),
        }
    }

    fn live(&mut self) {
        for _ in 0..20 + self.random.below(60) {
            match self.random.below(20) {
                0..=2 => self.open_cursor(),
                3..=5 => self.fetch(),
                6 => self.close_cursor(),
                7 => self.batch(),
                8 => self.export(),
                _ => {
                    let sql = statement(&mut self.random);
                    self.exec(&sql);
                }
            }
        }
        while self.host.call(request::Call::Exec(exec("select 1"))).state.unwrap().in_transaction {
            self.exec("rollback");
        }
        self.export();
    }

    fn exec(&mut self, sql: &str) {
        self.history.push(sql.to_owned());
        let wanted = self.oracle.run(sql);
        let response = self.host.call(request::Call::Exec(exec(sql)));
        let found = match response.outcome.unwrap() {
            response::Outcome::Exec(exec) => Ok(exec),
            response::Outcome::Error(error) => Err(error),
            other => panic!("{other:?}"),
        };
        self.compare(&found, &wanted);
        assert_eq!(response.state.unwrap().commit_seq, self.commit_seq, "commit_seq");
        assert_eq!(response.state.unwrap().in_transaction, wanted.in_transaction);
    }

    /// Compares one answer, and takes over what the statement did to the rest of the world.
    fn compare(&mut self, found: &Result<ExecResponse, EngineError>, wanted: &Wanted) {
        match (found, &wanted.result) {
            (Ok(found), Ok(result)) => {
                let names: Vec<&str> = found.columns.iter().map(|c| c.name.as_str()).collect();
                assert_eq!(names, result.columns);
                assert_eq!(rows(found), result.rows);
                assert_eq!(found.changes, result.changes, "changes");
                assert_eq!(found.last_insert_rowid, result.inserted, "last_insert_rowid");
            }
            (Err(error), Err((code, message))) => {
                assert_eq!((error.sqlite_extended_code, &error.message), (*code, message));
            }
            (found, wanted) => panic!("found {found:?}\nwanted {wanted:?}"),
        }
        self.commit_seq += u64::from(wanted.is_committed);
        if wanted.ends_cursors {
            self.ended.extend(std::mem::take(&mut self.cursors).into_keys());
        }
    }

    fn batch(&mut self) {
        let statements: Vec<String> =
            (0..1 + self.random.below(4)).map(|_| statement(&mut self.random)).collect();
        let goes_on = self.random.one_in(2);
        self.history.push(format!("batch (goes on: {goes_on}): {}", statements.join(" ;; ")));
        let on_error = if goes_on { BatchErrorMode::Continue } else { BatchErrorMode::Stop };
        let batch = ExecBatchRequest {
            statements: statements.iter().map(|sql| exec(sql)).collect(),
            on_error: on_error.into(),
        };
        let response = self.host.call(request::Call::ExecBatch(batch));
        let Some(response::Outcome::ExecBatch(answer)) = response.outcome else { panic!() };

        let mut items = answer.items.into_iter();
        for sql in &statements {
            let wanted = self.oracle.run(sql);
            let found = match items.next().expect("an item per statement").outcome.unwrap() {
                batch_item::Outcome::Ok(exec) => Ok(exec),
                batch_item::Outcome::Error(error) => Err(error),
            };
            self.compare(&found, &wanted);
            if found.is_err() && !goes_on {
                break;
            }
        }
        assert!(items.next().is_none(), "an item too many");
        assert_eq!(response.state.unwrap().commit_seq, self.commit_seq, "commit_seq");
        assert_eq!(response.state.unwrap().in_transaction, self.oracle.in_transaction());
    }

    fn open_cursor(&mut self) {
        let sql = match self.random.one_in(4) {
            true => format!("{} returning *", write(&mut self.random)),
            false => query(&mut self.random),
        };
        let batch_rows = 1 + self.random.below(4);
        self.history.push(format!("cursor of {batch_rows}: {sql}"));
        let wanted = self.oracle.run(&sql);
        let request = ExecRequest {
            rows: RowMode::Cursor.into(),
            max_batch_rows: batch_rows as u32,
            ..exec(&sql)
        };
        let mut found = self.host.try_exec_request(request);
        let mut wanted = wanted;
        if let (Ok(found), Ok(result)) = (&mut found, &mut wanted.result) {
            let later = result.rows.split_off(batch_rows.min(result.rows.len()));
            assert_eq!(found.cursor.is_some(), !later.is_empty(), "a cursor if rows remain");
            self.compare(&Ok(found.clone()), &wanted);
            if let Some(cursor) = found.cursor {
                self.cursors.insert(cursor, OpenCursor { rows: later, batch_rows });
            }
        } else {
            self.compare(&found, &wanted);
        }
    }

    fn fetch(&mut self) {
        let Some(id) = self.some_cursor() else { return };
        let credit = self.random.below(4) as u32;
        self.history.push(format!("fetch {id}, credit {credit}"));
        let fetch = request::Call::Fetch(FetchRequest { cursor: id, credit });
        let (_, mut sent) = self.host.send(fetch, vec![]);
        sent.extend(self.host.run());
        let outcomes: Vec<_> = sent
            .into_iter()
            .map(|sent| match sent {
                Sent::Answer(answer) => answer.response.outcome.unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();

        let Some(cursor) = self.cursors.get_mut(&id) else {
            let [response::Outcome::Error(error)] = outcomes.as_slice() else {
                panic!("{outcomes:?}")
            };
            assert_eq!(error.reason, "CURSOR_INVALIDATED");
            return;
        };
        let mut wanted = Vec::new();
        while wanted.len() < credit.max(1) as usize && !cursor.rows.is_empty() {
            let later = cursor.rows.split_off(cursor.batch_rows.min(cursor.rows.len()));
            wanted.push((std::mem::replace(&mut cursor.rows, later), cursor.rows.is_empty()));
        }
        let found: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                response::Outcome::Fetch(fetch) => (batch_rows(&fetch.batch.unwrap()), fetch.done),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, wanted);
        if cursor.rows.is_empty() {
            self.cursors.remove(&id);
            self.ended.push(id);
        }
    }

    fn close_cursor(&mut self) {
        let Some(id) = self.some_cursor() else { return };
        self.history.push(format!("close cursor {id}"));
        let close = request::Call::CloseCursor(CloseCursorRequest { cursor: id });
        let outcome = self.host.call(close).outcome;
        assert!(matches!(outcome, Some(response::Outcome::CloseCursor(_))), "{outcome:?}");
        if self.cursors.remove(&id).is_some() {
            self.ended.push(id);
        }
    }

    fn some_cursor(&mut self) -> Option<u32> {
        let ids: Vec<u32> = self.cursors.keys().chain(&self.ended).copied().collect();
        (!ids.is_empty()).then(|| ids[self.random.below(ids.len())])
    }

    /// Inside a transaction an export is refused; else it holds what SQLite's own file holds.
    fn export(&mut self) {
        self.history.push("export".into());
        let export = request::Call::Export(Default::default());
        let answer = self.host.call_with(export, vec![]);
        if self.oracle.in_transaction() {
            let Some(response::Outcome::Error(error)) = answer.response.outcome else { panic!() };
            assert_eq!(error.reason, "IN_TRANSACTION");
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &answer.attachments[0]).unwrap();
        let copy = Connection::open(file.path()).unwrap();
        assert_eq!(dump(&copy), dump(&self.oracle.connection));
    }
}

/// A plain SQLite, on a file, so that its header can be asked what SQLite considers a commit.
struct Oracle {
    connection: Connection,
    file: tempfile::NamedTempFile,
    /// What was inserted since somebody looked, by SQLite's update hook.
    inserted: Arc<Mutex<Vec<(String, i64)>>>,
    last_counter: Cell<u32>,
}

struct Wanted {
    result: Result<Rows, (i32, String)>,
    in_transaction: bool,
    is_committed: bool,
    ends_cursors: bool,
}

#[derive(Debug)]
struct Rows {
    columns: Vec<String>,
    rows: Vec<String>,
    changes: Option<u64>,
    inserted: Option<i64>,
}

impl Oracle {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut connection = Connection::open(file.path()).unwrap();
        connection
            .execute_batch(
                "pragma synchronous = off; pragma journal_mode = memory; begin immediate; commit",
            )
            .unwrap();
        let inserted = Arc::new(Mutex::new(Vec::new()));
        let seen = inserted.clone();
        connection
            .update_hook(Some(move |action: Action, _: &str, table: &str, rowid: i64| {
                if action == Action::SQLITE_INSERT {
                    seen.lock().unwrap().push((table.to_owned(), rowid));
                }
            }))
            .unwrap();
        let oracle = Self { connection, file, inserted, last_counter: Cell::new(0) };
        oracle.last_counter.set(oracle.change_counter());
        oracle
    }

    fn schema_versions(&self) -> [i64; 2] {
        ["main", "temp"].map(|database| {
            let sql = format!("pragma {database}.schema_version");
            self.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        })
    }

    fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn run(&self, sql: &str) -> Wanted {
        self.inserted.lock().unwrap().clear();
        let was_in_transaction = self.in_transaction();
        let schema_before = self.schema_versions();
        let result = self.query(sql);
        let in_transaction = self.in_transaction();
        let counter = self.change_counter();
        let is_committed = self.last_counter.replace(counter) != counter;
        let first = sql.split_whitespace().next().unwrap_or("");
        let ends_transaction = matches!(first, "commit" | "release") && result.is_ok();
        let is_rolled_back = was_in_transaction && !in_transaction && !ends_transaction;
        let is_definition = matches!(first, "create" | "drop" | "alter" | "analyze");
        let ends_cursors =
            is_rolled_back || (is_definition && schema_before != self.schema_versions());
        Wanted { result, in_transaction, is_committed, ends_cursors }
    }

    fn query(&self, sql: &str) -> Result<Rows, (i32, String)> {
        let connection = &self.connection;
        let fail = |_: rusqlite::Error| {
            // SAFETY: the connection is open, and the message is copied at once.
            unsafe {
                let db = connection.handle();
                let message = std::ffi::CStr::from_ptr(ffi::sqlite3_errmsg(db));
                (ffi::sqlite3_extended_errcode(db), message.to_string_lossy().into_owned())
            }
        };
        let total = connection.total_changes();
        let mut statement = connection.prepare(sql).map_err(fail)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(fail)? {
            let cells = (0..columns.len()).map(|index| cell(row.get_ref(index).unwrap()));
            found.push(cells.collect::<Vec<_>>().join(" | "));
        }
        drop(rows);
        let target = target(sql);
        let counts = target.is_some() && connection.total_changes() > total;
        let changes = match target {
            Some("v") => connection.total_changes() - total,
            _ => {
                if counts {
                    connection.changes()
                } else {
                    0
                }
            }
        };
        let inserted = self
            .inserted
            .lock()
            .unwrap()
            .iter()
            .rfind(|(table, _)| target == Some(table))
            .map(|(_, rowid)| *rowid);
        Ok(Rows {
            columns,
            rows: found,
            changes: (!statement.readonly()).then_some(changes),
            inserted: inserted.filter(|_| sql.contains("into")),
        })
    }

    /// SQLite counts every transaction that changed the file, in the file.
    fn change_counter(&self) -> u32 {
        let mut bytes = [0; 4];
        let mut file = self.file.as_file();
        file.seek(SeekFrom::Start(24)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        u32::from_be_bytes(bytes)
    }
}

/// Which table a statement writes to by itself.
fn target(sql: &str) -> Option<&str> {
    let mut words = sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    match words.find(|word| *word != "with" && *word != "r" && *word != "i" && *word != "as")? {
        "values" => words.find(|word| *word == "into").and_then(|_| words.next()),
        "insert" | "replace" | "delete" => {
            words.find(|word| matches!(*word, "into" | "from")).and_then(|_| words.next())
        }
        "update" => match words.next()? {
            "or" => words.nth(1),
            table => Some(table),
        },
        _ => None,
    }
}

fn cell(value: ValueRef<'_>) -> String {
    literal(&match value {
        ValueRef::Null => Wire::Null,
        ValueRef::Integer(integer) => Wire::Integer(integer),
        ValueRef::Real(real) => Wire::Real(real),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Wire::Text(text),
            Err(_) => Wire::TextRaw(bytes),
        },
        ValueRef::Blob(bytes) => Wire::Blob(bytes),
    })
}

/// Everything in a database, as text.
fn dump(connection: &Connection) -> Vec<String> {
    let read = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let cells = (0..columns).map(|index| cell(row.get_ref(index).unwrap()));
            found.push(cells.collect::<Vec<_>>().join(" | "));
        }
        found
    };
    let mut all = read("select type, name, sql from main.sqlite_schema order by 1, 2");
    for table in read(
        "select name from main.sqlite_schema where type = 'table' and name not like 'sqlite_stat%'",
    ) {
        all.push(table.clone());
        all.extend(read(&format!("select * from main.{}", table.replace('\'', "\""))));
    }
    all.extend(read("pragma user_version"));
    all.extend(read("pragma main.integrity_check"));
    all
}

fn exec(sql: &str) -> ExecRequest {
    ExecRequest { sql: sql.into(), ..Default::default() }
}

const SCHEMA: [&str; 8] = [
    "create table t(id integer primary key, n integer unique, s text default 'none', b)",
    "create table p(k text primary key, n integer not null check (n < 100)) without rowid",
    "create table c(id integer primary key autoincrement, t references t(id) on delete cascade deferrable initially deferred, p references p)",
    "create table log(what, n)",
    "create index t_s on t(s, b)",
    "create trigger t_logged after insert on t begin insert into log values ('t', new.n); end",
    "create view v as select id, n, s from t where n > 3",
    "create trigger v_written instead of delete on v begin delete from t where id = old.id; update log set n = n + 1; end",
];

/// Any statement; most of them work.
fn statement(random: &mut Random) -> String {
    match random.below(24) {
        0..=6 => write(random),
        7 => format!("{} returning *, typeof(1)", write(random)),
        8..=11 => query(random),
        12 => random.pick(&["begin", "begin immediate", "begin exclusive transaction"]).into(),
        13..=14 => "commit".into(),
        15 => "rollback".into(),
        16 => format!("savepoint {}", random.pick(&["a", "b"])),
        17 => format!("release {}", random.pick(&["a", "b"])),
        18 => format!("rollback to {}", random.pick(&["a", "b"])),
        19 => schema_change(random),
        20 => random
            .pick(&[
                "pragma user_version = 5",
                "pragma user_version",
                "pragma foreign_keys = on",
                "pragma foreign_keys = off",
                "pragma cache_size = 4",
                "pragma defer_foreign_keys = on",
                "vacuum",
                "analyze",
                "pragma recursive_triggers = on",
                "pragma journal_size_limit = 100",
                "pragma reverse_unordered_selects = off",
                "attach ':memory:' as other",
                "detach other",
                "reindex t_s",
            ])
            .into(),
        21 => random
            .pick(&[
                "selec 1",
                "select * from missing",
                "insert into t(missing) values (1)",
                "select abs(-9223372036854775808)",
                "select json('{')",
                "begin nonsense",
                "release missing",
                "insert into p values ('k', 500)",
                "insert into p values ('k', null)",
                "insert into c(t) values (12345)",
            ])
            .into(),
        22 => format!("delete from v where n > {}", random.below(12)),
        _ => bulk(random),
    }
}

fn write(random: &mut Random) -> String {
    let or = random.pick(&[
        "",
        "",
        "",
        " or ignore",
        " or replace",
        " or fail",
        " or abort",
        " or rollback",
    ]);
    let (n, m) = (random.below(12), random.below(12));
    let value = random.pick(&[
        "null",
        "'é'",
        "1.5",
        "x'00ff'",
        "-1",
        "9007199254740993",
        "cast(x'ff' as text)",
    ]);
    match random.below(10) {
        0..=2 => format!("insert{or} into t(n, b) values ({n}, {value}), ({m}, {value})"),
        3 => format!(
            "insert into t(n, s) values ({n}, {value}) on conflict(n) do update set s = excluded.s, b = {m}"
        ),
        4 => format!("insert{or} into p values ('k{n}', {m})"),
        5 => format!("insert{or} into c(t, p) values ({n}, 'k{m}')"),
        6 => format!("update{or} t set n = n + {n}, b = {value} where id % {} = 0", m + 1),
        7 => format!("delete from t where n = {n} or n = {m}"),
        8 => format!("delete from {}", random.pick(&["log", "c", "t where 0", "p"])),
        _ => format!("insert into log select 'from t', n from t where n < {n}"),
    }
}

fn query(random: &mut Random) -> String {
    let n = random.below(12);
    match random.below(7) {
        0 => "select * from t".into(),
        1 => format!("select * from t where n >= {n} order by n desc"),
        2 => "select t.id, c.id, c.p, t.b from t left join c on c.t = t.id".into(),
        3 => "select what, count(*), sum(n) from log group by what".into(),
        4 => format!(
            "with r(i) as (values ({n}) union all select i + 1 from r where i < 15) select i, (select n from t where n = i) from r"
        ),
        5 => "select * from v union all select * from v order by 2, 1".into(),
        _ => "select k, n, rank() over (order by n) from p".into(),
    }
}

fn schema_change(random: &mut Random) -> String {
    let n = random.below(3);
    match random.below(8) {
        0 => format!("create table extra{n}(a, b)"),
        1 => format!("drop table if exists extra{n}"),
        2 => format!("alter table extra{n} add column c{} default 5", random.below(20)),
        3 => format!("create index extra_i{n} on extra{n}(a)"),
        4 => "create temp table scratch(a)".into(),
        5 => format!(
            "create trigger if not exists more{n} after update on t begin insert into log values ('u', last_insert_rowid()); end"
        ),
        6 => format!("drop trigger if exists more{n}"),
        _ => "create virtual table if not exists words using fts5(body)".into(),
    }
}

/// Enough to push pages out of a small cache.
fn bulk(random: &mut Random) -> String {
    let count = 20 + random.below(60);
    format!(
        "with r(i) as (values (1) union all select i + 1 from r where i < {count}) insert into log select 'bulk', zeroblob(500 + i) from r"
    )
}
