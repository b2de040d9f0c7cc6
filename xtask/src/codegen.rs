//! What is generated from the contract. Rust stays in the build output (build.rs); TypeScript is
//! committed, rewritten here, and only compared in CI.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{npm_tool, root, step, target_dir};
use crate::setup;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// `bindings/ts/src/gen`, as buf.gen.yaml describes it.
pub(crate) fn typescript(mode: Mode) -> Result<()> {
    let (headline, repeat) = match mode {
        Mode::Write => ("codegen", "cargo xtask codegen"),
        Mode::Check => ("codegen --check", "cargo xtask codegen --check"),
    };
    step(headline, repeat, || {
        setup::node_modules()?;
        if mode == Mode::Write {
            return npm_tool("buf").arg("generate").run();
        }
        let fresh = target_dir().join("codegen");
        npm_tool("buf").args(["generate", "--output"]).arg(&fresh).run()?;
        let differing =
            differences(&files(&root().join(GENERATED))?, &files(&fresh.join(GENERATED))?);
        ensure!(
            differing.is_empty(),
            "not what engine.proto generates: {}\nrun `cargo xtask codegen` and commit the result",
            differing.join(", ")
        );
        Ok(())
    })
}

/// The contract itself: style, and no change that breaks somebody who built on a released image.
pub(crate) fn proto() -> Result<()> {
    step("proto", "cargo xtask proto", || {
        setup::node_modules()?;
        npm_tool("buf").arg("lint").run()?;
        npm_tool("buf").args(["format", "--diff", "--exit-code"]).run()?;
        let mut images: Vec<_> = files(&root().join(IMAGES))?.into_keys().collect();
        images.retain(|name| name.ends_with(".binpb"));
        ensure!(!images.is_empty(), "no released image in {IMAGES}");
        for image in images {
            npm_tool("buf")
                .args(["breaking", "--against"])
                .arg(format!("{IMAGES}/{image}"))
                .run()?;
        }
        Ok(())
    })
}

const GENERATED: &str = "bindings/ts/src/gen";
const IMAGES: &str = "proto/images";

type Files = BTreeMap<String, Vec<u8>>;

/// The files of one folder, by name.
fn files(dir: &Path) -> Result<Files> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("no {}", dir.display()))?;
    let mut files = Files::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            bail!("unexpected folder {}", entry.path().display());
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, std::fs::read(entry.path())?);
    }
    Ok(files)
}

/// Names that are in one and not in the other, or differ.
fn differences(committed: &Files, fresh: &Files) -> Vec<String> {
    let mut names: Vec<_> = committed.keys().chain(fresh.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| committed.get(name) != fresh.get(name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_missing_and_extra_files_are_differences() {
        let folder = |files: &[(&str, &str)]| -> Files {
            files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
        };
        let committed = folder(&[("same", "1"), ("changed", "1"), ("stale", "1")]);
        let fresh = folder(&[("same", "1"), ("changed", "2"), ("new", "1")]);
        assert_eq!(differences(&committed, &fresh), ["changed", "new", "stale"]);
        assert!(differences(&committed, &committed).is_empty());
    }
}
