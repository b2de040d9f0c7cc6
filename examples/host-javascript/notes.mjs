import { LixError, open } from "./lix.js"

const engine = process.env.LIX_ENGINE ?? "target/debug/lix-engine serve --stdio"
const db = await open(engine, { path: "notes.lix", events: ["commit"] })
db.addEventListener("commit", (event) => console.log("committed", /** @type {CustomEvent} */ (event).detail.commitSeq))

await db.exec("create table if not exists note (id integer primary key, body text)")

const insert = db.prepare("insert into note (body) values (?)")
await db.transaction(async (tx) => {
  // Two calls at once; the engine runs them in this order.
  await Promise.all([tx.exec("delete from note"), tx.exec("insert into note values (:id, :body)", { id: 1, body: "milk" })])
})
console.log(await insert.run("bread"))

for await (const { id, body } of db.prepare("select id, body from note").iterate()) console.log(id, body)

try {
  await db.exec("insert into note (id) values (1)")
} catch (error) {
  if (!(error instanceof LixError)) throw error
  console.log(error.code, error.reason, error.message)
}

await db.close()
