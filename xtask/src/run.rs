//! Running other programs so that a person can follow: a headline per step, the command line, its
//! output as it comes, a sign of life while it is silent, and on failure the one command to repeat.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// The root of the repository, wherever the command was called.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}

/// Where cargo builds, honouring `CARGO_TARGET_DIR`.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// One program to run. Starts in the repository's root.
pub(crate) struct Cmd {
    command: Command,
    line: String,
    /// Its output goes elsewhere.
    is_quiet: bool,
}

/// `cmd("cargo").args(["test"]).run()`.
pub(crate) fn cmd(program: impl AsRef<OsStr>) -> Cmd {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    // What setup found, so that no script has to look again.
    if let Some(chromium) = crate::setup::find_chromium() {
        command.env("CHROMIUM", chromium);
    }
    let name = Path::new(program).file_name().unwrap_or(program);
    Cmd { command, line: name.to_string_lossy().into_owned(), is_quiet: false }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Cmd {
    cmd(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A tool that npm installed here, never one from elsewhere.
pub(crate) fn npm_tool(name: &str) -> Cmd {
    let extension = if cfg!(windows) { ".cmd" } else { "" };
    cmd(root().join("node_modules/.bin").join(format!("{name}{extension}")))
}

impl Cmd {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let arg = arg.as_ref();
        self.line.push(' ');
        let shown = arg.to_string_lossy();
        let root = format!("{}/", root().display());
        self.line.push_str(shown.strip_prefix(&root).unwrap_or(&shown));
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Cmd::arg)
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn envs(self, envs: &[(String, String)]) -> Self {
        envs.iter().fold(self, |cmd, (key, value)| cmd.env(key, value))
    }

    /// Runs it with its output on the terminal. Where nobody watches it has an end: CI gives up
    /// after `COMMAND_LIMIT`, a person presses Ctrl-C.
    pub(crate) fn run(self) -> Result<()> {
        let in_ci = std::env::var_os("CI").is_some();
        self.run_within(in_ci.then_some(COMMAND_LIMIT))
    }

    /// The same with its output in a file, for what runs beside something else.
    pub(crate) fn run_into(mut self, log: &mut File) -> Result<()> {
        writeln!(log, "  $ {}", self.line)?;
        self.command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        self.is_quiet = true;
        self.run()
    }

    fn run_within(mut self, limit: Option<Duration>) -> Result<()> {
        if !self.is_quiet {
            note(&format!("$ {}", self.line));
        }
        #[cfg(unix)]
        if limit.is_some() {
            // A group of its own, so that giving up takes its children along.
            std::os::unix::process::CommandExt::process_group(&mut self.command, 0);
        }
        let started = Instant::now();
        let mut child =
            self.command.spawn().with_context(|| format!("could not start `{}`", self.line))?;
        let mut said = Duration::ZERO;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let elapsed = started.elapsed();
            if limit.is_some_and(|limit| elapsed > limit) {
                kill_group(&mut child);
                return Err(anyhow!("`{}` did not end within {}", self.line, Took(elapsed)));
            }
            // A silent linker looks like a hung one.
            if elapsed - said >= SIGN_OF_LIFE {
                said = elapsed;
                let name = self.line.split(' ').take(3).collect::<Vec<_>>().join(" ");
                note(&format!("… {name}, running for {}", Took(elapsed)));
            }
            std::thread::sleep(POLL);
        };
        if status.success() {
            return Ok(());
        }
        Err(anyhow!("`{}` failed ({status})", self.line))
    }

    /// Runs it silently and returns what it wrote to stdout.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("could not start `{}`", self.line))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(anyhow!("`{}` failed ({})\n{stderr}", self.line, output.status));
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", self.line))
    }

    /// Whether it runs and succeeds; what it prints is nobody's business.
    pub(crate) fn succeeds(mut self) -> bool {
        let status = self.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// For what needs more than a status: the prepared command itself.
    pub(crate) fn into_command(self) -> Command {
        note(&format!("$ {}", self.line));
        self.command
    }
}

/// One part of a command with a name of its own. `repeat` is what to type to run only it.
pub(crate) fn step<T>(headline: &str, repeat: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&bold(&format!("▶ {headline}")));
    let started = Instant::now();
    match work() {
        Ok(value) => {
            say(&format!("{} {headline}  {}", green("✓"), Took(started.elapsed())));
            Ok(value)
        }
        Err(error) => Err(failed(headline, repeat, error)),
    }
}

/// An error that says in which step it happened.
pub(crate) fn failed(headline: &str, repeat: &str, error: anyhow::Error) -> anyhow::Error {
    if error.is::<Failed>() {
        return error;
    }
    anyhow!(Failed {
        headline: headline.to_owned(),
        repeat: repeat.to_owned(),
        cause: format!("{error:#}"),
    })
}

/// What went wrong, in which step, and what to type to repeat only that.
pub(crate) fn report_failure(error: &anyhow::Error) {
    let _ = std::io::stdout().flush();
    match error.downcast_ref::<Failed>() {
        Some(failed) => {
            eprintln!("\n{} {}", red("✗"), bold(&failed.headline));
            eprintln!("  {}", failed.cause.replace('\n', "\n  "));
            eprintln!("  repeat only this: {}", bold(&failed.repeat));
        }
        None => eprintln!("{} {error:#}", red("✗")),
    }
}

/// Our programs below target/debug, made as `cargo test` makes them, so that nothing is compiled twice.
pub(crate) fn build_programs() -> Result<()> {
    let fakes = ["--features", "lix-engine-conformance/fakes"];
    cargo().args(["build", "--workspace", "--bins"]).args(fakes).run()
}

/// A line of ours between the output of others. Everything of ours goes to stderr, like cargo's.
pub(crate) fn say(line: &str) {
    let _ = std::io::stdout().flush();
    eprintln!("{line}");
}

/// A line for those who look closer.
pub(crate) fn note(line: &str) {
    say(&format!("  {}", paint("2", line)));
}

/// A duration as people say it.
pub(crate) struct Took(pub(crate) Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 60.0 {
            write!(f, "{seconds:.1} s")
        } else {
            write!(f, "{} min {:02} s", self.0.as_secs() / 60, self.0.as_secs() % 60)
        }
    }
}

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

pub(crate) fn green(text: &str) -> String {
    paint("32", text)
}

pub(crate) fn red(text: &str) -> String {
    paint("31", text)
}

#[derive(Debug)]
struct Failed {
    headline: String,
    repeat: String,
    cause: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.headline, self.cause)
    }
}

impl std::error::Error for Failed {}

/// Ends a program that has outstayed, with everything it started.
fn kill_group(child: &mut Child) {
    if cfg!(unix) {
        // The shell's own kill: a program of that name is not on every machine.
        let _ =
            Command::new("sh").args(["-c", &format!("kill -s KILL -- -{}", child.id())]).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Far above what any part takes on a slow machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(25 * 60);

const POLL: Duration = Duration::from_millis(20);

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_never_ends_is_ended_with_its_children() {
        let pid_file = std::env::temp_dir().join(format!("xtask-run-{}", std::process::id()));
        let script = format!("sleep 86400 & echo $! > '{}'; wait", pid_file.display());
        let started = Instant::now();
        let endless = cmd("sh").args(["-c", &script]);
        let error = endless.run_within(Some(Duration::from_millis(500))).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));

        let pid = std::fs::read_to_string(&pid_file).unwrap();
        std::fs::remove_file(&pid_file).unwrap();
        // Whoever inherits the dead child has to collect it before its number is free.
        let gone = format!(
            "while kill -0 {0}; do grep -q '^State:.Z' /proc/{0}/status && exit; done",
            pid.trim()
        );
        assert!(cmd("sh").args(["-c", &gone]).run_within(Some(Duration::from_secs(30))).is_ok());
    }

    #[test]
    fn failures_name_the_command_and_the_step_to_repeat() {
        let failing = || cmd("sh").args(["-c", "exit 3"]).run_within(None);
        let error = step("a step", "cargo xtask again", failing).unwrap_err();
        let failed: &Failed = error.downcast_ref().unwrap();
        assert_eq!(failed.repeat, "cargo xtask again");
        assert!(failed.cause.contains("`sh -c exit 3` failed (exit status: 3)"), "{failed}");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(Took(Duration::from_millis(1_240)).to_string(), "1.2 s");
        assert_eq!(Took(Duration::from_secs(125)).to_string(), "2 min 05 s");
    }
}
