// Two states of a file, shown as one: what came is marked, what went is struck out.
import { diffArrays, diffLines } from "diff"
import { parseCsv } from "./csv-grid.ts"
import { inlineDiff } from "./describe.ts"
import { type Child, h } from "./dom.ts"
import { kindOfPath } from "./examples.ts"

/** Undefined is a file that was not there. */
export function compare(path: string, before: Uint8Array | undefined, after: Uint8Array): HTMLElement {
  const [was, is] = [before && textIn(before), textIn(after)]
  if (is === undefined) return h("p", { class: "compare-note" }, `${after.length} bytes that are no text.`)
  if (was === undefined && before) return h("pre", { class: "compare" }, is)
  if ((was ?? "").length + is.length > MAX_COMPARED) return h("pre", { class: "compare" }, `${is.slice(0, MAX_COMPARED)}…`)
  if (kindOfPath(path) === "csv") return tables(was, is)
  if (kindOfPath(path) === "markdown") return h("pre", { class: "compare prose" }, ...(was === undefined ? [is] : inlineDiff(was, is)))
  return lines(was, is)
}

/** Undefined if the bytes are no text. */
export function textIn(data: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return undefined
  }
}

function lines(was: string | undefined, is: string): HTMLElement {
  if (was === undefined) return h("pre", { class: "compare" }, is)
  const parts = diffLines(was, is).flatMap(({ added, removed, value }) =>
    value
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => h(added ? "ins" : removed ? "del" : "span", { class: "line" }, line || " ")),
  )
  return h("pre", { class: "compare" }, ...parts)
}

/** Rows that are equal stand still; what was removed and added in one place is a row that changed. */
function tables(was: string | undefined, is: string): HTMLElement {
  const { rows } = parseCsv(is)
  const [head = [], ...body] = rows
  const before = was === undefined ? undefined : parseCsv(was).rows
  const headBefore = before?.[0]
  const text = (row: readonly string[]) => JSON.stringify(row)
  const out: HTMLElement[] = []
  const add = (row: readonly string[] | undefined, old: readonly string[] | undefined) => {
    const columns = Math.max(row?.length ?? 0, old?.length ?? 0)
    const status = row === undefined ? "removed" : old === undefined ? "added" : text(row) === text(old) ? "same" : "modified"
    const cells = Array.from({ length: columns }, (_, column) => {
      const [a, b] = [old?.[column], row?.[column]]
      const content: Child[] = status !== "modified" || a === b ? [b ?? a ?? ""] : [a !== undefined && a !== "" && h("del", {}, a), b !== undefined && b !== "" && h("ins", {}, b)]
      return h("td", { "data-changed": status === "modified" && a !== b }, ...content)
    })
    out.push(h("tr", { "data-status": status }, ...cells))
  }
  if (before === undefined) for (const row of body) add(row, row)
  else {
    const parts = diffArrays(before.slice(1).map(text), body.map(text))
    for (let at = 0; at < parts.length; at += 1) {
      const part = parts[at]!
      const olds = part.removed ? part.value.map((row) => JSON.parse(row) as string[]) : []
      const next = part.removed && parts[at + 1]?.added ? parts[(at += 1)]! : part
      const news = next.removed ? [] : next.value.map((row) => JSON.parse(row) as string[])
      if (!part.removed && !part.added) for (const row of news) add(row, row)
      else for (let index = 0; index < Math.max(olds.length, news.length); index += 1) add(news[index], olds[index])
    }
  }
  const names = head.map((name, column) => {
    const old = headBefore?.[column]
    return h("th", { scope: "col" }, ...(before === undefined || old === name ? [name] : [old !== undefined && h("del", {}, old), h("ins", {}, name)]))
  })
  // Of a long table only what changed and its surroundings matter.
  const near = out.length <= MAX_ROWS ? out : out.filter((row, index) => index < 3 || out.slice(Math.max(0, index - 1), index + 2).some((other) => other.dataset["status"] !== "same")).slice(0, MAX_ROWS)
  const left = out.length - near.length
  return h("div", { class: "compare table" }, h("table", {}, h("thead", {}, h("tr", {}, ...names)), h("tbody", {}, ...near)), left > 0 && h("p", { class: "compare-note" }, `and ${left.toLocaleString("en-US")} more rows`))
}

const MAX_COMPARED = 400_000
const MAX_ROWS = 200
