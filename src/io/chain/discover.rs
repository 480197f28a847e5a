//! Pools that were opened on a chain: found by the events of their factories, then looked at in one
//! block.
//!
//! Only pools of two coins that are named beforehand are asked for: a chain has as many of others
//! as somebody cares to open. What may be kept of what is found says [`judge`]. Invariant: what
//! the chain did not answer is unknown, never zero.

pub mod judge;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolCall, SolEvent};

use crate::config::pool::Dex;
use crate::engine::setup::Curve;
use crate::io::chain::batch::{Asked, Call, silent};
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::PoolKey;
use crate::math::amm::liquidity::virtual_reserves;
use crate::model::chain::PoolAddress;
use crate::venues::erc20::Erc20;
use crate::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Pair as Pair};
use crate::venues::uniswap_v3::abi::{UniswapV3Factory, UniswapV3Pool as V3};
use crate::venues::uniswap_v4::abi::PoolManager;
use crate::venues::uniswap_v4::storage;
use crate::venues::{DecodeError, uniswap_v2, uniswap_v3, uniswap_v4};

/// Most blocks that are asked for at once.
const STEP: u64 = 100_000;
/// Answers in a row after which twice as many are tried: what an endpoint refuses may be the many
/// pools of these blocks.
const GROWS_AFTER: u32 = 8;
/// Fee of every V2 pair, in millionths.
const V2_FEE_PIPS: u32 = 3_000;

/// A pool, as the event of its opening tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its exchange.
    pub dex: Dex,
    /// The factory or, of V4, `PoolManager`.
    pub source: Address,
    /// token0 and token1; the zero address is the native coin, in V4 alone.
    pub coins: [Address; 2],
    /// What else makes it.
    pub terms: Terms,
    /// The block in which it was opened.
    pub block: u64,
}

/// What makes a pool besides exchange and coins, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// A V2 pair: there is one of two tokens.
    V2 {
        /// Its contract.
        pair: Address,
    },
    /// A V3 pool.
    V3 {
        /// Its contract.
        pool: Address,
        /// Fee in millionths of the amount in.
        fee_pips: u32,
    },
    /// A V4 pool.
    V4 {
        /// Its id, as the log has it.
        id: B256,
        /// What the id should be the hash of.
        key: PoolKey,
    },
}

/// What one block says of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has no price yet.
    Unopened,
    /// It can be traded.
    Open {
        /// Its tick; V2 has none.
        tick: Option<i32>,
        /// What the liquidity takes of a swap, in millionths.
        fee_pips: u32,
        /// How deep it is: what a V2 pair as deep at its price would hold of each coin, raw, and of
        /// V3 at most what the pool itself holds. A V4 pool has no balance of its own, so that a
        /// narrow position makes it look deeper than it is.
        depth: [U256; 2],
    },
}

/// The blocks that are still to be searched, and for what. Whoever keeps it can go on after an
/// error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    sources: Vec<(Dex, Address)>,
    coins: Vec<Address>,
    next: u64,
    end: u64,
    step: u64,
    /// Answers in a row with this step.
    n_answered: u32,
}

impl Found {
    /// What names the pool on its chain.
    pub fn address(&self) -> PoolAddress {
        match self.terms {
            Terms::V2 { pair } => pair.into(),
            Terms::V3 { pool, .. } => pool.into(),
            Terms::V4 { id, .. } => id.into(),
        }
    }

    /// Its fee in millionths as the files have it; the mark of a dynamic fee where hooks set it.
    pub fn fee_pips(&self) -> u32 {
        match self.terms {
            Terms::V2 { .. } => V2_FEE_PIPS,
            Terms::V3 { fee_pips, .. } => fee_pips,
            Terms::V4 { key, .. } => key.fee_pips,
        }
    }

    /// What is asked of the chain to see it.
    fn calls(&self) -> Vec<Call> {
        match self.terms {
            Terms::V2 { pair } => vec![(pair, Pair::getReservesCall {}.abi_encode().into())],
            Terms::V3 { pool, .. } => {
                let mut calls: Vec<Call> = vec![
                    (pool, V3::slot0Call {}.abi_encode().into()),
                    (pool, V3::liquidityCall {}.abi_encode().into()),
                ];
                let held = Bytes::from(Erc20::balanceOfCall(pool).abi_encode());
                calls.extend(self.coins.map(|coin| (coin, held.clone())));
                calls
            }
            Terms::V4 { id, .. } => {
                let slots = vec![storage::slot0_slot(id), storage::liquidity_slot(id)];
                vec![(self.source, PoolManager::extsloadCall { slots }.abi_encode().into())]
            }
        }
    }

    /// What the answers to its calls say; `None` where one is missing or not of its form.
    fn seen(&self, answers: &[Option<Bytes>]) -> Option<Seen> {
        match (self.terms, answers) {
            (Terms::V2 { .. }, [Some(reserves)]) => {
                let reserves = Pair::getReservesCall::abi_decode_returns_validate(reserves).ok()?;
                let depth = [reserves._reserve0, reserves._reserve1].map(U256::from);
                Some(Seen::Open { tick: None, fee_pips: V2_FEE_PIPS, depth })
            }
            (
                Terms::V3 { fee_pips, .. },
                [Some(slot0), Some(liquidity), Some(held0), Some(held1)],
            ) => {
                let slot0 = V3::slot0Call::abi_decode_returns_validate(slot0).ok()?;
                let liquidity = V3::liquidityCall::abi_decode_returns_validate(liquidity).ok()?;
                let price = U256::from(slot0.sqrtPriceX96);
                let mut seen = open(price, slot0.tick.as_i32(), fee_pips, liquidity)?;
                if let Seen::Open { depth, .. } = &mut seen {
                    for (deep, held) in depth.iter_mut().zip([held0, held1]) {
                        let held = Erc20::balanceOfCall::abi_decode_returns_validate(held).ok()?;
                        *deep = held.min(*deep);
                    }
                }
                Some(seen)
            }
            (Terms::V4 { .. }, [Some(words)]) => {
                let words = PoolManager::extsloadCall::abi_decode_returns_validate(words).ok()?;
                let [slot0, liquidity]: [B256; 2] = words.try_into().ok()?;
                let slot0 = storage::slot0(slot0);
                let liquidity = storage::liquidity(liquidity);
                open(slot0.sqrt_price_x96, slot0.tick, slot0.lp_fee_pips, liquidity)
            }
            _ => None,
        }
    }
}

/// A pool with ticks.
fn open(sqrt_price_x96: U256, tick: i32, fee_pips: u32, liquidity: u128) -> Option<Seen> {
    if sqrt_price_x96.is_zero() {
        return Some(Seen::Unopened);
    }
    let deep = virtual_reserves(sqrt_price_x96, liquidity).ok()?;
    Some(Seen::Open { tick: Some(tick), fee_pips, depth: [deep.amount0, deep.amount1] })
}

/// How an exchange's pools price, and so which event tells of them.
fn curve(dex: Dex) -> Curve {
    match dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => Curve::V2,
        Dex::UniswapV3 | Dex::SushiswapV3 => Curve::V3,
        Dex::UniswapV4 => Curve::V4,
    }
}

impl Search {
    /// The pools that these contracts, each of its exchange, opened in these blocks between two of
    /// these coins. In V4 the zero address is the native coin.
    pub fn new(
        sources: Vec<(Dex, Address)>,
        coins: Vec<Address>,
        blocks: RangeInclusive<u64>,
    ) -> Self {
        let (next, end) = (*blocks.start(), blocks.end().saturating_add(1));
        Self { sources, coins, next, end, step: STEP, n_answered: 0 }
    }

    /// The first block that is not searched yet.
    pub fn next_block(&self) -> u64 {
        self.next
    }

    /// Whether no block is left.
    pub fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// The blocks up to this one were answered in steps of so many.
    fn answered(&mut self, last: u64, step: u64) {
        self.n_answered = if step == self.step { self.n_answered + 1 } else { 0 };
        (self.next, self.step) = (last.saturating_add(1), step);
        if self.n_answered >= GROWS_AFTER {
            (self.n_answered, self.step) = (0, step.saturating_mul(2).min(STEP));
        }
    }

    /// The last of so many blocks from the next one on.
    fn last(&self, step: u64) -> u64 {
        self.next.saturating_add(step).min(self.end).saturating_sub(1)
    }

    /// What is asked of an endpoint: one question a kind of event. One without a contract or a coin
    /// would be answered with the logs of all.
    fn filters(&self, last: u64) -> Vec<Filter> {
        let filter = |curve_asked: Curve| {
            let of = self.sources.iter().filter(|(dex, _)| curve(*dex) == curve_asked);
            let sources: Vec<Address> = of.map(|(_, source)| *source).collect();
            if sources.is_empty() || self.coins.is_empty() {
                return None;
            }
            let coins: Vec<B256> = self.coins.iter().map(Address::into_word).collect();
            let filter = Filter::new().from_block(self.next).to_block(last).address(sources);
            Some(match curve_asked {
                Curve::V2 => filter
                    .event_signature(UniswapV2Factory::PairCreated::SIGNATURE_HASH)
                    .topic1(coins.clone())
                    .topic2(coins),
                Curve::V3 => filter
                    .event_signature(UniswapV3Factory::PoolCreated::SIGNATURE_HASH)
                    .topic1(coins.clone())
                    .topic2(coins),
                Curve::V4 => filter
                    .event_signature(PoolManager::Initialize::SIGNATURE_HASH)
                    .topic2(coins.clone())
                    .topic3(coins),
            })
        };
        [Curve::V2, Curve::V3, Curve::V4].into_iter().filter_map(filter).collect()
    }

    /// The pool a log tells of; `None` where nobody asked for it or no block has it any more.
    fn found(&self, log: &Log) -> Result<Option<Found>, DecodeError> {
        let source = log.address();
        let asked = self.sources.iter().find(|(_, asked)| *asked == source);
        let (Some((dex, _)), Some(block), false) = (asked, log.block_number, log.removed) else {
            return Ok(None);
        };
        let log = &log.inner;
        let made = match curve(*dex) {
            Curve::V2 => uniswap_v2::decode_factory_log(log)?
                .map(|made| ([made.token0, made.token1], Terms::V2 { pair: made.pair })),
            Curve::V3 => uniswap_v3::decode_factory_log(log)?.map(|made| {
                let terms = Terms::V3 { pool: made.pool, fee_pips: made.fee_pips };
                ([made.token0, made.token1], terms)
            }),
            Curve::V4 => uniswap_v4::decode_initialize(log)?.map(|opened| {
                let (id, key) = (opened.id, opened.key);
                ([key.currency0, key.currency1], Terms::V4 { id, key })
            }),
        };
        Ok(made.map(|(coins, terms)| Found { dex: *dex, source, coins, terms, block }))
    }
}

impl ChainClient {
    /// The pools opened in the next blocks of a search, oldest first; the search goes on behind
    /// them. Half as many blocks are asked for each time the endpoint refuses or takes too long,
    /// and more again once it has answered for a while.
    ///
    /// # Errors
    /// `ChainError` when the endpoint is not reached, not even one block is answered, or an answer
    /// is nonsense; the search then stands where it stood.
    pub async fn opened(&self, search: &mut Search) -> Result<Vec<Found>, ChainError> {
        let mut step = search.step;
        while !search.is_done() {
            let last = search.last(step);
            match self.opened_up_to(search, last).await {
                Ok(found) => {
                    search.answered(last, step);
                    return Ok(found);
                }
                Err(
                    ChainError::Refused { is_unreached: false, .. } | ChainError::Timeout { .. },
                ) if last > search.next => {
                    step = (last - search.next).div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    async fn opened_up_to(&self, search: &Search, last: u64) -> Result<Vec<Found>, ChainError> {
        let mut found = Vec::new();
        for filter in search.filters(last) {
            self.turn().await;
            for log in self.logs(&filter).await? {
                let nonsense = |error: DecodeError| ChainError::Nonsense {
                    what: "the log of a new pool",
                    why: error.to_string(),
                };
                found.extend(search.found(&log).map_err(nonsense)?);
            }
        }
        found.sort_by_key(|found| found.block);
        Ok(found)
    }

    /// What a block says of pools, in their order; `None` of one that gave no usable answer.
    ///
    /// # Errors
    /// `ChainError` when the endpoint fails; a contract that does, fails alone.
    pub async fn look(&self, found: &[Found], at: B256) -> Result<Vec<Option<Seen>>, ChainError> {
        let calls: Vec<Vec<Call>> = found.iter().map(Found::calls).collect();
        let mut answers = self.each(&calls.concat(), at).await?.into_iter();
        let seen = |(found, calls): (&Found, &Vec<Call>)| {
            let own: Vec<Option<Bytes>> = answers.by_ref().take(calls.len()).collect();
            found.seen(&own)
        };
        Ok(found.iter().zip(&calls).map(seen).collect())
    }

    /// The decimals that tokens tell of themselves at a block, in their order; `None` of one that
    /// tells none.
    ///
    /// # Errors
    /// `ChainError` when the endpoint fails.
    pub async fn decimals(
        &self,
        tokens: &[Address],
        at: B256,
    ) -> Result<Vec<Option<u8>>, ChainError> {
        let input = Bytes::from(Erc20::decimalsCall {}.abi_encode());
        let calls: Vec<Call> = tokens.iter().map(|token| (*token, input.clone())).collect();
        let told =
            |answer: Option<Bytes>| Erc20::decimalsCall::abi_decode_returns_validate(&answer?).ok();
        Ok(self.each(&calls, at).await?.into_iter().map(told).collect())
    }

    /// Many calls in few requests, in the order asked; `None` for one that reverts.
    async fn each(&self, calls: &[Call], at: B256) -> Result<Vec<Option<Bytes>>, ChainError> {
        let answers = self.answers(calls, at, &Asked::new(&silent, 0)).await?;
        Ok(answers.into_iter().map(Result::ok).collect())
    }
}
