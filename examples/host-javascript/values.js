// SQLite's values and JavaScript's: parameters to Value messages, row batches to cells. Nothing is lost on the way; what
// cannot be exact is an error.
import { LixError } from "./errors.js"

/**
 * @typedef {null | number | bigint | string | boolean | ArrayBuffer | ArrayBufferView} Param
 * @typedef {null | number | bigint | string | Uint8Array} Cell
 *
 * How 64-bit integers come back. "auto": number, and bigint beyond ±(2^53 - 1). "number": an error beyond that.
 * @typedef {"auto" | "number" | "bigint" | "string"} Integers
 */

/**
 * The members of an ExecRequest for a call's arguments: values by position, and if the first argument is a plain object,
 * it holds values by name.
 *
 * @param {readonly unknown[]} args
 * @param {Uint8Array[]} attachments  large blobs are added to it
 */
export function encodeParams(args, attachments) {
  const [first] = args
  const named = isPlainObject(first) ? Object.entries(first) : []
  const positional = isPlainObject(first) ? args.slice(1) : args
  return {
    params: Array.from(positional, (value, index) => encodeValue(value, String(index + 1), attachments)),
    named: named.map(([name, value]) => {
      if (!name.isWellFormed()) throw paramInvalid(name, "a parameter's name is not well-formed Unicode")
      return { name, value: encodeValue(value, name, attachments) }
    }),
  }
}

/**
 * The columns of a batch, each as a list of its cells.
 *
 * @param {import("./contract.js").RowBatch} batch
 * @param {number} width  how many columns the result has
 * @param {Integers} integers
 * @param {number} [before]  how many rows of the result came in earlier batches
 * @returns {Cell[][]}
 */
export function decodeBatch(batch, width, integers, before = 0) {
  if (batch.columns.length !== width || width === 0) {
    throw batchMalformed("", `a batch of ${batch.columns.length} columns for a result of ${width}`)
  }
  return batch.columns.map((column, index) => decodeColumn(column, batch.rowCount, index, integers, before))
}

/**
 * @param {bigint} value
 * @param {Integers} integers
 * @param {string} subject  what it is, for the error
 */
export function decodeInteger(value, integers, subject) {
  if (integers === "bigint") return value
  if (integers === "string") return String(value)
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  if (integers === "auto") return value
  throw new LixError("INVALID", "INTEGER_UNSAFE", `${value} is not exact as a number`, { subject })
}

/**
 * @param {unknown} value
 * @param {string} subject
 * @param {Uint8Array[]} attachments
 */
function encodeValue(value, subject, attachments) {
  return { kind: encodeKind(value, subject, attachments) }
}

/**
 * @param {unknown} value
 * @param {string} subject
 * @param {Uint8Array[]} attachments
 */
function encodeKind(value, subject, attachments) {
  if (value === null) return { case: "null", value: {} }
  switch (typeof value) {
    case "boolean":
      return { case: "integer", value: value ? 1n : 0n }
    case "number":
      if (Number.isNaN(value)) throw paramInvalid(subject, "SQLite has no NaN")
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) return { case: "integer", value: BigInt(value) }
      return { case: "real", value }
    case "bigint":
      if (BigInt.asIntN(64, value) !== value) throw paramInvalid(subject, `${value} does not fit 64 bits`)
      return { case: "integer", value }
    case "string":
      if (!value.isWellFormed()) throw paramInvalid(subject, "the text contains half of a surrogate pair")
      return { case: "text", value }
  }
  const bytes = asBytes(value)
  if (!bytes) throw paramInvalid(subject, `${describe(value)} is none of SQLite's values`)
  // A copy: the caller may go on writing into the buffer while the request waits to be sent.
  const blob = new Uint8Array(bytes)
  if (blob.length < BLOB_ATTACHMENT_BYTES) return { case: "blob", value: blob }
  return { case: "blobAttachment", value: attachments.push(blob) - 1 }
}

/**
 * @param {import("./contract.js").ColumnData} data
 * @param {number} rows
 * @param {number} index
 * @param {Integers} integers
 * @param {number} before
 */
function decodeColumn(data, rows, index, integers, before) {
  /** @type {(condition: unknown, what: string) => asserts condition} */
  const check = (condition, what) => {
    if (!condition) throw batchMalformed(String(index), `column ${index}: ${what}`)
  }
  check(data.classes.length === (data.uniform ? 0 : rows), "classes")
  const classAt = data.uniform ? () => data.uniform : (/** @type {number} */ row) => data.classes[row]
  const counts = new Array(CLASSES).fill(0)
  for (let row = 0; row < rows; row++) {
    const storageClass = classAt(row)
    check(storageClass > 0 && storageClass < CLASSES, `class ${storageClass}`)
    counts[storageClass]++
  }
  const lengths = counts[TEXT] + counts[BLOB] + counts[TEXT_RAW]
  check(!counts[INTEGER] || [1, 2, 4, 8].includes(data.intWidth), "int_width")
  check(!lengths || [1, 2, 4].includes(data.lenWidth), "len_width")
  check(data.ints.length === counts[INTEGER] * data.intWidth, "ints")
  check(data.reals.length === counts[REAL] * 8, "reals")
  check(data.lens.length === lengths * data.lenWidth, "lens")

  const ints = view(data.ints)
  const reals = view(data.reals)
  const lens = view(data.lens)
  // Where the length in bytes is the length in characters, all of it is ASCII and cells can be cut from one string.
  const whole = LENIENT.decode(data.text)
  const ascii = whole.length === data.text.length && !whole.includes("\uFFFD")
  const at = { int: 0, real: 0, len: 0, text: 0, blob: 0 }
  /** @type {(run: Uint8Array, key: "text" | "blob") => [number, number]} */
  const take = (run, key) => {
    const length = unsigned(lens, at.len++, data.lenWidth)
    const start = at[key]
    at[key] += length
    check(at[key] <= run.length, "lens go beyond their run")
    return [start, at[key]]
  }
  /** @type {Cell[]} */
  const cells = new Array(rows)
  for (let row = 0; row < rows; row++) {
    switch (classAt(row)) {
      case NULL:
        cells[row] = null
        break
      case INTEGER:
        cells[row] = integerAt(ints, at.int++, data.intWidth, integers, () => `${index}:${before + row}`)
        break
      case REAL:
        cells[row] = reals.getFloat64(8 * at.real++, true)
        break
      case TEXT: {
        const [start, end] = take(data.text, "text")
        cells[row] = ascii ? whole.slice(start, end) : strict(data.text.subarray(start, end), check)
        break
      }
      case BLOB:
        cells[row] = data.blobs.slice(...take(data.blobs, "blob"))
        break
      case TEXT_RAW:
        cells[row] = LENIENT.decode(data.blobs.subarray(...take(data.blobs, "blob")))
        break
    }
  }
  check(at.text === data.text.length, "text")
  check(at.blob === data.blobs.length, "blobs")
  return cells
}

/**
 * @param {DataView} ints
 * @param {number} index
 * @param {number} width
 * @param {Integers} integers
 * @param {() => string} subject
 */
function integerAt(ints, index, width, integers, subject) {
  if (width === 8) {
    const value = ints.getBigInt64(8 * index, true)
    return integers === "bigint" ? value : decodeInteger(value, integers, subject())
  }
  const value = width === 1 ? ints.getInt8(index) : width === 2 ? ints.getInt16(2 * index, true) : ints.getInt32(4 * index, true)
  return integers === "bigint" ? BigInt(value) : integers === "string" ? String(value) : value
}

/** @param {DataView} run @param {number} index @param {number} width */
function unsigned(run, index, width) {
  return width === 1 ? run.getUint8(index) : width === 2 ? run.getUint16(2 * index, true) : run.getUint32(4 * index, true)
}

/** @param {Uint8Array} bytes @param {(condition: unknown, what: string) => void} check */
function strict(bytes, check) {
  try {
    return STRICT.decode(bytes)
  } catch {
    check(false, "text is not UTF-8")
    return ""
  }
}

/** @param {Uint8Array} bytes */
function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The bytes of a buffer or a view, not copied. @param {unknown} value @returns {Uint8Array | undefined} */
export function asBytes(value) {
  if (value instanceof Uint8Array) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isPlainObject(value) {
  if (typeof value !== "object" || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** @param {unknown} value */
function describe(value) {
  return typeof value === "object" ? `a ${value?.constructor?.name ?? "object"}` : typeof value
}

/** @param {string} subject @param {string} message */
function paramInvalid(subject, message) {
  return new LixError("INVALID", "PARAM_INVALID", `parameter ${subject}: ${message}`, { subject })
}

/** @param {string} subject @param {string} message */
function batchMalformed(subject, message) {
  return new LixError("PROTOCOL", "BATCH_MALFORMED", message, { subject })
}

// A byte-order mark is text like any other.
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true })
const [NULL, INTEGER, REAL, TEXT, BLOB, TEXT_RAW, CLASSES] = [1, 2, 3, 4, 5, 6, 7]
const BLOB_ATTACHMENT_BYTES = 64 * 1024
