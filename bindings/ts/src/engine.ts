/**
 * The public engine over any transport: options in, results out.
 *
 * One statement is one message each way; on that path a call costs one promise and one small object.
 */

import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf"
import { commitOf } from "./changes.js"
import {
  decodeEvent, decodeExec, decodeExecBatch, decodeFetch, decodeWith, encodeCall, encodeExec, encodeExecBatch, encodeFetch, errorOf,
  expectOutcome, OUTCOME, type Envelope, type ExecBody, type Incoming, type RequestOptions,
} from "./codec.js"
import { applyPolicy, BatchData, checkBatch, ColumnBatch, ColumnData, type CellOptions } from "./columns.js"
import { EngineError, malformed, withFields } from "./errors.js"
import {
  AutosavePhase, Capability as WireCapability, CloseCursorRequestSchema, CloseRequestSchema, CommitDetail, Durability, EventKind as WireEventKind,
  ExportRequestSchema, ExportResponseSchema, InitRequestSchema, PluginFormat, type PluginSchema, InitResponseSchema, type LixKeyValueSchema, LogLevel, OpenMode as WireOpenMode, ResumeRequestSchema,
  SaveRequestSchema, SaveResponseSchema, StorageKind, SuspendRequestSchema, SuspendResponseSchema, type InitResponse, type Request,
} from "./gen/engine_pb.js"
import { followPage } from "./lifecycle.js"
import { OPENED } from "./opened.js"
import { isPersisted } from "./persist.js"
import type { LixPlugin } from "./plugins/plugin.js"
import { decodeRows, type Row } from "./rows.js"
import { later } from "./schedule.js"
import { SaveStatus } from "./status.js"
import { Watchdog } from "./watchdog.js"
import { cancelled, createTransport, transportClosed, type EnginePort, type Waiting } from "./transport.js"
import type {
  BatchOptions, BatchOutcome, Capability, CloseOptions, ColumnarResult, EngineEvents, EnginePhase, EngineStatus, ExecOptions, ExecResult, InitOptions,
  InitResult, IntegerPolicy, LixEngine, LixKeyValue, OpenMode, Params, ResultColumn, RowMode, RowStream, SessionState, Statement, StreamOptions,
} from "./types.js"

/**
 * An engine behind a port of your own: a worker that your bundler made, a `MessagePort` to a frame,
 * a stub in a test. `createWorkerEngine` and `createMainMemoryEngine` are this over their own ports.
 *
 * ```ts
 * const engine = createEngine(new Worker(new URL("lix-engine/worker", import.meta.url), { type: "module" }))
 * ```
 *
 * `options` are those of `init`, for whoever calls that without any.
 */
export function createEngine(port: EnginePort, options: InitOptions = {}): LixEngine {
  return new Engine(port, options) as unknown as LixEngine
}

class Engine {
  readonly #transport
  readonly #port: EnginePort
  readonly #options: InitOptions
  #watchdog: Watchdog | undefined
  readonly #listeners = new Map<string, Set<(event: never) => void>>()
  readonly #saves = new SaveStatus()
  #phase: EnginePhase = "new"
  #stopFollowing = () => {}
  /** The user's own `suspend`, which a page that comes back leaves alone. */
  #setAside = false
  #failure: EngineError | undefined
  #closing: Promise<void> | undefined
  #announced: readonly Capability[] = []
  #isStrict = false
  #defaults: Resolved = DEFAULTS

  constructor(port: EnginePort, options: InitOptions) {
    this.#options = options
    this.#port = port
    this.#transport = createTransport(port, {
      event: (bytes) => this.#onEvent(bytes),
      refused: (answer) => this.#onRefused(answer),
      plugin: (plugin) => this.#watchdog?.heard(plugin),
      lost: (error) => this.#onLost(error),
    })
  }

  get state(): SessionState {
    return this.#saves.merge(this.#transport.state)
  }

  status(): EngineStatus {
    return this.#saves.status(this.#phase, this.#transport.state)
  }

  init(own: InitOptions = {}): Promise<InitResult> {
    const options = { ...this.#options, ...own }
    if (this.#phase === "opening" || this.#phase === "ready") {
      return Promise.reject(new EngineError("LIFECYCLE", "ALREADY_INITIALIZED", "the engine is open already"))
    }
    if (this.#phase !== "new") return Promise.reject(this.#refusal())
    return new Promise((resolve, reject) => {
      const id = this.#transport.nextId()
      const defaults = resolveOptions({ integers: options.integers }, DEFAULTS)
      const plugins = [...pluginsOf(this.#options), ...pluginsOf(own)]
      const message = encodeInit(id, options, plugins)
      this.#preparePlugins(plugins, options.pluginTimeoutMs)
      this.#phase = "opening"
      this.#send(id, message, {
        settle: (answer) => {
          const response = decodeWith(answer, OUTCOME.init, (bytes) => fromBinary(InitResponseSchema, bytes))
          const result = initResult(response)
          this.#announced = result.capabilities.announced
          this.#defaults = defaults
          this.#isStrict = options.durability === "strict"
          if (this.#phase === "opening") this.#phase = "ready"
          OPENED.set(this, { isLix: result.schemaVersion !== undefined, events: options.events ?? [], commitDetail: options.commitDetail, plugins })
          this.#saves.opened(result.capabilities.persistence, options.path)
          if (result.capabilities.persistence === "opfs") this.#follow(options)
          this.#transport.allow(result.limits.maxInflight)
          resolve(result)
        },
        fail: (error) => {
          if (this.#phase === "opening") this.#phase = "new"
          reject(error)
        },
      })
    })
  }

  #preparePlugins(plugins: readonly (LixPlugin | string)[], timeoutMs = PLUGIN_TIMEOUT_MS): void {
    const objects = plugins.filter((plugin) => typeof plugin !== "string")
    if (objects.length > 0 && !this.#port.providePlugins) {
      const message = "an engine in a worker takes no plugin objects; give it the text of their modules as expProvideStringifiedPlugins"
      throw new EngineError("INVALID", "OPTION_INVALID", message, { subject: "providePlugins" })
    }
    this.#port.providePlugins?.(objects)
    this.#watchdog?.stop()
    this.#watchdog = new Watchdog(timeoutMs, (plugin) => {
      this.#transport.lost(new EngineError("PLUGIN", "PLUGIN_TIMEOUT", `plugin ${plugin} took longer than ${timeoutMs} ms; the engine was ended with it`, { subject: plugin }))
    })
  }

  exec(sql: string, params?: Params, options?: ExecOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      const resolved = options === undefined ? this.#defaults : resolveOptions(options, this.#defaults)
      this.#call(sql, params, resolved, new ExecCall(resolve, reject, sql, resolved), options?.signal)
    })
  }

  execBatch(batch: readonly Statement[], options: BatchOptions = {}): Promise<{ results: BatchOutcome[] }> {
    return new Promise((resolve, reject) => {
      const resolved = resolveOptions(options, this.#defaults)
      const goOn = oneOf("onError", options.onError ?? "stop", ["stop", "continue"]) === "continue"
      this.#guard()
      for (const { params } of batch) this.#guardNamed(params)
      const id = this.#transport.nextId()
      this.#send(id, encodeExecBatch(id, batch, resolved, goOn), {
        settle: (answer) => resolve(batchResults(answer, batch, resolved, goOn)),
        fail: reject,
      }, options.signal)
    })
  }

  stream(sql: string, params?: Params, options: StreamOptions = {}): RowStream<unknown, unknown> {
    const batches = () => this.#batches(sql, params, options)
    return {
      batches,
      [Symbol.asyncIterator]: () => {
        if (options.rowMode === "columns") throw new EngineError("INVALID", "OPTION_INVALID", "a stream of columns has no single rows; iterate its batches()", { subject: "rowMode" })
        return iterateRows(batches() as AsyncIterableIterator<unknown[]>)
      },
    }
  }

  export(): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      this.#guard()
      const id = this.#transport.nextId()
      this.#send(id, encodeCall(id, { case: "export", value: create(ExportRequestSchema) }), {
        settle: (answer) => {
          const { imageAttachment } = decodeWith(answer, OUTCOME.export, (bytes) => fromBinary(ExportResponseSchema, bytes))
          const image = answer.attachments[imageAttachment]
          if (!image) throw malformed("ATTACHMENT_MISMATCH", `an export without its attachment ${imageAttachment}`)
          resolve(image)
        },
        fail: reject,
      })
    })
  }

  save(): Promise<{ savedSeq: number }> {
    return this.#request({ case: "save", value: create(SaveRequestSchema) }, (answer) => {
      const { savedSeq } = decodeWith(answer, OUTCOME.save, (bytes) => fromBinary(SaveResponseSchema, bytes))
      return { savedSeq: Number(savedSeq) }
    })
  }

  async suspend(): Promise<{ savedSeq: number }> {
    const answer = await this.#suspend()
    this.#setAside = true
    return answer
  }

  #suspend(): Promise<{ savedSeq: number }> {
    return this.#request({ case: "suspend", value: create(SuspendRequestSchema) }, (answer) => {
      const { savedSeq } = decodeWith(answer, OUTCOME.suspend, (bytes) => fromBinary(SuspendResponseSchema, bytes))
      this.#saves.suspended(this.#isStored())
      return { savedSeq: Number(savedSeq) }
    })
  }

  async resume({ busyWaitMs = this.#options.busyWaitMs }: { busyWaitMs?: number | undefined } = {}): Promise<void> {
    const waitMs = waitOf(busyWaitMs)
    try {
      await this.#request({ case: "resume", value: create(ResumeRequestSchema, { waitMs }) }, (answer) => {
        expectOutcome(answer, OUTCOME.resume)
        this.#setAside = false
        this.#saves.suspended(false)
      })
    } catch (error) {
      if ((error as EngineError).code === "STORAGE") this.#saves.failed(error as EngineError)
      throw error
    }
  }

  /** A call whose answer needs no more than a look. */
  #request<T>(call: Request["call"], settle: (answer: Incoming) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#guard()
      const id = this.#transport.nextId()
      this.#send(id, encodeCall(id, call), { settle: (answer) => resolve(settle(answer)), fail: reject })
    })
  }

  #isStored(): boolean {
    const { storage } = this.status()
    return storage !== undefined && storage !== "memory"
  }

  #follow({ busyWaitMs }: InitOptions): void {
    isPersisted().catch(() => {})
    this.#stopFollowing = followPage({
      flush: () => {
        if (this.#phase === "ready" && this.status().unsaved && !this.state.inTransaction && !this.status().suspended) this.save().catch(() => {})
      },
      suspend: async () => {
        if (this.#phase === "ready" && !this.#setAside) await this.#suspend().catch(() => {})
      },
      resume: async () => {
        if (this.#phase === "ready" && !this.#setAside) await this.resume({ busyWaitMs })
      },
    })
  }

  close({ discardUnsaved = false }: CloseOptions = {}): Promise<void> {
    return (this.#closing ??= this.#close(discardUnsaved))
  }

  #close(discardUnsaved: boolean): Promise<void> {
    if (this.#phase === "closed" || this.#phase === "failed") return Promise.resolve()
    if (this.#phase === "new") {
      this.#end("closed", closedError())
      return Promise.resolve()
    }
    this.#phase = "closing"
    return new Promise((resolve, reject) => {
      const id = this.#transport.nextId()
      this.#send(id, encodeCall(id, { case: "close", value: create(CloseRequestSchema, { discardUnsaved }) }), {
        settle: (answer) => {
          // The session is over even when the answer is an error.
          this.#end("closed", closedError())
          expectOutcome(answer, OUTCOME.close)
          resolve()
        },
        fail: reject,
      })
    })
  }

  terminate(): void {
    if (this.#phase === "closed" || this.#phase === "failed") return
    this.#end("closed", transportClosed("the engine was terminated"))
  }

  on<Kind extends keyof EngineEvents>(kind: Kind, listener: (event: EngineEvents[Kind]) => void): () => void {
    oneOf("event", kind, EVENT_KINDS)
    const listeners = this.#listeners.get(kind) ?? new Set()
    this.#listeners.set(kind, listeners)
    // One entry per call, so that the same function can listen twice and stop once.
    const entry = (event: EngineEvents[Kind]) => listener(event)
    listeners.add(entry)
    return () => void listeners.delete(entry)
  }

  async *#batches(sql: string, params: Params | undefined, options: StreamOptions): AsyncGenerator<unknown> {
    const { signal } = options
    const resolved: Resolved = {
      ...resolveOptions(options, this.#defaults),
      cursor: true,
      // There is no result that could carry them.
      reportReads: false,
      batchRows: uint32("batchRows", options.batchRows),
      batchBytes: uint32("batchBytes", options.batchBytes),
    }
    this.#guard()
    this.#need("CURSORS")
    const first = await new Promise<ExecBody>((resolve, reject) => {
      this.#call(sql, params, resolved, new CursorCall(resolve, reject, sql), signal)
    })
    let { batch, cursor } = first
    let pause = performance.now() + PAUSE_MS
    try {
      for (;;) {
        // The next batch is made and travels while the caller looks at this one.
        const coming = cursor === undefined ? undefined : this.#fetch(cursor, sql, signal)
        coming?.catch(() => {})
        // Columns have names to tell even without rows.
        if (batch && (batch.rowCount > 0 || (batch === first.batch && resolved.rowMode === "columns"))) {
          if (performance.now() > pause) {
            await new Promise<void>(later)
            pause = performance.now() + PAUSE_MS
          }
          yield resolved.rowMode === "columns" ? columnsOf(batch, first.columns, resolved) : await decodeRows(batch, first.columns, resolved.rowMode, resolved)
        }
        if (!coming) return
        const next = await coming
        batch = next.batch
        if (next.done) cursor = undefined
      }
    } catch (error) {
      throw error instanceof EngineError && error.sql === undefined ? withFields(error, { sql }) : error
    } finally {
      if (cursor !== undefined) await this.#closeCursor(cursor)
    }
  }

  #fetch(cursor: number, sql: string, signal: AbortSignal | undefined): Promise<{ batch: BatchData | undefined; done: boolean }> {
    return new Promise((resolve, reject) => {
      this.#guard()
      const id = this.#transport.nextId()
      this.#send(id, encodeFetch(id, cursor), {
        settle: (answer) => {
          expectOutcome(answer, OUTCOME.fetch)
          resolve(decodeFetch(answer))
        },
        fail: (error) => reject(withFields(error, { sql })),
      }, signal)
    })
  }

  /** Never rejects: a cursor that cannot be closed is gone already. */
  #closeCursor(cursor: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#phase !== "ready") return resolve()
      const id = this.#transport.nextId()
      this.#send(id, encodeCall(id, { case: "closeCursor", value: create(CloseCursorRequestSchema, { cursor }) }), {
        settle: () => resolve(),
        fail: () => resolve(),
      })
    })
  }

  /** The hot path of `exec`: whatever it throws rejects the promise of the caller. */
  #call(sql: string, params: Params | undefined, options: Resolved, call: Waiting, signal: AbortSignal | undefined): void {
    this.#guard()
    this.#guardNamed(params)
    const id = this.#transport.nextId()
    let message
    try {
      message = encodeExec(id, sql, params, options)
    } catch (error) {
      throw error instanceof EngineError ? withFields(error, { sql }) : error
    }
    if (signal) this.#send(id, message, call, signal)
    else this.#transport.send(id, message, call)
  }

  #send(id: number, message: Envelope, call: Waiting, signal?: AbortSignal): void {
    if (!signal) return this.#transport.send(id, message, new CheckedCall(call))
    if (signal.aborted) return call.fail(cancelled(signal.reason))
    const abort = () => this.#transport.cancel(id)
    signal.addEventListener("abort", abort, { once: true })
    this.#transport.send(id, message, new CheckedCall(call, () => signal.removeEventListener("abort", abort)))
  }

  #guard(): void {
    if (this.#phase !== "ready" && this.#phase !== "opening") throw this.#refusal()
  }

  #guardNamed(params: Params | undefined): void {
    if (params !== undefined && this.#phase === "ready" && !Array.isArray(params)) this.#need("NAMED_PARAMS")
  }

  #need(capability: Capability): void {
    if (this.#phase !== "ready" || this.#announced.includes(capability)) return
    throw new EngineError("UNIMPLEMENTED", "CAPABILITY_MISSING", `this engine does not offer ${capability}`, { subject: capability })
  }

  #refusal(): EngineError {
    switch (this.#phase) {
      case "new":
        return new EngineError("LIFECYCLE", "NOT_INITIALIZED", "call init() first")
      case "closing":
        return new EngineError("LIFECYCLE", "CLOSING", "the engine is closing")
      case "failed":
        return new EngineError("LIFECYCLE", "FAILED", "the engine has failed; open a new one", { cause: this.#failure })
      default:
        return closedError()
    }
  }

  #end(phase: "closed" | "failed", error: EngineError): void {
    this.#phase = phase
    this.#stopFollowing()
    this.#watchdog?.stop()
    this.#transport.end(error)
  }

  #onLost(error: EngineError): void {
    this.#phase = "failed"
    this.#failure = error
    this.#stopFollowing()
    this.#watchdog?.stop()
    this.#emit("closed", { error })
  }

  /** Under strict durability a save that failed is told by the answer to whoever committed. */
  #onRefused(answer: Incoming): void {
    const { commitSeq, savedSeq } = answer.state ?? NO_STATE
    if (!this.#isStrict || commitSeq === savedSeq) return
    try {
      expectOutcome(answer, OUTCOME.exec)
    } catch (error) {
      if (error instanceof EngineError && error.code === "STORAGE") this.#saves.failed(error, commitSeq)
    }
  }

  #onEvent(bytes: Uint8Array): void {
    const { seq, kind } = decodeEvent(bytes)
    const number = Number(seq)
    switch (kind.case) {
      case "commit":
        this.#saves.committed(Number(kind.value.commitSeq))
        return this.#emit("commit", commitOf(number, kind.value))
      case "autosave": {
        const { phase, commitSeq, bytes: size, error } = kind.value
        const name = AUTOSAVE_PHASES[phase]
        if (!name) return
        const event = { seq: number, phase: name, commitSeq: Number(commitSeq), bytes: Number(size), ...(error && { error: errorOf(error) }) }
        this.#saves.autosave(event)
        return this.#emit("autosave", event)
      }
      case "plugin": {
        const { pluginKey, error } = kind.value
        return this.#emit("plugin", { seq: number, pluginKey, ...(error && { error: errorOf(error) }) })
      }
      case "log":
        return this.#emit("log", { seq: number, level: LOG_LEVELS[kind.value.level] ?? "info", text: kind.value.text })
      case "closed":
        return this.#transport.lost(errorOf(kind.value.reason))
    }
  }

  /** A listener that throws is its owner's business: reported, and nobody else notices. */
  #emit<Kind extends keyof EngineEvents>(kind: Kind, event: EngineEvents[Kind]): void {
    for (const listener of this.#listeners.get(kind) ?? []) {
      try {
        ;(listener as (event: EngineEvents[Kind]) => void)(event)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}

/** What `exec` may return. */
type Result = ExecResult<Row> | ColumnarResult

/** Options with nothing left to decide. */
interface Resolved extends RequestOptions, CellOptions {
  readonly rowMode: RowMode
}

/** One `exec` that waits. */
class ExecCall implements Waiting {
  constructor(
    readonly resolve: (result: Result | Promise<Result>) => void,
    readonly reject: (error: unknown) => void,
    readonly sql: string,
    readonly options: Resolved,
  ) {}

  settle(answer: Incoming): void {
    try {
      expectOutcome(answer, OUTCOME.exec)
      const result = resultOf(decodeExec(answer), answer.state ?? NO_STATE, this.options)
      this.resolve(result instanceof Promise ? result.catch((error: unknown) => Promise.reject(this.#named(error, answer))) : result)
    } catch (error) {
      this.reject(this.#named(error, answer))
    }
  }

  fail(error: EngineError): void {
    this.reject(this.#named(error))
  }

  #named(error: unknown, answer?: Incoming): unknown {
    return error instanceof EngineError ? withFields(error, { sql: this.sql, state: answer?.state ?? error.state }) : error
  }
}

/** The `exec` that opens a cursor. */
class CursorCall implements Waiting {
  constructor(
    readonly resolve: (body: ExecBody) => void,
    readonly reject: (error: unknown) => void,
    readonly sql: string,
  ) {}

  settle(answer: Incoming): void {
    try {
      expectOutcome(answer, OUTCOME.exec)
      this.resolve(decodeExec(answer))
    } catch (error) {
      this.reject(error instanceof EngineError ? withFields(error, { sql: this.sql }) : error)
    }
  }

  fail(error: EngineError): void {
    this.reject(withFields(error, { sql: this.sql }))
  }
}

/** A call whose `settle` may throw: what it throws is how the call fails. */
class CheckedCall implements Waiting {
  constructor(
    readonly call: Waiting,
    readonly done?: () => void,
  ) {}

  settle(answer: Incoming): void {
    this.done?.()
    try {
      this.call.settle(answer)
    } catch (error) {
      this.call.fail(error as EngineError)
    }
  }

  fail(error: EngineError): void {
    this.done?.()
    this.call.fail(error)
  }
}

function resultOf(body: ExecBody, state: SessionState, options: Resolved): Result | Promise<Result> {
  const { columns, changes, lastInsertRowid, reads } = body
  const batch = body.batch ?? emptyBatch(columns)
  const head: Mutable<ExecResult<Row>> = { rows: NO_ROWS, columns, state }
  if (changes !== undefined) head.changes = applyPolicy(changes, options.integers, "changes")
  if (lastInsertRowid !== undefined) head.lastInsertRowid = applyPolicy(lastInsertRowid, options.integers, "lastInsertRowid")
  if (reads !== undefined) head.reads = reads
  if (options.rowMode === "columns") {
    const { rows: _, ...rest } = head
    return { ...rest, batch: columnsOf(batch, columns, options) }
  }
  const rows = decodeRows(batch, columns, options.rowMode, options)
  if (rows instanceof Promise) {
    return rows.then((rows) => {
      head.rows = rows
      return head
    })
  }
  head.rows = rows
  return head
}

async function batchResults(answer: Incoming, batch: readonly Statement[], options: Resolved, goOn: boolean): Promise<{ results: BatchOutcome[] }> {
  expectOutcome(answer, OUTCOME.execBatch)
  const items = decodeExecBatch(answer)
  const state = answer.state ?? NO_STATE
  const results: BatchOutcome[] = []
  for (const [index, item] of items.entries()) {
    if (item instanceof EngineError) {
      const error = withFields(item, { batchIndex: item.batchIndex ?? index, sql: batch[index]?.sql, ...(!goOn && { results }) })
      if (!goOn) throw error
      results.push(error)
    } else {
      const result = resultOf(item, state, options)
      results.push((result instanceof Promise ? await result : result) as BatchOutcome)
    }
  }
  return { results }
}

function columnsOf(batch: BatchData, columns: readonly ResultColumn[], options: CellOptions): ColumnBatch {
  checkBatch(batch, columns.length)
  return new ColumnBatch(batch, columns, options)
}

/** Rows one by one, without a round trip through the generator for each. */
function iterateRows<Row>(batches: AsyncIterableIterator<Row[]>): AsyncIterableIterator<Row> {
  let rows: Row[] = []
  let at = 0
  let refill: Promise<void> | undefined
  let done = false
  const next = (): Promise<IteratorResult<Row>> => {
    if (at < rows.length) return Promise.resolve({ done: false, value: rows[at++]! })
    if (done) return Promise.resolve({ done: true, value: undefined })
    refill ??= batches.next().then(
      (result) => {
        refill = undefined
        rows = result.done ? [] : result.value
        at = 0
        done = result.done === true
      },
      (error: unknown) => {
        refill = undefined
        done = true
        throw error
      },
    )
    return refill.then(next)
  }
  return {
    next,
    async return() {
      done = true
      rows = []
      await batches.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

function encodeInit(id: number, options: InitOptions, plugins: readonly (LixPlugin | string)[]): Envelope {
  const image = options.blob === undefined ? undefined : imageOf(options.blob)
  const attachments = image ? [image] : []
  const storage = oneOf("storage", options.storage ?? "memory", STORAGES)
  const isStored = storage !== "memory"
  const { disabled = false, debounceMs, maxDelayMs } = options.autosave ?? {}
  const events = new Set(options.events ?? [])
  // What `status()` is made of. Under strict durability the answers tell as much, and the events of a
  // save before each of them would cost more than the answer itself.
  if (isStored && options.durability !== "strict") events.add("autosave")
  const request = create(InitRequestSchema, {
    minor: MINOR,
    required: (options.required ?? []).map((name) => numberOf(WireCapability, "required", name)),
    events: {
      kinds: [...events].map((name) => numberOf(WireEventKind, "events", name)),
      commitDetail: options.commitDetail === undefined ? 0 : numberOf(CommitDetail, "commitDetail", options.commitDetail),
    },
    storage: {
      kind: storage === "auto" ? StorageKind.OPFS : numberOf(StorageKind, "storage", storage),
      path: isStored ? wellFormed("path", options.path ?? "") : "",
      waitMs: isStored ? waitOf(options.busyWaitMs) : 0,
      orMemory: storage === "auto",
    },
    openMode: OPEN_MODES[oneOf("openMode", options.openMode ?? "open-or-create", Object.keys(OPEN_MODES) as OpenMode[])],
    durability: oneOf("durability", options.durability ?? "relaxed", DURABILITIES) === "strict" ? Durability.STRICT : Durability.RELAXED,
    autosave: { disabled, debounceMs: uint32("autosave.debounceMs", debounceMs), maxDelayMs: uint32("autosave.maxDelayMs", maxDelayMs) },
    seed: image ? { case: "imageAttachment", value: 0 } : { case: undefined },
    ...(options.lix && { lix: { keyValues: options.lix === true ? [] : (options.lix.keyValues ?? []).map(keyValueOf) } }),
    plugins: plugins.map((plugin, index) => pluginMessage(plugin, index, attachments)),
    pluginTimeoutMs: uint32("pluginTimeoutMs", options.pluginTimeoutMs),
    hostName: HOST_NAME,
    hostVersion: HOST_VERSION,
  })
  const message = encodeCall(id, { case: "init", value: request }, attachments)
  return plugins.length > 0 ? { ...message, watch: true } : message
}

/** Objects before texts. */
function pluginsOf({ providePlugins = [], expProvideStringifiedPlugins = [] }: InitOptions): (LixPlugin | string)[] {
  const refused = (subject: string, message: string) => new EngineError("INVALID", "OPTION_INVALID", message, { subject })
  for (const [option, list] of Object.entries({ providePlugins, expProvideStringifiedPlugins })) {
    if (!Array.isArray(list)) throw refused(option, `${option} is no array`)
  }
  providePlugins.forEach((plugin: unknown, index) => {
    const field = `providePlugins[${index}]`
    if (typeof plugin === "string") throw refused(field, `${field} is a text; those belong into expProvideStringifiedPlugins`)
    if (typeof plugin !== "object" || plugin === null) throw refused(field, `${field} is no plugin`)
  })
  expProvideStringifiedPlugins.forEach((code: unknown, index) => {
    const field = `expProvideStringifiedPlugins[${index}]`
    if (typeof code !== "string") throw refused(field, `${field} is no text; import the module as text (Vite: ?raw, webpack: asset/source)`)
    wellFormed(field, code)
  })
  return [...providePlugins, ...expProvideStringifiedPlugins]
}

function pluginMessage(plugin: LixPlugin | string, index: number, attachments: ArrayBuffer[]): MessageInitShape<typeof PluginSchema> {
  if (typeof plugin === "string") {
    const code = new TextEncoder().encode(plugin)
    attachments.push(code.byteLength === code.buffer.byteLength ? code.buffer : code.slice().buffer)
    return { format: PluginFormat.ESM, code: { case: "codeAttachment", value: attachments.length - 1 } }
  }
  const { key } = plugin
  // The engine finds it by its key.
  if (typeof key !== "string" || key === "") throw new EngineError("PLUGIN", "PLUGIN_INVALID", `plugin ${index} has no key`, { subject: String(index) })
  return { key: wellFormed("providePlugins.key", key), format: PluginFormat.BUILTIN }
}

function keyValueOf({ key, value, versionId = "", untracked = false }: LixKeyValue, index: number): MessageInitShape<typeof LixKeyValueSchema> {
  const field = (name: string) => `lix.keyValues[${index}].${name}`
  let valueJson: string | undefined
  try {
    // A function or a symbol gives undefined, like undefined itself.
    valueJson = value === undefined ? "null" : JSON.stringify(value)
    if (valueJson === undefined) throw new TypeError(`a ${typeof value} is no JSON`)
  } catch (cause) {
    throw new EngineError("INVALID", "OPTION_INVALID", `${field("value")} cannot be written as JSON`, { subject: field("value"), cause })
  }
  return { key: wellFormed(field("key"), key), valueJson, versionId: wellFormed(field("versionId"), versionId), untracked }
}

/** The buffer to transfer: the caller's own, or a copy of the part that a view shows. */
function imageOf(blob: unknown): ArrayBuffer {
  let bytes
  try {
    // Throws for a buffer that was transferred away, which else would pass for an empty one.
    if (blob instanceof ArrayBuffer) bytes = new Uint8Array(blob)
    else if (ArrayBuffer.isView(blob)) bytes = new Uint8Array(blob.buffer, blob.byteOffset, blob.byteLength)
  } catch (cause) {
    throw new EngineError("INVALID", "OPTION_INVALID", "blob was transferred away", { subject: "blob", cause })
  }
  if (!bytes) throw new EngineError("INVALID", "OPTION_INVALID", "blob is neither an ArrayBuffer nor a view of one", { subject: "blob" })
  if (bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength) return bytes.buffer
  return bytes.slice().buffer as ArrayBuffer
}

function initResult(response: InitResponse): InitResult {
  const { limits } = response
  return {
    engineName: response.engineName,
    engineVersion: response.engineVersion,
    sqliteVersion: response.sqliteVersion,
    ...(response.schemaVersion !== "" && { schemaVersion: response.schemaVersion }),
    capabilities: {
      persistence: response.storage === StorageKind.OPFS ? "opfs" : response.storage === StorageKind.FILE ? "file" : "memory",
      announced: response.capabilities.map((number) => WireCapability[number]).filter((name) => name !== undefined) as Capability[],
    },
    limits: {
      maxFrameBytes: limits?.maxFrameBytes ?? 0,
      maxAttachmentBytes: Number(limits?.maxAttachmentBytes ?? 0),
      maxSqlBytes: limits?.maxSqlBytes ?? 0,
      maxParams: limits?.maxParams ?? 0,
      maxBatchStatements: limits?.maxBatchStatements ?? 0,
      maxOpenCursors: limits?.maxOpenCursors ?? 0,
      maxInflight: limits?.maxInflight ?? 0,
      maxResultBytes: Number(limits?.maxResultBytes ?? 0),
    },
    restored: response.restored,
  }
}

function resolveOptions(options: ExecOptions, defaults: Resolved): Resolved {
  return {
    rowMode: oneOf("rowMode", options.rowMode ?? defaults.rowMode, ROW_MODES),
    integers: oneOf("integers", options.integers ?? defaults.integers, INTEGER_POLICIES),
    invalidText: oneOf("invalidText", options.invalidText ?? defaults.invalidText, INVALID_TEXTS),
    blobs: oneOf("blobs", options.blobs ?? defaults.blobs, BLOBS),
    timeoutMs: uint32("timeoutMs", options.timeoutMs),
    reportReads: options.reportReads === true,
    cursor: false,
    batchRows: 0,
    batchBytes: 0,
  }
}

function oneOf<T extends string>(option: string, value: T, allowed: readonly T[]): T {
  if (allowed.includes(value)) return value
  throw new EngineError("INVALID", "OPTION_INVALID", `${option} is ${String(value)}, not one of: ${allowed.join(", ")}`, { subject: option })
}

/** 0, which the protocol reads as "not set", is no value a caller can mean. */
function uint32(option: string, value: number | undefined): number {
  if (value === undefined) return 0
  if (Number.isInteger(value) && value > 0 && value <= 0xffff_ffff) return value
  throw new EngineError("INVALID", "OPTION_INVALID", `${option} is ${value}, not a whole number from 1 to 4294967295`, { subject: option })
}

/** How long to wait for a busy path; here 0 means something. */
function waitOf(busyWaitMs: number | undefined): number {
  return busyWaitMs === 0 ? 0 : uint32("busyWaitMs", busyWaitMs ?? BUSY_WAIT_MS)
}

function wellFormed(option: string, text: string): string {
  if (typeof text === "string" && !/\p{Cs}/u.test(text)) return text
  throw new EngineError("INVALID", "OPTION_INVALID", `${option} is no text that UTF-8 can carry`, { subject: option })
}

function numberOf(names: object, option: string, name: string): number {
  const number = (names as Record<string, unknown>)[String(name).toUpperCase()]
  if (typeof number === "number" && number !== 0) return number
  throw new EngineError("INVALID", "OPTION_INVALID", `${option}: unknown name ${String(name)}`, { subject: option })
}

function emptyBatch(columns: readonly ResultColumn[]): BatchData {
  const batch = new BatchData()
  for (const _ of columns) batch.columns.push(new ColumnData())
  return batch
}

function closedError(): EngineError {
  return new EngineError("LIFECYCLE", "CLOSED", "the engine is closed")
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

const HOST_NAME = "lix-engine (TypeScript)"
const HOST_VERSION = "0.1.0"
/** The highest minor of v1 this package knows. */
const MINOR = 0
/** As the protocol has it. */
const PLUGIN_TIMEOUT_MS = 10_000
/** A stream whose answers come without a pause makes one this often. */
const PAUSE_MS = 8
const NO_ROWS: Row[] = []
const NO_STATE: SessionState = { inTransaction: false, commitSeq: 0, savedSeq: 0 }
const DEFAULTS: Resolved = { rowMode: "object", integers: "auto", invalidText: "replace", blobs: "copy", cursor: false, batchRows: 0, batchBytes: 0, timeoutMs: 0, reportReads: false }
const ROW_MODES: readonly RowMode[] = ["object", "array", "columns"]
const INTEGER_POLICIES: readonly IntegerPolicy[] = ["auto", "number", "bigint", "string"]
const INVALID_TEXTS: readonly ("replace" | "bytes")[] = ["replace", "bytes"]
const BLOBS: readonly ("copy" | "view")[] = ["copy", "view"]
const STORAGES: readonly ("memory" | "opfs" | "file" | "auto")[] = ["memory", "opfs", "file", "auto"]
const OPEN_MODES: { readonly [mode in OpenMode]: WireOpenMode } = {
  "open-or-create": WireOpenMode.OPEN_OR_CREATE,
  open: WireOpenMode.OPEN,
  create: WireOpenMode.CREATE,
  replace: WireOpenMode.REPLACE,
}
const DURABILITIES: readonly ("relaxed" | "strict")[] = ["relaxed", "strict"]
/** The worker of a page that is reloaded lives a moment longer than the page. */
const BUSY_WAIT_MS = 500
const EVENT_KINDS: readonly (keyof EngineEvents)[] = ["commit", "autosave", "plugin", "log", "closed"]
const AUTOSAVE_PHASES: { readonly [phase: number]: EngineEvents["autosave"]["phase"] } = {
  [AutosavePhase.SCHEDULED]: "scheduled",
  [AutosavePhase.STARTED]: "started",
  [AutosavePhase.SAVED]: "saved",
  [AutosavePhase.FAILED]: "failed",
}
const LOG_LEVELS: { readonly [level: number]: EngineEvents["log"]["level"] } = {
  [LogLevel.DEBUG]: "debug",
  [LogLevel.INFO]: "info",
  [LogLevel.WARN]: "warn",
  [LogLevel.ERROR]: "error",
}
