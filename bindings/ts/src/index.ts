/**
 * SQLite behind messages: in a worker, or in this thread.
 *
 * ```ts
 * import { createWorkerEngine } from "lix-engine"
 *
 * const engine = createWorkerEngine()
 * await engine.init()
 * const { rows } = await engine.exec("select sqlite_version() as version")
 * ```
 */

import { createEngine } from "./engine.js"
import { EngineError } from "./errors.js"
import { createMemoryPort } from "./memory.js"
import type { LixEngine } from "./types.js"

/**
 * An engine in a Dedicated Worker of its own, so that no statement ever holds up the page.
 *
 * The worker's script and the wasm lie beside this module and are found by `import.meta.url`, in
 * bundles as on a plain page. If the script cannot be loaded, the calls that wait reject with
 * `INTERNAL/WORKER_FAILED`; where there are no workers, or none from this origin, this throws it.
 */
export function createWorkerEngine(): LixEngine {
  let worker
  try {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "lix-engine" })
  } catch (cause) {
    throw new EngineError("INTERNAL", "WORKER_FAILED", "no worker can be started here; createMainMemoryEngine() needs none", { cause })
  }
  return createEngine(worker)
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
export function createMainMemoryEngine(): LixEngine {
  return createEngine(createMemoryPort())
}

export { createEngine }
export { ColumnBatch, ColumnView, type IntArray, type StorageClass } from "./columns.js"
export { EngineError, type EngineReason, type ErrorCode, type ErrorReason, type HostReason } from "./errors.js"
export type { EnginePort } from "./transport.js"
export type * from "./types.js"
