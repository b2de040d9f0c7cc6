//! The conformance suite on our own implementations, engines and hosts. Each has a folder in conformance/adapters
//! that says how to start it; what is built before depends on what is asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{Cmd, cargo, cmd, note, say, step, target_dir};
use crate::{npm, setup};

/// The names asked for with `--impl`, or all.
pub(crate) fn implementations(args: &[&str]) -> Result<Vec<Implementation>> {
    match args {
        [] => Ok(Implementation::ALL.to_vec()),
        ["--impl", names @ ..] if !names.is_empty() => names
            .iter()
            .filter(|name| **name != "--impl")
            .map(|name| Implementation::named(name))
            .collect(),
        _ => bail!("usage: cargo xtask conformance [--impl NAME…]"),
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Implementation {
    /// Files, virtual time.
    Native,
    /// A release without control calls: files, real time.
    NativeWs,
    /// A store in memory that survives its engines.
    NativeWsMemory,
    /// The wasm engine in Node, files through its fs.
    Node,
    /// The same without any storage.
    NodeMemory,
    /// A worker in Chromium, OPFS, real time.
    Browser,
    /// The same with control calls: what is about time, faults and crashes.
    BrowserControl,
    /// The TypeScript host with a scripted engine.
    HostTs,
    /// The same with the native engine.
    Pair,
}

impl Implementation {
    const ALL: [Implementation; 9] = [
        Implementation::Native,
        Implementation::NativeWs,
        Implementation::NativeWsMemory,
        Implementation::Node,
        Implementation::NodeMemory,
        Implementation::Browser,
        Implementation::BrowserControl,
        Implementation::HostTs,
        Implementation::Pair,
    ];

    fn name(self) -> &'static str {
        match self {
            Implementation::Native => "native",
            Implementation::NativeWs => "native-ws",
            Implementation::NativeWsMemory => "native-ws-memory",
            Implementation::Node => "node",
            Implementation::NodeMemory => "node-memory",
            Implementation::Browser => "browser",
            Implementation::BrowserControl => "browser-control",
            Implementation::HostTs => "host-ts",
            Implementation::Pair => "pair",
        }
    }

    fn is_browser(self) -> bool {
        matches!(self, Implementation::Browser | Implementation::BrowserControl)
    }

    /// The folder that says how it is started.
    fn adapter(self) -> &'static str {
        match self {
            Implementation::Pair => "host-ts",
            other => other.name(),
        }
    }

    /// What else the runner is told; nothing means the whole suite.
    fn options(self) -> &'static [&'static str] {
        match self {
            Implementation::BrowserControl => &["--profile", "persistence"],
            Implementation::Pair => &["--engine", "conformance/adapters/native/impl.json"],
            _ => &[],
        }
    }

    fn named(name: &str) -> Result<Implementation> {
        let found = Implementation::ALL.into_iter().find(|known| known.name() == name);
        found.with_context(|| {
            let known = Implementation::ALL.map(Implementation::name).join(", ");
            format!("no implementation `{name}`; there are {known}")
        })
    }
}

pub(crate) fn run(implementations: &[Implementation]) -> Result<()> {
    step("conformance build", "cargo xtask conformance", || {
        // The whole workspace, as `cargo test` builds it, so that nothing is compiled twice.
        cargo().args(["build", "--workspace", "--bins"]).run()?;
        runner().args(["fmt", "--check"]).run()?;
        runner().arg("coverage").run()?;
        runner().arg("requirements").run()
    })?;
    let in_node = [
        Implementation::Node,
        Implementation::NodeMemory,
        Implementation::HostTs,
        Implementation::Pair,
    ];
    if implementations.iter().any(|one| one.is_browser() || in_node.contains(one)) {
        npm::built()?;
    }
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for implementation in implementations {
        let name = implementation.name();
        let repeat = format!("cargo xtask conformance --impl {name}");
        let result = step(&format!("conformance {name}"), &repeat, || suite(*implementation));
        if let Err(error) = result {
            crate::run::report_failure(&error);
            failed.push(name);
        }
        table.push((name, Counts::read(*implementation).ok()));
    }
    print_table(&table);
    ensure!(failed.is_empty(), "conformance failed for {}", failed.join(", "));
    Ok(())
}

fn suite(implementation: Implementation) -> Result<()> {
    if implementation.is_browser() {
        setup::chromium()?;
    }
    let json = report(implementation, "json");
    std::fs::create_dir_all(json.parent().expect("reports have a folder"))?;
    // An old report must not pass for this run's.
    let _ = std::fs::remove_file(&json);
    runner()
        .args(["run", "--impl"])
        .arg(format!("conformance/adapters/{}/impl.json", implementation.adapter()))
        .args(implementation.options())
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

fn report(implementation: Implementation, extension: &str) -> PathBuf {
    target_dir().join("conformance").join(format!("{}.{extension}", implementation.name()))
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
    fn read(implementation: Implementation) -> Result<Counts> {
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
        use Implementation::{Browser, Native};
        assert_eq!(implementations(&[]).unwrap(), Implementation::ALL);
        let asked = ["--impl", "native", "browser"];
        assert_eq!(implementations(&asked).unwrap(), [Native, Browser]);
        assert!(implementations(&["--impl", "netscape"]).is_err());
        assert!(implementations(&["--impl"]).is_err());
    }
}
