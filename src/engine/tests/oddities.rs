//! Pools that are known exactly and not worth trading in.

use alloy::primitives::U256;
use rust_decimal::dec;

use crate::engine::event::PoolEvent;
use crate::engine::tests::asked::{estimates, only, submits};
use crate::engine::tests::stage::{CHAIN, POOL, TICK, USDT, WETH, only_liquidity};
use crate::engine::tests::world::World;
use crate::execution::tx::Act;
use crate::market::pools::v3::{PoolV3, V3Event, V3Snapshot};
use crate::math::amm::tick::{TickState, sqrt_price_at};
use crate::model::intent::{CloseRange, OpenRange, PoolId, SwapPlan, Want};

const LIQUIDITY: u128 = 1_000_000_000_000_000_000;
const IN_POOL: PoolId = PoolId { chain: CHAIN, address: POOL };

/// A house that knows its pool, which is at a tick, with liquidity between two others.
fn house(tick: i32, ends: [i32; 2]) -> World {
    let mut world = built(tick, ends);
    world.begin();
    world.connect();
    world
}

/// The same before it was told anything.
fn built(tick: i32, [lower, upper]: [i32; 2]) -> World {
    let end = |net| TickState { gross: LIQUIDITY, net, ..TickState::default() };
    let amount = i128::try_from(LIQUIDITY).expect("small");
    let is_inside = lower <= tick && tick < upper;
    let snapshot = V3Snapshot {
        sqrt_price_x96: sqrt_price_at(tick).expect("a tick of the protocol"),
        tick,
        liquidity: if is_inside { LIQUIDITY } else { 0 },
        ticks: vec![(lower, end(amount)), (upper, end(-amount))],
        ..V3Snapshot::unopened(500, 10, 100)
    };
    let mut world = World::new(only_liquidity());
    world.pool = PoolV3::from_snapshot(snapshot).expect("the ticks close");
    world
}

/// May a range be opened, a token be swapped, a position be closed?
fn may(world: &World) -> [Result<(), String>; 3] {
    let (zero, notional) = (U256::ZERO, dec!(1));
    let open = OpenRange {
        pool: IN_POOL,
        tick_lower: -198_000,
        tick_upper: -197_000,
        amount0: zero,
        amount1: zero,
        amount0_min: zero,
        amount1_min: zero,
        notional,
    };
    let swap = SwapPlan {
        pool: IN_POOL,
        token_in: WETH,
        token_out: USDT,
        amount_in: zero,
        amount_out_min: zero,
        notional,
    };
    let close = CloseRange {
        pool: IN_POOL,
        token_id: zero,
        liquidity: 0,
        amount0_min: zero,
        amount1_min: zero,
    };
    let wants = [Want::Open(open), Want::Swap(swap), Want::Close(close)];
    wants.map(|want| world.engine.pool_usable(IN_POOL, &want))
}

/// Word and reason that people see.
fn told(world: &World) -> (&'static str, Option<String>) {
    let row = world.engine.snapshot(world.now).pools.remove(0);
    (row.state, row.reason)
}

#[test]
fn a_plain_pool_may_be_used() {
    let world = house(TICK, [-198_000, -197_000]);
    assert_eq!((may(&world), told(&world)), ([const { Ok(()) }; 3], ("live", None)));
}

#[test]
fn in_an_empty_pool_nothing_is_swapped_and_a_range_may_be_opened() {
    let world = house(TICK, [-190_000, -180_000]);
    let why = "it has no liquidity at its price";
    assert_eq!(told(&world), ("live", Some(format!("not used: {why}"))));
    let refused = Err(format!("pool {POOL} is not used: {why}"));
    assert_eq!(may(&world), [Ok(()), refused, Ok(())]);
}

#[test]
fn what_was_to_be_swapped_is_not_signed_once_the_pool_is_empty() {
    let (lower, upper) = (-198_000, -197_000);
    let mut world = built(TICK, [lower, upper]);
    world.weth = U256::ZERO;
    world.begin();
    world.connect();
    world.compare();
    let (intent, act) = only(estimates(&world.timer()));
    assert!(matches!(act, Act::Swap { .. }), "{act:?}");
    let gone = V3Event::Burn { lower, upper, amount: LIQUIDITY };
    world.block_with(vec![PoolEvent::V3(gone)], Vec::new());
    assert!(submits(&world.estimated(intent)).is_empty());
    assert!(world.kept.has_note("estimate_refused", "it has no liquidity at its price"));
}

#[test]
fn at_an_end_of_the_protocol_only_what_is_ours_comes_out() {
    let world = house(-880_000, [-887_270, 887_270]);
    let why = "its tick -880000 is within 1 % of the protocol's ends";
    assert_eq!(told(&world), ("live", Some(format!("not used: {why}"))));
    let refused = || Err(format!("pool {POOL} is not used: {why}"));
    assert_eq!(may(&world), [refused(), refused(), Ok(())]);
}
