//! Play money on a fork, and an executor that obeys its holder.
//!
//! Each liquidity strategy gets its budget, half of it in either token of its pool at the pool's
//! own price; cycles borrow what they need. Wrapped coins are really wrapped, other tokens are
//! written into their contracts by anvil.

use std::collections::BTreeMap;

use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::DynProvider;
use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::config::chain::{Chain, Token};
use crate::config::pool::{Dex, Pool};
use crate::config::strategy::Strategy;
use crate::io::clock;
use crate::math::amm::Rounding;
use crate::model::amount::raw_down;
use crate::sim::paper::halves;
use crate::venues::erc20::{Erc20, Weth9};
use crate::venues::executor::{self, Executor};
use crate::venues::uniswap_v3;
use crate::venues::uniswap_v3::abi::UniswapV3Pool;
use crate::world::artifacts;
use crate::world::chain::{self as node, Deed};
use crate::world::deploy::{Mining, set_mining};
use crate::world::fork::cast::Cast;
use crate::world::price::frame_of;

/// Decimal places of a native coin.
const NATIVE_DECIMALS: u32 = 18;
/// The signer starts with so many times what the operator wants it to keep.
const FUEL_FACTOR: i64 = 10;
/// For the gas of wrapping, in whole coins; what is left of it is taken away again.
const WRAPPING_COINS: i64 = 1;
/// Most exchanges read from an executor.
const DEXES_MAX: u64 = 255;

/// What was given to the signer.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Symbol.
    pub(super) token: String,
    /// In human units.
    pub(super) amount: Decimal,
}

/// What was done before the agent came.
#[derive(Clone, Debug)]
pub(super) struct Endowment {
    pub(super) given: Vec<Given>,
    /// An executor that obeys the signer, when the operator's files name one.
    pub(super) executor: Option<Address>,
}

/// Gives the signer its money and its executor. The fork then mines nothing until it is told to.
pub(super) async fn endow(
    provider: &DynProvider,
    cast: &Cast<'_>,
    signer: Address,
) -> Result<Endowment> {
    let chain = cast.chain;
    // Each step needs the one before: a block per transaction, at once, and no other.
    set_mining(provider, Mining::AtOnce).await?;
    let executor = match chain.executor {
        Some(executor) => Some(executor_for(provider, executor, signer).await?),
        None => None,
    };
    let mut given = Vec::new();
    for (symbol, amount) in budgets(provider, cast).await? {
        let token = token_of(chain, &symbol)?;
        let raw = raw_down(amount, token.decimals.into());
        let raw = raw.with_context(|| format!("{amount} {symbol} does not fit the token"))?;
        if token.address == chain.wrapped_native {
            wrap(provider, token.address, signer, raw).await?;
        } else {
            deal(provider, token.address, signer, raw)
                .await
                .with_context(|| format!("anvil cannot give {symbol} at {}", token.address))?;
        }
        given.push(Given { token: symbol, amount });
    }
    let fuel = chain.fuel.min_native_per_signer.checked_mul(FUEL_FACTOR.into());
    let fuel = fuel.context("[fuel] min_native_per_signer is too large")?;
    let wei = raw_down(fuel, NATIVE_DECIMALS).context("[fuel] does not fit the coin")?;
    set_balance(provider, signer, wei).await?;
    given.push(Given { token: chain.native.clone(), amount: fuel });
    Ok(Endowment { given, executor })
}

/// What each token's share of the budgets comes to, by symbol.
async fn budgets(provider: &DynProvider, cast: &Cast<'_>) -> Result<BTreeMap<String, Decimal>> {
    let mut wanted: BTreeMap<String, Decimal> = BTreeMap::new();
    for strategy in cast.strategies.iter().copied() {
        let Strategy::Liquidity(liquidity) = strategy else { continue };
        let pool = &liquidity.pool;
        let price = price_of(provider, cast.chain, pool).await?;
        let halves = halves(liquidity.capital.budget_usd, price);
        let (base, quote) = halves.with_context(|| format!("{pool} has no price"))?;
        for (symbol, amount) in [(&pool.base, base), (&pool.quote, quote)] {
            *wanted.entry(symbol.clone()).or_default() += amount;
        }
    }
    Ok(wanted)
}

/// The price of a V3 pool, base in quote.
async fn price_of(provider: &DynProvider, chain: &Chain, pool: &Pool) -> Result<Decimal> {
    let contracts = chain.dexes.get(&Dex::UniswapV3).context("needs [dex.uniswap_v3]")?;
    let (base, quote) = (token_of(chain, &pool.base)?, token_of(chain, &pool.quote)?);
    let (factory, fee_pips) = (contracts.factory, pool.fee_pips);
    let at = uniswap_v3::pool_address(factory, base.address, quote.address, fee_pips);
    let slot = node::call(provider, at, &UniswapV3Pool::slot0Call {})
        .await
        .with_context(|| format!("no {pool} at {at} in this block: check factory and fee"))?;
    let frame = frame_of((base.address, base.decimals), (quote.address, quote.decimals))?;
    Ok(frame.price(U256::from(slot.sqrtPriceX96), Rounding::Down)?)
}

fn token_of<'c>(chain: &'c Chain, symbol: &str) -> Result<&'c Token> {
    let token = chain.tokens.get(symbol);
    token.with_context(|| format!("chains/ of {:?} has no [tokens.{symbol}]", chain.name))
}

async fn set_balance(provider: &DynProvider, of: Address, wei: U256) -> Result<()> {
    let _: Value = node::raw(provider, "anvil_setBalance", (of, wei)).await?;
    Ok(())
}

/// Wraps coins as their holder would.
async fn wrap(
    provider: &DynProvider,
    wrapped: Address,
    signer: Address,
    amount: U256,
) -> Result<()> {
    let room = raw_down(WRAPPING_COINS.into(), NATIVE_DECIMALS).context("a coin has no size")?;
    set_balance(provider, signer, amount.saturating_add(room)).await?;
    let deposit = Deed { value: amount, ..Deed::call(signer, wrapped, &Weth9::depositCall {}) };
    let _: Value = node::raw(provider, "anvil_impersonateAccount", (signer,)).await?;
    let sent = node::send(provider, &deposit).await;
    let _: Value = node::raw(provider, "anvil_stopImpersonatingAccount", (signer,)).await?;
    sent.with_context(|| format!("wrapping at {wrapped}: check wrapped_native"))?;
    Ok(())
}

/// Has anvil find the holder's balance in the token's storage and write it.
async fn deal(provider: &DynProvider, token: Address, signer: Address, amount: U256) -> Result<()> {
    let _: Value = node::raw(provider, "anvil_dealERC20", (signer, token, amount)).await?;
    let held = node::call(provider, token, &Erc20::balanceOfCall(signer)).await?;
    ensure!(held == amount, "the token says {held} where {amount} was written");
    Ok(())
}

/// The operator's executor obeys the operator's key for ever: one like it obeys ours.
async fn executor_for(provider: &DynProvider, like: Address, operator: Address) -> Result<Address> {
    let code: Bytes = node::raw(provider, "eth_getCode", (like, "latest")).await?;
    ensure!(
        executor::is_ours(&code),
        "the code at {like} is not what contracts/ compiles to: deploy contracts/Executor.json"
    );
    let count = node::call(provider, like, &Executor::dexCountCall {})
        .await
        .with_context(|| format!("no executor answers at {like}: check [executor] address"))?;
    let mut dexes = Vec::new();
    for index in 0..count.saturating_to::<u64>().min(DEXES_MAX) {
        let ask = Executor::dexAtCall { index: U256::from(index) };
        dexes.push(node::call(provider, like, &ask).await?);
    }
    let accounts: Vec<Address> = node::raw(provider, "eth_accounts", ()).await?;
    let owner = *accounts.first().context("anvil has no account")?;
    let code = artifacts::executor_code(owner, operator, dexes)?;
    node::create(provider, owner, code).await.context("creating an executor")
}

/// Sets the fork's clock to ours, since the block it was taken at may be old, and has it mine.
pub(super) async fn come_to_present(provider: &DynProvider, block_time_s: u64) -> Result<()> {
    let now_s = clock::now().ms() / 1_000;
    let _: Value = node::raw(provider, "anvil_setTime", (now_s,)).await?;
    let _: Value = node::raw(provider, "evm_mine", ()).await?;
    set_mining(provider, Mining::EverySeconds(block_time_s)).await?;
    Ok(())
}
