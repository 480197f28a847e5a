//! Fifty pools of all exchanges on one chain, through the real contracts, followed by a real
//! watcher and a real engine, while the node between them loses logs of pools, tells some twice,
//! is late or silent, and takes blocks back.
//!
//! A pool is allowed to be wrong for a while and to be quarantined for it, never to be wrong and
//! used at the end: then the node is sound again, every pool has been compared whole once more, and
//! each that is used equals the chain in every field and tick, read anew by somebody else.
//!
//! What people and chain do follows from `TIDEKEEPER_SEED`; what hits the watcher depends on when
//! it asks as well. `TIDEKEEPER_FIFTY` is how many acts there are.

mod acts;
mod ground;
mod keeper;
mod sieve;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tidekeeper::io::chain::ChainClient;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::world::chain;

use crate::bytecode::number;
use acts::People;
use ground::{Ground, request};
use keeper::Keeper;
use sieve::{Sieve, Spoiled, Weather};

/// Acts, unless the environment says otherwise.
const ACTS: u64 = 420;
/// In tenths: the acts during which logs are lost.
const STORM_TENTHS: u64 = 6;
/// A storm in which too few removals were seen goes on by so many acts.
const STORM_LONGER: u64 = 20;
/// After it a storm goes on for so many blocks at most, each followed before the next one comes,
/// until enough was lost and found.
const STORM_BLOCKS_MAX: u64 = 250;
/// Steps from one time that blocks are taken back to the next.
const TAKEN_BACK_EVERY: u64 = 3;
/// Most blocks taken back at once, and most of a branch that people acted on.
const DEPTH_MAX: u64 = 16;
const BRANCH_MAX: u64 = 6;
/// Pause between two steps, in ms.
const PAUSE_MS_MAX: u64 = 200;
/// Blocks of fair weather within which everything has been compared; fifty is the least.
const FAIR_BLOCKS_MAX: u64 = 250;
/// Patience for the chain to be read, and for one block to be followed.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const BLOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// What must have happened, or nothing was proved.
const NAMED_MIN: usize = 5;
const TAKEN_BACK_MIN: u64 = 5;
const REPEATED_MIN: u64 = 10;
/// Pools used at the end, at least.
const LIVE_MIN: usize = 40;

/// The chain, those who act on it, and those who look at it.
struct World {
    ground: Ground,
    people: People,
    sieve: Arc<Sieve>,
    keeper: Keeper,
    rng: StdRng,
    height: u64,
    /// The greatest height there ever was.
    highest: u64,
    n_steps: u64,
    /// Depth of each time that blocks were taken back.
    taken_back: Vec<u64>,
    n_blocks: u64,
    n_sent: u64,
    n_refused: u64,
}

impl World {
    /// A chain with fifty pools, all read twice.
    async fn begin(seed: u64) -> Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let ground = Ground::build(&mut rng).await?;
        let mut people = People::new(rng.random());
        let height = ground.must(&people.opening(&ground)).await.context("filling the pools")?;
        people.mined(height);
        let (url, sieve) = Sieve::open(&ground.anvil.http_url, &ground.setup, rng.random()).await?;
        let keeper = Keeper::start(&ground.setup, &url)?;
        let mut world = Self {
            ground,
            people,
            sieve,
            keeper,
            rng,
            height,
            highest: height,
            n_steps: 0,
            taken_back: Vec::new(),
            n_blocks: 0,
            n_sent: 0,
            n_refused: 0,
        };
        let is_read = |keeper: &Keeper| keeper.read_at.is_some();
        world.keeper.until("the chain to be read", READ_TIMEOUT, is_read).await?;
        world.block(0).await?;
        let n_pools = world.ground.setup.pools.len();
        let is_twice = |keeper: &Keeper| keeper.n_live() == n_pools;
        world.keeper.until("every pool to be read twice", READ_TIMEOUT, is_twice).await?;
        Ok(world)
    }

    /// A block with so many acts.
    async fn block(&mut self, n_acts: u64) -> Result<()> {
        for _ in 0..n_acts {
            for deed in self.people.act(&self.ground).await? {
                self.ground.send(&deed).await?;
            }
        }
        let height = self.ground.mine().await?;
        self.grown(height).await
    }

    /// The chain is longer than before by blocks up to this one.
    async fn grown(&mut self, height: u64) -> Result<()> {
        for number in self.height + 1..=height {
            let [sent, refused] = self.ground.outcome(number).await?;
            self.n_sent += sent;
            self.n_refused += refused;
            self.n_blocks += 1;
        }
        self.height = height;
        self.highest = self.highest.max(height);
        self.people.mined(height);
        self.keeper.ring();
        Ok(())
    }

    /// Steps in some weather, until there were so many acts.
    async fn live(&mut self, weather: Weather, n_acts: u64) -> Result<()> {
        self.sieve.be(weather);
        while self.people.n_acts() < n_acts {
            self.n_steps += 1;
            match self.n_steps % (2 * TAKEN_BACK_EVERY) {
                TAKEN_BACK_EVERY => self.replace_blocks().await?,
                0 => self.leave_branch().await?,
                _ => {
                    let n_acts = self.rng.random_range(4..=10);
                    self.block(n_acts).await?;
                }
            }
            let pause = self.rng.random_range(0..=PAUSE_MS_MAX);
            self.keeper.listen(Duration::from_millis(pause)).await?;
        }
        Ok(())
    }

    /// The chain replaces its newest blocks at once by as many others.
    async fn replace_blocks(&mut self) -> Result<()> {
        // What was read whole stays, or all fifty pools would be read again.
        let read_at = self.keeper.read_at.context("the chain was read")?;
        let depth_max = (self.height - read_at).saturating_sub(1).clamp(1, DEPTH_MAX);
        let depth = self.rng.random_range(1..=depth_max);
        let (height, kept) = (self.height, self.height - depth);
        self.people.taken_back(kept);
        let mut others: Vec<(Value, u64)> = Vec::new();
        for _ in 0..self.rng.random_range(0..=6) {
            let place = self.rng.random_range(0..depth);
            let deeds = self.people.act(&self.ground).await?;
            others.extend(deeds.iter().map(|deed| (request(deed), place)));
        }
        let _: Value = chain::raw(&self.ground.provider, "anvil_reorg", (depth, others)).await?;
        self.taken_back.push(depth);
        self.height = kept;
        self.grown(height).await
    }

    /// People act on a branch that the chain leaves for another one, which may be shorter at first.
    async fn leave_branch(&mut self) -> Result<()> {
        let node = self.ground.provider.clone();
        let place: Value = chain::raw(&node, "evm_snapshot", ()).await?;
        let (kept, depth) = (self.height, self.rng.random_range(1..=BRANCH_MAX));
        for _ in 0..depth {
            let n_acts = self.rng.random_range(0..=3);
            self.block(n_acts).await?;
            let pause = self.rng.random_range(0..=PAUSE_MS_MAX / 2);
            self.keeper.listen(Duration::from_millis(pause)).await?;
        }
        let is_left: bool = chain::raw(&node, "evm_revert", (place,)).await?;
        ensure!(is_left, "the node does not know its own snapshot");
        self.people.taken_back(kept);
        self.taken_back.push(depth);
        self.height = kept;
        for _ in 0..self.rng.random_range(1..=depth + 1) {
            let n_acts = self.rng.random_range(1..=3);
            self.block(n_acts).await?;
        }
        Ok(())
    }

    /// The chain is longer than any branch it left, so that the watcher must see what it is.
    async fn outgrow_branches(&mut self) -> Result<()> {
        while self.height < self.highest {
            self.block(0).await?;
        }
        Ok(())
    }

    /// How many losses a watcher can still find when the chain takes blocks back is up to the
    /// machine; here it takes none back.
    async fn lose_enough(&mut self) -> Result<()> {
        self.outgrow_branches().await?;
        for _ in 0..STORM_BLOCKS_MAX {
            let spoiled = self.sieve.spoiled();
            if self.n_named(&spoiled) >= NAMED_MIN && spoiled.n_repeated >= REPEATED_MIN {
                break;
            }
            self.quiet_block().await?;
        }
        Ok(())
    }

    /// The node is sound again, and everything has been compared.
    async fn clear_up(&mut self) -> Result<()> {
        self.sieve.be(Weather::Fair);
        self.outgrow_branches().await?;
        for _ in 0..FAIR_BLOCKS_MAX {
            if self.keeper.unread().is_empty() && self.keeper.is_settled() {
                return Ok(());
            }
            self.quiet_block().await?;
        }
        let left = self.keeper.unread();
        let why = self.reasons();
        Err(Error::msg(format!("not compared: {left:?}; not used: {why:?}")))
    }

    /// A block with few acts, followed before the next one comes. No branch that was left may have
    /// been longer.
    async fn quiet_block(&mut self) -> Result<()> {
        let n_acts = self.rng.random_range(0..=2);
        self.block(n_acts).await?;
        let height = self.height;
        let is_followed = |keeper: &Keeper| keeper.head.is_some_and(|head| head.number >= height);
        self.keeper.until("a block to be followed", BLOCK_TIMEOUT, is_followed).await
    }

    /// Why pools are not used.
    fn reasons(&self) -> BTreeMap<PoolAddress, String> {
        let pools = self.ground.setup.pools.iter();
        let why = pools.filter_map(|pool| {
            let why = self.keeper.pool(pool.address)?.standing.why_not()?;
            Some((pool.address, why.to_owned()))
        });
        why.collect()
    }

    /// Every pool that is used is what the chain says, asked past the sieve.
    async fn judge(&self) -> Result<()> {
        let client = ChainClient::new(&self.ground.anvil.http_url)?;
        let head = self.keeper.head.context("no block was followed")?;
        let latest = client.latest().await?;
        ensure!(latest.header.hash == head.hash, "the engine is at {head:?}, not at {latest:?}");
        for setup in &self.ground.setup.pools {
            let state = self.keeper.pool(setup.address).context("an unknown pool")?;
            if !state.standing.is_live() {
                let why = state.standing.why_not().unwrap_or_default();
                ensure!(!why.is_empty(), "{} is quarantined without a reason", setup.address);
                continue;
            }
            let there = client.pool(setup, &head).await?;
            let found = state.pool.differences(&there).map_err(Error::msg)?;
            ensure!(found.is_empty(), "{} {}: {found:?}", setup.dex, setup.address);
        }
        Ok(())
    }

    /// Lost logs that were searched for and found in the very block that lost them.
    fn n_named(&self, spoiled: &Spoiled) -> usize {
        self.keeper.named.iter().filter(|named| spoiled.lost.contains(named)).count()
    }

    /// Times that the engine was told of blocks taken back.
    fn n_noticed(&self) -> u64 {
        self.keeper.notes.get("reorganised").copied().unwrap_or(0)
    }

    fn tell(&self, seed: u64, began: Instant) {
        let Spoiled { lost, n_lost, n_repeated, n_late, n_refused } = self.sieve.spoiled();
        let note = |kind: &str| self.keeper.notes.get(kind).copied().unwrap_or(0);
        let acts: Vec<String> =
            self.people.tally.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let (live, n_acts) = (self.keeper.n_live(), self.people.n_acts());
        println!(
            "fifty pools: seed {seed}, {n_acts} acts ({}), {} transactions ({} refused) in {} \
             blocks, blocks taken back {:?}, noticed {} times",
            acts.join(", "),
            self.n_sent,
            self.n_refused,
            self.n_blocks,
            self.taken_back,
            self.n_noticed(),
        );
        println!(
            "fifty pools: {n_lost} logs lost in {} places, {n_repeated} told twice, {n_late} \
             answers late, {n_refused} refused; {} quarantines, {} searches, {} named a block \
             ({} where it was lost), {} reloads, {} admissions; {live} live at the end, not used: \
             {:?}; {} s",
            lost.len(),
            note("pool_quarantined"),
            note("pool_logs_searched"),
            self.keeper.named.len(),
            self.n_named(&self.sieve.spoiled()),
            note("pool_reloaded"),
            note("pool_live"),
            self.reasons(),
            began.elapsed().as_secs(),
        );
    }

    /// Enough happened, and no more than may.
    fn was_a_proof(&self) -> Result<()> {
        let spoiled = self.sieve.spoiled();
        let n_named = self.n_named(&spoiled);
        ensure!(n_named >= NAMED_MIN, "only {n_named} lost logs were missed and named");
        // Between a head and its search the chain may have left the branch that was followed.
        let n_elsewhere = self.keeper.named.len() - n_named;
        ensure!(n_elsewhere <= self.taken_back.len(), "{n_elsewhere} named where none was lost");
        let noticed = self.n_noticed();
        ensure!(noticed >= TAKEN_BACK_MIN, "only {noticed} times blocks were taken back");
        ensure!(spoiled.n_repeated >= REPEATED_MIN, "only {} told twice", spoiled.n_repeated);
        ensure!(self.n_refused * 3 < self.n_sent, "a third of all transactions was refused");
        let n_live = self.keeper.n_live();
        ensure!(n_live >= LIVE_MIN, "only {n_live} pools are used at the end");
        let mode = self.keeper.mode();
        ensure!(mode != "halted", "the engine halted");
        Ok(())
    }
}

async fn play(seed: u64, n_acts: u64) -> Result<()> {
    let began = Instant::now();
    let mut world = World::begin(seed).await?;
    let mut n_stormy = n_acts * STORM_TENTHS / 10;
    world.live(Weather::Storm, n_stormy).await?;
    // How often the watcher looks is up to the machine, and with it how often it sees a removal.
    while world.n_noticed() < TAKEN_BACK_MIN && n_stormy < n_acts {
        n_stormy += STORM_LONGER;
        world.live(Weather::Storm, n_stormy).await?;
    }
    world.lose_enough().await?;
    world.sieve.be(Weather::Rough);
    // Whatever was lost was told at this height or below.
    world.keeper.read_anew_above(world.highest);
    let n_acts = world.people.n_acts() + n_acts - n_acts * STORM_TENTHS / 10;
    world.live(Weather::Rough, n_acts).await?;
    world.clear_up().await?;
    for _ in 0..3 {
        world.quiet_block().await?;
    }
    world.tell(seed, began);
    world.judge().await?;
    world.was_a_proof()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pool_that_is_used_is_what_the_chain_says_whatever_its_node_loses() -> Result<()> {
    let (seed, n_acts) = (number("TIDEKEEPER_SEED", 1)?, number("TIDEKEEPER_FIFTY", ACTS)?);
    let played = play(seed, n_acts).await;
    played.with_context(|| format!("TIDEKEEPER_SEED={seed} TIDEKEEPER_FIFTY={n_acts}"))
}
