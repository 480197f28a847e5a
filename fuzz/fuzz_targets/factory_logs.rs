//! cargo-fuzz's side of the target `factory_logs`.
#![no_main]

#[path = "../../tests/it/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("factory_logs", input));
