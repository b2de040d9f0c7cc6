// The hand-written half of the codec against the generated code.

import assert from "node:assert/strict"
import { test } from "node:test"
import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf"
import fc from "fast-check"
import { decodeExec, decodeExecBatch, decodeFetch, decodeMessage, encodeExec, encodeExecBatch, encodeFetch, type ExecBody } from "../../src/codec.js"
import type { BatchData } from "../../src/columns.js"
import { EngineError } from "../../src/errors.js"
import { FrameSchema, ValueSchema, type ExecRequestSchema, type ExecResponse, type RequestSchema, type RowBatch } from "../../src/gen/engine_pb.js"

const PLAIN = { cursor: false, batchRows: 0, batchBytes: 0, timeoutMs: 0, reportReads: false }

type Request = MessageInitShape<typeof RequestSchema>
type Call = NonNullable<Request["call"]>
type Exec = MessageInitShape<typeof ExecRequestSchema>

const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)
const text = fc.string({ unit: "binary", maxLength: 60 })
const bytes = fc.uint8Array({ maxLength: 300 })
const uint32 = fc.integer({ min: 1, max: 0xffff_ffff })

/** A value as a caller gives it, beside the message it must become. */
const value = fc.oneof(
  fc.constant([null, { kind: { case: "null", value: {} } }] as const),
  int64.map((each) => [each, { kind: { case: "integer", value: each } }] as const),
  fc.maxSafeInteger().map((each) => [each, { kind: { case: "integer", value: BigInt(each) } }] as const),
  fc.double({ noNaN: true }).filter((each) => !Number.isSafeInteger(each) || Object.is(each, -0)).map((each) => [each, { kind: { case: "real", value: each } }] as const),
  text.map((each) => [each, { kind: { case: "text", value: each } }] as const),
  bytes.map((each) => [each, { kind: { case: "blob", value: each } }] as const),
)

const statement = fc
  .record({ sql: text, positional: fc.array(value, { maxLength: 8 }), named: fc.dictionary(text.filter((name) => name !== "__proto__"), value, { maxKeys: 4, noNullPrototype: true }), isNamed: fc.boolean() })
  .map(({ sql, positional, named, isNamed }) => {
    const params = isNamed ? Object.fromEntries(Object.entries(named).map(([name, [given]]) => [name, given])) : positional.map(([given]) => given)
    const message: Exec = isNamed
      ? { sql, named: Object.keys(params).map((name) => ({ name, value: create(ValueSchema, named[name]![1] as never) })) }
      : { sql, params: positional.map(([, sent]) => create(ValueSchema, sent as never)) }
    return { sql, params, message }
  })

const options = fc.record({ cursor: fc.boolean(), batchRows: fc.option(uint32, { nil: 0 }), batchBytes: fc.option(uint32, { nil: 0 }), timeoutMs: fc.option(uint32, { nil: 0 }), reportReads: fc.boolean() })

function frameOf(id: number, call: Call): Uint8Array {
  return toBinary(FrameSchema, create(FrameSchema, { id, body: { case: "request", value: { call } } }))
}

function withOptions(message: Exec, { cursor, batchRows, batchBytes, timeoutMs, reportReads }: typeof PLAIN): Exec {
  return { ...message, rows: cursor ? 3 : 0, maxBatchRows: batchRows, maxBatchBytes: batchBytes, timeoutMs, reportReads }
}

test("requests are byte for byte what the generated code writes", () => {
  fc.assert(
    fc.property(uint32, statement, options, (id, { sql, params, message }, chosen) => {
      assert.deepEqual(new Uint8Array(encodeExec(id, sql, params, chosen).frame), frameOf(id, { case: "exec", value: withOptions(message, chosen) }))
    }),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(uint32, fc.array(statement, { maxLength: 5 }), options, fc.boolean(), (id, batch, chosen, goOn) => {
      const statements = batch.map(({ message }) => withOptions(message, chosen))
      assert.deepEqual(new Uint8Array(encodeExecBatch(id, batch, chosen, goOn).frame), frameOf(id, { case: "execBatch", value: { statements, onError: goOn ? 2 : 0 } }))
    }),
  )
  fc.assert(
    fc.property(uint32, uint32, (id, cursor) => {
      assert.deepEqual(new Uint8Array(encodeFetch(id, cursor).frame), frameOf(id, { case: "fetch", value: { cursor, credit: 1 } }))
    }),
  )
})

test("with attachments the fields come in another order and mean the same", () => {
  const big = new Uint8Array(70_000).fill(1)
  const { frame, attachments } = encodeExec(9, "insert into t values (?)", [big], PLAIN)
  const expected = create(FrameSchema, {
    id: 9,
    attachmentSizes: [70_000n],
    body: { case: "request", value: { call: { case: "exec", value: { sql: "insert into t values (?)", params: [{ kind: { case: "blobAttachment", value: 0 } }] } } } },
  })
  assert.deepEqual(fromBinary(FrameSchema, new Uint8Array(frame)), expected)
  assert.deepEqual(attachments?.map((each) => new Uint8Array(each)), [big])
})

test("a frame fills its buffer, so that nothing but itself is transferred", () => {
  for (const sql of ["", "select 1", "x".repeat(100_000), "x".repeat(2_000_000)]) {
    const { frame } = encodeExec(1, sql, undefined, PLAIN)
    assert.equal(frame.byteLength, frameOf(1, { case: "exec", value: { sql } }).byteLength)
  }
})

// ---- answers ---------------------------------------------------------------

const columnData = fc.record({
  uniform: fc.integer({ min: 0, max: 6 }), classes: bytes, intWidth: uint32, ints: bytes, reals: bytes, text: bytes, blobs: bytes, lenWidth: uint32, lens: bytes,
})
const rowBatch = fc.record({ rowCount: uint32, columns: fc.array(columnData, { maxLength: 4 }) })
const execResponse = fc.record(
  {
    columns: fc.array(fc.record({ name: text, declType: text }, { requiredKeys: ["name"] }), { maxLength: 5 }),
    batch: rowBatch,
    cursor: uint32,
    changes: fc.bigInt(0n, 2n ** 64n - 1n),
    lastInsertRowid: int64,
    reads: fc.record({ anyCommit: fc.boolean(), reads: fc.array(fc.record({ schemaKey: text, versionId: text, fileId: text, entityId: text }), { maxLength: 3 }) }),
  },
  { requiredKeys: ["columns"] },
)
const state = fc.record({ inTransaction: fc.boolean(), commitSeq: fc.bigInt(0n, 2n ** 53n), savedSeq: fc.bigInt(0n, 2n ** 53n) })

function answer(id: number, response: unknown): Uint8Array<ArrayBuffer> {
  return toBinary(FrameSchema, create(FrameSchema, { id, body: { case: "response", value: response as never } })).slice() as Uint8Array<ArrayBuffer>
}

function plainBatch(batch: BatchData | RowBatch | undefined): unknown {
  if (!batch) return undefined
  const columns = batch.columns.map(({ uniform, classes, intWidth, ints, reals, text, blobs, lenWidth, lens }) => ({
    uniform, classes: [...classes], intWidth, ints: [...ints], reals: [...reals], text: [...text], blobs: [...blobs], lenWidth, lens: [...lens],
  }))
  return { rowCount: batch.rowCount, columns }
}

function plainExec(body: ExecBody | ExecResponse): unknown {
  return {
    columns: body.columns.map(({ name, declType }) => ({ name, declType })),
    batch: plainBatch(body.batch),
    cursor: body.cursor,
    changes: body.changes === undefined ? undefined : BigInt(body.changes),
    lastInsertRowid: body.lastInsertRowid === undefined ? undefined : BigInt(body.lastInsertRowid),
    reads: body.reads && {
      anyCommit: body.reads.anyCommit,
      reads: body.reads.reads.map(({ schemaKey, versionId, fileId, entityId }) => ({ schemaKey, versionId, fileId, entityId })),
    },
  }
}

test("answers mean what the generated code reads", () => {
  fc.assert(
    fc.property(uint32, state, execResponse, (id, session, exec) => {
      const frame = answer(id, { state: session, outcome: { case: "exec", value: exec } })
      const incoming = decodeMessage({ v: 1, frame: frame.buffer })
      const generated = fromBinary(FrameSchema, frame).body.value as unknown as { outcome: { value: ExecResponse } }
      assert.equal(incoming.id, id)
      assert.deepEqual(incoming.state, { inTransaction: session.inTransaction, commitSeq: Number(session.commitSeq), savedSeq: Number(session.savedSeq) })
      assert.deepEqual(plainExec(decodeExec(incoming)), plainExec(generated.outcome.value))
    }),
    { numRuns: 300 },
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(execResponse, fc.record({ code: fc.integer({ min: 1, max: 12 }), reason: text })), { maxLength: 4 }), (items) => {
      const frame = answer(1, {
        outcome: { case: "execBatch", value: { items: items.map((item) => ("reason" in item ? { outcome: { case: "error", value: item } } : { outcome: { case: "ok", value: item } })) } },
      })
      const generated = fromBinary(FrameSchema, frame).body.value as unknown as { outcome: { value: { items: { outcome: { case: string; value: ExecResponse } }[] } } }
      const decoded = decodeExecBatch(decodeMessage({ v: 1, frame: frame.buffer }))
      assert.equal(decoded.length, items.length)
      for (const [index, item] of decoded.entries()) {
        const { outcome } = generated.outcome.value.items[index]!
        if (item instanceof EngineError) assert.equal(item.reason, (outcome.value as unknown as { reason: string }).reason)
        else assert.deepEqual(plainExec(item), plainExec(outcome.value))
      }
    }),
  )
  fc.assert(
    fc.property(fc.option(rowBatch, { nil: undefined }), fc.boolean(), (batch, done) => {
      const frame = answer(1, { outcome: { case: "fetch", value: { ...(batch && { batch }), done } } })
      const generated = fromBinary(FrameSchema, frame).body.value as unknown as { outcome: { value: { batch?: RowBatch; done: boolean } } }
      const decoded = decodeFetch(decodeMessage({ v: 1, frame: frame.buffer }))
      assert.deepEqual({ batch: plainBatch(decoded.batch), done: decoded.done }, { batch: plainBatch(generated.outcome.value.batch), done })
    }),
  )
})

test("fields of a newer engine are skipped, whatever their wire type", () => {
  const frame = answer(5, { state: { commitSeq: 3n }, outcome: { case: "exec", value: { columns: [{ name: "a" }], changes: 2n } } })
  // field 99 as varint, 64 bit, bytes and 32 bit, in front of everything else
  const unknown = [0x98, 0x06, 0x81, 0x01, 0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0x9a, 0x06, 2, 9, 9, 0x9d, 0x06, 1, 2, 3, 4]
  const incoming = decodeMessage({ v: 1, frame: new Uint8Array([...unknown, ...frame]).buffer })
  assert.equal(incoming.id, 5)
  assert.equal(incoming.state?.commitSeq, 3)
  assert.equal(decodeExec(incoming).changes, 2)
})

test("every prefix and every mutation of an answer decodes or is refused as malformed, nothing else", () => {
  const frame = answer(300, {
    state: { inTransaction: true, commitSeq: 300n, savedSeq: 1n },
    outcome: { case: "exec", value: { columns: [{ name: "a", declType: "text" }], batch: { rowCount: 2, columns: [{ uniform: 2, intWidth: 1, ints: new Uint8Array([1, 2]) }] }, changes: 1n, lastInsertRowid: -5n, reads: { reads: [{ schemaKey: "a" }] } } },
  })
  const check = (mutated: Uint8Array) => {
    try {
      const incoming = decodeMessage({ v: 1, frame: mutated.slice().buffer })
      if (incoming.outcome === 4) decodeExec(incoming)
      if (incoming.outcome === 5) decodeExecBatch(incoming)
      if (incoming.outcome === 6) decodeFetch(incoming)
    } catch (error) {
      assert.ok(error instanceof EngineError && error.reason === "FRAME_MALFORMED", String(error))
    }
  }
  for (let length = 0; length < frame.length; length++) check(frame.subarray(0, length))
  for (let at = 0; at < frame.length; at++) {
    for (const byte of [0, 1, 0x7f, 0x80, 0xff]) check(frame.with(at, byte))
  }
})
