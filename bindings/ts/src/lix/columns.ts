/**
 * What the columns of a lix's tables are to TypeScript: read, inserted, updated. No code.
 */

import type { ColumnType, SelectType } from "kysely"

/** What JSON can say. */
export type JsonValue = string | number | boolean | null | JsonObject | readonly JsonValue[]

/** A JSON object. */
export type JsonObject = { readonly [property: string]: JsonValue | undefined }

/** JSON in a column: a value on both sides, never its text. */
export type JsonColumn<Value> = ColumnType<Value, Value, Value>

/** 0 or 1 as SQL has it; `true` and `false` are taken, too. */
export type FlagColumn = ColumnType<0 | 1, 0 | 1 | boolean | undefined, 0 | 1 | boolean>

/** Computed: shown, and never written. */
export type ReadOnlyColumn<Value> = ColumnType<Value, never, never>

/** A table `N`: entities of the active version. */
export type EntityTable<Properties> = Properties & EntityColumns

/** A table `N_all`: entities of every version. */
export type EntityAllTable<Properties> = Properties & EntityColumns & {
  /** The version in which the row is seen, and to which it is written. */
  lixcol_version_id: string
}

/** A table `N_history`: what entities were, at every commit. */
export type EntityHistoryTable<Properties> = ReadOnly<Properties> & EntityHistoryColumns

/** A table `N` that is computed. */
export type EntityReadOnlyTable<Properties> = ReadOnly<EntityTable<Properties>>

/** A table `N_all` that is computed. */
export type EntityAllReadOnlyTable<Properties> = ReadOnly<EntityAllTable<Properties>>

/** The three tables of a stored schema: `Kysely<LixDatabaseSchema & EntityTablesOf<"note", NoteProperties>>`. */
export type EntityTablesOf<Name extends string, Properties> = {
  [Table in Name]: OwnEntityTable<Properties>
} & {
  [Table in `${Name}_all`]: OwnEntityTable<Properties> & { lixcol_version_id: string }
} & {
  [Table in `${Name}_history`]: EntityHistoryTable<Properties>
}

/** The same columns, and nothing can be written. */
export type ReadOnly<Columns> = { [Column in keyof Columns]: ReadOnlyColumn<SelectType<Columns[Column]>> }

/** What every entity has beside its properties. */
export interface EntityColumns {
  lixcol_entity_id: ReadOnlyColumn<string>
  lixcol_schema_key: ReadOnlyColumn<string>
  lixcol_plugin_key: ReadOnlyColumn<string>
  lixcol_file_id: ReadOnlyColumn<string>
  /** Null: the version itself has the row. */
  lixcol_inherited_from_version_id: ReadOnlyColumn<string | null>
  lixcol_created_at: ReadOnlyColumn<string>
  lixcol_updated_at: ReadOnlyColumn<string>
  lixcol_change_id: ReadOnlyColumn<string>
  lixcol_commit_id: ReadOnlyColumn<string>
  lixcol_untracked: FlagColumn
}

/** Entities of a schema of one's own may belong to a file and a plugin. */
type OwnEntityTable<Properties> = Properties & Omit<EntityColumns, "lixcol_plugin_key" | "lixcol_file_id"> & {
  lixcol_plugin_key: ColumnType<string, string | undefined, string>
  lixcol_file_id: ColumnType<string, string | undefined, string>
}

/** What every row of history has beside the properties. */
export interface EntityHistoryColumns {
  lixcol_entity_id: ReadOnlyColumn<string>
  lixcol_schema_key: ReadOnlyColumn<string>
  lixcol_plugin_key: ReadOnlyColumn<string>
  lixcol_file_id: ReadOnlyColumn<string>
  lixcol_change_id: ReadOnlyColumn<string>
  lixcol_commit_id: ReadOnlyColumn<string>
  lixcol_schema_version: ReadOnlyColumn<string>
  /** From where one looks back; queries filter by it. */
  lixcol_root_commit_id: ReadOnlyColumn<string>
  /** Commits between the root and the one that has the change. */
  lixcol_depth: ReadOnlyColumn<number>
}
