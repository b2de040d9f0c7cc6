#!/usr/bin/env python3
"""Reads a Lix Engine store without the engine: writes the SQLite database that it holds.

    python3 examples/read_store.py STORE.lix OUTPUT.sqlite

Follows docs/storage-format.md and needs nothing but Python. It never writes to the store; if the
store is damaged it says where, and ends with status 1.
"""

import struct
import sys

BLOCK = 4096
FAN_OUT = 340


class Damaged(Exception):
    pass


def read_store(path):
    """The image, and the number of the save that it is."""
    with open(path, "rb") as file:
        data = file.read()

    def block(number):
        bytes_ = data[number * BLOCK:(number + 1) * BLOCK]
        if number < 2 or len(bytes_) < BLOCK:
            raise Damaged(f"block {number} is missing")
        return bytes_

    def checked(pointer):
        number, checksum = pointer
        bytes_ = block(number)
        if xxh64(bytes_) != checksum:
            raise Damaged(f"block {number} is damaged")
        return bytes_

    header, end = newest_header(data)
    version, _, file_id, seq, image_len, next_record, root_count = header
    count = -(-image_len // BLOCK)

    # Three levels: the header points at roots, roots at table pages, those at content.
    level = pointers(data[end - BLOCK:end], 64, root_count)
    for width in (-(-count // FAN_OUT), count):
        level = [p for page in level for p in pointers(checked(page), 0, FAN_OUT)][:width]
    content = dict(enumerate(level))

    # The saves since then, each at the place that the one before names.
    previous = struct.unpack_from("<Q", data, end - 8)[0]
    records = []
    while next_record >= 2 and (next_record + 1) * BLOCK <= len(data):
        bytes_ = block(next_record)
        magic, entries, following, record_id, record_seq, length, follows = struct.unpack_from(
            "<8sII16sQQQ", bytes_)
        if (magic != b"LIXSAVED" or stamp(bytes_) is None or record_id != file_id
                or record_seq != seq + 1 or follows != previous):
            break
        changes = [struct.unpack_from("<IIQ", bytes_, 56 + 16 * n) for n in range(entries)]
        records.append((record_seq, length, changes))
        seq, previous, next_record = record_seq, stamp(bytes_), following
    if records:
        # The last save may not have been finished. Then it was never acknowledged.
        try:
            for _, number, checksum in records[-1][2]:
                checked((number, checksum))
        except Damaged:
            records.pop()
    seq = header[3]
    for seq, image_len, changes in records:
        count = -(-image_len // BLOCK)
        content = {index: place for index, place in content.items() if index < count}
        content.update((index, (number, checksum)) for index, number, checksum in changes)

    count = -(-image_len // BLOCK)
    if sorted(content) != list(range(count)):
        raise Damaged("a save contradicts itself")
    image = b"".join(checked(content[index]) for index in range(count))
    return image[:image_len], seq


def newest_header(data):
    """The fields of the header that counts, and where its block ends."""
    found = []
    for end in (BLOCK, 2 * BLOCK):
        bytes_ = data[end - BLOCK:end]
        if bytes_[:8] == b"LIXSTORE" and stamp(bytes_) is not None:
            found.append((struct.unpack_from("<II16sQQII", bytes_, 8), end))
    if not found:
        # Another program's file was about to be replaced: the header is the last block.
        end = len(data) // BLOCK * BLOCK
        bytes_ = data[end - BLOCK:end]
        if end > 2 * BLOCK and bytes_[:8] == b"LIXTAKES" and stamp(bytes_) is not None:
            found.append((struct.unpack_from("<II16sQQII", bytes_, 8), end))
    if not found:
        raise Damaged("no header; not a store, or nothing was ever saved in it")
    for header, _ in found:
        if header[0] != 1:
            raise Damaged(f"format version {header[0]} is newer than this program")
    return max(found, key=lambda one: one[0][3])


def pointers(bytes_, at, count):
    return [struct.unpack_from("<IQ", bytes_, at + 12 * n) for n in range(count)]


def stamp(bytes_):
    """The checksum that a header or record carries, if it is right."""
    if len(bytes_) < BLOCK:
        return None
    carried = struct.unpack_from("<Q", bytes_, BLOCK - 8)[0]
    return carried if xxh64(bytes_[:-8]) == carried else None


def xxh64(data):
    """XXH64 with seed 0, for input of at least 32 bytes whose length is a multiple of 8."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
    mask = 0xFFFFFFFFFFFFFFFF

    def rotate(value, by):
        return (value << by | value >> (64 - by)) & mask

    def mix(lane, word):
        return rotate((lane + word * p2) & mask, 31) * p1 & mask

    words = struct.unpack(f"<{len(data) // 8}Q", data)
    whole = len(words) // 4 * 4
    lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
    for at in range(0, whole, 4):
        lanes = [mix(lane, word) for lane, word in zip(lanes, words[at:at + 4])]
    value = sum(rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & mask
    for lane in lanes:
        value = ((value ^ mix(0, lane)) * p1 + p4) & mask
    value = (value + len(data)) & mask
    for word in words[whole:]:
        value = (rotate(value ^ mix(0, word), 27) * p1 + p4) & mask
    value = (value ^ value >> 33) * p2 & mask
    value = (value ^ value >> 29) * p3 & mask
    return value ^ value >> 32


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        image, seq = read_store(sys.argv[1])
    except Damaged as damage:
        sys.exit(f"{sys.argv[1]}: {damage}")
    with open(sys.argv[2], "wb") as output:
        output.write(image)
    print(f"save {seq}: {len(image)} bytes of SQLite database")
