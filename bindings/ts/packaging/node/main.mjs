// Prints what the in-process engine answers. Needs no kysely.
import { createMainMemoryEngine } from "lix-engine"

const engine = createMainMemoryEngine()
await engine.init()
await engine.exec("create table note (id integer primary key, text text)")
await engine.exec("insert into note values (?, ?)", [7, "hello"])
const { rows: notes } = await engine.exec("select * from note")
const { rows } = await engine.exec("select 6 * 7 as answer")
await engine.close()
console.log(JSON.stringify({ rows, notes }))
