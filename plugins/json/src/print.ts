/** From entities to the text of the file. */

import type { Snapshot } from "../../shared/src/contract.ts"
import { spelledKey } from "./describe.ts"
import { spell } from "./leaf.ts"
import { layoutOf, styleOf, usualLayout } from "./style.ts"
import type { TreeNode } from "./tree.ts"

export function print(document: Snapshot, root: TreeNode | undefined): string {
  const style = styleOf(document)
  const parts: string[] = [String(document["start"] ?? "")]

  const visit = (node: TreeNode, depth: number): void => {
    const { container, layout: inside } = node.snapshot
    if (container === undefined) {
      parts.push(spell(node.snapshot))
      return
    }
    const [open, close] = container === "array" ? "[]" : "{}"
    parts.push(open as string)
    if (node.children.length === 0) {
      if (Array.isArray(inside) && inside.length === 1) parts.push(String(inside[0]))
    } else {
      const layout = layoutOf(node.snapshot, usualLayout(style, depth))
      node.children.forEach((child, index) => {
        const property = container !== "array"
        const { before, colonBefore, colonAfter, after } = spaceOf(child.snapshot["space"], property) ?? {
          ...layout,
          before: index === 0 ? layout.open : layout.separator,
          after: "",
        }
        if (index > 0) parts.push(",")
        parts.push(before)
        if (property) parts.push(spelledKey(child), colonBefore, ":", colonAfter)
        visit(child, depth + 1)
        parts.push(after)
      })
      parts.push(layout.close)
    }
    parts.push(close as string)
  }
  if (root) visit(root, 0)

  parts.push(String(document["end"] ?? ""))
  return parts.join("")
}

function spaceOf(
  space: unknown,
  property: boolean,
): { before: string; colonBefore: string; colonAfter: string; after: string } | undefined {
  if (!Array.isArray(space) || space.length !== (property ? 4 : 2)) return undefined
  const [before, ...rest] = space.map(String) as [string, ...string[]]
  const after = rest.at(-1) as string
  return { before, after, colonBefore: rest[0] as string, colonAfter: rest[1] ?? "" }
}
