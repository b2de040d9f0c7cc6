// A Lix Engine for programs in JavaScript: `open` a database, `prepare` statements, run them. Nothing is synchronous and
// nothing waits forever: when the engine goes, every call that waits is rejected, and so is every later one.
import { LixError, cancelled, capabilityMissing, fromEngine, optionInvalid, transportClosed } from "./errors.js"
import { describeEngine, eventDetail, initRequest, toRow } from "./options.js"
import { Session } from "./session.js"
import { Turns } from "./turns.js"
import { decodeBatch, decodeInteger, encodeParams } from "./values.js"

export { LixError }

// Members that classes of this file share, and nobody else needs.
const SESSION = Symbol("session")
const INTURN = Symbol("in turn")
const MESSAGE = Symbol("message")
const RESULT = Symbol("result")

/**
 * @typedef {import("./values.js").Param} Param
 * @typedef {import("./values.js").Cell} Cell
 * @typedef {Record<string, Cell>} Row  without a prototype; of columns with the same name the last one counts
 * @typedef {number | bigint | string} Integer  which of them the option `integers` says
 * @typedef {{ columns: string[], rows: Cell[][], changes?: Integer, lastInsertRowid?: Integer }} Result
 *   what a statement answered; `changes` is absent if SQLite calls it read-only, `lastInsertRowid` if it inserted nothing
 * @typedef {"commit" | "autosave" | "plugin" | "log"} EventKind
 *
 * @typedef {object} StatementOptions
 * @property {import("./values.js").Integers} [integers]  default "auto"
 * @property {number} [timeoutMs]  longest run time, which the engine watches
 * @property {AbortSignal} [signal]
 * @property {number} [batchRows]  most rows that `iterate` asks for at once
 *
 * @typedef {object} OpenOptions
 * @property {string} [path]  where the database is kept; without it, in memory
 * @property {"file" | "opfs"} [storage]  what the path means; default "file"
 * @property {"open-or-create" | "open" | "create" | "replace"} [mode]
 * @property {"relaxed" | "strict"} [durability]  "strict": a commit is answered when it is stored
 * @property {{ disabled?: boolean, debounceMs?: number, maxDelayMs?: number }} [autosave]
 * @property {number} [waitMs]  how long to wait for another engine that has the path open
 * @property {Uint8Array | ArrayBuffer} [image]  what a new database starts with
 * @property {boolean | Record<string, unknown>} [lix]  under change control; key values for a new one
 * @property {Record<string, string>} [plugins]  ECMAScript modules by key
 * @property {readonly EventKind[] | { [kind in EventKind]?: (event: CustomEvent) => void }} [events]  what to be told of
 * @property {"keys" | "values"} [commitDetail]  tell what a commit of a lix changed
 * @property {string[]} [required]  capabilities without which opening fails
 * @property {import("./values.js").Integers} [integers]  for all statements
 * @property {number} [timeoutMs]  for all statements
 * @property {number} [openTimeoutMs]  how long opening may take; default 30 s, and waitMs
 * @property {number} [busyTimeoutMs]  how long a call waits while somebody's transaction() runs; default 5 s
 * @property {AbortSignal} [signal]  gives up opening
 */

/**
 * Opens a database.
 *
 * @param {import("./transports.js").Target} engine
 * @param {OpenOptions} [options]
 */
export async function open(engine, options = {}) {
  const { openTimeoutMs = 30_000 + (options.waitMs ?? 0), signal } = options
  const db = new Database(options)
  const session = db[SESSION]
  const giveUp = () => session.abort(cancelled(/** @type {AbortSignal} */ (signal)))
  const timer = setTimeout(() => session.abort(transportClosed(`no database after ${openTimeoutMs} ms`)), openTimeoutMs)
  signal?.addEventListener("abort", giveUp)
  try {
    if (signal?.aborted) throw cancelled(signal)
    const attachments = /** @type {Uint8Array[]} */ ([])
    const init = initRequest(options, attachments)
    await session.connect(engine)
    const { value } = await session.request("init", init, { attachments })
    db.engine = describeEngine(value)
    session.capabilities = db.engine.capabilities
    return db
  } catch (error) {
    await session.abort(/** @type {LixError} */ (error))
    throw error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener("abort", giveUp)
  }
}

/** @typedef {Connection} Transaction */

/**
 * Where statements come from: a database, or one transaction of it.
 */
class Connection extends EventTarget {
  /** @type {Session} */
  [SESSION]
  #options
  #turns

  /**
   * @param {Session} session
   * @param {OpenOptions} options
   * @param {Turns} turns  when its statements may run
   */
  constructor(session, options, turns) {
    super()
    this[SESSION] = session
    this.#options = options
    this.#turns = turns
  }

  /**
   * A statement, to be run any number of times. Nothing is sent, and the engine sees the text when it runs.
   *
   * @param {string} sql  exactly one statement
   * @param {StatementOptions} [options]
   */
  prepare(sql, options = {}) {
    const { integers, timeoutMs } = this.#options
    return new Statement(this[SESSION], this.#turns, sql, { integers, timeoutMs, ...options })
  }

  /**
   * Runs one statement: `prepare(sql).execute(...params)`.
   *
   * @param {string} sql
   * @param {...unknown} params
   */
  exec(sql, ...params) {
    return this.prepare(sql).execute(...params)
  }

  /**
   * Runs statements one after the other in one exchange. This is no transaction: what ran before a failure stays.
   *
   * @param {readonly (string | readonly [sql: string, ...params: unknown[]])[]} statements
   * @param {StatementOptions & { onError?: "stop" | "continue" }} [options]
   * @returns {Promise<(Result | LixError)[]>} LixErrors only with onError "continue"; otherwise the first one is thrown,
   *   with the results before it as `results`
   */
  async batch(statements, { onError = "stop", ...options } = {}) {
    const attachments = /** @type {Uint8Array[]} */ ([])
    const prepared = statements.map((each) => {
      const [sql, ...params] = typeof each === "string" ? [each] : each
      const statement = this.prepare(sql, options)
      return { statement, message: statement[MESSAGE](params, ALL, attachments) }
    })
    const request = { statements: prepared.map(({ message }) => message), onError: onError === "continue" ? 2 : 1 }
    const turn = this.#turns.mine(options.signal)
    if (turn) await turn
    const { value } = await this[SESSION].request("execBatch", request, { attachments, signal: options.signal })
    const results = /** @type {(Result | LixError)[]} */ ([])
    for (const [index, { outcome }] of value.items.entries()) {
      const { statement } = prepared[index]
      if (outcome.case === "ok") results.push(statement[RESULT](outcome.value))
      else if (onError === "continue") results.push(fromEngine(outcome.value, statement.sql))
      else throw Object.assign(fromEngine(outcome.value, statement.sql), { results })
    }
    return results
  }

  /**
   * Runs a function in a transaction: it is committed when the function's promise is fulfilled, and rolled back when it is
   * rejected. Meanwhile everybody else's calls wait, so use `tx`, not the database, inside of it; `tx.transaction` nests.
   *
   * @template T
   * @param {(tx: Connection) => Promise<T>} run
   * @returns {Promise<T>}
   */
  async transaction(run) {
    const turns = await this.#turns.take()
    const tx = new Connection(this[SESSION], this.#options, turns)
    const [begin, commit, rollback] = turns.depth === 1 ? TRANSACTION : SAVEPOINT
    try {
      await tx.exec(begin)
      try {
        const result = await run(tx)
        await tx.exec(commit)
        return result
      } catch (error) {
        // SQLite may have rolled back already, and an engine that has gone has, too. The error counts in any case.
        if (this.inTransaction) for (const sql of rollback) await tx.exec(sql).catch(() => {})
        throw error
      }
    } finally {
      turns.end()
    }
  }

  /** A transaction is open, as of the newest answer. */
  get inTransaction() {
    return this[SESSION].state.inTransaction
  }

  /**
   * @param {string} call
   * @returns {Promise<import("./session.js").Answer>}
   */
  async [INTURN](call) {
    const turn = this.#turns.mine()
    if (turn) await turn
    return this[SESSION].request(call, {})
  }
}

/**
 * A database. Events are CustomEvents: the `events` that were asked for when it was opened, and "close", whose
 * `detail.error` says why if it was not closed here.
 */
export class Database extends Connection {
  /** @type {ReturnType<typeof describeEngine>} what was opened; set by `open` */
  // @ts-expect-error nobody sees it before
  engine
  #options

  /** @param {OpenOptions} options */
  constructor(options) {
    const session = new Session((kind, value) => this.#tell(kind, value))
    super(session, options, new Turns(options.busyTimeoutMs ?? 5000))
    this.#options = options
    if (!Array.isArray(options.events)) {
      for (const [kind, listener] of Object.entries(options.events ?? {})) this.addEventListener(kind, /** @type {any} */ (listener))
    }
  }

  /** How many commits there have been since it was opened. */
  get commitSeq() {
    return Number(this[SESSION].state.commitSeq)
  }

  /** The newest commit that is stored: equal to commitSeq if everything is. */
  get savedSeq() {
    return Number(this[SESSION].state.savedSeq)
  }

  /** The database as a SQLite file. */
  async export() {
    const { value, attachments } = await this[INTURN]("export")
    const image = attachments[value.imageAttachment]
    if (image) return image
    throw new LixError("PROTOCOL", "ATTACHMENT_MISMATCH", "the image is not among the attachments", { subject: "image_attachment" })
  }

  /** Stores what is unsaved. */
  async save() {
    if (!this.engine.capabilities.has("PERSISTENCE")) throw capabilityMissing("PERSISTENCE")
    await this[INTURN]("save")
  }

  /**
   * Waits for the calls made before, rolls an open transaction back, saves, and waits for the engine to end. May be called
   * again.
   *
   * @param {{ discardUnsaved?: boolean }} [options]
   */
  close({ discardUnsaved } = {}) {
    return this[SESSION].close(discardUnsaved)
  }

  /** Gives the engine up at once: calls that wait are rejected, and what is unsaved may be lost. */
  destroy() {
    return this[SESSION].abort(transportClosed("the database was destroyed"))
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }

  /** @param {string} kind @param {any} value */
  #tell(kind, value) {
    const detail = eventDetail(kind, value, this.#options.integers)
    this.dispatchEvent(new CustomEvent(kind === "ended" ? "close" : kind, { detail }))
  }
}

/**
 * SQL with options. Parameters are given when it runs: by position, or by name in a plain object that comes first.
 */
export class Statement {
  #session
  #turns
  #options

  /**
   * @param {Session} session
   * @param {Turns} turns
   * @param {string} sql
   * @param {StatementOptions} options
   */
  constructor(session, turns, sql, options) {
    if (typeof sql !== "string") throw new TypeError("SQL is a string")
    this.#session = session
    this.#turns = turns
    this.#options = options
    this.sql = sql
  }

  /** @param {...unknown} params @returns {Promise<Row[]>} all rows */
  async all(...params) {
    const { columns, rows } = await this.execute(...params)
    return rows.map((cells) => toRow(columns, cells))
  }

  /** @param {...unknown} params @returns {Promise<Row | undefined>} the first of all rows */
  async get(...params) {
    const { columns, rows } = await this.execute(...params)
    return rows.length ? toRow(columns, rows[0]) : undefined
  }

  /** @param {...unknown} params @returns {Promise<Pick<Result, "changes" | "lastInsertRowid">>} rows are dropped */
  async run(...params) {
    const { changes, lastInsertRowid } = this[RESULT](await this.#exec(params, NONE))
    return { changes, lastInsertRowid }
  }

  /** @param {...unknown} params @returns {Promise<Result>} all there is to know, rows as lists */
  async execute(...params) {
    return this[RESULT](await this.#exec(params, ALL))
  }

  /**
   * The rows one by one, as they were when the first was asked for, without holding all in memory. Leaving the loop gives
   * the rest up.
   *
   * @param {...unknown} params
   * @returns {AsyncGenerator<Row, void, undefined>}
   */
  async *iterate(...params) {
    for await (const { columns, rows } of this.batches(...params)) {
      for (const cells of rows) yield toRow(columns, cells)
    }
  }

  /**
   * The same, as many rows at a time as the engine sends.
   *
   * @param {...unknown} params
   * @returns {AsyncGenerator<Pick<Result, "columns" | "rows">, void, undefined>}
   */
  async *batches(...params) {
    if (!this.#session.capabilities.has("CURSORS")) throw capabilityMissing("CURSORS")
    const { cursor, ...first } = await this.#exec(params, CURSOR)
    const { signal } = this.#options
    let done = cursor === undefined
    try {
      let { columns, rows } = this[RESULT](first)
      let before = rows.length
      if (rows.length || done) yield { columns, rows }
      while (!done) {
        // Not in turn: a transaction that somebody opened meanwhile may be waiting for this loop.
        const { value } = await this.#session.request("fetch", { cursor, credit: 1 }, { signal }).catch((error) => {
          // One that was not even sent leaves the cursor open.
          done = error.reason !== "CANCELLED"
          throw error
        })
        done = value.done
        rows = this.#rows(value.batch, columns.length, before)
        before += rows.length
        yield { columns, rows }
      }
    } finally {
      if (!done) this.#session.request("closeCursor", { cursor }).catch(() => {})
    }
  }

  /**
   * @param {unknown[]} params
   * @param {number} rows
   * @returns {Promise<import("./contract.js").ExecResponse>}
   */
  async #exec(params, rows) {
    const attachments = /** @type {Uint8Array[]} */ ([])
    const message = this[MESSAGE](params, rows, attachments)
    const { signal } = this.#options
    const turn = this.#turns.mine(signal)
    if (turn) await turn
    return (await this.#session.request("exec", message, { attachments, signal, sql: this.sql })).value
  }

  /**
   * The ExecRequest.
   *
   * @param {unknown[]} params
   * @param {number} rows
   * @param {Uint8Array[]} attachments
   */
  [MESSAGE](params, rows, attachments) {
    const { timeoutMs = 0, batchRows = 0 } = this.#options
    if (!this.sql.isWellFormed()) throw new LixError("INVALID", "SQL_SYNTAX", "the SQL contains half of a surrogate pair")
    const message = {
      sql: this.sql, rows, ...encodeParams(params, attachments),
      timeoutMs: uint32("timeoutMs", timeoutMs), maxBatchRows: uint32("batchRows", batchRows),
    }
    if (message.named.length && !this.#session.capabilities.has("NAMED_PARAMS")) throw capabilityMissing("NAMED_PARAMS")
    return message
  }

  /**
   * @param {import("./contract.js").ExecResponse} response
   * @returns {Result}
   */
  [RESULT]({ columns, batch, changes, lastInsertRowid }) {
    const { integers = "auto" } = this.#options
    return {
      columns: columns.map(({ name }) => name),
      rows: this.#rows(batch, columns.length, 0),
      ...(changes !== undefined && { changes: decodeInteger(changes, integers, "changes") }),
      ...(lastInsertRowid !== undefined && { lastInsertRowid: decodeInteger(lastInsertRowid, integers, "lastInsertRowid") }),
    }
  }

  /**
   * @param {import("./contract.js").RowBatch | undefined} batch
   * @param {number} width
   * @param {number} before
   */
  #rows(batch, width, before) {
    if (!batch && width === 0) return []
    const { integers = "auto" } = this.#options
    const columns = decodeBatch(batch ?? { rowCount: 0, columns: [] }, width, integers, before)
    return Array.from({ length: batch?.rowCount ?? 0 }, (_, row) => columns.map((cells) => cells[row]))
  }
}

/** @param {string} option @param {number} value */
function uint32(option, value) {
  if (value >>> 0 === value) return value
  throw optionInvalid(option, `${option} is a whole number from 0 to 2^32 - 1`)
}

// RowMode.
const [ALL, NONE, CURSOR] = [1, 2, 3]
// How a transaction begins, is committed and is rolled back; inside of another one it is a savepoint.
const TRANSACTION = /** @type {const} */ (["begin", "commit", ["rollback"]])
const SAVEPOINT = /** @type {const} */ (["savepoint tx", "release tx", ["rollback to tx", "release tx"]])
