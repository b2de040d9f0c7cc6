/**
 * Opens the wasm engine. Compiled once per page, worker or process; an instance of its own, with its
 * own memory, for each engine.
 */

import type { OpenShell } from "./pump.js"
import { instantiate } from "./wasm/lix_engine.js"

/** Opens a shell. `conformance` adds the control calls that test suites use. */
export function openShell(conformance = false): OpenShell {
  return async ({ post, storage, crash, plugins }) => {
    let module
    try {
      module = await preload()
    } catch (error) {
      // A failed download may succeed next time.
      compiled = undefined
      throw error
    }
    const { Shell } = instantiate(module)
    return new Shell(post, conformance, storage, crash, plugins)
  }
}

/** Downloads and compiles, ahead of the first call. A failure shows when somebody needs the result. */
export function preload(): Promise<WebAssembly.Module> {
  compiled ??= compile(new URL("./wasm/lix_engine.wasm", import.meta.url))
  compiled.catch(() => {})
  return compiled
}

async function compile(url: URL): Promise<WebAssembly.Module> {
  // Asked of the process instead of imported: bundlers for browsers have nothing to stumble over.
  const fs = url.protocol === "file:" ? nodeFs() : undefined
  if (fs) return WebAssembly.compile(await fs.promises.readFile(url))
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url.href}: ${response.status} ${response.statusText}`)
  // Some servers do not know the type, and then a stream must not be compiled.
  const streamable = response.headers.get("content-type")?.startsWith("application/wasm")
  return streamable ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer())
}

function nodeFs(): NodeFs | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }
  return process?.getBuiltinModule?.("node:fs") as NodeFs | undefined
}

interface NodeFs {
  promises: { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> }
}

let compiled: Promise<WebAssembly.Module> | undefined
