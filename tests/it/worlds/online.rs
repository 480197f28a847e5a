//! `check --online` against the demo's chains: its own files pass, and each mistake planted in them
//! is told by the name of its key, while the files alone look right. Before that, `pool` on them;
//! after it, a token of theirs begins to take a fee.

use std::fs;
use std::path::Path;
use std::process::Command;

use alloy::primitives::Address;
use alloy::primitives::aliases::U24;
use anyhow::{Context, Result, bail, ensure};
use tidekeeper::math::amm::tick::sqrt_price_at;
use tidekeeper::venues::uniswap_v3::pool_address;
use tidekeeper::world::chain::{self, Deed};
use tidekeeper::world::demo::World;

use super::{pools, probe, stage};
use crate::bytecode::abi::{Pool, PoolFactory};

/// Exit status of files that are refused.
const CHECK_FAILED: i32 = 3;
/// Rows of each of the demo's chains: the wrapped coin, 3 tokens, 13 contracts of 5 exchanges, the
/// executor, 9 pools.
const ROWS_OF_A_CHAIN: usize = 27;

/// What one run came to.
struct Verdict {
    status: Option<i32>,
    output: String,
}

impl Verdict {
    /// Lines of the table that are right and begin so.
    fn n_right(&self, looked_at: &str) -> usize {
        let begin = format!("ok    {looked_at}");
        self.output.lines().filter(|line| line.starts_with(&begin)).count()
    }

    /// Each failure with its remedy.
    fn failures(&self) -> Vec<String> {
        let lines: Vec<&str> = self.output.lines().collect();
        let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("fail  "));
        pairs.map(|pair| pair.join("\n")).collect()
    }
}

fn check(dir: &Path, more: &[&str]) -> Result<Verdict> {
    let program = env!("CARGO_BIN_EXE_tidekeeper");
    let ran = Command::new(program).arg("check").arg("--config").arg(dir).args(more).output()?;
    let output = String::from_utf8(ran.stdout)?;
    Ok(Verdict { status: ran.status.code(), output })
}

/// A mistake in the first chain's file.
struct Mistake {
    old: String,
    new: String,
    /// The row that fails, and no other.
    row: &'static str,
    /// What its failures and remedies say.
    told: Vec<String>,
}

fn mistakes(world: &World) -> Result<Vec<Mistake>> {
    let c = world.manifest.chains.first().context("the world has no chain")?.contracts;
    let router = |at| format!("router = \"{at}\"");
    let router02 = |at| format!("router02 = \"{at}\"");
    let quoter = |at| format!("quoter = \"{at}\"");
    let usdt = |decimals| format!("address = \"{}\"\ndecimals = {decimals}\n", c.usdt);
    let pool = |fee| format!("dex = \"uniswap_v3\", pair = \"WETH/USDT\", fee_pips = {fee} }}");
    Ok(vec![
        Mistake {
            old: router(c.swap_router),
            new: router(c.v2_router),
            row: "chains.demo.dex.uniswap_v3.router",
            told: vec![
                format!("factory() is {}, not {}", c.v2_factory, c.v3_factory),
                "correct chains.demo.dex.uniswap_v3.router (".to_owned(),
                "WETH9()".to_owned(),
            ],
        },
        Mistake {
            old: router(c.swap_router),
            new: router(c.swap_router02),
            row: "chains.demo.dex.uniswap_v3.router",
            told: vec![
                "answers positionManager(), as SwapRouter02 alone does".to_owned(),
                "correct chains.demo.dex.uniswap_v3.router (".to_owned(),
            ],
        },
        Mistake {
            old: router(c.swap_router),
            new: router02(c.swap_router),
            row: "chains.demo.dex.uniswap_v3.router02",
            told: vec![
                "positionManager(): ".to_owned(),
                "correct chains.demo.dex.uniswap_v3.router02 (".to_owned(),
            ],
        },
        Mistake {
            old: quoter(c.quoter),
            new: quoter(world.manifest.signer),
            row: "chains.demo.dex.uniswap_v3.quoter",
            told: vec![format!("no code at {}", world.manifest.signer)],
        },
        Mistake {
            old: usdt(6),
            new: usdt(8),
            row: "chains.demo.tokens.USDT.address",
            told: vec![
                "decimals() is 6, not 8".to_owned(),
                "correct chains.demo.tokens.USDT.decimals (".to_owned(),
            ],
        },
        Mistake {
            old: pool(3_000),
            new: pool(10_000),
            row: "chains.demo.pools.allow[1]",
            told: vec![
                format!("uniswap_v3 WETH/USDT 10000: the factory {} has no such", c.v3_factory),
                "correct chains.demo.pools.allow[1].fee_pips (".to_owned(),
            ],
        },
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn true_files_pass_online_and_each_mistake_is_named() -> Result<()> {
    let mut world = stage::world("online").await?;
    pools::every_verb_answers(&world)?;
    world.stop_flow();
    let right = check(&world.config_dir, &["--online"])?;
    ensure!(right.status == Some(0) && right.failures().is_empty(), "{}", right.output);
    for chain in ["demo", "demo-two"] {
        let n_rows = right.n_right(&format!("chains.{chain}."));
        ensure!(n_rows == ROWS_OF_A_CHAIN, "{n_rows} rows of {chain}\n{}", right.output);
        ensure!(right.n_right(&format!("endpoint {chain}/")) == 1, "{}", right.output);
    }
    ensure!(right.output.contains(r#"symbol() is "USDT""#), "{}", right.output);
    let path = world.config_dir.join("chains/demo.toml");
    let good = fs::read_to_string(&path)?;
    for mistake in mistakes(&world)? {
        ensure!(good.contains(&mistake.old), "the file has no {}", mistake.old);
        fs::write(&path, good.replacen(&mistake.old, &mistake.new, 1))?;
        named(&world.config_dir, &mistake)?;
    }
    odd_pools_are_told(&world, &path, &good).await?;
    other_chain_or_none(&world, &path, &good)?;
    fs::write(&path, &good)?;
    probe::a_token_with_a_fee_stops_an_agent(&mut world).await
}

/// The files with a mistake pass alone and fail online, by the name of the mistake.
fn named(dir: &Path, mistake: &Mistake) -> Result<()> {
    ensure!(check(dir, &[])?.status == Some(0), "the files alone look right");
    let verdict = check(dir, &["--online"])?;
    let failures = verdict.failures();
    ensure!(verdict.status == Some(CHECK_FAILED) && !failures.is_empty(), "{}", verdict.output);
    let begin = format!("fail  {} ", mistake.row);
    for failure in &failures {
        ensure!(failure.starts_with(&begin), "want {begin}, have {failure}");
        ensure!(failure.contains("demo.toml:"), "no place: {failure}");
    }
    for words in &mistake.told {
        ensure!(failures.iter().any(|line| line.contains(words)), "{words}: {failures:#?}");
    }
    Ok(())
}

/// Pools that somebody opens, one at an end of the protocol and one empty: the files are right, and
/// what keeps a keeper from trading there is told.
async fn odd_pools_are_told(world: &World, path: &Path, good: &str) -> Result<()> {
    let site = world.manifest.chains.first().context("the world has no chain")?;
    let (provider, c) = (chain::connect(&site.rpc_http)?, site.contracts);
    let accounts: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
    let from = *accounts.first().context("no account")?;
    let fee_pips = 10_000;
    let mut text = good.to_owned();
    for (coin, pair, tick) in [(c.usdt, "WETH/USDT", 880_000), (c.usdc, "WETH/USDC", 0)] {
        let fee = U24::from(fee_pips);
        let create = PoolFactory::createPoolCall { tokenA: c.weth, tokenB: coin, fee };
        let open = Pool::initializeCall { sqrtPriceX96: sqrt_price_at(tick)?.to() };
        let pool = pool_address(c.v3_factory, c.weth, coin, fee_pips);
        chain::send(&provider, &Deed::call(from, c.v3_factory, &create)).await?;
        chain::send(&provider, &Deed::call(from, pool, &open)).await?;
        let row =
            format!("  {{ dex = \"uniswap_v3\", pair = \"{pair}\", fee_pips = {fee_pips} }},");
        text = text.replacen("allow = [\n", &format!("allow = [\n{row}\n"), 1);
    }
    fs::write(path, text)?;
    let verdict = check(&world.config_dir, &["--online"])?;
    ensure!(verdict.status == Some(0), "{}", verdict.output);
    for words in [
        "its tick 880000 is within 1 % of the protocol's ends",
        "it has no liquidity at its price",
        "nothing is swapped in it while that is so; else take it out of chains.demo.pools.allow[0]",
    ] {
        ensure!(verdict.output.contains(words), "{words}: {}", verdict.output);
    }
    Ok(())
}

/// An endpoint of another chain, and one where nobody listens: the other chain is asked all the
/// same, and no address of an endpoint is told.
fn other_chain_or_none(world: &World, path: &Path, good: &str) -> Result<()> {
    let [one, two] = &world.manifest.chains[..] else { bail!("not two chains") };
    let silent = "http://127.0.0.1:1";
    for (url, told) in [(two.rpc_http.as_str(), "is chain 31338"), (silent, "eth_chainId: ")] {
        fs::write(path, good.replacen(&one.rpc_http, url, 1))?;
        let verdict = check(&world.config_dir, &["--online"])?;
        let failures = verdict.failures();
        ensure!(verdict.status == Some(CHECK_FAILED), "{}", verdict.output);
        let [endpoint, chain] = &failures[..] else { bail!("{failures:#?}") };
        ensure!(endpoint.starts_with("fail  endpoint demo/anvil "), "{endpoint}");
        ensure!(endpoint.contains(told), "{endpoint}");
        ensure!(chain.starts_with("fail  chain demo ") && chain.contains("anvil ("), "{chain}");
        ensure!(failures.iter().all(|line| !line.contains(url)), "{failures:#?}");
        ensure!(verdict.n_right("chains.demo-two.") == ROWS_OF_A_CHAIN, "{}", verdict.output);
    }
    Ok(())
}
