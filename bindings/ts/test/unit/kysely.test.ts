// The Kysely driver on a scripted engine that needs nothing but exec.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Kysely, sql } from "kysely"
import { EngineError, type ExecResult, type SessionState } from "../../src/index.js"
import { LixDialect, type LixDialectEngine } from "../../src/kysely/index.js"

type Script = (sql: string) => Partial<ExecResult> | Error | Promise<Partial<ExecResult> | Error> | undefined

/** An engine that knows what a transaction is, and otherwise does as the script says. */
function scriptedEngine(script: Script = () => undefined) {
  const log: string[] = []
  let inTransaction = false
  let closed = 0
  const engine = {
    async exec(text: string) {
      log.push(text)
      const outcome = await script(text)
      if (outcome instanceof EngineError) throw new EngineError(outcome.code, outcome.reason, outcome.message, { state: outcome.state ?? state(inTransaction) })
      if (outcome instanceof Error) throw outcome
      if (/^begin/i.test(text)) inTransaction = true
      if (/^(commit|rollback$)/i.test(text)) inTransaction = false
      return { rows: [], columns: [], state: state(inTransaction), ...outcome }
    },
    async close() {
      closed++
    },
  } as unknown as LixDialectEngine
  return { engine, log, db: new Kysely<never>({ dialect: new LixDialect({ engine }) }), closed: () => closed }
}

const state = (inTransaction: boolean): SessionState => ({ inTransaction, commitSeq: 0, savedSeq: 0 })
const failed = (reason: string, inTransaction?: boolean) => new EngineError("TRANSACTION", reason, reason, inTransaction === undefined ? {} : { state: state(inTransaction) })

test("results: counts and rowids become bigints whatever the engine's integer policy; absent stays absent", async () => {
  for (const seven of [7, 7n, "7"]) {
    const { db } = scriptedEngine(() => ({ rows: [{ a: 1 }], changes: seven, lastInsertRowid: seven }))
    assert.deepEqual(await sql`x`.execute(db), { rows: [{ a: 1 }], numAffectedRows: 7n, insertId: 7n })
  }
  assert.deepEqual(await sql`x`.execute(scriptedEngine(() => ({ rows: [] })).db), { rows: [] })
})

test("a transaction is BEGIN, the statements, COMMIT", async () => {
  const { db, log } = scriptedEngine()
  await db.transaction().execute((trx) => sql`one`.execute(trx))
  assert.deepEqual(log, ["begin", "one", "commit"])
})

test("an error rolls back", async () => {
  const { db, log } = scriptedEngine((text) => (text === "bad" ? failed("CHECK") : undefined))
  await assert.rejects(db.transaction().execute((trx) => sql`bad`.execute(trx)), /CHECK/)
  assert.deepEqual(log, ["begin", "bad", "rollback"])
})

test("after a statement with which SQLite ended the transaction no ROLLBACK is sent", async () => {
  const { db, log } = scriptedEngine((text) => (text === "or rollback" ? failed("UNIQUE", false) : undefined))
  await assert.rejects(db.transaction().execute((trx) => sql`or rollback`.execute(trx)), /UNIQUE/)
  assert.deepEqual(log, ["begin", "or rollback"])
})

test("a COMMIT that fails is rolled back once, and its error comes out", async () => {
  const { db, log } = scriptedEngine((text) => (text === "commit" ? failed("FOREIGN_KEY", true) : undefined))
  await assert.rejects(db.transaction().execute((trx) => sql`one`.execute(trx)), /FOREIGN_KEY/)
  assert.deepEqual(log, ["begin", "one", "commit", "rollback"])
  const controlled = scriptedEngine((text) => (text === "commit" ? failed("FOREIGN_KEY", true) : undefined))
  const trx = await controlled.db.startTransaction().execute()
  await assert.rejects(trx.commit().execute(), /FOREIGN_KEY/)
  await trx.rollback().execute()
  assert.deepEqual(controlled.log, ["begin", "commit", "rollback"])
})

test("a BEGIN that fails is not rolled back, and frees the connection", async () => {
  let fail = true
  const { db, log } = scriptedEngine((text) => (text === "begin" && fail ? failed("BUSY", false) : undefined))
  await assert.rejects(db.transaction().execute(async () => {}), /BUSY/)
  fail = false
  await db.transaction().execute(async () => {})
  assert.deepEqual(log, ["begin", "begin", "commit"])
})

test("a ROLLBACK that fails does not wedge the driver: the next owner starts with another", async () => {
  let fail = true
  const { db, log } = scriptedEngine((text) => (text === "rollback" && fail ? failed("BUSY", true) : undefined))
  await assert.rejects(db.transaction().execute(() => Promise.reject(new Error("mine"))), /BUSY/)
  fail = false
  await sql`next`.execute(db)
  await sql`and on`.execute(db)
  assert.deepEqual(log, ["begin", "rollback", "rollback", "next", "and on"])
})

test("a ROLLBACK that fails because nothing is open is a success", async () => {
  const { db, log } = scriptedEngine((text) => (text === "rollback" ? failed("NO_TRANSACTION", false) : undefined))
  const trx = await db.startTransaction().execute()
  await trx.rollback().execute()
  await sql`next`.execute(db)
  assert.deepEqual(log, ["begin", "rollback", "next"])
})

test("an engine that is gone rejects every query, and none waits for a lock", async () => {
  const { db } = scriptedEngine((text) => (text === "begin" ? undefined : new EngineError("LIFECYCLE", "FAILED", "gone")))
  await assert.rejects(db.transaction().execute((trx) => sql`one`.execute(trx)), /gone/)
  await Promise.all([assert.rejects(sql`two`.execute(db), /gone/), assert.rejects(sql`three`.execute(db), /gone/)])
})

test("while one transaction runs, everybody else waits, first come first served", async () => {
  const { db, log, engine } = scriptedEngine()
  const other = new Kysely<never>({ dialect: new LixDialect({ engine }) })
  let go!: () => void
  const gate = new Promise<void>((resolve) => (go = resolve))
  let entered!: () => void
  const inside = new Promise<void>((resolve) => (entered = resolve))
  const first = db.transaction().execute(async (trx) => {
    await sql`a1`.execute(trx)
    entered()
    await gate
    await sql`a2`.execute(trx)
  })
  await inside
  const rest = [sql`b`.execute(other), db.transaction().execute((trx) => sql`c`.execute(trx)), sql`d`.execute(other)]
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(log, ["begin", "a1"])
  go()
  await Promise.all([first, ...rest])
  assert.deepEqual(log.slice(0, 4), ["begin", "a1", "a2", "commit"])
  assert.equal(log.indexOf("c") - log.indexOf("begin", 4), 1, "nothing inside the second transaction but its own")
})

test("savepoints are quoted SQL", async () => {
  const { db, log } = scriptedEngine()
  const trx = await db.startTransaction().execute()
  const inner = await trx.savepoint('a"b').execute()
  await inner.rollbackToSavepoint('a"b').execute()
  await inner.releaseSavepoint('a"b').execute()
  await inner.commit().execute()
  assert.deepEqual(log, ["begin", 'savepoint "a""b"', 'rollback to "a""b"', 'release "a""b"', "commit"])
})

test("an engine without stream still streams, in one piece", async () => {
  const { db } = scriptedEngine(() => ({ rows: [{ a: 1 }, { a: 2 }] }))
  const rows: unknown[] = []
  for await (const row of (db as unknown as Kysely<{ t: { a: number } }>).selectFrom("t").selectAll().stream()) rows.push(row)
  assert.deepEqual(rows, [{ a: 1 }, { a: 2 }])
})

test("an engine that cannot be opened is tried again with the next query", async () => {
  const { engine } = scriptedEngine()
  let attempts = 0
  const db = new Kysely<never>({
    dialect: new LixDialect({
      async engine() {
        if (attempts++ === 0) throw new Error("not yet")
        return engine
      },
    }),
  })
  await assert.rejects(sql`x`.execute(db), /not yet/)
  await sql`x`.execute(db)
  assert.equal(attempts, 2)
})

test("destroy closes the engine, unless it was never opened", async () => {
  const used = scriptedEngine()
  await sql`x`.execute(used.db)
  await used.db.destroy()
  assert.equal(used.closed(), 1)
  const unused = scriptedEngine()
  await unused.db.destroy()
  assert.equal(unused.closed(), 0)
})
