//! [`PoolV4`] fed with logs: those of `PoolManager`'s own bytecode, its own quotes', wrong ones and
//! arbitrary ones.

use std::io::Read;

use alloy::primitives::{Address, B256, I256, U256};
use flate2::read::GzDecoder;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use serde_json::Value;

use crate::market::pools::v4::follow::end_of;
use crate::market::pools::v4::key::{DYNAMIC_FEE, PoolKey, SwapHook};
use crate::market::pools::v4::{
    Desync, PoolV4, SnapshotError, SwapEnd, V4Event, V4Observed, V4Snapshot, ViewError,
};
use crate::math::amm::tick::{TickRange, TickState, Ticks, sqrt_price_at};
use crate::math::amm::v3::{Quote, SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::v4::{protocol_part_pips, swap, swap_fee_pips};
use crate::math::amm::{AmmError, Direction};

const DEEP: u128 = 1 << 70;

pub(super) fn recorded() -> Value {
    let gz = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/amm/v4_core_vectors.json.gz"
    ));
    let mut text = String::new();
    GzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(super) fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn u(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

fn i(value: &Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

pub(super) fn pips(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn wide<T: std::str::FromStr>(value: &Value) -> T {
    value.as_str().unwrap().parse().ok().unwrap()
}

fn address(value: &Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

pub(super) fn key_of(pool: &Value) -> PoolKey {
    let key = &pool["key"];
    PoolKey {
        currency0: address(&key[0]),
        currency1: address(&key[1]),
        fee_pips: pips(&key[2]),
        tick_spacing: i(&key[3]),
        hooks: address(&key[4]),
    }
}

/// Step by step and from the table a pool answers the same.
fn same(pool: &PoolV4, order: &SwapOrder, outcome: Result<SwapOutcome, ViewError>) {
    assert_eq!(pool.quote(order), outcome.as_ref().map(Quote::from).map_err(|error| *error));
    assert_eq!(pool.walk(order), outcome);
}

pub(super) fn event(log: &Value) -> V4Event {
    match log[0].as_str().unwrap() {
        "Initialize" => V4Event::Initialize { sqrt_price_x96: u(&log[1]), tick: i(&log[2]) },
        "Swap" => V4Event::Swap(SwapEnd {
            amount0: wide(&log[1]),
            amount1: wide(&log[2]),
            sqrt_price_x96: u(&log[3]),
            liquidity: wide(&log[4]),
            tick: i(&log[5]),
            fee_pips: pips(&log[6]),
        }),
        "ModifyLiquidity" => {
            V4Event::ModifyLiquidity { lower: i(&log[1]), upper: i(&log[2]), delta: wide(&log[3]) }
        }
        "Donate" => V4Event::Donate { amount0: u(&log[1]), amount1: u(&log[2]) },
        "ProtocolFeeUpdated" => V4Event::ProtocolFeeUpdated { protocol_fee: pips(&log[1]) },
        other => panic!("{other}"),
    }
}

/// What `StateView` said after the step: price, tick, liquidity, both growths, both fees.
fn check_state(pool: &PoolV4, step: &Value) {
    let after = &step["after"];
    if after.is_array() {
        let observed = V4Observed {
            sqrt_price_x96: u(&after[0]),
            tick: i(&after[1]),
            protocol_fee: pips(&after[5]),
            lp_fee_pips: pips(&after[6]),
            liquidity: wide(&after[2]),
            fee_growth_global0: u(&after[3]),
            fee_growth_global1: u(&after[4]),
        };
        let differences = pool.compare(&observed);
        assert!(differences.is_empty(), "{step} {differences:?}");
    }
    if step["ticks"].is_array() {
        let state = |row: &Value| TickState {
            gross: wide(&row[1]),
            net: wide(&row[2]),
            outside0: u(&row[3]),
            outside1: u(&row[4]),
        };
        let ticks: Ticks =
            rows(&step["ticks"]).iter().map(|row| (i(&row[0]), state(row))).collect();
        assert_eq!(pool.ticks(), &ticks, "{step}");
    }
}

/// The swap that was asked of the contract, asked of the state before it. `before` is what
/// `StateView` had said.
fn check_ask(pool: &PoolV4, step: &Value, before: &Value) {
    let ask = rows(&step["ask"]);
    let amount: I256 = wide(&ask[1]);
    let raw = amount.unsigned_abs();
    let zero_for_one = ask[0].as_bool().unwrap();
    let order = SwapOrder {
        direction: if zero_for_one { Direction::ZeroForOne } else { Direction::OneForZero },
        amount: if amount.is_negative() {
            SwapAmount::ExactIn(raw)
        } else {
            SwapAmount::ExactOut(raw)
        },
        sqrt_limit_x96: Some(u(&ask[2])),
    };
    let lp_fee_pips = ask.get(3).map_or(pool.lp_fee_pips(), pips);
    let outcome = swap(&pool.curve(lp_fee_pips), &order);
    match pool.key().swap_hook() {
        None => same(pool, &order, outcome.clone().map_err(ViewError::Curve)),
        Some(hook) => assert_eq!(pool.quote(&order), Err(ViewError::Hooks(hook))),
    }
    if let Some(revert) = step["revert"].as_str() {
        let is_same = match revert {
            "InvalidFeeForExactOut" => matches!(outcome, Err(AmmError::Fee { .. })),
            "SafeCastOverflow" => outcome == Err(AmmError::Overflow),
            "PriceLimitAlreadyExceeded" | "PriceLimitOutOfBounds" => {
                outcome == Err(AmmError::PriceLimit)
            }
            _ => false,
        };
        assert!(is_same, "{step} {outcome:?}");
        return;
    }
    let outcome = outcome.unwrap();
    let part = protocol_part_pips(pool.protocol_fee(), order.direction);
    let end = end_of(&outcome, swap_fee_pips(lp_fee_pips, part).unwrap());
    assert_eq!(end.map(V4Event::Swap), Some(event(&step["log"])), "{step}");
    let (paid, other) = if zero_for_one { (7, 8) } else { (8, 7) };
    let after = &step["after"];
    if after[paid].is_string() {
        let taken = u(&after[paid]) - u(&before[paid]);
        assert_eq!(U256::from(outcome.protocol_fee), taken, "{step}");
        assert_eq!(after[other], before[other], "{step}");
    }
}

#[test]
fn the_contract_s_logs_rebuild_its_state_and_its_swaps_are_quoted_to_the_unit() {
    let file = recorded();
    let (mut logs, mut quoted, mut refused) = (0, 0, 0);
    for recorded in rows(&file["pools"]) {
        let key = key_of(recorded);
        assert_eq!(key.check(), Ok(()));
        assert_eq!(key.id(), wide::<B256>(&recorded["id"]));
        let mut pool = PoolV4::unopened(key, 0).unwrap();
        let mut before = &Value::Null;
        for step in rows(&recorded["steps"]) {
            if step["ask"].is_array() {
                check_ask(&pool, step, before);
                let count = if step["log"].is_null() { &mut refused } else { &mut quoted };
                *count += 1;
            }
            if !step["lp_fee"].is_null() {
                pool.set_lp_fee(pips(&step["lp_fee"])).unwrap();
            }
            if !step["log"].is_null() {
                assert_eq!(pool.apply(&event(&step["log"])).map(drop), Ok(()), "{step}");
                logs += 1;
            }
            check_state(&pool, step);
            if step["after"].is_array() {
                before = &step["after"];
                assert_eq!(pool.lp_fee_pips(), pips(&before[6]), "{step}");
            }
        }
        assert_eq!(PoolV4::from_snapshot(pool.snapshot().unwrap()).as_ref(), Ok(&pool));
        let text = serde_json::to_string(&pool).unwrap();
        assert_eq!(serde_json::from_str::<PoolV4>(&text).unwrap(), pool);
    }
    assert_eq!((logs, quoted, refused), (513, 284, 44));
}

/// `updateDynamicLPFee` leaves no log, but the next swap tells what it paid.
#[test]
fn a_dynamic_fee_is_learnt_from_the_next_swap() {
    let file = recorded();
    let is_dynamic =
        |pool: &&Value| key_of(pool).has_dynamic_fee() && key_of(pool).swap_hook().is_none();
    let recorded = rows(&file["pools"]).iter().find(is_dynamic).unwrap();
    let mut pool = PoolV4::unopened(key_of(recorded), 0).unwrap();
    let mut learnt = 0;
    for step in rows(&recorded["steps"]).iter().filter(|step| !step["log"].is_null()) {
        let known = pool.lp_fee_pips();
        let event = event(&step["log"]);
        assert_eq!(pool.apply(&event).map(drop), Ok(()), "{step}");
        check_state(&pool, step);
        if matches!(event, V4Event::Swap(_)) {
            // Two neighbours can pay the same; the higher is believed.
            let higher = pool.lp_fee_pips() - pips(&step["after"][6]);
            assert!(higher <= 1, "{step} {}", pool.lp_fee_pips());
            learnt += usize::from(pool.lp_fee_pips() != known);
        }
    }
    assert!(learnt > 2, "{learnt}");
}

pub(super) fn key(fee_pips: u32, hook_flags: u16) -> PoolKey {
    let [high, low] = hook_flags.to_be_bytes();
    let mut hooks = [0; 20];
    (hooks[0], hooks[18], hooks[19]) = (u8::from(hook_flags > 0), high, low);
    PoolKey {
        currency0: Address::ZERO,
        currency1: Address::repeat_byte(9),
        fee_pips,
        tick_spacing: 60,
        hooks: Address::from(hooks),
    }
}

/// A pool at tick 5 with a position on [-6000, 6000).
pub(super) fn pool(key: PoolKey) -> PoolV4 {
    let mut pool = PoolV4::unopened(key, 0).unwrap();
    let sqrt_price_x96 = sqrt_price_at(5).unwrap();
    pool.apply(&V4Event::Initialize { sqrt_price_x96, tick: 5 }).unwrap();
    let delta = i128::try_from(DEEP).unwrap();
    pool.apply(&V4Event::ModifyLiquidity { lower: -6_000, upper: 6_000, delta }).unwrap();
    pool
}

fn given(direction: Direction, amount: u128) -> SwapOrder {
    let amount = SwapAmount::ExactIn(U256::from(amount));
    SwapOrder { direction, amount, sqrt_limit_x96: None }
}

pub(super) fn logged(pool: &PoolV4, outcome: &SwapOutcome) -> SwapEnd {
    let part = protocol_part_pips(pool.protocol_fee(), outcome.direction);
    end_of(outcome, swap_fee_pips(pool.lp_fee_pips(), part).unwrap()).unwrap()
}

/// A million units more, a price or a tick next door, another fee: refused for good.
#[test]
fn a_swap_log_that_is_off_stops_the_pool() {
    let before = pool(key(3_000, 0));
    let order = given(Direction::ZeroForOne, 1 << 60);
    let honest = logged(&before, &before.walk(&order).unwrap());
    assert_eq!(before.clone().apply(&V4Event::Swap(honest)).map(drop), Ok(()));
    let moved = honest.sqrt_price_x96 + (U256::ONE << 40);
    for wrong in [
        SwapEnd { amount0: honest.amount0 - 1_000_000, ..honest },
        SwapEnd { amount1: honest.amount1 - 1, ..honest },
        SwapEnd { amount0: -honest.amount0, ..honest },
        SwapEnd { amount0: 0, amount1: 0, ..honest },
        SwapEnd { sqrt_price_x96: moved, ..honest },
        SwapEnd { liquidity: honest.liquidity + 1, ..honest },
        SwapEnd { tick: honest.tick + 1, ..honest },
        SwapEnd { fee_pips: 3_001, ..honest },
        SwapEnd { amount0: i128::MIN, amount1: i128::MAX, ..honest },
    ] {
        let mut pool = before.clone();
        let desync = pool.apply(&V4Event::Swap(wrong)).unwrap_err();
        let is_fee = matches!(desync, Desync::Fee { fee_pips: 3_001 });
        assert_eq!(is_fee, wrong.fee_pips != honest.fee_pips, "{desync:?}");
        assert!(is_fee || matches!(desync, Desync::Swap { .. }), "{desync:?}");
        assert_eq!(pool.quote(&order), Err(ViewError::Desynced));
        assert_eq!(pool.snapshot(), Err(ViewError::Desynced));
        assert_eq!(pool.apply(&V4Event::Swap(honest)), Err(desync));
    }
}

#[test]
fn other_logs_that_are_off_stop_the_pool_too() {
    let unopened = PoolV4::unopened(key(3_000, 0), 0).unwrap();
    let nothing = V4Event::Donate { amount0: U256::ZERO, amount1: U256::ZERO };
    assert_eq!(unopened.clone().apply(&nothing), Err(Desync::NotInitialized));
    let order = given(Direction::ZeroForOne, 1);
    assert_eq!(unopened.quote(&order), Err(ViewError::NotInitialized));
    let price = sqrt_price_at(5).unwrap();
    let opened = |tick| V4Event::Initialize { sqrt_price_x96: price, tick };
    assert_eq!(unopened.clone().apply(&opened(6)), Err(Desync::Initialize));
    let mut empty = unopened;
    empty.apply(&opened(5)).unwrap();
    assert_eq!(empty.clone().apply(&opened(5)), Err(Desync::Initialize));
    assert_eq!(empty.clone().apply(&nothing), Err(Desync::Donate));
    let modified = |lower, upper, delta| V4Event::ModifyLiquidity { lower, upper, delta };
    for (lower, upper, delta) in [(-60, 61, 1), (60, 60, 1), (-60, 60, -1), (-60, 60, i128::MIN)] {
        let refused = empty.clone().apply(&modified(lower, upper, delta));
        assert_eq!(refused, Err(Desync::Liquidity { lower, upper }));
    }
    for protocol_fee in [1_001, 1_001 << 12, 1 << 24] {
        let refused = empty.clone().apply(&V4Event::ProtocolFeeUpdated { protocol_fee });
        assert_eq!(refused, Err(Desync::ProtocolFee));
    }
    assert_eq!(empty.set_lp_fee(3_001), Err(SnapshotError::LpFee { lp_fee_pips: 3_001 }));
    assert_eq!((empty.lp_fee_pips(), empty.desync()), (3_000, None));
}

#[test]
fn a_pool_whose_hooks_take_part_in_swaps_is_followed_but_not_quoted() {
    let order = given(Direction::ZeroForOne, 1 << 40);
    for (fee_pips, flags, hook) in [
        (3_000, 0b1000_1000, Some(SwapHook::TakesTrade)),
        (3_000, 0b0100_0100, Some(SwapHook::TakesResult)),
        (DYNAMIC_FEE, 0b1000_0000, Some(SwapHook::SetsFee)),
        (3_000, 0b1000_0000, Some(SwapHook::Before)),
        (3_000, 0b0100_0000, Some(SwapHook::After)),
        (DYNAMIC_FEE, 1 << 12, None),
        (3_000, 0b11_1111_0011_0011, None),
    ] {
        let mut pool = pool(key(fee_pips, flags));
        let outcome = swap(&pool.curve(pool.lp_fee_pips()), &order).unwrap();
        match hook {
            Some(hook) => assert_eq!(pool.quote(&order), Err(ViewError::Hooks(hook))),
            None => same(&pool, &order, Ok(outcome.clone())),
        }
        let end = logged(&pool, &outcome);
        assert_eq!(pool.apply(&V4Event::Swap(end)).map(drop), Ok(()));
        assert_eq!(pool.sqrt_price_x96(), outcome.sqrt_price_x96);
        // Hooks that may take the whole trade leave a log in which nothing happened.
        let nothing = SwapEnd { amount0: 0, amount1: 0, ..end };
        let kept = pool.clone();
        let followed = pool.apply(&V4Event::Swap(nothing));
        assert_eq!(followed.is_ok(), hook == Some(SwapHook::TakesTrade));
        assert_eq!(followed.is_ok(), pool == kept);
    }
}

#[test]
fn fees_and_donations_belong_to_the_positions_in_range() {
    let mut pool = pool(key(3_000, 0));
    let inner = i128::try_from(3 * DEEP).unwrap();
    pool.apply(&V4Event::ModifyLiquidity { lower: -600, upper: 600, delta: inner }).unwrap();
    pool.apply(&V4Event::ProtocolFeeUpdated { protocol_fee: 250 | 1_000 << 12 }).unwrap();
    let outcome = pool.walk(&given(Direction::OneForZero, 1 << 60)).unwrap();
    let end = logged(&pool, &outcome);
    assert_eq!(end.fee_pips, 3_997);
    pool.apply(&V4Event::Swap(end)).unwrap();
    assert!(pool.tick() > 5 && pool.tick() < 600);
    let given = U256::from(1_000_000);
    pool.apply(&V4Event::Donate { amount0: given, amount1: U256::ZERO }).unwrap();
    let owed = |half: i32, liquidity| {
        let range = TickRange::new(-half, half, 60).unwrap();
        pool.position_fees(range, liquidity, [U256::ZERO; 2]).unwrap()
    };
    let (wide, inner) = (owed(6_000, DEEP), owed(600, 3 * DEEP));
    let of_lps = outcome.fee - U256::from(outcome.protocol_fee);
    assert_eq!(U256::from(outcome.protocol_fee), U256::from(1u64 << 60) / U256::from(1_000));
    for (all, one, three) in
        [(given, wide.amount0, inner.amount0), (of_lps, wide.amount1, inner.amount1)]
    {
        // Each is rounded down on its own.
        assert!(one + three <= all && all - one - three <= U256::from(2));
        assert!(three.abs_diff(one * U256::from(3)) <= U256::from(3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A log does not say whether input, output or price was fixed; the run found for it must all
    /// the same have paid the very fees.
    #[test]
    fn a_pool_that_follows_its_own_quotes_earns_their_fees(
        fee_pips in 0u32..=1_000_000,
        is_cheap in any::<bool>(),
        parts in (0u32..=1_000, 0u32..=1_000),
        positions in any::<[(u8, u32, u8); 3]>(),
        script in any::<[(bool, bool, u64, u8, i16); 12]>(),
    ) {
        let fee_pips = if is_cheap { fee_pips % 5_000 } else { fee_pips };
        let mut pool = PoolV4::unopened(key(fee_pips, 0), 0).unwrap();
        let sqrt_price_x96 = sqrt_price_at(5).unwrap() + U256::ONE;
        pool.apply(&V4Event::Initialize { sqrt_price_x96, tick: 5 }).unwrap();
        let protocol_fee = parts.0 | parts.1 << 12;
        pool.apply(&V4Event::ProtocolFeeUpdated { protocol_fee }).unwrap();
        for (half, amount, shift) in positions {
            let upper = (i32::from(half) + 1) * 60;
            let delta = (i128::from(amount) + 1) << (shift % 40);
            pool.apply(&V4Event::ModifyLiquidity { lower: -upper, upper, delta }).unwrap();
        }
        for (zero_for_one, is_in, amount, shift, away) in script {
            let direction =
                if zero_for_one { Direction::ZeroForOne } else { Direction::OneForZero };
            let raw = U256::from(amount >> (shift % 64)) + U256::ONE;
            let amount = if is_in { SwapAmount::ExactIn(raw) } else { SwapAmount::ExactOut(raw) };
            let limit = sqrt_price_at(i32::from(away)).unwrap() + U256::from(shift);
            let order = SwapOrder { direction, amount, sqrt_limit_x96: Some(limit) };
            let Ok(outcome) = pool.walk(&order) else { continue };
            let before = pool.fee_growth_global();
            let end = logged(&pool, &outcome);
            prop_assert_eq!(pool.apply(&V4Event::Swap(end)).map(drop), Ok(()));
            let paid = usize::from(!zero_for_one);
            let mut after = before;
            after[paid] = before[paid].wrapping_add(outcome.fee_growth_x128);
            prop_assert_eq!(pool.fee_growth_global(), after);
        }
        let again = PoolV4::from_snapshot(pool.snapshot().unwrap());
        prop_assert_eq!(again.as_ref(), Ok(&pool));
    }

    #[test]
    fn no_log_and_no_snapshot_panics(
        amounts in any::<[[u64; 4]; 2]>(),
        price in any::<[u64; 4]>(),
        shift in 0usize..256,
        (liquidity, amount0, amount1, delta) in any::<(u128, i128, i128, i128)>(),
        (tick, lower, upper, tick_spacing) in any::<(i32, i32, i32, i32)>(),
        (fee_pips, protocol_fee) in any::<(u32, u32)>(),
        (currency, flags) in any::<([u8; 20], u16)>(),
    ) {
        let price = U256::from_limbs(price) >> shift;
        let [raw0, raw1] = amounts.map(|limbs| U256::from_limbs(limbs) >> (shift / 2));
        let aligned = |tick: i32| tick / 10_000 / 60 * 60;
        let end = SwapEnd {
            amount0, amount1, sqrt_price_x96: price, liquidity, tick, fee_pips: fee_pips % 4_096,
        };
        for event in [
            V4Event::Initialize { sqrt_price_x96: price, tick },
            V4Event::Swap(end),
            V4Event::Swap(SwapEnd { amount1: amount1.wrapping_neg(), fee_pips, ..end }),
            V4Event::ModifyLiquidity { lower, upper, delta },
            V4Event::ModifyLiquidity { lower: aligned(lower), upper: aligned(upper), delta },
            V4Event::Donate { amount0: raw0, amount1: raw1 },
            V4Event::ProtocolFeeUpdated { protocol_fee },
        ] {
            let pools = [pool(key(3_000, 0)), pool(key(DYNAMIC_FEE, 1 << 12))];
            for mut pool in pools.into_iter().chain([PoolV4::unopened(key(500, 0), 1).unwrap()]) {
                let before = pool.clone();
                match pool.apply(&event) {
                    Ok(undo) => pool.undo(undo),
                    Err(_) => {
                        prop_assert_eq!(pool.snapshot(), Err(ViewError::Desynced));
                        pool.undo_misfit();
                    }
                }
                prop_assert_eq!(&pool, &before);
                let _ = pool.set_lp_fee(fee_pips);
            }
        }
        let odd = PoolKey {
            currency1: Address::from(currency), tick_spacing, ..key(fee_pips, flags)
        };
        let _ = (odd.id(), odd.check(), odd.swap_hook());
        let state = |net| TickState { gross: liquidity, net, ..TickState::default() };
        for key in [odd, key(3_000, 0)] {
            let _ = PoolV4::from_snapshot(V4Snapshot {
                key,
                sqrt_price_x96: price,
                tick,
                protocol_fee,
                lp_fee_pips: fee_pips,
                liquidity,
                fee_growth_global0: raw0,
                fee_growth_global1: raw1,
                ticks: vec![(lower, state(delta)), (upper, state(i128::MIN))],
                block: 0,
            });
        }
    }
}
