/** Plugins for tests, as the text of their modules. */

/** One entity per property of a JSON object. */
export const PROPERTIES = `
const schema = {
  "x-lix-key": "test_property",
  "x-lix-version": "1.0",
  type: "object",
  properties: { value: {} },
  required: ["value"],
  additionalProperties: false,
}

const read = (file) => (file && file.data.length > 0 ? JSON.parse(new TextDecoder().decode(file.data)) : {})

export const plugin = {
  key: "test-properties",
  detectChangesGlob: "*.json",
  detectChanges({ before, after }) {
    const [old, now] = [read(before), read(after)]
    const gone = Object.keys(old).filter((name) => !(name in now))
    const changed = Object.keys(now).filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]))
    return [
      ...gone.map((entity_id) => ({ entity_id, schema, snapshot_content: null })),
      ...changed.map((entity_id) => ({ entity_id, schema, snapshot_content: { value: now[entity_id] } })),
    ]
  },
  applyChanges({ changes }) {
    const object = Object.fromEntries(changes.map(({ entity_id, snapshot_content }) => [entity_id, snapshot_content.value]))
    return { fileData: new TextEncoder().encode(JSON.stringify(object)) }
  },
}
`

/** Reads while it is called: how many files there are, and how many entities of its own. */
export const READER = `
const schema = { "x-lix-key": "test_seen", "x-lix-version": "1.0", type: "object", properties: { files: { type: "integer" }, seen: { type: "integer" }, path: { type: "string" } }, additionalProperties: false }

export default {
  key: "test-reader",
  detectChangesGlob: "*.read",
  detectChanges({ after, querySync }) {
    const { files } = querySync("file").select((eb) => eb.fn.countAll().as("files")).executeTakeFirstOrThrow()
    const seen = querySync("state").where("plugin_key", "=", "test-reader").selectAll().execute().length
    const { path } = querySync("file").where("id", "=", after.id).select("path").executeTakeFirstOrThrow()
    return [{ entity_id: "seen", schema, snapshot_content: { files, seen, path } }]
  },
}
`

/** Does what the file says: loops, throws, waits, writes. */
export const RUNS = `
export default {
  key: "test-runs",
  detectChangesGlob: "*.run",
  detectChanges(input) {
    return new Function("input", new TextDecoder().decode(input.after.data))(input) ?? []
  },
}
`
