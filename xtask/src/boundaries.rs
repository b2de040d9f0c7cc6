//! Which part may know which other part. A forbidden edge fails a test, and each check is also
//! shown something forbidden, so that none of them can pass by looking at nothing.

use std::path::{Path, PathBuf};

use crate::run::{cargo, root};
use crate::setup::WASM_TARGET;

#[test]
fn the_engine_knows_no_browser_and_no_runtime() {
    let native = Graph::of("lix-engine-core", HOST);
    let forbidden = ["web-sys", "js-sys", "wasm-bindgen", "tokio"];
    assert_eq!(native.paths_to(&forbidden, None), none());

    // In a browser SQLite itself needs a random seed and the time of day; its crate may ask for
    // them, the engine may not.
    let wasm = Graph::of("lix-engine-core", WASM_TARGET);
    assert_eq!(wasm.paths_to(&forbidden, Some("sqlite-wasm-rs")), none());

    let shell = Graph::of("lix-engine-worker-wasm", WASM_TARGET);
    assert_ne!(shell.paths_to(&["js-sys"], Some("sqlite-wasm-rs")), none(), "the check is blind");
}

#[test]
fn the_engine_opens_no_file_and_has_no_clock() {
    let sources = rust_sources("crates/engine/src");
    assert!(sources.iter().any(|(path, _)| path.ends_with("lib.rs")));
    for (path, source) in sources {
        // Only compiled for tests, which may be told a seed.
        if path.ends_with("tests.rs") {
            continue;
        }
        let found = outside_world(&source);
        assert!(found.is_empty(), "{}: uses {}", path.display(), found.join(", "));
    }

    let clock = "use std::{collections::HashMap, time::{Duration, Instant}};";
    assert_eq!(outside_world(clock), ["std::time::Instant"]);
    assert_eq!(outside_world("fn f() { ::std :: fs::read(p); }"), ["std::fs::read"]);
    assert_eq!(outside_world("use std::{ sync::Arc, net as n, time };"), ["std::net", "std::time"]);
    let harmless =
        "// std::fs\n/* std::net */ let s = \"std::time\"; use std::{time::Duration, fmt};";
    assert_eq!(outside_world(harmless), none());
}

#[test]
fn change_control_knows_sqlite_and_nothing_above_it() {
    const ALLOWED: [&str; 8] =
        ["lix", "sqlite", "base64", "Manifest", "Platform", "PluginFile", "PluginQuery", "Plugins"];
    let sources = rust_sources("crates/engine/src/lix");
    assert!(sources.iter().any(|(path, _)| path.ends_with("state.rs")));
    for (path, source) in sources {
        // Unit tests open a database of their own.
        if path.ends_with("testing.rs") {
            continue;
        }
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut used = names_in("crate", source);
        used.retain(|name| !ALLOWED.contains(&name.as_str()));
        assert!(used.is_empty(), "{}: uses {}", path.display(), used.join(", "));
    }
}

#[test]
fn the_store_and_the_autosave_know_nothing_of_the_session() {
    let sources = rust_sources("crates/engine/src");
    let mut seen = 0;
    for (path, source) in sources {
        let is_store = path.ends_with("src/store.rs") || path.parent().unwrap().ends_with("store");
        let allowed: &[&str] = match () {
            () if path.ends_with("src/autosave.rs") => &[],
            () if is_store => &["image", "mutants", "storage", "Platform", "StorageFile"],
            () => continue,
        };
        seen += 1;
        let mut used = names_in("crate", &source);
        used.retain(|name| !allowed.contains(&name.as_str()));
        assert!(used.is_empty(), "{}: uses {}", path.display(), used.join(", "));
    }
    assert!(seen > 3, "the check is blind");
    assert_eq!(names_in("crate", "use crate::{Platform, exec::run};"), ["Platform", "exec"]);
}

#[test]
fn the_protocol_knows_no_database() {
    let forbidden = ["rusqlite", "libsqlite3-sys", "sqlite-wasm-rs", "lix-engine-core"];
    assert_eq!(Graph::of("lix-engine-protocol", HOST).paths_to(&forbidden, None), none());
    assert_eq!(Graph::of("lix-engine-proto", HOST).paths_to(&forbidden, None), none());

    let engine = Graph::of("lix-engine-core", HOST);
    assert_ne!(engine.paths_to(&forbidden, None), none(), "the check is blind");
}

#[test]
fn the_conformance_runner_shares_no_code_with_what_it_judges() {
    let forbidden = ["lix-engine-protocol", "lix-engine-core", "rusqlite"];
    let runner = Graph::of("lix-engine-conformance", HOST);
    assert_eq!(runner.paths_to(&forbidden, None), none());

    let native = Graph::of("lix-engine-native", HOST);
    assert_ne!(native.paths_to(&forbidden, None), none(), "the check is blind");
}

#[test]
fn the_kysely_dialect_knows_only_the_engine_interface() {
    let dialect = files("bindings/ts/src/kysely", "ts");
    assert!(!dialect.is_empty());
    for (path, source) in dialect {
        let found = foreign_imports(&source);
        assert!(found.is_empty(), "{}: imports {}", path.display(), found.join(", "));
    }

    let legal = "import { Kysely } from \"kysely\"\nimport type { LixEngine } from \"../types.js\"\n\
                 export * from './driver.js'\n";
    assert!(foreign_imports(legal).is_empty());
    assert_eq!(foreign_imports("import { open } from \"../transport.js\""), ["../transport.js"]);
    assert_eq!(foreign_imports("const x = await import('../worker.js')"), ["../worker.js"]);
    assert_eq!(foreign_imports("import {\n  a,\n} from '../types.js'"), ["../types.js"]);
}

#[test]
fn implementations_of_others_use_nothing_of_ours() {
    let mut seen = 0;
    for (path, source) in SCRIPTS.iter().flat_map(|extension| files("examples", extension)) {
        // A program of one file shows the npm package; the rest is written from the contract.
        let is_foreign = path.components().any(|part| part.as_os_str() == "node_modules");
        if is_foreign || path.parent().unwrap().ends_with("examples") {
            continue;
        }
        seen += 1;
        let folder = path.strip_prefix(root().join("examples")).unwrap().components().count() - 2;
        let found = imports_of_ours(&source, folder);
        assert!(found.is_empty(), "{}: imports {}", path.display(), found.join(", "));
    }
    assert!(seen > 2, "the check is blind");

    let legal = "import a from './a.js'\nimport { b } from \"protobufjs\"\nimport c from '../c.js'";
    assert_eq!(imports_of_ours(legal, 1), none());
    assert_eq!(imports_of_ours("import c from '../c.js'", 0), ["../c.js"]);
    assert_eq!(imports_of_ours("import { x } from 'lix-engine/lix'", 0), ["lix-engine/lix"]);
}

const SCRIPTS: [&str; 4] = ["js", "mjs", "ts", "mts"];

/// What a script takes from our packages, or from further up than the `folders` above it allow.
fn imports_of_ours(source: &str, folders: usize) -> Vec<String> {
    let modules = split_imports(source).into_iter().filter_map(quoted);
    let is_ours =
        |module: &&str| module.starts_with("lix-engine") || module.matches("../").count() > folders;
    modules.filter(is_ours).map(str::to_owned).collect()
}

/// What a package depends on when compiled for a target, development aside.
struct Graph {
    /// The root first; depth and name, in `cargo tree`'s order, nothing left out.
    nodes: Vec<(usize, String)>,
}

impl Graph {
    fn of(package: &str, target: &str) -> Graph {
        let tree = cargo()
            .args(["tree", "--package", package, "--edges", "normal", "--no-dedupe"])
            .args(["--prefix", "depth", "--format", " {p}"])
            .args((target != HOST).then_some(["--target", target]).into_iter().flatten())
            .read()
            .unwrap();
        let nodes = tree.lines().map(|line| {
            let mut words = line.split_whitespace();
            let depth = words.next().and_then(|depth| depth.parse().ok());
            (depth.expect("a depth"), words.next().expect("a name").to_owned())
        });
        Graph { nodes: nodes.collect() }
    }

    /// Every way to a forbidden package that does not lead through `allowed`.
    fn paths_to(&self, forbidden: &[&str], allowed: Option<&str>) -> Vec<String> {
        let mut path: Vec<&str> = Vec::new();
        let mut found = Vec::new();
        for (depth, name) in &self.nodes {
            path.truncate(*depth);
            path.push(name);
            let excused = allowed.is_some_and(|allowed| path.contains(&allowed));
            if forbidden.contains(&name.as_str()) && !excused {
                found.push(path.join(" -> "));
            }
        }
        found
    }
}

const HOST: &str = "host";

fn none() -> Vec<String> {
    Vec::new()
}

/// The parts of `std` through which a program reaches the world, as far as the source names any.
/// A length of time is not a clock.
fn outside_world(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at..].starts_with(&["std", "::"]) {
            let mut paths = Vec::new();
            use_tree(&tokens[at + 2..], "std", &mut paths);
            found.extend(paths);
        }
    }
    found.retain(|path| {
        let module = path.split("::").nth(1).unwrap_or("");
        WORLD.contains(&module) && !path.starts_with("std::time::Duration")
    });
    found
}

/// What a source names of a crate, by the first part of each path.
fn names_in(root: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at..].starts_with(&[root, "::"]) {
            use_tree(&tokens[at + 2..], root, &mut paths);
        }
    }
    paths.iter().filter_map(|path| path.split("::").nth(1)).map(str::to_owned).collect()
}

const WORLD: [&str; 6] = ["env", "fs", "net", "process", "thread", "time"];

/// Adds the paths that `a::{b, c::d}` names, each as `prefix::…`; returns how many tokens it took.
fn use_tree(tokens: &[&str], prefix: &str, paths: &mut Vec<String>) -> usize {
    match tokens {
        ["{", ..] => {
            let mut at = 1;
            while let Some(token) = tokens.get(at) {
                match *token {
                    "}" => return at + 1,
                    "," => at += 1,
                    _ => at += use_tree(&tokens[at..], prefix, paths),
                }
            }
            at
        }
        [name, "::", ..] => 2 + use_tree(&tokens[2..], &format!("{prefix}::{name}"), paths),
        [name, "as", _, ..] => {
            paths.push(format!("{prefix}::{name}"));
            3
        }
        [name, ..] => {
            paths.push(format!("{prefix}::{name}"));
            1
        }
        [] => 0,
    }
}

/// Identifiers, `::` and single characters of Rust source, without comments and strings.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string_length(rest) {
            raw
        } else if first == '"' {
            string_length(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            // The one character literal that would look like the start of a string.
            rest.find("'\"'").unwrap_or(0) + 3
        } else if rest.starts_with("::") {
            tokens.push("::");
            2
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(&rest[..end]);
            end
        } else {
            if !first.is_whitespace() {
                tokens.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#` and so on.
fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?.chars().take_while(|c| *c == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&close).map_or(text.len(), |end| 2 + hashes + end + close.len()))
}

/// What a file of the dialect imports beside kysely, its own folder, the types of the engine, and
/// what lets others have the thread.
fn foreign_imports(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in split_imports(source) {
        let Some(module) = quoted(statement) else { continue };
        let is_type = statement.starts_with("import type") || statement.starts_with("export type");
        let interface = is_type && ["../types.js", "../columns.js"].contains(&module);
        let breathes = module == "../schedule.js";
        if !(interface || breathes || module == "kysely" || module.starts_with("./")) {
            found.push(module.to_owned());
        }
    }
    found
}

/// Each piece of text from an `import`, or an `export … from`, to the module's closing quote.
fn split_imports(source: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let starts = source.match_indices("import").chain(source.match_indices("export"));
    for (at, keyword) in starts {
        let rest = &source[at..];
        let bounded = !source[..at].ends_with(|c: char| c.is_alphanumeric() || "_$.".contains(c))
            && !rest[keyword.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let end = rest.find(['"', '\'']).filter(|end| {
            let clause = rest[keyword.len()..*end].trim();
            clause.ends_with("from") || clause.is_empty() || clause == "("
        });
        if let (true, Some(end)) = (bounded, end) {
            let close = rest[end + 1..].find(['"', '\'']).map_or(rest.len(), |n| end + n + 2);
            statements.push(&rest[..close]);
        }
    }
    statements
}

fn quoted(statement: &str) -> Option<&str> {
    let start = statement.find(['"', '\''])? + 1;
    Some(&statement[start..statement.len() - 1])
}

fn rust_sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(folder, "rs")
}

/// The files of a folder and the folders in it, with what they say.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, extension, found);
            } else if path.extension().is_some_and(|own| own == extension) {
                let source = std::fs::read_to_string(&path).unwrap();
                found.push((path, source));
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(folder), extension, &mut found);
    found
}
