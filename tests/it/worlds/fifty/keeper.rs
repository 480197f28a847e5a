//! A real engine behind a real watcher, with neither store nor exchange: it is told what the
//! watcher sees, and what it asks about pools goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde_json::Value;
use tidekeeper::engine::Engine;
use tidekeeper::engine::admission::{Standing, Until};
use tidekeeper::engine::event::{Body, Event, Recovered};
use tidekeeper::engine::output::{Command, Record};
use tidekeeper::engine::setup::{ChainSetup, Setup};
use tidekeeper::engine::state::PoolState;
use tidekeeper::io::chain::ChainClient;
use tidekeeper::io::chain::gap::KnownPools;
use tidekeeper::io::chain::roster::Roster;
use tidekeeper::io::chain::watch::{AskedPools, Awaited, PoolTask, Watcher};
use tidekeeper::model::chain::{BlockRef, PoolAddress};
use tidekeeper::model::intent::PoolId;
use tidekeeper::model::time::Timestamp;
use tidekeeper::risk::gate::Limits;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// A part of every pool is compared each block, and so all of each once in fifty.
const AUDIT_EVERY_BLOCKS: u64 = 1;
/// Facts that may wait, as in the agent.
const QUEUE: usize = 8_192;
/// What a block stands for, by the engine's clock: few pools are read anew more often within an
/// hour than is allowed.
const BLOCK_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_748_865_600_000;

/// The engine, its watcher, and what was seen of both.
pub(super) struct Keeper {
    engine: Engine,
    pools: Vec<PoolAddress>,
    chain: u64,
    facts: mpsc::Receiver<Body>,
    asked: AskedPools,
    hint: Arc<Notify>,
    watcher: JoinHandle<()>,
    seq: u64,
    now: Timestamp,
    /// Newest block that the engine handled.
    pub(super) head: Option<BlockRef>,
    /// Height at which the chain was read whole.
    pub(super) read_at: Option<u64>,
    /// Notes by kind.
    pub(super) notes: BTreeMap<&'static str, u64>,
    /// Pools whose logs were searched, and the first block that was found to miss one.
    pub(super) named: Vec<(PoolAddress, u64)>,
    /// Readings above this height count as the last word.
    since: u64,
    /// Pools whose state was read whole above it, and agreed or was taken over.
    whole: BTreeSet<PoolAddress>,
}

impl Keeper {
    /// Starts both; the watcher asks at this address.
    pub(super) fn start(setup: &ChainSetup, url: &str) -> Result<Self> {
        let (heard, facts) = mpsc::channel(QUEUE);
        let (asked, hint) = (AskedPools::default(), Arc::new(Notify::new()));
        let watcher = Watcher {
            client: ChainClient::new(url)?,
            setup: setup.clone(),
            roster: Roster::new(&setup.pools),
            kept_pools: KnownPools::default(),
            cursor: None,
            known: Vec::new(),
            awaited: Awaited::default(),
            asked: Arc::clone(&asked),
            audit_every_blocks: AUDIT_EVERY_BLOCKS,
            facts: heard,
            hint: Arc::clone(&hint),
        };
        let now = Timestamp::from_ms(BEGIN_MS);
        let mut keeper = Self {
            engine: Engine::new(whole_setup(setup), now),
            pools: setup.pools.iter().map(|pool| pool.address).collect(),
            chain: setup.chain,
            facts,
            asked,
            hint,
            watcher: tokio::spawn(watcher.run()),
            seq: 0,
            now,
            head: None,
            read_at: None,
            notes: BTreeMap::new(),
            named: Vec::new(),
            since: u64::MAX,
            whole: BTreeSet::new(),
        };
        keeper.take(Body::Started(Box::new(Recovered::default())))?;
        Ok(keeper)
    }

    /// A head is there to be seen.
    pub(super) fn ring(&self) {
        self.hint.notify_one();
    }

    /// Takes in what is told within this time.
    pub(super) async fn listen(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Ok(told) = timeout_at(end, self.facts.recv()).await {
            self.take(told.context("the watcher has ended")?)?;
        }
        Ok(())
    }

    /// Takes in what is told until something is so.
    pub(super) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !is_so(self) {
            let told = timeout_at(end, self.facts.recv()).await;
            let told = told.with_context(|| format!("waited {limit:?} for {what}"))?;
            self.take(told.context("the watcher has ended")?)?;
        }
        Ok(())
    }

    /// One fact, and what the engine answers.
    fn take(&mut self, body: Body) -> Result<()> {
        let mut read = None;
        match &body {
            Body::ChainReady(start) => {
                self.head = Some(start.header.block);
                self.read_at = Some(start.header.block.number);
            }
            Body::Block(block) => {
                self.head = Some(block.header.block);
                self.now = self.now.plus_ms(BLOCK_MS);
            }
            Body::Reorganised(to) => self.head = Some(to.block),
            Body::PoolReading(told) | Body::PoolReload(told) => {
                read = Some((told.pool, told.block.number));
            }
            _ => {}
        }
        self.seq += 1;
        let output = self.engine.handle(Event { seq: self.seq, at: self.now, body });
        for command in output.commands {
            let task = match command {
                Command::SearchPoolLogs { pool, after, .. } => PoolTask::Search { pool, after },
                Command::ReloadPool { pool, .. } => PoolTask::Reload { pool },
                // Without venues and strategies there is nothing else to ask for.
                other => bail!("asked for {other:?}"),
            };
            self.asked.lock().expect("no holder panics").push_back(task);
        }
        for record in output.records {
            if let Record::Note { kind, body } = record {
                self.noted(kind, &body)?;
            }
        }
        if let Some((pool, number)) = read
            && number > self.since
            && self.pool(pool).is_some_and(|state| state.agreed == number)
        {
            self.whole.insert(pool);
        }
        // Nobody has time here to wait for the next look.
        self.ring();
        Ok(())
    }

    fn noted(&mut self, kind: &'static str, body: &Value) -> Result<()> {
        *self.notes.entry(kind).or_default() += 1;
        if kind == "pool_logs_searched"
            && let Some(missing) = body["missing"].as_u64()
        {
            let pool = body["pool"].as_str().context("a search of no pool")?;
            self.named.push((pool.parse()?, missing));
        }
        Ok(())
    }

    /// From here on only readings above this height are the last word on a pool.
    pub(super) fn read_anew_above(&mut self, height: u64) {
        self.since = height;
        self.whole.clear();
    }

    /// A pool as the engine keeps it.
    pub(super) fn pool(&self, address: PoolAddress) -> Option<&PoolState> {
        self.engine.pool(PoolId { chain: self.chain, address })
    }

    /// Pools that the engine uses.
    pub(super) fn n_live(&self) -> usize {
        let is_live =
            |pool: &&PoolAddress| self.pool(**pool).is_some_and(|state| state.standing.is_live());
        self.pools.iter().filter(is_live).count()
    }

    /// Pools that neither were read whole since, nor wait for a person.
    pub(super) fn unread(&self) -> Vec<PoolAddress> {
        let is_over = |pool: &PoolAddress| self.whole.contains(pool) || self.is_given_up(*pool);
        self.pools.iter().copied().filter(|pool| !is_over(pool)).collect()
    }

    /// True when every pool is used, or waits for a person.
    pub(super) fn is_settled(&self) -> bool {
        let n_given_up = self.pools.iter().filter(|pool| self.is_given_up(**pool)).count();
        self.n_live() + n_given_up == self.pools.len()
    }

    fn is_given_up(&self, pool: PoolAddress) -> bool {
        let standing = self.pool(pool).map(|state| &state.standing);
        matches!(standing, Some(Standing::Quarantined { until: Until::Person, .. }))
    }

    /// How far the engine may act.
    pub(super) fn mode(&self) -> &'static str {
        self.engine.snapshot(self.now).state.kind
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Nothing but the chain.
fn whole_setup(chain: &ChainSetup) -> Setup {
    Setup {
        keeper: "fifty".into(),
        mode: "observe".into(),
        sends: false,
        numeraire: "USDT".into(),
        base_asset: "ETH".into(),
        reference: ("none".into(), "ETHUSDT".into()),
        chains: vec![chain.clone()],
        venues: Vec::new(),
        strategies: Vec::new(),
        hedges: Vec::new(),
        limits: Limits {
            gross_exposure: Decimal::ZERO,
            net_delta: Decimal::ZERO,
            venue_exposure: Decimal::ZERO,
            daily_loss: Decimal::ZERO,
            gas_budget_per_day: Decimal::ZERO,
        },
        book_age_max_ms: 3_000,
        labels: Vec::new(),
    }
}
