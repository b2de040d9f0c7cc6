// How messages travel: a byte stream (a process that is started here, or TCP), a WebSocket, postMessage. Each transport
// reads all the time, tells its receiver of every message, and tells it exactly once when nothing more will come.
import { decodeFrame } from "./contract.js"
import { malformed, notStarted, transportClosed } from "./errors.js"

/**
 * @typedef {object} Receiver
 * @property {(frame: import("./contract.js").Frame, attachments: Uint8Array[]) => void} message
 * @property {(reason: import("./errors.js").LixError) => void} ended
 *
 * @typedef {object} Transport
 * @property {(frame: Uint8Array, attachments: Uint8Array[]) => void} send  at once and in order; never waits
 * @property {(patienceMs?: number) => Promise<void>} end  no more is sent; resolves when the other side has gone, by force
 *   if it has to
 *
 * A Worker of the web or of node:worker_threads, or a MessagePort.
 * @typedef {{ postMessage: (message: any, transfer: any[]) => void, terminate?: () => unknown, close?: () => void }} Port
 *
 * A command ("lix-engine serve --stdio", or a list), "ws://…", "wss://…", "tcp://host:port", or what has a postMessage.
 * @typedef {string | readonly string[] | URL | Port} Target
 */

/**
 * Does not wait for the other side: what is sent before it is there follows later, and if it never comes, the transport ends.
 *
 * @param {Target} target
 * @param {Receiver} receiver
 * @returns {Promise<Transport>}
 */
export async function connect(target, receiver) {
  if (target instanceof URL || (typeof target === "string" && /^\w+:\/\//.test(target))) {
    const url = new URL(target)
    if (url.protocol === "ws:" || url.protocol === "wss:") return openWebSocket(url, receiver)
    if (url.protocol === "tcp:") return openTcp(url, receiver)
    throw notStarted(`no transport for ${url.protocol}`)
  }
  if (typeof target === "string") return startProcess(target.trim().split(/\s+/), receiver)
  if ("postMessage" in target) return usePort(target, receiver)
  return startProcess(target, receiver)
}

/**
 * A program that speaks on its standard input and output.
 *
 * @param {readonly string[]} command
 * @param {Receiver} receiver
 */
async function startProcess([program, ...args], receiver) {
  const { spawn } = await import("node:child_process")
  const child = spawn(program, args, { stdio: "pipe", windowsHide: true })
  child.on("error", (error) => receiver.ended(notStarted(`${program} did not start: ${error.message}`, error)))
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text) => (said = (said + text).slice(-2000)))
  const gone = new Promise((resolve) => child.once("close", resolve))
  // A process of the engine's own may hold the pipe open after the engine has gone.
  child.once("exit", () => setTimeout(() => child.stdout.destroy(), LAST_WORDS_MS).unref())
  return overStream(child.stdout, child.stdin, receiver, {
    // Its exit status and last words say more than the end of its output, but they need not come.
    why: async () => {
      await within(gone, LAST_WORDS_MS)
      const status = child.exitCode ?? child.signalCode ?? "it still runs"
      return `the engine ended its output (exit status: ${status})${said && `: ${said.trim()}`}`
    },
    gone,
    kill: () => {
      child.kill("SIGKILL")
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy()
    },
  })
}

/**
 * @param {URL} url
 * @param {Receiver} receiver
 */
async function openTcp(url, receiver) {
  const net = await import("node:net")
  const socket = net.connect({ host: url.hostname, port: Number(url.port), noDelay: true })
  let said = ""
  socket.on("error", (error) => (said = `: ${error.message}`))
  return overStream(socket, socket, receiver, {
    why: async () => `the connection to ${url.host} has ended${said}`,
    gone: new Promise((resolve) => socket.once("close", resolve)),
    kill: () => socket.destroy(),
  })
}

/**
 * @param {import("node:stream").Readable} input
 * @param {import("node:stream").Writable} output
 * @param {Receiver} receiver
 * @param {{ why: () => Promise<string>, gone: Promise<unknown>, kill: () => void }} peer
 * @returns {Transport}
 */
function overStream(input, output, receiver, peer) {
  const reader = messages(receiver)
  let needed = reader.next(new Uint8Array()).value
  /** @type {Uint8Array[]} */
  let chunks = []
  let length = 0
  input.on("data", (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    reading(receiver, () => {
      // Bytes are only joined when there are enough: a length is a claim, for which nothing is allocated.
      while (length >= needed) {
        const { buffer, byteOffset } = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
        const bytes = new Uint8Array(buffer, byteOffset, length) // a Buffer's slice is no copy
        const taken = needed
        needed = reader.next(bytes.subarray(0, taken)).value ?? Infinity
        length -= taken
        chunks = length ? [bytes.subarray(taken)] : []
      }
    })
  })
  // An end, an error of reading and an error of writing all mean that the other side has gone; the end comes in any case.
  input.once("close", async () => receiver.ended(transportClosed(await peer.why())))
  input.on("error", () => {})
  output.on("error", () => {})
  output.write(PREAMBLE)
  return {
    send(frame, attachments) {
      const prefix = new Uint8Array(4)
      new DataView(prefix.buffer).setUint32(0, frame.length, true)
      output.cork()
      for (const piece of [prefix, frame, ...attachments]) output.write(piece)
      output.uncork()
    },
    async end(patienceMs = LEAVE_MS) {
      output.end()
      if (!(await within(peer.gone, patienceMs))) peer.kill()
    },
  }
}

/**
 * Reads a stream: yields how many bytes it needs next and gets them.
 *
 * @param {Receiver} receiver
 * @returns {Generator<number, never, Uint8Array>}
 */
function* messages(receiver) {
  const preamble = yield PREAMBLE.length
  if (!PREAMBLE.every((byte, index) => byte === preamble[index])) {
    throw new Error(`it began with ${JSON.stringify(new TextDecoder().decode(preamble))}`)
  }
  for (;;) {
    const prefix = yield 4
    const bytes = yield new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true)
    const frame = decodeFrame(bytes)
    const attachments = []
    for (const size of frame.attachmentSizes) attachments.push((yield Number(size)).slice())
    receiver.message(frame, attachments)
  }
}

/**
 * @param {URL} url
 * @param {Receiver} receiver
 * @returns {Transport}
 */
function openWebSocket(url, receiver) {
  if (!globalThis.WebSocket) {
    throw notStarted("no WebSocket here: Node has one from version 22 on, and from 20.10 with --experimental-websocket")
  }
  const socket = new WebSocket(url)
  socket.binaryType = "arraybuffer"
  /** @type {ArrayBuffer[]} what is to be sent when it is open */
  let unsent = []
  socket.addEventListener("open", () => {
    for (const piece of unsent) socket.send(piece)
    unsent = []
  })
  /** @type {import("./contract.js").Frame | undefined} */
  let frame
  /** @type {Uint8Array[]} */
  let attachments = []
  socket.addEventListener("message", ({ data }) => {
    reading(receiver, () => {
      if (typeof data === "string") throw new Error("it is text")
      if (frame) attachments.push(new Uint8Array(data))
      else frame = decodeFrame(new Uint8Array(data))
      if (attachments.length < frame.attachmentSizes.length) return
      const message = { frame, attachments }
      frame = undefined
      attachments = []
      receiver.message(message.frame, message.attachments)
    })
  })
  // Some implementations tell an error only, and no end after it.
  const gone = new Promise((resolve) => ["error", "close"].forEach((event) => socket.addEventListener(event, resolve)))
  gone.then(({ code = "it does not say why", reason }) =>
    receiver.ended(transportClosed(`the connection to ${url.host} has ended (${code}${reason ? `, ${reason}` : ""})`)))
  return {
    send(bytes, attached) {
      for (const piece of [bytes, ...attached].map(exact)) {
        if (socket.readyState === WebSocket.CONNECTING) unsent.push(piece)
        // Once it closes nothing can be sent; the calls are rejected when it has.
        else if (socket.readyState === WebSocket.OPEN) socket.send(piece)
      }
    },
    async end(patienceMs = LEAVE_MS) {
      socket.close()
      await within(gone, patienceMs)
    },
  }
}

/**
 * @param {any} port
 * @param {Receiver} receiver
 * @returns {Transport}
 */
function usePort(port, receiver) {
  // Workers of Node are event emitters that hand over the value itself.
  const listen = (/** @type {string} */ event, /** @type {(value: any) => void} */ listener) =>
    port.addEventListener ? port.addEventListener(event, listener) : port.on(event, listener)
  listen("message", (message) => {
    const posted = port.addEventListener ? message.data : message
    reading(receiver, () => {
      if (posted?.v !== 1 || !(posted.frame instanceof ArrayBuffer)) throw new Error("it is no envelope")
      const attachments = Array.from(posted.attachments ?? [], (/** @type {ArrayBuffer} */ buffer) => new Uint8Array(buffer))
      receiver.message(decodeFrame(new Uint8Array(posted.frame)), attachments)
    })
  })
  listen("error", (error) => receiver.ended(notStarted(`the worker failed: ${error?.message ?? "it does not say why"}`, error)))
  listen("messageerror", (error) => receiver.ended(malformed("the worker's message cannot be read", error)))
  for (const event of ["exit", "close"]) listen(event, () => receiver.ended(transportClosed("the worker has ended")))
  port.start?.()
  return {
    send(frame, attachments) {
      const envelope = { v: 1, frame: exact(frame), attachments: attachments.map(exact) }
      port.postMessage(envelope, [envelope.frame, ...envelope.attachments])
    },
    async end() {
      // Nobody can see whether a worker is done; the answer to close was its last message.
      await (port.terminate?.() ?? port.close?.())
      receiver.ended(transportClosed("the worker was ended"))
    },
  }
}

/**
 * Reads something; what cannot be read ends the session, since nobody knows what comes next.
 *
 * @param {Receiver} receiver
 * @param {() => void} read
 */
function reading(receiver, read) {
  try {
    read()
  } catch (error) {
    receiver.ended(malformed(`what the engine sent is no message: ${error instanceof Error ? error.message : error}`, error))
  }
}

/**
 * A buffer that holds these bytes and no others.
 *
 * @param {Uint8Array} bytes
 * @returns {ArrayBuffer}
 */
function exact({ buffer, byteOffset, byteLength }) {
  return /** @type {ArrayBuffer} */ (byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength))
}

/**
 * Whether the promise settles in time.
 *
 * @param {Promise<unknown>} promise
 * @param {number} ms
 */
export async function within(promise, ms) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms, false)))
  const settled = promise.then(() => true, () => true)
  try {
    return /** @type {boolean} */ (await Promise.race([settled, late]))
  } finally {
    clearTimeout(timer)
  }
}

const PREAMBLE = Uint8Array.of(0x4c, 0x49, 0x58, 0x45, 0x0d, 0x0a, 0x01, 0x00)
/** How long an engine that was told to go may take before it is ended. */
const LEAVE_MS = 5000
/** How long the end of its output waits for its exit status. */
const LAST_WORDS_MS = 1000
