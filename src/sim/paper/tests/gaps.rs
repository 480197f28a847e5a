//! A pool against an exchange on pretend accounts: swap and leg, once for each gap.

use alloy::primitives::I256;
use rust_decimal::dec;

use crate::engine::setup::{Setup, StrategyKind};
use crate::engine::tests::stage::{CHAIN, LEGS, USDT, with_legs};
use crate::ledger::entry::Kind;
use crate::model::opportunity::{Fate, LegState, Opportunity};
use crate::model::order::TimeInForce;
use crate::model::unit::Unit;
use crate::sim::paper::tests::story::Story;

/// The setup of the legs' own stories, in which a gap worth one trade is worth it.
fn setup() -> Setup {
    let mut setup = with_legs();
    let last = setup.strategies.last_mut().expect("the legs are the last");
    let StrategyKind::CexDex(legs) = &mut last.kind else { panic!("no legs") };
    (legs.min_net, legs.slippage_bps) = (dec!(0.1), 0);
    setup
}

fn of_fate(story: &Story, fate: Fate) -> Vec<&Opportunity> {
    story.kept.opportunities.values().filter(|seen| seen.fate == fate).collect()
}

#[test]
fn both_kinds_of_budgets_are_given_half_in_either_token() {
    let story = Story::begin(setup());
    let usdt = Unit::Erc20 { chain: CHAIN, token: USDT };
    let given = story.kept.of(Kind::Opening);
    let mut given = given.iter().flat_map(|entry| &entry.postings).filter(|p| p.unit == usdt);
    let half = I256::try_from(35_000_000_000_i64).expect("small");
    assert!(given.any(|posting| posting.amount == half), "of 50,000 and of 20,000");
}

#[test]
fn a_gap_in_a_quiet_pool_is_swapped_and_traded_back_once() {
    let mut story = Story::begin(setup());
    story.pass(8);
    story.agrees();
    assert!(story.kept.opportunities.is_empty(), "there is no gap");
    // Some four basis points above what pool and exchange take: one trade of less than the budget.
    story.mid = (story.mid * dec!(1.00195)).round_dp(2) + dec!(0.05);
    story.pass(30);
    story.agrees();
    let [landed] = of_fate(&story, Fate::Landed)[..] else {
        panic!("{:?}", story.kept.opportunities);
    };
    let leg = landed.leg.as_ref().expect("it has a leg");
    assert_eq!((leg.state, leg.attempts), (LegState::Closed, 1));
    assert!(leg.target < dec!(-3) && leg.done == leg.target, "{leg:?}");
    assert!(landed.realised > Some(dec!(0)), "{landed:?}");
    let orders = story.kept.orders.values();
    let legs: Vec<_> = orders.filter(|order| order.request.venue == LEGS).collect();
    assert_eq!(legs.len(), 1);
    assert_eq!((legs[0].state_name(), legs[0].request.reduce_only), ("filled", true));
    assert_eq!(legs[0].request.time_in_force, TimeInForce::Ioc);
    // The engine sees the gap in the real pool at every block; what it asks for is not there.
    let lost = of_fate(&story, Fate::Lost);
    let gone = lost.iter().filter(|seen| seen.why.contains("Too little received"));
    assert!(gone.count() > 10, "{lost:?}");
    assert!(of_fate(&story, Fate::Reverted).is_empty());
}
