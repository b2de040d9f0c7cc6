// The tables of a lix as TypeScript sees them. Nothing here runs: `npm run typecheck` is the test. Above what must not
// compile there is a directive that is an error itself where it compiles.

import type { Insertable, Kysely, Selectable, Updateable } from "kysely"
import type { LixEngine } from "../../src/index.js"
import {
  createVersion, ebEntity, openLix, selectVersionDiff, sql, type EntityTablesOf, type JsonColumn, type JsonObject, type JsonValue, type Lix, type LixDatabaseSchema, type LixDiff,
  type LixInsert, type LixRow, type LixUpdate, type StateCommitChange, type ThreadCommentBody,
} from "../../src/lix/index.js"

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false
/** Properties in one object, whatever they were put together from. */
type Flat<T> = { [Name in keyof T]: T[Name] }
declare function proves<_True extends true>(): void
declare const lix: Lix
declare const db: Kysely<LixDatabaseSchema>
declare const engine: LixEngine

// Every table: the rows that a SELECT gives.

type Entity = {
  lixcol_entity_id: string
  lixcol_schema_key: string
  lixcol_plugin_key: string
  lixcol_file_id: string
  lixcol_inherited_from_version_id: string | null
  lixcol_created_at: string
  lixcol_updated_at: string
  lixcol_change_id: string
  lixcol_commit_id: string
  lixcol_untracked: 0 | 1
}
type EntityAll = Entity & { lixcol_version_id: string }
type History = {
  lixcol_entity_id: string
  lixcol_schema_key: string
  lixcol_plugin_key: string
  lixcol_file_id: string
  lixcol_change_id: string
  lixcol_commit_id: string
  lixcol_schema_version: string
  lixcol_root_commit_id: string
  lixcol_depth: number
}
type Reads<Table extends keyof LixDatabaseSchema, Row> = Same<Flat<Selectable<LixDatabaseSchema[Table]>>, Flat<Row>>

interface Properties {
  account: { id: string; name: string }
  change_author: { change_id: string; account_id: string }
  change_set: { id: string; metadata: JsonObject | null }
  change_set_element: { change_set_id: string; change_id: string; entity_id: string; schema_key: string; file_id: string }
  change_set_label: { change_set_id: string; label_id: string; metadata: JsonObject | null }
  commit: {
    id: string
    change_set_id: string
    change_ids: readonly string[] | null
    author_account_ids: readonly string[] | null
    parent_commit_ids: readonly string[] | null
    meta_change_ids: readonly string[] | null
  }
  commit_edge: { parent_id: string; child_id: string }
  entity_label: { entity_id: string; schema_key: string; file_id: string; label_id: string }
  entity_thread: { entity_id: string; schema_key: string; file_id: string; thread_id: string }
  key_value: { key: string; value: JsonValue }
  label: { id: string; name: string }
  log: { id: string; key: string; message: string; level: string }
  stored_schema: { key: string; version: string; value: JsonValue }
  thread: { id: string; metadata: JsonObject | null }
  thread_comment: { id: string; thread_id: string; parent_id: string | null; body: ThreadCommentBody }
}
type AllTrue<Results> = Same<Results[keyof Results], true>
proves<AllTrue<{ [Table in keyof Properties]: Reads<Table, Properties[Table] & Entity> }>>()
proves<AllTrue<{ [Table in keyof Properties]: Reads<`${Table}_all`, Properties[Table] & EntityAll> }>>()
proves<AllTrue<{ [Table in keyof Properties]: Reads<`${Table}_history`, Properties[Table] & History> }>>()

type State = {
  entity_id: string
  schema_key: string
  file_id: string
  plugin_key: string
  snapshot_content: JsonObject
  schema_version: string
  created_at: string
  updated_at: string
  inherited_from_version_id: string | null
  change_id: string
  untracked: 0 | 1
  commit_id: string
}
proves<Reads<"state", State>>()
proves<Reads<"state_all", State & { version_id: string }>>()
proves<Reads<"state_with_tombstones", Omit<State, "snapshot_content"> & { version_id: string; snapshot_content: JsonObject | null }>>()
proves<Reads<"state_history", {
  entity_id: string
  schema_key: string
  file_id: string
  plugin_key: string
  snapshot_content: JsonObject
  schema_version: string
  change_id: string
  commit_id: string
  root_commit_id: string
  depth: number
}>>()
proves<Reads<"change", {
  id: string
  entity_id: string
  schema_key: string
  schema_version: string
  file_id: string
  plugin_key: string
  created_at: string
  snapshot_content: JsonObject | null
}>>()

type Version = { id: string; name: string; commit_id: string | null; working_commit_id: string; inherits_from_version_id: string | null; hidden: 0 | 1 }
proves<Reads<"version", Version & Omit<Entity, "lixcol_plugin_key">>>()
proves<Reads<"version_all", Version & EntityAll & { lixcol_schema_version: string }>>()
proves<Reads<"version_history", Version & History>>()

type Active = {
  lixcol_inherited_from_version_id: string | null
  lixcol_created_at: string
  lixcol_updated_at: string
  lixcol_file_id: string
  lixcol_change_id: string
  lixcol_untracked: 0 | 1
}
proves<Reads<"active_version", Active & { version_id: string }>>()
proves<Reads<"active_account", Active & { account_id: string }>>()

type File = { id: string; path: string; metadata: JsonObject | null; hidden: 0 | 1; data: Uint8Array }
proves<Reads<"file", File & Omit<Entity, "lixcol_plugin_key">>>()
proves<Reads<"file_all", File & Omit<EntityAll, "lixcol_plugin_key">>>()
proves<Reads<"file_history", File & History>>()

/** No table is left out above. */
type Proven =
  | keyof Properties | `${keyof Properties}_all` | `${keyof Properties}_history`
  | "state" | "state_all" | "state_with_tombstones" | "state_history" | "change"
  | "version" | "version_all" | "version_history" | "active_version" | "active_account" | "file" | "file_all" | "file_history"
proves<Same<keyof LixDatabaseSchema, Proven>>()

// What an INSERT needs and may have, what an UPDATE may.

type Optional = { lixcol_untracked?: 0 | 1 | boolean | undefined }
proves<Same<Flat<Insertable<LixDatabaseSchema["label"]>>, Flat<{ name: string; id?: string | undefined } & Optional>>>()
proves<Same<Flat<Insertable<LixDatabaseSchema["commit_edge"]>>, {}>>()
proves<Same<Flat<Insertable<LixDatabaseSchema["key_value_history"]>>, {}>>()
proves<Same<Extract<keyof Updateable<LixDatabaseSchema["change"]>, "snapshot_content">, never>>()
const label: LixInsert<"label"> = { name: "urgent" }
const renamed: LixUpdate<"label"> = { name: "later" }
const row: LixRow<"label"> = { ...({} as LixRow<"label">), name: "row" }
void [label, renamed, row]

// Queries.

async function queries(): Promise<void> {
  const [first] = await db.selectFrom("key_value").select(["key", "value"]).execute()
  proves<Same<typeof first, { key: string; value: JsonValue } | undefined>>()
  const files = await db.selectFrom("file as f").innerJoin("change as c", "c.id", "f.lixcol_change_id").select(["f.path", "c.created_at"]).execute()
  proves<Same<typeof files, { path: string; created_at: string }[]>>()
  await db.insertInto("key_value").values({ key: "theme", value: { dark: true, sizes: [1, 2] } }).execute()
  await db.insertInto("key_value_all").values({ key: "theme", value: "text", lixcol_version_id: "global", lixcol_untracked: true }).execute()
  await db.insertInto("file").values({ path: "/a.json", data: new Uint8Array(), metadata: { by: "hand" } }).execute()
  await db.updateTable("file").set({ data: new Uint8Array(), hidden: 1 }).where("path", "=", "/a.json").execute()
  await db.selectFrom("key_value").selectAll().where(ebEntity("key_value").hasLabel({ name: "seen" })).execute()

  // @ts-expect-error no such table
  db.selectFrom("key_values")
  // @ts-expect-error no such column
  db.selectFrom("key_value").select("valeu")
  // @ts-expect-error the version is a column of key_value_all only
  db.selectFrom("key_value").select("lixcol_version_id")
  // @ts-expect-error `file` has no plugin
  db.selectFrom("file").select("lixcol_plugin_key")
  // @ts-expect-error a name is text
  db.insertInto("label").values({ name: 1 })
  // @ts-expect-error a label has to have a name
  db.insertInto("label").values({ id: "a" })
  // @ts-expect-error the version is missing
  db.insertInto("key_value_all").values({ key: "a", value: 1 })
  // @ts-expect-error computed
  db.insertInto("key_value").values({ key: "a", value: 1, lixcol_change_id: "x" })
  // @ts-expect-error computed
  db.updateTable("commit_edge").set({ parent_id: "a" })
  // @ts-expect-error changes are never altered
  db.updateTable("change").set({ snapshot_content: null })
  // @ts-expect-error history is never altered
  db.updateTable("key_value_history").set({ value: 1 })
  // @ts-expect-error bytes, not text
  db.insertInto("file").values({ path: "/a", data: "text" })
  // @ts-expect-error a Date is no JSON
  db.insertInto("key_value").values({ key: "a", value: new Date() })
  // @ts-expect-error an object or null
  db.insertInto("thread").values({ metadata: "text" })
  // @ts-expect-error a comment is a Zettel document
  db.insertInto("thread_comment").values({ thread_id: "t", body: { type: "text" } })
  // @ts-expect-error a number is not compared with text
  db.selectFrom("key_value_history").selectAll().where("lixcol_depth", "=", "1")
}

// Tables of one's own, and of a stored schema.

interface NoteProperties {
  id: string
  tags: JsonColumn<string[]>
}
interface Own extends EntityTablesOf<"note", NoteProperties> {
  person: { id: number; name: string }
}
async function own(): Promise<void> {
  const own = await openLix<Own>({ engine })
  const note = await own.db.selectFrom("note").select(["tags", "lixcol_commit_id"]).executeTakeFirstOrThrow()
  proves<Same<typeof note, { tags: string[]; lixcol_commit_id: string }>>()
  await own.db.insertInto("note_all").values({ id: "n", tags: [], lixcol_version_id: "global", lixcol_file_id: "notes" }).execute()
  await own.db.selectFrom("person").innerJoin("key_value", "key_value.key", "person.name").select("person.id").execute()
  // @ts-expect-error not in the history
  own.db.selectFrom("note_history").select("lixcol_untracked")
}

// The lix.

async function surface(): Promise<void> {
  lix.observe(db.selectFrom("label").select("name")).subscribe((rows) => proves<Same<typeof rows, { name: string }[]>>())
  lix.observe(db.selectFrom("label").select("name")).subscribeTakeFirst((row) => proves<Same<typeof row, { name: string } | undefined>>())
  lix.observe(db.selectFrom("label").select("name"), { mode: "first" }).subscribeTakeFirstOrThrow({ next: (row) => proves<Same<typeof row, { name: string }>>() })
  lix.observe(sql<{ a: number }>`select 1 as a`).subscribe({ next: ([row]) => proves<Same<typeof row, { a: number } | undefined>>() })
  lix.hooks.onStateCommit(({ changes }) => proves<Same<(typeof changes)[number], StateCommitChange>>())
  proves<Same<StateCommitChange["snapshot_content"], JsonObject | null>>()
  proves<Same<StateCommitChange["untracked"], 0 | 1>>()
  proves<Same<StateCommitChange["commit_id"], string | null>>()
  const version = await createVersion({ lix, name: "Draft", inheritsFrom: null })
  const diff = await selectVersionDiff({ lix, source: version }).where("status", "!=", "unchanged").execute()
  proves<Same<typeof diff, LixDiff[]>>()
  await db.transaction().execute((trx) => createVersion({ lix: { db: trx } }))

  // @ts-expect-error no such option
  openLix({ storage: {} })
  // @ts-expect-error an account has a name
  openLix({ account: { id: "a" } })
  // @ts-expect-error no such mode
  lix.observe(db.selectFrom("label").select("name"), { mode: "one" })
  // @ts-expect-error not in a worker engine's lix
  void lix.sqlite
  // @ts-expect-error of what a version is made
  createVersion({ lix, from: "main" })
}
void [queries, own, surface]
