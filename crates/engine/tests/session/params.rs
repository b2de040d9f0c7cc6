//! Parameters: each gets a value, each value finds one, or nothing runs.

use expect_test::expect;

use crate::script::{check, check_with};
use lix_engine_protocol::{Limits, NATIVE_LIMITS};

#[test]
fn by_position_and_by_name() {
    check(expect![[r#"
        > select ?, ?, ?2, ?1 <- 1, 2
        [? | ? | ?2 | ?1]
        1 | 2 | 2 | 1
        1 rows
        > select :a, @b, $c <- :a=1, @b=2, $c=3
        [:a | @b | $c]
        1 | 2 | 3
        1 rows
        > select :a, @b, $c <- c=3, b=2, a=1
        [:a | @b | $c]
        1 | 2 | 3
        1 rows
        > select :x, @x, $x <- x=1, @x=2, $x=3
        [:x | @x | $x]
        1 | 2 | 3
        1 rows
        > select :a, :a, :b <- 1, 2
        [:a | :a | :b]
        1 | 1 | 2
        1 rows
        > select :a, ?, :b <- 1, 2, b=3
        [:a | ? | :b]
        1 | 2 | 3
        1 rows
        > select ?1, :a <- a='named wins', 1
        [?1 | :a]
        1 | 'named wins'
        1 rows
        > select :a <- 1, a=2
        [:a]
        2
        1 rows
        > select ?3 <- 1, 2, 3
        [?3]
        3
        1 rows
        > select 1
        [1]
        1
        1 rows
    "#]]);
}

#[test]
fn what_is_missing_surplus_or_unbindable_is_named() {
    check(expect![[r#"
        > select ?
        INVALID/PARAM_MISSING 1
        > select ?, ?, :c <- 1, b=2
        INVALID/PARAM_UNKNOWN b
        > select :a, @b <- a=1
        INVALID/PARAM_MISSING @b
        > select ?3 <- 1
        INVALID/PARAM_MISSING 2
        > select ?2 <- 1
        INVALID/PARAM_MISSING ?2
        > select 1 <- 1
        INVALID/PARAM_UNKNOWN 1
        > select ? <- 1, 2, 3
        INVALID/PARAM_UNKNOWN 2
        > select :a <- b=1
        INVALID/PARAM_UNKNOWN b
        > select :a <- @a=1
        INVALID/PARAM_UNKNOWN @a
        > select ?1 <- ?1=1
        INVALID/PARAM_UNKNOWN ?1
        > select :a <- a=1, :a=2
        INVALID/PARAM_INVALID :a
        > select :a <- a=1, a=2
        INVALID/PARAM_INVALID a
        > select ? <- unset
        INVALID/PARAM_INVALID 1
        > select :a <- a=unset
        INVALID/PARAM_INVALID :a
        > select ?, ? <- 1, nan
        INVALID/PARAM_INVALID 2
        > select :a <- a=nan
        INVALID/PARAM_INVALID :a
        > select ? <- @0
        PROTOCOL/ATTACHMENT_MISMATCH blob_attachment
        > select ?, ? <- @x'00', @1
        PROTOCOL/ATTACHMENT_MISMATCH blob_attachment
        > create table t(a)
        changes 0, commit 1
        > insert into t values (?)
        INVALID/PARAM_MISSING 1
        > insert into t values (?) <- nan
        INVALID/PARAM_INVALID 1
        > select count(*) from t
        [count(*)]
        0
        1 rows
    "#]]);
}

#[test]
fn more_values_than_the_limit_are_refused() {
    check_with(
        Limits { max_params: 3, ..NATIVE_LIMITS },
        expect![[r#"
            > select ?, ?, ? <- 1, 2, 3
            [? | ? | ?]
            1 | 2 | 3
            1 rows
            > select ?, ?, ?, ? <- 1, 2, 3, 4
            LIMIT/LIMIT_EXCEEDED max_params
            > select ?, ?, ?, :a <- 1, 2, 3, a=4
            LIMIT/LIMIT_EXCEEDED max_params
        "#]],
    );
}

#[test]
fn sqlites_own_ceiling() {
    check(expect![[r#"
        > select ?32767
        INVALID/SQL_ERROR at 7 sqlite 1: variable number must be between ?1 and ?32766
        > select ?0
        INVALID/SQL_ERROR at 7 sqlite 1: variable number must be between ?1 and ?32766
    "#]]);
    let mut host = crate::host::Host::ready();
    let params = (0..32_766)
        .map(|n| lix_engine_protocol::proto::Value {
            kind: Some(lix_engine_protocol::proto::value::Kind::Integer(n)),
        })
        .collect();
    let places = vec!["?"; 32_766].join("+");
    let sql = format!("select max({})", places.replace('+', ","));
    let exec = lix_engine_protocol::proto::ExecRequest { sql, params, ..Default::default() };
    // So many arguments are too many for a function, but not for a statement.
    assert_eq!(host.try_exec_request(exec.clone()).unwrap_err().reason, "SQL_ERROR");
    let sql = format!("select count(*) from (values {})", vec!["(?)"; 32_766].join(","));
    let exec = lix_engine_protocol::proto::ExecRequest { sql, ..exec };
    assert_eq!(crate::host::rows(&host.try_exec_request(exec).unwrap()), ["32766"]);
}
