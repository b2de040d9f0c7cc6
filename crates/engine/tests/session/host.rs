//! A host for tests: sends calls, reads answers, and holds every answer against the rules that
//! hold for all of them. A broken rule fails the test, whatever the test is about.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use lix_engine_core::{
    Attachment, Effect, Event, Message, Platform, Plugins, Session, SessionOptions,
};
use lix_engine_protocol::proto::{
    EngineError, Event as WireEvent, EventKind, EventOptions, ExecRequest, ExecResponse, Frame,
    InitRequest, Request, Response, RowBatch, StorageClass, batch_item, event, frame, init_request,
    request, response,
};
use lix_engine_protocol::{Cell, Limits, NATIVE_LIMITS, Reason, cells};
use prost::Message as _;

/// A session and the other side of it.
pub(crate) struct Host {
    session: Session,
    pub(crate) platform: Arc<TestPlatform>,
    pub(crate) limits: Limits,
    last_id: u32,
    last_event_seq: u64,
    asks_for_commits: bool,
    counts_commits: bool,
    commit_seq: u64,
    is_closed: bool,
    has_ended: bool,
    /// What the shell loads when it is asked to.
    pub(crate) plugins: Option<Box<dyn Plugins>>,
}

/// What the engine sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Answer(Answer),
    Event(event::Kind),
    End,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) id: u32,
    pub(crate) response: Response,
    pub(crate) attachments: Vec<Bytes>,
}

impl Host {
    /// A session before `init`.
    pub(crate) fn new() -> Self {
        Self::with(SessionOptions::native())
    }

    pub(crate) fn with(options: SessionOptions) -> Self {
        Self::on(TestPlatform::default(), options)
    }

    /// A session on a platform of the test's.
    pub(crate) fn on(platform: TestPlatform, options: SessionOptions) -> Self {
        let platform = Arc::new(platform);
        let limits = options.limits;
        Self {
            session: Session::new(options, platform.clone()),
            platform,
            limits,
            last_id: 0,
            last_event_seq: 0,
            asks_for_commits: false,
            counts_commits: false,
            commit_seq: 0,
            is_closed: false,
            has_ended: false,
            plugins: None,
        }
    }

    /// A session with an empty database.
    pub(crate) fn ready() -> Self {
        Self::ready_with(NATIVE_LIMITS)
    }

    pub(crate) fn ready_with(limits: Limits) -> Self {
        let mut host =
            Self::with(SessionOptions { limits, storage: &[], plugins: &[], conformance: false });
        host.init(None).expect("init with defaults");
        host
    }

    /// A session over an image.
    pub(crate) fn seeded(image: &[u8]) -> Result<Self, EngineError> {
        let mut host = Self::new();
        host.init(Some(image))?;
        Ok(host)
    }

    pub(crate) fn init(&mut self, image: Option<&[u8]>) -> Result<(), EngineError> {
        let seed = image.map(|_| init_request::Seed::ImageAttachment(0));
        let events = EventOptions { kinds: vec![EventKind::Commit.into()], ..Default::default() };
        let init = InitRequest { seed, events: Some(events), ..Default::default() };
        let attachments = image.map(Bytes::copy_from_slice).into_iter().collect();
        match self.call_with(request::Call::Init(init), attachments).response.outcome {
            Some(response::Outcome::Init(_)) => Ok(()),
            Some(response::Outcome::Error(error)) => Err(error),
            other => panic!("init was answered with {other:?}"),
        }
    }

    /// Runs a statement without parameters that has to succeed.
    pub(crate) fn exec(&mut self, sql: &str) -> ExecResponse {
        self.try_exec(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub(crate) fn try_exec(&mut self, sql: &str) -> Result<ExecResponse, EngineError> {
        self.try_exec_request(ExecRequest { sql: sql.into(), ..Default::default() })
    }

    pub(crate) fn try_exec_request(
        &mut self,
        exec: ExecRequest,
    ) -> Result<ExecResponse, EngineError> {
        match self.call(request::Call::Exec(exec)).outcome {
            Some(response::Outcome::Exec(exec)) => Ok(exec),
            Some(response::Outcome::Error(error)) => Err(error),
            other => panic!("exec was answered with {other:?}"),
        }
    }

    /// The rows of a query, as text.
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<String> {
        rows(&self.exec(sql))
    }

    /// The image of the database.
    pub(crate) fn export(&mut self) -> Bytes {
        let answer = self.call_with(request::Call::Export(Default::default()), vec![]);
        match (answer.response.outcome, answer.attachments.as_slice()) {
            (Some(response::Outcome::Export(export)), [image]) if export.image_attachment == 0 => {
                image.clone()
            }
            other => panic!("export was answered with {other:?}"),
        }
    }

    /// Sends a call, runs everything that waits, and returns the one answer to it.
    pub(crate) fn call(&mut self, call: request::Call) -> Response {
        self.call_with(call, vec![]).response
    }

    pub(crate) fn call_with(&mut self, call: request::Call, attachments: Vec<Bytes>) -> Answer {
        let (id, mut sent) = self.send(call, attachments);
        sent.extend(self.run());
        let mut answers = sent.into_iter().filter_map(|sent| match sent {
            Sent::Answer(answer) if answer.id == id => Some(answer),
            _ => None,
        });
        match (answers.next(), answers.next()) {
            (Some(answer), None) => answer,
            other => panic!("request {id} was not answered exactly once: {other:?}"),
        }
    }

    /// Sends a call and runs nothing: what comes back at once.
    pub(crate) fn send(
        &mut self,
        call: request::Call,
        attachments: Vec<Bytes>,
    ) -> (u32, Vec<Sent>) {
        self.last_id += 1;
        let id = self.last_id;
        let request = Request { scope: 0, call: Some(call) };
        (id, self.send_request(id, request, attachments))
    }

    pub(crate) fn send_request(
        &mut self,
        id: u32,
        request: Request,
        attachments: Vec<Bytes>,
    ) -> Vec<Sent> {
        self.last_id = self.last_id.max(id);
        if let Some(request::Call::Init(init)) = &request.call {
            self.asks_for_commits = init.events.is_some();
        }
        let frame = Frame {
            id,
            attachment_sizes: attachments.iter().map(|bytes| bytes.len() as u64).collect(),
            body: Some(frame::Body::Request(request)),
        };
        self.send_bytes(frame.encode_to_vec(), attachments)
    }

    /// Sends any bytes at all.
    pub(crate) fn send_bytes(&mut self, frame: Vec<u8>, attachments: Vec<Bytes>) -> Vec<Sent> {
        let attachments =
            attachments.into_iter().map(|bytes| -> Box<dyn Attachment> { Box::new(bytes) });
        let message = Message { frame: frame.into(), attachments: attachments.collect() };
        self.event(Event::Message(message))
    }

    pub(crate) fn event(&mut self, event: Event) -> Vec<Sent> {
        let mut effects = Vec::new();
        self.session.receive(event, &mut |effect| effects.push(effect));
        self.check_all(effects)
    }

    /// Runs everything that waits.
    pub(crate) fn run(&mut self) -> Vec<Sent> {
        let mut effects = Vec::new();
        while self.session.step(&mut |effect| effects.push(effect)) {}
        self.check_all(effects)
    }

    /// The shell met a defect.
    pub(crate) fn fail(&mut self, message: &str) -> Vec<Sent> {
        let mut effects = Vec::new();
        self.session.fail(message, &mut |effect| effects.push(effect));
        self.check_all(effects)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    pub(crate) fn next_event_seq(&self) -> u64 {
        self.session.next_event_seq()
    }

    fn check_all(&mut self, effects: Vec<Effect>) -> Vec<Sent> {
        let mut sent = Vec::new();
        for effect in effects {
            if matches!(effect, Effect::LoadPlugins { .. }) {
                let plugins = self.plugins.take().expect("the test has plugins");
                sent.extend(self.event(Event::PluginsLoaded(Ok(plugins))));
                sent.extend(self.run());
            } else {
                sent.push(self.check(effect));
            }
        }
        sent
    }

    /// The rules for whatever an engine sends.
    fn check(&mut self, effect: Effect) -> Sent {
        let Effect::Send { frame, attachments } = effect else {
            assert!(!std::mem::replace(&mut self.has_ended, true), "the session ended twice");
            return Sent::End;
        };
        assert_eq!(frame.capacity(), frame.len(), "a frame's buffer has exactly its size");
        let frame = Frame::decode(frame.as_slice()).expect("an engine's frame parses");
        let attachments: Vec<Bytes> =
            attachments.iter().map(|one| one.chunks().flatten().copied().collect()).collect();
        let sizes: Vec<u64> = attachments.iter().map(|bytes| bytes.len() as u64).collect();
        assert_eq!(frame.attachment_sizes, sizes);
        match frame.body {
            Some(frame::Body::Event(event)) => {
                assert_eq!((frame.id, sizes.len()), (0, 0), "events have no id");
                Sent::Event(self.check_event(event))
            }
            Some(frame::Body::Response(response)) => {
                self.check_response(&response);
                Sent::Answer(Answer { id: frame.id, response, attachments })
            }
            other => panic!("an engine sends answers and events, not {other:?}"),
        }
    }

    fn check_event(&mut self, event: WireEvent) -> event::Kind {
        assert!(!self.is_closed, "an event after the end: {event:?}");
        assert_eq!(event.seq, self.last_event_seq + 1, "events count without gaps");
        self.last_event_seq = event.seq;
        let kind = event.kind.expect("an event has a kind");
        match &kind {
            event::Kind::Commit(commit) => {
                assert!(self.counts_commits, "nobody asked for commits");
                assert_eq!(commit.commit_seq, self.commit_seq + 1);
                self.commit_seq += 1;
            }
            event::Kind::Closed(closed) => {
                check_error(closed.reason.as_ref().expect("closed says why"));
                self.is_closed = true;
            }
            _ => {}
        }
        kind
    }

    fn check_response(&mut self, response: &Response) {
        let state = response.state.expect("every answer has a state");
        assert_eq!(state.saved_seq, 0, "memory is never saved");
        let exec = |exec: &ExecResponse| {
            assert_eq!(exec.batch.is_some(), !exec.columns.is_empty(), "{exec:?}");
            if let Some(batch) = &exec.batch {
                assert_eq!(batch.columns.len(), exec.columns.len());
                check_batch(batch);
            }
            assert!(exec.last_insert_rowid.is_none() || exec.changes.is_some_and(|c| c > 0));
        };
        match response.outcome.as_ref().expect("every answer has an outcome") {
            response::Outcome::Error(error) => check_error(error),
            response::Outcome::Init(init) => {
                self.counts_commits = self.asks_for_commits;
                assert_eq!(init.limits.as_ref(), Some(&self.limits));
                let once: HashSet<_> = init.capabilities.iter().collect();
                assert_eq!(once.len(), init.capabilities.len());
                assert!(!init.engine_name.is_empty() && !init.engine_version.is_empty());
                assert!(!init.sqlite_version.is_empty() && init.storage != 0);
            }
            response::Outcome::Exec(answer) => exec(answer),
            response::Outcome::ExecBatch(batch) => {
                for (index, item) in batch.items.iter().enumerate() {
                    match item.outcome.as_ref().expect("an item has an outcome") {
                        batch_item::Outcome::Ok(answer) => exec(answer),
                        batch_item::Outcome::Error(error) => {
                            check_error(error);
                            assert_eq!(error.batch_index, Some(index as u32));
                        }
                    }
                }
            }
            response::Outcome::Fetch(fetch) => {
                let batch = fetch.batch.as_ref().expect("a fetch brings a batch");
                assert!(batch.row_count > 0, "no fetch brings nothing");
                check_batch(batch);
            }
            response::Outcome::Close(_) => {
                assert!(!state.in_transaction);
                self.is_closed = true;
            }
            _ => {}
        }
        if self.counts_commits {
            assert_eq!(state.commit_seq, self.commit_seq, "commits are announced: {response:?}");
        }
    }
}

/// An `init` that wants to hear of commits.
pub(crate) fn init_request() -> InitRequest {
    let events = EventOptions { kinds: vec![EventKind::Commit.into()], ..Default::default() };
    InitRequest { events: Some(events), ..Default::default() }
}

fn check_error(error: &EngineError) {
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == error.reason);
    let reason = reason.unwrap_or_else(|| panic!("{} is not in the registry", error.reason));
    assert_eq!(error.code(), reason.code(), "{error:?}");
    assert!(!error.message.is_empty(), "{error:?}");
    assert_eq!(error.sqlite_code, error.sqlite_extended_code & 0xff, "{error:?}");
}

/// What an engine must produce is stricter than what a receiver accepts.
fn check_batch(batch: &RowBatch) {
    for (column, decoded) in batch.columns.iter().zip(cells(batch)) {
        let decoded: Vec<Cell<'_>> =
            decoded.unwrap_or_else(|error| panic!("{error}: {batch:?}")).collect();
        assert_eq!(decoded.len(), batch.row_count as usize);
        if decoded.is_empty() {
            assert_eq!(*column, Default::default(), "a column without rows is empty");
            continue;
        }
        let classes: HashSet<_> = decoded.iter().map(class).collect();
        let is_uniform = column.uniform() != StorageClass::Unspecified;
        assert_eq!(is_uniform, classes.len() == 1, "uniform exactly if all cells are alike");
        let ints = decoded.iter().filter_map(|cell| match cell {
            Cell::Integer(value) => Some(match *value {
                -0x80..=0x7f => 1,
                -0x8000..=0x7fff => 2,
                -0x8000_0000..=0x7fff_ffff => 4,
                _ => 8,
            }),
            _ => None,
        });
        assert_eq!(column.int_width, ints.max().unwrap_or(0), "the narrowest integers");
        let lens = decoded.iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(text.len()),
            Cell::Blob(bytes) | Cell::TextRaw(bytes) => Some(bytes.len()),
            _ => None,
        });
        let len_width = lens.max().map_or(0, |longest| match longest {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 4,
        });
        assert_eq!(column.len_width, len_width, "the narrowest lengths");
        for cell in decoded {
            if let Cell::TextRaw(bytes) = cell {
                assert!(std::str::from_utf8(bytes).is_err(), "valid text is TEXT");
            }
        }
    }
}

fn class(cell: &Cell<'_>) -> StorageClass {
    match cell {
        Cell::Null => StorageClass::Null,
        Cell::Integer(_) => StorageClass::Integer,
        Cell::Real(_) => StorageClass::Real,
        Cell::Text(_) => StorageClass::Text,
        Cell::Blob(_) => StorageClass::Blob,
        Cell::TextRaw(_) => StorageClass::TextRaw,
    }
}

/// The rows of an answer, one text per row, cells as SQL literals.
pub(crate) fn rows(exec: &ExecResponse) -> Vec<String> {
    exec.batch.as_ref().map(batch_rows).unwrap_or_default()
}

pub(crate) fn batch_rows(batch: &RowBatch) -> Vec<String> {
    let columns: Vec<Vec<String>> =
        cells(batch).map(|column| column.unwrap().map(|cell| literal(&cell)).collect()).collect();
    let row = |row: usize| columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>();
    (0..batch.row_count as usize).map(|index| row(index).join(" | ")).collect()
}

pub(crate) fn literal(cell: &Cell<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(text) => format!("'{}'", text.escape_debug().to_string().replace("\\'", "'")),
        Cell::Blob(bytes) => format!("x'{}'", hex(bytes)),
        Cell::TextRaw(bytes) => format!("raw'{}'", hex(bytes)),
    }
}

/// Time stands still unless a test lets every look at the clock cost something.
#[derive(Default)]
pub(crate) struct TestPlatform {
    now_ms: AtomicU64,
    /// How far the clock goes on each time it is read.
    pub(crate) tick_ms: AtomicU64,
    /// The request whose `cancel` has arrived, for a shell that hears it while a statement runs.
    pub(crate) cancelled: Option<AtomicU32>,
    drawn: AtomicU64,
}

impl TestPlatform {
    /// Hears what is cancelled while it runs.
    #[allow(dead_code, reason = "for the tests of cancel")]
    pub(crate) fn hearing() -> Self {
        Self { cancelled: Some(AtomicU32::new(0)), ..Self::default() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl TestPlatform {
    /// How many random bytes were asked for.
    #[allow(dead_code, reason = "for tests that open what another session wrote")]
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }
}

impl Platform for TestPlatform {
    fn hears_cancels(&self) -> bool {
        self.cancelled.is_some()
    }

    fn is_cancelled(&self, request: u32) -> bool {
        let cancelled = self.cancelled.as_ref().expect("asked only where it is heard");
        request != 0 && cancelled.load(Ordering::Relaxed) == request
    }

    fn unix_ms(&self) -> i64 {
        1_700_000_000_000 + self.now_ms() as i64
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_ms.fetch_add(self.tick_ms.load(Ordering::Relaxed), Ordering::Relaxed)
    }

    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            *byte = (drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        }
    }
}
