// Every JavaScript type as a parameter: what is sent for it, or how it is refused before anything is sent.

import assert from "node:assert/strict"
import { test } from "node:test"
import { EngineError } from "../../src/index.js"
import type { Value } from "../../src/gen/engine_pb.js"
import { rejects } from "../support/assert.js"
import { openEngine } from "../support/scripted.js"

const MAX = 2n ** 63n - 1n

const ACCEPTED: [name: string, value: unknown, sent: Value["kind"]["case"], as: unknown][] = [
  ["null", null, "null", undefined],
  ["zero", 0, "integer", 0n],
  ["a small number", 7, "integer", 7n],
  ["a negative number", -1, "integer", -1n],
  ["the largest 32-bit number", 2 ** 31 - 1, "integer", 2n ** 31n - 1n],
  ["the smallest 32-bit number", -(2 ** 31), "integer", -(2n ** 31n)],
  ["one beyond 32 bits", 2 ** 31, "integer", 2n ** 31n],
  ["a date's milliseconds", 1_700_000_000_000, "integer", 1_700_000_000_000n],
  ["the largest safe integer", Number.MAX_SAFE_INTEGER, "integer", 2n ** 53n - 1n],
  ["the smallest safe integer", Number.MIN_SAFE_INTEGER, "integer", -(2n ** 53n) + 1n],
  ["2^53, no longer safe", 2 ** 53, "real", 2 ** 53],
  ["1e300", 1e300, "real", 1e300],
  ["a fraction", 1.5, "real", 1.5],
  ["minus zero", -0, "real", -0],
  ["infinity", Infinity, "real", Infinity],
  ["minus infinity", -Infinity, "real", -Infinity],
  ["a small bigint", 7n, "integer", 7n],
  ["the largest bigint", MAX, "integer", MAX],
  ["the smallest bigint", -MAX - 1n, "integer", -MAX - 1n],
  ["true", true, "integer", 1n],
  ["false", false, "integer", 0n],
  ["empty text", "", "text", ""],
  ["text with NUL", "a\0b", "text", "a\0b"],
  ["text with a byte order mark", "\ufeffa", "text", "\ufeffa"],
  ["text beyond the basic plane", "añ€😀".repeat(50), "text", "añ€😀".repeat(50)],
  ["empty bytes", new Uint8Array(0), "blob", []],
  ["bytes", new Uint8Array([1, 2]), "blob", [1, 2]],
  ["a view of a part", new Uint8Array([1, 2, 3, 4]).subarray(1, 3), "blob", [2, 3]],
  ["a buffer", new Uint8Array([5, 6]).buffer, "blob", [5, 6]],
  ["a data view", new DataView(new Uint8Array([1, 2, 3]).buffer, 1), "blob", [2, 3]],
  ["a wider view", new Uint16Array([0x0201]), "blob", [1, 2]],
]

for (const [name, value, sent, as] of ACCEPTED) {
  test(`${name} is sent as ${sent}`, async () => {
    const { engine, scripted } = await openEngine((request, scripted) => scripted.answer(request.id, { case: "exec", value: {} }))
    await engine.exec("select ?", [value])
    await engine.exec("select :v", { v: value })
    const [first, second] = scripted.calls("exec").map(({ call }) => (call.case === "exec" ? call.value : undefined))
    for (const kind of [first?.params[0]?.kind, second?.named[0]?.value?.kind]) {
      assert.equal(kind?.case, sent)
      if (sent === "blob") assert.deepEqual([...(kind!.value as Uint8Array)], as)
      else if (sent !== "null") assert.ok(Object.is(kind?.value, as), `${String(kind?.value)} for ${String(as)}`)
    }
    assert.equal(second?.named[0]?.name, "v")
  })
}

const detachedBuffer = new ArrayBuffer(8)
const detachedView = new Uint8Array(detachedBuffer)
structuredClone(detachedBuffer, { transfer: [detachedBuffer] })

const REFUSED: [name: string, value: unknown][] = [
  ["undefined", undefined],
  ["NaN", NaN],
  ["a lone surrogate", "a\ud800b"],
  ["2^63", MAX + 1n],
  ["below -2^63", -MAX - 2n],
  ["a date", new Date(0)],
  ["an object", { a: 1 }],
  ["an array", [1]],
  ["a map", new Map()],
  ["a symbol", Symbol("s")],
  ["a function", () => 1],
  ["a boxed number", Object(1)],
  ["a shared buffer", new SharedArrayBuffer(4)],
  ["a detached buffer", detachedBuffer],
  ["a view of a detached buffer", detachedView],
]

for (const [name, value] of REFUSED) {
  test(`${name} is refused before anything is sent`, async () => {
    const { engine, scripted } = await openEngine()
    await rejects(engine.exec("select ?, ?", [1, value]), "INVALID/PARAM_INVALID", { subject: "2", sql: "select ?, ?" })
    await rejects(engine.exec("select :v", { v: value }), "INVALID/PARAM_INVALID", { subject: "v" })
    await rejects(engine.execBatch([{ sql: "select 1" }, { sql: "select ?", params: [value] }]), "INVALID/PARAM_INVALID", {
      subject: "1",
      batchIndex: 1,
      sql: "select ?",
    })
    await rejects(engine.stream("select ?", [value]).batches().next(), "INVALID/PARAM_INVALID")
    assert.equal(scripted.seen.length, 1, "only init was sent")
  })
}

test("what is no list of parameters is refused", async () => {
  const { engine, scripted } = await openEngine()
  for (const params of [new Map(), new Date(), new Uint8Array(2), "text", 5]) {
    await rejects(engine.exec("select 1", params as never), "INVALID/PARAM_INVALID")
  }
  await rejects(engine.exec(5 as never), "INVALID/PARAM_INVALID", { subject: "sql" })
  await rejects(engine.exec("select '\udc00'"), "INVALID/PARAM_INVALID", { subject: "sql" })
  assert.equal(scripted.seen.length, 1)
})

test("a refused call leaves nothing behind in the next one", async () => {
  const { engine, scripted } = await openEngine((request, scripted) => scripted.answer(request.id, { case: "exec", value: {} }))
  await engine.exec("select ?", ["x".repeat(5000), undefined]).catch((error: unknown) => assert.ok(error instanceof EngineError))
  await engine.exec("select 2", [1])
  const call = scripted.seen.at(-1)!.call
  assert.equal(call.case === "exec" && call.value.sql, "select 2")
  assert.equal(call.case === "exec" && call.value.params.length, 1)
})

test("bytes from 64 KiB travel beside the frame, copied, sizes in the frame", async () => {
  const { engine, scripted } = await openEngine((request, scripted) => scripted.answer(request.id, { case: "exec", value: {} }))
  const just = new Uint8Array(65536).fill(3)
  const below = new Uint8Array(65535).fill(4)
  const part = new Uint8Array(100_000).fill(5).subarray(10, 90_000)
  await engine.exec("insert into t values (?, ?, ?)", [just, below, part])
  const { call, attachments, frame, transferred } = scripted.seen.at(-1)!
  assert.ok(call.case === "exec")
  assert.deepEqual(call.value.params.map(({ kind }) => kind.case), ["blobAttachment", "blob", "blobAttachment"])
  assert.deepEqual(call.value.params.map(({ kind }) => kind.value), [0, below, 1])
  assert.deepEqual(frame.attachmentSizes, [65536n, 89990n])
  assert.deepEqual(attachments.map((each) => new Uint8Array(each)), [just, new Uint8Array(part)])
  assert.equal(transferred.length, 3, "the frame and both attachments")
  assert.equal(just.byteLength, 65536, "a parameter stays its owner's")
  assert.equal(part.byteLength, 89_990)
})

test("attachments of a batch count through all its statements", async () => {
  const { engine, scripted } = await openEngine((request, scripted) => scripted.answer(request.id, { case: "execBatch", value: { items: [] } }))
  const big = new Uint8Array(70_000)
  await engine.execBatch([{ sql: "a", params: [big] }, { sql: "b", params: { x: big } }])
  const { call, attachments } = scripted.seen.at(-1)!
  assert.ok(call.case === "execBatch")
  assert.deepEqual(call.value.statements[0]?.params[0]?.kind, { case: "blobAttachment", value: 0 })
  assert.deepEqual(call.value.statements[1]?.named[0]?.value?.kind, { case: "blobAttachment", value: 1 })
  assert.equal(attachments.length, 2)
})
