//! Running other programs so that a person can follow: a headline per step, the command line, its
//! output as it comes, a sign of life while it is silent, and on failure the one command to repeat.

use std::ffi::OsStr;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
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
    Cmd { command, line: name.to_string_lossy().into_owned() }
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

    /// Runs it with its output on the terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        note(&format!("$ {}", self.line));
        let status = while_alive(&self.line, || self.command.status())
            .with_context(|| format!("could not start `{}`", self.line))?;
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
        Err(error) if error.is::<Failed>() => Err(error),
        Err(error) => Err(anyhow!(Failed {
            headline: headline.to_owned(),
            repeat: repeat.to_owned(),
            cause: format!("{error:#}"),
        })),
    }
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

/// Says every half minute that `what` still runs: a silent linker looks like a hung one.
fn while_alive<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let name = what.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let started = Instant::now();
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while waiting.recv_timeout(SIGN_OF_LIFE) == Err(mpsc::RecvTimeoutError::Timeout) {
                note(&format!("… {name}, running for {}", Took(started.elapsed())));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
