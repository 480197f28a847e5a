//! Liquidity of a V3 range: the tokens in it, how much some tokens make, and the fees it earned.
//!
//! All integers as the contracts compute them. A mint is charged rounded up, a burn is paid rounded
//! down; fee growth wraps around 2^256 on purpose, so differences are wrapping too.

use alloy::primitives::U256;

use crate::math::amm::sqrt_price::{amount0_delta, amount1_delta};
use crate::math::amm::tick::{TickRange, sqrt_price_at};
use crate::math::amm::{AmmError, Amounts, Q96, Q128, Rounding, mul_div};

/// Tokens of a range at a price: what a mint pays ([`Rounding::Up`]) or a burn returns
/// ([`Rounding::Down`]).
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] for a price no pool can have.
pub fn amounts_for_liquidity(
    sqrt_price_x96: U256,
    range: TickRange,
    liquidity: u128,
    rounding: Rounding,
) -> Result<Amounts, AmmError> {
    let sqrt_lower = sqrt_price_at(range.lower())?;
    let sqrt_upper = sqrt_price_at(range.upper())?;
    let sqrt_inside = sqrt_price_x96.clamp(sqrt_lower, sqrt_upper);
    Ok(Amounts {
        amount0: amount0_delta(sqrt_inside, sqrt_upper, liquidity, rounding)?,
        amount1: amount1_delta(sqrt_lower, sqrt_inside, liquidity, rounding)?,
    })
}

/// What a V2 pair as deep at this price would hold, rounded down. A range holds less: it is as deep
/// without the tokens for prices outside.
///
/// # Errors
/// [`AmmError::Overflow`] for a price of zero, or of none that a pool can have.
pub fn virtual_reserves(sqrt_price_x96: U256, liquidity: u128) -> Result<Amounts, AmmError> {
    let liquidity = U256::from(liquidity);
    Ok(Amounts {
        amount0: mul_div(liquidity, Q96, sqrt_price_x96, Rounding::Down)?,
        amount1: mul_div(liquidity, sqrt_price_x96, Q96, Rounding::Down)?,
    })
}

/// Most liquidity the position manager mints for at most these tokens: periphery's
/// `LiquidityAmounts.getLiquidityForAmounts`.
///
/// # Errors
/// [`AmmError::Overflow`] where the result exceeds `uint128`.
pub fn liquidity_for_amounts(
    sqrt_price_x96: U256,
    range: TickRange,
    most: Amounts,
) -> Result<u128, AmmError> {
    let sqrt_lower = sqrt_price_at(range.lower())?;
    let sqrt_upper = sqrt_price_at(range.upper())?;
    if sqrt_price_x96 <= sqrt_lower {
        return liquidity_for_amount0(sqrt_lower, sqrt_upper, most.amount0);
    }
    if sqrt_price_x96 >= sqrt_upper {
        return liquidity_for_amount1(sqrt_lower, sqrt_upper, most.amount1);
    }
    let by0 = liquidity_for_amount0(sqrt_price_x96, sqrt_upper, most.amount0)?;
    let by1 = liquidity_for_amount1(sqrt_lower, sqrt_price_x96, most.amount1)?;
    Ok(by0.min(by1))
}

/// Rounded twice as in the periphery: the product of the prices loses its low 96 bits first.
fn liquidity_for_amount0(lower: U256, upper: U256, amount0: U256) -> Result<u128, AmmError> {
    let between = mul_div(lower, upper, Q96, Rounding::Down)?;
    let liquidity = mul_div(amount0, between, upper - lower, Rounding::Down)?;
    u128::try_from(liquidity).map_err(|_| AmmError::Overflow)
}

fn liquidity_for_amount1(lower: U256, upper: U256, amount1: U256) -> Result<u128, AmmError> {
    let liquidity = mul_div(amount1, Q96, upper - lower, Rounding::Down)?;
    u128::try_from(liquidity).map_err(|_| AmmError::Overflow)
}

/// Fee growth of one token, as a pool stores it: global and at the two ends of a range. Q128.128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeGrowth {
    /// `feeGrowthGlobal`.
    pub global: U256,
    /// `feeGrowthOutside` of the lower tick.
    pub outside_lower: U256,
    /// `feeGrowthOutside` of the upper tick.
    pub outside_upper: U256,
}

/// Fee growth inside a range of one token, Q128.128; wraps like the contract, only differences of
/// two readings mean something. `tick` is `slot0.tick`.
pub fn fee_growth_inside(growth: FeeGrowth, range: TickRange, tick: i32) -> U256 {
    let below = if tick >= range.lower() {
        growth.outside_lower
    } else {
        growth.global.wrapping_sub(growth.outside_lower)
    };
    let above = if tick < range.upper() {
        growth.outside_upper
    } else {
        growth.global.wrapping_sub(growth.outside_upper)
    };
    growth.global.wrapping_sub(below).wrapping_sub(above)
}

/// Fees of one token since the last reading, rounded down, before the contract's cut to `uint128`.
pub fn fees_owed(liquidity: u128, inside: U256, inside_last: U256) -> U256 {
    let grown = inside.wrapping_sub(inside_last);
    mul_div(grown, U256::from(liquidity), Q128, Rounding::Down)
        .expect("a 256-bit growth times a 128-bit liquidity over 2^128 fits 256 bits")
}

/// Fees of one token since the last reading as `tokensOwed` counts them: the low 128 bits.
pub fn tokens_owed(liquidity: u128, inside: U256, inside_last: U256) -> u128 {
    let limbs = *fees_owed(liquidity, inside, inside_last).as_limbs();
    u128::from(limbs[0]) | u128::from(limbs[1]) << 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::tick::{MAX_TICK, MIN_TICK};

    fn range() -> TickRange {
        TickRange::new(-600, 600, 60).unwrap()
    }

    #[test]
    fn a_mint_pays_at_most_one_unit_more_than_the_burn_returns() {
        for tick in [-887_000, -601, -600, -1, 0, 599, 600, 887_000] {
            let price = sqrt_price_at(tick).unwrap() + U256::from(12_345);
            let paid = amounts_for_liquidity(price, range(), 777_777, Rounding::Up).unwrap();
            let back = amounts_for_liquidity(price, range(), 777_777, Rounding::Down).unwrap();
            assert!(paid.amount0 - back.amount0 <= U256::ONE);
            assert!(paid.amount1 - back.amount1 <= U256::ONE);
            if tick < -600 {
                assert_eq!(paid.amount1, U256::ZERO);
            }
            if tick >= 600 {
                assert_eq!(paid.amount0, U256::ZERO);
            }
        }
    }

    #[test]
    fn liquidity_for_amounts_never_costs_more_than_the_amounts() {
        let most = Amounts { amount0: U256::from(1_000_003), amount1: U256::from(999_983) };
        for tick in [-700, -600, -599, -3, 0, 5, 599, 600, 700] {
            let price = sqrt_price_at(tick).unwrap();
            let liquidity = liquidity_for_amounts(price, range(), most).unwrap();
            let paid = amounts_for_liquidity(price, range(), liquidity, Rounding::Up).unwrap();
            assert!(paid.amount0 <= most.amount0 && paid.amount1 <= most.amount1);
            assert!(liquidity > 0);
        }
    }

    #[test]
    fn virtual_reserves_are_those_of_a_range_over_everything() {
        let everything = TickRange::new(MIN_TICK, MAX_TICK, 1).unwrap();
        for tick in [-200_000, -1, 0, 77, 200_000] {
            let price = sqrt_price_at(tick).unwrap();
            let liquidity = 10u128.pow(24);
            let told = virtual_reserves(price, liquidity).unwrap();
            let held = amounts_for_liquidity(price, everything, liquidity, Rounding::Down).unwrap();
            // At the protocol's ends a unit of the other token is left for 2^64 of liquidity.
            let room = U256::from(liquidity >> 63);
            assert!(told.amount0 >= held.amount0 && told.amount0 - held.amount0 <= room, "{tick}");
            assert!(told.amount1 >= held.amount1 && told.amount1 - held.amount1 <= room, "{tick}");
        }
        let both = Amounts { amount0: U256::from(5), amount1: U256::from(5) };
        assert_eq!(virtual_reserves(Q96, 5), Ok(both));
        assert_eq!(virtual_reserves(U256::ZERO, 5), Err(AmmError::Overflow));
    }

    #[test]
    fn too_much_liquidity_is_refused() {
        let most = Amounts { amount0: U256::MAX, amount1: U256::MAX };
        assert_eq!(liquidity_for_amounts(Q96, range(), most), Err(AmmError::Overflow));
        assert!(liquidity_for_amounts(U256::MAX, range(), most).is_err());
        let whole = TickRange::new(MIN_TICK, MAX_TICK, 1).unwrap();
        assert!(amounts_for_liquidity(U256::MAX, whole, u128::MAX, Rounding::Up).is_ok());
    }

    #[test]
    fn owed_wraps_to_128_bits_like_the_contract() {
        let inside = U256::MAX;
        let owed = fees_owed(u128::MAX, inside, U256::ZERO);
        assert!(owed > U256::from(u128::MAX));
        assert_eq!(
            U256::from(tokens_owed(u128::MAX, inside, U256::ZERO)),
            owed & U256::from(u128::MAX)
        );
        // Growth that wrapped past zero between two readings still counts.
        assert_eq!(tokens_owed(2, Q128 - U256::ONE, U256::MAX), 2);
    }
}
