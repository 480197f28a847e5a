//! How people name a pool on the command line.

use thiserror::Error;

use crate::config::Config;
use crate::config::chain::Chain;
use crate::config::pool::Pool;
use crate::config::problem::suggest;
use crate::model::chain::PoolAddress;

/// The operator's files have no such pool.
#[derive(Debug, Error)]
#[error("no pool of the files is called {wanted:?}: {help}")]
pub(in crate::cli) struct NoSuchPool {
    wanted: String,
    help: String,
}

impl NoSuchPool {
    pub(super) fn new(wanted: impl Into<String>, help: impl Into<String>) -> Self {
        Self { wanted: wanted.into(), help: help.into() }
    }
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Wanted<'c> {
    /// A pool of a chain's file.
    Named(&'c Chain, &'c Pool),
    /// Whichever pool of these chains is at this address or, of V4, has this id.
    At(Vec<&'c Chain>, PoolAddress),
}

/// A pool's name, as it is told and asked for.
pub(super) fn name_of(chain: &Chain, pool: &Pool) -> String {
    let Pool { dex, base, quote, .. } = pool;
    format!("{}/{}/{base}/{quote}/{}", chain.name, dex.name(), pool.terms())
}

/// Every pool of the files, by its name.
pub(super) fn names(config: &Config) -> Vec<String> {
    let mut names = Vec::new();
    for chain in &config.chains {
        names.extend(chain.pools.iter().map(|pool| name_of(chain, pool)));
    }
    names
}

/// The pool of a name or an address; the order of the pair does not matter.
pub(super) fn parse<'c>(config: &'c Config, text: &str) -> Result<Wanted<'c>, NoSuchPool> {
    let parts: Vec<&str> = text.split('/').collect();
    let chains = || config.chains.iter();
    let found = match parts[..] {
        [address] if address.starts_with("0x") => {
            Some(Wanted::At(chains().collect(), parse_address(text, address)?))
        }
        [chain, address] if address.starts_with("0x") => {
            let address = parse_address(text, address)?;
            let chain = chains().find(|known| known.name == chain);
            chain.map(|chain| Wanted::At(vec![chain], address))
        }
        [chain, dex, base, quote, ref terms @ ..] => {
            let terms = terms.join("/");
            let is_meant = |pool: &&Pool| {
                let pair = (pool.base.as_str(), pool.quote.as_str());
                pool.dex.name() == dex
                    // The letters of an address may be of either case.
                    && pool.terms().eq_ignore_ascii_case(&terms)
                    && (pair == (base, quote) || pair == (quote, base))
            };
            let chain = chains().find(|known| known.name == chain);
            chain.and_then(|chain| {
                let pool = chain.pools.iter().find(is_meant)?;
                Some(Wanted::Named(chain, pool))
            })
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let known = names(config);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        NoSuchPool::new(text, suggest(text, &known))
    })
}

fn parse_address(text: &str, address: &str) -> Result<PoolAddress, NoSuchPool> {
    let help = "an address is 0x and 40 hexadecimal digits, the id of a V4 pool 0x and 64; `pool \
                list` tells those of the files";
    address.parse().map_err(|_| NoSuchPool::new(text, help))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use alloy::primitives::{Address, B256};

    use super::*;
    use crate::config;
    use crate::config::pool::V4Part;
    use crate::market::pools::v4::key::DYNAMIC_FEE;

    fn samples() -> Config {
        loaded(&["agent.toml", "chains/optimism.toml", "chains/base.toml"])
    }

    fn loaded(paths: &[&str]) -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let files: Vec<(PathBuf, String)> = paths.iter().copied().map(text).collect();
        config::load(&files, &|_| None).unwrap()
    }

    /// A chain with a pool of V4.
    fn with_v4() -> Config {
        loaded(&["agent.toml", "chains/example-local.toml"])
    }

    #[test]
    fn every_pool_is_found_by_its_name_and_by_the_turned_pair() {
        let config = samples();
        for chain in &config.chains {
            for pool in &chain.pools {
                let turned =
                    Pool { base: pool.quote.clone(), quote: pool.base.clone(), ..pool.clone() };
                for asked in [name_of(chain, pool), name_of(chain, &turned)] {
                    let Wanted::Named(on, found) = parse(&config, &asked).unwrap() else {
                        panic!("{asked} is no address")
                    };
                    assert_eq!((&on.name, found), (&chain.name, pool));
                }
            }
        }
        assert!(names(&config).contains(&"optimism/uniswap_v3/WETH/USDC/500".to_owned()));
    }

    #[test]
    fn a_v4_pool_is_named_by_its_spacing_and_its_hooks_too() {
        let mut config = with_v4();
        let hooks = Address::repeat_byte(0xAB);
        let part = V4Part { tick_spacing: 10, hooks: Some(hooks) };
        let plain = config.chains[0].pools.iter().find(|pool| pool.v4.is_some()).unwrap().clone();
        let hooked = Pool { v4: Some(part), fee_pips: DYNAMIC_FEE, ..plain };
        config.chains[0].pools.push(hooked);
        let found = |asked: &str| match parse(&config, asked) {
            Ok(Wanted::Named(_, pool)) => Some(pool.terms()),
            _ => None,
        };
        let pair = "example-local/uniswap_v4/ETH/USDT";
        assert_eq!(found(&format!("{pair}/500/10")).unwrap(), "500/10");
        let told = format!("dynamic/10/{hooks}");
        for terms in [told.clone(), told.to_lowercase()] {
            assert_eq!(found(&format!("{pair}/{terms}")).as_ref(), Some(&told));
        }
        for terms in ["500", "500/60", "dynamic/10", "500/10/"] {
            assert!(found(&format!("{pair}/{terms}")).is_none(), "{terms}");
        }
        let names = names(&config);
        assert!(names.contains(&format!("{pair}/{told}")), "{names:?}");
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn an_address_is_looked_for_on_all_chains_or_on_the_one_named() {
        let config = samples();
        let pools = [
            PoolAddress::from(Address::repeat_byte(0x11)),
            PoolAddress::from(B256::repeat_byte(0x22)),
        ];
        for pool in pools {
            for (asked, n_chains) in [(pool.to_string(), 2), (format!("base/{pool}"), 1)] {
                let Wanted::At(chains, found) = parse(&config, &asked).unwrap() else {
                    panic!("{asked} is no name")
                };
                assert_eq!((chains.len(), found), (n_chains, pool));
            }
        }
        let cut = parse(&config, "0x1234").unwrap_err().to_string();
        assert!(cut.contains("40 hexadecimal digits"), "{cut}");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_likeliest_one_or_with_all() {
        let config = samples();
        let near = parse(&config, "optimism/uniswap_v3/WETH/USDC/50").unwrap_err().to_string();
        assert!(near.contains("did you mean `optimism/uniswap_v3/WETH/USDC/500`?"), "{near}");
        for asked in ["", "zzz", "nowhere/0x1111111111111111111111111111111111111111"] {
            let far = parse(&config, asked).unwrap_err().to_string();
            assert!(far.contains(&format!("{asked:?}")), "{far}");
            assert!(far.contains("optimism/uniswap_v3/WETH/USDC/3000"), "{far}");
        }
    }
}
