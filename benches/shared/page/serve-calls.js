/** The worker's side of a plain worker: one message per call, bytes are transferred. */

/** `loading` becomes an object of functions by the names of the calls. */
export function serveCalls(loading) {
  let calls
  onmessage = async ({ data: { id, call, ...options } }) => {
    try {
      calls ??= await loading
      const answer = calls[call](options)
      const result = answer instanceof Promise ? await answer : answer
      if (result instanceof Uint8Array) postMessage({ id, result }, [result.buffer])
      else postMessage({ id, result })
    } catch (error) {
      postMessage({ id, error: { name: error.name, message: error.message } })
    }
  }
}
