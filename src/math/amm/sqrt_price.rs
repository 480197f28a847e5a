//! How far amounts move a price, and what amounts a price move needs: v3-core's `SqrtPriceMath`.
//!
//! The integer arithmetic is the SDK's; the guards around it are the contract's `require`s and
//! casts that the SDK leaves to its caller (it wraps or divides by zero where the contract
//! reverts).

use alloy::primitives::U256;
use uniswap_v3_sdk::utils::sqrt_price_math;

use crate::math::amm::{AmmError, Direction, Rounding};

/// Bits of the contract's price type.
const SQRT_PRICE_BITS: usize = 160;

/// Token0 between two prices, in raw units.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] for a zero price or one of more than 160 bits.
pub fn amount0_delta(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    rounding: Rounding,
) -> Result<U256, AmmError> {
    check_width(sqrt_a_x96)?;
    check_width(sqrt_b_x96)?;
    let round_up = rounding == Rounding::Up;
    Ok(sqrt_price_math::get_amount_0_delta(sqrt_a_x96, sqrt_b_x96, liquidity, round_up)?)
}

/// Token1 between two prices, in raw units.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] for a zero price or one of more than 160 bits.
pub fn amount1_delta(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    rounding: Rounding,
) -> Result<U256, AmmError> {
    check_width(sqrt_a_x96)?;
    check_width(sqrt_b_x96)?;
    let round_up = rounding == Rounding::Up;
    Ok(sqrt_price_math::get_amount_1_delta(sqrt_a_x96, sqrt_b_x96, liquidity, round_up)?)
}

/// Price after giving `amount_in` (fee already taken off).
///
/// # Errors
/// [`AmmError::NoLiquidity`], [`AmmError::SqrtPriceOutOfRange`], [`AmmError::Overflow`].
pub fn next_from_input(
    sqrt_price_x96: U256,
    liquidity: u128,
    amount_in: U256,
    direction: Direction,
) -> Result<U256, AmmError> {
    check_width(sqrt_price_x96)?;
    if liquidity == 0 {
        return Err(AmmError::NoLiquidity);
    }
    let zero_for_one = direction == Direction::ZeroForOne;
    // The SDK's denominator `liquidity / price + amount` wraps; only so large an amount gets there.
    if zero_for_one && amount_in.bit(255) {
        let fixed: U256 = (U256::from(liquidity) << 96) / sqrt_price_x96;
        fixed.checked_add(amount_in).ok_or(AmmError::Overflow)?;
    }
    let next = sqrt_price_math::get_next_sqrt_price_from_input(
        sqrt_price_x96,
        liquidity,
        amount_in,
        zero_for_one,
    )?;
    // A wrapped sum shows as a price on the wrong side.
    let is_wrapped = !zero_for_one && next < sqrt_price_x96;
    if is_wrapped || next.bit_len() > SQRT_PRICE_BITS {
        return Err(AmmError::Overflow);
    }
    Ok(next)
}

/// Price after taking `amount_out`.
///
/// # Errors
/// [`AmmError::NoLiquidity`], [`AmmError::InsufficientLiquidity`],
/// [`AmmError::SqrtPriceOutOfRange`], [`AmmError::Overflow`].
pub fn next_from_output(
    sqrt_price_x96: U256,
    liquidity: u128,
    amount_out: U256,
    direction: Direction,
) -> Result<U256, AmmError> {
    check_width(sqrt_price_x96)?;
    if liquidity == 0 {
        return Err(AmmError::NoLiquidity);
    }
    let next = sqrt_price_math::get_next_sqrt_price_from_output(
        sqrt_price_x96,
        liquidity,
        amount_out,
        direction == Direction::ZeroForOne,
    )?;
    if next.bit_len() > SQRT_PRICE_BITS {
        return Err(AmmError::Overflow);
    }
    Ok(next)
}

fn check_width(sqrt_price_x96: U256) -> Result<(), AmmError> {
    if sqrt_price_x96.is_zero() || sqrt_price_x96.bit_len() > SQRT_PRICE_BITS {
        return Err(AmmError::SqrtPriceOutOfRange { sqrt_price_x96 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::Q96;

    #[test]
    fn huge_inputs_are_refused_not_wrapped() {
        let top = (U256::ONE << 160) - U256::ONE;
        let down = next_from_input(U256::ONE, u128::MAX, U256::MAX, Direction::ZeroForOne);
        assert_eq!(down, Err(AmmError::Overflow));
        let up = next_from_input(top, 1, U256::MAX, Direction::OneForZero);
        assert_eq!(up, Err(AmmError::Overflow));
        // Quotient 2^256 - 2^97: the SDK's sum wraps to a small price.
        let amount = U256::MAX >> 96;
        assert!(next_from_input(top, 1, amount, Direction::OneForZero).is_err());
    }

    #[test]
    fn no_price_and_no_liquidity_are_refused() {
        for direction in [Direction::ZeroForOne, Direction::OneForZero] {
            assert!(next_from_input(U256::ZERO, 1, U256::ONE, direction).is_err());
            assert!(next_from_input(Q96, 0, U256::ONE, direction).is_err());
            assert!(next_from_output(Q96, 0, U256::ONE, direction).is_err());
            assert!(next_from_output(Q96, 1, U256::MAX, direction).is_err());
        }
        assert!(amount0_delta(U256::ZERO, Q96, 1, Rounding::Up).is_err());
        assert!(amount1_delta(Q96, U256::MAX, 1, Rounding::Up).is_err());
    }
}
