//! Random work on a lix, beside a model of what a lix is meant to be: versions, transactions,
//! savepoints, merges, checkpoints. After every statement both have to show the same; at the end
//! everything is computed again from the changes, and the image is opened again, and nothing that
//! can be seen may differ. Somebody who only hears the events of commits has to know as much, and
//! queries whose read sets match no commit have to answer what they did.
//!
//! ```text
//! cargo xtask properties [--sequences N] [--seed S]
//! ```
//!
//! A sequence that fails is shortened as far as it goes on failing, and shown as SQL.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

mod client;
mod compare;
mod events;
#[path = "../session/host.rs"]
#[allow(dead_code, reason = "the host of the session's tests does more than is needed here")]
mod host;
mod life;
mod model;
mod operations;
#[path = "../session/random.rs"]
#[allow(dead_code, reason = "the session's tests choose in more ways")]
mod random;
mod shrink;
mod watch;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use life::{Start, Violation};
use operations::Operation;
use random::Random;

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
    let started = Instant::now();
    let Report { sequences, statements, violations } = simulate(&options);
    println!(
        "properties: {sequences} sequences, {statements} operations, seeds from {}, {} violations, {:.1} s",
        options.seed,
        violations.len(),
        started.elapsed().as_secs_f64()
    );
    let start = Start::new();
    for (seed, _) in violations.iter().take(options.shown) {
        let shrunk = shrink::shrink(&start, *seed, sequence(*seed));
        println!("\nseed {seed}, shortened to {} operations:", shrunk.operations.len());
        for statement in &shrunk.violation.log {
            println!("  {statement}");
        }
        println!("  ✗ {}", shrunk.violation.message);
        println!("  again: cargo xtask properties --seed {seed} --sequences 1");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a seed means.
fn sequence(seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let length = 5 + random.below(40);
    (0..length).map(|_| Operation::any(&mut random)).collect()
}

struct Report {
    sequences: u64,
    statements: u64,
    violations: BTreeMap<u64, Violation>,
}

/// All cores take the next seed until there are no more, or enough violations.
fn simulate(options: &Options) -> Report {
    let (next, statements) = (AtomicU64::new(0), AtomicU64::new(0));
    let violations: Mutex<BTreeMap<u64, Violation>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let start = Start::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let has_enough = violations.lock().expect("no panic here").len() >= ENOUGH;
                    if number >= options.sequences || has_enough {
                        break;
                    }
                    let seed = options.seed + number;
                    let operations = sequence(seed);
                    statements.fetch_add(operations.len() as u64, Ordering::Relaxed);
                    if let Err(violation) = life::run(&start, seed, &operations) {
                        violations.lock().expect("no panic here").insert(seed, violation);
                    }
                }
            });
        }
    });
    Report {
        sequences: next.into_inner().min(options.sequences),
        statements: statements.into_inner(),
        violations: violations.into_inner().expect("no panic here"),
    }
}

/// More than these are the same few mistakes.
const ENOUGH: usize = 20;

struct Options {
    sequences: u64,
    seed: u64,
    /// How many violations are shortened and shown.
    shown: usize,
}

impl Options {
    fn parse() -> Result<Self, String> {
        // What a plain `cargo test` does, in whatever profile; CI asks for more.
        let mut options = Self { sequences: 20, seed: 1, shown: 3 };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            let number = |value: String| value.parse().map_err(|_| format!("{value} is no number"));
            match arg.as_str() {
                "--sequences" => options.sequences = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--shown" => options.shown = number(value()?)? as usize,
                // What `cargo test` passes to every test program is not for this one.
                _ => {}
            }
        }
        Ok(options)
    }
}
