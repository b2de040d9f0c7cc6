// What can go wrong, as docs/protocol/errors.md registers it: a reason always comes with its code.
import { create } from "@bufbuild/protobuf"
import { type EngineError, EngineErrorSchema, ErrorCode } from "./gen/engine_pb.ts"

const REASONS = {
  PROTOCOL: ["FRAME_MALFORMED", "ATTACHMENT_MISMATCH", "ID_REUSED"],
  UNIMPLEMENTED: ["CALL_UNKNOWN", "CAPABILITY_MISSING"],
  LIFECYCLE: ["NOT_INITIALIZED", "ALREADY_INITIALIZED", "CLOSING", "CLOSED", "FAILED"],
  INVALID: ["SQL_SYNTAX", "SQL_EMPTY", "SQL_MULTIPLE", "SQL_ERROR", "PARAM_MISSING", "PARAM_UNKNOWN", "PARAM_INVALID", "OPTION_INVALID"],
  CONSTRAINT: ["UNIQUE", "PRIMARY_KEY", "FOREIGN_KEY", "NOT_NULL", "CHECK", "SCHEMA_MISMATCH", "VALIDATION", "TRIGGER"],
  TRANSACTION: ["IN_TRANSACTION", "NO_TRANSACTION", "BUSY", "CURSOR_UNKNOWN", "CURSOR_INVALIDATED"],
  INTERRUPTED: ["CANCELLED", "TIMEOUT"],
  LIMIT: ["LIMIT_EXCEEDED", "RESULT_TOO_LARGE", "CURSOR_SPOOL_LIMIT", "INFLIGHT", "OUT_OF_MEMORY"],
  STORAGE: ["STORAGE_UNSUPPORTED", "STORAGE_QUOTA", "STORAGE_MISSING", "STORAGE_READONLY", "STORAGE_FAILED"],
  CORRUPT: ["IMAGE_INVALID", "DATABASE_CORRUPT"],
  INTERNAL: ["ENGINE_DEFECT"],
} as const

export type Reason = (typeof REASONS)[keyof typeof REASONS][number]

const CODE_OF = new Map<Reason, ErrorCode>()
for (const [code, reasons] of Object.entries(REASONS)) {
  for (const reason of reasons) CODE_OF.set(reason, ErrorCode[code as keyof typeof REASONS])
}

const RETRYABLE: readonly Reason[] = ["CANCELLED", "TIMEOUT", "INFLIGHT", "BUSY"]

export interface FailureDetails {
  subject?: string
  /** SQLite's extended result code. */
  sqlite?: number
  sqlOffset?: number
  batchIndex?: number
}

/** One EngineError on its way to the host. */
export class Failure extends Error {
  readonly reason: Reason
  details: FailureDetails

  constructor(reason: Reason, message: string, details: FailureDetails = {}) {
    super(message || reason)
    this.reason = reason
    this.details = details
  }

  toError(): EngineError {
    const { subject = "", sqlite = 0, sqlOffset, batchIndex } = this.details
    return create(EngineErrorSchema, {
      code: CODE_OF.get(this.reason)!,
      reason: this.reason,
      message: this.message,
      subject,
      sqliteCode: sqlite & 0xff,
      sqliteExtendedCode: sqlite,
      retryable: RETRYABLE.includes(this.reason) && !NOT_RETRYABLE.includes(sqlite),
      ...(sqlOffset === undefined ? {} : { sqlOffset }),
      ...(batchIndex === undefined ? {} : { batchIndex }),
    })
  }
}

export const missing = (capability: string): Failure =>
  new Failure("CAPABILITY_MISSING", `this engine does not offer ${capability}`, { subject: capability })

/** What an exception becomes that is no Failure: a lack of memory concerns one request, everything else is a defect. */
export const fromException = (thrown: unknown): Failure => {
  if (thrown instanceof Failure) return thrown
  const { name, message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown))
  if (name === "WasmAllocError" || (name === "RangeError" && /allocation|array length/i.test(message))) {
    return new Failure("OUT_OF_MEMORY", message)
  }
  return new Failure("ENGINE_DEFECT", `${name}: ${message} ${stack?.split("\n")[1]?.trim() ?? ""}`)
}

/** The reason for an extended result code of SQLite. */
export const reasonOf = (code: number, message: string, preparing: boolean): Reason => {
  if (code !== 1) return EXTENDED[code] ?? PRIMARY[code & 0xff] ?? "SQL_ERROR"
  if (preparing && SYNTAX.test(message)) return "SQL_SYNTAX"
  return MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? "SQL_ERROR"
}

const SYNTAX = /^(near ".*": syntax error|syntax error .*|incomplete input|unrecognized token: ".*")$/s

const MESSAGES: [RegExp, Reason][] = [
  [/^cannot start a transaction within a transaction$/, "IN_TRANSACTION"],
  [/^cannot VACUUM from within a transaction$/, "IN_TRANSACTION"],
  [/^cannot change .* wal mode from within a transaction$/s, "IN_TRANSACTION"],
  [/^temporary storage cannot be changed from within a transaction$/, "IN_TRANSACTION"],
  [/^Safety level may not be changed inside a transaction$/, "IN_TRANSACTION"],
  [/^cannot commit - no transaction is active$/, "NO_TRANSACTION"],
  [/^cannot rollback - no transaction is active$/, "NO_TRANSACTION"],
  [/^no such savepoint: .*$/s, "NO_TRANSACTION"],
  [/^cannot VACUUM - SQL statements in progress$/, "BUSY"],
]

// Only codes that become something else than their primary code.
const EXTENDED: Record<number, Reason> = {
  275: "CHECK",
  769: "BUSY",
  787: "FOREIGN_KEY",
  1299: "NOT_NULL",
  1555: "PRIMARY_KEY",
  1811: "TRIGGER",
  2067: "UNIQUE",
  2579: "UNIQUE",
  2835: "TRIGGER",
  3082: "OUT_OF_MEMORY",
  3091: "SCHEMA_MISMATCH",
  8202: "DATABASE_CORRUPT",
}

const PRIMARY: Record<number, Reason> = {
  2: "ENGINE_DEFECT",
  3: "STORAGE_FAILED",
  4: "CURSOR_INVALIDATED",
  5: "BUSY",
  6: "BUSY",
  7: "OUT_OF_MEMORY",
  8: "STORAGE_READONLY",
  9: "CANCELLED",
  10: "STORAGE_FAILED",
  11: "DATABASE_CORRUPT",
  13: "STORAGE_QUOTA",
  14: "STORAGE_FAILED",
  15: "BUSY",
  17: "BUSY",
  18: "LIMIT_EXCEEDED",
  19: "VALIDATION",
  20: "SCHEMA_MISMATCH",
  21: "ENGINE_DEFECT",
  22: "STORAGE_FAILED",
  26: "DATABASE_CORRUPT",
}

const NOT_RETRYABLE = [517, 6, 518]
