//! Keeps one database in one store: which commit is saved, whether a save is under way, when the
//! next one is due.
//!
//! Guarantees: a save contains exactly the commits up to the one it names; one save runs at a time;
//! `saved_seq` is never ahead of what is flushed. A save is begun outside of transactions only; once
//! begun it holds its content and goes on whatever the session does.
//!
//! A file that has become mostly empty is made smaller by a few saves of nothing in quiet moments,
//! of which nobody is told.

use lix_engine_protocol::proto::{AutosaveEvent, AutosavePhase, AutosavePolicy, StorageKind};
use lix_engine_protocol::{Error, Reason, Result};

use crate::StorageFile;
use crate::autosave::{Autosave, Policy};
use crate::database::Database;
use crate::store::{Save, Store};

/// See the module.
pub(crate) struct Persistence {
    pub(crate) kind: StorageKind,
    pub(crate) path: String,
    /// The answer to a statement that commits waits for a save.
    pub(crate) is_strict: bool,
    store: Store,
    autosave: Autosave,
    running: Option<Running>,
    /// When the file is to be made smaller, if nothing is saved until then.
    tidy_ms: Option<u64>,
    pause_ms: u64,
    saved_seq: u64,
    /// The content the session started with is not stored yet.
    is_new: bool,
    /// The session has written to the store.
    has_saved: bool,
    is_suspended: bool,
}

struct Running {
    save: Save,
    commit_seq: u64,
    /// Nothing new is in it.
    is_silent: bool,
}

/// Who wants to know how saving goes.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(AutosaveEvent);

impl Persistence {
    /// A store that holds what the database holds now, or, if `is_new`, does not yet.
    pub(crate) fn new(
        (kind, path): (StorageKind, String),
        store: Store,
        policy: AutosavePolicy,
        is_strict: bool,
        is_new: bool,
    ) -> Self {
        let or = |value: u32, default: u64| if value == 0 { default } else { value.into() };
        let policy = Policy {
            is_disabled: policy.disabled,
            debounce_ms: or(policy.debounce_ms, DEBOUNCE_MS),
            max_delay_ms: or(policy.max_delay_ms, MAX_DELAY_MS),
        };
        Self {
            kind,
            path,
            is_strict,
            store,
            autosave: Autosave::new(policy),
            running: None,
            tidy_ms: None,
            pause_ms: policy.debounce_ms,
            saved_seq: 0,
            is_new,
            has_saved: false,
            is_suspended: false,
        }
    }

    /// The newest commit that is stored.
    pub(crate) fn saved_seq(&self) -> u64 {
        self.saved_seq
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// A save is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// When a save is to be begun.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let may_begin = self.running.is_none() && !self.is_suspended;
        let tidy_ms = self.tidy_ms.filter(|_| !self.autosave.is_disabled());
        self.autosave.due_ms().or(tidy_ms).filter(|_| may_begin)
    }

    /// To be called after each commit.
    pub(crate) fn committed(&mut self, commit_seq: u64, now_ms: u64, tell: Listener<'_>) {
        if self.autosave.committed(now_ms) {
            tell(event(AutosavePhase::Scheduled, commit_seq));
        }
    }

    /// Begins a save of what is committed. No transaction has written anything, no save runs.
    pub(crate) fn begin(&mut self, database: &Database, tell: Listener<'_>) {
        debug_assert!(self.running.is_none());
        let is_silent = !self.is_unsaved(database);
        self.autosave.started();
        self.tidy_ms = None;
        let save = self.store.begin(&mut database.image_mut());
        let commit_seq = database.commit_seq();
        self.running = Some(Running { save, commit_seq, is_silent });
        if !is_silent {
            tell(event(AutosavePhase::Started, commit_seq));
        }
    }

    /// A part of the running save, if there is one; an error if it failed for good.
    pub(crate) fn slice(
        &mut self,
        database: &Database,
        now_ms: u64,
        bytes: usize,
        tell: Listener<'_>,
    ) -> Result<()> {
        let Some(Running { save, commit_seq, is_silent }) = &mut self.running else {
            return Ok(());
        };
        let (commit_seq, is_silent) = (*commit_seq, *is_silent);
        match self.store.step(save, bytes) {
            Ok(false) => Ok(()),
            Ok(true) => {
                let bytes = save.bytes_written();
                self.running = None;
                self.saved_seq = commit_seq;
                self.is_new = false;
                self.has_saved = true;
                self.tidy_ms = self.store.wants_compaction().then_some(now_ms + self.pause_ms);
                if !is_silent {
                    self.autosave.saved();
                    tell(AutosaveEvent { bytes, ..event(AutosavePhase::Saved, commit_seq) });
                }
                Ok(())
            }
            Err(error) => {
                if let Some(Running { save, .. }) = self.running.take() {
                    self.store.abandon(save, &mut database.image_mut());
                }
                if is_silent {
                    // Nothing is lost; the next save goes on with it.
                    return Ok(());
                }
                self.autosave.failed(now_ms);
                let told = Some(error.clone().into());
                tell(AutosaveEvent { error: told, ..event(AutosavePhase::Failed, commit_seq) });
                Err(error)
            }
        }
    }

    /// Finishes the running save and saves what it does not contain. Inside a transaction only the
    /// running save is finished.
    pub(crate) fn save_now(
        &mut self,
        database: &Database,
        now_ms: u64,
        tell: Listener<'_>,
    ) -> Result<()> {
        if database.link.in_transaction() {
            return self.finish(database, now_ms, tell);
        }
        self.save_committed(database, now_ms, tell)
    }

    /// Like [`Persistence::save_now`], for a transaction that has only just been opened and has
    /// written nothing yet.
    pub(crate) fn save_committed(
        &mut self,
        database: &Database,
        now_ms: u64,
        tell: Listener<'_>,
    ) -> Result<()> {
        let mut result = self.finish(database, now_ms, tell);
        if self.is_unsaved(database) {
            self.begin(database, tell);
            result = self.finish(database, now_ms, tell);
        }
        result
    }

    /// Something committed is not stored.
    pub(crate) fn is_unsaved(&self, database: &Database) -> bool {
        self.is_new || self.saved_seq < database.commit_seq()
    }

    /// Puts the store away for good. Who has only looked leaves it as it was: it may belong to a
    /// suspended session.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.is_suspended || !self.has_saved { Ok(()) } else { self.store.seal() }
    }

    /// Lets the file go.
    pub(crate) fn suspend(&mut self, database: &Database, now_ms: u64, tell: Listener<'_>) {
        // What does not work now is not lost: it is tried again after resume.
        let _ = self.save_now(database, now_ms, tell);
        self.store.release();
        self.is_suspended = true;
    }

    /// Takes the file again.
    pub(crate) fn resume(&mut self, file: Box<dyn StorageFile>) -> Result<()> {
        match self.store.resume(file) {
            Ok(true) => {
                self.is_suspended = false;
                Ok(())
            }
            Ok(false) => {
                let message = "another engine saved to the storage while it was let go";
                Err(Error::new(Reason::StorageLost, message).subject(self.path.clone()))
            }
            Err(error) => {
                self.store.release();
                Err(error)
            }
        }
    }

    /// Finishes the running save, if there is one.
    pub(crate) fn finish(
        &mut self,
        database: &Database,
        now_ms: u64,
        tell: Listener<'_>,
    ) -> Result<()> {
        while self.is_running() {
            self.slice(database, now_ms, usize::MAX, tell)?;
        }
        Ok(())
    }
}

fn event(phase: AutosavePhase, commit_seq: u64) -> AutosaveEvent {
    AutosaveEvent { phase: phase.into(), commit_seq, bytes: 0, error: None }
}

const DEBOUNCE_MS: u64 = 300;
const MAX_DELAY_MS: u64 = 2_000;
