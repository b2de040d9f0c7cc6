//! Drives any engine, and any host, that speaks `lix.engine.v1` through the case files and says where it breaks the contract.
//!
//! For an engine the runner is the host, byte by byte; for a host it is the engine. It shares no code with the engine: framing, batches and checks are written from
//! the manual, messages are read by reflection. Whatever the engine does, a run ends: every wait has a deadline, and
//! everything the runner started is gone when it ends.

pub mod batch;
pub mod case;
pub mod compare;
pub mod coverage;
pub mod edit;
pub mod expect;
pub mod expr;
pub mod glob;
pub mod host;
pub mod html;
pub mod implementation;
pub mod known;
pub mod play;
pub mod proto;
pub mod proxy;
pub mod replay;
pub mod report;
pub mod request;
pub mod requirements;
pub mod run;
pub mod session;
pub mod slt;
pub mod store;
pub mod suite;
pub mod trace;
pub mod transport;
pub mod value;
pub mod wire;
