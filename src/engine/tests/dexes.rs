//! Pools of other exchanges beside Uniswap V3's: V4's are followed, compared and shown, and what
//! has the same curve as V3 is not taken for it.

use alloy::primitives::{Address, U256, address};
use rust_decimal::{Decimal, dec};

use crate::engine::event::{Body, ChainStart, Observed, Pool, PoolEvent};
use crate::engine::setup::{Curve, PoolSetup, Setup};
use crate::engine::snapshot::PoolRow;
use crate::engine::tests::asked::estimates;
use crate::engine::tests::legs::house_of;
use crate::engine::tests::stage::{CHAIN, POOL, TICK, USDT, only_liquidity, pool, with_legs};
use crate::engine::tests::world::World;
use crate::market::pools::v4::key::{DYNAMIC_FEE, PoolKey};
use crate::market::pools::v4::{PoolV4, SwapEnd, V4Event, V4Observed, V4Snapshot};
use crate::math::amm::Direction;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::model::chain::PoolAddress;

const MANAGER: Address = Address::with_last_byte(0x44);
/// Called before a pool is opened and never after.
const HOOKS: Address = address!("0000000000000000000000000000000000002000");

/// The native coin against the dollar, with the liquidity of the V3 pool.
fn of_v4(fee_pips: u32, hooks: Address) -> PoolV4 {
    let like = pool().snapshot().expect("it is in step");
    let key = PoolKey {
        currency0: Address::ZERO,
        currency1: USDT,
        fee_pips,
        tick_spacing: like.tick_spacing,
        hooks,
    };
    let snapshot = V4Snapshot {
        key,
        sqrt_price_x96: like.sqrt_price_x96,
        tick: like.tick,
        protocol_fee: 0,
        lp_fee_pips: key.fixed_fee_pips().unwrap_or(300),
        liquidity: like.liquidity,
        fee_growth_global0: U256::ZERO,
        fee_growth_global1: U256::ZERO,
        ticks: like.ticks,
        block: like.block,
    };
    PoolV4::from_snapshot(snapshot).expect("the ticks close")
}

fn with_v4(key: PoolKey) -> Setup {
    let mut setup = only_liquidity();
    setup.chains[0].pools.push(PoolSetup {
        address: key.id().into(),
        manager: Some(MANAGER),
        key: Some(key),
        dex: "uniswap_v4".into(),
        curve: Curve::V4,
        executor_dex: None,
        pair: "ETH/USDT".into(),
        fee_pips: 300,
        tick_spacing: key.tick_spacing,
        token0: Address::ZERO,
        token1: USDT,
        base_is_token0: true,
    });
    setup
}

/// A house that just read both pools.
fn house(pool: &PoolV4) -> World {
    let mut world = World::new(with_v4(*pool.key()));
    world.begin();
    let id = PoolAddress::from(pool.key().id());
    let start = ChainStart {
        header: world.head,
        pools: vec![
            (POOL, Pool::V3(Box::new(world.pool.clone()))),
            (id, Pool::V4(Box::new(pool.clone()))),
        ],
        wallet: world.wallet(),
        signer_nonce: 0,
    };
    world.feed(Body::ChainReady(Box::new(start)));
    world
}

/// What people see of the V4 pool and of the other.
fn rows(world: &World) -> [PoolRow; 2] {
    let rows = world.engine.snapshot(world.now).pools;
    let is_v4 = |row: &&PoolRow| row.dex == "uniswap_v4";
    let v4 = rows.iter().find(is_v4).expect("it is shown").clone();
    [v4, rows.iter().find(|row| !is_v4(row)).expect("it is shown").clone()]
}

fn price(row: &PoolRow) -> Decimal {
    let text = row.price.as_ref().expect("a price");
    text.parse().expect("a number")
}

/// Somebody sells a coin: the pool afterwards and its log.
fn sold(mut pool: PoolV4) -> (PoolV4, V4Event) {
    let amount = SwapAmount::ExactIn(U256::from(10_u128.pow(18)));
    let order = SwapOrder { direction: Direction::ZeroForOne, amount, sqrt_limit_x96: None };
    let outcome = pool.quote(&order).expect("no hooks take part");
    let signed = |amount: U256| i128::try_from(amount.to::<u128>()).expect("small");
    let log = V4Event::Swap(SwapEnd {
        amount0: -signed(outcome.amount_in),
        amount1: signed(outcome.amount_out),
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
        fee_pips: pool.lp_fee_pips(),
    });
    pool.apply(&log).expect("its own quote");
    (pool, log)
}

fn told(world: &mut World, pool: &PoolV4, log: V4Event) {
    let mut block = world.next_block(Vec::new(), Vec::new(), Vec::new());
    block.pool_logs.push((pool.key().id().into(), PoolEvent::V4(log)));
    world.feed(Body::Block(Box::new(block)));
}

fn audit(world: &mut World, pool: &PoolV4, change: impl FnOnce(&mut V4Observed)) {
    let [fee_growth_global0, fee_growth_global1] = pool.fee_growth_global();
    let mut observed = V4Observed {
        sqrt_price_x96: pool.sqrt_price_x96(),
        tick: pool.tick(),
        protocol_fee: pool.protocol_fee(),
        lp_fee_pips: pool.lp_fee_pips(),
        liquidity: pool.liquidity(),
        fee_growth_global0,
        fee_growth_global1,
    };
    change(&mut observed);
    world.feed(Body::PoolAudit {
        chain: CHAIN,
        pool: pool.key().id().into(),
        block: world.head.block,
        observed: Observed::V4(Box::new(observed)),
    });
}

/// Whether the reason why it is not used names this field.
fn blames(world: &World, field: &str) -> bool {
    rows(world)[0].reason.as_ref().is_some_and(|why| why.contains(field))
}

#[test]
fn its_logs_move_it_and_people_see_it_as_any_other_pool() {
    let before = of_v4(500, Address::ZERO);
    let mut world = house(&before);
    let [v4, v3] = rows(&world);
    assert_eq!(v4.pool, before.key().id().to_string());
    // The coin has the decimals of its wrapped token.
    assert_eq!((price(&v4), v4.tick), (price(&v3), Some(TICK)));
    assert_eq!(price(&v4).round(), dec!(2683));
    assert_eq!((v4.fee_pips, &v4.liquidity), (500, &v3.liquidity));
    let (after, log) = sold(before);
    told(&mut world, &after, log);
    let [v4, _] = rows(&world);
    assert_eq!((v4.tick, v4.events), (Some(after.tick()), 1));
    assert!(after.tick() < TICK && price(&v4) < price(&v3), "{v4:?}");
    audit(&mut world, &after, |_| {});
    assert_eq!((rows(&world)[0].audits, blames(&world, "differs")), (1, false));
}

#[test]
fn one_that_differs_from_the_chain_is_not_believed_and_the_other_is() {
    let pool = of_v4(500, Address::ZERO);
    let changes: [(&str, fn(&mut V4Observed)); 3] = [
        ("protocolFee", |seen| seen.protocol_fee = 77),
        ("feeGrowthGlobal1X128", |seen| seen.fee_growth_global1 = U256::ONE),
        ("lpFee", |seen| seen.lp_fee_pips = 501),
    ];
    for (field, change) in changes {
        let mut world = house(&pool);
        audit(&mut world, &pool, change);
        assert!(blames(&world, field), "{field}: {:?}", rows(&world)[0].reason);
        let [_, v3] = rows(&world);
        assert!(v3.reason.is_none_or(|why| !why.contains(field)));
    }
}

#[test]
fn a_fee_that_hooks_set_is_taken_over_at_every_audit() {
    let pool = of_v4(DYNAMIC_FEE, HOOKS);
    let mut world = house(&pool);
    assert_eq!(rows(&world)[0].fee_pips, 300);
    audit(&mut world, &pool, |seen| seen.lp_fee_pips = 700);
    assert_eq!((rows(&world)[0].fee_pips, blames(&world, "lpFee")), (700, false));
    audit(&mut world, &pool, |seen| seen.lp_fee_pips = 1_000_001);
    assert!(blames(&world, "lpFee"), "no pool has such a fee");
}

#[test]
fn a_setup_of_before_v4_is_still_read() {
    let setup = with_v4(*of_v4(500, Address::ZERO).key());
    let mut written = serde_json::to_value(&setup).expect("it can be written");
    let pools = &mut written["chains"][0]["pools"];
    let id = pools[1]["address"].as_str().expect("a text").to_owned();
    assert_eq!(id.len(), 66);
    let old = pools[0].as_object_mut().expect("a table");
    assert!(old.remove("key").is_some() && old.remove("manager").is_some());
    assert_eq!(old["address"], format!("0x{:0>40}", "f"));
    let read: Setup = serde_json::from_value(written).expect("what lacks is none");
    assert!(read.chains[0].pool(POOL).is_some_and(|pool| pool.key.is_none()));
    let again: PoolAddress = id.parse().expect("an id");
    assert!(read.chains[0].pool(again).is_some_and(|pool| pool.manager == Some(MANAGER)));
}

#[test]
fn a_pool_of_another_exchange_with_the_same_curve_is_no_gap() {
    for (dex, is_gap) in [("uniswap_v3", true), ("sushiswap_v3", false)] {
        let mut setup = with_legs();
        setup.chains[0].pools[0].dex = dex.into();
        let mut world = house_of(setup);
        world.quote(dec!(2700));
        let asked = world.pass(1_000);
        assert_eq!(estimates(&asked).is_empty(), !is_gap, "{dex}: {asked:?}");
        assert_eq!(world.kept.opportunities.is_empty(), !is_gap, "{dex}");
    }
}
