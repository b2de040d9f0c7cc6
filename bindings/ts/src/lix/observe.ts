/**
 * Queries that tell when their rows change.
 *
 * The engine says what a result depends on, so a commit makes those queries run again whose rows it may have changed,
 * and no others. Of one query one run is under way at a time, and at most one in a frame, however many commits there
 * are; it waits for open transactions, and rows that are the same as before are told to nobody.
 *
 * What is absent: polling. Nothing runs while nobody subscribes.
 */

import type { CompiledQuery, Kysely, QueryExecutorProvider } from "kysely"
import { EngineError } from "../errors.js"
import { changedKeys, type ChangedKey } from "../changes.js"
import { alone } from "../kysely/driver.js"
import { parseJson } from "../kysely/json.js"
import type { EngineEvents, ExecResult, LixEngine, ReadSet } from "../types.js"
import { isSame } from "./same.js"

/** A query that can be observed: of Kysely's builder, `sql`, or compiled. */
export type ObservableQuery<Row> = CompiledQuery<Row> | { compile(executor: QueryExecutorProvider): CompiledQuery<Row> }

/** Options of `observe`. */
export interface ObserveOptions {
  /**
   * - `"array"` (default): all rows.
   * - `"first"`, `"firstOrThrow"`: a query of the builder gets `limit 1`. For `subscribeTakeFirst` and `subscribeTakeFirstOrThrow`.
   */
  mode?: "array" | "first" | "firstOrThrow" | undefined
}

/** Who is told. What a function throws is reported like any uncaught error. */
export interface LixObserver<Value> {
  next?: ((value: Value) => void) | undefined
  /** The query failed; nothing more will come. Without it the error is reported like any uncaught one. */
  error?: ((error: unknown) => void) | undefined
  /** The lix was closed; nothing more will come. */
  complete?: (() => void) | undefined
}

/** What `subscribe` returns. */
export interface LixSubscription {
  /** Ends it; further calls do nothing. */
  unsubscribe(): void
  readonly closed: boolean
}

/**
 * The rows of a query, now and after every change. Whoever subscribes is told the rows once they are there, and again
 * whenever they are different. Observing the same query twice gives the same observable.
 */
export interface LixObservable<Row> {
  subscribe(observer: LixObserver<Row[]> | ((rows: Row[]) => void)): LixSubscription
  /** The first row, undefined if there is none. */
  subscribeTakeFirst(observer: LixObserver<Row | undefined> | ((row: Row | undefined) => void)): LixSubscription
  /** The first row. While there is none, `error` is called, and the subscription goes on. */
  subscribeTakeFirstOrThrow(observer: LixObserver<Row> | ((row: Row) => void)): LixSubscription
  [Symbol.observable](): LixObservable<Row>
}

declare global {
  interface SymbolConstructor {
    /** What libraries for observables look for. */
    readonly observable: symbol
  }
}

// The symbol of the language, should there be one some day, stays.
;(Symbol as { observable?: symbol }).observable ??= Symbol.for("observable")

/** All observed queries of a lix. */
export class Observer {
  /** Those that somebody subscribes to. */
  readonly #active = new Set<Observed<unknown>>()
  /** Those that somebody may subscribe to, as long as anybody has them. */
  readonly #known = new Map<string, WeakRef<Observed<unknown>>>()
  readonly #gone = new FinalizationRegistry<string>((key) => {
    if (!this.#known.get(key)?.deref()) this.#known.delete(key)
  })
  readonly #engine: LixEngine
  readonly #db: Kysely<never>
  #stop: (() => void) | undefined
  #closed = false

  constructor(engine: LixEngine, db: Kysely<never>) {
    this.#engine = engine
    this.#db = db
  }

  observe<Row>(query: ObservableQuery<Row>, { mode = "array", ...unknown }: ObserveOptions = {}): LixObservable<Row> {
    if (!MODES.includes(mode)) throw new EngineError("INVALID", "OPTION_INVALID", `mode is ${String(mode)}, not one of: ${MODES.join(", ")}`, { subject: "mode" })
    const [option] = Object.keys(unknown)
    if (option !== undefined) throw new EngineError("INVALID", "OPTION_INVALID", `observe has no option ${option}`, { subject: option })
    const { sql, parameters } = this.#compiled(query, mode !== "array")
    const key = JSON.stringify([mode, sql, parameters.map(keyed)])
    const known = this.#known.get(key)?.deref()
    if (known) return known as unknown as LixObservable<Row>
    const observed = new Observed<Row>(this, sql, [...parameters])
    this.#known.set(key, new WeakRef(observed as Observed<unknown>))
    this.#gone.register(observed, key)
    return observed
  }

  /** Tells every subscriber that nothing more comes. */
  close(): void {
    this.#closed = true
    for (const observed of [...this.#active]) observed.complete()
  }

  /** @internal */
  activate(observed: Observed<unknown>): void {
    this.#active.add(observed)
    if (this.#closed) return observed.fail(new EngineError("LIFECYCLE", "CLOSED", "the lix is closed"))
    this.#stop ??= this.#listen()
    observed.run()
  }

  /** @internal */
  deactivate(observed: Observed<unknown>): void {
    this.#active.delete(observed)
    if (this.#active.size > 0) return
    this.#stop?.()
    this.#stop = undefined
  }

  /** Runs outside of transactions; undefined if a statement that is not Kysely's has opened one. @internal */
  async run<Row>(sql: string, parameters: readonly unknown[]): Promise<ExecResult<Row> | undefined> {
    const result = await alone(this.#engine, () => this.#engine.exec<Row>(sql, parameters, { reportReads: true }))
    if (result.state.inTransaction) return undefined
    await parseJson(result.rows, result.columns)
    return result
  }

  #listen(): () => void {
    const stopCommits = this.#engine.on("commit", (event) => {
      for (const observed of [...this.#active]) observed.changed(event)
    })
    const stopClosed = this.#engine.on("closed", ({ error }) => {
      for (const observed of [...this.#active]) observed.fail(error)
    })
    return () => {
      stopCommits()
      stopClosed()
    }
  }

  #compiled<Row>(query: ObservableQuery<Row>, first: boolean): CompiledQuery<Row> {
    if (!("compile" in query)) return query
    if (first && "limit" in query && typeof query.limit === "function") query = query.limit(1) as typeof query
    return query.compile(this.#db)
  }
}

/** A query with its subscribers. */
class Observed<Row> implements LixObservable<Row> {
  readonly #observer: Observer
  readonly #sql: string
  readonly #parameters: readonly unknown[]
  readonly #subscribers = new Set<Subscriber<Row>>()
  #result: { readonly rows: Row[]; readonly on: Dependencies } | undefined
  /** Counts the times that nobody was left: runs of an earlier time are of no use. */
  #time = 0
  #isActive = false
  #running = false
  /** Commits that came while a run was under way. */
  #missed: Commit[] = []
  #skipped = false
  /** When the newest run ended. */
  #ranAt = -Infinity
  #later: ReturnType<typeof setTimeout> | undefined

  constructor(observer: Observer, sql: string, parameters: readonly unknown[]) {
    this.#observer = observer
    this.#sql = sql
    this.#parameters = parameters
  }

  subscribe(observer: LixObserver<Row[]> | ((rows: Row[]) => void)): LixSubscription {
    return this.#subscribe(observer, (rows, { next }) => next?.(rows))
  }

  subscribeTakeFirst(observer: LixObserver<Row | undefined> | ((row: Row | undefined) => void)): LixSubscription {
    return this.#subscribe(observer, ([row], { next }) => next?.(row))
  }

  subscribeTakeFirstOrThrow(observer: LixObserver<Row> | ((row: Row) => void)): LixSubscription {
    return this.#subscribe(observer, (rows, { next, error }) => {
      if (rows.length > 0) return next?.(rows[0]!)
      const none = new EngineError("INVALID", "NO_ROWS", "Query returned no rows", { sql: this.#sql })
      if (!error) throw none
      error(none)
    })
  }

  [Symbol.observable](): this {
    return this
  }

  changed(commit: Commit): void {
    if (this.#running) this.#missed.push(commit)
    else if (this.#later === undefined && this.#result?.on.includes(commit) !== false) this.#runSoon()
  }

  run(): void {
    if (this.#running) return
    this.#cancel()
    this.#running = true
    this.#runOnce().catch((error: unknown) => this.fail(error))
  }

  fail(error: unknown): void {
    this.#end((subscriber) => subscriber.fail(error))
  }

  complete(): void {
    this.#end((subscriber) => subscriber.complete())
  }

  #subscribe<Value>(observer: LixObserver<Value> | ((value: Value) => void), emit: (rows: Row[], observer: LixObserver<Value>) => void): LixSubscription {
    const object = (typeof observer === "function" ? { next: observer } : observer) as LixObserver<unknown>
    const subscriber: Subscriber<Row> = new Subscriber<Row>(object, emit as never, () => this.#unsubscribe(subscriber))
    this.#subscribers.add(subscriber)
    // Not before the caller has its subscription.
    if (!this.#isActive) queueMicrotask(() => this.#activate())
    else if (this.#result) {
      const { rows } = this.#result
      // Not if there is news by then.
      queueMicrotask(() => subscriber.isNew && subscriber.next(rows))
    }
    return subscriber
  }

  #activate(): void {
    if (this.#isActive || this.#subscribers.size === 0) return
    this.#isActive = true
    this.#observer.activate(this as Observed<unknown>)
  }

  #unsubscribe(subscriber: Subscriber<Row>): void {
    if (!this.#subscribers.delete(subscriber) || this.#subscribers.size > 0) return
    this.#release()
  }

  /** At once, unless it has just run: many commits in a row make one run now and then. */
  #runSoon(): void {
    const waitMs = this.#ranAt + PAUSE_MS - performance.now()
    if (waitMs <= 0) this.run()
    else this.#later = setTimeout(() => this.run(), waitMs)
  }

  #cancel(): void {
    clearTimeout(this.#later)
    this.#later = undefined
  }

  async #runOnce(): Promise<void> {
    const time = this.#time
    let result
    try {
      result = await this.#observer.run<Row>(this.#sql, this.#parameters)
    } catch (error) {
      if (time === this.#time) throw error
      return
    }
    if (time !== this.#time) return
    this.#running = false
    this.#ranAt = performance.now()
    const missed = this.#missed
    this.#missed = []
    // Rows that may be rolled back. What ends such a transaction may be no commit.
    if (!result) {
      this.#later = setTimeout(() => this.run(), RETRY_MS)
      return
    }
    const { rows, reads, state } = result
    const on = new Dependencies(reads)
    const isOutdated = missed.some((commit) => commit.commitSeq > state.commitSeq && on.includes(commit))
    const before = this.#result
    this.#result = { rows, on }
    // Rows that are outdated already are skipped once, and not twice: under constant writes some are told.
    this.#skipped = isOutdated && !this.#skipped
    if (this.#skipped) this.#result = before
    else if (!before || !isSame(before.rows, rows)) for (const subscriber of [...this.#subscribers]) subscriber.next(rows)
    else this.#result = { rows: before.rows, on }
    if (isOutdated && this.#subscribers.size > 0 && !this.#running) this.#runSoon()
  }

  /** Whoever subscribes afterwards begins anew. */
  #end(tell: (subscriber: Subscriber<Row>) => void): void {
    const subscribers = [...this.#subscribers]
    this.#subscribers.clear()
    this.#release()
    subscribers.forEach(tell)
  }

  #release(): void {
    this.#time++
    this.#isActive = false
    this.#running = false
    this.#missed = []
    this.#result = undefined
    this.#cancel()
    this.#observer.deactivate(this as Observed<unknown>)
  }
}

/** One who is told, until it is over. */
class Subscriber<Row> implements LixSubscription {
  closed = false
  /** It was told nothing yet. */
  isNew = true
  readonly #observer: LixObserver<unknown>
  readonly #emit: (rows: Row[], observer: LixObserver<unknown>) => void
  readonly #leave: () => void

  constructor(observer: LixObserver<unknown>, emit: (rows: Row[], observer: LixObserver<unknown>) => void, leave: () => void) {
    this.#observer = observer
    this.#emit = emit
    this.#leave = leave
  }

  unsubscribe(): void {
    this.closed = true
    this.#leave()
  }

  next(rows: Row[]): void {
    if (this.closed) return
    this.isNew = false
    guarded(() => this.#emit(rows, this.#observer))
  }

  fail(error: unknown): void {
    if (this.closed) return
    this.closed = true
    guarded(() => {
      if (!this.#observer.error) throw error
      this.#observer.error(error)
    })
  }

  complete(): void {
    if (this.closed) return
    this.closed = true
    guarded(() => this.#observer.complete?.())
  }
}

type Commit = EngineEvents["commit"]

/** What a result depends on, so that a long list of changes is compared with a long list of reads in no time. */
class Dependencies {
  readonly #any: boolean
  /** By schema and by entity; "" is any. */
  readonly #reads = new Map<string, Map<string, ReadSet["reads"][number][]>>()

  /** Without what was read it depends on everything. */
  constructor(reads: ReadSet | undefined) {
    this.#any = !reads || reads.anyCommit
    for (const read of reads?.reads ?? []) {
      const ofSchema = this.#reads.get(read.schemaKey) ?? new Map<string, ReadSet["reads"][number][]>()
      this.#reads.set(read.schemaKey, ofSchema)
      const ofEntity = ofSchema.get(read.entityId)
      if (ofEntity) ofEntity.push(read)
      else ofSchema.set(read.entityId, [read])
    }
  }

  /** Whether a commit may change the result. */
  includes(commit: Commit): boolean {
    if (this.#any || commit.truncated || commit.anyRead) return true
    return changedKeys(commit)?.some((key) => this.#includesKey(key)) ?? true
  }

  #includesKey(key: ChangedKey): boolean {
    for (const schema of [key.schema_key, ""]) {
      const ofSchema = this.#reads.get(schema)
      if (!ofSchema) continue
      for (const entity of [key.entity_id, ""]) {
        const isRead = ofSchema.get(entity)?.some(
          ({ versionId, fileId }) => (versionId === "" || versionId === key.version_id) && (fileId === "" || fileId === key.file_id),
        )
        if (isRead) return true
      }
    }
    return false
  }
}

/** What tells parameters apart that JSON would write alike. */
function keyed(parameter: unknown): unknown {
  if (ArrayBuffer.isView(parameter)) return ["bytes", ...new Uint8Array(parameter.buffer, parameter.byteOffset, parameter.byteLength)]
  if (parameter instanceof ArrayBuffer) return ["bytes", ...new Uint8Array(parameter)]
  return [typeof parameter, String(parameter)]
}

/** What a subscriber throws is its owner's business. */
function guarded(call: () => void): void {
  try {
    call()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

const MODES: readonly string[] = ["array", "first", "firstOrThrow"]
/** The least time between two runs of a query: a frame. */
const PAUSE_MS = 16
/** How long a transaction that nobody tells about is left alone. */
const RETRY_MS = 50
