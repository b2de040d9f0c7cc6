//! The engine through its public surface: frames in, frames out.

mod exec;
mod host;
mod script;
