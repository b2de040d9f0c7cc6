//! One session on one thread, whatever carries its messages.
//!
//! A panic inside the engine ends the session with `ENGINE_DEFECT`; the process goes on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lix_engine_core::{
    Attachment, Effect, Event, Message, PluginSource, Session, SessionOptions, StorageRequest,
};
use lix_engine_protocol::Reason;

use crate::platform::{Line, Machine, monotonic_ms};
use crate::plugins::GiveUp;
use crate::trace::{Direction, Trace};
use crate::{plugins, storage};

/// A session and the trace of it.
pub(crate) struct Server {
    session: Session,
    trace: Trace,
    conformance: bool,
    give_up: GiveUp,
    /// Storage that somebody else has, and until when to wait for it.
    awaited: Option<(StorageRequest, Instant)>,
    is_killed: bool,
}

/// What a transport gives for each attachment.
pub(crate) enum Received {
    Whole(Bytes),
    /// Longer than the limit, so it was not kept.
    TooLong(u64),
}

impl Server {
    /// `give_up` ends the transport, from another thread, when the session never will.
    pub(crate) fn new(
        options: SessionOptions,
        trace: Trace,
        line: Arc<dyn Line>,
        give_up: GiveUp,
    ) -> Self {
        let conformance = options.conformance;
        let session = Session::new(options, Arc::new(Machine(line)));
        Self { session, trace, conformance, give_up, awaited: None, is_killed: false }
    }

    /// Takes a message in; nothing runs yet.
    pub(crate) fn receive(
        &mut self,
        frame: Bytes,
        attachments: Vec<Received>,
        send: &mut dyn FnMut(Effect),
    ) {
        self.trace.message(Direction::ToEngine, &frame, attachments.iter().map(Received::len));
        let attachments = attachments
            .into_iter()
            .map(|received| -> Box<dyn Attachment> {
                match received {
                    Received::Whole(bytes) => Box::new(bytes),
                    Received::TooLong(len) => Box::new(TooLong(len)),
                }
            })
            .collect();
        self.event(Event::Message(Message { frame, attachments }), send);
    }

    /// The transport broke: the session ends and says why.
    pub(crate) fn broken(
        &mut self,
        error: lix_engine_protocol::Error,
        send: &mut dyn FnMut(Effect),
    ) {
        self.event(Event::Broken(error), send);
    }

    /// Runs one request, or a part of a save; `true` while there is more to do.
    pub(crate) fn step(&mut self, send: &mut dyn FnMut(Effect)) -> bool {
        self.guarded(send, |session, sink| session.step(sink))
    }

    /// How long until `step` is to be called even if nothing arrives.
    pub(crate) fn pause(&self) -> Option<Duration> {
        if self.awaited.is_some() {
            return Some(POLL);
        }
        let due_ms = self.session.deadline()?;
        Some(Duration::from_millis(due_ms.saturating_sub(monotonic_ms())))
    }

    /// The host is gone; what is unsaved is saved.
    pub(crate) fn hang_up(&mut self) {
        if !self.is_killed {
            self.session.hang_up();
        }
    }

    /// A test suite wants this session to die on the spot.
    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed
    }

    /// The session ended by itself: nobody will be answered any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.session.has_failed()
    }

    fn event(&mut self, event: Event, send: &mut dyn FnMut(Effect)) {
        self.guarded(send, |session, sink| {
            session.receive(event, sink);
            false
        });
    }

    fn guarded(
        &mut self,
        send: &mut dyn FnMut(Effect),
        run: impl FnOnce(&mut Session, &mut dyn FnMut(Effect)) -> bool,
    ) -> bool {
        let Self { session, trace, conformance, give_up, awaited, is_killed } = self;
        let mut wanted: Option<Wanted> = None;
        let mut sink = |effect: Effect, wanted: &mut Option<Wanted>| match effect {
            Effect::OpenStorage(request) => {
                let wait = Duration::from_millis(request.wait_ms.into());
                *wanted = Some(Wanted::Storage(request, Instant::now() + wait));
            }
            Effect::LoadPlugins { sources, timeout_ms } => {
                let time = Duration::from_millis(timeout_ms.into());
                *wanted = Some(Wanted::Plugins(sources, time));
            }
            Effect::Crash => *is_killed = true,
            Effect::Send { frame, attachments } => {
                let sizes = attachments.iter().map(lix_engine_core::Snapshot::len);
                trace.message(Direction::ToHost, &frame, sizes);
                send(Effect::Send { frame, attachments });
            }
            Effect::End => send(Effect::End),
        };
        let attempt = || {
            let mut more = run(session, &mut |effect| sink(effect, &mut wanted));
            let awaited_storage = |(request, until)| Wanted::Storage(request, until);
            while let Some(next) = wanted.take().or_else(|| awaited.take().map(awaited_storage)) {
                let event = match next {
                    Wanted::Plugins(sources, time) => {
                        Event::PluginsLoaded(plugins::load(&sources, time, give_up.clone()))
                    }
                    Wanted::Storage(request, until) => {
                        match storage::open(&request, *conformance) {
                            Err(error)
                                if error.reason == Reason::StorageBusy
                                    && Instant::now() < until =>
                            {
                                *awaited = Some((request, until));
                                break;
                            }
                            opened => Event::StorageOpened(opened),
                        }
                    }
                };
                session.receive(event, &mut |effect| sink(effect, &mut wanted));
                // What waits runs in a step of its own: answers leave and cancels arrive before it.
                more = true;
            }
            more
        };
        // The session is given up after a panic, so nobody sees a half-changed state.
        match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(more) => more,
            Err(_) => {
                let message = "the engine met an impossible state; see its log";
                session.fail(message, &mut |effect| sink(effect, &mut wanted));
                false
            }
        }
    }
}

/// What a session asked for, to be given to it once it does not run.
enum Wanted {
    /// Storage, and until when to wait for it.
    Storage(StorageRequest, Instant),
    /// Plugins, and how long each of them may take.
    Plugins(Vec<PluginSource>, Duration),
}

/// Starts a thread for a session. Its stack is as deep as plugins need, whatever the system's
/// default is.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().stack_size(plugins::THREAD_STACK_BYTES).spawn(work)
}

/// Nobody tells when a lock is released, so it is asked for this often.
const POLL: Duration = Duration::from_millis(10);

impl Received {
    fn len(&self) -> u64 {
        match self {
            Received::Whole(bytes) => bytes.len() as u64,
            Received::TooLong(len) => *len,
        }
    }
}

/// Stands for an attachment that was dropped; the session refuses it by its length.
struct TooLong(u64);

impl Attachment for TooLong {
    fn len(&self) -> u64 {
        self.0
    }

    fn read(&self, _offset: u64, _len: usize) -> Vec<u8> {
        unreachable!("an attachment over the limit is refused before it is read");
    }
}
