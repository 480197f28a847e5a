//! The operator's strategies as the engine is told them.

use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;

use super::milliseconds;
use crate::config::Config;
use crate::config::arbitrage::Arbitrage;
use crate::config::cex_dex::CexDex;
use crate::config::liquidity::{Liquidity, Range};
use crate::config::market_making::MarketMaking;
use crate::config::strategy::{Seat, Strategy};
use crate::engine::setup::{ChainSetup, StrategyKind, StrategySetup};
use crate::math::quoting::estimate;
use crate::model::intent::PoolId;
use crate::strategy::{arbitrage, cex_dex, liquidity, market_making};

/// Gas of a cycle besides its legs, and of one leg. Together they cover every cycle that the
/// contract's own tests measure (`contracts/snapshots/Executor.json`): at most 242,393 for two legs
/// (both V3) and 291,214 for three (one V3).
const GAS_PER_CYCLE: u64 = 60_000;
const GAS_PER_LEG: u64 = 95_000;
/// One strategy as the engine is told; `version` is that of its file.
pub(in crate::run) fn resolve(
    strategy: &Strategy,
    config: &Config,
    chains: &[ChainSetup],
    version: u64,
) -> Result<StrategySetup> {
    let head = strategy.head();
    let setup_of = |seat: &Seat| {
        let chain = config.chain(&seat.chain).context("unknown chain")?.chain_id;
        chains.iter().find(|c| c.chain == chain).context("unknown chain")
    };
    let (budget, kind) = match strategy {
        Strategy::Liquidity(liquidity) => {
            let setup = setup_of(&liquidity.seat)?;
            let budget = liquidity.capital.budget_usd;
            (budget, StrategyKind::Liquidity(resolve_liquidity(liquidity, setup)?))
        }
        Strategy::Arbitrage(arbitrage) => {
            let setup = setup_of(&arbitrage.seat)?;
            let budget = arbitrage.capital.budget_usd;
            (budget, StrategyKind::Arbitrage(resolve_arbitrage(arbitrage, setup)?))
        }
        Strategy::CexDex(cex_dex) => {
            let setup = setup_of(&cex_dex.seat)?;
            let budget = cex_dex.capital.budget_usd;
            (budget, StrategyKind::CexDex(resolve_cex_dex(cex_dex, config, setup)?))
        }
        Strategy::MarketMaking(making) => {
            let budget = making.capital.budget_usd;
            (budget, StrategyKind::MarketMaking(resolve_making(making, config)?))
        }
    };
    ensure!(budget > Decimal::ZERO, "budget_usd must be positive");
    let sends = head.stage.sends_in(config.agent.mode);
    Ok(StrategySetup { id: head.id.clone(), version, sends, budget, kind })
}

fn resolve_liquidity(strategy: &Liquidity, setup: &ChainSetup) -> Result<liquidity::Parameters> {
    let pair = format!("{}/{}", strategy.pool.base, strategy.pool.quote);
    let pool = setup
        .pools
        .iter()
        .find(|p| p.is_uniswap_v3() && p.pair == pair && p.fee_pips == strategy.pool.fee_pips)
        .context("the strategy's pool is not in the chain's allow list")?;
    let Range::Fixed { half_width_pct } = strategy.range;
    let rebalance = &strategy.rebalance;
    Ok(liquidity::Parameters {
        strategy: strategy.head.id.clone(),
        pool: PoolId { chain: setup.chain, address: pool.address },
        budget: strategy.capital.budget_usd,
        half_width_pct,
        horizon_h: Decimal::from(rebalance.horizon_h),
        min_gain_over_cost: rebalance.min_gain_over_cost,
        min_dwell_ms: milliseconds(rebalance.min_dwell_s),
        moves_per_day_max: rebalance.max_per_day,
        max_slippage_bps: rebalance.max_slippage_bps,
        max_pool_vs_reference_bps: rebalance.max_pool_vs_reference_bps,
    })
}

fn resolve_arbitrage(strategy: &Arbitrage, setup: &ChainSetup) -> Result<arbitrage::Parameters> {
    let token = |symbol: &String| {
        let token = setup.token_named(symbol);
        token.map(|t| t.address).with_context(|| format!("unknown token {symbol}"))
    };
    let search = &strategy.search;
    Ok(arbitrage::Parameters {
        strategy: strategy.head.id.clone(),
        chain: setup.chain,
        legs_max: search.legs_max,
        min_net: search.min_net_usd,
        budget: strategy.capital.budget_usd,
        slippage_bps: search.slippage_bps,
        gas_per_leg: GAS_PER_LEG,
        gas_base: GAS_PER_CYCLE,
        start_tokens: search.start_tokens.iter().map(token).collect::<Result<_>>()?,
    })
}

fn resolve_cex_dex(
    strategy: &CexDex,
    config: &Config,
    setup: &ChainSetup,
) -> Result<cex_dex::Parameters> {
    let venue = config.agent.venues.get(&strategy.venue).context("unknown venue")?;
    Ok(cex_dex::Parameters {
        strategy: strategy.head.id.clone(),
        chain: setup.chain,
        venue: strategy.venue.clone(),
        symbol: strategy.market.clone(),
        budget: strategy.capital.budget_usd,
        min_net: strategy.search.min_net_usd,
        slippage_bps: strategy.search.slippage_bps,
        taker_fee_bps: venue.taker_fee_bps,
        target_inventory: strategy.search.target_inventory,
        max_loss_bps: strategy.unwind.max_loss_bps,
        unwind_ms: milliseconds(strategy.unwind.max_s),
    })
}

fn resolve_making(making: &MarketMaking, config: &Config) -> Result<market_making::Parameters> {
    let venue = config.agent.venues.get(&making.venue).context("unknown venue")?;
    let quotes = &making.quotes;
    Ok(market_making::Parameters {
        strategy: making.head.id.clone(),
        venue: making.venue.clone(),
        symbol: making.market.clone(),
        budget: making.capital.budget_usd,
        quote_quantity: quotes.quantity,
        max_inventory: quotes.max_inventory,
        target_inventory: quotes.target_inventory,
        gamma: estimate(quotes.gamma),
        kappa: estimate(quotes.kappa),
        intensity_a: estimate(quotes.intensity_per_s),
        min_half_spread_bps: quotes.min_half_spread_bps,
        max_half_spread_bps: quotes.max_half_spread_bps,
        maker_fee_bps: venue.maker_fee_bps,
        ttl_ms: milliseconds(quotes.ttl_s),
        refresh_bps: quotes.refresh_bps,
        volatility_window_ms: milliseconds(quotes.volatility_window_s),
    })
}
