/**
 * What a lix can do beyond reading and writing its tables, as functions. Each is one call of one of the engine's
 * procedures or functions (docs/sql-reference.md), and one exchange.
 *
 * Every function takes the lix, or anything with a `db`: with the one of a transaction it is part of that.
 *
 * ```ts
 * await lix.db.transaction().execute(async (db) => {
 *   const draft = await createVersion({ lix: { db }, name: "Draft" })
 *   await switchVersion({ lix: { db }, to: draft })
 * })
 * ```
 */

import { sql, type Kysely, type RawBuilder, type SelectQueryBuilder } from "kysely"
import { EngineError } from "../errors.js"
import type { JsonObject } from "./columns.js"
import type { ThreadCommentBody } from "./schema.js"
import type { LixDatabaseSchema, LixRow } from "./tables.js"

/** Anything with a `db`: a lix, or `{ db: trx }`. */
export interface LixContext {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever its tables are
  readonly db: Kysely<any>
}

/** An entity of the state, by its columns in `state` or in a table of its schema. */
export type LixEntity =
  | { readonly entity_id: string; readonly schema_key: string; readonly file_id: string }
  | { readonly lixcol_entity_id: string; readonly lixcol_schema_key: string; readonly lixcol_file_id: string }

/** Something with an id: a row of `version`, of `commit`, … */
export interface WithId {
  readonly id: string
}

/** A version as the procedures answer it. */
export type LixVersion = Pick<LixRow<"version">, "id" | "name" | "commit_id" | "working_commit_id" | "inherits_from_version_id" | "hidden">

/** A commit as the procedures answer it. */
export type LixCommit = Pick<LixRow<"commit">, "id" | "change_set_id">

/** Makes a version that shows what `from` shows (default: the active one) and inherits from `inheritsFrom` (default: `global`). */
export function createVersion(args: {
  lix: LixContext
  id?: string | undefined
  name?: string | undefined
  from?: WithId | undefined
  inheritsFrom?: WithId | null | undefined
}): Promise<LixVersion> {
  const { lix, id, name, from, inheritsFrom } = args
  return one(lix, "lix_create_version", { id, name, from: from?.id, inherits_from: inheritsFrom === undefined ? undefined : (inheritsFrom?.id ?? null) })
}

/** Makes a version that shows what a commit shows. */
export function createVersionFromCommit(args: {
  lix: LixContext
  commit: WithId
  id?: string | undefined
  name?: string | undefined
  inheritsFrom?: WithId | null | undefined
}): Promise<LixVersion> {
  const { lix, commit, id, name, inheritsFrom } = args
  return one(lix, "lix_create_version", { id, name, from_commit: commit.id, inherits_from: inheritsFrom === undefined ? undefined : (inheritsFrom?.id ?? null) })
}

/** Makes a version the active one. */
export async function switchVersion({ lix, to }: { lix: LixContext; to: WithId }): Promise<void> {
  await rows(lix, "lix_switch_version", { to: to.id })
}

/** Brings a version (default: the active one) to what another shows. Resolves to the commit that did; null if there was nothing to do. */
export async function mergeVersion(args: { lix: LixContext; source: WithId; target?: WithId | undefined }): Promise<WithId | null> {
  const { lix, source, target } = args
  return idOf(await one<{ commit_id: string | null }>(lix, "lix_merge_version", { source: source.id, target: target?.id }))
}

/** Restores what a commit showed in a version (default: the active one), as a new commit. */
export function transition(args: { lix: LixContext; to: WithId; version?: WithId | undefined }): Promise<LixCommit> {
  const { lix, to, version } = args
  return one(lix, "lix_transition", { to: to.id, version: version?.id })
}

/** Collects what the active version's commits did since the last checkpoint into one commit. */
export function createCheckpoint({ lix }: { lix: LixContext }): Promise<LixCommit> {
  return one(lix, "lix_create_checkpoint", {})
}

/** A row of a difference: what the target shows before and the source after. */
export interface LixDiff {
  entity_id: string
  schema_key: string
  file_id: string
  before_version_id: string | null
  before_change_id: string | null
  before_commit_id: string | null
  after_version_id: string | null
  after_change_id: string | null
  after_commit_id: string | null
  status: "added" | "modified" | "removed" | "unchanged"
}

/** The difference between what two versions show, as a query: a merge of `source` into `target` (default: the active one) brings it about. */
export function selectVersionDiff(args: { lix: LixContext; source: WithId; target?: WithId | undefined }): DiffQuery {
  const { lix, source, target } = args
  return diff(lix, "lix_version_diff", { source: source.id, target: target?.id })
}

/** What happened in a version (default: the active one) since its last checkpoint, as a query. */
export function selectWorkingDiff({ lix, version }: { lix: LixContext; version?: WithId | undefined }): DiffQuery {
  return diff(lix, "lix_working_diff", { version: version?.id })
}

/**
 * A query for rows of a difference, to which tables can be joined:
 *
 * ```ts
 * const rows = await selectWorkingDiff({ lix })
 *   .leftJoin("change as before", "before.id", "diff.before_change_id")
 *   .leftJoin("change as after", "after.id", "diff.after_change_id")
 *   .select(["before.snapshot_content as before", "after.snapshot_content as after"])
 *   .where("diff.status", "!=", "unchanged")
 *   .execute()
 * ```
 */
export type DiffQuery = SelectQueryBuilder<LixDatabaseSchema & { diff: LixDiff }, "diff", LixDiff>

/** Makes a set of changes. */
export function createChangeSet(args: {
  lix: LixContext
  id?: string | undefined
  metadata?: JsonObject | undefined
  elements?: readonly { readonly change_id: string; readonly entity_id: string; readonly schema_key: string; readonly file_id: string }[] | undefined
  labels?: readonly WithId[] | undefined
  lixcol_version_id?: string | undefined
}): Promise<Pick<LixRow<"change_set">, "id" | "metadata">> {
  const { lix, id, metadata, elements, labels, lixcol_version_id: version } = args
  const bare = elements?.map(({ change_id, entity_id, schema_key, file_id }) => ({ change_id, entity_id, schema_key, file_id }))
  return one(lix, "lix_create_change_set", { id, metadata, elements: bare, labels: labels?.map((label) => label.id), version })
}

/** Applies a set of changes to the active version. Resolves to the commit that did; null if all of it was there. */
export async function applyChangeSet({ lix, changeSet }: { lix: LixContext; changeSet: WithId }): Promise<WithId | null> {
  return idOf(await one<{ commit_id: string | null }>(lix, "lix_apply_change_set", { id: changeSet.id }))
}

/** Makes an account, in the active version unless another is named. */
export function createAccount(args: { lix: LixContext; id?: string | undefined; name: string; lixcol_version_id?: string | undefined }): Promise<Pick<LixRow<"account">, "id" | "name">> {
  const { lix, id, name, lixcol_version_id: version } = args
  return one(lix, "lix_create_account", { id, name, version })
}

/** Makes these accounts the active ones, the authors of what is committed; none: nobody. */
export async function switchAccount({ lix, to }: { lix: LixContext; to: readonly WithId[] }): Promise<void> {
  await rows(lix, "lix_switch_account", { to: to.map(({ id }) => id) })
}

/** Makes a label, in the active version unless another is named. */
export function createLabel(args: { lix: LixContext; id?: string | undefined; name: string; lixcol_version_id?: string | undefined }): Promise<Pick<LixRow<"label">, "id" | "name">> {
  const { lix, id, name, lixcol_version_id: version } = args
  return one(lix, "lix_create_label", { id, name, version })
}

/** Labels an entity of the active version; a label that is there already stays. */
export async function createEntityLabel(args: { lix: LixContext; entity: LixEntity; label: WithId; lixcol_version_id?: string | undefined }): Promise<void> {
  const { lix, entity, label, lixcol_version_id: version } = args
  await rows(lix, "lix_create_entity_label", { ...plain(entity), label_id: label.id, version })
}

/** Takes a label off an entity. */
export async function deleteEntityLabel(args: { lix: LixContext; entity: LixEntity; label: WithId; lixcol_version_id?: string | undefined }): Promise<void> {
  const { lix, entity, label, lixcol_version_id: version } = args
  await rows(lix, "lix_delete_entity_label", { ...plain(entity), label_id: label.id, version })
}

/** A comment as the procedures answer it. */
export type LixThreadComment = Pick<LixRow<"thread_comment">, "id" | "thread_id" | "parent_id" | "body">

/** Makes a thread, in `global` unless another version is named. Each comment answers the one before. */
export function createThread(args: {
  lix: LixContext
  id?: string | undefined
  metadata?: JsonObject | undefined
  comments?: readonly { readonly body: ThreadCommentBody }[] | undefined
  versionId?: string | undefined
  entity?: LixEntity | undefined
}): Promise<{ id: string; metadata: JsonObject | null; comments: LixThreadComment[] }> {
  const { lix, id, metadata, comments, versionId: version, entity } = args
  return one(lix, "lix_create_thread", { id, metadata, comments: comments?.map(({ body }) => ({ body })), version, entity: entity && plain(entity) })
}

/** Adds a comment to a thread. Without `parent_id` it answers the newest that nobody answered; with null it stands by itself. */
export function createThreadComment(args: {
  lix: LixContext
  thread_id: string
  body: ThreadCommentBody
  id?: string | undefined
  parent_id?: string | null | undefined
}): Promise<LixThreadComment> {
  const { lix, thread_id, body, id, parent_id } = args
  return one(lix, "lix_create_thread_comment", { thread_id, body, id, parent_id })
}

/** Links an entity with a thread, in `global` unless another version is named. */
export async function createEntityThread(args: { lix: LixContext; entity: LixEntity; thread: WithId; versionId?: string | undefined }): Promise<void> {
  const { lix, entity, thread, versionId: version } = args
  await rows(lix, "lix_create_entity_thread", { ...plain(entity), thread_id: thread.id, version })
}

/** Takes an entity off a thread. */
export async function deleteEntityThread(args: { lix: LixContext; entity: LixEntity; thread: WithId; versionId?: string | undefined }): Promise<void> {
  const { lix, entity, thread, versionId: version } = args
  await rows(lix, "lix_delete_entity_thread", { ...plain(entity), thread_id: thread.id, version })
}

/** Writes a log entry. */
export function createLog(args: { lix: LixContext; key: string; message: string; level: string }): Promise<Pick<LixRow<"log">, "id" | "key" | "message" | "level">> {
  const { lix, key, message, level } = args
  return one(lix, "lix_create_log", { key, message, level })
}

/** A new UUID of version 7. */
export function uuidV7({ lix }: { lix: LixContext }): Promise<string> {
  return value(lix, sql`lix_uuid_v7()`)
}

/** A new id of 21, or `length`, letters and digits. */
export function nanoId({ lix, length }: { lix: LixContext; length?: number | undefined }): Promise<string> {
  return value(lix, length === undefined ? sql`lix_nano_id()` : sql`lix_nano_id(${length})`)
}

/** The lix's time: now, unless it is deterministic. */
export function timestamp({ lix }: { lix: LixContext }): Promise<string> {
  return value(lix, sql`lix_timestamp()`)
}

/** A number from 0 up to 1. */
export function random({ lix }: { lix: LixContext }): Promise<number> {
  return value(lix, sql`lix_random()`)
}

/** A word to name something with. */
export function humanId({ lix }: { lix: LixContext }): Promise<string> {
  return value(lix, sql`lix_human_id()`)
}

/** The same as {@link humanId}. */
export const generateHumanId = humanId

/** Whether ids and times are deterministic. */
export async function isDeterministicMode({ lix }: { lix: LixContext }): Promise<boolean> {
  return (await value<number>(lix, sql`lix_is_deterministic()`)) === 1
}

/** The next number of deterministic mode; rejects outside of it. */
export function nextDeterministicSequenceNumber({ lix }: { lix: LixContext }): Promise<number> {
  return value(lix, sql`lix_next_sequence_number()`)
}

/** A filter on `commit`: those from which a commit comes. */
export function commitIsAncestorOf(commit: WithId, options: { includeSelf?: boolean | undefined; depth?: number | undefined } = {}): RawBuilder<boolean> {
  return related("lix_commit_ancestors", commit, options)
}

/** A filter on `commit`: those that come from a commit. */
export function commitIsDescendantOf(commit: WithId, options: { includeSelf?: boolean | undefined; depth?: number | undefined } = {}): RawBuilder<boolean> {
  return related("lix_commit_descendants", commit, options)
}

/** There is no synchronous way to an engine: this always throws. In plugins, `querySync` is one. */
export function executeSync(_args: { lix: unknown; query: unknown }): never {
  const message = "executeSync: a lix is reached by messages, and no answer comes at once. Use `await query.execute()`; in a plugin, use querySync."
  throw new EngineError("UNIMPLEMENTED", "CAPABILITY_MISSING", message, { subject: "executeSync" })
}

/** A filter for entities in a query on `state` or a table of entities: `where(ebEntity("key_value").hasLabel({ name: "seen" }))`. */
export function ebEntity(table?: string): EntityFilters {
  return {
    hasLabel: (label) =>
      "id" in label
        ? sql<boolean>`exists (select 1 from entity_label as l where ${matches(table, "l")} and l.label_id = ${label.id})`
        : sql<boolean>`exists (select 1 from entity_label as l join label as n on n.id = l.label_id where ${matches(table, "l")} and n.name = ${label.name})`,
    equals: (entity) => isOneOf(table, [entity]),
    in: (entities) => isOneOf(table, entities),
  }
}

/** What {@link ebEntity} offers. */
export interface EntityFilters {
  /** Labelled so in the active version. */
  hasLabel(label: { readonly id: string } | { readonly name: string }): RawBuilder<boolean>
  equals(entity: LixEntity): RawBuilder<boolean>
  /** Of an empty list: never. */
  in(entities: readonly LixEntity[]): RawBuilder<boolean>
}

async function rows<Row>(lix: LixContext, procedure: string, options: { readonly [option: string]: unknown }): Promise<Row[]> {
  return (await sql<Row>`select * from ${sql.table(procedure)}(${JSON.stringify(options)})`.execute(lix.db)).rows
}

async function one<Row>(lix: LixContext, procedure: string, options: { readonly [option: string]: unknown }): Promise<Row> {
  const [row] = await rows<Row>(lix, procedure, options)
  return row!
}

async function value<Value>(lix: LixContext, expression: RawBuilder<unknown>): Promise<Value> {
  const { rows } = await sql<{ value: Value }>`select ${expression} as value`.execute(lix.db)
  return rows[0]!.value
}

function diff(lix: LixContext, procedure: string, options: { readonly [option: string]: unknown }): DiffQuery {
  return lix.db.selectFrom(sql<LixDiff>`${sql.table(procedure)}(${JSON.stringify(options)})`.as("diff")).selectAll("diff") as unknown as DiffQuery
}

function related(procedure: string, { id }: WithId, { includeSelf = false, depth }: { includeSelf?: boolean | undefined; depth?: number | undefined }): RawBuilder<boolean> {
  const options = JSON.stringify({ id, include_self: includeSelf, depth })
  return sql<boolean>`id in (select id from ${sql.table(procedure)}(${options}))`
}

function matches(table: string | undefined, label: string): RawBuilder<unknown> {
  const names = ["entity_id", "schema_key", "file_id"] as const
  return sql.join(names.map((name) => sql`${sql.ref(`${label}.${name}`)} = ${column(table, name)}`), sql` and `)
}

function isOneOf(table: string | undefined, entities: readonly LixEntity[]): RawBuilder<boolean> {
  if (entities.length === 0) return sql<boolean>`0`
  const [entity_id, schema_key, file_id] = (["entity_id", "schema_key", "file_id"] as const).map((name) => column(table, name))
  const each = entities.map((entity) => {
    const key = plain(entity)
    return sql`(${entity_id} = ${key.entity_id} and ${schema_key} = ${key.schema_key} and ${file_id} = ${key.file_id})`
  })
  return sql<boolean>`(${sql.join(each, sql` or `)})`
}

/** `state` and the mappings of entities have the columns under their own names. */
function column(table: string | undefined, name: string): RawBuilder<unknown> {
  const isPlain = table !== undefined && /^(state|entity_label|entity_thread)(_all|_history|_with_tombstones)?$/.test(table)
  const full = isPlain ? name : `lixcol_${name}`
  return table === undefined ? sql.ref(full) : sql.ref(`${table}.${full}`)
}

function plain(entity: LixEntity): { entity_id: string; schema_key: string; file_id: string } {
  if ("entity_id" in entity) return { entity_id: entity.entity_id, schema_key: entity.schema_key, file_id: entity.file_id }
  return { entity_id: entity.lixcol_entity_id, schema_key: entity.lixcol_schema_key, file_id: entity.lixcol_file_id }
}

function idOf({ commit_id: id }: { commit_id: string | null }): WithId | null {
  return id === null ? null : { id }
}
