//! The fuzz targets on stable: each over its committed corpus, and over inputs made from it by
//! chance. `tools/fuzz.sh` runs the same functions under cargo-fuzz.

mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::sample::{Index, select};

/// Inputs made by chance of each target; `PROPTEST_CASES` asks for more.
const CASES: u32 = 64;
/// All corpora together stay below this.
const CORPUS_BYTES_MAX: usize = 64 * 1024;

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The names in a folder, in order.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(place(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect()
}

/// The committed inputs of a target by name, in order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("tests/data/fuzz/{target}");
    let read = |name: String| {
        let input = fs::read(place(&folder).join(&name)).expect("a file of the corpus");
        (name, input)
    };
    names(&folder).into_iter().map(read).collect()
}

fn holds_on_its_corpus(target: &str) {
    let inputs = corpus(target);
    assert!(inputs.len() >= 10, "{target} has only {} inputs", inputs.len());
    for (name, input) in inputs {
        println!("{target}/{name}");
        targets::run(target, &input);
    }
}

/// The beginning of one input and the end of another or the same, with some bytes changed.
fn near(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let inputs: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, input)| input).collect();
    let ends = (select(inputs.clone()), select(inputs), any::<Index>(), any::<bool>());
    let changes = vec((any::<Index>(), any::<u8>()), 0..8);
    (ends, changes).prop_map(|((mut input, other, cut, is_spliced), changes)| {
        if is_spliced {
            let cut = cut.index(input.len() + 1);
            input.truncate(cut);
            input.extend(other.iter().skip(cut));
        }
        for (at, byte) in changes {
            if !input.is_empty() {
                let at = at.index(input.len());
                input[at] = byte;
            }
        }
        input
    })
}

macro_rules! targets {
    ($($target:ident),+ $(,)?) => {
        const TESTED: &[&str] = &[$(stringify!($target)),+];

        $(mod $target {
            use super::*;

            #[test]
            fn holds_on_the_corpus() {
                holds_on_its_corpus(stringify!($target));
            }

            proptest! {
                #![proptest_config(ProptestConfig {
                    cases: CASES,
                    failure_persistence: None,
                    ..ProptestConfig::default()
                })]

                #[test]
                fn holds_near_the_corpus(input in near(stringify!($target))) {
                    targets::run(stringify!($target), &input);
                }
            }
        })+
    };
}

targets!(
    factory_logs,
    operator_files,
    prices,
    v2_amounts,
    v2_logs,
    v3_logs,
    v3_pool,
    v3_swap,
    v4_logs,
    v4_pool,
    v4_swap,
);

/// The list, these tests, the corpora and cargo-fuzz's binaries are of the same targets.
#[test]
fn every_target_is_run_everywhere() {
    let listed: BTreeSet<String> =
        targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let tested: BTreeSet<String> = TESTED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(tested, listed);
    let mut corpora = names("tests/data/fuzz");
    assert!(corpora.remove("README.md"));
    assert_eq!(corpora, listed);
    let binaries = names("fuzz/fuzz_targets");
    let expected: BTreeSet<String> = listed.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(binaries, expected);
    let manifest = fs::read_to_string(place("fuzz/Cargo.toml")).expect("the fuzz workspace");
    for name in &listed {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "fuzz/Cargo.toml has no {name}");
        let binary = fs::read_to_string(place(&format!("fuzz/fuzz_targets/{name}.rs")));
        assert!(binary.expect("a binary").contains(&format!("run(\"{name}\", input)")));
    }
}

#[test]
fn the_corpora_are_small() {
    let inputs = targets::TARGETS.iter().flat_map(|(name, _)| corpus(name));
    let bytes: usize = inputs.map(|(_, input)| input.len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
}
