//! `[dex.*]` and `[pools]` of a chain's file, and the way every file names a pool.

use std::collections::BTreeMap;
use std::fmt;

use alloy::primitives::{Address, B256};

use crate::config::chain::Token;
use crate::config::discovery::{Discovery, read_discovery};
use crate::config::problem::{Fault, suggest};
use crate::config::reader::Node;
use crate::config::secret::shown;
use crate::config::values::{self, integer};
use crate::market::pools::v4::key::{DYNAMIC, DYNAMIC_FEE, KeyError, PoolKey};
use crate::math::amm::tick::MAX_TICK_SPACING_V4;
use crate::math::amm::v4::MAX_LP_FEE_PIPS;

/// A kind of exchange on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dex {
    /// Uniswap V2.
    UniswapV2,
    /// SushiSwap V2: the same curve, another factory and other pair code.
    SushiswapV2,
    /// Uniswap V3.
    UniswapV3,
    /// SushiSwap V3: the same curve and, on most chains, the same pool code under another factory.
    SushiswapV3,
    /// Uniswap V4: all pools in one contract.
    UniswapV4,
}

impl Dex {
    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::UniswapV2 => "uniswap_v2",
            Self::SushiswapV2 => "sushiswap_v2",
            Self::UniswapV3 => "uniswap_v3",
            Self::SushiswapV3 => "sushiswap_v3",
            Self::UniswapV4 => "uniswap_v4",
        }
    }

    /// The exchange of a word.
    pub fn named(word: &str) -> Option<Self> {
        DEXES.iter().find(|(name, _)| *name == word).map(|(_, dex)| *dex)
    }

    /// The key of the contract that makes its pools.
    pub fn maker(self) -> &'static str {
        match self {
            Self::UniswapV4 => "manager",
            Self::UniswapV2 | Self::SushiswapV2 | Self::UniswapV3 | Self::SushiswapV3 => "factory",
        }
    }

    /// Whether it has a contract that quotes.
    pub fn has_quoter(self) -> bool {
        match self {
            Self::UniswapV3 | Self::SushiswapV3 | Self::UniswapV4 => true,
            Self::UniswapV2 | Self::SushiswapV2 => false,
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
    ("sushiswap_v3", Dex::SushiswapV3),
    ("uniswap_v4", Dex::UniswapV4),
];

/// Key of V4's list of hooks' code.
const HOOK_CODE_HASHES: &str = "hook_code_hashes";

/// Contracts of one exchange on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// Makes pools; V4's `PoolManager` holds them as well.
    pub factory: Address,
    /// `NonfungiblePositionManager`; of Uniswap V3 alone.
    pub position_manager: Option<Address>,
    /// `UniswapV2Router02` or `SwapRouter`; V4 has none here.
    pub router: Option<Address>,
    /// `SwapRouter02`, which takes other calls; of Uniswap V3 alone, and never beside the one
    /// above.
    pub router02: Option<Address>,
    /// `QuoterV2` of V3 or `V4Quoter`.
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
    /// Symbol of the token that is priced; in V4 the chain's native symbol is the native coin.
    pub base: String,
    /// Symbol of the token it is priced in.
    pub quote: String,
    /// Fee in millionths of the amount in; [`DYNAMIC_FEE`] where V4's hooks set it.
    pub fee_pips: u32,
    /// What else makes a V4 pool; `None` for the others.
    pub v4: Option<V4Part>,
}

/// What a V4 pool's key has besides currencies and fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V4Part {
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// The hooks contract; `None` for a pool without.
    pub hooks: Option<Address>,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{} {}", self.dex.name(), self.base, self.quote, self.terms())
    }
}

impl Pool {
    /// Whether both name one pool; the order of the pair does not matter to a chain.
    pub fn is_same_pool(&self, other: &Self) -> bool {
        let same_order = self.base == other.base && self.quote == other.quote;
        let turned = self.base == other.quote && self.quote == other.base;
        let same_terms =
            (self.dex, self.fee_pips, self.v4) == (other.dex, other.fee_pips, other.v4);
        same_terms && (same_order || turned)
    }

    /// What tells it from other pools of its exchange and pair: `FEE`, and of V4 `FEE/SPACING` or
    /// `FEE/SPACING/HOOKS`, where the fee may be `dynamic`.
    pub fn terms(&self) -> String {
        let key = self.key(Address::ZERO, Address::ZERO);
        key.map_or_else(|| self.fee_pips.to_string(), |key| key.terms())
    }

    /// Its fee, where no hooks set it.
    pub fn fixed_fee_pips(&self) -> Option<u32> {
        (self.fee_pips != DYNAMIC_FEE).then_some(self.fee_pips)
    }

    /// The key of a V4 pool between these currencies, lower one first; `None` for other exchanges.
    pub fn key(&self, currency0: Address, currency1: Address) -> Option<PoolKey> {
        let V4Part { tick_spacing, hooks } = self.v4?;
        let hooks = hooks.unwrap_or(Address::ZERO);
        Some(PoolKey { currency0, currency1, fee_pips: self.fee_pips, tick_spacing, hooks })
    }
}

/// Fee of every V2 pool: 0.30 %, a constant of `UniswapV2Pair` and of SushiSwap's.
const V2_FEE_PIPS: u32 = 3_000;

/// A V3 factory refuses a fee of one or more: `UniswapV3Factory.enableFeeAmount`.
const V3_FEE_PIPS_MAX: i128 = 999_999;

/// Reads `dex`, `pair`, `fee_pips` and what V4 adds of a table; the caller finishes it.
pub(super) fn read_pool(node: &mut Node<'_>) -> Option<Pool> {
    let dex = node.need("dex", &values::choice(DEXES, &[]));
    let pair = node.need("pair", &values::text("WETH/USDC"));
    let fee_pips = read_fee(node, dex);
    let v4 = match dex {
        Some(Dex::UniswapV4) => read_v4_part(node, fee_pips).map(Some),
        Some(_) => Some(None),
        None => {
            node.skip_all(&["tick_spacing", "hooks"]);
            None
        }
    };
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
    Some(Pool { dex: dex?, base, quote, fee_pips: fee_pips?, v4: v4? })
}

/// A number or, of V4, the word that hooks set it.
fn read_fee(node: &mut Node<'_>, dex: Option<Dex>) -> Option<u32> {
    let may_be_v4 = dex.is_none_or(|dex| dex == Dex::UniswapV4);
    if may_be_v4 && node.is_text("fee_pips") {
        return node.need("fee_pips", &values::choice(&[(DYNAMIC, DYNAMIC_FEE)], &[]));
    }
    let bounds = match may_be_v4 {
        true => 0..=i128::from(MAX_LP_FEE_PIPS),
        false => 1..=V3_FEE_PIPS_MAX,
    };
    node.need("fee_pips", &integer::<u32>(bounds, 500))
}

/// Reads `tick_spacing` and `hooks`, which must fit the fee.
fn read_v4_part(node: &mut Node<'_>, fee_pips: Option<u32>) -> Option<V4Part> {
    let spacing = integer::<i32>(1..=i128::from(MAX_TICK_SPACING_V4), 10);
    let tick_spacing = node.need("tick_spacing", &spacing);
    let hooks = node.may("hooks", &values::address());
    let (fee_pips, tick_spacing, hooks) = (fee_pips?, tick_spacing?, hooks?);
    // Whichever the currencies are: the rest must fit without them.
    let key = PoolKey {
        currency0: Address::ZERO,
        currency1: Address::with_last_byte(1),
        fee_pips,
        tick_spacing,
        hooks: hooks.unwrap_or(Address::ZERO),
    };
    match key.check() {
        Ok(()) => Some(V4Part { tick_spacing, hooks }),
        Err(KeyError::Hooks { .. }) if key.has_dynamic_fee() && hooks.is_none() => {
            let what = format!("is {DYNAMIC:?}, and the pool has no hooks that could set it");
            node.fault("fee_pips", Fault::new(what, "write the fee, or add hooks = \"0x…\""));
            None
        }
        Err(error) => {
            let what = format!("can be no pool's: {error}");
            node.fault("hooks", Fault::new(what, "copy the pool's key as Initialize logged it"));
            None
        }
    }
}

/// Exchanges as far as they are right: `None` under one that exists but is wrong.
type DexDrafts = BTreeMap<Dex, Option<Contracts>>;

/// Reads the exchanges, and the hashes of the hooks' code that may take part in quoted swaps;
/// `None` when one of the hashes is wrong.
pub(super) fn read_dexes(chain: &mut Node<'_>) -> (DexDrafts, Option<Vec<B256>>) {
    let (mut dexes, mut code_hashes) = (BTreeMap::new(), Some(Vec::new()));
    for (name, mut node) in chain.named("dex") {
        match values::choice(DEXES, &[]).parse(&name) {
            Ok(dex) => {
                if dex == Dex::UniswapV4 && node.has(HOOK_CODE_HASHES) {
                    code_hashes = node.list(HOOK_CODE_HASHES, &values::code_hash());
                } else if dex == Dex::UniswapV4 {
                    node.skip_all(&[HOOK_CODE_HASHES]);
                }
                let contracts = read_contracts(&mut node, dex);
                node.finish();
                dexes.insert(dex, contracts);
            }
            Err(fault) => node.fault_here(fault),
        }
    }
    (dexes, code_hashes)
}

fn read_contracts(node: &mut Node<'_>, dex: Dex) -> Option<Contracts> {
    let factory = node.need(dex.maker(), &values::address());
    let router = match dex {
        Dex::UniswapV4 => Some(None),
        _ => node.may("router", &values::address()),
    };
    let quoter = if dex.has_quoter() { node.may("quoter", &values::address()) } else { Some(None) };
    let (router02, position_manager) = match dex {
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
            (router02, manager.map(Some))
        }
        _ => (Some(None), Some(None)),
    };
    Some(Contracts {
        factory: factory?,
        position_manager: position_manager?,
        router: router?,
        router02: router02?,
        quoter: quoter?,
    })
}

/// The table `[pools]`.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    /// Those that the file names.
    pub(super) named: Vec<Pool>,
    /// How others are found; `None` where they are not.
    pub(super) discovery: Option<Discovery>,
}

/// Reads the allowed pools; each must name a known exchange and known tokens, and none twice. There
/// may be none where others are found. `native` is the chain's coin, when that could be read.
pub(super) fn read_pools(
    mut node: Node<'_>,
    native: Option<&str>,
    tokens: &BTreeMap<String, Option<Token>>,
    dexes: &DexDrafts,
) -> Option<Pools> {
    let discover = node.or("discover", &values::flag(false), "false");
    let symbols: Vec<&str> = tokens.keys().map(String::as_str).collect();
    let discovery = read_discovery(&mut node, discover, native, &symbols);
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
                let is_token = tokens.contains_key(symbol);
                // Without the chain's own symbol it may be this one.
                let is_native = native.is_none_or(|native| native == symbol);
                if pool.dex == Dex::UniswapV4 && is_native {
                    if is_token && native.is_some() {
                        let what = format!("names {symbol}, the native coin and a token as well");
                        item.fault("pair", Fault::new(what, "give the token another symbol"));
                    }
                } else if !is_token {
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
    if pools.is_empty() && !node.has("allow") && discover == Some(false) {
        let help = "add allow = [{ dex = \"uniswap_v3\", pair = \"WETH/USDC\", fee_pips = 500 }], \
                    or discover = true";
        node.fault_here(Fault::new("allows no pool", help));
    }
    node.finish();
    Some(Pools { named: pools.into_iter().collect::<Option<_>>()?, discovery: discovery? })
}
