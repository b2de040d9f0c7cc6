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
        let (mut with_argument, mut changed_only) = (false, false);
        for constraint in plan.constraints() {
            if constraint.column == argument && constraint.op == Op::Eq && !with_argument {
                if !constraint.usable {
                    // The argument comes from a table that has to be read first.
                    plan.set_impossible();
                    return Ok(());
                }
                plan.use_constraint(constraint.index, 0, true);
                with_argument = true;
            } else if Some(constraint.column) == self.status_column() && constraint.usable {
                changed_only |= match (constraint.op, plan.value(constraint.index)) {
                    (Op::Eq | Op::Is, Some(Stored::Text(status))) => status != b"unchanged",
                    (Op::Ne | Op::IsNot, Some(Stored::Text(status))) => status == b"unchanged",
                    _ => false,
                };
            }
        }
        let flag = |on: bool, letter: &'static str| if on { letter } else { "" };
        plan.set_text(
            flag(with_argument, WITH_ARGUMENT).to_owned() + flag(changed_only, CHANGED_ONLY),
        );
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
        let given = plan.contains(WITH_ARGUMENT).then(|| arguments[0].value());
        let argument = match given {
            None => None,
            Some(Stored::Text(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Some(text),
                Err(_) => return Err(not_text("text that is not UTF-8")),
            },
            Some(Stored::Null) => return Err(not_text("NULL")),
            Some(_) => return Err(not_text("a value of another type")),
        };
        if self.procedure.writes {
            lix.before_writing()?;
        }
        let call = Call { argument, changed_only: plan.contains(CHANGED_ONLY) };
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

fn not_text(given: &str) -> lix_engine_protocol::Error {
    let message = format!("the argument must be the text of a JSON object of options, not {given}");
    options::invalid("options", message)
}

// Letters of the plan's text.
const WITH_ARGUMENT: &str = "a";
const CHANGED_ONLY: &str = "c";
/// Dear enough to be read before whatever is joined to it, and so but once.
const COST: f64 = 10_000.0;
const ROWS: i64 = 25;
