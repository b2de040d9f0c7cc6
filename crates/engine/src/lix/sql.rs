//! SQL of the engine's own: compiled once, run in the middle of the user's statements.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use lix_engine_protocol::{Error, Result};

use super::Lix;
use crate::sqlite::{Bound, Link, Prepared, Statement, Stored};

/// Compiled statements by text. A statement that is in use is out of the pool, so that the same
/// text can run inside itself.
pub(crate) struct Sql {
    link: Rc<Link>,
    pool: RefCell<HashMap<(usize, usize), Vec<Statement>>>,
}

impl Sql {
    pub(crate) fn new(link: Rc<Link>) -> Self {
        Self { link, pool: RefCell::default() }
    }

    /// Runs a statement to its end and hands each row over.
    pub(crate) fn each(
        &self,
        sql: &'static str,
        params: &[Bound<'_>],
        mut row: impl FnMut(&Statement) -> Result<()>,
    ) -> Result<()> {
        let mut running = self.start(sql, params)?;
        while running.step()? {
            row(running.row())?;
        }
        Ok(())
    }

    /// Runs a statement whose rows nobody needs.
    #[inline(never)]
    pub(crate) fn run(&self, sql: &'static str, params: &[Bound<'_>]) -> Result<()> {
        self.each(sql, params, |_| Ok(()))
    }

    /// The first row, if there is one.
    pub(crate) fn first<T>(
        &self,
        sql: &'static str,
        params: &[Bound<'_>],
        row: impl FnOnce(&Statement) -> T,
    ) -> Result<Option<T>> {
        let mut running = self.start(sql, params)?;
        Ok(if running.step()? { Some(row(running.row())) } else { None })
    }

    /// A statement that is stepped from outside.
    #[inline(never)]
    pub(crate) fn start(&self, sql: &'static str, params: &[Bound<'_>]) -> Result<Running<'_>> {
        let key = (sql.as_ptr() as usize, sql.len());
        let pooled = self.pool.borrow_mut().get_mut(&key).and_then(Vec::pop);
        let mut statement = match pooled {
            Some(statement) => statement,
            None => {
                let _inside = self.link.inside();
                match Statement::prepare(&self.link, sql).map_err(Error::from)? {
                    Prepared::Statement { statement, .. } => statement,
                    Prepared::Nothing => unreachable!("the engine's own SQL is not empty"),
                }
            }
        };
        for (index, value) in params.iter().enumerate() {
            statement.bind(index + 1, *value, true).map_err(Error::from)?;
        }
        Ok(Running { sql: self, key, statement: Some(statement) })
    }

    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The rowid of the row that was inserted last.
    pub(crate) fn last_insert_rowid(&self) -> i64 {
        self.link.last_insert_rowid()
    }

    fn put_back(&self, key: (usize, usize), statement: Statement) {
        self.pool.borrow_mut().entry(key).or_default().push(statement);
    }

    /// Runs a text of several statements, uncached.
    pub(crate) fn script(&self, sql: &str) -> Result<()> {
        let _inside = self.link.inside();
        self.link.run(sql).map_err(Error::from)
    }
}

/// A statement in use; it goes back to the pool when dropped.
pub(crate) struct Running<'a> {
    sql: &'a Sql,
    key: (usize, usize),
    statement: Option<Statement>,
}

impl Running<'_> {
    /// Goes to the next row.
    #[inline(never)]
    pub(crate) fn step(&mut self) -> Result<bool> {
        let _inside = self.sql.link.inside();
        self.statement.as_mut().expect("held until dropped").step().map_err(Error::from)
    }

    /// The current row.
    pub(crate) fn row(&self) -> &Statement {
        self.statement.as_ref().expect("held until dropped")
    }
}

impl Drop for Running<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        if let Some(mut statement) = self.statement.take() {
            statement.reset();
            self.sql.put_back(self.key, statement);
        }
    }
}

/// A statement in use that holds on to what it belongs to.
pub(crate) struct OwnRunning {
    // Goes before what it borrows from.
    statement: Option<Statement>,
    key: (usize, usize),
    lix: Weak<Lix>,
}

impl OwnRunning {
    /// Starts a statement.
    pub(crate) fn start(lix: &Rc<Lix>, sql: &'static str, params: &[Bound<'_>]) -> Result<Self> {
        let mut running = lix.sql.start(sql, params)?;
        let statement = running.statement.take();
        Ok(Self { statement, key: running.key, lix: Rc::downgrade(lix) })
    }

    /// Goes to the next row.
    #[inline(never)]
    pub(crate) fn step(&mut self) -> Result<bool> {
        let Some(lix) = self.lix.upgrade() else { return Ok(false) };
        let _inside = lix.sql.link.inside();
        self.statement.as_mut().expect("held until dropped").step().map_err(Error::from)
    }

    /// The current row.
    pub(crate) fn row(&self) -> &Statement {
        self.statement.as_ref().expect("held until dropped")
    }
}

impl Drop for OwnRunning {
    #[inline(never)]
    fn drop(&mut self) {
        if let (Some(mut statement), Some(lix)) = (self.statement.take(), self.lix.upgrade()) {
            statement.reset();
            lix.sql.put_back(self.key, statement);
        }
    }
}

/// Reads cells of rows whose shape the engine knows.
impl Statement {
    #[inline(never)]
    pub(crate) fn text(&self, index: usize) -> Rc<str> {
        self.optional_text(index).unwrap_or_default()
    }

    #[inline(never)]
    pub(crate) fn optional_text(&self, index: usize) -> Option<Rc<str>> {
        match self.cell(index) {
            Stored::Text(bytes) => Some(String::from_utf8_lossy(bytes).into()),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, index: usize) -> i64 {
        self.optional_integer(index).unwrap_or_default()
    }

    pub(crate) fn optional_integer(&self, index: usize) -> Option<i64> {
        match self.cell(index) {
            Stored::Integer(value) => Some(value),
            _ => None,
        }
    }
}
