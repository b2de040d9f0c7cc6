//! The adapter: a program of the host's own language that reads commands from standard input, one JSON object a line, calls
//! its library, and writes what came of each to standard output.
//!
//! Whatever an adapter does wrong is said to be the adapter's fault, not the host library's: it has a name of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::host::lines;
use crate::implementation::Config;
use crate::transport::Process;
use crate::wire::quote;

/// A running adapter.
pub struct Adapter {
    process: Process,
    outgoing: Sender<String>,
    incoming: Receiver<Line>,
    next_id: u64,
    /// The command that was given last.
    said: Json,
    /// Lines that came.
    lines: u64,
    /// Commands without a report yet, by id: the command's name.
    open: BTreeMap<u64, String>,
    reports: BTreeMap<u64, Json>,
    /// Events that the host told, oldest first.
    pub events: Vec<Json>,
    /// Rules of the adapter protocol that it broke.
    pub breaches: Vec<String>,
    end: Option<String>,
}

/// What the adapter said about its host.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The host library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it can do.
    pub features: Vec<String>,
}

enum Line {
    Text(Vec<u8>),
    End,
}

impl Adapter {
    /// Starts the program and waits for its first report.
    pub fn start(config: &Config) -> Result<(Adapter, Hello), String> {
        let mut process = Process::start(config, &[])?;
        let mut stdin = process.stdin();
        let (outgoing, queue) = channel::<String>();
        std::thread::spawn(move || {
            for line in queue {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let mut stdout = BufReader::new(process.stdout());
        let (found, incoming) = channel();
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                let read = stdout.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
                let is_whole = matches!(read, Ok(n) if n > 0);
                if is_whole && found.send(Line::Text(line)).is_ok() {
                    continue;
                }
                let _ = found.send(Line::End);
                return;
            }
        });
        let mut adapter = Adapter {
            process,
            outgoing,
            incoming,
            next_id: 1,
            said: Json::Null,
            lines: 0,
            open: BTreeMap::new(),
            reports: BTreeMap::new(),
            events: Vec::new(),
            breaches: Vec::new(),
            end: None,
        };
        let hello = adapter.hello(Instant::now() + config.start_timeout);
        let hello = hello.map_err(|why| match adapter.stderr().trim() {
            "" => why,
            stderr => format!("{why}\nstderr: {stderr}"),
        })?;
        Ok((adapter, hello))
    }

    fn hello(&mut self, deadline: Instant) -> Result<Hello, String> {
        let id = self.command("hello", json!({ "protocol": 1 }))?;
        loop {
            self.drain();
            if let Some(breach) = self.breaches.first() {
                return Err(breach.clone());
            }
            if let Some(report) = self.take(id) {
                let Some(hello) = report.get("hello") else {
                    return Err(format!("the first report is no hello: {report}"));
                };
                let text = |name: &str| hello[name].as_str().unwrap_or_default().to_owned();
                if text("name").is_empty() {
                    return Err(format!("the first report names no host library: {report}"));
                }
                let features = hello["features"].as_array().cloned().unwrap_or_default();
                let features: Vec<String> =
                    features.iter().filter_map(Json::as_str).map(str::to_owned).collect();
                for feature in &features {
                    if !super::case::FEATURES.contains(&feature.as_str()) {
                        return Err(format!(
                            "the adapter names the feature {feature:?}, which is none"
                        ));
                    }
                }
                return Ok(Hello { name: text("name"), version: text("version"), features });
            }
            if let Some(end) = &self.end {
                return Err(end.clone());
            }
            if !self.poll(deadline) && self.end.is_none() {
                return Err("the adapter started and reports nothing".to_owned());
            }
        }
    }

    /// Gives a command and returns its id. The error is about the command: adapters get what the schema has.
    pub fn command(&mut self, name: &str, options: Json) -> Result<u64, String> {
        let id = self.next_id;
        let mut command = json!({ "id": id });
        command[name] = options;
        if let Some(fault) = lines::fault_of_command(&command) {
            return Err(format!("the command {fault}: {}", shown(&command)));
        }
        self.next_id += 1;
        self.open.insert(id, name.to_owned());
        // An adapter that has stopped reading has ended or will run out of time; both are noticed by the reader.
        let _ = self.outgoing.send(format!("{command}\n"));
        self.said = command;
        Ok(id)
    }

    /// The report on a command, once it is there.
    pub fn take(&mut self, id: u64) -> Option<Json> {
        self.drain();
        self.reports.remove(&id)
    }

    /// True if a report waits to be taken.
    pub fn has(&mut self, id: u64) -> bool {
        self.drain();
        self.reports.contains_key(&id)
    }

    /// How the adapter ended, if it did.
    pub fn end(&mut self) -> Option<String> {
        self.drain();
        self.end.clone()
    }

    /// Receives one line; false if none came until the deadline.
    pub fn poll(&mut self, deadline: Instant) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.read(line);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                self.read(Line::End);
                true
            }
        }
    }

    fn drain(&mut self) {
        while self.end.is_none() {
            match self.incoming.try_recv() {
                Ok(line) => self.read(line),
                Err(_) => return,
            }
        }
    }

    fn read(&mut self, line: Line) {
        let text = match line {
            Line::Text(text) => text,
            Line::End => {
                let status = self.process.wait(Instant::now() + Duration::from_millis(500));
                self.end = Some(match status {
                    Some(code) => format!("the adapter is gone: exit status {code}"),
                    None => "the adapter has closed its standard output".to_owned(),
                });
                return;
            }
        };
        self.lines += 1;
        let Ok(Json::Object(mut members)) = serde_json::from_slice::<Json>(&text) else {
            let what = if text.ends_with(b"\n") {
                "a line that is"
            } else {
                "half a line, or one that is"
            };
            self.breaches.push(format!(
                "the adapter wrote {what} no JSON object to standard output: {}; messages for people belong on standard error",
                quote(&text)
            ));
            return;
        };
        // As everywhere in ProtoJSON.
        members.retain(|_, member| !member.is_null());
        let report = Json::Object(members);
        if report == self.said {
            return self
                .breaches
                .push("the adapter repeats the command it got: this is no adapter".to_owned());
        }
        let command = report["id"].as_u64().and_then(|id| self.open.get(&id));
        if let Some(fault) = lines::fault_of_report(&report, command.map(String::as_str)) {
            return self.breaches.push(format!(
                "the adapter's line {} {fault}; conformance/v1/host.proto has all members: {}",
                self.lines,
                shown(&report)
            ));
        }
        if let Some(event) = report.get("event") {
            self.events.push(event.clone());
            return;
        }
        let Some(id) = report["id"].as_u64() else {
            return self
                .breaches
                .push(format!("the adapter reports without an id: {}", shown(&report)));
        };
        match self.open.remove(&id) {
            Some(_) => {
                self.reports.insert(id, report);
            }
            None if id < self.next_id => {
                self.breaches
                    .push(format!("the adapter reports twice on command {id}: {}", shown(&report)));
            }
            None => {
                self.breaches.push(format!(
                    "the adapter reports on command {id}, which nobody gave: {}",
                    shown(&report)
                ));
            }
        }
    }

    /// What it wrote to stderr.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Ends the adapter's standard input and gives it a moment to go by itself.
    pub fn finish(self) {
        let Adapter { mut process, outgoing, .. } = self;
        drop(outgoing);
        let _ = process.wait(Instant::now() + Duration::from_secs(1));
    }
}

fn shown(report: &Json) -> String {
    crate::trace::shorten(&report.to_string(), 200)
}

const MAX_LINE_BYTES: u64 = 256 << 20;
