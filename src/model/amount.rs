//! Crossing between raw integers and human decimals: explicit, fallible, rounded on purpose.

use alloy::primitives::{I256, U256};
use rust_decimal::Decimal;

/// Most decimal places a `Decimal` can hold.
const DECIMAL_SCALE_MAX: u32 = 28;

/// A signed raw amount in human units, exact or `None` when a `Decimal` cannot hold it exactly
/// without dropping more than its 28 places (then the low digits are cut towards zero).
pub fn human(raw: I256, decimals: u32) -> Option<Decimal> {
    let (sign, magnitude) = raw.into_sign_and_abs();
    let value = human_unsigned(magnitude, decimals)?;
    Some(if sign.is_negative() { -value } else { value })
}

/// An unsigned raw amount in human units; low digits beyond 96 bits are cut towards zero.
pub fn human_unsigned(raw: U256, decimals: u32) -> Option<Decimal> {
    let (mut value, mut scale) = (raw, decimals);
    let limit = U256::from(u128::MAX >> 32);
    while (value > limit || scale > DECIMAL_SCALE_MAX) && scale > 0 {
        value /= U256::from(10);
        scale -= 1;
    }
    if value > limit {
        return None;
    }
    let narrow = i128::try_from(value).ok()?;
    Decimal::try_from_i128_with_scale(narrow, scale).ok()
}

/// A decimal as a raw integer, or `None` when it does not fit or has more places than the unit.
pub fn exact_raw(value: Decimal, decimals: u32) -> Option<I256> {
    let value = value.normalize();
    let lift = decimals.checked_sub(value.scale())?;
    let mantissa = I256::try_from(value.mantissa()).ok()?;
    mantissa.checked_mul(I256::try_from(10u64).ok()?.checked_pow(U256::from(lift))?)
}

/// A non-negative decimal as a raw integer, digits below the unit's step cut off (we receive down).
pub fn raw_down(value: Decimal, decimals: u32) -> Option<U256> {
    if value.is_sign_negative() && !value.is_zero() {
        return None;
    }
    let kept = value.trunc_with_scale(decimals.min(DECIMAL_SCALE_MAX));
    exact_raw(kept, decimals).map(|raw| raw.into_raw())
}

/// A non-negative decimal as a raw integer, a digit below the unit's step rounded up (we pay up).
pub fn raw_up(value: Decimal, decimals: u32) -> Option<U256> {
    let raw = raw_down(value, decimals)?;
    let is_whole = value.trunc_with_scale(decimals.min(DECIMAL_SCALE_MAX)) == value;
    if is_whole { Some(raw) } else { raw.checked_add(U256::ONE) }
}

/// An unsigned amount as a signed one; `None` above 2^255-1.
pub fn signed(raw: U256) -> Option<I256> {
    I256::try_from(raw).ok()
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn raw_and_human_agree() {
        let raw = I256::try_from(-1_234_567i64).expect("small");
        assert_eq!(human(raw, 6), Some(dec!(-1.234567)));
        assert_eq!(exact_raw(dec!(-1.234567), 6), Some(raw));
        assert_eq!(exact_raw(dec!(0.00000001), 8), Some(I256::ONE));
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(exact_raw(dec!(0.0000001), 6), None);
        assert_eq!(human_unsigned(U256::MAX, 0), None);
        assert_eq!(raw_down(dec!(-1), 6), None);
    }

    #[test]
    fn receiving_rounds_down() {
        assert_eq!(raw_down(dec!(1.9999999), 6), Some(U256::from(1_999_999)));
    }

    #[test]
    fn long_fractions_are_cut_not_refused() {
        let raw = U256::from(10).pow(U256::from(30)) + U256::ONE;
        assert_eq!(human_unsigned(raw, 18), Some(dec!(1000000000000)));
    }
}
