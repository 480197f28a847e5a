//! The exchange seen through its door: small tapes, real orders, exact balances.

use std::sync::Arc;

use crate::model::order::Side;
use crate::sim::fixed::ONE;
use crate::sim::market::{FirstIds, Market, Public};
use crate::sim::order::{Kind, Lifetime, Refusal, Request, Size, Status};
use crate::sim::perp::{IncomeKind, PerpClearing, PerpDesk, PerpEvent};
use crate::sim::rules::Rules;
use crate::sim::spot::{Asset, SpotClearing, SpotDesk};
use crate::sim::tape::Tape;

const FIRST: FirstIds = FirstIds { update: 1_000, order: 1, trade: 1 };
const QUIET: &str = "A b 2680 10\nA b 2679 10\nA a 2681 10\nA a 2682 10\nD 100000 b 2680 10\n";

fn spot(tape: &str) -> SpotDesk {
    let market = Market::new(Rules::spot(), Arc::new(Tape::parse(tape).unwrap()), FIRST);
    SpotDesk { market, clearing: SpotClearing::new(Rules::spot(), 2, 100 * ONE, 300_000 * ONE, 0) }
}

fn perp(tape: &str) -> PerpDesk {
    let market = Market::new(Rules::perp(), Arc::new(Tape::parse(tape).unwrap()), FIRST);
    let mut clearing = PerpClearing::new(Rules::perp(), 2, 200_000 * ONE, 20, 0);
    clearing.set_mark(market.mid());
    PerpDesk { market, clearing }
}

fn limit(side: Side, price: i64, quantity: i64) -> Request {
    Request {
        account: 0,
        client_id: None,
        side,
        kind: Kind::Limit,
        lifetime: Lifetime::Gtc,
        price,
        size: Size::Base(quantity),
        reduce_only: false,
    }
}

fn market(side: Side, quantity: i64) -> Request {
    Request { kind: Kind::Market, ..limit(side, 0, quantity) }
}

fn status(desk: &SpotDesk, id: u64) -> (Status, i64) {
    let order = desk.market.order(id).unwrap();
    (order.status, order.executed)
}

#[test]
fn a_resting_order_waits_for_the_ghost_ahead_and_then_fills_in_parts() {
    let mut desk = spot("A b 2680 10\nA a 2681 10\nT 1 b 2680 8\nT 2 b 2680 3\nT 3 b 2680 5\n");
    let id = desk.place(limit(Side::Buy, 2680 * ONE, 4 * ONE), 0).unwrap();
    desk.advance(1, 1);
    assert_eq!(status(&desk, id), (Status::New, 0));
    desk.advance(1, 2);
    assert_eq!(status(&desk, id), (Status::PartiallyFilled, ONE));
    desk.advance(1, 3);
    assert_eq!(status(&desk, id), (Status::Filled, 4 * ONE));
    let volume: i64 = desk.market.trades().iter().map(|trade| trade.quantity).sum();
    assert_eq!(volume, 16 * ONE, "the public sees the recorded volume");
}

#[test]
fn a_trade_through_fills_ours_at_our_price() {
    let mut desk = spot("A b 2680 10\nA a 2685 10\nT 1 a 2684 3\nD 2 a 2685 1\n");
    let id = desk.place(limit(Side::Sell, 2683 * ONE, 2 * ONE), 0).unwrap();
    desk.advance(1, 1);
    let order = desk.market.order(id).unwrap();
    assert_eq!((order.status, order.average_price()), (Status::Filled, i128::from(2683 * ONE)));
}

#[test]
fn a_recorded_level_that_crosses_ours_fills_it_at_our_price_and_is_used_up() {
    let mut desk = spot("A b 2680 10\nA a 2685 10\nD 1 b 2683.5 3\nD 9 a 2690 1\n");
    let id = desk.place(limit(Side::Sell, 2683 * ONE, 2 * ONE), 0).unwrap();
    desk.advance(1, 1);
    assert_eq!(desk.market.order(id).unwrap().average_price(), i128::from(2683 * ONE));
    assert_eq!(desk.market.book().best(Side::Buy), Some((2_683 * ONE + ONE / 2, ONE)));
}

#[test]
fn what_we_take_stays_taken_until_the_level_is_spoken_of() {
    let mut desk = spot("A b 2680 10\nA a 2681 4\nA a 2682 4\nD 5 a 2682 4\nD 9 a 2681 4\n");
    desk.place(market(Side::Buy, 4 * ONE), 0).unwrap();
    desk.advance(5, 5);
    assert_eq!(desk.market.book().best(Side::Sell), Some((2682 * ONE, 4 * ONE)));
    desk.advance(4, 9);
    assert_eq!(desk.market.book().best(Side::Sell), Some((2681 * ONE, 4 * ONE)));
}

#[test]
fn lifetimes_do_what_they_say() {
    let mut desk = spot(QUIET);
    let maker = Request { kind: Kind::LimitMaker, ..limit(Side::Buy, 2681 * ONE, ONE) };
    assert_eq!(desk.place(maker, 0), Err(Refusal::WouldTake));
    let gtx = Request { lifetime: Lifetime::Gtx, ..limit(Side::Sell, 2680 * ONE, ONE) };
    assert_eq!(desk.place(gtx, 0), Err(Refusal::WouldTake));
    let fok = Request { lifetime: Lifetime::Fok, ..limit(Side::Buy, 2681 * ONE, 11 * ONE) };
    let id = desk.place(fok, 0).unwrap();
    assert_eq!(status(&desk, id), (Status::Expired, 0));
    let ioc = Request { lifetime: Lifetime::Ioc, ..limit(Side::Buy, 2681 * ONE, 11 * ONE) };
    let id = desk.place(ioc, 0).unwrap();
    assert_eq!(status(&desk, id), (Status::Expired, 10 * ONE));
    let id = desk.place(limit(Side::Buy, 2682 * ONE, 11 * ONE), 0).unwrap();
    assert_eq!(status(&desk, id), (Status::PartiallyFilled, 10 * ONE));
    assert_eq!(desk.market.book().best(Side::Buy), Some((2682 * ONE, ONE)));
}

#[test]
fn a_market_order_by_quote_never_spends_more() {
    let mut desk = spot(QUIET);
    let request = Request { size: Size::Quote(30_000 * ONE), ..market(Side::Buy, 0) };
    let id = desk.place(request, 0).unwrap();
    let order = desk.market.order(id).unwrap();
    assert_eq!(order.status, Status::Filled);
    let left = i128::from(30_000 * ONE) - order.executed_quote;
    assert!((0..i128::from(2682 * ONE / 10_000)).contains(&left), "{left}");
}

#[test]
fn refusals_change_nothing() {
    let mut desk = spot(QUIET);
    let named = |price| Request { client_id: Some("a".into()), ..limit(Side::Buy, price, ONE) };
    desk.place(named(2600 * ONE), 0).unwrap();
    let before = desk.clearing.account(0);
    for (request, refusal) in [
        (named(2601 * ONE), Refusal::Duplicate),
        (limit(Side::Buy, 2600 * ONE + 1, ONE), Refusal::Price),
        (limit(Side::Buy, 2600 * ONE, ONE + 1), Refusal::QuantityStep),
        (limit(Side::Buy, 2600 * ONE, 1), Refusal::QuantityMin),
        (limit(Side::Buy, 2600 * ONE, 9_001 * ONE), Refusal::QuantityMax),
        (limit(Side::Buy, 2600 * ONE, ONE / 1_000), Refusal::Notional),
        (limit(Side::Buy, 2600 * ONE, 200 * ONE), Refusal::Funds),
        (limit(Side::Sell, 2690 * ONE, 101 * ONE), Refusal::Funds),
    ] {
        assert_eq!(desk.place(request, 0), Err(refusal));
    }
    assert_eq!(desk.clearing.account(0), before);
    assert_eq!(desk.market.open_orders(0).count(), 1);
}

#[test]
fn a_tape_that_begins_again_says_so_by_ordinary_steps() {
    let mut desk = spot("A b 2680 10\nA a 2681 10\nD 5 b 2680 0 b 2679 1\n");
    desk.market.drain_public();
    desk.advance(6, 6);
    let ids: Vec<u64> = desk
        .market
        .drain_public()
        .into_iter()
        .filter_map(|public| match public {
            Public::Batch(batch) => Some(batch.update_id),
            Public::Trade(_) => None,
        })
        .collect();
    let first = desk.market.book().update_id() - 1;
    assert_eq!(ids, vec![first, first + 1]);
    assert_eq!(desk.market.loops(), 1);
    assert_eq!(desk.market.book().best(Side::Buy), Some((2680 * ONE, 10 * ONE)));
}

/// A small generator with a fixed seed: storms can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % n).unwrap()
    }

    fn request(&mut self, lot: i64) -> Request {
        let side = if self.below(2) == 0 { Side::Buy } else { Side::Sell };
        let lifetimes = [Lifetime::Gtc, Lifetime::Gtc, Lifetime::Ioc, Lifetime::Fok, Lifetime::Gtx];
        let price = 2_675 * ONE + self.below(1_200) * ONE / 100;
        let kind = if self.below(5) == 0 { Kind::Market } else { Kind::Limit };
        Request {
            account: usize::try_from(self.below(2)).unwrap(),
            kind,
            lifetime: lifetimes[usize::try_from(self.below(5)).unwrap()],
            reduce_only: self.below(4) == 0,
            ..limit(
                side,
                if kind == Kind::Market { 0 } else { price },
                (1 + self.below(30_000)) * lot,
            )
        }
    }
}

fn stormy_tape(dice: &mut Dice) -> String {
    let mut text = String::from("A b 2680 10\nA b 2679 10\nA a 2681 10\nA a 2682 10\n");
    for ms in 1..4_000 {
        let (price, size) = (2_676 + dice.below(10), dice.below(20));
        let side = if price > 2_680 { 'a' } else { 'b' };
        let line = if ms % 3 == 0 {
            format!("T {ms} {side} {price} 0.5")
        } else {
            format!("D {ms} {side} {price} {size}.25")
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn spot_balances_are_exact_after_a_storm() {
    let mut dice = Dice(7);
    let mut desk = spot(&stormy_tape(&mut dice));
    for now in 1..6_000 {
        desk.advance(1, now);
        let request = Request { reduce_only: false, ..dice.request(ONE / 10_000) };
        let account = request.account;
        let _ = desk.place(request, now);
        if dice.below(20) == 0 {
            desk.cancel_all(account, now);
        }
        let (bid, ask) =
            (desk.market.book().best(Side::Buy), desk.market.book().best_order(Side::Sell));
        if let (Some(bid), Some(ask)) = (bid, ask) {
            assert!(bid.0 < ask.price, "our ask is crossed");
        }
    }
    for account in 0..2 {
        let mut want = [i128::from(100 * ONE), i128::from(300_000 * ONE)];
        for trade in desk.clearing.trades(account) {
            let sign = if trade.side == Side::Buy { 1 } else { -1 };
            want[0] += sign * i128::from(trade.fill.quantity);
            want[1] -= sign * trade.fill.quote;
            want[if trade.fee_asset == Asset::Eth { 0 } else { 1 }] -= trade.fee;
        }
        desk.cancel_all(account, 6_000);
        let have = desk.clearing.account(account);
        assert_eq!([have.eth.free, have.usdt.free], want);
        assert_eq!([have.eth.locked, have.usdt.locked], [0, 0]);
        assert!(desk.clearing.trades(account).count() > 100, "the storm must trade");
    }
}

#[test]
fn perp_wallets_are_the_sum_of_their_income_after_a_storm() {
    let mut dice = Dice(11);
    let mut desk = perp(&stormy_tape(&mut dice));
    for now in 1..6_000 {
        desk.advance(1, now);
        desk.clearing.set_mark(desk.market.mid());
        let request = dice.request(ONE / 1_000);
        let (account, is_reducing) = (request.account, request.reduce_only);
        let before = desk.clearing.account(account).unwrap().position.quantity.abs();
        if desk.place(request, now).is_ok() && is_reducing {
            assert!(desk.clearing.account(account).unwrap().position.quantity.abs() <= before);
        }
        if now % 50 == 0 {
            desk.clearing.fund(100, now);
            desk.cancel_all(account, now);
        }
    }
    for account in 0..2 {
        let income: i128 = desk.clearing.income(account).map(|income| income.amount).sum();
        let after = *desk.clearing.account(account).unwrap();
        assert_eq!(after.wallet, i128::from(200_000 * ONE) + income);
        // Cash view: profit realised is what was sold minus what was bought plus the cost of what
        // is still open.
        let cash: i128 = desk
            .clearing
            .trades(account)
            .map(|trade| match trade.side {
                Side::Buy => -trade.fill.quote,
                Side::Sell => trade.fill.quote,
            })
            .sum();
        let open =
            if after.position.quantity >= 0 { after.position.cost } else { -after.position.cost };
        let realised = desk.clearing.income(account).filter(|i| i.kind == IncomeKind::RealizedPnl);
        assert_eq!(realised.map(|i| i.amount).sum::<i128>(), cash + open);
        desk.cancel_all(account, 6_000);
        assert_eq!(desk.clearing.account(account).unwrap().open_notional, 0);
        assert!(desk.clearing.trades(account).count() > 100, "the storm must trade");
    }
}

#[test]
fn funding_is_paid_by_longs_and_received_by_shorts_with_record_and_event() {
    let mut desk = perp(QUIET);
    desk.place(market(Side::Buy, 2 * ONE), 0).unwrap();
    desk.place(Request { account: 1, ..market(Side::Sell, 3 * ONE) }, 0).unwrap();
    desk.clearing.drain_events();
    desk.clearing.set_mark(2_680 * ONE);
    desk.clearing.fund(1_000, 30_000);
    let paid: Vec<i128> =
        (0..2).flat_map(|a| desk.clearing.income(a).last()).map(|i| i.amount).collect();
    assert_eq!(paid, vec![-i128::from(2 * 26_800 * 100_i64), i128::from(3 * 26_800 * 100_i64)]);
    let events = desk.clearing.drain_events();
    assert!(events.iter().all(|e| matches!(e, PerpEvent::Account { reason: "FUNDING_FEE", .. })));
    assert_eq!(events.len(), 2);
}

#[test]
fn reduce_only_never_opens() {
    let mut desk = perp(QUIET);
    let reduce =
        |quantity| Request { reduce_only: true, ..limit(Side::Sell, 2_690 * ONE, quantity) };
    assert_eq!(desk.place(reduce(ONE), 0), Err(Refusal::NothingToReduce));
    desk.place(market(Side::Buy, 2 * ONE), 0).unwrap();
    let id = desk.place(reduce(5 * ONE), 0).unwrap();
    assert_eq!(desk.market.order(id).unwrap().quantity, 2 * ONE, "cut to the position");
    desk.place(market(Side::Sell, ONE), 0).unwrap();
    assert_eq!(
        desk.market.order(id).unwrap().status,
        Status::Expired,
        "now larger than the position"
    );
}

#[test]
fn margin_limits_what_may_be_opened_but_not_what_closes() {
    let mut desk = perp("A b 2680 9000\nA a 2681 9000\nD 100000 b 2680 9000\n");
    assert_eq!(desk.place(market(Side::Buy, 1_600 * ONE), 0), Err(Refusal::Funds));
    desk.place(market(Side::Buy, 1_400 * ONE), 0).unwrap();
    assert_eq!(desk.place(market(Side::Buy, 100 * ONE), 0), Err(Refusal::Funds));
    desk.place(market(Side::Sell, 1_400 * ONE), 0).unwrap();
    assert_eq!(desk.clearing.account(0).unwrap().position.quantity, 0);
}
