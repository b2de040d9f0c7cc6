/// <reference path="./raw.d.ts" />
import { Kysely } from "kysely"
import { createMainMemoryEngine, createWorkerEngine, createWorkerOpfsEngine, opfs, type LixEngine } from "lix-engine"
import { LixDialect } from "lix-engine/kysely"
import { openLix } from "lix-engine/lix"
import plugin from "./plugin.js?raw"

async function answer(engine: LixEngine) {
  await engine.init()
  const db = new Kysely<{ note: { id: number; text: string } }>({ dialect: new LixDialect({ engine }) })
  await db.schema.createTable("note").addColumn("id", "integer", (id) => id.primaryKey()).addColumn("text", "text").execute()
  await db.insertInto("note").values({ id: 7, text: "hello" }).execute()
  const notes = await db.selectFrom("note").selectAll().execute()
  const { rows } = await engine.exec("select 6 * 7 as answer")
  await db.destroy()
  return { rows, notes }
}

/** A file that a plugin takes apart and puts together again. */
async function throughPlugin(engine: LixEngine) {
  await engine.init({ lix: true, expProvideStringifiedPlugins: [plugin] })
  await engine.exec("insert into file (path, data) values ('/a.note', ?)", [new TextEncoder().encode("hello")])
  const { rows: notes } = await engine.exec("select cast(entity_id as integer) as id, snapshot_content ->> 'text' as text from state where plugin_key = 'notes'")
  const { rows } = await engine.exec("select 42 as answer from file where cast(data as text) = 'hello'")
  await engine.close()
  return { rows, notes }
}

Object.assign(globalThis, {
  /** Written, closed, opened again, deleted. */
  inOpfs: async () => {
    const answered = await answer(createWorkerOpfsEngine({ path: "packaged.db" }))
    const engine = createWorkerOpfsEngine({ path: "packaged.db", openMode: "open" })
    await engine.init()
    const { rows: notes } = await engine.exec("select * from note")
    await engine.close()
    await opfs.delete("packaged.db")
    return { ...answered, notes }
  },
  /** A lix that is written to, closed and opened again. */
  inLix: async () => {
    const open = () => openLix({ engine: createWorkerOpfsEngine({ path: "packaged.lix" }) })
    const lix = await open()
    await lix.db.insertInto("key_value").values({ key: "note", value: { id: 7, text: "hello" } }).execute()
    await lix.close()
    const again = await open()
    const { rows } = await again.engine.exec("select 6 * 7 as answer")
    const notes = (await again.db.selectFrom("key_value").select("value").where("key", "=", "note").execute()).map(({ value }) => value)
    await again.close()
    await opfs.delete("packaged.lix")
    return { rows, notes }
  },
  inWorker: () => answer(createWorkerEngine()),
  inProcess: () => answer(createMainMemoryEngine()),
  pluginInWorker: () => throughPlugin(createWorkerEngine()),
  pluginInProcess: () => throughPlugin(createMainMemoryEngine()),
})
