/**
 * The Dedicated Worker's script: loads the wasm, forwards bytes and opens files. Imports nothing by
 * bare name, so that it runs unbundled.
 *
 * A worker named `lix-engine-conformance` also answers the control calls that test suites use.
 */

import { createPluginLoader } from "./load-plugins.js"
import { openShell, preload } from "./load-wasm.js"
import { opfsStorage } from "./opfs.js"
import { createPump } from "./pump.js"

const scope = globalThis as unknown as {
  readonly name?: string
  onmessage: ((event: MessageEvent) => void) | null
  onmessageerror: (() => void) | null
  postMessage(message: unknown, transfer: Transferable[]): void
  close(): void
}

function post(frame: Uint8Array, attachments: Uint8Array[]): void {
  if (attachments.length === 0) return scope.postMessage({ v: 1, frame: frame.buffer }, [frame.buffer as ArrayBuffer])
  const buffers = attachments.map((each) => each.buffer as ArrayBuffer)
  scope.postMessage({ v: 1, frame: frame.buffer, attachments: buffers }, [frame.buffer as ArrayBuffer, ...buffers])
}

// Nobody is told who did not ask.
let isWatched = false
const pump = createPump(openShell(scope.name === "lix-engine-conformance"), post, {
  storage: opfsStorage,
  plugins: createPluginLoader({ watch: (plugin) => isWatched && scope.postMessage({ v: 1, plugin }, []) }),
  crash: () => scope.close(),
})

// There is no worker without an engine that wants it.
void preload()
scope.onmessage = ({ data }) => {
  isWatched ||= (data as { watch?: unknown } | null)?.watch === true
  pump.receive(data)
}

// A request that is lost would wait for ever; an uncaught error reaches the host, which ends the engine.
scope.onmessageerror = () => {
  throw new Error("a message to the engine could not be received")
}
