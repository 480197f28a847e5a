//! A pretend account's orders against a book that is told level by level.

use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, BookStep, Recovered, VenueStart};
use crate::engine::tests::stage::{HEDGE, SPOT, SYMBOL, only_quotes, rules};
use crate::execution::order::Order;
use crate::market::book::{BookUpdate, Level};
use crate::model::amount::exact_raw;
use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Reason, Unit, VENUE_DECIMALS};
use crate::model::venue::{AccountView, Fill, NewOrder, OrderReply, Reported};
use crate::sim::paper::{PaperVenue, Terms};

const NOW: Timestamp = Timestamp(1_000_000_000_000_000);
/// Three seconds later.
const LATER: Timestamp = Timestamp(1_000_003_000_000_000);

fn terms() -> Terms {
    Terms { maker_fee_bps: dec!(2), taker_fee_bps: dec!(5), leverage_max: dec!(2) }
}

fn account(venue: &str, recovered: &Recovered) -> PaperVenue {
    let setup = only_quotes();
    let of = setup.venues.iter().find(|v| v.name == venue).unwrap();
    let mut account = PaperVenue::new(&setup, of, &terms(), recovered, NOW);
    let mut start = VenueStart {
        venue: venue.into(),
        account: AccountView::default(),
        rules: vec![(SYMBOL.into(), rules())],
        newest_trade: Vec::new(),
        venue_time: Timestamp(0),
    };
    account.ready(&mut start, NOW);
    assert_eq!(start.venue_time, NOW);
    account.book(SYMBOL, &BookStep::Opened, NOW);
    account
}

fn levels(rows: &[(Decimal, Decimal)]) -> Vec<Level> {
    rows.iter().map(|(price, quantity)| Level { price: *price, quantity: *quantity }).collect()
}

type Rows<'a> = &'a [(Decimal, Decimal)];

fn whole(account: &mut PaperVenue, bids: Rows<'_>, asks: Rows<'_>) -> Vec<Body> {
    let (bids, asks) = (levels(bids), levels(asks));
    let update = BookUpdate::Snapshot { bids, asks, update_id: 1, venue_time: None };
    account.book(SYMBOL, &BookStep::Update(update), NOW)
}

fn diff(account: &mut PaperVenue, id: u64, bids: Rows<'_>, asks: Rows<'_>) -> Vec<Body> {
    let (bids, asks) = (levels(bids), levels(asks));
    let update = BookUpdate::Diff { bids, asks, update_id: id, venue_time: NOW };
    account.book(SYMBOL, &BookStep::Update(update), NOW)
}

fn order(id: &str, side: Side, price: Decimal, quantity: Decimal) -> NewOrder {
    NewOrder {
        venue: HEDGE.into(),
        symbol: SYMBOL.into(),
        client_order_id: id.into(),
        side,
        price,
        quantity,
        time_in_force: TimeInForce::Ioc,
        reduce_only: false,
        valid_until: NOW,
    }
}

fn quote(id: &str, side: Side, price: Decimal, quantity: Decimal) -> NewOrder {
    NewOrder { time_in_force: TimeInForce::PostOnly, ..order(id, side, price, quantity) }
}

/// Trades told, and the last word on the order: its state and what is filled, or the refusal.
fn told(facts: Vec<Body>) -> (Vec<Fill>, Result<(Reported, Decimal), i64>) {
    let (mut trades, mut word) = (Vec::new(), Err(0));
    for fact in facts {
        match fact {
            Body::Fills { fills, .. } => trades.extend(fills),
            Body::OrderReport { report, .. }
            | Body::OrderReply { reply: OrderReply::Known(report), .. } => {
                word = Ok((report.state, report.filled));
            }
            Body::OrderReply { reply: OrderReply::Refused { code, .. }, .. } => word = Err(code),
            other => panic!("{other:?}"),
        }
    }
    (trades, word)
}

fn view(account: &PaperVenue) -> AccountView {
    match account.audit(1).pop() {
        Some(Body::VenueAudit { account, .. }) => account,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_takes_walks_the_book_and_never_beyond_it() {
    let mut account = account(HEDGE, &Recovered::default());
    whole(
        &mut account,
        &[(dec!(100), dec!(1)), (dec!(99), dec!(2)), (dec!(98), dec!(9))],
        &[(dec!(101), dec!(1))],
    );
    let (fills, word) = told(account.place(&order("a", Side::Sell, dec!(99), dec!(5)), NOW));
    let trades: Vec<_> = fills.iter().map(|f| (f.price, f.quantity, f.fee)).collect();
    assert_eq!(trades, [(dec!(100), dec!(1), dec!(0.05)), (dec!(99), dec!(2), dec!(0.099))]);
    assert_eq!(word, Ok((Reported::Expired, dec!(3))));
    let held = view(&account);
    assert_eq!(held.positions, [(SYMBOL.to_owned(), dec!(-3))]);
    assert_eq!(held.balances, [("USDT".to_owned(), dec!(999999.851))]);
    // What was taken is gone until the level is spoken of again.
    let (fills, word) = told(account.place(&order("b", Side::Sell, dec!(99), dec!(5)), NOW));
    assert_eq!((fills.len(), word), (0, Ok((Reported::Expired, dec!(0)))));
    diff(&mut account, 2, &[(dec!(99), dec!(1))], &[]);
    let (fills, _) = told(account.place(&order("c", Side::Sell, dec!(99), dec!(5)), NOW));
    assert_eq!(fills.iter().map(|f| f.quantity).sum::<Decimal>(), dec!(1));
    let listed = account.list(SYMBOL, fills[0].trade_id - 1, Timestamp(0));
    let [Body::Fills { fills: listed, .. }] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(*listed, fills);
}

#[test]
fn a_lost_book_and_a_late_order_trade_nothing() {
    let mut account = account(HEDGE, &Recovered::default());
    let sell = order("a", Side::Sell, dec!(99), dec!(1));
    let (fills, word) = told(account.place(&sell, NOW));
    assert_eq!((fills.len(), word), (0, Ok((Reported::Expired, dec!(0)))));
    whole(&mut account, &[(dec!(100), dec!(1))], &[(dec!(101), dec!(1))]);
    assert_eq!(told(account.place(&sell, NOW.plus_ms(1))).1, Err(0));
    account.book(SYMBOL, &BookStep::Closed, NOW);
    assert_eq!(told(account.place(&sell, NOW)).0.len(), 0);
    let quote = quote("q", Side::Sell, dec!(120), dec!(1));
    assert_eq!(told(account.place(&quote, NOW)).1, Err(0), "it might take");
}

#[test]
fn what_rests_trades_only_when_the_book_trades_through_it() {
    let mut account = account(HEDGE, &Recovered::default());
    whole(&mut account, &[(dec!(100), dec!(1))], &[(dec!(102), dec!(1))]);
    let greedy = quote("x", Side::Buy, dec!(102), dec!(1));
    assert_eq!(told(account.place(&greedy, NOW)).1, Err(-2_010));
    let bid = quote("q", Side::Buy, dec!(101), dec!(3));
    assert_eq!(told(account.place(&bid, NOW)).1, Ok((Reported::New, dec!(0))));
    assert!(diff(&mut account, 2, &[], &[(dec!(101), dec!(9))]).is_empty(), "a touch is no trade");
    let through = [(dec!(101), dec!(0)), (dec!(100.5), dec!(2))];
    let (fills, word) = told(diff(&mut account, 3, &[], &through));
    assert_eq!(word, Ok((Reported::Partial, dec!(2))));
    let trades: Vec<_> = fills.iter().map(|f| (f.price, f.quantity, f.fee)).collect();
    assert_eq!(trades, [(dec!(101), dec!(2), dec!(0.0404))], "at our price and the maker's fee");
    assert!(diff(&mut account, 4, &[(dec!(99), dec!(1))], &[]).is_empty(), "nobody new came");
    assert_eq!(told(account.query("q", NOW)).1, Ok((Reported::Partial, dec!(2))));
    assert_eq!(told(account.cancel("q")).1, Ok((Reported::Cancelled, dec!(2))));
    assert!(account.cancel("q").is_empty());
    assert_eq!(told(account.query("q", NOW)).1, Ok((Reported::Cancelled, dec!(2))));
    assert!(matches!(account.query("never", NOW)[..], [Body::OrderMissed { .. }]));
}

#[test]
fn money_and_positions_bound_what_is_accepted() {
    let mut perpetual = account(HEDGE, &Recovered::default());
    whole(&mut perpetual, &[(dec!(100), dec!(90000))], &[(dec!(101), dec!(90000))]);
    let most = order("a", Side::Sell, dec!(100), dec!(20000));
    let more = order("b", Side::Sell, dec!(100), dec!(20000.001));
    assert_eq!(told(perpetual.place(&more, NOW)).1, Err(-2_019), "twice its margin of a million");
    assert_eq!(told(perpetual.place(&most, NOW)).1, Ok((Reported::Filled, dec!(20000))));
    let idle = NewOrder { reduce_only: true, ..order("c", Side::Sell, dec!(100), dec!(1)) };
    assert_eq!(told(perpetual.place(&idle, NOW)).1, Err(-2_022));
    let back = NewOrder { reduce_only: true, ..order("d", Side::Buy, dec!(101), dec!(30000)) };
    assert_eq!(told(perpetual.place(&back, NOW)).0[0].quantity, dec!(20000));
    assert!(view(&perpetual).positions.is_empty());

    let mut spot = account(SPOT, &Recovered::default());
    whole(&mut spot, &[(dec!(100), dec!(5))], &[(dec!(101), dec!(5))]);
    let (base, cash) = (dec!(10), dec!(100000));
    let opening = vec![("ETH".to_owned(), base), ("USDT".to_owned(), cash)];
    assert_eq!(view(&spot).balances, opening, "target inventory and budget of its maker");
    let ask = quote("q", Side::Sell, dec!(110), dec!(8));
    assert_eq!(told(spot.place(&ask, NOW)).1, Ok((Reported::New, dec!(0))));
    let beyond = quote("r", Side::Sell, dec!(111), dec!(3));
    assert_eq!(told(spot.place(&beyond, NOW)).1, Err(-2_010), "eight are promised");
    assert_eq!(told(spot.cancel_all(SYMBOL)).1, Ok((Reported::Cancelled, dec!(0))));
    let (fills, _) = told(spot.place(&order("b", Side::Buy, dec!(101), dec!(2)), NOW));
    assert_eq!((fills[0].fee, fills[0].fee_asset.as_str()), (dec!(0.001), "ETH"));
    let after = vec![("ETH".to_owned(), dec!(11.999)), ("USDT".to_owned(), dec!(99798))];
    assert_eq!(view(&spot).balances, after);
    let crooked = order("e", Side::Buy, dec!(101.001), dec!(2));
    assert_eq!(told(spot.place(&crooked, NOW)).1, Err(-1_013));
}

#[test]
fn reduce_only_is_a_word_of_perpetuals_alone() {
    let reducing = |id: &str, side: Side, quantity: Decimal| {
        let price = if side == Side::Buy { dec!(101) } else { dec!(100) };
        NewOrder { reduce_only: true, ..order(id, side, price, quantity) }
    };
    let mut spot = account(SPOT, &Recovered::default());
    whole(&mut spot, &[(dec!(100), dec!(50))], &[(dec!(101), dec!(50))]);
    let (fills, word) = told(spot.place(&reducing("a", Side::Sell, dec!(4)), NOW));
    assert_eq!((fills.len(), word), (1, Ok((Reported::Filled, dec!(4)))), "a leg is one");
    let back = told(spot.place(&reducing("b", Side::Buy, dec!(4)), NOW));
    assert_eq!(back.1, Ok((Reported::Filled, dec!(4))));
    // Neither money nor the least size is forgiven there.
    let beyond = told(spot.place(&reducing("c", Side::Sell, dec!(40)), NOW));
    assert_eq!(beyond.1, Err(-2_010));
    let small = reducing("d", Side::Sell, dec!(0.1));
    assert_eq!(told(spot.place(&small, NOW)).1, Err(-1_013));
    let mut perpetual = account(HEDGE, &Recovered::default());
    whole(&mut perpetual, &[(dec!(100), dec!(50))], &[(dec!(101), dec!(50))]);
    assert_eq!(told(perpetual.place(&small, NOW)).1, Err(-2_022), "there is nothing to reduce");
}

/// What a ledger holds after a short of two at 100 and one of it bought back at 90.
fn remembered() -> Recovered {
    let mut recovered = Recovered::default();
    let place = Account::Venue { venue: HEDGE.into() };
    let usdt = Unit::Asset { venue: HEDGE.into(), asset: "USDT".into() };
    let contracts = Unit::Perp { venue: HEDGE.into(), symbol: SYMBOL.into() };
    let raw = |value| exact_raw(value, VENUE_DECIMALS).unwrap();
    let balances = &mut recovered.ledger.balances;
    balances.insert((place.clone(), usdt.clone()), raw(dec!(1009)));
    balances.insert((place, contracts), raw(dec!(-1)));
    balances.insert((Account::Reason(Reason::RealizedPnl), usdt), raw(dec!(-10)));
    recovered.trades = vec![(HEDGE.into(), SYMBOL.into(), LATER, dec!(110))];
    recovered
}

#[test]
fn an_account_goes_on_where_the_ledger_left_it() {
    let mut account = account(HEDGE, &remembered());
    let held = view(&account);
    assert_eq!(held.balances, [("USDT".to_owned(), dec!(1009))]);
    assert_eq!(held.positions, [(SYMBOL.to_owned(), dec!(-1))]);
    whole(&mut account, &[(dec!(94), dec!(5))], &[(dec!(95), dec!(5))]);
    let buy = NewOrder { reduce_only: true, ..order("a", Side::Buy, dec!(95), dec!(1)) };
    let (fills, _) = told(account.place(&buy, NOW));
    assert_eq!(fills[0].realized_pnl, dec!(5), "sold at 100, bought at 95");
    assert!(fills[0].trade_id > 1_000_003_000_000, "no number is given twice");
    assert!(matches!(account.query("before", NOW)[..], [Body::OrderMissed { .. }]));
}

#[test]
fn an_order_killed_between_its_trades_and_its_report_ended_with_them() {
    let mut before = account(HEDGE, &Recovered::default());
    whole(&mut before, &[(dec!(100), dec!(1))], &[(dec!(101), dec!(9))]);
    let late = |order: NewOrder, ms| NewOrder { valid_until: NOW.plus_ms(ms), ..order };
    let sent = [
        late(order("part", Side::Sell, dec!(100), dec!(3)), 1),
        late(order("whole", Side::Buy, dec!(101), dec!(2)), 2),
        late(order("none", Side::Sell, dec!(100), dec!(3)), 2),
        late(quote("rests", Side::Buy, dec!(100), dec!(1)), 3),
    ];
    let mut recovered = remembered();
    for request in sent {
        for fill in told(before.place(&request, NOW)).0 {
            recovered.booked.push((HEDGE.into(), fill.venue_order_id, fill.quantity));
        }
        recovered.orders.push(Order::new(request, NOW, String::new()));
    }
    let after = account(HEDGE, &recovered);
    let word = |id: &str| told(after.query(id, NOW)).1;
    assert_eq!(word("part"), Ok((Reported::Expired, dec!(1))));
    assert_eq!(word("whole"), Ok((Reported::Filled, dec!(2))));
    for id in ["none", "rests"] {
        assert!(matches!(after.query(id, NOW)[..], [Body::OrderMissed { .. }]), "{id}");
    }
}
