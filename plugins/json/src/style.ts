/** White space: what a document does everywhere, and what a container does differently. */

import type { Snapshot } from "../../shared/src/contract.ts"
import type { Node } from "./parse.ts"

export interface Style {
  newline: string
  indent: string
  separator: string
  colon: readonly [string, string]
}

export interface Layout {
  /** Before the first item, before the others, after the last. */
  open: string
  separator: string
  close: string
  colonBefore: string
  colonAfter: string
}

/** As the document's entity says, or as most people write. */
export function styleOf(document: Snapshot): Style {
  const { newline, indent, separator, colon } = document
  const text = (value: unknown, otherwise: string): string =>
    typeof value === "string" ? value : otherwise
  const [before, after] = Array.isArray(colon) ? (colon as unknown[]) : []
  return {
    newline: text(newline, "\n"),
    indent: text(indent, "  "),
    separator: text(separator, " "),
    colon: [text(before, ""), text(after, " ")],
  }
}

/** As the text is written, where it tells, else as it was, else as JSON.stringify writes. */
export function inferStyle(root: Node | undefined, was: Style | undefined): Style {
  const first = root?.children[0]
  if (!root || !first) return was ?? COMPACT
  const lines = /^(\r\n|\n|\r)([ \t]*)$/.exec(first.before)
  const newline = lines?.[1] ?? ""
  const object = firstObject(root)
  const spread = most(root.children.slice(1).map((child) => child.before))
  const colon: readonly [string, string] = object
    ? [most(object.children.map((c) => c.colonBefore))!, most(object.children.map((c) => c.colonAfter))!]
    : (was?.colon ?? (newline === "" ? COMPACT.colon : ["", " "]))
  const separator = newline === "" ? (spread ?? was?.separator ?? colon[1]) : (was?.separator ?? " ")
  return { newline, indent: lines?.[2] ?? "", separator, colon }
}

/** What the style says about a container at a depth. */
export function usualLayout({ newline, indent, separator, colon }: Style, depth: number): Layout {
  const [colonBefore, colonAfter] = colon
  if (newline === "") return { open: "", separator, close: "", colonBefore, colonAfter }
  const close = newline + indent.repeat(depth)
  return { open: close + indent, separator: close + indent, close, colonBefore, colonAfter }
}

/** What the container's entity says, else what is usual. */
export function layoutOf(snapshot: Snapshot | undefined, usual: Layout): Layout {
  const layout = snapshot?.["layout"]
  if (!Array.isArray(layout) || layout.length < 3) return usual
  const [open, separator, close, colonBefore, colonAfter] = layout.map(String)
  return {
    open: open as string,
    separator: separator as string,
    close: close as string,
    colonBefore: colonBefore ?? usual.colonBefore,
    colonAfter: colonAfter ?? usual.colonAfter,
  }
}

/** How the container is laid out; as it was, if that still describes all of it. */
export function inferLayout(node: Node, usual: Layout, was: Layout): Layout {
  if (describes(was, node)) return was
  const { children } = node
  const [first] = children as [Node]
  const others = most(children.slice(1).map((child) => child.before))
  return {
    open: first.before,
    separator: others ?? guessSeparator(first.before, usual),
    close: node.close,
    colonBefore: most(children.map((child) => child.colonBefore)) as string,
    colonAfter: most(children.map((child) => child.colonAfter)) as string,
  }
}

/** Null if it is the usual one. */
export function snapshotOfLayout(kind: string, layout: Layout, usual: Layout): string[] | null {
  const { open, separator, close, colonBefore, colonAfter } = layout
  const array = open === usual.open && separator === usual.separator && close === usual.close
  if (kind === "array") return array ? null : [open, separator, close]
  const colons = colonBefore === usual.colonBefore && colonAfter === usual.colonAfter
  return array && colons ? null : [open, separator, close, colonBefore, colonAfter]
}

/** The space of one item, if it is not as its container's layout says. */
export function unusualSpace(item: Node, layout: Layout, first: boolean): string[] | null {
  const { before, colonBefore, colonAfter, after, key } = item
  const regular =
    after === "" &&
    before === (first ? layout.open : layout.separator) &&
    (key === undefined || (colonBefore === layout.colonBefore && colonAfter === layout.colonAfter))
  if (regular) return null
  return key === undefined ? [before, after] : [before, colonBefore, colonAfter, after]
}

function describes(layout: Layout, node: Node): boolean {
  return (
    node.close === layout.close &&
    node.children.every((child, index) => unusualSpace(child, layout, index === 0) === null)
  )
}

/** After `[` comes nothing: then after a comma comes a space, in most hands. */
function guessSeparator(open: string, usual: Layout): string {
  if (open === usual.open) return usual.separator
  return open === "" ? " " : open
}

function firstObject(root: Node): Node | undefined {
  const waiting = [root]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node.kind === "object" && node.children.length > 0) return node
    for (let at = node.children.length - 1; at >= 0; at -= 1) waiting.push(node.children[at] as Node)
  }
  return undefined
}

/** The most frequent, and of those the first. */
function most(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  let best: string | undefined
  for (const [text, times] of counts) {
    if (best === undefined || times > (counts.get(best) as number)) best = text
  }
  return best
}

const COMPACT: Style = { newline: "", indent: "", separator: "", colon: ["", ""] }
