// Observed queries on a real engine: who runs again, when, how often, and what is told.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createEngine, createMainMemoryEngine, EngineError, type ExecResult, type LixEngine } from "../../src/index.js"
import { createCheckpoint, createVersion, mergeVersion, openLix, selectWorkingDiff, sql, switchVersion, type Lix, type LixObservable, type LixSubscription } from "../../src/lix/index.js"
import { createMemoryPort } from "../../src/memory.js"
import { settled } from "../support/assert.js"

/** A lix, and the statements that observers had the engine run. */
async function open(t: TestContext): Promise<{ lix: Lix; runs: string[]; engine: LixEngine }> {
  const engine = createMainMemoryEngine()
  const runs: string[] = []
  const exec = engine.exec.bind(engine) as (...args: unknown[]) => Promise<ExecResult>
  engine.exec = ((text: string, params: unknown, options?: { reportReads?: boolean }) => {
    if (options?.reportReads && !text.includes("quiet")) runs.push(text)
    return exec(text, params, options)
  }) as LixEngine["exec"]
  const lix = await openLix({ engine })
  t.after(() => lix.close())
  await sql`create table quiet (a)`.execute(lix.db)
  // The first commit to the state may concern every query.
  await set(lix, "zero", 1)
  return { lix, runs, engine }
}

/** What a subscriber was told, and a promise for the next of it. */
class Told<Row> {
  readonly all: Row[][] = []
  readonly subscription: LixSubscription
  #waiting: (() => void)[] = []

  constructor(observable: LixObservable<Row>) {
    this.subscription = observable.subscribe((rows) => {
      this.all.push(rows)
      for (const wake of this.#waiting.splice(0)) wake()
    })
  }

  /** The rows once they have been told so often. */
  async times(count: number): Promise<Row[]> {
    while (this.all.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.all[count - 1]!
  }
}

/**
 * All that was started before is over: two commits make an observer of its own run, the second time after the pause
 * that every observer makes.
 */
async function quiet(lix: Lix): Promise<void> {
  const told = new Told(lix.observe(sql<{ n: number }>`select count(*) as n from quiet`))
  await told.times(1)
  for (const count of [2, 3]) {
    await sql`insert into quiet values (1)`.execute(lix.db)
    await told.times(count)
  }
  told.subscription.unsubscribe()
  await settled()
}

/** One entity for each line, by its number. */
const LINES = `
const schema = { "x-lix-key": "line", "x-lix-version": "1.0", type: "object", properties: { text: { type: "string" } } }
const lines = (data) => (data && data.length > 0 ? new TextDecoder().decode(data).split("\\n") : [])
export default {
  key: "plugin_lines",
  detectChangesGlob: "*.lines",
  detectChanges({ before, after }) {
    const [old, now] = [lines(before?.data), lines(after.data)]
    return Array.from({ length: Math.max(old.length, now.length) }, (_, at) => at)
      .filter((at) => old[at] !== now[at])
      .map((at) => ({ entity_id: String(at), schema, snapshot_content: at < now.length ? { text: now[at] } : null }))
  },
  applyChanges({ changes }) {
    const sorted = [...changes].sort((a, b) => Number(a.entity_id) - Number(b.entity_id))
    return { fileData: new TextEncoder().encode(sorted.map(({ snapshot_content }) => snapshot_content.text).join("\\n")) }
  },
}
`

const set = (lix: Lix, key: string, value: number | string) => lix.db.insertInto("key_value").values({ key, value }).execute()

test("subscribers are told the rows, and every change of them", { timeout: 20_000 }, async (t) => {
  const { lix } = await open(t)
  const told = new Told(lix.observe(lix.db.selectFrom("key_value").select(["key", "value"]).where("key", "in", ["a", "b"]).orderBy("key")))
  assert.deepEqual(await told.times(1), [])
  await set(lix, "a", 1)
  assert.deepEqual(await told.times(2), [{ key: "a", value: 1 }])
  await lix.db.updateTable("key_value").set({ value: { deep: [true] } }).where("key", "=", "a").execute()
  assert.deepEqual(await told.times(3), [{ key: "a", value: { deep: [true] } }])
  await lix.db.deleteFrom("key_value").where("key", "=", "a").execute()
  assert.deepEqual(await told.times(4), [])
  told.subscription.unsubscribe()
  assert.equal(told.subscription.closed, true)
  await set(lix, "b", 1)
  await quiet(lix)
  assert.equal(told.all.length, 4)
})

test("what a commit cannot have changed does not run again; rows that are equal are not told", async (t) => {
  const { lix, runs } = await open(t)
  const one = new Told(lix.observe(lix.db.selectFrom("key_value").select("value").where("key", "=", "a")))
  const labels = new Told(lix.observe(lix.db.selectFrom("label").select((eb) => eb.fn.countAll<number>().as("n"))))
  await Promise.all([one.times(1), labels.times(1)])
  runs.length = 0
  await set(lix, "b", 1)
  await quiet(lix)
  assert.deepEqual(runs, [])
  await set(lix, "a", 1)
  await one.times(2)
  assert.equal(runs.length, 1)
  await lix.db.updateTable("label").set({ name: "renamed" }).execute()
  await quiet(lix)
  assert.equal(runs.length, 2)
  assert.equal(labels.all.length, 1)
})

test("the same query is one observable, with one run for all of its subscribers", async (t) => {
  const { lix, runs } = await open(t)
  const query = () => lix.db.selectFrom("key_value").select("value").where("key", "=", "a")
  const observable = lix.observe(query())
  assert.equal(lix.observe(query()), observable)
  assert.equal(lix.observe(query().compile()), observable)
  assert.notEqual(lix.observe(query(), { mode: "first" }), observable)
  assert.notEqual(lix.observe(lix.db.selectFrom("key_value").select("value").where("key", "=", "b")), observable)
  const one = new Told(observable)
  const two = new Told(observable)
  await Promise.all([one.times(1), two.times(1)])
  const late = new Told(observable)
  assert.deepEqual(await late.times(1), [])
  assert.equal(runs.length, 1)
  await set(lix, "a", 1)
  await Promise.all([one.times(2), two.times(2), late.times(2)])
  assert.equal(runs.length, 2)
  for (const { subscription } of [one, two, late]) subscription.unsubscribe()
  assert.equal(lix.observe(query()), observable)
  await lix.db.updateTable("key_value").set({ value: 2 }).execute()
  await quiet(lix)
  assert.equal(runs.length, 2)
  // Whoever comes back is told what is true now.
  assert.deepEqual(await new Told(observable).times(1), [{ value: 2 }])
})

test("bytes and numbers that JSON would write alike are different parameters", async (t) => {
  const { lix } = await open(t)
  const observables = [1, "1", 1n, null, "null", new Uint8Array([1]), "bytes,1"].map((value) => lix.observe(sql`select ${value} as v`))
  assert.equal(new Set(observables).size, observables.length)
})

test("a burst of commits is one run after the other, never two at once, and ends with the last", { timeout: 20_000 }, async (t) => {
  const { lix, runs, engine } = await open(t)
  const told = new Told(lix.observe(lix.db.selectFrom("key_value").select((eb) => eb.fn.countAll<number>().as("n")).where("key", "like", "k%")))
  await told.times(1)
  let inFlight = 0
  const most = { runs: 0 }
  const exec = engine.exec
  engine.exec = (async (...args: Parameters<typeof exec>) => {
    const isRun = (args[2] as { reportReads?: boolean } | undefined)?.reportReads === true && !args[0].includes("quiet")
    if (isRun) most.runs = Math.max(most.runs, ++inFlight)
    try {
      return await exec(...args)
    } finally {
      if (isRun) inFlight--
    }
  }) as typeof exec
  runs.length = 0
  await Promise.all(Array.from({ length: 50 }, (_, index) => set(lix, `k${index}`, index)))
  while (told.all.at(-1)![0]!.n !== 50) await told.times(told.all.length + 1)
  await quiet(lix)
  assert.equal(most.runs, 1)
  assert.ok(runs.length < 50, `${runs.length} runs`)
  const counts = told.all.map(([row]) => row!.n)
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b))
})

test("nothing uncommitted is told, whoever opened the transaction", { timeout: 20_000 }, async (t) => {
  const { lix, engine } = await open(t)
  const observable = lix.observe(lix.db.selectFrom("key_value").select("value").where("key", "=", "a"))
  const told = new Told(observable)
  await told.times(1)
  let late: Told<{ value: unknown }> | undefined
  await assert.rejects(lix.db.transaction().execute(async (trx) => {
    await trx.insertInto("key_value").values({ key: "a", value: "gone" }).execute()
    late = new Told(lix.observe(lix.db.selectFrom("key_value").select("value").where("key", "=", "a").limit(5)))
    await settled()
    throw new Error("back")
  }))
  assert.deepEqual(await late!.times(1), [])
  assert.equal(told.all.length, 1)

  // A transaction that Kysely knows nothing of.
  await engine.exec("begin")
  await engine.exec("insert into key_value (key, value) values ('a', 'gone')")
  const other = new Told(lix.observe(lix.db.selectFrom("key_value").select("value").where("key", "=", "a").limit(6)))
  await settled()
  await engine.exec("select 1")
  assert.deepEqual(other.all, [])
  await engine.exec("rollback")
  assert.deepEqual(await other.times(1), [])
  await set(lix, "a", 1)
  assert.deepEqual(await other.times(2), [{ value: 1 }])
  assert.deepEqual(await told.times(2), [{ value: 1 }])
})

test("every kind of query runs again: version, active version, unions, CTEs, subqueries, raw SQL, joins, diffs, history, plain tables", { timeout: 60_000 }, async (t) => {
  const { lix } = await open(t)
  await set(lix, "a", 1)
  await createVersion({ lix, id: "draft", name: "Draft" })
  const { id: main } = await lix.db.selectFrom("version").select("id").where("name", "=", "main").executeTakeFirstOrThrow()
  const has = async <Row>(observable: LixObservable<Row>, change: () => Promise<unknown>, check: (rows: Row[]) => boolean) => {
    const told = new Told(observable)
    assert.ok(!check(await told.times(1)))
    await change()
    while (!check(told.all.at(-1)!)) await told.times(told.all.length + 1)
    told.subscription.unsubscribe()
  }
  const { db } = lix
  await has(lix.observe(db.selectFrom("version").select("name")), () => db.updateTable("version").set({ name: "Second" }).where("id", "=", "draft").execute(), (rows) => rows.some(({ name }) => name === "Second"))
  await has(lix.observe(db.selectFrom("state").select("entity_id")), () => set(lix, "s", 1), (rows) => rows.some(({ entity_id }) => entity_id === "s"))
  await has(lix.observe(db.selectFrom("state_all").select(["entity_id", "version_id"])), () => set(lix, "sa", 1), (rows) => rows.some(({ entity_id }) => entity_id === "sa"))
  await has(lix.observe(db.selectFrom("key_value").select("value").where("key", "=", "in draft")),
    async () => {
      await db.insertInto("key_value_all").values({ key: "in draft", value: 1, lixcol_version_id: "draft" }).execute()
      await switchVersion({ lix, to: { id: "draft" } })
    }, (rows) => rows.length === 1)
  await has(lix.observe(db.selectFrom("active_version").select("version_id")), () => switchVersion({ lix, to: { id: main } }), ([row]) => row!.version_id === main)
  await has(lix.observe(db.selectFrom("key_value").select("key").where("key", "=", "none").union(db.selectFrom("key_value").select("key").where("key", "=", "u"))), () => set(lix, "u", 1), (rows) => rows.length === 1)
  await has(lix.observe(db.with("mine", (with_) => with_.selectFrom("key_value").select("key").where("key", "=", "cte")).selectFrom("mine").selectAll()), () => set(lix, "cte", 1), (rows) => rows.length === 1)
  await has(lix.observe(db.selectFrom("label").select((eb) => ["name", eb.selectFrom("key_value").select("value").where("key", "=", "sub").as("v")])), () => set(lix, "sub", 7), ([row]) => row!.v === 7)
  await has(lix.observe(sql<{ n: number }>`select count(*) as n from key_value where key like 'raw%'`), () => set(lix, "raw", 1), ([row]) => row!.n === 1)
  await has(lix.observe(db.selectFrom("key_value as k").innerJoin("change as c", "c.id", "k.lixcol_change_id").select("c.created_at").where("k.key", "=", "j")), () => set(lix, "j", 1), (rows) => rows.length === 1)
  await has(lix.observe(selectWorkingDiff({ lix }).where("entity_id", "=", "w")), () => set(lix, "w", 1), (rows) => rows.length === 1)
  await has(lix.observe(selectWorkingDiff({ lix }).where("entity_id", "=", "w").limit(3)), () => createCheckpoint({ lix }), (rows) => rows.length === 0 || rows.every(({ status }) => status === "unchanged"))
  await has(lix.observe(db.selectFrom("key_value_history").select("key").where("key", "=", "h")), () => set(lix, "h", 1), (rows) => rows.length > 0)
  await has(lix.observe(db.selectFrom("commit").select("id")), async () => {
    await db.insertInto("key_value_all").values({ key: "merged", value: 1, lixcol_version_id: "draft" }).execute()
    await mergeVersion({ lix, source: { id: "draft" } })
  }, (rows) => rows.length > 22)
  await sql`create table plain (a)`.execute(db)
  await has(lix.observe(sql<{ a: number }>`select a from plain`), () => sql`insert into plain values (1)`.execute(db), (rows) => rows.length === 1)
  await has(lix.observe(db.selectFrom("key_value_all").select("value").where("key", "=", "untracked")), () => db.insertInto("key_value").values({ key: "untracked", value: 1, lixcol_untracked: true }).execute(), (rows) => rows.length === 1)
})

test("files are told again when they are written, when their entities are, and when another version is active", { timeout: 30_000 }, async (t) => {
  const engine = createMainMemoryEngine({ expProvideStringifiedPlugins: [LINES] })
  const lix = await openLix({ engine })
  t.after(() => lix.close())
  const text = new Told(lix.observe(lix.db.selectFrom("file").select("data").where("id", "=", "f")))
  const paths = new Told(lix.observe(lix.db.selectFrom("file").select("path").orderBy("path")))
  await Promise.all([text.times(1), paths.times(1)])
  const data = (lines: string) => [{ data: new TextEncoder().encode(lines) }]
  await lix.db.insertInto("file").values({ id: "f", path: "/a.lines", data: data("one\ntwo")[0]!.data }).execute()
  assert.deepEqual(await text.times(2), data("one\ntwo"))
  assert.deepEqual(await paths.times(2), [{ path: "/a.lines" }])
  await lix.db.updateTable("state").set({ snapshot_content: { text: "TWO" } }).where("schema_key", "=", "line").where("entity_id", "=", "1").execute()
  assert.deepEqual(await text.times(3), data("one\nTWO"))
  const draft = await createVersion({ lix, name: "Draft" })
  await lix.db.updateTable("file_all").set({ data: data("three")[0]!.data }).where("id", "=", "f").where("lixcol_version_id", "=", draft.id).execute()
  await switchVersion({ lix, to: draft })
  assert.deepEqual(await text.times(4), data("three"))
  assert.equal(paths.all.length, 2)
})

test("bytes are compared as bytes", async (t) => {
  const { lix, runs } = await open(t)
  await sql`create table blobs (data blob)`.execute(lix.db)
  await sql`insert into blobs values (${new Uint8Array([1, 2, 3])})`.execute(lix.db)
  const told = new Told(lix.observe(sql<{ data: Uint8Array }>`select data from blobs`))
  assert.deepEqual(await told.times(1), [{ data: new Uint8Array([1, 2, 3]) }])
  runs.length = 0
  await set(lix, "a", 1)
  await quiet(lix)
  assert.ok(runs.length > 0)
  assert.equal(told.all.length, 1)
  await sql`update blobs set data = ${new Uint8Array([1, 2, 4])}`.execute(lix.db)
  assert.deepEqual(await told.times(2), [{ data: new Uint8Array([1, 2, 4]) }])
})

test("first rows: with a limit, undefined or an error while there is none, and it goes on", async (t) => {
  const { lix, runs } = await open(t)
  const query = lix.db.selectFrom("key_value").select("value").where("key", "like", "f%").orderBy("key")
  const first: unknown[] = []
  const orThrow: unknown[] = []
  lix.observe(query, { mode: "first" }).subscribeTakeFirst((row) => first.push(row))
  lix.observe(query, { mode: "firstOrThrow" }).subscribeTakeFirstOrThrow({ next: (row) => orThrow.push(row), error: (error) => orThrow.push(error) })
  await quiet(lix)
  assert.ok(runs.every((text) => text.includes("limit")), runs.join("\n"))
  assert.deepEqual(first, [undefined])
  assert.ok(orThrow[0] instanceof EngineError)
  assert.equal(orThrow[0].message, "Query returned no rows")
  await set(lix, "f2", 2)
  await quiet(lix)
  assert.deepEqual([first.at(-1), orThrow.at(-1)], [{ value: 2 }, { value: 2 }])
  await lix.db.deleteFrom("key_value").where("key", "=", "f2").execute()
  await quiet(lix)
  assert.deepEqual([first.length, orThrow.length], [3, 3])
  assert.equal(first[2], undefined)
})

test("a query that fails tells so once, and leaves nothing behind", async (t) => {
  const { lix, runs } = await open(t)
  const observable = lix.observe(sql<{ a: number }>`select a from nowhere`)
  const failed = () => new Promise<unknown>((resolve) => observable.subscribe({ error: resolve }))
  const error = await failed()
  assert.ok(error instanceof EngineError && error.reason === "SQL_ERROR")
  runs.length = 0
  await set(lix, "a", 1)
  await quiet(lix)
  assert.deepEqual(runs, [])
  // Whoever subscribes afterwards begins anew.
  await sql`create table nowhere (a)`.execute(lix.db)
  assert.deepEqual(await new Told(observable).times(1), [])
  await sql`drop table nowhere`.execute(lix.db)
})

test("errors nobody listens for, and what subscribers throw, are uncaught errors", async (t) => {
  const { lix } = await open(t)
  const uncaught: string[] = []
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push((error as Error).message))
  t.after(() => process.setUncaughtExceptionCaptureCallback(null))
  const observable = lix.observe(lix.db.selectFrom("label").select("name"))
  observable.subscribe(() => {
    throw new Error("a subscriber's mistake")
  })
  const other = new Told(observable)
  await other.times(1)
  lix.observe(sql`select missing`).subscribe(() => {})
  await quiet(lix)
  assert.equal(uncaught[0], "a subscriber's mistake")
  assert.match(uncaught[1]!, /no such column/)
  assert.equal(uncaught.length, 2)
})

test("whoever leaves is told nothing more, also in the middle of being told", async (t) => {
  const { lix, runs } = await open(t)
  const query = lix.db.selectFrom("key_value").select("value").where("key", "=", "a")
  let calls = 0
  const subscription = lix.observe(query).subscribe(() => {
    calls++
    subscription.unsubscribe()
    subscription.unsubscribe()
  })
  await quiet(lix)
  await set(lix, "a", 1)
  await quiet(lix)
  assert.equal(calls, 1)
  runs.length = 0
  lix.observe(query).subscribe(() => calls++).unsubscribe()
  await quiet(lix)
  assert.deepEqual([calls, runs.length], [1, 0])
})

test("it is what libraries for observables take it for", async (t) => {
  const { lix } = await open(t)
  const observable = lix.observe(lix.db.selectFrom("label").select("name"))
  assert.equal((observable as unknown as Record<symbol, () => unknown>)[Symbol.observable]!(), observable)
  assert.throws(() => lix.observe(lix.db.selectFrom("label").select("name"), { mode: "one" as "array" }), /mode is one/)
  assert.throws(() => lix.observe(lix.db.selectFrom("label").select("name"), { limit: 1 } as object), /no option limit/)
})

test("closing completes; a lost engine is an error", async () => {
  const lix = await openLix({ engine: createMainMemoryEngine() })
  const outcomes: string[] = []
  const observe = (lix: Lix) => lix.observe(lix.db.selectFrom("label").select("name")).subscribe({ complete: () => outcomes.push("complete"), error: (error) => outcomes.push((error as EngineError).reason) })
  observe(lix)
  await lix.db.selectFrom("label").selectAll().execute()
  await lix.close()
  assert.deepEqual(outcomes, ["complete"])
  const port = createMemoryPort()
  const other = await openLix({ engine: createEngine(port) })
  observe(other)
  await other.db.selectFrom("label").selectAll().execute()
  port.onmessage!({ data: "no message at all" } as MessageEvent)
  assert.deepEqual(outcomes, ["complete", "TRANSPORT_CLOSED"])
})
