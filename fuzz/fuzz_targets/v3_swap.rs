//! cargo-fuzz's side of the target `v3_swap`.
#![no_main]

#[path = "../../tests/it/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("v3_swap", input));
