//! The corpus: good folders load, wrong ones are refused with the messages they expect.
//!
//! Every folder in `tests/data/config/bad` holds complete files and an `expect.txt`: first
//! `problems N`, then one line for each text that must stand in the messages.

use std::fs;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config as Runs, TestRunner};

use crate::config::agent::Mode;
use crate::config::hedge::HedgeBy;
use crate::config::liquidity::Range;
use crate::config::problem::{Origin, Problem};
use crate::config::strategy::{Stage, Strategy as OurStrategy};
use crate::config::{Config, idle_overrides, load, resolved, unset_variables};

type Files = Vec<(PathBuf, String)>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The operator's files of a folder, with paths as seen from it.
fn files_of(folder: &Path) -> Files {
    let mut paths = vec![PathBuf::from("agent.toml")];
    for kind in ["chains", "strategies"] {
        let Ok(entries) = fs::read_dir(folder.join(kind)) else {
            continue;
        };
        paths.extend(entries.map(|entry| Path::new(kind).join(entry.unwrap().file_name())));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let text = |path: PathBuf| fs::read_to_string(folder.join(&path)).ok().map(|text| (path, text));
    paths.into_iter().filter_map(text).collect()
}

fn folders_of(kind: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/data/config").join(kind);
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn good() -> Files {
    files_of(&root().join("tests/data/config/good/local"))
}

fn no_env(_: &str) -> Option<String> {
    None
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn loaded(files: &Files) -> Config {
    load(files, &no_env).unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

/// The problems of the good files with one text exchanged in one of them.
fn problems_with(file: &str, old: &str, new: &str) -> String {
    let mut files = good();
    let (_, text) = files.iter_mut().find(|(path, _)| path == Path::new(file)).unwrap();
    assert!(text.contains(old), "{file} has no {old}");
    *text = text.replacen(old, new, 1);
    told(&load(&files, &no_env).unwrap_err())
}

#[test]
fn wrong_configs_are_refused_with_their_place_and_fix() {
    let folders = folders_of("bad");
    assert!(folders.len() >= 40, "only {} cases", folders.len());
    let mut failures = String::new();
    for folder in folders {
        let expect = fs::read_to_string(folder.join("expect.txt")).unwrap();
        let mut lines = expect.lines().filter(|line| !line.is_empty());
        let count = lines.next().and_then(|line| line.strip_prefix("problems ")).unwrap();
        let problems = load(&files_of(&folder), &no_env).err().unwrap_or_default();
        let messages = told(&problems);
        let missing: Vec<&str> = lines.filter(|line| !messages.contains(line)).collect();
        let are_useful = problems.iter().all(|p| !p.what.is_empty() && !p.help.is_empty());
        if problems.len().to_string() != count || !missing.is_empty() || !are_useful {
            let name = folder.file_name().unwrap().display().to_string();
            failures += &format!("{name}: want {count} and {missing:#?}, have\n{messages}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn good_folders_load() {
    for folder in folders_of("good") {
        loaded(&files_of(&folder));
    }
    let config = loaded(&good());
    assert_eq!(config.agent.mode, Mode::Demo);
    assert!(config.chain("local").unwrap().is_local());
    let OurStrategy::Liquidity(liquidity) = &config.strategies[0] else {
        panic!("{:?}", config.strategies[0]);
    };
    let Range::Fixed { half_width_pct } = liquidity.range;
    assert_eq!(half_width_pct.to_string(), "4.0");
    let HedgeBy::Own(hedge) = &liquidity.hedge else { panic!("{:?}", liquidity.hedge) };
    assert_eq!(hedge.symbol(), "ETHUSDT");
}

#[test]
fn pools_of_v4_and_sushiswap_are_told_whole() {
    let config = loaded(&files_of(&root().join("tests/data/config/good/v4-and-sushiswap")));
    let chain = config.chain("local").unwrap();
    let told: Vec<String> = chain.pools[1..].iter().map(ToString::to_string).collect();
    let expected = [
        "uniswap_v3 WETH/USDT 3000",
        "sushiswap_v3 WETH/USDT 3000",
        "uniswap_v4 ETH/USDT 500/10",
        "uniswap_v4 WETH/USDT 0/1",
        "uniswap_v4 ETH/USDT dynamic/60/0x0000000000000000000000000000000000000080",
    ];
    assert_eq!(told, expected);
    let [v3, _, _, native, wrapped, hooked] = &chain.pools[..] else { panic!("{told:?}") };
    // The coin itself is V4's alone, and no token is taken for it.
    assert_eq!(chain.coin(native, "ETH"), Some((Address::ZERO, 18)));
    assert_eq!(chain.coin(wrapped, "WETH"), Some((chain.wrapped_native, 18)));
    assert_eq!((chain.coin(v3, "ETH"), chain.coin(native, "USDC")), (None, None));
    let (usdt, _) = chain.coin(hooked, "USDT").unwrap();
    let key = hooked.key(Address::ZERO, usdt).unwrap();
    assert_eq!((key.check(), hooked.fixed_fee_pips()), (Ok(()), None));
    assert_eq!((native.fixed_fee_pips(), v3.key(Address::ZERO, usdt)), (Some(500), None));
    let [hash] = &chain.hook_code_hashes[..] else { panic!("{:?}", chain.hook_code_hashes) };
    assert_eq!((hash[0], hash[31]), (0x0b, 0x86));
    // Nobody's hooks are trusted where the file lists none.
    assert!(loaded(&good()).chain("local").unwrap().hook_code_hashes.is_empty());
}

#[test]
fn the_samples_of_the_project_load() {
    let config = loaded(&files_of(&root()));
    assert_eq!(config.agent.mode, Mode::Observe);
    assert!(config.chains.len() >= 3 && config.strategies.len() >= 2);
}

#[test]
fn every_value_knows_its_origin() {
    let env = |name: &str| (name == "TIDEKEEPER__AGENT__API__LISTEN").then(|| "127.0.0.1:0".into());
    let config = load(&good(), &env).unwrap();
    assert_eq!(config.agent.api.listen.port(), 0);
    let row = |key: &str| {
        let row = resolved(&config).into_iter().find(|row| row.key == key);
        row.map(|row| (row.value, row.origin)).unwrap_or_else(|| panic!("no {key}"))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let listen = pair("127.0.0.1:0", "environment TIDEKEEPER__AGENT__API__LISTEN");
    assert_eq!(row("agent.api.listen"), listen);
    assert_eq!(row("agent.store.keep_quotes_days"), pair("30", "default"));
    assert_eq!(row("agent.limits.net_delta_usd"), pair("10000", "agent.toml:14:17"));
    let key = pair("(in environment TK_DEMO_KEY)", "agent.toml:25:19");
    assert_eq!(row("agent.signers.lp.private_key_env"), key);
    assert_eq!(row("chains.local.pools.allow[1].fee_pips").0, "3000");
    assert_eq!(row("strategies.weth-usdt-lp.hedge.band_max_usd").0, "5000");
}

#[test]
fn a_wrong_override_is_told_with_its_variable() {
    let name = "TIDEKEEPER__STRATEGIES__WETH_USDT_LP__CAPITAL__BUDGET_USD";
    let env = |asked: &str| (asked == name).then(|| "1e9".to_owned());
    let problems = load(&good(), &env).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].origin, Origin::Env { name: name.to_owned() });
    assert_eq!(problems[0].key, "strategies.weth-usdt-lp.capital.budget_usd");
}

#[test]
fn an_override_counts_in_checks_across_files() {
    let name = "TIDEKEEPER__AGENT__LIMITS__GROSS_EXPOSURE_USD";
    let env = |asked: &str| (asked == name).then(|| "20000".to_owned());
    let messages = told(&load(&good(), &env).unwrap_err());
    assert!(messages.contains("over limits.gross_exposure_usd = 20000"), "{messages}");
}

#[test]
fn an_override_that_overrides_nothing_is_told() {
    let config = loaded(&good());
    let good_name = "TIDEKEEPER__AGENT__LIMITS__NET_DELTA_USD";
    let wrong_name = "TIDEKEEPER__AGENT__LIMITS__NET_DELTA";
    let names = ["PATH", "TIDEKEEPER_CACHE", good_name, wrong_name];
    let problems = idle_overrides(&config, names.into_iter());
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains(&format!("did you mean {good_name}?")));
}

#[test]
fn unset_variables_are_told_by_name() {
    let config = loaded(&good());
    let env = |name: &str| (name != "TK_DEMO_KEY").then(|| "x".to_owned());
    let messages = told(&unset_variables(&config, &env));
    assert_eq!(messages.lines().count(), 1);
    assert!(messages.contains("TK_DEMO_KEY, which is not set"), "{messages}");
}

#[test]
fn mode_paper_is_the_default_and_needs_no_secret_of_an_account() {
    let mut files = good();
    let (_, text) = files.iter_mut().find(|(path, _)| path == Path::new("agent.toml")).unwrap();
    assert!(text.contains("mode = \"demo\"\n"), "{text}");
    *text = text.replacen("mode = \"demo\"\n", "", 1);
    let config = loaded(&files);
    assert_eq!(config.agent.mode, Mode::Paper);
    let rows = resolved(&config);
    let mode = rows.iter().find(|row| row.key == "agent.mode").unwrap();
    assert_eq!((mode.value.as_str(), mode.origin.as_str()), ("paper", "default"));
    let unset = |config: &Config| told(&unset_variables(config, &no_env));
    assert!(unset(&loaded(&good())).contains("TK_DEMO_KEY"));
    assert_eq!(unset(&config), "");
}

#[test]
fn a_stage_is_capped_by_the_mode() {
    let acts = |stage: Stage| {
        let modes = [Mode::Observe, Mode::Paper, Mode::Live, Mode::Demo];
        modes.map(|mode| stage.sends_in(mode))
    };
    assert_eq!(acts(Stage::Observe), [false; 4]);
    assert_eq!(acts(Stage::Paper), [false, true, false, false]);
    assert_eq!(acts(Stage::Live), [false, true, true, true]);
}

#[test]
fn secrets_are_never_repeated() {
    let key = "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d";
    for (old, new) in [
        ("\"TK_DEMO_KEY\"", format!("\"{key}\"")),
        ("private_key_env = \"TK_DEMO_KEY\"", format!("private_key = \"0x{key}\"")),
        ("\"demo-hedge\"", format!("\"{key}\"")),
        ("\"http://127.0.0.1:9100\"", format!("\"https://node.example/v3/{key}\"")),
        ("\"http://127.0.0.1:9100\"", "\"https://me:hunter2@node.example\"".to_owned()),
        ("[\"liquidity\"]", format!("[\"{key}\"]")),
        ("\"10000\"", format!("\"{key}\"")),
        ("mode = \"demo\"", format!("mode = \"{key}\"")),
    ] {
        let messages = problems_with("agent.toml", old, &new);
        assert!(!messages.contains(key) && !messages.contains("hunter2"), "{messages}");
    }
}

#[test]
fn a_file_too_long_is_refused() {
    let messages = problems_with("agent.toml", "schema = 1", &"#\n".repeat(1 << 20));
    assert!(messages.contains("agent.toml:1:1: (file): is "), "{messages}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for nest in ["[".repeat(60_000), "a.".repeat(60_000), "{a=".repeat(40_000)] {
        for text in [format!("x = {nest}"), format!("{nest}a = 1"), format!("[{nest}a]")] {
            let mut files = good();
            files[0].1 = text;
            assert!(load(&files, &no_env).is_err());
        }
    }
}

#[test]
fn no_files_at_all_are_refused_with_what_is_missing() {
    let messages = told(&load(&[], &no_env).unwrap_err());
    assert_eq!(messages.lines().count(), 2, "{messages}");
    assert!(messages.contains("agent.toml:1:1: (file): is missing"), "{messages}");
}

/// One change to a text: at a place (in thousandths), remove some bytes and put others.
fn edits() -> impl Strategy<Value = Vec<(usize, usize, usize, String)>> {
    let scrap = prop::sample::select(vec![
        "",
        "\"",
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        "\n",
        ".",
        "'''",
        "\\u00",
        "é",
        "\u{0}",
        "-",
        "0x",
        "1e999",
        "schema",
        "[limits]",
        "99999999999999999999999999999999999999999",
        "inf",
        "true",
        "1979-05-27",
        "a.b.c = 1\n",
        "[[tokens]]\n",
        "[pools.allow]\n",
        "\r",
        "#",
        ",",
        "\"\"",
    ]);
    let scrap = scrap.prop_map(str::to_owned);
    prop::collection::vec((any::<usize>(), 0..1_000usize, 0..40usize, scrap), 1..6)
}

#[test]
fn no_text_makes_the_loader_panic() {
    let base = good();
    let mut runner =
        TestRunner::new(Runs { cases: 400, failure_persistence: None, ..Runs::default() });
    let outcome = runner.run(&edits(), |edits| {
        let mut files = base.clone();
        for (file, place, length, scrap) in edits {
            let n_files = files.len();
            let text = &mut files[file % n_files].1;
            let mut chars: Vec<char> = text.chars().collect();
            let from = chars.len() * place / 1_000;
            let to = (from + length).min(chars.len());
            chars.splice(from..to, scrap.chars());
            *text = chars.into_iter().collect();
        }
        if let Err(problems) = load(&files, &no_env) {
            assert!(!problems.is_empty());
            assert!(
                problems.iter().all(|problem| problem.key != "(config)"),
                "{}",
                told(&problems)
            );
        }
        Ok(())
    });
    outcome.unwrap();
}
