// One statement: from SQL text and a request's values to something that can be stepped.
import { type ExecRequest, type Value } from "./gen/engine_pb.ts"
import { Failure, type FailureDetails, reasonOf } from "./failures.ts"
import type { Connection, Sqlite3, Statement } from "./sqlite.ts"

export interface Prepared {
  statement: Statement
  /** Where a second statement begins, in bytes. */
  rest: number | undefined
}

/** Compiles the first statement of the text. */
export const prepare = (sqlite3: Sqlite3, connection: Connection, sql: Uint8Array): Prepared => {
  const { capi, wasm } = sqlite3
  const nul = sql.indexOf(0)
  if (nul >= 0) throw new Failure("SQL_SYNTAX", "the SQL text contains a NUL byte", { sqlOffset: nul })
  const scope = wasm.scopedAllocPush()
  try {
    const text = wasm.scopedAlloc(sql.length + 1)
    wasm.heap8u().set(sql, text)
    wasm.poke8(text + sql.length, 0)
    const [statementAt, tailAt] = [wasm.scopedAlloc(8), wasm.scopedAlloc(8)]
    if (capi.sqlite3_prepare_v3(connection, text, sql.length + 1, 0, statementAt, tailAt) !== capi.SQLITE_OK) {
      throw sqliteFailure(sqlite3, connection, true)
    }
    const statement = wasm.peekPtr(statementAt)
    if (statement === 0) throw new Failure("SQL_EMPTY", "the SQL text contains no statement")
    return { statement, rest: endOfBlank(sql, wasm.peekPtr(tailAt) - text) }
  } finally {
    wasm.scopedAllocPop(scope)
  }
}

/** Gives every parameter its value. Everything has its place, or nothing is bound. */
export const bind = (
  sqlite3: Sqlite3,
  connection: Connection,
  statement: Statement,
  request: ExecRequest,
  attachments: Uint8Array[],
): void => {
  const { capi } = sqlite3
  const count = capi.sqlite3_bind_parameter_count(statement)
  const nameOf = (number: number) => capi.sqlite3_bind_parameter_name(statement, number) || String(number)
  const values = new Map<number, Value | undefined>()
  request.params.forEach((value, index) => {
    if (index >= count) throw new Failure("PARAM_UNKNOWN", `there is no parameter ${index + 1}`, { subject: String(index + 1) })
    values.set(index + 1, value)
  })
  const named = new Set<number>()
  for (const { name, value } of request.named) {
    const candidates = /^[:@$]/.test(name) ? [name] : [`:${name}`, `@${name}`, `$${name}`]
    const number = candidates.map((each) => capi.sqlite3_bind_parameter_index(statement, each)).find((each) => each > 0)
    if (number === undefined) throw new Failure("PARAM_UNKNOWN", `there is no parameter ${name}`, { subject: name })
    if (named.has(number)) throw new Failure("PARAM_INVALID", `${name} is given twice`, { subject: name })
    named.add(number)
    values.set(number, value)
  }
  for (let number = 1; number <= count; number++) {
    if (!values.has(number)) {
      throw new Failure("PARAM_MISSING", `parameter ${nameOf(number)} has no value`, { subject: nameOf(number) })
    }
  }
  for (const [number, value] of values) {
    if (bindOne(sqlite3, statement, number, value, attachments, nameOf) !== capi.SQLITE_OK) {
      throw sqliteFailure(sqlite3, connection, false)
    }
  }
}

const bindOne = (
  { capi, wasm }: Sqlite3,
  statement: Statement,
  number: number,
  value: Value | undefined,
  attachments: Uint8Array[],
  nameOf: (number: number) => string,
): number => {
  // SQLite frees the copy when it is done with it.
  const copied = (bytes: Uint8Array) => wasm.allocFromTypedArray(bytes)
  const blob = (bytes: Uint8Array) =>
    bytes.length === 0
      ? capi.sqlite3_bind_zeroblob(statement, number, 0)
      : capi.sqlite3_bind_blob(statement, number, copied(bytes), bytes.length, capi.SQLITE_WASM_DEALLOC)
  switch (value?.kind.case) {
    case "null":
      capi.sqlite3_bind_null(statement, number) // declared without a result, against C
      return capi.SQLITE_OK
    case "integer":
      return capi.sqlite3_bind_int64(statement, number, value.kind.value)
    case "real":
      if (Number.isNaN(value.kind.value)) {
        const why = `parameter ${nameOf(number)} is NaN, which SQLite would store as NULL`
        throw new Failure("PARAM_INVALID", why, { subject: nameOf(number) })
      }
      return capi.sqlite3_bind_double(statement, number, value.kind.value)
    case "text": {
      const bytes = utf8(value.kind.value)
      return capi.sqlite3_bind_text(statement, number, copied(bytes), bytes.length, capi.SQLITE_WASM_DEALLOC)
    }
    case "blob":
      return blob(value.kind.value)
    case "blobAttachment":
      return blob(attached(attachments, value.kind.value, "blob_attachment"))
    default:
      throw new Failure("PARAM_INVALID", `parameter ${nameOf(number)} has no kind`, { subject: nameOf(number) })
  }
}

export const attached = (attachments: Uint8Array[], index: number, field: string): Uint8Array => {
  const attachment = attachments[index]
  if (attachment !== undefined) return attachment
  const why = `${field} names attachment ${index} of ${attachments.length}`
  throw new Failure("ATTACHMENT_MISMATCH", why, { subject: field })
}

/** The first value of a statement of our own. */
export const ask = (sqlite3: Sqlite3, connection: Connection, sql: string): bigint | undefined => {
  const { capi } = sqlite3
  const { statement } = prepare(sqlite3, connection, utf8(sql))
  try {
    const code = capi.sqlite3_step(statement)
    if (code === capi.SQLITE_ROW) return capi.sqlite3_column_int64(statement, 0)
    if (code !== capi.SQLITE_DONE) throw sqliteFailure(sqlite3, connection, false)
    return undefined
  } finally {
    capi.sqlite3_finalize(statement)
  }
}

/** What SQLite said last. */
export const sqliteFailure = ({ capi }: Sqlite3, connection: Connection, preparing: boolean): Failure => {
  const sqlite = capi.sqlite3_extended_errcode(connection)
  const message = capi.sqlite3_errmsg(connection)
  const details: FailureDetails = { sqlite }
  // Later, an offset would be one into SQL of SQLite's own.
  const offset = preparing ? capi.sqlite3_error_offset(connection) : -1
  if (offset >= 0) details.sqlOffset = offset
  if ((sqlite & 0xff) === capi.SQLITE_TOOBIG) details.subject = "SQLITE_LIMIT_LENGTH"
  return new Failure(reasonOf(sqlite, message, preparing), message, details)
}

const ENCODER = new TextEncoder()
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true })

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => ENCODER.encode(text)

/** The first byte from `at` on that is neither white space, comment nor semicolon. */
const endOfBlank = (sql: Uint8Array, at: number): number | undefined => {
  if (at >= sql.length) return undefined
  const blank = BLANK.exec(DECODER.decode(sql.subarray(at)))![0]
  const end = at + utf8(blank).length
  return end < sql.length ? end : undefined
}

// A slash and a star at the very end begin no comment.
const BLANK = /^(?:[ \t\n\f\r;]|--[^\n]*|\/\*(?:[^]*?\*\/|[^]+$))*/
