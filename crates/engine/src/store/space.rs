//! Which blocks of the file are in use. It is never stored: what is reachable is in use.

#![allow(clippy::single_range_in_vec_init, reason = "runs of blocks are ranges")]

use std::ops::Range;

use super::format::FIRST_BLOCK;

/// A bit per block; everything behind the last bit is free.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    words: Vec<u64>,
    used: u32,
    /// No word before this one has a free block.
    lowest: usize,
}

impl Space {
    /// Nothing in use but the header slots.
    pub(super) fn with_slots() -> Self {
        let mut space = Self::default();
        for slot in 0..FIRST_BLOCK {
            space.mark(slot);
        }
        space
    }

    /// `false` if the block was in use already.
    pub(super) fn mark(&mut self, block: u32) -> bool {
        let (word, bit) = place(block);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let was_free = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.used += u32::from(was_free);
        was_free
    }

    pub(super) fn free(&mut self, block: u32) {
        let (word, bit) = place(block);
        assert!(self.words[word] & bit != 0, "block {block} is freed once");
        self.words[word] &= !bit;
        self.used -= 1;
        self.lowest = self.lowest.min(word);
    }

    pub(super) fn is_used(&self, block: u32) -> bool {
        let (word, bit) = place(block);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many blocks are in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The block behind the last one in use.
    pub(super) fn end(&mut self) -> u32 {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
        self.lowest = self.lowest.min(self.words.len());
        match self.words.last() {
            Some(last) => self.words.len() as u32 * 64 - last.leading_zeros(),
            None => 0,
        }
    }

    /// From where on the last `count` used blocks are, but not lower than `least`.
    pub(super) fn highest(&self, count: u32, least: u32) -> u32 {
        let mut left = count;
        for (index, word) in self.words.iter().enumerate().rev() {
            let first = index as u32 * 64;
            if first < least || left <= word.count_ones() {
                let blocks = (least.max(first)..first + 64).rev();
                let mut used = blocks.filter(|block| self.is_used(*block));
                let last = used.nth((left as usize).saturating_sub(1));
                return last.unwrap_or(least.max(first));
            }
            left -= word.count_ones();
        }
        least
    }

    /// Takes `count` blocks in few pieces, low in the file: one run if there is one, or some that
    /// are worth a write each, or room at the end.
    pub(super) fn take(&mut self, count: u32) -> Vec<Range<u32>> {
        let end = self.end();
        let least = if count <= 16 { count.div_ceil(2) } else { count / 8 };
        let mut pieces: Vec<Range<u32>> = Vec::new();
        let mut found = 0;
        let mut whole = None;
        for (index, run) in self.free_runs(end).enumerate() {
            let len = run.end - run.start;
            if len >= count {
                whole = Some(run.start);
                break;
            }
            if found < count && len >= least {
                let len = len.min(count - found);
                pieces.push(run.start..run.start + len);
                found += len;
            }
            let is_enough = if found == count { RUNS_LOOKED_AT } else { 32 * RUNS_LOOKED_AT };
            if index >= is_enough {
                break;
            }
        }
        if let Some(start) = whole {
            pieces = vec![start..start + count];
        } else if found < count {
            pieces = vec![end..end + count];
        }
        self.mark_all(&pieces);
        pieces
    }

    /// Takes the lowest `count` blocks, in however many pieces.
    pub(super) fn take_lowest(&mut self, count: u32) -> Vec<Range<u32>> {
        let end = self.end();
        let mut pieces: Vec<Range<u32>> = Vec::new();
        let mut missing = count;
        for run in self.free_runs(end).chain([end..end + count]) {
            let len = (run.end - run.start).min(missing);
            pieces.push(run.start..run.start + len);
            missing -= len;
            if missing == 0 {
                break;
            }
        }
        self.mark_all(&pieces);
        pieces
    }

    fn mark_all(&mut self, pieces: &[Range<u32>]) {
        for block in pieces.iter().cloned().flatten() {
            let was_free = self.mark(block);
            debug_assert!(was_free);
        }
        while self.words.get(self.lowest) == Some(&u64::MAX) {
            self.lowest += 1;
        }
    }

    /// The free runs before `end`, lowest first.
    fn free_runs(&self, end: u32) -> impl Iterator<Item = Range<u32>> {
        let mut at = (self.lowest as u32 * 64).min(end);
        std::iter::from_fn(move || {
            let start = self.next(at, end, false)?;
            at = self.next(start, end, true).unwrap_or(end);
            Some(start..at)
        })
    }

    /// The first block from `at` on, before `end`, that is in use or is not.
    fn next(&self, at: u32, end: u32, used: bool) -> Option<u32> {
        let (mut word, _) = place(at);
        let mut mask = u64::MAX << (at % 64);
        while word < self.words.len() {
            let bits = if used { self.words[word] } else { !self.words[word] } & mask;
            if bits != 0 {
                let found = word as u32 * 64 + bits.trailing_zeros();
                return (found < end).then_some(found);
            }
            mask = u64::MAX;
            word += 1;
        }
        None
    }
}

fn place(block: u32) -> (usize, u64) {
    ((block / 64) as usize, 1 << (block % 64))
}

/// A longer search for one run costs more than a few writes do.
const RUNS_LOOKED_AT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn space(used: &[u32]) -> Space {
        let mut space = Space::default();
        for block in used {
            space.mark(*block);
        }
        space
    }

    #[test]
    fn a_run_that_fits_is_preferred_to_pieces() {
        let mut space = space(&[0, 1, 3, 4, 8, 200]);
        assert_eq!(space.take(3), [5..8]);
        assert_eq!(space.take(1), [2..3]);
        assert_eq!(space.take(191), [9..200]);
        assert_eq!(space.take(2), [201..203]);
        assert_eq!((space.used(), space.end()), (203, 203));
    }

    #[test]
    fn pieces_are_used_before_the_file_grows() {
        let mut space = space(&[0, 1, 3, 5, 6, 10]);
        assert_eq!(space.take(2), [7..9]);
        assert_eq!(space.take(2), [2..3, 4..5]);
        assert_eq!(space.take(3), [11..14]);
    }

    #[test]
    fn the_lowest_blocks_are_found_again_after_they_are_freed() {
        let mut space = space(&(0..300).collect::<Vec<_>>());
        space.free(70);
        space.free(299);
        assert_eq!(space.end(), 299);
        assert_eq!(space.take_lowest(3), [70..71, 299..301]);
        assert!(space.is_used(300) && !space.is_used(301));
    }

    #[test]
    fn the_highest_blocks_are_counted_from_the_end() {
        let space = space(&[0, 1, 70, 130, 131, 200]);
        assert_eq!(space.highest(1, 2), 200);
        assert_eq!(space.highest(3, 2), 130);
        assert_eq!(space.highest(4, 2), 70);
        assert_eq!(space.highest(4, 100), 100);
        assert_eq!(space.highest(9, 2), 2);
        assert_eq!(space.highest(1, 400), 400);
    }

    #[test]
    #[should_panic(expected = "freed once")]
    fn nothing_is_freed_twice() {
        let mut space = space(&[5, 6]);
        space.free(5);
        space.free(5);
    }
}
