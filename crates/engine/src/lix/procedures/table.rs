//! The table behind a procedure: its result's columns, and the argument as a hidden one.
//!
//! Guarantee: one pass over the table is one call.

use std::rc::{Rc, Weak};

use lix_engine_protocol::Result;

use super::{Call, Procedure, Row, options};
use crate::lix::Lix;
use crate::sqlite::Stored;
use crate::sqlite::function::Owned;
use crate::sqlite::vtab::{Argument, Cell, Op, Plan, Rows, Table};

/// A procedure as a table.
pub(super) struct ProcedureTable {
    procedure: &'static Procedure,
    lix: Weak<Lix>,
}

impl ProcedureTable {
    pub(super) fn new(procedure: &'static Procedure, lix: &Rc<Lix>) -> Self {
        Self { procedure, lix: Rc::downgrade(lix) }
    }

    /// The column to look at for whether unchanged rows are wanted.
    fn status_column(&self) -> Option<i32> {
        let names = self.procedure.columns.split(',');
        names.map(str::trim).position(|name| name == "status text").map(|column| column as i32)
    }

    /// The hidden column comes last.
    fn argument_column(&self) -> i32 {
        self.procedure.columns.split(',').count() as i32
    }
}

impl Table for ProcedureTable {
    fn declaration(&self) -> String {
        format!("create table x({}, options hidden)", self.procedure.columns)
    }

    fn plan(&self, plan: &mut Plan<'_>) -> Result<()> {
        let argument = self.argument_column();
        let mut text = String::new();
        for constraint in plan.constraints() {
            let is_status = Some(constraint.column) == self.status_column()
                && constraint.usable
                && plan.collation(constraint.index) == "BINARY";
            let what = match constraint.op {
                Op::Eq if constraint.column == argument && !constraint.usable => {
                    // The argument comes from a table that has to be read first.
                    plan.set_impossible();
                    return Ok(());
                }
                Op::Eq if constraint.column == argument && !text.contains(OPTIONS) => OPTIONS,
                Op::Eq | Op::Is if is_status => STATUS_IS,
                Op::Ne | Op::IsNot if is_status => STATUS_IS_NOT,
                _ => continue,
            };
            if is_status {
                // A list of values at once: SQLite would call again for each.
                plan.use_in(constraint.index);
            }
            plan.use_constraint(constraint.index, text.len(), what == OPTIONS);
            text.push(what);
        }
        plan.set_text(text);
        plan.set_cost(COST);
        plan.set_rows(ROWS);
        Ok(())
    }

    fn open(&self) -> Box<dyn Rows> {
        Box::new(ProcedureRows {
            procedure: self.procedure,
            lix: self.lix.clone(),
            rows: Vec::new().into_iter(),
            current: None,
            no: 0,
        })
    }

    fn is_procedure(&self) -> bool {
        self.procedure.writes
    }
}

struct ProcedureRows {
    procedure: &'static Procedure,
    lix: Weak<Lix>,
    rows: std::vec::IntoIter<Row>,
    current: Option<Row>,
    no: i64,
}

impl Rows for ProcedureRows {
    fn filter(&mut self, plan: &str, arguments: &[Argument<'_>]) -> Result<()> {
        let lix = self.lix.upgrade().expect("statements run on an open lix");
        let mut call = Call { argument: None, changed_only: false };
        for (what, given) in plan.chars().zip(arguments) {
            match what {
                OPTIONS => call.argument = Some(options_of(given)?),
                // SQLite checks the rows itself; this only spares it those that are sure to fail.
                STATUS_IS => {
                    let is_unchanged = |status: &Owned| *status == Owned::from("unchanged");
                    call.changed_only |= !given.values()?.iter().any(is_unchanged);
                }
                _ => call.changed_only |= matches!(given.value(), Stored::Text(b"unchanged")),
            }
        }
        if self.procedure.writes {
            lix.before_writing()?;
        }
        lix.note_any_commit();
        self.rows = (self.procedure.run)(&lix, call)?.into_iter();
        self.no = 0;
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.current = self.rows.next();
        self.no += 1;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.current.is_none()
    }

    fn column(&self, index: usize, out: &mut Cell<'_>) -> Result<()> {
        // The argument reads as NULL: nobody needs it back.
        match self.current.as_ref().and_then(|row| row.get(index)) {
            None | Some(Owned::Null) => out.null(),
            Some(Owned::Integer(value)) => out.integer(*value),
            Some(Owned::Real(value)) => out.real(*value),
            Some(Owned::Text(value)) => out.text(value),
            Some(Owned::Blob(value)) => out.blob(value),
        }
        Ok(())
    }

    fn rowid(&self) -> i64 {
        self.no
    }
}

/// The text of the argument.
fn options_of<'a>(given: &Argument<'a>) -> Result<&'a str> {
    match given.value() {
        Stored::Text(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| not_text("text that is not UTF-8"))
        }
        Stored::Null => Err(not_text("NULL")),
        _ => Err(not_text("a value of another type")),
    }
}

fn not_text(given: &str) -> lix_engine_protocol::Error {
    let message = format!("the argument must be the text of a JSON object of options, not {given}");
    options::invalid("options", message)
}

// What an argument of a plan is, in the plan's text.
const OPTIONS: char = 'o';
const STATUS_IS: char = '=';
const STATUS_IS_NOT: char = '!';
/// Dear enough to be read before whatever is joined to it, and so but once.
const COST: f64 = 10_000.0;
const ROWS: i64 = 25;
