//! The files of the suite: a folder, or the copy inside the program.
//!
//! The copy is what makes `conformance run --impl …` work from an empty folder. Its paths begin with [`EMBEDDED`], so that
//! whoever reads a file of the suite reads it here and need not know which of the two it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

/// What paths inside the program begin with; the rest is the path inside the repository.
pub const EMBEDDED: &str = "<embedded>";

/// Where the suite is: the cases, and beside them fixtures, profiles and required sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    cases: PathBuf,
}

impl Suite {
    /// The suite whose cases are in this folder.
    pub fn at(cases: &Path) -> Suite {
        Suite { cases: cases.to_path_buf() }
    }

    /// The suite inside the program.
    pub fn embedded() -> Suite {
        Suite { cases: Path::new(EMBEDDED).join("conformance/cases") }
    }

    /// True if its files can be written.
    pub fn is_a_folder(&self) -> bool {
        !self.cases.starts_with(EMBEDDED)
    }

    /// The folder of the cases.
    pub fn cases(&self) -> &Path {
        &self.cases
    }

    /// The folder of the cases for hosts.
    pub fn host_cases(&self) -> PathBuf {
        let own = self.cases.join("../host-cases");
        match self.is_a_folder() && own.is_dir() {
            true => own,
            false => Path::new(EMBEDDED).join("conformance/host-cases"),
        }
    }

    /// The folder of the SQL test files.
    pub fn slt(&self) -> PathBuf {
        let own = self.cases.with_file_name("slt");
        match self.is_a_folder() && own.is_dir() {
            true => own,
            false => Path::new(EMBEDDED).join("conformance/slt"),
        }
    }

    /// `conformance/v1/NAME`; the program's own copy if the folder has none.
    pub fn schema_file(&self, name: &str) -> Result<String, String> {
        self.file(&Path::new("v1").join(name))
    }

    /// `conformance/NAME`; the program's own copy if the folder has none.
    pub fn file(&self, name: &Path) -> Result<String, String> {
        let own = self.cases.join("..").join(name);
        let path = if exists(&own) { own } else { Suite::embedded().cases.join("..").join(name) };
        read_text(&path)
    }

    /// The indexes of rules, one after the other.
    pub fn anchors(&self) -> Result<String, String> {
        let page = |name: &&str| {
            let own = self.cases.join("../..").join(name);
            read_text(&if exists(&own) { own } else { Path::new(EMBEDDED).join(name) })
        };
        Ok(INDEXES.iter().map(page).collect::<Result<Vec<_>, _>>()?.join("\n"))
    }
}

/// The pages that have tables of rules: of the protocol, of a lix, of storage, of plugins, of host libraries.
pub const INDEXES: [&str; 5] = [
    "docs/protocol/anchors.md",
    "docs/sql-rules.md",
    "docs/persistence.md",
    "docs/plugins.md",
    "conformance/host-adapters.md",
];

/// A file's content.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    match inside(path) {
        None => std::fs::read(path),
        Some(name) => FILES
            .get(name.as_str())
            .map(|bytes| bytes.to_vec())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the program has no such file")),
    }
}

/// A file's content as text.
pub fn read_text(path: &Path) -> Result<String, String> {
    let complain = |why: String| format!("{}: {why}", path.display());
    let bytes = read(path).map_err(|error| complain(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| complain(error.to_string()))
}

/// True if there is such a file.
pub fn exists(path: &Path) -> bool {
    match inside(path) {
        None => path.is_file(),
        Some(name) => FILES.contains_key(name.as_str()),
    }
}

/// Every file below a folder with this extension, sorted.
pub fn find(dir: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    match inside(dir) {
        None => walk(dir, extension, &mut found)?,
        Some(name) => {
            let (prefix, ending) = (format!("{name}/"), format!(".{extension}"));
            let names = FILES.keys().filter(|file| file.starts_with(&prefix));
            found.extend(
                names
                    .filter(|file| file.ends_with(&ending))
                    .map(|file| Path::new(EMBEDDED).join(file)),
            );
        }
    }
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, extension: &str, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, extension, into)?;
        } else if path.extension().is_some_and(|own| own == extension) {
            into.push(path);
        }
    }
    Ok(())
}

/// The name inside the program, without `..`; `None` for a path of the file system.
fn inside(path: &Path) -> Option<String> {
    let rest = path.strip_prefix(EMBEDDED).ok()?;
    let mut parts = Vec::new();
    for part in rest.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

/// Written by build.rs: for each file its name, its size in decimal and its bytes, the first two with a line feed.
static FILES: LazyLock<BTreeMap<&'static str, &'static [u8]>> = LazyLock::new(|| {
    let mut rest: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/suite.bin"));
    let mut files = BTreeMap::new();
    while !rest.is_empty() {
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n').expect("lines end");
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            std::str::from_utf8(line).expect("names and sizes are text")
        };
        let name = line();
        let size = line().parse().expect("a size");
        let (bytes, after) = rest.split_at(size);
        files.insert(name, bytes);
        rest = after;
    }
    files
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_the_folder() {
        let folder = Suite::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases"));
        let copy = Suite::embedded();
        for extension in ["json", "sqlite"] {
            let list = |suite: &Suite| -> Vec<(String, Vec<u8>)> {
                let files = find(suite.cases(), extension).unwrap();
                files
                    .iter()
                    .map(|file| {
                        let name = file.strip_prefix(suite.cases()).unwrap();
                        (name.to_string_lossy().into_owned(), read(file).unwrap())
                    })
                    .collect()
            };
            assert!(!list(&copy).is_empty());
            assert!(list(&folder) == list(&copy), "{extension}");
        }
        assert_eq!(folder.schema_file("profiles.json"), copy.schema_file("profiles.json"));
        assert_eq!(folder.anchors(), copy.anchors());
    }

    #[test]
    fn files_of_the_copy_are_reached_through_their_parents() {
        let plugin =
            Path::new(EMBEDDED).join("conformance/cases/plugins/../../fixtures/plugins/fx.json.js");
        assert!(exists(&plugin) && !read(&plugin).unwrap().is_empty());
        assert!(read(&Path::new(EMBEDDED).join("nowhere")).is_err());
    }

    #[test]
    fn a_folder_of_cases_alone_borrows_the_rest() {
        let suite = Suite::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
        assert!(suite.schema_file("profiles.json").unwrap().contains("core"));
    }
}
