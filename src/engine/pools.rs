//! What pools of every kind answer alike, and the form in which their states outlive a run.

use std::ops::Bound;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::Engine;
use crate::engine::event::{Observed, Pool};
use crate::engine::state::PoolState;
use crate::execution::tx::Act;
use crate::market::pools::Difference;
use crate::market::pools::v2::{PoolV2, V2Observed};
use crate::market::pools::v3::{PoolV3, V3Snapshot};
use crate::market::pools::v4::{PoolV4, V4Snapshot};
use crate::math::amm::tick::FARTHEST_TICK;
use crate::math::amm::v2::KeptPart;
use crate::model::chain::{BlockRef, PoolAddress};
use crate::model::intent::{PoolId, Want};

/// What keeps a pool from being used although its state is exact: anybody can open such a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Oddity {
    /// Where liquidity has run out.
    #[error("its tick {0} is within 1 % of the protocol's ends")]
    AtEnd(i32),
    /// Nothing of one coin, or of both, is in reach of its price.
    #[error("it has no liquidity at its price")]
    Empty,
}

impl Oddity {
    /// Whether it speaks against this want: what is ours comes out of any pool, and an empty one
    /// can be given liquidity.
    pub(super) fn hinders(self, want: &Want) -> bool {
        match want {
            Want::Close(_) | Want::Hedge(_) | Want::Leg(_) | Want::Quote(_) => false,
            Want::Open(_) => self != Self::Empty,
            Want::Swap(_) | Want::Cycle(_) => true,
        }
    }

    /// The same of an act; an approval moves nothing.
    pub(super) fn hinders_act(self, act: &Act) -> bool {
        match act {
            Act::Close { .. } | Act::Approve { .. } => false,
            Act::Open { .. } => self != Self::Empty,
            Act::Swap { .. } | Act::Cycle { .. } => true,
        }
    }

    /// Of a pool at this tick, with this liquidity in range.
    pub fn of_range(tick: i32, liquidity: u128) -> Option<Self> {
        if !(-FARTHEST_TICK..=FARTHEST_TICK).contains(&tick) {
            return Some(Self::AtEnd(tick));
        }
        (liquidity == 0).then_some(Self::Empty)
    }

    /// Of a pair with these reserves.
    pub fn of_pair(reserves: [u128; 2]) -> Option<Self> {
        reserves.contains(&0).then_some(Self::Empty)
    }
}

impl Pool {
    /// Why nothing is traded in it although it is known; `None` for one that can be used.
    pub fn oddity(&self) -> Option<Oddity> {
        match self {
            Self::V2(pair) => Oddity::of_pair(pair.reserves().into()),
            Self::V3(pool) => Oddity::of_range(pool.tick(), pool.liquidity()),
            Self::V4(pool) => Oddity::of_range(pool.tick(), pool.liquidity()),
        }
    }

    /// Where it differs from what was read at the same block; `None` for a reading of another kind
    /// of pool. The LP fee of a V4 pool is taken over: hooks set it without a log, and elsewhere
    /// only the key's is its own.
    pub fn audit(&mut self, observed: &Observed) -> Option<Vec<Difference>> {
        match (self, observed) {
            (Self::V3(pool), Observed::V3(observed)) => Some(pool.compare(observed)),
            (Self::V2(pool), Observed::V2(observed)) => Some(pool.compare(observed)),
            (Self::V4(pool), Observed::V4(observed)) => {
                let mut found = pool.compare(observed);
                found.extend(take_lp_fee(pool, observed.lp_fee_pips));
                Some(found)
            }
            _ => None,
        }
    }

    /// Every field in which it differs from a whole reading of the same block. The LP fee is taken
    /// over, as [`Pool::audit`] does.
    ///
    /// # Errors
    /// One of them is out of step with its logs.
    pub(super) fn audit_whole(&mut self, read: &Self) -> Result<Vec<Difference>, String> {
        let mut found = self.differences(read)?;
        if let (Self::V4(pool), Self::V4(read)) = (self, read) {
            found.extend(take_lp_fee(pool, read.lp_fee_pips()));
        }
        Ok(found)
    }

    /// Fees grown of token0 and token1, Q128.128; `None` for pairs, which do not count them.
    pub fn fee_growth_global(&self) -> Option<[U256; 2]> {
        match self {
            Self::V3(pool) => Some(pool.fee_growth_global()),
            Self::V4(pool) => Some(pool.fee_growth_global()),
            Self::V2(_) => None,
        }
    }

    /// Tick and liquidity in range; `None` for pairs, which have neither.
    pub fn in_range(&self) -> Option<(i32, u128)> {
        match self {
            Self::V3(pool) => Some((pool.tick(), pool.liquidity())),
            Self::V4(pool) => Some((pool.tick(), pool.liquidity())),
            Self::V2(_) => None,
        }
    }

    /// The LPs' fee of a V4 pool as it is now, which hooks may have set; of the others it is that
    /// of their setup for ever.
    pub fn own_fee_pips(&self) -> Option<u32> {
        match self {
            Self::V4(pool) => Some(pool.lp_fee_pips()),
            Self::V2(_) | Self::V3(_) => None,
        }
    }
}

/// A pool's state without what was tabulated of it, and without ranges that were only watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolForm {
    /// Uniswap V3 and its forks.
    V3(Box<V3Snapshot>),
    /// Uniswap V2 and its forks.
    V2(V2Observed),
    /// Uniswap V4.
    V4(Box<V4Snapshot>),
}

impl PoolForm {
    /// The pool after a block.
    ///
    /// # Errors
    /// Why it can be no pool's state.
    pub fn pool(self, block: u64) -> Result<Pool, String> {
        match self {
            Self::V3(form) => {
                let pool = PoolV3::from_snapshot(V3Snapshot { block, ..*form });
                pool.map(|pool| Pool::V3(Box::new(pool))).map_err(|e| e.to_string())
            }
            Self::V2(form) => Ok(Pool::V2(PoolV2::from_snapshot(form, KeptPart::UNISWAP))),
            Self::V4(form) => {
                let pool = PoolV4::from_snapshot(V4Snapshot { block, ..*form });
                pool.map(|pool| Pool::V4(Box::new(pool))).map_err(|e| e.to_string())
            }
        }
    }
}

impl Pool {
    /// Its form; `None` once a log did not fit. The block stands beside it, so that the form of a
    /// state that does not change stays the same.
    pub fn form(&self) -> Option<PoolForm> {
        match self {
            Self::V3(pool) => {
                let form = pool.snapshot().ok()?;
                Some(PoolForm::V3(Box::new(V3Snapshot { block: 0, ..form })))
            }
            Self::V2(pool) => {
                let (reserve0, reserve1) = pool.reserves();
                let form = PoolForm::V2(V2Observed { reserve0, reserve1 });
                pool.desync().is_none().then_some(form)
            }
            Self::V4(pool) => {
                let form = pool.snapshot().ok()?;
                Some(PoolForm::V4(Box::new(V4Snapshot { block: 0, ..form })))
            }
        }
    }
}

/// Some pools of a chain after one block.
#[derive(Debug)]
pub struct PoolForms {
    /// The block.
    pub block: BlockRef,
    /// Their forms; those that are not live are left out.
    pub forms: Vec<(PoolAddress, PoolForm)>,
    /// The last one looked at; `None` when none is left.
    pub last: Option<PoolAddress>,
}

impl Engine {
    /// A watched pool as it is kept now; `None` while its chain was not read, and for a pool that
    /// no file names.
    pub fn pool(&self, id: PoolId) -> Option<&PoolState> {
        self.chains.get(&id.chain)?.pools.get(&id.address)
    }

    /// The newest block of a chain whose pools are followed.
    pub fn pools_at(&self, chain: u64) -> Option<BlockRef> {
        let chain = self.chains.get(&chain).filter(|chain| chain.is_ready)?;
        Some(chain.head?.block)
    }

    /// The states of at most so many pools of a chain, behind this one in their order, as its
    /// newest block left them. `None` while none are followed.
    pub fn pool_forms(
        &self,
        chain: u64,
        behind: Option<PoolAddress>,
        most: usize,
    ) -> Option<PoolForms> {
        let block = self.pools_at(chain)?;
        let chain = self.chains.get(&chain)?;
        let first = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let some = || chain.pools.range((first, Bound::Unbounded)).take(most);
        let form = |(pool, state): (&PoolAddress, &PoolState)| {
            chain.pool_live(*pool).ok()?;
            Some((*pool, state.pool.form()?))
        };
        let last = some().last().map(|(pool, _)| *pool);
        Some(PoolForms { block, forms: some().filter_map(form).collect(), last })
    }
}

fn take_lp_fee(pool: &mut PoolV4, read_pips: u32) -> Option<Difference> {
    let kept = pool.lp_fee_pips().to_string();
    let is_refused = pool.set_lp_fee(read_pips).is_err();
    is_refused.then(|| Difference { field: "lpFee", kept, observed: read_pips.to_string() })
}
