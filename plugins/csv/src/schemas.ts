import type { Schema } from "../../shared/src/contract.ts"

/** How the file is written, as far as it is regular. */
export const DOCUMENT: Schema = {
  "x-lix-key": "lix_plugin_csv_document",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    delimiter: { type: "string", description: "Between cells." },
    newline: { type: "string", description: "How rows end, unless they say otherwise." },
    final_newline: { type: "boolean", description: "The last row ends as well." },
    quote: {
      type: "string",
      enum: ["needed", "text", "all"],
      description: "Which cells are in quotes: where it is needed, also what is no number, all.",
    },
    bom: { type: "boolean", description: "UTF-8's byte order mark comes first." },
    encoding: { type: "string", description: "`bytes`: not UTF-8, each character is one byte." },
  },
  required: ["delimiter", "newline", "final_newline", "quote"],
  additionalProperties: false,
}

const LINE = {
  raw: { type: "string", description: "How it is written, if not as the others." },
  newline: { type: "string", description: "How it ends, if not as the others." },
}

/** The first row. */
export const HEADER: Schema = {
  "x-lix-key": "lix_plugin_csv_header",
  "x-lix-version": "1.0",
  type: "object",
  properties: { columns: { type: "array", items: { type: "string" } }, ...LINE },
  required: ["columns"],
  additionalProperties: false,
}

export const ROW: Schema = {
  "x-lix-key": "lix_plugin_csv_row",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    cells: { type: "array", items: { type: "string" }, description: "In the order of the columns." },
    order: { type: "string", description: "Rows are sorted by it, by code unit." },
    ...LINE,
  },
  required: ["cells", "order"],
  additionalProperties: false,
}
