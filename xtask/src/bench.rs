//! Benchmarks are programs of their own; this builds what they measure and runs one.

use anyhow::{Result, ensure};

use crate::run::{cargo, cmd, root, step};
use crate::{npm, setup};

pub(crate) fn bench(name: &str, args: &[&str]) -> Result<()> {
    let folder = format!("benches/{name}");
    let script = format!("{folder}/run.mjs");
    ensure!(root().join(&script).exists(), "no benchmark `{name}`: there is no {script}");
    setup::chromium()?;
    npm::built()?;
    // Peers that are too heavy for everybody to install have a lock file of their own.
    if matches!(name, "state" | "plugins") {
        peers("benches/state")?;
    }
    match name {
        "state" => native()?,
        "plugins" => npm::plugins()?,
        _ => {}
    }
    step(&format!("bench {name}"), &format!("cargo xtask bench {name}"), || {
        cmd("node").arg(&script).args(args).run()
    })
}

/// Not `npm ci`: that wants each platform's build of every optional dependency to exist, and of these
/// peers some do not.
fn peers(folder: &str) -> Result<()> {
    step("peers", &format!("npm install --no-save --prefix {folder}"), || {
        cmd("npm").args(["install", "--no-save", "--prefix", folder]).run()
    })
}

/// The engine as a process, which such a benchmark measures too.
fn native() -> Result<()> {
    step("native engine", "cargo build --release --package lix-engine-native", || {
        cargo().args(["build", "--release", "--package", "lix-engine-native"]).run()
    })
}
