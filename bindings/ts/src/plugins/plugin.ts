/**
 * What a plugin is. No code.
 *
 * A plugin is an object, exported by a module as `plugin` or as `default`. It runs where the engine runs,
 * inside the statement that writes or reads a file, and it is synchronous: a promise is refused.
 */

/**
 * Turns a file's bytes into entities, and entities into bytes.
 *
 * ```ts
 * export const plugin: LixPlugin = {
 *   key: "plugin_lines",
 *   detectChangesGlob: "*.txt",
 *   detectChanges: ({ before, after }) => changesBetween(before?.data, after.data),
 *   applyChanges: ({ changes }) => ({ fileData: bytesOf(changes) }),
 * }
 * ```
 */
export interface LixPlugin {
  /** Not empty; no two plugins of an engine have the same. It is stored with every entity: keep it. */
  readonly key: string
  /** Which paths the plugin looks at, as SQLite's GLOB: `*.md`, `/notes/*`. Without one it detects nothing. */
  readonly detectChangesGlob?: string | undefined
  /**
   * Called when a file is written. The answer says what became of the file's entities; what it does not
   * mention stays. What it throws, the statement fails with.
   */
  detectChanges?(input: DetectChangesInput): DetectedChange[]
  /** A file's bytes from all of its entities. What it throws, the statement fails with. */
  applyChanges?(input: ApplyChangesInput): { fileData: Uint8Array }
}

/** What {@link LixPlugin.detectChanges} gets. */
export interface DetectChangesInput {
  /** The file as it was; absent for one that the plugin has not seen. */
  readonly before?: PluginFile
  /** The file as it is to be. */
  readonly after: PluginFile
  /** Reads the lix as the statement sees it so far. Only while the plugin is being called. */
  readonly querySync: QuerySync
}

/** What {@link LixPlugin.applyChanges} gets. */
export interface ApplyChangesInput {
  readonly file: Omit<PluginFile, "data" | "hidden">
  /** The file's entities, by schema key and entity id. */
  readonly changes: readonly PluginChange[]
}

/** A file. */
export interface PluginFile {
  readonly id: string
  readonly path: string
  readonly data: Uint8Array
  readonly metadata: { readonly [property: string]: unknown } | null
  readonly hidden: boolean
}

/** What became of an entity. */
export interface DetectedChange {
  /** Not empty. */
  entity_id: string
  /** Its schema: JSON Schema with `x-lix-key` and `x-lix-version`. Stored with the first entity that has it. */
  schema: object
  /** Its content, an object; null: it is gone. */
  snapshot_content: object | null
}

/** An entity as it is stored. */
export interface PluginChange {
  /** Of the change that wrote it. */
  readonly id: string
  readonly entity_id: string
  readonly schema_key: string
  readonly schema_version: string
  readonly file_id: string
  readonly plugin_key: string
  readonly snapshot_content: { readonly [property: string]: unknown }
  readonly version_id: string
  readonly created_at: string
}

/** `selectFrom` of Kysely, with queries that run at once. */
export type QuerySync = (table: string) => SyncQuery

/**
 * Kysely's `SelectQueryBuilder`, whose three `execute` methods return their rows instead of promises. These are the
 * methods most often used; all others are there, too.
 */
export interface SyncQuery {
  select: SyncStep
  selectAll: SyncStep
  distinct: SyncStep
  innerJoin: SyncStep
  leftJoin: SyncStep
  where: SyncStep
  whereRef: SyncStep
  groupBy: SyncStep
  having: SyncStep
  orderBy: SyncStep
  limit: SyncStep
  offset: SyncStep
  /** The rows as objects. `snapshot_content` is parsed; other JSON is text. */
  execute(): SyncRow[]
  executeTakeFirst(): SyncRow | undefined
  /** Throws `No result` if there is none. */
  executeTakeFirstOrThrow(): SyncRow
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- everything else is Kysely's
  [method: string]: any
}

/** Columns, tables and values as text, Kysely's expressions, or functions of its expression builder. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- Kysely's expression builder
export type SyncStep = (...args: (string | number | bigint | boolean | object | null | undefined | ((builder: any) => unknown))[]) => SyncQuery

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a column's type is known to whoever names it
export type SyncRow = { [column: string]: any }
