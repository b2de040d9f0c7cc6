//! Change control through the public surface: what SQL says and what it finds afterwards.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

mod accounts;
mod changes;
mod entities;
mod examples;
#[path = "../session/host.rs"]
#[allow(dead_code, reason = "the host of the session's tests does more than is needed here")]
mod host;
mod lookups;
mod script;
mod state;
mod stored_schemas;
mod versions;
