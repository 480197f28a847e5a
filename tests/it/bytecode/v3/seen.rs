//! What the pool's storage says, and the comparison with ours.
//!
//! Where: `slot0`, both fee growths, the protocol's fees and the liquidity are words 0 to 4, ticks
//! and positions are the mappings at 5 and 7 (`UniswapV3Pool.sol`).

use alloy::primitives::{U256, keccak256};
use anyhow::{Result, ensure};
use tidekeeper::market::pools::v3::{PositionFees, V3Observed};
use tidekeeper::math::amm::tick::TickState;

use super::super::machine::{halves, in_map};
use super::super::stage::TRADER;
use super::Life;

const SLOT0: u64 = 0;
const FEE_GROWTH: [u64; 2] = [1, 2];
const PROTOCOL_FEES: u64 = 3;
const LIQUIDITY: u64 = 4;
const TICKS: u64 = 5;
const POSITIONS: u64 = 7;

/// Bits of `slot0` below its tick, and below its protocol fee.
const TICK_AT: usize = 160;
const FEE_PROTOCOL_AT: usize = 232;

/// A position as the pool keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) liquidity: u128,
    /// Fee growth inside at its last touch.
    pub(super) inside: [U256; 2],
    /// What it may collect.
    pub(super) owed: [u128; 2],
}

impl Position {
    /// The same with the fees put down that it earned.
    pub(super) fn earned(self, fees: Option<PositionFees>) -> Self {
        let Some(fees) = fees else { return self };
        let [owed0, owed1] = self.owed;
        Self {
            inside: [fees.inside0, fees.inside1],
            owed: [owed0.wrapping_add(fees.owed0), owed1.wrapping_add(fees.owed1)],
            ..self
        }
    }
}

/// The word of a tick as a mapping's key: its sign goes all the way.
fn key_of(tick: i32) -> [u8; 32] {
    let mut key = [if tick < 0 { 0xff } else { 0 }; 32];
    key[28..].copy_from_slice(&tick.to_be_bytes());
    key
}

/// The low 24 bits as a signed number.
fn low24(word: U256) -> i32 {
    let [low, ..] = word.into_limbs();
    let [.., a, b, c] = low.to_be_bytes();
    i32::from_be_bytes([a, b, c, 0]) >> 8
}

impl Life {
    fn kept(&self, slot: u64) -> U256 {
        self.machine.word(self.pool, U256::from(slot))
    }

    fn kept_from<const N: usize>(&self, first: U256) -> [U256; N] {
        std::array::from_fn(|index| self.machine.word(self.pool, first + U256::from(index)))
    }

    pub(super) fn fee_protocol(&self) -> u8 {
        (self.kept(SLOT0) >> FEE_PROTOCOL_AT).byte(0)
    }

    pub(super) fn protocol_fees(&self) -> [u128; 2] {
        halves(self.kept(PROTOCOL_FEES))
    }

    fn observed(&self) -> V3Observed {
        let slot0 = self.kept(SLOT0);
        let [fees0, fees1] = self.protocol_fees();
        V3Observed {
            sqrt_price_x96: slot0 & ((U256::ONE << TICK_AT) - U256::ONE),
            tick: low24(slot0 >> TICK_AT),
            liquidity: halves(self.kept(LIQUIDITY))[0],
            fee_growth_global0: self.kept(FEE_GROWTH[0]),
            fee_growth_global1: self.kept(FEE_GROWTH[1]),
            protocol_fees: (fees0, fees1),
        }
    }

    fn tick_there(&self, tick: i32) -> TickState {
        let first = in_map(key_of(tick), U256::from(TICKS));
        let [liquidity, outside0, outside1] = self.kept_from(first);
        let [gross, net] = halves(liquidity);
        TickState { gross, net: net.cast_signed(), outside0, outside1 }
    }

    pub(super) fn position(&self, lower: i32, upper: i32) -> Position {
        let [_, lower @ ..] = lower.to_be_bytes();
        let [_, upper @ ..] = upper.to_be_bytes();
        let name = keccak256([TRADER.as_slice(), &lower, &upper].concat());
        let [liquidity, inside0, inside1, owed] =
            self.kept_from(in_map(name.0, U256::from(POSITIONS)));
        Position { liquidity: halves(liquidity)[0], inside: [inside0, inside1], owed: halves(owed) }
    }

    /// Compares the pool as a whole, and these ticks one by one.
    pub(super) fn same_state(&self, touched: &[i32]) -> Result<()> {
        let found = self.ours.compare(&self.observed());
        ensure!(found.is_empty(), "ours and the pool differ: {found:?}");
        for tick in touched {
            let ours = self.ours.ticks().get(tick).copied().unwrap_or_default();
            let there = self.tick_there(*tick);
            ensure!(ours == there, "tick {tick}: ours is {ours:?}, the pool's {there:?}");
        }
        Ok(())
    }

    /// Compares a position with what must have become of it.
    pub(super) fn same_position(&self, lower: i32, upper: i32, expected: &Position) -> Result<()> {
        let there = self.position(lower, upper);
        ensure!(there == *expected, "{lower}..{upper} must be {expected:?}, it is {there:?}");
        Ok(())
    }
}
