//! One session seen from the host: requests out, answers and events in, and every message checked against the manual.
//!
//! What the engine breaks is collected in `breaches` and reported as the case `wire/valid-frames`; what the runner itself
//! gets wrong in `own_breaches`, reported as `harness/valid-frames`. The steps of a case only look at meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use crate::batch;
use crate::proto::{self, Fields as _};
use crate::trace::{Direction, Recorder};
use crate::transport::{How, Incoming, Link, SendOptions};
use crate::value::Cell;
use crate::wire::Message;

/// A session on one link.
pub struct Session {
    /// The link, for what goes around the session.
    pub link: Box<dyn Link>,
    /// Rules the engine broke.
    pub breaches: Vec<String>,
    /// Rules the runner broke.
    pub own_breaches: Vec<String>,
    /// The last frames, and the trace if one is written.
    pub recorder: Recorder,
    /// What the bridge saw since the step began.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Whatever arrives, for whoever passes it on; `None` where nobody does.
    pub tap: Option<Vec<Message>>,
    /// Messages sent since the step began.
    pub messages_sent: u64,
    /// Messages received since the step began.
    pub messages_received: u64,
    pending: Vec<Pending>,
    first_open: usize,
    next_id: u32,
    next_seq: u64,
    events: Vec<(Instant, DynamicMessage)>,
    opened: Option<DynamicMessage>,
    kinds: BTreeSet<i32>,
    event_commit_seq: u64,
    state: (u64, u64),
    /// commit_seq of the last answer that did not overtake.
    answered_seq: u64,
    strict: bool,
    /// CommitDetail, as asked for.
    commit_detail: i128,
    autosave: Autosave,
    /// commit_seq of the last SAVED event.
    told_saved: u64,
    cursors: BTreeMap<u32, CursorInfo>,
    dead_cursors: BTreeSet<u32>,
    phase: Phase,
    ended: Option<String>,
    arrivals: u64,
}

/// Names one sent request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(usize);

/// One response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The response.
    pub response: DynamicMessage,
    /// What came with it.
    pub attachments: Vec<Vec<u8>>,
    /// The rows of its batch, if it has a good one.
    pub rows: Option<Vec<Vec<Cell>>>,
}

/// Why waiting ended without an answer.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The deadline passed; what was waited for.
    Timeout(String),
    /// The implementation's side of the transport ended.
    Ended(String),
    /// What arrived is no message.
    Garbage(String),
    /// A ClosedEvent; its reason.
    Closed(DynamicMessage),
}

struct Pending {
    id: u32,
    request: Option<DynamicMessage>,
    legal: bool,
    expected: usize,
    answers: Vec<Answer>,
    done: bool,
    before_failure: bool,
}

impl Pending {
    fn scope(&self) -> i128 {
        self.request.as_ref().map_or(0, |request| request.int("scope"))
    }
}

/// A request of one scope may have to wait for the transaction of another, which goes on meanwhile.
fn may_wait(earlier: i128, answered: i128) -> bool {
    earlier != 0 && answered != 0 && earlier != answered
}

#[derive(Clone, Copy)]
struct CursorInfo {
    max_rows: i128,
    max_bytes: i128,
    columns: usize,
}

/// How the breach is worded that engines never commit and echoes always.
pub const A_REQUEST_CAME: &str = "a request from the engine";

/// What the autosave events have said so far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Autosave {
    Idle,
    Scheduled,
    Writing,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Open,
    Closed,
    Failed(DynamicMessage),
}

impl Session {
    /// A session on a fresh link.
    pub fn new(link: Box<dyn Link>, recorder: Recorder) -> Session {
        Session {
            link,
            breaches: Vec::new(),
            own_breaches: Vec::new(),
            recorder,
            facts: serde_json::Map::new(),
            tap: None,
            messages_sent: 0,
            messages_received: 0,
            pending: Vec::new(),
            first_open: 0,
            next_id: 1,
            next_seq: 1,
            events: Vec::new(),
            opened: None,
            kinds: BTreeSet::new(),
            event_commit_seq: 0,
            state: (0, 0),
            answered_seq: 0,
            strict: false,
            commit_detail: 0,
            autosave: Autosave::Idle,
            told_saved: 0,
            cursors: BTreeMap::new(),
            dead_cursors: BTreeSet::new(),
            phase: Phase::Open,
            ended: None,
            arrivals: 0,
        }
    }

    /// The successful InitResponse, if there was one.
    pub fn opened(&self) -> Option<&DynamicMessage> {
        self.opened.as_ref()
    }

    /// True until the session was closed, failed, or its transport ended.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open && self.ended.is_none()
    }

    /// True once the engine ended the session by itself.
    pub fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Failed(_))
    }

    /// True once the other side of the transport is gone.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// A step begins: counters and facts start anew.
    pub fn begin_step(&mut self) {
        self.messages_sent = 0;
        self.messages_received = 0;
        self.facts.clear();
    }

    /// Sends a request; with `id` instead of the next one if given.
    pub fn send(
        &mut self,
        request: DynamicMessage,
        attachments: Vec<Vec<u8>>,
        id: Option<u32>,
    ) -> Result<Token, String> {
        let explicit = id.is_some();
        let id = id.unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id - 1
        });
        let mut frame = DynamicMessage::new(proto::message("Frame"));
        frame.set_field_by_name("id", Value::U32(id));
        let sizes = attachments.iter().map(|bytes| Value::U64(bytes.len() as u64)).collect();
        frame.set_field_by_name("attachment_sizes", Value::List(sizes));
        frame.set_field_by_name("request", Value::Message(request));
        let message = Message { frame: proto::encode(&frame), attachments };
        self.send_message(&message, SendOptions::default(), !explicit, Some(id))
            .map(|token| token.expect("an id was given"))
    }

    /// Sends any message. With `awaited` the answer to that id is awaited under the returned token.
    pub fn send_message(
        &mut self,
        message: &Message,
        options: SendOptions,
        legal: bool,
        awaited: Option<u32>,
    ) -> Result<Option<Token>, String> {
        if legal {
            self.check_own(message);
        }
        self.recorder.note(Direction::Send, message);
        self.messages_sent += 1;
        let request = proto::decode("Frame", &message.frame)
            .ok()
            .and_then(|frame| frame.msg("request").cloned());
        self.link.send(message, options)?;
        Ok(awaited.map(|id| {
            let credit = request
                .as_ref()
                .and_then(|request| request.msg("fetch"))
                .map_or(1, |fetch| fetch.int("credit").max(1));
            self.pending.push(Pending {
                id,
                request,
                legal,
                expected: credit as usize,
                answers: Vec::new(),
                done: false,
                before_failure: !matches!(self.phase, Phase::Failed(_)),
            });
            Token(self.pending.len() - 1)
        }))
    }

    /// Sends what somebody else wrote and judges: it counts as legal, and is not the runner's.
    pub fn pass_on(&mut self, message: &Message, awaited: Option<u32>) -> Result<(), String> {
        let token = self.send_message(message, SendOptions::default(), false, awaited)?;
        if let Some(token) = token {
            self.pending[token.0].legal = true;
        }
        Ok(())
    }

    /// The id a request was sent with.
    pub fn id(&self, token: Token) -> u32 {
        self.pending[token.0].id
    }

    /// Nothing waits for this request's answer, and none should come before the transport ends.
    pub fn expect_silence(&mut self, token: Token) {
        self.pending[token.0].legal = false;
    }

    /// Waits until a request is fully answered, and hands the answers over; to be called once per token.
    pub fn wait(&mut self, token: Token, deadline: Instant) -> Result<Vec<Answer>, Stop> {
        loop {
            let pending = &mut self.pending[token.0];
            if pending.done {
                return Ok(std::mem::take(&mut pending.answers));
            }
            if let Phase::Failed(reason) = &self.phase
                && pending.before_failure
            {
                return Err(Stop::Closed(reason.clone()));
            }
            let waiting_for = format!(
                "the answer to request {}{}",
                pending.id,
                match pending.answers.len() {
                    0 => String::new(),
                    n => format!(" ({n} of {} came)", pending.expected),
                }
            );
            self.pump(deadline, &waiting_for)?;
        }
    }

    /// Waits for the ClosedEvent and returns its reason.
    pub fn wait_closed(&mut self, deadline: Instant) -> Result<DynamicMessage, Stop> {
        loop {
            if let Phase::Failed(reason) = &self.phase {
                return Ok(reason.clone());
            }
            self.pump(deadline, "a ClosedEvent")?;
        }
    }

    /// Waits for the end of the other side of the transport; everything that still comes is checked.
    pub fn wait_end(&mut self, deadline: Instant) -> Result<String, Stop> {
        loop {
            match self.pump(deadline, "the end of the transport") {
                Ok(()) => {}
                Err(Stop::Ended(how)) => return Ok(how),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Requests that wait for their answers, oldest first: id and call.
    pub fn unanswered(&self) -> Vec<(u32, String)> {
        let call = |pending: &Pending| {
            pending.request.as_ref().and_then(|request| request.which("call")).unwrap_or_default()
        };
        let open = self.pending.iter().filter(|pending| !pending.done);
        open.map(|pending| (pending.id, call(pending))).collect()
    }

    /// True if nothing more is to come for this request.
    pub fn is_answered(&self, token: Token) -> bool {
        self.pending[token.0].done
    }

    /// Receives one thing, whatever it is; false if nothing came until the deadline or the transport has ended.
    pub fn poll(&mut self, deadline: Instant) -> bool {
        self.pump(deadline, "").is_ok()
    }

    /// The events since the last call, oldest first, without log events.
    pub fn take_events(&mut self) -> Vec<DynamicMessage> {
        self.take_timed_events().into_iter().map(|(_, event)| event).collect()
    }

    /// The same, with the times at which they came.
    pub fn take_timed_events(&mut self) -> Vec<(Instant, DynamicMessage)> {
        std::mem::take(&mut self.events)
    }

    /// How many events wait to be taken.
    pub fn waiting_events(&self) -> usize {
        self.events.len()
    }

    /// The session is over for the host: ends the transport and checks that nothing else arrives. Bounded by `grace`.
    pub fn finish(&mut self, grace: Duration) {
        if self.ended.is_none() {
            self.link.end(How::End);
            // A server may keep a socket open for a moment; what matters is what comes, not when the end is noticed.
            let _ = self.wait_end(Instant::now() + grace);
        }
    }

    /// Receives one thing.
    fn pump(&mut self, deadline: Instant, waiting_for: &str) -> Result<(), Stop> {
        if let Some(how) = &self.ended {
            return Err(Stop::Ended(how.clone()));
        }
        match self.link.receive(deadline) {
            None => Err(Stop::Timeout(match self.link.unfinished() {
                Some(unfinished) => format!("{waiting_for}; {unfinished}"),
                None => waiting_for.to_owned(),
            })),
            Some(Incoming::Message(message)) => {
                self.messages_received += 1;
                self.recorder.note(Direction::Receive, &message);
                if let Some(tap) = &mut self.tap {
                    tap.push(message.clone());
                }
                self.take_message(message);
                Ok(())
            }
            Some(Incoming::Fact(facts)) => {
                if let serde_json::Value::Object(facts) = facts {
                    self.facts.extend(facts);
                }
                Ok(())
            }
            Some(Incoming::Garbage(what)) => {
                self.ended = Some(what.clone());
                self.breach(what.clone());
                Err(Stop::Garbage(what))
            }
            Some(Incoming::End(how)) => {
                self.ended = Some(how.clone());
                Err(Stop::Ended(how))
            }
        }
    }

    fn take_message(&mut self, message: Message) {
        self.arrivals += 1;
        let frame = match proto::decode("Frame", &message.frame) {
            Ok(frame) => frame,
            Err(error) => return self.breach(format!("a frame that does not decode: {error}")),
        };
        let sizes: Vec<u64> =
            frame.items("attachment_sizes").iter().filter_map(Value::as_u64).collect();
        let actual: Vec<u64> = message.attachments.iter().map(|bytes| bytes.len() as u64).collect();
        if sizes != actual {
            self.breach(format!("attachment_sizes {sizes:?}, attachments of {actual:?} bytes"));
        }
        let id = frame.int("id") as u32;
        match frame.which("body").as_deref() {
            Some("response") => {
                let response = frame.msg("response").expect("it is set").clone();
                self.take_response(id, response, message.attachments);
            }
            Some("event") => {
                if id != 0 {
                    self.breach(format!("an event with id {id}"));
                }
                if !message.attachments.is_empty() {
                    self.breach("an event with attachments".to_owned());
                }
                let event = frame.msg("event").expect("it is set").clone();
                self.take_event(event);
            }
            Some(_) => self.breach(format!("{A_REQUEST_CAME}, id {id}")),
            None => self.breach(format!("a frame without body, id {id}")),
        }
    }

    fn take_event(&mut self, event: DynamicMessage) {
        let seq = event.int("seq") as u64;
        if seq != self.next_seq {
            self.breach(format!("event number {seq}, expected {}", self.next_seq));
        }
        self.next_seq = seq + 1;
        match &self.phase {
            Phase::Open => {}
            Phase::Closed => self.breach(format!("event {seq} after the answer to close")),
            Phase::Failed(_) => self.breach(format!("event {seq} after the ClosedEvent")),
        }
        let kind = event.which("kind");
        let number = match kind.as_deref() {
            Some("commit") => 1,
            Some("autosave") => 2,
            Some("plugin") => 3,
            Some("log") => 4,
            Some("closed") => 0,
            Some(_) => return,
            None => return self.breach(format!("event {seq} without a kind")),
        };
        if number != 0 && self.opened.is_some() && !self.kinds.contains(&number) {
            self.breach(format!(
                "an event of kind {}, which nobody asked for",
                kind.as_deref().unwrap_or_default()
            ));
        }
        if let Some(commit) = event.msg("commit") {
            self.check_commit_rows(commit);
            let commit_seq = commit.int("commit_seq") as u64;
            if commit_seq != self.event_commit_seq + 1 {
                self.breach(format!(
                    "commit event {commit_seq} after commit event {}",
                    self.event_commit_seq
                ));
            }
            if self.kinds.contains(&1) && commit_seq <= self.state.0 {
                self.breach(format!(
                    "commit event {commit_seq} after a response whose state already had commit_seq {}",
                    self.state.0
                ));
            }
            self.event_commit_seq = commit_seq;
        }
        if let Some(closed) = event.msg("closed") {
            match closed.msg("reason") {
                Some(reason) => {
                    self.check_error(reason, None);
                    if self.phase == Phase::Open {
                        self.phase = Phase::Failed(reason.clone());
                    }
                }
                None => {
                    self.breach("a ClosedEvent without reason".to_owned());
                    self.phase = Phase::Failed(DynamicMessage::new(proto::message("EngineError")));
                }
            }
            return;
        }
        if let Some(autosave) = event.msg("autosave") {
            self.check_autosave(seq, autosave);
        }
        if number != 4 {
            self.events.push((Instant::now(), event));
        }
    }

    /// Writes come one after the other, each begins and ends, and says of itself what belongs to it.
    fn check_autosave(&mut self, seq: u64, autosave: &DynamicMessage) {
        let phase = proto::enum_name("AutosavePhase", autosave.int("phase") as i32);
        let commit_seq = autosave.int("commit_seq") as u64;
        if self.kinds.contains(&1) && commit_seq > self.event_commit_seq {
            self.breach(format!(
                "autosave event {seq} speaks of commit {commit_seq}, the last commit event of {}",
                self.event_commit_seq
            ));
        }
        if (phase == "FAILED") != autosave.msg("error").is_some() {
            self.breach(format!("autosave event {seq}, {phase}, has a wrong error field"));
        }
        if let Some(error) = autosave.msg("error") {
            self.check_error(error, None);
        }
        if phase != "SAVED" && autosave.int("bytes") != 0 {
            self.breach(format!("autosave event {seq}, {phase}, has written bytes"));
        }
        let next = match (self.autosave, phase.as_str()) {
            (Autosave::Idle | Autosave::Scheduled, "STARTED") => Autosave::Writing,
            (Autosave::Idle, "SCHEDULED") => Autosave::Scheduled,
            // Commits during a write are there to be saved when it ends, or already now.
            (Autosave::Writing, "SCHEDULED") => Autosave::Writing,
            (Autosave::Writing, "SAVED") => {
                if commit_seq < self.told_saved {
                    self.breach(format!(
                        "autosave event {seq} has saved commit {commit_seq}, {} was saved before",
                        self.told_saved
                    ));
                }
                self.told_saved = commit_seq;
                Autosave::Idle
            }
            (Autosave::Writing, "FAILED") => Autosave::Scheduled,
            (before, phase) => {
                self.breach(format!("autosave event {seq} is {phase} while {before:?}"));
                match phase {
                    "SCHEDULED" | "FAILED" => Autosave::Scheduled,
                    "STARTED" => Autosave::Writing,
                    _ => Autosave::Idle,
                }
            }
        };
        self.autosave = next;
    }

    fn take_response(&mut self, id: u32, response: DynamicMessage, attachments: Vec<Vec<u8>>) {
        let outcome = response.which("outcome");
        let error = response.msg("error").cloned();
        let reason = error.as_ref().map(|error| error.text("reason").to_owned());

        // Two requests may share an id on purpose; the refusal belongs to the later one.
        let mut candidates = (self.first_open..self.pending.len())
            .filter(|at| !self.pending[*at].done && self.pending[*at].id == id);
        let found = if reason.as_deref() == Some("ID_REUSED") {
            candidates.next_back()
        } else {
            candidates.next()
        };
        let Some(at) = found else {
            let twice = self.pending.iter().any(|pending| pending.id == id);
            return self.breach(if twice {
                format!("a second answer to request {id}: {}", summary(&response))
            } else {
                format!("an answer to request {id}, which nobody sent: {}", summary(&response))
            });
        };

        let overtakes = overtakes(&response);
        if !overtakes
            && let Some(earlier) =
                self.pending[self.first_open.min(at)..at].iter().find(|pending| {
                    !pending.done
                        && pending.legal
                        && !may_wait(pending.scope(), self.pending[at].scope())
                        && !matches!(self.phase, Phase::Failed(_))
                })
        {
            self.breaches.push(format!(
                "request {id} is answered before request {}, which was sent earlier",
                earlier.id
            ));
        }
        self.check_state(id, &response, overtakes);
        if !overtakes {
            self.check_promise(at, &response);
        }
        // A refusal may cross with the ClosedEvent: the request was under way when the session ended.
        if let Phase::Failed(_) = self.phase
            && self.pending[at].before_failure
            && reason.as_deref() != Some("FAILED")
        {
            self.breach(format!(
                "request {id} was waiting when the ClosedEvent came, and is answered after it"
            ));
        }

        let request = self.pending[at].request.clone();
        let call = request.as_ref().and_then(|request| request.which("call"));
        match (&outcome, &call) {
            (None, _) => self.breach(format!("the response to {id} has no outcome")),
            (Some(outcome), Some(call)) if outcome != "error" && outcome != call => {
                self.breach(format!("the response to {id}, {call}, is {outcome}"));
            }
            _ => {}
        }
        if self.phase == Phase::Closed && outcome.as_deref() != Some("error") {
            self.breach(format!("request {id} succeeded after the answer to close"));
        }

        let mut rows = None;
        let mut used_attachments = 0;
        if let Some(error) = &error {
            let batch_len = request
                .as_ref()
                .and_then(|request| request.msg("exec_batch"))
                .map(|batch| batch.items("statements").len());
            if let Some(index) = error.opt_int("batch_index")
                && batch_len.is_none_or(|len| index >= len as i128)
            {
                self.breach(format!("the error response to {id} has batch_index {index}"));
            }
            let sql = request
                .as_ref()
                .and_then(|request| request.msg("exec"))
                .map(|exec| exec.text("sql").to_owned());
            self.check_error(error, sql.as_deref().filter(|_| batch_len.is_none()));
        }
        if let Some(init) = response.msg("init") {
            self.check_init(init, request.as_ref());
        }
        if let Some(exec) = response.msg("exec") {
            let asked = request.as_ref().and_then(|request| request.msg("exec"));
            rows = self.check_exec(exec, asked, false);
        }
        if let Some(batch) = response.msg("exec_batch") {
            let asked = request.as_ref().and_then(|request| request.msg("exec_batch"));
            self.check_exec_batch(batch, asked);
        }
        if let Some(fetch) = response.msg("fetch") {
            let asked = request.as_ref().and_then(|request| request.msg("fetch"));
            rows = self.check_fetch(fetch, asked);
        }
        if let Some(export) = response.msg("export") {
            used_attachments = 1;
            let index = export.int("image_attachment");
            if attachments.len() as i128 <= index {
                self.breach(format!(
                    "image_attachment {index} of {} attachments",
                    attachments.len()
                ));
            }
        }
        if attachments.len() > used_attachments {
            self.breach(format!(
                "the response to {id} has {} attachments, {used_attachments} in use",
                attachments.len()
            ));
        }
        // A last save that fails does not keep the session open.
        let last_save_failed = call.as_deref() == Some("close")
            && error.as_ref().is_some_and(|error| error.int("code") == CODE_STORAGE);
        if response.msg("close").is_some() || last_save_failed {
            self.phase = Phase::Closed;
        }

        let is_fetch = call.as_deref() == Some("fetch");
        let fetch_done = response.msg("fetch").is_none_or(|fetch| fetch.flag("done"));
        let pending = &mut self.pending[at];
        pending.answers.push(Answer { response, attachments, rows });
        pending.done = !is_fetch || fetch_done || pending.answers.len() >= pending.expected;
        while self.pending.get(self.first_open).is_some_and(|pending| pending.done) {
            self.first_open += 1;
        }
    }

    fn check_state(&mut self, id: u32, response: &DynamicMessage, overtakes: bool) {
        let Some(state) = response.msg("state") else {
            return self.breach(format!("the response to {id} has no state"));
        };
        let (commit_seq, saved_seq) =
            (state.int("commit_seq") as u64, state.int("saved_seq") as u64);
        if saved_seq > commit_seq {
            self.breach(format!("saved_seq {saved_seq} is above commit_seq {commit_seq}"));
        }
        if commit_seq < self.state.0 || saved_seq < self.state.1 {
            self.breach(format!(
                "the state went back from commit_seq {} and saved_seq {} to {commit_seq} and {saved_seq}",
                self.state.0, self.state.1
            ));
        }
        if !overtakes
            && self.opened.is_some()
            && self.kinds.contains(&1)
            && commit_seq != self.event_commit_seq
        {
            self.breach(format!(
                "the response to {id} says commit_seq {commit_seq}, the last commit event before it {}",
                self.event_commit_seq
            ));
        }
        if saved_seq > self.told_saved && self.kinds.contains(&2) {
            self.breach(format!(
                "the response to {id} says saved_seq {saved_seq}, the last SAVED event before it {}",
                self.told_saved
            ));
        }
        if saved_seq > 0
            && self.opened.as_ref().is_some_and(|init| init.int("storage") == STORAGE_MEMORY)
        {
            self.breach(format!("the response to {id} says saved_seq {saved_seq} of memory"));
        }
        self.state = (commit_seq, saved_seq);
    }

    /// What a strict session promises with the answer to a request that committed, and everybody with that to save.
    fn check_promise(&mut self, at: usize, response: &DynamicMessage) {
        let Some(state) = response.msg("state") else { return };
        let (commit_seq, saved_seq) =
            (state.int("commit_seq") as u64, state.int("saved_seq") as u64);
        let committed = commit_seq > self.answered_seq;
        self.answered_seq = commit_seq;
        let id = self.pending[at].id;
        if response.msg("error").is_some() {
            return;
        }
        if self.strict && committed && saved_seq != commit_seq {
            self.breach(format!(
                "request {id} committed in a strict session and is answered with saved_seq {saved_seq} of {commit_seq}"
            ));
        }
        let told = response
            .msg("save")
            .or_else(|| response.msg("suspend"))
            .map(|answer| answer.int("saved_seq") as u64);
        if let Some(told) = told
            && told != saved_seq
        {
            self.breach(format!("the answer to {id} says saved_seq {told}, its state {saved_seq}"));
        }
    }

    fn check_init(&mut self, init: &DynamicMessage, request: Option<&DynamicMessage>) {
        let asked = request.and_then(|request| request.msg("init"));
        if let Some(asked) = asked
            && init.int("minor") > asked.int("minor")
        {
            self.breach(format!(
                "minor {} is in force, the host knows {}",
                init.int("minor"),
                asked.int("minor")
            ));
        }
        for name in ["engine_name", "engine_version", "sqlite_version"] {
            if init.text(name).is_empty() {
                self.breach(format!("InitResponse.{name} is empty"));
            }
        }
        if init.int("storage") == 0 {
            self.breach("InitResponse.storage is unspecified".to_owned());
        }
        let capabilities: Vec<i32> =
            init.items("capabilities").iter().filter_map(Value::as_enum_number).collect();
        let distinct: BTreeSet<i32> = capabilities.iter().copied().collect();
        if distinct.len() != capabilities.len() || distinct.contains(&0) {
            self.breach(format!(
                "capabilities {capabilities:?} name one twice or an unspecified one"
            ));
        }
        match init.msg("limits") {
            None => self.breach("InitResponse.limits is absent".to_owned()),
            Some(limits) => {
                for field in proto::message("Limits").fields() {
                    if limits.int(field.name()) == 0 {
                        self.breach(format!("InitResponse.limits.{} is 0", field.name()));
                    }
                }
            }
        }
        self.kinds = asked
            .and_then(|asked| asked.msg("events"))
            .map(|events| events.items("kinds").iter().filter_map(Value::as_enum_number).collect())
            .unwrap_or_default();
        self.commit_detail = asked
            .and_then(|asked| asked.msg("events"))
            .map_or(0, |events| events.int("commit_detail"));
        self.strict = asked.is_some_and(|asked| asked.int("durability") == DURABILITY_STRICT)
            && init.int("storage") != STORAGE_MEMORY;
        // What the first save had to say; events are counted from init on.
        self.events.clear();
        self.opened = Some(init.clone());
    }

    fn check_exec(
        &mut self,
        exec: &DynamicMessage,
        asked: Option<&DynamicMessage>,
        in_batch: bool,
    ) -> Option<Vec<Vec<Cell>>> {
        let mode = asked.map_or(1, |asked| asked.int("rows"));
        let columns = exec.items("columns").len();
        if (columns > 0) != exec.msg("batch").is_some() {
            self.breach(format!(
                "{columns} columns, and a batch is {}",
                if columns > 0 { "absent" } else { "present" }
            ));
        }
        if mode == MODE_NONE && columns > 0 {
            self.breach("columns with ROW_MODE_NONE".to_owned());
        }
        let rows = self.check_batch(exec.msg("batch"), columns);
        if let Some(cursor) = exec.opt_int("cursor") {
            let cursor = cursor as u32;
            if mode != MODE_CURSOR || in_batch {
                self.breach(format!("cursor {cursor}, which nobody asked for"));
            }
            if cursor == 0
                || self.cursors.contains_key(&cursor)
                || self.dead_cursors.contains(&cursor)
            {
                self.breach(format!("cursor id {cursor} is 0 or used before"));
            }
            let or = |value: i128, default: i128| if value == 0 { default } else { value };
            self.cursors.insert(
                cursor,
                CursorInfo {
                    max_rows: or(
                        asked.map_or(0, |asked| asked.int("max_batch_rows")),
                        DEFAULT_BATCH_ROWS,
                    ),
                    max_bytes: or(
                        asked.map_or(0, |asked| asked.int("max_batch_bytes")),
                        DEFAULT_BATCH_BYTES,
                    ),
                    columns,
                },
            );
        }
        if mode == MODE_CURSOR
            && let (Some(asked), Some(batch), Some(rows)) = (asked, exec.msg("batch"), &rows)
        {
            let or = |value: i128, default: i128| if value == 0 { default } else { value };
            self.check_batch_size(
                batch,
                rows.len(),
                or(asked.int("max_batch_rows"), DEFAULT_BATCH_ROWS),
                or(asked.int("max_batch_bytes"), DEFAULT_BATCH_BYTES),
            );
        }
        rows
    }

    fn check_exec_batch(&mut self, batch: &DynamicMessage, asked: Option<&DynamicMessage>) {
        let items = batch.items("items");
        let statements = asked.map(|asked| asked.items("statements")).unwrap_or_default();
        let mut failed = 0;
        for (index, item) in items.iter().enumerate() {
            let Value::Message(item) = item else { continue };
            let statement = match statements.get(index) {
                Some(Value::Message(statement)) => Some(statement),
                _ => None,
            };
            match item.which("outcome").as_deref() {
                Some("ok") => {
                    let ok = item.msg("ok").expect("it is set").clone();
                    self.check_exec(&ok, statement, true);
                }
                Some(_) => {
                    failed += 1;
                    let error = item.msg("error").expect("it is set").clone();
                    if error.opt_int("batch_index") != Some(index as i128) {
                        self.breach(format!(
                            "item {index} of a batch has batch_index {:?}",
                            error.opt_int("batch_index")
                        ));
                    }
                    let sql = statement.map(|statement| statement.text("sql").to_owned());
                    self.check_error(&error, sql.as_deref());
                }
                None => self.breach(format!("item {index} of a batch has no outcome")),
            }
        }
        let Some(asked) = asked else { return };
        let goes_on = asked.int("on_error") == BATCH_CONTINUE;
        let last_error = match items.last() {
            Some(Value::Message(item)) => item.msg("error"),
            _ => None,
        };
        // A cancel ends a batch that would go on after errors.
        let was_cancelled = last_error.is_some_and(|error| error.text("reason") == "CANCELLED");
        let complete = items.len() == statements.len();
        let is_within = items.len() <= statements.len();
        let stopped = !goes_on && last_error.is_some() && failed == 1 && is_within;
        let cancelled = goes_on && was_cancelled && is_within;
        if !(complete && (goes_on || failed == 0) || stopped || cancelled) {
            self.breach(format!(
                "{} items, {failed} of them errors, for {} statements with {}",
                items.len(),
                statements.len(),
                if goes_on { "CONTINUE" } else { "STOP" }
            ));
        }
    }

    fn check_fetch(
        &mut self,
        fetch: &DynamicMessage,
        asked: Option<&DynamicMessage>,
    ) -> Option<Vec<Vec<Cell>>> {
        let cursor = asked.map_or(0, |asked| asked.int("cursor")) as u32;
        let Some(info) = self.cursors.get(&cursor).copied() else {
            self.breach(format!("cursor {cursor} yields rows, though it is not open"));
            return None;
        };
        if fetch.msg("batch").is_none() {
            self.breach("a FetchResponse without batch".to_owned());
        }
        let rows = self.check_batch(fetch.msg("batch"), info.columns);
        if let (Some(batch), Some(rows)) = (fetch.msg("batch"), &rows) {
            if rows.is_empty() {
                self.breach("a batch of a cursor without rows".to_owned());
            }
            self.check_batch_size(batch, rows.len(), info.max_rows, info.max_bytes);
        }
        if fetch.flag("done") {
            self.cursors.remove(&cursor);
            self.dead_cursors.insert(cursor);
        }
        rows
    }

    fn check_batch(
        &mut self,
        batch: Option<&DynamicMessage>,
        columns: usize,
    ) -> Option<Vec<Vec<Cell>>> {
        let batch = batch?;
        let found = batch.items("columns").len();
        if found != columns {
            self.breach(format!("{found} columns in the batch, {columns} in the result"));
        }
        match batch::decode(batch) {
            Ok(rows) => Some(rows),
            Err(faults) => {
                for fault in faults {
                    self.breach(format!("batch: {fault}"));
                }
                None
            }
        }
    }

    /// Columns and rows of a commit event are those that were asked for.
    fn check_commit_rows(&mut self, commit: &DynamicMessage) {
        let columns: &[&str] = match self.commit_detail {
            COMMIT_DETAIL_KEYS => &COMMIT_COLUMNS[..COMMIT_COLUMNS.len() - 1],
            COMMIT_DETAIL_VALUES => &COMMIT_COLUMNS,
            _ => &[],
        };
        let found: Vec<String> = commit
            .items("columns")
            .iter()
            .filter_map(Value::as_message)
            .map(|column| {
                if column.has_field_by_name("decl_type") {
                    format!("{} with a type", column.text("name"))
                } else {
                    column.text("name").to_owned()
                }
            })
            .collect();
        if found != columns {
            self.breach(format!("a commit event has the columns {found:?}, not {columns:?}"));
        }
        match commit.msg("changes") {
            Some(batch) if !columns.is_empty() => {
                self.check_batch(Some(batch), columns.len());
            }
            Some(_) => self.breach("a commit event lists rows, which nobody asked for".to_owned()),
            None if columns.is_empty() => {}
            None => self.breach("a commit event lists no rows".to_owned()),
        }
    }

    fn check_batch_size(
        &mut self,
        batch: &DynamicMessage,
        rows: usize,
        max_rows: i128,
        max_bytes: i128,
    ) {
        if rows as i128 > max_rows {
            self.breach(format!("{rows} rows in a batch of at most {max_rows}"));
        }
        let bytes = batch.encoded_len();
        if rows > 1 && bytes as i128 > max_bytes {
            self.breach(format!("{bytes} bytes in a batch of at most {max_bytes}"));
        }
    }

    fn check_error(&mut self, error: &DynamicMessage, sql: Option<&str>) {
        let code = proto::enum_name("ErrorCode", error.int("code") as i32);
        let reason = error.text("reason");
        match REGISTRY.get(reason) {
            None => self.breach(format!("reason {reason:?} of code {code} is not in the registry")),
            Some(entry) => {
                if entry.code != code {
                    self.breach(format!(
                        "{reason} comes with code {code}, the registry says {}",
                        entry.code
                    ));
                }
                if let Some(retryable) = entry.retryable
                    && retryable != error.flag("retryable")
                {
                    self.breach(format!(
                        "{reason} says retryable {}, the registry {retryable}",
                        !retryable
                    ));
                }
            }
        }
        if error.text("message").is_empty() {
            self.breach(format!("{reason} comes without message"));
        }
        let (primary, extended) = (error.int("sqlite_code"), error.int("sqlite_extended_code"));
        if primary != extended & 0xff {
            self.breach(format!(
                "sqlite_code {primary} does not belong to sqlite_extended_code {extended}"
            ));
        }
        if let (Some(offset), Some(sql)) = (error.opt_int("sql_offset"), sql)
            && !sql.is_char_boundary(offset as usize)
        {
            self.breach(format!(
                "sql_offset {offset} is no character of {} bytes of SQL",
                sql.len()
            ));
        }
    }

    /// The rules for the host, on a message that claims to keep them.
    fn check_own(&mut self, message: &Message) {
        let mut own = |fault: String| self.own_breaches.push(fault);
        let frame = match proto::decode("Frame", &message.frame) {
            Ok(frame) => frame,
            Err(error) => return own(error),
        };
        let id = frame.int("id") as u32;
        if id == 0 {
            own("a request with id 0".to_owned());
        }
        if self.pending[self.first_open..].iter().any(|pending| pending.id == id && !pending.done) {
            own(format!("request id {id} is still waiting for its answer"));
        }
        let sizes: Vec<u64> =
            frame.items("attachment_sizes").iter().filter_map(Value::as_u64).collect();
        let actual: Vec<u64> = message.attachments.iter().map(|bytes| bytes.len() as u64).collect();
        if sizes != actual {
            own(format!("attachment_sizes {sizes:?}, attachments of {actual:?} bytes"));
        }
        if frame.msg("request").and_then(|request| request.which("call")).is_none() {
            own(format!("request {id} has no call"));
        }
    }

    fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }
}

/// One line about a response.
pub fn summary(response: &DynamicMessage) -> String {
    match response.which("outcome").as_deref() {
        Some("error") => {
            let error = response.msg("error").expect("it is set");
            error_summary(error)
        }
        Some(outcome) => outcome.to_owned(),
        None => "no outcome".to_owned(),
    }
}

/// `CODE/REASON "message"`.
pub fn error_summary(error: &DynamicMessage) -> String {
    format!("{} {:?}", error_name(error), error.text("message"))
}

/// `CODE/REASON`.
pub fn error_name(error: &DynamicMessage) -> String {
    format!("{}/{}", proto::enum_name("ErrorCode", error.int("code") as i32), error.text("reason"))
}

/// The answers that may come before those of earlier requests.
fn overtakes(response: &DynamicMessage) -> bool {
    if response.msg("cancel").is_some() {
        return true;
    }
    let Some(error) = response.msg("error") else {
        return false;
    };
    let code = proto::enum_name("ErrorCode", error.int("code") as i32);
    match (code.as_str(), error.text("reason")) {
        ("PROTOCOL" | "LIFECYCLE" | "UNIMPLEMENTED", _) => true,
        ("LIMIT", "INFLIGHT") | ("INTERRUPTED", "CANCELLED") => true,
        ("LIMIT", "LIMIT_EXCEEDED") => {
            ["max_attachment_bytes", "max_frame_bytes"].contains(&error.text("subject"))
        }
        _ => false,
    }
}

struct Registered {
    code: String,
    retryable: Option<bool>,
}

/// Reason → code and retryable, read from the registry of the manual.
static REGISTRY: LazyLock<BTreeMap<String, Registered>> = LazyLock::new(|| {
    let mut registry = BTreeMap::new();
    let mut code = String::new();
    for line in include_str!("../../../docs/protocol/errors.md").lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let word =
                heading.trim_start_matches('#').split_whitespace().next().unwrap_or_default();
            let is_code = proto::enum_number("ErrorCode", word).is_ok();
            code = if is_code { word.to_owned() } else { String::new() };
        } else if let Some(row) = line.strip_prefix("| `")
            && let Some((reason, rest)) = row.split_once('`')
            && !code.is_empty()
        {
            let last = rest.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
            registry.insert(
                reason.to_owned(),
                Registered {
                    code: code.clone(),
                    retryable: match last {
                        "yes" => Some(true),
                        "no" => Some(false),
                        _ => None,
                    },
                },
            );
        }
    }
    registry
});

const CODE_STORAGE: i128 = 9;
const STORAGE_MEMORY: i128 = 1;
const DURABILITY_STRICT: i128 = 2;
const COMMIT_DETAIL_KEYS: i128 = 2;
const COMMIT_DETAIL_VALUES: i128 = 3;

/// Of a commit event with values; with keys all but the last.
const COMMIT_COLUMNS: [&str; 11] = [
    "id",
    "entity_id",
    "schema_key",
    "schema_version",
    "file_id",
    "plugin_key",
    "created_at",
    "version_id",
    "commit_id",
    "untracked",
    "snapshot_content",
];
const MODE_NONE: i128 = 2;
const MODE_CURSOR: i128 = 3;
const BATCH_CONTINUE: i128 = 2;
const DEFAULT_BATCH_ROWS: i128 = 4096;
const DEFAULT_BATCH_BYTES: i128 = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_read() {
        let code = |reason: &str| REGISTRY.get(reason).map(|entry| entry.code.as_str());
        assert_eq!(code("FRAME_MALFORMED"), Some("PROTOCOL"));
        assert_eq!(code("ENGINE_DEFECT"), Some("INTERNAL"));
        assert_eq!(code("TRANSPORT_CLOSED"), None, "hosts make it");
        assert_eq!(REGISTRY["INFLIGHT"].retryable, Some(true));
        assert_eq!(REGISTRY["UNIQUE"].retryable, Some(false));
        assert_eq!(REGISTRY["BUSY"].retryable, None, "it depends");
        assert!(REGISTRY.len() > 40);
    }
}
