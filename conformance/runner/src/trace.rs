//! Frames for people: row form, the last frames of a case, and the trace file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use crate::batch;
use crate::proto;
use crate::wire::Message;

/// Which way a frame went, seen from the runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Host to engine.
    Send,
    /// Engine to host.
    Receive,
}

/// A trace file shared by all sessions: one JSON object per frame and line.
#[derive(Clone)]
pub struct TraceFile {
    file: Arc<Mutex<BufWriter<File>>>,
    /// How many sessions have begun.
    sessions: Arc<AtomicU64>,
    started: Instant,
}

impl TraceFile {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<TraceFile, String> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(TraceFile {
            file: Arc::new(Mutex::new(BufWriter::new(file))),
            sessions: Arc::default(),
            started: Instant::now(),
        })
    }
}

/// Keeps the last frames of a case and writes the trace.
#[derive(Clone)]
pub struct Recorder {
    case: String,
    session: u64,
    last: VecDeque<(Direction, Message)>,
    trace: Option<TraceFile>,
}

impl Recorder {
    /// A recorder for one session of a case.
    pub fn new(case: &str, trace: Option<TraceFile>) -> Recorder {
        let session =
            trace.as_ref().map_or(0, |trace| trace.sessions.fetch_add(1, Ordering::Relaxed) + 1);
        Recorder { case: case.to_owned(), session, last: VecDeque::new(), trace }
    }

    /// A frame passes by.
    pub fn note(&mut self, direction: Direction, message: &Message) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        // A copy of a huge frame for a report that shows its head would be waste.
        let kept = if message.frame.len() > 64 * 1024 {
            Message { frame: Vec::new(), attachments: vec![vec![0; 0]] }
        } else {
            Message {
                frame: message.frame.clone(),
                attachments: message.attachments.iter().map(|_| Vec::new()).collect(),
            }
        };
        self.last.push_back((direction, kept));

        if let Some(trace) = &self.trace {
            let sizes: Vec<usize> = message.attachments.iter().map(Vec::len).collect();
            let line = json!({
                "t_ms": trace.started.elapsed().as_secs_f64() * 1000.0,
                "case": self.case,
                "session": self.session,
                "dir": match direction { Direction::Send => "send", Direction::Receive => "receive" },
                "bytes": message.frame.len(),
                "attachments": sizes,
                "frame": row_form(&message.frame),
                // What `conformance replay` sends again.
                "raw": STANDARD.encode(&message.frame),
                "attached": message.attachments.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>(),
            });
            let mut file = trace.file.lock().expect("no holder panics");
            // A full disk must not fail a conformance case; the trace is then short.
            let _ = writeln!(file, "{line}").and_then(|()| file.flush());
        }
    }

    /// The last frames, one per line, shortened.
    pub fn excerpt(&self) -> Vec<String> {
        self.last
            .iter()
            .map(|(direction, message)| {
                let arrow = match direction {
                    Direction::Send => "→",
                    Direction::Receive => "←",
                };
                let body = if message.frame.is_empty() && !message.attachments.is_empty() {
                    "(a large frame)".to_owned()
                } else {
                    row_form(&message.frame).to_string()
                };
                let attached = match message.attachments.len() {
                    0 => String::new(),
                    n => format!(" +{n} attachments"),
                };
                format!("{arrow} {}{attached}", shorten(&body, 400))
            })
            .collect()
    }
}

/// A frame as ProtoJSON with its batches as rows of tagged values.
pub fn row_form(frame: &[u8]) -> Json {
    match proto::decode("Frame", frame) {
        Ok(frame) => {
            let mut json = proto::to_json(&frame);
            rows_instead_of_streams(&mut json);
            json
        }
        Err(_) => json!({ "hex": crate::value::hex(&frame[..frame.len().min(256)]) }),
    }
}

/// Text of at most so many characters.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let head: String = text.chars().take(max).collect();
    format!("{head}… ({} bytes)", text.len())
}

fn rows_instead_of_streams(json: &mut Json) {
    match json {
        Json::Object(members) => {
            for name in ["batch", "changes", "param_rows"] {
                let Some(batch) = members.get(name).filter(|batch| batch.is_object()) else {
                    continue;
                };
                let Ok(batch) = proto::from_json("RowBatch", batch) else { continue };
                if let Ok(rows) = batch::decode(&batch) {
                    let rows: Vec<Json> = rows
                        .iter()
                        .map(|row| row.iter().map(crate::value::Cell::to_json).collect())
                        .collect();
                    members.insert(name.to_owned(), json!({ "rows": rows }));
                }
            }
            members.values_mut().for_each(rows_instead_of_streams);
        }
        Json::Array(items) => items.iter_mut().for_each(rows_instead_of_streams),
        _ => {}
    }
}

const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_shown_as_rows() {
        let frame = proto::from_json(
            "Frame",
            &json!({"id": 1, "response": {"exec": {
                "columns": [{"name": "a"}],
                "batch": {"row_count": 2, "columns": [{"uniform": "STORAGE_CLASS_INTEGER", "int_width": 1, "ints": "AQI="}]},
                "changes": "0",
            }}}),
        )
        .unwrap();
        let shown = row_form(&proto::encode(&frame));
        assert_eq!(
            shown["response"]["exec"]["batch"],
            json!({"rows": [[{"int": "1"}], [{"int": "2"}]]})
        );
        assert_eq!(shown["response"]["exec"]["changes"], json!("0"));
        assert_eq!(row_form(&[0xff]), json!({"hex": "ff"}));
    }
}
