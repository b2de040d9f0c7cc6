//! What must hold for any host at all. `fuzz/` runs the same functions under libFuzzer.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    ExecRequest, FetchRequest, Frame, RowMode, control_request, frame, request, response,
};
use lix_engine_protocol::{Limits, NATIVE_LIMITS};
use prost::Message as _;

use crate::host::{Host, Sent};

/// Small enough that nothing takes long, whatever somebody asks for.
const LIMITS: Limits = Limits {
    max_sql_bytes: 64 * 1024,
    max_open_cursors: 4,
    max_inflight: 4,
    max_batch_statements: 20,
    max_result_bytes: 256 * 1024,
    ..NATIVE_LIMITS
};

/// Statements, one a line: each is answered once, the state is SQLite's, the session stays usable,
/// and in the end the database is sound for somebody else too.
pub(crate) fn sql(script: &str) {
    let mut host = Host::with(SessionOptions {
        limits: LIMITS,
        storage: &[],
        plugins: &[],
        conformance: false,
    });
    host.init(None).unwrap();
    host.platform.tick_ms.store(1, Ordering::Relaxed);
    for sql in SCHEMA {
        host.exec(sql);
    }
    let mut cursors = Vec::new();
    for (line, sql) in script.lines().enumerate() {
        let rows = [RowMode::All, RowMode::Cursor, RowMode::All, RowMode::None][line % 4];
        let exec = ExecRequest {
            sql: sql.into(),
            rows: rows.into(),
            max_batch_rows: 1 + line as u32 % 3,
            // The clock goes on by one each time it is looked at.
            timeout_ms: 20,
            ..Default::default()
        };
        let answer = host.call(request::Call::Exec(exec));
        if let Some(response::Outcome::Exec(exec)) = &answer.outcome {
            cursors.extend(exec.cursor);
        }
        if let Some(response::Outcome::Error(error)) = &answer.outcome {
            assert_ne!(error.reason, "ENGINE_DEFECT", "{error:?}");
        }
        if line % 5 == 4
            && let Some(cursor) = cursors.pop()
        {
            let (_, mut sent) =
                host.send(request::Call::Fetch(FetchRequest { cursor, credit: 2 }), vec![]);
            sent.extend(host.run());
            assert!((1..=2).contains(&sent.len()));
        }
        // A look does not change what the session says of itself.
        let look = host.call(request::Call::Exec(ExecRequest {
            sql: "select 1".into(),
            ..Default::default()
        }));
        assert_eq!(look.state, answer.state);
        assert!(matches!(look.outcome, Some(response::Outcome::Exec(_))), "{look:?}");
    }
    if host.try_exec("rollback").is_ok() {
        assert_eq!(host.rows("select 1"), ["1"]);
    }
    let image = host.export();
    let mut again = Host::seeded(&image).expect("an export is a seed");
    // The script may have switched constraints off; the structure has to be whole all the same.
    again.exec("pragma ignore_check_constraints = on");
    assert_eq!(again.rows("pragma integrity_check"), ["'ok'"], "{script}");
}

const SCHEMA: [&str; 8] = [
    "create table t(a integer primary key, b unique, c text default 'c')",
    "create table u(a references t(a) on delete set null, b not null default 0, c, check (b < 50))",
    "create index u_b on u(b, c) where a is not null",
    "create view v as select t.a, t.b, u.c from t left join u on u.a = t.a",
    "create trigger tr after insert on t when new.b > 3 begin insert into u values (new.a, 1, 2); end",
    "create trigger tv instead of update on v begin update t set b = new.b where a = old.a; end",
    "create virtual table f using fts5(a, b, c)",
    "insert into t(b) values (1), ('two'), (x'03'), (null), (4.5)",
];

/// A session that is told to die does so without a word.
fn asks_to_die(body: Option<&frame::Body>) -> bool {
    let Some(frame::Body::Request(request)) = body else { return false };
    let Some(request::Call::Control(control)) = &request.call else { return false };
    matches!(control.op, Some(control_request::Op::CrashNow(_)))
}

/// Messages of any content: every request is answered exactly once, and the session either goes on
/// or says that it ended.
pub(crate) fn messages(messages: &[Vec<u8>]) {
    let mut host = Host::with(SessionOptions {
        limits: LIMITS,
        storage: &[],
        plugins: &[],
        conformance: true,
    });
    host.platform.tick_ms.store(1, Ordering::Relaxed);
    let mut has_ended = false;
    for bytes in messages {
        let frame = Frame::decode(bytes.as_slice()).ok();
        let attachments: Vec<Bytes> = frame
            .iter()
            .flat_map(|frame| &frame.attachment_sizes)
            .filter(|size| **size < 1_000)
            .map(|size| Bytes::from(vec![7; *size as usize]))
            .collect();
        let was_over = host.is_over();
        let mut sent = host.send_bytes(bytes.clone(), attachments);
        sent.extend(host.run());

        let mut answers: HashMap<u32, usize> = HashMap::new();
        for one in &sent {
            match one {
                Sent::Answer(answer) => *answers.entry(answer.id).or_default() += 1,
                Sent::End => has_ended = true,
                Sent::Event(_) => {}
            }
        }
        let ended_now = host.is_over() && !was_over;
        let Some(Frame { id, body, .. }) = frame else {
            assert!(answers.len() == 1 || ended_now || was_over, "{sent:?}");
            continue;
        };
        if asks_to_die(body.as_ref()) && sent.iter().all(|one| matches!(one, Sent::End)) {
            return;
        }
        let is_request = matches!(body, Some(frame::Body::Request(_)));
        if id == 0 && !is_request {
            assert!(ended_now || was_over, "{sent:?}");
            continue;
        }
        assert_eq!(answers.keys().copied().collect::<Vec<_>>(), [id], "{sent:?}");
        let is_fetch = matches!(
            body,
            Some(frame::Body::Request(request)) if matches!(request.call, Some(request::Call::Fetch(_)))
        );
        assert!(answers[&id] == 1 || is_fetch, "{sent:?}");
    }
    assert!(host.is_over() || !has_ended);
}
