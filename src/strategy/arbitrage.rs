//! Cycles over the pools of one chain that return more of a token than they take.
//!
//! Every simple cycle of two or three pools through a start token is looked at in both directions.
//! A cycle whose marginal rate is not above one cannot earn and is dropped on floats, with a margin
//! on the safe side; the rest are sized and priced with what the pools answer to the unit. What has
//! no known price is not worth anything: unknown is never zero.

mod terms;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::market::pools::v2::PoolV2;
use crate::market::pools::v3::PoolV3;
use crate::math::amm::price::MAX_DECIMALS;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::math::amm::{Direction, PIPS};
use crate::math::cycle::{Bounds, Hop, best_input, constant_product_input};
use crate::model::amount::{human_unsigned, raw_down};
use crate::model::intent::{CycleLeg, CyclePlan, PoolId, Term};
use crate::model::opportunity::{NetProfit, failure_probability};
use crate::model::time::Timestamp;

/// Pairs of pools in sequence looked at in one decision; later ones are not seen.
pub const PATHS_MAX: usize = 10_000;
/// Cycles sized exactly in one decision, those with the best marginal rates first.
pub const CYCLES_SIZED_MAX: usize = 64;
/// A cycle is dropped when the logarithm of its marginal rate is below minus this. No input returns
/// more than the marginal rate says, and in floats the logarithms of three rates and fees are off
/// by less than 1e-12, so nothing that earns is dropped.
const PRUNE_MARGIN: f64 = 1e-9;
/// Pools of the shortest cycle.
const LEGS_MIN: usize = 2;
/// Decimals of every EVM chain's native unit.
const NATIVE_DECIMALS: u32 = 18;
/// Ten thousand basis points.
const BPS: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
/// 2^96 as a float, exactly.
const Q96_F64: f64 = 79_228_162_514_264_337_593_543_950_336.0;

/// What the operator set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Strategy instance.
    pub strategy: String,
    /// Chain id; pools of other chains are not looked at.
    pub chain: u64,
    /// Most pools in one cycle: 2 or 3. Less finds nothing, more is taken as 3.
    pub legs_max: u8,
    /// Least expected profit after all costs, numeraire.
    pub min_net: Decimal,
    /// Largest input of one cycle, numeraire.
    pub budget: Decimal,
    /// Expected worsening of the whole cycle's rate between decision and block, of the input.
    pub slippage_bps: u32,
    /// Gas of one leg.
    pub gas_per_leg: u64,
    /// Gas of the transaction besides its legs.
    pub gas_base: u64,
    /// Tokens in which cycles begin and end.
    pub start_tokens: Vec<Address>,
}

/// A pool's curve.
#[derive(Clone, Copy, Debug)]
pub enum CurveRef<'a> {
    /// Constant product.
    V2(&'a PoolV2),
    /// Concentrated liquidity.
    V3(&'a PoolV3),
}

/// A pool that may be part of a cycle.
#[derive(Clone, Copy, Debug)]
pub struct PoolRef<'a> {
    /// Identity.
    pub id: PoolId,
    /// Index of its exchange in the executor contract's list.
    pub dex: u8,
    /// Token0.
    pub token0: Address,
    /// Token1.
    pub token1: Address,
    /// Fee in parts of one million; must be the curve's own.
    pub fee_pips: u32,
    /// State.
    pub curve: CurveRef<'a>,
}

/// A token as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRef {
    /// Contract.
    pub address: Address,
    /// Decimals.
    pub decimals: u32,
    /// Numeraire per whole token; `None` when not known.
    pub price: Option<Decimal>,
    /// Name for people.
    pub symbol: String,
}

/// What is.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Pools, each once.
    pub pools: &'a [PoolRef<'a>],
    /// Tokens.
    pub tokens: &'a [TokenRef],
    /// Wei per gas expected: base fee and tip.
    pub gas_price: u128,
    /// Numeraire per whole native coin; `None` when not known.
    pub native_price: Option<Decimal>,
    /// Cycles of ours that landed.
    pub landed: u64,
    /// Cycles of ours that reverted.
    pub reverted: u64,
    /// Block the pools' states are of: the height alone is not enough, a chain may have two of one.
    pub block: B256,
    /// Now.
    pub at: Timestamp,
}

/// A cycle that returns more than it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Names it: chain, block, start token and pools in order.
    pub key: String,
    /// The cycle.
    pub cycle: CyclePlan,
    /// What it earns and costs; `None` where gas has no price or a figure has no room.
    pub net: Option<NetProfit>,
    /// Expected profit, numeraire; `None` as for `net`.
    pub expected: Option<Decimal>,
    /// True when the expected profit reaches the operator's least and covers the floor on chain.
    pub is_worth: bool,
    /// In one sentence with the figures that decided.
    pub why: String,
    /// The figures it was weighed with.
    pub terms: Vec<Term>,
}

/// All cycles that return more than they take, best expected profit first and unknown last.
///
/// They are found on the same state, so carrying one out spoils the others that share a pool with
/// it. A start token without a price, or not in the view, begins no cycle: the budget could not be
/// told in its units.
pub fn decide(view: &View<'_>, parameters: &Parameters) -> Vec<Found> {
    let mut cycles = find_cycles(view, parameters);
    // Stable: equal rates stay in the order of the view.
    cycles.sort_by(|a, b| b.log_rate.total_cmp(&a.log_rate));
    cycles.truncate(CYCLES_SIZED_MAX);
    let mut found: Vec<_> =
        cycles.iter().filter_map(|cycle| weigh(cycle, view, parameters)).collect();
    found.sort_by(|a, b| b.expected.cmp(&a.expected).then_with(|| a.key.cmp(&b.key)));
    found
}

/// A pool in one direction.
#[derive(Clone, Copy, Debug)]
struct Edge<'a> {
    pool: &'a PoolRef<'a>,
    way: Direction,
    /// Natural logarithm of the output per input of the first unit, fee taken off.
    log_rate: f64,
}

impl<'a> Edge<'a> {
    /// `None` for a pool that cannot be believed or has nothing to trade.
    fn new(pool: &'a PoolRef<'a>, way: Direction) -> Option<Self> {
        let kept = PIPS.checked_sub(pool.fee_pips).filter(|&kept| kept > 0)?;
        let log_price = log_price(&pool.curve)?;
        let log_rate = match way {
            Direction::ZeroForOne => log_price,
            Direction::OneForZero => -log_price,
        };
        let log_kept = libm::log(f64::from(kept) / f64::from(PIPS));
        Some(Self { pool, way, log_rate: log_rate + log_kept })
    }

    fn token_in(&self) -> Address {
        match self.way {
            Direction::ZeroForOne => self.pool.token0,
            Direction::OneForZero => self.pool.token1,
        }
    }

    fn token_out(&self) -> Address {
        match self.way {
            Direction::ZeroForOne => self.pool.token1,
            Direction::OneForZero => self.pool.token0,
        }
    }

    /// What an input buys; zero for nothing, `None` for more than the pool fills, which the
    /// executor refuses too.
    fn quote(&self, amount_in: U256) -> Option<U256> {
        if amount_in.is_zero() {
            return Some(U256::ZERO);
        }
        match self.pool.curve {
            CurveRef::V2(pool) => pool.quote_exact_in(self.way, amount_in).ok(),
            CurveRef::V3(pool) => {
                let amount = SwapAmount::ExactIn(amount_in);
                let order = SwapOrder { direction: self.way, amount, sqrt_limit_x96: None };
                let outcome = pool.quote(&order).ok()?;
                outcome.unfilled.is_zero().then_some(outcome.amount_out)
            }
        }
    }

    /// The pool in the closed form; `None` for one with ticks.
    fn hop(&self) -> Option<Hop> {
        let CurveRef::V2(pool) = self.pool.curve else { return None };
        let (reserve0, reserve1) = pool.reserves();
        let (reserve_in, reserve_out) = match self.way {
            Direction::ZeroForOne => (reserve0, reserve1),
            Direction::OneForZero => (reserve1, reserve0),
        };
        Some(Hop { reserve_in, reserve_out, fee_pips: self.pool.fee_pips })
    }
}

/// Natural logarithm of token1 per token0, raw. Only for pruning.
fn log_price(curve: &CurveRef<'_>) -> Option<f64> {
    match curve {
        CurveRef::V2(pool) => {
            let (reserve0, reserve1) = pool.reserves();
            let is_usable = pool.desync().is_none() && reserve0 > 0 && reserve1 > 0;
            let log = |reserve: u128| libm::log(f64::from(U256::from(reserve)));
            is_usable.then(|| log(reserve1) - log(reserve0))
        }
        CurveRef::V3(pool) => {
            let sqrt_price_x96 = pool.sqrt_price_x96();
            let is_usable = pool.desync().is_none() && !sqrt_price_x96.is_zero();
            is_usable.then(|| 2.0 * libm::log(f64::from(sqrt_price_x96) / Q96_F64))
        }
    }
}

/// A closed way through pools, and the token it begins in.
#[derive(Debug)]
struct Cycle<'a> {
    token: &'a TokenRef,
    price: Decimal,
    legs: Vec<Edge<'a>>,
    log_rate: f64,
}

impl Cycle<'_> {
    fn quote(&self, amount_in: U256) -> Option<U256> {
        self.legs.iter().try_fold(amount_in, |amount, leg| leg.quote(amount))
    }

    /// The best input in closed form, where all pools have one.
    fn seed(&self) -> Option<U256> {
        let hops: Option<Vec<Hop>> = self.legs.iter().map(Edge::hop).collect();
        constant_product_input(&hops?)
    }

    /// The legs with what each is expected to buy.
    fn plan(&self, amount_in: U256) -> Option<Vec<CycleLeg>> {
        let mut amount = amount_in;
        let mut legs = Vec::with_capacity(self.legs.len());
        for leg in &self.legs {
            amount = leg.quote(amount)?;
            legs.push(CycleLeg {
                pool: leg.pool.id,
                dex: leg.pool.dex,
                fee_pips: leg.pool.fee_pips,
                token_in: leg.token_in(),
                token_out: leg.token_out(),
                amount_out: amount,
            });
        }
        Some(legs)
    }

    /// Value of an amount of the start token in the numeraire, rounded down.
    fn value(&self, amount: U256) -> Option<Decimal> {
        human_unsigned(amount, self.token.decimals)?.checked_mul(self.price)
    }

    /// An amount of the start token for a value in the numeraire, rounded down.
    fn amount(&self, value: Decimal) -> Option<U256> {
        raw_down(value.checked_div(self.price)?, self.token.decimals)
    }
}

/// The cycles whose marginal rate may pay for gas, each once, from the first start token it has.
fn find_cycles<'a>(view: &View<'a>, parameters: &Parameters) -> Vec<Cycle<'a>> {
    let edges = edges(view.pools, parameters.chain);
    let least_log_rate = least_log_rate(view, parameters);
    let mut seen = BTreeSet::new();
    let mut paths_left = PATHS_MAX;
    let mut cycles = Vec::new();
    for &start in &parameters.start_tokens {
        let token = view.tokens.iter().find(|token| token.address == start);
        let Some(token) = token.filter(|token| token.decimals <= u32::from(MAX_DECIMALS)) else {
            continue;
        };
        let Some(price) = known(token.price) else { continue };
        for legs in closed_paths(&edges, start, parameters.legs_max, &mut paths_left) {
            let log_rate: f64 = legs.iter().map(|leg| leg.log_rate).sum();
            // The same pools in the same order from another token are the same cycle.
            if log_rate > least_log_rate && seen.insert(round(&legs)) {
                cycles.push(Cycle { token, price, legs, log_rate });
            }
        }
    }
    cycles
}

/// The logarithm below which a marginal rate cannot pay for gas even with the whole budget: no
/// cycle returns more than its marginal rate on its input.
fn least_log_rate(view: &View<'_>, parameters: &Parameters) -> f64 {
    let gas = gas_value(LEGS_MIN, view, parameters);
    let part = gas.and_then(|gas| gas.checked_div(parameters.budget));
    let part = part.and_then(|part| f64::try_from(part).ok()).unwrap_or(0.0);
    libm::log1p(part.max(0.0)) - PRUNE_MARGIN
}

/// Names a cycle by its pools in order, wherever it begins.
fn round(legs: &[Edge<'_>]) -> Vec<PoolId> {
    let mut pools: Vec<PoolId> = legs.iter().map(|leg| leg.pool.id).collect();
    let first = pools.iter().enumerate().min_by_key(|(_, pool)| **pool).map_or(0, |(at, _)| at);
    pools.rotate_left(first);
    pools
}

/// A price that can be counted with.
fn known(price: Option<Decimal>) -> Option<Decimal> {
    price.filter(|&price| price > Decimal::ZERO)
}

/// Both directions of every usable pool, by the token they take.
fn edges<'a>(pools: &'a [PoolRef<'a>], chain: u64) -> BTreeMap<Address, Vec<Edge<'a>>> {
    let mut edges: BTreeMap<Address, Vec<Edge<'a>>> = BTreeMap::new();
    for pool in pools.iter().filter(|pool| pool.id.chain == chain && pool.token0 != pool.token1) {
        for way in [Direction::ZeroForOne, Direction::OneForZero] {
            if let Some(edge) = Edge::new(pool, way) {
                edges.entry(edge.token_in()).or_default().push(edge);
            }
        }
    }
    edges
}

/// Paths of two and three pools from a token back to it, no token and no pool twice.
fn closed_paths<'a>(
    edges: &BTreeMap<Address, Vec<Edge<'a>>>,
    start: Address,
    legs_max: u8,
    paths_left: &mut usize,
) -> Vec<Vec<Edge<'a>>> {
    let onward = |token: Address| edges.get(&token).into_iter().flatten().copied();
    let mut paths = Vec::new();
    if legs_max < 2 {
        return paths;
    }
    for first in onward(start) {
        for second in onward(first.token_out()).filter(|next| next.pool.id != first.pool.id) {
            if second.token_out() == start {
                paths.push(vec![first, second]);
            } else if legs_max > 2 {
                let used = [first.pool.id, second.pool.id];
                let closes =
                    |last: &Edge<'_>| last.token_out() == start && !used.contains(&last.pool.id);
                let lasts = onward(second.token_out()).filter(closes);
                paths.extend(lasts.map(|third| vec![first, second, third]));
            }
            let Some(left) = paths_left.checked_sub(1) else { return paths };
            *paths_left = left;
        }
    }
    paths
}

/// Sizes and prices a cycle; `None` when no input within the budget earns.
fn weigh(cycle: &Cycle<'_>, view: &View<'_>, parameters: &Parameters) -> Option<Found> {
    let bounds = Bounds { max: cycle.amount(parameters.budget)?, seed: cycle.seed() };
    let sizing = best_input(|amount_in| cycle.quote(amount_in), bounds)?;
    let notional = cycle.value(sizing.amount_in)?;
    let gas = gas_value(cycle.legs.len(), view, parameters);
    let floor = gas.and_then(|gas| cycle.amount(gas)?.checked_add(U256::ONE));
    let min_profit = floor.unwrap_or_else(|| sizing.profit());
    let net = gas.and_then(|gas| {
        let fee_pips: u64 = cycle.legs.iter().map(|leg| u64::from(leg.pool.fee_pips)).sum();
        let slippage_bps = Decimal::from(parameters.slippage_bps);
        Some(NetProfit {
            gross: cycle.value(sizing.profit())?,
            gas,
            fees: notional.checked_mul(Decimal::from(fee_pips))? / Decimal::from(PIPS),
            slippage: notional.checked_mul(slippage_bps)? / BPS,
            failure_probability: failure_probability(view.landed, view.reverted),
        })
    });
    let expected = net.and_then(|net| net.expected());
    let is_paid = expected.is_some_and(|expected| expected >= parameters.min_net);
    let why = match (net, expected) {
        (Some(net), Some(expected)) => reason(cycle, notional, &net, expected),
        _ => "gas has no price, or a figure has no room".into(),
    };
    let mut found = Found {
        key: key(cycle, view.block, parameters.chain),
        cycle: CyclePlan {
            chain: parameters.chain,
            token: cycle.token.address,
            amount_in: sizing.amount_in,
            min_profit,
            legs: cycle.plan(sizing.amount_in)?,
            notional,
        },
        net,
        expected,
        is_worth: is_paid && min_profit <= sizing.profit(),
        why,
        terms: Vec::new(),
    };
    found.terms = terms::of(&found, cycle, &sizing, view, parameters);
    Some(found)
}

/// Gas of a cycle in the numeraire; `None` where the native coin has no price.
fn gas_value(legs: usize, view: &View<'_>, parameters: &Parameters) -> Option<Decimal> {
    let of_legs = U256::from(parameters.gas_per_leg) * U256::from(legs);
    let gas = of_legs + U256::from(parameters.gas_base);
    let wei = gas.checked_mul(U256::from(view.gas_price))?;
    human_unsigned(wei, NATIVE_DECIMALS)?.checked_mul(known(view.native_price)?)
}

fn key(cycle: &Cycle<'_>, block: B256, chain: u64) -> String {
    let pools: Vec<_> =
        cycle.legs.iter().map(|leg| format!("{:#x}", leg.pool.id.address)).collect();
    format!("{chain}/{block}/{:#x}/{}", cycle.token.address, pools.join("+"))
}

fn reason(cycle: &Cycle<'_>, notional: Decimal, net: &NetProfit, expected: Decimal) -> String {
    format!(
        "{} worth {} through {} pools returns {} more; gas {}, slippage {}, failing with {}: \
         expected {}",
        cycle.token.symbol,
        notional.round_dp(2),
        cycle.legs.len(),
        net.gross.round_dp(4),
        net.gas.round_dp(4),
        net.slippage.round_dp(4),
        net.failure_probability.round_dp(3),
        expected.round_dp(4)
    )
}

#[cfg(test)]
mod tests;
