/**
 * Calls over messages: ids, the calls that wait for an answer, and those that wait for their turn.
 * Knows bytes and ends of connections, no SQL.
 *
 * Every call settles. However the connection ends, each call that waits is told.
 */

import { decodeMessage, encodeCall, OUTCOME, type Envelope, type Incoming } from "./codec.js"
import { EngineError } from "./errors.js"
import type { LixPlugin } from "./plugins/plugin.js"
import type { SessionState } from "./types.js"

/**
 * Where an engine listens: a `Worker`, a `MessagePort`, or anything that behaves like one. Needed are
 * the first two members; the rest is used where it exists.
 */
export interface EnginePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  onmessage: ((event: MessageEvent) => unknown) | null
  onmessageerror?: ((event: MessageEvent) => unknown) | null
  onerror?: ((event: ErrorEvent) => unknown) | null
  /** An engine in this thread takes plugins as they are. Called with all of them before each `init`. */
  providePlugins?(plugins: readonly LixPlugin[]): void
  /** Used for `"close"`, which message ports have as an event only. */
  addEventListener?(type: "close", listener: () => void): void
  terminate?(): void
  close?(): void
}

/** A call that waits. Exactly one of the two is called, once. */
export interface Waiting {
  settle(answer: Incoming): void
  fail(error: EngineError): void
}

/** What the transport tells its owner. */
export interface TransportEvents {
  /** An event frame came. */
  event(bytes: Uint8Array): void
  /** An answer came that is an error; its call is told next. */
  refused(answer: Incoming): void
  /** Code of this plugin begins to run; null: it is over. Only after a message that asked for it. */
  plugin(plugin: string | null): void
  /** The connection ended by itself. */
  lost(error: EngineError): void
}

export type Transport = ReturnType<typeof createTransport>

export function createTransport(port: EnginePort, events: TransportEvents) {
  const waiting = new Map<number, Waiting>()
  const backlog = new Backlog()
  let state: SessionState = { inTransaction: false, commitSeq: 0, savedSeq: 0 }
  let maxInflight = 1
  let lastId = 0
  let ended: EngineError | undefined

  port.onmessage = ({ data }) => {
    if (ended) return
    const { plugin } = (data ?? {}) as { plugin?: string | null }
    if (plugin !== undefined) return events.plugin(plugin)
    let incoming
    try {
      incoming = decodeMessage(data)
      if (incoming.event) events.event(incoming.event)
    } catch (cause) {
      return lost(transportClosed("the engine sent bytes that are no message", cause))
    }
    const call = waiting.get(incoming.id)
    if (!call) return
    waiting.delete(incoming.id)
    if (incoming.state) state = incoming.state
    if (backlog.length > 0) sendBacklog()
    if (incoming.outcome === OUTCOME.error) events.refused(incoming)
    call.settle(incoming)
  }
  // A worker that its owner terminates dies without an event, and its calls would wait forever.
  const terminate = port.terminate?.bind(port)
  if (terminate) {
    port.terminate = () => {
      terminate()
      lost(transportClosed("the worker was terminated"))
    }
  }
  port.onmessageerror = () => lost(transportClosed("a message of the engine could not be received"))
  port.addEventListener?.("close", () => lost(transportClosed("the engine's end of the port was closed")))
  port.onerror = (event) => {
    event.preventDefault?.()
    lost(new EngineError("INTERNAL", "WORKER_FAILED", event.message || "the worker script could not be loaded", { cause: event.error }))
  }

  function post(id: number, message: Envelope, call: Waiting): void {
    waiting.set(id, call)
    try {
      port.postMessage(message, message.attachments ? [message.frame, ...message.attachments] : [message.frame])
    } catch (cause) {
      waiting.delete(id)
      call.fail(new EngineError("INVALID", "PARAM_INVALID", "the message cannot be posted", { cause }))
    }
  }

  function sendBacklog(): void {
    while (waiting.size < maxInflight && !ended) {
      const next = backlog.take()
      if (!next) return
      post(next.id, next.message, next.call)
    }
  }

  function lost(error: EngineError): void {
    if (ended) return
    end(error)
    events.lost(error)
  }

  /** Ends the connection; every call that waits rejects with the error. */
  function end(error: EngineError): void {
    if (ended) return
    ended = error
    port.onmessage = null
    if (terminate) terminate()
    else port.close?.()
    const calls = [...waiting.values()]
    for (let next = backlog.take(); next; next = backlog.take()) calls.push(next.call)
    waiting.clear()
    for (const call of calls) call.fail(error)
  }

  return {
    /** The session as the newest answer reported it. */
    get state(): SessionState {
      return state
    },

    /** An id that no waiting call has. */
    nextId(): number {
      do lastId = lastId === 0xffff_ffff ? 1 : lastId + 1
      while (waiting.has(lastId))
      return lastId
    },

    /** Sends the call, or keeps it until fewer than the engine's limit are unanswered. */
    send(id: number, message: Envelope, call: Waiting): void {
      if (ended) call.fail(ended)
      else if (backlog.length > 0 || waiting.size >= maxInflight) backlog.add({ id, message, call })
      else post(id, message, call)
    },

    /** Asks the engine to drop a call; one that was not sent yet is dropped here. */
    cancel(id: number): void {
      const kept = backlog.remove(id)
      if (kept) {
        kept.call.fail(cancelled())
      } else if (waiting.has(id)) {
        // Nobody waits for the answer to the cancel itself: the call's own answer says what became of it.
        const message = encodeCall(this.nextId(), { case: "cancel", value: { $typeName: "lix.engine.v1.CancelRequest", target: id } })
        port.postMessage(message, [message.frame])
      }
    },

    /** How many calls may be unanswered; 1 until the engine has named its limit. */
    allow(inflight: number): void {
      maxInflight = Math.max(1, inflight)
      sendBacklog()
    },

    /** The engine said it is over. */
    lost,
    end,
  }
}

/** The connection is gone. */
export function transportClosed(message: string, cause?: unknown): EngineError {
  return new EngineError("LIFECYCLE", "TRANSPORT_CLOSED", message, { cause })
}

/** What a call rejects with that was dropped before it was sent. */
export function cancelled(cause?: unknown): EngineError {
  return new EngineError("INTERRUPTED", "CANCELLED", "the call was cancelled", { cause, retryable: true })
}

interface Entry {
  readonly id: number
  readonly message: Envelope
  readonly call: Waiting
}

/** First in, first out, at constant cost however many wait. */
class Backlog {
  #entries: (Entry | undefined)[] = []
  #head = 0
  length = 0

  add(entry: Entry): void {
    this.#entries.push(entry)
    this.length++
  }

  take(): Entry | undefined {
    while (this.#head < this.#entries.length) {
      const entry = this.#entries[this.#head]
      this.#entries[this.#head++] = undefined
      if (!entry) continue
      this.length--
      return entry
    }
    this.#entries = []
    this.#head = 0
    return undefined
  }

  remove(id: number): Entry | undefined {
    const index = this.length === 0 ? -1 : this.#entries.findIndex((entry) => entry?.id === id)
    if (index < 0) return undefined
    const entry = this.#entries[index]
    this.#entries[index] = undefined
    this.length--
    return entry
  }
}
