//! The npm package: built, type-checked, tested, and tried the way people install it.

use anyhow::{Context, Result};

use crate::run::{cmd, npm_tool, root, step, target_dir};
use crate::{setup, wasm};

/// `bindings/ts/dist`, with a wasm that is up to date.
pub(crate) fn build_package() -> Result<()> {
    wasm::build()?;
    step("build-ts", "cargo xtask build-ts", || {
        cmd("npm").args(["run", "build", "--workspace", PACKAGE]).run()
    })
}

/// Types of the package and of every script that uses it.
pub(crate) fn type_check() -> Result<()> {
    step("type check", "npm run typecheck", || {
        setup::node_modules()?;
        cmd("npm").args(["run", "typecheck"]).run()
    })
}

/// The package's own tests, on scripted ports and on the real engine.
pub(crate) fn tests() -> Result<()> {
    step("npm tests", "npm test", || {
        setup::chromium()?;
        cmd("npm").arg("test").run()
    })
}

/// The tarball that npm would publish, inside bundlers, a plain page and Node.
pub(crate) fn packaging() -> Result<()> {
    built()?;
    step("packaging", "cargo xtask packaging", || {
        setup::chromium()?;
        let out = target_dir().join("packaging");
        std::fs::create_dir_all(&out)?;
        let pack = cmd("npm").args(["pack", "--workspace", PACKAGE, "--pack-destination"]);
        let printed = pack.arg(&out).read()?;
        let tarball = printed.lines().last().context("npm pack printed no file name")?;
        let tarball = out.join(tarball.trim());
        npm_tool("publint").args(["run", "--strict"]).arg(&tarball).run()?;
        npm_tool("attw").args(["--profile", "esm-only"]).arg(&tarball).run()?;
        cmd("node").arg("bindings/ts/packaging/run.mjs").arg(&tarball).run()
    })
}

/// Builds once what several commands of one run need.
pub(crate) fn built() -> Result<()> {
    static BUILT: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    if BUILT.get().is_none() {
        build_package()?;
        let _ = BUILT.set(());
    }
    Ok(())
}

pub(crate) fn dist() -> std::path::PathBuf {
    root().join(PACKAGE).join("dist")
}

const PACKAGE: &str = "bindings/ts";
