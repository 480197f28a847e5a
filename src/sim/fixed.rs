//! Exact decimal arithmetic in 1e-8 units. Rounding is always named and goes against the trader.

use thiserror::Error;

/// One whole in 1e-8 units.
pub const ONE: i64 = 100_000_000;
/// Decimal places of the unit.
pub const PLACES: u32 = 8;

/// Why a text is not a number of this exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FixedError {
    /// Not `digits[.digits]`.
    #[error("not a decimal number")]
    Malformed,
    /// Digits beyond the eighth decimal.
    #[error("more than 8 decimals")]
    TooPrecise,
    /// Beyond the range of the unit.
    #[error("number too large")]
    TooLarge,
}

/// Reads a plain decimal, optionally signed, into 1e-8 units; exact or refused.
pub fn parse(text: &str) -> Result<i64, FixedError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !only_digits(whole) || !only_digits(fraction) {
        return Err(FixedError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > PLACES as usize {
        return Err(FixedError::TooPrecise);
    }
    let mut value: i64 = 0;
    let padding = PLACES as usize - fraction.len();
    for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding)) {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or(FixedError::TooLarge)?;
    }
    Ok(if negative { -value } else { value })
}

/// Writes 1e-8 units with `places` decimals (at most 8); further digits are cut towards zero.
pub fn show(value: impl Into<i128>, places: u32) -> String {
    let value: i128 = value.into();
    let places = places.min(PLACES);
    let cut = value.unsigned_abs() / 10_u128.pow(PLACES - places);
    let unit = 10_u128.pow(places);
    let sign = if value < 0 && cut > 0 { "-" } else { "" };
    if places == 0 {
        return format!("{sign}{cut}");
    }
    format!("{sign}{}.{:0width$}", cut / unit, cut % unit, width = places as usize)
}

/// Price times quantity in 1e-8 units of quote; exact on every tick and lot grid whose product is
/// at least 1e-8.
pub fn product(price: i64, quantity: i64) -> i128 {
    (i128::from(price) * i128::from(quantity)).div_euclid(i128::from(ONE))
}

/// `amount` times `rate` (1e-8 units), rounded up: what the trader pays.
pub fn share_up(amount: i128, rate: i64) -> i128 {
    -(-amount * i128::from(rate)).div_euclid(i128::from(ONE))
}

/// `amount` times `rate` (1e-8 units), rounded down: what the trader receives.
pub fn share_down(amount: i128, rate: i64) -> i128 {
    (amount * i128::from(rate)).div_euclid(i128::from(ONE))
}

#[cfg(test)]
mod tests {
    use super::{FixedError, ONE, parse, product, share_down, share_up, show};

    #[test]
    fn text_goes_in_and_comes_out_unchanged() {
        for text in ["0.00000001", "2681.62000000", "-1.50000000", "92233720368.54775807"] {
            assert_eq!(show(parse(text).unwrap(), 8), text);
        }
        assert_eq!(show(parse("2681.62").unwrap(), 2), "2681.62");
        assert_eq!(show(-1_i64, 2), "0.00");
        assert_eq!(show(ONE, 0), "1");
    }

    #[test]
    fn wrong_text_is_refused() {
        for (text, error) in [
            ("", FixedError::Malformed),
            (".", FixedError::Malformed),
            ("1e5", FixedError::Malformed),
            ("+1", FixedError::Malformed),
            ("0.000000001", FixedError::TooPrecise),
            ("92233720368.54775808", FixedError::TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn rounding_goes_against_the_trader() {
        assert_eq!(share_up(1, 1), 1);
        assert_eq!(share_up(i128::from(ONE), 100_000), 100_000);
        assert_eq!(share_down(-1, 1), -1);
        assert_eq!(share_down(1, 1), 0);
        assert_eq!(product(268_162_000_000, 10_000), 26_816_200);
    }
}
