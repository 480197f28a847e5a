//! The demo: two anvils, the exchange, the flow, rivals and a child agent, supervised until
//! somebody says stop.
//!
//! The agent is a process of its own, so that killing it leaves the world standing, as in life; it
//! is started again after a moment, as a service would be.

mod files;
mod judge;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::sync::watch;

use crate::exchange::{DEMO_API_KEY, DEMO_API_SECRET, LEGS_API_KEY, LEGS_API_SECRET};
use crate::io::process::Child;
use crate::world::agent::{AgentPlan, Site, client};
use crate::world::anvil::{self, AnvilPlan, AnvilProcess};
use crate::world::arbitrageur::{self, Arbitrageur, ArbitrageurPlan};
use crate::world::artifacts::Artifacts;
use crate::world::deploy::{Deployment, deploy};
use crate::world::flow::{self, Flow, FlowPlan};
use crate::world::manifest::{AccountSide, AccountSite, ChainSite, Manifest};
use crate::world::plan::{Purse, WorldPlan};
use crate::world::rivals::{self, Rivals, RivalsPlan};
use crate::world::venue::{ExchangePlan, LocalExchange};
use crate::world::{cache, chain, place};

/// The demo's chains: the operator's name, the id, seconds between blocks.
const CHAINS: [(&str, u64, u64); 2] = [("demo", 31_337, 1), ("demo-two", 31_338, 2)];
/// Recorded seconds of swaps per second of the demo.
const FLOW_COMPRESSION: u64 = 20;
/// The same choices of the flow at every start.
const FLOW_SEED: u64 = 1;
/// The same draws of the rivals at every start.
const RIVALS_SEED: u64 = 1;
/// The arbitrageur acts this far beyond the pool's fee.
const ARBITRAGE_MARGIN_BPS: Decimal = Decimal::ONE;
/// A market maker's tier on the spot side of the exchange, as venues grant it.
const SPOT_MAKER_FEE_BPS: u32 = 0;
/// What the agent's signer starts with.
const AGENT_BASE: i64 = 30;
const AGENT_QUOTE: i64 = 80_000;
const AGENT_ETHER: i64 = 5;
/// A process that was told to stop is killed after this.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The agent is started again after this.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often the supervisor looks at its children.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a demo runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary whose verbs are its processes.
    pub program: PathBuf,
    /// Everything the demo writes; emptied at the start.
    pub dir: PathBuf,
    /// Ends by itself after so many seconds and writes a report.
    pub for_s: Option<u64>,
    /// Address of the page.
    pub listen: String,
    /// Seconds between funding payments.
    pub funding_every_s: u32,
}

/// The world without the agent; dropping it ends every process in it.
#[derive(Debug)]
pub struct World {
    /// Where things are.
    pub manifest: Manifest,
    /// Folder of operator files for an agent in this world.
    pub config_dir: PathBuf,
    /// The agent's state.
    pub state_dir: PathBuf,
    /// The chains, in the manifest's order.
    pub anvils: Vec<AnvilProcess>,
    /// Everything it writes.
    pub dir: PathBuf,
    exchange: LocalExchange,
    stop_flow: watch::Sender<bool>,
    program: PathBuf,
}

impl World {
    /// Starts chain, exchange and flow, and writes the operator's files.
    ///
    /// # Errors
    /// Whatever is missing, with the command that fetches it.
    pub async fn start(options: &Options) -> Result<Self> {
        let dir = place::fresh(&options.dir)?;
        let cache = cache::find().context("the cache is missing: run `tools/setup.sh demo`")?;
        let exchange = LocalExchange::start(ExchangePlan {
            program: &options.program,
            dir: &dir,
            funding_every_s: options.funding_every_s,
            spot_maker_fee_bps: SPOT_MAKER_FEE_BPS,
        })
        .await?;
        let price = first_mid(exchange.http()).await?;
        let artifacts = Artifacts::load(&cache.join("contracts"))?;
        let (stop_flow, stopped) = watch::channel(false);
        let (mut anvils, mut chains, mut signer) = (Vec::new(), Vec::new(), Address::ZERO);
        for (name, chain_id, block_time_s) in CHAINS {
            let plan = AnvilPlan::within(&dir, chain_id, block_time_s);
            let anvil = anvil::launch(Some(cache.clone()), plan).await?;
            let provider = chain::connect(&anvil.http_url)?;
            let plan = WorldPlan {
                block_time_s,
                agent: Purse { base: AGENT_BASE.into(), quote: AGENT_QUOTE.into() },
                agent_ether: AGENT_ETHER.into(),
                ..WorldPlan::demo(price)
            };
            let deployment = deploy(&provider, &artifacts, &plan).await?;
            settle_ether(&provider, &deployment).await?;
            start_actors(provider, &deployment, exchange.http(), &stopped)?;
            signer = deployment.accounts.signer;
            chains.push(ChainSite {
                name: name.to_owned(),
                chain_id: deployment.chain_id,
                block_time_s,
                rpc_http: anvil.http_url.clone(),
                rpc_ws: anvil.ws_url.clone(),
                contracts: deployment.contracts,
                pools: deployment.pools,
            });
            anvils.push(anvil);
        }
        let manifest = manifest(chains, signer, &exchange);
        let config_dir = files::write(&dir, &manifest, &options.listen)?;
        let world = Self {
            manifest,
            config_dir,
            state_dir: dir.join("state"),
            anvils,
            dir,
            exchange,
            stop_flow,
            program: options.program.clone(),
        };
        std::fs::create_dir_all(&world.state_dir)?;
        world.write_manifest()?;
        Ok(world)
    }

    fn write_manifest(&self) -> Result<()> {
        Ok(self.manifest.write(&self.dir.join("world.json"))?)
    }

    /// Starts an agent as a child process; `crash_at` names the point at which it must die.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_agent(&self, crash_at: Option<&str>) -> Result<Child> {
        self.agent_plan().start(crash_at)
    }

    fn agent_plan(&self) -> AgentPlan {
        let mut env: Vec<_> = std::env::vars_os().collect();
        let pairs = [
            (files::KEY_VARIABLE, files::SIGNER_KEY),
            (files::API_KEY_VARIABLE, DEMO_API_KEY),
            (files::API_SECRET_VARIABLE, DEMO_API_SECRET),
            (files::LEGS_KEY_VARIABLE, LEGS_API_KEY),
            (files::LEGS_SECRET_VARIABLE, LEGS_API_SECRET),
        ];
        env.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        AgentPlan {
            program: self.program.clone(),
            dir: self.dir.clone(),
            config_dir: self.config_dir.clone(),
            state_dir: self.state_dir.clone(),
            env,
            labels: None,
        }
    }

    /// Waits until a started agent tells where it is.
    ///
    /// # Errors
    /// When it ends or takes too long; its last words are in the error.
    pub async fn agent_site(&mut self, agent: &Child) -> Result<Site> {
        let met = self.agent_plan().meet(agent).await?;
        self.manifest.database = met.database;
        self.write_manifest()?;
        Ok(met.site)
    }

    /// Ends the flow of trades on the chain.
    pub fn stop_flow(&self) {
        self.stop_flow.send_replace(true);
    }

    /// Stops tapes and funding of the exchange, or lets them go on.
    ///
    /// # Errors
    /// When the exchange does not answer.
    pub async fn freeze_exchange(&self, on: bool) -> Result<()> {
        self.control("freeze", &serde_json::json!({ "on": on })).await
    }

    /// A control request to the exchange, outside of the venue's protocol.
    ///
    /// # Errors
    /// When the exchange does not answer or refuses.
    pub async fn control(&self, what: &str, body: &Value) -> Result<()> {
        self.exchange.control(what, body).await
    }

    /// The exchange process, for tests that stop it.
    pub fn exchange(&self) -> &Child {
        self.exchange.child()
    }
}

/// The price the pools start at: the exchange's own.
async fn first_mid(exchange: &str) -> Result<Decimal> {
    let url = format!("{exchange}/api/v3/ticker/bookTicker?symbol=ETHUSDT");
    let ticker: Value = client()?.get(url).send().await?.error_for_status()?.json().await?;
    let side = |name: &str| -> Result<Decimal> {
        let text = ticker[name].as_str().context("the ticker has no price")?;
        text.parse().context("reading the ticker")
    };
    Ok((side("bidPrice")? + side("askPrice")?) / Decimal::TWO)
}

/// Dev accounts start rich; the agent's signer holds what the demo says.
async fn settle_ether(provider: &alloy::providers::DynProvider, world: &Deployment) -> Result<()> {
    let wei = U256::from(AGENT_ETHER) * U256::from(10).pow(U256::from(18));
    let _: Value = chain::raw(provider, "anvil_setBalance", (world.accounts.signer, wei)).await?;
    Ok(())
}

/// Everybody who trades on a chain besides the agent.
fn start_actors(
    provider: alloy::providers::DynProvider,
    world: &Deployment,
    exchange_http: &str,
    stopped: &watch::Receiver<bool>,
) -> Result<()> {
    let plan = FlowPlan { compression: FLOW_COMPRESSION, seed: FLOW_SEED };
    let flow = Flow::new(provider.clone(), world, plan)?;
    tokio::spawn(flow::run(flow, stopped.clone()));
    let plan = ArbitrageurPlan {
        exchange_http: exchange_http.to_owned(),
        symbol: "ETHUSDT".to_owned(),
        margin_bps: ARBITRAGE_MARGIN_BPS,
    };
    let arbitrageur = Arbitrageur::new(provider.clone(), world, plan)?;
    tokio::spawn(arbitrageur::run(arbitrageur, stopped.clone()));
    let rivals = Rivals::new(provider, world, RivalsPlan { seed: RIVALS_SEED })?;
    tokio::spawn(rivals::run(rivals, stopped.clone()));
    Ok(())
}

fn manifest(chains: Vec<ChainSite>, signer: Address, exchange: &LocalExchange) -> Manifest {
    let main = (DEMO_API_KEY, DEMO_API_SECRET);
    let sides = [
        ("spot", AccountSide::Spot, main),
        ("hedge", AccountSide::Usdm, main),
        ("legs", AccountSide::Spot, (LEGS_API_KEY, LEGS_API_SECRET)),
    ];
    let account = |(venue, side, (key, secret)): (&str, AccountSide, (&str, &str))| AccountSite {
        venue: venue.to_owned(),
        side,
        api_key: key.to_owned(),
        api_secret: secret.to_owned(),
    };
    Manifest {
        chains,
        exchange_http: exchange.http().to_owned(),
        exchange_ws: exchange.ws(),
        accounts: sides.map(account).into(),
        signer,
        database: None,
    }
}

/// Runs the demo until `stop` says so or its time is over; with a time, judges the run.
///
/// # Errors
/// Whatever kept it from starting, and a run that its judges refuse.
pub async fn run(options: Options, mut stop: watch::Receiver<bool>) -> Result<()> {
    let began = Instant::now();
    eprintln!("demo: starting the exchange, the chains and the agent …");
    let mut world = World::start(&options).await?;
    let mut agent = world.start_agent(None)?;
    let mut site = world.agent_site(&agent).await?;
    eprintln!(
        "demo: ready after {:.1} s; logs in {}/logs",
        began.elapsed().as_secs_f64(),
        world.dir.display()
    );
    announce(&site);
    let end = options.for_s.map(|s| Instant::now() + Duration::from_secs(s));
    let bar = progress(options.for_s);
    let ended_by_time = loop {
        if end.is_some_and(|end| Instant::now() >= end) {
            break true;
        }
        if !agent.is_running() {
            eprintln!("demo: the agent ended; the world stands, starting it again");
            tokio::time::sleep(RESTART_AFTER).await;
            agent = world.start_agent(None)?;
            site = world.agent_site(&agent).await?;
            announce(&site);
        }
        tokio::select! {
            _ = stop.changed() => break false,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Some(bar) = &bar {
            bar.set_position(began.elapsed().as_secs());
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let verdict = match (ended_by_time, options.for_s) {
        (true, Some(seconds)) => Some(judge::judge(&world, &site, seconds).await),
        _ => None,
    };
    stop_all(world, agent).await?;
    verdict.unwrap_or(Ok(()))
}

fn announce(site: &Site) {
    println!("dashboard: {}", site.page);
}

fn progress(for_s: Option<u64>) -> Option<indicatif::ProgressBar> {
    let bar = indicatif::ProgressBar::new(for_s?);
    let style = indicatif::ProgressStyle::with_template("demo {bar:40} {pos} of {len} s").ok()?;
    bar.set_style(style);
    Some(bar)
}

async fn stop_all(world: World, agent: Child) -> Result<()> {
    world.stop_flow();
    let stopped = tokio::task::spawn_blocking(move || {
        agent.stop(Signal::SIGTERM, STOP_GRACE);
        world.exchange.stop();
        drop(world);
    });
    Ok(stopped.await?)
}
