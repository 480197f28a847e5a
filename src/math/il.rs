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

    /// Cash of the portfolio that is worth the same at every price: so much of the quote, less
    /// `L / (2 K^1.5)` puts per unit of strike `K` in the range (second derivative of the value,
    /// Carr and Madan 1998). Above the range all of it is quote.
    pub fn replicating_cash(&self) -> f64 {
        self.quote(self.price_upper)
    }

    /// The puts to be short beside [`RangeEstimate::replicating_cash`], as strike and number, when
    /// they are gathered at `n` strikes: the range is cut into as many parts of one ratio, each
    /// with its puts at its geometric middle.
    pub fn replicating_puts(&self, n: u32) -> Vec<(f64, f64)> {
        let step = libm::pow(self.price_upper / self.price_lower, 1.0 / f64::from(n));
        let part = |index: u32| {
            let lower = self.price_lower * libm::pow(step, f64::from(index));
            let upper = lower * step;
            let number = self.liquidity * (1.0 / libm::sqrt(lower) - 1.0 / libm::sqrt(upper));
            (libm::sqrt(lower * upper), number)
        };
        (0..n).map(part).collect()
    }

    fn inside(&self, price: f64) -> f64 {
        price.max(self.price_lower).min(self.price_upper)
    }
}

/// Blocks in which arbitrageurs trade a constant-product pool against a price that is a driftless
/// random walk, each to the edge of the fee, paying no gas.
///
/// Rates are parts of the pool's value per year. The losses are what the arbitrageurs keep: the fee
/// that they pay the pool is taken off already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArbitrageEstimate {
    /// Annual volatility, a fraction.
    pub sigma: f64,
    /// The pool's fee, a fraction of the input.
    pub fee: f64,
    /// Mean time between blocks, in years.
    pub block_time: f64,
}

impl ArbitrageEstimate {
    /// Part of the blocks in which somebody trades, where blocks are Poisson:
    /// `1 / (1 + √2 g / σ_b)`, with `g = -ln(1 - fee)` and `σ_b = σ √Δt` (Milionis, Moallemi and
    /// Roughgarden, arXiv 2305.14604).
    pub fn share_of_blocks(&self) -> f64 {
        1.0 / (1.0 + core::f64::consts::SQRT_2 * self.half_spread() / self.sigma_of_block())
    }

    /// Loss to arbitrage where blocks are Poisson, as on chains whose blocks are mined:
    /// `LVR · share · cosh(g / 2) / (1 - σ_b² / 8)` (the same).
    pub fn loss_at_random_blocks(&self) -> f64 {
        let sigma = self.sigma_of_block();
        let exact = libm::cosh(self.half_spread() / 2.0) / (1.0 - sigma * sigma / 8.0);
        self.lvr() * self.share_of_blocks() * exact
    }

    /// Loss to arbitrage where blocks come at fixed times, as on most chains:
    /// `LVR / (1 + √(2π) g / (|ζ(½)| σ_b))`; `g` is one side of the spread (Nezlobin and Tassy,
    /// arXiv 2505.05113, whose `γ` is both).
    pub fn loss_at_fixed_blocks(&self) -> f64 {
        let root = libm::sqrt(2.0 * core::f64::consts::PI);
        let wide = root * self.half_spread() / (ZETA_OF_HALF * self.sigma_of_block());
        self.lvr() / (1.0 + wide)
    }

    /// Loss versus rebalancing without a fee, `σ² / 8`.
    pub fn lvr(&self) -> f64 {
        self.sigma * self.sigma / 8.0
    }

    fn half_spread(&self) -> f64 {
        -libm::log1p(-self.fee)
    }

    fn sigma_of_block(&self) -> f64 {
        self.sigma * libm::sqrt(self.block_time)
    }
}

/// `|ζ(½)|`.
const ZETA_OF_HALF: f64 = 1.460_354_508_809_586_8;

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
            let range = range_of(given);
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
    fn arbitrage_beside_a_fee_agrees_with_the_oracle() {
        for case in cases(&oracle(), "cpmm_arb_with_fees") {
            let (given, out) = (&case["in"], &case["out"]);
            let pool = ArbitrageEstimate {
                sigma: f(&given["sigma_annual"]),
                fee: f(&given["pool_fee_fraction"]),
                block_time: f(&given["mean_block_time_s"]) / f(&given["year_seconds"]),
            };
            check(pool.half_spread(), &given["gamma_log_fee"], 0.0, case);
            check(pool.share_of_blocks(), &out["P_trade_poisson"], 0.0, case);
            check(pool.lvr(), &out["lvr_rel_per_year"], 0.0, case);
            let random = pool.loss_at_random_blocks();
            check(random, &out["arb_rel_per_year_poisson_exact"], 0.0, case);
            let fast = pool.lvr() * pool.share_of_blocks();
            check(fast, &out["arb_rel_per_year_fast_block_approx"], 0.0, case);
            let fixed = pool.loss_at_fixed_blocks();
            check(fixed, &out["arb_rel_per_year_deterministic_blocks_approx"], 0.0, case);
        }
    }

    fn range_of(given: &Value) -> RangeEstimate {
        RangeEstimate {
            liquidity: f(&given["L"]),
            price_lower: f(&given["pa"]),
            price_upper: f(&given["pb"]),
        }
    }

    #[test]
    fn replication_agrees_with_the_oracle() {
        let file = oracle();
        for case in cases(&file, "lp_static_replication") {
            let range = range_of(&case["in"]);
            check(range.replicating_cash(), &case["out"]["cash_leg"], 0.0, case);
            // However fine, they are as many; the sum of many roundings has no more digits.
            let puts: f64 = range.replicating_puts(64).iter().map(|(_, number)| number).sum();
            check(puts, &case["out"]["total_put_notional"], 0.0, case);
        }
        for case in cases(&file, "lp_static_replication_discrete") {
            let (range, out) = (range_of(&case["in"]), &case["out"]);
            let n = u32::try_from(case["in"]["n"].as_u64().unwrap()).unwrap();
            let puts = range.replicating_puts(n);
            let (strikes, numbers) = (&out["strikes"], &out["short_put_qty"]);
            for (index, (strike, number)) in puts.iter().enumerate() {
                check(*strike, &strikes[index], 0.0, case);
                check(*number, &numbers[index], 0.0, case);
            }
            assert_eq!(strikes.as_array().unwrap().len(), puts.len());
            check(range.replicating_cash(), &out["cash"], 0.0, case);
            let error_at = |price: f64| {
                let paid: f64 = puts.iter().map(|(k, number)| number * (k - price).max(0.0)).sum();
                (range.value(price) - (range.replicating_cash() - paid)).abs()
            };
            let width = range.price_upper - range.price_lower;
            let grid = (0..=2_000).map(|at| range.price_lower + width * f64::from(at) / 2_000.0);
            let worst = grid.map(error_at).fold(0.0, f64::max);
            // The oracle tells fifteen digits of it.
            let told = f(&out["worst_abs_error_on_[pa,pb]_2001_grid"]);
            assert!((worst - told).abs() <= told * 1e-9, "{worst} {told}");
        }
    }

    #[test]
    fn every_kind_of_case_is_tested() {
        let file = oracle();
        let kinds = [
            ("v2_il", 13),
            ("v3_capital_efficiency_at_centre", 5),
            ("v3_position", 49),
            ("cpmm_arb_with_fees", 6),
            ("lp_static_replication", 3),
            ("lp_static_replication_discrete", 3),
        ];
        let n_cases = |(kind, n): (&str, usize)| {
            assert_eq!(cases(&file, kind).len(), n, "{kind}");
            n
        };
        let n_all = file["cases"].as_array().unwrap().len();
        assert_eq!(kinds.map(n_cases).iter().sum::<usize>(), n_all);
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
