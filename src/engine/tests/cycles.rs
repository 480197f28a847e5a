//! Cycles of pools: found, sent, landed, lost, reverted; and what is booked of each.

use alloy::primitives::{I256, U256};
use rust_decimal::Decimal;

use crate::engine::event::{Body, Change};
use crate::engine::output::Command;
use crate::engine::setup::StrategySetup;
use crate::engine::tests::asked::{estimates, is_idle, only};
use crate::engine::tests::stage::{CHAIN, USDT, only_cycles, pair};
use crate::engine::tests::world::World;
use crate::execution::tx::{Act, TxRequest};
use crate::ledger::entry::Kind;
use crate::model::intent::CyclePlan;
use crate::model::opportunity::{Fate, Opportunity};
use crate::model::unit::{Account, Reason, Unit};

/// A house that only cycles, with a pair this far above the pool; what it asked at its opening.
fn house(above_bps: u128) -> (World, Vec<Command>) {
    let mut world = World::new(only_cycles());
    world.pair = pair(above_bps);
    world.begin();
    world.connect();
    world.compare();
    let mut asked = world.timer();
    assert_eq!(world.mode(), "running");
    asked.extend(world.pass(1_000));
    (world, asked)
}

fn cycle(request: &TxRequest) -> &CyclePlan {
    match &request.act {
        Act::Cycle { cycle, .. } => cycle,
        other => panic!("not a cycle: {other:?}"),
    }
}

fn fates(world: &World) -> Vec<Fate> {
    world.kept.opportunities.values().map(|seen| seen.fate).collect()
}

fn first(world: &World) -> &Opportunity {
    let all = world.kept.opportunities.values();
    all.min_by_key(|seen| seen.block).expect("one was seen")
}

fn income(world: &World) -> I256 {
    let account = Account::Reason(Reason::Arbitrage);
    world.engine.ledger.balance(&account, &Unit::Erc20 { chain: CHAIN, token: USDT })
}

#[test]
fn a_gap_between_pools_is_taken_and_its_profit_booked_as_income() {
    let (mut world, asked) = house(100);
    let request = world.send(&asked);
    let plan = cycle(&request);
    assert_eq!((plan.legs.len(), plan.token), (2, USDT));
    assert!(plan.min_profit > U256::ZERO, "the chain must refuse what does not pay its gas");
    assert_eq!(fates(&world), [Fate::Sent]);
    let (n, profit) = (world.kept.entries.len(), plan.min_profit);
    world.mine(&request);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas, Kind::Cycle]);
    assert_eq!(income(&world), -I256::from_raw(profit), "income stands negative");
    assert_eq!(fates(&world), [Fate::Landed]);
    world.audit_wallet();
    assert_eq!(world.mode(), "running");
    let seen = first(&world);
    let net = seen.net.expect("everything has a price");
    assert!(net.gross > Decimal::ZERO && seen.realised.is_some(), "{seen:?}");
    let tally = world.engine.snapshot(world.now).arbitrage;
    assert_eq!((tally.found, tally.sent, tally.landed), (1, 1, 1));
}

#[test]
fn pools_that_agree_within_their_fees_are_left_alone() {
    let (world, asked) = house(20);
    assert!(is_idle(&asked), "{asked:?}");
    assert_eq!(fates(&world), []);
}

#[test]
fn a_refused_estimate_is_a_lost_cycle_and_holds_nobody_up() {
    let (mut world, asked) = house(100);
    let (intent, _) = only(estimates(&asked));
    let gas = Err("execution reverted".to_owned());
    assert!(is_idle(&world.feed(Body::Estimated { chain: CHAIN, intent, gas })));
    assert_eq!(fates(&world), [Fate::Lost]);
    let again = world.pass(1_000);
    assert_eq!(estimates(&again).len(), 1, "the next block is searched as usual");
}

#[test]
fn other_numbers_of_its_strategy_end_a_cycle_whose_gas_is_asked_for() {
    let (mut world, asked) = house(100);
    let (intent, _) = only(estimates(&asked));
    let setup = only_cycles();
    let change = |index: usize| {
        let setup = StrategySetup { version: 2, ..setup.strategies[index].clone() };
        Body::Change(Box::new(Change { setup, hedge: None, reason: "a test".into() }))
    };
    world.feed(change(0));
    assert_eq!(fates(&world), [Fate::Found], "those were another strategy's");
    world.feed(change(1));
    assert_eq!(fates(&world), [Fate::Lost]);
    assert!(is_idle(&world.estimated(intent)));
    assert_eq!(estimates(&world.pass(1_000)).len(), 1, "the next block is searched as usual");
}

#[test]
fn a_block_that_came_while_gas_was_asked_for_ends_the_cycle() {
    let (mut world, asked) = house(100);
    let (intent, _) = only(estimates(&asked));
    world.block();
    assert!(is_idle(&world.estimated(intent)));
    assert_eq!(fates(&world), [Fate::Lost]);
}

#[test]
fn a_reverted_cycle_costs_its_gas_and_nothing_else() {
    let (mut world, asked) = house(100);
    let request = world.send(&asked);
    let n = world.kept.entries.len();
    world.revert(&request);
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas]);
    assert_eq!(income(&world), I256::ZERO);
    let seen = first(&world);
    assert_eq!(seen.fate, Fate::Reverted);
    assert!(seen.realised.is_some_and(|realised| realised < Decimal::ZERO));
    world.audit_wallet();
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_cycle_is_searched_for_once_per_head() {
    let (mut world, asked) = house(100);
    let (intent, _) = only(estimates(&asked));
    let gas = Err("execution reverted".to_owned());
    world.feed(Body::Estimated { chain: CHAIN, intent, gas });
    assert!(is_idle(&world.timer()), "the same head was searched already");
}

#[test]
fn what_was_seen_and_its_fate_survive_a_restart() {
    let (mut world, asked) = house(100);
    let request = world.send(&asked);
    world.die();
    world.mine(&request);
    world.connect();
    assert_eq!(fates(&world), [Fate::Landed]);
    let tally = world.engine.snapshot(world.now).arbitrage;
    assert_eq!((tally.found, tally.landed), (1, 1));
}
