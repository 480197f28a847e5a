//! What the operator's files mean to the engine: names resolved, units fixed, nothing secret.

use alloy::primitives::Address;

use crate::risk::gate::Limits;
use crate::strategy::{hedging, liquidity};

/// Everything the engine is told once.
#[derive(Clone, Debug)]
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
    /// Strategies.
    pub strategies: Vec<StrategySetup>,
    /// Limits over all of them.
    pub limits: Limits,
    /// A book without an update for so long is stale.
    pub book_age_max_ms: i64,
    /// What is recorded, simulated or assumed: (what, kind, text).
    pub labels: Vec<(String, String, String)>,
}

/// One chain.
#[derive(Clone, Debug)]
pub struct ChainSetup {
    /// EIP-155 id.
    pub chain: u64,
    /// Operator's name.
    pub name: String,
    /// Our address.
    pub signer: Address,
    /// `NonfungiblePositionManager`.
    pub position_manager: Address,
    /// `SwapRouter`.
    pub swap_router: Address,
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
}

/// One token.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub struct PoolSetup {
    /// Contract.
    pub address: Address,
    /// `uniswap_v2`, `uniswap_v3`.
    pub dex: String,
    /// For people.
    pub pair: String,
    /// Swap fee.
    pub fee_pips: u32,
    /// Grid of ranges; 1 for pools without ticks.
    pub tick_spacing: i32,
    /// token0.
    pub token0: Address,
    /// token1.
    pub token1: Address,
    /// True when token0 is the base asset.
    pub base_is_token0: bool,
}

/// One venue.
#[derive(Clone, Debug)]
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

/// One strategy with its hedge.
#[derive(Clone, Debug)]
pub struct StrategySetup {
    /// False when its stage only observes.
    pub sends: bool,
    /// Liquidity.
    pub liquidity: liquidity::Parameters,
    /// Hedge of its delta.
    pub hedge: hedging::Parameters,
}

impl ChainSetup {
    /// A token by address.
    pub fn token(&self, address: Address) -> Option<&TokenSetup> {
        self.tokens.iter().find(|token| token.address == address)
    }

    /// A pool by address.
    pub fn pool(&self, address: Address) -> Option<&PoolSetup> {
        self.pools.iter().find(|pool| pool.address == address)
    }
}
