//! A disk that remembers what was flushed and what was not, and can show what a power cut would
//! leave at any moment: the flushed content, and of the rest some operations in any order, each
//! whole or torn, or none.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Error, Reason, Result, StorageFile};

/// One file. Clones are the same file.
#[derive(Clone, Default)]
pub(crate) struct Disk(Rc<RefCell<Inner>>);

/// What happens to an operation that is about to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    /// Fails; of a write or a flush a part may have been carried out.
    Fails,
    /// Fails, and what was not flushed will never be, whatever later flushes say.
    FailsForGood,
    /// Fails for want of room, before anything is done.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    Truncate,
    Flush,
    /// A flush whose last write was to the beginning of the file.
    FlushOfStart,
}

/// A source of chance that repeats itself for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

#[derive(Default)]
struct Inner {
    durable: Vec<u8>,
    /// What reads see.
    current: Vec<u8>,
    pending: Vec<Pending>,
    /// Decides what becomes of an operation.
    fate: Option<Box<dyn FnMut(Step) -> Fate>>,
    /// Is shown the disk after every operation, and before a flush takes effect.
    observer: Option<Observer>,
    chance: Chance,
    operations: u64,
}

type Observer = Box<dyn FnMut(&Power)>;

/// The disk as a power cut would find it.
pub(crate) struct Power<'a> {
    durable: &'a [u8],
    pending: &'a [Pending],
}

#[derive(Clone)]
enum Pending {
    Write { offset: usize, bytes: Rc<[u8]> },
    Truncate { len: usize },
}

impl Disk {
    pub(crate) fn with_content(content: Vec<u8>, seed: u64) -> Self {
        let inner = Inner {
            durable: content.clone(),
            current: content,
            chance: Chance::new(seed),
            ..Inner::default()
        };
        Self(Rc::new(RefCell::new(inner)))
    }

    pub(crate) fn file(&self) -> Box<dyn StorageFile> {
        Box::new(self.clone())
    }

    pub(crate) fn set_fate(&self, fate: impl FnMut(Step) -> Fate + 'static) {
        self.0.borrow_mut().fate = Some(Box::new(fate));
    }

    pub(crate) fn observe(&self, observer: impl FnMut(&Power) + 'static) {
        self.0.borrow_mut().observer = Some(Box::new(observer));
    }

    /// From now on everything works and nobody looks.
    pub(crate) fn calm(&self) {
        let mut inner = self.0.borrow_mut();
        inner.fate = None;
        inner.observer = None;
    }

    /// What reads see: what the death of the process alone leaves.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.0.borrow().current.clone()
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Damages what reads see.
    pub(crate) fn flip(&self, bit: usize) {
        self.0.borrow_mut().current[bit / 8] ^= 1 << (bit % 8);
    }

    /// What a power cut at this moment leaves.
    pub(crate) fn cut(&self, chance: &mut Chance) -> Vec<u8> {
        self.0.borrow().power().cut(chance)
    }
}

impl Power<'_> {
    /// What a power cut leaves; which of the unflushed operations is left to chance.
    pub(crate) fn cut(&self, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.durable.to_vec();
        let mut chosen: Vec<&Pending> = match chance.below(8) {
            0 => vec![],
            1 => self.pending.iter().collect(),
            // In order, up to a point.
            2 => self.pending[..chance.below(self.pending.len() + 1)].iter().collect(),
            // All but one.
            3 if !self.pending.is_empty() => {
                let missing = chance.below(self.pending.len());
                let rest = self.pending.iter().enumerate().filter(|(at, _)| *at != missing);
                rest.map(|(_, operation)| operation).collect()
            }
            _ => self.pending.iter().filter(|_| chance.below(2) == 0).collect(),
        };
        if chance.below(2) == 0 {
            for at in (1..chosen.len()).rev() {
                chosen.swap(at, chance.below(at + 1));
            }
        }
        let torn = match chance.below(4) {
            0 => None,
            // The last one, as if it had been under way.
            1 => chosen.len().checked_sub(1).map(|last| last..last + 1),
            2 if !chosen.is_empty() => {
                let at = chance.below(chosen.len());
                Some(at..at + 1)
            }
            _ => Some(0..chosen.len()),
        };
        for (at, operation) in chosen.into_iter().enumerate() {
            if torn.as_ref().is_some_and(|torn| torn.contains(&at)) {
                operation.carry_out_partly(&mut content, chance);
            } else {
                operation.carry_out(&mut content);
            }
        }
        content
    }
}

impl StorageFile for Disk {
    fn len(&mut self) -> Result<u64> {
        Ok(self.0.borrow().current.len() as u64)
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let inner = self.0.borrow();
        let rest = inner.current.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let fate = self.fate_of(Step::Write);
        let offset = offset as usize;
        let mut inner = self.0.borrow_mut();
        let bytes = match fate {
            Fate::Works => bytes,
            Fate::Full => return Err(full()),
            Fate::Fails | Fate::FailsForGood => {
                let count = inner.chance.below(bytes.len() + 1);
                &bytes[..count]
            }
        };
        inner.add(Pending::Write { offset, bytes: bytes.into() });
        drop(inner);
        self.show();
        if fate == Fate::Works { Ok(()) } else { Err(failed()) }
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        match self.fate_of(Step::Truncate) {
            Fate::Works => {}
            Fate::Full => return Err(full()),
            Fate::Fails | Fate::FailsForGood => return Err(failed()),
        }
        self.0.borrow_mut().add(Pending::Truncate { len: len as usize });
        self.show();
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let step = match self.0.borrow().pending.last() {
            Some(Pending::Write { offset: 0..START, .. }) => Step::FlushOfStart,
            _ => Step::Flush,
        };
        let fate = self.fate_of(step);
        self.show();
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        match fate {
            Fate::Works => inner.pending.iter().for_each(|done| done.carry_out(&mut inner.durable)),
            Fate::Full => return Err(full()),
            Fate::Fails => return Err(failed()),
            Fate::FailsForGood => {
                let durable = Power { durable: &inner.durable, pending: &inner.pending }
                    .cut(&mut inner.chance);
                inner.durable = durable;
            }
        }
        inner.pending.clear();
        if fate == Fate::Works { Ok(()) } else { Err(failed()) }
    }
}

impl Disk {
    fn fate_of(&self, step: Step) -> Fate {
        let mut inner = self.0.borrow_mut();
        inner.operations += 1;
        inner.fate.as_mut().map_or(Fate::Works, |fate| fate(step))
    }

    fn show(&self) {
        let inner = &mut *self.0.borrow_mut();
        if let Some(observer) = &mut inner.observer {
            observer(&Power { durable: &inner.durable, pending: &inner.pending });
        }
    }
}

impl Inner {
    fn power(&self) -> Power<'_> {
        Power { durable: &self.durable, pending: &self.pending }
    }

    fn add(&mut self, operation: Pending) {
        operation.carry_out(&mut self.current);
        self.pending.push(operation);
    }
}

impl Pending {
    fn carry_out(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Truncate { len } => content.resize(*len, 0),
        }
    }

    /// A beginning of it, or some of its sectors.
    fn carry_out_partly(&self, content: &mut Vec<u8>, chance: &mut Chance) {
        let Self::Write { offset, bytes } = self else { return self.carry_out(content) };
        if chance.below(2) == 0 {
            return put(content, *offset, &bytes[..chance.below(bytes.len() + 1)]);
        }
        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
            if chance.below(2) == 0 {
                put(content, offset + index * SECTOR, sector);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new(0)
    }
}

fn failed() -> Error {
    Error::new(Reason::StorageFailed, "the simulated disk failed")
}

fn full() -> Error {
    Error::new(Reason::StorageQuota, "the simulated disk is full")
}

const SECTOR: usize = 512;
const START: usize = 8192;
