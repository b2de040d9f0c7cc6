//! What a file holds. Nothing here writes.
//!
//! The newest header leads to tables, the tables to content; each save since then left a record
//! that names its successor's place. A record whose content is not all there belongs to a save that
//! was never acknowledged, if it is the last one. Whatever else does not fit is damage.

use lix_engine_protocol::{Error, Reason, Result};

use super::format::{
    BLOCK, Block, FAN_OUT, FIRST_BLOCK, HEADER_ROOTS, Header, Place, Pointer, Record, Slot,
    blocks_of, creation, decode_page, is_intact, stamp_of,
};
use super::space::Space;
use super::{Slots, State};
use crate::StorageFile;
use crate::image::Image;
use crate::mutants::{Mutant, acts};

/// What there is.
pub(super) enum Found {
    /// Nothing was ever saved here.
    Nothing,
    Stored(Box<Stored>),
    /// Something that cannot be opened.
    Other {
        why: Error,
        header: Option<Leftover>,
    },
}

/// A state that can be built upon.
pub(super) struct Stored {
    pub(super) state: State,
    pub(super) slots: Slots,
    pub(super) space: Space,
    /// A record follows that is sound, but names content that is not there.
    pub(super) is_followed: bool,
    /// The block of the header that was found at the end of the file.
    pub(super) tail: Option<u32>,
}

/// A sound header of a store that is damaged elsewhere.
pub(super) struct Leftover {
    pub(super) seq: u64,
    pub(super) slot: usize,
    pub(super) sum: u64,
}

/// Reads what leads to the content, and the content of the last save.
pub(super) fn look(file: &mut dyn StorageFile) -> Result<Found> {
    let len = file.len()?;
    let mut start = vec![0; 2 * BLOCK];
    let start_len = file.read(&mut start, 0)?;
    let slot_bytes = [to_block(&start[..BLOCK]), to_block(&start[BLOCK..])];
    let slots = slot_bytes.each_ref().map(|bytes| Slot::decode(bytes, Place::Slot));
    for slot in &slots {
        if let Slot::Newer(version) = slot {
            let message = format!(
                "the storage has format version {version}, which is newer than this engine"
            );
            return Ok(Found::Other { why: invalid(message), header: None });
        }
    }
    let [first, second] = slots;
    let (header, bytes, slots, tail) = match (first, second) {
        (Slot::Header(first), Slot::Header(second)) => {
            let [first_bytes, second_bytes] = slot_bytes;
            if first_bytes == second_bytes {
                (first, first_bytes, Slots::Settled, None)
            } else if first.seq >= second.seq {
                (first, first_bytes, Slots::second(1), None)
            } else {
                (second, second_bytes, Slots::second(0), None)
            }
        }
        (Slot::Header(header), _) => {
            let [bytes, _] = slot_bytes;
            (header, bytes, Slots::second(1), None)
        }
        (_, Slot::Header(header)) => {
            let [_, bytes] = slot_bytes;
            (header, bytes, Slots::second(0), None)
        }
        _ if is_unborn(len, &start[..start_len]) => return Ok(Found::Nothing),
        _ => match tail_header(file, len)? {
            Some((header, block)) => {
                let bytes = header.encode(Place::Slot);
                (header, bytes, Slots::First { slot: 0 }, Some(block))
            }
            None => {
                let why = foreign(len, &start[..start_len]);
                return Ok(Found::Other { why, header: None });
            }
        },
    };
    let leftover = match slots {
        Slots::Settled => Some(0),
        Slots::Second { slot, .. } => Some(1 - slot),
        Slots::First { .. } => None,
    };
    let header_sum = stamp_of(&bytes);
    let leftover = leftover.map(|slot| Leftover { seq: header.seq, slot, sum: header_sum });
    match follow(file, len, header, bytes) {
        Ok((state, mut space, is_followed)) => {
            if tail.is_some_and(|block| !space.mark(block)) {
                let why = invalid("the header at the end of the storage is in use".into());
                return Ok(Found::Other { why, header: None });
            }
            Ok(Found::Stored(Box::new(Stored { state, slots, space, is_followed, tail })))
        }
        Err(Trouble::Damage(message)) => {
            Ok(Found::Other { why: invalid(message), header: leftover })
        }
        Err(Trouble::Storage(error)) => Err(error),
    }
}

/// Reads the content, in the order of the file.
pub(super) fn load(file: &mut dyn StorageFile, state: &State) -> Result<Image> {
    let mut image = Image::blank(state.image_len);
    let mut places: Vec<(u32, u32)> = state.files.iter().copied().zip(0..).collect();
    let outcome = read_checked(
        file,
        &mut places,
        |index| state.sums[index as usize],
        |index, block| image.load_block(index, block),
    );
    match outcome {
        Ok(()) => Ok(image),
        Err(Trouble::Damage(message)) => Err(invalid(message)),
        Err(Trouble::Storage(error)) => Err(error),
    }
}

/// The record at this place, if it follows what is named.
pub(super) fn record_after(
    file: &mut dyn StorageFile,
    at: u32,
    (id, seq, previous): (&[u8; 16], u64, u64),
) -> Result<Option<(Record, u64)>> {
    let mut block = Box::new([0; BLOCK]);
    if at < FIRST_BLOCK || file.read(&mut block[..], offset(at))? < BLOCK {
        return Ok(None);
    }
    let record = Record::decode(&block).filter(|record| {
        let follows = record.previous == previous || acts(Mutant::NoChecksum);
        record.id == *id && record.seq == seq + 1 && follows
    });
    Ok(record.map(|record| (record, stamp_of(&block))))
}

/// Whether all content that the record names is there.
pub(super) fn is_complete(file: &mut dyn StorageFile, record: &Record) -> Result<bool> {
    let mut places: Vec<(u32, u32)> =
        record.entries.iter().map(|entry| entry.to.block).zip(0..).collect();
    let sum = |index: u32| record.entries[index as usize].to.sum;
    match read_checked(file, &mut places, sum, |_, _| ()) {
        Ok(()) => Ok(true),
        Err(Trouble::Damage(_)) => Ok(false),
        Err(Trouble::Storage(error)) => Err(error),
    }
}

/// The header in either slot that counts.
pub(super) fn newest_header(file: &mut dyn StorageFile) -> Result<Option<u64>> {
    let mut start = vec![0; 2 * BLOCK];
    file.read(&mut start, 0)?;
    let mut newest: Option<(u64, u64)> = None;
    for bytes in start.chunks(BLOCK).map(to_block) {
        if let Slot::Header(header) = Slot::decode(&bytes, Place::Slot)
            && newest.is_none_or(|(seq, _)| header.seq > seq)
        {
            newest = Some((header.seq, stamp_of(&bytes)));
        }
    }
    Ok(newest.map(|(_, sum)| sum))
}

pub(super) fn offset(block: u32) -> u64 {
    u64::from(block) * BLOCK as u64
}

/// From the header to the state after the last complete save.
fn follow(
    file: &mut dyn StorageFile,
    len: u64,
    header: Header,
    bytes: Box<Block>,
) -> Attempt<(State, Space, bool)> {
    let file_blocks = len / BLOCK as u64;
    // The content that a save replaced need not be there any more, but tables for it are.
    let is_possible = |image_len: u64| blocks_of(image_len).div_ceil(FAN_OUT as u64) <= file_blocks;
    if !is_possible(header.image_len) || file_blocks > u64::from(u32::MAX) {
        return damage("the storage is cut off".into());
    }
    let blocks = blocks_of(header.image_len) as usize;
    let page_count = blocks.div_ceil(FAN_OUT);
    if header.roots.len() != page_count.div_ceil(FAN_OUT) || header.roots.len() > HEADER_ROOTS {
        return damage("the header contradicts itself".into());
    }
    let pages = read_level(file, &header.roots, page_count)?;
    let content = read_level(file, &pages, blocks)?;
    let mut state = State {
        id: header.id,
        seq: header.seq,
        image_len: header.image_len,
        files: content.iter().map(|pointer| pointer.block).collect(),
        sums: content.iter().map(|pointer| pointer.sum).collect(),
        pages,
        roots: header.roots,
        stale: Default::default(),
        records: vec![],
        next: header.next,
        end: stamp_of(&bytes),
        header: bytes,
    };
    drop(content);

    let mut records: Vec<(Record, u64)> = Vec::new();
    let (mut at, mut seq, mut end) = (state.next, state.seq, state.end);
    while let Some((record, sum)) = record_after(file, at, (&state.id, seq, end))? {
        (at, seq, end) = (record.next, record.seq, sum);
        records.push((record, sum));
    }
    let mut is_followed = false;
    if let Some((last, _)) = records.last()
        && !is_complete(file, last)?
    {
        records.pop();
        is_followed = true;
    }
    for (record, sum) in records {
        let blocks = blocks_of(record.image_len);
        if !is_possible(record.image_len)
            || record.entries.iter().any(|entry| u64::from(entry.image) >= blocks)
        {
            return damage(format!("save {} contradicts itself", record.seq));
        }
        state.records.push(state.next);
        state.apply(record.image_len, &record.entries, &mut Vec::new());
        (state.next, state.seq, state.end) = (record.next, record.seq, sum);
    }

    let space = used_space(&state, file_blocks)?;
    Ok((state, space, is_followed))
}

/// Everything that can be reached, each block once.
fn used_space(state: &State, file_blocks: u64) -> Attempt<Space> {
    let mut space = Space::with_slots();
    let tables = state.pages.iter().chain(&state.roots).map(|pointer| pointer.block);
    let in_file = state.files.iter().copied().chain(tables).chain(state.records.iter().copied());
    for block in in_file {
        if u64::from(block) >= file_blocks || !space.mark(block) {
            return damage(format!("block {block} of the storage is used twice or missing"));
        }
    }
    // It need not be there yet, but cannot be far.
    let far = file_blocks + u64::from(FAR);
    if state.next < FIRST_BLOCK || u64::from(state.next) > far || !space.mark(state.next) {
        return damage("the place of the next save is taken".into());
    }
    Ok(space)
}

/// What a level of table pages points at.
fn read_level(
    file: &mut dyn StorageFile,
    pages: &[Pointer],
    count: usize,
) -> Attempt<Vec<Pointer>> {
    let mut pointers = vec![Pointer::default(); count];
    let mut places: Vec<(u32, u32)> = pages.iter().map(|page| page.block).zip(0..).collect();
    read_checked(
        file,
        &mut places,
        |index| pages[index as usize].sum,
        |index, block| {
            let slots = &mut pointers[index as usize * FAN_OUT..];
            for (slot, pointer) in slots.iter_mut().zip(decode_page(block, FAN_OUT)) {
                *slot = pointer;
            }
        },
    )?;
    Ok(pointers)
}

/// Reads blocks (place, number) in the order of the file, in large pieces, and compares each with
/// its checksum.
fn read_checked(
    file: &mut dyn StorageFile,
    places: &mut [(u32, u32)],
    sum: impl Fn(u32) -> u64,
    mut each: impl FnMut(u32, &[u8]),
) -> Attempt<()> {
    places.sort_unstable();
    let mut buffer = Vec::new();
    let mut rest = &*places;
    while let Some((first, _)) = rest.first() {
        let mut count = 1;
        while let Some((block, _)) = rest.get(count)
            && *block <= rest[count - 1].0.saturating_add(GAP_BLOCKS)
            && *block - first < PIECE_BLOCKS
        {
            count += 1;
        }
        let blocks = (rest[count - 1].0 - first + 1) as usize;
        buffer.resize(blocks * BLOCK, 0);
        let read = file.read(&mut buffer, offset(*first))?;
        for (block, number) in &rest[..count] {
            let at = (block - first) as usize * BLOCK;
            let bytes = &buffer[at..at + BLOCK];
            if *block < FIRST_BLOCK || at + BLOCK > read || !is_intact(bytes, sum(*number)) {
                return damage(format!("block {block} of the storage is damaged or missing"));
            }
            each(*number, bytes);
        }
        rest = &rest[count..];
    }
    Ok(())
}

/// Whether the making of the file was interrupted before anything was saved.
///
/// The second slot is overwritten only when the first has a header that is durable, and the first
/// save is acknowledged only when both are.
fn is_unborn(len: u64, start: &[u8]) -> bool {
    let creation = creation();
    let is_part = |(byte, made): (&u8, &u8)| *byte == 0 || byte == made;
    let is_being_made =
        len <= 2 * BLOCK as u64 && start.iter().zip(creation.iter().cycle()).all(is_part);
    is_being_made || (start.len() == 2 * BLOCK && start[BLOCK..] == creation[..])
}

/// The header of a store that was about to take another program's file over.
fn tail_header(file: &mut dyn StorageFile, len: u64) -> Result<Option<(Header, u32)>> {
    let Some(last) = (len / BLOCK as u64).checked_sub(1) else { return Ok(None) };
    let Ok(last) = u32::try_from(last) else { return Ok(None) };
    let mut block = Box::new([0; BLOCK]);
    if last < FIRST_BLOCK || file.read(&mut block[..], offset(last))? < BLOCK {
        return Ok(None);
    }
    match Slot::decode(&block, Place::Tail) {
        Slot::Header(header) => Ok(Some((header, last))),
        Slot::Newer(_) | Slot::Other => Ok(None),
    }
}

fn foreign(len: u64, start: &[u8]) -> Error {
    invalid(if start.starts_with(b"SQLite format 3\0") {
        "the storage is a plain SQLite database; it can be passed as the seed of a new one".into()
    } else {
        format!("the {len} bytes of the storage do not start like a store, or it is damaged")
    })
}

fn to_block(bytes: &[u8]) -> Box<Block> {
    Box::new(bytes.try_into().expect("a block"))
}

fn invalid(message: String) -> Error {
    Error::new(Reason::ImageInvalid, message).subject("storage.path")
}

fn damage<T>(message: String) -> Attempt<T> {
    Err(Trouble::Damage(message))
}

type Attempt<T> = std::result::Result<T, Trouble>;

enum Trouble {
    Damage(String),
    Storage(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

/// How much is read at a time.
const PIECE_BLOCKS: u32 = 256;
/// Reading so many blocks for nothing is cheaper than reading twice.
const GAP_BLOCKS: u32 = 8;
/// How far behind the end of the file the place of the next save may be.
const FAR: u32 = 4096;
