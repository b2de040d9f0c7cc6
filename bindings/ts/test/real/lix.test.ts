// A lix through the package: what is asked for in init, what listeners hear, what Kysely sees.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { Kysely, sql } from "kysely"
import { createMainMemoryEngine, type EngineEvents, type InitOptions, type LixEngine, type ReadSet } from "../../src/index.js"
import { LixDialect } from "../../src/kysely/index.js"
import { rejects } from "../support/assert.js"

async function open(t: TestContext, options: InitOptions): Promise<LixEngine> {
  const engine = createMainMemoryEngine()
  t.after(() => engine.close())
  await engine.init(options)
  return engine
}

test("a new lix has the key values it was given, and is a lix when it is opened again", async (t) => {
  const keyValues = [
    { key: "lix_name", value: "notes", versionId: "global" },
    { key: "settings", value: { theme: "dark", sizes: [1, 2] } },
    { key: "draft", value: "text", untracked: true },
  ]
  const engine = createMainMemoryEngine()
  const { schemaVersion, capabilities } = await engine.init({ lix: { keyValues } })
  assert.equal(schemaVersion, "1")
  assert.ok(capabilities.announced.includes("CHANGE_CONTROL"))
  assert.equal(engine.state.commitSeq, 0)
  const image = await engine.export()
  await engine.close()

  const again = await open(t, { blob: image })
  const { rows } = await again.exec("select key, value, lixcol_untracked as untracked from key_value where key in ('lix_name', 'settings', 'draft') order by key")
  assert.deepEqual(rows, [
    { key: "draft", value: "text", untracked: 1 },
    { key: "lix_name", value: "notes", untracked: 0 },
    { key: "settings", value: '{"theme":"dark","sizes":[1,2]}', untracked: 0 },
  ])
})

test("without being asked for it, a new database is no lix", async () => {
  const engine = createMainMemoryEngine()
  assert.equal((await engine.init()).schemaVersion, undefined)
  await rejects(engine.exec("select * from key_value"), "INVALID/SQL_ERROR")
  await engine.close()
})

test("init says which key value is wrong", async () => {
  const wrong = (keyValue: { key: string; value: unknown; versionId?: string }) => createMainMemoryEngine().init({ lix: { keyValues: [keyValue] } })
  await rejects(wrong({ key: "", value: 1 }), "INVALID/OPTION_INVALID", { subject: "lix.key_values[0].key" })
  await rejects(wrong({ key: "a", value: 1, versionId: "nope" }), "INVALID/VERSION_UNKNOWN", { subject: "lix.key_values[0].version_id" })
})

test("listeners hear what changed before the call that changed it settles", async (t) => {
  const engine = await open(t, { lix: true, events: ["commit"], commitDetail: "values" })
  const heard: EngineEvents["commit"][] = []
  engine.on("commit", (event) => heard.push(event))
  await engine.exec("begin")
  await engine.exec("insert into key_value (key, value) values ('a', '{\"deep\":[1]}')")
  await engine.exec("insert into key_value (key, value, lixcol_untracked) values ('u', 'x', 1)")
  assert.equal(heard.length, 0)
  await engine.exec("commit")
  assert.equal(heard.length, 1)
  const changes = heard[0]!.changes!
  assert.deepEqual(changes.map(({ schema_key, untracked }) => [schema_key, untracked]), [
    ["lix_key_value", 0],
    ["lix_change_set_element", 0],
    ["lix_key_value", 1],
    ["lix_change_author", 0],
    ["lix_commit", 0],
    ["lix_version_tip", 0],
    ["lix_commit_edge", 0],
  ])
  const [tracked, , untracked] = changes
  assert.deepEqual(tracked!.snapshot_content, { key: "a", value: { deep: [1] } })
  const { rows } = await engine.exec("select lixcol_change_id as id, lixcol_commit_id as commit_id from key_value where key = 'a'")
  assert.deepEqual({ id: tracked!.id, commit_id: tracked!.commit_id }, rows[0])
  assert.deepEqual([untracked!.id, untracked!.commit_id, untracked!.snapshot_content], ["untracked", null, { key: "u", value: "x" }])
})

test("Kysely reads and writes state like tables, and procedures are functions", async (t) => {
  interface Tables {
    key_value: { key: string; value: unknown }
    key_value_all: { key: string; value: unknown; lixcol_version_id: string }
    version: { id: string; name: string }
  }
  const engine = await open(t, { lix: true })
  const db = new Kysely<Tables>({ dialect: new LixDialect({ engine }) })
  await db.transaction().execute(async (trx) => {
    await trx.insertInto("key_value").values({ key: "a", value: "one" }).execute()
    await sql`select * from lix_create_version(${JSON.stringify({ id: "draft", name: "Draft" })})`.execute(trx)
    await trx.updateTable("key_value_all").set({ value: "two" }).where("key", "=", "a").where("lixcol_version_id", "=", "draft").execute()
  })
  const rows = await db.selectFrom("version as v").innerJoin("key_value_all as kv", "kv.lixcol_version_id", "v.id")
    .select(["v.name", "kv.value"]).where("kv.key", "=", "a").orderBy("v.name").execute()
  assert.deepEqual(rows, [{ name: "Draft", value: "two" }, { name: "main", value: "one" }])
})

/** As the documentation of `reportReads` has it. */
function mayHaveChanged({ anyCommit, reads }: ReadSet, { changes, truncated, anyRead }: EngineEvents["commit"]): boolean {
  if (anyCommit || anyRead || truncated || !changes) return true
  return changes.some((row) => reads.some((read) =>
    (read.schemaKey === "" || read.schemaKey === row.schema_key) && (read.versionId === "" || read.versionId === row.version_id) &&
    (read.fileId === "" || read.fileId === row.file_id) && (read.entityId === "" || read.entityId === row.entity_id)))
}

test("a result tells what it depends on, and a commit whether that changed", async (t) => {
  const engine = await open(t, { lix: { keyValues: [{ key: "a", value: 1 }] }, events: ["commit"], commitDetail: "keys" })
  const { reads } = await engine.exec("select value from key_value where key = 'a'", [], { reportReads: true })
  const { rows: [active] } = await engine.exec<{ version_id: string }>("select version_id from active_version")
  const main = active!.version_id
  const read = (schemaKey: string, versionId: string, fileId: string, entityId: string) => ({ schemaKey, versionId, fileId, entityId })
  assert.equal(reads!.anyCommit, false)
  const expected = [
    read("lix_active_version", "global", "lix", "active"),
    read("lix_key_value", "global", "", "a"),
    read("lix_key_value", main, "", "a"),
    read("lix_version_descriptor", "global", "lix", main),
  ]
  const order = (one: ReadSet["reads"][number]) => [one.schemaKey, one.versionId === main ? "~" : "", one.entityId].join()
  assert.deepEqual([...reads!.reads].sort((a, b) => (order(a) < order(b) ? -1 : 1)), expected)

  const heard: boolean[] = []
  engine.on("commit", (event) => heard.push(mayHaveChanged(reads!, event)))
  for (const statement of [
    "insert into key_value (key, value) values ('b', 2)",
    "update key_value set value = 2 where key = 'a'",
    "select * from lix_create_version('{\"id\": \"draft\"}')",
    "update key_value_all set value = 3 where key = 'a' and lixcol_version_id = 'draft'",
    "select * from lix_switch_version('{\"to\": \"draft\"}')",
    "create table plain (id integer primary key)",
    "insert into plain values (1)",
  ]) await engine.exec(statement)
  assert.deepEqual(heard, [false, true, false, false, true, true, false])
})

test("who does not ask is not told, nor who has no lix", async (t) => {
  const lix = await open(t, { lix: true })
  assert.ok(!("reads" in await lix.exec("select * from key_value")))
  assert.deepEqual((await lix.exec("select * from change", [], { reportReads: true, rowMode: "columns" })).reads, { anyCommit: true, reads: [] })
  const { results } = await lix.execBatch([{ sql: "select * from active_version" }, { sql: "select 1" }], { reportReads: true })
  assert.deepEqual(results.map(({ reads }) => reads), [
    { anyCommit: false, reads: [{ schemaKey: "lix_active_version", versionId: "global", fileId: "", entityId: "" }] },
    { anyCommit: false, reads: [] },
  ])
  const plain = await open(t, {})
  assert.ok(!("reads" in await plain.exec("select 1", [], { reportReads: true })))
})
