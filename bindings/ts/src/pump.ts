/**
 * Messages in, messages out, around the engine's shell. The worker and the in-process engine are
 * this and nothing more.
 *
 * A message that comes while nothing else is to do is handled at once. After a statement that took
 * long, and while a save goes on, messages are only received, so that a cancel finds its request
 * still waiting; a task of its own then goes on with the queue. Where messages come without waiting
 * for answers, that task also gives them the time to share a save. Timers live here as well: the
 * engine says when it wants to be woken. If the engine traps or cannot be loaded, the host is told,
 * and every later request gets an answer.
 *
 * An answer that says "closed" or "suspended" leaves only after the file's lock is really free.
 */

import { closedEventFrame, failedResponseFrame, frameId } from "./failure-frames.js"
import type { PluginFailure, PluginLoader } from "./load-plugins.js"
import type { PluginRuntime } from "./plugins/runtime.js"
import { later } from "./schedule.js"
import { StorageFailure, type OpenedFile, type Storage, type SyncFile } from "./storage.js"

/** The wasm engine's exports. Any of them may throw, after which the instance is unusable. */
export interface Shell {
  /** Queues a message; answers a cancel. Runs no SQL. */
  receive(frame: Uint8Array, attachments: Uint8Array[]): void
  /** Runs the oldest queued request or a part of a save; true while there is more. */
  step(): boolean
  /** Receives and steps until nothing waits; true if a save is left to go on with. */
  handle(frame: Uint8Array, attachments: Uint8Array[]): boolean
  /** The file that `openStorage` was asked for. Runs no SQL. */
  storageOpened(file: SyncFile): void
  /** There is no such file to be had. */
  storageFailed(reason: string, message: string, subject: string): void
  /** The plugins that were asked for. Runs no SQL. */
  pluginsLoaded(runtime: PluginRuntime): void
  /** They cannot be had. */
  pluginsFailed(reason: string, message: string, subject: string): void
  /** In how many milliseconds `step` must be called although nothing happened. */
  deadlineIn(): number | undefined
  /** The number of the next event; readable after a trap. */
  nextEventSeq(): bigint
  free(): void
}

/** What the shell calls, always from inside one of its own methods. */
export interface ShellCalls {
  readonly post: Post
  readonly storage: { readonly kind: Storage["kind"]; open(path: string, create: boolean, waitMs: number): void } | undefined
  readonly crash: () => void
  /** One key each, and one text, or undefined for a plugin of the loader's own. */
  readonly plugins: { readonly hasOwn: boolean; load(keys: string[], codes: (string | undefined)[], timeoutMs: number): void } | undefined
}

/** Takes one message out; the buffers are its own. */
export type Post = (frame: Uint8Array, attachments: Uint8Array[]) => void

/** Opens the shell. */
export type OpenShell = (calls: ShellCalls) => Promise<Shell>

export interface PumpOptions {
  /** Without it the engine has memory only. */
  storage?: Storage | undefined
  /** Without it the engine has no plugins. */
  plugins?: PluginLoader | undefined
  /** Ends the surroundings as if they had been killed; used by test suites. */
  crash?: (() => void) | undefined
  /** What takes longer than this lets waiting messages in before the queue goes on. */
  longMs?: number | undefined
}

export interface Pump {
  /** What a port received: the protocol's envelope, or something else. */
  receive(data: unknown): void
  /** Gives the engine's memory and its file back. Nothing is answered any more. */
  free(): void
}

export function createPump(open: OpenShell, post: Post, { storage, plugins, crash, longMs = 4 }: PumpOptions = {}): Pump {
  let state: "idle" | "loading" | "ready" | "draining" | "failed" | "freed" = "idle"
  let shell: Shell | undefined
  let early: Message[] = []
  // Sent only when the engine has returned: a listener in this thread may make the next call.
  const outbox: [Uint8Array, Uint8Array[]][] = []
  let sending = false
  // The engine is at work. A plugin in this thread may call it, or end it, in the middle of that.
  let inside = false
  let ended = false
  const meanwhile: Message[] = []
  let takingUp = false
  // The engine has requests that did not run yet, or a save that is not finished.
  let unfinished = false
  // The next message was sent before its sender could have an answer, if it comes while this is set.
  let fresh = false
  // Messages come like that: an answer that waits for a save is worth a task, in which more may join.
  let crowded = false
  let joined = false
  // Files that the engine has; whoever opened one also has to let go of its lock.
  const files = new Set<SyncFile>()
  let releasing = 0
  let alarm: { readonly timer: ReturnType<typeof setTimeout>; readonly at: number } | undefined

  function load(): void {
    state = "loading"
    open({
      post: (frame, attachments) => void outbox.push([frame, attachments]),
      storage: storage && { kind: storage.kind, open: openFile },
      crash: die,
      plugins: plugins && { hasOwn: plugins.hasOwn, load: loadPlugins },
    }).then(
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
    if (inside) return void meanwhile.push(message)
    switch (state) {
      case "idle":
        early.push(message)
        return load()
      case "loading":
        return void early.push(message)
      case "ready": {
        const started = performance.now()
        crowded ||= fresh
        attempt(() => (unfinished = shell!.handle(message.frame, message.attachments)))
        if (unfinished && !crowded && state === "ready") goOnAtOnce()
        return settle(started)
      }
      case "draining":
        joined = true
        unfinished = true
        return attempt(() => shell!.receive(message.frame, message.attachments))
      case "failed":
        refuse(message)
        return send()
    }
  }

  /** For a sender that waits: what its answer waits for need not wait for anybody else. */
  function goOnAtOnce(): void {
    attempt(() => (unfinished = shell!.step()))
    fresh = true
    later(() => (fresh = false))
  }

  /** Lets the messages in that came during a long turn, then goes on. */
  function rest(): void {
    state = "draining"
    later(drain)
  }

  function drain(): void {
    if (state !== "draining") return
    crowded = joined
    joined = false
    const started = performance.now()
    // What a step sends may make somebody call again, which sets `unfinished` anew.
    do attempt(() => (unfinished = shell!.step()))
    while (unfinished && state === "draining" && performance.now() - started <= longMs)
    settle(started)
  }

  /** After a turn that began then: what next, and when. */
  function settle(started: number): void {
    if (state !== "ready" && state !== "draining") return
    if (unfinished || performance.now() - started > longMs) return rest()
    state = "ready"
    if (files.size > 0) arm()
  }

  /** A deadline that moves away, as with every commit, leaves the timer as it is: it rings early and is set anew. */
  function arm(): void {
    const inMs = shell!.deadlineIn()
    if (inMs === undefined) return disarm()
    const at = performance.now() + inMs
    if (alarm && alarm.at <= at) return
    disarm()
    alarm = { at, timer: setTimeout(ring, inMs) }
  }

  function ring(): void {
    alarm = undefined
    if (state !== "ready") return
    state = "draining"
    drain()
  }

  function disarm(): void {
    clearTimeout(alarm?.timer)
    alarm = undefined
  }

  function openFile(path: string, create: boolean, waitMs: number): void {
    storage!.open(path, { create, waitMs }).then(
      (opened) => {
        if (isOver()) return letGo(opened)
        const file = owned(opened)
        files.add(file)
        answered(() => shell!.storageOpened(file))
      },
      (error: unknown) => {
        if (isOver()) return
        const { reason, message, subject } = error instanceof StorageFailure ? error : { reason: "STORAGE_FAILED", message: String(error), subject: path }
        answered(() => shell!.storageFailed(reason, message, subject))
      },
    )
  }

  function loadPlugins(keys: string[], codes: (string | undefined)[], timeoutMs: number): void {
    plugins!.load(keys.map((key, index) => ({ key, code: codes[index] })), timeoutMs).then(
      (runtime) => {
        if (!isOver()) answered(() => shell!.pluginsLoaded(runtime))
      },
      (error: unknown) => {
        if (isOver()) return
        const { reason = "PLUGIN_LOAD", message = String(error), subject = "" } = (error ?? {}) as Partial<PluginFailure>
        answered(() => shell!.pluginsFailed(reason, message, subject))
      },
    )
  }

  function answered(tell: () => void): void {
    attempt(tell)
    if (isOver()) return
    unfinished = true
    if (state === "ready") rest()
  }

  /** The file as the engine gets it: closing it also lets its lock go, and holds back what is sent until it is gone. */
  function owned({ file, release }: OpenedFile): SyncFile {
    const mine: SyncFile = {
      getSize: () => file.getSize(),
      read: (into, options) => file.read(into, options),
      write: (from, options) => file.write(from, options),
      truncate: (size) => file.truncate(size),
      flush: () => file.flush(),
      close() {
        if (!files.delete(mine)) return
        releasing++
        try {
          file.close()
        } finally {
          const released = () => {
            releasing--
            send()
          }
          release().then(released, released)
        }
      },
    }
    return mine
  }

  function attempt(run: () => void): void {
    inside = true
    try {
      run()
    } catch (error) {
      fail("the engine has a defect", error)
    }
    inside = false
    if (ended) return end()
    takeUp()
    send()
  }

  /** What was asked of the engine while it was at work. */
  function takeUp(): void {
    if (takingUp) return
    takingUp = true
    for (let next = meanwhile.shift(); next; next = meanwhile.shift()) take(next)
    takingUp = false
  }

  /** In order, also when what is sent makes somebody call again. */
  function send(): void {
    if (sending || releasing > 0) return
    sending = true
    try {
      for (let next = outbox.shift(); next && state !== "freed"; next = releasing > 0 ? undefined : outbox.shift()) post(...next)
    } finally {
      sending = false
    }
  }

  function fail(message: string, error: unknown): void {
    if (state === "freed") return
    state = "failed"
    disarm()
    closeFiles()
    // Requests that the engine had are answered by this event; those it has not seen, one by one.
    outbox.push([closedEventFrame(nextEventSeq(), message, describe(error)), []])
    for (const unseen of early) refuse(unseen)
    early = []
    send()
  }

  /** As if killed: nothing is sent any more, and the surroundings end. */
  function die(): void {
    state = "freed"
    disarm()
    outbox.length = 0
    crash?.()
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

  function end(): void {
    const usable = state === "ready" || state === "draining"
    state = "freed"
    early = []
    disarm()
    if (usable) shell?.free()
    closeFiles()
    shell = undefined
  }

  function isOver(): boolean {
    return state === "failed" || state === "freed"
  }

  function closeFiles(): void {
    for (const file of files) {
      try {
        file.close()
      } catch {
        // It is gone already.
      }
    }
  }

  return {
    receive: (data) => take(opened(data)),
    free() {
      // What is at work cannot be freed; it is when it returns.
      ended = true
      if (!inside) end()
    },
  }
}

interface Message {
  readonly frame: Uint8Array
  readonly attachments: Uint8Array[]
}

function letGo({ file, release }: OpenedFile): void {
  file.close()
  release().catch(() => {})
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
