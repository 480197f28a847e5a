//! `fork` of a world that is itself a chain to be forked: the books of the agent in the fork agree,
//! the origin does not notice, and its endpoint's key is nowhere; an unknown chain is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use alloy::primitives::{U64, U256};
use alloy::providers::DynProvider;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;
use tidekeeper::world::fork::UPSTREAM_VARIABLE;
use tokio::process::Command;

use super::stage;

/// Long enough for a hedge and for the first transactions.
const N_BLOCKS: u64 = 20;
/// Patience for one run, reading all pools included.
const RUN_TIMEOUT: Duration = Duration::from_secs(240);
/// What an endpoint's address must not show; anvil does not look at it.
const KEY: &str = "the-key-of-the-endpoint";
/// Exit status of a command line that does not fit the files.
const USAGE: i32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_a_fork_agree_and_its_origin_does_not_notice() -> Result<()> {
    let world = stage::world("fork_origin").await?;
    world.stop_flow();
    let site = world.manifest.chains.first().context("the world has no chain")?;
    let origin = chain::connect(&site.rpc_http)?;
    let before = of_signer(&origin, &world).await?;
    let block = chain::head(&origin).await?.number;
    let dir = target("fork");
    let (at, n_blocks) = (block.to_string(), N_BLOCKS.to_string());
    let more = ["--chain", &site.name, "--block", &at, "--blocks", &n_blocks];
    let endpoint = format!("{}/?key={KEY}", site.rpc_http);
    let ran = fork(&world.config_dir, &dir, &endpoint, &more).await?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{said}");

    let report: Value = serde_json::from_str(&fs::read_to_string(dir.join("report.json"))?)?;
    let told = &report["fork"];
    assert_eq!((&told["chain"], &told["block"]), (&json!(site.name), &json!(block)));
    let asked = (U64::from(block), false);
    let pinned: Value = chain::raw(&origin, "eth_getBlockByNumber", asked).await?;
    assert_eq!(told["block_hash"], pinned["hash"]);
    ensure!(told["blocks"].as_u64() >= Some(N_BLOCKS), "only {} blocks", told["blocks"]);
    ensure!(told["endpoint"]["reads"].as_u64() >= Some(1), "nothing was read");
    assert_eq!(told["endpoint"]["refused"], 0);
    for rows in ["reconciliation", "independent_reconciliation"] {
        let n_rows = report[rows].as_array().map_or(0, Vec::len);
        ensure!(n_rows > 0, "{rows} compared nothing");
        let wrong = stage::differences(&report[rows]);
        ensure!(wrong.is_empty(), "{rows} differs: {wrong:?}");
    }
    ensure!(report["orders"]["hedge"]["filled"].as_u64() >= Some(1), "nothing was hedged");
    // Two openings and a fill come without a transaction of ours.
    ensure!(report["ledger"]["entries"].as_u64() > Some(3), "nothing was done on the chain");

    assert_eq!(of_signer(&origin, &world).await?, before, "the origin noticed");
    let signer = told["signer"].as_str().context("no signer is told")?;
    let foreign: U256 = chain::raw(&origin, "eth_getBalance", (signer, "latest")).await?;
    ensure!(foreign.is_zero(), "the fork's signer has money at the origin");
    ensure!(!said.contains(KEY) && !String::from_utf8_lossy(&ran.stdout).contains(KEY), "{said}");
    for file in files_below(&dir)? {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        ensure!(!text.contains(KEY), "{} holds the endpoint's key", file.display());
    }
    Ok(())
}

#[tokio::test]
async fn a_fork_of_an_unknown_chain_is_refused_by_name() -> Result<()> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = target("fork_unknown");
    let ran = fork(samples, &dir, "http://127.0.0.1:1", &["--chain", "etherium"]).await?;
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(USAGE), "{said}");
    for part in ["\"etherium\"", "ethereum", "base"] {
        ensure!(said.contains(part), "{part} is not told: {said}");
    }
    ensure!(!dir.exists(), "something was written");
    Ok(())
}

fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

async fn fork(config: &Path, dir: &Path, endpoint: &str, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidekeeper"));
    command.arg("fork").arg("--config").arg(config).arg("--dir").arg(dir).args(more);
    command.env(UPSTREAM_VARIABLE, endpoint).stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(RUN_TIMEOUT, command.output()).await;
    Ok(ran.context("the fork takes too long")??)
}

/// What the world's own signer did and holds: transactions, native coins, tokens.
async fn of_signer(origin: &DynProvider, world: &World) -> Result<(U256, U256, Vec<U256>)> {
    let signer = world.manifest.signer;
    let contracts = world.manifest.chains.first().context("the world has no chain")?.contracts;
    let nonce: U256 = chain::raw(origin, "eth_getTransactionCount", (signer, "latest")).await?;
    let coins: U256 = chain::raw(origin, "eth_getBalance", (signer, "latest")).await?;
    let mut tokens = Vec::new();
    for token in [contracts.weth, contracts.usdt, contracts.usdc] {
        tokens.push(chain::call(origin, token, &Erc20::balanceOfCall(signer)).await?);
    }
    Ok((nonce, coins, tokens))
}

/// Every file of the run but the agent's state, whose database is closed by then.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        } else if !path.ends_with("state") {
            files.extend(files_below(&path)?);
        }
    }
    Ok(files)
}
