// The wasm engine in Node, spoken to over a byte stream: the same wasm and the same message pump as in the worker, with
// stream framing around them. Nothing but the protocol goes to stdout.
//
//   node adapter.mjs --stdio [--conformance]
//   node adapter.mjs --tcp 127.0.0.1:0 [--conformance]    a session per connection; the address is printed on stderr
//
// Storage is FILE; with --memory there is none, as in createMainMemoryEngine().

import { createServer } from "node:net"

import { createPluginLoader } from "../../../bindings/ts/dist/load-plugins.js"
import { openShell } from "../../../bindings/ts/dist/load-wasm.js"
import { createPump } from "../../../bindings/ts/dist/pump.js"
import { fileStorage } from "./file-storage.mjs"

/** Serves one session; resolves with true if the stream ended between two messages. */
function serve(input, output, conformance) {
  return new Promise((resolve) => {
    output.write(PREAMBLE)
    let eventSeq = 0
    let over = false
    // The adapter's own last request, whose id is one that the host did not use, and what is said after its answer.
    let farewell
    let lastWords
    const used = new Set()

    const finish = (clean) => {
      if (over) return
      over = true
      pump.free()
      output.end(() => resolve(clean))
    }

    // As if killed: nothing is saved or said. The engine is in the middle of something, so its file goes a moment later.
    const crash = () => {
      over = true
      input.destroy()
      output.destroy()
      setImmediate(() => {
        pump.free()
        resolve(false)
      })
    }

    const send = (frame, attachments) => {
      if (over) return
      const { id, event, closed } = readFrame(frame)
      if (id === farewell) return lastWords ? lastWords() : finish(true)
      output.write(lengthOf(frame))
      output.write(frame)
      for (const attachment of attachments) output.write(attachment)
      if (event) eventSeq += 1
      // The session is over: on a stream that is the stream's end.
      if (closed) finish(false)
    }
    const refuse = (code, reason, message, subject = "") => send(closedEvent(eventSeq + 1, code, reason, message, subject), [])

    const pump = createPump(openShell(conformance), send, { storage: args.includes("--memory") ? undefined : fileStorage, plugins: createPluginLoader(), crash })

    // What arrived whole is still answered: the engine closes after everything that waits, and says so to us alone.
    const leave = (request, words) => {
      if (over || farewell !== undefined) return
      lastWords = words
      farewell = 0xffff_ffff
      while (used.has(farewell)) farewell -= 1
      pump.receive({ v: 1, frame: new Uint8Array(request(farewell)).buffer })
    }

    const reader = createReader({
      wrongPreamble: (seen) => refuse(CODE_PROTOCOL, "FRAME_MALFORMED", `not this protocol: ${JSON.stringify(seen.toString("latin1"))}`),
      tooLong: (length) =>
        leave(discardRequest, () => refuse(CODE_LIMIT, "LIMIT_EXCEEDED", `a frame of ${length} bytes`, "max_frame_bytes")),
      message(frame, attachments) {
        used.add(readFrame(new Uint8Array(frame)).id)
        pump.receive(attachments.length > 0 ? { v: 1, frame, attachments } : { v: 1, frame })
      },
    })

    input.on("data", (chunk) => over || reader.push(chunk))
    input.on("end", () => {
      if (reader.end()) leave(closeRequest, () => refuse(CODE_PROTOCOL, "FRAME_MALFORMED", "the stream ends inside a message"))
      else leave(closeRequest)
    })
    input.on("error", () => finish(false))
    output.on("error", () => finish(false))
  })
}

/** Cuts a byte stream into messages. */
function createReader({ wrongPreamble, tooLong, message }) {
  let chunks = []
  let held = 0
  let state = "preamble"
  let frame
  let sizes = []
  let attachments = []

  const needed = () => {
    switch (state) {
      case "preamble":
        return PREAMBLE.length
      case "length":
        return 4
      case "frame":
        return frame
      case "attachment":
        return sizes[attachments.length]
      case "dead":
        return Infinity
    }
  }

  const take = (count) => {
    const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
    chunks = count < all.length ? [all.subarray(count)] : []
    held -= count
    return all.subarray(0, count)
  }

  const deliver = () => {
    state = "length"
    message(frame, attachments)
  }

  const advance = () => {
    switch (state) {
      case "preamble": {
        const seen = take(PREAMBLE.length)
        if (seen.equals(PREAMBLE)) return (state = "length")
        state = "dead"
        return wrongPreamble(seen)
      }
      case "length": {
        const length = take(4).readUInt32LE()
        if (length <= MAX_FRAME_BYTES) return ([state, frame] = ["frame", length])
        state = "dead"
        return tooLong(length)
      }
      case "frame": {
        frame = exact(take(frame))
        sizes = readFrame(new Uint8Array(frame)).attachmentSizes
        attachments = []
        return sizes.length > 0 ? (state = "attachment") : deliver()
      }
      case "attachment":
        attachments.push(exact(take(needed())))
        if (attachments.length === sizes.length) deliver()
    }
  }

  return {
    push(chunk) {
      chunks.push(chunk)
      held += chunk.length
      // A wrong first byte is enough: whoever prints text instead may never send eight.
      if (state === "preamble" && held < PREAMBLE.length) {
        const seen = Buffer.concat(chunks)
        if (!PREAMBLE.subarray(0, held).equals(seen)) {
          state = "dead"
          return wrongPreamble(seen)
        }
      }
      while (held >= needed()) advance()
    },
    /** Nothing more comes; true if that is in the middle of a message. */
    end() {
      if (state === "preamble" && held > 0) wrongPreamble(Buffer.concat(chunks))
      return state === "frame" || state === "attachment" || (state === "length" && held > 0)
    },
  }
}

/** What the framing has to know of a frame. One that does not parse is the engine's to judge, and announces what stands before the damage. */
function readFrame(bytes) {
  const out = { id: 0, attachmentSizes: [], event: false, closed: false }
  try {
    for (const { number, value } of fields(bytes)) {
      if (number === 1) out.id = Number(value)
      if (number === 2) {
        if (typeof value === "bigint") out.attachmentSizes.push(Number(value))
        else out.attachmentSizes.push(...packed(value))
      }
      if (number === 5) {
        out.event = true
        for (const field of fields(value)) out.closed ||= field.number === 6
      }
    }
  } catch {}
  return out
}

function* packed(bytes) {
  for (let at = 0, value; at < bytes.length; ) {
    ;[value, at] = varint(bytes, at)
    yield Number(value)
  }
}

function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    let tag, value
    ;[tag, at] = varint(bytes, at)
    const number = Number(tag >> 3n)
    switch (Number(tag & 7n)) {
      case 0:
        ;[value, at] = varint(bytes, at)
        break
      case 1:
        at += 8
        break
      case 2: {
        let length
        ;[length, at] = varint(bytes, at)
        value = bytes.subarray(at, at + Number(length))
        at += Number(length)
        break
      }
      case 5:
        at += 4
        break
      default:
        throw new Error("not protobuf")
    }
    if (at > bytes.length) throw new Error("truncated")
    yield { number, value }
  }
}

function varint(bytes, at) {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    if (at >= bytes.length) throw new Error("truncated")
    const byte = bytes[at++]
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return [value, at]
  }
  throw new Error("not a varint")
}

/** `Frame { event { seq, closed { reason } } }` */
function closedEvent(seq, code, reason, message, subject) {
  const error = [...uint(1, code), ...text(2, reason), ...text(3, message), ...(subject ? text(8, subject) : [])]
  return Buffer.from(nested(5, [...uint(1, seq), ...nested(6, nested(1, error))]))
}

/** `Frame { id, request { close } }`, and the same with `discard_unsaved`, as where a session fails. */
const closeRequest = (id) => [...uint(1, id), ...nested(3, nested(10, []))]
const discardRequest = (id) => [...uint(1, id), ...nested(3, nested(10, uint(1, 1)))]

function encodeVarint(value) {
  const out = []
  for (; value > 0x7f; value = Math.floor(value / 128)) out.push((value % 128) | 0x80)
  return [...out, value]
}
const uint = (number, value) => [...encodeVarint(number << 3), ...encodeVarint(value)]
const nested = (number, bytes) => [...encodeVarint((number << 3) | 2), ...encodeVarint(bytes.length), ...bytes]
const text = (number, value) => nested(number, [...Buffer.from(value)])

function lengthOf(frame) {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32LE(frame.byteLength)
  return prefix
}

/** An ArrayBuffer that holds exactly these bytes. */
const exact = (bytes) => new Uint8Array(bytes).buffer

const PREAMBLE = Buffer.from("LIXE\r\n\x01\x00", "latin1")
const MAX_FRAME_BYTES = 64 * 1024 * 1024
const CODE_PROTOCOL = 1
const CODE_LIMIT = 8

const args = process.argv.slice(2)
const conformance = args.includes("--conformance")
const tcp = args.indexOf("--tcp")
if (args.includes("--stdio")) {
  serve(process.stdin, process.stdout, conformance).then((clean) => process.exit(clean ? 0 : 1))
} else if (tcp >= 0) {
  const [host, port] = args[tcp + 1].split(":")
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => serve(socket, socket, conformance))
  server.listen(Number(port), host, () => console.error(`listening on tcp://${host}:${server.address().port}`))
  // Whoever started this holds stdin; when that ends, so does this.
  process.stdin.on("end", () => process.exit(0)).resume()
} else {
  console.error("usage: node adapter.mjs --stdio | --tcp HOST:PORT [--conformance]")
  process.exit(2)
}
