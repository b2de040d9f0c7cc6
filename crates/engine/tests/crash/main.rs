//! The crash simulator: databases live on a disk whose power is cut after every operation, with
//! what was not flushed lost, torn or reordered by chance. What is found afterwards has to be,
//! bit for bit, the content after some commit that is not older than what was acknowledged.
//!
//! ```text
//! cargo test --release -p lix-engine-core --test crash -- [--cuts N] [--seed S] [--only]
//!     [--mutant NAME]
//! ```
//!
//! Seeds are tried one after another from `--seed` on until so many cuts were looked at; with
//! `--only`, just that one, which tells what it does. With `--mutant` the engine makes a mistake, which has to be noticed.

mod client;
#[allow(dead_code, reason = "the tests of the store use more of it")]
mod disk;
mod life;
mod workload;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use lix_engine_core::StorageFile;
use lix_engine_protocol::{Error, Reason, Result};

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(name) = &options.mutant
        && !switch_on(name)
    {
        eprintln!("no mutant {name}; they need the feature `mutants`");
        return ExitCode::FAILURE;
    }
    // Violations are reported below, once.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let report = simulate(&options);
    let seconds = started.elapsed().as_secs_f64();

    let Report { seeds, cuts, violations } = report;
    let range = format!("seeds {} to {}", options.seed, options.seed + seeds.max(1) - 1);
    match &options.mutant {
        None => println!(
            "crash: {cuts} power cuts, {range}, {} violations, {seconds:.1} s",
            violations.len()
        ),
        Some(name) if violations.is_empty() => {
            println!("mutant {name}: NOT caught in {cuts} power cuts ({range})");
        }
        Some(name) => println!("mutant {name}: caught within {cuts} power cuts, {seconds:.1} s"),
    }
    for (seed, message) in violations.iter().take(5) {
        println!("  seed {seed}: {message}");
        if options.mutant.is_none() {
            println!("    again: cargo xtask crash --seed {seed} --only");
        }
    }
    if violations.is_empty() == options.mutant.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Options {
    cuts: u64,
    seed: u64,
    is_only: bool,
    mutant: Option<String>,
}

impl Options {
    fn parse() -> std::result::Result<Self, String> {
        let mut options = Self { cuts: 300, seed: 1, is_only: false, mutant: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            let number =
                |value: String| value.parse().map_err(|_| format!("{value} is not a number"));
            match arg.as_str() {
                "--cuts" => options.cuts = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.is_only = true,
                "--mutant" => options.mutant = Some(value()?),
                // What `cargo test` passes to every test program is not for this one.
                _ => {}
            }
        }
        Ok(options)
    }
}

struct Report {
    seeds: u64,
    cuts: u64,
    violations: BTreeMap<u64, String>,
}

/// Each thread takes the next seed until there were enough cuts; what a seed does depends on
/// nothing else.
fn simulate(options: &Options) -> Report {
    let next = AtomicU64::new(options.seed);
    let cuts = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let violations = Mutex::new(BTreeMap::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if options.is_only { 1 } else { cores };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let outcome =
                        catch_unwind(AssertUnwindSafe(|| life::run(seed, options.is_only)));
                    let outcome = outcome.unwrap_or_else(|panic| Err(describe(&*panic)));
                    let seen = match outcome {
                        Ok(seen) => cuts.fetch_add(seen, Ordering::Relaxed) + seen,
                        Err(message) => {
                            violations.lock().expect("no panic here").insert(seed, message);
                            // A mutant is caught; a real violation may have company.
                            u64::from(options.mutant.is_some()) * options.cuts
                        }
                    };
                    if seen >= options.cuts || options.is_only {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let violations = violations.into_inner().expect("no panic here");
    let seeds = next.into_inner() - options.seed;
    Report { seeds, cuts: cuts.into_inner(), violations }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without words"))
}

#[cfg(feature = "mutants")]
fn switch_on(name: &str) -> bool {
    lix_engine_core::switch_on_mutant(name)
}

#[cfg(not(feature = "mutants"))]
fn switch_on(_: &str) -> bool {
    false
}
