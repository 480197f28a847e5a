//! `pool` against the demo's chains, while others trade there: what it lists, what it quotes beside
//! the quoter of the chain, what it draws, and that every pool follows its logs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;
use serde_json::Value;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::world::demo::World;

/// Exit status of a command line that does not fit the files.
const USAGE: i32 = 2;
/// The deepest pool of the first chain, which takes long to read, and one that does not.
const DEEPEST: &str = "demo/uniswap_v3/WETH/USDT/100";
const COARSE: &str = "demo/uniswap_v3/WETH/USDT/3000";
/// Bars of a file's picture.
const N_BARS: usize = 180;

fn pool(dir: &Path, verb: &str, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidekeeper"));
    command.args(["pool", verb]).args(more).arg("--config").arg(dir);
    command.output().with_context(|| format!("pool {verb}"))
}

/// What a verb that is well answers as JSON.
fn asked(dir: &Path, verb: &str, more: &[&str]) -> Result<Value> {
    let ran = pool(dir, verb, &[more, &["--json"]].concat())?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "pool {verb} {more:?}: {said}");
    serde_json::from_slice(&ran.stdout).with_context(|| format!("pool {verb} {more:?}"))
}

fn decimal(value: &Value) -> Result<Decimal> {
    let text = value.as_str().with_context(|| format!("{value} is no text"))?;
    Ok(text.parse()?)
}

fn rows(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("no rows")
}

/// Every verb on the world's own files.
pub(super) fn every_verb_answers(world: &World) -> Result<()> {
    let dir = &world.config_dir;
    listed(world)?;
    inspected(dir)?;
    quoted_as_the_chain_does(dir)?;
    drawn(dir)?;
    verified(world)?;
    discovered(world)?;
    wrong_names_are_refused(dir)
}

fn listed(world: &World) -> Result<()> {
    let list = asked(&world.config_dir, "list", &[])?;
    let pools = rows(&list["pools"])?;
    let n_pools: usize = world.manifest.chains.iter().map(|chain| chain.pools.len()).sum();
    ensure!(list["ok"] == true && pools.len() == n_pools, "{list:#}");
    for row in pools {
        ensure!(decimal(&row["price"])? > Decimal::ZERO, "{row:#}");
        let has_ticks = row["dex"].as_str().is_some_and(|dex| !dex.ends_with("_v2"));
        let is_one_kind = row["liquidity"].is_string() == has_ticks;
        ensure!(is_one_kind && row["reserves"].is_object() != has_ticks, "{row:#}");
        let address: PoolAddress = row["address"].as_str().context("no address")?.parse()?;
        let chain = world.manifest.chains.iter().find(|chain| row["chain"] == chain.name.as_str());
        let mut known = chain.context("an unknown chain")?.pools.iter();
        ensure!(known.any(|pool| pool.address == address), "{row:#}");
    }
    let one = asked(&world.config_dir, "list", &["--chain", "demo-two"])?;
    ensure!(rows(&one["pools"])?.iter().all(|row| row["chain"] == "demo-two"), "{one:#}");
    Ok(())
}

fn inspected(dir: &Path) -> Result<()> {
    let by_name = asked(dir, "inspect", &[COARSE])?;
    let symbols: Vec<&Value> =
        rows(&by_name["tokens"])?.iter().map(|token| &token["symbol"]).collect();
    ensure!(symbols.iter().any(|s| **s == "WETH") && symbols.len() == 2, "{by_name:#}");
    ensure!(by_name["initialized_ticks"].as_u64() >= Some(2), "{by_name:#}");
    let ticks = ["nearest_below", "nearest_above"].map(|key| by_name[key]["tick"].as_i64());
    let now = by_name["tick"].as_i64();
    ensure!(ticks[0] <= now && now < ticks[1] && ticks[0].is_some(), "{by_name:#}");
    ensure!(decimal(&by_name["value_in_quote"])? > Decimal::ZERO, "{by_name:#}");
    // Both chains have a pool there: one is named by its chain.
    let address = by_name["address"].as_str().context("no address")?;
    let by_address = asked(dir, "inspect", &[&format!("demo/{address}")])?;
    assert_eq!(by_address["pool"], COARSE);
    let v4 = asked(dir, "inspect", &["demo/uniswap_v4/WETH/USDT/3000/60"])?;
    ensure!(v4["initialized_ticks"].as_u64() >= Some(2) && v4["no_quote"].is_null(), "{v4:#}");
    let id = v4["address"].as_str().context("no id")?;
    let by_id = asked(dir, "inspect", &[&format!("demo/{id}")])?;
    ensure!(id.len() == 66 && by_id["pool"] == v4["pool"], "{by_id:#}");
    let pair = asked(dir, "inspect", &["demo/sushiswap_v2/WETH/USDT/3000"])?;
    ensure!(rows(&pair["reserves"])?.len() == 2 && pair["tick"].is_null(), "{pair:#}");
    Ok(())
}

fn quoted_as_the_chain_does(dir: &Path) -> Result<()> {
    let second = "demo-two/uniswap_v3/WETH/USDC/500";
    for (pool, side, amount, token) in [
        (DEEPEST, "--sell", "1.5", "WETH"),
        (COARSE, "--sell", "0.5", "WETH"),
        (COARSE, "--sell", "250.25", "USDT"),
        (COARSE, "--buy", "0.25", "WETH"),
        (COARSE, "--buy", "1000", "USDT"),
        (second, "--buy", "900.5", "USDC"),
        ("demo/sushiswap_v3/WETH/USDT/3000", "--sell", "0.5", "WETH"),
        ("demo/uniswap_v4/ETH/USDT/500/10", "--sell", "1.5", "ETH"),
        ("demo/uniswap_v4/ETH/USDT/500/10", "--buy", "1000", "USDT"),
        ("demo/uniswap_v4/WETH/USDT/3000/60", "--sell", "250.25", "USDT"),
        ("demo/uniswap_v4/WETH/USDT/3000/60", "--buy", "0.25", "WETH"),
    ] {
        let quote = asked(dir, "quote", &[pool, side, amount, token])?;
        let quoter = &quote["quoter"];
        ensure!(quoter["is_same"] == true && quoter["difference"] == "0", "{quote:#}");
        // V4's quoter tells no price.
        if !pool.contains("uniswap_v4") {
            assert_eq!(quoter["sqrt_price_x96_after"], quote["sqrt_price_x96_after"]);
        }
        let fixed = if side == "--sell" { &quote["give"] } else { &quote["take"] };
        ensure!(fixed["amount"] == amount && fixed["token"] == token, "{quote:#}");
        let [before, after] = ["price_before", "price_after"].map(|key| decimal(&quote[key]));
        let falls = (side == "--sell") == token.ends_with("ETH");
        ensure!((after? < before?) == falls, "{quote:#}");
        ensure!(decimal(&quote["price_impact_bps"])? >= Decimal::ZERO, "{quote:#}");
    }
    let pair = "demo/uniswap_v2/WETH/USDT/3000";
    let quote = asked(dir, "quote", &[pair, "--sell", "1", "WETH"])?;
    ensure!(quote["quoter"].is_null() && quote["ticks_crossed"].is_null(), "{quote:#}");
    assert_eq!(quote["fee"]["amount"], "0.003");
    Ok(())
}

fn drawn(dir: &Path) -> Result<()> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pool_depth.svg");
    let svg = file.to_str().context("no path")?;
    let depth = asked(dir, "depth", &[DEEPEST, "--within", "2.5", "--svg", svg])?;
    let moves = rows(&depth["moves"])?;
    let given = |row: &Value| decimal(&row["give"]["amount"]);
    ensure!(moves.len() == 8 && !rows(&depth["liquidity"])?.is_empty(), "{depth:#}");
    for (way, token) in [(&moves[..4], "USDT"), (&moves[4..], "WETH")] {
        ensure!(way.iter().all(|row| row["give"]["token"] == token), "{depth:#}");
        for pair in way.windows(2) {
            ensure!(given(&pair[0])? < given(&pair[1])?, "{depth:#}");
        }
    }
    let picture = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let hash = depth["block"]["hash"].as_str().context("no block")?;
    ensure!(picture.starts_with("<svg ") && picture.contains(hash), "{picture}");
    assert_eq!(picture.matches("<rect x=").count(), N_BARS);
    let shown = String::from_utf8(pool(dir, "depth", &[COARSE])?.stdout)?;
    ensure!(shown.contains('█') && shown.contains("▲ the price, "), "{shown}");
    ensure!(shown.lines().any(|line| line.trim_start().starts_with("+0.1 %")), "{shown}");
    Ok(())
}

fn verified(world: &World) -> Result<()> {
    let verdict = asked(&world.config_dir, "verify", &[])?;
    let pools = rows(&verdict["pools"])?;
    let n_pools: usize = world.manifest.chains.iter().map(|chain| chain.pools.len()).sum();
    ensure!(verdict["ok"] == true && pools.len() == n_pools, "{verdict:#}");
    for row in pools {
        let blocks = (row["from_block"].as_u64(), row["to_block"].as_u64());
        ensure!(row["ok"] == true && blocks.0.is_some() && blocks.0 < blocks.1, "{row:#}");
    }
    let n_logs: u64 = pools.iter().filter_map(|row| row["logs"].as_u64()).sum();
    ensure!(n_logs > 0, "nobody traded meanwhile: nothing was followed");
    Ok(())
}

/// Every pool of the file was opened by a factory of the file.
fn discovered(world: &World) -> Result<()> {
    let chain = world.manifest.chains.first().context("no chain")?;
    let ask = |more: &[&str]| {
        let words = [&["--chain", chain.name.as_str()][..], more].concat();
        asked(&world.config_dir, "discover", &words)
    };
    let found = ask(&[])?;
    let row = |found: &Value, address: String| -> Result<Value> {
        let mut rows = rows(&found["pools"])?.iter();
        let row = rows.find(|row| row["address"] == address.as_str());
        row.cloned().with_context(|| format!("{address} is not in {found:#}"))
    };
    for pool in &chain.pools {
        let row = row(&found, pool.address.to_string())?;
        ensure!(row["in_file"] == true && row["refused"].is_null(), "{row:#}");
        ensure!(decimal(&row["liquidity"])? > Decimal::ZERO, "{row:#}");
    }
    let last = found["searched"]["before"].as_u64().context("no end")?;
    ensure!(found["ok"] == true && found["searched"]["from"] == 0 && last > 0, "{found:#}");
    let vast = ask(&["--min-liquidity", "1000000000000", "USDT"])?;
    for pool in &chain.pools {
        let refused = row(&vast, pool.address.to_string())?["refused"].to_string();
        let is_why = refused.contains("USDT is below") || refused.contains("no least liquidity");
        ensure!(is_why, "{refused}");
    }
    let later = ask(&["--from", &(last - 1).to_string()])?;
    ensure!(rows(&later["pools"])?.is_empty() && rows(&later["allow"])?.is_empty(), "{later:#}");
    Ok(())
}

fn wrong_names_are_refused(dir: &Path) -> Result<()> {
    for (more, told) in [
        (["inspect", "demo/uniswap_v3/WETH/USDT/10"], format!("did you mean `{DEEPEST}`?")),
        (["depth", "0x1234"], "40 hexadecimal digits".to_owned()),
    ] {
        let ran = pool(dir, more[0], &more[1..])?;
        let said = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.code() == Some(USAGE) && said.contains(&told), "{said}");
    }
    let ran = pool(dir, "quote", &[COARSE, "--sell", "1", "DAI"])?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(!ran.status.success() && said.contains("write WETH or USDT"), "{said}");
    Ok(())
}
