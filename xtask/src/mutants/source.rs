//! The source of the native engine with all mistakes in it, each behind its switch.
//!
//! A file is written only if it differs, so that a second build costs what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::catalogue::{CATALOGUE, Edit, Mutant};
use crate::run::{root, target_dir};

/// What the copy is built as.
pub(super) const PROGRAM: &str = "lix-engine-mutants";

/// The variable of the environment that names the mistake.
pub(super) const SWITCH: &str = "LIX_MUTANT";

/// What stands in a replacement for "this mistake is switched on".
pub(super) const MARKER: &str = "MUTANT";

/// Writes the workspace and says where it is.
pub(super) fn write(mutants: &[Mutant]) -> Result<PathBuf> {
    let workspace = target_dir().join("mutants/src");
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for path in COPIED {
        collect(&root(), Path::new(path), &mut files)?;
    }
    for (path, text) in mutated(mutants)? {
        files.insert(path, text.into_bytes());
    }
    change(&mut files, "Cargo.toml", &[(MEMBERS, FEWER_MEMBERS), (DEFAULT_MEMBERS, "")])?;
    let named = format!("name = \"{PROGRAM}\"");
    change(&mut files, "crates/native/Cargo.toml", &[("name = \"lix-engine\"", &named)])?;
    let switched = "pub mod stream;\n#[doc(hidden)]\npub mod mutants;";
    change(&mut files, "crates/protocol/src/lib.rs", &[("pub mod stream;", switched)])?;
    files.insert("crates/protocol/src/mutants.rs".into(), switch(mutants).into_bytes());

    let mut old = BTreeMap::new();
    if workspace.exists() {
        collect(&workspace, Path::new(""), &mut old)?;
    }
    let fresh: BTreeSet<&String> = files.keys().collect();
    for gone in old.keys().filter(|path| !fresh.contains(path)) {
        fs::remove_file(workspace.join(gone))?;
    }
    for (path, bytes) in files.iter().filter(|(path, bytes)| old.get(*path) != Some(*bytes)) {
        let target = workspace.join(path);
        fs::create_dir_all(target.parent().expect("a file has a folder"))?;
        fs::write(&target, bytes).with_context(|| target.display().to_string())?;
    }
    Ok(workspace)
}

/// The files that mutants change, changed.
pub(super) fn mutated(mutants: &[Mutant]) -> Result<BTreeMap<String, String>> {
    let mut by_file: BTreeMap<&str, Vec<(&Mutant, &Edit)>> = BTreeMap::new();
    for mutant in mutants {
        for edit in &mutant.edits {
            by_file.entry(&edit.file).or_default().push((mutant, edit));
        }
    }
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for (file, edits) in by_file {
        let name = &edits[0].0.name;
        ensure!(
            PATHS.iter().any(|path| file.starts_with(path)),
            "{name}: {file} is not part of the native engine"
        );
        let text =
            fs::read_to_string(root().join(file)).with_context(|| format!("{name}: no {file}"))?;
        match apply(&text, file, &edits) {
            Ok(text) => drop(files.insert(file.to_owned(), text)),
            Err(error) => faults.push(error.to_string()),
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(files)
}

/// Puts mistakes into one file. Each stands on its own: none sees what another one wrote.
fn apply(text: &str, file: &str, edits: &[(&Mutant, &Edit)]) -> Result<String> {
    let mut changes = Vec::new();
    let mut faults = Vec::new();
    for (mutant, edit) in edits {
        let places: Vec<usize> = text.match_indices(&edit.find).map(|(at, _)| at).collect();
        match places[..] {
            [at] => changes.push((at, at + edit.find.len(), *mutant, *edit)),
            ref places => {
                let (name, area) = (&mutant.name, &mutant.area);
                let fault = match places.len() {
                    0 => format!(
                        "{name}: what it looks for is no longer in {file}; find the place where the mistake can be made now, and correct `find` and `replace` in {CATALOGUE}/{area}.json"
                    ),
                    n => format!(
                        "{name}: what it looks for is in {file} {n} times; make `find` in {CATALOGUE}/{area}.json longer until it is unique"
                    ),
                };
                faults.push(fault);
            }
        }
    }
    changes.sort_by_key(|(start, ..)| *start);
    for pair in changes.windows(2) {
        let ((_, end, one, _), (start, _, other, _)) = (pair[0], pair[1]);
        if end > start {
            faults.push(format!(
                "{} and {} change the same place of {file}; make `find` of one of them shorter",
                one.name, other.name
            ));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    let home = if file.starts_with("crates/protocol/") { "crate" } else { "lix_engine_protocol" };
    let (mut out, mut done) = (String::with_capacity(text.len() * 2), 0);
    for (start, end, mutant, edit) in changes {
        let is_on = format!("{home}::mutants::on(\"{}\")", mutant.name);
        out += &text[done..start];
        out += &edit.replace.replace(MARKER, &is_on);
        done = end;
    }
    Ok(out + &text[done..])
}

/// The module that knows which mistake is switched on.
fn switch(mutants: &[Mutant]) -> String {
    let names: Vec<String> =
        mutants.iter().map(|mutant| format!("    \"{}\",\n", mutant.name)).collect();
    format!(
        "//! Which mistake is switched on, if any: the one that {SWITCH} names.

pub fn on(name: &str) -> bool {{
    static NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {{
        let name = std::env::var(\"{SWITCH}\").unwrap_or_default();
        assert!(name.is_empty() || NAMES.contains(&&*name), \"no mutant is called {{name}}\");
        name
    }});
    *NAME == *name
}}

const NAMES: &[&str] = &[
{}];
",
        names.concat()
    )
}

fn change(
    files: &mut BTreeMap<String, Vec<u8>>,
    path: &str,
    changes: &[(&str, &str)],
) -> Result<()> {
    let file = files.get_mut(path).with_context(|| format!("no {path}"))?;
    let mut text = String::from_utf8(std::mem::take(file))?;
    for (find, replace) in changes {
        ensure!(
            text.matches(find).count() == 1,
            "{path} has not one `{find}`; xtask/src/mutants/source.rs has to learn what it has"
        );
        text = text.replace(find, replace);
    }
    *file = text.into_bytes();
    Ok(())
}

/// All files of a folder, or the one file, by their path from the root.
fn collect(root: &Path, path: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        for entry in fs::read_dir(&full)? {
            collect(root, &path.join(entry?.file_name()), files)?;
        }
        return Ok(());
    }
    let bytes = fs::read(&full).with_context(|| full.display().to_string())?;
    let name: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    files.insert(name.join("/"), bytes);
    Ok(())
}

/// What the native engine is made of.
const COPIED: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "proto",
    "src",
    "crates/engine",
    "crates/native",
    "crates/protocol",
];

/// Where a mistake can be made.
const PATHS: [&str; 3] = ["crates/engine/src/", "crates/native/src/", "crates/protocol/src/"];

const MEMBERS: &str = "members = [\"crates/*\", \"conformance/runner\", \"xtask\"]";
const FEWER_MEMBERS: &str = "members = [\"crates/*\"]";
const DEFAULT_MEMBERS: &str =
    "default-members = [\".\", \"crates/native\", \"conformance/runner\"]";

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str, find: &str, replace: &str) -> Mutant {
        let file = "crates/engine/src/x.rs".into();
        Mutant {
            area: "wire".into(),
            name: name.into(),
            what: String::new(),
            trap: String::new(),
            edits: vec![Edit { file, find: find.into(), replace: replace.into() }],
            implementation: "native".into(),
            caught_by: vec!["a/b/c".into()],
        }
    }

    fn applied(file: &str, mutants: &[&Mutant]) -> Result<String> {
        let edits: Vec<_> = mutants.iter().map(|mutant| (*mutant, &mutant.edits[0])).collect();
        apply(TEXT, file, &edits)
    }

    const TEXT: &str = "let a = one();\nlet b = two();\nlet c = one();\n";

    #[test]
    fn every_mistake_gets_into_its_place_behind_its_switch() {
        let second = mutant("second", "two()", "if MUTANT { 2 } else { two() }");
        let first = mutant("first", "a = one()", "a = one() + i32::from(MUTANT)");
        let text = applied("crates/engine/src/x.rs", &[&second, &first]).unwrap();
        assert_eq!(
            text,
            "let a = one() + i32::from(lix_engine_protocol::mutants::on(\"first\"));\n\
             let b = if lix_engine_protocol::mutants::on(\"second\") { 2 } else { two() };\n\
             let c = one();\n"
        );
        let inside = applied("crates/protocol/src/x.rs", &[&second]).unwrap();
        assert!(inside.contains("crate::mutants::on(\"second\")"));
    }

    #[test]
    fn a_place_that_is_gone_or_not_unique_is_told_with_what_to_do() {
        let gone = mutant("gone", "three()", "MUTANT");
        let twice = mutant("twice", "one()", "MUTANT");
        let error = applied("crates/engine/src/x.rs", &[&gone, &twice]).unwrap_err().to_string();
        assert!(error.contains("gone: what it looks for is no longer in crates/engine/src/x.rs"));
        assert!(error.contains("twice: what it looks for is in crates/engine/src/x.rs 2 times"));
        assert!(error.contains("conformance/mutants/wire.json"), "{error}");
    }

    #[test]
    fn two_mistakes_in_one_place_are_refused() {
        let one = mutant("one", "b = two()", "MUTANT");
        let other = mutant("other", "two();\nlet c", "MUTANT");
        let error = applied("crates/engine/src/x.rs", &[&one, &other]).unwrap_err().to_string();
        assert!(error.contains("one and other change the same place"), "{error}");
    }

    #[test]
    fn only_the_engine_can_be_changed() {
        let mut outside = mutant("m", "fn main", "MUTANT");
        outside.edits[0].file = "xtask/src/main.rs".into();
        let error = mutated(&[outside]).unwrap_err().to_string();
        assert!(error.contains("xtask/src/main.rs is not part of the native engine"), "{error}");
    }
}
