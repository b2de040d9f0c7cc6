"""What can go wrong, as docs/protocol/errors.md registers it: a reason always comes with its code."""
import re

import engine_pb2 as pb

REASONS = {
    "PROTOCOL": "FRAME_MALFORMED ATTACHMENT_MISMATCH ID_REUSED BATCH_MALFORMED",
    "UNIMPLEMENTED": "CALL_UNKNOWN CAPABILITY_MISSING",
    "LIFECYCLE": "NOT_INITIALIZED ALREADY_INITIALIZED CLOSING CLOSED FAILED",
    "INVALID": "SQL_SYNTAX SQL_EMPTY SQL_MULTIPLE SQL_ERROR PARAM_MISSING PARAM_UNKNOWN PARAM_INVALID OPTION_INVALID",
    "CONSTRAINT": "UNIQUE PRIMARY_KEY FOREIGN_KEY NOT_NULL CHECK SCHEMA_MISMATCH VALIDATION TRIGGER",
    "TRANSACTION": "IN_TRANSACTION NO_TRANSACTION BUSY CURSOR_UNKNOWN CURSOR_INVALIDATED",
    "INTERRUPTED": "CANCELLED TIMEOUT",
    "LIMIT": "LIMIT_EXCEEDED RESULT_TOO_LARGE CURSOR_SPOOL_LIMIT INFLIGHT OUT_OF_MEMORY",
    "STORAGE": "STORAGE_UNSUPPORTED STORAGE_QUOTA STORAGE_MISSING STORAGE_READONLY STORAGE_FAILED",
    "CORRUPT": "IMAGE_INVALID DATABASE_CORRUPT",
    "INTERNAL": "ENGINE_DEFECT",
}
CODE_OF = {reason: code for code, reasons in REASONS.items() for reason in reasons.split()}
RETRYABLE = {"CANCELLED", "TIMEOUT", "INFLIGHT", "BUSY"}


class Failure(Exception):
    """One EngineError on its way to the host."""

    def __init__(self, reason, message, subject="", sqlite=0, sql_offset=None, retryable=None):
        super().__init__(message)
        self.error = pb.EngineError(
            code=pb.ErrorCode.Value(f"ERROR_CODE_{CODE_OF[reason]}"), reason=reason, message=message or reason,
            subject=subject, sqlite_code=sqlite & 0xFF, sqlite_extended_code=sqlite, sql_offset=sql_offset,
            retryable=reason in RETRYABLE if retryable is None else retryable)


def missing(capability):
    return Failure("CAPABILITY_MISSING", f"this engine does not offer {capability}", capability)


def from_sqlite(error, preparing, stopped=None):
    """What an exception of the sqlite3 module becomes; `stopped` is why the progress handler interrupted."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        raise error  # not SQLite's: the module refuses how it was called, which is our defect
    message = str(error)
    reason = stopped if code == 9 and stopped else reason_of(code, message, preparing)
    subject = "SQLITE_LIMIT_LENGTH" if code == 18 else ""
    return Failure(reason, message, subject, code, retryable=False if code in NOT_RETRYABLE else None)


def reason_of(code, message, preparing):
    if code == 1:
        if preparing and re.fullmatch(SYNTAX, message, re.S):
            return "SQL_SYNTAX"
        return next((reason for pattern, reason in MESSAGES if re.fullmatch(pattern, message, re.S)), "SQL_ERROR")
    return EXTENDED.get(code) or PRIMARY.get(code & 0xFF, "SQL_ERROR")


SYNTAX = r'near ".*": syntax error|syntax error .*|incomplete input|unrecognized token: ".*"'
MESSAGES = [
    (r"cannot start a transaction within a transaction", "IN_TRANSACTION"),
    (r"cannot VACUUM from within a transaction", "IN_TRANSACTION"),
    (r"cannot change .* wal mode from within a transaction", "IN_TRANSACTION"),
    (r"temporary storage cannot be changed from within a transaction", "IN_TRANSACTION"),
    (r"Safety level may not be changed inside a transaction", "IN_TRANSACTION"),
    (r"cannot commit - no transaction is active", "NO_TRANSACTION"),
    (r"cannot rollback - no transaction is active", "NO_TRANSACTION"),
    (r"no such savepoint: .*", "NO_TRANSACTION"),
    (r"cannot VACUUM - SQL statements in progress", "BUSY"),
]
EXTENDED = {
    769: "BUSY", 3082: "OUT_OF_MEMORY", 8202: "DATABASE_CORRUPT", 275: "CHECK", 787: "FOREIGN_KEY", 1299: "NOT_NULL",
    1555: "PRIMARY_KEY", 1811: "TRIGGER", 2067: "UNIQUE", 2579: "UNIQUE", 2835: "TRIGGER", 3091: "SCHEMA_MISMATCH",
}
PRIMARY = {
    2: "ENGINE_DEFECT", 3: "STORAGE_FAILED", 4: "CURSOR_INVALIDATED", 5: "BUSY", 6: "BUSY", 7: "OUT_OF_MEMORY",
    8: "STORAGE_READONLY", 9: "CANCELLED", 10: "STORAGE_FAILED", 11: "DATABASE_CORRUPT", 13: "STORAGE_QUOTA",
    14: "STORAGE_FAILED", 15: "BUSY", 17: "BUSY", 18: "LIMIT_EXCEEDED", 19: "VALIDATION", 20: "SCHEMA_MISMATCH",
    21: "ENGINE_DEFECT", 22: "STORAGE_FAILED", 26: "DATABASE_CORRUPT",
}
NOT_RETRYABLE = {517, 6, 518}
