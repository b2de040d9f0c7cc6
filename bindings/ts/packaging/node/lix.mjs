// Prints what is read back of a lix over the in-process engine.
import { createMainMemoryEngine } from "lix-engine"
import { openLix } from "lix-engine/lix"

const lix = await openLix({ engine: createMainMemoryEngine() })
await lix.db.insertInto("key_value").values({ key: "note", value: { id: 7, text: "hello" } }).execute()
const notes = (await lix.db.selectFrom("key_value").select("value").where("key", "=", "note").execute()).map(({ value }) => value)
const { rows } = await lix.engine.exec("select 6 * 7 as answer")
await lix.close()
console.log(JSON.stringify({ rows, notes }))
