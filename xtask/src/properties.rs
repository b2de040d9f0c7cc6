//! The property tests of `crates/engine/tests/properties`: random work on a lix, beside a model.

use anyhow::Result;

use crate::run::{cargo, step};

/// As asked for: `--sequences N --seed S`.
pub(crate) fn properties(args: &[&str]) -> Result<()> {
    let repeat = format!("cargo xtask properties {}", args.join(" "));
    step("properties", repeat.trim_end(), || run(args))
}

/// What CI runs.
pub(crate) fn briefly() -> Result<()> {
    properties(&["--sequences", "2000"])
}

/// In release: what the sequences cost is the engine and SQLite.
fn run(args: &[&str]) -> Result<()> {
    cargo()
        .args(["test", "--release", "--package", "lix-engine-core", "--test", "properties", "--"])
        .args(args)
        .run()
}
