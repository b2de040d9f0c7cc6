#![no_main]
#![allow(dead_code, reason = "each program runs one of the shared targets")]

#[path = "../../crates/protocol/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::stream(data));
