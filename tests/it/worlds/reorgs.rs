//! A real chain takes blocks back, under a running agent and while it is down; the chain's own
//! records and a reconciler that shares no code say whether the books still agree.

use std::time::Duration;

use alloy::primitives::Address;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rust_decimal::dec;
use serde_json::Value;
use sqlx::PgPool;
use tidekeeper::io::clock;
use tidekeeper::world::agent::Site;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;
use tidekeeper::world::manifest::{Dex, PoolSite};
use tidekeeper::world::price::Given;
use tidekeeper::world::report;
use tidekeeper::world::trade::{self, Trade};

use super::stage;

/// Blocks taken back; the first time right after our own mint.
const DEPTHS: [u64; 4] = [16, 1, 5, 2];
const FIRST_CHAIN: u64 = 31_337;
/// One of the traders of the flow, which has stopped by then.
const TRADER: usize = 3;
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
    take_back_a_traded_leg(&world, &site).await?;
    judge(&world, &site).await?;
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    Ok(())
}

fn has_position(snapshot: &Value) -> bool {
    let positions = snapshot["positions"].as_array().cloned().unwrap_or_default();
    positions.iter().any(|p| p["state"] == "open" && p["chain_id"] == 31_337)
}

/// The first chain replaces its newest blocks by empty ones. anvil counts their times on from the
/// block below, so that its clock is late afterwards: it is set, or the chain would not be live.
async fn take_back(world: &World, depth: u64) -> Result<()> {
    let site = world.manifest.chains.first().context("no chain")?;
    let provider = chain::connect(&site.rpc_http)?;
    let none: [Value; 0] = [];
    let _: Value = chain::raw(&provider, "anvil_reorg", (depth, none)).await?;
    let now_s = clock::now().ms() / 1_000;
    let _: Value = chain::raw(&provider, "anvil_setTime", (now_s,)).await?;
    Ok(())
}

/// Somebody lifts a pool above the exchange; the agent swaps there and trades the leg. Then both
/// blocks are gone: the swap finds no gap any more, and what the exchange traded is traded back.
async fn take_back_a_traded_leg(world: &World, site: &Site) -> Result<()> {
    world.stop_flow();
    let lifted = lift_pool(world).await?;
    let is_closed = |s: &Value| leg(s, "landed", "closed").is_some();
    let closed = site.wait_for("a swap and its leg", DEED_TIMEOUT, is_closed).await?;
    let id = leg(&closed, "landed", "closed").context("it was there")?["id"].clone();
    let first = closed["chains"].as_array().context("no chains")?;
    let first = first.iter().find(|chain| chain["chain_id"] == FIRST_CHAIN).context("no chain")?;
    let head = first["head"].as_u64().context("no head")?;
    // The block in which the gap was made goes as well.
    take_back(world, head.saturating_sub(lifted) + 1).await?;
    let is_back = |s: &Value| leg(s, "reverted", "closed, 0 traded").is_some_and(|o| o["id"] == id);
    site.wait_for("the leg to be traded back", DEED_TIMEOUT, is_back).await?;
    agree(site).await.context("after a traded leg was traded back")
}

/// An opportunity against the exchange of this fate, whose leg stands so.
fn leg(snapshot: &Value, fate: &str, state: &str) -> Option<Value> {
    let seen = snapshot["arbitrage"]["opportunities"].as_array()?.iter();
    let is_it = |o: &&Value| {
        let hedge = o["hedge"].as_str().unwrap_or_default();
        o["kind"] == "venue" && o["fate"] == fate && hedge.contains(state)
    };
    seen.into_iter().find(is_it).cloned()
}

/// Buys in the shallower V3 pool until its price stands one percent above; the block of that.
async fn lift_pool(world: &World) -> Result<u64> {
    let site = world.manifest.chains.first().context("no chain")?;
    let provider = chain::connect(&site.rpc_http)?;
    let is_shallow = |pool: &&PoolSite| pool.dex == Dex::UniswapV3 && pool.fee_pips == 3_000;
    let pool = *site.pools.iter().find(is_shallow).context("no such pool")?;
    let accounts: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
    let from = *accounts.get(TRADER).context("no trader")?;
    let view = trade::look(&provider, &site.contracts, &pool).await?;
    let price = view.price * dec!(1.01);
    let sqrt_price_limit_x96 = trade::limit_at(&site.contracts, &pool, price)?;
    let given = Given::Quote;
    let amount = view.depth_of(given);
    let swap = Trade { pool, from, given, amount, sqrt_price_limit_x96 };
    trade::provide(&provider, &site.contracts, &swap).await?;
    let receipt = chain::send(&provider, &trade::deed(&site.contracts, &swap)?).await?;
    receipt.block_number.context("it is in no block")
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
    site.halt_until_quiet("the test is over", AGREE_TIMEOUT).await?;
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
