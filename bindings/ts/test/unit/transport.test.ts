// Calls over a connection that is slow, full, hostile or gone. Every call settles.

import assert from "node:assert/strict"
import { test } from "node:test"
import { ErrorCode } from "../../src/gen/engine_pb.js"
import { createEngine, EngineError, type LixEngine } from "../../src/index.js"
import { rejects, settled } from "../support/assert.js"
import { INIT, opened, openEngine, ScriptedEngine, type Outcome, type Seen } from "../support/scripted.js"

const DONE: Outcome = { case: "exec", value: {} }

function limited(maxInflight: number) {
  return { limits: { ...INIT.limits, maxInflight } as never }
}

// ---- backlog ---------------------------------------------------------------

test("calls beyond max_inflight wait here and go out in order, one for each answer", async () => {
  const { engine, scripted } = await openEngine(undefined, limited(3))
  const calls = Array.from({ length: 10 }, (_, index) => engine.exec(`select ${index}`))
  const sent = () => scripted.calls("exec").map(({ call }) => (call.case === "exec" ? call.value.sql : ""))
  assert.deepEqual(sent(), ["select 0", "select 1", "select 2"])
  for (let answered = 0; answered < 10; answered++) {
    scripted.answer(scripted.calls("exec")[answered]!.id, DONE)
    await calls[answered]
    assert.equal(sent().length, Math.min(10, answered + 4))
  }
  assert.deepEqual(sent(), Array.from({ length: 10 }, (_, index) => `select ${index}`))
})

test("ten thousand calls at once all settle, never more than the limit unanswered", async () => {
  let unanswered = 0
  let most = 0
  const { engine } = await openEngine(({ id }, scripted) => {
    most = Math.max(most, ++unanswered)
    setImmediate(() => {
      unanswered--
      scripted.answer(id, DONE)
    })
  }, limited(100))
  await Promise.all(Array.from({ length: 10_000 }, () => engine.exec("select 1")))
  assert.equal(most, 100)
})

test("until init has answered, nothing else is sent", async () => {
  const scripted = new ScriptedEngine()
  const engine = createEngine(scripted.port)
  const init = engine.init()
  const calls = [engine.exec("a"), engine.exec("b")]
  await settled()
  assert.equal(scripted.seen.length, 1)
  scripted.script = ({ id }) => scripted.answer(id, DONE)
  scripted.answer(1, { case: "init", value: INIT })
  await init
  await Promise.all(calls)
})

test("an engine that names no limit gets one call at a time", async () => {
  const { engine, scripted } = await openEngine(undefined, { limits: undefined as never })
  const calls = [engine.exec("a"), engine.exec("b")]
  assert.equal(scripted.calls("exec").length, 1)
  scripted.script = ({ id }) => scripted.answer(id, DONE)
  scripted.answer(scripted.seen.at(-1)!.id, DONE)
  await Promise.all(calls)
})

// ---- odd engines -----------------------------------------------------------

test("answers nobody waits for are ignored: unknown ids, a second answer, a late one", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => {
    scripted.answer(id + 1000, DONE, { state: { commitSeq: 99n } })
    scripted.answer(id, DONE, { state: { commitSeq: 1n } })
    scripted.answer(id, { case: "error", value: { code: ErrorCode.INTERNAL } }, { state: { commitSeq: 98n } })
  })
  await engine.exec("select 1")
  await engine.exec("select 1")
  scripted.answer(2, DONE)
  assert.equal(engine.state.commitSeq, 1, "and change nothing")
})

test("answers in another order find their calls", async () => {
  const { engine, scripted } = await openEngine()
  const calls = [engine.exec("a"), engine.exec("b"), engine.exec("c")]
  const ids = scripted.calls("exec").map(({ id }) => id)
  for (const [index, id] of [...ids.entries()].reverse()) scripted.answer(id, { case: "exec", value: { changes: BigInt(index) } })
  assert.deepEqual((await Promise.all(calls)).map(({ changes }) => changes), [0, 1, 2])
})

// ---- the end ---------------------------------------------------------------

/** Each way in which a connection ends, and what the calls then say. */
const ENDS: [name: string, end: (scripted: ScriptedEngine, engine: LixEngine) => void, expected: string][] = [
  ["a message that is no envelope", (scripted) => scripted.post("hello"), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["null", (scripted) => scripted.post(null), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["an envelope of another version", (scripted) => scripted.post({ v: 2, frame: new ArrayBuffer(0) }), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["a frame that is no buffer", (scripted) => scripted.post({ v: 1, frame: new Uint8Array(2) }), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["bytes that are no frame", (scripted) => scripted.send(new Uint8Array([0xff, 0xff, 0xff])), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["an event that cannot be read", (scripted) => scripted.send(new Uint8Array([0x2a, 2, 0x12, 9])), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["messageerror", (scripted) => scripted.port.onmessageerror?.({} as MessageEvent), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["the other end of a message port closing", (scripted) => scripted.closed(), "LIFECYCLE/TRANSPORT_CLOSED"],
  ["a script that does not load", (scripted) => scripted.port.onerror?.({} as ErrorEvent), "INTERNAL/WORKER_FAILED"],
  ["an error in the worker", (scripted) => scripted.port.onerror?.({ message: "boom", error: new Error("boom") } as ErrorEvent), "INTERNAL/WORKER_FAILED"],
  ["a closed event", (scripted) => scripted.event({ seq: 1n, kind: { case: "closed", value: { reason: { code: ErrorCode.INTERNAL, reason: "ENGINE_DEFECT" } } } }), "INTERNAL/ENGINE_DEFECT"],
  ["terminate()", (_, engine) => engine.terminate(), "LIFECYCLE/TRANSPORT_CLOSED"],
]

for (const [name, end, expected] of ENDS) {
  test(`${name} rejects every call that waits, sent or not, and later ones`, async () => {
    const { engine, scripted } = await openEngine(undefined, limited(4))
    const closed: EngineError[] = []
    engine.on("closed", ({ error }) => closed.push(error))
    const waiting = [engine.exec("a"), engine.execBatch([{ sql: "b" }]), engine.export(), engine.stream("c").batches().next(), engine.exec("not sent yet")]
    assert.equal(scripted.seen.length, 5)
    end(scripted, engine)
    for (const call of waiting) await rejects(call, expected)
    assert.equal(scripted.port.terminated, 1)
    const byItself = name !== "terminate()"
    assert.equal(closed.length, byItself ? 1 : 0, "the closed event is for engines that end by themselves")
    await rejects(engine.exec("later"), byItself ? "LIFECYCLE/FAILED" : "LIFECYCLE/CLOSED")
    await rejects(engine.init(), byItself ? "LIFECYCLE/FAILED" : "LIFECYCLE/CLOSED")
    await engine.close()
    engine.terminate()
    assert.equal(scripted.seen.length, 5, "nothing more is sent")
    assert.equal(scripted.port.terminated, 1)
  })
}

test("an end during init rejects init and what waits behind it", async () => {
  for (const [, end, expected] of ENDS) {
    const scripted = new ScriptedEngine()
    const engine = createEngine(scripted.port)
    const calls = [engine.init(), engine.exec("a"), engine.close()]
    end(scripted, engine)
    for (const call of calls) await rejects(call, expected)
  }
})

test("the error a later call gets names what ended the engine", async () => {
  const { engine, scripted } = await openEngine()
  scripted.port.onerror?.({ message: "boom" } as ErrorEvent)
  const error = await rejects(engine.exec("select 1"), "LIFECYCLE/FAILED")
  assert.equal((error.cause as EngineError).reason, "WORKER_FAILED")
  assert.match((error.cause as EngineError).message, /boom/)
})

test("a port that cannot post rejects that call alone", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE), limited(1))
  const post = scripted.port.postMessage
  let broken = true
  scripted.port.postMessage = function (...args) {
    if (broken) throw new DOMException("cannot be cloned", "DataCloneError")
    post.apply(this, args)
  }
  const error = await rejects(engine.exec("a"), "INVALID/PARAM_INVALID")
  assert.equal((error.cause as Error).name, "DataCloneError")
  broken = false
  await Promise.all([engine.exec("b"), engine.exec("c")])
})

test("a seed that was transferred away before is refused, and init can be tried again", async () => {
  const scripted = opened()
  const engine = createEngine(scripted.port)
  const blob = new ArrayBuffer(8)
  structuredClone(blob, { transfer: [blob] })
  await rejects(engine.init({ blob }), "INVALID/OPTION_INVALID", { subject: "blob" })
  await engine.init()
})

// ---- close -----------------------------------------------------------------

test("close lets the calls before it finish, sent or not, and refuses those after it", async () => {
  const { engine, scripted } = await openEngine(undefined, limited(1))
  const before = [engine.exec("a"), engine.exec("b")]
  const close = engine.close()
  assert.equal(engine.close(), close, "once is enough")
  await rejects(engine.exec("late"), "LIFECYCLE/CLOSING")
  await rejects(engine.export(), "LIFECYCLE/CLOSING")
  scripted.script = ({ id, call }) => scripted.answer(id, call.case === "close" ? { case: "close", value: {} } : DONE)
  scripted.answer(scripted.seen[1]!.id, DONE)
  await Promise.all([...before, close])
  assert.deepEqual(scripted.seen.map(({ call }) => call.case), ["init", "exec", "exec", "close"])
  assert.equal(scripted.port.terminated, 1)
  await rejects(engine.exec("later"), "LIFECYCLE/CLOSED")
  await engine.close()
})

test("a close that fails rejects, and the engine is closed all the same", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, { case: "error", value: { code: ErrorCode.STORAGE, reason: "STORAGE_QUOTA" } }))
  await rejects(engine.close(), "STORAGE/STORAGE_QUOTA")
  assert.equal(scripted.port.terminated, 1)
  await rejects(engine.exec("later"), "LIFECYCLE/CLOSED")
})

test("an engine that was never opened closes without a word", async () => {
  const scripted = new ScriptedEngine()
  const engine = createEngine(scripted.port)
  await engine.close()
  assert.equal(scripted.seen.length, 0)
  assert.equal(scripted.port.terminated, 1)
})

test("terminate during close rejects the close", async () => {
  const { engine } = await openEngine()
  const close = engine.close()
  engine.terminate()
  await rejects(close, "LIFECYCLE/TRANSPORT_CLOSED")
})

// ---- abort -----------------------------------------------------------------

test("abort sends a cancel for the call, which settles with what the engine answers", async () => {
  for (const outcome of ["cancelled", "too late"]) {
    const { engine, scripted } = await openEngine()
    const abort = new AbortController()
    const call = engine.exec("slow", [], { signal: abort.signal })
    const { id } = scripted.seen.at(-1)!
    abort.abort()
    const cancel = scripted.seen.at(-1)!
    assert.ok(cancel.call.case === "cancel" && cancel.call.value.target === id)
    scripted.answer(cancel.id, { case: "cancel", value: { outcome: outcome === "cancelled" ? 1 : 3 } })
    if (outcome === "cancelled") {
      scripted.answer(id, { case: "error", value: { code: ErrorCode.INTERRUPTED, reason: "CANCELLED" } })
      await rejects(call, "INTERRUPTED/CANCELLED", { sql: "slow" })
    } else {
      scripted.answer(id, DONE)
      await call
    }
  }
})

test("a call that waits here is dropped here", async () => {
  const { engine, scripted } = await openEngine(undefined, limited(1))
  const abort = new AbortController()
  const first = engine.exec("a")
  const dropped = engine.exec("b", [], { signal: abort.signal })
  const last = engine.exec("c")
  abort.abort()
  await rejects(dropped, "INTERRUPTED/CANCELLED", { sql: "b" })
  scripted.script = ({ id }) => scripted.answer(id, DONE)
  scripted.answer(scripted.seen.at(-1)!.id, DONE)
  await Promise.all([first, last])
  assert.deepEqual(scripted.seen.map(({ call }) => (call.case === "exec" ? call.value.sql : call.case)), ["init", "a", "c"])
})

test("a signal that is aborted already sends nothing; its reason is the cause", async () => {
  const { engine, scripted } = await openEngine()
  const signal = AbortSignal.abort("because")
  const error = await rejects(engine.exec("a", [], { signal }), "INTERRUPTED/CANCELLED")
  assert.equal(error.cause, "because")
  await rejects(engine.execBatch([{ sql: "a" }], { signal }), "INTERRUPTED/CANCELLED")
  assert.equal(scripted.seen.length, 1)
})

test("a signal outlives its call: aborting it later sends nothing, and nobody listens any more", async () => {
  const { engine, scripted } = await openEngine(({ id }, scripted) => scripted.answer(id, DONE))
  const abort = new AbortController()
  let listening = 0
  const { addEventListener, removeEventListener } = abort.signal
  abort.signal.addEventListener = function (...args: unknown[]) {
    listening++
    return addEventListener.apply(this, args as never)
  }
  abort.signal.removeEventListener = function (...args: unknown[]) {
    listening--
    return removeEventListener.apply(this, args as never)
  }
  await engine.exec("a", [], { signal: abort.signal })
  assert.equal(listening, 0)
  abort.abort()
  assert.equal(scripted.seen.length, 2)
})

// ---- ids -------------------------------------------------------------------

test("ids are never 0, and one that still waits is not used again", async () => {
  const { engine, scripted } = await openEngine()
  const patient = engine.exec("patient")
  const used = new Set<number>()
  scripted.script = (request: Seen) => {
    assert.notEqual(request.id, 0)
    assert.equal(used.has(request.id), false)
    used.add(request.id)
    scripted.answer(request.id, DONE)
  }
  for (let index = 0; index < 100; index++) await engine.exec("x")
  scripted.answer(scripted.calls("exec")[0]!.id, DONE)
  await patient
})
