//! The sizes an engine accepts. It announces them in the handshake and enforces every one.

/// The limits in force, as the handshake announces them.
pub type Limits = lix_engine_proto::Limits;

/// What a native process announces unless told otherwise.
pub const NATIVE_LIMITS: Limits = Limits {
    max_frame_bytes: 64 * MIB as u32,
    max_attachment_bytes: 8 * 1024 * MIB,
    max_sql_bytes: MIB as u32,
    max_params: SQLITE_MAX_PARAMS,
    max_batch_statements: 10_000,
    max_open_cursors: 64,
    max_inflight: 1_024,
    max_result_bytes: 256 * MIB,
};

/// What a worker announces: the same where memory is not the question.
pub const WORKER_LIMITS: Limits = Limits {
    max_attachment_bytes: 1024 * MIB,
    max_open_cursors: 16,
    max_result_bytes: 64 * MIB,
    ..NATIVE_LIMITS
};

const MIB: u64 = 1024 * 1024;

/// SQLite's own ceiling, `SQLITE_MAX_VARIABLE_NUMBER`.
const SQLITE_MAX_PARAMS: u32 = 32_766;
