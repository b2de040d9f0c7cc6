// Storage as the host sees it: what init asks for, what status() says, and the calls around it.

import assert from "node:assert/strict"
import { test } from "node:test"
import { create } from "@bufbuild/protobuf"
import { AutosavePhase, Durability, EngineErrorSchema, ErrorCode, EventKind, OpenMode, StorageKind, type InitRequest } from "../../src/gen/engine_pb.js"
import { createEngine, createMainMemoryEngine, opfs, type EngineError, type InitOptions } from "../../src/index.js"
import { rejects } from "../support/assert.js"
import { INIT, opened, ScriptedEngine, type Seen } from "../support/scripted.js"

const OPFS = { storage: StorageKind.OPFS, capabilities: [1, 2, 3, 4] }

test("init says where, how and how long to wait", async () => {
  const asked = async (options: InitOptions, defaults?: InitOptions) => {
    const scripted = opened(undefined, OPFS)
    await createEngine(scripted.port, defaults).init(options)
    return scripted.seen[0]!.call.value as InitRequest
  }
  const plain = await asked({ storage: "opfs", path: "a" })
  assert.deepEqual([plain.storage?.kind, plain.storage?.path, plain.storage?.waitMs, plain.storage?.orMemory], [StorageKind.OPFS, "a", 500, false])
  assert.deepEqual([plain.openMode, plain.durability, plain.events?.kinds], [OpenMode.OPEN_OR_CREATE, Durability.RELAXED, [EventKind.AUTOSAVE]])
  assert.deepEqual([plain.autosave?.disabled, plain.autosave?.debounceMs, plain.autosave?.maxDelayMs], [false, 0, 0])

  const all = await asked(
    { openMode: "replace", events: ["commit", "autosave"] },
    { storage: "auto", path: "b", busyWaitMs: 0, durability: "strict", autosave: { disabled: true, debounceMs: 1, maxDelayMs: 2 }, openMode: "open" },
  )
  assert.deepEqual([all.storage?.kind, all.storage?.path, all.storage?.waitMs, all.storage?.orMemory], [StorageKind.OPFS, "b", 0, true])
  assert.deepEqual([all.openMode, all.durability, all.events?.kinds], [OpenMode.REPLACE, Durability.STRICT, [EventKind.COMMIT, EventKind.AUTOSAVE]])
  assert.deepEqual([all.autosave?.disabled, all.autosave?.debounceMs, all.autosave?.maxDelayMs], [true, 1, 2])

  assert.deepEqual([plain.lix, (await asked({ lix: false })).lix], [undefined, undefined])
  assert.deepEqual((await asked({ lix: true })).lix?.keyValues, [])

  const strict = await asked({ storage: "opfs", path: "c", durability: "strict" })
  assert.deepEqual(strict.events?.kinds, [], "answers tell all")

  const memory = await asked({ path: "ignored" })
  assert.deepEqual([memory.storage?.kind, memory.storage?.path, memory.storage?.waitMs, memory.events?.kinds], [StorageKind.MEMORY, "", 0, []])
})

test("options that mean nothing are refused before anything is sent", async () => {
  const bad: [string, unknown][] = [
    ["storage", "disk"], ["openMode", "append"], ["durability", "eventual"], ["busyWaitMs", -1], ["busyWaitMs", 1.5], ["path", "a\ud800"],
  ]
  for (const [option, value] of bad) {
    const scripted = new ScriptedEngine()
    const error = await rejects(createEngine(scripted.port, { storage: "opfs", path: "a" }).init({ [option]: value }), "INVALID/OPTION_INVALID")
    assert.deepEqual([error.subject, scripted.seen.length], [option, 0])
  }
  for (const autosave of [{ debounceMs: 0 }, { maxDelayMs: -5 }]) {
    await rejects(createEngine(new ScriptedEngine().port).init({ storage: "opfs", path: "a", autosave }), "INVALID/OPTION_INVALID", { subject: `autosave.${Object.keys(autosave)[0]}` })
  }
})

test("status() follows answers and events", async () => {
  const { engine, scripted } = await stored()
  assert.deepEqual(engine.status(), { phase: "ready", storage: "opfs", path: "a.db", saving: false, unsaved: false, commitSeq: 0, savedSeq: 0, suspended: false })
  await engine.exec("insert")
  assert.deepEqual([engine.status().unsaved, engine.status().commitSeq, engine.state.savedSeq], [true, 1, 0])

  autosave(scripted, AutosavePhase.SCHEDULED, 1n)
  assert.equal(engine.status().saving, false)
  autosave(scripted, AutosavePhase.STARTED, 1n)
  assert.equal(engine.status().saving, true)
  autosave(scripted, AutosavePhase.FAILED, 1n, 0n, { code: ErrorCode.STORAGE, reason: "STORAGE_QUOTA", message: "full" })
  assert.deepEqual([engine.status().saving, engine.status().unsaved, engine.status().lastSaveError?.reason], [false, true, "STORAGE_QUOTA"])

  autosave(scripted, AutosavePhase.STARTED, 1n)
  autosave(scripted, AutosavePhase.SAVED, 1n, 4096n)
  const { at, ...lastSave } = engine.status().lastSave!
  assert.ok(Math.abs(Date.now() - at.getTime()) < 5_000)
  assert.deepEqual(lastSave, { commitSeq: 1, bytes: 4096 })
  assert.deepEqual([engine.status().unsaved, engine.status().savedSeq, engine.state, engine.status().lastSaveError], [false, 1, { inTransaction: false, commitSeq: 1, savedSeq: 1 }, undefined])
})

test("under strict durability status() follows the answers", async () => {
  let [commitSeq, savedSeq] = [1n, 1n]
  const respond = ({ id, call }: Seen, scripted: ScriptedEngine) => {
    const outcome = savedSeq < commitSeq && call.case === "exec" ? failed("STORAGE_QUOTA") : { case: "exec" as const, value: {} }
    scripted.answer(id, outcome, { state: { commitSeq, savedSeq } })
  }
  const { engine } = await stored(respond, { durability: "strict" })
  const told = () => [engine.status().unsaved, engine.status().lastSaveError?.reason]
  await engine.exec("insert")
  assert.deepEqual(told(), [false, undefined])
  commitSeq = 2n
  await rejects(engine.exec("insert"), "STORAGE/STORAGE_QUOTA")
  assert.deepEqual(told(), [true, "STORAGE_QUOTA"])
  savedSeq = 2n
  await engine.exec("select")
  assert.deepEqual(told(), [false, undefined], "the engine went on trying")
})

test("an event that is older than the newest answer takes nothing back", async () => {
  const { engine, scripted } = await stored((request) => scripted.answer(request.id, { case: "exec", value: {} }, { state: { commitSeq: 9n, savedSeq: 8n } }))
  await engine.exec("insert")
  autosave(scripted, AutosavePhase.SAVED, 7n, 1n)
  assert.deepEqual([engine.status().commitSeq, engine.status().savedSeq], [9, 8])
})

test("save, suspend, resume and close are one request each", async () => {
  const { engine, scripted } = await stored()
  assert.deepEqual(await engine.save(), { savedSeq: 5 })
  assert.deepEqual(await engine.suspend(), { savedSeq: 6 })
  assert.equal(engine.status().suspended, true)
  await engine.resume({ busyWaitMs: 0 })
  assert.equal(engine.status().suspended, false)
  await engine.resume()
  await engine.close({ discardUnsaved: true })
  assert.deepEqual(scripted.seen.map(({ call }) => call.case), ["init", "save", "suspend", "resume", "resume", "close"])
  assert.deepEqual(scripted.calls("resume").map(({ call }) => (call.value as { waitMs: number }).waitMs), [0, 500])
  assert.deepEqual(scripted.calls("close").map(({ call }) => (call.value as { discardUnsaved: boolean }).discardUnsaved), [true])
  assert.equal(engine.status().phase, "closed")
})

test("a resume that fails leaves the engine suspended and says why; success clears it", async () => {
  let busy = true
  const { engine } = await stored((request, scripted) => {
    if (request.call.case === "resume" && busy) scripted.answer(request.id, failed("STORAGE_BUSY"))
    else answer(request, scripted)
  })
  await engine.suspend()
  await rejects(engine.resume(), "STORAGE/STORAGE_BUSY")
  assert.deepEqual([engine.status().suspended, engine.status().lastSaveError?.reason], [true, "STORAGE_BUSY"])
  busy = false
  await engine.resume()
  assert.deepEqual([engine.status().suspended, engine.status().lastSaveError], [false, undefined])
})

test("lost storage ends the engine with an event that says so", async () => {
  const { engine, scripted } = await stored((request, scripted) => {
    if (request.call.case !== "resume") return answer(request, scripted)
    scripted.answer(request.id, failed("STORAGE_LOST"))
    scripted.event({ seq: 1n, kind: { case: "closed", value: { reason: create(EngineErrorSchema, { code: ErrorCode.STORAGE, reason: "STORAGE_LOST", message: "lost", subject: "a.db" }) } } })
  })
  const closed = new Promise<EngineError>((resolve) => engine.on("closed", ({ error }) => resolve(error)))
  await engine.suspend()
  await rejects(engine.resume(), "STORAGE/STORAGE_LOST")
  assert.deepEqual([(await closed).reason, engine.status().phase, scripted.port.terminated], ["STORAGE_LOST", "failed", 1])
})

test("a last save that fails rejects close(); the engine is closed all the same", async () => {
  const { engine } = await stored((request, scripted) => (request.call.case === "close" ? scripted.answer(request.id, failed("STORAGE_QUOTA")) : answer(request, scripted)))
  await rejects(engine.close(), "STORAGE/STORAGE_QUOTA")
  assert.equal(engine.status().phase, "closed")
})

test("in memory nothing is ever unsaved", async () => {
  const engine = createMainMemoryEngine()
  assert.deepEqual([engine.status().phase, engine.status().storage], ["new", undefined])
  await engine.init({ storage: "auto", path: "a" })
  await engine.exec("create table t (a)")
  assert.deepEqual(engine.status(), { phase: "ready", storage: "memory", path: undefined, saving: false, unsaved: false, commitSeq: 1, savedSeq: 0, suspended: false })
  await engine.close()
})

test("where there is no OPFS the helpers say so", async () => {
  await rejects(opfs.list(), "STORAGE/STORAGE_UNSUPPORTED", { subject: "OPFS" })
  await rejects(opfs.delete("a"), "STORAGE/STORAGE_UNSUPPORTED", { subject: "OPFS" })
  await rejects(opfs.exists("../a"), "INVALID/OPTION_INVALID", { subject: "storage.path" })
  assert.deepEqual([await opfs.isPersisted(), await opfs.requestPersistence(), await opfs.estimate()], [false, false, {}])
})

/** An open engine with storage; without `script`, it answers everything. */
async function stored(script: (request: Seen, engine: ScriptedEngine) => void = answer, options: InitOptions = {}) {
  const scripted: ScriptedEngine = opened(script, { ...INIT, ...OPFS } as typeof INIT)
  const engine = createEngine(scripted.port, { storage: "opfs", path: "a.db", ...options })
  await engine.init()
  return { engine, scripted }
}

function answer({ id, call }: Seen, scripted: ScriptedEngine): void {
  switch (call.case) {
    case "exec":
      return scripted.answer(id, { case: "exec", value: {} }, { state: { commitSeq: 1n } })
    case "save":
      return scripted.answer(id, { case: "save", value: { savedSeq: 5n } })
    case "suspend":
      return scripted.answer(id, { case: "suspend", value: { savedSeq: 6n } })
    case "resume":
    case "close":
      return scripted.answer(id, { case: call.case, value: {} })
  }
}

function failed(reason: string) {
  return { case: "error" as const, value: { code: ErrorCode.STORAGE, reason, message: reason, subject: "a.db" } }
}

let seq = 0n
function autosave(scripted: ScriptedEngine, phase: AutosavePhase, commitSeq: bigint, bytes = 0n, error?: { code: ErrorCode; reason: string; message: string }): void {
  scripted.event({ seq: ++seq, kind: { case: "autosave", value: { phase, commitSeq, bytes, ...(error && { error }) } } })
}
