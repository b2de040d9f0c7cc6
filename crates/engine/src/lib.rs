//! The Lix Engine: protocol messages in, protocol messages out, SQLite in between.
//!
//! It has no clock and no randomness of its own ([`Platform`] brings both), opens no file (it is
//! given a [`StorageFile`]), spawns nothing, and does not know that browsers exist. One [`Session`] is one connection with one
//! database; it lives on the thread that made it. A shell owns the transport: it feeds [`Event`]s
//! and carries out [`Effect`]s.
//!
//! ```
//! use lix_engine_core::{Effect, Event, Message, Session, SessionOptions};
//! # struct Fixed;
//! # impl lix_engine_core::Platform for Fixed {
//! #     fn unix_ms(&self) -> i64 { 0 }
//! #     fn monotonic_ms(&self) -> u64 { 0 }
//! #     fn random(&self, buffer: &mut [u8]) { buffer.fill(4) }
//! # }
//! let mut session = Session::new(SessionOptions::native(), std::sync::Arc::new(Fixed));
//! let frame = bytes::Bytes::from_static(&[8, 1, 26, 2, 18, 0]); // request 1: init
//! let mut answers = 0;
//! session.handle(Event::Message(Message { frame, attachments: vec![] }), &mut |effect| {
//!     answers += usize::from(matches!(effect, Effect::Send { .. }));
//! });
//! assert!(session.step(&mut |_| answers += 1) == false && answers == 1);
//! ```

mod autosave;
mod base64;
mod cursor;
mod database;
mod exec;
mod faults;
mod image;
mod lix;
mod mutants;
mod params;
mod persistence;
mod platform;
mod plugins;
mod session;
mod sqlite;
mod sqlite_error;
mod storage;
mod store;
mod vfs;

pub use image::Snapshot;
#[cfg(feature = "mutants")]
pub use mutants::{MUTANTS, switch_on_mutant};
pub use platform::{Attachment, Platform};
pub use plugins::{Manifest, PluginFile, PluginQuery, PluginSource, Plugins};
pub use session::{Effect, Event, Message, Session, SessionOptions, StorageRequest};
pub use storage::StorageFile;
