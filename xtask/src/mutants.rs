//! Mutants of the reference engine: mistakes that other implementations have made, or that are easy to make, each with the
//! cases of the conformance suite that have to notice it. A mutant that survives is a missing case.
//!
//! The engine that ships contains none of this. The mistakes are in conformance/mutants, as changes of its source; a copy of
//! the source gets all of them at once, behind switches, and is built as a program of its own.

mod catalogue;
mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::run::{Took, build_programs, cargo, green, note, red, root, say, step, target_dir};
use catalogue::{CATALOGUE, Mutant};

/// `cargo xtask mutants …`, as asked for: `--check`, `--write-table`, or all or the named mutants.
pub(crate) fn mutants(args: &[&str]) -> Result<()> {
    match args {
        ["--check"] => step("mutants --check", "cargo xtask mutants --check", check),
        ["--write-table"] => write_table(&catalogue::read()?),
        names => {
            let repeat = format!("cargo xtask mutants {}", names.join(" "));
            step("mutants", repeat.trim_end(), || hunt(names))
        }
    }
}

/// What needs no build: every mutant still fits the source, names cases that exist, and stands in the table.
pub(crate) fn check() -> Result<()> {
    let mutants = catalogue::read()?;
    source::mutated(&mutants)?;
    let known = catalogue::cases()?;
    let unknown: Vec<String> = mutants
        .iter()
        .flat_map(|mutant| mutant.caught_by.iter().map(move |case| (&mutant.name, case)))
        .filter(|(_, case)| !known.contains(case.split('@').next().expect("the first part")))
        .map(|(name, case)| format!("{name}: there is no case {case}"))
        .collect();
    ensure!(unknown.is_empty(), "{}", unknown.join("\n"));
    let path = root().join(README);
    let committed = std::fs::read_to_string(&path).with_context(|| format!("no {README}"))?;
    ensure!(
        committed == with_table(&committed, &mutants)?,
        "the table in {README} is not that of the mutants\nrun `cargo xtask mutants --write-table` and commit the result"
    );
    note(&format!(
        "{} mutants fit the source, their cases exist, the table is theirs",
        mutants.len()
    ));
    Ok(())
}

/// Builds the engine with all mistakes, switches on one after the other, and plays the cases that have to notice it.
fn hunt(names: &[&str]) -> Result<()> {
    check()?;
    let mutants = catalogue::read()?;
    let unknown: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| mutants.iter().all(|mutant| mutant.name != **name))
        .collect();
    ensure!(unknown.is_empty(), "no mutant is called {}", unknown.join(", "));
    let workspace = source::write(&mutants)?;
    build_programs()?;
    // The copy lies in the target directory, and shares what is built of the registry with everything else there.
    cargo()
        .args(["build", "--package", "lix-engine-native", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir())
        .run()?;

    let hunted: Vec<Mutant> =
        mutants.into_iter().filter(|m| names.is_empty() || names.contains(&&*m.name)).collect();
    sound_without(&hunted)?;
    let started = Instant::now();
    let hunts = in_parallel(&hunted, |mutant| {
        let cases = [&mutant.caught_by[..], &[CONTROL.to_owned()]].concat();
        let results = play(Some(&mutant.name), &mutant.implementation, &cases)?;
        ensure!(
            results.of(CONTROL) == Seen::Passed,
            "with {} not even {CONTROL} passes: it breaks everything, and shows nothing about its cases",
            mutant.name
        );
        let hunt = Hunt::of(mutant, &results);
        print(mutant, &hunt);
        Ok(hunt)
    })?;
    note(&format!("{} mutants in {}", hunted.len(), Took(started.elapsed())));
    let report = target_dir().join("conformance/mutants.json");
    let written: Vec<Value> = hunted.iter().zip(&hunts).map(|(m, hunt)| hunt.json(m)).collect();
    std::fs::create_dir_all(report.parent().expect("reports have a folder"))?;
    std::fs::write(&report, serde_json::to_string_pretty(&written)? + "\n")?;
    note(&format!("written: {}", report.display()));

    let survivors: Vec<String> = hunted
        .iter()
        .zip(&hunts)
        .filter(|(_, hunt)| !hunt.is_caught())
        .map(|(mutant, hunt)| format!("{} survives {}", mutant.name, hunt.missed.join(", ")))
        .collect();
    ensure!(
        survivors.is_empty(),
        "{}\nthe named cases have to fail with it: mend the case, or write the one that is missing and name it in {CATALOGUE}",
        survivors.join("\n")
    );
    Ok(())
}

/// The same program with no mistake switched on passes all of it; otherwise nothing that follows would mean anything.
fn sound_without(mutants: &[Mutant]) -> Result<()> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mutant in mutants {
        let cases = wanted.entry(&mutant.implementation).or_default();
        cases.extend(mutant.caught_by.iter().map(String::as_str));
    }
    for (implementation, cases) in wanted {
        let cases: Vec<String> = cases.into_iter().map(str::to_owned).collect();
        let results = play(None, implementation, &cases)?;
        let failed: Vec<String> = cases
            .iter()
            .filter_map(|case| match results.of(case) {
                Seen::Passed => None,
                other => Some(format!("{case}: {}", other.words())),
            })
            .collect();
        ensure!(
            failed.is_empty(),
            "without any mutant, {implementation} does not pass\n{}",
            failed.join("\n")
        );
    }
    Ok(())
}

/// Plays cases against the program with that mistake switched on.
fn play(mutant: Option<&str>, implementation: &str, cases: &[String]) -> Result<Results> {
    let built = |name: &str| target_dir().join("debug").join(name);
    let report = target_dir()
        .join("mutants")
        .join(format!("{}-{implementation}.json", mutant.unwrap_or("none")));
    let _ = std::fs::remove_file(&report);
    let output = Command::new(built("conformance"))
        .current_dir(root())
        .args(["run", "--impl", &format!("conformance/adapters/{implementation}/impl.json")])
        .args(["--quiet", "--json"])
        .arg(&report)
        .args(cases)
        .env("LIX_ENGINE_BIN", built(source::PROGRAM))
        .env(source::SWITCH, mutant.unwrap_or_default())
        .stdin(Stdio::null())
        .output()
        .context("could not start the runner")?;
    // 0: everything passed, 1: something failed. Anything else is no answer to the question.
    if !matches!(output.status.code(), Some(0 | 1)) {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "the runner gave up on {} ({})\n{said}",
            mutant.unwrap_or("no mutant"),
            output.status
        );
    }
    Results::parse(&std::fs::read_to_string(&report)?)
}

/// As many at once as there are processors; the results are in the order of the mutants.
fn in_parallel<T: Send>(
    mutants: &[Mutant],
    work: impl Fn(&Mutant) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..mutants.len()).collect());
    let done: Mutex<BTreeMap<usize, Result<T>>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no holder panics").pop_front();
                    let Some(index) = next else { return };
                    let result = work(&mutants[index]);
                    done.lock().expect("no holder panics").insert(index, result);
                }
            });
        }
    });
    done.into_inner().expect("no holder panics").into_values().collect()
}

/// What the runner reported, by case.
struct Results(Vec<(String, Seen, String)>);

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Passed,
    /// It failed, the engine died, time ran out, or the engine broke a rule that is checked in every case.
    Failed,
    /// It is not among the results, or did not run.
    Absent,
}

impl Seen {
    fn words(self) -> &'static str {
        match self {
            Seen::Passed => "passed",
            Seen::Failed => "failed",
            Seen::Absent => "did not run",
        }
    }
}

impl Results {
    fn parse(report: &str) -> Result<Results> {
        let report: Value = serde_json::from_str(report)?;
        let results = report["results"].as_array().context("the report has no results")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // One line each: the case in which the rule was broken, and which that is.
        let breaches = results.iter().find(|result| result["id"] == BREACHES);
        let breaches = breaches.map(|result| text(&result["message"])).unwrap_or_default();
        let broken_in = |id: &str| {
            breaches
                .lines()
                .find_map(|line| line.strip_prefix(id)?.strip_prefix(": ").map(str::to_owned))
        };
        let read = |result: &Value| {
            let id = text(&result["id"]);
            let (seen, step) = match result["outcome"].as_str().unwrap_or_default() {
                "OUTCOME_FAIL" | "OUTCOME_CRASH" => (Seen::Failed, text(&result["step"])),
                "OUTCOME_TIMEOUT" => {
                    (Seen::Failed, format!("{} (time ran out)", text(&result["step"])))
                }
                "OUTCOME_PASS" => match broken_in(&id) {
                    Some(rule) => (Seen::Failed, rule),
                    None => (Seen::Passed, String::new()),
                },
                _ => (Seen::Absent, String::new()),
            };
            (id, seen, step)
        };
        Ok(Results(results.iter().map(read).collect()))
    }

    /// A case with plugins is played once for each of their formats; all of them have to agree.
    fn of(&self, case: &str) -> Seen {
        let mut seen = self.played(case).map(|(_, seen, _)| *seen);
        let first = seen.next().unwrap_or(Seen::Absent);
        seen.fold(first, |all, one| if all == one { all } else { Seen::Passed })
    }

    fn step(&self, case: &str) -> String {
        self.played(case).map(|(_, _, step)| step.clone()).next().unwrap_or_default()
    }

    fn played(&self, case: &str) -> impl Iterator<Item = &(String, Seen, String)> {
        self.0.iter().filter(move |(id, ..)| {
            id.strip_prefix(case).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        })
    }
}

/// What became of a mutant.
struct Hunt {
    /// The cases that noticed it, and where.
    caught: Vec<(String, String)>,
    /// Those that should have.
    missed: Vec<String>,
}

impl Hunt {
    fn of(mutant: &Mutant, results: &Results) -> Hunt {
        let (caught, missed): (Vec<_>, Vec<_>) =
            mutant.caught_by.iter().partition(|case| results.of(case) == Seen::Failed);
        let missed = missed.into_iter().map(|case| match results.of(case) {
            Seen::Absent => format!("{case} (did not run)"),
            _ => case.clone(),
        });
        Hunt {
            caught: caught.into_iter().map(|case| (case.clone(), results.step(case))).collect(),
            missed: missed.collect(),
        }
    }

    fn is_caught(&self) -> bool {
        self.missed.is_empty()
    }

    fn json(&self, mutant: &Mutant) -> Value {
        let caught: Vec<Value> =
            self.caught.iter().map(|(case, step)| json!({ "case": case, "step": step })).collect();
        json!({ "name": mutant.name, "area": mutant.area, "caught_by": caught, "missed_by": self.missed })
    }
}

/// In one piece: others are at work at the same time.
fn print(mutant: &Mutant, hunt: &Hunt) {
    let mark = if hunt.is_caught() { green("✓") } else { red("✗") };
    let mut lines = format!("  {mark} {}", mutant.name);
    for (case, step) in &hunt.caught {
        let step: String = step.chars().take(100).collect();
        lines += &format!("\n      {case}  {step}");
    }
    for case in &hunt.missed {
        lines += &format!("\n      {} {case}", red("passed:"));
    }
    say(&lines);
}

fn write_table(mutants: &[Mutant]) -> Result<()> {
    let path: PathBuf = root().join(README);
    let committed = std::fs::read_to_string(&path).with_context(|| format!("no {README}"))?;
    std::fs::write(&path, with_table(&committed, mutants)?)?;
    note(&format!("written: {README}"));
    Ok(())
}

/// The text with this table in place of the one that it ends in.
fn with_table(text: &str, mutants: &[Mutant]) -> Result<String> {
    let (head, _) = text
        .split_once(TABLE)
        .with_context(|| format!("{README} has no line `{}`", TABLE.trim()))?;
    let mut out = format!("{head}{TABLE}");
    let mut area = "";
    for mutant in mutants {
        if mutant.area != area {
            area = &mutant.area;
            out += &format!("\n### {area}\n\n| Mutant | Mistake | Caught by |\n|---|---|---|\n");
        }
        let cases: Vec<String> = mutant.caught_by.iter().map(|case| format!("`{case}`")).collect();
        let what = format!("{} {}", mutant.what, mutant.trap);
        let what = what.trim_end().replace('|', "\\|");
        out += &format!("| `{}` | {what} | {} |\n", mutant.name, cases.join(", "));
    }
    Ok(out)
}

/// What every mutant can still do.
const CONTROL: &str = "exec/statement/leading-space-comments-and-semicolons";

/// The result that collects the rules which are checked in every case.
const BREACHES: &str = "wire/valid-frames";

const README: &str = "conformance/mutants/README.md";

/// Where the generated part of the README begins.
const TABLE: &str = "<!-- What follows is generated: cargo xtask mutants --write-table -->\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(caught_by: &[&str]) -> Mutant {
        Mutant {
            area: "wire".into(),
            name: "swapped".into(),
            what: "Bytes | swapped.".into(),
            trap: "Seen once.".into(),
            edits: vec![],
            implementation: "native".into(),
            caught_by: caught_by.iter().map(|case| (*case).to_owned()).collect(),
        }
    }

    const REPORT: &str = r#"{ "results": [
        { "id": "a/b/passes", "outcome": "OUTCOME_PASS" },
        { "id": "a/b/fails", "outcome": "OUTCOME_FAIL", "step": "steps[3]" },
        { "id": "a/b/dies", "outcome": "OUTCOME_CRASH" },
        { "id": "a/b/hangs", "outcome": "OUTCOME_TIMEOUT" },
        { "id": "a/b/breaks-a-rule", "outcome": "OUTCOME_PASS" },
        { "id": "a/b/elsewhere", "outcome": "OUTCOME_NOT_APPLICABLE" },
        { "id": "a/b/both@BUILTIN", "outcome": "OUTCOME_FAIL" },
        { "id": "a/b/both@ESM", "outcome": "OUTCOME_FAIL" },
        { "id": "a/b/one@BUILTIN", "outcome": "OUTCOME_PASS" },
        { "id": "a/b/one@ESM", "outcome": "OUTCOME_FAIL" },
        { "id": "wire/valid-frames", "outcome": "OUTCOME_FAIL", "message": "a/b/breaks-a-rule: the width is not the smallest\na/b/breaks-a-rule: a gap" }
    ] }"#;

    #[test]
    fn a_mutant_is_caught_if_each_of_its_cases_fails() {
        let results = Results::parse(REPORT).unwrap();
        let caught = ["a/b/fails", "a/b/dies", "a/b/hangs", "a/b/breaks-a-rule", "a/b/both"];
        let hunt = Hunt::of(&mutant(&caught), &results);
        assert!(hunt.is_caught(), "{:?}", hunt.missed);
        assert_eq!(hunt.caught[0], ("a/b/fails".into(), "steps[3]".into()));
        assert_eq!(hunt.caught[3].1, "the width is not the smallest");
    }

    #[test]
    fn a_case_that_passes_or_does_not_run_lets_it_survive() {
        let results = Results::parse(REPORT).unwrap();
        for case in ["a/b/passes", "a/b/elsewhere", "a/b/one", "a/b/fail", "a/b/none"] {
            let hunt = Hunt::of(&mutant(&["a/b/fails", case]), &results);
            assert!(!hunt.is_caught(), "{case}");
            assert_eq!(hunt.missed.len(), 1);
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_mutants_and_a_failure_is_told() {
        let mutants: Vec<Mutant> =
            (0..20).map(|n| Mutant { name: n.to_string(), ..mutant(&["a/b/fails"]) }).collect();
        let names = in_parallel(&mutants, |mutant| Ok(mutant.name.clone())).unwrap();
        assert_eq!(names, (0..20).map(|n: i32| n.to_string()).collect::<Vec<_>>());
        let failed = in_parallel(&mutants, |mutant| match &*mutant.name {
            "7" => bail!("no runner"),
            _ => Ok(()),
        });
        assert!(failed.is_err());
    }

    #[test]
    fn the_table_replaces_the_one_before() {
        let once = with_table(&format!("About.\n\n{TABLE}old"), &[mutant(&["a/b/c"])]).unwrap();
        let row = "| `swapped` | Bytes \\| swapped. Seen once. | `a/b/c` |\n";
        assert!(once.starts_with("About.\n\n") && once.ends_with(row), "{once}");
        assert!(!once.contains("old"));
        assert_eq!(with_table(&once, &[mutant(&["a/b/c"])]).unwrap(), once);
        assert!(with_table("no place for it", &[]).is_err());
    }
}
