"""Rows of Python values to the columns of a RowBatch, in the smallest widths."""
import struct

import engine_pb2 as pb

NULL, INTEGER, REAL, TEXT, BLOB, TEXT_RAW = range(1, 7)


class RawText(bytes):
    """Text whose bytes are no UTF-8."""


def text(stored):
    """The sqlite3 module's text_factory: TEXT cells become str, or RawText."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return RawText(stored)


CLASS_OF = {type(None): NULL, int: INTEGER, float: REAL, str: TEXT, bytes: BLOB, RawText: TEXT_RAW}


def batch(rows, width):
    """`width` is the number of columns, which rows cannot tell when there are none."""
    return pb.RowBatch(row_count=len(rows), columns=[column([row[i] for row in rows]) for i in range(width)])


def column(cells):
    classes = bytes(CLASS_OF[type(cell)] for cell in cells)
    data = pb.ColumnData()
    if len(set(classes)) == 1:
        data.uniform = classes[0]
    else:
        data.classes = classes
    integers = [cell for cell in cells if type(cell) is int]
    if integers:
        low, high = min(integers), max(integers)
        data.int_width = next(n for n in (1, 2, 4, 8) if -(1 << 8 * n - 1) <= low and high < 1 << 8 * n - 1)
        data.ints = struct.pack(f"<{len(integers)}{' bh i   q'[data.int_width]}", *integers)
    reals = [cell for cell in cells if type(cell) is float]
    data.reals = struct.pack(f"<{len(reals)}d", *reals)
    texts = [cell.encode() for cell in cells if type(cell) is str]
    data.text = b"".join(texts)
    blobs = [cell for cell in cells if isinstance(cell, bytes)]
    data.blobs = b"".join(blobs)
    if texts or blobs:
        encoded = iter(texts)
        lens = [len(next(encoded)) if type(cell) is str else len(cell)
                for cell in cells if isinstance(cell, (str, bytes))]
        data.len_width = next(n for n in (1, 2, 4) if max(lens) < 1 << 8 * n)
        data.lens = struct.pack(f"<{len(lens)}{' BH I'[data.len_width]}", *lens)
    return data


def row_bytes(row):
    """At most so many bytes does a row take in a batch, but for what the batch takes once."""
    return sum(1 if cell is None else 9 if isinstance(cell, (int, float)) else
               5 + (len(cell) if isinstance(cell, bytes) else len(cell.encode())) for cell in row)


def overhead(width):
    """What a batch takes once: tags and lengths of each column's runs."""
    return 16 + 64 * width
