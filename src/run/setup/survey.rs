//! Pools that the chain's factories opened, looked at: what is asked of them, what one block says,
//! and which of them may be kept. The command line and a starting keeper do it the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use anyhow::{Context, Result};
use rust_decimal::Decimal;

use super::tokens;
use crate::config::chain::{Chain, Token};
use crate::config::discovery::Discovery;
use crate::config::pool::{Dex, Pool, V4Part};
use crate::io::chain::discover::judge::{Coin, Judged, Rules};
use crate::io::chain::discover::{Found, Search, Terms};
use crate::io::chain::evm::hooked::HookRules;
use crate::io::chain::evm::token::Holding;
use crate::io::chain::evm::verdict::{Doubt, Verdict};
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::PoolKey;

/// Decimals of every chain's native coin.
const NATIVE_DECIMALS: u8 = 18;
/// Pauses before an endpoint that failed is asked again.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// What is wanted of a pool besides that it is sound.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Least depths in whole coins, by the symbol of the quote; the first of them price the others.
    pub(crate) least: Vec<(String, Decimal)>,
    /// The highest fee, in millionths.
    pub(crate) fee_pips_max: u32,
}

impl Wanted {
    /// What a chain's file wants. Its amounts have no order: quotes of its pools come first, the
    /// native coin last, so that ether is priced in dollars and not dollars in ether.
    pub(crate) fn of(chain: &Chain, discovery: &Discovery) -> Self {
        let amounts = discovery.min_liquidity.iter();
        let mut least: Vec<(String, Decimal)> =
            amounts.map(|(symbol, least)| (symbol.clone(), *least)).collect();
        let natives = natives(chain);
        let rank = |symbol: &String| match natives.contains(&symbol) {
            true => 2,
            false => u8::from(!chain.pools.iter().any(|pool| pool.quote == *symbol)),
        };
        least.sort_by_key(|(symbol, _)| rank(symbol));
        Self { least, fee_pips_max: discovery.max_fee_pips }
    }
}

/// The contracts of a chain's file that make pools, each of its exchange.
pub(crate) fn sources(chain: &Chain) -> Vec<(Dex, Address)> {
    chain.dexes.iter().map(|(dex, contracts)| (*dex, contracts.factory)).collect()
}

/// The coins between which pools are searched: the tokens of the file, and the native coin.
pub(crate) fn coins(chain: &Chain) -> Vec<Address> {
    let tokens = chain.tokens.values().map(|token| token.address);
    tokens.chain([Address::ZERO]).collect()
}

/// What is asked of the pools, and what their coins say of themselves and do.
///
/// # Errors
/// When the endpoint does not tell the tokens' decimals or the hooks' code.
pub(crate) async fn rules(
    chain: &Chain,
    client: &ChainClient,
    at: B256,
    found: &[Found],
    wanted: Wanted,
) -> Result<Rules> {
    let Wanted { least, fee_pips_max } = wanted;
    let addresses: Vec<Address> = chain.tokens.values().map(|token| token.address).collect();
    let told = client.decimals(&addresses, at).await;
    let told = told.context("asking the tokens for their decimals")?;
    let holdings: Vec<Holding> = found.iter().flat_map(holdings).collect();
    let mut verdicts = tokens::tried(client, &holdings, at).await;
    let hooks: BTreeSet<Address> = found.iter().filter_map(swap_hooks).collect();
    let hook_codes = client.code_hashes(&hooks, at).await;
    let hook_codes = hook_codes.context("asking for the code of the hooks")?;
    let coin = |((symbol, token), on_chain): ((&String, &Token), Option<u8>)| {
        let verdict = verdicts.remove(&token.address);
        let verdict = verdict.unwrap_or(Verdict::Unknown(Doubt::NotTried));
        let (symbol, decimals) = (symbol.clone(), token.decimals);
        (token.address, Coin { symbol, decimals, on_chain, verdict })
    };
    let mut coins: BTreeMap<Address, Coin> = chain.tokens.iter().zip(told).map(coin).collect();
    let native = Coin {
        symbol: chain.native.clone(),
        decimals: NATIVE_DECIMALS,
        on_chain: Some(NATIVE_DECIMALS),
        verdict: Verdict::Plain,
    };
    coins.insert(Address::ZERO, native);
    Ok(Rules {
        coins,
        quotes: quotes(chain, &least),
        least: least.into_iter().collect(),
        fee_pips_max,
        hooks: HookRules::of(chain),
        hook_codes,
    })
}

/// Looks at pools in one block, and says of each, in their order, whether it may be kept.
///
/// # Errors
/// `ChainError` when the endpoint fails.
pub(crate) async fn judged(
    client: &ChainClient,
    at: B256,
    rules: &Rules,
    found: &[Found],
) -> Result<Vec<Judged>, ChainError> {
    let seen = client.look(found, at).await?;
    Ok(found.iter().zip(seen).map(|(found, seen)| rules.judge(found, seen)).collect())
}

/// The next pools of a search, as `ChainClient::opened` tells them; an endpoint that fails is asked
/// again after pauses.
///
/// # Errors
/// Its last one; at once where asking again would not help.
pub(crate) async fn opened(
    client: &ChainClient,
    search: &mut Search,
) -> Result<Vec<Found>, ChainError> {
    for pause in PAUSES {
        match client.opened(search).await {
            Err(ChainError::Refused { .. } | ChainError::Timeout { .. }) => {
                tokio::time::sleep(pause).await;
            }
            told => return told,
        }
    }
    client.opened(search).await
}

/// Asks until there is an answer, with pauses between, and not for ever.
///
/// # Errors
/// The last one.
pub(crate) async fn again<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    for pause in PAUSES {
        if let Ok(answer) = ask().await {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
    }
    ask().await
}

/// The tokens of a pool, and who holds them: V4's are all in one contract.
fn holdings(found: &Found) -> Vec<Holding> {
    let holder = found.address().contract().unwrap_or(found.source);
    Holding::both(found.coins, Some(holder))
}

/// The hooks of a pool where they take part in swaps.
pub(crate) fn swap_hooks(found: &Found) -> Option<Address> {
    v4_key(found).filter(|key| key.swap_hook().is_some()).map(|key| key.hooks)
}

/// The native coin, itself and wrapped.
fn natives(chain: &Chain) -> Vec<&String> {
    let wrapped = chain.tokens.iter().filter(|(_, token)| token.address == chain.wrapped_native);
    [&chain.native].into_iter().chain(wrapped.map(|(symbol, _)| symbol)).collect()
}

/// Symbols that others are priced in: those that liquidity is measured in, those of the file's
/// pools, and the native coin.
fn quotes(chain: &Chain, least: &[(String, Decimal)]) -> Vec<String> {
    let measured = least.iter().map(|(symbol, _)| symbol);
    let in_file = chain.pools.iter().map(|pool| &pool.quote);
    measured.chain(in_file).chain(natives(chain)).cloned().collect()
}

/// The key of a V4 pool.
pub(crate) fn v4_key(found: &Found) -> Option<PoolKey> {
    match found.terms {
        Terms::V4 { key, .. } => Some(key),
        Terms::V2 { .. } | Terms::V3 { .. } => None,
    }
}

/// The hooks of a V4 pool's key, where it has any.
pub(crate) fn hooks(key: PoolKey) -> Option<Address> {
    (!key.hooks.is_zero()).then_some(key.hooks)
}

/// The pool as the chain's file would name it.
pub(crate) fn pool(found: &Found, [base, quote]: &[String; 2]) -> Pool {
    Pool {
        dex: found.dex,
        base: base.clone(),
        quote: quote.clone(),
        fee_pips: found.fee_pips(),
        v4: v4_key(found).map(|key| V4Part { tick_spacing: key.tick_spacing, hooks: hooks(key) }),
    }
}

/// Whether the chain's file names the pool, in whichever order of its pair.
pub(crate) fn is_in_file(chain: &Chain, pool: &Pool) -> bool {
    chain.pools.iter().any(|known| known.is_same_pool(pool))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use alloy::primitives::address;
    use rust_decimal::dec;

    use super::*;
    use crate::config::{self, Config};
    use crate::market::pools::v4::key::DYNAMIC_FEE;

    /// Hooks that are called when a pool is opened, and in no swap.
    pub(crate) const HOOKS: Address = address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f1000");

    /// The sample files of Base and OP Mainnet.
    pub(crate) fn base() -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let files = ["agent.toml", "chains/optimism.toml", "chains/base.toml"].map(text);
        config::load(&files, &|_| None).unwrap()
    }

    /// A V3 pool of nowhere.
    pub(crate) fn v3(fee_pips: u32) -> Found {
        let pool = Address::with_last_byte(9);
        Found {
            dex: Dex::UniswapV3,
            source: Address::with_last_byte(8),
            coins: [Address::with_last_byte(1), Address::with_last_byte(2)],
            terms: Terms::V3 { pool, fee_pips },
            block: 7,
        }
    }

    /// A V4 pool of the native coin.
    pub(crate) fn v4(fee_pips: u32, hooks: Address) -> Found {
        let currency1 = Address::with_last_byte(2);
        let key =
            PoolKey { currency0: Address::ZERO, currency1, fee_pips, tick_spacing: 10, hooks };
        Found {
            dex: Dex::UniswapV4,
            coins: [Address::ZERO, currency1],
            terms: Terms::V4 { id: key.id(), key },
            ..v3(0)
        }
    }

    #[test]
    fn a_pool_is_named_as_the_file_would_name_it() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let named = |found: &Found, pair: [&str; 2]| pool(found, &pair.map(str::to_owned));
        let told = |found: &Found, pair| named(found, pair).to_string();
        assert_eq!(told(&v3(100), ["WETH", "USDC"]), "uniswap_v3 WETH/USDC 100");
        assert_eq!(told(&v4(500, Address::ZERO), ["ETH", "USDC"]), "uniswap_v4 ETH/USDC 500/10");
        let hooked = named(&v4(DYNAMIC_FEE, HOOKS), ["ETH", "USDC"]);
        assert_eq!(hooked.v4, Some(V4Part { tick_spacing: 10, hooks: Some(HOOKS) }));
        assert!(is_in_file(chain, &named(&v3(500), ["USDC", "WETH"])));
        assert!(!is_in_file(chain, &named(&v3(100), ["WETH", "USDC"])));
    }

    #[test]
    fn the_files_amounts_price_ether_in_dollars() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let of = |symbol: &str, least| (symbol.to_owned(), least);
        // WETH is wrapped ether, USDC is the quote of the file's pools.
        let amounts = [of("AAA", dec!(1)), of("ETH", dec!(2)), of("USDC", dec!(3))];
        let discovery = Discovery {
            from_block: 0,
            max_fee_pips: 3_000,
            min_liquidity: amounts.into_iter().chain([of("WETH", dec!(4))]).collect(),
            max_pools: 9,
        };
        let wanted = Wanted::of(chain, &discovery);
        let symbols: Vec<&str> = wanted.least.iter().map(|(symbol, _)| symbol.as_str()).collect();
        assert_eq!(symbols, ["USDC", "AAA", "ETH", "WETH"]);
        assert_eq!(wanted.fee_pips_max, 3_000);
        assert_eq!(quotes(chain, &wanted.least)[..4], ["USDC", "AAA", "ETH", "WETH"]);
        // Without any, those of the file's pools come first.
        assert_eq!(quotes(chain, &[])[0], "USDC");
    }

    #[test]
    fn pools_are_searched_between_the_coins_of_the_file_by_its_contracts() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let searched = coins(chain);
        assert_eq!(searched.len(), chain.tokens.len() + 1);
        assert!(searched.contains(&chain.wrapped_native) && searched.contains(&Address::ZERO));
        let v4 = chain.dexes[&Dex::UniswapV4].factory;
        assert!(sources(chain).contains(&(Dex::UniswapV4, v4)));
        assert_eq!(sources(chain).len(), chain.dexes.len());
    }

    #[test]
    fn hooks_matter_where_they_are_called_in_swaps() {
        let takes_trade = address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f0088");
        assert_eq!(swap_hooks(&v4(500, takes_trade)), Some(takes_trade));
        assert_eq!((swap_hooks(&v4(500, HOOKS)), swap_hooks(&v3(500))), (None, None));
        assert_eq!(hooks(v4_key(&v4(500, HOOKS)).unwrap()), Some(HOOKS));
    }
}
