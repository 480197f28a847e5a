//! One step of a V4 swap inside constant liquidity: v4-core's `SwapMath`.
//!
//! Price, output and what is paid in all are V3's. Of a partial exact-input step V4 calls the whole
//! input less its fee the amount in, where V3 counts it anew from the price; so the fees differ.

use alloy::primitives::U256;

use crate::math::amm::sqrt_price::{next_from_input, next_from_output};
use crate::math::amm::swap::SwapAmount;
use crate::math::amm::v3_step::{
    StepInput, SwapStep, fee_on, input_between, less_fee, output_between,
};
use crate::math::amm::{AmmError, Direction, PIPS};

/// One step within constant liquidity, exactly as V4's `SwapMath.computeSwapStep`.
///
/// # Errors
/// [`AmmError::Fee`] for a fee above one, or of one where the output is fixed; the price and
/// overflow errors of [`crate::math::amm::sqrt_price`].
pub fn compute_swap_step(input: &StepInput) -> Result<SwapStep, AmmError> {
    let refused = AmmError::Fee { fee: input.fee_pips };
    let rest_pips = PIPS.checked_sub(input.fee_pips).ok_or(refused)?;
    let (price, target, liquidity) = (input.sqrt_price_x96, input.sqrt_target_x96, input.liquidity);
    let direction = if price >= target { Direction::ZeroForOne } else { Direction::OneForZero };
    let input_to = |sqrt_x96| input_between(price, sqrt_x96, liquidity, direction);
    let output_to = |sqrt_x96| output_between(price, sqrt_x96, liquidity, direction);
    let fee_on = |amount| fee_on(amount, input.fee_pips);

    match input.remaining {
        SwapAmount::ExactIn(remaining) => {
            let less_fee = less_fee(remaining, input.fee_pips)?;
            let full_in = input_to(target)?;
            if less_fee < full_in {
                let next = next_from_input(price, liquidity, less_fee, direction)?;
                let fee = remaining.checked_sub(less_fee).ok_or(AmmError::Overflow)?;
                let amount_out = output_to(next)?;
                return Ok(SwapStep { sqrt_next_x96: next, amount_in: less_fee, amount_out, fee });
            }
            // A fee of one leaves nothing, so only a way that costs nothing is walked to its end.
            let fee = if rest_pips == 0 { U256::ZERO } else { fee_on(full_in)? };
            let amount_out = output_to(target)?;
            Ok(SwapStep { sqrt_next_x96: target, amount_in: full_in, amount_out, fee })
        }
        SwapAmount::ExactOut(_) if rest_pips == 0 => Err(refused),
        SwapAmount::ExactOut(remaining) => {
            let full_out = output_to(target)?;
            let (next, amount_out) = if remaining >= full_out {
                (target, full_out)
            } else {
                (next_from_output(price, liquidity, remaining, direction)?, remaining)
            };
            let amount_in = input_to(next)?;
            Ok(SwapStep { sqrt_next_x96: next, amount_in, amount_out, fee: fee_on(amount_in)? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::Q96;
    use crate::math::amm::tick::sqrt_price_at;

    #[test]
    fn a_partial_step_splits_by_the_fee_as_v4_does() {
        let step = compute_swap_step(&StepInput {
            sqrt_price_x96: U256::from(2_413),
            sqrt_target_x96: U256::from(79_887_613_182_836_312u64),
            liquidity: 1_985_041_575_832_132_834_610_021_537_970,
            remaining: SwapAmount::ExactIn(U256::from(10)),
            fee_pips: 1_872,
        })
        .unwrap();
        assert_eq!((step.amount_in, step.fee), (U256::from(9), U256::ONE));
        assert_eq!(step.sqrt_next_x96, U256::from(2_413));
    }

    fn step_of(fee_pips: u32, liquidity: u128, remaining: SwapAmount) -> StepInput {
        let sqrt_target_x96 = sqrt_price_at(60).unwrap();
        StepInput { sqrt_price_x96: Q96, sqrt_target_x96, liquidity, remaining, fee_pips }
    }

    #[test]
    fn a_fee_of_one_takes_the_whole_input_and_allows_no_fixed_output() {
        let given = SwapAmount::ExactIn(U256::from(1_000));
        let step = compute_swap_step(&step_of(PIPS, 1 << 40, given)).unwrap();
        assert_eq!((step.amount_in, step.amount_out), (U256::ZERO, U256::ZERO));
        assert_eq!((step.sqrt_next_x96, step.fee), (Q96, U256::from(1_000)));
        let taken = SwapAmount::ExactOut(U256::ONE);
        let refused = compute_swap_step(&step_of(PIPS, 1 << 40, taken));
        assert_eq!(refused, Err(AmmError::Fee { fee: PIPS }));
        // Where nobody's liquidity stands the way is free, even at that fee.
        let empty = step_of(PIPS, 0, given);
        let step = compute_swap_step(&empty).unwrap();
        assert_eq!((step.sqrt_next_x96, step.fee), (empty.sqrt_target_x96, U256::ZERO));
    }

    #[test]
    fn a_fee_above_one_is_refused() {
        let given = SwapAmount::ExactIn(U256::ONE);
        let refused = compute_swap_step(&step_of(PIPS + 1, 1, given));
        assert_eq!(refused, Err(AmmError::Fee { fee: PIPS + 1 }));
    }
}
