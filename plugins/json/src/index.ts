/**
 * JSON files: every value is an entity, whether it is a property, an item or the whole.
 *
 * `applyChanges` of what `detectChanges` found is the file, byte by byte, however it was formatted.
 * A change to one value changes one entity; so does an item inserted into an array.
 */

import { decode, encode, firstInvalidByte } from "../../shared/src/bytes.ts"
import { difference, entitiesBefore, ofSchema } from "../../shared/src/changes.ts"
import type { ApplyCall, DetectCall, LixPlugin, Snapshot } from "../../shared/src/contract.ts"
import { changedLeaves } from "./leaves.ts"
import { describe } from "./describe.ts"
import { parse } from "./parse.ts"
import { DOCUMENT, VALUE } from "./schemas.ts"
import { print } from "./print.ts"
import { treeOf } from "./tree.ts"

export const plugin: LixPlugin = {
  key: "lix-plugin-json",
  detectChangesGlob: "*.json",

  detectChanges(call: DetectCall) {
    const { text, bom } = textOf(call.after.data)
    const parsed = parse(text)
    const quick = changedLeaves(call, plugin.key, parsed)
    if (quick) return quick

    const rows = entitiesBefore(call, plugin.key)
    const [documents, values] = [ofSchema(rows, DOCUMENT), ofSchema(rows, VALUE)]
    const empty = call.after.data.length === 0
    const was = documents[0]?.snapshot_content
    const { document, entities } = describe(parsed, bom, was, treeOf(values))
    const next = new Map<string, Snapshot>(empty ? [] : [[ROOT, document]])
    return [...difference(DOCUMENT, documents, next), ...difference(VALUE, values, entities)]
  },

  applyChanges({ changes }: ApplyCall) {
    const document = ofSchema(changes, DOCUMENT)[0]?.snapshot_content
    const text = print(document ?? {}, treeOf(ofSchema(changes, VALUE)))
    return { fileData: encode({ text, bom: document?.["bom"] === true, encoding: "utf-8" }) }
  },
}

export default plugin

const ROOT = "#"

function textOf(data: Uint8Array): { text: string; bom: boolean } {
  const { text, bom, encoding } = decode(data)
  if (encoding === "bytes") {
    throw new Error(`invalid JSON: it is not UTF-8 from about byte ${firstInvalidByte(data)} on`)
  }
  return { text, bom }
}
