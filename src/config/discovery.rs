//! `[pools.discovery]` of a chain's file: which of the pools that a keeper finds by itself it
//! watches.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::problem::{Fault, suggest};
use crate::config::reader::Node;
use crate::config::values::{self, Bounds, integer};
use crate::math::amm::v4::MAX_LP_FEE_PIPS;

/// Key of the table inside `[pools]`.
const TABLE: &str = "discovery";
/// Key of the least depths inside the table.
const MIN_LIQUIDITY: &str = "min_liquidity";
/// The highest least depth, in whole coins: some coins are counted in millions of millions.
const MIN_LIQUIDITY_MAX: i64 = 1_000_000_000_000_000_000;
/// More pools than this nobody follows in one process.
const POOLS_MAX: i128 = 100_000;

/// What is asked of pools that are found by what the factories of the chain's file logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// First block that is searched.
    pub from_block: u64,
    /// Highest fee, in millionths of the amount in.
    pub max_fee_pips: u32,
    /// Least depth of a pool, in whole coins of its quote, by the quote's symbol; without any,
    /// every depth but zero will do.
    pub min_liquidity: BTreeMap<String, Decimal>,
    /// Most pools that are watched besides those of the file.
    pub max_pools: usize,
}

/// Reads the table where pools are found, and refuses it where they are not; `symbols` are those of
/// the tokens, `native` is the chain's coin. `None` when something is wrong.
pub(super) fn read_discovery(
    pools: &mut Node<'_>,
    discover: Option<bool>,
    native: Option<&str>,
    symbols: &[&str],
) -> Option<Option<Discovery>> {
    if discover != Some(true) {
        pools.skip_all(&[TABLE]);
        if discover == Some(false) && pools.has(TABLE) {
            let what = "is used with discover = true alone";
            pools.fault(TABLE, Fault::new(what, "write discover = true, or remove the table"));
        }
        return discover.map(|_| None);
    }
    let mut node = pools.table_or_defaults(TABLE)?;
    let from_block = node.or("from_block", &integer::<u64>(0..=i64::MAX.into(), 0), "0");
    let fees = integer::<u32>(0..=MAX_LP_FEE_PIPS.into(), 10_000);
    let max_fee_pips = node.or("max_fee_pips", &fees, "10000");
    let depth = values::decimal(Bounds::within(0, MIN_LIQUIDITY_MAX), "10000");
    let min_liquidity = node.values(MIN_LIQUIDITY, &depth);
    let max_pools = node.or("max_pools", &integer::<usize>(1..=POOLS_MAX, 10_000), "10000");
    for (symbol, _) in min_liquidity.iter().flatten() {
        // Without the chain's own symbol it may be this one.
        let is_native = native.is_none_or(|native| native == symbol);
        if !is_native && !symbols.contains(&symbol.as_str()) {
            let known: Vec<&str> = symbols.iter().copied().chain(native).collect();
            let what = format!("names {symbol}, which has no table [tokens.{symbol}]");
            node.fault(MIN_LIQUIDITY, Fault::new(what, suggest(symbol, &known)));
        }
    }
    node.finish();
    Some(Some(Discovery {
        from_block: from_block?,
        max_fee_pips: max_fee_pips?,
        min_liquidity: min_liquidity?.into_iter().collect(),
        max_pools: max_pools?,
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use rust_decimal::dec;

    use super::*;
    use crate::config::{Config, load};

    const ALLOW: &str = "allow = [
    { dex = \"uniswap_v3\", pair = \"WETH/USDT\", fee_pips = 500 },
    { dex = \"uniswap_v3\", pair = \"WETH/USDT\", fee_pips = 3000 },
]";

    /// The good files without their strategy, with this for their `allow`.
    fn with(pools: &str) -> Result<Config, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/good/local");
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let mut files = ["agent.toml", "chains/local.toml"].map(text);
        assert!(files[1].1.contains(ALLOW));
        files[1].1 = files[1].1.replacen(ALLOW, pools, 1);
        let told = |problem: &crate::config::problem::Problem| problem.to_string();
        load(&files, &|_| None)
            .map_err(|problems| problems.iter().map(told).collect::<Vec<_>>().join("\n"))
    }

    fn discovery(pools: &str) -> Option<Discovery> {
        let config = with(pools).unwrap();
        config.chain("local").unwrap().discovery.clone()
    }

    #[test]
    fn nothing_is_found_unless_the_file_says_so() {
        assert_eq!(discovery(ALLOW), None);
        assert_eq!(discovery(&format!("discover = false\n{ALLOW}")), None);
        let error = with("discover = false").unwrap_err();
        assert!(
            error.contains("allows no pool") && error.contains("or discover = true"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_finds_pools_needs_to_name_none() {
        let defaults = Discovery {
            from_block: 0,
            max_fee_pips: 10_000,
            min_liquidity: BTreeMap::new(),
            max_pools: 10_000,
        };
        for pools in ["discover = true", "discover = true\nallow = []"] {
            assert_eq!(discovery(pools), Some(defaults.clone()), "{pools}");
            assert!(with(pools).unwrap().chain("local").unwrap().pools.is_empty());
        }
        let config = with(&format!("discover = true\n{ALLOW}")).unwrap();
        assert_eq!(config.chain("local").unwrap().pools.len(), 2);
        let setting = &config.settings["chains.local.pools.discovery.max_fee_pips"];
        assert_eq!(
            (setting.value.as_str(), setting.origin.to_string()),
            ("10000", "default".to_owned())
        );
    }

    #[test]
    fn every_value_of_the_table_is_read() {
        let table = "discover = true
[pools.discovery]
from_block = 7
max_fee_pips = 3000
min_liquidity = { USDT = \"10000.5\", ETH = \"0\" }
max_pools = 12";
        let expected = Discovery {
            from_block: 7,
            max_fee_pips: 3_000,
            min_liquidity: [("ETH".to_owned(), dec!(0)), ("USDT".to_owned(), dec!(10000.5))].into(),
            max_pools: 12,
        };
        assert_eq!(discovery(table), Some(expected));
        let config = with(table).unwrap();
        let setting = &config.settings["chains.local.pools.discovery.min_liquidity.USDT"];
        assert_eq!(setting.value, "10000.5");
    }

    #[test]
    fn what_is_wrong_in_the_table_is_told_with_its_key() {
        let place = "chains/local.toml:5";
        for (line, told) in [
            ("from_block = -1", "pools.discovery.from_block: is -1 but must be"),
            ("max_fee_pips = 1000001", "pools.discovery.max_fee_pips: is 1000001 but must be"),
            ("max_pools = 0", "pools.discovery.max_pools: is 0 but must be"),
            ("min_liquidity = 5", "pools.discovery.min_liquidity: is a integer, not a table"),
            (
                "min_liquidity = { USDT = 5 }",
                "pools.discovery.min_liquidity.USDT: is a bare integer",
            ),
            (
                "min_liquidity = { USDT = \"-5\" }",
                "min_liquidity.USDT: is -5 but must be at least 0",
            ),
            ("min_liquidity = { USDTT = \"5\" }", "min_liquidity: names USDTT, which has no table"),
            ("min_depth = 5", "pools.discovery.min_depth: is not a known key"),
        ] {
            let error = with(&format!("discover = true\n[pools.discovery]\n{line}")).unwrap_err();
            assert!(error.starts_with(place) && error.contains(told), "{line}: {error}");
            assert_eq!(error.lines().count(), 1, "{line}: {error}");
        }
        let error = with(&format!("{ALLOW}\n[pools.discovery]\nfrom_block = 7")).unwrap_err();
        assert!(error.contains("pools.discovery: is used with discover = true alone"), "{error}");
        let error = with("discover = 1").unwrap_err();
        assert!(error.contains("pools.discover: is a integer, not true or false"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
