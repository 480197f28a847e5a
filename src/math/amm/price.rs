//! A pool's price and a human's price.
//!
//! The pool says `sqrt(token1 raw / token0 raw)` in Q64.96; people say quote per one base in whole
//! tokens. [`PriceFrame`] holds what stands between: decimals and which token is the base. It is
//! the one place where the orientation flips. Conversions are exact integers rounded once, the way
//! the caller names.

use alloy::primitives::{U256, Uint};
use rust_decimal::Decimal;

use crate::math::amm::tick::{
    TickRange, align_down, align_up, check_sqrt_price, sqrt_price_at, tick_at,
};
use crate::math::amm::{AmmError, Rounding, integer_sqrt};

/// Most decimals a token may have here; real tokens have at most 24.
pub const MAX_DECIMALS: u8 = 36;

/// Most decimal places of a [`Decimal`].
const MAX_SCALE: u32 = 28;

/// Bits of a [`Decimal`]'s digits.
const DIGIT_BITS: usize = 96;

const BPS: u32 = 10_000;

/// Wide enough for price squared, both tokens' decimals and the scale: 320 + 120 + 94 bits.
type Wide = Uint<768, 12>;

/// The token whose price is told; the other one is the quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Price = token1 per token0.
    Token0,
    /// Price = token0 per token1.
    Token1,
}

/// How a pool's price reads in whole tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceFrame {
    decimals0: u8,
    decimals1: u8,
    base: Base,
}

impl PriceFrame {
    /// Frame of a pool of two tokens.
    ///
    /// # Errors
    /// [`AmmError::Decimals`] above [`MAX_DECIMALS`].
    pub fn new(decimals0: u8, decimals1: u8, base: Base) -> Result<Self, AmmError> {
        for decimals in [decimals0, decimals1] {
            if decimals > MAX_DECIMALS {
                return Err(AmmError::Decimals { decimals });
            }
        }
        Ok(Self { decimals0, decimals1, base })
    }

    /// Which token is the base.
    pub fn base(self) -> Base {
        self.base
    }

    /// Quote per one base in whole tokens, to 28 decimal places or as many as a Decimal holds.
    ///
    /// # Errors
    /// [`AmmError::SqrtPriceOutOfRange`]; [`AmmError::PriceUnrepresentable`] where it rounds to
    /// zero or exceeds a Decimal.
    pub fn price(self, sqrt_price_x96: U256, rounding: Rounding) -> Result<Decimal, AmmError> {
        check_sqrt_price(sqrt_price_x96)?;
        let sqrt = Wide::from(sqrt_price_x96);
        let token1_side = sqrt * sqrt * power_of_ten(self.decimals0.into());
        let token0_side = power_of_ten(self.decimals1.into()) << 192;
        match self.base {
            Base::Token0 => decimal(token1_side, token0_side, rounding),
            Base::Token1 => decimal(token0_side, token1_side, rounding),
        }
    }

    /// The pool's sqrt price of a human price; the rounding is the sqrt price's.
    ///
    /// # Errors
    /// [`AmmError::PriceUnrepresentable`] for zero or less, [`AmmError::SqrtPriceOutOfRange`].
    pub fn sqrt_price_x96(self, price: Decimal, rounding: Rounding) -> Result<U256, AmmError> {
        let digits = u128::try_from(price.mantissa()).unwrap_or(0);
        if digits == 0 {
            return Err(AmmError::PriceUnrepresentable);
        }
        let (mut above, mut below) = (Wide::from(digits), power_of_ten(price.scale()));
        if self.base == Base::Token1 {
            (above, below) = (below, above);
        }
        let above = (above * power_of_ten(self.decimals1.into())) << 192;
        let below = below * power_of_ten(self.decimals0.into());
        let floor = integer_sqrt(above / below);
        let is_exact = floor * floor * below == above;
        let root = match rounding {
            Rounding::Up if !is_exact => floor + Wide::ONE,
            Rounding::Up | Rounding::Down => floor,
        };
        let sqrt_price_x96 = narrow(root).ok_or(AmmError::PriceUnrepresentable)?;
        check_sqrt_price(sqrt_price_x96)?;
        Ok(sqrt_price_x96)
    }

    /// Smallest range on the pool's grid that covers all human prices from `low` to `high`.
    ///
    /// # Errors
    /// Those of [`PriceFrame::sqrt_price_x96`]; [`AmmError::TickSpacing`],
    /// [`AmmError::TickRange`] where `low` is above `high`.
    pub fn tick_range(
        self,
        low: Decimal,
        high: Decimal,
        tick_spacing: i32,
    ) -> Result<TickRange, AmmError> {
        let (first, last) = match self.base {
            Base::Token0 => (low, high),
            Base::Token1 => (high, low),
        };
        let sqrt_first = self.sqrt_price_x96(first, Rounding::Down)?;
        let sqrt_last = self.sqrt_price_x96(last, Rounding::Up)?;
        let tick_first = tick_at(sqrt_first)?;
        let tick_last = tick_at(sqrt_last)?;
        let is_beyond = sqrt_last > sqrt_price_at(tick_last)?;
        let lower = align_down(tick_first, tick_spacing)?;
        let upper = align_up(tick_last + i32::from(is_beyond), tick_spacing)?;
        TickRange::new(lower, upper, tick_spacing)
    }

    /// Smallest range on the grid that covers `price * (1 ± half_width)`.
    ///
    /// # Errors
    /// [`AmmError::HalfWidth`] unless strictly between 0 and 10000, and those of
    /// [`PriceFrame::tick_range`].
    pub fn tick_range_around(
        self,
        price: Decimal,
        half_width_bps: u32,
        tick_spacing: i32,
    ) -> Result<TickRange, AmmError> {
        if half_width_bps == 0 || half_width_bps >= BPS {
            return Err(AmmError::HalfWidth { half_width_bps });
        }
        let part = |bps: u32| {
            price.checked_mul(Decimal::new(bps.into(), 4)).ok_or(AmmError::PriceUnrepresentable)
        };
        self.tick_range(part(BPS - half_width_bps)?, part(BPS + half_width_bps)?, tick_spacing)
    }
}

/// `numerator / denominator` with as many digits as a Decimal takes.
fn decimal(numerator: Wide, denominator: Wide, rounding: Rounding) -> Result<Decimal, AmmError> {
    let scaled = numerator * power_of_ten(MAX_SCALE);
    let (mut digits, rest) = scaled.div_rem(denominator);
    let mut is_exact = rest.is_zero();
    let mut scale = MAX_SCALE;
    loop {
        let rounded = match rounding {
            Rounding::Up if !is_exact => digits + Wide::ONE,
            Rounding::Up | Rounding::Down => digits,
        };
        if rounded.bit_len() <= DIGIT_BITS {
            return compose(rounded, scale);
        }
        scale = scale.checked_sub(1).ok_or(AmmError::PriceUnrepresentable)?;
        let (shorter, dropped) = digits.div_rem(power_of_ten(1));
        digits = shorter;
        is_exact &= dropped.is_zero();
    }
}

fn compose(digits: Wide, scale: u32) -> Result<Decimal, AmmError> {
    let limbs = digits.as_limbs();
    let mantissa = i128::from(limbs[0]) | i128::from(limbs[1]) << 64;
    if mantissa == 0 {
        return Err(AmmError::PriceUnrepresentable);
    }
    Decimal::try_from_i128_with_scale(mantissa, scale)
        .map(|price| price.normalize())
        .map_err(|_| AmmError::PriceUnrepresentable)
}

fn power_of_ten(exponent: u32) -> Wide {
    Wide::from(10u8).pow(Wide::from(exponent))
}

fn narrow(value: Wide) -> Option<U256> {
    (value.bit_len() <= U256::BITS).then(|| U256::from_limbs_slice(&value.as_limbs()[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::amm::Q96;
    use crate::math::amm::tick::{MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96};

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn frame(decimals0: u8, decimals1: u8, base: Base) -> PriceFrame {
        PriceFrame::new(decimals0, decimals1, base).unwrap()
    }

    #[test]
    fn equal_decimals_at_one_read_one() {
        for base in [Base::Token0, Base::Token1] {
            for rounding in [Rounding::Down, Rounding::Up] {
                assert_eq!(frame(18, 18, base).price(Q96, rounding), Ok(dec("1")));
                assert_eq!(frame(18, 18, base).sqrt_price_x96(dec("1"), rounding), Ok(Q96));
            }
        }
    }

    #[test]
    fn orientation_and_decimals_meet_a_recorded_pool() {
        // USDC (6) / WETH (18) at a recorded swap of 2024-01-05.
        let sqrt: U256 = "1684700000000000000000000000000000".parse().unwrap();
        let eth = frame(6, 18, Base::Token1).price(sqrt, Rounding::Down).unwrap();
        assert!(eth > dec("2211") && eth < dec("2212"), "{eth}");
        let usd = frame(6, 18, Base::Token0).price(sqrt, Rounding::Down).unwrap();
        let product = eth * usd;
        assert!(product < dec("1") && product > dec("0.99999999999"), "{product}");
    }

    #[test]
    fn rounding_brackets_the_exact_price() {
        let sqrt = Q96 + U256::from(123_456_789_123u64);
        for base in [Base::Token0, Base::Token1] {
            let frame = frame(6, 18, base);
            let low = frame.price(sqrt, Rounding::Down).unwrap();
            let high = frame.price(sqrt, Rounding::Up).unwrap();
            assert!(low < high);
            let (first, last) = match base {
                Base::Token0 => (low, high),
                Base::Token1 => (high, low),
            };
            assert!(frame.sqrt_price_x96(first, Rounding::Down).unwrap() <= sqrt);
            assert!(frame.sqrt_price_x96(last, Rounding::Up).unwrap() >= sqrt);
        }
    }

    #[test]
    fn prices_beyond_a_decimal_are_refused_not_wrong() {
        let tall = frame(36, 0, Base::Token0);
        let high = tall.price(MAX_SQRT_PRICE_X96 - U256::ONE, Rounding::Down);
        assert_eq!(high, Err(AmmError::PriceUnrepresentable));
        let flat = frame(0, 36, Base::Token0);
        let low = flat.price(MIN_SQRT_PRICE_X96, Rounding::Down);
        assert_eq!(low, Err(AmmError::PriceUnrepresentable));
        assert_eq!(flat.price(MIN_SQRT_PRICE_X96, Rounding::Up), Ok(Decimal::new(1, 28)));
        for price in [Decimal::ZERO, dec("-1")] {
            assert!(flat.sqrt_price_x96(price, Rounding::Down).is_err());
        }
        assert!(flat.sqrt_price_x96(Decimal::MAX, Rounding::Up).is_err());
        assert!(PriceFrame::new(37, 0, Base::Token0).is_err());
    }

    #[test]
    fn a_range_around_a_price_covers_it_in_both_orientations() {
        for base in [Base::Token0, Base::Token1] {
            let frame = frame(18, 6, base);
            let price = match base {
                Base::Token0 => dec("2250.5"),
                Base::Token1 => dec("0.00044"),
            };
            let range = frame.tick_range_around(price, 500, 60).unwrap();
            let first = frame.price(sqrt_price_at(range.lower()).unwrap(), Rounding::Down).unwrap();
            let last = frame.price(sqrt_price_at(range.upper()).unwrap(), Rounding::Down).unwrap();
            let (low, high) = (first.min(last), first.max(last));
            assert!(low <= price * dec("0.95") && low > price * dec("0.944"), "{low} {price}");
            assert!(high >= price * dec("1.05") && high < price * dec("1.057"), "{high} {price}");
        }
        let frame = frame(18, 6, Base::Token0);
        assert!(frame.tick_range_around(dec("2000"), 0, 60).is_err());
        assert!(frame.tick_range_around(dec("2000"), 10_000, 60).is_err());
        assert!(frame.tick_range_around(dec("2000"), 1, 0).is_err());
        assert!(frame.tick_range(dec("2"), dec("1"), 60).is_err());
    }
}
