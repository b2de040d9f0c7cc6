//! Timeouts, on a clock that goes on each time somebody looks at it: the same on every machine.

use std::sync::atomic::Ordering;

use lix_engine_protocol::proto::{ExecBatchRequest, ExecRequest, batch_item, request, response};

use crate::host::Host;

const ENDLESS: &str =
    "with recursive n(i) as (values (1) union all select i + 1 from n) select count(*) from n";

fn timed(sql: &str, timeout_ms: u32) -> ExecRequest {
    ExecRequest { sql: sql.into(), timeout_ms, ..Default::default() }
}

fn ticking() -> Host {
    let host = Host::ready();
    host.platform.tick_ms.store(1, Ordering::Relaxed);
    host
}

#[test]
fn an_endless_statement_ends() {
    let mut host = ticking();
    let error = host.try_exec_request(timed(ENDLESS, 20)).unwrap_err();
    assert_eq!((error.reason.as_str(), error.sqlite_code), ("TIMEOUT", 9));
    assert!(error.retryable);
    // The next statement has its own time, or none.
    assert_eq!(host.rows("select 1"), ["1"]);
    host.try_exec_request(timed("select 1", 5)).unwrap();
    let finite = "with n(i) as (values (1) union all select i + 1 from n where i < 200000)
                  select count(*) from n";
    assert_eq!(host.rows(finite), ["200000"]);
    assert!(host.try_exec_request(timed(finite, 5)).is_err());
}

#[test]
fn a_read_that_times_out_leaves_the_transaction_open() {
    let mut host = ticking();
    host.exec("create table t(a)");
    host.exec("begin");
    host.exec("insert into t values (1)");
    assert_eq!(host.try_exec_request(timed(ENDLESS, 5)).unwrap_err().reason, "TIMEOUT");
    host.exec("commit");
    assert_eq!(host.rows("select a from t"), ["1"]);
}

#[test]
fn a_write_that_times_out_leaves_nothing_of_itself() {
    let mut host = ticking();
    host.exec("create table t(a)");
    let write = ENDLESS.replace("select count(*)", "insert into t select i");
    // with … insert
    let error = host.try_exec_request(timed(&write, 20)).unwrap_err();
    assert_eq!(error.reason, "TIMEOUT");
    assert_eq!(host.rows("select count(*) from t"), ["0"]);

    host.exec("begin");
    host.exec("insert into t values (1)");
    let response = host.call(request::Call::Exec(timed(&write, 20)));
    assert!(matches!(response.outcome, Some(response::Outcome::Error(_))));
    // SQLite rolls the whole transaction back, and the state says so.
    assert!(!response.state.unwrap().in_transaction);
    assert_eq!(host.rows("select count(*) from t"), ["0"]);
    assert_eq!(host.try_exec("commit").unwrap_err().reason, "NO_TRANSACTION");
}

#[test]
fn each_statement_of_a_batch_has_its_own_time() {
    let mut host = ticking();
    let statements = vec![timed("select 1", 5), timed(ENDLESS, 5), timed("select 2", 5)];
    let batch = ExecBatchRequest { statements, on_error: 2 };
    let Some(response::Outcome::ExecBatch(answer)) =
        host.call(request::Call::ExecBatch(batch)).outcome
    else {
        panic!("no batch")
    };
    let is_ok: Vec<bool> = answer
        .items
        .iter()
        .map(|item| matches!(item.outcome, Some(batch_item::Outcome::Ok(_))))
        .collect();
    assert_eq!(is_ok, [true, false, true]);
}

#[test]
fn a_cursor_is_not_timed_while_it_waits() {
    let mut host = ticking();
    let request = ExecRequest {
        rows: lix_engine_protocol::proto::RowMode::Cursor.into(),
        max_batch_rows: 1,
        ..timed("values (1), (2), (3)", 3)
    };
    let cursor = host.try_exec_request(request).unwrap().cursor.unwrap();
    host.platform.tick_ms.store(1_000_000, Ordering::Relaxed);
    let fetch = lix_engine_protocol::proto::FetchRequest { cursor, credit: 1 };
    let answer = host.call(request::Call::Fetch(fetch)).outcome;
    assert!(matches!(answer, Some(response::Outcome::Fetch(_))), "{answer:?}");
}
