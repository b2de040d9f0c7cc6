import type { Schema } from "../../shared/src/contract.ts"

/** What is said about the file as a whole. */
export const DOCUMENT: Schema = {
  "x-lix-key": "lix_plugin_text_document",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    newline: { type: "string", description: "How lines end, unless they say otherwise." },
    final_newline: { type: "boolean", description: "The last line ends as well." },
    bom: { type: "boolean", description: "UTF-8's byte order mark comes first." },
    encoding: { type: "string", description: "`bytes`: not UTF-8, each character is one byte." },
  },
  required: ["newline", "final_newline"],
  additionalProperties: false,
}

export const LINE: Schema = {
  "x-lix-key": "lix_plugin_text_line",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    text: { type: "string", description: "Without its end." },
    order: { type: "string", description: "Lines are sorted by it, by code unit." },
    newline: { type: "string", description: "How it ends, if not as the others." },
  },
  required: ["text", "order"],
  additionalProperties: false,
}
