use std::io::Read;

use flate2::read::GzDecoder;
use rust_decimal::dec;
use serde_json::Value;

use super::*;

/// The oracle's own tolerance, absolute and relative.
const TOLERANCE: f64 = 1e-12;

/// Figures of the simulation in Avellaneda & Stoikov 2008, section 3.3.
const PAPER: Model = Model {
    gamma_per_quote: 0.1,
    variance_per_s: 4.0,
    kappa_per_price: 1.5,
    intensity_per_s: 140.0,
    order_base: 1.0,
};

fn oracle() -> Value {
    let gz = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/oracles/mm_quotes/mm_quotes.json.gz"
    ));
    let mut text = String::new();
    GzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn is_of(case: &Value, model: &str) -> bool {
    case["model"].as_str().unwrap().starts_with(model)
}

fn cases<'a>(file: &'a Value, model: &str) -> Vec<&'a Value> {
    file["cases"].as_array().unwrap().iter().filter(|case| is_of(case, model)).collect()
}

fn f(value: &Value) -> f64 {
    match value.as_str() {
        Some(text) => text.parse().unwrap(),
        None => value.as_f64().unwrap(),
    }
}

fn check(actual: f64, expected: &Value, case: &Value) {
    let slack = TOLERANCE * (1.0 + f(expected).abs());
    assert!((actual - f(expected)).abs() <= slack, "{actual} {expected} {case}");
}

fn near(actual: f64, expected: f64) {
    let slack = TOLERANCE * (1.0 + expected.abs());
    assert!((actual - expected).abs() <= slack, "{actual} is not {expected}");
}

fn glft(model: &Model) -> QuoteLine {
    model.stationary(0.0, Utility::Exponential).unwrap()
}

/// Inside half the limit the closed form is near the exact quotes; beyond it the exact maker is
/// keener to unwind and shyer to grow, up to the limit, where it does not grow at all.
fn check_exact(line: &QuoteLine, rows: &Value, limit: f64, tolerance: f64) {
    for row in rows.as_array().unwrap() {
        let inventory = f(&row["q"]);
        let quotes = line.quotes(inventory).unwrap();
        let sides = [
            (quotes.bid_distance(), &row["delta_bid"], inventory > 0.0),
            (quotes.ask_distance(), &row["delta_ask"], inventory < 0.0),
        ];
        for (closed, exact, grows) in sides {
            if exact.is_null() {
                assert!(grows && inventory.abs() == limit, "{row}");
            } else if 2.0 * inventory.abs() <= limit {
                assert!((closed / f(exact) - 1.0).abs() <= tolerance, "{closed} {row}");
            } else if grows {
                assert!(closed < f(exact), "{closed} {row}");
            } else {
                assert!(closed > f(exact), "{closed} {row}");
            }
        }
    }
}

#[test]
fn every_case_of_the_oracle_has_its_test() {
    let file = oracle();
    let counts = ["avellaneda", "glft_asymptotic", "glft_exact", "cartea"]
        .map(|model| cases(&file, model).len());
    assert_eq!(counts, [30, 40, 3, 2]);
    assert_eq!(file["cases"].as_array().unwrap().len(), 75);
}

#[test]
fn avellaneda_stoikov_agrees_with_the_oracle() {
    for case in cases(&oracle(), "avellaneda") {
        let (given, out) = (&case["in"], &case["out"]);
        let sigma = f(&given["sigma"]);
        let model = Model {
            gamma_per_quote: f(&given["gamma"]),
            variance_per_s: sigma * sigma,
            kappa_per_price: f(&given["k"]),
            intensity_per_s: 0.0,
            order_base: 1.0,
        };
        let line = model.finite_horizon(f(&given["T"]) - f(&given["t"])).unwrap();
        let quotes = line.quotes(f(&given["q"])).unwrap();
        let mid = f(&given["s"]);
        check(mid + quotes.reservation_offset, &out["reservation"], case);
        check(2.0 * quotes.half_spread, &out["spread"], case);
        check(quotes.bid_distance(), &out["delta_bid"], case);
        check(quotes.ask_distance(), &out["delta_ask"], case);
        check(mid - quotes.bid_distance(), &out["bid"], case);
        check(mid + quotes.ask_distance(), &out["ask"], case);
    }
}

#[test]
fn stationary_quotes_agree_with_the_oracle() {
    for case in cases(&oracle(), "glft_asymptotic") {
        let (given, out) = (&case["in"], &case["out"]);
        let (sigma, gamma, xi) = (f(&given["sigma"]), f(&given["gamma"]), f(&given["xi"]));
        assert!(xi == gamma || xi == 0.0, "{case}");
        let utility = if xi == 0.0 { Utility::MeanVariance } else { Utility::Exponential };
        let model = Model {
            gamma_per_quote: gamma,
            variance_per_s: sigma * sigma,
            kappa_per_price: f(&given["k"]),
            intensity_per_s: f(&given["A"]),
            order_base: f(&given["Delta"]),
        };
        let line = model.stationary(f(&given["mu"]), utility).unwrap();
        let quotes = line.quotes(f(&given["q"])).unwrap();
        check(line.edge, &out["c1"], case);
        check(line.skew_per_base / sigma, &out["c2"], case);
        check(line.skew_per_base, &out["skew_per_unit_q"], case);
        check(line.half_spread, &out["half_spread"], case);
        check(quotes.bid_distance(), &out["delta_bid"], case);
        check(quotes.ask_distance(), &out["delta_ask"], case);
    }
}

#[test]
fn stationary_quotes_are_near_the_exact_ones_away_from_the_limit() {
    for case in cases(&oracle(), "glft_exact") {
        let (given, out) = (&case["in"], &case["out"]);
        let sigma = f(&given["sigma"]);
        let model = Model {
            gamma_per_quote: f(&given["gamma"]),
            variance_per_s: sigma * sigma,
            kappa_per_price: f(&given["k"]),
            intensity_per_s: f(&given["A"]),
            order_base: 1.0,
        };
        let line = model.stationary(f(&given["mu"]), Utility::Exponential).unwrap();
        for rows in [&out["finite_horizon"], &out["stationary_eigenvector"]] {
            check_exact(&line, rows, f(&given["Q"]), 0.06);
        }
    }
}

/// Cartea, Jaimungal and Penalva punish φq² over time: half of γσ² of the mean-variance maker.
#[test]
fn mean_variance_quotes_are_near_those_with_a_running_penalty() {
    for case in cases(&oracle(), "cartea") {
        let given = &case["in"];
        let model = Model {
            gamma_per_quote: 2.0 * f(&given["phi"]),
            variance_per_s: 1.0,
            kappa_per_price: f(&given["kappa"]),
            intensity_per_s: f(&given["lambda"]),
            order_base: 1.0,
        };
        let line = model.stationary(0.0, Utility::MeanVariance).unwrap();
        check_exact(&line, &case["out"], f(&given["Q"]), 0.13);
    }
}

#[test]
fn quotes_are_symmetric_without_inventory_and_lean_against_it() {
    let line = glft(&PAPER);
    let flat = line.quotes(0.0).unwrap();
    assert_eq!(flat.bid_distance(), flat.ask_distance());
    let mut before = line.quotes(-11.0).unwrap();
    for step in -10..=10 {
        let quotes = line.quotes(f64::from(step)).unwrap();
        assert!(quotes.bid_distance() > before.bid_distance());
        assert!(quotes.ask_distance() < before.ask_distance());
        assert!(quotes.bid_distance() + quotes.ask_distance() > 0.0, "bid below ask");
        near(before.reservation_offset - quotes.reservation_offset, line.skew_per_base);
        before = quotes;
    }
}

#[test]
fn a_risk_neutral_maker_earns_one_over_kappa_and_does_not_lean() {
    let neutral = Model { gamma_per_quote: 0.0, ..PAPER };
    for line in [glft(&neutral), neutral.finite_horizon(1.0).unwrap()] {
        near(line.half_spread, 1.0 / 1.5);
        assert_eq!(line.skew_per_base, 0.0);
    }
    let almost = Model { gamma_per_quote: 1e-300, ..PAPER };
    near(glft(&almost).edge, 1.0 / 1.5);
    near(log1p_ratio(SERIES_BELOW), log1p_ratio(SERIES_BELOW * 0.999_999));
}

#[test]
fn risk_aversion_narrows_the_edge() {
    // A formula in circulation has -ln(1 - γ/k) instead, which widens it: 0.690 here.
    near(glft(&PAPER).edge, 0.645_385_211_375_711_7);
    assert!(glft(&PAPER).edge < 1.0 / 1.5);
}

#[test]
fn volatility_is_that_of_the_price_not_of_returns() {
    let percent = Model { variance_per_s: 0.02 * 0.02, ..PAPER };
    near(glft(&percent).skew_per_base * 100.0, glft(&PAPER).skew_per_base);
}

#[test]
fn the_units_of_quote_and_base_do_not_matter_when_all_follow() {
    let model = Model { order_base: 0.5, ..PAPER };
    let euro = glft(&model).quotes(3.0).unwrap();
    let in_cents =
        Model { gamma_per_quote: 0.001, variance_per_s: 40_000.0, kappa_per_price: 0.015, ..model };
    let cents = glft(&in_cents).quotes(3.0).unwrap();
    near(cents.bid_distance(), 100.0 * euro.bid_distance());
    near(cents.ask_distance(), 100.0 * euro.ask_distance());
    let in_thousandths =
        Model { variance_per_s: 4e-6, kappa_per_price: 1_500.0, order_base: 500.0, ..model };
    for (whole, small) in [
        (glft(&model), glft(&in_thousandths)),
        (model.finite_horizon(2.0).unwrap(), in_thousandths.finite_horizon(2.0).unwrap()),
    ] {
        let (whole, small) = (whole.quotes(3.0).unwrap(), small.quotes(3_000.0).unwrap());
        near(small.bid_distance() * 1_000.0, whole.bid_distance());
        near(small.ask_distance() * 1_000.0, whole.ask_distance());
    }
}

#[test]
fn the_skew_grows_with_variance_over_a_horizon_and_with_volatility_without() {
    let twice = Model { variance_per_s: 16.0, ..PAPER };
    let skew = |model: &Model| model.finite_horizon(1.0).unwrap().skew_per_base;
    near(skew(&twice), 4.0 * skew(&PAPER));
    near(glft(&twice).skew_per_base, 2.0 * glft(&PAPER).skew_per_base);
}

#[test]
fn a_frozen_horizon_leans_several_times_too_much() {
    near(PAPER.finite_horizon(1.0).unwrap().skew_per_base, 0.4);
    near(glft(&PAPER).skew_per_base, 0.051_717_216_121_966);
}

#[test]
fn a_distance_below_zero_is_told_as_it_is() {
    let short = PAPER.finite_horizon(1.0).unwrap().quotes(-3.0).unwrap();
    near(short.bid_distance(), -0.354_614_788_624_288_3);
}

#[test]
fn a_rising_price_is_quoted_from_a_long_inventory() {
    let line = PAPER.stationary(0.01, Utility::Exponential).unwrap();
    near(line.neutral_base, 0.025);
    let quotes = line.quotes(0.025).unwrap();
    near(quotes.bid_distance(), quotes.ask_distance());
    let without_risk = Model { gamma_per_quote: 0.0, ..PAPER };
    let refused = without_risk.stationary(0.01, Utility::Exponential);
    assert_eq!(refused, Err(ModelError::NotFinite));
}

#[test]
fn impossible_figures_are_named_and_extreme_ones_give_no_nan() {
    let refused = Model { kappa_per_price: 0.0, ..PAPER }.stationary(0.0, Utility::Exponential);
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, "kappa_per_price is 0, it must be finite and positive");
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 5e-324, 1e308, 1.0];
    for value in values {
        for model in [
            Model { gamma_per_quote: value, ..PAPER },
            Model { variance_per_s: value, ..PAPER },
            Model { kappa_per_price: value, ..PAPER },
            Model { intensity_per_s: value, ..PAPER },
            Model { order_base: value, ..PAPER },
        ] {
            let lines = [
                model.stationary(0.0, Utility::Exponential),
                model.stationary(value, Utility::MeanVariance),
                model.finite_horizon(value),
            ];
            for line in lines.into_iter().flatten() {
                assert!(line.half_spread.is_finite() && line.half_spread >= 0.0);
                for inventory in values {
                    let Ok(quotes) = line.quotes(inventory) else { continue };
                    assert!(quotes.bid_distance().is_finite(), "{model:?}");
                    assert!(quotes.ask_distance().is_finite(), "{model:?}");
                }
            }
        }
    }
}

const EVERY_SECOND: Sampling = Sampling { spacing_ms_min: 100, steps_min: 3 };

fn series(rows: &[(i64, Decimal)]) -> Vec<(Timestamp, Decimal)> {
    rows.iter().map(|&(ms, mid)| (Timestamp::from_ms(ms), mid)).collect()
}

fn measured(rows: &[(i64, Decimal)]) -> Result<f64, VarianceError> {
    realised_variance(&series(rows), EVERY_SECOND).map(|variance| variance.per_s)
}

#[test]
fn variance_is_squared_steps_over_the_time_they_took() {
    let regular = [(0, dec!(10)), (1_000, dec!(10.5)), (2_000, dec!(10)), (3_000, dec!(10.5))];
    assert_eq!(measured(&regular), Ok(0.25));
    let irregular = [(0, dec!(10)), (1_000, dec!(11)), (3_000, dec!(9)), (7_000, dec!(12))];
    assert_eq!(measured(&irregular), Ok(2.0));
    let still = [(0, dec!(10)), (1_000, dec!(10)), (2_000, dec!(10)), (3_000, dec!(10))];
    assert_eq!(measured(&still), Ok(0.0));
}

#[test]
fn a_burst_between_two_samples_is_not_volatility() {
    let bursts = [
        (0, dec!(10)),
        (1, dec!(90)),
        (99, dec!(5)),
        (1_000, dec!(10.5)),
        (1_000, dec!(70)),
        (2_000, dec!(10)),
        (2_050, dec!(11)),
        (3_000, dec!(10.5)),
    ];
    assert_eq!(measured(&bursts), Ok(0.25));
}

#[test]
fn too_little_disordered_or_absurd_samples_are_no_variance() {
    let few = VarianceError::TooFewSteps { n_steps: 2, steps_min: 3 };
    assert_eq!(measured(&[(0, dec!(1)), (500, dec!(2)), (1_000, dec!(1))]), Err(few));
    let none = VarianceError::TooFewSteps { n_steps: 0, steps_min: 3 };
    assert_eq!(measured(&[]), Err(none));
    assert_eq!(measured(&[(0, dec!(1)), (1, dec!(2)), (99, dec!(1))]), Err(none));
    let late = VarianceError::OutOfOrder { at: Timestamp::from_ms(9) };
    assert_eq!(measured(&[(0, dec!(1)), (10, dec!(2)), (9, dec!(1))]), Err(late));
    let absurd = [(0, Decimal::MAX), (1_000, Decimal::MIN)];
    assert_eq!(measured(&absurd), Err(VarianceError::Overflow));
    let eager = Sampling { spacing_ms_min: 0, steps_min: 0 };
    let nothing = VarianceError::TooFewSteps { n_steps: 0, steps_min: 1 };
    let twice = series(&[(5, dec!(1)), (5, dec!(2))]);
    assert_eq!(realised_variance(&twice, eager), Err(nothing));
}

#[test]
fn distances_leave_the_models_rounded_up() {
    assert_eq!(away_from_mid(0.1), Some(dec!(0.100000000000001)));
    assert_eq!(away_from_mid(0.25), Some(dec!(0.25)));
    assert_eq!(away_from_mid(-0.5), Some(dec!(-0.5)));
    assert_eq!(away_from_mid(0.0), Some(dec!(0)));
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e40] {
        assert_eq!(away_from_mid(value), None);
    }
}

#[test]
fn bids_are_floored_and_asks_are_ceiled_to_the_step() {
    let check = |value: Decimal, step: Decimal, floor: Decimal, ceil: Decimal| {
        assert_eq!((floor_to(value, step), ceil_to(value, step)), (Some(floor), Some(ceil)));
    };
    check(dec!(2000.019), dec!(0.01), dec!(2000.01), dec!(2000.02));
    check(dec!(2000.01), dec!(0.01), dec!(2000.01), dec!(2000.01));
    // The middle of a touch one tick wide lies between its two prices.
    check(dec!(2000.005), dec!(0.01), dec!(2000), dec!(2000.01));
    check(dec!(0.0049), dec!(0.01), dec!(0), dec!(0.01));
    check(dec!(-0.015), dec!(0.01), dec!(-0.02), dec!(-0.01));
    check(dec!(7), dec!(2.5), dec!(5), dec!(7.5));
    check(dec!(1999.9999999999999999999999), dec!(0.01), dec!(1999.99), dec!(2000));
    for step in [dec!(0), dec!(-0.01)] {
        assert_eq!((floor_to(dec!(1), step), ceil_to(dec!(1), step)), (None, None));
    }
    for value in [Decimal::MAX, Decimal::MIN] {
        for step in [Decimal::MAX, dec!(0.00000001), dec!(3)] {
            assert!(floor_to(value, step).is_none_or(|floor| floor <= value));
            assert!(ceil_to(value, step).is_none_or(|ceil| ceil >= value));
        }
    }
}

#[test]
fn estimates_are_the_nearest_floats_of_short_decimals() {
    assert_eq!(estimate(dec!(0.1)), 0.1);
    assert_eq!(estimate(dec!(-2000.01)), -2000.01);
    assert_eq!(estimate(Decimal::ZERO), 0.0);
    near(estimate(Decimal::new(1, 28)) * 1e28, 1.0);
    assert!(estimate(Decimal::MAX).is_finite());
}
