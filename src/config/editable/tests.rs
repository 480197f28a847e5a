//! Edits of good files: what stays, what is refused, what is listed.

use super::*;

const AGENT: &str = include_str!("../../../tests/data/config/good/three-strategies/agent.toml");
const CHAIN: &str =
    include_str!("../../../tests/data/config/good/three-strategies/chains/local.toml");
const LP: &str =
    include_str!("../../../tests/data/config/good/three-strategies/strategies/weth-usdt-lp.toml");
const CYCLES: &str =
    include_str!("../../../tests/data/config/good/three-strategies/strategies/cycles.toml");
const QUOTES: &str = r#"
schema = 1
id = "quotes"
kind = "market_making"
stage = "live"
venue = "spot"
market = "ETHUSDT"

[capital]
budget_usd = "10000"

[quotes]
quantity = "0.5"
max_inventory = "4"
target_inventory = "10"
gamma = "0.05"
kappa = "2"
intensity_per_s = "0.5"
min_half_spread_bps = "0.5"
max_half_spread_bps = "20"
ttl_s = 20
refresh_bps = "0.4"
volatility_window_s = 30
"#;
const BUDGET_VARIABLE: &str = "TIDEKEEPER__STRATEGIES__WETH_USDT_LP__CAPITAL__BUDGET_USD";

fn no_env(_: &str) -> Option<String> {
    None
}

fn files(lp: &str, cycles: &str) -> Vec<(PathBuf, String)> {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    vec![
        file("agent.toml", AGENT),
        file("chains/local.toml", CHAIN),
        file("strategies/weth-usdt-lp.toml", lp),
        file("strategies/cycles.toml", cycles),
    ]
}

fn edit_of(files: &[(PathBuf, String)], id: &str, changes: &[(&str, &str)]) -> Edit {
    let config = load(files, &no_env).expect("good files");
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    edit(files, &config, id, &changes.iter().map(pair).collect(), &no_env)
}

fn text_of(edit: Edit) -> String {
    edit.outcome.expect("nothing speaks against it").text
}

#[track_caller]
fn refused(id: &str, changes: &[(&str, &str)], told: &[(&str, &str)]) {
    let problems = edit_of(&files(LP, CYCLES), id, changes).outcome.expect_err("refused");
    assert_eq!(problems.len(), told.len(), "{problems:?}");
    for (found, (key, word)) in problems.iter().zip(told) {
        assert_eq!(found.key, *key);
        assert!(found.problem.contains(word) && !found.fix.is_empty(), "{found:?}");
    }
}

#[test]
fn comments_and_layout_stay_where_they_are() {
    let lp = LP
        .replace("half_width_pct = \"4.0\"", "  half_width_pct   = \"4.0\"   # each way, \"4.0\"")
        .replace("horizon_h = 24", "horizon_h = 2_4 # \u{e4}hem");
    let changes = [("range.half_width_pct", " 5.50 "), ("rebalance.horizon_h", "36")];
    let edit = edit_of(&files(&lp, CYCLES), "weth-usdt-lp", &changes);
    let row = |key: &str, before: &str, after: &str| Difference {
        key: key.into(),
        before: before.into(),
        after: after.into(),
    };
    let expected =
        [row("range.half_width_pct", "4.0", "5.50"), row("rebalance.horizon_h", "24", "36")];
    assert_eq!(edit.diff, expected);
    let wanted =
        lp.replace("   = \"4.0\"", "   = \"5.50\"").replace("horizon_h = 2_4", "horizon_h = 36");
    let edited = edit.outcome.expect("nothing speaks against it");
    assert_eq!(edited.text, wanted);
    assert_eq!(edited.file, Path::new("strategies/weth-usdt-lp.toml"));
    let now = parameters(&edited.config, "weth-usdt-lp");
    let width = now.iter().find(|p| p.key == "range.half_width_pct").expect("it is listed");
    assert_eq!((width.value.as_str(), width.kind), ("5.50", "decimal"));
    let others = |files: &[(PathBuf, String)]| [files[0].clone(), files[1].clone()];
    assert_eq!(others(&edited.files), others(&files(&lp, CYCLES)));
}

#[test]
fn a_value_that_is_its_default_is_added_to_its_table() {
    let files_of = |cycles: &str| files(LP, cycles);
    let changes = [("search.slippage_bps", "3")];
    let text = text_of(edit_of(&files_of(CYCLES), "cycles", &changes));
    assert_eq!(text, CYCLES.replace("\"1\"\n", "\"1\"\nslippage_bps = 3\n"));
    let (head, _) = CYCLES.split_once("[search]").expect("it has one");
    let inline = "search = { start_tokens = [\"USDT\"], min_net_usd = \"1\" } # one line\n";
    let cycles = head.replace("[capital]\n", &format!("{inline}[capital]\n"));
    let text = text_of(edit_of(&files_of(&cycles), "cycles", &changes));
    assert_eq!(text, cycles.replace("\"1\" }", "\"1\", slippage_bps = 3 }"));
    let dotted = "search.start_tokens = [\"USDT\"]\nsearch.min_net_usd = \"1\"\n[capital]\n";
    let cycles = head.replace("[capital]\n", dotted);
    let edit = edit_of(&files_of(&cycles), "cycles", &changes);
    let problems = edit.outcome.expect_err("it would stand in another table");
    assert_eq!(problems[0].key, "search.slippage_bps");
    assert!(problems[0].problem.contains("cannot be replaced"), "{problems:?}");
}

#[test]
fn bad_values_are_refused_with_key_and_fix() {
    let lp = "weth-usdt-lp";
    refused(lp, &[("range.half_width_pct", "1e2")], &[("range.half_width_pct", "plain")]);
    refused(lp, &[("rebalance.horizon_h", "2.5")], &[("rebalance.horizon_h", "whole")]);
    let quote = "5\"\nstage = \"paper";
    refused(lp, &[("range.half_width_pct", quote)], &[("range.half_width_pct", "plain")]);
    refused(
        lp,
        &[("rebalance.horizon_h", "0"), ("range.half_width_pct", "96")],
        &[("range.half_width_pct", "at most 95"), ("rebalance.horizon_h", "at least 1")],
    );
    refused(lp, &[("capital.budget_usd", "1000")], &[("exit.stop_loss_usd", "whole budget")]);
    let twice = [("hedge.band_min_usd", "9000"), ("hedge.band_max_usd", "8000")];
    let problems = edit_of(&files(LP, CYCLES), lp, &twice).outcome.expect_err("refused");
    assert!(problems.iter().any(|p| p.key == "hedge.band_min_usd"), "{problems:?}");
    for key in ["stage", "chain", "pool.fee_pips", "hedge.market", "exit.stop_loss_usd", "id"] {
        refused(lp, &[(key, "1")], &[(key, "may be changed")]);
    }
    refused("cycles", &[("search.legs_max", "4")], &[("search.legs_max", "at most 3")]);
    refused("cycles", &[("quotes.gamma", "1")], &[("quotes.gamma", "may be changed")]);
}

#[test]
fn what_the_environment_overrides_is_not_edited() {
    let env = |name: &str| (name == BUDGET_VARIABLE).then(|| "40000".to_owned());
    let files = files(LP, CYCLES);
    let config = load(&files, &env).expect("good files");
    let change = |key: &str| BTreeMap::from([(key.to_owned(), "45000".to_owned())]);
    let edit_with = |key: &str| edit(&files, &config, "weth-usdt-lp", &change(key), &env).outcome;
    let problems = edit_with("capital.budget_usd").expect_err("refused");
    assert!(problems[0].problem.contains(BUDGET_VARIABLE), "{problems:?}");
    let all = parameters(&config, "weth-usdt-lp");
    assert!(all.iter().any(|p| p.key == "capital.budget_usd" && p.value == "40000"));
}

#[test]
fn a_strategy_that_another_one_hedges_has_no_band() {
    let lp = LP.replace("weth-usdt-lp", "second-lp").replace("= 500 }", "= 3000 }");
    let (head, tail) = lp.split_once("[hedge]").expect("it has one");
    let (_, exit) = tail.split_once("[exit]").expect("it has one");
    let second = format!("{head}[hedge]\nwith = \"weth-usdt-lp\"\n[exit]{exit}")
        .replace("\"50000\"", "\"10000\"");
    let mut files = files(LP, CYCLES);
    files.push((PathBuf::from("strategies/second.toml"), second));
    let config = load(&files, &no_env).expect("good files");
    let n_bands = |id: &str| {
        let all = parameters(&config, id);
        all.iter().filter(|parameter| parameter.key.starts_with("hedge.")).count()
    };
    assert_eq!((n_bands("weth-usdt-lp"), n_bands("second-lp")), (4, 0));
    assert!(parameters(&config, "third-lp").is_empty());
}

#[test]
fn every_number_of_the_strategys_own_tables_is_listed() {
    let mut files = files(LP, CYCLES);
    files.push((PathBuf::from("strategies/quotes.toml"), QUOTES.to_owned()));
    let config = load(&files, &no_env).expect("good files");
    for id in ["weth-usdt-lp", "cycles", "quotes"] {
        let listed = parameters(&config, id);
        let scope = format!("strategies.{id}.");
        for (key, setting) in &config.settings {
            let Some(key) = key.strip_prefix(&scope) else { continue };
            let is_own = ["capital.", "range.", "rebalance.", "search.", "hedge.", "quotes."]
                .iter()
                .any(|table| key.starts_with(table));
            let is_number = plain_decimal(&setting.value).is_some();
            let is_listed = listed.iter().any(|parameter| parameter.key == key);
            assert_eq!(is_listed, is_own && is_number && !is_target(key), "{key}");
        }
    }
}

/// A target of an inventory, which moves a hedge as soon as it is changed.
fn is_target(key: &str) -> bool {
    key.ends_with(".target_inventory")
}

#[test]
fn nothing_that_moves_a_hedge_unseen_is_listed() {
    for list in [crate::config::cex_dex::EDITABLE, crate::config::market_making::EDITABLE] {
        assert!(!list.iter().any(|row| is_target(row.key)), "{list:?}");
    }
}

#[test]
fn a_file_changed_by_hand_is_told_value_by_value() {
    let by_hand = LP
        .replace("\"4.0\"", "\"3.0\" # narrower")
        .replace("max_per_day = 4\n", "")
        .replace("fee_pips = 500", "fee_pips = 3000");
    let told = differences(LP, &by_hand);
    let rows: Vec<[&str; 3]> = told
        .iter()
        .map(|row| [row.key.as_str(), row.before.as_str(), row.after.as_str()])
        .collect();
    let expected = [
        ["pool.fee_pips", "500", "3000"],
        ["range.half_width_pct", "4.0", "3.0"],
        ["rebalance.max_per_day", "4", ABSENT],
    ];
    assert_eq!(rows, expected);
    assert!(differences(LP, &LP.replace("schema = 1", "# words\nschema = 1")).is_empty());
}
