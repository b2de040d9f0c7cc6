// The rows of a running statement in batches, or of one that was read to its end and kept. Looks one row ahead.
import type { RowBatch } from "./gen/engine_pb.ts"
import { Failure } from "./failures.ts"
import { BatchBuilder } from "./rows.ts"
import type { Connection, Sqlite3, Statement } from "./sqlite.ts"
import { sqliteFailure } from "./statement.ts"

export interface Bounds {
  /** Of each batch. */
  rows: number
  bytes: number
  /** Of a result that comes as one batch. */
  total?: number
}

export class Cursor {
  readonly #sqlite3: Sqlite3
  readonly #connection: Connection
  readonly #width: number
  readonly #bounds: Bounds
  readonly #kept: { batch: RowBatch; byteLength: number }[] = []
  #statement: Statement
  #rowIsReady = false
  #failure: Failure | undefined

  /** Owns the statement from now on. With a width of 0 its rows are dropped. */
  constructor(sqlite3: Sqlite3, connection: Connection, statement: Statement, width: number, bounds: Bounds) {
    this.#sqlite3 = sqlite3
    this.#connection = connection
    this.#statement = statement
    this.#width = width
    this.#bounds = bounds
  }

  /** Rows remain, or a failure does. */
  get more(): boolean {
    return this.#kept.length > 0 || this.#rowIsReady || this.#failure !== undefined
  }

  /** Runs the statement until the first batch is full; to its end if it writes. */
  start(writes: boolean, budget: number): RowBatch {
    this.#rowIsReady = this.#step()
    if (writes) this.#readAll(budget, tooLarge)
    return this.next()
  }

  next(): RowBatch {
    const kept = this.#kept.shift()
    if (kept !== undefined) return kept.batch
    if (this.#failure !== undefined) throw this.#failure
    return this.#read().batch
  }

  /** Reads what is left into memory; says how much is there. If that is too much, nothing is lost. */
  spool(budget: number): number {
    try {
      this.#readAll(budget, spoolsTooMuch)
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.reason === "CURSOR_SPOOL_LIMIT") throw thrown
      this.#failure = thrown // the fetch that gets there meets it
      this.close()
    }
    return this.#keptBytes
  }

  close(): void {
    if (this.#statement !== 0) this.#sqlite3.capi.sqlite3_finalize(this.#statement)
    this.#statement = 0
  }

  get #keptBytes(): number {
    return this.#kept.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  #readAll(budget: number, failure: () => Failure): void {
    let byteLength = this.#keptBytes
    while (this.#rowIsReady) {
      const batch = this.#read()
      this.#kept.push(batch)
      byteLength += batch.byteLength
      if (byteLength > budget) throw failure()
    }
    if (this.#failure !== undefined) throw this.#failure
    this.close()
  }

  #read(): { batch: RowBatch; byteLength: number } {
    const batch = new BatchBuilder(this.#width)
    const { rows, bytes, total = Infinity } = this.#bounds
    while (this.#rowIsReady && batch.rowCount < rows) {
      if (this.#width > 0) batch.add(this.#sqlite3, this.#statement)
      if (batch.byteLength > total) throw tooLarge()
      if (batch.rowCount > 1 && batch.byteLength > bytes) {
        batch.undo()
        break
      }
      try {
        this.#rowIsReady = this.#step()
      } catch (thrown) {
        this.#rowIsReady = false
        if (!(thrown instanceof Failure) || batch.rowCount < rows) throw thrown
        this.#failure = thrown // met ahead of its time: a whole batch goes first
      }
    }
    return { batch: batch.finish(), byteLength: batch.byteLength }
  }

  #step(): boolean {
    const { capi } = this.#sqlite3
    const code = capi.sqlite3_step(this.#statement)
    if (code === capi.SQLITE_ROW) return true
    if (code === capi.SQLITE_DONE) return false
    throw sqliteFailure(this.#sqlite3, this.#connection, false)
  }
}

const tooLarge = (): Failure =>
  new Failure("RESULT_TOO_LARGE", "the result is too large for one answer; read it with a cursor", { subject: "max_result_bytes" })

const spoolsTooMuch = (): Failure =>
  new Failure("CURSOR_SPOOL_LIMIT", "open cursors have too many rows to keep; read or close them first", { subject: "max_result_bytes" })
