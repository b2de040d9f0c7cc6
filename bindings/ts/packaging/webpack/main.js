import { Kysely } from "kysely"
import { createMainMemoryEngine, createWorkerEngine, createWorkerOpfsEngine, opfs } from "lix-engine"
import { LixDialect } from "lix-engine/kysely"

async function answer(engine) {
  await engine.init()
  const db = new Kysely({ dialect: new LixDialect({ engine }) })
  await db.schema.createTable("note").addColumn("id", "integer", (id) => id.primaryKey()).addColumn("text", "text").execute()
  await db.insertInto("note").values({ id: 7, text: "hello" }).execute()
  const notes = await db.selectFrom("note").selectAll().execute()
  const { rows } = await engine.exec("select 6 * 7 as answer")
  await db.destroy()
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
  inWorker: () => answer(createWorkerEngine()),
  inProcess: () => answer(createMainMemoryEngine()),
})
