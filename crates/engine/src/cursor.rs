//! Cursors: rows of a statement, batch by batch, as they were when it ran.
//!
//! A cursor reads its statement while nothing changes. Before anything does, it is drained into
//! memory; what cannot be kept that way refuses the change.

use std::collections::{BTreeMap, VecDeque};

use lix_engine_protocol::{BatchBuilder, Error, Reason, Result};

use crate::database::CompiledStatement;
use crate::exec::{BatchSize, push_row, row_size};

/// The open cursors of a session.
#[derive(Default)]
pub(crate) struct Cursors {
    open: BTreeMap<u32, Cursor>,
    last_id: u32,
}

impl Cursors {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Keeps a cursor and gives it an id that was never used before.
    pub(crate) fn open(&mut self, cursor: Cursor) -> u32 {
        self.last_id += 1;
        self.open.insert(self.last_id, cursor);
        self.last_id
    }

    /// The next batch, and whether it was the last. The cursor ends with its last batch or error;
    /// its statement comes back for reuse.
    pub(crate) fn fetch(&mut self, id: u32) -> Result<Fetched> {
        let cursor = self.open.get_mut(&id).ok_or_else(|| absent(id, self.last_id))?;
        let result = cursor.next_batch();
        match result {
            Ok((batch, false)) => Ok(Fetched { batch, done: false, finished: None }),
            Ok((batch, true)) => {
                let finished = self.open.remove(&id).and_then(|cursor| cursor.live);
                Ok(Fetched { batch, done: true, finished })
            }
            Err(error) => {
                self.open.remove(&id);
                Err(error)
            }
        }
    }

    /// Ends a cursor. Ending it again is fine.
    pub(crate) fn close(&mut self, id: u32) -> Result<()> {
        match self.open.remove(&id) {
            None if id == 0 || id > self.last_id => Err(absent(id, self.last_id)),
            _ => Ok(()),
        }
    }

    /// Reads every cursor to its end, so that what comes next cannot change what it shows.
    pub(crate) fn drain(&mut self, max_bytes: usize) -> Result<()> {
        let kept = |cursor: &Cursor| cursor.kept.iter().map(BatchBuilder::size).sum::<usize>();
        let mut total: usize = self.open.values().map(kept).sum();
        for cursor in self.open.values_mut() {
            while let Some(rows) = &mut cursor.live {
                // Looked at before each batch, so that trying again cannot pile up more.
                if total >= max_bytes {
                    let message = format!(
                        "open cursors would hold more than {max_bytes} bytes; read or close them first"
                    );
                    return Err(
                        Error::new(Reason::CursorSpoolLimit, message).subject("max_result_bytes")
                    );
                }
                match rows.next_batch(cursor.size) {
                    Ok(batch) => {
                        total += batch.size();
                        cursor.kept.push_back(batch);
                        if !rows.has_row {
                            cursor.live = None;
                        }
                    }
                    Err(error) => {
                        cursor.failure = Some(error);
                        cursor.live = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends all of them: what they show is gone.
    pub(crate) fn invalidate_all(&mut self) {
        self.open.clear();
    }
}

/// What a fetch brought.
pub(crate) struct Fetched {
    pub(crate) batch: BatchBuilder,
    pub(crate) done: bool,
    /// The statement, if it was still running until now.
    pub(crate) finished: Option<Rows>,
}

/// First what was drained, then what the statement still has, or the error it ended with.
pub(crate) struct Cursor {
    kept: VecDeque<BatchBuilder>,
    live: Option<Rows>,
    failure: Option<Error>,
    size: BatchSize,
}

impl Cursor {
    /// A cursor over a statement that stands on a row.
    pub(crate) fn live(rows: Rows, size: BatchSize) -> Self {
        Self { kept: VecDeque::new(), live: Some(rows), failure: None, size }
    }

    /// A cursor over batches that are in memory already.
    pub(crate) fn kept(batches: VecDeque<BatchBuilder>, size: BatchSize) -> Self {
        Self { kept: batches, live: None, failure: None, size }
    }

    fn next_batch(&mut self) -> Result<(BatchBuilder, bool)> {
        if let Some(batch) = self.kept.pop_front() {
            let is_last = self.kept.is_empty() && self.live.is_none() && self.failure.is_none();
            return Ok((batch, is_last));
        }
        match (&mut self.live, self.failure.take()) {
            (Some(rows), _) => {
                let batch = rows.next_batch(self.size)?;
                Ok((batch, !rows.has_row))
            }
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("a cursor without anything left is closed"),
        }
    }
}

/// A running statement. `has_row` says that it stands on a row that was not read yet.
pub(crate) struct Rows {
    pub(crate) compiled: CompiledStatement,
    pub(crate) sql: Box<str>,
    pub(crate) has_row: bool,
}

impl Rows {
    fn next_batch(&mut self, size: BatchSize) -> Result<BatchBuilder> {
        next_batch(&mut self.compiled, &mut self.has_row, size)
    }
}

/// Reads whole rows up to the batch size, at least one, and looks one row ahead.
pub(crate) fn next_batch(
    compiled: &mut CompiledStatement,
    has_row: &mut bool,
    size: BatchSize,
) -> Result<BatchBuilder> {
    let columns = compiled.column_count;
    let mut batch = BatchBuilder::new(columns);
    while *has_row && batch.rows() < size.rows {
        let statement = &mut compiled.statement;
        if batch.rows() > 0 && batch.size() + row_size(statement, columns) > size.bytes {
            break;
        }
        push_row(statement, columns, &mut batch, size.result_bytes)?;
        *has_row = statement.step()?;
    }
    Ok(batch)
}

fn absent(id: u32, last_id: u32) -> Error {
    let (reason, message) = if (1..=last_id).contains(&id) {
        (Reason::CursorInvalidated, format!("cursor {id} has ended"))
    } else {
        (Reason::CursorUnknown, format!("there never was a cursor {id}"))
    };
    Error::new(reason, message).subject(id.to_string())
}
