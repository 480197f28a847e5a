//! Weather: stolen units, cut sockets, a frozen database, a stopped chain. States say so,
//! nothing is traded meanwhile, and all recovers by itself.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rust_decimal::dec;
use serde_json::{Value, json};
use tidekeeper::io::clock;
use tidekeeper::model::order::{Side, TimeInForce};
use tidekeeper::venues::binance::Dialect;
use tidekeeper::venues::binance::orders::{NewOrder, Pricing, Reach};
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::world::agent::Site;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;

use super::stage;
use crate::openapi;

/// Resting orders are gone this long after the database froze.
const CANCELLED_WITHIN_MS: i64 = 250;
/// The database freezes at most so often until they are.
const FREEZES_MAX: usize = 3;
const NOTICE_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn one_stolen_wei_and_one_stolen_step_turn_reconciliation_red() -> Result<()> {
    let mut world = stage::world("theft").await?;
    let (_agent, site) = stage::agent(&mut world).await?;
    site.halt_until_quiet("a quiet moment for thieves", NOTICE_TIMEOUT).await?;
    let is_quiet = |s: &Value| s["is_quiet"] == true && s["reconciliation"]["ok"] == true;
    site.wait_for("a quiet moment", NOTICE_TIMEOUT, is_quiet).await?;
    steal_wei(&world, 1).await?;
    let is_red = |s: &Value| s["reconciliation"]["ok"] == false;
    let red = site.wait_for("the theft to be seen", NOTICE_TIMEOUT, is_red).await?;
    let rows = stage::differences(&red["reconciliation"]["rows"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["difference"], &rows[0]["unit"]),
        (&json!("-1"), &json!("eip155:31337/native"))
    );
    steal_wei(&world, -1).await?;
    site.wait_for("the wei to be back", NOTICE_TIMEOUT, is_quiet).await?;
    let theft = json!({ "adjust": { "account": "usdm", "asset": "USDT", "steps": -1 } });
    world.control("fault", &theft).await?;
    let red = site.wait_for("the second theft to be seen", NOTICE_TIMEOUT, is_red).await?;
    let rows = stage::differences(&red["reconciliation"]["rows"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["difference"], &rows[0]["unit"]),
        (&json!("-1"), &json!("venue:hedge/USDT"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_stopped_leaves_no_quote_behind() -> Result<()> {
    let mut world = stage::world("farewell").await?;
    let (agent, _) = stage::agent(&mut world).await?;
    let began = Instant::now();
    while open_quotes(&world).await?.is_empty() {
        ensure!(began.elapsed() < NOTICE_TIMEOUT, "no quote ever rested");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    let left = open_quotes(&world).await?;
    ensure!(left.is_empty(), "they rest with nobody behind them: {left:?}");
    Ok(())
}

async fn open_quotes(world: &World) -> Result<Vec<Value>> {
    let orders = stage::ask_venue(world, &Dialect::Spot.open_orders("ETHUSDT")).await?;
    Ok(orders.as_array().context("no list of orders")?.clone())
}

/// Takes wei out of the signer's account, as no transaction could.
async fn steal_wei(world: &World, wei: i64) -> Result<()> {
    let provider = chain::connect(&world.manifest.chains[0].rpc_http)?;
    let signer = world.manifest.signer;
    let held: U256 = chain::raw(&provider, "eth_getBalance", (signer, "latest")).await?;
    let left = if wei >= 0 {
        held - U256::from(wei.unsigned_abs())
    } else {
        held + U256::from(wei.unsigned_abs())
    };
    let _: Value = chain::raw(&provider, "anvil_setBalance", (signer, left)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_has_resting_orders_cancelled_in_time_and_recovers() -> Result<()> {
    let mut world = stage::world("frozen_database").await?;
    let (_agent, site) = stage::agent(&mut world).await?;
    let order = NewOrder {
        symbol: "ETHUSDT".into(),
        client_order_id: "restingorderofthetest".into(),
        side: Side::Buy,
        quantity: dec!(0.1),
        pricing: Pricing::Limit { price: dec!(2650), time_in_force: TimeInForce::Gtc },
        reach: Reach::Any,
    };
    // A machine that stands still for a moment makes one of them late, or has the order cancelled
    // before; not each.
    let mut late = Vec::new();
    while late.len() < FREEZES_MAX {
        let cancelled_after = freeze(&world, &site, &order).await?;
        println!("cancelled {cancelled_after} ms after the database froze");
        if (0..=CANCELLED_WITHIN_MS).contains(&cancelled_after) {
            return Ok(());
        }
        late.push(cancelled_after);
    }
    bail!("cancelled after {late:?} ms")
}

/// The database freezes while an order rests: how long after that it was cancelled, in ms.
async fn freeze(world: &World, site: &Site, order: &NewOrder) -> Result<i64> {
    // Where the machine is slow the keeper may cancel all for a moment, and ours with it.
    let began = Instant::now();
    while open_orders(world).await? == 0 {
        ensure!(began.elapsed() < NOTICE_TIMEOUT, "the order does not rest");
        site.wait_for("the agent to run", NOTICE_TIMEOUT, stage::is_running).await?;
        stage::ask_venue(world, &Dialect::UsdM.place(order)?).await?;
    }
    let servers = postgres_processes(world)?;
    ensure!(servers.len() > 1, "no server processes were found");
    let frozen = clock::now();
    for pid in &servers {
        kill(*pid, Signal::SIGSTOP)?;
    }
    let gone = wait_until_gone(world).await;
    let paused =
        site.wait_for("trading to stop", NOTICE_TIMEOUT, |s| s["state"]["kind"] == "paused").await;
    for pid in &servers {
        kill(*pid, Signal::SIGCONT)?;
    }
    let cancelled_after = gone? - frozen.ms();
    paused?;
    site.wait_for("the agent to recover", NOTICE_TIMEOUT, stage::is_running).await?;
    Ok(cancelled_after)
}

async fn open_orders(world: &World) -> Result<usize> {
    let orders = stage::ask_venue(world, &Dialect::UsdM.open_orders("ETHUSDT")).await?;
    Ok(orders.as_array().map_or(0, Vec::len))
}

/// The instant at which the exchange itself says that it cancelled the order.
async fn wait_until_gone(world: &World) -> Result<i64> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let orders = stage::all_orders(world).await?;
        let ours = orders.iter().rfind(|o| o["clientOrderId"] == "restingorderofthetest");
        let ours = ours.context("the exchange forgot the order")?;
        if ours["status"] == "CANCELED" {
            return ours["updateTime"].as_i64().context("no time of the cancel");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the order still rests after 10 s")
}

/// The server and all its children.
fn postgres_processes(world: &World) -> Result<Vec<Pid>> {
    let mut homes = vec![world.state_dir.join("pg")];
    if let Ok(elsewhere) = std::fs::read_to_string(world.state_dir.join("pg/elsewhere")) {
        homes.push(elsewhere.trim().into());
    }
    let pid_file = homes
        .iter()
        .flat_map(|home| [home.join("data/postmaster.pid"), home.join("pg/data/postmaster.pid")])
        .find(|path| path.exists())
        .with_context(|| format!("no postmaster.pid below {homes:?}"))?;
    let text = std::fs::read_to_string(pid_file)?;
    let postmaster: i32 = text.lines().next().context("an empty pid file")?.trim().parse()?;
    let mut pids = vec![Pid::from_raw(postmaster)];
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(&postmaster.to_string()) {
            pids.push(Pid::from_raw(pid));
        }
    }
    Ok(pids)
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_sockets_and_a_stopped_chain_are_told_and_recover() -> Result<()> {
    let mut world = stage::world("weather").await?;
    let (agent, site) = stage::agent(&mut world).await?;
    let whole = site.wait_for("all streams to be live", NOTICE_TIMEOUT, is_whole).await?;
    for path in ["report", "snapshot", "status", "risk"] {
        openapi::assert_described(path, &site.get(path).await?);
    }
    a_pool_is_told_in_full(&site).await?;
    let before = resyncs(&whole);
    world.control("fault", &json!({ "drop_ws": true })).await?;
    let is_cut = |s: &Value| !stage::is_running(s) || resyncs(s) > before || any_feed_down(s);
    site.wait_for("the cut to be told", NOTICE_TIMEOUT, is_cut).await?;
    site.wait_for("the streams to be back", NOTICE_TIMEOUT, is_whole).await?;

    world.anvils[0].signal(Signal::SIGSTOP)?;
    let is_stale = |s: &Value| s["chains"][0]["feed"] != "live";
    let stale = site.wait_for("the chain to be stale", NOTICE_TIMEOUT, is_stale).await;
    let n_before = count_transactions(&site.get("snapshot").await?);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let n_after = count_transactions(&site.get("snapshot").await?);
    world.anvils[0].signal(Signal::SIGCONT)?;
    stale?;
    assert_eq!(n_before, n_after, "a transaction was made on a chain that stands still");
    site.wait_for("the chain to be back", NOTICE_TIMEOUT, is_whole).await?;

    ensure!(agent.is_running(), "the agent did not survive the weather");
    gifts_are_deposits(&world, &site).await
}

/// What others send is booked as theirs: no difference, and no profit.
async fn gifts_are_deposits(world: &World, site: &Site) -> Result<()> {
    for account in ["spot", "usdm"] {
        let gift = json!({ "account": account, "asset": "USDT", "amount": "12.5" });
        world.control("fault", &json!({ "deposit": gift })).await?;
    }
    let provider = chain::connect(&world.manifest.chains[0].rpc_http)?;
    let mint = Erc20::mintCall { to: world.manifest.signer, value: U256::from(7_000_000) };
    let usdt = world.manifest.chains[0].contracts.usdt;
    let giver: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
    let giver = *giver.first().context("anvil has no accounts")?;
    chain::send(&provider, &chain::Deed::call(giver, usdt, &mint)).await?;
    let deposits = |s: &Value| {
        let entries = s["ledger"]["last"].as_array().cloned().unwrap_or_default();
        entries.iter().filter(|entry| entry["kind"] == "deposit").count()
    };
    let is_booked = |s: &Value| deposits(s) == 3 && is_whole(s);
    site.wait_for("three gifts to be booked", NOTICE_TIMEOUT, is_booked).await?;
    Ok(())
}

fn resyncs(snapshot: &Value) -> u64 {
    let venues = snapshot["venues"].as_array().cloned().unwrap_or_default();
    venues.iter().filter_map(|venue| venue["resyncs"].as_u64()).sum()
}

fn any_feed_down(snapshot: &Value) -> bool {
    let books = snapshot["books"].as_array().cloned().unwrap_or_default();
    books.iter().any(|book| book["feed"] != "live")
}

fn is_whole(snapshot: &Value) -> bool {
    let has = |list: &str, field: &str| {
        let rows = snapshot[list].as_array().cloned().unwrap_or_default();
        !rows.is_empty() && rows.iter().all(|row| row[field] == "live")
    };
    has("chains", "feed")
        && has("books", "feed")
        && has("venues", "user_stream")
        && stage::is_running(snapshot)
        && snapshot["reconciliation"]["ok"] == true
}

/// What the page of a pool asks for, of the first V3 pool of the first chain.
async fn a_pool_is_told_in_full(site: &Site) -> Result<()> {
    let pools = site.get("pools").await?;
    let rows = pools["pools"].as_array().context("no pools")?;
    let row = rows.iter().find(|row| row["dex"] == "uniswap_v3").context("no V3 pool")?;
    let name = row["pool"].as_str().context("no address")?;
    let told = site.get(&format!("pools/{}/{name}", row["chain_id"])).await?;
    openapi::assert_described("pools/{chain}/{pool}", &told);
    ensure!(told["row"]["pool"] == name && told["price"].is_string(), "{told}");
    let steps = told["liquidity"].as_array().context("no liquidity")?;
    ensure!(steps.len() > 2 && told["depth"][2]["base"].is_string(), "{told}");
    Ok(())
}

/// Transactions on the first chain.
fn count_transactions(snapshot: &Value) -> usize {
    let rows = snapshot["transactions"].as_array().cloned().unwrap_or_default();
    rows.iter().filter(|row| row["chain_id"] == snapshot["chains"][0]["chain_id"]).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_lets_nobody_in_without_the_token() -> Result<()> {
    let mut world = stage::world("api").await?;
    let agent = world.start_agent(None)?;
    let site = world.agent_site(&agent).await?;
    site.wait_for("a first snapshot", NOTICE_TIMEOUT, |_| true).await?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let paths = [
        "snapshot",
        "report",
        "status",
        "pools",
        "books",
        "positions",
        "orders",
        "transactions",
        "ledger",
        "reconciliation",
        "stream",
        "halt",
        "resume",
        "entry",
    ];
    for path in paths {
        let url = format!("{}/api/v1/{path}", site.api);
        for request in [client.get(&url), client.post(&url), client.get(&url).bearer_auth("00")] {
            assert_eq!(request.send().await?.status().as_u16(), 401, "{path}");
        }
    }
    let entered = client.get(&site.page).send().await?;
    assert_eq!(entered.status().as_u16(), 303);
    assert_eq!(client.get(&site.page).send().await?.status().as_u16(), 401, "it opened twice");
    let another = client.post(format!("{}/api/v1/entry", site.api)).bearer_auth(site.bearer());
    let another: Value = another.send().await?.json().await?;
    let another = another["page"].as_str().context("no other address")?;
    assert_eq!(client.get(another).send().await?.status().as_u16(), 303);
    let cookie = entered.headers()["set-cookie"].to_str()?.to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "no safe cookie");
    let session = cookie.split(';').next().context("an empty cookie")?.to_owned();
    let halt = |origin: &str| {
        let url = format!("{}/api/v1/halt", site.api);
        let request = client.post(url).header("cookie", &session).header("origin", origin);
        request.json(&json!({ "reason": "a foreign page wants it" }))
    };
    assert_eq!(halt("http://evil.example").send().await?.status().as_u16(), 403);
    let own = format!("{}/api/v1/snapshot", site.api);
    assert_eq!(client.get(own).header("cookie", &session).send().await?.status().as_u16(), 200);
    let origin = site.api.clone();
    let short = client.post(format!("{}/api/v1/halt", site.api)).header("cookie", &session);
    let short = short.header("origin", &origin).json(&json!({ "reason": "x" })).send().await?;
    assert_eq!(short.status().as_u16(), 422);
    assert_eq!(halt(&origin).send().await?.status().as_u16(), 202);
    Ok(())
}
