//! Cursors: the rows as of their `exec`, batch by batch, whatever happens meanwhile.

use expect_test::expect;
use lix_engine_protocol::{Limits, NATIVE_LIMITS};

use crate::host::Host;
use crate::script::{check, check_with};

#[test]
fn batches_credit_and_the_end() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3), (4), (5)
        changes 5, rowid 5, commit 2
        > .cursor 2 select a from t
        [a]
        1
        2
        cursor 1
        > .fetch 1
        3
        4
        more
        > .fetch 1
        5
        done
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .cursor 2 select a from t
        [a]
        1
        2
        cursor 2
        > .fetch 2 9
        3
        4
        more
        5
        done
        > .cursor 1 select a from t
        [a]
        1
        cursor 3
        > .fetch 3 2
        2
        more
        3
        more
        > .fetch 3 2
        4
        more
        5
        done
        > .cursor 5 select a from t
        [a]
        1
        2
        3
        4
        5
        5 rows
        > .cursor 4 select a from t
        [a]
        1
        2
        3
        4
        cursor 4
        > .fetch 4 0
        5
        done
        > .fetch 4
        TRANSACTION/CURSOR_INVALIDATED 4
        > .fetch 99
        TRANSACTION/CURSOR_UNKNOWN 99
        > .fetch 0
        TRANSACTION/CURSOR_UNKNOWN 0
    "#]]);
}

#[test]
fn closing_is_right_at_any_time() {
    check(expect![[r#"
        > .cursor 1 values (1), (2), (3)
        [column1]
        1
        cursor 1
        > .drop 1
        cursor closed
        > .drop 1
        cursor closed
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .drop 2
        TRANSACTION/CURSOR_UNKNOWN 2
        > .drop 0
        TRANSACTION/CURSOR_UNKNOWN 0
        > .cursor 1 values (1), (2)
        [column1]
        1
        cursor 2
        > .fetch 2
        2
        done
        > .drop 2
        cursor closed
    "#]]);
}

#[test]
fn bytes_bound_a_batch_too() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values ('short'), (zeroblob(20)), (zeroblob(300)), ('short'), ('short')
        changes 5, rowid 5, commit 2
        > .cursor-bytes 200 select length(a), a from t
        [length(a) | a]
        5 | 'short'
        20 | x'0000000000000000000000000000000000000000'
        cursor 1
        > .fetch 1
        300 | x'0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (609 bytes)
        more
        > .fetch 1
        5 | 'short'
        5 | 'short'
        done
        > .cursor-bytes 1 select 1 union all select 2
        [1]
        1
        cursor 2
        > .fetch 2
        2
        done
    "#]]);
}

#[test]
fn writes_do_not_change_what_a_cursor_shows() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3), (4)
        changes 4, rowid 4, commit 2
        > .cursor 1 select a from t
        [a]
        1
        cursor 1
        > .cursor 1 select a * 10 from t order by a desc
        [a * 10]
        40
        cursor 2
        > update t set a = a + 100
        changes 4, commit 3
        > .fetch 1
        2
        more
        > delete from t
        changes 4, commit 4
        > insert into t values (7)
        changes 1, rowid 1, commit 5
        > .fetch 2 9
        30
        more
        20
        more
        10
        done
        > .fetch 1 9
        3
        more
        4
        done
        > .cursor 1 select a from t union all values (8)
        [a]
        7
        cursor 3
        > begin
        ok, in transaction
        > .fetch 3
        8
        done
        > .cursor 1 select a from t union all values (8)
        [a]
        7
        cursor 4
        > insert into t values (9)
        changes 1, rowid 2
        > .cursor 1 select a from t
        [a]
        7
        cursor 5
        > savepoint s
        ok
        > insert into t values (10)
        changes 1, rowid 3
        > .cursor 1 select a from t
        [a]
        7
        cursor 6
        > rollback to s
        ok
        > .fetch 6 9
        9
        more
        10
        done
        > release s
        ok
        > .fetch 5
        9
        done
        > commit
        ok, commit 6, out of transaction
        > .fetch 4
        8
        done
        > select group_concat(a) from t
        [group_concat(a)]
        '7,9'
        1 rows
    "#]]);
}

#[test]
fn cursors_outlive_commits_and_end_with_a_rollback() {
    check(expect![[r#"
        > create table t(a unique)
        changes 0, commit 1
        > insert into t values (1), (2), (3)
        changes 3, rowid 3, commit 2
        > begin
        ok, in transaction
        > .cursor 1 select a from t
        [a]
        1
        cursor 1
        > .cursor 1 select a from t
        [a]
        1
        cursor 2
        > commit
        ok, out of transaction
        > .fetch 1
        2
        more
        > begin
        ok, in transaction
        > .fetch 1
        3
        done
        > rollback
        ok, out of transaction
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .fetch 2
        TRANSACTION/CURSOR_INVALIDATED 2
        > .cursor 1 select a from t
        [a]
        1
        cursor 3
        > begin
        ok, in transaction
        > insert into t values (4)
        changes 1, rowid 4
        > insert or rollback into t values (4)
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.a, out of transaction
        > .fetch 3
        TRANSACTION/CURSOR_INVALIDATED 3
        > .cursor 1 select a from t
        [a]
        1
        cursor 4
        > rollback
        TRANSACTION/NO_TRANSACTION sqlite 1: cannot rollback - no transaction is active
        > .fetch 4
        2
        more
        > insert into t values (1)
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.a
        > .fetch 4
        3
        done
    "#]]);
}

#[test]
fn a_changed_schema_ends_cursors() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3)
        changes 3, rowid 3, commit 2
        > .cursor 1 select a from t
        [a]
        1
        cursor 1
        > alter table t add column b
        changes 0, commit 3
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .cursor 1 select * from t
        [a | b]
        1 | NULL
        cursor 2
        > drop table t
        changes 0, commit 4
        > .fetch 2
        TRANSACTION/CURSOR_INVALIDATED 2
        > .cursor 1 values (1), (2)
        [column1]
        1
        cursor 3
        > create temp table tmp(a)
        changes 0
        > .fetch 3
        TRANSACTION/CURSOR_INVALIDATED 3
        > .cursor 1 values (1), (2)
        [column1]
        1
        cursor 4
        > explain query plan create table u(a)
        [id | parent | notused | detail]
        changes 0
        > create temp table if not exists tmp(a)
        changes 0
        > drop table if exists missing
        changes 0
        > create nonsense
        INVALID/SQL_SYNTAX at 7 sqlite 1: near "nonsense": syntax error
        > create table tmp(a, a)
        INVALID/SQL_ERROR sqlite 1: duplicate column name: a
        > .fetch 4
        2
        done
    "#]]);
}

#[test]
fn what_expires_statements_does_not_end_a_cursor() {
    // Each row opens the table again, which an expired statement may not.
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3)
        changes 3, rowid 3, commit 2
        > .cursor 1 select (select max(a) from t where a <= o.a) from t as o
        [(select max(a) from t where a <= o.a)]
        1
        cursor 1
        > pragma recursive_triggers = on
        ok
        > .fetch 1 9
        2
        more
        3
        done
        > attach ':memory:' as other
        ok
        > .cursor 1 select (select max(a) from t where a <= o.a) from t as o
        [(select max(a) from t where a <= o.a)]
        1
        cursor 2
        > detach other
        ok
        > .fetch 2 9
        2
        more
        3
        done
        > .cursor 1 select (select max(a) from t where a <= o.a) from t as o
        [(select max(a) from t where a <= o.a)]
        1
        cursor 3
        > pragma optimize
        [optimize]
        0 rows
        > .fetch 3 9
        2
        more
        3
        done
    "#]]);
}

#[test]
fn rows_of_a_write_are_served_from_memory() {
    check(expect![[r#"
        > create table t(id integer primary key, a)
        changes 0, commit 1
        > .cursor 2 insert into t(a) values (1), (2), (3), (4), (5) returning id
        [id INTEGER]
        1
        2
        changes 5, rowid 5, cursor 1, commit 2
        > select count(*) from t
        [count(*)]
        5
        1 rows
        > delete from t
        changes 5, commit 3
        > .fetch 1
        3
        4
        more
        > .fetch 1
        5
        done
        > .cursor 2 insert into t(a) values (1), (2) returning id
        [id INTEGER]
        1
        2
        changes 2, rowid 2, commit 4
    "#]]);
}

#[test]
fn keeping_rows_has_a_limit_and_nothing_is_lost_at_it() {
    check_with(
        Limits { max_result_bytes: 2_000, ..NATIVE_LIMITS },
        expect![[r#"
            > create table t(a)
            changes 0, commit 1
            > with n(i) as (values (1) union all select i + 1 from n where i < 40) insert into t select i from n
            changes 40, rowid 40, commit 2
            > .cursor 1 select a, zeroblob(100) from t limit 40
            [a | zeroblob(100)]
            1 | x'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (207 bytes)
            cursor 1
            > insert into t values (0)
            LIMIT/CURSOR_SPOOL_LIMIT max_result_bytes
            > insert into t values (0)
            LIMIT/CURSOR_SPOOL_LIMIT max_result_bytes
            > create table u(a)
            LIMIT/CURSOR_SPOOL_LIMIT max_result_bytes
            > begin
            ok, in transaction
            > update t set a = 0
            LIMIT/CURSOR_SPOOL_LIMIT max_result_bytes
            > savepoint s
            ok
            > rollback to s
            LIMIT/CURSOR_SPOOL_LIMIT max_result_bytes
            > select count(*) from t where a = 0
            [count(*)]
            0
            1 rows
            > commit
            ok, out of transaction
            > .drop 1
            cursor closed
            > insert into t values (0)
            changes 1, rowid 41, commit 3
            > begin
            ok, in transaction
            > .cursor 1 select a, zeroblob(100) from t limit 40
            [a | zeroblob(100)]
            1 | x'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (207 bytes)
            cursor 2
            > rollback
            ok, out of transaction
            > .fetch 2
            TRANSACTION/CURSOR_INVALIDATED 2
            > begin
            ok, in transaction
            > .cursor 1 insert into t values (50), (51) returning a, zeroblob(1500)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > .cursor 1 insert into t values (50), (51) returning a, zeroblob(600)
            [a | zeroblob(600)]
            50 | x'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (1208 bytes)
            changes 2, rowid 43, cursor 3
            > select count(*) from t where a >= 50
            [count(*)]
            2
            1 rows
            > rollback
            ok, out of transaction
            > .cursor 1 insert into t values (50), (51) returning a, zeroblob(1500)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > select count(*) from t where a >= 50
            [count(*)]
            0
            1 rows
        "#]],
    );
}

#[test]
fn only_so_many_cursors_and_only_if_rows_remain() {
    check_with(
        Limits { max_open_cursors: 2, ..NATIVE_LIMITS },
        expect![[r#"
            > create table t(id integer primary key, a)
            changes 0, commit 1
            > .cursor 1 values (1), (2)
            [column1]
            1
            cursor 1
            > .cursor 1 values (1), (2)
            [column1]
            1
            cursor 2
            > .cursor 1 values (1), (2)
            LIMIT/LIMIT_EXCEEDED max_open_cursors
            > .cursor 2 values (1), (2)
            [column1]
            1
            2
            2 rows
            > .cursor 1 insert into t(a) values (1)
            changes 1, rowid 1, commit 2
            > .cursor 2 insert into t(a) values (2), (3) returning a
            [a]
            2
            3
            changes 2, rowid 3, commit 3
            > .cursor 1 insert into t(a) values (4), (5) returning a
            LIMIT/LIMIT_EXCEEDED max_open_cursors
            > begin
            ok, in transaction
            > .cursor 1 insert into t(a) values (4), (5) returning a
            LIMIT/LIMIT_EXCEEDED max_open_cursors
            > insert into t(a) values (6)
            changes 1, rowid 4
            > commit
            ok, commit 4, out of transaction
            > select group_concat(a) from t
            [group_concat(a)]
            '1,2,3,6'
            1 rows
            > .drop 1
            cursor closed
            > .cursor 1 insert into t(a) values (4), (5) returning a
            [a]
            4
            changes 2, rowid 6, cursor 3, commit 5
        "#]],
    );
}

#[test]
fn a_failure_while_reading_meets_the_fetch_that_reads_it() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (1), (2), (3), ('{bad')
        changes 4, rowid 4, commit 2
        > .cursor 1 select iif(a = 3, json(a || '{'), a) from t
        [iif(a = 3, json(a || '{'), a)]
        1
        cursor 1
        > .fetch 1
        INVALID/SQL_ERROR sqlite 1: malformed JSON
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .fetch 1
        TRANSACTION/CURSOR_INVALIDATED 1
        > .cursor 1 select iif(a = 3, json(a || '{'), a) from t
        [iif(a = 3, json(a || '{'), a)]
        1
        cursor 2
        > insert into t values (5)
        changes 1, rowid 5, commit 3
        > .fetch 2 9
        INVALID/SQL_ERROR sqlite 1: malformed JSON
        > .fetch 2
        TRANSACTION/CURSOR_INVALIDATED 2
        > .drop 2
        cursor closed
    "#]]);
}

#[test]
fn ids_are_never_used_again() {
    let mut host = Host::ready();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let request = lix_engine_protocol::proto::ExecRequest {
            sql: "values (1), (2)".into(),
            rows: lix_engine_protocol::proto::RowMode::Cursor.into(),
            max_batch_rows: 1,
            ..Default::default()
        };
        let cursor = host.try_exec_request(request).unwrap().cursor.expect("a row remains");
        assert!(cursor != 0 && seen.insert(cursor));
        let close = lix_engine_protocol::proto::CloseCursorRequest { cursor };
        host.call(lix_engine_protocol::proto::request::Call::CloseCursor(close));
    }
}
