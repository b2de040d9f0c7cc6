//! Where hosts connect to: one port on loopback for byte streams and WebSockets, told apart by their first bytes.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{Link, stream, ws};
use crate::wire::PREAMBLE;

/// A port that takes connections one by one.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    /// Connected, and has not said yet what it speaks.
    undecided: Option<TcpStream>,
}

/// A connection and what is spoken on it.
pub type Accepted = (Box<dyn Link>, Spoken);

/// How a host reached the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Stream framing.
    Stream,
    /// A WebSocket.
    WebSocket,
}

impl Spoken {
    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Spoken::Stream => "tcp",
            Spoken::WebSocket => "ws",
        }
    }
}

impl Listener {
    /// Listens on this address; port 0 is a free one.
    pub fn bind(address: &str) -> Result<Listener, String> {
        let complain = |error: std::io::Error| format!("{address}: {error}");
        let listener = TcpListener::bind(address).map_err(complain)?;
        listener.set_nonblocking(true).map_err(complain)?;
        let address = listener.local_addr().map_err(complain)?;
        Ok(Listener { listener, address, undecided: None })
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// A connection, if there is one by the deadline. Who connects and says nothing is kept waiting, and nobody waits for it.
    pub fn accept(&mut self, deadline: Instant) -> Result<Option<Accepted>, String> {
        loop {
            if self.undecided.is_none() {
                match self.listener.accept() {
                    Ok((socket, _)) => {
                        socket.set_nodelay(true).map_err(|error| error.to_string())?;
                        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
                        self.undecided = Some(socket);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            if let Some(socket) = &self.undecided {
                let mut first = [0_u8; 1];
                match socket.peek(&mut first) {
                    Ok(_) => {
                        let socket = self.undecided.take().expect("it is set");
                        socket.set_nonblocking(false).map_err(|error| error.to_string())?;
                        // What is neither is for the byte stream's reader to complain about.
                        return Ok(Some(if first[0] == b'G' && first[0] != PREAMBLE[0] {
                            let patience = Some(Duration::from_secs(5));
                            socket.set_read_timeout(patience).map_err(|error| error.to_string())?;
                            let link = ws::accepted(
                                socket.try_clone().map_err(|error| error.to_string())?,
                            )?;
                            socket.set_read_timeout(None).map_err(|error| error.to_string())?;
                            (link, Spoken::WebSocket)
                        } else {
                            (stream::accepted(socket)?, Spoken::Stream)
                        }));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => self.undecided = None,
                }
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
