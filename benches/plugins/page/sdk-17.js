/** npm's `@lix-js/sdk` 0.17.0, as its README shows it: in memory, in a worker of its own, with the CSV plugin it brings. */

import { bundledPluginArchives, openLix } from "/peers/sdk-17.js"

export async function openSdk17(image) {
  const lix = image ? await openLix.fromSnapshot(image) : await openLix()
  if (!image) {
    const archives = await bundledPluginArchives()
    const { archiveBytes } = archives.find(({ key }) => key === "plugin_csv")
    await lix.execute(INSERT, ["/.lix/plugins/plugin_csv.lixplugin", archiveBytes])
  }

  return {
    insertFile: (path, data) => lix.execute(INSERT, [path, data]),

    updateFile: (path, data) => lix.execute("update lix_file set content = $1 where path = $2", [data, path]),

    async readFile(path) {
      const { rows } = await lix.execute("select content from lix_file where path = $1", [path])
      return rows[0].content
    },

    async entities(path) {
      const { rows } = await lix.execute(
        "select count(*) as count from csv_row where lixcol_file_id = (select id from lix_file where path = $1)",
        [path],
      )
      return Number(rows[0].count)
    },

    export: async () => new Uint8Array(await new Response(lix.exportSnapshot()).arrayBuffer()),

    close: () => lix.close(),
  }
}

/** It keeps nothing in the browser by itself: in memory, to the answer of the first query. */
export async function openSdk17New() {
  const lix = await openLix()
  await lix.execute("select path from lix_file")
  return lix
}

const INSERT = "insert into lix_file (path, content) values ($1, $2)"
