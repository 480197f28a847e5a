//! What people are told of one pool, and what they are told no more once blocks are taken back.

use alloy::primitives::{B256, U256};
use rust_decimal::Decimal;

use crate::engine::event::{Body, PoolEvent};
use crate::engine::recent::LOGS_KEPT;
use crate::engine::setup::PoolSetup;
use crate::engine::snapshot::pool::{PoolDetail, PoolEventRow};
use crate::engine::tests::on_chain::TOKEN_ID;
use crate::engine::tests::stage::{
    CHAIN, PAIR, POOL, TICK, only_cycles, only_liquidity, pair, with_cycles,
};
use crate::engine::tests::world::World;
use crate::market::pools::v2::V2Event;
use crate::model::amount::human_unsigned;
use crate::model::chain::PoolAddress;
use crate::model::intent::PoolId;

const POOL_ID: PoolId = PoolId { chain: CHAIN, address: POOL };
const PAIR_ID: PoolId = PoolId { chain: CHAIN, address: PAIR };

fn detail(world: &World, id: PoolId) -> PoolDetail {
    world.engine.pool_detail(id, world.now).expect("a pool of the setup")
}

fn kinds(detail: &PoolDetail) -> Vec<&'static str> {
    detail.events.iter().map(|event| event.kind).collect()
}

fn number(text: &Option<String>) -> Decimal {
    text.as_deref().expect("known").parse().expect("a number")
}

/// Base and quote have these signs.
#[track_caller]
fn assert_signs(event: &PoolEventRow, base_is_got: bool, quote_is_got: bool) {
    let got = [number(&event.base), number(&event.quote)].map(|amount| amount > Decimal::ZERO);
    assert_eq!(got, [base_is_got, quote_is_got], "{event:?}");
}

#[test]
fn a_pool_tells_its_curve_and_its_newest_logs_first() {
    let (mut world, asked) = World::open(only_liquidity());
    let before = detail(&world, POOL_ID);
    assert_eq!((before.name.as_str(), before.events.len()), ("local/uniswap_v3/WETH/USDT/500", 0));
    assert_eq!((before.ticks, before.ticks_outside), (Some(4), Some(2)));
    assert_eq!((before.unit.as_str(), before.tick_spacing), ("USDT per WETH", 10));
    assert_eq!(before.protocol_pips_base.as_deref(), Some("0"));

    world.open_position(&asked);
    world.swap_to(TICK + 50);
    world.swap_to(TICK - 50);
    let after = detail(&world, POOL_ID);
    assert_eq!(kinds(&after), ["swap", "swap", "added"]);
    let [fall, rise, added] = &after.events[..] else { panic!("{:?}", after.events) };
    assert_signs(fall, true, false);
    assert_signs(rise, false, true);
    assert!(number(&rise.price) > number(&added.price) && fall.block == rise.block + 1);
    assert_eq!((&fall.price, added.price.as_ref()), (&after.price, before.price.as_ref()));

    let position = &world.kept.positions[&TOKEN_ID];
    let put_in = [(position.amount0, 18), (position.amount1, 6)];
    let put_in = put_in.map(|(raw, decimals)| human_unsigned(raw, decimals).expect("fits"));
    assert_eq!([number(&added.base), number(&added.quote)], put_in, "to the unit");
    assert_eq!(after.ticks, Some(6), "the position's two are new");
}

#[test]
fn logs_of_blocks_taken_back_are_told_no_more() {
    let (mut world, _) = World::open(only_liquidity());
    world.swap_to(TICK + 20);
    let before = world.checkpoint();
    let told = detail(&world, POOL_ID);
    world.swap_to(TICK - 20);
    assert_eq!(detail(&world, POOL_ID).events.len(), 2);
    world.take_back(&before);
    let again = detail(&world, POOL_ID);
    assert_eq!((kinds(&again), &again.price), (kinds(&told), &told.price));
    world.swap_to(TICK - 30);
    assert_eq!(detail(&world, POOL_ID).events.len(), 2);
}

#[test]
fn only_the_newest_logs_are_kept() {
    let (mut world, _) = World::open(only_liquidity());
    for step in 0..60 {
        world.swap_to(TICK + 10 + step % 2);
    }
    let told = detail(&world, POOL_ID);
    assert_eq!(told.events.len(), LOGS_KEPT);
    assert!(told.events.is_sorted_by(|newer, older| newer.block > older.block));
}

#[test]
fn a_pair_is_told_by_its_reserves() {
    let (mut world, _) = World::open(only_cycles());
    let reserves = pair(0).reserves();
    let told = detail(&world, PAIR_ID);
    assert_eq!((told.sqrt_price_x96, told.protocol_pips_base), (None, None));
    assert_eq!((told.ticks, told.liquidity.len()), (Some(0), 2));
    let (paid, bought) = (1_000_000_000_000_000_u128, 2_600_000_u128);
    let mut block = world.next_block(Vec::new(), Vec::new(), Vec::new());
    let sync = V2Event::Sync { reserve0: reserves.0 + paid, reserve1: reserves.1 - bought };
    let swap = V2Event::Swap {
        amount0_in: U256::from(paid),
        amount1_in: U256::ZERO,
        amount0_out: U256::ZERO,
        amount1_out: U256::from(bought),
    };
    block.pool_logs = [sync, swap].map(|log| (PAIR, PoolEvent::V2(log))).into();
    world.feed(Body::Block(Box::new(block)));
    let after = detail(&world, PAIR_ID);
    let [event] = &after.events[..] else { panic!("{:?}", after.events) };
    assert_eq!(
        (event.kind, event.base.as_deref(), event.quote.as_deref()),
        ("swap", Some("0.001"), Some("-2.6"))
    );
    assert_eq!(event.price, after.price);
}

#[test]
fn of_many_pools_those_with_our_liquidity_and_those_not_in_use_are_shown() {
    let mut setup = with_cycles();
    let pools = &mut setup.chains[0].pools;
    let like = pools[1].clone();
    let unread =
        |n| PoolSetup { address: PoolAddress::from(B256::from(U256::from(n))), ..like.clone() };
    pools.splice(0..0, (1_000..1_300).map(unread));
    let world = World::ready(setup);
    let document = world.engine.snapshot(world.now);
    let chain = &document.chains[0];
    assert_eq!((chain.pools_watched, chain.pools_live), (302, 2));
    assert_eq!(document.pools.len(), 200);
    let first = &document.pools[0];
    assert_eq!((first.pool.parse(), first.state), (Ok(POOL), "live"));
    assert!(document.pools[1..].iter().all(|row| row.state == "syncing"));
    assert!(detail(&world, PAIR_ID).row.state == "live", "whoever asks is told of any pool");
}

#[test]
fn a_pool_not_to_be_trusted_is_told_and_one_of_no_file_is_not() {
    let (mut world, _) = World::open(only_liquidity());
    world.swap_to(TICK + 20);
    world.block_with(vec![PoolEvent::Broken("a log without topics".into())], Vec::new());
    let told = detail(&world, POOL_ID);
    assert_eq!(told.row.state, "quarantined");
    assert_eq!(kinds(&told), ["swap"], "what was followed stays told");
    for elsewhere in [PAIR_ID, PoolId { chain: CHAIN + 1, ..POOL_ID }] {
        assert!(world.engine.pool_detail(elsewhere, world.now).is_none(), "{elsewhere:?}");
    }
}
