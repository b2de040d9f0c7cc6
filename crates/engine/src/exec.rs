//! One statement in, one result out.

use std::collections::VecDeque;

use lix_engine_protocol::proto::{ExecRequest, ExecResponse, RowMode, Value};
use lix_engine_protocol::{BatchBuilder, Error, ExecOutcome, Limits, Reason, Result};

use crate::cursor::{Cursor, Rows, next_batch};
use crate::database::{CompiledStatement, Database};
use crate::params::{self, Fetched, Params};
use crate::sqlite::{Statement, Stored};
use crate::{Attachment, Platform};

/// What a statement may use besides its own request.
pub(crate) struct Surroundings<'a> {
    pub(crate) attachments: &'a [Box<dyn Attachment>],
    pub(crate) limits: &'a Limits,
    pub(crate) platform: &'a dyn Platform,
    /// How many bytes of rows the answer may still hold.
    pub(crate) result_bytes: usize,
    /// Who may be cancelled; 0: nobody.
    pub(crate) request: u32,
}

/// How much a batch of a cursor may hold.
#[derive(Clone, Copy)]
pub(crate) struct BatchSize {
    pub(crate) rows: u32,
    pub(crate) bytes: usize,
    /// Beyond this a single row is refused.
    pub(crate) result_bytes: usize,
}

impl Database {
    /// Runs one statement. An error leaves the connection in the state that SQLite chose; the
    /// session reports it.
    pub(crate) fn exec(
        &mut self,
        request: ExecRequest,
        around: &Surroundings<'_>,
    ) -> Result<ExecOutcome> {
        let lix = match &self.lix {
            Some(lix) if request.report_reads => lix.clone(),
            _ => return self.exec_statement(request, around),
        };
        lix.start_reads();
        let result = self.exec_statement(request, around);
        // What a cursor has still to read, nobody knows yet.
        if result.as_ref().is_ok_and(|outcome| outcome.meta.cursor.is_some()) {
            lix.note_any_commit();
        }
        let reads = lix.take_reads();
        result.map(|mut outcome| {
            outcome.meta.reads = Some(reads);
            outcome
        })
    }

    fn exec_statement(
        &mut self,
        request: ExecRequest,
        around: &Surroundings<'_>,
    ) -> Result<ExecOutcome> {
        check(&request, around.limits)?;
        let mut compiled = self.take_statement(&request.sql)?;
        if request.report_reads
            && let Some(lix) = &self.lix
            && (compiled.statement.writes() || compiled.statement.reads_elsewhere())
        {
            lix.note_any_commit();
        }
        let had_transaction = self.link.in_transaction();
        let schema_before = match self.cursors.len() > 0 && compiled.statement.changes_schema() {
            true => self.schema_versions(),
            false => None,
        };

        let result = self.prepare_to_run(&mut compiled, &request, around).and_then(|fetched| {
            let deadline = (request.timeout_ms > 0)
                .then(|| around.platform.monotonic_ms() + u64::from(request.timeout_ms));
            // A commit is over in a moment, and interrupted it would take everything back.
            let by = (!compiled.statement.commits()).then_some(around.request);
            let link = self.link.clone();
            let watch = link.watch(by, deadline);
            let result = self.run(&mut compiled, &request, around);
            drop(watch);
            // Bound without a copy, so they had to live until here.
            drop(fetched);
            result
        });

        if self.link.take_refused_commit() && self.link.in_transaction() {
            // A RELEASE that should have been the commit: nothing is left but the words.
            compiled.statement.reset();
            self.control("rollback")?;
        }
        let is_committed = result.is_ok() && compiled.statement.commits();
        let is_rolled_back = had_transaction && !self.link.in_transaction() && !is_committed;
        let changes_schema = result.is_ok() && compiled.statement.changes_schema();
        if is_rolled_back
            || (changes_schema
                && (schema_before.is_none() || schema_before != self.schema_versions()))
        {
            self.cursors.invalidate_all();
        }
        if changes_schema || compiled.statement.rolls_back_to() || is_rolled_back {
            self.forget_statements(changes_schema);
        }

        let sql = request.sql.into_boxed_str();
        match result {
            // It would not be the same statement again.
            Ok(Ran { outcome, .. }) if changes_schema => Ok(outcome),
            Ok(Ran { outcome, more: Some(More::Live { has_row }), size }) => {
                let rows = Rows { compiled, sql, has_row };
                self.open_cursor(outcome, Cursor::live(rows, size), around)
            }
            Ok(Ran { outcome, more, size }) => {
                self.return_statement(sql, compiled);
                match more {
                    Some(More::Kept(batches)) => {
                        self.open_cursor(outcome, Cursor::kept(batches, size), around)
                    }
                    _ => Ok(outcome),
                }
            }
            Err(error) => {
                self.return_statement(sql, compiled);
                Err(error)
            }
        }
    }

    /// The next batch of a cursor, for a request that may be cancelled.
    pub(crate) fn fetch(&mut self, cursor: u32, request: u32) -> Result<(BatchBuilder, bool)> {
        let watch = self.link.watch(Some(request), None);
        let fetched = self.cursors.fetch(cursor);
        drop(watch);
        let fetched = fetched?;
        if let Some(Rows { compiled, sql, .. }) = fetched.finished {
            self.return_statement(sql, compiled);
        }
        Ok((fetched.batch, fetched.done))
    }

    /// Binds, and makes sure that nothing an open cursor shows is changed under it.
    fn prepare_to_run(
        &mut self,
        compiled: &mut CompiledStatement,
        request: &ExecRequest,
        around: &Surroundings<'_>,
    ) -> Result<Fetched> {
        let statement = &mut compiled.statement;
        let params = Params {
            positional: &request.params,
            named: &request.named,
            attachments: around.attachments,
        };
        let values: Vec<&Value> = params.assign(statement)?;
        let fetched = params.fetch(&values)?;
        let outlives_request = row_mode(request) == RowMode::Cursor && !statement.writes();
        params::bind(statement, &values, &fetched, outlives_request)?;

        let disturbs =
            statement.writes() || statement.rolls_back_to() || statement.disturbs_readers();
        if self.cursors.len() > 0 && disturbs {
            // They are other requests' rows: only when nobody is there to see them is it cut short.
            let watch = self.link.watch(Some(0), None);
            let drained = self.cursors.drain(around.limits.max_result_bytes as usize);
            drop(watch);
            drained?;
        }
        Ok(fetched)
    }

    fn run(
        &mut self,
        compiled: &mut CompiledStatement,
        request: &ExecRequest,
        around: &Surroundings<'_>,
    ) -> Result<Ran> {
        let size = BatchSize::of(request, around);
        if !compiled.statement.writes() {
            let spare = self.spare_batch.take();
            return read(compiled, row_mode(request), size, around, spare);
        }
        if compiled.statement.is_read_only() {
            return self.call(compiled, row_mode(request), size, around);
        }

        let changes_before = self.link.total_changes();
        let rowid_before = self.link.last_insert_rowid();
        let hides_rowid =
            compiled.statement.inserts() && !compiled.statement.reads_last_insert_rowid();
        let watches = compiled.statement.inserts() && !hides_rowid;
        if hides_rowid {
            self.link.set_last_insert_rowid(NO_ROWID);
        } else if watches {
            compiled.statement.watch_insertions();
        }
        // A virtual table may have written half of a row when it fails, and a procedure anything,
        // where SQLite takes the statement to have done nothing.
        let is_virtual =
            compiled.statement.writes_virtual_table() || compiled.statement.calls_procedure();
        let is_taken_back = |error: &Error| is_virtual || is_about_rows(error);
        let may_be_taken_back =
            (compiled.column_count > 0 || is_virtual) && self.link.in_transaction();
        if may_be_taken_back {
            self.control("savepoint lix_statement")?;
        }
        let result = self.write(compiled, row_mode(request), size, around);
        let watched = if watches { compiled.statement.watched_insertion() } else { None };
        let rowid_after = self.link.last_insert_rowid();
        if may_be_taken_back && self.link.in_transaction() {
            if result.as_ref().is_err_and(is_taken_back) {
                compiled.statement.reset();
                self.control("rollback to lix_statement")?;
            }
            self.control("release lix_statement")?;
        } else if result.as_ref().is_err_and(is_about_rows) {
            // Alone in its transaction, an interrupted write rolls itself back.
            self.link.interrupt();
            let _ = compiled.statement.step();
        }
        if rowid_after == NO_ROWID || result.as_ref().is_err_and(is_about_rows) {
            self.link.set_last_insert_rowid(rowid_before);
        }
        let mut ran = result?;

        let changed = self.link.total_changes() - changes_before;
        // SQLite counts what the statement did itself. A statement that counts nothing leaves the
        // number of an earlier one; one on a view counts nothing, its triggers did it all; a
        // virtual table counts what it does behind the scenes while it is created.
        let direct = if changed == 0 { 0 } else { self.link.changes() };
        ran.outcome.meta.changes = Some(match direct {
            _ if compiled.statement.changes_schema() => 0,
            0 if changed > 0 && compiled.statement.writes_view() => changed,
            direct => direct,
        });
        let inserted = match (compiled.statement.inserts(), hides_rowid) {
            (true, true) => rowid_after != NO_ROWID,
            (true, false) => rowid_after != rowid_before || watched == Some(rowid_after),
            (false, _) => false,
        };
        ran.outcome.meta.last_insert_rowid = inserted.then_some(rowid_after);
        Ok(ran)
    }

    /// Runs a statement that reads procedures: SQLite takes it for reading, but it writes, so it is
    /// given a transaction, or a savepoint in the one that is open.
    fn call(
        &mut self,
        compiled: &mut CompiledStatement,
        mode: RowMode,
        size: BatchSize,
        around: &Surroundings<'_>,
    ) -> Result<Ran> {
        let is_alone = !self.link.in_transaction();
        let (begin, end) = match is_alone {
            true => ("begin immediate", "commit"),
            false => ("savepoint lix_statement", "release lix_statement"),
        };
        self.control(begin)?;
        let result = self.write(compiled, mode, size, around).and_then(|ran| {
            self.control(end)?;
            Ok(ran)
        });
        // SQLite may have ended the transaction itself.
        if result.is_err() && self.link.in_transaction() {
            compiled.statement.reset();
            self.control(if is_alone { "rollback" } else { "rollback to lix_statement" })?;
            if !is_alone {
                self.control(end)?;
            }
        }
        let mut ran = result?;
        ran.outcome.meta.changes = Some(0);
        Ok(ran)
    }

    /// Numbers that change with the schema; a CREATE … IF NOT EXISTS may leave it as it is.
    fn schema_versions(&mut self) -> Option<[i64; 2]> {
        let mut version = |sql: &str| {
            let mut compiled = self.take_statement(sql).ok()?;
            let version = match compiled.statement.step() {
                Ok(true) => match compiled.statement.cell(0) {
                    Stored::Integer(version) => Some(version),
                    _ => None,
                },
                _ => None,
            };
            self.return_statement(sql.into(), compiled);
            version
        };
        Some([version("pragma main.schema_version")?, version("pragma temp.schema_version")?])
    }

    /// Runs a statement of the engine's own. What has to be mended or completed then is, although the
    /// time may be up.
    fn control(&mut self, sql: &str) -> Result<()> {
        let link = self.link.clone();
        let _undisturbed = link.undisturbed();
        let mut compiled = self.take_statement(sql)?;
        let result = compiled.statement.step();
        self.return_statement(sql.into(), compiled);
        result.map(drop).map_err(Error::from)
    }

    /// Runs a statement to its end, whatever becomes of its rows: only then has it written.
    fn write(
        &self,
        compiled: &mut CompiledStatement,
        mode: RowMode,
        size: BatchSize,
        around: &Surroundings<'_>,
    ) -> Result<Ran> {
        if mode != RowMode::Cursor {
            return read(compiled, mode, size, around, None);
        }
        let mut has_row = compiled.statement.step()?;
        compiled.refresh_columns();
        let first = next_batch(compiled, &mut has_row, size)?;
        if has_row {
            self.check_room_for_cursor(around.limits)?;
        }
        let mut left = around.result_bytes.saturating_sub(first.encoded_len());
        let mut kept = VecDeque::new();
        while has_row {
            let size = BatchSize { result_bytes: left, ..size };
            let batch = next_batch(compiled, &mut has_row, size)?;
            left = left.saturating_sub(batch.encoded_len());
            kept.push_back(batch);
        }
        let more = (!kept.is_empty()).then_some(More::Kept(kept));
        Ok(Ran { outcome: outcome(compiled, Some(first)), more, size })
    }

    fn open_cursor(
        &mut self,
        mut outcome: ExecOutcome,
        cursor: Cursor,
        around: &Surroundings<'_>,
    ) -> Result<ExecOutcome> {
        self.check_room_for_cursor(around.limits)?;
        outcome.meta.cursor = Some(self.cursors.open(cursor));
        Ok(outcome)
    }

    fn check_room_for_cursor(&self, limits: &Limits) -> Result<()> {
        let max = limits.max_open_cursors;
        if self.cursors.len() < max as usize {
            return Ok(());
        }
        Err(Error::limit("max_open_cursors", max.into(), self.cursors.len() + 1))
    }
}

/// How far a statement was run.
struct Ran {
    outcome: ExecOutcome,
    more: Option<More>,
    size: BatchSize,
}

/// Where the rows behind the first batch are.
enum More {
    Live { has_row: bool },
    Kept(VecDeque<BatchBuilder>),
}

/// Runs a statement that cannot change anything.
fn read(
    compiled: &mut CompiledStatement,
    mode: RowMode,
    size: BatchSize,
    around: &Surroundings<'_>,
    spare: Option<BatchBuilder>,
) -> Result<Ran> {
    let mut has_row = compiled.statement.step()?;
    compiled.refresh_columns();
    let (batch, more) = match mode {
        RowMode::None => {
            while has_row {
                has_row = compiled.statement.step()?;
            }
            (None, None)
        }
        RowMode::Cursor => {
            let batch = next_batch(compiled, &mut has_row, size)?;
            (Some(batch), has_row.then_some(More::Live { has_row }))
        }
        _ => (Some(all_rows(compiled, has_row, around.result_bytes, spare)?), None),
    };
    Ok(Ran { outcome: outcome(compiled, batch), more, size })
}

fn all_rows(
    compiled: &mut CompiledStatement,
    mut has_row: bool,
    max_bytes: usize,
    spare: Option<BatchBuilder>,
) -> Result<BatchBuilder> {
    let columns = compiled.column_count;
    let mut batch = spare.map_or_else(|| BatchBuilder::new(columns), |spare| spare.reuse(columns));
    while has_row {
        push_row(&compiled.statement, columns, &mut batch, max_bytes)?;
        has_row = compiled.statement.step()?;
    }
    Ok(batch)
}

/// Columns and rows, for statements that have columns and requests that want rows.
fn outcome(compiled: &CompiledStatement, batch: Option<BatchBuilder>) -> ExecOutcome {
    let batch = batch.filter(|_| compiled.column_count > 0);
    let columns = if batch.is_some() { compiled.columns.clone() } else { Default::default() };
    ExecOutcome { columns, meta: ExecResponse::default(), batch }
}

/// The statement itself did well; its rows are too many, or have nowhere to go.
fn is_about_rows(error: &Error) -> bool {
    matches!(error.reason, Reason::ResultTooLarge | Reason::LimitExceeded) && error.sqlite_code == 0
}

/// Copies the current row into the batch, checking before each large cell whether it still fits.
pub(crate) fn push_row(
    statement: &Statement,
    columns: usize,
    batch: &mut BatchBuilder,
    max_bytes: usize,
) -> Result<()> {
    for column in 0..columns {
        match statement.cell(column) {
            Stored::Null => batch.null(column),
            Stored::Integer(value) => batch.integer(column, value),
            Stored::Real(value) => batch.real(column, value),
            Stored::Text(bytes) if has_room(batch, bytes.len(), max_bytes) => {
                batch.text(column, bytes);
            }
            Stored::Blob(bytes) if has_room(batch, bytes.len(), max_bytes) => {
                batch.blob(column, bytes);
            }
            Stored::Text(_) | Stored::Blob(_) => return Err(too_large(max_bytes)),
        }
    }
    batch.end_row();
    if batch.size() > max_bytes && batch.encoded_len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

/// Whether so many bytes may still be added: by the cheap estimate, else by the exact size.
fn has_room(batch: &BatchBuilder, len: usize, max_bytes: usize) -> bool {
    batch.size() + len <= max_bytes || batch.encoded_len() + len <= max_bytes
}

/// How much the current row would add to a batch at the most.
pub(crate) fn row_size(statement: &Statement, columns: usize) -> usize {
    (0..columns)
        .map(|column| match statement.cell(column) {
            Stored::Null => 1,
            Stored::Integer(_) | Stored::Real(_) => 9,
            Stored::Text(bytes) | Stored::Blob(bytes) => 5 + bytes.len(),
        })
        .sum()
}

impl BatchSize {
    fn of(request: &ExecRequest, around: &Surroundings<'_>) -> Self {
        let or_default = |value: u32, default: u32| if value == 0 { default } else { value };
        Self {
            rows: or_default(request.max_batch_rows, DEFAULT_BATCH_ROWS),
            bytes: or_default(request.max_batch_bytes, DEFAULT_BATCH_BYTES) as usize,
            result_bytes: around.result_bytes,
        }
    }
}

/// What can be said against a request before SQLite sees it.
fn check(request: &ExecRequest, limits: &Limits) -> Result<()> {
    if request.param_rows.is_some() {
        return Err(Error::capability("BULK_BIND"));
    }
    if request.sql.len() > limits.max_sql_bytes as usize {
        let found = request.sql.len();
        return Err(Error::limit("max_sql_bytes", limits.max_sql_bytes.into(), found));
    }
    let values = request.params.len() + request.named.len();
    if values > limits.max_params as usize {
        return Err(Error::limit("max_params", limits.max_params.into(), values));
    }
    Ok(())
}

/// An unknown mode counts as none given.
pub(crate) fn row_mode(request: &ExecRequest) -> RowMode {
    match request.rows() {
        RowMode::Unspecified => RowMode::All,
        mode => mode,
    }
}

fn too_large(max_bytes: usize) -> Error {
    let message = format!("the result is larger than {max_bytes} bytes; read it with a cursor");
    Error::new(Reason::ResultTooLarge, message).subject("max_result_bytes")
}

const DEFAULT_BATCH_ROWS: u32 = 4_096;
const DEFAULT_BATCH_BYTES: u32 = 256 * 1024;

/// Set before an INSERT to see whether it sets a rowid of its own; nobody else ever sees it,
/// because statements that read the rowid are watched instead, which costs more.
const NO_ROWID: i64 = i64::MIN + 0x006c_6978;
