// Calls and their answers. Every call is settled: by its answer, by its signal while it has not been sent, or by the end
// of the session, which also refuses every later one. No more calls are under way than the engine takes.
import { encodeRequest } from "./contract.js"
import { LixError, cancelled, fromEngine, malformed, transportClosed } from "./errors.js"
import { connect, within } from "./transports.js"

/**
 * @typedef {{ value: any, attachments: Uint8Array[] }} Answer
 *
 * @typedef {object} Call
 * @property {number} id
 * @property {string} name
 * @property {Uint8Array} frame
 * @property {Uint8Array[]} attachments
 * @property {string} [sql]
 * @property {(answer: Answer) => void} resolve
 * @property {(error: LixError) => void} reject
 * @property {Promise<Answer>} promise
 *
 * @typedef {object} CallOptions
 * @property {Uint8Array[]} [attachments]
 * @property {AbortSignal} [signal]
 * @property {string} [sql]  the statement that sql_offset of an error refers to
 */

export class Session {
  /** SessionState of the newest answer. */
  state = { inTransaction: false, commitSeq: 0n, savedSeq: 0n }
  /** Limits of the engine; before init is answered nothing but init is sent. */
  limits = { maxInflight: 1, maxFrameBytes: 2 ** 32 - 1 }

  /** What the engine announced. */
  capabilities = new Set()

  /** @type {import("./transports.js").Transport | undefined} */
  #transport
  /** @type {Map<number, Call>} sent and not answered */
  #pending = new Map()
  /** @type {Set<Call>} not sent yet, in order */
  #backlog = new Set()
  /** Requests in #pending that are not counted. */
  #cancels = 0
  #lastId = 0
  /** @type {LixError | undefined} why no call is taken any more */
  #refusal
  /** @type {Promise<void> | undefined} */
  #closing
  #over = false
  #onEvent

  /** @param {(kind: string, value: any) => void} onEvent  events of the engine, and "ended" with a LixError */
  constructor(onEvent) {
    this.#onEvent = onEvent
  }

  /** @param {import("./transports.js").Target} target */
  async connect(target) {
    const transport = await connect(target, {
      message: (frame, attachments) => this.#receive(frame, attachments),
      ended: (reason) => this.#end(reason),
    })
    if (this.#over) return transport.end(ABORT_MS)
    this.#transport = transport
  }

  /**
   * @param {string} name  of the call
   * @param {object} value  its message
   * @param {CallOptions} [options]
   * @returns {Promise<Answer>}
   */
  async request(name, value, { attachments = [], signal, sql } = {}) {
    if (this.#refusal) throw this.#refused(this.#refusal)
    if (signal?.aborted) throw cancelled(signal)
    const id = this.#nextId()
    const frame = encodeRequest(id, name, value, attachments)
    if (frame.length > this.limits.maxFrameBytes) {
      // An engine on a byte stream would end the session.
      const message = `a request of ${frame.length} bytes; the engine takes ${this.limits.maxFrameBytes}`
      throw new LixError("LIMIT", "LIMIT_EXCEEDED", message, { subject: "max_frame_bytes" })
    }
    /** @type {Call} */
    const call = { id, name, frame, attachments, sql, ...deferred() }
    const onAbort = () => {
      if (this.#backlog.delete(call)) call.reject(cancelled(/** @type {AbortSignal} */ (signal)))
      else this.#cancel(id)
    }
    signal?.addEventListener("abort", onAbort)
    this.#backlog.add(call)
    this.#send()
    try {
      return await call.promise
    } finally {
      signal?.removeEventListener("abort", onAbort)
    }
  }

  /**
   * Ends the session in order: what was called before is answered first. Where the engine has gone already it only cleans
   * up.
   *
   * @param {boolean} [discardUnsaved]
   * @returns {Promise<void>}
   */
  close(discardUnsaved = false) {
    return (this.#closing ??= this.#close(discardUnsaved))
  }

  /**
   * Ends the session at once.
   *
   * @param {LixError} reason  what calls that wait are rejected with
   */
  async abort(reason) {
    this.#end(reason)
    await this.#transport?.end(ABORT_MS)
  }

  /** @param {boolean} discardUnsaved */
  async #close(discardUnsaved) {
    if (this.#over) return this.#transport?.end()
    const earlier = Promise.allSettled([...this.#pending.values(), ...this.#backlog].map((call) => call.promise))
    const closed = this.request("close", { discardUnsaved })
    this.#refusal = new LixError("LIFECYCLE", "CLOSED", "the database was closed")
    try {
      // What was called before may take as long as it takes; close alone may not.
      await Promise.race([closed, earlier.then(() => this.#bound(closed))])
    } finally {
      this.#end(this.#refusal)
      await this.#transport?.end()
    }
  }

  /** @param {Promise<unknown>} closed */
  async #bound(closed) {
    if (!(await within(closed, CLOSE_MS))) throw transportClosed(`the engine did not answer close within ${CLOSE_MS} ms`)
    await closed
  }

  #send() {
    for (const call of this.#backlog) {
      if (!this.#transport || this.#pending.size - this.#cancels >= this.limits.maxInflight) return
      this.#backlog.delete(call)
      this.#pending.set(call.id, call)
      this.#transport.send(call.frame, call.attachments)
    }
  }

  /** Stops a call if the engine can; its own answer tells. @param {number} target */
  #cancel(target) {
    if (!this.#transport || !this.#pending.has(target)) return
    const id = this.#nextId()
    const frame = encodeRequest(id, "cancel", { target }, [])
    /** @type {Call} */
    const call = { id, name: "cancel", frame, attachments: [], ...deferred() }
    this.#cancels++
    // Whatever it answers, the target's own answer says what came of it.
    const done = () => void this.#cancels--
    call.promise.then(done, done)
    this.#pending.set(id, call)
    this.#transport.send(frame, [])
  }

  /**
   * @param {import("./contract.js").Frame} frame
   * @param {Uint8Array[]} attachments
   */
  #receive({ id, attachmentSizes, body }, attachments) {
    if (this.#over) return
    if (body.case === "request") return this.#end(malformed("the engine sends requests instead of answering them; does it echo?"))
    if (body.case === "event" && id === 0) return this.#event(body.value.kind)
    // Of calls that nobody made, or that were answered already, nothing is known.
    const call = this.#pending.get(id)
    if (!call) return
    this.#pending.delete(id)
    this.#settle(call, body, attachmentSizes, attachments)
    this.#send()
  }

  /**
   * @param {Call} call
   * @param {import("./contract.js").Frame["body"]} body
   * @param {bigint[]} sizes
   * @param {Uint8Array[]} attachments
   */
  #settle(call, body, sizes, attachments) {
    if (body.case !== "response") return call.reject(malformed(`the answer to ${call.name} is not a response`))
    if (sizes.length !== attachments.length || sizes.some((size, index) => BigInt(attachments[index].length) !== size)) {
      const message = `the attachments of the answer to ${call.name} are not the announced ones`
      return call.reject(new LixError("PROTOCOL", "ATTACHMENT_MISMATCH", message))
    }
    const { state, outcome } = body.value
    if (state) this.state = state
    if (outcome.case === "error") return call.reject(fromEngine(outcome.value, call.sql))
    if (outcome.case !== call.name) return call.reject(malformed(`${call.name} was answered with ${outcome.case ?? "nothing"}`))
    // In time for the calls that wait for it. A limit of 0 is none: with it nothing would ever be sent.
    for (const limit of call.name === "init" ? LIMITS : []) this.limits[limit] = outcome.value.limits?.[limit] || this.limits[limit]
    call.resolve({ value: outcome.value, attachments })
  }

  /** @param {{ case?: string, value?: any }} kind */
  #event(kind) {
    if (kind.case === "closed") {
      const { reason } = kind.value
      this.#end(reason ? fromEngine(reason) : transportClosed("the engine ended the session without a reason"), "FAILED")
    } else if (kind.case) {
      if (kind.case === "commit" && kind.value.commitSeq > this.state.commitSeq) {
        this.state = { ...this.state, commitSeq: kind.value.commitSeq }
      }
      try {
        this.#onEvent(kind.case, kind.value)
      } catch (error) {
        // Its rows are broken, and there is no call to reject for it.
        this.#end(/** @type {LixError} */ (error))
      }
    }
  }

  /**
   * The session is over; the first reason counts.
   *
   * @param {LixError} reason
   * @param {string} [later]  the reason that later calls are refused with
   */
  #end(reason, later) {
    if (this.#over) return
    this.#over = true
    this.#refusal ??= later ? new LixError("LIFECYCLE", later, `the session has ended: ${reason.message}`, { cause: reason }) : reason
    const waiting = [...this.#pending.values(), ...this.#backlog]
    this.#pending.clear()
    this.#backlog.clear()
    for (const call of waiting) call.reject(reason)
    this.#transport?.end()
    this.#onEvent("ended", reason)
  }

  /** A call's own error, because one that is shared collects the stacks of others. @param {LixError} refusal */
  #refused({ code, reason, message, ...more }) {
    return new LixError(code, reason, message, { ...more, cause: this.#refusal })
  }

  #nextId() {
    do this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1
    while (this.#pending.has(this.#lastId))
    return this.#lastId
  }
}

/** @returns {Pick<Call, "promise" | "resolve" | "reject">} */
function deferred() {
  /** @type {any} */
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

const LIMITS = /** @type {const} */ (["maxInflight", "maxFrameBytes"])
const MAX_ID = 2 ** 32 - 1
/** How long an engine that is given up has to leave by itself. */
const ABORT_MS = 500
/** How long close may take, counted from when it is the only call that waits. It may have to save. */
const CLOSE_MS = 30_000
