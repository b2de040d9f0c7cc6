//! The examples that README.md and docs/persistence.md show are run, and what they print is
//! compared.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::run::{build_programs, cmd, root, step, target_dir};
use crate::{npm, setup};

/// Hosts in Python that know nothing but the contract, and what `docs/persistence.md` promises.
pub(crate) fn examples() -> Result<()> {
    npm::built()?;
    step("examples", "cargo xtask examples", || {
        build_programs()?;
        let packages = target_dir().join("python");
        setup::python_package(PROTOBUF, &packages)?;
        let python = |file| cmd("python3").arg(file).env("PYTHONPATH", &packages).read();

        let printed = python(HOST)?;
        let answers: Vec<&str> = printed.lines().collect();
        ensure!(
            matches!(answers[..], [version, "b'*'", "SQL_SYNTAX"] if version.starts_with("3.")),
            "{HOST} printed:\n{printed}"
        );
        let (host, readme) = (text(HOST)?, text("README.md")?);
        let shown = shown_python(&readme).context("README.md shows no Python")?;
        ensure!(host.contains(shown), "what README.md shows is not in {HOST}:\n{shown}");

        let printed = python(KEPT)?;
        ensure!(printed.trim() == "b'\\x01'", "{KEPT} printed:\n{printed}");
        let (kept, document) = (text(KEPT)?, text(PERSISTENCE)?);
        let shown = shown_python(&document).context("docs/persistence.md shows no Python")?;
        ensure!(kept.contains(shown), "what {PERSISTENCE} shows is not in {KEPT}:\n{shown}");

        setup::chromium()?;
        cmd("node").arg("examples/persistence.mjs").run()?;

        let python = python_environment()?;
        for tests in PYTHON_TESTS {
            cmd(&python).arg(tests).run()?;
        }
        cmd("npm").args(["test", "--workspace", "examples/host-javascript"]).run()
    })
}

/// The Python that runs examples/engine-python and examples/host-python.
pub(crate) fn python_environment() -> Result<PathBuf> {
    setup::python_venv()?;
    let printed = cmd("python3").arg("examples/python-setup.py").read()?;
    let python = printed.lines().last().context("examples/python-setup.py names no Python")?;
    Ok(PathBuf::from(python))
}

/// Builds examples/engine-sqlite-wasm.
pub(crate) fn sqlite_wasm() -> Result<()> {
    setup::node_modules()?;
    cmd("npm").args(["run", "build", "--workspace", "examples/engine-sqlite-wasm"]).run()
}

fn text(file: &str) -> Result<String> {
    Ok(std::fs::read_to_string(root().join(file))?)
}

const PYTHON_TESTS: [&str; 3] = [
    "examples/engine-python/test_engine.py",
    "examples/host-python/test_lix_engine.py",
    "examples/first-steps/test_first_steps.py",
];
const HOST: &str = "examples/host.py";
const KEPT: &str = "examples/kept.py";
const PERSISTENCE: &str = "docs/persistence.md";
const PROTOBUF: &str = "protobuf==7.36.2";

/// A document's Python as far as it defines things; the README shortens the calls after it.
fn shown_python(readme: &str) -> Option<&str> {
    let (_, block) = readme.split_once("```python\n")?;
    let (block, _) = block.split_once("```")?;
    Some(block.split_once("\ncall(").map_or(block, |(definitions, _)| definitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_part_ends_before_the_first_call() {
        let readme = "text\n```python\na = 1\n\ndef call():\n    pass\n\ncall(init={})\n```\nmore";
        assert_eq!(shown_python(readme), Some("a = 1\n\ndef call():\n    pass\n"));
        assert_eq!(shown_python("no code"), None);
    }
}
