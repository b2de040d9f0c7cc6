/** npm's `@lix-js/sdk` 0.5.1, as its README shows it: in memory, in the thread that calls. */

import { createCheckpoint, createVersion, InMemoryEnvironment, mergeVersion, openLix, selectWorkingDiff, switchVersion } from "/peers/sdk-05.js"

export async function openSdk05(image) {
  const lix = await openLix({ environment: new InMemoryEnvironment(), ...(image && { blob: new Blob([image]) }) })
  const { db } = lix

  return {
    insert: (row) => db.insertInto("key_value").values(row).execute(),

    insertAll: (rows) => db.insertInto("key_value").values(rows).execute(),

    insertEach: (rows) =>
      db.transaction().execute(async (transaction) => {
        for (const row of rows) await transaction.insertInto("key_value").values(row).execute()
      }),

    async read(key) {
      const { value } = await db.selectFrom("key_value").where("key", "=", key).select("value").executeTakeFirstOrThrow()
      return value
    },

    list: () => db.selectFrom("key_value").select(["key", "value"]).execute(),

    update: (key, value) => db.updateTable("key_value").where("key", "=", key).set({ value }).execute(),

    updateAll: (value) => db.updateTable("key_value").where("key", "like", "key %").set({ value }).execute(),

    remove: (key) => db.deleteFrom("key_value").where("key", "=", key).execute(),

    /** What it was, newest first. */
    async history(key) {
      const { commit_id } = await tip()
      const rows = await db
        .selectFrom("key_value_history")
        .where("key", "=", key)
        .where("lixcol_root_commit_id", "=", commit_id)
        .orderBy("lixcol_depth")
        .select("value")
        .execute()
      return rows.map(({ value }) => value)
    },

    async createVersion(name) {
      const { id } = await createVersion({ lix, name })
      return id
    },

    async activeVersion() {
      const { version_id } = await db.selectFrom("active_version").select("version_id").executeTakeFirstOrThrow()
      return version_id
    },

    switchTo: (id) => switchVersion({ lix, to: { id } }),

    merge: (source) => mergeVersion({ lix, source: { id: source } }),

    checkpoint: () => createCheckpoint({ lix }),

    /** How many key values differ from the last checkpoint. */
    async workingDiff() {
      const rows = await selectWorkingDiff({ lix }).where("schema_key", "=", "lix_key_value").where("status", "!=", "unchanged").selectAll().execute()
      return rows.length
    },

    async export() {
      return new Uint8Array(await (await lix.toBlob()).arrayBuffer())
    },

    close: () => lix.close(),
  }

  function tip() {
    return db.selectFrom("version").innerJoin("active_version", "active_version.version_id", "version.id").select("version.commit_id").executeTakeFirstOrThrow()
  }
}
