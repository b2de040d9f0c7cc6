//! A run: which cases, on how many jobs, and what their outcomes mean together.

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::case::schema::case::Level;
use crate::case::schema::{CaseResult, ListFault, Outcome, Report, Totals, Verdict};
use crate::case::{self, Loaded};
use crate::glob;
use crate::implementation::Config;
use crate::known::{Judgement, KnownFailures, Observed, State, judge};
use crate::play::{self, Ending, Facts, Played, Setting};
use crate::store::Storage;
use crate::trace::TraceFile;
use crate::transport;

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Patterns of which one has to match; empty is all.
    pub run: Vec<String>,
    /// Patterns of which none may match.
    pub skip: Vec<String>,
    /// Patterns of the chosen profiles; `None` is all.
    pub profile: Option<Vec<String>>,
    /// Only cases of this minor or earlier, such as "1.0".
    pub since: Option<String>,
    /// Fixture plugins of this format only.
    pub format: Option<String>,
    /// Only cases of this level.
    pub level: Option<Level>,
    /// Capabilities whose absence makes cases fail instead of not apply.
    pub require: Vec<String>,
    /// RECOMMENDED counts like REQUIRED.
    pub strict: bool,
    /// Order by this seed.
    pub shuffle: Option<u64>,
    /// This shard of so many, from 1.
    pub shard: Option<(u64, u64)>,
    /// Sessions at once.
    pub jobs: usize,
    /// Where the trace goes.
    pub trace: Option<PathBuf>,
    /// Budget of a case that names none.
    pub timeout: Duration,
    /// Factor for real time.
    pub time_scale: f64,
    /// Continue behind differences and collect what to write instead.
    pub bless: bool,
    /// Show which case is running.
    pub progress: bool,
    /// The cases that count, without formats, once the minor they belong to is released.
    pub required_set: Option<BTreeSet<String>>,
}

impl Options {
    /// True if a REQUIRED case has to pass.
    pub fn counts(&self, id: &str) -> bool {
        let bare = id.split('@').next().unwrap_or(id);
        self.required_set.as_ref().is_none_or(|set| set.contains(bare))
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            run: Vec::new(),
            skip: Vec::new(),
            profile: None,
            since: None,
            format: None,
            level: None,
            require: Vec::new(),
            strict: false,
            shuffle: None,
            shard: None,
            jobs: 1,
            trace: None,
            timeout: Duration::from_secs(10),
            time_scale: 1.0,
            bless: false,
            progress: false,
            required_set: None,
        }
    }
}

/// What a run came to.
pub struct Finished {
    /// The report.
    pub report: Report,
    /// What each case that ran came to, by id.
    pub played: Vec<(Loaded, Played)>,
    /// The runner itself is at fault.
    pub harness_failed: bool,
}

/// A run that did not take place.
#[derive(Debug)]
pub enum Refused {
    /// The command line is wrong.
    Usage(String),
    /// The implementation did not start, or its handshake is wrong.
    NotStarted(String),
    /// No case was selected.
    Nothing(String),
}

/// The selected cases, in the order in which they run.
pub fn select(all: &[Loaded], options: &Options) -> Vec<Loaded> {
    let any =
        |patterns: &[String], id: &str| patterns.iter().any(|pattern| glob::selects(pattern, id));
    let mut selected: Vec<Loaded> = all
        .iter()
        .filter(|loaded| {
            let id = &loaded.id;
            (options.run.is_empty() || any(&options.run, id))
                && options.profile.as_ref().is_none_or(|patterns| any(patterns, id))
                && !options.skip.iter().any(|pattern| glob::matches(pattern, id))
                && options.level.is_none_or(|level| loaded.case.level() == level)
                && options.since.as_ref().is_none_or(|since| {
                    let own = if loaded.case.since.is_empty() { "1.0" } else { &loaded.case.since };
                    minor_of(own) <= minor_of(since)
                })
                && options
                    .shard
                    .is_none_or(|(index, count)| glob::fnv1a64(id.as_bytes()) % count == index - 1)
        })
        .cloned()
        .collect();
    if let Some(seed) = options.shuffle {
        shuffle(&mut selected, seed);
    }
    selected
}

/// Runs the selected cases. `all` are the cases of the whole suite, which the known-failure list is checked against.
pub fn run(
    config: &Config,
    options: &Options,
    all: &[Loaded],
    known: &KnownFailures,
) -> Result<Finished, Refused> {
    let started = Instant::now();
    let selected = select(all, options);
    if selected.is_empty() {
        return Err(Refused::Nothing("no case is selected".to_owned()));
    }
    let facts = handshake(config)?;
    let setting = Setting {
        transport: config.transport,
        trace: match &options.trace {
            Some(path) => Some(TraceFile::create(path).map_err(Refused::Usage)?),
            None => None,
        },
        timeout: options.timeout,
        time_scale: options.time_scale * config.time_scale,
        storage: match facts.has("PERSISTENCE") {
            true => Some(Storage::new(config).map_err(Refused::Usage)?),
            false => None,
        },
        facts,
    };

    let in_formats = |cases: &[Loaded]| -> Vec<Loaded> {
        cases.iter().flat_map(|loaded| in_formats(loaded, &setting.facts, options)).collect()
    };
    let mut selected = in_formats(&selected);
    let any =
        |patterns: &[String], id: &str| patterns.iter().any(|pattern| glob::selects(pattern, id));
    selected.retain(|loaded| {
        (options.run.is_empty() || any(&options.run, &loaded.id)) && !any(&options.skip, &loaded.id)
    });
    let all = &in_formats(all);

    let mut results = Vec::new();
    let mut queue = VecDeque::new();
    for loaded in selected {
        let obstacle = obstacle(&loaded, config, &setting.facts, setting.storage.as_ref());
        match (obstacle, known.entry(&loaded.id)) {
            (Some(why), _) => {
                let required = options.require.iter().any(|capability| {
                    loaded.case.needs.contains(capability) && !setting.facts.has(capability)
                });
                let mut result = result_of(&loaded, Outcome::NotApplicable, Verdict::Green);
                result.message = why;
                if required {
                    result.outcome = Outcome::Fail as i32;
                    result.verdict = Verdict::Red as i32;
                    result.message += ", but --require insists";
                }
                results.push(result);
            }
            (None, Some(entry)) if entry.state == State::Skip => {
                let mut result = result_of(&loaded, Outcome::Skipped, Verdict::Known);
                result.message = entry.reason.clone();
                result.known_failure = entry.pattern.clone();
                results.push(result);
            }
            (None, _) => queue.push_back(loaded),
        }
    }
    if options.shuffle.is_none() {
        // What may take long begins early, so that it does not run alone at the end.
        queue.make_contiguous().sort_by_key(|loaded| std::cmp::Reverse(loaded.case.timeout_ms));
    }
    let total = queue.len();
    if total == 0 {
        return Err(Refused::Nothing(format!(
            "{} cases are selected, none of them can run here",
            results.len()
        )));
    }

    let played = play_all(config, options, &setting, queue, total);
    let mut breaches = Vec::new();
    let mut own_breaches = Vec::new();
    for (loaded, played) in &played {
        let tag = |found: &[String], into: &mut Vec<String>| {
            into.extend(found.iter().map(|breach| format!("{}: {breach}", loaded.id)));
        };
        tag(&played.breaches, &mut breaches);
        tag(&played.own_breaches, &mut own_breaches);
        results.push(judged(loaded, played, known, options));
    }
    results.push(check_result(WIRE, &breaches, known));
    results.push(check_result(HARNESS, &own_breaches, &KnownFailures::default()));
    results.sort_by(|a, b| a.id.cmp(&b.id));

    let ids = || all.iter().map(|loaded| loaded.id.as_str()).chain([WIRE, HARNESS]);
    let list_faults: Vec<ListFault> = known
        .faults(ids())
        .into_iter()
        .map(|fault| ListFault {
            line: fault.line as u32,
            pattern: fault.pattern,
            message: fault.message,
        })
        .collect();
    let totals = totals(&results, &list_faults);
    let manual = setting.facts.has("MANUAL_CLOCK");
    let report = Report {
        implementation: config.name.clone(),
        engine_version: setting.facts.engine_version.clone(),
        sqlite_version: setting.facts.sqlite_version.clone(),
        minor: setting.facts.minor,
        capabilities: setting.facts.capabilities.clone(),
        transport: config.transport.name().to_owned(),
        clock: if manual { "virtual" } else { "real-time" }.to_owned(),
        shard: options.shard.map(|(index, count)| format!("{index}/{count}")).unwrap_or_default(),
        shuffle_seed: options.shuffle.unwrap_or_default(),
        duration_ms: started.elapsed().as_millis() as u64,
        storage: setting.storage.as_ref().map_or("MEMORY".to_owned(), |storage| storage.describe()),
        spec: config.spec.clone(),
        mode: "engine".to_owned(),
        results,
        list_faults,
        totals: Some(totals),
    };
    Ok(Finished { report, played, harness_failed: !own_breaches.is_empty() })
}

/// A case as often as it is to be played: once, or for each format of its plugins.
fn in_formats(loaded: &Loaded, facts: &Facts, options: &Options) -> Vec<Loaded> {
    let case = &loaded.case;
    if !case::uses_fixtures(case) {
        return vec![loaded.clone()];
    }
    let played: Vec<Loaded> = case::FORMATS
        .into_iter()
        .filter(|format| {
            facts.has(&format!("PLUGINS_{format}"))
                && (case.formats.is_empty() || case.formats.iter().any(|own| own == format))
                && options.format.as_ref().is_none_or(|only| only == format)
        })
        .map(|format| Loaded {
            id: format!("{}@{format}", loaded.id),
            format: Some(format),
            ..loaded.clone()
        })
        .collect();
    if played.is_empty() { vec![loaded.clone()] } else { played }
}

/// Today as YYYY-MM-DD, in UTC.
pub fn today() -> String {
    let days = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| (since.as_secs() / 86_400) as i64);
    date_of(days)
}

/// The id of the check on what the engine sends.
pub const WIRE: &str = "wire/valid-frames";
/// The id of the check on what the runner sends.
pub const HARNESS: &str = "harness/valid-frames";
/// The results that are no cases.
pub const CHECKS: [&str; 4] = [WIRE, crate::host::HOST, crate::host::ADAPTER, HARNESS];

fn handshake(config: &Config) -> Result<Facts, Refused> {
    let complain = |why: String| Refused::NotStarted(format!("{}: {why}", config.name));
    let mut target = transport::target(config).map_err(complain)?;
    let facts = play::probe(&mut *target, config.start_timeout).map_err(complain)?;
    let missing: Vec<&str> = config
        .capabilities
        .iter()
        .map(String::as_str)
        .chain(config.conformance.then_some("MANUAL_CLOCK"))
        .filter(|capability| !facts.has(capability))
        .collect();
    if missing.is_empty() {
        Ok(facts)
    } else {
        Err(complain(format!(
            "promises {} and announces only {}",
            missing.join(", "),
            facts.capabilities.join(", ")
        )))
    }
}

fn play_all(
    config: &Config,
    options: &Options,
    setting: &Setting,
    queue: VecDeque<Loaded>,
    total: usize,
) -> Vec<(Loaded, Played)> {
    let queue = Mutex::new(queue);
    let (sender, results) = channel();
    let mut played = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, total) {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                let mut target = match transport::target(config) {
                    Ok(target) => target,
                    Err(why) => unreachable!("the handshake made such a target: {why}"),
                };
                loop {
                    let next = queue.lock().expect("no holder panics").pop_front();
                    let Some(loaded) = next else { return };
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        play::play(setting, &mut *target, &loaded, options.bless)
                    }));
                    let outcome = outcome.unwrap_or_else(|panic| {
                        target.restart();
                        fault_of_ours(&panic)
                    });
                    if sender.send((loaded, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut failed = 0;
        for (loaded, outcome) in results {
            if outcome.ending != Ending::Pass {
                failed += 1;
            }
            if options.progress {
                eprint!("\r\x1b[K{}", progress(played.len() + 1, total, failed, &loaded.id));
            }
            played.push((loaded, outcome));
        }
        if options.progress {
            eprint!("\r\x1b[K");
        }
    });
    played
}

/// One line of a terminal of 80 columns.
pub(crate) fn progress(done: usize, total: usize, failed: usize, id: &str) -> String {
    const WIDTH: usize = 20;
    let filled = done * WIDTH / total.max(1);
    let bar = "━".repeat(filled) + &"─".repeat(WIDTH - filled);
    let failing = match failed {
        0 => String::new(),
        n => format!(" {n} failing"),
    };
    let line = format!("{bar} {done}/{total}{failing} {id}");
    line.chars().take(79).collect()
}

pub(crate) fn fault_of_ours(panic: &Box<dyn std::any::Any + Send>) -> Played {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without message");
    Played {
        ending: Ending::Fail,
        lines: vec![format!("the runner panicked: {what}")],
        own_breaches: vec![format!("the runner panicked: {what}")],
        ..Played::nothing()
    }
}

/// Why a case cannot run here.
fn obstacle(
    loaded: &Loaded,
    config: &Config,
    facts: &Facts,
    storage: Option<&Storage>,
) -> Option<String> {
    let case = &loaded.case;
    for condition in &case.store {
        let holds = match storage {
            Some(storage) => storage.satisfies(condition),
            None => condition.starts_with('!'),
        };
        if !holds {
            return Some(format!("the storage is not {condition}"));
        }
    }
    if case::uses_fixtures(case) {
        match loaded.format {
            None => return Some("no format of plugins that the case is for".to_owned()),
            Some("BUILTIN") => {}
            Some(_) if case.interrupts && !config.interrupts_plugins => {
                return Some("plugins cannot be interrupted".to_owned());
            }
            Some(_) => {}
        }
    }
    for need in &case.needs {
        match need.strip_prefix('!') {
            Some(name) if facts.has(name) => return Some(format!("the engine announces {name}")),
            None if !facts.has(need) => {
                return Some(format!("the engine does not announce {need}"));
            }
            _ => {}
        }
    }
    let here = |name: &str| name == config.transport.name() || name == config.transport.class();
    let (excluded, wanted): (Vec<&String>, Vec<&String>) =
        case.transports.iter().partition(|transport| transport.starts_with('!'));
    if excluded.iter().any(|transport| here(&transport[1..]))
        || !wanted.is_empty() && !wanted.iter().any(|name| here(name))
    {
        return Some(format!("the transport is {}", config.transport.name()));
    }
    None
}

pub(crate) fn judged(
    loaded: &Loaded,
    played: &Played,
    known: &KnownFailures,
    options: &Options,
) -> CaseResult {
    let (outcome, observed) = match played.ending {
        Ending::Pass => (Outcome::Pass, Observed::Pass),
        Ending::Fail => (Outcome::Fail, Observed::Fail(played.error.as_deref())),
        Ending::Crash => (Outcome::Crash, Observed::CrashOrTimeout),
        Ending::Timeout => (Outcome::Timeout, Observed::CrashOrTimeout),
    };
    let entry = known.entry(&loaded.id);
    let mut result = result_of(loaded, outcome, Verdict::Green);
    let mut message = played.lines.join("\n");
    let verdict = match judge(observed, entry) {
        Judgement::Pass => Verdict::Green,
        Judgement::Known => Verdict::Known,
        Judgement::Red(None) => match loaded.case.level() {
            Level::Required if options.strict || options.counts(&loaded.id) => Verdict::Red,
            Level::Recommended if options.strict => Verdict::Red,
            Level::Required => {
                message = format!("not in the required set of its minor\n{message}");
                Verdict::Advisory
            }
            Level::Recommended | Level::Optional => Verdict::Advisory,
        },
        Judgement::Red(Some(why)) => {
            message = if message.is_empty() { why } else { format!("{why}\n{message}") };
            Verdict::Red
        }
    };
    result.verdict = verdict as i32;
    result.duration_ms = played.duration.as_millis() as u64;
    result.step = played.step.clone();
    result.message = message;
    result.error = played.error.clone().unwrap_or_default();
    result.known_failure = entry.map(|entry| entry.pattern.clone()).unwrap_or_default();
    result.stderr = played.stderr.clone();
    result.real_time = played.real_time;
    result.stored = played.stored;
    if played.ending != Ending::Pass {
        result.frames = played.excerpt.clone();
        result.breaches = played.breaches.iter().take(SHOWN_BREACHES).cloned().collect();
    }
    result
}

pub(crate) fn check_result(id: &str, breaches: &[String], known: &KnownFailures) -> CaseResult {
    let entry = known.entry(id);
    let (outcome, observed) = if breaches.is_empty() {
        (Outcome::Pass, Observed::Pass)
    } else {
        (Outcome::Fail, Observed::Fail(None))
    };
    let mut message = breaches.iter().take(SHOWN_BREACHES).cloned().collect::<Vec<_>>().join("\n");
    if breaches.len() > SHOWN_BREACHES {
        message += &format!("\n… and {} more", breaches.len() - SHOWN_BREACHES);
    }
    let verdict = match judge(observed, entry) {
        Judgement::Pass => Verdict::Green,
        Judgement::Known => Verdict::Known,
        Judgement::Red(why) => {
            if let Some(why) = why {
                message = format!("{why}\n{message}");
            }
            Verdict::Red
        }
    };
    CaseResult {
        id: id.to_owned(),
        outcome: outcome as i32,
        verdict: verdict as i32,
        level: "REQUIRED".to_owned(),
        message,
        known_failure: entry.map(|entry| entry.pattern.clone()).unwrap_or_default(),
        ..CaseResult::default()
    }
}

pub(crate) fn result_of(loaded: &Loaded, outcome: Outcome, verdict: Verdict) -> CaseResult {
    CaseResult {
        id: loaded.id.clone(),
        outcome: outcome as i32,
        verdict: verdict as i32,
        level: loaded.case.level().as_str_name().to_owned(),
        spec: loaded.case.spec.clone(),
        ..CaseResult::default()
    }
}

/// Counts results; faults of the known-failure list count as failures.
pub fn totals(results: &[CaseResult], list_faults: &[ListFault]) -> Totals {
    let mut totals = Totals { failed: list_faults.len() as u32, ..Totals::default() };
    for result in results {
        match (result.outcome(), result.verdict()) {
            (_, Verdict::Red) => totals.failed += 1,
            (Outcome::NotApplicable, _) => totals.not_applicable += 1,
            (_, Verdict::Known) => {
                totals.known += 1;
                totals.skipped += 1;
            }
            (_, Verdict::Advisory) => {
                totals.advisory += 1;
                totals.skipped += 1;
            }
            _ => {
                totals.passed += 1;
                totals.stored += u32::from(result.stored);
            }
        }
    }
    totals
}

fn minor_of(version: &str) -> (u64, u64) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(1), parts.next().unwrap_or(0))
}

/// Fisher and Yates with xorshift64*, so that a seed gives the same order everywhere.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut x = seed | 1;
    for at in (1..items.len()).rev() {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        let random = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        items.swap(at, (random % (at as u64 + 1)) as usize);
    }
}

/// The civil date of a day counted from 1970-01-01.
fn date_of(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

const SHOWN_BREACHES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::schema::Case;
    use std::sync::Arc;

    fn loaded(id: &str, edit: impl FnOnce(&mut Case)) -> Loaded {
        let mut case = Case { name: id.to_owned(), ..Case::default() };
        edit(&mut case);
        Loaded {
            id: id.to_owned(),
            suite: String::new(),
            file: Arc::new(PathBuf::new()),
            index: 0,
            format: None,
            case: Arc::new(case),
        }
    }

    fn ids(selected: &[Loaded]) -> Vec<&str> {
        selected.iter().map(|loaded| loaded.id.as_str()).collect()
    }

    #[test]
    fn selection() {
        let all = [
            loaded("a/one", |_| {}),
            loaded("a/two", |case| case.level = Level::Optional as i32),
            loaded("b/three", |case| case.since = "1.2".to_owned()),
        ];
        let with = |edit: &dyn Fn(&mut Options)| {
            let mut options = Options::default();
            edit(&mut options);
            ids(&select(&all, &options)).iter().map(|id| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(with(&|_| {}), ["a/one", "a/two", "b/three"]);
        assert_eq!(with(&|o| o.run = vec!["a/**".into()]), ["a/one", "a/two"]);
        assert_eq!(with(&|o| o.skip = vec!["a/*".into()]), ["b/three"]);
        assert_eq!(
            with(&|o| {
                o.profile = Some(vec!["a/**".into()]);
                o.run = vec!["*/one".into(), "b/**".into()];
            }),
            ["a/one"]
        );
        assert_eq!(with(&|o| o.level = Some(Level::Optional)), ["a/two"]);
        assert_eq!(with(&|o| o.since = Some("1.1".into())), ["a/one", "a/two"]);
    }

    #[test]
    fn shards_are_a_partition() {
        let all: Vec<Loaded> = (0..50).map(|n| loaded(&format!("s/c{n}"), |_| {})).collect();
        let mut seen = Vec::new();
        for index in 1..=3 {
            let options = Options { shard: Some((index, 3)), ..Options::default() };
            let part = select(&all, &options);
            assert!(!part.is_empty());
            seen.extend(part.into_iter().map(|loaded| loaded.id));
        }
        seen.sort();
        let mut expected: Vec<String> = all.iter().map(|loaded| loaded.id.clone()).collect();
        expected.sort();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_seed_is_an_order() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(9));
        let mut sorted = order(7);
        sorted.sort();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn needs_and_transports() {
        let config = crate::implementation::resolve("stdio:true").unwrap();
        let facts = Facts { capabilities: vec!["CURSORS".to_owned()], ..Facts::default() };
        let blocked = |needs: &[&str], transports: &[&str]| {
            let loaded = loaded("a/b", |case| {
                case.needs = needs.iter().map(|need| need.to_string()).collect();
                case.transports = transports.iter().map(|name| name.to_string()).collect();
            });
            obstacle(&loaded, &config, &facts, None).is_some()
        };
        assert!(!blocked(&["CURSORS", "!SCOPES"], &["stream"]));
        assert!(blocked(&["SCOPES"], &[]));
        assert!(blocked(&["!CURSORS"], &[]));
        assert!(blocked(&[], &["ws", "browser"]));
        assert!(!blocked(&[], &["ws", "stdio"]));
        assert!(blocked(&[], &["!stream"]));
        assert!(!blocked(&[], &["!message"]));
    }

    #[test]
    fn the_progress_line_fits() {
        assert_eq!(progress(5, 10, 0, "a/b"), "━━━━━━━━━━────────── 5/10 a/b");
        let line = progress(10, 10, 3, &"long/".repeat(40));
        assert!(line.contains("10/10 3 failing long/") && line.chars().count() == 79, "{line}");
    }

    #[test]
    fn days_have_dates() {
        for (days, date) in
            [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22")]
        {
            assert_eq!(date_of(days), date);
        }
    }
}
