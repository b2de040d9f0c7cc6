"""Lix Engine from Python: DB-API 2.0 over the protocol `lix.engine.v1`.

    import lix_engine

    with contextlib.closing(lix_engine.connect("notes.lix")) as db:
        with db:  # commits, or rolls back
            db.execute("create table if not exists note (id integer primary key, body text)")
            db.execute("insert into note (body) values (?)", ("hello",))
        for row in db.execute("select id, body from note"):
            print(row)
"""
import datetime
import time

from .dbapi import Connection, Cursor, connect
from .errors import (DatabaseError, DataError, Error, IntegrityError, InterfaceError, InternalError, NotSupportedError,
                     OperationalError, ProgrammingError, Warning)

apilevel = "2.0"
threadsafety = 2  # threads may share connections; they then share the transaction, too
paramstyle = "qmark"  # and "named", with a mapping

Date, Time, Timestamp, Binary = datetime.date, datetime.time, datetime.datetime, bytes


def DateFromTicks(ticks):
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks):
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks):
    return Timestamp(*time.localtime(ticks)[:6])


class _Type:
    """Equal to the declared types of an affinity; what a description's type_code is compared with."""

    def __init__(self, *parts):
        self._parts = parts

    def __eq__(self, declared):
        return isinstance(declared, str) and any(part in declared.upper() for part in self._parts)

    def __hash__(self):
        return hash(self._parts)


STRING = _Type("CHAR", "CLOB", "TEXT")
BINARY = _Type("BLOB")
NUMBER = _Type("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC", "BOOL")
DATETIME = _Type("DATE", "TIME")
ROWID = _Type("INTEGER")

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("datetime", "time", "dbapi", "errors")]
