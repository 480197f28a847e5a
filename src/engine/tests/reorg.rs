//! Blocks that a chain takes back: books, positions and slots become what they would have been.

use std::collections::BTreeMap;

use alloy::primitives::{I256, U256};
use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, FillSource, Pool, PoolEvent};
use crate::engine::output::Command;
use crate::engine::state::UNDO_BLOCKS_MIN;
use crate::engine::tests::asked::{estimates, places, submits};
use crate::engine::tests::on_chain::TOKEN_ID;
use crate::engine::tests::stage::{
    CHAIN, POOL, TICK, USDT, WETH, only_hedge, only_liquidity, with_cycles,
};
use crate::engine::tests::world::{Checkpoint, World, ether};
use crate::execution::order::Order;
use crate::execution::tx::{Act, TxRequest, TxState};
use crate::ledger::entry::Kind;
use crate::market::pools::v3::V3Event;
use crate::model::opportunity::Fate;
use crate::model::unit::{Account, Unit};
use crate::model::venue::Reported;

const ORDER_ID: u64 = 900;

/// Every balance of the engine's ledger that is not zero.
fn balances(world: &World) -> BTreeMap<(Account, Unit), I256> {
    let all = world.engine.ledger.balances();
    let held = all.filter(|(_, _, amount)| !amount.is_zero());
    held.map(|(account, unit, amount)| ((account.clone(), unit.clone()), amount)).collect()
}

fn resends(asked: &[Command]) -> Vec<u64> {
    let of = |command: &Command| match command {
        Command::Resend { nonce, .. } => Some(*nonce),
        _ => None,
    };
    asked.iter().filter_map(of).collect()
}

/// The engine's pool is the chain's.
fn assert_pool(world: &World) {
    let state = &world.engine.chains[&CHAIN].pools[&POOL];
    let Pool::V3(pool) = &state.pool else { panic!("another kind of pool") };
    assert_eq!(**pool, world.pool);
    assert!(state.standing.is_live(), "{:?}", state.standing);
}

/// The wallet is compared and the house runs.
fn assert_agrees(world: &mut World) {
    world.audit_wallet();
    let view = world.engine.snapshot(world.now).reconciliation;
    let off: Vec<_> = view.rows.iter().filter(|row| row.difference != "0").collect();
    assert!(off.is_empty(), "{off:?}");
    assert_eq!(world.mode(), "running");
}

#[test]
fn a_mint_taken_back_leaves_the_books_of_before_and_is_sent_again() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    let (before, books) = (world.checkpoint(), balances(&world));
    world.mine(&request);
    world.audit_wallet();
    let minted = balances(&world);
    assert_ne!(minted, books);

    let asked = world.take_back(&before);
    assert_eq!(balances(&world), books, "to the unit");
    assert_eq!(resends(&asked), [request.nonce]);
    assert!(world.kept.positions.is_empty() && world.engine.positions.is_empty());
    assert_eq!(world.kept.txs[&request.nonce].state, TxState::Broadcast);
    assert_pool(&world);
    assert_eq!(world.mode(), "recovering", "nothing is traded before it was compared");
    assert_agrees(&mut world);
    let again = submits(&world.pass(1_000));
    assert!(again.is_empty(), "the lane waits for its slot: {again:?}");

    world.mine(&request);
    assert_eq!(balances(&world), minted, "the same transaction in another block books the same");
    assert_eq!(world.kept.of(Kind::Mint).len(), 2, "one for each block it stood on");
    assert!(world.kept.positions.contains_key(&TOKEN_ID));
    assert_agrees(&mut world);
}

#[test]
fn a_withdrawal_taken_back_opens_the_position_again() {
    let (mut world, asked) = World::open(only_liquidity());
    world.open_position(&asked);
    world.pass(9_000);
    world.swap_to(TICK + 300);
    let asked = world.pass(2_000);
    let request = world.send(&asked);
    let (before, books) = (world.checkpoint(), balances(&world));
    let open = world.kept.positions[&TOKEN_ID].clone();
    world.mine(&request);
    assert!(world.kept.positions[&TOKEN_ID].closed.is_some());
    world.take_back(&before);
    assert_eq!(balances(&world), books);
    let again = &world.kept.positions[&TOKEN_ID];
    assert_eq!((again.liquidity, again.closed, again.gas), (open.liquidity, None, open.gas));
    assert_eq!(world.engine.snapshot(world.now).rebalances, 0);
    assert_agrees(&mut world);
    world.mine(&request);
    assert!(world.kept.positions[&TOKEN_ID].closed.is_some());
    assert_eq!(world.engine.snapshot(world.now).rebalances, 1);
    assert_agrees(&mut world);
}

#[test]
fn a_block_that_comes_and_goes_and_comes_again_books_once_each_time() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    let before = world.checkpoint();
    world.mine(&request);
    let minted = balances(&world);
    for _ in 0..3 {
        world.take_back(&before);
        world.mine(&request);
        assert_eq!(balances(&world), minted);
    }
    assert_agrees(&mut world);
}

#[test]
fn a_gift_taken_back_is_neither_held_nor_profit() {
    let (mut world, _) = World::open(only_liquidity());
    let (before, profit) = (world.checkpoint(), world.profit());
    let gift = world.foreign(USDT, true, U256::from(7_000_000));
    world.foreign_block(gift);
    assert_eq!(world.profit(), profit);
    world.take_back(&before);
    assert_eq!(world.profit(), profit);
    assert_agrees(&mut world);
}

fn is_quarantined(world: &World) -> bool {
    world.engine.snapshot(world.now).pools[0].state == "quarantined"
}

#[test]
fn a_pool_follows_again_once_the_log_that_did_not_fit_is_taken_back() {
    let (mut world, _) = World::open(only_liquidity());
    let misfit = V3Event::Burn { lower: -10, upper: 10, amount: 1 };
    for misfit in [PoolEvent::V3(misfit), PoolEvent::Broken("no such log".into())] {
        let before = world.checkpoint();
        world.swap_to(TICK + 700);
        world.swap_to(TICK - 700);
        world.block_with(vec![misfit], Vec::new());
        world.swap_to(TICK);
        assert!(is_quarantined(&world));
        world.take_back(&before);
        assert_pool(&world);
        world.swap_to(TICK + 100);
        world.swap_to(TICK);
        assert_pool(&world);
    }
}

#[test]
fn a_pool_is_restored_as_deep_as_is_remembered_and_quarantined_deeper() {
    for (n_blocks, is_known) in [(UNDO_BLOCKS_MIN, true), (UNDO_BLOCKS_MIN + 1, false)] {
        let (mut world, _) = World::open(only_liquidity());
        let before = world.checkpoint();
        world.swap_to(TICK + 50);
        let after = world.checkpoint();
        for _ in 0..n_blocks {
            world.block();
        }
        world.take_back(&after);
        assert_pool(&world);
        world.take_back(&before);
        assert_eq!(is_quarantined(&world), !is_known, "{n_blocks}");
        if is_known {
            assert_pool(&world);
        }
    }
}

#[test]
fn a_reorganisation_while_the_house_was_down_is_undone_at_the_start() {
    let (mut world, asked) = World::open(only_liquidity());
    let request = world.send(&asked);
    let (before, books) = (world.checkpoint(), balances(&world));
    world.mine(&request);
    let minted = balances(&world);
    world.become_as(&before);
    world.die();
    assert_eq!(balances(&world), minted, "what was stored is believed until the chain speaks");
    world.feed(Body::Reorganised(Box::new(before.head)));
    assert_eq!(balances(&world), books);
    assert!(world.kept.positions.is_empty());
    world.mine(&request);
    world.connect();
    assert_eq!(balances(&world), minted);
}

/// Depth of the removal, counted in blocks from the mint on.
const DEPTHS: std::ops::RangeInclusive<usize> = 1..=16;

/// A house that has opened a position, landed a cycle and filled its hedge; the checkpoint is the
/// block before the first of them.
struct Busy {
    world: World,
    requests: Vec<TxRequest>,
    before: Checkpoint,
    books: BTreeMap<(Account, Unit), I256>,
}

fn busy(depth: usize) -> Busy {
    let mut world = World::new(with_cycles());
    world.begin();
    world.connect();
    world.compare();
    let asked = world.timer();
    let mint = world.send(&asked);
    assert!(matches!(mint.act, Act::Open { .. }));
    for order in places(&asked) {
        fill(&mut world, &order, 1);
    }
    let (before, books) = (world.checkpoint(), on_chain(&world));
    world.mine(&mint);
    world.audit_wallet();
    let mut requests = vec![mint];
    if depth > 1 {
        let (asked, cycle) = next_cycle(&mut world);
        requests.push(cycle);
        for order in places(&asked) {
            fill(&mut world, &order, 2);
        }
    }
    for _ in requests.len()..depth {
        world.block();
    }
    Busy { world, requests, before, books }
}

/// The pair is off by a swap of somebody else; the cycle is sent and mined.
fn next_cycle(world: &mut World) -> (Vec<Command>, TxRequest) {
    let asked = world.pair_block(100);
    assert_eq!(estimates(&asked).len(), 1, "a cycle is worth it: {asked:?}");
    let request = world.send(&asked);
    assert!(matches!(request.act, Act::Cycle { .. }));
    let then = world.mine(&request);
    world.audit_wallet();
    (then, request)
}

fn fill(world: &mut World, order: &Order, trade: u64) {
    let quantity = order.request.quantity;
    let fill = world.trade(order, trade, ORDER_ID + trade, quantity);
    world.tell(&fill, FillSource::Stream);
    world.report(order, ORDER_ID + trade, Reported::Filled, quantity);
}

/// Balances on the chain alone: what venues did is not undone.
fn on_chain(world: &World) -> BTreeMap<(Account, Unit), I256> {
    let is_chain = |unit: &Unit| !matches!(unit, Unit::Asset { .. } | Unit::Perp { .. });
    balances(world).into_iter().filter(|((_, unit), _)| is_chain(unit)).collect()
}

#[test]
fn a_mint_and_a_cycle_are_undone_at_every_depth_and_the_hedge_stays() {
    for depth in DEPTHS {
        let Busy { mut world, requests, before, books } = busy(depth);
        let contracts = world.engine.contracts("hedge", "ETHUSDT");
        assert!(contracts.is_some_and(|held| held < Decimal::ZERO), "{depth}: {contracts:?}");
        let whole = on_chain(&world);
        let asked = world.take_back(&before);
        assert_eq!(on_chain(&world), books, "depth {depth}");
        assert_eq!(world.engine.contracts("hedge", "ETHUSDT"), contracts, "a fill is a fact");
        let nonces: Vec<u64> = requests.iter().map(|request| request.nonce).collect();
        assert_eq!(resends(&asked), nonces, "depth {depth}");
        assert_pool(&world);
        let fates: Vec<Fate> = world.kept.opportunities.values().map(|seen| seen.fate).collect();
        assert!(!fates.contains(&Fate::Landed), "depth {depth}: {fates:?}");
        assert_agrees(&mut world);

        for request in &requests {
            world.mine(request);
        }
        assert_eq!(on_chain(&world), whole, "depth {depth}: a clean replay has the same books");
        assert_agrees(&mut world);
    }
}

#[test]
fn the_hedge_follows_what_is_left_after_a_removal() {
    let (mut world, asked) = World::open(only_hedge());
    for order in places(&asked) {
        fill(&mut world, &order, 1);
    }
    let before = world.checkpoint();
    let gift = world.foreign(WETH, true, ether(5));
    let asked = world.foreign_block(gift);
    let [order] = &places(&asked)[..] else { panic!("the gift is hedged: {asked:?}") };
    assert_eq!(order.request.quantity, dec!(5));
    fill(&mut world, order, 2);
    assert_eq!(places(&world.take_back(&before)).len(), 0, "not before it was compared");
    let asked = world.audit_wallet();
    let [order] = &places(&asked)[..] else { panic!("the hedge is taken off: {asked:?}") };
    assert_eq!((order.request.quantity, order.request.reduce_only), (dec!(5), true));
}
