//! What a reader should not have to point out: formatting, lints, traces of somebody's machine.

use anyhow::{Result, ensure};

use crate::run::{cargo, cmd, note, root, step};
use crate::{mutants, setup, wasm};

pub(crate) fn tidy() -> Result<()> {
    step("tidy", "cargo xtask tidy", || {
        forbidden_words()?;
        // Told here, a mutant that no longer fits costs nothing.
        mutants::check()?;
        setup::rust()?;
        cargo().args(["fmt", "--all", "--check"]).run()?;
        cargo().args(["clippy", "--workspace", "--all-targets", "--"]).args(DENY).run()?;
        // The shell is another program for a browser. Its own profile, so that SQLite is not
        // compiled once more.
        cargo()
            .args(["clippy", "--package", "lix-engine-worker-wasm", "--profile", "wasm"])
            .args(["--target", setup::WASM_TARGET, "--"])
            .args(DENY)
            .envs(&wasm::environment()?)
            .run()
    })
}

const DENY: [&str; 2] = ["-D", "warnings"];

/// Every tracked text file, without traces of the machine it was written on.
fn forbidden_words() -> Result<()> {
    let listed = cmd("git").args(["ls-files", "-z"]).read()?;
    let mut found = Vec::new();
    for name in listed.split_terminator('\0') {
        // Deleted but not committed, or not text: nothing to read.
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        found
            .extend(traces(&text).into_iter().map(|(line, word)| format!("{name}:{line}: {word}")));
    }
    ensure!(found.is_empty(), "traces of a machine in tracked files:\n{}", found.join("\n"));
    note("no traces of a machine in tracked files");
    Ok(())
}

/// Lines (from 1) that name a path only one machine has, or the host of a package registry.
fn traces(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let starts_path = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/~*}".contains(c))
        };
        let paths =
            PATHS.iter().filter(|path| line.match_indices(**path).any(|(at, _)| starts_path(at)));
        let hosts = HOSTS.iter().filter(|host| line.contains(**host));
        found.extend(paths.chain(hosts).map(|word| (index + 1, *word)));
    }
    found
}

// Written in two halves, or this file would find itself.
const PATHS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

const HOSTS: [&str; 6] = [
    concat!("registry.", "npmjs.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("deb.", "debian.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("static.", "rust-lang.org"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_and_registry_hosts_are_found() {
        let text = format!("fine\nsee {}x.rs and\n\"https://{}/a\"", PATHS[0], HOSTS[0]);
        assert_eq!(traces(&text), [(2, PATHS[0]), (3, HOSTS[0])]);
    }

    #[test]
    fn the_same_letters_inside_other_paths_are_not() {
        assert!(traces("target/home/page.html ../work/x https://example.com/work/").is_empty());
    }
}
