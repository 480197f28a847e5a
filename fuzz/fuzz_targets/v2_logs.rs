//! cargo-fuzz's side of the target `v2_logs`.
#![no_main]

#[path = "../../tests/it/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("v2_logs", input));
