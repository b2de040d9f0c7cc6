//! A storage file and plugins that fail or die on request, and counts: what the conformance suite needs to
//! see where the engine cannot be trusted with it.

use std::cell::RefCell;
use std::rc::Rc;

use lix_engine_protocol::proto::{CrashPoint, FaultPoint};
use lix_engine_protocol::{Error, Reason, Result};

use crate::StorageFile;

/// What is planned, and what happened; shared between the session and its file.
#[derive(Clone, Default)]
pub(crate) struct Faults(Rc<RefCell<Plan>>);

#[derive(Default)]
struct Plan {
    writes: u64,
    failing: Vec<Failing>,
    crash: Option<CrashPoint>,
    is_crashed: bool,
}

struct Failing {
    point: FaultPoint,
    left: u32,
    error: Error,
}

impl Faults {
    /// The file, watched.
    pub(crate) fn watch(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(Watched { file, faults: self.clone() })
    }

    /// The next `count` operations at the point fail. Takes the place of an earlier order.
    pub(crate) fn inject(&self, point: FaultPoint, count: u32, error: Error) {
        let failing = &mut self.0.borrow_mut().failing;
        failing.retain(|earlier| earlier.point != point);
        failing.push(Failing { point, left: count, error });
    }

    /// From that point of the next save on, nothing reaches the file any more.
    pub(crate) fn crash_at(&self, point: CrashPoint) {
        self.0.borrow_mut().crash = Some(point);
    }

    pub(crate) fn is_crashed(&self) -> bool {
        self.0.borrow().is_crashed
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> u64 {
        self.0.borrow().writes
    }

    /// An operation at that point begins.
    pub(crate) fn pass(&self, point: FaultPoint) -> Result<()> {
        let mut plan = self.0.borrow_mut();
        if plan.is_crashed {
            return Err(crashed());
        }
        match plan.failing.iter_mut().find(|failing| failing.point == point && failing.left > 0) {
            Some(failing) => {
                failing.left -= 1;
                Err(failing.error.clone())
            }
            None => Ok(()),
        }
    }

    /// Whether the file is to die here.
    fn dies_at(&self, point: CrashPoint) -> bool {
        let mut plan = self.0.borrow_mut();
        let dies = plan.crash == Some(point);
        plan.is_crashed |= dies;
        dies
    }
}

struct Watched {
    file: Box<dyn StorageFile>,
    faults: Faults,
}

impl StorageFile for Watched {
    fn len(&mut self) -> Result<u64> {
        self.faults.pass(FaultPoint::PersistRead)?;
        self.file.len()
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.faults.pass(FaultPoint::PersistRead)?;
        self.file.read(buffer, offset)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        if self.faults.dies_at(CrashPoint::BeforeWrite) {
            return Err(crashed());
        }
        if self.faults.dies_at(CrashPoint::DuringWrite) {
            self.file.write(&bytes[..bytes.len() / 2], offset)?;
            return Err(crashed());
        }
        self.faults.pass(FaultPoint::PersistWrite)?;
        self.faults.0.borrow_mut().writes += 1;
        self.file.write(bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.faults.pass(FaultPoint::PersistWrite)?;
        self.file.truncate(len)
    }

    fn flush(&mut self) -> Result<()> {
        if self.faults.dies_at(CrashPoint::BeforeFlush) {
            return Err(crashed());
        }
        self.faults.pass(FaultPoint::PersistFlush)?;
        self.file.flush()?;
        if self.faults.dies_at(CrashPoint::AfterFlush) {
            return Err(crashed());
        }
        Ok(())
    }
}

fn crashed() -> Error {
    Error::new(Reason::StorageFailed, "the session is dead, as it was told to be")
}
