//! A bounded run of the fuzz targets on any machine. `LIX_FUZZ_SEED` and `LIX_FUZZ_ITERATIONS` go
//! elsewhere and further.

#![allow(dead_code, reason = "the host is shared; fuzzing uses a part of it")]
#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

#[path = "../session/host.rs"]
mod host;
#[path = "../session/random.rs"]
mod random;
mod sql;
mod targets;

use lix_engine_protocol::proto::{
    AdvanceClock, CancelRequest, CloseCursorRequest, ControlRequest, ExecBatchRequest, ExecRequest,
    FetchRequest, Frame, InitRequest, NamedValue, Null, Request, RowMode, SetClock, Value,
    control_request, frame, init_request, request, value,
};
use prost::Message as _;

use crate::random::{Random, setting};

#[test]
fn fuzz_sql() {
    run(400, sql::script, |script| targets::sql(script));
}

#[test]
fn fuzz_messages() {
    run(1_500, some_messages, |messages| targets::messages(messages));
}

/// Images that SQLite may open although they are damaged: whatever then happens is an answer.
#[test]
fn fuzz_image() {
    let mut host = host::Host::ready();
    for sql in [
        "create table t(id integer primary key, name text, data)",
        "create index by_name on t(name)",
        "create virtual table f using fts5(body)",
        "insert into f values ('some words'), ('and more words')",
        "with n(i) as (values (1) union all select i + 1 from n where i < 60)
         insert into t select i, 'name ' || i, randomblob(200) from n",
        "delete from t where id % 7 = 0",
    ] {
        host.exec(sql);
    }
    let whole = host.export().to_vec();
    let damaged = |random: &mut Random| {
        let mut image = whole.clone();
        for _ in 0..1 + random.below(4) {
            // The header and the starts of pages decide more than the rest.
            let at = match random.below(3) {
                0 => random.below(100),
                1 => random.below(image.len() / 8192) * 8192 + random.below(60),
                _ => random.below(image.len()),
            };
            image[at] = match random.below(3) {
                0 => image[at] ^ (1 << random.below(8)),
                1 => [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                _ => random.next() as u8,
            };
        }
        image
    };
    run(600, damaged, |image| {
        let Ok(mut host) = host::Host::seeded(image) else { return };
        host.platform.tick_ms.store(1, std::sync::atomic::Ordering::Relaxed);
        for sql in [
            "select * from sqlite_schema",
            "select count(*), max(name), total(length(data)) from t",
            "select name from t where name > 'name 3'",
            "select * from f('words')",
            "update t set name = name || '!' where id % 3 = 0",
            "insert into t(name, data) values ('x', zeroblob(9000))",
            "delete from t where id % 2",
            "insert into f values ('new')",
            "pragma integrity_check(5)",
            "create table more(a)",
            "vacuum",
        ] {
            let exec = ExecRequest { sql: sql.into(), timeout_ms: 200, ..Default::default() };
            let _ = host.try_exec_request(exec);
        }
        assert_eq!(host.rows("select 1"), ["1"]);
    });
}

fn run<T: std::panic::RefUnwindSafe>(
    iterations: u64,
    generate: impl Fn(&mut Random) -> T,
    target: impl Fn(&T) + std::panic::RefUnwindSafe,
) {
    let first = setting("LIX_FUZZ_SEED", 1);
    for seed in first..first + setting("LIX_FUZZ_ITERATIONS", iterations) {
        let input = generate(&mut Random::new(seed));
        if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
            eprintln!("LIX_FUZZ_SEED={seed} LIX_FUZZ_ITERATIONS=1 repeats this");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Calls in any order, some of them damaged on the way.
fn some_messages(random: &mut Random) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    if !random.one_in(8) {
        messages.push(frame(1, request::Call::Init(Default::default())).encode_to_vec());
    }
    for _ in 0..random.below(25) {
        let id = [1, 2, 3, 0, 500, u32::MAX][random.below(6)];
        let mut message = Frame {
            attachment_sizes: (0..random.below(8) / 6).map(|_| random.below(900) as u64).collect(),
            ..frame(id, call(random))
        }
        .encode_to_vec();
        for _ in 0..random.below(8) / 6 {
            let at = random.below(message.len());
            match random.below(5) {
                0 => message[at] ^= 1 << random.below(8),
                1 => message.truncate(at),
                2 => drop(message.remove(at)),
                3 => message.insert(at, random.next() as u8),
                _ => message.extend_from_within(at..),
            }
        }
        messages.push(message);
    }
    messages
}

fn frame(id: u32, call: request::Call) -> Frame {
    let body = Some(frame::Body::Request(Request { scope: 0, call: Some(call) }));
    Frame { id, body, ..Default::default() }
}

fn call(random: &mut Random) -> request::Call {
    let small = random.below(4) as u32;
    match random.below(16) {
        0 => request::Call::Init(InitRequest {
            seed: random.one_in(2).then(|| init_request::Seed::ImageAttachment(small)),
            required: vec![random.below(14) as i32],
            open_mode: random.below(6) as i32,
            ..Default::default()
        }),
        1..=7 => request::Call::Exec(exec(random)),
        8 => request::Call::ExecBatch(ExecBatchRequest {
            statements: (0..random.below(4)).map(|_| exec(random)).collect(),
            on_error: random.below(4) as i32,
        }),
        9..=10 => {
            request::Call::Fetch(FetchRequest { cursor: small, credit: random.below(5) as u32 })
        }
        11 => request::Call::CloseCursor(CloseCursorRequest { cursor: small }),
        12 => request::Call::Export(Default::default()),
        13 => request::Call::Cancel(CancelRequest { target: small }),
        14 => request::Call::Control(ControlRequest {
            op: match small {
                0 => None,
                1 => Some(control_request::Op::SetClock(SetClock { manual: random.one_in(2) })),
                2 => Some(control_request::Op::AdvanceClock(AdvanceClock { ms: u32::MAX })),
                _ => Some(control_request::Op::CrashNow(Default::default())),
            },
        }),
        _ if random.one_in(4) => request::Call::Close(Default::default()),
        _ => request::Call::Save(Default::default()),
    }
}

fn exec(random: &mut Random) -> ExecRequest {
    let sql = random.pick(&[
        "select ?, :a",
        "create table t(a unique)",
        "insert into t values (?) returning *",
        "values (1), (2), (?1), (4), (5)",
        "begin",
        "commit",
        "rollback",
        "select * from t",
        "drop table t",
        "nonsense",
        "pragma journal_mode = off",
    ]);
    let value = |random: &mut Random| Value {
        kind: match random.below(7) {
            0 => None,
            1 => Some(value::Kind::Null(Null {})),
            2 => Some(value::Kind::Integer(random.next() as i64)),
            3 => Some(value::Kind::Real(f64::from_bits(random.next()))),
            4 => Some(value::Kind::Text("é\0".into())),
            5 => Some(value::Kind::Blob(vec![0; random.below(5)].into())),
            _ => Some(value::Kind::BlobAttachment(random.below(2) as u32)),
        },
    };
    let name = random.pick(&["a", ":a", "b", "?1", "", "\0"]).to_owned();
    ExecRequest {
        sql: sql.into(),
        params: (0..random.below(3)).map(|_| value(random)).collect(),
        named: (0..random.below(2))
            .map(|_| NamedValue { name: name.clone(), value: Some(value(random)) })
            .collect(),
        rows: [0, 1, 2, RowMode::Cursor as i32, 9][random.below(5)],
        max_batch_rows: random.below(3) as u32,
        max_batch_bytes: [0, 1, 100, u32::MAX][random.below(4)],
        timeout_ms: random.below(3) as u32 * 10,
        param_rows: random.one_in(20).then(Default::default),
        report_reads: false,
    }
}
