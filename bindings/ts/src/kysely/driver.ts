/**
 * One connection, one owner at a time, and no transaction left behind.
 *
 * Kysely lets its own callers wait for the connection. The lock here is per engine, so that two
 * Kyselys on one engine wait for each other as well.
 */

import { CompiledQuery, createQueryId, IdentifierNode, RawNode, type DatabaseConnection, type Driver, type QueryCompiler, type QueryResult, type TransactionSettings } from "kysely"
import type { ColumnBatch } from "../columns.js"
import type { ExecOptions, ExecResult, RowObject, SessionState } from "../types.js"
import type { LixDialectConfig, LixDialectEngine } from "./dialect.js"
import { parseJson } from "./json.js"

export class LixDriver implements Driver {
  readonly #config: LixDialectConfig
  #engine: LixDialectEngine | undefined
  #lock: Lock | undefined

  constructor(config: LixDialectConfig) {
    this.#config = config
  }

  async init(): Promise<void> {
    const { engine } = this.#config
    this.#engine = typeof engine === "function" ? await engine() : engine
    this.#lock = lockOf(this.#engine)
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const release = await this.#lock!.acquire()
    const connection = new LixConnection(this.#engine!, release, this.#config.parseJson === true)
    // After a rollback that failed: the next owner must not find itself in a stranger's transaction.
    if (this.#lock!.leftOpen) await this.rollbackTransaction(connection).catch(() => {})
    return connection
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    ;(connection as LixConnection).release()
  }

  async beginTransaction(connection: DatabaseConnection, _settings: TransactionSettings): Promise<void> {
    await run(connection, "begin")
  }

  /** A COMMIT that fails (a deferred constraint, say) leaves the transaction open; nobody would end it. */
  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await run(connection, "commit")
    } catch (error) {
      await this.rollbackTransaction(connection).catch(() => {})
      throw error
    }
  }

  /** Succeeds when no transaction is open, which is what it is for: SQLite ends some by itself. */
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if ((connection as LixConnection).state?.inTransaction === false) return
    this.#lock!.leftOpen = true
    try {
      await run(connection, "rollback")
    } catch (error) {
      if ((connection as LixConnection).state?.inTransaction !== false) throw error
    }
    this.#lock!.leftOpen = false
  }

  async savepoint(connection: DatabaseConnection, name: string, compile: QueryCompiler["compileQuery"]): Promise<void> {
    await connection.executeQuery(savepointQuery("savepoint", name, compile))
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string, compile: QueryCompiler["compileQuery"]): Promise<void> {
    await connection.executeQuery(savepointQuery("rollback to", name, compile))
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string, compile: QueryCompiler["compileQuery"]): Promise<void> {
    await connection.executeQuery(savepointQuery("release", name, compile))
  }

  async destroy(): Promise<void> {
    await this.#engine?.close?.()
  }
}

/** The engine from acquire to release. */
class LixConnection implements DatabaseConnection {
  readonly #engine: LixDialectEngine
  readonly release: () => void
  readonly #parsesJson: boolean
  /** The session after this connection's last statement, failed ones included. */
  state: SessionState | undefined

  constructor(engine: LixDialectEngine, release: () => void, parsesJson: boolean) {
    this.#engine = engine
    this.release = release
    this.#parsesJson = parsesJson
  }

  async executeQuery<Row>(query: CompiledQuery, options?: Pick<ExecOptions, "signal">): Promise<QueryResult<Row>> {
    let result: ExecResult<Row>
    try {
      result = await this.#engine.exec<Row>(query.sql, query.parameters, execOptions(options))
    } catch (error) {
      this.state = (error as { state?: SessionState }).state ?? this.state
      throw error
    }
    this.state = result.state
    const { rows, columns, changes, lastInsertRowid } = result
    return {
      rows: this.#parsesJson ? await parseJson(rows, columns) : rows,
      ...(changes !== undefined && { numAffectedRows: BigInt(changes) }),
      ...(lastInsertRowid !== undefined && { insertId: BigInt(lastInsertRowid) }),
    }
  }

  /** The query's own signal has asked the engine already; a method must be here for Kysely's strategy "cancel query". */
  async cancelQuery(): Promise<void> {}

  async *streamQuery<Row>(query: CompiledQuery, chunkSize: number, options?: Pick<ExecOptions, "signal">): AsyncIterableIterator<QueryResult<Row>> {
    if (!this.#engine.stream) {
      yield await this.executeQuery<Row>(query, options)
      return
    }
    const settings = { ...execOptions(options), ...(chunkSize > 0 && { batchRows: chunkSize }) }
    if (!this.#parsesJson) {
      for await (const rows of this.#engine.stream<Row>(query.sql, query.parameters, settings).batches()) yield { rows }
      return
    }
    // Only batches by column say how the columns are declared.
    for await (const batch of this.#engine.stream(query.sql, query.parameters, { ...settings, rowMode: "columns" }).batches()) {
      if (batch.rowCount > 0) yield { rows: await parseJson(rowsOf(batch) as Row[], batch.columns) }
    }
  }
}

/** First come, first served. */
class Lock {
  /** A rollback failed: the transaction may still be open. */
  leftOpen = false
  #tail: Promise<void> = Promise.resolve()

  async acquire(): Promise<() => void> {
    const before = this.#tail
    let release!: () => void
    this.#tail = new Promise((resolve) => (release = resolve))
    await before
    return release
  }
}

function lockOf(engine: LixDialectEngine): Lock {
  const lock = LOCKS.get(engine) ?? new Lock()
  LOCKS.set(engine, lock)
  return lock
}

/**
 * Runs a call of the engine's while no transaction of a Kysely is open, and holds up theirs. Queries that wait already
 * go first.
 */
export async function alone<T>(engine: LixDialectEngine, work: () => Promise<T>): Promise<T> {
  const lock = lockOf(engine)
  const release = await lock.acquire()
  try {
    if (lock.leftOpen) await engine.exec("rollback").then(() => (lock.leftOpen = false), () => {})
    return await work()
  } finally {
    release()
  }
}

function rowsOf(batch: ColumnBatch): RowObject[] {
  const rows: RowObject[] = []
  for (let at = 0; at < batch.rowCount; at++) {
    const row: RowObject = {}
    for (const column of batch.columns) {
      const value = column.value(at)
      row[column.name] = value instanceof Uint8Array ? value.slice() : value
    }
    rows.push(row)
  }
  return rows
}

async function run(connection: DatabaseConnection, sql: string): Promise<void> {
  await connection.executeQuery(CompiledQuery.raw(sql))
}

function savepointQuery(command: string, name: string, compile: QueryCompiler["compileQuery"]): CompiledQuery {
  return compile(RawNode.createWithChildren([RawNode.createWithSql(`${command} `), IdentifierNode.create(name)]), createQueryId())
}

function execOptions(options: Pick<ExecOptions, "signal"> | undefined): { signal: AbortSignal } | undefined {
  return options?.signal && { signal: options.signal }
}

const LOCKS = new WeakMap<LixDialectEngine, Lock>()
