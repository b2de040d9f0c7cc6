/** The entities of a file as the tree that their ids describe. */

import type { EntityRow, Snapshot } from "../../shared/src/contract.ts"
import { escapeToken, unescapeToken } from "../../shared/src/ids.ts"
import { inOrder } from "../../shared/src/items.ts"
import type { Node } from "./parse.ts"

export interface TreeNode {
  id: string
  order: string | undefined
  snapshot: Snapshot
  children: TreeNode[]
}

/**
 * The whole, if there is one. What stands in nothing (its object was deleted in one version and it
 * was changed in the other) is no part of it.
 */
export function treeOf(values: readonly EntityRow[]): TreeNode | undefined {
  const nodes = new Map<string, TreeNode>()
  for (const { entity_id, snapshot_content } of values) {
    const { order } = snapshot_content
    nodes.set(entity_id, {
      id: entity_id,
      order: typeof order === "string" ? order : undefined,
      snapshot: snapshot_content,
      children: [],
    })
  }
  for (const node of nodes.values()) {
    if (node.id === ROOT) continue
    const parent = nodes.get(node.id.slice(0, node.id.lastIndexOf("/")) || ROOT)
    if (parent?.snapshot["container"] !== undefined) parent.children.push(node)
  }
  for (const node of nodes.values()) inOrder(node.children)
  return nodes.get(ROOT)
}

/** The id of what is in `parent` under `token`. */
export function childId(parent: string, token: string): string {
  return parent === ROOT ? `/${token}` : `${parent}/${token}`
}

/** The names of an object's properties as parts of a pointer; a name's second use gets `~n2`. */
export function tokensOf(properties: readonly Node[]): string[] {
  const uses = new Map<string, number>()
  return properties.map(({ key }) => {
    const token = escapeToken(JSON.parse(key as string) as string)
    const use = (uses.get(token) ?? 0) + 1
    uses.set(token, use)
    return use === 1 ? token : `${token}~n${use}`
  })
}

/** The name that a property's id ends in. */
export function nameOf(id: string): string {
  return unescapeToken(id.slice(id.lastIndexOf("/") + 1).replace(/~n\d+$/, ""))
}

export const ROOT = "#"
