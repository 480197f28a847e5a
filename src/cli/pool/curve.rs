//! How much a pool holds, and what moves its price: the curve's own arithmetic, to the unit.
//!
//! Knows no chain and no block. Prices are the base in the quote, amounts are raw units.

use alloy::primitives::{U256, U512};
use rust_decimal::Decimal;

use crate::cli::pool::ranges::Ranges;
use crate::engine::event::Pool as State;
use crate::market::pools::v2::PoolV2;
use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::sqrt_price::{amount0_delta, amount1_delta};
use crate::math::amm::tick::{Ticks, sqrt_price_at, tick_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder};
use crate::math::amm::{AmmError, Amounts, Direction, Rounding};

/// Moves of the price that are told, basis points of it.
const MOVES_BPS: [u32; 4] = [10, 50, 100, 200];
const BPS: u32 = 10_000;

/// Where a trade drives the price of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Quote is given for base.
    Up,
    /// Base is given for quote.
    Down,
}

impl Way {
    fn direction(self, base: Base) -> Direction {
        match (self, base) {
            (Self::Up, Base::Token0) | (Self::Down, Base::Token1) => Direction::OneForZero,
            (Self::Up, Base::Token1) | (Self::Down, Base::Token0) => Direction::ZeroForOne,
        }
    }

    /// The price afterwards, in basis points of the price before.
    fn part(self, bps: u32) -> u32 {
        match self {
            Self::Up => BPS + bps,
            Self::Down => BPS - bps,
        }
    }
}

/// A move of the price, and the smallest trade that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) way: Way,
    pub(super) bps: u32,
    /// `None` where the pool has no such price.
    pub(super) trade: Option<Traded>,
}

/// What a trader gives, fee included, and takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traded {
    pub(super) given: U256,
    pub(super) taken: U256,
}

/// What it takes to move the price, the rises first, each way from the smallest move on.
pub(super) fn moves(state: &State, frame: PriceFrame) -> Vec<Move> {
    let mut moves = Vec::new();
    for way in [Way::Up, Way::Down] {
        for bps in MOVES_BPS {
            let trade = match state {
                State::V2(pool) => v2_move(pool, frame.base(), way, bps),
                State::V3(_) | State::V4(_) => ticked_move(state, frame, way, bps),
            };
            moves.push(Move { way, bps, trade });
        }
    }
    moves
}

/// A swap of as much as it takes, stopped at the price.
fn ticked_move(state: &State, frame: PriceFrame, way: Way, bps: u32) -> Option<Traded> {
    let price = frame.price(Ranges::of(state)?.sqrt_price_x96, Rounding::Down).ok()?;
    let target = price.checked_mul(Decimal::new(way.part(bps).into(), 4))?;
    let direction = way.direction(frame.base());
    let rounding = match direction {
        Direction::ZeroForOne => Rounding::Down,
        Direction::OneForZero => Rounding::Up,
    };
    let limit = frame.sqrt_price_x96(target, rounding).ok()?;
    let amount = SwapAmount::ExactIn(MAX_SWAP_AMOUNT);
    let order = SwapOrder { direction, amount, sqrt_limit_x96: Some(limit) };
    let (given, taken, stopped) = match state {
        State::V2(_) => return None,
        State::V3(pool) => {
            let quote = pool.quote(&order).ok()?;
            (quote.amount_in, quote.amount_out, quote.sqrt_price_x96)
        }
        State::V4(pool) => {
            let outcome = pool.quote(&order).ok()?;
            (outcome.amount_in, outcome.amount_out, outcome.sqrt_price_x96)
        }
    };
    (stopped == limit).then_some(Traded { given, taken })
}

/// The least input after which the reserves are at the price, found by halving.
fn v2_move(pool: &PoolV2, base_is: Base, way: Way, bps: u32) -> Option<Traded> {
    let direction = way.direction(base_is);
    let (reserve0, reserve1) = pool.reserves();
    let (base, quote) = match base_is {
        Base::Token0 => (U256::from(reserve0), U256::from(reserve1)),
        Base::Token1 => (U256::from(reserve1), U256::from(reserve0)),
    };
    let arrives = |given: U256| -> Option<bool> {
        let taken = pool.quote_exact_in(direction, given).ok()?;
        let (base_after, quote_after) = match way {
            Way::Up => (base.checked_sub(taken)?, quote.checked_add(given)?),
            Way::Down => (base.checked_add(given)?, quote.checked_sub(taken)?),
        };
        // Both sides are a price times both base reserves: no division, so no rounding.
        let have = U512::from(quote_after) * U512::from(base) * U512::from(BPS);
        let want = U512::from(quote) * U512::from(base_after) * U512::from(way.part(bps));
        Some(match way {
            Way::Up => have >= want,
            Way::Down => have <= want,
        })
    };
    // Twice the reserve in is about four times the price, more than any move here.
    let (mut short, mut enough) = match way {
        Way::Up => (U256::ZERO, quote),
        Way::Down => (U256::ZERO, base),
    };
    if !arrives(enough)? {
        return None;
    }
    while enough - short > U256::ONE {
        let middle = short + (enough - short) / U256::from(2);
        if arrives(middle)? {
            enough = middle;
        } else {
            short = middle;
        }
    }
    Some(Traded { given: enough, taken: pool.quote_exact_in(direction, enough).ok()? })
}

/// The tokens that stand behind the liquidity of a pool with ticks: token0 above the price, token1
/// below it. Fees that wait to be collected are not among them.
pub(super) fn sides(pool: Ranges<'_>) -> Result<Amounts, AmmError> {
    let mut amounts = Amounts::default();
    let add = |sum: U256, more: U256| sum.checked_add(more).ok_or(AmmError::Overflow);
    let (mut at, mut liquidity) = (pool.sqrt_price_x96, pool.liquidity);
    for (&tick, state) in pool.ticks.range(pool.tick.saturating_add(1)..) {
        let end = sqrt_price_at(tick)?;
        let between = amount0_delta(at, end, liquidity, Rounding::Down)?;
        amounts.amount0 = add(amounts.amount0, between)?;
        let joined = liquidity.checked_add_signed(state.net);
        (at, liquidity) = (end, joined.ok_or(AmmError::LiquidityAtTick { tick })?);
    }
    (at, liquidity) = (pool.sqrt_price_x96, pool.liquidity);
    for (&tick, state) in pool.ticks.range(..=pool.tick).rev() {
        let end = sqrt_price_at(tick)?;
        let between = amount1_delta(end, at, liquidity, Rounding::Down)?;
        amounts.amount1 = add(amounts.amount1, between)?;
        let left = state.net.checked_neg().and_then(|net| liquidity.checked_add_signed(net));
        (at, liquidity) = (end, left.ok_or(AmmError::LiquidityAtTick { tick })?);
    }
    Ok(amounts)
}

/// Liquidity that is the same from one tick to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// First tick inside.
    pub(super) lower: i32,
    /// First tick above.
    pub(super) upper: i32,
    /// `sqrt(token0 * token1)` of raw units.
    pub(super) liquidity: u128,
}

/// The liquidity around a price.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    frame: PriceFrame,
    /// First tick shown.
    low: i32,
    /// First tick above.
    high: i32,
    /// The tick of the price.
    now: i32,
    /// What covers it from `low` to `high`, in order.
    pub(super) stretches: Vec<Stretch>,
}

impl Profile {
    /// The liquidity up to a part of the price away from it, either way; the part is of one.
    /// `None` where these prices are beyond the protocol's.
    pub(super) fn around(
        state: &State,
        frame: PriceFrame,
        price: Decimal,
        part: Decimal,
    ) -> Option<Self> {
        let tick_of =
            |price: Decimal| tick_at(frame.sqrt_price_x96(price, Rounding::Down).ok()?).ok();
        let end = |part: Decimal| tick_of(price.checked_mul(part)?);
        let (one, other) = (end(Decimal::ONE - part)?, end(Decimal::ONE + part)?);
        let (low, high) = (one.min(other), one.max(other).checked_add(1)?);
        let (now, stretches) = match state {
            State::V2(pool) => (tick_of(price)?, vec![v2_stretch(pool, low, high)?]),
            State::V3(_) | State::V4(_) => {
                let ranges = Ranges::of(state)?;
                let now = tick_at(ranges.sqrt_price_x96).ok()?;
                (now, ticked_stretches(ranges.ticks, low, high)?)
            }
        };
        Some(Self { frame, low, high, now, stretches })
    }

    /// The average liquidity of so many equal parts, from the lowest price of the base on.
    pub(super) fn bars(&self, n_bars: u32) -> Vec<u128> {
        let (span, n_bars) = (self.span(), i64::from(n_bars));
        // Counted in parts of a tick, so that a bar narrower than a tick has its place too.
        let at = |tick: i32| i64::from(tick - self.low) * n_bars;
        let average = |index: i64| {
            let (first, end) = (index * span, (index + 1) * span);
            let weighed = self.stretches.iter().fold(U256::ZERO, |sum, stretch| {
                let overlap = at(stretch.upper).min(end) - at(stretch.lower).max(first);
                let overlap = U256::from(overlap.max(0).unsigned_abs());
                sum + U256::from(stretch.liquidity) * overlap
            });
            u128::try_from(weighed / U256::from(span.unsigned_abs())).unwrap_or(u128::MAX)
        };
        let mut bars: Vec<u128> = (0..n_bars).map(average).collect();
        if self.frame.base() == Base::Token1 {
            bars.reverse();
        }
        bars
    }

    /// The one of so many bars that the price is in.
    pub(super) fn bar_of_price(&self, n_bars: u32) -> u32 {
        let last = i64::from(n_bars) - 1;
        let index = i64::from(self.now - self.low) * i64::from(n_bars) / self.span();
        let index = match self.frame.base() {
            Base::Token0 => index,
            Base::Token1 => last - index,
        };
        u32::try_from(index.clamp(0, last.max(0))).unwrap_or(0)
    }

    /// The price at so many parts of the way from the lowest shown to the highest.
    pub(super) fn price_at(&self, part: u32, of: u32) -> Option<Decimal> {
        let along = match self.frame.base() {
            Base::Token0 => part,
            Base::Token1 => of.checked_sub(part)?,
        };
        let offset = (self.span() * i64::from(along)).checked_div(of.into())?;
        let tick = i32::try_from(i64::from(self.low) + offset).ok()?;
        self.frame.price(sqrt_price_at(tick).ok()?, Rounding::Down).ok()
    }

    /// Ticks shown; at least one.
    fn span(&self) -> i64 {
        i64::from(self.high - self.low)
    }
}

fn ticked_stretches(ticks: &Ticks, low: i32, high: i32) -> Option<Vec<Stretch>> {
    let mut nets = ticks.range(..=low).map(|(_, state)| state.net);
    let mut liquidity = nets.try_fold(0i128, i128::checked_add)?;
    let mut stretches = Vec::new();
    let mut lower = low;
    for (&tick, state) in ticks.range(low.saturating_add(1)..high) {
        stretches.push(Stretch { lower, upper: tick, liquidity: liquidity.try_into().ok()? });
        liquidity = liquidity.checked_add(state.net)?;
        lower = tick;
    }
    stretches.push(Stretch { lower, upper: high, liquidity: liquidity.try_into().ok()? });
    Some(stretches)
}

/// A pair's liquidity is the same at every price.
fn v2_stretch(pool: &PoolV2, lower: i32, upper: i32) -> Option<Stretch> {
    let (reserve0, reserve1) = pool.reserves();
    let product = U256::from(reserve0).checked_mul(U256::from(reserve1))?;
    Some(Stretch { lower, upper, liquidity: u128::try_from(product.root(2)).ok()? })
}

#[cfg(test)]
pub(super) mod tests {
    use rust_decimal::dec;

    use super::*;
    use crate::market::pools::v2::V2Observed;
    use crate::market::pools::v3::{PoolV3, V3Snapshot};
    use crate::math::amm::Q96;
    use crate::math::amm::liquidity::amounts_for_liquidity;
    use crate::math::amm::tick::{TickRange, TickState};
    use crate::math::amm::v2::KeptPart;

    const WIDE: u128 = 1_000_000_000_000;
    const INNER: u128 = 400_000_000_000;
    const END: i32 = 887_220;

    fn tick(gross: u128, net: i128) -> TickState {
        TickState { gross, net, ..TickState::default() }
    }

    fn net(amount: u128) -> i128 {
        i128::try_from(amount).unwrap()
    }

    /// A pool at the price of one, with a position everywhere and one on [-600, 600).
    pub(in crate::cli::pool) fn v3() -> State {
        let snapshot = V3Snapshot {
            sqrt_price_x96: Q96,
            liquidity: WIDE + INNER,
            ticks: vec![
                (-END, tick(WIDE, net(WIDE))),
                (-600, tick(INNER, net(INNER))),
                (600, tick(INNER, -net(INNER))),
                (END, tick(WIDE, -net(WIDE))),
            ],
            ..V3Snapshot::unopened(3_000, 60, 1)
        };
        State::V3(Box::new(PoolV3::from_snapshot(snapshot).unwrap()))
    }

    /// A pair of three base and eight quote, a trillion of units each.
    fn v2() -> State {
        let observed = V2Observed { reserve0: 3_000_000_000_000, reserve1: 8_000_000_000_000 };
        State::V2(PoolV2::from_snapshot(observed, KeptPart::UNISWAP))
    }

    pub(in crate::cli::pool) fn frame(base: Base) -> PriceFrame {
        PriceFrame::new(18, 18, base).unwrap()
    }

    fn traded(state: &State, base: Base) -> Vec<(Way, u32, u64, u64)> {
        let row = |of: Move| {
            let trade = of.trade.unwrap();
            (of.way, of.bps, trade.given.to::<u64>(), trade.taken.to::<u64>())
        };
        moves(state, frame(base)).into_iter().map(row).collect()
    }

    #[test]
    fn a_v3_move_is_the_curve_s_integral_and_its_fee() {
        // Without a tick on the way: L (b - a), L (1/a - 1/b), and the fee on top, rounded as v3.
        let rise: [(u32, u64, u64); 4] = [
            (10, 701_930_881, 699_475_437),
            (50, 3_506_154_368, 3_486_929_449),
            (100, 7_003_597_751, 6_947_933_706),
            (200, 13_972_609_199, 13_793_439_832),
        ];
        let fall: [(u32, u64, u64); 4] = [
            (10, 702_633_339, 700_175_087),
            (50, 3_523_751_182, 3_504_385_971),
            (100, 7_074_163_855, 7_017_588_050),
            (200, 14_256_331_369, 14_070_708_874),
        ];
        let rises = rise.map(|(bps, given, taken)| (Way::Up, bps, given, taken));
        let falls = fall.map(|(bps, given, taken)| (Way::Down, bps, given, taken));
        assert_eq!(traded(&v3(), Base::Token0), [rises, falls].concat());
    }

    #[test]
    fn the_other_base_is_moved_by_the_other_token() {
        // One over 1.01 is not 0.99, so that the pool is not its own mirror image.
        let of = |base, way| {
            let all = traded(&v3(), base);
            *all.iter().find(|row| row.0 == way && row.1 == 100).unwrap()
        };
        let (_, _, given, taken) = of(Base::Token1, Way::Up);
        let (_, _, down_given, down_taken) = of(Base::Token0, Way::Down);
        let (_, _, up_given, up_taken) = of(Base::Token0, Way::Up);
        assert!(given > up_given - 200 && given < up_given + 200, "{given} {up_given}");
        assert!(taken > up_taken - 200 && taken < up_taken + 200, "{taken} {up_taken}");
        assert!(given < down_given && taken < down_taken);
    }

    #[test]
    fn a_v2_move_is_the_least_input_that_arrives() {
        let expected: [(Way, u32, u64, u64); 8] = [
            (Way::Up, 10, 4_005_008_016, 1_496_625_370),
            (Way::Up, 50, 20_005_069_968, 7_460_794_789),
            (Way::Up, 100, 39_960_437_778, 14_866_174_093),
            (Way::Up, 200, 79_723_536_881, 29_513_405_559),
            (Way::Down, 10, 1_503_381_011, 3_994_992_988),
            (Way::Down, 50, 7_539_552_053, 19_995_055_225),
            (Way::Down, 100, 15_136_150_089, 40_040_563_768),
            (Way::Down, 200, 30_503_389_086, 80_284_476_523),
        ];
        assert_eq!(traded(&v2(), Base::Token0), expected);
        let empty = V2Observed { reserve0: 0, reserve1: 0 };
        let empty = State::V2(PoolV2::from_snapshot(empty, KeptPart::UNISWAP));
        let nothing = moves(&empty, frame(Base::Token0));
        assert!(nothing.iter().all(|of| of.trade.is_none()), "{nothing:?}");
    }

    #[test]
    fn the_tokens_on_either_side_are_those_of_all_positions() {
        let state = v3();
        let pool = Ranges::of(&state).unwrap();
        let amounts = sides(pool).unwrap();
        let (mut amount0, mut amount1) = (U256::ZERO, U256::ZERO);
        for (reach, liquidity) in [(END, WIDE), (600, INNER)] {
            let range = TickRange::new(-reach, reach, 60).unwrap();
            let part = amounts_for_liquidity(Q96, range, liquidity, Rounding::Down).unwrap();
            (amount0, amount1) = (amount0 + part.amount0, amount1 + part.amount1);
        }
        // Rounded once a stretch there, once a position here.
        let room = U256::from(4);
        assert!(amounts.amount0.abs_diff(amount0) <= room, "{amounts:?} {amount0}");
        assert!(amounts.amount1.abs_diff(amount1) <= room, "{amounts:?} {amount1}");
    }

    #[test]
    fn bars_are_averages_from_the_lowest_price_on() {
        let around = |base| Profile::around(&v3(), frame(base), Decimal::ONE, dec!(0.1)).unwrap();
        let profile = around(Base::Token0);
        let stretch = |lower, upper, liquidity| Stretch { lower, upper, liquidity };
        let expected = [
            stretch(-1_054, -600, WIDE),
            stretch(-600, 600, WIDE + INNER),
            stretch(600, 954, WIDE),
        ];
        assert_eq!(profile.stretches, expected);
        let inner = WIDE + INNER;
        let bars: [u128; 4] = [1_038_247_011_952, inner, inner, 1_117_928_286_852];
        assert_eq!(profile.bars(4), bars);
        assert_eq!((profile.bar_of_price(24), profile.bar_of_price(4)), (12, 2));
        let [low, high] = [profile.price_at(0, 4), profile.price_at(4, 4)].map(Option::unwrap);
        assert!(low > dec!(0.8999) && low < dec!(0.9) && high > dec!(1.1), "{low} {high}");

        // The same picture of the other token: its price rises where the ticks fall.
        let turned = around(Base::Token1);
        assert_eq!(turned.stretches.first().unwrap().lower, -954);
        let bars = turned.bars(4);
        assert!(bars[0] < bars[1] && bars[3] < bars[2] && bars[0] < bars[3], "{bars:?}");
        let [low, high] = [turned.price_at(0, 4), turned.price_at(4, 4)].map(Option::unwrap);
        assert!(low < dec!(0.9001) && high > dec!(1.0999), "{low} {high}");
        // More bars than ticks: all but those across an end are what their tick has.
        let fine = profile.bars(5_000);
        let n_between = fine.iter().filter(|bar| **bar != WIDE && **bar != inner).count();
        assert!(n_between <= 2 && fine.contains(&WIDE) && fine.contains(&inner), "{n_between}");
    }

    #[test]
    fn a_pair_is_as_deep_everywhere() {
        let price = dec!(2.6666666666);
        let profile = Profile::around(&v2(), frame(Base::Token0), price, dec!(0.05)).unwrap();
        // The root of 24 * 10^24.
        assert_eq!(profile.bars(3), [4_898_979_485_566_u128; 3]);
        assert_eq!(profile.bar_of_price(3), 1);
        let beyond = Profile::around(&v2(), frame(Base::Token0), Decimal::ZERO, dec!(0.05));
        assert!(beyond.is_none());
    }
}
