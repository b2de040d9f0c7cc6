"""The exceptions of DB-API 2.0, with everything that an EngineError says."""
import engine_pb2 as pb


class Warning(Exception):  # noqa: A001 (the name is DB-API's)
    """Never raised."""


class Error(Exception):
    """`code` says what to do next and `reason` what happened, as docs/protocol/errors.md lists them.

    `sql_offset` counts characters of `sql`, not bytes. `batch_index` is the position in executemany.
    """

    def __init__(self, message, code="LIFECYCLE", reason="", subject="", sqlite_code=0, sqlite_extended_code=0,
                 sql_offset=None, batch_index=None, retryable=False, detail="", sql=None):
        super().__init__(message)
        self.code, self.reason, self.subject = code, reason, subject
        self.sqlite_code, self.sqlite_extended_code = sqlite_code, sqlite_extended_code
        self.sql_offset, self.batch_index, self.retryable, self.detail, self.sql = \
            sql_offset, batch_index, retryable, detail, sql

    def __str__(self):
        return f"{self.code}/{self.reason}: {self.args[0]}"


class InterfaceError(Error):
    """Host and engine do not understand each other."""


class DatabaseError(Error):
    """Everything else; raised itself for damaged databases and for plugins."""


class DataError(DatabaseError):
    """A value cannot be bound exactly."""


class OperationalError(DatabaseError):
    """Transactions, interruptions, limits, storage; an engine that is gone."""


class IntegrityError(DatabaseError):
    """The data refuses the statement."""


class InternalError(DatabaseError):
    """A defect of the engine, which is unusable."""


class ProgrammingError(DatabaseError):
    """The SQL, its parameters or the order of calls is wrong."""


class NotSupportedError(DatabaseError):
    """The engine does not offer what is asked for."""


CLASS_OF = {
    "PROTOCOL": InterfaceError, "UNIMPLEMENTED": NotSupportedError, "LIFECYCLE": OperationalError,
    "INVALID": ProgrammingError, "CONSTRAINT": IntegrityError, "TRANSACTION": OperationalError,
    "INTERRUPTED": OperationalError, "LIMIT": OperationalError, "STORAGE": OperationalError, "CORRUPT": DatabaseError,
    "PLUGIN": DatabaseError, "INTERNAL": InternalError,
}


def from_engine(error, sql=None):
    """What an EngineError becomes. Unknown codes count as INTERNAL."""
    known = error.code in pb.ErrorCode.values() and error.code
    code = pb.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_") if known else "INTERNAL"
    kind = DataError if error.reason == "PARAM_INVALID" else CLASS_OF[code]
    offset = error.sql_offset if error.HasField("sql_offset") else None
    if offset is not None and sql is not None:
        offset = len(sql.encode()[:offset].decode(errors="ignore"))
    return kind(error.message, code, error.reason, error.subject, error.sqlite_code, error.sqlite_extended_code, offset,
                error.batch_index if error.HasField("batch_index") else None, error.retryable, error.detail, sql)


def closed(why="the connection is closed"):
    return ProgrammingError(why, "LIFECYCLE", "CLOSED")


def transport_closed(why):
    return OperationalError(why, "LIFECYCLE", "TRANSPORT_CLOSED")


def malformed(why, reason="FRAME_MALFORMED"):
    return InterfaceError(why, "PROTOCOL", reason)


def not_bindable(name, why):
    return DataError(f"parameter {name}: {why}", "INVALID", "PARAM_INVALID", str(name))
