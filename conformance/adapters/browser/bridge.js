// The bridge page of the conformance runner: one WebSocket per session, one engine worker behind each.
//
// It forwards frames and attachments as they are and adds what only a page can see. It knows nothing of the protocol: the
// runner reads and writes the frames. A session can also be one that looks at the stored bytes behind the engine's back.
//
// A message between runner and page is binary: u32 little-endian length of a JSON header, the header, then the parts
// whose sizes the header gives.

const connect = (path) => {
  const socket = new WebSocket(`ws://${location.host}${path}`)
  socket.binaryType = "arraybuffer"
  return socket
}

const pack = (header, parts = []) => {
  const head = new TextEncoder().encode(JSON.stringify(header))
  const out = new Uint8Array(4 + head.length + parts.reduce((sum, part) => sum + part.byteLength, 0))
  new DataView(out.buffer).setUint32(0, head.length, true)
  out.set(head, 4)
  let at = 4 + head.length
  for (const part of parts) {
    out.set(new Uint8Array(part), at)
    at += part.byteLength
  }
  return out
}

const unpack = (buffer) => {
  const length = new DataView(buffer).getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)))
  const parts = []
  let at = 4 + length
  for (const size of header.sizes ?? []) {
    parts.push(buffer.slice(at, at + size))
    at += size
  }
  return { header, parts }
}

// A worker of a frame posts buffers of that frame, whose ArrayBuffer is another.
const isBuffer = (value) => Object.prototype.toString.call(value) === "[object ArrayBuffer]"

const isEnvelope = (data) =>
  data !== null &&
  typeof data === "object" &&
  data.v === 1 &&
  isBuffer(data.frame) &&
  (data.attachments === undefined || (Array.isArray(data.attachments) && data.attachments.every(isBuffer)))

const describe = (data) => {
  try {
    return JSON.stringify(data) ?? String(data)
  } catch {
    return Object.prototype.toString.call(data)
  }
}

/** What workers have compiled, kept so that the next ones find it: a browser forgets a module with its last worker. */
const kept = new Map()
const keep = (paths) => {
  for (const path of paths) if (!kept.has(path)) kept.set(path, WebAssembly.compileStreaming(fetch(path)).catch(() => {}))
}

/** A worker of this page, or of a frame: to the browser a frame is as much another page as a tab is. */
const startWorker = async ({ script, type, name, frame: inFrame }) => {
  const url = new URL(script, `${location.origin}/package/`)
  const options = { type, name }
  if (!inFrame) return [new Worker(url, options), () => {}]
  const frame = document.createElement("iframe")
  // A page of its own, from the server: a document that is made on the spot may lose its workers.
  frame.src = "/"
  const loaded = new Promise((resolve) => (frame.onload = () => setTimeout(resolve)))
  document.body.append(frame)
  await loaded
  // The frame's way to the network is made by its first request, and must not be made by its worker's.
  await (await frame.contentWindow.fetch(url)).arrayBuffer()
  return [new frame.contentWindow.Worker(url, options), () => frame.remove()]
}

const within = (url) => url.replace(`${location.origin}/package/`, "")

/** A worker's error says nothing about a module that cannot be read, or lacks one that it imports; importing it here does. */
const whyNotLoaded = async ({ script, type }) => {
  const why = "the worker failed: its script does not load"
  if (type !== "module") return why
  const soon = new Promise((resolve) => setTimeout(resolve, 1000))
  const error = await Promise.race([import(new URL(script, `${location.origin}/package/`)).catch((error) => error), soon])
  return error instanceof Error ? `${why} (${error.name}: ${within(error.message)})` : why
}

const runSession = (session, order) => {
  const socket = connect(`/session/${session}`)
  const say = (header, parts) => socket.readyState === WebSocket.OPEN && socket.send(pack(header, parts))
  const fact = (facts) => say({ t: "fact", facts })

  let worker
  let removeFrame
  let transfer = true
  const stop = () => {
    worker?.terminate()
    removeFrame?.()
    worker = undefined
  }
  const end = (why) => {
    stop()
    say({ t: "ended", why })
  }

  let started
  const ready = new Promise((resolve) => (started = resolve))
  socket.onopen = async () => {
    fact({ cross_origin_isolated: globalThis.crossOriginIsolated })
    ;[worker, removeFrame] = await startWorker(order)
    started()
    worker.onmessage = ({ data }) => {
      if (!isEnvelope(data)) return say({ t: "odd", what: describe(data) })
      const attachments = data.attachments ?? []
      const parts = [data.frame, ...attachments]
      fact({
        message_bytes: parts.reduce((sum, part) => sum + part.byteLength, 0),
        attachments_received: attachments.length,
      })
      say({ t: "message", sizes: parts.map((part) => part.byteLength) }, parts)
    }
    worker.onmessageerror = () => say({ t: "odd", what: "a message that cannot be deserialised" })
    worker.onerror = async (event) => {
      event.preventDefault()
      fact({ worker_error: true })
      end(event.message ? `the worker failed: ${event.message} (${within(event.filename)}:${event.lineno})` : await whyNotLoaded(order))
    }
  }

  const actions = {
    send(_, [frame, ...attachments]) {
      const envelope = attachments.length > 0 ? { v: 1, frame, attachments } : { v: 1, frame }
      worker?.postMessage(envelope, transfer ? [frame, ...attachments] : [])
      fact({
        frame_detached: frame.byteLength === 0,
        attachments_detached: attachments.length > 0 && attachments.every((each) => each.byteLength === 0),
      })
    },
    post: ({ value }) => worker?.postMessage(value),
    copy: () => (transfer = false),
    terminate() {
      if (worker) fact({ worker_terminated: true })
      end("the worker was terminated")
    },
    // What the worker has already posted comes first.
    finish: () => setTimeout(() => end("the session is finished"), 4),
  }
  socket.onmessage = async ({ data }) => {
    const { header, parts } = unpack(data)
    await ready
    actions[header.t](header, parts)
  }
  socket.onclose = () => ready.then(stop)
}

/** Stored bytes as they lie there, engine or no engine. */
const runStore = (session) => {
  const socket = connect(`/session/${session}`)

  const locate = async (path, create) => {
    let directory = await navigator.storage.getDirectory()
    const names = ["lix-engine", ...path.split("/")]
    const name = names.pop()
    for (const each of names) directory = await directory.getDirectoryHandle(each, { create })
    return [directory, name]
  }

  const actions = {
    async read({ path }) {
      const [directory, name] = await locate(path, false)
      const bytes = await (await (await directory.getFileHandle(name)).getFile()).arrayBuffer()
      return pack({ t: "stored", found: true, sizes: [bytes.byteLength] }, [bytes])
    },
    async write({ path }, [bytes]) {
      const [directory, name] = await locate(path, true)
      const writable = await (await directory.getFileHandle(name, { create: true })).createWritable()
      await writable.write(bytes)
      await writable.close()
      return pack({ t: "stored", found: true })
    },
    async remove({ path }) {
      const [directory, name] = await locate(path, false)
      await directory.removeEntry(name)
      return pack({ t: "stored", found: false })
    },
  }
  const answer = ({ header, parts }) =>
    actions[header.t](header, parts).catch((error) =>
      error.name === "NotFoundError" ? pack({ t: "stored", found: false }) : pack({ t: "stored", error: `${error.name}: ${error.message}` }),
    )

  // One after the other, in their order.
  let last = Promise.resolve()
  socket.onmessage = ({ data }) => {
    last = last.then(async () => socket.send(await answer(unpack(data))))
  }
}

/** Takes orders; a frame does not. */
const listen = () => {
  const control = connect("/control")
  control.onmessage = ({ data }) => {
    const order = JSON.parse(data)
    if (order.t === "reload") location.reload()
    else if (order.t === "store") runStore(order.session)
    else {
      runSession(order.session, order)
      keep(order.keep)
    }
  }
}

if (window === window.top) listen()
