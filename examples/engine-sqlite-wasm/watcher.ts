// What a statement is and what it did, as SQLite tells it: the authorizer sees what is compiled, the counters what ran.
import { ask } from "./statement.ts"
import type { Connection, Sqlite3 } from "./sqlite.ts"

export class Watcher {
  /** The statement that was compiled last rolls the whole transaction back. */
  rollsBack = false
  /** Open cursors have to be read before it runs, although SQLite calls it read-only. */
  needsSpool = false
  readonly #sqlite3: Sqlite3
  readonly #connection: Connection
  #watching = false
  #changesSchema = false
  #inserts = false
  #target: { table: string; schema: string } | undefined
  #totalBefore = 0n
  #rowidBefore = 0n

  constructor(sqlite3: Sqlite3, connection: Connection) {
    this.#sqlite3 = sqlite3
    this.#connection = connection
    const { capi } = sqlite3
    capi.sqlite3_set_authorizer(connection, (_, action, ...names) => this.#authorize(action, names), 0)
    // While a statement runs, "none yet" is a number of ours, which SQL does not get to see.
    const rowid = () => {
      const last = capi.sqlite3_last_insert_rowid(connection)
      return last === NONE_YET ? this.#rowidBefore : last
    }
    const flags = (capi.SQLITE_UTF8 | capi.SQLITE_INNOCUOUS) as typeof capi.SQLITE_UTF8
    capi.sqlite3_create_function_v2(connection, "last_insert_rowid", 0, flags, 0, rowid, 0, 0, 0)
  }

  /** It inserts, updates or deletes rows of a table or view. */
  get countsRows(): boolean {
    return this.#target !== undefined && !this.#changesSchema
  }

  /** Looks at the one statement that `compile` prepares. */
  compiling<T>(compile: () => T): T {
    this.rollsBack = this.needsSpool = this.#changesSchema = this.#inserts = false
    this.#target = undefined
    this.#watching = true
    try {
      return compile()
    } finally {
      this.#watching = false
    }
  }

  /** Runs it; `changes` and `lastInsertRowid` are of this statement only. */
  running<T>(run: () => T): { result: T; changes: bigint; lastInsertRowid?: bigint } {
    const { capi } = this.#sqlite3
    this.#totalBefore = capi.sqlite3_total_changes64(this.#connection)
    this.#rowidBefore = capi.sqlite3_last_insert_rowid(this.#connection)
    if (this.#inserts) capi.sqlite3_set_last_insert_rowid(this.#connection, NONE_YET)
    try {
      const result = run()
      const rowid = capi.sqlite3_last_insert_rowid(this.#connection)
      const changes = this.#changes()
      return { result, changes, ...(this.#inserts && changes > 0n && rowid !== NONE_YET ? { lastInsertRowid: rowid } : {}) }
    } finally {
      if (capi.sqlite3_last_insert_rowid(this.#connection) === NONE_YET) {
        capi.sqlite3_set_last_insert_rowid(this.#connection, this.#rowidBefore)
      }
    }
  }

  /** Since `running` began, by whatever. */
  get totalChanges(): bigint {
    return this.#sqlite3.capi.sqlite3_total_changes64(this.#connection) - this.#totalBefore
  }

  #changes(): bigint {
    if (!this.countsRows) return 0n // SQLite still has the number of an earlier statement
    const changes = this.#sqlite3.capi.sqlite3_changes64(this.#connection)
    // A view's rows are changed by its triggers, which SQLite counts only in all.
    return changes === 0n && this.totalChanges > 0n && this.#targetIsView() ? this.totalChanges : changes
  }

  #targetIsView(): boolean {
    const { table, schema } = this.#target!
    const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
    const sql = `select type = 'view' from pragma_table_list(${quote(table)}) where schema = ${quote(schema)}`
    return ask(this.#sqlite3, this.#connection, sql) === 1n
  }

  #authorize(action: number, [first, , schema, trigger]: (string | 0 | null)[]): number {
    const { capi } = this.#sqlite3
    // The database is in memory and stays there. VACUUM INTO attaches, too.
    if (action === capi.SQLITE_ATTACH && first !== "" && first !== ":memory:") return capi.SQLITE_DENY
    if (!this.#watching) return capi.SQLITE_OK
    switch (action) {
      case capi.SQLITE_INSERT:
      case capi.SQLITE_UPDATE:
      case capi.SQLITE_DELETE:
        if (trigger) break
        this.#target ??= { table: String(first), schema: String(schema) }
        if (action === capi.SQLITE_INSERT) this.#inserts = true
        break
      case capi.SQLITE_TRANSACTION:
        if (first === "ROLLBACK") this.rollsBack = true
        break
      case capi.SQLITE_SAVEPOINT:
        if (first === "ROLLBACK") this.needsSpool = true
        break
      case capi.SQLITE_ATTACH:
      case capi.SQLITE_DETACH:
        this.needsSpool = true
        break
      default:
        if (!this.#harmless(action)) this.#changesSchema = true
    }
    return capi.SQLITE_OK
  }

  #harmless(action: number): boolean {
    const { SQLITE_SELECT, SQLITE_READ, SQLITE_FUNCTION, SQLITE_RECURSIVE, SQLITE_PRAGMA } = this.#sqlite3.capi
    const harmless: number[] = [SQLITE_SELECT, SQLITE_READ, SQLITE_FUNCTION, SQLITE_RECURSIVE, SQLITE_PRAGMA]
    return harmless.includes(action)
  }
}

const NONE_YET = -0x7a6b_5c4d_3e2f_1a0bn
