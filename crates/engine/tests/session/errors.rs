//! Errors: what SQLite says, where it says it, and that the session goes on.

use expect_test::expect;
use lix_engine_protocol::{Limits, NATIVE_LIMITS};

use crate::host::Host;
use crate::script::{check, check_with};

#[test]
fn a_text_that_cannot_be_prepared_says_where() {
    check(expect![[r##"
        > selec 1
        INVALID/SQL_SYNTAX at 0 sqlite 1: near "selec": syntax error
        > select 1 from
        INVALID/SQL_SYNTAX sqlite 1: incomplete input
        > select 'abc
        INVALID/SQL_SYNTAX at 7 sqlite 1: unrecognized token: "'abc"
        > select * from missing
        INVALID/SQL_ERROR sqlite 1: no such table: missing
        > select a, missing from (select 1 as a)
        INVALID/SQL_ERROR at 10 sqlite 1: no such column: missing
        > select missing(1)
        INVALID/SQL_ERROR at 7 sqlite 1: no such function: missing
        > select abs(1, 2)
        INVALID/SQL_ERROR at 7 sqlite 1: wrong number of arguments to function abs()
        > /* é */ select missing
        INVALID/SQL_ERROR at 16 sqlite 1: no such column: missing
        > select 1 where x = 1 and y = 2
        INVALID/SQL_ERROR at 15 sqlite 1: no such column: x
        > insert into missing values (1)
        INVALID/SQL_ERROR sqlite 1: no such table: missing
        > select #
        INVALID/SQL_SYNTAX at 7 sqlite 1: unrecognized token: "#"
        > create table t(a, a)
        INVALID/SQL_ERROR sqlite 1: duplicate column name: a
        > select 1 as a union select 2, 3
        INVALID/SQL_ERROR sqlite 1: SELECTs to the left and right of UNION do not have the same number of result columns
        > select (select 1, 2)
        INVALID/SQL_ERROR sqlite 1: sub-select returns 2 columns - expected 1
        > select 1 order by 5
        INVALID/SQL_ERROR sqlite 1: 1st ORDER BY term out of range - should be between 1 and 1
        > create table "sqlite_x"(a)
        INVALID/SQL_ERROR sqlite 1: object name reserved for internal use: sqlite_x
        > select 1 limit 'x'
        CONSTRAINT/SCHEMA_MISMATCH sqlite 20: datatype mismatch
        > update t set a = 1
        INVALID/SQL_ERROR sqlite 1: no such table: t
        > ;;; selec
        INVALID/SQL_SYNTAX at 4 sqlite 1: near "selec": syntax error
    "##]]);
}

#[test]
fn constraints_name_themselves() {
    check(expect![[r#"
        > pragma foreign_keys = on
        ok
        > create table t(id integer primary key, u unique, n not null default 0, c check (c > 0), f references t)
        changes 0, commit 1
        > insert into t(id, u) values (1, 1)
        changes 1, rowid 1, commit 2
        > insert into t(u) values (1)
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.u
        > insert into t(id) values (1)
        CONSTRAINT/PRIMARY_KEY sqlite 1555: UNIQUE constraint failed: t.id
        > insert into t(n) values (null)
        CONSTRAINT/NOT_NULL sqlite 1299: NOT NULL constraint failed: t.n
        > insert into t(c) values (-1)
        CONSTRAINT/CHECK sqlite 275: CHECK constraint failed: c > 0
        > insert into t(f) values (99)
        CONSTRAINT/FOREIGN_KEY sqlite 787: FOREIGN KEY constraint failed
        > insert into t(id) values ('x')
        CONSTRAINT/SCHEMA_MISMATCH sqlite 20: datatype mismatch
        > create table w(k primary key) without rowid
        changes 0, commit 3
        > insert into w values (1)
        changes 1, commit 4
        > insert into w values (1)
        CONSTRAINT/PRIMARY_KEY sqlite 1555: UNIQUE constraint failed: w.k
        > create table s(a int) strict
        changes 0, commit 5
        > insert into s values ('x')
        CONSTRAINT/SCHEMA_MISMATCH sqlite 3091: cannot store TEXT value in INT column s.a
        > create table r(a)
        changes 0, commit 6
        > insert into r(rowid) values (1)
        changes 1, rowid 1, commit 7
        > insert into r(rowid) values (1)
        CONSTRAINT/UNIQUE sqlite 2579: UNIQUE constraint failed: r.rowid
        > create trigger tr before delete on r begin select raise(abort, 'keep it'); end
        changes 0, commit 8
        > delete from r
        CONSTRAINT/TRIGGER sqlite 1811: keep it
        > create virtual table rt using rtree(id, a, b)
        changes 0, commit 9
        > insert into rt values (1, 5, 2)
        CONSTRAINT/VALIDATION sqlite 19: rtree constraint failed: rt.(a<=b)
        > select * from t
        [id INTEGER | u | n | c | f]
        1 | 1 | 0 | NULL | NULL
        1 rows
    "#]]);
}

#[test]
fn other_codes_keep_their_numbers() {
    check(expect![[r#"
        > pragma query_only = on
        ok
        > create table t(a)
        STORAGE/STORAGE_READONLY sqlite 8: attempt to write a readonly database
        > pragma query_only = off
        ok
        > create table t(a)
        changes 0, commit 1
        > pragma max_page_count = 2
        [max_page_count]
        2
        1 rows
        > insert into t values (zeroblob(100000))
        STORAGE/STORAGE_QUOTA sqlite 13: database or disk is full
        > select abs(-9223372036854775808)
        INVALID/SQL_ERROR sqlite 1: integer overflow
        > select json('{')
        INVALID/SQL_ERROR sqlite 1: malformed JSON
        > select zeroblob(1000000001)
        LIMIT/LIMIT_EXCEEDED SQLITE_LIMIT_LENGTH sqlite 18: string or blob too big
        > select 1 from t limit 1 offset 'x'
        CONSTRAINT/SCHEMA_MISMATCH sqlite 20: datatype mismatch
        > select 1 order by 'a' collate missing
        INVALID/SQL_ERROR sqlite 257: no such collation sequence: missing
        > create virtual table v using missing(a)
        INVALID/SQL_ERROR sqlite 1: no such module: missing
        > select * from pragma_table_info('t', 'missing')
        INVALID/SQL_ERROR sqlite 1: unknown database 'missing'
    "#]]);
}

#[test]
fn structures_too_deep_are_sqlites_to_refuse() {
    let mut host = Host::ready();
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("select {}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for sql in [
        nested("(", "1", ")", 100_000),
        nested("-", "1", "", 100_000),
        nested("not ", "1", "", 100_000),
        nested("abs(", "1", ")", 10_000),
        nested("(select ", "1", ")", 5_000),
        nested("", "1", "+1", 50_000),
        nested("case when 1 then ", "1", " end", 10_000),
        format!("select {}", vec!["1"; 40_000].join(",")),
        format!("select 1{}", " union all select 1".repeat(5_000)),
        format!("select * from {}", vec!["(select 1)"; 200].join(",")),
        format!("with {} select 1", "a as (with ".repeat(3_000)),
    ] {
        let error = host.try_exec(&sql).expect_err(&sql[..40]);
        assert!(["SQL_ERROR", "SQL_SYNTAX"].contains(&error.reason.as_str()), "{error:?}");
    }
    // Wide is not deep.
    assert_eq!(host.rows(&format!("select 1 in ({})", vec!["1"; 100_000].join(","))), ["1"]);
    let pattern = "%a".repeat(3_000);
    let error = host.try_exec(&format!("select 'a' like '{pattern}'")).unwrap_err();
    assert_eq!(error.message, "LIKE or GLOB pattern too complex");
    assert_eq!(host.rows("select 1"), ["1"]);
}

#[test]
fn every_limit_is_enforced() {
    let limits = Limits {
        max_sql_bytes: 30,
        max_params: 2,
        max_batch_statements: 2,
        max_result_bytes: 300,
        ..NATIVE_LIMITS
    };
    check_with(
        limits,
        expect![[r#"
            > select 1 -- thirty bytes of it
            [1 -- thirty bytes of it]
            1
            1 rows
            > select 1 -- thirty-one bytes it
            LIMIT/LIMIT_EXCEEDED max_sql_bytes
            > .batch select 1 ;; select 2 -- thirty-one bytes
            - [1]
            1
            1 rows
            - [2 -- thirty-one bytes]
            2
            1 rows
            2 items
            > select ?, ?, ? <- 1, 2, 3
            LIMIT/LIMIT_EXCEEDED max_params
            > .batch select 1 ;; select 2
            - [1]
            1
            1 rows
            - [2]
            2
            1 rows
            2 items
            > .batch select 1 ;; select 2 ;; select 3
            LIMIT/LIMIT_EXCEEDED max_batch_statements
            > select zeroblob(280)
            [zeroblob(280)]
            x'0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (563 bytes)
            1 rows
            > select zeroblob(300)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > select zeroblob(1000)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > .none select zeroblob(1000)
            ok
            > .cursor 1 select zeroblob(1000)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > .batch select zeroblob(150) ;; select zeroblob(150)
            - [zeroblob(150)]
            x'0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000… (303 bytes)
            1 rows
            - LIMIT/RESULT_TOO_LARGE max_result_bytes
            2 items
            > .continue select zeroblob(290) ;; select 1
            - LIMIT/RESULT_TOO_LARGE max_result_bytes
            - [1]
            1
            1 rows
            2 items
        "#]],
    );
}

#[test]
fn a_result_counts_by_its_encoded_size() {
    // The builder's estimate for these rows is far above what they take.
    let limits = Limits { max_result_bytes: 10_000, ..NATIVE_LIMITS };
    let mut host = Host::ready_with(limits);
    let rows = |count: u32| {
        format!(
            "with n(i) as (values (1) union all select i + 1 from n where i < {count})
             select 1, 'ab', null, 2.0 from n"
        )
    };
    // One byte, two and a length of one, none, eight.
    assert_eq!(host.exec(&rows(820)).batch.unwrap().row_count, 820);
    let error = host.try_exec(&rows(840)).unwrap_err();
    assert_eq!(error.reason, "RESULT_TOO_LARGE");
    assert!(error.message.contains("cursor"), "{error:?}");
}

#[test]
fn too_many_rows_of_a_write_take_the_write_back() {
    check_with(
        Limits { max_result_bytes: 300, ..NATIVE_LIMITS },
        expect![[r#"
            > create table t(id integer primary key, a)
            changes 0, commit 1
            > insert into t(a) values (zeroblob(200)) returning length(a)
            [length(a)]
            200
            changes 1, rowid 1, commit 2
            > insert into t(a) values (zeroblob(200)), (zeroblob(200)) returning a
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > update t set a = 1 returning zeroblob(400)
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > select id, length(a) from t
            [id INTEGER | length(a)]
            1 | 200
            1 rows
            > begin
            ok, in transaction
            > insert into t(a) values (7)
            changes 1, rowid 2
            > insert into t(a) values (zeroblob(200)), (zeroblob(200)) returning a
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > select last_insert_rowid()
            [last_insert_rowid()]
            2
            1 rows
            > insert into t(a) values (8) returning id
            [id INTEGER]
            3
            changes 1, rowid 3
            > insert or rollback into t values (1, 1) returning id
            CONSTRAINT/PRIMARY_KEY sqlite 1555: UNIQUE constraint failed: t.id, out of transaction
            > select id, length(a) from t
            [id INTEGER | length(a)]
            1 | 200
            1 rows
            > begin
            ok, in transaction
            > insert into t(a) values (9) returning id
            [id INTEGER]
            2
            changes 1, rowid 2
            > savepoint lix_statement
            ok
            > insert into t(a) values (zeroblob(400)) returning a
            LIMIT/RESULT_TOO_LARGE max_result_bytes
            > rollback to lix_statement
            ok
            > commit
            ok, commit 3, out of transaction
            > select id, length(a) from t
            [id INTEGER | length(a)]
            1 | 200
            2 | 1
            2 rows
        "#]],
    );
}
