// Rows of a statement to the columns of a RowBatch, in the smallest widths.
import { create } from "@bufbuild/protobuf"
import { type ColumnData, ColumnDataSchema, type RowBatch, RowBatchSchema, StorageClass } from "./gen/engine_pb.ts"
import { Failure } from "./failures.ts"
import type { Sqlite3, Statement } from "./sqlite.ts"

/** A batch in the making. It knows at any time how long it will be on the wire, to the byte. */
export class BatchBuilder {
  rowCount = 0
  readonly #columns: ColumnBuilder[]

  constructor(width: number) {
    this.#columns = Array.from({ length: width }, () => new ColumnBuilder())
  }

  /** Adds the statement's current row. */
  add(sqlite3: Sqlite3, statement: Statement): void {
    for (let i = 0; i < this.#columns.length; i++) this.#columns[i]!.add(sqlite3, statement, i)
    this.rowCount++
  }

  /** Takes back the last add. */
  undo(): void {
    for (const column of this.#columns) column.undo()
    this.rowCount--
  }

  get byteLength(): number {
    let length = this.rowCount === 0 ? 0 : 1 + varintLength(this.rowCount)
    for (const column of this.#columns) {
      const inner = column.byteLength
      length += 1 + varintLength(inner) + inner
    }
    return length
  }

  finish(): RowBatch {
    return create(RowBatchSchema, { rowCount: this.rowCount, columns: this.#columns.map((column) => column.finish()) })
  }
}

class ColumnBuilder {
  readonly #classes = new Run()
  readonly #ints = new Run() // eight bytes each, made narrow at the end
  readonly #reals = new Run()
  readonly #text = new Run()
  readonly #blobs = new Run()
  readonly #lens = new Run() // four bytes each
  readonly #runs = [this.#classes, this.#ints, this.#reals, this.#text, this.#blobs, this.#lens]
  #widths = { int: 0, len: 0, mixed: false }
  #before = this.#widths

  add(sqlite3: Sqlite3, statement: Statement, index: number): void {
    const { capi } = sqlite3
    for (const run of this.#runs) run.mark()
    this.#before = this.#widths
    let cellClass: StorageClass = StorageClass.NULL
    switch (capi.sqlite3_column_type(statement, index)) {
      case capi.SQLITE_INTEGER: {
        const value = capi.sqlite3_column_int64(statement, index)
        cellClass = StorageClass.INTEGER
        this.#ints.appendInt64(value)
        this.#widen("int", widthOf(value))
        break
      }
      case capi.SQLITE_FLOAT:
        cellClass = StorageClass.REAL
        this.#reals.appendFloat64(capi.sqlite3_column_double(statement, index))
        break
      case capi.SQLITE_TEXT: {
        const bytes = cellBytes(sqlite3, statement, index)
        const valid = isUtf8(bytes)
        cellClass = valid ? StorageClass.TEXT : StorageClass.TEXT_RAW
        this.#appendBytes(valid ? this.#text : this.#blobs, bytes)
        break
      }
      case capi.SQLITE_BLOB:
        cellClass = StorageClass.BLOB
        this.#appendBytes(this.#blobs, cellBytes(sqlite3, statement, index))
        break
    }
    if (!this.#widths.mixed && this.#classes.length > 0 && this.#classes.bytes[0] !== cellClass) {
      this.#widths = { ...this.#widths, mixed: true }
    }
    this.#classes.append1(cellClass)
  }

  undo(): void {
    for (const run of this.#runs) run.undo()
    this.#widths = this.#before
  }

  get byteLength(): number {
    if (this.#classes.length === 0) return 0
    const { int, len, mixed } = this.#widths
    return (
      (mixed ? fieldLength(this.#classes.length) : 2) +
      (int === 0 ? 0 : 2 + fieldLength((this.#ints.length / 8) * int)) +
      fieldLength(this.#reals.length) +
      fieldLength(this.#text.length) +
      fieldLength(this.#blobs.length) +
      (len === 0 ? 0 : 2 + fieldLength((this.#lens.length / 4) * len))
    )
  }

  finish(): ColumnData {
    const { int, len, mixed } = this.#widths
    return create(ColumnDataSchema, {
      uniform: mixed ? 0 : (this.#classes.bytes[0] ?? 0),
      classes: mixed ? this.#classes.content : NOTHING,
      intWidth: int,
      ints: narrow(this.#ints.content, 8, int),
      reals: this.#reals.content,
      text: this.#text.content,
      blobs: this.#blobs.content,
      lenWidth: len,
      lens: narrow(this.#lens.content, 4, len),
    })
  }

  #appendBytes(run: Run, bytes: Uint8Array): void {
    const { length } = bytes
    run.append(bytes)
    this.#lens.appendUint32(length)
    this.#widen("len", length < 1 << 8 ? 1 : length < 1 << 16 ? 2 : 4)
  }

  #widen(which: "int" | "len", width: number): void {
    if (width > this.#widths[which]) this.#widths = { ...this.#widths, [which]: width }
  }
}

/** Bytes that grow at their end, and can forget what was added since `mark`. */
class Run {
  bytes: Uint8Array = NOTHING
  length = 0
  #view = new DataView(NOTHING.buffer)
  #marked = 0

  get content(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length) as Uint8Array<ArrayBuffer>
  }

  mark(): void {
    this.#marked = this.length
  }

  undo(): void {
    this.length = this.#marked
  }

  append1(byte: number): void {
    const at = this.#reserve(1) // may replace the bytes
    this.bytes[at] = byte
  }

  append(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.bytes.set(bytes, at)
  }

  appendInt64(value: bigint): void {
    const at = this.#reserve(8)
    this.#view.setBigInt64(at, value, true)
  }

  appendFloat64(value: number): void {
    const at = this.#reserve(8)
    this.#view.setFloat64(at, value, true)
  }

  appendUint32(value: number): void {
    const at = this.#reserve(4)
    this.#view.setUint32(at, value, true)
  }

  #reserve(count: number): number {
    const at = this.length
    this.length += count
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(64, this.length, this.bytes.length * 2))
      larger.set(this.bytes.subarray(0, at))
      this.bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }
}

const NOTHING = new Uint8Array(0)

/** The bytes of a TEXT or BLOB cell, where SQLite has them: valid until the next call of it. */
const cellBytes = ({ capi, wasm }: Sqlite3, statement: Statement, index: number): Uint8Array => {
  const at = Number(capi.sqlite3_column_blob(statement, index))
  const length = capi.sqlite3_column_bytes(statement, index)
  if (at === 0 && length > 0) throw new Failure("OUT_OF_MEMORY", "out of memory", { sqlite: capi.SQLITE_NOMEM })
  return wasm.heap8u().subarray(at, at + length)
}

const UTF8 = new TextDecoder("utf-8", { fatal: true })

const isUtf8 = (bytes: Uint8Array): boolean => {
  let at = 0
  while (at < bytes.length && bytes[at]! < 0x80) at++
  if (at === bytes.length) return true
  try {
    UTF8.decode(bytes.subarray(at))
    return true
  } catch {
    return false
  }
}

const widthOf = (value: bigint): number =>
  BigInt.asIntN(8, value) === value ? 1 : BigInt.asIntN(16, value) === value ? 2 : BigInt.asIntN(32, value) === value ? 4 : 8

/** Little-endian numbers keep their first bytes. */
const narrow = (bytes: Uint8Array<ArrayBuffer>, from: number, to: number): Uint8Array<ArrayBuffer> => {
  if (from === to || bytes.length === 0) return bytes
  const out = new Uint8Array((bytes.length / from) * to)
  for (let at = 0, source = 0; at < out.length; at += to, source += from) {
    for (let i = 0; i < to; i++) out[at + i] = bytes[source + i]!
  }
  return out
}

const fieldLength = (length: number): number => (length === 0 ? 0 : 1 + varintLength(length) + length)

const varintLength = (value: number): number => (value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : value < 1 << 28 ? 4 : 5)
