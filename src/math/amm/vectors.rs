//! The recorded and published vectors of `tests/data/amm`, run through the curves.

use std::io::Read;

use alloy::primitives::{I256, U256};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::math::amm::liquidity::{FeeGrowth, fee_growth_inside, fees_owed, tokens_owed};
use crate::math::amm::segments::Segments;
use crate::math::amm::sqrt_price::{
    amount0_delta, amount1_delta, next_from_input, next_from_output,
};
use crate::math::amm::tick::{TickRange, TickState, Ticks, sqrt_price_at, tick_at};
use crate::math::amm::v3::{self, Curve, Quote, SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::v3_step::{StepInput, compute_swap_step};
use crate::math::amm::{AmmError, Direction, Rounding, v2};

fn load(gz: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(gz).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

macro_rules! vectors {
    ($name:literal) => {
        load(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/amm/", $name)))
    };
}

mod cycles;
mod v4;

fn u(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn u128_of(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn i(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

fn pips(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// Positive gives, negative takes.
fn swap_amount(value: &Value) -> SwapAmount {
    let text = value.as_str().unwrap();
    match text.strip_prefix('-') {
        Some(out) => SwapAmount::ExactOut(out.parse().unwrap()),
        None => SwapAmount::ExactIn(text.parse().unwrap()),
    }
}

fn direction(zero_for_one: &Value) -> Direction {
    if zero_for_one.as_bool().unwrap() { Direction::ZeroForOne } else { Direction::OneForZero }
}

fn rounding(round_up: &Value) -> Rounding {
    if round_up.as_bool().unwrap() { Rounding::Up } else { Rounding::Down }
}

fn expect_or_revert(actual: Result<U256, AmmError>, expected: &Value, case: &Value) {
    if expected.is_null() {
        assert!(actual.is_err(), "{case}");
    } else {
        assert_eq!(actual, Ok(u(expected)), "{case}");
    }
}

fn cases<'a>(file: &'a Value, kind: &str) -> Vec<&'a Value> {
    let found: Vec<_> =
        file["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind).collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

pub(super) fn add_position(ticks: &mut Ticks, range: (i32, i32), liquidity: u128) {
    let net = i128::try_from(liquidity).unwrap();
    for (tick, net) in [(range.0, net), (range.1, -net)] {
        let state = ticks.entry(tick).or_default();
        state.gross += liquidity;
        state.net += net;
    }
}

/// The loop's answer, once the table has given the same one, with the price limit and without.
/// `tabled` counts what the table could tell.
fn swap(curve: &Curve<'_>, order: &SwapOrder, tabled: &mut u32) -> Result<SwapOutcome, AmmError> {
    let outcome = v3::swap(curve, order);
    let free = SwapOrder { sqrt_limit_x96: None, ..*order };
    for (order, looped) in [(order, &outcome), (&free, &v3::swap(curve, &free))] {
        let segments = Segments::default();
        let looped = looped.as_ref().map(Quote::from).map_err(|error| *error);
        assert_eq!(segments.quote(curve, order), looped, "{order:?}");
        *tabled += u32::from(segments.tabled(curve, order).is_some());
    }
    outcome
}

#[test]
fn v3_core_price_arithmetic_agrees() {
    let math = &vectors!("v3_core_vectors.json.gz")["math"];
    for case in math["tickToSqrt"].as_array().unwrap() {
        assert_eq!(sqrt_price_at(i(&case["tick"])), Ok(u(&case["sqrtPriceX96"])), "{case}");
    }
    for tick in math["tickToSqrtReverts"].as_array().unwrap() {
        assert!(sqrt_price_at(i(tick)).is_err());
    }
    for case in math["sqrtToTick"].as_array().unwrap() {
        assert_eq!(tick_at(u(&case["sqrtPriceX96"])), Ok(i(&case["tick"])), "{case}");
    }
    for price in math["sqrtToTickReverts"].as_array().unwrap() {
        assert!(tick_at(u(price)).is_err());
    }
    for case in math["nextSqrtFromInput"].as_array().unwrap() {
        let next = next_from_input(
            u(&case["sqrtPriceX96"]),
            u128_of(&case["liquidity"]),
            u(&case["amountIn"]),
            direction(&case["zeroForOne"]),
        );
        expect_or_revert(next, &case["expected"], case);
    }
    for case in math["nextSqrtFromOutput"].as_array().unwrap() {
        let next = next_from_output(
            u(&case["sqrtPriceX96"]),
            u128_of(&case["liquidity"]),
            u(&case["amountOut"]),
            direction(&case["zeroForOne"]),
        );
        expect_or_revert(next, &case["expected"], case);
    }
    for (name, delta) in [
        ("amount0Delta", amount0_delta as fn(U256, U256, u128, Rounding) -> _),
        ("amount1Delta", amount1_delta),
    ] {
        for case in math[name].as_array().unwrap() {
            let liquidity = u128_of(&case["liquidity"]);
            let round = rounding(&case["roundUp"]);
            let actual = delta(u(&case["sqrtA"]), u(&case["sqrtB"]), liquidity, round);
            expect_or_revert(actual, &case["expected"], case);
        }
    }
}

#[test]
fn v3_core_swap_steps_agree() {
    let file = vectors!("v3_core_vectors.json.gz");
    for case in file["math"]["swapStep"].as_array().unwrap() {
        let step = compute_swap_step(&StepInput {
            sqrt_price_x96: u(&case["sqrtPriceX96"]),
            sqrt_target_x96: u(&case["sqrtTargetX96"]),
            liquidity: u128_of(&case["liquidity"]),
            remaining: swap_amount(&case["amountRemaining"]),
            fee_pips: pips(&case["feePips"]),
        })
        .unwrap();
        let expected = &case["expected"];
        assert_eq!(step.amount_in, u(&expected["amountIn"]), "{case}");
        assert_eq!(step.amount_out, u(&expected["amountOut"]), "{case}");
        assert_eq!(step.fee, u(&expected["feeAmount"]), "{case}");
        if !expected["sqrtNextX96"].is_null() {
            assert_eq!(step.sqrt_next_x96, u(&expected["sqrtNextX96"]), "{case}");
        }
    }
}

#[test]
fn v3_core_swaps_agree() {
    let file = vectors!("v3_core_vectors.json.gz");
    let (mut done, mut refused, mut tabled) = (0, 0, 0);
    for pool in file["pools"].as_array().unwrap() {
        let sqrt_price_x96 = u(&pool["startSqrtPriceX96"]);
        let tick = tick_at(sqrt_price_x96).unwrap();
        let (mut ticks, mut liquidity) = (Ticks::new(), 0);
        for position in pool["positions"].as_array().unwrap() {
            let range = (i(&position["tickLower"]), i(&position["tickUpper"]));
            let amount = u128_of(&position["liquidity"]);
            add_position(&mut ticks, range, amount);
            if range.0 <= tick && tick < range.1 {
                liquidity += amount;
            }
        }
        let curve = Curve {
            fee_pips: pips(&pool["fee"]),
            tick_spacing: i(&pool["tickSpacing"]),
            fee_protocol: 0,
            sqrt_price_x96,
            tick,
            liquidity,
            ticks: &ticks,
        };
        for case in pool["swaps"].as_array().unwrap() {
            let order = SwapOrder {
                direction: direction(&case["zeroForOne"]),
                amount: swap_amount(&case["amountSpecified"]),
                sqrt_limit_x96: Some(u(&case["sqrtPriceLimitX96"])),
            };
            let outcome = swap(&curve, &order, &mut tabled);
            if case["expected"]["revert"] == "SPL" {
                assert_eq!(outcome, Err(AmmError::PriceLimit), "{case}");
                refused += 1;
            } else {
                check_core_swap(&outcome.unwrap(), case);
                done += 1;
            }
        }
    }
    assert_eq!((done, refused, tabled), (190, 50, 280));
}

fn check_core_swap(outcome: &SwapOutcome, case: &Value) {
    let expected = &case["expected"];
    let delta = |name: &str| expected[name].as_str().unwrap().parse::<I256>().unwrap();
    assert_eq!(outcome.deltas(), (delta("amount0Delta"), delta("amount1Delta")), "{case}");
    assert_eq!(outcome.tick, i(&expected["tickAfter"]), "{case}");
    let sqrt_after = u(&case["measured"]["sqrtPriceX96After"]);
    assert_eq!(outcome.sqrt_price_x96, sqrt_after, "{case}");
    let (growth_in, growth_out) = match outcome.direction {
        Direction::ZeroForOne => ("feeGrowthGlobal0X128Delta", "feeGrowthGlobal1X128Delta"),
        Direction::OneForZero => ("feeGrowthGlobal1X128Delta", "feeGrowthGlobal0X128Delta"),
    };
    assert_eq!(outcome.fee_growth_x128, u(&expected[growth_in]), "{case}");
    assert_eq!(U256::ZERO, u(&expected[growth_out]), "{case}");
}

#[test]
fn integer_oracle_agrees() {
    let file = vectors!("v3_swap_int.json.gz");
    for case in cases(&file, "sqrt_ratio_at_tick") {
        let sqrt = sqrt_price_at(i(&case["in"]["tick"]));
        assert_eq!(sqrt, Ok(u(&case["out"]["sqrt_price_x96"])), "{case}");
    }
    for case in cases(&file, "tick_at_sqrt_ratio") {
        assert_eq!(tick_at(u(&case["in"]["sqrt_price_x96"])), Ok(i(&case["out"]["tick"])));
    }
    for case in cases(&file, "compute_swap_step") {
        let (given, expected) = (&case["in"], &case["out"]);
        let step = compute_swap_step(&StepInput {
            sqrt_price_x96: u(&given["sqrt_price"]),
            sqrt_target_x96: u(&given["sqrt_target"]),
            liquidity: u128_of(&given["liquidity"]),
            remaining: swap_amount(&given["amount_remaining"]),
            fee_pips: pips(&given["fee_pips"]),
        })
        .unwrap();
        assert_eq!(step.sqrt_next_x96, u(&expected["sqrt_next"]), "{case}");
        assert_eq!(step.amount_in, u(&expected["amount_in"]), "{case}");
        assert_eq!(step.amount_out, u(&expected["amount_out"]), "{case}");
        assert_eq!(step.fee, u(&expected["fee_amount"]), "{case}");
    }
}

fn integer_oracle_ticks(given: &Value) -> Ticks {
    let nets = given["ticks_liquidity_net"].as_object().unwrap().iter();
    nets.map(|(tick, net)| {
        let net: i128 = net.as_str().unwrap().parse().unwrap();
        let state = TickState { gross: net.unsigned_abs(), net, ..TickState::default() };
        (tick.parse().unwrap(), state)
    })
    .collect()
}

fn integer_oracle_curve<'t>(given: &Value, ticks: &'t Ticks) -> Curve<'t> {
    Curve {
        fee_pips: pips(&given["fee_pips"]),
        tick_spacing: i(&given["tick_spacing"]),
        fee_protocol: 0,
        sqrt_price_x96: u(&given["sqrt_price_x96"]),
        tick: i(&given["tick"]),
        liquidity: u128_of(&given["liquidity"]),
        ticks,
    }
}

/// The oracle steps from tick to tick; the contract also stops at word edges, which may cost up to
/// two units a step.
#[test]
fn integer_oracle_swaps_agree_up_to_the_word_edges() {
    const UNITS_PER_STEP: u64 = 2;
    let file = vectors!("v3_swap_int.json.gz");
    let mut tabled = 0;
    for case in cases(&file, "multi_tick_swap") {
        let (given, expected) = (&case["in"], &case["out"]);
        let ticks = integer_oracle_ticks(given);
        let curve = integer_oracle_curve(given, &ticks);
        let order = SwapOrder {
            direction: direction(&given["zero_for_one"]),
            amount: swap_amount(&given["amount_specified"]),
            sqrt_limit_x96: None,
        };
        let outcome = swap(&curve, &order, &mut tabled).unwrap();
        let words = (outcome.tick - curve.tick).unsigned_abs()
            / (256 * curve.tick_spacing.unsigned_abs())
            + 2;
        let slack = U256::from(UNITS_PER_STEP * u64::from(words));
        assert!(outcome.amount_in.abs_diff(u(&expected["amount_in"])) <= slack, "{case}");
        assert!(outcome.amount_out.abs_diff(u(&expected["amount_out"])) <= slack, "{case}");
        assert_eq!(outcome.liquidity, u128_of(&expected["liquidity_after"]), "{case}");
        assert_eq!(outcome.tick, i(&expected["tick_after"]), "{case}");
        let crossed: Vec<_> = outcome.crossed.iter().map(|crossing| crossing.tick).collect();
        let expected: Vec<_> =
            expected["ticks_crossed"].as_array().unwrap().iter().map(i).collect();
        assert_eq!(crossed, expected, "{case}");
    }
    assert_eq!(tabled, 2 * 16);
}

#[test]
fn fee_growth_oracle_agrees() {
    let file = vectors!("v3_fee_growth.json.gz");
    for case in cases(&file, "v3_fee_growth_inside") {
        let (given, expected) = (&case["in"], &case["out"]);
        let growth = FeeGrowth {
            global: u(&given["fee_growth_global_x128"]),
            outside_lower: u(&given["fee_growth_outside_lower_x128"]),
            outside_upper: u(&given["fee_growth_outside_upper_x128"]),
        };
        let range = TickRange::new(i(&given["tick_lower"]), i(&given["tick_upper"]), 1).unwrap();
        let inside = fee_growth_inside(growth, range, i(&given["tick_current"]));
        assert_eq!(inside, u(&expected["fee_growth_inside_x128"]), "{case}");
        let last = u(&given["fee_growth_inside_last_x128"]);
        let liquidity = u128_of(&given["liquidity"]);
        assert_eq!(fees_owed(liquidity, inside, last), u(&expected["tokens_owed"]), "{case}");
        let wrapped = u128_of(&expected["tokens_owed_u128_wrapped"]);
        assert_eq!(tokens_owed(liquidity, inside, last), wrapped, "{case}");
    }
}

#[test]
fn v2_oracle_agrees() {
    let file = vectors!("v2_cycle_arb.json.gz");
    let sides = |pool: &Value| {
        let reserves = v2::Reserves {
            reserve_in: u(&pool["reserve_in"]),
            reserve_out: u(&pool["reserve_out"]),
        };
        let kept = v2::KeptPart::new(pips(&pool["fee_num"]), pips(&pool["fee_den"])).unwrap();
        (reserves, kept)
    };
    for case in cases(&file, "v2_get_amount_in") {
        let (reserves, kept) = sides(&case["in"]);
        let needed = v2::amount_in(u(&case["in"]["amount_out"]), reserves, kept).unwrap();
        assert_eq!(needed, u(&case["out"]["amount_in"]), "{case}");
        let back = v2::amount_out(needed, reserves, kept).unwrap();
        assert_eq!(back, u(&case["out"]["amount_out_back"]), "{case}");
    }
    for case in cases(&file, "v2_cycle") {
        if case["out"]["arb_exists"] != true {
            continue;
        }
        let start = u(&case["out"]["x_opt_floor"]);
        let pools = case["in"]["pools"].as_array().unwrap();
        let end = pools.iter().fold(start, |amount, pool| {
            let (reserves, kept) = sides(pool);
            v2::amount_out(amount, reserves, kept).unwrap()
        });
        assert_eq!(end, u(&case["out"]["out_at_x_opt"]), "{case}");
    }
}

/// V4 splits fees differently but trades at V3's totals, so both recorded pools must agree.
#[test]
fn recorded_quoter_answers_agree_to_the_wei() {
    let file = quoted_pools();
    let (mut checked, mut tabled) = (0, 0);
    for pool in file["pools"].as_array().unwrap() {
        let ticks = quoted_ticks(pool);
        let curve = Curve {
            fee_pips: pips(&pool["fee"]),
            tick_spacing: i(&pool["tick_spacing"]),
            fee_protocol: 0,
            sqrt_price_x96: u(&pool["sqrt_price_x96"]),
            tick: i(&pool["tick"]),
            liquidity: u128_of(&pool["liquidity"]),
            ticks: &ticks,
        };
        for quote in pool["quotes"].as_array().unwrap() {
            let outcome = swap(&curve, &quoted_order(quote), &mut tabled);
            check_quote(outcome, pool["protocol"] == "uniswap_v4", quote);
            checked += 1;
        }
    }
    // All but the four of the largest amount there is; each is asked twice.
    assert_eq!((checked, tabled), (168, 2 * 164));
}

fn quoted_pools() -> Value {
    vectors!("quoter_block_24407242.json.gz")
}

fn quoted_ticks(pool: &Value) -> Ticks {
    let ticks = pool["ticks"].as_array().unwrap().iter();
    ticks
        .map(|tick| {
            let net = tick[1].as_str().unwrap().parse().unwrap();
            let state = TickState { gross: u128_of(&tick[2]), net, ..TickState::default() };
            (i(&tick[0]), state)
        })
        .collect()
}

fn is_exact_in(quote: &Value) -> bool {
    quote[0] == "quoteExactInputSingle"
}

fn quoted_order(quote: &Value) -> SwapOrder {
    let amount = u(&quote[2]);
    let amount =
        if is_exact_in(quote) { SwapAmount::ExactIn(amount) } else { SwapAmount::ExactOut(amount) };
    let way = quote[1].as_str().unwrap();
    let direction = match way.split_once("->").unwrap().0 {
        "WBTC" | "ETH" => Direction::ZeroForOne,
        _ => Direction::OneForZero,
    };
    SwapOrder { direction, amount, sqrt_limit_x96: None }
}

fn check_quote(outcome: Result<SwapOutcome, AmmError>, is_v4: bool, quote: &Value) {
    if quote[3].is_null() {
        // V4's quoter refuses what the liquidity cannot fill; V3's answers with what it can.
        assert!(is_v4 && outcome.map_or(true, |outcome| !outcome.unfilled.is_zero()), "{quote}");
        return;
    }
    let outcome = outcome.unwrap();
    let answer = if is_exact_in(quote) { outcome.amount_out } else { outcome.amount_in };
    assert_eq!(answer, u(&quote[3]), "{quote}");
}
