//! Ticks: the price grid of concentrated liquidity, and what the pool stores at its points.
//!
//! `price = 1.0001^tick`.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};

use crate::math::amm::AmmError;

pub use crate::math::amm::tick_price::{sqrt_price_at, tick_at};

/// Lowest tick of the protocol.
pub const MIN_TICK: i32 = -887_272;

/// Highest tick of the protocol.
pub const MAX_TICK: i32 = 887_272;

/// Ticks further out, to either side, are within 1 % of the protocol's ends: a price there is
/// whatever the last of the liquidity left.
pub const FARTHEST_TICK: i32 = MAX_TICK - MAX_TICK / 100;

/// Price at [`MIN_TICK`], Q64.96; a pool's price is at least this.
pub const MIN_SQRT_PRICE_X96: U256 = U256::from_limbs([4_295_128_739, 0, 0, 0]);

/// Price at [`MAX_TICK`], Q64.96; a pool's price is strictly below.
pub const MAX_SQRT_PRICE_X96: U256 =
    U256::from_limbs([0x5d95_1d52_6398_8d26, 0xefd1_fc6a_5064_8849, 0xfffd_8963, 0]);

/// Widest spacing the v3 factory lets a fee tier have.
pub const MAX_TICK_SPACING: i32 = 16_383;

/// Widest spacing a v4 pool can have.
pub const MAX_TICK_SPACING_V4: i32 = 32_767;

/// What a pool keeps at an initialized tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TickState {
    /// Liquidity of all positions that end here.
    pub gross: u128,
    /// Liquidity that joins when the price rises through the tick.
    pub net: i128,
    /// Fee growth of token0 on the other side of the tick, Q128.128, wrapping.
    pub outside0: U256,
    /// Fee growth of token1 on the other side of the tick, Q128.128, wrapping.
    pub outside1: U256,
}

/// The initialized ticks of a pool.
pub type Ticks = BTreeMap<i32, TickState>;

/// A range `[lower, upper)` whose ticks lie on the pool's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickRange {
    lower: i32,
    upper: i32,
}

impl TickRange {
    /// Checks order, bounds and grid. The spacing may be any pool's: v4's bound is the wider one.
    ///
    /// # Errors
    /// [`AmmError::TickSpacing`], [`AmmError::TickOutOfRange`], [`AmmError::TickRange`].
    pub fn new(lower: i32, upper: i32, tick_spacing: i32) -> Result<Self, AmmError> {
        check_spacing_v4(tick_spacing)?;
        for tick in [lower, upper] {
            check_tick(tick)?;
        }
        if lower >= upper || lower % tick_spacing != 0 || upper % tick_spacing != 0 {
            return Err(AmmError::TickRange { lower, upper });
        }
        Ok(Self { lower, upper })
    }

    /// First tick inside.
    pub fn lower(self) -> i32 {
        self.lower
    }

    /// First tick above.
    pub fn upper(self) -> i32 {
        self.upper
    }

    /// Whether liquidity of this range is active at the pool's tick.
    pub fn contains(self, tick: i32) -> bool {
        self.lower <= tick && tick < self.upper
    }
}

/// Whether a price can be a pool's price.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`].
pub fn check_sqrt_price(sqrt_price_x96: U256) -> Result<(), AmmError> {
    if sqrt_price_x96 < MIN_SQRT_PRICE_X96 || sqrt_price_x96 >= MAX_SQRT_PRICE_X96 {
        return Err(AmmError::SqrtPriceOutOfRange { sqrt_price_x96 });
    }
    Ok(())
}

/// Whether a tick can be a pool's tick.
///
/// # Errors
/// [`AmmError::TickOutOfRange`].
pub fn check_tick(tick: i32) -> Result<(), AmmError> {
    if !(MIN_TICK..=MAX_TICK).contains(&tick) {
        return Err(AmmError::TickOutOfRange { tick });
    }
    Ok(())
}

/// Whether the factory would allow the spacing.
///
/// # Errors
/// [`AmmError::TickSpacing`].
pub fn check_spacing(tick_spacing: i32) -> Result<(), AmmError> {
    if !(1..=MAX_TICK_SPACING).contains(&tick_spacing) {
        return Err(AmmError::TickSpacing { tick_spacing });
    }
    Ok(())
}

/// Whether a v4 pool can have the spacing.
///
/// # Errors
/// [`AmmError::TickSpacing`].
pub fn check_spacing_v4(tick_spacing: i32) -> Result<(), AmmError> {
    if !(1..=MAX_TICK_SPACING_V4).contains(&tick_spacing) {
        return Err(AmmError::TickSpacing { tick_spacing });
    }
    Ok(())
}

/// Nearest tick of the grid at or below, inside the protocol's range.
///
/// # Errors
/// [`AmmError::TickSpacing`], [`AmmError::TickOutOfRange`].
pub fn align_down(tick: i32, tick_spacing: i32) -> Result<i32, AmmError> {
    check_spacing(tick_spacing)?;
    check_tick(tick)?;
    Ok((tick.div_euclid(tick_spacing) * tick_spacing).max(usable_min(tick_spacing)))
}

/// Nearest tick of the grid at or above, inside the protocol's range.
///
/// # Errors
/// [`AmmError::TickSpacing`], [`AmmError::TickOutOfRange`].
pub fn align_up(tick: i32, tick_spacing: i32) -> Result<i32, AmmError> {
    check_spacing(tick_spacing)?;
    check_tick(tick)?;
    Ok((-(-tick).div_euclid(tick_spacing) * tick_spacing).min(-usable_min(tick_spacing)))
}

/// Lowest tick of the grid; the highest is its negative.
fn usable_min(tick_spacing: i32) -> i32 {
    MIN_TICK / tick_spacing * tick_spacing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_rounds_outwards_and_stays_on_the_grid() {
        assert_eq!(align_down(-1, 60), Ok(-60));
        assert_eq!(align_up(-1, 60), Ok(0));
        assert_eq!(align_down(61, 60), Ok(60));
        assert_eq!(align_up(61, 60), Ok(120));
        assert_eq!(align_down(120, 60), Ok(120));
        assert_eq!(align_up(120, 60), Ok(120));
        assert_eq!(align_down(MIN_TICK, 60), Ok(-887_220));
        assert_eq!(align_up(MAX_TICK, 60), Ok(887_220));
        assert!(align_down(0, 0).is_err());
        assert!(align_up(i32::MIN, 1).is_err());
    }

    #[test]
    fn a_range_lies_on_the_grid() {
        assert!(TickRange::new(-60, 60, 60).is_ok());
        for (lower, upper, spacing) in
            [(60, 60, 60), (60, -60, 60), (-61, 60, 60), (0, 1, 0), (-900_000, 0, 60)]
        {
            assert!(TickRange::new(lower, upper, spacing).is_err());
        }
        let range = TickRange::new(-60, 60, 60).unwrap();
        assert!(range.contains(-60) && !range.contains(60));
    }
}
