//! Where `PoolManager` stores a pool, and what the words there mean: v4-core's `StateLibrary` and
//! `Pool.State`. The contract reads them out by `extsload`.
//!
//! Knows no socket. Invariant: every word is read as the contract itself would read it.

use alloy::primitives::{B256, U256, keccak256};

use crate::math::amm::tick::TickState;
use crate::venues::halves;

/// The contract's mapping from ids to pools.
const POOLS: U256 = U256::from_limbs([6, 0, 0, 0]);
/// Places inside a pool's state; its first word is `slot0`.
const FEE_GROWTH: [u64; 2] = [1, 2];
const LIQUIDITY: u64 = 3;
const TICKS: u64 = 4;
const BITMAP: u64 = 5;
/// Words of a tick: liquidity, and fee growth outside of both tokens.
const TICK_WORDS: [u64; 3] = [0, 1, 2];

/// A pool's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot0 {
    /// Price, Q64.96; zero before `initialize`.
    pub sqrt_price_x96: U256,
    /// The current tick.
    pub tick: i32,
    /// Low twelve bits for zero to one, the next twelve for one to zero, parts of one million.
    pub protocol_fee: u32,
    /// What a swap pays to the liquidity, in parts of one million.
    pub lp_fee_pips: u32,
}

/// Where [`slot0`] is.
#[must_use]
pub fn slot0_slot(id: B256) -> B256 {
    state(id).into()
}

/// Where [`liquidity`] is.
#[must_use]
pub fn liquidity_slot(id: B256) -> B256 {
    behind(state(id), LIQUIDITY).into()
}

/// Where the fee growth of both tokens is, Q128.128, a whole word each.
#[must_use]
pub fn fee_growth_slots(id: B256) -> [B256; 2] {
    FEE_GROWTH.map(|place| behind(state(id), place).into())
}

/// Where a word of the tick bitmap is: bit b of word w is the tick (256 w + b) × spacing.
#[must_use]
pub fn bitmap_slot(id: B256, word: i16) -> B256 {
    entry(signed(word.into()), behind(state(id), BITMAP)).into()
}

/// Where the words of a tick are, for [`tick_state`].
#[must_use]
pub fn tick_slots(id: B256, tick: i32) -> [B256; 3] {
    let first = entry(signed(tick), behind(state(id), TICKS));
    TICK_WORDS.map(|place| behind(first, place).into())
}

/// A pool's first word.
#[must_use]
pub fn slot0(word: B256) -> Slot0 {
    // v4-core's `Slot0`, from the highest byte: nothing, LP fee, protocol fee, tick, price.
    let [_, _, _, l2, l1, l0, p2, p1, p0, t2, t1, t0, price @ ..] = word.0;
    Slot0 {
        sqrt_price_x96: U256::from_be_slice(&price),
        tick: i32::from_be_bytes([t2, t1, t0, 0]) >> 8,
        protocol_fee: u32::from_be_bytes([0, p2, p1, p0]),
        lp_fee_pips: u32::from_be_bytes([0, l2, l1, l0]),
    }
}

/// Liquidity in range.
#[must_use]
pub fn liquidity(word: B256) -> u128 {
    let [_, low] = halves(&word);
    low
}

/// What a pool keeps at a tick; all zero where it is not initialized.
#[must_use]
pub fn tick_state([liquidity, outside0, outside1]: [B256; 3]) -> TickState {
    let [net, gross] = halves(&liquidity);
    TickState {
        gross,
        net: net.cast_signed(),
        outside0: outside0.into(),
        outside1: outside1.into(),
    }
}

/// Where a pool's state begins.
fn state(id: B256) -> U256 {
    entry(id, POOLS)
}

/// Where a mapping has the value of a key (Solidity's storage layout).
fn entry(key: B256, mapping: U256) -> U256 {
    keccak256([key.0, mapping.to_be_bytes()].as_flattened()).into()
}

fn behind(slot: U256, places: u64) -> U256 {
    slot.wrapping_add(U256::from(places))
}

/// A signed key of a mapping, as wide as a word.
fn signed(key: i32) -> B256 {
    let mut word = [if key < 0 { 0xff } else { 0 }; 32];
    let (_, low) = word.split_at_mut(28);
    low.copy_from_slice(&key.to_be_bytes());
    word.into()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    #[test]
    fn a_first_word_is_taken_apart() {
        // The example in `StateLibrary.getSlot0`, and every part at an end of its type.
        let word = b256!("000000000bb8000000ffff750000000000000000fe3aa841ba359daa0ea9eff7");
        let expected = Slot0 {
            sqrt_price_x96: "78680104762184586858280382455".parse().unwrap(),
            tick: -139,
            protocol_fee: 0,
            lp_fee_pips: 3_000,
        };
        assert_eq!(slot0(word), expected);
        let ends = b256!("0000000f42403e83e87fffffffffffffffffffffffffffffffffffffffffffff");
        let expected = Slot0 {
            sqrt_price_x96: (U256::ONE << 160) - U256::ONE,
            tick: (1 << 23) - 1,
            protocol_fee: 1_000 << 12 | 1_000,
            lp_fee_pips: 1_000_000,
        };
        assert_eq!(slot0(ends), expected);
        let nothing =
            Slot0 { sqrt_price_x96: U256::ZERO, tick: 0, protocol_fee: 0, lp_fee_pips: 0 };
        assert_eq!(slot0(B256::ZERO), nothing);
    }

    #[test]
    fn a_tick_has_a_signed_net_above_its_gross() {
        let minus = b256!("fffffffffffffffffffffffffffffffe00000000000000000000000000000003");
        let [one, two] = [1, 2].map(B256::with_last_byte);
        let (outside0, outside1) = (U256::from(1), U256::from(2));
        let state = TickState { gross: 3, net: -2, outside0, outside1 };
        assert_eq!(tick_state([minus, one, two]), state);
        assert_eq!(tick_state([B256::ZERO; 3]), TickState::default());
        assert_eq!(liquidity(minus), 3);
    }
}
