//! What pools of every kind answer alike.

use alloy::primitives::U256;

use crate::engine::event::{Observed, Pool};
use crate::market::pools::Difference;
use crate::market::pools::v4::PoolV4;

impl Pool {
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

fn take_lp_fee(pool: &mut PoolV4, read_pips: u32) -> Option<Difference> {
    let kept = pool.lp_fee_pips().to_string();
    let is_refused = pool.set_lp_fee(read_pips).is_err();
    is_refused.then(|| Difference { field: "lpFee", kept, observed: read_pips.to_string() })
}
