//! Prices of wrapped ether in test dollars, in a pool's terms and back.
//!
//! V3 terms come from `math::amm::price`; here is only the frame and the size of a V2 swap.

use alloy::primitives::{Address, U256, U512};
use rust_decimal::Decimal;

use crate::math::amm::AmmError;
use crate::math::amm::price::{Base, PriceFrame};
use crate::model::amount::human_unsigned;

/// Decimal places of wrapped ether.
pub const BASE_DECIMALS: u8 = 18;
/// Decimal places of the test dollar, as USDT's.
pub const QUOTE_DECIMALS: u8 = 6;
/// A V2 pair counts 997 parts in 1000 of what is given (`UniswapV2Library.getAmountOut`).
const KEPT: (u64, u64) = (997, 1_000);

/// Reserves of a V2 pair by role, in raw units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserves {
    /// Wrapped ether.
    pub base: U256,
    /// Test dollars.
    pub quote: U256,
}

/// Which token a swap gives to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Ether is sold: the price falls.
    Base,
    /// Ether is bought: the price rises.
    Quote,
}

/// How a pool of wrapped ether and a test dollar tells its price.
///
/// # Errors
/// None with the decimals above; the error is that of the frame's constructor.
pub fn frame(base: Address, quote: Address) -> Result<PriceFrame, AmmError> {
    frame_of((base, BASE_DECIMALS), (quote, QUOTE_DECIMALS))
}

/// How a pool of two tokens, each with its decimals, tells the price of the first in the second.
///
/// # Errors
/// With more decimals than can be converted.
pub fn frame_of(
    (base, base_decimals): (Address, u8),
    (quote, quote_decimals): (Address, u8),
) -> Result<PriceFrame, AmmError> {
    if base < quote {
        PriceFrame::new(base_decimals, quote_decimals, Base::Token0)
    } else {
        PriceFrame::new(quote_decimals, base_decimals, Base::Token1)
    }
}

/// Test dollars per ether of a V2 pair; `None` without reserves or beyond a decimal.
#[must_use]
pub fn v2_price(reserves: Reserves) -> Option<Decimal> {
    let quote = human_unsigned(reserves.quote, QUOTE_DECIMALS.into())?;
    quote.checked_div(human_unsigned(reserves.base, BASE_DECIMALS.into())?)
}

/// How much to give to a V2 pair so that its reserves end at a price, rounded down.
///
/// With reserves x (given) and y, k = x·y, the wanted ratio t = x'/y' and the kept share 997/1000,
/// `(x + d)(x + 0.997 d) = k·t` is a quadratic in d with the root
/// `d = (sqrt(9 x² + 3,988,000 k t) - 1997 x) / 1994`. `None` when the price is already reached
/// from that side, is not positive, or a product does not fit.
#[must_use]
pub fn v2_amount_to(price: Decimal, reserves: Reserves, given: Given) -> Option<U256> {
    let units = u128::try_from(price.mantissa()).ok().filter(|units| *units > 0)?;
    let places = price.scale() + u32::from(BASE_DECIMALS - QUOTE_DECIMALS);
    let (units, step) = (U512::from(units), U512::from(10).pow(U512::from(places)));
    let k = U512::from(reserves.base).checked_mul(U512::from(reserves.quote))?;
    let (x, wanted) = match given {
        Given::Base => (U512::from(reserves.base), k.checked_mul(step)? / units),
        Given::Quote => (U512::from(reserves.quote), k.checked_mul(units)? / step),
    };
    let (kept, whole) = (U512::from(KEPT.0), U512::from(KEPT.1));
    let both = kept + whole;
    let four = U512::from(4) * kept * whole;
    let own = x.checked_mul(x)?.checked_mul(both * both - four)?;
    let root = own.checked_add(wanted.checked_mul(four)?)?.root(2);
    let amount = root.checked_sub(both.checked_mul(x)?)? / (kept + kept);
    (!amount.is_zero() && amount.bit_len() <= U256::BITS).then(|| amount.to())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserves() -> Reserves {
        Reserves {
            base: U256::from(10).pow(U256::from(21)),
            quote: U256::from(2_683_000_000_000u64),
        }
    }

    /// The pair's own arithmetic: input less 0.3 %, output rounded down.
    fn swap(given: U256, taken: U256, amount: U256) -> (U256, U256) {
        let kept = amount * U256::from(997);
        let out = kept * taken / (given * U256::from(1_000) + kept);
        (given + amount, taken - out)
    }

    fn reached(price: Decimal, given: Given) -> Decimal {
        let Reserves { base, quote } = reserves();
        let amount = v2_amount_to(price, reserves(), given).unwrap();
        let after = match given {
            Given::Base => {
                let (base, quote) = swap(base, quote, amount);
                Reserves { base, quote }
            }
            Given::Quote => {
                let (quote, base) = swap(quote, base, amount);
                Reserves { base, quote }
            }
        };
        v2_price(after).unwrap()
    }

    #[test]
    fn swap_of_the_computed_size_lands_on_the_price() {
        assert!(
            (reached(Decimal::from(2600), Given::Base) - Decimal::from(2600)).abs()
                < Decimal::new(1, 4)
        );
        assert!(
            (reached(Decimal::from(2800), Given::Quote) - Decimal::from(2800)).abs()
                < Decimal::new(1, 4)
        );
    }

    #[test]
    fn price_on_the_other_side_needs_nothing() {
        assert_eq!(v2_amount_to(Decimal::from(2600), reserves(), Given::Quote), None);
        assert_eq!(v2_amount_to(Decimal::from(2800), reserves(), Given::Base), None);
        assert_eq!(v2_amount_to(Decimal::from(0), reserves(), Given::Base), None);
        assert_eq!(v2_amount_to(Decimal::from(-1), reserves(), Given::Base), None);
    }

    #[test]
    fn absurd_reserves_are_none() {
        let empty = Reserves { base: U256::ZERO, quote: U256::ZERO };
        let vast = Reserves { base: U256::MAX, quote: U256::MAX };
        assert_eq!(v2_price(empty), None);
        assert_eq!(v2_amount_to(Decimal::from(1), empty, Given::Base), None);
        assert_eq!(v2_amount_to(Decimal::MAX, vast, Given::Quote), None);
    }

    #[test]
    fn frame_follows_the_order_of_addresses() {
        let (low, high) = (Address::with_last_byte(1), Address::with_last_byte(2));
        assert_eq!(frame(low, high).unwrap().base(), Base::Token0);
        assert_eq!(frame(high, low).unwrap().base(), Base::Token1);
    }
}
