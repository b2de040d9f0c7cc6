/**
 * What a user of the package meets: the engine, its options and its results. No code.
 */

import type { ColumnBatch } from "./columns.js"
import type { EngineError } from "./errors.js"
import type { LixPlugin } from "./plugins/plugin.js"

/**
 * A SQLite database behind messages. Made by `createWorkerOpfsEngine`, `createWorkerEngine`,
 * `createMainMemoryEngine` or `createEngine`; nothing here says which.
 *
 * Requests run in the order of the calls, one at a time. There is one connection, so a raw `exec`
 * joins whatever transaction is open; callers that do not know each other go through the Kysely
 * dialect, which keeps them apart.
 *
 * ```ts
 * const engine = createWorkerEngine()
 * await engine.init()
 * await engine.exec("create table note (id integer primary key, text text)")
 * await engine.exec("insert into note (text) values (?)", ["hello"])
 * const { rows } = await engine.exec("select * from note")
 * await engine.close()
 * ```
 */
export interface LixEngine {
  /**
   * Opens the database. Calls made while this is under way wait for it; calls before it reject with
   * `LIFECYCLE/NOT_INITIALIZED`. After a failure it may be called again.
   */
  init(options?: InitOptions): Promise<InitResult>

  /**
   * Runs one statement.
   *
   * ```ts
   * const { rows } = await engine.exec<{ id: number }>("select id from note where text = ?", ["hello"])
   * const { changes } = await engine.exec("delete from note where id = :id", { id: 1 })
   * ```
   */
  exec<Row = RowObject>(sql: string, params?: Params, options?: ExecOptions & { rowMode?: "object" }): Promise<ExecResult<Row>>
  exec(sql: string, params: Params | undefined, options: ExecOptions & { rowMode: "array" }): Promise<ExecResult<SqlValue[]>>
  exec(sql: string, params: Params | undefined, options: ExecOptions & { rowMode: "columns" }): Promise<ColumnarResult>

  /**
   * Runs a list of statements in one exchange, in order, without a transaction of its own: put
   * `begin` and `commit` into the list if it must be one.
   *
   * The first failing statement ends the batch: the promise rejects with its error, which carries
   * `batchIndex`, `sql` and the `results` so far, and what ran before it stays. With
   * `onError: "continue"` all statements run and each failure takes its place in `results`.
   */
  execBatch<Row = RowObject>(batch: readonly Statement[], options?: BatchOptions & { onError?: "stop"; rowMode?: "object" }): Promise<{ results: ExecResult<Row>[] }>
  execBatch(batch: readonly Statement[], options: BatchOptions & { onError?: "stop"; rowMode: "array" }): Promise<{ results: ExecResult<SqlValue[]>[] }>
  execBatch(batch: readonly Statement[], options: BatchOptions & { onError?: "stop"; rowMode: "columns" }): Promise<{ results: ColumnarResult[] }>
  execBatch(batch: readonly Statement[], options: BatchOptions): Promise<{ results: BatchOutcome[] }>

  /**
   * Iterates a result without holding all of it: one batch is in hand and one on its way. Nothing
   * is sent before the first `next()`; leaving the loop early closes the cursor.
   *
   * ```ts
   * for await (const note of engine.stream<{ text: string }>("select text from note")) print(note.text)
   * for await (const rows of engine.stream("select text from note").batches()) table.append(rows)
   * ```
   */
  stream<Row = RowObject>(sql: string, params?: Params, options?: StreamOptions & { rowMode?: "object" }): RowStream<Row, Row[]>
  stream(sql: string, params: Params | undefined, options: StreamOptions & { rowMode: "array" }): RowStream<SqlValue[], SqlValue[][]>
  stream(sql: string, params: Params | undefined, options: StreamOptions & { rowMode: "columns" }): RowStream<never, ColumnBatch>

  /** The database file as of now. Rejects with `TRANSACTION/IN_TRANSACTION` inside a transaction. */
  export(): Promise<ArrayBuffer>

  /**
   * Stores what is not stored yet, and resolves when it is safe. Needed only by those who cannot
   * wait for the autosave. Rejects with `STORAGE/STORAGE_UNSUPPORTED` in memory, with
   * `TRANSACTION/IN_TRANSACTION` inside a transaction, and with what went wrong.
   */
  save(): Promise<{ savedSeq: number }>

  /**
   * Finishes the calls made before it, rolls back an open transaction, stores what is not stored yet
   * and ends the engine; after it, another one can open the same path. Calls made after it reject.
   * If that last save fails, it rejects and the engine is closed all the same. Calling it again
   * returns the same promise; on an engine that has already failed it resolves.
   */
  close(options?: CloseOptions): Promise<void>

  /**
   * Stores what is not stored yet and lets the storage go, so that another engine can open it. The
   * session goes on in memory. A page that is put aside does this by itself.
   */
  suspend(): Promise<{ savedSeq: number }>

  /**
   * Takes the storage again after `suspend`. Rejects with `STORAGE/STORAGE_BUSY` while another
   * engine has it, and may then be tried again. If another engine has saved to it meanwhile, it
   * rejects with `STORAGE/STORAGE_LOST` and the engine ends: nothing is overwritten.
   */
  resume(options?: { busyWaitMs?: number | undefined }): Promise<void>

  /**
   * Where things stand, with saving above all. Always true, also between calls, and free: nothing is
   * sent for it.
   *
   * ```ts
   * engine.on("autosave", () => {
   *   const { saving, unsaved, lastSaveError } = engine.status()
   *   badge.textContent = lastSaveError ? `not saved: ${lastSaveError.message}` : saving ? "saving" : unsaved ? "edited" : "saved"
   * })
   * ```
   */
  status(): EngineStatus

  /** Ends the engine at once, even in the middle of a statement; waiting calls reject with `LIFECYCLE/TRANSPORT_CLOSED`. */
  terminate(): void

  /**
   * Listens for events. `closed` always comes, `autosave` wherever there is storage, unless durability
   * is strict; the others must be asked for in `init({ events })`. Returns the function that stops
   * listening.
   */
  on<Kind extends keyof EngineEvents>(kind: Kind, listener: (event: EngineEvents[Kind]) => void): () => void

  /** The session as the newest answer and the events since then report it. */
  readonly state: SessionState
}

/** What can be bound to a parameter: by position, or by name with or without the `:`, `@` or `$`. */
export type Params = readonly unknown[] | { readonly [name: string]: unknown }

/** One statement of a batch. */
export interface Statement {
  readonly sql: string
  readonly params?: Params | undefined
}

/**
 * How SQLite integers become JavaScript values.
 *
 * - `"auto"`: `number`, and `bigint` beyond ±(2^53 − 1). Never loses, never throws.
 * - `"number"`: `number`; beyond ±(2^53 − 1) the call rejects with `INVALID/INTEGER_UNSAFE`.
 * - `"bigint"`: always `bigint`.
 * - `"string"`: always decimal text.
 */
export type IntegerPolicy = "auto" | "number" | "bigint" | "string"

/** A row as an object (of two columns with one name the last wins), an array, or a column of a batch. */
export type RowMode = "object" | "array" | "columns"

/** A SQLite integer under the chosen {@link IntegerPolicy}. */
export type SqlInteger = number | bigint | string

/** A cell as it comes out. */
export type SqlValue = null | number | bigint | string | Uint8Array

/** A row in the default mode. */
export type RowObject = { [column: string]: SqlValue }

/** How the rows of a result are to look. */
export interface ResultOptions {
  /** Default `"object"`. */
  rowMode?: RowMode | undefined
  /** Default: the policy given to `init`, else `"auto"`. */
  integers?: IntegerPolicy | undefined
  /** What to do with TEXT that is not valid UTF-8: replace the broken bytes by U+FFFD (default) or hand out the bytes. */
  invalidText?: "replace" | "bytes" | undefined
  /**
   * `"copy"` (default) gives each blob a buffer of its own. `"view"` is cheaper where there are many
   * small ones: views of the buffer that the whole answer came in, for callers that read and let go.
   */
  blobs?: "copy" | "view" | undefined
}

/** Options of one call. */
export interface ExecOptions extends ResultOptions {
  /**
   * Asks the engine to drop the call. A call that has not started rejects with
   * `INTERRUPTED/CANCELLED`; one that has may still succeed, so the promise settles with whatever
   * the engine answers.
   */
  signal?: AbortSignal | undefined
  /** Ends the statement with `INTERRUPTED/TIMEOUT` when it runs longer. */
  timeoutMs?: number | undefined
  /**
   * Tell what the result depends on, in `result.reads`: whoever keeps the result then knows from the
   * event `commit` whether it is still true. Only of a lix.
   *
   * ```ts
   * await engine.init({ lix: true, events: ["commit"], commitDetail: "keys" })
   * let { rows, reads } = await engine.exec(sql, params, { reportReads: true })
   * engine.on("commit", (event) => {
   *   if (mayHaveChanged(reads!, event)) refresh()
   * })
   *
   * function mayHaveChanged({ anyCommit, reads }: ReadSet, { changes, truncated, anyRead }: EngineEvents["commit"]): boolean {
   *   if (anyCommit || anyRead || truncated || !changes) return true
   *   return changes.some((row) => reads.some((read) =>
   *     (read.schemaKey === "" || read.schemaKey === row.schema_key) && (read.versionId === "" || read.versionId === row.version_id) &&
   *     (read.fileId === "" || read.fileId === row.file_id) && (read.entityId === "" || read.entityId === row.entity_id)))
   * }
   * ```
   */
  reportReads?: boolean | undefined
}

/** Options of `execBatch`; `timeoutMs` holds for each statement. */
export interface BatchOptions extends ExecOptions {
  /** Default `"stop"`. */
  onError?: "stop" | "continue" | undefined
}

/** Options of `stream`. A batch ends at whichever bound comes first; it always has one row at least. */
export interface StreamOptions extends Omit<ExecOptions, "reportReads"> {
  /** Default 4096. */
  batchRows?: number | undefined
  /** Default 256 KiB. */
  batchBytes?: number | undefined
}

/** A column of a result. */
export interface ResultColumn {
  readonly name: string
  /** As declared in the table; absent for expressions. */
  readonly declType?: string | undefined
}

/** What every result has. */
export interface ResultHead {
  /** Empty for statements that return nothing. */
  readonly columns: readonly ResultColumn[]
  /** Rows changed; absent for read-only statements. */
  readonly changes?: SqlInteger
  /** Absent unless the statement inserted a row. */
  readonly lastInsertRowid?: SqlInteger
  /** What the result depends on; there exactly if `reportReads` asked for it and the database is a lix. */
  readonly reads?: ReadSet
  /** The session after the statement. */
  readonly state: SessionState
}

/**
 * What a result depends on: no commit whose `changes` match none of the `reads` changes it, unless the
 * event has `anyRead` or `truncated` set. A rollback sends no event: do not keep what was read inside a
 * transaction that may end in one.
 */
export interface ReadSet {
  /**
   * Any commit may change it: it reads tables of the user's own, the log, history or a diff; or the
   * statement writes. `reads` is empty then.
   */
  readonly anyCommit: boolean
  readonly reads: readonly Read[]
}

/** A part of the state, by the columns of {@link StateChange}; `""` means any. */
export interface Read {
  readonly schemaKey: string
  readonly versionId: string
  readonly fileId: string
  readonly entityId: string
}

/** The answer to `exec`. */
export interface ExecResult<Row = RowObject> extends ResultHead {
  readonly rows: Row[]
}

/** The answer to `exec` with `rowMode: "columns"`. */
export interface ColumnarResult extends ResultHead {
  readonly batch: ColumnBatch
}

/** One entry of a batch's results. */
export type BatchOutcome = ExecResult | ExecResult<SqlValue[]> | ColumnarResult | EngineError

/** The rows of a stream, one by one or batch by batch. One pass over one of the two. */
export interface RowStream<Row, Batch> extends AsyncIterable<Row> {
  /** The rows as they arrive; in mode `"columns"` the only way, and one empty batch if there are no rows. */
  batches(): AsyncIterableIterator<Batch>
}

/** What SQLite and the engine say about the session after a call. */
export interface SessionState {
  /** SQLite's own word, not guessed from the SQL. */
  readonly inTransaction: boolean
  /** Outermost commits that changed something, since `init`. */
  readonly commitSeq: number
  /** The newest `commitSeq` known to be stored. */
  readonly savedSeq: number
}

/** Options of `close`. */
export interface CloseOptions {
  /** Do not store what is not stored yet. */
  discardUnsaved?: boolean | undefined
}

/** Where an engine is in its life; `closing` and the two after it never go back. */
export type EnginePhase = "new" | "opening" | "ready" | "closing" | "closed" | "failed"

/**
 * Where an engine stands; see `LixEngine.status`. Under strict durability it follows the answers:
 * `saving` and `lastSave` need the event `autosave`, asked for in `init({ events })`.
 */
export interface EngineStatus {
  readonly phase: EnginePhase
  /** Where the database is kept; undefined before `init` is answered. */
  readonly storage: "memory" | "opfs" | "file" | undefined
  /** Under which name; undefined in memory. */
  readonly path: string | undefined
  /** A save is going on. */
  readonly saving: boolean
  /** There are commits that are not stored. Always false in memory, where nothing ever is. */
  readonly unsaved: boolean
  /** Outermost commits that changed something, since `init`. */
  readonly commitSeq: number
  /** The newest of them that is stored. */
  readonly savedSeq: number
  /** The newest save of this session. */
  readonly lastSave?: { readonly commitSeq: number; readonly bytes: number; readonly at: Date }
  /** Why the newest attempt to save, or to take the storage again, failed; absent once one succeeds. */
  readonly lastSaveError?: EngineError
  /** The storage is let go for a while; commits stay in memory until it is taken again. */
  readonly suspended: boolean
  /** In OPFS: whether the browser promised not to clear it when room gets short, as last heard. */
  readonly persisted?: boolean
}

/** What a listener may ask for in `init`. */
export type EventKind = "commit" | "autosave" | "plugin" | "log"

/** Options of `init`. */
export interface InitOptions {
  /**
   * A database file to start from. An `ArrayBuffer` is transferred: it is gone for its owner, with
   * `byteLength` 0, even when `init` fails. A view (`Uint8Array`) that spans its whole buffer is
   * transferred too; a view of a part is copied.
   */
  blob?: ArrayBuffer | Uint8Array | undefined
  /**
   * Where the database is stored. Default `"memory"`. `"opfs"` needs an engine in a worker. `"auto"`
   * is `"opfs"` where there is such a thing and memory elsewhere (a private window, say);
   * `InitResult.capabilities.persistence` and `status().storage` tell which.
   */
  storage?: "memory" | "opfs" | "file" | "auto" | undefined
  /**
   * The name in that storage; ignored by `"memory"`. In OPFS: one or more names joined by `/`, each
   * of at most 255 bytes of UTF-8 in normalization form C, none of them `.` or `..`.
   */
  path?: string | undefined
  /**
   * What to do with what is stored already, or is not.
   *
   * - `"open-or-create"` (default): open it, or start from `blob`, or empty. With something stored,
   *   `blob` is ignored.
   * - `"open"`: open it, or `STORAGE/STORAGE_MISSING`.
   * - `"create"`: start from `blob`, or empty; `STORAGE/STORAGE_EXISTS` if something is stored.
   * - `"replace"`: the same, but what is stored is given up once the new content is saved.
   */
  openMode?: OpenMode | undefined
  /**
   * - `"relaxed"` (default): a call that commits is answered at once and stored soon. A crash loses
   *   what `status()` shows as unsaved, never more.
   * - `"strict"`: a call that commits is answered when the commit is stored.
   */
  durability?: "relaxed" | "strict" | undefined
  /** When the engine saves by itself. */
  autosave?: AutosaveOptions | undefined
  /**
   * How long to wait while another tab has the path open, in milliseconds, before `init` rejects with
   * `STORAGE/STORAGE_BUSY`. Default 500, which is more than the end of a page takes that is just
   * being reloaded; 0 does not wait.
   */
  busyWaitMs?: number | undefined
  /**
   * The database is to be a *lix*, under change control: every write to its state is a change in a commit,
   * and versions, history and merges are SQL (docs/sql-reference.md). New or plain content is made one.
   * Content that is a lix is opened as one without being asked for; see {@link InitResult.schemaVersion}.
   *
   * ```ts
   * await engine.init({ lix: true })
   * await engine.exec("insert into key_value (key, value) values ('greeting', 'hello')")
   * ```
   */
  lix?: boolean | LixOptions | undefined
  /**
   * Plugins as the text of one ECMAScript module each, without imports, which exports a {@link LixPlugin} as
   * `plugin` or as `default`. They run where the engine runs. Bundlers give such a text by `?raw` (Vite) or
   * `asset/source` (webpack); see docs/plugins.md. Those given to the engine's factory come first.
   *
   * ```ts
   * import markdown from "./plugin-markdown.js?raw"
   * const engine = createWorkerOpfsEngine({ path: "notes.lix", lix: true, expProvideStringifiedPlugins: [markdown] })
   * ```
   *
   * A plugin that cannot be loaded makes `init` reject with `PLUGIN`; the error's `subject` is its key or index.
   */
  expProvideStringifiedPlugins?: readonly string[] | undefined
  /**
   * Plugins as objects. Only for an engine in this thread: objects with functions cannot be sent to a worker, whose
   * `init` rejects with `INVALID/OPTION_INVALID`. Those given to the engine's factory come first.
   */
  providePlugins?: readonly LixPlugin[] | undefined
  /**
   * How long one call of a plugin, or loading it, may take, in milliseconds. Default 10,000. A worker in which a
   * plugin takes longer is ended, as nothing else ends a loop: calls that wait reject with `PLUGIN/PLUGIN_TIMEOUT`,
   * what was saved stays, and a new engine can open the path. In this thread nothing can end it.
   */
  pluginTimeoutMs?: number | undefined
  /** Which events are sent. Default: none but `closed`. */
  events?: readonly EventKind[] | undefined
  /**
   * How much the event `commit` tells of what changed in a lix: nothing (`"summary"`, the default), which
   * entities (`"keys"`), or their new content, too (`"values"`).
   */
  commitDetail?: "summary" | "keys" | "values" | undefined
  /** The integer policy of calls that do not name one. Default `"auto"`. */
  integers?: IntegerPolicy | undefined
  /** Capabilities without which `init` is to fail with `UNIMPLEMENTED/CAPABILITY_MISSING`. */
  required?: readonly Capability[] | undefined
}

/** What a new lix starts with; see {@link InitOptions.lix}. */
export interface LixOptions {
  /** Key values of a new lix, such as `lix_name`. Ignored if the content is a lix already. */
  readonly keyValues?: readonly LixKeyValue[] | undefined
}

/** A key value of a new lix. */
export interface LixKeyValue {
  readonly key: string
  /** Anything that `JSON.stringify` takes; undefined counts as null, which makes no entity. */
  readonly value: unknown
  /** The version that holds it. Default: the initial version, or `"global"` if it is untracked. */
  readonly versionId?: string | undefined
  /** Without changes, commits and history. */
  readonly untracked?: boolean | undefined
}

/** What `init` does with stored content; see {@link InitOptions.openMode}. */
export type OpenMode = "open-or-create" | "open" | "create" | "replace"

/** When an engine with storage saves by itself. Never inside a transaction. */
export interface AutosaveOptions {
  /** Only `save`, `suspend` and `close` save. */
  disabled?: boolean | undefined
  /** Quiet time after a commit before it is saved, in milliseconds. Default 300. */
  debounceMs?: number | undefined
  /** Longest time a commit stays unsaved while others keep coming, in milliseconds. Default 2000. */
  maxDelayMs?: number | undefined
}

/** Optional abilities an engine may announce. Open: a newer engine may have more. */
export type Capability =
  | "PERSISTENCE" | "AUTOSAVE" | "CURSORS" | "NAMED_PARAMS" | "BULK_BIND" | "SCOPES" | "CANCEL_RUNNING"
  | "PLUGINS_ESM" | "PLUGINS_WASM" | "PLUGINS_BUILTIN" | "MANUAL_CLOCK" | "FAULTS" | "CHANGE_CONTROL"

/** The answer to `init`. */
export interface InitResult {
  readonly engineName: string
  readonly engineVersion: string
  readonly sqliteVersion: string
  /** Of the engine's own tables; there exactly if the database is a lix. */
  readonly schemaVersion?: string
  readonly capabilities: {
    readonly persistence: "memory" | "opfs" | "file"
    readonly announced: readonly Capability[]
  }
  readonly limits: Limits
  /** Stored content was found and opened. */
  readonly restored: boolean
}

/** What the engine refuses to exceed. */
export interface Limits {
  readonly maxFrameBytes: number
  readonly maxAttachmentBytes: number
  readonly maxSqlBytes: number
  readonly maxParams: number
  readonly maxBatchStatements: number
  readonly maxOpenCursors: number
  /** Calls beyond this wait on the caller's side. */
  readonly maxInflight: number
  readonly maxResultBytes: number
}

/** A row of state that a commit wrote. The names are those of the columns in SQL. */
export interface StateChange {
  /** The change's; `"untracked"` for an untracked row. */
  readonly id: string
  readonly entity_id: string
  readonly schema_key: string
  readonly schema_version: string
  readonly file_id: string
  readonly plugin_key: string
  readonly created_at: string
  readonly version_id: string
  /** Null for an untracked row. */
  readonly commit_id: string | null
  readonly untracked: 0 | 1
  /** With `commitDetail: "values"`: the new content, null for a deletion. */
  readonly snapshot_content?: { readonly [property: string]: unknown } | null
}

/** The events by their name. */
export interface EngineEvents {
  /** After each outermost commit that changed something, before the call that caused it settles. */
  commit: {
    readonly seq: number
    readonly commitSeq: number
    /**
     * What changed in the state of a lix, as `init({ commitDetail })` asked: the changes of each commit, each
     * with its element of the change set, then untracked rows, then authors, commits, tips and edges. Empty
     * for a commit that changed no state. Made when it is first looked at.
     */
    readonly changes?: readonly StateChange[]
    /** More changed than the engine may list; `changes` is the beginning. */
    readonly truncated?: boolean
    /** It may change any result, whatever its `reads` say: tables were created or dropped, say. Rare. */
    readonly anyRead?: boolean
  }
  /** What a save does; `scheduled` says that there is something to save. Then `status()` has it all. */
  autosave: {
    readonly seq: number
    readonly phase: "scheduled" | "started" | "saved" | "failed"
    readonly commitSeq: number
    readonly bytes: number
    readonly error?: EngineError
  }
  plugin: { readonly seq: number; readonly pluginKey: string; readonly error?: EngineError }
  log: { readonly seq: number; readonly level: "debug" | "info" | "warn" | "error"; readonly text: string }
  /** The engine ended without being asked to: a defect, a lost worker, lost storage (`STORAGE_LOST`). Sent once. */
  closed: { readonly error: EngineError }
}
