/**
 * A scripted engine: a port that speaks real frames, built with the generated code, and answers as
 * the test says. Nothing of the package's own codec is used.
 */

import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf"
import { createEngine, type EnginePort, type LixEngine } from "../../src/index.js"
import { FrameSchema, type EventSchema, type Frame, type InitResponseSchema, type Request, type Response, type ResponseSchema } from "../../src/gen/engine_pb.js"

type Outcome = NonNullable<MessageInitShape<typeof ResponseSchema>["outcome"]>
type State = MessageInitShape<typeof ResponseSchema>["state"]

/** A request as the engine saw it. */
export interface Seen {
  readonly id: number
  readonly call: Request["call"]
  readonly frame: Frame
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly attachments: ArrayBuffer[]
  readonly transferred: readonly Transferable[]
}

/** The engine's side of the connection. */
export class ScriptedEngine {
  readonly seen: Seen[] = []
  readonly port: EnginePort & { terminated: number }
  /** Called with each request; without it the test answers by hand. */
  script: ((request: Seen) => void) | undefined
  /** The other end of the port closes. */
  closed: () => void = () => {}
  #wake: (() => void)[] = []

  constructor(script?: (request: Seen) => void) {
    this.script = script
    this.port = {
      terminated: 0,
      onmessage: null,
      onmessageerror: null,
      onerror: null,
      postMessage: (message, transfer) => this.#take(message as { frame: ArrayBuffer; attachments?: ArrayBuffer[] }, transfer),
      addEventListener: (_type, listener) => void (this.closed = listener),
      terminate() {
        this.terminated++
      },
    }
  }

  /** The requests of one kind. */
  calls(kind: NonNullable<Request["call"]["case"]>): Seen[] {
    return this.seen.filter(({ call }) => call.case === kind)
  }

  /** Resolves when this many requests have come. */
  async until(count: number): Promise<void> {
    while (this.seen.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  answer(id: number, outcome: Outcome, options: { state?: State; attachments?: ArrayBuffer[]; sizes?: bigint[] } = {}): void {
    const { attachments = [] } = options
    const frame = create(FrameSchema, {
      id,
      attachmentSizes: options.sizes ?? attachments.map((each) => BigInt(each.byteLength)),
      body: { case: "response", value: { state: options.state ?? {}, outcome } },
    })
    this.send(toBinary(FrameSchema, frame), attachments)
  }

  event(event: MessageInitShape<typeof EventSchema>): void {
    this.send(toBinary(FrameSchema, create(FrameSchema, { body: { case: "event", value: event } })))
  }

  /** Bytes in a proper envelope, whatever they are. */
  send(bytes: Uint8Array, attachments: ArrayBuffer[] = []): void {
    this.post({ v: 1, frame: bytes.slice().buffer, attachments })
  }

  /** Any message. */
  post(data: unknown): void {
    this.port.onmessage?.({ data } as MessageEvent)
  }

  #take(message: { frame: ArrayBuffer; attachments?: ArrayBuffer[] }, transferred: readonly Transferable[]): void {
    // A structured clone, as a real port makes one: what is transferred is gone for the sender.
    const { frame, attachments = [] } = structuredClone(message, { transfer: [...transferred] })
    const bytes = new Uint8Array(frame)
    const parsed = fromBinary(FrameSchema, bytes)
    if (parsed.body.case !== "request") throw new Error("the host sent something that is no request")
    const seen = { id: parsed.id, call: parsed.body.value.call, frame: parsed, bytes, attachments, transferred }
    this.seen.push(seen)
    for (const wake of this.#wake.splice(0)) wake()
    this.script?.(seen)
  }
}

/** A script that answers `init` and leaves the rest to `next`. */
export function opened(next?: (request: Seen, engine: ScriptedEngine) => void, response: MessageInitShape<typeof InitResponseSchema> = {}): ScriptedEngine {
  const scripted: ScriptedEngine = new ScriptedEngine((request) => {
    if (request.call.case === "init") scripted.answer(request.id, { case: "init", value: { ...INIT, ...response } as MessageInitShape<typeof InitResponseSchema> })
    else next?.(request, scripted)
  })
  return scripted
}

/** An engine that is open, over a script. */
export async function openEngine(next?: (request: Seen, engine: ScriptedEngine) => void, response?: MessageInitShape<typeof InitResponseSchema>): Promise<{ engine: LixEngine; scripted: ScriptedEngine }> {
  const scripted = opened(next, response)
  const engine = createEngine(scripted.port)
  await engine.init()
  return { engine, scripted }
}

export const INIT: MessageInitShape<typeof InitResponseSchema> = {
  engineName: "scripted",
  engineVersion: "1.2.3",
  sqliteVersion: "3.0.0",
  capabilities: [3, 4],
  storage: 1,
  limits: {
    maxFrameBytes: 1 << 26,
    maxAttachmentBytes: 1n << 30n,
    maxSqlBytes: 1 << 20,
    maxParams: 32766,
    maxBatchStatements: 10000,
    maxOpenCursors: 16,
    maxInflight: 1024,
    maxResultBytes: 1n << 26n,
  },
}

export type { Outcome, Response }
