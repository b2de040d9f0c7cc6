//! The conformance suite on our own implementations. Each has a folder in conformance/adapters
//! that says how to start it; what is built before depends on what is asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{cargo, note, say, step, target_dir};
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
    Native,
    NativeWs,
    Node,
    Browser,
}

impl Implementation {
    const ALL: [Implementation; 4] = [
        Implementation::Native,
        Implementation::NativeWs,
        Implementation::Node,
        Implementation::Browser,
    ];

    fn name(self) -> &'static str {
        match self {
            Implementation::Native => "native",
            Implementation::NativeWs => "native-ws",
            Implementation::Node => "node",
            Implementation::Browser => "browser",
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
        cargo()
            .args([
                "build",
                "--package",
                "lix-engine-conformance",
                "--package",
                "lix-engine-native",
            ])
            .run()
    })?;
    if implementations
        .iter()
        .any(|one| matches!(one, Implementation::Node | Implementation::Browser))
    {
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
    if implementation == Implementation::Browser {
        setup::chromium()?;
    }
    let json = report(implementation, "json");
    std::fs::create_dir_all(json.parent().expect("reports have a folder"))?;
    // An old report must not pass for this run's.
    let _ = std::fs::remove_file(&json);
    cargo()
        .args(["run", "--quiet", "--package", "lix-engine-conformance", "--", "run", "--impl"])
        .arg(format!("conformance/adapters/{}/impl.json", implementation.name()))
        .arg("--junit")
        .arg(report(implementation, "xml"))
        .arg("--json")
        .arg(&json)
        .run()?;
    ensure!(Counts::read(implementation)?.passed > 0, "no case ran");
    Ok(())
}

fn report(implementation: Implementation, extension: &str) -> PathBuf {
    target_dir().join("conformance").join(format!("{}.{extension}", implementation.name()))
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    fn read(implementation: Implementation) -> Result<Counts> {
        let path = report(implementation, "json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the runner wrote no {}", path.display()))?;
        Counts::parse(&text)
    }

    fn parse(report: &str) -> Result<Counts> {
        let report: Value = serde_json::from_str(report)?;
        let count = |name: &str| report["summary"][name].as_u64();
        Ok(Counts {
            passed: count("passed").context("the report has no summary.passed")?,
            failed: count("failed").context("the report has no summary.failed")?,
            skipped: count("skipped").unwrap_or(0),
        })
    }
}

fn print_table(table: &[(&str, Option<Counts>)]) {
    say("\n  cases            passed  failed  skipped");
    for (name, counts) in table {
        match counts {
            Some(counts) => say(&format!(
                "  {name:<16} {:>6}  {:>6}  {:>7}",
                counts.passed, counts.failed, counts.skipped
            )),
            None => say(&format!("  {name:<16} no report")),
        }
    }
    note(&format!("JUnit and JSON reports: {}", target_dir().join("conformance").display()));
}
