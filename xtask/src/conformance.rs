//! The conformance suite on implementations of this repository, engines and hosts: ours, without a known failure, and
//! those in examples/, written from the contract and the manual alone, at their lists. Each has an impl.json that says
//! how it is started; what is built before depends on what is asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{Cmd, build_programs, cmd, note, say, step, target_dir};
use crate::{examples, npm, setup};

/// What the suite is run on.
#[derive(Debug)]
pub(crate) struct Implementation {
    name: &'static str,
    /// How it is started.
    file: &'static str,
    /// What else the runner is told; nothing means the whole suite.
    options: &'static [&'static str],
    needs: &'static [Need],
}

/// What has to be there before an implementation can start, beside the native engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The npm package, built.
    Package,
    Chromium,
    /// The Python of the examples.
    Python,
    /// The npm packages that the examples use.
    NodeModules,
    /// The engine on the official SQLite build, bundled.
    SqliteWasm,
}

const IMPLEMENTATIONS: &[Implementation] = &[
    // Files, virtual time.
    engine("native", "conformance/adapters/native/impl.json", &[]),
    // A release without control calls: files, real time.
    engine("native-ws", "conformance/adapters/native-ws/impl.json", &[]),
    // A store in memory that survives its engines.
    engine("native-ws-memory", "conformance/adapters/native-ws-memory/impl.json", &[]),
    // The wasm engine in Node, files through its fs.
    engine("node", "conformance/adapters/node/impl.json", &[Need::Package]),
    // The same without any storage.
    engine("node-memory", "conformance/adapters/node-memory/impl.json", &[Need::Package]),
    // A worker in Chromium, OPFS, real time.
    engine("browser", "conformance/adapters/browser/impl.json", &[Need::Package, Need::Chromium]),
    // The same with control calls: what is about time, faults and crashes.
    Implementation {
        name: "browser-control",
        file: "conformance/adapters/browser-control/impl.json",
        options: &["--profile", "persistence"],
        needs: &[Need::Package, Need::Chromium],
    },
    // The TypeScript host with a scripted engine, and with the native one.
    host("host-ts", "conformance/adapters/host-ts/impl.json", &[Need::Package]),
    pair("pair", "conformance/adapters/host-ts/impl.json", &[Need::Package]),
    // Python's sqlite3 behind the protocol; a DB-API module on top of it.
    engine("engine-python", "examples/engine-python/impl.json", &[Need::Python]),
    host("host-python", "examples/host-python/impl.json", &[Need::Python]),
    pair("pair-python", "examples/host-python/impl.json", &[Need::Python]),
    // The official SQLite build, in Node and in a worker of Chromium.
    engine("engine-sqlite-wasm", SQLITE_WASM_IN_NODE, &[Need::SqliteWasm]),
    engine("engine-sqlite-wasm-browser", SQLITE_WASM, &[Need::SqliteWasm, Need::Chromium]),
    // JavaScript without our package.
    host("host-javascript", "examples/host-javascript/impl.json", &[Need::NodeModules]),
    pair("pair-javascript", "examples/host-javascript/impl.json", &[Need::NodeModules]),
];

const SQLITE_WASM: &str = "examples/engine-sqlite-wasm/impl-browser.json";
const SQLITE_WASM_IN_NODE: &str = "examples/engine-sqlite-wasm/impl.json";

const fn engine(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    Implementation { name, file, options: &[], needs }
}

const fn host(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    engine(name, file, needs)
}

/// A host together with the native engine.
const fn pair(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    Implementation { name, file, options: WITH_NATIVE, needs }
}

const WITH_NATIVE: &[&str] = &["--engine", "conformance/adapters/native/impl.json"];

/// The ones asked for with `--impl`, or all.
pub(crate) fn implementations(args: &[&str]) -> Result<Vec<&'static Implementation>> {
    match args {
        [] => Ok(IMPLEMENTATIONS.iter().collect()),
        ["--impl", names @ ..] if !names.is_empty() => {
            names.iter().filter(|name| **name != "--impl").map(|name| named(name)).collect()
        }
        _ => bail!("usage: cargo xtask conformance [--impl NAME…]"),
    }
}

fn named(name: &str) -> Result<&'static Implementation> {
    let found = IMPLEMENTATIONS.iter().find(|known| known.name == name);
    found.with_context(|| {
        let known: Vec<&str> = IMPLEMENTATIONS.iter().map(|known| known.name).collect();
        format!("no implementation `{name}`; there are {}", known.join(", "))
    })
}

pub(crate) fn run(implementations: &[&Implementation]) -> Result<()> {
    step("conformance build", "cargo xtask conformance", || {
        build_programs()?;
        runner().args(["fmt", "--check"]).run()?;
        runner().arg("coverage").run()?;
        runner().arg("requirements").run()
    })?;
    let mut needs: Vec<Need> = Vec::new();
    for need in implementations.iter().flat_map(|one| one.needs) {
        if !needs.contains(need) {
            provide(*need)?;
            needs.push(*need);
        }
    }
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for implementation in implementations {
        let name = implementation.name;
        let repeat = format!("cargo xtask conformance --impl {name}");
        let result = step(&format!("conformance {name}"), &repeat, || suite(implementation));
        if let Err(error) = result {
            crate::run::report_failure(&error);
            failed.push(name);
        }
        table.push((name, Counts::read(implementation).ok()));
    }
    print_table(&table);
    ensure!(failed.is_empty(), "conformance failed for {}", failed.join(", "));
    Ok(())
}

fn provide(need: Need) -> Result<()> {
    match need {
        Need::Package => npm::built(),
        Need::Chromium => setup::chromium().map(drop),
        Need::Python => examples::python_environment().map(drop),
        Need::NodeModules => setup::node_modules(),
        Need::SqliteWasm => examples::sqlite_wasm(),
    }
}

fn suite(implementation: &Implementation) -> Result<()> {
    let json = report(implementation, "json");
    std::fs::create_dir_all(json.parent().expect("reports have a folder"))?;
    // An old report must not pass for this run's.
    let _ = std::fs::remove_file(&json);
    runner()
        .args(["run", "--impl"])
        .arg(implementation.file)
        .args(implementation.options)
        .arg("--junit")
        .arg(report(implementation, "xml"))
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(report(implementation, "html"))
        .run()?;
    ensure!(Counts::read(implementation)?.passed > 0, "no case ran");
    Ok(())
}

/// The runner, with the native engine it may start.
fn runner() -> Cmd {
    let built = |name: &str| target_dir().join("debug").join(name);
    cmd(built("conformance")).env("LIX_ENGINE_BIN", built("lix-engine"))
}

fn report(implementation: &Implementation, extension: &str) -> PathBuf {
    target_dir().join("conformance").join(format!("{}.{extension}", implementation.name))
}

/// The totals of a report; conformance/v1/report.proto says what each counts.
#[derive(Debug, PartialEq)]
struct Counts {
    /// The storage that cases used, and how many of the passed ones did.
    storage: String,
    stored: u64,
    passed: u64,
    failed: u64,
    skipped: u64,
    not_applicable: u64,
}

impl Counts {
    fn read(implementation: &Implementation) -> Result<Counts> {
        let path = report(implementation, "json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the runner wrote no {}", path.display()))?;
        Counts::parse(&text)
    }

    /// A zero is absent in protobuf's JSON; absent totals are no report.
    fn parse(report: &str) -> Result<Counts> {
        let report: Value = serde_json::from_str(report)?;
        let totals = report["totals"].as_object().context("the report has no totals")?;
        let count = |name: &str| totals.get(name).and_then(Value::as_u64).unwrap_or(0);
        Ok(Counts {
            storage: report["storage"].as_str().unwrap_or_default().to_owned(),
            stored: count("stored"),
            passed: count("passed"),
            failed: count("failed"),
            skipped: count("skipped"),
            not_applicable: count("not_applicable"),
        })
    }
}

fn print_table(table: &[(&str, Option<Counts>)]) {
    say("\n  cases             passed  failed  skipped  not applicable  passed on storage");
    for (name, counts) in table {
        let line = match counts {
            Some(Counts { storage, stored, passed, failed, skipped, not_applicable }) => format!(
                "{passed:>6}  {failed:>6}  {skipped:>7}  {not_applicable:>14}  {stored:>6} {storage}"
            ),
            None => "no report".to_owned(),
        };
        say(&format!("  {name:<17} {line}"));
    }
    note(&format!("JUnit, JSON and HTML reports: {}", target_dir().join("conformance").display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_passed_cases_counts_none() {
        let counts = Counts::parse(r#"{ "totals": { "failed": 2 } }"#).unwrap();
        assert_eq!((counts.passed, counts.failed, counts.stored), (0, 2, 0));
        assert!(Counts::parse("{}").is_err());
    }

    #[test]
    fn only_known_implementations_can_be_asked_for() {
        let names = |args: &[&str]| -> Vec<&str> {
            implementations(args).unwrap().iter().map(|one| one.name).collect()
        };
        assert_eq!(names(&[]).len(), IMPLEMENTATIONS.len());
        assert_eq!(names(&["--impl", "native", "browser"]), ["native", "browser"]);
        assert!(implementations(&["--impl", "netscape"]).is_err());
        assert!(implementations(&["--impl"]).is_err());
    }
}
