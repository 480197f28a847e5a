//! [`PoolV3`] fed with logs: the contract model's, recorded ones, wrong ones and arbitrary ones.

use std::io::Read;

use alloy::primitives::{I256, U256};
use flate2::read::GzDecoder;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::market::pools::contract_model::{Act, Limit, Model, SPACING, act, acts};
use crate::market::pools::v3::{PoolV3, V3Event, V3Observed, V3Snapshot, ViewError};
use crate::math::amm::Direction;
use crate::math::amm::tick::{MAX_TICK, TickRange, TickState, sqrt_price_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder};

pub(super) fn empty_pool(fee_pips: u32) -> PoolV3 {
    PoolV3::from_snapshot(V3Snapshot::unopened(fee_pips, SPACING, 0)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn logs_alone_rebuild_the_contract_s_state(
        start in -20_000i32..20_000,
        fee_pips in 0u32..20_000,
        script in vec(acts(), 1..60),
    ) {
        let (mut model, first) = Model::initialized(fee_pips, sqrt_price_at(start).unwrap());
        let mut pool = empty_pool(fee_pips);
        pool.apply(&first).unwrap();
        for step in &script {
            let Some(event) = act(&mut model, step) else { continue };
            pool.apply(&event).unwrap();
            assert_eq!(pool.snapshot().unwrap(), model.snapshot(), "{event:?}");
        }
        assert_eq!(PoolV3::from_snapshot(model.snapshot()).as_ref(), Ok(&pool));
        let held: Vec<_> = model.positions.iter().map(|(&range, &held)| (range, held)).collect();
        for ((lower, upper), before) in held.into_iter().filter(|(_, held)| held.liquidity > 0) {
            let range = TickRange::new(lower, upper, SPACING).unwrap();
            let fees = pool.position_fees(range, before.liquidity, before.inside).unwrap();
            model.modify(lower, upper, 0);
            let after = model.positions[&(lower, upper)];
            assert_eq!(fees.owed0, after.owed[0].wrapping_sub(before.owed[0]));
            assert_eq!(fees.owed1, after.owed[1].wrapping_sub(before.owed[1]));
            assert_eq!([fees.inside0, fees.inside1], after.inside);
        }
    }

    #[test]
    fn no_log_and_no_snapshot_panics(
        amounts in any::<[[u64; 4]; 2]>(),
        price in any::<[u64; 4]>(),
        shift in 0usize..256,
        (liquidity, amount) in any::<(u128, u128)>(),
        (tick, lower, upper) in any::<(i32, i32, i32)>(),
        parts in any::<[u8; 4]>(),
        fee_pips in any::<u32>(),
        tick_spacing in any::<i32>(),
    ) {
        let price = U256::from_limbs(price) >> shift;
        let [raw0, raw1] = amounts.map(|limbs| U256::from_limbs(limbs) >> (shift / 2));
        let (amount0, amount1) = (I256::from_raw(raw0), I256::from_raw(raw1));
        let (mut model, first) = Model::initialized(500, sqrt_price_at(0).unwrap());
        let mut base = empty_pool(500);
        base.apply(&first).unwrap();
        base.apply(&model.mint(-100, 100, 1 << 60)).unwrap();
        let aligned = |tick: i32| tick / 1_000 / SPACING * SPACING;
        let (near, far) = (aligned(lower), aligned(upper));
        for event in [
            V3Event::Initialize { sqrt_price_x96: price, tick },
            V3Event::Swap { amount0, amount1, sqrt_price_x96: price, liquidity, tick },
            V3Event::Swap {
                amount0,
                amount1: amount1.wrapping_neg(),
                sqrt_price_x96: price,
                liquidity,
                tick,
            },
            V3Event::Mint { lower, upper, amount },
            V3Event::Mint { lower: near, upper: far, amount },
            V3Event::Burn { lower, upper, amount },
            V3Event::Burn { lower: near, upper: far, amount },
            V3Event::Flash { paid0: raw0, paid1: raw1 },
            V3Event::SetFeeProtocol {
                old0: parts[0],
                old1: parts[1],
                new0: parts[2],
                new1: parts[3],
            },
            V3Event::CollectProtocol { amount0: liquidity, amount1: amount },
            V3Event::Collect { lower, upper, amount0: liquidity, amount1: amount },
        ] {
            for mut pool in [base.clone(), empty_pool(0)] {
                let before = pool.clone();
                match pool.apply(&event) {
                    Ok(undo) => pool.undo(undo),
                    Err(_) => {
                        assert_eq!(pool.snapshot(), Err(ViewError::Desynced));
                        pool.undo_misfit();
                    }
                }
                assert_eq!(pool, before, "{event:?}");
            }
        }
        let state = |net| TickState { gross: amount, net, ..TickState::default() };
        let _ = PoolV3::from_snapshot(V3Snapshot {
            fee_pips,
            tick_spacing,
            sqrt_price_x96: price,
            tick,
            liquidity,
            ticks: vec![
                (lower, state(liquidity as i128)),
                (upper, state(i128::MIN)),
            ],
            ..base.snapshot().unwrap()
        });
    }
}

/// Recorded mainnet and Polygon swaps whose start is known: equal liquidity before and after, so
/// one range over everything stands for the ticks.
#[test]
fn recorded_swap_logs_are_reproduced_to_the_unit() {
    let gz =
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/amm/v3_swap_logs.csv.gz"));
    let mut text = String::new();
    GzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
    let mut refused = Vec::new();
    for row in text.lines().skip(1) {
        let cell: Vec<_> = row.split(',').collect();
        let tick_spacing: i32 = cell[1].parse().unwrap();
        let liquidity: u128 = cell[4].parse().unwrap();
        let end = MAX_TICK / tick_spacing * tick_spacing;
        let net = i128::try_from(liquidity).unwrap();
        let state = |net| TickState { gross: liquidity, net, ..TickState::default() };
        let mut pool = PoolV3::from_snapshot(V3Snapshot {
            sqrt_price_x96: cell[2].parse().unwrap(),
            tick: cell[3].parse().unwrap(),
            liquidity,
            ticks: vec![(-end, state(net)), (end, state(-net))],
            ..V3Snapshot::unopened(cell[0].parse().unwrap(), tick_spacing, 0)
        })
        .unwrap();
        let logged = pool.apply(&V3Event::Swap {
            amount0: cell[5].parse().unwrap(),
            amount1: cell[6].parse().unwrap(),
            sqrt_price_x96: cell[7].parse().unwrap(),
            liquidity,
            tick: cell[8].parse().unwrap(),
        });
        if let Err(desync) = logged {
            refused.push(format!("{row}: {desync:?}"));
        }
    }
    assert!(refused.is_empty(), "{} {:#?}", refused.len(), refused.first());
}

/// One unit more, or a tick next door, and the log is refused for good.
#[test]
fn a_swap_log_that_is_off_stops_the_pool() {
    let (mut model, first) = Model::initialized(3_000, sqrt_price_at(5).unwrap());
    let mut before = empty_pool(3_000);
    before.apply(&first).unwrap();
    before.apply(&model.mint(-1_000, 1_000, 1 << 70)).unwrap();
    let event = act(
        &mut model,
        &Act::Swap {
            zero_for_one: true,
            exact_in: true,
            amount: 1 << 60,
            shift: 0,
            limit: Limit::End,
        },
    );
    let Some(V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick }) = event else {
        panic!("the model swaps");
    };
    // Within one unit of amount several prices and inputs are some swap's honest log; not beyond.
    let (one, many) = (I256::ONE, I256::from_raw(U256::from(1_000_000)));
    let price_step = U256::ONE << 40;
    for wrong in [
        V3Event::Swap { amount0: amount0 + many, amount1, sqrt_price_x96, liquidity, tick },
        V3Event::Swap { amount0, amount1: amount1 - one, sqrt_price_x96, liquidity, tick },
        V3Event::Swap {
            amount0,
            amount1,
            sqrt_price_x96: sqrt_price_x96 + price_step,
            liquidity,
            tick,
        },
        V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity: liquidity + 1, tick },
        V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick: tick + 1 },
    ] {
        let mut pool = before.clone();
        assert!(pool.apply(&wrong).is_err(), "{wrong:?} {event:?}");
        assert!(pool.desync().is_some());
        let order = SwapOrder {
            direction: Direction::ZeroForOne,
            amount: SwapAmount::ExactIn(MAX_SWAP_AMOUNT),
            sqrt_limit_x96: None,
        };
        assert_eq!(pool.quote(&order), Err(ViewError::Desynced));
        assert!(pool.apply(&event.unwrap()).is_err());
    }
}

#[test]
fn a_comparison_names_what_differs() {
    let (_, first) = Model::initialized(3_000, sqrt_price_at(5).unwrap());
    let mut pool = empty_pool(3_000);
    pool.apply(&first).unwrap();
    let same = V3Observed {
        sqrt_price_x96: pool.sqrt_price_x96(),
        tick: pool.tick(),
        liquidity: pool.liquidity(),
        fee_growth_global0: U256::ZERO,
        fee_growth_global1: U256::ZERO,
        protocol_fees: (0, 0),
    };
    assert!(pool.compare(&same).is_empty());
    let other = V3Observed { tick: 6, fee_growth_global1: U256::ONE, ..same };
    let fields: Vec<_> = pool.compare(&other).into_iter().map(|found| found.field).collect();
    assert_eq!(fields, ["tick", "feeGrowthGlobal1X128"]);
}
