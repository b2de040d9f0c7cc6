/**
 * The usual edit, quickly: some values are others, and nothing else is different. Then only their
 * entities are read, not those of the whole file.
 */

import { decode } from "../../shared/src/bytes.ts"
import type { DetectCall, DetectedChange, EntityRow } from "../../shared/src/contract.ts"
import { describeLeaf, spell } from "./leaf.ts"
import { type Node, parse } from "./parse.ts"
import { VALUE } from "./schemas.ts"
import { childId, ROOT, tokensOf } from "./tree.ts"

/** Undefined: it is not that simple. */
export function changedLeaves(
  { before, after, querySync }: DetectCall,
  plugin: string,
  now: { root: Node | undefined; start: string; end: string },
): DetectedChange[] | undefined {
  if (!before || before.data.length === 0 || after.data.length === 0) return undefined
  const { text, bom } = decode(before.data)
  if (bom !== (after.data[0] === 0xef)) return undefined
  const was = parse(text)
  if (!was.root || !now.root || was.start !== now.start || was.end !== now.end) return undefined
  const changed = compare(was.root, now.root)
  if (!changed || changed.size > MANY) return undefined
  if (changed.size === 0) return []

  const rows = querySync("state")
    .where("file_id", "=", after.id)
    .where("plugin_key", "=", plugin)
    .where("schema_key", "=", VALUE["x-lix-key"])
    .where("entity_id", "in", [...changed.keys()])
    .select(["entity_id", "schema_key", "snapshot_content"])
    .execute()
  const entities = new Map(rows.map((row: EntityRow) => [row.entity_id, row.snapshot_content]))
  const changes: DetectedChange[] = []
  for (const [entity_id, [old, fresh]] of changed) {
    const entity = entities.get(entity_id)
    if (!entity || spell(entity) !== old) return undefined
    const { value: _value, raw: _raw, ...own } = entity
    changes.push({
      entity_id,
      schema: VALUE,
      snapshot_content: { ...describeLeaf(fresh), ...own },
    })
  }
  return changes
}

/** By id, how a value was spelled and how it is; undefined if more than values differ. */
function compare(was: Node, now: Node): Map<string, [string, string]> | undefined {
  const changed = new Map<string, [string, string]>()
  /** No id: in an array, whose items have names that only the entities know. */
  const visit = (one: Node, other: Node, id: string | undefined): boolean => {
    if (
      one.kind !== other.kind ||
      one.key !== other.key ||
      one.before !== other.before ||
      one.after !== other.after ||
      one.colonBefore !== other.colonBefore ||
      one.colonAfter !== other.colonAfter ||
      one.close !== other.close ||
      one.children.length !== other.children.length
    ) {
      return false
    }
    if (one.kind === "leaf") {
      if (one.raw === other.raw) return true
      if (id === undefined) return false
      changed.set(id, [one.raw, other.raw])
      return true
    }
    const ids = id === undefined || one.kind === "array" ? undefined : childIds(other, id)
    return one.children.every((child, index) => visit(child, other.children[index] as Node, ids?.(index)))
  }
  return visit(was, now, ROOT) ? changed : undefined
}

/** Worked out when the first one is asked for. */
function childIds(node: Node, id: string): (index: number) => string {
  let tokens: string[] | undefined
  return (index) => {
    tokens ??= tokensOf(node.children)
    return childId(id, tokens[index] as string)
  }
}

const MANY = 200
