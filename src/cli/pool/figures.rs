//! Amounts and prices in words.

use alloy::primitives::U256;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::cli::pool::place::Coin;

/// Digits of a price that people are shown; programs get all of them.
const PRICE_DIGITS: u32 = 10;

/// An amount in whole tokens: every digit, and no zeros at the end.
pub(super) fn whole(raw: U256, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{:0>width$}", raw.to_string(), width = places + 1);
    let (units, rest) = digits.split_at(digits.len() - places);
    match rest.trim_end_matches('0') {
        "" => units.to_owned(),
        rest => format!("{units}.{rest}"),
    }
}

/// What the first amount has more than the second, in whole tokens.
pub(super) fn difference([ours, theirs]: [U256; 2], decimals: u8) -> String {
    match ours.checked_sub(theirs) {
        Some(more) => whole(more, decimals),
        None => format!("-{}", whole(theirs.saturating_sub(ours), decimals)),
    }
}

/// An amount with its token, for people.
pub(super) fn money(raw: U256, coin: Coin<'_>) -> String {
    format!("{} {}", whole(raw, coin.decimals), coin.symbol)
}

/// An amount with its token, for programs.
pub(super) fn money_json(raw: U256, coin: Coin<'_>) -> Value {
    let amount = whole(raw, coin.decimals);
    json!({ "amount": amount, "raw": raw.to_string(), "token": coin.symbol })
}

/// Every digit of a number that may be unknown, for programs.
pub(super) fn exact(number: Option<Decimal>) -> Option<String> {
    number.map(|number| number.normalize().to_string())
}

/// A price in its first digits, for people.
pub(super) fn shown(price: Option<Decimal>) -> String {
    let first = |price: Decimal| price.round_sf(PRICE_DIGITS).unwrap_or(price).normalize();
    price.map_or_else(|| "unknown".to_owned(), |price| first(price).to_string())
}

/// One table in another: what both say of one thing, the second after the first.
pub(super) fn joined(mut first: Value, second: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut first, second) {
        all.extend(more);
    }
    first
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        for (raw, decimals, text) in [
            ("0", 18, "0"),
            ("1", 18, "0.000000000000000001"),
            ("1500000", 6, "1.5"),
            ("1000000", 6, "1"),
            ("42", 0, "42"),
            ("1000000000000000000000000000000000001", 18, "1000000000000000000.000000000000000001"),
        ] {
            assert_eq!(whole(raw.parse().unwrap(), decimals), text);
        }
        let (one, two) = (U256::from(1_000_000_u64), U256::from(2_500_000_u64));
        assert_eq!(difference([two, one], 6), "1.5");
        assert_eq!(difference([one, two], 6), "-1.5");
        assert_eq!(difference([one, one], 6), "0");
    }

    #[test]
    fn people_see_the_first_digits_of_a_price() {
        let price = dec!(2683.123456789012);
        assert_eq!(shown(Some(price)), "2683.123457");
        assert_eq!(shown(Some(dec!(0.000345600))), "0.0003456");
        assert_eq!(exact(Some(price)).unwrap(), "2683.123456789012");
        assert_eq!((shown(None), exact(None)), ("unknown".to_owned(), None));
    }
}
