//! The few calls into SQLite that rusqlite's borrowed statements do not allow: a statement that
//! outlives the call that made it (a cursor), the text behind it, its offset in an error, and
//! what kind of statement it is. All unsafe code of the engine is here.
//!
//! Guarantees: a [`Statement`] keeps its connection alive; it is reset before it is bound again;
//! values bound without a copy are unbound before they can go away.

mod callback;
pub(crate) mod function;
pub(crate) mod glob;
#[cfg(test)]
mod tests;
pub(crate) mod vtab;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::{Error, Reason};
use rusqlite::{Connection, OpenFlags, ffi};

use self::callback::Callbacks;
use crate::Platform;
use crate::sqlite_error::Report;
use crate::vfs::{ImageVfs, MAIN_FILE, SharedImage};

/// An open connection, its hooks, and the file system under it, in the order they are dropped.
pub(crate) struct Link {
    connection: Connection,
    hooks: Box<Hooks>,
    _vfs: ImageVfs,
}

/// What SQLite tells the engine by callback.
struct Hooks {
    db: *mut ffi::sqlite3,
    platform: Arc<dyn Platform>,
    /// Collected by the authorizer while a statement is prepared.
    traits: Cell<u32>,
    /// Database and table of the statement's own INSERT, UPDATE or DELETE, collected likewise.
    target: RefCell<Option<Target>>,
    /// What a user's statement reads from, collected likewise.
    sources: RefCell<Vec<Source>>,
    committed: Cell<bool>,
    /// A virtual table refused a commit.
    refused_commit: Cell<bool>,
    /// The table whose insertions are watched, and the rowid of the last one.
    watched: RefCell<Option<CString>>,
    inserted: Cell<Option<i64>>,
    /// On the platform's monotonic clock; 0: none.
    deadline_ms: Cell<u64>,
    timed_out: Cell<bool>,
    /// Whose statement runs, for [`Platform::is_cancelled`]; none: it is not to be stopped that way.
    request: Cell<Option<u32>>,
    cancelled: Cell<bool>,
    /// What runs, the innermost: see [`on_progress`].
    stepping: Cell<*mut ffi::sqlite3_stmt>,
    /// How often [`on_progress`] is called; 0: not at all.
    watch_steps: Cell<c_int>,
    /// How many of the engine's own statements are being prepared or stepped.
    inside: Cell<u32>,
    /// What is prepared may read and do nothing else, unless it is the engine's own.
    only_reads: Cell<bool>,
    /// Names of registered virtual tables, in lower case.
    tables: RefCell<HashSet<Box<[u8]>>>,
    callbacks: Callbacks,
}

/// While it lives, statements are the engine's own: what they are is not noted, and they may write
/// where users may not.
pub(crate) struct Inside<'a> {
    hooks: &'a Hooks,
    traits: u32,
    target: Option<Target>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let hooks = self.hooks;
        hooks.inside.set(hooks.inside.get() - 1);
        hooks.traits.set(self.traits);
        hooks.target.replace(self.target.take());
    }
}

/// While it lives, statements are somebody's who may only read, also in the middle of others.
pub(crate) struct Reading<'a> {
    link: &'a Link,
    inside: u32,
    only_reads: bool,
    traits: u32,
    target: Option<Target>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let hooks = &self.link.hooks;
        hooks.inside.set(self.inside);
        hooks.only_reads.set(self.only_reads);
        hooks.traits.set(self.traits);
        hooks.target.replace(self.target.take());
    }
}

/// While it lives, statements can be interrupted.
pub(crate) struct Watch<'a>(&'a Link);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let hooks = &self.0.hooks;
        if hooks.watch_steps.replace(0) > 0 {
            self.0.set_progress_handler(0);
        }
        hooks.timed_out.set(false);
    }
}

/// While it lives, nothing is interrupted.
pub(crate) struct Undisturbed<'a>(&'a Link);

impl Drop for Undisturbed<'_> {
    fn drop(&mut self) {
        let steps = self.0.hooks.watch_steps.get();
        if steps > 0 {
            self.0.set_progress_handler(steps);
        }
    }
}

impl Link {
    /// Opens the image as a database and installs the hooks.
    pub(crate) fn open(
        image: SharedImage,
        platform: Arc<dyn Platform>,
    ) -> Result<Rc<Self>, Report> {
        let vfs = ImageVfs::register(image, platform.clone());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags_and_vfs(MAIN_FILE, flags, vfs.name())
            .map_err(|error| Report {
                code: error.sqlite_error().map_or(ffi::SQLITE_ERROR, |error| error.extended_code),
                message: error.to_string(),
                offset: None,
                preparing: false,
                timed_out: false,
                cause: None,
            })?;
        let hooks = Box::new(Hooks {
            // SAFETY: the hooks use it only while the connection is open.
            db: unsafe { connection.handle() },
            platform,
            traits: Cell::new(0),
            target: RefCell::new(None),
            sources: RefCell::default(),
            committed: Cell::new(false),
            refused_commit: Cell::new(false),
            watched: RefCell::new(None),
            inserted: Cell::new(None),
            deadline_ms: Cell::new(0),
            timed_out: Cell::new(false),
            request: Cell::new(None),
            cancelled: Cell::new(false),
            stepping: Cell::new(std::ptr::null_mut()),
            watch_steps: Cell::new(0),
            inside: Cell::new(0),
            only_reads: Cell::new(false),
            tables: RefCell::default(),
            callbacks: Callbacks::default(),
        });
        let context = std::ptr::from_ref::<Hooks>(&hooks).cast_mut().cast::<c_void>();
        // SAFETY: the connection is open; `hooks` is boxed and dropped after the connection, so
        // the context outlives every callback; the callbacks only use it by shared reference.
        unsafe {
            let db = connection.handle();
            ffi::sqlite3_set_authorizer(db, Some(authorize), context);
            ffi::sqlite3_commit_hook(db, Some(on_commit), context);
            let ignored: *mut c_int = std::ptr::null_mut();
            for (option, on) in [
                (ffi::SQLITE_DBCONFIG_DEFENSIVE, 1),
                (ffi::SQLITE_DBCONFIG_DQS_DML, 0),
                (ffi::SQLITE_DBCONFIG_DQS_DDL, 0),
                // A plan is made once and not anew for every value that is bound.
                (ffi::SQLITE_DBCONFIG_ENABLE_QPSG, 1),
            ] {
                ffi::sqlite3_db_config(db, option, on, ignored);
            }
            // Matching recurses once per wildcard, on a stack that is small in a browser.
            let limit = ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH;
            ffi::sqlite3_limit(db, limit, LIKE_PATTERN_BYTES);
        }
        Ok(Rc::new(Self { connection, hooks, _vfs: vfs }))
    }

    /// Whether a transaction is open, from SQLite itself.
    pub(crate) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Whether SQLite committed since the last call of this function.
    pub(crate) fn take_committed(&self) -> bool {
        self.hooks.committed.replace(false)
    }

    /// Whether a virtual table refused a commit since the last call of this function: SQLite has
    /// rolled back then.
    pub(crate) fn take_refused_commit(&self) -> bool {
        self.hooks.refused_commit.replace(false)
    }

    /// Marks what follows as the engine's own, also in the middle of preparing a user's statement.
    pub(crate) fn inside(&self) -> Inside<'_> {
        self.hooks.inside()
    }

    /// Refuses whatever is more than reading, until the guard is dropped.
    pub(crate) fn reading(&self) -> Reading<'_> {
        let hooks = &self.hooks;
        Reading {
            link: self,
            inside: hooks.inside.replace(0),
            only_reads: hooks.only_reads.replace(true),
            traits: hooks.traits.get(),
            target: hooks.target.take(),
        }
    }

    /// Runs SQL of the engine's own.
    pub(crate) fn run(self: &Rc<Self>, sql: &str) -> Result<(), Report> {
        let _inside = self.inside();
        let mut rest = sql;
        while let Prepared::Statement { mut statement, tail } = Statement::prepare(self, rest)? {
            while statement.step()? {}
            rest = &rest[tail..];
        }
        Ok(())
    }

    /// While the guard lives, statements end with an interrupt once the platform's clock reaches the
    /// deadline, or once the platform says that the request is cancelled.
    pub(crate) fn watch(&self, request: Option<u32>, deadline_ms: Option<u64>) -> Watch<'_> {
        let hooks = &self.hooks;
        let request = request.filter(|_| hooks.platform.hears_cancels());
        hooks.cancelled.set(false);
        hooks.deadline_ms.set(deadline_ms.unwrap_or(0));
        hooks.request.set(request);
        if request.is_some() || deadline_ms.is_some() {
            hooks.watch_steps.set(OPS_BETWEEN_LOOKS);
            self.set_progress_handler(OPS_BETWEEN_LOOKS);
        }
        Watch(self)
    }

    /// While the guard lives, nothing is interrupted: the engine mends or completes.
    pub(crate) fn undisturbed(&self) -> Undisturbed<'_> {
        if self.hooks.watch_steps.get() > 0 {
            self.set_progress_handler(0);
        }
        Undisturbed(self)
    }

    /// Whether anything in the last watch was stopped because its request is cancelled. Asked once.
    pub(crate) fn take_cancelled(&self) -> bool {
        self.hooks.cancelled.replace(false)
    }

    /// Fails if a statement inside the one that runs was interrupted: who started it may have
    /// overlooked that.
    pub(crate) fn check_interrupts(&self) -> Result<(), Error> {
        let reason = match (self.hooks.timed_out.get(), self.hooks.cancelled.get()) {
            (true, _) => Reason::Timeout,
            (_, true) => Reason::Cancelled,
            _ => return Ok(()),
        };
        let mut error = Error::new(reason, "interrupted");
        error.sqlite_code = ffi::SQLITE_INTERRUPT;
        error.sqlite_extended_code = ffi::SQLITE_INTERRUPT;
        Err(error)
    }

    /// Looks every so many steps whether to go on; 0: never.
    fn set_progress_handler(&self, steps: c_int) {
        let context = std::ptr::from_ref::<Hooks>(&self.hooks).cast_mut().cast();
        // SAFETY: as for the hooks in `open`.
        unsafe { ffi::sqlite3_progress_handler(self.db(), steps, Some(on_progress), context) };
    }

    /// Makes the running statement end with an error at its next step.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_interrupt(self.db()) };
    }

    /// Rows changed by the last INSERT, UPDATE or DELETE itself.
    pub(crate) fn changes(&self) -> u64 {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_changes64(self.db()) as u64 }
    }

    /// Rows changed since the connection was opened, triggers and foreign keys included, without
    /// those that virtual tables and functions wrote to do their work.
    pub(crate) fn total_changes(&self) -> u64 {
        self.hooks.total_changes() - self.hooks.changes_aside()
    }

    pub(crate) fn last_insert_rowid(&self) -> i64 {
        self.hooks.last_insert_rowid()
    }

    pub(crate) fn set_last_insert_rowid(&self, rowid: i64) {
        self.hooks.set_last_insert_rowid(rowid);
    }

    fn watch_insertions(&self, table: Option<CString>) -> Option<i64> {
        let context = std::ptr::from_ref::<Hooks>(&self.hooks).cast_mut().cast();
        let hook = table.is_some().then_some(on_update as _);
        *self.hooks.watched.borrow_mut() = table;
        // SAFETY: as for the hooks in `open`.
        unsafe { ffi::sqlite3_update_hook(self.db(), hook, context) };
        self.hooks.inserted.take()
    }

    /// Whether a name means a virtual table of the engine's.
    fn is_virtual(&self, target: &Target) -> bool {
        let name = target.table.to_bytes().to_ascii_lowercase();
        self.hooks.tables.borrow().contains(&*name) && !self.is_table(target)
    }

    /// Whether what is read is a table of the engine's, or one that only takes its arguments apart.
    fn is_ours(&self, Source { database, table }: &Source) -> bool {
        let name = table.to_bytes().to_ascii_lowercase();
        let is_known = PURE_TABLES.contains(&&*name) || self.hooks.tables.borrow().contains(&*name);
        is_known
            && database.as_ref().is_none_or(|database| database.to_bytes() == b"main")
            && !self.has_table(database.as_deref(), table)
    }

    /// Whether a name means a table in the schema (and not a view).
    fn is_table(&self, Target { database, table }: &Target) -> bool {
        self.has_table(Some(database), table)
    }

    /// Without a database: in any.
    fn has_table(&self, database: Option<&CStr>, table: &CStr) -> bool {
        let database = database.map_or(std::ptr::null(), CStr::as_ptr);
        let table = table.as_ptr();
        let (none, nothing) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the connection is open, the names live through the call; everything else may be
        // null, which asks about the table alone.
        let code = unsafe {
            ffi::sqlite3_table_column_metadata(
                self.db(),
                database,
                table,
                std::ptr::null(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                none,
                none,
                nothing,
            )
        };
        code == ffi::SQLITE_OK
    }

    /// What is compiled is compiled anew before it runs again.
    fn expire_statements(&self) {
        let context = std::ptr::from_ref::<Hooks>(&self.hooks).cast_mut().cast::<c_void>();
        // SAFETY: as for the hooks in `open`. Installing an authorizer expires what others saw.
        unsafe { ffi::sqlite3_set_authorizer(self.db(), Some(authorize), context) };
    }

    fn db(&self) -> *mut ffi::sqlite3 {
        self.hooks.db
    }

    /// What SQLite says about the call that just failed. Panics if a callback of it did.
    fn report(&self, preparing: bool) -> Report {
        self.hooks.resume_panic();
        // SAFETY: the connection is open; the message is copied before SQLite is called again.
        unsafe {
            let db = self.db();
            let message = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy().into_owned();
            Report {
                code: ffi::sqlite3_extended_errcode(db),
                offset: u32::try_from(ffi::sqlite3_error_offset(db)).ok(),
                preparing,
                timed_out: self.hooks.timed_out.get(),
                cause: self
                    .hooks
                    .failure(&message)
                    .or_else(|| self.hooks.unmodifiable(&message))
                    .map(Box::new),
                message,
            }
        }
    }
}

impl Hooks {
    fn is_cancelled(&self) -> bool {
        let is_cancelled =
            self.request.get().is_some_and(|request| self.platform.is_cancelled(request));
        if is_cancelled {
            self.cancelled.set(true);
        }
        is_cancelled
    }

    fn inside(&self) -> Inside<'_> {
        self.inside.set(self.inside.get() + 1);
        Inside { hooks: self, traits: self.traits.get(), target: self.target.take() }
    }

    /// SQLite says that a virtual table cannot be written to: if it is the engine's, the error that
    /// writing to any computed table is.
    fn unmodifiable(&self, message: &str) -> Option<Error> {
        let table = message.strip_prefix("table ")?.strip_suffix(" may not be modified")?;
        let is_ours = self.tables.borrow().contains(table.to_ascii_lowercase().as_bytes());
        let message = format!("cannot modify {table} because it is a view");
        is_ours.then(|| Error::new(Reason::ReadOnly, message).subject(table))
    }

    /// The statement that is prepared reads from a table or view.
    fn note_source(&self, table: &[u8], database: Option<&CStr>) {
        let mut sources = self.sources.borrow_mut();
        let is_same = |source: &Source| {
            source.table.to_bytes() == table && source.database.as_deref() == database
        };
        // Column by column, so that most of the time it is the last one.
        if !sources.iter().rev().any(is_same) {
            let table = CString::new(table).unwrap_or_default();
            sources.push(Source { database: database.map(CStr::to_owned), table });
        }
    }

    /// Rows changed by any statement.
    fn total_changes(&self) -> u64 {
        // SAFETY: here and below, the connection is open.
        unsafe { ffi::sqlite3_total_changes64(self.db) as u64 }
    }

    fn last_insert_rowid(&self) -> i64 {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_last_insert_rowid(self.db) }
    }

    fn set_last_insert_rowid(&self, rowid: i64) {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.db, rowid) };
    }
}

/// What came out of preparing a text.
pub(crate) enum Prepared {
    /// The first statement of the text, and where the text goes on behind it.
    Statement { statement: Statement, tail: usize },
    /// White space, comments, semicolons.
    Nothing,
}

/// A compiled statement.
pub(crate) struct Statement {
    raw: *mut ffi::sqlite3_stmt,
    link: Rc<Link>,
    traits: u32,
    target: Option<Target>,
    sources: Vec<Source>,
    is_virtual: bool,
    /// Parameters (from 1) whose values SQLite holds by pointer.
    held: Vec<c_int>,
}

/// What a statement reads from.
struct Source {
    /// None: SQLite does not say.
    database: Option<CString>,
    table: CString,
}

/// What a statement writes to.
struct Target {
    database: CString,
    table: CString,
}

impl Statement {
    /// Compiles the first statement of a text that holds no NUL. Leading empty statements are
    /// skipped; offsets count from the start of the text.
    pub(crate) fn prepare(link: &Rc<Link>, sql: &str) -> Result<Prepared, Report> {
        let mut start = 0;
        loop {
            let text = &sql[start..];
            let mut raw = std::ptr::null_mut();
            let mut tail: *const c_char = std::ptr::null();
            link.hooks.traits.set(0);
            link.hooks.target.take();
            // The engine's own statement, in the middle of a user's, does not touch what is collected.
            let is_own = link.hooks.inside.get() > 0;
            if !is_own {
                link.hooks.sources.take();
            }
            let length = c_int::try_from(text.len()).expect("max_sql_bytes is far below 2 GiB");
            // SAFETY: the text is valid for its length; SQLite copies what it keeps.
            let code = unsafe {
                ffi::sqlite3_prepare_v3(
                    link.db(),
                    text.as_ptr().cast(),
                    length,
                    ffi::SQLITE_PREPARE_PERSISTENT,
                    &raw mut raw,
                    &raw mut tail,
                )
            };
            if code != ffi::SQLITE_OK {
                let mut report = link.report(true);
                report.offset = report.offset.map(|offset| offset + start as u32);
                return Err(report);
            }
            let tail = start + (tail as usize - text.as_ptr() as usize);
            if !raw.is_null() {
                let traits = link.hooks.traits.get();
                let target = link.hooks.target.take();
                let sources = if is_own { Vec::new() } else { link.hooks.sources.take() };
                let is_virtual = target.as_ref().is_some_and(|target| link.is_virtual(target));
                let statement = Statement {
                    raw,
                    link: link.clone(),
                    traits,
                    target,
                    sources,
                    is_virtual,
                    held: Vec::new(),
                };
                if traits & ALTERS != 0 && link.hooks.inside.get() == 0 {
                    refuse_new_name(text)?;
                }
                return Ok(Prepared::Statement { statement, tail });
            }
            if tail <= start || tail >= sql.len() {
                return Ok(Prepared::Nothing);
            }
            start = tail;
        }
    }

    /// SQLite's word that it cannot change the database.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: `raw` is a live statement, here and below, until `drop`.
        unsafe { ffi::sqlite3_stmt_readonly(self.raw) != 0 }
    }

    /// It reads a virtual table that writes when it is read.
    pub(crate) fn calls_procedure(&self) -> bool {
        // SAFETY: as above.
        self.traits & CALLS_PROCEDURE != 0 && unsafe { ffi::sqlite3_stmt_isexplain(self.raw) } == 0
    }

    /// It can change the database, by itself or by what it calls.
    pub(crate) fn writes(&self) -> bool {
        !self.is_read_only() || self.calls_procedure()
    }

    /// Its rows depend on something that is not in a table of the engine's: on a table or view of the
    /// user's, on the schema, on the connection.
    pub(crate) fn reads_elsewhere(&self) -> bool {
        // SAFETY: as above.
        let explains = unsafe { ffi::sqlite3_stmt_isexplain(self.raw) } != 0;
        explains
            || self.traits & READS_ELSEWHERE != 0
            || self.sources.iter().any(|source| !self.link.is_ours(source))
    }

    /// It is an INSERT, UPDATE or DELETE of a virtual table that the engine registered.
    pub(crate) fn writes_virtual_table(&self) -> bool {
        self.is_virtual
    }

    /// It is an INSERT or REPLACE into a table or view, itself, not by a trigger.
    pub(crate) fn inserts(&self) -> bool {
        self.traits & INSERTS != 0
    }

    /// It, or a trigger of it, calls `last_insert_rowid()`.
    pub(crate) fn reads_last_insert_rowid(&self) -> bool {
        self.traits & READS_LAST_ROWID != 0
    }

    /// From now on notes what is inserted into the table that this statement inserts into.
    pub(crate) fn watch_insertions(&self) {
        self.link.watch_insertions(self.target.as_ref().map(|target| target.table.clone()));
    }

    /// Ends [`Statement::watch_insertions`]: the rowid of the last row that was inserted.
    pub(crate) fn watched_insertion(&self) -> Option<i64> {
        self.link.watch_insertions(None)
    }

    /// It is an INSERT, UPDATE or DELETE of a view: triggers do all the work.
    pub(crate) fn writes_view(&self) -> bool {
        self.target.as_ref().is_some_and(|target| !self.link.is_table(target))
    }

    /// It creates, drops or alters something, or changes what names can mean.
    pub(crate) fn changes_schema(&self) -> bool {
        // SAFETY: as above.
        self.traits & CHANGES_SCHEMA != 0 && unsafe { ffi::sqlite3_stmt_isexplain(self.raw) } == 0
    }

    /// It is COMMIT, END or RELEASE.
    pub(crate) fn commits(&self) -> bool {
        self.traits & COMMITS != 0
    }

    /// It is ROLLBACK TO: the transaction goes on without some of its changes.
    pub(crate) fn rolls_back_to(&self) -> bool {
        self.traits & ROLLS_BACK_TO != 0
    }

    /// It makes SQLite end other statements where they stand, although it writes nothing.
    pub(crate) fn disturbs_readers(&self) -> bool {
        self.traits & DISTURBS != 0 || (self.traits & SETS != 0 && self.column_count() == 0)
    }

    /// How often SQLite compiled it anew because the schema had changed.
    pub(crate) fn recompilations(&self) -> i32 {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_stmt_status(self.raw, ffi::SQLITE_STMTSTATUS_REPREPARE, 0) }
    }

    /// Goes to the next row; `false` at the end.
    pub(crate) fn step(&mut self) -> Result<bool, Report> {
        let outer = self.link.hooks.stepping.replace(self.raw);
        // SAFETY: as above.
        let code = unsafe { ffi::sqlite3_step(self.raw) };
        self.link.hooks.stepping.set(outer);
        match code {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => {
                self.link.hooks.resume_panic();
                self.link.hooks.forget_failure();
                Ok(false)
            }
            _ => Err(self.link.report(false)),
        }
    }

    /// Back to before the first row, with no text or blob bound.
    ///
    /// Numbers stay: clearing all bindings makes SQLite compile the statement anew at its next step,
    /// for any parameter that something is compared with.
    pub(crate) fn reset(&mut self) {
        // SAFETY: as above. The result code repeats the error of the last step.
        unsafe {
            ffi::sqlite3_reset(self.raw);
            for index in self.held.drain(..) {
                ffi::sqlite3_bind_null(self.raw, index);
            }
        }
    }

    pub(crate) fn parameter_count(&self) -> usize {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_bind_parameter_count(self.raw) as usize }
    }

    /// The name of a parameter (from 1) with its prefix; a plain `?` has none.
    pub(crate) fn parameter_name(&self, index: usize) -> Option<String> {
        // SAFETY: as above; the name lives as long as the statement and is copied.
        unsafe {
            let name = ffi::sqlite3_bind_parameter_name(self.raw, index as c_int);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
        }
    }

    /// The index of a parameter by its full name.
    pub(crate) fn parameter_index(&self, name: &str) -> Option<usize> {
        let name = CString::new(name).ok()?;
        // SAFETY: as above.
        let index = unsafe { ffi::sqlite3_bind_parameter_index(self.raw, name.as_ptr()) };
        (index > 0).then_some(index as usize)
    }

    /// Binds a value. Text and blobs that are not copied must stay where they are until the
    /// statement is reset or dropped.
    pub(crate) fn bind(
        &mut self,
        index: usize,
        value: Bound<'_>,
        copy: bool,
    ) -> Result<(), Report> {
        let index = index as c_int;
        if matches!(value, Bound::Text(_) | Bound::Blob(_)) {
            self.held.push(index);
        }
        let destructor = if copy { ffi::SQLITE_TRANSIENT() } else { ffi::SQLITE_STATIC() };
        // SAFETY: `raw` is live and reset; pointers are valid for their lengths. Without a copy,
        // the caller holds the values until `reset` has cleared the bindings.
        let code = unsafe {
            match value {
                Bound::Null => ffi::sqlite3_bind_null(self.raw, index),
                Bound::Integer(value) => ffi::sqlite3_bind_int64(self.raw, index, value),
                Bound::Real(value) => ffi::sqlite3_bind_double(self.raw, index, value),
                Bound::Text(text) => ffi::sqlite3_bind_text64(
                    self.raw,
                    index,
                    text.as_ptr().cast(),
                    text.len() as u64,
                    destructor,
                    ffi::SQLITE_UTF8 as u8,
                ),
                Bound::Blob([]) => ffi::sqlite3_bind_zeroblob(self.raw, index, 0),
                Bound::Blob(blob) => ffi::sqlite3_bind_blob64(
                    self.raw,
                    index,
                    blob.as_ptr().cast(),
                    blob.len() as u64,
                    destructor,
                ),
            }
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.link.report(false)) }
    }

    pub(crate) fn column_count(&self) -> usize {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_column_count(self.raw) as usize }
    }

    /// A result column's name and declared type.
    pub(crate) fn column(&self, index: usize) -> (String, Option<String>) {
        let index = index as c_int;
        let copy = |text: *const c_char| {
            // SAFETY: SQLite's texts are NUL-terminated and live until the next call.
            (!text.is_null())
                .then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        // SAFETY: as above, with an index below the column count.
        unsafe {
            let name = copy(ffi::sqlite3_column_name(self.raw, index)).unwrap_or_default();
            (name, copy(ffi::sqlite3_column_decltype(self.raw, index)))
        }
    }

    /// A cell of the current row, valid until the next step or reset.
    pub(crate) fn cell(&self, index: usize) -> Stored<'_> {
        let index = index as c_int;
        // SAFETY: as above. The bytes are not touched before `self` is borrowed mutably, which
        // stepping and resetting need.
        unsafe {
            match ffi::sqlite3_column_type(self.raw, index) {
                ffi::SQLITE_INTEGER => Stored::Integer(ffi::sqlite3_column_int64(self.raw, index)),
                ffi::SQLITE_FLOAT => Stored::Real(ffi::sqlite3_column_double(self.raw, index)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(self.raw, index);
                    Stored::Text(run(start.cast(), ffi::sqlite3_column_bytes(self.raw, index)))
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_column_blob(self.raw, index);
                    Stored::Blob(run(start.cast(), ffi::sqlite3_column_bytes(self.raw, index)))
                }
                _ => Stored::Null,
            }
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the statement is live and never used again; the connection is still open.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

/// A value to bind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A cell as SQLite stores it; text is whatever bytes are there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// SAFETY: `start` must be null or valid for `length` bytes during `'a`.
unsafe fn run<'a>(start: *const u8, length: c_int) -> &'a [u8] {
    if start.is_null() || length <= 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length as usize) }
}

/// Notes what a statement is while SQLite compiles it, and forbids what leads out of the image.
///
/// SAFETY: SQLite calls it with the context given to it and with texts that are null or
/// NUL-terminated.
unsafe extern "C" fn authorize(
    context: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    accessor: *const c_char,
) -> c_int {
    // SAFETY: the context is the boxed `Hooks`, see `Link::open`; texts as promised above.
    let (hooks, first, second, database) = unsafe {
        let text = |text: *const c_char| (!text.is_null()).then(|| CStr::from_ptr(text));
        let bytes = |name: *const c_char| text(name).map(CStr::to_bytes);
        (&*context.cast::<Hooks>(), bytes(first), bytes(second), text(database))
    };
    let reads = matches!(
        action,
        ffi::SQLITE_SELECT | ffi::SQLITE_READ | ffi::SQLITE_FUNCTION | ffi::SQLITE_RECURSIVE
    );
    if hooks.only_reads.get() && hooks.inside.get() == 0 && !reads {
        let refusal = Error::new(Reason::ReadOnly, "only reading is allowed here");
        hooks.expect_failure("not authorized".into(), refusal);
        return ffi::SQLITE_DENY;
    }
    let is_top_level = accessor.is_null();
    let is_write = matches!(action, ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE);
    if is_write
        && is_top_level
        && let (Some(table), Some(database)) = (first, database)
    {
        hooks.target.borrow_mut().get_or_insert_with(|| Target {
            database: database.to_owned(),
            table: CString::new(table).unwrap_or_default(),
        });
    }
    if action == ffi::SQLITE_READ {
        if let (0, Some(table)) = (hooks.inside.get(), first) {
            hooks.note_source(table, database);
        }
        return ffi::SQLITE_OK;
    }
    if hooks.inside.get() == 0
        && let Some(table) = written_table(action, first, second, database)
        && is_reserved(table)
    {
        let name = String::from_utf8_lossy(table);
        // What SQLite says of a refusal.
        hooks.expect_failure("not authorized".into(), read_only(&name));
        return ffi::SQLITE_DENY;
    }
    let found = match action {
        ffi::SQLITE_INSERT if is_top_level => match first {
            Some(table) if !table.starts_with(b"sqlite_") => INSERTS,
            _ => 0,
        },
        ffi::SQLITE_FUNCTION => match second {
            Some(name) if name.eq_ignore_ascii_case(b"last_insert_rowid") => {
                READS_LAST_ROWID | READS_ELSEWHERE
            }
            Some(name) if OF_CONNECTION.iter().any(|own| name.eq_ignore_ascii_case(own)) => {
                READS_ELSEWHERE
            }
            _ => 0,
        },
        ffi::SQLITE_TRANSACTION | ffi::SQLITE_SAVEPOINT => match first {
            Some(b"COMMIT" | b"RELEASE") => COMMITS,
            Some(b"ROLLBACK") if action == ffi::SQLITE_SAVEPOINT => ROLLS_BACK_TO,
            _ => 0,
        },
        ffi::SQLITE_ALTER_TABLE => CHANGES_SCHEMA | ALTERS,
        ffi::SQLITE_CREATE_INDEX..=ffi::SQLITE_CREATE_VIEW
        | ffi::SQLITE_DROP_INDEX..=ffi::SQLITE_DROP_VIEW
        | ffi::SQLITE_CREATE_VTABLE
        | ffi::SQLITE_DROP_VTABLE => CHANGES_SCHEMA,
        // VACUUM attaches a nameless database; nothing else has a reason to name one here.
        ffi::SQLITE_ATTACH => match first {
            Some(b"" | b":memory:") => CHANGES_SCHEMA,
            _ => return ffi::SQLITE_DENY,
        },
        // The journal of an image in memory cannot become a write-ahead log. As with SQLite's own
        // in-memory databases the wish is ignored, not refused.
        ffi::SQLITE_PRAGMA => match (first, second) {
            (Some(name), Some(value))
                if name.eq_ignore_ascii_case(b"journal_mode")
                    && value.eq_ignore_ascii_case(b"wal") =>
            {
                return ffi::SQLITE_IGNORE;
            }
            (Some(name), _) if name.eq_ignore_ascii_case(b"optimize") => DISTURBS | READS_ELSEWHERE,
            (_, Some(_)) => SETS | READS_ELSEWHERE,
            _ => READS_ELSEWHERE,
        },
        ffi::SQLITE_DETACH => DISTURBS | CHANGES_SCHEMA,
        _ => 0,
    };
    hooks.traits.set(hooks.traits.get() | found);
    ffi::SQLITE_OK
}

/// The table or view that an action creates, changes or takes away, except by names that only
/// SQLite itself can use: those of the database that a VACUUM builds.
fn written_table<'a>(
    action: c_int,
    first: Option<&'a [u8]>,
    second: Option<&'a [u8]>,
    database: Option<&CStr>,
) -> Option<&'a [u8]> {
    let is_here = database.is_none_or(|name| matches!(name.to_bytes(), b"main" | b"temp"));
    match action {
        _ if !is_here => None,
        ffi::SQLITE_INSERT
        | ffi::SQLITE_UPDATE
        | ffi::SQLITE_DELETE
        | ffi::SQLITE_CREATE_TABLE
        | ffi::SQLITE_CREATE_TEMP_TABLE
        | ffi::SQLITE_CREATE_VIEW
        | ffi::SQLITE_CREATE_TEMP_VIEW
        | ffi::SQLITE_CREATE_VTABLE
        | ffi::SQLITE_DROP_TABLE
        | ffi::SQLITE_DROP_TEMP_TABLE
        | ffi::SQLITE_DROP_VIEW
        | ffi::SQLITE_DROP_TEMP_VIEW
        | ffi::SQLITE_DROP_VTABLE => first,
        ffi::SQLITE_ALTER_TABLE
        | ffi::SQLITE_CREATE_INDEX
        | ffi::SQLITE_CREATE_TEMP_INDEX
        | ffi::SQLITE_DROP_INDEX
        | ffi::SQLITE_DROP_TEMP_INDEX
        | ffi::SQLITE_CREATE_TRIGGER
        | ffi::SQLITE_CREATE_TEMP_TRIGGER
        | ffi::SQLITE_DROP_TRIGGER
        | ffi::SQLITE_DROP_TEMP_TRIGGER => second,
        _ => None,
    }
}

/// Names of the engine's own tables begin like this, in any case.
fn is_reserved(table: &[u8]) -> bool {
    table.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

/// Nobody is asked about the name that an ALTER TABLE … RENAME gives, so its text is read: an
/// engine that came upon such a table would take it for its own.
fn refuse_new_name(sql: &str) -> Result<(), Report> {
    let is_reserved =
        sql.as_bytes().windows(RESERVED.len()).any(|bytes| bytes.eq_ignore_ascii_case(RESERVED));
    if !is_reserved {
        return Ok(());
    }
    let cause = read_only("_lix_");
    Err(Report {
        code: ffi::SQLITE_AUTH,
        message: cause.message.clone(),
        offset: None,
        preparing: true,
        timed_out: false,
        cause: Some(Box::new(cause)),
    })
}

fn read_only(table: &str) -> Error {
    let message = format!("{table}: tables whose names begin with _lix_ are the engine's own");
    Error::new(Reason::ReadOnly, message).subject(table)
}

/// SAFETY: SQLite calls it with the context given to it.
unsafe extern "C" fn on_commit(context: *mut c_void) -> c_int {
    // SAFETY: the context is the boxed `Hooks`, see `Link::open`.
    let hooks = unsafe { &*context.cast::<Hooks>() };
    hooks.committed.set(true);
    0
}

/// SAFETY: SQLite calls it with the context given to it and with NUL-terminated names.
unsafe extern "C" fn on_update(
    context: *mut c_void,
    action: c_int,
    _database: *const c_char,
    table: *const c_char,
    rowid: i64,
) {
    // SAFETY: the context is the boxed `Hooks`, see `Link::open`; the name as promised above.
    let (hooks, table) = unsafe { (&*context.cast::<Hooks>(), CStr::from_ptr(table)) };
    let is_watched = hooks
        .watched
        .borrow()
        .as_deref()
        .is_some_and(|watched| watched.to_bytes().eq_ignore_ascii_case(table.to_bytes()));
    if action == ffi::SQLITE_INSERT && is_watched {
        hooks.inserted.set(Some(rowid));
    }
}

/// SAFETY: SQLite calls it with the context given to it.
unsafe extern "C" fn on_progress(context: *mut c_void) -> c_int {
    // SAFETY: the context is the boxed `Hooks`, see `Link::set_progress_handler`.
    let hooks = unsafe { &*context.cast::<Hooks>() };
    let running = hooks.stepping.get();
    // SQLite also asks when a statement has come to its end, and would then call a failure what has
    // taken effect.
    // SAFETY: the statement is alive while it is being stepped.
    if !running.is_null() && unsafe { ffi::sqlite3_stmt_busy(running) } == 0 {
        return 0;
    }
    let deadline_ms = hooks.deadline_ms.get();
    if deadline_ms > 0 && hooks.platform.monotonic_ms() >= deadline_ms {
        hooks.timed_out.set(true);
        return 1;
    }
    c_int::from(hooks.is_cancelled())
}

/// Where something other than white space, comments and semicolons begins.
pub(crate) fn start_of_more(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += match (byte, bytes.get(at + 1)) {
            (b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b';', _) => 1,
            (0xef, _) if text[at..].starts_with('\u{feff}') => 3,
            (b'-', Some(b'-')) => {
                text[at..].find('\n').map_or(bytes.len() - at, |newline| newline + 1)
            }
            (b'/', Some(b'*')) => text[at + 2..].find("*/").map_or(bytes.len() - at, |end| end + 4),
            _ => return Some(at),
        };
    }
    None
}

const INSERTS: u32 = 1;
const READS_LAST_ROWID: u32 = 1 << 1;
const CHANGES_SCHEMA: u32 = 1 << 2;
const COMMITS: u32 = 1 << 3;
const ROLLS_BACK_TO: u32 = 1 << 4;
/// Expires what is compiled: running statements then fail where they open a table again.
const DISTURBS: u32 = 1 << 5;
/// A PRAGMA with a value. Those that answer no rows set a flag, and expire likewise.
const SETS: u32 = 1 << 6;

/// It reads a virtual table that writes when it is read.
const CALLS_PROCEDURE: u32 = 1 << 7;
const ALTERS: u32 = 1 << 8;
/// Its rows depend on what is in no table.
const READS_ELSEWHERE: u32 = 1 << 9;

/// Functions that tell of the connection, besides `last_insert_rowid`.
const OF_CONNECTION: [&[u8]; 2] = [b"changes", b"total_changes"];

/// SQLite's tables whose rows follow from their arguments.
const PURE_TABLES: [&[u8]; 4] = [b"json_each", b"json_tree", b"jsonb_each", b"jsonb_tree"];

const RESERVED: &[u8] = b"_lix_";

const LIKE_PATTERN_BYTES: c_int = 4_000;

/// A few microseconds of SQLite's work.
const OPS_BETWEEN_LOOKS: c_int = 2_000;
