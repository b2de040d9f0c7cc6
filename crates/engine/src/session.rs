//! One connection, from its first frame to its last: the loop that every shell drives.
//!
//! Guarantees: requests run in arrival order, one at a time; every request is answered exactly
//! once; the commit event of a request precedes its answer; nothing is sent after the end.
//! `receive` never runs SQL, so a `cancel` that a shell delivers early reaches what still waits; one
//! that the platform tells of while a statement runs stops that statement.
//! Where durability is strict, an answer leaves only after what its request committed is stored;
//! answers behind it wait with it, so that requests sent without waiting share one save.

mod control;
mod opening;
mod saving;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use lix_engine_protocol::proto::{
    BatchErrorMode, CancelOutcome, CancelResponse, CloseCursorResponse, CloseResponse, ClosedEvent,
    CommitDetail, CommitEvent, EngineError, Event as WireEvent, ExecBatchRequest, ExecRequest,
    FetchRequest, Frame, InitRequest, PluginFormat, Request, RowMode, SessionState, StorageKind,
    StorageTarget, event, frame, request, response,
};
use lix_engine_protocol::{
    Error, ExecOutcome, Limits, NATIVE_LIMITS, Outcome, Reason, Result, WORKER_LIMITS,
    encode_event, encode_response,
};

use crate::database::Database;
use crate::exec::{Surroundings, row_mode};
use crate::faults::Faults;
use crate::persistence::Persistence;
use crate::plugins::loading::Order;
use crate::{Attachment, Platform, PluginSource, Plugins, Snapshot, StorageFile};

/// What wakes a session.
pub enum Event {
    /// A message arrived.
    Message(Message),
    /// The transport cannot be read any further; the session ends with this as its reason.
    Broken(Error),
    /// The answer to [`Effect::OpenStorage`].
    StorageOpened(Result<Box<dyn StorageFile>>),
    /// The answer to [`Effect::LoadPlugins`]: all of them in the order of the sources, or why one
    /// of them cannot be loaded: PLUGIN_LOAD, PLUGIN_INVALID or PLUGIN_TIMEOUT with its key or its
    /// index among the sources, in decimal, as subject.
    PluginsLoaded(Result<Box<dyn Plugins>>),
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
#[must_use]
pub enum Effect {
    /// Send this frame, then its attachments.
    Send {
        /// The encoded frame, in a buffer of exactly its size.
        frame: Vec<u8>,
        /// What travels beside it.
        attachments: Vec<Snapshot>,
    },
    /// Find, lock and open the file of a database, and report with [`Event::StorageOpened`].
    /// Requests wait until then.
    OpenStorage(StorageRequest),
    /// Load these plugins and report with [`Event::PluginsLoaded`]. Requests wait until then, a
    /// `close` too, so the shell must not wait forever for code that never finishes loading.
    LoadPlugins {
        /// Not empty; only of formats in [`SessionOptions::plugins`].
        sources: Vec<PluginSource>,
        /// How long loading one of them, and later any call of one, may take; not 0.
        timeout_ms: u32,
    },
    /// Die as if killed: end the transport without another word, save nothing.
    Crash,
    /// The session ended by itself: end the transport once everything is sent. A session that the
    /// host closed goes on refusing requests until the host ends the transport.
    End,
}

/// Which file a session wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRequest {
    /// One of [`SessionOptions::storage`].
    pub kind: StorageKind,
    /// As the host gave it, not empty and without NUL.
    pub path: String,
    /// Make the file if there is none; otherwise that is `STORAGE_MISSING`. A file without content
    /// is as good as none.
    pub create: bool,
    /// How long to wait while somebody else has it open, in milliseconds.
    pub wait_ms: u32,
}

/// How a shell sets up its session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Announced in the handshake and enforced.
    pub limits: Limits,
    /// The kinds of storage that the shell can open, besides memory.
    pub storage: &'static [StorageKind],
    /// The formats of plugins that the shell can load. BUILTIN means plugins of its own, by key.
    pub plugins: &'static [PluginFormat],
    /// Offer the control calls and the built-in plugins of the conformance suite.
    pub conformance: bool,
}

impl SessionOptions {
    /// The defaults of a native process, with memory only.
    pub fn native() -> Self {
        Self { limits: NATIVE_LIMITS, storage: &[], plugins: &[], conformance: false }
    }

    /// The defaults of a worker, with memory only.
    pub fn worker() -> Self {
        Self { limits: WORKER_LIMITS, storage: &[], plugins: &[], conformance: false }
    }
}

/// A session.
pub struct Session {
    phase: Phase,
    queue: VecDeque<Queued>,
    options: SessionOptions,
    platform: Arc<dyn Platform>,
    clock: ManualClock,
    faults: Faults,
    /// Answers that wait for a save, and the commit events between them.
    held: Vec<Held>,
    /// Requests that were stopped while they ran; whose `cancel` did it is still to be taken in.
    interrupted: Vec<u32>,
    last_event_seq: u64,
}

enum Phase {
    New,
    Loading(Box<Loading>),
    Opening(Box<Opening>),
    Ready(Box<Ready>),
    Over { reason: Reason, state: SessionState },
}

/// An `init` that waits for its plugins.
struct Loading {
    id: u32,
    init: InitRequest,
    attachments: Vec<Box<dyn Attachment>>,
    order: Order,
}

/// An `init` that waits for its storage.
struct Opening {
    id: u32,
    init: InitRequest,
    target: StorageTarget,
    seed: Option<Database>,
    plugins: Option<Rc<dyn Plugins>>,
}

/// An initialised session.
struct Ready {
    database: Database,
    persistence: Option<Persistence>,
    reports: Reports,
    /// The `resume` that waits for its storage.
    resuming: Option<u32>,
    /// Why the newest commits are not stored although durability is strict.
    strict_failure: Option<Error>,
}

/// Which events the host asked for.
#[derive(Clone, Copy)]
struct Reports {
    commits: bool,
    detail: CommitDetail,
    autosaves: bool,
}

/// What waits until something before it is stored.
enum Held {
    Answer(HeldAnswer),
    /// A commit of the request behind; it follows the answer to the one before.
    Commit(CommitEvent),
}

struct HeldAnswer {
    id: u32,
    outcome: Outcome,
    attachments: Vec<Snapshot>,
    state: SessionState,
    /// What its request committed has to be stored first.
    has_committed: bool,
}

struct Queued {
    id: u32,
    call: request::Call,
    attachments: Vec<Box<dyn Attachment>>,
}

/// Time for timers: the platform's, or virtual time once a conformance run asked for it.
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
            faults: Faults::default(),
            held: Vec::new(),
            interrupted: Vec::new(),
            last_event_seq: 0,
        }
    }

    /// Takes an event in and runs the requests it made runnable: [`Session::receive`], then
    /// requests until none waits. `true` if something is left for [`Session::step`].
    pub fn handle(&mut self, event: Event, sink: Sink<'_>) -> bool {
        self.receive(event, sink);
        while self.run_next(sink) {}
        self.has_work()
    }

    /// Queues a request, or answers it at once where it cannot be queued or needs no queue.
    pub fn receive(&mut self, event: Event, sink: Sink<'_>) {
        match event {
            Event::Message(message) => self.receive_message(message, sink),
            Event::Broken(error) => self.end(error, sink),
            Event::StorageOpened(result) => self.storage_opened(result, sink),
            Event::PluginsLoaded(result) => self.plugins_loaded(result, sink),
        }
    }

    /// Runs the oldest queued request and a part of a save that is under way or due; `true` while
    /// there is more to do now.
    pub fn step(&mut self, sink: Sink<'_>) -> bool {
        if !self.run_next(sink) && !self.held.is_empty() {
            self.release_held(sink);
        }
        self.save_some(sink);
        self.has_work()
    }

    /// When [`Session::step`] has to be called although nothing arrived, as
    /// [`Platform::monotonic_ms`]; ask again after every call.
    pub fn deadline(&self) -> Option<u64> {
        self.due_ms().filter(|_| !self.clock.is_manual)
    }

    /// The host is gone: saves what is unsaved and ends the session without a word.
    pub fn hang_up(&mut self) {
        if self.is_over() {
            return;
        }
        self.queue.clear();
        self.held.clear();
        let _ = self.put_away(false, &mut |_| {});
        self.give_up(Reason::Closed);
    }

    /// `true` if a request ran.
    fn run_next(&mut self, sink: Sink<'_>) -> bool {
        if self.is_opening() {
            return false;
        }
        let Some(Queued { id, call, attachments }) = self.queue.pop_front() else { return false };
        self.run(id, call, attachments, sink);
        if self.held.len() >= HELD_ANSWERS {
            self.release_held(sink);
        }
        true
    }

    fn has_work(&self) -> bool {
        let is_saving = match &self.phase {
            Phase::Ready(ready) => ready.persistence.as_ref().is_some_and(Persistence::is_running),
            _ => false,
        };
        !self.is_opening()
            && (!self.queue.is_empty() || !self.held.is_empty() || is_saving || self.is_due())
    }

    /// A save is to begin now.
    fn is_due(&self) -> bool {
        self.deadline().is_some_and(|due| due <= self.platform.monotonic_ms())
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
        if self.queue.iter().any(|queued| queued.id == frame.id)
            || self.held.iter().any(|held| held.answers(frame.id))
            || self.opening_id() == Some(frame.id)
        {
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

    /// The request that waits for what the shell was asked for.
    fn opening_id(&self) -> Option<u32> {
        match &self.phase {
            Phase::Loading(loading) => Some(loading.id),
            Phase::Opening(opening) => Some(opening.id),
            Phase::Ready(ready) => ready.resuming,
            _ => None,
        }
    }

    fn is_opening(&self) -> bool {
        self.opening_id().is_some()
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
            None => match self.interrupted.iter().position(|stopped| *stopped == target) {
                Some(position) => {
                    self.interrupted.swap_remove(position);
                    CancelOutcome::Interrupted
                }
                None => CancelOutcome::TooLate,
            },
        };
        let response = CancelResponse { outcome: outcome.into() };
        self.answer(id, &Outcome::Plain(response::Outcome::Cancel(response)), vec![], sink);
    }

    fn run(
        &mut self,
        id: u32,
        call: request::Call,
        attachments: Vec<Box<dyn Attachment>>,
        sink: Sink<'_>,
    ) {
        // An id that is used again is another request.
        self.interrupted.retain(|stopped| *stopped != id);
        let seq_before = self.commit_seq();
        let result = match (call, &mut self.phase) {
            (_, Phase::Loading(_) | Phase::Opening(_)) => {
                unreachable!("nothing runs before the session is open")
            }
            (request::Call::Init(init), Phase::New) => {
                let Some(outcome) = self.init(id, init, attachments, sink).transpose() else {
                    return;
                };
                outcome
            }
            (request::Call::Init(_), Phase::Ready(_)) => {
                let message = "the session is initialised; open another for another database";
                Err(Error::new(Reason::AlreadyInitialized, message))
            }
            (request::Call::Close(close), _) => {
                return self.close(id, close.discard_unsaved, sink);
            }
            (_, Phase::New) => Err(not_initialized()),
            (_, Phase::Over { reason, .. }) => {
                Err(Error::new(*reason, "the session is over; open a new one"))
            }
            (request::Call::Exec(exec), Phase::Ready(_)) => {
                self.exec(id, exec, &attachments, sink).map(Outcome::Exec)
            }
            (request::Call::ExecBatch(batch), Phase::Ready(_)) => {
                self.exec_batch(id, batch, &attachments, sink)
            }
            (request::Call::Fetch(fetch), Phase::Ready(_)) => return self.fetch(id, &fetch, sink),
            (request::Call::CloseCursor(close), Phase::Ready(ready)) => {
                ready.database.cursors.close(close.cursor).map(|()| {
                    Outcome::Plain(response::Outcome::CloseCursor(CloseCursorResponse {}))
                })
            }
            (request::Call::Export(_), Phase::Ready(_)) => return self.export(id, sink),
            (
                request::Call::Save(_) | request::Call::Suspend(_) | request::Call::Resume(_),
                Phase::Ready(_),
            ) if self.options.storage.is_empty() => Err(Error::capability("PERSISTENCE")),
            (request::Call::Save(_), Phase::Ready(_)) => self.save(sink),
            (request::Call::Suspend(_), Phase::Ready(_)) => Ok(self.suspend(sink)),
            (request::Call::Resume(resume), Phase::Ready(_)) => {
                let Some(outcome) = self.resume(id, resume.wait_ms, sink) else { return };
                Ok(outcome)
            }
            (request::Call::Control(control), Phase::Ready(_)) => {
                let Some(outcome) = self.control(control.op, sink).transpose() else { return };
                outcome
            }
            (request::Call::Cancel(_), Phase::Ready(_)) => {
                unreachable!("a cancel is answered on arrival")
            }
        };
        let has_committed = self.commit_seq() > seq_before;
        match result {
            Ok(outcome) => self.answer_in_turn(id, outcome, vec![], has_committed, sink),
            Err(error) => {
                let defect = (error.reason == Reason::EngineDefect).then(|| error.clone());
                let outcome = Outcome::Plain(response::Outcome::Error(error.into()));
                self.answer_in_turn(id, outcome, vec![], has_committed, sink);
                if let Some(defect) = defect {
                    self.end(defect, sink);
                }
            }
        }
    }

    fn exec(
        &mut self,
        id: u32,
        request: ExecRequest,
        attachments: &[Box<dyn Attachment>],
        sink: Sink<'_>,
    ) -> Result<ExecOutcome> {
        let result_bytes = self.options.limits.max_result_bytes as usize;
        self.exec_within(id, request, attachments, result_bytes, sink)
    }

    fn exec_within(
        &mut self,
        id: u32,
        request: ExecRequest,
        attachments: &[Box<dyn Attachment>],
        result_bytes: usize,
        sink: Sink<'_>,
    ) -> Result<ExecOutcome> {
        let by = self.may_be_cancelled(id);
        let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
        let limits = &self.options.limits;
        let platform = &*self.platform;
        let around = Surroundings { attachments, limits, platform, result_bytes, request: by };
        let is_alone = !ready.database.link.in_transaction();
        let result = ready.database.exec(request, &around);
        if ready.database.link.take_cancelled() {
            self.interrupted.push(id);
        }
        if ready.database.note_commit(is_alone && result.is_ok()) {
            self.committed(sink);
        } else if is_alone && ready.database.link.in_transaction() {
            // What the transaction writes must not get into the save of what came before.
            self.save_strictly(sink);
        }
        result
    }

    fn exec_batch(
        &mut self,
        id: u32,
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
            // Statements may be too short to be stopped on their way.
            let result = match index > 0 && self.is_stopped(id) {
                true => Err(Error::new(Reason::Cancelled, "cancelled before it ran")),
                false => self.exec_within(id, statement, attachments, left, sink),
            };
            match result {
                Ok(outcome) => {
                    let used = outcome.batch.as_ref().map_or(0, |batch| batch.encoded_len());
                    left = left.saturating_sub(used);
                    items.push(Ok(outcome));
                }
                Err(mut error) => {
                    error.batch_index = u32::try_from(index).ok();
                    let is_cancelled = self.interrupted.contains(&id);
                    items.push(Err(EngineError::from(error)));
                    if !goes_on || is_cancelled {
                        break;
                    }
                }
            }
        }
        Ok(Outcome::ExecBatch(items))
    }

    /// Answers with as many batches as the host is ready for.
    fn fetch(&mut self, id: u32, fetch: &FetchRequest, sink: Sink<'_>) {
        for count in 0..fetch.credit.max(1) {
            let is_stopped = count > 0 && self.is_stopped(id);
            let by = self.may_be_cancelled(id);
            let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
            let result = match is_stopped {
                // As if its statement had been interrupted.
                true => ready.database.cursors.close(fetch.cursor).and_then(|()| {
                    Err(Error::new(Reason::Cancelled, "cancelled between two batches"))
                }),
                false => ready.database.fetch(fetch.cursor, by),
            };
            if ready.database.link.take_cancelled() {
                self.interrupted.push(id);
            }
            match result {
                Ok((batch, done)) => {
                    let outcome = Outcome::Fetch { batch, done };
                    self.answer_in_turn(id, outcome, vec![], false, sink);
                    if done {
                        return;
                    }
                }
                Err(error) => {
                    let outcome = Outcome::Plain(response::Outcome::Error(error.into()));
                    return self.answer_in_turn(id, outcome, vec![], false, sink);
                }
            }
        }
    }

    /// Once a `close` has arrived no `cancel` counts any more.
    fn may_be_cancelled(&self, id: u32) -> u32 {
        if self.is_closing() { 0 } else { id }
    }

    /// Whether the request that runs was cancelled, asked between two parts of it.
    fn is_stopped(&mut self, id: u32) -> bool {
        let asked = self.may_be_cancelled(id);
        if self.interrupted.contains(&id) {
            return true;
        }
        let is_stopped = self.platform.hears_cancels() && self.platform.is_cancelled(asked);
        if is_stopped {
            self.interrupted.push(id);
        }
        is_stopped
    }

    fn close(&mut self, id: u32, discard_unsaved: bool, sink: Sink<'_>) {
        self.release_held(sink);
        let result = self.put_away(discard_unsaved, sink);
        if self.died(sink) {
            return;
        }
        self.give_up(Reason::Closed);
        match result {
            Ok(()) => {
                let outcome = Outcome::Plain(response::Outcome::Close(CloseResponse {}));
                self.answer(id, &outcome, vec![], sink);
            }
            Err(error) => self.refuse(id, error, sink),
        }
    }

    /// Ends the session from this side. What waits is answered first, so that nobody waits on.
    fn end(&mut self, error: Error, sink: Sink<'_>) {
        if self.is_over() {
            return;
        }
        let is_defect = error.reason == Reason::EngineDefect;
        if is_defect {
            for held in std::mem::take(&mut self.held) {
                let id = match held {
                    Held::Answer(answer) => answer.id,
                    Held::Commit(commit) => {
                        self.send_event(event::Kind::Commit(commit), sink);
                        continue;
                    }
                };
                let error = Error::new(Reason::Failed, "the session ended before this was stored");
                self.refuse(id, error, sink);
            }
        }
        self.release_held(sink);
        if let Some(id) = self.opening_id() {
            let error = Error::new(Reason::Failed, "the session ended before this was done");
            self.refuse(id, error, sink);
        }
        if !is_defect {
            self.save_to_end(sink);
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

    /// Answers a request that ran. It waits behind answers that wait, and for a save of what the
    /// request committed where durability is strict.
    fn answer_in_turn(
        &mut self,
        id: u32,
        outcome: Outcome,
        attachments: Vec<Snapshot>,
        has_committed: bool,
        sink: Sink<'_>,
    ) {
        if self.died(sink) {
            return;
        }
        let state = self.state();
        let waits = has_committed
            && state.saved_seq < state.commit_seq
            && match &self.phase {
                Phase::Ready(ready) => {
                    ready.persistence.as_ref().is_some_and(|kept| kept.is_strict)
                }
                _ => false,
            };
        if waits || !self.held.is_empty() {
            let answer = HeldAnswer { id, outcome, attachments, state, has_committed };
            self.held.push(Held::Answer(answer));
            // The next statement of the transaction must not get into the save.
            if state.in_transaction {
                self.release_held(sink);
            }
            return;
        }
        send_answer(id, state, &outcome, attachments, sink);
        self.reuse(outcome);
    }

    fn answer(&self, id: u32, outcome: &Outcome, attachments: Vec<Snapshot>, sink: Sink<'_>) {
        send_answer(id, self.state(), outcome, attachments, sink);
    }

    fn send_event(&mut self, kind: event::Kind, sink: Sink<'_>) {
        send_event(&mut self.last_event_seq, kind, sink);
    }

    fn commit_seq(&self) -> u64 {
        match &self.phase {
            Phase::Ready(ready) => ready.database.commit_seq(),
            _ => 0,
        }
    }

    fn state(&self) -> SessionState {
        match &self.phase {
            Phase::Ready(ready) => SessionState {
                in_transaction: ready.database.link.in_transaction(),
                commit_seq: ready.database.commit_seq(),
                saved_seq: ready.persistence.as_ref().map_or(0, Persistence::saved_seq),
            },
            Phase::Over { state, .. } => *state,
            Phase::New | Phase::Loading(_) | Phase::Opening(_) => SessionState::default(),
        }
    }
}

fn send_event(last_event_seq: &mut u64, kind: event::Kind, sink: Sink<'_>) {
    *last_event_seq += 1;
    let event = WireEvent { seq: *last_event_seq, kind: Some(kind) };
    sink(Effect::Send { frame: encode_event(event), attachments: vec![] });
}

fn send_answer(
    id: u32,
    state: SessionState,
    outcome: &Outcome,
    attachments: Vec<Snapshot>,
    sink: Sink<'_>,
) {
    let sizes = attachments.iter().map(Snapshot::len).collect();
    let frame = encode_response(id, state, outcome, sizes);
    sink(Effect::Send { frame, attachments });
}

impl ManualClock {
    fn now_ms(&self, platform: &dyn Platform) -> u64 {
        if self.is_manual { self.now_ms } else { platform.monotonic_ms() }
    }
}

impl Held {
    fn answers(&self, request: u32) -> bool {
        matches!(self, Held::Answer(answer) if answer.id == request)
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

/// More answers than this do not wait for a save in common.
const HELD_ANSWERS: usize = 256;
