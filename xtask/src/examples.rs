//! The examples that the README shows are run, and what they print is compared.

use anyhow::{Context, Result, ensure};

use crate::run::{cargo, cmd, root, step, target_dir};
use crate::setup;

/// A host in Python that knows nothing but the contract.
pub(crate) fn examples() -> Result<()> {
    step("examples", "cargo xtask examples", || {
        cargo().args(["build", "--workspace", "--bins"]).run()?;
        let packages = target_dir().join("python");
        setup::python_package(PROTOBUF, &packages)?;
        let python = cmd("python3").arg(HOST).env("PYTHONPATH", packages);
        let printed = python.read()?;
        let answers: Vec<&str> = printed.lines().collect();
        ensure!(
            matches!(answers[..], [version, "b'*'", "SQL_SYNTAX"] if version.starts_with("3.")),
            "{HOST} printed:\n{printed}"
        );
        let host = std::fs::read_to_string(root().join(HOST))?;
        let readme = std::fs::read_to_string(root().join("README.md"))?;
        let shown = shown_python(&readme).context("README.md shows no Python")?;
        ensure!(host.contains(shown), "what README.md shows is not in {HOST}:\n{shown}");
        Ok(())
    })
}

const HOST: &str = "examples/host.py";

const PROTOBUF: &str = "protobuf==7.36.2";

/// The README's Python as far as it defines things; the calls after it are shortened.
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
