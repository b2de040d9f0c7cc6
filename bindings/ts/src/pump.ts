/**
 * Messages in, messages out, around the engine's shell. The worker and the in-process engine are
 * this and nothing more.
 *
 * A message that comes while nothing else is to do is handled at once. After a statement that took
 * long, the messages that came meanwhile are only received, so that a cancel finds its request still
 * waiting; then the queue goes on. If the engine traps or cannot be loaded, the host is told, and
 * every later request gets an answer.
 */

import { closedEventFrame, failedResponseFrame, frameId } from "./failure-frames.js"
import { later } from "./schedule.js"

/** The wasm engine's exports. Any of them may throw, after which the instance is unusable. */
export interface Shell {
  /** Queues a message; answers a cancel. Runs no SQL. */
  receive(frame: Uint8Array, attachments: Uint8Array[]): void
  /** Runs the oldest queued request; true while more wait. */
  step(): boolean
  /** Both, until nothing waits. */
  handle(frame: Uint8Array, attachments: Uint8Array[]): void
  /** The number of the next event; readable after a trap. */
  nextEventSeq(): bigint
  free(): void
}

/** Takes one message out; the buffers are its own. */
export type Post = (frame: Uint8Array, attachments: Uint8Array[]) => void

/** Opens the shell; its messages go to `post`. */
export type OpenShell = (post: Post) => Promise<Shell>

export interface Pump {
  /** What a port received: the protocol's envelope, or something else. */
  receive(data: unknown): void
  /** Gives the engine's memory back. Nothing is answered any more. */
  free(): void
}

/** `longMs`: what takes longer than this lets waiting messages in before the queue goes on. */
export function createPump(open: OpenShell, post: Post, longMs = 4): Pump {
  let state: "idle" | "loading" | "ready" | "draining" | "failed" | "freed" = "idle"
  let shell: Shell | undefined
  let early: Message[] = []
  // Sent only when the engine has returned: a listener in this thread may make the next call.
  const outbox: [Uint8Array, Uint8Array[]][] = []
  let sending = false
  // The engine has requests that did not run yet.
  let queued = false

  function load(): void {
    state = "loading"
    open((frame, attachments) => void outbox.push([frame, attachments])).then(
      (opened) => {
        if (state === "freed") return opened.free()
        shell = opened
        state = "ready"
        const messages = early
        early = []
        for (const message of messages) take(message)
      },
      (error: unknown) => fail("the engine could not be loaded", error),
    )
  }

  function take(message: Message): void {
    switch (state) {
      case "idle":
        early.push(message)
        return load()
      case "loading":
        return void early.push(message)
      case "ready": {
        const started = performance.now()
        attempt(() => shell!.handle(message.frame, message.attachments))
        if (performance.now() - started > longMs) rest()
        return
      }
      case "draining":
        queued = true
        return attempt(() => shell!.receive(message.frame, message.attachments))
      case "failed":
        refuse(message)
        return send()
    }
  }

  /** Lets the messages in that came during a long statement, then goes on with the queue. */
  function rest(): void {
    if (state !== "ready" && state !== "draining") return
    state = "draining"
    later(drain)
  }

  function drain(): void {
    if (state !== "draining") return
    const started = performance.now()
    // What a step sends may make somebody call again, which sets `queued` anew.
    do attempt(() => (queued = shell!.step()))
    while (queued && state === "draining" && performance.now() - started <= longMs)
    if (queued || performance.now() - started > longMs) rest()
    else if (state === "draining") state = "ready"
  }

  function attempt(run: () => void): void {
    try {
      run()
    } catch (error) {
      return fail("the engine has a defect", error)
    }
    send()
  }

  /** In order, also when what is sent makes somebody call again. */
  function send(): void {
    if (sending) return
    sending = true
    try {
      for (let next = outbox.shift(); next && state !== "freed"; next = outbox.shift()) post(...next)
    } finally {
      sending = false
    }
  }

  function fail(message: string, error: unknown): void {
    if (state === "freed") return
    state = "failed"
    // Requests that the engine had are answered by this event; those it has not seen, one by one.
    outbox.push([closedEventFrame(nextEventSeq(), message, describe(error)), []])
    for (const unseen of early) refuse(unseen)
    early = []
    send()
  }

  function nextEventSeq(): bigint {
    try {
      return shell?.nextEventSeq() ?? 1n
    } catch {
      return 1n
    }
  }

  function refuse({ frame }: Message): void {
    const id = frameId(frame)
    if (id !== undefined) outbox.push([failedResponseFrame(id), []])
  }

  return {
    receive: (data) => take(opened(data)),
    free() {
      const usable = state === "ready" || state === "draining"
      state = "freed"
      early = []
      if (usable) shell?.free()
      shell = undefined
    },
  }
}

interface Message {
  readonly frame: Uint8Array
  readonly attachments: Uint8Array[]
}

/** What is no envelope becomes bytes that are no frame, and the engine says so. */
function opened(data: unknown): Message {
  const { v, frame, attachments = [] } = (data ?? {}) as { v?: unknown; frame?: unknown; attachments?: unknown }
  const isEnvelope = v === 1 && frame instanceof ArrayBuffer && Array.isArray(attachments) && attachments.every((each) => each instanceof ArrayBuffer)
  if (!isEnvelope) return { frame: new Uint8Array([0]), attachments: [] }
  return { frame: new Uint8Array(frame), attachments: attachments.map((each: ArrayBuffer) => new Uint8Array(each)) }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
