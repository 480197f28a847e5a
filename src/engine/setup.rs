//! What the operator's files mean to the engine: names resolved, units fixed, nothing secret.

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::engine::figures::NATIVE_DECIMALS;
use crate::market::pools::v4::key::PoolKey;
use crate::model::chain::PoolAddress;
use crate::risk::gate::Limits;
use crate::strategy::{arbitrage, cex_dex, hedging, liquidity, market_making};

/// The exchange on which liquidity is provided, and whose router swaps for us.
const UNISWAP_V3: &str = "uniswap_v3";

/// Everything the engine is told once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Keeper's name.
    pub keeper: String,
    /// Mode as configured: observe, paper, live or demo.
    pub mode: String,
    /// False when decisions are recorded and nothing is sent.
    pub sends: bool,
    /// The unit of value; the quote of every market here.
    pub numeraire: String,
    /// The asset priced by the reference book.
    pub base_asset: String,
    /// Book that prices the base asset: venue and symbol.
    pub reference: (String, String),
    /// Chains.
    pub chains: Vec<ChainSetup>,
    /// Venues.
    pub venues: Vec<VenueSetup>,
    /// Strategies; the first ones come first wherever they compete for a lane.
    pub strategies: Vec<StrategySetup>,
    /// Hedges, one per market.
    pub hedges: Vec<HedgeSetup>,
    /// Limits over all of them.
    pub limits: Limits,
    /// A book without an update for so long is stale.
    pub book_age_max_ms: i64,
    /// What is recorded, simulated or assumed: (what, kind, text).
    pub labels: Vec<(String, String, String)>,
}

/// One chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChainSetup {
    /// EIP-155 id.
    pub chain: u64,
    /// Operator's name.
    pub name: String,
    /// Asset of the native coin, which pays for gas.
    pub native: String,
    /// Our address.
    pub signer: Address,
    /// `NonfungiblePositionManager`.
    pub position_manager: Address,
    /// What swaps for us; a chain without liquidity of ours needs none.
    pub router: Option<Router>,
    /// Our contract for cycles, when the chain has one.
    pub executor: Option<Address>,
    /// Tokens we hold or trade.
    pub tokens: Vec<TokenSetup>,
    /// Pools we watch.
    pub pools: Vec<PoolSetup>,
    /// No head for so long is stale.
    pub stale_after_ms: i64,
    /// Expected time between blocks.
    pub block_time_ms: i64,
    /// Cap on the fee per gas, wei.
    pub max_fee: u128,
    /// Tip per gas, wei.
    pub max_priority_fee: u128,
    /// Blocks after which a transaction counts as final.
    pub final_after_blocks: u64,
    /// Native coin below which only what lowers risk is done, wei.
    pub min_native: U256,
    /// Native coin that only exits may use, wei.
    pub exit_reserve: U256,
}

/// Uniswap's contract that swaps in V3 pools: two of them take different calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Router {
    /// `SwapRouter`: an order holds its deadline.
    SwapRouter(Address),
    /// `SwapRouter02`: the deadline stands around the orders.
    SwapRouter02(Address),
}

impl Router {
    /// Where it is.
    pub fn address(self) -> Address {
        match self {
            Self::SwapRouter(address) | Self::SwapRouter02(address) => address,
        }
    }
}

/// One token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenSetup {
    /// Contract.
    pub address: Address,
    /// Operator's name.
    pub symbol: String,
    /// Decimal places.
    pub decimals: u32,
    /// Economic asset.
    pub asset: String,
}

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolSetup {
    /// Contract or, of V4, id.
    pub address: PoolAddress,
    /// V4's `PoolManager`, which holds the pool; the others hold themselves.
    pub manager: Option<Address>,
    /// What the id is the hash of; V4 alone has one.
    pub key: Option<PoolKey>,
    /// `uniswap_v2`, `sushiswap_v2`, `uniswap_v3`, `sushiswap_v3`, `uniswap_v4`.
    pub dex: String,
    /// How it prices.
    pub curve: Curve,
    /// The executor's number of the exchange, when it may trade there.
    pub executor_dex: Option<u8>,
    /// For people.
    pub pair: String,
    /// Swap fee; where hooks set it, the one of the start.
    pub fee_pips: u32,
    /// Grid of ranges; 1 for pools without ticks.
    pub tick_spacing: i32,
    /// token0; the zero address is the native coin, in V4 alone.
    pub token0: Address,
    /// token1.
    pub token1: Address,
    /// True when token0 is the base asset.
    pub base_is_token0: bool,
}

impl PoolSetup {
    /// Whether Uniswap V3's own contracts work on it: its positions and its router know no other
    /// exchange's pools, of whichever curve.
    pub fn is_uniswap_v3(&self) -> bool {
        self.dex == UNISWAP_V3
    }
}

impl PoolSetup {
    /// What tells it from other pools of its exchange and pair, as the operator's files have it.
    pub fn terms(&self) -> String {
        self.key.map_or_else(|| self.fee_pips.to_string(), |key| key.terms())
    }
}

/// How a pool prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// Constant product.
    V2,
    /// Concentrated liquidity.
    V3,
    /// The same with another split of the fee, and hooks.
    V4,
}

/// One venue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VenueSetup {
    /// Operator's name.
    pub name: String,
    /// `binance_spot` or `binance_usdm`.
    pub kind: String,
    /// Symbols watched.
    pub symbols: Vec<String>,
    /// True when it trades perpetuals.
    pub is_perpetual: bool,
}

/// The version of a strategy's file as it was first seen.
pub const FIRST_VERSION: u64 = 1;

/// A run of a program without versions had its files as they were first seen.
fn first_version() -> u64 {
    FIRST_VERSION
}

/// One strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StrategySetup {
    /// Unique name.
    pub id: String,
    /// Version of its file, from 1.
    #[serde(default = "first_version")]
    pub version: u64,
    /// False when its stage only observes.
    pub sends: bool,
    /// Its money, numeraire.
    pub budget: Decimal,
    /// What it does.
    pub kind: StrategyKind,
}

/// What a strategy does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum StrategyKind {
    /// One concentrated position.
    Liquidity(liquidity::Parameters),
    /// Cycles over the pools of a chain.
    Arbitrage(arbitrage::Parameters),
    /// Pools of a chain against a spot book.
    CexDex(cex_dex::Parameters),
    /// Two-sided quotes on a spot book.
    MarketMaking(market_making::Parameters),
}

impl StrategySetup {
    /// The chain it acts on; `None` for strategies of venues.
    pub fn chain(&self) -> Option<u64> {
        match &self.kind {
            StrategyKind::Liquidity(liquidity) => Some(liquidity.pool.chain),
            StrategyKind::Arbitrage(arbitrage) => Some(arbitrage.chain),
            StrategyKind::CexDex(legs) => Some(legs.chain),
            StrategyKind::MarketMaking(_) => None,
        }
    }

    /// Its parameters, when it makes a market.
    pub fn making(&self) -> Option<&market_making::Parameters> {
        match &self.kind {
            StrategyKind::MarketMaking(making) => Some(making),
            _ => None,
        }
    }

    /// The spot account it holds base on, and how much of it is no exposure of its own.
    pub fn inventory(&self) -> Option<(&str, Decimal)> {
        match &self.kind {
            StrategyKind::MarketMaking(making) => Some((&making.venue, making.target_inventory)),
            StrategyKind::CexDex(legs) => Some((&legs.venue, legs.target_inventory)),
            StrategyKind::Liquidity(_) | StrategyKind::Arbitrage(_) => None,
        }
    }

    /// Its parameters, when it provides liquidity.
    pub fn liquidity(&self) -> Option<&liquidity::Parameters> {
        match &self.kind {
            StrategyKind::Liquidity(liquidity) => Some(liquidity),
            _ => None,
        }
    }
}

/// The hedge of one market, netting the delta of every chain it stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HedgeSetup {
    /// False when its owner's stage only observes.
    pub sends: bool,
    /// Market, band and owner.
    pub parameters: hedging::Parameters,
    /// Chains whose delta it nets.
    pub chains: Vec<u64>,
    /// Strategies whose spot account it nets, away from its target.
    pub accounts: Vec<String>,
}

impl Setup {
    /// True when our accounts are pretended: what others see holds nothing of ours.
    pub fn is_paper(&self) -> bool {
        self.mode == "paper"
    }

    /// A chain whose gas has no price here: the reference book prices the base asset, and this
    /// chain's coin is another one.
    pub fn unpriced(&self) -> Option<&ChainSetup> {
        self.chains.iter().find(|chain| chain.native != self.base_asset)
    }

    /// Pools of a chain in which strategies provide liquidity.
    pub fn provided(&self, chain: u64) -> impl Iterator<Item = PoolAddress> {
        let pools = self.strategies.iter().filter_map(|strategy| Some(strategy.liquidity()?.pool));
        pools.filter(move |pool| pool.chain == chain).map(|pool| pool.address)
    }
}

impl ChainSetup {
    /// How many blocks take at least `ms`; never fewer than `least`.
    pub fn blocks_in(&self, ms: u64, least: u64) -> u64 {
        let block_time_ms = u64::try_from(self.block_time_ms).unwrap_or(0).max(1);
        ms.div_ceil(block_time_ms).max(least)
    }

    /// A token by address.
    pub fn token(&self, address: Address) -> Option<&TokenSetup> {
        self.tokens.iter().find(|token| token.address == address)
    }

    /// A token by the operator's name.
    pub fn token_named(&self, symbol: &str) -> Option<&TokenSetup> {
        self.tokens.iter().find(|token| token.symbol == symbol)
    }

    /// Decimal places of a token or, for the zero address, of the native coin.
    pub fn decimals(&self, of: Address) -> Option<u32> {
        if of.is_zero() { Some(NATIVE_DECIMALS) } else { Some(self.token(of)?.decimals) }
    }

    /// A pool by what names it.
    pub fn pool(&self, address: impl Into<PoolAddress>) -> Option<&PoolSetup> {
        let address = address.into();
        self.pools.iter().find(|pool| pool.address == address)
    }
}
