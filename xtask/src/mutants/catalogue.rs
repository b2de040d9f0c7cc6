//! The mutants as they stand in conformance/mutants, one file an area.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::run::root;

pub(super) const CATALOGUE: &str = "conformance/mutants";

/// One mistake.
pub(super) struct Mutant {
    /// The file it stands in, without its extension.
    pub(super) area: String,
    pub(super) name: String,
    /// The mistake, in a sentence.
    pub(super) what: String,
    /// Where it was made, or why it is easy to make; may be empty.
    pub(super) trap: String,
    /// The changes that make it, most often one.
    pub(super) edits: Vec<Edit>,
    /// A folder of conformance/adapters that starts the native engine.
    pub(super) implementation: String,
    /// The cases that have to fail, each of them.
    pub(super) caught_by: Vec<String>,
}

/// A change of the source.
pub(super) struct Edit {
    /// The file that it changes.
    pub(super) file: String,
    /// What stands there, exactly once.
    pub(super) find: String,
    /// What stands there instead; `MUTANT` is true while the mistake is switched on.
    pub(super) replace: String,
}

/// All of them, by area and in their order there.
pub(super) fn read() -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for path in json_files(&root().join(CATALOGUE))? {
        let area = path.file_stem().and_then(|stem| stem.to_str()).context("an odd file name")?;
        let name = format!("{CATALOGUE}/{area}.json");
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        mutants.extend(parse(area, &text).with_context(|| name)?);
    }
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        ensure!(names.insert(&mutant.name), "two mutants are called {}", mutant.name);
    }
    ensure!(!mutants.is_empty(), "no mutants in {CATALOGUE}");
    Ok(mutants)
}

/// The ids of all cases.
pub(super) fn cases() -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for path in json_files(&root().join("conformance/cases"))? {
        let file: Value = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let suite = file["suite"].as_str().unwrap_or_default();
        let names = file["cases"].as_array().into_iter().flatten();
        ids.extend(names.filter_map(|case| Some(format!("{suite}/{}", case["name"].as_str()?))));
    }
    Ok(ids)
}

fn parse(area: &str, text: &str) -> Result<Vec<Mutant>> {
    let Value::Array(entries) = serde_json::from_str(text)? else { bail!("not a list") };
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let Value::Object(mut entry) = entry else { bail!("[{index}] is no object") };
            mutant(area, &mut entry).with_context(|| match entry.get("name") {
                Some(Value::String(name)) => name.clone(),
                _ => format!("[{index}]"),
            })
        })
        .collect()
}

fn mutant(area: &str, entry: &mut Map<String, Value>) -> Result<Mutant> {
    let mutant = Mutant {
        area: area.to_owned(),
        // It stays for whoever reports what is wrong with the rest.
        name: entry.get("name").and_then(Value::as_str).context("no name")?.to_owned(),
        what: text(entry, "what")?.context("no `what`")?,
        trap: text(entry, "trap")?.unwrap_or_default(),
        edits: edits(entry)?,
        implementation: text(entry, "impl")?.unwrap_or_else(|| "native".into()),
        caught_by: list(entry, "caught_by")?
            .iter()
            .map(|case| case.as_str().map(str::to_owned).context("a case is no text"))
            .collect::<Result<_>>()?,
    };
    let left: Vec<&str> =
        entry.keys().map(String::as_str).filter(|member| *member != "name").collect();
    ensure!(left.is_empty(), "unknown members: {}", left.join(", "));
    let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(mutant.name.chars().all(is_kebab), "a name has small letters, digits and dashes");
    ensure!(!mutant.caught_by.is_empty(), "`caught_by` names no case");
    Ok(mutant)
}

/// `file`, `find` and `replace`, and the same in each of `also`; a `file` left out is the first one.
fn edits(entry: &mut Map<String, Value>) -> Result<Vec<Edit>> {
    let also = list(entry, "also")?;
    let mut edits = vec![edit(entry, None)?];
    for edit_too in also {
        let Value::Object(mut edit_too) = edit_too else { bail!("`also` has what is no object") };
        edits.push(edit(&mut edit_too, Some(&edits[0].file)).context("also")?);
        ensure!(edit_too.is_empty(), "unknown members in `also`");
    }
    Ok(edits)
}

fn edit(entry: &mut Map<String, Value>, file: Option<&str>) -> Result<Edit> {
    let edit = Edit {
        file: text(entry, "file")?.or(file.map(str::to_owned)).context("no `file`")?,
        find: text(entry, "find")?.context("no `find`")?,
        replace: text(entry, "replace")?.context("no `replace`")?,
    };
    ensure!(!edit.find.is_empty(), "`find` is empty");
    ensure!(
        edit.replace.contains(super::source::MARKER),
        "`replace` does not contain {}, so that nothing could switch it on",
        super::source::MARKER
    );
    Ok(edit)
}

/// A text, or the lines of one.
fn text(entry: &mut Map<String, Value>, member: &str) -> Result<Option<String>> {
    match entry.remove(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(lines)) => {
            let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
            Ok(Some(lines.with_context(|| format!("a line of `{member}` is no text"))?.join("\n")))
        }
        Some(_) => bail!("`{member}` is neither a text nor lines"),
    }
}

fn list(entry: &mut Map<String, Value>, member: &str) -> Result<Vec<Value>> {
    match entry.remove(member) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => bail!("`{member}` is no list"),
    }
}

fn json_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(json_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(change: impl FnOnce(&mut Map<String, Value>)) -> Result<Vec<Mutant>> {
        let mut entry = serde_json::json!({
            "name": "off-by-one",
            "what": "One less.",
            "file": "crates/x.rs",
            "find": ["first line", "  second line"],
            "replace": "if MUTANT { 1 } else { 2 }",
            "caught_by": ["a/b/c"]
        });
        change(entry.as_object_mut().unwrap());
        parse("wire", &Value::Array(vec![entry]).to_string())
    }

    fn fault(change: impl FnOnce(&mut Map<String, Value>)) -> String {
        entry(change).map(|_| String::new()).unwrap_or_else(|error| format!("{error:#}"))
    }

    #[test]
    fn an_entry_is_read_with_its_lines() {
        let mutants = entry(|_| {}).unwrap();
        assert_eq!(mutants[0].edits[0].find, "first line\n  second line");
        assert_eq!((&*mutants[0].area, &*mutants[0].implementation), ("wire", "native"));
    }

    #[test]
    fn one_mistake_may_take_several_changes() {
        let also = serde_json::json!([
            { "find": "a", "replace": "MUTANT" },
            { "file": "crates/y.rs", "find": "b", "replace": "MUTANT" }
        ]);
        let mutants = entry(|entry| drop(entry.insert("also".into(), also))).unwrap();
        let files: Vec<&str> = mutants[0].edits.iter().map(|edit| &*edit.file).collect();
        assert_eq!(files, ["crates/x.rs", "crates/x.rs", "crates/y.rs"]);
        let unmarked = serde_json::json!([{ "find": "a", "replace": "b" }]);
        let error = fault(|entry| drop(entry.insert("also".into(), unmarked)));
        assert!(error.contains("also: `replace`"), "{error}");
    }

    #[test]
    fn what_cannot_be_a_mutant_is_refused_by_name() {
        let without_marker = fault(|entry| entry["replace"] = "1".into());
        assert!(without_marker.starts_with("off-by-one: `replace`"), "{without_marker}");
        assert!(fault(|entry| entry["caught_by"] = Value::Array(vec![])).contains("no case"));
        assert!(fault(|entry| entry["find"] = "".into()).contains("`find` is empty"));
        assert!(fault(|entry| entry["name"] = "Off By One".into()).contains("small letters"));
        assert!(fault(|entry| drop(entry.remove("what"))).contains("no `what`"));
        let typo = fault(|entry| drop(entry.insert("caugth_by".into(), Value::Null)));
        assert!(typo.contains("unknown members: caugth_by"), "{typo}");
    }
}
