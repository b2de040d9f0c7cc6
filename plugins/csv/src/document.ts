/** The file as entities see it: what is said about all of it, and its rows. */

import { decode } from "../../shared/src/bytes.ts"
import { ofSchema } from "../../shared/src/changes.ts"
import type { DetectCall, EntityRow, Snapshot } from "../../shared/src/contract.ts"
import { identify, inOrder } from "../../shared/src/items.ts"
import { matchSequences } from "../../shared/src/sequence.ts"
import { keyOfRow, matchByKey } from "./keys.ts"
import { cellsOf, guessDelimiter, guessQuote, isQuote, type Quote, readRows, type Row, writeCells } from "./read.ts"
import { ROW } from "./schemas.ts"

export interface Style {
  delimiter: string
  newline: string
  finalNewline: boolean
  quote: Quote
}

export interface KnownRow {
  id: string
  order: string | undefined
  cells: string[]
  text: string
  snapshot: Snapshot
}

export function rowsOf(rows: readonly EntityRow[]): KnownRow[] {
  return inOrder(
    ofSchema(rows, ROW).map(({ entity_id, snapshot_content: snapshot }) => {
      const { order } = snapshot
      const cells = texts(snapshot["cells"])
      return {
        id: entity_id,
        order: order === undefined ? undefined : String(order),
        cells,
        text: textOf(cells),
        snapshot,
      }
    }),
  )
}

export function identifyRows(before: KnownRow[], body: Row[], keyColumn: number): { id: string; order: string }[] {
  const now = body.map(({ cells }) => textOf(cells))
  if (keyColumn < 0) {
    const old = before.map((row) => row.text)
    return identify(before, now, matchSequences(old, now, { positional: true }))
  }
  const keys = body.map(({ cells }) => keyOfRow(cells, keyColumn))
  return identify(before, now, matchByKey(before, now, keys), (_, index) => keys[index] as string)
}

/** Different rows, different texts. */
export function textOf(cells: readonly string[]): string {
  return cells.join("\u0000\u0001")
}

/** An empty file has no rows and is no document: there is nothing to say about it. */
export function read(
  data: Uint8Array,
  was: Snapshot | undefined,
): { style: Style; document: Snapshot | undefined; lines: Row[] } {
  const before = styleOf(was ?? {})
  if (data.length === 0) return { style: before, document: undefined, lines: [] }
  const { text, bom, encoding } = decode(data)
  let lines = readRows(text, before.delimiter)
  // A delimiter that does not split the first row may be another one by now.
  if (!was || (lines[0]?.cells.length ?? 0) < 2) {
    const delimiter = guessDelimiter(text) ?? before.delimiter
    if (delimiter !== before.delimiter) [before.delimiter, lines] = [delimiter, readRows(text, delimiter)]
  }
  const style = {
    delimiter: before.delimiter,
    newline: usualNewline(lines) ?? before.newline,
    finalNewline: lines.length > 0 && lines.at(-1)?.newline !== "",
    quote: guessQuote(lines, before.delimiter, before.quote),
  }
  const { delimiter, newline, quote } = style
  const document = {
    delimiter,
    newline,
    final_newline: style.finalNewline,
    quote,
    ...(bom ? { bom } : {}),
    ...(encoding === "bytes" ? { encoding } : {}),
  }
  return { style, document, lines }
}

export function styleOf({ delimiter, newline, final_newline, quote }: Snapshot): Style {
  return {
    delimiter: typeof delimiter === "string" && delimiter !== "" ? delimiter : ",",
    newline: typeof newline === "string" ? newline : "\n",
    finalNewline: final_newline !== false,
    quote: isQuote(quote) ? quote : "needed",
  }
}

/** What is in a row, and what of it is not as in the others. */
export function describe({ cells, raw, newline }: Row, style: Style, last: boolean): Line {
  const end = newline === style.newline || (last && newline === "") ? {} : { newline }
  if (writeCells(cells, style.delimiter, style.quote) === raw) return { cells, ...end }
  // What `raw` says is asked again when it is read.
  return { cells: cellsOf(raw, style.delimiter), raw, ...end }
}

interface Line {
  cells: string[]
  raw?: string
  newline?: string
}

/** `raw` is only a way of writing: it does not count if it says something else. */
export function writtenAs(raw: unknown, cells: readonly string[], { delimiter }: Style): string | undefined {
  if (typeof raw !== "string") return undefined
  return textOf(cellsOf(raw, delimiter)) === textOf(cells) ? raw : undefined
}

function usualNewline(lines: readonly Row[]): string | undefined {
  const counts = new Map<string, number>()
  for (const { newline } of lines) if (newline !== "") counts.set(newline, (counts.get(newline) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0]
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

/** Where the key column is; -1: there is none. */
export function keyColumnOf(header: Row | undefined, { after }: DetectCall): number {
  return header?.cells.indexOf(String(after.metadata?.["unique_column"])) ?? -1
}

export const DOCUMENT_ID = "document"
export const HEADER_ID = "header"
