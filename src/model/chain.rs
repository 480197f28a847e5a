//! Facts of a chain as the engine sees them: blocks, what names a pool, receipts of our
//! transactions, transfers.

use std::fmt::{self, Display, LowerHex};
use std::str::FromStr;

use alloy::primitives::{Address, B256, U256};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::model::time::Timestamp;

/// Digits of a contract's address in hexadecimal.
const CONTRACT_DIGITS: usize = 40;
/// Digits of a V4 pool's id in hexadecimal.
const ID_DIGITS: usize = 64;

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

/// What names a pool on its chain. Written as its bytes in hexadecimal, so that a contract is
/// written as before V4 came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolAddress {
    /// A contract of its own.
    Contract(Address),
    /// The hash of its key: V4's pools are all in one contract.
    Id(B256),
}

/// A text that names no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no pool is named so: write 0x and 40 hexadecimal digits, or 64 for the id of a V4 pool")]
pub struct NoPoolAddress;

impl PoolAddress {
    /// The pool's contract; `None` where it has none of its own.
    pub fn contract(self) -> Option<Address> {
        match self {
            Self::Contract(address) => Some(address),
            Self::Id(_) => None,
        }
    }

    /// Its 20 or 32 bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Contract(address) => address.as_slice(),
            Self::Id(id) => id.as_slice(),
        }
    }
}

impl From<Address> for PoolAddress {
    fn from(address: Address) -> Self {
        Self::Contract(address)
    }
}

impl From<B256> for PoolAddress {
    fn from(id: B256) -> Self {
        Self::Id(id)
    }
}

impl Display for PoolAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(address) => Display::fmt(address, f),
            Self::Id(id) => Display::fmt(id, f),
        }
    }
}

impl LowerHex for PoolAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(address) => LowerHex::fmt(address, f),
            Self::Id(id) => LowerHex::fmt(id, f),
        }
    }
}

impl FromStr for PoolAddress {
    type Err = NoPoolAddress;

    fn from_str(text: &str) -> Result<Self, NoPoolAddress> {
        let digits = text.strip_prefix("0x").ok_or(NoPoolAddress)?;
        let named = match digits.len() {
            CONTRACT_DIGITS => digits.parse().map(Self::Contract),
            ID_DIGITS => digits.parse().map(Self::Id),
            _ => return Err(NoPoolAddress),
        };
        named.map_err(|_| NoPoolAddress)
    }
}

impl Serialize for PoolAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:#x}"))
    }
}

impl<'de> Deserialize<'de> for PoolAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
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

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, b256};

    use super::*;

    const CONTRACT: Address = address!("88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640");
    const ID: B256 = b256!("21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27");

    #[test]
    fn a_pool_is_written_as_its_bytes_and_read_back() {
        let check = |pool: PoolAddress, told: String, n_bytes: usize| {
            let written = serde_json::to_string(&pool).unwrap();
            assert_eq!(written, format!("\"{}\"", told.to_lowercase()));
            assert_eq!(serde_json::from_str::<PoolAddress>(&written).unwrap(), pool);
            assert_eq!((pool.to_string(), pool.as_slice().len()), (told.clone(), n_bytes));
            assert_eq!(format!("{pool:#x}"), told.to_lowercase());
            for text in [told.clone(), told.to_lowercase()] {
                assert_eq!(text.parse::<PoolAddress>(), Ok(pool));
            }
        };
        check(CONTRACT.into(), CONTRACT.to_string(), 20);
        check(ID.into(), ID.to_string(), 32);
        // A journal of before V4 has plain addresses.
        let old = serde_json::to_string(&CONTRACT).unwrap();
        let read: PoolAddress = serde_json::from_str(&old).unwrap();
        assert_eq!((read.contract(), PoolAddress::from(ID).contract()), (Some(CONTRACT), None));
    }

    #[test]
    fn what_has_other_bytes_names_no_pool() {
        let bare = CONTRACT.to_string().replace("0x", "");
        let long = format!("{CONTRACT}00");
        let wrong = format!("0x{}", "g".repeat(CONTRACT_DIGITS));
        let wide = format!("0x{}", "é".repeat(ID_DIGITS / 2));
        let short = "0x1234".to_owned();
        for text in [String::new(), short, bare, long, wrong, wide] {
            assert_eq!(text.parse::<PoolAddress>(), Err(NoPoolAddress), "{text}");
        }
        assert!(serde_json::from_str::<PoolAddress>("7").is_err());
    }
}
