//! What a liquidity position is worth, against having held the tokens.
//!
//! [`mark`] is decimal arithmetic on given amounts, for accounts and reports. The `*Estimate` types
//! are closed forms in f64 over real-valued prices, for sizing and scanning only: their figures
//! never become money. Prices are quote per base, values are in the quote; fees are left out.

use rust_decimal::Decimal;

/// Whole tokens of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Base tokens.
    pub base: Decimal,
    /// Quote tokens.
    pub quote: Decimal,
}

impl Holding {
    /// Value in the quote at a price; `None` beyond what a Decimal holds.
    pub fn value(self, price: Decimal) -> Option<Decimal> {
        self.base.checked_mul(price)?.checked_add(self.quote)
    }
}

/// A position's value now, and that of the tokens it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Value of what is in the position.
    pub value: Decimal,
    /// Value of what was put in, had it been kept (HOLD).
    pub value_hold: Decimal,
    /// `value - value_hold`: negative is a loss.
    pub impermanent_loss: Decimal,
}

/// Marks a position at a price; `None` beyond what a Decimal holds.
pub fn mark(entry: Holding, now: Holding, price: Decimal) -> Option<Mark> {
    let value = now.value(price)?;
    let value_hold = entry.value(price)?;
    let impermanent_loss = value.checked_sub(value_hold)?;
    Some(Mark { value, value_hold, impermanent_loss })
}

/// Relative impermanent loss of a constant-product position whose price changed by `price_ratio`,
/// `-(√r - 1)² / (1 + r)`; this form does not cancel near 1. NaN for a negative ratio.
pub fn constant_product_il_estimate(price_ratio: f64) -> f64 {
    let root_less_one = libm::sqrt(price_ratio) - 1.0;
    -root_less_one * root_less_one / (1.0 + price_ratio)
}

/// How many times the liquidity of a full-range position the same value makes in
/// `[price / n, price * n]`, `n > 1`.
pub fn efficiency_at_centre_estimate(n: f64) -> f64 {
    1.0 / (1.0 - 1.0 / libm::sqrt(n))
}

/// A concentrated position in real numbers.
///
/// `liquidity` is in whole tokens: `√(base · quote)` of the virtual reserves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeEstimate {
    /// Liquidity in whole tokens.
    pub liquidity: f64,
    /// Price below which all is base.
    pub price_lower: f64,
    /// Price above which all is quote.
    pub price_upper: f64,
}

impl RangeEstimate {
    /// Base tokens at a price; also the delta of the value.
    pub fn base(&self, price: f64) -> f64 {
        let inside = self.inside(price);
        self.liquidity * (1.0 / libm::sqrt(inside) - 1.0 / libm::sqrt(self.price_upper))
    }

    /// Quote tokens at a price.
    pub fn quote(&self, price: f64) -> f64 {
        self.liquidity * (libm::sqrt(self.inside(price)) - libm::sqrt(self.price_lower))
    }

    /// Value in the quote at a price.
    pub fn value(&self, price: f64) -> f64 {
        price * self.base(price) + self.quote(price)
    }

    /// Second derivative of the value by the price: `-L / (2 p^1.5)` in range, zero outside.
    pub fn gamma(&self, price: f64) -> f64 {
        if price <= self.price_lower || price >= self.price_upper {
            return 0.0;
        }
        -self.liquidity / (2.0 * price * libm::sqrt(price))
    }

    /// Value at `price` less that of the tokens at `price_entry`, held; negative is a loss.
    pub fn impermanent_loss(&self, price_entry: f64, price: f64) -> f64 {
        self.value(price) - self.value_hold(price_entry, price)
    }

    /// Value at `price` of the tokens the position held at `price_entry`.
    pub fn value_hold(&self, price_entry: f64, price: f64) -> f64 {
        price * self.base(price_entry) + self.quote(price_entry)
    }

    /// Loss versus rebalancing per year at an annual volatility (a fraction):
    /// `½ σ² p² |V''|` (Milionis et al. 2022).
    pub fn lvr_per_year(&self, price: f64, sigma: f64) -> f64 {
        0.5 * sigma * sigma * price * price * -self.gamma(price)
    }

    fn inside(&self, price: f64) -> f64 {
        price.max(self.price_lower).min(self.price_upper)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::Value;

    use super::*;

    const RELATIVE: f64 = 1e-11;

    fn oracle() -> Value {
        let gz =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/amm/amm_lp.json.gz"));
        let mut text = String::new();
        GzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn cases<'a>(file: &'a Value, kind: &str) -> Vec<&'a Value> {
        let found: Vec<_> =
            file["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind).collect();
        assert!(!found.is_empty());
        found
    }

    fn f(value: &Value) -> f64 {
        value.as_str().unwrap().parse().unwrap()
    }

    fn check(actual: f64, expected: &Value, scale: f64, case: &Value) {
        let slack = RELATIVE * f(expected).abs().max(scale);
        assert!((actual - f(expected)).abs() <= slack + 1e-12, "{actual} {expected} {case}");
    }

    #[test]
    fn constant_product_agrees_with_the_oracle() {
        for case in cases(&oracle(), "v2_il") {
            let loss = constant_product_il_estimate(f(&case["in"]["price_ratio"]));
            check(loss, &case["out"]["il_vs_hold"], 0.0, case);
        }
    }

    #[test]
    fn efficiency_agrees_with_the_oracle() {
        for case in cases(&oracle(), "v3_capital_efficiency_at_centre") {
            let times = efficiency_at_centre_estimate(f(&case["in"]["range_ratio_r"]));
            check(times, &case["out"]["efficiency_vs_full_range"], 0.0, case);
        }
    }

    #[test]
    fn ranges_agree_with_the_oracle() {
        for case in cases(&oracle(), "v3_position") {
            let (given, out) = (&case["in"], &case["out"]);
            let range = RangeEstimate {
                liquidity: f(&given["L"]),
                price_lower: f(&given["pa"]),
                price_upper: f(&given["pb"]),
            };
            let (entry, price) = (f(&given["p0"]), f(&given["p1"]));
            check(range.base(entry), &out["x0"], 0.0, case);
            check(range.quote(entry), &out["y0"], 0.0, case);
            check(range.base(price), &out["x1"], 0.0, case);
            check(range.quote(price), &out["y1"], 0.0, case);
            check(range.value(price), &out["value1"], 0.0, case);
            check(range.value_hold(entry, price), &out["hold_value1"], 0.0, case);
            // A difference of two values carries their rounding.
            let scale = f(&out["value1"]);
            check(range.impermanent_loss(entry, price), &out["il_abs"], scale, case);
            check(range.gamma(price), &out["gamma_p1"], 0.0, case);
            let lvr = range.lvr_per_year(price, f(&given["sigma_annual"]));
            check(lvr, &out["lvr_rate_abs_per_year"], 0.0, case);
        }
    }

    #[test]
    fn a_mark_is_value_hold_and_their_difference() {
        let dec = |text: &str| text.parse::<Decimal>().unwrap();
        let entry = Holding { base: dec("1"), quote: dec("2000") };
        let now = Holding { base: dec("0.9"), quote: dec("2210.5") };
        let marked = mark(entry, now, dec("2300")).unwrap();
        assert_eq!(marked.value, dec("4280.5"));
        assert_eq!(marked.value_hold, dec("4300"));
        assert_eq!(marked.impermanent_loss, dec("-19.5"));
        let huge = Holding { base: Decimal::MAX, quote: Decimal::MAX };
        assert_eq!(mark(huge, now, dec("2")), None);
    }
}
