//! What the chain's own quoters answer at the same block.

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, Bytes, U160, U256};
use alloy::sol_types::SolCall;
use anyhow::{Context, Result};

use crate::cli::pool::place::Reading;
use crate::cli::pool::quote::{Order, Side};
use crate::market::pools::v4::key::PoolKey;
use crate::math::amm::Direction;
use crate::venues::uniswap_v3::abi::QuoterV2;
use crate::venues::uniswap_v4::abi::V4Quoter;

/// The amount and, of V3, the price afterwards that the chain's own quoter tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted {
    pub(super) by: Address,
    pub(super) raw: U256,
    pub(super) sqrt_price_after: Option<U256>,
}

/// Who runs the quoter's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    OnTheEndpoint,
    /// For V4 alone: the others are quoted by their arithmetic.
    InOurEvm,
}

/// Asks the quoter of the pool's exchange; `None` where the files name none.
pub(super) async fn ask(
    read: &Reading<'_>,
    order: &Order<'_>,
    runs: Runs,
) -> Result<Option<Quoted>> {
    let (chain, dex) = (read.place.chain, read.site.pool.dex);
    let contracts = chain.dexes.get(&dex);
    let Some(by) = contracts.and_then(|contracts| contracts.quoter) else { return Ok(None) };
    let told = match &read.site.setup.key {
        Some(key) => v4(read, order, (by, runs), key).await,
        None => v3(read, order, by).await,
    };
    let (raw, sqrt_price_after) = told.with_context(|| {
        let key = dex.key("quoter");
        format!("asking the quoter at {by}: check {key} of chain {}", chain.name)
    })?;
    Ok(Some(Quoted { by, raw, sqrt_price_after }))
}

async fn v3(read: &Reading<'_>, order: &Order<'_>, by: Address) -> Result<(U256, Option<U256>)> {
    let (client, at) = (&read.place.client, read.place.block.hash);
    let fee = U24::saturating_from(read.site.pool.fee_pips);
    let (token_in, token_out) = (order.gives.address, order.takes.address);
    let (raw, sqrt_price_after) = match order.side {
        Side::Sell => {
            let params = QuoterV2::QuoteExactInputSingleParams {
                tokenIn: token_in,
                tokenOut: token_out,
                amountIn: order.raw,
                fee,
                sqrtPriceLimitX96: U160::ZERO,
            };
            let call = QuoterV2::quoteExactInputSingleCall { params };
            let quoted = client.view(by, &call, at).await?;
            (quoted.amountOut, quoted.sqrtPriceX96After)
        }
        Side::Buy => {
            let params = QuoterV2::QuoteExactOutputSingleParams {
                tokenIn: token_in,
                tokenOut: token_out,
                amount: order.raw,
                fee,
                sqrtPriceLimitX96: U160::ZERO,
            };
            let call = QuoterV2::quoteExactOutputSingleCall { params };
            let quoted = client.view(by, &call, at).await?;
            (quoted.amountIn, quoted.sqrtPriceX96After)
        }
    };
    Ok((raw, Some(U256::from(sqrt_price_after))))
}

async fn v4(
    read: &Reading<'_>,
    order: &Order<'_>,
    (by, runs): (Address, Runs),
    key: &PoolKey,
) -> Result<(U256, Option<U256>)> {
    let (amount, spacing) = (u128::try_from(order.raw).ok(), I24::try_from(key.tick_spacing).ok());
    let params = V4Quoter::QuoteExactSingleParams {
        poolKey: V4Quoter::PoolKey {
            currency0: key.currency0,
            currency1: key.currency1,
            fee: U24::saturating_from(key.fee_pips),
            tickSpacing: spacing.context("no tick spacing has more than 24 bits")?,
            hooks: key.hooks,
        },
        zeroForOne: order.direction == Direction::ZeroForOne,
        exactAmount: amount.context("V4 takes no amount above 128 bits: ask for less")?,
        hookData: Bytes::new(),
    };
    let raw = match order.side {
        Side::Sell => {
            let call = V4Quoter::quoteExactInputSingleCall { params };
            run(read, by, &call, runs).await?.amountOut
        }
        Side::Buy => {
            let call = V4Quoter::quoteExactOutputSingleCall { params };
            run(read, by, &call, runs).await?.amountIn
        }
    };
    Ok((raw, None))
}

async fn run<C: SolCall>(
    read: &Reading<'_>,
    by: Address,
    call: &C,
    runs: Runs,
) -> Result<C::Return> {
    let (client, at) = (&read.place.client, read.place.block.hash);
    match runs {
        Runs::OnTheEndpoint => Ok(client.view(by, call, at).await?),
        Runs::InOurEvm => Ok(client.simulated(by, call, at).await?),
    }
}
