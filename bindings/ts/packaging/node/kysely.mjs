// Prints what Kysely reads back over the in-process engine.
import { Kysely } from "kysely"
import { createMainMemoryEngine } from "lix-engine"
import { LixDialect } from "lix-engine/kysely"

const engine = createMainMemoryEngine()
await engine.init()
const db = new Kysely({ dialect: new LixDialect({ engine }) })
await db.schema.createTable("note").addColumn("id", "integer", (id) => id.primaryKey()).addColumn("text", "text").execute()
await db.insertInto("note").values({ id: 7, text: "hello" }).execute()
const notes = await db.selectFrom("note").selectAll().execute()
const { rows } = await engine.exec("select 6 * 7 as answer")
await db.destroy()
console.log(JSON.stringify({ rows, notes }))
