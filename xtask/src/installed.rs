//! The conformance suite as other teams get it: installed, from an empty folder, as an npm package, as a GitHub Action, and
//! as far as a container file can be checked without containers. The commands are those that conformance/README.md shows.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::run::{build_programs, cargo, cmd, note, root, step, target_dir};
use crate::{examples, npm, setup};

pub(crate) fn check() -> Result<()> {
    step("conformance from an empty folder", "cargo xtask conformance --from-empty-folder", || {
        let runner = install()?;
        // As the other steps build it, so that nothing is compiled twice.
        build_programs()?;
        examples::python_environment()?;
        let readme = std::fs::read_to_string(root().join(README))?;
        let shown = commands(&readme)?;
        let folder = Folder::new()?;
        for command in &shown {
            run(command, &runner, &folder.0)?;
        }
        ensure!(std::fs::read_dir(&folder.0)?.next().is_none(), "a run leaves files behind");
        note(&format!("{} commands of {README} do what it says", shown.len()));

        npm::built()?;
        setup::chromium()?;
        cmd("node").arg("--test").args(TESTS).env("LIX_CONFORMANCE_BIN", &runner).run()
    })
}

/// The installed program. A debug build: what it is made of is compiled already.
fn install() -> Result<PathBuf> {
    let prefix = target_dir().join("conformance-install");
    let options = ["install", "--locked", "--debug", "--force", "--path", "conformance/runner"];
    cargo().args(options).arg("--root").arg(&prefix).run()?;
    let bin = prefix.join("bin");
    let names: Vec<_> = std::fs::read_dir(&bin)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<_>>()?;
    ensure!(names == ["conformance"], "{} has {names:?}", bin.display());
    Ok(bin.join("conformance"))
}

fn run(command: &Command, runner: &Path, folder: &Path) -> Result<()> {
    let bin = runner.parent().expect("the runner is in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = cmd("sh")
        .args(["-c", command.line])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("LIX", root())
        .env("LIX_PYTHON", examples::python_environment()?)
        .into_command()
        .current_dir(folder)
        .output()?;
    ensure!(
        output.status.code() == Some(command.status),
        "`{}` ended with {}, not {}\n{}{}",
        command.line,
        output.status,
        command.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A command that a document shows, and how it ends: `… # … exit status N`, otherwise well.
#[derive(Debug, PartialEq)]
struct Command<'a> {
    line: &'a str,
    status: i32,
}

fn commands(readme: &str) -> Result<Vec<Command<'_>>> {
    let (_, section) = readme.split_once(HEADING).context("no section about an empty folder")?;
    let (_, block) = section.split_once("```sh\n").context("the section shows no commands")?;
    let (block, _) = block.split_once("```").context("the commands have no end")?;
    let shown = block.lines().filter(|line| line.starts_with("conformance "));
    let commands: Vec<_> = shown
        .map(|line| {
            let (line, comment) = line.split_once(" # ").unwrap_or((line, ""));
            let status = comment.split_once("exit status ").map_or("0", |(_, after)| after);
            let digits = status.split(|c: char| !c.is_ascii_digit()).next();
            let status = digits.and_then(|digits| digits.parse().ok()).context("odd status")?;
            Ok(Command { line: line.trim_end(), status })
        })
        .collect::<Result<_>>()?;
    ensure!(!commands.is_empty(), "the section shows no run");
    Ok(commands)
}

/// A folder outside of the repository, whose own cases would be found in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("conformance-empty-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in a folder for what is left.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const README: &str = "conformance/README.md";
const HEADING: &str = "\n## From an empty folder\n";
const TESTS: [&str; 3] = [
    "conformance/npm/test/packed.test.js",
    "conformance/action/action.test.js",
    "conformance/containerfile.test.js",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_ends() {
        let readme = "a\n## From an empty folder\n\n```sh\ncd x\nconformance run --impl a   # passes\n\
                      conformance run --impl b # no engine: exit status 3\n```\nconformance no\n";
        let expected = [
            Command { line: "conformance run --impl a", status: 0 },
            Command { line: "conformance run --impl b", status: 3 },
        ];
        assert_eq!(commands(readme).unwrap(), expected);
        assert!(commands("conformance run").is_err());
    }
}
