/**
 * Markdown files: every top-level block is an entity that keeps its id when it is edited or moved.
 *
 * Blocks are kept as they are written, so `applyChanges` of what `detectChanges` found is the file,
 * byte by byte.
 */

import { decode, encode } from "../../shared/src/bytes.ts"
import { difference, entitiesBefore, ofSchema } from "../../shared/src/changes.ts"
import type { ApplyCall, DetectCall, EntityRow, LixPlugin, Snapshot } from "../../shared/src/contract.ts"
import { identify, inOrder } from "../../shared/src/items.ts"
import { matchSequences } from "../../shared/src/sequence.ts"
import { type Block, blocksOf } from "./blocks.ts"
import { BLOCK, DOCUMENT } from "./schemas.ts"

export const plugin: LixPlugin = {
  key: "lix-plugin-markdown",
  detectChangesGlob: "*.md",

  detectChanges(call: DetectCall) {
    const rows = entitiesBefore(call, plugin.key)
    const old = blockRows(rows)
    const { document, blocks } = read(call.after.data)
    const [was, now] = [old, blocks].map((all) => all.map((block) => block.text)) as [string[], string[]]
    // A heading in the place of a table is no edit of it, unless they say the same.
    const positional = (b: number, a: number): boolean => old[b]?.snapshot["type"] === blocks[a]?.["type"]
    const places = identify(old, now, matchSequences(was, now, { positional }))
    const next = new Map(blocks.map((block, index) => [places[index]!.id, { ...block, order: places[index]!.order }]))
    return [
      ...difference(DOCUMENT, ofSchema(rows, DOCUMENT), new Map(document ? [[DOCUMENT_ID, document]] : [])),
      ...difference(BLOCK, ofSchema(rows, BLOCK), next),
    ]
  },

  applyChanges({ changes }: ApplyCall) {
    const document = ofSchema(changes, DOCUMENT)[0]?.snapshot_content ?? {}
    const newline = document["newline"] === "\r\n" ? "\r\n" : "\n"
    const blocks = blockRows(changes)
    const parts = blocks.map(({ text, snapshot: { before, exact } }, index) => {
      const separator = typeof before === "string" ? before : index === 0 ? "" : newline + newline
      return separator + (exact === true ? text : text.replaceAll("\n", newline))
    })
    parts.push(String(document["end"] ?? (blocks.length > 0 ? newline : "")))
    const encoding = document["encoding"] === "bytes" ? "bytes" : "utf-8"
    return { fileData: encode({ text: parts.join(""), bom: document["bom"] === true, encoding }) }
  },
}

export default plugin

const DOCUMENT_ID = "document"

interface BlockRow {
  id: string
  order: string | undefined
  text: string
  snapshot: Snapshot
}

function blockRows(rows: readonly EntityRow[]): BlockRow[] {
  return inOrder(
    ofSchema(rows, BLOCK).map(({ entity_id, snapshot_content: snapshot }) => ({
      id: entity_id,
      order: typeof snapshot["order"] === "string" ? snapshot["order"] : undefined,
      text: String(snapshot["text"]),
      snapshot,
    })),
  )
}

interface BlockSnapshot extends Record<string, unknown> {
  type: string
  text: string
}

/** An empty file has no blocks and is no document: there is nothing to say about it. */
function read(data: Uint8Array): { document: Snapshot | undefined; blocks: BlockSnapshot[] } {
  if (data.length === 0) return { document: undefined, blocks: [] }
  const { text, bom, encoding } = decode(data)
  const { blocks, end } = blocksOf(text)
  const windows = (text.match(/\r\n/g) ?? []).length
  const newline = windows > 0 && windows * 2 >= (text.match(/\n|\r(?!\n)/g) ?? []).length ? "\r\n" : "\n"
  const document = {
    newline,
    end,
    ...(bom ? { bom } : {}),
    ...(encoding === "bytes" ? { encoding } : {}),
  }
  return { document, blocks: blocks.map((block, index) => describe(block, index, newline)) }
}

function describe({ type, before, text }: Block, index: number, newline: string): BlockSnapshot {
  const usual = before === (index === 0 ? "" : newline + newline)
  const plain = text.replaceAll(newline, "\n")
  const exact = plain.replaceAll("\n", newline) !== text
  return {
    type,
    text: exact ? text : plain,
    ...(usual ? {} : { before }),
    ...(exact ? { exact } : {}),
  }
}
