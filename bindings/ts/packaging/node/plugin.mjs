// Prints what a plugin made of a file, and the file that it made of that. Needs no kysely.
import { readFile } from "node:fs/promises"
import { createMainMemoryEngine } from "lix-engine"

const plugin = await readFile(new URL("./plugin.js", import.meta.url), "utf8")
const engine = createMainMemoryEngine({ lix: true, expProvideStringifiedPlugins: [plugin] })
await engine.init()
await engine.exec("insert into file (path, data) values ('/a.note', ?)", [new TextEncoder().encode("hello")])
const { rows: notes } = await engine.exec("select cast(entity_id as integer) as id, snapshot_content ->> 'text' as text from state where plugin_key = 'notes'")
const { rows } = await engine.exec("select 42 as answer from file where cast(data as text) = 'hello'")
await engine.close()
console.log(JSON.stringify({ rows, notes }))
