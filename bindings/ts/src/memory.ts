/**
 * The engine in this thread: the same wasm and the same bytes as in a worker, with a function call
 * where the worker has a message.
 */

import { openShell } from "./load-wasm.js"
import { createPump, type OpenShell } from "./pump.js"
import type { EnginePort } from "./transport.js"

/** A port to an engine in this thread. It is loaded with the first message. */
export function createMemoryPort(open: OpenShell = openShell()): EnginePort {
  const pump = createPump(open, (frame, attachments) => {
    port.onmessage?.({ data: { v: 1, frame: frame.buffer, attachments: attachments.map((each) => each.buffer) } } as MessageEvent)
  })
  const port: EnginePort = {
    onmessage: null,
    postMessage: (message) => pump.receive(detached(message)),
    terminate: () => pump.free(),
  }
  return port
}

/** Attachments change hands here as they do between threads: gone for their owner. */
function detached(message: unknown): unknown {
  const { attachments } = message as { attachments?: ArrayBuffer[] }
  return attachments ? { ...(message as object), attachments: structuredClone(attachments, { transfer: attachments }) } : message
}
