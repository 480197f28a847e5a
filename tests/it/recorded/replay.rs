//! A day followed on one pool, and what came of each of its logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;

use alloy::primitives::U256;
use tidekeeper::market::pools::v3::{PoolV3, V3Event, V3Snapshot};
use tidekeeper::math::amm::liquidity::amounts_for_liquidity;
use tidekeeper::math::amm::tick::TickRange;
use tidekeeper::math::amm::{Amounts, Rounding};

use super::day::{Place, Pool, Row};
use super::told::{Key, Told};

/// What came of a day. Its first swap is in none of it: the price before it stands in no log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Swaps that end where they begin between two ticks of the grid: both amounts, price, tick and
    /// liquidity came out of our own state to the unit, as with the next two.
    pub(super) inside: u32,
    /// Swaps across ticks, each interval on their way shown by a log.
    pub(super) across: u32,
    /// Swaps through an interval that no log shows, and to which the liquidity of the one above
    /// led.
    pub(super) guessed: u32,
    /// Those of all three whose whole way was shown by the logs before them alone.
    pub(super) foreknown: u32,
    /// Swaps through an interval that no log shows, and which ended elsewhere for us.
    pub(super) undetermined: Vec<Place>,
    /// Swaps that ended elsewhere for us although their way is known.
    pub(super) mismatches: Vec<Place>,
    /// Mints that cost what we compute.
    pub(super) mints: u32,
    /// Burns that freed what we compute.
    pub(super) burns: u32,
    /// Payments that were exactly the fees and burnt liquidity we count for the position.
    pub(super) fees_exact: u32,
    /// Payments that were something else.
    pub(super) fees_off: Vec<Place>,
    /// Payments of positions that had liquidity before the day: their fees of then are not told.
    pub(super) fees_of_older: u32,
    /// Payments for a time in which an undetermined swap paid fees.
    pub(super) fees_undetermined: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("swaps reproduced between two ticks", self.inside),
            ("swaps reproduced across ticks", self.across),
            ("swaps reproduced through a guess", self.guessed),
            ("  of these from earlier logs alone", self.foreknown),
            ("mints at our price", self.mints),
            ("burns at our price", self.burns),
            ("fees paid as we count them", self.fees_exact),
            ("fees of older positions", self.fees_of_older),
            ("fees across undetermined swaps", self.fees_undetermined),
        ];
        for (what, count) in rows {
            writeln!(f, "{what:36}{count:6}")?;
        }
        writeln!(f, "swaps not determined: {:?}", self.undetermined)?;
        writeln!(f, "mismatches: {:?}, of fees {:?}", self.mismatches, self.fees_off)
    }
}

/// A position opened that day, as the pool keeps it.
#[derive(Default)]
struct Position {
    liquidity: u128,
    inside: [U256; 2],
    owed: [U256; 2],
    /// Swaps not determined before it was opened.
    gaps: usize,
}

struct Replay<'a> {
    told: &'a Told,
    pool: PoolV3,
    /// Intervals that logs have shown so far.
    seen: BTreeSet<i32>,
    positions: BTreeMap<Key, Position>,
    tally: Tally,
}

/// Follows a day on a pool of which the protocol takes this part.
pub(super) fn replay(pool: &Pool, rows: &[Row], fee_protocol: u8) -> Tally {
    let told = Told::read(pool, rows);
    let (first, rest) = rows.split_first().expect("a day has logs");
    let V3Event::Swap { sqrt_price_x96, liquidity, tick, .. } = first.event else {
        panic!("{first:?} does not tell the price");
    };
    let start = V3Snapshot {
        sqrt_price_x96,
        tick,
        liquidity,
        fee_protocol,
        ticks: told.ticks(),
        ..V3Snapshot::unopened(pool.fee_pips, pool.spacing, first.place.0)
    };
    let mut replay = Replay {
        pool: PoolV3::from_snapshot(start).expect("the ticks close"),
        seen: BTreeSet::from([told.interval(tick)]),
        positions: BTreeMap::new(),
        tally: Tally::default(),
        told: &told,
    };
    for row in rest {
        replay.follow(row);
    }
    replay.tally
}

impl Replay<'_> {
    fn follow(&mut self, row: &Row) {
        match row.event {
            V3Event::Swap { sqrt_price_x96, liquidity, tick, .. } => {
                self.swap(row, sqrt_price_x96, liquidity, tick);
            }
            V3Event::Mint { lower, upper, amount } => {
                self.change(row, lower, upper, amount, Rounding::Up);
                self.tally.mints += 1;
            }
            V3Event::Burn { lower, upper, amount } => {
                self.change(row, lower, upper, amount, Rounding::Down);
                self.tally.burns += 1;
            }
            V3Event::Collect { lower, upper, .. } => self.collect(row, lower, upper),
            _ => panic!("{row:?} is in no recording"),
        }
    }

    /// After a swap that ends elsewhere the pool stands where the log says, ticks and all, and only
    /// the fees of that swap are lost.
    fn swap(&mut self, row: &Row, sqrt_price_x96: U256, liquidity: u128, tick: i32) {
        let (from, to) = (self.told.interval(self.pool.tick()), self.told.interval(tick));
        let way = || from.min(to)..=from.max(to);
        let is_shown = way().all(|interval| self.told.shows(interval));
        let before = self.pool.snapshot().expect("every log so far fits");
        if self.pool.apply(&row.event).is_ok() {
            let count = match (is_shown, from == to) {
                (false, _) => &mut self.tally.guessed,
                (true, true) => &mut self.tally.inside,
                (true, false) => &mut self.tally.across,
            };
            *count += 1;
            self.tally.foreknown += u32::from(way().all(|interval| self.seen.contains(&interval)));
        } else {
            let missed =
                if is_shown { &mut self.tally.mismatches } else { &mut self.tally.undetermined };
            missed.push(row.place);
            let there = V3Snapshot { sqrt_price_x96, liquidity, tick, ..before };
            self.pool = PoolV3::from_snapshot(there).expect("the ticks close");
        }
        self.seen.insert(to);
    }

    fn change(&mut self, row: &Row, lower: i32, upper: i32, amount: u128, rounding: Rounding) {
        let range = self.range(lower, upper);
        let [amount0, amount1] = row.amounts;
        let ours = amounts_for_liquidity(self.pool.sqrt_price_x96(), range, amount, rounding);
        assert_eq!(ours, Ok(Amounts { amount0, amount1 }), "{row:?}");
        let key = (row.owner.clone(), lower, upper);
        let is_opened = self.told.opened.contains(&key);
        if is_opened {
            self.accrue(&key, range);
        }
        assert!(self.pool.apply(&row.event).is_ok(), "{row:?}");
        if !is_opened {
            return;
        }
        let position = self.positions.entry(key).or_default();
        if rounding == Rounding::Up {
            position.liquidity += amount;
            position.inside = self.pool.fee_growth_inside(range).expect("it has just been minted");
        } else {
            position.liquidity -= amount;
            position.owed = [position.owed[0] + amount0, position.owed[1] + amount1];
        }
    }

    /// Brings a position's fees up to date, as every change of it does in the pool.
    fn accrue(&mut self, key: &Key, range: TickRange) {
        let position = self.positions.entry(key.clone()).or_default();
        if position.liquidity == 0 {
            position.gaps = self.tally.undetermined.len();
            return;
        }
        let fees = self.pool.position_fees(range, position.liquidity, position.inside);
        let fees = fees.expect("the ticks of a position are initialized");
        let [owed0, owed1] = position.owed;
        position.owed = [owed0 + U256::from(fees.owed0), owed1 + U256::from(fees.owed1)];
        position.inside = [fees.inside0, fees.inside1];
    }

    fn collect(&mut self, row: &Row, lower: i32, upper: i32) {
        assert!(self.pool.apply(&row.event).is_ok(), "{row:?}");
        let Some(position) = self.positions.get_mut(&(row.owner.clone(), lower, upper)) else {
            self.tally.fees_of_older += 1;
            return;
        };
        let owed = mem::take(&mut position.owed);
        if position.gaps != self.tally.undetermined.len() {
            self.tally.fees_undetermined += 1;
        } else if owed == row.amounts {
            self.tally.fees_exact += 1;
        } else {
            self.tally.fees_off.push(row.place);
        }
    }

    fn range(&self, lower: i32, upper: i32) -> TickRange {
        TickRange::new(lower, upper, self.pool.tick_spacing()).expect("a range of the grid")
    }
}
