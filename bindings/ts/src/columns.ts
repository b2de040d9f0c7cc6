/**
 * A batch of rows as it travels: per column a few byte streams. `checkBatch` proves that the streams
 * fit each other before anybody reads them; `ColumnBatch` reads them in place.
 */

import { EngineError, malformed } from "./errors.js"
import type { IntegerPolicy, ResultColumn, SqlValue } from "./types.js"

/**
 * Rows by column, without a JavaScript value per cell: the fast way to sum, plot or fill a table.
 * Everything here looks into the buffer the answer came in; keeping a batch, or one of its typed
 * arrays or blobs, keeps that buffer.
 *
 * ```ts
 * const { batch } = await engine.exec("select id, price from item", [], { rowMode: "columns" })
 * const price = batch.column("price")
 * let total = 0
 * for (const value of price.reals) total += value
 * ```
 */
export class ColumnBatch {
  readonly rowCount: number
  readonly columns: readonly ColumnView[]

  /** @internal */
  constructor(batch: BatchData, columns: readonly ResultColumn[], options: CellOptions) {
    this.rowCount = batch.rowCount
    this.columns = columns.map((column, index) => new ColumnView(column, batch.columns[index]!, batch.rowCount, options))
  }

  /** The column of this name, the last one if several have it. */
  column(name: string): ColumnView {
    const found = this.columns.findLast((column) => column.name === name)
    if (!found) throw new RangeError(`no column "${name}"; there are: ${this.columns.map((column) => column.name).join(", ")}`)
    return found
  }
}

/** One column of a {@link ColumnBatch}. Rows count from 0. */
export class ColumnView {
  readonly name: string
  readonly declType: string | undefined
  readonly rowCount: number
  readonly #data: ColumnData
  readonly #options: CellOptions
  #ints: IntArray | undefined
  #reals: Float64Array | undefined
  #ranks: Uint32Array | undefined
  #starts: Uint32Array | undefined
  #ascii: string | null | undefined

  /** @internal */
  constructor(column: ResultColumn, data: ColumnData, rowCount: number, options: CellOptions) {
    this.name = column.name
    this.declType = column.declType
    this.rowCount = rowCount
    this.#data = data
    this.#options = options
  }

  /** The storage class all rows have, or undefined when they differ. */
  get uniform(): StorageClass | undefined {
    return CLASS_NAMES[this.#data.uniform]
  }

  /**
   * The INTEGER cells, in row order, in the narrowest array that holds them. Where `uniform` is
   * `"integer"` the index is the row; else cells of other classes are left out.
   */
  get ints(): IntArray {
    return (this.#ints ??= intArray(this.#data))
  }

  /** The REAL cells, in row order; as with `ints`, the index is the row only in a uniform column. */
  get reals(): Float64Array {
    return (this.#reals ??= realArray(this.#data))
  }

  /** What is stored in this row. */
  storageClass(row: number): StorageClass {
    return CLASS_NAMES[this.#classOf(row)]!
  }

  isNull(row: number): boolean {
    return this.#classOf(row) === NULL
  }

  /** The text of a TEXT cell, null for any other. Text that is not valid UTF-8 comes with U+FFFD. */
  text(row: number): string | null {
    const cls = this.#classOf(row)
    if (cls === TEXT_RAW) return LENIENT.decode(this.#bytes(row, this.#data.blobs))
    if (cls !== TEXT) return null
    if (this.#ascii === undefined) {
      const all = decodeText(this.#data.text)
      this.#ascii = all.length === this.#data.text.length ? all : null
    }
    if (this.#ascii === null) return decodeText(this.#bytes(row, this.#data.text))
    const rank = this.#rank(row)
    const start = this.#start(rank)
    return this.#ascii.substring(start, start + this.#length(rank))
  }

  /** The bytes of a BLOB cell (or of a TEXT cell that is not valid UTF-8) as a view, null for any other. */
  blob(row: number): Uint8Array | null {
    const cls = this.#classOf(row)
    return cls === BLOB || cls === TEXT_RAW ? this.#bytes(row, this.#data.blobs) : null
  }

  /** The cell as a row would have it, except that a blob is a view. */
  value(row: number): SqlValue {
    switch (this.#classOf(row)) {
      case NULL:
        return null
      case INTEGER:
        return applyPolicy(this.ints[this.#rank(row)]!, this.#options.integers, this.name, row)
      case REAL:
        return this.reals[this.#rank(row)]!
      case TEXT:
        return this.text(row)
      case BLOB:
        return this.blob(row)
      default:
        return this.#options.invalidText === "bytes" ? this.blob(row) : this.text(row)
    }
  }

  #classOf(row: number): number {
    if (!(row >= 0 && row < this.rowCount)) throw new RangeError(`row ${row} of ${this.rowCount}`)
    return this.#data.uniform || this.#data.classes[row]!
  }

  /** Which cell of its stream the row's cell is. */
  #rank(row: number): number {
    if (this.#data.uniform) return row
    return (this.#ranks ??= ranksOf(this.#data.classes))[row]!
  }

  #length(rank: number): number {
    return lengthAt(this.#data, rank)
  }

  #start(rank: number): number {
    return (this.#starts ??= startsOf(this.#data, this.rowCount))[rank]!
  }

  #bytes(row: number, stream: Uint8Array): Uint8Array {
    const rank = this.#rank(row)
    const start = this.#start(rank)
    return stream.subarray(start, start + this.#length(rank))
  }
}

/** What SQLite stores; `"text-raw"` is TEXT whose bytes are not valid UTF-8. */
export type StorageClass = "null" | "integer" | "real" | "text" | "blob" | "text-raw"

/** Integers of one width. */
export type IntArray = Int8Array | Int16Array | Int32Array | BigInt64Array

/** How a cell becomes a value. */
export interface CellOptions {
  readonly integers: IntegerPolicy
  readonly invalidText: "replace" | "bytes"
  readonly blobs: "copy" | "view"
}

/** `RowBatch` of the protocol. */
export class BatchData {
  rowCount = 0
  readonly columns: ColumnData[] = []
}

/** `ColumnData` of the protocol, field by field. */
export class ColumnData {
  uniform = 0
  classes = NO_BYTES
  intWidth = 0
  ints = NO_BYTES
  reals = NO_BYTES
  text = NO_BYTES
  blobs = NO_BYTES
  lenWidth = 0
  lens = NO_BYTES
}

/**
 * Proves that every stream has exactly the length its neighbours imply, so that readers need no
 * checks of their own. What stays for them is that text is UTF-8.
 */
export function checkBatch(batch: BatchData, columnCount: number): void {
  if (batch.columns.length !== columnCount) throw misfit(`${batch.columns.length} columns of data for ${columnCount} columns`)
  if (columnCount === 0 && batch.rowCount !== 0) throw misfit(`${batch.rowCount} rows without columns`)
  for (const column of batch.columns) checkColumn(column, batch.rowCount)
}

function checkColumn(column: ColumnData, rowCount: number): void {
  let ints = 0
  let reals = 0
  let lens = 0
  if (column.uniform !== 0) {
    if (column.classes.length !== 0) throw misfit("both uniform and classes are set")
    if (column.uniform > TEXT_RAW) throw misfit(`unknown storage class ${column.uniform}`)
    if (column.uniform === INTEGER) ints = rowCount
    else if (column.uniform === REAL) reals = rowCount
    else if (column.uniform >= TEXT) lens = rowCount
  } else {
    const classes = column.classes
    if (classes.length !== rowCount) throw misfit(`${classes.length} classes for ${rowCount} rows`)
    for (let row = 0; row < rowCount; row++) {
      const cls = classes[row]!
      if (cls === INTEGER) ints++
      else if (cls === REAL) reals++
      else if (cls >= TEXT && cls <= TEXT_RAW) lens++
      else if (cls !== NULL) throw misfit(`unknown storage class ${cls}`)
    }
  }
  checkStream("ints", column.ints, ints, column.intWidth, INT_WIDTHS)
  checkStream("reals", column.reals, reals, 8, REAL_WIDTHS)
  checkStream("lens", column.lens, lens, column.lenWidth, LEN_WIDTHS)

  let text = 0
  let blobs = 0
  if (column.uniform !== 0) {
    const total = sumOf(column, lens)
    if (column.uniform === TEXT) text = total
    else blobs = total
  } else {
    for (let row = 0, rank = 0; rank < lens; row++) {
      const cls = column.classes[row]!
      if (cls < TEXT) continue
      if (cls === TEXT) text += lengthAt(column, rank++)
      else blobs += lengthAt(column, rank++)
    }
  }
  if (text !== column.text.length) throw misfit(`${column.text.length} bytes of text, lengths say ${text}`)
  if (blobs !== column.blobs.length) throw misfit(`${column.blobs.length} bytes of blobs, lengths say ${blobs}`)
}

function checkStream(name: string, stream: Uint8Array, cells: number, width: number, widths: readonly number[]): void {
  if (cells === 0 ? stream.length === 0 : widths.includes(width) && stream.length === cells * width) return
  throw misfit(`${stream.length} bytes of ${name} for ${cells} cells of ${width}`)
}

/** The byte length of the `rank`th TEXT, BLOB or TEXT_RAW cell. */
export function lengthAt(column: ColumnData, rank: number): number {
  const lens = column.lens
  if (column.lenWidth === 1) return lens[rank]!
  if (column.lenWidth === 2) return lens[2 * rank]! | (lens[2 * rank + 1]! << 8)
  const at = 4 * rank
  return (lens[at]! | (lens[at + 1]! << 8) | (lens[at + 2]! << 16) | (lens[at + 3]! << 24)) >>> 0
}

/** The INTEGER cells as an array of their width; a copy only where the buffer's alignment asks for it. */
export function intArray(column: ColumnData): IntArray {
  const { buffer, byteOffset, length } = column.intWidth > 1 ? aligned(column.ints, column.intWidth) : column.ints
  switch (column.intWidth) {
    case 2:
      return new Int16Array(buffer, byteOffset, length / 2)
    case 4:
      return new Int32Array(buffer, byteOffset, length / 4)
    case 8:
      return new BigInt64Array(buffer, byteOffset, length / 8)
    default:
      return new Int8Array(buffer, byteOffset, length)
  }
}

/** The 64-bit INTEGER cells as pairs of low and high halves, which read four times faster than bigints. */
export function intHalves(column: ColumnData): Int32Array {
  const { buffer, byteOffset, length } = aligned(column.ints, 4)
  return new Int32Array(buffer, byteOffset, length / 4)
}

/** The REAL cells. */
export function realArray(column: ColumnData): Float64Array {
  const { buffer, byteOffset, length } = aligned(column.reals, 8)
  return new Float64Array(buffer, byteOffset, length / 8)
}

/** A 64-bit integer under the policy; `column` and `row` are for the error. */
export function wideInt(low: number, high: number, policy: IntegerPolicy, column: string, row: number): number | bigint | string {
  const value = high * 0x1_0000_0000 + (low >>> 0)
  if (Number.isSafeInteger(value)) return policy === "bigint" ? BigInt(value) : policy === "string" ? String(value) : value
  const exact = (BigInt(high) << 32n) | BigInt(low >>> 0)
  return applyPolicy(exact, policy, column, row)
}

/** An integer under the policy. */
export function applyPolicy(value: number | bigint, policy: IntegerPolicy, column: string, row?: number): number | bigint | string {
  if (policy === "bigint") return BigInt(value)
  if (policy === "string") return String(value)
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  if (policy === "auto") return BigInt(value)
  throw new EngineError(
    "INVALID",
    "INTEGER_UNSAFE",
    `${value} in ${column}${row === undefined ? "" : `, row ${row},`} is beyond what a number holds exactly; use integers: "auto", "bigint" or "string"`,
    { subject: column },
  )
}

/** Decodes UTF-8 and nothing else: broken bytes, a text cut inside a character, are a protocol error. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return STRICT.decode(bytes)
  } catch (cause) {
    throw malformed("BATCH_MALFORMED", "text that is not UTF-8", cause)
  }
}

function sumOf(column: ColumnData, lens: number): number {
  let sum = 0
  for (let rank = 0; rank < lens; rank++) sum += lengthAt(column, rank)
  return sum
}

function ranksOf(classes: Uint8Array): Uint32Array {
  const ranks = new Uint32Array(classes.length)
  let ints = 0
  let reals = 0
  let lens = 0
  for (let row = 0; row < classes.length; row++) {
    const cls = classes[row]!
    if (cls === INTEGER) ranks[row] = ints++
    else if (cls === REAL) ranks[row] = reals++
    else if (cls >= TEXT) ranks[row] = lens++
  }
  return ranks
}

/** Where each TEXT, BLOB and TEXT_RAW cell starts in its own stream. */
function startsOf(column: ColumnData, rowCount: number): Uint32Array {
  const starts = new Uint32Array(column.lenWidth === 0 ? 0 : column.lens.length / column.lenWidth)
  let text = 0
  let blobs = 0
  for (let row = 0, rank = 0; row < rowCount && rank < starts.length; row++) {
    const cls = column.uniform || column.classes[row]!
    if (cls < TEXT) continue
    if (cls === TEXT) {
      starts[rank] = text
      text += lengthAt(column, rank++)
    } else {
      starts[rank] = blobs
      blobs += lengthAt(column, rank++)
    }
  }
  return starts
}

/** Typed arrays need `byteOffset` to be a multiple of their width; the wire promises none. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice()
}

function misfit(message: string): EngineError {
  return malformed("BATCH_MALFORMED", message)
}

export const NULL = 1
export const INTEGER = 2
export const REAL = 3
export const TEXT = 4
export const BLOB = 5
export const TEXT_RAW = 6

/** Decodes text that is known to be broken. */
export const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true })

const CLASS_NAMES = [undefined, "null", "integer", "real", "text", "blob", "text-raw"] as const
const INT_WIDTHS = [1, 2, 4, 8]
const REAL_WIDTHS = [8]
const LEN_WIDTHS = [1, 2, 4]
const NO_BYTES: Uint8Array = new Uint8Array(0)
// A byte order mark at the start of a text belongs to the text.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
