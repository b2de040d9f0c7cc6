//! WebSocket: one binary message for the frame, one for each attachment.

use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Message as Ws, WebSocket};

use super::stream::{Server, ServerHandle};
use super::{How, Incoming, Link, OpenOptions, SendOptions, Target, next};
use crate::implementation::Config;
use crate::wire::{Message, attachment_sizes, quote};

/// A server for all links of a job, started by the runner or already running.
pub(crate) struct WsTarget {
    config: Config,
    server: Option<Server>,
}

impl WsTarget {
    pub(crate) fn new(config: Config) -> WsTarget {
        WsTarget { config, server: None }
    }
}

impl Target for WsTarget {
    fn connect(
        &mut self,
        _options: &OpenOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Link>, String> {
        let server = Server::running(&mut self.server, &self.config, "listening on ws://")?;
        let socket = server.dial(deadline)?;
        let left = deadline.saturating_duration_since(Instant::now());
        socket
            .set_read_timeout(Some(left.max(std::time::Duration::from_millis(1))))
            .map_err(|error| error.to_string())?;
        let mut url = format!("ws://{}", server.address());
        if !server.address().contains('/') {
            url.push('/');
        }
        let handshake = socket.try_clone().map_err(|error| error.to_string())?;
        tungstenite::client::client(url.as_str(), handshake)
            .map_err(|error| format!("{url} refuses the WebSocket: {error}"))?;
        socket.set_read_timeout(None).map_err(|error| error.to_string())?;

        let duplex = Duplex::open(&socket, Role::Client)?;
        let (found, incoming) = channel();
        std::thread::spawn(move || assemble(&duplex.incoming, &found));
        Ok(Box::new(WsLink {
            socket,
            outgoing: Some(duplex.outgoing),
            incoming,
            server: server.handle(),
        }))
    }

    fn restart(&mut self) {
        self.server = None;
    }
}

/// The engine's end of a WebSocket that a host opens.
pub(super) fn accepted(socket: TcpStream) -> Result<Box<dyn Link>, String> {
    let handshake = socket.try_clone().map_err(|error| error.to_string())?;
    tungstenite::accept(handshake).map_err(|error| format!("no WebSocket: {error}"))?;
    let duplex = Duplex::open(&socket, Role::Server)?;
    let (found, incoming) = channel();
    std::thread::spawn(move || assemble(&duplex.incoming, &found));
    let server = ServerHandle::nobody();
    Ok(Box::new(WsLink { socket, outgoing: Some(duplex.outgoing), incoming, server }))
}

struct WsLink {
    socket: TcpStream,
    outgoing: Option<Sender<Ws>>,
    incoming: Receiver<Incoming>,
    server: ServerHandle,
}

impl Link for WsLink {
    fn send(&mut self, message: &Message, options: SendOptions) -> Result<(), String> {
        if options.length_prefix.is_some() {
            return Err("there are no length prefixes on a WebSocket".to_owned());
        }
        let Some(outgoing) = &self.outgoing else {
            return Ok(());
        };
        let frame = if options.as_text {
            Ws::Text(String::from_utf8_lossy(&message.frame).into_owned().into())
        } else {
            Ws::Binary(Bytes::from(message.frame.clone()))
        };
        // The writer is gone only when the connection is; its end is reported by the reader.
        let _ = outgoing.send(frame);
        for attachment in &message.attachments {
            let _ = outgoing.send(Ws::Binary(Bytes::from(attachment.clone())));
        }
        Ok(())
    }

    fn write_bytes(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Err("there is nothing outside the framing on a WebSocket".to_owned())
    }

    fn receive(&mut self, deadline: Instant) -> Option<Incoming> {
        next(&self.incoming, deadline)
    }

    fn end(&mut self, how: How) {
        if let Some(outgoing) = self.outgoing.take() {
            match how {
                How::End => {
                    let _ = outgoing.send(Ws::Close(None));
                }
                How::Drop => {
                    let _ = self.socket.shutdown(Shutdown::Both);
                }
            }
        }
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    fn stderr(&self) -> String {
        self.server.stderr()
    }
}

impl Drop for WsLink {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A WebSocket after its handshake, read and written on two threads.
pub(crate) struct Duplex {
    pub(crate) outgoing: Sender<Ws>,
    pub(crate) incoming: Receiver<Result<Ws, String>>,
}

impl Duplex {
    pub(crate) fn open(socket: &TcpStream, role: Role) -> Result<Duplex, String> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(1 << 30))
            .max_frame_size(Some(1 << 30));
        let half = || {
            let clone = socket.try_clone().map_err(|error| error.to_string())?;
            Ok::<_, String>(WebSocket::from_raw_socket(clone, role, Some(config)))
        };
        let mut writer = half()?;
        let (outgoing, queue) = channel::<Ws>();
        std::thread::spawn(move || {
            for message in queue {
                if writer.send(message).is_err() {
                    return;
                }
            }
        });
        // Reading answers pings and closes on the same socket; peers here send no pings in the middle of our messages.
        let mut reader = half()?;
        let (found, incoming) = channel();
        std::thread::spawn(move || {
            loop {
                let (item, last) = match reader.read() {
                    Ok(Ws::Close(frame)) => {
                        let _ = reader.flush();
                        // A client waits until the server ends the connection.
                        if role == Role::Server {
                            let _ = reader.get_ref().shutdown(Shutdown::Both);
                        }
                        let why = match frame {
                            Some(frame) => format!("the WebSocket was closed: {frame}"),
                            None => "the WebSocket was closed".to_owned(),
                        };
                        (Err(why), true)
                    }
                    Ok(message) => (Ok(message), false),
                    Err(error) => (Err(format!("the WebSocket ended: {error}")), true),
                };
                if found.send(item).is_err() || last {
                    return;
                }
            }
        });
        Ok(Duplex { outgoing, incoming })
    }
}

/// Puts frames and their attachments together.
fn assemble(from: &Receiver<Result<Ws, String>>, to: &Sender<Incoming>) {
    let mut partial: Option<(Message, Vec<u64>)> = None;
    for item in from {
        let bytes = match item {
            Ok(Ws::Binary(bytes)) => bytes,
            Ok(Ws::Text(text)) => {
                let _ = to
                    .send(Incoming::Garbage(format!("a text message: {}", quote(text.as_bytes()))));
                continue;
            }
            Ok(_) => continue,
            Err(why) => {
                let _ = to.send(Incoming::End(why));
                return;
            }
        };
        let (message, sizes) = match partial.take() {
            Some((mut message, sizes)) => {
                message.attachments.push(bytes.to_vec());
                (message, sizes)
            }
            None => {
                let frame = bytes.to_vec();
                let Some(sizes) = attachment_sizes(&frame) else {
                    let _ = to.send(Incoming::Garbage(format!("not a Frame: {}", quote(&frame))));
                    continue;
                };
                (Message::of(frame), sizes)
            }
        };
        if message.attachments.len() < sizes.len() {
            partial = Some((message, sizes));
        } else if to.send(Incoming::Message(message)).is_err() {
            return;
        }
    }
}
