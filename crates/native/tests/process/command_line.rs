//! What the program is told, and how it says no.

use std::process::Command;

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lix-engine")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_usage_is_status_2_with_a_reason_on_stderr() {
    for (args, problem) in [
        (&[][..], "a command is needed"),
        (&["run"], "unknown command run"),
        (&["serve"], "needs --stdio or --ws"),
        (&["serve", "--stdio", "--fast"], "unknown option --fast"),
        (&["serve", "--ws"], "--ws needs a value"),
        (&["serve", "--ws", "here"], "is no address"),
        (&["serve", "--ws", "0.0.0.0:0"], "only loopback addresses"),
        (&["serve", "--ws", "192.168.1.7:9000"], "only loopback addresses"),
        (&["serve", "--ws", "[::]:0"], "only loopback addresses"),
        (&["serve", "--stdio", "--trace"], "--trace needs a value"),
    ] {
        let (status, stdout, stderr) = run(args);
        assert_eq!(status, Some(2), "{args:?}");
        assert_eq!(stdout, "", "{args:?}");
        assert!(stderr.contains(problem) && stderr.contains("usage:"), "{args:?}: {stderr}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [["--help"], ["-h"], ["help"]] {
        let (status, stdout, stderr) = run(&args);
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        assert!(stdout.starts_with("usage: lix-engine serve"));
    }
    let (status, stdout, _) = run(&["--version"]);
    assert_eq!((status, stdout), (Some(0), format!("lix-engine {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_trace_that_cannot_be_opened_stops_it_before_it_starts() {
    let (status, stdout, stderr) = run(&["serve", "--stdio", "--trace", "/missing/trace"]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("lix-engine: "), "{stderr}");
}
