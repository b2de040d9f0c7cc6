//! Stream transports: a child's stdin and stdout, or a TCP socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::process::Process;
use super::{How, Incoming, Link, OpenOptions, SendOptions, Target, next};
use crate::implementation::Config;
use crate::wire::{Message, PREAMBLE, StreamItem, StreamReader, Unfinished};

/// A process per link.
pub(crate) struct StdioTarget {
    config: Config,
}

impl StdioTarget {
    pub(crate) fn new(config: Config) -> StdioTarget {
        StdioTarget { config }
    }
}

impl Target for StdioTarget {
    fn connect(
        &mut self,
        options: &OpenOptions,
        _deadline: Instant,
    ) -> Result<Box<dyn Link>, String> {
        let mut process = Process::start(&self.config, &[])?;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = process.stdin();
        let reader = Stoppable { inner: process.stdout(), stop: Arc::clone(&stop) };
        let stream = StreamLink::open(reader, writer, options);
        Ok(Box::new(StdioLink { process, stop, stream }))
    }

    fn restart(&mut self) {}
}

struct StdioLink {
    process: Process,
    stop: Arc<AtomicBool>,
    stream: StreamLink,
}

impl Link for StdioLink {
    fn send(&mut self, message: &Message, options: SendOptions) -> Result<(), String> {
        self.stream.send(message, options)
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write(bytes.to_vec());
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Option<Incoming> {
        next(&self.stream.incoming, deadline)
    }

    fn end(&mut self, how: How) {
        self.stream.outgoing = None;
        if how == How::Drop {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    fn stderr(&self) -> String {
        self.process.stderr()
    }

    fn exit_code(&mut self, deadline: Instant) -> Option<i32> {
        self.process.wait(deadline)
    }

    fn unfinished(&self) -> Option<String> {
        self.stream.unfinished.lock().expect("no holder panics").clone()
    }

    fn owns_process(&self) -> bool {
        true
    }
}

/// A server for all links of a job, started by the runner or already running.
pub(crate) struct TcpTarget {
    config: Config,
    server: Option<Server>,
}

impl TcpTarget {
    pub(crate) fn new(config: Config) -> TcpTarget {
        TcpTarget { config, server: None }
    }
}

impl Target for TcpTarget {
    fn connect(
        &mut self,
        options: &OpenOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Link>, String> {
        let server = Server::running(&mut self.server, &self.config, "listening on tcp://")?;
        let socket = server.dial(deadline)?;
        let clone = || socket.try_clone().map_err(|error| error.to_string());
        Ok(Box::new(TcpLink {
            stream: StreamLink::open(clone()?, TcpWriter(clone()?), options),
            socket,
            server: server.handle(),
        }))
    }

    fn restart(&mut self) {
        self.server = None;
    }
}

struct TcpLink {
    socket: TcpStream,
    stream: StreamLink,
    server: ServerHandle,
}

impl Link for TcpLink {
    fn send(&mut self, message: &Message, options: SendOptions) -> Result<(), String> {
        self.stream.send(message, options)
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write(bytes.to_vec());
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Option<Incoming> {
        next(&self.stream.incoming, deadline)
    }

    fn end(&mut self, how: How) {
        self.stream.outgoing = None;
        if how == How::Drop {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    fn stderr(&self) -> String {
        self.server.stderr()
    }

    fn unfinished(&self) -> Option<String> {
        self.stream.unfinished.lock().expect("no holder panics").clone()
    }
}

impl Drop for TcpLink {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A process that listens and says where on stderr; shared by the links of a job.
pub(crate) struct Server {
    process: Option<std::rc::Rc<std::cell::RefCell<Process>>>,
    address: String,
}

/// A link's view of its server: kills it, and reads what it said since the link was opened.
pub(crate) struct ServerHandle {
    process: Option<std::rc::Rc<std::cell::RefCell<Process>>>,
    said_before: usize,
}

impl Server {
    /// The running server, started if there is none or the last one has died. `marker` precedes the address on stderr.
    pub(crate) fn running<'a>(
        slot: &'a mut Option<Server>,
        config: &Config,
        marker: &str,
    ) -> Result<&'a Server, String> {
        let alive = slot.as_ref().is_some_and(|server| match &server.process {
            Some(process) => process.borrow_mut().exited().is_none(),
            None => true,
        });
        if !alive {
            *slot = Some(if config.command.is_empty() {
                Server { process: None, address: config.address.clone() }
            } else {
                let mut process = Process::start(config, &[])?;
                let address = process.wait_for(marker, Instant::now() + config.start_timeout)?;
                Server {
                    process: Some(std::rc::Rc::new(std::cell::RefCell::new(process))),
                    address,
                }
            });
        }
        Ok(slot.as_ref().expect("just filled"))
    }

    /// `host:port` and whatever follows it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn dial(&self, deadline: Instant) -> Result<TcpStream, String> {
        let host = self.address.split('/').next().unwrap_or_default();
        let complain = |error: io::Error| format!("{host} does not answer: {error}");
        let address = host
            .to_socket_addrs()
            .map_err(complain)?
            .next()
            .ok_or_else(|| format!("{host} is no address"))?;
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(std::time::Duration::from_millis(1));
        let socket = TcpStream::connect_timeout(&address, left).map_err(complain)?;
        socket.set_nodelay(true).map_err(complain)?;
        Ok(socket)
    }

    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle {
            process: self.process.clone(),
            said_before: self.process.as_ref().map_or(0, |process| process.borrow().stderr().len()),
        }
    }
}

impl ServerHandle {
    /// Of a peer that the runner did not start.
    pub(crate) fn nobody() -> ServerHandle {
        ServerHandle { process: None, said_before: 0 }
    }

    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            process.borrow_mut().kill();
        }
    }

    pub(crate) fn stderr(&self) -> String {
        match &self.process {
            Some(process) => {
                let all = process.borrow().stderr();
                all.get(self.said_before..).unwrap_or(&all).to_owned()
            }
            None => String::new(),
        }
    }
}

/// The engine's end of a connection that a host has made.
pub(super) fn accepted(socket: TcpStream) -> Result<Box<dyn Link>, String> {
    let clone = || socket.try_clone().map_err(|error| error.to_string());
    Ok(Box::new(TcpLink {
        stream: StreamLink::open(clone()?, TcpWriter(clone()?), &OpenOptions::default()),
        socket,
        server: ServerHandle::nobody(),
    }))
}

/// Reader and writer threads around a pair of byte streams.
struct StreamLink {
    outgoing: Option<Sender<Vec<u8>>>,
    incoming: Receiver<Incoming>,
    unfinished: Unfinished,
}

impl StreamLink {
    fn open(
        reader: impl Read + Send + 'static,
        mut writer: impl Write + Send + 'static,
        options: &OpenOptions,
    ) -> StreamLink {
        let (outgoing, queue) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            // The stream closes when the queue does: the writer is dropped here.
            for bytes in queue {
                if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
                    return;
                }
            }
        });
        let (found, incoming) = channel();
        let reader = StreamReader::new(reader, MAX_MESSAGE_BYTES);
        let unfinished = reader.unfinished();
        std::thread::spawn(move || read_all(reader, &found));

        let link = StreamLink { outgoing: Some(outgoing), incoming, unfinished };
        link.write(options.preamble.clone().unwrap_or_else(|| PREAMBLE.to_vec()));
        link
    }

    fn send(&self, message: &Message, options: SendOptions) -> Result<(), String> {
        if options.as_text {
            return Err("there are no text messages on a stream".to_owned());
        }
        self.write(message.to_stream(options.length_prefix));
        Ok(())
    }

    fn write(&self, bytes: Vec<u8>) {
        if let Some(outgoing) = &self.outgoing {
            // The writer is gone only when the implementation has stopped reading; its end is reported by the reader.
            let _ = outgoing.send(bytes);
        }
    }
}

fn read_all(mut reader: StreamReader<impl Read>, found: &Sender<Incoming>) {
    let mut item = match reader.preamble() {
        Ok(None) => reader.read(),
        Ok(Some(complaint)) => Ok(complaint),
        Err(error) => Err(error),
    };
    loop {
        let incoming = match item {
            Ok(StreamItem::Message(message)) => Incoming::Message(message),
            Ok(StreamItem::Garbage(text)) => Incoming::Garbage(text),
            Ok(StreamItem::End) => Incoming::End("the stream has ended".to_owned()),
            Err(error) => Incoming::End(format!("the stream broke: {error}")),
        };
        let last = !matches!(incoming, Incoming::Message(_));
        if found.send(incoming).is_err() || last {
            return;
        }
        item = reader.read();
    }
}

/// Half-closes the socket when the writer thread is done.
struct TcpWriter(TcpStream);

impl Write for TcpWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

/// A pipe that can be let go of while it is being read.
struct Stoppable<R> {
    inner: R,
    stop: Arc<AtomicBool>,
}

#[cfg(unix)]
impl<R: Read + std::os::fd::AsRawFd> Read for Stoppable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let mut poll =
                libc::pollfd { fd: self.inner.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd, and the descriptor stays open because `inner` is borrowed.
            match unsafe { libc::poll(&mut poll, 1, 10) } {
                0 => {}
                n if n > 0 => return self.inner.read(into),
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }
}

#[cfg(not(unix))]
impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into)
    }
}

/// Below what four printable characters would announce as a length, so that text is told from frames.
const MAX_MESSAGE_BYTES: u64 = 0x1fff_ffff;
