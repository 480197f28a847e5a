//! Ticks: the price grid of concentrated liquidity, and what the pool stores at its points.
//!
//! `price = 1.0001^tick`; the conversions are v3-core's `TickMath`, the search for the next tick is
//! its `TickBitmap`: a search never leaves the bitmap word (256 spacings) it starts in, because the
//! contract's swap stops at every word's edge and rounds there.

use std::collections::BTreeMap;

use alloy::primitives::aliases::I24;
use alloy::primitives::{U160, U256};
use serde::{Deserialize, Serialize};
use uniswap_v3_sdk::utils::tick_math;

use crate::math::amm::{AmmError, Direction};

/// Lowest tick of the protocol.
pub const MIN_TICK: i32 = -887_272;

/// Highest tick of the protocol.
pub const MAX_TICK: i32 = 887_272;

/// Price at [`MIN_TICK`], Q64.96; a pool's price is at least this.
pub const MIN_SQRT_PRICE_X96: U256 = U256::from_limbs([4_295_128_739, 0, 0, 0]);

/// Price at [`MAX_TICK`], Q64.96; a pool's price is strictly below.
pub const MAX_SQRT_PRICE_X96: U256 =
    U256::from_limbs([0x5d95_1d52_6398_8d26, 0xefd1_fc6a_5064_8849, 0xfffd_8963, 0]);

/// Widest spacing the v3 factory lets a fee tier have.
pub const MAX_TICK_SPACING: i32 = 16_383;

/// Widest spacing a v4 pool can have.
pub const MAX_TICK_SPACING_V4: i32 = 32_767;

/// Ticks per bitmap word, less one: the low bits of a compressed tick.
const WORD_MASK: i32 = 0xff;

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

/// Price of a tick, Q64.96.
///
/// # Errors
/// [`AmmError::TickOutOfRange`].
pub fn sqrt_price_at(tick: i32) -> Result<U256, AmmError> {
    check_tick(tick)?;
    let tick = I24::try_from(tick).expect("a checked tick has 21 bits");
    Ok(U256::from(tick_math::get_sqrt_ratio_at_tick(tick)?))
}

/// Highest tick whose price is not above this one.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] outside `[MIN_SQRT_PRICE_X96, MAX_SQRT_PRICE_X96)`.
pub fn tick_at(sqrt_price_x96: U256) -> Result<i32, AmmError> {
    check_sqrt_price(sqrt_price_x96)?;
    Ok(tick_math::get_tick_at_sqrt_ratio(U160::from(sqrt_price_x96))?.as_i32())
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

/// Where the next step of a swap may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextTick {
    /// The tick, clamped to the protocol's range.
    pub(crate) tick: i32,
    /// Whether liquidity changes there, or only the bitmap word ends.
    pub(crate) is_initialized: bool,
}

/// Next initialized tick in the swap's direction, or the edge of the bitmap word.
///
/// `tick` and `tick_spacing` must have been checked, and `ticks` lie on the grid.
pub(crate) fn next_within_word(
    ticks: &Ticks,
    tick: i32,
    tick_spacing: i32,
    direction: Direction,
) -> NextTick {
    let compressed = tick.div_euclid(tick_spacing);
    let (edge, found) = match direction {
        Direction::ZeroForOne => {
            let edge = (compressed & !WORD_MASK) * tick_spacing;
            (edge, ticks.range(edge..=compressed * tick_spacing).next_back())
        }
        Direction::OneForZero => {
            let first = compressed + 1;
            let edge = (first | WORD_MASK) * tick_spacing;
            (edge, ticks.range(first * tick_spacing..=edge).next())
        }
    };
    let next = found.map_or(edge, |(&initialized, _)| initialized);
    NextTick { tick: next.clamp(MIN_TICK, MAX_TICK), is_initialized: found.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(at: &[i32]) -> Ticks {
        at.iter().map(|&tick| (tick, TickState::default())).collect()
    }

    #[test]
    fn ends_of_the_protocol_agree_with_the_tick_conversion() {
        assert_eq!(sqrt_price_at(MIN_TICK), Ok(MIN_SQRT_PRICE_X96));
        assert_eq!(sqrt_price_at(MAX_TICK), Ok(MAX_SQRT_PRICE_X96));
        assert_eq!(tick_at(MIN_SQRT_PRICE_X96), Ok(MIN_TICK));
        assert_eq!(tick_at(MAX_SQRT_PRICE_X96 - U256::ONE), Ok(MAX_TICK - 1));
        assert!(tick_at(MAX_SQRT_PRICE_X96).is_err());
        assert!(tick_at(U256::MAX).is_err());
        assert!(tick_at(U256::ZERO).is_err());
        assert!(sqrt_price_at(i32::MIN).is_err());
        assert!(sqrt_price_at(i32::MAX).is_err());
    }

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
    fn search_down_stops_at_the_word() {
        let map = ticks(&[-600, 120]);
        let next = |tick| next_within_word(&map, tick, 60, Direction::ZeroForOne);
        assert_eq!(next(125), NextTick { tick: 120, is_initialized: true });
        assert_eq!(next(120), NextTick { tick: 120, is_initialized: true });
        assert_eq!(next(119), NextTick { tick: 0, is_initialized: false });
        assert_eq!(next(-1), NextTick { tick: -600, is_initialized: true });
        assert_eq!(next(-601), NextTick { tick: -256 * 60, is_initialized: false });
    }

    #[test]
    fn search_up_stops_at_the_word() {
        let map = ticks(&[-600, 120]);
        let next = |tick| next_within_word(&map, tick, 60, Direction::OneForZero);
        assert_eq!(next(119), NextTick { tick: 120, is_initialized: true });
        assert_eq!(next(120), NextTick { tick: 255 * 60, is_initialized: false });
        assert_eq!(next(-601), NextTick { tick: -600, is_initialized: true });
        assert_eq!(next(-600), NextTick { tick: -60, is_initialized: false });
        assert_eq!(next(MAX_TICK), NextTick { tick: MAX_TICK, is_initialized: false });
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
