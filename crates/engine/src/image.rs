//! The database file, in memory. A snapshot costs a pointer per chunk; a chunk is copied when it
//! is written while a snapshot still holds it. The image knows which of its blocks were written
//! since somebody last asked, so that a save costs what changed.

use std::sync::Arc;

use crate::Attachment;

/// The bytes SQLite believes to be a file.
#[derive(Debug, Default)]
pub(crate) struct Image {
    chunks: Vec<Arc<Chunk>>,
    len: u64,
    writes: u64,
    changed: Changed,
}

impl Image {
    /// Copies an image that somebody else provides. All of it counts as changed.
    pub(crate) fn copy_of(source: &dyn Attachment) -> Self {
        let len = source.len();
        make_room(len);
        let chunks = (0..len)
            .step_by(CHUNK)
            .map(|offset| {
                let mut chunk = source.read(offset, (len - offset).min(CHUNK as u64) as usize);
                chunk.resize(CHUNK, 0);
                Arc::new(chunk.into_boxed_slice())
            })
            .collect();
        let mut image = Self { chunks, len, ..Self::default() };
        image.changed.insert_range(0, image.blocks());
        image
    }

    /// Zeros, none of which counts as changed: room for an image that is about to be loaded.
    pub(crate) fn blank(len: u64) -> Self {
        make_room(len);
        let mut image = Self::default();
        image.set_len(len);
        image.changed = Changed::default();
        image
    }

    /// Puts a block where it belongs without counting it as changed.
    pub(crate) fn load_block(&mut self, index: u32, block: &[u8]) {
        let (chunk, within) = place(index);
        let chunk = Arc::get_mut(&mut self.chunks[chunk]).expect("an image being loaded");
        chunk[within..within + IMAGE_BLOCK].copy_from_slice(block);
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Grows with every write and every truncation: unchanged means the file is unchanged.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// Reads up to the end of the file and says how much that was.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let wanted = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        for (index, within, range) in pieces(offset, wanted) {
            let piece = &mut buffer[range];
            piece.copy_from_slice(&self.chunks[index][within..within + piece.len()]);
        }
        wanted
    }

    /// Writes anywhere; a gap before it reads as zeros.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        for (index, within, range) in pieces(offset, bytes.len()) {
            let piece = &bytes[range];
            let chunk = Arc::make_mut(&mut self.chunks[index]);
            chunk[within..within + piece.len()].copy_from_slice(piece);
        }
        if !bytes.is_empty() {
            self.changed.insert_range(block_at(offset), block_at(end - 1) + 1);
        }
        self.writes += 1;
    }

    pub(crate) fn truncate(&mut self, len: u64) {
        if len < self.len {
            self.set_len(len);
            // What lies behind the end must read as zeros if the file grows again.
            let within = (len % CHUNK as u64) as usize;
            if within != 0
                && let Some(last) = self.chunks.last_mut()
            {
                Arc::make_mut(last)[within..].fill(0);
                self.changed.insert_range(block_at(len), block_at(len - 1) + 1);
            }
        } else if len > self.len {
            self.set_len(len);
        }
        self.writes += 1;
    }

    /// How many blocks it has; the last one may be filled up with zeros.
    pub(crate) fn blocks(&self) -> u32 {
        block_count(self.len)
    }

    pub(crate) fn block(&self, index: u32) -> &[u8] {
        let (chunk, within) = place(index);
        &self.chunks[chunk][within..within + IMAGE_BLOCK]
    }

    /// The blocks that were changed or added since this was last asked, in order.
    pub(crate) fn take_changed(&mut self) -> Vec<u32> {
        let mut changed = self.changed.take();
        let blocks = self.blocks();
        changed.retain(|index| *index < blocks);
        changed.sort_unstable();
        changed
    }

    /// Makes blocks count as changed after all.
    pub(crate) fn put_changed(&mut self, blocks: &[u32]) {
        for index in blocks {
            self.changed.insert_range(*index, index + 1);
        }
    }

    /// The content as of now, whatever is written later.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { chunks: self.chunks.clone(), len: self.len }
    }

    fn set_len(&mut self, len: u64) {
        if len > self.len {
            // A block that is new, and one that grows, though it may get nothing but zeros.
            self.changed.insert_range(self.blocks(), block_count(len));
        }
        let chunks = usize::try_from(len.div_ceil(CHUNK as u64)).expect("a file that fits memory");
        self.chunks.resize_with(chunks, || Arc::new(empty_chunk()));
        self.len = len;
    }
}

/// A frozen copy of a database file, handed out as an attachment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    chunks: Vec<Arc<Chunk>>,
    len: u64,
}

impl Snapshot {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes in order, in pieces.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().enumerate().map(|(index, chunk)| {
            let left = self.len - index as u64 * CHUNK as u64;
            &chunk[..left.min(CHUNK as u64) as usize]
        })
    }

    /// A block; the last one is filled up with zeros.
    pub(crate) fn block(&self, index: u32) -> &[u8] {
        let (chunk, within) = place(index);
        &self.chunks[chunk][within..within + IMAGE_BLOCK]
    }
}

/// Numbers of blocks, each once.
#[derive(Debug, Default)]
struct Changed {
    bits: Vec<u64>,
    list: Vec<u32>,
}

impl Changed {
    fn insert_range(&mut self, start: u32, end: u32) {
        let words = end.div_ceil(64) as usize;
        if words > self.bits.len() {
            self.bits.resize(words, 0);
        }
        for index in start..end {
            let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
            if self.bits[word] & bit == 0 {
                self.bits[word] |= bit;
                self.list.push(index);
            }
        }
    }

    fn take(&mut self) -> Vec<u32> {
        for index in &self.list {
            self.bits[(index / 64) as usize] = 0;
        }
        std::mem::take(&mut self.list)
    }
}

/// Splits a range of the file at chunk borders: chunk, offset in it, range of the caller's buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let (index, within) = ((at / CHUNK as u64) as usize, (at % CHUNK as u64) as usize);
        let piece = (CHUNK - within).min(len - done);
        let range = done..done + piece;
        done += piece;
        (piece > 0).then_some((index, within, range))
    })
}

/// Room for all of an image in one go: memory that grows once per chunk costs more than a copy.
fn make_room(len: u64) {
    let mut room = Vec::<u8>::new();
    let _ = room.try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX));
    drop(std::hint::black_box(room));
}

fn block_count(len: u64) -> u32 {
    u32::try_from(len.div_ceil(IMAGE_BLOCK as u64)).expect("a file that fits memory")
}

fn block_at(offset: u64) -> u32 {
    (offset / IMAGE_BLOCK as u64) as u32
}

/// Chunk, and offset in it.
fn place(block: u32) -> (usize, usize) {
    let per_chunk = (CHUNK / IMAGE_BLOCK) as u32;
    ((block / per_chunk) as usize, (block % per_chunk) as usize * IMAGE_BLOCK)
}

type Chunk = Box<[u8]>;

fn empty_chunk() -> Chunk {
    vec![0; CHUNK].into_boxed_slice()
}

/// Every page size of SQLite divides it, so that a page never lies in two chunks.
const CHUNK: usize = 64 * 1024;

/// What is saved as a whole, whatever the page size.
const IMAGE_BLOCK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(image: &Image) -> Vec<u8> {
        image.snapshot().chunks().flatten().copied().collect()
    }

    #[test]
    fn reads_what_was_written_across_chunks() {
        let mut image = Image::default();
        let bytes: Vec<u8> = (0..CHUNK * 2).map(|n| n as u8).collect();
        image.write(&bytes, CHUNK as u64 - 3);
        let mut buffer = vec![1; CHUNK * 3];
        let count = image.read(&mut buffer, 0);
        assert_eq!(count, CHUNK * 3 - 3);
        assert!(buffer[..CHUNK - 3].iter().all(|byte| *byte == 0));
        assert_eq!(&buffer[CHUNK - 3..count], bytes);
        assert_eq!(image.read(&mut buffer, image.len() + 10), 0);
    }

    #[test]
    fn a_snapshot_does_not_see_later_writes() {
        let mut image = Image::default();
        image.write(b"before", 0);
        let snapshot = image.snapshot();
        image.write(b"after!", 0);
        assert_eq!(snapshot.chunks().collect::<Vec<_>>(), [b"before"]);
        assert_eq!(content(&image), b"after!");
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let mut image = Image::default();
        image.write(&[7; 100], 0);
        image.truncate(10);
        image.write(&[8], 50);
        assert_eq!(content(&image)[10..50], [0; 40]);
    }

    #[test]
    fn knows_what_changed() {
        let mut image = Image::blank(10 * 4096);
        assert!(image.take_changed().is_empty());
        image.write(&[1; 4097], 3 * 4096);
        image.write(&[1], 3 * 4096);
        assert_eq!(image.take_changed(), [3, 4]);
        assert!(image.take_changed().is_empty());

        // Cut off in the middle of a block: that one ends in zeros now.
        image.truncate(5 * 4096 + 1);
        assert_eq!(image.take_changed(), [5]);
        image.truncate(2 * 4096);
        assert!(image.take_changed().is_empty());
        image.truncate(4 * 4096);
        assert_eq!(image.take_changed(), [2, 3]);
        image.put_changed(&[1, 3]);
        image.truncate(2 * 4096);
        assert_eq!(image.take_changed(), [1]);
    }

    #[test]
    fn a_copy_is_new_from_end_to_end() {
        let bytes = bytes::Bytes::from(vec![1; 4096 + 1]);
        assert_eq!(Image::copy_of(&bytes).take_changed(), [0, 1]);
    }

    #[test]
    fn copies_a_foreign_image_exactly() {
        let bytes = bytes::Bytes::from((0..CHUNK + 17).map(|n| n as u8).collect::<Vec<_>>());
        assert_eq!(content(&Image::copy_of(&bytes)), bytes);
    }
}
