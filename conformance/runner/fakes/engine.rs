//! An engine that knows five statements and breaks the contract on request: `fake-engine MODE`.
//!
//! Without a mode it behaves. tests/misbehaving.rs names what each mode does wrong.

use std::io::{Read as _, Write as _};

use lix_engine_conformance::proto::{self, Fields as _};
use lix_engine_conformance::wire::{Message, PREAMBLE, StreamItem, StreamReader};
use prost_reflect::DynamicMessage;
use serde_json::{Value as Json, json};

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let mut engine = Engine {
        mode,
        seq: 0,
        commit_seq: 0,
        saved_seq: 0,
        kinds: Vec::new(),
        is_strict: false,
        fetched: 0,
        held: None,
    };
    if engine.is("println-first") {
        println!("Starting the engine on port 8080");
    }
    if engine.is("short-text-first") {
        raw(b"hi\n");
        wait_forever();
    }
    if engine.is("exit-at-once") {
        eprintln!("cannot find the database");
        std::process::exit(3);
    }
    if engine.is("deaf") {
        wait_forever();
    }
    raw(&PREAMBLE);
    let mut reader = StreamReader::new(std::io::stdin(), 1 << 30);
    assert_eq!(reader.preamble().expect("stdin is open"), None, "the runner's preamble");
    while let StreamItem::Message(message) = reader.read().expect("stdin is open") {
        let frame = proto::decode("Frame", &message.frame).expect("the runner sends frames");
        engine.answer(&frame);
    }
    if engine.is("undead") {
        wait_forever();
    }
    if engine.is("bad-exit") {
        std::process::exit(9);
    }
}

struct Engine {
    mode: String,
    seq: u64,
    commit_seq: u64,
    saved_seq: u64,
    kinds: Vec<i32>,
    is_strict: bool,
    fetched: i64,
    held: Option<Json>,
}

impl Engine {
    fn answer(&mut self, frame: &DynamicMessage) {
        let id = frame.int("id") as u32;
        let request = frame.msg("request").expect("the runner sends requests").clone();
        let call = request.which("call").expect("with a call");
        match call.as_str() {
            "init" => {
                let asked = request.msg("init").expect("it is set");
                self.is_strict = asked.int("durability") == 2;
                let kinds = asked.msg("events").map(|events| events.items("kinds").to_vec());
                self.kinds = kinds
                    .unwrap_or_default()
                    .iter()
                    .filter_map(prost_reflect::Value::as_enum_number)
                    .collect();
                let mut init = init();
                let storage = asked.msg("storage").map_or(0, |storage| storage.int("kind"));
                if storage > 1 && !self.is("saves-memory") {
                    init["storage"] = json!(storage as i64);
                }
                if self.is("no-limits") {
                    init["limits"] = Json::Null;
                }
                if self.is("twice-a-capability") {
                    init["capabilities"] = json!(["CAPABILITY_CURSORS", "CAPABILITY_CURSORS"]);
                }
                self.respond(id, json!({ "init": init }));
            }
            "exec" => self.exec(id, request.msg("exec").expect("it is set").text("sql").to_owned()),
            "fetch" => self.fetch(id),
            "save" => {
                self.save();
                let said = self.saved_seq + u64::from(self.is("says-another"));
                self.respond(id, json!({ "save": { "saved_seq": said.to_string() } }));
            }
            "close" => {
                self.respond(id, json!({ "close": {} }));
                if self.is("event-after-close") {
                    self.event(json!({ "log": { "text": "still here" } }));
                }
            }
            _ => self.respond(id, error("UNIMPLEMENTED", "CALL_UNKNOWN")),
        }
    }

    fn exec(&mut self, id: u32, sql: String) {
        match self.mode.as_str() {
            "never" => return,
            "die" => {
                eprintln!("thread panicked at the worst moment");
                std::process::exit(101);
            }
            "hang-up" => std::process::exit(0),
            "println" => raw(b"debug: running a statement\n"),
            "random" => raw(&lix_engine_conformance::value::xorshift32(64, 7)),
            "half-a-frame" => {
                raw(&[200, 0, 0, 0, 8, 1]);
                std::process::exit(0);
            }
            "half-a-frame-and-no-more" => return raw(&[200, 0, 0, 0, 8, 1]),
            "request" => self.write(json!({ "id": id, "request": { "export": {} } })),
            "other-id" => return self.respond(id + 100, rows(&[1])),
            "no-state" => return self.write(json!({ "id": id, "response": rows(&[1]) })),
            "other-outcome" => return self.respond(id, json!({ "export": {} })),
            "no-outcome" => return self.respond(id, json!({})),
            "closes" => {
                let reason = error("INTERNAL", "ENGINE_DEFECT")["error"].clone();
                return self.event(json!({ "closed": { "reason": reason } }));
            }
            "attachment" => {
                let frame = json!({ "id": id, "attachment_sizes": ["3"], "response": with_state(rows(&[1]), 0) });
                let frame = proto::from_json("Frame", &frame).expect("a frame");
                raw(&Message { frame: proto::encode(&frame), attachments: vec![vec![1, 2, 3]] }
                    .to_stream(None));
                return;
            }
            _ => {}
        }
        match sql.as_str() {
            "create" => {
                self.commit_seq += 1;
                if !self.kinds.contains(&1) {
                    self.autosave("SCHEDULED");
                    if self.is_strict && !self.is("answers-too-early") {
                        self.save();
                    }
                    return self.respond(id, json!({ "exec": { "changes": "0" } }));
                }
                let event = json!({ "commit": { "commit_seq": self.commit_seq.to_string() } });
                if self.is("late-event") {
                    self.respond(id, json!({ "exec": { "changes": "0" } }));
                    return self.event(event);
                }
                self.seq += u64::from(self.is("gap") && self.seq > 0);
                if !self.is("no-event") {
                    self.event(event);
                }
                if self.is("state-goes-back") && self.commit_seq == 2 {
                    self.commit_seq = 0;
                }
                self.respond(id, json!({ "exec": { "changes": "0" } }));
            }
            "create later" => {
                self.commit_seq += 1;
                self.autosave("SCHEDULED");
                self.respond(id, json!({ "exec": { "changes": "0" } }));
                self.save_later(match self.mode.as_str() {
                    "saves-too-soon" => 50,
                    "saves-too-late" => 600,
                    _ => 150,
                });
            }
            "cursor" => {
                let mut answer = rows(&[1]);
                answer["exec"]["cursor"] = json!(if self.is("cursor-zero") { 0 } else { 7 });
                self.respond(id, answer);
            }
            "error" => self.respond(
                id,
                match self.mode.as_str() {
                    "unregistered" => error("INVALID", "BAD_LUCK"),
                    "wrong-code" => error("CONSTRAINT", "SQL_ERROR"),
                    "wrong-retryable" => {
                        let mut error = error("INVALID", "SQL_ERROR");
                        error["error"]["retryable"] = json!(true);
                        error
                    }
                    _ => error("INVALID", "SQL_ERROR"),
                },
            ),
            _ => {
                let value: i64 = sql.trim_start_matches("select ").parse().unwrap_or(0);
                let mut answer = rows(&[value]);
                let column = &mut answer["exec"]["batch"]["columns"][0];
                match self.mode.as_str() {
                    "wide" => {
                        column["int_width"] = json!(8);
                        column["ints"] = json!("AQAAAAAAAAA=");
                    }
                    "short-stream" => column["ints"] = json!(""),
                    "wrong-row" => answer = rows(&[value + 1]),
                    "no-batch" => answer["exec"]["batch"] = Json::Null,
                    "changes" => answer["exec"]["changes"] = json!("0"),
                    _ => {}
                }
                let response = json!({ "id": id, "response": with_state(answer, self.commit_seq) });
                match (self.mode.as_str(), self.held.take()) {
                    ("swapped", None) if sql == "select 1" => self.held = Some(response),
                    (_, held) => {
                        self.write(response.clone());
                        if self.is("twice") {
                            self.write(response);
                        }
                        if let Some(held) = held {
                            self.write(held);
                        }
                    }
                }
            }
        }
    }

    fn fetch(&mut self, id: u32) {
        let more = if self.is("too-much") { 3 } else { 2 };
        for n in 1..=more {
            self.fetched += 1;
            let batch = rows(&[n + 1])["exec"]["batch"].clone();
            let done = n == 2 && !self.is("too-much");
            if self.is("credit-unused") && n == 2 {
                return;
            }
            let batch = if self.is("empty-batch") && n == 1 {
                json!({ "row_count": 0, "columns": [{}] })
            } else {
                batch
            };
            self.respond(id, json!({ "fetch": { "batch": batch, "done": done } }));
        }
    }

    fn save(&mut self) {
        self.autosave("STARTED");
        if self.is("starts-twice") {
            self.autosave("STARTED");
        }
        self.saved_seq = self.commit_seq + u64::from(self.is("saves-the-future"));
        match self.mode.as_str() {
            "saves-in-silence" => {}
            "fails-without-reason" => self.autosave("FAILED"),
            _ => self.autosave("SAVED"),
        }
    }

    fn autosave(&mut self, phase: &str) {
        if self.kinds.contains(&2) {
            self.event(autosave(phase, self.commit_seq));
        }
    }

    /// By a timer, while nobody asks.
    fn save_later(&mut self, ms: u64) {
        let (seq, commit_seq) = (self.seq, self.commit_seq);
        self.seq += 2;
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(ms));
            for (seq, phase) in [(seq + 1, "STARTED"), (seq + 2, "SAVED")] {
                let mut event = autosave(phase, commit_seq);
                event["seq"] = json!(seq.to_string());
                write(json!({ "event": event }));
            }
        });
    }

    fn respond(&mut self, id: u32, outcome: Json) {
        let mut response = with_state(outcome, self.commit_seq);
        response["state"]["saved_seq"] = json!(self.saved_seq.to_string());
        self.write(json!({ "id": id, "response": response }));
    }

    fn event(&mut self, kind: Json) {
        self.seq += 1;
        let mut event = kind;
        event["seq"] = json!(self.seq.to_string());
        self.write(json!({ "event": event }));
    }

    fn write(&mut self, frame: Json) {
        write(frame);
    }

    fn is(&self, mode: &str) -> bool {
        self.mode == mode
    }
}

fn write(frame: Json) {
    let frame = proto::from_json("Frame", &frame).expect("a frame");
    raw(&Message::of(proto::encode(&frame)).to_stream(None));
}

fn autosave(phase: &str, commit_seq: u64) -> Json {
    let phase = format!("AUTOSAVE_PHASE_{phase}");
    json!({ "autosave": { "phase": phase, "commit_seq": commit_seq.to_string() } })
}

fn with_state(mut outcome: Json, commit_seq: u64) -> Json {
    outcome["state"] = json!({ "commit_seq": commit_seq.to_string() });
    outcome
}

/// One column of small integers.
fn rows(values: &[i64]) -> Json {
    use base64::Engine as _;
    let bytes: Vec<u8> = values.iter().map(|value| *value as u8).collect();
    let ints = base64::engine::general_purpose::STANDARD.encode(bytes);
    json!({ "exec": {
        "columns": [{ "name": "1" }],
        "batch": {
            "row_count": values.len(),
            "columns": [{ "uniform": "STORAGE_CLASS_INTEGER", "int_width": 1, "ints": ints }],
        },
    } })
}

fn error(code: &str, reason: &str) -> Json {
    json!({ "error": { "code": format!("ERROR_CODE_{code}"), "reason": reason, "message": "no" } })
}

fn init() -> Json {
    json!({
        "engine_name": "fake", "engine_version": "1", "sqlite_version": "3",
        "capabilities": ["CAPABILITY_CURSORS", "CAPABILITY_PERSISTENCE", "CAPABILITY_AUTOSAVE"],
        "storage": "STORAGE_KIND_MEMORY",
        "limits": {
            "max_frame_bytes": 1000, "max_attachment_bytes": "1000", "max_sql_bytes": 1000, "max_params": 10,
            "max_batch_statements": 10, "max_open_cursors": 10, "max_inflight": 10, "max_result_bytes": "1000",
        },
    })
}

fn raw(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    // A runner that has hung up needs no answer.
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn wait_forever() -> ! {
    // Reads nothing away from the runner: its end of stdin is what a test looks at.
    let mut sink = [0_u8; 1];
    while std::io::stdin().read(&mut sink).is_ok_and(|n| n > 0) {}
    loop {
        std::thread::park();
    }
}
