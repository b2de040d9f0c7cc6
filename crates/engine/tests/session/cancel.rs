//! A `cancel` that the platform hears of while its target runs.

use std::sync::atomic::Ordering;

use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    BatchErrorMode, CancelOutcome, CancelRequest, Capability, CloseRequest, ExecBatchRequest,
    ExecRequest, FetchRequest, InitRequest, LixOptions, Plugin, PluginFormat, RowMode, batch_item,
    request, response,
};

use crate::host::{Host, Sent, TestPlatform, rows};

const ENDLESS: &str =
    "with n(i) as (values (1) union all select i + 1 from n) select count(*) from n";

/// A lix with a file, and a plugin that asks for what a file says.
fn ready() -> Host {
    let platform = TestPlatform::hearing();
    let options = SessionOptions { conformance: true, ..SessionOptions::native() };
    let mut host = Host::on(platform, options);
    let plugin =
        Plugin { key: "fx.sql".into(), format: PluginFormat::Builtin.into(), ..Default::default() };
    let init = InitRequest {
        lix: Some(LixOptions::default()),
        plugins: vec![plugin],
        ..Default::default()
    };
    match host.call(request::Call::Init(init)).outcome {
        Some(response::Outcome::Init(init)) => {
            assert!(init.capabilities.contains(&Capability::CancelRunning.into()));
        }
        other => panic!("{other:?}"),
    }
    host.exec("create table t (a)");
    host.exec("insert into key_value (key, value) values ('a', 1)");
    host
}

/// Runs the call while its cancel waits outside; the answer, and what the cancel is answered.
fn stopped(host: &mut Host, call: request::Call) -> (Vec<response::Outcome>, CancelOutcome) {
    let (id, sent) = host.send(call, vec![]);
    assert!(sent.is_empty());
    let cancelled = |host: &Host, id| {
        host.platform.cancelled.as_ref().unwrap().store(id, Ordering::Relaxed);
    };
    cancelled(host, id);
    let answers = host.run().into_iter().filter_map(|sent| match sent {
        Sent::Answer(answer) => answer.response.outcome,
        _ => None,
    });
    let answers = answers.collect();
    cancelled(host, 0);
    let outcome = cancel(host, id);
    // There is nothing left that a second one could have done.
    assert_eq!(cancel(host, id), CancelOutcome::TooLate);
    (answers, outcome)
}

fn cancel(host: &mut Host, target: u32) -> CancelOutcome {
    match host.call(request::Call::Cancel(CancelRequest { target })).outcome {
        Some(response::Outcome::Cancel(cancel)) => cancel.outcome(),
        other => panic!("{other:?}"),
    }
}

fn exec(sql: &str) -> ExecRequest {
    ExecRequest { sql: sql.into(), ..Default::default() }
}

fn reason(outcome: &response::Outcome) -> &str {
    match outcome {
        response::Outcome::Error(error) => &error.reason,
        _ => "ok",
    }
}

#[test]
fn what_is_cancelled_leaves_nothing() {
    let endless = "with n(i) as (values (1) union all select i + 1 from n)";
    for (sql, keeps_transaction) in [
        (ENDLESS.into(), true),
        (format!("{endless} insert into t select i from n"), false),
        (format!("insert into t select i from ({endless} select i from n) returning a"), false),
        (format!("insert into key_value (key, value) {endless} select 'k' || i, i from n"), false),
        (format!("update key_value set value = ({ENDLESS})"), false),
        (format!("select * from lix_create_version(({ENDLESS}))"), true),
        (
            format!("insert into file (path, data) values ('/a.sql', cast('{ENDLESS}' as blob))"),
            false,
        ),
    ] {
        for begins in [false, true] {
            let mut host = ready();
            if begins {
                host.exec("begin");
            }
            let (answers, outcome) = stopped(&mut host, request::Call::Exec(exec(&sql)));
            let [answer] = answers.as_slice() else { panic!("{sql}: {answers:?}") };
            assert_eq!(reason(answer), "CANCELLED", "{sql}: {answer:?}");
            assert_eq!(outcome, CancelOutcome::Interrupted, "{sql}");
            // As after a timeout, SQLite ends the transaction of an interrupted write.
            let is_open = host.try_exec("commit").is_ok();
            assert_eq!(is_open, begins && keeps_transaction, "{sql}");
            let left = "select (select count(*) from t), (select count(*) from file),
                (select group_concat(key || value) from key_value where key not like 'lix%')";
            assert_eq!(rows(&host.exec(left)), ["0 | 0 | 'a1'"], "{sql}");
            host.exec("insert into key_value (key, value) values ('b', 2)");
        }
    }
}

#[test]
fn what_is_too_short_to_be_stopped_is_done() {
    let mut host = ready();
    for sql in ["begin", "insert into t values (1)", "commit", "select a from t"] {
        let (answers, outcome) = stopped(&mut host, request::Call::Exec(exec(sql)));
        assert_eq!((reason(&answers[0]), outcome), ("ok", CancelOutcome::TooLate), "{sql}");
    }
    // A commit is never stopped, however much it does.
    host.exec("begin");
    host.exec("insert into key_value (key, value) with n(i) as (values (1) union all select i + 1 from n where i < 3000) select 'k' || i, i from n");
    let (answers, outcome) = stopped(&mut host, request::Call::Exec(exec("commit")));
    assert_eq!((reason(&answers[0]), outcome), ("ok", CancelOutcome::TooLate));
}

#[test]
fn what_is_called_cancelled_was_not_done() {
    let mut host = ready();
    // SQLite counts its steps across statements, so that in time it looks at every place of one.
    let mut done = 0;
    for _ in 0..1_000 {
        let insert = request::Call::Exec(exec("insert into t values (1)"));
        let (answers, _) = stopped(&mut host, insert);
        done += usize::from(reason(&answers[0]) == "ok");
    }
    assert_eq!(rows(&host.exec("select count(*) from t")), [done.to_string()]);
}

#[test]
fn a_batch_ends_between_two_statements() {
    let mut host = ready();
    let batch = ExecBatchRequest {
        statements: vec![exec("insert into t values (1)"), exec("insert into t values (2)")],
        on_error: BatchErrorMode::Continue.into(),
    };
    let (answers, outcome) = stopped(&mut host, request::Call::ExecBatch(batch));
    let [response::Outcome::ExecBatch(batch)] = answers.as_slice() else { panic!("{answers:?}") };
    let [_, last] = batch.items.as_slice() else { panic!("{batch:?}") };
    let Some(batch_item::Outcome::Error(error)) = &last.outcome else { panic!("{last:?}") };
    assert_eq!((error.reason.as_str(), error.batch_index), ("CANCELLED", Some(1)));
    assert_eq!(outcome, CancelOutcome::Interrupted);
    assert_eq!(rows(&host.exec("select a from t")), ["1"]);
}

#[test]
fn a_fetch_ends_its_cursor_and_no_other() {
    let mut host = ready();
    let mut open = |sql: &str| {
        let exec = ExecRequest { rows: RowMode::Cursor.into(), max_batch_rows: 1, ..exec(sql) };
        host.try_exec_request(exec).unwrap().cursor.unwrap()
    };
    let (one, other) = (open("values (1), (2), (3)"), open("values (1), (2)"));
    let searching =
        open("with n(i) as (values (1) union all select i + 1 from n) select i from n where i < 3");
    let fetch = |cursor, credit| request::Call::Fetch(FetchRequest { cursor, credit });
    for (cursor, credit, batches) in [(one, 9, 1), (searching, 9, 0)] {
        let (answers, outcome) = stopped(&mut host, fetch(cursor, credit));
        assert_eq!((answers.len(), outcome), (batches + 1, CancelOutcome::Interrupted));
        assert_eq!(reason(answers.last().unwrap()), "CANCELLED");
        let after = host.call(fetch(cursor, 1)).outcome.unwrap();
        assert_eq!(reason(&after), "CURSOR_INVALIDATED");
    }
    assert_eq!(reason(&host.call(fetch(other, 1)).outcome.unwrap()), "ok");
}

#[test]
fn behind_a_close_no_cancel_counts() {
    let mut host = ready();
    let long =
        "with n(i) as (values (1) union all select i + 1 from n where i < 20000) select i from n";
    let (id, _) = host.send(request::Call::Exec(exec(long)), vec![]);
    host.send(request::Call::Close(CloseRequest::default()), vec![]);
    host.platform.cancelled.as_ref().unwrap().store(id, Ordering::Relaxed);
    let answers = host.run().into_iter().filter_map(|sent| match sent {
        Sent::Answer(answer) => answer.response.outcome,
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert!(matches!(
        answers.as_slice(),
        [response::Outcome::Exec(_), response::Outcome::Close(_)]
    ));
}
