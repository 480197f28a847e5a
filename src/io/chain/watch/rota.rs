//! Which pools are compared with the chain next, and how much of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::chain::PoolAddress;

/// All of a pool is compared once in so many rhythms.
pub(super) const WHOLE_RHYTHMS: u64 = 50;
/// Pools compared in one turn at most, busy ones apart; more wait for the next.
const TURN_MAX: u64 = 200;

/// How much of a pool is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Part,
    Whole,
}

/// One pool among those to be compared.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Block of the newest comparison, or of its first reading.
    at: u64,
    /// Logs told since.
    n_logs: u64,
    /// Block from which on the next comparison is of the whole.
    whole_at: u64,
}

/// Who is compared next: those who waited longest, so many a turn that nobody waits longer than
/// `every` blocks, and half as many again of those with the most logs since.
#[derive(Debug, Default)]
pub(super) struct Rota {
    every: u64,
    turns: BTreeMap<PoolAddress, Turn>,
    /// Block of the newest turn.
    last: u64,
}

impl Rota {
    pub(super) fn begin(&mut self, pools: impl Iterator<Item = PoolAddress>, every: u64, at: u64) {
        let pools: Vec<PoolAddress> = pools.collect();
        *self = Self { every: every.max(1), turns: BTreeMap::new(), last: at };
        let n_pools = u64::try_from(pools.len()).unwrap_or(u64::MAX).max(1);
        // Apart from each other: a whole comparison takes long.
        for (place, pool) in (1..).zip(pools) {
            let whole_at = at.saturating_add(self.period().saturating_mul(place) / n_pools);
            self.turns.insert(pool, Turn { at, n_logs: 0, whole_at });
        }
    }

    /// Blocks from one whole comparison of a pool to the next.
    fn period(&self) -> u64 {
        self.every.saturating_mul(WHOLE_RHYTHMS)
    }

    pub(super) fn told(&mut self, pool: PoolAddress) {
        if let Some(turn) = self.turns.get_mut(&pool) {
            turn.n_logs = turn.n_logs.saturating_add(1);
        }
    }

    /// The next turn takes as many as one that is `every` blocks late.
    pub(super) fn hurry(&mut self) {
        self.last = 0;
    }

    /// Pools to compare at this block; at most one of them whole.
    pub(super) fn due(&mut self, block: u64) -> Vec<(PoolAddress, Extent)> {
        let every = self.every.max(1);
        let n_blocks = block.saturating_sub(self.last).min(every);
        self.last = block;
        let n_pools = u64::try_from(self.turns.len()).unwrap_or(u64::MAX);
        let quota = n_pools.saturating_mul(n_blocks).div_ceil(every).min(TURN_MAX);
        let quota = usize::try_from(quota).unwrap_or(usize::MAX);
        let mut oldest: Vec<(PoolAddress, Turn)> =
            self.turns.iter().map(|(p, t)| (*p, *t)).collect();
        oldest.sort_by_key(|(_, turn)| turn.at);
        let mut busy = oldest.split_off(quota.min(oldest.len()));
        busy.retain(|(_, turn)| turn.n_logs > 0);
        busy.sort_by_key(|(_, turn)| Reverse(turn.n_logs));
        busy.truncate(quota.div_ceil(2));
        oldest.append(&mut busy);
        let overdue = oldest.iter().filter(|(_, turn)| turn.whole_at <= block);
        let whole = overdue.min_by_key(|(_, turn)| turn.whole_at).map(|(pool, _)| *pool);
        let extent = |pool| if Some(pool) == whole { Extent::Whole } else { Extent::Part };
        oldest.into_iter().map(|(pool, _)| (pool, extent(pool))).collect()
    }

    /// A pool had its turn, whether it could be read or not: it must not keep others waiting.
    pub(super) fn had(&mut self, pool: PoolAddress, block: u64, extent: Extent) {
        let next = block.saturating_add(self.period());
        if let Some(turn) = self.turns.get_mut(&pool) {
            let whole_at = if extent == Extent::Whole { next } else { turn.whole_at };
            *turn = Turn { at: block, n_logs: 0, whole_at };
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    fn pool(n: u8) -> PoolAddress {
        Address::with_last_byte(n).into()
    }

    fn rota(n_pools: u8, every: u64) -> Rota {
        let mut rota = Rota::default();
        rota.begin((0..n_pools).map(pool), every, 100);
        rota
    }

    /// A turn in which everything can be read.
    fn turn(rota: &mut Rota, block: u64) -> Vec<(PoolAddress, Extent)> {
        let due = rota.due(block);
        for (pool, extent) in &due {
            rota.had(*pool, block, *extent);
        }
        due
    }

    #[test]
    fn nobody_waits_longer_than_told_and_no_turn_is_large() {
        for (n_pools, every) in [(1, 1), (6, 3), (7, 3), (200, 50), (3, 50), (255, 7)] {
            let mut rota = rota(n_pools, every);
            let mut last: BTreeMap<PoolAddress, u64> =
                (0..n_pools).map(|n| (pool(n), 100)).collect();
            for block in 101..=100 + 6 * every {
                // One pool trades all the time.
                for _ in 0..50 {
                    rota.told(pool(0));
                }
                let due = turn(&mut rota, block);
                let quota = u64::from(n_pools).div_ceil(every);
                assert!(due.len() as u64 <= quota + quota.div_ceil(2), "{n_pools} {every}");
                for (pool, _) in due {
                    last.insert(pool, block);
                }
                let waits = last.values().map(|at| block - at).max().unwrap();
                assert!(waits <= every, "{waits} blocks, {n_pools} pools every {every}");
            }
        }
    }

    #[test]
    fn busy_pools_come_more_often() {
        let mut rota = rota(100, 50);
        let mut seen: BTreeMap<PoolAddress, u32> = BTreeMap::new();
        for block in 101..=400 {
            for busy in [7, 8] {
                rota.told(pool(busy));
            }
            rota.told(pool(9));
            rota.told(pool(7));
            for (pool, _) in turn(&mut rota, block) {
                *seen.entry(pool).or_default() += 1;
            }
        }
        let quiet = seen[&pool(50)];
        assert!(quiet >= 6 && seen[&pool(7)] > 5 * quiet, "{quiet} {}", seen[&pool(7)]);
    }

    #[test]
    fn everybody_is_compared_whole_once_a_period_and_a_turn_has_one_at_most() {
        for (n_pools, every) in [(6, 3), (40, 1), (3, 50)] {
            let mut rota = rota(n_pools, every);
            let mut last: BTreeMap<PoolAddress, u64> =
                (0..n_pools).map(|n| (pool(n), 100)).collect();
            let period = every * WHOLE_RHYTHMS;
            for block in 101..=100 + 4 * period {
                let due = turn(&mut rota, block);
                let wholes: Vec<_> = due.iter().filter(|(_, e)| *e == Extent::Whole).collect();
                assert!(wholes.len() <= 1);
                for (pool, _) in wholes {
                    last.insert(*pool, block);
                }
                let waits = last.values().map(|at| block - at).max().unwrap();
                assert!(waits <= period + 2 * every, "{waits} blocks, {n_pools} every {every}");
            }
            assert!(last.values().all(|at| *at > 100 + 2 * period), "{last:?}");
        }
    }

    #[test]
    fn blocks_passed_over_are_made_up_for_and_a_reorganisation_compares_all() {
        let mut rota = rota(60, 30);
        assert_eq!(turn(&mut rota, 101).len(), 2);
        assert_eq!(turn(&mut rota, 106).len(), 10);
        assert!(turn(&mut rota, 106).is_empty(), "a block has one turn");
        assert_eq!(turn(&mut rota, 400).len(), 60);
        rota.hurry();
        assert_eq!(turn(&mut rota, 398).len(), 60);
    }

    #[test]
    fn whoever_was_left_over_comes_first() {
        let mut rota = rota(4, 4);
        let due = rota.due(101);
        assert_eq!(due.len(), 1);
        // The endpoint fell silent before anybody was read.
        assert_eq!(rota.due(102), due);
        rota.had(due[0].0, 102, due[0].1);
        assert_ne!(rota.due(103), due);
    }
}
