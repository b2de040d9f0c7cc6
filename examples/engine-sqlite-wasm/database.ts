// One database in memory: one statement in, one result out.
//
// The database is a file in SQLite's memory VFS, so that its bytes can be looked at: a commit changed the database if
// the file's change counter moved, and an export is a copy.
import { create } from "@bufbuild/protobuf"
import {
  type Column, ColumnSchema, type ExecRequest, type ExecResponse, ExecResponseSchema, type RowBatch, RowMode,
} from "./gen/engine_pb.ts"
import { Cursor } from "./cursor.ts"
import { Failure } from "./failures.ts"
import { ask, bind, prepare, sqliteFailure, utf8 } from "./statement.ts"
import type { Connection, Sqlite3, Statement } from "./sqlite.ts"
import { Watcher } from "./watcher.ts"

export const MAX_OPEN_CURSORS = 16
export const MAX_RESULT_BYTES = 64 << 20
export const MAX_PARAMS = 32766

export class Database {
  commitSeq = 0
  onCommit: () => void = () => {}
  readonly #sqlite3: Sqlite3
  readonly #connection: Connection
  readonly #watcher: Watcher
  readonly #cursors = new Map<number, Cursor>()
  readonly #seeded: boolean
  #changeCounter = 0
  #cursorIds = 0
  #deadline = Infinity

  constructor(sqlite3: Sqlite3, image?: Uint8Array) {
    this.#sqlite3 = sqlite3
    this.#connection = open(sqlite3)
    this.#seeded = image !== undefined
    try {
      if (image !== undefined) this.#fill(image)
    } catch (thrown) {
      this.close()
      throw thrown
    }
    this.#changeCounter = this.#header(CHANGE_COUNTER)
    this.#watcher = new Watcher(sqlite3, this.#connection)
    const { capi } = sqlite3
    capi.sqlite3_limit(this.#connection, capi.SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS)
    capi.sqlite3_progress_handler(this.#connection, 1000, () => (performance.now() >= this.#deadline ? 1 : 0), 0)
  }

  get inTransaction(): boolean {
    return this.#sqlite3.capi.sqlite3_get_autocommit(this.#connection) === 0
  }

  run(request: ExecRequest, attachments: Uint8Array[], budget = MAX_RESULT_BYTES): ExecResponse {
    const wasInTransaction = this.inTransaction
    if (request.timeoutMs > 0) this.#deadline = performance.now() + request.timeoutMs
    let done = false
    try {
      const response = this.#runPrepared(request, attachments, budget)
      done = true
      return response
    } catch (thrown) {
      throw this.#stopped(thrown)
    } finally {
      this.#deadline = Infinity
      // SQLite has rolled back by itself.
      if (!done && wasInTransaction && !this.inTransaction) this.#endCursors()
      this.#lookForCommit()
    }
  }

  /** The next batch of a cursor, and whether it was the last. */
  fetch(id: number): { batch: RowBatch; done: boolean } {
    const cursor = this.#cursor(id)
    if (cursor === undefined) throw new Failure("CURSOR_INVALIDATED", `cursor ${id} has ended`, { subject: String(id) })
    let done = true
    try {
      const batch = cursor.next()
      done = !cursor.more
      return { batch, done }
    } finally {
      if (done) this.#endCursor(id)
    }
  }

  closeCursor(id: number): void {
    if (this.#cursor(id)) this.#endCursor(id)
  }

  export(): Uint8Array<ArrayBuffer> {
    if (this.inTransaction) throw new Failure("IN_TRANSACTION", "export needs the transaction to end first")
    const image = this.#file()
    if (image.length > 0) return image.slice() as Uint8Array<ArrayBuffer>
    // Nothing was ever created; an image has at least a header.
    const empty = new Database(this.#sqlite3)
    try {
      empty.#ask("pragma user_version = 0")
      return empty.#file().slice() as Uint8Array<ArrayBuffer>
    } finally {
      empty.close()
    }
  }

  close(): void {
    this.#endCursors()
    this.#sqlite3.capi.sqlite3_close_v2(this.#connection)
  }

  // ---- a statement

  #runPrepared(request: ExecRequest, attachments: Uint8Array[], budget: number): ExecResponse {
    const { capi } = this.#sqlite3
    const { statement, rest } = this.#watcher.compiling(() => prepare(this.#sqlite3, this.#connection, utf8(request.sql)))
    const columns = request.rows === RowMode.NONE ? [] : this.#columns(statement)
    const bounds =
      request.rows === RowMode.CURSOR
        ? { rows: request.maxBatchRows || 4096, bytes: request.maxBatchBytes || 256 << 10 }
        : { rows: Infinity, bytes: Infinity, total: budget }
    const cursor = new Cursor(this.#sqlite3, this.#connection, statement, columns.length, bounds)
    try {
      if (rest !== undefined) throw new Failure("SQL_MULTIPLE", "the text holds more than one statement", { sqlOffset: rest })
      bind(this.#sqlite3, this.#connection, statement, request, attachments)
      const writes = capi.sqlite3_stmt_readonly(statement) === 0
      if (writes || this.#watcher.needsSpool) this.#spool()

      const schema = this.#schemaVersion()
      const start = () => this.#start(cursor, writes, budget)
      const returnsWhatItWrites = writes && this.#watcher.countsRows && columns.length > 0
      const ran = this.#watcher.running(() => (returnsWhatItWrites ? this.#undoneIfRefused(cursor, start) : start()))
      if (this.#watcher.rollsBack || this.#schemaVersion() !== schema) this.#endCursors()

      const answer = create(ExecResponseSchema, { columns })
      if (columns.length > 0) answer.batch = ran.result
      if (writes) answer.changes = ran.changes
      if (ran.lastInsertRowid !== undefined) answer.lastInsertRowid = ran.lastInsertRowid
      if (cursor.more) {
        answer.cursor = ++this.#cursorIds
        this.#cursors.set(answer.cursor, cursor)
      } else {
        cursor.close()
      }
      return answer
    } catch (thrown) {
      cursor.close()
      throw thrown
    }
  }

  #start(cursor: Cursor, writes: boolean, budget: number): RowBatch {
    const first = cursor.start(writes, budget)
    if (cursor.more && this.#cursors.size >= MAX_OPEN_CURSORS) {
      throw new Failure("LIMIT_EXCEEDED", `${MAX_OPEN_CURSORS} cursors are open already`, { subject: "max_open_cursors" })
    }
    return first
  }

  /** A write whose rows turn out to be too many has no effect; SQLite alone would keep it. */
  #undoneIfRefused<T>(cursor: Cursor, work: () => T): T {
    const wasInTransaction = this.inTransaction
    let ran = false
    this.#ask(`savepoint ${GUARD}`)
    try {
      const result = work()
      ran = true
      this.#ask(`release ${GUARD}`)
      return result
    } catch (thrown) {
      cursor.close() // a statement that still runs holds the savepoint
      const bySqlite = thrown instanceof Failure && thrown.details.sqlite !== undefined
      if (!this.inTransaction) throw thrown // SQLite has rolled back all of it
      // What OR FAIL leaves stays, if it can be committed.
      if (!ran && bySqlite && this.#watcher.totalChanges > 0n && this.#succeeds(`release ${GUARD}`)) throw thrown
      for (const sql of wasInTransaction ? [`rollback to ${GUARD}`, `release ${GUARD}`] : ["rollback"]) this.#ask(sql)
      throw thrown
    }
  }

  #columns(statement: Statement): Column[] {
    const { capi } = this.#sqlite3
    return Array.from({ length: capi.sqlite3_column_count(statement) }, (_, index) => {
      const declType = capi.sqlite3_column_decltype(statement, index)
      return create(ColumnSchema, { name: capi.sqlite3_column_name(statement, index), ...(declType ? { declType } : {}) })
    })
  }

  /** An interrupted statement was interrupted by the deadline: nothing else does that. */
  #stopped(thrown: unknown): unknown {
    const interrupted = thrown instanceof Failure && thrown.details.sqlite === this.#sqlite3.capi.SQLITE_INTERRUPT
    return interrupted ? new Failure("TIMEOUT", thrown.message, thrown.details) : thrown
  }

  // ---- cursors

  #cursor(id: number): Cursor | undefined {
    if (id === 0 || id > this.#cursorIds) {
      throw new Failure("CURSOR_UNKNOWN", `there never was a cursor ${id}`, { subject: String(id) })
    }
    return this.#cursors.get(id)
  }

  /** Open cursors show the rows as they were: before anything is written they are read to the end. */
  #spool(): void {
    let budget = MAX_RESULT_BYTES
    for (const cursor of this.#cursors.values()) budget -= cursor.spool(budget)
  }

  #endCursor(id: number): void {
    this.#cursors.get(id)!.close()
    this.#cursors.delete(id)
  }

  #endCursors(): void {
    for (const id of this.#cursors.keys()) this.#endCursor(id)
  }

  // ---- what SQLite is asked

  #lookForCommit(): void {
    if (this.inTransaction) return
    const counter = this.#header(CHANGE_COUNTER)
    if (counter === this.#changeCounter) return
    this.#changeCounter = counter
    // An empty transaction makes the first page, too.
    if (!this.#seeded && this.commitSeq === 0 && NEVER_IN_A_BLANK_PAGE.every((at) => this.#header(at) === 0)) return
    this.commitSeq++
    this.onCommit()
  }

  /** Only cursors care. */
  #schemaVersion(): string {
    if (this.#cursors.size === 0) return ""
    return `${this.#ask("pragma main.schema_version")} ${this.#ask("pragma temp.schema_version")}`
  }

  #ask(sql: string): bigint | undefined {
    return ask(this.#sqlite3, this.#connection, sql)
  }

  #succeeds(sql: string): boolean {
    try {
      this.#ask(sql)
      return true
    } catch {
      return false
    }
  }

  // ---- the bytes

  /** The database file where it lies: valid until the next call of SQLite. Committed pages only. */
  #file(): Uint8Array {
    const { capi, wasm } = this.#sqlite3
    const scope = wasm.scopedAllocPush()
    try {
      const sizeAt = wasm.scopedAlloc(8)
      const at = capi.sqlite3_serialize(this.#connection, "main", sizeAt, capi.SQLITE_SERIALIZE_NOCOPY)
      return at === 0 ? new Uint8Array(0) : wasm.heap8u().subarray(at, at + Number(wasm.peek64(sizeAt)))
    } finally {
      wasm.scopedAllocPop(scope)
    }
  }

  /** A number of the file's header; 0 if there is no file yet. */
  #header(at: number): number {
    const file = this.#file()
    return file.length < 100 ? 0 : bigEndian(file, at, 4)
  }

  #fill(image: Uint8Array): void {
    const { capi, wasm } = this.#sqlite3
    checkImage(image)
    const at = wasm.allocFromTypedArray(image)
    // Not in write-ahead-log mode: there is no log.
    for (const version of [18, 19]) if (image[version] === 2) wasm.poke8(at + version, 1)
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE
    if (capi.sqlite3_deserialize(this.#connection, "main", at, image.length, image.length, flags) !== capi.SQLITE_OK) {
      throw invalidImage(sqliteFailure(this.#sqlite3, this.#connection, false))
    }
    try {
      this.#ask("select count(*) from sqlite_schema")
    } catch (thrown) {
      throw thrown instanceof Failure ? invalidImage(thrown) : thrown
    }
  }
}

/** A connection to an empty database of its own. */
const open = (sqlite3: Sqlite3): Connection => {
  const { capi, wasm } = sqlite3
  const scope = wasm.scopedAllocPush()
  try {
    const at = wasm.scopedAlloc(8)
    const flags = capi.SQLITE_OPEN_READWRITE | capi.SQLITE_OPEN_CREATE
    const code = capi.sqlite3_open_v2("lix-engine", at, flags, "memdb")
    const connection = wasm.peekPtr(at)
    if (code !== capi.SQLITE_OK) throw sqliteFailure(sqlite3, connection, false)
    return connection
  } finally {
    wasm.scopedAllocPop(scope)
  }
}

const GUARD = "lix_engine_statement"
const CHANGE_COUNTER = 24
const NEVER_IN_A_BLANK_PAGE = [40, 48, 60, 68] // schema cookie, default cache size, user version, application id

const checkImage = (image: Uint8Array): void => {
  const pageSize = image.length < 100 ? 0 : bigEndian(image, 16, 2) === 1 ? 65536 : bigEndian(image, 16, 2)
  const pagesAreCounted = pageSize > 0 && bigEndian(image, 24, 4) === bigEndian(image, 92, 4)
  const implied = pagesAreCounted ? pageSize * bigEndian(image, 28, 4) : pageSize
  const magic = "SQLite format 3\0"
  if (pageSize === 0 || image.length < implied || [...magic].some((char, at) => image[at] !== char.charCodeAt(0))) {
    throw new Failure("IMAGE_INVALID", "the bytes are no complete SQLite database")
  }
}

const invalidImage = (failure: Failure): Failure =>
  failure.reason === "OUT_OF_MEMORY" ? failure : new Failure("IMAGE_INVALID", failure.message, { sqlite: failure.details.sqlite ?? 0 })

const bigEndian = (bytes: Uint8Array, at: number, length: number): number =>
  bytes.subarray(at, at + length).reduce((value, byte) => value * 256 + byte, 0)
