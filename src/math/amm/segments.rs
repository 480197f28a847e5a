//! Quotes of a V3 pool from sums over whole segments and at most one partial step.
//!
//! A segment is a step of the swap loop that goes all the way: from one boundary (an initialized
//! tick or the edge of a bitmap word, where the contract rounds) to the next. What it takes and
//! gives depends on no trade, so the sums up to every boundary are kept, and a quote is a search
//! among them and the one step that ends inside a segment.
//!
//! **Why this is the loop's answer to the unit.** Let `R` be what is left to give or to take when a
//! segment begins, `f` the fee in pips, `M` a million, `A` the input without fee that moves the
//! price to the boundary, `P = A + ceil(A f / (M - f))` the same with its fee, `O` the output.
//!
//! - Exact in: the loop goes all the way when `floor(R (M - f) / M) >= A`. `A` is whole, so this is
//!   `R (M - f) >= A M`; `R` is whole, so it is `R >= ceil(A M / (M - f)) = P`. It takes `P` then.
//!   Otherwise the input is below the exact one of the segment, and V3 rounds the next price back
//!   towards the start: it cannot arrive. The step takes all of `R`, its fee being the remainder.
//! - Exact out: it goes all the way when `R >= O`, for the same `P`. Otherwise the next price is
//!   rounded so far on that at least `R` comes out, of which the trader gets `R`. The rounding can
//!   carry the price to the boundary itself; then the loop crosses it, and so does the quote.
//! - The loop ends as soon as nothing is left, before a segment that takes nothing. So the swap
//!   ends at the first boundary whose sum reaches the amount, or short of it.
//!
//! The loop answers the rest: price limits short of the protocol's end; sums above `u128`, where
//! the loop's sum of protocol fees can overflow, of which the table keeps nothing; boundaries
//! further away than [`SEGMENTS_MAX`]; and states that no contract can be in.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use alloy::primitives::U256;

use crate::math::amm::boundaries::{Boundaries, Boundary};
use crate::math::amm::sqrt_price::{next_from_input, next_from_output};
use crate::math::amm::swap::{Curve, Profile, Quote, SwapAmount, SwapOrder, last_price, swap};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, sqrt_price_at, tick_at};
use crate::math::amm::v3_step::{fee_on, input_between, less_fee, output_between};
use crate::math::amm::{AmmError, Direction, PIPS};

/// Segments of the first stretch behind the nearest boundary; each further one has twice as many.
const STRETCH_SEGMENTS: usize = 8;

/// Stretches of one direction.
const STRETCHES: usize = 10;

/// Most segments kept of one direction, with the one the price stands in. From one end of the
/// protocol to the other at spacing 1 are 6,932 word edges.
pub const SEGMENTS_MAX: usize = 1 + STRETCH_SEGMENTS * ((1 << STRETCHES) - 1);

/// The segments of one pool state, tabulated outwards from the price as far as quotes ask.
///
/// Only a memory of what the state implies: a clone shares what is tabulated, and two tables are
/// always equal. Whoever keeps one calls [`Segments::follow`] after each change of the state.
#[derive(Clone, Default)]
pub struct Segments {
    /// Nothing before the first quote, so that a pool that nobody asks stays small.
    ways: OnceLock<Box<Ways>>,
}

/// Both directions.
#[derive(Clone, Default)]
struct Ways {
    down: Way,
    up: Way,
}

impl Segments {
    /// What [`swap`] answers for the state this table is of, without its fees and crossings.
    ///
    /// # Errors
    /// Those of [`swap`].
    pub fn quote(&self, curve: &impl Curve, order: &SwapOrder) -> Result<Quote, AmmError> {
        match self.tabled(curve, order) {
            Some(quote) => Ok(quote),
            None => Ok(Quote::from(&swap(curve, order)?)),
        }
    }

    /// `None` for what only the loop can answer.
    pub(super) fn tabled<C: Curve>(&self, curve: &C, order: &SwapOrder) -> Option<Quote> {
        let end = last_price(order.direction);
        if order.sqrt_limit_x96.is_some_and(|limit| limit != end) {
            return None;
        }
        let (amount, is_in) = match order.amount {
            SwapAmount::ExactIn(amount) => (amount, true),
            SwapAmount::ExactOut(amount) => (amount, false),
        };
        let amount = u128::try_from(amount).ok().filter(|&amount| amount > 0)?;
        let road = Road::of(curve, order.direction)?;
        let quote = self.way(order.direction).quote(&road, &Asked { is_in, amount })?;
        (quote.amount_in.max(quote.amount_out) < C::TOO_MUCH).then_some(quote)
    }

    /// Keeps what may still hold of the state after a change, and forgets the rest.
    ///
    /// `touched` are the ticks whose liquidity changed. The segment the price stands in is computed
    /// anew by the next quote; while it ends as it did, the ones behind it hold up to the first
    /// touched tick.
    pub fn follow(&mut self, touched: &[i32]) {
        let Some(ways) = self.ways.get_mut() else { return };
        ways.down.follow(Direction::ZeroForOne, touched);
        ways.up.follow(Direction::OneForZero, touched);
    }

    /// Segments tabulated in a direction.
    pub fn tabulated(&self, direction: Direction) -> usize {
        let way = self.way(direction);
        let rest = way.anew.get().map_or(&way.rest, |anew| anew);
        let all = way.first.get().into_iter().chain(tabulated(rest));
        all.map(|stretch| stretch.ends.len()).sum()
    }

    fn way(&self, direction: Direction) -> &Way {
        let ways = self.ways.get_or_init(Box::default);
        match direction {
            Direction::ZeroForOne => &ways.down,
            Direction::OneForZero => &ways.up,
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").finish_non_exhaustive()
    }
}

impl PartialEq for Segments {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Segments {}

/// A way that prices can take from where one stands now.
struct Road<'a> {
    profile: Profile<'a>,
    direction: Direction,
    fee_pips: u32,
}

impl<'a> Road<'a> {
    /// `None` at a fee of one, which leaves nothing to trade.
    fn of(curve: &'a impl Curve, direction: Direction) -> Option<Self> {
        let fee_pips = curve.fee_pips(direction).ok().filter(|&fee| fee < PIPS)?;
        Some(Self { profile: curve.profile(), direction, fee_pips })
    }

    /// The segment the price stands in; none for a state that no contract can be in, and at the
    /// end of the prices.
    fn first(&self) -> Stretch {
        let Profile { sqrt_price_x96, tick, liquidity, .. } = self.profile;
        let start = Mark::start(Point { sqrt_price_x96, tick, liquidity });
        let is_state = self.profile.check().is_ok()
            && leads(sqrt_price_x96, last_price(self.direction), self.direction);
        if is_state {
            return self.stretch(start, 1);
        }
        let (fee_pips, ends) = (self.fee_pips, Vec::new());
        Stretch { fee_pips, start, ends, ending: Ending::Unknown }
    }

    fn stretch(&self, start: Mark, segments: usize) -> Stretch {
        let Profile { tick_spacing, ticks, .. } = self.profile;
        let mut ahead = Boundaries::from(ticks, start.point.tick, tick_spacing, self.direction);
        let (fee_pips, mut ends, mut at) = (self.fee_pips, Vec::with_capacity(segments), start);
        let mut ending = Ending::Open;
        while ends.len() < segments && ending == Ending::Open {
            let next = ahead.next();
            let Some(end) = self.whole_segment(&at, next) else {
                ending = Ending::Unknown;
                break;
            };
            ends.push(end);
            at = end;
            if is_last(next) {
                ending = Ending::LastPrice;
            }
        }
        Stretch { fee_pips, start, ends, ending }
    }

    /// The step of the loop from a boundary to the next, with more than enough to give. The last
    /// price lies short of the last tick's.
    fn whole_segment(&self, from: &Mark, next: Boundary) -> Option<Mark> {
        let Point { sqrt_price_x96: price, liquidity, .. } = from.point;
        let direction = self.direction;
        let target =
            if is_last(next) { last_price(direction) } else { sqrt_price_at(next.tick).ok()? };
        if leads(target, price, direction) {
            return None;
        }
        let traded = input_between(price, target, liquidity, direction).ok()?;
        let paid = traded.checked_add(fee_on(traded, self.fee_pips).ok()?)?;
        let bought = output_between(price, target, liquidity, direction).ok()?;
        let (tick, liquidity) = if is_last(next) {
            (tick_at(target).ok()?, liquidity)
        } else {
            next.beyond(direction, liquidity).ok()?
        };
        let point = Point { sqrt_price_x96: target, tick, liquidity };
        from.plus(u128::try_from(paid).ok()?, u128::try_from(bought).ok()?, point)
    }

    /// Where a swap ends whose amount is reached in this segment, or at its end.
    fn reached(&self, asked: &Asked, (from, end): (&Mark, &Mark)) -> Option<Mark> {
        if end.sum(asked) == asked.amount {
            return Some(*end);
        }
        let left = asked.amount.checked_sub(from.sum(asked))?;
        let Point { sqrt_price_x96: price, liquidity, .. } = from.point;
        let (direction, amount) = (self.direction, U256::from(left));
        let (paid, bought, next) = if asked.is_in {
            let traded = less_fee(amount, self.fee_pips).ok()?;
            let next = next_from_input(price, liquidity, traded, direction).ok()?;
            let bought = output_between(price, next, liquidity, direction).ok()?;
            (left, u128::try_from(bought).ok()?, next)
        } else {
            let next = next_from_output(price, liquidity, amount, direction).ok()?;
            let traded = input_between(price, next, liquidity, direction).ok()?;
            let paid = traded.checked_add(fee_on(traded, self.fee_pips).ok()?)?;
            (u128::try_from(paid).ok()?, left, next)
        };
        let point = if next == end.point.sqrt_price_x96 {
            end.point
        } else if next == price {
            // A step that did not move leaves the tick alone: it may stand one below its price.
            from.point
        } else {
            Point { sqrt_price_x96: next, tick: tick_at(next).ok()?, liquidity }
        };
        from.plus(paid, bought, point)
    }

    fn told(&self, end: &Mark, unfilled: u128) -> Quote {
        Quote {
            direction: self.direction,
            amount_in: U256::from(end.paid),
            amount_out: U256::from(end.bought),
            unfilled: U256::from(unfilled),
            sqrt_price_x96: end.point.sqrt_price_x96,
            tick: end.point.tick,
            liquidity: end.point.liquidity,
        }
    }
}

/// What a trader asks, where a table can tell.
#[derive(Clone, Copy)]
struct Asked {
    is_in: bool,
    amount: u128,
}

/// A state on the price's way.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Point {
    sqrt_price_x96: U256,
    tick: i32,
    liquidity: u128,
}

/// What it takes and gives to come to a point, in raw units.
#[derive(Clone, Copy)]
struct Mark {
    /// Input, fee included.
    paid: u128,
    /// Output.
    bought: u128,
    point: Point,
}

impl Mark {
    fn start(point: Point) -> Self {
        Self { paid: 0, bought: 0, point }
    }

    /// The sum on the side that is asked for.
    fn sum(&self, asked: &Asked) -> u128 {
        if asked.is_in { self.paid } else { self.bought }
    }

    /// Further by a piece of the way; `None` where a sum exceeds its type.
    fn plus(&self, paid: u128, bought: u128, point: Point) -> Option<Self> {
        let (paid, bought) = (self.paid.checked_add(paid)?, self.bought.checked_add(bought)?);
        Some(Self { paid, bought, point })
    }
}

/// Why a stretch has no more segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It has all it was asked for; the next stretch goes on.
    Open,
    /// The protocol's prices end here.
    LastPrice,
    /// Only the loop can tell what comes.
    Unknown,
}

/// Segments one after the other.
struct Stretch {
    /// What a swap paid in all when it was tabulated.
    fee_pips: u32,
    start: Mark,
    /// The end of each segment.
    ends: Vec<Mark>,
    ending: Ending,
}

impl Stretch {
    fn last(&self) -> &Mark {
        self.ends.last().unwrap_or(&self.start)
    }

    /// The segment in or at whose end the amount is reached.
    fn find(&self, asked: &Asked) -> Option<(&Mark, &Mark)> {
        let at = self.ends.partition_point(|end| end.sum(asked) < asked.amount);
        let end = self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        Some((start.unwrap_or(&self.start), end))
    }

    /// Whether a change of a tick's liquidity changes these segments or what ended them.
    fn depends_on(&self, tick: i32, direction: Direction) -> bool {
        let is_ahead_of = |mark: &Mark| match direction {
            Direction::ZeroForOne => tick <= mark.point.tick,
            Direction::OneForZero => tick > mark.point.tick,
        };
        is_ahead_of(&self.start) && (self.ending != Ending::Open || !is_ahead_of(self.last()))
    }
}

/// Stretches one after the other.
type Stretches = [OnceLock<Arc<Stretch>>; STRETCHES];

/// The segments of one direction. The sums of `rest` begin at the end of `first`, so that they hold
/// while the price moves inside it. Where `first` ends elsewhere than they begin, `anew` stands in
/// their place until the next change.
#[derive(Clone, Default)]
struct Way {
    first: OnceLock<Arc<Stretch>>,
    rest: Stretches,
    anew: OnceLock<Box<Stretches>>,
}

impl Way {
    fn quote(&self, road: &Road<'_>, asked: &Asked) -> Option<Quote> {
        let first = self.first.get_or_init(|| Arc::new(road.first()));
        if first.fee_pips != road.fee_pips {
            return None;
        }
        if let Some(segment) = first.find(asked) {
            return Some(road.told(&road.reached(asked, segment)?, 0));
        }
        if first.ending != Ending::Open {
            return None;
        }
        let nearest = first.last();
        let amount = asked.amount.checked_sub(nearest.sum(asked))?;
        let behind = Asked { amount, ..*asked };
        let (end, unfilled) = self.behind(road, &behind, Mark::start(nearest.point))?;
        Some(road.told(&nearest.plus(end.paid, end.bought, end.point)?, unfilled))
    }

    /// Where a swap ends that begins at the nearest boundary, and what it leaves unfilled.
    fn behind(&self, road: &Road<'_>, asked: &Asked, boundary: Mark) -> Option<(Mark, u128)> {
        let (mut start, mut segments) = (boundary, STRETCH_SEGMENTS);
        for stretch in self.stretches(road, &boundary) {
            let stretch = stretch.get_or_init(|| Arc::new(road.stretch(start, segments)));
            if let Some(segment) = stretch.find(asked) {
                return Some((road.reached(asked, segment)?, 0));
            }
            start = *stretch.last();
            match stretch.ending {
                Ending::Open => segments = segments.saturating_mul(2),
                Ending::LastPrice => {
                    return Some((start, asked.amount.checked_sub(start.sum(asked))?));
                }
                Ending::Unknown => return None,
            }
        }
        None
    }

    /// The stretches that begin at this boundary.
    fn stretches(&self, road: &Road<'_>, boundary: &Mark) -> &Stretches {
        let [begin, ..] = &self.rest;
        let holds = begin.get().is_none_or(|begin| {
            begin.start.point == boundary.point && begin.fee_pips == road.fee_pips
        });
        if holds { &self.rest } else { self.anew.get_or_init(Box::default) }
    }

    fn follow(&mut self, direction: Direction, touched: &[i32]) {
        self.first = OnceLock::new();
        if let Some(anew) = self.anew.take() {
            self.rest = *anew;
        }
        let holds = |stretch: &&Arc<Stretch>| {
            !touched.iter().any(|&tick| stretch.depends_on(tick, direction))
        };
        let n_held = tabulated(&self.rest).take_while(holds).count();
        for stretch in self.rest.iter_mut().skip(n_held) {
            *stretch = OnceLock::new();
        }
    }
}

fn tabulated(stretches: &Stretches) -> impl Iterator<Item = &Arc<Stretch>> {
    stretches.iter().map_while(OnceLock::get)
}

/// Whether the protocol's prices end at this boundary.
fn is_last(boundary: Boundary) -> bool {
    boundary.tick == MIN_TICK || boundary.tick == MAX_TICK
}

/// Whether a price lies before another on the way.
fn leads(sqrt_price_x96: U256, sqrt_other_x96: U256, direction: Direction) -> bool {
    match direction {
        Direction::ZeroForOne => sqrt_price_x96 > sqrt_other_x96,
        Direction::OneForZero => sqrt_price_x96 < sqrt_other_x96,
    }
}
