//! The dialect of our own executor contract (`contracts/`): cycles out as calldata.
//!
//! Knows the contract's words, no pool state and no sockets.

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, Bytes, U256};
use alloy::sol_types::SolCall;
use serde::Deserialize;
use thiserror::Error;

pub use abi::Executor;

mod abi {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        reason = "the ABI files are the documentation of what is generated here"
    )]

    alloy::sol!(Executor, "abis/Executor.json");
}

/// Kind of a pool with reserves, in the contract's list of exchanges.
pub const KIND_V2: u8 = 2;
/// Kind of a pool with ticks.
pub const KIND_V3: u8 = 3;

/// One swap of a cycle; it sells what the one before bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Number of the exchange in the contract's list.
    pub dex: u8,
    /// Fee tier, part of a V3 pool's address; unused by V2.
    pub fee_pips: u32,
    /// What it buys.
    pub token_out: Address,
}

/// A fee that no V3 pool has: it does not fit the contract's 24 bits.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a fee of {0} pips does not fit the executor's 24 bits")]
pub struct FeeTooLarge(pub u32);

/// A cycle on the first pool's credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash<'a> {
    /// Begins and ends in this token.
    pub token: Address,
    /// What the first pool is paid.
    pub amount_in: U256,
    /// Below this profit the contract reverts.
    pub min_profit: U256,
    /// Last block in which it may run.
    pub deadline_block: u64,
    /// Two to four swaps.
    pub legs: &'a [Leg],
}

/// Calldata of `flash`.
///
/// # Errors
/// [`FeeTooLarge`].
pub fn flash(cycle: &Flash<'_>) -> Result<Bytes, FeeTooLarge> {
    let leg = |leg: &Leg| {
        let fee = U24::try_from(leg.fee_pips).map_err(|_| FeeTooLarge(leg.fee_pips))?;
        Ok(Executor::Leg { dex: leg.dex, fee, tokenOut: leg.token_out })
    };
    let call = Executor::flashCall {
        token: cycle.token,
        amountIn: cycle.amount_in,
        minProfit: cycle.min_profit,
        deadlineBlock: U256::from(cycle.deadline_block),
        legs: cycle.legs.iter().map(leg).collect::<Result<_, _>>()?,
    };
    Ok(call.abi_encode().into())
}

/// What `contracts/` compiles to.
const COMPILED: &str = include_str!("../../contracts/Executor.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compiled {
    deployed_bytecode: Bytes,
    immutables: Vec<Span>,
}

/// A place in the code that the constructor fills in.
#[derive(Deserialize)]
struct Span {
    start: usize,
    length: usize,
}

/// True when the code on a chain is what `contracts/` compiles to, whatever its constructor was
/// told.
///
/// # Panics
/// When the committed artifact is malformed, which a test rules out.
pub fn is_ours(code: &[u8]) -> bool {
    let compiled: Compiled = serde_json::from_str(COMPILED).expect("the committed artifact");
    let mut ours = compiled.deployed_bytecode.to_vec();
    let mut found = code.to_vec();
    for Span { start, length } in compiled.immutables {
        for code in [&mut ours, &mut found] {
            if let Some(span) = code.get_mut(start..start + length) {
                span.fill(0);
            }
        }
    }
    ours == found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_compiled_code_is_ours_whatever_its_immutables() {
        let compiled: Compiled = serde_json::from_str(COMPILED).unwrap();
        let mut code = compiled.deployed_bytecode.to_vec();
        assert!(is_ours(&code) && !compiled.immutables.is_empty());
        code[compiled.immutables[0].start] = 0xab;
        assert!(is_ours(&code), "the constructor filled it in");
        for at in [0, code.len() / 2, code.len() - 1] {
            let is_immutable = |span: &Span| (span.start..span.start + span.length).contains(&at);
            assert!(!compiled.immutables.iter().any(is_immutable));
            let mut other = code.clone();
            other[at] ^= 1;
            assert!(!is_ours(&other), "byte {at}");
        }
        assert!(!is_ours(&[]) && !is_ours(&code[1..]));
    }

    #[test]
    fn a_cycle_reads_back_as_it_was_written() {
        let [usdt, weth] = [1, 2].map(Address::with_last_byte);
        let legs = [
            Leg { dex: 0, fee_pips: 3_000, token_out: weth },
            Leg { dex: 2, fee_pips: 500, token_out: usdt },
        ];
        let cycle = Flash {
            token: usdt,
            amount_in: U256::from(7),
            min_profit: U256::ONE,
            deadline_block: 12,
            legs: &legs,
        };
        let input = flash(&cycle).unwrap();
        let read = Executor::flashCall::abi_decode_validate(&input).unwrap();
        assert_eq!((read.token, read.amountIn, read.legs.len()), (usdt, U256::from(7), 2));
        assert_eq!(read.deadlineBlock, U256::from(12));
        assert_eq!((read.legs[1].dex, read.legs[1].tokenOut), (2, usdt));
        let wide = [Leg { fee_pips: 1 << 24, ..legs[0] }];
        assert_eq!(flash(&Flash { legs: &wide, ..cycle }), Err(FeeTooLarge(1 << 24)));
    }
}
