//! The crash simulator of `crates/engine/tests/crash`: power cuts, and mistakes that have to be
//! noticed by them.

use anyhow::Result;

use crate::run::{cargo, step};

/// As asked for: `--cuts N --seed S --only`, and `--mutant NAME` or `--mutants`.
pub(crate) fn crash(args: &[&str]) -> Result<()> {
    let repeat = format!("cargo xtask crash {}", args.join(" "));
    step("crash", repeat.trim_end(), || simulate(args))
}

/// What CI runs.
pub(crate) fn briefly() -> Result<()> {
    step("crash", "cargo xtask crash --cuts 2000", || simulate(&["--cuts", "2000"]))?;
    step("crash --mutants", "cargo xtask crash --mutants", || simulate(&["--mutants"]))
}

fn simulate(args: &[&str]) -> Result<()> {
    // Without the feature the engine is the one that ships.
    let has_mutants = args.iter().any(|arg| arg.starts_with("--mutant"));
    let features: &[&str] = if has_mutants { &["--features", "mutants"] } else { &[] };
    cargo()
        .args(["test", "--release", "--package", "lix-engine-core", "--test", "crash"])
        .args(features)
        .arg("--")
        .args(args)
        .run()
}
