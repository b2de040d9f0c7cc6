/**
 * From a batch to rows. A large batch becomes rows in slices with the event loop in between, so that
 * a page keeps painting; a smaller one becomes rows at once, without a promise; of a few rows each cell
 * is read by itself, which costs less than setting up streams for them.
 */

import {
  applyPolicy, BLOB, checkBatch, decodeText, INTEGER, intArray, intHalves, lengthAt, LENIENT, NULL, REAL, realArray, TEXT, TEXT_RAW, wideInt,
  type BatchData, type CellOptions, type ColumnData, type IntArray,
} from "./columns.js"
import { malformed } from "./errors.js"
import { later } from "./schedule.js"
import type { ResultColumn, RowObject, SqlValue } from "./types.js"

/** A row as an object or an array, as `rowMode` says. */
export type Row = RowObject | SqlValue[]

/**
 * The rows of a batch, at once if that takes no longer than a slice of time, else later.
 *
 * Throws (or rejects with) `PROTOCOL/BATCH_MALFORMED` when the batch does not fit itself.
 */
export function decodeRows(batch: BatchData, columns: readonly ResultColumn[], rowMode: "object" | "array", options: CellOptions): Row[] | Promise<Row[]> {
  checkBatch(batch, columns.length)
  if (batch.rowCount <= SMALL_ROWS) return smallRows(batch, columns, rowMode, options)
  const reader = new RowReader(batch, columns, rowMode, options)
  if (batch.rowCount <= reader.sliceRows) {
    reader.readSlice()
    return reader.rows
  }
  const until = performance.now() + SLICE_MS
  do reader.readSlice()
  while (!reader.done && performance.now() < until)
  return reader.done ? reader.rows : readRest(reader)
}

/** The same at once, however long it takes. */
export function decodeRowsNow(batch: BatchData, columns: readonly ResultColumn[], rowMode: "object" | "array", options: CellOptions): Row[] {
  checkBatch(batch, columns.length)
  const reader = new RowReader(batch, columns, rowMode, options)
  while (!reader.done) reader.readSlice()
  return reader.rows
}

async function readRest(reader: RowReader): Promise<Row[]> {
  while (!reader.done) {
    await new Promise<void>(later)
    const until = performance.now() + SLICE_MS
    do reader.readSlice()
    while (!reader.done && performance.now() < until)
  }
  return reader.rows
}

/** The rows of a checked batch that has few. */
function smallRows(batch: BatchData, columns: readonly ResultColumn[], rowMode: "object" | "array", options: CellOptions): Row[] {
  const count = batch.rowCount
  const rows = new Array<Row>(count)
  for (let i = 0; i < count; i++) rows[i] = rowMode === "object" ? {} : new Array<SqlValue>(columns.length)
  for (let j = 0; j < columns.length; j++) {
    const { name } = columns[j]!
    const cells = new CellReader(name, batch.columns[j]!, options)
    for (let i = 0; i < count; i++) {
      const value = cells.next(i)
      if (rowMode === "array") (rows[i] as SqlValue[])[j] = value
      else if (name === "__proto__") setProto(rows[i] as RowObject, value)
      else (rows[i] as RowObject)[name] = value
    }
  }
  return rows
}

/** Reads one column cell by cell, straight from the bytes. */
class CellReader {
  #int = 0
  #real = 0
  #len = 0
  #text = 0
  #blob = 0

  constructor(
    readonly name: string,
    readonly data: ColumnData,
    readonly options: CellOptions,
  ) {}

  next(row: number): SqlValue {
    const { data, options } = this
    const cls = data.uniform || data.classes[row]!
    switch (cls) {
      case NULL:
        return null
      case INTEGER:
        return this.#nextInt(row)
      case REAL: {
        for (let byte = 0, at = 8 * this.#real++; byte < 8; byte++) EIGHT_BYTES[byte] = data.reals[at + byte]!
        return AS_REAL[0]!
      }
      case TEXT: {
        const from = this.#text
        this.#text += lengthAt(data, this.#len++)
        return shortText(data.text, from, this.#text)
      }
      default: {
        const from = this.#blob
        this.#blob += lengthAt(data, this.#len++)
        return bytesAs(data.blobs, from, this.#blob, cls, options)
      }
    }
  }

  #nextInt(row: number): SqlValue {
    const { ints, intWidth } = this.data
    const { integers } = this.options
    const at = intWidth * this.#int++
    if (intWidth === 1) return applyPolicy((ints[at]! << 24) >> 24, integers, this.name, row)
    if (intWidth === 2) return applyPolicy(((ints[at]! | (ints[at + 1]! << 8)) << 16) >> 16, integers, this.name, row)
    if (intWidth === 4) return applyPolicy(int32At(ints, at), integers, this.name, row)
    return wideInt(int32At(ints, at), int32At(ints, at + 4), integers, this.name, row)
  }
}

function int32At(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/** ASCII of a few bytes is put together faster than a decoder is called. */
function shortText(bytes: Uint8Array, from: number, to: number): string {
  if (to - from > SHORT_TEXT) return decodeText(bytes.subarray(from, to))
  let text = ""
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (byte >= 0x80) return decodeText(bytes.subarray(from, to))
    text += String.fromCharCode(byte)
  }
  return text
}

/** A copy unless views are asked for, since a view that somebody keeps would keep the whole batch. */
function bytesAs(blobs: Uint8Array, from: number, to: number, cls: number, options: CellOptions): SqlValue {
  if (cls === TEXT_RAW && options.invalidText === "replace") return LENIENT.decode(blobs.subarray(from, to))
  return options.blobs === "view" ? blobs.subarray(from, to) : blobs.slice(from, to)
}

/** Assigning this one name would set the row's prototype. */
function setProto(row: RowObject, value: SqlValue): void {
  Object.defineProperty(row, "__proto__", { value, enumerable: true, configurable: true, writable: true })
}

/** Reads a checked batch from its first row to its last. */
class RowReader {
  readonly rows: Row[]
  /** Few enough rows, and bytes, that one slice stays well below the slice of time. */
  readonly sliceRows: number
  #at = 0
  readonly #names: string[]
  readonly #columns: ColumnReader[]
  /** Makes an empty row; absent where rows are arrays. */
  readonly #make: (new () => RowObject) | undefined

  constructor(batch: BatchData, columns: readonly ResultColumn[], rowMode: "object" | "array", options: CellOptions) {
    this.rows = new Array<Row>(batch.rowCount)
    this.#names = columns.map((column) => column.name)
    this.#columns = columns.map((column, index) => new ColumnReader(column.name, batch.columns[index]!, options))
    this.#make = rowMode === "object" ? objectMaker(batch.rowCount) : undefined
    let bytes = 0
    for (const column of batch.columns) bytes += column.ints.length + column.reals.length + column.text.length + column.blobs.length
    const cells = SLICE_CELLS / Math.max(columns.length, 1)
    this.sliceRows = Math.max(1, Math.ceil(Math.min(cells, (batch.rowCount * SLICE_BYTES) / Math.max(bytes, 1))))
  }

  get done(): boolean {
    return this.#at >= this.rows.length
  }

  readSlice(): void {
    const count = Math.min(this.sliceRows, this.rows.length - this.#at)
    const cells = this.#columns.map((column) => column.read(count))
    if (this.#make) buildObjects(this.rows, this.#at, count, this.#names, cells, this.#make)
    else buildArrays(this.rows, this.#at, count, cells)
    this.#at += count
  }
}

// Loops over the columns, not unrolled: a page that runs a dozen different queries makes unrolled
// stores megamorphic, and then the loop is the faster of the two (9 against 13 ms for 600,000 cells;
// 9 against 5 while there are only a few queries).
function buildObjects(rows: Row[], at: number, count: number, names: string[], cells: SqlValue[][], Make: new () => RowObject): void {
  const width = names.length
  const special = names.includes("__proto__")
  for (let i = 0; i < count; i++) {
    const row = new Make()
    for (let j = 0; j < width; j++) {
      if (special && names[j] === "__proto__") setProto(row, cells[j]![i]!)
      else row[names[j]!] = cells[j]![i]!
    }
    rows[at + i] = row
  }
}

/**
 * Plain objects, from a constructor of their own for each large result: the JavaScript engine then
 * learns how many columns there are and makes each row in one piece. A literal has room for four; the
 * rest would be a second piece per row, and twice the work for the collector (100,000 rows of twelve
 * columns: 21 against 42 ms).
 */
function objectMaker(rowCount: number): new () => RowObject {
  if (rowCount < MAKER_ROWS) return Object as unknown as new () => RowObject
  // Named for the debuggers, which would else show what nobody asked for.
  const Make = function Object() {} as unknown as new () => RowObject
  Make.prototype = Object.prototype
  return Make
}

function buildArrays(rows: Row[], at: number, count: number, cells: SqlValue[][]): void {
  const width = cells.length
  for (let i = 0; i < count; i++) {
    const row = new Array<SqlValue>(width)
    for (let j = 0; j < width; j++) row[j] = cells[j]![i]!
    rows[at + i] = row
  }
}

/** Reads one column, some rows at a time, remembering its place in each stream. */
class ColumnReader {
  #row = 0
  #int = 0
  #len = 0
  #real = 0
  #text = 0
  #blob = 0
  #narrow: Exclude<IntArray, BigInt64Array> | undefined
  #halves: Int32Array | undefined
  #reals: Float64Array | undefined
  readonly #name: string
  readonly #data: ColumnData
  readonly #options: CellOptions

  constructor(name: string, data: ColumnData, options: CellOptions) {
    this.#name = name
    this.#data = data
    this.#options = options
    if (data.ints.length > 0) {
      if (data.intWidth === 8) this.#halves = intHalves(data)
      else this.#narrow = intArray(data) as Exclude<IntArray, BigInt64Array>
    }
    if (data.reals.length > 0) this.#reals = realArray(data)
  }

  read(count: number): SqlValue[] {
    const cells = new Array<SqlValue>(count)
    switch (this.#data.uniform) {
      case NULL:
        cells.fill(null)
        break
      case INTEGER:
        this.#readInts(cells)
        break
      case REAL:
        for (let i = 0; i < count; i++) cells[i] = this.#reals![this.#real++]!
        break
      case TEXT:
        this.#readTexts(cells)
        break
      case BLOB:
      case TEXT_RAW:
        for (let i = 0; i < count; i++) cells[i] = this.#takeBytes(this.#data.uniform)
        break
      default:
        this.#readMixed(cells)
    }
    this.#row += count
    return cells
  }

  #readInts(cells: SqlValue[]): void {
    const policy = this.#options.integers
    const narrow = this.#narrow
    if (narrow !== undefined && (policy === "auto" || policy === "number")) {
      const from = this.#int
      for (let i = 0; i < cells.length; i++) cells[i] = narrow[from + i]!
      this.#int = from + cells.length
      return
    }
    for (let i = 0; i < cells.length; i++) cells[i] = this.#takeInt(this.#row + i)
  }

  #readTexts(cells: SqlValue[]): void {
    const count = cells.length
    let bytes = 0
    for (let i = 0; i < count; i++) bytes += lengthAt(this.#data, this.#len + i)
    const run = this.#takeRun(bytes)
    for (let i = 0; i < count; i++) cells[i] = run.take(lengthAt(this.#data, this.#len++))
  }

  #readMixed(cells: SqlValue[]): void {
    const classes = this.#data.classes
    let bytes = 0
    for (let i = 0, len = this.#len; i < cells.length; i++) {
      const cls = classes[this.#row + i]!
      if (cls === TEXT) bytes += lengthAt(this.#data, len)
      if (cls >= TEXT) len++
    }
    const run = this.#takeRun(bytes)
    for (let i = 0; i < cells.length; i++) {
      const cls = classes[this.#row + i]!
      switch (cls) {
        case NULL:
          cells[i] = null
          break
        case INTEGER:
          cells[i] = this.#takeInt(this.#row + i)
          break
        case REAL:
          cells[i] = this.#reals![this.#real++]!
          break
        case TEXT:
          cells[i] = run.take(lengthAt(this.#data, this.#len++))
          break
        default:
          cells[i] = this.#takeBytes(cls)
      }
    }
  }

  #takeInt(row: number): SqlValue {
    const at = this.#int++
    const policy = this.#options.integers
    if (this.#halves !== undefined) return wideInt(this.#halves[2 * at]!, this.#halves[2 * at + 1]!, policy, this.#name, row)
    return applyPolicy(this.#narrow![at]!, policy, this.#name, row)
  }

  #takeRun(bytes: number): TextRun {
    const run = new TextRun(this.#data.text.subarray(this.#text, this.#text + bytes))
    this.#text += bytes
    return run
  }

  #takeBytes(cls: number): SqlValue {
    const from = this.#blob
    this.#blob += lengthAt(this.#data, this.#len++)
    return bytesAs(this.#data.blobs, from, this.#blob, cls, this.#options)
  }
}

/** Texts one after the other, decoded in one go and cut by their byte lengths. */
class TextRun {
  readonly #bytes: Uint8Array
  readonly #text: string
  readonly #ascii: boolean
  #byte = 0
  #unit = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#text = bytes.length === 0 ? "" : decodeText(bytes)
    // Only ASCII has as many UTF-16 units as bytes.
    this.#ascii = this.#text.length === bytes.length
  }

  take(length: number): string {
    const from = this.#unit
    if (this.#ascii) return this.#text.substring(from, (this.#unit = from + length))
    const bytes = this.#bytes
    const end = this.#byte + length
    let unit = from
    for (let at = this.#byte; at < end; at++) {
      const byte = bytes[at]!
      if ((byte & 0xc0) !== 0x80) unit += byte >= 0xf0 ? 2 : 1
    }
    if (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) throw malformed("BATCH_MALFORMED", "a text ends inside a character")
    this.#byte = end
    this.#unit = unit
    return this.#text.substring(from, unit)
  }
}

const SMALL_ROWS = 16
const SHORT_TEXT = 24
const EIGHT_BYTES = new Uint8Array(8)
const AS_REAL = new Float64Array(EIGHT_BYTES.buffer)
const MAKER_ROWS = 64
const SLICE_MS = 8
const SLICE_CELLS = 6_000
const SLICE_BYTES = 256 * 1024
