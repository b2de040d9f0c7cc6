//! Statements that are kept compiled must not remember what is no longer true.

use expect_test::expect;

use crate::host::Host;
use crate::script::check;

#[test]
fn kept_statements_follow_the_schema() {
    check(expect![[r#"
        > create table t(a text)
        changes 0, commit 1
        > insert into t values ('1')
        changes 1, rowid 1, commit 2
        > select * from t
        [a TEXT]
        '1'
        1 rows
        > alter table t add column b integer default 7
        changes 0, commit 3
        > select * from t
        [a TEXT | b INTEGER]
        '1' | 7
        1 rows
        > alter table t rename column a to c
        changes 0, commit 4
        > select * from t
        [c TEXT | b INTEGER]
        '1' | 7
        1 rows
        > begin
        ok, in transaction
        > drop table t
        changes 0
        > create table t(x)
        changes 0
        > select * from t
        [x]
        0 rows
        > rollback
        ok, out of transaction
        > select * from t
        [c TEXT | b INTEGER]
        '1' | 7
        1 rows
        > drop table t
        changes 0, commit 5
        > select * from t
        INVALID/SQL_ERROR sqlite 1: no such table: t
    "#]]);
}

#[test]
fn what_an_insert_reports_follows_the_schema() {
    check(expect![[r#"
        > create table t(id integer primary key, n)
        changes 0, commit 1
        > create table log(id)
        changes 0, commit 2
        > insert into t(n) values (5)
        changes 1, rowid 1, commit 3
        > insert into t(n) values (5)
        changes 1, rowid 2, commit 4
        > create trigger tl after insert on t begin insert into log values (last_insert_rowid()); end
        changes 0, commit 5
        > insert into t(n) values (5)
        changes 1, rowid 3, commit 6
        > select * from log
        [id]
        3
        1 rows
        > begin
        ok, in transaction
        > drop trigger tl
        changes 0
        > insert into t(n) values (5)
        changes 1, rowid 4
        > rollback
        ok, out of transaction
        > insert into t(n) values (5)
        changes 1, rowid 4, commit 7
        > select * from log
        [id]
        3
        4
        2 rows
        > drop table t
        changes 0, commit 8
        > create view t as select 1 as n
        changes 0, commit 9
        > insert into t(n) values (5)
        INVALID/SQL_ERROR sqlite 1: cannot modify t because it is a view
        > create trigger tv instead of insert on t begin insert into log values (new.n), (new.n); end
        changes 0, commit 10
        > insert into t(n) values (5)
        changes 2, commit 11
        > drop view t
        changes 0, commit 12
        > create table t(n text primary key) without rowid
        changes 0, commit 13
        > insert into t(n) values (5)
        changes 1, commit 14
    "#]]);
}

#[test]
fn an_upsert_that_only_updates_reports_no_rowid_even_if_a_trigger_reads_it() {
    check(expect![[r#"
        > create table t(id integer primary key, n unique, times default 1)
        changes 0, commit 1
        > create table log(id)
        changes 0, commit 2
        > create trigger tu after update on t begin insert into log values (last_insert_rowid()); end
        changes 0, commit 3
        > insert into t(n) values ('a') on conflict do update set times = times + 1
        changes 1, rowid 1, commit 4
        > insert into t(n) values ('a') on conflict do update set times = times + 1
        changes 1, commit 5
        > insert into T(n) values ('b'), ('a') on conflict do update set times = times + 1
        changes 2, rowid 2, commit 6
        > select * from t
        [id INTEGER | n | times]
        1 | 'a' | 3
        2 | 'b' | 1
        2 rows
        > select * from log
        [id]
        1
        2
        2 rows
    "#]]);
}

#[test]
fn a_definition_that_ran_is_not_the_same_statement_again() {
    check(expect![[r#"
        > create table if not exists t(a)
        changes 0, commit 1
        > create table if not exists t(a)
        changes 0
        > drop table if exists t
        changes 0, commit 2
        > drop table if exists t
        changes 0
        > create table if not exists t(a)
        changes 0, commit 3
        > attach ':memory:' as other
        ok
        > create table other.u(a)
        changes 0
        > insert into u values (1)
        changes 1, rowid 1
        > detach other
        ok
        > insert into u values (1)
        INVALID/SQL_ERROR sqlite 1: no such table: u
        > create view u as select 1 as a
        changes 0, commit 4
        > create trigger tu instead of insert on u begin insert into t values (1), (2); end
        changes 0, commit 5
        > insert into u values (1)
        changes 2, commit 6
    "#]]);
}

#[test]
fn the_same_text_runs_many_times_and_inside_its_own_cursor() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > insert into t values (?1) <- 1
        changes 1, rowid 1, commit 2
        > insert into t values (?1) <- 'two'
        changes 1, rowid 2, commit 3
        > insert into t values (?1) <- x'03'
        changes 1, rowid 3, commit 4
        > .cursor 1 select a from t
        [a]
        1
        cursor 1
        > .cursor 2 select a from t
        [a]
        1
        'two'
        cursor 2
        > select a from t
        [a]
        1
        'two'
        x'03'
        3 rows
        > .fetch 1 9
        'two'
        more
        x'03'
        done
        > .fetch 2
        x'03'
        done
        > select a from t
        [a]
        1
        'two'
        x'03'
        3 rows
        > .cursor 1 select ?1, a from t <- 'kept while rows remain'
        [?1 | a]
        'kept while rows remain' | 1
        cursor 3
        > .cursor 1 select ?1, a from t <- 'another'
        [?1 | a]
        'another' | 1
        cursor 4
        > .fetch 3 9
        'kept while rows remain' | 'two'
        more
        'kept while rows remain' | x'03'
        done
        > .fetch 4 9
        'another' | 'two'
        more
        'another' | x'03'
        done
        > select ?1, a from t limit 1
        INVALID/PARAM_MISSING ?1
    "#]]);
}

#[test]
fn more_statements_than_are_kept() {
    let mut host = Host::ready();
    host.exec("create table t(a)");
    for round in 0..3 {
        for n in 0..300 {
            assert_eq!(host.rows(&format!("select {n}")), [n.to_string()], "round {round}");
        }
    }
    let long = format!("select 1 /* {} */", "x".repeat(500_000));
    for _ in 0..5 {
        assert_eq!(host.rows(&long), ["1"]);
    }
}
