//! Tests as transcripts: what a host says stands behind `>`, what the engine answers below it.
//!
//! ```text
//! > insert into t(name) values (?1) <- 'a'
//! changes 1, rowid 1, commit 1
//! ```
//!
//! A line is SQL, or a command that starts with a dot (see [`Script::command`]). `UPDATE_EXPECT=1`
//! rewrites the answers in the source; read the difference before you believe it.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use expect_test::Expect;
use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{
    BatchErrorMode, CancelOutcome, EngineError, ErrorCode, ExecBatchRequest, ExecRequest,
    ExecResponse, NamedValue, Null, Response, RowMode, Value, batch_item, event, request, response,
    value,
};
use lix_engine_protocol::{Limits, NATIVE_LIMITS};

use crate::host::{Answer, Host, Sent, batch_rows, init_request};

/// Plays the lines behind `>` to a fresh session and compares what it answers.
pub(crate) fn check(transcript: Expect) {
    check_with(NATIVE_LIMITS, transcript);
}

/// The same with other limits.
pub(crate) fn check_with(limits: Limits, transcript: Expect) {
    let options = SessionOptions { limits, storage: &[], plugins: &[], conformance: false };
    let mut script = Script::new(options.clone());
    script.host.init(None).expect("init with defaults");
    script.play(transcript);
}

/// The same on a session that was not initialised yet, with the control calls if asked for.
pub(crate) fn check_raw(options: SessionOptions, transcript: Expect) {
    Script::new(options).play(transcript);
}

pub(crate) struct Script {
    pub(crate) host: Host,
    options: SessionOptions,
    images: HashMap<String, Bytes>,
    was_in_transaction: bool,
    output: String,
}

impl Script {
    pub(crate) fn new(options: SessionOptions) -> Self {
        let host = Host::with(options.clone());
        let output = String::new();
        Self { host, options, images: HashMap::new(), was_in_transaction: false, output }
    }

    pub(crate) fn play(&mut self, transcript: Expect) {
        let lines: Vec<String> = transcript
            .data()
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(['>', '#']))
            .map(str::to_owned)
            .collect();
        for line in lines {
            self.say(&line);
            if let Some(line) = line.strip_prefix('>') {
                self.command(line.trim());
            }
        }
        transcript.assert_eq(&self.output);
    }

    /// Runs one line.
    fn command(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let exec = |sql: &str, rows: RowMode| exec_request(sql, rows);
        let number = |text: &str| text.parse::<u32>().unwrap_or_else(|_| panic!("{line}"));
        match word {
            // .none SQL: no rows wanted
            ".none" => self.exec(exec(rest, RowMode::None)),
            // .cursor ROWS SQL: a cursor with so many rows per batch
            ".cursor" => {
                let (rows, sql) = rest.split_once(' ').expect(line);
                let (mut request, attachments) = exec(sql, RowMode::Cursor);
                request.max_batch_rows = number(rows);
                self.exec((request, attachments));
            }
            // .cursor-bytes BYTES SQL
            ".cursor-bytes" => {
                let (bytes, sql) = rest.split_once(' ').expect(line);
                let (mut request, attachments) = exec(sql, RowMode::Cursor);
                request.max_batch_bytes = number(bytes);
                self.exec((request, attachments));
            }
            // .timeout MS SQL
            ".timeout" => {
                let (ms, sql) = rest.split_once(' ').expect(line);
                let (mut request, attachments) = exec(sql, RowMode::All);
                request.timeout_ms = number(ms);
                self.exec((request, attachments));
            }
            // .fetch CURSOR [CREDIT]
            ".fetch" => {
                let mut numbers = rest.split_whitespace().map(number);
                let cursor = numbers.next().expect(line);
                let credit = numbers.next().unwrap_or(0);
                let fetch = lix_engine_protocol::proto::FetchRequest { cursor, credit };
                self.call(request::Call::Fetch(fetch), vec![]);
            }
            // .drop CURSOR
            ".drop" => {
                let cursor = number(rest);
                let close = lix_engine_protocol::proto::CloseCursorRequest { cursor };
                self.call(request::Call::CloseCursor(close), vec![]);
            }
            // .batch SQL ;; SQL …, .continue SQL ;; SQL …
            ".batch" | ".continue" => {
                let on_error = match word {
                    ".batch" => BatchErrorMode::Stop,
                    _ => BatchErrorMode::Continue,
                };
                let statements = rest.split(";;").filter(|sql| !sql.trim().is_empty());
                let statements = statements.map(|sql| exec(sql.trim(), RowMode::All).0).collect();
                let batch = ExecBatchRequest { statements, on_error: on_error.into() };
                self.call(request::Call::ExecBatch(batch), vec![]);
            }
            // .export NAME: keeps the image under a name
            ".export" => self.call_named(request::Call::Export(Default::default()), rest),
            // .seed NAME: a new session over that image
            ".seed" => {
                self.host = Host::with(self.options.clone());
                self.was_in_transaction = false;
                let image = self.images.get(rest).expect(line).clone();
                match self.host.init(Some(&image)) {
                    Ok(()) => {}
                    Err(error) => self.say(&describe_error(&error)),
                }
            }
            ".init" => {
                self.call(request::Call::Init(init_request()), vec![]);
            }
            ".save" => self.call(request::Call::Save(Default::default()), vec![]),
            ".close" => self.call(request::Call::Close(Default::default()), vec![]),
            // .cancel ID
            ".cancel" => {
                let target = number(rest);
                let cancel = lix_engine_protocol::proto::CancelRequest { target };
                let (_, sent) = self.host.send(request::Call::Cancel(cancel), vec![]);
                self.report(sent, true, "");
            }
            // .later SQL, .later .close: sent, not run yet; answers carry their ids
            ".later" => {
                let call = match rest {
                    ".close" => request::Call::Close(Default::default()),
                    ".init" => request::Call::Init(init_request()),
                    sql => request::Call::Exec(exec(sql, RowMode::All).0),
                };
                let (id, sent) = self.host.send(call, vec![]);
                self.say(&format!("sent as {id}"));
                self.report(sent, true, "");
            }
            // .run: runs what waits
            ".run" => {
                let sent = self.host.run();
                self.report(sent, true, "");
            }
            // .broken TEXT: the transport broke
            ".broken" => {
                let reason = lix_engine_protocol::Reason::FrameMalformed;
                let error = lix_engine_protocol::Error::new(reason, rest);
                let sent = self.host.event(lix_engine_core::Event::Broken(error));
                self.report(sent, true, "");
            }
            _ if word.starts_with('.') => panic!("unknown command: {line}"),
            _ => self.exec(exec(line, RowMode::All)),
        }
    }

    fn exec(&mut self, (request, attachments): (ExecRequest, Vec<Bytes>)) {
        self.call(request::Call::Exec(request), attachments);
    }

    fn call(&mut self, call: request::Call, attachments: Vec<Bytes>) {
        let (_, mut sent) = self.host.send(call, attachments);
        sent.extend(self.host.run());
        self.report(sent, false, "");
    }

    fn call_named(&mut self, call: request::Call, name: &str) {
        let (_, mut sent) = self.host.send(call, vec![]);
        sent.extend(self.host.run());
        self.report(sent, false, name);
    }

    fn report(&mut self, sent: Vec<Sent>, with_ids: bool, name: &str) {
        let mut commits = String::new();
        for one in sent {
            match one {
                Sent::End => self.say("end"),
                Sent::Event(event::Kind::Commit(commit)) => {
                    let _ = write!(commits, ", commit {}", commit.commit_seq);
                }
                Sent::Event(event::Kind::Closed(closed)) => {
                    self.say(&format!("closed: {}", describe_error(&closed.reason.unwrap())));
                }
                Sent::Event(other) => self.say(&format!("event {other:?}")),
                Sent::Answer(Answer { id, response, attachments }) => {
                    let now = response.state.is_some_and(|state| state.in_transaction);
                    let tail = match (self.was_in_transaction, now) {
                        (false, true) => ", in transaction",
                        (true, false) => ", out of transaction",
                        _ => "",
                    };
                    self.was_in_transaction = now;
                    if let [image] = attachments.as_slice() {
                        self.images.insert(name.to_owned(), image.clone());
                    }
                    let prefix = if with_ids { format!("{id}: ") } else { String::new() };
                    let text = describe(&response) + &std::mem::take(&mut commits) + tail;
                    self.say(&format!("{prefix}{text}"));
                }
            }
        }
        assert_eq!(commits, "", "a commit event without an answer after it");
    }

    fn say(&mut self, text: &str) {
        for line in text.split('\n') {
            match line.char_indices().nth(LONGEST_LINE) {
                Some((end, _)) => {
                    let _ = writeln!(self.output, "{}… ({} bytes)", &line[..end], line.len());
                }
                None => {
                    let _ = writeln!(self.output, "{line}");
                }
            }
        }
    }
}

fn describe(response: &Response) -> String {
    match response.outcome.as_ref().unwrap() {
        response::Outcome::Error(error) => describe_error(error),
        response::Outcome::Exec(exec) => describe_exec(exec),
        response::Outcome::ExecBatch(batch) => {
            let items = batch.items.iter().map(|item| match item.outcome.as_ref().unwrap() {
                batch_item::Outcome::Ok(exec) => format!("- {}\n", describe_exec(exec)),
                batch_item::Outcome::Error(error) => format!("- {}\n", describe_error(error)),
            });
            items.collect::<String>() + &format!("{} items", batch.items.len())
        }
        response::Outcome::Fetch(fetch) => {
            let mut lines = batch_rows(fetch.batch.as_ref().unwrap());
            lines.push(if fetch.done { "done".into() } else { "more".into() });
            lines.join("\n")
        }
        response::Outcome::Init(_) => "initialised".into(),
        response::Outcome::CloseCursor(_) => "cursor closed".into(),
        response::Outcome::Close(_) => "session closed".into(),
        response::Outcome::Export(export) => format!("image of commit {}", export.commit_seq),
        response::Outcome::Save(save) => format!("saved {}", save.saved_seq),
        response::Outcome::Suspend(suspend) => format!("suspended, saved {}", suspend.saved_seq),
        response::Outcome::Resume(_) => "resumed".into(),
        response::Outcome::Cancel(cancel) => match cancel.outcome() {
            CancelOutcome::Dequeued => "dequeued".into(),
            CancelOutcome::Interrupted => "interrupted".into(),
            CancelOutcome::TooLate => "too late".into(),
            CancelOutcome::Unspecified => "unspecified".into(),
        },
        response::Outcome::Control(_) => "control".into(),
    }
}

fn describe_exec(exec: &ExecResponse) -> String {
    let mut text = String::new();
    if let Some(batch) = &exec.batch {
        let columns = exec.columns.iter().map(|column| match &column.decl_type {
            Some(decl_type) => format!("{} {decl_type}", column.name),
            None => column.name.clone(),
        });
        let _ = writeln!(text, "[{}]", columns.collect::<Vec<_>>().join(" | "));
        for row in batch_rows(batch) {
            let _ = writeln!(text, "{row}");
        }
    }
    let mut notes = Vec::new();
    if let Some(changes) = exec.changes {
        notes.push(format!("changes {changes}"));
    }
    if let Some(rowid) = exec.last_insert_rowid {
        notes.push(format!("rowid {rowid}"));
    }
    if let Some(cursor) = exec.cursor {
        notes.push(format!("cursor {cursor}"));
    }
    if notes.is_empty() {
        notes.push(match &exec.batch {
            Some(batch) => format!("{} rows", batch.row_count),
            None => "ok".into(),
        });
    }
    text + &notes.join(", ")
}

fn describe_error(error: &EngineError) -> String {
    let code = error.code().as_str_name().strip_prefix("ERROR_CODE_").unwrap();
    let mut text = format!("{code}/{}", error.reason);
    if !error.subject.is_empty() {
        let _ = write!(text, " {}", error.subject);
    }
    if let Some(offset) = error.sql_offset {
        let _ = write!(text, " at {offset}");
    }
    if error.sqlite_extended_code != 0 {
        let _ = write!(text, " sqlite {}", error.sqlite_extended_code);
    }
    if error.retryable {
        text.push_str(" retryable");
    }
    // Only SQLite's own words are stable.
    if error.sqlite_code != 0 && error.code() != ErrorCode::Internal {
        let _ = write!(text, ": {}", error.message);
    }
    text
}

/// `SQL <- VALUE, :name=VALUE, …`; `\0` in the text stands for NUL.
fn exec_request(line: &str, rows: RowMode) -> (ExecRequest, Vec<Bytes>) {
    let (sql, values) = match line.rsplit_once(" <- ") {
        Some((sql, values)) => (sql, values),
        None => (line, ""),
    };
    let mut request = ExecRequest { sql: unescape(sql), rows: rows.into(), ..Default::default() };
    let mut attachments = Vec::new();
    for text in split_values(values) {
        let (name, text) = match text.split_once('=') {
            Some((name, value)) if !text.starts_with('\'') && !text.starts_with("x'") => {
                (Some(name), value)
            }
            _ => (None, text),
        };
        let value = Value { kind: parse_value(text, &mut attachments) };
        match name {
            None => request.params.push(value),
            Some(name) => {
                request.named.push(NamedValue { name: name.into(), value: Some(value) });
            }
        }
    }
    (request, attachments)
}

/// At commas outside of quotes.
fn split_values(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let values = text.split(|character| {
        is_quoted ^= character == '\'';
        character == ',' && !is_quoted
    });
    values.map(str::trim).filter(|value| !value.is_empty()).collect()
}

fn parse_value(text: &str, attachments: &mut Vec<Bytes>) -> Option<value::Kind> {
    let bytes = |hex: &str| -> Bytes {
        let digits: Vec<_> = hex.trim_end_matches('\'').as_bytes().chunks(2).collect();
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect(text);
        digits.into_iter().map(byte).collect()
    };
    Some(match text {
        "unset" => return None,
        "null" => value::Kind::Null(Null {}),
        "nan" => value::Kind::Real(f64::NAN),
        _ if text.starts_with('\'') => value::Kind::Text(unescape(text.trim_matches('\''))),
        // x'00' is a blob in the frame, @x'00' one beside it, @7 an attachment that is not there
        _ if text.starts_with("x'") => value::Kind::Blob(bytes(&text[2..])),
        _ if text.starts_with("@x'") => {
            attachments.push(bytes(&text[3..]));
            value::Kind::BlobAttachment(attachments.len() as u32 - 1)
        }
        _ if text.starts_with('@') => value::Kind::BlobAttachment(text[1..].parse().expect(text)),
        _ => match text.parse() {
            Ok(integer) => value::Kind::Integer(integer),
            Err(_) => value::Kind::Real(text.parse().unwrap_or_else(|_| panic!("value {text}"))),
        },
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\0", "\0").replace("\\n", "\n")
}

/// Nobody reads zeros.
const LONGEST_LINE: usize = 120;
