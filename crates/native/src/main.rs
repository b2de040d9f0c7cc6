//! `lix-engine`: the engine as a process. Frames travel over stdio or WebSocket, logs go to
//! stderr; with `--stdio`, stdout carries frames and nothing else.

mod inbox;
mod platform;
mod plugins;
mod serve;
mod stdio;
mod storage;
mod trace;
mod websocket;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::ExitCode;

use lix_engine_core::SessionOptions;
use lix_engine_protocol::proto::{PluginFormat, StorageKind};

use crate::trace::Trace;

fn main() -> ExitCode {
    let command = match parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("lix-engine: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Command::Version => {
            println!("lix-engine {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Serve { transport, trace, conformance } => {
            let storage = &[StorageKind::File];
            let plugins = &[PluginFormat::Esm];
            let options =
                SessionOptions { conformance, storage, plugins, ..SessionOptions::native() };
            Trace::open(trace.as_deref()).and_then(|trace| match transport {
                Transport::Stdio => {
                    let session = serve::spawn(|| stdio::serve(options, trace))?;
                    session.join().unwrap_or_else(|panic| resume_unwind(panic))
                }
                Transport::WebSocket(address) => websocket::serve(address, &options, &trace),
            })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lix-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Command {
    Help,
    Version,
    Serve { transport: Transport, trace: Option<PathBuf>, conformance: bool },
}

enum Transport {
    Stdio,
    WebSocket(SocketAddr),
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    match args.next().as_deref() {
        Some("serve") => {}
        Some("--help" | "-h" | "help") => return Ok(Command::Help),
        Some("--version" | "-V") => return Ok(Command::Version),
        Some(other) => return Err(format!("unknown command {other}")),
        None => return Err("a command is needed".into()),
    }
    let (mut transport, mut trace, mut conformance) = (None, None, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--stdio" => transport = Some(Transport::Stdio),
            "--ws" => transport = Some(Transport::WebSocket(loopback(&value()?)?)),
            "--trace" => trace = Some(PathBuf::from(value()?)),
            "--conformance" => conformance = true,
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    let transport = transport.ok_or("serve needs --stdio or --ws ADDRESS")?;
    Ok(Command::Serve { transport, trace, conformance })
}

/// There is no authentication, so there is no listening to the world.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err(format!("{text}: only loopback addresses are served")),
        Err(_) => Err(format!("{text} is no address like 127.0.0.1:0")),
    }
}

const USAGE: &str = "\
usage: lix-engine serve (--stdio | --ws 127.0.0.1:PORT) [options]

  --stdio             frames on stdin and stdout, one session
  --ws ADDRESS        WebSocket, one session per connection; port 0 takes a free one and the
                      address is printed on stderr
  --trace FILE        every frame as a line of JSON
  --conformance       offer the control calls of the conformance suite";
