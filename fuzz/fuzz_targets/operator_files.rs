//! cargo-fuzz's side of the target `operator_files`.
#![no_main]

#[path = "../../tests/it/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::run("operator_files", input));
