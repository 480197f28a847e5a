//! What the world's simulated actors do to a pool: look at it, swap in it, refill their purses.

use alloy::primitives::{Address, U256, uint};
use alloy::providers::DynProvider;
use rust_decimal::Decimal;
use thiserror::Error;

use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::{AmmError, Rounding};
use crate::model::chain::PoolAddress;
use crate::venues::erc20::{Erc20, Weth9};
use crate::venues::executor::FeeTooLarge;
use crate::venues::uniswap_v2;
use crate::venues::uniswap_v2::abi::UniswapV2Pair;
use crate::venues::uniswap_v3::abi::UniswapV3Pool;
use crate::venues::uniswap_v3::calls::{self, EncodeError};
use crate::world::chain::{self, ChainError, Deed, NO_DEADLINE};
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::price::{Given, Reserves, frame, v2_price};
use crate::world::v4::{self, NATIVE};

/// A refill is this many times what is needed now, so that refills stay rare.
const REFILL_FACTOR: u64 = 20;
/// Native coin that an actor keeps for gas: one ether.
const GAS_RESERVE: U256 = uint!(1_000_000_000_000_000_000_U256);
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
    /// The same for a contract of V4.
    #[error("calldata of V4")]
    V4(#[from] v4::EncodeError),
    /// The pool has no price.
    #[error("pool price")]
    Amm(#[from] AmmError),
    /// A fee does not fit the executor's calldata.
    #[error("calldata of the executor")]
    Executor(#[from] FeeTooLarge),
    /// The pool holds no ether: nobody here trades it.
    #[error("pool {0} has no ether")]
    Foreign(PoolAddress),
    /// The pool is empty.
    #[error("pool {0} has no liquidity")]
    Empty(PoolAddress),
    /// The pool is no contract, though its exchange has a contract for each.
    #[error("pool {0} has no contract of its own")]
    NoContract(PoolAddress),
}

/// A pool as it stands at the latest block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Test dollars per ether.
    pub price: Decimal,
    /// Tokens behind the present price, raw; in a pool with ticks the virtual ones of the range in
    /// force.
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
    /// Where the price stops; zero for no limit. A V2 pair knows no limit.
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
        Dex::UniswapV3 | Dex::SushiswapV3 => look_v3(provider, contracts, pool).await,
        Dex::UniswapV4 => look_v4(provider, contracts, pool).await,
    }
}

async fn look_v2(
    provider: &DynProvider,
    contracts: &Contracts,
    pool: &PoolSite,
) -> Result<PoolView, TradeError> {
    let pair = contract(pool)?;
    let read = chain::call(provider, pair, &UniswapV2Pair::getReservesCall {}).await?;
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
    let at = contract(pool)?;
    let slot = chain::call(provider, at, &UniswapV3Pool::slot0Call {}).await?;
    let liquidity = chain::call(provider, at, &UniswapV3Pool::liquidityCall {}).await?;
    view_of(contracts, pool, U256::from(slot.sqrtPriceX96), liquidity)
}

async fn look_v4(
    provider: &DynProvider,
    contracts: &Contracts,
    pool: &PoolSite,
) -> Result<PoolView, TradeError> {
    let id = v4::key(pool).id();
    let (sqrt, liquidity) = v4::state(provider, contracts.v4.state_view, id).await?;
    view_of(contracts, pool, sqrt, liquidity)
}

/// What a pool with ticks shows.
fn view_of(
    contracts: &Contracts,
    pool: &PoolSite,
    sqrt: U256,
    liquidity: u128,
) -> Result<PoolView, TradeError> {
    let price = frame_in(contracts, pool)?.price(sqrt, Rounding::Down)?;
    let liquidity = U256::from(liquidity);
    // Virtual reserves: L / sqrt(P) of token0 and L sqrt(P) of token1 (V3 whitepaper, 6.2). 128 and
    // 160 bits multiply without overflow only when shifted first; the depth needs no last digit.
    let first = (liquidity << Q96_BITS).checked_div(sqrt).ok_or(TradeError::Empty(pool.address))?;
    let second = (liquidity * (sqrt >> (Q96_BITS / 2))) >> (Q96_BITS / 2);
    Ok(PoolView { price, depth: by_role(contracts, pool, first, second) })
}

/// A pool's own contract.
fn contract(pool: &PoolSite) -> Result<Address, TradeError> {
    pool.address.contract().ok_or(TradeError::NoContract(pool.address))
}

/// The ether of a pool, wrapped or native, and its dollar.
fn tokens(contracts: &Contracts, pool: &PoolSite) -> Result<(Address, Address), TradeError> {
    pool.ether_and_other(contracts.weth).ok_or(TradeError::Foreign(pool.address))
}

fn frame_in(contracts: &Contracts, pool: &PoolSite) -> Result<PriceFrame, TradeError> {
    let (ether, dollar) = tokens(contracts, pool)?;
    Ok(frame(ether, dollar)?)
}

fn by_role(contracts: &Contracts, pool: &PoolSite, first: U256, second: U256) -> Reserves {
    if [contracts.weth, NATIVE].contains(&pool.token0) {
        Reserves { base: first, quote: second }
    } else {
        Reserves { base: second, quote: first }
    }
}

/// Where the price of a pool with ticks must stop to equal a human price.
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
    let (ether, dollar) = tokens(contracts, &trade.pool)?;
    let (token_in, token_out) = match trade.given {
        Given::Base => (ether, dollar),
        Given::Quote => (dollar, ether),
    };
    let Trade { from: recipient, amount: amount_in, sqrt_price_limit_x96, .. } = *trade;
    let router = router(contracts, trade.pool.dex);
    Ok(match trade.pool.dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => {
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
        Dex::UniswapV3 | Dex::SushiswapV3 => {
            let input = calls::swap_exact_in(&calls::ExactInput {
                token_in,
                token_out,
                fee_pips: trade.pool.fee_pips,
                recipient,
                deadline: NO_DEADLINE,
                amount_in,
                amount_out_min: U256::ZERO,
                sqrt_price_limit_x96,
            })?;
            Deed::with_input(trade.from, router, input)
        }
        Dex::UniswapV4 => {
            let key = v4::key(&trade.pool);
            let swap = v4::ExactInput { key, token_in, amount_in, sqrt_price_limit_x96 };
            let value = if token_in == NATIVE { amount_in } else { U256::ZERO };
            Deed { value, ..Deed::with_input(trade.from, router, v4::swap_exact_in(&swap)?) }
        }
    })
}

/// What swaps in the pools of an exchange.
fn router(contracts: &Contracts, dex: Dex) -> Address {
    match dex {
        Dex::UniswapV2 => contracts.v2_router,
        Dex::SushiswapV2 => contracts.sushi_router,
        Dex::UniswapV3 => contracts.swap_router,
        Dex::SushiswapV3 => contracts.sushi_v3.router,
        Dex::UniswapV4 => contracts.v4.swap_test,
    }
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
    let (ether, dollar) = tokens(contracts, &trade.pool)?;
    let owner = trade.from;
    let refill = trade.amount.saturating_mul(U256::from(REFILL_FACTOR));
    let (token, deed) = match trade.given {
        Given::Base if ether == NATIVE => return provide_coins(provider, trade, refill).await,
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
    // Others of the same block may spend of it too.
    if held >= trade.amount.saturating_mul(U256::from(4)) {
        return Ok(Purse::Full);
    }
    if !deed.value.is_zero() {
        let (): () = chain::raw(provider, "anvil_addBalance", (owner, deed.value)).await?;
    }
    chain::send(provider, &deed).await?;
    Ok(Purse::Refilled)
}

/// The same for a swap that gives the native coin.
async fn provide_coins(
    provider: &DynProvider,
    trade: &Trade,
    refill: U256,
) -> Result<Purse, TradeError> {
    let held: U256 = chain::raw(provider, "eth_getBalance", (trade.from, "latest")).await?;
    if held >= trade.amount.saturating_add(GAS_RESERVE) {
        return Ok(Purse::Full);
    }
    let refill = refill.saturating_add(GAS_RESERVE);
    let (): () = chain::raw(provider, "anvil_addBalance", (trade.from, refill)).await?;
    Ok(Purse::Refilled)
}
