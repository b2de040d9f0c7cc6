//! From `init` to the end, frames that are not quite frames, and stopping what waits.

use bytes::Bytes;
use expect_test::expect;
use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    AdvanceClock, Capability, CommitDetail, ControlRequest, CrashNow, Event, EventOptions,
    ExecRequest, Frame, InitRequest, OpenMode, Plugin, PluginFormat, Request, Response, SetClock,
    StorageKind, StorageTarget, control_request, frame, init_request, request, response,
};
use lix_engine_protocol::{Limits, NATIVE_LIMITS};
use prost::Message as _;

use crate::host::{Host, Sent};
use crate::script::{check, check_raw, check_with};

#[test]
fn nothing_before_init_and_init_once() {
    check_raw(
        SessionOptions::native(),
        expect![[r#"
            > select 1
            LIFECYCLE/NOT_INITIALIZED
            > .fetch 1
            LIFECYCLE/NOT_INITIALIZED
            > .drop 1
            LIFECYCLE/NOT_INITIALIZED
            > .export x
            LIFECYCLE/NOT_INITIALIZED
            > .save
            LIFECYCLE/NOT_INITIALIZED
            > .batch select 1
            LIFECYCLE/NOT_INITIALIZED
            > .cancel 1
            7: LIFECYCLE/NOT_INITIALIZED
            > .init
            initialised
            > .init
            LIFECYCLE/ALREADY_INITIALIZED
            > select 1
            [1]
            1
            1 rows
            > .save
            UNIMPLEMENTED/CAPABILITY_MISSING PERSISTENCE
            > .cancel 1
            12: too late
            > .close
            session closed
            > select 1
            LIFECYCLE/CLOSED
            > .init
            LIFECYCLE/CLOSED
            > .close
            LIFECYCLE/CLOSED
            > .cancel 1
            17: LIFECYCLE/CLOSED
        "#]],
    );
}

#[test]
fn requests_that_wait_for_init_run_after_it() {
    check_raw(
        SessionOptions::native(),
        expect![[r#"
            > .later .init
            sent as 1
            > .later create table t(a)
            sent as 2
            > .later insert into t values (1)
            sent as 3
            > .later select * from t
            sent as 4
            > .run
            1: initialised
            2: changes 0, commit 1
            3: changes 1, rowid 1, commit 2
            4: [a]
            1
            1 rows
        "#]],
    );
}

#[test]
fn close_finishes_the_queue_and_rolls_back() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > begin
        ok, in transaction
        > .later insert into t values (1)
        sent as 4
        > .later .close
        sent as 5
        > .later select 1
        sent as 6
        6: LIFECYCLE/CLOSING
        > .cancel 4
        7: LIFECYCLE/CLOSING
        > .run
        4: changes 1, rowid 1
        5: session closed, out of transaction
        > select 1
        LIFECYCLE/CLOSED
    "#]]);
    check_raw(
        SessionOptions::native(),
        expect![[r#"
            > .close
            session closed
            > .init
            LIFECYCLE/CLOSED
        "#]],
    );
}

#[test]
fn a_broken_transport_answers_what_waits() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > begin
        ok, in transaction
        > .later select 1
        sent as 4
        > .later select 2
        sent as 5
        > .broken the peer went mad
        4: LIFECYCLE/FAILED, out of transaction
        5: LIFECYCLE/FAILED
        closed: PROTOCOL/FRAME_MALFORMED
        end
        > select 1
        LIFECYCLE/FAILED
        > .broken again
        > .close
        LIFECYCLE/FAILED
    "#]]);
}

#[test]
fn a_defect_ends_the_session() {
    let mut host = Host::ready();
    host.exec("create table t(a)");
    let (waiting, _) = host.send(request::Call::Export(Default::default()), vec![]);
    let sent = host.fail("boom");
    let [Sent::Answer(answer), Sent::Event(closed), Sent::End] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!((answer.id, reason(&answer.response)), (waiting, "FAILED"));
    assert!(format!("{closed:?}").contains("ENGINE_DEFECT"));
    assert!(host.is_over() && host.fail("twice").is_empty());
    assert_eq!(host.try_exec("select 1").unwrap_err().reason, "FAILED");
    assert_eq!(host.next_event_seq(), 3);
}

#[test]
fn what_waits_can_be_cancelled() {
    check(expect![[r#"
        > create table t(a)
        changes 0, commit 1
        > .later insert into t values (1)
        sent as 3
        > .later insert into t values (2)
        sent as 4
        > .cancel 4
        4: INTERRUPTED/CANCELLED retryable
        5: dequeued
        > .cancel 4
        6: too late
        > .cancel 3
        3: INTERRUPTED/CANCELLED retryable
        7: dequeued
        > .cancel 99
        8: too late
        > .cancel 0
        9: too late
        > .run
        > .cancel 2
        10: too late
        > select count(*) from t
        [count(*)]
        0
        1 rows
        > .later .close
        sent as 12
        > .cancel 12
        13: LIFECYCLE/CLOSING
        > .run
        12: session closed
        > select 1
        LIFECYCLE/CLOSED
    "#]]);
}

#[test]
fn too_many_waiting_are_refused_at_once() {
    check_with(
        Limits { max_inflight: 2, ..NATIVE_LIMITS },
        expect![[r#"
            > .later select 1
            sent as 2
            > .later select 2
            sent as 3
            > .later select 3
            sent as 4
            4: LIMIT/INFLIGHT max_inflight retryable
            > .cancel 3
            3: INTERRUPTED/CANCELLED retryable
            5: dequeued
            > .later select 4
            sent as 6
            > .later .close
            sent as 7
            7: LIMIT/INFLIGHT max_inflight retryable
            > .run
            2: [1]
            1
            1 rows
            6: [4]
            4
            1 rows
            > select 5
            [5]
            5
            1 rows
        "#]],
    );
}

#[test]
fn an_id_that_waits_is_taken() {
    let mut host = Host::ready();
    let exec = |sql: &str| {
        let exec = ExecRequest { sql: sql.into(), ..Default::default() };
        Request { scope: 0, call: Some(request::Call::Exec(exec)) }
    };
    assert!(host.send_request(50, exec("select 1"), vec![]).is_empty());
    let sent = host.send_request(50, exec("select 2"), vec![]);
    assert_eq!((sent.len(), reason(response(&sent[0]))), (1, "ID_REUSED"));
    assert_eq!(host.run().len(), 1);
    assert!(host.send_request(50, exec("select 3"), vec![]).is_empty());
    assert_eq!(host.run().len(), 1);
    // The largest id is an id like any other.
    assert!(host.send_request(u32::MAX, exec("select 3"), vec![]).is_empty());
    assert_eq!(host.run().len(), 1);
}

#[test]
fn frames_that_are_not_quite_frames() {
    // (what, bytes, the id and reason of the answer; nothing: the session ends)
    let frame = |id, body| Frame { id, body, ..Default::default() }.encode_to_vec();
    let request = |scope, call| Some(frame::Body::Request(Request { scope, call }));
    let close = || request::Call::Close(Default::default());
    let broken = |id| [frame(id, None), vec![0x1a, 0xff, 0x01]].concat();
    let unknown_call = [&[0x08, 9, 0x1a, 3], &[0xfa, 1, 0][..]].concat();
    let bad_text = [&[0x08, 9, 0x1a, 5, 0x1a, 3, 0x0a, 1, 0xff][..]].concat();
    for (what, bytes, expected) in [
        ("damage behind an id", broken(9), Some((9, "FRAME_MALFORMED"))),
        ("text that is not UTF-8", bad_text, Some((9, "FRAME_MALFORMED"))),
        (
            "a response",
            frame(9, Some(frame::Body::Response(Default::default()))),
            Some((9, "FRAME_MALFORMED")),
        ),
        (
            "an event with an id",
            frame(9, Some(frame::Body::Event(Event::default()))),
            Some((9, "FRAME_MALFORMED")),
        ),
        ("no body", frame(9, None), Some((9, "CALL_UNKNOWN"))),
        ("an unknown body", vec![0x08, 9, 0x7a, 0], Some((9, "CALL_UNKNOWN"))),
        ("no call", frame(9, request(0, None)), Some((9, "CALL_UNKNOWN"))),
        ("an unknown call", unknown_call, Some((9, "CALL_UNKNOWN"))),
        ("a scope", frame(9, request(1, Some(close()))), Some((9, "CAPABILITY_MISSING"))),
        ("a request with id 0", frame(0, request(0, Some(close()))), Some((0, "FRAME_MALFORMED"))),
        ("nothing", vec![], None),
        ("noise", vec![0xff; 20], None),
        ("damage and no id", broken(0), None),
        ("an event", frame(0, Some(frame::Body::Event(Event::default()))), None),
        ("a response without id", frame(0, Some(frame::Body::Response(Response::default()))), None),
    ] {
        let mut host = Host::ready();
        let sent = host.send_bytes(bytes, vec![]);
        match expected {
            Some((id, wanted)) => {
                let [Sent::Answer(answer)] = sent.as_slice() else { panic!("{what}: {sent:?}") };
                assert_eq!((answer.id, reason(&answer.response)), (id, wanted), "{what}");
                assert_eq!(host.rows("select 1"), ["1"], "{what}");
            }
            None => {
                assert!(matches!(sent.as_slice(), [Sent::Event(_), Sent::End]), "{what}: {sent:?}");
                assert_eq!(host.try_exec("select 1").unwrap_err().reason, "FAILED", "{what}");
            }
        }
    }
}

#[test]
fn unknown_fields_and_numbers_are_ignored() {
    let mut host = Host::ready();
    let exec = ExecRequest { sql: "select 1".into(), rows: 77, ..Default::default() };
    let call = request::Call::Exec(exec);
    let mut bytes = Frame {
        id: 70,
        body: Some(frame::Body::Request(Request { scope: 0, call: Some(call) })),
        ..Default::default()
    }
    .encode_to_vec();
    bytes.extend([0xf8, 0x07, 5]);
    host.send_bytes(bytes, vec![]);
    let sent = host.run();
    assert!(matches!(response(&sent[0]).outcome, Some(response::Outcome::Exec(_))), "{sent:?}");
}

#[test]
fn attachments_are_those_announced() {
    let limits = Limits { max_attachment_bytes: 4, max_frame_bytes: 200, ..NATIVE_LIMITS };
    let mut host = Host::ready_with(limits);
    let bytes = |len: usize| Bytes::from(vec![7; len]);
    let exec = ExecRequest { sql: "select 1".into(), ..Default::default() };
    let mut send = |sizes: Vec<u64>, attachments: Vec<Bytes>, exec: &ExecRequest| {
        let request = Request { scope: 0, call: Some(request::Call::Exec(exec.clone())) };
        let body = Some(frame::Body::Request(request));
        let frame = Frame { id: 70, attachment_sizes: sizes, body };
        let mut sent = host.send_bytes(frame.encode_to_vec(), attachments);
        sent.extend(host.run());
        match response(&sent[0]).outcome.as_ref() {
            Some(response::Outcome::Error(error)) => format!("{} {}", error.reason, error.subject),
            _ => "ok".into(),
        }
    };
    assert_eq!(send(vec![4], vec![bytes(4)], &exec), "ok");
    assert_eq!(send(vec![4], vec![], &exec), "ATTACHMENT_MISMATCH ");
    assert_eq!(send(vec![], vec![bytes(4)], &exec), "ATTACHMENT_MISMATCH ");
    assert_eq!(send(vec![3], vec![bytes(4)], &exec), "ATTACHMENT_MISMATCH ");
    assert_eq!(send(vec![5], vec![bytes(5)], &exec), "LIMIT_EXCEEDED max_attachment_bytes");
    let long = ExecRequest { sql: format!("select '{}'", "a".repeat(200)), ..Default::default() };
    assert_eq!(send(vec![], vec![], &long), "LIMIT_EXCEEDED max_frame_bytes");
}

#[test]
fn init_refuses_what_this_engine_does_not_have() {
    let storage = |kind: i32| Some(StorageTarget { kind, path: "x".into(), ..Default::default() });
    let plugin = |format: PluginFormat| {
        vec![Plugin { key: "k".into(), format: format.into(), ..Default::default() }]
    };
    let detail = |detail: CommitDetail| {
        Some(EventOptions { commit_detail: detail.into(), ..Default::default() })
    };
    let none = InitRequest::default;
    let seed = || Some(init_request::Seed::Image(Bytes::from_static(b"x")));
    for (init, wanted) in [
        (
            InitRequest { required: vec![Capability::Autosave.into()], ..none() },
            "CAPABILITY_MISSING AUTOSAVE",
        ),
        (InitRequest { required: vec![3, 999], ..none() }, "CAPABILITY_MISSING 999"),
        (
            InitRequest { storage: storage(StorageKind::Opfs.into()), ..none() },
            "STORAGE_UNSUPPORTED OPFS",
        ),
        (
            InitRequest { storage: storage(StorageKind::File.into()), ..none() },
            "STORAGE_UNSUPPORTED FILE",
        ),
        (InitRequest { storage: storage(42), ..none() }, "STORAGE_UNSUPPORTED 42"),
        (
            InitRequest { plugins: plugin(PluginFormat::Esm), ..none() },
            "CAPABILITY_MISSING PLUGINS_ESM",
        ),
        (
            InitRequest { plugins: plugin(PluginFormat::Wasm), ..none() },
            "CAPABILITY_MISSING PLUGINS_WASM",
        ),
        (
            InitRequest { plugins: plugin(PluginFormat::Builtin), ..none() },
            "CAPABILITY_MISSING PLUGINS_BUILTIN",
        ),
        (
            InitRequest { plugins: plugin(PluginFormat::Unspecified), ..none() },
            "OPTION_INVALID plugins[0].format",
        ),
        (InitRequest { events: detail(CommitDetail::Keys), ..none() }, "minor 0"),
        (InitRequest { events: detail(CommitDetail::Values), ..none() }, "minor 0"),
        (InitRequest { open_mode: OpenMode::Open.into(), ..none() }, "STORAGE_MISSING "),
        (
            InitRequest { open_mode: OpenMode::Open.into(), seed: seed(), ..none() },
            "OPTION_INVALID open_mode",
        ),
        (InitRequest { seed: seed(), ..none() }, "IMAGE_INVALID image"),
        (
            InitRequest { storage: storage(StorageKind::Memory.into()), minor: 9, ..none() },
            "minor 0",
        ),
        (InitRequest { required: vec![0, 3, 4], open_mode: 77, ..none() }, "minor 0"),
        (InitRequest { open_mode: OpenMode::Create.into(), ..none() }, "minor 0"),
        (InitRequest { open_mode: OpenMode::Replace.into(), ..none() }, "minor 0"),
    ] {
        let mut host = Host::new();
        let found = match host.call(request::Call::Init(init.clone())).outcome.unwrap() {
            response::Outcome::Error(error) => format!("{} {}", error.reason, error.subject),
            response::Outcome::Init(answer) => format!("minor {}", answer.minor),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, wanted, "{init:?}");
        if !found.starts_with("minor") {
            host.init(None).expect("a failed init can be tried again");
        }
    }
}

#[test]
fn control_needs_a_conformance_build() {
    use control_request::Op;
    let call = |host: &mut Host, op| match host
        .call(request::Call::Control(ControlRequest { op }))
        .outcome
        .unwrap()
    {
        response::Outcome::Error(error) => format!("{} {}", error.reason, error.subject),
        response::Outcome::Control(control) => control.clock_ms.to_string(),
        other => panic!("{other:?}"),
    };
    let advance = |ms| Some(Op::AdvanceClock(AdvanceClock { ms }));
    let set = |manual| Some(Op::SetClock(SetClock { manual }));
    let mut host = Host::ready();
    assert_eq!(call(&mut host, set(true)), "CAPABILITY_MISSING MANUAL_CLOCK");
    assert_eq!(call(&mut host, advance(1)), "CAPABILITY_MISSING MANUAL_CLOCK");
    assert_eq!(
        call(&mut host, Some(Op::CrashNow(CrashNow::default()))),
        "CAPABILITY_MISSING FAULTS"
    );

    let mut host = Host::with(SessionOptions { conformance: true, ..SessionOptions::native() });
    assert_eq!(call(&mut host, set(true)), "NOT_INITIALIZED ");
    host.init(None).unwrap();
    assert_eq!(call(&mut host, advance(1)), "OPTION_INVALID advance_clock");
    let start: u64 = call(&mut host, set(true)).parse().unwrap();
    assert_eq!(call(&mut host, advance(250)), (start + 250).to_string());
    assert_eq!(call(&mut host, advance(0)), (start + 250).to_string());
    assert_eq!(
        call(&mut host, Some(Op::InjectFault(Default::default()))),
        "OPTION_INVALID inject_fault.point"
    );
    assert_eq!(call(&mut host, None), "CALL_UNKNOWN ");
    call(&mut host, set(false));
    assert_eq!(call(&mut host, advance(1)), "OPTION_INVALID advance_clock");
}

#[test]
fn commits_are_told_only_to_those_who_ask() {
    let mut host = Host::new();
    host.call(request::Call::Init(InitRequest::default()));
    let exec = ExecRequest { sql: "create table t(a)".into(), ..Default::default() };
    let (_, mut sent) = host.send(request::Call::Exec(exec), vec![]);
    sent.extend(host.run());
    assert!(matches!(sent.as_slice(), [Sent::Answer(_)]), "{sent:?}");
}

fn response(sent: &Sent) -> &Response {
    match sent {
        Sent::Answer(answer) => &answer.response,
        other => panic!("{other:?}"),
    }
}

fn reason(response: &Response) -> &str {
    match response.outcome.as_ref() {
        Some(response::Outcome::Error(error)) => &error.reason,
        _ => "",
    }
}
