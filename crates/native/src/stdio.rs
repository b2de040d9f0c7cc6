//! Frames on stdin and stdout. One thread reads ahead, so that a `cancel` is heard while a
//! statement runs; it stops reading when too much waits.

use std::io::{self, BufReader, BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use lix_engine_core::{Effect, SessionOptions};
use lix_engine_protocol::stream::{
    PREAMBLE, StreamError, read_message, read_preamble, write_frame,
};
use lix_engine_protocol::{Error, Limits, Reason};

use crate::serve::{Received, Server};
use crate::trace::Trace;

/// Serves one session until the host ends its side or goes away. An error if the session did not
/// end well.
pub(crate) fn serve(options: SessionOptions, trace: Trace) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    output.write_all(&PREAMBLE)?;
    output.flush()?;

    let (sender, incoming) = sync_channel(2 * options.limits.max_inflight as usize);
    let limits = options.limits;
    // Not joined: it may sit in a read that never returns. The process ends without it.
    std::thread::spawn(move || read_all(&limits, |input| sender.send(input).is_ok()));

    // One session is all there is, and its host waits for the stream to end.
    let give_up = Arc::new(|| {
        eprintln!("lix-engine: a plugin does not come back, so the process ends");
        std::process::exit(1);
    });
    let mut server = Server::new(options, trace, give_up);
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
        let is_connected = take_all(&incoming, wait, |input| match input {
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

enum Input {
    Message(Bytes, Vec<Received>),
    Broken(Error),
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
enum Wait {
    Not,
    For(Option<Duration>),
}

/// Hands on everything that is there, after waiting for the first if asked to. `false` once the
/// other end is gone and everything is taken.
fn take_all(incoming: &Receiver<Input>, wait: Wait, mut take: impl FnMut(Input)) -> bool {
    let first = match wait {
        Wait::Not => Err(RecvTimeoutError::Timeout),
        Wait::For(None) => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Wait::For(Some(pause)) => incoming.recv_timeout(pause),
    };
    match first {
        Ok(input) => take(input),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    loop {
        match incoming.try_recv() {
            Ok(input) => take(input),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
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

const INPUT_BUFFER: usize = 64 * 1024;
const OUTPUT_BUFFER: usize = 64 * 1024;
