// openLix on a real engine: options, JSON, hooks, helpers, closing. What observes is in observe.test.ts.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createMainMemoryEngine, EngineError, type LixEngine } from "../../src/index.js"
import {
  applyChangeSet, commitIsAncestorOf, commitIsDescendantOf, createAccount, createChangeSet, createCheckpoint, createEntityLabel, createEntityThread, createLabel, createLog,
  createThread, createThreadComment, createVersion, createVersionFromCommit, deleteEntityLabel, deleteEntityThread, ebEntity, executeSync, generateHumanId, isDeterministicMode,
  jsonArrayFrom, jsonObjectFrom, LIX_TABLES, mergeVersion, nanoId, newLixFile, nextDeterministicSequenceNumber, openLix, random, selectVersionDiff, selectWorkingDiff, sql,
  switchAccount, switchVersion, timestamp, transition, uuidV7, type EntityTablesOf, type JsonColumn, type JsonValue, type Lix, type LixPlugin, type OpenLixOptions, type StateCommit, type ThreadCommentBody,
} from "../../src/lix/index.js"
import { COLUMNS } from "../support/columns.js"
import { rejects, settled } from "../support/assert.js"

async function open(t: TestContext, options: OpenLixOptions = {}): Promise<Lix> {
  const lix = await openLix({ engine: createMainMemoryEngine(), ...options })
  t.after(() => lix.close())
  return lix
}

/** Counts the calls that go to an engine. */
function counted(engine: LixEngine): { engine: LixEngine; calls: string[] } {
  const calls: string[] = []
  for (const name of ["init", "exec", "execBatch", "export", "close"] as const) {
    const call = (engine[name] as (...args: unknown[]) => unknown).bind(engine)
    Object.defineProperty(engine, name, {
      value: (...args: unknown[]) => {
        calls.push(name)
        return call(...args)
      },
    })
  }
  return { engine, calls }
}

const comment = (text: string): ThreadCommentBody => ({
  type: "zettel_doc",
  content: [{ type: "zettel_text_block", zettel_key: "block-1", style: "zettel_normal", children: [{ type: "zettel_span", zettel_key: "span-01", text, marks: [] }] }],
})

// Opening.

test("a new lix opens without options, and has everything", async () => {
  const lix = await openLix()
  assert.deepEqual(await lix.db.selectFrom("active_version as a").innerJoin("version as v", "v.id", "a.version_id").select(["v.name", "v.hidden"]).execute(), [{ name: "main", hidden: 0 }])
  assert.equal(lix.engine.status().storage, "memory")
  await lix.close()
})

test("opening costs two exchanges, whatever is asked for", async (t) => {
  const plain = counted(createMainMemoryEngine())
  await (await open(t, { engine: plain.engine })).plugin.getAll()
  assert.deepEqual(plain.calls, ["init"])
  const full = counted(createMainMemoryEngine())
  const blob = await newLixFile()
  await open(t, { engine: full.engine, blob, account: { id: "ada", name: "Ada" }, keyValues: [{ key: "a", value: 1 }, { key: "b", value: 2 }] })
  assert.deepEqual(full.calls, ["init", "execBatch"])
})

test("the account is made in global and is the only active one; the name of one that exists stays", async (t) => {
  const lix = await open(t, { account: { id: "ada", name: "Ada" } })
  const accounts = (lix: Lix) =>
    lix.db.selectFrom("active_account as a").innerJoin("account_all as n", "n.id", "a.account_id").where("n.lixcol_version_id", "=", "global").select(["n.id", "n.name"]).execute()
  assert.deepEqual(await accounts(lix), [{ id: "ada", name: "Ada" }])
  await lix.db.insertInto("label").values({ name: "x" }).execute()
  assert.deepEqual(await lix.db.selectFrom("change_author").innerJoin("label", "label.lixcol_change_id", "change_author.change_id").select("account_id").execute(), [{ account_id: "ada" }])

  const again = await open(t, { blob: await lix.toBlob(), account: { id: "ada", name: "Somebody else" } })
  assert.deepEqual(await accounts(again), [{ id: "ada", name: "Ada" }])
  const same = await open(t, { blob: await lix.toBlob() })
  assert.deepEqual(await accounts(same), [{ id: "ada", name: "Ada" }])
})

test("key values are set on every open, and equal ones make no commit", async (t) => {
  const keyValues = [
    { key: "tracked", value: { deep: [1, "2", null, true] } },
    { key: "global", value: "here", lixcol_version_id: "global" },
    { key: "untracked", value: false, lixcol_untracked: true },
    { key: "nothing", value: null },
  ]
  const lix = await open(t, { keyValues })
  const shown = async (lix: Lix) =>
    (await lix.db.selectFrom("key_value").select(["key", "value", "lixcol_untracked as u", "lixcol_inherited_from_version_id as from"])
      .where("key", "in", keyValues.map(({ key }) => key)).orderBy("key").execute()).map(({ key, value, u, from }) => [key, value, u, from])
  const expected = [
    ["global", "here", 0, "global"],
    ["nothing", null, 0, null],
    ["tracked", { deep: [1, "2", null, true] }, 0, null],
  ]
  assert.deepEqual((await shown(lix)).filter(([key]) => key !== "untracked"), expected)
  assert.deepEqual((await shown(lix)).filter(([key]) => key === "untracked").map((row) => row.slice(1, 3)), [[false, 1]])

  const blob = await lix.toBlob()
  const commits = async (lix: Lix) => (await lix.db.selectFrom("commit").select("id").execute()).length
  const before = await commits(lix)
  const again = await open(t, { blob, keyValues })
  assert.equal(await commits(again), before)
  assert.deepEqual(await shown(again), await shown(lix))

  const changed = await open(t, { blob, keyValues: [{ key: "tracked", value: "new" }] })
  assert.equal(await commits(changed), before + 1)
  assert.deepEqual((await shown(changed)).find(([key]) => key === "tracked")?.slice(0, 2), ["tracked", "new"])
})

test("whatever cannot be done is refused, and the engine is closed", async () => {
  const refused = async (options: object, expected: string, subject?: string) => {
    const engine = createMainMemoryEngine()
    await rejects(openLix({ engine, ...options }), expected, subject === undefined ? {} : { subject })
    return engine.status().phase
  }
  assert.equal(await refused({ storage: {} }, "INVALID/OPTION_INVALID", "storage"), "closed")
  assert.equal(await refused({ acount: {} }, "INVALID/OPTION_INVALID", "acount"), "closed")
  await rejects(openLix({ engine: {} as LixEngine }), "INVALID/OPTION_INVALID", { subject: "engine" })
  await rejects(openLix(null as never), "INVALID/OPTION_INVALID", { subject: "options" })
  assert.equal(await refused({ account: { id: "a" } }, "INVALID/OPTION_INVALID", "account.name"), "closed")
  assert.equal(await refused({ account: { id: "", name: "" } }, "INVALID/OPTION_INVALID", "account.id"), "closed")
  assert.equal(await refused({ account: { id: "a", name: "A", mail: "" } }, "INVALID/OPTION_INVALID", "account.mail"), "closed")
  assert.equal(await refused({ keyValues: {} }, "INVALID/OPTION_INVALID", "keyValues"), "closed")
  assert.equal(await refused({ keyValues: [{ key: "", value: 1 }] }, "INVALID/OPTION_INVALID", "keyValues[0].key"), "closed")
  assert.equal(await refused({ keyValues: [{ key: "a" }] }, "INVALID/OPTION_INVALID", "keyValues[0].value"), "closed")
  assert.equal(await refused({ keyValues: [{ key: "a", value: 1, untracked: true }] }, "INVALID/OPTION_INVALID", "keyValues[0].untracked"), "closed")
  assert.equal(await refused({ keyValues: [{ key: "a", value: () => 1 }] }, "INVALID/OPTION_INVALID"), "closed")
  assert.equal(await refused({ keyValues: [{ key: "a", value: 1, lixcol_version_id: "nope" }] }, "INVALID/VERSION_UNKNOWN"), "closed")
  assert.equal(await refused({ blob: await newLixFile(), keyValues: [{ key: "a", value: 1, lixcol_version_id: "nope" }] }, "INVALID/VERSION_UNKNOWN"), "closed")
  assert.equal(await refused({ blob: new Blob([]) }, "CORRUPT/IMAGE_INVALID"), "closed")
  assert.equal(await refused({ blob: new Uint8Array() }, "CORRUPT/IMAGE_INVALID"), "closed")
  assert.equal(await refused({ blob: new Blob(["no database at all"]) }, "CORRUPT/IMAGE_INVALID"), "closed")
})

test("an engine that is open already is taken over if it is a lix that tells of its commits, and stays open if not", async (t) => {
  const engine = async (options: Parameters<LixEngine["init"]>[0]) => {
    const engine = createMainMemoryEngine()
    t.after(() => engine.close())
    await engine.init(options)
    return engine
  }
  const good = await engine({ lix: true, events: ["commit"], commitDetail: "values" })
  const lix = await open(t, { engine: good, keyValues: [{ key: "a", value: 1 }] })
  assert.deepEqual(await lix.db.selectFrom("key_value").select("value").where("key", "=", "a").execute(), [{ value: 1 }])

  for (const options of [{}, { lix: true }, { lix: true, events: ["commit" as const] }, { lix: true, events: ["commit" as const], commitDetail: "keys" as const }]) {
    const other = await engine(options)
    await rejects(openLix({ engine: other }), "INVALID/OPTION_INVALID", { subject: "engine" })
    assert.equal(other.status().phase, "ready")
  }
  await rejects(openLix({ engine: good, blob: await newLixFile() }), "INVALID/OPTION_INVALID", { subject: "blob" })

  const opening = createMainMemoryEngine()
  t.after(() => opening.close())
  const [, taken] = await Promise.all([opening.init({ lix: true, events: ["commit"], commitDetail: "values" }), openLix({ engine: opening })])
  assert.equal((await taken.db.selectFrom("version").selectAll().execute()).length, 2)

  const closed = createMainMemoryEngine()
  await closed.close()
  await rejects(openLix({ engine: closed }), "LIFECYCLE/CLOSED")
})

test("newLixFile: a file with its identity, and with what it was given", async (t) => {
  const blob = await newLixFile({ keyValues: [{ key: "lix_name", value: "notes" }, { key: "a", value: [1], lixcol_untracked: true }] })
  assert.equal(blob._lix.name, "notes")
  assert.ok(blob._lix.id.length > 0)
  const lix = await open(t, { blob })
  const rows = await lix.db.selectFrom("key_value").select(["key", "value"]).where("key", "in", ["lix_id", "lix_name", "a"]).orderBy("key").execute()
  assert.deepEqual(rows, [{ key: "a", value: [1] }, { key: "lix_id", value: blob._lix.id }, { key: "lix_name", value: "notes" }])
  await rejects(newLixFile({ keyValue: [] } as object), "INVALID/OPTION_INVALID", { subject: "keyValue" })
})

test("a lix that is made deterministic is so from its first id", async (t) => {
  const lix = await open(t, { keyValues: [{ key: "lix_deterministic_mode", value: { enabled: true }, lixcol_version_id: "global" }] })
  assert.equal(await isDeterministicMode({ lix }), true)
  assert.deepEqual(await lix.db.selectFrom("active_version").select("version_id").execute(), [{ version_id: "boot_0000000000" }])
  assert.equal(typeof (await nextDeterministicSequenceNumber({ lix })), "number")
  const plain = await open(t)
  assert.equal(await isDeterministicMode({ lix: plain }), false)
  await rejects(nextDeterministicSequenceNumber({ lix: plain }), "INVALID/SQL_ERROR")
})

// JSON.

const VALUES: JsonValue[] = [
  null, true, false, 0, 1, -1.5, 2 ** 40, "", "text", "123", "true", "null", "[broken", '{"a":1}', "[1]", '"quoted"', " {} ", {}, [], { a: 1 }, [1, "2", [3]],
  { nested: '{"x":1}', list: ["[1]"], yes: true, no: null }, "ünïcödé \u{1f600}",
]

test("whatever JSON is written to a key value is read back as it was", async (t) => {
  const lix = await open(t)
  for (const [index, value] of VALUES.entries()) await lix.db.insertInto("key_value").values({ key: `k${index}`, value }).execute()
  const table = lix.db.selectFrom("key_value").where("key", "like", "k%")
  const inOrder = <Row extends { key: string }>(rows: Row[]) => rows.sort((a, b) => Number(a.key.slice(1)) - Number(b.key.slice(1)))
  const values = (rows: { key: string; value: unknown }[]) => inOrder(rows).map(({ value }) => value)
  assert.deepEqual(values(await table.select(["key", "value"]).execute()), VALUES)
  assert.deepEqual(values(await table.selectAll().orderBy("key", "desc").execute()), VALUES)
  assert.deepEqual(values(await table.select(["key", "key_value.value"]).distinct().execute()), VALUES)
  assert.deepEqual(values((await table.select(["key", "value as v"]).execute()).map(({ key, v }) => ({ key, value: v }))), VALUES)
  assert.deepEqual(values(await table.groupBy("key").select(["key", "value", sql<number>`count(*)`.as("n")]).execute()), VALUES)
  const joined = await lix.db.selectFrom("key_value as a").leftJoin("key_value_all as b", "b.key", "a.key").where("a.key", "like", "k%").selectAll("b").select("a.key as key").execute()
  assert.deepEqual(values(joined as { key: string; value: unknown }[]), VALUES)
  const history = await lix.db.selectFrom("key_value_history").where("key", "like", "k%")
    .where("lixcol_root_commit_id", "=", (eb) => eb.selectFrom("version").where("name", "=", "main").select("commit_id").$castTo<string>()).select(["key", "value"]).execute()
  assert.deepEqual(values(history), VALUES)
  const streamed: { key: string; value: unknown }[] = []
  for await (const row of table.select(["key", "value"]).stream()) streamed.push(row)
  assert.deepEqual(values(streamed), VALUES)
  assert.deepEqual(Object.keys((await table.select(["key", "value"]).execute())[0]!), ["key", "value"])

  for (const value of VALUES) {
    await lix.db.updateTable("key_value").set({ value }).where("key", "=", "k0").execute()
    assert.deepEqual(await table.select("value").where("key", "=", "k0").executeTakeFirst(), { value })
    await lix.db.updateTable("key_value").set("value", value).where("key", "=", "k0").execute()
  }
  await lix.db.updateTable("key_value").set({ value: sql`json_array(1, 2)` }).where("key", "=", "k0").execute()
  assert.deepEqual(await table.select("value").where("key", "=", "k0").executeTakeFirst(), { value: [1, 2] })
  await lix.db.insertInto("key_value").values([{ key: "m1", value: "[1]" }, { key: "m2", value: sql`json_object('a', 1)` }]).execute()
  assert.deepEqual(await lix.db.selectFrom("key_value").select("value").where("key", "in", ["m1", "m2"]).orderBy("key").execute(), [{ value: "[1]" }, { value: { a: 1 } }])
})

test("subqueries have the columns that were asked for, and no others", async (t) => {
  const lix = await open(t)
  const { db } = lix
  await db.insertInto("key_value").values([{ key: "a", value: "b" }, { key: "b", value: { x: "[1]" } }]).execute()
  const values = db.selectFrom("key_value").select("value").where("key", "=", "a")
  assert.deepEqual(await db.selectFrom("key_value").select("value").where("key", "in", values.$castTo<string>()).execute(), [{ value: { x: "[1]" } }])
  assert.deepEqual(await db.selectFrom("key_value").select("key").where("key", "=", "b").union(values.clearSelect().select("value as key").$castTo<{ key: string }>()).execute(), [{ key: "b" }])
  assert.deepEqual(await db.selectFrom(values.as("v")).selectAll().execute(), [{ value: "b" }])
  assert.deepEqual(await db.with("v", () => db.selectFrom("key_value").select("value").where("key", "=", "b")).selectFrom("v").selectAll().execute(), [{ value: { x: "[1]" } }])
  await db.insertInto("label").columns(["name"]).expression(values.$castTo<{ name: string }>()).execute()
  assert.equal((await db.selectFrom("label").select("name").where("name", "=", "b").execute()).length, 1)
})

test("only columns that are declared JSON are parsed, and those once", async (t) => {
  const lix = await open(t)
  const name = '["a"]'
  await lix.db.insertInto("label").values({ id: "{}", name }).execute()
  assert.deepEqual(await lix.db.selectFrom("label").select(["id", "name"]).where("id", "=", "{}").execute(), [{ id: "{}", name }])
  const state = await lix.db.selectFrom("state").select("snapshot_content").where("entity_id", "=", "{}").where("schema_key", "=", "lix_label").executeTakeFirstOrThrow()
  assert.deepEqual(state.snapshot_content, { id: "{}", name })
  const change = await lix.db.selectFrom("change").select(["snapshot_content", "entity_id"]).where("entity_id", "=", "{}").where("schema_key", "=", "lix_label").executeTakeFirstOrThrow()
  assert.deepEqual(change, { snapshot_content: { id: "{}", name }, entity_id: "{}" })
  const commit = await lix.db.selectFrom("commit").innerJoin("label", "label.lixcol_commit_id", "commit.id").where("label.id", "=", "{}").select("change_ids").executeTakeFirstOrThrow()
  assert.ok(Array.isArray(commit.change_ids))
  assert.deepEqual((await sql`select snapshot_content as s, '[1]' as t, '{"a":1}' as "u" from state where entity_id = '{}' and schema_key = 'lix_label'`.execute(lix.db)).rows, [
    { s: { id: "{}", name }, t: "[1]", u: '{"a":1}' },
  ])
})

test("content of state is an object on both sides; text is JSON already", async (t) => {
  const lix = await open(t)
  const entity = { entity_id: "e", schema_key: "own", file_id: "f", plugin_key: "p", schema_version: "1.0" }
  await lix.db.insertInto("state").values({ ...entity, snapshot_content: { text: "[1]" } }).execute()
  const content = () => lix.db.selectFrom("state").select("snapshot_content as c").where("schema_key", "=", "own").execute()
  assert.deepEqual(await content(), [{ c: { text: "[1]" } }])
  await lix.db.updateTable("state").set({ snapshot_content: '{"text":2}' }).where("schema_key", "=", "own").execute()
  assert.deepEqual(await content(), [{ c: { text: 2 } }])
  await lix.db.updateTable("state").set({ snapshot_content: null }).where("schema_key", "=", "own").execute()
  assert.deepEqual(await content(), [])
  assert.deepEqual(await lix.db.selectFrom("state_with_tombstones").select("snapshot_content as c").where("schema_key", "=", "own").execute(), [{ c: null }])
})

test("subqueries of Kysely's JSON helpers come as arrays and objects", async (t) => {
  const lix = await open(t)
  await lix.db.insertInto("thread").values({ id: "t", metadata: { a: 1 } }).execute()
  await createThreadComment({ lix, thread_id: "t", body: comment("one"), id: "c1" })
  const row = await lix.db.selectFrom("thread").where("thread.id", "=", "t").select((eb) => [
    "thread.id",
    jsonArrayFrom(eb.selectFrom("thread_comment").whereRef("thread_comment.thread_id", "=", "thread.id").select(["thread_comment.id", "thread_comment.parent_id"])).as("comments"),
    jsonObjectFrom(eb.selectFrom("version").where("name", "=", "main").select("version.name")).as("version"),
    jsonObjectFrom(eb.selectFrom("version").where("name", "=", "none").select("version.name")).as("none"),
  ]).executeTakeFirstOrThrow()
  assert.deepEqual(row, { id: "t", comments: [{ id: "c1", parent_id: null }], version: { name: "main" }, none: null })
})

test("what JSON cannot hold, and what an INSERT cannot return, is refused before anything runs", async (t) => {
  const lix = await open(t)
  const insert = (value: unknown) => lix.db.insertInto("key_value").values({ key: "a", value: value as JsonValue }).execute()
  const circle: { self?: unknown } = {}
  circle.self = circle
  await rejects((async () => insert(circle))(), "INVALID/PARAM_INVALID")
  await rejects((async () => insert(Symbol("x")))(), "INVALID/PARAM_INVALID")
  await rejects(insert(new Uint8Array(2)), "CONSTRAINT/VALIDATION")
  const returning = async () => lix.db.insertInto("label").values({ name: "a" }).returningAll().execute()
  const error = await rejects(returning(), "INVALID/OPTION_INVALID", { subject: "returning" })
  assert.match(error.message, /Cannot use returning\(\) or returningAll\(\) with INSERT operations on view 'label'/)
  assert.deepEqual(await lix.db.selectFrom("label").select("name").where("name", "=", "a").execute(), [])
})

test("tables of one's own are left as they are", async (t) => {
  const lix = await openLix<{ own: { id: number; value: string; data: Uint8Array | null } }>({ engine: createMainMemoryEngine() })
  t.after(() => lix.close())
  await lix.db.schema.createTable("own").addColumn("id", "integer", (column) => column.primaryKey()).addColumn("value", "text").addColumn("data", "blob").execute()
  const inserted = await lix.db.insertInto("own").values({ id: 1, value: "[1]", data: new Uint8Array([1, 2]) }).returningAll().execute()
  assert.deepEqual(inserted, [{ id: 1, value: "[1]", data: new Uint8Array([1, 2]) }])
  await lix.db.insertInto("key_value").values({ key: "k", value: "{}" }).execute()
  await lix.db.updateTable("own").set({ value: { a: [1] } as never }).execute()
  assert.deepEqual(await lix.db.selectFrom("own").select("value").execute(), [{ value: '{"a":[1]}' }])
  await rejects(lix.db.updateTable("own").set({ value: new Date() as never }).execute(), "INVALID/PARAM_INVALID")
  await lix.db.updateTable("own").set({ value: "[1]" }).execute()
  const joined = await lix.db.selectFrom("own").innerJoin("key_value as k", (join) => join.on("k.key", "=", "k")).select(["own.value as own", "k.value as lix"]).execute()
  assert.deepEqual(joined, [{ own: "[1]", lix: "{}" }])
  // What WITH calls so is not the lix's table.
  const named = await lix.db.with("key_value", (db) => db.selectFrom("own").select(["value", "id"])).selectFrom("key_value").select("value").execute()
  assert.deepEqual(named, [{ value: "[1]" }])
})

test("tables of stored schemas: what is an object or an array is one on both sides", async (t) => {
  const lix = await openLix<EntityTablesOf<"note", { id: string; tags: JsonColumn<string[] | null>; any: JsonColumn<JsonValue> }>>({ engine: createMainMemoryEngine() })
  t.after(() => lix.close())
  const properties = { id: { type: "string" }, tags: { type: ["array", "null"], items: { type: "string" } }, any: {} }
  await lix.db.insertInto("stored_schema").values({ value: { type: "object", "x-lix-key": "note", "x-lix-version": "1.0", "x-lix-primary-key": ["id"], additionalProperties: false, properties } }).execute()
  await lix.db.insertInto("note").values({ id: "n", tags: ["[1]"], any: { a: 1 } }).execute()
  const read = () => lix.db.selectFrom("note").select(["tags", "any"]).execute()
  assert.deepEqual(await read(), [{ tags: ["[1]"], any: { a: 1 } }])
  await lix.db.updateTable("note").set({ tags: null, any: "text" }).execute()
  assert.deepEqual(await read(), [{ tags: null, any: "text" }])
})

test("the engine has the tables and columns that are typed, and no others", async (t) => {
  const lix = await open(t)
  for (const [table, columns] of Object.entries(COLUMNS)) {
    const { rows } = await sql<{ name: string }>`select name from pragma_table_info(${table})`.execute(lix.db)
    assert.deepEqual(rows.map(({ name }) => name).sort(), Object.keys(columns).sort(), table)
  }
  assert.deepEqual([...LIX_TABLES].sort(), Object.keys(COLUMNS).sort())
  // Eponymous tables are modules; the others of this connection are functions and SQLite's.
  const { rows } = await sql<{ name: string }>`select name from pragma_module_list`.execute(lix.db)
  const own = rows.map(({ name }) => name).filter((name) => !/^(lix_|_lix_|pragma_|json_|jsonb_|fts\d|rtree|sqlite_|dbstat|bytecode|tables_used|geopoly|generate_series|completion)/.test(name))
  assert.deepEqual(own.sort(), Object.keys(COLUMNS).sort())
})

// Hooks.

test("hooks hear what changed, in the order of their registration, before the write settles", async (t) => {
  const lix = await open(t)
  const heard: string[] = []
  const commits: StateCommit[] = []
  const stop = lix.hooks.onStateCommit((commit) => {
    heard.push("one")
    commits.push(commit)
  })
  lix.hooks.onStateCommit(() => heard.push("two"))
  await lix.db.transaction().execute(async (trx) => {
    await trx.insertInto("key_value").values({ key: "a", value: { deep: [1] } }).execute()
    await trx.insertInto("key_value").values({ key: "u", value: "x", lixcol_untracked: true }).execute()
    assert.deepEqual(heard, [])
  })
  assert.deepEqual(heard, ["one", "two"])
  const [{ changes, truncated }] = commits as [StateCommit]
  assert.equal(truncated, false)
  assert.deepEqual(changes.map(({ schema_key, untracked, commit_id }) => [schema_key, untracked, commit_id === null]), [
    ["lix_key_value", 0, false],
    ["lix_change_set_element", 0, false],
    ["lix_key_value", 1, true],
    ["lix_change_author", 0, false],
    ["lix_commit", 0, false],
    ["lix_version_tip", 0, false],
    ["lix_commit_edge", 0, false],
  ])
  assert.deepEqual(changes[0]!.snapshot_content, { key: "a", value: { deep: [1] } })
  assert.deepEqual(changes[2]!.snapshot_content, { key: "u", value: "x" })

  stop()
  await lix.db.deleteFrom("key_value").where("key", "=", "a").execute()
  assert.deepEqual(heard, ["one", "two", "two"])
  // Neither reads, nor what is rolled back, nor what is no state.
  await lix.db.selectFrom("key_value").selectAll().execute()
  await assert.rejects(lix.db.transaction().execute(async (trx) => {
    await trx.insertInto("key_value").values({ key: "gone", value: 1 }).execute()
    throw new Error("back")
  }))
  await sql`create table plain (a)`.execute(lix.db)
  assert.deepEqual(heard, ["one", "two", "two"])
})

test("what a handler throws fails nobody else", async (t) => {
  const lix = await open(t)
  const uncaught: unknown[] = []
  const collect = (error: unknown) => uncaught.push(error)
  process.setUncaughtExceptionCaptureCallback(collect)
  t.after(() => process.setUncaughtExceptionCaptureCallback(null))
  let others = 0
  lix.hooks.onStateCommit(() => {
    throw new Error("a handler's mistake")
  })
  lix.hooks.onStateCommit(() => others++)
  await lix.db.insertInto("key_value").values({ key: "a", value: 1 }).execute()
  await settled()
  assert.equal(others, 1)
  assert.deepEqual(uncaught.map((error) => (error as Error).message), ["a handler's mistake"])
  assert.equal((await lix.db.selectFrom("key_value").select("value").where("key", "=", "a").execute()).length, 1)
})

// Helpers.

test("each helper is one exchange", async (t) => {
  const { engine, calls } = counted(createMainMemoryEngine())
  const lix = await open(t, { engine })
  calls.length = 0
  await createVersion({ lix, id: "draft", name: "Draft" })
  await createAccount({ lix, name: "Ada", lixcol_version_id: "global" })
  await createThread({ lix, comments: [{ body: comment("one") }, { body: comment("two") }] })
  await createCheckpoint({ lix })
  await uuidV7({ lix })
  await selectVersionDiff({ lix, source: { id: "draft" } }).execute()
  assert.deepEqual(calls, Array<string>(6).fill("exec"))
})

test("versions: made, switched, merged, restored", async (t) => {
  const lix = await open(t)
  const main = await lix.db.selectFrom("version").select(["id", "commit_id"]).where("name", "=", "main").executeTakeFirstOrThrow()
  await lix.db.insertInto("key_value").values({ key: "a", value: 1 }).execute()
  const draft = await createVersion({ lix, name: "Draft" })
  assert.deepEqual([draft.name, draft.inherits_from_version_id, draft.hidden], ["Draft", "global", 0])
  assert.equal((await createVersion({ lix, inheritsFrom: null })).inherits_from_version_id, null)
  assert.equal((await createVersion({ lix, from: draft, inheritsFrom: draft })).inherits_from_version_id, draft.id)
  const before = await createVersionFromCommit({ lix, commit: { id: main.commit_id! }, name: "Before" })
  assert.equal(before.commit_id, main.commit_id)

  await switchVersion({ lix, to: draft })
  await lix.db.updateTable("key_value").set({ value: 2 }).where("key", "=", "a").execute()
  await switchVersion({ lix, to: main })
  const value = async () => (await lix.db.selectFrom("key_value").select("value").where("key", "=", "a").executeTakeFirst())?.value
  assert.equal(await value(), 1)
  const diff = await selectVersionDiff({ lix, source: draft }).where("diff.status", "!=", "unchanged").select("entity_id").execute()
  assert.ok(diff.some(({ entity_id }) => entity_id === "a"))
  const merged = await mergeVersion({ lix, source: draft })
  assert.ok(merged?.id)
  assert.equal(await value(), 2)
  assert.equal(await mergeVersion({ lix, source: draft }), null)

  const restored = await transition({ lix, to: { id: main.commit_id! } })
  assert.ok(restored.change_set_id)
  assert.equal(await value(), undefined)
  await rejects(switchVersion({ lix, to: { id: "nope" } }), "INVALID/VERSION_UNKNOWN", { subject: "nope" })
})

test("checkpoints, change sets, commits", async (t) => {
  const lix = await open(t)
  await lix.db.insertInto("key_value").values({ key: "a", value: 1 }).execute()
  const working = await selectWorkingDiff({ lix }).where("status", "!=", "unchanged").selectAll().execute()
  assert.deepEqual(working.map(({ entity_id, status }) => [entity_id, status]), [["a", "added"]])
  const contents = selectWorkingDiff({ lix }).leftJoin("change as before", "before.id", "diff.before_change_id").leftJoin("change as after", "after.id", "diff.after_change_id")
    .select(["before.snapshot_content as before", "after.snapshot_content as after"]).where("diff.status", "!=", "unchanged")
  assert.deepEqual((await contents.execute()).map(({ status, before, after }) => [status, before, after]), [["added", null, { key: "a", value: 1 }]])
  const checkpoint = await createCheckpoint({ lix })
  assert.deepEqual(await selectWorkingDiff({ lix }).where("status", "!=", "unchanged").execute(), [])

  const element = await lix.db.selectFrom("state").select(["change_id", "entity_id", "schema_key", "file_id"]).where("entity_id", "=", "a").executeTakeFirstOrThrow()
  const set = await createChangeSet({ lix, metadata: { why: "[test]" }, elements: [element], lixcol_version_id: "global" })
  assert.deepEqual(set.metadata, { why: "[test]" })
  assert.equal(await applyChangeSet({ lix, changeSet: set }), null)
  await lix.db.deleteFrom("key_value").where("key", "=", "a").execute()
  const applied = await applyChangeSet({ lix, changeSet: set })
  assert.deepEqual(await lix.db.selectFrom("key_value").select("value").where("key", "=", "a").execute(), [{ value: 1 }])

  const ids = (filter: ReturnType<typeof commitIsAncestorOf>) => lix.db.selectFrom("commit").select("id").where(filter).execute()
  const ancestors = await ids(commitIsAncestorOf(applied!))
  assert.ok(ancestors.some(({ id }) => id === checkpoint.id))
  assert.ok(!ancestors.some(({ id }) => id === applied!.id))
  assert.equal((await ids(commitIsAncestorOf(applied!, { depth: 1 }))).length, 1)
  assert.ok((await ids(commitIsDescendantOf(checkpoint, { includeSelf: true }))).some(({ id }) => id === checkpoint.id))
})

test("accounts, labels, threads, logs", async (t) => {
  const lix = await open(t)
  const ada = await createAccount({ lix, name: "Ada", lixcol_version_id: "global" })
  const bob = await createAccount({ lix, id: "bob", name: "Bob" })
  const active = async () => (await lix.db.selectFrom("active_account").select("account_id").execute()).map(({ account_id }) => account_id).sort()
  await switchAccount({ lix, to: [ada, bob] })
  assert.deepEqual(await active(), [ada.id, "bob"].sort())
  await switchAccount({ lix, to: [] })
  assert.deepEqual(await active(), [])

  await lix.db.insertInto("key_value").values([{ key: "a", value: 1 }, { key: "b", value: 2 }]).execute()
  const entity = await lix.db.selectFrom("key_value").select(["lixcol_entity_id", "lixcol_schema_key", "lixcol_file_id"]).where("key", "=", "a").executeTakeFirstOrThrow()
  const label = await createLabel({ lix, name: "seen" })
  await createEntityLabel({ lix, entity, label })
  await createEntityLabel({ lix, entity, label })
  const labelled = async (by: { id: string } | { name: string }) => (await lix.db.selectFrom("key_value").select("key").where(ebEntity("key_value").hasLabel(by)).execute()).map(({ key }) => key)
  assert.deepEqual(await labelled({ name: "seen" }), ["a"])
  assert.deepEqual(await labelled(label), ["a"])
  assert.deepEqual(await labelled({ name: "nope" }), [])
  const inState = (await lix.db.selectFrom("state").select("entity_id").where(ebEntity("state").in([entity])).execute()).map(({ entity_id }) => entity_id)
  assert.deepEqual(inState, ["a"])
  assert.deepEqual(await lix.db.selectFrom("state").select("entity_id").where(ebEntity("state").in([])).execute(), [])
  assert.deepEqual(await lix.db.selectFrom("key_value").select("key").where(ebEntity().equals({ entity_id: "a", schema_key: "lix_label", file_id: "lix" })).execute(), [])
  await deleteEntityLabel({ lix, entity, label })
  assert.deepEqual(await labelled(label), [])

  const thread = await createThread({ lix, metadata: { open: true }, comments: [{ body: comment("one") }, { body: comment("two") }] })
  assert.deepEqual(thread.metadata, { open: true })
  assert.deepEqual(thread.comments.map(({ body }) => body), [comment("one"), comment("two")])
  assert.deepEqual(thread.comments.map(({ parent_id }) => parent_id), [null, thread.comments[0]!.id])
  const answer = await createThreadComment({ lix, thread_id: thread.id, body: comment("three") })
  assert.deepEqual([answer.parent_id, answer.body], [thread.comments[1]!.id, comment("three")])
  assert.equal((await createThreadComment({ lix, thread_id: thread.id, body: comment("alone"), parent_id: null })).parent_id, null)
  await lix.db.insertInto("key_value_all").values({ key: "g", value: 1, lixcol_version_id: "global" }).execute()
  const inGlobal = { entity_id: "g", schema_key: "lix_key_value", file_id: "lix" }
  await createEntityThread({ lix, entity: inGlobal, thread })
  assert.equal((await lix.db.selectFrom("entity_thread").select("thread_id").execute()).length, 1)
  await deleteEntityThread({ lix, entity: inGlobal, thread })
  assert.equal((await lix.db.selectFrom("entity_thread").select("thread_id").execute()).length, 0)

  const log = await createLog({ lix, key: "test_ran", message: "hello", level: "info" })
  assert.deepEqual(await lix.db.selectFrom("log").select(["id", "key", "message", "level"]).where("key", "=", "test_ran").execute(), [log])
})

test("ids, times, chance", async (t) => {
  const lix = await open(t)
  assert.match(await uuidV7({ lix }), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.match(await nanoId({ lix }), /^[0-9A-Za-z]{21}$/)
  assert.match(await nanoId({ lix, length: 5 }), /^[0-9A-Za-z]{5}$/)
  assert.match(await timestamp({ lix }), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.match(await generateHumanId({ lix }), /^[a-zA-Z]+/)
  const number = await random({ lix })
  assert.ok(number >= 0 && number < 1)
})

test("with the database of a transaction a helper is part of that", async (t) => {
  const lix = await open(t)
  await assert.rejects(lix.db.transaction().execute(async (db) => {
    await createVersion({ lix: { ...lix, db }, id: "gone" })
    assert.equal((await db.selectFrom("version").select("id").where("id", "=", "gone").execute()).length, 1)
    throw new Error("back")
  }), /back/)
  assert.deepEqual(await lix.db.selectFrom("version").select("id").where("id", "=", "gone").execute(), [])
})

test("executeSync says why there is none", () => {
  assert.throws(() => executeSync({ lix: {}, query: {} }), (error) => error instanceof EngineError && error.reason === "CAPABILITY_MISSING" && /querySync/.test(error.message))
})

// Files.

test("files: bytes and metadata on both sides, through every table", async (t) => {
  const lix = await open(t)
  const data = new Uint8Array([0, 1, 2, 255])
  await lix.db.insertInto("file").values({ id: "f", path: "/a.bin", data, metadata: { tags: ["[1]"], n: 1 } }).execute()
  await lix.db.insertInto("file").values({ path: "/empty" }).execute()
  const read = () => lix.db.selectFrom("file").select(["id", "path", "data", "metadata", "hidden"]).where("id", "=", "f").executeTakeFirst()
  assert.deepEqual(await read(), { id: "f", path: "/a.bin", data, metadata: { tags: ["[1]"], n: 1 }, hidden: 0 })
  assert.deepEqual(await lix.db.selectFrom("file").select(["data", "metadata"]).where("path", "=", "/empty").execute(), [{ data: new Uint8Array(), metadata: null }])
  await lix.db.updateTable("file").set({ data: new Uint8Array([7]).buffer, metadata: { n: 2 }, hidden: true }).where("id", "=", "f").execute()
  assert.deepEqual(await read(), { id: "f", path: "/a.bin", data: new Uint8Array([7]), metadata: { n: 2 }, hidden: 1 })
  await lix.db.updateTable("file_all").set({ metadata: null }).where("id", "=", "f").where("lixcol_version_id", "=", (eb) => eb.selectFrom("active_version").select("version_id")).execute()
  assert.equal((await read())!.metadata, null)
  const history = await lix.db.selectFrom("file_history").select(["lixcol_depth as depth", "metadata", "data"]).where("id", "=", "f").orderBy("lixcol_depth")
    .where("lixcol_root_commit_id", "=", (eb) => eb.selectFrom("version").where("name", "=", "main").select("commit_id").$castTo<string>()).execute()
  assert.deepEqual(history.map(({ metadata }) => metadata), [null, { n: 2 }, { tags: ["[1]"], n: 1 }])
  assert.deepEqual(history.at(-1)!.data, data)
  await rejects(lix.db.insertInto("file").values({ path: "/b", data: "text" as unknown as Uint8Array }).execute(), "CONSTRAINT/VALIDATION")
  const again = await open(t, { blob: await lix.toBlob() })
  assert.deepEqual(await again.db.selectFrom("file").select("data").where("id", "=", "f").execute(), [{ data: new Uint8Array([7]) }])
})

// Plugins.

test("plugin.getAll has the plugins that the engine was given, in order, objects as they are", async (t) => {
  const object: LixPlugin = { key: "plugin_object", detectChangesGlob: "*.a", detectChanges: () => [] }
  const text = `export const plugin = { key: "plugin_text", detectChangesGlob: "*.b", detectChanges: () => [] }`
  const lix = await open(t, { engine: createMainMemoryEngine({ expProvideStringifiedPlugins: [text] }), providePlugins: [object] })
  const plugins = await lix.plugin.getAll()
  assert.deepEqual(plugins.map(({ key, detectChangesGlob }) => [key, detectChangesGlob]), [["plugin_text", "*.b"], ["plugin_object", "*.a"]])
  assert.equal(plugins[1], object)
  const byDefault = await openLix({ providePlugins: [object] })
  assert.deepEqual(await byDefault.plugin.getAll(), [object])
  await byDefault.close()
})

test("a plugin that cannot be loaded fails the opening and closes the engine", async () => {
  const engine = createMainMemoryEngine({ expProvideStringifiedPlugins: ["export const plugin ="] })
  await rejects(openLix({ engine }), "PLUGIN/PLUGIN_LOAD")
  assert.equal(engine.status().phase, "closed")
})

// The end.

test("toBlob waits for transactions, and is the lix", async (t) => {
  const lix = await open(t)
  let blob: Promise<Blob> | undefined
  await lix.db.transaction().execute(async (trx) => {
    blob = lix.toBlob()
    await trx.insertInto("key_value").values({ key: "a", value: "in it" }).execute()
  })
  const again = await open(t, { blob: await blob! })
  assert.deepEqual(await again.db.selectFrom("key_value").select("value").where("key", "=", "a").execute(), [{ value: "in it" }])
})

test("close finishes what was asked for before, and refuses what comes after", async () => {
  const engine = createMainMemoryEngine()
  const lix = await openLix({ engine })
  const observable = lix.observe(lix.db.selectFrom("label").selectAll())
  const writes = [1, 2, 3].map((value) => lix.db.insertInto("key_value").values({ key: `k${value}`, value }).execute())
  const transaction = lix.db.transaction().execute((trx) => trx.insertInto("key_value").values({ key: "t", value: 1 }).execute())
  const blob = lix.toBlob()
  const closing = lix.close()
  assert.equal(lix.close(), closing)
  await Promise.all([...writes, transaction, blob, closing])
  assert.equal(engine.status().phase, "closed")

  await rejects(lix.db.selectFrom("key_value").selectAll().execute(), "LIFECYCLE/CLOSED")
  await rejects(lix.db.transaction().execute(async () => {}), "LIFECYCLE/CLOSED")
  await rejects(lix.toBlob(), "LIFECYCLE/CLOSED")
  await rejects(lix.plugin.getAll(), "LIFECYCLE/CLOSED")
  await rejects(createVersion({ lix }), "LIFECYCLE/CLOSED")
  const closed = (error: unknown) => error instanceof EngineError && error.reason === "CLOSED"
  assert.throws(() => lix.observe(lix.db.selectFrom("label").selectAll()), closed)
  assert.throws(() => lix.hooks.onStateCommit(() => {}), closed)
  const failed = await new Promise((resolve) => observable.subscribe({ error: resolve }))
  assert.ok(closed(failed))
})

test("a transaction that waits for close does not hold it up for ever", { timeout: 20_000 }, async () => {
  const lix = await openLix({ engine: createMainMemoryEngine() })
  const transaction = lix.db.transaction().execute(async (trx) => {
    await trx.insertInto("key_value").values({ key: "a", value: 1 }).execute()
    await lix.close()
  })
  await assert.rejects(transaction, (error) => error instanceof EngineError && error.reason === "CLOSED")
})
