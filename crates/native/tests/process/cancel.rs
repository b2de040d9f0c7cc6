//! Statements that would never end: who ends them, and what is left. Whether one runs is asked of
//! Linux.

use lix_engine_proto::{
    BatchErrorMode, CancelOutcome, Capability, ExecBatchRequest, ExecRequest, Frame, InitRequest,
    OpenMode, StorageKind, StorageTarget, batch_item, request, response,
};

use crate::engine::{
    ENDLESS, Engine, Message, PREAMBLE, cancel, exec, first_ints, framed, init, request, verdict,
};
use crate::websocket::Server;

const WRITES_FOR_EVER: &str =
    "insert into t with n(i) as (values (1) union all select i + 1 from n) select i from n";

/// A session on stdio, after its init.
fn ready() -> Engine {
    let mut engine = Engine::stdio();
    engine.preamble();
    engine.send(PREAMBLE);
    let answer = call(&mut engine, &init(1));
    let Some(response::Outcome::Init(init)) = &answer.response().outcome else {
        panic!("{answer:?}")
    };
    assert!(init.capabilities.contains(&Capability::CancelRunning.into()));
    engine
}

fn call(engine: &mut Engine, frame: &Frame) -> Message {
    engine.send(&framed(frame, &[]));
    engine.message()
}

fn outcome(frame: &Frame) -> CancelOutcome {
    match &frame.body {
        Some(lix_engine_proto::frame::Body::Response(response)) => match &response.outcome {
            Some(response::Outcome::Cancel(cancel)) => cancel.outcome(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Sends the frame and lets it run; then cancels it, and returns its answer.
fn stopped(engine: &mut Engine, frame: &Frame) -> Message {
    engine.send(&framed(frame, &[]));
    has_started(engine);
    engine.send(&framed(&cancel(frame.id + 1, frame.id), &[]));
    let answer = engine.message();
    let cancelled = engine.message();
    assert_eq!((answer.frame.id, cancelled.frame.id), (frame.id, frame.id + 1));
    assert_eq!(outcome(&cancelled.frame), CancelOutcome::Interrupted);
    answer
}

/// Until the engine has burnt processor time: it takes in what arrived before it runs anything, so
/// that what costs time is the statement.
fn has_started(engine: &Engine) {
    let before = engine.ticks();
    while engine.ticks() < before + 5 {
        std::thread::yield_now();
    }
}

#[test]
fn a_cancel_reaches_what_runs() {
    let mut engine = ready();
    assert_eq!(call(&mut engine, &exec(2, "create table t(a)")).verdict(), "ok");
    let answer = stopped(&mut engine, &exec(3, ENDLESS));
    assert_eq!(answer.verdict(), "CANCELLED");
    let answer = stopped(&mut engine, &exec(5, WRITES_FOR_EVER));
    assert_eq!(answer.verdict(), "CANCELLED");
    let state = answer.response().state.unwrap();
    assert!(!state.in_transaction && state.commit_seq == 1);

    // Its id may be used again, and nobody else is hit.
    let mut input = framed(&exec(5, "select count(*) from t"), &[]);
    input.extend(framed(&cancel(7, 5), &[]));
    input.extend(framed(&cancel(8, 3), &[]));
    input.extend(framed(&exec(3, crate::engine::LONG), &[]));
    engine.send(&input);
    let (rest, end) = engine.finish();
    let rest = Message::all(&rest);
    let long = rest.iter().find(|message| message.frame.id == 3).unwrap();
    assert_eq!((rest.len(), long.verdict()), (4, "ok".into()));
    assert!(end.status.success());
}

#[test]
fn a_cancel_ends_a_batch_and_leaves_cursors_alone() {
    let mut engine = ready();
    assert_eq!(call(&mut engine, &exec(2, "create table t(a)")).verdict(), "ok");
    let cursor = ExecRequest {
        sql: "values (1), (2), (3)".into(),
        rows: lix_engine_proto::RowMode::Cursor.into(),
        max_batch_rows: 1,
        ..Default::default()
    };
    let opened = call(&mut engine, &request(3, request::Call::Exec(cursor)));
    let cursor = crate::engine::exec_response(&opened.frame).cursor.unwrap();
    let statement = |sql: &str| ExecRequest { sql: sql.into(), ..Default::default() };
    let batch = ExecBatchRequest {
        statements: ["insert into t values (1)", ENDLESS, "insert into t values (2)"]
            .map(statement)
            .to_vec(),
        on_error: BatchErrorMode::Continue.into(),
    };
    let answer = stopped(&mut engine, &request(4, request::Call::ExecBatch(batch)));
    let Some(response::Outcome::ExecBatch(batch)) = &answer.response().outcome else {
        panic!("{answer:?}")
    };
    let [first, second] = batch.items.as_slice() else { panic!("{batch:?}") };
    assert!(matches!(first.outcome, Some(batch_item::Outcome::Ok(_))));
    let Some(batch_item::Outcome::Error(error)) = &second.outcome else { panic!("{second:?}") };
    assert_eq!((error.reason.as_str(), error.batch_index), ("CANCELLED", Some(1)));
    let fetch = lix_engine_proto::FetchRequest { cursor, credit: 2 };
    engine.send(&framed(&request(6, request::Call::Fetch(fetch)), &[]));
    assert_eq!([engine.message().verdict(), engine.message().verdict()], ["ok", "ok"]);
    let count = call(&mut engine, &exec(7, "select a from t"));
    assert_eq!(first_ints(&count.frame).as_ref(), [1]);
}

/// Nobody writes and nobody reads: the process ends, and what was committed is stored.
#[test]
fn an_endless_statement_does_not_outlive_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.lix").to_str().unwrap().to_owned();
    let open = |open_mode: OpenMode| {
        let storage = StorageTarget {
            kind: StorageKind::File.into(),
            path: path.clone(),
            ..Default::default()
        };
        let init = InitRequest {
            storage: Some(storage),
            open_mode: open_mode.into(),
            ..Default::default()
        };
        request(1, request::Call::Init(init))
    };
    let mut engine = Engine::stdio();
    engine.preamble();
    engine.send(PREAMBLE);
    assert_eq!(call(&mut engine, &open(OpenMode::OpenOrCreate)).verdict(), "ok");
    assert_eq!(call(&mut engine, &exec(2, "create table t as select 5 as a")).verdict(), "ok");
    engine.send(&framed(&exec(3, WRITES_FOR_EVER), &[]));
    engine.send(&framed(&exec(4, ENDLESS), &[]));
    has_started(&engine);
    drop((engine.input.take(), engine.output.take()));
    let end = engine.wait();
    assert_eq!(end.status.code(), Some(1));

    let mut engine = Engine::stdio();
    engine.preamble();
    engine.send(PREAMBLE);
    assert_eq!(call(&mut engine, &open(OpenMode::Open)).verdict(), "ok");
    assert_eq!(first_ints(&call(&mut engine, &exec(2, "select a from t")).frame).as_ref(), [5]);
}

#[test]
fn a_cancel_reaches_what_runs_over_a_websocket() {
    let server = Server::start();
    let mut client = server.ready();
    client.send(&exec(2, ENDLESS), &[]);
    has_started(&server.engine);
    client.send(&cancel(3, 2), &[]);
    assert_eq!(verdict(&client.receive().0), "CANCELLED");
    assert_eq!(outcome(&client.receive().0), CancelOutcome::Interrupted);
    assert_eq!(client.verdict(&exec(2, "select 1")), "ok");
}

/// A connection that is gone leaves no thread behind that runs for ever.
#[test]
fn an_endless_statement_does_not_outlive_its_connection() {
    let server = Server::start();
    let mut client = server.ready();
    let threads = server.engine.threads();
    client.send(&exec(2, ENDLESS), &[]);
    has_started(&server.engine);
    drop(client);
    while server.engine.threads() >= threads {
        std::thread::yield_now();
    }
    assert_eq!(server.ready().verdict(&exec(2, "select 1")), "ok");
}
