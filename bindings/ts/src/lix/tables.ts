/**
 * The tables of a lix: those of the schemas, and those that show state, the log and versions.
 */

import type { ColumnType, Generated, Insertable, Selectable, Updateable } from "kysely"
import type { EntityAllTable, EntityHistoryTable, EntityTable, FlagColumn, JsonColumn, JsonObject, ReadOnly, ReadOnlyColumn } from "./columns.js"
import { ENTITY_JSON_COLUMNS, ENTITY_TABLES, type EntityTables, type FileProperties } from "./schema.js"

/**
 * Every table of a lix, for `Kysely<LixDatabaseSchema>`. Tables of one's own go beside them:
 *
 * ```ts
 * interface Tables { person: { id: number; name: string } }
 * const lix = await openLix<Tables>({ engine })
 * ```
 */
export interface LixDatabaseSchema extends EntityTables, StateTables, VersionTables, FileTables {
  /** The log: every change that was committed. */
  change: ChangeTable
}

/** A row of a table as it is read. */
export type LixRow<Table extends keyof LixDatabaseSchema> = Selectable<LixDatabaseSchema[Table]>

/** What an INSERT into a table takes. */
export type LixInsert<Table extends keyof LixDatabaseSchema> = Insertable<LixDatabaseSchema[Table]>

/** What an UPDATE of a table takes. */
export type LixUpdate<Table extends keyof LixDatabaseSchema> = Updateable<LixDatabaseSchema[Table]>

/** Live entities of any kind. */
export interface StateTables {
  /** Of the active version. */
  state: StateTable
  /** Of every version. */
  state_all: StateTable & { version_id: string }
  /** Of every version, and what is deleted there. */
  state_with_tombstones: ReadOnly<Omit<StateTable, "snapshot_content"> & { version_id: string; snapshot_content: JsonColumn<JsonObject | null> }>
  /** What they were, at every commit. */
  state_history: StateHistoryTable
}

/** The columns of `state`. */
export interface StateTable {
  entity_id: string
  schema_key: string
  file_id: string
  plugin_key: string
  /** The entity. Null, written, is a deletion. */
  snapshot_content: ColumnType<JsonObject, JsonObject | string | null, JsonObject | string | null>
  schema_version: string
  created_at: ReadOnlyColumn<string>
  updated_at: ReadOnlyColumn<string>
  inherited_from_version_id: ReadOnlyColumn<string | null>
  change_id: ReadOnlyColumn<string>
  untracked: FlagColumn
  commit_id: ReadOnlyColumn<string>
}

/** The columns of `state_history`. */
export type StateHistoryTable = ReadOnly<{
  entity_id: string
  schema_key: string
  file_id: string
  plugin_key: string
  snapshot_content: JsonColumn<JsonObject>
  schema_version: string
  change_id: string
  commit_id: string
  root_commit_id: string
  depth: number
}>

/** The columns of `change`. */
export interface ChangeTable {
  id: Generated<string>
  entity_id: string
  schema_key: string
  schema_version: string
  file_id: string
  plugin_key: string
  created_at: Generated<string>
  /** The entity afterwards; null: deleted. */
  snapshot_content: ColumnType<JsonObject | null, JsonObject | string | null, never>
}

/** Versions and what is active. */
export interface VersionTables {
  version: VersionTable
  version_all: VersionTable & VersionAllColumns
  version_history: EntityHistoryTable<VersionProperties>
  active_version: ActiveVersionTable
  active_account: ActiveAccountTable
}

/** What a version is. */
export interface VersionProperties {
  id: Generated<string>
  name: Generated<string>
  /** The tip. */
  commit_id: ColumnType<string | null, string | null | undefined, string>
  working_commit_id: string
  inherits_from_version_id: string | null
  hidden: FlagColumn
}

type VersionTable = VersionProperties & Omit<ReadOnly<{ [Column in keyof EntityTable<object>]: EntityTable<object>[Column] }>, "lixcol_plugin_key">

interface VersionAllColumns {
  lixcol_plugin_key: ReadOnlyColumn<string>
  lixcol_schema_version: ReadOnlyColumn<string>
  lixcol_version_id: ColumnType<string, string | undefined, never>
}

/** The columns of `active_version`: one row. */
export interface ActiveVersionTable extends ActiveColumns {
  version_id: string
}

/** The columns of `active_account`: one row for each account that works right now. */
export interface ActiveAccountTable extends ActiveColumns {
  account_id: string
}

interface ActiveColumns {
  lixcol_inherited_from_version_id: ReadOnlyColumn<string | null>
  lixcol_created_at: ReadOnlyColumn<string>
  lixcol_updated_at: ReadOnlyColumn<string>
  lixcol_file_id: ReadOnlyColumn<string>
  lixcol_change_id: ReadOnlyColumn<string>
  lixcol_untracked: ReadOnlyColumn<0 | 1>
}

/** Files. */
export interface FileTables {
  /** Of the active version. */
  file: Omit<EntityTable<FileProperties & FileData>, "lixcol_plugin_key">
  /** Of every version. */
  file_all: Omit<EntityAllTable<FileProperties & FileData>, "lixcol_plugin_key">
  /** What they were, at every commit. */
  file_history: EntityHistoryTable<FileProperties & FileData>
}

interface FileData {
  /** The content. Made when it is selected, and only then. */
  data: ColumnType<Uint8Array, Uint8Array | ArrayBuffer | undefined, Uint8Array | ArrayBuffer>
}

/** How a column holds JSON: always, or what a string says is JSON already, or by the letter at this place of `_types`. */
export type JsonKind = "json" | "text" | number

/** The columns of each table that hold JSON. */
export const JSON_COLUMNS: { readonly [table: string]: { readonly [column: string]: JsonKind } } = {
  ...ENTITY_JSON_COLUMNS,
  state: { snapshot_content: "text" },
  state_all: { snapshot_content: "text" },
  state_with_tombstones: { snapshot_content: "text" },
  state_history: { snapshot_content: "text" },
  change: { snapshot_content: "text" },
  file: { metadata: "json" },
  file_all: { metadata: "json" },
  file_history: { metadata: "json" },
}

/** Every table of a lix. */
export const LIX_TABLES: ReadonlySet<string> = new Set([
  ...ENTITY_TABLES.flatMap((name) => [name, `${name}_all`, `${name}_history`]),
  ...["state", "state_all", "state_with_tombstones", "state_history", "change", "version", "version_all", "version_history", "active_version", "active_account"],
  ...["file", "file_all", "file_history"],
])
