//! The crash simulator: databases live on a disk whose power is cut after every operation, with
//! what was not flushed lost, torn or reordered by chance. What is found afterwards has to be,
//! bit for bit, the content after some commit that is not older than what was acknowledged. Three
//! of four seeds work on plain tables; the fourth works on a lix, whose state, commits and history
//! have to fit together afterwards, and now and then are computed again without a difference.
//!
//! ```text
//! cargo xtask crash [--cuts N] [--seed S] [--only] [--mutant NAME | --mutants]
//! ```
//!
//! Seeds are tried one after another from `--seed` on until so many cuts were looked at; with
//! `--only`, just that one, which tells what it does. With `--mutant` the engine makes a mistake, which has to be noticed.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

mod client;
#[allow(dead_code, reason = "the tests of the store use more of it")]
mod disk;
mod life;
mod lix;
mod workload;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use life::Seen;
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
    // Violations are reported, once.
    std::panic::set_hook(Box::new(|_| {}));
    let passed = match &options.mutants {
        None => survives(&options),
        Some(names) => names.iter().filter(|name| !catches(name, &options)).count() == 0,
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether nothing was found.
fn survives(options: &Options) -> bool {
    let Report { range, seen, violations, took } = simulate(options);
    let Seen { cuts, lix_cuts, checked, rebuilt } = seen;
    println!("crash: {cuts} power cuts, {range}, {} violations, {took}", violations.len());
    println!(
        "  {} of plain databases, {lix_cuts} of lixes: {checked} states checked, {rebuilt} rebuilt",
        cuts - lix_cuts
    );
    for (seed, message) in violations.iter().take(5) {
        println!("  seed {seed}: {message}");
        println!("    again: cargo xtask crash --seed {seed} --only");
    }
    violations.is_empty()
}

/// Whether the mistake was found.
fn catches(name: &str, options: &Options) -> bool {
    if !switch_on(name) {
        println!("no mutant is called {name}, or this is built without the feature `mutants`");
        return false;
    }
    let Report { range, seen: Seen { cuts, .. }, violations, took } = simulate(options);
    match violations.first_key_value() {
        Some((seed, message)) => {
            println!("mutant {name}: caught after {cuts} power cuts by seed {seed}, {took}");
            println!("  {message}");
        }
        None => println!("mutant {name}: NOT caught in {cuts} power cuts, {range}, {took}"),
    }
    !violations.is_empty()
}

struct Options {
    cuts: u64,
    seed: u64,
    is_only: bool,
    /// The mistakes to be noticed, instead of none.
    mutants: Option<Vec<String>>,
}

impl Options {
    fn parse() -> std::result::Result<Self, String> {
        let mut options = Self { cuts: 0, seed: 1, is_only: false, mutants: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            let number =
                |value: String| value.parse().map_err(|_| format!("{value} is not a number"));
            match arg.as_str() {
                "--cuts" => options.cuts = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.is_only = true,
                "--mutant" => options.mutants = Some(vec![value()?]),
                "--mutants" => options.mutants = Some(all_mutants()),
                // What `cargo test` passes to every test program is not for this one.
                _ => {}
            }
        }
        if options.cuts == 0 {
            // A mistake is noticed much sooner, or not at all.
            options.cuts = if options.mutants.is_some() { 50_000 } else { 300 };
        }
        Ok(options)
    }
}

struct Report {
    range: String,
    seen: Seen,
    violations: BTreeMap<u64, String>,
    took: String,
}

/// Each thread takes the next seed until there were enough cuts; what a seed does depends on
/// nothing else.
fn simulate(options: &Options) -> Report {
    let started = Instant::now();
    let next = AtomicU64::new(options.seed);
    let total = Mutex::new(Seen::default());
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
                    let is_enough = match outcome {
                        Ok(seen) => {
                            let mut total = total.lock().expect("no panic here");
                            *total += seen;
                            total.cuts >= options.cuts
                        }
                        Err(message) => {
                            violations.lock().expect("no panic here").insert(seed, message);
                            // A mutant is caught; a real violation may have company.
                            options.mutants.is_some()
                        }
                    };
                    if is_enough || options.is_only {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let violations = violations.into_inner().expect("no panic here");
    let range = format!("seeds {} to {}", options.seed, next.into_inner() - 1);
    let took = format!("{:.1} s", started.elapsed().as_secs_f64());
    let seen = total.into_inner().expect("no panic here");
    Report { range, seen, violations, took }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without words"))
}

#[cfg(feature = "mutants")]
fn all_mutants() -> Vec<String> {
    lix_engine_core::MUTANTS.iter().map(|name| name.to_string()).collect()
}

#[cfg(not(feature = "mutants"))]
fn all_mutants() -> Vec<String> {
    vec!["any".into()]
}

#[cfg(feature = "mutants")]
fn switch_on(name: &str) -> bool {
    lix_engine_core::switch_on_mutant(name)
}

#[cfg(not(feature = "mutants"))]
fn switch_on(_: &str) -> bool {
    false
}
