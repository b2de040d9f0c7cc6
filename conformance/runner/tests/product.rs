//! The program as teams with an engine of their own meet it: from an empty folder, with the cases inside of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-engine");
const RUNNER: &str = env!("CARGO_BIN_EXE_conformance");
const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");

/// An empty folder for one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("conformance-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(RUNNER).args(args).current_dir(&self.0).output().unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_cases_are_in_the_program() {
    let folder = Folder::new("embedded");
    let listed = folder.run(&["list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", err(&listed));
    assert!(out(&listed).lines().count() > 400);
    assert_eq!(folder.run(&["list", "--profile", "core"]).status.code(), Some(0));

    // A case whose image is a file of the suite: the fake engine is asked to open it, so the file was found.
    let spec = format!("stdio:{FAKE} good");
    let played = folder.run(&["run", "--impl", &spec, "--level", "REQUIRED", "images/**"]);
    assert_eq!(played.status.code(), Some(1), "{}", err(&played));
    assert!(!out(&played).contains("no such file"), "{}", out(&played));

    for refused in [
        &["fmt"][..],
        &["requirements", "--write"],
        &["run", "--bless", "--impl", "stdio:cat", "a/b"],
    ] {
        let output = folder.run(refused);
        assert_eq!(output.status.code(), Some(2), "{refused:?}");
        assert!(err(&output).contains("--cases DIR"), "{refused:?}: {}", err(&output));
    }
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left in the folder");
}

#[cfg(unix)]
#[test]
fn what_is_no_engine_is_diagnosed() {
    let folder = Folder::new("no-engine");
    for (spec, expected) in [
        ("stdio:cat", "sends back the request"),
        ("stdio:false", "exit status 1"),
        ("stdio:/no/such/program", "does not start"),
        ("stdio:echo hello", "standard output carries frames and nothing else"),
        ("stdio:yes", "standard output carries frames and nothing else"),
        ("stdio:sh -c 'echo boom >&2; exit 3'", "stderr: boom"),
        ("ws://127.0.0.1:9", "does not answer"),
    ] {
        let started = Instant::now();
        let output = folder.run(&["run", "--impl", spec, "--cases", SMOKE]);
        assert_eq!(output.status.code(), Some(3), "{spec}: {}", err(&output));
        assert!(err(&output).contains(expected), "{spec}: {}", err(&output));
        assert!(started.elapsed() < Duration::from_secs(10), "{spec} takes as long as silence");
    }
}

#[test]
fn the_order_can_be_had_again() {
    let folder = Folder::new("shuffle");
    let spec = format!("stdio:{FAKE} good");
    let run = |more: &[&str]| {
        let mut args =
            vec!["run", "--impl", &spec, "--cases", SMOKE, "--skip", "smoke/time", "--shuffle"];
        args.extend(more);
        let output = folder.run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", out(&output));
        out(&output)
    };
    assert!(run(&["7"]).contains("--shuffle 7\n"));
    assert!(
        run(&["--jobs", "2"]).contains("in the order of --shuffle "),
        "a seed is made up and told"
    );
}

#[test]
fn shards_are_merged_compared_and_shown() {
    let folder = Folder::new("reports");
    let run = |mode: &str, shard: &str, file: &str| {
        let spec = format!("stdio:{FAKE} {mode}");
        let path = folder.path(file);
        let mut args = vec!["run", "--impl", &spec, "--cases", SMOKE, "--json", &path];
        if !shard.is_empty() {
            args.extend(["--shard", shard]);
        }
        let output = folder.run(&args);
        assert!(output.status.code() < Some(2), "{}", err(&output));
    };
    run("good", "1/2", "1.json");
    run("good", "2/2", "2.json");
    run("good", "", "good.json");
    run("wrong-row", "", "bad.json");

    let merged = folder.run(&["merge", "1.json", "2.json", "--json", "merged.json"]);
    assert_eq!(merged.status.code(), Some(0), "{}", err(&merged));
    assert_eq!(out(&merged).lines().last(), Some("10 passed, 0 failed, 0 skipped"));
    let same = folder.run(&["diff", "merged.json", "good.json"]);
    assert_eq!((same.status.code(), out(&same).as_str()), (Some(0), "No difference\n"));
    assert_eq!(folder.run(&["merge", "1.json"]).status.code(), Some(2), "a shard is missing");

    let worse = folder.run(&["diff", "good.json", "bad.json"]);
    assert_eq!(worse.status.code(), Some(1));
    assert!(out(&worse).contains("smoke/one"), "{}", out(&worse));
    assert_eq!(
        folder.run(&["diff", "bad.json", "good.json"]).status.code(),
        Some(0),
        "better is no failure"
    );

    let table = folder.run(&["table", "good.json", "bad.json"]);
    assert_eq!(out(&table).lines().count(), 4, "{}", out(&table));

    let page = folder.run(&["report", "good.json", "bad.json", "--html", "page.html"]);
    assert_eq!(page.status.code(), Some(1), "{}", err(&page));
    let page = std::fs::read_to_string(folder.path("page.html")).unwrap();
    assert!(
        page.contains("smoke/one") && page.contains("class=\"receive\""),
        "the frames are there"
    );

    let github = folder.run(&["report", "bad.json", "--report", "github"]);
    assert!(out(&github).starts_with("::error "), "{}", out(&github));
    assert!(out(&github).lines().last().unwrap().ends_with("skipped"));
    assert_eq!(folder.run(&["report", "page.html"]).status.code(), Some(2), "that is no report");
    assert_eq!(folder.run(&["report", "bad.json", "--report", "xml"]).status.code(), Some(2));
}

#[test]
fn every_form_of_report_is_one_document() {
    let folder = Folder::new("forms");
    let spec = format!("stdio:{FAKE} wrong-row");
    let run = |form: &str| {
        let args = ["run", "--impl", &spec, "--cases", SMOKE, "smoke/one", "--report", form];
        out(&folder.run(&args))
    };
    let json: serde_json::Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(json["totals"]["failed"], 1);
    assert!(run("junit").starts_with("<?xml"));
    assert!(run("human").contains("smoke/one"));
}

#[test]
fn a_released_set_says_what_counts() {
    let folder = Folder::new("required");
    let cases = folder.0.join("conformance/cases");
    std::fs::create_dir_all(&cases).unwrap();
    std::fs::create_dir_all(folder.0.join("conformance/requirements")).unwrap();
    std::fs::copy(Path::new(SMOKE).join("smoke.json"), cases.join("smoke.json")).unwrap();
    let set = folder.0.join("conformance/requirements/1.0.json");
    let spec = format!("stdio:{FAKE} wrong-row");
    let run = |more: &[&str]| {
        let mut args = vec!["run", "--impl", &spec, "smoke/one"];
        args.extend(more);
        folder.run(&args).status.code()
    };

    assert_eq!(folder.run(&["requirements", "--write"]).status.code(), Some(0));
    assert_eq!(run(&[]), Some(1), "an open set: every REQUIRED case counts");
    assert_eq!(folder.run(&["requirements", "--release", "2027-01-01"]).status.code(), Some(0));
    assert_eq!(run(&[]), Some(1), "the case is in the set");
    assert_eq!(folder.run(&["requirements", "--write"]).status.code(), Some(2), "it is frozen");

    let text = std::fs::read_to_string(&set).unwrap();
    std::fs::write(&set, text.replace("    \"smoke/one\",\n", "")).unwrap();
    assert_eq!(run(&[]), Some(0), "written later: reported only");
    assert_eq!(run(&["--strict"]), Some(1));
    assert_eq!(folder.run(&["requirements"]).status.code(), Some(0));
    let text = std::fs::read_to_string(&set).unwrap();
    std::fs::write(&set, text.replace("\"smoke/pipeline\"", "\"smoke/pipe\"")).unwrap();
    let faults = folder.run(&["requirements"]);
    assert_eq!(faults.status.code(), Some(1));
    assert!(
        out(&faults).contains("smoke/pipe has been required since 2027-01-01 and cannot go"),
        "{}",
        out(&faults)
    );
}

#[test]
fn a_trace_is_played_again() {
    let folder = Folder::new("replay");
    let spec = |mode: &str| format!("stdio:{FAKE} {mode}");
    let (good, wrong, dead) = (spec("good"), spec("wrong-row"), spec("die"));
    let ran = folder.run(&[
        "run",
        "--impl",
        &good,
        "--cases",
        SMOKE,
        "--trace",
        "t.ndjson",
        "smoke/one",
        "smoke/error",
        "smoke/events",
    ]);
    assert_eq!(ran.status.code(), Some(0), "{}", err(&ran));

    let same = folder.run(&["replay", "t.ndjson", "--impl", &good]);
    assert_eq!(
        (same.status.code(), out(&same).as_str()),
        (Some(0), "3 sessions as recorded, 0 different\n")
    );
    let other = folder.run(&["replay", "t.ndjson", "--impl", &wrong]);
    assert_eq!(other.status.code(), Some(1));
    let text = out(&other);
    assert!(
        text.contains("smoke/one\n  line ") && text.contains("then") && text.contains("now"),
        "{text}"
    );
    assert!(text.ends_with("2 sessions as recorded, 1 different\n"), "{text}");
    let gone = folder.run(&["replay", "t.ndjson", "--impl", &dead, "smoke/one"]);
    assert_eq!(gone.status.code(), Some(1), "{}", out(&gone));
    assert!(out(&gone).contains("the stream has ended"), "{}", out(&gone));

    assert_eq!(
        folder.run(&["replay", "t.ndjson", "--impl", &good, "nowhere/**"]).status.code(),
        Some(5)
    );
    assert_eq!(folder.run(&["replay", "nowhere.ndjson", "--impl", &good]).status.code(), Some(2));
    assert_eq!(folder.run(&["replay", "t.ndjson", "--impl", "stdio:cat"]).status.code(), Some(3));
}

#[test]
fn a_broken_case_file_is_named_and_nothing_runs() {
    let folder = Folder::new("broken");
    let cases = folder.0.join("cases");
    std::fs::create_dir_all(&cases).unwrap();
    let spec = format!("stdio:{FAKE} good");
    let with = |steps: &str| {
        let text = format!(
            "{{\"suite\": \"mine\", \"cases\": [{{\"name\": \"one\", \"steps\": {steps}}}]}}"
        );
        std::fs::write(cases.join("mine.json"), text).unwrap();
        folder.run(&["run", "--impl", &spec, "--cases", "cases"])
    };
    let missing = r#"[{"reopen": {"image": {"file": {"path": "gone.bin", "sha256": "00"}}}}]"#;
    for (steps, expected) in [
        (r#"[{"exek": "select 1"}]"#, "exek"),
        (r#"[{"exec": "a", "fetch": {}}]"#, "several verbs"),
        (r#"[{"exec": "select ?", "params": [{"integer": "1"}]}]"#, "unknown tag \"integer\""),
        (r#"[{"exec": "select 1", "rows": [[1]]}]"#, "1 is no tagged value"),
        (missing, "there is no fixture \"gone.bin\""),
        ("[", "mine.json"),
    ] {
        let output = with(steps);
        assert_eq!(output.status.code(), Some(2), "{steps}: {}", out(&output));
        let why = err(&output);
        assert!(why.contains(expected) && why.contains("mine.json"), "{steps}: {why}");
    }
}

#[test]
fn the_proxy_judges_both_sides() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::Stdio;

    for (mode, status, expected) in
        [("good", 0, "the engine keeps the rules"), ("wide", 1, "the engine: ")]
    {
        let mut proxy = Command::new(RUNNER)
            .args(["proxy", "--sessions", "1", "--impl", &format!("stdio:{FAKE} {mode}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(proxy.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit("tcp://").next().unwrap().to_owned();
        let mut host = Command::new(env!("CARGO_BIN_EXE_fake-host"))
            .arg("good")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let commands = format!(
            "{{\"id\":1,\"open\":{{\"tcp\":\"{address}\"}}}}\n{{\"id\":2,\"exec\":{{\"sql\":\"select 1\"}}}}\n{{\"id\":3,\"close\":{{}}}}\n"
        );
        host.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
        assert!(host.wait().unwrap().success());
        let output = proxy.wait_with_output().unwrap();
        let text = out(&output);
        assert_eq!(output.status.code(), Some(status), "{mode}: {text}");
        assert!(
            text.contains("the host keeps the rules") && text.contains(expected),
            "{mode}: {text}"
        );
        assert!(text.starts_with("session 1 (tcp): 0 requests were left"), "{mode}: {text}");
    }
}

#[test]
fn a_host_that_starts_its_engine_is_relayed() {
    use std::io::{Read as _, Write as _};
    use std::process::Stdio;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut relay = Command::new(RUNNER)
        .args(["relay", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    relay.stdin.take().unwrap().write_all(b"from the host").unwrap();
    let mut heard = String::new();
    // The end of the host's stream arrives, too: its stdin was dropped.
    socket.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "from the host");
    socket.write_all(b"from the engine").unwrap();
    drop(socket);
    let output = relay.wait_with_output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "from the engine"));
}
