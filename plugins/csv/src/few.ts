/**
 * The usual edit of a file with a key column, quickly: some rows next to each other are others. Then
 * only their entities are read, not those of the whole file.
 */

import { difference, equal, ofSchema } from "../../shared/src/changes.ts"
import type { DetectCall, DetectedChange, EntityRow, Snapshot } from "../../shared/src/contract.ts"
import { describe, identifyRows, keyColumnOf, read, rowsOf, textOf } from "./document.ts"
import { keyOfRow } from "./keys.ts"
import type { Row } from "./read.ts"
import { DOCUMENT, ROW } from "./schemas.ts"

/** Undefined: it is not that simple. */
export function changedRows(call: DetectCall, plugin: string): DetectedChange[] | undefined {
  const { before, after, querySync } = call
  if (!before || before.data.length === 0 || after.data.length === 0) return undefined
  if (typeof after.metadata?.["unique_column"] !== "string") return undefined
  const ask = (column: string, values: readonly string[]): EntityRow[] =>
    querySync("state")
      .where("file_id", "=", after.id)
      .where("plugin_key", "=", plugin)
      .where(column, "in", values)
      .select(["entity_id", "schema_key", "snapshot_content"])
      .execute()

  const document = ask("schema_key", [DOCUMENT["x-lix-key"]])[0]?.snapshot_content
  if (!document) return undefined
  const [was, now] = [read(before.data, document), read(after.data, document)]
  if (!equal(was.document, document) || !equal(now.document, document)) return undefined
  const [header, oldHeader] = [now.lines[0], was.lines[0]]
  const column = keyColumnOf(header, call)
  if (!header || !oldHeader || !sameLine(header, oldHeader) || column < 0) return undefined
  const [old, body] = [was.lines.slice(1), now.lines.slice(1)]

  // What differs, and one row on each side, between whose places the new ones go.
  let from = 0
  while (from < old.length && from < body.length && sameLine(old[from]!, body[from]!)) from += 1
  let [oldEnd, end] = [old.length, body.length]
  while (oldEnd > from && end > from && sameLine(old[oldEnd - 1]!, body[end - 1]!)) [oldEnd, end] = [oldEnd - 1, end - 1]
  if (oldEnd - from > MANY || end - from > MANY) return undefined
  from = Math.max(from - 1, 0)
  ;[oldEnd, end] = [Math.min(oldEnd + 1, old.length), Math.min(end + 1, body.length)]
  const [oldPart, part] = [old.slice(from, oldEnd), body.slice(from, end)]

  const keys = new Set([...oldPart, ...part].map(({ cells }) => keyOfRow(cells, column)))
  if (!areUnique(keys, old, column) || !areUnique(keys, body, column)) return undefined
  const entities = keys.size === 0 ? [] : ask("entity_id", [...keys])
  const rows = rowsOf(entities)
  if (rows.length !== oldPart.length || rows.some((row, index) => row.text !== textOf(oldPart[index]!.cells))) {
    return undefined
  }

  const places = identifyRows(rows, part, column)
  const next = new Map<string, Snapshot>()
  part.forEach((row, index) => {
    const { id, order } = places[index]!
    next.set(id, { ...describe(row, now.style, from + index === body.length - 1), order })
  })
  const changes = difference(ROW, ofSchema(entities, ROW), next)
  // The rows on the sides are as they were, or there was no room between them.
  const sides = [from > 0 ? places[0] : undefined, end < body.length ? places.at(-1) : undefined]
  if (changes.some((change) => sides.some((side) => side?.id === change.entity_id))) return undefined
  return changes
}

function sameLine(a: Row, b: Row): boolean {
  return a.raw === b.raw && a.newline === b.newline
}

/** No other row has one of these keys. */
function areUnique(keys: ReadonlySet<string>, rows: readonly Row[], column: number): boolean {
  const seen = new Set<string>()
  return rows.every(({ cells }) => {
    const key = keyOfRow(cells, column)
    if (!keys.has(key)) return true
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

const MANY = 200
