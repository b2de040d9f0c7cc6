"""Python values to parameters, and batches to rows of Python values. Every value comes through exactly."""
import datetime
import math
import operator
import struct

import engine_pb2 as pb
from .errors import malformed, not_bindable

ATTACH_FROM = 64 << 10


def bind(request, parameters, attachments):
    """Fills in the parameters: a sequence by position, a mapping by name. Large blobs go beside the frame."""
    if hasattr(parameters, "keys"):
        for name in parameters.keys():
            request.named.append(pb.NamedValue(name=name, value=to_value(name, parameters[name], attachments)))
    elif isinstance(parameters, (str, bytes)):
        raise not_bindable(1, f"the parameters are a {type(parameters).__name__}; pass a sequence of values")
    else:
        for number, value in enumerate(parameters, 1):
            request.params.append(to_value(number, value, attachments))


def to_value(name, value, attachments):
    if value is None:
        return pb.Value(null=pb.Null())
    if isinstance(value, float):
        if math.isnan(value):
            raise not_bindable(name, "NaN, which SQLite would store as NULL")
        return pb.Value(real=value)
    if isinstance(value, str):
        try:
            return pb.Value(text=value)
        except ValueError:
            raise not_bindable(name, "text with a lone surrogate") from None
    if isinstance(value, (bytes, bytearray, memoryview)):
        blob = bytes(value)
        if len(blob) < ATTACH_FROM:
            return pb.Value(blob=blob)
        attachments.append(blob)
        return pb.Value(blob_attachment=len(attachments) - 1)
    if isinstance(value, datetime.datetime):
        return pb.Value(text=value.isoformat(" "))
    if isinstance(value, (datetime.date, datetime.time)):
        return pb.Value(text=value.isoformat())
    try:
        integer = operator.index(value)  # int, bool, and whatever else is a whole number
    except TypeError:
        raise not_bindable(name, f"a {type(value).__name__} has no SQLite value") from None
    if not -1 << 63 <= integer < 1 << 63:
        raise not_bindable(name, f"{integer} does not fit into 64 bits")
    return pb.Value(integer=integer)


def rows(batch, width, raw_text):
    """The batch as a list of tuples. `raw_text` makes a value of the bytes of text that is not UTF-8."""
    if len(batch.columns) != width:
        raise malformed(f"{len(batch.columns)} columns instead of {width}", "BATCH_MALFORMED")
    return list(zip(*(column(data, batch.row_count, raw_text) for data in batch.columns)))


def column(data, count, raw_text):
    try:
        if not count:
            if data.ByteSize():
                raise ValueError("content without rows")
            return []
        classes = bytes([data.uniform]) * count if data.uniform else data.classes
        if len(classes) != count or data.uniform and data.classes or classes.strip(b"\1\2\3\4\5\6"):
            raise ValueError("wrong classes")
        sized = [kind for kind in classes if kind >= 4]
        if data.ints and data.int_width not in (1, 2, 4, 8) or data.lens and data.len_width not in (1, 2, 4):
            raise ValueError("wrong widths")
        ints = unpack(" bh i   q"[data.int_width] if data.ints else "b", data.ints, classes.count(2))
        reals = unpack("d", data.reals, classes.count(3))
        lens = unpack(" BH I"[data.len_width] if data.lens else "B", data.lens, len(sized))
        ends = {"text": 0, "blobs": 0}
        if data.uniform == 2:
            return ints
        if data.uniform == 3:
            return reals
        ints, reals, lens = iter(ints), iter(reals), iter(lens)
        text, blobs = data.text, data.blobs

        def piece(source, name):
            start = ends[name]
            ends[name] = end = start + next(lens)
            if end > len(source):
                raise ValueError("lengths beyond the content")
            return source[start:end]

        cell = {1: lambda: None, 2: lambda: next(ints), 3: lambda: next(reals),
                4: lambda: piece(text, "text").decode(), 5: lambda: piece(blobs, "blobs"),
                6: lambda: raw_text(piece(blobs, "blobs"))}
        cells = [cell[kind]() for kind in classes]
        if (ends["text"], ends["blobs"]) != (len(text), len(blobs)):
            raise ValueError("content beyond the lengths")
        return cells
    except (ValueError, struct.error) as error:
        raise malformed(f"a batch breaks the layout: {error}", "BATCH_MALFORMED") from None


def unpack(kind, data, count):
    return struct.unpack(f"<{count}{kind}", data)
