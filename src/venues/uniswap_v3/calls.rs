//! Calldata for the position contract and the two routers.
//!
//! Knows the contracts' arguments, not whether a call is wise. Invariant: what does not fit an
//! argument is refused, never cut.

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, Bytes, U160, U256};
use alloy::sol_types::SolCall;
use thiserror::Error;

use crate::venues::uniswap_v3::abi::{
    NonfungiblePositionManager as Positions, SwapRouter, SwapRouter02,
};

/// A number that the contract's argument cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Fees are 24-bit pips.
    #[error("fee of {0} pips does not fit 24 bits")]
    Fee(u32),
    /// Ticks are 24-bit signed.
    #[error("tick {0} does not fit 24 bits")]
    Tick(i32),
    /// Square root prices are 160-bit.
    #[error("square root price {0} does not fit 160 bits")]
    SqrtPrice(U256),
    /// `SwapRouter02` takes an input of zero for all that it holds itself.
    #[error("a swap of nothing")]
    Nothing,
}

/// Opening of a position; ticks must be on the pool's grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintOrder {
    /// The token of the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// Fee tier in millionths.
    pub fee_pips: u32,
    /// Lower tick.
    pub lower: i32,
    /// Upper tick.
    pub upper: i32,
    /// Most of token0 to put in, raw.
    pub amount0_desired: U256,
    /// Most of token1 to put in, raw.
    pub amount1_desired: U256,
    /// Below this much token0 it reverts.
    pub amount0_min: U256,
    /// Below this much token1 it reverts.
    pub amount1_min: U256,
    /// Who owns the NFT.
    pub recipient: Address,
    /// Last block time, unix seconds, at which it is accepted.
    pub deadline: U256,
}

/// End of a position: all liquidity out, everything owed paid to the recipient, the NFT burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The NFT.
    pub token_id: U256,
    /// Its whole liquidity; with less, the burn reverts and so does everything.
    pub liquidity: u128,
    /// Below this much principal in token0 it reverts.
    pub amount0_min: U256,
    /// Below this much principal in token1 it reverts.
    pub amount1_min: U256,
    /// Who is paid.
    pub recipient: Address,
    /// Last block time, unix seconds, at which it is accepted.
    pub deadline: U256,
}

/// A swap of a known input in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactInput {
    /// What is given.
    pub token_in: Address,
    /// What is taken.
    pub token_out: Address,
    /// The pool's fee tier in millionths.
    pub fee_pips: u32,
    /// Who receives the output.
    pub recipient: Address,
    /// Last block time, unix seconds, at which it is accepted.
    pub deadline: U256,
    /// How much is given at most, raw.
    pub amount_in: U256,
    /// Below this output, raw, the router reverts.
    pub amount_out_min: U256,
    /// Where the price stops, and with it the input; zero for no limit.
    pub sqrt_price_limit_x96: U256,
}

/// Calldata for the position contract: opens a position.
///
/// # Errors
/// When the fee or a tick does not fit.
pub fn mint(order: &MintOrder) -> Result<Bytes, EncodeError> {
    let params = Positions::MintParams {
        token0: order.token0,
        token1: order.token1,
        fee: fee(order.fee_pips)?,
        tickLower: tick(order.lower)?,
        tickUpper: tick(order.upper)?,
        amount0Desired: order.amount0_desired,
        amount1Desired: order.amount1_desired,
        amount0Min: order.amount0_min,
        amount1Min: order.amount1_min,
        recipient: order.recipient,
        deadline: order.deadline,
    };
    Ok(Positions::mintCall { params }.abi_encode().into())
}

/// Calldata for the position contract: ends a position in one transaction, or not at all.
#[must_use]
pub fn withdraw(order: &Withdrawal) -> Bytes {
    let decrease = Positions::DecreaseLiquidityParams {
        tokenId: order.token_id,
        liquidity: order.liquidity,
        amount0Min: order.amount0_min,
        amount1Min: order.amount1_min,
        deadline: order.deadline,
    };
    let data = vec![
        Positions::decreaseLiquidityCall { params: decrease }.abi_encode().into(),
        collect(order.token_id, order.recipient),
        Positions::burnCall { tokenId: order.token_id }.abi_encode().into(),
    ];
    Positions::multicallCall { data }.abi_encode().into()
}

/// Calldata for the position contract: pays out all that is owed, fees included.
#[must_use]
pub fn collect(token_id: U256, recipient: Address) -> Bytes {
    let params = Positions::CollectParams {
        tokenId: token_id,
        recipient,
        amount0Max: u128::MAX,
        amount1Max: u128::MAX,
    };
    Positions::collectCall { params }.abi_encode().into()
}

/// Calldata for `SwapRouter`.
///
/// # Errors
/// When the fee or the price limit does not fit.
pub fn swap_exact_in(swap: &ExactInput) -> Result<Bytes, EncodeError> {
    let params = SwapRouter::ExactInputSingleParams {
        tokenIn: swap.token_in,
        tokenOut: swap.token_out,
        fee: fee(swap.fee_pips)?,
        recipient: swap.recipient,
        deadline: swap.deadline,
        amountIn: swap.amount_in,
        amountOutMinimum: swap.amount_out_min,
        sqrtPriceLimitX96: sqrt_price(swap.sqrt_price_limit_x96)?,
    };
    Ok(SwapRouter::exactInputSingleCall { params }.abi_encode().into())
}

/// Calldata for `SwapRouter02`. Its order has no deadline, so that the order goes inside the one
/// call that has: `multicall(uint256,bytes[])` (swap-router-contracts, `MulticallExtended.sol`).
///
/// # Errors
/// When the fee or the price limit does not fit, and when nothing is given.
pub fn swap_exact_in_02(swap: &ExactInput) -> Result<Bytes, EncodeError> {
    if swap.amount_in.is_zero() {
        return Err(EncodeError::Nothing);
    }
    let params = SwapRouter02::ExactInputSingleParams {
        tokenIn: swap.token_in,
        tokenOut: swap.token_out,
        fee: fee(swap.fee_pips)?,
        recipient: swap.recipient,
        amountIn: swap.amount_in,
        amountOutMinimum: swap.amount_out_min,
        sqrtPriceLimitX96: sqrt_price(swap.sqrt_price_limit_x96)?,
    };
    let order = SwapRouter02::exactInputSingleCall { params }.abi_encode();
    let call = SwapRouter02::multicallCall { deadline: swap.deadline, data: vec![order.into()] };
    Ok(call.abi_encode().into())
}

fn sqrt_price(limit: U256) -> Result<U160, EncodeError> {
    U160::checked_from_limbs_slice(limit.as_limbs()).ok_or(EncodeError::SqrtPrice(limit))
}

fn fee(fee_pips: u32) -> Result<U24, EncodeError> {
    U24::try_from(fee_pips).map_err(|_| EncodeError::Fee(fee_pips))
}

fn tick(tick: i32) -> Result<I24, EncodeError> {
    I24::try_from(tick).map_err(|_| EncodeError::Tick(tick))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::hex;

    use super::*;

    const OWNER: Address = Address::with_last_byte(9);
    const TOKEN: Address = Address::with_last_byte(8);

    #[test]
    fn withdrawal_decreases_collects_and_burns_in_that_order() {
        let call = withdraw(&Withdrawal {
            token_id: U256::from(42),
            liquidity: 7,
            amount0_min: U256::ZERO,
            amount1_min: U256::ZERO,
            recipient: OWNER,
            deadline: U256::MAX,
        });
        assert_eq!(call[..4], hex!("ac9650d8"));
        let steps = Positions::multicallCall::abi_decode(&call).unwrap().data;
        let selectors: Vec<&[u8]> = steps.iter().map(|step| &step[..4]).collect();
        assert_eq!(selectors, [hex!("0c49ccbe"), hex!("fc6f7865"), hex!("42966c68")]);
    }

    fn swap() -> ExactInput {
        ExactInput {
            token_in: OWNER,
            token_out: TOKEN,
            fee_pips: 500,
            recipient: Address::with_last_byte(7),
            deadline: U256::from(1_700_000_120),
            amount_in: U256::from(1_000_000),
            amount_out_min: U256::from(990_000),
            sqrt_price_limit_x96: U256::ZERO,
        }
    }

    /// Written out by the ABI's rules, not by the library.
    #[test]
    fn an_order_of_router02_stands_inside_a_call_with_the_deadline() {
        let call = swap_exact_in_02(&swap()).unwrap();
        let word = |n: u64| format!("{n:064x}");
        let text = [
            "5ae401dc".to_owned(), // multicall(uint256,bytes[])
            word(1_700_000_120),
            word(64), // where the list begins
            word(1),
            word(32),              // where its only element begins
            word(228),             // bytes of it
            "04e45aaf".to_owned(), // exactInputSingle, of seven words
            word(9),
            word(8),
            word(500),
            word(7),
            word(1_000_000),
            word(990_000),
            word(0),
            "00".repeat(28),
        ];
        assert_eq!(hex::encode(&call), text.concat());
        let read = SwapRouter02::multicallCall::abi_decode_validate(&call).unwrap();
        let [order] = &read.data[..] else { panic!("{:?}", read.data) };
        let order = SwapRouter02::exactInputSingleCall::abi_decode_validate(order).unwrap().params;
        assert_eq!((read.deadline, order.amountIn), (swap().deadline, swap().amount_in));
        assert_eq!((order.recipient, order.tokenOut), (swap().recipient, TOKEN));
    }

    #[test]
    fn an_input_that_router02_reads_as_its_own_purse_is_refused() {
        let nothing = ExactInput { amount_in: U256::ZERO, ..swap() };
        assert_eq!(swap_exact_in_02(&nothing), Err(EncodeError::Nothing));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(swap_exact_in(&swap()).unwrap()[..4], hex!("414bf389"));
        let limit = ExactInput { sqrt_price_limit_x96: U256::MAX, ..swap() };
        let fee = ExactInput { fee_pips: 1 << 24, ..swap() };
        for encode in [swap_exact_in, swap_exact_in_02] {
            assert_eq!(encode(&limit), Err(EncodeError::SqrtPrice(U256::MAX)));
            assert_eq!(encode(&fee), Err(EncodeError::Fee(1 << 24)));
        }
        assert_eq!(tick(1 << 23), Err(EncodeError::Tick(1 << 23)));
    }
}
