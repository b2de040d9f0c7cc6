// The package on the real wasm engine, in this thread.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createEngine, createMainMemoryEngine, createWorkerEngine, EngineError, type InitOptions, type LixEngine, type SqlValue } from "../../src/index.js"
import { createMemoryPort } from "../../src/memory.js"
import { rejects } from "../support/assert.js"

async function open(t: TestContext, options?: InitOptions): Promise<LixEngine> {
  const engine = createMainMemoryEngine()
  await engine.init(options)
  t.after(() => engine.close())
  return engine
}

test("init says what it opened", async () => {
  const engine = createMainMemoryEngine()
  const result = await engine.init({ path: "ignored" })
  assert.match(result.sqliteVersion, /^3\.\d+/)
  assert.notEqual(result.engineVersion, "")
  assert.equal(result.capabilities.persistence, "memory")
  assert.ok(result.capabilities.announced.includes("CURSORS"))
  for (const limit of Object.values(result.limits)) assert.ok(limit > 0)
  await rejects(engine.init(), "LIFECYCLE/ALREADY_INITIALIZED")
  await engine.close()
})

const ROUND_TRIP: [value: unknown, typeName: string, out: SqlValue][] = [
  [null, "null", null],
  [0, "integer", 0],
  [-1, "integer", -1],
  [2 ** 31, "integer", 2 ** 31],
  [Number.MAX_SAFE_INTEGER, "integer", Number.MAX_SAFE_INTEGER],
  [-(2n ** 63n), "integer", -(2n ** 63n)],
  [2n ** 63n - 1n, "integer", 2n ** 63n - 1n],
  [2n ** 53n, "integer", 2n ** 53n],
  [true, "integer", 1],
  [1.5, "real", 1.5],
  [-0, "real", -0],
  [Infinity, "real", Infinity],
  [1e300, "real", 1e300],
  ["", "text", ""],
  ["a\0b", "text", "a\0b"],
  ["\ufeffñ€😀", "text", "\ufeffñ€😀"],
  [new Uint8Array(0), "blob", new Uint8Array(0)],
  [new Uint8Array([0, 255]), "blob", new Uint8Array([0, 255])],
  [new Uint8Array(65_536).fill(7), "blob", new Uint8Array(65_536).fill(7)],
  ["x".repeat(300_000), "text", "x".repeat(300_000)],
]

test("every value comes back as it went in, by position, by name, in every row mode", async (t) => {
  const engine = await open(t)
  for (const [value, typeName, out] of ROUND_TRIP) {
    for (const [sql, params] of [["select typeof(?1) as t, ?1 as v", [value]], ["select typeof(:v) as t, :v as v", { v: value }], ["select typeof($v) as t, $v as v", { $v: value }]] as const) {
      assert.deepEqual((await engine.exec(sql, params)).rows, [{ t: typeName, v: out }])
      assert.deepEqual((await engine.exec(sql, params, { rowMode: "array" })).rows, [[typeName, out]])
      const { batch } = await engine.exec(sql, params, { rowMode: "columns" })
      assert.deepEqual(batch.column("v").value(0), out)
    }
  }
})

test("integer policies, on cells, changes and rowids", async (t) => {
  const engine = await open(t)
  await engine.exec("create table t (id integer primary key)")
  const insert = (policy: "auto" | "bigint" | "string") => engine.exec("insert into t values (?) returning id, 1 as one", [2n ** 60n + BigInt(policy.length)], { integers: policy })
  const auto = await insert("auto")
  assert.deepEqual([auto.rows, auto.changes, auto.lastInsertRowid], [[{ id: 2n ** 60n + 4n, one: 1 }], 1, 2n ** 60n + 4n])
  const bigint = await insert("bigint")
  assert.deepEqual([bigint.rows, bigint.changes, bigint.lastInsertRowid], [[{ id: 2n ** 60n + 6n, one: 1n }], 1n, 2n ** 60n + 6n])
  const string = await engine.exec("select max(id) as id from t", [], { integers: "string" })
  assert.deepEqual(string.rows, [{ id: String(2n ** 60n + 6n) }])
  await rejects(engine.exec("select id from t", [], { integers: "number" }), "INVALID/INTEGER_UNSAFE", { subject: "id" })
})

test("text that is not UTF-8", async (t) => {
  const engine = await open(t)
  const sql = "select cast(x'61ff62' as text) as v"
  assert.deepEqual((await engine.exec(sql)).rows, [{ v: "a\ufffdb" }])
  assert.deepEqual((await engine.exec(sql, [], { invalidText: "bytes" })).rows, [{ v: new Uint8Array([0x61, 0xff, 0x62]) }])
})

test("the state is SQLite's own", async (t) => {
  const engine = await open(t, { events: ["commit"] })
  const commits: number[] = []
  engine.on("commit", ({ commitSeq }) => commits.push(commitSeq))
  await engine.exec("create table t (a unique)")
  assert.deepEqual(engine.state, { inTransaction: false, commitSeq: 1, savedSeq: 0 })
  assert.equal((await engine.exec("/* */ BEGIN")).state.inTransaction, true)
  await engine.exec("insert into t values (1)")
  const error = await rejects(engine.exec("insert or rollback into t values (1)"), "CONSTRAINT/UNIQUE", { sqliteExtendedCode: 2067 })
  assert.equal(error.state?.inTransaction, false)
  assert.equal(engine.state.inTransaction, false)
  await engine.exec("insert into t values (2)")
  assert.deepEqual(commits, [1, 2])
})

test("a listener may make the next call", async (t) => {
  const engine = await open(t, { events: ["commit"] })
  await engine.exec("create table t (a)")
  const counted = new Promise<unknown>((resolve, reject) => engine.on("commit", () => engine.exec("select count(*) as n from t").then(({ rows }) => resolve(rows), reject)))
  await engine.exec("insert into t values (1)")
  assert.deepEqual(await counted, [{ n: 1 }])
})

test("errors of statements, with offsets, and the engine goes on", async (t) => {
  const engine = await open(t)
  await rejects(engine.exec("select 'é', missing"), "INVALID/SQL_ERROR", { sqlOffset: 13 })
  await rejects(engine.exec("selec 1"), "INVALID/SQL_SYNTAX", { sqlOffset: 0, sql: "selec 1" })
  await rejects(engine.exec("select 1; select 2"), "INVALID/SQL_MULTIPLE")
  await rejects(engine.exec(" -- nothing\n"), "INVALID/SQL_EMPTY")
  await rejects(engine.exec(""), "INVALID/SQL_EMPTY")
  await rejects(engine.exec("select ?, ?", [1]), "INVALID/PARAM_MISSING", { subject: "2" })
  await rejects(engine.exec("select ?", [1, 2]), "INVALID/PARAM_UNKNOWN", { subject: "2" })
  await rejects(engine.exec("select :a", { b: 1 }), "INVALID/PARAM_UNKNOWN")
  assert.deepEqual((await engine.exec("select 1 as one")).rows, [{ one: 1 }])
})

test("batches: order, errors, results so far, no transaction of their own", async (t) => {
  const engine = await open(t)
  await engine.exec("create table t (a unique)")
  const error = await rejects(
    engine.execBatch([{ sql: "insert into t values (?)", params: [1] }, { sql: "insert into t values (1)" }, { sql: "insert into t values (3)" }]),
    "CONSTRAINT/UNIQUE",
    { batchIndex: 1, sql: "insert into t values (1)" },
  )
  assert.equal(error.results?.length, 1)
  assert.deepEqual((await engine.exec("select a from t")).rows, [{ a: 1 }])
  const { results } = await engine.execBatch([{ sql: "insert into t values (1)" }, { sql: "insert into t values (:a)", params: { a: 2 } }, { sql: "select a from t" }], { onError: "continue" })
  assert.equal((results[0] as { reason?: string }).reason, "UNIQUE")
  assert.deepEqual((results[2] as { rows: unknown }).rows, [{ a: 1 }, { a: 2 }])
  assert.deepEqual((await engine.execBatch([])).results, [])
})

const SERIES = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) select i, i * 0.5 as half, 'row ' || i as name, iif(i % 3, null, 'é') as note from n"

test("a large result, all at once and streamed, is the same", async (t) => {
  const engine = await open(t)
  const { rows } = await engine.exec(SERIES, [30_000])
  assert.equal(rows.length, 30_000)
  assert.deepEqual(rows[29_999], { i: 30_000, half: 15_000, name: "row 30000", note: "é" })
  const streamed: unknown[] = []
  for await (const row of engine.stream(SERIES, [30_000])) streamed.push(row)
  assert.deepEqual(streamed, rows)
  let sum = 0
  let batches = 0
  for await (const batch of engine.stream(SERIES, [30_000], { rowMode: "columns", batchRows: 1000 }).batches()) {
    batches++
    assert.equal(batch.rowCount, 1000)
    for (const value of batch.column("i").ints) sum += Number(value)
  }
  assert.deepEqual([batches, sum], [30, 450_015_000])

  const names: string[] = []
  for await (const batch of engine.stream("select 1 as a, 2 as b where 0", [], { rowMode: "columns" }).batches()) {
    names.push(...batch.columns.map((column) => column.name))
  }
  assert.deepEqual(names, ["a", "b"], "no rows still have columns")
  for await (const rows of engine.stream("select 1 where 0").batches()) assert.fail(`a batch of ${rows.length} rows`)
})

test("an abandoned stream closes its cursor; more than max_open_cursors can come and go", async (t) => {
  const engine = await open(t)
  for (let index = 0; index < 100; index++) {
    for await (const row of engine.stream<{ i: number }>(SERIES, [100], { batchRows: 10 })) if (row.i === 5) break
  }
})

test("a schema change ends a stream with an error, not with silence", async (t) => {
  const engine = await open(t)
  await engine.exec("create table t (a)")
  const reader = engine.stream(SERIES, [10_000], { batchRows: 100 })[Symbol.asyncIterator]()
  await reader.next()
  await engine.exec("drop table t")
  await rejects((async () => { while (!(await reader.next()).done); })(), "TRANSACTION/CURSOR_INVALIDATED")
})

test("export and seed carry the database; the seed is gone for its owner", async (t) => {
  const engine = await open(t)
  await engine.exec("create table t (a)")
  await engine.exec("insert into t values (?)", ["kept"])
  const image = await engine.export()
  const copy = await open(t, { blob: image })
  assert.equal(image.byteLength, 0)
  assert.deepEqual((await copy.exec("select a from t")).rows, [{ a: "kept" }])
  await engine.exec("begin")
  await rejects(engine.export(), "TRANSACTION/IN_TRANSACTION")
})

test("an image that is none is refused, and init can be tried again", async (t) => {
  const engine = createMainMemoryEngine()
  await rejects(engine.init({ blob: new Uint8Array(4096).fill(1) }), "CORRUPT/IMAGE_INVALID")
  await engine.init()
  t.after(() => engine.close())
  await engine.exec("select 1")
})

test("what this engine does not offer is said", async () => {
  const engine = createMainMemoryEngine()
  await rejects(engine.init({ storage: "opfs", path: "x" }), "STORAGE/STORAGE_UNSUPPORTED", { subject: "OPFS" })
  await rejects(engine.init({ required: ["PERSISTENCE"] }), "UNIMPLEMENTED/CAPABILITY_MISSING", { subject: "PERSISTENCE" })
  await engine.close()
})

test("calls in a row without await run in order; one that waits can be cancelled", async (t) => {
  const engine = await open(t)
  await engine.exec("create table t (a)")
  const abort = new AbortController()
  // Longer than the pump handles at once, so that the calls after it are queued inside the engine.
  const slow = engine.exec(SERIES, [100_000], { rowMode: "columns" })
  const calls = Array.from({ length: 50 }, (_, index) => engine.exec("insert into t values (?)", [index]))
  const cancelled = engine.exec("insert into t values (-1)", [], { signal: abort.signal })
  abort.abort()
  await rejects(cancelled, "INTERRUPTED/CANCELLED")
  await Promise.all([slow, ...calls])
  assert.deepEqual((await engine.exec("select a from t order by rowid", [], { rowMode: "array" })).rows, Array.from({ length: 50 }, (_, index) => [index]))
})

test("close finishes what was asked for before it and rolls back what is open", async () => {
  const engine = createMainMemoryEngine()
  const calls = [engine.init(), engine.exec("create table t (a)"), engine.exec("begin"), engine.exec("insert into t values (1)"), engine.close()]
  await Promise.all(calls)
  await rejects(engine.exec("select 1"), "LIFECYCLE/CLOSED")
  await engine.close()
})

test("engines share nothing", async (t) => {
  const [one, two] = [await open(t), await open(t)]
  await one.exec("create table t (a)")
  await rejects(two.exec("select * from t"), "INVALID/SQL_ERROR")
})

test("where there are no workers of the web, the worker engine says what to do", () => {
  assert.throws(createWorkerEngine, (error) => error instanceof EngineError && error.reason === "WORKER_FAILED" && /createMainMemoryEngine/.test(error.message))
})

test("a message port carries the engine too, and its end is noticed", async () => {
  const { port1, port2 } = new MessageChannel()
  const inside = createMemoryPort()
  port2.onmessage = ({ data }) => inside.postMessage(data, [])
  inside.onmessage = ({ data }) => port2.postMessage(data, [data.frame, ...data.attachments])
  const engine = createEngine(port1)
  await engine.init()
  assert.deepEqual((await engine.exec("select ? as v", [new Uint8Array(100_000)])).rows, [{ v: new Uint8Array(100_000) }])
  inside.postMessage = () => {}
  const waiting = engine.exec("select 1")
  port2.close()
  await rejects(waiting, "LIFECYCLE/TRANSPORT_CLOSED")
})

test("what users expect of SQLite is there", async (t) => {
  const engine = await open(t)
  await engine.exec("create virtual table doc using fts5(body)")
  await engine.exec("insert into doc values ('the quick brown fox')")
  assert.deepEqual((await engine.exec("select body from doc where doc match 'quick'")).rows.length, 1)
  await engine.exec("create virtual table box using rtree(id, minx, maxx)")
  assert.deepEqual((await engine.exec("select json_extract('{\"a\":[1,2]}', '$.a[1]') as v, round(sqrt(2), 3) as r")).rows, [{ v: 2, r: 1.414 }])
})
