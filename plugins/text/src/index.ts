/**
 * Text files: every line is an entity that keeps its id when it is edited or moved.
 *
 * `applyChanges` of what `detectChanges` found is the file, byte by byte: also with mixed line ends,
 * without an end at the end, and when it is no UTF-8.
 */

import { decode, encode } from "../../shared/src/bytes.ts"
import { difference, entitiesBefore, ofSchema } from "../../shared/src/changes.ts"
import type { ApplyCall, DetectCall, EntityRow, LixPlugin, Snapshot } from "../../shared/src/contract.ts"
import { identify, inOrder } from "../../shared/src/items.ts"
import { matchSequences } from "../../shared/src/sequence.ts"
import { DOCUMENT, LINE } from "./schemas.ts"

export const plugin: LixPlugin = {
  key: "lix-plugin-text",
  detectChangesGlob: "*.txt",

  detectChanges(call: DetectCall) {
    const rows = entitiesBefore(call, plugin.key)
    const before = linesOf(rows)
    const { document, lines } = read(call.after.data)
    const [old, texts] = [before, lines].map((all) => all.map((line) => line.text)) as [string[], string[]]
    const identified = identify(before, texts, matchSequences(old, texts, { positional: true }))
    const next = new Map<string, Snapshot>()
    lines.forEach(({ text, newline }, index) => {
      const { id, order } = identified[index]!
      const usual = newline === document?.["newline"] || (newline === "" && index === lines.length - 1)
      next.set(id, usual ? { text, order } : { text, order, newline })
    })
    return [
      ...difference(DOCUMENT, ofSchema(rows, DOCUMENT), new Map(document ? [[DOCUMENT_ID, document]] : [])),
      ...difference(LINE, ofSchema(rows, LINE), next),
    ]
  },

  applyChanges({ changes }: ApplyCall) {
    const document = ofSchema(changes, DOCUMENT)[0]?.snapshot_content ?? {}
    const newline = String(document["newline"] ?? "\n")
    const lines = linesOf(changes)
    const text = lines.map((line, index) => {
      const last = index === lines.length - 1
      return line.text + (last && document["final_newline"] !== true ? "" : (line.newline ?? newline))
    })
    const encoding = document["encoding"] === "bytes" ? "bytes" : "utf-8"
    return { fileData: encode({ text: text.join(""), bom: document["bom"] === true, encoding }) }
  },
}

export default plugin

const DOCUMENT_ID = "document"

interface Line {
  id: string
  order: string | undefined
  text: string
  newline: string | undefined
}

function linesOf(rows: readonly EntityRow[]): Line[] {
  return inOrder(
    ofSchema(rows, LINE).map(({ entity_id, snapshot_content: { text, order, newline } }) => ({
      id: entity_id,
      order: order === undefined ? undefined : String(order),
      text: String(text),
      newline: newline === undefined ? undefined : String(newline),
    })),
  )
}

/** An empty file has no lines and is no document: there is nothing to say about it. */
function read(data: Uint8Array): { document: Snapshot | undefined; lines: { text: string; newline: string }[] } {
  if (data.length === 0) return { document: undefined, lines: [] }
  const { text, bom, encoding } = decode(data)
  const lines: { text: string; newline: string }[] = []
  const ends = new Map<string, number>()
  let from = 0
  for (const { 0: newline, index } of text.matchAll(/\r\n|\n|\r/g)) {
    lines.push({ text: text.slice(from, index), newline })
    ends.set(newline, (ends.get(newline) ?? 0) + 1)
    from = index + newline.length
  }
  const finalNewline = from > 0 && from === text.length
  if (from < text.length) lines.push({ text: text.slice(from), newline: "" })
  const [usual] = [...ends].sort((a, b) => b[1] - a[1])[0] ?? ["\n"]
  const document = {
    newline: usual,
    final_newline: finalNewline,
    ...(bom ? { bom } : {}),
    ...(encoding === "bytes" ? { encoding } : {}),
  }
  return { document, lines }
}
