//! Trades on our accounts that no order of ours made: told apart, booked once, neither profit nor
//! loss; and a liquidation, which is a loss.

use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, FillSource};
use crate::engine::output::Command;
use crate::engine::tests::asked::{only, places};
use crate::engine::tests::stage::{HEDGE, SPOT, SYMBOL, only_hedge, only_liquidity};
use crate::engine::tests::venues::report;
use crate::engine::tests::world::World;
use crate::ledger::entry::{Entry, Kind};
use crate::model::order::Side;
use crate::model::unit::{Account, Reason};
use crate::model::venue::{Fill, OrderReply, Reported};

/// The venue's id of the first hedge, and of an order made by hand.
const OURS: u64 = 700;
const THEIRS: u64 = 900;
/// A client id as the venue's own page gives it.
const PERSON: &str = "web_Qx81";

/// The wallet's 12 ETH are hedged, and every comparison agrees.
fn hedged() -> World {
    let (mut world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let fill = world.trade(&order, 1, OURS, dec!(12));
    world.report(&order, OURS, Reported::Filled, dec!(12));
    world.tell(&fill, FillSource::Stream);
    world.pass(6_000);
    assert_eq!(world.mode(), "running");
    world
}

/// Contracts traded by hand, as the venue's list tells it; the account moves.
fn by_hand(world: &mut World, trade_id: u64, side: Side, base: Decimal, price: Decimal) -> Fill {
    let fee = dec!(1.25);
    let account = world.accounts.get_mut(HEDGE).expect("a venue of the setup");
    account.balances[0].1 -= fee;
    account.positions[0].1 += if side == Side::Buy { base } else { -base };
    Fill {
        trade_id,
        client_order_id: None,
        is_forced: false,
        venue_order_id: THEIRS,
        side,
        price,
        quantity: base,
        fee,
        fee_asset: "USDT".into(),
        realized_pnl: dec!(0),
        margin_asset: "USDT".into(),
        venue_time: world.now,
    }
}

/// The same, as the stream tells it.
fn streamed(fill: &Fill) -> Fill {
    Fill { client_order_id: Some(PERSON.into()), ..fill.clone() }
}

/// The venue names an order.
fn named(world: &mut World, venue_order_id: u64, client_order_id: &str) -> Vec<Command> {
    world.feed(Body::OrderOwner {
        venue: HEDGE.into(),
        symbol: SYMBOL.into(),
        venue_order_id,
        client_order_id: client_order_id.into(),
        is_forced: false,
    })
}

/// Orders whose owner is asked for.
fn owners(asked: &[Command]) -> Vec<u64> {
    let of = |command: &Command| match command {
        Command::QueryOwner { venue_order_id, .. } => Some(*venue_order_id),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// From which trade on the perpetual's are asked for.
fn asked_after(asked: &[Command]) -> Option<u64> {
    let of = |command: &Command| match command {
        Command::QueryFills { venue, after_trade, .. } if venue == HEDGE => Some(*after_trade),
        _ => None,
    };
    asked.iter().find_map(of)
}

fn contracts(world: &World) -> Option<Decimal> {
    world.engine.contracts(HEDGE, SYMBOL)
}

fn has(entry: &Entry, reason: Reason) -> bool {
    entry.postings.iter().any(|posting| posting.account == Account::Reason(reason))
}

fn newest(world: &World) -> &Entry {
    world.kept.of(Kind::Fill).pop().expect("a trade was booked")
}

/// Every part of the profit, by name.
fn parts(world: &World) -> Vec<(&'static str, Option<String>)> {
    let parts = world.engine.snapshot(world.now).pnl.parts;
    parts.into_iter().map(|part| (part.name, part.value)).collect()
}

#[test]
fn contracts_traded_by_hand_are_no_profit_and_are_hedged() {
    for (side, price) in [(Side::Buy, dec!(2700)), (Side::Sell, dec!(2650))] {
        let mut world = hedged();
        let (total, before) = (world.profit(), parts(&world));
        let fill = by_hand(&mut world, 2, side, dec!(3), price);
        let next = only(places(&world.tell(&streamed(&fill), FillSource::Stream)));
        assert_eq!((next.request.side, next.request.quantity), (side.opposite(), dec!(3.000)));
        assert_eq!((world.profit(), parts(&world)), (total, before), "{side}");
        let entry = newest(&world);
        assert!(has(entry, Reason::Manual) && !has(entry, Reason::VenueFees), "{entry:?}");
        assert!(world.kept.has_note("manual_trade", PERSON));
        let fill = world.trade(&next, 3, OURS + 1, dec!(3));
        world.tell(&fill, FillSource::Stream);
        world.report(&next, OURS + 1, Reported::Filled, dec!(3));
        world.pass(6_000);
        assert_eq!((world.mode(), contracts(&world)), ("running", Some(dec!(-12))));
    }
}

#[test]
fn what_a_close_by_hand_settles_is_profit_of_before() {
    let mut world = hedged();
    world.quote(dec!(2600));
    let (total, before) = (world.profit(), parts(&world));
    let mut fill = by_hand(&mut world, 2, Side::Buy, dec!(1), dec!(2599));
    fill.realized_pnl = dec!(84);
    world.accounts.get_mut(HEDGE).expect("a venue").balances[0].1 += dec!(84);
    world.tell(&streamed(&fill), FillSource::Stream);
    assert_eq!((world.profit(), parts(&world)), (total, before));
    assert!(has(newest(&world), Reason::RealizedPnl));
}

#[test]
fn contracts_taken_over_earn_and_lose_from_then_on() {
    let mut world = hedged();
    let hedge = |world: &World| -> Decimal {
        let value = parts(world).into_iter().find(|(name, _)| *name == "hedge");
        value.and_then(|(_, value)| value).expect("known").parse().expect("a decimal")
    };
    world.quote(dec!(2700));
    let fill = by_hand(&mut world, 2, Side::Buy, dec!(12), dec!(2710));
    world.tell(&streamed(&fill), FillSource::Stream);
    let flat = hedge(&world);
    world.quote(dec!(2800));
    assert_eq!(hedge(&world), flat, "nothing is short any more");
}

#[test]
fn coins_bought_by_hand_on_spot_are_no_profit() {
    let (mut world, _) = World::open(only_liquidity());
    let account = world.accounts.get_mut(SPOT).expect("a venue of the setup");
    account.balances[0].1 -= dec!(800);
    account.balances.push(("ETH".into(), dec!(0.2997)));
    let fill = Fill {
        trade_id: 5,
        client_order_id: Some(PERSON.into()),
        is_forced: false,
        venue_order_id: 6,
        side: Side::Buy,
        price: dec!(2000),
        quantity: dec!(0.4),
        fee: dec!(0.1003),
        fee_asset: "ETH".into(),
        realized_pnl: dec!(0),
        margin_asset: "USDT".into(),
        venue_time: world.now,
    };
    let tell = |world: &mut World, fill: &Fill, source| {
        let (venue, symbol) = (SPOT.to_owned(), SYMBOL.to_owned());
        world.feed(Body::Fills { venue, symbol, fills: vec![fill.clone()], source })
    };
    tell(&mut world, &fill, FillSource::Stream);
    tell(&mut world, &Fill { client_order_id: None, ..fill.clone() }, FillSource::List);
    assert_eq!(world.profit().as_deref(), Some("0"));
    let entry = newest(&world);
    let reasons = [Reason::Spot, Reason::VenueFees].map(|reason| has(entry, reason));
    assert_eq!((has(entry, Reason::Manual), reasons), (true, [false, false]));
    assert_eq!(world.kept.of(Kind::Fill).len(), 1, "told twice, booked once");
    world.pass(10_000);
    assert_eq!(world.mode(), "running");
    world.die();
    world.connect();
    world.pass(10_000);
    assert_eq!((world.mode(), world.profit().as_deref()), ("running", Some("0")));
}

#[test]
fn a_listed_trade_of_an_unknown_order_waits_until_the_venue_names_it() {
    for is_ours in [true, false] {
        let (mut world, asked) = World::open(only_hedge());
        let order = only(places(&asked));
        world.reply(&order, OrderReply::Unknown { why: "timeout".into() });
        let mut fill = world.trade(&order, 1, OURS, dec!(5));
        fill.client_order_id = None;
        world.tell(&fill, FillSource::List);
        assert_eq!((contracts(&world), world.engine.is_quiet()), (Some(dec!(0)), false));
        let asked = world.pass(3_000);
        assert_eq!((owners(&asked), places(&asked).len()), (vec![OURS; 3], 0));
        let name = if is_ours { order.request.client_order_id.as_str() } else { PERSON };
        named(&mut world, OURS, name);
        assert_eq!(contracts(&world), Some(dec!(-5)));
        let entry = newest(&world);
        let reasons = [Reason::VenueFees, Reason::Manual].map(|reason| has(entry, reason));
        assert_eq!(reasons, [is_ours, !is_ours]);
        assert_eq!(world.kept.has_note("manual_trade", "hedge"), !is_ours);
        assert!(owners(&world.pass(2_000)).is_empty(), "it is known now");
    }
}

#[test]
fn an_order_s_own_report_names_it_as_well() {
    let (mut world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    world.reply(&order, OrderReply::Unknown { why: "timeout".into() });
    let mut fill = world.trade(&order, 1, OURS, dec!(12));
    fill.client_order_id = None;
    world.tell(&fill, FillSource::List);
    let known = report(&order, OURS, Reported::Filled, dec!(12));
    world.reply(&order, OrderReply::Known(known));
    world.timer();
    assert_eq!(contracts(&world), Some(dec!(-12)));
    assert!(has(newest(&world), Reason::VenueFees));
}

#[test]
fn the_list_is_asked_for_again_from_before_a_held_trade_also_after_a_restart() {
    let mut world = hedged();
    let theirs = by_hand(&mut world, 2, Side::Buy, dec!(1), dec!(2683));
    world.tell(&theirs, FillSource::List);
    assert_eq!(asked_after(&world.venue_ready(HEDGE)), Some(0), "never past a held trade");
    world.die();
    assert_eq!(asked_after(&world.connect()), Some(0));
    assert_eq!(contracts(&world), Some(dec!(-12)));
    world.tell(&theirs, FillSource::List);
    assert_eq!(owners(&world.pass(1_000)), [THEIRS]);
    assert_eq!(asked_after(&named(&mut world, THEIRS, PERSON)), Some(0), "now it is believed");
    world.tell(&theirs, FillSource::List);
    assert_eq!(asked_after(&world.venue_ready(HEDGE)), Some(2));
    world.pass(8_000);
    assert_eq!((world.mode(), contracts(&world)), ("running", Some(dec!(-11))));
    assert_eq!(world.kept.of(Kind::Fill).len(), 2);
}

#[test]
fn a_trade_of_an_order_that_an_earlier_run_left_is_ours() {
    let (mut world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let mut fill = world.trade(&order, 1, OURS, dec!(12));
    fill.client_order_id = None;
    world.report(&order, OURS, Reported::Filled, dec!(12));
    world.die();
    world.connect();
    world.tell(&fill, FillSource::List);
    named(&mut world, OURS, &order.request.client_order_id);
    assert!(has(newest(&world), Reason::VenueFees));
    assert!(!world.kept.has_note("manual_trade", ""));
}

#[test]
fn a_trade_by_hand_without_a_price_waits_for_one() {
    let mut world = hedged();
    let before = world.profit();
    world.lose_books();
    let fill = by_hand(&mut world, 2, Side::Buy, dec!(1), dec!(2900));
    world.tell(&streamed(&fill), FillSource::Stream);
    assert_eq!(contracts(&world), Some(dec!(-12)));
    world.regain_books();
    world.timer();
    assert_eq!((contracts(&world), world.profit()), (Some(dec!(-11)), before));
}

#[test]
fn a_liquidation_is_a_loss_of_ours() {
    let mut world = hedged();
    let before = world.profit();
    let mut fill = by_hand(&mut world, 2, Side::Buy, dec!(1), dec!(2900));
    fill.client_order_id = Some("autoclose-1".into());
    fill.is_forced = true;
    world.tell(&fill, FillSource::Stream);
    assert_ne!(world.profit(), before);
    assert!(has(newest(&world), Reason::VenueFees) && !has(newest(&world), Reason::Manual));
    assert!(world.kept.has_note("forced_trade", "autoclose-1"));
}

#[test]
fn more_trades_than_can_be_held_are_told_again_by_the_list() {
    let mut world = hedged();
    let mut fills = Vec::new();
    for trade_id in 2..1_007 {
        fills.push(by_hand(&mut world, trade_id, Side::Buy, dec!(0.001), dec!(2683)));
    }
    let listed = || Body::Fills {
        venue: HEDGE.into(),
        symbol: SYMBOL.into(),
        fills: fills.clone(),
        source: FillSource::List,
    };
    for _ in 0..2 {
        world.feed(listed());
        named(&mut world, THEIRS, PERSON);
    }
    assert_eq!(world.kept.of(Kind::Fill).len(), 1 + 1_005);
    world.pass(8_000);
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_trade_in_a_market_of_no_file_is_not_booked_as_ours() {
    let mut world = hedged();
    let fill = streamed(&by_hand(&mut world, 2, Side::Buy, dec!(1), dec!(60000)));
    let (venue, symbol) = (HEDGE.to_owned(), "BTCUSDT".to_owned());
    world.feed(Body::Fills { venue, symbol, fills: vec![fill], source: FillSource::Stream });
    assert_eq!(world.kept.of(Kind::Fill).len(), 1);
    assert!(world.kept.has_note("trade_not_booked", "BTCUSDT"));
    world.pass(10_000);
    assert_eq!(world.mode(), "reduce_only", "the comparison names what it moved");
}
