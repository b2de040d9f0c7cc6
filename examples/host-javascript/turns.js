// Who may use the connection. Statements run in the order of their calls; while a transaction runs, only its own do, and the
// others wait, but not forever.
import { LixError, cancelled } from "./errors.js"

export class Turns {
  /** @type {number} how many transactions this is inside of */
  depth
  #busyTimeoutMs
  /** @type {Turns | undefined} */
  #parent
  /** @type {Turns | undefined} the transaction that runs */
  #inner
  /** @type {Set<() => void>} calls that wait, in order */
  #waiting = new Set()

  /** @param {number} busyTimeoutMs @param {Turns} [parent] */
  constructor(busyTimeoutMs, parent) {
    this.#busyTimeoutMs = busyTimeoutMs
    this.#parent = parent
    this.depth = parent ? parent.depth + 1 : 0
  }

  /**
   * Resolves when a statement may run; nothing to wait for is undefined, so that it can be sent at once.
   *
   * @param {AbortSignal} [signal]
   * @returns {Promise<void> | undefined}
   */
  mine(signal) {
    if (this.#busy()) return this.#wait(() => {}, signal)
  }

  /**
   * Resolves to the turns inside of a new transaction, which holds up the others until its `end`.
   *
   * @returns {Promise<Turns>}
   */
  async take() {
    const inner = new Turns(this.#busyTimeoutMs, this)
    const start = () => void (this.#inner = inner)
    if (this.#busy()) await this.#wait(start)
    else start()
    return inner
  }

  /** The transaction has ended; the next ones go on. */
  end() {
    const parent = /** @type {Turns} */ (this.#parent)
    parent.#inner = undefined
    for (const go of parent.#waiting) {
      if (parent.#inner) break
      go()
    }
  }

  #busy() {
    if (this.#parent && this.#parent.#inner !== this) {
      throw new LixError("TRANSACTION", "NO_TRANSACTION", "the function of this transaction has ended")
    }
    return this.#inner !== undefined || this.#waiting.size > 0
  }

  /**
   * @param {() => void} start
   * @param {AbortSignal} [signal]
   * @returns {Promise<void>}
   */
  #wait(start, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled(signal))
      const leave = () => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", abort)
        this.#waiting.delete(go)
      }
      const go = () => (leave(), start(), resolve())
      const abort = () => (leave(), reject(cancelled(/** @type {AbortSignal} */ (signal))))
      const timer = setTimeout(() => {
        leave()
        const message = `a transaction has been running for ${this.#busyTimeoutMs} ms; inside of it, use the handle that its function gets`
        reject(new LixError("TRANSACTION", "BUSY", message, { retryable: true }))
      }, this.#busyTimeoutMs)
      signal?.addEventListener("abort", abort)
      this.#waiting.add(go)
    })
  }
}
