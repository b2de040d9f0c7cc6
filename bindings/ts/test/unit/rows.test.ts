// The batch decoder: every width, class and policy, all row modes, and batches that do not fit themselves.

import assert from "node:assert/strict"
import { test } from "node:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { decodeExec, decodeMessage } from "../../src/codec.js"
import { checkBatch, ColumnBatch, type BatchData, type CellOptions } from "../../src/columns.js"
import { ColumnDataSchema, FrameSchema, RowBatchSchema, type ColumnData, type RowBatch } from "../../src/gen/engine_pb.js"
import { EngineError, type IntegerPolicy, type ResultColumn, type SqlValue } from "../../src/index.js"
import { decodeRows } from "../../src/rows.js"
import { rejects } from "../support/assert.js"
import { encodeBatch, type Cell } from "../support/batch.js"

const AUTO: CellOptions = { integers: "auto", invalidText: "replace", blobs: "copy" }
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER)
const MAX = 2n ** 63n - 1n

/** The batch as the package receives it: through a frame. `shift` moves every stream to odd offsets. */
function received(batch: RowBatch, shift = 0): BatchData {
  const frame = create(FrameSchema, { id: 1, body: { case: "response", value: { outcome: { case: "exec", value: { batch } } } } })
  const bytes = toBinary(FrameSchema, frame)
  const padding = shift === 0 ? [] : [0x9a, 0x06, shift - 1, ...new Uint8Array(shift - 1)]
  return decodeExec(decodeMessage({ v: 1, frame: new Uint8Array([...padding, ...bytes]).buffer })).batch!
}

function named(width: number): ResultColumn[] {
  return Array.from({ length: width }, (_, index) => ({ name: `c${index}` }))
}

/** What the protocol's table says a cell becomes. */
function expected(cell: Cell, options: CellOptions): SqlValue {
  if (typeof cell === "bigint") {
    if (options.integers === "bigint") return cell
    if (options.integers === "string") return String(cell)
    return cell >= -MAX_SAFE && cell <= MAX_SAFE ? Number(cell) : cell
  }
  if (typeof cell === "object" && cell !== null && "raw" in cell) {
    return options.invalidText === "bytes" ? cell.raw : new TextDecoder("utf-8", { ignoreBOM: true }).decode(cell.raw)
  }
  return cell
}

async function arrays(batch: RowBatch, width: number, options: CellOptions = AUTO, shift = 0): Promise<SqlValue[][]> {
  return (await decodeRows(received(batch, shift), named(width), "array", options)) as SqlValue[][]
}

test("the manual's example", async () => {
  const batch = create(RowBatchSchema, {
    rowCount: 3,
    columns: [
      { uniform: 2, intWidth: 2, ints: new Uint8Array([1, 0, 2, 0, 0x2c, 1]) },
      { classes: new Uint8Array([4, 1, 4]), text: new Uint8Array([0x61, 0xc3, 0xa9]), lenWidth: 1, lens: new Uint8Array([1, 2]) },
    ],
  })
  assert.deepEqual(await arrays(batch, 2), [[1, "a"], [2, null], [300, "é"]])
})

for (const width of [1, 2, 4, 8] as const) {
  const ints = [0n, 1n, -1n, 2n ** BigInt(8 * width - 1) - 1n, -(2n ** BigInt(8 * width - 1)), ...(width === 8 ? [MAX_SAFE, MAX_SAFE + 1n, -MAX_SAFE, -MAX_SAFE - 1n, 2n ** 32n, -(2n ** 32n), 2n ** 31n] : [])]
  for (const policy of ["auto", "bigint", "string"] as const) {
    test(`integers of ${width} bytes under "${policy}"`, async () => {
      for (const shift of [0, 3, 4, 5, 6, 7, 8, 9, 10]) {
        const options = { ...AUTO, integers: policy }
        const batch = encodeBatch(ints.map((int) => [int]), 1, { intWidth: width })
        const rows = await arrays(batch, 1, options, shift)
        assert.deepEqual(rows, ints.map((int) => [expected(int, options)]))
        const mixed = await arrays(encodeBatch([[null], ...ints.map((int) => [int] as Cell[]), [1.5]], 1, { intWidth: width }), 1, options, shift)
        assert.deepEqual(mixed, [[null], ...ints.map((int) => [expected(int, options)]), [1.5]])
      }
    })
  }
}

test('the policy "number" refuses what a number cannot hold, and says where', async () => {
  const options: CellOptions = { ...AUTO, integers: "number" }
  assert.deepEqual(await arrays(encodeBatch([[MAX_SAFE], [-MAX_SAFE]], 1), 1, options), [[Number(MAX_SAFE)], [-Number(MAX_SAFE)]])
  for (const unsafe of [MAX_SAFE + 1n, -MAX_SAFE - 1n, MAX, -MAX - 1n]) {
    const error = await rejects(arrays(encodeBatch([[1n, 1n], [2n, unsafe]], 2), 2, options), "INVALID/INTEGER_UNSAFE", { subject: "c1" })
    assert.match(error.message, /c1, row 1,/)
    const columns = new ColumnBatch(received(encodeBatch([[1n, 1n], [2n, unsafe]], 2)), named(2), options)
    assert.throws(() => columns.column("c1").value(1), EngineError)
  }
})

test("texts: empty, NUL, byte order mark, every length of character, cut where the lengths say", async () => {
  const texts = ["", "a\0b", "\ufeffx", "é", "€", "😀", "mixed ñ and 😀", "", "plain"]
  for (const neverUniform of [false, true]) {
    assert.deepEqual(await arrays(encodeBatch(texts.map((text) => [text]), 1, { neverUniform }), 1), texts.map((text) => [text]))
    const ascii = texts.filter((text) => /^[\0-\x7f]*$/.test(text))
    assert.deepEqual(await arrays(encodeBatch(ascii.map((text) => [text]), 1, { neverUniform }), 1), ascii.map((text) => [text]))
  }
})

test("text that is not UTF-8 is replaced, or its bytes are handed out when asked", async () => {
  const raw = { raw: new Uint8Array([0x61, 0xff, 0x62]) }
  const batch = encodeBatch([["ok", raw], [new Uint8Array([1]), raw], [raw, raw]], 2)
  assert.deepEqual(await arrays(batch, 2), [["ok", "a\ufffdb"], [new Uint8Array([1]), "a\ufffdb"], ["a\ufffdb", "a\ufffdb"]])
  assert.deepEqual((await arrays(batch, 2, { ...AUTO, invalidText: "bytes" }))[2], [raw.raw, raw.raw])
})

test("blobs in rows are copies, so that keeping one does not keep the batch", async () => {
  const [[blob]] = (await arrays(encodeBatch([[new Uint8Array([1, 2, 3])]], 1), 1)) as [[Uint8Array]]
  assert.deepEqual([...blob], [1, 2, 3])
  assert.equal(blob.buffer.byteLength, 3)
})

test("blobs may be views, for those who let go of them", async () => {
  const batch = received(encodeBatch([[new Uint8Array([1, 2, 3])], [new Uint8Array([4])]], 1))
  const rows = (await decodeRows(batch, named(1), "array", { ...AUTO, blobs: "view" })) as [Uint8Array][]
  assert.deepEqual(rows.map(([blob]) => [...blob]), [[1, 2, 3], [4]])
  assert.equal(rows[0]![0].buffer, rows[1]![0].buffer)
})

test("rows of a large result are plain objects like those of a small one", async () => {
  const rows = (await decodeRows(received(encodeBatch(Array.from({ length: 500 }, (_, index) => [BigInt(index), "a"]), 2)), named(2), "object", AUTO)) as object[]
  assert.deepEqual(rows[499], { c0: 499, c1: "a" })
  assert.equal(Object.getPrototypeOf(rows[499]), Object.prototype)
  assert.equal(rows[499]!.constructor, Object)
})

test("objects: the last of two columns with one name wins; no name is special", async () => {
  const batch = received(encodeBatch([[1n, 2n, 3n]], 3))
  const columns = [{ name: "a" }, { name: "a" }, { name: "__proto__" }]
  const [row] = (await decodeRows(batch, columns, "object", AUTO)) as [Record<string, unknown>]
  assert.deepEqual(Object.entries(row), [["a", 2], ["__proto__", 3]])
  assert.equal(Object.getPrototypeOf(row), Object.prototype)
})

test("wide rows and no rows", async () => {
  const wide = Array.from({ length: 2000 }, (_, index) => BigInt(index))
  assert.deepEqual(await arrays(encodeBatch([wide], 2000), 2000), [wide.map(Number)])
  assert.deepEqual(await arrays(encodeBatch([], 3), 3), [])
  assert.deepEqual(await arrays(create(RowBatchSchema, { rowCount: 0, columns: [] }), 0), [])
})

test("a large batch is decoded in slices, and other tasks run in between", async () => {
  const count = 200_000
  const ints = new Int32Array(count).map((_, index) => index)
  const column = { uniform: 2, intWidth: 4, ints: new Uint8Array(ints.buffer) }
  const batch = received(create(RowBatchSchema, { rowCount: count, columns: Array.from({ length: 12 }, () => column) }))
  let ticks = 0
  const timer = setInterval(() => ticks++, 0)
  const rows = (await decodeRows(batch, named(12), "object", AUTO)) as Record<string, number>[]
  clearInterval(timer)
  assert.equal(rows.length, count)
  for (const index of [0, 1, 4095, 4096, 100_001, count - 1]) assert.equal(rows[index]?.["c11"], index)
  assert.ok(ticks > 0, "the event loop had its turn")
})

// ---- columns ---------------------------------------------------------------

test("columns are typed arrays and single cells, mixed columns included", () => {
  const blob = new Uint8Array([9, 8])
  const rows: Cell[][] = [
    [1n, 1.5, "a", null, blob],
    [300n, -0, "é😀", 7n, 2n],
    [-2n, Infinity, "", "x", "yz"],
  ]
  for (const shift of [0, 3, 5]) {
    const batch = new ColumnBatch(received(encodeBatch(rows, 5), shift), named(5), AUTO)
    assert.equal(batch.rowCount, 3)
    const [ints, reals, texts, mixed, mixed2] = batch.columns as [ColumnBatch["columns"][0], ...ColumnBatch["columns"]]
    assert.deepEqual(ints.ints, new Int16Array([1, 300, -2]))
    assert.equal(ints.uniform, "integer")
    assert.deepEqual(reals!.reals, new Float64Array([1.5, -0, Infinity]))
    assert.deepEqual([0, 1, 2].map((row) => texts!.text(row)), ["a", "é😀", ""])
    assert.deepEqual([0, 1, 2].map((row) => mixed!.storageClass(row)), ["null", "integer", "text"])
    assert.equal(mixed!.uniform, undefined)
    assert.deepEqual([0, 1, 2].map((row) => mixed!.isNull(row)), [true, false, false])
    assert.deepEqual(mixed!.ints, new Int8Array([7]))
    assert.deepEqual([0, 1, 2].map((row) => mixed!.value(row)), [null, 7, "x"])
    assert.deepEqual([0, 1, 2].map((row) => mixed2!.value(row)), [blob, 2, "yz"])
    assert.deepEqual(mixed2!.blob(0), blob)
    assert.equal(mixed2!.blob(1), null)
    assert.equal(mixed2!.text(0), null)
    assert.throws(() => ints.value(3), RangeError)
    assert.throws(() => ints.value(-1), RangeError)
    assert.throws(() => batch.column("nope"), RangeError)
    assert.equal(batch.column("c2"), texts)
  }
})

test("64-bit columns are a BigInt64Array", () => {
  const batch = new ColumnBatch(received(encodeBatch([[MAX], [1n]], 1)), named(1), AUTO)
  assert.deepEqual(batch.columns[0]!.ints, new BigInt64Array([MAX, 1n]))
  assert.deepEqual([0, 1].map((row) => batch.columns[0]!.value(row)), [MAX, 1])
})

// ---- batches that do not fit -----------------------------------------------

const int3 = { uniform: 2, intWidth: 1, ints: new Uint8Array(3) }
const MISFITS: [name: string, rowCount: number, columns: readonly Partial<ColumnData>[], width?: number][] = [
  ["fewer columns than the result has", 3, [int3], 2],
  ["more columns than the result has", 3, [int3, int3], 1],
  ["rows without columns", 3, [], 0],
  ["too few integers", 4, [int3]],
  ["too many integers", 2, [int3]],
  ["integers of width 0", 3, [{ ...int3, intWidth: 0 }]],
  ["integers of width 3", 1, [{ ...int3, intWidth: 3 }]],
  ["integers nobody needs", 1, [{ uniform: 1, intWidth: 1, ints: new Uint8Array(1) }]],
  ["half a real", 1, [{ uniform: 3, reals: new Uint8Array(7) }]],
  ["no reals", 1, [{ uniform: 3 }]],
  ["class 0", 1, [{ classes: new Uint8Array([0]) }]],
  ["class 7", 1, [{ classes: new Uint8Array([7]) }]],
  ["uniform 7", 1, [{ uniform: 7 as never }]],
  ["too few classes", 2, [{ classes: new Uint8Array([1]) }]],
  ["uniform and classes", 1, [{ uniform: 1, classes: new Uint8Array([1]) }]],
  ["no classes at all", 1, [{}]],
  ["lengths beyond the text", 1, [{ uniform: 4, text: new Uint8Array(1), lenWidth: 1, lens: new Uint8Array([2]) }]],
  ["text beyond the lengths", 1, [{ uniform: 4, text: new Uint8Array(3), lenWidth: 1, lens: new Uint8Array([2]) }]],
  ["text in the stream of blobs", 1, [{ uniform: 4, blobs: new Uint8Array(2), lenWidth: 1, lens: new Uint8Array([2]) }]],
  ["too few lengths", 2, [{ uniform: 4, text: new Uint8Array(2), lenWidth: 1, lens: new Uint8Array([2]) }]],
  ["lengths of width 8", 1, [{ uniform: 4, lenWidth: 8, lens: new Uint8Array(8) }]],
  ["broken UTF-8", 1, [{ uniform: 4, text: new Uint8Array([0xff]), lenWidth: 1, lens: new Uint8Array([1]) }]],
  ["a text that ends inside a character", 2, [{ uniform: 4, text: new Uint8Array([0xc3, 0xa9]), lenWidth: 1, lens: new Uint8Array([1, 1]) }]],
]

for (const [name, rowCount, columns, width = columns.length] of MISFITS) {
  test(`${name}: BATCH_MALFORMED`, async () => {
    const batch = create(RowBatchSchema, { rowCount, columns: columns.map((column) => create(ColumnDataSchema, column as never)) })
    await rejects(arrays(batch, width), "PROTOCOL/BATCH_MALFORMED")
  })
}

// ---- any batch -------------------------------------------------------------

const cell: fc.Arbitrary<Cell> = fc.oneof(
  fc.constant(null),
  fc.bigInt(-(2n ** 63n), MAX),
  fc.bigInt(-200n, 200n),
  fc.double({ noNaN: true }),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.string({ unit: "binary-ascii", maxLength: 300 }),
  fc.uint8Array({ maxLength: 20 }),
  fc.uint8Array({ maxLength: 9 }).map((bytes) => ({ raw: new Uint8Array([...bytes, 0xff]) })),
)
const kinds: fc.Arbitrary<Cell>[] = [cell, fc.constant(null), fc.bigInt(-(2n ** 63n), MAX), fc.double({ noNaN: true }), fc.string({ unit: "binary", maxLength: 8 })]
const table = fc.array(fc.nat(kinds.length - 1), { minLength: 1, maxLength: 14 }).chain((columns) =>
  fc.record({
    rows: fc.array(fc.tuple(...columns.map((kind) => kinds[kind]!)), { maxLength: 30 }),
    width: fc.constant(columns.length),
    encode: fc.record({ intWidth: fc.constantFrom(1, 2, 4, 8), lenWidth: fc.constantFrom(1, 2, 4), neverUniform: fc.boolean() }),
    integers: fc.constantFrom<IntegerPolicy>("auto", "bigint", "string"),
    invalidText: fc.constantFrom<"replace" | "bytes">("replace", "bytes"),
    blobs: fc.constantFrom<"copy" | "view">("copy", "view"),
    shift: fc.constantFrom(0, 3, 4, 5, 6, 7),
  }),
)

test("any batch reads the same in every row mode", async () => {
  await fc.assert(
    fc.asyncProperty(table, async ({ rows, width, encode, integers, invalidText, blobs, shift }) => {
      const options: CellOptions = { integers, invalidText, blobs }
      const batch = received(encodeBatch(rows, width, encode as never), shift)
      const wanted = rows.map((row) => row.map((each) => expected(each, options)))
      assert.deepEqual(await decodeRows(batch, named(width), "array", options), wanted)
      assert.deepEqual(await decodeRows(batch, named(width), "object", options), wanted.map((row) => Object.fromEntries(row.map((each, index) => [`c${index}`, each]))))
      const columns = new ColumnBatch(batch, named(width), options).columns
      assert.deepEqual(rows.map((_, row) => columns.map((column) => column.value(row))), wanted)
    }),
    { numRuns: Number(process.env["FUZZ_RUNS"] ?? 300) },
  )
})

test("bytes that were tampered with decode, or are refused with an EngineError", async () => {
  const tampered = fc.record({ table, at: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), cut: fc.option(fc.nat(), { nil: undefined }) })
  await fc.assert(
    fc.asyncProperty(tampered, async ({ table: { rows, width, encode, integers }, at, cut }) => {
      const bytes = toBinary(RowBatchSchema, encodeBatch(rows, width, encode as never))
      for (const [position, byte] of at) if (bytes.length > 0) bytes[position % bytes.length] = byte
      const body = cut === undefined ? bytes : bytes.subarray(0, cut % (bytes.length + 1))
      try {
        const batch = readBatch(body)
        checkBatch(batch, batch.columns.length)
        // NULLs take no room, so a tampered count can ask for billions of them.
        if (batch.rowCount > 100_000) return
        const columns = named(batch.columns.length)
        await decodeRows(batch, columns, "object", { ...AUTO, integers })
        for (const column of new ColumnBatch(batch, columns, { ...AUTO, integers, invalidText: "bytes" }).columns) {
          for (let row = 0; row < batch.rowCount; row++) column.value(row)
        }
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
      }
    }),
    { numRuns: Number(process.env["FUZZ_RUNS"] ?? 2000) },
  )
})

/** The batch's bytes inside an answer whose own framing is intact. */
function readBatch(body: Uint8Array): BatchData {
  const length = (bytes: Uint8Array, tag: number) => {
    const size: number[] = []
    let rest = bytes.length
    for (; rest > 0x7f; rest >>>= 7) size.push((rest & 0x7f) | 0x80)
    return new Uint8Array([tag, ...size, rest, ...bytes])
  }
  return decodeExec(decodeMessage({ v: 1, frame: length(length(length(body, 0x12), 0x22), 0x22).buffer })).batch!
}

test("the tampering starts from what the generated code reads as well", () => {
  const batch = encodeBatch([[1n, "a"]], 2)
  assert.equal(readBatch(toBinary(RowBatchSchema, batch)).rowCount, fromBinary(RowBatchSchema, toBinary(RowBatchSchema, batch)).rowCount)
})
