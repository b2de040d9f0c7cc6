//! One connection, from its first frame to its last: the loop that every shell drives.
//!
//! Guarantees: requests run in arrival order, one at a time; every request is answered exactly
//! once; the commit event of a request precedes its answer; nothing is sent after the end.
//! `receive` never runs SQL, so a `cancel` that a shell delivers early reaches what still waits.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use lix_engine_protocol::proto::{
    BatchErrorMode, CancelOutcome, CancelResponse, Capability, CloseCursorResponse, CloseResponse,
    ClosedEvent, CommitDetail, CommitEvent, ControlResponse, EngineError, Event as WireEvent,
    EventKind, ExecBatchRequest, ExecRequest, ExportResponse, FetchRequest, Frame, InitRequest,
    InitResponse, OpenMode, PluginFormat, Request, RowMode, SessionState, StorageKind,
    control_request, event, frame, init_request, request, response,
};
use lix_engine_protocol::{
    Error, ExecOutcome, Limits, NATIVE_LIMITS, Outcome, Reason, Result, WORKER_LIMITS,
    encode_event, encode_response,
};

use crate::database::Database;
use crate::exec::{Surroundings, row_mode};
use crate::{Attachment, Platform, Snapshot};

/// What wakes a session.
pub enum Event {
    /// A message arrived.
    Message(Message),
    /// The transport cannot be read any further; the session ends with this as its reason.
    Broken(Error),
}

/// A frame and what came beside it.
pub struct Message {
    /// The encoded frame.
    pub frame: Bytes,
    /// Its attachments, in order.
    pub attachments: Vec<Box<dyn Attachment>>,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send this frame, then its attachments.
    Send {
        /// The encoded frame, in a buffer of exactly its size.
        frame: Vec<u8>,
        /// What travels beside it.
        attachments: Vec<Snapshot>,
    },
    /// The session ended by itself: end the transport once everything is sent. A session that the
    /// host closed goes on refusing requests until the host ends the transport.
    End,
}

/// How a shell sets up its session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Announced in the handshake and enforced.
    pub limits: Limits,
    /// Offer the control calls of the conformance suite.
    pub conformance: bool,
}

impl SessionOptions {
    /// The defaults of a native process.
    pub fn native() -> Self {
        Self { limits: NATIVE_LIMITS, conformance: false }
    }

    /// The defaults of a worker.
    pub fn worker() -> Self {
        Self { limits: WORKER_LIMITS, conformance: false }
    }
}

/// A session.
pub struct Session {
    phase: Phase,
    queue: VecDeque<Queued>,
    options: SessionOptions,
    platform: Arc<dyn Platform>,
    clock: ManualClock,
    last_event_seq: u64,
}

enum Phase {
    New,
    Ready(Box<Ready>),
    Over { reason: Reason, state: SessionState },
}

/// An initialised session.
struct Ready {
    database: Database,
    reports_commits: bool,
}

struct Queued {
    id: u32,
    call: request::Call,
    attachments: Vec<Box<dyn Attachment>>,
}

/// Virtual time, once a conformance run asked for it.
#[derive(Default)]
struct ManualClock {
    is_manual: bool,
    now_ms: u64,
}

type Sink<'a> = &'a mut dyn FnMut(Effect);

impl Session {
    /// A session that waits for its `init`.
    pub fn new(options: SessionOptions, platform: Arc<dyn Platform>) -> Self {
        Self {
            phase: Phase::New,
            queue: VecDeque::new(),
            options,
            platform,
            clock: ManualClock::default(),
            last_event_seq: 0,
        }
    }

    /// Takes an event in and runs what it made runnable: [`Session::receive`], then
    /// [`Session::step`] until nothing waits.
    pub fn handle(&mut self, event: Event, sink: Sink<'_>) {
        self.receive(event, sink);
        while self.step(sink) {}
    }

    /// Queues a request, or answers it at once where it cannot be queued or needs no queue.
    pub fn receive(&mut self, event: Event, sink: Sink<'_>) {
        match event {
            Event::Message(message) => self.receive_message(message, sink),
            Event::Broken(error) => self.end(error, sink),
        }
    }

    /// Runs the oldest queued request; `true` while more are queued.
    pub fn step(&mut self, sink: Sink<'_>) -> bool {
        if let Some(Queued { id, call, attachments }) = self.queue.pop_front() {
            self.run(id, call, &attachments, sink);
        }
        !self.queue.is_empty()
    }

    /// Whether the session has ended. Requests are still answered, with an error.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// Whether it ended by itself and not because the host closed it.
    pub fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Over { reason: Reason::Failed, .. })
    }

    /// The sequence number that the next event would carry.
    pub fn next_event_seq(&self) -> u64 {
        self.last_event_seq + 1
    }

    /// Ends the session because of a defect that the shell caught. The database is given up.
    pub fn fail(&mut self, message: &str, sink: Sink<'_>) {
        self.end(Error::new(Reason::EngineDefect, message), sink);
    }

    fn receive_message(&mut self, message: Message, sink: Sink<'_>) {
        let Message { frame, attachments } = message;
        let length = frame.len();
        let frame = match lix_engine_protocol::frame::decode(frame) {
            Ok(frame) => frame,
            Err((Some(id), error)) => return self.refuse(id, error, sink),
            Err((None, error)) => return self.end(error, sink),
        };
        let id = frame.id;
        match self.admit(frame, length, &attachments) {
            Ok(request::Call::Cancel(cancel)) => self.cancel(id, cancel.target, sink),
            Ok(call) => self.queue.push_back(Queued { id, call, attachments }),
            Err(Refusal::Request(error)) => self.refuse(id, error, sink),
            Err(Refusal::Session(error)) => self.end(error, sink),
        }
    }

    /// Everything that is checked before a request may wait in the queue.
    fn admit(
        &self,
        frame: Frame,
        length: usize,
        attachments: &[Box<dyn Attachment>],
    ) -> std::result::Result<request::Call, Refusal> {
        let malformed = |message: &str| Error::new(Reason::FrameMalformed, message);
        let request = match frame.body {
            Some(frame::Body::Request(request)) => request,
            _ if frame.id == 0 => {
                return Err(Refusal::Session(malformed("the frame is no request and has no id")));
            }
            Some(_) => return Err(malformed("a host sends requests only").into()),
            None => {
                let message = "the frame holds nothing that this engine knows";
                return Err(Error::new(Reason::CallUnknown, message).into());
            }
        };
        if frame.id == 0 {
            return Err(malformed("request ids start at 1").into());
        }
        let limits = &self.options.limits;
        if length > limits.max_frame_bytes as usize {
            return Err(
                Error::limit("max_frame_bytes", limits.max_frame_bytes.into(), length).into()
            );
        }
        if frame.attachment_sizes.len() != attachments.len()
            || frame.attachment_sizes.iter().zip(attachments).any(|(size, a)| *size != a.len())
        {
            let message = "the attachments are not those that the frame announces";
            return Err(Error::new(Reason::AttachmentMismatch, message).into());
        }
        let max = limits.max_attachment_bytes;
        if let Some(size) = frame.attachment_sizes.iter().find(|size| **size > max) {
            return Err(Error::limit("max_attachment_bytes", max, size).into());
        }
        if self.queue.iter().any(|queued| queued.id == frame.id) {
            let message = format!("request {} still waits for its answer", frame.id);
            return Err(Error::new(Reason::IdReused, message).subject(frame.id.to_string()).into());
        }
        match &self.phase {
            Phase::Over { reason, .. } => {
                return Err(Error::new(*reason, "the session is over; open a new one").into());
            }
            _ if self.is_closing() => {
                return Err(Error::new(Reason::Closing, "the session is being closed").into());
            }
            _ => {}
        }
        let call = self.supported(request)?;
        let max = limits.max_inflight as usize;
        if self.queue.len() >= max && !matches!(call, request::Call::Cancel(_)) {
            let message = format!("{max} requests wait already");
            return Err(Error::new(Reason::Inflight, message).subject("max_inflight").into());
        }
        Ok(call)
    }

    fn supported(&self, request: Request) -> Result<request::Call> {
        let Some(call) = request.call else {
            let message = "the request holds no call that this engine knows";
            return Err(Error::new(Reason::CallUnknown, message));
        };
        if request.scope != 0 {
            return Err(Error::capability("SCOPES"));
        }
        match call {
            request::Call::Cancel(_)
                if matches!(self.phase, Phase::New) && self.queue.is_empty() =>
            {
                Err(not_initialized())
            }
            call => Ok(call),
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.queue.back(), Some(Queued { call: request::Call::Close(_), .. }))
    }

    fn cancel(&mut self, id: u32, target: u32, sink: Sink<'_>) {
        let position = self.queue.iter().position(|queued| queued.id == target);
        let outcome = match position.and_then(|position| self.queue.remove(position)) {
            Some(queued) => {
                let error = Error::new(Reason::Cancelled, "cancelled before it ran");
                self.refuse(queued.id, error, sink);
                CancelOutcome::Dequeued
            }
            None => CancelOutcome::TooLate,
        };
        let response = CancelResponse { outcome: outcome.into() };
        self.answer(id, &Outcome::Plain(response::Outcome::Cancel(response)), vec![], sink);
    }

    fn run(
        &mut self,
        id: u32,
        call: request::Call,
        attachments: &[Box<dyn Attachment>],
        sink: Sink<'_>,
    ) {
        let result = match (call, &mut self.phase) {
            (request::Call::Init(init), Phase::New) => self.init(init, attachments),
            (request::Call::Init(_), Phase::Ready(_)) => {
                let message = "the session is initialised; open another for another database";
                Err(Error::new(Reason::AlreadyInitialized, message))
            }
            (request::Call::Close(_), _) => return self.close(id, sink),
            (_, Phase::New) => Err(not_initialized()),
            (_, Phase::Over { reason, .. }) => {
                Err(Error::new(*reason, "the session is over; open a new one"))
            }
            (request::Call::Exec(exec), Phase::Ready(_)) => {
                self.exec(exec, attachments, sink).map(Outcome::Exec)
            }
            (request::Call::ExecBatch(batch), Phase::Ready(_)) => {
                self.exec_batch(batch, attachments, sink)
            }
            (request::Call::Fetch(fetch), Phase::Ready(_)) => return self.fetch(id, &fetch, sink),
            (request::Call::CloseCursor(close), Phase::Ready(ready)) => {
                ready.database.cursors.close(close.cursor).map(|()| {
                    Outcome::Plain(response::Outcome::CloseCursor(CloseCursorResponse {}))
                })
            }
            (request::Call::Export(_), Phase::Ready(ready)) => match ready.database.export() {
                Ok(snapshot) => {
                    let commit_seq = ready.database.commit_seq();
                    let response = ExportResponse { image_attachment: 0, commit_seq };
                    let outcome = Outcome::Plain(response::Outcome::Export(response));
                    return self.answer(id, &outcome, vec![snapshot], sink);
                }
                Err(error) => Err(error),
            },
            (
                request::Call::Save(_) | request::Call::Suspend(_) | request::Call::Resume(_),
                Phase::Ready(_),
            ) => Err(Error::capability("PERSISTENCE")),
            (request::Call::Control(control), Phase::Ready(_)) => self.control(control.op),
            (request::Call::Cancel(_), Phase::Ready(_)) => {
                unreachable!("a cancel is answered on arrival")
            }
        };
        match result {
            Ok(outcome) => {
                self.answer(id, &outcome, vec![], sink);
                self.reuse(outcome);
            }
            Err(error) => {
                let defect = (error.reason == Reason::EngineDefect).then(|| error.clone());
                self.refuse(id, error, sink);
                if let Some(defect) = defect {
                    self.end(defect, sink);
                }
            }
        }
    }

    fn init(&mut self, init: InitRequest, attachments: &[Box<dyn Attachment>]) -> Result<Outcome> {
        let capabilities = self.capabilities();
        for number in &init.required {
            match Capability::try_from(*number) {
                Ok(Capability::Unspecified) => {}
                Ok(wanted) if capabilities.contains(&wanted) => {}
                Ok(wanted) => return Err(Error::capability(short_name(wanted.as_str_name()))),
                Err(_) => return Err(Error::capability(&number.to_string())),
            }
        }
        let events = init.events.as_ref();
        if events.is_some_and(|events| {
            matches!(events.commit_detail(), CommitDetail::Keys | CommitDetail::Values)
        }) {
            return Err(Error::capability("COMMIT_DETAIL"));
        }
        if let Some(plugin) = init.plugins.first() {
            return Err(match plugin.format() {
                PluginFormat::Esm => Error::capability("PLUGINS_ESM"),
                PluginFormat::Wasm => Error::capability("PLUGINS_WASM"),
                PluginFormat::Builtin => Error::capability("PLUGINS_BUILTIN"),
                PluginFormat::Unspecified => {
                    Error::new(Reason::OptionInvalid, "a plugin has to say what its code is")
                        .subject("plugins.format")
                }
            });
        }
        if let Some(storage) = &init.storage {
            match StorageKind::try_from(storage.kind) {
                Ok(StorageKind::Unspecified | StorageKind::Memory) => {}
                Ok(kind) => return Err(unsupported(short_name(kind.as_str_name()))),
                Err(_) => return Err(unsupported(&storage.kind.to_string())),
            }
        }
        let mode = init.open_mode();
        if mode == OpenMode::Open {
            return Err(match init.seed {
                Some(_) => Error::new(
                    Reason::OptionInvalid,
                    "OPEN takes what is stored; a seed image has no place in it",
                )
                .subject("open_mode"),
                None => Error::new(Reason::StorageMissing, "memory holds nothing to open"),
            });
        }

        let platform = self.platform.clone();
        let named = |field: &'static str| {
            move |error: Error| match error.reason {
                Reason::ImageInvalid => error.subject(field),
                _ => error,
            }
        };
        let database = match init.seed {
            None => Database::create(platform)?,
            Some(init_request::Seed::Image(image)) => {
                Database::from_image(&image, platform).map_err(named("image"))?
            }
            Some(init_request::Seed::ImageAttachment(index)) => {
                let image = attachments.get(index as usize).ok_or_else(|| {
                    let message = format!("the frame has no attachment {index}");
                    Error::new(Reason::AttachmentMismatch, message).subject("image_attachment")
                })?;
                Database::from_image(image.as_ref(), platform).map_err(named("image_attachment"))?
            }
        };
        let reports_commits =
            events.is_some_and(|events| events.kinds().any(|kind| kind == EventKind::Commit));
        self.phase = Phase::Ready(Box::new(Ready { database, reports_commits }));

        #[allow(clippy::unnecessary_min_or_max, reason = "MINOR will not stay 0")]
        let minor = init.minor.min(MINOR);
        Ok(Outcome::Plain(response::Outcome::Init(InitResponse {
            minor,
            engine_name: "lix-engine".into(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            sqlite_version: rusqlite::version().into(),
            schema_version: String::new(),
            capabilities: capabilities.into_iter().map(i32::from).collect(),
            storage: StorageKind::Memory.into(),
            limits: Some(self.options.limits),
            restored: false,
        })))
    }

    fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = vec![Capability::Cursors, Capability::NamedParams];
        if self.options.conformance {
            capabilities.push(Capability::ManualClock);
        }
        capabilities
    }

    fn exec(
        &mut self,
        request: ExecRequest,
        attachments: &[Box<dyn Attachment>],
        sink: Sink<'_>,
    ) -> Result<ExecOutcome> {
        let result_bytes = self.options.limits.max_result_bytes as usize;
        self.exec_within(request, attachments, result_bytes, sink)
    }

    fn exec_within(
        &mut self,
        request: ExecRequest,
        attachments: &[Box<dyn Attachment>],
        result_bytes: usize,
        sink: Sink<'_>,
    ) -> Result<ExecOutcome> {
        let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
        let limits = &self.options.limits;
        let platform = &*self.platform;
        let around = Surroundings { attachments, limits, platform, result_bytes };
        let is_alone = !ready.database.link.in_transaction();
        let result = ready.database.exec(request, &around);
        if ready.database.note_commit(is_alone && result.is_ok()) && ready.reports_commits {
            let commit_seq = ready.database.commit_seq();
            let commit = CommitEvent { commit_seq, ..Default::default() };
            self.send_event(event::Kind::Commit(commit), sink);
        }
        result
    }

    fn exec_batch(
        &mut self,
        batch: ExecBatchRequest,
        attachments: &[Box<dyn Attachment>],
        sink: Sink<'_>,
    ) -> Result<Outcome> {
        let max = self.options.limits.max_batch_statements;
        if batch.statements.len() > max as usize {
            return Err(Error::limit("max_batch_statements", max.into(), batch.statements.len()));
        }
        if let Some(index) =
            batch.statements.iter().position(|statement| row_mode(statement) == RowMode::Cursor)
        {
            let message = "a statement of a batch cannot open a cursor";
            let mut error = Error::new(Reason::OptionInvalid, message)
                .subject(format!("statements[{index}].rows"));
            error.batch_index = u32::try_from(index).ok();
            return Err(error);
        }

        let goes_on = batch.on_error() == BatchErrorMode::Continue;
        let mut left = self.options.limits.max_result_bytes as usize;
        let mut items = Vec::with_capacity(batch.statements.len());
        for (index, statement) in batch.statements.into_iter().enumerate() {
            match self.exec_within(statement, attachments, left, sink) {
                Ok(outcome) => {
                    let used = outcome.batch.as_ref().map_or(0, |batch| batch.encoded_len());
                    left = left.saturating_sub(used);
                    items.push(Ok(outcome));
                }
                Err(mut error) => {
                    error.batch_index = u32::try_from(index).ok();
                    items.push(Err(EngineError::from(error)));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Ok(Outcome::ExecBatch(items))
    }

    /// Answers with as many batches as the host is ready for.
    fn fetch(&mut self, id: u32, fetch: &FetchRequest, sink: Sink<'_>) {
        for _ in 0..fetch.credit.max(1) {
            let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
            match ready.database.fetch(fetch.cursor) {
                Ok((batch, done)) => {
                    self.answer(id, &Outcome::Fetch { batch, done }, vec![], sink);
                    if done {
                        return;
                    }
                }
                Err(error) => return self.refuse(id, error, sink),
            }
        }
    }

    fn control(&mut self, op: Option<control_request::Op>) -> Result<Outcome> {
        match op {
            Some(control_request::Op::InjectFault(_) | control_request::Op::CrashNow(_)) => {
                return Err(Error::capability("FAULTS"));
            }
            Some(_) if !self.options.conformance => return Err(Error::capability("MANUAL_CLOCK")),
            Some(control_request::Op::SetClock(set)) => {
                let now_ms = self.platform.monotonic_ms();
                self.clock = ManualClock { is_manual: set.manual, now_ms };
            }
            Some(control_request::Op::AdvanceClock(advance)) if self.clock.is_manual => {
                self.clock.now_ms += u64::from(advance.ms);
            }
            Some(control_request::Op::AdvanceClock(_)) => {
                let message = "only a manual clock can be advanced";
                return Err(Error::new(Reason::OptionInvalid, message).subject("advance_clock"));
            }
            None => {
                return Err(Error::new(Reason::CallUnknown, "this engine knows no such control"));
            }
        }
        let clock_ms = self.clock.now_ms;
        Ok(Outcome::Plain(response::Outcome::Control(ControlResponse { clock_ms, storage_writes: 0 })))
    }

    fn close(&mut self, id: u32, sink: Sink<'_>) {
        self.give_up(Reason::Closed);
        self.answer(id, &Outcome::Plain(response::Outcome::Close(CloseResponse {})), vec![], sink);
    }

    /// Ends the session from this side. What waits is answered first, so that nobody waits on.
    fn end(&mut self, error: Error, sink: Sink<'_>) {
        if self.is_over() {
            return;
        }
        self.give_up(Reason::Failed);
        for queued in std::mem::take(&mut self.queue) {
            let error = Error::new(Reason::Failed, "the session ended before this request ran");
            self.refuse(queued.id, error, sink);
        }
        self.send_event(event::Kind::Closed(ClosedEvent { reason: Some(error.into()) }), sink);
        sink(Effect::End);
    }

    /// Lets the database go. An open transaction ends with it; its journal is gone as well.
    fn give_up(&mut self, reason: Reason) {
        let state = SessionState { in_transaction: false, ..self.state() };
        self.phase = Phase::Over { reason, state };
    }

    fn refuse(&self, id: u32, error: Error, sink: Sink<'_>) {
        self.answer(id, &Outcome::Plain(response::Outcome::Error(error.into())), vec![], sink);
    }

    /// What an answer was made of serves the next one.
    fn reuse(&mut self, outcome: Outcome) {
        if let (Outcome::Exec(exec), Phase::Ready(ready)) = (outcome, &mut self.phase) {
            ready.database.spare_batch = exec.batch;
        }
    }

    fn answer(&self, id: u32, outcome: &Outcome, attachments: Vec<Snapshot>, sink: Sink<'_>) {
        let sizes = attachments.iter().map(Snapshot::len).collect();
        let frame = encode_response(id, self.state(), outcome, sizes);
        sink(Effect::Send { frame, attachments });
    }

    fn send_event(&mut self, kind: event::Kind, sink: Sink<'_>) {
        self.last_event_seq += 1;
        let event = WireEvent { seq: self.last_event_seq, kind: Some(kind) };
        sink(Effect::Send { frame: encode_event(event), attachments: vec![] });
    }

    fn state(&self) -> SessionState {
        match &self.phase {
            Phase::Ready(ready) => SessionState {
                in_transaction: ready.database.link.in_transaction(),
                commit_seq: ready.database.commit_seq(),
                saved_seq: 0,
            },
            Phase::Over { state, .. } => *state,
            Phase::New => SessionState::default(),
        }
    }
}

/// Whom a broken rule costs what.
enum Refusal {
    Request(Error),
    Session(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Request(error)
    }
}

fn not_initialized() -> Error {
    Error::new(Reason::NotInitialized, "init comes first")
}

fn unsupported(kind: &str) -> Error {
    let message = format!("this engine cannot store in {kind}");
    Error::new(Reason::StorageUnsupported, message).subject(kind)
}

/// `CAPABILITY_CURSORS` is `CURSORS` where an error names it.
fn short_name(name: &str) -> &str {
    let name = name.strip_prefix("CAPABILITY_").unwrap_or(name);
    name.strip_prefix("STORAGE_KIND_").unwrap_or(name)
}

/// The highest minor of protocol version 1 that this engine speaks.
const MINOR: u32 = 0;
