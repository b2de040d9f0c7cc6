#!/usr/bin/env python3
"""Writes every SQLite image of this folder, byte for byte the same on each run.

Run it in this folder: `python3 make_fixtures.py` rewrites the images and prints the table of
names and SHA-256 sums that README.md carries; `--check` only compares, and fails on a difference.
Header fields that depend on the SQLite library (its version number, the change counters) are set
to fixed values, so that the sums do not depend on who ran the script.
"""

import hashlib
import os
import random
import sqlite3
import struct
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
CHANGE_COUNTER = 1
LIBRARY_VERSION = 3_045_000


def database(script, page_size=512, encoding="UTF-8", vacuum=True):
    """The bytes of a database made by `script`, with the volatile header fields fixed."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"pragma page_size = {page_size}")
        connection.execute(f"pragma encoding = '{encoding}'")
        connection.executescript(script)
        if vacuum:
            connection.execute("vacuum")
        connection.close()
        with open(path, "rb") as file:
            image = bytearray(file.read())
    image[24:28] = struct.pack(">I", CHANGE_COUNTER)
    image[92:96] = struct.pack(">I", CHANGE_COUNTER)
    image[96:100] = struct.pack(">I", LIBRARY_VERSION)
    return image


def patched(image, offset, values):
    copy = bytearray(image)
    copy[offset : offset + len(values)] = values
    return copy


def noise(length, seed):
    return bytes(random.Random(seed).getrandbits(8) for _ in range(length))


BOOKS = """
create table book (id integer primary key, title text not null, year integer);
insert into book values (1, 'The Sea Road', 1998), (2, 'Ångström', 2004), (3, 'Кот', null);
create index book_year on book (year);
pragma user_version = 7;
pragma application_id = 1279875141;
"""

MANY = """
create table reading (id integer primary key, note text);
with recursive n (i) as (select 1 union all select i + 1 from n where i < 200)
insert into reading select i, printf('reading number %06d', i) from n;
"""


# The index was built over one column and says that it is over the other: a row's entry is not found.
WRONG_INDEX = """
create table t (a, b);
insert into t values (1, 100), (2, 200), (3, 300);
create index i on t (a);
pragma writable_schema = on;
update sqlite_schema set sql = 'CREATE INDEX i on t (b)' where name = 'i';
"""

WRONG_SEQUENCE = """
create table t (id integer primary key autoincrement, a);
insert into t (a) values ('x');
pragma writable_schema = on;
update sqlite_schema set sql = 'CREATE TABLE sqlite_sequence(name,seq,more)' where name = 'sqlite_sequence';
"""

# Somebody else's table under a name that change control keeps for itself.
FOREIGN_NAME = "create table _LIX_mine (x); insert into _LIX_mine values (1);"

# What a release to come could have written.
FUTURE_LIX = """
create table _lix_meta (key text not null primary key, value any) strict, without rowid;
insert into _lix_meta values ('schema_version', '999999');
"""


def images():
    books = database(BOOKS)
    many = database(MANY)
    return {
        "books.sqlite": books,
        "books-utf16.sqlite": database(BOOKS, encoding="UTF-16le"),
        "books-page4096.sqlite": database(BOOKS, page_size=4096),
        "many.sqlite": many,
        # A database that was last used in write-ahead mode: both version bytes are 2.
        "wal-header.sqlite": patched(books, 18, b"\x02\x02"),
        # A read version this SQLite does not know: the file must not be read.
        "future-read-version.sqlite": patched(books, 18, b"\x01\x03"),
        "truncated-page.sqlite": many[: len(many) - 512],
        "truncated-mid-page.sqlite": many[: len(many) // 2 + 100],
        "truncated-header.sqlite": books[:60],
        "header-only.sqlite": books[:100],
        # Same length as a database, no header: what an encrypted file looks like.
        "encrypted-looking.bin": noise(4096, seed=1),
        "not-a-database.txt": b"This is a text file, not a database.\n" * 20,
        "page-size-zero.sqlite": patched(books, 16, b"\x00\x00"),
        # A sound header and schema; the table's pages are noise.
        "wrong-index.sqlite": database(WRONG_INDEX, vacuum=False),
        "wrong-sequence.sqlite": database(WRONG_SEQUENCE, vacuum=False),
        "foreign-name.sqlite": database(FOREIGN_NAME),
        "future-lix.sqlite": database(FUTURE_LIX),
        "corrupt-table.sqlite": many[:512] + noise(len(many) - 512, seed=2),
    }


def main():
    check = "--check" in sys.argv[1:]
    differences = 0
    for name, content in images().items():
        content = bytes(content)
        path = os.path.join(FOLDER, name)
        if check:
            with open(path, "rb") as file:
                if file.read() != content:
                    differences += 1
                    print(f"{name}: differs", file=sys.stderr)
        else:
            with open(path, "wb") as file:
                file.write(content)
        print(f"| `{name}` | {len(content)} | `{hashlib.sha256(content).hexdigest()}` |")
    sys.exit(1 if differences else 0)


main()
