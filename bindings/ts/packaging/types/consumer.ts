// What a strict program sees of the package. It is compiled, never run.
import { Kysely, type Generated } from "kysely"
import { LixDialect, type LixDialectConfig } from "lix-engine/kysely"
import { createVersion, newLixFile, openLix, type JsonValue, type Lix, type LixDatabaseSchema, type LixRow } from "lix-engine/lix"
import {
  ColumnBatch, createEngine, createMainMemoryEngine, createWorkerEngine, createWorkerOpfsEngine, EngineError, opfs,
  type DetectedChange, type EngineStatus, type ErrorCode, type ExecOptions, type InitOptions, type InitResult, type LixEngine, type LixPlugin, type Params, type SessionState, type SqlValue,
} from "lix-engine"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(_: Same<A, B>): void {}

export async function calls(signal: AbortSignal): Promise<void> {
  const engine: LixEngine = createWorkerEngine()
  const options: InitOptions = { blob: new ArrayBuffer(0), events: ["commit"], integers: "bigint" }
  const opened: InitResult = await engine.init(options)
  same<typeof opened.capabilities.persistence, "memory" | "opfs" | "file">(true)

  const byPosition: Params = [1, "a", null, 2n, new Uint8Array(), true]
  const objects = await engine.exec("select ?", byPosition, { integers: "string", signal, timeoutMs: 10 })
  const cell: SqlValue | undefined = objects.rows[0]?.["?"]
  const typed = await engine.exec<{ id: number }>("select :id as id", { id: 1 })
  same<typeof typed.rows, { id: number }[]>(true)
  const arrays = await engine.exec("select 1", [], { rowMode: "array" })
  same<typeof arrays.rows, SqlValue[][]>(true)
  const columns = await engine.exec("select 1", undefined, { rowMode: "columns" })
  same<typeof columns.batch, ColumnBatch>(true)
  const state: SessionState = columns.state

  const { results } = await engine.execBatch([{ sql: "select 1" }, { sql: "select ?", params: [1] }])
  const text: string | undefined = results[0]?.columns[0]?.name
  for await (const row of engine.stream<{ id: number }>("select 1 as id")) same<typeof row, { id: number }>(true)
  for await (const batch of engine.stream("select 1", [], { rowMode: "columns" }).batches()) same<typeof batch, ColumnBatch>(true)

  const stop = engine.on("commit", ({ commitSeq }) => same<typeof commitSeq, number>(true))
  stop()
  same<Awaited<ReturnType<LixEngine["export"]>>, ArrayBuffer>(true)
  void [cell, state, text]

  // @ts-expect-error SQL is text
  await engine.exec(42)
  // @ts-expect-error there is no such row mode
  const wrong: ExecOptions = { rowMode: "rows" }
  // @ts-expect-error there is no such event
  engine.on("saved", () => {})
  void wrong
  await engine.close()
}

export async function kept(): Promise<void> {
  const engine: LixEngine = createWorkerOpfsEngine({ path: "a/b.db", durability: "strict", autosave: { debounceMs: 100 }, busyWaitMs: 0, storage: "auto" })
  const { restored }: InitResult = await engine.init({ openMode: "replace", blob: new Uint8Array() })
  engine.on("autosave", ({ phase }) => same<typeof phase, "scheduled" | "started" | "saved" | "failed">(true))
  const { storage, unsaved, lastSave }: EngineStatus = engine.status()
  same<typeof storage, "memory" | "opfs" | "file" | undefined>(true)
  const { savedSeq } = await engine.save()
  await engine.suspend()
  await engine.resume({ busyWaitMs: 100 })
  for (const { path, bytes } of await opfs.list()) void [path, bytes]
  const raw: ArrayBuffer = await opfs.readRaw("a/b.db")
  const deleted: boolean = await opfs.delete("a/b.db")
  void [restored, unsaved, lastSave?.at.getTime(), savedSeq, raw, deleted]
  // @ts-expect-error a database needs a name
  createWorkerOpfsEngine({})
  // @ts-expect-error OPFS is no memory
  createWorkerOpfsEngine({ path: "a", storage: "memory" })
  await engine.close({ discardUnsaved: true })
}

export const plugin: LixPlugin = {
  key: "notes",
  detectChangesGlob: "*.note",
  detectChanges({ before, after, querySync }): DetectedChange[] {
    same<typeof after.data, Uint8Array>(true)
    const known = querySync("state").where("file_id", "=", after.id).selectAll().execute()
    return known.length > 0 && before ? [] : [{ entity_id: after.id, schema: {}, snapshot_content: null }]
  },
  applyChanges: ({ file, changes }) => ({ fileData: new TextEncoder().encode(file.path + changes.length) }),
}

export function plugins(): LixEngine[] {
  // @ts-expect-error objects cannot be sent to a worker
  createWorkerOpfsEngine({ path: "a", providePlugins: [plugin] })
  // @ts-expect-error a plugin has a key
  createMainMemoryEngine({ providePlugins: [{}] })
  // @ts-expect-error plugins are synchronous
  createMainMemoryEngine({ providePlugins: [{ key: "a", detectChanges: async () => [] }] })
  return [createMainMemoryEngine({ providePlugins: [plugin] }), createWorkerEngine({ expProvideStringifiedPlugins: ["export default {}"], pluginTimeoutMs: 1 })]
}

export function ports(port: MessagePort, worker: Worker): LixEngine[] {
  return [createEngine(port), createEngine(worker), createMainMemoryEngine()]
}

export function why(error: unknown): ErrorCode | undefined {
  if (!(error instanceof EngineError)) return undefined
  const wireName: "EngineError" = error.name
  return wireName && error.retryable ? "INTERRUPTED" : error.code
}

interface Database {
  note: { id: Generated<number>; text: string | null }
}

export async function queries(engine: LixEngine): Promise<bigint | undefined> {
  const config: LixDialectConfig = { engine: async () => engine }
  const db = new Kysely<Database>({ dialect: new LixDialect(config) })
  const { insertId } = await db.insertInto("note").values({ text: "hello" }).executeTakeFirstOrThrow()
  const notes = await db.selectFrom("note").select(["id", "text"]).execute()
  same<typeof notes, { id: number; text: string | null }[]>(true)
  // @ts-expect-error there is no such column
  void db.selectFrom("note").select("body")
  for await (const note of db.selectFrom("note").selectAll().stream(10)) void note.text
  return insertId
}

export async function lixes(engine: LixEngine): Promise<void> {
  const blob = await newLixFile({ keyValues: [{ key: "lix_name", value: "notes" }] })
  const lix: Lix = await openLix({ engine, blob, account: { id: "ada", name: "Ada" } })
  const settings = await lix.db.selectFrom("key_value").select(["key", "value"]).execute()
  same<typeof settings, { key: string; value: JsonValue }[]>(true)
  same<LixRow<"file">["data"], Uint8Array>(true)
  lix.observe(lix.db.selectFrom("file").select("path")).subscribe((files) => same<typeof files, { path: string }[]>(true))
  await lix.db.transaction().execute((db) => createVersion({ lix: { db }, name: "Draft" }))
  const own = await openLix<{ note: { id: number } }>({ engine })
  const db: Kysely<LixDatabaseSchema & { note: { id: number } }> = own.db
  // @ts-expect-error there is no such column
  void db.selectFrom("key_value").select("valeu")
  // @ts-expect-error there is no such option
  await openLix({ storage: null })
}
