//! A host behind the adapter protocol that does what it should, or one thing that it should not: what
//! tests/hosts.rs shows to the runner. The mode is the first argument.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;

use lix_engine_conformance::batch;
use lix_engine_conformance::proto::{self, Fields as _};
use lix_engine_conformance::wire::{Message, PREAMBLE, StreamItem, StreamReader};
use serde_json::{Value as Json, json};

struct Host {
    mode: String,
    socket: Option<(TcpStream, StreamReader<TcpStream>)>,
    next_id: u32,
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "silent" => park(),
        "crash-at-start" => fail("no configuration found"),
        "echo" => echo(),
        "text-at-start" => println!("Adapter 1.0 ready"),
        _ => {}
    }
    let mut host = Host { mode, socket: None, next_id: 1 };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let command: Json = serde_json::from_str(&line).expect("the runner writes JSON");
        host.command(&command);
    }
    // Its standard input has ended, and so should it; the runner ends it.
    if host.is("stays") {
        loop {
            std::thread::park();
        }
    }
}

impl Host {
    fn command(&mut self, command: &Json) {
        let id = command["id"].clone();
        if command.get("hello").is_some() {
            let features: &[&str] =
                if self.is("unknown-feature") { &["telepathy"] } else { &["ordered"] };
            return report(
                json!({ "id": id, "hello": { "name": "fake", "version": "1", "features": features } }),
            );
        }
        if command.get("drop").is_some() {
            if let Some((socket, _)) = self.socket.take() {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            return report(json!({ "id": id, "done": {} }));
        }
        if let Some(open) = command.get("open") {
            if self.is("websocket") {
                let url = open["ws"].as_str().expect("a URL");
                let address = open["tcp"].as_str().expect("an address");
                let socket = TcpStream::connect(address).expect("it listens");
                let opened = tungstenite::client::client(url, socket).expect("a WebSocket");
                // Nothing of the case can be played, so nobody looks at what is said on it.
                return std::mem::forget(opened);
            }
            if self.is("does-not-connect") {
                return report(
                    json!({ "id": id, "error": { "code": "LIFECYCLE", "reason": "LAZY", "message": "later" } }),
                );
            }
            let mut socket =
                TcpStream::connect(open["tcp"].as_str().expect("an address")).expect("it listens");
            socket
                .write_all(if self.is("no-preamble") { b"HELLO..\n" } else { &PREAMBLE })
                .expect("it reads");
            let reader = StreamReader::new(socket.try_clone().expect("a socket"), 1 << 20);
            self.socket = Some((socket, reader));
            self.next_id = 1;
            if self.is("exec-first") {
                let _ = self.call(json!({ "export": {} }));
            }
            let outcome = self.call(json!({ "init": {} }));
            return report(
                json!({ "id": id, "opened": {}, "error": outcome.err() }).without_null(),
            );
        }
        if command.get("close").is_some() {
            let outcome = self.call(json!({ "close": {} }));
            self.socket = None;
            return report(json!({ "id": id, "done": {}, "error": outcome.err() }).without_null());
        }
        let sql = command["exec"]["sql"].as_str().unwrap_or_default().to_owned();
        match self.mode.as_str() {
            "never" => return,
            "half-a-frame" => {
                let Some((socket, _)) = &mut self.socket else { return };
                return socket.write_all(&[200, 0, 0, 0, 8, 1]).expect("it reads");
            }
            "dies" => fail("out of memory"),
            "prints" => println!("debug: {sql}"),
            "half-a-line" => {
                print!("{{\"id\":");
                std::io::stdout().flush().expect("it is read");
                std::process::exit(0);
            }
            "keeps-it" => {
                return report(json!({ "id": id, "result": { "rows": [[{ "int": "1" }]] } }));
            }
            _ => {}
        }
        let outcome = self.call(
            json!({ "exec": { "sql": if self.is("changes-sql") { "other" } else { &sql } } }),
        );
        let answer = match outcome {
            Ok(rows) => {
                let result = match self.mode.as_str() {
                    "wrong-value" => json!({ "rows": [[{ "int": "2" }]] }),
                    "number-as-value" => json!({ "rows": [[1]] }),
                    "unknown-member" => json!({ "rows": rows, "lastInsertRowid": { "int": "1" } }),
                    _ => json!({ "rows": rows }),
                };
                match self.is("says-nothing") {
                    true => json!({ "id": id }),
                    false => json!({ "id": id, "result": result }),
                }
            }
            Err(_) if self.is("defect") => {
                json!({ "id": id, "defect": "TypeError: undefined is no function" })
            }
            Err(_) if self.is("waits-forever") => return,
            Err(error) => json!({ "id": id, "error": error }),
        };
        if self.is("other-id") {
            report(json!({ "id": 999, "done": {} }));
        }
        report(answer.clone());
        if self.is("twice") {
            report(answer);
        }
    }

    /// Sends a request and waits for its answer: rows, or an error.
    fn call(&mut self, request: Json) -> Result<Json, Json> {
        let lost =
            || json!({ "code": "LIFECYCLE", "reason": "TRANSPORT_CLOSED", "message": "gone" });
        let id = if self.is("same-id-twice") || self.is("id-zero") {
            u32::from(!self.is("id-zero"))
        } else {
            self.next_id
        };
        self.next_id += 1;
        let frame =
            proto::from_json("Frame", &json!({ "id": id, "request": request })).expect("a frame");
        let Some((socket, reader)) = &mut self.socket else { return Err(lost()) };
        let bytes = Message::of(proto::encode(&frame)).to_stream(None);
        let times = 1 + usize::from(self.mode == "same-id-twice" && request.get("exec").is_some());
        for _ in 0..times {
            socket.write_all(&bytes).map_err(|_| lost())?;
        }
        if id <= 1
            && request.get("init").is_some()
            && reader.preamble().map_err(|_| lost())?.is_some()
        {
            return Err(lost());
        }
        loop {
            let Ok(StreamItem::Message(message)) = reader.read() else { return Err(lost()) };
            let frame = proto::decode("Frame", &message.frame).map_err(|_| lost())?;
            let Some(response) =
                frame.msg("response").filter(|_| frame.int("id") == i128::from(id))
            else {
                continue;
            };
            if let Some(error) = response.msg("error") {
                let code = proto::enum_name("ErrorCode", error.int("code") as i32);
                return Err(
                    json!({ "code": code, "reason": error.text("reason"), "message": error.text("message") }),
                );
            }
            let rows = response
                .msg("exec")
                .and_then(|exec| exec.msg("batch"))
                .and_then(|batch| batch::decode(batch).ok())
                .unwrap_or_default();
            let cells = |row: &Vec<lix_engine_conformance::value::Cell>| -> Vec<Json> {
                row.iter().map(|cell| cell.to_json()).collect()
            };
            return Ok(rows.iter().map(cells).collect());
        }
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }
}

trait WithoutNull {
    fn without_null(self) -> Self;
}

impl WithoutNull for Json {
    fn without_null(mut self) -> Json {
        if let Json::Object(members) = &mut self {
            members.retain(|_, member| !member.is_null());
        }
        self
    }
}

fn report(line: Json) {
    println!("{line}");
}

fn echo() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{line}");
    }
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(7)
}

fn park() -> ! {
    let mut sink = [0_u8; 1];
    while std::io::stdin().read(&mut sink).is_ok_and(|n| n > 0) {}
    std::process::exit(0)
}
