// The engine in a Dedicated Worker. The envelope is { v: 1, frame: ArrayBuffer, attachments?: ArrayBuffer[] }.
//
// Requests run one per turn of the event loop, so that a cancel reaches those that wait.
import { Failure, fromException } from "./failures.ts"
import { Session } from "./engine.ts"
import { loadSqlite3 } from "./sqlite.ts"
import { received } from "./wire.ts"

const scope = globalThis as unknown as DedicatedWorkerGlobalScope

const session = new Session((frame, attachments) => {
  const buffers = attachments.map(({ buffer }) => buffer)
  const envelope = { v: 1, frame: frame.buffer, ...(buffers.length > 0 ? { attachments: buffers } : {}) }
  scope.postMessage(envelope, [frame.buffer, ...buffers])
})

const turns = new MessageChannel()
let turnIsComing = false

const schedule = () => {
  if (turnIsComing || !session.busy) return
  turnIsComing = true
  turns.port2.postMessage(null)
}

turns.port1.onmessage = () => {
  turnIsComing = false
  session.step()
  schedule()
}

scope.onmessage = ({ data }: MessageEvent<unknown>) => {
  if (isEnvelope(data)) {
    session.receive(received(new Uint8Array(data.frame), (data.attachments ?? []).map((buffer) => new Uint8Array(buffer))))
  } else {
    session.end(new Failure("FRAME_MALFORMED", "the posted value is no envelope of version 1"))
  }
  schedule()
}

scope.onmessageerror = () => {
  session.end(new Failure("FRAME_MALFORMED", "the posted value cannot be read"))
  schedule()
}

loadSqlite3().then(
  (sqlite3) => {
    session.start(sqlite3)
    schedule()
  },
  (thrown: unknown) => session.fail(new Failure("ENGINE_DEFECT", `SQLite does not load: ${fromException(thrown).message}`)),
)

const isEnvelope = (data: unknown): data is { frame: ArrayBuffer; attachments?: ArrayBuffer[] } => {
  if (typeof data !== "object" || data === null) return false
  const { v, frame, attachments = [] } = data as Record<string, unknown>
  const isBuffer = (value: unknown) => value instanceof ArrayBuffer
  return v === 1 && isBuffer(frame) && Array.isArray(attachments) && attachments.every(isBuffer)
}
