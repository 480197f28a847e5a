//! A pool against an exchange: the swap, the leg it leaves, and every way in which a leg ends.

use alloy::primitives::I256;
use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, Directive, FillSource};
use crate::engine::output::Command;
use crate::engine::setup::Setup;
use crate::engine::tests::asked::{estimates, is_idle, only, places};
use crate::engine::tests::stage::{CHAIN, HEDGE, LEGS, SYMBOL, USDT, WETH, with_legs};
use crate::engine::tests::venues::report;
use crate::engine::tests::world::{Checkpoint, World};
use crate::execution::order::Order;
use crate::execution::tx::{Act, TxRequest};
use crate::ledger::entry::Kind;
use crate::model::intent::SwapPlan;
use crate::model::opportunity::{Fate, LegState, Opportunity, VenueLeg};
use crate::model::order::{Side, TimeInForce};
use crate::model::unit::{Account, Reason, Unit};
use crate::model::venue::{Fill, Reported};

/// Books so far above the pool that base bought there is sold with a profit.
const ABOVE: Decimal = dec!(2700);
const BELOW: Decimal = dec!(2665);

/// A house whose wallet is hedged, with both books at the pool's price.
fn house() -> World {
    house_of(with_legs())
}

/// The same with another setup.
pub(super) fn house_of(setup: Setup) -> World {
    let (mut world, asked) = World::open(setup);
    for order in places(&asked) {
        let fill = world.trade(&order, 1, 1, order.request.quantity);
        world.tell(&fill, FillSource::Stream);
        world.report(&order, 1, Reported::Filled, order.request.quantity);
    }
    world
}

/// The books move, and the next block shows the gap.
fn gap(mid: Decimal) -> (World, TxRequest) {
    let mut world = house();
    world.quote(mid);
    let asked = world.pass(1_000);
    let request = world.send(&asked);
    (world, request)
}

/// The gap was taken: the world, and the leg that is asked for.
fn taken(mid: Decimal) -> (World, TxRequest, Order) {
    let (mut world, request) = gap(mid);
    let leg = only(legs(&world.mine(&request)));
    (world, request, leg)
}

fn swap(request: &TxRequest) -> &SwapPlan {
    match &request.act {
        Act::Swap { swap, .. } => swap,
        other => panic!("not a swap: {other:?}"),
    }
}

fn legs(asked: &[Command]) -> Vec<Order> {
    places(asked).into_iter().filter(|order| order.request.venue == LEGS).collect()
}

fn hedges(asked: &[Command]) -> Vec<Order> {
    places(asked).into_iter().filter(|order| order.request.venue == HEDGE).collect()
}

/// The first one.
fn seen(world: &World) -> &Opportunity {
    let all = world.kept.opportunities.values();
    all.min_by_key(|seen| seen.block).expect("one was seen")
}

fn leg(world: &World) -> &VenueLeg {
    seen(world).leg.as_ref().expect("it has a leg")
}

/// Part of a leg trades at a price, with the exchange's fee; the account moves and is told.
fn trade(world: &mut World, order: &Order, trade_id: u64, base: Decimal, price: Decimal) {
    let fee_of = |received: Decimal| (received * dec!(0.001)).round_dp(8);
    let (moved_base, moved_quote, fee, fee_asset) = match order.request.side {
        Side::Buy => (base - fee_of(base), -base * price, fee_of(base), "ETH"),
        Side::Sell => (-base, base * price - fee_of(base * price), fee_of(base * price), "USDT"),
    };
    let account = world.accounts.get_mut(LEGS).expect("a venue of the setup");
    account.balances[0].1 += moved_base;
    account.balances[1].1 += moved_quote;
    let fill = Fill {
        trade_id,
        client_order_id: Some(order.request.client_order_id.clone()),
        venue_order_id: 700,
        side: order.request.side,
        price,
        quantity: base,
        fee,
        fee_asset: fee_asset.into(),
        realized_pnl: dec!(0),
        margin_asset: "USDT".into(),
        venue_time: world.now,
        is_forced: false,
    };
    let (venue, symbol) = (LEGS.to_owned(), SYMBOL.to_owned());
    let source = FillSource::Stream;
    world.feed(Body::Fills { venue, symbol, fills: vec![fill], source });
}

fn tell(world: &mut World, order: &Order, state: Reported, filled: Decimal) -> Vec<Command> {
    let report = report(order, 700, state, filled);
    world.feed(Body::OrderReport { venue: LEGS.into(), report })
}

fn net_delta(world: &World) -> Decimal {
    world.engine.exposure().map(|e| e.held + e.contracts).expect("known")
}

fn assert_agrees(world: &mut World) {
    world.audit_wallet();
    world.pass(12_000);
    let rows = world.engine.snapshot(world.now).reconciliation.rows;
    let off: Vec<_> = rows.iter().filter(|row| row.difference != "0").collect();
    assert!(off.is_empty(), "{off:?}");
}

#[test]
fn a_gap_is_swapped_and_its_base_traded_back_on_the_exchange() {
    let mut world = house();
    let before = net_delta(&world);
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let request = world.send(&asked);
    assert_eq!((swap(&request).token_in, swap(&request).token_out), (USDT, WETH));
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Sent, LegState::Planned));
    assert!(leg(&world).plan < dec!(-7), "some 20,000 worth: {:?}", leg(&world));
    let n = world.kept.entries.len();
    let order = only(legs(&world.mine(&request)));
    assert_eq!(world.kept.kinds_after(n), [Kind::Gas, Kind::Swap]);
    assert_eq!((order.request.side, order.request.time_in_force), (Side::Sell, TimeInForce::Ioc));
    assert_eq!(order.request.quantity, -leg(&world).plan);
    assert!(order.request.price < dec!(2660) && order.request.price > dec!(2655), "{order:?}");
    let quantity = order.request.quantity;
    trade(&mut world, &order, 21, quantity, dec!(2699.95));
    tell(&mut world, &order, Reported::Filled, quantity);
    world.timer();
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Landed, LegState::Closed));
    let realised = seen(&world).realised.expect("all is known");
    let expected = seen(&world).net.expect("all has a price");
    let difference = realised - (expected.gross - expected.gas);
    assert!(realised > dec!(80) && difference.abs() < dec!(1), "{realised} against {expected:?}");
    assert!((net_delta(&world) - before).abs() < dec!(0.001), "flat as before");
    assert_agrees(&mut world);
    let snapshot = world.engine.snapshot(world.now);
    assert_eq!((snapshot.arbitrage.landed, snapshot.arbitrage.venue_landed), (1, 1));
    let part = snapshot.pnl.parts.iter().find(|part| part.name == "cex_dex").expect("a part");
    let told: Decimal = part.value.as_ref().expect("known").parse().expect("a decimal");
    assert!(told > realised, "before fees and gas: {told}");
}

#[test]
fn the_other_way_base_is_sold_to_the_pool_and_bought_back() {
    let (mut world, request, order) = taken(BELOW);
    assert_eq!((swap(&request).token_in, order.request.side), (WETH, Side::Buy));
    let quantity = order.request.quantity;
    assert!(quantity > dec!(7), "{quantity}");
    trade(&mut world, &order, 21, quantity, dec!(2665.05));
    tell(&mut world, &order, Reported::Filled, quantity);
    world.timer();
    assert_eq!(leg(&world).state, LegState::Closed);
    assert!(
        seen(&world).realised.is_some_and(|realised| realised > dec!(50)),
        "{:?}",
        seen(&world)
    );
    assert_agrees(&mut world);
}

#[test]
fn both_sides_are_booked_against_what_they_are_for() {
    let (mut world, _, order) = taken(ABOVE);
    let quantity = order.request.quantity;
    trade(&mut world, &order, 21, quantity, dec!(2699.95));
    tell(&mut world, &order, Reported::Filled, quantity);
    let on = |unit: Unit| world.engine.ledger.balance(&Account::Reason(Reason::CexDex), &unit);
    let sold = on(Unit::Asset { venue: LEGS.into(), asset: "ETH".into() });
    let bought = on(Unit::Erc20 { chain: CHAIN, token: WETH });
    assert!(sold > I256::ZERO && bought < I256::ZERO, "{sold} {bought}");
    assert!(on(Unit::Erc20 { chain: CHAIN, token: USDT }).is_positive());
}

#[test]
fn what_an_order_left_is_asked_for_again_and_nobody_else_hedges_it_meanwhile() {
    let (mut world, _, order) = taken(ABOVE);
    trade(&mut world, &order, 21, dec!(3), dec!(2699.95));
    let asked = tell(&mut world, &order, Reported::Expired, dec!(3));
    assert!(legs(&asked).is_empty(), "not at once");
    let asked = world.pass(1_000);
    let again = only(legs(&asked));
    assert_eq!(again.request.quantity, order.request.quantity - dec!(3));
    assert_ne!(again.request.client_order_id, order.request.client_order_id);
    assert!(hedges(&asked).is_empty(), "{asked:?}");
}

#[test]
fn a_leg_is_not_traded_at_a_worse_loss_than_the_operator_s() {
    let (mut world, request) = gap(ABOVE);
    // The exchange fell by more than a percent below the swap's price before it was mined.
    world.quote(dec!(2640));
    assert!(legs(&world.mine(&request)).is_empty());
    let asked = world.pass(5_000);
    assert!(legs(&asked).is_empty() && hedges(&asked).is_empty(), "{asked:?}");
    assert_eq!(leg(&world).state, LegState::Due);
    // Its time is over: what is open is anybody's delta again.
    let asked = world.pass(7_000);
    assert_eq!((leg(&world).state, seen(&world).fate), (LegState::Left, Fate::Landed));
    assert!(world.kept.has_note("leg_left", "base"));
    assert!(seen(&world).realised.is_some_and(|realised| realised < dec!(0)));
    let hedge = only(hedges(&asked));
    assert_eq!(hedge.request.side, Side::Sell, "{hedge:?}");
}

#[test]
fn a_reverted_swap_owes_nothing() {
    let (mut world, request) = gap(ABOVE);
    let asked = world.revert(&request);
    assert!(legs(&asked).is_empty(), "{asked:?}");
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Reverted, LegState::Closed));
    assert!(seen(&world).realised.is_some_and(|realised| realised < dec!(0)), "its gas");
    assert_agrees(&mut world);
}

#[test]
fn a_refused_estimate_is_a_lost_gap_and_holds_nobody_up() {
    let mut world = house();
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let (intent, _) = only(estimates(&asked));
    let gas = Err("Too little received".to_owned());
    assert!(is_idle(&world.feed(Body::Estimated { chain: CHAIN, intent, gas })));
    assert_eq!(seen(&world).fate, Fate::Lost);
    assert_eq!(estimates(&world.pass(1_000)).len(), 1, "the next block is looked at as usual");
}

#[test]
fn a_book_that_moved_while_gas_was_asked_for_ends_it() {
    let mut world = house();
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let (intent, _) = only(estimates(&asked));
    world.quote(dec!(2684));
    assert!(is_idle(&world.estimated(intent)));
    assert_eq!(seen(&world).fate, Fate::Lost);
}

#[test]
fn a_leg_goes_on_after_a_restart() {
    let (mut world, _, order) = taken(ABOVE);
    trade(&mut world, &order, 21, dec!(3), dec!(2699.95));
    world.die();
    world.connect();
    world.compare();
    // The order was in doubt, and turns out to have ended with what had traded.
    tell(&mut world, &order, Reported::Expired, dec!(3));
    let again = only(legs(&world.pass(2_000)));
    assert_eq!(again.request.quantity, order.request.quantity - dec!(3));
}

#[test]
fn a_leg_is_closed_though_its_strategy_is_paused_or_the_house_halted() {
    for directive in [
        Directive::Pause { strategy: "gaps".into(), reason: "a test".into() },
        Directive::Halt { reason: "a test".into() },
    ] {
        let (mut world, request) = gap(ABOVE);
        world.feed(Body::Directive(directive));
        let order = only(legs(&world.mine(&request)));
        assert!(order.request.reduce_only, "it leaves whatever is halted");
    }
}

#[test]
fn a_taken_back_swap_whose_leg_has_traded_is_traded_back_when_it_does_not_return() {
    let mut world = house();
    let before = net_delta(&world);
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let request = world.send(&asked);
    let checkpoint = world.checkpoint();
    let order = only(legs(&world.mine(&request)));
    let quantity = order.request.quantity;
    trade(&mut world, &order, 21, quantity, dec!(2699.95));
    tell(&mut world, &order, Reported::Filled, quantity);
    world.timer();
    assert_eq!(leg(&world).state, LegState::Closed);

    let asked = world.take_back(&checkpoint);
    assert!(legs(&asked).is_empty());
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Sent, LegState::Planned));
    world.audit_wallet();
    // The swap is refused now: what was sold is bought back, at no worse than the operator's loss.
    world.revert(&request);
    world.audit_wallet();
    let asked = world.pass(1_000);
    let back = only(legs(&asked));
    assert_eq!((back.request.side, back.request.quantity), (Side::Buy, quantity));
    trade(&mut world, &back, 22, quantity, dec!(2700.05));
    tell(&mut world, &back, Reported::Filled, quantity);
    world.timer();
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Reverted, LegState::Closed));
    assert!((net_delta(&world) - before).abs() < dec!(0.02), "but for the exchange's fee");
    assert_agrees(&mut world);
}

/// A second gap is taken after a first one, both legs traded whole; both swaps.
fn two_taken() -> (World, Checkpoint, [TxRequest; 2], Decimal) {
    let mut world = house();
    let checkpoint = world.checkpoint();
    world.quote(ABOVE);
    let mut requests = Vec::new();
    let mut sold = Decimal::ZERO;
    for trade_id in [21, 22] {
        let asked = world.pass(1_000);
        let request = world.send(&asked);
        let order = only(legs(&world.mine(&request)));
        let quantity = order.request.quantity;
        trade(&mut world, &order, trade_id, quantity, dec!(2699.95));
        tell(&mut world, &order, Reported::Filled, quantity);
        world.timer();
        sold += quantity;
        requests.push(request);
        if trade_id == 21 {
            world.audit_wallet();
        }
    }
    let requests = <[TxRequest; 2]>::try_from(requests).expect("two");
    (world, checkpoint, requests, sold)
}

#[test]
fn two_legs_that_are_traded_back_are_each_traded_back_once() {
    let (mut world, checkpoint, requests, sold) = two_taken();
    world.take_back(&checkpoint);
    let mut asked = world.audit_wallet();
    for request in &requests {
        asked.extend(world.revert(request));
    }
    asked.extend(world.audit_wallet());
    let mut bought = Decimal::ZERO;
    for trade_id in 31..35 {
        for order in legs(&asked) {
            assert_eq!(order.request.side, Side::Buy);
            let quantity = order.request.quantity;
            trade(&mut world, &order, trade_id, quantity, dec!(2700.05));
            tell(&mut world, &order, Reported::Filled, quantity);
            bought += quantity;
        }
        asked = world.pass(1_000);
    }
    assert_eq!(bought, sold, "no more and no less");
    let states: Vec<_> = world.kept.opportunities.values().filter_map(|o| o.leg.as_ref()).collect();
    let traded: Vec<_> = states.iter().filter(|leg| leg.attempts > 0).collect();
    assert_eq!(traded.len(), 2);
    assert!(traded.iter().all(|leg| leg.state == LegState::Closed && leg.done.is_zero()));
}

#[test]
fn what_a_swap_left_is_bounded_by_the_price_at_which_it_was_traded() {
    // The gap is wider than the operator's loss: against the swap's own price nothing could be
    // traded back.
    let (mut world, request, order) = taken(dec!(2740));
    let quantity = order.request.quantity;
    trade(&mut world, &order, 21, quantity, dec!(2739.95));
    tell(&mut world, &order, Reported::Filled, quantity);
    world.timer();
    let seen = seen(&world).leg.clone().expect("a leg");
    assert_eq!(seen.measure(), seen.anchor);
    let back = VenueLeg { target: dec!(0), ..seen };
    assert!((back.measure() - dec!(2737.21)).abs() < dec!(0.01), "{}", back.measure());
    drop(request);
}

#[test]
fn a_swap_against_an_exchange_is_worth_nothing_later() {
    let (world, request) = gap(ABOVE);
    let Act::Swap { deadline, .. } = &request.act else { panic!("not a swap") };
    let head = world.head.time;
    assert_eq!(deadline.ms_since(head), 2_000, "two blocks");
}

#[test]
fn a_leg_that_was_left_rests_its_strategy() {
    let (mut world, request) = gap(ABOVE);
    world.quote(dec!(2640));
    world.mine(&request);
    world.audit_wallet();
    let asked = world.pass(12_000);
    assert_eq!(leg(&world).state, LegState::Left);
    for order in hedges(&asked) {
        let fill = world.trade(&order, 2, 2, order.request.quantity);
        world.tell(&fill, FillSource::Stream);
        world.report(&order, 2, Reported::Filled, order.request.quantity);
    }
    let swaps = |asked: &[Command]| {
        let all = estimates(asked).into_iter();
        all.filter(|(_, act)| matches!(act, Act::Swap { .. })).count()
    };
    assert_eq!(swaps(&world.pass(60_000)), 0, "there is a gap at every head");
    let why = &world.engine.snapshot(world.now).strategies[1].why;
    assert!(why.contains("left of late"), "{why}");
    assert!(swaps(&world.pass(300_000)) > 0, "and again after its rest");
}

#[test]
fn an_order_that_traded_nothing_is_asked_for_again_ever_later() {
    let (mut world, _, first) = taken(ABOVE);
    tell(&mut world, &first, Reported::Expired, dec!(0));
    let mut at = Vec::new();
    for step in 1..=9 {
        for order in legs(&world.pass(1_000)) {
            tell(&mut world, &order, Reported::Expired, dec!(0));
            at.push(step);
        }
    }
    assert_eq!(at, [1, 2, 4, 8], "seconds after the first");
}

#[test]
fn a_traded_leg_whose_swap_is_on_its_way_again_is_nobody_s_delta() {
    let mut world = house();
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let request = world.send(&asked);
    let checkpoint = world.checkpoint();
    let order = only(legs(&world.mine(&request)));
    let quantity = order.request.quantity;
    trade(&mut world, &order, 21, quantity, dec!(2699.95));
    tell(&mut world, &order, Reported::Filled, quantity);
    world.timer();
    world.take_back(&checkpoint);
    world.audit_wallet();
    let asked = world.pass_without_blocks(3_000);
    assert!(hedges(&asked).is_empty(), "the same bytes are mined a block later: {asked:?}");
    world.mine(&request);
    world.audit_wallet();
    assert!(hedges(&world.pass(3_000)).is_empty());
    assert_eq!((seen(&world).fate, leg(&world).state), (Fate::Landed, LegState::Closed));
    assert_agrees(&mut world);
}

#[test]
fn after_a_start_nothing_is_traded_before_the_trades_of_before_are_listed() {
    let (mut world, _, _) = taken(ABOVE);
    world.die();
    world.chain_ready(true);
    let up = Body::UserStream { venue: LEGS.into(), is_up: true, why: String::new() };
    world.feed(up);
    assert!(!world.engine.snapshot(world.now).is_quiet);
    let asked = world.pass(1_000);
    let lists = |asked: &[Command]| {
        let is_list =
            |c: &&Command| matches!(c, Command::QueryFills { venue, .. } if venue == LEGS);
        asked.iter().filter(is_list).count()
    };
    assert_eq!(lists(&asked), 0, "its account was not read yet");
}

#[test]
fn an_approval_that_a_chain_takes_back_is_no_gap_on_its_way() {
    let mut world = World::new(with_legs());
    world.begin();
    world.connect();
    // Nothing is allowed: the first gap asks for that.
    world.chain_ready(false);
    world.compare();
    for order in places(&world.timer()) {
        let fill = world.trade(&order, 1, 1, order.request.quantity);
        world.tell(&fill, FillSource::Stream);
        world.report(&order, 1, Reported::Filled, order.request.quantity);
    }
    world.quote(ABOVE);
    let asked = world.pass(1_000);
    let checkpoint = world.checkpoint();
    let approval = world.send(&asked);
    assert!(matches!(approval.act, Act::Approve { .. }), "{approval:?}");
    assert_eq!(seen(&world).fate, Fate::Skipped);
    world.mine(&approval);
    world.audit_wallet();
    world.take_back(&checkpoint);
    assert_eq!(seen(&world).fate, Fate::Skipped, "the gap itself never left");
    world.mine(&approval);
    assert_eq!(seen(&world).fate, Fate::Skipped);
}
