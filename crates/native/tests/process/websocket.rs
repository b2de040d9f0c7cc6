//! One session per WebSocket connection.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use lix_engine_proto::{Frame, InitRequest, init_request, request};
use prost::Message as _;
use tungstenite::{Message, WebSocket};

use crate::engine::{Engine, LONG, close, exec, first_ints, init, request, verdict};
use crate::plugins::{UNSTOPPABLE, inline, with};

pub(crate) struct Server {
    address: String,
    pub(crate) engine: Engine,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut engine = Engine::start(&["serve", "--ws", "127.0.0.1:0"]);
        let mut line = String::new();
        let mut stderr = BufReader::new(engine.stderr());
        stderr.read_line(&mut line).unwrap();
        // Its log is read to the end, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let address = line.trim().strip_prefix("listening on ws://").expect(&line).to_owned();
        Self { address, engine }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{}/", self.address), stream).unwrap();
        Client(socket)
    }

    pub(crate) fn ready(&self) -> Client {
        let mut client = self.connect();
        assert_eq!(verdict(&client.call(&init(1), &[]).0), "ok");
        client
    }
}

pub(crate) struct Client(pub(crate) WebSocket<TcpStream>);

impl Client {
    pub(crate) fn send(&mut self, frame: &Frame, attachments: &[&[u8]]) {
        self.0.send(Message::binary(frame.encode_to_vec())).unwrap();
        for attachment in attachments {
            self.0.send(Message::binary(attachment.to_vec())).unwrap();
        }
    }

    pub(crate) fn receive(&mut self) -> (Frame, Vec<Vec<u8>>) {
        let mut binary = || self.0.read().unwrap().into_data();
        let frame = Frame::decode(binary()).unwrap();
        let attachments = frame.attachment_sizes.iter().map(|_| binary().to_vec()).collect();
        (frame, attachments)
    }

    pub(crate) fn call(&mut self, frame: &Frame, attachments: &[&[u8]]) -> (Frame, Vec<Vec<u8>>) {
        self.send(frame, attachments);
        let (answer, attachments) = self.receive();
        assert_eq!(answer.id, frame.id);
        (answer, attachments)
    }

    pub(crate) fn verdict(&mut self, frame: &Frame) -> String {
        verdict(&self.call(frame, &[]).0)
    }
}

#[test]
fn connections_are_sessions_of_their_own() {
    let server = Server::start();
    let (mut one, mut two) = (server.ready(), server.ready());
    assert_eq!(one.verdict(&exec(2, "create table t as select 1 as a")), "ok");
    assert_eq!(two.verdict(&exec(2, "select * from t")), "SQL_ERROR");
    // A long statement of one does not hold up the other.
    one.send(&exec(3, LONG), &[]);
    assert_eq!(first_ints(&two.call(&exec(3, "select 9"), &[]).0).as_ref(), [9]);
    assert_eq!(verdict(&one.receive().0), "ok");
    // Nor does its end.
    drop(one);
    assert_eq!(two.verdict(&exec(4, "select 1")), "ok");
    assert_eq!(server.ready().verdict(&exec(2, "select 1")), "ok");
}

#[test]
fn a_plugin_that_fails_ends_neither_the_connection_nor_its_neighbours() {
    let server = Server::start();
    let mut one = server.ready();
    let mut two = server.connect();
    // As deep as the stack of a connection's thread allows.
    assert_eq!(two.verdict(&with(1, &[inline("const f = () => f(); f()")])), "PLUGIN_LOAD");
    assert_eq!(two.verdict(&init(2)), "ok");
    // What cannot be stopped ends its connection.
    let mut three = server.connect();
    three.send(&with(1, &[inline(UNSTOPPABLE)]), &[]);
    assert!(three.0.read().is_err());
    assert_eq!(one.verdict(&exec(2, "select 1")), "ok");
}

#[test]
fn attachments_are_messages_behind_their_frame() {
    let server = Server::start();
    let mut one = server.ready();
    one.verdict(&exec(2, "create table t as select 5 as a, zeroblob(300000)"));
    let (_, images) = one.call(&request(3, request::Call::Export(Default::default())), &[]);
    assert!(images[0].len() > 300_000);

    let mut two = server.connect();
    let seed = Some(init_request::Seed::ImageAttachment(0));
    let init = request(1, request::Call::Init(InitRequest { seed, ..Default::default() }));
    let init = Frame { attachment_sizes: vec![images[0].len() as u64], ..init };
    let (answer, _) = two.call(&init, &[&images[0]]);
    assert_eq!(verdict(&answer), "ok");
    assert_eq!(first_ints(&two.call(&exec(2, "select a from t"), &[]).0).as_ref(), [5]);

    // Of another length than announced: refused, and the next message is found.
    let wrong = Frame { attachment_sizes: vec![4], ..exec(3, "select 1") };
    let (answer, _) = two.call(&wrong, &[b"four!"]);
    assert_eq!(verdict(&answer), "ATTACHMENT_MISMATCH");
    assert_eq!(two.verdict(&exec(4, "select 1")), "ok");
}

#[test]
fn text_is_malformed_and_the_session_refuses_from_then_on() {
    let server = Server::start();
    let (mut one, mut two) = (server.ready(), server.ready());
    one.0.send(Message::text("select 1")).unwrap();
    let (closed, _) = one.receive();
    assert_eq!(verdict(&closed), "closed FRAME_MALFORMED");
    assert_eq!(one.verdict(&exec(2, "select 1")), "FAILED");
    one.0.close(None).unwrap();
    assert!(matches!(one.0.read(), Ok(Message::Close(_))));
    assert_eq!(two.verdict(&exec(2, "select 1")), "ok");
}

#[test]
fn pings_are_answered_and_a_close_is_returned() {
    let server = Server::start();
    let mut client = server.ready();
    client.0.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(client.0.read().unwrap(), Message::Pong("are you there".into()));
    assert_eq!(client.verdict(&close(2)), "ok");
    assert_eq!(client.verdict(&exec(3, "select 1")), "CLOSED");
    client.0.close(None).unwrap();
    assert!(matches!(client.0.read(), Ok(Message::Close(_))));
    assert!(matches!(client.0.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn who_does_not_speak_websocket_disturbs_nobody() {
    use std::io::{Read, Write};
    let server = Server::start();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(b"LIXE\r\n\x01\x00and so on\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(server.ready().verdict(&exec(2, "select 1")), "ok");
}
