/**
 * The engine in this thread: the same wasm and the same bytes as in a worker, with a function call
 * where the worker has a message.
 */

import { createPluginLoader } from "./load-plugins.js"
import { openShell } from "./load-wasm.js"
import type { LixPlugin } from "./plugins/plugin.js"
import { createPump, type OpenShell } from "./pump.js"
import type { EnginePort } from "./transport.js"

/** A port to an engine in this thread. It is loaded with the first message. */
export function createMemoryPort(open: OpenShell = openShell()): EnginePort {
  let provided: readonly LixPlugin[] = []
  const post = (frame: Uint8Array, attachments: Uint8Array[]) => {
    port.onmessage?.({ data: { v: 1, frame: frame.buffer, attachments: attachments.map((each) => each.buffer) } } as MessageEvent)
  }
  const pump = createPump(open, post, { plugins: createPluginLoader({ own: () => provided }) })
  const port: EnginePort = {
    onmessage: null,
    postMessage: (message) => pump.receive(detached(message)),
    terminate: () => pump.free(),
    providePlugins: (plugins) => void (provided = plugins),
  }
  return port
}

/** Attachments change hands here as they do between threads: gone for their owner. */
function detached(message: unknown): unknown {
  const { attachments } = message as { attachments?: ArrayBuffer[] }
  return attachments ? { ...(message as object), attachments: structuredClone(attachments, { transfer: attachments }) } : message
}
