//! Benchmarks are programs of their own; this builds what they measure and runs one.

use anyhow::{Result, ensure};

use crate::run::{cmd, root, step};
use crate::{npm, setup};

pub(crate) fn bench(name: &str, args: &[&str]) -> Result<()> {
    let script = format!("benches/{name}/run.mjs");
    ensure!(root().join(&script).exists(), "no benchmark `{name}`: there is no {script}");
    setup::chromium()?;
    npm::built()?;
    step(&format!("bench {name}"), &format!("cargo xtask bench {name}"), || {
        cmd("node").arg(&script).args(args).run()
    })
}
