//! Everything, in an order that fails early. This is what CI runs and what you run.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::codegen::{self, Mode};
use crate::conformance;
use crate::demo::{self, Options};
use crate::run::{Took, bold, cargo, cmd, green, red, say, step};
use crate::{crash, examples, installed, mutants, npm, properties, setup, sizes, tidy, wasm};

type Part = (&'static str, fn() -> Result<()>);

const PARTS: [Part; 21] = [
    ("setup", setup::all),
    ("proto", codegen::proto),
    ("codegen --check", || codegen::all(Mode::Check)),
    ("tidy", tidy::tidy),
    ("cargo test", cargo_test),
    ("contract crate", contract_crate),
    ("wasm", wasm::build),
    ("build-ts", npm::built),
    ("type check", npm::type_check),
    ("npm tests", npm::tests),
    ("browser tests", npm::browser_tests),
    ("conformance", || conformance::run(&conformance::implementations(&[])?)),
    ("from an empty folder", installed::check),
    ("mutants", || mutants::mutants(&[])),
    ("examples", examples::examples),
    ("packaging", npm::packaging),
    ("demo --check", || demo::demo(Options::parse(&["--check"])?)),
    ("sizes --check", || sizes::sizes(sizes::Mode::Check)),
    ("fuzz-smoke", fuzz_smoke),
    ("crash", crash::briefly),
    ("properties", properties::briefly),
];

pub(crate) fn everything() -> Result<()> {
    let started = Instant::now();
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for (index, (name, part)) in PARTS.iter().enumerate() {
        say(&bold(&format!("\n━━ {}/{} {name}", index + 1, PARTS.len())));
        let part_started = Instant::now();
        let result = part();
        done.push((name, part_started.elapsed()));
        if result.is_err() {
            print_summary(&done, started.elapsed(), false);
            return result;
        }
    }
    print_summary(&done, started.elapsed(), true);
    Ok(())
}

/// A bounded run of every fuzz target, on stable Rust and in Node: further than their runs as plain
/// tests, from seeds that those do not reach, and the same every time.
pub(crate) fn fuzz_smoke() -> Result<()> {
    step("fuzz-smoke", "cargo xtask fuzz-smoke", || {
        setup::node_modules()?;
        for (package, iterations) in
            [("lix-engine-protocol", "100000"), ("lix-engine-core", "2000")]
        {
            cargo()
                .args(["test", "--package", package, "--test", "fuzz"])
                .env("LIX_FUZZ_SEED", "1000000")
                .env("LIX_FUZZ_ITERATIONS", iterations)
                .run()?;
        }
        cmd("node")
            .args(["--import", "tsx", "--test", "bindings/ts/test/unit/rows.test.ts"])
            .env("FUZZ_RUNS", "10000")
            .run()
    })
}

fn cargo_test() -> Result<()> {
    step("cargo test", "cargo test --workspace", || cargo().args(["test", "--workspace"]).run())
}

/// The contract is a crate that others build without this repository: what cargo packs must
/// compile on its own.
fn contract_crate() -> Result<()> {
    let repeat = "cargo package --package lix-engine-proto --allow-dirty";
    step("contract crate", repeat, || {
        cargo().args(["package", "--package", "lix-engine-proto", "--allow-dirty"]).run()
    })
}

fn print_summary(done: &[(&str, Duration)], total: Duration, passed: bool) {
    say("");
    for (index, (name, took)) in done.iter().enumerate() {
        let last_failed = !passed && index + 1 == done.len();
        let mark = if last_failed { red("✗") } else { green("✓") };
        say(&format!("  {mark} {name:<21} {:>12}", Took(*took).to_string()));
    }
    for (name, _) in &PARTS[done.len()..] {
        say(&format!("  · {name:<21} {:>12}", "not run"));
    }
    say(&format!("    {:<21} {:>12}", "total", Took(total).to_string()));
}
