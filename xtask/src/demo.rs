//! The demo page: built, served on loopback, opened; or driven headless.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::run::{bold, cmd, note, root, say, step};
use crate::serve::Server;
use crate::{npm, setup};

pub(crate) struct Options {
    check: bool,
    port: Option<u16>,
}

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Options> {
        let mut options = Options { check: false, port: None };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--check" => options.check = true,
                "--port" => {
                    let port = args.next().context("--port needs a number")?;
                    options.port = Some(port.parse().context("--port needs a number")?);
                }
                other => bail!("demo: unknown option {other}"),
            }
        }
        Ok(options)
    }
}

pub(crate) fn demo(options: Options) -> Result<()> {
    npm::built()?;
    step("demo build", "cargo xtask demo", || {
        cmd("npm").args(["run", "build", "--workspace", "demo"]).run()
    })?;
    if options.check {
        return step("demo --check", "cargo xtask demo --check", || {
            setup::chromium()?;
            cmd("node").arg("demo/check.mjs").run()
        });
    }
    let page = root().join("demo/dist");
    let server = Server::start(&page, options.port.unwrap_or(DEMO_PORT))?;
    say(&format!("\n  the demo runs at {}  (Ctrl-C ends it)\n", bold(&server.url)));
    open(&server.url);
    loop {
        std::thread::park();
    }
}

/// Opens the address if there is a screen to open it on; it is printed anyway.
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|key| std::env::var_os(key).is_some());
    if !has_screen {
        note("no screen to open it on; open the address yourself");
        return;
    }
    let mut command = cmd(opener).arg(url).into_command();
    if command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_err() {
        note("could not open a browser; open the address yourself");
    }
}

const DEMO_PORT: u16 = 8127;
