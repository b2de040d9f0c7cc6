/** Text to rows that know how they were written, and back. Cells are found by Papa Parse. */

import Papa, { type ParseStepResult } from "papaparse"

export interface Row {
  cells: string[]
  /** As it stands in the file, without its end. */
  raw: string
  /** Empty for a last row without one. */
  newline: string
}

export type Quote = "needed" | "text" | "all"

export function readRows(text: string, delimiter: string): Row[] {
  const [crlf, lf, cr] = [/\r\n/, /(?<!\r)\n/, /\r(?!\n)/].map((end) => end.test(text))
  if (!(crlf && lf)) return rowsOf(text, delimiter, crlf ? "\r\n" : lf || !cr ? "\n" : "\r")

  // Both kinds of ends, of rows or inside of cells: read as if there were one, then cut from the text
  // as it is.
  const plain = text.replaceAll("\r\n", "\n")
  let [at, plainAt] = [0, 0]
  return rowsOf(plain, delimiter, "\n").map((row) => {
    const next = plainAt + row.raw.length + row.newline.length
    const from = at
    for (; plainAt < next; plainAt += 1) at += text[at] === "\r" && text[at + 1] === "\n" ? 2 : 1
    const line = text.slice(from, at)
    const newline = row.newline === "" ? "" : line.endsWith("\r\n") ? "\r\n" : "\n"
    const raw = line.slice(0, line.length - newline.length)
    return { raw, newline, cells: raw === row.raw ? row.cells : cellsOf(raw, delimiter) }
  })
}

/** The cells of one row, whatever it is: what cannot be read as a row is one cell. */
export function cellsOf(raw: string, delimiter: string): string[] {
  for (const newline of NEWLINES) {
    const [row, more] = rowsOf(raw, delimiter, newline)
    if (row && !more && row.newline === "") return row.cells
  }
  return [raw]
}

/** What is most likely between cells; undefined if nothing tells. */
export function guessDelimiter(text: string): string | undefined {
  const { meta, errors } = Papa.parse(text.slice(0, SAMPLE), {
    preview: 20,
    skipEmptyLines: true,
    delimitersToGuess: DELIMITERS,
  })
  return errors.some((error) => error.code === "UndetectableDelimiter") ? undefined : meta.delimiter
}

export function writeCells(cells: readonly string[], delimiter: string, quote: Quote): string {
  return cells.map((cell) => writeCell(cell, delimiter, quote)).join(delimiter)
}

/** The way in which most rows are written; the wanted one, if it is as good. */
export function guessQuote(rows: readonly Row[], delimiter: string, wanted: Quote): Quote {
  const sample = rows.slice(0, 1000)
  const misses = (quote: Quote): number =>
    sample.filter(({ cells, raw }) => writeCells(cells, delimiter, quote) !== raw).length
  let [best, fewest] = [wanted, misses(wanted)]
  for (const quote of QUOTES) {
    if (fewest === 0) break
    const count = misses(quote)
    if (count < fewest) [best, fewest] = [quote, count]
  }
  return best
}

export function isQuote(value: unknown): value is Quote {
  return (QUOTES as readonly unknown[]).includes(value)
}

function rowsOf(text: string, delimiter: string, newline: "\n" | "\r\n" | "\r"): Row[] {
  const rows: Row[] = []
  let from = 0
  const step = ({ data, meta, errors }: ParseStepResult<string[][]>): void => {
    const line = text.slice(from, meta.cursor)
    from = meta.cursor
    // Nothing after the last end is no row.
    if (line === "") return
    // A quote that is never closed has the rest of the file in its cell.
    const open = errors.some((error) => error.code === "MissingQuotes")
    const end = !open && line.endsWith(newline) ? newline : ""
    rows.push({ cells: data[0] as string[], raw: line.slice(0, line.length - end.length), newline: end })
  }
  new Papa.Parser({ delimiter, newline, step }).parse(text, 0, false)
  return rows
}

function writeCell(cell: string, delimiter: string, quote: Quote): string {
  const quoted =
    quote === "all" || /["\r\n]/.test(cell) || cell.includes(delimiter) || (quote === "text" && !NUMBER.test(cell))
  return quoted ? `"${cell.replaceAll('"', '""')}"` : cell
}

const QUOTES = ["needed", "all", "text"] as const
const NEWLINES = ["\r\n", "\n", "\r"] as const
const DELIMITERS = [",", "\t", ";", "|"]
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
const SAMPLE = 65_536
