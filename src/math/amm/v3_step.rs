//! One step of a V3 swap inside constant liquidity: v3-core's `SwapMath`.
//!
//! A partial exact-input step takes as fee what the recomputed input leaves over; V4 (and the SDK)
//! split that step differently, which changes the fee growth of the LPs.

use alloy::primitives::U256;

use crate::math::amm::sqrt_price::{
    amount0_delta, amount1_delta, next_from_input, next_from_output,
};
use crate::math::amm::swap::SwapAmount;
use crate::math::amm::{AmmError, Direction, PIPS, Rounding, mul_div, wide};

/// One step of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapStep {
    /// Price after the step, Q64.96; never beyond the target.
    pub sqrt_next_x96: U256,
    /// Input that moves the price, without the fee.
    pub amount_in: U256,
    /// Output.
    pub amount_out: U256,
    /// Fee, in the input token.
    pub fee: U256,
}

/// The question a step answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepInput {
    /// Price before, Q64.96.
    pub sqrt_price_x96: U256,
    /// Price not to be passed, Q64.96; its side gives the direction.
    pub sqrt_target_x96: U256,
    /// Liquidity in range.
    pub liquidity: u128,
    /// What is left to give or to take.
    pub remaining: SwapAmount,
    /// Fee in parts of one million.
    pub fee_pips: u32,
}

/// One step within constant liquidity, exactly as V3's `SwapMath.computeSwapStep`.
///
/// # Errors
/// [`AmmError::Fee`] for a fee of one or more; the price and overflow errors of
/// [`crate::math::amm::sqrt_price`].
pub fn compute_swap_step(input: &StepInput) -> Result<SwapStep, AmmError> {
    if input.fee_pips >= PIPS {
        return Err(AmmError::Fee { fee: input.fee_pips });
    }
    let (price, target, liquidity) = (input.sqrt_price_x96, input.sqrt_target_x96, input.liquidity);
    let direction = if price >= target { Direction::ZeroForOne } else { Direction::OneForZero };
    let input_to = |sqrt_x96| input_between(price, sqrt_x96, liquidity, direction);
    let output_to = |sqrt_x96| output_between(price, sqrt_x96, liquidity, direction);
    let fee_on = |amount| fee_on(amount, input.fee_pips);

    match input.remaining {
        SwapAmount::ExactIn(remaining) => {
            let less_fee = less_fee(remaining, input.fee_pips)?;
            let full_in = input_to(target)?;
            let next = if less_fee >= full_in {
                target
            } else {
                next_from_input(price, liquidity, less_fee, direction)?
            };
            let amount_out = output_to(next)?;
            if next == target {
                let fee = fee_on(full_in)?;
                return Ok(SwapStep { sqrt_next_x96: next, amount_in: full_in, amount_out, fee });
            }
            let amount_in = input_to(next)?;
            let fee = remaining.checked_sub(amount_in).ok_or(AmmError::Overflow)?;
            Ok(SwapStep { sqrt_next_x96: next, amount_in, amount_out, fee })
        }
        SwapAmount::ExactOut(remaining) => {
            let full_out = output_to(target)?;
            let next = if remaining >= full_out {
                target
            } else {
                next_from_output(price, liquidity, remaining, direction)?
            };
            let amount_in = input_to(next)?;
            let amount_out = if next == target { full_out } else { output_to(next)? };
            let fee = fee_on(amount_in)?;
            let amount_out = amount_out.min(remaining);
            Ok(SwapStep { sqrt_next_x96: next, amount_in, amount_out, fee })
        }
    }
}

/// Input without its fee that moves the price from one to the other, rounded up.
#[inline(always)]
pub(super) fn input_between(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    direction: Direction,
) -> Result<U256, AmmError> {
    match direction {
        Direction::ZeroForOne => amount0_delta(sqrt_a_x96, sqrt_b_x96, liquidity, Rounding::Up),
        Direction::OneForZero => amount1_delta(sqrt_a_x96, sqrt_b_x96, liquidity, Rounding::Up),
    }
}

/// Output of a move of the price from one to the other, rounded down.
#[inline(always)]
pub(super) fn output_between(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    direction: Direction,
) -> Result<U256, AmmError> {
    match direction {
        Direction::ZeroForOne => amount1_delta(sqrt_a_x96, sqrt_b_x96, liquidity, Rounding::Down),
        Direction::OneForZero => amount0_delta(sqrt_a_x96, sqrt_b_x96, liquidity, Rounding::Down),
    }
}

/// Fee on an input that does not hold it, rounded up.
#[inline(always)]
pub(super) fn fee_on(amount: U256, fee_pips: u32) -> Result<U256, AmmError> {
    let rest = PIPS.checked_sub(fee_pips).filter(|&rest| rest > 0);
    let rest = rest.ok_or(AmmError::Fee { fee: fee_pips })?;
    part_of(amount, fee_pips, rest, Rounding::Up)
}

/// What an input that holds its fee leaves to trade, rounded down; nothing at a fee of one.
pub(super) fn less_fee(amount: U256, fee_pips: u32) -> Result<U256, AmmError> {
    let rest = PIPS.checked_sub(fee_pips).ok_or(AmmError::Fee { fee: fee_pips })?;
    part_of(amount, rest, PIPS, Rounding::Down)
}

/// `amount * part / whole`: of most amounts the whole times and what is left over, apart.
#[inline]
fn part_of(amount: U256, part: u32, whole: u32, rounding: Rounding) -> Result<U256, AmmError> {
    let small = wide::small(amount).and_then(|amount| {
        let times = amount.checked_div(whole.into())?;
        // What is left is below `whole`, and times `part` below 2^64.
        let left = wide::lower(amount - times * u128::from(whole)) * u64::from(part);
        let left = match rounding {
            Rounding::Down => left / u64::from(whole),
            Rounding::Up => left.div_ceil(u64::from(whole)),
        };
        times.checked_mul(part.into())?.checked_add(left.into())
    });
    match small {
        Some(small) => Ok(U256::from(small)),
        None => mul_div(amount, U256::from(part), U256::from(whole), rounding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_step_gives_the_rest_to_the_fee_as_v3_does() {
        let step = compute_swap_step(&StepInput {
            sqrt_price_x96: U256::from(2_413),
            sqrt_target_x96: U256::from(79_887_613_182_836_312u64),
            liquidity: 1_985_041_575_832_132_834_610_021_537_970,
            remaining: SwapAmount::ExactIn(U256::from(10)),
            fee_pips: 1_872,
        })
        .unwrap();
        assert_eq!(step.amount_in, U256::ZERO);
        assert_eq!(step.fee, U256::from(10));
        assert_eq!(step.sqrt_next_x96, U256::from(2_413));
    }

    #[test]
    fn a_fee_of_one_is_refused() {
        let step = StepInput {
            sqrt_price_x96: U256::from(2_413),
            sqrt_target_x96: U256::from(2_413),
            liquidity: 1,
            remaining: SwapAmount::ExactOut(U256::ONE),
            fee_pips: PIPS,
        };
        assert_eq!(compute_swap_step(&step), Err(AmmError::Fee { fee: PIPS }));
    }
}
