//! Every frame as a line of JSON, readable: ProtoJSON, with row batches as rows of tagged values.
//!
//! ```json
//! {"ms":1.5,"direction":"to_host","bytes":52,"attachments":[],"frame":{"id":2,"response":{}}}
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lix_engine_proto::{Frame, RowBatch, batch_item, frame, response};
use lix_engine_protocol::{Cell, cells};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

/// Where traces go, if anywhere. Clones write to the same file, line by line.
#[derive(Clone)]
pub(crate) struct Trace(Option<Arc<Mutex<Output>>>);

struct Output {
    file: File,
    start: Instant,
}

/// Who sent a message.
pub(crate) enum Direction {
    ToEngine,
    ToHost,
}

impl Trace {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| -> io::Result<_> {
            let file = File::create(path)?;
            Ok(Arc::new(Mutex::new(Output { file, start: Instant::now() })))
        };
        path.map(open).transpose().map(Trace)
    }

    /// Writes one line. A trace that cannot be written must not stop the engine.
    pub(crate) fn message(
        &self,
        direction: Direction,
        frame: &[u8],
        attachments: impl Iterator<Item = u64>,
    ) {
        let Some(output) = &self.0 else { return };
        let mut output = output.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let line = json!({
            "ms": output.start.elapsed().as_secs_f64() * 1e3,
            "direction": match direction {
                Direction::ToEngine => "to_engine",
                Direction::ToHost => "to_host",
            },
            "bytes": frame.len(),
            "attachments": attachments.collect::<Vec<_>>(),
            "frame": readable(frame),
        });
        // One write for the whole line: it stays whole if the process is killed.
        if let Err(error) = output.file.write_all(format!("{line}\n").as_bytes()) {
            eprintln!("lix-engine: the trace cannot be written: {error}");
        }
    }
}

fn readable(bytes: &[u8]) -> Value {
    static FRAME: LazyLock<prost_reflect::MessageDescriptor> = LazyLock::new(|| {
        DescriptorPool::decode(lix_engine_proto::FILE_DESCRIPTOR_SET)
            .expect("the descriptor set of our own build")
            .get_message_by_name("lix.engine.v1.Frame")
            .expect("the protocol has frames")
    });
    let (Ok(message), Ok(frame)) =
        (DynamicMessage::decode(FRAME.clone(), bytes), Frame::decode(bytes))
    else {
        return json!({ "malformed": BASE64.encode(bytes) });
    };
    let mut value = serde_json::to_value(&message).unwrap_or(Value::Null);
    if let Some(frame::Body::Response(response)) = &frame.body {
        let response_value = &mut value["response"];
        match &response.outcome {
            Some(response::Outcome::Exec(exec)) => {
                replace(&mut response_value["exec"], &exec.batch);
            }
            Some(response::Outcome::Fetch(fetch)) => {
                replace(&mut response_value["fetch"], &fetch.batch);
            }
            Some(response::Outcome::ExecBatch(batch)) => {
                for (index, item) in batch.items.iter().enumerate() {
                    if let Some(batch_item::Outcome::Ok(exec)) = &item.outcome {
                        replace(
                            &mut response_value["execBatch"]["items"][index]["ok"],
                            &exec.batch,
                        );
                    }
                }
            }
            _ => {}
        }
    }
    value
}

fn replace(holder: &mut Value, batch: &Option<RowBatch>) {
    if let Some(batch) = batch {
        holder["batch"] = rows(batch);
    }
}

fn rows(batch: &RowBatch) -> Value {
    let columns: Result<Vec<Vec<Value>>, _> =
        cells(batch).map(|column| Ok(column?.map(tagged).collect())).collect();
    match columns {
        Ok(columns) => {
            let row = |index: usize| columns.iter().map(move |column| column[index].clone());
            let rows = (0..batch.row_count as usize).map(|index| row(index).collect::<Vec<_>>());
            json!({ "rows": rows.collect::<Vec<_>>() })
        }
        Err(error) => {
            let error: lix_engine_protocol::BatchError = error;
            json!({ "malformed": error.to_string() })
        }
    }
}

fn tagged(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(integer) => json!({ "int": integer.to_string() }),
        Cell::Real(real) => json!({ "real": real.to_string() }),
        Cell::Text(text) => json!({ "text": text }),
        Cell::Blob(blob) => json!({ "blob": BASE64.encode(blob) }),
        Cell::TextRaw(raw) => json!({ "text_raw": BASE64.encode(raw) }),
    }
}
