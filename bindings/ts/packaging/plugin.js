// A plugin as somebody writes it: one module, no imports. The samples load it as text.

const schema = {
  "x-lix-key": "note",
  "x-lix-version": "1.0",
  type: "object",
  properties: { text: { type: "string" } },
  required: ["text"],
  additionalProperties: false,
}

export default {
  key: "notes",
  detectChangesGlob: "*.note",
  detectChanges: ({ after }) => [{ entity_id: "7", schema, snapshot_content: { text: new TextDecoder().decode(after.data) } }],
  applyChanges: ({ changes }) => ({ fileData: new TextEncoder().encode(changes[0].snapshot_content.text) }),
}
