//! Saves as a session sees them: when they run, who waits for them, whom they are told to.

use lix_engine_protocol::proto::{
    AutosaveEvent, ExportResponse, ResumeResponse, SaveResponse, SuspendResponse, event, response,
};
use lix_engine_protocol::{Error, Outcome, Reason, Result};

use super::{
    Effect, Held, HeldAnswer, Phase, Reports, Session, Sink, StorageRequest, send_answer,
    send_event,
};
use crate::StorageFile;
use crate::database::Database;
use crate::persistence::{Listener, Persistence};

impl Session {
    /// Tells of a commit, and starts the time of its save.
    pub(super) fn committed(&mut self, sink: Sink<'_>) {
        let max_bytes = self.options.limits.max_result_bytes as usize;
        let Phase::Ready(ready) = &mut self.phase else { return };
        let (reports, commit_seq) = (ready.reports, ready.database.commit_seq());
        if reports.commits {
            let commit = ready.database.commit_event(reports.detail, max_bytes);
            match self.held.is_empty() {
                true => send_event(&mut self.last_event_seq, event::Kind::Commit(commit), sink),
                false => self.held.push(Held::Commit(commit)),
            }
        }
        self.with_store(sink, |persistence, _, now_ms, tell| {
            persistence.committed(commit_seq, now_ms, tell);
        });
    }

    /// Begins a save that is due, or goes on with the one that is under way.
    pub(super) fn save_some(&mut self, sink: Sink<'_>) {
        let is_due = self.is_due();
        self.with_store(sink, |persistence, database, now_ms, tell| {
            if is_due {
                persistence.begin(database, tell);
            }
            let _ = persistence.slice(database, now_ms, SLICE_BYTES, tell);
        });
        self.died(sink);
    }

    /// When the next save is due; never inside a transaction.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let Phase::Ready(ready) = &self.phase else { return None };
        let persistence = ready.persistence.as_ref()?;
        persistence.due_ms().filter(|_| !ready.database.link.in_transaction())
    }

    pub(super) fn export(&mut self, id: u32, sink: Sink<'_>) {
        let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
        let result = ready.database.export();
        let commit_seq = ready.database.commit_seq();
        if result.is_ok() {
            // Its failure is told by an event; the image is good all the same.
            self.save_to_end(sink);
        }
        match result {
            Ok(snapshot) => {
                let response = ExportResponse { image_attachment: 0, commit_seq };
                let outcome = Outcome::Plain(response::Outcome::Export(response));
                self.answer_in_turn(id, outcome, vec![snapshot], false, sink);
            }
            Err(error) => {
                let outcome = Outcome::Plain(response::Outcome::Error(error.into()));
                self.answer_in_turn(id, outcome, vec![], false, sink);
            }
        }
    }

    pub(super) fn save(&mut self, sink: Sink<'_>) -> Result<Outcome> {
        let saved = self.with_store(sink, |persistence, database, now_ms, tell| {
            if database.link.in_transaction() {
                let message = "a transaction is open; its half cannot be saved";
                return Err(Error::new(Reason::InTransaction, message));
            }
            persistence.save_now(database, now_ms, tell)?;
            let response = SaveResponse { saved_seq: persistence.saved_seq() };
            Ok(Outcome::Plain(response::Outcome::Save(response)))
        });
        saved.unwrap_or_else(|| {
            let message = "memory keeps nothing beyond the session";
            Err(Error::new(Reason::StorageUnsupported, message).subject("MEMORY"))
        })
    }

    pub(super) fn suspend(&mut self, sink: Sink<'_>) -> Outcome {
        let saved_seq = self.with_store(sink, |persistence, database, now_ms, tell| {
            if !persistence.is_suspended() {
                persistence.suspend(database, now_ms, tell);
            }
            persistence.saved_seq()
        });
        let response = SuspendResponse { saved_seq: saved_seq.unwrap_or(0) };
        Outcome::Plain(response::Outcome::Suspend(response))
    }

    /// Asks for the storage again; the answer comes with it.
    pub(super) fn resume(&mut self, id: u32, wait_ms: u32, sink: Sink<'_>) -> Option<Outcome> {
        let Phase::Ready(ready) = &mut self.phase else { unreachable!("checked by `run`") };
        match &ready.persistence {
            Some(persistence) if persistence.is_suspended() => {
                let (kind, path) = (persistence.kind, persistence.path.clone());
                ready.resuming = Some(id);
                sink(Effect::OpenStorage(StorageRequest { kind, path, create: false, wait_ms }));
                None
            }
            _ => Some(Outcome::Plain(response::Outcome::Resume(ResumeResponse {}))),
        }
    }

    pub(super) fn resumed(&mut self, result: Result<Box<dyn StorageFile>>, sink: Sink<'_>) {
        let Phase::Ready(ready) = &mut self.phase else { return };
        let Some(id) = ready.resuming.take() else { return };
        let persistence = ready.persistence.as_mut().expect("only what is stored is resumed");
        let result = result.and_then(|file| persistence.resume(file));
        match result {
            Ok(()) => {
                let outcome = Outcome::Plain(response::Outcome::Resume(ResumeResponse {}));
                self.answer_in_turn(id, outcome, vec![], false, sink);
            }
            Err(error) => {
                let lost = (error.reason == Reason::StorageLost).then(|| error.clone());
                let outcome = Outcome::Plain(response::Outcome::Error(error.into()));
                self.answer_in_turn(id, outcome, vec![], false, sink);
                if let Some(lost) = lost {
                    self.end(lost, sink);
                }
            }
        }
    }

    /// The last save. An open transaction is rolled back.
    pub(super) fn put_away(&mut self, discard_unsaved: bool, sink: Sink<'_>) -> Result<()> {
        let result = self.with_store(sink, |persistence, database, now_ms, tell| {
            if database.link.in_transaction() {
                let _ = database.link.run("rollback");
            }
            let result = match discard_unsaved {
                true => Ok(()),
                false => persistence.save_now(database, now_ms, tell),
            };
            // What is saved is safe without it.
            let _ = persistence.seal();
            result
        });
        result.unwrap_or(Ok(()))
    }

    /// Saves everything that is committed, unless the storage is let go.
    pub(super) fn save_to_end(&mut self, sink: Sink<'_>) {
        self.with_store(sink, |persistence, database, now_ms, tell| {
            if !persistence.is_suspended() {
                let _ = persistence.save_now(database, now_ms, tell);
            }
        });
    }

    /// Finishes the save that is under way.
    pub(super) fn save_running(&mut self, sink: Sink<'_>) {
        self.with_store(sink, |persistence, database, now_ms, tell| {
            let _ = persistence.finish(database, now_ms, tell);
        });
        self.died(sink);
    }

    /// Stores what was committed under strict durability.
    pub(super) fn save_strictly(&mut self, sink: Sink<'_>) {
        let result = self.with_store(sink, |persistence, database, now_ms, tell| {
            persistence.is_strict.then(|| persistence.save_committed(database, now_ms, tell))
        });
        if let (Some(Some(result)), Phase::Ready(ready)) = (result, &mut self.phase) {
            ready.strict_failure = result.err();
        }
    }

    /// Sends the answers that waited for a save, after it.
    pub(super) fn release_held(&mut self, sink: Sink<'_>) {
        if self.held.is_empty() {
            return;
        }
        // A transaction that is open by now had what came before it saved when it began.
        if !self.state().in_transaction {
            self.save_strictly(sink);
        }
        if self.died(sink) {
            return;
        }
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Answer(answer) => self.answer_held(answer, sink),
                Held::Commit(commit) => self.send_event(event::Kind::Commit(commit), sink),
            }
        }
    }

    fn answer_held(&mut self, held: HeldAnswer, sink: Sink<'_>) {
        let HeldAnswer { id, mut outcome, mut attachments, mut state, has_committed } = held;
        let saved_seq = self.state().saved_seq;
        if has_committed
            && saved_seq < state.commit_seq
            && let Phase::Ready(ready) = &self.phase
            && let Some(error) = ready.strict_failure.clone()
        {
            outcome = Outcome::Plain(response::Outcome::Error(error.into()));
            attachments.clear();
        }
        state.saved_seq = saved_seq.min(state.commit_seq);
        send_answer(id, state, &outcome, attachments, sink);
        self.reuse(outcome);
    }

    /// Does something about the store, at this time, and tells of it; nothing where the database is
    /// in memory only.
    fn with_store<T>(
        &mut self,
        sink: Sink<'_>,
        act: impl FnOnce(&mut Persistence, &Database, u64, Listener<'_>) -> T,
    ) -> Option<T> {
        let Phase::Ready(ready) = &mut self.phase else { return None };
        let persistence = ready.persistence.as_mut()?;
        let now_ms = self.clock.now_ms(&*self.platform);
        let mut listener = listener(&mut self.last_event_seq, ready.reports, sink);
        Some(act(persistence, &ready.database, now_ms, &mut listener))
    }
}

/// Puts what happens to a save on the wire, for hosts that want to know.
pub(super) fn listener<'a>(
    last_event_seq: &'a mut u64,
    reports: Reports,
    sink: Sink<'a>,
) -> impl FnMut(AutosaveEvent) + 'a {
    move |event| {
        if reports.autosaves {
            send_event(last_event_seq, event::Kind::Autosave(event), sink);
        }
    }
}

/// How much of a save is written before requests get their turn again.
const SLICE_BYTES: usize = 1024 * 1024;
