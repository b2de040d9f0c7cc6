import type { Schema } from "../../shared/src/contract.ts"

/** What is said about the file as a whole. */
export const DOCUMENT: Schema = {
  "x-lix-key": "lix_plugin_markdown_document",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    newline: { type: "string", description: "How lines end." },
    end: { type: "string", description: "What comes after the last block." },
    bom: { type: "boolean", description: "UTF-8's byte order mark comes first." },
    encoding: { type: "string", description: "`bytes`: not UTF-8, each character is one byte." },
  },
  required: ["newline", "end"],
  additionalProperties: false,
}

/** A heading, a paragraph, a list, a table, … */
export const BLOCK: Schema = {
  "x-lix-key": "lix_plugin_markdown_block",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    type: { type: "string", description: "As in mdast: paragraph, heading, code, list, yaml, …" },
    text: { type: "string", description: "The source, lines ending in \\n." },
    order: { type: "string", description: "Blocks are sorted by it, by code unit." },
    before: {
      type: "string",
      description: "What separates it from the block before, if not one empty line.",
    },
    exact: { type: "boolean", description: "Lines of `text` end as they do there, not as the document says." },
  },
  required: ["type", "text", "order"],
  additionalProperties: false,
}
