/**
 * SQLite behind messages: in a worker, or in this thread; kept in the browser's file system, or in memory.
 *
 * ```ts
 * import { createWorkerOpfsEngine } from "lix-engine"
 *
 * const engine = createWorkerOpfsEngine({ path: "notes.db" })
 * await engine.init()
 * const { rows } = await engine.exec("select sqlite_version() as version")
 * ```
 */

import { createEngine } from "./engine.js"
import { EngineError } from "./errors.js"
import { createMemoryPort } from "./memory.js"
import type { InitOptions, LixEngine } from "./types.js"

/**
 * An engine in a Dedicated Worker of its own, so that no statement ever holds up the page.
 *
 * The worker's script and the wasm lie beside this module and are found by `import.meta.url`, in
 * bundles as on a plain page. If the script cannot be loaded, the calls that wait reject with
 * `INTERNAL/WORKER_FAILED`; where there are no workers, or none from this origin, this throws it.
 */
export function createWorkerEngine(options: WorkerOptions = {}): LixEngine {
  return createEngine(startWorker(), options)
}

/** Options of {@link createWorkerEngine}: those of `init`, given before it. */
export interface WorkerOptions extends Omit<InitOptions, "blob" | "providePlugins"> {}

/** Options of {@link createWorkerOpfsEngine}: those of `init`, given before it. */
export interface WorkerOpfsOptions extends Omit<WorkerOptions, "storage"> {
  /** The database's name in this origin; directories are made as needed. */
  path: string
  /** Default `"opfs"`; `"auto"` makes do with memory where there is no OPFS. */
  storage?: "opfs" | "auto" | undefined
}

/**
 * An engine in a Dedicated Worker whose database stays: it lives in memory, and every commit is
 * stored in the browser's origin private file system soon after, or before it is answered.
 *
 * ```ts
 * const engine = createWorkerOpfsEngine({ path: "notes.db" })
 * await engine.init()
 * await engine.exec("create table if not exists note (id integer primary key, text text)")
 * ```
 *
 * One engine at a time has a path open: a second one is told `STORAGE/STORAGE_BUSY`, which is
 * `retryable`. A page that is put aside (the back/forward cache, a frozen tab) lets its path go and
 * takes it again when it comes back; if another page saved to it meanwhile, the engine ends with
 * `STORAGE/STORAGE_LOST`. No cross-origin isolation is needed.
 *
 * `init` needs no options for storage, and takes all the same, `blob` for example.
 */
export function createWorkerOpfsEngine(options: WorkerOpfsOptions): LixEngine {
  return createEngine(startWorker(), { ...options, storage: options.storage ?? "opfs" })
}

/**
 * An engine in this thread, in browsers and in Node: the same wasm, nothing in between. A statement
 * holds up the thread as long as it runs, so this is for tests, scripts and small data.
 *
 * ```ts
 * const engine = createMainMemoryEngine()
 * await engine.init({ blob: await readFile("notes.db") })
 * ```
 */
export function createMainMemoryEngine(options: MainMemoryOptions = {}): LixEngine {
  return createEngine(createMemoryPort(), options)
}

/** Options of {@link createMainMemoryEngine}: those of `init`, given before it. */
export interface MainMemoryOptions extends Omit<InitOptions, "blob"> {}

function startWorker(): Worker {
  try {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "lix-engine" })
  } catch (cause) {
    throw new EngineError("INTERNAL", "WORKER_FAILED", "no worker can be started here; createMainMemoryEngine() needs none", { cause })
  }
}

export { createEngine }
export { ColumnBatch, ColumnView, type IntArray, type StorageClass } from "./columns.js"
export { EngineError, type EngineReason, type ErrorCode, type ErrorReason, type HostReason } from "./errors.js"
export { opfs, type StoredDatabase } from "./opfs-files.js"
export type * from "./plugins/plugin.js"
export type { EnginePort } from "./transport.js"
export type * from "./types.js"
