/** Ours: all of it is SQL through `exec` (docs/sql-reference.md), whatever the engine runs in. */

export function lixOver(engine) {
  const rows = async (sql, params) => (await engine.exec(sql, params)).rows

  return {
    insert: ({ key, value }) => engine.exec(INSERT, [key, value]),

    insertAll(all) {
      const places = all.map(() => "(?, ?)")
      return engine.exec(`insert into key_value (key, value) values ${places}`, all.flatMap(({ key, value }) => [key, value]))
    },

    async insertEach(all) {
      await engine.exec("begin")
      for (const { key, value } of all) await engine.exec(INSERT, [key, value])
      await engine.exec("commit")
    },

    async read(key) {
      const [{ value }] = await rows("select value from key_value where key = ?", [key])
      return value
    },

    list: () => rows("select key, value from key_value"),

    update: (key, value) => engine.exec("update key_value set value = ? where key = ?", [value, key]),

    updateAll: (value) => engine.exec("update key_value set value = ? where key like 'key %'", [value]),

    remove: (key) => engine.exec("delete from key_value where key = ?", [key]),

    /** What it was, newest first. */
    async history(key) {
      const found = await rows(HISTORY, [key])
      return found.map(({ value }) => value)
    },

    async createVersion(name) {
      const [{ id }] = await rows("select id from lix_create_version(json_object('name', ?))", [name])
      return id
    },

    async activeVersion() {
      const [{ id }] = await rows("select lix_active_version_id() as id")
      return id
    },

    switchTo: (id) => rows("select version_id from lix_switch_version(json_object('to', ?))", [id]),

    merge: (source) => rows("select commit_id from lix_merge_version(json_object('source', ?))", [source]),

    checkpoint: () => rows("select id from lix_create_checkpoint()"),

    /** How many key values differ from the last checkpoint. */
    async workingDiff() {
      const found = await rows("select * from lix_working_diff() where schema_key = 'lix_key_value' and status <> 'unchanged'")
      return found.length
    },

    rebuild: () => rows("select table_name, row_count from lix_rebuild()"),

    export: async () => new Uint8Array(await engine.export()),

    close: () => engine.close(),
  }
}

const INSERT = "insert into key_value (key, value) values (?, ?)"
const HISTORY = `select value from key_value_history
  where key = ? and lixcol_root_commit_id = (select commit_id from version where id = lix_active_version_id())
  order by lixcol_depth`
