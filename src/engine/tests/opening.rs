//! Starts, the books' beginning, and money others move.

use alloy::primitives::U256;
use rust_decimal::dec;

use crate::engine::event::{Body, FillSource};
use crate::engine::tests::asked::{estimates, is_idle, only, places};
use crate::engine::tests::stage::{USDT, WETH, both, only_hedge, only_liquidity};
use crate::engine::tests::world::{World, ether};
use crate::execution::tx::Act;
use crate::ledger::entry::Kind;
use crate::model::venue::{Income, IncomeKind, Reported};

fn usdt(n: u64) -> U256 {
    U256::from(n * 1_000_000)
}

#[test]
fn nothing_is_sent_until_every_place_was_compared_and_agrees() {
    let mut world = World::new(both());
    world.begin();
    assert!(is_idle(&world.timer()));
    assert!(is_idle(&world.connect()));
    assert_eq!(world.mode(), "recovering");
    let hedge = world.accounts.get_mut("hedge").expect("a venue");
    hedge.balances[0].1 += dec!(0.00000001);
    assert!(is_idle(&world.pass(20_000)), "the hedge's account differs by one step");
    assert_eq!(world.mode(), "reduce_only");
    world.accounts.get_mut("hedge").expect("a venue").balances[0].1 -= dec!(0.00000001);
    let asked = world.pass(6_000);
    assert_eq!(world.mode(), "running");
    assert_eq!((estimates(&asked).len(), places(&asked).len()), (1, 1));
}

#[test]
fn one_place_that_does_not_answer_keeps_the_house_closed() {
    let mut world = World::new(both());
    world.begin();
    world.chain_ready(true);
    world.venue_ready("spot");
    world.regain_books();
    assert!(is_idle(&world.pass(30_000)));
    assert_eq!(world.mode(), "recovering");
}

#[test]
fn with_no_allowance_known_the_house_opens_with_an_approval() {
    let mut world = World::new(only_liquidity());
    world.begin();
    world.connect();
    world.chain_ready(false);
    world.compare();
    let (_, act) = only(estimates(&world.timer()));
    assert!(matches!(act, Act::Approve { .. }), "{act:?}");
}

#[test]
fn the_same_facts_give_the_same_answers() {
    let story = || {
        let (mut world, asked) = World::open(both());
        let order = only(places(&asked));
        world.open_position(&asked);
        let fill = world.trade(&order, 1, 7, dec!(5));
        world.report(&order, 7, Reported::Expired, dec!(5));
        world.tell(&fill, FillSource::List);
        world.pass(12_000);
        world.swap_to(-197_000);
        world.pass(5_000);
        world.die();
        world.connect();
        world.pass(10_000);
        let snapshot = format!("{:?}", world.engine.snapshot(world.now));
        (world.answers, snapshot)
    };
    assert_eq!(story(), story());
}

#[test]
fn opening_balances_are_booked_once() {
    let (mut world, _) = World::open(only_liquidity());
    assert_eq!(world.kept.of(Kind::Opening).len(), 3, "the wallet and two venues");
    let n_entries = world.kept.entries.len();
    let opening = world.kept.memory["opening_value"].clone();
    world.die();
    world.connect();
    world.pass(2_000);
    assert_eq!(world.mode(), "running");
    assert_eq!(world.kept.entries.len(), n_entries);
    assert_eq!(world.kept.memory["opening_value"], opening);
    assert_eq!(world.engine.snapshot(world.now).pnl.total.as_deref(), Some("0"));
}

#[test]
fn a_trade_told_before_the_account_was_first_read_is_part_of_its_opening() {
    let (mut other, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let fill = other.trade(&order, 1, 7, dec!(2));
    let mut world = World::new(only_liquidity());
    world.accounts.clone_from(&other.accounts);
    world.begin();
    let venue = "hedge".to_owned();
    world.feed(Body::UserStream { venue, is_up: true, why: String::new() });
    world.tell(&fill, FillSource::Stream);
    world.now = world.now.plus_ms(500);
    world.connect();
    world.compare();
    world.timer();
    assert_eq!(world.kept.of(Kind::Opening).len(), 3);
    assert_eq!(world.engine.contracts("hedge", "ETHUSDT"), Some(dec!(-2)));
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_venue_read_again_after_a_gap_opens_no_second_time() {
    let (mut world, _) = World::open(only_liquidity());
    let venue = "hedge".to_owned();
    world.feed(Body::UserStream { venue, is_up: false, why: "closed".into() });
    world.venue_ready("hedge");
    assert_eq!(world.kept.of(Kind::Opening).len(), 3);
}

#[test]
fn what_comes_to_a_venue_that_opened_empty_is_no_profit() {
    for is_restarted in [false, true] {
        let mut world = World::new(only_liquidity());
        world.accounts.get_mut("spot").expect("a venue").balances.clear();
        world.begin();
        world.connect();
        world.compare();
        world.timer();
        assert_eq!((world.mode(), world.profit().as_deref()), ("running", Some("0")));
        let venue = "spot".to_owned();
        world.feed(Body::UserStream { venue, is_up: false, why: "closed".into() });
        world.now = world.now.plus_ms(500);
        let came = deposit(&world, "USDT", "250");
        world.now = world.now.plus_ms(500);
        world.accounts.get_mut("spot").expect("a venue").balances.push(("USDT".into(), dec!(250)));
        if is_restarted {
            world.die();
            world.connect();
        } else {
            world.venue_ready("spot");
        }
        world.feed(Body::Incomes { venue: "spot".into(), incomes: vec![came] });
        world.pass(8_000);
        assert_eq!(world.mode(), "running");
        assert_eq!(world.profit().as_deref(), Some("0"), "restarted: {is_restarted}");
    }
}

fn deposit(world: &World, asset: &str, amount: &str) -> Income {
    Income {
        id: format!("TRANSFER/{}", world.now.ms()),
        kind: IncomeKind::Transfer,
        asset: asset.into(),
        amount: amount.parse().expect("a decimal"),
        venue_time: world.now,
    }
}

#[test]
fn tokens_others_send_or_take_are_no_profit() {
    let (mut world, _) = World::open(only_liquidity());
    assert_eq!(world.profit().as_deref(), Some("0"));
    let moves = [(USDT, true, usdt(1_000)), (WETH, true, ether(1)), (USDT, false, usdt(500))];
    for (token, is_received, amount) in moves {
        let transfer = world.foreign(token, is_received, amount);
        world.foreign_block(transfer);
        assert_eq!(world.profit().as_deref(), Some("0"), "{token} {is_received}");
    }
    world.audit_wallet();
    assert_eq!(world.mode(), "running");
    assert_eq!(world.kept.of(Kind::Deposit).len(), 2);
    assert_eq!(world.kept.of(Kind::Withdrawal).len(), 1);
}

#[test]
fn transfers_to_and_from_a_venue_are_no_profit_and_funding_is() {
    let (mut world, _) = World::open(only_liquidity());
    let mut funding = deposit(&world, "USDT", "-1.5");
    funding.kind = IncomeKind::Funding;
    funding.id = "FUNDING_FEE/1".into();
    let incomes = vec![deposit(&world, "USDT", "300"), funding];
    for _ in 0..2 {
        world.feed(Body::Incomes { venue: "hedge".into(), incomes: incomes.clone() });
    }
    assert_eq!(world.profit().as_deref(), Some("-1.5"));
    world.accounts.get_mut("hedge").expect("a venue").balances[0].1 += dec!(298.5);
    world.pass(10_000);
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_deposit_seen_while_nothing_can_be_priced_is_no_profit() {
    let (mut world, _) = World::open(only_liquidity());
    world.lose_books();
    let transfer = world.foreign(USDT, true, usdt(1_000));
    world.foreign_block(transfer);
    assert_eq!(world.profit(), None);
    world.regain_books();
    world.pass(1_000);
    assert_eq!(world.profit().as_deref(), Some("0"));
}

#[test]
fn a_deposit_made_while_the_house_was_down_is_no_profit() {
    let (mut world, _) = World::open(only_liquidity());
    world.die();
    // The shore reads the missed blocks first; no book is open yet.
    let transfer = world.foreign(USDT, true, usdt(1_000));
    world.foreign_block(transfer);
    world.connect();
    world.pass(7_000);
    assert_eq!(world.mode(), "running");
    assert_eq!(world.profit().as_deref(), Some("0"));
}

#[test]
fn the_hedge_keeps_to_what_others_put_in() {
    let (mut world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let fill = world.trade(&order, 1, 7, dec!(12));
    world.report(&order, 7, Reported::Filled, dec!(12));
    world.tell(&fill, FillSource::Stream);
    let transfer = world.foreign(WETH, true, ether(3));
    let asked = world.foreign_block(transfer);
    assert_eq!(only(places(&asked)).request.quantity, dec!(3.000));
}
