// The message pump where there is storage: files are opened and let go, saves go on in the background, timers ring.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createPump, type ShellCalls, type Shell } from "../../src/pump.js"
import { StorageFailure, type OpenedFile, type Storage, type SyncFile } from "../../src/storage.js"
import { settled } from "../support/assert.js"

test("the file that the engine asks for is opened without holding anything up, and handed over", async () => {
  const { shell, storage, send } = await pumped()
  shell.calls.storage!.open("a/b", true, 7)
  assert.deepEqual(storage.asked, [["a/b", { create: true, waitMs: 7 }]])
  send(2)
  assert.deepEqual(shell.log, ["handle 1", "handle 2"], "messages are taken meanwhile")
  storage.opened()
  await quiet()
  assert.deepEqual(shell.log, ["handle 1", "handle 2", "storageOpened", "step"])
})

test("a file that cannot be had is told with its reason; anything else is STORAGE_FAILED", async () => {
  const { shell, storage } = await pumped()
  shell.calls.storage!.open("a", false, 0)
  storage.failed(new StorageFailure("STORAGE_BUSY", "in use", "a"))
  await quiet()
  shell.calls.storage!.open("b", false, 0)
  storage.failed(new TypeError("odd"))
  await quiet()
  const told = shell.log.filter((line) => line.startsWith("storageFailed"))
  assert.match(told[0]!, /^storageFailed STORAGE_BUSY in use a$/)
  assert.match(told[1]!, /^storageFailed STORAGE_FAILED TypeError: odd/)
})

test("what is sent after a file was closed leaves once its lock is free, and in order", async () => {
  const { shell, storage, send, out } = await pumped()
  shell.calls.storage!.open("a", true, 0)
  const file = storage.opened()
  await quiet()
  shell.run = () => {
    shell.say("before")
    shell.file!.close()
    shell.say("after")
  }
  send(2)
  shell.run = () => shell.say("later")
  send(3)
  assert.deepEqual([file.closed, out], [1, ["answer 1"]])
  storage.release()
  await quiet()
  assert.deepEqual(out, ["answer 1", "before", "after", "later"])
})

test("a save goes on in tasks of its own, between which messages are taken", async (t) => {
  const { shell, send, clock } = await pumped({ longMs: 5, t })
  let left = 5
  shell.step = () => {
    shell.log.push("step")
    clock.tick(6)
    return --left > 0
  }
  shell.run = () => true
  shell.log.length = 0
  send(2)
  await settled()
  send(3)
  await settled()
  assert.deepEqual(shell.log, ["handle 2", "step", "step", "receive 3", "step"], "not handled at once, which would hold up a cancel")
  shell.step = () => (shell.log.push("step"), --left > 0)
  await quiet()
  assert.equal(shell.log.filter((line) => line === "step").length, 5)
  shell.log.length = 0
  shell.run = () => false
  send(4)
  assert.deepEqual(shell.log, ["handle 4"], "and then they are handled at once again")
})

test("an answer that waits for a save gets it at once, unless more messages come without waiting", async () => {
  const { shell, send } = await pumped()
  shell.run = () => true
  shell.log.length = 0
  send(2)
  assert.deepEqual(shell.log, ["handle 2", "step"])
  await quiet()
  send(3)
  send(4)
  send(5)
  assert.deepEqual(shell.log.splice(0), ["handle 2", "step", "handle 3", "step", "handle 4", "receive 5"], "4 was sent before 3 was answered; 5 joins it")
  await quiet()
  send(6)
  assert.deepEqual(shell.log.splice(0), ["step", "handle 6"], "where one joined, more may")
  await quiet()
  send(7)
  assert.deepEqual(shell.log, ["step", "handle 7", "step"], "none did")
})

test("the engine is woken at its deadline; one that moves away does not set a timer anew", async (t) => {
  const { shell, storage, send, clock } = await pumped({ t })
  shell.calls.storage!.open("a", true, 0)
  storage.opened()
  await quiet()
  shell.log.length = 0
  shell.deadline = 300
  send(2)
  assert.deepEqual(clock.timers(), [300])
  clock.tick(100)
  shell.deadline = 300
  send(3)
  assert.deepEqual(clock.timers(), [200], "one timer, and the earlier time")
  clock.tick(200)
  assert.deepEqual(shell.log, ["handle 2", "handle 3", "step"])
  assert.deepEqual(clock.timers(), [300], "it rang early and was set anew")
  shell.deadline = 50
  send(4)
  assert.deepEqual(clock.timers(), [50], "an earlier deadline is kept")
  shell.deadline = undefined
  send(5)
  assert.deepEqual(clock.timers(), [], "nothing to wait for")
})

test("an engine without a file sets no timers", async (t) => {
  const { shell, send, clock } = await pumped({ t })
  shell.deadline = 10
  send(2)
  assert.deepEqual(clock.timers(), [])
})

test("a trap closes the file, and the host hears of it once the lock is free", async () => {
  const { shell, storage, send, out } = await pumped()
  shell.calls.storage!.open("a", true, 0)
  const file = storage.opened()
  await quiet()
  shell.run = () => {
    throw new WebAssembly.RuntimeError("unreachable")
  }
  send(2)
  assert.deepEqual([file.closed, out], [1, ["answer 1"]])
  storage.release()
  await quiet()
  assert.equal(out.length, 2)
})

test("freeing closes the file, also one that is only just opened", async () => {
  const { pump, shell, storage } = await pumped()
  shell.calls.storage!.open("a", true, 0)
  const file = storage.opened()
  await quiet()
  pump.free()
  assert.deepEqual([file.closed, storage.released], [1, 1])

  const late = await pumped()
  late.shell.calls.storage!.open("a", true, 0)
  late.pump.free()
  const unwanted = late.storage.opened()
  await quiet()
  assert.deepEqual([unwanted.closed, late.storage.released, late.shell.log.includes("storageOpened")], [1, 1, false])
})

test("a crash is silent: nothing more is sent, nothing saved, no timer rings", async (t) => {
  let crashed = 0
  const { shell, storage, send, out, clock } = await pumped({ t, crash: () => crashed++ })
  shell.calls.storage!.open("a", true, 0)
  const file = storage.opened()
  await quiet()
  shell.deadline = 10
  send(2)
  shell.run = () => {
    shell.say("never heard")
    shell.calls.crash()
  }
  send(3)
  send(4)
  await quiet()
  assert.deepEqual([crashed, out, clock.timers(), file.closed], [1, ["answer 1", "answer 2"], [], 0])
})

// ── Fakes ──────────────────────────────────────────────────────────────────

class FakeShell implements Shell {
  readonly log: string[] = []
  file: SyncFile | undefined
  deadline: number | undefined
  run: (id: number) => boolean | void = (id) => this.say(`answer ${id}`)
  constructor(readonly calls: ShellCalls) {}
  say(text: string): void {
    this.calls.post(new TextEncoder().encode(text), [])
  }
  receive(frame: Uint8Array): void {
    this.log.push(`receive ${frame[0]}`)
  }
  step(): boolean {
    this.log.push("step")
    return false
  }
  handle(frame: Uint8Array): boolean {
    this.log.push(`handle ${frame[0]}`)
    return this.run(frame[0]!) === true
  }
  storageOpened(file: SyncFile): void {
    this.file = file
    this.log.push("storageOpened")
  }
  storageFailed(...told: string[]): void {
    this.log.push(`storageFailed ${told.join(" ")}`)
  }
  pluginsLoaded(): void {}
  pluginsFailed(): void {}
  deadlineIn(): number | undefined {
    return this.deadline
  }
  nextEventSeq(): bigint {
    return 1n
  }
  free(): void {
    this.log.push("free")
  }
}

class FakeStorage implements Storage {
  readonly kind = "file"
  readonly asked: unknown[] = []
  released = 0
  release = () => {}
  #settle: { resolve(opened: OpenedFile): void; reject(error: unknown): void } | undefined
  open(path: string, options: object): Promise<OpenedFile> {
    this.asked.push([path, options])
    return new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
  }
  opened(): { closed: number } {
    const file = { closed: 0, close: () => void file.closed++ }
    const gone = new Promise<void>((resolve) => (this.release = resolve))
    const release = () => {
      this.released++
      return gone
    }
    this.#settle!.resolve({ file: file as unknown as SyncFile, release })
    return file
  }
  failed(error: unknown): void {
    this.#settle!.reject(error)
  }
}

/** Everything that is on its way has arrived, and what that started has run. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await settled()
}

/** A pump around a shell that has answered message 1. With `t`, its timers run on a clock of the test's. */
async function pumped({ longMs = Infinity, crash, t }: { longMs?: number; crash?: () => void; t?: TestContext } = {}) {
  const clock = t ? fakeClock(t) : { timers: () => [] as number[], tick: (_ms: number) => {} }
  const storage = new FakeStorage()
  const out: string[] = []
  let shell: FakeShell | undefined
  const open = async (calls: ShellCalls) => (shell = new FakeShell(calls))
  const pump = createPump(open, (frame) => void out.push(new TextDecoder().decode(frame)), { storage, crash, longMs })
  const send = (id: number) => pump.receive({ v: 1, frame: new Uint8Array([id]).buffer })
  send(1)
  await quiet()
  return { pump, shell: shell!, storage, out, send, clock }
}

/** `setTimeout`, `clearTimeout` and `performance.now` at the test's command. */
function fakeClock(t: TestContext) {
  let now = 1000
  let last = 0
  const set = new Map<number, { at: number; run: () => void }>()
  t.mock.method(performance, "now", () => now)
  t.mock.method(globalThis, "setTimeout", ((run: () => void, ms: number) => (set.set(++last, { at: now + ms, run }), last)) as unknown as typeof setTimeout)
  t.mock.method(globalThis, "clearTimeout", (id: number) => void set.delete(id))
  return {
    timers: () => [...set.values()].map(({ at }) => at - now),
    tick(ms: number) {
      now += ms
      for (const [id, { at, run }] of set) {
        if (at > now) continue
        set.delete(id)
        run()
      }
    },
  }
}
