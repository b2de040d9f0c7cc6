// Against the native engine, as a process, behind a WebSocket and behind a worker; and against what is no engine.
//
//     node --experimental-websocket --test examples/host-javascript/
import assert from "node:assert/strict"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Worker } from "node:worker_threads"
import { LixError, open } from "./lix.js"

const root = fileURLToPath(new URL("../../", import.meta.url))
const program = process.env.LIX_ENGINE ?? join(root, "target/debug/lix-engine")
const stdio = [program, "serve", "--stdio"]
const FOREVER = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n"

/** @type {string} */
let folder
/** @type {import("node:child_process").ChildProcess} */
let server
/** @type {string} */
let address

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lix-host-javascript-"))
  server = spawn(program, ["serve", "--ws", "127.0.0.1:0"], { stdio: ["ignore", "ignore", "pipe"] })
  const lines = createInterface({ input: /** @type {import("node:stream").Readable} */ (server.stderr) })
  const [line] = await once(lines, "line")
  address = line.match(/ws:\/\/\S+/)?.[0] ?? assert.fail(line)
})

after(async () => {
  server.kill()
  await rm(folder, { recursive: true })
})

const transports = {
  "a process": () => stdio,
  "a WebSocket": () => address,
  "a worker": () => new Worker(new URL("worker.test-engine.mjs", import.meta.url), { workerData: address }),
}

for (const [name, target] of Object.entries(transports)) {
  describe(`over ${name}`, () => {
    test("every value comes back as it was", async (t) => {
      const db = await opened(t, target())
      const values = [null, 0, -1, 2 ** 53 - 1, 2n ** 63n - 1n, -(2n ** 63n), 0.5, -0, Infinity, -Infinity, 1e300, "", "a\0b", "\uFEFFé😀"]
      const { rows } = await db.exec(`select ${values.map(() => "?").join()}`, ...values)
      assert.deepStrictEqual(rows, [values])
      const blobs = [new Uint8Array(), Uint8Array.of(0, 255), new Uint8Array(100_000).fill(7)]
      assert.deepStrictEqual((await db.exec("select ?, ?, ?", ...blobs)).rows, [blobs])
      assert.deepStrictEqual(await db.prepare("select ? as t, ? as f, ? as view").get(true, false, new Uint16Array([513])), row({ t: 1, f: 0, view: Uint8Array.of(1, 2) }))
    })

    test("a large database is exported and opened again", async (t) => {
      const db = await opened(t, target())
      await db.exec("create table t (data blob)")
      await db.exec("insert into t values (randomblob(3000000))")
      const image = await db.export()
      assert.equal(new TextDecoder().decode(image.subarray(0, 15)), "SQLite format 3")
      const copy = await opened(t, target(), { image })
      assert.deepStrictEqual((await copy.exec("select * from t")).rows, (await db.exec("select * from t")).rows)
    })

    test("rows stream, and what is left in the middle is given up", async (t) => {
      const db = await opened(t, target())
      const numbers = db.prepare("with recursive n(x) as (select 1 union all select x + 1 from n where x < 10000) select x from n", { batchRows: 100 })
      let sum = 0
      for await (const { x } of numbers.iterate()) sum += Number(x)
      assert.equal(sum, 50_005_000)
      // More loops than an engine keeps cursors open.
      for (let round = 0; round < db.engine.limits.maxOpenCursors + 1; round++) {
        for await (const { x } of numbers.iterate()) if (x === 2) break
      }
    })

    test("no more calls are under way than the engine takes, and all are answered in order", async (t) => {
      const db = await opened(t, target())
      await db.exec("create table t (x integer primary key)")
      const insert = db.prepare("insert into t values (?)")
      const count = db.engine.limits.maxInflight * 2
      const results = await Promise.all(Array.from({ length: count }, (_, x) => insert.run(x)))
      assert.deepStrictEqual(results.map(({ lastInsertRowid }) => lastInsertRowid), Array.from({ length: count }, (_, x) => x))
    })
  })
}

describe("statements", () => {
  test("all, get, run, execute", async (t) => {
    const db = await opened(t, stdio)
    assert.deepStrictEqual(await db.exec("create table t (id integer primary key, a)"), { columns: [], rows: [], changes: 0 })
    const insert = db.prepare("insert into t (a) values (:a)")
    assert.deepStrictEqual(await insert.run({ a: "x" }), { changes: 1, lastInsertRowid: 1 })
    assert.deepStrictEqual(await insert.run("y"), { changes: 1, lastInsertRowid: 2 })
    assert.deepStrictEqual(await db.prepare("select * from t").all(), [row({ id: 1, a: "x" }), row({ id: 2, a: "y" })])
    assert.deepStrictEqual(await db.prepare("select * from t where id = ?").get(2), row({ id: 2, a: "y" }))
    assert.equal(await db.prepare("select * from t where id = ?").get(3), undefined)
    assert.deepStrictEqual(await db.exec("select 1 as a, 2 as a, 3 as __proto__"), { columns: ["a", "a", "__proto__"], rows: [[1, 2, 3]] })
    assert.equal((await db.prepare("select 3 as __proto__").get())?.["__proto__"], 3)
  })

  test("integers come as the caller wants them", async (t) => {
    const db = await opened(t, stdio, { integers: "bigint" })
    const large = "select 9007199254740993, 5"
    assert.deepStrictEqual((await db.exec(large)).rows, [[9007199254740993n, 5n]])
    assert.deepStrictEqual((await db.prepare(large, { integers: "auto" }).execute()).rows, [[9007199254740993n, 5]])
    assert.deepStrictEqual((await db.prepare(large, { integers: "string" }).execute()).rows, [["9007199254740993", "5"]])
    const second = db.prepare("select 1, column1 from (values (1), (9007199254740993))", { integers: "number" })
    await rejects(second.execute(), { code: "INVALID", reason: "INTEGER_UNSAFE", subject: "1:1" })
  })

  test("what is no value is refused before anything is sent", async (t) => {
    const db = await opened(t, stdio)
    for (const value of [undefined, NaN, 2n ** 63n, "\ud800", Symbol("s"), new Date(), [1], () => {}]) {
      await rejects(db.exec("select ?, ?", 1, value), { code: "INVALID", reason: "PARAM_INVALID", subject: "2" })
    }
    await rejects(db.exec("select :a", { ":a": NaN }), { reason: "PARAM_INVALID", subject: ":a" })
    await rejects(db.exec("select '\ud800'"), { code: "INVALID", reason: "SQL_SYNTAX" })
    await rejects(db.prepare("select 1", { timeoutMs: -1 }).run(), { reason: "OPTION_INVALID", subject: "timeoutMs" })
    await rejects(db.exec(" ".repeat(db.engine.limits.maxFrameBytes)), { code: "LIMIT", subject: "max_frame_bytes" })
    assert.deepStrictEqual((await db.exec("select 1")).rows, [[1]])
  })

  test("a buffer may be written into while its call waits", async (t) => {
    const db = await opened(t, stdio)
    for (const bytes of [new Uint8Array(100_000).fill(1), Buffer.alloc(100_000, 1), Buffer.alloc(10, 1)]) {
      // It has to wait: the pipe takes less at once.
      const calls = [db.prepare("select hex(substr(?, -2))").execute(bytes), db.prepare("select hex(substr(?, -2))").execute(bytes)]
      bytes.fill(2)
      for (const { rows } of await Promise.all(calls)) assert.deepStrictEqual(rows, [["0101"]])
    }
  })

  test("errors say what to do, and where", async (t) => {
    const db = await opened(t, stdio)
    const sql = "select 'é😀', nonsense("
    await rejects(db.exec(sql), { code: "INVALID", reason: "SQL_SYNTAX", sqliteCode: 1, retryable: false })
    const { sqlOffset } = /** @type {LixError} */ (await db.exec("select 'é😀', nonsense").catch((error) => error))
    assert.equal("select 'é😀', nonsense".slice(sqlOffset), "nonsense")
    await db.exec("create table t (a unique)")
    await db.exec("insert into t values (1)")
    await rejects(db.exec("insert into t values (1)"), { code: "CONSTRAINT", reason: "UNIQUE", sqliteExtendedCode: 2067 })
    await rejects(db.exec("select :a", {}), { reason: "PARAM_MISSING", subject: ":a" })
  })

  test("a batch tells what came of each statement", async (t) => {
    const db = await opened(t, stdio)
    const list = /** @type {const} */ (["create table t (a unique)", ["insert into t values (?)", 1], ["insert into t values (?)", 1], "select * from t"])
    await assert.rejects(db.batch(list), (error) => {
      assert(error instanceof LixError)
      assert.deepStrictEqual([error.reason, error.batchIndex, error.results?.length], ["UNIQUE", 2, 2])
      return true
    })
    const results = await db.batch(list.slice(1), { onError: "continue" })
    assert.deepStrictEqual(results.map((result) => (result instanceof LixError ? result.batchIndex : result.rows)), [0, 1, [[1]]])
  })
})

describe("transactions", () => {
  test("are committed with the function's result and rolled back with its error", async (t) => {
    const db = await opened(t, stdio)
    await db.exec("create table t (a)")
    assert.equal(await db.transaction(async (tx) => (await tx.exec("insert into t values (1)"), "result")), "result")
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.exec("insert into t values (2)")
        await tx.transaction((inner) => inner.exec("insert into t values (3)"))
        throw new TypeError("no")
      }),
      TypeError,
    )
    assert.deepStrictEqual((await db.exec("select * from t")).rows, [[1]])
    assert.equal(db.inTransaction, false)
  })

  test("nest, each with its own fate", async (t) => {
    const db = await opened(t, stdio)
    await db.exec("create table t (a)")
    await db.transaction(async (tx) => {
      await tx.exec("insert into t values (1)")
      await tx.transaction((inner) => inner.exec("insert into t values (2)"))
      await rejects(tx.transaction(async (inner) => { await inner.exec("insert into t values (3)"); await inner.exec("no") }), { reason: "SQL_SYNTAX" })
    })
    assert.deepStrictEqual((await db.exec("select * from t")).rows, [[1], [2]])
  })

  test("a commit that fails leaves nothing open", async (t) => {
    const db = await opened(t, stdio)
    await db.exec("pragma foreign_keys = on")
    await db.exec("create table t (id integer primary key, up references t deferrable initially deferred)")
    await rejects(db.transaction((tx) => tx.exec("insert into t values (1, 2)")), { reason: "FOREIGN_KEY" })
    assert.equal(db.inTransaction, false)
    assert.deepStrictEqual((await db.exec("select * from t")).rows, [])
  })

  test("others wait for their end, in order, and not forever", async (t) => {
    const db = await opened(t, stdio, { busyTimeoutMs: 100 })
    await db.exec("create table t (a)")
    const insert = db.prepare("insert into t values (?)")
    /** @type {Promise<unknown>[]} */
    const others = []
    await db.transaction(async (tx) => {
      others.push(insert.run(2), db.transaction((next) => next.prepare("insert into t values (?)").run(3)), insert.run(4))
      await tx.prepare("insert into t values (?)").run(1)
    })
    await Promise.all(others)
    assert.deepStrictEqual((await db.exec("select * from t")).rows.flat(), [1, 2, 3, 4])
    await db.transaction(async () => {
      await rejects(db.exec("select 1"), { code: "TRANSACTION", reason: "BUSY", retryable: true })
      await rejects(db.transaction(async () => {}), { reason: "BUSY" })
      await rejects(db.prepare("select 1", { signal: AbortSignal.abort() }).run(), { reason: "CANCELLED" })
    })
    assert.deepStrictEqual((await db.exec("select count(*) from t")).rows, [[4]])
  })

  test("a handle is of no use after the end", async (t) => {
    const db = await opened(t, stdio)
    const tx = await db.transaction(async (tx) => tx)
    await rejects(tx.exec("select 1"), { code: "TRANSACTION", reason: "NO_TRANSACTION" })
  })
})

describe("stopping", () => {
  test("a statement stops when its time is over", async (t) => {
    const db = await opened(t, stdio, { timeoutMs: 50 })
    await rejects(db.exec(FOREVER), { code: "INTERRUPTED", reason: "TIMEOUT", retryable: true })
  })

  test("a signal takes a waiting call away and leaves the others alone", async (t) => {
    const db = await opened(t, stdio)
    const controller = new AbortController()
    const slow = rejects(db.prepare(FOREVER, { timeoutMs: 300 }).run(), { reason: "TIMEOUT" })
    const waiting = db.prepare("create table t (a)", { signal: controller.signal }).run()
    const later = db.exec("select count(*) from sqlite_schema")
    controller.abort(new Error("enough"))
    await assert.rejects(waiting, (error) => {
      assert(error instanceof LixError)
      assert.deepStrictEqual([error.name, error.code, error.reason], ["AbortError", "INTERRUPTED", "CANCELLED"])
      return true
    })
    await slow
    assert.deepStrictEqual((await later).rows, [[0]])
  })

  test("closing waits for the calls made before, and can be repeated", async () => {
    const db = await open(stdio)
    const call = db.exec("select 1")
    const closed = db.close()
    await rejects(db.exec("select 2"), { code: "LIFECYCLE", reason: "CLOSED" })
    assert.deepStrictEqual((await call).rows, [[1]])
    await closed
    await db.close()
  })
})

describe("storage and events", () => {
  test("a path keeps the database", async (t) => {
    const path = join(folder, "kept.lix")
    const first = await open(stdio, { path })
    await first.exec("create table t (a)")
    await first.save()
    assert.deepStrictEqual([first.engine.storage, first.engine.restored, first.commitSeq, first.savedSeq], ["file", false, 1, 1])
    await rejects(open(stdio, { path }), { code: "STORAGE", reason: "STORAGE_BUSY", subject: path })
    await first[Symbol.asyncDispose]()
    const db = await opened(t, stdio, { path, mode: "open" })
    assert.equal(db.engine.restored, true)
    assert.deepStrictEqual((await db.exec("select name from sqlite_schema")).rows, [["t"]])
  })

  test("commits are told before the call is answered", async (t) => {
    /** @type {unknown[]} */
    const seen = []
    const db = await opened(t, stdio, { events: { commit: ({ detail }) => seen.push(detail.commitSeq) } })
    await db.exec("create table t (a)").then(() => seen.push("answered"))
    assert.deepStrictEqual(seen, [1, "answered"])
  })

  test("a lix tells what changed", async (t) => {
    const db = await opened(t, stdio, { lix: { lix_name: "mine" }, events: ["commit"], commitDetail: "values" })
    assert.equal(db.engine.schemaVersion, "1")
    const commit = /** @type {Promise<any>} */ (once(db, "commit"))
    await db.exec("insert into key_value (key, value) values ('greeting', '\"hello\"')")
    const [{ detail }] = await commit
    const change = detail.changes.find((/** @type {any} */ { entity_id }) => entity_id === "greeting")
    assert.equal(JSON.parse(change.snapshot_content).value, "hello")
  })
})

describe("engines that go, and what is no engine", () => {
  test("a killed engine rejects every call that waits and every later one", async () => {
    const pid = join(folder, "pid")
    const db = await open(["sh", "-c", `echo $$ > '${pid}'; exec '${program}' serve --stdio`])
    const closed = /** @type {Promise<any>} */ (once(db, "close"))
    const calls = [db.exec(FOREVER), db.exec("select 1"), db.transaction((tx) => tx.exec("select 1"))]
    process.kill(Number(await readFile(pid, "utf8")), "SIGKILL")
    for (const call of calls) await rejects(call, { code: "LIFECYCLE", reason: "TRANSPORT_CLOSED", message: /SIGKILL/ })
    await rejects(db.exec("select 1"), { reason: "TRANSPORT_CLOSED" })
    assert.equal((await closed)[0].detail.error.reason, "TRANSPORT_CLOSED")
    await db.close()
  })

  test("destroy waits for nothing", async () => {
    const db = await open(stdio)
    const call = rejects(db.exec(FOREVER), { reason: "TRANSPORT_CLOSED" })
    await db.destroy()
    await call
  })

  const strangers = /** @type {const} */ ([
    ["cat", { code: "PROTOCOL", reason: "FRAME_MALFORMED", message: /echo/ }],
    [["echo", "hello world"], { code: "PROTOCOL", reason: "FRAME_MALFORMED", message: /hello wo/ }],
    [["sh", "-c", "echo out of order >&2; exit 3"], { reason: "TRANSPORT_CLOSED", message: /3.*out of order/ }],
    ["no-such-program", { code: "INTERNAL", reason: "WORKER_FAILED" }],
    ["sleep 60", { reason: "TRANSPORT_CLOSED", message: /200 ms/ }],
    ["ws://127.0.0.1:1", { reason: "TRANSPORT_CLOSED", message: /connection/ }],
    ["tcp://127.0.0.1:1", { reason: "TRANSPORT_CLOSED", message: /ECONNREFUSED/ }],
    ["http://127.0.0.1", { reason: "WORKER_FAILED" }],
  ])
  for (const [target, expected] of strangers) {
    test(`${target}`, () => rejects(open(target, { openTimeoutMs: 200 }), expected))
  }

  test("a worker that throws", async () => {
    await rejects(open(new Worker("throw new Error('broken')", { eval: true })), { reason: "WORKER_FAILED", message: /broken/ })
  })

  test("opening can be given up", async () => {
    await rejects(open("sleep 60", { signal: AbortSignal.timeout(50) }), { name: "AbortError", reason: "CANCELLED" })
    await rejects(open(stdio, { required: ["SCOPES"] }), { code: "UNIMPLEMENTED", subject: "SCOPES" })
    await rejects(open(stdio, { mode: /** @type {any} */ ("opened") }), { reason: "OPTION_INVALID", subject: "mode" })
  })
})

test("the example runs, and ends by itself", async () => {
  const notes = fileURLToPath(new URL("notes.mjs", import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [notes], { cwd: folder, env: { ...process.env, LIX_ENGINE: stdio.join(" ") } })
  assert.match(stdout, /1 milk\n2 bread\nCONSTRAINT PRIMARY_KEY/)
})

/**
 * A database that is closed after the test.
 *
 * @param {import("node:test").TestContext} t
 * @param {Parameters<typeof open>} args
 */
async function opened(t, ...args) {
  const db = await open(...args)
  t.after(() => db.close())
  return db
}

/** @param {object} members */
function row(members) {
  return Object.assign(Object.create(null), members)
}

/**
 * @param {Promise<unknown>} promise
 * @param {object} expected
 */
async function rejects(promise, expected) {
  await assert.rejects(promise, (error) => {
    assert(error instanceof LixError, `no LixError: ${error}`)
    return true
  })
  await assert.rejects(promise, expected)
}
