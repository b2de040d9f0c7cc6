"""Frames on a byte stream: preamble, length, frame, attachments. Knows nothing of requests."""
import struct

from google.protobuf.message import DecodeError

import engine_pb2 as pb
from failures import Failure

PREAMBLE = b"LIXE\r\n\x01\x00"
MAX_FRAME_BYTES = 64 << 20
MAX_ATTACHMENT_BYTES = 1 << 30


class Incoming:
    """One message. `frame` is None if its bytes do not parse; `fault` says what is wrong with it as a message."""

    def __init__(self, frame_id, frame=None, attachments=(), fault=None):
        self.id, self.frame, self.attachments, self.fault = frame_id, frame, attachments, fault


def read_preamble(stream):
    got = stream.read(len(PREAMBLE))
    if got and got != PREAMBLE:
        raise Failure("FRAME_MALFORMED", f"not this protocol: the stream begins with {got!r}")


def read_message(stream):
    """The next message, or None at the end of the stream. Raises where the next one could not be found."""
    length = stream.read(4)
    if not length:
        return None
    length, = struct.unpack("<I", whole(length, 4))
    if length > MAX_FRAME_BYTES:
        raise Failure("LIMIT_EXCEEDED", f"a frame of {length} bytes", "max_frame_bytes")
    data = whole(stream.read(length), length)
    try:
        frame = pb.Frame.FromString(data)
        message = Incoming(frame.id, frame)
        sizes = frame.attachment_sizes
    except DecodeError:
        frame_id, sizes = outline(data)
        message = Incoming(frame_id, fault=Failure("FRAME_MALFORMED", "the frame does not parse"))
    message.attachments = [read_attachment(stream, size, message) for size in sizes]
    return message


def read_attachment(stream, size, message):
    if size <= MAX_ATTACHMENT_BYTES:
        return whole(stream.read(size), size)
    message.fault = message.fault or Failure("LIMIT_EXCEEDED", f"an attachment of {size} bytes",
                                             "max_attachment_bytes")
    while size:
        part = stream.read(min(size, 1 << 20))
        whole(part, min(size, 1 << 20))
        size -= len(part)


def whole(data, length):
    if len(data) < length:
        raise Failure("FRAME_MALFORMED", "the stream ends inside a message")
    return data


def write_message(stream, frame, attachments=()):
    frame.attachment_sizes.extend(map(len, attachments))
    data = frame.SerializeToString()
    stream.write(struct.pack("<I", len(data)) + data)
    for attachment in attachments:
        stream.write(attachment)
    stream.flush()


def outline(data):
    """Id and attachment sizes of a frame that does not parse, as far as its outermost fields can be followed."""
    frame_id, sizes, at = 0, [], 0

    def varint(at):
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                return value, at
            if shift >= 70:
                raise ValueError

    try:
        while at < len(data):
            tag, at = varint(at)
            kind, field = tag & 7, tag >> 3
            if field == 0 or kind in (3, 4, 6, 7):
                break
            if kind == 0:
                value, at = varint(at)
                if field == 1:
                    frame_id = value & 0xFFFFFFFF
                elif field == 2:
                    sizes.append(value)
                continue
            length = 8
            if kind == 2:
                length, at = varint(at)
            elif kind == 5:
                length = 4
            end = at + length
            if end > len(data):
                break
            while kind == 2 and field == 2 and at < end:
                value, at = varint(at)
                sizes.append(value)
            at = end
    except (IndexError, ValueError):
        pass
    return frame_id, sizes
