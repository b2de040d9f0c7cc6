/**
 * Kysely's query builder for selects, whose queries run at once: what a plugin reads with while it is being called.
 */

import { createQueryId, expressionBuilder, SqliteQueryCompiler, type CompiledQuery, type RootOperationNode } from "kysely"
import type { QuerySync, SyncQuery, SyncRow } from "./plugin.js"
import type { RunQuery } from "./runtime.js"

export function createQuerySync(run: RunQuery): QuerySync {
  const rowsOf = (query: Builder): SyncRow[] => {
    const { sql, parameters } = compile(query)
    let answer
    try {
      answer = run(sql, JSON.stringify(parameters.map(paramJson)))
    } catch (error) {
      throw queryError(error)
    }
    return rows(answer)
  }

  /** The builder with other endings. Its methods need the builder itself, so none of them gets the proxy as `this`. */
  const wrap = (builder: Builder): SyncQuery => {
    const endings: { [name: PropertyKey]: unknown } = {
      execute: () => rowsOf(builder),
      executeTakeFirst: () => rowsOf(builder)[0],
      executeTakeFirstOrThrow: () => {
        const [row] = rowsOf(builder)
        if (!row) throw new Error("No result")
        return row
      },
      compile: () => compile(builder),
      // These hand the builder itself out, whose endings are promises.
      $call: (change: (query: SyncQuery) => unknown) => change(wrapped),
      $if: (condition: boolean, change: (query: SyncQuery) => unknown) => (condition ? change(wrapped) : wrapped),
      stream: undefined,
      explain: undefined,
    }
    const wrapped = new Proxy(builder, {
      get(target, name) {
        if (Object.hasOwn(endings, name)) return endings[name]
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== "function") return member
        return (...args: unknown[]) => {
          const result: unknown = member.apply(target, args)
          return isBuilder(result) ? wrap(result) : result
        }
      },
    }) as unknown as SyncQuery
    return wrapped
  }

  return (table) => wrap(expressionBuilder<Tables, string>().selectFrom(table) as unknown as Builder)
}

/** As much of `SelectQueryBuilder` as is used here. */
interface Builder {
  readonly isSelectQueryBuilder: true
  toOperationNode(): RootOperationNode
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the tables' columns are not known here
type Tables = { [table: string]: any }

function isBuilder(value: unknown): value is Builder {
  return typeof value === "object" && value !== null && (value as Partial<Builder>).isSelectQueryBuilder === true
}

function compile(query: Builder): CompiledQuery {
  return new SqliteQueryCompiler().compileQuery(query.toOperationNode(), createQueryId())
}

function rows(answer: string): SyncRow[] {
  const { columns, rows } = JSON.parse(answer) as { columns: string[]; rows: unknown[][] }
  return rows.map((cells) => {
    const row: SyncRow = {}
    columns.forEach((column, index) => {
      const cell = valueOf(cells[index])
      row[column] = column === "snapshot_content" && typeof cell === "string" ? JSON.parse(cell) : cell
    })
    return row
  })
}

function valueOf(cell: unknown): unknown {
  if (typeof cell !== "object" || cell === null) return cell
  const { integer, base64 } = cell as { integer?: string; base64?: string }
  if (integer !== undefined) return BigInt(integer)
  return base64 === undefined ? cell : bytesOf(base64)
}

function paramJson(value: unknown, index: number): unknown {
  switch (typeof value) {
    case "string":
      return value
    case "boolean":
      return value ? 1 : 0
    case "bigint":
      if (BigInt.asIntN(64, value) !== value) break
      return { integer: String(value) }
    case "number":
      if (!Number.isFinite(value)) break
      return value
    case "object":
      if (value === null) return null
      if (ArrayBuffer.isView(value)) return { base64: base64Of(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) }
  }
  throw new TypeError(`parameter ${index + 1} of the query is ${typeof value === "object" ? "an object" : String(value)}; use null, a number, a bigint, a boolean, text or bytes`)
}

/** What the engine throws is no `Error` that a plugin could show. */
function queryError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  const { reason = "", message = String(thrown) } = (thrown ?? {}) as { reason?: string; message?: string }
  return Object.assign(new Error(message), { reason })
}

// By hand, since the native engine's interpreter has no `atob`.

function bytesOf(base64: string): Uint8Array {
  const text = base64.replace(/=+$/, "")
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4))
  let bits = 0
  let at = 0
  for (let index = 0; index < text.length; index++) {
    bits = (bits << 6) | BASE64.indexOf(text[index]!)
    if (index % 4 !== 0) bytes[at++] = bits >> (6 - 2 * (index % 4))
  }
  return bytes
}

function base64Of(bytes: Uint8Array): string {
  let text = ""
  for (let at = 0; at < bytes.length; at += 3) {
    const bits = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
    const digits = Math.min(bytes.length - at, 3) + 1
    for (let digit = 0; digit < 4; digit++) text += digit < digits ? BASE64[(bits >> (18 - 6 * digit)) & 63]! : "="
  }
  return text
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
