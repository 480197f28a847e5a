//! A node that loses the logs of a pool in one block: the pool alone is quarantined, the block is
//! named, the pool is read anew and used again, and the agent trades on.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;
use tidekeeper::world::chain;
use tidekeeper::world::demo::World;
use tidekeeper::world::manifest::{ChainSite, Dex};
use tokio::net::TcpListener;

use super::{replays, stage};

/// Patience for every pool to be read twice.
const ADMITTED_TIMEOUT: Duration = Duration::from_secs(60);
/// Patience for a lost log to be missed, and its pool to be used again.
const HEALED_TIMEOUT: Duration = Duration::from_secs(90);
/// Patience for one more transaction of the agent.
const TRADED_TIMEOUT: Duration = Duration::from_secs(120);
/// Fee of the pool that is traded most.
const DEEPEST_PIPS: u32 = 100;

/// What becomes of the pool's logs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    No,
    /// Those of the next block that has any will be.
    Next,
    /// Those of this block were.
    In(u64),
}

/// Stands between the agent and its node, and loses logs when told to.
struct Sieve {
    node: String,
    client: reqwest::Client,
    pool: Address,
    lost: Mutex<Lost>,
}

impl Sieve {
    /// Opens it; answers where to ask instead of at the node.
    async fn open(node: &str, pool: Address) -> Result<(String, Arc<Self>)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let (node, lost) = (node.to_owned(), Mutex::new(Lost::No));
        let sieve = Arc::new(Self { node, client, pool, lost });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/", post(pass)).with_state(Arc::clone(&sieve));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((url, sieve))
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes> {
        let asked: Value = serde_json::from_slice(&question)?;
        let request = self.client.post(&self.node).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(question).send().await?.bytes().await?;
        let is_of_block =
            asked["method"] == "eth_getLogs" && asked["params"][0]["blockHash"].is_string();
        if is_of_block { self.sift(answer) } else { Ok(answer) }
    }

    /// Takes the pool's logs out of a block's, once.
    fn sift(&self, answer: Bytes) -> Result<Bytes> {
        let mut lost = self.lost.lock().expect("no holder panics");
        let mut told: Value = serde_json::from_slice(&answer)?;
        let Some(logs) = told["result"].as_array_mut().filter(|_| *lost == Lost::Next) else {
            return Ok(answer);
        };
        let is_pools =
            |log: &Value| log["address"].as_str().and_then(|a| a.parse().ok()) == Some(self.pool);
        let Some(log) = logs.iter().find(|log| is_pools(log)) else { return Ok(answer) };
        let number = log["blockNumber"].as_str().context("a log of no block")?;
        let number = u64::from_str_radix(number.trim_start_matches("0x"), 16)?;
        logs.retain(|log| !is_pools(log));
        *lost = Lost::In(number);
        Ok(told.to_string().into())
    }

    fn lose_next(&self) {
        *self.lost.lock().expect("no holder panics") = Lost::Next;
    }

    fn lost_in(&self) -> Option<u64> {
        match *self.lost.lock().expect("no holder panics") {
            Lost::In(block) => Some(block),
            Lost::No | Lost::Next => None,
        }
    }
}

async fn pass(State(sieve): State<Arc<Sieve>>, body: Bytes) -> Response {
    match sieve.ask(body).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_is_missed_its_block_named_and_its_pool_read_anew() -> Result<()> {
    let mut world = stage::world("audits").await?;
    let first = world.manifest.chains.first().context("no chain")?.clone();
    let pool = deepest(&first)?;
    let (url, sieve) = Sieve::open(&first.rpc_http, pool).await?;
    point_at(&world.config_dir, &first, &url)?;
    let (agent, site) = stage::agent(&mut world).await?;
    let admitted = site.wait_for("every pool to be admitted", ADMITTED_TIMEOUT, all_live).await?;
    ensure!(row(&admitted, pool)["reloads"] == 0, "{admitted}");

    sieve.lose_next();
    let is_healed = |snapshot: &Value| {
        let row = row(snapshot, pool);
        row["state"] == "live" && row["reloads"].as_u64() >= Some(1) && stage::is_running(snapshot)
    };
    let healed = site.wait_for("the pool to be used again", HEALED_TIMEOUT, is_healed).await;
    let lost = sieve.lost_in().context("no log was lost: nobody traded in the pool")?;
    healed.with_context(|| format!("logs of block {lost} were lost"))?;
    let database = stage::database(&world).await?;
    let distrusted = pools_of(&database, "pool_quarantined").await?;
    ensure!(distrusted == [pool], "{pool}: {distrusted:?} were quarantined");
    let named = missing(&database).await?;
    ensure!(named == [Some(i64::try_from(lost)?)], "block {lost} was lost, {named:?} named");
    ensure!(pools_of(&database, "pool_reloaded").await? == [pool], "read anew, and nothing else");
    database.close().await;

    trades_on(&world, &first).await?;
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    replays::all_come_to_the_same(&world.state_dir).await
}

/// The pool of WETH and dollars that is traded most.
fn deepest(chain: &ChainSite) -> Result<Address> {
    let contracts = &chain.contracts;
    let mut pools = chain.pools.iter();
    let pool = pools.find(|pool| {
        let is_fine = pool.dex == Dex::UniswapV3 && pool.fee_pips == DEEPEST_PIPS;
        is_fine && pool.other(contracts.weth) == Some(contracts.usdt)
    });
    pool.and_then(|pool| pool.address.contract()).context("no such pool")
}

/// The agent's file of a chain names another address for its node.
fn point_at(config_dir: &Path, chain: &ChainSite, url: &str) -> Result<()> {
    let file = config_dir.join(format!("chains/{}.toml", chain.name));
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.contains(&chain.rpc_http), "{} does not name the node", file.display());
    Ok(std::fs::write(&file, text.replace(&chain.rpc_http, url))?)
}

fn all_live(snapshot: &Value) -> bool {
    let pools = snapshot["pools"].as_array().cloned().unwrap_or_default();
    !pools.is_empty() && pools.iter().all(|pool| pool["state"] == "live")
}

/// The first chain's pool as the agent shows it.
fn row(snapshot: &Value, pool: Address) -> Value {
    let rows = snapshot["pools"].as_array().cloned().unwrap_or_default();
    let is_it = |row: &Value| {
        let address = row["pool"].as_str().and_then(|text| text.parse().ok());
        row["chain_id"] == 31_337 && address == Some(pool)
    };
    rows.into_iter().find(is_it).unwrap_or_default()
}

/// Pools that notes of one kind are about, oldest first.
async fn pools_of(database: &PgPool, kind: &str) -> Result<Vec<Address>> {
    let query = "select body->>'pool' from notes where kind = $1 order by id";
    let named: Vec<String> = sqlx::query_scalar(query).bind(kind).fetch_all(database).await?;
    named.iter().map(|pool| Ok(pool.parse()?)).collect()
}

/// Blocks that searches for missing logs named.
async fn missing(database: &PgPool) -> Result<Vec<Option<i64>>> {
    let query = "select (body->>'missing')::bigint from notes
                 where kind = 'pool_logs_searched' order by id";
    Ok(sqlx::query_scalar(query).fetch_all(database).await?)
}

/// By the chain's own count the agent makes another transaction.
async fn trades_on(world: &World, site: &ChainSite) -> Result<()> {
    let provider = chain::connect(&site.rpc_http)?;
    let signer = (world.manifest.signer, "latest");
    let began = Instant::now();
    let before: U256 = chain::raw(&provider, "eth_getTransactionCount", signer).await?;
    loop {
        let now: U256 = chain::raw(&provider, "eth_getTransactionCount", signer).await?;
        if now > before {
            return Ok(());
        }
        ensure!(began.elapsed() < TRADED_TIMEOUT, "the agent trades no more");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
