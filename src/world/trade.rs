//! What the world's simulated actors do to a pool: look at it, swap in it, refill their purses.

use alloy::primitives::{Address, U256};
use alloy::providers::DynProvider;
use rust_decimal::Decimal;
use thiserror::Error;

use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::{AmmError, Rounding};
use crate::venues::erc20::{Erc20, Weth9};
use crate::venues::executor::FeeTooLarge;
use crate::venues::uniswap_v2;
use crate::venues::uniswap_v2::abi::UniswapV2Pair;
use crate::venues::uniswap_v3::abi::UniswapV3Pool;
use crate::venues::uniswap_v3::calls::{self, EncodeError};
use crate::world::chain::{self, ChainError, Deed, NO_DEADLINE};
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::price::{Given, Reserves, frame, v2_price};

/// A refill is this many times what is needed now, so that refills stay rare.
const REFILL_FACTOR: u64 = 20;
/// Bits of the fixed point of square root prices.
const Q96_BITS: usize = 96;

/// Why an actor could not act.
#[derive(Debug, Error)]
pub enum TradeError {
    /// A call or transaction failed.
    #[error("chain")]
    Chain(#[from] ChainError),
    /// A number does not fit the calldata.
    #[error("calldata")]
    Encode(#[from] EncodeError),
    /// The pool has no price.
    #[error("pool price")]
    Amm(#[from] AmmError),
    /// A fee does not fit the executor's calldata.
    #[error("calldata of the executor")]
    Executor(#[from] FeeTooLarge),
    /// The pool holds no ether: nobody here trades it.
    #[error("pool {0} has no ether")]
    Foreign(Address),
    /// The pool is empty.
    #[error("pool {0} has no liquidity")]
    Empty(Address),
}

/// A pool as it stands at the latest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Test dollars per ether.
    pub price: Decimal,
    /// Tokens behind the present price, raw; in a V3 pool the virtual ones of the range in force.
    pub depth: Reserves,
}

impl PoolView {
    /// Depth on the side that a swap adds to.
    #[must_use]
    pub fn depth_of(&self, given: Given) -> U256 {
        match given {
            Given::Base => self.depth.base,
            Given::Quote => self.depth.quote,
        }
    }
}

/// One swap to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Where.
    pub pool: PoolSite,
    /// Who, being paid as well.
    pub from: Address,
    /// Which token is given.
    pub given: Given,
    /// How much of it, raw; the most, when there is a limit.
    pub amount: U256,
    /// Where a V3 price stops; zero for no limit. A V2 pair knows no limit.
    pub sqrt_price_limit_x96: U256,
}

/// Reads a pool at the latest block.
///
/// # Errors
/// When the node is silent or the pool is empty.
pub async fn look(
    provider: &DynProvider,
    contracts: &Contracts,
    pool: &PoolSite,
) -> Result<PoolView, TradeError> {
    match pool.dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => look_v2(provider, contracts, pool).await,
        Dex::UniswapV3 => look_v3(provider, contracts, pool).await,
    }
}

async fn look_v2(
    provider: &DynProvider,
    contracts: &Contracts,
    pool: &PoolSite,
) -> Result<PoolView, TradeError> {
    let read = chain::call(provider, pool.address, &UniswapV2Pair::getReservesCall {}).await?;
    let (first, second) = (U256::from(read._reserve0), U256::from(read._reserve1));
    let depth = by_role(contracts, pool, first, second);
    let price = v2_price(depth).ok_or(TradeError::Empty(pool.address))?;
    Ok(PoolView { price, depth })
}

async fn look_v3(
    provider: &DynProvider,
    contracts: &Contracts,
    pool: &PoolSite,
) -> Result<PoolView, TradeError> {
    let slot = chain::call(provider, pool.address, &UniswapV3Pool::slot0Call {}).await?;
    let liquidity = chain::call(provider, pool.address, &UniswapV3Pool::liquidityCall {}).await?;
    let (sqrt, liquidity) = (U256::from(slot.sqrtPriceX96), U256::from(liquidity));
    let price = frame_in(contracts, pool)?.price(sqrt, Rounding::Down)?;
    // Virtual reserves: L / sqrt(P) of token0 and L sqrt(P) of token1 (V3 whitepaper, 6.2). 128 and
    // 160 bits multiply without overflow only when shifted first; the depth needs no last digit.
    let first = (liquidity << Q96_BITS).checked_div(sqrt).ok_or(TradeError::Empty(pool.address))?;
    let second = (liquidity * (sqrt >> (Q96_BITS / 2))) >> (Q96_BITS / 2);
    Ok(PoolView { price, depth: by_role(contracts, pool, first, second) })
}

/// The dollar of a pool of ether.
fn dollar(contracts: &Contracts, pool: &PoolSite) -> Result<Address, TradeError> {
    pool.other(contracts.weth).ok_or(TradeError::Foreign(pool.address))
}

fn frame_in(contracts: &Contracts, pool: &PoolSite) -> Result<PriceFrame, TradeError> {
    Ok(frame(contracts.weth, dollar(contracts, pool)?)?)
}

fn by_role(contracts: &Contracts, pool: &PoolSite, first: U256, second: U256) -> Reserves {
    if pool.token0 == contracts.weth {
        Reserves { base: first, quote: second }
    } else {
        Reserves { base: second, quote: first }
    }
}

/// Where the price of a V3 pool must stop to equal a human price.
///
/// # Errors
/// When the price is not one, or the pool has no ether.
pub fn limit_at(
    contracts: &Contracts,
    pool: &PoolSite,
    price: Decimal,
) -> Result<U256, TradeError> {
    let frame = frame_in(contracts, pool)?;
    let rounding = match frame.base() {
        Base::Token0 => Rounding::Down,
        Base::Token1 => Rounding::Up,
    };
    Ok(frame.sqrt_price_x96(price, rounding)?)
}

/// The transaction that makes a swap. Any output is accepted: these actors are simulated, and what
/// they lose to others is play money.
///
/// # Errors
/// When a number does not fit.
pub fn deed(contracts: &Contracts, trade: &Trade) -> Result<Deed, TradeError> {
    let dollar = dollar(contracts, &trade.pool)?;
    let (token_in, token_out) = match trade.given {
        Given::Base => (contracts.weth, dollar),
        Given::Quote => (dollar, contracts.weth),
    };
    let (recipient, amount_in) = (trade.from, trade.amount);
    Ok(match trade.pool.dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => {
            let router = match trade.pool.dex {
                Dex::SushiswapV2 => contracts.sushi_router,
                Dex::UniswapV2 | Dex::UniswapV3 => contracts.v2_router,
            };
            let input = uniswap_v2::swap_exact_in(&uniswap_v2::ExactInput {
                token_in,
                token_out,
                amount_in,
                amount_out_min: U256::ZERO,
                recipient,
                deadline: NO_DEADLINE,
            });
            Deed::with_input(trade.from, router, input)
        }
        Dex::UniswapV3 => {
            let input = calls::swap_exact_in(&calls::ExactInput {
                token_in,
                token_out,
                fee_pips: trade.pool.fee_pips,
                recipient,
                deadline: NO_DEADLINE,
                amount_in,
                amount_out_min: U256::ZERO,
                sqrt_price_limit_x96: trade.sqrt_price_limit_x96,
            })?;
            Deed::with_input(trade.from, contracts.swap_router, input)
        }
    })
}

/// Whether a purse had to be refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// It held enough.
    Full,
    /// Tokens were made from nothing: simulated, as only a demo can.
    Refilled,
}

/// Makes sure that an actor can give an amount.
///
/// # Errors
/// When the node is silent or refuses.
pub async fn provide(
    provider: &DynProvider,
    contracts: &Contracts,
    trade: &Trade,
) -> Result<Purse, TradeError> {
    let dollar = dollar(contracts, &trade.pool)?;
    let owner = trade.from;
    let refill = trade.amount.saturating_mul(U256::from(REFILL_FACTOR));
    let (token, deed) = match trade.given {
        Given::Base => {
            let wrap = Deed::call(owner, contracts.weth, &Weth9::depositCall {});
            (contracts.weth, Deed { value: refill, ..wrap })
        }
        Given::Quote => {
            let mint = Erc20::mintCall { to: owner, value: refill };
            (dollar, Deed::call(owner, dollar, &mint))
        }
    };
    let held = chain::call(provider, token, &Erc20::balanceOfCall(owner)).await?;
    if held >= trade.amount {
        return Ok(Purse::Full);
    }
    if !deed.value.is_zero() {
        let (): () = chain::raw(provider, "anvil_addBalance", (owner, deed.value)).await?;
    }
    chain::send(provider, &deed).await?;
    Ok(Purse::Refilled)
}
