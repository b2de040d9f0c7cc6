//! Child processes that cannot outlive the runner, with their stderr.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::implementation::Config;

/// A running child. Killed with its whole process group when dropped.
pub(crate) struct Process {
    child: Child,
    reaped: bool,
    stderr: Arc<Mutex<Vec<u8>>>,
    lines: Receiver<String>,
    /// Its stderr has been read to the end.
    is_silent: Arc<AtomicBool>,
}

impl Process {
    /// Starts the command of a configuration with piped stdio.
    pub(crate) fn start(config: &Config, extra: &[String]) -> Result<Process, String> {
        let (program, args) = config
            .command
            .split_first()
            .ok_or_else(|| "the implementation has no command".to_owned())?;
        let mut command = Command::new(program);
        command
            .args(args)
            .args(extra)
            .envs(&config.env)
            .current_dir(&config.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(unix)]
        watchdog::ready();
        let mut child =
            command.spawn().map_err(|error| format!("{program} does not start: {error}"))?;
        #[cfg(unix)]
        watchdog::watch(child.id());

        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (sender, lines) = channel();
        let pipe = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&stderr);
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let mut kept = kept.lock().expect("no holder panics");
                kept.extend_from_slice(&line);
                let excess = kept.len().saturating_sub(STDERR_BYTES);
                kept.drain(..excess);
                drop(kept);
                // Nobody listens any more once the address is known.
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            silent.store(true, Ordering::Release);
        });
        Ok(Process { child, reaped: false, stderr, lines, is_silent })
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is taken once")
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("stdout is taken once")
    }

    /// Waits for a line on stderr and returns what follows the marker in it.
    pub(crate) fn wait_for(&mut self, marker: &str, deadline: Instant) -> Result<String, String> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(at) = line.find(marker) {
                        return Ok(line[at + marker.len()..].trim().to_owned());
                    }
                }
                Err(_) => {
                    return Err(format!(
                        "no line with {marker:?} on stderr ({}); stderr: {}",
                        match self.exited() {
                            Some(code) => format!("exit status {code}"),
                            None => "still running".to_owned(),
                        },
                        self.stderr()
                    ));
                }
            }
        }
    }

    /// Everything on stderr so far, the last 64 KiB of it.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().expect("no holder panics")).into_owned()
    }

    /// Exit status if it has ended; death by a signal is 128 + its number.
    pub(crate) fn exited(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok()??;
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Some(128 + signal);
        }
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Option<i32> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(code) = self.exited() {
                self.hear_out();
                return Some(code);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// The last words of a process that has ended are still on their way; somebody it started may keep the pipe open.
    fn hear_out(&self) {
        let patience = Instant::now() + Duration::from_secs(2);
        while !self.is_silent.load(Ordering::Acquire) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the process and its group.
    pub(crate) fn kill(&mut self) {
        if std::mem::replace(&mut self.reaped, true) {
            return;
        }
        #[cfg(unix)]
        if self.exited().is_none() {
            let group = i32::try_from(self.child.id()).expect("process ids are small");
            // SAFETY: plain system call; the group was made for this child, which has not been reaped, so its id is ours.
            unsafe {
                libc::kill(-group, libc::SIGKILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        #[cfg(unix)]
        watchdog::forget(self.child.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills what is left of our children when the runner is gone, however it ended: a shell that holds the list of their
/// process groups and waits for the end of its stdin, which is the end of us.
///
/// Asking the system for it (PR_SET_PDEATHSIG) would need code between fork and exec, and forking a runner with a large
/// heap costs more than most cases.
#[cfg(unix)]
mod watchdog {
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{ChildStdin, Command, Stdio};
    use std::sync::{LazyLock, Mutex};

    /// To be called before a child is started, so that next to no time passes between its start and `watch`.
    pub(super) fn ready() {
        LazyLock::force(&WATCHDOG);
    }

    pub(super) fn watch(group: u32) {
        tell(&format!("+ {group}\n"));
    }

    pub(super) fn forget(group: u32) {
        tell(&format!("- {group}\n"));
    }

    fn tell(line: &str) {
        if let Some(stdin) = WATCHDOG.lock().expect("no holder panics").as_mut() {
            // Without a watchdog a run still works; only a runner that is killed leaves children behind.
            let _ = stdin.write_all(line.as_bytes());
        }
    }

    static WATCHDOG: LazyLock<Mutex<Option<ChildStdin>>> = LazyLock::new(|| {
        let started = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Mutex::new(started.ok().and_then(|mut child| child.stdin.take()))
    });

    const SCRIPT: &str = r#"
groups=" "
while read -r op group; do
    case $op in
        +) groups="$groups$group " ;;
        -) case $groups in *" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;; esac ;;
    esac
done
for group in $groups; do kill -9 "-$group"; done
"#;
}

const STDERR_BYTES: usize = 64 * 1024;
