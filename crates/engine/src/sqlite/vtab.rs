//! Virtual tables written in safe Rust, and their part in SQLite's transactions.
//!
//! Guarantees: a registered table is eponymous only: it exists without being in the schema, and a
//! table or view of the user's by the same name wins. An error of a callback ends the statement
//! and reaches whoever runs it as the same [`Error`]; a panic goes on in the Rust code that stepped
//! the statement, never through SQLite's frames. What callbacks insert does not show in the
//! user's `last_insert_rowid()` or in the number of changes. Every writing statement of a user
//! works as with `OR ABORT`: what a failing one did is undone, all of it.
//!
//! The connection owns what is registered until it closes. An object that owns the [`Link`] must
//! not be registered, or neither would ever be freed: hold a `Weak` to it.
//!
//! [`Error`]: lix_engine_protocol::Error

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use rusqlite::ffi;

use super::callback::Failure;
use super::function::Owned;
use super::{CALLS_PROCEDURE, Hooks, Link, Stored, run};

/// A virtual table.
pub(crate) trait Table {
    /// `create table x(…)`, the name does not matter. A writable table `without rowid` has a
    /// primary key of exactly one column, never NULL, which may be `hidden`.
    fn declaration(&self) -> String;

    /// Says what can be done with the constraints of one use of the table (`xBestIndex`).
    fn plan(&self, plan: &mut Plan<'_>) -> Result<()>;

    /// Rows to come; nothing is read before [`Rows::filter`].
    fn open(&self) -> Box<dyn Rows>;

    /// INSERT, UPDATE and DELETE are possible.
    fn is_writable(&self) -> bool {
        false
    }

    /// Reading the table writes to the database: a statement that reads it runs like a write, to
    /// its end and in a transaction. Views and triggers cannot call it.
    fn is_procedure(&self) -> bool {
        false
    }

    /// Writes one row.
    fn update(&self, _change: Change<'_>) -> Result<()> {
        unreachable!("SQLite writes to writable tables only")
    }
}

/// One pass over a table: what `plan` chose, row by row.
pub(crate) trait Rows {
    /// Starts (again), on the first row if there is one. `plan` is [`Plan::set_text`]'s.
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()>;

    fn next(&mut self) -> Result<()>;

    fn is_done(&self) -> bool;

    /// A column of the current row; NULL unless something is set. Writes nothing.
    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()>;

    /// Tables with a rowid need it.
    fn rowid(&self) -> i64 {
        0
    }
}

/// A written row. Values are in the order of the declared columns, hidden ones too.
pub(crate) enum Change<'a> {
    Insert {
        values: Values<'a>,
    },
    /// `key` is the old primary key, or the rowid.
    Update {
        key: Stored<'a>,
        values: Values<'a>,
    },
    Delete {
        key: Stored<'a>,
    },
}

/// What a table does in transactions. SQLite calls it once for each table that was written to (or
/// by [`Link::join_transaction`]), so the calls repeat and must not mind.
pub(crate) trait Transaction {
    /// A table takes part from here on.
    fn begin(&self) -> Result<()> {
        Ok(())
    }

    /// The last moment to write before the commit, to ordinary tables only. An error refuses the
    /// commit: everything is rolled back.
    fn sync(&self) -> Result<()>;

    /// It is committed. Runs no SQL.
    fn commit(&self) {}

    /// It is rolled back. Runs no SQL; comes as late as the connection closes.
    fn rollback(&self) {}

    /// A savepoint, or a statement that may have to be undone, begins. Numbers grow inwards; the
    /// savepoint that began the transaction is -1. Those before `begin` are not told.
    fn savepoint(&self, _number: i32) {}

    /// This savepoint and those within it are no more; what was written stays. Not told at the end
    /// of the transaction.
    fn release(&self, _number: i32) {}

    /// What was written since this savepoint is undone; the savepoint stays. Runs no SQL.
    fn rollback_to(&self, _number: i32) {}
}

impl Link {
    /// Makes a table known, in place of one by the same name.
    pub(crate) fn register_table(
        &self,
        name: &str,
        table: Rc<dyn Table>,
        transaction: Rc<dyn Transaction>,
    ) -> Result<()> {
        let methods = if table.is_writable() { &WRITABLE } else { &READABLE };
        let hooks = std::ptr::from_ref::<Hooks>(&self.hooks);
        let module = Rc::new(Module { table, transaction, hooks });
        self.create_module(name, Some((methods, module)))?;
        self.hooks.tables.borrow_mut().insert(lowercase(name));
        Ok(())
    }

    /// Takes a table away. Statements that use it go on until they end.
    pub(crate) fn unregister_table(&self, name: &str) -> Result<()> {
        self.hooks.tables.borrow_mut().remove(&lowercase(name));
        self.create_module(name, None)
    }

    /// Makes the open transaction call [`Transaction::sync`], for writes that no virtual table
    /// sees: those of a procedure. Needs [`Link::register_joiner`].
    pub(crate) fn join_transaction(self: &Rc<Self>) -> Result<()> {
        self.run(JOIN).map_err(Error::from)
    }

    /// Sets up [`Link::join_transaction`].
    pub(crate) fn register_joiner(&self, transaction: Rc<dyn Transaction>) -> Result<()> {
        self.register_table(JOINER, Rc::new(Joiner), transaction)
    }

    /// Drops a virtual table, by this statement, although nobody has its module.
    pub(crate) fn drop_of_unknown_module(self: &Rc<Self>, drop: &str, module: &str) -> Result<()> {
        self.register_table(module, Rc::new(Joiner), Rc::new(Joiner))?;
        let result = self.run(drop).map_err(Error::from);
        self.unregister_table(module)?;
        result
    }

    fn create_module(
        &self,
        name: &str,
        module: Option<(&'static ffi::sqlite3_module, Rc<Module>)>,
    ) -> Result<()> {
        let name = CString::new(name).map_err(|_| defect("a table's name contains a NUL"))?;
        let (methods, context, free): (_, _, Option<unsafe extern "C" fn(*mut c_void)>) =
            match module {
                Some((methods, module)) => {
                    let context = Rc::into_raw(module).cast_mut().cast::<c_void>();
                    (std::ptr::from_ref(methods), context, Some(free_module))
                }
                None => (std::ptr::null(), std::ptr::null_mut(), None),
            };
        // SAFETY: the connection is open; the methods are static; SQLite frees the context when
        // the module goes, or at once if this fails.
        let code = unsafe {
            ffi::sqlite3_create_module_v2(self.db(), name.as_ptr(), methods, context, free)
        };
        if code != ffi::SQLITE_OK {
            return Err(self.report(false).into());
        }
        // What is compiled has the old meaning of the name.
        self.expire_statements();
        Ok(())
    }
}

/// One use of a table in a statement, while SQLite looks for the cheapest way.
pub(crate) struct Plan<'a> {
    info: &'a mut ffi::sqlite3_index_info,
    text: String,
    is_impossible: bool,
}

/// A term `column op value` that the rows have to satisfy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constraint {
    /// Names the constraint in the methods of [`Plan`].
    pub(crate) index: usize,
    /// Counted as declared, from 0; -1 is the rowid.
    pub(crate) column: i32,
    pub(crate) op: Op,
    /// The value is known when the table is read. Constraints that are not are for other plans.
    pub(crate) usable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Also an IN list, see [`Plan::use_in`]: without it SQLite asks once for each value.
    Eq,
    Gt,
    Le,
    Lt,
    Ge,
    Ne,
    Is,
    IsNot,
    /// `column IS NULL`; the value means nothing.
    IsNull,
    IsNotNull,
    Like,
    Glob,
    /// Only to be used if every other constraint is used and omitted.
    Limit,
    /// As `Limit`.
    Offset,
    Other,
}

/// Which rows a statement can do without, for [`Plan::distinct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "part of the seam; no table needs it yet")]
pub(crate) enum Distinct {
    /// ORDER BY: all rows in that order.
    Ordered,
    /// GROUP BY: equal rows next to each other are enough.
    Grouped,
    /// DISTINCT: as `Grouped`, and of equal rows one is enough.
    OneOfEach,
    /// DISTINCT and ORDER BY: in order, and of equal rows one is enough.
    OrderedOneOfEach,
}

impl Plan<'_> {
    pub(crate) fn constraints(&self) -> Vec<Constraint> {
        // SAFETY: SQLite's array has that many elements, for as long as `info` lives.
        let all = unsafe { slice(self.info.aConstraint, self.info.nConstraint) };
        let constraint = |(index, raw): (usize, &ffi::sqlite3_index_constraint)| Constraint {
            index,
            column: raw.iColumn,
            op: Op::from(c_int::from(raw.op)),
            usable: raw.usable != 0,
        };
        all.iter().enumerate().map(constraint).collect()
    }

    /// The collation of a comparison, such as `BINARY` or `NOCASE`.
    pub(crate) fn collation(&self, constraint: usize) -> &str {
        let index = self.checked(constraint);
        // SAFETY: the index is one of `info`, which SQLite is asking about; it gives a text with
        // a NUL that lives as long as `info`.
        unsafe {
            let name = ffi::sqlite3_vtab_collation(self.raw(), index);
            CStr::from_ptr(name).to_str().unwrap_or_default()
        }
    }

    /// The value of a constraint if it stands in the statement's text.
    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn value(&self, constraint: usize) -> Option<Stored<'_>> {
        let index = self.checked(constraint);
        let mut value = std::ptr::null_mut();
        // SAFETY: as above; the value lives as long as `info`.
        unsafe {
            let code = ffi::sqlite3_vtab_rhs_value(self.raw(), index, &raw mut value);
            (code == ffi::SQLITE_OK && !value.is_null()).then(|| stored(value))
        }
    }

    /// A bit for each column that is read, the last bit for all from the 64th on.
    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn columns_used(&self) -> u64 {
        self.info.colUsed
    }

    /// The value comes as that argument (from 0, without gaps) of [`Rows::filter`]. With `omit`
    /// SQLite need not check the rows again.
    pub(crate) fn use_constraint(&mut self, constraint: usize, argument: usize, omit: bool) {
        let index = self.checked(constraint) as usize;
        // SAFETY: there is one usage for each constraint, and nobody else looks at them now.
        let usage = unsafe { &mut *self.info.aConstraintUsage.add(index) };
        usage.argvIndex = argument as c_int + 1;
        usage.omit = u8::from(omit);
    }

    /// The constraint is an IN list that can come as one argument.
    pub(crate) fn is_in(&self, constraint: usize) -> bool {
        let index = self.checked(constraint);
        // SAFETY: the index is one of `info`, which SQLite is asking about; -1 only asks.
        unsafe { ffi::sqlite3_vtab_in(self.raw(), index, -1) != 0 }
    }

    /// All values of an IN list come at once, see [`Argument::values`]. `false`: it is none.
    pub(crate) fn use_in(&mut self, constraint: usize) -> bool {
        let index = self.checked(constraint);
        // SAFETY: as above.
        unsafe { ffi::sqlite3_vtab_in(self.raw(), index, 1) != 0 }
    }

    /// Columns that the statement wants to order by, and whether descending.
    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn order_by(&self) -> Vec<(i32, bool)> {
        // SAFETY: SQLite's array has that many elements, for as long as `info` lives.
        let terms = unsafe { slice(self.info.aOrderBy, self.info.nOrderBy) };
        terms.iter().map(|term| (term.iColumn, term.desc != 0)).collect()
    }

    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn distinct(&self) -> Distinct {
        // SAFETY: SQLite is asking about `info`.
        match unsafe { ffi::sqlite3_vtab_distinct(self.raw()) } {
            1 => Distinct::Grouped,
            2 => Distinct::OneOfEach,
            3 => Distinct::OrderedOneOfEach,
            _ => Distinct::Ordered,
        }
    }

    /// The rows come as [`Plan::order_by`] and [`Plan::distinct`] want them.
    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn consume_order(&mut self) {
        self.info.orderByConsumed = 1;
    }

    /// What [`Rows::filter`] gets to know of this plan. Without NUL.
    pub(crate) fn set_text(&mut self, text: impl Into<String>) {
        self.text = text.into();
    }

    /// Compared with other plans.
    pub(crate) fn set_cost(&mut self, cost: f64) {
        self.info.estimatedCost = cost;
    }

    pub(crate) fn set_rows(&mut self, rows: i64) {
        self.info.estimatedRows = rows;
    }

    /// At most one row comes.
    pub(crate) fn set_unique(&mut self) {
        self.info.idxFlags |= ffi::SQLITE_INDEX_SCAN_UNIQUE as c_int;
    }

    /// The table cannot be read with these constraints usable and no others; SQLite tries other
    /// ways and gives up ("no query solution") if there is none.
    pub(crate) fn set_impossible(&mut self) {
        self.is_impossible = true;
    }

    fn checked(&self, constraint: usize) -> c_int {
        let index = c_int::try_from(constraint).unwrap_or(c_int::MAX);
        assert!(index < self.info.nConstraint, "a constraint of this plan");
        index
    }

    fn raw(&self) -> *mut ffi::sqlite3_index_info {
        std::ptr::from_ref::<ffi::sqlite3_index_info>(self.info).cast_mut()
    }
}

impl From<c_int> for Op {
    fn from(op: c_int) -> Self {
        match op as _ {
            ffi::SQLITE_INDEX_CONSTRAINT_EQ => Op::Eq,
            ffi::SQLITE_INDEX_CONSTRAINT_GT => Op::Gt,
            ffi::SQLITE_INDEX_CONSTRAINT_LE => Op::Le,
            ffi::SQLITE_INDEX_CONSTRAINT_LT => Op::Lt,
            ffi::SQLITE_INDEX_CONSTRAINT_GE => Op::Ge,
            ffi::SQLITE_INDEX_CONSTRAINT_NE => Op::Ne,
            ffi::SQLITE_INDEX_CONSTRAINT_IS => Op::Is,
            ffi::SQLITE_INDEX_CONSTRAINT_ISNOT => Op::IsNot,
            ffi::SQLITE_INDEX_CONSTRAINT_ISNULL => Op::IsNull,
            ffi::SQLITE_INDEX_CONSTRAINT_ISNOTNULL => Op::IsNotNull,
            ffi::SQLITE_INDEX_CONSTRAINT_LIKE => Op::Like,
            ffi::SQLITE_INDEX_CONSTRAINT_GLOB => Op::Glob,
            ffi::SQLITE_INDEX_CONSTRAINT_LIMIT => Op::Limit,
            ffi::SQLITE_INDEX_CONSTRAINT_OFFSET => Op::Offset,
            _ => Op::Other,
        }
    }
}

/// The values of a row to write.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    raw: &'a [*mut ffi::sqlite3_value],
}

impl<'a> Values<'a> {
    #[allow(dead_code, reason = "part of the seam; no table needs it yet")]
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn get(&self, index: usize) -> Stored<'a> {
        // SAFETY: SQLite's values live for `'a`.
        unsafe { stored(self.raw[index]) }
    }

    /// An UPDATE that does not set the column, of a row whose [`Rows::column`] set nothing because
    /// of [`Cell::is_unchanged`]; the value is then NULL.
    pub(crate) fn is_unchanged(&self, index: usize) -> bool {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_value_nochange(self.raw[index]) != 0 }
    }
}

/// A value that a plan asked for.
pub(crate) struct Argument<'a> {
    raw: *mut ffi::sqlite3_value,
    lives: PhantomData<&'a ()>,
}

impl<'a> Argument<'a> {
    /// NULL for an IN list that comes at once.
    pub(crate) fn value(&self) -> Stored<'a> {
        // SAFETY: SQLite's values live for `'a`.
        unsafe { stored(self.raw) }
    }

    /// The values of an IN list that comes at once, in ascending order; else the one value.
    pub(crate) fn values(&self) -> Result<Vec<Owned>> {
        let mut values = Vec::new();
        let mut value = std::ptr::null_mut();
        // SAFETY: an argument of the running `xFilter`, which is what these functions are for.
        // They recognise what is not a list. Each value lives until the next call and is copied.
        unsafe {
            let mut code = ffi::sqlite3_vtab_in_first(self.raw, &raw mut value);
            if code == ffi::SQLITE_ERROR {
                return Ok(vec![self.value().into()]);
            }
            while code == ffi::SQLITE_OK && !value.is_null() {
                values.push(stored(value).into());
                code = ffi::sqlite3_vtab_in_next(self.raw, &raw mut value);
            }
            match code {
                ffi::SQLITE_OK | ffi::SQLITE_DONE => Ok(values),
                ffi::SQLITE_NOMEM => Err(Error::new(Reason::OutOfMemory, "out of memory")),
                code => Err(defect(&format!("an IN list could not be read: {code}"))),
            }
        }
    }
}

/// Where a column's value goes.
pub(crate) struct Cell<'a> {
    context: *mut ffi::sqlite3_context,
    lives: PhantomData<&'a mut ()>,
}

impl Cell<'_> {
    pub(crate) fn null(&mut self) {
        // SAFETY: here and below, the context is the one of the running callback.
        unsafe { ffi::sqlite3_result_null(self.context) };
    }

    pub(crate) fn integer(&mut self, value: i64) {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_result_int64(self.context, value) };
    }

    pub(crate) fn real(&mut self, value: f64) {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_result_double(self.context, value) };
    }

    pub(crate) fn text(&mut self, value: &str) {
        let (start, length) = (value.as_ptr().cast(), value.len() as u64);
        let (copy, encoding) = (ffi::SQLITE_TRANSIENT(), ffi::SQLITE_UTF8 as u8);
        // SAFETY: as above; SQLite copies the text.
        unsafe { ffi::sqlite3_result_text64(self.context, start, length, copy, encoding) };
    }

    pub(crate) fn blob(&mut self, value: &[u8]) {
        let (start, length) = (value.as_ptr().cast(), value.len() as u64);
        // SAFETY: as above; SQLite copies the bytes.
        unsafe {
            ffi::sqlite3_result_blob64(self.context, start, length, ffi::SQLITE_TRANSIENT());
        }
    }

    pub(crate) fn set(&mut self, value: &Owned) {
        match value {
            Owned::Null => self.null(),
            Owned::Integer(value) => self.integer(*value),
            Owned::Real(value) => self.real(*value),
            Owned::Text(text) => self.text(text),
            Owned::Blob(blob) => self.blob(blob),
        }
    }

    /// An UPDATE reads the column without setting it: leave it out if it costs something.
    pub(crate) fn is_unchanged(&self) -> bool {
        // SAFETY: as above, and it is `xColumn`'s.
        unsafe { ffi::sqlite3_vtab_nochange(self.context) != 0 }
    }

    /// SAFETY: the context must be that of the running callback, for as long as `'a`.
    pub(super) unsafe fn new(context: *mut ffi::sqlite3_context) -> Self {
        Self { context, lives: PhantomData }
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        // SAFETY: as above; SQLite copies the message. The code has to come second.
        unsafe {
            ffi::sqlite3_result_error(self.context, failure.message.as_ptr(), -1);
            ffi::sqlite3_result_error_code(self.context, failure.code);
        }
    }
}

/// Reads a value of SQLite's.
///
/// SAFETY: it must be protected and stay as it is during `'a`.
pub(super) unsafe fn stored<'a>(value: *mut ffi::sqlite3_value) -> Stored<'a> {
    // SAFETY: the caller's promise; the bytes are asked for before their number.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => Stored::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => Stored::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => {
                let start = ffi::sqlite3_value_text(value);
                Stored::Text(run(start.cast(), ffi::sqlite3_value_bytes(value)))
            }
            ffi::SQLITE_BLOB => {
                let start = ffi::sqlite3_value_blob(value);
                Stored::Blob(run(start.cast(), ffi::sqlite3_value_bytes(value)))
            }
            _ => Stored::Null,
        }
    }
}

/// SAFETY: `start` must be null or valid for `length` elements during `'a`.
pub(super) unsafe fn slice<'a, T>(start: *const T, length: c_int) -> &'a [T] {
    if start.is_null() || length <= 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length as usize) }
}

/// What is registered. The instances share it, so that it outlives them.
struct Module {
    table: Rc<dyn Table>,
    transaction: Rc<dyn Transaction>,
    /// Boxed, and dropped after the connection.
    hooks: *const Hooks,
}

impl Module {
    fn hooks(&self) -> &Hooks {
        // SAFETY: modules and their instances go with the connection, before the hooks.
        unsafe { &*self.hooks }
    }
}

/// SQLite's handle of a table.
#[repr(C)]
struct Instance {
    base: ffi::sqlite3_vtab,
    module: Rc<Module>,
}

/// SQLite's handle of one use of a table.
#[repr(C)]
struct Cursor {
    base: ffi::sqlite3_vtab_cursor,
    rows: Box<dyn Rows>,
}

impl Cursor {
    /// SAFETY: the cursor must be open.
    unsafe fn instance(cursor: *mut ffi::sqlite3_vtab_cursor) -> *mut ffi::sqlite3_vtab {
        // SAFETY: the caller's promise; SQLite has set the field.
        unsafe { (*cursor).pVtab }
    }
}

/// Runs the body of a callback and puts its error where SQLite looks for it.
///
/// SAFETY: the instance must be live.
unsafe fn guard(
    instance: *mut ffi::sqlite3_vtab,
    body: impl FnOnce(&Module) -> Result<()>,
) -> c_int {
    // SAFETY: the caller's promise: every instance was made by `connect`. The module is cloned,
    // because the instance can be taken away by what the body does.
    let module = unsafe { (*instance.cast::<Instance>()).module.clone() };
    match module.hooks().call(|| body(&module)) {
        Ok(()) => ffi::SQLITE_OK,
        Err(failure) => {
            // SAFETY: as above; SQLite frees the message, and the one before it was its as well.
            unsafe {
                ffi::sqlite3_free((*instance).zErrMsg.cast());
                (*instance).zErrMsg = allocate(&failure.message);
            }
            failure.code
        }
    }
}

/// A copy that SQLite frees; null if there is no memory.
fn allocate(text: &CStr) -> *mut c_char {
    let bytes = text.to_bytes_with_nul();
    // SAFETY: as many bytes are written as were asked for.
    unsafe {
        let copy = ffi::sqlite3_malloc64(bytes.len() as u64).cast::<u8>();
        if !copy.is_null() {
            copy.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        copy.cast()
    }
}

// In what follows, SQLite calls with handles that the functions here made, one call at a time, and
// with everything else valid during the call. That is the promise which each SAFETY comment means.

unsafe extern "C" fn free_module(context: *mut c_void) {
    // SAFETY: the promise: it is the reference that `create_module` gave away.
    drop(unsafe { Rc::from_raw(context.cast_const().cast::<Module>()) });
}

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    context: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    instance: *mut *mut ffi::sqlite3_vtab,
    message: *mut *mut c_char,
) -> c_int {
    // SAFETY: the promise; SQLite keeps its reference.
    let module = unsafe {
        let context = context.cast_const().cast::<Module>();
        Rc::increment_strong_count(context);
        Rc::from_raw(context)
    };
    let declared = module.hooks().call(|| {
        let declaration = CString::new(module.table.declaration())
            .map_err(|_| defect("a table's declaration contains a NUL"))?;
        let risk = match module.table.is_procedure() {
            true => Some(ffi::SQLITE_VTAB_DIRECTONLY),
            false if !module.table.is_writable() => Some(ffi::SQLITE_VTAB_INNOCUOUS),
            false => None,
        };
        // The declaration is a CREATE TABLE, which is none of the statement's doing.
        let _inside = module.hooks().inside();
        // SAFETY: the promise: `db` is being connected to. The options take no argument.
        unsafe {
            if let Some(risk) = risk {
                ffi::sqlite3_vtab_config(db, risk as c_int);
            }
            if ffi::sqlite3_declare_vtab(db, declaration.as_ptr()) != ffi::SQLITE_OK {
                let message = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy();
                return Err(defect(&format!("a table's declaration is wrong: {message}")));
            }
        }
        Ok(())
    });
    match declared {
        Ok(()) => {
            // SAFETY: the fields are SQLite's to fill, and zero is valid for each.
            let base = unsafe { std::mem::zeroed() };
            let made = Box::into_raw(Box::new(Instance { base, module }));
            // SAFETY: the promise.
            unsafe { *instance = made.cast() };
            ffi::SQLITE_OK
        }
        Err(failure) => {
            // SAFETY: the promise; SQLite frees the message.
            unsafe { *message = allocate(&failure.message) };
            failure.code
        }
    }
}

unsafe extern "C" fn disconnect(instance: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: the promise; it is not used again.
    drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn best_index(
    instance: *mut ffi::sqlite3_vtab,
    info: *mut ffi::sqlite3_index_info,
) -> c_int {
    let mut is_impossible = false;
    // SAFETY: the promise.
    let code = unsafe {
        guard(instance, |module| {
            if module.table.is_procedure() {
                let traits = &module.hooks().traits;
                traits.set(traits.get() | CALLS_PROCEDURE);
            }
            let info = &mut *info;
            let mut plan = Plan { info, text: String::new(), is_impossible: false };
            module.table.plan(&mut plan)?;
            is_impossible = plan.is_impossible;
            if !plan.text.is_empty() {
                let text =
                    CString::new(plan.text).map_err(|_| defect("a table's plan contains a NUL"))?;
                plan.info.idxStr = allocate(&text);
                plan.info.needToFreeIdxStr = 1;
                if plan.info.idxStr.is_null() {
                    return Err(Error::new(Reason::OutOfMemory, "out of memory"));
                }
            }
            Ok(())
        })
    };
    match code & 0xff {
        ffi::SQLITE_OK if is_impossible => ffi::SQLITE_CONSTRAINT,
        // That code means something else here.
        ffi::SQLITE_CONSTRAINT => ffi::SQLITE_ERROR,
        _ => code,
    }
}

unsafe extern "C" fn open(
    instance: *mut ffi::sqlite3_vtab,
    cursor: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    // SAFETY: the promise; the fields of `base` are SQLite's to fill, and zero is valid.
    unsafe {
        guard(instance, |module| {
            let made = Box::new(Cursor { base: std::mem::zeroed(), rows: module.table.open() });
            *cursor = Box::into_raw(made).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: the promise; it is not used again. Dropping runs code that may panic.
    unsafe {
        guard(Cursor::instance(cursor), |_| {
            drop(Box::from_raw(cursor.cast::<Cursor>()));
            Ok(())
        });
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    plan: *const c_char,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: the promise; `plan` is what `best_index` made of a string, or null.
    unsafe {
        let plan = if plan.is_null() { c"" } else { CStr::from_ptr(plan) };
        let argument = |raw: &*mut ffi::sqlite3_value| Argument { raw: *raw, lives: PhantomData };
        guard(Cursor::instance(cursor), |_| {
            let arguments: Vec<Argument<'_>> =
                slice(values.cast_const(), count).iter().map(argument).collect();
            let rows = &mut (*cursor.cast::<Cursor>()).rows;
            rows.filter(plan.to_str().unwrap_or_default(), &arguments)
        })
    }
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: the promise.
    unsafe { guard(Cursor::instance(cursor), |_| (*cursor.cast::<Cursor>()).rows.next()) }
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: the promise.
    let (module, rows) = unsafe {
        let module = &(*Cursor::instance(cursor).cast::<Instance>()).module;
        (module, &(*cursor.cast::<Cursor>()).rows)
    };
    // A panic ends the rows here, and goes on when the statement ends.
    c_int::from(module.hooks().look(|| Ok(rows.is_done())).unwrap_or(true))
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    index: c_int,
) -> c_int {
    // SAFETY: the promise.
    unsafe {
        let module = &(*Cursor::instance(cursor).cast::<Instance>()).module;
        let rows = &(*cursor.cast::<Cursor>()).rows;
        let mut out = Cell::new(context);
        if let Err(failure) = module.hooks().look(|| rows.column(index as usize, &mut out)) {
            out.fail(&failure);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn rowid(cursor: *mut ffi::sqlite3_vtab_cursor, rowid: *mut i64) -> c_int {
    // SAFETY: the promise.
    unsafe {
        guard(Cursor::instance(cursor), |_| {
            *rowid = (*cursor.cast::<Cursor>()).rows.rowid();
            Ok(())
        })
    }
}

unsafe extern "C" fn update(
    instance: *mut ffi::sqlite3_vtab,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
    rowid: *mut i64,
) -> c_int {
    // SAFETY: the promise: old key, new key, columns; the old key alone for a DELETE.
    unsafe {
        guard(instance, |module| {
            // SQLite takes what stands here for the last inserted rowid, which must stay.
            *rowid = module.hooks().last_insert_rowid();
            let values = slice(values.cast_const(), count);
            let is_insert = ffi::sqlite3_value_type(values[0]) == ffi::SQLITE_NULL;
            let change = match values {
                [key] => Change::Delete { key: stored(*key) },
                [_, _, raw @ ..] if is_insert => Change::Insert { values: Values { raw } },
                [key, _, raw @ ..] => Change::Update { key: stored(*key), values: Values { raw } },
                [] => unreachable!("SQLite passes the key at least"),
            };
            module.table.update(change)
        })
    }
}

unsafe extern "C" fn begin(instance: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: the promise, here and below.
    unsafe { guard(instance, |module| module.transaction.begin()) }
}

unsafe extern "C" fn sync(instance: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: as above.
    unsafe {
        let code = guard(instance, |module| module.transaction.sync());
        if code != ffi::SQLITE_OK {
            (*instance.cast::<Instance>()).module.hooks().refused_commit.set(true);
        }
        code
    }
}

unsafe extern "C" fn commit(instance: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: as above.
    unsafe { tell(instance, |transaction| transaction.commit()) }
}

unsafe extern "C" fn rollback(instance: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: as above.
    unsafe { tell(instance, |transaction| transaction.rollback()) }
}

unsafe extern "C" fn savepoint(instance: *mut ffi::sqlite3_vtab, number: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { tell(instance, |transaction| transaction.savepoint(number)) }
}

unsafe extern "C" fn release(instance: *mut ffi::sqlite3_vtab, number: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { tell(instance, |transaction| transaction.release(number)) }
}

unsafe extern "C" fn rollback_to(instance: *mut ffi::sqlite3_vtab, number: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { tell(instance, |transaction| transaction.rollback_to(number)) }
}

/// Tells what cannot be refused.
///
/// SAFETY: as for [`guard`].
unsafe fn tell(instance: *mut ffi::sqlite3_vtab, what: impl FnOnce(&dyn Transaction)) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard(instance, |module| {
            what(&*module.transaction);
            Ok(())
        })
    }
}

fn lowercase(name: &str) -> Box<[u8]> {
    name.to_ascii_lowercase().into_bytes().into()
}

fn defect(message: &str) -> Error {
    Error::new(Reason::EngineDefect, message)
}

/// What [`Link::join_transaction`] writes to: nothing, but SQLite cannot know.
struct Joiner;

impl Table for Joiner {
    fn declaration(&self) -> String {
        "create table x(a)".into()
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        plan.set_rows(0);
        Ok(())
    }

    fn open(&self) -> Box<dyn Rows> {
        Box::new(Joiner)
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn update(&self, _: Change<'_>) -> Result<()> {
        Ok(())
    }
}

impl Transaction for Joiner {
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl Rows for Joiner {
    fn filter(&mut self, _: &str, _: &[Argument<'_>]) -> Result<()> {
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_done(&self) -> bool {
        true
    }

    fn column(&self, _: usize, _: &mut Cell<'_>) -> Result<()> {
        Ok(())
    }
}

const JOINER: &str = "_lix_transaction";
const JOIN: &str = "delete from _lix_transaction";

/// Without `xCreate` a table cannot be created, so it is there by itself or not at all. Version 2
/// has savepoints.
const READABLE: ffi::sqlite3_module = ffi::sqlite3_module {
    iVersion: 2,
    xCreate: None,
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xDestroy: None,
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    xUpdate: None,
    xBegin: None,
    xSync: None,
    xCommit: None,
    xRollback: None,
    xFindFunction: None,
    xRename: None,
    xSavepoint: None,
    xRelease: None,
    xRollbackTo: None,
    xShadowName: None,
    xIntegrity: None,
};

const WRITABLE: ffi::sqlite3_module = ffi::sqlite3_module {
    xUpdate: Some(update),
    xBegin: Some(begin),
    xSync: Some(sync),
    xCommit: Some(commit),
    xRollback: Some(rollback),
    xSavepoint: Some(savepoint),
    xRelease: Some(release),
    xRollbackTo: Some(rollback_to),
    ..READABLE
};
