/** The peers' page: their calls by name. */

import { openCalls } from "/shared/calls.js"

export async function openPeer(kind, path) {
  const { call, terminate } = openCalls(new URL("./peer-worker.js", import.meta.url))
  await call({ call: "open", kind, path })
  return {
    exec: (sql, params) => call({ call: "exec", sql, params }),
    /** Resolves when everything committed is stored; at once where it already is. */
    save: () => call({ call: "save" }),
    /** Stores nothing: what was not saved is gone. */
    async close() {
      await call({ call: "close" })
      terminate()
    },
  }
}
