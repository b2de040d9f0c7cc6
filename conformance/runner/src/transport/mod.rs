//! Connections to the implementation under test.
//!
//! Nothing here blocks without a deadline: each link reads and writes on threads of its own and hands over what arrived
//! through a channel. Whatever was started is killed when its owner is dropped, and, where the system can promise it,
//! when the runner dies.

mod accept;
mod browser;
mod process;
mod stream;
mod ws;

pub use accept::{Accepted, Listener, Spoken};
pub(crate) use process::Process;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::implementation::{Config, Transport};
use crate::wire::Message;

/// What arrived from the implementation.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// Something that is no message.
    Garbage(String),
    /// The implementation's side has ended; how.
    End(String),
    /// Something the bridge saw.
    Fact(Json),
}

/// How a link is opened.
#[derive(Debug, Default, Clone)]
pub struct OpenOptions {
    /// Stream transports: bytes in place of the preamble.
    pub preamble: Option<Vec<u8>>,
    /// Browser: another worker script.
    pub worker_script: Option<String>,
    /// Browser: the worker belongs to a page of its own.
    pub tab: bool,
}

/// How the host ends the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In an orderly way.
    End,
    /// At once, in both directions.
    Drop,
}

/// How a message is sent.
#[derive(Debug, Default, Clone, Copy)]
pub struct SendOptions {
    /// Stream transports: write this length prefix.
    pub length_prefix: Option<u32>,
    /// WebSocket: as a text message.
    pub as_text: bool,
}

/// One connection, for one session.
pub trait Link {
    /// Queues a message. Never blocks; a link that has ended swallows it.
    fn send(&mut self, message: &Message, options: SendOptions) -> Result<(), String>;

    /// Queues bytes outside all framing; stream transports only.
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// What arrives next; `None` when the deadline passes first.
    fn receive(&mut self, deadline: Instant) -> Option<Incoming>;

    /// Ends the transport from the host's side.
    fn end(&mut self, how: How);

    /// Kills the implementation without a word.
    fn kill(&mut self);

    /// What the implementation wrote to stderr since the link was opened.
    fn stderr(&self) -> String;

    /// What has arrived only in part, if anything.
    fn unfinished(&self) -> Option<String> {
        None
    }

    /// What is said about this transport to those whose program does not speak on it.
    fn advice(&self) -> Advice {
        Advice {
            frames: "standard output carries frames and nothing else; messages for people belong on standard error",
            silence: "it started and says nothing. Does it speak lix.engine.v1 on this transport, does it flush what it writes, \
                      and does it answer without waiting for more?",
            errors: "stderr",
        }
    }

    /// Exit status of the process behind this link alone, waiting until the deadline; `None` if there is no such
    /// process, or it still runs.
    fn exit_code(&mut self, _deadline: Instant) -> Option<i32> {
        None
    }

    /// True if the process belongs to this link alone, so that its end can be awaited.
    fn owns_process(&self) -> bool {
        false
    }

    /// Asks the bridge for something; browser only.
    fn bridge(&mut self, _action: &Json) -> Result<(), String> {
        Err("this transport has no bridge".to_owned())
    }
}

/// For programs that are no engines, or not yet.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// What a message is, for who sent something else.
    pub frames: &'static str,
    /// What keeps messages from coming.
    pub silence: &'static str,
    /// Where [`Link::stderr`] comes from.
    pub errors: &'static str,
}

/// What is to be done with stored bytes.
#[derive(Debug, Clone)]
pub enum Stored {
    /// Hand them over; `None` if nothing is there.
    Read,
    /// Put these in their place.
    Write(Vec<u8>),
    /// Take them away.
    Remove,
}

/// An implementation, ready to be connected to. Each job has its own.
pub trait Target {
    /// Opens a link.
    fn connect(
        &mut self,
        options: &OpenOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Link>, String>;

    /// Reads or changes what is stored at a path that only the implementation's side can reach.
    fn stored(
        &mut self,
        _path: &str,
        _action: Stored,
        _deadline: Instant,
    ) -> Result<Option<Vec<u8>>, String> {
        Err("what is stored cannot be reached here".to_owned())
    }

    /// Throws the process behind all links away; the next link gets a new one.
    fn restart(&mut self);
}

/// Makes the target a configuration describes.
pub fn target(config: &Config) -> Result<Box<dyn Target>, String> {
    Ok(match config.transport {
        Transport::Stdio => Box::new(stream::StdioTarget::new(config.clone())),
        Transport::Tcp => Box::new(stream::TcpTarget::new(config.clone())),
        Transport::Ws => Box::new(ws::WsTarget::new(config.clone())),
        Transport::Browser => Box::new(browser::BrowserTarget::new(config.clone())),
    })
}

/// A directory that is gone when it is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Result<TempDir, String> {
        sweep(name);
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map(|since| since.as_nanos())
            .unwrap_or_default();
        let path = std::env::temp_dir().join(format!("{name}-{}-{nanos}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(TempDir(path))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A browser that was just killed may still be flushing its profile.
        for _ in 0..20 {
            if std::fs::remove_dir_all(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

/// Removes what runs left behind that were killed before they could clean up.
fn sweep(name: &str) {
    let dead =
        |pid: &str| cfg!(target_os = "linux") && !PathBuf::from(format!("/proc/{pid}")).exists();
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let pid = file_name
            .to_str()
            .and_then(|text| text.strip_prefix(name)?.strip_prefix('-')?.split('-').next());
        if pid.is_some_and(dead) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// `receive` for every link: from a channel that its reader thread fills.
fn next(from: &Receiver<Incoming>, deadline: Instant) -> Option<Incoming> {
    match from.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(incoming) => Some(incoming),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            Some(Incoming::End("the transport has ended".to_owned()))
        }
    }
}
