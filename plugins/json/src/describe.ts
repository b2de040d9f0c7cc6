/** From a parsed file to its entities; what was there before keeps its id and its place. */

import type { Snapshot } from "../../shared/src/contract.ts"
import { type Identified, identify } from "../../shared/src/items.ts"
import { assignOrder, keysBetween } from "../../shared/src/order.ts"
import { matchSequences, textLikeness } from "../../shared/src/sequence.ts"
import { describeLeaf, spell } from "./leaf.ts"
import type { Node } from "./parse.ts"
import {
  inferLayout,
  inferStyle,
  layoutOf,
  snapshotOfLayout,
  styleOf,
  unusualSpace,
  usualLayout,
} from "./style.ts"
import { childId, nameOf, ROOT, tokensOf, type TreeNode } from "./tree.ts"

export interface Described {
  document: Snapshot
  entities: Map<string, Snapshot>
}

export function describe(
  { root, start, end }: { root: Node | undefined; start: string; end: string },
  bom: boolean,
  wasDocument: Snapshot | undefined,
  wasRoot: TreeNode | undefined,
): Described {
  const style = inferStyle(root, wasDocument && styleOf(wasDocument))
  const entities = new Map<string, Snapshot>()

  const visit = (
    node: Node,
    id: string,
    depth: number,
    was: TreeNode | undefined,
    own: Record<string, unknown>,
  ): void => {
    if (node.kind === "leaf") {
      entities.set(id, { ...describeLeaf(node.raw), ...own })
      return
    }
    // An object that becomes an array has nothing in common with it.
    const old = was?.snapshot["container"] === node.kind ? was : undefined
    const snapshot: Record<string, unknown> = { container: node.kind, ...own }
    entities.set(id, snapshot)
    if (node.children.length === 0) {
      const before = old?.snapshot["layout"]
      if (node.close !== "") snapshot["layout"] = [node.close]
      else if (Array.isArray(before) && before.length >= 3) snapshot["layout"] = before
      return
    }
    const usual = usualLayout(style, depth)
    // What was usual is what is usual now, also if the document is indented anew.
    const layout = inferLayout(node, usual, layoutOf(old?.snapshot, usual))
    const unusual = snapshotOfLayout(node.kind, layout, usual)
    if (unusual) snapshot["layout"] = unusual

    const places = node.kind === "object" ? properties(node, id, old) : items(node, id, old)
    const oldChildren = new Map(old?.children.map((child) => [child.id, child]))
    node.children.forEach((child, index) => {
      const { id: childsId, order } = places[index]!
      const space = unusualSpace(child, layout, index === 0)
      const spelled = child.key !== undefined && child.key !== JSON.stringify(nameOf(childsId))
      visit(child, childsId, depth + 1, oldChildren.get(childsId), {
        order,
        ...(space ? { space } : {}),
        ...(spelled ? { key: child.key } : {}),
      })
    })
  }
  if (root) visit(root, ROOT, 0, wasRoot, {})

  const { newline, indent, separator, colon } = style
  const document = { newline, indent, separator, colon, start, end, ...(bom ? { bom } : {}) }
  return { document, entities }
}

function properties(node: Node, id: string, old: TreeNode | undefined): { id: string; order: string }[] {
  const known = new Map(old?.children.map((child) => [child.id, child]))
  const ids = tokensOf(node.children).map((token) => childId(id, token))
  const orders = assignOrder(ids.map((one) => known.get(one) ?? {}))
  return ids.map((one, index) => ({ id: one, order: orders[index] as string }))
}

/** Items are called by their index in the array they came with, later ones by what they were. */
function items(node: Node, id: string, old: TreeNode | undefined): { id: string; order: string }[] {
  if (!old) {
    const orders = keysBetween(undefined, undefined, node.children.length)
    return orders.map((order, index) => ({ id: childId(id, String(index)), order }))
  }
  const before = old.children.map((child) => ({ id: child.id, order: child.order, text: textOfTree(child) }))
  const texts = node.children.map(textOfNode)
  const oldTexts = before.map((item) => item.text)
  const similarity = itemLikeness(old.children, node.children, textLikeness(oldTexts, texts))
  const matches = matchSequences(oldTexts, texts, { similarity, positional: true })
  const name = (text: string): string => childId(id, text)
  return identify(before, texts, matches, name).map(({ id: one, order }: Identified) => ({ id: one, order }))
}

/** Objects that say who they are are the same if they say so. */
function itemLikeness(
  old: readonly TreeNode[],
  items: readonly Node[],
  otherwise: (before: number, after: number) => number,
): (before: number, after: number) => number {
  const oldNames = old.map((node) => {
    const named = NAMES.map((name) => node.children.find((child) => nameOf(child.id) === name))
    const found = named.find((child) => child !== undefined && child.snapshot["container"] === undefined)
    return found && `${nameOf(found.id)}=${spell(found.snapshot)}`
  })
  const names = items.map((node) => {
    const named = NAMES.map((name) => node.children.find((child) => child.key === `"${name}"`))
    const found = named.find((child) => child?.kind === "leaf")
    return found && `${JSON.parse(found.key as string) as string}=${found.raw}`
  })
  return (before, after) => {
    const [one, other] = [oldNames[before], names[after]]
    if (one === undefined || other === undefined) return otherwise(before, after)
    return one === other ? 1 : otherwise(before, after) / 2
  }
}

/** Without white space; equal for equal values in equal spelling. */
function textOfNode(node: Node): string {
  if (node.kind === "leaf") return node.raw
  if (node.kind === "array") return `[${node.children.map(textOfNode).join(",")}]`
  return `{${node.children.map((child) => `${child.key}:${textOfNode(child)}`).join(",")}}`
}

function textOfTree({ snapshot, children }: TreeNode): string {
  if (snapshot["container"] === undefined) return spell(snapshot)
  if (snapshot["container"] === "array") return `[${children.map(textOfTree).join(",")}]`
  return `{${children.map((child) => `${spelledKey(child)}:${textOfTree(child)}`).join(",")}}`
}

/** As it is in the file. */
export function spelledKey({ id, snapshot }: TreeNode): string {
  const name = nameOf(id)
  const { key } = snapshot
  if (typeof key !== "string") return JSON.stringify(name)
  try {
    return JSON.parse(key) === name ? key : JSON.stringify(name)
  } catch {
    return JSON.stringify(name)
  }
}

const NAMES = ["id", "uuid", "key", "name"]
