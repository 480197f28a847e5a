//! The background arbitrageur: ties the deepest pool, SushiSwap's V3 pool and V4's pools to the
//! exchange's book.
//!
//! Simulated, and labelled so wherever it shows: the recorded flow and the recorded book are from
//! different days, so somebody must keep the pools at the book's price. It trades a pool all the
//! way to the book's mid, which pays the pool's liquidity somewhat more than an arbitrageur who
//! stops where fees have eaten the gain; its own result is nobody's concern.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::DynProvider;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::world::chain::{self, ChainError, Deed};
use crate::world::deploy::Deployment;
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::price::{Given, v2_amount_to};
use crate::world::trade::{self, PoolView, Purse, Trade, TradeError};

/// Longest wait for the exchange's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Pause after the chain failed to answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Largest gap closed at once, in bps; a larger one takes several blocks.
const GAP_BPS_MAX: u64 = 500;
/// Basis points of the whole.
const WHOLE_BPS: u64 = 10_000;
/// Of Uniswap's V3 pools the one of this fee is tied to the book.
const TIED_FEE_PIPS: u32 = 100;
/// Pips in a basis point.
const PIPS_PER_BPS: u32 = 100;

/// How the arbitrageur judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArbitrageurPlan {
    /// The exchange's REST address, without a path.
    pub exchange_http: String,
    /// The spot symbol that is ether in test dollars.
    pub symbol: String,
    /// Acts when pool and book differ by the pool's fee and this much more, in bps.
    pub margin_bps: Decimal,
}

/// Why the arbitrageur does not start.
#[derive(Debug, thiserror::Error)]
pub enum ArbitrageurError {
    /// No HTTP client can be made.
    #[error("cannot make an http client")]
    Client(#[from] reqwest::Error),
}

/// Why there is no price now.
#[derive(Debug, thiserror::Error)]
enum MidError {
    #[error("exchange did not answer")]
    Answer(#[from] reqwest::Error),
    #[error("the book has no two sides: bid {bid}, ask {ask}")]
    OneSided { bid: Decimal, ask: Decimal },
}

/// What the arbitrageur has done so far, for anybody to read at any time.
#[derive(Debug, Default)]
pub struct ArbitrageurCounters {
    blocks: AtomicU64,
    blind: AtomicU64,
    sent: AtomicU64,
    filled: AtomicU64,
    late: AtomicU64,
    failed: AtomicU64,
    refills: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArbitrageurTally {
    /// Blocks looked at.
    pub blocks: u64,
    /// Blocks without a price from the exchange.
    pub blind: u64,
    /// Swaps sent.
    pub sent: u64,
    /// Swaps mined that succeeded.
    pub filled: u64,
    /// Swaps mined that reverted: somebody before it in the block had moved the pool past the book.
    pub late: u64,
    /// Looks or swaps that failed otherwise.
    pub failed: u64,
    /// Times it was given tokens from nothing.
    pub refills: u64,
}

impl ArbitrageurCounters {
    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> ArbitrageurTally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ArbitrageurTally {
            blocks: read(&self.blocks),
            blind: read(&self.blind),
            sent: read(&self.sent),
            filled: read(&self.filled),
            late: read(&self.late),
            failed: read(&self.failed),
            refills: read(&self.refills),
        }
    }
}

/// The arbitrageur and what it watches.
#[derive(Debug)]
pub struct Arbitrageur {
    provider: DynProvider,
    contracts: Contracts,
    pools: Vec<PoolSite>,
    account: Address,
    client: reqwest::Client,
    url: String,
    symbol: String,
    margin_bps: Decimal,
    counters: Arc<ArbitrageurCounters>,
}

impl Arbitrageur {
    /// The arbitrageur of a deployed world.
    ///
    /// # Errors
    /// When the process cannot make an HTTP client.
    pub fn new(
        provider: DynProvider,
        world: &Deployment,
        plan: ArbitrageurPlan,
    ) -> Result<Self, ArbitrageurError> {
        Ok(Self {
            provider,
            contracts: world.contracts,
            pools: tied(world),
            account: world.accounts.arbitrageur,
            client: reqwest::Client::builder().timeout(ANSWER_LIMIT).build()?,
            url: format!("{}/api/v3/ticker/bookTicker", plan.exchange_http),
            symbol: plan.symbol,
            margin_bps: plan.margin_bps,
            counters: Arc::default(),
        })
    }

    /// The counters, which outlive the arbitrageur.
    #[must_use]
    pub fn counters(&self) -> Arc<ArbitrageurCounters> {
        Arc::clone(&self.counters)
    }
}

/// Acts at every block until `stop` turns true or its sender is gone. Failures are logged and
/// counted, and the next block is looked at again.
pub async fn run(arbitrageur: Arbitrageur, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        () = watch_blocks(&arbitrageur) => {}
    }
    tracing::info!(tally = ?arbitrageur.counters.tally(), "arbitrageur ended");
}

/// Never ends by itself.
async fn watch_blocks(arbitrageur: &Arbitrageur) {
    let mut seen = 0;
    loop {
        match chain::next_head(&arbitrageur.provider, seen).await {
            Ok(head) => {
                seen = head.number;
                count(&arbitrageur.counters.blocks);
                arbitrageur.at_block().await;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "arbitrageur waits for the chain");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl Arbitrageur {
    async fn at_block(&self) {
        let mid = match self.mid().await {
            Ok(mid) => mid,
            Err(error) => {
                count(&self.counters.blind);
                tracing::warn!(error = &error as &dyn Error, "arbitrageur has no price");
                return;
            }
        };
        // One after the other, so that the node gives each its own nonce; mined together.
        let mut sent = Vec::with_capacity(self.pools.len());
        for pool in &self.pools {
            match self.close_gap(pool, mid).await {
                Ok(trade) => sent.extend(trade),
                Err(error) => self.failed(&error, pool),
            }
        }
        for (pool, deed, hash) in sent {
            match chain::receipt(&self.provider, &deed, hash).await {
                Ok(_) => count(&self.counters.filled),
                Err(ChainError::Reverted { reason, .. }) => {
                    count(&self.counters.late);
                    tracing::debug!(%reason, pool = %pool.address, "arbitrage came too late");
                }
                Err(error) => self.failed(&error.into(), pool),
            }
        }
    }

    fn failed(&self, error: &TradeError, pool: &PoolSite) {
        count(&self.counters.failed);
        let error = error as &dyn Error;
        tracing::warn!(error, pool = %pool.address, "arbitrage failed");
    }

    /// The exchange's mid.
    async fn mid(&self) -> Result<Decimal, MidError> {
        let request = self.client.get(&self.url).query(&[("symbol", &self.symbol)]);
        let answer = request.send().await?.error_for_status()?;
        let BookTicker { bid_price: bid, ask_price: ask } = answer.json().await?;
        mid_of(bid, ask).ok_or(MidError::OneSided { bid, ask })
    }

    /// Sends the swap that takes the pool to the mid, when it is far enough away.
    async fn close_gap<'a>(
        &self,
        pool: &'a PoolSite,
        mid: Decimal,
    ) -> Result<Option<(&'a PoolSite, Deed, B256)>, TradeError> {
        let view = trade::look(&self.provider, &self.contracts, pool).await?;
        let Some(gap_bps) = gap_bps(view.price, mid) else {
            return Ok(None);
        };
        let Some(trade) = self.plan(pool, &view, mid, gap_bps)? else {
            return Ok(None);
        };
        if trade::provide(&self.provider, &self.contracts, &trade).await? == Purse::Refilled {
            count(&self.counters.refills);
            tracing::info!(given = ?trade.given, "simulated arbitrageur refilled");
        }
        let deed = trade::deed(&self.contracts, &trade)?;
        let hash = chain::submit(&self.provider, &deed).await?;
        count(&self.counters.sent);
        let given = trade.given;
        tracing::debug!(pool = %pool.address, %gap_bps, ?given, "simulated arbitrage");
        Ok(Some((pool, deed, hash)))
    }

    fn plan(
        &self,
        pool: &PoolSite,
        view: &PoolView,
        mid: Decimal,
        gap_bps: Decimal,
    ) -> Result<Option<Trade>, TradeError> {
        let fee_bps = Decimal::from(pool.fee_pips) / Decimal::from(PIPS_PER_BPS);
        if gap_bps.abs() <= fee_bps.saturating_add(self.margin_bps) {
            return Ok(None);
        }
        let given = if gap_bps.is_sign_positive() { Given::Base } else { Given::Quote };
        let (amount, sqrt_price_limit_x96) = match pool.dex {
            Dex::UniswapV2 | Dex::SushiswapV2 => (v2_amount_to(mid, view.depth, given), U256::ZERO),
            Dex::UniswapV3 | Dex::SushiswapV3 | Dex::UniswapV4 => {
                let most = most_for(view.depth_of(given), gap_bps);
                (Some(most), trade::limit_at(&self.contracts, pool, mid)?)
            }
        };
        let from = self.account;
        Ok(amount.map(|amount| Trade { pool: *pool, from, given, amount, sqrt_price_limit_x96 }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookTicker {
    bid_price: Decimal,
    ask_price: Decimal,
}

/// The deepest pool of ether, those of V4, in which no executor trades, and SushiSwap's of V3; the
/// others are left to whoever cycles between them.
fn tied(world: &Deployment) -> Vec<PoolSite> {
    let Contracts { weth, usdt, .. } = world.contracts;
    let is_tied = |pool: &&PoolSite| {
        let is_main = pool.ether_and_other(weth).is_some_and(|(_, dollar)| dollar == usdt);
        let is_ours = match pool.dex {
            Dex::UniswapV3 => pool.fee_pips == TIED_FEE_PIPS,
            Dex::SushiswapV3 | Dex::UniswapV4 => true,
            Dex::UniswapV2 | Dex::SushiswapV2 => false,
        };
        is_main && is_ours
    };
    world.pools.iter().filter(is_tied).copied().collect()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn mid_of(bid: Decimal, ask: Decimal) -> Option<Decimal> {
    let is_book = bid > Decimal::ZERO && bid <= ask;
    if is_book { bid.checked_add(ask)?.checked_div(Decimal::TWO) } else { None }
}

/// How far the pool stands above the mid.
fn gap_bps(price: Decimal, mid: Decimal) -> Option<Decimal> {
    price.checked_sub(mid)?.checked_div(mid)?.checked_mul(WHOLE_BPS.into())
}

/// More than enough to move the price of a pool with ticks by a gap: in one range it takes about
/// half of it times the depth. The price limit leaves the rest unspent.
fn most_for(depth: U256, gap_bps: Decimal) -> U256 {
    let gap = u64::try_from(gap_bps.abs().ceil()).unwrap_or(GAP_BPS_MAX).min(GAP_BPS_MAX);
    (depth / U256::from(WHOLE_BPS)).saturating_mul(U256::from(gap)).max(U256::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn book_with_one_side_or_crossed_has_no_mid() {
        let at = |cents: i64| Decimal::new(cents, 2);
        assert_eq!(mid_of(at(268_301), at(268_302)), Some(Decimal::new(2_683_015, 3)));
        assert_eq!(mid_of(at(0), at(268_302)), None);
        assert_eq!(mid_of(at(268_303), at(268_302)), None);
        assert_eq!(mid_of(Decimal::MAX, Decimal::MAX), None);
    }

    #[test]
    fn gap_is_signed_from_the_book() {
        let price = |units: i64| Decimal::from(units);
        assert_eq!(gap_bps(price(1_001), price(1_000)), Some(price(10)));
        assert_eq!(gap_bps(price(999), price(1_000)), Some(price(-10)));
        assert_eq!(gap_bps(price(999), price(0)), None);
    }

    #[test]
    fn amount_covers_the_gap_and_is_bounded() {
        let depth = U256::from(1_000_000);
        assert_eq!(most_for(depth, Decimal::new(-95, 1)), U256::from(1_000));
        assert_eq!(most_for(depth, Decimal::MAX), U256::from(50_000));
        assert_eq!(most_for(U256::ZERO, Decimal::ONE), U256::ONE);
    }

    #[test]
    fn binance_ticker_is_read() {
        let text = r#"{"symbol":"ETHUSDT","bidPrice":"2683.10000000","bidQty":"1.0",
                      "askPrice":"2683.11000000","askQty":"2.0"}"#;
        let read: BookTicker = serde_json::from_str(text).unwrap();
        assert_eq!(mid_of(read.bid_price, read.ask_price), Some(Decimal::new(2_683_105, 3)));
    }
}
