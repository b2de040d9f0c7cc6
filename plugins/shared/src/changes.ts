/** From entities as they were and entities as they should be to what the engine is told. */

import type { DetectCall, DetectedChange, EntityRow, Schema, Snapshot } from "./contract.ts"

/** The plugin's entities of the file; none if the plugin sees the file for the first time. */
export function entitiesBefore(call: DetectCall, plugin: string): EntityRow[] {
  if (call.before === undefined) return []
  return call
    .querySync("state")
    .where("file_id", "=", call.after.id)
    .where("plugin_key", "=", plugin)
    .select(["entity_id", "schema_key", "snapshot_content"])
    .execute()
}

/** Rows of one schema. */
export function ofSchema(rows: readonly EntityRow[], schema: Schema): EntityRow[] {
  return rows.filter((row) => row.schema_key === schema["x-lix-key"])
}

/** What differs: deletions first, then the rest in the order of `next`. */
export function difference(
  schema: Schema,
  before: readonly EntityRow[],
  next: ReadonlyMap<string, Snapshot>,
): DetectedChange[] {
  const changes: DetectedChange[] = []
  const known = new Map<string, Snapshot>()
  for (const { entity_id, snapshot_content } of before) {
    known.set(entity_id, snapshot_content)
    if (!next.has(entity_id)) changes.push({ entity_id, schema, snapshot_content: null })
  }
  for (const [entity_id, snapshot_content] of next) {
    const old = known.get(entity_id)
    if (old === undefined || !equal(old, snapshot_content)) {
      changes.push({ entity_id, schema, snapshot_content })
    }
  }
  return changes
}

/** As JSON values: the order of properties does not count. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) &&
      equal((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  )
}
