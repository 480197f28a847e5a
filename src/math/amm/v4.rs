//! Uniswap V4's swap: the loop over ticks, `Pool.swap` of v4-core 1.0.
//!
//! Ticks, word edges and price moves are V3's. The fee is not: the protocol takes its part of the
//! input first and the LPs theirs of the rest, and a step's fee is split by that. Amounts end as
//! the contract's `int128`. Knows no hooks: what they change is not arithmetic.

use alloy::primitives::U256;

use crate::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, NextTick, Ticks, check_spacing_v4, check_sqrt_price,
    check_tick, next_within_word, sqrt_price_at, tick_at,
};
use crate::math::amm::v3::{
    Crossing, MAX_SWAP_AMOUNT, MAX_SWAP_STEPS, SwapAmount, SwapOrder, SwapOutcome,
};
use crate::math::amm::v3_step::{StepInput, SwapStep};
use crate::math::amm::v4_step::compute_swap_step;
use crate::math::amm::{AmmError, Direction, PIPS, Q128, Rounding, mul_div};

/// Highest LP fee: all of the input. Only exact input can be traded at it.
pub const MAX_LP_FEE_PIPS: u32 = PIPS;

/// Highest part of the protocol in one direction.
pub const MAX_PROTOCOL_FEE_PIPS: u32 = 1_000;

/// The first amount no `int128` holds, 2^127. The swap itself would still take so much, as the
/// lowest `int128` is a loss of it, but `PoolManager.settle` takes no such payment.
const TOO_MUCH: U256 = U256::from_limbs([0, 1 << 63, 0, 0]);

/// Bits of one direction's part in a packed protocol fee.
const PART_BITS: u32 = 12;

/// The state of a pool a swap reads.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// The LPs' fee in parts of one million: `slot0.lpFee`, or what a hook put in its place.
    pub lp_fee_pips: u32,
    /// `slot0.protocolFee`: low twelve bits for zero to one, the next twelve for one to zero.
    pub protocol_fee: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// Price, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`; one below the price's own tick after stopping on a tick from above.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// Initialized ticks.
    pub ticks: &'a Ticks,
}

/// Whether both directions' parts are allowed: `ProtocolFeeLibrary.isValidProtocolFee`.
///
/// # Errors
/// [`AmmError::ProtocolFee`].
pub fn check_protocol_fee(packed: u32) -> Result<(), AmmError> {
    let parts = [packed & ((1 << PART_BITS) - 1), packed >> PART_BITS];
    if parts.iter().any(|part| *part > MAX_PROTOCOL_FEE_PIPS) {
        return Err(AmmError::ProtocolFee { packed });
    }
    Ok(())
}

/// The protocol's part of the input in one direction, in parts of one million.
pub fn protocol_part_pips(packed: u32, direction: Direction) -> u32 {
    match direction {
        Direction::ZeroForOne => packed & ((1 << PART_BITS) - 1),
        Direction::OneForZero => packed >> PART_BITS,
    }
}

/// What a swap pays in all, in parts of one million: the protocol's part, and the LPs' fee on the
/// rest, rounded up; `ProtocolFeeLibrary.calculateSwapFee`.
///
/// # Errors
/// [`AmmError::Fee`] for an LP fee, [`AmmError::ProtocolFee`] for a part above its maximum.
pub fn swap_fee_pips(lp_fee_pips: u32, protocol_part_pips: u32) -> Result<u32, AmmError> {
    if lp_fee_pips > MAX_LP_FEE_PIPS {
        return Err(AmmError::Fee { fee: lp_fee_pips });
    }
    if protocol_part_pips > MAX_PROTOCOL_FEE_PIPS {
        return Err(AmmError::ProtocolFee { packed: protocol_part_pips });
    }
    let on_both = protocol_part_pips * lp_fee_pips / PIPS;
    Ok(protocol_part_pips + lp_fee_pips - on_both)
}

/// The LP fee behind what a swap paid in all; `None` where there is none. The rounding lets up to
/// two fees pay the same; this is the higher, so that no quote promises too much.
pub fn lp_fee_pips(swap_fee_pips: u32, protocol_part_pips: u32) -> Option<u32> {
    let kept = PIPS.checked_sub(protocol_part_pips).filter(|kept| *kept > 0)?;
    let of_lps = swap_fee_pips.checked_sub(protocol_part_pips).filter(|fee| *fee <= kept)?;
    u32::try_from(u64::from(of_lps) * u64::from(PIPS) / u64::from(kept)).ok()
}

/// Runs a swap without changing the pool, exactly as `Pool.swap` does without hooks.
///
/// `amount_in` and the fee of the outcome count the protocol's part too; its fee growth is the
/// LPs'. An exact input of 2^255, which only the contract's type can name, is refused.
///
/// # Errors
/// What the contract reverts on: a zero amount, a limit on the wrong side, an exact output at a fee
/// of one, amounts beyond `int128`; and a state no contract can be in (price, tick, spacing or fees
/// out of bounds, nets that do not fit). [`AmmError::TooManySteps`] past [`MAX_SWAP_STEPS`].
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
    swap_fee_pips: u32,
    protocol_part_pips: u32,
}

impl Run {
    fn start(curve: &Curve<'_>, order: &SwapOrder) -> Result<Self, AmmError> {
        check_spacing_v4(curve.tick_spacing)?;
        check_sqrt_price(curve.sqrt_price_x96)?;
        check_tick(curve.tick)?;
        check_protocol_fee(curve.protocol_fee)?;
        let protocol_part_pips = protocol_part_pips(curve.protocol_fee, order.direction);
        let swap_fee_pips = swap_fee_pips(curve.lp_fee_pips, protocol_part_pips)?;
        let amount = order.amount.raw();
        if amount.is_zero() {
            return Err(AmmError::ZeroAmount);
        }
        if amount > MAX_SWAP_AMOUNT {
            return Err(AmmError::Overflow);
        }
        if swap_fee_pips >= PIPS && matches!(order.amount, SwapAmount::ExactOut(_)) {
            return Err(AmmError::Fee { fee: swap_fee_pips });
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
        let sqrt_limit_x96 = limit_of(curve, order)?;
        let amount = order.amount;
        Ok(Self { outcome, amount, sqrt_limit_x96, swap_fee_pips, protocol_part_pips })
    }

    fn is_done(&self) -> bool {
        self.outcome.unfilled.is_zero() || self.outcome.sqrt_price_x96 == self.sqrt_limit_x96
    }

    fn finish(self) -> Result<SwapOutcome, AmmError> {
        if self.outcome.amount_in.max(self.outcome.amount_out) >= TOO_MUCH {
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
            fee_pips: self.swap_fee_pips,
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
        self.share_fee(&step, paid)?;
        if step.sqrt_next_x96 == sqrt_next_x96 {
            return self.pass(curve.ticks, next);
        }
        // A step that did not move leaves the tick alone: it may stand one below its price.
        if step.sqrt_next_x96 != start {
            self.outcome.tick = tick_at(step.sqrt_next_x96)?;
        }
        Ok(())
    }

    /// The protocol takes its part of all that is paid, rounded down; the rest of the fee grows
    /// with the liquidity, and without liquidity it grows nobody's.
    fn share_fee(&mut self, step: &SwapStep, paid: U256) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        let mut to_liquidity = step.fee;
        if self.protocol_part_pips > 0 {
            let protocol = if self.swap_fee_pips == self.protocol_part_pips {
                step.fee
            } else {
                let part = U256::from(self.protocol_part_pips);
                mul_div(paid, part, U256::from(PIPS), Rounding::Down)?
            };
            to_liquidity = to_liquidity.checked_sub(protocol).ok_or(AmmError::Overflow)?;
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
        if next.is_initialized {
            let misfit = AmmError::LiquidityAtTick { tick: next.tick };
            let net = ticks.get(&next.tick).map_or(0, |state| state.net);
            let net = match now.direction {
                Direction::ZeroForOne => net.checked_neg().ok_or(misfit)?,
                Direction::OneForZero => net,
            };
            now.liquidity = now.liquidity.checked_add_signed(net).ok_or(misfit)?;
            now.crossed.push(Crossing { tick: next.tick, fee_growth_x128: now.fee_growth_x128 });
        }
        now.tick = match now.direction {
            Direction::ZeroForOne => next.tick - 1,
            Direction::OneForZero => next.tick,
        };
        Ok(())
    }
}

/// The price an order stops at, which must lie ahead and inside the protocol's range.
fn limit_of(curve: &Curve<'_>, order: &SwapOrder) -> Result<U256, AmmError> {
    let end = match order.direction {
        Direction::ZeroForOne => MIN_SQRT_PRICE_X96 + U256::ONE,
        Direction::OneForZero => MAX_SQRT_PRICE_X96 - U256::ONE,
    };
    let limit = order.sqrt_limit_x96.unwrap_or(end);
    let is_ahead = match order.direction {
        Direction::ZeroForOne => end <= limit && limit < curve.sqrt_price_x96,
        Direction::OneForZero => curve.sqrt_price_x96 < limit && limit <= end,
    };
    if is_ahead { Ok(limit) } else { Err(AmmError::PriceLimit) }
}

fn add(a: U256, b: U256) -> Result<U256, AmmError> {
    a.checked_add(b).ok_or(AmmError::Overflow)
}

#[cfg(test)]
mod tests;
