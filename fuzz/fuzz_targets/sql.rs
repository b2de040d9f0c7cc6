#![no_main]
#![allow(dead_code, reason = "each program runs one of the shared targets")]

#[path = "../../crates/engine/tests/session/host.rs"]
mod host;
#[path = "../../crates/engine/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|script: &str| targets::sql(script));
