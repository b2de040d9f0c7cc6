//! Mode `host` against hosts and adapters that do one thing wrong: it is named, the right side is blamed, nothing hangs.

use std::path::Path;
use std::time::{Duration, Instant};

use lix_engine_conformance::case::schema::{CaseResult, Outcome, Verdict};
use lix_engine_conformance::host::{self, ADAPTER, HOST, case};
use lix_engine_conformance::implementation;
use lix_engine_conformance::known::KnownFailures;
use lix_engine_conformance::run::{Finished, HARNESS, Options, Refused, WIRE};
use lix_engine_conformance::suite::Suite;

const FAKE: &str = env!("CARGO_BIN_EXE_fake-host");
const ENGINE: &str = env!("CARGO_BIN_EXE_fake-engine");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host/cases");

fn try_run(mode: &str, pattern: &str) -> Result<Finished, Refused> {
    try_pair(mode, None, pattern)
}

fn try_pair(mode: &str, engine: Option<&str>, pattern: &str) -> Result<Finished, Refused> {
    let mut config = implementation::resolve(&format!("host-stdio:{FAKE} {mode}")).unwrap();
    // Only what never comes is waited for in vain; a start may take its time on a busy machine.
    if mode == "silent" {
        config.start_timeout = Duration::from_millis(1500);
    }
    let options = Options {
        run: vec![pattern.to_owned()],
        timeout: Duration::from_secs(2),
        ..Options::default()
    };
    let all = case::load_all(&Suite::at(Path::new(CASES))).unwrap();
    let engine =
        engine.map(|mode| implementation::resolve(&format!("stdio:{ENGINE} {mode}")).unwrap());
    let started = Instant::now();
    let result = host::run(&config, engine.as_ref(), &options, &all, &KnownFailures::default());
    assert!(started.elapsed() < Duration::from_secs(40), "{mode} took {:?}", started.elapsed());
    result
}

fn result<'a>(finished: &'a Finished, id: &str) -> &'a CaseResult {
    finished
        .report
        .results
        .iter()
        .find(|result| result.id == id)
        .unwrap_or_else(|| panic!("no result for {id}"))
}

/// What the case came to, and whom the checks blame: the host, the adapter.
fn blame(mode: &str, name: &str) -> (Outcome, String, [bool; 2]) {
    let finished = try_run(mode, &format!("host/smoke/{name}"))
        .unwrap_or_else(|refused| panic!("{mode}: {refused:?}"));
    assert!(!finished.harness_failed, "{mode}: {}", result(&finished, HARNESS).message);
    let case = result(&finished, &format!("host/smoke/{name}"));
    let red = |id: &str| result(&finished, id).verdict() == Verdict::Red;
    let notes = [WIRE, ADAPTER].map(|id| result(&finished, id).message.clone());
    (
        case.outcome(),
        format!("{}\n{}\n{}", case.message, case.stderr, notes.join("\n")),
        [red(WIRE), red(ADAPTER)],
    )
}

#[test]
fn a_host_that_behaves_passes() {
    let finished = try_run("good", "host/smoke/**").unwrap();
    for result in &finished.report.results {
        assert_eq!(result.verdict(), Verdict::Green, "{}: {}", result.id, result.message);
    }
    assert_eq!(result(&finished, "host/smoke/needs-more").outcome(), Outcome::NotApplicable);
    assert_eq!(finished.report.totals.unwrap().passed, 6, "three cases and three checks");
}

#[test]
fn what_the_host_does_wrong_is_the_hosts() {
    for (mode, name, outcome, expected, wire) in [
        ("wrong-value", "one", Outcome::Fail, "report.rows[0][0]", false),
        ("changes-sql", "one", Outcome::Fail, "request.exec.sql", false),
        ("keeps-it", "one", Outcome::Fail, "did not send exec", false),
        ("does-not-connect", "one", Outcome::Fail, "did not connect", false),
        ("no-preamble", "one", Outcome::Fail, "HELLO..", false),
        ("defect", "end", Outcome::Fail, "threw what is no error of its own", false),
        ("exec-first", "one", Outcome::Fail, "before init was answered", true),
        ("id-zero", "one", Outcome::Fail, "with id 0", true),
        ("same-id-twice", "one", Outcome::Fail, "the host sent", false),
        ("waits-forever", "end", Outcome::Timeout, "the report of the host", false),
        ("half-a-frame", "one", Outcome::Timeout, "the request exec of the host", false),
    ] {
        let (seen, message, [host, adapter]) = blame(mode, name);
        // A host that answers 0 may be told by an engine, too; here the case goes on as far as it can.
        assert!(message.contains(expected), "{mode}: {message}");
        assert!(seen == outcome || wire, "{mode}: {seen:?}");
        assert_eq!((host, adapter), (wire, false), "{mode}: {message}");
    }
}

#[test]
fn what_the_adapter_does_wrong_is_the_adapters() {
    for (mode, outcome, expected) in [
        ("twice", Outcome::Fail, "reports twice on command"),
        ("other-id", Outcome::Fail, "on command 999, which nobody gave"),
        (
            "unknown-member",
            Outcome::Fail,
            "line 3 has an unknown member \"result.lastInsertRowid\"",
        ),
        ("number-as-value", Outcome::Fail, "line 3 has no tagged value in \"result.rows[0][0]\""),
        ("says-nothing", Outcome::Fail, "line 3 does not say what came of exec"),
        ("prints", Outcome::Fail, "debug: select 1"),
        ("half-a-line", Outcome::Crash, "half a line"),
        ("dies", Outcome::Crash, "exit status 7"),
        ("never", Outcome::Timeout, "the request exec of the host"),
        ("stays", Outcome::Pass, ""),
    ] {
        let (seen, message, [host, adapter]) = blame(mode, "one");
        assert!(message.contains(expected), "{mode}: {message}");
        assert!(!host, "{mode} blames the host: {message}");
        assert!(seen == outcome || adapter, "{mode}: {seen:?} {message}");
    }
    assert!(blame("dies", "one").1.contains("out of memory"), "stderr is shown");
}

#[test]
fn bytes_outside_of_messages_do_not_apply_to_a_websocket() {
    let finished = try_run("websocket", "host/smoke/cut").unwrap();
    let case = result(&finished, "host/smoke/cut");
    assert_eq!(case.outcome(), Outcome::NotApplicable, "{}", case.message);
    assert!(case.message.contains("speaks WebSocket"), "{}", case.message);
}

#[test]
fn what_is_no_adapter_is_not_run() {
    for (mode, expected) in [
        ("silent", "started and reports nothing"),
        ("crash-at-start", "no configuration found"),
        ("echo", "this is no adapter"),
        ("text-at-start", "Adapter 1.0 ready"),
        ("unknown-feature", "telepathy"),
    ] {
        match try_run(mode, "host/smoke/one") {
            Err(Refused::NotStarted(why)) => assert!(why.contains(expected), "{mode}: {why}"),
            Err(other) => panic!("{mode}: {other:?}"),
            Ok(_) => panic!("{mode} ran"),
        }
    }
}

#[test]
fn a_pair_is_told_who_is_wrong() {
    for (host_mode, engine_mode, outcome, expected, [host_frames, engine_frames]) in [
        ("good", "good", Outcome::Pass, "", [true, true]),
        ("wrong-value", "good", Outcome::Fail, "that is right, so the host is wrong", [true, true]),
        ("changes-sql", "good", Outcome::Fail, "the host is wrong", [true, true]),
        ("good", "wrong-row", Outcome::Fail, "so the engine is wrong", [true, true]),
        (
            "good",
            "never",
            Outcome::Timeout,
            "request 2 (exec): it is the engine's turn",
            [true, true],
        ),
        ("never", "good", Outcome::Timeout, "it is the host's turn", [true, true]),
        ("dies", "good", Outcome::Crash, "the adapter is gone: exit status 7", [true, true]),
        ("good", "other-id", Outcome::Timeout, "it is the engine's turn", [true, false]),
        ("good", "wide", Outcome::Fail, "", [true, false]),
        ("exec-first", "good", Outcome::Pass, "", [false, true]),
    ] {
        let pair = format!("{host_mode} with {engine_mode}");
        let finished = try_pair(host_mode, Some(engine_mode), "pair/smoke/one")
            .unwrap_or_else(|refused| panic!("{pair}: {refused:?}"));
        let green = |id: &str| result(&finished, id).verdict() == Verdict::Green;
        let case = result(&finished, "pair/smoke/one");
        assert!(case.message.contains(expected), "{pair}: {}", case.message);
        assert!(
            case.outcome() == outcome || !host_frames || !engine_frames,
            "{pair}: {}",
            case.message
        );
        let notes = [HOST, WIRE].map(|id| result(&finished, id).message.clone());
        assert_eq!([green(HOST), green(WIRE)], [host_frames, engine_frames], "{pair}: {notes:?}");
    }
    match try_pair("good", Some("exit-at-once"), "pair/**") {
        Err(Refused::NotStarted(why)) => assert!(why.contains("cannot find the database"), "{why}"),
        _ => panic!("an engine that does not start is not run"),
    }
}
