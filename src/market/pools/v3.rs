//! A Uniswap V3 pool kept exactly from its logs, fee growth included.
//!
//! A `Swap` log tells totals and the end, not the steps in between; fee growth lives in the steps.
//! So every swap is run again on our state and must reproduce the log: both amounts, end price,
//! liquidity and tick. Then the ticks crossed, the fee growth and the protocol's part are those of
//! the contract. Anything that does not fit is a [`Desync`], after which the pool answers nothing.

mod follow;
mod undo;
mod views;
mod watch;

#[cfg(test)]
mod quoting;

use alloy::primitives::{I256, U256};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::market::pools::concentrated::{Concentrated, Scalars, StateError};
use crate::math::amm::tick::{TickState, Ticks, check_spacing};
use crate::math::amm::v3::Curve;
use crate::math::amm::{AmmError, PIPS};

pub use undo::Undo;
pub use watch::Watched;

/// A pool as read at one block; `ticks` are all initialized ticks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct V3Snapshot {
    /// Fee in parts of one million.
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// `slot0.sqrtPriceX96`; zero before `initialize`.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// `feeGrowthGlobal0X128`.
    pub fee_growth_global0: U256,
    /// `feeGrowthGlobal1X128`.
    pub fee_growth_global1: U256,
    /// `slot0.feeProtocol`: low four bits token0, high four token1.
    pub fee_protocol: u8,
    /// `protocolFees.token0`, raw.
    pub protocol_fees0: u128,
    /// `protocolFees.token1`, raw.
    pub protocol_fees1: u128,
    /// Initialized ticks.
    pub ticks: Vec<(i32, TickState)>,
    /// Block after which all of it was true.
    pub block: u64,
}

impl V3Snapshot {
    /// A pool before its `Initialize`, for one followed from its first log on.
    pub fn unopened(fee_pips: u32, tick_spacing: i32, block: u64) -> Self {
        Self {
            fee_pips,
            tick_spacing,
            sqrt_price_x96: U256::ZERO,
            tick: 0,
            liquidity: 0,
            fee_growth_global0: U256::ZERO,
            fee_growth_global1: U256::ZERO,
            fee_protocol: 0,
            protocol_fees0: 0,
            protocol_fees1: 0,
            ticks: Vec::new(),
            block,
        }
    }
}

/// A log of a pool. Amounts are raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum V3Event {
    /// The pool gets its first price.
    Initialize {
        /// Price, Q64.96.
        sqrt_price_x96: U256,
        /// Its tick.
        tick: i32,
    },
    /// A trade; amounts are the pool's balance changes, price, liquidity and tick are afterwards.
    Swap {
        /// Positive is paid to the pool.
        amount0: I256,
        /// Positive is paid to the pool.
        amount1: I256,
        /// Price, Q64.96.
        sqrt_price_x96: U256,
        /// Liquidity in range.
        liquidity: u128,
        /// `slot0.tick`.
        tick: i32,
    },
    /// Liquidity added to a range.
    Mint {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
        /// Liquidity.
        amount: u128,
    },
    /// Liquidity taken from a range; zero only settles fees.
    Burn {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
        /// Liquidity.
        amount: u128,
    },
    /// A flash loan came back with its fees.
    Flash {
        /// Paid above the loan of token0.
        paid0: U256,
        /// Paid above the loan of token1.
        paid1: U256,
    },
    /// The protocol's part of the fees changed.
    SetFeeProtocol {
        /// Token0, before.
        old0: u8,
        /// Token1, before.
        old1: u8,
        /// Token0, now.
        new0: u8,
        /// Token1, now.
        new1: u8,
    },
    /// The protocol took fees out.
    CollectProtocol {
        /// Token0.
        amount0: u128,
        /// Token1.
        amount1: u128,
    },
    /// An owner took tokens owed to it; nothing of what is kept here changes.
    Collect {
        /// Lower tick.
        lower: i32,
        /// Upper tick.
        upper: i32,
        /// Token0.
        amount0: u128,
        /// Token1.
        amount1: u128,
    },
}

/// Why a snapshot is no state a pool can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// A fee of one or more.
    #[error("fee of {fee_pips} pips is not below one million")]
    Fee {
        /// The fee read.
        fee_pips: u32,
    },
    /// Values of no state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The part of a swap's result its log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapEnd {
    /// Balance change of token0.
    pub amount0: I256,
    /// Balance change of token1.
    pub amount1: I256,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
    /// `slot0.tick` afterwards.
    pub tick: i32,
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
    /// A flash fee that the liquidity cannot take.
    #[error("flash fee does not fit")]
    Flash,
    /// The old parts in the log are not those kept, or the new ones impossible.
    #[error("protocol fee change does not fit")]
    FeeProtocol,
    /// More was collected than accrued.
    #[error("protocol collected more than it had")]
    ProtocolFees,
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
pub struct V3Observed {
    /// `slot0.sqrtPriceX96`.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// `feeGrowthGlobal0X128`.
    pub fee_growth_global0: U256,
    /// `feeGrowthGlobal1X128`.
    pub fee_growth_global1: U256,
    /// `protocolFees`, token0 and token1.
    pub protocol_fees: (u128, u128),
}

/// Fees a position has earned since a reading, and the reading to keep for the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionFees {
    /// Token0, raw, as `tokensOwed0` would grow.
    pub owed0: u128,
    /// Token1, raw, as `tokensOwed1` would grow.
    pub owed1: u128,
    /// Fee growth inside now, token0.
    pub inside0: U256,
    /// Fee growth inside now, token1.
    pub inside1: U256,
}

/// A pool's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolV3 {
    fee_pips: u32,
    tick_spacing: i32,
    state: Concentrated,
    fee_protocol: u8,
    protocol_fees: [u128; 2],
    block: u64,
    desync: Option<Desync>,
    /// Ranges of pretend positions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Watched>,
}

impl PoolV3 {
    /// A pool as one block left it.
    ///
    /// # Errors
    /// [`SnapshotError`] for values that cannot belong to one state of one pool.
    pub fn from_snapshot(snapshot: V3Snapshot) -> Result<Self, SnapshotError> {
        check_spacing(snapshot.tick_spacing).map_err(StateError::Bounds)?;
        if snapshot.fee_pips >= PIPS {
            return Err(SnapshotError::Fee { fee_pips: snapshot.fee_pips });
        }
        let now = Scalars {
            sqrt_price_x96: snapshot.sqrt_price_x96,
            tick: snapshot.tick,
            liquidity: snapshot.liquidity,
            fee_growth_global: [snapshot.fee_growth_global0, snapshot.fee_growth_global1],
        };
        Ok(Self {
            fee_pips: snapshot.fee_pips,
            tick_spacing: snapshot.tick_spacing,
            state: Concentrated::new(now, &snapshot.ticks, snapshot.tick_spacing)?,
            fee_protocol: snapshot.fee_protocol,
            protocol_fees: [snapshot.protocol_fees0, snapshot.protocol_fees1],
            block: snapshot.block,
            desync: None,
            watched: Vec::new(),
        })
    }

    /// The whole state as a snapshot of its block; building from it gives an equal pool, without
    /// the ranges it watches.
    ///
    /// # Errors
    /// [`ViewError::Desynced`]: a state that cannot be believed is not handed on.
    pub fn snapshot(&self) -> Result<V3Snapshot, ViewError> {
        self.believed()?;
        let Scalars { sqrt_price_x96, tick, liquidity, fee_growth_global } = self.state.now;
        Ok(V3Snapshot {
            fee_pips: self.fee_pips,
            tick_spacing: self.tick_spacing,
            sqrt_price_x96,
            tick,
            liquidity,
            fee_growth_global0: fee_growth_global[0],
            fee_growth_global1: fee_growth_global[1],
            fee_protocol: self.fee_protocol,
            protocol_fees0: self.protocol_fees[0],
            protocol_fees1: self.protocol_fees[1],
            ticks: self.state.ticks.iter().map(|(&tick, &state)| (tick, state)).collect(),
            block: self.block,
        })
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

    /// Fee in parts of one million.
    pub fn fee_pips(&self) -> u32 {
        self.fee_pips
    }

    /// Grid of the ticks.
    pub fn tick_spacing(&self) -> i32 {
        self.tick_spacing
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

    /// `slot0.feeProtocol`: low four bits token0, high four token1.
    pub fn fee_protocol(&self) -> u8 {
        self.fee_protocol
    }

    /// Initialized ticks.
    pub fn ticks(&self) -> &Ticks {
        &self.state.ticks
    }

    fn curve(&self) -> Curve<'_> {
        let Scalars { sqrt_price_x96, tick, liquidity, .. } = self.state.now;
        Curve {
            fee_pips: self.fee_pips,
            tick_spacing: self.tick_spacing,
            fee_protocol: self.fee_protocol,
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
