//! The dialect of ERC-20 tokens and of wrapped ether: calldata out, transfer logs in.
//!
//! Knows no pool and no balance. Invariant: a log of another kind of contract is `None`, never
//! guessed.

use alloy::primitives::{Address, Bytes, Log, U256};
use alloy::sol_types::{SolCall, SolEvent};

use crate::venues::{DecodeError, EventLog};

pub use abi::{Erc20, Weth9};

/// Topics of an ERC-20 transfer; an ERC-721 transfer has the same first topic but one more of them.
const TRANSFER_TOPICS: usize = 3;

mod abi {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        reason = "the ABI files are the documentation of what is generated here"
    )]

    alloy::sol!(Erc20, "abis/Erc20.json");
    alloy::sol!(Weth9, "abis/Weth9.json");
}

/// Tokens moved from one holder to another (EIP-20); minting is from zero, burning is to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The token's contract.
    pub token: Address,
    /// Who gave.
    pub from: Address,
    /// Who received.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub amount: U256,
}

/// The transfer a log tells of; `None` when the log tells of something else.
///
/// # Errors
/// When the log has a transfer's topics but not its data.
pub fn decode_transfer(log: &Log) -> Result<Option<Transfer>, DecodeError> {
    let topics = log.topics();
    if topics.first() != Some(&Erc20::Transfer::SIGNATURE_HASH) || topics.len() != TRANSFER_TOPICS {
        return Ok(None);
    }
    let token = log.address;
    let log = EventLog::new(log, "Transfer");
    let [_, from, to] = log.topics()?;
    let [amount] = log.words()?.map(U256::from_be_bytes);
    Ok(Some(Transfer { token, from: log.address(from)?, to: log.address(to)?, amount }))
}

/// Calldata: lets `spender` take up to `amount` smallest units from the sender.
#[must_use]
pub fn approve(spender: Address, amount: U256) -> Bytes {
    Erc20::approveCall { spender, amount }.abi_encode().into()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, address, hex};

    use super::*;

    const TOKEN: Address = address!("5fbdb2315678afecb367f032d93f642f64180aa3");

    fn log(topics: usize, data: &[u8]) -> Log {
        let mut all = vec![Erc20::Transfer::SIGNATURE_HASH];
        all.extend((1..topics).map(|at| B256::with_last_byte(u8::try_from(at).unwrap())));
        Log::new_unchecked(TOKEN, all, Bytes::copy_from_slice(data))
    }

    #[test]
    fn transfer_is_read() {
        let seen = decode_transfer(&log(3, &U256::from(7).to_be_bytes::<32>())).unwrap().unwrap();
        assert_eq!(seen.amount, U256::from(7));
        assert_eq!(seen.to, Address::with_last_byte(2));
    }

    #[test]
    fn transfer_of_an_nft_is_something_else() {
        assert_eq!(decode_transfer(&log(4, &[])).unwrap(), None);
    }

    #[test]
    fn transfer_without_an_amount_is_an_error() {
        assert!(decode_transfer(&log(3, &[1, 2])).is_err());
    }

    #[test]
    fn approve_has_the_well_known_selector() {
        let call = approve(TOKEN, U256::MAX);
        assert_eq!(call[..4], hex!("095ea7b3"));
        assert_eq!(call.len(), 68);
    }
}
