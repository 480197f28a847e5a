//! Uniswap V4 in a local world: its pools are opened, filled and traded by v4-core's own test
//! routers, and looked at by `StateView`.
//!
//! Nobody but the world's simulated actors calls these contracts. Knows their words, not whether a
//! call is wise. Invariant: what does not fit an argument is refused, never cut.

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, B256, Bytes, I256, Sign, U160, U256};
use alloy::providers::DynProvider;
use alloy::sol_types::SolCall;
use thiserror::Error;

use crate::market::pools::v4::key::PoolKey;
use crate::math::amm::tick::{MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, TickRange};
use crate::world::chain::{self, ChainError};
use crate::world::manifest::PoolSite;

use abi::{PoolManagerAdmin, PoolModifyLiquidityTest, PoolSwapTest, StateView};

/// Bindings generated from `abis/`.
pub mod abi {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        reason = "the ABI files are the documentation of what is generated here"
    )]

    alloy::sol!(PoolManagerAdmin, "abis/PoolManagerAdmin.json");
    alloy::sol!(PoolModifyLiquidityTest, "abis/PoolModifyLiquidityTest.json");
    alloy::sol!(PoolSwapTest, "abis/PoolSwapTest.json");
    alloy::sol!(StateView, "abis/StateView.json");
}

/// The native coin as a pool's currency (`CurrencyLibrary.ADDRESS_ZERO` of v4-core).
pub const NATIVE: Address = Address::ZERO;

/// Bits of one direction's part of a protocol fee (`ProtocolFeeLibrary` of v4-core).
const PROTOCOL_FEE_BITS: u32 = 12;

/// A number that a contract's argument cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Fees are 24-bit pips, each direction's part of a protocol fee 12-bit ones.
    #[error("fee of {0} pips does not fit its bits")]
    Fee(u32),
    /// Ticks are 24-bit signed.
    #[error("tick {0} does not fit 24 bits")]
    Tick(i32),
    /// Square root prices are 160-bit.
    #[error("square root price {0} does not fit 160 bits")]
    SqrtPrice(U256),
    /// Amounts are 256-bit signed.
    #[error("amount {0} does not fit 255 bits")]
    Amount(U256),
}

/// A swap of a known input in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExactInput {
    /// The pool.
    pub(crate) key: PoolKey,
    /// What is given.
    pub(crate) token_in: Address,
    /// How much is given at most, raw.
    pub(crate) amount_in: U256,
    /// Where the price stops, and with it the input; zero for no limit.
    pub(crate) sqrt_price_limit_x96: U256,
}

/// The key of a V4 pool of a world: none has hooks.
#[must_use]
pub fn key(pool: &PoolSite) -> PoolKey {
    PoolKey {
        currency0: pool.token0,
        currency1: pool.token1,
        fee_pips: pool.fee_pips,
        tick_spacing: pool.tick_spacing,
        hooks: Address::ZERO,
    }
}

/// Price and liquidity in range of a pool at the latest block; zeros for one that is not there.
///
/// # Errors
/// When the node is silent.
pub(crate) async fn state(
    provider: &DynProvider,
    state_view: Address,
    id: B256,
) -> Result<(U256, u128), ChainError> {
    let slot = StateView::getSlot0Call { poolId: id };
    let slot = chain::call(provider, state_view, &slot).await?;
    let liquidity = StateView::getLiquidityCall { poolId: id };
    let liquidity = chain::call(provider, state_view, &liquidity).await?;
    Ok((U256::from(slot.sqrtPriceX96), liquidity))
}

/// Calldata for `PoolManager`: who may set protocol fees.
pub(crate) fn set_controller(controller: Address) -> Bytes {
    PoolManagerAdmin::setProtocolFeeControllerCall { controller }.abi_encode().into()
}

/// Calldata for `PoolManager`: opens a pool at a price.
pub(crate) fn initialize(key: &PoolKey, sqrt_price_x96: U256) -> Result<Bytes, EncodeError> {
    let call = PoolManagerAdmin::initializeCall {
        key: words(key)?.into(),
        sqrtPriceX96: sqrt_price(sqrt_price_x96)?,
    };
    Ok(call.abi_encode().into())
}

/// Calldata for `PoolManager`: what the protocol keeps of a swap of token0 and of one of token1, in
/// millionths.
pub(crate) fn set_protocol_fee(
    key: &PoolKey,
    [zero_for_one, one_for_zero]: [u32; 2],
) -> Result<Bytes, EncodeError> {
    for part in [zero_for_one, one_for_zero] {
        if part >> PROTOCOL_FEE_BITS != 0 {
            return Err(EncodeError::Fee(part));
        }
    }
    let call = PoolManagerAdmin::setProtocolFeeCall {
        key: words(key)?.into(),
        newProtocolFee: fee(zero_for_one | (one_for_zero << PROTOCOL_FEE_BITS))?,
    };
    Ok(call.abi_encode().into())
}

/// Calldata for `PoolModifyLiquidityTest`: puts liquidity into a range. The sender pays; what is
/// too much of the native coin comes back.
pub(crate) fn add_liquidity(
    key: &PoolKey,
    range: TickRange,
    liquidity: u128,
) -> Result<Bytes, EncodeError> {
    let call = PoolModifyLiquidityTest::modifyLiquidityCall {
        key: words(key)?.into(),
        params: PoolModifyLiquidityTest::ModifyLiquidityParams {
            tickLower: tick(range.lower())?,
            tickUpper: tick(range.upper())?,
            liquidityDelta: I256::from_raw(U256::from(liquidity)),
            salt: B256::ZERO,
        },
        hookData: Bytes::new(),
    };
    Ok(call.abi_encode().into())
}

/// Calldata for `PoolSwapTest`. The sender pays and is paid; what is too much of the native coin
/// comes back.
pub(crate) fn swap_exact_in(swap: &ExactInput) -> Result<Bytes, EncodeError> {
    let is_zero_for_one = swap.token_in == swap.key.currency0;
    let limit = match (swap.sqrt_price_limit_x96.is_zero(), is_zero_for_one) {
        (true, true) => MIN_SQRT_PRICE_X96 + U256::ONE,
        (true, false) => MAX_SQRT_PRICE_X96 - U256::ONE,
        (false, _) => swap.sqrt_price_limit_x96,
    };
    // What is given is negative here: positive would ask for an exact output.
    let amount = I256::checked_from_sign_and_abs(Sign::Negative, swap.amount_in)
        .ok_or(EncodeError::Amount(swap.amount_in))?;
    let call = PoolSwapTest::swapCall {
        key: words(&swap.key)?.into(),
        params: PoolSwapTest::SwapParams {
            zeroForOne: is_zero_for_one,
            amountSpecified: amount,
            sqrtPriceLimitX96: sqrt_price(limit)?,
        },
        testSettings: PoolSwapTest::TestSettings { takeClaims: false, settleUsingBurn: false },
        hookData: Bytes::new(),
    };
    Ok(call.abi_encode().into())
}

/// The key as every ABI here spells it.
fn words(key: &PoolKey) -> Result<(Address, Address, U24, I24, Address), EncodeError> {
    let (fee, spacing) = (fee(key.fee_pips)?, tick(key.tick_spacing)?);
    Ok((key.currency0, key.currency1, fee, spacing, key.hooks))
}

fn fee(pips: u32) -> Result<U24, EncodeError> {
    U24::try_from(pips).map_err(|_| EncodeError::Fee(pips))
}

fn tick(tick: i32) -> Result<I24, EncodeError> {
    I24::try_from(tick).map_err(|_| EncodeError::Tick(tick))
}

fn sqrt_price(sqrt_price_x96: U256) -> Result<U160, EncodeError> {
    let price = U160::checked_from_limbs_slice(sqrt_price_x96.as_limbs());
    price.ok_or(EncodeError::SqrtPrice(sqrt_price_x96))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::hex;

    use super::*;

    const DOLLAR: Address = Address::with_last_byte(7);

    fn native_pool() -> PoolKey {
        PoolKey {
            currency0: NATIVE,
            currency1: DOLLAR,
            fee_pips: 500,
            tick_spacing: 10,
            hooks: Address::ZERO,
        }
    }

    fn sold(token_in: Address, limit: U256) -> PoolSwapTest::swapCall {
        let swap = ExactInput {
            key: native_pool(),
            token_in,
            amount_in: U256::from(9),
            sqrt_price_limit_x96: limit,
        };
        PoolSwapTest::swapCall::abi_decode_validate(&swap_exact_in(&swap).unwrap()).unwrap()
    }

    #[test]
    fn calls_have_the_selectors_of_the_published_contracts() {
        let key = native_pool();
        let range = TickRange::new(-10, 10, 10).unwrap();
        let swap = ExactInput {
            key,
            token_in: NATIVE,
            amount_in: U256::ONE,
            sqrt_price_limit_x96: U256::ZERO,
        };
        // As they stand in the dispatchers of the locked code.
        for (call, selector) in [
            (initialize(&key, MIN_SQRT_PRICE_X96), hex!("6276cbbe")),
            (set_protocol_fee(&key, [1, 2]), hex!("7e87ce7d")),
            (Ok(set_controller(DOLLAR)), hex!("2d771389")),
            (add_liquidity(&key, range, 1), hex!("5a6bcfda")),
            (swap_exact_in(&swap), hex!("2229d0b4")),
        ] {
            assert_eq!(call.unwrap()[..4], selector);
        }
    }

    #[test]
    fn input_is_negative_and_no_limit_is_the_widest_one() {
        let by_coin = sold(NATIVE, U256::ZERO).params;
        assert!(by_coin.zeroForOne && by_coin.amountSpecified == I256::try_from(-9).unwrap());
        assert_eq!(U256::from(by_coin.sqrtPriceLimitX96), MIN_SQRT_PRICE_X96 + U256::ONE);
        let by_dollar = sold(DOLLAR, U256::ZERO).params;
        assert!(!by_dollar.zeroForOne);
        assert_eq!(U256::from(by_dollar.sqrtPriceLimitX96), MAX_SQRT_PRICE_X96 - U256::ONE);
        let limit = U256::from(5_000_000_000u64);
        assert_eq!(U256::from(sold(NATIVE, limit).params.sqrtPriceLimitX96), limit);
    }

    #[test]
    fn protocol_fee_has_zero_for_one_in_its_low_bits() {
        let input = set_protocol_fee(&native_pool(), [400, 600]).unwrap();
        let call = PoolManagerAdmin::setProtocolFeeCall::abi_decode_validate(&input).unwrap();
        assert_eq!(call.newProtocolFee, U24::from(400 + 600 * 4_096_u32));
        assert_eq!(call.key.fee, U24::from(500_u32));
        let wide = set_protocol_fee(&native_pool(), [0, 4_096]);
        assert_eq!(wide, Err(EncodeError::Fee(4_096)));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let key = PoolKey { fee_pips: 1 << 24, ..native_pool() };
        assert_eq!(initialize(&key, U256::ONE), Err(EncodeError::Fee(1 << 24)));
        let high = U256::ONE << 160;
        assert_eq!(initialize(&native_pool(), high), Err(EncodeError::SqrtPrice(high)));
        let swap = ExactInput {
            key: native_pool(),
            token_in: NATIVE,
            amount_in: U256::MAX,
            sqrt_price_limit_x96: U256::ZERO,
        };
        assert_eq!(swap_exact_in(&swap), Err(EncodeError::Amount(U256::MAX)));
    }
}
