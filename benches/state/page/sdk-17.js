/** npm's `@lix-js/sdk` 0.17.0, as its README shows it: in memory, in a worker of its own. */

import { openLix, Value } from "/peers/sdk-17.js"

export async function openSdk17(image) {
  const lix = image ? await openLix.fromSnapshot(image) : await openLix()

  return {
    insert: ({ key, value }) => lix.execute(INSERT, [key, value]),

    insertAll(rows) {
      const places = rows.map((_, i) => `($${2 * i + 1}, $${2 * i + 2})`)
      return lix.execute(`insert into lix_key_value (key, value) values ${places}`, rows.flatMap(({ key, value }) => [key, value]))
    },

    async insertEach(rows) {
      const transaction = await lix.beginTransaction()
      for (const { key, value } of rows) await transaction.execute(INSERT, [key, value])
      await transaction.commit()
    },

    async read(key) {
      const { rows } = await lix.execute("select value from lix_key_value where key = $1", [key])
      return rows[0].value
    },

    list: async () => (await lix.execute("select key, value from lix_key_value")).rows,

    update: (key, value) => lix.execute("update lix_key_value set value = $1 where key = $2", [Value.jsonb(value), key]),

    updateAll: (value) => lix.execute("update lix_key_value set value = $1 where key like 'key %'", [Value.jsonb(value)]),

    remove: (key) => lix.execute("delete from lix_key_value where key = $1", [key]),

    /** What it was, newest first. */
    async history(key) {
      const { rows } = await lix.execute("select to_value from lix_history('lix_key_value') where key = $1 order by lixcol_position", [key])
      return rows.map(({ to_value }) => to_value)
    },

    createVersion: async (name) => (await lix.createBranch({ name })).id,

    activeVersion: () => lix.activeBranchId(),

    switchTo: (id) => lix.switchBranch({ branchId: id }),

    merge: (source) => lix.mergeBranch({ sourceBranchId: source }),

    checkpoint: () => lix.execute("select commit_id from lix_create_checkpoint()"),

    /** How many key values differ from the last checkpoint. */
    async workingDiff() {
      const { rows } = await lix.execute("select * from lix_diff('lix_key_value')")
      return rows.length
    },

    export: async () => new Uint8Array(await new Response(lix.exportSnapshot()).arrayBuffer()),

    close: () => lix.close(),
  }
}

const INSERT = "insert into lix_key_value (key, value) values ($1, $2)"
