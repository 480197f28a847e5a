//! How far the house may act: halt, stall, differences, staleness, foreign hands.

use alloy::primitives::U256;
use rust_decimal::dec;

use crate::engine::event::{Body, Directive, FillSource};
use crate::engine::output::Command;
use crate::engine::tests::asked::{cancels_all, estimates, is_idle, only, places, submits};
use crate::engine::tests::on_chain::TOKEN_ID;
use crate::engine::tests::stage::{
    BLOCK_TIME_MS, CHAIN, STALE_AFTER_MS, TICK, WETH, both, only_hedge, only_liquidity,
};
use crate::engine::tests::world::World;
use crate::execution::tx::{Act, TxState};
use crate::model::venue::Reported;

fn halt(world: &mut World) -> Vec<Command> {
    world.feed(Body::Directive(Directive::Halt { reason: "a person said so".into() }))
}

fn resume(world: &mut World) -> Vec<Command> {
    world.feed(Body::Directive(Directive::Resume { reason: "looked".into() }))
}

fn store(world: &mut World, is_live: bool) -> Vec<Command> {
    world.feed(Body::Store { is_live, why: "silent for 900 ms".into() })
}

/// A position is open, its price left upwards long enough: the close is estimated.
fn leaving() -> (World, Vec<Command>) {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    let quiet = world.pass(9_000);
    assert!(is_idle(&quiet), "{quiet:?}");
    let swapped = world.swap_to(TICK + 300);
    assert!(is_idle(&swapped), "held too shortly");
    let asked = world.pass(2_000);
    let (_, act) = only(estimates(&asked));
    assert!(matches!(act, Act::Close { .. }), "{act:?}");
    (world, asked)
}

#[test]
fn a_halt_cancels_everything_and_stops_an_open_that_was_estimated() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, act) = only(estimates(&asked));
    assert!(matches!(act, Act::Open { .. }), "{act:?}");
    assert!(cancels_all(&halt(&mut world)));
    assert_eq!(world.mode(), "halted");
    assert!(is_idle(&world.estimated(intent)));
    assert!(is_idle(&world.pass(20_000)));
    assert!(!cancels_all(&halt(&mut world)), "a second halt changes nothing");
}

#[test]
fn after_a_resume_the_house_goes_on() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    halt(&mut world);
    world.estimated(intent);
    world.pass(2_000);
    let asked = resume(&mut world);
    assert_eq!(world.mode(), "running");
    let request = world.send(&asked);
    assert!(matches!(request.act, Act::Open { .. }));
}

#[test]
fn a_halt_lets_a_close_that_was_estimated_pass() {
    let (mut world, asked) = leaving();
    let (intent, _) = only(estimates(&asked));
    halt(&mut world);
    let request = only(submits(&world.estimated(intent)));
    assert!(matches!(request.act, Act::Close { ref close, .. } if close.token_id == TOKEN_ID));
}

#[test]
fn a_close_may_begin_during_a_halt_and_no_open_follows_it() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    halt(&mut world);
    world.swap_to(TICK + 300);
    let asked = world.pass(2_000);
    let request = world.send(&asked);
    assert!(matches!(request.act, Act::Close { .. }));
    let mined = world.mine(&request);
    assert!(is_idle(&mined) && is_idle(&world.pass(20_000)));
    assert_eq!(world.kept.positions[&TOKEN_ID].liquidity, 0);
}

#[test]
fn a_halt_stops_new_hedges_and_what_shrinks_the_hedge_may_pass() {
    let (mut world, asked) = World::open(only_hedge());
    let order = only(places(&asked));
    let fill = world.trade(&order, 1, 7, dec!(12));
    world.report(&order, 7, Reported::Filled, dec!(12));
    world.tell(&fill, FillSource::Stream);
    halt(&mut world);
    // More to sell: refused. Less to hold: bought back.
    let given = world.foreign(WETH, true, U256::from(10_u64.pow(19)));
    world.foreign_block(given);
    assert!(is_idle(&world.pass(5_000)));
    let all = world.weth;
    let taken = world.foreign(WETH, false, all);
    let mut asked = world.foreign_block(taken);
    asked.extend(world.pass(1_000));
    let order = only(places(&asked));
    assert!(order.request.reduce_only);
    assert_eq!(order.request.quantity, dec!(12.000));
}

#[test]
fn a_halt_survives_restarts_until_a_resume_does() {
    let mut world = World::ready(only_liquidity());
    halt(&mut world);
    world.die();
    world.connect();
    assert!(is_idle(&world.pass(10_000)));
    assert_eq!(world.mode(), "halted");
    resume(&mut world);
    world.die();
    world.connect();
    let asked = world.pass(2_000);
    assert_eq!(world.mode(), "running");
    assert!(!is_idle(&asked));
}

#[test]
fn a_stalled_store_cancels_at_once_and_nothing_new_leaves_until_it_is_live() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    assert!(cancels_all(&store(&mut world, false)));
    assert_eq!(world.mode(), "paused");
    assert!(is_idle(&world.estimated(intent)));
    assert!(is_idle(&world.pass(20_000)));
    assert!(!cancels_all(&store(&mut world, false)), "it is told once");
    let asked = store(&mut world, true);
    assert_eq!(world.mode(), "running");
    only(submits(&{
        let (intent, _) = only(estimates(&asked));
        world.estimated(intent)
    }));
}

#[test]
fn a_stalled_store_stops_hedges() {
    let mut world = World::ready(only_hedge());
    store(&mut world, false);
    assert!(is_idle(&world.pass(10_000)));
    let asked = store(&mut world, true);
    assert_eq!(places(&asked).len() + places(&world.pass(1_000)).len(), 1);
}

#[test]
fn a_difference_of_one_unit_lets_only_exits_pass_until_it_is_gone() {
    for of in ["native", "weth", "usdt"] {
        let mut world = World::ready(both());
        let mut wallet = world.wallet();
        match of {
            "native" => wallet.native += U256::ONE,
            "weth" => wallet.tokens[0].1 -= U256::ONE,
            _ => wallet.tokens[1].1 += U256::ONE,
        }
        world.feed(Body::WalletAudit(Box::new(wallet)));
        assert!(is_idle(&world.pass(3_000)), "{of}");
        assert_eq!(world.mode(), "reduce_only", "{of}");
        assert!(!is_idle(&world.audit_wallet()), "{of}");
        assert_eq!(world.mode(), "running", "{of}");
    }
}

#[test]
fn liquidity_that_is_not_as_booked_is_a_difference() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    assert_eq!(world.mode(), "running");
    let mut wallet = world.wallet();
    wallet.positions[0].liquidity -= 1;
    world.feed(Body::WalletAudit(Box::new(wallet.clone())));
    assert_eq!(world.mode(), "reduce_only");
    wallet.positions.clear();
    world.feed(Body::WalletAudit(Box::new(wallet)));
    assert_eq!(world.mode(), "reduce_only", "a position the chain does not list");
    world.audit_wallet();
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_difference_at_a_venue_counts_when_it_is_seen_twice() {
    let (mut world, _) = World::open(only_liquidity());
    let hedge = world.accounts.get_mut("hedge").expect("a venue");
    hedge.balances[0].1 += dec!(0.00000001);
    world.pass(5_000);
    assert_eq!(world.mode(), "running", "funding may have come between two reads");
    world.pass(2_000);
    assert_eq!(world.mode(), "reduce_only");
    world.accounts.get_mut("hedge").expect("a venue").balances[0].1 -= dec!(0.00000001);
    world.pass(6_000);
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_read_of_another_block_says_nothing_about_now() {
    let mut world = World::ready(both());
    let mut old = world.wallet();
    old.native += U256::ONE;
    world.block();
    world.feed(Body::WalletAudit(Box::new(old)));
    world.timer();
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_block_old_by_the_chains_own_clock_stops_hedging_and_opening() {
    let mut world = World::ready(both());
    let mut late = world.next_block(Vec::new(), Vec::new(), Vec::new());
    let room = STALE_AFTER_MS + BLOCK_TIME_MS + 2_000;
    late.header.time = world.now.plus_ms(-room - 1);
    world.head.time = late.header.time;
    world.feed(Body::Block(Box::new(late)));
    assert!(is_idle(&world.timer()));
    assert!(is_idle(&world.timer()));
    assert_eq!(world.mode(), "running");
    let asked = world.block();
    assert_eq!((estimates(&asked).len(), places(&asked).len()), (1, 1));
}

#[test]
fn no_head_for_long_stops_hedging_and_opening() {
    let mut world = World::ready(both());
    // The house is not open yet: a venue is down while the chain falls silent.
    let venue = "spot".to_owned();
    world.feed(Body::UserStream { venue, is_up: false, why: "closed".into() });
    assert!(is_idle(&world.pass_without_blocks(STALE_AFTER_MS + 1_000)));
    world.venue_ready("spot");
    assert!(is_idle(&world.pass_without_blocks(2_000)));
    assert_eq!(world.mode(), "running");
    let asked = world.block();
    assert_eq!((estimates(&asked).len(), places(&asked).len()), (1, 1));
}

#[test]
fn a_chain_that_is_down_or_books_that_are_gone_stop_everything() {
    let mut world = World::ready(both());
    let feed = |is_up| Body::ChainFeed { chain: CHAIN, is_up, why: "closed".into() };
    world.feed(feed(false));
    assert!(is_idle(&world.timer()));
    world.lose_books();
    assert!(is_idle(&world.feed(feed(true))));
    world.regain_books();
    let asked = world.timer();
    assert_eq!((estimates(&asked).len(), places(&asked).len()), (1, 1));
}

#[test]
fn a_user_stream_that_is_down_stops_hedging_until_the_venue_agrees_again() {
    let mut world = World::ready(only_hedge());
    let venue = "hedge".to_owned();
    world.feed(Body::UserStream { venue: venue.clone(), is_up: false, why: "closed".into() });
    assert!(is_idle(&world.pass(3_000)));
    world.feed(Body::UserStream { venue, is_up: true, why: String::new() });
    assert!(is_idle(&world.pass(3_000)), "up, but what happened meanwhile is not read");
    let asked = world.venue_ready("hedge");
    assert!(places(&asked).is_empty(), "read, but not compared with the ledger");
    let mut asked = world.compare();
    asked.extend(world.timer());
    assert_eq!(places(&asked).len(), 1);
}

#[test]
fn a_nonce_we_did_not_use_halts() {
    let (mut world, asked) = World::open(only_liquidity());
    let (intent, _) = only(estimates(&asked));
    world.signer_nonce = 1;
    let asked = world.block();
    assert_eq!(world.mode(), "halted");
    assert!(cancels_all(&asked));
    assert!(is_idle(&world.estimated(intent)));
}

#[test]
fn a_slot_of_ours_taken_by_a_foreign_hash_halts() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    world.signer_nonce = request.nonce + 1;
    world.block();
    assert_eq!(world.mode(), "halted");
    let state = world.kept.txs[&request.nonce].state;
    assert_eq!(state, TxState::Foreign);
}

#[test]
fn a_nonce_used_by_others_while_the_house_was_down_halts() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.die();
    world.signer_nonce += 1;
    world.connect();
    assert!(is_idle(&world.pass(3_000)));
    assert_eq!(world.mode(), "halted");
}

#[test]
fn a_restart_does_not_renew_the_days_loss_limit() {
    let mut world = World::ready(only_hedge());
    world.pass(1_000);
    let began = world.kept.day_value().expect("the day's value is remembered");
    let fallen = dec!(2400);
    world.quote(fallen);
    world.die();
    world.connect();
    world.pass(1_000);
    assert_eq!(world.kept.day_value(), Some(began));
}

#[test]
fn what_was_decided_may_not_leave_after_a_halt_or_while_the_store_is_silent() {
    let mut world = World::ready(only_hedge());
    assert!(world.engine.may_send());
    let store = |is_live| Body::Store { is_live, why: "silent".into() };
    world.feed(store(false));
    assert!(!world.engine.may_send());
    world.feed(store(true));
    assert!(world.engine.may_send());
    world.feed(Body::Directive(Directive::Halt { reason: "stop".into() }));
    assert!(!world.engine.may_send());
}

#[test]
fn a_signer_that_lived_before_us_is_no_stranger() {
    let mut world = World::ready(only_liquidity());
    world.signer_nonce = 5;
    world.die();
    world.connect();
    world.pass(3_000);
    assert_ne!(world.mode(), "halted", "nothing of ours was ever sent");
}

#[test]
fn a_receipt_of_a_slot_we_do_not_know_halts() {
    let (mut world, asked) = World::open(only_liquidity());
    let mut request = world.send(&asked);
    request.nonce += 1;
    world.revert(&request);
    assert_eq!(world.mode(), "halted");
}

#[test]
fn an_observing_house_sends_nothing_and_says_what_it_would() {
    let mut setup = both();
    setup.sends = false;
    let mut world = World::ready(setup);
    let mut asked = world.pass(10_000);
    asked.extend(halt(&mut world));
    assert!(is_idle(&asked) && !cancels_all(&asked));
    assert!(world.kept.has_note("refused", "observing only; would mint"));
}

#[test]
fn an_observing_strategy_in_a_live_house_sends_nothing() {
    let mut setup = both();
    setup.strategies[0].sends = false;
    setup.hedges[0].sends = false;
    let mut world = World::ready(setup);
    let asked = world.pass(10_000);
    assert_eq!(places(&asked).len(), 0);
    assert!(is_idle(&asked), "{asked:?}");
}

#[test]
fn a_chain_replaced_deeper_than_the_window_halts() {
    let (mut world, _) = World::open(both());
    let number = world.head.block.number;
    let (seen, canonical) = (world.head.block.hash, world.head.parent);
    world.feed(Body::ReorganisedTooDeep { chain: CHAIN, number, seen, canonical });
    assert_eq!(world.mode(), "halted");
}
