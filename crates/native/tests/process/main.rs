//! The program as others meet it: a process, its streams, its exit status.

#[cfg(target_os = "linux")]
mod cancel;
mod command_line;
mod engine;
mod plugins;
mod stdio;
mod trace;
mod websocket;
