//! Frames on stdin and stdout. One thread reads ahead, so that a `cancel` is heard while a
//! statement runs; it stops reading when too much waits.
//!
//! Guarantee: the process does not outlive its host. When stdin has ended and nobody has stdout open
//! for reading, what runs is interrupted. While somebody reads, what arrived is run to its end.

use std::io::{self, BufReader, BufWriter, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lix_engine_core::{Effect, SessionOptions};
use lix_engine_protocol::stream::{
    PREAMBLE, StreamError, read_message, read_preamble, write_frame,
};
use lix_engine_protocol::{Error, Limits, Reason};

use crate::inbox::{Inbox, Input};
use crate::platform::Line;
use crate::serve::{Received, Server};
use crate::trace::Trace;

/// Serves one session until the host ends its side or goes away. An error if the session did not
/// end well.
pub(crate) fn serve(options: SessionOptions, trace: Trace) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    output.write_all(&PREAMBLE)?;
    output.flush()?;

    let room = 2 * options.limits.max_inflight as usize;
    let (sender, incoming) = sync_channel(room);
    let stdin = Arc::new(Stdin::new(incoming, room));
    let limits = options.limits;
    // Not joined: it may sit in a read that never returns. The process ends without it.
    std::thread::spawn(move || read_all(&limits, |input| sender.send(input).is_ok()));

    // One session is all there is, and its host waits for the stream to end.
    let give_up = Arc::new(|| {
        eprintln!("lix-engine: a plugin does not come back, so the process ends");
        std::process::exit(1);
    });
    let mut server = Server::new(options, trace, stdin.clone(), give_up);
    let mut result = Ok(());
    let mut broken = None;
    let mut more = false;
    while result.is_ok() && !server.has_failed() {
        let mut send = |effect: Effect| {
            if let Effect::Send { frame, attachments } = effect
                && result.is_ok()
            {
                result = write_message(&mut output, &frame, &attachments);
            }
        };
        // What arrived is taken in before the next request runs; without work, wait for more, or
        // until a save is due.
        let wait = if more { Wait::Not } else { Wait::For(server.pause()) };
        let is_connected = stdin.take_all(wait, |input| match input {
            Input::Message(frame, attachments) => server.receive(frame, attachments, &mut send),
            Input::Broken(error) => broken = Some(error),
        });
        more = server.step(&mut send);
        if server.is_killed() {
            std::process::abort();
        }
        // What arrived whole before the stream broke is answered first.
        if !more && let Some(error) = &broken {
            server.broken(error.clone(), &mut send);
        }
        // An answer never waits for the request behind it.
        result = result.and_then(|()| output.flush());
        if !more && !is_connected {
            break;
        }
    }
    server.hang_up();
    result?;
    match broken {
        Some(error) => Err(io::Error::other(error)),
        None if server.has_failed() => Err(io::Error::other("the session failed")),
        None => Ok(()),
    }
}

fn read_all(limits: &Limits, mut deliver: impl FnMut(Input) -> bool) {
    let mut input = BufReader::with_capacity(INPUT_BUFFER, io::stdin().lock());
    let mut read = || -> Result<(), StreamError> {
        let mut is_wanted = read_preamble(&mut input)?;
        while is_wanted && let Some((frame, attachments)) = read_message(&mut input, limits)? {
            let attachments = attachments
                .into_iter()
                .map(|attachment| attachment.map_or_else(Received::TooLong, Received::Whole));
            is_wanted = deliver(Input::Message(frame, attachments.collect()));
        }
        Ok(())
    };
    if let Err(error) = read() {
        deliver(Input::Broken(broken(error)));
    }
}

fn broken(error: StreamError) -> Error {
    match error {
        StreamError::Protocol(error) => error,
        StreamError::Io(error) => {
            Error::new(Reason::FrameMalformed, format!("the stream broke off: {error}"))
        }
    }
}

/// Whether to wait for the first input, and how long.
#[derive(Clone, Copy)]
enum Wait {
    Not,
    For(Option<Duration>),
}

/// What the reading thread brought. Only the session's thread takes it; in the middle of a statement
/// it looks at what it will take later.
struct Stdin(Mutex<Arrived>);

struct Arrived {
    incoming: Receiver<Input>,
    inbox: Inbox,
    /// How many messages may wait in the inbox.
    room: usize,
    has_ended: bool,
    /// When it was last looked whether anybody reads, and that nobody did.
    looked: Instant,
    is_alone: bool,
}

impl Stdin {
    fn new(incoming: Receiver<Input>, room: usize) -> Self {
        Self(Mutex::new(Arrived {
            incoming,
            inbox: Inbox::default(),
            room,
            has_ended: false,
            looked: Instant::now(),
            is_alone: false,
        }))
    }

    /// Hands on everything that is there, after waiting for the first if asked to. `false` once the
    /// other end is gone and everything is taken.
    fn take_all(&self, wait: Wait, mut take: impl FnMut(Input)) -> bool {
        self.arrived().receive(wait);
        loop {
            // Not held while a message is taken in: this may run statements, which look here.
            let mut arrived = self.arrived();
            arrived.receive(Wait::Not);
            let Some(input) = arrived.inbox.pop() else { return !arrived.has_ended };
            drop(arrived);
            take(input);
        }
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line for Stdin {
    fn wants_stop(&self, request: u32) -> bool {
        let mut arrived = self.arrived();
        arrived.receive(Wait::Not);
        arrived.is_abandoned() || arrived.inbox.cancels(request)
    }
}

impl Arrived {
    /// Gets what is there, after waiting for something if asked to and nothing is.
    fn receive(&mut self, wait: Wait) {
        if self.inbox.len() == 0 && !self.has_ended {
            let first = match wait {
                Wait::Not => Err(RecvTimeoutError::Timeout),
                Wait::For(None) => self.incoming.recv().map_err(RecvTimeoutError::from),
                Wait::For(Some(pause)) => self.incoming.recv_timeout(pause),
            };
            match first {
                Ok(input) => self.inbox.push(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.has_ended = true,
            }
        }
        while !self.has_ended && self.inbox.len() < self.room {
            match self.incoming.try_recv() {
                Ok(input) => self.inbox.push(input),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.has_ended = true,
            }
        }
    }

    /// Nothing will come any more, and nobody will hear an answer.
    fn is_abandoned(&mut self) -> bool {
        // A full inbox does not notice the end of the input.
        let may_have_ended = self.has_ended || self.inbox.len() >= self.room;
        if may_have_ended && !self.is_alone && self.looked.elapsed() >= BETWEEN_LOOKS {
            self.is_alone = is_unread(io::stdout());
            self.looked = Instant::now();
        }
        self.is_alone
    }
}

/// Whether the other end of a pipe or socket is gone. A file always counts as read.
#[cfg(unix)]
fn is_unread(output: impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // Asked for nothing, some systems tell nothing, not even of errors and hang-ups.
    let mut polled = [PollFd::new(&output, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The next answer tells.
#[cfg(not(unix))]
fn is_unread(_: io::Stdout) -> bool {
    false
}

fn write_message(
    output: &mut impl Write,
    frame: &[u8],
    attachments: &[lix_engine_core::Snapshot],
) -> io::Result<()> {
    write_frame(output, frame)?;
    for chunk in attachments.iter().flat_map(|attachment| attachment.chunks()) {
        output.write_all(chunk)?;
    }
    Ok(())
}

/// A system call each; nobody waits for its result.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

const INPUT_BUFFER: usize = 64 * 1024;
const OUTPUT_BUFFER: usize = 64 * 1024;
