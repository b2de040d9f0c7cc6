import type { Schema } from "../../shared/src/contract.ts"

/** How the file is written, as far as it is regular. */
export const DOCUMENT: Schema = {
  "x-lix-key": "lix_plugin_json_document",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    newline: { type: "string", description: "What begins a line; empty: all is on one line." },
    indent: { type: "string", description: "One level of indentation." },
    separator: { type: "string", description: "What follows a comma, if all is on one line." },
    colon: {
      type: "array",
      items: { type: "string" },
      minItems: 2,
      maxItems: 2,
      description: "What stands before and after a colon.",
    },
    start: { type: "string", description: "What comes before the value." },
    end: { type: "string", description: "What comes after the value." },
    bom: { type: "boolean", description: "UTF-8's byte order mark comes first." },
  },
  required: ["newline", "indent", "separator", "colon", "start", "end"],
  additionalProperties: false,
}

/** One value: its entity id is its JSON pointer, `#` for the whole. */
export const VALUE: Schema = {
  "x-lix-key": "lix_plugin_json_value",
  "x-lix-version": "1.0",
  type: "object",
  properties: {
    value: {
      anyOf: [{ type: "string" }, { type: "number" }, { type: "boolean" }, { type: "null" }],
      description: "Of a string, number, boolean or null.",
    },
    container: {
      type: "string",
      enum: ["object", "array"],
      description: "Instead of a value: what is in it are entities of their own.",
    },
    order: { type: "string", description: "Siblings are sorted by it, by code unit." },
    raw: { type: "string", description: "How the value is spelled, if not as JSON.stringify would." },
    key: { type: "string", description: "How the property's name is spelled, if not as JSON.stringify would." },
    space: {
      type: "array",
      items: { type: "string" },
      description:
        "White space that is not as in the rest of the container: before, (before the colon, after the colon,) after.",
    },
    layout: {
      type: "array",
      items: { type: "string" },
      description:
        "White space in the container that is not as in the rest of the document: before the first item, before the others, at the end (, before colons, after colons); or one for all there is if it is empty.",
    },
  },
  required: [],
  additionalProperties: false,
}
