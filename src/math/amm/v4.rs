//! Uniswap V4's rules of a swap: `Pool.swap` of v4-core 1.0.
//!
//! Ticks, word edges and price moves are V3's. The fee is not: the protocol takes its part of the
//! input first and the LPs theirs of the rest, and a step's fee is split by that. Knows no hooks:
//! what they change is not arithmetic. An exact input of 2^255, which only the contract's type can
//! name, is refused.

use alloy::primitives::U256;

use crate::math::amm::swap::{self, Profile};
use crate::math::amm::tick::{Ticks, check_spacing_v4};
use crate::math::amm::v3_step::{StepInput, SwapStep};
use crate::math::amm::v4_step::compute_swap_step;
use crate::math::amm::{AmmError, Direction, PIPS, Rounding, mul_div};

pub use crate::math::amm::swap::swap;

/// Highest LP fee: all of the input. Only exact input can be traded at it.
pub const MAX_LP_FEE_PIPS: u32 = PIPS;

/// Highest part of the protocol in one direction.
pub const MAX_PROTOCOL_FEE_PIPS: u32 = 1_000;

/// Bits of one direction's part in a packed protocol fee.
const PART_BITS: u32 = 12;

/// The state of a pool a swap reads.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// The LPs' fee in parts of one million: `slot0.lpFee`, or what a hook put in its place.
    pub lp_fee_pips: u32,
    /// `slot0.protocolFee`: low twelve bits for zero to one, the next twelve for one to zero.
    pub protocol_fee: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// Price, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`; one below the price's own tick after stopping on a tick from above.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// Initialized ticks.
    pub ticks: &'a Ticks,
}

/// Whether both directions' parts are allowed: `ProtocolFeeLibrary.isValidProtocolFee`.
///
/// # Errors
/// [`AmmError::ProtocolFee`].
pub fn check_protocol_fee(packed: u32) -> Result<(), AmmError> {
    let parts = [packed & ((1 << PART_BITS) - 1), packed >> PART_BITS];
    if parts.iter().any(|part| *part > MAX_PROTOCOL_FEE_PIPS) {
        return Err(AmmError::ProtocolFee { packed });
    }
    Ok(())
}

/// The protocol's part of the input in one direction, in parts of one million.
pub fn protocol_part_pips(packed: u32, direction: Direction) -> u32 {
    match direction {
        Direction::ZeroForOne => packed & ((1 << PART_BITS) - 1),
        Direction::OneForZero => packed >> PART_BITS,
    }
}

/// What a swap pays in all, in parts of one million: the protocol's part, and the LPs' fee on the
/// rest, rounded up; `ProtocolFeeLibrary.calculateSwapFee`.
///
/// # Errors
/// [`AmmError::Fee`] for an LP fee, [`AmmError::ProtocolFee`] for a part above its maximum.
pub fn swap_fee_pips(lp_fee_pips: u32, protocol_part_pips: u32) -> Result<u32, AmmError> {
    if lp_fee_pips > MAX_LP_FEE_PIPS {
        return Err(AmmError::Fee { fee: lp_fee_pips });
    }
    if protocol_part_pips > MAX_PROTOCOL_FEE_PIPS {
        return Err(AmmError::ProtocolFee { packed: protocol_part_pips });
    }
    let on_both = protocol_part_pips * lp_fee_pips / PIPS;
    Ok(protocol_part_pips + lp_fee_pips - on_both)
}

/// The LP fee behind what a swap paid in all; `None` where there is none. The rounding lets up to
/// two fees pay the same; this is the higher, so that no quote promises too much.
pub fn lp_fee_pips(swap_fee_pips: u32, protocol_part_pips: u32) -> Option<u32> {
    let kept = PIPS.checked_sub(protocol_part_pips).filter(|kept| *kept > 0)?;
    let of_lps = swap_fee_pips.checked_sub(protocol_part_pips).filter(|fee| *fee <= kept)?;
    u32::try_from(u64::from(of_lps) * u64::from(PIPS) / u64::from(kept)).ok()
}

impl swap::Curve for Curve<'_> {
    /// The contract's amounts end as `int128`. The swap itself would still take 2^127, as the
    /// lowest `int128` is a loss of it, but `PoolManager.settle` takes no such payment.
    const TOO_MUCH: U256 = U256::from_limbs([0, 1 << 63, 0, 0]);

    fn profile(&self) -> Profile<'_> {
        Profile {
            tick_spacing: self.tick_spacing,
            sqrt_price_x96: self.sqrt_price_x96,
            tick: self.tick,
            liquidity: self.liquidity,
            ticks: self.ticks,
        }
    }

    fn fee_pips(&self, direction: Direction) -> Result<u32, AmmError> {
        check_spacing_v4(self.tick_spacing)?;
        check_protocol_fee(self.protocol_fee)?;
        swap_fee_pips(self.lp_fee_pips, protocol_part_pips(self.protocol_fee, direction))
    }

    /// At a fee of one only an exact input can be traded.
    fn step(&self, input: &StepInput) -> Result<SwapStep, AmmError> {
        compute_swap_step(input)
    }

    /// A part of all that is paid, rounded down; the whole fee where the LPs take none.
    fn protocol_part(&self, direction: Direction, paid: U256, fee: U256) -> Result<U256, AmmError> {
        match protocol_part_pips(self.protocol_fee, direction) {
            0 => Ok(U256::ZERO),
            part if self.fee_pips(direction)? == part => Ok(fee),
            part => mul_div(paid, U256::from(part), U256::from(PIPS), Rounding::Down),
        }
    }
}

#[cfg(test)]
mod tests;
