// A session: what is answered at once, what waits, what each call means. new → ready → closing → closed, or failed.
//
// The shell around it hands over what arrives (`receive`), and lets it run one request after the other (`step`).
// Every request is answered exactly once, and nothing is thrown at the shell.
import { create, toBinary } from "@bufbuild/protobuf"
import {
  BatchErrorMode, BatchItemSchema, CancelOutcome, CancelResponseSchema, Capability, CloseCursorResponseSchema, ClosedEventSchema,
  CloseResponseSchema, CommitDetail, CommitEventSchema, type ControlRequest, type Event, EventKind, EventSchema, type ExecBatchRequest,
  type ExecBatchResponse, ExecBatchResponseSchema, type ExecRequest, type ExecResponse, ExportResponseSchema, type FetchRequest,
  FetchResponseSchema, type InitRequest, type InitResponse, InitResponseSchema, LimitsSchema, OpenMode, PluginFormat, type Request,
  type Response, ResponseSchema, RowBatchSchema, RowMode, SessionStateSchema, StorageKind,
} from "./gen/engine_pb.ts"
import { Database, MAX_OPEN_CURSORS, MAX_PARAMS, MAX_RESULT_BYTES } from "./database.ts"
import { Failure, fromException, missing } from "./failures.ts"
import { attached, utf8 } from "./statement.ts"
import type { Sqlite3 } from "./sqlite.ts"
import { encode, type Incoming, MAX_ATTACHMENT_BYTES, MAX_FRAME_BYTES } from "./wire.ts"

const LIMITS = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxAttachmentBytes: BigInt(MAX_ATTACHMENT_BYTES),
  maxSqlBytes: 1 << 20,
  maxParams: MAX_PARAMS,
  maxBatchStatements: 10_000,
  maxOpenCursors: MAX_OPEN_CURSORS,
  maxInflight: 1024,
  maxResultBytes: BigInt(MAX_RESULT_BYTES),
}
const CAPABILITIES = [Capability.CURSORS, Capability.NAMED_PARAMS]

type Outcome = Response["outcome"]
type Call = Request["call"]
type Post = (frame: Uint8Array<ArrayBuffer>, attachments: Uint8Array<ArrayBuffer>[]) => void

/** What waits: a request, or the reason why the session is over. */
type Waiting = { id: number; call: Call; scope: number; attachments: Uint8Array[] } | { over: Failure }

export class Session {
  readonly #post: Post
  readonly #queue: Waiting[] = []
  readonly #unanswered = new Map<number, Call["case"]>()
  #life: "new" | "ready" | "closing" | "closed" | "failed" = "new"
  #state = create(SessionStateSchema)
  #eventSeq = 0n
  #wantedEvents: EventKind[] = []
  #sqlite3: Sqlite3 | undefined
  #database: Database | undefined

  constructor(post: Post) {
    this.#post = post
  }

  /** Before it, requests wait. */
  start(sqlite3: Sqlite3): void {
    this.#sqlite3 = sqlite3
  }

  /** Something can be run. */
  get busy(): boolean {
    return this.#sqlite3 !== undefined && this.#queue.length > 0
  }

  get failed(): boolean {
    return this.#life === "failed"
  }

  /** Queues a request, or answers it where that needs no look at the database. */
  receive(message: Incoming): void {
    try {
      this.#accept(message)
    } catch (thrown) {
      this.#respond(message.id, { case: "error", value: fromException(thrown).toError() })
    }
  }

  /** Runs the request that has waited longest. */
  step(): void {
    const waiting = this.#queue.shift()
    if (waiting === undefined) return
    if ("over" in waiting) return this.fail(waiting.over)
    try {
      this.#answer(waiting.id, waiting.call, waiting.scope, waiting.attachments)
    } catch (thrown) {
      this.fail(fromException(thrown))
    }
  }

  /** The session is over once everything that came before has run. */
  end(reason: Failure): void {
    this.#queue.push({ over: reason })
  }

  /** The session is over now: what waits is told, then the host is. */
  fail(reason: Failure): void {
    if (this.#life === "failed" || this.#life === "closed") return
    this.#life = "failed"
    this.#queue.length = 0
    for (const id of this.#unanswered.keys()) this.#refuse(id, new Failure("FAILED", "the engine has failed"))
    this.#unanswered.clear()
    this.#event({ case: "closed", value: create(ClosedEventSchema, { reason: reason.toError() }) })
  }

  /** Frees what the session holds. Nothing may follow. */
  dispose(): void {
    this.#queue.length = 0
    try {
      this.#database?.close()
    } catch {
      // After a defect SQLite may be beyond that.
    }
    this.#database = undefined
  }

  // ---- what arrives

  #accept({ id, frame, attachments, fault }: Incoming): void {
    const body = frame?.body
    if (id === 0 && body?.case !== "request") {
      return this.end(fault ?? new Failure("FRAME_MALFORMED", "a frame with id 0 that is no request"))
    }
    if (fault !== undefined) throw fault
    if (id === 0) throw new Failure("FRAME_MALFORMED", "a request with id 0")
    if (body?.case === "response" || body?.case === "event") throw new Failure("FRAME_MALFORMED", `a host does not send a ${body.case}`)
    if (this.#unanswered.has(id)) throw new Failure("ID_REUSED", `request ${id} still waits for its answer`, { subject: String(id) })
    if (this.#life === "closing") throw new Failure("CLOSING", "the session is closing")
    if (this.#life === "closed") throw new Failure("CLOSED", "the session is closed")
    if (this.#life === "failed") throw new Failure("FAILED", "the engine has failed")

    const request = body?.value
    const call: Call = request?.call ?? { case: undefined }
    const initComesFirst = () => [...this.#unanswered.values()].includes("init")
    if (call.case === "cancel" && (this.#life === "ready" || initComesFirst())) {
      const outcome = this.#cancel(call.value.target)
      return this.#respond(id, { case: "cancel", value: create(CancelResponseSchema, { outcome }) })
    }
    if (this.#unanswered.size >= LIMITS.maxInflight) {
      throw new Failure("INFLIGHT", `${LIMITS.maxInflight} requests wait already`, { subject: "max_inflight" })
    }
    if (call.case === "close") this.#life = "closing"
    this.#unanswered.set(id, call.case)
    this.#queue.push({ id, call, scope: request?.scope ?? 0, attachments })
  }

  #cancel(target: number): CancelOutcome {
    const at = this.#queue.findIndex((waiting) => "id" in waiting && waiting.id === target)
    if (at < 0 || this.#unanswered.get(target) === "close") return CancelOutcome.TOO_LATE
    this.#queue.splice(at, 1)
    this.#unanswered.delete(target)
    this.#refuse(target, new Failure("CANCELLED", "cancelled before it started"))
    return CancelOutcome.DEQUEUED
  }

  // ---- what runs

  /** Throws only what is a defect. */
  #answer(id: number, call: Call, scope: number, received: Uint8Array[]): void {
    let outcome: Outcome
    let attachments: Uint8Array<ArrayBuffer>[] = []
    try {
      ;[outcome, attachments = []] = this.#call(id, call, scope, received)
    } catch (thrown) {
      const failure = fromException(thrown)
      if (failure.reason === "ENGINE_DEFECT") throw failure
      outcome = { case: "error", value: failure.toError() }
    }
    this.#state = create(SessionStateSchema, {
      inTransaction: this.#database?.inTransaction ?? false,
      commitSeq: BigInt(this.#database?.commitSeq ?? this.#state.commitSeq),
    })
    if (outcome.case === "close") this.#life = "closed"
    this.#respond(id, outcome, attachments)
    this.#unanswered.delete(id)
  }

  #call(id: number, call: Call, scope: number, attachments: Uint8Array[]): [Outcome, Uint8Array<ArrayBuffer>[]?] {
    if (call.case === "close") {
      this.#database?.close()
      this.#database = undefined
      return [{ case: "close", value: create(CloseResponseSchema) }]
    }
    const database = this.#database
    if (database === undefined && call.case !== "init") throw new Failure("NOT_INITIALIZED", "init comes first")
    if (database !== undefined && call.case === "init") throw new Failure("ALREADY_INITIALIZED", "the session is open already")
    if (scope !== 0) throw missing("SCOPES")
    if (call.case === "init") return [{ case: "init", value: this.#init(call.value, attachments) }]
    switch (call.case) {
      case "exec":
        return [{ case: "exec", value: this.#exec(database!, call.value, attachments) }]
      case "execBatch":
        return [{ case: "execBatch", value: this.#execBatch(database!, call.value, attachments) }]
      case "fetch":
        return [this.#fetch(database!, id, call.value)]
      case "closeCursor":
        database!.closeCursor(call.value.cursor)
        return [{ case: "closeCursor", value: create(CloseCursorResponseSchema) }]
      case "export": {
        const image = database!.export()
        const value = create(ExportResponseSchema, { imageAttachment: 0, commitSeq: BigInt(database!.commitSeq) })
        return [{ case: "export", value }, [image]]
      }
      case "cancel": // sent in new, and an init has succeeded meanwhile
        return [{ case: "cancel", value: create(CancelResponseSchema, { outcome: CancelOutcome.TOO_LATE }) }]
      case "save":
      case "suspend":
      case "resume":
        throw missing("PERSISTENCE")
      case "control":
        throw refusedControl(call.value)
      default:
        throw new Failure("CALL_UNKNOWN", "this engine does not know the call")
    }
  }

  #init(init: InitRequest, attachments: Uint8Array[]): InitResponse {
    checkOffer(init)
    const { case: seed, value } = init.seed
    const image = seed === "image" ? value : seed === "imageAttachment" ? attached(attachments, value, "image_attachment") : undefined
    let database: Database
    try {
      database = new Database(this.#sqlite3!, image)
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.reason === "IMAGE_INVALID") {
        thrown.details.subject = seed === "image" ? "image" : "image_attachment"
      }
      throw thrown
    }
    database.onCommit = () =>
      this.#event({
        case: "commit",
        value: create(CommitEventSchema, { commitSeq: BigInt(database.commitSeq) }),
      })
    this.#database = database
    this.#wantedEvents = init.events?.kinds ?? []
    if (this.#life === "new") this.#life = "ready" // and no close waits
    return create(InitResponseSchema, {
      minor: 0,
      engineName: "lix-engine-sqlite-wasm",
      engineVersion: "1.0.0",
      sqliteVersion: this.#sqlite3!.capi.sqlite3_libversion(),
      capabilities: CAPABILITIES,
      storage: StorageKind.MEMORY,
      limits: create(LimitsSchema, LIMITS),
    })
  }

  #exec(database: Database, request: ExecRequest, attachments: Uint8Array[], budget = MAX_RESULT_BYTES): ExecResponse {
    if (request.paramRows !== undefined) throw missing("BULK_BIND")
    if (utf8(request.sql).length > LIMITS.maxSqlBytes) throw limit("max_sql_bytes", "the SQL text is too long")
    if (request.params.length + request.named.length > LIMITS.maxParams) throw limit("max_params", "too many parameters")
    return database.run(request, attachments, budget)
  }

  #execBatch(database: Database, { statements, onError }: ExecBatchRequest, attachments: Uint8Array[]): ExecBatchResponse {
    if (statements.length > LIMITS.maxBatchStatements) throw limit("max_batch_statements", "too many statements")
    const batchIndex = statements.findIndex(({ rows }) => rows === RowMode.CURSOR)
    if (batchIndex >= 0) {
      throw new Failure("OPTION_INVALID", "no cursors in a batch", { subject: `statements[${batchIndex}].rows`, batchIndex })
    }
    const answer = create(ExecBatchResponseSchema)
    let budget = MAX_RESULT_BYTES
    for (const [batchIndex, statement] of statements.entries()) {
      try {
        const ok = this.#exec(database, statement, attachments, budget)
        if (ok.batch !== undefined) budget -= toBinary(RowBatchSchema, ok.batch).length
        answer.items.push(create(BatchItemSchema, { outcome: { case: "ok", value: ok } }))
      } catch (thrown) {
        const failure = fromException(thrown)
        if (failure.reason === "ENGINE_DEFECT") throw failure
        failure.details = { ...failure.details, batchIndex }
        answer.items.push(create(BatchItemSchema, { outcome: { case: "error", value: failure.toError() } }))
        if (onError !== BatchErrorMode.CONTINUE) break
      }
    }
    return answer
  }

  /** All answers but the last are sent here. */
  #fetch(database: Database, id: number, { cursor, credit }: FetchRequest): Outcome {
    for (let left = credit || 1; ; left--) {
      const outcome = { case: "fetch", value: create(FetchResponseSchema, { ...database.fetch(cursor) }) } as const
      if (outcome.value.done || left === 1) return outcome
      this.#respond(id, outcome)
    }
  }

  // ---- what is sent

  #respond(id: number, outcome: Outcome, attachments: Uint8Array<ArrayBuffer>[] = []): void {
    const value = create(ResponseSchema, { state: this.#state, outcome })
    this.#post(encode({ id, body: { case: "response", value } }, attachments), attachments)
  }

  #refuse(id: number, failure: Failure): void {
    this.#respond(id, { case: "error", value: failure.toError() })
  }

  #event(kind: Event["kind"]): void {
    if (kind.case === "commit" && !this.#wantedEvents.includes(EventKind.COMMIT)) return
    const value = create(EventSchema, { seq: ++this.#eventSeq, kind })
    this.#post(encode({ body: { case: "event", value } }, []), [])
  }
}

/** Refuses what init asks for and this engine does not have. */
const checkOffer = ({ required, lix, events, plugins, storage, openMode, seed }: InitRequest): void => {
  for (const wanted of required) {
    if (!CAPABILITIES.includes(wanted)) throw missing(Capability[wanted] ?? String(wanted))
  }
  if (lix !== undefined) throw missing("CHANGE_CONTROL")
  if (events?.commitDetail === CommitDetail.KEYS || events?.commitDetail === CommitDetail.VALUES) throw missing("COMMIT_DETAIL")
  for (const [index, { format }] of plugins.entries()) {
    const name = PluginFormat[format]
    if (format === PluginFormat.UNSPECIFIED || name === undefined) {
      throw new Failure("OPTION_INVALID", "a plugin without a format", { subject: `plugins[${index}].format` })
    }
    throw missing(`PLUGINS_${name}`)
  }
  const kind = storage?.kind ?? StorageKind.MEMORY
  if (kind !== StorageKind.UNSPECIFIED && kind !== StorageKind.MEMORY && !storage!.orMemory) {
    const subject = StorageKind[kind] ?? String(kind)
    throw new Failure("STORAGE_UNSUPPORTED", `this engine has no storage ${subject}`, { subject })
  }
  if (openMode === OpenMode.OPEN) {
    if (seed.case !== undefined) throw new Failure("OPTION_INVALID", "open what is stored, and a seed", { subject: "open_mode" })
    throw new Failure("STORAGE_MISSING", "memory never holds anything")
  }
}

const refusedControl = ({ op }: ControlRequest): Failure => {
  if (op.case === undefined) return new Failure("CALL_UNKNOWN", "this engine does not know the control call")
  return missing(op.case === "setClock" || op.case === "advanceClock" ? "MANUAL_CLOCK" : "FAULTS")
}

const limit = (subject: string, message: string): Failure => new Failure("LIMIT_EXCEEDED", message, { subject })
