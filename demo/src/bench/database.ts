// The database the page shows: a worker engine, what is in it and where it is kept.
//
// Everything here is the public API of `lix-engine`. Rows stay in the columnar
// batches the engine sends; nobody builds an object for a row that is not in view.
import { type ColumnBatch, createWorkerEngine, createWorkerOpfsEngine, EngineError, type InitResult, type LixEngine } from "lix-engine"
import { quoteName } from "./sql-text.ts"

export interface Outcome {
  readonly changes?: number | undefined
  readonly lastInsertRowid?: string | undefined
  readonly inTransaction: boolean
  readonly streamed: boolean
  /** The statement changed the database file or its schema. */
  readonly committed: boolean
}

export interface TableInfo {
  readonly name: string
  readonly kind: "table" | "view" | "virtual"
  readonly columns: readonly { name: string; type: string; primaryKey: boolean; notNull: boolean; generated: boolean }[]
  readonly indexes: readonly string[]
}

/** Where the bytes come from, and whether they stay. */
export interface Source {
  readonly name: string
  /** Where it is kept in this origin; without it the database lives in memory and ends with the page. */
  readonly path?: string
  /** The bytes to start from. Read when they are needed, since an engine takes the buffer it is given. */
  read(): Promise<ArrayBuffer>
}

export interface OpenOptions {
  /** Start from the source's bytes although something is kept. */
  readonly anew?: boolean
  /** How long to wait for another tab, or for a worker that is ending. */
  readonly busyWaitMs?: number
}

export class Database {
  readonly source: Source
  readonly byteLength: number
  readonly info: InitResult
  readonly engine: LixEngine

  private constructor(source: Source, byteLength: number, engine: LixEngine, info: InitResult) {
    this.source = source
    this.byteLength = byteLength
    this.engine = engine
    this.info = info
  }

  /**
   * Opens a database in a worker of its own: what is kept of it, or else the source's bytes. With
   * `anew` they take the place of what is kept, once they are saved.
   */
  static async open(source: Source, { anew = false, busyWaitMs }: OpenOptions = {}): Promise<Database> {
    const { path } = source
    const engine = path === undefined ? createWorkerEngine() : createWorkerOpfsEngine({ path, storage: "auto", busyWaitMs })
    try {
      const info = (path === undefined || anew ? undefined : await openKept(engine)) ?? (await engine.init({ blob: await source.read(), ...(anew && { openMode: "replace" }) }))
      // Any sixteen bytes can look like a header; reading the schema shows that pages follow.
      await engine.exec("SELECT count(*) FROM sqlite_schema")
      const { rows } = await engine.exec<{ bytes: number }>("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
      return new Database(source, rows[0]!.bytes, engine, info)
    } catch (error) {
      engine.terminate()
      throw error
    }
  }

  /**
   * Runs one statement and hands out its rows as they come. What only reads is
   * streamed; anything else runs to its end first, as the engine would do anyway.
   */
  async run(sql: string, signal: AbortSignal, onBatch: (batch: ColumnBatch) => void): Promise<Outcome> {
    const before = this.engine.state.commitSeq
    if (READS.test(sql)) {
      for await (const batch of this.engine.stream(sql, [], { rowMode: "columns", signal }).batches()) onBatch(batch)
      return { streamed: true, inTransaction: this.engine.state.inTransaction, committed: this.engine.state.commitSeq !== before }
    }
    const result = await this.engine.exec(sql, [], { rowMode: "columns", signal })
    if (result.columns.length > 0) onBatch(result.batch)
    return {
      streamed: false,
      changes: result.changes === undefined ? undefined : Number(result.changes),
      lastInsertRowid: result.lastInsertRowid?.toString(),
      inTransaction: result.state.inTransaction,
      committed: result.state.commitSeq !== before,
    }
  }

  async schema(): Promise<TableInfo[]> {
    const { rows } = await this.engine.exec<{ name: string; type: string; sql: string | null }>(
      "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name COLLATE NOCASE",
    )
    const { rows: columns } = await this.engine.exec<Record<string, string | number>>(
      `SELECT m.name AS "table", c.name, c.type, c.pk, c."notnull", c.hidden FROM sqlite_schema AS m, pragma_table_xinfo(m.name) AS c
       WHERE m.type IN ('table', 'view') AND c.hidden <> 1 ORDER BY m.name, c.cid`,
    )
    const { rows: indexes } = await this.engine.exec<{ table: string; name: string }>(
      "SELECT tbl_name AS \"table\", name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
    )
    return rows.map(({ name, type, sql }) => ({
      name,
      kind: type === "view" ? "view" : /^\s*create\s+virtual/i.test(sql ?? "") ? "virtual" : "table",
      columns: columns
        .filter((column) => column["table"] === name)
        .map((column) => ({
          name: String(column["name"]),
          type: String(column["type"]),
          primaryKey: Number(column["pk"]) > 0,
          notNull: Number(column["notnull"]) > 0,
          generated: Number(column["hidden"]) > 1,
        })),
      indexes: indexes.filter((index) => index.table === name).map((index) => index.name),
    }))
  }

  async rowCount(table: string): Promise<number> {
    const { rows } = await this.engine.exec<{ n: number }>(`SELECT count(*) AS n FROM ${quoteName(table)}`)
    return Number(rows[0]!.n)
  }
}

/** Undefined if nothing is kept yet; then the same engine can be asked again. */
async function openKept(engine: LixEngine): Promise<InitResult | undefined> {
  try {
    return await engine.init({ openMode: "open" })
  } catch (error) {
    if (error instanceof EngineError && error.reason === "STORAGE_MISSING") return undefined
    throw error
  }
}

const READS = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(?:select|values|with|explain|pragma)\b/i
