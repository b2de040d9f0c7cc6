// The message pump around a shell that answers, takes its time, traps, or never loads.

import assert from "node:assert/strict"
import { test } from "node:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { closedEventFrame, failedResponseFrame, frameId } from "../../src/failure-frames.js"
import { CancelRequestSchema, ErrorCode, FrameSchema, type Frame, type Request } from "../../src/gen/engine_pb.js"
import { createPump, type OpenShell, type Post, type Shell } from "../../src/pump.js"
import { settled } from "../support/assert.js"

test("the frames of a dead engine are what the generated code reads", () => {
  for (const seq of [1n, 127n, 128n, 2n ** 40n]) {
    const { id, body } = fromBinary(FrameSchema, closedEventFrame(seq, "gone", "stack é".repeat(100)))
    assert.equal(id, 0)
    assert.ok(body.case === "event" && body.value.kind.case === "closed")
    assert.equal(body.value.seq, seq)
    const { reason } = body.value.kind.value
    assert.deepEqual([reason?.code, reason?.reason, reason?.message, reason?.detail], [ErrorCode.INTERNAL, "ENGINE_DEFECT", "gone", "stack é".repeat(100)])
  }
  for (const wanted of [1, 127, 128, 0xffff_ffff]) {
    const { id, body } = fromBinary(FrameSchema, failedResponseFrame(wanted))
    assert.equal(id, wanted)
    assert.ok(body.case === "response" && body.value.outcome.case === "error")
    assert.equal(body.value.outcome.value.code, ErrorCode.LIFECYCLE)
    assert.equal(body.value.outcome.value.reason, "FAILED")
  }
})

test("the id is read from any request, and from nothing else", () => {
  for (const id of [1, 300, 0xffff_ffff]) {
    assert.equal(frameId(request(id)), id)
    assert.equal(frameId(toBinary(FrameSchema, create(FrameSchema, { id, attachmentSizes: [1n, 2n ** 40n] }))), id)
    // with unknown fields of every wire type in front
    assert.equal(frameId(new Uint8Array([0x98, 6, 0x81, 1, 0x99, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0x9a, 6, 2, 9, 9, 0x9d, 6, 1, 2, 3, 4, ...request(id)])), id)
  }
  assert.equal(frameId(new Uint8Array([])), 0)
  for (const broken of [[0x08], [0x08, 0x80], [0x1a, 5, 1], [0x0b], [0x0f]]) assert.equal(frameId(new Uint8Array(broken)), undefined)
})

/** A shell that answers each request with an empty answer, after what the test says. */
class FakeShell implements Shell {
  readonly queue: Uint8Array[] = []
  readonly log: string[] = []
  freed = 0
  constructor(
    readonly post: Post,
    readonly run: (id: number) => void = () => {},
  ) {}
  receive(frame: Uint8Array): void {
    this.log.push(`receive ${frameId(frame)}`)
    this.queue.push(frame)
  }
  step(): boolean {
    const frame = this.queue.shift()
    if (frame) {
      const id = frameId(frame)!
      this.log.push(`run ${id}`)
      this.run(id)
      this.post(answer(id), [])
    }
    return this.queue.length > 0
  }
  handle(frame: Uint8Array): boolean {
    this.receive(frame)
    while (this.step());
    return false
  }
  storageOpened(): void {}
  storageFailed(): void {}
  pluginsLoaded(): void {}
  pluginsFailed(): void {}
  deadlineIn(): number | undefined {
    return undefined
  }
  nextEventSeq(): bigint {
    return 42n
  }
  free(): void {
    this.freed++
  }
}

function pumped(run?: (id: number) => void, load: Promise<void> = Promise.resolve(), longMs = Infinity) {
  const out: Frame[] = []
  let shell!: FakeShell
  const open: OpenShell = async ({ post }) => {
    await load
    return (shell = new FakeShell(post, run))
  }
  const pump = createPump(open, (frame) => void out.push(fromBinary(FrameSchema, frame)), { longMs })
  return { pump, out, shell: () => shell }
}

const ids = (frames: Frame[]) => frames.map(({ id }) => id)

test("requests that come while the engine is loading wait, in order", async () => {
  let loaded!: () => void
  const { pump, out } = pumped(undefined, new Promise((resolve) => (loaded = resolve)))
  pump.receive(message(1))
  pump.receive(message(2))
  await settled()
  assert.deepEqual(ids(out), [])
  loaded()
  await settled()
  assert.deepEqual(ids(out), [1, 2])
})

test("an engine that cannot be loaded says so, and answers everything", async () => {
  const { pump, out } = pumped(undefined, Promise.reject(new Error("404")))
  pump.receive(message(1))
  pump.receive(message(2))
  await settled()
  pump.receive(message(3))
  assert.deepEqual(ids(out), [0, 1, 2, 3])
  assert.ok(out[0]!.body.case === "event" && out[0]!.body.value.kind.case === "closed")
  assert.match(out[0]!.body.value.kind.value.reason?.detail ?? "", /404/)
  for (const { body } of out.slice(1)) assert.ok(body.case === "response" && body.value.outcome.case === "error" && body.value.outcome.value.reason === "FAILED")
})

test("a trap ends the engine: one closed event with the next number, then FAILED", async () => {
  const { pump, out, shell } = pumped((id) => {
    if (id === 2) throw new WebAssembly.RuntimeError("unreachable")
  })
  pump.receive(message(1))
  await settled()
  pump.receive(message(2))
  pump.receive(message(3))
  assert.deepEqual(ids(out), [1, 0, 3])
  assert.ok(out[1]!.body.case === "event" && out[1]!.body.value.kind.case === "closed")
  assert.equal(out[1]!.body.value.seq, 42n)
  assert.ok(out[2]!.body.case === "response" && out[2]!.body.value.outcome.case === "error")
  pump.free()
  assert.equal(shell().freed, 0, "a trapped instance is not touched again")
})

test("after a long statement, messages are received before the queue goes on", async () => {
  const { pump, out, shell } = pumped((id) => {
    if (id === 1) burn(60)
  }, undefined, 50)
  pump.receive(message(9))
  await settled()
  shell().log.length = 0
  pump.receive(message(1))
  pump.receive(message(2))
  pump.receive(message(3))
  assert.deepEqual(shell().log, ["receive 1", "run 1", "receive 2", "receive 3"])
  for (let turn = 0; turn < 100 && out.length < 4; turn++) await settled()
  assert.deepEqual(ids(out), [9, 1, 2, 3])
  shell().log.length = 0
  await settled()
  pump.receive(message(4))
  assert.deepEqual(shell().log, ["receive 4", "run 4"], "and then messages are handled at once again")
})

test("an answer that makes the next call does not call the engine from inside the engine", async () => {
  let inside = 0
  const out: number[] = []
  const pump = createPump(
    async ({ post }) => {
      const shell = new FakeShell(post)
      const handle = shell.handle.bind(shell)
      shell.handle = (frame) => {
        assert.equal(inside++, 0)
        const more = handle(frame)
        inside--
        return more
      }
      return shell
    },
    (frame) => {
      const id = frameId(frame)!
      out.push(id)
      if (id < 5) pump.receive(message(id + 1))
    },
    { longMs: Infinity },
  )
  pump.receive(message(1))
  await settled()
  assert.deepEqual(out, [1, 2, 3, 4, 5])
})

test("a call that an answer makes while the queue drains is not forgotten", async () => {
  const out: number[] = []
  const pump = createPump(
    async ({ post }) =>
      new FakeShell(post, (id) => {
        if (id === 1) burn(60)
      }),
    (frame) => {
      const id = frameId(frame)!
      out.push(id)
      if (id === 2) pump.receive(message(3))
    },
    { longMs: 50 },
  )
  pump.receive(message(9))
  await settled()
  pump.receive(message(1))
  pump.receive(message(2))
  for (let turn = 0; turn < 100 && out.length < 4; turn++) await settled()
  assert.deepEqual(out, [9, 1, 2, 3])
})

test("what is no envelope reaches the engine as bytes that are no frame", async () => {
  const { pump, shell } = pumped()
  pump.receive(message(1))
  await settled()
  for (const garbage of [null, "text", { v: 2, frame: new ArrayBuffer(1) }, { v: 1, frame: "x" }, { v: 1, frame: new ArrayBuffer(0), attachments: [1] }]) {
    const seen: Uint8Array[] = []
    shell().handle = (frame) => seen.push(frame) === 0
    pump.receive(garbage)
    assert.deepEqual(seen, [new Uint8Array([0])])
  }
})

test("freeing gives the instance back once, also while it is still loading, and nothing is sent after", async () => {
  const { pump, shell, out } = pumped()
  pump.receive(message(1))
  await settled()
  pump.free()
  pump.receive(message(2))
  assert.equal(shell().freed, 1)
  assert.deepEqual(ids(out), [1])

  const early = pumped()
  early.pump.receive(message(1))
  early.pump.free()
  await settled()
  assert.equal(early.shell().freed, 1)
  assert.deepEqual(early.out, [])
})

/** A statement that takes its time. */
function burn(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; );
}

function request(id: number): Uint8Array<ArrayBuffer> {
  const call: Request["call"] = { case: "cancel", value: create(CancelRequestSchema, { target: 9 }) }
  return toBinary(FrameSchema, create(FrameSchema, { id, body: { case: "request", value: { call } } })).slice()
}

function answer(id: number): Uint8Array {
  return toBinary(FrameSchema, create(FrameSchema, { id, body: { case: "response", value: {} } }))
}

function message(id: number): unknown {
  return { v: 1, frame: request(id).buffer }
}
