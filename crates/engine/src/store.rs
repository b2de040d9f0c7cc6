//! Saves of a database image in a storage file.
//!
//! Guarantees: a save costs what changed, not what there is. It is acknowledged after a flush; from
//! then on the file holds it, or a later one, whole, whenever the power fails. Nothing that the
//! newest durable state consists of is overwritten: blocks are written where nothing is, and what a
//! save replaces is free only after it is durable. `docs/storage-format.md` has the bytes.
//!
//! What is absent: no journal, no background work, and no list of free blocks in the file; opening
//! finds them by what is reachable.
//!
//! A save of few blocks writes them, and a record that names them, with one flush: checksums tell
//! afterwards whether all of it arrived. Now and then, and when much has changed, a checkpoint
//! writes tables instead, flushes, and switches to them by a header, of which there are two copies.

mod compaction;
mod format;
mod recover;
mod saving;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use lix_engine_protocol::{Error, Reason, Result};

use self::format::{
    BLOCK, Block, Entry, FAN_OUT, FIRST_BLOCK, Pointer, RECORD_ENTRIES, blocks_of, stamp_of,
};
use self::recover::{Found, Leftover, Stored, offset};
use self::space::Space;
use crate::image::{Image, Snapshot};
use crate::mutants::{Mutant, acts};
use crate::{Platform, StorageFile};

/// A file and what is known of it.
pub(crate) struct Store {
    file: Option<Box<dyn StorageFile>>,
    /// How long the file is, or was about to become.
    file_blocks: u32,
    origin: Origin,
    state: State,
    slots: Slots,
    /// The state before the header that is still to be written to the first slot.
    before: Option<Position>,
    space: Space,
    /// What only the header in the second slot leads to; free once that one is replaced.
    limbo: Vec<u32>,
    /// The header at the end of the file, while another program's file is taken over.
    tail: Option<u32>,
    /// Something in the file may not be durable though the state builds upon it.
    must_flush: bool,
    /// The place of the next record holds one whose content is not all there.
    is_followed: bool,
    /// The checksums of the records that may have come to the place of the next one.
    attempted: Vec<u64>,
    /// The image to be saved has nothing in common with what is stored.
    is_unrelated: bool,
    /// Compaction has done what it can.
    is_compact: bool,
}

/// A save that is under way. It holds its content, whatever is written to the image meanwhile.
pub(crate) struct Save {
    content: Content,
    image_len: u64,
    /// What the image no longer counts as changed.
    changed: Vec<u32>,
    /// What is to be written, in order.
    blocks: Vec<u32>,
    /// Where it was written, in the same order.
    entries: Vec<Entry>,
    /// Blocks of the file that are taken for this save only.
    taken: Vec<Range<u32>>,
    tables: Tables,
    kind: Kind,
    phase: Phase,
    bytes_written: u64,
    bytes_flushed: u64,
}

impl Store {
    /// Looks at what the file holds and writes nothing. No image: nothing was ever saved in it.
    /// What is found is durable, also if the process that wrote it died before it was.
    pub(crate) fn open(
        mut file: Box<dyn StorageFile>,
        platform: &dyn Platform,
    ) -> Result<(Self, Option<Image>)> {
        match recover::look(&mut *file)? {
            Found::Nothing => Ok((Self::unborn(file, platform)?, None)),
            Found::Other { why, .. } => Err(why),
            Found::Stored(stored) => {
                let image = recover::load(&mut *file, &stored.state)?;
                let mut store = Self::stored(file, *stored)?;
                store.flush_found()?;
                Ok((store, Some(image)))
            }
        }
    }

    /// A store that takes the place of whatever the file holds, also if that cannot be opened. It
    /// is kept until the first save has succeeded.
    pub(crate) fn replace(mut file: Box<dyn StorageFile>, platform: &dyn Platform) -> Result<Self> {
        let mut store = match recover::look(&mut *file)? {
            Found::Nothing => return Self::unborn(file, platform),
            Found::Stored(stored) => Self::stored(file, *stored)?,
            Found::Other { header, .. } => Self::foreign(file, header, platform)?,
        };
        store.is_unrelated = true;
        Ok(store)
    }

    /// Starts a save of the image as it is now, which must be the committed state.
    pub(crate) fn begin(&mut self, image: &mut Image) -> Save {
        let mut changed = image.take_changed();
        if self.is_unrelated || self.origin != Origin::Store {
            changed = (0..image.blocks()).collect();
        }
        let mut blocks = changed.clone();
        let mut kind = Kind::Record;
        if self.wants_compaction() && changed.len() < RECORD_ENTRIES {
            kind = Kind::Compaction;
            blocks.extend(self.blocks_to_move(&changed, image.blocks()));
            blocks.sort_unstable();
        }
        let is_large = changed.len() > RECORD_ENTRIES;
        let is_nothing = blocks.is_empty() && image.len() == self.state.image_len;
        if self.origin != Origin::Store || is_large || self.state.records.len() >= MAX_RECORDS {
            kind = if kind == Kind::Compaction { Kind::CompactTables } else { Kind::Checkpoint };
        } else if is_nothing && kind == Kind::Compaction && self.has_high_tables() {
            kind = Kind::CompactTables;
        } else if is_nothing {
            kind = Kind::Nothing;
        }
        let content = if is_large {
            Content::Frozen(image.snapshot())
        } else {
            let mut copy = Vec::with_capacity(blocks.len() * BLOCK);
            blocks.iter().for_each(|index| copy.extend_from_slice(image.block(*index)));
            Content::Copied(copy)
        };
        Save { content, changed, blocks, ..Save::new(kind, image.len()) }
    }

    /// Writes about so many bytes more; `true` once the save is stored. After an error the save is
    /// given to [`Store::abandon`].
    pub(crate) fn step(&mut self, save: &mut Save, budget: usize) -> Result<bool> {
        let enough = save.bytes_written.saturating_add(budget as u64);
        loop {
            match save.phase {
                Phase::Prepare => {
                    self.prepare(save)?;
                    save.phase = match save.kind {
                        Kind::Nothing => Phase::Tidy,
                        Kind::Record | Kind::Compaction => Phase::Record,
                        Kind::Checkpoint | Kind::CompactTables => Phase::Content,
                    };
                }
                Phase::Tidy => {
                    self.tidy()?;
                    return Ok(true);
                }
                Phase::Record => {
                    self.save_record(save)?;
                    return Ok(true);
                }
                Phase::Content if save.entries.len() < save.blocks.len() => {
                    self.write_content(save)?;
                }
                Phase::Content => {
                    self.plan_tables(save)?;
                    save.phase = Phase::Tables;
                }
                Phase::Tables if save.tables.next < save.tables.to_write.len() => {
                    self.write_pages(save)?;
                }
                Phase::Tables => {
                    self.write_roots(save)?;
                    self.trim()?;
                    save.phase = Phase::Flush;
                }
                Phase::Flush => {
                    if !acts(Mutant::EarlySwitch) {
                        self.flush()?;
                    }
                    save.phase = Phase::Switch;
                }
                Phase::Switch => {
                    self.switch(save)?;
                    return Ok(true);
                }
            }
            if save.bytes_written >= enough {
                return Ok(false);
            }
        }
    }

    /// Gives a save up: what it was to store counts as changed again.
    pub(crate) fn abandon(&mut self, save: Save, image: &mut Image) {
        image.put_changed(&save.changed);
        self.free_taken(save);
    }

    /// Makes the file ready to be put away, so that any later damage to it is noticed: the header
    /// leads to everything, no record follows, both copies are durable.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.origin != Origin::Store || self.is_unrelated {
            // Nothing was saved, and what is there stays as it is.
            return Ok(());
        }
        if !self.state.records.is_empty() {
            let mut save = Save::new(Kind::Checkpoint, self.state.image_len);
            let result = self.step(&mut save, usize::MAX);
            self.free_taken(save);
            result?;
        }
        if self.slots != Slots::Settled || self.is_followed {
            self.prepare(&mut Save::new(Kind::Nothing, self.state.image_len))?;
            self.flush()?;
        }
        if self.trim()? {
            self.flush()?;
        }
        Ok(())
    }

    /// Lets the file go. Saves fail until [`Store::resume`].
    pub(crate) fn release(&mut self) {
        self.file = None;
    }

    /// Takes the file again; `false` if somebody else has saved to it meanwhile, and nothing may be
    /// saved any more.
    pub(crate) fn resume(&mut self, mut file: Box<dyn StorageFile>) -> Result<bool> {
        let mut found = self.position().find(&mut *file)?;
        if let (None, Some(before)) = (&found, &self.before) {
            // The header whose writing failed was not stored.
            found = before.find(&mut *file)?;
        }
        let Some(AtPosition { is_followed }) = found else { return Ok(false) };
        self.is_followed |= is_followed;
        self.must_flush = true;
        self.file_blocks = file_blocks(&mut *file)?;
        self.file = Some(file);
        Ok(true)
    }
}

impl Save {
    /// How many bytes it has written so far.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    fn new(kind: Kind, image_len: u64) -> Self {
        Self {
            content: Content::Copied(vec![]),
            image_len,
            changed: vec![],
            blocks: vec![],
            entries: vec![],
            taken: vec![],
            tables: Tables::default(),
            kind,
            phase: Phase::Prepare,
            bytes_written: 0,
            bytes_flushed: 0,
        }
    }
}

/// What is stored, as of the last save.
struct State {
    id: [u8; 16],
    seq: u64,
    image_len: u64,
    /// Where each block of the image is, and its checksum; 0 is nowhere.
    files: Vec<u32>,
    sums: Vec<u64>,
    /// The table pages of the header, and the pages that list those.
    pages: Vec<Pointer>,
    roots: Vec<Pointer>,
    /// The table pages that saves since the header made out of date.
    stale: BTreeSet<u32>,
    /// Where the records since the header are.
    records: Vec<u32>,
    /// Where the next one will be.
    next: u32,
    header: Box<Block>,
    /// The checksum of the last record, or of the header.
    end: u64,
}

impl State {
    fn new(platform: &dyn Platform) -> Self {
        let mut id = [0; 16];
        platform.random(&mut id);
        Self {
            id,
            seq: 0,
            image_len: 0,
            files: vec![],
            sums: vec![],
            pages: vec![],
            roots: vec![],
            stale: BTreeSet::new(),
            records: vec![],
            next: 0,
            header: Box::new([0; BLOCK]),
            end: 0,
        }
    }

    /// Goes on to the state after a save, and says which blocks were replaced.
    fn apply(&mut self, image_len: u64, entries: &[Entry], replaced: &mut Vec<u32>) {
        let blocks = blocks_of(image_len) as usize;
        if blocks < self.files.len() {
            replaced.extend(self.files.drain(blocks..));
            self.sums.truncate(blocks);
            self.stale.insert((blocks / FAN_OUT) as u32);
            self.stale.split_off(&(blocks.div_ceil(FAN_OUT) as u32));
        }
        self.files.resize(blocks, 0);
        self.sums.resize(blocks, 0);
        for Entry { image, to } in entries {
            let index = *image as usize;
            let old = std::mem::replace(&mut self.files[index], to.block);
            replaced.extend(Some(old).filter(|old| *old != 0));
            self.sums[index] = to.sum;
            self.stale.insert(image / FAN_OUT as u32);
        }
        self.image_len = image_len;
    }
}

/// Enough to tell whether a file is still the one that was let go.
struct Position {
    /// The checksum of the header; 0 before there is one.
    header: u64,
    id: [u8; 16],
    seq: u64,
    end: u64,
    last_record: Option<u32>,
    next: u32,
    attempted: Vec<u64>,
}

/// A file is where it was let go.
struct AtPosition {
    /// A record follows whose content is not all there.
    is_followed: bool,
}

impl Position {
    /// Whether the file is in that state, and was not brought further by somebody else.
    fn find(&self, file: &mut dyn StorageFile) -> Result<Option<AtPosition>> {
        if recover::newest_header(file)?.unwrap_or(0) != self.header {
            return Ok(None);
        }
        if let Some(block) = self.last_record {
            let mut sum = [0; 8];
            let read = file.read(&mut sum, offset(block) + BLOCK as u64 - 8)?;
            if read < 8 || u64::from_le_bytes(sum) != self.end {
                return Ok(None);
            }
        }
        let after = (&self.id, self.seq, self.end);
        let Some((record, sum)) = recover::record_after(file, self.next, after)? else {
            return Ok(Some(AtPosition { is_followed: false }));
        };
        if !recover::is_complete(file, &record)? {
            return Ok(Some(AtPosition { is_followed: true }));
        }
        // A save of ours that seemed to fail may have been stored all the same. Then nobody may
        // have gone on from it.
        let after = (&record.id, record.seq, sum);
        let is_ours = self.attempted.contains(&sum)
            && recover::record_after(file, record.next, after)?.is_none();
        Ok(is_ours.then_some(AtPosition { is_followed: false }))
    }
}

/// What was in the file before the first save.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A store.
    Store,
    /// Nothing.
    Nothing,
    /// Something else, up to block `end`. If a slot holds the header of a store that is damaged
    /// elsewhere, the other one, `first_slot`, is overwritten first.
    Foreign { first_slot: Option<usize>, end: u32 },
}

/// How far the header of the current state has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slots {
    /// Both slots hold it, durably.
    Settled,
    /// The other slot does; this one may hold anything.
    Second { slot: usize, is_written: bool },
    /// Perhaps none does. The other slot still leads to the state before.
    First { slot: usize },
}

impl Slots {
    fn second(slot: usize) -> Self {
        Self::Second { slot, is_written: false }
    }
}

enum Content {
    /// The blocks to be written, one behind the other.
    Copied(Vec<u8>),
    Frozen(Snapshot),
}

impl Content {
    fn block(&self, position: usize, index: u32) -> &[u8] {
        match self {
            Self::Copied(bytes) => &bytes[position * BLOCK..][..BLOCK],
            Self::Frozen(snapshot) => snapshot.block(index),
        }
    }
}

/// The tables of a checkpoint.
#[derive(Default)]
struct Tables {
    to_write: Vec<u32>,
    /// How many of these are written.
    next: usize,
    pages: Vec<Pointer>,
    roots: Vec<Pointer>,
    next_record: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Record,
    /// A record that also moves blocks to the front.
    Compaction,
    Checkpoint,
    /// A checkpoint that moves tables to the front.
    CompactTables,
}

#[derive(Clone, Copy)]
enum Phase {
    Prepare,
    Tidy,
    Record,
    Content,
    Tables,
    Flush,
    Switch,
}

// Opening.
impl Store {
    fn unborn(file: Box<dyn StorageFile>, platform: &dyn Platform) -> Result<Self> {
        Self::new(file, State::new(platform), Origin::Nothing)
    }

    fn stored(file: Box<dyn StorageFile>, stored: Stored) -> Result<Self> {
        let Stored { state, slots, space, is_followed, tail } = stored;
        let mut store = Self::new(file, state, Origin::Store)?;
        (store.slots, store.space, store.is_followed) = (slots, space, is_followed);
        (store.tail, store.limbo) = (tail, tail.into_iter().collect());
        // A process may have died between writing and flushing what was just read.
        store.must_flush = true;
        Ok(store)
    }

    fn foreign(
        file: Box<dyn StorageFile>,
        header: Option<Leftover>,
        platform: &dyn Platform,
    ) -> Result<Self> {
        let mut state = State::new(platform);
        let mut first_slot = None;
        if let Some(Leftover { seq, slot, sum }) = header {
            // The damaged store's header counts until one with a higher number is durable in the
            // other slot.
            state.seq = seq;
            state.end = sum;
            state.header[BLOCK - 8..].copy_from_slice(&sum.to_le_bytes());
            first_slot = Some(1 - slot);
        }
        let mut store = Self::new(file, state, Origin::Nothing)?;
        let end = store.file_blocks.max(FIRST_BLOCK);
        store.origin = Origin::Foreign { first_slot, end };
        for block in FIRST_BLOCK..end {
            store.space.mark(block);
        }
        Ok(store)
    }

    fn new(mut file: Box<dyn StorageFile>, state: State, origin: Origin) -> Result<Self> {
        let file_blocks = file_blocks(&mut *file)?;
        let space = Space::with_slots();
        Ok(Self {
            file: Some(file),
            file_blocks,
            origin,
            state,
            slots: Slots::Settled,
            before: None,
            space,
            limbo: vec![],
            tail: None,
            must_flush: false,
            is_followed: false,
            attempted: vec![],
            is_unrelated: false,
            is_compact: false,
        })
    }

    fn position(&self) -> Position {
        Position {
            header: stamp_of(&self.state.header),
            id: self.state.id,
            seq: self.state.seq,
            end: self.state.end,
            last_record: self.state.records.last().copied(),
            next: self.state.next,
            attempted: self.attempted.clone(),
        }
    }
}

/// Rounded up: what does not fill a block belongs to somebody else.
fn file_blocks(file: &mut dyn StorageFile) -> Result<u32> {
    let blocks = blocks_of(file.len()?);
    u32::try_from(blocks).map_err(|_| {
        let message = format!("a file of {blocks} blocks is too large for this format");
        Error::new(Reason::ImageInvalid, message).subject("storage.path")
    })
}

/// A chain of records is read block by block when the file is opened.
const MAX_RECORDS: usize = 128;
