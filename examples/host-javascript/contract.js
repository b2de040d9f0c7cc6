// The contract, read at start from the descriptor image of the release: no generated code, no build step. Everything
// that knows protobuf is here; the other files see plain objects.
import { create, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"

/**
 * What the host reads of a Frame. Oneofs are `{ case, value }`, 64-bit numbers are bigints.
 *
 * @typedef {{ id: number, attachmentSizes: bigint[], body: { case?: string, value?: any } }} Frame
 * @typedef {{ name: string, declType?: string }} Column
 * @typedef {{
 *   uniform: number, classes: Uint8Array, intWidth: number, ints: Uint8Array, reals: Uint8Array, text: Uint8Array,
 *   blobs: Uint8Array, lenWidth: number, lens: Uint8Array,
 * }} ColumnData
 * @typedef {{ rowCount: number, columns: ColumnData[] }} RowBatch
 * @typedef {{
 *   columns: Column[], batch?: RowBatch, cursor?: number, changes?: bigint, lastInsertRowid?: bigint,
 * }} ExecResponse
 * @typedef {{
 *   code: number, reason: string, message: string, sqliteCode: number, sqliteExtendedCode: number, sqlOffset?: number,
 *   batchIndex?: number, subject: string, detail: string, retryable: boolean,
 * }} EngineError
 */

/**
 * The bytes of a frame that carries a request.
 *
 * @param {number} id
 * @param {string} call  a member of Request's oneof, such as "exec"
 * @param {object} value  its message
 * @param {Uint8Array[]} attachments
 */
export function encodeRequest(id, call, value, attachments) {
  const request = { call: { case: call, value } }
  const attachmentSizes = attachments.map((attachment) => BigInt(attachment.length))
  return toBinary(frame, create(frame, { id, attachmentSizes, body: { case: "request", value: request } }))
}

/**
 * Throws if the bytes are no Frame.
 *
 * @param {Uint8Array} bytes
 * @returns {Frame}
 */
export function decodeFrame(bytes) {
  return /** @type {any} */ (fromBinary(frame, bytes))
}

/**
 * A number's name without the enum's prefix, such as "CONSTRAINT" for ErrorCode 5; undefined if this minor has none.
 *
 * @param {string} type
 * @param {number} number
 */
export function enumName(type, number) {
  return enumOf(type).find((value) => value.number === number)?.localName
}

/**
 * The number for a name as options write it: "open-or-create" is OPEN_MODE_OPEN_OR_CREATE. Undefined if there is none.
 *
 * @param {string} type
 * @param {string} name
 */
export function enumNumber(type, name) {
  const localName = name.toUpperCase().replaceAll("-", "_")
  return enumOf(type).find((value) => value.number !== 0 && value.localName === localName)?.number
}

/** @param {string} type */
function enumOf(type) {
  return found(registry.getEnum(PACKAGE + type), type).values
}

/**
 * @template T
 * @param {T | undefined} descriptor
 * @param {string} name
 */
function found(descriptor, name) {
  if (!descriptor) throw new Error(`${image} does not describe ${name}`)
  return descriptor
}

/** @param {URL} url */
async function read(url) {
  if (url.protocol !== "file:") return new Uint8Array(await (await fetch(url)).arrayBuffer())
  return (await import("node:fs/promises")).readFile(url)
}

const PACKAGE = "lix.engine.v1."
const image = new URL("../../proto/images/engine-1.0.binpb", import.meta.url)
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, await read(image)))
const frame = found(registry.getMessage(PACKAGE + "Frame"), "Frame")
