//! What SQL must not reach, and what a user may change about the connection without breaking it.

use expect_test::expect;

use crate::host::Host;
use crate::script::check;

#[test]
fn no_statement_leads_out_of_the_database() {
    let outside = std::env::temp_dir().join(format!("lix-outside-{}.db", std::process::id()));
    let path = outside.to_str().unwrap();
    let mut host = Host::ready();
    host.exec("create table t(a)");
    for sql in [
        format!("attach '{path}' as x"),
        format!("attach 'file:{path}?vfs=unix' as x"),
        format!("attach '{path}' || '' as x"),
        "attach 'main.db' as x".into(),
        format!("vacuum into '{path}'"),
        format!("vacuum main into '{path}'"),
        "select load_extension('x')".into(),
        format!("select writefile('{path}', 'x')"),
        "select readfile('/etc/hosts')".into(),
        "select edit('x')".into(),
        "create virtual table c using csv(filename='/etc/hosts')".into(),
        "select * from fsdir('/')".into(),
    ] {
        let error = host.try_exec(&sql).expect_err(&sql);
        assert_eq!(error.reason, "SQL_ERROR", "{sql}: {error:?}");
        assert!(!outside.exists(), "{sql}");
    }
    assert_eq!(host.rows("select count(*) from t"), ["0"]);
}

#[test]
fn scratch_databases_are_allowed() {
    check(expect![[r#"
        > attach ':memory:' as m
        ok
        > create table m.t(a)
        changes 0
        > insert into m.t values (1)
        changes 1, rowid 1
        > attach '' as e
        ok
        > create table e.t as select * from m.t
        changes 0
        > select * from e.t
        [a]
        1
        1 rows
        > begin
        ok, in transaction
        > insert into e.t values (2)
        changes 1, rowid 2
        > insert into m.t values (2)
        changes 1, rowid 2
        > rollback
        ok, out of transaction
        > select (select count(*) from e.t), (select count(*) from m.t)
        [(select count(*) from e.t) | (select count(*) from m.t)]
        1 | 1
        1 rows
        > .export x
        image of commit 0
        > vacuum into ''
        changes 0
        > .seed x
        > select count(*) from sqlite_schema
        [count(*)]
        0
        1 rows
        > attach ? as x <- '/tmp/x'
        INVALID/SQL_ERROR sqlite 23: not authorized
        > attach ? as x <- ':memory:'
        INVALID/SQL_ERROR sqlite 23: not authorized
    "#]]);
}

#[test]
fn the_engine_keeps_its_own_hand_on_the_schema() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > pragma writable_schema = on
        ok
        > update sqlite_schema set sql = 'nonsense'
        INVALID/SQL_ERROR sqlite 1: table sqlite_master may not be modified
        > delete from sqlite_schema
        INVALID/SQL_ERROR sqlite 1: table sqlite_master may not be modified
        > insert into sqlite_schema values (1, 2, 3, 4, 5)
        INVALID/SQL_ERROR sqlite 1: table sqlite_master may not be modified
        > create virtual table f using fts5(a)
        changes 0, commit 2
        > insert into f_data values (1, 2)
        INVALID/SQL_ERROR sqlite 1: table f_data may not be modified
        > select "a" from t
        [a]
        0 rows
        > select "b" from t
        INVALID/SQL_ERROR at 7 sqlite 1: no such column: "b" - should this be a string literal in single-quotes?
        > select * from t
        [a]
        0 rows
    "#]]);
}

#[test]
fn journal_and_locking_modes_do_not_cost_a_rollback() {
    for journal in ["memory", "delete", "truncate", "persist", "off", "wal", "WAL", "'wal'"] {
        for locking in ["exclusive", "normal"] {
            let mut host = Host::ready();
            let context = format!("{journal} {locking}");
            host.exec("create table t(a, b)");
            host.exec("insert into t values (1, zeroblob(50000))");
            host.exec(&format!("pragma locking_mode = {locking}"));
            host.exec(&format!("pragma journal_mode = {journal}"));
            assert_ne!(host.rows("pragma journal_mode"), ["'wal'"], "{context}");
            for _ in 0..2 {
                host.exec("begin");
                host.exec("update t set a = 2, b = zeroblob(100)");
                // More than the page cache holds, so that pages are written before the end.
                host.exec("pragma cache_size = 5");
                host.exec(
                    "with n(i) as (values (1) union all select i + 1 from n where i < 200)
                     insert into t select i, randomblob(3000) from n",
                );
                host.exec("savepoint s");
                host.exec("delete from t");
                host.exec("rollback to s");
                assert_eq!(host.rows("select count(*) from t"), ["201"], "{context}");
                host.exec("rollback");
                assert_eq!(host.rows("select a, length(b) from t"), ["1 | 50000"], "{context}");
                assert_eq!(host.rows("pragma integrity_check"), ["'ok'"], "{context}");
            }
            host.exec("insert into t values (5, 5)");
            let mut again = Host::seeded(&host.export()).unwrap();
            assert_eq!(again.rows("select a from t"), ["1", "5"], "{context}");
        }
    }
}

#[test]
fn pages_that_spilled_before_a_rollback_are_no_commit() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > pragma cache_size = 3
        ok
        > begin
        ok, in transaction
        > with n(i) as (values (1) union all select i + 1 from n where i < 500) insert into t select randomblob(1000) from n
        changes 500, rowid 500
        > rollback
        ok, out of transaction
        > select count(*) from t
        [count(*)]
        0
        1 rows
        > begin
        ok, in transaction
        > with n(i) as (values (1) union all select i + 1 from n where i < 500) insert into t select randomblob(1000) from n
        changes 500, rowid 500
        > rollback
        ok, out of transaction
        > begin
        ok, in transaction
        > commit
        ok, out of transaction
        > insert into t values (1)
        changes 1, rowid 1, commit 2
        > .export x
        image of commit 2
    "#]]);
}

#[test]
fn time_and_chance_come_from_the_platform() {
    let mut host = Host::ready();
    assert_eq!(host.rows("select datetime('now')"), ["'2023-11-14 22:13:20'"]);
    assert_eq!(host.rows("select random() is not null, length(randomblob(5))"), ["1 | 5"]);
}

#[test]
fn what_users_expect_of_sqlite_is_there() {
    let mut host = Host::ready();
    for (sql, row) in [
        ("select json_extract('{\"a\": [1, 2]}', '$.a[1]')", "2"),
        ("select json('[1, 2 ]') ->> 0", "1"),
        ("select round(sqrt(2), 3), ceil(1.2), pi() > 3", "1.414 | 2.0 | 1"),
        ("select group_concat(value, '-') from json_each('[3, 4]')", "'3-4'"),
        ("select string_agg(column1, ',' order by column1 desc) from (values (1), (2))", "'2,1'"),
        ("select sum(column1) over (order by column1) from (values (1)) limit 1", "1"),
        (
            "select iif(1, 'y', 'n'), concat_ws('-', 1, null, 2), unistr('\\00e9')",
            "'y' | '1-2' | 'é'",
        ),
    ] {
        assert_eq!(host.rows(sql), [row], "{sql}");
    }
    host.exec("create virtual table f using fts5(body, tokenize = 'porter')");
    host.exec("insert into f values ('running dogs'), ('a cat')");
    assert_eq!(
        host.rows("select highlight(f, 0, '<', '>') from f('dog run')"),
        ["'<running> <dogs>'"]
    );
    host.exec("create virtual table r using rtree(id, x0, x1)");
    host.exec("insert into r values (1, 0, 10), (2, 20, 30)");
    assert_eq!(host.rows("select id from r where x0 > 5"), ["2"]);
    assert_eq!(host.rows("select name from dbstat where name = 'r_node' limit 1"), ["'r_node'"]);
}
