//! Long runs against real things, for nights and before releases.

use anyhow::{Result, bail};

use crate::run::{cmd, step};
use crate::{npm, setup};

/// `soak browser [--cycles N] [--seed N]`: what happens to pages, over and over, under write load.
pub(crate) fn soak(what: &str, args: &[&str]) -> Result<()> {
    if what != "browser" {
        bail!("usage: cargo xtask soak browser [--cycles N] [--seed N]");
    }
    setup::chromium()?;
    npm::built()?;
    let repeat = format!("cargo xtask soak browser {}", args.join(" "));
    step("soak browser", repeat.trim_end(), || {
        cmd("node").arg("bindings/ts/test/browser/soak.mjs").args(args).run()
    })
}
