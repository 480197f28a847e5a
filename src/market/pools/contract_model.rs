//! A V3 pool written the contract's way (bitmap words, `int256` amounts, positions), which emits
//! the contract's logs. A pool fed only those logs must end in the same state.

use std::collections::{BTreeMap, HashMap};

use alloy::primitives::{I256, U256};
use proptest::prelude::any;
use proptest::prop_oneof;
use proptest::strategy::{Just, Strategy};

use crate::market::pools::v3::{V3Event, V3Snapshot};
use crate::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MAX_TICK, MIN_SQRT_PRICE_X96, MIN_TICK, TickState, sqrt_price_at, tick_at,
};
use crate::math::amm::v3::SwapAmount;
use crate::math::amm::v3_step::{StepInput, compute_swap_step};
use crate::math::amm::{Q128, Rounding, mul_div};

pub(super) const SPACING: i32 = 10;

#[derive(Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) liquidity: u128,
    pub(super) inside: [U256; 2],
    pub(super) owed: [u128; 2],
}

pub(super) struct Model {
    fee: u32,
    price: U256,
    tick: i32,
    liquidity: u128,
    growth: [U256; 2],
    fee_protocol: u8,
    protocol_fees: [u128; 2],
    ticks: BTreeMap<i32, TickState>,
    bitmap: HashMap<i32, U256>,
    pub(super) positions: BTreeMap<(i32, i32), Position>,
}

/// `feeAmount / 2^128`-scaled growth, as `FullMath.mulDiv` gives it.
fn growth_of(amount: U256, liquidity: u128) -> Option<U256> {
    mul_div(amount, Q128, U256::from(liquidity), Rounding::Down).ok()
}

impl Model {
    pub(super) fn initialized(fee: u32, price: U256) -> (Self, V3Event) {
        let tick = tick_at(price).unwrap();
        let model = Self {
            fee,
            price,
            tick,
            liquidity: 0,
            growth: [U256::ZERO; 2],
            fee_protocol: 0,
            protocol_fees: [0; 2],
            ticks: BTreeMap::new(),
            bitmap: HashMap::new(),
            positions: BTreeMap::new(),
        };
        (model, V3Event::Initialize { sqrt_price_x96: price, tick })
    }

    fn flip(&mut self, tick: i32) {
        let compressed = tick / SPACING;
        let word = self.bitmap.entry(compressed >> 8).or_default();
        *word ^= U256::ONE << (compressed & 0xff) as usize;
    }

    /// `TickBitmap.nextInitializedTickWithinOneWord`, with its masks.
    fn next_tick(&self, tick: i32, lte: bool) -> (i32, bool) {
        let mut compressed = tick / SPACING;
        if tick < 0 && tick % SPACING != 0 {
            compressed -= 1;
        }
        let word_at =
            |compressed: i32| self.bitmap.get(&(compressed >> 8)).copied().unwrap_or_default();
        if lte {
            let bit = (compressed & 0xff) as usize;
            let mask = (U256::ONE << bit) - U256::ONE + (U256::ONE << bit);
            let masked = word_at(compressed) & mask;
            if masked.is_zero() {
                ((compressed - bit as i32) * SPACING, false)
            } else {
                let top = masked.bit_len() - 1;
                ((compressed - (bit - top) as i32) * SPACING, true)
            }
        } else {
            compressed += 1;
            let bit = (compressed & 0xff) as usize;
            let mask = !((U256::ONE << bit) - U256::ONE);
            let masked = word_at(compressed) & mask;
            if masked.is_zero() {
                ((compressed + (255 - bit) as i32) * SPACING, false)
            } else {
                ((compressed + (masked.trailing_zeros() - bit) as i32) * SPACING, true)
            }
        }
    }

    fn update_tick(&mut self, tick: i32, delta: i128, upper: bool) -> bool {
        let (growth, current) = (self.growth, self.tick);
        let state = self.ticks.entry(tick).or_default();
        let before = state.gross;
        state.gross = before.checked_add_signed(delta).unwrap();
        if before == 0 && tick <= current {
            (state.outside0, state.outside1) = (growth[0], growth[1]);
        }
        state.net += if upper { -delta } else { delta };
        (state.gross == 0) != (before == 0)
    }

    fn inside(&self, lower: i32, upper: i32) -> [U256; 2] {
        let outside = |tick: i32| {
            let state = self.ticks.get(&tick).copied().unwrap_or_default();
            [state.outside0, state.outside1]
        };
        let (low, high) = (outside(lower), outside(upper));
        [0, 1].map(|token| {
            let global = self.growth[token];
            let below =
                if self.tick >= lower { low[token] } else { global.wrapping_sub(low[token]) };
            let above =
                if self.tick < upper { high[token] } else { global.wrapping_sub(high[token]) };
            global.wrapping_sub(below).wrapping_sub(above)
        })
    }

    pub(super) fn modify(&mut self, lower: i32, upper: i32, delta: i128) {
        let mut flipped = [false; 2];
        if delta != 0 {
            flipped = [self.update_tick(lower, delta, false), self.update_tick(upper, delta, true)];
        }
        for (tick, flipped) in [lower, upper].into_iter().zip(flipped) {
            if flipped {
                self.flip(tick);
            }
        }
        let inside = self.inside(lower, upper);
        let position = self.positions.entry((lower, upper)).or_default();
        for token in [0, 1] {
            let grown = inside[token].wrapping_sub(position.inside[token]);
            let owed = mul_div(grown, U256::from(position.liquidity), Q128, Rounding::Down);
            let owed = (owed.unwrap() & U256::from(u128::MAX)).to::<u128>();
            position.owed[token] = position.owed[token].wrapping_add(owed);
        }
        position.inside = inside;
        position.liquidity = position.liquidity.checked_add_signed(delta).unwrap();
        if delta < 0 {
            for (tick, flipped) in [lower, upper].into_iter().zip(flipped) {
                if flipped {
                    self.ticks.remove(&tick);
                }
            }
        }
        if lower <= self.tick && self.tick < upper {
            self.liquidity = self.liquidity.checked_add_signed(delta).unwrap();
        }
    }

    pub(super) fn mint(&mut self, lower: i32, upper: i32, amount: u128) -> V3Event {
        self.modify(lower, upper, amount as i128);
        V3Event::Mint { lower, upper, amount }
    }

    fn burn(&mut self, index: usize, share: u8) -> Option<V3Event> {
        let held: Vec<_> = self.positions.iter().filter(|(_, held)| held.liquidity > 0).collect();
        let (&(lower, upper), held) = *held.get(index % held.len().max(1))?;
        let amount = held.liquidity / 4 * u128::from(share % 5);
        let amount = if share % 5 == 4 { held.liquidity } else { amount };
        self.modify(lower, upper, -(amount as i128));
        Some(V3Event::Burn { lower, upper, amount })
    }

    fn is_ahead(&self, zero_for_one: bool, limit: U256) -> bool {
        if zero_for_one {
            limit < self.price && limit > MIN_SQRT_PRICE_X96
        } else {
            limit > self.price && limit < MAX_SQRT_PRICE_X96
        }
    }

    /// `None` where the contract would revert; nothing is written then.
    fn swap(&mut self, zero_for_one: bool, specified: I256, limit: U256) -> Option<V3Event> {
        if specified.is_zero() || !self.is_ahead(zero_for_one, limit) {
            return None;
        }
        let token = usize::from(!zero_for_one);
        let part = if zero_for_one { self.fee_protocol % 16 } else { self.fee_protocol >> 4 };
        let exact_input = specified > I256::ZERO;
        let (mut remaining, mut calculated) = (specified, I256::ZERO);
        let (mut price, mut tick, mut liquidity) = (self.price, self.tick, self.liquidity);
        let (mut growth, mut protocol_fee) = (self.growth[token], 0u128);
        let mut ticks = self.ticks.clone();
        while !remaining.is_zero() && price != limit {
            let start = price;
            let (next, initialized) = self.next_tick(tick, zero_for_one);
            let next = next.clamp(MIN_TICK, MAX_TICK);
            let next_price = sqrt_price_at(next).unwrap();
            let past = if zero_for_one { next_price < limit } else { next_price > limit };
            let raw = remaining.unsigned_abs();
            let step = compute_swap_step(&StepInput {
                sqrt_price_x96: price,
                sqrt_target_x96: if past { limit } else { next_price },
                liquidity,
                remaining: if exact_input {
                    SwapAmount::ExactIn(raw)
                } else {
                    SwapAmount::ExactOut(raw)
                },
                fee_pips: self.fee,
            })
            .ok()?;
            price = step.sqrt_next_x96;
            let paid = I256::try_from(step.amount_in + step.fee).ok()?;
            let sent = I256::try_from(step.amount_out).ok()?;
            if exact_input {
                remaining -= paid;
                calculated -= sent;
            } else {
                remaining += sent;
                calculated += paid;
            }
            let mut fee = step.fee;
            if part > 0 {
                let delta = fee / U256::from(part);
                fee -= delta;
                protocol_fee += u128::try_from(delta).ok()?;
            }
            if liquidity > 0 {
                growth = growth.wrapping_add(growth_of(fee, liquidity)?);
            }
            if price == next_price {
                if initialized {
                    let mut global = self.growth;
                    global[token] = growth;
                    let net = crossed(ticks.get_mut(&next).unwrap(), global);
                    let net = if zero_for_one { -net } else { net };
                    liquidity = liquidity.checked_add_signed(net).unwrap();
                }
                tick = if zero_for_one { next - 1 } else { next };
            } else if price != start {
                tick = tick_at(price).unwrap();
            }
        }
        (self.price, self.tick, self.liquidity, self.ticks) = (price, tick, liquidity, ticks);
        self.growth[token] = growth;
        self.protocol_fees[token] += protocol_fee;
        let used = specified - remaining;
        let is_first = zero_for_one == exact_input;
        let (amount0, amount1) = if is_first { (used, calculated) } else { (calculated, used) };
        Some(V3Event::Swap { amount0, amount1, sqrt_price_x96: price, liquidity, tick })
    }

    fn flash(&mut self, paid: [u64; 2]) -> Option<V3Event> {
        if self.liquidity == 0 {
            return None;
        }
        for (token, paid) in paid.into_iter().enumerate() {
            let part = if token == 0 { self.fee_protocol % 16 } else { self.fee_protocol >> 4 };
            let protocol = paid.checked_div(u64::from(part)).unwrap_or(0);
            self.protocol_fees[token] += u128::from(protocol);
            let grown = growth_of(U256::from(paid - protocol), self.liquidity)?;
            self.growth[token] = self.growth[token].wrapping_add(grown);
        }
        Some(V3Event::Flash { paid0: U256::from(paid[0]), paid1: U256::from(paid[1]) })
    }

    fn set_fee_protocol(&mut self, new0: u8, new1: u8) -> V3Event {
        let (old0, old1) = (self.fee_protocol % 16, self.fee_protocol >> 4);
        self.fee_protocol = new0 + (new1 << 4);
        V3Event::SetFeeProtocol { old0, old1, new0, new1 }
    }

    /// The contract leaves one unit in the slot.
    fn collect_protocol(&mut self) -> V3Event {
        let amounts = self.protocol_fees.map(|fees| fees.saturating_sub(1));
        for (fees, amount) in self.protocol_fees.iter_mut().zip(amounts) {
            *fees -= amount;
        }
        V3Event::CollectProtocol { amount0: amounts[0], amount1: amounts[1] }
    }

    pub(super) fn snapshot(&self) -> V3Snapshot {
        V3Snapshot {
            fee_pips: self.fee,
            tick_spacing: SPACING,
            sqrt_price_x96: self.price,
            tick: self.tick,
            liquidity: self.liquidity,
            fee_growth_global0: self.growth[0],
            fee_growth_global1: self.growth[1],
            fee_protocol: self.fee_protocol,
            protocol_fees0: self.protocol_fees[0],
            protocol_fees1: self.protocol_fees[1],
            ticks: self.ticks.iter().map(|(&tick, &state)| (tick, state)).collect(),
            block: 0,
        }
    }
}

/// What somebody does to the pool.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Mint { at: i16, width: u16, amount: u64, shift: u8 },
    Burn { index: usize, share: u8 },
    Swap { zero_for_one: bool, exact_in: bool, amount: u64, shift: u8, limit: Limit },
    Flash { paid: [u64; 2] },
    SetFeeProtocol { new0: u8, new1: u8 },
    CollectProtocol,
}

#[derive(Debug, Clone)]
pub(super) enum Limit {
    End,
    Near(u16),
    OnTick(u8),
}

pub(super) fn acts() -> impl Strategy<Value = Act> {
    let limit = prop_oneof![
        3 => Just(Limit::End),
        1 => any::<u16>().prop_map(Limit::Near),
        1 => any::<u8>().prop_map(Limit::OnTick),
    ];
    let part = || prop_oneof![Just(0u8), 4u8..=10];
    prop_oneof![
        4 => (any::<i16>(), any::<u16>(), any::<u64>(), 0u8..20)
            .prop_map(|(at, width, amount, shift)| Act::Mint { at, width, amount, shift }),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(index, share)| Act::Burn { index, share }),
        8 => (any::<bool>(), any::<bool>(), any::<u64>(), 0u8..60, limit).prop_map(
            |(zero_for_one, exact_in, amount, shift, limit)| Act::Swap {
                zero_for_one, exact_in, amount, shift, limit,
            }
        ),
        1 => any::<[u64; 2]>().prop_map(|paid| Act::Flash { paid }),
        1 => (part(), part()).prop_map(|(new0, new1)| Act::SetFeeProtocol { new0, new1 }),
        1 => Just(Act::CollectProtocol),
    ]
}

pub(super) fn act(model: &mut Model, act: &Act) -> Option<V3Event> {
    match *act {
        Act::Mint { at, width, amount, shift } => {
            // A third of the ranges begin or end where the price stands, perhaps exactly.
            let here = model.tick.div_euclid(SPACING) * SPACING;
            let width = (1 + i32::from(width / 16)) * SPACING;
            let lower = match at % 6 {
                0 => here,
                1 => here - width,
                _ => i32::from(at / 16) * SPACING,
            };
            let lower = lower.clamp(-860_000, 800_000);
            let upper = lower + width;
            Some(model.mint(lower, upper, u128::from(amount >> shift) + 1))
        }
        Act::Burn { index, share } => model.burn(index, share),
        Act::Swap { zero_for_one, exact_in, amount, shift, ref limit } => {
            let end = if zero_for_one {
                MIN_SQRT_PRICE_X96 + U256::ONE
            } else {
                MAX_SQRT_PRICE_X96 - U256::ONE
            };
            let away = |ticks: i32| if zero_for_one { -ticks } else { ticks };
            let limit = match *limit {
                Limit::End => end,
                Limit::Near(ticks) => {
                    let tick = (model.tick + away(i32::from(ticks))).clamp(-800_000, 800_000);
                    sqrt_price_at(tick).unwrap() + U256::from(ticks)
                }
                Limit::OnTick(nth) => {
                    let nth = usize::from(nth) % model.ticks.len().max(1);
                    model.ticks.keys().nth(nth).map_or(end, |&tick| sqrt_price_at(tick).unwrap())
                }
            };
            let amount = I256::from_raw(U256::from(amount >> shift));
            model.swap(zero_for_one, if exact_in { amount } else { -amount }, limit)
        }
        Act::Flash { paid } => model.flash(paid),
        Act::SetFeeProtocol { new0, new1 } => Some(model.set_fee_protocol(new0, new1)),
        Act::CollectProtocol => Some(model.collect_protocol()),
    }
}

/// Flips a tick's outside growth and answers its net liquidity.
fn crossed(state: &mut TickState, global: [U256; 2]) -> i128 {
    state.outside0 = global[0].wrapping_sub(state.outside0);
    state.outside1 = global[1].wrapping_sub(state.outside1);
    state.net
}
