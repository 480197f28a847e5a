//! What the pools of V3 and V4 have alike: a price, the liquidity in range, the growth of its fees,
//! the ticks where it changes, and what quotes have tabulated of all that.
//!
//! A change computes all new values before it writes the first, so that one that does not fit
//! changes nothing. It answers the ticks it touched as they were: with a copy of the single values
//! that is all it takes to undo it. Knows no log and no fee: a pool whose fee changes says so to
//! its segments.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::math::amm::liquidity::{FeeGrowth, fee_growth_inside};
use crate::math::amm::segments::Segments;
use crate::math::amm::tick::{TickRange, TickState, Ticks, check_tick, sqrt_price_at, tick_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::{AmmError, Direction, Q128, Rounding, mul_div};

/// Why values that were read are no state a pool can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StateError {
    /// Spacing, price or protocol fee out of the protocol's bounds.
    #[error("snapshot is out of the protocol's bounds")]
    Bounds(#[from] AmmError),
    /// `slot0.tick` is not the price's.
    #[error("tick {tick} is not the tick of the price")]
    Tick {
        /// The tick read.
        tick: i32,
    },
    /// A tick twice, off the grid, empty, or with a net above its gross.
    #[error("tick {tick} cannot be an initialized tick")]
    TickState {
        /// The tick read.
        tick: i32,
    },
    /// Nets do not sum to zero, or up to the price not to the liquidity: ticks are missing or read
    /// at another block.
    #[error("ticks and liquidity do not close")]
    TicksDoNotClose,
}

/// The values of which a pool has one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scalars {
    /// Price, Q64.96; zero before `initialize`.
    pub(super) sqrt_price_x96: U256,
    /// `slot0.tick`.
    pub(super) tick: i32,
    /// Liquidity in range.
    pub(super) liquidity: u128,
    /// `feeGrowthGlobal` of token0 and token1, Q128.128.
    pub(super) fee_growth_global: [U256; 2],
}

/// Ticks as they were before a change; `None` for one at which no position ended.
pub(super) type Touched = Box<[(i32, Option<TickState>)]>;

/// The state of a pool's concentrated liquidity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Concentrated {
    pub(super) now: Scalars,
    /// Initialized ticks.
    pub(super) ticks: Ticks,
    /// What quotes have tabulated of the state; no part of it.
    #[serde(skip)]
    pub(super) segments: Segments,
}

impl Concentrated {
    /// What one block left.
    ///
    /// # Errors
    /// [`StateError`] for values that cannot belong to one state of one pool.
    pub(super) fn new(
        now: Scalars,
        ticks: &[(i32, TickState)],
        tick_spacing: i32,
    ) -> Result<Self, StateError> {
        check_slot0(&now)?;
        let mut state = Self { now, ticks: Ticks::new(), segments: Segments::default() };
        for &(tick, at) in ticks {
            let is_sane = tick.checked_rem(tick_spacing) == Some(0)
                && check_tick(tick).is_ok()
                && at.gross > 0
                && at.net.unsigned_abs() <= at.gross;
            match state.ticks.entry(tick) {
                Entry::Vacant(entry) if is_sane => entry.insert(at),
                _ => return Err(StateError::TickState { tick }),
            };
        }
        let in_range = sum_of_nets(state.ticks.range(..=now.tick));
        let is_closed = in_range.and_then(|sum| u128::try_from(sum).ok()) == Some(now.liquidity)
            && sum_of_nets(state.ticks.iter()) == Some(0);
        if is_closed { Ok(state) } else { Err(StateError::TicksDoNotClose) }
    }

    pub(super) fn is_initialized(&self) -> bool {
        !self.now.sqrt_price_x96.is_zero()
    }

    /// The first price; `None` if there is one, or its tick is another.
    pub(super) fn initialize(&mut self, sqrt_price_x96: U256, tick: i32) -> Option<()> {
        if self.is_initialized() || tick_at(sqrt_price_x96) != Ok(tick) {
            return None;
        }
        self.now = Scalars { sqrt_price_x96, tick, ..self.now };
        self.segments.follow(&[]);
        Some(())
    }

    /// The way of a swap, by the sign of what the pool got of either token. One through empty
    /// ranges pays nothing and shows only in the price.
    pub(super) fn way_of(&self, got: [Ordering; 2], sqrt_after_x96: U256) -> Option<Direction> {
        match got {
            [Ordering::Greater, Ordering::Less | Ordering::Equal] => Some(Direction::ZeroForOne),
            [Ordering::Less | Ordering::Equal, Ordering::Greater] => Some(Direction::OneForZero),
            [Ordering::Equal, Ordering::Equal] => {
                let falls = sqrt_after_x96 < self.now.sqrt_price_x96;
                Some(if falls { Direction::ZeroForOne } else { Direction::OneForZero })
            }
            _ => None,
        }
    }

    /// Takes over a swap's result.
    pub(super) fn settle(&mut self, outcome: &SwapOutcome) -> Touched {
        let paid = paid_token(outcome.direction);
        let touched = self.before(outcome.crossed.iter().map(|crossing| crossing.tick));
        let mut global = self.now.fee_growth_global;
        for crossing in &outcome.crossed {
            let mut here = global;
            here[paid] = here[paid].wrapping_add(crossing.fee_growth_x128);
            if let Some(state) = self.ticks.get_mut(&crossing.tick) {
                state.outside0 = here[0].wrapping_sub(state.outside0);
                state.outside1 = here[1].wrapping_sub(state.outside1);
            }
        }
        global[paid] = global[paid].wrapping_add(outcome.fee_growth_x128);
        self.now = Scalars {
            sqrt_price_x96: outcome.sqrt_price_x96,
            tick: outcome.tick,
            liquidity: outcome.liquidity,
            fee_growth_global: global,
        };
        self.segments.follow(&[]);
        touched
    }

    /// Adds liquidity to a range or takes it away; `None` if it does not fit the ticks.
    pub(super) fn change_liquidity(&mut self, range: TickRange, delta: i128) -> Option<Touched> {
        if delta == 0 {
            return Some(Touched::default());
        }
        let (lower, upper) = (range.lower(), range.upper());
        let at_lower = self.tick_after(lower, delta, delta)?;
        let at_upper = self.tick_after(upper, delta, delta.checked_neg()?)?;
        let mut liquidity = self.now.liquidity;
        if range.contains(self.now.tick) {
            liquidity = liquidity.checked_add_signed(delta)?;
        }
        let touched = self.before([lower, upper].into_iter());
        self.now.liquidity = liquidity;
        for (tick, state) in [(lower, at_lower), (upper, at_upper)] {
            self.set(tick, (state.gross > 0).then_some(state));
        }
        self.segments.follow(&[lower, upper]);
        Some(touched)
    }

    /// A tick with its liquidity changed. A new one at or below the price takes all growth so far
    /// as outside: by convention it happened below.
    fn tick_after(&self, tick: i32, gross_delta: i128, net_delta: i128) -> Option<TickState> {
        let [outside0, outside1] = self.now.fee_growth_global;
        let mut state = match self.ticks.get(&tick) {
            Some(state) => *state,
            None if tick <= self.now.tick => {
                TickState { outside0, outside1, ..TickState::default() }
            }
            None => TickState::default(),
        };
        state.gross = state.gross.checked_add_signed(gross_delta)?;
        state.net = state.net.checked_add(net_delta)?;
        (state.net.unsigned_abs() <= state.gross).then_some(state)
    }

    /// What an amount adds to the growth of its token; `None` if the liquidity cannot take it.
    pub(super) fn growth_of(&self, amount: U256) -> Option<U256> {
        mul_div(amount, Q128, U256::from(self.now.liquidity), Rounding::Down).ok()
    }

    /// Fees that no swap paid, for the liquidity in range.
    pub(super) fn grow(&mut self, added: [U256; 2]) {
        for (global, added) in self.now.fee_growth_global.iter_mut().zip(added) {
            *global = global.wrapping_add(added);
        }
    }

    /// Fee growth inside a range, token0 and token1, Q128.128; only differences mean something.
    ///
    /// # Errors
    /// The end of the range at which no position ends.
    pub(super) fn fee_growth_inside(&self, range: TickRange) -> Result<[U256; 2], i32> {
        let at = |tick| self.ticks.get(&tick).ok_or(tick);
        let (lower, upper) = (at(range.lower())?, at(range.upper())?);
        let [global0, global1] = self.now.fee_growth_global;
        let inside = |global, outside_lower, outside_upper| {
            let growth = FeeGrowth { global, outside_lower, outside_upper };
            fee_growth_inside(growth, range, self.now.tick)
        };
        Ok([
            inside(global0, lower.outside0, upper.outside0),
            inside(global1, lower.outside1, upper.outside1),
        ])
    }

    /// Puts back what a change overwrote.
    pub(super) fn restore(&mut self, now: Scalars, touched: Touched) {
        self.now = now;
        let ticks: Vec<i32> = touched.iter().map(|(tick, _)| *tick).collect();
        for (tick, state) in touched {
            self.set(tick, state);
        }
        self.segments.follow(&ticks);
    }

    fn before(&self, ticks: impl Iterator<Item = i32>) -> Touched {
        ticks.map(|tick| (tick, self.ticks.get(&tick).copied())).collect()
    }

    fn set(&mut self, tick: i32, state: Option<TickState>) {
        match state {
            Some(state) => self.ticks.insert(tick, state),
            None => self.ticks.remove(&tick),
        };
    }
}

/// Index of the token that a swap pays in.
pub(super) fn paid_token(direction: Direction) -> usize {
    match direction {
        Direction::ZeroForOne => 0,
        Direction::OneForZero => 1,
    }
}

/// What the trader of a swap may have asked: an input, an output, or a price to stop at. Whichever
/// reproduces the log took the same steps, so it paid the same fees.
pub(super) fn possible_orders(
    direction: Direction,
    [amount0, amount1]: [U256; 2],
    sqrt_after_x96: U256,
) -> [SwapOrder; 3] {
    let (paid, sent) = match direction {
        Direction::ZeroForOne => (amount0, amount1),
        Direction::OneForZero => (amount1, amount0),
    };
    [
        (SwapAmount::ExactIn(paid), None),
        (SwapAmount::ExactOut(sent), None),
        (SwapAmount::ExactIn(MAX_SWAP_AMOUNT), Some(sqrt_after_x96)),
    ]
    .map(|(amount, sqrt_limit_x96)| SwapOrder { direction, amount, sqrt_limit_x96 })
}

/// The first of these orders whose run ends as the log tells; else the end of the first one that
/// could be run at all.
pub(super) fn run_again<End: PartialEq>(
    orders: [SwapOrder; 3],
    logged: &End,
    run: impl Fn(&SwapOrder) -> Option<(End, SwapOutcome)>,
) -> Result<SwapOutcome, Option<Box<End>>> {
    let mut nearest = None;
    for order in orders {
        let Some((end, outcome)) = run(&order) else {
            continue;
        };
        if end == *logged {
            return Ok(outcome);
        }
        nearest.get_or_insert(end);
    }
    Err(nearest.map(Box::new))
}

/// A swap that stops on an initialized tick from above leaves `slot0.tick` one below the price's.
fn check_slot0(now: &Scalars) -> Result<(), StateError> {
    let (price, tick) = (now.sqrt_price_x96, now.tick);
    let is_consistent = if price.is_zero() {
        tick == 0
    } else {
        let of_price = tick_at(price)?;
        tick == of_price || (of_price - 1 == tick && sqrt_price_at(of_price)? == price)
    };
    if is_consistent { Ok(()) } else { Err(StateError::Tick { tick }) }
}

fn sum_of_nets<'a>(mut ticks: impl Iterator<Item = (&'a i32, &'a TickState)>) -> Option<i128> {
    ticks.try_fold(0i128, |sum, (_, state)| sum.checked_add(state.net))
}
