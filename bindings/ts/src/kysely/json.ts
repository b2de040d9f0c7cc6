/**
 * JSON columns as values: parsed once, and only what the engine declares to be JSON.
 *
 * SQL shows a string and an object alike. A query that wants to know which is which selects their types
 * beside them, in columns whose names begin with `_types:`; they are taken off the rows here.
 */

import { later } from "../schedule.js"
import type { ResultColumn, RowObject } from "../types.js"

/** The name of a column with the types for another one, in which the letter has a place. */
export function typesOf(name: string, place: number): string {
  return `${TYPES}${place}:${name}`
}

/** Parses in place; the same rows. Many of them in slices, so that a page keeps painting. */
export async function parseJson<Row>(rows: Row[], columns: readonly ResultColumn[]): Promise<Row[]> {
  const plan = planOf(columns)
  if (!plan) return rows
  for (let at = 0, until = performance.now() + SLICE_MS; at < rows.length; at += SLICE_ROWS) {
    if (performance.now() > until) {
      await new Promise<void>(later)
      until = performance.now() + SLICE_MS
    }
    parseSlice(rows.slice(at, at + SLICE_ROWS) as RowObject[], plan)
  }
  return rows
}

function parseSlice(rows: readonly RowObject[], plan: Plan): void {
  for (const row of rows) {
    for (const { name, types, place } of plan.values) {
      const letter = types === undefined ? undefined : (row[types] as string | null)?.[place]
      const value = row[name]
      if (letter === "b") row[name] = (value !== 0) as never
      else if (typeof value === "string" && letter !== "s" && (value.startsWith("{") || value.startsWith("["))) row[name] = parsed(value) as never
    }
    for (const types of plan.types) delete row[types]
  }
}

interface Plan {
  readonly values: readonly { readonly name: string; readonly types: string | undefined; readonly place: number }[]
  /** Newest first, which is how they are deleted fastest. */
  readonly types: readonly string[]
}

function planOf(columns: readonly ResultColumn[]): Plan | undefined {
  const values = new Map<string, Plan["values"][number]>()
  const types: string[] = []
  for (const { name, declType } of columns) {
    if (name.startsWith(TYPES)) {
      const place = Number.parseInt(name.slice(TYPES.length), 10)
      const of = name.slice(name.indexOf(":", TYPES.length) + 1)
      types.unshift(name)
      values.set(of, { name: of, types: name, place })
    } else if (declType?.startsWith("json")) {
      values.set(name, { name, types: undefined, place: 0 })
    } else {
      // Of two columns with one name the last one is what the row has.
      values.delete(name)
    }
  }
  return values.size > 0 ? { values: [...values.values()], types } : undefined
}

/** A string that only looks like JSON stays one. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const TYPES = "_types:"
const SLICE_MS = 8
const SLICE_ROWS = 64
