/**
 * Kysely's documented SQLite features on any engine. No test runner and nothing of Node in here: a
 * page runs the same list against the worker engine.
 */

import { CamelCasePlugin, Kysely, sql, type Generated, type Transaction } from "kysely"
import { jsonArrayFrom, jsonObjectFrom } from "kysely/helpers/sqlite"
import { Migrator } from "kysely/migration"
import { EngineError, type LixEngine } from "../../src/index.js"
import { LixDialect } from "../../src/kysely/index.js"

/** One case. It rejects when the feature does not work. */
export interface KyselyCase {
  readonly name: string
  run(): Promise<void>
}

/** The cases, each on an engine of its own that `openEngine` has opened. */
export function kyselySuite(openEngine: () => Promise<LixEngine>): KyselyCase[] {
  return Object.entries(CASES).map(([name, check]) => ({
    name,
    async run() {
      const engine = await openEngine()
      const db = new Kysely<Database>({ dialect: new LixDialect({ engine }) })
      await createTables(db)
      try {
        await check(db, engine)
      } finally {
        await db.destroy()
      }
    },
  }))
}

interface Database {
  person: { id: Generated<number>; name: string; age: number | null; photo: Uint8Array | null }
  pet: { id: Generated<number>; owner_id: number; name: string; species: "cat" | "dog" }
  account: { id: number; balance: number }
}

type Db = Kysely<Database>

const CASES: { [name: string]: (db: Db, engine: LixEngine) => Promise<void> } = {
  async "insert: insertId and counts are bigints"(db) {
    const one = await db.insertInto("person").values({ name: "Ada", age: 36 }).executeTakeFirstOrThrow()
    same(one.insertId, 1n)
    same(one.numInsertedOrUpdatedRows, 1n)
    const two = await db.insertInto("person").values([{ name: "Bob" }, { name: "Cy" }]).executeTakeFirstOrThrow()
    same(two.insertId, 3n)
    same(two.numInsertedOrUpdatedRows, 2n)
  },

  async "insert: returning, default values, from a select"(db) {
    same(await db.insertInto("person").values({ name: "Ada" }).returning(["id", "name"]).executeTakeFirst(), { id: 1, name: "Ada" })
    same(await db.insertInto("person").values([{ name: "B" }, { name: "C" }]).returningAll().execute(), [
      { id: 2, name: "B", age: null, photo: null },
      { id: 3, name: "C", age: null, photo: null },
    ])
    await db.insertInto("account").columns(["id", "balance"]).expression((eb) => eb.selectFrom("person").select((eb) => ["person.id", eb.lit(5).as("balance")])).execute()
    same((await db.selectFrom("account").selectAll().execute()).length, 3)
  },

  async "values: NULL, bytes, floats, exact integers, booleans, text with NUL"(db) {
    const photo = new Uint8Array([0, 255, 7])
    await db.insertInto("person").values({ id: 1, name: "a\0b 😀", age: null, photo }).execute()
    same(await db.selectFrom("person").selectAll().executeTakeFirst(), { id: 1, name: "a\0b 😀", age: null, photo })
    const { rows } = await sql<{ big: bigint; real: number; yes: number }>`select ${9007199254740993n} as big, ${1.5} as real, ${true} as yes`.execute(db)
    same(rows, [{ big: 9007199254740993n, real: 1.5, yes: 1 }])
  },

  async "select: where, order, limit, distinct, aliases, aggregates"(db) {
    await seed(db)
    same(await db.selectFrom("person").select("name").where("age", ">", 30).where((eb) => eb.or([eb("name", "like", "A%"), eb("age", "in", [41])])).orderBy("name", "desc").execute(), [{ name: "Cy" }, { name: "Ada" }])
    same(await db.selectFrom("person").select("name").orderBy("id").limit(1).offset(1).execute(), [{ name: "Bob" }])
    same(await db.selectFrom("pet").select("species").distinct().orderBy("species").execute(), [{ species: "cat" }, { species: "dog" }])
    const { count, oldest } = await db.selectFrom("person").select((eb) => [eb.fn.countAll<number>().as("count"), eb.fn.max("age").as("oldest")]).executeTakeFirstOrThrow()
    same([count, oldest], [3, 41])
    same(await db.selectFrom("pet").select(["species", (eb) => eb.fn.count<number>("id").as("n")]).groupBy("species").having((eb) => eb.fn.count("id"), ">", 1).execute(), [{ species: "cat", n: 2 }])
  },

  async "select: joins, subqueries, exists, union, case"(db) {
    await seed(db)
    same(await db.selectFrom("person").leftJoin("pet", "pet.owner_id", "person.id").select(["person.name", "pet.name as pet"]).orderBy("person.id").orderBy("pet.id").execute(), [
      { name: "Ada", pet: "Tom" }, { name: "Ada", pet: "Rex" }, { name: "Bob", pet: "Kit" }, { name: "Cy", pet: null },
    ])
    same(await db.selectFrom("person").select("name").where((eb) => eb.not(eb.exists(eb.selectFrom("pet").select("pet.id").whereRef("pet.owner_id", "=", "person.id")))).execute(), [{ name: "Cy" }])
    same(await db.selectFrom("person").select("name").where("id", "=", 1).unionAll(db.selectFrom("pet").select("name").where("id", "=", 1)).execute(), [{ name: "Ada" }, { name: "Tom" }])
    same(await db.selectFrom("person").select((eb) => eb.case().when("age", ">", 40).then("old").else("young").end().as("kind")).where("id", "=", 3).execute(), [{ kind: "old" }])
  },

  async "select: nested JSON"(db) {
    await seed(db)
    const rows = await db
      .selectFrom("person")
      .select((eb) => ["name", jsonArrayFrom(eb.selectFrom("pet").select("pet.name").whereRef("pet.owner_id", "=", "person.id").orderBy("pet.id")).as("pets"), jsonObjectFrom(eb.selectFrom("pet").select("pet.species").whereRef("pet.owner_id", "=", "person.id").limit(1)).as("first")])
      .where("id", "=", 1)
      .execute()
    same(JSON.parse(rows[0]!.pets as unknown as string), [{ name: "Tom" }, { name: "Rex" }])
    same(JSON.parse(rows[0]!.first as unknown as string), { species: "cat" })
  },

  async "update: counts, returning, expressions, from"(db) {
    await seed(db)
    same((await db.updateTable("person").set({ age: 1 }).where("age", ">", 30).executeTakeFirstOrThrow()).numUpdatedRows, 2n)
    same((await db.updateTable("person").set({ age: 1 }).where("id", "=", 99).executeTakeFirstOrThrow()).numUpdatedRows, 0n)
    same(await db.updateTable("person").set((eb) => ({ age: eb("age", "+", 1) })).where("id", "=", 1).returning("age").executeTakeFirst(), { age: 2 })
    await db.updateTable("pet").from("person").set((eb) => ({ name: eb.ref("person.name") })).whereRef("pet.owner_id", "=", "person.id").where("person.id", "=", 2).execute()
    same(await db.selectFrom("pet").select("name").where("owner_id", "=", 2).execute(), [{ name: "Bob" }])
  },

  async "delete: counts and returning"(db) {
    await seed(db)
    same((await db.deleteFrom("pet").where("species", "=", "cat").executeTakeFirstOrThrow()).numDeletedRows, 2n)
    same(await db.deleteFrom("pet").returning("name").execute(), [{ name: "Rex" }])
    same((await db.deleteFrom("pet").executeTakeFirstOrThrow()).numDeletedRows, 0n)
  },

  async "upsert: do update, do nothing, insert or ignore, replace"(db) {
    const upsert = (balance: number) => db.insertInto("account").values({ id: 1, balance }).onConflict((oc) => oc.column("id").doUpdateSet((eb) => ({ balance: eb("account.balance", "+", eb.ref("excluded.balance")) })))
    await upsert(5).execute()
    same((await upsert(7).executeTakeFirstOrThrow()).numInsertedOrUpdatedRows, 1n)
    same(await db.selectFrom("account").selectAll().execute(), [{ id: 1, balance: 12 }])
    const nothing = await db.insertInto("account").values({ id: 1, balance: 0 }).onConflict((oc) => oc.doNothing()).executeTakeFirstOrThrow()
    same(nothing.numInsertedOrUpdatedRows, 0n)
    same(nothing.insertId, undefined)
    await db.insertInto("account").orIgnore().values({ id: 1, balance: 0 }).execute()
    await db.replaceInto("account").values({ id: 1, balance: 3 }).execute()
    same(await db.selectFrom("account").selectAll().execute(), [{ id: 1, balance: 3 }])
  },

  async "CTE: plain, recursive, in front of a write"(db) {
    await seed(db)
    same(await db.with("old", (qb) => qb.selectFrom("person").selectAll().where("age", ">", 40)).selectFrom("old").select("name").execute(), [{ name: "Cy" }])
    const { rows } = await db.withRecursive("n(i)", (qb) => qb.selectNoFrom((eb) => eb.lit(1).as("i")).unionAll(qb.selectFrom("n").select((eb) => eb("n.i", "+", 1).as("i")).where("n.i", "<", 5))).selectFrom("n").select((eb) => eb.fn.sum<number>("i").as("total")).execute().then((rows) => ({ rows }))
    same(rows, [{ total: 15 }])
    await db.with("cats", (qb) => qb.selectFrom("pet").select("owner_id").where("species", "=", "cat")).deleteFrom("person").where("id", "in", (eb) => eb.selectFrom("cats").select("owner_id")).execute()
    same(await db.selectFrom("person").select("name").execute(), [{ name: "Cy" }])
  },

  async "transaction: commits, returns, and is seen only then"(db) {
    const result = await db.transaction().execute(async (trx) => {
      await trx.insertInto("person").values({ name: "Ada" }).execute()
      same(await count(trx), 1)
      return "done"
    })
    same(result, "done")
    same(await count(db), 1)
  },

  async "transaction: an error rolls back and comes out as it is"(db) {
    const mine = new Error("mine")
    const error = await failure(
      db.transaction().execute(async (trx) => {
        await trx.insertInto("person").values({ name: "Ada" }).execute()
        throw mine
      }),
    )
    same(error === mine, true)
    same(await count(db), 0)
    await insert(db, "still works")
  },

  async "transaction: callers do not interleave"(db) {
    await db.insertInto("account").values({ id: 1, balance: 0 }).execute()
    const add = () =>
      db.transaction().execute(async (trx) => {
        const { balance } = await trx.selectFrom("account").select("balance").executeTakeFirstOrThrow()
        await trx.selectFrom("person").selectAll().execute()
        await trx.updateTable("account").set({ balance: balance + 1 }).execute()
      })
    const rolledBack = () =>
      failure(
        db.transaction().execute(async (trx) => {
          await trx.updateTable("account").set({ balance: -1000 }).execute()
          await trx.selectFrom("account").selectAll().execute()
          throw new Error("no")
        }),
      )
    const bystanders = Array.from({ length: 20 }, (_, index) => insert(db, `bystander ${index}`))
    await Promise.all([...Array.from({ length: 20 }, (_, index) => (index % 3 === 0 ? rolledBack() : add())), ...bystanders])
    same(await db.selectFrom("account").select("balance").executeTakeFirst(), { balance: 13 })
    same(await count(db), 20)
  },

  async "transaction: two Kyselys on one engine wait for each other"(db, engine) {
    const other = new Kysely<Database>({ dialect: new LixDialect({ engine }) })
    let entered!: () => void
    const inside = new Promise<void>((resolve) => (entered = resolve))
    const order: string[] = []
    const first = failure(
      db.transaction().execute(async (trx) => {
        await insert(trx, "not to stay")
        entered()
        for (let step = 0; step < 5; step++) await trx.selectFrom("person").selectAll().execute()
        order.push("first")
        throw new Error("rolled back")
      }),
    )
    await inside
    const second = insert(other, "to stay").then(() => order.push("second"))
    await Promise.all([first, second])
    same(order, ["first", "second"])
    same(await db.selectFrom("person").select("name").execute(), [{ name: "to stay" }])
  },

  async "transaction: a COMMIT that fails rolls back, and the connection goes on"(db) {
    await sql`create table child (id integer primary key, parent integer references person (id) deferrable initially deferred)`.execute(db)
    await sql`pragma foreign_keys = on`.execute(db)
    const error = await failure(
      db.transaction().execute(async (trx) => {
        await insert(trx, "goes with it")
        await sql`insert into child values (1, 4711)`.execute(trx)
      }),
    )
    same(reasonOf(error), "FOREIGN_KEY")
    same(await count(db), 0)
    await db.transaction().execute((trx) => insert(trx, "next"))
    same(await count(db), 1)
  },

  async "transaction: SQLite ends one by itself, and the driver is not confused"(db) {
    await db.insertInto("account").values({ id: 1, balance: 0 }).execute()
    const error = await failure(
      db.transaction().execute(async (trx) => {
        await insert(trx, "rolled back by SQLite")
        await sql`insert or rollback into account values (1, 1)`.execute(trx)
      }),
    )
    same(reasonOf(error), "PRIMARY_KEY")
    same(await count(db), 0)
    await db.transaction().execute((trx) => insert(trx, "next"))
    same(await count(db), 1)
  },

  async "controlled transaction: commit, rollback, and others wait"(db) {
    const trx = await db.startTransaction().execute()
    await insert(trx, "a")
    const outside = count(db)
    await trx.commit().execute()
    same(await outside, 1)
    const second = await db.startTransaction().execute()
    await insert(second, "b")
    await second.rollback().execute()
    same(await count(db), 1)
  },

  async "controlled transaction: nested savepoints"(db) {
    const trx = await db.startTransaction().execute()
    await insert(trx, "outer")
    const one = await trx.savepoint("one").execute()
    await insert(one, "one")
    const two = await one.savepoint("two").execute()
    await insert(two, "two")
    const three = await two.savepoint("three; drop table person").execute()
    await insert(three, "three")
    await three.rollbackToSavepoint("two").execute()
    same(await count(trx), 2)
    await two.releaseSavepoint("two").execute()
    const four = await one.savepoint("four").execute()
    await insert(four, "four")
    await four.releaseSavepoint("four").execute()
    await one.releaseSavepoint("one").execute()
    await trx.commit().execute()
    same(await db.selectFrom("person").select("name").orderBy("id").execute(), [{ name: "outer" }, { name: "one" }, { name: "four" }])
  },

  async "controlled transaction: a commit that fails rolls back; the rollback after it is fine"(db) {
    await sql`create table child (parent integer references person (id) deferrable initially deferred)`.execute(db)
    await sql`pragma foreign_keys = on`.execute(db)
    const trx = await db.startTransaction().execute()
    await sql`insert into child values (4711)`.execute(trx)
    same(reasonOf(await failure(trx.commit().execute())), "FOREIGN_KEY")
    await trx.rollback().execute()
    await insert(db, "next")
    same(await count(db), 1)
  },

  async "stream: every row, in chunks, and the others wait for its end"(db) {
    await sql`insert into person (name) with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000) select 'p' || i from n`.execute(db)
    let seen = 0
    let waiting: Promise<number> | undefined
    for await (const { id, name } of db.selectFrom("person").select(["id", "name"]).orderBy("id").stream(64)) {
      seen++
      same([id, name], [seen, `p${seen}`])
      waiting ??= insert(db, "after the stream").then(() => seen)
    }
    same(seen, 1000)
    same(await waiting, 1000)
  },

  async "stream: leaving early gives the connection back"(db) {
    await sql`insert into person (name) with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) select 'p' || i from n`.execute(db)
    for await (const { id } of db.selectFrom("person").select("id").stream(10)) if (id === 15) break
    await failure(
      (async () => {
        for await (const _ of db.selectFrom("person").selectAll().stream()) throw new Error("mine")
      })(),
    )
    await sql`drop table pet`.execute(db)
    same(await count(db), 500)
  },

  async "stream: inside a transaction, of a write, and of an error"(db) {
    await db.transaction().execute(async (trx) => {
      const names: string[] = []
      for await (const { name } of trx.insertInto("person").values([{ name: "a" }, { name: "b" }]).returning("name").stream()) names.push(name)
      same(names, ["a", "b"])
    })
    same(await count(db), 2)
    const error = await failure(
      (async () => {
        for await (const _ of db.selectFrom("nothing" as never).selectAll().stream()) break
      })(),
    )
    same(reasonOf(error), "SQL_ERROR")
    same(await count(db), 2)
  },

  async "schema: tables, columns, indexes, views, alter, drop"(db) {
    await db.schema.createTable("item").addColumn("id", "integer", (col) => col.primaryKey().autoIncrement()).addColumn("tag", "text", (col) => col.notNull().defaultTo("none").unique()).addColumn("owner", "integer", (col) => col.references("person.id").onDelete("cascade")).execute()
    await db.schema.createIndex("item_owner").on("item").column("owner").execute()
    await db.schema.createView("item_view").as(db.selectFrom("person").select("name")).execute()
    await db.schema.alterTable("item").addColumn("extra", "real").execute()
    await db.schema.alterTable("item").renameColumn("extra", "more").execute()
    await sql`insert into item (tag, more) values ('x', 1.5)`.execute(db)
    same((await sql`select tag, more from item`.execute(db)).rows, [{ tag: "x", more: 1.5 }])
    await db.schema.dropView("item_view").execute()
    await db.schema.dropIndex("item_owner").execute()
    await db.schema.alterTable("item").renameTo("thing").execute()
    await db.schema.dropTable("thing").ifExists().execute()
  },

  async "introspection: tables, columns, views"(db) {
    await db.schema.createView("grown_up").as(db.selectFrom("person").select(["id", "name"]).where("age", ">=", 18)).execute()
    const tables = await db.introspection.getTables()
    same(tables.map(({ name, isView }) => [name, isView]).sort(), [["account", false], ["grown_up", true], ["person", false], ["pet", false]])
    const person = tables.find(({ name }) => name === "person")!
    same(
      person.columns.map(({ name, dataType, isNullable, isAutoIncrementing, hasDefaultValue }) => [name, dataType.toLowerCase(), isNullable, isAutoIncrementing, hasDefaultValue]),
      [["id", "integer", false, true, false], ["name", "text", false, false, false], ["age", "integer", true, false, false], ["photo", "blob", true, false, false]],
    )
    same(await db.introspection.getSchemas(), [])
  },

  async "migrator: up, down, and a failing one that is reported"(db) {
    const migrations = {
      "1_create": { up: (db: Kysely<unknown>) => db.schema.createTable("extra").addColumn("id", "integer").execute(), down: (db: Kysely<unknown>) => db.schema.dropTable("extra").execute() },
      "2_fill": { up: async (db: Kysely<unknown>) => void (await sql`insert into extra values (1), (2)`.execute(db)), down: async (db: Kysely<unknown>) => void (await sql`delete from extra`.execute(db)) },
    }
    const migrator = (more = {}) => new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations, ...more }) } })
    const up = await migrator().migrateToLatest()
    same(up.error, undefined)
    same(up.results?.map(({ migrationName, status }) => [migrationName, status]), [["1_create", "Success"], ["2_fill", "Success"]])
    same((await sql<{ n: number }>`select count(*) as n from extra`.execute(db)).rows, [{ n: 2 }])
    same((await migrator().migrateToLatest()).results, [])
    const down = await migrator().migrateDown()
    same(down.results?.map(({ migrationName, direction }) => [migrationName, direction]), [["2_fill", "Down"]])
    const failed = await migrator({ "3_fails": { up: async (db: Kysely<unknown>) => void (await sql`create table half (a)`.execute(db), await sql`nonsense`.execute(db)) } }).migrateToLatest()
    same(reasonOf(failed.error), "SQL_SYNTAX")
    await insert(db, "the connection is free")
  },

  async "errors are EngineErrors with reason, codes and SQL"(db) {
    await db.insertInto("account").values({ id: 1, balance: 0 }).execute()
    const error = await failure(db.insertInto("account").values({ id: 1, balance: 0 }).execute())
    if (!(error instanceof EngineError)) throw new Error(`not an EngineError: ${String(error)}`)
    same([error.code, error.reason, error.sqliteCode, error.sqliteExtendedCode], ["CONSTRAINT", "PRIMARY_KEY", 19, 1555])
    same(error.sql?.startsWith("insert into"), true)
    same(reasonOf(await failure(sql`select ${{ a: 1 }}`.execute(db))), "PARAM_INVALID")
  },

  async "plugins: camel case"(db) {
    await seed(db)
    const camel = db.withPlugin(new CamelCasePlugin()) as unknown as Kysely<{ pet: { ownerId: number; name: string } }>
    same(await camel.selectFrom("pet").select(["ownerId", "name"]).where("ownerId", "=", 2).execute(), [{ ownerId: 2, name: "Kit" }])
  },

  async "abort: a query that waits is given up, the connection goes on"(db) {
    const abort = new AbortController()
    const trx = await db.startTransaction().execute()
    const waiting = failure(db.selectFrom("person").selectAll().execute({ signal: abort.signal }))
    abort.abort(new Error("enough"))
    same(((await waiting) as Error).message, "enough")
    await trx.commit().execute()
    same(await count(db), 0)
  },

  async "destroy closes the engine"(db, engine) {
    await db.destroy()
    same(reasonOf(await failure(engine.exec("select 1"))), "CLOSED")
  },

  async "an engine may be given as a function that opens it"(_db, engine) {
    let opened = 0
    const lazy = new Kysely<Database>({ dialect: new LixDialect({ engine: async () => (opened++, engine) }) })
    same(opened, 0)
    await Promise.all([insert(lazy, "a"), insert(lazy, "b")])
    same(opened, 1)
  },
}

async function createTables(db: Db): Promise<void> {
  await db.schema.createTable("person").addColumn("id", "integer", (col) => col.primaryKey().autoIncrement().notNull()).addColumn("name", "text", (col) => col.notNull()).addColumn("age", "integer").addColumn("photo", "blob").execute()
  await db.schema.createTable("pet").addColumn("id", "integer", (col) => col.primaryKey()).addColumn("owner_id", "integer").addColumn("name", "text").addColumn("species", "text").execute()
  await db.schema.createTable("account").addColumn("id", "integer", (col) => col.primaryKey()).addColumn("balance", "integer").execute()
}

async function seed(db: Db): Promise<void> {
  await db.insertInto("person").values([{ name: "Ada", age: 36 }, { name: "Bob", age: 20 }, { name: "Cy", age: 41 }]).execute()
  await db.insertInto("pet").values([{ owner_id: 1, name: "Tom", species: "cat" }, { owner_id: 1, name: "Rex", species: "dog" }, { owner_id: 2, name: "Kit", species: "cat" }]).execute()
}

async function insert(db: Db | Transaction<Database>, name: string): Promise<void> {
  await db.insertInto("person").values({ name }).execute()
}

async function count(db: Db | Transaction<Database>): Promise<number> {
  return (await db.selectFrom("person").select((eb) => eb.fn.countAll<number>().as("n")).executeTakeFirstOrThrow()).n
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ("error" in outcome) return outcome.error
  throw new Error(`expected a failure, got ${show(outcome.value)}`)
}

function reasonOf(error: unknown): string {
  return error instanceof EngineError ? error.reason : String(error)
}

function same(actual: unknown, expected: unknown): void {
  if (show(actual) !== show(expected)) throw new Error(`expected ${show(expected)}\n     got ${show(actual)}`)
}

function show(value: unknown): string {
  const tagged = (_: string, each: unknown): unknown =>
    typeof each === "bigint" ? `${each}n` : each === undefined ? "undefined" : each instanceof Uint8Array ? `bytes ${[...each]}` : each
  return JSON.stringify(value, tagged) ?? "undefined"
}
