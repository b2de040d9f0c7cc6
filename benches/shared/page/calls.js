/**
 * A page's side of a plain worker: one promise per id, answers by structured clone.
 *
 * Not crippled: buffers are transferred, nothing is awaited twice.
 */

export function openCalls(url) {
  const worker = new Worker(url, { type: "module" })
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

  return {
    call(message, transfer) {
      return new Promise((resolve, reject) => {
        const id = ++lastId
        waiting.set(id, { resolve, reject })
        worker.postMessage({ id, ...message }, transfer)
      })
    },
    terminate: () => worker.terminate(),
  }
}
