// One error class. `code` says what to do next, `reason` what happened: docs/protocol/errors.md.
import { enumName } from "./contract.js"

/**
 * @typedef {object} Details
 * @property {string} [subject]
 * @property {boolean} [retryable]
 * @property {number} [sqliteCode]
 * @property {number} [sqliteExtendedCode]
 * @property {number} [sqlOffset]
 * @property {number} [batchIndex]
 * @property {string} [detail]
 * @property {unknown} [cause]
 */

/**
 * A call that failed, at the engine or in this library.
 *
 * A cancelled call has the name "AbortError", as everywhere in JavaScript; all others "LixError".
 */
export class LixError extends Error {
  /**
   * @param {string} code
   * @param {string} reason
   * @param {string} message
   * @param {Details} [more]
   */
  constructor(code, reason, message, { cause, ...more } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = reason === "CANCELLED" ? "AbortError" : "LixError"
    this.code = code
    this.reason = reason
    /** What the reason is about: a parameter, limit, capability, path. Empty where it is about nothing in particular. */
    this.subject = more.subject ?? ""
    /** The same call can succeed later although nobody did anything but wait. */
    this.retryable = more.retryable ?? false
    /** SQLite's result codes; 0 if it was not SQLite that refused. */
    this.sqliteCode = more.sqliteCode ?? 0
    this.sqliteExtendedCode = more.sqliteExtendedCode ?? 0
    /** Where in the SQL the problem is: `sql.slice(error.sqlOffset)` begins with it. */
    this.sqlOffset = more.sqlOffset
    /** Which statement of a batch failed, from 0. */
    this.batchIndex = more.batchIndex
    /**
     * What the statements of a batch answered before this one failed.
     *
     * @type {import("./lix.js").Result[] | undefined}
     */
    this.results = undefined
    /** For logs. */
    this.detail = more.detail ?? ""
  }
}

/**
 * An error that the engine reported.
 *
 * @param {import("./contract.js").EngineError} error
 * @param {string} [sql]  the statement that it is about
 */
export function fromEngine(error, sql) {
  const { code, reason, message, sqlOffset, batchIndex, ...more } = error
  // A code that is newer than this library is a failure like INTERNAL, which need not mean that the engine is gone.
  return new LixError(enumName("ErrorCode", code) ?? "INTERNAL", reason, message, {
    ...more,
    batchIndex,
    sqlOffset: sqlOffset === undefined || sql === undefined ? undefined : fromBytes(sql, sqlOffset),
  })
}

/** @param {string} message @param {unknown} [cause] */
export const malformed = (message, cause) => new LixError("PROTOCOL", "FRAME_MALFORMED", message, { cause })

/** @param {string} message */
export const transportClosed = (message) => new LixError("LIFECYCLE", "TRANSPORT_CLOSED", message)

/** @param {string} message @param {unknown} [cause] */
export const notStarted = (message, cause) => new LixError("INTERNAL", "WORKER_FAILED", message, { cause })

/** @param {string} subject @param {string} message */
export const optionInvalid = (subject, message) => new LixError("INVALID", "OPTION_INVALID", message, { subject })

/** @param {string} capability */
export const capabilityMissing = (capability) =>
  new LixError("UNIMPLEMENTED", "CAPABILITY_MISSING", `the engine does not announce ${capability}`, { subject: capability })

/** @param {AbortSignal} signal */
export const cancelled = (signal) =>
  new LixError("INTERRUPTED", "CANCELLED", "the call was cancelled", { retryable: true, cause: signal.reason })

/**
 * Offsets on the wire count bytes of UTF-8, strings here units of UTF-16.
 *
 * @param {string} text
 * @param {number} offset
 */
function fromBytes(text, offset) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text).subarray(0, offset)).length
}
