//! Mode paper in a world that stands: the agent has no key, acts in pretend accounts, and neither
//! the chains nor the exchange notice. Killed, it goes on; its books are of no other mode.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::U256;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tidekeeper::io::process::Child;
use tidekeeper::sim::paper;
use tidekeeper::world::agent::{AgentPlan, Site};
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;

use super::stage;

/// Patience for a range on each chain and a filled hedge.
///
/// A range here is five ticks wide: when the price moves between an approval and the next block,
/// another swap is planned, and another approval after it, of two seconds each on the slow chain.
const WORK_TIMEOUT: Duration = Duration::from_secs(150);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The keeper's name in the demo's files.
const KEEPER: &str = "demo";

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_keeper_works_in_a_world_that_does_not_notice() -> Result<()> {
    let mut world = stage::world("paper").await?;
    let before = nonces(&world).await?;
    let (agent, site) = start(&world).await?;
    let busy = site.wait_for("ranges and a hedge", WORK_TIMEOUT, is_at_work).await?;
    ensure!(busy["mode"] == "paper", "{}", busy["mode"]);
    let labels = busy["labels"].as_array().context("no labels")?;
    let has = |kind: &str| labels.iter().any(|label| label["kind"] == kind);
    ensure!(has("simulated") && has("assumed"), "{labels:?}");
    agrees(&busy)?;
    let n_entries = busy["ledger"]["entries"].as_u64();

    agent.stop(Signal::SIGKILL, KILL_TIMEOUT);
    let (agent, site) = start(&world).await?;
    let again = site.wait_for("the keeper to go on", WORK_TIMEOUT, is_at_work).await?;
    agrees(&again)?;
    ensure!(again["ledger"]["entries"].as_u64() >= n_entries, "the books were begun anew");
    agent.stop(Signal::SIGTERM, KILL_TIMEOUT);
    super::replays::all_come_to_the_same(&world.state_dir).await?;

    ensure!(nonces(&world).await? == before, "the signer made a transaction");
    let pretend = paper::address(KEEPER);
    for site in &world.manifest.chains {
        let provider = chain::connect(&site.rpc_http)?;
        let coins: U256 = chain::raw(&provider, "eth_getBalance", (pretend, "latest")).await?;
        let made: U256 =
            chain::raw(&provider, "eth_getTransactionCount", (pretend, "latest")).await?;
        ensure!(coins.is_zero() && made.is_zero(), "{pretend} is real on {}", site.name);
    }
    ensure!(stage::all_orders(&world).await?.is_empty(), "an order reached the exchange");

    // The demo's own agent has the keys, and another kind of money: it is refused before it writes
    // what it found in a file.
    let file = world.config_dir.join("strategies/demo-lp.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("\"0.03\"", "\"0.04\""))?;
    let real = world.start_agent(None)?;
    let refused = world.agent_site(&real).await.err().context("a real keeper took its books")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("about paper money of keeper demo"), "{said}");
    drop(real);
    fs::write(&file, &text)?;
    let (agent, site) = start(&world).await?;
    let told = site.get("strategies/demo-lp/versions").await?;
    ensure!(told["versions"].as_array().is_some_and(|all| all.len() == 1), "{told}");
    agent.stop(Signal::SIGTERM, KILL_TIMEOUT);
    Ok(())
}

/// Starts an agent in mode paper, with no key and no secret in its environment.
async fn start(world: &World) -> Result<(Child, Site)> {
    let is_secret = |name: &OsStr| name.to_string_lossy().starts_with("TK_");
    let inherited = std::env::vars_os().filter(|(name, _)| !is_secret(name));
    let mode = (OsString::from("TIDEKEEPER__AGENT__MODE"), OsString::from("paper"));
    let plan = AgentPlan {
        program: PathBuf::from(env!("CARGO_BIN_EXE_tidekeeper")),
        dir: world.dir.clone(),
        config_dir: world.config_dir.clone(),
        state_dir: world.state_dir.clone(),
        env: inherited.chain([mode]).collect(),
        labels: None,
    };
    let agent = plan.start(None)?;
    let site = plan.meet(&agent).await?.site;
    Ok((agent, site))
}

/// Running with a range on each chain, be it left by now, a hedge that was filled, and every pool
/// read twice.
fn is_at_work(snapshot: &Value) -> bool {
    let rows = |name: &str| snapshot[name].as_array().cloned().unwrap_or_default();
    let positions = rows("positions");
    let was_opened = |chain: u64| positions.iter().any(|p| p["chain_id"].as_u64() == Some(chain));
    stage::is_running(snapshot)
        && was_opened(31_337)
        && was_opened(31_338)
        && rows("pools").iter().all(|pool| pool["state"] == "live")
        && snapshot["orders_filled"].as_u64() >= Some(1)
}

fn agrees(snapshot: &Value) -> Result<()> {
    let rows = &snapshot["reconciliation"]["rows"];
    ensure!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "nothing was compared");
    let wrong = stage::differences(rows);
    ensure!(wrong.is_empty(), "the books differ from the pretend accounts: {wrong:?}");
    let pools = snapshot["pools"].as_array().context("no pools")?;
    let lost = pools.iter().find(|pool| pool["state"] == "quarantined");
    ensure!(lost.is_none(), "{lost:?}");
    Ok(())
}

/// Transactions the world's own signer made, by the chains' own counts.
async fn nonces(world: &World) -> Result<Vec<U256>> {
    let mut counts = Vec::new();
    for site in &world.manifest.chains {
        let provider = chain::connect(&site.rpc_http)?;
        let signer = (world.manifest.signer, "latest");
        counts.push(chain::raw(&provider, "eth_getTransactionCount", signer).await?);
    }
    Ok(counts)
}
