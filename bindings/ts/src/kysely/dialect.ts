import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type DatabaseIntrospector, type Dialect, type DialectAdapter, type Driver, type Kysely, type QueryCompiler } from "kysely"
import type { LixEngine } from "../types.js"
import { LixDriver } from "./driver.js"

/** What the dialect needs of an engine: `exec`, for `.stream()` also `stream`, for `destroy()` also `close`. */
export type LixDialectEngine = Pick<LixEngine, "exec"> & Partial<Pick<LixEngine, "stream" | "close">>

/** Options of {@link LixDialect}. */
export interface LixDialectConfig {
  /** An engine that is open, or a function that opens one when the first query needs it. */
  engine: LixDialectEngine | (() => Promise<LixDialectEngine>)
  /**
   * Columns that a lix declares to be JSON (`snapshot_content`, `metadata`, …) come as values instead of text. Where a
   * column may hold strings as well, one that is the JSON of an object or array is taken for that. Default: false.
   */
  parseJson?: boolean | undefined
}

/**
 * Kysely's SQLite dialect on a Lix engine.
 *
 * Transactions are SQL on the engine's one connection. While one is open, other queries of this and
 * of any other Kysely on the same engine wait for its end; only raw `engine.exec` calls join it.
 * `destroy()` closes the engine.
 *
 * ```ts
 * const db = new Kysely<Database>({
 *   dialect: new LixDialect({
 *     engine: async () => {
 *       const engine = createWorkerEngine()
 *       await engine.init()
 *       return engine
 *     },
 *   }),
 * })
 * ```
 */
export class LixDialect implements Dialect {
  readonly #config: LixDialectConfig

  constructor(config: LixDialectConfig) {
    this.#config = config
  }

  createDriver(): Driver {
    return new LixDriver(this.#config)
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter()
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- Kysely's own signature
  createIntrospector(db: Kysely<any>): DatabaseIntrospector {
    return new SqliteIntrospector(db)
  }
}
