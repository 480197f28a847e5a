//! Rival searchers: they close gaps between the pools as soon as one pays, so that landing an
//! arbitrage is a contest.
//!
//! Simulated, and labelled so wherever it shows: latency, skill and bid are drawn, not observed.
//! A rival sees only the chain, never what we plan, and pays the real contracts' fees and gas in
//! play money. Invariant: one seed and one chain state, one set of attempts; only when they arrive
//! is left to the wall clock.

mod gap;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, TxKind, U256};
use alloy::providers::DynProvider;
use alloy::rpc::types::TransactionRequest;
use alloy::transports::RpcError;
use futures::future::{join_all, try_join_all};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::venues::executor::{self, FeeTooLarge, Flash, Leg};
use crate::world::chain::{self, ChainError, Deed, Head};
use crate::world::deploy::Deployment;
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::rivals::gap::{Fees, Gap, Sight, amount_worth, draw, fees, widest_gap};
use crate::world::site::{DEX_SUSHISWAP_V2, DEX_SUSHISWAP_V3, DEX_UNISWAP_V2, DEX_UNISWAP_V3};
use crate::world::trade::{self, TradeError};

/// Most rivals at once: each looks at every pool in every block.
const RIVALS_MAX: usize = 8;
/// Most pools a rival looks at.
const POOLS_MAX: usize = 16;
/// Heads are looked for so often.
const HEAD_STEP: Duration = Duration::from_millis(20);
/// Pause after the chain failed to answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Gas limit = estimate x 13 / 10 + 50,000, for the reason given in `chain`.
const GAS_FACTOR: (u64, u64) = (13, 10);
const GAS_MARGIN: u64 = 50_000;
/// Any gain is accepted on the chain: gas was counted before.
const MIN_PROFIT: U256 = U256::ONE;
/// Blocks after the head in which a cycle may still run.
const DEADLINE_BLOCKS: u64 = 2;
/// JSON-RPC code of an estimate or a call that a contract refused.
const REVERT_CODE: i64 = 3;

/// How the rivals play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RivalsPlan {
    /// Draws latency, skill and bid of each attempt.
    pub seed: u64,
}

/// Why the rivals do not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RivalsError {
    /// There is nobody to compete, or nothing to compete for.
    #[error("the world has no rivals, or fewer than two pools of ether")]
    Deserted,
    /// Each rival needs an executor of its own.
    #[error("{rivals} rivals have {executors} executors")]
    Unequal { rivals: usize, executors: usize },
    /// More than a local chain should be asked about in every block.
    #[error("{found} {what} are more than {max}")]
    TooMany { what: &'static str, found: usize, max: usize },
}

/// What all rivals together have done so far, for anybody to read at any time.
#[derive(Debug, Default)]
pub struct RivalsCounters {
    blocks: AtomicU64,
    looked: AtomicU64,
    found: AtomicU64,
    sent: AtomicU64,
    won: AtomicU64,
    lost: AtomicU64,
    reverted: AtomicU64,
    failed: AtomicU64,
}

/// The counters at one moment, of all rivals together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RivalsTally {
    /// Heads met; each rival counts its own.
    pub blocks: u64,
    /// Times a rival had read all pools.
    pub looked: u64,
    /// Gaps that seemed to pay for their gas.
    pub found: u64,
    /// Cycles sent.
    pub sent: u64,
    /// Cycles mined that succeeded.
    pub won: u64,
    /// Gaps gone before the rival could send: somebody was faster.
    pub lost: u64,
    /// Cycles mined that reverted: somebody was before it in the block.
    pub reverted: u64,
    /// Looks or cycles that failed otherwise.
    pub failed: u64,
}

impl RivalsCounters {
    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> RivalsTally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RivalsTally {
            blocks: read(&self.blocks),
            looked: read(&self.looked),
            found: read(&self.found),
            sent: read(&self.sent),
            won: read(&self.won),
            lost: read(&self.lost),
            reverted: read(&self.reverted),
            failed: read(&self.failed),
        }
    }
}

/// The rivals and what they watch.
#[derive(Debug)]
pub struct Rivals {
    provider: DynProvider,
    contracts: Contracts,
    pools: Vec<Listed>,
    rivals: Vec<Rival>,
    seed: u64,
    counters: Arc<RivalsCounters>,
}

impl Rivals {
    /// The rivals of a deployed world, one per account.
    ///
    /// # Errors
    /// When the world has no rivals or no two pools of ether, too many of either, or not one
    /// executor per rival.
    pub fn new(
        provider: DynProvider,
        world: &Deployment,
        plan: RivalsPlan,
    ) -> Result<Self, RivalsError> {
        Ok(Self {
            provider,
            contracts: world.contracts,
            pools: pools_of(world.contracts.weth, &world.pools)?,
            rivals: line_up(&world.accounts.rivals, &world.rival_executors)?,
            seed: plan.seed,
            counters: Arc::default(),
        })
    }

    /// The counters, which outlive the rivals.
    #[must_use]
    pub fn counters(&self) -> Arc<RivalsCounters> {
        Arc::clone(&self.counters)
    }
}

/// Competes at every block until `stop` turns true or its sender is gone. Failures are logged and
/// counted, and the next block is looked at again.
pub async fn run(rivals: Rivals, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = race(&rivals) => {}
    }
    tracing::info!(tally = ?rivals.counters.tally(), "rivals ended");
}

/// Never ends by itself.
async fn race(rivals: &Rivals) {
    let (heads, head) = watch::channel(None);
    let race = join_all(rivals.rivals.iter().map(|rival| compete(rivals, *rival, head.clone())));
    tokio::join!(watch_heads(&rivals.provider, &heads), race);
}

/// Looks for heads on behalf of all rivals: one that learns of them late has lost already.
async fn watch_heads(provider: &DynProvider, heads: &watch::Sender<Option<Head>>) {
    let mut seen = 0;
    loop {
        match chain::next_head_soon(provider, seen, HEAD_STEP).await {
            Ok(head) => {
                seen = head.number;
                heads.send_replace(Some(head));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "rivals wait for the chain");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// One rival's days.
async fn compete(rivals: &Rivals, rival: Rival, mut heads: watch::Receiver<Option<Head>>) {
    while heads.changed().await.is_ok() {
        let head = *heads.borrow_and_update();
        if let Some(head) = head {
            count(&rivals.counters.blocks);
            rivals.at_block(rival, head).await;
        }
    }
}

impl Rivals {
    async fn at_block(&self, rival: Rival, head: Head) {
        if let Err(error) = self.compete(rival, head).await {
            count(&self.counters.failed);
            let error = &error as &dyn Error;
            tracing::warn!(error, rival = %rival.account, "simulated rival failed");
        }
    }

    /// Looks once, and sends at most one cycle.
    async fn compete(&self, rival: Rival, head: Head) -> Result<(), TradeError> {
        let looks = self.pools.iter();
        let sights = try_join_all(looks.map(|listed| self.look(*listed))).await?;
        count(&self.counters.looked);
        let Some(gap) = widest_gap(&sights) else {
            return Ok(());
        };
        let gas_price: U256 = chain::raw(&self.provider, "eth_gasPrice", ()).await?;
        let draw = draw(self.seed, rival.index, head.number);
        let fees = fees(gas_price.saturating_to(), draw.bid_wei);
        let Some(amount) = amount_worth(&gap, draw.skill, fees) else {
            return Ok(());
        };
        count(&self.counters.found);
        let deed = cycle(self.contracts.weth, rival, &gap, amount, head)?;
        sleep(draw.latency).await;
        let Some(hash) = submit(&self.provider, &deed, fees).await? else {
            count(&self.counters.lost);
            return Ok(());
        };
        count(&self.counters.sent);
        let rival = rival.account;
        let (cheap, dear, share) = (gap.cheap.pool.address, gap.dear.pool.address, gap.share);
        tracing::debug!(%rival, %cheap, %dear, %share, %amount, ?draw, "simulated cycle");
        match chain::receipt(&self.provider, &deed, hash).await {
            Ok(_) => count(&self.counters.won),
            Err(ChainError::Reverted { .. }) => count(&self.counters.reverted),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn look(&self, listed: Listed) -> Result<Sight, TradeError> {
        let Listed { pool, dex, quote } = listed;
        let view = trade::look(&self.provider, &self.contracts, &pool).await?;
        Ok(Sight { pool, dex, quote, view })
    }
}

/// A pool of ether that the executors trade in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    pool: PoolSite,
    /// The executors' number of its exchange.
    dex: u8,
    /// The token that is not ether.
    quote: Address,
}

/// One searcher: the operator of its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rival {
    index: u64,
    account: Address,
    executor: Address,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn line_up(accounts: &[Address], executors: &[Address]) -> Result<Vec<Rival>, RivalsError> {
    if accounts.len() != executors.len() {
        let (rivals, executors) = (accounts.len(), executors.len());
        return Err(RivalsError::Unequal { rivals, executors });
    }
    let rival = |(index, (account, executor)): (u64, (&Address, &Address))| Rival {
        index,
        account: *account,
        executor: *executor,
    };
    match accounts.len() {
        0 => Err(RivalsError::Deserted),
        1..=RIVALS_MAX => Ok((0..).zip(accounts.iter().zip(executors)).map(rival).collect()),
        found => Err(RivalsError::TooMany { what: "rivals", found, max: RIVALS_MAX }),
    }
}

/// The pools of wrapped ether on the executors' exchanges.
fn pools_of(weth: Address, pools: &[PoolSite]) -> Result<Vec<Listed>, RivalsError> {
    let listed = |pool: &PoolSite| {
        Some(Listed { pool: *pool, dex: dex_index(pool.dex)?, quote: pool.other(weth)? })
    };
    let found: Vec<Listed> = pools.iter().filter_map(listed).collect();
    match found.len() {
        0 | 1 => Err(RivalsError::Deserted),
        2..=POOLS_MAX => Ok(found),
        found => Err(RivalsError::TooMany { what: "pools", found, max: POOLS_MAX }),
    }
}

/// Index of an exchange in the executors' list; they do not know V4.
fn dex_index(dex: Dex) -> Option<u8> {
    match dex {
        Dex::UniswapV2 => Some(DEX_UNISWAP_V2),
        Dex::SushiswapV2 => Some(DEX_SUSHISWAP_V2),
        Dex::UniswapV3 => Some(DEX_UNISWAP_V3),
        Dex::SushiswapV3 => Some(DEX_SUSHISWAP_V3),
        Dex::UniswapV4 => None,
    }
}

/// Buys ether where it is cheap and sells it where it is dear, on the first pool's credit.
fn cycle(
    weth: Address,
    rival: Rival,
    gap: &Gap,
    amount: U256,
    head: Head,
) -> Result<Deed, FeeTooLarge> {
    let quote = gap.cheap.quote;
    let leg = |sight: &Sight, token_out: Address| Leg {
        dex: sight.dex,
        fee_pips: sight.pool.fee_pips,
        token_out,
    };
    let legs = [leg(&gap.cheap, weth), leg(&gap.dear, quote)];
    let cycle = Flash {
        token: quote,
        amount_in: amount,
        min_profit: MIN_PROFIT,
        deadline_block: head.number.saturating_add(DEADLINE_BLOCKS),
        legs: &legs,
    };
    Ok(Deed::with_input(rival.account, rival.executor, executor::flash(&cycle)?))
}

/// As [`chain::submit`], with a bid. `None` when the estimate reverts: the gap is gone, because
/// somebody was faster.
async fn submit(
    provider: &DynProvider,
    deed: &Deed,
    fees: Fees,
) -> Result<Option<B256>, ChainError> {
    let request = request(deed, fees);
    let gas: U256 = match chain::raw(provider, "eth_estimateGas", (request.clone(),)).await {
        Ok(gas) => gas,
        Err(error) if is_revert(&error) => {
            let error = &error as &dyn Error;
            tracing::debug!(error, rival = %deed.from, "simulated cycle came too late");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let limit = gas.saturating_to::<u64>().saturating_mul(GAS_FACTOR.0) / GAS_FACTOR.1;
    let request = request.with_gas_limit(limit.saturating_add(GAS_MARGIN));
    chain::raw(provider, "eth_sendTransaction", (request,)).await.map(Some)
}

fn request(deed: &Deed, fees: Fees) -> TransactionRequest {
    TransactionRequest::default()
        .with_from(deed.from)
        .with_kind(TxKind::from(deed.to))
        .with_input(deed.input.clone())
        .with_value(deed.value)
        .with_max_fee_per_gas(fees.max_wei)
        .with_max_priority_fee_per_gas(fees.priority_wei)
}

fn is_revert(error: &ChainError) -> bool {
    matches!(
        error,
        ChainError::Rpc { source: RpcError::ErrorResp(answer), .. } if answer.code == REVERT_CODE
    )
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Bytes;
    use rust_decimal::dec;

    use super::*;
    use crate::world::price::Reserves;
    use crate::world::trade::PoolView;

    fn at(last: u8) -> Address {
        Address::with_last_byte(last)
    }

    fn pool(dex: Dex, fee_pips: u32, tokens: [u8; 2]) -> PoolSite {
        let [token0, token1] = tokens.map(at);
        PoolSite { address: at(9).into(), dex, fee_pips, tick_spacing: 1, token0, token1 }
    }

    fn sight(pool: PoolSite) -> Sight {
        let depth = Reserves { base: U256::ONE, quote: U256::ONE };
        let dex = dex_index(pool.dex).unwrap();
        Sight { pool, dex, quote: at(2), view: PoolView { price: dec!(2000), depth } }
    }

    #[test]
    fn only_pools_of_ether_count_whichever_side_it_is_on() {
        let [usdt, usdc] = [[1, 2], [3, 1]].map(|tokens| pool(Dex::UniswapV2, 3_000, tokens));
        let stable = pool(Dex::UniswapV3, 100, [2, 3]);
        let found = pools_of(at(1), &[usdt, stable, usdc]);
        let listed = |pool, quote| Listed { pool, dex: DEX_UNISWAP_V2, quote };
        assert_eq!(found, Ok(vec![listed(usdt, at(2)), listed(usdc, at(3))]));
        assert_eq!(pools_of(at(1), &[usdt, stable]), Err(RivalsError::Deserted));
        // No executor knows V4.
        let v4 = pool(Dex::UniswapV4, 500, [1, 2]);
        assert_eq!(pools_of(at(1), &[usdt, v4]), Err(RivalsError::Deserted));
        let crowd = [usdt; POOLS_MAX + 1];
        assert!(matches!(pools_of(at(1), &crowd), Err(RivalsError::TooMany { found: 17, .. })));
    }

    #[test]
    fn each_rival_has_its_own_executor() {
        let lined = line_up(&[at(1), at(2)], &[at(3), at(4)]).unwrap();
        assert_eq!(lined[1], Rival { index: 1, account: at(2), executor: at(4) });
        let unequal = RivalsError::Unequal { rivals: 1, executors: 0 };
        assert_eq!(line_up(&[at(1)], &[]), Err(unequal));
        assert_eq!(line_up(&[], &[]), Err(RivalsError::Deserted));
        let crowd = [at(1); RIVALS_MAX + 1];
        assert!(matches!(line_up(&crowd, &crowd), Err(RivalsError::TooMany { found: 9, .. })));
    }

    #[test]
    fn cycle_buys_ether_where_it_is_cheap_and_ends_in_quote() {
        let cheap = sight(pool(Dex::SushiswapV2, 3_000, [1, 2]));
        let dear = sight(pool(Dex::SushiswapV3, 500, [1, 2]));
        let rival = Rival { index: 0, account: at(7), executor: at(8) };
        let gap = Gap { cheap, dear, share: dec!(0.01) };
        let head = Head { number: 10, time_s: 0 };
        let deed = cycle(at(1), rival, &gap, U256::from(5), head).unwrap();
        let legs = [
            Leg { dex: DEX_SUSHISWAP_V2, fee_pips: 3_000, token_out: at(1) },
            Leg { dex: DEX_SUSHISWAP_V3, fee_pips: 500, token_out: at(2) },
        ];
        let flash = Flash {
            token: at(2),
            amount_in: U256::from(5),
            min_profit: U256::ONE,
            deadline_block: 12,
            legs: &legs,
        };
        let input = executor::flash(&flash).unwrap();
        assert_eq!((deed.from, deed.to, deed.input), (at(7), Some(at(8)), input));
    }

    #[test]
    fn request_carries_the_bid() {
        let deed = Deed::with_input(at(7), at(8), Bytes::new());
        let asked = request(&deed, fees(10, 3));
        assert_eq!((asked.from, asked.to), (Some(at(7)), Some(TxKind::Call(at(8)))));
        assert_eq!(asked.max_fee_per_gas, Some(23));
        assert_eq!(asked.max_priority_fee_per_gas, Some(3));
    }
}
