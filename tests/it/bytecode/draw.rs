//! What the lives of V3 and V4 pools draw: prices, fees, ranges, liquidity and orders.
//!
//! Sizes are even over the bits, so that dust is as likely as a drained pool. Bounded are only the
//! amounts that could fill the contracts' 128-bit counters of fees, and how many bitmap words of an
//! empty curve a single swap walks.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use rand::Rng;
use rand::rngs::StdRng;
use tidekeeper::math::amm::liquidity::amounts_for_liquidity;
use tidekeeper::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MAX_TICK, MIN_SQRT_PRICE_X96, MIN_TICK, TickRange, Ticks, sqrt_price_at,
};
use tidekeeper::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder};
use tidekeeper::math::amm::{Direction, PIPS, Rounding};

/// Ticks of a bitmap word.
const WORD: i32 = 256;
/// Words that an order walks at most, if it has a limit.
const WORDS_MAX: i32 = 40;
/// From this spacing on an order may do without a limit: the whole curve has few words.
const FREE_SPACING: i32 = 32;
/// A fee above this lets a swap pay much more than the curve holds.
const MODEST_FEE_PIPS: u32 = 100_000;

/// Where a pool stands.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) sqrt_price_x96: U256,
    pub(super) tick: i32,
    pub(super) spacing: i32,
    pub(super) ticks: &'a Ticks,
}

/// A word of random bits.
pub(super) fn word(rng: &mut StdRng) -> U256 {
    U256::from_limbs(rng.random())
}

/// One of those there are.
pub(super) fn one_of<T: Copy>(rng: &mut StdRng, all: &BTreeSet<T>) -> Option<T> {
    let index = rng.random_range(0..all.len().max(1));
    all.iter().nth(index).copied()
}

/// A number of at most so many bits and at least one, all lengths alike.
pub(super) fn sized(rng: &mut StdRng, bits: usize) -> U256 {
    let length = rng.random_range(0..bits);
    let top = U256::ONE << length;
    top | (word(rng) & (top - U256::ONE))
}

/// The same as a `u128`, of at most 127 bits.
pub(super) fn sized_u128(rng: &mut StdRng, bits: usize) -> u128 {
    sized(rng, bits.min(127)).to()
}

/// Bits of the most that all liquidity of a range may be worth, in either token alone.
pub(super) fn bits_of_fee(fee_pips: u32) -> usize {
    if fee_pips <= MODEST_FEE_PIPS { 116 } else { 92 }
}

/// A fee of any size below one.
pub(super) fn fee(rng: &mut StdRng) -> u32 {
    match rng.random_range(0..16u32) {
        0 => 0,
        1 => rng.random_range(0..PIPS),
        _ => counted(rng, 17).unsigned_abs(),
    }
}

/// A whole number from 1 to below 2^`bits`, small ones as likely as large ones.
fn counted(rng: &mut StdRng, bits: u32) -> i32 {
    let top = 1i32 << rng.random_range(0..bits);
    rng.random_range(1..=top)
}

/// A grid from 1 to `most`.
pub(super) fn spacing(rng: &mut StdRng, most: i32) -> i32 {
    counted(rng, 16).min(most)
}

/// A first price: anywhere, on a tick or between two.
pub(super) fn price(rng: &mut StdRng) -> U256 {
    let reach = match rng.random_range(0..8u32) {
        0 => MAX_TICK - 1,
        1..=3 => 200_000,
        _ => 5_000,
    };
    let tick = rng.random_range(-reach..=reach);
    let (below, above) = (price_at(tick), price_at(tick + 1));
    if rng.random_bool(0.25) { below } else { below + word(rng) % (above - below) }
}

fn price_at(tick: i32) -> U256 {
    sqrt_price_at(tick).expect("a tick of the protocol")
}

/// Two ticks, most often of a range that can be.
pub(super) fn ends(rng: &mut StdRng, spot: Spot<'_>) -> (i32, i32) {
    let spacing = spot.spacing;
    let (first, last) = (MIN_TICK / spacing, MAX_TICK / spacing);
    let here = spot.tick.div_euclid(spacing);
    let (width, away) = (counted(rng, 12), counted(rng, 10) - 1);
    let begin = match rng.random_range(0..12u32) {
        0 => first,
        1 => here,
        2 => here + 1 - width,
        3..=5 => here - width.min(away),
        6..=8 => here + away,
        _ => here - away - width,
    };
    let begin = begin.clamp(first, last - 1);
    let end = if begin == first && width % 2 == 0 { last } else { begin + width };
    let (lower, upper) = (begin * spacing, end.clamp(begin + 1, last) * spacing);
    match rng.random_range(0..120u32) {
        0 => (upper, lower),
        1 => (lower, lower),
        2 => (lower + 1, upper + 1),
        3 => ((first - 1) * spacing, upper),
        _ => (lower, upper),
    }
}

/// Liquidity for a range, not worth more than `bits` in either token alone.
pub(super) fn liquidity(rng: &mut StdRng, range: TickRange, bits: usize) -> u128 {
    let drawn = sized_u128(rng, 126);
    let worth = |tick: i32| {
        let amounts = amounts_for_liquidity(price_at(tick), range, drawn, Rounding::Up);
        amounts.expect("a price of the protocol")
    };
    let most = worth(range.lower()).amount0.max(worth(range.upper()).amount1);
    (drawn >> most.bit_len().saturating_sub(bits).min(127)).max(1)
}

/// None, a part, all, or one more than there is.
pub(super) fn share(rng: &mut StdRng, held: u128) -> u128 {
    match rng.random_range(0..16u32) {
        0..=4 => 0,
        5..=7 => held,
        8 => held + 1,
        _ => rng.random_range(0..=held),
    }
}

/// An order of at most so many bits, most often one that can be filled.
pub(super) fn order(rng: &mut StdRng, spot: Spot<'_>, bits: usize) -> SwapOrder {
    let direction = if rng.random() { Direction::ZeroForOne } else { Direction::OneForZero };
    let amount = match rng.random_range(0..64u32) {
        0 => U256::ZERO,
        1 => MAX_SWAP_AMOUNT,
        2 => sized(rng, 255),
        _ => sized(rng, bits),
    };
    let amount =
        if rng.random() { SwapAmount::ExactIn(amount) } else { SwapAmount::ExactOut(amount) };
    SwapOrder { direction, amount, sqrt_limit_x96: limit(rng, spot, direction) }
}

/// The last price a swap may be limited to.
pub(super) fn last_price(direction: Direction) -> U256 {
    match direction {
        Direction::ZeroForOne => MIN_SQRT_PRICE_X96 + U256::ONE,
        Direction::OneForZero => MAX_SQRT_PRICE_X96 - U256::ONE,
    }
}

fn limit(rng: &mut StdRng, spot: Spot<'_>, direction: Direction) -> Option<U256> {
    let is_free = spot.spacing >= FREE_SPACING || rng.random_range(0..512u32) == 0;
    let ahead = |ticks: i32| match direction {
        Direction::ZeroForOne => (spot.tick - ticks).max(MIN_TICK + 1),
        Direction::OneForZero => (spot.tick + ticks).min(MAX_TICK - 1),
    };
    let little = sized(rng, 24);
    let price = spot.sqrt_price_x96;
    let reach = (WORDS_MAX * WORD).saturating_mul(spot.spacing).min(2 * MAX_TICK);
    let initialized = match direction {
        Direction::ZeroForOne => spot.ticks.range(..=spot.tick).next_back(),
        Direction::OneForZero => spot.ticks.range(spot.tick + 1..).next(),
    };
    let initialized = initialized.map(|(tick, _)| *tick);
    let initialized = initialized.filter(|tick| (tick - spot.tick).abs() <= reach);
    Some(match rng.random_range(0..32u32) {
        0..=15 if is_free => return None,
        // Where it stands, behind it, and outside the protocol's prices: refused.
        16 => price,
        17 => match direction {
            Direction::ZeroForOne => price + little,
            Direction::OneForZero => price.saturating_sub(little),
        },
        18 => match direction {
            Direction::ZeroForOne => MIN_SQRT_PRICE_X96,
            Direction::OneForZero => MAX_SQRT_PRICE_X96,
        },
        19..=21 => match direction {
            Direction::ZeroForOne => price.saturating_sub(little),
            Direction::OneForZero => price + little,
        },
        22..=24 if initialized.is_some() => initialized.map_or(price, price_at),
        _ => {
            let ticks = rng.random_range(1..=reach) >> rng.random_range(0..16u32);
            price_at(ahead(ticks.max(1)))
        }
    })
}
