//! What the protocol needs by hand, on either side of it: framing, row batches, errors, limits.
//!
//! Everything generated comes from `proto/engine.proto` and is re-exported as [`proto`]. This crate
//! knows bytes. It knows no SQL, opens nothing, and holds no state between two messages except
//! what a stream reader must.

mod batch;
mod error;
pub mod frame;
mod limits;
mod response;
pub mod stream;

pub use batch::{BatchBuilder, BatchError, Cell, Cells, cells};
pub use error::{Error, Reason, Result};
pub use limits::{Limits, NATIVE_LIMITS, WORKER_LIMITS};
pub use lix_engine_proto as proto;
pub use response::{
    EncodedColumns, ExecOutcome, Outcome, encode_columns, encode_event, encode_response,
};
