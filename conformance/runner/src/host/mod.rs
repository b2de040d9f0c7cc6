//! Modes `host` and `pair`: a host library is under test behind its adapter, and the runner is a scripted engine; or it
//! sits between the host and a real engine.

pub mod adapter;
pub mod case;
pub mod legal;
pub mod lines;
pub mod play;
pub mod script;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::case::Loaded;
use crate::case::schema::{ListFault, Outcome, Report, Verdict};
use crate::host::adapter::{Adapter, Hello};
use crate::host::case::{HostCases, PAIR};
use crate::host::play::HostPlayed;
use crate::implementation::Config;
use crate::known::{KnownFailures, State};
use crate::play::{Ending, Played};
use crate::report::quoted;
use crate::run::{
    Finished, HARNESS, Options, Refused, WIRE, check_result, judged, progress, result_of, select,
    totals,
};
use crate::trace::TraceFile;
use crate::transport;

/// The id of the check on what the host of a pair sends; the engine of a pair has `wire/valid-frames`.
pub const HOST: &str = "wire/valid-host-frames";

/// The id of the check on what the adapter reports.
pub const ADAPTER: &str = "adapter/valid-reports";

/// Runs the selected cases against the host behind an adapter; with an engine, those for pairs.
pub fn run(
    config: &Config,
    engine: Option<&Config>,
    options: &Options,
    all: &HostCases,
    known: &KnownFailures,
) -> Result<Finished, Refused> {
    let started = Instant::now();
    let mut selected = select(&all.loaded, options);
    selected.retain(|loaded| loaded.id.starts_with(PAIR) == engine.is_some());
    if selected.is_empty() {
        return Err(Refused::Nothing("no case for hosts is selected".to_owned()));
    }
    let complain = |why: String| Refused::NotStarted(format!("{}: {why}", config.name));
    let (adapter, hello) = Adapter::start(config).map_err(complain)?;
    adapter.finish();
    if let Some(engine) = engine {
        let complain = |why: String| Refused::NotStarted(format!("{}: {why}", engine.name));
        let mut target = transport::target(engine).map_err(complain)?;
        crate::play::probe(&mut *target, engine.start_timeout).map_err(complain)?;
    }

    let mut results = Vec::new();
    let mut queue = VecDeque::new();
    for loaded in selected {
        let case = &all.by_id[&loaded.id];
        let missing = case.needs.iter().find(|need| match need.strip_prefix('!') {
            Some(absent) => hello.features.iter().any(|own| own == absent),
            None => !hello.features.contains(need),
        });
        match (missing, known.entry(&loaded.id)) {
            (Some(need), _) => {
                let mut result = result_of(&loaded, Outcome::NotApplicable, Verdict::Green);
                result.message = match need.strip_prefix('!') {
                    Some(present) => format!("the host has the feature {present}"),
                    None => format!("the host does not have the feature {need}"),
                };
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
    if queue.is_empty() {
        return Err(Refused::Nothing("none of the selected cases can run here".to_owned()));
    }
    let trace = match &options.trace {
        Some(path) => Some(TraceFile::create(path).map_err(Refused::Usage)?),
        None => None,
    };
    let total = queue.len();
    let job = Job { config, engine, options, all, trace: trace.as_ref() };
    let played = play_all(&job, queue, total);

    let (mut breaches, mut own) = (Vec::new(), Vec::new());
    let (mut adapters, mut engines) = (Vec::new(), Vec::new());
    for (loaded, played) in &played {
        let tag = |found: &[String], into: &mut Vec<String>| {
            into.extend(found.iter().map(|breach| format!("{}: {breach}", loaded.id)));
        };
        tag(&played.played.breaches, &mut breaches);
        tag(&played.played.own_breaches, &mut own);
        tag(&played.adapter, &mut adapters);
        tag(&played.engine, &mut engines);
        match &played.not_here {
            Some(why) => {
                let mut result = result_of(loaded, Outcome::NotApplicable, Verdict::Green);
                result.message = why.clone();
                results.push(result);
            }
            None => results.push(judged(loaded, &played.played, known, options)),
        }
    }
    if engine.is_some() {
        results.push(check_result(WIRE, &engines, known));
        results.push(check_result(HOST, &breaches, known));
    } else {
        results.push(check_result(WIRE, &breaches, known));
    }
    results.push(check_result(ADAPTER, &adapters, known));
    results.push(check_result(HARNESS, &own, &KnownFailures::default()));
    results.sort_by(|a, b| a.id.cmp(&b.id));
    let ids =
        || all.loaded.iter().map(|loaded| loaded.id.as_str()).chain([WIRE, HOST, ADAPTER, HARNESS]);
    let list_faults: Vec<ListFault> = known
        .faults(ids())
        .into_iter()
        .map(|fault| ListFault {
            line: fault.line as u32,
            pattern: fault.pattern,
            message: fault.message,
        })
        .collect();
    let report = Report {
        implementation: match engine {
            Some(engine) => format!("{} with {}", config.name, engine.name),
            None => config.name.clone(),
        },
        engine_version: hello.version.clone(),
        capabilities: hello.features.clone(),
        transport: "adapter".to_owned(),
        clock: "real-time".to_owned(),
        shard: options.shard.map(|(index, count)| format!("{index}/{count}")).unwrap_or_default(),
        shuffle_seed: options.shuffle.unwrap_or_default(),
        duration_ms: started.elapsed().as_millis() as u64,
        totals: Some(totals(&results, &list_faults)),
        spec: match engine {
            Some(engine) => format!("{} --engine {}", quoted(&config.spec), quoted(&engine.spec)),
            None => config.spec.clone(),
        },
        mode: if engine.is_some() { "pair" } else { "host" }.to_owned(),
        results,
        list_faults,
        ..Report::default()
    };
    let played = played.into_iter().map(|(loaded, played)| (loaded, played.played)).collect();
    Ok(Finished { report, played, harness_failed: !own.is_empty() })
}

/// What is the same for all cases.
struct Job<'a> {
    config: &'a Config,
    engine: Option<&'a Config>,
    options: &'a Options,
    all: &'a HostCases,
    trace: Option<&'a TraceFile>,
}

fn play_all(job: &Job<'_>, queue: VecDeque<Loaded>, total: usize) -> Vec<(Loaded, HostPlayed)> {
    let options = job.options;
    let relay = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
    let queue = Mutex::new(queue);
    let (sender, results) = channel();
    let mut played = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, total) {
            let (sender, queue, relay) = (sender.clone(), &queue, &relay);
            scope.spawn(move || {
                let mut running: Option<Adapter> = None;
                let mut engine = job.engine.map(|config| {
                    transport::target(config)
                        .unwrap_or_else(|why| unreachable!("it was probed: {why}"))
                });
                loop {
                    let next = queue.lock().expect("no holder panics").pop_front();
                    let Some(loaded) = next else { break };
                    let engine = engine.as_deref_mut();
                    let outcome = one(job, &loaded, relay, engine, &mut running);
                    if sender.send((loaded, outcome)).is_err() {
                        break;
                    }
                }
                if let Some(adapter) = running {
                    adapter.finish();
                }
            });
        }
        drop(sender);
        let mut failed = 0;
        for (loaded, outcome) in results {
            failed += usize::from(outcome.played.ending != Ending::Pass);
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

fn one(
    job: &Job<'_>,
    loaded: &Loaded,
    relay: &str,
    engine: play::Engine<'_>,
    running: &mut Option<Adapter>,
) -> HostPlayed {
    if running.is_none() {
        match Adapter::start(job.config) {
            Ok((adapter, Hello { .. })) => *running = Some(adapter),
            Err(why) => {
                let played =
                    Played { ending: Ending::Crash, lines: vec![why], ..Played::nothing() };
                let (adapter, engine) = (Vec::new(), Vec::new());
                return HostPlayed { played, adapter, engine, not_here: None, spoiled: true };
            }
        }
    }
    let adapter = running.as_mut().expect("just started");
    let (case, trace) = (&job.all.by_id[&loaded.id], job.trace.cloned());
    let outcome = play::play(case, &loaded.id, adapter, engine, relay, trace, job.options.timeout);
    if outcome.spoiled {
        *running = None;
    }
    outcome
}
