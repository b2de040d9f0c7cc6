//! A running `lix-engine` and the frames that go in and out. It is killed when its time is up, so
//! that a test which would wait forever fails instead.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lix_engine_proto::{
    CancelRequest, ExecRequest, ExecResponse, Frame, Request, Response, event, frame, request,
    response,
};
use prost::Message as _;

pub(crate) const PREAMBLE: &[u8] = b"LIXE\r\n\x01\x00";

pub(crate) struct Engine {
    child: Arc<Mutex<Child>>,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Option<ChildStdout>,
    _watchdog: Sender<()>,
}

/// How a process ended and what it said on the way.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

impl Engine {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_lix-engine")).args(args))
    }

    pub(crate) fn stdio() -> Self {
        Self::start(&["serve", "--stdio"])
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let child = Arc::new(Mutex::new(child));
        let (alive, watched) = channel::<()>();
        let victim = child.clone();
        std::thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = victim.lock().unwrap().kill();
            }
        });
        Self { child, input, output, _watchdog: alive }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.input.as_mut().expect("still open").write_all(bytes).expect("the engine reads");
    }

    /// Everything the engine says from here on, to the end of its side.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.output.as_mut().expect("still open").read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Reads one message.
    pub(crate) fn message(&mut self) -> Message {
        Message::read(self.output.as_mut().expect("still open"))
    }

    pub(crate) fn preamble(&mut self) {
        let mut bytes = [0; 8];
        self.output.as_mut().expect("still open").read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, PREAMBLE);
    }

    /// Ends the input, reads what still comes, and waits for the process.
    pub(crate) fn finish(mut self) -> (Vec<u8>, End) {
        drop(self.input.take());
        let rest = self.rest();
        (rest, self.wait())
    }

    pub(crate) fn wait(self) -> End {
        let mut stderr = String::new();
        let pipe = self.child.lock().unwrap().stderr.take();
        pipe.map(|mut pipe| pipe.read_to_string(&mut stderr));
        let status = loop {
            // The watchdog needs the lock from time to time.
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                break status;
            }
            std::thread::yield_now();
        };
        End { status, stderr }
    }

    /// How much processor time it has used, in hundredths of a second.
    #[cfg(target_os = "linux")]
    pub(crate) fn ticks(&self) -> u64 {
        let pid = self.child.lock().unwrap().id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // Behind the name, which may hold anything: user and system time are fields 14 and 15.
        let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// How many threads it has.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> usize {
        let pid = self.child.lock().unwrap().id();
        std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").count()
    }

    pub(crate) fn stderr(&mut self) -> std::process::ChildStderr {
        self.child.lock().unwrap().stderr.take().expect("taken once")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) frame: Frame,
    pub(crate) attachments: Vec<Vec<u8>>,
}

impl Message {
    pub(crate) fn read(input: &mut impl Read) -> Self {
        let mut length = [0; 4];
        input.read_exact(&mut length).expect("a message comes");
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes).unwrap();
        let frame = Frame::decode(bytes.as_slice()).unwrap();
        let attachments = frame.attachment_sizes.iter().map(|size| {
            let mut bytes = vec![0; *size as usize];
            input.read_exact(&mut bytes).unwrap();
            bytes
        });
        Self { attachments: attachments.collect(), frame }
    }

    /// Splits bytes into messages; not one byte may be left.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            messages.push(Self::read(&mut bytes));
        }
        messages
    }

    pub(crate) fn response(&self) -> &Response {
        match &self.frame.body {
            Some(frame::Body::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// The reason of the error, or `ok`, or `closed` with its reason.
    pub(crate) fn verdict(&self) -> String {
        verdict(&self.frame)
    }
}

pub(crate) fn verdict(frame: &Frame) -> String {
    match &frame.body {
        Some(frame::Body::Response(response)) => match &response.outcome {
            Some(response::Outcome::Error(error)) => error.reason.clone(),
            _ => "ok".into(),
        },
        Some(frame::Body::Event(event)) => match &event.kind {
            Some(event::Kind::Closed(closed)) => {
                format!("closed {}", closed.reason.as_ref().unwrap().reason)
            }
            other => format!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A frame with its length in front of it, and what travels beside it behind it.
pub(crate) fn framed(frame: &Frame, attachments: &[&[u8]]) -> Vec<u8> {
    let frame = frame.encode_to_vec();
    let mut bytes = (frame.len() as u32).to_le_bytes().to_vec();
    bytes.extend(frame);
    attachments.iter().for_each(|attachment| bytes.extend_from_slice(attachment));
    bytes
}

pub(crate) fn request(id: u32, call: request::Call) -> Frame {
    let body = Some(frame::Body::Request(Request { scope: 0, call: Some(call) }));
    Frame { id, body, ..Default::default() }
}

pub(crate) fn exec(id: u32, sql: &str) -> Frame {
    request(id, request::Call::Exec(ExecRequest { sql: sql.into(), ..Default::default() }))
}

pub(crate) fn init(id: u32) -> Frame {
    request(id, request::Call::Init(Default::default()))
}

pub(crate) fn cancel(id: u32, target: u32) -> Frame {
    request(id, request::Call::Cancel(CancelRequest { target }))
}

pub(crate) fn close(id: u32) -> Frame {
    request(id, request::Call::Close(Default::default()))
}

pub(crate) fn exec_response(frame: &Frame) -> &ExecResponse {
    match &frame.body {
        Some(frame::Body::Response(Response {
            outcome: Some(response::Outcome::Exec(exec)),
            ..
        })) => exec,
        other => panic!("{other:?}"),
    }
}

/// The first column, which holds one-byte integers.
pub(crate) fn first_ints(frame: &Frame) -> Bytes {
    exec_response(frame).batch.as_ref().unwrap().columns[0].ints.clone()
}

/// Long enough for everything that is sent behind it to arrive.
pub(crate) const LONG: &str = "with n(i) as (values (1) union all select i + 1 from n where i < 2000000) select count(*) from n";

/// Never done.
pub(crate) const ENDLESS: &str =
    "with n(i) as (values (1) union all select i + 1 from n) select count(*) from n";

/// Far longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(120);
