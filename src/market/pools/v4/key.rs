//! What names a V4 pool, and what its hooks may do to a swap.
//!
//! A V4 pool has no address: `PoolManager` holds them all, each under the hash of its key. What a
//! hooks contract is called for stands in the low fourteen bits of its address (v4-core's `Hooks`).

use alloy::primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::math::amm::tick::check_spacing_v4;
use crate::math::amm::v4::MAX_LP_FEE_PIPS;

/// The fee in the key of a pool whose hooks set the LP fee.
pub const DYNAMIC_FEE: u32 = 0x80_0000;

/// The word for that fee.
pub const DYNAMIC: &str = "dynamic";

/// Bits of a hooks address that say what it is called for.
const ALL_FLAGS: u16 = (1 << 14) - 1;
const AFTER_ADD_LIQUIDITY: u16 = 1 << 10;
const AFTER_REMOVE_LIQUIDITY: u16 = 1 << 8;
const BEFORE_SWAP: u16 = 1 << 7;
const AFTER_SWAP: u16 = 1 << 6;
const BEFORE_SWAP_RETURNS_DELTA: u16 = 1 << 3;
const AFTER_SWAP_RETURNS_DELTA: u16 = 1 << 2;
const AFTER_ADD_LIQUIDITY_RETURNS_DELTA: u16 = 1 << 1;
const AFTER_REMOVE_LIQUIDITY_RETURNS_DELTA: u16 = 1;

/// Who may return amounts must be called for that act at all.
const NEEDS: [(u16, u16); 4] = [
    (BEFORE_SWAP_RETURNS_DELTA, BEFORE_SWAP),
    (AFTER_SWAP_RETURNS_DELTA, AFTER_SWAP),
    (AFTER_ADD_LIQUIDITY_RETURNS_DELTA, AFTER_ADD_LIQUIDITY),
    (AFTER_REMOVE_LIQUIDITY_RETURNS_DELTA, AFTER_REMOVE_LIQUIDITY),
];

/// The key of a pool, as `Initialize` tells it and every call must give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolKey {
    /// The lower currency; the zero address is the chain's native coin.
    pub currency0: Address,
    /// The higher currency.
    pub currency1: Address,
    /// LP fee in parts of one million, or [`DYNAMIC_FEE`].
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// The hooks contract; the zero address is none.
    pub hooks: Address,
}

/// Why `PoolManager` would not open a pool under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Equal currencies, or the higher one first.
    #[error("currency0 {currency0} is not below currency1 {currency1}")]
    Currencies {
        /// First currency.
        currency0: Address,
        /// Second currency.
        currency1: Address,
    },
    /// Neither a share of the input nor the mark of a dynamic fee.
    #[error("fee of {fee_pips} is neither at most 1000000 pips nor the dynamic fee 0x800000")]
    Fee {
        /// The fee.
        fee_pips: u32,
    },
    /// Not 1 to 32767.
    #[error("tick spacing {tick_spacing} is not within 1 and 32767")]
    TickSpacing {
        /// The spacing.
        tick_spacing: i32,
    },
    /// Hooks without a call and without a dynamic fee, a dynamic fee without hooks, or hooks that
    /// return amounts for an act they are not called for.
    #[error("hooks {hooks} do not fit the fee or their own flags")]
    Hooks {
        /// The hooks contract.
        hooks: Address,
    },
}

/// The strongest thing a pool's hooks may do while somebody swaps. None of them can be told from
/// the pool's state, so a pool with any is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum SwapHook {
    /// `beforeSwap` with amounts: it may trade in the pool's place.
    #[error("beforeSwap may take the trade or a part of it")]
    TakesTrade,
    /// `afterSwap` with amounts: it may take from the result.
    #[error("afterSwap may take from the result")]
    TakesResult,
    /// `beforeSwap` of a dynamic fee: it may name the fee of every single swap.
    #[error("beforeSwap may set the fee of each swap")]
    SetsFee,
    /// `beforeSwap` alone: it may move the pool first, or refuse.
    #[error("beforeSwap may move the pool first or refuse the swap")]
    Before,
    /// `afterSwap` alone: it may move the pool at once, or refuse.
    #[error("afterSwap may refuse the swap")]
    After,
}

impl PoolKey {
    /// The pool's id: keccak-256 of the key, ABI-encoded as five words.
    #[must_use]
    pub fn id(&self) -> B256 {
        let sign = if self.tick_spacing < 0 { 0xff } else { 0 };
        let mut tick_spacing = [sign; 32];
        let (_, low) = tick_spacing.split_at_mut(28);
        low.copy_from_slice(&self.tick_spacing.to_be_bytes());
        let words = [
            self.currency0.into_word().0,
            self.currency1.into_word().0,
            U256::from(self.fee_pips).to_be_bytes::<32>(),
            tick_spacing,
            self.hooks.into_word().0,
        ];
        keccak256(words.concat())
    }

    /// What tells it from other pools of its currencies, for people: `FEE/SPACING` or
    /// `FEE/SPACING/HOOKS`, where the fee may be [`DYNAMIC`].
    #[must_use]
    pub fn terms(&self) -> String {
        let fee = self.fixed_fee_pips().map_or_else(|| DYNAMIC.to_owned(), |fee| fee.to_string());
        let hooks = if self.hooks.is_zero() { String::new() } else { format!("/{}", self.hooks) };
        format!("{fee}/{}{hooks}", self.tick_spacing)
    }

    /// Whether `PoolManager.initialize` would take the key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(&self) -> Result<(), KeyError> {
        let Self { currency0, currency1, fee_pips, tick_spacing, hooks } = *self;
        check_spacing_v4(tick_spacing).map_err(|_| KeyError::TickSpacing { tick_spacing })?;
        if currency0 >= currency1 {
            return Err(KeyError::Currencies { currency0, currency1 });
        }
        let is_whole = NEEDS.iter().all(|(with, act)| !self.has(*with) || self.has(*act));
        let is_fit = if hooks.is_zero() {
            !self.has_dynamic_fee()
        } else {
            self.has(ALL_FLAGS) || self.has_dynamic_fee()
        };
        if !is_whole || !is_fit {
            return Err(KeyError::Hooks { hooks });
        }
        if fee_pips > MAX_LP_FEE_PIPS && !self.has_dynamic_fee() {
            return Err(KeyError::Fee { fee_pips });
        }
        Ok(())
    }

    /// Whether the hooks set the LP fee.
    pub fn has_dynamic_fee(&self) -> bool {
        self.fee_pips == DYNAMIC_FEE
    }

    /// The LP fee where it can never change; `None` where the hooks set it.
    pub fn fixed_fee_pips(&self) -> Option<u32> {
        (!self.has_dynamic_fee()).then_some(self.fee_pips)
    }

    /// Whether token0 is the chain's native coin.
    pub fn has_native_coin(&self) -> bool {
        self.currency0.is_zero()
    }

    /// The strongest thing the hooks may do to a swap; `None` where they have no part in it.
    pub fn swap_hook(&self) -> Option<SwapHook> {
        let before = if self.has_dynamic_fee() { SwapHook::SetsFee } else { SwapHook::Before };
        let flags = [
            (BEFORE_SWAP_RETURNS_DELTA, SwapHook::TakesTrade),
            (AFTER_SWAP_RETURNS_DELTA, SwapHook::TakesResult),
            (BEFORE_SWAP, before),
            (AFTER_SWAP, SwapHook::After),
        ];
        flags.into_iter().find(|(flag, _)| self.has(*flag)).map(|(_, hook)| hook)
    }

    /// Whether a swap's fee may be its own and not the pool's.
    pub(super) fn may_override_fee(&self) -> bool {
        self.has_dynamic_fee() && self.has(BEFORE_SWAP)
    }

    /// Whether a swap may be taken whole, so that its log shows nothing.
    pub(super) fn may_take_trade(&self) -> bool {
        self.has(BEFORE_SWAP_RETURNS_DELTA)
    }

    /// Whether the hooks address has any of the flags.
    fn has(&self, flags: u16) -> bool {
        let [.., high, low] = self.hooks.into_array();
        u16::from_be_bytes([high, low]) & flags != 0
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, b256};

    use super::*;

    const USDC: Address = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");

    fn key() -> PoolKey {
        PoolKey {
            currency0: Address::ZERO,
            currency1: USDC,
            fee_pips: 500,
            tick_spacing: 10,
            hooks: Address::ZERO,
        }
    }

    fn hooked(flags: u16, fee_pips: u32) -> PoolKey {
        let [high, low] = flags.to_be_bytes();
        let mut hooks = [0x4f; 20];
        (hooks[18], hooks[19]) = (high, low);
        PoolKey { hooks: Address::from(hooks), fee_pips, ..key() }
    }

    /// Ethereum mainnet's ETH/USDC pool at 0.05 %.
    #[test]
    fn the_id_is_mainnet_s() {
        let id = b256!("21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27");
        assert_eq!(key().id(), id);
        assert!(key().has_native_coin());
        assert_eq!(key().check(), Ok(()));
    }

    #[test]
    fn what_the_contract_would_not_open_is_refused() {
        let swapped = PoolKey { currency0: USDC, currency1: Address::ZERO, ..key() };
        assert!(matches!(swapped.check(), Err(KeyError::Currencies { .. })));
        let same = PoolKey { currency1: Address::ZERO, ..key() };
        assert!(matches!(same.check(), Err(KeyError::Currencies { .. })));
        for tick_spacing in [0, -10, 32_768] {
            let off = PoolKey { tick_spacing, ..key() };
            assert_eq!(off.check(), Err(KeyError::TickSpacing { tick_spacing }));
            assert_ne!(off.id(), key().id());
        }
        for fee_pips in [1_000_001, DYNAMIC_FEE + 1] {
            let off = PoolKey { fee_pips, ..key() };
            assert_eq!(off.check(), Err(KeyError::Fee { fee_pips }));
        }
        assert_eq!(PoolKey { fee_pips: 1_000_000, ..key() }.check(), Ok(()));
    }

    #[test]
    fn hooks_must_fit_the_fee_and_their_flags() {
        assert_eq!(hooked(0, DYNAMIC_FEE).check(), Ok(()));
        assert_eq!(hooked(AFTER_SWAP, 500).check(), Ok(()));
        assert_eq!(hooked(BEFORE_SWAP | BEFORE_SWAP_RETURNS_DELTA, 500).check(), Ok(()));
        let idle = hooked(0, 500);
        assert_eq!(idle.check(), Err(KeyError::Hooks { hooks: idle.hooks }));
        let none = PoolKey { fee_pips: DYNAMIC_FEE, ..key() };
        assert_eq!(none.check(), Err(KeyError::Hooks { hooks: Address::ZERO }));
        for (with, _) in NEEDS {
            let half = hooked(with, 500);
            assert_eq!(half.check(), Err(KeyError::Hooks { hooks: half.hooks }));
        }
    }

    #[test]
    fn the_strongest_hook_is_named() {
        let hook = |flags, fee| hooked(flags, fee).swap_hook();
        assert_eq!(hook(BEFORE_SWAP | BEFORE_SWAP_RETURNS_DELTA, 1), Some(SwapHook::TakesTrade));
        assert_eq!(hook(AFTER_SWAP | AFTER_SWAP_RETURNS_DELTA, 1), Some(SwapHook::TakesResult));
        assert_eq!(hook(BEFORE_SWAP | AFTER_SWAP, DYNAMIC_FEE), Some(SwapHook::SetsFee));
        assert_eq!(hook(BEFORE_SWAP | AFTER_SWAP, 1), Some(SwapHook::Before));
        assert_eq!(hook(AFTER_SWAP, DYNAMIC_FEE), Some(SwapHook::After));
        // Liquidity, initialization and donations: all flags that no swap calls for.
        let elsewhere = ALL_FLAGS & !(BEFORE_SWAP | AFTER_SWAP) & !0b1100;
        assert_eq!(hook(elsewhere, DYNAMIC_FEE), None);
        assert_eq!(key().swap_hook(), None);
    }
}
