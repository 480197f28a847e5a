//! A rehearsal: the operator's own files against a copy of their chain, with play money.
//!
//! anvil forks the operator's endpoint at one block; the agent in it is the child that the demo
//! runs too. Invariants: the endpoint is only read, and its address stands on no command line, in
//! no file and in no log (`door`); no key of the operator is used, and the fork has the id of a
//! local chain, so that nothing signed here is valid on a real one.

mod cast;
mod door;
mod files;
mod money;
mod told;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::U64;
use alloy::providers::DynProvider;
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::Signal;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::watch;

use crate::config::Config;
use crate::config::chain::{Chain, LOCAL_CHAIN_IDS};
use crate::exchange;
use crate::io::process::Child;
use crate::io::signer::{Key, random_key};
use crate::world::agent::{AgentPlan, Met, Site};
use crate::world::anvil::{self, AnvilPlan, AnvilProcess, ForkPoint};
use crate::world::chain as node;
use crate::world::fork::cast::Cast;
use crate::world::fork::door::Door;
use crate::world::fork::files::Ground;
use crate::world::fork::told::Told;
use crate::world::venue::{ExchangePlan, LocalExchange};
use crate::world::{cache, place, report};

/// The variable that may hold the endpoint instead of the command line.
pub const UPSTREAM_VARIABLE: &str = "TIDEKEEPER_FORK_RPC_URL";
/// Seconds between simulated funding payments.
const FUNDING_EVERY_S: u32 = 30;
/// Patience for the agent to read the pools, which the endpoint answers slot by slot.
const READ_TIMEOUT: Duration = Duration::from_secs(900);
/// How often it is told how far that is.
const TOLD_EVERY: Duration = Duration::from_secs(5);
/// Patience for the last deeds to settle and the last comparison, besides [`SETTLE_BLOCKS`].
const SETTLE_TIMEOUT: Duration = Duration::from_secs(40);
const SETTLE_BLOCKS: u32 = 4;
/// A process that was told to stop is killed after this.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often the supervisor looks at its children.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Where no bar can be drawn, every so many blocks are told.
const TOLD_EVERY_BLOCKS: u64 = 10;

/// How a fork runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary whose verbs are its processes.
    pub program: PathBuf,
    /// Everything the fork writes; emptied at the start.
    pub dir: PathBuf,
    /// Address of the page.
    pub listen: String,
    /// The operator's files, with their paths.
    pub files: Vec<(PathBuf, String)>,
    /// What they say.
    pub config: Config,
    /// The chain to fork, by the operator's name.
    pub chain: String,
    /// HTTP endpoint of the chain.
    pub upstream: SecretString,
    /// The block to fork at; the newest minus the chain's confirmations when absent.
    pub block: Option<u64>,
    /// Blocks to run for.
    pub n_blocks: u64,
}

/// The operator's files have no such chain.
#[derive(Debug, Error)]
#[error("no file in chains/ has the name {wanted:?}; known: {known}")]
pub struct NoSuchChain {
    wanted: String,
    known: String,
}

/// The chain of a name.
///
/// # Errors
/// [`NoSuchChain`], which names those there are.
pub fn chain_of<'c>(config: &'c Config, name: &str) -> Result<&'c Chain, NoSuchChain> {
    config.chain(name).ok_or_else(|| {
        let known: Vec<&str> = config.chains.iter().map(|chain| chain.name.as_str()).collect();
        NoSuchChain { wanted: name.to_owned(), known: known.join(", ") }
    })
}

/// Where a fork begins.
#[derive(Clone, Debug)]
struct Pin {
    block: u64,
    hash: String,
}

/// A fork without its agent; dropping it ends every process in it, the door last.
struct Fork {
    dir: PathBuf,
    plan: AgentPlan,
    exchange: LocalExchange,
    anvil: AnvilProcess,
    provider: DynProvider,
    door: Door,
    told: Told,
}

/// Runs a fork until its blocks are over or `stop` says so, and judges it.
///
/// # Errors
/// Whatever kept it from starting, and a run whose books do not agree.
pub async fn run(options: Options, mut stop: watch::Receiver<bool>) -> Result<()> {
    let began = Instant::now();
    let cast = Cast::of(&options.config, &options.chain)?;
    let started = tokio::select! {
        biased;
        _ = stop.changed() => None,
        started = start(&options, &cast) => Some(started?),
    };
    let Some((fork, agent, site)) = started else {
        eprintln!("fork: stopped before the agent had begun: there is nothing to report");
        return Ok(());
    };
    println!("dashboard: {}", site.page);
    let outcome = match follow(&fork, &agent, options.n_blocks, &mut stop).await {
        Ok(n_blocks) => judge(&fork, &site, n_blocks, began.elapsed().as_secs()).await,
        Err(error) => Err(error),
    };
    stop_all(fork, agent).await?;
    outcome
}

/// Starts everything, and waits until the agent has read the forked pools.
async fn start(options: &Options, cast: &Cast<'_>) -> Result<(Fork, Child, Site)> {
    eprintln!("fork: asking the endpoint of {} …", cast.chain.name);
    let fork = build(options, cast).await?;
    let agent = fork.plan.start(None)?;
    let Met { site, database } = fork.plan.meet(&agent).await?;
    let world = told::world(&fork.told, cast, &fork.anvil, &fork.exchange, database.as_ref())?;
    write_json(&fork.dir.join("world.json"), &world)?;
    eprintln!("fork: the agent reads the pools; logs in {}/logs", fork.dir.display());
    read_pools(&fork, &agent, &site).await?;
    money::come_to_present(&fork.provider, fork.told.block_time_s).await?;
    Ok((fork, agent, site))
}

/// Waits until the agent knows every pool. The fork stands still meanwhile: an endpoint far away
/// may take minutes.
async fn read_pools(fork: &Fork, agent: &Child, site: &Site) -> Result<()> {
    let (began, mut told) = (Instant::now(), Instant::now());
    loop {
        fork.plan.ensure_running(agent)?;
        let snapshot = site.get("snapshot").await.unwrap_or_default();
        if snapshot["chains"][0]["head"].is_u64() {
            return Ok(());
        }
        ensure!(
            began.elapsed() < READ_TIMEOUT,
            "the pools are not read after {} s: use a quicker endpoint, or allow fewer pools",
            READ_TIMEOUT.as_secs()
        );
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!("fork: {} questions to the endpoint so far", fork.door.n_reads());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn build(options: &Options, cast: &Cast<'_>) -> Result<Fork> {
    let chain = cast.chain;
    let dir = place::fresh(&options.dir)?;
    let door = Door::open(&options.upstream).await?;
    let pin = pin(&door, chain, options.block).await?;
    let (local_id, block_time_s) = (local_id(chain), block_time_s(chain));
    eprintln!("fork: {} at block {}, a block every {block_time_s} s", chain.name, pin.block);
    let point = ForkPoint { url: door.http_url().to_owned(), block: pin.block };
    let within = AnvilPlan::within(&dir, local_id, block_time_s);
    let anvil = anvil::launch(cache::find(), AnvilPlan { fork: Some(point), ..within }).await?;
    let exchange = LocalExchange::start(ExchangePlan {
        program: &options.program,
        dir: &dir,
        funding_every_s: FUNDING_EVERY_S,
        spot_maker_fee_bps: exchange::SPOT_MAKER_FEE_BPS,
    })
    .await?;
    let provider = node::connect(&anvil.http_url)?;
    let key = random_key();
    let signer = Key::from_hex(&key)?.address();
    eprintln!("fork: giving play money to {signer}");
    let endowment = money::endow(&provider, cast, signer).await?;
    let ground = Ground {
        dir: &dir,
        listen: &options.listen,
        chain_id: local_id,
        block_time_s,
        anvil: &anvil,
        exchange: &exchange,
        executor: endowment.executor,
    };
    let (config_dir, forked) = files::write(&ground, cast, &options.files, &options.config)?;
    let told = Told {
        chain: chain.name.clone(),
        chain_id: chain.chain_id,
        local_id,
        pin,
        block_time_s,
        block_time_ms: chain.ingest.block_time_ms,
        fee_model: chain.gas.fee_model,
        strategies: cast.strategies.iter().map(|strategy| strategy.id().to_owned()).collect(),
        left_out: cast.left_out.iter().map(|id| (*id).to_owned()).collect(),
        signer,
        given: endowment.given,
    };
    let (labels, state_dir) = (dir.join("labels.json"), dir.join("state"));
    write_json(&labels, &serde_json::to_value(told.labels())?)?;
    std::fs::create_dir_all(&state_dir)?;
    let plan = AgentPlan {
        program: options.program.clone(),
        dir: dir.clone(),
        config_dir,
        state_dir,
        env: files::environment(&options.config, &forked, key.expose_secret()),
        labels: Some(labels),
    };
    Ok(Fork { dir, plan, exchange, anvil, provider, door, told })
}

/// Asks the endpoint which chain it is and where it stands, and chooses the block.
async fn pin(door: &Door, chain: &Chain, wanted: Option<u64>) -> Result<Pin> {
    let name = &chain.name;
    let origin = node::connect(door.http_url())?;
    let found: U64 = node::raw(&origin, "eth_chainId", ())
        .await
        .with_context(|| format!("asking the endpoint of {name}: give another --rpc-url"))?;
    let found: u64 = found.to();
    let wanted_id = chain.chain_id;
    ensure!(
        found == wanted_id,
        "the endpoint is chain {found}, the file of {name} says {wanted_id}: give another --rpc-url"
    );
    let block = match wanted {
        Some(block) => block,
        None => {
            let head = node::head(&origin).await.context("asking the endpoint for its head")?;
            head.number.saturating_sub(chain.finality.hedge_after_confirmations)
        }
    };
    let asked = (U64::from(block), false);
    let found: Value = node::raw(&origin, "eth_getBlockByNumber", asked)
        .await
        .with_context(|| format!("asking the endpoint for block {block}"))?;
    let hash = found["hash"].as_str();
    let hash = hash.with_context(|| format!("the endpoint has no block {block}: mend --block"))?;
    Ok(Pin { block, hash: hash.to_owned() })
}

/// The id of a local chain: development keys and mode `demo` are allowed on no other.
fn local_id(chain: &Chain) -> u64 {
    if chain.is_local() { chain.chain_id } else { *LOCAL_CHAIN_IDS.start() }
}

/// The chain's own pace, as far as the times of blocks can tell blocks apart.
fn block_time_s(chain: &Chain) -> u64 {
    chain.ingest.block_time_ms.div_ceil(1_000).max(1)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Waits until so many blocks were mined or somebody says stop; how many were.
async fn follow(
    fork: &Fork,
    agent: &Child,
    n_blocks: u64,
    stop: &mut watch::Receiver<bool>,
) -> Result<u64> {
    let first = node::head(&fork.provider).await?.number;
    let (bar, mut n_done, mut n_told) = (progress(n_blocks), 0, 0);
    loop {
        fork.plan.ensure_running(agent)?;
        ensure!(fork.anvil.is_running(), "anvil ended: see {}/logs", fork.dir.display());
        match node::head(&fork.provider).await {
            Ok(head) => n_done = head.number.saturating_sub(first),
            // A block may have to wait for the endpoint.
            Err(error) => tracing::warn!(%error, "the fork is slow"),
        }
        bar.set_position(n_done);
        if bar.is_hidden() && n_done >= n_told + TOLD_EVERY_BLOCKS {
            n_told = n_done;
            eprintln!("fork: {n_done} of {n_blocks} blocks");
        }
        if n_done >= n_blocks {
            break;
        }
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    bar.finish_and_clear();
    Ok(n_done)
}

fn progress(n_blocks: u64) -> ProgressBar {
    let bar = ProgressBar::new(n_blocks);
    match ProgressStyle::with_template("fork {bar:40} {pos} of {len} blocks") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Brings the fork to rest, has its books judged, and writes the report.
async fn judge(fork: &Fork, site: &Site, n_blocks: u64, seconds: u64) -> Result<()> {
    eprintln!("fork: {n_blocks} blocks are over, bringing everything to rest …");
    let live = site.get("report").await.context("asking the agent for its report")?;
    let patience = SETTLE_TIMEOUT + Duration::from_secs(fork.told.block_time_s) * SETTLE_BLOCKS;
    let why = "the fork is over";
    let rest = report::come_to_rest(site, &fork.exchange, why, patience).await?;
    let independent = match report::Judge::find() {
        Ok(judge) => judge.compare(&fork.dir).await?,
        Err(error) => {
            eprintln!("fork: the independent reconciler did not judge: {error:#}");
            Value::Null
        }
    };
    let mut page = report::document(&live, &rest, &independent, seconds);
    page["fork"] = fork.told.page(n_blocks, &fork.door);
    let path = report::write(&fork.dir, &fork.told.title(n_blocks), &page, &rest)?;
    eprintln!("fork: report in {}", path.display());
    report::verdict("fork", &report::agreement(&page))
}

async fn stop_all(fork: Fork, agent: Child) -> Result<()> {
    let stopped = tokio::task::spawn_blocking(move || {
        agent.stop(Signal::SIGTERM, STOP_GRACE);
        fork.exchange.stop();
        drop(fork);
    });
    Ok(stopped.await?)
}
