// Which cells become values, and what is sent for it.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Kysely, sql } from "kysely"
import type { LixEngine } from "../../src/index.js"
import { parseJson } from "../../src/kysely/json.js"
import { LixDatabaseDialect } from "../../src/lix/dialect.js"
import type { LixDatabaseSchema } from "../../src/lix/index.js"
import { rejects } from "../support/assert.js"

test("cells are parsed by the declared type of their column, and by the types beside them", async () => {
  const columns = [
    { name: "always", declType: "json text" }, { name: "any", declType: "json blob" }, { name: "text", declType: "text" }, { name: "none" },
    { name: "tagged", declType: "json blob" }, { name: "renamed" }, { name: "_types:1:tagged" }, { name: "_types:0:renamed" },
  ]
  const row = (tagged: unknown, types: string | null) => ({
    always: '{"a":1}', any: '["x"]', text: "[1]", none: "{}", tagged, renamed: "[2]", "_types:1:tagged": types, "_types:0:renamed": "j",
  })
  const rows = [row('{"b":2}', "sj"), row('{"b":2}', "ss"), row(1, "sb"), row(0, "sb"), row(1, "sn"), row(null, "s0"), row(null, null)]
  assert.equal(await parseJson(rows, columns), rows)
  const read = (tagged: unknown) => ({ always: { a: 1 }, any: ["x"], text: "[1]", none: "{}", tagged, renamed: [2] })
  assert.deepEqual(rows, [read({ b: 2 }), read('{"b":2}'), read(true), read(false), read(1), read(null), read(null)])
})

test("text that only begins like JSON stays text; of two columns with one name the last one counts", async () => {
  const declared = { name: "a", declType: "json blob" }
  assert.deepEqual(await parseJson([{ a: "[broken" }, { a: "{" }, { a: "" }, { a: " {}" }], [declared]), [{ a: "[broken" }, { a: "{" }, { a: "" }, { a: " {}" }])
  assert.deepEqual(await parseJson([{ a: "[1]" }], [declared, { name: "a" }]), [{ a: "[1]" }])
  assert.deepEqual(await parseJson([{ a: "[1]" }], [{ name: "a" }, declared]), [{ a: [1] }])
})

test("many rows are parsed in slices, with the event loop in between", async () => {
  const rows = Array.from({ length: 200_000 }, (_, index) => ({ a: `{"index":${index},"text":"${"x".repeat(50)}"}` }))
  let turns = 0
  const timer = setInterval(() => turns++)
  await parseJson(rows, [{ name: "a", declType: "json text" }])
  clearInterval(timer)
  assert.deepEqual((rows as { a: unknown }[]).at(-1), { a: { index: 199_999, text: "x".repeat(50) } })
  assert.ok(turns > 0)
})

const db = new Kysely<LixDatabaseSchema & { own: { value: unknown; id: number } }>({ dialect: new LixDatabaseDialect({} as LixEngine) })
const compiled = (query: { compile(): { sql: string; parameters: readonly unknown[] } }) => {
  const { sql, parameters } = query.compile()
  return [sql, ...parameters]
}

test("types are selected beside what may be a string, and beside nothing else", () => {
  const types = (query: { compile(): { sql: string } }) => [...query.compile().sql.matchAll(/(\S+) as "(_types:[^"]*)"/g)].map(([, letters, name]) => `${letters} ${name}`)
  assert.deepEqual(types(db.selectFrom("key_value").select("key")), [])
  assert.deepEqual(types(db.selectFrom("key_value").select(["key", "value"])), ['"key_value"."_types" _types:1:value'])
  assert.deepEqual(types(db.selectFrom("key_value as k").select("k.value as v")), ['"k"."_types" _types:1:v'])
  assert.deepEqual(types(db.selectFrom("key_value as k").selectAll()), ['"k"."_types" _types:1:value'])
  assert.deepEqual(types(db.selectFrom("stored_schema_all").selectAll("stored_schema_all")), ['"stored_schema_all"."_types" _types:2:value'])
  assert.deepEqual(types(db.selectFrom("key_value as a").innerJoin("key_value_history as b", "a.key", "b.key").select(["a.value as x", "b.value as y"])), ['"a"."_types" _types:1:x', '"b"."_types" _types:1:y'])
  assert.deepEqual(types(db.selectFrom("state").selectAll()), [])
  assert.deepEqual(types(db.selectFrom("own").select("value")), [])
  assert.deepEqual(types(db.selectFrom("key_value").select("value").union(db.selectFrom("label").select("name as value"))), [])
  assert.deepEqual(types(db.selectFrom(db.selectFrom("key_value").select("value").as("k")).select("k.value")), [])
  assert.deepEqual(types(db.selectFrom("label").select("name").where("name", "in", db.selectFrom("key_value").select("value").$castTo<string>())), [])
  assert.deepEqual(types(db.selectFrom("label").select("name as value").union(db.selectFrom("key_value").select("value").$castTo<{ value: string }>())), [])
  assert.deepEqual(types(db.insertInto("own").columns(["value"]).expression(db.selectFrom("key_value").select("value"))), [])
  assert.deepEqual(types(db.selectFrom("key_value").select((eb) => eb.fn.countAll().as("value"))), [])
  assert.deepEqual(types(db.with("key_value", (with_) => with_.selectFrom("own").select("value")).selectFrom("key_value").select("value")), [])
  assert.deepEqual(types(db.withSchema("main").selectFrom("key_value").select("value")), [])
})

test("what is written to JSON columns is JSON, and other values are left alone", () => {
  const bytes = new Uint8Array(1)
  assert.deepEqual(compiled(db.insertInto("key_value").values([{ key: "1", value: "1" }, { key: "2", value: { a: [1] } }])).slice(1), ["1", '"1"', "2", '{"a":[1]}'])
  assert.deepEqual(compiled(db.insertInto("key_value").values([{ key: "k", value: sql`json('1')` }, { key: "n", value: null }, { key: "t", value: true }])).slice(1), ["k", "n", null, "t", "true"])
  assert.deepEqual(compiled(db.insertInto("key_value").values({ key: "b", value: bytes as never })).slice(1), ["b", bytes])
  assert.deepEqual(compiled(db.insertInto("key_value").values({ key: "b", value: 2n ** 60n as never })).slice(1), ["b", String(2n ** 60n)])
  assert.deepEqual(compiled(db.insertInto("label").values({ name: "[1]" })).slice(1), ["[1]"])
  assert.deepEqual(compiled(db.updateTable("thread").set({ metadata: { a: 1 } }).where("id", "=", "{}")).slice(1), ['{"a":1}', "{}"])
  assert.deepEqual(compiled(db.updateTable("key_value as k").set({ value: "x" })).slice(1), ['"x"'])
  assert.deepEqual(compiled(db.updateTable("state").set({ snapshot_content: '{"a":1}' })).slice(1), ['{"a":1}'])
  assert.deepEqual(compiled(db.insertInto("own").values({ id: 1, value: [1] })).slice(1), [1, "[1]"])
  assert.deepEqual(compiled(db.insertInto("own").values({ id: 1, value: "x" })).slice(1), [1, "x"])
})

test("RETURNING of an INSERT is refused on tables of a lix, and not on others", async () => {
  await rejects((async () => db.insertInto("key_value_all").values({ key: "a", value: 1, lixcol_version_id: "v" }).returning("key").compile())(), "INVALID/OPTION_INVALID", { subject: "returning" })
  assert.match(db.insertInto("own").values({ id: 1, value: 1 }).returningAll().compile().sql, /returning \*/)
})
