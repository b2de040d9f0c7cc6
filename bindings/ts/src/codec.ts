/**
 * Frames. What every statement needs (exec, batches and fetches, both ways) is written by hand, five
 * times as fast as the generated code; everything else uses the generated code.
 *
 * The hand-written half is held to the generated one by test/unit/codec.test.ts.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire"
import { BatchData, ColumnData } from "./columns.js"
import { EngineError, ERROR_CODES, malformed, paramInvalid, withFields, type EngineErrorFields } from "./errors.js"
import {
  EngineErrorSchema, EventSchema, FrameSchema, ReadSetSchema, type EngineError as WireError, type Event, type ReadSet as WireReadSet, type Request,
} from "./gen/engine_pb.js"
import type { Params, ReadSet, ResultColumn, SessionState, Statement } from "./types.js"

/** What is posted: the protocol's envelope for message transports. */
export interface Envelope {
  readonly v: 1
  readonly frame: ArrayBuffer
  readonly attachments?: ArrayBuffer[]
  /** No part of the protocol: the host wants to hear when a plugin's code begins and when it is over. */
  readonly watch?: true
}

/** How an `ExecRequest` is to be answered, in the protocol's own terms; 0 leaves it to the engine. */
export interface RequestOptions {
  readonly cursor: boolean
  readonly batchRows: number
  readonly batchBytes: number
  readonly timeoutMs: number
  readonly reportReads: boolean
}

/** A request to run one statement. Throws `INVALID/PARAM_INVALID` for what SQLite cannot store. */
export function encodeExec(id: number, sql: string, params: Params | undefined, options: RequestOptions): Envelope {
  return encode(id, (attachments) => {
    writer.uint32(EXEC_REQUEST).fork()
    writeStatement(sql, params, options, attachments)
    writer.join()
  })
}

/** A request to run several. An error carries `batchIndex`. */
export function encodeExecBatch(id: number, batch: readonly Statement[], options: RequestOptions, goOn: boolean): Envelope {
  return encode(id, (attachments) => {
    writer.uint32(EXEC_BATCH_REQUEST).fork()
    for (let index = 0; index < batch.length; index++) {
      const { sql, params } = batch[index]!
      writer.uint32(field(1, LEN)).fork()
      try {
        writeStatement(sql, params, options, attachments)
      } catch (error) {
        throw error instanceof EngineError ? withFields(error, { batchIndex: index, sql }) : error
      }
      writer.join()
    }
    if (goOn) writer.uint32(field(2, VARINT)).uint32(2)
    writer.join()
  })
}

/** A request for the next batch of a cursor. */
export function encodeFetch(id: number, cursor: number): Envelope {
  return encode(id, () => {
    writer.uint32(FETCH_REQUEST).fork()
    writer.uint32(field(1, VARINT)).uint32(cursor).uint32(field(2, VARINT)).uint32(1)
    writer.join()
  })
}

/** Any other request. */
export function encodeCall(id: number, call: Request["call"], attachments: ArrayBuffer[] = []): Envelope {
  const request = { scope: 0, call } as Request
  const frame = create(FrameSchema, { id, attachmentSizes: attachments.map((each) => BigInt(each.byteLength)), body: { case: "request", value: request } })
  return envelope(toBinary(FrameSchema, frame), attachments)
}

/** A message from the engine, opened as far as everybody needs it. */
export class Incoming {
  id = 0
  /** The event's bytes, if this is one. */
  event: Uint8Array | undefined
  /** The session after the call; undefined where the engine sent none. */
  state: SessionState | undefined
  /** Which field of `Response.outcome` is set, 0 for none that is known. */
  outcome = 0
  /** Where that outcome lies in `bytes`. */
  start = 0
  end = 0
  /** What is wrong with a message whose id could be read all the same. */
  defect: EngineError | undefined
  readonly bytes: Uint8Array
  readonly attachments: readonly ArrayBuffer[]

  constructor(bytes: Uint8Array, attachments: readonly ArrayBuffer[]) {
    this.bytes = bytes
    this.attachments = attachments
  }

  /** The bytes of the outcome. */
  body(): Uint8Array {
    return this.bytes.subarray(this.start, this.end)
  }
}

/** The numbers of `Response.outcome`. */
export const OUTCOME = { error: 2, init: 3, exec: 4, execBatch: 5, fetch: 6, closeCursor: 7, export: 8, save: 9, cancel: 10, close: 11, suspend: 13, resume: 14 } as const

/** Opens a message. Throws `PROTOCOL/FRAME_MALFORMED` for anything that is none. */
export function decodeMessage(data: unknown): Incoming {
  const { v, frame, attachments = [] } = (data ?? {}) as Partial<Envelope>
  if (v !== 1 || !(frame instanceof ArrayBuffer) || frame.byteLength === 0 || !Array.isArray(attachments)) throw malformed("FRAME_MALFORMED", "not a message of this protocol")
  const incoming = new Incoming(new Uint8Array(frame), attachments)
  guarded("FRAME_MALFORMED", () => readFrame(incoming))
  return incoming
}

/** `ExecResponse`. */
export class ExecBody {
  columns: readonly ResultColumn[] = NO_COLUMNS
  batch: BatchData | undefined
  cursor: number | undefined
  changes: number | bigint | undefined
  lastInsertRowid: number | bigint | undefined
  reads: ReadSet | undefined
}

/** Reads the answer to `encodeExec`. */
export function decodeExec(incoming: Incoming): ExecBody {
  return guarded("FRAME_MALFORMED", () => readExec(readerAt(incoming), incoming.end, incoming.bytes))
}

/** Reads the answer to `encodeExecBatch`. */
export function decodeExecBatch(incoming: Incoming): (ExecBody | EngineError)[] {
  return guarded("FRAME_MALFORMED", () => {
    const reader = readerAt(incoming)
    const items: (ExecBody | EngineError)[] = []
    while (reader.pos < incoming.end) {
      const tag = reader.uint32()
      if (tag === field(1, LEN)) items.push(readItem(reader, endOf(reader, incoming.end), incoming))
      else skip(reader, tag)
    }
    return finished(reader, incoming.end, items)
  })
}

/** Reads the answer to `encodeFetch`. */
export function decodeFetch(incoming: Incoming): { batch: BatchData | undefined; done: boolean } {
  return guarded("FRAME_MALFORMED", () => {
    const reader = readerAt(incoming)
    let batch: BatchData | undefined
    let done = false
    while (reader.pos < incoming.end) {
      const tag = reader.uint32()
      if (tag === field(1, LEN)) batch = readBatch(reader, endOf(reader, incoming.end))
      else if (tag === field(2, VARINT)) done = reader.bool()
      else skip(reader, tag)
    }
    return finished(reader, incoming.end, { batch, done })
  })
}

/** Reads the outcome of any call with generated code, or throws the error it is. */
export function decodeWith<T>(incoming: Incoming, outcome: number, read: (bytes: Uint8Array) => T): T {
  expectOutcome(incoming, outcome)
  return guarded("FRAME_MALFORMED", () => read(incoming.body()))
}

/** Throws the error that came instead of the outcome, if one did. */
export function expectOutcome(incoming: Incoming, outcome: number): void {
  if (incoming.defect) throw incoming.defect
  if (incoming.outcome === outcome) return
  if (incoming.outcome === OUTCOME.error) throw guarded("FRAME_MALFORMED", () => errorOf(fromBinary(EngineErrorSchema, incoming.body()), { state: incoming.state }))
  throw malformed("FRAME_MALFORMED", `an answer of kind ${incoming.outcome} where ${outcome} was expected`)
}

/** Reads an event. */
export function decodeEvent(bytes: Uint8Array): Event {
  return guarded("FRAME_MALFORMED", () => fromBinary(EventSchema, bytes))
}

/** The error an engine sent, as the class users meet. */
export function errorOf(wire: WireError | undefined, fields: EngineErrorFields = {}): EngineError {
  if (!wire) return new EngineError("INTERNAL", "ENGINE_DEFECT", "the engine gave no reason", fields)
  return new EngineError(ERROR_CODES[wire.code] ?? "INTERNAL", wire.reason, wire.message, {
    sqliteCode: wire.sqliteCode,
    sqliteExtendedCode: wire.sqliteExtendedCode,
    sqlOffset: wire.sqlOffset,
    batchIndex: wire.batchIndex,
    subject: wire.subject,
    retryable: wire.retryable,
    detail: wire.detail,
    ...fields,
  })
}

// ---- writing ---------------------------------------------------------------

/** Wraps what `body` writes in a frame; a failure leaves nothing behind in the writer. */
function encode(id: number, body: (attachments: ArrayBuffer[]) => void): Envelope {
  const attachments: ArrayBuffer[] = []
  try {
    writer.uint32(FRAME_ID).uint32(id).uint32(FRAME_REQUEST).fork()
    body(attachments)
    writer.join()
    // After the body, whose parameters decide; the order of fields is free.
    if (attachments.length > 0) {
      writer.uint32(FRAME_ATTACHMENT_SIZES).fork()
      for (const attachment of attachments) writer.uint64(attachment.byteLength)
      writer.join()
    }
    const frame = writer.finish()
    if (frame.length > WRITER_KEPT_BYTES) writer = new BinaryWriter()
    return envelope(frame, attachments)
  } catch (error) {
    writer = new BinaryWriter()
    throw error
  }
}

function envelope(frame: Uint8Array, attachments: ArrayBuffer[]): Envelope {
  const { buffer } = frame.byteLength === frame.buffer.byteLength ? frame : frame.slice()
  return attachments.length === 0 ? { v: 1, frame: buffer as ArrayBuffer } : { v: 1, frame: buffer as ArrayBuffer, attachments }
}

function writeStatement(sql: string, params: Params | undefined, options: RequestOptions, attachments: ArrayBuffer[]): void {
  if (sql !== "") writer.uint32(field(1, LEN)).bytes(sqlBytes(sql))
  if (params !== undefined) {
    if (Array.isArray(params)) {
      for (let index = 0; index < params.length; index++) {
        writer.uint32(field(2, LEN)).fork()
        writeValue(params[index], index + 1, attachments)
        writer.join()
      }
    } else {
      writeNamed(params as { readonly [name: string]: unknown }, attachments)
    }
  }
  if (options.cursor) writer.uint32(field(4, VARINT)).uint32(ROW_MODE_CURSOR)
  if (options.batchRows !== 0) writer.uint32(field(5, VARINT)).uint32(options.batchRows)
  if (options.batchBytes !== 0) writer.uint32(field(6, VARINT)).uint32(options.batchBytes)
  if (options.timeoutMs !== 0) writer.uint32(field(7, VARINT)).uint32(options.timeoutMs)
  if (options.reportReads) writer.uint32(field(9, VARINT)).bool(true)
}

/** The same text comes again and again, most of all in a batch. */
function sqlBytes(sql: string): Uint8Array {
  if (sql === lastSql) return lastSqlBytes
  if (typeof sql !== "string") throw paramInvalid("sql", `the statement is ${describe(sql)}, not text`)
  if (!isWellFormed(sql)) throw paramInvalid("sql", "the statement has a lone surrogate, which UTF-8 cannot carry")
  lastSqlBytes = UTF8.encode(sql)
  lastSql = sql
  return lastSqlBytes
}

function writeNamed(params: { readonly [name: string]: unknown }, attachments: ArrayBuffer[]): void {
  if (!isPlainObject(params)) throw paramInvalid("", `parameters are ${describe(params)}, not an array or a plain object`)
  for (const name of Object.keys(params)) {
    writer.uint32(field(3, LEN)).fork()
    if (name !== "") writer.uint32(field(1, LEN)).string(name)
    writer.uint32(field(2, LEN)).fork()
    writeValue(params[name], name, attachments)
    writer.join().join()
  }
}

/** The conversions of the protocol's value table; whatever it does not list is refused. */
function writeValue(value: unknown, subject: number | string, attachments: ArrayBuffer[]): void {
  switch (typeof value) {
    case "number":
      return writeNumber(value, subject)
    case "string":
      if (!isWellFormed(value)) throw refused(subject, "has a lone surrogate, which UTF-8 cannot carry")
      writer.uint32(VALUE_TEXT).string(value)
      return
    case "bigint":
      if (BigInt.asIntN(64, value) !== value) throw refused(subject, "is beyond 64 bits")
      writer.uint32(VALUE_INTEGER).sint64(value)
      return
    case "boolean":
      writer.uint32(VALUE_INTEGER).uint32(value ? 2 : 0)
      return
    case "undefined":
      throw refused(subject, "is undefined; use null for SQL's NULL")
    default:
      if (value === null) {
        writer.uint32(VALUE_NULL).uint32(0)
        return
      }
      return writeBlob(bytesOf(value, subject), attachments)
  }
}

function writeNumber(value: number, subject: number | string): void {
  if ((value | 0) === value && !Object.is(value, -0)) writer.uint32(VALUE_INTEGER).uint32(((value << 1) ^ (value >> 31)) >>> 0)
  else if (Number.isSafeInteger(value) && value !== 0) writer.uint32(VALUE_INTEGER).sint64(value)
  else if (Number.isNaN(value)) throw refused(subject, "is NaN, which SQLite would store as NULL")
  else writer.uint32(VALUE_REAL).double(value)
}

/** Small ones inline; large ones beside the frame. Copied both ways: the parameter stays its owner's. */
function writeBlob(bytes: Uint8Array, attachments: ArrayBuffer[]): void {
  if (bytes.byteLength < ATTACHMENT_BYTES) {
    writer.uint32(VALUE_BLOB).bytes(bytes)
  } else {
    writer.uint32(VALUE_BLOB_ATTACHMENT).uint32(attachments.length)
    attachments.push(bytes.slice().buffer as ArrayBuffer)
  }
}

function bytesOf(value: unknown, subject: number | string): Uint8Array {
  try {
    if (ArrayBuffer.isView(value)) {
      const { buffer, byteOffset, byteLength } = value
      // Refuses what looks like an empty view and is one of a buffer that was transferred away.
      return byteLength === 0 ? new Uint8Array(buffer, byteOffset, 0) : new Uint8Array(buffer, byteOffset, byteLength)
    }
    if (Object.prototype.toString.call(value) === "[object ArrayBuffer]") return new Uint8Array(value as ArrayBuffer)
  } catch {
    throw refused(subject, "is a buffer that was transferred away")
  }
  throw refused(subject, `is ${describe(value)}; bind null, a number, a bigint, a boolean, text or bytes`)
}

function refused(subject: number | string, why: string): EngineError {
  return paramInvalid(String(subject), `parameter ${subject} ${why}`)
}

function describe(value: unknown): string {
  if (typeof value !== "object" || value === null) return `a ${typeof value}`
  return `an object (${(value as object).constructor?.name ?? "no class"})`
}

function isPlainObject(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function isWellFormed(text: string): boolean {
  // Browsers of 2022 do not have it yet.
  return typeof text.isWellFormed === "function" ? text.isWellFormed() : !LONE_SURROGATE.test(text)
}

// ---- reading ---------------------------------------------------------------

/** Whatever a reader throws on broken bytes becomes the protocol's error. */
function guarded<T>(reason: "FRAME_MALFORMED", read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof EngineError ? error : malformed(reason, "bytes that are not a message", error)
  }
}

function readFrame(incoming: Incoming): void {
  const reader = new BinaryReader(incoming.bytes)
  const end = incoming.bytes.length
  const sizes: number[] = []
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === FRAME_ID) incoming.id = reader.uint32()
    else if (tag === FRAME_ATTACHMENT_SIZES) {
      const sizesEnd = endOf(reader, end)
      while (reader.pos < sizesEnd) sizes.push(Number(reader.uint64()))
    } else if (tag === FRAME_ATTACHMENT_SIZE) sizes.push(Number(reader.uint64()))
    else if (tag === FRAME_RESPONSE) readResponse(reader, endOf(reader, end), incoming)
    else if (tag === FRAME_EVENT) incoming.event = reader.bytes()
    else skip(reader, tag)
  }
  finished(reader, end, undefined)
  const { attachments } = incoming
  if (attachments.length !== sizes.length || sizes.some((size, index) => attachments[index]!.byteLength !== size)) {
    incoming.defect = malformed("ATTACHMENT_MISMATCH", `attachments of ${attachments.map((each) => each.byteLength)} bytes, the frame says ${sizes}`)
  }
}

function readResponse(reader: BinaryReader, end: number, incoming: Incoming): void {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === field(1, LEN)) incoming.state = readState(reader, endOf(reader, end), incoming.bytes)
    else if ((tag & 7) === LEN && tag >>> 3 >= 2 && tag >>> 3 <= 31) {
      incoming.outcome = tag >>> 3
      incoming.end = endOf(reader, end)
      incoming.start = reader.pos
      reader.pos = incoming.end
    } else skip(reader, tag)
  }
  finished(reader, end, undefined)
}

function readState(reader: BinaryReader, end: number, bytes: Uint8Array): SessionState {
  let inTransaction = false
  let commitSeq = 0
  let savedSeq = 0
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === field(1, VARINT)) inTransaction = reader.bool()
    else if (tag === field(2, VARINT)) commitSeq = Number(readUint64(reader, bytes))
    else if (tag === field(3, VARINT)) savedSeq = Number(readUint64(reader, bytes))
    else skip(reader, tag)
  }
  return finished(reader, end, { inTransaction, commitSeq, savedSeq })
}

function readExec(reader: BinaryReader, end: number, bytes: Uint8Array): ExecBody {
  const body = new ExecBody()
  while (reader.pos < end) {
    const tag = reader.uint32()
    switch (tag) {
      case EXEC_COLUMNS:
        body.columns = readColumns(reader, end, bytes, body.columns)
        break
      case EXEC_BATCH:
        body.batch = readBatch(reader, endOf(reader, end))
        break
      case EXEC_CURSOR:
        body.cursor = reader.uint32()
        break
      case EXEC_CHANGES:
        body.changes = readUint64(reader, bytes)
        break
      case EXEC_LAST_INSERT_ROWID:
        body.lastInsertRowid = readSint64(reader, bytes)
        break
      case EXEC_READS:
        body.reads = readsOf(fromBinary(ReadSetSchema, reader.bytes()))
        break
      default:
        skip(reader, tag)
    }
  }
  return finished(reader, end, body)
}

function readsOf({ anyCommit, reads }: WireReadSet): ReadSet {
  return { anyCommit, reads: reads.map(({ schemaKey, versionId, fileId, entityId }) => ({ schemaKey, versionId, fileId, entityId })) }
}

/** All columns that follow each other here. The same ones come with every answer to a query, and are shared. */
function readColumns(reader: BinaryReader, end: number, bytes: Uint8Array, before: readonly ResultColumn[]): readonly ResultColumn[] {
  const start = reader.pos - 1
  let stop = endOf(reader, end)
  while (bytes[stop] === EXEC_COLUMNS && stop < end) {
    reader.pos = stop + 1
    stop = endOf(reader, end)
  }
  // FNV-1a.
  let hash = 0x811c9dc5
  for (let at = start; at < stop; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  let known = KNOWN_COLUMNS.get(hash)
  if (!known || !isSame(known.bytes, bytes, start, stop)) {
    const columns: ResultColumn[] = []
    reader.pos = start
    while (reader.pos < stop) {
      reader.pos++
      columns.push(Object.freeze(readColumn(reader, endOf(reader, stop))))
    }
    known = { bytes: bytes.slice(start, stop), columns: Object.freeze(columns) }
    if (KNOWN_COLUMNS.size >= KNOWN_COLUMNS_KEPT) KNOWN_COLUMNS.clear()
    if (known.bytes.length <= KNOWN_COLUMNS_BYTES) KNOWN_COLUMNS.set(hash, known)
  }
  reader.pos = stop
  return before.length === 0 ? known.columns : [...before, ...known.columns]
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, stop: number): boolean {
  if (known.length !== stop - start) return false
  for (let at = 0; at < known.length; at++) if (known[at] !== bytes[start + at]) return false
  return true
}

function readColumn(reader: BinaryReader, end: number): ResultColumn {
  let name = ""
  let declType: string | undefined
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === field(1, LEN)) name = reader.string()
    else if (tag === field(2, LEN)) declType = reader.string()
    else skip(reader, tag)
  }
  return finished(reader, end, declType === undefined ? { name } : { name, declType })
}

function readBatch(reader: BinaryReader, end: number): BatchData {
  const batch = new BatchData()
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === field(1, VARINT)) batch.rowCount = reader.uint32()
    else if (tag === field(2, LEN)) batch.columns.push(readColumnData(reader, endOf(reader, end)))
    else skip(reader, tag)
  }
  return finished(reader, end, batch)
}

function readColumnData(reader: BinaryReader, end: number): ColumnData {
  const column = new ColumnData()
  while (reader.pos < end) {
    const tag = reader.uint32()
    switch (tag) {
      case DATA_UNIFORM:
        column.uniform = reader.uint32()
        break
      case DATA_CLASSES:
        column.classes = reader.bytes()
        break
      case DATA_INT_WIDTH:
        column.intWidth = reader.uint32()
        break
      case DATA_INTS:
        column.ints = reader.bytes()
        break
      case DATA_REALS:
        column.reals = reader.bytes()
        break
      case DATA_TEXT:
        column.text = reader.bytes()
        break
      case DATA_BLOBS:
        column.blobs = reader.bytes()
        break
      case DATA_LEN_WIDTH:
        column.lenWidth = reader.uint32()
        break
      case DATA_LENS:
        column.lens = reader.bytes()
        break
      default:
        skip(reader, tag)
    }
  }
  return finished(reader, end, column)
}

function readItem(reader: BinaryReader, end: number, incoming: Incoming): ExecBody | EngineError {
  let item: ExecBody | EngineError | undefined
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === field(1, LEN)) item = readExec(reader, endOf(reader, end), incoming.bytes)
    else if (tag === field(2, LEN)) item = errorOf(fromBinary(EngineErrorSchema, reader.bytes()), { state: incoming.state })
    else skip(reader, tag)
  }
  return finished(reader, end, item ?? malformed("FRAME_MALFORMED", "a batch item without an outcome"))
}

function readerAt(incoming: Incoming): BinaryReader {
  const reader = new BinaryReader(incoming.bytes)
  reader.pos = incoming.start
  return reader
}

/** Counters are small for a long time; one byte needs no bigint. */
function readUint64(reader: BinaryReader, bytes: Uint8Array): number | bigint {
  const byte = bytes[reader.pos]!
  if (!(byte < 0x80)) return BigInt(reader.uint64())
  reader.pos++
  return byte
}

function readSint64(reader: BinaryReader, bytes: Uint8Array): number | bigint {
  const byte = bytes[reader.pos]!
  if (!(byte < 0x80)) return BigInt(reader.sint64())
  reader.pos++
  return (byte >>> 1) ^ -(byte & 1)
}

/** The end of the message that starts here, which must lie inside the one around it. */
function endOf(reader: BinaryReader, outer: number): number {
  const end = reader.uint32() + reader.pos
  if (end > outer) throw new RangeError("a message longer than the one around it")
  return end
}

function finished<T>(reader: BinaryReader, end: number, value: T): T {
  if (reader.pos !== end) throw new RangeError("a field longer than the message around it")
  return value
}

function skip(reader: BinaryReader, tag: number): void {
  if (tag >>> 3 === 0) throw new RangeError("field number 0")
  reader.skip(tag & 7, tag >>> 3)
}

// ---- numbers ---------------------------------------------------------------

function field(number: number, wireType: number): number {
  return (number << 3) | wireType
}

const NO_COLUMNS: readonly ResultColumn[] = Object.freeze([])
const KNOWN_COLUMNS = new Map<number, { readonly bytes: Uint8Array; readonly columns: readonly ResultColumn[] }>()
const KNOWN_COLUMNS_KEPT = 128
const KNOWN_COLUMNS_BYTES = 4_096

const VARINT = 0
const LEN = 2
const FRAME_ID = 0x08
const FRAME_ATTACHMENT_SIZE = 0x10
const FRAME_ATTACHMENT_SIZES = 0x12
const FRAME_REQUEST = 0x1a
const FRAME_RESPONSE = 0x22
const FRAME_EVENT = 0x2a
const EXEC_REQUEST = 0x1a
const EXEC_BATCH_REQUEST = 0x22
const FETCH_REQUEST = 0x2a
const ROW_MODE_CURSOR = 3
const VALUE_NULL = 0x0a
const VALUE_INTEGER = 0x10
const VALUE_REAL = 0x19
const VALUE_TEXT = 0x22
const VALUE_BLOB = 0x2a
const VALUE_BLOB_ATTACHMENT = 0x30
const EXEC_COLUMNS = 0x0a
const EXEC_BATCH = 0x12
const EXEC_CURSOR = 0x18
const EXEC_CHANGES = 0x20
const EXEC_LAST_INSERT_ROWID = 0x28
const EXEC_READS = 0x32
const DATA_UNIFORM = 0x08
const DATA_CLASSES = 0x12
const DATA_INT_WIDTH = 0x18
const DATA_INTS = 0x22
const DATA_REALS = 0x2a
const DATA_TEXT = 0x32
const DATA_BLOBS = 0x3a
const DATA_LEN_WIDTH = 0x40
const DATA_LENS = 0x4a

/** Blob parameters from here on travel as attachments. */
const ATTACHMENT_BYTES = 64 * 1024
/** A writer keeps its buffer, so one that grew beyond this is dropped. */
const WRITER_KEPT_BYTES = 1024 * 1024
const LONE_SURROGATE = /\p{Surrogate}/u
const UTF8 = new TextEncoder()

let writer = new BinaryWriter()
let lastSql = ""
let lastSqlBytes = new Uint8Array(0)
