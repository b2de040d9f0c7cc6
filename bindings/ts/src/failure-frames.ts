/**
 * The two frames that must be possible when the engine is not: "it is over", and the answer to
 * whatever comes after that. Written by hand, since the worker brings no protobuf library.
 */

/** `Frame { event { seq, closed { reason: INTERNAL/ENGINE_DEFECT } } }` */
export function closedEventFrame(seq: bigint, message: string, detail: string): Uint8Array<ArrayBuffer> {
  const reason = [...uint(1, CODE_INTERNAL), ...text(2, "ENGINE_DEFECT"), ...text(3, message), ...text(9, detail)]
  return new Uint8Array(nested(5, [...uint(1, seq), ...nested(6, nested(1, reason))]))
}

/** `Frame { id, response { error: LIFECYCLE/FAILED } }` */
export function failedResponseFrame(id: number): Uint8Array<ArrayBuffer> {
  const error = [...uint(1, CODE_LIFECYCLE), ...text(2, "FAILED"), ...text(3, "the engine has failed; open a new one")]
  return new Uint8Array([...uint(1, id), ...nested(4, nested(2, error))])
}

/** `Frame.id` of a request, undefined where it cannot be read. */
export function frameId(frame: Uint8Array): number | undefined {
  let at = 0
  let id = 0
  const varint = (): number => {
    let value = 0
    for (let factor = 1; at < frame.length; factor *= 128) {
      const byte = frame[at++]!
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    return NaN
  }
  while (at < frame.length) {
    const tag = varint()
    if (tag === 0x08) id = varint()
    else if (tag % 8 === 0) varint()
    else if (tag % 8 === 2) {
      // Not `at += varint()`, which would add to where `at` was before the length was read.
      const length = varint()
      at += length
    }
    else if (tag % 8 === 1) at += 8
    else if (tag % 8 === 5) at += 4
    else return undefined
  }
  return at === frame.length && !Number.isNaN(id) ? id >>> 0 : undefined
}

function uint(field: number, value: number | bigint): number[] {
  const bytes = [field << 3]
  let rest = BigInt(value)
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return bytes
}

function text(field: number, value: string): number[] {
  return nested(field, [...new TextEncoder().encode(value)])
}

function nested(field: number, bytes: number[]): number[] {
  return [...uint(field, bytes.length).with(0, (field << 3) | 2), ...bytes]
}

const CODE_LIFECYCLE = 3
const CODE_INTERNAL = 12
