/** The baseline's page: its calls by name. A list of statements is one message, images are transferred. */

import { openCalls } from "/shared/calls.js"

export function openBaseline() {
  const { call, terminate } = openCalls(new URL("./baseline-worker.js", import.meta.url))
  return {
    /** Resolves when the worker and SQLite are there. */
    load: () => call({ call: "load" }),
    /** Opens an empty database, or one over an image, which is transferred. */
    init: (image) => call({ call: "open", image }, image && [image.buffer]),
    exec: (sql, params) => call({ call: "exec", sql, params }),
    execBatch: (statements) => call({ call: "batch", statements }),
    export: () => call({ call: "export" }),
    terminate,
  }
}
