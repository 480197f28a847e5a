//! Uniswap V3's swap: the loop over ticks, `UniswapV3Pool.swap` of v3-core 1.0.
//!
//! A step ends at the next initialized tick or at the edge of its bitmap word, and rounds there, so
//! the word edges are part of the result.

use alloy::primitives::{I256, U256};

use crate::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, NextTick, Ticks, check_spacing, check_sqrt_price,
    check_tick, next_within_word, sqrt_price_at, tick_at,
};
use crate::math::amm::v3_step::{StepInput, compute_swap_step};
use crate::math::amm::{AmmError, Direction, Q128, Rounding, mul_div};

/// Steps a swap may take. One end of the protocol to the other at spacing 1 is 6,932 word edges; a
/// step costs a real transaction several thousand gas, so no block has room for this many.
pub const MAX_SWAP_STEPS: u32 = 32_768;

/// Largest amount a swap can name: the contract's `int256`.
pub const MAX_SWAP_AMOUNT: U256 = U256::from_limbs([u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 1]);

/// The side of a swap that is fixed, in raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapAmount {
    /// Give exactly this, fee included.
    ExactIn(U256),
    /// Take exactly this.
    ExactOut(U256),
}

impl SwapAmount {
    /// The fixed amount, whichever side it is on.
    pub fn raw(self) -> U256 {
        match self {
            Self::ExactIn(amount) | Self::ExactOut(amount) => amount,
        }
    }
}

/// The state of a pool a swap reads.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Fee in parts of one million.
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// `slot0.feeProtocol`: low four bits for token0, high four for token1; 0 is none, n is 1/n.
    pub fee_protocol: u8,
    /// Price, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`; one below the price's own tick after stopping on a tick from above.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// Initialized ticks.
    pub ticks: &'a Ticks,
}

/// What a trader asks of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapOrder {
    /// Which token goes in.
    pub direction: Direction,
    /// The side that is fixed.
    pub amount: SwapAmount,
    /// Price not to be passed, Q64.96; `None` is the end of the protocol's range.
    pub sqrt_limit_x96: Option<U256>,
}

/// An initialized tick the price went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The tick.
    pub tick: i32,
    /// Growth of the input token's fee by this swap up to the crossing, Q128.128, wrapping.
    pub fee_growth_x128: U256,
}

/// What a swap does to trader and pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapOutcome {
    /// Which token went in.
    pub direction: Direction,
    /// Raw units into the pool, fee included.
    pub amount_in: U256,
    /// Raw units out of the pool.
    pub amount_out: U256,
    /// Part of the fixed amount the price limit left over.
    pub unfilled: U256,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick` afterwards.
    pub tick: i32,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
    /// Whole fee in raw units of the input token, the protocol's part included.
    pub fee: U256,
    /// The protocol's part of the fee.
    pub protocol_fee: u128,
    /// Growth of the input token's `feeGrowthGlobal`, Q128.128, wrapping.
    pub fee_growth_x128: U256,
    /// Initialized ticks crossed, in order.
    pub crossed: Vec<Crossing>,
}

impl SwapOutcome {
    /// The pool's balance changes as the `Swap` log tells them: positive is paid to the pool.
    pub fn deltas(&self) -> (I256, I256) {
        Quote::from(self).deltas()
    }
}

/// What a swap would trade and where it would end: a [`SwapOutcome`] without fees and crossings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Which token goes in.
    pub direction: Direction,
    /// Raw units into the pool, fee included.
    pub amount_in: U256,
    /// Raw units out of the pool.
    pub amount_out: U256,
    /// Part of the fixed amount that the price limit, or the end of the prices, leaves over.
    pub unfilled: U256,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick` afterwards.
    pub tick: i32,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
}

impl Quote {
    /// The pool's balance changes as the `Swap` log tells them: positive is paid to the pool.
    pub fn deltas(&self) -> (I256, I256) {
        let paid = I256::from_raw(self.amount_in);
        let sent = I256::from_raw(self.amount_out).wrapping_neg();
        match self.direction {
            Direction::ZeroForOne => (paid, sent),
            Direction::OneForZero => (sent, paid),
        }
    }
}

impl From<&SwapOutcome> for Quote {
    fn from(outcome: &SwapOutcome) -> Self {
        Self {
            direction: outcome.direction,
            amount_in: outcome.amount_in,
            amount_out: outcome.amount_out,
            unfilled: outcome.unfilled,
            sqrt_price_x96: outcome.sqrt_price_x96,
            tick: outcome.tick,
            liquidity: outcome.liquidity,
        }
    }
}

/// Runs a swap without changing the pool, exactly as `UniswapV3Pool.swap`.
///
/// # Errors
/// What the contract reverts on: a zero or too large amount, a limit on the wrong side, overflow;
/// and a state no contract can be in (price, tick, spacing or fee out of bounds, nets that do not
/// fit). [`AmmError::TooManySteps`] past [`MAX_SWAP_STEPS`].
pub fn swap(curve: &Curve<'_>, order: &SwapOrder) -> Result<SwapOutcome, AmmError> {
    let mut run = Run::start(curve, order)?;
    for _ in 0..MAX_SWAP_STEPS {
        if run.is_done() {
            return run.finish();
        }
        run.step(curve)?;
    }
    if run.is_done() { run.finish() } else { Err(AmmError::TooManySteps { limit: MAX_SWAP_STEPS }) }
}

/// A swap under way.
struct Run {
    outcome: SwapOutcome,
    amount: SwapAmount,
    sqrt_limit_x96: U256,
    protocol_part: u8,
}

impl Run {
    fn start(curve: &Curve<'_>, order: &SwapOrder) -> Result<Self, AmmError> {
        check_spacing(curve.tick_spacing)?;
        check_sqrt_price(curve.sqrt_price_x96)?;
        check_tick(curve.tick)?;
        let amount = order.amount.raw();
        if amount.is_zero() {
            return Err(AmmError::ZeroAmount);
        }
        if amount > MAX_SWAP_AMOUNT {
            return Err(AmmError::Overflow);
        }
        let protocol_part = match order.direction {
            Direction::ZeroForOne => curve.fee_protocol & 0x0f,
            Direction::OneForZero => curve.fee_protocol >> 4,
        };
        let end = last_price(order.direction);
        let limit = order.sqrt_limit_x96.unwrap_or(end);
        let is_ahead = match order.direction {
            Direction::ZeroForOne => end <= limit && limit < curve.sqrt_price_x96,
            Direction::OneForZero => curve.sqrt_price_x96 < limit && limit <= end,
        };
        if !is_ahead {
            return Err(AmmError::PriceLimit);
        }
        let outcome = SwapOutcome {
            direction: order.direction,
            amount_in: U256::ZERO,
            amount_out: U256::ZERO,
            unfilled: amount,
            sqrt_price_x96: curve.sqrt_price_x96,
            tick: curve.tick,
            liquidity: curve.liquidity,
            fee: U256::ZERO,
            protocol_fee: 0,
            fee_growth_x128: U256::ZERO,
            crossed: Vec::new(),
        };
        Ok(Self { outcome, amount: order.amount, sqrt_limit_x96: limit, protocol_part })
    }

    fn is_done(&self) -> bool {
        self.outcome.unfilled.is_zero() || self.outcome.sqrt_price_x96 == self.sqrt_limit_x96
    }

    fn finish(self) -> Result<SwapOutcome, AmmError> {
        if self.outcome.amount_in > MAX_SWAP_AMOUNT || self.outcome.amount_out > MAX_SWAP_AMOUNT {
            return Err(AmmError::Overflow);
        }
        Ok(self.outcome)
    }

    fn step(&mut self, curve: &Curve<'_>) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        let start = now.sqrt_price_x96;
        let next = next_within_word(curve.ticks, now.tick, curve.tick_spacing, now.direction);
        let sqrt_next_x96 = sqrt_price_at(next.tick)?;
        let sqrt_target_x96 = match now.direction {
            Direction::ZeroForOne => sqrt_next_x96.max(self.sqrt_limit_x96),
            Direction::OneForZero => sqrt_next_x96.min(self.sqrt_limit_x96),
        };
        let remaining = match self.amount {
            SwapAmount::ExactIn(_) => SwapAmount::ExactIn(now.unfilled),
            SwapAmount::ExactOut(_) => SwapAmount::ExactOut(now.unfilled),
        };
        let step = compute_swap_step(&StepInput {
            sqrt_price_x96: start,
            sqrt_target_x96,
            liquidity: now.liquidity,
            remaining,
            fee_pips: curve.fee_pips,
        })?;
        let paid = add(step.amount_in, step.fee)?;
        let used = match self.amount {
            SwapAmount::ExactIn(_) => paid,
            SwapAmount::ExactOut(_) => step.amount_out,
        };
        now.unfilled = now.unfilled.checked_sub(used).ok_or(AmmError::Overflow)?;
        now.amount_in = add(now.amount_in, paid)?;
        now.amount_out = add(now.amount_out, step.amount_out)?;
        now.fee = add(now.fee, step.fee)?;
        now.sqrt_price_x96 = step.sqrt_next_x96;
        self.grow_fees(step.fee)?;
        if step.sqrt_next_x96 == sqrt_next_x96 {
            return self.pass(curve.ticks, next);
        }
        // A step that did not move leaves the tick alone: it may stand one below its price.
        if step.sqrt_next_x96 != start {
            self.outcome.tick = tick_at(step.sqrt_next_x96)?;
        }
        Ok(())
    }

    /// The protocol takes its part of each step's fee first; the rest grows with the liquidity, and
    /// without liquidity it grows nobody's.
    fn grow_fees(&mut self, step_fee: U256) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        let mut to_liquidity = step_fee;
        if self.protocol_part > 0 {
            let protocol = step_fee / U256::from(self.protocol_part);
            to_liquidity -= protocol;
            let protocol = u128::try_from(protocol).map_err(|_| AmmError::Overflow)?;
            now.protocol_fee = now.protocol_fee.checked_add(protocol).ok_or(AmmError::Overflow)?;
        }
        if now.liquidity > 0 {
            let liquidity = U256::from(now.liquidity);
            let growth = mul_div(to_liquidity, Q128, liquidity, Rounding::Down)?;
            now.fee_growth_x128 = now.fee_growth_x128.wrapping_add(growth);
        }
        Ok(())
    }

    /// The price arrived at the step's tick: cross it, or walk on into the next bitmap word.
    fn pass(&mut self, ticks: &Ticks, next: NextTick) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        (now.tick, now.liquidity) = beyond(ticks, next, now.direction, now.liquidity)?;
        if next.is_initialized {
            now.crossed.push(Crossing { tick: next.tick, fee_growth_x128: now.fee_growth_x128 });
        }
        Ok(())
    }
}

/// The last price a swap can reach, Q64.96: one unit inside the protocol's range.
pub(super) fn last_price(direction: Direction) -> U256 {
    match direction {
        Direction::ZeroForOne => MIN_SQRT_PRICE_X96 + U256::ONE,
        Direction::OneForZero => MAX_SQRT_PRICE_X96 - U256::ONE,
    }
}

/// `slot0.tick` and the liquidity in range once the price has arrived at a step's tick.
pub(super) fn beyond(
    ticks: &Ticks,
    next: NextTick,
    direction: Direction,
    liquidity: u128,
) -> Result<(i32, u128), AmmError> {
    let misfit = AmmError::LiquidityAtTick { tick: next.tick };
    let net = match ticks.get(&next.tick) {
        Some(state) if next.is_initialized => state.net,
        _ => 0,
    };
    let (tick, net) = match direction {
        Direction::ZeroForOne => (next.tick - 1, net.checked_neg().ok_or(misfit)?),
        Direction::OneForZero => (next.tick, net),
    };
    Ok((tick, liquidity.checked_add_signed(net).ok_or(misfit)?))
}

fn add(a: U256, b: U256) -> Result<U256, AmmError> {
    a.checked_add(b).ok_or(AmmError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::Q96;
    use crate::math::amm::tick::TickState;

    fn ticks(at: &[(i32, i128)]) -> Ticks {
        at.iter()
            .map(|&(tick, net)| {
                (tick, TickState { gross: net.unsigned_abs(), net, ..TickState::default() })
            })
            .collect()
    }

    fn curve(ticks: &Ticks) -> Curve<'_> {
        Curve {
            fee_pips: 3_000,
            tick_spacing: 60,
            fee_protocol: 0,
            sqrt_price_x96: Q96,
            tick: 0,
            liquidity: 1_000_000_000_000,
            ticks,
        }
    }

    fn order(direction: Direction, amount: SwapAmount) -> SwapOrder {
        SwapOrder { direction, amount, sqrt_limit_x96: None }
    }

    #[test]
    fn the_protocol_takes_its_part_before_the_liquidity() {
        let ticks = ticks(&[(-6_000, 1_000_000_000_000), (6_000, -1_000_000_000_000)]);
        let order = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::from(1_000_000)));
        let plain = swap(&curve(&ticks), &order).unwrap();
        let split = swap(&Curve { fee_protocol: 0x54, ..curve(&ticks) }, &order).unwrap();
        assert_eq!(plain.protocol_fee, 0);
        assert_eq!(U256::from(split.protocol_fee), plain.fee / U256::from(4));
        assert_eq!(split.amount_out, plain.amount_out);
        let rest = plain.fee - U256::from(split.protocol_fee);
        assert_eq!(split.fee_growth_x128, rest * Q128 / U256::from(1_000_000_000_000u64));
    }

    #[test]
    fn without_liquidity_the_price_runs_to_the_limit_for_nothing() {
        let ticks = Ticks::new();
        let empty = Curve { liquidity: 0, ..curve(&ticks) };
        for (direction, limit) in [
            (Direction::ZeroForOne, MIN_SQRT_PRICE_X96 + U256::ONE),
            (Direction::OneForZero, MAX_SQRT_PRICE_X96 - U256::ONE),
        ] {
            let amount = SwapAmount::ExactIn(MAX_SWAP_AMOUNT);
            let outcome = swap(&empty, &order(direction, amount)).unwrap();
            assert_eq!(outcome.sqrt_price_x96, limit);
            assert_eq!((outcome.amount_in, outcome.amount_out), (U256::ZERO, U256::ZERO));
            assert_eq!(outcome.unfilled, MAX_SWAP_AMOUNT);
        }
    }

    #[test]
    fn what_the_contract_reverts_on_is_refused() {
        let ticks = Ticks::new();
        let one = SwapAmount::ExactIn(U256::ONE);
        let swap_to = |direction, limit| {
            let order = SwapOrder { direction, amount: one, sqrt_limit_x96: Some(limit) };
            swap(&curve(&ticks), &order).unwrap_err()
        };
        assert_eq!(swap_to(Direction::ZeroForOne, Q96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::OneForZero, Q96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::ZeroForOne, MIN_SQRT_PRICE_X96), AmmError::PriceLimit);
        assert_eq!(swap_to(Direction::OneForZero, MAX_SQRT_PRICE_X96), AmmError::PriceLimit);
        let zero = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::ZERO));
        assert_eq!(swap(&curve(&ticks), &zero), Err(AmmError::ZeroAmount));
        let large = order(Direction::ZeroForOne, SwapAmount::ExactOut(U256::MAX));
        assert_eq!(swap(&curve(&ticks), &large), Err(AmmError::Overflow));
    }

    #[test]
    fn nets_that_do_not_fit_are_refused() {
        let ticks = ticks(&[(60, -2_000_000_000_000)]);
        let up = order(Direction::OneForZero, SwapAmount::ExactIn(MAX_SWAP_AMOUNT));
        let refused = swap(&curve(&ticks), &up);
        assert_eq!(refused, Err(AmmError::LiquidityAtTick { tick: 60 }));
    }
}
