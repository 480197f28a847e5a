//! The operator's files turned into what the engine is told: names resolved, pools found on chain.

mod discovery;
mod pools;
mod strategies;
pub(crate) mod survey;
mod tokens;

pub(crate) use pools::find_pool;
pub(super) use strategies::resolve as resolve_strategy;

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use rust_decimal::Decimal;

use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::chain::{Chain, UrlSource};
use crate::config::hedge::HedgeBy;
use crate::config::liquidity::Liquidity;
use crate::config::pool::{Contracts, Dex, Pool};
use crate::config::strategy::Strategy;
use crate::config::venue::VenueKind;
use crate::engine::setup::{
    ChainSetup, Curve, HedgeSetup, PoolSetup, Router, Setup, TokenSetup, VenueSetup,
};
use crate::io::chain::ChainClient;
use crate::model::amount::raw_down;
use crate::risk::gate::Limits;
use crate::run::editor::Versions;
use crate::run::setup::discovery::Discovered;
pub(super) use crate::run::setup::discovery::Hunt;
use crate::store::Store;
use crate::strategy::hedging;
use crate::venues::executor::{self, Executor};

/// Pools that are looked for at once.
pub(crate) const FOUND_AT_ONCE: usize = 16;
/// Most exchanges read from an executor.
const DEXES_MAX: u64 = 255;
/// A book older than this is stale.
const BOOK_AGE_MAX_MS: i64 = 3_000;

/// Addresses of a configured endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// HTTP.
    pub http: String,
    /// WebSocket.
    pub ws: String,
    /// Most requests per second.
    pub max_requests_per_s: u32,
}

/// Reads an address that may stand in an environment variable.
pub(crate) fn url(source: &UrlSource) -> Result<String> {
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
    let max_requests_per_s = first.max_requests_per_s;
    Ok(Endpoint { http: url(&first.http)?, ws: url(&first.ws)?, max_requests_per_s })
}

/// Resolves everything against the chains themselves.
pub(super) async fn resolve(
    config: &Config,
    signers: &BTreeMap<String, Address>,
    clients: &BTreeMap<u64, ChainClient>,
    store: &Store,
    versions: &Versions,
    mut labels: Vec<(String, String, String)>,
) -> Result<(Setup, Vec<Hunt>)> {
    let (mut chains, mut hunts) = (Vec::new(), Vec::new());
    for chain in &config.chains {
        let client = clients.get(&chain.chain_id).context("no client of the chain")?;
        let resolved = resolve_chain(config, chain, signers, client, store).await;
        let (resolved, trouble, rest) =
            resolved.with_context(|| format!("chain {}", chain.name))?;
        chains.push(resolved);
        let told = |why| (format!("pools of {}", chain.name), "incomplete".into(), why);
        labels.extend(trouble.map(told));
        hunts.extend(rest);
    }
    let strategies = config
        .strategies
        .iter()
        .map(|strategy| {
            let known = versions.get(strategy.id()).context("a file without a version")?;
            strategies::resolve(strategy, config, &chains, known.version)
        })
        .collect::<Result<Vec<_>>>()?;
    let hedges = hedges(config)?;
    let limits = &config.agent.limits;
    let (base_asset, numeraire) = assets(config)?;
    let mut symbols: Vec<String> = Vec::new();
    for hedge in &hedges {
        if !symbols.contains(&hedge.parameters.symbol) {
            symbols.push(hedge.parameters.symbol.clone());
        }
    }
    let venues = venues(config, &symbols);
    let reference = reference(&venues, &symbols)?;
    let setup = Setup {
        keeper: config.agent.keeper.clone(),
        mode: mode_name(config.agent.mode).to_owned(),
        sends: config.agent.mode != Mode::Observe,
        numeraire,
        base_asset,
        reference,
        chains,
        venues,
        strategies,
        hedges,
        limits: Limits {
            gross_exposure: limits.gross_exposure_usd,
            net_delta: limits.net_delta_usd,
            venue_exposure: limits.venue_exposure_usd,
            daily_loss: limits.daily_loss_usd,
            gas_budget_per_day: limits.gas_budget_usd_per_day,
        },
        book_age_max_ms: BOOK_AGE_MAX_MS,
        labels,
    };
    if let Some(ChainSetup { name, native, .. }) = setup.unpriced() {
        let base = &setup.base_asset;
        bail!(
            "gas on {name} is paid in {native}, and only {base} has a price here: \
             trade {native} there, or take {name} out of the files"
        );
    }
    Ok((setup, hunts))
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

/// The strategies that provide liquidity.
fn liquidity(config: &Config) -> impl Iterator<Item = &Liquidity> {
    config.strategies.iter().filter_map(|strategy| match strategy {
        Strategy::Liquidity(liquidity) => Some(liquidity),
        _ => None,
    })
}

/// Base and quote asset of the strategies: one of each, since one book prices everything here.
fn assets(config: &Config) -> Result<(String, String)> {
    let pair_of = |strategy: &Liquidity| -> Result<(String, String)> {
        let chain = config.chain(&strategy.seat.chain).context("unknown chain")?;
        let asset = |symbol: &String| -> Result<String> {
            let token =
                chain.tokens.get(symbol).with_context(|| format!("unknown token {symbol}"))?;
            Ok(token.asset.clone())
        };
        Ok((asset(&strategy.pool.base)?, asset(&strategy.pool.quote)?))
    };
    let mut pairs = liquidity(config).map(pair_of);
    let first = pairs.next().context("no strategy of kind \"liquidity\" is configured")??;
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

/// One hedge per owner, netting the chains of everybody who is hedged with it.
pub(super) fn hedges(config: &Config) -> Result<Vec<HedgeSetup>> {
    let mut hedges = Vec::new();
    for owner in liquidity(config) {
        let HedgeBy::Own(hedge) = &owner.hedge else { continue };
        let is_hedged = |strategy: &&Liquidity| {
            strategy.head.id == owner.head.id
                || strategy.hedge == HedgeBy::With(owner.head.id.clone())
        };
        let accounts: Vec<&Strategy> = with_accounts(config, &owner.head.id).collect();
        let mut chains = Vec::new();
        let seats = liquidity(config).filter(is_hedged).map(|strategy| &strategy.seat);
        for seat in seats.chain(accounts.iter().filter_map(|strategy| strategy.seat())) {
            let chain = config.chain(&seat.chain).context("unknown chain")?.chain_id;
            if !chains.contains(&chain) {
                chains.push(chain);
            }
        }
        hedges.push(HedgeSetup {
            sends: owner.head.stage.sends_in(config.agent.mode),
            parameters: hedging::Parameters {
                strategy: owner.head.id.clone(),
                venue: hedge.venue.clone(),
                symbol: hedge.symbol().to_owned(),
                target_delta_fraction: hedge.target_delta_fraction,
                band_min: hedge.band_min_usd,
                band_max: hedge.band_max_usd,
                unhedged_ms_max: milliseconds(hedge.max_unhedged_s),
            },
            chains,
            accounts: accounts.into_iter().map(|strategy| strategy.id().to_owned()).collect(),
        });
    }
    Ok(hedges)
}

/// Strategies with a spot account that another one's hedge nets too.
fn with_accounts<'c>(config: &'c Config, owner: &'c str) -> impl Iterator<Item = &'c Strategy> {
    config.strategies.iter().filter(move |strategy| match strategy {
        Strategy::MarketMaking(making) => making.hedged_with.as_deref() == Some(owner),
        Strategy::CexDex(cex_dex) => cex_dex.hedged_with == owner,
        Strategy::Liquidity(_) | Strategy::Arbitrage(_) => false,
    })
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
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
    store: &Store,
) -> Result<(ChainSetup, Option<String>, Option<Hunt>)> {
    let found = client.chain_id().await?;
    ensure!(
        found == chain.chain_id,
        "the endpoint is chain {found}, the file says {}",
        chain.chain_id
    );
    let name = signer_of(config, chain)?;
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
    // A pretend executor obeys a pretend signer.
    let operator = (config.agent.mode != Mode::Paper).then_some(signer);
    let dexes = match chain.executor {
        Some(executor) => executor_dexes(client, executor, operator).await.context("executor")?,
        None => Vec::new(),
    };
    let (pools, trouble, rest) = all_pools(config, chain, client, store, &dexes).await?;
    let gwei = |value: Decimal| -> Result<u128> {
        let wei = raw_down(value, 9).and_then(|wei: U256| u128::try_from(wei).ok());
        wei.context("a gas price does not fit")
    };
    let coins = |value: Decimal| raw_down(value, 18).context("a native amount does not fit");
    let signed_ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let setup = ChainSetup {
        chain: chain.chain_id,
        name: chain.name.clone(),
        native: chain.native.clone(),
        signer,
        position_manager: v3.position_manager.context("needs position_manager")?,
        router: v3.router.map(Router::SwapRouter).or(v3.router02.map(Router::SwapRouter02)),
        executor: chain.executor,
        tokens,
        pools,
        stale_after_ms: signed_ms(chain.ingest.stale_after_ms),
        block_time_ms: signed_ms(chain.ingest.block_time_ms),
        max_fee: gwei(chain.gas.max_fee_gwei)?,
        max_priority_fee: gwei(chain.gas.max_priority_gwei)?,
        final_after_blocks: chain.finality.reorg_window_blocks,
        min_native: coins(chain.fuel.min_native_per_signer)?,
        exit_reserve: coins(chain.fuel.exit_reserve_native)?,
    };
    Ok((setup, trouble, rest))
}

/// The pools of a chain's file, whose tokens are tried, then the others that it lets a keeper find,
/// whose tokens were tried when they were found; what kept it from finding more, and the rest of
/// the search.
async fn all_pools(
    config: &Config,
    chain: &Chain,
    client: &ChainClient,
    store: &Store,
    dexes: &[Address],
) -> Result<(Vec<PoolSetup>, Option<String>, Option<Hunt>)> {
    let newest = client.latest().await?.header;
    let (at, head) = (newest.hash, newest.number);
    let mut pools = Vec::new();
    for some in chain.pools.chunks(FOUND_AT_ONCE) {
        let finding = some.iter().map(|pool| find_pool(chain, pool, client, at));
        for (pool, found) in some.iter().zip(try_join_all(finding).await?) {
            pools.push(with_executor(chain, pool, found, dexes)?);
        }
    }
    tokens::check(config, chain, &pools, client, at).await?;
    let Some(wanted) = &chain.discovery else { return Ok((pools, None, None)) };
    let Discovered { pools: others, trouble, rest } =
        discovery::discover(chain, wanted, client, store, head).await?;
    for (pool, found) in others {
        pools.push(with_executor(chain, &pool, found, dexes)?);
    }
    if pools.is_empty() {
        let why = trouble.unwrap_or_else(|| "none was found that may be kept".to_owned());
        bail!(
            "there is no pool to watch: {why}; name one in [pools] allow, see what \
             `pool discover` says of the others, or lower what [pools.discovery] asks for"
        );
    }
    Ok((pools, trouble, rest))
}

/// A pool with the executor's own number of its exchange.
fn with_executor(
    chain: &Chain,
    pool: &Pool,
    mut found: PoolSetup,
    dexes: &[Address],
) -> Result<PoolSetup> {
    let factory = contracts(chain, pool)?.factory;
    // The executor has no word for V4, whatever it calls an exchange.
    let known = dexes.iter().position(|dex| *dex == factory);
    found.executor_dex = known.filter(|_| found.curve != Curve::V4).and_then(to_u8);
    Ok(found)
}

/// The one signer of a chain's strategies: one account, one lane of nonces.
fn signer_of<'c>(config: &'c Config, chain: &Chain) -> Result<&'c String> {
    let on_chain =
        || config.strategies.iter().filter_map(Strategy::seat).filter(|s| s.chain == chain.name);
    let first = on_chain().next().context("no strategy uses this chain")?;
    for other in on_chain() {
        let (one, two) = (&first.signer, &other.signer);
        ensure!(one == two, "signers {one} and {two} on one chain: one signer a chain for now");
    }
    let n_liquidity = liquidity(config).filter(|s| s.seat.chain == chain.name).count();
    ensure!(
        n_liquidity <= 1,
        "one liquidity strategy on a chain for now, the files have {n_liquidity}"
    );
    Ok(&first.signer)
}

/// Factories of the exchanges an executor trades on, in its own order; it must obey our signer,
/// when one is named.
async fn executor_dexes(
    client: &ChainClient,
    executor: Address,
    signer: Option<Address>,
) -> Result<Vec<Address>> {
    let at = client.latest().await?.header.hash;
    ensure!(
        executor::is_ours(&client.code(executor, at).await?),
        "the code at {executor} is not what contracts/ compiles to: deploy contracts/Executor.json"
    );
    let operator = client.view(executor, &Executor::operatorCall {}, at).await;
    let operator = operator.with_context(|| format!("no executor answers at {executor}"))?;
    if let Some(signer) = signer {
        ensure!(operator == signer, "the executor obeys {operator}, not our signer {signer}");
    }
    let count = client.view(executor, &Executor::dexCountCall {}, at).await?;
    let mut factories = Vec::new();
    for index in 0..count.saturating_to::<u64>().min(DEXES_MAX) {
        let call = Executor::dexAtCall { index: U256::from(index) };
        factories.push(client.view(executor, &call, at).await?.factory);
    }
    Ok(factories)
}

fn to_u8(index: usize) -> Option<u8> {
    u8::try_from(index).ok()
}

fn contracts<'c>(chain: &'c Chain, pool: &Pool) -> Result<&'c Contracts> {
    chain.dexes.get(&pool.dex).context("the pool's dex is not configured")
}
