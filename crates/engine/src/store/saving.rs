//! The parts of a save, in the order in which they happen.

use std::collections::BTreeSet;

use lix_engine_protocol::{Error, Reason, Result};

use super::format::{
    BLOCK, Block, Entry, FAN_OUT, FIRST_BLOCK, HEADER_ROOTS, Header, Place, Pointer, Record,
    blocks_of, checksum, creation, encode_page, stamp_of,
};
use super::recover::offset;
use super::{Content, Kind, Origin, Save, Slots, Store, Tables};
use crate::StorageFile;
use crate::mutants::{Mutant, acts};

impl Store {
    /// Before anything is written: what earlier saves, or an earlier process, left to be done.
    pub(super) fn prepare(&mut self, save: &mut Save) -> Result<()> {
        self.flush_found()?;
        if self.is_followed {
            // Content that is written now could complete it.
            self.write(save, self.state.next, &[0; BLOCK])?;
            self.flush()?;
            self.is_followed = false;
        }
        if self.origin == Origin::Nothing {
            let creation = creation();
            self.write(save, 0, &*creation)?;
            self.write(save, 1, &*creation)?;
            self.flush()?;
        }
        if let Slots::First { slot } = self.slots {
            self.write_first(save, slot)?;
        }
        if let Slots::Second { slot, is_written: false } = self.slots {
            self.write_second(save, slot)?;
        }
        Ok(())
    }

    /// Makes durable what was found in the file.
    pub(super) fn flush_found(&mut self) -> Result<()> {
        if self.must_flush && !acts(Mutant::TrustRecovered) {
            self.flush()?;
        }
        self.must_flush = false;
        Ok(())
    }

    /// A save of what is stored already.
    pub(super) fn tidy(&mut self) -> Result<()> {
        let is_trimmed = self.trim()?;
        if is_trimmed || self.slots != Slots::Settled {
            self.flush()?;
        } else {
            self.is_compact = true;
        }
        Ok(())
    }

    /// A small save: its blocks and a record of them, made durable together.
    pub(super) fn save_record(&mut self, save: &mut Save) -> Result<()> {
        if acts(Mutant::EarlyReuse) {
            self.free_early(save);
        }
        let mut places = self.take(save, save.blocks.len() + 1);
        let next = places.pop().expect("a place for the next record");
        save.entries = save.entries_at(&places);
        let record = Record {
            id: self.state.id,
            seq: self.state.seq + 1,
            image_len: save.image_len,
            previous: self.state.end,
            next,
            entries: save.entries.clone(),
        };
        let record = record.encode();
        let end = stamp_of(&record);
        self.attempted.push(end);

        let content = std::mem::replace(&mut save.content, Content::Copied(vec![]));
        let mut writes: Vec<(u32, &[u8])> = save
            .entries
            .iter()
            .enumerate()
            .map(|(position, entry)| (entry.to.block, content.block(position, entry.image)))
            .collect();
        if acts(Mutant::RecordBeforePages) {
            self.write_all(save, vec![(self.state.next, &record[..])])?;
            self.flush()?;
            self.write_all(save, writes)?;
        } else {
            writes.push((self.state.next, &record[..]));
            self.write_all(save, writes)?;
            if acts(Mutant::EarlyTrim) {
                self.trim_early(save)?;
            }
            self.trim()?;
            self.flush()?;
        }

        save.taken.clear();
        let mut freed = Vec::new();
        self.state.apply(save.image_len, &save.entries, &mut freed);
        self.state.records.push(self.state.next);
        (self.state.next, self.state.end) = (next, end);
        self.state.seq += 1;
        self.free(freed);
        self.saved();
        Ok(())
    }

    /// A piece of a checkpoint's content.
    pub(super) fn write_content(&mut self, save: &mut Save) -> Result<()> {
        if acts(Mutant::EarlyReuse) && save.entries.is_empty() {
            self.free_early(save);
        }
        let start = save.entries.len();
        let places = self.take(save, (save.blocks.len() - start).min(PIECE_BLOCKS));
        let entries = save.entries_at(&places);
        let content = std::mem::replace(&mut save.content, Content::Copied(vec![]));
        let writes = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.to.block, content.block(start + at, entry.image)))
            .collect();
        let written = self.write_all(save, writes);
        save.content = content;
        save.entries.extend(entries);
        written?;
        if save.bytes_written - save.bytes_flushed >= FLUSH_BYTES {
            // One flush of everything in the end would keep requests waiting for long.
            self.flush()?;
            save.bytes_flushed = save.bytes_written;
        }
        Ok(())
    }

    pub(super) fn plan_tables(&mut self, save: &mut Save) -> Result<()> {
        let blocks = blocks_of(save.image_len) as usize;
        let page_count = blocks.div_ceil(FAN_OUT);
        if page_count.div_ceil(FAN_OUT) > HEADER_ROOTS {
            let message = format!("an image of {} bytes is too large to store", save.image_len);
            return Err(Error::new(Reason::StorageFailed, message));
        }
        let mut to_write: BTreeSet<u32> = self.state.stale.clone();
        to_write.extend(save.entries.iter().map(|entry| entry.image / FAN_OUT as u32));
        if blocks < self.state.files.len() {
            to_write.insert((blocks / FAN_OUT) as u32);
        }
        if save.kind == Kind::CompactTables {
            let target = self.compaction_target();
            let pages = self.state.pages.iter().zip(0..);
            to_write.extend(pages.filter(|(page, _)| page.block >= target).map(|(_, at)| at));
        }
        let to_write = to_write.into_iter().filter(|page| (*page as usize) < page_count);
        let mut pages = self.state.pages.clone();
        pages.resize(page_count, Pointer::default());
        let next_record = self.take(save, 1)[0];
        let (to_write, roots) = (to_write.collect(), vec![]);
        save.tables = Tables { to_write, next: 0, pages, roots, next_record };
        Ok(())
    }

    pub(super) fn write_pages(&mut self, save: &mut Save) -> Result<()> {
        let first = save.tables.next;
        let count = (save.tables.to_write.len() - first).min(PIECE_BLOCKS);
        let places = self.take(save, count);
        let numbers = &save.tables.to_write[first..first + count];
        let pages: Vec<Box<Block>> =
            numbers.iter().map(|page| encode_page(&self.pointers_of_page(save, *page))).collect();
        for ((number, place), page) in numbers.iter().zip(&places).zip(&pages) {
            let sum = checksum(&page[..]);
            save.tables.pages[*number as usize] = Pointer { block: *place, sum };
        }
        save.tables.next += count;
        self.write_all(save, places.into_iter().zip(pages.iter().map(|page| &page[..])).collect())
    }

    /// What a table page holds after the save.
    fn pointers_of_page(&self, save: &Save, page: u32) -> Vec<Pointer> {
        let first = page as usize * FAN_OUT;
        let end = (first + FAN_OUT).min(blocks_of(save.image_len) as usize);
        let old = first.min(self.state.files.len())..end.min(self.state.files.len());
        let files = self.state.files[old.clone()].iter().copied();
        let mut pointers: Vec<Pointer> = files
            .zip(self.state.sums[old].iter().copied())
            .map(|(block, sum)| Pointer { block, sum })
            .collect();
        pointers.resize(end - first, Pointer::default());
        let from = save.entries.partition_point(|entry| (entry.image as usize) < first);
        for entry in &save.entries[from..] {
            match pointers.get_mut(entry.image as usize - first) {
                Some(pointer) => *pointer = entry.to,
                None => break,
            }
        }
        pointers
    }

    pub(super) fn write_roots(&mut self, save: &mut Save) -> Result<()> {
        let roots: Vec<Box<Block>> = save.tables.pages.chunks(FAN_OUT).map(encode_page).collect();
        let places = self.take(save, roots.len());
        let pointers = places.iter().zip(&roots);
        save.tables.roots = pointers
            .map(|(block, root)| Pointer { block: *block, sum: checksum(&root[..]) })
            .collect();
        self.write_all(save, places.into_iter().zip(roots.iter().map(|root| &root[..])).collect())
    }

    /// The last part of a checkpoint: everything but the header is durable.
    pub(super) fn switch(&mut self, save: &mut Save) -> Result<()> {
        let header = Header {
            id: self.state.id,
            seq: self.state.seq + 1,
            image_len: save.image_len,
            next: save.tables.next_record,
            roots: save.tables.roots.clone(),
        };
        let origin = self.origin;
        if let Origin::Foreign { first_slot: None, .. } = origin {
            self.write_tail(save, &header)?;
        }

        if acts(Mutant::ForgetSwitch) {
            self.write(save, 0, &header.encode(Place::Slot)[..])?;
            self.flush()?;
        }

        // From here on it is not known which of the two states a power cut would leave. The new
        // one counts, and all that the old one needs stays in place until the new one is durable.
        save.taken.clear();
        let before = self.position();
        let mut replaced = std::mem::take(&mut self.state.records);
        let mut is_kept = vec![true; self.state.pages.len()];
        for page in &save.tables.to_write {
            if let Some(is_kept) = is_kept.get_mut(*page as usize) {
                *is_kept = false;
            }
        }
        is_kept.iter_mut().skip(save.tables.pages.len()).for_each(|is_kept| *is_kept = false);
        let gone = self.state.pages.iter().zip(is_kept).filter(|(_, is_kept)| !is_kept);
        replaced.extend(gone.map(|(page, _)| page.block));
        replaced.extend(self.state.roots.iter().map(|root| root.block));
        replaced.extend(Some(self.state.next).filter(|next| *next != 0));
        self.state.apply(save.image_len, &save.entries, &mut replaced);
        if let Origin::Foreign { end, .. } = origin {
            replaced.extend(FIRST_BLOCK..end);
        }
        self.state.stale.clear();
        self.state.pages = std::mem::take(&mut save.tables.pages);
        self.state.roots = header.roots.clone();
        (self.state.seq, self.state.next) = (header.seq, header.next);
        self.state.header = header.encode(Place::Slot);
        self.state.end = stamp_of(&self.state.header);
        self.limbo.extend(replaced);
        let slot = match origin {
            Origin::Foreign { first_slot, .. } => first_slot.unwrap_or(0),
            Origin::Store | Origin::Nothing => 0,
        };
        self.slots = Slots::First { slot };
        self.before = Some(before);
        self.origin = Origin::Store;
        self.saved();

        if acts(Mutant::OneHeader) {
            self.write_second(save, 1 - slot)?;
        }
        self.write_first(save, slot)?;
        if let Slots::Second { slot, .. } = self.slots {
            let written = self.write_second(save, slot);
            if origin != Origin::Store {
                // A second slot that holds anything else means that nothing was ever saved.
                written?;
                self.flush()?;
            }
            // Otherwise the next save repeats what did not work; this one is stored.
        }
        Ok(())
    }

    /// Makes a state durable by a header behind everything, while the slots still hold what another
    /// program wrote.
    fn write_tail(&mut self, save: &mut Save, header: &Header) -> Result<()> {
        let block = self.space.end().max(self.file_blocks);
        self.space.mark(block);
        save.taken.push(block..block + 1);
        self.write(save, block, &header.encode(Place::Tail)[..])?;
        self.flush()?;
        self.tail = Some(block);
        self.limbo.push(block);
        Ok(())
    }

    fn write_first(&mut self, save: &mut Save, slot: usize) -> Result<()> {
        let header = self.state.header.clone();
        self.write(save, slot as u32, &header[..])?;
        self.flush()?;
        self.before = None;
        self.slots = Slots::second(1 - slot);
        Ok(())
    }

    fn write_second(&mut self, save: &mut Save, slot: usize) -> Result<()> {
        let header = self.state.header.clone();
        self.write(save, slot as u32, &header[..])?;
        self.slots = Slots::Second { slot, is_written: true };
        Ok(())
    }

    fn saved(&mut self) {
        self.attempted.clear();
        self.is_unrelated = false;
        self.is_compact = false;
    }

    /// Cuts off the end of the file if much of it is unused.
    pub(super) fn trim(&mut self) -> Result<bool> {
        if self.must_flush {
            // Perhaps the durable state is another one.
            return Ok(false);
        }
        let end = self.space.end();
        let unused = self.file_blocks.saturating_sub(end);
        if unused < TRIM_BLOCKS || unused < self.file_blocks / 16 {
            return Ok(false);
        }
        self.file()?.truncate(offset(end))?;
        self.file_blocks = end;
        Ok(true)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if !acts(Mutant::NoFlush) {
            let flushed = self.file()?.flush();
            if flushed.is_err() {
                // Some systems forget what they could not write.
                if let Slots::Second { is_written, .. } = &mut self.slots {
                    *is_written = false;
                }
                return flushed;
            }
        }
        if let Slots::Second { is_written: true, .. } = self.slots {
            self.slots = Slots::Settled;
            self.release_limbo();
        }
        Ok(())
    }

    fn release_limbo(&mut self) {
        let limbo = std::mem::take(&mut self.limbo);
        self.free(limbo);
        if let Some(block) = self.tail.take()
            && let Some(file) = &mut self.file
        {
            // It would count again if both slots were damaged. That it is gone is not vital.
            let _ = file.write(&[0; BLOCK], offset(block));
        }
    }

    /// Gives back what a save took and did not come to use.
    pub(super) fn free_taken(&mut self, save: Save) {
        self.free(save.taken.into_iter().flatten());
    }

    fn free(&mut self, blocks: impl IntoIterator<Item = u32>) {
        for block in blocks {
            if !acts(Mutant::EarlyReuse) || self.space.is_used(block) {
                self.space.free(block);
            }
        }
    }

    /// Takes blocks of the file for a save.
    fn take(&mut self, save: &mut Save, count: usize) -> Vec<u32> {
        if count == 0 {
            return vec![];
        }
        let count = count as u32;
        let runs = match save.kind {
            Kind::Compaction | Kind::CompactTables => self.space.take_lowest(count),
            _ => self.space.take(count),
        };
        save.taken.extend(runs.iter().cloned());
        runs.into_iter().flatten().collect()
    }

    /// Writes blocks, neighbours at once.
    fn write_all(&mut self, save: &mut Save, mut blocks: Vec<(u32, &[u8])>) -> Result<()> {
        blocks.sort_unstable_by_key(|(place, _)| *place);
        let mut buffer = Vec::new();
        for run in blocks.chunk_by(|(one, _), (other, _)| one + 1 == *other) {
            match run {
                [(place, bytes)] => self.write(save, *place, bytes)?,
                _ => {
                    buffer.clear();
                    run.iter().for_each(|(_, bytes)| buffer.extend_from_slice(bytes));
                    self.write(save, run[0].0, &buffer)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, save: &mut Save, place: u32, bytes: &[u8]) -> Result<()> {
        let end = place + (bytes.len() / BLOCK) as u32;
        self.file_blocks = self.file_blocks.max(end);
        save.bytes_written += bytes.len() as u64;
        self.file()?.write(bytes, offset(place))
    }

    fn file(&mut self) -> Result<&mut dyn StorageFile> {
        match &mut self.file {
            Some(file) => Ok(&mut **file),
            None => Err(Error::new(Reason::StorageFailed, "the storage is let go")),
        }
    }

    /// As if what the save replaces were free before the save is durable.
    fn trim_early(&mut self, save: &Save) -> Result<()> {
        let replaced: Vec<u32> = save
            .entries
            .iter()
            .filter_map(|entry| self.state.files.get(entry.image as usize).copied())
            .collect();
        self.free(replaced.iter().copied());
        self.trim()?;
        for block in replaced {
            self.space.mark(block);
        }
        Ok(())
    }

    fn free_early(&mut self, save: &Save) {
        for index in &save.blocks {
            if let Some(block) = self.state.files.get(*index as usize)
                && self.space.is_used(*block)
            {
                self.space.free(*block);
            }
        }
    }
}

impl Save {
    /// The next blocks of it, at these places.
    fn entries_at(&self, places: &[u32]) -> Vec<Entry> {
        let start = self.entries.len();
        let entry = |(at, (place, image)): (usize, (&u32, &u32))| {
            let sum = checksum(self.content.block(start + at, *image));
            Entry { image: *image, to: Pointer { block: *place, sum } }
        };
        places.iter().zip(&self.blocks[start..]).enumerate().map(entry).collect()
    }
}

/// How much is written at a time.
const PIECE_BLOCKS: usize = 256;
/// How much a large save leaves unflushed.
const FLUSH_BYTES: u64 = 8 << 20;
/// Less than that at the end of the file is worth keeping.
const TRIM_BLOCKS: u32 = 64;
