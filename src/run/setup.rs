//! The operator's files turned into what the engine is told: names resolved, pools found on chain.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, bail, ensure};
use rust_decimal::Decimal;

use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::chain::{Chain, UrlSource};
use crate::config::pool::{Contracts, Dex, Pool};
use crate::config::strategy::{Liquidity, Range, Strategy};
use crate::config::venue::VenueKind;
use crate::engine::setup::{ChainSetup, PoolSetup, Setup, StrategySetup, TokenSetup, VenueSetup};
use crate::io::chain::ChainClient;
use crate::model::amount::raw_down;
use crate::model::intent::PoolId;
use crate::risk::gate::Limits;
use crate::strategy::{hedging, liquidity};
use crate::venues::uniswap_v3::abi::UniswapV3Pool;
use crate::venues::{uniswap_v2, uniswap_v3};

/// A book older than this is stale.
const BOOK_AGE_MAX_MS: i64 = 3_000;

/// Addresses of a configured endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// HTTP.
    pub http: String,
    /// WebSocket.
    pub ws: String,
}

/// Reads an address that may stand in an environment variable.
fn url(source: &UrlSource) -> Result<String> {
    match source {
        UrlSource::Plain(url) => Ok(url.clone()),
        UrlSource::Env(name) => {
            super::agent::variable(name).with_context(|| format!("set {name} to the endpoint"))
        }
    }
}

/// The first endpoint of a chain.
pub(super) fn endpoint(chain: &Chain) -> Result<Endpoint> {
    let first = chain.endpoints.first().context("the chain has no endpoint")?;
    Ok(Endpoint { http: url(&first.http)?, ws: url(&first.ws)? })
}

/// Resolves everything against the chains themselves.
pub(super) async fn resolve(
    config: &Config,
    signers: &BTreeMap<String, Address>,
    clients: &BTreeMap<u64, ChainClient>,
    labels: Vec<(String, String, String)>,
) -> Result<Setup> {
    let mut chains = Vec::new();
    for chain in &config.chains {
        let client = clients.get(&chain.chain_id).context("no client of the chain")?;
        let resolved = resolve_chain(config, chain, signers, client)
            .await
            .with_context(|| format!("chain {}", chain.name))?;
        chains.push(resolved);
    }
    let strategies = config
        .strategies
        .iter()
        .map(|Strategy::Liquidity(strategy)| resolve_strategy(strategy, config, &chains))
        .collect::<Result<Vec<_>>>()?;
    let limits = &config.agent.limits;
    let (base_asset, numeraire) = assets(config)?;
    let symbols: Vec<String> = config
        .strategies
        .iter()
        .map(|Strategy::Liquidity(strategy)| strategy.hedge.symbol().to_owned())
        .collect();
    let venues = venues(config, &symbols);
    let reference = reference(&venues, &symbols)?;
    Ok(Setup {
        keeper: config.agent.keeper.clone(),
        mode: mode_name(config.agent.mode).to_owned(),
        sends: matches!(config.agent.mode, Mode::Live | Mode::Demo),
        numeraire,
        base_asset,
        reference,
        chains,
        venues,
        strategies,
        limits: Limits {
            gross_exposure: limits.gross_exposure_usd,
            net_delta: limits.net_delta_usd,
            venue_exposure: limits.venue_exposure_usd,
            daily_loss: limits.daily_loss_usd,
            gas_budget_per_day: limits.gas_budget_usd_per_day,
        },
        book_age_max_ms: BOOK_AGE_MAX_MS,
        labels,
    })
}

/// The word of a mode.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Paper => "paper",
        Mode::Live => "live",
        Mode::Demo => "demo",
    }
}

/// Base and quote asset of the strategies: one of each, since one book prices everything here.
fn assets(config: &Config) -> Result<(String, String)> {
    let pair_of = |Strategy::Liquidity(strategy): &Strategy| -> Result<(String, String)> {
        let chain = config.chain(&strategy.chain).context("unknown chain")?;
        let asset = |symbol: &String| -> Result<String> {
            let token =
                chain.tokens.get(symbol).with_context(|| format!("unknown token {symbol}"))?;
            Ok(token.asset.clone())
        };
        Ok((asset(&strategy.pool.base)?, asset(&strategy.pool.quote)?))
    };
    let mut pairs = config.strategies.iter().map(pair_of);
    let first = pairs.next().context("no strategy is configured")??;
    for pair in pairs {
        let pair = pair?;
        let ((base, quote), (other, in_quote)) = (&first, &pair);
        ensure!(
            pair == first,
            "strategies on {base}/{quote} and {other}/{in_quote}: one pair at a time for now"
        );
    }
    Ok(first)
}

fn venues(config: &Config, symbols: &[String]) -> Vec<VenueSetup> {
    let venue = |(name, venue): (&String, &crate::config::venue::Venue)| VenueSetup {
        name: name.clone(),
        kind: match venue.kind {
            VenueKind::BinanceSpot => "binance_spot",
            VenueKind::BinanceUsdm { .. } => "binance_usdm",
        }
        .to_owned(),
        symbols: symbols.to_vec(),
        is_perpetual: matches!(venue.kind, VenueKind::BinanceUsdm { .. }),
    };
    config.agent.venues.iter().map(venue).collect()
}

/// The spot book prices the base asset; without one, the perpetual does.
fn reference(venues: &[VenueSetup], symbols: &[String]) -> Result<(String, String)> {
    let venue = venues.iter().find(|v| !v.is_perpetual).or_else(|| venues.first());
    let venue = venue.context("no venue is configured: nothing prices the pools")?;
    let symbol = symbols.first().context("no market is configured")?;
    Ok((venue.name.clone(), symbol.clone()))
}

async fn resolve_chain(
    config: &Config,
    chain: &Chain,
    signers: &BTreeMap<String, Address>,
    client: &ChainClient,
) -> Result<ChainSetup> {
    let found = client.chain_id().await?;
    ensure!(
        found == chain.chain_id,
        "the endpoint is chain {found}, the file says {}",
        chain.chain_id
    );
    let strategy = config.strategies.iter().map(|Strategy::Liquidity(s)| s);
    let on_chain = strategy.filter(|s| s.chain == chain.name).collect::<Vec<_>>();
    ensure!(
        on_chain.len() <= 1,
        "one strategy on a chain for now, the files have {}",
        on_chain.len()
    );
    let name = &on_chain.first().context("no strategy uses this chain")?.signer;
    let signer = *signers.get(name).with_context(|| format!("signer {name} has no key"))?;
    let v3 = chain.dexes.get(&Dex::UniswapV3).context("needs [dex.uniswap_v3]")?;
    let tokens = chain
        .tokens
        .iter()
        .map(|(symbol, token)| TokenSetup {
            address: token.address,
            symbol: symbol.clone(),
            decimals: u32::from(token.decimals),
            asset: token.asset.clone(),
        })
        .collect();
    let mut pools = Vec::new();
    for pool in &chain.pools {
        let contracts = chain.dexes.get(&pool.dex).context("the pool's dex is not configured")?;
        pools.push(resolve_pool(chain, pool, contracts, client).await?);
    }
    let gwei = |value: Decimal| -> Result<u128> {
        let wei = raw_down(value, 9).and_then(|wei: U256| u128::try_from(wei).ok());
        wei.context("a gas price does not fit")
    };
    let milliseconds = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Ok(ChainSetup {
        chain: chain.chain_id,
        name: chain.name.clone(),
        signer,
        position_manager: v3.position_manager.context("needs position_manager")?,
        swap_router: v3.router.context("needs router")?,
        tokens,
        pools,
        stale_after_ms: milliseconds(chain.ingest.stale_after_ms),
        block_time_ms: milliseconds(chain.ingest.block_time_ms),
        max_fee: gwei(chain.gas.max_fee_gwei)?,
        max_priority_fee: gwei(chain.gas.max_priority_gwei)?,
        final_after_blocks: chain.finality.reorg_window_blocks,
    })
}

/// Finds a pool by its factory and proves that there is one.
async fn resolve_pool(
    chain: &Chain,
    pool: &Pool,
    contracts: &Contracts,
    client: &ChainClient,
) -> Result<PoolSetup> {
    let token = |symbol: &String| -> Result<Address> {
        let token = chain.tokens.get(symbol).with_context(|| format!("unknown token {symbol}"))?;
        Ok(token.address)
    };
    let (base, quote) = (token(&pool.base)?, token(&pool.quote)?);
    let (token0, token1) = if base < quote { (base, quote) } else { (quote, base) };
    let at = client.latest().await?.header.hash;
    let pair = format!("{}/{}", pool.base, pool.quote);
    let (dex, address, tick_spacing) = match pool.dex {
        Dex::UniswapV2 => {
            ("uniswap_v2", uniswap_v2::pair_address(contracts.factory, base, quote), 1)
        }
        Dex::UniswapV3 => {
            let address = uniswap_v3::pool_address(contracts.factory, base, quote, pool.fee_pips);
            let spacing = client.view(address, &UniswapV3Pool::tickSpacingCall {}, at).await;
            let spacing = spacing.with_context(|| {
                format!(
                    "no {pair} pool of {} pips at {address}: check factory and fee",
                    pool.fee_pips
                )
            })?;
            ("uniswap_v3", address, spacing.as_i32())
        }
    };
    Ok(PoolSetup {
        address,
        dex: dex.to_owned(),
        pair,
        fee_pips: pool.fee_pips,
        tick_spacing,
        token0,
        token1,
        base_is_token0: token0 == base,
    })
}

fn resolve_strategy(
    strategy: &Liquidity,
    config: &Config,
    chains: &[ChainSetup],
) -> Result<StrategySetup> {
    let chain = config.chain(&strategy.chain).context("unknown chain")?;
    let setup = chains.iter().find(|c| c.chain == chain.chain_id).context("unknown chain")?;
    let pair = format!("{}/{}", strategy.pool.base, strategy.pool.quote);
    let pool = setup
        .pools
        .iter()
        .find(|p| p.dex == "uniswap_v3" && p.pair == pair && p.fee_pips == strategy.pool.fee_pips)
        .context("the strategy's pool is not in the chain's allow list")?;
    let Range::Fixed { half_width_pct } = strategy.range;
    let rebalance = &strategy.rebalance;
    let milliseconds = |s: u64| i64::try_from(s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    if strategy.capital.budget_usd <= Decimal::ZERO {
        bail!("budget_usd must be positive");
    }
    Ok(StrategySetup {
        sends: strategy.stage.sends_in(config.agent.mode),
        liquidity: liquidity::Parameters {
            strategy: strategy.id.clone(),
            pool: PoolId { chain: chain.chain_id, address: pool.address },
            budget: strategy.capital.budget_usd,
            half_width_pct,
            horizon_h: Decimal::from(rebalance.horizon_h),
            min_gain_over_cost: rebalance.min_gain_over_cost,
            min_dwell_ms: milliseconds(rebalance.min_dwell_s),
            moves_per_day_max: rebalance.max_per_day,
            max_slippage_bps: rebalance.max_slippage_bps,
            max_pool_vs_reference_bps: rebalance.max_pool_vs_reference_bps,
        },
        hedge: hedging::Parameters {
            strategy: strategy.id.clone(),
            venue: strategy.hedge.venue.clone(),
            symbol: strategy.hedge.symbol().to_owned(),
            target_delta_fraction: strategy.hedge.target_delta_fraction,
            band_min: strategy.hedge.band_min_usd,
            band_max: strategy.hedge.band_max_usd,
            unhedged_ms_max: milliseconds(strategy.hedge.max_unhedged_s),
        },
    })
}
