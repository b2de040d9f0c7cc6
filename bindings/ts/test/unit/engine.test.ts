// The public engine over a scripted one: what it sends, and what it makes of the answers.

import assert from "node:assert/strict"
import { test } from "node:test"
import { createEngine, EngineError, type EngineEvents, type InitOptions, type IntegerPolicy } from "../../src/index.js"
import { ErrorCode, type EngineErrorSchema } from "../../src/gen/engine_pb.js"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { rejects, settled } from "../support/assert.js"
import { encodeBatch, type Cell } from "../support/batch.js"
import { opened, openEngine, ScriptedEngine, type Outcome } from "../support/scripted.js"

function rowsOf(rows: readonly (readonly Cell[])[], names: readonly string[], more: object = {}): Outcome {
  return { case: "exec", value: { columns: names.map((name) => ({ name })), batch: encodeBatch(rows, names.length), ...more } } as Outcome
}

const DONE: Outcome = { case: "exec", value: {} }
const STATE = { inTransaction: true, commitSeq: 7n, savedSeq: 5n }

// ---- init ------------------------------------------------------------------

test("before init every call is refused here, and nothing is sent", async () => {
  const scripted = opened()
  const engine = createEngine(scripted.port)
  for (const call of [() => engine.exec("select 1"), () => engine.execBatch([]), () => engine.export(), () => engine.stream("select 1").batches().next()]) {
    await rejects(call(), "LIFECYCLE/NOT_INITIALIZED")
  }
  assert.equal(scripted.seen.length, 0)
})

test("init sends its options and reads the answer", async () => {
  const scripted = opened(undefined, { schemaVersion: "9", capabilities: [3, 4, 11, 99 as never], restored: true })
  const engine = createEngine(scripted.port)
  const result = await engine.init({ path: "ignored in memory", events: ["commit", "log"], required: ["CURSORS"] })
  assert.deepEqual(result, {
    engineName: "scripted",
    engineVersion: "1.2.3",
    sqliteVersion: "3.0.0",
    schemaVersion: "9",
    capabilities: { persistence: "memory", announced: ["CURSORS", "NAMED_PARAMS", "MANUAL_CLOCK"] },
    limits: {
      maxFrameBytes: 2 ** 26, maxAttachmentBytes: 2 ** 30, maxSqlBytes: 2 ** 20, maxParams: 32766,
      maxBatchStatements: 10000, maxOpenCursors: 16, maxInflight: 1024, maxResultBytes: 2 ** 26,
    },
    restored: true,
  })
  const { call } = scripted.seen[0]!
  assert.ok(call.case === "init")
  assert.deepEqual(call.value.events?.kinds, [1, 4])
  assert.deepEqual(call.value.required, [3])
  assert.equal(call.value.storage?.kind, 1)
  assert.equal(call.value.seed.case, undefined)
  assert.notEqual(call.value.hostName, "")
})

test("storage other than memory goes out with its path, for the engine to decide", async () => {
  const scripted = opened()
  await createEngine(scripted.port).init({ storage: "opfs", path: "notes.db" })
  const { call } = scripted.seen[0]!
  assert.ok(call.case === "init")
  assert.deepEqual([call.value.storage?.kind, call.value.storage?.path], [2, "notes.db"])
})

test("a seed that is a whole buffer is transferred; a view of a part is copied", async () => {
  const bytes = new Uint8Array([1, 2, 3, 4])
  for (const [blob, gone, sent] of [
    [bytes.slice().buffer, true, [1, 2, 3, 4]],
    [bytes.slice(), true, [1, 2, 3, 4]],
    [bytes.slice().subarray(1, 3), false, [2, 3]],
  ] as const) {
    const scripted = opened()
    await createEngine(scripted.port).init({ blob })
    assert.equal(blob.byteLength === 0, gone)
    const { call, attachments } = scripted.seen[0]!
    assert.ok(call.case === "init")
    assert.deepEqual(call.value.seed, { case: "imageAttachment", value: 0 })
    assert.deepEqual([...new Uint8Array(attachments[0]!)], sent)
  }
})

test("options that mean nothing are refused before anything is sent, and init can be tried again", async () => {
  const scripted = opened()
  const engine = createEngine(scripted.port)
  for (const options of [{ storage: "disk" }, { events: ["commits"] }, { required: ["TELEPATHY"] }, { integers: "int" }, { blob: "bytes" }]) {
    await rejects(engine.init(options as never), "INVALID/OPTION_INVALID", { subject: Object.keys(options)[0] })
  }
  assert.equal(scripted.seen.length, 0)
  await engine.init()
  for (const options of [{ rowMode: "rows" }, { integers: "int" }, { invalidText: "x" }, { blobs: "x" }, { timeoutMs: 0 }, { timeoutMs: 1.5 }, { timeoutMs: 2 ** 32 }]) {
    await rejects(engine.exec("select 1", [], options as never), "INVALID/OPTION_INVALID", { subject: Object.keys(options)[0] })
  }
  await rejects(engine.stream("select 1", [], { batchRows: -1 }).batches().next(), "INVALID/OPTION_INVALID", { subject: "batchRows" })
  await rejects(engine.execBatch([], { onError: "ignore" as never }), "INVALID/OPTION_INVALID", { subject: "onError" })
  assert.throws(() => engine.on("commits" as never, () => {}), EngineError)
})

test("a second init is refused here and takes no blob", async () => {
  const { engine, scripted } = await openEngine()
  const blob = new ArrayBuffer(4)
  await rejects(engine.init({ blob }), "LIFECYCLE/ALREADY_INITIALIZED")
  assert.equal(blob.byteLength, 4)
  assert.equal(scripted.seen.length, 1)
})

test("after a failed init it may be tried again; calls made meanwhile get the engine's answer", async () => {
  let attempts = 0
  const scripted: ScriptedEngine = new ScriptedEngine(({ id, call }) => {
    if (call.case === "init" && attempts++ > 0) scripted.answer(id, { case: "init", value: {} })
    else if (call.case === "exec") scripted.answer(id, { case: "error", value: { code: ErrorCode.LIFECYCLE, reason: "NOT_INITIALIZED" } })
  })
  const engine = createEngine(scripted.port)
  const init = engine.init({ blob: new ArrayBuffer(3) })
  const early = engine.exec("select 1")
  scripted.answer(1, { case: "error", value: { code: ErrorCode.CORRUPT, reason: "IMAGE_INVALID" } })
  await rejects(init, "CORRUPT/IMAGE_INVALID")
  await rejects(early, "LIFECYCLE/NOT_INITIALIZED")
  await rejects(engine.exec("select 1"), "LIFECYCLE/NOT_INITIALIZED")
  await engine.init()
})

// ---- exec ------------------------------------------------------------------

test("exec is one message each way, its buffer detached, its answer rows and state", async () => {
  let received = 0
  const { engine, scripted } = await openEngine(({ id }, scripted) => {
    received++
    scripted.answer(id, rowsOf([[1n, "a"], [2n, null]], ["id", "name"], { changes: 2n, lastInsertRowid: 2n }), { state: STATE })
  })
  const result = await engine.exec("insert into t values (?) returning *", ["a"])
  assert.deepEqual(result, {
    rows: [{ id: 1, name: "a" }, { id: 2, name: null }],
    columns: [{ name: "id" }, { name: "name" }],
    changes: 2,
    lastInsertRowid: 2,
    state: { inTransaction: true, commitSeq: 7, savedSeq: 5 },
  })
  assert.deepEqual(engine.state, result.state)
  assert.equal(received, 1)
  assert.equal(scripted.seen.length, 2, "init and one exec")
  assert.equal(scripted.seen[1]!.transferred.length, 1)
  assert.equal((scripted.seen[1]!.transferred[0] as ArrayBuffer).byteLength, 0, "gone for the sender")
})

test("a statement without rows has none, and absent numbers stay absent", async () => {
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE))
  const result = await engine.exec("begin")
  assert.equal(result.rows.length, 0)
  assert.equal("changes" in result, false)
  assert.equal("lastInsertRowid" in result, false)
  result.rows.push({ mine: 1 })
  assert.deepEqual((await engine.exec("begin")).rows, [], "results do not share their rows")
})

test("row modes", async () => {
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, rowsOf([[1n, 1.5]], ["a", "b"])))
  assert.deepEqual((await engine.exec("select")).rows, [{ a: 1, b: 1.5 }])
  assert.deepEqual((await engine.exec("select", [], { rowMode: "array" })).rows, [[1, 1.5]])
  const { batch, columns } = await engine.exec("select", [], { rowMode: "columns" })
  assert.deepEqual(columns.map(({ name }) => name), ["a", "b"])
  assert.deepEqual(batch.column("a").ints, new Int8Array([1]))
  assert.deepEqual(batch.column("b").reals, new Float64Array([1.5]))
})

for (const [policy, small, large] of [["auto", 5, 2n ** 60n], ["bigint", 5n, 2n ** 60n], ["string", "5", String(2n ** 60n)]] as const) {
  test(`integers: "${policy}" holds for cells, changes and rowids, from init as from the call`, async () => {
    const script = ({ id, call }: { id: number; call: { case?: string | undefined } }, scripted: ScriptedEngine) =>
      scripted.answer(id, call.case === "close" ? { case: "close", value: {} } : rowsOf([[5n, 2n ** 60n]], ["a", "b"], { changes: 5n, lastInsertRowid: 2n ** 60n }))
    const scripted = opened(script)
    const byInit = createEngine(scripted.port)
    await byInit.init({ integers: policy })
    const { engine: byCall } = await openEngine(script)
    for (const result of [await byInit.exec("x"), await byCall.exec("x", [], { integers: policy })]) {
      assert.deepEqual(result.rows, [{ a: small, b: large }])
      assert.equal(result.changes, small)
      assert.equal(result.lastInsertRowid, large)
    }
  })
}

test('integers: "number" rejects for cells and for rowids, and the session goes on', async () => {
  const answers = [rowsOf([[2n ** 53n]], ["big"]), { case: "exec", value: { lastInsertRowid: -(2n ** 60n) } } as Outcome, DONE]
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, answers.shift()!, { state: STATE }))
  const options = { integers: "number" as IntegerPolicy }
  const error = await rejects(engine.exec("select", [], options as { integers: "number" }), "INVALID/INTEGER_UNSAFE", { subject: "big", sql: "select" })
  assert.equal(error.state?.inTransaction, true, "the statement ran; its state is known")
  await rejects(engine.exec("insert", [], options as { integers: "number" }), "INVALID/INTEGER_UNSAFE", { subject: "lastInsertRowid" })
  await engine.exec("select 1")
})

test("an error carries every field of the wire, the SQL and the state", async () => {
  const wire: MessageInitShape<typeof EngineErrorSchema> = {
    code: ErrorCode.CONSTRAINT, reason: "UNIQUE", message: "UNIQUE constraint failed: t.a", sqliteCode: 19, sqliteExtendedCode: 2067,
    sqlOffset: 0, batchIndex: 3, subject: "t.a", detail: "d", retryable: true,
  }
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "error", value: wire }, { state: STATE }))
  const error = await rejects(engine.exec("insert into t values (1)"), "CONSTRAINT/UNIQUE", {
    sqliteCode: 19, sqliteExtendedCode: 2067, sqlOffset: 0, batchIndex: 3, subject: "t.a", detail: "d", retryable: true,
    sql: "insert into t values (1)", state: { inTransaction: true, commitSeq: 7, savedSeq: 5 },
  })
  assert.equal(error.message, wire.message)
  assert.equal(error.name, "EngineError")
  assert.ok(error instanceof Error && error.stack)
  assert.equal(engine.state.inTransaction, true)
})

test("every error code has its name; one of a newer engine reads as INTERNAL and keeps its reason", async () => {
  let code = 0
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "error", value: { code, reason: "R" } }))
  for (code of Object.values(ErrorCode).filter((each) => typeof each === "number" && each > 0) as number[]) {
    await rejects(engine.exec("x"), `${ErrorCode[code]}/R`)
  }
  code = 4711
  await rejects(engine.exec("x"), "INTERNAL/R")
})

test("timeouts travel with the request", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE))
  await engine.exec("select 1", [], { timeoutMs: 250 })
  const { call } = scripted.seen.at(-1)!
  assert.equal(call.case === "exec" && call.value.timeoutMs, 250)
})

test("a large result is decoded in slices while other answers come in", async () => {
  const rows = 60_000
  const column = { uniform: 2, intWidth: 4, ints: new Uint8Array(4 * rows) }
  const { engine, scripted } = await openEngine()
  const large = engine.exec("large")
  const small = engine.exec("small")
  const columns = Array.from({ length: 40 }, (_, index) => ({ name: `c${index}` }))
  scripted.answer(scripted.seen[1]!.id, { case: "exec", value: { columns, batch: { rowCount: rows, columns: columns.map(() => column) } } })
  let done = false
  void large.then(() => (done = true))
  scripted.answer(scripted.seen[2]!.id, DONE)
  await small
  assert.equal(done, false)
  assert.equal((await large).rows.length, rows)
})

test("a batch of rows that does not fit rejects its call; the session goes on", async () => {
  const answers: Outcome[] = [{ case: "exec", value: { columns: [{ name: "a" }], batch: { rowCount: 2, columns: [{ uniform: 2, intWidth: 1, ints: new Uint8Array(1) }] } } }, DONE]
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, answers.shift()!))
  await rejects(engine.exec("select a"), "PROTOCOL/BATCH_MALFORMED", { sql: "select a" })
  await engine.exec("select 1")
})

test("an answer of the wrong kind, or of none, rejects its call as malformed", async () => {
  const answers: Outcome[] = [{ case: "close", value: {} }, { case: undefined }]
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, answers.shift()!))
  await rejects(engine.exec("x"), "PROTOCOL/FRAME_MALFORMED")
  await rejects(engine.exec("x"), "PROTOCOL/FRAME_MALFORMED")
})

// ---- capabilities ----------------------------------------------------------

test("what the engine did not announce is refused here", async () => {
  const { engine, scripted } = await openEngine(undefined, { capabilities: [] })
  await rejects(engine.stream("select 1").batches().next(), "UNIMPLEMENTED/CAPABILITY_MISSING", { subject: "CURSORS" })
  await rejects(engine.exec("select :a", { a: 1 }), "UNIMPLEMENTED/CAPABILITY_MISSING", { subject: "NAMED_PARAMS" })
  await rejects(engine.execBatch([{ sql: "select :a", params: { a: 1 } }]), "UNIMPLEMENTED/CAPABILITY_MISSING", { subject: "NAMED_PARAMS" })
  assert.equal(scripted.seen.length, 1)
})

// ---- execBatch -------------------------------------------------------------

test("a batch is one message each way; its results are in order", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => {
    scripted.answer(id, { case: "execBatch", value: { items: [{ outcome: rename(DONE) }, { outcome: rename(rowsOf([[1n]], ["a"], { changes: 1n })) }] } } as Outcome, { state: STATE })
  })
  const { results } = await engine.execBatch([{ sql: "begin" }, { sql: "select ?", params: [1] }])
  assert.equal(scripted.seen.length, 2)
  assert.deepEqual(results.map(({ rows }) => rows), [[], [{ a: 1 }]])
  assert.equal(results[1]?.changes, 1)
  assert.equal(results[1]?.state.commitSeq, 7)
  const { call } = scripted.seen[1]!
  assert.ok(call.case === "execBatch")
  assert.deepEqual(call.value.statements.map(({ sql }) => sql), ["begin", "select ?"])
  assert.equal(call.value.onError, 0)
})

test("a failing statement ends the batch: its error, its index, its SQL, the results so far", async () => {
  const { engine } = await openEngine(({ id }, scripted) => {
    scripted.answer(id, {
      case: "execBatch",
      value: { items: [{ outcome: rename(rowsOf([[1n]], ["a"])) }, { outcome: { case: "error", value: { code: ErrorCode.INVALID, reason: "SQL_SYNTAX", batchIndex: 1 } } }] },
    } as Outcome, { state: STATE })
  })
  const error = await rejects(engine.execBatch([{ sql: "one" }, { sql: "two" }, { sql: "three" }]), "INVALID/SQL_SYNTAX", { batchIndex: 1, sql: "two" })
  assert.equal(error.results?.length, 1)
  assert.deepEqual((error.results[0] as { rows: unknown }).rows, [{ a: 1 }])
  assert.equal(error.state?.inTransaction, true)
})

test('onError "continue" puts errors in their places', async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => {
    scripted.answer(id, { case: "execBatch", value: { items: [{ outcome: { case: "error", value: { code: ErrorCode.INVALID, reason: "SQL_SYNTAX" } } }, { outcome: rename(DONE) }] } } as Outcome)
  })
  const { results } = await engine.execBatch([{ sql: "one" }, { sql: "two" }], { onError: "continue" })
  assert.ok(results[0] instanceof EngineError && results[0].sql === "one" && results[0].batchIndex === 0)
  assert.ok(!(results[1] instanceof EngineError))
  const { call } = scripted.seen[1]!
  assert.ok(call.case === "execBatch" && call.value.onError === 2)
})

test("a batch that is refused as a whole rejects without results", async () => {
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "error", value: { code: ErrorCode.LIMIT, reason: "LIMIT_EXCEEDED", subject: "max_batch_statements" } }))
  const error = await rejects(engine.execBatch([{ sql: "x" }]), "LIMIT/LIMIT_EXCEEDED", { subject: "max_batch_statements" })
  assert.equal(error.results, undefined)
})

// ---- stream ----------------------------------------------------------------

/** A cursor over `batches`, one per fetch. */
function cursorScript(batches: (readonly (readonly Cell[])[])[]) {
  const rest = [...batches]
  return ({ id, call }: { id: number; call: { case?: string | undefined } }, scripted: ScriptedEngine) => {
    if (call.case === "exec") {
      const first = rest.shift()!
      scripted.answer(id, rowsOf(first, ["n"], rest.length > 0 ? { cursor: 5 } : {}))
    } else if (call.case === "fetch") {
      const batch = rest.shift() ?? []
      scripted.answer(id, { case: "fetch", value: { batch: encodeBatch(batch, 1), done: rest.length === 0 } })
    } else scripted.answer(id, { case: "closeCursor", value: {} })
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

test("a stream reads row by row or batch by batch, in every mode", async () => {
  const batches = [[[1n], [2n]], [[3n]], [[4n], [5n]]]
  const open = () => openEngine(cursorScript(batches))
  assert.deepEqual(await collect((await open()).engine.stream("select n")), [1, 2, 3, 4, 5].map((n) => ({ n })))
  assert.deepEqual(await collect((await open()).engine.stream("select n", [], { rowMode: "array" })), [[1], [2], [3], [4], [5]])
  assert.deepEqual(await collect((await open()).engine.stream("select n").batches()), [[{ n: 1 }, { n: 2 }], [{ n: 3 }], [{ n: 4 }, { n: 5 }]])
  const columns = await collect((await open()).engine.stream("select n", [], { rowMode: "columns" }).batches())
  assert.deepEqual(columns.map((batch) => [...batch.column("n").ints]), [[1, 2], [3], [4, 5]])
  const { engine } = await open()
  assert.throws(() => engine.stream("select n", [], { rowMode: "columns" })[Symbol.asyncIterator](), EngineError)
})

test("a stream sends nothing before it is read, and asks with credit 1", async () => {
  const { engine, scripted } = await openEngine(cursorScript([[[1n]], [[2n]]]))
  const stream = engine.stream("select n", [1], { batchRows: 10, batchBytes: 2000, timeoutMs: 9 })
  await settled()
  assert.equal(scripted.seen.length, 1)
  await collect(stream)
  const [, exec, fetch] = scripted.seen
  assert.ok(exec?.call.case === "exec" && fetch?.call.case === "fetch")
  assert.deepEqual([exec.call.value.rows, exec.call.value.maxBatchRows, exec.call.value.maxBatchBytes, exec.call.value.timeoutMs], [3, 10, 2000, 9])
  assert.deepEqual([fetch.call.value.cursor, fetch.call.value.credit], [5, 1])
  assert.equal(scripted.calls("closeCursor").length, 0, "a cursor that is read to its end closes itself")
})

test("at most one batch is fetched ahead of the reader", async () => {
  const { engine, scripted } = await openEngine(cursorScript(Array.from({ length: 10 }, (_, index) => [[BigInt(index)]])))
  const reader = engine.stream("select n")[Symbol.asyncIterator]()
  await reader.next()
  await settled()
  assert.equal(scripted.calls("fetch").length, 1)
  await reader.next()
  await settled()
  assert.equal(scripted.calls("fetch").length, 2)
  await reader.return?.()
})

test("leaving early closes the cursor, by break, by throw and by return", async () => {
  for (const leave of ["break", "throw", "return"]) {
    const { engine, scripted } = await openEngine(cursorScript([[[1n]], [[2n]], [[3n]]]))
    const stream = engine.stream("select n")
    if (leave === "return") {
      const reader = stream[Symbol.asyncIterator]()
      await reader.next()
      await reader.return?.()
      assert.deepEqual(await reader.next(), { done: true, value: undefined })
    } else {
      await assert.doesNotReject(async () => {
        try {
          for await (const _ of stream) {
            if (leave === "break") break
            throw new Error("mine")
          }
        } catch (error) {
          assert.equal((error as Error).message, "mine")
        }
      })
    }
    const [close] = scripted.calls("closeCursor")
    assert.ok(close?.call.case === "closeCursor" && close.call.value.cursor === 5)
  }
})

test("an error in the middle comes after the rows before it, and rejects once", async () => {
  const { engine } = await openEngine(({ id, call }, scripted) => {
    if (call.case === "exec") scripted.answer(id, rowsOf([[1n], [2n]], ["n"], { cursor: 5 }))
    else if (call.case === "fetch") scripted.answer(id, { case: "error", value: { code: ErrorCode.TRANSACTION, reason: "CURSOR_INVALIDATED" } })
    else scripted.answer(id, { case: "closeCursor", value: {} })
  })
  const reader = engine.stream("select n")[Symbol.asyncIterator]()
  assert.deepEqual(await reader.next(), { done: false, value: { n: 1 } })
  assert.deepEqual(await reader.next(), { done: false, value: { n: 2 } })
  await rejects(reader.next(), "TRANSACTION/CURSOR_INVALIDATED", { sql: "select n" })
  assert.deepEqual(await reader.next(), { done: true, value: undefined })
})

test("rows asked for all at once come in order", async () => {
  const { engine } = await openEngine(cursorScript([[[1n]], [[2n], [3n]], [[4n]]]))
  const reader = engine.stream("select n")[Symbol.asyncIterator]()
  const results = await Promise.all(Array.from({ length: 6 }, () => reader.next()))
  assert.deepEqual(results.map(({ value }) => (value as { n: number } | undefined)?.n), [1, 2, 3, 4, undefined, undefined])
})

test("an empty result is an empty stream", async () => {
  const { engine } = await openEngine(cursorScript([[]]))
  assert.deepEqual(await collect(engine.stream("select n")), [])
  assert.deepEqual(await collect((await openEngine(cursorScript([[]]))).engine.stream("select n").batches()), [])
})

test("a signal ends a stream and closes its cursor", async () => {
  const { engine, scripted } = await openEngine(cursorScript([[[1n]], [[2n]], [[3n]]]))
  const abort = new AbortController()
  const reader = engine.stream("select n", [], { signal: abort.signal })[Symbol.asyncIterator]()
  await reader.next()
  abort.abort()
  await reader.next()
  await rejects(reader.next(), "INTERRUPTED/CANCELLED")
  assert.equal(scripted.calls("closeCursor").length, 1)
})

// ---- export ----------------------------------------------------------------

test("export hands out the attachment itself", async () => {
  const image = new Uint8Array([1, 2, 3]).buffer
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "export", value: { imageAttachment: 0, commitSeq: 4n } }, { attachments: [image] }))
  assert.deepEqual(await engine.export(), image)
})

test("an export whose attachment is missing or of another length is refused", async () => {
  const { engine } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "export", value: { imageAttachment: 1 } }, { attachments: [new ArrayBuffer(2)] }))
  await rejects(engine.export(), "PROTOCOL/ATTACHMENT_MISMATCH")
  const other = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "export", value: {} }, { attachments: [new ArrayBuffer(2)], sizes: [3n] }))
  await rejects(other.engine.export(), "PROTOCOL/ATTACHMENT_MISMATCH")
  await rejects(other.engine.export(), "PROTOCOL/ATTACHMENT_MISMATCH")
})

// ---- events ----------------------------------------------------------------

test("events reach their listeners until they stop listening", async () => {
  const { engine, scripted } = await openEngine()
  const seen: unknown[] = []
  const stops = (["commit", "autosave", "plugin", "log"] as const).map((kind) => engine.on(kind, (event: EngineEvents[typeof kind]) => seen.push([kind, event])))
  const error = { code: ErrorCode.STORAGE, reason: "STORAGE_QUOTA" }
  scripted.event({ seq: 1n, kind: { case: "commit", value: { commitSeq: 3n } } })
  scripted.event({ seq: 2n, kind: { case: "autosave", value: { phase: 4, commitSeq: 3n, bytes: 10n, error } } })
  scripted.event({ seq: 3n, kind: { case: "plugin", value: { pluginKey: "k", error } } })
  scripted.event({ seq: 4n, kind: { case: "log", value: { level: 3, text: "careful" } } })
  const [commit, autosave, plugin, log] = seen as [string, { error?: EngineError }][]
  assert.deepEqual(commit, ["commit", { seq: 1, commitSeq: 3 }])
  assert.equal(autosave![1].error?.reason, "STORAGE_QUOTA")
  assert.deepEqual({ ...autosave![1], error: undefined }, { seq: 2, phase: "failed", commitSeq: 3, bytes: 10, error: undefined })
  assert.equal(plugin![1].error?.code, "STORAGE")
  assert.deepEqual(log, ["log", { seq: 4, level: "warn", text: "careful" }])
  for (const stop of stops) stop()
  scripted.event({ seq: 5n, kind: { case: "commit", value: { commitSeq: 4n } } })
  assert.equal(seen.length, 4)
})

test("events of an unknown kind or phase are ignored", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE))
  engine.on("autosave", () => assert.fail("nothing it knows"))
  scripted.event({ seq: 1n, kind: { case: undefined } })
  scripted.event({ seq: 2n, kind: { case: "autosave", value: { phase: 77 as never } } })
  // Frame { event { seq: 3, field 15: bytes } }
  scripted.send(new Uint8Array([0x2a, 5, 0x08, 3, 0x7a, 1, 0]))
  await engine.exec("select 1")
})

test("a listener that throws is reported, and disturbs nobody", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE))
  const { queueMicrotask } = globalThis
  let report!: () => void
  globalThis.queueMicrotask = (thrower) => (report = thrower)
  let second = 0
  engine.on("commit", () => {
    throw new Error("mine")
  })
  engine.on("commit", () => second++)
  scripted.event({ seq: 1n, kind: { case: "commit", value: { commitSeq: 1n } } })
  globalThis.queueMicrotask = queueMicrotask
  assert.equal(second, 1)
  assert.throws(report, /mine/)
  await engine.exec("select 1")
})

function rename(outcome: Outcome): unknown {
  return { case: "ok", value: outcome.value }
}

test("commit events list what changed, as asked", async () => {
  const names = ["id", "entity_id", "commit_id", "untracked", "snapshot_content"]
  const { engine, scripted } = await openEngine()
  const seen: EngineEvents["commit"][] = []
  engine.on("commit", (event) => seen.push(event))
  const list = (rows: readonly (readonly Cell[])[], truncated = false) => ({
    commitSeq: 3n, columns: names.map((name) => ({ name })), changes: encodeBatch(rows, names.length), truncated,
  })
  scripted.event({ seq: 1n, kind: { case: "commit", value: list([["c1", "a", "k", 0n, '{"key":"a","value":[1]}'], ["untracked", "b", null, 1n, null]]) } })
  scripted.event({ seq: 2n, kind: { case: "commit", value: list([], true) } })
  assert.deepEqual(seen[0]!.changes, [
    { id: "c1", entity_id: "a", commit_id: "k", untracked: 0, snapshot_content: { key: "a", value: [1] } },
    { id: "untracked", entity_id: "b", commit_id: null, untracked: 1, snapshot_content: null },
  ])
  assert.equal(seen[0]!.truncated, false)
  assert.equal(seen[0]!.changes, seen[0]!.changes)
  assert.deepEqual({ ...seen[1] }, { seq: 2, commitSeq: 3, changes: [], truncated: true, anyRead: false })
})

test("init asks for a lix and for details", async () => {
  const asked = async (options: InitOptions) => {
    const scripted = opened()
    await createEngine(scripted.port).init(options)
    const call = scripted.seen[0]!.call
    assert.ok(call.case === "init")
    return { lix: call.value.lix, detail: call.value.events?.commitDetail }
  }
  assert.deepEqual(await asked({}), { lix: undefined, detail: 0 })
  assert.deepEqual(await asked({ lix: false, commitDetail: "summary" }), { lix: undefined, detail: 1 })
  assert.deepEqual((await asked({ lix: true, commitDetail: "values" })).lix?.keyValues, [])
  assert.equal((await asked({ lix: {}, commitDetail: "keys" })).detail, 2)
  const { lix } = await asked({ lix: { keyValues: [{ key: "a", value: { b: [1, "ü"] } }, { key: "u", value: undefined, versionId: "global", untracked: true }] } })
  assert.deepEqual(lix?.keyValues.map(({ key, valueJson, versionId, untracked }) => [key, valueJson, versionId, untracked]), [
    ["a", '{"b":[1,"ü"]}', "", false],
    ["u", "null", "global", true],
  ])
  for (const value of [1n, () => {}, Symbol("s")]) {
    await rejects(createEngine(opened().port).init({ lix: { keyValues: [{ key: "a", value }] } }), "INVALID/OPTION_INVALID", { subject: "lix.keyValues[0].value" })
  }
})
