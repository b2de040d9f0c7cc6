//! Outgoing frames. Row batches go from the builder straight into the frame's one, exactly sized
//! buffer; the small fields around them are left to prost.

use lix_engine_proto::{
    BatchItem, Column, EngineError, Event, ExecResponse, FetchResponse, Frame, Response,
    SessionState, frame, response,
};
use prost::Message as _;

use crate::BatchBuilder;
use crate::batch::{field_len, put_header};

/// The result columns of a statement, encoded once and sent with every answer of it.
pub type EncodedColumns = std::rc::Rc<[u8]>;

/// Encodes result columns as they stand in an `ExecResponse`.
pub fn encode_columns(columns: Vec<Column>) -> EncodedColumns {
    ExecResponse { columns, ..Default::default() }.encode_to_vec().into()
}

/// What one statement answered: columns, rows, and the rest.
#[derive(Debug, Default)]
pub struct ExecOutcome {
    /// From [`encode_columns`]; empty where no rows are sent.
    pub columns: EncodedColumns,
    /// Cursor, changes. `columns` and `batch` stay empty here.
    pub meta: ExecResponse,
    /// Absent where the statement has no result columns.
    pub batch: Option<BatchBuilder>,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Outcome {
    /// One statement.
    Exec(ExecOutcome),
    /// One entry per executed statement.
    ExecBatch(Vec<Result<ExecOutcome, EngineError>>),
    /// One batch of a cursor.
    Fetch {
        /// The rows.
        batch: BatchBuilder,
        /// No more will come.
        done: bool,
    },
    /// Any answer without rows.
    Plain(response::Outcome),
}

/// Encodes the answer to request `id`.
pub fn encode_response(
    id: u32,
    state: SessionState,
    outcome: &Outcome,
    attachment_sizes: Vec<u64>,
) -> Vec<u8> {
    let (outcome, rows) = match outcome {
        Outcome::Plain(outcome) => (Some(outcome.clone()), None),
        Outcome::Exec(exec) => (None, Some((EXEC, Rows::Exec(exec)))),
        Outcome::ExecBatch(items) => (None, Some((EXEC_BATCH, Rows::Items(items)))),
        Outcome::Fetch { batch, done } => (None, Some((FETCH, Rows::Fetch(batch, *done)))),
    };
    let head = Response { state: Some(state), outcome };
    let envelope = Frame { id, attachment_sizes, body: None };

    let rows_len = rows.as_ref().map(|(_, rows)| rows.encoded_len());
    let response_len = head.encoded_len() + rows_len.map_or(0, field_len);
    let mut out = Vec::with_capacity(envelope.encoded_len() + field_len(response_len));
    envelope.encode_raw(&mut out);
    put_header(&mut out, RESPONSE, response_len);
    head.encode_raw(&mut out);
    if let Some((field, rows)) = rows {
        put_header(&mut out, field, rows.encoded_len());
        rows.write(&mut out);
    }
    debug_assert_eq!(out.len(), out.capacity(), "the buffer is handed over as it is");
    out
}

/// Encodes an event.
pub fn encode_event(event: Event) -> Vec<u8> {
    Frame { id: 0, attachment_sizes: Vec::new(), body: Some(frame::Body::Event(event)) }
        .encode_to_vec()
}

/// The part of an answer that holds row batches.
enum Rows<'a> {
    Exec(&'a ExecOutcome),
    Items(&'a [Result<ExecOutcome, EngineError>]),
    Fetch(&'a BatchBuilder, bool),
}

impl Rows<'_> {
    fn encoded_len(&self) -> usize {
        match self {
            Rows::Exec(exec) => exec_len(exec),
            Rows::Items(items) => items.iter().map(|item| field_len(item_len(item))).sum(),
            Rows::Fetch(batch, done) => {
                field_len(batch.encoded_len()) + done_message(*done).encoded_len()
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Rows::Exec(exec) => write_exec(exec, out),
            Rows::Items(items) => {
                for item in *items {
                    put_header(out, BATCH_ITEMS, item_len(item));
                    match item {
                        Ok(exec) => {
                            put_header(out, ITEM_OK, exec_len(exec));
                            write_exec(exec, out);
                        }
                        Err(error) => error_item(error).encode_raw(out),
                    }
                }
            }
            Rows::Fetch(batch, done) => {
                put_header(out, FETCH_BATCH, batch.encoded_len());
                batch.write(out);
                done_message(*done).encode_raw(out);
            }
        }
    }
}

fn exec_len(exec: &ExecOutcome) -> usize {
    let batch = exec.batch.as_ref().map_or(0, |batch| field_len(batch.encoded_len()));
    exec.columns.len() + exec.meta.encoded_len() + batch
}

fn write_exec(exec: &ExecOutcome, out: &mut Vec<u8>) {
    out.extend_from_slice(&exec.columns);
    exec.meta.encode_raw(out);
    if let Some(batch) = &exec.batch {
        put_header(out, EXEC_ROWS, batch.encoded_len());
        batch.write(out);
    }
}

fn item_len(item: &Result<ExecOutcome, EngineError>) -> usize {
    match item {
        Ok(exec) => field_len(exec_len(exec)),
        Err(error) => error_item(error).encoded_len(),
    }
}

fn error_item(error: &EngineError) -> BatchItem {
    let outcome = lix_engine_proto::batch_item::Outcome::Error(error.clone());
    BatchItem { outcome: Some(outcome) }
}

fn done_message(done: bool) -> FetchResponse {
    FetchResponse { batch: None, done }
}

// Field numbers of engine.proto that are written by hand here; a test compares with prost.
const RESPONSE: u32 = 4;
const EXEC: u32 = 4;
const EXEC_BATCH: u32 = 5;
const FETCH: u32 = 6;
const EXEC_ROWS: u32 = 2;
const BATCH_ITEMS: u32 = 1;
const ITEM_OK: u32 = 1;
const FETCH_BATCH: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use lix_engine_proto::{CloseResponse, RowBatch};

    fn state() -> SessionState {
        SessionState { in_transaction: true, commit_seq: 3, saved_seq: 0 }
    }

    fn columns() -> Vec<Column> {
        vec![Column { name: "n".into(), decl_type: None }]
    }

    fn exec(value: i64) -> ExecOutcome {
        let mut batch = BatchBuilder::new(1);
        batch.integer(0, value);
        batch.end_row();
        let meta = ExecResponse { changes: Some(300), ..Default::default() };
        ExecOutcome { columns: encode_columns(columns()), meta, batch: Some(batch) }
    }

    /// What prost makes of the same answer, with the batch inside the struct.
    fn expected(exec: &ExecOutcome) -> ExecResponse {
        let mut bytes = Vec::new();
        exec.batch.as_ref().unwrap().write(&mut bytes);
        let batch = RowBatch::decode(bytes.as_slice()).unwrap();
        ExecResponse { columns: columns(), batch: Some(batch), ..exec.meta.clone() }
    }

    fn decode(bytes: &[u8]) -> response::Outcome {
        let frame = Frame::decode(bytes).unwrap();
        assert_eq!((frame.id, frame.attachment_sizes), (9, vec![5]));
        let Some(frame::Body::Response(response)) = frame.body else { panic!("no response") };
        assert_eq!(response.state, Some(state()));
        response.outcome.unwrap()
    }

    #[test]
    fn answers_with_rows_read_like_prost_wrote_them() {
        let one = exec(70_000);
        let wanted = expected(&one);
        let bytes = encode_response(9, state(), &Outcome::Exec(one), vec![5]);
        assert_eq!(decode(&bytes), response::Outcome::Exec(wanted));

        let error = EngineError { reason: "UNIQUE".into(), ..Default::default() };
        let wanted = vec![
            lix_engine_proto::batch_item::Outcome::Ok(expected(&exec(1))),
            lix_engine_proto::batch_item::Outcome::Error(error.clone()),
        ];
        let items = vec![Ok(exec(1)), Err(error)];
        let bytes = encode_response(9, state(), &Outcome::ExecBatch(items), vec![5]);
        let response::Outcome::ExecBatch(batch) = decode(&bytes) else { panic!("no batch") };
        let found: Vec<_> = batch.items.into_iter().map(|item| item.outcome.unwrap()).collect();
        assert_eq!(found, wanted);

        let wanted = expected(&exec(5)).batch;
        let fetch = Outcome::Fetch { batch: exec(5).batch.unwrap(), done: true };
        let bytes = encode_response(9, state(), &fetch, vec![5]);
        assert_eq!(
            decode(&bytes),
            response::Outcome::Fetch(FetchResponse { batch: wanted, done: true })
        );
    }

    #[test]
    fn answers_without_rows_are_prost_alone() {
        let outcome = response::Outcome::Close(CloseResponse {});
        let bytes = encode_response(9, state(), &Outcome::Plain(outcome.clone()), vec![5]);
        assert_eq!(decode(&bytes), outcome);
    }
}
