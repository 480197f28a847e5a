//! Where the steps of a swap may end, one after the other.
//!
//! A step ends at the next initialized tick or at the edge of its bitmap word (256 spacings),
//! because the contract's search never leaves the word it starts in; it rounds there. This is
//! v3-core's `TickBitmap.nextInitializedTickWithinOneWord`, as a walk instead of a search.

use std::collections::btree_map::Range;

use crate::math::amm::tick::{MAX_TICK, MIN_TICK, TickState, Ticks};
use crate::math::amm::{AmmError, Direction};

/// Ticks per bitmap word, less one: the low bits of a compressed tick.
const WORD_MASK: i32 = 0xff;

/// Where a step of a swap may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundary {
    /// The tick, inside the protocol's range.
    pub(super) tick: i32,
    /// What joins the liquidity when the price rises through it; `None` where only a word ends.
    pub(super) net: Option<i128>,
}

impl Boundary {
    /// `slot0.tick` and the liquidity in range once the price has gone through.
    pub(super) fn beyond(
        self,
        direction: Direction,
        liquidity: u128,
    ) -> Result<(i32, u128), AmmError> {
        let misfit = AmmError::LiquidityAtTick { tick: self.tick };
        let net = self.net.unwrap_or(0);
        let (tick, net) = match direction {
            Direction::ZeroForOne => (self.tick - 1, net.checked_neg().ok_or(misfit)?),
            Direction::OneForZero => (self.tick, net),
        };
        Ok((tick, liquidity.checked_add_signed(net).ok_or(misfit)?))
    }
}

/// The boundaries on a swap's way.
#[derive(Debug, Clone)]
pub(super) struct Boundaries<'t> {
    ticks: &'t Ticks,
    direction: Direction,
    tick_spacing: i32,
    /// The tick up to which the way is told.
    tick: i32,
    /// The edge of the word it stands in, and the initialized ticks up to there.
    word: Option<(i32, Range<'t, i32, TickState>)>,
}

impl<'t> Boundaries<'t> {
    /// The way from a tick on. Tick and spacing must have been checked, and the ticks lie on the
    /// grid.
    pub(super) fn from(
        ticks: &'t Ticks,
        tick: i32,
        tick_spacing: i32,
        direction: Direction,
    ) -> Self {
        Self { ticks, direction, tick_spacing, tick, word: None }
    }

    /// The next boundary; behind the last tick of the protocol it is that one again.
    pub(super) fn next(&mut self) -> Boundary {
        let (edge, mut ahead) = self.word.take().unwrap_or_else(|| self.look());
        let found = match self.direction {
            Direction::ZeroForOne => ahead.next_back(),
            Direction::OneForZero => ahead.next(),
        };
        let boundary = match found {
            Some((&tick, state)) => Boundary { tick, net: Some(state.net) },
            None => Boundary { tick: edge, net: None },
        };
        if boundary.tick != edge {
            self.word = Some((edge, ahead));
        }
        self.tick = match self.direction {
            Direction::ZeroForOne => (boundary.tick - 1).max(MIN_TICK),
            Direction::OneForZero => boundary.tick,
        };
        boundary
    }

    /// The edge of the next word, and the initialized ticks up to there.
    fn look(&self) -> (i32, Range<'t, i32, TickState>) {
        let compressed = self.tick.div_euclid(self.tick_spacing);
        let edge = match self.direction {
            Direction::ZeroForOne => compressed & !WORD_MASK,
            Direction::OneForZero => (compressed + 1) | WORD_MASK,
        };
        let edge = edge.saturating_mul(self.tick_spacing).clamp(MIN_TICK, MAX_TICK);
        let ahead = match self.direction {
            Direction::ZeroForOne => self.ticks.range(edge..=self.tick.max(edge)),
            // At the last tick nothing is ahead, and that tick is not either.
            Direction::OneForZero if self.tick >= edge => self.ticks.range(edge..edge),
            Direction::OneForZero => self.ticks.range(self.tick + 1..=edge),
        };
        (edge, ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(at: &[i32]) -> Ticks {
        at.iter().map(|&tick| (tick, TickState { net: 7, ..TickState::default() })).collect()
    }

    fn first(tick: i32, direction: Direction) -> (i32, bool) {
        let map = ticks(&[-600, 120]);
        let boundary = Boundaries::from(&map, tick, 60, direction).next();
        (boundary.tick, boundary.net.is_some())
    }

    #[test]
    fn the_way_down_stops_at_the_word() {
        let next = |tick| first(tick, Direction::ZeroForOne);
        assert_eq!(next(125), (120, true));
        assert_eq!(next(120), (120, true));
        assert_eq!(next(119), (0, false));
        assert_eq!(next(-1), (-600, true));
        assert_eq!(next(-601), (-256 * 60, false));
    }

    #[test]
    fn the_way_up_stops_at_the_word() {
        let next = |tick| first(tick, Direction::OneForZero);
        assert_eq!(next(119), (120, true));
        assert_eq!(next(120), (255 * 60, false));
        assert_eq!(next(-601), (-600, true));
        assert_eq!(next(-600), (-60, false));
        assert_eq!(next(MAX_TICK), (MAX_TICK, false));
    }

    #[test]
    fn a_way_goes_on_where_it_stopped_and_ends_with_the_protocol() {
        for (spacing, at) in [(1, vec![-300, -256, -1, 0, 3, 255, 256, 257]), (16_383, vec![0])] {
            let map = ticks(&at);
            for direction in [Direction::ZeroForOne, Direction::OneForZero] {
                let mut way = Boundaries::from(&map, 2, spacing, direction);
                let (mut tick, mut n_found) = (2, 0);
                loop {
                    let boundary = way.next();
                    // A new search from there finds the same.
                    let anew = Boundaries::from(&map, tick, spacing, direction).next();
                    assert_eq!(boundary, anew, "{direction:?} from {tick}");
                    n_found += usize::from(boundary.net.is_some());
                    if boundary.tick == MIN_TICK || boundary.tick == MAX_TICK {
                        break;
                    }
                    tick = boundary.beyond(direction, 1 << 100).unwrap().0;
                }
                let is_ahead = |t: &&i32| (direction == Direction::ZeroForOne) == (**t <= 2);
                assert_eq!(n_found, at.iter().filter(is_ahead).count());
            }
        }
    }

    #[test]
    fn nets_that_do_not_fit_are_refused() {
        let down = Boundary { tick: 60, net: Some(i128::MIN) };
        let misfit = Err(AmmError::LiquidityAtTick { tick: 60 });
        assert_eq!(down.beyond(Direction::ZeroForOne, 0), misfit);
        let up = Boundary { tick: 60, net: Some(-2) };
        assert_eq!(up.beyond(Direction::OneForZero, 1), misfit);
        assert_eq!(up.beyond(Direction::ZeroForOne, 1), Ok((59, 3)));
    }
}
