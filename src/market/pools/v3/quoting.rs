//! [`PoolV3::quote`] against the loop, after every log of random lives of random pools, and after
//! each was taken back.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::select;
use proptest::strategy::Strategy;

use crate::market::pools::v3::{PoolV3, Undo, V3Event, V3Snapshot, ViewError};
use crate::math::amm::Direction;
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, sqrt_price_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, Quote, SwapAmount, SwapOrder, swap};

/// Ticks of a bitmap word.
const WORD: i32 = 256;

/// A range: where it begins, counted from the start of the pool, and how wide it is, in spacings.
#[derive(Clone, Debug)]
struct Range {
    begin: i32,
    width: i32,
    liquidity: u128,
}

/// What happens to the pool.
#[derive(Clone, Debug)]
enum Act {
    Mint(Range),
    /// The position at this place of all, and whether all of it goes.
    Burn(usize, bool),
    /// A trade of at most this many units that ends at most so many ticks away.
    Swap(Direction, u128, i32),
    /// Logs that do not touch the curve.
    Aside,
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::ZeroForOne, Direction::OneForZero])
}

/// From 1 to 2^127, all sizes alike.
fn amount() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0u32..127).prop_map(|(amount, size)| (1u128 << size) + amount % (1 << size))
}

fn range() -> impl Strategy<Value = Range> {
    let liquidity = (any::<u128>(), 1u32..90);
    (-600i32..600, 1i32..400, liquidity).prop_map(|(begin, width, (liquidity, size))| Range {
        begin,
        width,
        liquidity: (1u128 << size) + liquidity % (1 << size),
    })
}

fn act() -> impl Strategy<Value = Act> {
    (0u32..8, range(), any::<(usize, bool)>(), direction(), amount(), 1i32..3_000).prop_map(
        |(kind, range, (at, is_all), way, amount, away)| match kind {
            0 | 1 => Act::Mint(range),
            2 | 3 => Act::Burn(at, is_all),
            4 => Act::Aside,
            _ => Act::Swap(way, amount, away),
        },
    )
}

/// A price near the edge of a bitmap word, or anywhere.
fn start() -> impl Strategy<Value = (i32, i32, bool)> {
    (-3i32..=3, -2i32..=2, any::<bool>())
}

fn order(direction: Direction, is_in: bool, amount: u128) -> SwapOrder {
    let amount = U256::from(amount);
    let amount = if is_in { SwapAmount::ExactIn(amount) } else { SwapAmount::ExactOut(amount) };
    SwapOrder { direction, amount, sqrt_limit_x96: None }
}

/// A pool and the positions in it.
struct Life {
    pool: PoolV3,
    /// Where ranges are counted from, on the grid.
    base: i32,
    held: BTreeMap<(i32, i32), u128>,
    /// The pool before each log, and what takes the log back.
    past: Vec<(PoolV3, Undo)>,
}

impl Life {
    fn begin(fee_pips: u32, tick_spacing: i32, tick: i32, is_above: bool) -> Self {
        let sqrt_price_x96 = sqrt_price_at(tick).unwrap() + U256::from(u8::from(is_above));
        let unopened = V3Snapshot::unopened(fee_pips, tick_spacing, 0);
        let mut pool = PoolV3::from_snapshot(unopened).unwrap();
        pool.apply(&V3Event::Initialize { sqrt_price_x96, tick }).unwrap();
        let base = tick.div_euclid(tick_spacing) * tick_spacing;
        Self { pool, base, held: BTreeMap::new(), past: Vec::new() }
    }

    fn tell(&mut self, log: V3Event) {
        let before = self.pool.clone();
        let undo = self.pool.apply(&log).unwrap();
        self.past.push((before, undo));
    }

    fn mint(&mut self, range: &Range) {
        let spacing = self.pool.tick_spacing();
        let lower = self.base + range.begin * spacing;
        let upper = lower + range.width * spacing;
        if MIN_TICK <= lower && upper <= MAX_TICK {
            let amount = range.liquidity;
            self.tell(V3Event::Mint { lower, upper, amount });
            *self.held.entry((lower, upper)).or_default() += amount;
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Mint(range) => self.mint(range),
            Act::Burn(at, is_all) => {
                let Some(at) = at.checked_rem(self.held.len()) else { return };
                let (&(lower, upper), held) = self.held.iter_mut().nth(at).unwrap();
                let amount = if *is_all { *held } else { *held / 2 };
                *held -= amount;
                self.held.retain(|_, held| *held > 0);
                self.tell(V3Event::Burn { lower, upper, amount });
            }
            Act::Swap(way, amount, away) => self.swap(*way, *amount, *away),
            Act::Aside => {
                let parts = V3Event::SetFeeProtocol { old0: 0, old1: 0, new0: 4, new1: 10 };
                let nothing = V3Event::SetFeeProtocol { old0: 4, old1: 10, new0: 0, new1: 0 };
                self.tell(parts);
                self.quote(&order(Direction::OneForZero, true, 1 << 40));
                self.tell(nothing);
            }
        }
    }

    /// The log of a swap of the loop's own; one that moves nothing has no log that could be told.
    fn swap(&mut self, direction: Direction, amount: u128, away: i32) {
        let to = match direction {
            Direction::ZeroForOne => self.pool.tick() - away,
            Direction::OneForZero => self.pool.tick() + away,
        };
        let limit = sqrt_price_at(to.clamp(MIN_TICK + 1, MAX_TICK - 1)).unwrap();
        let order = SwapOrder { sqrt_limit_x96: Some(limit), ..order(direction, true, amount) };
        let Ok(outcome) = swap(&self.pool.curve(), &order) else { return };
        if outcome.sqrt_price_x96 == self.pool.sqrt_price_x96() {
            return;
        }
        let (amount0, amount1) = outcome.deltas();
        self.tell(V3Event::Swap {
            amount0,
            amount1,
            sqrt_price_x96: outcome.sqrt_price_x96,
            liquidity: outcome.liquidity,
            tick: outcome.tick,
        });
    }

    fn quote(&self, order: &SwapOrder) {
        let looped = swap(&self.pool.curve(), order);
        let looped = looped.as_ref().map(Quote::from).map_err(|e| ViewError::Curve(*e));
        assert_eq!(self.pool.quote(order), looped, "{order:?} {:?}", self.pool);
        let is_zero = order.amount.raw().is_zero();
        assert!(is_zero || self.pool.state.segments.tabulated(order.direction) > 0, "{order:?}");
    }

    /// The nearest initialized ticks on the way and the edge of the bitmap word.
    fn boundaries(&self, direction: Direction) -> Vec<i32> {
        let (tick, spacing) = (self.pool.tick(), self.pool.tick_spacing());
        let word = WORD * spacing;
        let first = tick.div_euclid(word) * word;
        let ticks = self.pool.ticks();
        match direction {
            Direction::ZeroForOne => {
                let near = ticks.range(..=tick).rev().take(3).map(|(&tick, _)| tick);
                near.chain([first]).collect()
            }
            Direction::OneForZero => {
                let near = ticks.range(tick + 1..).take(3).map(|(&tick, _)| tick);
                near.chain([first + word - spacing]).collect()
            }
        }
    }

    fn quote_everywhere(&self, asked: &[(Direction, bool, u128)]) {
        for (direction, is_in, amount) in asked {
            self.quote(&order(*direction, *is_in, *amount));
        }
        for direction in [Direction::ZeroForOne, Direction::OneForZero] {
            self.quote_at_boundaries(direction);
        }
    }

    /// Amounts that end on boundaries, and one unit to either side.
    fn quote_at_boundaries(&self, direction: Direction) {
        for to in self.boundaries(direction) {
            let limit = sqrt_price_at(to).unwrap();
            let all = SwapAmount::ExactIn(MAX_SWAP_AMOUNT);
            let order_to = SwapOrder { direction, amount: all, sqrt_limit_x96: Some(limit) };
            let Ok(reached) = swap(&self.pool.curve(), &order_to) else { continue };
            for (is_in, sum) in [(true, reached.amount_in), (false, reached.amount_out)] {
                let Ok(sum) = u128::try_from(sum) else { continue };
                for amount in [sum.saturating_sub(1), sum, sum.saturating_add(1)] {
                    self.quote(&order(direction, is_in, amount));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_table_answers_as_the_loop_after_every_log_and_every_undo(
        fee_pips in select(vec![100u32, 500, 3_000, 10_000]),
        tick_spacing in select(vec![1i32, 10, 60, 200]),
        (word, beside, is_above) in start(),
        positions in vec(range(), 1..=40),
        acts in vec(act(), 1..6),
        asked in vec((direction(), any::<bool>(), amount()), 4),
    ) {
        let tick = word * WORD * tick_spacing + beside * tick_spacing / 2;
        let mut life = Life::begin(fee_pips, tick_spacing, tick, is_above);
        for position in &positions {
            life.mint(position);
        }
        life.past.clear();
        for act in &acts {
            life.act(act);
            life.quote_everywhere(&asked);
        }
        while let Some((before, undo)) = life.past.pop() {
            life.pool.undo(undo);
            assert_eq!(life.pool, before);
            life.quote_everywhere(&asked);
        }
    }
}

/// A burn of everything, trades through nothing, and liquidity again where there was none.
#[test]
fn a_pool_without_liquidity_is_quoted_as_the_loop_does() {
    let mut life = Life::begin(500, 10, 256 * 10, false);
    let far = Range { begin: 300, width: 20, liquidity: 1 << 60 };
    for act in [
        Act::Aside,
        Act::Mint(far.clone()),
        Act::Swap(Direction::OneForZero, 1 << 90, 2_990),
        Act::Swap(Direction::OneForZero, 1 << 90, 2_990),
        Act::Swap(Direction::ZeroForOne, 1 << 90, 2_990),
        Act::Burn(0, true),
        Act::Mint(Range { begin: -1, ..far }),
    ] {
        life.act(&act);
        for direction in [Direction::ZeroForOne, Direction::OneForZero] {
            for is_in in [true, false] {
                for amount in [1, 1 << 50, 1 << 100] {
                    life.quote(&order(direction, is_in, amount));
                }
            }
            life.quote_at_boundaries(direction);
        }
    }
}
