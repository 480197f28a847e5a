//! What the audit reads of a decision: its figures, and what each check of the gate found.

use rust_decimal::{Decimal, dec};
use serde_json::{Value, json};

use crate::engine::tests::asked::{estimates, only, places};
use crate::engine::tests::stage::{both, only_cycles, only_hedge, only_liquidity, pair};
use crate::engine::tests::world::World;
use crate::execution::tx::Act;

/// The checks of the gate in order.
const CHECKS: [&str; 7] = [
    "mode",
    "freshness",
    "daily_loss",
    "gas_budget",
    "net_delta",
    "venue_exposure",
    "gross_exposure",
];

/// Notes of one kind, oldest first.
fn notes<'a>(world: &'a World, kind: &str) -> Vec<&'a Value> {
    let of_kind = world.kept.notes.iter().filter(|(of, _)| *of == kind);
    of_kind.map(|(_, body)| body).collect()
}

/// A figure of a decision.
fn term(note: &Value, name: &str) -> Decimal {
    let terms = note["terms"].as_array().expect("a list");
    let term = terms.iter().find(|term| term["name"] == name).expect(name);
    assert!(term["unit"].is_string(), "{term}");
    term["value"].as_str().expect("text").parse().expect("a decimal")
}

/// What one check found.
fn check<'a>(note: &'a Value, name: &str) -> &'a Value {
    let rows = note["gate"].as_array().expect("a list");
    let names: Vec<_> = rows.iter().filter_map(|row| row["check"].as_str()).collect();
    assert_eq!(names, CHECKS);
    rows.iter().find(|row| row["check"] == name).expect(name)
}

#[test]
fn an_intent_of_a_chain_is_noted_with_its_figures_and_every_check() {
    let (world, asked) = World::open(only_liquidity());
    let (intent, act) = only(estimates(&asked));
    let Act::Open { open, .. } = act else { panic!("not an opening: {act:?}") };
    let note = only(notes(&world, "intent"));
    assert_eq!((&note["intent"], &note["act"]), (&json!(intent), &json!("mint")));
    assert_eq!(term(note, "tick_lower"), Decimal::from(open.tick_lower));
    assert_eq!(term(note, "capital"), open.notional);
    assert_eq!(check(note, "mode")["result"], "passed");
    let gross = check(note, "gross_exposure");
    assert_eq!((&gross["limit"], &gross["result"]), (&json!("1000000"), &json!("passed")));
    assert!(gross["asked"].is_string(), "{gross}");
    assert!(check(note, "venue_exposure")["result"]["not_asked"].is_string());
}

#[test]
fn a_hedge_is_noted_with_its_figures_and_every_check() {
    let (world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let note = only(notes(&world, "intent"));
    assert_eq!(note["act"], "hedge");
    let digits = note["intent"].as_str().expect("an id").replace('-', "");
    assert_eq!(order.request.client_order_id, format!("tk{}", &digits[..30]));
    assert_eq!(term(note, "quantity"), order.request.quantity);
    assert_eq!(term(note, "price_limit"), order.request.price);
    let asked = check(note, "venue_exposure")["asked"].as_str().expect("a figure");
    assert_eq!(asked.parse::<Decimal>(), Ok(term(note, "notional")));
    assert_eq!(check(note, "net_delta")["result"]["not_asked"], "it lowers the absolute delta");
}

#[test]
fn a_cycle_is_noted_with_what_it_should_bring() {
    let mut world = World::new(only_cycles());
    world.pair = pair(100);
    world.begin();
    world.connect();
    world.compare();
    world.timer();
    world.pass(1_000);
    let seen = world.kept.opportunities.values().next().expect("one was seen");
    let net = seen.net.expect("everything has a price");
    let note = notes(&world, "intent")[0];
    assert_eq!(note["intent"], json!(seen.id));
    assert_eq!((term(note, "gross"), term(note, "gas")), (net.gross, net.gas));
    assert_eq!(Some(term(note, "net")), net.expected());
}

#[test]
fn a_refusal_is_noted_once_a_minute_with_every_check() {
    let mut setup = only_hedge();
    setup.limits.venue_exposure = dec!(100);
    let (mut world, asked) = World::open(setup);
    assert!(places(&asked).is_empty());
    let opening = only(notes(&world, "refused"));
    assert_eq!(opening["strategy"], "lp/hedge");
    assert_eq!(check(opening, "mode")["result"]["refused"], "mode is recovering: not ready");

    assert!(places(&world.pass(61_000)).is_empty());
    let noted = notes(&world, "refused");
    assert_eq!(noted.len(), 2);
    let refused = check(noted[1], "venue_exposure");
    assert_eq!(refused["limit"], "100");
    assert_eq!(noted[1]["why"], refused["result"]["refused"]);
    assert_eq!(check(noted[1], "mode")["result"], "passed");
    assert_eq!(term(noted[1], "quantity"), dec!(12));
    assert!(notes(&world, "intent").is_empty());
}

#[test]
fn what_an_observing_strategy_would_do_is_noted_once_a_minute() {
    let mut setup = both();
    setup.strategies[0].sends = false;
    setup.hedges[0].sends = false;
    let (mut world, _) = World::open(setup);
    world.pass(61_000);
    let mut noted = notes(&world, "refused");
    noted.retain(|note| note["why"].as_str().is_some_and(|why| why.starts_with("observing only")));
    let of: Vec<_> = noted.iter().filter_map(|note| note["strategy"].as_str()).collect();
    assert_eq!(of, ["lp", "lp/hedge"]);
    for note in noted {
        assert_eq!(check(note, "mode")["result"], "passed");
        assert!(note["intent"].is_string() && note["terms"].as_array().is_some());
    }
}

#[test]
fn a_cycle_that_is_refused_is_noted_too() {
    let mut setup = only_cycles();
    setup.limits.gas_budget_per_day = dec!(-1);
    let mut world = World::new(setup);
    world.pair = pair(100);
    world.begin();
    world.connect();
    world.compare();
    world.timer();
    world.pass(1_000);
    let note = only(notes(&world, "refused"));
    assert_eq!(note["strategy"], "cycles");
    assert!(check(note, "gas_budget")["result"]["refused"].is_string());
    assert!(term(note, "net") > Decimal::ZERO);
}
