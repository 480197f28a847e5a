//! `[dex.*]` and `[pools]` of a chain's file, and the way every file names a pool.

use std::collections::BTreeMap;
use std::fmt;

use alloy::primitives::Address;

use crate::config::chain::Token;
use crate::config::problem::{Fault, suggest};
use crate::config::reader::Node;
use crate::config::secret::shown;
use crate::config::values::{self, integer};

/// A kind of exchange on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dex {
    /// Uniswap V2.
    UniswapV2,
    /// SushiSwap V2: the same curve, another factory and other pair code.
    SushiswapV2,
    /// Uniswap V3.
    UniswapV3,
}

impl Dex {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniswapV2 => "uniswap_v2",
            Self::SushiswapV2 => "sushiswap_v2",
            Self::UniswapV3 => "uniswap_v3",
        }
    }

    /// Key of one of its contracts inside a chain's file.
    pub fn key(self, contract: &str) -> String {
        format!("dex.{}.{contract}", self.name())
    }
}

const DEXES: &[(&str, Dex)] = &[
    ("uniswap_v3", Dex::UniswapV3),
    ("uniswap_v2", Dex::UniswapV2),
    ("sushiswap_v2", Dex::SushiswapV2),
];

/// Exchanges of the design that this version does not know.
const DEXES_LATER: &[&str] = &["uniswap_v4", "sushiswap_v3"];

/// Contracts of one exchange on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// Makes pools.
    pub factory: Address,
    /// `NonfungiblePositionManager`; V3 has one, V2 none.
    pub position_manager: Option<Address>,
    /// `UniswapV2Router02` or `SwapRouter`.
    pub router: Option<Address>,
    /// `SwapRouter02`, which takes other calls; V3 only, and never beside the one above.
    pub router02: Option<Address>,
    /// `QuoterV2`; V3 only.
    pub quoter: Option<Address>,
}

impl Contracts {
    /// The contract that swaps, of whichever kind.
    pub(super) fn any_router(&self) -> Option<Address> {
        self.router.or(self.router02)
    }
}

/// A pool as operators name it: exchange, pair and fee. Its address is looked up on the chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    /// The exchange.
    pub dex: Dex,
    /// Symbol of the token that is priced.
    pub base: String,
    /// Symbol of the token it is priced in.
    pub quote: String,
    /// Fee in millionths of the amount in.
    pub fee_pips: u32,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{} {}", self.dex.name(), self.base, self.quote, self.fee_pips)
    }
}

impl Pool {
    /// Whether both name one pool; the order of the pair does not matter to a chain.
    pub fn is_same_pool(&self, other: &Self) -> bool {
        let same_order = self.base == other.base && self.quote == other.quote;
        let turned = self.base == other.quote && self.quote == other.base;
        self.dex == other.dex && self.fee_pips == other.fee_pips && (same_order || turned)
    }
}

/// Fee of every V2 pool: 0.30 %, a constant of `UniswapV2Pair` and of SushiSwap's.
const V2_FEE_PIPS: u32 = 3_000;

/// A V3 factory refuses a fee of one or more: `UniswapV3Factory.enableFeeAmount`.
const V3_FEE_PIPS_MAX: i128 = 999_999;

/// Reads `dex`, `pair` and `fee_pips` of a table; the caller finishes it.
pub(super) fn read_pool(node: &mut Node<'_>) -> Option<Pool> {
    let dex = node.need("dex", &values::choice(DEXES, DEXES_LATER));
    let pair = node.need("pair", &values::text("WETH/USDC"));
    let fee_pips = node.need("fee_pips", &integer::<u32>(1..=V3_FEE_PIPS_MAX, 500));
    let is_v2 = matches!(dex, Some(Dex::UniswapV2 | Dex::SushiswapV2));
    if is_v2 && fee_pips.is_some_and(|fee| fee != V2_FEE_PIPS) {
        let fault = Fault::new("is not the fee of a V2 pool", format!("write {V2_FEE_PIPS}"));
        node.fault("fee_pips", fault);
        return None;
    }
    let pair = pair.and_then(|pair| {
        let symbols = pair.split_once('/').filter(|(base, quote)| {
            let are_symbols = [base, quote].iter().all(|s| values::check_symbol(s).is_ok());
            are_symbols && base != quote
        });
        if symbols.is_none() {
            let what = format!("{} is not a pair of two tokens", shown(&pair));
            node.fault("pair", Fault::new(what, "write base/quote, as in \"WETH/USDC\""));
        }
        symbols.map(|(base, quote)| (base.to_owned(), quote.to_owned()))
    });
    let (base, quote) = pair?;
    Some(Pool { dex: dex?, base, quote, fee_pips: fee_pips? })
}

/// Reads the exchanges; `None` under one that exists but is wrong.
pub(super) fn read_dexes(chain: &mut Node<'_>) -> BTreeMap<Dex, Option<Contracts>> {
    let mut dexes = BTreeMap::new();
    for (name, mut node) in chain.named("dex") {
        match values::choice(DEXES, DEXES_LATER).parse(&name) {
            Ok(dex) => {
                let contracts = read_contracts(&mut node, dex);
                node.finish();
                dexes.insert(dex, contracts);
            }
            Err(fault) => node.fault_here(fault),
        }
    }
    dexes
}

fn read_contracts(node: &mut Node<'_>, dex: Dex) -> Option<Contracts> {
    let factory = node.need("factory", &values::address());
    let router = node.may("router", &values::address());
    let (router02, position_manager, quoter) = match dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => (Some(None), Some(None), Some(None)),
        Dex::UniswapV3 => {
            // The split of the fee is a fact of each pool; there is nothing else to choose.
            let protocol_fee = values::choice(&[("read_per_pool", ())], &[]);
            node.or("protocol_fee", &protocol_fee, "read_per_pool");
            let manager = node.need("position_manager", &values::address());
            let router02 = node.may("router02", &values::address());
            if router.flatten().is_some() && router02.flatten().is_some() {
                let what = "stands beside router, SwapRouter: which of them is called?";
                node.fault("router02", Fault::new(what, "keep one of them"));
            }
            (router02, manager.map(Some), node.may("quoter", &values::address()))
        }
    };
    Some(Contracts {
        factory: factory?,
        position_manager: position_manager?,
        router: router?,
        router02: router02?,
        quoter: quoter?,
    })
}

/// Reads the allowed pools; each must name a known exchange and known tokens, and none twice.
pub(super) fn read_pools(
    mut node: Node<'_>,
    tokens: &BTreeMap<String, Option<Token>>,
    dexes: &BTreeMap<Dex, Option<Contracts>>,
) -> Option<Vec<Pool>> {
    let never = values::only_flag(false, "pools are named in `allow`");
    let discover = node.or("discover", &never, "false");
    let symbols: Vec<&str> = tokens.keys().map(String::as_str).collect();
    let mut pools: Vec<Option<Pool>> = Vec::new();
    for mut item in node.array("allow") {
        let pool = read_pool(&mut item);
        if let Some(pool) = &pool {
            if !dexes.contains_key(&pool.dex) {
                let name = pool.dex.name();
                let help = format!("add [dex.{name}] with its contracts");
                item.fault("dex", Fault::new(format!("has no table [dex.{name}]"), help));
            }
            for symbol in [&pool.base, &pool.quote] {
                if !tokens.contains_key(symbol) {
                    let what = format!("names {symbol}, which has no table [tokens.{symbol}]");
                    item.fault("pair", Fault::new(what, suggest(symbol, &symbols)));
                }
            }
            if pools.iter().flatten().any(|other| other.is_same_pool(pool)) {
                item.fault("pair", Fault::new("names a pool a second time", "remove one of them"));
            }
        }
        item.finish();
        pools.push(pool);
    }
    if pools.is_empty() && !node.has("allow") {
        let help = "add allow = [{ dex = \"uniswap_v3\", pair = \"WETH/USDC\", fee_pips = 500 }]";
        node.fault_here(Fault::new("allows no pool", help));
    }
    node.finish();
    discover?;
    pools.into_iter().collect()
}
