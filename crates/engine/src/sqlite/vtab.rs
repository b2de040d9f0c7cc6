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

use super::function::Owned;
use super::{Hooks, Link, Stored};

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
    fn update(&self, change: Change<'_>) -> Result<()> {
        drop(change);
        unreachable!("SQLite writes to writable tables only")
    }
}

/// One pass over a table: what `plan` chose, row by row.
pub(crate) trait Rows {
    /// Starts (again), on the first row if there is one. `plan` is [`Plan::set_text`]'s.
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()>;

    fn next(&mut self) -> Result<()>;

    fn is_done(&self) -> bool;

    /// A column of the current row; NULL unless something is set.
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

    /// It is committed.
    fn commit(&self) {}

    /// It is rolled back, or SQLite gave up on it. Runs no SQL.
    fn rollback(&self) {}

    /// A savepoint, or a statement that may have to be undone, begins. Numbers grow inwards.
    fn savepoint(&self, _number: i32) {}

    /// This savepoint and those within it are no more; what was written stays.
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
        todo!()
    }

    /// Takes a table away. Statements that use it go on until they end.
    pub(crate) fn unregister_table(&self, name: &str) -> Result<()> {
        todo!()
    }

    /// Makes the open transaction call [`Transaction::sync`], for writes that no virtual table
    /// sees: those of a procedure. Needs [`Link::register_joiner`].
    pub(crate) fn join_transaction(self: &Rc<Self>) -> Result<()> {
        todo!()
    }

    /// Sets up [`Link::join_transaction`].
    pub(crate) fn register_joiner(&self, transaction: Rc<dyn Transaction>) -> Result<()> {
        todo!()
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
pub(crate) enum Distinct {
    /// ORDER BY: all rows in that order.
    Ordered,
    /// GROUP BY: equal rows next to each other are enough.
    Grouped,
    /// DISTINCT: as `Grouped`, and of equal rows one is enough.
    Distinct,
    /// DISTINCT and ORDER BY: in order, and of equal rows one is enough.
    OrderedDistinct,
}

impl Plan<'_> {
    pub(crate) fn constraints(&self) -> Vec<Constraint> {
        todo!()
    }

    /// The collation of a comparison, such as `BINARY` or `NOCASE`.
    pub(crate) fn collation(&self, constraint: usize) -> &str {
        todo!()
    }

    /// The value of a constraint if it stands in the statement's text.
    pub(crate) fn value(&self, constraint: usize) -> Option<Stored<'_>> {
        todo!()
    }

    /// A bit for each column that is read, the last bit for all from the 64th on.
    pub(crate) fn columns_used(&self) -> u64 {
        self.info.colUsed
    }

    /// The value comes as that argument (from 0, without gaps) of [`Rows::filter`]. With `omit`
    /// SQLite need not check the rows again.
    pub(crate) fn use_constraint(&mut self, constraint: usize, argument: usize, omit: bool) {
        todo!()
    }

    /// The constraint is an IN list that can come as one argument.
    pub(crate) fn is_in(&self, constraint: usize) -> bool {
        todo!()
    }

    /// All values of an IN list come at once, see [`Argument::values`]. `false`: it is none.
    pub(crate) fn use_in(&mut self, constraint: usize) -> bool {
        todo!()
    }

    /// Columns that the statement wants to order by, and whether descending.
    pub(crate) fn order_by(&self) -> Vec<(i32, bool)> {
        todo!()
    }

    pub(crate) fn distinct(&self) -> Distinct {
        todo!()
    }

    /// The rows come as [`Plan::order_by`] and [`Plan::distinct`] want them.
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
}

/// The values of a row to write.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    raw: &'a [*mut ffi::sqlite3_value],
}

impl<'a> Values<'a> {
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn get(&self, index: usize) -> Stored<'a> {
        todo!()
    }

    /// An UPDATE that does not set the column, of a row whose [`Rows::column`] set nothing because
    /// of [`Cell::is_unchanged`]; the value is then NULL.
    pub(crate) fn is_unchanged(&self, index: usize) -> bool {
        todo!()
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
        todo!()
    }

    /// The values of an IN list that comes at once, in ascending order; else the one value.
    pub(crate) fn values(&self) -> Result<Vec<Owned>> {
        todo!()
    }
}

/// Where a column's value goes.
pub(crate) struct Cell<'a> {
    context: *mut ffi::sqlite3_context,
    lives: PhantomData<&'a mut ()>,
}

impl Cell<'_> {
    pub(crate) fn null(&mut self) {
        todo!()
    }

    pub(crate) fn integer(&mut self, value: i64) {
        todo!()
    }

    pub(crate) fn real(&mut self, value: f64) {
        todo!()
    }

    pub(crate) fn text(&mut self, value: &str) {
        todo!()
    }

    pub(crate) fn blob(&mut self, value: &[u8]) {
        todo!()
    }

    /// An UPDATE reads the column without setting it: leave it out if it costs something.
    pub(crate) fn is_unchanged(&self) -> bool {
        todo!()
    }
}
