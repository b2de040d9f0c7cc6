//! What every callback into safe code has in common: its error reaches the caller of SQLite as it
//! is, its panic goes around SQLite, and what it inserts is nobody's business.
//!
//! SQLite takes a code and a message from a callback, nothing else. The [`Error`] itself waits in
//! a slot until the statement fails with that message. A panic must not unwind through C: it is
//! caught, the statement fails, and it goes on in the Rust code that stepped the statement. (Where
//! panics abort, in wasm, nothing is caught and the instance ends.)

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use lix_engine_protocol::{Error, Reason, Result};
use rusqlite::ffi;

use super::Hooks;

/// What callbacks leave behind for those who run statements.
#[derive(Default)]
pub(super) struct Callbacks {
    /// The last error, and the message by which it is known to SQLite.
    failure: RefCell<Option<(String, Error)>>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    depth: Cell<u32>,
    /// Rows changed by statements that callbacks ran.
    changes: Cell<u64>,
}

/// What SQLite is told of an error.
pub(super) struct Failure {
    pub(super) code: c_int,
    pub(super) message: CString,
}

impl Hooks {
    /// Runs the body of a callback.
    pub(super) fn call<T>(
        &self,
        body: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        let _aside = Aside::new(self);
        self.look(body)
    }

    /// Runs the body of a callback that writes nothing; some are called for every cell.
    pub(super) fn look<T>(
        &self,
        body: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fail(error)),
            Err(panic) => {
                self.callbacks.panic.borrow_mut().get_or_insert(panic);
                let message = c"a callback panicked".to_owned();
                Err(Failure { code: ffi::SQLITE_INTERNAL, message })
            }
        }
    }

    /// Keeps an error until the statement fails with it.
    fn fail(&self, error: Error) -> Failure {
        let message =
            CString::new(error.message.replace('\0', "\u{fffd}")).expect("the NULs are replaced");
        let code = code(&error);
        self.expect_failure(message.to_string_lossy().into_owned(), error);
        Failure { code, message }
    }

    /// If the statement fails with this message, this is the error.
    pub(super) fn expect_failure(&self, message: String, error: Error) {
        *self.callbacks.failure.borrow_mut() = Some((message, error));
    }

    /// A statement failed with this message: the error behind it, if a callback's was.
    pub(super) fn failure(&self, message: &str) -> Option<Error> {
        let (expected, error) = self.callbacks.failure.borrow_mut().take()?;
        (expected == message).then_some(error)
    }

    /// A statement ended, well or not: panics of callbacks go on here.
    pub(super) fn resume_panic(&self) {
        let panic = self.callbacks.panic.borrow_mut().take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// A statement ended well: what failed on the way did not matter.
    pub(super) fn forget_failure(&self) {
        if self.callbacks.depth.get() == 0 {
            self.callbacks.failure.borrow_mut().take();
        }
    }

    /// Rows changed by statements that callbacks ran, since the connection was opened.
    pub(super) fn changes_aside(&self) -> u64 {
        self.callbacks.changes.get()
    }
}

/// While it lives, changes and rowids are not the user's.
struct Aside<'a> {
    hooks: &'a Hooks,
    rowid: i64,
    total_changes: u64,
}

impl<'a> Aside<'a> {
    fn new(hooks: &'a Hooks) -> Self {
        hooks.callbacks.depth.set(hooks.callbacks.depth.get() + 1);
        Self { hooks, rowid: hooks.last_insert_rowid(), total_changes: hooks.total_changes() }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let Hooks { callbacks, .. } = self.hooks;
        if self.hooks.last_insert_rowid() != self.rowid {
            self.hooks.set_last_insert_rowid(self.rowid);
        }
        callbacks.depth.set(callbacks.depth.get() - 1);
        if callbacks.depth.get() == 0 {
            let changes = self.hooks.total_changes() - self.total_changes;
            callbacks.changes.set(callbacks.changes.get() + changes);
        }
    }
}

/// The code that makes SQLite treat an error as what it is.
fn code(error: &Error) -> c_int {
    match error.sqlite_extended_code {
        0 => {}
        // SQLite would compile the statement again and run it from its start, or keep a
        // transaction open that it is asked to commit.
        ffi::SQLITE_SCHEMA | ffi::SQLITE_BUSY => return ffi::SQLITE_ERROR,
        code => return code,
    }
    match error.reason {
        Reason::Validation => ffi::SQLITE_CONSTRAINT_VTAB,
        Reason::Unique => ffi::SQLITE_CONSTRAINT_UNIQUE,
        Reason::PrimaryKey => ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
        Reason::ForeignKey => ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
        Reason::NotNull => ffi::SQLITE_CONSTRAINT_NOTNULL,
        Reason::Check => ffi::SQLITE_CONSTRAINT_CHECK,
        Reason::SchemaMismatch => ffi::SQLITE_CONSTRAINT_DATATYPE,
        Reason::Trigger => ffi::SQLITE_CONSTRAINT_TRIGGER,
        Reason::Timeout | Reason::Cancelled => ffi::SQLITE_INTERRUPT,
        Reason::OutOfMemory => ffi::SQLITE_NOMEM,
        Reason::DatabaseCorrupt => ffi::SQLITE_CORRUPT_VTAB,
        Reason::EngineDefect => ffi::SQLITE_INTERNAL,
        _ => ffi::SQLITE_ERROR,
    }
}
