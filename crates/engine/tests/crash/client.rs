//! A host for the simulator: one session, its disk, and what it was told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lix_engine_core::{
    Attachment, Effect, Event, Message, Platform, Session, SessionOptions, Snapshot,
};
use lix_engine_protocol::proto::{
    AutosavePhase, EngineError, EventKind, EventOptions, ExecRequest, Frame, InitRequest, OpenMode,
    Request, Response, SessionState, StorageKind, StorageTarget, Value, event, frame, init_request,
    request, response, value,
};
use lix_engine_protocol::{NATIVE_LIMITS, cells};
use prost::Message as _;
use xxhash_rust::xxh64::Xxh64;

use crate::disk::{Chance, Disk};

/// A session over a disk, or in memory.
pub(crate) struct Client {
    session: Session,
    platform: Arc<Clock>,
    disk: Option<Disk>,
    last_id: u32,
    answers: Vec<(u32, Response, Vec<Snapshot>)>,
    acknowledged: Acknowledged,
    /// Opening it is no promise that what is opened is stored.
    changes_at_init: bool,
    state: SessionState,
}

/// The newest commit that the engine said is stored.
pub(crate) type Acknowledged = Rc<Cell<Option<u64>>>;

/// What an image is recognised by.
pub(crate) type Digest = u64;

impl Client {
    /// Draws the same ids as one on a disk with the same seed.
    pub(crate) fn in_memory(seed: u64) -> Self {
        Self::new(None, seed)
    }

    pub(crate) fn on(disk: &Disk, seed: u64) -> Self {
        Self::new(Some(disk.clone()), seed)
    }

    fn new(disk: Option<Disk>, seed: u64) -> Self {
        let storage: &[StorageKind] = if disk.is_some() { &[StorageKind::File] } else { &[] };
        let options =
            SessionOptions { limits: NATIVE_LIMITS, storage, plugins: &[], conformance: false };
        let platform = Arc::new(Clock { seed, ..Clock::default() });
        Self {
            session: Session::new(options, platform.clone()),
            platform,
            disk,
            last_id: 0,
            answers: vec![],
            acknowledged: Rc::default(),
            changes_at_init: false,
            state: SessionState::default(),
        }
    }

    pub(crate) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.clone()
    }

    pub(crate) fn state(&self) -> SessionState {
        self.state
    }

    /// What is stored becomes a lix when it is opened, and is saved as one later.
    pub(crate) fn will_change_at_init(&mut self) {
        self.changes_at_init = true;
    }

    pub(crate) fn init(
        &mut self,
        open_mode: OpenMode,
        seed: Option<Bytes>,
        init: InitRequest,
    ) -> Result<(), EngineError> {
        let kind = if self.disk.is_some() { StorageKind::File } else { StorageKind::Memory };
        let events = EventOptions { kinds: vec![EventKind::Autosave.into()], ..Default::default() };
        let init = InitRequest {
            storage: Some(StorageTarget {
                kind: kind.into(),
                path: "db".into(),
                ..Default::default()
            }),
            events: Some(events),
            open_mode: open_mode.into(),
            seed: seed.as_ref().map(|_| init_request::Seed::ImageAttachment(0)),
            ..init
        };
        self.call(request::Call::Init(init), seed).map(drop)
    }

    pub(crate) fn exec(&mut self, sql: &str, params: Vec<Value>) -> Result<(), EngineError> {
        let exec = ExecRequest { sql: sql.into(), params, ..Default::default() };
        self.call(request::Call::Exec(exec), None).map(drop)
    }

    pub(crate) fn save(&mut self) -> Result<(), EngineError> {
        self.call(request::Call::Save(Default::default()), None).map(drop)
    }

    pub(crate) fn export(&mut self) -> Result<Snapshot, EngineError> {
        let (_, mut attachments) = self.call(request::Call::Export(Default::default()), None)?;
        Ok(attachments.remove(0))
    }

    /// Every row as one text.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<String>, EngineError> {
        let exec = ExecRequest { sql: sql.into(), ..Default::default() };
        let (response::Outcome::Exec(answer), _) = self.call(request::Call::Exec(exec), None)?
        else {
            panic!("{sql} is answered by something else");
        };
        let Some(batch) = answer.batch else { return Ok(vec![]) };
        let mut rows = vec![String::new(); batch.row_count as usize];
        for column in cells(&batch) {
            let column = column.expect("an engine's batch is well formed");
            rows.iter_mut().zip(column).for_each(|(row, cell)| *row += &format!("{cell:?}, "));
        }
        Ok(rows)
    }

    /// Whether SQLite finds nothing wrong.
    pub(crate) fn is_sound(&mut self) -> bool {
        let sql = "select * from pragma_integrity_check where integrity_check <> 'ok'";
        self.rows(sql).is_ok_and(|found| found.is_empty())
    }

    pub(crate) fn is_lix(&mut self) -> bool {
        let sql = "select 1 from sqlite_schema where name = '_lix_meta'";
        self.rows(sql).is_ok_and(|found| !found.is_empty())
    }

    /// Sends a call and runs the session until it is answered.
    pub(crate) fn call(
        &mut self,
        call: request::Call,
        attachment: Option<Bytes>,
    ) -> Result<(response::Outcome, Vec<Snapshot>), EngineError> {
        self.last_id += 1;
        let id = self.last_id;
        let frame = Frame {
            id,
            attachment_sizes: attachment.iter().map(|bytes| bytes.len() as u64).collect(),
            body: Some(frame::Body::Request(Request { scope: 0, call: Some(call) })),
        };
        let attachments =
            attachment.into_iter().map(|bytes| -> Box<dyn Attachment> { Box::new(bytes) });
        let message =
            Message { frame: frame.encode_to_vec().into(), attachments: attachments.collect() };
        self.handle(Event::Message(message));
        let mut is_more = true;
        loop {
            if let Some(at) = self.answers.iter().position(|(answer, ..)| *answer == id) {
                let (_, response, attachments) = self.answers.remove(at);
                self.state = response.state.expect("every answer has a state");
                return match response.outcome.expect("every answer has an outcome") {
                    response::Outcome::Error(error) => Err(error),
                    outcome => Ok((outcome, attachments)),
                };
            }
            assert!(is_more, "request {id} is answered");
            is_more = self.step();
        }
    }

    /// Lets time pass. What becomes due is done by [`Client::step`].
    pub(crate) fn wait(&self, ms: u64) {
        self.platform.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn step(&mut self) -> bool {
        let mut effects = Vec::new();
        let is_more = self.session.step(&mut watching(
            &self.acknowledged,
            self.changes_at_init,
            &mut effects,
        ));
        self.take(effects) || is_more
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.session
            .handle(event, &mut watching(&self.acknowledged, self.changes_at_init, &mut effects));
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<(Effect, Option<Frame>)>) -> bool {
        let mut was_asked = false;
        for effect in effects {
            match effect {
                (Effect::Send { attachments, .. }, Some(Frame { id, body, .. })) => {
                    if let Some(frame::Body::Response(response)) = body {
                        self.answers.push((id, response, attachments));
                    }
                }
                (Effect::OpenStorage(_), _) => {
                    let file = self.disk.as_ref().expect("only a disk is opened").file();
                    self.handle(Event::StorageOpened(Ok(file)));
                    was_asked = true;
                }
                (effect, _) => panic!("{effect:?}"),
            }
        }
        was_asked
    }
}

pub(crate) fn digest(image: &Snapshot) -> Digest {
    let mut hasher = Xxh64::new(image.len());
    image.chunks().for_each(|chunk| hasher.update(chunk));
    hasher.digest()
}

pub(crate) fn digest_of_bytes(image: &[u8]) -> Digest {
    xxhash_rust::xxh64::xxh64(image, image.len() as u64)
}

pub(crate) fn bytes(image: &Snapshot) -> Bytes {
    image.chunks().collect::<Vec<_>>().concat().into()
}

pub(crate) fn integer(value: i64) -> Value {
    Value { kind: Some(value::Kind::Integer(value)) }
}

pub(crate) fn blob(bytes: Vec<u8>) -> Value {
    Value { kind: Some(value::Kind::Blob(bytes.into())) }
}

/// Notes what is acknowledged at the moment it is said, since the next write may come before the
/// call that said it returns.
fn watching<'a>(
    acknowledged: &'a Acknowledged,
    changes_at_init: bool,
    effects: &'a mut Vec<(Effect, Option<Frame>)>,
) -> impl FnMut(Effect) + 'a {
    move |effect| {
        let Effect::Send { frame, .. } = &effect else { return effects.push((effect, None)) };
        let frame = Frame::decode(frame.as_slice()).expect("an engine's frame parses");
        let said = match &frame.body {
            Some(frame::Body::Response(response)) => match &response.outcome {
                // New content is told to be stored by an event.
                Some(response::Outcome::Init(init)) => {
                    (init.restored && !changes_at_init).then_some(0)
                }
                _ => response.state.map(|state| state.saved_seq).filter(|seq| *seq > 0),
            },
            Some(frame::Body::Event(event)) => match &event.kind {
                Some(event::Kind::Autosave(saved)) if saved.phase() == AutosavePhase::Saved => {
                    Some(saved.commit_seq)
                }
                _ => None,
            },
            _ => None,
        };
        acknowledged.set(acknowledged.get().max(said));
        effects.push((effect, Some(frame)));
    }
}

/// Time that stands still until it is moved, and chance that repeats itself.
#[derive(Default)]
struct Clock {
    now_ms: AtomicU64,
    seed: u64,
    /// What was drawn, by how many bytes are asked for at once. That tells what they are for: what
    /// only a store or SQLite itself draws does not change the ids of a lix.
    streams: Mutex<BTreeMap<usize, Chance>>,
}

impl Platform for Clock {
    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn random(&self, buffer: &mut [u8]) {
        let mut streams = self.streams.lock().expect("no panic here");
        let chance = streams.entry(buffer.len()).or_insert_with(|| Chance::new(self.seed));
        for bytes in buffer.chunks_mut(8) {
            bytes.copy_from_slice(&chance.next().to_le_bytes()[..bytes.len()]);
        }
    }
}
