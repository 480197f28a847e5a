//! The automated market makers' own arithmetic, to the unit.
//!
//! Every function answers what the contract would answer, or an [`AmmError`] where the contract
//! would revert; no input panics. Prices of a pool are square roots in Q64.96 held in a [`U256`]
//! (the contracts' `uint160`), amounts are raw units of a token.

mod boundaries;
pub mod liquidity;
pub mod price;
pub mod segments;
pub mod sqrt_price;
pub mod swap;
pub mod tick;
mod tick_price;
pub mod v2;
pub mod v3;
pub mod v3_step;
pub mod v4;
pub mod v4_step;
mod wide;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

use alloy::primitives::{U256, Uint};
use thiserror::Error;

use wide::Divided;

/// 2^96, the one of a Q64.96 number.
pub const Q96: U256 = U256::from_limbs([0, 1 << 32, 0, 0]);

/// 2^128, the one of a Q128.128 number (fee growth).
pub const Q128: U256 = U256::from_limbs([0, 0, 1, 0]);

/// Fees are counted in pips: parts of one million.
pub const PIPS: u32 = 1_000_000;

/// Which way an integer division falls; the caller chooses the one that goes against itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// Which token the trader gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Token0 in, token1 out: the pool's price falls.
    ZeroForOne,
    /// Token1 in, token0 out: the pool's price rises.
    OneForZero,
}

/// Raw units of both tokens of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Smallest units of token0.
    pub amount0: U256,
    /// Smallest units of token1.
    pub amount1: U256,
}

/// Why a curve has no answer; the contract would revert on the same input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmmError {
    /// Outside `[MIN_TICK, MAX_TICK]`.
    #[error("tick {tick} is outside the protocol's range")]
    TickOutOfRange {
        /// The tick asked for.
        tick: i32,
    },
    /// Outside the prices the protocol allows at this place.
    #[error("sqrt price {sqrt_price_x96} is outside the protocol's range")]
    SqrtPriceOutOfRange {
        /// The price asked for, Q64.96.
        sqrt_price_x96: U256,
    },
    /// V3's factory allows 1 to 16383, V4 1 to 32767.
    #[error("tick spacing {tick_spacing} is not allowed")]
    TickSpacing {
        /// The spacing asked for.
        tick_spacing: i32,
    },
    /// A fee of one or more, or a denominator of zero.
    #[error("a fee of {fee} parts leaves nothing to swap")]
    Fee {
        /// The fee, in the parts of the function that refused it.
        fee: u32,
    },
    /// A protocol fee of V4 above its maximum in one direction or both.
    #[error("protocol fee {packed:#x} is above 1000 pips in a direction")]
    ProtocolFee {
        /// Both directions' parts, as `slot0` packs them.
        packed: u32,
    },
    /// Not `lower < upper`, or not multiples of the spacing.
    #[error("ticks {lower} and {upper} do not make a range")]
    TickRange {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
    },
    /// A result larger than the contract's type for it.
    #[error("amount exceeds the contract's integer type")]
    Overflow,
    /// Nothing to trade against or to share.
    #[error("no liquidity")]
    NoLiquidity,
    /// The amount asked for is more than the pool or the range holds.
    #[error("more is asked for than the liquidity holds")]
    InsufficientLiquidity,
    /// The price limit is on the wrong side of the price, or at the protocol's end.
    #[error("price limit is on the wrong side of the price")]
    PriceLimit,
    /// A swap of nothing.
    #[error("amount is zero")]
    ZeroAmount,
    /// Ticks whose nets do not fit the liquidity in range.
    #[error("crossing tick {tick} does not fit the liquidity in range")]
    LiquidityAtTick {
        /// The tick being crossed.
        tick: i32,
    },
    /// The loop reached its bound.
    #[error("swap takes more than {limit} steps")]
    TooManySteps {
        /// The bound.
        limit: u32,
    },
    /// More decimals than the conversions carry.
    #[error("{decimals} decimals are more than can be converted")]
    Decimals {
        /// Decimals of the token.
        decimals: u8,
    },
    /// Zero, negative, or beyond what the other number type holds.
    #[error("price cannot be represented")]
    PriceUnrepresentable,
    /// A half width must lie strictly between 0 and 100 %.
    #[error("a half width of {half_width_bps} basis points is not between 0 and 10000")]
    HalfWidth {
        /// The half width asked for.
        half_width_bps: u32,
    },
}

/// `a * b / denominator` with a 512-bit product.
///
/// # Errors
/// [`AmmError::Overflow`] when the denominator is zero or the result needs more than 256 bits.
pub fn mul_div(a: U256, b: U256, denominator: U256, rounding: Rounding) -> Result<U256, AmmError> {
    rounded(wide::mul_div(a, b, denominator), rounding)
}

/// `a * b / 2^96`, as [`mul_div`] by [`Q96`] answers.
fn mul_shift_96(a: U256, b: U256, rounding: Rounding) -> Result<U256, AmmError> {
    rounded(wide::mul_shift_96(a, b), rounding)
}

fn rounded(divided: Option<Divided>, rounding: Rounding) -> Result<U256, AmmError> {
    let Divided { quotient, is_inexact } = divided.ok_or(AmmError::Overflow)?;
    match rounding {
        Rounding::Up if is_inexact => quotient.checked_add(U256::ONE).ok_or(AmmError::Overflow),
        _ => Ok(quotient),
    }
}

/// Largest integer whose square is not above `value`.
///
/// Newton from above: the iterate falls until it stands still and each turn about halves the
/// distance, so the loop ends after fewer turns than the type has bits.
fn integer_sqrt<const BITS: usize, const LIMBS: usize>(
    value: Uint<BITS, LIMBS>,
) -> Uint<BITS, LIMBS> {
    if value.is_zero() {
        return value;
    }
    let mut root = Uint::<BITS, LIMBS>::ONE << value.bit_len().div_ceil(2);
    loop {
        let next = (root + value / root) >> 1;
        if next >= root {
            return root;
        }
        root = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_floor() {
        for value in [0u64, 1, 2, 3, 4, 8, 9, 15, 16, 17, 1 << 62, u64::MAX] {
            let root = integer_sqrt(U256::from(value));
            let above = root + U256::ONE;
            assert!(root * root <= U256::from(value) && above * above > U256::from(value));
        }
        assert_eq!(integer_sqrt(U256::MAX), (U256::ONE << 128) - U256::ONE);
    }

    #[test]
    fn mul_div_rounds_as_asked_and_refuses_what_does_not_fit() {
        let seven = U256::from(7);
        let two = U256::from(2);
        assert_eq!(mul_div(seven, U256::ONE, two, Rounding::Down), Ok(U256::from(3)));
        assert_eq!(mul_div(seven, U256::ONE, two, Rounding::Up), Ok(U256::from(4)));
        assert_eq!(mul_div(U256::MAX, U256::MAX, U256::MAX, Rounding::Up), Ok(U256::MAX));
        for denominator in [U256::ZERO, U256::ONE, U256::MAX - U256::ONE] {
            for rounding in [Rounding::Down, Rounding::Up] {
                let refused = mul_div(U256::MAX, U256::MAX, denominator, rounding);
                assert_eq!(refused, Err(AmmError::Overflow));
            }
        }
    }
}
