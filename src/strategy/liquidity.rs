//! One V3 range position around the price: open it, hold it, move it when the price has left and
//! the fees of a new range pay for the move.
//!
//! The decision is a function of what is held now, so a restart in the middle of a move (closed,
//! not yet swapped; swapped, not yet opened) simply continues. Integers fix every amount sent.

mod terms;

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::math::amm::liquidity::{amounts_for_liquidity, liquidity_for_amounts};
use crate::math::amm::tick::{TickRange, align_down, sqrt_price_at};
use crate::math::amm::{Amounts, Rounding};
use crate::model::amount::{human_unsigned, raw_down};
use crate::model::intent::{CloseRange, Intent, OpenRange, PoolId, SwapPlan, Term, Want};
use crate::model::time::Timestamp;
use crate::strategy::liquidity::terms::Lack;

/// Liquidity used to read off the ratio of the two tokens in a range; large, so that rounding of
/// the raw amounts does not show.
const PROBE_LIQUIDITY: u128 = 1_000_000_000_000_000_000_000;
/// Part of the capital that stays in the wallet, so that rounding and price moves between decision
/// and block never make a mint fail for a few units.
const CAPITAL_USED_BPS: i64 = 9_950;
/// Missing tokens below this part of the capital are not worth a swap: a smaller range is minted.
const SWAP_WORTH_BPS: i64 = 200;
/// A wallet that has less than this part of what a range needs of a token is always swapped.
const LEAST_FILLED: Decimal = Decimal::from_parts(5, 0, 0, false, 1);
/// Ten thousand basis points.
const BPS: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// What the operator set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Strategy instance.
    pub strategy: String,
    /// Pool.
    pub pool: PoolId,
    /// Capital, numeraire.
    pub budget: Decimal,
    /// Half width of the range, percent of the price.
    pub half_width_pct: Decimal,
    /// Horizon over which a move must pay, in hours.
    pub horizon_h: Decimal,
    /// Fees expected over the horizon must be at least this multiple of the move's cost.
    pub min_gain_over_cost: Decimal,
    /// Time a range is held at least.
    pub min_dwell_ms: i64,
    /// Moves per day at most.
    pub moves_per_day_max: u32,
    /// Slippage accepted against the reference.
    pub max_slippage_bps: u32,
    /// Largest distance of the pool from the reference at which we act.
    pub max_pool_vs_reference_bps: u32,
}

/// The pool, oriented: base is what the reference prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolView {
    /// Root of token1 per token0, Q64.96.
    pub sqrt_price_x96: U256,
    /// Tick of that price.
    pub tick: i32,
    /// Grid of ranges.
    pub tick_spacing: i32,
    /// Swap fee.
    pub fee_pips: u32,
    /// token0.
    pub token0: Address,
    /// token1.
    pub token1: Address,
    /// True when token0 is the base.
    pub base_is_token0: bool,
    /// Decimals of the base token.
    pub base_decimals: u32,
    /// Decimals of the quote token.
    pub quote_decimals: u32,
    /// Quote per base in the pool.
    pub price: Decimal,
    /// Fees all liquidity in range earned per unit of liquidity and second, in quote; measured.
    pub fee_rate: Option<Decimal>,
}

/// An open position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// NFT.
    pub token_id: U256,
    /// First tick inside.
    pub tick_lower: i32,
    /// First tick above.
    pub tick_upper: i32,
    /// Its liquidity.
    pub liquidity: u128,
    /// When it was opened.
    pub opened: Timestamp,
}

/// What is.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Pool.
    pub pool: PoolView,
    /// Mid of the reference book, quote per base.
    pub reference: Decimal,
    /// Base in the wallet, smallest units.
    pub wallet_base: U256,
    /// Quote in the wallet, smallest units.
    pub wallet_quote: U256,
    /// The open position.
    pub held: Option<Held>,
    /// Moves made since the day began.
    pub moves_today: u32,
    /// Cost of gas of one full move, in quote.
    pub gas_per_move: Decimal,
    /// Now.
    pub at: Timestamp,
    /// Names the decision: one per finished transaction.
    pub decision: u64,
}

/// The strategy's answer, always with its reason.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Do this.
    Act(Box<Intent>),
    /// Leave things as they are, for this reason.
    Wait(String),
}

/// Decides the next step.
pub fn decide(view: &View, parameters: &Parameters) -> Decision {
    if !(view.reference > Decimal::ZERO && view.pool.price > Decimal::ZERO) {
        return Decision::Wait("pool or reference has no price".into());
    }
    let ratio = view.pool.price.checked_div(view.reference);
    let distance = ratio.and_then(|ratio| (ratio - Decimal::ONE).checked_mul(BPS));
    let Some(distance_bps) = distance.map(|distance| distance.abs()) else {
        return Decision::Wait("pool and reference have nothing in common".into());
    };
    let distance_max = Decimal::from(parameters.max_pool_vs_reference_bps);
    if distance_bps > distance_max {
        let distance = distance_bps.round_dp(1);
        return Decision::Wait(format!(
            "pool is {distance} bps from the reference, limit {distance_max}"
        ));
    }
    let mut decision = match &view.held {
        Some(held) => decide_held(view, parameters, held),
        None => decide_open(view, parameters),
    };
    if let Decision::Act(intent) = &mut decision {
        let mut terms = terms::of_market(view, parameters, distance_bps);
        terms.append(&mut intent.terms);
        intent.terms = terms;
    }
    decision
}

fn decide_held(view: &View, parameters: &Parameters, held: &Held) -> Decision {
    let tick = view.pool.tick;
    if held.tick_lower <= tick && tick < held.tick_upper {
        return Decision::Wait("in range".into());
    }
    let dwell_ms = view.at.ms_since(held.opened);
    if dwell_ms < parameters.min_dwell_ms {
        return Decision::Wait(format!(
            "out of range, held {dwell_ms} ms of at least {}",
            parameters.min_dwell_ms
        ));
    }
    if view.moves_today >= parameters.moves_per_day_max {
        return Decision::Wait(format!("out of range, {} moves today", view.moves_today));
    }
    let worth = match move_worth(view, parameters) {
        Ok(worth) => worth,
        Err(why) => return Decision::Wait(format!("out of range, {why}")),
    };
    let least = worth.cost.checked_mul(parameters.min_gain_over_cost);
    if least.is_none_or(|least| worth.gain < least) {
        return Decision::Wait(format!("out of range, not worth moving: {worth}"));
    }
    let slippage = Decimal::from(parameters.max_slippage_bps) / BPS;
    let Some(least) =
        least_amounts(view, held.tick_lower, held.tick_upper, held.liquidity, slippage)
    else {
        return Decision::Wait("out of range, principal cannot be computed".into());
    };
    let why = format!("tick {tick} left [{}, {}): {worth}", held.tick_lower, held.tick_upper);
    let terms = terms::of_move(view, parameters, held, dwell_ms, &worth);
    let want = Want::Close(CloseRange {
        pool: parameters.pool,
        token_id: held.token_id,
        liquidity: held.liquidity,
        amount0_min: least.amount0,
        amount1_min: least.amount1,
    });
    act(parameters, view, ("close", want), why, terms)
}

fn act(
    parameters: &Parameters,
    view: &View,
    (verb, want): (&str, Want),
    why: String,
    terms: Vec<Term>,
) -> Decision {
    let key = format!("{verb}/{}", view.decision);
    let intent = Intent::new(&parameters.strategy, &key, want, why).with_terms(terms);
    Decision::Act(Box::new(intent))
}

/// What a move brings and costs, in quote.
struct Worth {
    plan: Plan,
    /// Per unit of liquidity and second.
    fee_rate: Decimal,
    horizon_s: Decimal,
    /// Fees expected over the horizon.
    gain: Decimal,
    /// Capital that changes its token.
    turned: Decimal,
    swap_fee: Decimal,
    slippage: Decimal,
    /// Gas, swap fee and slippage.
    cost: Decimal,
}

impl std::fmt::Display for Worth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gain, cost) = (self.gain.round_dp(2), self.cost.round_dp(2));
        write!(f, "expected fees {gain} over the horizon against a cost of {cost}")
    }
}

fn move_worth(view: &View, parameters: &Parameters) -> Result<Worth, String> {
    let fee_rate = view.pool.fee_rate.ok_or("the pool's fee rate is not measured yet")?;
    let plan = Plan::new(view, parameters).ok_or("no range can be planned")?;
    let liquidity = Decimal::from_u128_checked(plan.liquidity).ok_or("liquidity is too large")?;
    let horizon_s = parameters.horizon_h * Decimal::from(3_600);
    let gain = fee_rate.checked_mul(liquidity).and_then(|per_s| per_s.checked_mul(horizon_s));
    let gain = gain.ok_or("expected fees are too large")?;
    // Half of the capital is turned over: swap fee, and slippage at worst.
    let turned = plan.capital / Decimal::TWO;
    let swap_fee = turned * Decimal::from(view.pool.fee_pips) / Decimal::from(1_000_000);
    let slippage = turned * Decimal::from(parameters.max_slippage_bps) / BPS;
    let cost = view.gas_per_move + swap_fee + slippage;
    Ok(Worth { plan, fee_rate, horizon_s, gain, turned, swap_fee, slippage, cost })
}

trait FromU128Checked: Sized {
    fn from_u128_checked(value: u128) -> Option<Self>;
}

impl FromU128Checked for Decimal {
    fn from_u128_checked(value: u128) -> Option<Self> {
        i128::try_from(value).ok().and_then(|v| Self::try_from_i128_with_scale(v, 0).ok())
    }
}

/// A range around the price and what it takes to fill it.
struct Plan {
    range: TickRange,
    /// Base of a full range, human.
    base: Decimal,
    /// Quote of a full range, human.
    quote: Decimal,
    capital: Decimal,
    liquidity: u128,
}

impl Plan {
    fn new(view: &View, parameters: &Parameters) -> Option<Self> {
        let pool = &view.pool;
        let range = range_around(pool.tick, pool.tick_spacing, parameters.half_width_pct)?;
        let (probe_base, probe_quote) = oriented(pool, amounts(pool, range, PROBE_LIQUIDITY)?)?;
        let probe_value = probe_base.checked_mul(pool.price)?.checked_add(probe_quote)?;
        let capital = capital(view, parameters)?;
        if probe_value.is_zero() {
            return None;
        }
        let factor = capital.checked_div(probe_value)?;
        let probe = Decimal::from_u128_checked(PROBE_LIQUIDITY)?;
        let liquidity = probe.checked_mul(factor)?.trunc();
        Some(Self {
            range,
            base: probe_base.checked_mul(factor)?,
            quote: probe_quote.checked_mul(factor)?,
            capital,
            liquidity: u128::try_from(liquidity.mantissa()).ok()?,
        })
    }

    /// Base, worth in quote, that a move of the price within `slippage` makes short or spare.
    fn drift(&self, pool: &PoolView, slippage: Decimal) -> Option<Decimal> {
        let mut drift = Decimal::ZERO;
        for sqrt_price in prices_within(pool, self.range, slippage)? {
            let moved = PoolView { sqrt_price_x96: sqrt_price, ..*pool };
            let (base, _) = oriented(pool, amounts(&moved, self.range, self.liquidity)?)?;
            drift = drift.max((base - self.base).abs());
        }
        drift.checked_mul(pool.price)
    }
}

/// The capital to be put to work: the budget, or what is there when that is less.
fn capital(view: &View, parameters: &Parameters) -> Option<Decimal> {
    let pool = &view.pool;
    let base = human_unsigned(view.wallet_base, pool.base_decimals)?;
    let quote = human_unsigned(view.wallet_quote, pool.quote_decimals)?;
    let mut available = base.checked_mul(pool.price)?.checked_add(quote)?;
    if let Some(held) = &view.held {
        let range = TickRange::new(held.tick_lower, held.tick_upper, pool.tick_spacing).ok()?;
        let (base, quote) = oriented(pool, amounts(pool, range, held.liquidity)?)?;
        available = available.checked_add(base.checked_mul(pool.price)?.checked_add(quote)?)?;
    }
    Some(available.min(parameters.budget) * Decimal::new(CAPITAL_USED_BPS, 4))
}

fn amounts(pool: &PoolView, range: TickRange, liquidity: u128) -> Option<Amounts> {
    amounts_for_liquidity(pool.sqrt_price_x96, range, liquidity, Rounding::Down).ok()
}

fn oriented(pool: &PoolView, amounts: Amounts) -> Option<(Decimal, Decimal)> {
    let (base, quote) = if pool.base_is_token0 {
        (amounts.amount0, amounts.amount1)
    } else {
        (amounts.amount1, amounts.amount0)
    };
    Some((human_unsigned(base, pool.base_decimals)?, human_unsigned(quote, pool.quote_decimals)?))
}

/// The grid range nearest to price ± half width that holds the tick; a spacing each way at least.
fn range_around(tick: i32, spacing: i32, half_width_pct: Decimal) -> Option<TickRange> {
    let fraction = f64::try_from(half_width_pct).ok()? / 100.0;
    let ticks = libm::ceil(libm::log1p(fraction) / libm::log(1.0001));
    #[allow(clippy::cast_possible_truncation)] // below MAX_TICK for every fraction below 100 %
    let half = (ticks as i32).max(spacing);
    let lower = align_down(tick.checked_sub(half)?, spacing).ok()?;
    let upper = align_down(tick.checked_add(half)?, spacing).ok()?.checked_add(spacing)?;
    TickRange::new(lower, upper, spacing).ok()
}

fn decide_open(view: &View, parameters: &Parameters) -> Decision {
    let Some(plan) = Plan::new(view, parameters) else {
        return Decision::Wait("no range can be planned".into());
    };
    if plan.capital <= Decimal::ZERO {
        return Decision::Wait("no capital in the wallet".into());
    }
    swap_needed(view, parameters, &plan)
        .or_else(|| open(view, parameters, &plan))
        .unwrap_or_else(|| Decision::Wait("amounts do not fit the tokens' units".into()))
}

fn swap_needed(view: &View, parameters: &Parameters, plan: &Plan) -> Option<Decision> {
    let pool = &view.pool;
    let base = human_unsigned(view.wallet_base, pool.base_decimals)?;
    let quote = human_unsigned(view.wallet_quote, pool.quote_decimals)?;
    let short_base = (plan.base - base).checked_mul(pool.price)?;
    let short_quote = plan.quote - quote;
    let slippage = Decimal::from(parameters.max_slippage_bps) / BPS;
    // Until the range is minted the price may move as far again: whoever swaps for what a move
    // takes swaps after each one, pays for all of them, and opens a narrow range late or never.
    let least = plan.capital * Decimal::new(SWAP_WORTH_BPS, 4);
    let drift = plan.drift(pool, slippage)?;
    let worth = |needed: Decimal| least.max(drift.min(needed * (Decimal::ONE - LEAST_FILLED)));
    let worth_base = worth(plan.base.checked_mul(pool.price)?);
    let worth_quote = worth(plan.quote);
    let fee = Decimal::from(pool.fee_pips) / Decimal::from(1_000_000);
    let kept = (Decimal::ONE - slippage) * (Decimal::ONE - fee);
    let worth = if short_base > short_quote { worth_base } else { worth_quote };
    let lack = Lack { base, quote, short_base, short_quote, worth, kept };
    let (base_token, quote_token) =
        if pool.base_is_token0 { (pool.token0, pool.token1) } else { (pool.token1, pool.token0) };
    let (token_in, token_out, value, amount_in, amount_out_min) = if short_base > worth_base {
        let paid = short_base.min(quote);
        let out_min = raw_down(paid.checked_div(view.reference)? * kept, pool.base_decimals)?;
        (quote_token, base_token, paid, raw_down(paid, pool.quote_decimals)?, out_min)
    } else if short_quote > worth_quote {
        let paid = short_quote.checked_div(pool.price)?.min(base);
        let value = paid.checked_mul(view.reference)?;
        let out_min = raw_down(value * kept, pool.quote_decimals)?;
        let amount_in = raw_down(paid, pool.base_decimals)?;
        (base_token, quote_token, short_quote, amount_in, out_min)
    } else {
        return None;
    };
    let why = format!(
        "range needs {} base and {} quote, wallet holds {} and {}",
        plan.base.round_dp(4),
        plan.quote.round_dp(2),
        base.round_dp(4),
        quote.round_dp(2)
    );
    let mut terms = terms::of_plan(plan, parameters);
    terms.extend(lack.terms(view, parameters, value));
    let want = Want::Swap(SwapPlan {
        pool: parameters.pool,
        token_in,
        token_out,
        amount_in,
        amount_out_min,
        notional: value,
    });
    Some(act(parameters, view, ("swap", want), why, terms))
}

fn open(view: &View, parameters: &Parameters, plan: &Plan) -> Option<Decision> {
    let pool = &view.pool;
    let base = raw_down(plan.base, pool.base_decimals)?.min(view.wallet_base);
    let quote = raw_down(plan.quote, pool.quote_decimals)?.min(view.wallet_quote);
    let (amount0, amount1) = if pool.base_is_token0 { (base, quote) } else { (quote, base) };
    let (lower, upper) = (plan.range.lower(), plan.range.upper());
    let slippage = Decimal::from(parameters.max_slippage_bps) / BPS;
    let brought = Amounts { amount0, amount1 };
    let liquidity = liquidity_for_amounts(pool.sqrt_price_x96, plan.range, brought).ok()?;
    // Twice as much room: after a move of the price one token may fill less of the range.
    let least = least_amounts(view, lower, upper, liquidity / 2, slippage)?;
    let (base, quote) = oriented(pool, amounts(pool, plan.range, liquidity)?)?;
    let why = format!(
        "open [{lower}, {upper}) around tick {} with {} base and {} quote",
        pool.tick,
        base.round_dp(4),
        quote.round_dp(2)
    );
    let mut terms = terms::of_plan(plan, parameters);
    terms.push(Term::whole("max_slippage", parameters.max_slippage_bps, "bps"));
    let want = Want::Open(OpenRange {
        pool: parameters.pool,
        tick_lower: lower,
        tick_upper: upper,
        amount0,
        amount1,
        amount0_min: least.amount0,
        amount1_min: least.amount1,
        notional: plan.capital,
    });
    Some(act(parameters, view, ("open", want), why, terms))
}

/// The least of each token that `liquidity` is made of while the price stays within `slippage` of
/// the pool's: what we let the chain enforce when minting or burning.
fn least_amounts(
    view: &View,
    lower: i32,
    upper: i32,
    liquidity: u128,
    slippage: Decimal,
) -> Option<Amounts> {
    let pool = &view.pool;
    let range = TickRange::new(lower, upper, pool.tick_spacing).ok()?;
    let mut least = Amounts { amount0: U256::MAX, amount1: U256::MAX };
    for sqrt_price in prices_within(pool, range, slippage)? {
        let at = amounts_for_liquidity(sqrt_price, range, liquidity, Rounding::Down).ok()?;
        least.amount0 = least.amount0.min(at.amount0);
        least.amount1 = least.amount1.min(at.amount1);
    }
    Some(least)
}

/// The lowest and highest root of the pool's price within `slippage` of it, as far as a quarter of
/// the range: more room than a range is wide would ask for nothing of either token.
fn prices_within(pool: &PoolView, range: TickRange, slippage: Decimal) -> Option<[U256; 2]> {
    let fraction = f64::try_from(slippage).ok()?;
    #[allow(clippy::cast_possible_truncation)] // slippage is below 100 %: at most 6 932 ticks
    let room = libm::ceil(libm::log1p(fraction) / libm::log(1.0001)) as i32;
    let room = room.min(range.upper().checked_sub(range.lower())? / 4).max(1);
    let [low, high] = [pool.tick.checked_sub(room)?, pool.tick.checked_add(room)?];
    Some([sqrt_price_at(low).ok()?, sqrt_price_at(high).ok()?])
}

#[cfg(test)]
mod tests;
