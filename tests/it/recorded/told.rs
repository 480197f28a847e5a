//! What the logs of a day tell of the pool's ticks before it.
//!
//! Between two ticks of the grid the liquidity is one number. A swap's log tells the one where it
//! ends, and mints and burns tell every change, so a single swap that ends in an interval tells its
//! liquidity for the whole day, before the log and after it. The difference of two neighbours is
//! the net of the tick between them. A tick whose liquidity begins and ends alike has no net and
//! shows in no log; it would show as a unit of rounding in the swaps across it.

use std::collections::{BTreeMap, BTreeSet};

use tidekeeper::market::pools::v3::V3Event;
use tidekeeper::math::amm::tick::{MAX_TICK, TickState};

use super::day::{Pool, Row};

/// A position: owner and ends of the range.
pub(super) type Key = (String, i32, i32);

pub(super) struct Told {
    spacing: i32,
    /// Liquidity before the day's first log, of each interval where a swap ended. An interval is
    /// named by its lower tick over the spacing.
    shown: BTreeMap<i32, i128>,
    /// Liquidity of positions that must have begun or ended at a tick before the day, because the
    /// day's burns took it or brought its fees up to date.
    begun: BTreeMap<i32, i128>,
    ended: BTreeMap<i32, i128>,
    /// Positions whose first log of the day is a mint, and which never burn more than was minted.
    pub(super) opened: BTreeSet<Key>,
}

impl Told {
    /// # Panics
    /// Where two swaps tell of an interval what cannot both be true.
    pub(super) fn read(pool: &Pool, rows: &[Row]) -> Self {
        let mut told = Self {
            spacing: pool.spacing,
            shown: BTreeMap::new(),
            begun: BTreeMap::new(),
            ended: BTreeMap::new(),
            opened: opened(rows),
        };
        let (mut begun, mut ended) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            match row.event {
                V3Event::Swap { liquidity, tick, .. } => {
                    let interval = told.interval(tick);
                    let changed = sum_to(&begun, tick) - sum_to(&ended, tick);
                    let before = signed(liquidity) - changed;
                    assert!(before >= 0, "{row:?}");
                    assert_eq!(*told.shown.entry(interval).or_insert(before), before, "{row:?}");
                }
                V3Event::Mint { lower, upper, amount } => {
                    *begun.entry(lower).or_default() += signed(amount);
                    *ended.entry(upper).or_default() += signed(amount);
                }
                V3Event::Burn { lower, upper, amount } => {
                    take(&mut begun, &mut told.begun, lower, amount);
                    take(&mut ended, &mut told.ended, upper, amount);
                }
                _ => {}
            }
        }
        told
    }

    /// The interval of the grid a tick stands in.
    pub(super) fn interval(&self, tick: i32) -> i32 {
        tick.div_euclid(self.spacing)
    }

    /// Whether a swap of the day ended in this interval.
    pub(super) fn shows(&self, interval: i32) -> bool {
        self.shown.contains_key(&interval)
    }

    /// Ticks that have all of this before the day. Intervals that no log shows are taken to have
    /// the liquidity of the next one above that a log shows, and beyond the outermost ones nothing
    /// changes to the ends of the grid.
    pub(super) fn ticks(&self) -> Vec<(i32, TickState)> {
        let end = MAX_TICK / self.spacing * self.spacing;
        let mut nets = BTreeMap::new();
        let (mut tick, mut below) = (-end, 0);
        for (&interval, &liquidity) in &self.shown {
            nets.insert(tick, liquidity - below);
            (tick, below) = ((interval + 1) * self.spacing, liquidity);
        }
        nets.insert(end, -below);
        let touched = self.begun.keys().chain(self.ended.keys()).chain(nets.keys());
        let ticks: BTreeSet<i32> = touched.copied().collect();
        let at =
            |kept: &BTreeMap<i32, i128>, tick: i32| kept.get(&tick).copied().unwrap_or_default();
        let state = |tick: i32| {
            let net = at(&nets, tick);
            let begun = at(&self.begun, tick).max(at(&self.ended, tick) + net).max(net).max(0);
            let gross = begun + (begun - net);
            let gross = u128::try_from(gross).expect("what begins and ends is positive");
            (tick, TickState { gross, net, ..TickState::default() })
        };
        ticks.into_iter().map(state).filter(|(_, state)| state.gross > 0).collect()
    }
}

fn signed(liquidity: u128) -> i128 {
    i128::try_from(liquidity).expect("real liquidity fits")
}

fn sum_to(changes: &BTreeMap<i32, i128>, tick: i32) -> i128 {
    changes.range(..=tick).map(|(_, change)| change).sum()
}

/// A burn at one of its ticks. Nobody can bring the fees of a position without liquidity up to
/// date, so a burn of nothing tells of one unit.
fn take(now: &mut BTreeMap<i32, i128>, least: &mut BTreeMap<i32, i128>, tick: i32, amount: u128) {
    let now = now.entry(tick).or_default();
    *now -= signed(amount);
    let held_after = i128::from(amount == 0);
    let least = least.entry(tick).or_default();
    *least = (*least).max(held_after - *now);
}

fn opened(rows: &[Row]) -> BTreeSet<Key> {
    let (mut held, mut older) = (BTreeMap::<Key, i128>::new(), BTreeSet::new());
    for row in rows {
        let (lower, upper, change) = match row.event {
            V3Event::Mint { lower, upper, amount } => (lower, upper, signed(amount)),
            V3Event::Burn { lower, upper, amount } => (lower, upper, -signed(amount)),
            V3Event::Collect { lower, upper, .. } => (lower, upper, 0),
            _ => continue,
        };
        let key = (row.owner.clone(), lower, upper);
        let is_first = !held.contains_key(&key);
        let now = held.entry(key.clone()).or_default();
        *now += change;
        if *now < 0 || (is_first && row.kind() != "mint") {
            older.insert(key);
        }
    }
    held.into_keys().filter(|key| !older.contains(key)).collect()
}
