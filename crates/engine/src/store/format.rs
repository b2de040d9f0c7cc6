//! The bytes of a storage file; `docs/storage-format.md` describes them for other programs.
//!
//! Every block that leads to others ends in its own checksum or has it where it is pointed at, so
//! that nothing reachable goes unchecked. Integers are little-endian.

use xxhash_rust::xxh64::xxh64;

use crate::mutants::{Mutant, acts};

/// Everything in the file is a multiple of it, at a multiple of it.
pub(super) const BLOCK: usize = 4096;
/// Pointers in a table page.
pub(super) const FAN_OUT: usize = 340;
/// Changed blocks in a record.
pub(super) const RECORD_ENTRIES: usize = (SUM_AT - RECORD_ENTRIES_AT) / 16;
/// Root pages of one header.
pub(super) const HEADER_ROOTS: usize = (SUM_AT - HEADER_ROOTS_AT) / 12;
/// The first block that is not a header slot.
pub(super) const FIRST_BLOCK: u32 = 2;

pub(super) type Block = [u8; BLOCK];

/// Where a block lies, and the checksum of what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) block: u32,
    pub(super) sum: u64,
}

/// A complete state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: [u8; 16],
    pub(super) seq: u64,
    pub(super) image_len: u64,
    /// Where the record of the following save will be.
    pub(super) next: u32,
    pub(super) roots: Vec<Pointer>,
}

/// A save that changed little: what is different from the state before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: [u8; 16],
    pub(super) seq: u64,
    pub(super) image_len: u64,
    /// The checksum of the header or record that this one follows.
    pub(super) previous: u64,
    pub(super) next: u32,
    pub(super) entries: Vec<Entry>,
}

/// A block of the image has a new place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) image: u32,
    pub(super) to: Pointer,
}

/// What a header slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Header(Header),
    /// A header of this later version of the format.
    Newer(u32),
    Other,
}

/// Where a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In one of the two slots.
    Slot,
    /// Last in a file whose slots still hold what another program wrote.
    Tail,
}

impl Header {
    pub(super) fn encode(&self, place: Place) -> Box<Block> {
        let mut block = blank();
        block[..8].copy_from_slice(place.magic());
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        block[16..32].copy_from_slice(&self.id);
        block[32..40].copy_from_slice(&self.seq.to_le_bytes());
        block[40..48].copy_from_slice(&self.image_len.to_le_bytes());
        block[48..52].copy_from_slice(&self.next.to_le_bytes());
        block[52..56].copy_from_slice(&(self.roots.len() as u32).to_le_bytes());
        put_pointers(&mut block[HEADER_ROOTS_AT..SUM_AT], &self.roots);
        stamp(&mut block);
        block
    }
}

impl Slot {
    pub(super) fn decode(block: &Block, place: Place) -> Self {
        if &block[..8] != place.magic() || !is_stamped(block) {
            return Self::Other;
        }
        match u32_at(block, 8) {
            VERSION => {}
            0 => return Self::Other,
            newer => return Self::Newer(newer),
        }
        let (roots, seq) = (u32_at(block, 52) as usize, u64_at(block, 32));
        if u32_at(block, 12) as usize != BLOCK || roots > HEADER_ROOTS || seq > MAX_SEQ {
            return Self::Other;
        }
        Self::Header(Header {
            id: block[16..32].try_into().expect("16 bytes"),
            seq,
            image_len: u64_at(block, 40),
            next: u32_at(block, 48),
            roots: pointers(&block[HEADER_ROOTS_AT..], roots).collect(),
        })
    }
}

impl Record {
    pub(super) fn encode(&self) -> Box<Block> {
        assert!(self.entries.len() <= RECORD_ENTRIES, "a record holds what fits in a block");
        let mut block = blank();
        block[..8].copy_from_slice(RECORD_MAGIC);
        block[8..12].copy_from_slice(&(self.entries.len() as u32).to_le_bytes());
        block[12..16].copy_from_slice(&self.next.to_le_bytes());
        block[16..32].copy_from_slice(&self.id);
        block[32..40].copy_from_slice(&self.seq.to_le_bytes());
        block[40..48].copy_from_slice(&self.image_len.to_le_bytes());
        block[48..56].copy_from_slice(&self.previous.to_le_bytes());
        for (slot, entry) in block[RECORD_ENTRIES_AT..SUM_AT].chunks_mut(16).zip(&self.entries) {
            slot[..4].copy_from_slice(&entry.image.to_le_bytes());
            put_pointers(&mut slot[4..], &[entry.to]);
        }
        stamp(&mut block);
        block
    }

    pub(super) fn decode(block: &Block) -> Option<Self> {
        let count = u32_at(block, 8) as usize;
        if &block[..8] != RECORD_MAGIC || !is_stamped(block) || count > RECORD_ENTRIES {
            return None;
        }
        let entries = block[RECORD_ENTRIES_AT..].chunks(16).take(count).map(|slot| Entry {
            image: u32_at(slot, 0),
            to: pointers(&slot[4..], 1).next().expect("12 bytes"),
        });
        Some(Self {
            id: block[16..32].try_into().expect("16 bytes"),
            seq: u64_at(block, 32),
            image_len: u64_at(block, 40),
            previous: u64_at(block, 48),
            next: u32_at(block, 12),
            entries: entries.collect(),
        })
    }
}

/// A table page. What lies behind the last pointer is zero.
pub(super) fn encode_page(pointers: &[Pointer]) -> Box<Block> {
    let mut block = blank();
    put_pointers(&mut block[..FAN_OUT * 12], pointers);
    block
}

/// The first `count` pointers of a table page.
pub(super) fn decode_page(block: &[u8], count: usize) -> impl Iterator<Item = Pointer> {
    pointers(block, count.min(FAN_OUT))
}

/// What both slots hold while a new file has no content yet. It starts with another byte than a
/// header does and holds nothing random, so that a piece of it can be told from a piece of a file
/// that once had content.
pub(super) fn creation() -> Box<Block> {
    let mut block = blank();
    block[..CREATION.len()].copy_from_slice(CREATION);
    block
}

/// The checksum of a block of content or of a table page.
pub(super) fn checksum(block: &[u8]) -> u64 {
    debug_assert_eq!(block.len(), BLOCK);
    xxh64(block, 0)
}

/// Whether a block is the one that was pointed at.
pub(super) fn is_intact(block: &[u8], sum: u64) -> bool {
    checksum(block) == sum || acts(Mutant::NoChecksum)
}

/// The checksum that a header or record carries.
pub(super) fn stamp_of(block: &Block) -> u64 {
    u64_at(block, SUM_AT)
}

/// Blocks of an image of this many bytes.
pub(super) fn blocks_of(image_len: u64) -> u64 {
    image_len.div_ceil(BLOCK as u64)
}

impl Place {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Slot => b"LIXSTORE",
            Self::Tail => b"LIXTAKES",
        }
    }
}

fn blank() -> Box<Block> {
    Box::new([0; BLOCK])
}

/// Gives a header or record its checksum.
pub(super) fn stamp(block: &mut Block) {
    let sum = xxh64(&block[..SUM_AT], 0);
    block[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
}

fn is_stamped(block: &Block) -> bool {
    xxh64(&block[..SUM_AT], 0) == stamp_of(block) || acts(Mutant::NoChecksum)
}

fn put_pointers(bytes: &mut [u8], pointers: &[Pointer]) {
    for (slot, pointer) in bytes.chunks_exact_mut(12).zip(pointers) {
        slot[..4].copy_from_slice(&pointer.block.to_le_bytes());
        slot[4..].copy_from_slice(&pointer.sum.to_le_bytes());
    }
}

fn pointers(bytes: &[u8], count: usize) -> impl Iterator<Item = Pointer> {
    bytes
        .chunks_exact(12)
        .take(count)
        .map(|slot| Pointer { block: u32_at(slot, 0), sum: u64_at(slot, 4) })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

const VERSION: u32 = 1;
/// Nobody saves that often; a number can always be one higher.
const MAX_SEQ: u64 = 1 << 62;
const RECORD_MAGIC: &[u8; 8] = b"LIXSAVED";
const CREATION: &[u8] = b"lix store, nothing saved yet\n";
const HEADER_ROOTS_AT: usize = 64;
const RECORD_ENTRIES_AT: usize = 56;
const SUM_AT: usize = BLOCK - 8;
