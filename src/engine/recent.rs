//! What a pool's newest logs did, for people who look back.
//!
//! Raw numbers as the logs told them: they become whole tokens only when somebody asks
//! (`snapshot/pool.rs`). A log of a block that the chain takes back is forgotten with it.

use alloy::primitives::{I256, U256};

use crate::engine::event::{Pool, PoolEvent};
use crate::engine::state::{ChainState, PoolState};
use crate::market::pools::v2::V2Event;
use crate::market::pools::v3::V3Event;
use crate::market::pools::v4::{SwapEnd, V4Event};
use crate::math::amm::Rounding;
use crate::math::amm::liquidity::amounts_for_liquidity;
use crate::math::amm::tick::TickRange;
use crate::model::amount::signed;
use crate::model::time::Timestamp;

/// Logs remembered of each pool.
pub const LOGS_KEPT: usize = 50;
/// A pair's new reserves, until the log that explains them comes.
const SYNCED: &str = "synced";
const NOTHING: [U256; 2] = [U256::ZERO; 2];

/// One log that a pool followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Height it stands at.
    pub block: u64,
    /// When that block was handled.
    pub at: Timestamp,
    /// What it did, in a word.
    pub kind: &'static str,
    /// How it changed the tokens behind the pool.
    pub change: Change,
    /// The price afterwards.
    pub price: Price,
}

/// How a log changed the tokens behind a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// By so much of token0 and token1, raw; `None` where a number is too large to be told.
    Amounts(Option<[I256; 2]>),
    /// By what this liquidity is made of at the price of then: V3's logs name no more.
    Liquidity {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
        /// Positive is added.
        delta: i128,
    },
}

/// A pool's price, as the pool itself keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// The square root, Q64.96.
    Root(U256),
    /// Reserves of token0 and token1, raw.
    Reserves(u128, u128),
}

impl Price {
    /// The price of now; `None` once a log did not fit.
    pub fn of(pool: &Pool) -> Option<Self> {
        match pool {
            Pool::V3(pool) => pool.desync().is_none().then(|| Self::Root(pool.sqrt_price_x96())),
            Pool::V4(pool) => pool.desync().is_none().then(|| Self::Root(pool.sqrt_price_x96())),
            Pool::V2(pool) => {
                let (reserve0, reserve1) = pool.reserves();
                pool.desync().is_none().then_some(Self::Reserves(reserve0, reserve1))
            }
        }
    }
}

impl Seen {
    /// What the pool got of token0 and token1, raw; what it gave, or owes from then on, is
    /// negative. `None` where the log moves none, or more than can be told.
    pub fn moved(&self) -> Option<[I256; 2]> {
        let (lower, upper, delta) = match self.change {
            Change::None => return None,
            Change::Amounts(amounts) => return amounts,
            Change::Liquidity { lower, upper, delta } => (lower, upper, delta),
        };
        let Price::Root(root) = self.price else { return None };
        let is_added = delta.is_positive();
        // As the contract does: a mint is charged rounded up, a burn is paid rounded down.
        let rounding = if is_added { Rounding::Up } else { Rounding::Down };
        let range = TickRange::new(lower, upper, 1).ok()?;
        let amounts = amounts_for_liquidity(root, range, delta.unsigned_abs(), rounding).ok()?;
        let (amount0, amount1) = (signed(amounts.amount0)?, signed(amounts.amount1)?);
        Some(if is_added { [amount0, amount1] } else { [-amount0, -amount1] })
    }
}

impl PoolState {
    /// Remembers a log that the pool was just told; one that did not fit is no part of its past.
    pub(super) fn look_back_on(&mut self, event: &PoolEvent, block: u64, at: Timestamp) {
        let Some(((kind, change), price)) = told(event).zip(Price::of(&self.pool)) else { return };
        let is_explained = |newest: &Seen| newest.kind == SYNCED && newest.block == block;
        if kind != SYNCED && self.recent.back().is_some_and(is_explained) {
            self.recent.pop_back();
        }
        self.recent.push_back(Seen { block, at, kind, change, price });
        if self.recent.len() > LOGS_KEPT {
            self.recent.pop_front();
        }
    }
}

impl ChainState {
    /// Forgets the logs above this height: the chain took their blocks back.
    pub(super) fn forget_logs_above(&mut self, height: u64) {
        for pool in self.pools.values_mut() {
            while pool.recent.back().is_some_and(|newest| newest.block > height) {
                pool.recent.pop_back();
            }
        }
    }
}

/// A log in a word, and what it changes; `None` for what is no log of the pool.
fn told(event: &PoolEvent) -> Option<(&'static str, Change)> {
    match event {
        PoolEvent::V3(event) => Some(v3(event)),
        PoolEvent::V2(event) => Some(v2(event)),
        PoolEvent::V4(event) => Some(v4(event)),
        PoolEvent::Broken(_) | PoolEvent::Watched(_) | PoolEvent::Unwatched { .. } => None,
    }
}

fn v3(event: &V3Event) -> (&'static str, Change) {
    match *event {
        V3Event::Initialize { .. } => ("initialized", Change::None),
        V3Event::Swap { amount0, amount1, .. } => {
            ("swap", Change::Amounts(Some([amount0, amount1])))
        }
        V3Event::Mint { lower, upper, amount } => {
            ("added", liquidity(lower, upper, i128::try_from(amount).ok()))
        }
        V3Event::Burn { lower, upper, amount } => {
            let delta = i128::try_from(amount).ok().and_then(i128::checked_neg);
            ("removed", liquidity(lower, upper, delta))
        }
        V3Event::Flash { paid0, paid1 } => ("flash", net([paid0, paid1], NOTHING)),
        V3Event::SetFeeProtocol { .. } => ("protocol_fee", Change::None),
        V3Event::CollectProtocol { amount0, amount1 } => {
            ("protocol_collected", net(NOTHING, [amount0, amount1].map(U256::from)))
        }
        V3Event::Collect { amount0, amount1, .. } => {
            ("collected", net(NOTHING, [amount0, amount1].map(U256::from)))
        }
    }
}

fn v2(event: &V2Event) -> (&'static str, Change) {
    match *event {
        V2Event::Sync { .. } => (SYNCED, Change::None),
        V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out } => {
            ("swap", net([amount0_in, amount1_in], [amount0_out, amount1_out]))
        }
        V2Event::Mint { amount0, amount1 } => ("added", net([amount0, amount1], NOTHING)),
        V2Event::Burn { amount0, amount1 } => ("removed", net(NOTHING, [amount0, amount1])),
    }
}

fn v4(event: &V4Event) -> (&'static str, Change) {
    match *event {
        V4Event::Initialize { .. } => ("initialized", Change::None),
        V4Event::Swap(SwapEnd { amount0, amount1, .. }) => {
            // The log tells the swapper's side.
            let of_pool = |amount: i128| I256::try_from(amount).ok()?.checked_neg();
            let both = of_pool(amount0).zip(of_pool(amount1));
            ("swap", Change::Amounts(both.map(|(amount0, amount1)| [amount0, amount1])))
        }
        V4Event::ModifyLiquidity { lower, upper, delta } => {
            let kind = if delta.is_negative() { "removed" } else { "added" };
            (kind, Change::Liquidity { lower, upper, delta })
        }
        V4Event::Donate { amount0, amount1 } => ("donated", net([amount0, amount1], NOTHING)),
        V4Event::ProtocolFeeUpdated { .. } => ("protocol_fee", Change::None),
    }
}

fn liquidity(lower: i32, upper: i32, delta: Option<i128>) -> Change {
    match delta {
        Some(delta) => Change::Liquidity { lower, upper, delta },
        None => Change::Amounts(None),
    }
}

fn net([got0, got1]: [U256; 2], [given0, given1]: [U256; 2]) -> Change {
    let less = |got, given| signed(got)?.checked_sub(signed(given)?);
    let both = less(got0, given0).zip(less(got1, given1));
    Change::Amounts(both.map(|(amount0, amount1)| [amount0, amount1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::stage::{both, pair, pool};

    fn followed(pool: Pool) -> PoolState {
        PoolState::new(pool, 0)
    }

    fn raw(amount: i64) -> I256 {
        I256::try_from(amount).expect("small")
    }

    fn sync(state: &PoolState) -> PoolEvent {
        let Pool::V2(pair) = &state.pool else { panic!("made as V2") };
        let (reserve0, reserve1) = pair.reserves();
        PoolEvent::V2(V2Event::Sync { reserve0, reserve1 })
    }

    fn kinds(state: &PoolState) -> Vec<(&'static str, u64)> {
        state.recent.iter().map(|seen| (seen.kind, seen.block)).collect()
    }

    #[test]
    fn a_pair_s_reserves_are_told_by_what_moved_them() {
        let mut state = followed(Pool::V2(pair(0)));
        let (amount0_in, amount1_out) = (U256::from(7), U256::from(5));
        let (amount1_in, amount0_out) = (U256::ZERO, U256::ZERO);
        let swap = V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out };
        let (at, synced) = (Timestamp(0), sync(&state));
        state.look_back_on(&synced, 1, at);
        state.look_back_on(&synced, 2, at);
        state.look_back_on(&PoolEvent::V2(swap), 2, at);
        assert_eq!(kinds(&state), [("synced", 1), ("swap", 2)]);
        assert_eq!(state.recent[1].moved(), Some([raw(7), raw(-5)]));
        assert_eq!(state.recent[0].moved(), None);
    }

    #[test]
    fn the_oldest_logs_are_forgotten_and_those_taken_back_too() {
        let mut chain = ChainState::new(both().chains[0].clone());
        let mut state = followed(Pool::V3(Box::new(pool())));
        let flash = V3Event::Flash { paid0: U256::from(3), paid1: U256::ZERO };
        for block in 0..60 {
            state.look_back_on(&PoolEvent::V3(flash), block, Timestamp(0));
        }
        assert_eq!((state.recent.len(), state.recent[0].block), (LOGS_KEPT, 10));
        chain.pools.insert(chain.setup.pools[0].address, state);
        chain.forget_logs_above(11);
        let left = chain.pools.values().map(kinds).next().expect("one pool");
        assert_eq!(left, [("flash", 10), ("flash", 11)]);
    }

    #[test]
    fn a_log_that_did_not_fit_is_no_part_of_the_past() {
        let mut state = followed(Pool::V3(Box::new(pool())));
        let burn = V3Event::Burn { lower: -10, upper: 10, amount: 1 };
        assert!(state.pool.apply(&PoolEvent::V3(burn)).is_err());
        state.look_back_on(&PoolEvent::V3(burn), 1, Timestamp(0));
        state.look_back_on(&PoolEvent::Broken("garbled".into()), 1, Timestamp(0));
        assert!(state.recent.is_empty());
    }

    #[test]
    fn liquidity_is_told_in_tokens_as_the_contract_rounds_them() {
        let price = Price::Root(pool().sqrt_price_x96());
        let seen = |delta| {
            let change = Change::Liquidity { lower: -198_000, upper: -197_000, delta };
            Seen { block: 1, at: Timestamp(0), kind: "added", change, price }
        };
        let [paid, back] = [777, -777].map(|delta| seen(delta).moved().expect("a range"));
        assert!(paid.iter().all(|amount| amount.is_positive()), "{paid:?}");
        for (paid, back) in paid.into_iter().zip(back) {
            assert_eq!(paid + back, I256::ONE, "one unit for the pool");
        }
    }
}
