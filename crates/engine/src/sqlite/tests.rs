//! A small table of keys and values, written in the style of the real ones: what SQL sees is a
//! virtual table, what it writes are ordinary tables, by statements within statements.

use std::cell::{Cell as Slot, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lix_engine_protocol::proto::{ExecRequest, RowBatch, RowMode};
use lix_engine_protocol::{Error, NATIVE_LIMITS, Reason, Result, cells};
use prost::Message;
use rusqlite::ffi;

use super::function::Owned;
use super::vtab::{Argument, Cell, Change, Distinct, Op, Plan, Rows, Table, Transaction, Values};
use super::{Bound, Link, Stored, start_of_more};
use crate::Platform;
use crate::database::Database;
use crate::exec::Surroundings;
use crate::lix::sql::Sql;

#[test]
fn rows_are_written_and_read() {
    let mut bench = Bench::new();
    assert_eq!(bench.ran("insert into kv (key, value) values ('b', 2), ('a', 1)").changes, 2);
    assert_eq!(bench.rows("select * from kv"), ["a|1|big a", "b|2|big b"]);
    assert_eq!(bench.ran("update kv set value = value + 10").changes, 2);
    assert_eq!(bench.ran("update kv set value = 'x' where key = 'a'").changes, 1);
    assert_eq!(bench.ran("update kv set value = 'x' where key = 'z'").changes, 0);
    assert_eq!(bench.ran("delete from kv where value = 12").changes, 1);
    assert_eq!(bench.rows("select key, value from kv"), ["a|x"]);
    // The key changes: out with the old, in with the new.
    assert_eq!(bench.ran("update kv set key = 'c'").changes, 1);
    assert_eq!(bench.rows("select key, value, pk from kv"), ["c|x|pk c"]);
    assert_eq!(bench.ran("delete from kv").changes, 1);
    assert_eq!(bench.rows("select * from kv"), [""; 0]);
}

#[test]
fn every_type_of_value_passes_unchanged() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', null), ('b', -9223372036854775808), ('c', 0.5), ('d', ''), ('e', x''), ('f', x'00ff'), ('g', 'ü' || char(0) || 'x')");
    bench.ok("insert into kv (key, value) select key || 2, value from kv");
    assert_eq!(
        bench.rows("select count(*) from kv a join kv b on b.key = a.key || 2 where a.value is b.value and typeof(a.value) = typeof(b.value)"),
        ["7"]
    );
    assert_eq!(
        bench.rows("select typeof(value), hex(value) from kv where key in ('e', 'g2')"),
        ["blob|", "text|C3BC0078"]
    );
}

#[test]
fn constraints_reach_the_table() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', 1), ('b', 2), ('c', 3), ('d', 4)");
    let mut read = |sql: &str| {
        let rows = bench.rows(sql);
        (bench.kv.plans.take().join(" "), rows)
    };
    let wanted = |plan: &str, rows: &[&str]| {
        (plan.to_owned(), rows.iter().map(|row| row.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(read("select value from kv where key = 'b'"), wanted("one", &["2"]));
    assert_eq!(read("select value from kv where pk = 'pk b'"), wanted("all", &["2"]));
    assert_eq!(
        read("select value from kv where key in ('d', 'b', 'x')"),
        wanted("in", &["2", "4"])
    );
    assert_eq!(
        read("select value from kv where key in (select 'a' union all select 'c')"),
        wanted("in", &["1", "3"])
    );
    assert_eq!(read("select key from kv where key in ()"), wanted("", &[]));
    // Only the table's own order is its own; the other way round SQLite sorts.
    assert_eq!(read("select key from kv order by key limit 1"), wanted("all ordered", &["a"]));
    assert_eq!(read("select key from kv order by key desc limit 1"), wanted("all", &["d"]));
    assert_eq!(read("select distinct key from kv where key > 'c'"), wanted("all", &["d"]));
    // What is in the text can be looked at while planning, a collation too.
    assert_eq!(read("select value from kv where key = 'B' collate nocase"), wanted("all", &["2"]));
    assert_eq!(
        read("select a.value, b.value from kv a, kv b where b.key = a.key and a.value > 2"),
        wanted("all one one", &["3|3", "4|4"])
    );
}

#[test]
fn a_column_that_an_update_does_not_set_is_not_computed() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', 1), ('b', 2)");
    bench.kv.computed.set(0);
    bench.ok("update kv set value = 5 where key = 'a'");
    bench.ok("update kv set value = 6");
    assert_eq!(bench.kv.computed.get(), 0);
    assert_eq!(bench.rows("select big, value from kv"), ["big a|6", "big b|6"]);
    assert_eq!(bench.kv.computed.get(), 2);
}

#[test]
fn errors_arrive_as_they_were_made() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', 1)");
    let error = bench.err("insert into kv (key, value) values ('a', 2)");
    assert_eq!(error.reason, Reason::PrimaryKey);
    assert_eq!((&*error.subject, &*error.message), ("key", "there is a 'a'\0 already"));
    assert_eq!(error.sqlite_extended_code, ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
    assert_eq!(error.sqlite_code, ffi::SQLITE_CONSTRAINT);

    let error = bench.err("update kv set value = 'bad'");
    assert_eq!((error.reason, &*error.subject), (Reason::Validation, "value"));
    assert_eq!(error.sqlite_extended_code, ffi::SQLITE_CONSTRAINT_VTAB);

    // One that is no constraint, and needs no statement.
    let error = bench.err("select kv_value('teapot')");
    assert_eq!((error.reason, &*error.subject), (Reason::VersionUnknown, "teapot"));
    assert_eq!(error.sqlite_code, ffi::SQLITE_ERROR);

    // SQLite's own, from within, keep their code; the offset was into another text.
    let error = bench.err("insert into kv (key, value) values ('null', null)");
    assert_eq!(error.reason, Reason::NotNull);
    assert_eq!(error.message, "NOT NULL constraint failed: _lix_log.what");
    assert_eq!(error.sqlite_extended_code, ffi::SQLITE_CONSTRAINT_NOTNULL);
    assert_eq!(error.sql_offset, None);

    // While planning, reading, and in a column.
    let error = bench.err("select * from kv where key = 'unplanned'");
    assert_eq!((error.reason, &*error.subject), (Reason::ReadOnly, "plan"));
    let error = bench.err("select * from kv where key in ('unread', 'x')");
    assert_eq!((error.reason, &*error.subject), (Reason::ForeignKey, "filter"));
    bench.ok("insert into kv (key, value) values ('unseen', 1)");
    let error = bench.err("select big from kv");
    assert_eq!((error.reason, &*error.subject), (Reason::Check, "column"));

    // Nothing of it sticks to the next.
    let error = bench.err("select * from nowhere");
    assert_eq!((error.reason, &*error.subject), (Reason::SqlError, ""));
}

#[test]
fn a_swallowed_error_is_not_taken_for_a_later_one() {
    let mut bench = Bench::new();
    // The function's error is lost in a nested statement that somebody gave up on.
    assert_eq!(bench.rows("select kv_try('teapot')"), ["failed"]);
    bench.ok("create table t (a)");
    bench.ok(
        "create trigger boom before insert on t begin select raise(fail, 'no version teapot'); end",
    );
    let error = bench.err("insert into t values (1)");
    assert_eq!((error.reason, &*error.message), (Reason::Trigger, "no version teapot"));
}

#[test]
fn a_failing_statement_leaves_nothing() {
    for (before, after) in [
        (&[][..], &[][..]),
        (&["begin"], &["commit"]),
        (&["savepoint a"], &["release a"]),
        (&["begin", "savepoint a"], &["release a", "commit"]),
    ] {
        let mut bench = Bench::new();
        bench.ok("create table t (a)");
        bench.ok("create trigger t_kv after insert on t begin insert into kv (key, value) values (new.a, new.a); end");
        before.iter().for_each(|sql| bench.ok(sql));
        bench.ok("insert into kv (key, value) values ('a', 1), ('b', 2)");
        let log = bench.rows("select count(*) from _lix_log");
        for (sql, reason) in [
            (
                "insert into kv (key, value) values ('c', 3), ('d', 4), ('e', 'bad')",
                Reason::Validation,
            ),
            // Half of the only row is written when it turns out to be bad.
            ("insert into kv (key, value) values ('e', 'bad')", Reason::Validation),
            ("insert or ignore into kv (key, value) values ('c', 1), ('a', 7)", Reason::PrimaryKey),
            (
                "insert or replace into kv (key, value) values ('c', 1), ('a', 7)",
                Reason::PrimaryKey,
            ),
            ("insert or fail into kv (key, value) values ('c', 1), ('a', 7)", Reason::PrimaryKey),
            ("update kv set value = case key when 'b' then 'bad' else 9 end", Reason::Validation),
            ("update kv set value = 'bad' where key = 'b'", Reason::Validation),
            (
                "delete from kv where key >= kv_value(key) and kv_value('teapot')",
                Reason::VersionUnknown,
            ),
            ("insert into t values ('c'), ('a')", Reason::PrimaryKey),
            (
                "insert into kv (key, value) values ('c', 3), ('e', 'bad') returning key",
                Reason::Validation,
            ),
            ("insert into kv (key, value) values ('e', 'bad') returning key", Reason::Validation),
        ] {
            assert_eq!(bench.err(sql).reason, reason, "{before:?} {sql}");
            assert_eq!(bench.rows("select key, value from kv"), ["a|1", "b|2"], "{before:?} {sql}");
            assert_eq!(bench.rows("select count(*) from _lix_log"), log, "{before:?} {sql}");
            assert_eq!(bench.rows("select count(*) from t"), ["0"], "{before:?} {sql}");
        }
        bench.ok("insert into kv (key, value) values ('c', 3)");
        after.iter().for_each(|sql| bench.ok(sql));
        assert!(!bench.database.link.in_transaction());
        assert_eq!(bench.rows("select key from kv"), ["a", "b", "c"], "{before:?}");
    }
}

#[test]
fn what_happens_to_a_transaction_is_told() {
    let mut bench = Bench::new();
    let mut told = |sql: &str| {
        let _ = bench.exec(sql);
        bench.transaction.events.take().join(" ")
    };
    assert_eq!(told("insert into kv (key, value) values ('a', 1)"), "begin sync commit");
    assert_eq!(told("select * from kv"), "");
    assert_eq!(told("insert into kv (key, value) values ('b', 'bad')"), "begin rollback");
    assert_eq!(told("begin"), "");
    assert_eq!(told("select * from kv"), "");
    // The savepoint is the engine's.
    assert_eq!(told("insert into kv (key, value) values ('b', 1)"), "begin savepoint 0 release 0");
    assert_eq!(told("savepoint s"), "savepoint 0");
    assert_eq!(
        told("insert into kv (key, value) values ('c', 1), ('d', 'bad')"),
        "savepoint 1 savepoint 2 rollback_to 2 release 2 rollback_to 1 release 1"
    );
    assert_eq!(told("rollback to s"), "rollback_to 0");
    assert_eq!(told("release s"), "release 0");
    assert_eq!(told("commit"), "sync commit");
    assert_eq!(told("begin"), "");
    assert_eq!(told("delete from kv"), "begin savepoint 1 release 1 release 0");
    assert_eq!(told("rollback"), "rollback");
    // The outermost savepoint is the transaction.
    assert_eq!(told("savepoint s"), "");
    assert_eq!(told("delete from kv where key = 'a'"), "begin savepoint 0 release 0");
    assert_eq!(told("rollback to s"), "rollback_to -1");
    assert_eq!(told("delete from kv where key = 'b'"), "savepoint 0 release 0");
    assert_eq!(told("release s"), "sync commit");
    assert_eq!(bench.rows("select key from kv"), ["a"]);
}

#[test]
fn the_last_write_of_a_transaction_is_part_of_it() {
    let mut bench = Bench::new();
    bench.transaction.seals.set(true);
    for (number, statements) in [
        &["insert into kv (key, value) values ('a', 1)"][..],
        &[
            "begin",
            "insert into kv (key, value) values ('b', 1)",
            "delete from kv where key = 'a'",
            "commit",
        ],
        &["savepoint s", "insert into kv (key, value) values ('c', 1)", "release s"],
        &["select * from kv_fill(3)"],
        &["begin", "select * from kv_fill(4)", "commit"],
    ]
    .into_iter()
    .enumerate()
    {
        let commits = bench.database.commit_seq();
        statements.iter().for_each(|sql| bench.ok(sql));
        let sealed = bench.rows("select count(*) from _lix_log where what = 'sealed'");
        assert_eq!(sealed, [(number + 1).to_string()], "{statements:?}");
        assert_eq!(bench.database.commit_seq(), commits + 1, "{statements:?}");
    }
    bench.ok("begin");
    bench.ok("delete from kv");
    bench.ok("rollback");
    assert_eq!(bench.rows("select count(*) from _lix_log where what = 'sealed'"), ["5"]);
}

#[test]
fn a_refused_commit_is_a_rollback() {
    let refusal = Error::new(Reason::ForeignKey, "not like this").subject("sealing");
    let busy =
        Error { sqlite_code: 5, sqlite_extended_code: 5, ..Error::new(Reason::Busy, "busy") };
    for refusal in [refusal, busy] {
        for statements in [
            &["insert into kv (key, value) values ('b', 1)"][..],
            &["begin", "insert into kv (key, value) values ('b', 1)", "commit"],
            &["begin", "insert into kv (key, value) values ('b', 1)", "savepoint a", "end"],
            &["savepoint s", "insert into kv (key, value) values ('b', 1)", "release s"],
            &[
                "savepoint s",
                "savepoint t",
                "insert into kv (key, value) values ('b', 1)",
                "release s",
            ],
            &["select * from kv_fill(3)"],
            &["begin", "select * from kv_fill(3)", "commit"],
        ] {
            let mut bench = Bench::new();
            bench.ok("insert into kv (key, value) values ('a', 1)");
            bench.transaction.seals.set(true);
            bench.transaction.refusal.replace(Some(refusal.clone()));
            let commits = bench.database.commit_seq();
            let (last, before) = statements.split_last().unwrap();
            before.iter().for_each(|sql| bench.ok(sql));
            let error = bench.err(last);
            assert_eq!(
                (error.reason, &error.subject, &error.message),
                (refusal.reason, &refusal.subject, &refusal.message),
                "{statements:?}"
            );
            bench.transaction.refusal.take();
            assert!(!bench.database.link.in_transaction(), "{statements:?}");
            assert_eq!(bench.database.commit_seq(), commits, "{statements:?}");
            assert_eq!(bench.rows("select key from kv"), ["a"], "{statements:?}");
            let sealed = bench.rows("select count(*) from _lix_log where what = 'sealed'");
            assert_eq!(sealed, ["0"], "{statements:?}");
            assert_eq!(bench.err("commit").reason, Reason::NoTransaction);
            bench.ok("insert into kv (key, value) values ('c', 1)");
            assert_eq!(bench.rows("select key from kv"), ["a", "c"], "{statements:?}");
        }
    }
}

#[test]
fn savepoints_take_back_what_nested_statements_wrote() {
    let mut bench = Bench::new();
    bench.ok("begin");
    bench.ok("insert into kv (key, value) values ('a', 1)");
    bench.ok("savepoint s");
    bench.ok("update kv set value = 2");
    bench.ok("savepoint t");
    bench.ok("delete from kv");
    bench.ok("rollback to t");
    assert_eq!(bench.rows("select key, value from kv"), ["a|2"]);
    bench.ok("rollback to s");
    assert_eq!(bench.rows("select key, value from kv"), ["a|1"]);
    bench.ok("insert into kv (key, value) values ('b', 1)");
    bench.ok("release s");
    bench.ok("commit");
    assert_eq!(bench.rows("select key, value from kv"), ["a|1", "b|1"]);
}

#[test]
fn statements_may_read_what_they_write() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', 1), ('b', 2)");
    let ran = bench.ran("insert into kv (key, value) select key || key, value * 2 from kv");
    assert_eq!(ran.changes, 2);
    assert_eq!(bench.rows("select key, value from kv"), ["a|1", "aa|2", "b|2", "bb|4"]);
    let ran = bench.ran("update kv set value = (select max(value) from kv) + 1");
    assert_eq!(ran.changes, 4);
    assert_eq!(bench.rows("select distinct value from kv"), ["5"]);
    let ran = bench.ran(
        "delete from kv where exists (select 1 from kv other where other.key = kv.key || kv.key)",
    );
    assert_eq!(ran.changes, 2);
    // A function that reads the table, in a statement that reads it and one that writes it.
    assert_eq!(bench.rows("select key, kv_value(key) from kv"), ["aa|5", "bb|5"]);
    bench.ok("update kv set value = kv_value('bb') + kv_value(key)");
    assert_eq!(bench.rows("select key, value from kv"), ["aa|10", "bb|10"]);
    // A table whose rows are rows of the table.
    assert_eq!(
        bench.rows("select t.key from twice t join twice u using (key) join kv using (key)"),
        ["aa", "aa", "aa", "aa", "bb", "bb", "bb", "bb"]
    );
}

#[test]
fn inserted_rows_are_returned() {
    let mut bench = Bench::new();
    let sql = "insert into kv (key, value) values ('a', 1), ('b', 2) returning key, value";
    assert_eq!(bench.rows(sql), ["a|1", "b|2"]);
    bench.ok("begin");
    assert_eq!(bench.rows("insert into kv (key, value) values ('c', 3) returning key"), ["c"]);
    bench.ok("commit");
    assert_eq!(bench.rows("select count(*) from kv"), ["3"]);
}

#[test]
fn what_is_written_aside_does_not_count() {
    let mut bench = Bench::new();
    bench.transaction.seals.set(true);
    bench.ok("create table t (id integer primary key, a)");
    let ran = bench.ran("insert into t values (41, 'x')");
    assert_eq!((ran.changes, ran.last_insert_rowid), (1, Some(41)));
    for sql in [
        "insert into kv (key, value) values ('a', 1), ('b', 1)",
        "insert into kv (key, value) values ('c', 1 - last_insert_rowid()), ('d', 1)",
        "update kv set value = 7 where key < 'c'",
        "delete from kv where key >= 'c'",
        "insert into kv (key, value) select key || 'x', value from kv",
    ] {
        let ran = bench.ran(sql);
        assert_eq!((ran.changes, ran.last_insert_rowid), (2, None), "{sql}");
        assert_eq!(bench.rows("select last_insert_rowid(), changes()"), ["41|2"], "{sql}");
    }
    assert_eq!(bench.ran("delete from kv where key = 'nothing'").changes, 0);
    bench.ok("select * from kv_fill(3)");
    assert_eq!(bench.rows("select last_insert_rowid()"), ["41"]);

    // Beside ordinary rows.
    bench.ok("create trigger t_kv after insert on t begin insert into kv (key, value) values (new.a, 1), (new.a || 2, 1); end");
    let ran = bench.ran("insert into t (a) values ('t')");
    assert_eq!((ran.changes, ran.last_insert_rowid), (1, Some(42)));
    let ran = bench.ran("insert into t (a) values ('u' || last_insert_rowid())");
    assert_eq!((ran.changes, ran.last_insert_rowid), (1, Some(43)));
    assert_eq!(bench.rows("select last_insert_rowid()"), ["43"]);
    bench.ok("begin");
    let ran = bench.ran("insert into t (a) values ('v')");
    assert_eq!((ran.changes, ran.last_insert_rowid), (1, Some(44)));
    bench.ok("commit");
    assert_eq!(bench.rows("select last_insert_rowid()"), ["44"]);

    // A view counts the rows that its triggers changed, no more.
    bench.ok("create view v as select * from kv");
    bench.ok("create trigger v_kv instead of insert on v begin insert into kv (key, value) values (new.key, 1), (new.key || 2, 1); end");
    let ran = bench.ran("insert into v (key) values ('v3'), ('v4')");
    assert_eq!((ran.changes, ran.last_insert_rowid), (4, None));
}

#[test]
fn a_procedure_runs_like_a_write() {
    let mut bench = Bench::new();
    for mode in [RowMode::All, RowMode::Cursor, RowMode::None] {
        let commits = bench.database.commit_seq();
        let request = ExecRequest {
            sql: "select n from kv_fill(3)".into(),
            rows: mode.into(),
            max_batch_rows: 1,
            ..ExecRequest::default()
        };
        let outcome = bench.request(request).unwrap();
        assert_eq!(outcome.meta.changes, Some(0));
        assert_eq!(outcome.meta.last_insert_rowid, None);
        assert!(!bench.database.link.in_transaction());
        assert_eq!(bench.database.commit_seq(), commits + 1, "{mode:?}");
        assert_eq!(bench.rows("select count(*) from kv"), ["3"]);
        if let Some(cursor) = outcome.meta.cursor {
            bench.ok("delete from kv");
            assert_eq!(texts(&bench.database.fetch(cursor, 0).unwrap().0), ["2"]);
            assert_eq!(texts(&bench.database.fetch(cursor, 0).unwrap().0), ["3"]);
        }
        bench.ok("delete from kv");
    }

    // Without rows to be had it fails, and leaves nothing.
    let limits = lix_engine_protocol::Limits { max_open_cursors: 0, ..NATIVE_LIMITS };
    let request = ExecRequest {
        sql: "select n from kv_fill(3)".into(),
        rows: RowMode::Cursor.into(),
        max_batch_rows: 1,
        ..ExecRequest::default()
    };
    let around = Surroundings {
        attachments: &[],
        limits: &limits,
        platform: &*bench.clock,
        result_bytes: 1_000,
        request: 0,
    };
    let refused = bench.database.exec(request, &around);
    assert!(refused.is_err_and(|error| error.reason == Reason::LimitExceeded));
    assert_eq!(bench.rows("select count(*) from kv"), ["0"]);

    for (before, after) in
        [(&[][..], &[][..]), (&["begin"], &["commit"]), (&["savepoint s"], &["release s"])]
    {
        before.iter().for_each(|sql| bench.ok(sql));
        let error = bench.err("select * from kv_fill(13)");
        assert_eq!((error.reason, &*error.subject), (Reason::Validation, "n"));
        // The second call fails after the first one did well.
        let error = bench.err("select * from (select 2 as n union all select 13) c, kv_fill(c.n)");
        assert_eq!((error.reason, &*error.subject), (Reason::Validation, "n"));
        assert_eq!(bench.rows("select count(*) from kv"), ["0"], "{before:?}");
        assert_eq!(bench.database.link.in_transaction(), !before.is_empty());
        // Nor does a statement keep what it writes besides, constraints or none.
        bench.ok("create table if not exists t (n)");
        let sql =
            "insert into t select f.n from (select 2 as n union all select 13) c, kv_fill(c.n) f";
        assert_eq!(bench.err(sql).reason, Reason::Validation);
        assert_eq!(bench.rows("select count(*) from kv"), ["0"], "{before:?}");
        assert_eq!(bench.rows("select count(*) from t"), ["0"], "{before:?}");
        after.iter().for_each(|sql| bench.ok(sql));
    }

    // Looking at it is not calling it, and neither is naming it where it cannot be called.
    let commits = bench.database.commit_seq();
    let explained = bench.ran("explain query plan select * from kv_fill(3)");
    assert_eq!(explained.changes, 0);
    assert!(bench.err("select * from kv_fill").message.contains("no query solution"));
    bench.ok("create view calls as select * from kv_fill(3)");
    assert!(bench.err("select * from calls").message.contains("unsafe use of virtual table"));
    assert_eq!(bench.rows("select count(*) from kv"), ["0"]);
    assert_eq!(bench.database.commit_seq(), commits + 1);

    // As a part of a statement that writes anyway.
    assert_eq!(bench.ran("insert into t select n from kv_fill(3)").changes, 3);
    assert_eq!(bench.rows("select count(*), (select count(*) from t) from kv"), ["3|3"]);
}

#[test]
fn a_timeout_within_is_a_timeout() {
    for (sql, stays) in [
        ("insert into kv (key, value) values ('b', 'slow')", false),
        ("insert into kv (key, value) values ('b', 1), ('c', 'slow')", false),
        ("select * from kv_fill(-1)", true),
        ("select kv_value('slow')", true),
    ] {
        for before in [None, Some("begin")] {
            let mut bench = Bench::new();
            bench.ok("insert into kv (key, value) values ('a', 1)");
            before.iter().for_each(|sql| bench.ok(sql));
            let request = ExecRequest { sql: sql.into(), timeout_ms: 50, ..ExecRequest::default() };
            let error = bench.request(request).map(drop).unwrap_err();
            assert_eq!(error.reason, Reason::Timeout, "{sql}: {error}");
            assert_eq!(error.sqlite_code, ffi::SQLITE_INTERRUPT);
            assert!(error.retryable);
            // SQLite ends the transaction of an interrupted write.
            assert_eq!(bench.database.link.in_transaction(), stays && before.is_some(), "{sql}");
            assert_eq!(bench.rows("select key from kv"), ["a"], "{sql}");
            bench.ok("insert into kv (key, value) values ('b', 2)");
        }
    }
}

#[test]
fn a_panic_goes_around_sqlite() {
    let mut bench = Bench::new();
    for sql in [
        "insert into kv (key, value) values ('a', 'panic')",
        "select kv_value('panic')",
        "insert into kv (key, value) values ('a', kv_value('panic'))",
    ] {
        let panic = catch_unwind(AssertUnwindSafe(|| bench.exec(sql).map(drop))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"as asked"), "{sql}");
    }
    bench.ok("insert into kv (key, value) values ('a', 1)");
}

#[test]
fn a_table_of_the_users_own_wins() {
    let mut bench = Bench::new();
    assert_eq!(bench.ran("insert into kv (key, value) values ('a', 1)").last_insert_rowid, None);
    bench.ok("create table kv (key, value)");
    assert_eq!(bench.rows("select * from kv"), [""; 0]);
    let ran = bench.ran("insert into kv (key, value) values ('own', 1)");
    assert_eq!((ran.changes, ran.last_insert_rowid), (1, Some(1)));
    bench.ok("drop table kv");
    assert_eq!(bench.rows("select key from kv"), ["a"]);
    // Nothing is in the schema.
    assert_eq!(bench.rows("select name from sqlite_schema where name not like '\\_lix\\_%' escape '\\' and name not like 'sqlite%'"), [""; 0]);
}

#[test]
fn tables_come_and_go() {
    let mut bench = Bench::new();
    bench.ok("insert into kv (key, value) values ('a', 1)");
    assert_eq!(bench.rows("select key from kv"), ["a"]);
    let link = bench.database.link.clone();
    link.unregister_table("KV").unwrap();
    assert_eq!(bench.err("select key from kv").message, "no such table: kv");
    assert_eq!(bench.rows("select key from twice limit 0"), [""; 0]);
    link.register_table("kv", bench.kv.clone(), bench.transaction.clone()).unwrap();
    assert_eq!(bench.rows("select key from kv"), ["a"]);
    // Another one by the name, while the statement that reads the old one is compiled.
    link.register_table("kv", Rc::new(Twice(bench.kv.inner.clone())), bench.transaction.clone())
        .unwrap();
    assert!(bench.err("select value from kv").message.contains("no such column"));
}

#[test]
fn everything_goes_with_the_connection() {
    let bench = Bench::new();
    let Bench { database, inner, kv, transaction, .. } = bench;
    let (link, kv, transaction) = (weak(database.link.clone()), weak(kv), weak(transaction));
    drop(database);
    assert!(link.upgrade().is_some() && kv.upgrade().is_some());
    drop(inner);
    assert!(link.upgrade().is_none() && kv.upgrade().is_none());
    assert!(transaction.upgrade().is_none());
}

#[test]
fn a_transaction_that_is_open_at_the_end_is_rolled_back() {
    let mut bench = Bench::new();
    bench.ok("begin");
    bench.ok("insert into kv (key, value) values ('a', 1)");
    bench.transaction.events.take();
    let Bench { database, inner, transaction, .. } = bench;
    drop(database);
    drop(inner);
    assert_eq!(transaction.events.take(), ["rollback"]);
}

/// The table and an ordinary one, under the same statements.
#[test]
fn it_behaves_like_an_ordinary_table() {
    for seed in 1..=40 {
        let mut bench = Bench::new();
        bench.transaction.seals.set(seed % 2 == 0);
        for sql in [
            "create table plain (key primary key, value check (value is not 'bad')) without rowid",
            "create table log (what)",
            "create trigger inserted before insert on plain begin insert into log values (1); end",
            "create trigger deleted after delete on plain begin insert into log values (1); end",
            "create trigger updated before update on plain begin insert into log values (1), (1); end",
        ] {
            bench.ok(sql);
        }
        let mut random = Random(seed);
        let mut depth = 0;
        for _ in 0..250 {
            let sql = statement(&mut random, &mut depth);
            let results: Vec<_> = ["plain", "kv"]
                .iter()
                .filter(|table| sql.contains("TABLE") || **table == "kv")
                .map(|table| {
                    let result = bench.exec(&sql.replace("TABLE", table));
                    result.map(|ran| ran.changes).map_err(|error| error.reason.code())
                })
                .collect();
            if let [plain, virtual_table] = &*results {
                assert_eq!(plain, virtual_table, "seed {seed}: {sql}");
            }
            if !bench.database.link.in_transaction() {
                depth = 0;
            }
            let mut check = |plain: &str, virtual_table: &str| {
                assert_eq!(bench.rows(plain), bench.rows(virtual_table), "seed {seed}: {sql}");
            };
            check("select key, value from plain", "select key, value from kv");
            check(
                "select count(*) from log",
                "select count(*) from _lix_log where what is not 'sealed'",
            );
        }
    }
}

/// Something to do to TABLE, or to the transaction.
fn statement(random: &mut Random, depth: &mut u32) -> String {
    let key = |random: &mut Random| ["a", "b", "c", "d", "e", "f"][random.below(6)].to_owned();
    let value =
        |random: &mut Random| ["1", "2.5", "null", "x'00'", "'text'", "'bad'"][random.below(6)];
    match random.below(16) {
        0 if *depth == 0 => {
            *depth = 1;
            "begin".into()
        }
        0 | 1 => {
            *depth += 1;
            format!("savepoint s{}", *depth)
        }
        2 if *depth > 0 => format!("rollback to s{}", 1 + random.below(*depth as usize)),
        3 if *depth > 0 => format!("release s{}", 1 + random.below(*depth as usize)),
        4 => "commit".into(),
        5 if random.below(3) == 0 => "rollback".into(),
        6..=8 => format!(
            "insert into TABLE (key, value) values ('{}', {}), ('{}', {})",
            key(random),
            value(random),
            key(random) + "2",
            value(random),
        ),
        9 => format!("insert into TABLE (key, value) values ('{}', {})", key(random), value(random)),
        10 => "insert into TABLE (key, value) select key || '3', value from TABLE where length(key) < 3".into(),
        11 => format!("update TABLE set value = {} where key >= '{}'", value(random), key(random)),
        12 => format!("update TABLE set key = key || 'x' where key = '{}'", key(random)),
        13 => format!(
            "update TABLE set value = case key when '{}' then 'bad' else 'good' end where key > '{}'",
            key(random),
            key(random)
        ),
        14 => format!("delete from TABLE where key < '{}' and value is {}", key(random), value(random)),
        _ => format!(
            "delete from TABLE where key in ('{}', '{}')",
            key(random) + "2",
            key(random)
        ),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end as u64) as usize
    }
}

#[test]
fn the_engines_own_tables_are_read_only() {
    let mut bench = Bench::new();
    bench.ok("create table t (a)");
    bench.ok("insert into kv (key, value) values ('a', 1)");
    bench.ok("create view readable as select * from _lix_kv");
    assert_eq!(bench.rows("select key, value from readable"), ["a|1"]);
    for sql in [
        "insert into _lix_kv values ('b', 2)",
        "INSERT INTO main.\"_LIX_kv\" VALUES ('b', 2)",
        "replace into _lix_kv values ('b', 2)",
        "update _lix_kv set value = 2",
        "delete from _lix_kv",
        "delete from _lix_transaction",
        "drop table _lix_kv",
        "alter table _lix_kv rename to mine",
        "alter table _lix_kv add column more",
        "alter table _lix_kv drop column value",
        "alter table t rename to _lix_t",
        "alter table t rename to [_Lix_t]",
        "create index i on _lix_kv (value)",
        "create trigger x after insert on _lix_kv begin select 1; end",
        "create temp trigger x after insert on _lix_kv begin select 1; end",
        "create temp trigger x after insert on main._lix_kv begin select 1; end",
        "drop index _lix_log_what",
        "create table _lix_mine (a)",
        "create table if not exists _lix_mine (a)",
        "create table _lix_mine as select 1",
        "create temp table _lix_kv (key, value)",
        "create view _lix_mine as select 1",
        "create temp view _lix_kv as select 1",
        "create virtual table _lix_mine using fts5(a)",
        "with x as (select 1) update _lix_kv set value = (select * from x)",
        "explain delete from _lix_kv",
    ] {
        let error = bench.err(sql);
        assert_eq!(error.reason, Reason::ReadOnly, "{sql}: {error}");
        assert_eq!(error.code(), lix_engine_protocol::proto::ErrorCode::Invalid);
        assert!(error.subject.to_lowercase().starts_with("_lix_"), "{sql}: {error:?}");
    }
    // A virtual table that does not write can be read only as well, if it is the engine's.
    let error = bench.err("delete from TWICE");
    assert_eq!(
        (error.reason, &*error.message),
        (Reason::ReadOnly, "cannot modify twice because it is a view")
    );
    bench.ok("create virtual table f using fts5(a)");
    assert_eq!(bench.err("delete from f_data").reason, Reason::SqlError);
    // Nor by way of a trigger or view.
    bench.ok("create trigger t_kv after insert on t begin delete from _lix_kv; end");
    assert_eq!(bench.err("insert into t values (1)").reason, Reason::ReadOnly);
    bench.ok("drop trigger t_kv");
    bench.ok("create trigger r instead of insert on readable begin insert into _lix_kv values ('b', 1); end");
    assert_eq!(bench.err("insert into readable values ('b', 1)").reason, Reason::ReadOnly);

    for sql in
        ["vacuum", "analyze", "reindex", "pragma integrity_check", "alter table t add column b"]
    {
        bench.ok(sql);
    }
    assert_eq!(bench.rows("select key, value from _lix_kv"), ["a|1"]);
    assert!(bench.database.export().is_ok());
    bench.ok("insert into kv (key, value) values ('b', 2)");
}

/// A database with the tables, and what tells about them.
struct Bench {
    database: Database,
    inner: Rc<Inner>,
    kv: Rc<Kv>,
    transaction: Rc<Recorder>,
    clock: Arc<Clock>,
}

/// What the tables work with. They hold it weakly, because it holds the connection.
struct Inner {
    link: Rc<Link>,
    sql: Sql,
}

#[derive(Debug)]
struct Ran {
    rows: Vec<String>,
    changes: i64,
    last_insert_rowid: Option<i64>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(Clock(AtomicU64::new(0)));
        let database = Database::create(clock.clone()).unwrap();
        let link = database.link.clone();
        let inner = Rc::new(Inner { sql: Sql::new(link.clone()), link: link.clone() });
        inner
            .sql
            .script(
                "create table _lix_kv (key primary key, value) without rowid;
                 create table _lix_log (id integer primary key, what not null);
                 create index _lix_log_what on _lix_log (what)",
            )
            .unwrap();
        let weak = Rc::downgrade(&inner);
        let kv = Rc::new(Kv { inner: weak.clone(), plans: Rc::default(), computed: Rc::default() });
        let transaction = Rc::new(Recorder {
            inner: weak.clone(),
            events: RefCell::default(),
            seals: Slot::new(false),
            is_dirty: Slot::new(false),
            refusal: RefCell::default(),
        });
        link.register_joiner(transaction.clone()).unwrap();
        link.register_table("kv", kv.clone(), transaction.clone()).unwrap();
        link.register_table("twice", Rc::new(Twice(weak.clone())), transaction.clone()).unwrap();
        link.register_table("kv_fill", Rc::new(Fill(weak.clone())), transaction.clone()).unwrap();
        let reader = weak.clone();
        let value = move |arguments: &[Stored<'_>]| value_of(&up(&reader), arguments[0]);
        link.register_function("kv_value", 1, false, Rc::new(value)).unwrap();
        let tries = move |arguments: &[Stored<'_>]| {
            let Stored::Text(key) = arguments[0] else { unreachable!() };
            let key = [Bound::Text(str::from_utf8(key).unwrap())];
            let result = up(&weak).sql.run("select kv_value(?1)", &key);
            Ok(if result.is_ok() { "did well" } else { "failed" }.into())
        };
        link.register_function("kv_try", -1, true, Rc::new(tries)).unwrap();
        Self { database, inner, kv, transaction, clock }
    }

    fn request(&mut self, request: ExecRequest) -> Result<lix_engine_protocol::ExecOutcome> {
        let around = Surroundings {
            attachments: &[],
            limits: &NATIVE_LIMITS,
            platform: &*self.clock,
            result_bytes: 1 << 20,
            request: 0,
        };
        let is_alone = !self.database.link.in_transaction();
        let result = self.database.exec(request, &around);
        self.database.note_commit(is_alone && result.is_ok());
        result
    }

    fn exec(&mut self, sql: &str) -> Result<Ran> {
        let request = ExecRequest { sql: sql.into(), ..ExecRequest::default() };
        let outcome = self.request(request)?;
        Ok(Ran {
            rows: outcome.batch.as_ref().map(texts).unwrap_or_default(),
            changes: outcome.meta.changes.unwrap_or_default() as i64,
            last_insert_rowid: outcome.meta.last_insert_rowid,
        })
    }

    fn ran(&mut self, sql: &str) -> Ran {
        self.exec(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn ok(&mut self, sql: &str) {
        self.ran(sql);
    }

    fn rows(&mut self, sql: &str) -> Vec<String> {
        self.ran(sql).rows
    }

    fn err(&mut self, sql: &str) -> Error {
        match self.exec(sql) {
            Ok(ran) => panic!("{sql}: {ran:?}"),
            Err(error) => error,
        }
    }
}

/// Rows as text, columns parted by bars.
fn texts(batch: &lix_engine_protocol::BatchBuilder) -> Vec<String> {
    let mut bytes = Vec::new();
    batch.write(&mut bytes);
    let batch = RowBatch::decode(&*bytes).unwrap();
    let mut rows = vec![Vec::new(); batch.row_count as usize];
    for column in cells(&batch) {
        for (row, cell) in rows.iter_mut().zip(column.unwrap()) {
            use lix_engine_protocol::Cell;
            row.push(match cell {
                Cell::Null => "null".into(),
                Cell::Integer(value) => value.to_string(),
                Cell::Real(value) => value.to_string(),
                Cell::Text(text) => text.to_owned(),
                Cell::Blob(bytes) | Cell::TextRaw(bytes) => format!("{bytes:?}"),
            });
        }
    }
    rows.into_iter().map(|row| row.join("|")).collect()
}

fn up(inner: &Weak<Inner>) -> Rc<Inner> {
    inner.upgrade().expect("it lives as long as the database is used")
}

/// Lets go.
fn weak<T>(strong: Rc<T>) -> Weak<T> {
    Rc::downgrade(&strong)
}

fn value_of(inner: &Inner, key: Stored<'_>) -> Result<Owned> {
    let Stored::Text(key) = key else { return Ok(Owned::Null) };
    match key {
        b"teapot" => Err(Error::new(Reason::VersionUnknown, "no version teapot").subject("teapot")),
        b"slow" => inner.forever().map(|()| Owned::Null),
        b"panic" => std::panic::panic_any("as asked"),
        key => {
            let key = [Bound::Text(str::from_utf8(key).unwrap())];
            let sql = "select value from kv where key = ?1";
            Ok(inner.sql.first(sql, &key, |row| Owned::from(row.cell(0)))?.into())
        }
    }
}

impl Inner {
    fn forever(&self) -> Result<()> {
        let sql = "with recursive c (n) as (select 1 union all select n + 1 from c) select count(*) from c";
        self.sql.run(sql, &[])
    }

    fn log(&self, what: Bound<'_>) -> Result<()> {
        self.sql.run("insert into _lix_log (what) values (?1)", &[what])
    }
}

/// `kv (key, value, big, pk hidden)`: the rows of `_lix_kv`, whose every write is logged.
struct Kv {
    inner: Weak<Inner>,
    /// Plans as they are run.
    plans: Rc<RefCell<Vec<String>>>,
    /// How often `big` was.
    computed: Rc<Slot<u32>>,
}

impl Table for Kv {
    fn declaration(&self) -> String {
        "create table x (key, value, big, pk hidden primary key) without rowid".into()
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let mut text = "all".to_owned();
        plan.set_cost(1e6);
        for constraint in plan.constraints() {
            let is_key = constraint.column == 0 && constraint.op == Op::Eq && constraint.usable;
            if !is_key || plan.collation(constraint.index) != "BINARY" {
                continue;
            }
            if let Some(Stored::Text(b"unplanned")) = plan.value(constraint.index) {
                return Err(Error::new(Reason::ReadOnly, "it cannot be planned").subject("plan"));
            }
            let is_list = plan.is_in(constraint.index);
            assert_eq!(plan.use_in(constraint.index), is_list);
            plan.use_constraint(constraint.index, 0, true);
            plan.set_cost(1.0);
            plan.set_rows(1);
            if !is_list {
                plan.set_unique();
            }
            text = if is_list { "in" } else { "one" }.into();
            break;
        }
        if plan.order_by() == [(0, false)] && plan.distinct() == Distinct::Ordered && text == "all"
        {
            plan.consume_order();
            text += " ordered";
        }
        plan.set_text(text);
        Ok(())
    }

    fn open(&self) -> Box<dyn Rows> {
        let (inner, plans) = (self.inner.clone(), self.plans.clone());
        let computed = self.computed.clone();
        Box::new(KvRows { inner, plans, computed, rows: Vec::new(), at: 0 })
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn update(&self, change: Change<'_>) -> Result<()> {
        let inner = up(&self.inner);
        let old = |key: Stored<'_>| match key {
            Stored::Text(key) => {
                str::from_utf8(key).unwrap().strip_prefix("pk ").unwrap().to_owned()
            }
            other => panic!("{other:?} is not a key"),
        };
        match change {
            Change::Delete { key } => self.delete(&inner, &old(key)),
            Change::Insert { values } => self.insert(&inner, values),
            Change::Update { key, values } => {
                assert!(values.is_unchanged(2), "nobody sets this column");
                assert!(!values.is_unchanged(1) && values.len() == 4);
                self.delete(&inner, &old(key))?;
                self.insert(&inner, values)
            }
        }
    }
}

impl Kv {
    fn insert(&self, inner: &Inner, values: Values<'_>) -> Result<()> {
        let Owned::Text(key) = values.get(0).into() else {
            return Err(Error::new(Reason::NotNull, "a key is a text").subject("key"));
        };
        let value = bound(values.get(1));
        inner.log(if &*key == "null" { Bound::Null } else { Bound::Text(&key) })?;
        match values.get(1) {
            Stored::Text(b"bad") => {
                return Err(Error::new(Reason::Validation, "a bad value").subject("value"));
            }
            Stored::Text(b"slow") => inner.forever()?,
            Stored::Text(b"panic") => std::panic::panic_any("as asked"),
            _ => {}
        }
        let key = Bound::Text(&key);
        let found = inner.sql.first("select key from _lix_kv where key = ?1", &[key], |_| ())?;
        if found.is_some() {
            let message = format!("there is a '{}'\0 already", values_text(values));
            return Err(Error::new(Reason::PrimaryKey, message).subject("key"));
        }
        inner.sql.run("insert into _lix_kv values (?1, ?2)", &[key, value])
    }

    fn delete(&self, inner: &Inner, key: &str) -> Result<()> {
        inner.log(Bound::Text(key))?;
        inner.sql.run("delete from _lix_kv where key = ?1", &[Bound::Text(key)])
    }
}

fn values_text(values: Values<'_>) -> String {
    match values.get(0) {
        Stored::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn bound(value: Stored<'_>) -> Bound<'_> {
    match value {
        Stored::Null => Bound::Null,
        Stored::Integer(value) => Bound::Integer(value),
        Stored::Real(value) => Bound::Real(value),
        Stored::Text(text) => Bound::Text(str::from_utf8(text).unwrap()),
        Stored::Blob(blob) => Bound::Blob(blob),
    }
}

struct KvRows {
    inner: Weak<Inner>,
    plans: Rc<RefCell<Vec<String>>>,
    computed: Rc<Slot<u32>>,
    rows: Vec<(String, Owned)>,
    at: usize,
}

impl Rows for KvRows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        self.plans.borrow_mut().push(plan.to_owned());
        (self.rows, self.at) = (Vec::new(), 0);
        let inner = up(&self.inner);
        let keys = match arguments {
            [] => None,
            [argument] if plan == "one" => Some(vec![argument.value().into()]),
            [argument] => Some(argument.values()?),
            _ => unreachable!("one argument at most"),
        };
        let rows = &mut self.rows;
        let mut add = |row: &crate::sqlite::Statement| {
            rows.push((row.text(0).to_string(), Owned::from(row.cell(1))));
            Ok(())
        };
        let Some(keys) = keys else {
            return inner.sql.each("select * from _lix_kv order by key", &[], add);
        };
        for key in keys {
            let Owned::Text(key) = key else { continue };
            if &*key == "unread" {
                return Err(Error::new(Reason::ForeignKey, "it is unread").subject("filter"));
            }
            let key = [Bound::Text(&key)];
            inner.sql.each("select * from _lix_kv where key = ?1", &key, &mut add)?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.at >= self.rows.len()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        let (key, value) = &self.rows[self.at];
        match index {
            0 => out.text(key),
            1 => out.set(value),
            2 if out.is_unchanged() => {}
            2 if key == "unseen" => {
                return Err(Error::new(Reason::Check, "it is unseen").subject("column"));
            }
            2 => {
                self.computed.set(self.computed.get() + 1);
                out.text(&format!("big {key}"));
            }
            _ => out.text(&format!("pk {key}")),
        }
        Ok(())
    }
}

/// `twice (key)`: the keys of `kv`, each twice, with a rowid.
struct Twice(Weak<Inner>);

struct TwiceRows {
    inner: Weak<Inner>,
    keys: Vec<Rc<str>>,
    at: usize,
}

impl Table for Twice {
    fn declaration(&self) -> String {
        "create table x (key)".into()
    }

    fn plan(&self, _: &mut Plan<'_>) -> Result<()> {
        Ok(())
    }

    fn open(&self) -> Box<dyn Rows> {
        Box::new(TwiceRows { inner: self.0.clone(), keys: Vec::new(), at: 0 })
    }
}

impl Rows for TwiceRows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        assert!(plan.is_empty() && arguments.is_empty());
        (self.keys, self.at) = (Vec::new(), 0);
        up(&self.inner).sql.each("select key from kv", &[], |row| {
            self.keys.extend([row.text(0), row.text(0)]);
            Ok(())
        })
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.at >= self.keys.len()
    }

    fn column(&self, _: usize, out: &mut Cell<'_>) -> Result<()> {
        out.text(&self.keys[self.at]);
        Ok(())
    }

    fn rowid(&self) -> i64 {
        self.at as i64
    }
}

/// `kv_fill(count)` makes that many keys and returns their numbers. It does not like 13, and never
/// ends below 0.
struct Fill(Weak<Inner>);

struct FillRows {
    inner: Weak<Inner>,
    at: i64,
    count: i64,
}

impl Table for Fill {
    fn declaration(&self) -> String {
        "create table x (n, count hidden)".into()
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let wanted = |constraint: &super::vtab::Constraint| {
            constraint.column == 1 && constraint.op == Op::Eq && constraint.usable
        };
        match plan.constraints().iter().find(|constraint| wanted(constraint)) {
            Some(constraint) => plan.use_constraint(constraint.index, 0, true),
            None => plan.set_impossible(),
        }
        Ok(())
    }

    fn open(&self) -> Box<dyn Rows> {
        Box::new(FillRows { inner: self.0.clone(), at: 0, count: 0 })
    }

    fn is_procedure(&self) -> bool {
        true
    }
}

impl Rows for FillRows {
    fn filter(&mut self, _: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let Stored::Integer(count) = arguments[0].value() else { unreachable!() };
        (self.at, self.count) = (1, count);
        let inner = up(&self.inner);
        inner.link.join_transaction()?;
        for number in 1..=count {
            let key = format!("{count}.{number}");
            inner.log(Bound::Text("filled"))?;
            inner.sql.run("insert into _lix_kv values (?1, 0)", &[Bound::Text(&key)])?;
        }
        match count {
            13 => Err(Error::new(Reason::Validation, "13 is not nice").subject("n")),
            ..0 => inner.forever(),
            _ => Ok(()),
        }
    }

    fn next(&mut self) -> Result<()> {
        self.at += 1;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.at > self.count
    }

    fn column(&self, _: usize, out: &mut Cell<'_>) -> Result<()> {
        out.integer(self.at);
        Ok(())
    }
}

/// Writes down what it is told, and once per transaction something into the log.
struct Recorder {
    inner: Weak<Inner>,
    events: RefCell<Vec<String>>,
    seals: Slot<bool>,
    is_dirty: Slot<bool>,
    refusal: RefCell<Option<Error>>,
}

impl Recorder {
    fn note(&self, event: impl Into<String>) {
        self.events.borrow_mut().push(event.into());
    }
}

impl Transaction for Recorder {
    fn begin(&self) -> Result<()> {
        self.is_dirty.set(true);
        self.note("begin");
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.note("sync");
        if self.seals.get() && self.is_dirty.replace(false) {
            up(&self.inner).log(Bound::Text("sealed"))?;
        }
        self.refusal.borrow().clone().map_or(Ok(()), Err)
    }

    fn commit(&self) {
        self.note("commit");
    }

    fn rollback(&self) {
        self.note("rollback");
    }

    fn savepoint(&self, number: i32) {
        self.note(format!("savepoint {number}"));
    }

    fn release(&self, number: i32) {
        self.note(format!("release {number}"));
    }

    fn rollback_to(&self, number: i32) {
        self.note(format!("rollback_to {number}"));
    }
}

/// Every look at it is a millisecond later.
struct Clock(AtomicU64);

impl Platform for Clock {
    fn unix_ms(&self) -> i64 {
        0
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }
}

#[test]
fn what_follows_a_statement_is_found_behind_blanks_and_comments() {
    for nothing in ["", " ", ";", " ; ; ", "-- x", "-- x\n ", "/* x */", "/* x", "/**/;--"] {
        assert_eq!(start_of_more(nothing), None, "{nothing:?}");
    }
    for (text, at) in [("x", 0), (" ;select", 2), ("-- a\nx", 5), ("/* */ x", 6), ("- x", 0)] {
        assert_eq!(start_of_more(text), Some(at), "{text:?}");
    }
}
