/** Ours: an engine in a worker, with the plugins of this repository as text. All of it is SQL through `exec`. */

export async function openOurs(plugins, image) {
  const host = await import("/lix/standalone.js")
  const expProvideStringifiedPlugins = await Promise.all(plugins.map(source))
  const engine = host.createWorkerEngine({ expProvideStringifiedPlugins })
  await engine.init({ lix: true, ...(image && { blob: image.buffer }) })

  return {
    insertFile: (path, data) => engine.exec("insert into file (path, data) values (?, ?)", [path, data]),

    updateFile: (path, data) => engine.exec("update file set data = ? where path = ?", [data, path]),

    async readFile(path) {
      const { rows } = await engine.exec("select data from file where path = ?", [path])
      return rows[0].data
    },

    /** How many entities the plugin made of a file. */
    async entities(path) {
      const { rows } = await engine.exec(ENTITIES, [path])
      return rows[0].count
    },

    export: async () => new Uint8Array(await engine.export()),

    close: () => engine.close(),
  }
}

/** A new path in OPFS, to the answer of the first query. */
export async function openOursStored(path) {
  const [host, { openLix }] = await Promise.all([import("/lix/standalone.js"), import("/ours/lix.js")])
  const lix = await openLix({ engine: host.createWorkerOpfsEngine({ path }) })
  await lix.db.selectFrom("version").select("id").execute()
  return lix
}

async function source(plugin) {
  const response = await fetch(`/plugins/${plugin}/index.js`)
  if (!response.ok) throw new Error(`there is no plugin ${plugin}`)
  return response.text()
}

const ENTITIES = `select count(*) as count from state
  where file_id = (select id from file where path = ?) and schema_key <> 'lix_file_descriptor'`
