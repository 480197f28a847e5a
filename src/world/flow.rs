//! The recorded flow: swaps of a real mainnet day, made again by trader accounts in our pools.
//!
//! Recorded are times, directions and input sizes (see `flow/README.md`); the choice of pool, the
//! faster clock and refilled purses are simulated. Invariant: one seed, one chain clock, one
//! sequence of swaps.

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, U256, keccak256};
use alloy::providers::DynProvider;
use flate2::read::GzDecoder;
use futures::future::join_all;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::world::chain;
use crate::world::deploy::Deployment;
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::price::Given;
use crate::world::trade::{self, Purse, Trade, TradeError};

/// The recorded swaps: second of the day, token given, amount given in its smallest unit.
const RECORDING: &[u8] = include_bytes!("flow/swaps_2024-01-05.csv.gz");
/// The recording's length; after it the day begins again.
const DAY_S: u64 = 86_400;
/// Most bytes the unpacked recording may have.
const RECORDING_BYTES_MAX: u64 = 4 << 20;
/// Most swaps made at once, each by another trader.
const BATCH_MAX: usize = 4;
/// When swaps are later than this, the tape waits for the chain rather than flooding it.
const LAG_S_MAX: u64 = 20;
/// A swap gives at most this part of the pool's depth, in 1/10,000; more is cut and counted.
const DEPTH_SHARE_MAX: u64 = 50;
const WHOLE: u64 = 10_000;
/// Pause after the chain failed to answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How the recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPlan {
    /// Recorded seconds per second of the chain.
    pub compression: u64,
    /// Chooses the pool of each swap.
    pub seed: u64,
}

/// Why the recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The built-in file cannot be unpacked.
    #[error("cannot unpack the recorded swaps")]
    Packed(#[from] std::io::Error),
    /// A line is not a swap.
    #[error("line {0} of the recorded swaps is not a swap")]
    Line(usize),
    /// There is nobody or nothing to trade with.
    #[error("the world has no traders or no pools")]
    Deserted,
}

/// What the flow has done so far, for anybody to read at any time.
#[derive(Debug, Default)]
pub struct FlowCounters {
    sent: AtomicU64,
    filled: AtomicU64,
    failed: AtomicU64,
    capped: AtomicU64,
    refills: AtomicU64,
    laps: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowTally {
    /// Recorded swaps taken from the tape.
    pub sent: u64,
    /// Those that were mined and succeeded.
    pub filled: u64,
    /// Those that were not.
    pub failed: u64,
    /// Those cut to the pool's depth.
    pub capped: u64,
    /// Times a trader was given tokens from nothing.
    pub refills: u64,
    /// Times the recorded day began again.
    pub laps: u64,
}

impl FlowCounters {
    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> FlowTally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FlowTally {
            sent: read(&self.sent),
            filled: read(&self.filled),
            failed: read(&self.failed),
            capped: read(&self.capped),
            refills: read(&self.refills),
            laps: read(&self.laps),
        }
    }
}

/// The traders and their tape.
#[derive(Debug)]
pub struct Flow {
    provider: DynProvider,
    contracts: Contracts,
    pools: Vec<PoolSite>,
    traders: Vec<Address>,
    seed: u64,
    tape: Tape,
    counters: Arc<FlowCounters>,
}

impl Flow {
    /// Traders of a deployed world, before their first swap.
    ///
    /// # Errors
    /// When the built-in recording is damaged, or the world has no traders or pools.
    pub fn new(
        provider: DynProvider,
        world: &Deployment,
        plan: FlowPlan,
    ) -> Result<Self, TapeError> {
        let weth = world.contracts.weth;
        let has_ether = |pool: &&PoolSite| pool.ether_and_other(weth).is_some();
        let pools: Vec<PoolSite> = world.pools.iter().filter(has_ether).copied().collect();
        if pools.is_empty() || world.accounts.traders.is_empty() {
            return Err(TapeError::Deserted);
        }
        Ok(Self {
            provider,
            contracts: world.contracts,
            pools,
            traders: world.accounts.traders.clone(),
            seed: plan.seed,
            tape: Tape::new(recording()?, plan.compression.max(1)),
            counters: Arc::default(),
        })
    }

    /// The counters, which outlive the flow.
    #[must_use]
    pub fn counters(&self) -> Arc<FlowCounters> {
        Arc::clone(&self.counters)
    }
}

/// Replays until `stop` turns true or its sender is gone. Failures are logged and counted, and the
/// tape goes on.
pub async fn run(mut flow: Flow, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = replay(&mut flow) => {}
    }
    tracing::info!(tally = ?flow.counters.tally(), "flow ended");
}

/// Never ends by itself.
async fn replay(flow: &mut Flow) {
    let mut seen = 0;
    loop {
        match chain::next_head(&flow.provider, seen).await {
            Ok(head) => {
                seen = head.number;
                let due = flow.tape.due(head.time_s, BATCH_MAX.min(flow.traders.len()));
                flow.counters.laps.store(flow.tape.laps, Ordering::Relaxed);
                let swaps = due.iter().zip(&flow.traders);
                join_all(swaps.map(|(swap, trader)| flow.make(*swap, *trader))).await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "flow waits for the chain");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl Flow {
    async fn make(&self, due: Due, trader: Address) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&self.counters.sent);
        let pool = self.pools[choose(&self.pools, self.seed, due.sequence)];
        match self.swap(due.swap, pool, trader).await {
            Ok(()) => {
                count(&self.counters.filled);
            }
            Err(error) => {
                count(&self.counters.failed);
                let error = &error as &dyn Error;
                tracing::warn!(error, %trader, pool = %pool.address, "recorded swap failed");
            }
        }
    }

    async fn swap(
        &self,
        swap: RecordedSwap,
        pool: PoolSite,
        trader: Address,
    ) -> Result<(), TradeError> {
        let view = trade::look(&self.provider, &self.contracts, &pool).await?;
        let amount = capped(swap.amount, view.depth_of(swap.given));
        if amount < swap.amount {
            self.counters.capped.fetch_add(1, Ordering::Relaxed);
        }
        let trade = Trade {
            pool,
            from: trader,
            given: swap.given,
            amount,
            sqrt_price_limit_x96: U256::ZERO,
        };
        if trade::provide(&self.provider, &self.contracts, &trade).await? == Purse::Refilled {
            self.counters.refills.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%trader, given = ?swap.given, "simulated trader refilled");
        }
        chain::send(&self.provider, &trade::deed(&self.contracts, &trade)?).await?;
        Ok(())
    }
}

fn capped(amount: U256, depth: U256) -> U256 {
    let share = depth / U256::from(WHOLE) * U256::from(DEPTH_SHARE_MAX);
    amount.min(share.max(U256::ONE))
}

/// How much of the flow a pool attracts, compared with the others: most of it trades where it is
/// cheapest, as on mainnet.
fn weight(pool: &PoolSite) -> u64 {
    match (pool.dex, pool.fee_pips) {
        (Dex::UniswapV3, ..=100) => 16,
        (Dex::UniswapV3 | Dex::UniswapV4, _) => 3,
        (Dex::UniswapV2 | Dex::SushiswapV2 | Dex::SushiswapV3, _) => 2,
    }
}

/// The pool of a swap, by weight; the same for the same seed and sequence number.
fn choose(pools: &[PoolSite], seed: u64, sequence: u64) -> usize {
    let digest = keccak256([seed.to_be_bytes(), sequence.to_be_bytes()].concat());
    let drawn = U256::from_be_bytes(digest.0);
    let total: u64 = pools.iter().map(weight).sum();
    let mut left: u64 = (drawn % U256::from(total.max(1))).to();
    for (index, pool) in pools.iter().enumerate() {
        match left.checked_sub(weight(pool)) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    0
}

/// One recorded swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RecordedSwap {
    at_s: u64,
    given: Given,
    amount: U256,
}

/// A recorded swap whose time has come, and its number since the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    sequence: u64,
    swap: RecordedSwap,
}

/// The recording, and how far it has been played against the chain's clock.
#[derive(Debug)]
struct Tape {
    swaps: Vec<RecordedSwap>,
    compression: u64,
    /// Chain time at which the recording began, once known.
    start_s: Option<u64>,
    next: usize,
    laps: u64,
    sequence: u64,
}

impl Tape {
    fn new(swaps: Vec<RecordedSwap>, compression: u64) -> Self {
        Self { swaps, compression, start_s: None, next: 0, laps: 0, sequence: 0 }
    }

    /// The swaps due at a chain time, at most `max`; the rest stay due.
    fn due(&mut self, now_s: u64, max: usize) -> Vec<Due> {
        let start_s = *self.start_s.get_or_insert(now_s);
        let played_s = now_s.saturating_sub(start_s).saturating_mul(self.compression);
        let mut due = Vec::new();
        while due.len() < max
            && let Some(swap) = self.swaps.get(self.next).copied()
            && self.laps.saturating_mul(DAY_S).saturating_add(swap.at_s) <= played_s
        {
            due.push(Due { sequence: self.sequence, swap });
            self.advance();
        }
        self.wait(start_s, played_s);
        due
    }

    fn advance(&mut self) {
        self.sequence += 1;
        self.next += 1;
        if self.next == self.swaps.len() {
            self.next = 0;
            self.laps += 1;
        }
    }

    /// Moves the start so that nothing is later than the bound.
    fn wait(&mut self, start_s: u64, played_s: u64) {
        let Some(swap) = self.swaps.get(self.next) else {
            return;
        };
        let wanted_s = self.laps.saturating_mul(DAY_S).saturating_add(swap.at_s);
        let lag_s = played_s.saturating_sub(wanted_s) / self.compression;
        if lag_s > LAG_S_MAX {
            self.start_s = Some(start_s.saturating_add(lag_s - LAG_S_MAX));
        }
    }
}

fn recording() -> Result<Vec<RecordedSwap>, TapeError> {
    let mut text = String::new();
    GzDecoder::new(RECORDING).take(RECORDING_BYTES_MAX).read_to_string(&mut text)?;
    let lines = text.lines().enumerate().skip(1);
    lines.map(|(at, line)| parse(line).ok_or(TapeError::Line(at + 1))).collect()
}

/// `at_s,token_in,amount_in`; the recorded dollar is USDC and plays the test dollar here.
fn parse(line: &str) -> Option<RecordedSwap> {
    let mut fields = line.split(',');
    let at_s = fields.next()?.parse().ok().filter(|at_s| *at_s < DAY_S)?;
    let given = match fields.next()? {
        "weth" => Given::Base,
        "usd" => Given::Quote,
        _ => return None,
    };
    let amount = U256::from_str_radix(fields.next()?, 10).ok()?;
    fields.next().is_none().then_some(RecordedSwap { at_s, given, amount })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swap(at_s: u64) -> RecordedSwap {
        RecordedSwap { at_s, given: Given::Base, amount: U256::from(at_s) }
    }

    fn times(due: &[Due]) -> Vec<u64> {
        due.iter().map(|due| due.swap.at_s).collect()
    }

    fn pool(dex: Dex, fee_pips: u32) -> PoolSite {
        let [token0, token1] = [1, 2].map(Address::with_last_byte);
        let address = Address::with_last_byte(9).into();
        PoolSite { address, dex, fee_pips, tick_spacing: 1, token0, token1 }
    }

    #[test]
    fn recording_is_the_whole_day_in_order() {
        let swaps = recording().unwrap();
        assert_eq!(swaps.len(), 6_046);
        assert!(swaps.is_sorted_by_key(|swap| swap.at_s));
        assert_eq!(swaps[0], parse("23,weth,10000000000000000").unwrap());
        assert!(swaps.iter().all(|swap| !swap.amount.is_zero()));
    }

    #[test]
    fn lines_that_are_not_swaps_are_refused() {
        for line in ["", "1,weth", "1,dai,5", "x,weth,5", "1,weth,-5", "1,weth,5,6", "86400,weth,5"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn compression_makes_recorded_seconds_pass_faster() {
        let mut tape = Tape::new(vec![swap(0), swap(4), swap(8), swap(9)], 4);
        assert_eq!(times(&tape.due(1_000, 9)), [0]);
        assert_eq!(times(&tape.due(1_002, 9)), [4, 8]);
        assert_eq!(times(&tape.due(1_002, 9)), [0; 0]);
        assert_eq!(times(&tape.due(1_003, 9)), [9]);
    }

    #[test]
    fn batch_is_bounded_and_the_rest_stays_due() {
        let mut tape = Tape::new(vec![swap(0), swap(0), swap(0)], 1);
        assert_eq!(tape.due(5, 2).len(), 2);
        assert_eq!(tape.due(5, 2).len(), 1);
    }

    #[test]
    fn day_begins_again_with_other_numbers() {
        let mut tape = Tape::new(vec![swap(0)], DAY_S);
        let first = tape.due(1, 9);
        let second = tape.due(2, 9);
        assert_eq!((first.len(), second.len(), tape.laps), (1, 1, 2));
        assert_ne!(first[0].sequence, second[0].sequence);
    }

    #[test]
    fn tape_waits_for_a_chain_that_was_away() {
        let mut tape = Tape::new((0..1_000).map(swap).collect(), 1);
        tape.due(0, 4);
        assert_eq!(times(&tape.due(900, 4)), [1, 2, 3, 4]);
        // Without waiting, 900 swaps would be due; now only those within the bound are.
        assert_eq!(tape.due(900, usize::MAX).len() as u64, LAG_S_MAX + 1);
        assert!(tape.due(901, usize::MAX).len() <= 2);
    }

    #[test]
    fn clock_that_goes_backwards_yields_nothing() {
        let mut tape = Tape::new(vec![swap(5)], 1);
        assert_eq!(tape.due(100, 9), []);
        assert_eq!(tape.due(1, 9), []);
        assert_eq!(Tape::new(Vec::new(), 1).due(1, 9), []);
    }

    #[test]
    fn pools_are_chosen_by_weight_and_repeatably() {
        let pools =
            [pool(Dex::UniswapV3, 100), pool(Dex::UniswapV3, 3_000), pool(Dex::UniswapV2, 3_000)];
        let mut hits = [0; 3];
        for sequence in 0..2_000 {
            let chosen = choose(&pools, 7, sequence);
            assert_eq!(chosen, choose(&pools, 7, sequence));
            hits[chosen] += 1;
        }
        assert!((1_500..1_700).contains(&hits[0]), "{hits:?}");
        assert!((240..360).contains(&hits[1]), "{hits:?}");
    }

    #[test]
    fn large_swaps_are_cut_to_the_depth() {
        assert_eq!(capped(U256::from(100), U256::from(10_000)), U256::from(50));
        assert_eq!(capped(U256::from(10), U256::from(10_000)), U256::from(10));
        assert_eq!(capped(U256::from(10), U256::ZERO), U256::ONE);
        assert_eq!(capped(U256::MAX, U256::MAX).bit_len(), 249);
    }
}
