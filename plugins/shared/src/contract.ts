/** What the engine and a plugin say to each other, as far as these plugins use it. */

export interface LixPlugin {
  readonly key: string
  /** Which paths, as SQLite's GLOB. */
  readonly detectChangesGlob: string
  detectChanges(call: DetectCall): DetectedChange[]
  applyChanges(call: ApplyCall): { fileData: Uint8Array }
}

export interface DetectCall {
  /** Absent for content that this plugin has not seen. */
  readonly before?: PluginFile | undefined
  readonly after: PluginFile
  readonly querySync: QuerySync
}

export interface ApplyCall {
  readonly file: Omit<PluginFile, "data" | "hidden">
  /** Every current entity of the file, in no particular order. */
  readonly changes: readonly EntityRow[]
}

export interface PluginFile {
  readonly id: string
  readonly path: string
  readonly data: Uint8Array
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly hidden?: boolean
}

/** One entity as it became; null is a deletion. */
export interface DetectedChange {
  entity_id: string
  schema: Schema
  snapshot_content: Snapshot | null
}

export interface EntityRow {
  readonly entity_id: string
  readonly schema_key: string
  readonly snapshot_content: Snapshot
}

export type Snapshot = Readonly<Record<string, unknown>>

/** A JSON schema with the keywords of a lix. */
export interface Schema {
  readonly "x-lix-key": string
  readonly "x-lix-version": string
  readonly type: "object"
  readonly properties: Readonly<Record<string, object>>
  readonly required: readonly string[]
  readonly additionalProperties: false
}

/** The part of a Kysely query that these plugins need: it runs at once. */
export type QuerySync = (table: "state") => StateQuery

export interface StateQuery {
  where(column: string, operator: "=" | "in", value: string | readonly string[]): StateQuery
  select(columns: readonly string[]): StateQuery
  execute(): EntityRow[]
}
