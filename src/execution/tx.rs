//! One nonce slot of one signer, from plan to finality.
//!
//! ```text
//! Signed ──sent──▶ Broadcast ──block──▶ Included ──deep enough──▶ Final
//!    │                │  ▲   └─block──▶ Reverted ──deep enough──▶ Final
//!    │                │  └──── block taken back ────┘ (from either)
//!    └────────────────┴─ slot used by a hash that is not ours ──▶ Foreign
//! ```
//! A slot is `Signed` from the commit that stored its raw bytes. A send error proves nothing, so it
//! changes nothing: the same bytes are sent again. Only the chain's own records move a slot on.

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::model::intent::{CloseRange, CyclePlan, OpenRange, PoolId, SwapPlan};
use crate::model::time::Timestamp;

/// What a transaction does; the shore turns it into calldata of the chain's own contracts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Act {
    /// Let a contract of the deployment take tokens, exactly so many.
    Approve { token: Address, spender: Spender, amount: U256 },
    /// Open a position.
    Open { open: OpenRange, deadline: Timestamp },
    /// Close a position: take liquidity, collect, burn the NFT.
    Close { close: CloseRange, deadline: Timestamp },
    /// Turn one token into the other.
    Swap { swap: SwapPlan, deadline: Timestamp },
    /// Run a cycle through the executor, up to this block.
    Cycle { cycle: CyclePlan, deadline_block: u64 },
}

/// The word stored and shown for [`Act::Cycle`].
pub const CYCLE: &str = "cycle";
/// The word stored and shown for [`Act::Swap`].
pub const SWAP: &str = "swap";

/// Contracts that may take our tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Spender {
    /// `NonfungiblePositionManager`.
    PositionManager,
    /// `SwapRouter` or `SwapRouter02`: the one the chain's file names.
    SwapRouter,
}

impl Act {
    /// The word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Open { .. } => "mint",
            Self::Close { .. } => "withdraw",
            Self::Swap { .. } => SWAP,
            Self::Cycle { .. } => CYCLE,
        }
    }

    /// The pool it works on, when there is one alone.
    pub fn pool(&self) -> Option<PoolId> {
        match self {
            Self::Approve { .. } | Self::Cycle { .. } => None,
            Self::Open { open, .. } => Some(open.pool),
            Self::Close { close, .. } => Some(close.pool),
            Self::Swap { swap, .. } => Some(swap.pool),
        }
    }
}

/// An act with nonce and fees fixed: signing it twice gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TxRequest {
    /// Chain id.
    pub chain: u64,
    /// The lane's slot.
    pub nonce: u64,
    /// What is done.
    pub act: Act,
    /// Gas limit.
    pub gas_limit: u64,
    /// Cap on base fee plus tip, wei per gas.
    pub max_fee: u128,
    /// Tip, wei per gas.
    pub max_priority_fee: u128,
}

/// A transaction with its signature: these bytes and no others are ever sent for this slot.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedTx {
    /// What was signed.
    pub request: TxRequest,
    /// Sender.
    pub signer: Address,
    /// The want behind it.
    pub intent: Uuid,
    /// Who wanted it.
    pub strategy: String,
    /// Encoded and signed (EIP-2718).
    pub raw: Bytes,
    /// Hash of the bytes.
    pub hash: B256,
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TxState {
    /// Raw bytes are committed; nothing is known to have left.
    Signed,
    /// Sent at least once.
    Broadcast,
    /// In a block, succeeded; provisional.
    Included,
    /// In a block, failed; gas was paid; provisional.
    Reverted,
    /// Below the reorganisation window.
    Final,
    /// The nonce was used by a transaction we do not know: somebody else has the key.
    Foreign,
}

/// What can happen to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxEvent {
    /// The bytes were handed to an endpoint, whatever it answered.
    Sent,
    /// Seen in a canonical block, succeeded.
    Included,
    /// Seen in a canonical block, failed.
    Reverted,
    /// Its block is deep enough.
    Deep,
    /// The nonce is used and the hash is not ours.
    NonceTaken,
    /// The chain took back the block it was in.
    Removed,
}

/// An event that cannot happen in this state: a broken promise of ours or of the chain.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("transaction in state {from:?} met {event:?}")]
pub struct Impossible {
    from: TxState,
    event: TxEvent,
}

impl TxState {
    /// The one transition function.
    ///
    /// # Errors
    /// `Impossible`; when a receipt or a reorganisation brings it, the keeper halts.
    pub fn next(self, event: TxEvent) -> Result<Self, Impossible> {
        use TxEvent as E;
        match (self, event) {
            (Self::Signed | Self::Broadcast, E::Sent) => Ok(Self::Broadcast),
            (Self::Signed | Self::Broadcast, E::Included) => Ok(Self::Included),
            (Self::Signed | Self::Broadcast, E::Reverted) => Ok(Self::Reverted),
            (Self::Signed | Self::Broadcast, E::NonceTaken) => Ok(Self::Foreign),
            (Self::Included | Self::Reverted, E::Deep) => Ok(Self::Final),
            (Self::Included | Self::Reverted, E::Removed) => Ok(Self::Broadcast),
            // A resend or its late answer may cross the block that holds it.
            (Self::Included | Self::Reverted | Self::Final | Self::Foreign, E::Sent) => Ok(self),
            (from, event) => Err(Impossible { from, event }),
        }
    }

    /// True while the nonce lane must wait for it.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Signed | Self::Broadcast)
    }

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Broadcast => "broadcast",
            Self::Included => "included",
            Self::Reverted => "reverted",
            Self::Final => "final",
            Self::Foreign => "foreign",
        }
    }
}

/// A slot with everything we know of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tx {
    /// The lane's slot.
    pub nonce: u64,
    /// What it does: the word, kept over a restart.
    pub purpose: String,
    /// Pool and position it works on, kept over a restart.
    pub pool: Option<PoolId>,
    /// Hash of the signed bytes, known once the shore signed.
    pub hash: Option<B256>,
    /// Ticks of the range it opens.
    pub range: Option<(i32, i32)>,
    /// Strategy that wanted it.
    pub strategy: String,
    /// The want behind it.
    pub intent: Uuid,
    /// Where it stands.
    pub state: TxState,
    /// When it was planned.
    pub created: Timestamp,
    /// Head when it was last sent: it is sent again some blocks later.
    pub sent_at_block: u64,
    /// Block it is in.
    pub block: Option<u64>,
    /// Gas used, once included.
    pub gas_used: Option<u64>,
    /// Wei paid, once included.
    pub cost: Option<U256>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [TxState; 6] = [
        TxState::Signed,
        TxState::Broadcast,
        TxState::Included,
        TxState::Reverted,
        TxState::Final,
        TxState::Foreign,
    ];
    const EVENTS: [TxEvent; 6] = [
        TxEvent::Sent,
        TxEvent::Included,
        TxEvent::Reverted,
        TxEvent::Deep,
        TxEvent::NonceTaken,
        TxEvent::Removed,
    ];

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        // Rows: states; columns: Sent, Included, Reverted, Deep, NonceTaken, Removed; '-' is
        // impossible.
        let table = ["BIR-X-", "BIR-X-", "I--F-B", "R--F-B", "F-----", "X-----"];
        let letter = |state: TxState| match state {
            TxState::Signed => 'S',
            TxState::Broadcast => 'B',
            TxState::Included => 'I',
            TxState::Reverted => 'R',
            TxState::Final => 'F',
            TxState::Foreign => 'X',
        };
        for (state, row) in STATES.into_iter().zip(table) {
            for (event, want) in EVENTS.into_iter().zip(row.chars()) {
                let got = state.next(event).map_or('-', letter);
                assert_eq!(got, want, "{state:?} + {event:?}");
            }
        }
    }

    #[test]
    fn only_unmined_slots_hold_the_lane() {
        let pending: Vec<bool> = STATES.into_iter().map(TxState::is_pending).collect();
        assert_eq!(pending, [true, true, false, false, false, false]);
    }
}
