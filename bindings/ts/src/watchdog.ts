/**
 * Ends what a plugin holds up. An engine in a worker cannot interrupt JavaScript, but whoever has the worker can end
 * it: the worker says when the code of a plugin begins and when it is over, and one that is not over in time is bitten.
 */
export class Watchdog {
  readonly #timeoutMs: number
  readonly #bite: (plugin: string) => void
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(timeoutMs: number, bite: (plugin: string) => void) {
    this.#timeoutMs = timeoutMs
    this.#bite = bite
  }

  /** The code of this plugin begins; null: it is over. */
  heard(plugin: string | null): void {
    this.stop()
    if (plugin === null) return
    this.#timer = setTimeout(() => {
      // This thread may have been busy itself: the news of the end lies behind this timer then.
      this.#timer = setTimeout(() => this.#bite(plugin), GRACE_MS)
    }, this.#timeoutMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

const GRACE_MS = 100
