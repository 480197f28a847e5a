//! Facts of a chain as the engine sees them: blocks, receipts of our transactions, transfers.

use alloy::primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// One block of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// What every block tells besides its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Identity.
    pub block: BlockRef,
    /// Hash of the block before.
    pub parent: B256,
    /// The chain's own clock.
    pub time: Timestamp,
    /// Base fee, wei per gas.
    pub base_fee: u128,
}

/// An ERC-20 `Transfer` that touches our signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTransfer {
    /// Token contract.
    pub token: Address,
    /// Payer.
    pub from: Address,
    /// Payee.
    pub to: Address,
    /// Smallest units.
    pub amount: U256,
    /// The transaction that emitted it.
    pub tx: B256,
    /// Position in the block, unique with the block hash.
    pub log_index: u64,
}

/// A liquidity event of the `NonfungiblePositionManager`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NftLog {
    /// `IncreaseLiquidity`: tokens became liquidity.
    Increased { token_id: U256, liquidity: u128, amount0: U256, amount1: U256 },
    /// `DecreaseLiquidity`: liquidity became tokens owed.
    Decreased { token_id: U256, liquidity: u128, amount0: U256, amount1: U256 },
    /// `Collect`: tokens owed (principal and fees) left the pool.
    Collected { token_id: U256, amount0: U256, amount1: U256 },
}

impl NftLog {
    /// The NFT it is about.
    pub fn token_id(&self) -> U256 {
        match self {
            Self::Increased { token_id, .. }
            | Self::Decreased { token_id, .. }
            | Self::Collected { token_id, .. } => *token_id,
        }
    }
}

/// The receipt of one of our transactions, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Transaction hash.
    pub hash: B256,
    /// False when the call reverted; gas is paid all the same.
    pub is_success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei per gas really paid.
    pub gas_price: u128,
    /// Extra fee a rollup takes for its data, in wei.
    pub l1_fee: U256,
    /// Transfers from or to our signer.
    pub transfers: Vec<TokenTransfer>,
    /// Position events, in order.
    pub nft_logs: Vec<NftLog>,
}

impl Receipt {
    /// Wei taken from the sender for gas (not the value sent); `None` on 256-bit overflow.
    pub fn cost(&self) -> Option<U256> {
        U256::from(self.gas_used).checked_mul(U256::from(self.gas_price))?.checked_add(self.l1_fee)
    }
}
