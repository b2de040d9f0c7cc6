// Bytes to frames and back. Knows nothing of sessions.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire"
import { type Frame, FrameSchema } from "./gen/engine_pb.ts"
import { Failure } from "./failures.ts"

export const MAX_FRAME_BYTES = 64 << 20
export const MAX_ATTACHMENT_BYTES = 1 << 30

/** One message. `frame` is absent if the bytes do not parse; `fault` says what is wrong with it as a message. */
export interface Incoming {
  id: number
  frame?: Frame
  attachments: Uint8Array[]
  fault?: Failure
}

/** A frame and the lengths of the attachments that go with it. */
export const parse = (bytes: Uint8Array): { message: Incoming; sizes: bigint[] } => {
  const message: Incoming = { id: 0, attachments: [] }
  if (bytes.length > MAX_FRAME_BYTES) {
    message.fault = new Failure("LIMIT_EXCEEDED", `a frame of ${bytes.length} bytes`, { subject: "max_frame_bytes" })
  } else {
    try {
      const frame = fromBinary(FrameSchema, bytes)
      return { message: { ...message, id: frame.id, frame }, sizes: frame.attachmentSizes }
    } catch (thrown) {
      message.fault = new Failure("FRAME_MALFORMED", `the frame does not parse: ${(thrown as Error).message}`)
    }
  }
  const outline = outlineOf(bytes)
  return { message: { ...message, id: outline.id }, sizes: outline.sizes }
}

/** The whole message that a transport with messages of its own delivered. */
export const received = (bytes: Uint8Array, attachments: Uint8Array[]): Incoming => {
  const { message, sizes } = parse(bytes)
  message.attachments = attachments
  if (sizes.length !== attachments.length || sizes.some((size, i) => size !== BigInt(attachments[i]!.length))) {
    message.fault ??= new Failure("ATTACHMENT_MISMATCH", "the attachments are not those that the frame lists")
  }
  if (attachments.some(({ length }) => length > MAX_ATTACHMENT_BYTES)) message.fault ??= attachmentTooLong()
  return message
}

/** Exactly the frame, in a buffer of its own. */
export const encode = (frame: Partial<Omit<Frame, "$typeName">>, attachments: Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const attachmentSizes = attachments.map(({ length }) => BigInt(length))
  const bytes = toBinary(FrameSchema, create(FrameSchema, { ...frame, attachmentSizes }))
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
}

export const attachmentTooLong = (): Failure =>
  new Failure("LIMIT_EXCEEDED", `an attachment of more than ${MAX_ATTACHMENT_BYTES} bytes`, { subject: "max_attachment_bytes" })

/** Id and attachment sizes of a frame that does not parse, as far as its outermost fields can be followed. */
const outlineOf = (bytes: Uint8Array): { id: number; sizes: bigint[] } => {
  const reader = new BinaryReader(bytes)
  const outline = { id: 0, sizes: [] as bigint[] }
  try {
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag()
      if (field === 1 && wireType === WireType.Varint) {
        outline.id = reader.uint32()
      } else if (field === 2 && wireType === WireType.Varint) {
        outline.sizes.push(reader.uint64() as bigint)
      } else if (field === 2 && wireType === WireType.LengthDelimited) {
        const packed = new BinaryReader(reader.bytes())
        while (packed.pos < packed.len) outline.sizes.push(packed.uint64() as bigint)
      } else {
        reader.skip(wireType, field)
      }
    }
  } catch {
    // Here is the damage.
  }
  return outline
}
