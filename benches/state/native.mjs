/** The native engine as a port for the npm package's host: the same calls, over a pipe instead of messages. */

import { spawn } from "node:child_process"
import { createEngine } from "../../bindings/ts/dist/index.js"
import { lixOver } from "./page/lix.js"

/** Opens a new lix in a process of its own. */
export async function openNative(binary) {
  const engine = createEngine(portTo(spawn(binary, ["serve", "--stdio"], { stdio: ["pipe", "pipe", "inherit"] })))
  await engine.init({ lix: true })
  return lixOver(engine)
}

function portTo(child) {
  const port = {
    onmessage: null,
    postMessage({ frame, attachments }) {
      if (attachments) throw new Error("this port carries no attachments")
      const length = Buffer.alloc(4)
      length.writeUInt32LE(frame.byteLength)
      child.stdin.cork()
      child.stdin.write(length)
      child.stdin.write(new Uint8Array(frame))
      child.stdin.uncork()
    },
    terminate: () => child.kill(),
  }
  child.on("error", (error) => port.onerror?.({ message: error.message, error }))
  child.on("exit", (code) => port.onerror?.({ message: `the engine's process ended: ${code}` }))
  // What is written to a process that has ended; its end is told above.
  child.stdin.on("error", () => {})
  child.stdin.write(PREAMBLE)
  child.stdout.on("data", readFrames((frame) => port.onmessage?.({ data: { v: 1, frame } })))
  return port
}

/** Cuts what comes into frames. */
function readFrames(deliver) {
  let next = "preamble"
  let wanted = PREAMBLE.length
  let chunks = []
  let held = 0
  return (chunk) => {
    chunks.push(chunk)
    held += chunk.length
    while (held >= wanted) {
      const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
      const bytes = all.subarray(0, wanted)
      chunks = [all.subarray(wanted)]
      held -= wanted
      if (next === "frame") deliver(new Uint8Array(bytes).buffer)
      const isLength = next === "length"
      next = isLength ? "frame" : "length"
      wanted = isLength ? bytes.readUInt32LE() : 4
    }
  }
}

const PREAMBLE = Buffer.from("LIXE\r\n\x01\x00", "latin1")
