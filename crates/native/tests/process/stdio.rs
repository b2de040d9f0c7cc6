//! Frames on stdin and stdout.

use std::process::Command;

use lix_engine_proto::{Frame, InitRequest, init_request, request, response};

use crate::engine::{
    Engine, LONG, Message, PREAMBLE, cancel, close, exec, first_ints, framed, init, request,
};

#[test]
fn a_session_from_handshake_to_exit() {
    let mut engine = Engine::stdio();
    // The engine does not wait for the other side's preamble.
    engine.preamble();
    engine.send(PREAMBLE);
    engine.send(&framed(&init(1), &[]));
    let answer = engine.message();
    let Some(response::Outcome::Init(init)) = &answer.response().outcome else {
        panic!("{answer:?}")
    };
    assert_eq!((answer.frame.id, init.engine_name.as_str()), (1, "lix-engine"));
    engine.send(&framed(&exec(2, "select 7"), &[]));
    assert_eq!(first_ints(&engine.message().frame).as_ref(), [7]);
    engine.send(&framed(&close(3), &[]));
    assert_eq!(engine.message().verdict(), "ok");
    // Closed is not gone.
    engine.send(&framed(&exec(4, "select 7"), &[]));
    assert_eq!(engine.message().verdict(), "CLOSED");
    let (rest, end) = engine.finish();
    assert_eq!((rest.len(), end.stderr.as_str()), (0, ""));
    assert!(end.status.success());
}

#[test]
fn stdout_is_frames_and_nothing_else() {
    let mut engine = Engine::stdio();
    let mut input = PREAMBLE.to_vec();
    input.extend(framed(&init(1), &[]));
    for (id, sql) in (2..).zip([
        "select 1",
        "nonsense",
        "select printf('%s', 'out')",
        "create table t(a)",
        "insert into t values (zeroblob(100000)) returning a",
        "pragma integrity_check",
        "attach '/etc/passwd' as x",
    ]) {
        input.extend(framed(&exec(id, sql), &[]));
    }
    input.extend(framed(&request(50, request::Call::Export(Default::default())), &[]));
    engine.send(&input);
    let (output, end) = engine.finish();
    assert_eq!(&output[..8], PREAMBLE);
    let messages = Message::all(&output[8..]);
    let ids: Vec<u32> = messages.iter().map(|message| message.frame.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8, 50]);
    assert_eq!(&messages.last().unwrap().attachments[0][..16], b"SQLite format 3\0");
    assert!(end.status.success());
}

#[test]
fn what_is_not_the_protocol_is_quoted() {
    for (sent, quoted) in [
        (&b"Starting up, please wait\n"[..], "Starting"),
        (b"{\"jsonrpc\": \"2.0\"}", "{\\\"jsonrp"),
        (b"LIXE\r\n\x02\x00", "major version 2"),
        (b"LIXE\n\x01\x00\x00", "LIXE\\n"),
        (b"LIX", "LIX"),
    ] {
        let mut engine = Engine::stdio();
        engine.send(sent);
        let (output, end) = engine.finish();
        let messages = Message::all(&output[8..]);
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(message.verdict(), "closed FRAME_MALFORMED");
        let text = format!("{message:?}");
        assert!(
            text.contains(&quoted.escape_debug().to_string()) || text.contains(quoted),
            "{text}"
        );
        assert_eq!(end.status.code(), Some(1));
        assert!(end.stderr.contains("lix-engine: "), "{}", end.stderr);
    }
}

#[test]
fn nothing_at_all_is_no_fault() {
    let (output, end) = Engine::stdio().finish();
    assert_eq!(output, PREAMBLE);
    assert!(end.status.success() && end.stderr.is_empty());
}

#[test]
fn the_end_of_the_input_lets_what_arrived_finish() {
    let mut engine = Engine::stdio();
    let mut input = PREAMBLE.to_vec();
    input.extend(framed(&init(1), &[]));
    input.extend(framed(&exec(2, LONG), &[]));
    input.extend(framed(&exec(3, "begin"), &[]));
    input.extend(framed(&exec(4, "create table t(a)"), &[]));
    engine.send(&input);
    let (output, end) = engine.finish();
    let verdicts: Vec<_> = Message::all(&output[8..]).iter().map(Message::verdict).collect();
    assert_eq!(verdicts, ["ok", "ok", "ok", "ok"]);
    assert!(end.status.success() && end.stderr.is_empty());
}

#[test]
fn an_end_inside_a_message_is_an_error_after_the_answers() {
    let with_attachment = Frame { attachment_sizes: vec![100], ..exec(3, "select 3") };
    let whole = framed(&with_attachment, &[&[7; 100]]);
    for cut in [1, 3, 4, 5, whole.len() - 101, whole.len() - 100, whole.len() - 1] {
        let mut engine = Engine::stdio();
        let mut input = PREAMBLE.to_vec();
        input.extend(framed(&init(1), &[]));
        input.extend(framed(&exec(2, "select 2"), &[]));
        input.extend(&whole[..cut]);
        engine.send(&input);
        let (output, end) = engine.finish();
        let verdicts: Vec<_> = Message::all(&output[8..]).iter().map(Message::verdict).collect();
        assert_eq!(verdicts, ["ok", "ok", "closed FRAME_MALFORMED"], "cut after {cut}");
        assert_eq!(end.status.code(), Some(1), "cut after {cut}");
    }
}

#[test]
fn a_frame_that_cannot_be_read_ends_the_stream() {
    let mut engine = Engine::stdio();
    engine.send(PREAMBLE);
    engine.send(&framed(&init(1), &[]));
    engine.preamble();
    assert_eq!(engine.message().verdict(), "ok");
    engine.send(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(engine.message().verdict(), "closed FRAME_MALFORMED");
    // Its side ends although ours is open.
    assert_eq!(engine.rest(), b"");
    assert_eq!(engine.wait().status.code(), Some(1));
}

/// A promise of bytes is not bytes: with far less memory than promised the engine still answers.
#[cfg(target_os = "linux")]
#[test]
fn promised_lengths_take_no_memory() {
    let start = || {
        let program = env!("CARGO_BIN_EXE_lix-engine");
        let script = format!("ulimit -v 1500000; exec '{program}' serve --stdio");
        Engine::spawn(Command::new("sh").args(["-c", &script]))
    };
    let mut engine = start();
    let mut input = PREAMBLE.to_vec();
    input.extend(u32::MAX.to_le_bytes());
    engine.send(&input);
    engine.preamble();
    let message = engine.message();
    assert_eq!(message.verdict(), "closed LIMIT_EXCEEDED");
    assert!(format!("{message:?}").contains("max_frame_bytes"));
    assert_eq!(engine.rest(), b"");

    // An attachment within the limit, of which only a little comes.
    let mut engine = start();
    let frame = Frame { attachment_sizes: vec![7 << 30], ..exec(1, "select 1") };
    let mut input = PREAMBLE.to_vec();
    input.extend(framed(&frame, &[&[7; 1000]]));
    engine.send(&input);
    let (output, _) = engine.finish();
    let verdicts: Vec<_> = Message::all(&output[8..]).iter().map(Message::verdict).collect();
    assert_eq!(verdicts, ["closed FRAME_MALFORMED"]);
}

#[test]
fn cancel_reaches_what_waits_behind_a_long_statement() {
    let mut engine = Engine::stdio();
    let mut input = PREAMBLE.to_vec();
    for frame in [
        init(1),
        exec(2, "create table t(a)"),
        exec(3, LONG),
        exec(4, "insert into t values (1)"),
        exec(5, "insert into t values (2)"),
        cancel(6, 4),
        exec(7, "select a from t"),
    ] {
        input.extend(framed(&frame, &[]));
    }
    engine.send(&input);
    let (output, _) = engine.finish();
    let messages = Message::all(&output[8..]);
    let find = |id| messages.iter().find(|message| message.frame.id == id).unwrap();
    assert_eq!(messages.len(), 7);
    assert_eq!(find(4).verdict(), "CANCELLED");
    assert!(format!("{:?}", find(6)).contains("Dequeued"));
    assert_eq!(first_ints(&find(7).frame).as_ref(), [2]);
}

#[test]
fn more_than_may_wait_are_refused_and_all_are_answered() {
    let mut engine = Engine::stdio();
    let mut input = PREAMBLE.to_vec();
    input.extend(framed(&init(1), &[]));
    input.extend(framed(&exec(2, LONG), &[]));
    for id in 3..1_103 {
        input.extend(framed(&exec(id, "select 1"), &[]));
    }
    engine.send(&input);
    let (output, end) = engine.finish();
    let messages = Message::all(&output[8..]);
    let mut ids: Vec<u32> = messages.iter().map(|message| message.frame.id).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..1_103), "each is answered once");

    let refused: Vec<u32> = messages
        .iter()
        .filter(|message| message.verdict() == "INFLIGHT")
        .map(|message| message.frame.id)
        .collect();
    // 1,024 wait; whether the long one is among them is a matter of time.
    assert!((76..=78).contains(&refused.len()), "{} refused", refused.len());
    assert!(refused.iter().copied().eq(1_103 - refused.len() as u32..1_103), "the last ones");
    let ran: Vec<u32> = messages
        .iter()
        .filter(|message| message.verdict() == "ok")
        .map(|message| message.frame.id)
        .collect();
    assert!(ran.is_sorted() && ran.len() + refused.len() == 1_102);
    assert!(end.status.success());
}

#[test]
fn attachments_travel_both_ways() {
    let mut engine = Engine::stdio();
    engine.preamble();
    engine.send(PREAMBLE);
    engine.send(&framed(&init(1), &[]));
    engine.send(&framed(&exec(2, "create table t as select 5 as a"), &[]));
    engine.send(&framed(&request(3, request::Call::Export(Default::default())), &[]));
    let messages = [engine.message(), engine.message(), engine.message()];
    let image = &messages[2].attachments[0];

    let mut second = Engine::stdio();
    second.preamble();
    second.send(PREAMBLE);
    let seed = Some(init_request::Seed::ImageAttachment(0));
    let init = request(1, request::Call::Init(InitRequest { seed, ..Default::default() }));
    let init = Frame { attachment_sizes: vec![image.len() as u64], ..init };
    second.send(&framed(&init, &[image]));
    second.send(&framed(&exec(2, "select a from t"), &[]));
    assert_eq!(second.message().verdict(), "ok");
    assert_eq!(first_ints(&second.message().frame).as_ref(), [5]);
}

#[test]
fn a_host_that_is_gone_takes_the_engine_with_it() {
    // Nobody reads any more, and nobody will write either.
    let mut engine = Engine::stdio();
    engine.send(PREAMBLE);
    engine.send(&framed(&init(1), &[]));
    drop(engine.output.take());
    let rows =
        "with n(i) as (values (1) union all select i + 1 from n where i < 100000) select i from n";
    engine.send(&framed(&exec(2, rows), &[]));
    // The input stays open: it is the broken output that ends the process.
    let input = engine.input.take();
    let end = engine.wait();
    assert_eq!(end.status.code(), Some(1));
    drop(input);
}
