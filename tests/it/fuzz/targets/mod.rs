//! What must hold whatever the input: plain functions of bytes, which panic where it does not.
//!
//! The tests run them on stable, over the committed corpus and over inputs made from it by chance;
//! cargo-fuzz runs them over inputs of its own. Both go through [`run`]. How bytes become an input
//! is told in `tests/data/fuzz/README.md`.

mod factory_logs;
mod files;
mod input;
mod logs;
mod pairs;
mod pool_v3;
mod pool_v4;
mod prices;
mod swaps;
mod v4_logs;

/// The targets by name. Each has a folder of inputs in `tests/data/fuzz` and a binary in
/// `fuzz/fuzz_targets`.
pub(crate) static TARGETS: [(&str, fn(&[u8])); 11] = [
    ("factory_logs", factory_logs::factory_logs),
    ("operator_files", files::operator_files),
    ("prices", prices::prices),
    ("v2_amounts", pairs::v2_amounts),
    ("v2_logs", logs::v2_logs),
    ("v3_logs", logs::v3_logs),
    ("v3_pool", pool_v3::v3_pool),
    ("v3_swap", swaps::v3_swap),
    ("v4_logs", v4_logs::v4_logs),
    ("v4_pool", pool_v4::v4_pool),
    ("v4_swap", swaps::v4_swap),
];

/// Runs the target of this name.
pub(crate) fn run(name: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = found.unwrap_or_else(|| panic!("no target is called {name}"));
    target(input);
}
