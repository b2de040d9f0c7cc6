// The TypeScript host behind the adapter protocol of conformance/host-adapters.md: commands come in on stdin, reports go
// out on stdout, one JSON object a line. The engine is the runner's, reached by a byte stream instead of a worker.

import { connect } from "node:net"
import { createInterface } from "node:readline"

import { createEngine, EngineError } from "../../../bindings/ts/dist/index.js"

const FEATURES = ["batch", "bigint", "bool", "cancel", "events", "export", "integers", "named", "ordered", "queue", "stream", "timeout", "undefined"]

/** The session that commands are about. */
let engine
let port
/** What can still be cancelled, by the id of its command. */
const running = new Map()

const commands = {
  hello: () => ({ hello: { name: "lix-engine", version: "0.1.0", language: "TypeScript", features: FEATURES } }),

  async open({ tcp, events = [], integers, ...options }) {
    port = new StreamPort(tcp)
    engine = createEngine(port, { integers })
    for (const kind of [...events, "closed"]) engine.on(kind, (event) => report({ event: eventOf(kind, event) }))
    const opened = await engine.init({ events, ...options })
    return { opened: { engine_version: opened.engineVersion, sqlite_version: opened.sqliteVersion, capabilities: opened.capabilities.announced } }
  },

  async exec({ sql, ...options }, signal) {
    const result = await engine.exec(sql, paramsOf(options), { ...optionsOf(options), rowMode: "array", signal })
    return { result: resultOf(result) }
  },

  async batch({ statements, ...options }, signal) {
    const list = statements.map((statement) => ({ sql: statement.sql, params: paramsOf(statement) }))
    const { results } = await engine.execBatch(list, { ...optionsOf(options), onError: options.on_error, rowMode: "array", signal })
    return { results: results.map((result) => (result instanceof EngineError ? { error: errorOf(result) } : resultOf(result))) }
  },

  async stream({ sql, batch_rows, take = Infinity, ...options }, signal) {
    const rows = []
    const stream = engine.stream(sql, paramsOf(options), { ...optionsOf(options), batchRows: batch_rows, rowMode: "array", signal })
    try {
      if (take > 0) {
        for await (const row of stream) {
          rows.push(row.map(valueOf))
          if (rows.length >= take) break
        }
      }
    } catch (error) {
      return { rows, ...failureOf(error) }
    }
    return { rows }
  },

  async export() {
    return { image: Buffer.from(await engine.export()).toString("base64") }
  },

  async close() {
    await engine.close()
    return { done: {} }
  },

  cancel({ target }) {
    running.get(target)?.abort()
    return { done: {} }
  },

  drop() {
    port?.terminate()
    return { done: {} }
  },
}

async function run({ id, ...command }) {
  const [name, options] = Object.entries(command)[0]
  const abort = new AbortController()
  running.set(id, abort)
  let outcome
  try {
    outcome = await commands[name](options, abort.signal)
  } catch (error) {
    outcome = failureOf(error)
  }
  running.delete(id)
  report({ id, ...outcome })
}

const report = (line) => process.stdout.write(JSON.stringify(line) + "\n")

// ── Values ─────────────────────────────────────────────────────────────────

/** What JavaScript has for a tagged value. Integers that a number holds exactly are numbers. */
function nativeOf(value) {
  if (value === null) return null
  const [tag, content] = Object.entries(value)[0]
  switch (tag) {
    case "int": {
      const number = Number(content)
      return Number.isSafeInteger(number) ? number : BigInt(content)
    }
    case "bigint":
      return BigInt(content)
    case "real":
      return { inf: Infinity, "-inf": -Infinity, nan: NaN }[content] ?? Number(content)
    case "text":
      return content
    case "blob":
    case "text_raw":
      return new Uint8Array(Buffer.from(content, "base64"))
    case "bool":
      return content
    case "undefined":
      return undefined
    case "unsupported":
      return Symbol("unsupported")
  }
  throw new Error(`no value ${JSON.stringify(value)}`)
}

/** A JavaScript value, named by its own type: a number does not say whether it was an integer. */
function valueOf(value) {
  if (value === null) return null
  switch (typeof value) {
    case "number":
      return { number: Object.is(value, -0) ? "-0" : String(value) }
    case "bigint":
      return { int: String(value) }
    case "string":
      return { text: value }
    case "boolean":
      return { bool: value }
  }
  if (value instanceof Uint8Array) return { blob: Buffer.from(value).toString("base64") }
  return { other: Object.prototype.toString.call(value) }
}

const paramsOf = ({ params, named }) =>
  named ? Object.fromEntries(Object.entries(named).map(([name, value]) => [name, nativeOf(value)])) : params?.map(nativeOf)

const optionsOf = ({ integers, timeout_ms }) => ({ integers, timeoutMs: timeout_ms })

function resultOf({ rows, columns, changes, lastInsertRowid, state }) {
  const result = { rows: rows.map((row) => row.map(valueOf)), columns: columns.map((column) => column.name), state: stateOf(state) }
  if (changes !== undefined) result.changes = valueOf(changes)
  if (lastInsertRowid !== undefined) result.last_insert_rowid = valueOf(lastInsertRowid)
  return result
}

const stateOf = (state) => ({ in_transaction: state.inTransaction, commit_seq: String(state.commitSeq), saved_seq: String(state.savedSeq) })

/** What a caller of the library catches; anything but its own error class is a defect. */
const failureOf = (error) => (error instanceof EngineError ? { error: errorOf(error) } : { defect: String(error?.stack ?? error) })

function errorOf(error) {
  const { code, reason, message, retryable, subject, sqliteExtendedCode, sqlOffset, batchIndex } = error
  return { code, reason, message, retryable, subject, sqlite_extended_code: sqliteExtendedCode, sql_offset: sqlOffset, batch_index: batchIndex }
}

function eventOf(kind, event) {
  if (kind === "commit") return { kind, commit_seq: String(event.commitSeq) }
  if (kind === "closed") return { kind, ...(event?.reason ? { error: errorOf(event) } : {}) }
  return { kind }
}

// ── The transport ──────────────────────────────────────────────────────────

/** What a worker is to the host, over a byte stream: the envelope becomes length, frame and attachments. */
class StreamPort {
  onmessage = null
  onerror = null
  #socket
  #held = Buffer.alloc(0)
  #preamble = false
  #listeners = []

  constructor(address) {
    const [host, port] = address.split(":")
    this.#socket = connect(Number(port), host)
    this.#socket.setNoDelay(true)
    this.#socket.write(PREAMBLE)
    this.#socket.on("data", (chunk) => this.#take(chunk))
    this.#socket.on("close", () => this.#closed())
    this.#socket.on("error", () => {})
  }

  addEventListener(type, listener) {
    if (type === "close") this.#listeners.push(listener)
  }

  postMessage({ frame, attachments = [] }, transfer) {
    // As a worker would: what is in the list is gone for the sender.
    const [body, ...parts] = structuredClone([frame, ...attachments], { transfer: [...new Set(transfer)] })
    const length = Buffer.alloc(4)
    length.writeUInt32LE(body.byteLength)
    this.#socket.write(Buffer.concat([length, Buffer.from(body), ...parts.map((part) => Buffer.from(part))]))
  }

  terminate() {
    this.#socket.destroy()
  }

  #closed() {
    for (const listener of this.#listeners) listener()
  }

  #take(chunk) {
    this.#held = Buffer.concat([this.#held, chunk])
    if (!this.#preamble) {
      if (this.#held.length < PREAMBLE.length) return
      if (!this.#held.subarray(0, PREAMBLE.length).equals(PREAMBLE)) return this.#socket.destroy()
      this.#held = this.#held.subarray(PREAMBLE.length)
      this.#preamble = true
    }
    for (;;) {
      if (this.#held.length < 4) return
      const end = 4 + this.#held.readUInt32LE()
      // More than any test sends: what says so is no length.
      if (end > MAX_FRAME_BYTES) return this.#socket.destroy()
      if (this.#held.length < end) return
      const frame = exact(this.#held.subarray(4, end))
      const attachments = []
      let at = end
      for (const size of attachmentSizes(new Uint8Array(frame))) {
        if (this.#held.length < at + size) return
        attachments.push(exact(this.#held.subarray(at, at + size)))
        at += size
      }
      this.#held = this.#held.subarray(at)
      this.onmessage?.({ data: { v: 1, frame, attachments } })
    }
  }
}

/** `Frame.attachment_sizes`, field 2; bytes that are no message have none, and are the host's to refuse. */
function attachmentSizes(bytes) {
  const sizes = []
  let at = 0
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error("truncated")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  try {
    while (at < bytes.length) {
      const tag = varint()
      const [number, type] = [Math.floor(tag / 8), tag % 8]
      if (type === 0) {
        const value = varint()
        if (number === 2) sizes.push(value)
      } else if (type === 2) {
        const length = varint()
        const end = at + length
        if (number === 2) while (at < end) sizes.push(varint())
        at = end
      } else at += type === 1 ? 8 : 4
    }
  } catch {
    return []
  }
  return sizes
}

/** An ArrayBuffer that holds exactly these bytes. */
const exact = (bytes) => new Uint8Array(bytes).buffer

const PREAMBLE = Buffer.from("LIXE\r\n\x01\x00", "latin1")
const MAX_FRAME_BYTES = 256 * 1024 * 1024

createInterface({ input: process.stdin })
  .on("line", (line) => void run(JSON.parse(line)))
  .on("close", () => process.exit(0))
