//! A Uniswap V2 pair kept from its logs.
//!
//! `Sync` tells the reserves; the pair emits it just before the `Swap`, `Mint` or `Burn` that
//! caused it, so each of those must explain the step between the last two reserves. A `Sync` alone
//! is a donation made official and needs no cause.

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::market::pools::Difference;
use crate::math::amm::v2::{self, KeptPart, Reserves};
use crate::math::amm::{AmmError, Amounts, Direction};

/// A log of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum V2Event {
    /// New reserves (the contract's `uint112`).
    Sync {
        /// Token0, raw.
        reserve0: u128,
        /// Token1, raw.
        reserve1: u128,
    },
    /// A trade; both sides may be non-zero.
    Swap {
        /// Token0 paid in.
        amount0_in: U256,
        /// Token1 paid in.
        amount1_in: U256,
        /// Token0 sent out.
        amount0_out: U256,
        /// Token1 sent out.
        amount1_out: U256,
    },
    /// Liquidity added.
    Mint {
        /// Token0 paid in.
        amount0: U256,
        /// Token1 paid in.
        amount1: U256,
    },
    /// Liquidity removed.
    Burn {
        /// Token0 paid out.
        amount0: U256,
        /// Token1 paid out.
        amount1: U256,
    },
}

/// Why a pair's state can no longer be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Desync {
    /// A `Swap`, `Mint` or `Burn` without the `Sync` that goes before it.
    #[error("log without the sync that goes before it")]
    MissingSync,
    /// The amounts do not lead from the reserves before to those after.
    #[error("reserves {before:?} and {after:?} do not differ by the log's amounts")]
    Reserves {
        /// Before the `Sync`.
        before: (u128, u128),
        /// After it.
        after: (u128, u128),
    },
}

/// Why a view of the pair has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ViewError {
    /// A log did not fit; the state must be read anew.
    #[error("pool is out of step with its logs")]
    Desynced,
    /// The curve has no answer.
    #[error("curve has no answer")]
    Curve(#[from] AmmError),
}

/// Reserves as read from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct V2Observed {
    /// Token0, raw.
    pub reserve0: u128,
    /// Token1, raw.
    pub reserve1: u128,
}

/// A pair's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolV2 {
    kept: KeptPart,
    reserves: (u128, u128),
    before_sync: Option<(u128, u128)>,
    desync: Option<Desync>,
}

/// What one log overwrote: to be given back to the pair that followed it, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undo {
    reserves: (u128, u128),
    before_sync: Option<(u128, u128)>,
}

impl PoolV2 {
    /// A pair with these reserves, read between two of its transactions.
    pub fn from_snapshot(reserves: V2Observed, kept: KeptPart) -> Self {
        let reserves = (reserves.reserve0, reserves.reserve1);
        Self { kept, reserves, before_sync: None, desync: None }
    }

    /// Follows one log, in the chain's order, and answers what takes it back.
    ///
    /// # Errors
    /// [`Desync`] for a log that does not fit, and again for every log after it.
    /// [`PoolV2::undo_misfit`] takes back the first of them.
    pub fn apply(&mut self, event: &V2Event) -> Result<Undo, Desync> {
        if let Some(desync) = self.desync {
            return Err(desync);
        }
        let before = Undo { reserves: self.reserves, before_sync: self.before_sync };
        let followed = self.follow(event);
        self.desync = followed.err();
        followed.map(|()| before)
    }

    /// Takes back the newest log that is not taken back yet.
    pub fn undo(&mut self, undo: Undo) {
        (self.reserves, self.before_sync) = (undo.reserves, undo.before_sync);
    }

    /// Takes back the log that did not fit: it changed nothing but that the pair is not believed.
    pub fn undo_misfit(&mut self) {
        self.desync = None;
    }

    /// Raw reserves of token0 and token1.
    pub fn reserves(&self) -> (u128, u128) {
        self.reserves
    }

    /// The log that did not fit, if any.
    pub fn desync(&self) -> Option<Desync> {
        self.desync
    }

    /// Most that `amount_in` buys.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn quote_exact_in(&self, way: Direction, amount_in: U256) -> Result<U256, ViewError> {
        Ok(v2::amount_out(amount_in, self.sides(way)?, self.kept)?)
    }

    /// Least that buys `amount_out`.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn quote_exact_out(&self, way: Direction, amount_out: U256) -> Result<U256, ViewError> {
        Ok(v2::amount_in(amount_out, self.sides(way)?, self.kept)?)
    }

    /// Where the kept state and a reading of the same block differ; empty when they agree.
    pub fn compare(&self, observed: &V2Observed) -> Vec<Difference> {
        let pairs = [
            Difference::between("reserve0", self.reserves.0, observed.reserve0),
            Difference::between("reserve1", self.reserves.1, observed.reserve1),
        ];
        pairs.into_iter().flatten().collect()
    }

    /// Where the kept state and another whole reading of the same block differ: the reserves are
    /// all there is.
    ///
    /// # Errors
    /// [`ViewError::Desynced`]: one of them is out of step with its logs.
    pub fn differences(&self, read: &Self) -> Result<Vec<Difference>, ViewError> {
        if self.desync.is_some() || read.desync.is_some() {
            return Err(ViewError::Desynced);
        }
        let (reserve0, reserve1) = read.reserves;
        Ok(self.compare(&V2Observed { reserve0, reserve1 }))
    }

    fn sides(&self, way: Direction) -> Result<Reserves, ViewError> {
        if self.desync.is_some() {
            return Err(ViewError::Desynced);
        }
        let (reserve0, reserve1) = (U256::from(self.reserves.0), U256::from(self.reserves.1));
        Ok(match way {
            Direction::ZeroForOne => Reserves { reserve_in: reserve0, reserve_out: reserve1 },
            Direction::OneForZero => Reserves { reserve_in: reserve1, reserve_out: reserve0 },
        })
    }

    fn follow(&mut self, event: &V2Event) -> Result<(), Desync> {
        let none = Amounts::default();
        match *event {
            V2Event::Sync { reserve0, reserve1 } => {
                self.before_sync = Some(self.reserves);
                self.reserves = (reserve0, reserve1);
                Ok(())
            }
            V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out } => {
                let paid = Amounts { amount0: amount0_in, amount1: amount1_in };
                let sent = Amounts { amount0: amount0_out, amount1: amount1_out };
                self.explain(paid, sent, |expected, after| expected == after)
            }
            V2Event::Mint { amount0, amount1 } => {
                let paid = Amounts { amount0, amount1 };
                self.explain(paid, none, |expected, after| expected == after)
            }
            // Tokens given to the pair before a burn become reserves without a log of their own.
            V2Event::Burn { amount0, amount1 } => {
                let sent = Amounts { amount0, amount1 };
                self.explain(none, sent, |expected, after| expected <= after)
            }
        }
    }

    fn explain(
        &mut self,
        paid: Amounts,
        sent: Amounts,
        fits: fn(U256, U256) -> bool,
    ) -> Result<(), Desync> {
        let before = self.before_sync.ok_or(Desync::MissingSync)?;
        let after = self.reserves;
        // Both with what moved put in: of a gift a burn may send more than the reserves had.
        let is_explained = |before: u128, after: u128, paid: U256, sent: U256| {
            let with_paid = U256::from(before).checked_add(paid);
            let with_sent = U256::from(after).checked_add(sent);
            with_paid.zip(with_sent).is_some_and(|(held, left)| fits(held, left))
        };
        let explains0 = is_explained(before.0, after.0, paid.amount0, sent.amount0);
        let explains1 = is_explained(before.1, after.1, paid.amount1, sent.amount1);
        if !explains0 || !explains1 {
            return Err(Desync::Reserves { before, after });
        }
        self.before_sync = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> PoolV2 {
        let reserves = V2Observed { reserve0: 1_000_000, reserve1: 2_000_000 };
        PoolV2::from_snapshot(reserves, KeptPart::UNISWAP)
    }

    fn sync(reserve0: u128, reserve1: u128) -> V2Event {
        V2Event::Sync { reserve0, reserve1 }
    }

    fn trade(amount0_in: u64, amount1_out: u64) -> V2Event {
        V2Event::Swap {
            amount0_in: U256::from(amount0_in),
            amount1_in: U256::ZERO,
            amount0_out: U256::ZERO,
            amount1_out: U256::from(amount1_out),
        }
    }

    #[test]
    fn a_sync_with_its_cause_is_followed() {
        let mut pool = pool();
        let bought = pool.quote_exact_in(Direction::ZeroForOne, U256::from(1_000)).unwrap();
        let bought: u64 = bought.try_into().unwrap();
        pool.apply(&sync(1_001_000, 2_000_000 - u128::from(bought))).unwrap();
        pool.apply(&trade(1_000, bought)).unwrap();
        let (amount0, amount1) = (U256::from(10), U256::from(20));
        let (reserve0, reserve1) = pool.reserves();
        pool.apply(&sync(reserve0 + 10, reserve1 + 20)).unwrap();
        pool.apply(&V2Event::Mint { amount0, amount1 }).unwrap();
        pool.apply(&sync(reserve0 + 3, reserve1)).unwrap();
        pool.apply(&V2Event::Burn { amount0, amount1 }).unwrap();
        assert_eq!(pool.reserves(), (reserve0 + 3, reserve1));
        // Everything is burned after a gift: more is sent than the reserves had.
        pool.apply(&sync(1, 2)).unwrap();
        let [amount0, amount1] = [reserve0 + 3 + 7, reserve1 + 5].map(U256::from);
        pool.apply(&V2Event::Burn { amount0, amount1 }).unwrap();
        assert_eq!(pool.desync(), None);
    }

    #[test]
    fn a_cause_that_does_not_explain_the_reserves_stops_the_pool() {
        let mut pool = pool();
        pool.apply(&sync(1_001_000, 1_998_000)).unwrap();
        assert!(matches!(pool.apply(&trade(1_001, 2_000)), Err(Desync::Reserves { .. })));
        assert!(pool.apply(&sync(1, 1)).is_err());
        let quote = pool.quote_exact_in(Direction::ZeroForOne, U256::ONE);
        assert_eq!(quote, Err(ViewError::Desynced));
    }

    #[test]
    fn a_cause_without_its_sync_stops_the_pool() {
        let mut pool = pool();
        pool.apply(&sync(1_000_000, 2_000_000)).unwrap();
        pool.apply(&sync(1_001_000, 1_999_000)).unwrap();
        pool.apply(&trade(1_000, 1_000)).unwrap();
        assert_eq!(pool.apply(&trade(1_000, 1_000)), Err(Desync::MissingSync));
    }

    #[test]
    fn amounts_beyond_the_reserves_do_not_panic() {
        let mut pool = pool();
        pool.apply(&sync(u128::MAX, 0)).unwrap();
        let huge = V2Event::Swap {
            amount0_in: U256::MAX,
            amount1_in: U256::MAX,
            amount0_out: U256::MAX,
            amount1_out: U256::MAX,
        };
        assert!(pool.apply(&huge).is_err());
    }

    #[test]
    fn differences_name_the_reserve() {
        let found = pool().compare(&V2Observed { reserve0: 1_000_000, reserve1: 1_999_999 });
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].field, &*found[0].kept), ("reserve1", "2000000"));
        assert!(
            pool().compare(&V2Observed { reserve0: 1_000_000, reserve1: 2_000_000 }).is_empty()
        );
    }

    #[test]
    fn what_is_taken_back_was_never_there_and_can_be_told_again() {
        let mut pool = pool();
        let (amount0, amount1) = (U256::from(10), U256::from(20));
        let logs = [
            sync(1_001_000, 1_999_000),
            trade(1_000, 1_000),
            sync(1_001_010, 1_999_020),
            V2Event::Mint { amount0, amount1 },
            sync(7, 9),
            sync(1_001_000, 1_999_000),
            sync(1_001_000 - 10, 1_999_000 - 20),
            V2Event::Burn { amount0, amount1 },
        ];
        for _ in 0..2 {
            let mut past = Vec::new();
            for log in &logs {
                let before = pool.clone();
                past.push((before, pool.apply(log).unwrap()));
                // A cause that explains nothing, and one without its sync.
                for wrong in [trade(1, 1), V2Event::Mint { amount0: U256::MAX, amount1 }] {
                    let before = pool.clone();
                    assert!(pool.apply(&wrong).is_err() && pool.apply(log).is_err());
                    pool.undo_misfit();
                    assert_eq!(pool, before);
                }
            }
            for (before, undo) in past.into_iter().rev() {
                pool.undo(undo);
                assert_eq!(pool, before);
            }
        }
    }

    #[test]
    fn another_whole_reading_differs_by_its_reserves_and_one_out_of_step_is_not_compared() {
        let mut read = pool();
        assert_eq!(pool().differences(&read), Ok(Vec::new()));
        read.apply(&sync(1_000_001, 2_000_000)).unwrap();
        let found = pool().differences(&read).unwrap();
        assert_eq!(found.iter().map(|d| d.field).collect::<Vec<_>>(), ["reserve0"]);
        assert!(read.apply(&trade(7, 7)).is_err());
        assert_eq!(pool().differences(&read), Err(ViewError::Desynced));
    }
}
