/**
 * The baseline's page: one promise per id, rows by structured clone.
 *
 * Not crippled: a list of statements is one message, images are transferred, nothing is awaited twice.
 */

export function openBaseline() {
  const worker = new Worker(new URL("./baseline-worker.js", import.meta.url), { type: "module" })
  const waiting = new Map()
  let lastId = 0

  worker.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    if (error) reject(Object.assign(new Error(error.message), { name: error.name }))
    else resolve(result)
  }
  worker.onerror = ({ message }) => {
    for (const { reject } of waiting.values()) reject(new Error(message))
    waiting.clear()
  }

  function call(message, transfer) {
    return new Promise((resolve, reject) => {
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      worker.postMessage({ id, ...message }, transfer)
    })
  }

  return {
    /** Resolves when the worker and SQLite are there. */
    load: () => call({ call: "load" }),
    /** Opens an empty database, or one over an image, which is transferred. */
    init: (image) => call({ call: "open", image }, image && [image.buffer]),
    exec: (sql, params) => call({ call: "exec", sql, params }),
    execBatch: (statements) => call({ call: "batch", statements }),
    export: () => call({ call: "export" }),
    terminate: () => worker.terminate(),
  }
}
