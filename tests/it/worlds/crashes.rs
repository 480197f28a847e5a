//! The agent is killed, again and again, wherever it hurts; the records of the chain and of the
//! exchange say whether anything was lost or done twice, and every run comes to the same again.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy::primitives::U64;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sqlx::Row;
use tidekeeper::io::clock;
use tidekeeper::io::process::Child;
use tidekeeper::world::agent::Site;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;
use tidekeeper::world::report;

use super::{hands, stage};

/// Points between a decision and its acknowledgement, each visited so often.
const POINTS: [&str; 4] = ["before_commit", "after_commit", "after_send", "before_acknowledgement"];
const ROUNDS: usize = 2;
/// Kills at a moment nobody chose.
const RANDOM_KILLS: u64 = 12;
/// A narrow range in a moving market acts at least so often.
const DEED_TIMEOUT: Duration = Duration::from_secs(60);
/// Patience for the end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_nothing_is_lost_and_nothing_is_done_twice() -> Result<()> {
    let mut world = stage::world("crashes").await?;
    let nonce_before = nonce(&world).await?;
    let mut n_kills = 0;
    for round in 0..ROUNDS {
        for point in POINTS {
            let agent = world.start_agent(Some(point))?;
            let ended = wait(&agent, DEED_TIMEOUT).await;
            ensure!(ended, "round {round}: the agent never came to {point}");
            n_kills += 1;
        }
    }
    for n in 0..RANDOM_KILLS {
        let agent = world.start_agent(None)?;
        // 0.3 to 4.4 s, spread without a pattern that matches anything in the agent.
        let after_ms = 300 + (n * 2_654_435_761 % 4_100);
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        agent.signal(Signal::SIGKILL)?;
        ensure!(wait(&agent, DEED_TIMEOUT).await, "SIGKILL did not end the agent");
        n_kills += 1;
    }
    assert_eq!(n_kills, 20);
    hands::buy_spot(&world).await?;
    let (agent, site) = stage::agent(&mut world).await?;
    hands::sell_contracts(&world).await?;
    come_to_rest(&world, &site).await?;
    judge(&world, &site, nonce_before).await?;
    hands::are_external(&world).await?;
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    super::replays::all_come_to_the_same(&world.state_dir).await
}

async fn wait(agent: &Child, limit: Duration) -> bool {
    let began = std::time::Instant::now();
    while agent.is_running() {
        if began.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// Transactions the signer ever made, by the chains' own counts.
async fn nonce(world: &World) -> Result<i64> {
    let mut sum = 0;
    for site in &world.manifest.chains {
        let provider = chain::connect(&site.rpc_http)?;
        let signer = (world.manifest.signer, "latest");
        let count: U64 = chain::raw(&provider, "eth_getTransactionCount", signer).await?;
        sum += count.to::<i64>();
    }
    Ok(sum)
}

async fn come_to_rest(world: &World, site: &Site) -> Result<()> {
    world.stop_flow();
    site.halt_until_quiet("the test is over", SETTLE_TIMEOUT).await?;
    world.freeze_exchange(true).await?;
    let since = clock::now().ms();
    let is_settled = |snapshot: &serde_json::Value| stage::is_settled(snapshot, since + 1_500);
    site.wait_for("everything to rest", SETTLE_TIMEOUT, is_settled).await?;
    Ok(())
}

async fn judge(world: &World, site: &Site, nonce_before: i64) -> Result<()> {
    let snapshot = site.get("snapshot").await?;
    let own = stage::differences(&snapshot["reconciliation"]["rows"]);
    ensure!(own.is_empty(), "our own reconciliation differs: {own:?}");
    let independent = report::independent(&world.dir).await?;
    let others = stage::differences(&independent);
    ensure!(others.is_empty(), "the independent reconciliation differs: {others:?}");

    let database = stage::database(world).await?;
    let stored: BTreeSet<String> = sqlx::query("select client_order_id from orders")
        .fetch_all(&database)
        .await?
        .iter()
        .map(|row| row.try_get("client_order_id"))
        .collect::<Result<_, _>>()?;
    let placed = stage::all_orders(world).await?;
    let mut seen = BTreeSet::new();
    for order in &placed {
        let id = order["clientOrderId"].as_str().context("an order without our id")?;
        ensure!(seen.insert(id.to_owned()), "order {id} was placed twice");
        let is_ours = !hands::IDS.contains(&id);
        ensure!(stored.contains(id) == is_ours, "order {id} was placed without a record");
    }
    ensure!(!placed.is_empty(), "no order was ever placed: the test proved nothing");
    let open: i64 = sqlx::query_scalar("select count(*) from orders where is_open")
        .fetch_one(&database)
        .await?;
    ensure!(open == 0, "{open} orders have no outcome");

    let booked: BTreeSet<i64> = sqlx::query_scalar("select trade_id from fills")
        .fetch_all(&database)
        .await?
        .into_iter()
        .collect();
    let trades: BTreeSet<i64> =
        stage::all_trades(world).await?.iter().filter_map(|trade| trade["id"].as_i64()).collect();
    ensure!(booked == trades, "trades booked {booked:?}, trades made {trades:?}");

    // One nonce, one transaction; the chain's count says that none is missing and none is foreign.
    let (slots, pending): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where state in ('signed', 'broadcast')) from tx_slots",
    )
    .fetch_one(&database)
    .await?;
    let made = nonce(world).await? - nonce_before;
    ensure!(slots == made, "{slots} slots stored, {made} transactions on chain");
    ensure!(pending == 0, "{pending} slots were never mined");
    ensure!(slots > 0, "no transaction was ever sent: the test proved nothing");
    let open: i64 = sqlx::query_scalar(
        "select coalesce(max(n), 0) from (
             select count(*) as n from positions where closed_at is null group by chain_id
         ) as by_chain",
    )
    .fetch_one(&database)
    .await?;
    ensure!(open <= 1, "{open} positions are open on one chain: a range was opened twice");
    Ok(())
}
