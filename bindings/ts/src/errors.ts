/**
 * The one error class. Everything this package rejects with or throws is an `EngineError`; `code`
 * says what to do next, `reason` says what happened and never changes its name.
 */

import type { SessionState, BatchOutcome } from "./types.js"

/** What a program switches on. */
export type ErrorCode =
  /** A frame was broken or a rule of the protocol violated: a bug in host or engine. */
  | "PROTOCOL"
  /** The engine is older or smaller than the call needs; use another way. */
  | "UNIMPLEMENTED"
  /** The wrong moment: not initialised, initialised twice, closing, closed. */
  | "LIFECYCLE"
  /** The SQL, its parameters or the options are wrong. */
  | "INVALID"
  /** The data refuses the statement. */
  | "CONSTRAINT"
  /** The wrong state of the transaction or the cursor. */
  | "TRANSACTION"
  /** Cancelled or timed out; may be tried again. */
  | "INTERRUPTED"
  /** Too much at once; use smaller pieces. */
  | "LIMIT"
  /** Persisting failed; keep the data in memory and tell the user. */
  | "STORAGE"
  /** The bytes are not a database; do not save over them. */
  | "CORRUPT"
  /** A plugin could not be loaded, broke its contract or failed. */
  | "PLUGIN"
  /** The engine has a defect and is gone; open a new one. */
  | "INTERNAL"

/** The reasons an engine gives. */
export type EngineReason =
  | "FRAME_MALFORMED" | "ATTACHMENT_MISMATCH" | "ID_REUSED" | "BATCH_MALFORMED"
  | "CALL_UNKNOWN" | "CAPABILITY_MISSING"
  | "NOT_INITIALIZED" | "ALREADY_INITIALIZED" | "CLOSING" | "CLOSED" | "FAILED"
  | "SQL_SYNTAX" | "SQL_EMPTY" | "SQL_MULTIPLE" | "SQL_ERROR"
  | "PARAM_MISSING" | "PARAM_UNKNOWN" | "PARAM_INVALID" | "OPTION_INVALID" | "VERSION_UNKNOWN" | "READ_ONLY"
  | "UNIQUE" | "PRIMARY_KEY" | "FOREIGN_KEY" | "NOT_NULL" | "CHECK"
  | "SCHEMA_MISMATCH" | "VALIDATION" | "TRIGGER"
  | "IN_TRANSACTION" | "NO_TRANSACTION" | "SCOPE_BUSY" | "BUSY" | "CURSOR_UNKNOWN" | "CURSOR_INVALIDATED"
  | "CANCELLED" | "TIMEOUT"
  | "LIMIT_EXCEEDED" | "RESULT_TOO_LARGE" | "CURSOR_SPOOL_LIMIT" | "INFLIGHT" | "OUT_OF_MEMORY"
  | "STORAGE_UNSUPPORTED" | "STORAGE_BUSY" | "STORAGE_QUOTA" | "STORAGE_EXISTS" | "STORAGE_MISSING"
  | "STORAGE_READONLY" | "STORAGE_FAILED" | "STORAGE_LOST"
  | "IMAGE_INVALID" | "DATABASE_CORRUPT"
  | "PLUGIN_LOAD" | "PLUGIN_INVALID" | "PLUGIN_DUPLICATE" | "PLUGIN_ASYNC" | "PLUGIN_FAILED"
  | "PLUGIN_TIMEOUT" | "PLUGIN_MISSING"
  | "ENGINE_DEFECT"

/** The reasons only this package gives; they are never on the wire. */
export type HostReason =
  /** The connection ended; every call that was waiting rejects with this. */
  | "TRANSPORT_CLOSED"
  /** The worker could not be loaded or threw outside a call. */
  | "WORKER_FAILED"
  /** `integers: "number"` and an integer beyond ±(2^53 − 1). */
  | "INTEGER_UNSAFE"

/** Why. Open: a newer engine may name reasons this list does not have. */
export type ErrorReason = EngineReason | HostReason | (string & {})

/** The fields of an {@link EngineError} beyond code, reason and message. */
export interface EngineErrorFields {
  sqliteCode?: number | undefined
  sqliteExtendedCode?: number | undefined
  sqlOffset?: number | undefined
  batchIndex?: number | undefined
  subject?: string | undefined
  retryable?: boolean | undefined
  detail?: string | undefined
  sql?: string | undefined
  state?: SessionState | undefined
  results?: readonly BatchOutcome[] | undefined
  cause?: unknown
}

/**
 * Why a call was refused.
 *
 * ```ts
 * try {
 *   await engine.exec("insert into users (email) values (?)", [email])
 * } catch (error) {
 *   if (error instanceof EngineError && error.reason === "UNIQUE") return "taken"
 *   throw error
 * }
 * ```
 */
export class EngineError extends Error {
  override readonly name = "EngineError"
  /** What to do next. */
  readonly code: ErrorCode
  /** What happened, as registered in the protocol's manual. */
  readonly reason: ErrorReason
  /** SQLite's primary result code, 0 where SQLite did not speak. */
  readonly sqliteCode: number
  /** SQLite's extended result code, 0 where SQLite did not speak. */
  readonly sqliteExtendedCode: number
  /** Where in the statement, as a byte offset into its UTF-8 text (not a string index). */
  readonly sqlOffset: number | undefined
  /** Which statement of a batch failed. */
  readonly batchIndex: number | undefined
  /** What the reason is about: a parameter, a limit, a capability; or empty. */
  readonly subject: string
  /** The same request can succeed later, unchanged. */
  readonly retryable: boolean
  /** For logs: diagnostics whose form is not promised. */
  readonly detail: string
  /** The statement, as the caller wrote it. */
  readonly sql: string | undefined
  /** The session after the failed call, where the engine reported it. */
  readonly state: SessionState | undefined
  /** From `execBatch`: what the statements before the failed one returned. */
  readonly results: readonly BatchOutcome[] | undefined

  constructor(code: ErrorCode, reason: ErrorReason, message: string, fields: EngineErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = code
    this.reason = reason
    this.sqliteCode = fields.sqliteCode ?? 0
    this.sqliteExtendedCode = fields.sqliteExtendedCode ?? 0
    this.sqlOffset = fields.sqlOffset
    this.batchIndex = fields.batchIndex
    this.subject = fields.subject ?? ""
    this.retryable = fields.retryable ?? false
    this.detail = fields.detail ?? ""
    this.sql = fields.sql
    this.state = fields.state
    this.results = fields.results
  }
}

/** The codes by their number on the wire; 0 and numbers of a newer engine read as INTERNAL. */
export const ERROR_CODES: readonly ErrorCode[] = [
  "INTERNAL", "PROTOCOL", "UNIMPLEMENTED", "LIFECYCLE", "INVALID", "CONSTRAINT", "TRANSACTION",
  "INTERRUPTED", "LIMIT", "STORAGE", "CORRUPT", "PLUGIN", "INTERNAL",
]

/** The same error with the fields only the caller's side knows. */
export function withFields(error: EngineError, fields: EngineErrorFields): EngineError {
  return new EngineError(error.code, error.reason, error.message, { ...error, cause: error.cause, ...fields })
}

/** A value that cannot be bound; made before anything is sent. */
export function paramInvalid(subject: string, message: string): EngineError {
  return new EngineError("INVALID", "PARAM_INVALID", message, { subject })
}

/** Bytes from the engine that break the protocol. */
export function malformed(reason: "FRAME_MALFORMED" | "BATCH_MALFORMED" | "ATTACHMENT_MISMATCH", message: string, cause?: unknown): EngineError {
  return new EngineError("PROTOCOL", reason, message, { cause })
}
