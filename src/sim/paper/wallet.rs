//! What a pretend wallet holds, and how payments move it.

use std::collections::BTreeMap;

use alloy::primitives::{Address, I256, U256};

use crate::execution::tx::Spender;
use crate::model::chain::PoolAddress;
use crate::sim::paper::taken::Taken;

/// A pretend wallet; cloned whole to be returned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wallet {
    /// Wei.
    pub(super) native: U256,
    /// Smallest units.
    pub(super) tokens: BTreeMap<Address, U256>,
    /// What contracts may still take.
    pub(super) allowances: BTreeMap<(Address, Spender), U256>,
    /// Open positions by token id.
    pub(super) positions: BTreeMap<U256, Nft>,
    /// What was taken out of pools that do not show it.
    pub(super) taken: Taken,
}

/// One pretend position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nft {
    pub(super) pool: PoolAddress,
    pub(super) lower: i32,
    pub(super) upper: i32,
    pub(super) liquidity: u128,
    /// Fee growth inside when it was opened.
    pub(super) inside: [U256; 2],
}

impl Wallet {
    /// Smallest units of a token.
    pub(super) fn held(&self, token: Address) -> U256 {
        self.tokens.get(&token).copied().unwrap_or_default()
    }

    /// Lets a contract take tokens; the words are those of the router and the position manager.
    pub(super) fn pay(
        &mut self,
        token: Address,
        spender: Spender,
        amount: U256,
    ) -> Result<(), String> {
        let allowed = self.allowances.get(&(token, spender)).copied().unwrap_or_default();
        let left = allowed.checked_sub(amount).ok_or("STF: the allowance is too small")?;
        let rest = self.held(token).checked_sub(amount).ok_or("STF: the balance is too small")?;
        self.allowances.insert((token, spender), left);
        self.tokens.insert(token, rest);
        Ok(())
    }

    /// Tokens arrive.
    pub(super) fn receive(&mut self, token: Address, amount: U256) {
        let held = self.held(token).saturating_add(amount);
        self.tokens.insert(token, held);
    }
}

/// An amount as it was before `change` was added to it.
pub(super) fn before(amount: U256, change: I256) -> U256 {
    let (sign, size) = change.into_sign_and_abs();
    if sign.is_negative() { amount.saturating_add(size) } else { amount.saturating_sub(size) }
}
