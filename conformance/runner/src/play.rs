//! Plays one case against a target: opens sessions, walks the steps, and says what happened.
//!
//! A case ends in one of four ways, and always within its budget: every expectation held, one did not, the
//! implementation died, or the time ran out.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost_reflect::DynamicMessage;
use serde_json::{Map, Value as Json, json};

use crate::case::schema::{Init, Step, bridge, end_transport};
use crate::case::{self, Loaded, json_of, json_of_list, json_of_struct};
use crate::expect::{self, Difference, View};
use crate::expr::Vars;
use crate::implementation::Transport;
use crate::proto::{self, Fields as _};
use crate::request::{self, Built, Context, Plugins};
use crate::session::{A_REQUEST_CAME, Answer, Session, Stop, Token, error_name, error_summary};
use crate::store::{CaseStore, Storage};
use crate::trace::{Recorder, TraceFile};
use crate::transport::{How, Link, OpenOptions, SendOptions, Stored, Target};
use crate::value::Cell;

/// What the engine said about itself before any case ran.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Announced capabilities without prefix, sorted.
    pub capabilities: Vec<String>,
    /// Announced limits.
    pub limits: Vec<(String, i128)>,
    /// InitResponse.minor.
    pub minor: u32,
    /// InitResponse.engine_version.
    pub engine_version: String,
    /// InitResponse.sqlite_version.
    pub sqlite_version: String,
}

impl Facts {
    /// True if the capability was announced.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }
}

/// What is the same for all cases of a run.
#[derive(Clone)]
pub struct Setting {
    /// How the target is reached.
    pub transport: Transport,
    /// What the engine said about itself.
    pub facts: Facts,
    /// The trace, if one is written.
    pub trace: Option<TraceFile>,
    /// Budget of a case that names none.
    pub timeout: Duration,
    /// Factor for what real time may be late or early.
    pub time_scale: f64,
    /// What the storage TEST stands for; without PERSISTENCE nothing but memory.
    pub storage: Option<Storage>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every expectation held.
    Pass,
    /// One did not.
    Fail,
    /// The implementation died.
    Crash,
    /// The budget ran out.
    Timeout,
}

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// How it ended.
    pub ending: Ending,
    /// Where it stopped.
    pub step: String,
    /// Why, one line each.
    pub lines: Vec<String>,
    /// `CODE/REASON` if an error came that nobody expected.
    pub error: Option<String>,
    /// What the engine wrote to stderr.
    pub stderr: String,
    /// The last frames.
    pub excerpt: Vec<String>,
    /// Rules the engine broke on the way.
    pub breaches: Vec<String>,
    /// Rules the runner broke on the way.
    pub own_breaches: Vec<String>,
    /// Wall time.
    pub duration: Duration,
    /// Time passed for real.
    pub real_time: bool,
    /// The storage under test was used.
    pub stored: bool,
    /// For `--bless`: what to write where.
    pub blessings: Vec<Blessing>,
}

impl Played {
    /// A pass in which nothing happened.
    pub fn nothing() -> Played {
        Played {
            ending: Ending::Pass,
            step: String::new(),
            lines: Vec::new(),
            error: None,
            stderr: String::new(),
            excerpt: Vec::new(),
            breaches: Vec::new(),
            own_breaches: Vec::new(),
            duration: Duration::ZERO,
            real_time: false,
            stored: false,
            blessings: Vec::new(),
        }
    }
}

/// A member of a step whose expectation would be replaced.
#[derive(Clone, Debug)]
pub struct Blessing {
    /// Path of the step in the case, such as `/steps/2/concurrently/0`.
    pub step: String,
    /// The member.
    pub member: &'static str,
    /// The new value.
    pub value: Json,
}

/// Opens a session, asks the engine about itself, and closes it.
pub fn probe(target: &mut dyn Target, timeout: Duration) -> Result<Facts, String> {
    let deadline = Instant::now() + timeout;
    let link = target.connect(&OpenOptions::default(), deadline)?;
    // What has to be started first may take its own time, a browser above all.
    let deadline = Instant::now() + timeout;
    let mut session = Session::new(link, Recorder::new("probe", None));
    let request = proto::from_json(
        "Request",
        &json!({"init": {"minor": HIGHEST_MINOR, "host_name": env!("CARGO_PKG_NAME")}}),
    )?;
    let token = session.send(request, Vec::new(), None)?;
    // Whoever sends requests back is no engine, and would do so for as long as we wait.
    let is_echo = |session: &Session| {
        session.breaches.iter().any(|breach| breach.starts_with(A_REQUEST_CAME))
    };
    let mut arrived = session.poll(deadline);
    while arrived && !is_echo(&session) && !session.is_answered(token) {
        arrived = session.poll(deadline);
    }
    if is_echo(&session) {
        return Err(
            "it sends back the request it got, as `cat` would: this is no engine".to_owned()
        );
    }
    let facts = session
        .wait(token, deadline)
        .map_err(|stop| why_no_engine(&stop, &mut session))
        .and_then(|answers| {
            let response = &answers.last().expect("an answer came").response;
            match (response.msg("init"), response.msg("error")) {
                (Some(init), _) => Ok(read_facts(init)),
                (None, Some(error)) => Err(format!("init failed: {}", error_summary(error))),
                (None, None) => Err("init was answered with something else".to_owned()),
            }
        });
    let facts = facts.map_err(|why| {
        let stderr = session.link.stderr();
        let errors = session.link.advice().errors;
        if stderr.trim().is_empty() { why } else { format!("{why}\n{errors}: {}", stderr.trim()) }
    })?;
    if let Ok(close) = proto::from_json("Request", &json!({"close": {}}))
        && let Ok(token) = session.send(close, Vec::new(), None)
    {
        let _ = session.wait(token, deadline);
    }
    session.finish(Duration::from_millis(500));
    Ok(facts)
}

/// Plays a case.
pub fn play(setting: &Setting, target: &mut dyn Target, loaded: &Loaded, bless: bool) -> Played {
    let started = Instant::now();
    let budget = match loaded.case.timeout_ms {
        0 => setting.timeout,
        ms => Duration::from_millis(u64::from(ms)),
    };
    let mut vars = Vars::default();
    for (name, value) in &setting.facts.limits {
        vars.set_int(name, *value);
    }
    let (stores, no_room) = match setting.storage.as_ref().map(Storage::for_case) {
        None => (None, None),
        Some(Ok(stores)) => (Some(stores), None),
        Some(Err(why)) => (None, Some(why)),
    };
    let kind = stores.as_ref().map_or("MEMORY", CaseStore::kind);
    vars.set("storage_kind", Cell::Text(kind.as_bytes().to_vec()));
    let mut player = Player {
        setting,
        target,
        loaded,
        dir: case::fixture_dir(loaded),
        plugin_dir: case::plugin_dir(loaded),
        vars,
        stores,
        stored: false,
        seat: Seat::default(),
        others: BTreeMap::new(),
        current: String::new(),
        began: started,
        passed: Duration::ZERO,
        deadline: started + budget,
        labels: HashMap::new(),
        at: String::new(),
        pointer: String::new(),
        breaches: Vec::new(),
        own_breaches: Vec::new(),
        blessings: Vec::new(),
        bless,
    };
    if loaded.case.fresh() == case::schema::case::Fresh::Process {
        player.target.restart();
    }
    let result = match no_room {
        None => player.run(),
        Some(why) => Err(Trouble::Case(why)),
    };

    let mut played = Played {
        real_time: case::uses(&loaded.case.steps, &|step| step.advance_ms.is_some())
            && !setting.facts.has("MANUAL_CLOCK"),
        blessings: std::mem::take(&mut player.blessings),
        ..Played::nothing()
    };
    if let Err(trouble) = result {
        played.step = player.at.clone();
        player.listen_on();
        let (ending, lines, error) = player.explain(trouble, budget);
        played.ending = ending;
        played.lines = lines;
        played.error = error;
    }
    if let Some(session) = &player.seat.session {
        played.stderr = session.link.stderr();
        played.excerpt = session.recorder.excerpt();
    }
    player.retire_all();
    played.stored = player.stored;
    played.breaches = std::mem::take(&mut player.breaches);
    played.own_breaches = std::mem::take(&mut player.own_breaches);
    if matches!(played.ending, Ending::Crash | Ending::Timeout) {
        player.target.restart();
    }
    played.duration = started.elapsed();
    played
}

enum Trouble {
    /// Expectations that did not hold.
    Differences(Vec<Difference>),
    /// Waiting ended.
    Stop(Stop),
    /// The implementation cannot be reached.
    Unreachable(String),
    /// The case itself is wrong.
    Case(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Trouble {
        Trouble::Case(why)
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Trouble {
        Trouble::Stop(stop)
    }
}

struct Player<'a> {
    setting: &'a Setting,
    target: &'a mut dyn Target,
    loaded: &'a Loaded,
    dir: PathBuf,
    plugin_dir: PathBuf,
    vars: Vars,
    stores: Option<CaseStore>,
    stored: bool,
    /// The session that steps are for at the moment, and the others by name.
    seat: Seat,
    others: BTreeMap<String, Seat>,
    current: String,
    /// When the case began, and how much time it has let pass since: in real time nothing may come earlier.
    began: Instant,
    passed: Duration,
    deadline: Instant,
    labels: HashMap<String, u32>,
    /// Where we are, for people.
    at: String,
    /// Where we are, as a JSON pointer into the case.
    pointer: String,
    breaches: Vec<String>,
    own_breaches: Vec<String>,
    blessings: Vec<Blessing>,
    bless: bool,
}

/// A session of the case and what is known of it.
#[derive(Default)]
struct Seat {
    session: Option<Session>,
    /// The session was ended on purpose in a way after which nothing orderly can be asked of the engine.
    disorderly: bool,
    /// The case has ended the transport from the host's side.
    is_left: bool,
    /// Where its database was last kept, for a reopen that does not say it.
    storage: Option<case::schema::Storage>,
    /// Its count of writes when it was last asked for.
    writes: i128,
    is_tab: bool,
}

/// A step that was sent, with all that is needed to judge its answer later.
struct Sent {
    step: Step,
    on: String,
    token: Option<Token>,
    vars: Vars,
    at: String,
    pointer: String,
    label: String,
}

impl Player<'_> {
    fn run(&mut self) -> Result<(), Trouble> {
        let loaded = self.loaded;
        let case = &*loaded.case;
        for (name, value) in &case.vars {
            self.assign(name, value)?;
        }
        self.at = "init".to_owned();
        self.connect()?;
        if !case.no_init {
            let init = case.init.clone().unwrap_or_default();
            let step = Step { init: Some(init), ..Step::default() };
            self.one_request(&step)?;
        }
        self.steps(&case.steps, "steps", "/steps")?;
        self.at = "after the last step".to_owned();
        let names: Vec<String> = self.others.keys().cloned().collect();
        for name in names {
            self.leave()?;
            self.sit(&name);
        }
        self.leave()
    }

    /// From now on steps are for this session; true if there was none of that name.
    fn sit(&mut self, name: &str) -> bool {
        if self.current == name {
            return false;
        }
        let found = self.others.remove(name);
        let is_new = found.is_none();
        let left = std::mem::replace(&mut self.seat, found.unwrap_or_default());
        let before = std::mem::replace(&mut self.current, name.to_owned());
        self.others.insert(before, left);
        is_new
    }

    /// Turns to the session a step is for and opens its transport if there is none yet.
    fn turn_to(&mut self, step: &Step) -> Result<(), Trouble> {
        if self.sit(&step.on) && step.reopen.is_none() {
            self.seat.is_tab = step.tab;
            self.connect()?;
        }
        Ok(())
    }

    fn steps(&mut self, steps: &[Step], path: &str, pointer: &str) -> Result<(), Trouble> {
        let mut next = 0;
        while let Some(step) = steps.get(next) {
            let index = next;
            next += 1;
            let (at, pointer) = (format!("{path}[{index}]"), format!("{pointer}/{index}"));
            if self.passes_for_real(step) {
                while steps.get(next).is_some_and(|step| self.passes_for_real(step)) {
                    next += 1;
                }
                self.at = at;
                self.pointer = pointer;
                self.pass_for_real(&steps[index..next])?;
                continue;
            }
            match &step.repeat {
                None => self.step(step, &at, &pointer)?,
                Some(repeat) => {
                    let count = self.context().number(&json_of(repeat))?;
                    let outer = self.vars.get("i").cloned().ok();
                    for i in 0..count {
                        self.count_loop(step, i);
                        self.step(step, &format!("{at} (i = {i})"), &pointer)?;
                    }
                    if let Some(outer) = outer {
                        self.vars.set("i", outer);
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, at: &str, pointer: &str) -> Result<(), Trouble> {
        self.at = match step.about.as_str() {
            "" => at.to_owned(),
            about => format!("{at} ({about})"),
        };
        self.pointer = pointer.to_owned();
        for (name, value) in &step.set {
            self.assign(name, value)?;
        }
        if !step.steps.is_empty() {
            return self.steps(&step.steps, &format!("{at}.steps"), &format!("{pointer}/steps"));
        }
        self.turn_to(step)?;
        if let Some(session) = &mut self.seat.session {
            session.begin_step();
        }
        if !step.concurrently.is_empty() {
            self.concurrently(step, at, pointer)?;
            self.sit(&step.on);
        } else if let Some(init) = &step.reopen {
            let mut init = init.clone();
            self.carry_over(&mut init);
            self.close_link();
            self.connect()?;
            let opening = Step { reopen: None, init: Some(init), ..step.clone() };
            self.one_request(&opening)?;
        } else if step.crash {
            self.crash()?;
        } else if let Some(ms) = step.advance_ms {
            self.advance(ms, step.transport_ends == Some(true))?;
        } else if let Some(store) = &step.store {
            self.store(store)?;
        } else if step.sleep_ms > 0 {
            std::thread::sleep(self.scaled(step.sleep_ms));
        } else if let Some(bytes) = &step.write_bytes {
            let bytes = self.context().bytes(bytes)?;
            self.seat.disorderly = true;
            self.session()?.link.write_bytes(&bytes)?;
        } else if let Some(end) = &step.end_transport {
            let how = match end.how() {
                end_transport::How::End => How::End,
                end_transport::How::Drop => How::Drop,
            };
            self.seat.disorderly |= how == How::Drop;
            self.seat.is_left = true;
            self.session()?.link.end(how);
        } else if let Some(bridge) = &step.bridge {
            self.bridge(bridge.action.as_ref())?;
        } else if is_request(step) {
            self.one_request(step)?;
        }
        self.aftermath(step)
    }

    /// Sends a request and judges its answer.
    fn one_request(&mut self, step: &Step) -> Result<(), Trouble> {
        let (at, pointer) = (self.at.clone(), self.pointer.clone());
        let sent = self.send(step, &at, &pointer)?;
        let answers = self.receive(&sent)?;
        self.judge(&sent, &answers, false)
    }

    /// Sends many requests, then judges the answers.
    fn concurrently(&mut self, group: &Step, at: &str, pointer: &str) -> Result<(), Trouble> {
        let mut sent = Vec::new();
        self.send_all(
            &group.concurrently,
            &format!("{at}.concurrently"),
            &format!("{pointer}/concurrently"),
            &mut sent,
        )?;
        let mut answered = Vec::new();
        for sent in sent {
            self.at = sent.at.clone();
            self.sit(&sent.on);
            let answers = self.receive(&sent)?;
            answered.push((sent, answers));
        }
        // Alternatives of the group speak about labelled answers; those are judged there.
        let spoken_for = |label: &str| {
            let options = group.one_of.iter().flat_map(|one_of| &one_of.options);
            !label.is_empty()
                && (group.answers.contains_key(label)
                    || options.into_iter().any(|option| option.answers.contains_key(label)))
        };
        for (sent, answers) in &answered {
            self.at = sent.at.clone();
            self.pointer = sent.pointer.clone();
            self.judge(sent, answers, spoken_for(&sent.label))?;
        }
        self.at = at.to_owned();
        self.pointer = pointer.to_owned();
        let mut differences = self.compare_labelled(group, &answered)?;
        if let Some(one_of) = &group.one_of {
            let mut tried = Vec::new();
            for option in &one_of.options {
                let found = self.compare_labelled(option, &answered)?;
                if found.is_empty() {
                    tried.clear();
                    break;
                }
                tried.push(found);
            }
            differences.extend(no_option(tried));
        }
        self.settle(differences)
    }

    /// Sends steps, groups and repetitions without reading anything.
    fn send_all(
        &mut self,
        steps: &[Step],
        path: &str,
        pointer: &str,
        sent: &mut Vec<Sent>,
    ) -> Result<(), Trouble> {
        for (index, step) in steps.iter().enumerate() {
            let (at, pointer) = (format!("{path}[{index}]"), format!("{pointer}/{index}"));
            let count = match &step.repeat {
                Some(repeat) => Some(self.context().number(&json_of(repeat))?),
                None => None,
            };
            let outer = self.vars.get("i").cloned().ok();
            for i in 0..count.unwrap_or(1) {
                let mut at = at.clone();
                if count.is_some() {
                    self.count_loop(step, i);
                    at = format!("{at} (i = {i})");
                }
                if step.steps.is_empty() {
                    sent.push(self.send(step, &at, &pointer)?);
                } else {
                    self.send_all(
                        &step.steps,
                        &format!("{at}.steps"),
                        &format!("{pointer}/steps"),
                        sent,
                    )?;
                }
            }
            if let (Some(outer), true) = (outer, count.is_some()) {
                self.vars.set("i", outer);
            }
        }
        Ok(())
    }

    fn compare_labelled(
        &self,
        group: &Step,
        answered: &[(Sent, Vec<Answer>)],
    ) -> Result<Vec<Difference>, Trouble> {
        let mut differences = Vec::new();
        for (label, wanted) in &group.answers {
            let (sent, answers) = answered
                .iter()
                .find(|(sent, _)| sent.label == *label)
                .ok_or_else(|| format!("no request has the label {label:?}"))?;
            differences.extend(expect::check(wanted, &View::of(answers), &sent.vars, false)?);
        }
        Ok(differences)
    }

    fn send(&mut self, step: &Step, at: &str, pointer: &str) -> Result<Sent, Trouble> {
        self.at = at.to_owned();
        self.turn_to(step)?;
        let placed;
        let step = match &step.init {
            Some(init) => {
                placed = Step { init: Some(self.placed(init)?), ..step.clone() };
                &placed
            }
            None => step,
        };
        for (name, value) in &step.set {
            self.assign(name, value)?;
        }
        let label = self.vars.fill(&step.label)?;
        let token = if let Some(raw) = &step.send_raw {
            let (message, id) = self.context().raw(raw)?;
            let silent = step.no_answer || step.closed.is_some();
            if !silent && id.is_none() && step.transport_ends.is_none() {
                return Err(Trouble::Case(
                    "the runner cannot read an id: say answer_id, no_answer, closed or transport_ends".to_owned(),
                ));
            }
            if raw.length_prefix.is_some() {
                self.seat.disorderly = true;
            }
            let options = SendOptions { length_prefix: raw.length_prefix, as_text: raw.as_text };
            let awaited = id.filter(|_| !silent && step.transport_ends != Some(true));
            let token = self.session()?.send_message(&message, options, raw.legal, awaited)?;
            if let (Some(id), false) = (id, label.is_empty()) {
                self.labels.insert(label.clone(), id);
            }
            token
        } else {
            let Built { request, attachments } = self.context().request(step, &|label| {
                self.labels
                    .get(label)
                    .copied()
                    .ok_or_else(|| format!("no earlier request has the label {label:?}"))
            })?;
            let session = self.session()?;
            let token = session.send(request, attachments, step.id)?;
            let id = session.id(token);
            if step.no_answer {
                session.expect_silence(token);
            }
            if !label.is_empty() {
                self.labels.insert(label.clone(), id);
            }
            if step.bind.values().any(|part| part == "id") {
                for (name, _) in step.bind.iter().filter(|(_, part)| *part == "id") {
                    self.vars.set_int(name, id);
                }
            }
            (!step.no_answer && step.closed.is_none()).then_some(token)
        };
        Ok(Sent {
            step: step.clone(),
            on: self.current.clone(),
            token,
            vars: self.vars.clone(),
            at: at.to_owned(),
            pointer: pointer.to_owned(),
            label,
        })
    }

    fn receive(&mut self, sent: &Sent) -> Result<Vec<Answer>, Trouble> {
        let Some(token) = sent.token else {
            return Ok(Vec::new());
        };
        let deadline = self.deadline;
        let answers = self.session()?.wait(token, deadline)?;
        if let Some(init) = answers.last().and_then(|answer| answer.response.msg("init")) {
            for (name, value) in read_facts(init).limits {
                self.vars.set_int(&name, value);
            }
            self.set_clock()?;
        }
        Ok(answers)
    }

    /// Compares the answer to one request with what its step expects. `lenient` accepts an unexpected error.
    fn judge(&mut self, sent: &Sent, answers: &[Answer], lenient: bool) -> Result<(), Trouble> {
        if sent.token.is_none() {
            return Ok(());
        }
        let step = &sent.step;
        let view = View::of(answers);
        let mut differences =
            self.compare(step, &view, answers, &sent.vars, lenient || step.one_of.is_some())?;
        if let Some(one_of) = &step.one_of {
            let mut tried = Vec::new();
            for option in &one_of.options {
                let found =
                    self.compare(option, &view, answers, &sent.vars, step.error.is_some())?;
                if found.is_empty() {
                    tried.clear();
                    break;
                }
                tried.push(found);
            }
            differences.extend(no_option(tried));
        }
        self.settle(differences)?;
        for (name, part) in step.bind.iter().filter(|(_, part)| *part != "id") {
            let value = view.part(part)?;
            self.vars.set(name, value);
        }
        Ok(())
    }

    fn compare(
        &mut self,
        step: &Step,
        view: &View<'_>,
        answers: &[Answer],
        vars: &Vars,
        lenient: bool,
    ) -> Result<Vec<Difference>, Trouble> {
        // Where every batch is looked at, an error among them is too.
        let mut differences = expect::check(step, view, vars, lenient || step.batches.is_some())?;
        if let Some(batches) = &step.batches {
            let wanted = json_of_list(batches);
            if wanted.len() != answers.len() {
                differences.push(Difference {
                    member: "batches",
                    expected: format!("{} batches", wanted.len()),
                    actual: format!("{} answers, the last one {}", answers.len(), view.summary()),
                    blessed: None,
                    error: None,
                });
            }
            for (wanted, answer) in wanted.iter().zip(answers) {
                let wanted: Step = case::from_json("Step", wanted)?;
                differences.extend(expect::check(
                    &wanted,
                    &View::of(std::slice::from_ref(answer)),
                    vars,
                    false,
                )?);
            }
        }
        self.note_blessings(&differences);
        if let Some(batch) = &step.exec_batch {
            differences.extend(self.compare_items(batch, view, vars, lenient)?);
        }
        Ok(differences)
    }

    /// `lenient` leaves statements that failed unexpectedly, and those behind them, to alternatives.
    fn compare_items(
        &mut self,
        batch: &case::schema::Batch,
        view: &View<'_>,
        vars: &Vars,
        lenient: bool,
    ) -> Result<Vec<Difference>, Trouble> {
        let Some(response) = view.response.and_then(|response| response.msg("exec_batch")) else {
            return Ok(Vec::new());
        };
        let items: Vec<&DynamicMessage> =
            response.items("items").iter().filter_map(prost_reflect::Value::as_message).collect();
        let mut differences = Vec::new();
        let mut index = 0;
        let context = Context { vars, ..self.context() };
        let mut blessings = Vec::new();
        let pointer = self.pointer.clone();
        context.each_statement(&batch.statements, &mut |context, statement| {
            let view = View::of_item(items.get(index).copied());
            if lenient && (view.missing || view.error.is_some() && statement.error.is_none()) {
                index += 1;
                return Ok(());
            }
            let found = expect::check(statement, &view, context.vars, statement.one_of.is_some())?;
            let mut found: Vec<Difference> = found
                .into_iter()
                .map(|mut difference| {
                    difference.actual = format!("statement {index}: {}", difference.actual);
                    difference
                })
                .collect();
            if let Some(one_of) = &statement.one_of {
                let mut tried = Vec::new();
                for option in &one_of.options {
                    let differences =
                        expect::check(option, &view, context.vars, statement.error.is_some())?;
                    if differences.is_empty() {
                        tried.clear();
                        break;
                    }
                    tried.push(differences);
                }
                found.extend(no_option(tried));
            }
            if let Some(at) =
                batch.statements.iter().position(|candidate| std::ptr::eq(candidate, statement))
            {
                let step = format!("{pointer}/exec_batch/statements/{at}");
                blessings.extend(found.iter().filter_map(|difference| blessing(&step, difference)));
            }
            differences.extend(found);
            index += 1;
            Ok(())
        })?;
        if self.bless {
            self.blessings.extend(blessings);
        }
        if items.len() > index {
            differences.push(Difference {
                member: "exec_batch",
                expected: format!("{index} items"),
                actual: format!("{} items", items.len()),
                blessed: None,
                error: None,
            });
        }
        Ok(differences)
    }

    /// What a step expects besides its answer.
    fn aftermath(&mut self, step: &Step) -> Result<(), Trouble> {
        let deadline = self.deadline;
        let mut differences = Vec::new();
        if let Some(wanted) = &step.closed {
            let reason = self.session()?.wait_closed(deadline)?;
            differences.extend(expect::check_error("closed", wanted, &reason, &self.vars)?);
        }
        if let Some(events) = &step.expect_events {
            let wanted = json_of_list(events);
            let events = self.session()?.take_events();
            let found = expect::check_events(&wanted, &events, &self.vars)?;
            self.note_blessings(&found);
            differences.extend(found);
        }
        if step.transport_ends == Some(true) {
            if self.setting.transport == Transport::Browser {
                // A page cannot see that a worker closed itself; a failed session is what can be seen.
                let dies_unseen = self.setting.facts.has("FAULTS") && step.bridge.is_none();
                let session = self.session()?;
                if session.is_open() && !session.has_ended() {
                    if dies_unseen {
                        while session.poll(Instant::now() + UNSEEN) {}
                        // What is dead does not mind; what is not has said so.
                        session.link.bridge(&json!({ "t": "terminate" }))?;
                    }
                    let _ = session.wait_end(deadline)?;
                }
            } else {
                let _ = self.session()?.wait_end(deadline)?;
            }
            self.seat.disorderly = true;
        }
        if let Some(wanted) = step.exit_code {
            let session = self.session()?;
            if session.link.owns_process() {
                match session.link.exit_code(deadline) {
                    Some(code) if code == wanted || (wanted < 0 && code != 0) => {}
                    Some(code) => differences.push(Difference {
                        member: "exit_code",
                        expected: wanted.to_string(),
                        actual: code.to_string(),
                        blessed: Some(json!(code)),
                        error: None,
                    }),
                    None => return Err(Stop::Timeout("the process to exit".to_owned()).into()),
                }
                self.seat.disorderly = true;
            }
        }
        if !step.storage_writes.is_empty() && self.setting.facts.has("MANUAL_CLOCK") {
            let before = self.seat.writes;
            self.count_writes()?;
            let written = self.seat.writes - before;
            if (written > 0) != (step.storage_writes == "some") {
                differences.extend(expect::unlike(
                    "storage_writes",
                    &step.storage_writes,
                    format!("{written} writes"),
                ));
            }
        }
        if let Some(wanted) = &step.facts {
            let Json::Object(wanted) = json_of_struct(wanted) else {
                unreachable!("a Struct is an object")
            };
            let facts = self.facts(&wanted)?;
            differences.extend(expect::check_facts(&wanted, &facts));
        }
        self.settle(differences)
    }

    /// Differences end the case, unless they are to be written into it.
    fn settle(&self, differences: Vec<Difference>) -> Result<(), Trouble> {
        if differences.is_empty()
            || self.bless && differences.iter().all(|difference| difference.blessed.is_some())
        {
            Ok(())
        } else {
            Err(Trouble::Differences(differences))
        }
    }

    /// Facts of this step; those of the bridge may still be on their way, so they are waited for.
    fn facts(&mut self, wanted: &Map<String, Json>) -> Result<Map<String, Json>, Trouble> {
        let until = self.deadline.min(Instant::now() + Duration::from_secs(2));
        let session = self.session()?;
        let mut facts;
        loop {
            facts = session.facts.clone();
            facts.insert("messages_sent".to_owned(), json!(session.messages_sent));
            facts.insert("messages_received".to_owned(), json!(session.messages_received));
            if wanted.iter().all(|(name, value)| facts.get(name) == Some(value))
                || !session.poll(until)
            {
                return Ok(facts);
            }
        }
    }

    /// Lets virtual time pass. The engine may be told to die on the way.
    fn advance(&mut self, ms: u32, dies: bool) -> Result<(), Trouble> {
        if !self.setting.facts.has("MANUAL_CLOCK") {
            let step = Step { advance_ms: Some(ms), ..Step::default() };
            return self.pass_for_real(std::slice::from_ref(&step));
        }
        let op = json!({ "advance_clock": { "ms": ms } });
        if dies {
            let request = proto::from_json("Request", &json!({ "control": op }))?;
            let session = self.session()?;
            let token = session.send(request, Vec::new(), None)?;
            session.expect_silence(token);
            return Ok(());
        }
        self.control(op).map(|_| ())
    }

    /// A step that only lets time pass, on an engine whose clock cannot be steered.
    fn passes_for_real(&self, step: &Step) -> bool {
        step.advance_ms.is_some()
            && !self.setting.facts.has("MANUAL_CLOCK")
            && step.on == self.current
            && step.repeat.is_none()
    }

    /// Lets real time pass for steps that follow each other. Their events are looked at together, when all are there or
    /// have had their time; none may come before the time that had to pass before it.
    fn pass_for_real(&mut self, steps: &[Step]) -> Result<(), Trouble> {
        let ms: u32 = steps.iter().filter_map(|step| step.advance_ms).sum();
        let (early, late) = (self.scaled(EARLY_MS), self.scaled(LATE_MS));
        let start = Instant::now();
        let length = Duration::from_millis(u64::from(ms));
        self.deadline += length + late;
        let expects = steps.iter().any(|step| step.expect_events.is_some());
        let mut wanted = Vec::new();
        let mut earliest = Vec::new();
        // Nothing is said about when events came that are looked for only later.
        let mut looked = None;
        for step in steps {
            if let Some(events) = &step.expect_events {
                let events = json_of_list(events);
                earliest.extend(events.iter().map(|_| looked));
                wanted.extend(events);
                looked = Some(
                    self.passed
                        + Duration::from_millis(u64::from(step.advance_ms.unwrap_or_default())),
                );
            }
            self.passed += Duration::from_millis(u64::from(step.advance_ms.unwrap_or_default()));
        }
        let began = self.began;
        let session = self.session()?;
        // Where a step has no events to go by, whatever is due by then gets its time as well.
        let tells = steps.iter().all(|step| step.expect_events.is_some());
        let long_enough = |session: &Session| tells && session.waiting_events() >= wanted.len();
        loop {
            let now = Instant::now();
            let until = if now < start + length { start + length } else { start + length + late };
            if now >= until || now >= start + length && long_enough(session) {
                break;
            }
            if !session.poll(until) && session.has_ended() {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        }
        if !expects {
            return Ok(());
        }
        let (times, events): (Vec<Instant>, Vec<DynamicMessage>) =
            session.take_timed_events().into_iter().unzip();
        let mut differences = expect::check_events(&wanted, &events, &self.vars)?;
        for (index, (time, earliest)) in times.iter().zip(&earliest).enumerate() {
            let after = time.saturating_duration_since(began);
            if let Some(earliest) = earliest
                && after + early < *earliest
            {
                differences.extend(expect::unlike(
                    "expect_events",
                    format!("event {index} at least {} ms after the start", earliest.as_millis()),
                    format!("{} ms after it", after.as_millis()),
                ));
            }
        }
        self.settle(differences)
    }

    fn set_clock(&mut self) -> Result<(), Trouble> {
        let steered = |step: &Step| step.advance_ms.is_some() || !step.storage_writes.is_empty();
        if self.setting.facts.has("MANUAL_CLOCK") && case::uses(&self.loaded.case.steps, &steered) {
            self.count_writes()?;
        }
        Ok(())
    }

    /// Takes the clock over, which changes nothing the second time, and notes how often the session has written.
    fn count_writes(&mut self) -> Result<(), Trouble> {
        let answer = self.control(json!({ "set_clock": { "manual": true } }))?;
        self.seat.writes = answer.int("storage_writes");
        Ok(())
    }

    /// Kills the engine the way its transport allows, without a word.
    fn crash(&mut self) -> Result<(), Trouble> {
        let deadline = self.deadline;
        let can_be_told = self.setting.facts.has("FAULTS") && self.session()?.opened().is_some();
        match self.setting.transport {
            Transport::Browser => {
                self.session()?.link.bridge(&json!({ "t": "terminate" }))?;
                let _ = self.session()?.wait_end(deadline)?;
            }
            // The server lives on: what it holds for other sessions, and what it keeps for this one.
            Transport::Tcp | Transport::Ws if can_be_told => {
                let request =
                    proto::from_json("Request", &json!({ "control": { "crash_now": {} } }))?;
                let session = self.session()?;
                let token = session.send(request, Vec::new(), None)?;
                session.expect_silence(token);
                let _ = session.wait_end(deadline)?;
            }
            Transport::Stdio | Transport::Tcp | Transport::Ws => {
                self.session()?.link.kill();
                self.target.restart();
            }
        }
        self.seat.disorderly = true;
        self.close_link();
        Ok(())
    }

    /// What a reopen does not say: the storage of the session before, and patience with an engine that is still dying.
    fn carry_over(&self, init: &mut Init) {
        if init.storage.is_none() {
            init.storage.clone_from(&self.seat.storage);
            if let Some(storage) = &mut init.storage {
                storage.wait_ms = 0;
            }
        }
        if let Some(storage) = &mut init.storage
            && storage.kind == TEST
            && storage.wait_ms == 0
            && (self.seat.disorderly || self.seat.is_left)
        {
            storage.wait_ms = DYING_MS;
        }
    }

    /// An init whose storage is a kind and a path.
    fn placed(&mut self, init: &Init) -> Result<Init, Trouble> {
        let mut init = init.clone();
        let Some(storage) = &mut init.storage else {
            return Ok(init);
        };
        self.seat.storage = Some(storage.clone());
        if storage.kind == TEST {
            match &self.stores {
                None => {
                    storage.kind = "MEMORY".to_owned();
                    storage.path.clear();
                }
                Some(stores) => {
                    let name = self.vars.fill(&storage.path)?;
                    storage.kind = stores.kind().to_owned();
                    storage.path = stores.path(&name);
                    self.stored = true;
                    let variable =
                        if name.is_empty() { "path".to_owned() } else { format!("path_{name}") };
                    self.vars.set(&variable, Cell::Text(storage.path.clone().into_bytes()));
                }
            }
        }
        Ok(init)
    }

    /// Looks at what is stored, and changes it.
    fn store(&mut self, step: &case::schema::Store) -> Result<(), Trouble> {
        let deadline = self.deadline;
        let stores = self
            .stores
            .as_ref()
            .ok_or_else(|| Trouble::Case("there is no storage under test".to_owned()))?;
        let name = self.vars.fill(&step.path)?;
        let stored = stores.access(self.target, &name, Stored::Read, deadline)?;
        let shown = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => format!("{} bytes", bytes.len()),
            None => "nothing".to_owned(),
        };
        let mut differences = Vec::new();
        if step.missing && stored.is_some() {
            differences.extend(expect::unlike("store", "nothing", shown(&stored)));
        }
        if !step.equals.is_empty() {
            let Cell::Blob(wanted) = self.vars.get(&step.equals)?.clone() else {
                return Err(Trouble::Case(format!("{} holds no bytes", step.equals)));
            };
            if stored.as_ref() != Some(&wanted) {
                differences.extend(expect::unlike(
                    "store",
                    format!("the {} bytes of {}", wanted.len(), step.equals),
                    match &stored {
                        Some(bytes) if bytes.len() == wanted.len() => "others".to_owned(),
                        _ => shown(&stored),
                    },
                ));
            }
        }
        self.settle(differences)?;
        let mut new = match &step.write {
            Some(bytes) => Some(self.context().bytes(bytes)?),
            None => None,
        };
        if !step.mutations.is_empty() {
            let old = match (new.take(), &stored) {
                (Some(bytes), _) => bytes,
                (None, Some(bytes)) => bytes.clone(),
                (None, None) => return Err(Trouble::Case("nothing is stored".to_owned())),
            };
            new = Some(request::mutated(old, &step.mutations)?);
        }
        if !step.bind.is_empty() {
            let bytes = stored.ok_or_else(|| "nothing is stored that could be bound".to_owned())?;
            self.vars.set(&step.bind, Cell::Blob(bytes));
        }
        let stores = self.stores.as_ref().expect("it was there before");
        if let Some(bytes) = new {
            stores.access(self.target, &name, Stored::Write(bytes), deadline)?;
        }
        if step.remove {
            stores.access(self.target, &name, Stored::Remove, deadline)?;
        }
        Ok(())
    }

    /// A control call that has to succeed.
    fn control(&mut self, op: Json) -> Result<DynamicMessage, Trouble> {
        let request = proto::from_json("Request", &json!({ "control": op }))?;
        let deadline = self.deadline;
        let session = self.session()?;
        let token = session.send(request, Vec::new(), None)?;
        let answers = session.wait(token, deadline)?;
        let response = &answers.last().expect("an answer came").response;
        match (response.msg("control"), response.msg("error")) {
            (Some(control), _) => Ok(control.clone()),
            (None, None) => Ok(DynamicMessage::new(proto::message("ControlResponse"))),
            (None, Some(error)) => Err(Trouble::Differences(vec![Difference {
                member: "control",
                expected: op.to_string(),
                actual: error_summary(error),
                blessed: None,
                error: Some(error_name(error)),
            }])),
        }
    }

    fn bridge(&mut self, action: Option<&bridge::Action>) -> Result<(), Trouble> {
        let order = match action {
            None => return Err(Trouble::Case("the bridge is asked for nothing".to_owned())),
            Some(bridge::Action::TerminateWorker(_)) => {
                self.seat.disorderly = true;
                json!({ "t": "terminate" })
            }
            Some(bridge::Action::Post(value)) => json!({ "t": "post", "value": json_of(value) }),
            Some(bridge::Action::Reload(_)) => {
                self.seat.disorderly = true;
                json!({ "t": "reload" })
            }
            Some(bridge::Action::CopyInsteadOfTransfer(_)) => json!({ "t": "copy" }),
        };
        self.session()?.link.bridge(&order)?;
        Ok(())
    }

    /// Ends the last session in an orderly way, if the case has not ended it.
    fn leave(&mut self) -> Result<(), Trouble> {
        let Some(session) = &mut self.seat.session else {
            return Ok(());
        };
        if self.seat.disorderly || session.has_ended() {
            return Ok(());
        }
        if session.is_open() && !self.seat.is_left {
            let close =
                proto::from_json("Request", &json!({ "close": { "discard_unsaved": true } }))?;
            let token = session.send(close, Vec::new(), None)?;
            let answers = session.wait(token, self.deadline)?;
            if let Some(error) = answers.last().and_then(|answer| answer.response.msg("error")) {
                return Err(Trouble::Differences(vec![Difference {
                    member: "close",
                    expected: "success".to_owned(),
                    actual: error_summary(error),
                    blessed: None,
                    error: Some(error_name(error)),
                }]));
            }
        }
        let grace = if session.link.owns_process() { EXIT_GRACE } else { LINGER };
        session.finish(grace);
        if session.link.owns_process() {
            let until = self.deadline.min(Instant::now() + EXIT_GRACE);
            match session.link.exit_code(until) {
                Some(0) => {}
                Some(_) if session.has_failed() => {}
                Some(code) => {
                    return Err(Trouble::Differences(vec![Difference {
                        member: "exit_code",
                        expected: "exit status 0 after close and the end of the stream".to_owned(),
                        actual: code.to_string(),
                        blessed: None,
                        error: None,
                    }]));
                }
                None => {
                    return Err(Stop::Timeout(
                        "the process to exit after the end of its stdin".to_owned(),
                    )
                    .into());
                }
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        let case = &self.loaded.case;
        let options = OpenOptions {
            preamble: match &case.preamble_hex {
                Some(digits) => Some(crate::value::unhex(digits)?),
                None => None,
            },
            worker_script: (!case.worker_script.is_empty()).then(|| case.worker_script.clone()),
            tab: self.seat.is_tab,
        };
        self.seat.disorderly = options.preamble.is_some() || options.worker_script.is_some();
        self.seat.is_left = false;
        let link: Box<dyn Link> =
            self.target.connect(&options, self.deadline).map_err(Trouble::Unreachable)?;
        let recorder = Recorder::new(&self.loaded.id, self.setting.trace.clone());
        self.seat.session = Some(Session::new(link, recorder));
        Ok(())
    }

    /// Lets go of the link before another is opened.
    fn close_link(&mut self) {
        if let Some(session) = &mut self.seat.session
            && !self.seat.disorderly
        {
            session.finish(LINGER);
        }
        self.retire();
        self.seat.session = None;
    }

    /// After a failure: what the engine still says may be the explanation, and is checked like everything else.
    fn listen_on(&mut self) {
        if let Some(session) = &mut self.seat.session {
            while session.poll(Instant::now() + AFTERTHOUGHT) {}
        }
    }

    fn retire_all(&mut self) {
        self.retire();
        for name in self.others.keys().cloned().collect::<Vec<_>>() {
            self.sit(&name);
            self.retire();
        }
    }

    fn retire(&mut self) {
        if let Some(session) = &mut self.seat.session {
            self.breaches.append(&mut session.breaches);
            self.own_breaches.append(&mut session.own_breaches);
        }
    }

    fn explain(
        &mut self,
        trouble: Trouble,
        budget: Duration,
    ) -> (Ending, Vec<String>, Option<String>) {
        match trouble {
            Trouble::Differences(differences) => {
                let mut lines = Vec::new();
                for difference in &differences {
                    lines.push(format!("{}:", difference.member));
                    lines.push(format!("  expected {}", difference.expected));
                    lines.push(format!("  actual   {}", difference.actual));
                }
                let error = differences.into_iter().find_map(|difference| difference.error);
                (Ending::Fail, lines, error)
            }
            Trouble::Case(why) => (Ending::Fail, vec![format!("the case is wrong: {why}")], None),
            Trouble::Unreachable(why) => {
                (Ending::Crash, vec![format!("no connection: {why}")], None)
            }
            Trouble::Stop(Stop::Closed(reason)) => (
                Ending::Fail,
                vec![format!("the engine ended the session: {}", error_summary(&reason))],
                Some(error_name(&reason)),
            ),
            Trouble::Stop(Stop::Garbage(what)) => (Ending::Fail, vec![what], None),
            Trouble::Stop(Stop::Timeout(what)) => (
                Ending::Timeout,
                vec![format!("after {} ms the runner still waits for {what}", budget.as_millis())],
                None,
            ),
            Trouble::Stop(stop @ Stop::Ended(_)) => {
                let line = match &mut self.seat.session {
                    Some(session) => describe(&stop, session),
                    None => "the implementation is gone".to_owned(),
                };
                (Ending::Crash, vec![line], None)
            }
        }
    }

    fn note_blessings(&mut self, differences: &[Difference]) {
        if self.bless {
            let step = self.pointer.clone();
            self.blessings
                .extend(differences.iter().filter_map(|difference| blessing(&step, difference)));
        }
    }

    fn assign(&mut self, name: &str, value: &str) -> Result<(), String> {
        let filled = self.vars.fill(value)?;
        match filled.parse::<i64>() {
            Ok(number) => self.vars.set_int(name, number),
            Err(_) => self.vars.set(name, Cell::Text(filled.into_bytes())),
        }
        Ok(())
    }

    fn count_loop(&mut self, step: &Step, i: i128) {
        self.vars.set_int("i", i);
        if !step.loop_var.is_empty() {
            self.vars.set_int(&step.loop_var, i);
        }
    }

    fn scaled(&self, ms: u32) -> Duration {
        Duration::from_secs_f64(f64::from(ms) / 1000.0 * self.setting.time_scale)
    }

    fn context(&self) -> Context<'_> {
        let plugins = self.loaded.format.map(|format| Plugins { format, dir: &self.plugin_dir });
        Context { vars: &self.vars, dir: &self.dir, plugins }
    }

    fn session(&mut self) -> Result<&mut Session, Trouble> {
        self.seat
            .session
            .as_mut()
            .ok_or_else(|| Trouble::Case("there is no session; reopen first".to_owned()))
    }
}

fn is_request(step: &Step) -> bool {
    case::verbs(step).iter().any(|verb| {
        [
            "exec",
            "exec_generated",
            "exec_batch",
            "fetch",
            "close_cursor",
            "export",
            "save",
            "suspend",
            "resume",
            "crash_at",
            "cancel",
            "close",
            "init",
            "fault",
            "request",
            "send_raw",
        ]
        .contains(verb)
    })
}

fn blessing(step: &str, difference: &Difference) -> Option<Blessing> {
    Some(Blessing {
        step: step.to_owned(),
        member: difference.member,
        value: difference.blessed.clone()?,
    })
}

/// The differences of every alternative, as one.
fn no_option(tried: Vec<Vec<Difference>>) -> Option<Difference> {
    if tried.is_empty() {
        return None;
    }
    let error = tried.iter().flatten().find_map(|difference| difference.error.clone());
    let actual = tried
        .iter()
        .enumerate()
        .map(|(index, differences)| {
            let parts: Vec<String> = differences
                .iter()
                .map(|difference| {
                    format!(
                        "{} expected {}, actual {}",
                        difference.member, difference.expected, difference.actual
                    )
                })
                .collect();
            format!("option {index}: {}", parts.join("; "))
        })
        .collect::<Vec<_>>()
        .join("\n           ");
    Some(Difference {
        member: "one_of",
        expected: "one of the options".to_owned(),
        actual,
        blessed: None,
        error,
    })
}

pub(crate) fn describe(stop: &Stop, session: &mut Session) -> String {
    match stop {
        Stop::Timeout(what) => format!("no answer in time: the runner waits for {what}"),
        Stop::Garbage(what) => what.clone(),
        Stop::Closed(reason) => format!("the engine ended the session: {}", error_summary(reason)),
        Stop::Ended(how) => match session.link.exit_code(Instant::now() + Duration::from_secs(2)) {
            Some(code) => format!("the implementation is gone: {how}; exit status {code}"),
            None => format!("the implementation is gone: {how}"),
        },
    }
}

/// What to look at when the very first answer does not come.
fn why_no_engine(stop: &Stop, session: &mut Session) -> String {
    let what = describe(stop, session);
    let advice = match stop {
        Stop::Timeout(_) if session.messages_received == 0 => {
            session.link.advice().silence.to_owned()
        }
        Stop::Timeout(_) => match session.breaches.first() {
            Some(breach) => format!("it sent something, but not the answer to init: {breach}"),
            None => "it sent something, but not the answer to init".to_owned(),
        },
        Stop::Ended(how) if session.breaches.contains(how) => {
            session.link.advice().frames.to_owned()
        }
        Stop::Garbage(_) => session.link.advice().frames.to_owned(),
        Stop::Closed(_) => String::new(),
        Stop::Ended(_) => "it ended before it answered init".to_owned(),
    };
    if advice.is_empty() { what } else { format!("{what}\n{advice}") }
}

fn read_facts(init: &DynamicMessage) -> Facts {
    let mut capabilities: Vec<String> = init
        .items("capabilities")
        .iter()
        .filter_map(prost_reflect::Value::as_enum_number)
        .map(|number| proto::enum_name("Capability", number))
        .collect();
    capabilities.sort();
    Facts {
        capabilities,
        limits: init
            .msg("limits")
            .map(|limits| {
                proto::message("Limits")
                    .fields()
                    .map(|field| (field.name().to_owned(), limits.int(field.name())))
                    .collect()
            })
            .unwrap_or_default(),
        minor: init.int("minor") as u32,
        engine_version: init.text("engine_version").to_owned(),
        sqlite_version: init.text("sqlite_version").to_owned(),
    }
}

/// The highest minor that this suite knows.
pub const HIGHEST_MINOR: u32 = 0;

const TEST: &str = "TEST";
/// How much earlier and later than said something may come in real time, in milliseconds.
const EARLY_MS: u32 = 20;
const LATE_MS: u32 = 200;
/// How long a killed engine may hold on to its storage, in milliseconds.
const DYING_MS: u32 = 5_000;
/// How long a worker that was told to die is given for it, since nobody sees it happen.
const UNSEEN: Duration = Duration::from_millis(300);
const AFTERTHOUGHT: Duration = Duration::from_millis(30);
const EXIT_GRACE: Duration = Duration::from_secs(5);
/// How long a server or page may take to notice that a link has ended. Only late messages are looked for.
const LINGER: Duration = Duration::from_millis(200);
