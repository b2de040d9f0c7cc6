/**
 * CSV files: every row is an entity. Rows are known by a key column, if the file's metadata name one
 * (`unique_column`), else by what they are like and where they stand.
 *
 * `applyChanges` of what `detectChanges` found is the file, byte by byte.
 */

import { encode } from "../../shared/src/bytes.ts"
import { difference, entitiesBefore, ofSchema } from "../../shared/src/changes.ts"
import type { ApplyCall, DetectCall, LixPlugin, Snapshot } from "../../shared/src/contract.ts"
import {
  describe,
  DOCUMENT_ID,
  HEADER_ID,
  identifyRows,
  keyColumnOf,
  read,
  rowsOf,
  styleOf,
  texts,
  writtenAs,
} from "./document.ts"
import { changedRows } from "./few.ts"
import { writeCells } from "./read.ts"
import { DOCUMENT, HEADER, ROW } from "./schemas.ts"

export const plugin: LixPlugin = {
  key: "lix-plugin-csv",
  detectChangesGlob: "*.csv",

  detectChanges(call: DetectCall) {
    const few = changedRows(call, plugin.key)
    if (few) return few

    const rows = entitiesBefore(call, plugin.key)
    const before = rowsOf(rows)
    const documents = ofSchema(rows, DOCUMENT)
    const headers = ofSchema(rows, HEADER)
    const { style, document, lines } = read(call.after.data, documents[0]?.snapshot_content)
    const [header, ...body] = lines

    const nextHeader = new Map<string, Snapshot>()
    if (header) {
      const { cells: columns, ...own } = describe(header, style, body.length === 0)
      nextHeader.set(HEADER_ID, { columns, ...own })
    }
    const places = identifyRows(before, body, keyColumnOf(header, call))
    const nextRows = new Map<string, Snapshot>()
    body.forEach((row, index) => {
      const { id, order } = places[index]!
      nextRows.set(id, { ...describe(row, style, index === body.length - 1), order })
    })
    return [
      ...difference(DOCUMENT, documents, new Map(document ? [[DOCUMENT_ID, document]] : [])),
      ...difference(HEADER, headers, nextHeader),
      ...difference(ROW, ofSchema(rows, ROW), nextRows),
    ]
  },

  applyChanges({ changes }: ApplyCall) {
    const document = ofSchema(changes, DOCUMENT)[0]?.snapshot_content ?? {}
    const style = styleOf(document)
    const header = ofSchema(changes, HEADER)[0]?.snapshot_content
    const lines = rowsOf(changes).map(({ snapshot, cells }) => ({ snapshot, cells }))
    if (header) lines.unshift({ snapshot: header, cells: texts(header["columns"]) })
    const text = lines.map(({ snapshot: { raw, newline }, cells }, index) => {
      const last = index === lines.length - 1
      const end = last && !style.finalNewline ? "" : typeof newline === "string" ? newline : style.newline
      return (writtenAs(raw, cells, style) ?? writeCells(cells, style.delimiter, style.quote)) + end
    })
    const encoding = document["encoding"] === "bytes" ? "bytes" : "utf-8"
    return { fileData: encode({ text: text.join(""), bom: document["bom"] === true, encoding }) }
  },
}

export default plugin

