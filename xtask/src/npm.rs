//! The npm package: built, type-checked, tested, and tried the way people install it.

use anyhow::Result;

use crate::run::{cmd, root, step};
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

/// The plugins that we ship, each as one file.
pub(crate) fn plugins() -> Result<()> {
    step("plugins", "npm run build:plugins", || cmd("npm").args(["run", "build:plugins"]).run())
}

/// The package's own tests, on scripted ports and on the real engine in Node.
pub(crate) fn tests() -> Result<()> {
    built()?;
    step("npm tests", "npm test", || cmd("npm").arg("test").run())
}

/// The built package in real browsers: Kysely on the worker engine, everything that can go wrong
/// with workers, and databases on real OPFS, in Chromium and in Firefox.
pub(crate) fn browser_tests() -> Result<()> {
    built()?;
    step("browser tests", "npm run test:browser --workspace bindings/ts", || {
        setup::chromium()?;
        setup::firefox()?;
        cmd("npm").args(["run", "test:browser", "--workspace", PACKAGE]).run()
    })
}

/// The tarball that npm would publish: linted, inside bundlers, a plain page, Node and TypeScript.
pub(crate) fn packaging() -> Result<()> {
    built()?;
    step("packaging", "cargo xtask packaging", || {
        setup::chromium()?;
        cmd("node").arg("bindings/ts/packaging/run.mjs").run()
    })
}

/// Builds once what several commands of one run need.
pub(crate) fn built() -> Result<()> {
    static BUILT: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    if BUILT.get().is_none() {
        build_package()?;
        plugins()?;
        let _ = BUILT.set(());
    }
    Ok(())
}

pub(crate) fn dist() -> std::path::PathBuf {
    root().join(PACKAGE).join("dist")
}

const PACKAGE: &str = "bindings/ts";
