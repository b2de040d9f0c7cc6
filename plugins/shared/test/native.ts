/** The native engine as a process, its stdin and stdout as the port of a host. */

import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { BinaryReader } from "@bufbuild/protobuf/wire"
import type { EnginePort } from "lix-engine"

const target = process.env["CARGO_TARGET_DIR"] ?? fileURLToPath(new URL("../../../target", import.meta.url))
const binary = join(target, "debug", `lix-engine${process.platform === "win32" ? ".exe" : ""}`)

/** Why there is none here; false if there is one. */
export const missing: string | false = existsSync(binary) ? false : "not built: cargo build --bin lix-engine"

export function nativePort(): EnginePort {
  const child = spawn(binary, ["serve", "--stdio"], { stdio: ["pipe", "pipe", "inherit"] })
  child.stdin.write(PREAMBLE)
  child.stdin.on("error", () => {})

  let arrived = Buffer.alloc(0)
  let preamble = false
  const take = (length: number): ArrayBuffer => {
    const bytes = Uint8Array.from(arrived.subarray(0, length))
    arrived = arrived.subarray(length)
    return bytes.buffer
  }
  const receive = (): void => {
    if (!preamble) {
      if (arrived.length < PREAMBLE.length) return
      take(PREAMBLE.length)
      preamble = true
    }
    while (arrived.length >= 4) {
      const length = arrived.readUInt32LE(0)
      if (arrived.length < 4 + length) return
      const sizes = attachmentSizes(arrived.subarray(4, 4 + length))
      if (arrived.length < sizes.reduce((sum, size) => sum + size, 4 + length)) return
      take(4)
      const frame = take(length)
      const attachments = sizes.map(take)
      port.onmessage?.({ data: { v: 1, frame, attachments } } as MessageEvent)
    }
  }
  child.stdout.on("data", (chunk: Buffer) => {
    arrived = Buffer.concat([arrived, chunk])
    receive()
  })

  const port: EnginePort = {
    onmessage: null,
    postMessage(message) {
      const { frame, attachments = [] } = message as { frame: ArrayBuffer; attachments?: ArrayBuffer[] }
      const length = Buffer.alloc(4)
      length.writeUInt32LE(frame.byteLength)
      child.stdin.write(Buffer.concat([length, ...[frame, ...attachments].map((part) => new Uint8Array(part))]))
    },
    terminate: () => child.stdin.end(),
  }
  return port
}

/** Frame.attachment_sizes: without them nobody knows where the next frame begins. */
function attachmentSizes(frame: Uint8Array): number[] {
  const reader = new BinaryReader(frame)
  const sizes: number[] = []
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag()
    if (field !== 2) reader.skip(type)
    else if (type === 0) sizes.push(Number(reader.uint64()))
    else for (const end = reader.uint32() + reader.pos; reader.pos < end; ) sizes.push(Number(reader.uint64()))
  }
  return sizes
}

const PREAMBLE = Buffer.from("LIXE\r\n\x01\x00", "latin1")
