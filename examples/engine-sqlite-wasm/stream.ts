// The engine on a byte stream: preamble, then for each message a length, the frame and its attachments.
import type { Readable, Writable } from "node:stream"
import { Failure } from "./failures.ts"
import { Session } from "./engine.ts"
import type { Sqlite3 } from "./sqlite.ts"
import { attachmentTooLong, type Incoming, MAX_ATTACHMENT_BYTES, MAX_FRAME_BYTES, parse } from "./wire.ts"

/** One session. Resolves with an exit status: 0 if the stream ended between two messages. */
export const serve = (sqlite3: Sqlite3, input: Readable, output: Writable): Promise<number> =>
  new Promise((resolve) => {
    let status: number | undefined // known once nothing more is read
    let turnIsComing = false
    const session = new Session((frame, attachments) => {
      const length = new Uint8Array(4)
      new DataView(length.buffer).setUint32(0, frame.length, true)
      for (const bytes of [length, frame, ...attachments]) output.write(bytes)
    })
    // Requests run one per turn of the event loop, so that a cancel reaches those that wait.
    const schedule = () => {
      if (turnIsComing) return
      turnIsComing = true
      setImmediate(() => {
        turnIsComing = false
        if (session.busy) session.step()
        if (session.failed) stopReading(1)
        if (session.busy) schedule()
        else if (status !== undefined && !turnIsComing) leave(status)
      })
    }
    const stopReading = (leaveWith: number, reason?: Failure) => {
      if (status !== undefined) return
      status = leaveWith
      input.removeAllListeners("data").resume()
      if (reason !== undefined) session.end(reason)
      schedule()
    }
    const leave = (withStatus: number) => {
      session.dispose() // rolls an open transaction back
      output.end(() => resolve(withStatus))
    }
    const reader = readMessages((message) => session.receive(message))
    reader.next()

    session.start(sqlite3)
    output.write(PREAMBLE)
    output.on("error", () => {
      session.dispose() // nobody listens any more
      resolve(1)
    })
    input.on("error", () => stopReading(1))
    input.on("data", (chunk: Uint8Array) => {
      const { value, done } = reader.next(chunk)
      if (done) stopReading(1, value)
      else schedule()
    })
    input.on("end", () => {
      const { value } = reader.next(undefined)
      stopReading(value === undefined ? 0 : 1, value as Failure | undefined)
    })
  })

const PREAMBLE = new TextEncoder().encode("LIXE\r\n\x01\x00")

/** Takes chunks, `undefined` for the end. Returns why the stream cannot be followed, or nothing at its proper end. */
function* readMessages(found: (message: Incoming) => void): Generator<void, Failure | undefined, Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let available = 0

  /** Exactly so many bytes; fewer at the end of the stream. */
  function* take(length: number): Generator<void, Uint8Array, Uint8Array | undefined> {
    while (available < length) {
      const chunk = yield
      if (chunk === undefined) break
      chunks.push(chunk)
      available += chunk.length
    }
    const out = new Uint8Array(Math.min(length, available))
    for (let at = 0; at < out.length; ) {
      const chunk = chunks[0]!
      const part = chunk.subarray(0, out.length - at)
      out.set(part, at)
      at += part.length
      if (part.length === chunk.length) chunks.shift()
      else chunks[0] = chunk.subarray(part.length)
    }
    available -= out.length
    return out
  }

  const preamble = yield* take(PREAMBLE.length)
  if (preamble.length === 0) return undefined
  if (preamble.some((byte, at) => byte !== PREAMBLE[at]) || preamble.length < PREAMBLE.length) {
    const quoted = JSON.stringify(String.fromCharCode(...preamble))
    return new Failure("FRAME_MALFORMED", `not this protocol: the stream begins with ${quoted}`)
  }
  const cutOff = new Failure("FRAME_MALFORMED", "the stream ends inside a message")
  for (;;) {
    const prefix = yield* take(4)
    if (prefix.length === 0) return undefined
    if (prefix.length < 4) return cutOff
    const length = new DataView(prefix.buffer).getUint32(0, true)
    if (length > MAX_FRAME_BYTES) return new Failure("LIMIT_EXCEEDED", `a frame of ${length} bytes`, { subject: "max_frame_bytes" })
    const frame = yield* take(length)
    if (frame.length < length) return cutOff
    const { message, sizes } = parse(frame)
    for (const size of sizes) {
      if (size <= MAX_ATTACHMENT_BYTES) {
        const attachment = yield* take(Number(size))
        if (attachment.length < Number(size)) return cutOff
        message.attachments.push(attachment)
        continue
      }
      message.fault ??= attachmentTooLong()
      for (let left = size; left > 0n; ) {
        const skipped = yield* take(Number(left < 1n << 20n ? left : 1n << 20n))
        if (skipped.length === 0) return cutOff
        left -= BigInt(skipped.length)
      }
    }
    found(message)
  }
}
