//! `conformance slt`: SQL test files on the fake engine, which knows `select N`, `create` and `error`.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const FAKE: &str = env!("CARGO_BIN_EXE_fake-engine");
const RUNNER: &str = env!("CARGO_BIN_EXE_conformance");

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("conformance-slt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn slt(mode: &str, args: &[&str]) -> Ran {
    let started = Instant::now();
    let Output { status, stdout, stderr } = Command::new(RUNNER)
        .args(["slt", "--impl", &format!("stdio:{FAKE} {mode}"), "--timeout-ms", "2000"])
        .args(args)
        .output()
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(30), "{mode} took {:?}", started.elapsed());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// One file, under a mode of the fake engine.
fn run(mode: &str, text: &str) -> Ran {
    let folder = Folder::new(mode);
    let file = folder.write("a.slt", text);
    slt(mode, &[file.to_str().unwrap()])
}

#[test]
fn an_engine_that_behaves_passes() {
    let ran = run(
        "good",
        "statement ok\ncreate\n\nquery I\nselect 1\n----\n1\n\nquery T label-1\nselect 2\n----\n2\n\nstatement error ^no$\nerror\n",
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("a.slt: ok 4 records\n"), "{}", ran.out);
    assert!(ran.out.ends_with("4 passed, 0 failed, 0 skipped\n"), "{}", ran.out);
}

#[test]
fn what_differs_is_shown_with_its_line() {
    let ran = run(
        "good",
        "query I\nselect 1\n----\n2\n\nquery I\nselect 1\n----\n1\n\nstatement ok\nerror\n\nstatement error\nselect 1\n\n\
         statement error syntax\nerror\n\nquery II\nselect 1\n----\n1\n\nstatement count 3\ncreate\n\n\
         query I nosort same\nselect 4\n----\n4\n\nquery I nosort same\nselect 5\n----\n5\n",
    );
    assert_eq!(ran.code, 1);
    for expected in [
        "a.slt: FAILED 7 of 9 records",
        "a.slt:1: select 1\n    expected\n      2\n    actual\n      1\n",
        "a.slt:11: error\n    INVALID/SQL_ERROR: no\n",
        "a.slt:14: select 1\n    succeeds, and should fail\n",
        "a.slt:17: error\n    fails, but not with (regex) syntax: INVALID/SQL_ERROR: no\n",
        "a.slt:20: select 1\n    expected 2 columns (II), actual 1\n",
        "a.slt:25: create\n    expected 3 rows, affected 0 rows\n",
        "which has the same label same",
        "2 passed, 7 failed, 0 skipped\n",
    ] {
        assert!(ran.out.contains(expected), "{expected:?} in\n{}", ran.out);
    }
}

#[test]
fn conditions_hold_for_what_follows_them() {
    let text = "onlyif sqlite\nquery I\nselect 1\n----\n1\n\nskipif sqlite\nquery I\nselect 1\n----\n9\n\n\
                onlyif mysql # with a remark\nhalt\n\nonlyif slow\nquery I\nselect 1\n----\n3\n\nquery I\nselect 1\n----\n1\n\n\
                onlyif sqlite\nhalt\n\nquery I\nselect 1\n----\n9\n";
    let ran = run("good", text);
    assert!(ran.out.ends_with("2 passed, 0 failed, 2 skipped\n"), "{}", ran.out);

    let folder = Folder::new("labels");
    let file = folder.write("a.slt", text);
    let ran = slt("good", &["--label", "slow", file.to_str().unwrap()]);
    assert!(ran.out.ends_with("2 passed, 1 failed, 1 skipped\n"), "{}", ran.out);
}

#[test]
fn an_engine_that_dies_or_hangs_ends_its_file_and_no_other() {
    for (mode, expected) in [
        ("die", "the implementation is gone"),
        ("hang-up", "the implementation is gone"),
        ("never", "no answer in time"),
        ("half-a-frame", "    the stream ends after 2 of the 200 bytes of a frame"),
        ("println", "debug: r"),
    ] {
        let folder = Folder::new(&format!("end-{mode}"));
        let text = "query I\nselect 1\n----\n1\n\nquery I\nselect 2\n----\n2\n";
        folder.write("a.slt", text);
        folder.write("b.slt", text);
        let ran = slt(mode, &[folder.0.to_str().unwrap()]);
        assert_eq!(ran.code, 1, "{mode}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(expected), "{mode}: {}", ran.out);
        for file in
            ["a.slt: FAILED 1 of 1 records, 1 not run", "b.slt: FAILED 1 of 1 records, 1 not run"]
        {
            assert!(ran.out.contains(file), "{mode}: {}", ran.out);
        }
        assert!(ran.out.contains("2 records not run"), "{mode}: {}", ran.out);
        if mode == "die" {
            assert!(ran.out.contains("thread panicked at the worst moment"), "{}", ran.out);
            assert!(ran.out.contains("exit status 101"), "{}", ran.out);
        }
    }
}

#[test]
fn a_broken_rule_is_a_failure_even_if_the_result_is_right() {
    let ran = run("no-state", "query I\nselect 1\n----\n1\n");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("the engine breaks a rule: "), "{}", ran.out);
}

#[test]
fn what_does_not_start_is_told_apart() {
    for (mode, expected) in
        [("exit-at-once", "cannot find the database"), ("println-first", "standard output")]
    {
        let ran = run(mode, "query I\nselect 1\n----\n1\n");
        assert_eq!(ran.code, 3, "{mode}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(expected), "{mode}: {}", ran.err);
    }
}

#[test]
fn files_that_cannot_be_run_are_named_with_their_line_before_anything_runs() {
    let folder = Folder::new("bad");
    let good = folder.write("good.slt", "query I\nselect 1\n----\n1\n");
    folder.write("part.slt", "include again.slt\n");
    folder.write("again.slt", "include part.slt\n");
    folder.write("empty.txt", "");
    for (name, text, expected) in [
        (
            "verb.slt",
            &b"statement ok\ncreate\n\nstatment ok\ncreate\n"[..],
            "verb.slt:4: invalid line: \"statment ok\"",
        ),
        ("type.slt", b"query IX\nselect 1\n----\n1\n", "type.slt:1: invalid type character: 'X'"),
        ("regex.slt", b"statement error (\nerror\n", "regex.slt:1: invalid error message"),
        (
            "results.slt",
            b"statement ok\ncreate\n----\n1\n",
            "results.slt:1: statement should have no result",
        ),
        ("system.slt", b"system ok\ntouch /tmp/x\n", "system.slt:1: `system` is not supported"),
        (
            "connection.slt",
            b"connection two\nstatement ok\ncreate\n",
            "connection.slt:2: `connection two` is not supported",
        ),
        ("sleep.slt", b"sleep 2h\n", "sleep.slt:1: waits 7200s"),
        ("retry.slt", b"statement ok retry 1000000 backoff 1s\ncreate\n", "retry.slt:1: waits"),
        ("include.slt", b"\ninclude nothing.slt\n", "include.slt:2: include nothing.slt: "),
        (
            "circle.slt",
            b"include part.slt\n",
            "again.slt:1: include part.slt: a file that includes itself",
        ),
        ("latin.slt", b"query T\nselect '\xe4'\n", "latin.slt: "),
    ] {
        let file = folder.write(name, text);
        let ran = slt("good", &[good.to_str().unwrap(), file.to_str().unwrap()]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name}: {}", ran.err);
        assert!(ran.err.contains(expected), "{name}: {}", ran.err);
    }
    let nowhere = folder.0.join("nowhere.slt");
    let ran = slt("good", &[nowhere.to_str().unwrap()]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("nowhere.slt: ") && ran.err.contains("No such file"), "{}", ran.err);
    let ran = slt("good", &[]);
    assert_eq!(ran.code, 1, "without a file the suite's own are run: {}{}", ran.out, ran.err);
}

#[test]
fn files_include_others() {
    let folder = Folder::new("include");
    folder.write("part-1.inc", "query I\nselect 1\n----\n1\n");
    folder.write("part-2.inc", "query I\nselect 2\n----\n3\n");
    let file = folder.write("a.slt", "include part-*.inc\n\nquery I\nselect 4\n----\n4\n");
    let junit = folder.0.join("junit.xml");
    let ran = slt("good", &[file.to_str().unwrap(), "--junit", junit.to_str().unwrap()]);
    assert!(ran.out.contains("part-2.inc:1: select 2"), "{}", ran.out);
    assert!(ran.out.ends_with("2 passed, 1 failed, 0 skipped\n"), "{}", ran.out);
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("tests=\"1\" failures=\"1\"") && junit.contains("part-2.inc:1: select 2"),
        "{junit}"
    );
}

#[test]
fn a_host_cannot_run_them() {
    let ran = Command::new(RUNNER).args(["slt", "--impl", "host-stdio:cat"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
}
