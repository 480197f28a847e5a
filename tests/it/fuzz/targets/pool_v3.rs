//! A V3 pool through any logs: what is refused changes nothing, the log of a swap of its own is
//! always taken, and every state it comes to is one a snapshot could have told.

use alloy::primitives::{I256, U256};
use tidekeeper::market::pools::v3::{PoolV3, V3Event, V3Snapshot};
use tidekeeper::math::amm::Direction;
use tidekeeper::math::amm::tick::{MAX_TICK, MIN_TICK, sqrt_price_at};
use tidekeeper::math::amm::v3::{Curve, Quote, SwapOrder, swap};

use super::input::{Flags, Input};

/// Logs of one life.
pub(super) const LOGS_MAX: usize = 24;
/// A trade's own log moves the price by at most so many ticks.
const AWAY_MAX: u16 = 20_000;
/// Amounts of a life's own logs have at most so many bits, so that no sum of them exceeds its type.
pub(super) const BITS: u32 = 90;
/// From this spacing on a trade may run to the end of the prices.
const WIDE_SPACING: i32 = 60;

/// Fee and spacing, then one log after the other.
pub(super) fn v3_pool(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (fee_pips, spacing) = (input.pick([100, 500, 3_000, 10_000]), input.pick([10, 60, 200]));
    let unopened = V3Snapshot::unopened(fee_pips, spacing, 0);
    let mut pool = PoolV3::from_snapshot(unopened).expect("a pool before its first price");
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
        assert_eq!(PoolV3::from_snapshot(snapshot).as_ref(), Ok(&pool));
    }
}

/// Takes a log in if it fits; answers whether it did. Either way it can be taken back.
fn follow(pool: &mut PoolV3, event: &V3Event) -> bool {
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

/// The ends of a range near a tick.
pub(super) fn drawn_ends(input: &mut Input<'_>, tick: i32, spacing: i32) -> (i32, i32) {
    let begin = tick.div_euclid(spacing) + i32::from(input.i16() % 1_000);
    let (lower, width) = (begin * spacing, 1 + i32::from(input.u16() % 1_000));
    (lower, lower + width * spacing)
}

/// A trade that stops at the latest so many ticks away.
pub(super) fn drawn_order(input: &mut Input<'_>, flags: Flags, tick: i32) -> SwapOrder {
    let (amount, away) = (input.bits(BITS), 1 + i32::from(input.u16() % AWAY_MAX));
    let direction = flags.direction();
    let to = match direction {
        Direction::ZeroForOne => tick - away,
        Direction::OneForZero => tick + away,
    };
    let limit = sqrt_price_at(to.clamp(MIN_TICK + 1, MAX_TICK - 1)).expect("a tick");
    SwapOrder { direction, amount: flags.amount(U256::from(amount)), sqrt_limit_x96: Some(limit) }
}

/// The first price, or liquidity that comes or goes at a range near it.
fn follow_own(pool: &mut PoolV3, input: &mut Input<'_>) {
    if pool.sqrt_price_x96().is_zero() {
        let tick = input.tick();
        let sqrt_price_x96 = sqrt_price_at(tick).expect("a tick");
        assert!(follow(pool, &V3Event::Initialize { sqrt_price_x96, tick }));
        return;
    }
    let is_burn = input.byte() & 1 == 1;
    let (lower, upper) = drawn_ends(input, pool.tick(), pool.tick_spacing());
    let amount = input.bits(BITS);
    let event = if is_burn {
        V3Event::Burn { lower, upper, amount }
    } else {
        V3Event::Mint { lower, upper, amount }
    };
    let is_followed = follow(pool, &event);
    assert!(is_followed || is_burn || lower < MIN_TICK || upper > MAX_TICK, "{event:?}");
}

/// A trade as the loop runs it: the table quotes the same, and its log is taken.
fn follow_swap(pool: &mut PoolV3, input: &mut Input<'_>) {
    let flags = Flags(input.byte());
    let mut order = drawn_order(input, flags, pool.tick());
    if flags.has(3) && pool.tick_spacing() >= WIDE_SPACING {
        order.sqrt_limit_x96 = None;
    }
    let before = pool.snapshot().expect("it has refused nothing");
    if before.sqrt_price_x96.is_zero() {
        assert!(pool.quote(&order).is_err());
        return;
    }
    let curve = Curve {
        fee_pips: before.fee_pips,
        tick_spacing: before.tick_spacing,
        fee_protocol: before.fee_protocol,
        sqrt_price_x96: before.sqrt_price_x96,
        tick: before.tick,
        liquidity: before.liquidity,
        ticks: pool.ticks(),
    };
    let outcome = swap(&curve, &order).ok();
    assert_eq!(pool.quote(&order).ok(), outcome.as_ref().map(Quote::from), "{order:?} {pool:?}");
    let Some(outcome) = outcome else { return };
    // One that moves nothing has no log that could be told; the protocol's fees have 128 bits.
    if outcome.sqrt_price_x96 == before.sqrt_price_x96 || outcome.protocol_fee >> BITS > 0 {
        return;
    }
    let (amount0, amount1) = outcome.deltas();
    let event = V3Event::Swap {
        amount0,
        amount1,
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
    };
    assert!(follow(pool, &event), "{order:?} {event:?}");
}

/// Logs that move no price.
fn follow_side(pool: &mut PoolV3, input: &mut Input<'_>) {
    let parts = input.array::<2>();
    let kept = pool.snapshot().expect("it has refused nothing").fee_protocol;
    let (lower, upper) = (input.i32(), input.i32());
    let (amount0, amount1) = (input.bits(BITS), input.bits(BITS));
    let (paid0, paid1) = (U256::from(amount0), U256::from(amount1));
    let event = match parts[0] % 4 {
        0 => V3Event::Flash { paid0, paid1 },
        1 => V3Event::CollectProtocol { amount0, amount1 },
        2 => V3Event::Collect { lower, upper, amount0, amount1 },
        _ => {
            let [new0, new1] = [parts[1] & 0x0f, parts[1] >> 4];
            V3Event::SetFeeProtocol { old0: kept & 0x0f, old1: kept >> 4, new0, new1 }
        }
    };
    follow(pool, &event);
}

fn any_event(input: &mut Input<'_>) -> V3Event {
    let kind = input.byte() % 8;
    let (lower, upper) = (input.i32(), input.i32());
    let (wide0, wide1, sqrt_price_x96) = (input.wide(), input.wide(), input.wide());
    let (amount, liquidity) = (input.u128(), input.u128());
    match kind {
        0 => V3Event::Initialize { sqrt_price_x96, tick: lower },
        1 => {
            let [amount0, amount1] = [wide0, wide1].map(I256::from_raw);
            V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick: lower }
        }
        2 => V3Event::Mint { lower, upper, amount },
        3 => V3Event::Burn { lower, upper, amount },
        4 => V3Event::Flash { paid0: wide0, paid1: wide1 },
        5 => {
            let [old0, old1, new0, new1] = input.array::<4>();
            V3Event::SetFeeProtocol { old0, old1, new0, new1 }
        }
        6 => V3Event::CollectProtocol { amount0: amount, amount1: liquidity },
        _ => V3Event::Collect { lower, upper, amount0: amount, amount1: liquidity },
    }
}
