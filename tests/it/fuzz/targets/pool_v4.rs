//! A V4 pool through any logs, with and without hooks, as the one of V3.

use alloy::primitives::{Address, U256, address};
use tidekeeper::market::pools::v4::key::{DYNAMIC_FEE, PoolKey};
use tidekeeper::market::pools::v4::{PoolV4, SwapEnd, V4Event};
use tidekeeper::math::amm::Direction;
use tidekeeper::math::amm::tick::{MAX_TICK, MIN_TICK, sqrt_price_at};
use tidekeeper::math::amm::v3::SwapOutcome;
use tidekeeper::math::amm::v4::{Curve, protocol_part_pips, swap, swap_fee_pips};

use super::input::{Flags, Input};
use super::pool_v3::{BITS, LOGS_MAX, drawn_ends, drawn_order};

/// Hooks that a swap never calls, and hooks that may take a swap whole.
const HOOKS: [(u32, Address); 5] = [
    (0, Address::ZERO),
    (3_000, Address::ZERO),
    (1_000_000, Address::ZERO),
    (DYNAMIC_FEE, address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f1000")),
    (500, address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f0088")),
];

/// Fee with hooks, and spacing, then one log after the other.
pub(super) fn v4_pool(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (fee_pips, hooks) = input.pick(HOOKS);
    let tick_spacing = input.pick([10, 60, 200, 32_767]);
    let currency1 = Address::with_last_byte(1);
    let key = PoolKey { currency0: Address::ZERO, currency1, fee_pips, tick_spacing, hooks };
    let mut pool = PoolV4::unopened(key, 0).expect("a key that the contract takes");
    for _ in 0..LOGS_MAX {
        if input.is_empty() {
            return;
        }
        match input.byte() % 11 {
            0..5 => follow_own(&mut pool, &mut input),
            5..8 => follow_swap(&mut pool, &mut input),
            8 | 9 => follow_side(&mut pool, &mut input),
            _ => {
                let event = any_event(&mut input);
                follow(&mut pool.clone(), &event);
                continue;
            }
        }
        let snapshot = pool.snapshot().expect("it has refused nothing");
        assert_eq!(PoolV4::from_snapshot(snapshot).as_ref(), Ok(&pool));
    }
}

/// Takes a log in if it fits; answers whether it did. Either way it can be taken back.
fn follow(pool: &mut PoolV4, event: &V4Event) -> bool {
    let mut after = pool.clone();
    match after.apply(event) {
        Ok(undo) => {
            let mut back = after.clone();
            back.undo(undo);
            assert_eq!(back, *pool, "{event:?}");
            *pool = after;
            true
        }
        Err(_) => {
            assert!(after.desync().is_some() && after.snapshot().is_err(), "{event:?}");
            assert!(after.apply(event).is_err(), "{event:?}");
            after.undo_misfit();
            assert_eq!(after, *pool, "{event:?}");
            false
        }
    }
}

/// The first price, or liquidity that comes or goes at a range near it.
fn follow_own(pool: &mut PoolV4, input: &mut Input<'_>) {
    if pool.sqrt_price_x96().is_zero() {
        let tick = input.tick();
        let sqrt_price_x96 = sqrt_price_at(tick).expect("a tick");
        assert!(follow(pool, &V4Event::Initialize { sqrt_price_x96, tick }));
        return;
    }
    let is_taken = input.byte() & 1 == 1;
    let (lower, upper) = drawn_ends(input, pool.tick(), pool.key().tick_spacing);
    let amount = input.bits(BITS).cast_signed();
    let delta = if is_taken { -amount } else { amount };
    let event = V4Event::ModifyLiquidity { lower, upper, delta };
    let is_followed = follow(pool, &event);
    assert!(is_followed || is_taken || lower < MIN_TICK || upper > MAX_TICK, "{event:?}");
}

/// A trade as the loop runs it: its log is taken.
fn follow_swap(pool: &mut PoolV4, input: &mut Input<'_>) {
    let flags = Flags(input.byte());
    let order = drawn_order(input, flags, pool.tick());
    let curve = Curve {
        lp_fee_pips: pool.lp_fee_pips(),
        protocol_fee: pool.protocol_fee(),
        tick_spacing: pool.key().tick_spacing,
        sqrt_price_x96: pool.sqrt_price_x96(),
        tick: pool.tick(),
        liquidity: pool.liquidity(),
        ticks: pool.ticks(),
    };
    let Ok(outcome) = swap(&curve, &order) else { return };
    let part = protocol_part_pips(pool.protocol_fee(), order.direction);
    let fee_pips = swap_fee_pips(pool.lp_fee_pips(), part).expect("the swap has paid it");
    // One that moves nothing has no log that could be told.
    if outcome.sqrt_price_x96 != pool.sqrt_price_x96() {
        let event = V4Event::Swap(logged(&outcome, fee_pips));
        assert!(follow(pool, &event), "{order:?} {event:?}");
    }
}

/// The log of a swap: what the trader paid is negative.
fn logged(outcome: &SwapOutcome, fee_pips: u32) -> SwapEnd {
    let paid = -outcome.amount_in.to::<i128>();
    let sent = outcome.amount_out.to::<i128>();
    let (amount0, amount1) = match outcome.direction {
        Direction::ZeroForOne => (paid, sent),
        Direction::OneForZero => (sent, paid),
    };
    SwapEnd {
        amount0,
        amount1,
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
        fee_pips,
    }
}

/// Logs that move no price, and an LP fee that was read anew.
fn follow_side(pool: &mut PoolV4, input: &mut Input<'_>) {
    let kind = input.byte() % 3;
    let fee = input.u32();
    let amounts = [input.bits(BITS), input.bits(BITS)];
    match kind {
        0 => {
            let [amount0, amount1] = amounts.map(U256::from);
            let is_followed = follow(pool, &V4Event::Donate { amount0, amount1 });
            assert_eq!(is_followed, pool.liquidity() > 0);
        }
        1 => {
            follow(pool, &V4Event::ProtocolFeeUpdated { protocol_fee: fee & 0x3f_f3ff });
        }
        _ => {
            let before = pool.clone();
            if pool.set_lp_fee(fee % 1_000_001).is_err() {
                assert_eq!(*pool, before);
            }
        }
    }
}

fn any_event(input: &mut Input<'_>) -> V4Event {
    let kind = input.byte() % 5;
    let (lower, upper) = (input.i32(), input.i32());
    let (wide0, wide1, sqrt_price_x96) = (input.wide(), input.wide(), input.wide());
    let [one, other, liquidity] = [input.u128(), input.u128(), input.u128()];
    match kind {
        0 => V4Event::Initialize { sqrt_price_x96, tick: lower },
        1 => V4Event::Swap(SwapEnd {
            amount0: one.cast_signed(),
            amount1: other.cast_signed(),
            sqrt_price_x96,
            liquidity,
            tick: lower,
            fee_pips: input.u32(),
        }),
        2 => V4Event::ModifyLiquidity { lower, upper, delta: one.cast_signed() },
        3 => V4Event::Donate { amount0: wide0, amount1: wide1 },
        _ => V4Event::ProtocolFeeUpdated { protocol_fee: input.u32() },
    }
}
