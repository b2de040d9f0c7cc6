//! What a shell lends the engine: time, chance, and bytes that live outside it.

use bytes::Bytes;

/// Time and randomness. The engine asks for them and never finds out where they come from.
pub trait Platform: Send + Sync + 'static {
    /// Wall-clock time for SQL, in milliseconds since the Unix epoch.
    fn unix_ms(&self) -> i64;
    /// Time that only runs forward, for timeouts, in milliseconds since any fixed moment.
    fn monotonic_ms(&self) -> u64;
    /// Fills the buffer with random bytes.
    fn random(&self, buffer: &mut [u8]);
    /// Whether [`Platform::is_cancelled`] knows of messages that the session was not given yet; it
    /// then announces that a `cancel` reaches what runs.
    fn hears_cancels(&self) -> bool {
        false
    }
    /// Whether the request that runs is to stop: a `cancel` for it has arrived and is still to be
    /// handed to the session, or nobody is there any more who could be answered. Asked every few
    /// microseconds while a statement runs. Request 0 is none: only the latter counts.
    fn is_cancelled(&self, request: u32) -> bool {
        let _ = request;
        false
    }
}

/// A byte run that came beside a frame. It may live outside this program's memory, so it is copied
/// piece by piece to where it is needed, never as a whole first.
pub trait Attachment {
    /// Its length in bytes.
    fn len(&self) -> u64;
    /// A copy of `len` bytes from `offset` on; the range is within the length.
    fn read(&self, offset: u64, len: usize) -> Vec<u8>;
    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Attachment for Bytes {
    fn len(&self) -> u64 {
        self.as_ref().len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let start = usize::try_from(offset).expect("an offset into memory");
        self[start..start + len].to_vec()
    }
}
