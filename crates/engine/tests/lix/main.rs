//! Change control through the public surface: what SQL says and what it finds afterwards.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

mod accounts;
mod bootstrap;
mod branches;
mod changes;
mod entities;
mod examples;
mod files;
mod history;
#[path = "../session/host.rs"]
#[allow(dead_code, reason = "the host of the session's tests does more than is needed here")]
mod host;
mod lookups;
mod migration;
mod opening;
mod plugins;
mod procedures;
#[path = "../session/random.rs"]
#[allow(dead_code, reason = "the session's tests choose in more ways")]
mod random;
mod reads;
mod rebuild;
mod script;
mod state;
mod stored_schemas;
mod versions;
#[path = "../properties/watch.rs"]
mod watch;
