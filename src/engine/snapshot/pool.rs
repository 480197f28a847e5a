//! One pool in full, for whoever asks: its curve around the price, what stands there, what its
//! newest logs did. Too much for a document of all pools, so it is made on demand.

mod curve;

use alloy::primitives::I256;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use self::curve::{Coin, Curve, Sides, Step};
use super::{PoolRow, text};
use crate::engine::Engine;
use crate::engine::event::Pool;
use crate::engine::recent::{Price, Seen};
use crate::engine::setup::PoolSetup;
use crate::engine::state::ChainState;
use crate::math::amm::Rounding;
use crate::math::amm::tick::sqrt_price_at;
use crate::model::amount::{human, human_unsigned};
use crate::model::chain::PoolAddress;
use crate::model::intent::PoolId;
use crate::model::time::Timestamp;

/// Pools of a chain in the document that everybody is sent.
const POOL_ROWS_MAX: usize = 200;
/// Distances within which tokens are counted, percent of the price.
const WITHIN_PERCENT: [u32; 3] = [1, 2, 5];
/// Digits of a told price.
const PRICE_DIGITS: u32 = 12;
/// Places of a told part of a fee.
const PIPS_DP: u32 = 4;

/// One pool in full.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolDetail {
    /// When this was made, unix ms.
    pub at_ms: i64,
    /// As the command line calls it: chain, exchange, pair and fee.
    pub name: String,
    /// Its row of the document.
    pub row: PoolRow,
    /// Blocks since it was last compared with the chain.
    pub audit_age_blocks: Option<u64>,
    /// What is priced.
    pub base: TokenView,
    /// What it is priced in.
    pub quote: TokenView,
    /// Of every price here.
    pub unit: String,
    /// Quote per base, in its first twelve digits.
    pub price: Option<String>,
    /// The pool's own price, Q64.96; null for pairs, which keep reserves.
    pub sqrt_price_x96: Option<String>,
    /// Grid of ranges; 1 for pools without ticks.
    pub tick_spacing: i32,
    /// What the protocol takes of a swap that pays base, millionths of what is paid.
    pub protocol_pips_base: Option<String>,
    /// What the protocol takes of a swap that pays quote, millionths of what is paid.
    pub protocol_pips_quote: Option<String>,
    /// Initialized ticks, all of them.
    pub ticks: Option<usize>,
    /// Of these, further away than what is told here.
    pub ticks_outside: Option<usize>,
    /// The liquidity around the price, from the lowest tick on; empty when it is not known.
    pub liquidity: Vec<LiquidityStep>,
    /// Tokens that stand near the price.
    pub depth: Vec<DepthRow>,
    /// Its newest logs, newest first, at most 50; none from before it was read.
    pub events: Vec<PoolEventRow>,
}

/// A token of a pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Operator's name.
    pub symbol: String,
    /// Contract; the zero address is the native coin.
    pub address: String,
    /// Decimal places.
    pub decimals: u32,
}

/// The same liquidity from a tick to the next one told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LiquidityStep {
    /// Where it begins.
    pub tick: i32,
    /// Price there.
    pub price: Option<String>,
    /// In range above it: the root of token0 times token1, raw units.
    pub liquidity: String,
    /// False where only what is told begins or ends.
    pub is_initialized: bool,
}

/// Tokens within a distance of the price; a pair's are what its curve gives up to there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DepthRow {
    /// Of the price.
    pub percent: u32,
    /// Base from the price up to that far above.
    pub base: Option<String>,
    /// Quote from the price down to that far below.
    pub quote: Option<String>,
}

/// One log of a pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolEventRow {
    /// What it did: initialized, swap, added, removed, collected, flash, donated, synced,
    /// protocol_fee or protocol_collected.
    pub kind: &'static str,
    /// Height.
    pub block: u64,
    /// When that block was handled, unix ms.
    pub at_ms: i64,
    /// Base the pool got; what it gave, or owes from then on, is negative.
    pub base: Option<String>,
    /// Quote the pool got; what it gave, or owes from then on, is negative.
    pub quote: Option<String>,
    /// Price afterwards.
    pub price: Option<String>,
}

impl Engine {
    /// The rows of the pools that people are shown unasked.
    pub(super) fn shown_pool_rows(&self, at: Timestamp) -> Vec<PoolRow> {
        let rows = |chain: &ChainState| self.pool_rows(chain, self.shown_pools(chain), at);
        self.chains.values().flat_map(rows).collect()
    }

    /// All pools of a chain; of more than people can read those in which strategies provide
    /// liquidity first, then those that are not in use.
    fn shown_pools<'c>(&self, chain: &'c ChainState) -> Vec<&'c PoolSetup> {
        let mut pools: Vec<&PoolSetup> = chain.setup.pools.iter().collect();
        if pools.len() > POOL_ROWS_MAX {
            let provided: Vec<PoolAddress> = self.setup.provided(chain.setup.chain).collect();
            let is_live = |pool: &PoolSetup| {
                chain.pools.get(&pool.address).is_some_and(|state| state.standing.is_live())
            };
            pools.sort_by_cached_key(|pool| (!provided.contains(&pool.address), is_live(pool)));
            pools.truncate(POOL_ROWS_MAX);
        }
        pools
    }

    /// One pool in full, as of now; `None` for a pool that is not watched.
    pub fn pool_detail(&self, id: PoolId, at: Timestamp) -> Option<PoolDetail> {
        let chain = self.chains.get(&id.chain)?;
        let setup = chain.setup.pool(id.address)?;
        let sides = Sides::of(&chain.setup, setup)?;
        let row = self.pool_rows(chain, [setup], at).pop()?;
        let state = chain.pools.get(&id.address);
        let price = state.and_then(|state| Price::of(&state.pool));
        let curve = state.and_then(|state| Curve::of(&state.pool, &sides));
        let steps = curve.as_ref().and_then(Curve::steps).unwrap_or_default();
        let n_ticks = curve.as_ref().map(|curve| curve.ticks.len());
        let n_told = steps.iter().filter(|step| step.is_initialized).count();
        let protocol = state.and_then(|state| protocol_pips(&state.pool));
        let [protocol_base, protocol_quote] = sides.base_first(match protocol {
            Some(pips) => pips.map(Some),
            None => [None, None],
        });
        let seen = state.into_iter().flat_map(|state| state.recent.iter().rev());
        Some(PoolDetail {
            at_ms: at.ms(),
            name: format!("{}/{}/{}/{}", chain.setup.name, setup.dex, setup.pair, setup.terms()),
            audit_age_blocks: row
                .block
                .zip(row.audited_block)
                .map(|(head, audited)| head.saturating_sub(audited)),
            row,
            base: token_view(sides.base()),
            quote: token_view(sides.quote()),
            unit: format!("{} per {}", sides.quote().symbol, sides.base().symbol),
            price: price.and_then(|price| sides.price(price)).map(price_text),
            sqrt_price_x96: match price {
                Some(Price::Root(root)) => Some(root.to_string()),
                Some(Price::Reserves(..)) | None => None,
            },
            tick_spacing: setup.tick_spacing,
            protocol_pips_base: protocol_base.map(text),
            protocol_pips_quote: protocol_quote.map(text),
            ticks: n_ticks,
            ticks_outside: n_ticks.map(|all| all.saturating_sub(n_told)),
            liquidity: steps.iter().map(|step| liquidity_step(step, &sides)).collect(),
            depth: WITHIN_PERCENT.map(|of| depth(of, curve.as_ref(), &sides)).into(),
            events: seen.map(|seen| event_row(seen, &sides)).collect(),
        })
    }
}

fn liquidity_step(step: &Step, sides: &Sides<'_>) -> LiquidityStep {
    let price = sqrt_price_at(step.tick).ok();
    let price = price.and_then(|root| sides.frame.price(root, Rounding::Down).ok());
    LiquidityStep {
        tick: step.tick,
        price: price.map(price_text),
        liquidity: step.liquidity.to_string(),
        is_initialized: step.is_initialized,
    }
}

fn depth(percent: u32, curve: Option<&Curve<'_>>, sides: &Sides<'_>) -> DepthRow {
    let part = Decimal::new(percent.into(), 2);
    let within = |part: Decimal, coin: Coin<'_>| {
        let curve = curve?;
        let price = sides.frame.price(curve.root, Rounding::Down).ok()?.checked_mul(part)?;
        let end = sides.frame.sqrt_price_x96(price, Rounding::Down).ok()?;
        human_unsigned(curve.between(end).ok()?, coin.decimals).map(text)
    };
    DepthRow {
        percent,
        base: within(Decimal::ONE + part, sides.base()),
        quote: within(Decimal::ONE - part, sides.quote()),
    }
}

/// What the protocol takes of swaps that pay token0 and token1, millionths of what is paid. A pair
/// mints the protocol shares of itself, which no log of its own tells: not known.
fn protocol_pips(pool: &Pool) -> Option<[Decimal; 2]> {
    match pool {
        Pool::V3(pool) => {
            let parts = [pool.fee_protocol() & 0x0f, pool.fee_protocol() >> 4];
            // One over this part of the fee; zero is none.
            let of = |part: u8| Decimal::from(pool.fee_pips()).checked_div(Decimal::from(part));
            Some(parts.map(|part| of(part).unwrap_or(Decimal::ZERO).round_dp(PIPS_DP)))
        }
        Pool::V4(pool) => {
            let parts = [pool.protocol_fee() & 0xfff, pool.protocol_fee() >> 12];
            Some(parts.map(Decimal::from))
        }
        Pool::V2(_) => None,
    }
}

fn event_row(seen: &Seen, sides: &Sides<'_>) -> PoolEventRow {
    let whole = |raw: Option<I256>, coin: Coin<'_>| human(raw?, coin.decimals).map(text);
    let [base, quote] = sides.base_first(match seen.moved() {
        Some(amounts) => amounts.map(Some),
        None => [None, None],
    });
    PoolEventRow {
        kind: seen.kind,
        block: seen.block,
        at_ms: seen.at.ms(),
        base: whole(base, sides.base()),
        quote: whole(quote, sides.quote()),
        price: sides.price(seen.price).map(price_text),
    }
}

fn token_view(coin: Coin<'_>) -> TokenView {
    TokenView {
        symbol: coin.symbol.to_owned(),
        address: format!("{:#x}", coin.address),
        decimals: coin.decimals,
    }
}

fn price_text(price: Decimal) -> String {
    text(price.round_sf(PRICE_DIGITS).unwrap_or(price))
}

#[cfg(test)]
mod tests {
    use super::curve::tests::with_sides;
    use super::*;
    use crate::engine::tests::stage::{both, pair, pool};

    #[test]
    fn depth_is_base_above_and_quote_below_whichever_token_is_the_base() {
        for pool in [Pool::V3(Box::new(pool())), Pool::V2(pair(0))] {
            with_sides(&pool, |curve, sides| {
                let price = sides.frame.price(curve.root, Rounding::Down).unwrap();
                let mut before = [Decimal::ZERO; 2];
                for percent in WITHIN_PERCENT {
                    let told = depth(percent, Some(curve), sides);
                    let both = [told.base.unwrap(), told.quote.unwrap()];
                    let [base, quote] = both.map(|amount| amount.parse::<Decimal>().unwrap());
                    // Nearly as much value on either side, and more of it further out.
                    let ratio = base * price / quote;
                    let (least, most) = (Decimal::new(7, 1), Decimal::new(14, 1));
                    assert!(ratio > least && ratio < most, "{percent}: {base} {quote}");
                    assert!(base > before[0] && quote > before[1], "{percent}");
                    before = [base, quote];
                }
            });
        }
        let chain = both().chains.remove(0);
        let sides = Sides::of(&chain, &chain.pools[0]).unwrap();
        let unknown = depth(1, None, &sides);
        assert_eq!((unknown.base, unknown.quote), (None, None));
    }
}
