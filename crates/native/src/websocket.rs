//! One session per WebSocket connection, each on a thread of its own. A frame is one binary
//! message, every attachment one more.
//!
//! Nobody reads ahead: in the middle of a statement its own thread looks at the socket from time to
//! time, for a `cancel` and for the end of the connection, which interrupts the statement.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lix_engine_core::{Effect, SessionOptions};
use lix_engine_protocol::{Error, Limits, Reason, frame};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::inbox::{Inbox, Input};
use crate::platform::Line;
use crate::serve::{self, Received, Server};
use crate::trace::Trace;

/// Listens until the process is ended.
pub(crate) fn serve(
    address: SocketAddr,
    options: &SessionOptions,
    trace: &Trace,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, options, trace) = (stream?, options.clone(), trace.clone());
        serve::spawn(move || {
            if let Err(problem) = session(stream, options, trace) {
                eprintln!("lix-engine: a connection ended: {problem}");
            }
        })?;
    }
    Ok(())
}

fn session(stream: TcpStream, options: SessionOptions, trace: Trace) -> tungstenite::Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .max_message_size(usize::try_from(options.limits.max_attachment_bytes).ok())
        .max_frame_size(usize::try_from(options.limits.max_attachment_bytes).ok());
    let line = stream.try_clone()?;
    let socket = tungstenite::accept_with_config(stream, Some(config))
        .map_err(|error| io::Error::other(error.to_string()))?;
    let peer = Arc::new(Peer(Mutex::new(Connection {
        socket,
        partial: None,
        limits: options.limits,
        is_lost: false,
        inbox: Inbox::default(),
        looked: Instant::now(),
        end: None,
    })));
    // The others go on; this thread is lost until its plugin comes back.
    let give_up = Arc::new(move || {
        eprintln!("lix-engine: a plugin does not come back, so its connection ends");
        let _ = line.shutdown(Shutdown::Both);
    });
    let mut server = Server::new(options, trace, peer.clone(), give_up);
    let result = converse(&peer, &mut server);
    // However it ended, what is committed is saved.
    server.hang_up();
    result
}

/// From the first message to the last.
fn converse(peer: &Peer, server: &mut Server) -> tungstenite::Result<()> {
    let mut more = false;
    // Also a session that failed refuses what comes, until the peer hangs up.
    while !peer.connection().is_over() {
        let mut replies = Vec::new();
        let mut send = |effect: Effect| replies.push(effect);
        // What arrived is taken in before the next request runs; without work, wait for more.
        let mut wait = if more { Wait::Not } else { Wait::For(server.pause()) };
        loop {
            // Not held while a message is taken in: this may run statements, which look here.
            let next = peer.connection().next(wait);
            match next {
                Ok(Some(Arrival::Input(Input::Message(frame, attachments)))) => {
                    server.receive(frame, attachments, &mut send);
                }
                Ok(Some(Arrival::Input(Input::Broken(error)))) => server.broken(error, &mut send),
                Ok(Some(Arrival::Nothing)) => continue,
                Ok(None) => break,
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            wait = Wait::Not;
        }
        more = server.step(&mut send);
        if server.is_killed() {
            return Ok(());
        }
        let mut connection = peer.connection();
        for effect in replies {
            connection.carry_out(effect)?;
        }
        connection.socket.flush()?;
    }
    server.hang_up();
    // Say goodbye and wait for the peer to do the same.
    let socket = &mut peer.connection().socket;
    socket.close(None)?;
    while socket.read().is_ok() {}
    Ok(())
}

/// The other side, for the one thread that talks to it; in the middle of a statement this looks at
/// what it will take later.
struct Peer(Mutex<Connection>);

impl Peer {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line for Peer {
    fn wants_stop(&self, request: u32) -> bool {
        let mut connection = self.connection();
        connection.look_ahead();
        connection.end.is_some() || connection.inbox.cancels(request)
    }
}

struct Connection {
    socket: WebSocket<TcpStream>,
    /// A frame whose attachments are still on their way.
    partial: Option<Partial>,
    limits: Limits,
    /// The next message cannot be found any more.
    is_lost: bool,
    /// What was read ahead, and how reading ended on the way.
    inbox: Inbox,
    end: Option<tungstenite::Error>,
    /// When it was last read ahead.
    looked: Instant,
}

struct Partial {
    frame: Bytes,
    missing: usize,
    attachments: Vec<Received>,
}

/// Whether to wait for a message, and how long.
#[derive(Clone, Copy)]
enum Wait {
    Not,
    For(Option<Duration>),
}

enum Arrival {
    Input(Input),
    /// Something that is for the transport alone.
    Nothing,
}

impl Connection {
    /// The next complete message; `None` if none is there and nobody wants to wait.
    fn next(&mut self, wait: Wait) -> tungstenite::Result<Option<Arrival>> {
        match (self.inbox.pop(), self.end.take()) {
            (Some(input), end) => {
                self.end = end;
                Ok(Some(Arrival::Input(input)))
            }
            (None, Some(end)) => Err(end),
            (None, None) => self.read(wait),
        }
    }

    /// Nothing can be read any more, and what was read is taken in.
    fn is_over(&self) -> bool {
        self.is_lost && self.inbox.len() == 0
    }

    /// Reads what is there, if the last time is a while ago: each look is some system calls.
    fn look_ahead(&mut self) {
        if self.looked.elapsed() < BETWEEN_LOOKS {
            return;
        }
        let room = 2 * self.limits.max_inflight as usize;
        while self.end.is_none() && !self.is_lost && self.inbox.len() < room {
            match self.read(Wait::Not) {
                Ok(Some(Arrival::Input(input))) => self.inbox.push(input),
                Ok(Some(Arrival::Nothing)) => {}
                Ok(None) => break,
                Err(error) => self.end = Some(error),
            }
        }
        self.looked = Instant::now();
    }

    /// As [`Connection::next`], from the socket.
    fn read(&mut self, wait: Wait) -> tungstenite::Result<Option<Arrival>> {
        loop {
            let stream = self.socket.get_ref();
            match wait {
                Wait::Not => stream.set_nonblocking(true)?,
                // A timeout of nothing would be none.
                Wait::For(pause) => {
                    stream.set_read_timeout(pause.map(|some| some.max(SHORTEST)))?
                }
            }
            let received = self.socket.read();
            self.socket.get_ref().set_nonblocking(false)?;
            self.socket.get_ref().set_read_timeout(None)?;
            let bytes = match received {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Text(_)) => {
                    let message = "a frame is a binary message, this one is text";
                    return Ok(Some(Arrival::Input(Input::Broken(Error::new(
                        Reason::FrameMalformed,
                        message,
                    )))));
                }
                Ok(_) => return Ok(Some(Arrival::Nothing)),
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(tungstenite::Error::Capacity(error)) => {
                    self.is_lost = true;
                    let error = Error::new(Reason::LimitExceeded, error.to_string())
                        .subject("max_attachment_bytes");
                    return Ok(Some(Arrival::Input(Input::Broken(error))));
                }
                Err(error) => return Err(error),
            };
            if let Some(message) = self.assemble(bytes) {
                return Ok(Some(Arrival::Input(message)));
            }
        }
    }

    fn assemble(&mut self, bytes: Bytes) -> Option<Input> {
        let mut partial = match self.partial.take() {
            None => {
                let missing = frame::attachment_sizes(&bytes).len();
                Partial { frame: bytes, missing, attachments: Vec::new() }
            }
            Some(mut partial) => {
                let len = bytes.len() as u64;
                partial.attachments.push(if len <= self.limits.max_attachment_bytes {
                    Received::Whole(bytes)
                } else {
                    Received::TooLong(len)
                });
                partial
            }
        };
        if partial.attachments.len() < partial.missing {
            self.partial = Some(partial);
            return None;
        }
        Some(Input::Message(partial.frame, std::mem::take(&mut partial.attachments)))
    }

    fn carry_out(&mut self, effect: Effect) -> tungstenite::Result<()> {
        let Effect::Send { frame, attachments } = effect else { return Ok(()) };
        self.socket.write(Message::binary(frame))?;
        for attachment in attachments {
            let mut whole = Vec::with_capacity(attachment.len() as usize);
            attachment.chunks().for_each(|chunk| whole.extend_from_slice(chunk));
            self.socket.write(Message::binary(whole))?;
        }
        Ok(())
    }
}

/// Short for who waits for a cancel, long for the statement.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

const SHORTEST: Duration = Duration::from_millis(1);
