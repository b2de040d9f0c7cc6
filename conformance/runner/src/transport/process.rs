//! Child processes that cannot outlive the runner, with their stderr.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::implementation::Config;

/// A running child. Killed with its whole process group when dropped.
pub(crate) struct Process {
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    lines: Receiver<String>,
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
        die_with_the_runner(&mut command);
        let mut child =
            command.spawn().map_err(|error| format!("{program} does not start: {error}"))?;

        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (sender, lines) = channel();
        let pipe = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&stderr);
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
        });
        Ok(Process { child, stderr, lines })
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
                return Some(code);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Kills the process and its group.
    pub(crate) fn kill(&mut self) {
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
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn die_with_the_runner(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        // SAFETY: prctl with these arguments touches no memory and is safe between fork and exec. The signal follows the
        // death of the spawning thread, which lives as long as its target.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
    }
}

const STDERR_BYTES: usize = 64 * 1024;
