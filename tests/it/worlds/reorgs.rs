//! A real chain takes blocks back, under a running agent and while it is down; the chain's own
//! records and a reconciler that shares no code say whether the books still agree.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;
use tidekeeper::io::clock;
use tidekeeper::world::agent::Site;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;
use tidekeeper::world::report;

use super::stage;

/// Blocks taken back; the first time right after our own mint.
const DEPTHS: [u64; 4] = [16, 1, 5, 2];
/// Patience for a first position and a first cycle.
const DEED_TIMEOUT: Duration = Duration::from_secs(60);
/// Patience for the books to agree again.
const AGREE_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn blocks_a_chain_takes_back_are_undone_and_the_books_agree() -> Result<()> {
    let mut world = stage::world("reorgs").await?;
    let (agent, site) = stage::agent(&mut world).await?;
    let is_busy = |s: &Value| has_position(s) && s["arbitrage"]["landed"].as_u64() >= Some(1);
    site.wait_for("a position and a landed cycle", DEED_TIMEOUT, is_busy).await?;
    for depth in DEPTHS {
        take_back(&world, depth).await?;
        agree(&site).await.with_context(|| format!("after {depth} blocks were taken back"))?;
    }
    let database = stage::database(&world).await?;
    let noted = reorganisations(&database).await?;
    ensure!(noted >= DEPTHS.len() as i64, "{noted} reorganisations were noted");
    ensure!(reversed_mints(&database).await? >= 1, "no mint of ours was taken back");
    database.close().await;

    agent.signal(Signal::SIGKILL)?;
    while agent.is_running() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    take_back(&world, 8).await?;
    let (agent, site) = stage::agent(&mut world).await?;
    let database = stage::database(&world).await?;
    ensure!(reorganisations(&database).await? > noted, "the start did not see the removal");
    agree(&site).await.context("after a start on another branch")?;
    judge(&world, &site).await?;
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    Ok(())
}

fn has_position(snapshot: &Value) -> bool {
    let positions = snapshot["positions"].as_array().cloned().unwrap_or_default();
    positions.iter().any(|p| p["state"] == "open" && p["chain_id"] == 31_337)
}

/// The first chain replaces its newest blocks by empty ones.
async fn take_back(world: &World, depth: u64) -> Result<()> {
    let site = world.manifest.chains.first().context("no chain")?;
    let provider = chain::connect(&site.rpc_http)?;
    let none: [Value; 0] = [];
    let _: Value = chain::raw(&provider, "anvil_reorg", (depth, none)).await?;
    Ok(())
}

async fn agree(site: &Site) -> Result<()> {
    // Long enough for the removal to be seen: until then the old comparison still stands.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let is_whole = |s: &Value| stage::is_running(s) && s["reconciliation"]["ok"] == true;
    site.wait_for("the books to agree", AGREE_TIMEOUT, is_whole).await?;
    Ok(())
}

async fn reorganisations(database: &PgPool) -> Result<i64> {
    let count = "select count(*) from notes where kind = 'reorganised'";
    Ok(sqlx::query_scalar(count).fetch_one(database).await?)
}

async fn reversed_mints(database: &PgPool) -> Result<i64> {
    let count = "select count(*) from entries
                 join entries as reversal on reversal.cause = entries.id::text
                 where entries.kind = 'mint' and reversal.kind = 'reversal'";
    Ok(sqlx::query_scalar(count).fetch_one(database).await?)
}

/// Everything rests; both reconcilers agree to the unit.
async fn judge(world: &World, site: &Site) -> Result<()> {
    world.stop_flow();
    site.direct("halt", "the test is over").await?;
    world.freeze_exchange(true).await?;
    let since = clock::now().ms();
    let is_settled = |snapshot: &Value| stage::is_settled(snapshot, since + 1_500);
    let snapshot = site.wait_for("everything to rest", AGREE_TIMEOUT, is_settled).await?;
    let own = stage::differences(&snapshot["reconciliation"]["rows"]);
    ensure!(own.is_empty(), "our own reconciliation differs: {own:?}");
    let others = stage::differences(&report::independent(&world.dir).await?);
    ensure!(others.is_empty(), "the independent reconciliation differs: {others:?}");
    Ok(())
}
