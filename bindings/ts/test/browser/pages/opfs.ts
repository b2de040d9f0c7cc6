/**
 * Databases that stay, on the real origin private file system: checks for any browser. Where another
 * tab is needed a frame stands for it, which is another client to the browser just as well.
 *
 * With `?report` in the address the page runs all of them and posts what came of each.
 */

import { createEngine, createWorkerEngine, createWorkerOpfsEngine, EngineError, opfs, type InitOptions, type LixEngine, type WorkerOpfsOptions } from "../../../src/index.js"
import type { Checks } from "./checks.js"
import { BUSY_SAVING, judge, prepare, write } from "./load.js"
import { PLUGINS } from "./plugins.js"
import { failure, leavesPageAlone, ok, rejects, rows, same, within } from "./support.js"

const CHECKS: Checks = {
  // ── Kept ─────────────────────────────────────────────────────────────────

  async "what is written is there when it is opened again"() {
    const { engine, result } = await open({ path: "notes.db" })
    same([result.capabilities.persistence, result.restored, crossOriginIsolated], ["opfs", false, false])
    ok(result.capabilities.announced.includes("PERSISTENCE") && result.capabilities.announced.includes("AUTOSAVE"), "not announced")
    await engine.exec("create table note (text)")
    await engine.exec("insert into note values (?)", ["kept"])
    await engine.close()
    const again = await open({ path: "notes.db" })
    same(again.result.restored, true)
    same((await again.engine.exec("select text from note")).rows, [{ text: "kept" }])
    await again.engine.close()
  },

  async "the status says what is stored, also between answers"() {
    const { engine } = await open({ path: "status.db", autosave: { debounceMs: 30 } })
    const seen: string[] = []
    const saved = new Promise<void>((resolve) => engine.on("autosave", ({ phase }) => void (seen.push(phase), phase === "saved" && resolve())))
    same([engine.status().phase, engine.status().storage, engine.status().path, engine.status().unsaved], ["ready", "opfs", "status.db", false])
    const before = engine.status()
    await engine.exec("create table t (a)")
    same([engine.status().unsaved, engine.status().commitSeq], [true, before.commitSeq + 1], "after the answer")
    await within(5_000, saved, "the autosave")
    const after = engine.status()
    same([after.unsaved, after.saving, after.savedSeq, after.lastSave?.commitSeq, engine.state.savedSeq], [false, false, before.commitSeq + 1, before.commitSeq + 1, before.commitSeq + 1], "after the event")
    ok(after.lastSave!.bytes > 0 && Date.now() - after.lastSave!.at.getTime() < 10_000, "when, and how much")
    same(seen, ["scheduled", "started", "saved"])
    same(typeof after.persisted, "boolean")
    await engine.close()
    same(engine.status().phase, "closed")
  },

  async "save() stores at once; without autosave nothing else does"() {
    const options: WorkerOpfsOptions = { path: "by-hand.db", autosave: { disabled: true } }
    const { engine } = await open(options)
    await engine.exec("create table t as select 1 as a")
    same(engine.status().unsaved, true)
    same(await engine.save(), { savedSeq: engine.state.commitSeq })
    same(engine.status().unsaved, false)
    await engine.exec("insert into t values (2)")
    await engine.exec("begin")
    await rejects(engine.save(), "TRANSACTION/IN_TRANSACTION")
    await engine.exec("rollback")
    engine.terminate()
    const again = (await open({ ...options, busyWaitMs: 5_000 })).engine
    same((await again.exec("select a from t")).rows, [{ a: 1 }])
    await again.exec("insert into t values (3)")
    await again.close({ discardUnsaved: true })
    const last = (await open(options)).engine
    same((await last.exec("select a from t")).rows, [{ a: 1 }])
    await last.close()
  },

  async "strict: an answer to a commit is a promise that outlives the worker"() {
    const { engine } = await open({ path: "strict.db", durability: "strict" })
    await engine.exec("create table t (a)")
    for (let a = 0; a < 20; a++) {
      const { state } = await engine.exec("insert into t values (?)", [a])
      same([state.savedSeq, engine.status().unsaved], [state.commitSeq, false])
    }
    const group = await Promise.all(Array.from({ length: 20 }, (_, a) => engine.exec("insert into t values (?)", [20 + a])))
    for (const { state } of group) ok(state.savedSeq >= 21, "an answer before its save")
    engine.terminate()
    const again = (await open({ path: "strict.db", busyWaitMs: 5_000 })).engine
    same((await again.exec("select count(*) as n, sum(a) as sum from t")).rows, [{ n: 40, sum: 780 }])
    await again.close()
  },

  async "any number of databases, in directories"() {
    const paths = ["one.db", "two.db", "deep/er/three.db", "deep/four.db", "Ünï çödé/日本語.db", "a b.db"]
    const engines = await Promise.all(paths.map(async (path) => (await open({ path })).engine))
    await Promise.all(engines.map((engine, index) => engine.exec(`create table t as select ${index} as a`)))
    await Promise.all(engines.map((engine) => engine.close()))
    for (const [index, path] of paths.entries()) {
      const { engine } = await open({ path, openMode: "open" })
      same((await engine.exec("select a from t")).rows, [{ a: index }], path)
      await engine.close()
    }
    same((await opfs.list()).map(({ path }) => path), [...paths].sort())
  },

  async "open modes and seeds"() {
    await rejects(attempt({ path: "mode.db", openMode: "open" }), "STORAGE/STORAGE_MISSING", "open, nothing there")
    same(await opfs.exists("mode.db"), false)
    const first = (await open({ path: "mode.db", openMode: "create" })).engine
    await first.exec("create table t as select 'first' as a")
    const seed = await first.export()
    await first.close()
    await rejects(attempt({ path: "mode.db", openMode: "create" }), "STORAGE/STORAGE_EXISTS")
    const content = async (options: InitOptions) => {
      const { engine, result } = await open({ path: "mode.db" }, options)
      const { rows: [row] } = await engine.exec("select a from t")
      await engine.exec("update t set a = 'second'")
      await engine.close()
      return [row!["a"], result.restored]
    }
    same(await content({ blob: seed.slice(0) }), ["first", true], "stored content wins over a seed")
    same(await content({}), ["second", true])
    same(await content({ openMode: "replace", blob: seed.slice(0) }), ["first", false])
    await rejects(attempt({ path: "mode.db" }, { openMode: "replace", blob: new Uint8Array(5000) }), "CORRUPT/IMAGE_INVALID")
    same(await content({}), ["second", true], "a refused seed destroys nothing")
    const missing = await rejects(attempt({ path: "none/at/all.db", openMode: "open" }), "STORAGE/STORAGE_MISSING")
    same([missing.subject, missing.retryable], ["none/at/all.db", false])
  },

  async "init can be tried again after it failed"() {
    const engine = createWorkerOpfsEngine({ path: "again.db" })
    await rejects(engine.init({ openMode: "open" }), "STORAGE/STORAGE_MISSING")
    await rejects(engine.init({ path: "../again.db" }), "INVALID/OPTION_INVALID")
    await engine.init()
    await engine.exec("select 1")
    await engine.close()
  },

  async "createWorkerEngine takes the same options in init"() {
    const engine = createWorkerEngine()
    const { capabilities } = await engine.init({ storage: "opfs", path: "plain.db", durability: "strict" })
    same([capabilities.persistence, engine.status().storage], ["opfs", "opfs"])
    const { state } = await engine.exec("create table t (a)")
    same(state.savedSeq, state.commitSeq)
    await engine.close()
    same(await opfs.exists("plain.db"), true)
  },

  // ── One at a time ────────────────────────────────────────────────────────

  async "a second engine is told at once that the path is busy"() {
    const { engine } = await open({ path: "busy.db" })
    for (const elsewhere of [false, true]) {
      const second = await engineIn(elsewhere, { path: "busy.db", busyWaitMs: 0 })
      const started = performance.now()
      const error = await rejects(second.engine.init(), "STORAGE/STORAGE_BUSY", elsewhere ? "in a frame" : "on the page")
      same([error.subject, error.retryable], ["busy.db", true])
      ok(/busy\.db/.test(error.message) && /another tab/.test(error.message), error.message)
      ok(performance.now() - started < 4_000, "not at once")
      second.remove()
    }
    await engine.exec("create table t (a)")
    await engine.close()
  },

  async "or after the wait that it asked for"() {
    const { engine } = await open({ path: "busy.db" })
    const second = createWorkerOpfsEngine({ path: "busy.db", busyWaitMs: 300 })
    const started = performance.now()
    await rejects(second.init(), "STORAGE/STORAGE_BUSY")
    ok(performance.now() - started >= 290, "before its time")
    second.terminate()
    await engine.close()
  },

  async "or opens it, if the first one closes meanwhile"() {
    for (const elsewhere of [false, true]) {
      const { engine } = await open({ path: "handed-over.db" })
      await engine.exec("create table if not exists t (a)")
      await engine.exec("insert into t values (1)")
      const second = await engineIn(elsewhere, { path: "handed-over.db", busyWaitMs: 20_000 })
      const opening = second.engine.init()
      await rejects(attempt({ path: "handed-over.db", busyWaitMs: 0 }), "STORAGE/STORAGE_BUSY")
      await engine.close()
      await within(10_000, opening, "the second engine")
      ok(((await second.engine.exec("select count(*) as n from t")).rows[0]!["n"] as number) >= 1, "not what the first one saved")
      await second.engine.close()
      second.remove()
    }
  },

  async "an engine that is closed has let go of everything when close() resolves"() {
    for (let turn = 0; turn < 20; turn++) await (await open({ path: "turns.db", busyWaitMs: 0 })).engine.close()
    const { engine } = await open({ path: "turns.db", busyWaitMs: 0 })
    for (let turn = 0; turn < 20; turn++) {
      await engine.suspend()
      await (await open({ path: "turns.db", busyWaitMs: 0 })).engine.close()
      await engine.resume({ busyWaitMs: 0 })
    }
    await engine.close()
  },

  async "without Web Locks the file's own handle keeps a second engine out"() {
    const options: InitOptions = { storage: "opfs", path: "lockless.db", busyWaitMs: 0 }
    const [first, second] = [createEngine(crippled("no locks"), options), createEngine(crippled("no locks"), options)]
    await first.init()
    await first.exec("create table t (a)")
    const error = await rejects(second.init(), "STORAGE/STORAGE_BUSY")
    same(error.subject, "lockless.db")
    await first.close()
    await second.init()
    same((await second.exec("select * from t")).rows, [])
    await second.close()
  },

  async "calls wait while the storage is being opened, and can be cancelled"() {
    const { engine } = await open({ path: "slow.db" })
    await engine.exec("create table t as select 1 as a")
    const second = createWorkerOpfsEngine({ path: "slow.db", busyWaitMs: 20_000 })
    const abort = new AbortController()
    const opening = second.init()
    const waiting = second.exec("select a from t")
    const unwanted = second.exec("select a from t", [], { signal: abort.signal })
    abort.abort()
    await rejects(unwanted, "INTERRUPTED/CANCELLED")
    same(second.status().phase, "opening")
    await engine.close()
    await opening
    same((await waiting).rows, [{ a: 1 }])
    await second.close()
  },

  // ── Set aside ────────────────────────────────────────────────────────────

  async "suspend saves and lets go; work goes on in memory; resume saves it"() {
    const { engine } = await open({ path: "aside.db" })
    await engine.exec("create table t (a)")
    await engine.suspend()
    same([engine.status().suspended, engine.status().unsaved], [true, false])
    await engine.exec("insert into t values (1)")
    same(engine.status().unsaved, true)
    await rejects(engine.save(), "STORAGE/STORAGE_FAILED")
    await engine.resume()
    await engine.save()
    same([engine.status().suspended, engine.status().unsaved], [false, false])
    await engine.close()
    const again = (await open({ path: "aside.db" })).engine
    same((await again.exec("select a from t")).rows, [{ a: 1 }])
    await again.close()
  },

  async "resume is busy while another engine has the path, and works after that one only looked"() {
    const { engine } = await open({ path: "looked.db" })
    await engine.exec("create table t (a)")
    await engine.suspend()
    await engine.exec("insert into t values (1)")
    const other = (await open({ path: "looked.db", busyWaitMs: 0 })).engine
    same((await other.exec("select * from t")).rows, [])
    const error = await rejects(engine.resume({ busyWaitMs: 0 }), "STORAGE/STORAGE_BUSY")
    same([error.subject, engine.status().suspended, engine.status().lastSaveError?.reason], ["looked.db", true, "STORAGE_BUSY"])
    await other.close()
    await engine.resume()
    same(engine.status().lastSaveError, undefined)
    await engine.close()
    const again = (await open({ path: "looked.db" })).engine
    same((await again.exec("select a from t")).rows, [{ a: 1 }])
    await again.close()
  },

  async "resume after another engine saved is STORAGE_LOST: the engine ends and overwrites nothing"() {
    const { engine } = await open({ path: "lost.db" })
    await engine.exec("create table t (a)")
    await engine.suspend()
    await engine.exec("insert into t values ('mine')")
    const other = (await open({ path: "lost.db" })).engine
    await other.exec("insert into t values ('theirs')")
    await other.close()
    const closed = new Promise<EngineError>((resolve) => engine.on("closed", ({ error }) => resolve(error)))
    const error = await rejects(engine.resume(), "STORAGE/STORAGE_LOST")
    same(error.subject, "lost.db")
    same([(await within(5_000, closed, "the closed event")).reason, engine.status().phase], ["STORAGE_LOST", "failed"])
    await rejects(engine.exec("select 1"), "LIFECYCLE/FAILED")
    const again = (await open({ path: "lost.db", busyWaitMs: 5_000 })).engine
    same((await again.exec("select a from t")).rows, [{ a: "theirs" }])
    await again.close()
  },

  // ── Bad input ────────────────────────────────────────────────────────────

  async "paths that can be none"() {
    const long = "x".repeat(255)
    const bad = ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\0b", "a\nb", "a\u007fb", "a\u0085b", "a\\b", `${long}x`, "é".repeat(128), "x/".repeat(512) + "x", "u\u0308.db", "a\ud800b"]
    for (const path of bad) {
      const error = await rejects(attempt({ path }), "INVALID/OPTION_INVALID", JSON.stringify(path).slice(0, 60))
      ok(/^(storage\.)?path$/.test(error.subject), error.subject)
      if (path !== "") await rejects(opfs.delete(path), "INVALID/OPTION_INVALID", JSON.stringify(path).slice(0, 60))
    }
    same(await opfs.list(), [])
    for (const path of [long, "é".repeat(127), "ü.db", " a ", "con", "a.", "~", "%2e%2e", "a:b", "*?\"<>|", "x/".repeat(40) + "x"]) {
      const { engine } = await open({ path })
      await engine.close()
      same(await opfs.exists(path), true, path)
    }
  },

  async "a name that is a directory, a directory that is a name"() {
    await (await open({ path: "tree/leaf.db" })).engine.close()
    await rejects(attempt({ path: "tree" }), "STORAGE/STORAGE_FAILED")
    await rejects(attempt({ path: "tree/leaf.db/more" }), "STORAGE/STORAGE_FAILED")
    same((await opfs.list()).map(({ path }) => path), ["tree/leaf.db"])
  },

  async "stored bytes that are no database: CORRUPT, nothing is touched, and the bytes can be had"() {
    const { engine } = await open({ path: "good.db" })
    await engine.exec(`create table t as ${rows(2000)} select i from n`)
    await engine.close()
    const good = new Uint8Array(await opfs.readRaw("good.db"))
    const flipped = good.slice()
    for (let at = 0; at < flipped.length; at += 500) flipped[at]! ^= 0x10
    const bad = { "letter": new TextEncoder().encode("Dear engine, ".repeat(1000)), "one-byte": new Uint8Array([88]), "cut": good.slice(0, 1000), "flipped": flipped, "garbage-behind": new Uint8Array([...good.slice(0, 100), ...new Uint8Array(50_000).fill(0xa5)]) }
    for (const [name, bytes] of Object.entries(bad)) {
      await store(`bad/${name}`, bytes)
      for (const openMode of ["open-or-create", "open"] as const) {
        const error = await rejects(attempt({ path: `bad/${name}`, openMode }), "CORRUPT/IMAGE_INVALID", name)
        same([error.subject, error.retryable], ["storage.path", false])
      }
      same(new Uint8Array(await opfs.readRaw(`bad/${name}`)), bytes, name)
    }
    const { engine: replaced } = await open({ path: "bad/letter", openMode: "replace" })
    await replaced.exec("create table t as select 1 as a")
    await replaced.close()
    const again = (await open({ path: "bad/letter" })).engine
    same((await again.exec("select a from t")).rows, [{ a: 1 }])
    await again.close()
  },

  async "delete, list, exists, readRaw"() {
    same([await opfs.list(), await opfs.exists("gone.db"), await opfs.delete("gone.db"), await opfs.delete("no/such/dir.db")], [[], false, false, false])
    const { engine } = await open({ path: "dir/gone.db" })
    await engine.exec("create table t (a)")
    await engine.save()
    for (const call of [opfs.delete("dir/gone.db"), opfs.readRaw("dir/gone.db")]) {
      const error = await rejects(call, "STORAGE/STORAGE_BUSY")
      same([error.subject, error.retryable], ["dir/gone.db", true])
    }
    const [entry] = await opfs.list()
    same([entry!.path, entry!.bytes > 0, entry!.lastModified instanceof Date], ["dir/gone.db", true, true], "while it is open")
    await engine.close()
    same((await opfs.readRaw("dir/gone.db")).byteLength, (await opfs.list())[0]!.bytes)
    same([await opfs.delete("dir/gone.db"), await opfs.list(), await opfs.exists("dir/gone.db")], [true, [], false])
    await rejects(opfs.readRaw("dir/gone.db"), "STORAGE/STORAGE_MISSING")
    // The directory went with its last file, and its name is free.
    await (await open({ path: "dir" })).engine.close()
    same((await opfs.list()).map(({ path }) => path), ["dir"])
    const { usage, quota } = await opfs.estimate()
    ok(usage !== undefined && quota !== undefined && quota > usage, `${usage} of ${quota}`)
    same(typeof (await opfs.isPersisted()), "boolean")
  },

  // ── Not here ─────────────────────────────────────────────────────────────

  ...Object.fromEntries(
    ["no getDirectory", "no createSyncAccessHandle", "a private window"].map((way) => [`a browser with ${way}: a typed error, or memory if that was asked for`, async () => {
      const engine = createEngine(crippled(way), { storage: "opfs", path: "x.db" })
      const error = await rejects(engine.init(), "STORAGE/STORAGE_UNSUPPORTED")
      same(error.subject, "OPFS")
      const { capabilities } = await engine.init({ storage: "auto" })
      same([capabilities.persistence, engine.status().storage, engine.status().unsaved], ["memory", "memory", false])
      await engine.exec("create table t (a)")
      same(engine.status().unsaved, false)
      await rejects(engine.save(), "STORAGE/STORAGE_UNSUPPORTED")
      await engine.close()
    }]),
  ),

  async "auto is OPFS where there is OPFS, and busy is busy all the same"() {
    const { engine, result } = await open({ path: "auto.db", storage: "auto" })
    same(result.capabilities.persistence, "opfs")
    await rejects(attempt({ path: "auto.db", storage: "auto", busyWaitMs: 0 }), "STORAGE/STORAGE_BUSY")
    await engine.close()
  },

  // ── Violence ─────────────────────────────────────────────────────────────

  async "a worker killed at any moment: the database opens, what was stored is there"() {
    let stored = 0
    let heard = () => {}
    for (let turn = 0; turn < KILLS; turn++) {
      const { engine } = await open({ path: "killed.db", ...BUSY_SAVING, durability: turn % 3 === 0 ? "strict" : "relaxed" })
      if (turn === 0) await prepare(engine), await engine.save()
      await judge(engine, stored)
      const first = new Promise<void>((resolve) => (heard = resolve))
      const writing = failure(write(engine, (n) => (stored = Math.max(stored, n), heard())))
      // Sometimes before anything is stored.
      if (turn % 4 > 0) await within(10_000, first, "a save")
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      engine.terminate()
      await writing
    }
    ok(stored > KILLS / 2, `only ${stored} transactions were stored`)
    return `${KILLS} kills, ${stored} transactions known to be stored`
  },

  async "a worker killed while it opens or closes lets the path go"() {
    for (let turn = 0; turn < 20; turn++) {
      const engine = createWorkerOpfsEngine({ path: "young.db", busyWaitMs: 5_000 })
      const opening = engine.init().then(() => engine.exec("create table if not exists t (a)")).then(() => engine.close())
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30))
      engine.terminate()
      await opening.catch(() => {})
    }
    const { engine } = await open({ path: "young.db", busyWaitMs: 5_000 })
    await engine.exec("create table if not exists t (a)")
    await engine.close()
  },

  async "a frame that is reloaded under load: the next one opens the database"() {
    let stored = 0
    const frame = await addFrame()
    Object.assign(globalThis, { known: (n: number) => void (stored = Math.max(stored, n)) })
    const maker = (await open({ path: "reloaded.db" })).engine
    await prepare(maker)
    await maker.close()
    for (let turn = 0; turn < KILLS; turn++) {
      // Without options: what every page does that is reloaded.
      await within(10_000, frame.page().load("reloaded.db", stored), `load ${turn}`)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      await frame.reload()
    }
    frame.remove()
    const { engine } = await open({ path: "reloaded.db", busyWaitMs: 5_000 })
    await judge(engine, stored)
    await engine.close()
    ok(stored > 0, "nothing was ever stored")
    return `${KILLS} reloads, ${stored} transactions known to be stored`
  },

  async "a frame removed under load lets the path go"() {
    let stored = 0
    Object.assign(globalThis, { known: (n: number) => void (stored = Math.max(stored, n)) })
    const maker = (await open({ path: "removed.db" })).engine
    await prepare(maker)
    await maker.close()
    for (let turn = 0; turn < 10; turn++) {
      const frame = await addFrame()
      await within(10_000, frame.page().load("removed.db", stored), `load ${turn}`)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      frame.remove()
    }
  },

  // ── A running save is in nobody's way ────────────────────────────────────

  async "calls are answered while a large save goes on"() {
    const { engine } = await open({ path: "large.db", autosave: { disabled: true } })
    await engine.exec("create table t (a)")
    await engine.exec(`insert into t ${rows(60)} select randomblob(1000000) from n`)
    await engine.close()
    const busy = (await open({ path: "large.db", autosave: { debounceMs: 1 } })).engine
    let phase: string | undefined
    busy.on("autosave", (event) => void (phase = event.phase))
    await busy.exec("update t set a = randomblob(1000000)")
    let answered = 0
    while (phase !== "saved") {
      await within(5_000, busy.exec("select 1"), "a call during a save")
      if (phase === "started") answered++
    }
    ok(answered > 0, "no call was answered during the save")
    await busy.close()
    return `${answered} calls during a save of 60 MB`
  },
}

/** What needs the browser's list of long tasks. */
const WITH_LONG_TASKS: Checks = {
  async "a save of 60 MB leaves the page alone"() {
    const { engine } = await open({ path: "smooth.db", autosave: { disabled: true } })
    await engine.exec("create table t (a)")
    await engine.exec(`insert into t ${rows(60)} select randomblob(1000000) from n`)
    const note = await leavesPageAlone(async () => {
      await engine.exec("update t set a = randomblob(1000000)")
      await engine.save()
    })
    await engine.close()
    return note
  },
}

// ── Engines ────────────────────────────────────────────────────────────────

async function open(options: WorkerOpfsOptions, init: InitOptions = {}) {
  const engine = createWorkerOpfsEngine(options)
  const result = await engine.init(init)
  return { engine, result }
}

/** An init that is expected to fail; the worker goes in any case. */
async function attempt(options: WorkerOpfsOptions, init: InitOptions = {}): Promise<void> {
  const engine = createWorkerOpfsEngine(options)
  try {
    await engine.init(init)
  } finally {
    engine.terminate()
  }
}

/** An engine of this page, or of a frame. */
async function engineIn(elsewhere: boolean, options: WorkerOpfsOptions): Promise<{ engine: LixEngine; remove(): void }> {
  if (!elsewhere) {
    const engine = createWorkerOpfsEngine(options)
    return { engine, remove: () => engine.terminate() }
  }
  const frame = await addFrame()
  return { engine: frame.page().create(options), remove: () => frame.remove() }
}

function crippled(way: string): Worker {
  return new Worker(`/pages/no-opfs-worker.js?way=${way}`, { type: "module" })
}

/** Puts bytes where an engine will look for its database. */
async function store(path: string, bytes: Uint8Array): Promise<void> {
  let directory = await (await navigator.storage.getDirectory()).getDirectoryHandle("lix-engine", { create: true })
  const names = path.split("/")
  const name = names.pop()!
  for (const each of names) directory = await directory.getDirectoryHandle(each, { create: true })
  const writable = await (await directory.getFileHandle(name, { create: true })).createWritable()
  await writable.write(bytes as Uint8Array<ArrayBuffer>)
  await writable.close()
}

/** Every worker of this page: a check that fails leaves its engines open. */
const workers: Worker[] = []
globalThis.Worker = class extends Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options)
    workers.push(this)
  }
}

/** Everything that is stored, gone: each check starts with nothing. */
async function clear(): Promise<void> {
  for (const worker of workers.splice(0)) worker.terminate()
  const root = await navigator.storage.getDirectory()
  // A worker that is just dying may still have a file open.
  for (let tries = 0; ; tries++) {
    try {
      return await root.removeEntry("lix-engine", { recursive: true })
    } catch (error) {
      if ((error as Error).name === "NotFoundError") return
      if (tries > 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

// ── Frames ─────────────────────────────────────────────────────────────────

/** What a frame offers; see the end of this file. */
interface FramePage {
  create(options: WorkerOpfsOptions): LixEngine
  load(path: string, atLeast: number): Promise<void>
}

async function addFrame() {
  const frame = document.createElement("iframe")
  frame.src = "/pages/opfs.html?frame"
  const loaded = () => new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }))
  const first = loaded()
  document.body.append(frame)
  await within(10_000, first, "the frame")
  return {
    page: () => frame.contentWindow as unknown as FramePage,
    async reload() {
      const next = loaded()
      frame.contentWindow!.location.reload()
      await within(10_000, next, "the frame, again")
    },
    remove: () => frame.remove(),
  }
}

const page: FramePage = {
  create: (options) => createWorkerOpfsEngine(options),
  /** Opens, judges, and goes on writing until the frame is no more. */
  async load(path, atLeast) {
    const { engine } = await open({ path, autosave: BUSY_SAVING.autosave })
    await judge(engine, atLeast)
    const { known } = parent as unknown as { known(n: number): void }
    void write(engine, known).catch(() => {})
  },
}

// ── Which page this is ─────────────────────────────────────────────────────

/**
 * With `?load` in the address: opens that path as any page would, judges it, says so to the server,
 * and writes for as long as it lives.
 */
async function loadForEver(path: string): Promise<void> {
  const url = `/load?path=${encodeURIComponent(path)}`
  // A page that is being left cannot tell; whoever waits for it will say so.
  const say = (body: object) => fetch(url, { method: "POST", body: JSON.stringify(body) }).catch(() => {})
  onpageshow = ({ persisted }) => void (persisted && say({ restored: true }))
  try {
    const stored: number = await (await fetch(url)).json()
    const { engine } = await open({ path, autosave: BUSY_SAVING.autosave })
    Object.assign(globalThis, { engine })
    engine.on("closed", ({ error }) => void say({ closed: error.reason }))
    if (stored === 0) await prepare(engine)
    await say({ opened: await judge(engine, stored) })
    let newest = 0
    let saying: Promise<unknown> | undefined
    await write(engine, (n) => {
      newest = n
      saying ??= say({ stored: newest }).then(() => (saying = undefined))
    })
  } catch (error) {
    const { code, reason = "" } = error as Partial<EngineError>
    // The end of the engine is no failure to open it: the driver's doing, or told by the closed event.
    if (code !== "LIFECYCLE" && reason !== "STORAGE_LOST") await say({ error: `${reason} ${String(error)}` })
  }
}

const KILLS = 50
const params = new URLSearchParams(location.search)
const hasLongTasks = PerformanceObserver.supportedEntryTypes.includes("longtask")
const checks = Object.fromEntries(Object.entries({ ...CHECKS, ...PLUGINS, ...(hasLongTasks && WITH_LONG_TASKS) }).map(([name, run]) => [name, async () => (await clear(), run())]))

async function report(to: string): Promise<void> {
  const say = (body: object) => fetch(to, { method: "POST", body: JSON.stringify(body) })
  const wanted = params.getAll("only")
  const all = Object.entries(checks).filter(([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  for (const [name, run] of all) {
    const started = performance.now()
    const outcome = await within(110_000, run(), name).then((note) => ({ note: note ?? "" }), (error: unknown) => ({ error: String((error as Error).stack ?? error) + String(error) }))
    await say({ name, ms: Math.round(performance.now() - started), ...outcome })
  }
  await say({ done: all.length })
}

if (params.has("frame")) Object.assign(globalThis, page)
else Object.assign(globalThis, { checks, database: { open, judge, opfs, load: loadForEver } })
if (params.has("load")) void loadForEver(params.get("load")!)
if (params.has("report")) void report(params.get("report")!)
