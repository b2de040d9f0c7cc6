//! From SQLite's result codes to ours: the table of `docs/protocol/errors.md`, line by line.

use lix_engine_protocol::{Error, Reason};
use rusqlite::ffi;

/// What SQLite said about the statement in hand.
pub(crate) struct Report {
    /// The extended result code.
    pub(crate) code: i32,
    /// SQLite's English message.
    pub(crate) message: String,
    /// Byte offset into the statement, where SQLite knows one.
    pub(crate) offset: Option<u32>,
    /// The statement was being compiled, not run.
    pub(crate) preparing: bool,
    /// The engine's own timer interrupted it.
    pub(crate) timed_out: bool,
    /// The error of a virtual table or function that made the statement fail.
    pub(crate) cause: Option<Box<Error>>,
}

impl From<Report> for Error {
    fn from(mut report: Report) -> Self {
        let primary = report.code & 0xff;
        if let Some(cause) = report.cause.take() {
            return caused_by(*cause, report.code);
        }
        let reason = match (primary, report.code) {
            (ffi::SQLITE_INTERRUPT, _) if report.timed_out => Reason::Timeout,
            (ffi::SQLITE_ERROR, _) => {
                by_message(&report).or_else(|| by_code(report.code)).unwrap_or(Reason::SqlError)
            }
            (_, code) => by_code(code).or_else(|| by_code(primary)).unwrap_or(Reason::SqlError),
        };
        let mut error = Error::new(reason, report.message);
        error.sqlite_code = primary;
        error.sqlite_extended_code = report.code;
        error.sql_offset = report.offset;
        if matches!(
            report.code,
            ffi::SQLITE_BUSY_SNAPSHOT | ffi::SQLITE_LOCKED | ffi::SQLITE_LOCKED_VTAB
        ) {
            error.retryable = false;
        }
        match reason {
            Reason::LimitExceeded => error.subject("SQLITE_LIMIT_LENGTH"),
            _ => error,
        }
    }
}

/// An error from within is what it was, except that it was SQLite that failed.
fn caused_by(mut error: Error, code: i32) -> Error {
    if error.sqlite_extended_code == 0 {
        error.sqlite_code = code & 0xff;
        error.sqlite_extended_code = code;
    }
    // An offset into SQL that nobody outside has seen.
    error.sql_offset = None;
    error
}

/// Conditions that SQLite reports as plain `SQLITE_ERROR`; only the text tells them apart.
fn by_message(report: &Report) -> Option<Reason> {
    let message = report.message.as_str();
    let is_syntax = (message.starts_with("near \"") && message.ends_with("\": syntax error"))
        || message.starts_with("syntax error ")
        || message == "incomplete input"
        || message.starts_with("unrecognized token: ");
    match message {
        _ if report.preparing && is_syntax => Some(Reason::SqlSyntax),
        "cannot start a transaction within a transaction"
        | "cannot VACUUM from within a transaction"
        | "temporary storage cannot be changed from within a transaction"
        | "Safety level may not be changed inside a transaction" => Some(Reason::InTransaction),
        _ if message.starts_with("cannot change ")
            && message.ends_with(" wal mode from within a transaction") =>
        {
            Some(Reason::InTransaction)
        }
        "cannot commit - no transaction is active"
        | "cannot rollback - no transaction is active" => Some(Reason::NoTransaction),
        _ if message.starts_with("no such savepoint: ") => Some(Reason::NoTransaction),
        "cannot VACUUM - SQL statements in progress" => Some(Reason::Busy),
        _ => None,
    }
}

/// Extended codes where they differ from their primary code, and primary codes.
fn by_code(code: i32) -> Option<Reason> {
    Some(match code {
        ffi::SQLITE_ERROR_SNAPSHOT => Reason::Busy,
        ffi::SQLITE_IOERR_NOMEM => Reason::OutOfMemory,
        ffi::SQLITE_IOERR_DATA => Reason::DatabaseCorrupt,
        ffi::SQLITE_CONSTRAINT_CHECK => Reason::Check,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Reason::ForeignKey,
        ffi::SQLITE_CONSTRAINT_NOTNULL => Reason::NotNull,
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => Reason::PrimaryKey,
        ffi::SQLITE_CONSTRAINT_TRIGGER | ffi::SQLITE_CONSTRAINT_PINNED => Reason::Trigger,
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_ROWID => Reason::Unique,
        ffi::SQLITE_CONSTRAINT_DATATYPE => Reason::SchemaMismatch,

        ffi::SQLITE_INTERNAL | ffi::SQLITE_MISUSE => Reason::EngineDefect,
        ffi::SQLITE_PERM | ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN | ffi::SQLITE_NOLFS => {
            Reason::StorageFailed
        }
        ffi::SQLITE_ABORT => Reason::CursorInvalidated,
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL | ffi::SQLITE_SCHEMA => {
            Reason::Busy
        }
        ffi::SQLITE_NOMEM => Reason::OutOfMemory,
        ffi::SQLITE_READONLY => Reason::StorageReadonly,
        ffi::SQLITE_INTERRUPT => Reason::Cancelled,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Reason::DatabaseCorrupt,
        ffi::SQLITE_FULL => Reason::StorageQuota,
        ffi::SQLITE_TOOBIG => Reason::LimitExceeded,
        ffi::SQLITE_CONSTRAINT => Reason::Validation,
        ffi::SQLITE_MISMATCH => Reason::SchemaMismatch,
        ffi::SQLITE_NOTFOUND
        | ffi::SQLITE_EMPTY
        | ffi::SQLITE_AUTH
        | ffi::SQLITE_FORMAT
        | ffi::SQLITE_RANGE => Reason::SqlError,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the manual is the specification; this reads it and asks the code.
    #[test]
    fn every_line_of_the_manual_holds() {
        let manual = include_str!("../../../docs/protocol/errors.md");
        let mut lines = 0;
        for line in manual.lines().filter(|line| line.starts_with("| `SQLITE_")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let (Ok(code), Some((_, wanted))) = (cells[1].parse(), cells[2].split_once(" / "))
            else {
                continue;
            };
            let (message, preparing) = ("no message decides".to_owned(), false);
            let report =
                Report { code, message, offset: None, preparing, timed_out: false, cause: None };
            let error = Error::from(report);
            assert_eq!(error.reason.as_str(), wanted, "{line}");
            match cells[4] {
                "no" => assert!(!error.retryable, "{line}"),
                "yes" => assert!(error.retryable, "{line}"),
                _ => {}
            }
            lines += 1;
        }
        assert!(lines > 90, "the table moved: {lines} lines were read");
    }
}
