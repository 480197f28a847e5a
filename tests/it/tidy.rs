//! The house law as tests: they read the source tree and name every place that breaks it.
//!
//! Knows the tokens of Rust, not its types: what a macro or a glob import brings in is not seen.
//! Invariant: an exception stands in a list below with its reason, and fails once nothing needs it.

mod planted;
mod rust;
mod tree;

use std::collections::BTreeSet;

use rust::{functions, given_names, is, paths};
use tree::{Source, TREE, is_rust};

/// Rooms without async, clock, chance, IO or logging.
const PURE_ROOMS: [&str; 11] = [
    "model",
    "math",
    "market",
    "ledger",
    "strategy",
    "risk",
    "execution",
    "engine",
    "venues",
    "sim",
    "config",
];
/// Crates that no pure room names.
const CRATES_OF_THE_SHORE: [&str; 3] = ["rand", "tokio", "tracing"];
/// Paths that no pure room names, wherever they stand in a longer one.
const PATHS_OF_THE_SHORE: [&str; 6] =
    ["SystemTime", "Instant::now", "std::env", "std::fs", "std::process", "std::thread"];
const MACROS_OF_THE_SHORE: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];

/// Folders whose modules never name each other.
const SIBLINGS: [&str; 3] = ["strategy", "venues", "risk::checks"];
/// Who never names whom, beyond what the order forbids.
const WALLS: [(&str, &str); 3] =
    [("ledger", "strategy"), ("risk", "strategy"), ("execution", "strategy")];

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const WIDTH_MAX: usize = 100;
/// Where the length of a file is bounded, and of which files: fixtures are not written by hand.
const MEASURED_ROOTS: [&str; 4] = ["src/", "tests/", "dashboard/src/", "contracts/"];
const FIXTURES: &str = "tests/data/";
const MEASURED_ENDINGS: [&str; 10] =
    [".rs", ".ts", ".tsx", ".css", ".sol", ".sql", ".py", ".sh", ".mjs", ".js"];

/// Words that say nothing of the field.
const EMPTY_WORDS: [&str; 6] = ["manager", "handler", "helper", "util", "service", "processor"];
/// Third parties' proper names that hold such a word.
const PROPER_NAMES: [(&str, &str); 2] = [
    ("position_manager", "Uniswap's contract is called NonfungiblePositionManager"),
    ("manager_log", "Uniswap's contract of all V4 pools is called PoolManager"),
];

/// Cut in two, so that this file does not name them itself.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("../sha", "red")];

/// A proof stands at most this many lines above its `unsafe`.
const PROOF_LINES_MAX: usize = 8;

const ORDER: &str = "a module uses only those above it in src/lib.rs";
const APART: &str = "siblings never name each other, and walls hold";
const PURE: &str = "pure rooms have no async, clock, chance, IO or logging";
const PLACELESS: &str = "no text names a path of one machine";

/// A place where the law itself is bent.
struct Exception {
    rule: &'static str,
    path: &'static str,
    subject: &'static str,
    because: &'static str,
}

const EXCEPTIONS: [Exception; 0] = [];

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offence {
    path: String,
    line: usize,
    subject: String,
}

fn offence(source: &Source, line: usize, subject: impl Into<String>) -> Offence {
    Offence { path: source.path.clone(), line, subject: subject.into() }
}

/// The rooms in the order of `mod` lines.
fn order(root: &Source) -> Vec<String> {
    let mods = (0..root.code.len()).filter(|i| is(&root.code, *i, &["mod"]));
    mods.map(|i| root.code[i + 1].text.clone()).collect()
}

fn order_breaches(source: &Source, order: &[String]) -> Vec<Offence> {
    let rank = |room: &String| order.iter().position(|r| r == room);
    let Some(own) = source.module().and_then(|module| rank(&module[0])) else {
        return Vec::new();
    };
    let below = |path: &Vec<String>| path.first().and_then(rank).is_some_and(|r| r > own);
    let breaches = source.names().into_iter().filter(|(path, _)| below(path));
    breaches.map(|(path, line)| offence(source, line, format!("names {}", path[0]))).collect()
}

/// `modules` are those of the library: a sibling's item in the parent itself is no sibling.
fn wall_breaches(source: &Source, modules: &BTreeSet<String>) -> Vec<Offence> {
    let Some(own) = source.module().map(|module| module.join("::")) else {
        return Vec::new();
    };
    let child = |path: &str, parent: &str| {
        let inside = path.strip_prefix(parent)?.strip_prefix("::")?;
        let name = inside.split("::").next()?;
        Some(format!("{parent}::{name}"))
    };
    let forbidden = |(path, line): (Vec<String>, usize)| {
        let path = path.join("::");
        let wall = WALLS.iter().find(|(from, to)| {
            own.split("::").next() == Some(*from) && path.split("::").next() == Some(*to)
        });
        let sibling = SIBLINGS.iter().find_map(|parent| {
            let (ours, named) = (child(&own, parent)?, child(&path, parent)?);
            (ours != named && modules.contains(&named)).then_some(named)
        });
        let named = wall.map(|(_, to)| (*to).to_owned()).or(sibling)?;
        Some(offence(source, line, format!("names {named}")))
    };
    source.names().into_iter().filter_map(forbidden).collect()
}

fn shore_breaches(source: &Source) -> Vec<Offence> {
    let code = &source.code;
    if !source.module().is_some_and(|module| PURE_ROOMS.contains(&module[0].as_str())) {
        return Vec::new();
    }
    let words = code.iter().enumerate().filter_map(|(index, token)| {
        let text = token.text.as_str();
        let is_macro = MACROS_OF_THE_SHORE.contains(&text) && is(code, index + 1, &["!"]);
        (text == "async" || is_macro).then(|| offence(source, token.line, text))
    });
    let named = paths(code).into_iter().filter_map(|named| {
        let whole = format!("::{}::", named.parts.join("::"));
        let is_path = |path: &&str| whole.contains(&format!("::{path}::"));
        let is_crate = |name: &&str| named.parts.len() > 1 && named.parts[0] == **name;
        let found = PATHS_OF_THE_SHORE.iter().find(|path| is_path(path));
        let found = found.or_else(|| CRATES_OF_THE_SHORE.iter().find(|name| is_crate(name)))?;
        Some(offence(source, named.line, *found))
    });
    words.chain(named).collect()
}

fn unwraps(source: &Source) -> Vec<Offence> {
    let code = if source.path.starts_with("src/") { source.code.as_slice() } else { &[] };
    let at = (0..code.len()).filter(|i| is(code, *i, &[".", "unwrap", "("]));
    at.map(|i| offence(source, code[i + 1].line, ".unwrap()")).collect()
}

fn excesses(source: &Source) -> Vec<Offence> {
    let path = &source.path;
    let is_measured = MEASURED_ROOTS.iter().any(|root| path.starts_with(root))
        && !path.starts_with(FIXTURES)
        && MEASURED_ENDINGS.iter().any(|ending| path.ends_with(ending));
    let n_lines = source.text.lines().count();
    let mut found = Vec::new();
    if is_measured && n_lines > LINES_MAX {
        found.push(offence(source, n_lines, format!("{n_lines} lines in a file")));
    }
    for (name, first, last) in functions(&source.tokens) {
        let length = last - first + 1;
        if length > FUNCTION_LINES_MAX {
            found.push(offence(source, first, format!("{length} lines in fn {name}")));
        }
    }
    let lines = source.text.lines().enumerate().filter(|_| is_rust(path));
    let widths = lines.map(|(index, line)| (index + 1, line.chars().count()));
    let wide = widths.filter(|(_, width)| *width > WIDTH_MAX);
    found.extend(wide.map(|(line, width)| offence(source, line, format!("{width} characters"))));
    found
}

fn empty_names(source: &Source) -> Vec<Offence> {
    let names = given_names(&source.tokens).filter(|name| is_empty_name(&snake(&name.text)));
    names.map(|name| offence(source, name.line, name.text.as_str())).collect()
}

/// `true` where a name has a word that says nothing, outside a third party's proper name.
fn is_empty_name(snake: &str) -> bool {
    let rest = PROPER_NAMES.iter().fold(snake.to_owned(), |rest, (name, _)| rest.replace(name, ""));
    rest.split('_').any(|word| EMPTY_WORDS.contains(&word.trim_end_matches('s')))
}

fn snake(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn machine_paths(source: &Source) -> Vec<Offence> {
    let lines = source.text.lines().enumerate();
    let named = lines.flat_map(|(index, line)| {
        let found = MACHINE_PATHS.iter().filter(move |path| line.contains(**path));
        found.map(move |path| offence(source, index + 1, *path))
    });
    named.collect()
}

fn loose_ends(source: &Source) -> Vec<Offence> {
    const ENDS: [&[&str]; 3] = [&["todo", "!"], &["unimplemented", "!"], &["#", "[", "ignore"]];
    let tokens = &source.tokens;
    let at = (0..tokens.len()).filter_map(|i| {
        let end = ENDS.iter().find(|end| is(tokens, i, end))?;
        Some(offence(source, tokens[i].line, end.concat()))
    });
    at.collect()
}

fn unproven(source: &Source) -> Vec<Offence> {
    let lines: Vec<&str> = source.text.lines().collect();
    let is_proven = |line: usize| {
        let above = &lines[line.saturating_sub(PROOF_LINES_MAX + 1)..line];
        above.iter().any(|text| text.trim_start().starts_with("// SAFETY:"))
    };
    let at = source.tokens.iter().filter(|token| token.text == "unsafe" && !is_proven(token.line));
    at.map(|token| offence(source, token.line, "unsafe without // SAFETY:")).collect()
}

/// What is left to complain of: offences that no exception covers, exceptions that cover none.
fn verdict(rule: &str, found: &[Offence], exceptions: &[Exception]) -> BTreeSet<Offence> {
    let covers = |e: &Exception, o: &Offence| e.path == o.path && e.subject == o.subject;
    let ours: Vec<&Exception> = exceptions.iter().filter(|e| e.rule == rule).collect();
    let unneeded =
        ours.iter().filter(|e| e.because.is_empty() || !found.iter().any(|o| covers(e, o)));
    let unneeded = unneeded.map(|e| Offence {
        path: e.path.to_owned(),
        line: 0,
        subject: format!("the exception for '{}' is not needed or has no reason", e.subject),
    });
    let uncovered = found.iter().filter(|o| !ours.iter().any(|e| covers(e, o)));
    uncovered.cloned().chain(unneeded).collect()
}

#[track_caller]
fn judge(rule: &str, offences_of: impl Fn(&Source) -> Vec<Offence>) {
    let found: Vec<Offence> = TREE.iter().flat_map(offences_of).collect();
    let left = verdict(rule, &found, &EXCEPTIONS);
    let rows: Vec<String> =
        left.iter().map(|o| format!("  {}:{}  {}", o.path, o.line, o.subject)).collect();
    assert!(rows.is_empty(), "{rule}: broken at {} places\n{}", rows.len(), rows.join("\n"));
}

fn rooms() -> Vec<String> {
    let root = TREE.iter().find(|source| source.path == "src/lib.rs");
    order(root.expect("the library has a root"))
}

fn modules() -> BTreeSet<String> {
    TREE.iter().filter_map(Source::module).map(|module| module.join("::")).collect()
}

#[test]
fn the_rules_speak_of_rooms_that_exist() {
    let (rooms, modules) = (rooms(), modules());
    let walls = WALLS.iter().flat_map(|(from, to)| [from, to]);
    for room in PURE_ROOMS.iter().chain(walls) {
        assert!(rooms.iter().any(|r| r == room), "src/lib.rs has no room {room}");
        assert!(modules.contains(*room), "src has no module {room}");
    }
    let last_pure = rooms.iter().rposition(|room| PURE_ROOMS.contains(&room.as_str()));
    assert_eq!(
        last_pure,
        Some(PURE_ROOMS.len() - 1),
        "the pure rooms stand first in src/lib.rs (has a formatter sorted it?): {rooms:?}"
    );
}

#[test]
fn a_module_uses_only_those_above_it() {
    let rooms = rooms();
    judge(ORDER, |source| order_breaches(source, &rooms));
}

#[test]
fn siblings_and_walled_rooms_never_name_each_other() {
    let modules = modules();
    judge(APART, |source| wall_breaches(source, &modules));
}

#[test]
fn pure_rooms_do_not_touch_the_world() {
    judge(PURE, shore_breaches);
}

#[test]
fn nothing_unwraps_outside_tests() {
    judge("no .unwrap() outside tests", unwraps);
}

#[test]
fn files_functions_and_lines_are_short() {
    let rule =
        format!("{LINES_MAX} lines a file, {FUNCTION_LINES_MAX} a function, {WIDTH_MAX} wide");
    judge(&rule, excesses);
}

#[test]
fn names_are_words_of_the_field() {
    judge("no name has a word that says nothing", empty_names);
    for (name, _) in PROPER_NAMES {
        let mut given = TREE.iter().flat_map(|source| given_names(&source.tokens));
        assert!(given.any(|token| snake(&token.text).contains(name)), "nothing is called {name}");
    }
}

#[test]
fn no_text_names_a_path_of_one_machine() {
    judge(PLACELESS, machine_paths);
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    judge("no todo!, unimplemented! or #[ignore]", loose_ends);
}

#[test]
fn every_unsafe_has_its_proof() {
    judge("every unsafe has a // SAFETY: comment above it", unproven);
}
