//! Makes a file smaller that has become mostly empty: each save moves some of its last blocks into
//! free ones at the front, as if they had changed, until the end can be cut off.

use super::format::RECORD_ENTRIES;
use super::{Origin, Store};

impl Store {
    /// Much of the file is unused; each save makes it a little smaller, also one of nothing.
    pub(crate) fn wants_compaction(&self) -> bool {
        let used = self.space.used() - self.limbo.len() as u32;
        self.origin == Origin::Store
            && !self.is_compact
            && !self.is_unrelated
            && self.file_blocks > SMALL_FILE_BLOCKS
            && used < self.file_blocks / 2
    }

    /// Blocks of the image, besides those that have changed, to be written once more.
    pub(super) fn blocks_to_move(&self, changed: &[u32], image_blocks: u32) -> Vec<u32> {
        let count = (RECORD_ENTRIES - changed.len()).min(MOVED_BLOCKS);
        let from = self.space.highest(count as u32, self.compaction_target());
        let places = self.state.files.iter().zip(0..image_blocks);
        places
            .filter(|(place, index)| **place >= from && changed.binary_search(index).is_err())
            .map(|(_, index)| index)
            .take(count)
            .collect()
    }

    /// Where the file is to end: what is in use, and room for some saves.
    pub(super) fn compaction_target(&self) -> u32 {
        let used = self.space.used();
        used + used / 4 + 64
    }

    /// Tables or records lie behind the target. The next checkpoint moves them.
    pub(super) fn has_high_tables(&self) -> bool {
        let target = self.compaction_target();
        let state = &self.state;
        let tables = state.pages.iter().chain(&state.roots).map(|pointer| pointer.block);
        let others = state.records.iter().copied().chain([state.next]);
        tables.chain(others).any(|block| block >= target)
    }
}

/// A file of this size is left as it is.
const SMALL_FILE_BLOCKS: u32 = 256;
/// How much a save writes for the sake of compaction.
const MOVED_BLOCKS: usize = 64;
