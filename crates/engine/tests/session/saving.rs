//! Saves, through the public surface: when they happen, who waits for them, what they leave behind.
//! Time is the test's; the disk is memory that can refuse.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::{Expect, expect};
use lix_engine_core::{Effect, Event, Message, Session, SessionOptions, StorageFile};
use lix_engine_protocol::proto::{
    AutosavePolicy, CloseRequest, Durability, EventKind, EventOptions, ExecBatchRequest,
    ExecRequest, FetchRequest, Frame, InitRequest, OpenMode, Request, ResumeRequest, RowMode,
    StorageKind, StorageTarget, event, frame, init_request, request, response,
};
use lix_engine_protocol::{Error, Reason, Result};
use prost::Message as _;

use crate::host::{TestPlatform, batch_rows, rows};

#[test]
fn a_quiet_time_after_the_last_commit_everything_is_saved() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.wait(299);
    life.exec("insert into t values (1)");
    life.wait(299);
    life.exec("select a from t");
    life.wait(1);
    life.wait(10_000);
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        299 ms: nothing
        insert into t values (1): ok [2/0]
        299 ms: nothing
        select a from t: ok [1] [2/0]
        1 ms: started 2, saved 2
        10000 ms: nothing
    "#]]);
}

#[test]
fn steady_writers_are_saved_after_the_longest_delay() {
    let mut life = Life::open(InitRequest {
        autosave: Some(AutosavePolicy { debounce_ms: 100, max_delay_ms: 250, disabled: false }),
        ..Default::default()
    });
    life.exec("create table t(a)");
    for _ in 0..3 {
        life.wait(90);
        life.exec("insert into t values (1)");
    }
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        90 ms: nothing
        insert into t values (1): ok [2/0]
        90 ms: nothing
        insert into t values (1): ok [3/0]
        90 ms: started 3, saved 3
        insert into t values (1): scheduled 4, ok [4/3]
    "#]]);
}

#[test]
fn an_open_transaction_puts_a_save_off() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.exec("begin");
    life.exec("insert into t values (1)");
    life.wait(10_000);
    life.exec("savepoint s");
    life.exec("release s");
    life.wait(10_000);
    life.exec("rollback");
    life.wait(0);
    life.exec("savepoint s");
    life.exec("insert into t values (2)");
    life.exec("release s");
    life.wait(300);
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        begin: ok [1/0]
        insert into t values (1): ok [1/0]
        10000 ms: nothing
        savepoint s: ok [1/0]
        release s: ok [1/0]
        10000 ms: nothing
        rollback: ok [1/0], started 1, saved 1
        0 ms: nothing
        savepoint s: ok [1/1]
        insert into t values (2): ok [1/1]
        release s: scheduled 2, ok [2/1]
        300 ms: started 2, saved 2
    "#]]);
}

#[test]
fn a_save_that_fails_is_tried_again() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.disk.refuse(Reason::StorageQuota, 2);
    life.wait(300);
    life.wait(299);
    life.wait(1);
    life.wait(599);
    life.wait(1);
    life.exec("insert into t values (1)");
    life.disk.refuse(Reason::StorageFailed, 1);
    life.call("save", request::Call::Save(Default::default()));
    life.call("save", request::Call::Save(Default::default()));
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        300 ms: started 1, failed 1 STORAGE_QUOTA
        299 ms: nothing
        1 ms: started 1, failed 1 STORAGE_QUOTA
        599 ms: nothing
        1 ms: started 1, saved 1
        insert into t values (1): scheduled 2, ok [2/1]
        save: started 2, failed 2 STORAGE_FAILED, STORAGE_FAILED [2/1]
        save: started 2, saved 2, saved 2 [2/2]
    "#]]);
}

#[test]
fn strict_answers_come_after_the_save() {
    let mut life = Life::open(strict());
    life.exec("create table t(a)");
    life.exec("select count(*) from t");
    life.exec("begin");
    life.exec("insert into t values (1)");
    life.exec("commit");
    life.disk.refuse(Reason::StorageQuota, 1);
    life.exec("insert into t values (2)");
    life.exec("select count(*) from t");
    life.exec("insert into t values (3)");
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, started 1, saved 1, ok [1/1]
        select count(*) from t: ok [0] [1/1]
        begin: ok [1/1]
        insert into t values (1): ok [1/1]
        commit: scheduled 2, started 2, saved 2, ok [2/2]
        insert into t values (2): scheduled 3, started 3, failed 3 STORAGE_QUOTA, STORAGE_QUOTA [3/2]
        select count(*) from t: ok [2] [3/2]
        insert into t values (3): started 4, saved 4, ok [4/4]
    "#]]);
}

#[test]
fn strict_requests_sent_without_waiting_share_a_save() {
    let mut life = Life::open(strict());
    life.exec("create table t(a)");
    for sql in ["insert into t values (1)", "select 1", "insert into t values (2)", "begin"] {
        life.send(exec(sql));
    }
    life.run("four at once");
    life.exec("insert into t values (3)");
    life.exec("rollback");
    life.send(exec("insert into t values (4)"));
    life.send(request::Call::Close(CloseRequest::default()));
    life.run("two at once");
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, started 1, saved 1, ok [1/1]
        four at once: scheduled 2, started 3, saved 3, ok [2/2], ok [1] [2/2], ok [3/3], ok [3/3]
        insert into t values (3): ok [3/3]
        rollback: ok [3/3]
        two at once: scheduled 4, started 4, saved 4, ok [4/4], closed [4/4]
    "#]]);
    let mut life = life.reopen(InitRequest::default());
    life.exec("select group_concat(a) from t");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select group_concat(a) from t: ok ['1,2,4'] [0/0]
    "#]]);
}

#[test]
fn batches_of_a_cursor_do_not_overtake_an_answer_that_waits() {
    let mut life = Life::open(strict());
    life.exec("create table t(a)");
    life.exec("insert into t values (1), (2)");
    let sql = "select a from t".into();
    let mut cursor = ExecRequest { sql, max_batch_rows: 1, ..Default::default() };
    cursor.set_rows(RowMode::Cursor);
    life.call("cursor", request::Call::Exec(cursor));
    life.send(exec("insert into t values (3)"));
    life.send(request::Call::Fetch(FetchRequest { cursor: 1, credit: 1 }));
    life.send(request::Call::Fetch(FetchRequest { cursor: 99, credit: 1 }));
    life.log.clear();
    life.run("three at once");
    life.shows(expect![[r#"
        three at once: scheduled 3, started 3, saved 3, ok [3/3], batch [2] [3/3], CURSOR_UNKNOWN [3/3]
    "#]]);
}

#[test]
fn a_strict_batch_saves_before_a_transaction_it_leaves_open() {
    let mut life = Life::open(strict());
    life.batch(&["create table t(a)", "begin", "insert into t values (1)"]);
    life.shows(expect![[r#"
        init: restored false [0/0]
        batch: scheduled 1, started 1, saved 1, ok [1/1]
    "#]]);
    let mut life = life.killed(InitRequest::default());
    life.exec("select count(*) from t");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select count(*) from t: ok [0] [0/0]
    "#]]);
}

#[test]
fn what_is_unsaved_is_saved_by_close_and_export_and_when_the_host_is_gone() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.call("export", request::Call::Export(Default::default()));
    life.exec("insert into t values (1)");
    life.exec("begin");
    life.exec("insert into t values (2)");
    life.call("close", request::Call::Close(CloseRequest::default()));
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        export: started 1, saved 1, image of 1 [1/1]
        insert into t values (1): scheduled 2, ok [2/1]
        begin: ok [2/1]
        insert into t values (2): ok [2/1]
        close: started 2, saved 2, closed [2/2]
    "#]]);

    let mut life = life.reopen(InitRequest::default());
    life.exec("insert into t values (3)");
    life.session.hang_up();
    let mut life = life.reopen(InitRequest::default());
    life.exec("select group_concat(a) from t");
    life.exec("insert into t values (4)");
    life.disk.refuse(Reason::StorageQuota, 1);
    life.call("close", request::Call::Close(CloseRequest::default()));
    life.exec("select 1");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select group_concat(a) from t: ok ['1,3'] [0/0]
        insert into t values (4): scheduled 1, ok [1/0]
        close: started 1, failed 1 STORAGE_QUOTA, STORAGE_QUOTA [1/0]
        select 1: CLOSED [1/0]
    "#]]);

    let mut life = life.reopen(InitRequest::default());
    life.exec("insert into t values (5)");
    life.call("discard", request::Call::Close(CloseRequest { discard_unsaved: true }));
    // The disk has kept the 4, which it would not promise to; the 5 was never given to it.
    let mut life = life.reopen(InitRequest::default());
    life.exec("select group_concat(a) from t");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select group_concat(a) from t: ok ['1,3,4'] [0/0]
    "#]]);
}

#[test]
fn a_suspended_session_goes_on_in_memory() {
    let mut life = Life::open(InitRequest::default());
    let suspend = || request::Call::Suspend(Default::default());
    let resume = || request::Call::Resume(ResumeRequest::default());
    life.exec("create table t(a)");
    life.call("suspend", suspend());
    life.call("suspend", suspend());
    assert!(!life.disk.is_open());
    life.exec("insert into t values (1)");
    life.wait(10_000);
    life.call("save", request::Call::Save(Default::default()));
    life.disk.lend(true);
    life.call("resume", resume());
    life.disk.lend(false);
    life.call("resume", resume());
    life.call("resume", resume());
    life.wait(2_000);
    life.exec("begin");
    life.exec("insert into t values (2)");
    life.call("suspend", suspend());
    life.exec("commit");
    life.call("resume", resume());
    life.wait(2_000);
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        suspend: started 1, saved 1, suspended 1 [1/1]
        suspend: suspended 1 [1/1]
        insert into t values (1): scheduled 2, ok [2/1]
        10000 ms: nothing
        save: started 2, failed 2 STORAGE_FAILED, STORAGE_FAILED [2/1]
        resume: STORAGE_BUSY [2/1]
        resume: resumed [2/1]
        resume: resumed [2/1]
        2000 ms: started 2, saved 2
        begin: ok [2/2]
        insert into t values (2): ok [2/2]
        suspend: suspended 2 [2/2]
        commit: scheduled 3, ok [3/2]
        resume: resumed [3/2]
        2000 ms: started 3, saved 3
    "#]]);
}

#[test]
fn a_store_that_somebody_else_changed_is_not_overwritten() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.call("suspend", request::Call::Suspend(Default::default()));
    life.exec("insert into t values ('mine')");
    let mut other = Life::on(life.disk.clone(), InitRequest::default());
    other.exec("insert into t values ('theirs')");
    other.call("close", request::Call::Close(CloseRequest::default()));
    life.call("resume", request::Call::Resume(ResumeRequest::default()));
    life.exec("select 1");
    life.shows(expect![[r#"
        init: restored false [0/0]
        create table t(a): scheduled 1, ok [1/0]
        suspend: started 1, saved 1, suspended 1 [1/1]
        insert into t values ('mine'): scheduled 2, ok [2/1]
        resume: STORAGE_LOST [2/1], closed STORAGE_LOST, end
        select 1: FAILED [2/1]
    "#]]);
    let mut life = life.reopen(InitRequest::default());
    life.exec("select group_concat(a) from t");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select group_concat(a) from t: ok ['theirs'] [0/0]
    "#]]);
}

#[test]
fn a_file_that_is_mostly_empty_becomes_small_in_quiet_moments() {
    let mut life = Life::open(InitRequest::default());
    life.exec("create table t(a)");
    life.exec(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
         insert into t select randomblob(8000) from n",
    );
    life.call("save", request::Call::Save(Default::default()));
    let large = life.disk.len();
    assert!(large > 8_000_000);
    life.exec("delete from t");
    life.exec("vacuum");
    life.log.clear();
    life.wait(300);
    life.wait(20_000);
    life.shows(expect![[r#"
        300 ms: started 4, saved 4
        20000 ms: nothing
    "#]]);
    assert!(life.disk.len() < large / 5, "{} of {large}", life.disk.len());
    assert_eq!(life.session.deadline(), None);
    let mut life = life.killed(InitRequest::default());
    life.exec("select count(*) from t");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select count(*) from t: ok [0] [0/0]
    "#]]);
}

#[test]
fn open_modes() {
    let mode = |mode: OpenMode| InitRequest { open_mode: mode.into(), ..Default::default() };
    let life = Life::open(mode(OpenMode::Open));
    let life = life.reopen(mode(OpenMode::Create));
    let life = life.reopen(mode(OpenMode::Create));
    let mut life = life.reopen(mode(OpenMode::Open));
    life.exec("create table t(a)");
    let image = life.image();
    life.call("close", request::Call::Close(CloseRequest::default()));
    life.shows(expect![[r#"
        init: restored true [0/0]
        create table t(a): scheduled 1, ok [1/0]
        export: started 1, saved 1, image of 1 [1/1]
        close: closed [1/1]
    "#]]);

    let broken = init_request::Seed::Image(Bytes::from_static(b"no database"));
    let mut life = life.reopen(InitRequest { seed: Some(broken), ..mode(OpenMode::Replace) });
    life.shows(expect!["init: IMAGE_INVALID [0/0]\n"]);

    let replace = InitRequest {
        autosave: Some(AutosavePolicy { disabled: true, ..Default::default() }),
        ..mode(OpenMode::Replace)
    };
    let mut life = life.reopen(replace.clone());
    life.exec("create table other(a)");
    let mut life = life.killed(mode(OpenMode::Open));
    life.exec("select name from sqlite_schema");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select name from sqlite_schema: ok ['t'] [0/0]
    "#]]);

    let mut life = life.reopen(replace);
    life.exec("create table other(a)");
    life.call("save", request::Call::Save(Default::default()));
    let mut life = life.killed(mode(OpenMode::Open));
    life.exec("select name from sqlite_schema");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select name from sqlite_schema: ok ['other'] [0/0]
    "#]]);

    let seeded =
        InitRequest { seed: Some(init_request::Seed::Image(image)), ..mode(OpenMode::Replace) };
    let life = life.reopen(seeded);
    let mut life = life.killed(mode(OpenMode::Open));
    life.exec("select name from sqlite_schema");
    life.shows(expect![[r#"
        init: restored true [0/0]
        select name from sqlite_schema: ok ['t'] [0/0]
    "#]]);
}

#[test]
fn what_cannot_be_had_is_an_error_or_memory() {
    let target = StorageTarget { kind: StorageKind::Opfs.into(), ..target() };
    let mut life = Life::open(InitRequest { storage: Some(target.clone()), ..Default::default() });
    life.shows(expect!["init: STORAGE_UNSUPPORTED [0/0]\n"]);
    let target = StorageTarget { or_memory: true, ..target };
    let mut life = life.reopen(InitRequest { storage: Some(target), ..Default::default() });
    life.exec("create table t(a)");
    life.call("save", request::Call::Save(Default::default()));
    life.call("suspend", request::Call::Suspend(Default::default()));
    life.shows(expect![[r#"
        init: restored false in memory [0/0]
        create table t(a): ok [1/0]
        save: STORAGE_UNSUPPORTED [1/0]
        suspend: suspended 0 [1/0]
    "#]]);
    for path in ["", "a\0b"] {
        let target = StorageTarget { path: path.into(), ..target_of(StorageKind::File) };
        let mut life = Life::open(InitRequest { storage: Some(target), ..Default::default() });
        life.shows(expect!["init: OPTION_INVALID [0/0]\n"]);
    }
}

#[test]
fn requests_wait_while_storage_is_opened() {
    let mut life = Life::new(Disk::default());
    life.holds_storage = true;
    life.send(request::Call::Init(init(InitRequest::default())));
    life.send(exec("create table t(a)"));
    life.run("nothing yet");
    life.send_cancel(2);
    life.send(exec("select 1"));
    life.run("a cancel is heard");
    life.give_storage();
    life.run("opened");
    life.shows(expect![[r#"
        nothing yet: nothing
        a cancel is heard: CANCELLED [0/0], cancelled [0/0]
        opened: started 0, saved 0, restored false [0/0], ok [1] [0/0]
    "#]]);
}

fn strict() -> InitRequest {
    InitRequest { durability: Durability::Strict.into(), ..Default::default() }
}

fn target() -> StorageTarget {
    target_of(StorageKind::File)
}

fn target_of(kind: StorageKind) -> StorageTarget {
    StorageTarget { kind: kind.into(), path: "x".into(), ..Default::default() }
}

fn init(init: InitRequest) -> InitRequest {
    let events = EventOptions { kinds: vec![EventKind::Autosave.into()], ..Default::default() };
    let storage = init.storage.clone().or_else(|| Some(target()));
    InitRequest { storage, events: Some(events), ..init }
}

fn exec(sql: &str) -> request::Call {
    request::Call::Exec(ExecRequest { sql: sql.into(), ..Default::default() })
}

/// One session over a disk, and what it said.
struct Life {
    session: Session,
    platform: Arc<TestPlatform>,
    disk: Disk,
    last_id: u32,
    /// Storage is not opened at once.
    holds_storage: bool,
    is_storage_wanted: bool,
    sent: Vec<String>,
    log: String,
    image: Bytes,
}

impl Life {
    fn open(init: InitRequest) -> Self {
        Self::on(Disk::default(), init)
    }

    fn on(disk: Disk, request: InitRequest) -> Self {
        let mut life = Self::new(disk);
        life.send(request::Call::Init(init(request)));
        life.run("init");
        // Saving new content is part of every init.
        life.log = life.log.replace("started 0, saved 0, ", "");
        life
    }

    fn new(disk: Disk) -> Self {
        let platform = Arc::new(TestPlatform::default());
        let options = SessionOptions { storage: &[StorageKind::File], ..SessionOptions::native() };
        Self {
            session: Session::new(options, platform.clone()),
            platform,
            disk,
            last_id: 0,
            holds_storage: false,
            is_storage_wanted: false,
            sent: Vec::new(),
            log: String::new(),
            image: Bytes::new(),
        }
    }

    /// The next session on the same disk; this one is dropped without a word.
    fn reopen(self, init: InitRequest) -> Self {
        self.killed(init)
    }

    fn killed(self, init: InitRequest) -> Self {
        let disk = self.disk.clone();
        drop(self);
        Self::on(disk, init)
    }

    fn exec(&mut self, sql: &str) {
        self.call(sql, exec(sql));
    }

    fn batch(&mut self, sqls: &[&str]) {
        let statement = |sql: &&str| ExecRequest { sql: (*sql).into(), ..Default::default() };
        let statements = sqls.iter().map(statement).collect();
        let batch = ExecBatchRequest { statements, ..Default::default() };
        self.call("batch", request::Call::ExecBatch(batch));
    }

    fn image(&mut self) -> Bytes {
        self.call("export", request::Call::Export(Default::default()));
        self.image.clone()
    }

    fn call(&mut self, name: &str, call: request::Call) {
        self.send(call);
        self.run(name);
    }

    fn send(&mut self, call: request::Call) {
        self.last_id += 1;
        let request = Request { scope: 0, call: Some(call) };
        let body = Some(frame::Body::Request(request));
        let frame = Frame { id: self.last_id, body, ..Default::default() };
        let message = Message { frame: frame.encode_to_vec().into(), attachments: vec![] };
        self.drive(|session, sink| session.receive(Event::Message(message), sink));
    }

    fn send_cancel(&mut self, target: u32) {
        self.send(request::Call::Cancel(lix_engine_protocol::proto::CancelRequest { target }));
    }

    /// Lets time pass to each deadline on the way.
    fn wait(&mut self, ms: u64) {
        let end = self.platform.now_ms() + ms;
        while let Some(due) = self.session.deadline().filter(|due| *due <= end) {
            self.platform.set_now_ms(due.max(self.platform.now_ms()));
            self.step_all();
        }
        self.platform.set_now_ms(end);
        self.note(&format!("{ms} ms"));
    }

    /// Runs what waits and notes what came of it.
    fn run(&mut self, name: &str) {
        self.step_all();
        self.note(name);
    }

    fn note(&mut self, name: &str) {
        let sent = std::mem::take(&mut self.sent);
        let sent = if sent.is_empty() { "nothing".into() } else { sent.join(", ") };
        let _ = writeln!(self.log, "{name}: {sent}");
    }

    fn step_all(&mut self) {
        while self.drive(|session, sink| session.step(sink)) {}
    }

    fn shows(&mut self, expected: Expect) {
        expected.assert_eq(&std::mem::take(&mut self.log));
    }

    fn give_storage(&mut self) {
        assert!(std::mem::take(&mut self.is_storage_wanted), "nobody wants storage");
        let opened = self.disk.open();
        self.drive(|session, sink| session.receive(Event::StorageOpened(opened), sink));
    }

    fn drive<T>(&mut self, run: impl FnOnce(&mut Session, &mut dyn FnMut(Effect)) -> T) -> T {
        let mut effects = Vec::new();
        let result = run(&mut self.session, &mut |effect| effects.push(effect));
        for effect in effects {
            match effect {
                Effect::Send { frame, attachments } => {
                    let frame = Frame::decode(frame.as_slice()).unwrap();
                    self.sent.push(describe(frame.body.unwrap()));
                    if let Some(image) = attachments.first() {
                        self.image = image.chunks().flatten().copied().collect();
                    }
                }
                Effect::OpenStorage(_) => {
                    self.is_storage_wanted = true;
                    if !self.holds_storage {
                        self.give_storage();
                    }
                }
                Effect::End => self.sent.push("end".into()),
                Effect::Crash => self.sent.push("crash".into()),
                Effect::LoadPlugins { .. } => unreachable!("no format is offered"),
            }
        }
        result
    }
}

fn describe(body: frame::Body) -> String {
    match body {
        frame::Body::Event(event) => match event.kind.unwrap() {
            event::Kind::Autosave(autosave) => {
                let error =
                    autosave.error.map_or(String::new(), |error| format!(" {}", error.reason));
                let phase = autosave.phase.try_into().unwrap();
                let phase: lix_engine_protocol::proto::AutosavePhase = phase;
                let name = phase.as_str_name().trim_start_matches("AUTOSAVE_PHASE_");
                format!("{} {}{error}", name.to_lowercase(), autosave.commit_seq)
            }
            event::Kind::Closed(closed) => format!("closed {}", closed.reason.unwrap().reason),
            other => panic!("{other:?}"),
        },
        frame::Body::Response(answer) => {
            let state = answer.state.unwrap();
            let outcome = match answer.outcome.unwrap() {
                response::Outcome::Error(error) => error.reason,
                response::Outcome::Init(init) => {
                    let place = match init.storage() {
                        StorageKind::Memory => " in memory",
                        _ => "",
                    };
                    format!("restored {}{place}", init.restored)
                }
                response::Outcome::Exec(exec) => match rows(&exec).as_slice() {
                    [] => "ok".into(),
                    rows => format!("ok [{}]", rows.join("; ")),
                },
                response::Outcome::ExecBatch(_) => "ok".into(),
                response::Outcome::Fetch(fetch) => {
                    format!("batch [{}]", batch_rows(&fetch.batch.unwrap()).join("; "))
                }
                response::Outcome::Export(export) => format!("image of {}", export.commit_seq),
                response::Outcome::Save(save) => format!("saved {}", save.saved_seq),
                response::Outcome::Suspend(suspend) => format!("suspended {}", suspend.saved_seq),
                response::Outcome::Resume(_) => "resumed".into(),
                response::Outcome::Cancel(_) => "cancelled".into(),
                response::Outcome::Close(_) => "closed".into(),
                other => panic!("{other:?}"),
            };
            format!("{outcome} [{}/{}]", state.commit_seq, state.saved_seq)
        }
        frame::Body::Request(_) => panic!("an engine sends no requests"),
    }
}

/// A file in memory, which can be lent to one at a time and can refuse to be flushed.
#[derive(Clone, Default)]
struct Disk(Rc<DiskState>);

#[derive(Default)]
struct DiskState {
    bytes: RefCell<Vec<u8>>,
    is_open: Cell<bool>,
    refusal: Cell<Option<(Reason, u32)>>,
}

impl Disk {
    /// The next so many flushes fail.
    fn refuse(&self, reason: Reason, count: u32) {
        self.0.refusal.set(Some((reason, count)));
    }

    fn is_open(&self) -> bool {
        self.0.is_open.get()
    }

    fn len(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    /// Somebody else has it open.
    fn lend(&self, is_open: bool) {
        self.0.is_open.set(is_open);
    }

    fn open(&self) -> Result<Box<dyn StorageFile>> {
        if self.0.is_open.replace(true) {
            return Err(Error::new(Reason::StorageBusy, "somebody else has it").subject("x"));
        }
        Ok(Box::new(Opened(self.clone())))
    }
}

struct Opened(Disk);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.lend(false);
    }
}

impl StorageFile for Opened {
    fn len(&mut self) -> Result<u64> {
        Ok(self.0.0.bytes.borrow().len() as u64)
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let bytes = self.0.0.bytes.borrow();
        let start = bytes.len().min(offset as usize);
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut file = self.0.0.bytes.borrow_mut();
        let end = offset as usize + bytes.len();
        let len = file.len().max(end);
        file.resize(len, 0);
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.0.bytes.borrow_mut().resize(len as usize, 0);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match self.0.0.refusal.get() {
            Some((reason, count)) if count > 0 => {
                self.0.0.refusal.set(Some((reason, count - 1)));
                Err(Error::new(reason, "refused"))
            }
            _ => Ok(()),
        }
    }
}
