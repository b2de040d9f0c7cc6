/** npm's `@lix-js/sdk` 0.5.1, as its README shows it: in memory, in the thread that calls, with the JSON plugin it has. */

import { InMemoryEnvironment, mockJsonPlugin, OpfsSahEnvironment, openLix } from "/peers/sdk-05.js"

export async function openSdk05(image) {
  const lix = await openLix({
    environment: new InMemoryEnvironment(),
    providePlugins: [mockJsonPlugin],
    ...(image && { blob: new Blob([image]) }),
  })
  const { db } = lix

  return {
    insertFile: (path, data) => db.insertInto("file").values({ path, data }).execute(),

    updateFile: (path, data) => db.updateTable("file").where("path", "=", path).set({ data }).execute(),

    async readFile(path) {
      const { data } = await db.selectFrom("file").where("path", "=", path).select("data").executeTakeFirstOrThrow()
      return data
    },

    async entities(path) {
      const { id } = await db.selectFrom("file").where("path", "=", path).select("id").executeTakeFirstOrThrow()
      const rows = await db.selectFrom("state").where("file_id", "=", id).where("schema_key", "=", "mock_json_property").select("entity_id").execute()
      return rows.length
    },

    async export() {
      return new Uint8Array(await (await lix.toBlob()).arrayBuffer())
    },

    close: () => lix.close(),
  }
}

/** A new path in OPFS, to the answer of the first query. */
export async function openSdk05Stored(key) {
  const lix = await openLix({ environment: new OpfsSahEnvironment({ key }) })
  await lix.db.selectFrom("version").select("id").execute()
  return {
    // It has room for five paths in an origin.
    async close() {
      await lix.close()
      await OpfsSahEnvironment.clear()
    },
  }
}
