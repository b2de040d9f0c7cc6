//! The conformance suite on implementations of this repository, engines and hosts: ours, without a known failure, and
//! those in examples/, written from the contract and the manual alone, at their lists. Each has an impl.json that says
//! how it is started; what is built before depends on what is asked for.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{
    Cmd, Took, bold, build_programs, cmd, failed, green, note, red, report_failure, say, step,
    target_dir,
};
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
    /// An engine: the files of conformance/slt are run on it, too.
    runs_sql_files: bool,
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
    Implementation {
        name: "browser",
        file: "conformance/adapters/browser/impl.json",
        options: PATIENT,
        needs: &[Need::Package, Need::Chromium],
        runs_sql_files: true,
    },
    // The same with control calls: what is about time, faults and crashes.
    Implementation {
        name: "browser-control",
        file: "conformance/adapters/browser-control/impl.json",
        options: &["--profile", "persistence", "--timeout-ms", "30000"],
        needs: &[Need::Package, Need::Chromium],
        runs_sql_files: false,
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
    Implementation {
        name: "engine-sqlite-wasm-browser",
        file: SQLITE_WASM,
        options: &["--profile", "core,robust,streaming", "--timeout-ms", "30000"],
        needs: &[Need::SqliteWasm, Need::Chromium],
        runs_sql_files: false,
    },
    // JavaScript without our package.
    host("host-javascript", "examples/host-javascript/impl.json", &[Need::NodeModules]),
    pair("pair-javascript", "examples/host-javascript/impl.json", &[Need::NodeModules]),
];

/// A browser beside other work may load nothing for ten seconds; what it then does is not wrong.
const PATIENT: &[&str] = &["--timeout-ms", "30000"];

const SQLITE_WASM: &str = "examples/engine-sqlite-wasm/impl-browser.json";
const SQLITE_WASM_IN_NODE: &str = "examples/engine-sqlite-wasm/impl.json";

const fn engine(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    Implementation { name, file, options: &[], needs, runs_sql_files: true }
}

const fn host(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    Implementation { name, file, options: &[], needs, runs_sql_files: false }
}

/// A host together with the native engine.
const fn pair(name: &'static str, file: &'static str, needs: &'static [Need]) -> Implementation {
    Implementation { name, file, options: WITH_NATIVE, needs, runs_sql_files: false }
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

pub(crate) fn run(implementations: &[&'static Implementation]) -> Result<()> {
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
    std::fs::create_dir_all(target_dir().join("conformance"))?;
    let failing = match implementations {
        [one] => {
            let repeat = format!("cargo xtask conformance --impl {}", one.name);
            let result = step(&format!("conformance {}", one.name), &repeat, || suite(one, None));
            result.inspect_err(report_failure).err().map(|_| one.name).into_iter().collect()
        }
        several => side_by_side(several),
    };
    let table: Vec<_> =
        implementations.iter().map(|one| (one.name, Counts::read(one).ok())).collect();
    print_table(&table);
    if implementations.len() == IMPLEMENTATIONS.len() {
        let never = never_run(implementations)?;
        note(&format!("{} cases apply to none of them: {}", never.len(), never.join(", ")));
    }
    ensure!(failing.is_empty(), "conformance failed for {}", failing.join(", "));
    Ok(())
}

/// Two at a time, because much of what they do is waiting; never two browsers. What one has said is shown when it is done,
/// in one piece. Returns the names of those that failed.
fn side_by_side(implementations: &[&'static Implementation]) -> Vec<&'static str> {
    let (browsers, others): (VecDeque<_>, VecDeque<_>) =
        implementations.iter().partition(|one| one.needs.contains(&Need::Chromium));
    let (browsers, others) = (Mutex::new(browsers), Mutex::new(others));
    let next = |queue: &Mutex<VecDeque<_>>| queue.lock().expect("no holder panics").pop_front();
    let failing = Mutex::new(Vec::new());
    let play = |one: &'static Implementation| {
        if let Err(error) = beside(one) {
            failing.lock().expect("no holder panics").push((one.name, error));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(one) = next(&browsers).or_else(|| next(&others)) {
                play(one);
            }
        });
        scope.spawn(|| {
            while let Some(one) = next(&others) {
                play(one);
            }
        });
    });
    let failing = failing.into_inner().expect("no holder panics");
    failing
        .into_iter()
        .map(|(name, error)| {
            report_failure(&error);
            name
        })
        .collect()
}

/// One of several that run at once.
fn beside(implementation: &Implementation) -> Result<()> {
    let name = implementation.name;
    let path = report(implementation, "log");
    let mut log = File::create(&path).with_context(|| path.display().to_string())?;
    let started = Instant::now();
    let result = suite(implementation, Some(&mut log));
    let said = std::fs::read(&path).unwrap_or_default();
    let mark = if result.is_ok() { green("✓") } else { red("✗") };
    // One line of ours and all of theirs at once, so that nothing comes between.
    say(&format!(
        "{}\n{}{mark} conformance {name}  {}",
        bold(&format!("▶ conformance {name}")),
        String::from_utf8_lossy(&said),
        Took(started.elapsed())
    ));
    let repeat = format!("cargo xtask conformance --impl {name}");
    result.map_err(|error| failed(&format!("conformance {name}"), &repeat, error))
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

/// The cases, and for engines the SQL test files.
fn suite(implementation: &Implementation, mut log: Option<&mut File>) -> Result<()> {
    let json = report(implementation, "json");
    // An old report must not pass for this run's.
    let _ = std::fs::remove_file(&json);
    let mut run = |command: Cmd| match &mut log {
        Some(log) => command.run_into(log),
        None => command.run(),
    };
    run(runner()
        .args(["run", "--impl"])
        .arg(implementation.file)
        .args(implementation.options)
        .arg("--junit")
        .arg(report(implementation, "xml"))
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(report(implementation, "html")))?;
    ensure!(Counts::read(implementation)?.passed > 0, "no case ran");
    if implementation.runs_sql_files {
        run(runner()
            .args(["slt", "--impl"])
            .arg(implementation.file)
            .arg("--junit")
            .arg(report(implementation, "slt.xml"))
            .arg("conformance/slt"))?;
    }
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

/// The cases that no implementation has run, as for capabilities that nobody announces.
fn never_run(implementations: &[&Implementation]) -> Result<Vec<String>> {
    let (mut seen, mut ran) = (BTreeSet::new(), BTreeSet::new());
    for implementation in implementations {
        // One without a report has failed, which is said elsewhere.
        let Ok(text) = std::fs::read_to_string(report(implementation, "json")) else { continue };
        let report: Value = serde_json::from_str(&text)?;
        for result in report["results"].as_array().into_iter().flatten() {
            let id = result["id"].as_str().unwrap_or_default();
            // Cases with plugins are played once a format.
            let id = id.split('@').next().unwrap_or(id).to_owned();
            if result["outcome"] != "OUTCOME_NOT_APPLICABLE" {
                ran.insert(id.clone());
            }
            seen.insert(id);
        }
    }
    Ok(seen.difference(&ran).cloned().collect())
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
