//! Ranges that no log tells of: pretend positions, whose fees come from the pool's real trades.
//!
//! A pool keeps fee growth at initialized ticks only, and the ends of such a range need not be any.
//! So each swap is looked at where it enters and where it leaves the range. The pretend liquidity
//! takes its share of the fees as if it stood there from the entry on; it moves no price.

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};

use crate::market::pools::concentrated::Scalars;
use crate::market::pools::v3::{PoolV3, Undo};
use crate::math::amm::tick::sqrt_price_at;
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder, SwapOutcome, swap};
use crate::math::amm::{Direction, Rounding, mul_div};

/// A range that is watched, and what it earned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// First tick inside.
    pub lower: i32,
    /// First tick above.
    pub upper: i32,
    /// Pretend liquidity that shares the fees.
    pub liquidity: u128,
    /// Fee growth inside of token0 and token1, Q128.128; only differences mean something.
    pub inside: [U256; 2],
}

impl PoolV3 {
    /// From here on the fee growth inside this range is kept; it replaces an older watch of it.
    pub fn watch(&mut self, range: Watched) -> Undo {
        let before = self.unwatch(range.lower, range.upper);
        self.watched.push(range);
        before
    }

    /// The range is not asked for any more.
    pub fn unwatch(&mut self, lower: i32, upper: i32) -> Undo {
        let before = self.before();
        self.watched.retain(|range| (range.lower, range.upper) != (lower, upper));
        before
    }

    /// Fee growth inside a watched range; `None` for every other one.
    pub fn watched_growth(&self, lower: i32, upper: i32) -> Option<[U256; 2]> {
        let found = self.watched.iter().find(|w| (w.lower, w.upper) == (lower, upper));
        found.map(|range| range.inside)
    }

    /// What a swap on the state of now adds to each watched range, in their order.
    pub(super) fn earned_by(&self, outcome: &SwapOutcome) -> Vec<U256> {
        // The whole swap ran along the same way, so that a part of it does.
        let earned = |range: &Watched| self.earned_in(range, outcome).unwrap_or_default();
        self.watched.iter().map(earned).collect()
    }

    fn earned_in(&self, range: &Watched, outcome: &SwapOutcome) -> Option<U256> {
        let (lower, upper) = (sqrt_price_at(range.lower).ok()?, sqrt_price_at(range.upper).ok()?);
        let (entry, exit) = match outcome.direction {
            Direction::ZeroForOne => (upper, lower),
            Direction::OneForZero => (lower, upper),
        };
        let (before, liquidity) = self.grown_to(entry, outcome)?;
        let (after, _) = self.grown_to(exit, outcome)?;
        Some(shared(after.wrapping_sub(before), liquidity, range.liquidity))
    }

    /// Growth of a swap up to a price on its way, with the liquidity in range there.
    fn grown_to(&self, sqrt_price_x96: U256, outcome: &SwapOutcome) -> Option<(U256, u128)> {
        let (start, end) = (self.state.now.sqrt_price_x96, outcome.sqrt_price_x96);
        let (is_behind, is_beyond) = match outcome.direction {
            Direction::ZeroForOne => (sqrt_price_x96 >= start, sqrt_price_x96 <= end),
            Direction::OneForZero => (sqrt_price_x96 <= start, sqrt_price_x96 >= end),
        };
        if is_behind {
            return Some((U256::ZERO, self.state.now.liquidity));
        }
        if is_beyond {
            return Some((outcome.fee_growth_x128, outcome.liquidity));
        }
        let order = SwapOrder {
            direction: outcome.direction,
            amount: SwapAmount::ExactIn(MAX_SWAP_AMOUNT),
            sqrt_limit_x96: Some(sqrt_price_x96),
        };
        let part = swap(&self.curve(), &order).ok()?;
        Some((part.fee_growth_x128, part.liquidity))
    }

    /// A flash loan's fees grow where the price stands.
    pub(super) fn share_flash(&mut self, token: usize, grown: U256) {
        let Scalars { tick, liquidity, .. } = self.state.now;
        let here = self.watched.iter_mut().filter(|w| w.lower <= tick && tick < w.upper);
        for range in here {
            if let Some(inside) = range.inside.get_mut(token) {
                *inside = inside.wrapping_add(shared(grown, liquidity, range.liquidity));
            }
        }
    }
}

/// Growth per unit of liquidity once `pretended` shares what `liquidity` earned alone.
fn shared(grown: U256, liquidity: u128, pretended: u128) -> U256 {
    let real = U256::from(liquidity);
    let all = real.saturating_add(U256::from(pretended));
    // Without any liquidity nothing grew.
    mul_div(grown, real, all, Rounding::Down).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::pools::v3::{V3Event, V3Snapshot};
    use crate::math::amm::Q96;
    use crate::math::amm::tick::{TickRange, TickState};

    const WIDE: u128 = 1_000_000_000_000;
    const INNER: u128 = 400_000_000_000;
    const END: i32 = 887_220;

    fn tick(gross: u128, net: i128) -> TickState {
        TickState { gross, net, ..TickState::default() }
    }

    fn net(amount: u128) -> i128 {
        i128::try_from(amount).unwrap()
    }

    /// A pool with a real position on [-600, 600).
    fn pool() -> PoolV3 {
        let ticks = vec![
            (-END, tick(WIDE, net(WIDE))),
            (-600, tick(INNER, net(INNER))),
            (600, tick(INNER, -net(INNER))),
            (END, tick(WIDE, -net(WIDE))),
        ];
        PoolV3::from_snapshot(V3Snapshot {
            sqrt_price_x96: Q96,
            liquidity: WIDE + INNER,
            ticks,
            ..V3Snapshot::unopened(3_000, 60, 1)
        })
        .unwrap()
    }

    fn watched(lower: i32, upper: i32, liquidity: u128) -> Watched {
        Watched { lower, upper, liquidity, inside: [U256::ZERO; 2] }
    }

    fn trade(pools: &mut [&mut PoolV3], direction: Direction, amount: u64) {
        let amount = SwapAmount::ExactIn(U256::from(amount));
        let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
        let outcome = pools[0].quote(&order).unwrap();
        let (amount0, amount1) = outcome.deltas();
        let log = V3Event::Swap {
            amount0,
            amount1,
            sqrt_price_x96: outcome.sqrt_price_x96,
            liquidity: outcome.liquidity,
            tick: outcome.tick,
        };
        for pool in pools {
            pool.apply(&log).unwrap();
        }
    }

    /// Out of the range and back on either side, and inside.
    const TRADES: [(Direction, u64); 6] = [
        (Direction::ZeroForOne, 10_000_000_000),
        (Direction::ZeroForOne, 90_000_000_000),
        (Direction::OneForZero, 250_000_000_000),
        (Direction::ZeroForOne, 3_000_000),
        (Direction::ZeroForOne, 120_000_000_000),
        (Direction::OneForZero, 40_000_000_000),
    ];

    #[test]
    fn a_watched_range_earns_what_a_real_position_there_earns() {
        let (mut real, mut watching) = (pool(), pool());
        watching.watch(watched(-600, 600, 0));
        let range = TickRange::new(-600, 600, 60).unwrap();
        let before = real.fee_growth_inside(range).unwrap();
        let mut ticks = Vec::new();
        for (direction, amount) in TRADES {
            trade(&mut [&mut real, &mut watching], direction, amount);
            ticks.push(real.tick());
            let now = real.fee_growth_inside(range).unwrap();
            let grown = [0, 1].map(|token| now[token].wrapping_sub(before[token]));
            assert_eq!(watching.fee_growth_inside(range).unwrap(), grown, "{ticks:?}");
        }
        assert!(ticks.iter().any(|tick| *tick < -600) && ticks.iter().any(|tick| *tick >= 600));
        watching.unwatch(-600, 600);
        assert_eq!(watching.fee_growth_inside(range), real.fee_growth_inside(range));
        assert_eq!(watching, real);
    }

    #[test]
    fn ends_need_no_real_position_and_pretend_liquidity_takes_its_share() {
        let (mut alone, mut shared) = (pool(), pool());
        let range = TickRange::new(-120, 180, 60).unwrap();
        assert!(alone.fee_growth_inside(range).is_err());
        alone.watch(watched(-120, 180, 0));
        shared.watch(watched(-120, 180, WIDE + INNER));
        for (direction, amount) in TRADES {
            trade(&mut [&mut alone, &mut shared], direction, amount);
        }
        let whole = alone.fee_growth_inside(range).unwrap();
        let half = shared.fee_growth_inside(range).unwrap();
        for token in [0, 1] {
            assert!(whole[token] > U256::ZERO && half[token] < whole[token]);
        }
        assert!(alone.desync().is_none() && shared.desync().is_none());
    }

    #[test]
    fn a_flash_fee_is_shared_where_the_price_stands() {
        let mut pool = pool();
        pool.watch(watched(-60, 60, WIDE + INNER));
        pool.watch(watched(60, 120, 1));
        let paid = U256::from(1_400_000_u64);
        pool.apply(&V3Event::Flash { paid0: paid, paid1: U256::ZERO }).unwrap();
        let [global, _] = pool.fee_growth_global();
        assert_eq!(pool.watched_growth(-60, 60), Some([global / U256::from(2), U256::ZERO]));
        assert_eq!(pool.watched_growth(60, 120), Some([U256::ZERO; 2]));
    }
}
