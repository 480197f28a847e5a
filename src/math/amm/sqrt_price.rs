//! How far amounts move a price, and what amounts a price move needs: v3-core's `SqrtPriceMath`.
//!
//! Written here with one division where the SDK makes up to three; the SDK also wraps
//! or divides by zero where the contract reverts. The tests hold both together.

use alloy::primitives::U256;

use crate::math::amm::wide::{self, difference};
use crate::math::amm::{AmmError, Direction, Q96, Rounding, mul_div, mul_shift_96, rounded};

/// Bits of the contract's price type.
const SQRT_PRICE_BITS: usize = 160;

/// Token0 between two prices, in raw units.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] for a zero price or one of more than 160 bits.
#[inline(always)]
pub fn amount0_delta(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    rounding: Rounding,
) -> Result<U256, AmmError> {
    // The contract divides by one price after the other, each time rounded the same way, which is
    // the quotient by their product rounded once.
    if let (Some(a), Some(b)) = (wide::small(sqrt_a_x96), wide::small(sqrt_b_x96))
        && let Some(divided) = wide::mul_div_96(liquidity, a.abs_diff(b), a, b)
    {
        return rounded(Some(divided), rounding);
    }
    amount0_delta_far(sqrt_a_x96, sqrt_b_x96, liquidity, rounding)
}

/// The same where a price or the answer needs more than 128 bits, or the prices' product fewer.
fn amount0_delta_far(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    rounding: Rounding,
) -> Result<U256, AmmError> {
    check_width(sqrt_a_x96)?;
    check_width(sqrt_b_x96)?;
    let (between, is_rising) = difference(sqrt_a_x96, sqrt_b_x96);
    let (lower, upper) =
        if is_rising { (sqrt_a_x96, sqrt_b_x96) } else { (sqrt_b_x96, sqrt_a_x96) };
    if let Some(product) = wide::mul(upper, lower) {
        return mul_div(between, scaled(liquidity), product, rounding);
    }
    let between = mul_div(between, scaled(liquidity), upper, rounding)?;
    Ok(match rounding {
        Rounding::Down => between / lower,
        Rounding::Up => between.div_ceil(lower),
    })
}

/// Token1 between two prices, in raw units.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] for a zero price or one of more than 160 bits.
#[inline(always)]
pub fn amount1_delta(
    sqrt_a_x96: U256,
    sqrt_b_x96: U256,
    liquidity: u128,
    rounding: Rounding,
) -> Result<U256, AmmError> {
    if let (Some(a @ 1..), Some(b @ 1..)) = (wide::small(sqrt_a_x96), wide::small(sqrt_b_x96)) {
        return rounded(Some(wide::mul_shift_96_128(liquidity, a.abs_diff(b))), rounding);
    }
    check_width(sqrt_a_x96)?;
    check_width(sqrt_b_x96)?;
    mul_shift_96(U256::from(liquidity), difference(sqrt_a_x96, sqrt_b_x96).0, rounding)
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
    match direction {
        Direction::ZeroForOne => {
            let (scaled, price) = (scaled(liquidity), sqrt_price_x96);
            let product = wide::mul(amount_in, price);
            match product.and_then(|product| product.checked_add(scaled)) {
                Some(denominator) => mul_div(price, scaled, denominator, Rounding::Up),
                // The contract's second formula, less exact and without the large product.
                None => {
                    let denominator = (scaled / price).checked_add(amount_in);
                    Ok(scaled.div_ceil(denominator.ok_or(AmmError::Overflow)?))
                }
            }
        }
        Direction::OneForZero => {
            let rise = mul_div(amount_in, Q96, U256::from(liquidity), Rounding::Down)?;
            narrow(sqrt_price_x96.checked_add(rise).ok_or(AmmError::Overflow)?)
        }
    }
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
    match direction {
        Direction::ZeroForOne => {
            let fall = mul_div(amount_out, Q96, U256::from(liquidity), Rounding::Up)?;
            let next = sqrt_price_x96.checked_sub(fall).filter(|next| !next.is_zero());
            next.ok_or(AmmError::InsufficientLiquidity)
        }
        Direction::OneForZero => {
            let scaled = scaled(liquidity);
            let left = wide::mul(amount_out, sqrt_price_x96);
            let left = left.and_then(|product| scaled.checked_sub(product));
            let left = left.filter(|left| !left.is_zero());
            let denominator = left.ok_or(AmmError::InsufficientLiquidity)?;
            narrow(mul_div(sqrt_price_x96, scaled, denominator, Rounding::Up)?)
        }
    }
}

/// Liquidity in Q96: below 2^224.
fn scaled(liquidity: u128) -> U256 {
    let (low, high) = (wide::lower(liquidity), wide::upper(liquidity));
    U256::from_limbs([0, low << 32, low >> 32 | high << 32, high >> 32])
}

/// The contract's cast to `uint160`.
fn narrow(sqrt_price_x96: U256) -> Result<U256, AmmError> {
    if sqrt_price_x96.bit_len() > SQRT_PRICE_BITS {
        return Err(AmmError::Overflow);
    }
    Ok(sqrt_price_x96)
}

fn check_width(sqrt_price_x96: U256) -> Result<(), AmmError> {
    let [p0, p1, p2, p3] = *sqrt_price_x96.as_limbs();
    if p0 | p1 | p2 == 0 || p2 >> 32 != 0 || p3 != 0 {
        return Err(AmmError::SqrtPriceOutOfRange { sqrt_price_x96 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_inputs_are_refused_not_wrapped() {
        let top = (U256::ONE << 160) - U256::ONE;
        let down = next_from_input(U256::ONE, u128::MAX, U256::MAX, Direction::ZeroForOne);
        assert_eq!(down, Err(AmmError::Overflow));
        let up = next_from_input(top, 1, U256::MAX, Direction::OneForZero);
        assert_eq!(up, Err(AmmError::Overflow));
        // A rise of 2^256 - 2^96: the sum must not wrap to a small price.
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
