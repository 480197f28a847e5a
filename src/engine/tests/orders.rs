//! Hedge orders: told twice, told late, never told, refused.

use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, FillSource};
use crate::engine::output::Command;
use crate::engine::tests::asked::{only, places};
use crate::engine::tests::stage::only_hedge;
use crate::engine::tests::venues::report;
use crate::engine::tests::world::World;
use crate::execution::order::{NOT_FOUND_MIN, Order};
use crate::ledger::entry::Kind;
use crate::model::order::Side;
use crate::model::venue::{OrderReply, Reported};

const ORDER_ID: u64 = 700;

/// The house is open and has placed its first hedge of 12 ETH.
fn placed() -> (World, Order) {
    let (world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    assert_eq!((order.request.side, order.request.quantity), (Side::Sell, dec!(12.000)));
    (world, order)
}

fn refused() -> OrderReply {
    OrderReply::Refused { code: -2019, text: "margin is insufficient".into() }
}

fn doubted() -> OrderReply {
    OrderReply::Unknown { why: "timeout".into() }
}

fn queried(asked: &[Command]) -> usize {
    asked.iter().filter(|command| matches!(command, Command::QueryOrder { .. })).count()
}

fn missed(world: &mut World, order: &Order, asked_ms: i64) -> Vec<Command> {
    let client_order_id = order.request.client_order_id.clone();
    let asked = order.created.plus_ms(asked_ms);
    world.feed(Body::OrderMissed { client_order_id, asked })
}

/// Contracts by the engine's ledger.
fn contracts(world: &World) -> Option<Decimal> {
    world.engine.contracts("hedge", "ETHUSDT")
}

#[test]
fn a_trade_told_twice_is_booked_once() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(12));
    world.tell(&fill, FillSource::Stream);
    world.report(&order, ORDER_ID, Reported::Filled, dec!(12));
    world.tell(&fill, FillSource::List);
    world.tell(&fill, FillSource::Stream);
    assert_eq!(world.kept.of(Kind::Fill).len(), 1);
    assert_eq!(world.kept.fills.len(), 1);
    assert_eq!(contracts(&world), Some(dec!(-12)));
    assert_eq!(places(&world.pass(10_000)).len(), 0);
    assert_eq!(world.mode(), "running", "the account agrees with what was booked");
}

#[test]
fn no_second_hedge_while_the_trade_of_the_first_is_not_booked() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    let asked = world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    let is_fills = |command: &Command| matches!(command, Command::QueryFills { .. });
    assert!(asked.iter().any(is_fills), "the trade is asked for");
    assert_eq!(places(&asked).len(), 0);
    assert_eq!(places(&world.pass(5_000)).len(), 0);
    assert_eq!(contracts(&world), Some(dec!(0)));
    let asked = world.tell(&fill, FillSource::List);
    let next = only(places(&asked));
    assert_eq!((next.request.side, next.request.quantity), (Side::Sell, dec!(7.000)));
}

#[test]
fn part_of_the_trades_does_not_free_the_hedge() {
    let (mut world, order) = placed();
    let first = world.trade(&order, 1, ORDER_ID, dec!(2));
    let second = world.trade(&order, 2, ORDER_ID, dec!(3));
    world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    assert_eq!(places(&world.tell(&first, FillSource::Stream)).len(), 0);
    assert_eq!(places(&world.pass(2_000)).len(), 0);
    let next = only(places(&world.tell(&second, FillSource::Stream)));
    assert_eq!(next.request.quantity, dec!(7.000));
}

#[test]
fn a_trade_told_before_its_order_ends_does_not_free_the_hedge() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    assert_eq!(places(&world.tell(&fill, FillSource::Stream)).len(), 0);
    assert_eq!(places(&world.pass(3_000)).len(), 0, "the order is still open");
    let asked = world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    assert_eq!(only(places(&asked)).request.quantity, dec!(7.000));
}

#[test]
fn only_the_list_moves_the_place_from_which_trades_are_asked() {
    let (mut world, order) = placed();
    let skipped = world.trade(&order, 1, ORDER_ID, dec!(2));
    let told = world.trade(&order, 2, ORDER_ID, dec!(3));
    world.tell(&told, FillSource::Stream);
    let asked = world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    let after = |command: &Command| match command {
        Command::QueryFills { after_trade, .. } => Some(*after_trade),
        _ => None,
    };
    assert_eq!(asked.iter().find_map(after), Some(0));
    world.tell(&skipped, FillSource::List);
    assert_eq!(contracts(&world), Some(dec!(-5)));
}

#[test]
fn after_a_restart_a_booked_trade_whose_report_was_lost_settles_with_the_order() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    world.tell(&fill, FillSource::Stream);
    world.die();
    world.connect();
    let asked = world.pass(3_000);
    assert!(queried(&asked) > 0, "the order found in flight is asked for");
    assert_eq!(places(&asked).len(), 0);
    let known = report(&order, ORDER_ID, Reported::Expired, dec!(5));
    let mut asked = world.reply(&order, OrderReply::Known(known));
    asked.extend(world.tell(&fill, FillSource::List));
    asked.extend(world.pass(6_000));
    assert_eq!(world.mode(), "running");
    assert_eq!(world.kept.of(Kind::Fill).len(), 1);
    let next = places(&asked).into_iter().next().expect("hedging goes on");
    assert_eq!(next.request.quantity, dec!(7.000));
    assert_ne!(next.request.client_order_id, order.request.client_order_id);
}

#[test]
fn after_a_restart_a_filled_order_whose_trade_is_not_booked_holds_the_hedge() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    world.die();
    world.connect();
    let known = report(&order, ORDER_ID, Reported::Expired, dec!(5));
    world.reply(&order, OrderReply::Known(known));
    assert_eq!(places(&world.pass(6_000)).len(), 0);
    let mut asked = world.tell(&fill, FillSource::List);
    asked.extend(world.pass(6_000));
    assert_eq!(only(places(&asked)).request.quantity, dec!(7.000));
    assert_eq!(world.mode(), "running");
}

#[test]
fn an_order_over_before_its_trade_was_booked_holds_the_hedge_over_a_restart() {
    let (mut world, order) = placed();
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    world.die();
    let asked = world.connect();
    let is_fills = |command: &Command| matches!(command, Command::QueryFills { .. });
    assert!(asked.iter().any(is_fills), "trades of before are asked for");
    assert_eq!(places(&asked).len() + places(&world.pass(4_000)).len(), 0);
    let mut asked = world.tell(&fill, FillSource::List);
    asked.extend(world.pass(6_000));
    assert_eq!(only(places(&asked)).request.quantity, dec!(7.000));
}

#[test]
fn surplus_trades_without_an_order_do_not_free_a_later_hedge_early() {
    let (mut world, order) = placed();
    // A liquidation buys back for us: nobody placed its order.
    let mut liquidation = world.trade(&order, 1, 1, dec!(5));
    liquidation.client_order_id = Some("autoclose-1".into());
    liquidation.is_forced = true;
    world.tell(&liquidation, FillSource::List);
    let fill = world.trade(&order, 2, ORDER_ID, dec!(5));
    world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    assert_eq!(places(&world.pass(5_000)).len(), 0);
    let next = only(places(&world.tell(&fill, FillSource::List)));
    assert_eq!(next.request.quantity, dec!(2.000));
    // And over a restart.
    world.die();
    world.connect();
    let fill = world.trade(&next, 3, 702, dec!(1));
    let known = report(&next, 702, Reported::Expired, dec!(1));
    world.reply(&next, OrderReply::Known(known));
    assert_eq!(places(&world.pass(6_000)).len(), 0);
    world.tell(&fill, FillSource::List);
    assert_eq!(contracts(&world), Some(dec!(-11)));
}

#[test]
fn an_order_in_doubt_is_asked_for_and_nothing_is_placed_meanwhile() {
    let (mut world, order) = placed();
    let asked = world.reply(&order, doubted());
    assert_eq!(places(&asked).len(), 0);
    let asked = world.pass(4_000);
    assert_eq!((queried(&asked), places(&asked).len()), (4, 0));
    for _ in 0..10 {
        assert_eq!(places(&missed(&mut world, &order, 4_000)).len(), 0);
    }
    let asked = world.pass(20_000);
    assert_eq!(places(&asked).len(), 0, "misses asked before the deadline prove nothing");
    assert!(queried(&asked) >= 19);
}

#[test]
fn an_order_counts_as_not_placed_after_misses_asked_after_its_deadline() {
    let (mut world, order) = placed();
    world.reply(&order, doubted());
    let mut asked = world.pass(8_000);
    for n in 0..NOT_FOUND_MIN {
        assert!(world.engine.has_open_order("hedge", "ETHUSDT"), "after {n} misses");
        asked.extend(missed(&mut world, &order, 7_000));
    }
    assert!(!world.engine.has_open_order("hedge", "ETHUSDT"));
    assert_eq!(places(&asked).len(), 0, "it cools down first");
    let next = only(places(&world.pass(1_000)));
    assert_ne!(next.request.client_order_id, order.request.client_order_id);
}

#[test]
fn an_order_in_doubt_that_is_found_ends_as_the_venue_says() {
    let (mut world, order) = placed();
    world.reply(&order, doubted());
    let fill = world.trade(&order, 1, ORDER_ID, dec!(12));
    world.pass(2_000);
    let known = report(&order, ORDER_ID, Reported::Filled, dec!(12));
    world.reply(&order, OrderReply::Known(known));
    world.tell(&fill, FillSource::List);
    assert_eq!(contracts(&world), Some(dec!(-12)));
    assert_eq!(places(&world.pass(10_000)).len(), 0);
    assert!(world.engine.is_quiet());
}

#[test]
fn an_order_nobody_answers_is_asked_for_after_its_deadline() {
    let (mut world, _) = placed();
    assert_eq!(queried(&world.pass(5_000)), 0);
    let asked = world.pass(2_000);
    assert_eq!((queried(&asked), places(&asked).len()), (2, 0));
}

#[test]
fn a_refused_hedge_waits_before_the_next_and_twice_as_long_each_time() {
    let (mut world, mut order) = placed();
    for wait_ms in [1_000, 2_000, 4_000, 8_000] {
        let asked = world.reply(&order, refused());
        assert_eq!(places(&asked).len(), 0);
        assert_eq!(places(&world.pass(wait_ms - 1)).len(), 0, "{wait_ms} ms");
        order = only(places(&world.pass(1)));
    }
}

#[test]
fn the_wait_after_refusals_is_bounded_and_ends_with_a_trade() {
    let (mut world, mut order) = placed();
    for _ in 0..9 {
        world.reply(&order, refused());
        order = only(places(&world.pass(64_000)));
    }
    let fill = world.trade(&order, 1, ORDER_ID, dec!(5));
    world.report(&order, ORDER_ID, Reported::Expired, dec!(5));
    let next = only(places(&world.tell(&fill, FillSource::Stream)));
    assert_eq!(places(&world.reply(&next, refused())).len(), 0);
    only(places(&world.pass(1_000)));
}
