//! One statement: its rows, its counts, and how it may be written.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_statement_answers_columns_rows_and_counts() {
    check(expect![[r#"
        > create table t(id integer primary key, name text not null, price real, data)
        changes 0, commit 1
        > insert into t(name, price) values ('a', 1.5), ('b', null)
        changes 2, rowid 2, commit 2
        > select * from t
        [id INTEGER | name TEXT | price REAL | data]
        1 | 'a' | 1.5 | NULL
        2 | 'b' | NULL | NULL
        2 rows
        > select id, name as n, price * 2, typeof(data) from t where id = 1
        [id INTEGER | n TEXT | price * 2 | typeof(data)]
        1 | 'a' | 3.0 | 'null'
        1 rows
        > select * from t where 0
        [id INTEGER | name TEXT | price REAL | data]
        0 rows
        > update t set price = 2
        changes 2, commit 3
        > delete from t where id > 7
        changes 0
        > delete from t
        changes 2, commit 4
        > drop table t
        changes 0, commit 5
    "#]]);
}

#[test]
fn exactly_one_statement_whatever_surrounds_it() {
    check(expect![[r#"
        > ;;  select 1;; -- done
        [1]
        1
        1 rows
        > /* a */ select 1 /* b */ ; /* c */
        [1 /* b */]
        1
        1 rows
        > -- only a comment
        INVALID/SQL_EMPTY
        > ;
        INVALID/SQL_EMPTY
        > /* never closed
        INVALID/SQL_EMPTY
        >
        INVALID/SQL_EMPTY
        > select 1; select 2
        INVALID/SQL_MULTIPLE at 10
        > select 1; nonsense
        INVALID/SQL_MULTIPLE at 10
        > select 1;/**/ ; x
        INVALID/SQL_MULTIPLE at 16
        > create table a(x); create table b(x)
        INVALID/SQL_MULTIPLE at 19
        > select count(*) from sqlite_schema
        [count(*)]
        0
        1 rows
        > nonsense; select 1
        INVALID/SQL_SYNTAX at 0 sqlite 1: near "nonsense": syntax error
        > select 1\n-- comment\n; -- more
        [1
        -- comment]
        1
        1 rows
        > select 1;\n  -- comment\n  select 2
        INVALID/SQL_MULTIPLE at 25
        > select 'a\0b'
        INVALID/SQL_SYNTAX at 9
        > select 1 \0
        INVALID/SQL_SYNTAX at 9
        > select 1; \0
        INVALID/SQL_SYNTAX at 10
    "#]]);
}

#[test]
fn rows_come_in_the_mode_that_was_asked_for() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > .none select 1
        ok
        > .none insert into t values (1) returning a
        changes 1, rowid 1, commit 2
        > .none create table u(a)
        changes 0, commit 3
        > insert into t values (2), (3) returning a, a * 2 as twice
        [a | twice]
        2 | 4
        3 | 6
        changes 2, rowid 3, commit 4
        > .cursor 10 select * from t
        [a]
        1
        2
        3
        3 rows
        > .cursor 10 insert into t values (4)
        changes 1, rowid 4, commit 5
        > .cursor 10 create table v(a)
        changes 0, commit 6
        > .cursor 10 select * from t where 0
        [a]
        0 rows
    "#]]);
}

#[test]
fn column_names_are_sqlites_and_types_as_declared() {
    check(expect![[r#"
        > create table t(a VARCHAR(20) not null, b, c Decimal(10, 2) default 0, d any)
        changes 0, commit 1
        > create view v as select a as x, b, c + 0 as y from t
        changes 0, commit 2
        > select *, 1, a || b, a as a, count(*) as "n n" from t
        [a VARCHAR(20) | b | c Decimal(10, 2) | d ANY | 1 | a || b | a VARCHAR(20) | n n]
        NULL | NULL | NULL | NULL | 1 | NULL | NULL | 0
        1 rows
        > select * from v
        [x VARCHAR(20) | b | y]
        0 rows
        > select a, a, t.a, main.t.a from t
        [a VARCHAR(20) | a VARCHAR(20) | a VARCHAR(20) | a VARCHAR(20)]
        0 rows
        > select rowid, oid, _rowid_ from t
        [rowid INTEGER | rowid INTEGER | rowid INTEGER]
        0 rows
        > pragma table_info(t)
        [cid | name | type | notnull | dflt_value | pk]
        0 | 'a' | 'VARCHAR(20)' | 1 | NULL | 0
        1 | 'b' | '' | 0 | NULL | 0
        2 | 'c' | 'Decimal(10, 2)' | 0 | '0' | 0
        3 | 'd' | 'ANY' | 0 | NULL | 0
        4 rows
        > values (1, 2), (3, 4)
        [column1 | column2]
        1 | 2
        3 | 4
        2 rows
    "#]]);
}

#[test]
fn changes_count_what_the_statement_did_itself() {
    check(expect![[r#"
        > create table parent(id integer primary key)
        changes 0, commit 1
        > create table child(id integer primary key, parent references parent on delete cascade)
        changes 0, commit 2
        > create table log(what)
        changes 0, commit 3
        > create trigger logged after insert on parent begin insert into log values ('p'), ('q'); end
        changes 0, commit 4
        > pragma foreign_keys = on
        ok
        > insert into parent values (1), (2)
        changes 2, rowid 2, commit 5
        > select count(*) from log
        [count(*)]
        4
        1 rows
        > insert into child values (1, 1), (2, 1)
        changes 2, rowid 2, commit 6
        > delete from parent where id = 1
        changes 1, commit 7
        > select count(*) from child
        [count(*)]
        0
        1 rows
        > insert or ignore into parent values (2), (3)
        changes 1, rowid 3, commit 8
        > insert into parent values (2) on conflict do nothing
        changes 0
        > update parent set id = id
        changes 2, commit 9
        > delete from log
        changes 6, commit 10
        > begin immediate
        changes 0, in transaction
        > rollback
        ok, out of transaction
        > pragma user_version = 7
        changes 0, commit 11
        > create table copy as select * from parent
        changes 0, commit 12
        > create index i on copy(id)
        changes 0, commit 13
        > alter table copy add column more
        changes 0, commit 14
        > select changes(), total_changes() > 0
        [changes() | total_changes() > 0]
        6 | 1
        1 rows
        > analyze
        changes 0, commit 15
        > reindex
        changes 0, commit 16
        > vacuum
        changes 0, commit 17
        > with three(x) as (values (1), (2), (3)) insert into copy(id) select x from three
        changes 3, rowid 5, commit 18
    "#]]);
}

#[test]
fn writes_to_views_count_what_their_triggers_changed() {
    check(expect![[r#"
        > create table t(id integer primary key, n)
        changes 0, commit 1
        > create view v as select * from t
        changes 0, commit 2
        > create trigger vi instead of insert on v begin insert into t(n) values (new.n), (new.n); end
        changes 0, commit 3
        > create trigger vu instead of update on v begin update t set n = new.n where id = new.id; end
        changes 0, commit 4
        > create trigger vd instead of delete on v begin delete from t where id = old.id; end
        changes 0, commit 5
        > insert into v(n) values (1)
        changes 2, commit 6
        > update v set n = 5 where id = 1
        changes 1, commit 7
        > delete from v
        changes 2, commit 8
        > delete from v
        changes 0
        > insert into t values (9, 9)
        changes 1, rowid 9, commit 9
        > delete from v where 0
        changes 0
    "#]]);
}

#[test]
fn triggers_do_not_count_for_tables() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > create table log(a)
        changes 0, commit 2
        > create trigger refuse before insert on t begin insert into log values (1); select raise(ignore); end
        changes 0, commit 3
        > insert into t values (1)
        changes 0, commit 4
        > select count(*) from log
        [count(*)]
        1
        1 rows
    "#]]);
}

#[test]
fn schema_changes_of_virtual_tables_count_nothing() {
    check(expect![[r#"
        > create virtual table f using fts5(body)
        changes 0, commit 1
        > insert into f values ('one two'), ('three')
        changes 2, rowid 2, commit 2
        > create virtual table r using rtree(id, x0, x1)
        changes 0, commit 3
        > insert into r values (7, 1, 2)
        changes 1, rowid 7, commit 4
        > insert into f(f) values ('optimize')
        changes 1, rowid 0
        > update f set body = 'four' where rowid = 1
        changes 1, commit 5
        > delete from f
        changes 2, commit 6
        > drop table f
        changes 0, commit 7
        > drop table r
        changes 0, commit 8
    "#]]);
}

#[test]
fn last_insert_rowid_only_from_an_insert_that_inserted() {
    check(expect![[r#"
        > create table t(id integer primary key, n unique)
        changes 0, commit 1
        > create table w(k text primary key) without rowid
        changes 0, commit 2
        > create table log(id integer primary key, what)
        changes 0, commit 3
        > insert into log values (500, 'first')
        changes 1, rowid 500, commit 4
        > create trigger tl after insert on t begin insert into log(what) values (new.n); end
        changes 0, commit 5
        > create trigger tu after update on t begin insert into log(what) values (new.n); end
        changes 0, commit 6
        > insert into t(n) values ('a')
        changes 1, rowid 1, commit 7
        > insert into t values (41, 'b'), (42, 'c')
        changes 2, rowid 42, commit 8
        > update t set n = 'z' where id = 1
        changes 1, commit 9
        > delete from t where id = 1
        changes 1, commit 10
        > insert or ignore into t(n) values ('b')
        changes 0
        > insert into t(n) values ('b') on conflict(n) do update set n = 'bb'
        changes 1, commit 11
        > insert into t(n) values ('b2'), ('bb') on conflict(n) do update set n = 'bbb'
        changes 2, rowid 43, commit 12
        > insert or replace into t values (41, 'r')
        changes 1, rowid 41, commit 13
        > replace into t(n) values ('r2')
        changes 1, rowid 44, commit 14
        > insert into w values ('k')
        changes 1, commit 15
        > select last_insert_rowid()
        [last_insert_rowid()]
        44
        1 rows
        > insert into t(n) values (last_insert_rowid())
        changes 1, rowid 45, commit 16
        > select n from t where id = last_insert_rowid()
        [n]
        44
        1 rows
        > insert into t(n) select n || '!' from t where id > 41
        changes 4, rowid 49, commit 17
        > insert into t(n) select n from t where 0
        changes 0
        > insert into t(n) values ('ret') returning id
        [id INTEGER]
        50
        changes 1, rowid 50, commit 18
        > insert into t values (-9223372036854775808, 'least')
        changes 1, rowid -9223372036854775808, commit 19
        > insert into t values (9223372036854775807, 'most')
        changes 1, rowid 9223372036854775807, commit 20
        > insert into t(n) values ('r2')
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.n
        > select last_insert_rowid()
        [last_insert_rowid()]
        9223372036854775807
        1 rows
        > create temp table tmp(a)
        changes 0
        > insert into tmp values (1)
        changes 1, rowid 1
        > create view v as select * from t
        changes 0, commit 21
        > create trigger vi instead of insert on v begin insert into t(n) values (new.n); end
        changes 0, commit 22
        > insert into v(n) values ('by view')
        changes 2, commit 23
        > create virtual table f using fts5(body)
        changes 0, commit 24
        > insert into f(rowid, body) values (77, 'x')
        changes 1, rowid 77, commit 25
    "#]]);
}

#[test]
fn a_statement_that_fails_leaves_nothing_behind() {
    check(expect![[r#"
        > create table t(n integer primary key check (n < 5))
        changes 0, commit 1
        > insert into t values (1), (2), (5)
        CONSTRAINT/CHECK sqlite 275: CHECK constraint failed: n < 5
        > select count(*) from t
        [count(*)]
        0
        1 rows
        > insert or fail into t values (1), (2), (5)
        CONSTRAINT/CHECK sqlite 275: CHECK constraint failed: n < 5, commit 2
        > select count(*) from t
        [count(*)]
        2
        1 rows
        > insert into t values (3)
        changes 1, rowid 3, commit 3
        > begin
        ok, in transaction
        > insert into t values (4)
        changes 1, rowid 4
        > insert into t values (0), (4)
        CONSTRAINT/PRIMARY_KEY sqlite 1555: UNIQUE constraint failed: t.n
        > select group_concat(n) from t
        [group_concat(n)]
        '1,2,3,4'
        1 rows
        > commit
        ok, commit 4, out of transaction
    "#]]);
}

#[test]
fn long_runs_of_nothing_are_read_once() {
    let mut host = crate::host::Host::ready();
    let nothing = ";".repeat(500_000);
    assert_eq!(host.try_exec(&nothing).unwrap_err().reason, "SQL_EMPTY");
    assert_eq!(host.rows(&format!("{nothing}select 1{nothing}")), ["1"]);
    let error = host.try_exec(&format!("select 1{nothing}x")).unwrap_err();
    assert_eq!((error.reason.as_str(), error.sql_offset), ("SQL_MULTIPLE", Some(500_008)));
}
