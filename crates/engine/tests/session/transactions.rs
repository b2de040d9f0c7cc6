//! Transactions: SQLite's word on whether one is open, and the count of commits.

use expect_test::expect;

use crate::script::check;

#[test]
fn begin_commit_rollback_in_any_spelling() {
    check(expect![[r#"
        > create table t(a unique)
        changes 0, commit 1
        > /* go */ BeGiN /* on */ deferred transaction
        ok, in transaction
        > insert into t values (1)
        changes 1, rowid 1
        > insert into t values (2)
        changes 1, rowid 2
        > END
        ok, commit 2, out of transaction
        > begin exclusive
        changes 0, in transaction
        > insert into t values (3)
        changes 1, rowid 3
        > rollback transaction
        ok, out of transaction
        > begin
        ok, in transaction
        > commit
        ok, out of transaction
        > begin
        ok, in transaction
        > select * from t
        [a]
        1
        2
        2 rows
        > commit
        ok, out of transaction
        > begin immediate
        changes 0, in transaction
        > commit
        ok, out of transaction
        > select count(*) from t
        [count(*)]
        2
        1 rows
    "#]]);
}

#[test]
fn savepoints_count_once_when_the_outermost_is_released() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > savepoint one
        ok, in transaction
        > insert into t values (1)
        changes 1, rowid 1
        > savepoint two
        ok
        > insert into t values (2)
        changes 1, rowid 2
        > release two
        ok
        > savepoint three
        ok
        > insert into t values (3)
        changes 1, rowid 3
        > rollback to three
        ok
        > release three
        ok
        > release one
        ok, commit 2, out of transaction
        > select group_concat(a) from t
        [group_concat(a)]
        '1,2'
        1 rows
        > savepoint empty
        ok, in transaction
        > release empty
        ok, out of transaction
        > savepoint undone
        ok, in transaction
        > insert into t values (4)
        changes 1, rowid 3
        > rollback to undone
        ok
        > release undone
        ok, commit 3, out of transaction
        > begin
        ok, in transaction
        > savepoint inner
        ok
        > insert into t values (5)
        changes 1, rowid 3
        > release inner
        ok
        > commit
        ok, commit 4, out of transaction
        > savepoint gone
        ok, in transaction
        > rollback
        ok, out of transaction
        > release gone
        TRANSACTION/NO_TRANSACTION sqlite 1: no such savepoint: gone
        > rollback to gone
        TRANSACTION/NO_TRANSACTION sqlite 1: no such savepoint: gone
    "#]]);
}

#[test]
fn commit_seq_counts_what_changed_the_file() {
    check(expect![[r#"
        > create table t(a unique)
        changes 0, commit 1
        > insert into t values (1)
        changes 1, rowid 1, commit 2
        > insert or ignore into t values (1)
        changes 0
        > update t set a = 2 where a = 99
        changes 0
        > delete from t where 0
        changes 0
        > create temp table tmp(a)
        changes 0
        > insert into tmp values (1)
        changes 1, rowid 1
        > begin
        ok, in transaction
        > insert into tmp values (2)
        changes 1, rowid 2
        > commit
        ok, out of transaction
        > drop table tmp
        changes 0
        > begin
        ok, in transaction
        > update t set a = 5
        changes 1
        > rollback
        ok, out of transaction
        > create table if not exists t(a)
        changes 0
        > pragma user_version = 3
        changes 0, commit 3
        > pragma user_version
        [user_version]
        3
        1 rows
        > attach ':memory:' as other
        ok
        > create table other.o(a)
        changes 0
        > insert into other.o values (1)
        changes 1, rowid 1
        > begin
        ok, in transaction
        > insert into other.o values (2)
        changes 1, rowid 2
        > insert into t values (10)
        changes 1, rowid 2
        > commit
        ok, commit 4, out of transaction
        > detach other
        ok
        > vacuum
        changes 0, commit 5
        > analyze
        changes 0, commit 6
        > drop table t
        changes 0, commit 7
    "#]]);
}

#[test]
fn failures_and_what_is_left_of_the_transaction() {
    check(expect![[r#"
        > pragma foreign_keys = on
        ok
        > create table p(id integer primary key)
        changes 0, commit 1
        > create table c(p references p deferrable initially deferred, n unique)
        changes 0, commit 2
        > begin
        ok, in transaction
        > insert into c values (7, 1)
        changes 1, rowid 1
        > commit
        CONSTRAINT/FOREIGN_KEY sqlite 787: FOREIGN KEY constraint failed
        > insert into p values (7)
        changes 1, rowid 7
        > commit
        ok, commit 3, out of transaction
        > begin
        ok, in transaction
        > insert into c values (7, 2)
        changes 1, rowid 2
        > insert into c values (7, 1)
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: c.n
        > insert into c values (7, 3)
        changes 1, rowid 3
        > commit
        ok, commit 4, out of transaction
        > begin
        ok, in transaction
        > insert into c values (7, 4)
        changes 1, rowid 4
        > insert or rollback into c values (7, 1)
        CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: c.n, out of transaction
        > commit
        TRANSACTION/NO_TRANSACTION sqlite 1: cannot commit - no transaction is active
        > select group_concat(n) from c
        [group_concat(n)]
        '1,2,3'
        1 rows
        > create trigger r before insert on c when new.n > 100 begin select raise(rollback, 'no more'); end
        changes 0, commit 5
        > begin
        ok, in transaction
        > insert into c values (7, 5)
        changes 1, rowid 4
        > insert into c values (7, 101)
        CONSTRAINT/TRIGGER sqlite 1811: no more, out of transaction
        > savepoint s
        ok, in transaction
        > insert into c values (8, 6)
        changes 1, rowid 4
        > release s
        CONSTRAINT/FOREIGN_KEY sqlite 787: FOREIGN KEY constraint failed
        > rollback
        ok, out of transaction
        > insert into c values (9, 8)
        CONSTRAINT/FOREIGN_KEY sqlite 787: FOREIGN KEY constraint failed
        > select group_concat(n) from c
        [group_concat(n)]
        '1,2,3'
        1 rows
    "#]]);
}

#[test]
fn the_wrong_moment() {
    check(expect![[r#"
        > commit
        TRANSACTION/NO_TRANSACTION sqlite 1: cannot commit - no transaction is active
        > rollback
        TRANSACTION/NO_TRANSACTION sqlite 1: cannot rollback - no transaction is active
        > release unknown
        TRANSACTION/NO_TRANSACTION sqlite 1: no such savepoint: unknown
        > begin
        ok, in transaction
        > begin
        TRANSACTION/IN_TRANSACTION sqlite 1: cannot start a transaction within a transaction
        > vacuum
        TRANSACTION/IN_TRANSACTION sqlite 1: cannot VACUUM from within a transaction
        > .export x
        TRANSACTION/IN_TRANSACTION
        > pragma synchronous = full
        TRANSACTION/IN_TRANSACTION sqlite 1: Safety level may not be changed inside a transaction
        > pragma temp_store = file
        ok
        > rollback to unknown
        TRANSACTION/NO_TRANSACTION sqlite 1: no such savepoint: unknown
        > commit
        ok, out of transaction
    "#]]);
}

#[test]
fn a_batch_is_a_sequence_and_no_transaction() {
    check(expect![[r#"
        > create table t(a unique)
        changes 0, commit 1
        > .batch insert into t values (1) ;; insert into t values (2) ;; select * from t
        - changes 1, rowid 1
        - changes 1, rowid 2
        - [a]
        1
        2
        2 rows
        3 items, commit 2, commit 3
        > .batch insert into t values (3) ;; insert into t values (3) ;; insert into t values (4)
        - changes 1, rowid 3
        - CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.a
        2 items, commit 4
        > .continue insert into t values (5) ;; nonsense ;; insert into t values (5) ;; insert into t values (6)
        - changes 1, rowid 4
        - INVALID/SQL_SYNTAX at 0 sqlite 1: near "nonsense": syntax error
        - CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.a
        - changes 1, rowid 5
        4 items, commit 5, commit 6
        > .batch begin ;; insert into t values (7)
        - ok
        - changes 1, rowid 6
        2 items, in transaction
        > .batch insert into t values (8) ;; commit
        - changes 1, rowid 7
        - ok
        2 items, commit 7, out of transaction
        > .batch
        0 items
        > .batch select 1; select 2 ;; select 3
        - INVALID/SQL_MULTIPLE at 10
        1 items
        > .batch   select x
        - INVALID/SQL_ERROR at 7 sqlite 1: no such column: x
        1 items
        > .continue begin ;; insert into t values (9) ;; insert or rollback into t values (9) ;; insert into t values (10)
        - ok
        - changes 1, rowid 8
        - CONSTRAINT/UNIQUE sqlite 2067: UNIQUE constraint failed: t.a
        - changes 1, rowid 8
        4 items, commit 8
        > select group_concat(a) from t
        [group_concat(a)]
        '1,2,3,5,6,7,8,10'
        1 rows
    "#]]);
}
