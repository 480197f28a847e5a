//! The swaps of V3 and V4 on any curve: they add up, stop where they must, and V3's table says what
//! its loop says.

use alloy::primitives::U256;
use tidekeeper::math::amm::segments::Segments;
use tidekeeper::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MAX_TICK, MAX_TICK_SPACING, MAX_TICK_SPACING_V4, MIN_SQRT_PRICE_X96,
    MIN_TICK, TickState, Ticks, sqrt_price_at,
};
use tidekeeper::math::amm::v3::{self, Quote, SwapAmount, SwapOrder, SwapOutcome};
use tidekeeper::math::amm::v4;
use tidekeeper::math::amm::{Direction, PIPS};

use super::input::{Flags, Input};

/// Positions of a drawn pool.
const POSITIONS_MAX: u8 = 16;
/// A drawn position is at most so many spacings wide.
const WIDTH_MAX: u16 = 4_096;

/// Where a pool stands and what lies around it. Bit 0 of the flags tells whether a contract can be
/// in this state; bit 4, whether the tick is one below that of its price.
struct State {
    tick_spacing: i32,
    sqrt_price_x96: U256,
    tick: i32,
    liquidity: u128,
    ticks: Ticks,
}

pub(super) fn v3_swap(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = Flags(input.byte());
    let (fee_pips, fee_protocol) = (input.u32(), input.byte());
    let state = State::read(&mut input, flags, MAX_TICK_SPACING);
    let curve = v3::Curve {
        fee_pips: if flags.has(0) { fee_pips % PIPS } else { fee_pips },
        tick_spacing: state.tick_spacing,
        fee_protocol,
        sqrt_price_x96: state.sqrt_price_x96,
        tick: state.tick,
        liquidity: state.liquidity,
        ticks: &state.ticks,
    };
    let order = order(&mut input, flags);
    let outcome = v3::swap(&curve, &order);
    let told = outcome.as_ref().map(Quote::from).map_err(|error| *error);
    assert_eq!(Segments::default().quote(&curve, &order), told, "{curve:?} {order:?}");
    if let Ok(outcome) = outcome {
        check(&state, flags, &order, &outcome);
    }
}

pub(super) fn v4_swap(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = Flags(input.byte());
    let (lp_fee_pips, protocol_fee) = (input.u32(), input.u32());
    let state = State::read(&mut input, flags, MAX_TICK_SPACING_V4);
    let is_sane = flags.has(0);
    let part = |packed: u32| packed % (v4::MAX_PROTOCOL_FEE_PIPS + 1);
    let curve = v4::Curve {
        lp_fee_pips: if is_sane { lp_fee_pips % (PIPS + 1) } else { lp_fee_pips },
        protocol_fee: if is_sane {
            part(protocol_fee) | part(protocol_fee >> 12) << 12
        } else {
            protocol_fee
        },
        tick_spacing: state.tick_spacing,
        sqrt_price_x96: state.sqrt_price_x96,
        tick: state.tick,
        liquidity: state.liquidity,
        ticks: &state.ticks,
    };
    let order = order(&mut input, flags);
    if let Ok(outcome) = v4::swap(&curve, &order) {
        check(&state, flags, &order, &outcome);
    }
}

impl State {
    fn read(input: &mut Input<'_>, flags: Flags, spacing_max: i32) -> Self {
        if flags.has(0) {
            return Self::sane(input, flags.has(4), spacing_max);
        }
        let tick_spacing = input.i32();
        let (sqrt_price_x96, tick, liquidity) = (input.wide(), input.i32(), input.u128());
        let mut ticks = Ticks::new();
        for _ in 0..input.byte() % (POSITIONS_MAX + 1) {
            let at = i32::from(input.i16()).wrapping_mul(tick_spacing);
            let net = input.u128().cast_signed();
            ticks.insert(at, TickState { gross: net.unsigned_abs(), net, ..TickState::default() });
        }
        Self { tick_spacing, sqrt_price_x96, tick, liquidity, ticks }
    }

    /// Positions at both sides of a price, and the liquidity of those it stands in.
    fn sane(input: &mut Input<'_>, is_below: bool, spacing_max: i32) -> Self {
        let tick_spacing = 1 + i32::from(input.u16()) % spacing_max;
        let of_price = input.tick();
        let [here, next] =
            [of_price, of_price + 1].map(|tick| sqrt_price_at(tick).expect("a tick"));
        let sqrt_price_x96 = here + input.wide() % (next - here);
        let is_on_it = sqrt_price_x96 == here && of_price > MIN_TICK;
        let tick = if is_below && is_on_it { of_price - 1 } else { of_price };
        let (mut ticks, mut liquidity) = (Ticks::new(), 0);
        for _ in 0..input.byte() % (POSITIONS_MAX + 1) {
            let begin = of_price.div_euclid(tick_spacing) + i32::from(input.i16());
            let lower = begin * tick_spacing;
            let upper = lower + (1 + i32::from(input.u16() % WIDTH_MAX)) * tick_spacing;
            let amount = input.bits(100);
            if amount == 0 || lower < MIN_TICK || upper > MAX_TICK {
                continue;
            }
            for (tick, net) in [(lower, amount.cast_signed()), (upper, -amount.cast_signed())] {
                let state = ticks.entry(tick).or_default();
                state.gross += amount;
                state.net += net;
            }
            if (lower..upper).contains(&tick) {
                liquidity += amount;
            }
        }
        Self { tick_spacing, sqrt_price_x96, tick, liquidity, ticks }
    }
}

/// Bit 3 of the flags tells whether there is a price limit: any tick's, or on a state of no
/// contract any number.
fn order(input: &mut Input<'_>, flags: Flags) -> SwapOrder {
    let amount = flags.amount(input.wide());
    let limit = flags.has(3).then(|| {
        if flags.has(0) { sqrt_price_at(input.tick()).expect("a tick") } else { input.wide() }
    });
    SwapOrder { direction: flags.direction(), amount, sqrt_limit_x96: limit }
}

fn check(state: &State, flags: Flags, order: &SwapOrder, outcome: &SwapOutcome) {
    let filled = match order.amount {
        SwapAmount::ExactIn(_) => outcome.amount_in,
        SwapAmount::ExactOut(_) => outcome.amount_out,
    };
    assert_eq!(filled.checked_add(outcome.unfilled), Some(order.amount.raw()), "{outcome:?}");
    assert!(outcome.fee <= outcome.amount_in, "{outcome:?}");
    assert!(U256::from(outcome.protocol_fee) <= outcome.fee, "{outcome:?}");
    let (end, is_down) = match order.direction {
        Direction::ZeroForOne => (MIN_SQRT_PRICE_X96 + U256::ONE, true),
        Direction::OneForZero => (MAX_SQRT_PRICE_X96 - U256::ONE, false),
    };
    let limit = order.sqrt_limit_x96.unwrap_or(end);
    let (before, after) = (state.sqrt_price_x96, outcome.sqrt_price_x96);
    assert!(outcome.unfilled.is_zero() || after == limit, "{outcome:?}");
    if !flags.has(0) {
        return;
    }
    let (lowest, highest) = if is_down { (limit, before) } else { (before, limit) };
    assert!((lowest..=highest).contains(&after), "{before} {limit} {outcome:?}");
    let crossed: Vec<i32> = outcome.crossed.iter().map(|crossing| crossing.tick).collect();
    let is_on_the_way = |pair: &[i32]| (pair[0] > pair[1]) == is_down && pair[0] != pair[1];
    assert!(crossed.windows(2).all(is_on_the_way), "{outcome:?}");
    let net: i128 = crossed.iter().map(|tick| state.ticks[tick].net).sum();
    let net = if is_down { -net } else { net };
    assert_eq!(state.liquidity.checked_add_signed(net), Some(outcome.liquidity), "{outcome:?}");
}
