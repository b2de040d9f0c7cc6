//! Where a database is kept: one file, as far as the engine is concerned.
//!
//! Everything here is synchronous. Finding, locking and opening the file is the shell's work, which
//! may take its time ([`crate::Effect::OpenStorage`]); from then on the engine reads, writes and
//! flushes by itself. A value that is dropped lets the file and its lock go.

use lix_engine_protocol::Result;

/// An open file that nobody else has open.
///
/// A write counts as stored only after a `flush` that succeeded. Until then it may be lost, or
/// survive in part, and writes may survive in any order.
///
/// Errors carry a reason of the code `STORAGE`: `STORAGE_QUOTA` where there is no room,
/// `STORAGE_FAILED` otherwise.
#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait StorageFile {
    /// Its length in bytes.
    fn len(&mut self) -> Result<u64>;
    /// Reads up to the end of the file and says how much that was.
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize>;
    /// Writes all of it; a gap between the old end and the offset reads as zeros.
    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()>;
    /// Cuts or extends the file to this length.
    fn truncate(&mut self, len: u64) -> Result<()>;
    /// Returns once everything written before is safe from a loss of power.
    fn flush(&mut self) -> Result<()>;
}
