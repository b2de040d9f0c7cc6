/** What the checks on the page use: comparison, waiting with an end, and eyes on the traffic. */

import { EngineError, type LixEngine } from "../../../src/index.js"

export function same(actual: unknown, expected: unknown, what = ""): void {
  if (show(actual) !== show(expected)) throw new Error(`${what}\nexpected ${show(expected)}\n     got ${show(actual)}`)
}

export function ok(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what)
}

/** The promise, or an error after a while: nothing may wait forever, and least of all a test. */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: still waiting after ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** The promise rejects, soon, with a typed error that reads `CODE/REASON`. */
export async function rejects(promise: Promise<unknown>, expected: string | RegExp, what = ""): Promise<EngineError> {
  const error = await within(SOON_MS, failure(promise, what), what || String(expected))
  ok(isEngineError(error), `${what}: not an EngineError but ${String(error)}`)
  const named = `${error.code}/${error.reason}`
  ok(typeof expected === "string" ? named === expected : expected.test(named), `${what}: expected ${expected}, got ${named}: ${error.message}`)
  return error
}

/** What the promise rejects with. */
export async function failure(promise: Promise<unknown>, what = ""): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if ("error" in outcome) return outcome.error
  throw new Error(`${what}: expected a failure, got ${show(outcome.value)}`)
}

/** Some checks load the package a second time, or in a frame; its class is another one, of the same shape. */
function isEngineError(error: unknown): error is EngineError {
  return error instanceof EngineError || ((error as Error | undefined)?.name === "EngineError" && "reason" in (error as Error))
}

/** After a failure: later calls reject at once, `close()` resolves, nothing hangs. */
export async function isOver(engine: LixEngine): Promise<void> {
  await rejects(engine.exec("select 1"), /^LIFECYCLE\//, "a later exec")
  await rejects(engine.export(), /^LIFECYCLE\//, "a later export")
  await rejects(engine.execBatch([{ sql: "select 1" }]), /^LIFECYCLE\//, "a later batch")
  await rejects(engine.stream("select 1").batches().next(), /^LIFECYCLE\//, "a later stream")
  await within(SOON_MS, engine.close(), "close() of an engine that is over")
}

/** Every worker of this page from now on, what it is sent and what it sends. */
export interface Traffic {
  readonly workers: Worker[]
  readonly sent: Sent[]
  readonly received: { frame: ArrayBuffer; attachments?: ArrayBuffer[] }[]
  /** Messages since the last call of this function. */
  count(): { sent: number; received: number }
}

export interface Sent {
  readonly message: { frame: ArrayBuffer; attachments?: ArrayBuffer[] }
  readonly transfer: readonly Transferable[]
  /** The length of the frame before it was sent. */
  readonly size: number
}

/** Puts a counting class in the place of `Worker`; the page is thrown away after each check. */
export function watchTraffic(): Traffic {
  const Real = globalThis.Worker
  const traffic: Traffic = {
    workers: [],
    sent: [],
    received: [],
    count() {
      const now = { sent: traffic.sent.length, received: traffic.received.length }
      const since = { sent: now.sent - counted.sent, received: now.received - counted.received }
      counted = now
      return since
    },
  }
  let counted = { sent: 0, received: 0 }
  globalThis.Worker = class extends Real {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options)
      traffic.workers.push(this)
      this.addEventListener("message", ({ data }) => traffic.received.push(data))
    }
    override postMessage(message: Sent["message"], transfer: Transferable[] | StructuredSerializeOptions = []): void {
      const list = Array.isArray(transfer) ? transfer : (transfer.transfer ?? [])
      const size = message.frame.byteLength
      super.postMessage(message, list)
      traffic.sent.push({ message, transfer: list, size })
    }
  }
  return traffic
}

/**
 * Runs the work until it once took no task of 50 ms or more: a busy machine may take the processor
 * away from a short task, but what blocks the page by itself blocks it every time.
 */
export async function leavesPageAlone<T>(work: () => Promise<T>): Promise<string> {
  const rounds: number[][] = []
  while (rounds.length < 3) {
    rounds.push((await longTasks(work)).blocks)
    if (rounds.at(-1)!.length === 0) return rounds.length === 1 ? "" : `at the ${rounds.length}. try`
  }
  throw new Error(`tasks that blocked the page, in ms: ${rounds.map((blocks) => blocks.join(" ")).join("; ")}`)
}

/** The browser's own list of tasks of 50 ms or more, while the work went on. */
export async function longTasks<T>(work: () => Promise<T>): Promise<{ blocks: number[]; value: T }> {
  const entries: PerformanceEntry[] = []
  let wake = () => {}
  const observer = new PerformanceObserver((list) => {
    entries.push(...list.getEntries())
    wake()
  })
  observer.observe({ type: "longtask" })
  const value = await work()
  // One more, on purpose: when it is on the list, all the others are, and the list is no fiction.
  const sentinel = await new Promise<number>((resolve) => {
    setTimeout(() => {
      const started = performance.now()
      while (performance.now() < started + 60);
      resolve(started)
    })
  })
  const isSentinel = ({ startTime, duration }: PerformanceEntry) => startTime < sentinel + 2 && startTime + duration > sentinel + 50
  while (!entries.some(isSentinel)) await within(5_000, new Promise<void>((resolve) => (wake = resolve)), "the browser's list of long tasks")
  observer.disconnect()
  return { blocks: entries.filter((entry) => !isSentinel(entry)).map(({ duration }) => Math.round(duration)), value }
}

/** A statement that never ends by itself. */
export const ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

/** So many rows, made by SQLite. */
export function rows(count: number): string {
  return `with recursive n(i) as (select 1 union all select i + 1 from n limit ${count})`
}

function show(value: unknown): string {
  const tagged = (_: string, each: unknown): unknown =>
    typeof each === "bigint" ? `${each}n` : each === undefined ? "undefined" : each instanceof Uint8Array ? `bytes ${[...each]}` : each
  return JSON.stringify(value, tagged) ?? "undefined"
}

/** Long enough for a machine that does five other things, far too short for something that hangs. */
const SOON_MS = 5_000
