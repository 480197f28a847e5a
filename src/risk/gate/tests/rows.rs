//! What each check tells of a want: its figure, its limit, its result.

use alloy::primitives::{Address, U256};
use rust_decimal::{Decimal, dec};
use serde_json::json;

use super::{LIMITS, close, hedge, view};
use crate::model::chain::PoolAddress;
use crate::model::intent::{CyclePlan, Intent, OpenRange, PoolId, QuotePlan, Want};
use crate::model::order::Side;
use crate::risk::gate::{CheckRow, Finding, Mode, RiskView, checks, review};

const POOL: PoolId = PoolId { chain: 1, address: PoolAddress::Contract(Address::ZERO) };

fn open() -> Intent {
    let want = Want::Open(OpenRange {
        pool: POOL,
        tick_lower: -10,
        tick_upper: 10,
        amount0: U256::ONE,
        amount1: U256::ONE,
        amount0_min: U256::ZERO,
        amount1_min: U256::ZERO,
        notional: dec!(400),
    });
    Intent::new("s", "o", want, String::new())
}

fn cycle() -> Intent {
    let want = Want::Cycle(CyclePlan {
        chain: 1,
        token: Address::ZERO,
        amount_in: U256::ONE,
        min_profit: U256::ONE,
        legs: Vec::new(),
        notional: dec!(400),
    });
    Intent::new("s", "y", want, String::new())
}

fn quote(side: Side, notional: Decimal) -> Intent {
    let want = Want::Quote(QuotePlan {
        venue: "spot".into(),
        symbol: "ETHUSDT".into(),
        side,
        price: dec!(1),
        quantity: notional,
        notional,
    });
    Intent::new("s", "q", want, String::new())
}

/// Figure, limit, and `passed`, `not asked` or `refused`.
type Told = (Option<Decimal>, Option<Decimal>, &'static str);

const PASSED: Told = (None, None, "passed");
const NOT_ASKED: Told = (None, None, "not asked");
const REFUSED: Told = (None, None, "refused");

/// What one check finds.
fn found(check: &str, intent: &Intent, view: &RiskView) -> Told {
    let rows = checks(intent, view, &LIMITS);
    let row = rows.into_iter().find(|row| row.check == check).expect("a check of the gate");
    let result = match row.result {
        Finding::Passed => "passed",
        Finding::NotAsked(why) => {
            assert!(!why.is_empty());
            "not asked"
        }
        Finding::Refused(_) => "refused",
    };
    (row.asked, row.limit, result)
}

#[test]
fn mode_and_freshness_have_a_result_and_no_figure() {
    let running = view(Mode::Running);
    let stale = RiskView { is_market_live: false, ..running.clone() };
    let halted = view(Mode::Halted("because".into()));
    assert_eq!(found("mode", &open(), &running), PASSED);
    assert_eq!(found("mode", &open(), &halted), REFUSED);
    assert_eq!(found("mode", &close(), &halted), PASSED);
    assert_eq!(found("freshness", &open(), &running), PASSED);
    assert_eq!(found("freshness", &close(), &stale), REFUSED);
}

#[test]
fn daily_loss_and_gas_budget_tell_what_was_used() {
    let with = |daily_pnl, gas_today| RiskView { daily_pnl, gas_today, ..view(Mode::Running) };
    let loss = |pnl: Option<Decimal>, result: &'static str| {
        let asked = pnl.map(|pnl| -pnl);
        let of_loss = found("daily_loss", &open(), &with(pnl, None));
        assert_eq!(of_loss, (asked, Some(dec!(50)), result));
    };
    loss(Some(dec!(-50)), "passed");
    loss(Some(dec!(-50.01)), "refused");
    loss(None, "refused");
    assert_eq!(found("daily_loss", &close(), &with(None, None)), NOT_ASKED);
    let gas = |intent: &Intent, gas: Option<Decimal>, result: &'static str| {
        let of_gas = found("gas_budget", intent, &with(None, gas));
        assert_eq!(of_gas, (gas, Some(dec!(10)), result));
    };
    gas(&open(), Some(dec!(10)), "passed");
    gas(&cycle(), Some(dec!(10.01)), "refused");
    gas(&open(), None, "refused");
    for free in [close(), hedge(Side::Sell, dec!(1), false), quote(Side::Sell, dec!(1))] {
        assert_eq!(found("gas_budget", &free, &with(None, None)), NOT_ASKED);
    }
}

#[test]
fn net_delta_tells_what_it_would_be() {
    let limit = Some(dec!(100));
    let with = |net_delta| RiskView { net_delta, ..view(Mode::Running) };
    let check = |intent: &Intent, now: Option<Decimal>, expected: Told| {
        assert_eq!(found("net_delta", intent, &with(now)), expected);
    };
    let buy = hedge(Side::Buy, dec!(60), false);
    check(&buy, Some(dec!(40)), (limit, limit, "passed"));
    check(&buy, Some(dec!(40.01)), (Some(dec!(100.01)), limit, "refused"));
    check(&quote(Side::Sell, dec!(60)), Some(dec!(-40)), (limit, limit, "passed"));
    check(&buy, None, (None, limit, "refused"));
    // However far away it still is.
    check(&buy, Some(dec!(-5000)), NOT_ASKED);
    check(&open(), None, NOT_ASKED);
}

#[test]
fn venue_and_gross_exposure_bind_what_adds_to_them() {
    let of_venue = |intent: &Intent, held: Option<Decimal>| {
        let view = RiskView { venue_exposure: held, ..view(Mode::Running) };
        found("venue_exposure", intent, &view)
    };
    let sell = hedge(Side::Sell, dec!(400), false);
    let (most, limit) = (Some(dec!(500)), Some(dec!(500)));
    assert_eq!(of_venue(&sell, Some(dec!(100))), (most, limit, "passed"));
    assert_eq!(of_venue(&sell, Some(dec!(101))), (Some(dec!(501)), limit, "refused"));
    assert_eq!(of_venue(&sell, None), (None, limit, "refused"));
    let shrinks = hedge(Side::Sell, dec!(400), true);
    for free in [shrinks, quote(Side::Buy, dec!(1)), open(), close(), cycle()] {
        assert_eq!(of_venue(&free, None), NOT_ASKED);
    }
    let of_gross = |intent: &Intent, gross: Option<Decimal>| {
        let view = RiskView { gross_exposure: gross, ..view(Mode::Running) };
        found("gross_exposure", intent, &view)
    };
    let (most, limit) = (Some(dec!(1000)), Some(dec!(1000)));
    assert_eq!(of_gross(&open(), most), (most, limit, "passed"));
    assert_eq!(of_gross(&open(), Some(dec!(1001))), (Some(dec!(1001)), limit, "refused"));
    assert_eq!(of_gross(&open(), None), (None, limit, "refused"));
    for free in [sell, quote(Side::Buy, dec!(1)), close(), cycle()] {
        assert_eq!(of_gross(&free, None), NOT_ASKED);
    }
}

#[test]
fn the_first_refused_row_is_the_answer_and_the_rest_is_told_too() {
    let mut worst = view(Mode::Halted("because".into()));
    worst.is_market_live = false;
    worst.daily_pnl = None;
    let refusal = |row: CheckRow| match row.result {
        Finding::Refused(refusal) => Some((row.check, refusal)),
        _ => None,
    };
    let rows = checks(&open(), &worst, &LIMITS);
    let refused: Vec<_> = rows.into_iter().filter_map(refusal).collect();
    let names: Vec<_> = refused.iter().map(|(check, _)| *check).collect();
    assert_eq!(names, ["mode", "freshness", "daily_loss"]);
    assert_eq!(review(open(), &worst, &LIMITS), Err(refused[0].1.clone()));
}

#[test]
fn a_row_reads_in_json_as_its_figures_and_its_reason() {
    let full = RiskView { gross_exposure: Some(dec!(1001)), ..view(Mode::Running) };
    let rows = serde_json::to_value(checks(&open(), &full, &LIMITS)).expect("it can be written");
    let passed = json!({ "check": "mode", "result": "passed" });
    assert_eq!(rows[0], passed);
    assert_eq!(rows[5]["result"]["not_asked"], "it trades on no venue");
    let refused = json!({
        "check": "gross_exposure",
        "asked": "1001",
        "limit": "1000",
        "result": { "refused": "gross exposure would be 1001, limit 1000" },
    });
    assert_eq!(rows[6], refused);
}
