//! A Uniswap V4 pool kept exactly from the logs of its `PoolManager`, fee growth included.
//!
//! As in V3, every `Swap` is run again on our state and must reproduce its log. The log tells the
//! fee the swap paid, so swaps of any pool can be followed, hooks or not: what hooks take stands
//! outside the pool's amounts. A quote is another matter: it must know beforehand, so a pool whose
//! hooks take part in swaps is refused.
//!
//! What the protocol takes is counted by `PoolManager` per currency over all its pools, and is not
//! kept here. `updateDynamicLPFee` leaves no log: the fee of such a pool is the one last read or
//! last paid.

mod follow;
pub mod key;
mod undo;
mod views;

#[cfg(test)]
mod replay;

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::market::pools::concentrated::{Concentrated, Scalars, StateError};
use crate::market::pools::v4::key::{KeyError, PoolKey, SwapHook};
use crate::math::amm::AmmError;
use crate::math::amm::tick::{TickState, Ticks};
use crate::math::amm::v4::{Curve, MAX_LP_FEE_PIPS, check_protocol_fee};

pub use undo::Undo;

/// A pool as read at one block; `ticks` are all initialized ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct V4Snapshot {
    /// What names the pool.
    pub key: PoolKey,
    /// `slot0.sqrtPriceX96`; zero before `initialize`.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`.
    pub tick: i32,
    /// `slot0.protocolFee`: low twelve bits for zero to one, the next twelve for one to zero.
    pub protocol_fee: u32,
    /// `slot0.lpFee` in parts of one million; the key's, unless hooks set it. Before `initialize`
    /// the contract says zero.
    pub lp_fee_pips: u32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// `feeGrowthGlobal0X128`.
    pub fee_growth_global0: U256,
    /// `feeGrowthGlobal1X128`.
    pub fee_growth_global1: U256,
    /// Initialized ticks.
    pub ticks: Vec<(i32, TickState)>,
    /// Block after which all of it was true.
    pub block: u64,
}

/// A log of `PoolManager` under the pool's id. Amounts are raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum V4Event {
    /// The pool gets its first price; the rest of the log is its key.
    Initialize {
        /// Price, Q64.96.
        sqrt_price_x96: U256,
        /// Its tick.
        tick: i32,
    },
    /// A trade.
    Swap(SwapEnd),
    /// Liquidity added to a range or taken from it; zero only settles fees.
    ModifyLiquidity {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
        /// Positive is added.
        delta: i128,
    },
    /// Somebody gave tokens to the liquidity in range.
    Donate {
        /// Token0.
        amount0: U256,
        /// Token1.
        amount1: U256,
    },
    /// The protocol's part of the fees changed.
    ProtocolFeeUpdated {
        /// Both directions' parts, packed as in `slot0`.
        protocol_fee: u32,
    },
}

/// What a swap's log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapEnd {
    /// The swapper's change of token0 before hooks take theirs: negative is paid to the pool.
    pub amount0: i128,
    /// The swapper's change of token1 before hooks take theirs: negative is paid to the pool.
    pub amount1: i128,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
    /// `slot0.tick` afterwards.
    pub tick: i32,
    /// What the swap paid in all, the LPs' and the protocol's part, in parts of one million.
    pub fee_pips: u32,
}

/// Why a snapshot is no state a pool can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// No pool can have this key.
    #[error("no pool can have this key")]
    Key(#[from] KeyError),
    /// Above its maximum, or not the key's although that never changes.
    #[error("LP fee of {lp_fee_pips} pips cannot be this pool's")]
    LpFee {
        /// The fee read.
        lp_fee_pips: u32,
    },
    /// Values of no state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a log does not follow from the state kept.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Desync {
    /// A log of a pool without a price.
    #[error("log before the pool was initialized")]
    NotInitialized,
    /// A second `Initialize`, or one whose tick is not its price's.
    #[error("initialize does not fit")]
    Initialize,
    /// The swap paid a fee that this pool's cannot lead to.
    #[error("swap paid {fee_pips} pips, which is not this pool's fee")]
    Fee {
        /// What the log says.
        fee_pips: u32,
    },
    /// The swap run on our state ends elsewhere; `simulated` is the nearest run, if any worked.
    #[error("swap run again ends elsewhere than its log")]
    Swap {
        /// What the log says.
        logged: Box<SwapEnd>,
        /// What our state gives for the same input.
        simulated: Option<Box<SwapEnd>>,
    },
    /// The liquidity change does not fit the ticks.
    #[error("liquidity change on {lower}..{upper} does not fit")]
    Liquidity {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
    },
    /// A donation that the liquidity cannot take.
    #[error("donation does not fit")]
    Donate,
    /// A part of the protocol above its maximum.
    #[error("protocol fee does not fit")]
    ProtocolFee,
}

/// Why a view has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ViewError {
    /// A log did not fit; the state must be read anew.
    #[error("pool is out of step with its logs")]
    Desynced,
    /// No price yet.
    #[error("pool is not initialized")]
    NotInitialized,
    /// What a swap pays and gets is not the pool's arithmetic alone.
    #[error("hooks take part in this pool's swaps")]
    Hooks(#[source] SwapHook),
    /// No position ends at this tick, so it has no fee growth.
    #[error("tick {tick} is not initialized")]
    TickNotInitialized {
        /// The tick asked for.
        tick: i32,
    },
    /// The curve has no answer.
    #[error("curve has no answer")]
    Curve(#[from] AmmError),
}

/// Values read from a node, to compare with what the logs gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct V4Observed {
    /// `slot0.sqrtPriceX96`.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`.
    pub tick: i32,
    /// `slot0.protocolFee`.
    pub protocol_fee: u32,
    /// `slot0.lpFee`, which is not compared: see [`PoolV4::set_lp_fee`].
    pub lp_fee_pips: u32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// `feeGrowthGlobal0X128`.
    pub fee_growth_global0: U256,
    /// `feeGrowthGlobal1X128`.
    pub fee_growth_global1: U256,
}

/// A pool's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolV4 {
    key: PoolKey,
    state: Concentrated,
    protocol_fee: u32,
    lp_fee_pips: u32,
    block: u64,
    desync: Option<Desync>,
}

impl PoolV4 {
    /// A pool as one block left it.
    ///
    /// # Errors
    /// [`SnapshotError`] for values that cannot belong to one state of one pool.
    pub fn from_snapshot(snapshot: V4Snapshot) -> Result<Self, SnapshotError> {
        let V4Snapshot { key, sqrt_price_x96, tick, liquidity, .. } = snapshot;
        key.check()?;
        check_protocol_fee(snapshot.protocol_fee).map_err(StateError::Bounds)?;
        check_lp_fee(&key, sqrt_price_x96, snapshot.lp_fee_pips)?;
        let fee_growth_global = [snapshot.fee_growth_global0, snapshot.fee_growth_global1];
        let now = Scalars { sqrt_price_x96, tick, liquidity, fee_growth_global };
        Ok(Self {
            key,
            state: Concentrated::new(now, &snapshot.ticks, key.tick_spacing)?,
            protocol_fee: snapshot.protocol_fee,
            lp_fee_pips: snapshot.lp_fee_pips,
            block: snapshot.block,
            desync: None,
        })
    }

    /// A pool before its `Initialize`, for one followed from its first log on.
    ///
    /// # Errors
    /// [`SnapshotError::Key`].
    pub fn unopened(key: PoolKey, block: u64) -> Result<Self, SnapshotError> {
        Self::from_snapshot(V4Snapshot {
            key,
            sqrt_price_x96: U256::ZERO,
            tick: 0,
            protocol_fee: 0,
            lp_fee_pips: 0,
            liquidity: 0,
            fee_growth_global0: U256::ZERO,
            fee_growth_global1: U256::ZERO,
            ticks: Vec::new(),
            block,
        })
    }

    /// The whole state as a snapshot of its block; building from it gives an equal pool.
    ///
    /// # Errors
    /// [`ViewError::Desynced`]: a state that cannot be believed is not handed on.
    pub fn snapshot(&self) -> Result<V4Snapshot, ViewError> {
        self.believed()?;
        let Scalars { sqrt_price_x96, tick, liquidity, fee_growth_global } = self.state.now;
        Ok(V4Snapshot {
            key: self.key,
            sqrt_price_x96,
            tick,
            protocol_fee: self.protocol_fee,
            lp_fee_pips: self.lp_fee_pips,
            liquidity,
            fee_growth_global0: fee_growth_global[0],
            fee_growth_global1: fee_growth_global[1],
            ticks: self.state.ticks.iter().map(|(&tick, &state)| (tick, state)).collect(),
            block: self.block,
        })
    }

    /// Takes over `slot0.lpFee` as read anew. Only a pool whose hooks set the fee needs it: they do
    /// so without a log.
    ///
    /// # Errors
    /// [`SnapshotError::LpFee`], with nothing changed, for a fee that cannot be this pool's.
    pub fn set_lp_fee(&mut self, lp_fee_pips: u32) -> Result<(), SnapshotError> {
        check_lp_fee(&self.key, self.state.now.sqrt_price_x96, lp_fee_pips)?;
        self.lp_fee_pips = lp_fee_pips;
        self.state.segments.follow(&[]);
        Ok(())
    }

    /// Says that all logs up to the end of this block have been applied.
    pub fn finish_block(&mut self, block: u64) {
        self.block = block;
    }

    /// Last block whose logs are all applied.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// The log that did not fit, if any.
    pub fn desync(&self) -> Option<&Desync> {
        self.desync.as_ref()
    }

    /// What names the pool.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// The LPs' fee in parts of one million, as last read or paid; zero before `initialize`.
    pub fn lp_fee_pips(&self) -> u32 {
        self.lp_fee_pips
    }

    /// `slot0.protocolFee`, both directions packed.
    pub fn protocol_fee(&self) -> u32 {
        self.protocol_fee
    }

    /// Price, Q64.96; zero before `initialize`.
    pub fn sqrt_price_x96(&self) -> U256 {
        self.state.now.sqrt_price_x96
    }

    /// `slot0.tick`.
    pub fn tick(&self) -> i32 {
        self.state.now.tick
    }

    /// Liquidity in range.
    pub fn liquidity(&self) -> u128 {
        self.state.now.liquidity
    }

    /// `feeGrowthGlobal` of token0 and token1, Q128.128.
    pub fn fee_growth_global(&self) -> [U256; 2] {
        self.state.now.fee_growth_global
    }

    /// Initialized ticks.
    pub fn ticks(&self) -> &Ticks {
        &self.state.ticks
    }

    fn curve(&self, lp_fee_pips: u32) -> Curve<'_> {
        let Scalars { sqrt_price_x96, tick, liquidity, .. } = self.state.now;
        Curve {
            lp_fee_pips,
            protocol_fee: self.protocol_fee,
            tick_spacing: self.key.tick_spacing,
            sqrt_price_x96,
            tick,
            liquidity,
            ticks: &self.state.ticks,
        }
    }

    fn believed(&self) -> Result<(), ViewError> {
        if self.desync.is_some() { Err(ViewError::Desynced) } else { Ok(()) }
    }

    fn ready(&self) -> Result<(), ViewError> {
        self.believed()?;
        if self.state.is_initialized() { Ok(()) } else { Err(ViewError::NotInitialized) }
    }
}

/// Without a price all of `slot0` is zero.
fn check_lp_fee(key: &PoolKey, price: U256, lp_fee_pips: u32) -> Result<(), SnapshotError> {
    let is_possible = match key.fixed_fee_pips() {
        _ if price.is_zero() => lp_fee_pips == 0,
        Some(fixed) => lp_fee_pips == fixed,
        None => lp_fee_pips <= MAX_LP_FEE_PIPS,
    };
    if is_possible { Ok(()) } else { Err(SnapshotError::LpFee { lp_fee_pips }) }
}
