//! The runner against engines that break the contract: each breach is named, and nothing hangs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lix_engine_conformance::case;
use lix_engine_conformance::case::schema::{CaseResult, Outcome, Verdict};
use lix_engine_conformance::implementation;
use lix_engine_conformance::known::KnownFailures;
use lix_engine_conformance::run::{self, Finished, Options, Refused};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-engine");
const RUNNER: &str = env!("CARGO_BIN_EXE_conformance");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");

fn try_run(mode: &str, pattern: &str, known: &str) -> Result<Finished, Refused> {
    let mut config = implementation::resolve(&format!("stdio:{FAKE} {mode}")).unwrap();
    // Only what never comes is waited for in vain; everything else may take its time on a busy machine.
    if ["deaf", "short-text-first"].contains(&mode) {
        config.start_timeout = Duration::from_millis(1500);
    }
    let silent = ["never", "random", "credit-unused", "undead", "half-a-frame-and-no-more"];
    let options = Options {
        run: vec![pattern.to_owned()],
        timeout: Duration::from_secs(if silent.contains(&mode) { 2 } else { 20 }),
        ..Options::default()
    };
    let all = case::load_all(Path::new(CASES)).unwrap();
    run::run(&config, &options, &all, &KnownFailures::parse(known, "2026-11-22"))
}

fn result<'a>(finished: &'a Finished, id: &str) -> &'a CaseResult {
    finished
        .report
        .results
        .iter()
        .find(|result| result.id == id)
        .unwrap_or_else(|| panic!("no result for {id}"))
}

/// Runs one case against a mode of the fake engine; returns what the case and the wire check came to.
fn breach(mode: &str, name: &str) -> (Outcome, String, String) {
    let started = Instant::now();
    let finished = try_run(mode, &format!("smoke/{name}"), "")
        .unwrap_or_else(|refused| panic!("{mode}: {refused:?}"));
    assert!(started.elapsed() < Duration::from_secs(40), "{mode} took {:?}", started.elapsed());
    assert!(!finished.harness_failed, "{mode}: {:?}", result(&finished, run::HARNESS).message);
    let case = result(&finished, &format!("smoke/{name}"));
    (
        case.outcome(),
        format!("{}\n{}", case.message, case.stderr),
        result(&finished, run::WIRE).message.clone(),
    )
}

#[test]
fn an_engine_that_behaves_passes() {
    let finished = try_run("good", "smoke/**", "").unwrap();
    for result in &finished.report.results {
        assert_eq!(result.verdict(), Verdict::Green, "{}: {}", result.id, result.message);
    }
    assert_eq!(finished.report.totals.unwrap().passed, 10, "eight cases and two checks");
}

#[test]
fn wrong_content_fails_the_case() {
    for (mode, name, expected) in [
        ("wrong-row", "one", "{\"int\":\"2\"}"),
        ("changes", "one", "changes"),
        ("no-event", "events", "expect_events"),
        ("closes", "one", "INTERNAL/ENGINE_DEFECT"),
        ("saves-too-soon", "time", "event 1 at least 149 ms after the start"),
        ("saves-too-late", "time", "\"autosave\":\"SAVED\""),
    ] {
        let (outcome, message, _) = breach(mode, name);
        assert_eq!(outcome, Outcome::Fail, "{mode}: {message}");
        assert!(message.contains(expected), "{mode}: {message}");
    }
}

#[test]
fn broken_rules_fail_the_wire_check() {
    for (mode, name, expected) in [
        ("twice", "one", "a second answer to request 2"),
        ("other-id", "one", "an answer to request 102, which nobody sent"),
        ("no-state", "one", "has no state"),
        ("no-outcome", "one", "has no outcome"),
        ("other-outcome", "one", "exec, is export"),
        ("request", "one", "a request from the engine"),
        ("attachment", "one", "1 attachments"),
        ("no-batch", "one", "1 columns, and a batch is absent"),
        ("wide", "one", "int_width is 8, 1 is enough"),
        ("short-stream", "one", "0 bytes of ints for 1 cells"),
        ("swapped", "pipeline", "request 3 is answered before request 2"),
        ("gap", "events", "event number 3, expected 2"),
        ("late-event", "events", "the last commit event before it 0"),
        ("no-event", "events", "says commit_seq 1, the last commit event before it 0"),
        ("state-goes-back", "events", "the state went back from commit_seq 1"),
        ("too-much", "cursor", "a second answer to request 3"),
        ("empty-batch", "cursor", "without rows"),
        ("cursor-zero", "cursor", "cursor id 0"),
        ("event-after-close", "one", "after the answer to close"),
        ("unregistered", "error", "\"BAD_LUCK\" of code INVALID is not in the registry"),
        ("wrong-code", "error", "SQL_ERROR comes with code CONSTRAINT"),
        ("wrong-retryable", "error", "says retryable true"),
        ("no-limits", "one", "InitResponse.limits is absent"),
        ("twice-a-capability", "one", "name one twice"),
        ("starts-twice", "saves", "is STARTED while Writing"),
        ("fails-without-reason", "saves", "FAILED, has a wrong error field"),
        ("saves-in-silence", "saves", "says saved_seq 1, the last SAVED event before it 0"),
        ("saves-the-future", "saves", "saved_seq 2 is above commit_seq 1"),
        ("saves-memory", "strict", "says saved_seq 1 of memory"),
        ("says-another", "saves", "says saved_seq 2, its state 1"),
        ("answers-too-early", "strict", "is answered with saved_seq 0 of 1"),
    ] {
        let (_, _, wire) = breach(mode, name);
        assert!(wire.contains(expected), "{mode}: {wire}");
    }
}

#[test]
fn what_is_not_the_protocol_is_quoted() {
    for (mode, expected) in [
        ("println", "debug: running a statement"),
        ("half-a-frame", "ends after 2 of the 200 bytes"),
    ] {
        let (outcome, message, _) = breach(mode, "one");
        assert_eq!(outcome, Outcome::Fail, "{mode}: {message}");
        assert!(message.contains(expected), "{mode}: {message}");
    }
}

#[test]
fn silence_ends_with_the_budget() {
    for (mode, name, expected) in [
        ("never", "one", "the answer to request 2"),
        ("random", "one", "was announced and is not complete"),
        ("credit-unused", "cursor", "1 of 2 came"),
        ("undead", "one", "the process to exit"),
        (
            "half-a-frame-and-no-more",
            "one",
            "a frame of 200 bytes was announced and is not complete",
        ),
    ] {
        let (outcome, message, _) = breach(mode, name);
        assert_eq!(outcome, Outcome::Timeout, "{mode}: {message}");
        assert!(message.contains(expected), "{mode}: {message}");
    }
}

#[test]
fn death_is_a_crash_with_status_and_stderr() {
    let (outcome, message, _) = breach("die", "one");
    assert_eq!(outcome, Outcome::Crash);
    assert!(
        message.contains("exit status 101") && message.contains("at the worst moment"),
        "{message}"
    );

    let (outcome, message, _) = breach("hang-up", "one");
    assert_eq!((outcome, message.contains("exit status 0")), (Outcome::Crash, true), "{message}");

    let (outcome, message, _) = breach("bad-exit", "one");
    assert_eq!((outcome, message.contains("actual   9")), (Outcome::Fail, true), "{message}");
}

#[test]
fn an_engine_that_does_not_start_is_not_run() {
    for (mode, expected) in [
        ("println-first", "Starting the engine on port 8080"),
        ("short-text-first", "\\\"hi"),
        ("exit-at-once", "cannot find the database"),
        ("deaf", "no answer in time"),
    ] {
        let started = Instant::now();
        match try_run(mode, "smoke/**", "") {
            Err(Refused::NotStarted(why)) => {
                let expected = expected.replace('\\', "");
                assert!(why.contains(&expected), "{mode}: {why}");
            }
            Err(other) => panic!("{mode}: {other:?}"),
            Ok(_) => panic!("{mode} ran"),
        }
        assert!(started.elapsed() < Duration::from_secs(40), "{mode}");
    }
}

#[test]
fn known_failures_are_judged() {
    let verdict = |mode: &str, known: &str| {
        let finished = try_run(mode, "smoke/one", known).unwrap();
        (result(&finished, "smoke/one").verdict(), finished.report.list_faults.len())
    };
    assert_eq!(verdict("wrong-row", "smoke/one fail issue 1"), (Verdict::Known, 0));
    assert_eq!(verdict("good", "smoke/one fail issue 1"), (Verdict::Red, 0), "stale");
    assert_eq!(verdict("die", "smoke/one fail issue 1"), (Verdict::Red, 0), "a crash needs skip");
    assert_eq!(
        verdict("good", "smoke/nowhere fail issue 1"),
        (Verdict::Green, 1),
        "matches nothing"
    );
    match try_run("good", "smoke/one", "smoke/one skip issue 1") {
        Err(Refused::Nothing(_)) => {}
        _ => panic!("the only case is skipped, so nothing ran"),
    }
}

/// Exit status and last line of the program.
fn program(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(RUNNER)
        .args(args)
        .args(["--cases", CASES])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn exit_status_and_closing_line() {
    let fake = |mode: &str| format!("stdio:{FAKE} {mode}");
    for (mode, args, status, line) in [
        ("good", &[][..], 0, "10 passed, 0 failed, 0 skipped"),
        ("wrong-row", &["smoke/one"], 1, "2 passed, 1 failed, 0 skipped"),
        ("good", &["--nonsense"], 2, ""),
        ("good", &["--require", "NONSENSE"], 2, ""),
        ("good", &["--profile", "nonsense"], 2, ""),
        ("exit-at-once", &[], 3, ""),
        ("good", &["nowhere/**"], 5, "0 passed, 0 failed, 0 skipped"),
    ] {
        let spec = fake(mode);
        let mut all = vec!["run", "--impl", &spec];
        all.extend(args);
        assert_eq!(program(&all), (Some(status), line.to_owned()), "{mode} {args:?}");
    }
}

#[test]
fn order_and_shards_change_nothing() {
    let spec = format!("stdio:{FAKE} good");
    let (status, line) = program(&["run", "--impl", &spec, "--shuffle", "7", "--jobs", "3"]);
    assert_eq!((status, line.as_str()), (Some(0), "10 passed, 0 failed, 0 skipped"));

    let (mut passed, mut ran) = (0, 0);
    for shard in ["1/2", "2/2"] {
        let (status, line) = program(&["run", "--impl", &spec, "--shard", shard]);
        if status == Some(0) {
            ran += 1;
            passed += line.split(' ').next().unwrap().parse::<u32>().unwrap() - 2;
        }
    }
    assert_eq!(passed, 8, "{ran} shards ran");
}

#[test]
fn reports_are_written() {
    let dir = std::env::temp_dir().join(format!("conformance-reports-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (junit, json, trace) = (path("junit.xml"), path("report.json"), path("trace.ndjson"));
    let spec = format!("stdio:{FAKE} wrong-row");
    let (status, _) = program(&[
        "run",
        "--impl",
        &spec,
        "smoke/one",
        "--junit",
        &junit,
        "--json",
        &json,
        "--trace",
        &trace,
    ]);
    assert_eq!(status, Some(1));

    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<testsuite name=\"smoke\" tests=\"1\" failures=\"1\""), "{junit}");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["totals"]["failed"], 1);
    let trace = std::fs::read_to_string(trace).unwrap();
    let frames: Vec<serde_json::Value> =
        trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(frames[0]["dir"], "send");
    let answer = &frames[3]["frame"]["response"]["exec"]["batch"]["rows"];
    assert_eq!(answer, &serde_json::json!([[{"int": "2"}]]));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn bless_writes_what_came() {
    let dir = std::env::temp_dir().join(format!("conformance-bless-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(Path::new(CASES).join("smoke.json"), dir.join("smoke.json")).unwrap();
    let bless = |pattern: &str, mode: &str| {
        Command::new(RUNNER)
            .args(["run", "--bless", "--impl", &format!("stdio:{FAKE} {mode}"), pattern, "--cases"])
            .arg(&dir)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(
        bless("smoke/one", "wrong-row"),
        Some(2),
        "another case fails, so nothing may be blessed"
    );
    let before = std::fs::read_to_string(dir.join("smoke.json")).unwrap();
    bless("smoke/[op]*", "wrong-row");
    assert_eq!(before, std::fs::read_to_string(dir.join("smoke.json")).unwrap(), "no case matches");

    // The fake's wrong row is in two cases; with both selected, the rest is in order.
    let blessed = Command::new(RUNNER)
        .args([
            "run",
            "--bless",
            "--impl",
            &format!("stdio:{FAKE} wrong-row"),
            "smoke/one",
            "smoke/pipeline",
            "--cases",
        ])
        .arg(&dir)
        .output()
        .unwrap();
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("smoke.json")).unwrap()).unwrap();
    assert_eq!(
        file["cases"][0]["steps"][0]["rows"],
        serde_json::json!([[{"int": "2"}]]),
        "{}",
        String::from_utf8_lossy(&blessed.stderr)
    );
    assert_eq!(
        file["cases"][1]["steps"][0]["concurrently"][1]["rows"],
        serde_json::json!([[{"int": "3"}]])
    );
    std::fs::remove_dir_all(dir).unwrap();
}

/// What an engine has started goes with it, at the end of its session and at the end of the runner.
#[cfg(target_os = "linux")]
#[test]
fn an_engine_leaves_no_helpers() {
    let mark = format!("{}.25", 86_400 + std::process::id());
    let spec = format!("stdio:sh -c 'sleep {mark} & exec {FAKE} undead'");
    let output = Command::new(RUNNER)
        .args(["run", "--impl", &spec, "--timeout-ms", "1500", "--cases", CASES, "smoke/one"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let left = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
                line.starts_with(b"sleep") && String::from_utf8_lossy(&line).contains(&mark)
            })
        })
    };
    let ended = Instant::now();
    while left() {
        assert!(ended.elapsed() < Duration::from_secs(20), "the helper outlives the run");
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn children_die_with_the_runner() {
    // As Ctrl-C ends it, and as nothing can be caught.
    for signal in ["INT", "KILL"] {
        dies_with_the_runner(signal);
    }
}

#[cfg(target_os = "linux")]
fn dies_with_the_runner(signal: &str) {
    let mut runner = Command::new(RUNNER)
        .args(["run", "--impl", &format!("stdio:{FAKE} deaf"), "--cases", CASES])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let children = |parent: u32| -> Vec<u32> {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let after_name = stat.rsplit(')').next().unwrap_or_default();
                after_name.split_whitespace().nth(1) == Some(&parent.to_string())
                    && stat.contains("(fake-engine)")
            })
            .collect()
    };
    // Its threads for stdin, stdout and stderr come after the engine is under watch.
    let threads =
        |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let started = Instant::now();
    while threads(runner.id()) < 4 {
        assert!(started.elapsed() < Duration::from_secs(20), "the runner starts no engine");
        std::thread::yield_now();
    }
    let child = children(runner.id());
    assert_eq!(child.len(), 1);
    let kill = format!("kill -{signal} {}", runner.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    runner.wait().unwrap();
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child[0])).unwrap_or_default();
        stat.contains("fake-engine") && !stat.contains(") Z ")
    };
    let killed = Instant::now();
    while alive() {
        assert!(
            killed.elapsed() < Duration::from_secs(20),
            "{signal}: the engine outlives the runner"
        );
        std::thread::yield_now();
    }
}
