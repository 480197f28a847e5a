//! Quotes on a spot book: placed, traded, expired, withdrawn, in doubt.

use alloy::primitives::I256;
use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, BookStep, Change, Directive, FillSource};
use crate::engine::output::Command;
use crate::engine::setup::{Setup, StrategyKind};
use crate::engine::tests::asked::places;
use crate::engine::tests::stage::{SPOT, SYMBOL, only_quotes};
use crate::engine::tests::venues::report;
use crate::engine::tests::world::World;
use crate::execution::order::Order;
use crate::ledger::entry::Kind;
use crate::market::book::{BookUpdate, Level};
use crate::model::order::{Side, TimeInForce};
use crate::model::unit::{Account, Reason, Unit};
use crate::model::venue::{Fill, OrderReply, Reported};

/// A house whose spot account holds what its maker is to hold; the hedge of the wallet is done.
fn house() -> World {
    house_in("demo")
}

fn house_in(mode: &str) -> World {
    let mut world = World::new(Setup { mode: mode.into(), ..only_quotes() });
    let account = world.accounts.get_mut(SPOT).expect("a venue of the setup");
    account.balances = vec![("ETH".into(), dec!(10)), ("USDT".into(), dec!(100000))];
    world.begin();
    world.connect();
    world.compare();
    let asked = world.timer();
    assert_eq!(world.mode(), "running");
    for order in places(&asked) {
        let fill = world.trade(&order, 1, 1, order.request.quantity);
        world.tell(&fill, FillSource::Stream);
        world.report(&order, 1, Reported::Filled, order.request.quantity);
    }
    world
}

fn quotes(asked: &[Command]) -> Vec<Order> {
    let all = places(asked).into_iter();
    all.filter(|order| order.request.time_in_force == TimeInForce::PostOnly).collect()
}

fn cancels(asked: &[Command]) -> Vec<String> {
    let of = |command: &Command| match command {
        Command::Cancel { client_order_id, .. } => Some(client_order_id.clone()),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// The volatility becomes known and both sides are quoted; the venue takes both.
fn quoting() -> (World, Order, Order) {
    quoting_in("demo")
}

fn quoting_in(mode: &str) -> (World, Order, Order) {
    let mut world = house_in(mode);
    let quoted = quotes(&world.pass(40_000));
    let [bid, ask] = &quoted[..] else { panic!("one order a side: {quoted:?}") };
    assert_eq!((bid.request.side, ask.request.side), (Side::Buy, Side::Sell));
    for (order, id) in [(bid, 11), (ask, 12)] {
        tell_order(&mut world, order, id, Reported::New, dec!(0));
    }
    (world, bid.clone(), ask.clone())
}

fn tell_order(
    world: &mut World,
    order: &Order,
    id: u64,
    state: Reported,
    filled: Decimal,
) -> Vec<Command> {
    let report = report(order, id, state, filled);
    world.feed(Body::OrderReport { venue: SPOT.into(), report })
}

/// A quote trades whole, at its own price; the account moves.
fn trade(world: &mut World, order: &Order, id: u64, trade_id: u64) -> Vec<Command> {
    let request = &order.request;
    let value = request.price * request.quantity;
    let account = world.accounts.get_mut(SPOT).expect("a venue of the setup");
    let (base, quote) = match request.side {
        Side::Buy => (request.quantity, -value),
        Side::Sell => (-request.quantity, value),
    };
    account.balances[0].1 += base;
    account.balances[1].1 += quote;
    let fill = Fill {
        trade_id,
        client_order_id: Some(request.client_order_id.clone()),
        is_forced: false,
        venue_order_id: id,
        side: request.side,
        price: request.price,
        quantity: request.quantity,
        fee: dec!(0),
        fee_asset: "ETH".into(),
        realized_pnl: dec!(0),
        margin_asset: "USDT".into(),
        venue_time: world.now,
    };
    let (venue, symbol) = (SPOT.to_owned(), SYMBOL.to_owned());
    let source = FillSource::Stream;
    let mut asked = world.feed(Body::Fills { venue, symbol, fills: vec![fill], source });
    asked.extend(tell_order(world, order, id, Reported::Filled, request.quantity));
    asked
}

#[test]
fn nothing_is_quoted_before_the_volatility_is_measured() {
    let mut world = house();
    assert_eq!(quotes(&world.pass(10_000)).len(), 0);
    let why = &world.engine.snapshot(world.now).strategies[1].why;
    assert!(why.contains("steps") || why.contains("samples"), "{why}");
}

#[test]
fn both_sides_rest_and_never_cross_the_touch() {
    let (mut world, bid, ask) = quoting();
    assert!(bid.request.price < ask.request.price);
    assert_eq!((bid.request.quantity, ask.request.quantity), (dec!(0.5), dec!(0.5)));
    let then = world.pass(5_000);
    assert!(quotes(&then).is_empty() && cancels(&then).is_empty(), "the queue place is kept");
}

#[test]
fn a_level_at_our_price_is_ours_but_for_quotes_that_are_pretended() {
    for (mode, is_others) in [("demo", false), ("paper", true)] {
        let (mut world, bid, ask) = quoting_in(mode);
        world.now = world.now.plus_ms(200);
        // The only bid is as large as ours, and at its price.
        let level = |price, quantity| vec![Level { price, quantity }];
        let bids = level(bid.request.price, bid.request.quantity);
        let asks = level(ask.request.price + dec!(1), dec!(500));
        let (update_id, venue_time) = (2_000_000, Some(world.now));
        let update = BookUpdate::Snapshot { bids, asks, update_id, venue_time };
        let (venue, symbol) = (SPOT.to_owned(), SYMBOL.to_owned());
        let step = BookStep::Update(update);
        world.feed(Body::Book { venue, symbol, step });
        world.timer();
        let why = world.engine.snapshot(world.now).strategies[1].why.clone();
        assert_eq!(!why.contains("no bid of others"), is_others, "{mode}: {why}");
    }
}

#[test]
fn each_quote_is_noted_with_the_figures_and_checks_it_rests_on() {
    let (world, bid, ask) = quoting();
    let noted =
        world.kept.notes.iter().filter(|(kind, body)| *kind == "intent" && body["act"] == "quote");
    let noted: Vec<_> = noted.map(|(_, body)| body).collect();
    assert_eq!(noted.len(), 2);
    for (note, order, name) in [(noted[0], &bid, "bid"), (noted[1], &ask, "ask")] {
        let terms = note["terms"].as_array().expect("a list");
        let term = terms.iter().find(|term| term["name"] == name).expect(name);
        let price: Decimal = term["value"].as_str().expect("text").parse().expect("a decimal");
        assert_eq!(price, order.request.price);
        let digits = note["intent"].as_str().expect("an id").replace('-', "");
        assert!(digits.starts_with(&order.request.client_order_id[2..]));
        assert_eq!(note["gate"].as_array().map(Vec::len), Some(7));
    }
}

#[test]
fn a_traded_quote_is_booked_by_both_legs_and_placed_anew() {
    let (mut world, bid, _) = quoting();
    let n = world.kept.entries.len();
    trade(&mut world, &bid, 11, 501);
    assert_eq!(world.kept.kinds_after(n), [Kind::Fill]);
    let entry = &world.kept.entries[n];
    assert_eq!(entry.postings.len(), 4, "two legs, each with its reason");
    let held = world.engine.spot_held(SPOT, "ETH");
    assert_eq!(held, Some(dec!(10.5)));
    let unit = Unit::Asset { venue: SPOT.into(), asset: "ETH".into() };
    let traded = world.engine.ledger.balance(&Account::Reason(Reason::Spot), &unit);
    assert_eq!(traded, I256::try_from(-50_000_000).expect("small"));
    let again = quotes(&world.pass(2_000));
    assert!(again.iter().any(|order| order.request.side == Side::Buy), "{again:?}");
    let tally = world.engine.snapshot(world.now).quotes;
    assert_eq!((tally.filled, tally.cancelled), (1, 0));
    world.pass(10_000);
    assert_eq!(world.mode(), "running", "the account agrees with what was booked");
}

#[test]
fn a_maker_s_inventory_is_delta_like_any_other() {
    let (mut world, bid, _) = quoting();
    let net = |world: &World| world.engine.exposure().map(|e| e.held + e.contracts);
    let before = net(&world).expect("known");
    trade(&mut world, &bid, 11, 501);
    assert_eq!(net(&world), Some(before + dec!(0.5)));
}

#[test]
fn an_expired_quote_is_taken_back_and_only_then_replaced() {
    let (mut world, bid, ask) = quoting();
    let asked = world.pass(21_000);
    let mut ids = cancels(&asked);
    ids.sort();
    ids.dedup();
    let mut want = vec![bid.request.client_order_id.clone(), ask.request.client_order_id.clone()];
    want.sort();
    assert_eq!(ids, want);
    assert!(quotes(&asked).is_empty(), "never two orders of ours on one side");
    tell_order(&mut world, &bid, 11, Reported::Cancelled, dec!(0));
    let again = quotes(&world.pass(1_000));
    assert_eq!(again.iter().map(|o| o.request.side).collect::<Vec<_>>(), [Side::Buy]);
}

#[test]
fn a_quote_in_doubt_counts_as_resting() {
    let mut world = house();
    let quoted = quotes(&world.pass(40_000));
    let doubt = OrderReply::Unknown { why: "timeout".into() };
    for order in &quoted {
        world.reply(order, doubt.clone());
    }
    assert!(quotes(&world.pass(10_000)).is_empty());
}

#[test]
fn a_halt_and_a_pause_take_quotes_back() {
    let (mut world, bid, ask) = quoting();
    let pause = Directive::Pause { strategy: "quotes".into(), reason: "a test".into() };
    let asked = world.feed(Body::Directive(pause));
    assert_eq!(cancels(&asked).len(), 2);
    for (order, id) in [(&bid, 11), (&ask, 12)] {
        tell_order(&mut world, order, id, Reported::Cancelled, dec!(0));
    }
    assert!(quotes(&world.pass(5_000)).is_empty(), "paused");
    let start = Directive::Start { strategy: "quotes".into(), reason: "a test".into() };
    let mut again = quotes(&world.feed(Body::Directive(start)));
    again.extend(quotes(&world.pass(2_000)));
    assert_eq!(again.len(), 2);
    let halt = Body::Directive(Directive::Halt { reason: "a test".into() });
    let asked = world.feed(halt);
    let is_all = |c: &Command| matches!(c, Command::CancelAll { venue, .. } if venue == SPOT);
    assert!(asked.iter().any(is_all), "{asked:?}");
    assert!(quotes(&world.pass(5_000)).is_empty());
}

#[test]
fn what_rests_is_judged_by_other_numbers_and_a_paused_maker_stays_paused() {
    let (mut world, bid, ask) = quoting();
    let mut setup = only_quotes().strategies.pop().expect("the maker is the last");
    setup.version = 2;
    let StrategyKind::MarketMaking(maker) = &mut setup.kind else { panic!("no maker") };
    maker.quote_quantity = dec!(0.25);
    let said = world.engine.preview(&setup, None).expect("it runs");
    assert!(said.now.is_some() && !said.then.is_empty(), "{said:?}");
    let change = Change { setup, hedge: None, reason: "smaller".into() };
    let mut asked = world.feed(Body::Change(Box::new(change.clone())));
    asked.extend(world.pass(1_000));
    for order in [&bid, &ask] {
        assert!(cancels(&asked).contains(&order.request.client_order_id), "it is too large now");
    }
    for (order, id) in [(&bid, 11), (&ask, 12)] {
        tell_order(&mut world, order, id, Reported::Cancelled, dec!(0));
    }
    let smaller = quotes(&world.pass(2_000));
    assert_eq!(smaller.len(), 2);
    assert!(smaller.iter().all(|order| order.request.quantity == dec!(0.25)), "{smaller:?}");
    let pause = Directive::Pause { strategy: "quotes".into(), reason: "a test".into() };
    world.feed(Body::Directive(pause));
    for (order, id) in smaller.iter().zip(21..) {
        tell_order(&mut world, order, id, Reported::Cancelled, dec!(0));
    }
    world.feed(Body::Change(Box::new(change)));
    assert!(quotes(&world.pass(5_000)).is_empty(), "paused");
}

#[test]
fn what_rests_is_still_compared_with_the_venue() {
    let (mut world, _, _) = quoting();
    let asked = world.pass(15_000);
    let is_audit = |c: &Command| matches!(c, Command::AuditVenue { venue, .. } if venue == SPOT);
    assert!(asked.iter().filter(|c| is_audit(c)).count() >= 2, "every five seconds");
}

#[test]
fn a_process_that_ends_takes_its_quotes_back_and_places_no_more() {
    let (mut world, bid, ask) = quoting();
    let asked = world.feed(Body::Stopping);
    let takes_back =
        |command: &Command| matches!(command, Command::CancelAll { venue, .. } if venue == SPOT);
    assert!(asked.iter().any(takes_back), "{asked:?}");
    assert!(world.engine.has_resting_orders(), "until the venue says otherwise");
    assert_eq!(world.mode(), "paused");
    assert!(!world.engine.may_send());
    for (order, id) in [(&bid, 11), (&ask, 12)] {
        let asked = tell_order(&mut world, order, id, Reported::Cancelled, dec!(0));
        assert!(places(&asked).is_empty(), "{asked:?}");
    }
    assert!(!world.engine.has_resting_orders());
    assert!(places(&world.pass(10_000)).is_empty());
}

#[test]
fn a_cancel_without_an_answer_is_repeated_until_the_order_is_over() {
    let (mut world, bid, _) = quoting();
    world.quote(dec!(2650));
    let id = &bid.request.client_order_id;
    assert!(cancels(&world.pass(1_000)).contains(id), "the bid is far away now");
    for _ in 0..3 {
        assert!(cancels(&world.pass(1_000)).contains(id), "no answer, so it is asked again");
    }
    tell_order(&mut world, &bid, 11, Reported::Cancelled, dec!(0));
    assert!(!cancels(&world.pass(3_000)).contains(id));
}

#[test]
fn a_quote_that_comes_to_rest_after_the_end_was_told_is_taken_back() {
    for end in [Body::Stopping, Body::Directive(Directive::Halt { reason: "enough".into() })] {
        let mut world = house();
        let quoted = quotes(&world.pass(40_000));
        world.feed(end);
        for (order, id) in quoted.iter().zip(11..) {
            tell_order(&mut world, order, id, Reported::New, dec!(0));
        }
        let taken_back = cancels(&world.timer());
        for order in &quoted {
            assert!(taken_back.contains(&order.request.client_order_id), "{taken_back:?}");
        }
    }
}
