//! The lives of one database: sessions that work on it, one after another, each on what the one
//! before left, with power cuts at every step. Beside the stored database runs one in memory that
//! gets the same statements; it says what the content was after each commit.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::rc::Rc;

use bytes::Bytes;
use lix_engine_core::Snapshot;
use lix_engine_protocol::proto::{
    AutosavePolicy, Durability, EngineError, InitRequest, LixOptions, OpenMode, request,
};

use crate::client::{Acknowledged, Client, Digest, bytes, digest, digest_of_bytes};
use crate::disk::{Chance, Disk, Fate, Step};
use crate::lix;
use crate::workload::Workload;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Power cuts.
    pub(crate) cuts: u64,
    /// Those among them that met a lix or one in the making.
    pub(crate) lix_cuts: u64,
    /// Different contents that were held against the rules of a lix, and computed again.
    pub(crate) checked: u64,
    pub(crate) rebuilt: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.lix_cuts += other.lix_cuts;
        self.checked += other.checked;
        self.rebuilt += other.rebuilt;
    }
}

/// Runs the lives of one seed. `Ok` says what was looked at, `Err` what was found after a power
/// cut. With `is_told`, it says what it does.
pub(crate) fn run(seed: u64, is_told: bool) -> Result<Seen, String> {
    // They are longer than the others: these are half of the cuts.
    let is_lix = seed.is_multiple_of(4);
    let mut world = World {
        is_told,
        is_lix,
        chance: Chance::new(seed),
        disk: Disk::with_content(vec![], seed),
        history: History { before: vec![None], commits: vec![] },
        sound: HashSet::new(),
        seen: Seen::default(),
    };
    let lives = 2 + world.chance.below(3);
    for _ in 0..lives {
        world.live()?;
    }
    Ok(world.seen)
}

struct World {
    is_told: bool,
    is_lix: bool,
    chance: Chance,
    disk: Disk,
    history: History,
    /// Images in which SQLite found nothing wrong.
    sound: HashSet<Digest>,
    seen: Seen,
}

/// What may be found.
struct History {
    /// What may be there as long as the session has not said that anything is stored; `None` is
    /// nothing.
    before: Vec<Option<Digest>>,
    /// The content after each commit of the session, the first being what it started with.
    commits: Vec<Digest>,
}

impl History {
    fn allowed(&self, acknowledged: Option<u64>) -> Vec<Option<Digest>> {
        let from = acknowledged.unwrap_or(0) as usize;
        let mut allowed: Vec<_> = self.commits.iter().skip(from).copied().map(Some).collect();
        if acknowledged.is_none() {
            allowed.extend(&self.before);
        }
        allowed
    }
}

/// The content of a disk after a power cut, and what had been acknowledged by then.
type Cut = (Vec<u8>, Option<u64>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Failures,
    /// Failures where a save ends in a header.
    Switching,
    /// Failures after which the system forgets what it has not written.
    Forgetting,
    FullForAWhile,
    /// The process dies somewhere within a save.
    Killed,
}

impl World {
    fn live(&mut self) -> Result<(), String> {
        let chance = &mut self.chance;
        let mut workload = Workload::new(chance, self.is_lix);
        let trouble = match chance.below(8) {
            // A large save is where a failure meets most.
            4..7 if workload.is_large() => Trouble::Switching,
            0 => Trouble::Failures,
            1 => Trouble::Forgetting,
            2 => Trouble::FullForAWhile,
            3 => Trouble::Killed,
            _ => Trouble::None,
        };
        let is_strict = chance.below(2) == 0;
        let replaces = chance.below(8) == 0 || workload.seed_rows > 0;
        let policy =
            AutosavePolicy { disabled: chance.below(10) == 0, debounce_ms: 50, max_delay_ms: 400 };
        let seed_image = match chance.below(5) {
            _ if workload.seed_rows > 0 => Some(some_image(workload.seed_rows)?),
            0 => Some(some_image(1 + chance.below(200))?),
            _ => None,
        };

        let held = self.look(self.disk.content(), None)?.map(|(_, image)| image);
        let held = held.filter(|_| !replaces && workload.seed_rows == 0);
        // At first it may be a plain database, which becomes a lix when it is opened as one.
        let lix = (self.is_lix && self.chance.below(6) > 0).then(|| lix::options(&mut self.chance));
        let session_seed = self.chance.next();
        let mut mirror = Client::in_memory(session_seed);
        let start = held.clone().or_else(|| seed_image.clone());
        mirror
            .init(OpenMode::OpenOrCreate, start, as_lix(&lix))
            .map_err(|error| format!("the mirror: {error:?}"))?;
        let first = image_of(&mut mirror)?;
        self.history.commits = vec![first];
        let changes_at_init = held.as_ref().is_some_and(|held| digest_of_bytes(held) != first);

        self.tell(|| {
            format!(
                "a life: {trouble:?}, strict {is_strict}, replaces {replaces}, autosave {}, before \
                 {:x?}, starts with {:x?}",
                !policy.disabled, self.history.before, self.history.commits
            )
        });
        let mut client = Client::on(&self.disk, session_seed);
        if changes_at_init {
            client.will_change_at_init();
        }
        let acknowledged = client.acknowledged();
        let cuts = self.watch(&acknowledged, workload.is_large());
        self.make_trouble(trouble);
        let durability = if is_strict { Durability::Strict } else { Durability::Relaxed };
        let init =
            InitRequest { autosave: Some(policy), durability: durability.into(), ..as_lix(&lix) };
        let mode = if replaces { OpenMode::Replace } else { OpenMode::OpenOrCreate };
        let opened = client.init(mode, if held.is_some() { None } else { seed_image }, init);
        self.check(&cuts)?;
        match opened {
            Ok(()) => self.work(&mut client, &mut mirror, &mut workload, &cuts, is_strict)?,
            Err(error) if is_storage(&error) && trouble != Trouble::None => {}
            Err(error) => return Err(format!("init failed: {error:?}")),
        }

        // The end of it.
        let end = if trouble == Trouble::Killed { 3 } else { self.chance.below(4) };
        self.tell(|| format!("ends by way {end}"));
        if end == 0 {
            let _ = client.call(request::Call::Close(Default::default()), None);
            self.check(&cuts)?;
        }
        drop(client);
        self.disk.calm();
        if end == 3 && trouble != Trouble::Forgetting {
            // The process dies, the system does not: the next one reads what is not flushed yet,
            // and until it says otherwise a power cut may take that away.
            self.look(self.disk.content(), acknowledged.get())?;
            let before = self.history.allowed(acknowledged.get());
            self.history = History { before, commits: vec![] };
        } else {
            let left = self.disk.cut(&mut self.chance);
            let found = self.look(left.clone(), acknowledged.get())?;
            let before = vec![found.map(|(found, _)| found)];
            self.history = History { before, commits: vec![] };
            self.disk = Disk::with_content(left, self.chance.next());
        }
        Ok(())
    }

    fn work(
        &mut self,
        client: &mut Client,
        mirror: &mut Client,
        workload: &mut Workload,
        cuts: &Rc<RefCell<Vec<Cut>>>,
        is_strict: bool,
    ) -> Result<(), String> {
        let mut is_suspended = false;
        // Now and then long enough for a chain of records to end by itself.
        let steps = match self.chance.below(20) {
            0 if !self.is_lix => 400,
            _ => 5 + self.chance.below(60),
        };
        for _ in 0..steps {
            match self.chance.below(20) {
                0 => {
                    let saved = client.save();
                    self.tell(|| format!("save: {saved:?}"));
                }
                1 => {
                    // Autosaves become due; a large one is left half done at times.
                    let longest = [500, 5_000][self.chance.below(2)];
                    client.wait(self.chance.below(longest) as u64);
                    for _ in 0..self.chance.below(5) {
                        client.step();
                    }
                    self.tell(|| "time passes".into());
                }
                2 if is_suspended => {
                    self.tell(|| "resume".into());
                    match client.call(request::Call::Resume(Default::default()), None) {
                        Ok(_) => is_suspended = false,
                        Err(error) if error.reason.starts_with("STORAGE_F") => {}
                        Err(error) => return Err(format!("resume: {error:?}")),
                    }
                }
                2 if self.chance.below(2) == 0 => {
                    let suspended = client.call(request::Call::Suspend(Default::default()), None);
                    suspended.map_err(|error| format!("suspend: {error:?}"))?;
                    is_suspended = true;
                    self.tell(|| "suspend".into());
                }
                _ => {
                    let in_transaction = client.state().in_transaction;
                    let commit_seq = client.state().commit_seq;
                    let (sql, params) = workload.statement(&mut self.chance, in_transaction);
                    let expected = mirror.exec(&sql, params.clone());
                    if mirror.state().commit_seq as usize == self.history.commits.len() {
                        let image = image_of(mirror)?;
                        self.history.commits.push(image);
                    }
                    let result = client.exec(&sql, params);
                    let reasons = [&result, &expected]
                        .map(|result| result.as_ref().err().map(|error| error.reason.as_str()));
                    self.tell(|| {
                        let commits = &self.history.commits;
                        let at = (commits.len() - 1, commits.last());
                        format!("{sql}: {reasons:?}, {:?}, {at:x?}", client.state())
                    });
                    let is_unsaved = matches!(&result, Err(error) if is_storage(error));
                    if reasons[0] != reasons[1] && !(is_strict && is_unsaved) {
                        return Err(format!("{sql}: {reasons:?}"));
                    }
                    let states = [client.state(), mirror.state()]
                        .map(|state| (state.in_transaction, state.commit_seq));
                    if states[0] != states[1] {
                        return Err(format!("{sql}: {states:?}"));
                    }
                    let is_waited_for = is_strict && !is_suspended && result.is_ok();
                    let has_committed = client.state().commit_seq > commit_seq;
                    if is_waited_for
                        && has_committed
                        && client.state().saved_seq < client.state().commit_seq
                    {
                        return Err(format!("{sql}: answered before it was stored"));
                    }
                }
            }
            self.check(cuts)?;
        }
        Ok(())
    }

    /// Cuts the power after every operation of the disk.
    fn watch(&mut self, acknowledged: &Acknowledged, is_large: bool) -> Rc<RefCell<Vec<Cut>>> {
        let cuts: Rc<RefCell<Vec<Cut>>> = Rc::default();
        let (seen, acknowledged) = (cuts.clone(), acknowledged.clone());
        let mut chance = Chance::new(self.chance.next());
        self.disk.observe(move |power| {
            // Looking into a large one takes its time.
            if !is_large || chance.below(3) == 0 {
                seen.borrow_mut().push((power.cut(&mut chance), acknowledged.get()));
            }
        });
        cuts
    }

    fn make_trouble(&mut self, trouble: Trouble) {
        let mut chance = Chance::new(self.chance.next());
        let mut full = 0;
        let rate = [6, 25][chance.below(2)];
        let longest = [12, 100][chance.below(2)];
        let mut left = 1 + chance.below(longest);
        self.disk.set_fate(move |step| match trouble {
            Trouble::None => Fate::Works,
            Trouble::Switching if step == Step::FlushOfStart && chance.below(2) == 0 => Fate::Fails,
            Trouble::Failures if chance.below(rate) == 0 => Fate::Fails,
            Trouble::Forgetting if chance.below(rate) == 0 => Fate::FailsForGood,
            Trouble::FullForAWhile if full > 0 => {
                full -= 1;
                Fate::Full
            }
            Trouble::FullForAWhile if chance.below(60) == 0 => {
                full = chance.below(8);
                Fate::Full
            }
            Trouble::Killed => {
                // Nothing reaches the disk any more.
                left = left.saturating_sub(1);
                if left == 0 { Fate::Full } else { Fate::Works }
            }
            _ => Fate::Works,
        });
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{}", what());
        }
    }

    fn check(&mut self, cuts: &RefCell<Vec<Cut>>) -> Result<(), String> {
        let cuts: Vec<Cut> = cuts.borrow_mut().drain(..).collect();
        for (content, acknowledged) in cuts {
            self.look(content, acknowledged)?;
        }
        Ok(())
    }

    /// Opens what a power cut left, holds it against what may be there, and at times goes on from
    /// it until the next cut.
    fn look(
        &mut self,
        content: Vec<u8>,
        acknowledged: Option<u64>,
    ) -> Result<Option<(Digest, Bytes)>, String> {
        let number = self.count_cut();
        let disk = Disk::with_content(content, number);
        let mut client = Client::on(&disk, number);
        let found = match client.init(OpenMode::Open, None, InitRequest::default()) {
            Ok(()) => Some(client.export().map_err(|error| format!("export: {error:?}"))?),
            Err(error) if error.reason == "STORAGE_MISSING" => None,
            Err(error) => return Err(format!("after a cut it does not open: {}", error.message)),
        };
        let seen = found.as_ref().map(digest);
        let allowed = self.history.allowed(acknowledged);
        if !allowed.contains(&seen) {
            return Err(format!(
                "after a cut it holds {seen:x?}; acknowledged was commit {acknowledged:?}, which \
                 allows {allowed:x?} of {:x?}",
                self.history.commits
            ));
        }
        let (Some(found), Some(seen)) = (found, seen) else { return Ok(None) };
        if self.sound.insert(seen) {
            if !client.is_sound() {
                return Err("after a cut SQLite finds damage".into());
            }
            if self.is_lix && client.is_lix() {
                self.check_lix(&mut client, &found)?;
            }
        }
        if self.chance.below(4) == 0 {
            self.go_on(client, &disk, seen)?;
        }
        Ok(Some((seen, bytes(&found))))
    }

    fn check_lix(&mut self, client: &mut Client, found: &Snapshot) -> Result<(), String> {
        self.seen.checked += 1;
        lix::check(client).map_err(|what| format!("after a cut {what}"))?;
        if self.chance.below(8) == 0 {
            self.seen.rebuilt += 1;
            let mut aside = Client::in_memory(0);
            aside
                .init(OpenMode::OpenOrCreate, Some(bytes(found)), InitRequest::default())
                .map_err(|error| format!("after a cut its image does not open: {error:?}"))?;
            lix::check_rebuild(&mut aside).map_err(|what| format!("after a cut {what}"))?;
            lix::check(&mut aside).map_err(|what| format!("after a cut and a rebuild {what}"))?;
        }
        Ok(())
    }

    fn count_cut(&mut self) -> u64 {
        self.seen.cuts += 1;
        self.seen.lix_cuts += u64::from(self.is_lix);
        self.seen.cuts
    }

    /// What survived a cut can be written to, and survives the next one.
    fn go_on(&mut self, mut client: Client, disk: &Disk, found: Digest) -> Result<(), String> {
        let mut states = vec![found];
        let cuts: Rc<RefCell<Vec<Cut>>> = Rc::default();
        let (seen, acknowledged) = (cuts.clone(), client.acknowledged());
        let mut chance = Chance::new(self.chance.next());
        disk.observe(move |power| {
            if chance.below(3) == 0 {
                seen.borrow_mut().push((power.cut(&mut chance), acknowledged.get()));
            }
        });
        let is_lix = self.is_lix && client.is_lix();
        let more: &[&str] = match is_lix {
            true => &[
                "insert into key_value(key, value) values ('went on', 1)",
                "insert into key_value_all(key, value, lixcol_version_id) values ('and on', 1, 'global')",
            ],
            false => &[],
        };
        let plain = ["create table if not exists went_on(x)", "insert into went_on values (1)"];
        for sql in plain.iter().chain(more) {
            let before = client.state().commit_seq;
            client.exec(sql, vec![]).map_err(|error| format!("after a cut: {sql}: {error:?}"))?;
            if client.state().commit_seq > before {
                // An export saves first.
                states.push(image_of(&mut client)?);
            }
        }
        let history = History { before: vec![Some(found)], commits: states };
        let last = (disk.cut(&mut self.chance), client.acknowledged().get());
        for (content, acknowledged) in cuts.take().into_iter().chain([last]) {
            let number = self.count_cut();
            let mut client = Client::on(&Disk::with_content(content, 0), number);
            client
                .init(OpenMode::Open, None, InitRequest::default())
                .map_err(|error| format!("after a second cut: {}", error.message))?;
            if !history.allowed(acknowledged).contains(&Some(image_of(&mut client)?)) {
                return Err("a second cut lost what was acknowledged".into());
            }
            if is_lix && self.chance.below(4) == 0 {
                lix::check(&mut client).map_err(|what| format!("after a second cut {what}"))?;
            }
        }
        Ok(())
    }
}

fn image_of(client: &mut Client) -> Result<Digest, String> {
    client.export().map(|image| digest(&image)).map_err(|error| format!("export: {error:?}"))
}

fn as_lix(options: &Option<LixOptions>) -> InitRequest {
    InitRequest { lix: options.clone(), ..Default::default() }
}

/// A database from elsewhere.
fn some_image(rows: usize) -> Result<Bytes, String> {
    let mut client = Client::in_memory(0);
    let filled = client.init(OpenMode::OpenOrCreate, None, InitRequest::default()).and_then(|()| {
        client.exec("create table t0(id integer primary key, a, b)", vec![])?;
        let sql = format!(
            "insert into t0 with n(x) as (select 1 union all select x + 1 from n limit {rows}) \
             select x, x, zeroblob(1000) from n"
        );
        client.exec(&sql, vec![])?;
        client.export()
    });
    filled.map(|image| bytes(&image)).map_err(|error| format!("seed: {error:?}"))
}

fn is_storage(error: &EngineError) -> bool {
    error.reason.starts_with("STORAGE_")
}
