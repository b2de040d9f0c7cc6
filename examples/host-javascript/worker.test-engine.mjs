// An engine behind postMessage, for the tests: passes on what a WebSocket server says.
import { parentPort, workerData } from "node:worker_threads"
import { decodeFrame } from "./contract.js"

const port = /** @type {import("node:worker_threads").MessagePort} */ (parentPort)
const socket = new WebSocket(workerData)
socket.binaryType = "arraybuffer"
const opened = new Promise((resolve) => socket.addEventListener("open", resolve))

port.on("message", async ({ frame, attachments }) => {
  await opened
  for (const piece of [frame, ...attachments]) socket.send(piece)
})

/** @type {{ v: 1, frame: ArrayBuffer, attachments: ArrayBuffer[] } | undefined} */
let message
socket.addEventListener("message", ({ data }) => {
  if (message) message.attachments.push(data)
  else message = { v: 1, frame: data, attachments: [] }
  if (message.attachments.length < decodeFrame(new Uint8Array(message.frame)).attachmentSizes.length) return
  port.postMessage(message, [message.frame, ...message.attachments])
  message = undefined
})
