//! What pretend accounts begin with.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::engine::event::Pool;
use crate::engine::figures::pool_price;
use crate::engine::setup::{ChainSetup, Setup, StrategyKind, StrategySetup, VenueSetup};
use crate::model::amount::raw_down;
use crate::model::chain::PoolAddress;
use crate::sim::paper::wallet::Wallet;

/// A wallet begins with at least one native coin.
const NATIVE_MIN: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// It begins with so many times what the operator wants it to keep.
const FUEL_FACTOR: U256 = U256::from_limbs([10, 0, 0, 0]);

/// Half of a budget in either asset at a price: (base, quote); `None` without a price.
pub fn halves(budget: Decimal, price: Decimal) -> Option<(Decimal, Decimal)> {
    let quote = budget / Decimal::TWO;
    Some((quote.checked_div(price)?, quote))
}

/// Pools and budgets of the strategies on a chain that trade what the wallet holds. Those against
/// an exchange name no pool: their pair is that of the liquidity there, or of the first pool of
/// Uniswap V3.
pub(super) fn budgets(
    chain: &ChainSetup,
    strategies: &[StrategySetup],
) -> Vec<(PoolAddress, Decimal)> {
    let here = || strategies.iter().filter(|strategy| strategy.chain() == Some(chain.chain));
    let provided = here().find_map(|strategy| Some(strategy.liquidity()?.pool.address));
    let first = || chain.pools.iter().find(|pool| pool.is_uniswap_v3()).map(|pool| pool.address);
    let pool_of = |strategy: &StrategySetup| match &strategy.kind {
        StrategyKind::Liquidity(parameters) => Some(parameters.pool.address),
        StrategyKind::CexDex(_) => provided.or_else(first),
        StrategyKind::Arbitrage(_) | StrategyKind::MarketMaking(_) => None,
    };
    here().filter_map(|strategy| Some((pool_of(strategy)?, strategy.budget))).collect()
}

/// A wallet with half of each budget in either token of its pool, at the pool's own price.
pub(super) fn opening(
    setup: &ChainSetup,
    budgets: &[(PoolAddress, Decimal)],
    pools: &BTreeMap<PoolAddress, Pool>,
) -> Result<Wallet, String> {
    let native = setup.min_native.saturating_mul(FUEL_FACTOR).max(NATIVE_MIN);
    let mut wallet = Wallet { native, ..Wallet::default() };
    for (address, budget) in budgets {
        let pool = setup.pool(*address).ok_or("unknown pool")?;
        let state = pools.get(address).ok_or("the pool was not read")?;
        let price = pool_price(setup, pool, state);
        let halves = price.and_then(|price| halves(*budget, price));
        let (base, quote) = halves.ok_or_else(|| format!("pool {address} has no price"))?;
        let amounts = if pool.base_is_token0 { [base, quote] } else { [quote, base] };
        for (token, amount) in [pool.token0, pool.token1].into_iter().zip(amounts) {
            let token = setup.token(token).ok_or("unknown token")?;
            let raw = raw_down(amount, token.decimals);
            wallet.receive(token.address, raw.ok_or("the budget does not fit the token")?);
        }
    }
    Ok(wallet)
}

/// Margin of a perpetual account, or target inventories and budgets of a spot one's strategies, by
/// asset.
pub(super) fn purse(setup: &Setup, venue: &VenueSetup) -> BTreeMap<String, Decimal> {
    if venue.is_perpetual {
        return BTreeMap::from([(setup.numeraire.clone(), setup.limits.venue_exposure)]);
    }
    let mut purse = BTreeMap::new();
    let here = setup.strategies.iter().filter_map(|strategy| {
        let (at, target) = strategy.inventory()?;
        (at == venue.name).then_some((target, strategy.budget))
    });
    for (target, budget) in here {
        for (asset, amount) in [(&setup.base_asset, target), (&setup.numeraire, budget)] {
            *purse.entry(asset.clone()).or_insert(Decimal::ZERO) += amount;
        }
    }
    purse
}
