//! The engine through its public surface: frames in, frames out.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

mod cancel;
mod cursors;
mod errors;
mod exec;
mod host;
mod images;
mod lifecycle;
mod model;
mod params;
mod plugins;
mod random;
mod safety;
mod saving;
mod script;
mod statements;
mod time;
mod transactions;
mod values;
