//! How people name a pool on the command line.

use alloy::primitives::Address;
use thiserror::Error;

use crate::config::Config;
use crate::config::chain::Chain;
use crate::config::pool::Pool;
use crate::config::problem::suggest;

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
    /// Whichever pool of these chains is at this address.
    At(Vec<&'c Chain>, Address),
}

/// A pool's name, as it is told and asked for.
pub(super) fn name_of(chain: &Chain, pool: &Pool) -> String {
    let Pool { dex, base, quote, fee_pips } = pool;
    format!("{}/{}/{base}/{quote}/{fee_pips}", chain.name, dex.name())
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
        [chain, dex, base, quote, fee] => {
            let is_meant = |pool: &&Pool| {
                let pair = (pool.base.as_str(), pool.quote.as_str());
                pool.dex.name() == dex
                    && pool.fee_pips.to_string() == fee
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

fn parse_address(text: &str, address: &str) -> Result<Address, NoSuchPool> {
    let help = "an address is 0x and 40 hexadecimal digits; `pool list` tells those of the files";
    address.parse().map_err(|_| NoSuchPool::new(text, help))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config;

    fn samples() -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let files = [text("agent.toml"), text("chains/optimism.toml"), text("chains/base.toml")];
        config::load(&files, &|_| None).unwrap()
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
    fn an_address_is_looked_for_on_all_chains_or_on_the_one_named() {
        let config = samples();
        let address = Address::repeat_byte(0x11);
        for (asked, n_chains) in [(address.to_string(), 2), (format!("base/{address}"), 1)] {
            let Wanted::At(chains, found) = parse(&config, &asked).unwrap() else {
                panic!("{asked} is no name")
            };
            assert_eq!((chains.len(), found), (n_chains, address));
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
