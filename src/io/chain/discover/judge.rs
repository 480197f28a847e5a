//! Which of the pools that were found may be kept, and why the others may not.
//!
//! Knows what was read and what the operator asked for; asks nobody. Invariant: every pool that is
//! not kept has its reason, and what is unknown is a reason.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use thiserror::Error;

use crate::io::chain::discover::{Found, Seen, Terms};
use crate::io::chain::evm::hooked::{HookRules, NoQuote, Quoting};
use crate::io::chain::evm::verdict::{Doubt, Fault, Verdict};
use crate::market::pools::v4::key::KeyError;
use crate::math::amm::price::MAX_DECIMALS;
use crate::math::amm::tick::FARTHEST_TICK;
use crate::model::amount::human_unsigned;

/// A coin that pools may be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Its symbol in the operator's file.
    pub symbol: String,
    /// Its decimals there.
    pub decimals: u8,
    /// The decimals its contract tells; `None` where it tells none.
    pub on_chain: Option<u8>,
    /// What it did when it was bought and sold; the native coin is plain.
    pub verdict: Verdict,
}

/// What is asked of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The coins, by their address; the native coin is at the zero address.
    pub coins: BTreeMap<Address, Coin>,
    /// Symbols of coins that others are priced in, the first of them first.
    pub quotes: Vec<String>,
    /// The least depth of a pool, in whole coins of its quote, by the quote's symbol; without any,
    /// every depth but zero will do.
    pub least: BTreeMap<String, Decimal>,
    /// The highest fee, in millionths.
    pub fee_pips_max: u32,
    /// What the operator allows of V4's hooks.
    pub hooks: HookRules,
    /// Keccak of the code of hooks that take part in swaps; `None` where there is no code.
    pub hook_codes: BTreeMap<Address, Option<B256>>,
}

/// A pool, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Symbols of base and quote, where both are known.
    pub pair: Option<[String; 2]>,
    /// How deep it is, in whole coins of the quote, where that is known.
    pub depth: Option<Decimal>,
    /// Why it is not kept.
    pub refusal: Option<Refusal>,
}

/// Why a pool is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A coin without a table.
    #[error("coin {address} is no token of the chain's file")]
    UnknownCoin {
        /// Its address.
        address: Address,
    },
    /// The token does not tell its decimals.
    #[error("{symbol} does not tell its decimals")]
    DecimalsUnknown {
        /// Its symbol.
        symbol: String,
    },
    /// The file is wrong, or the contract lies.
    #[error("{symbol} has {on_chain} decimals on the chain and {in_file} in the file")]
    Decimals {
        /// Its symbol.
        symbol: String,
        /// By its contract.
        on_chain: u8,
        /// By the chain's file.
        in_file: u8,
    },
    /// More decimals than an amount can be told with.
    #[error("{symbol} has {decimals} decimals, more than {MAX_DECIMALS}")]
    DecimalsAbsurd {
        /// Its symbol.
        symbol: String,
        /// Its decimals.
        decimals: u8,
    },
    /// Pools of it cannot be used.
    #[error("{symbol} cannot be used: {fault}")]
    Token {
        /// Its symbol.
        symbol: String,
        /// What it does.
        fault: Fault,
    },
    /// Nobody knows whether pools of it can be used.
    #[error("{symbol} is not known to be usable: {doubt}")]
    TokenUnknown {
        /// Its symbol.
        symbol: String,
        /// Why it could not be tried.
        doubt: Doubt,
    },
    /// The id does not belong to the key beside it.
    #[error("its key hashes to {hash}, not to its id")]
    Id {
        /// The key's hash.
        hash: B256,
    },
    /// No pool can have the key.
    #[error("its key can be no pool's: {0}")]
    Key(KeyError),
    /// A swap is not its arithmetic alone.
    #[error("its hooks take part in swaps: {0}")]
    Hooks(NoQuote),
    /// The chain did not answer for it.
    #[error("it could not be read")]
    Unread,
    /// Nobody gave it a price.
    #[error("it has no price yet")]
    Unopened,
    /// Above what the operator asked for.
    #[error("its fee of {fee_pips} pips is above {most}")]
    Fee {
        /// In millionths.
        fee_pips: u32,
        /// In millionths.
        most: u32,
    },
    /// Where liquidity has run out.
    #[error("tick {tick} is within 1 % of the protocol's ends")]
    Tick {
        /// Its tick.
        tick: i32,
    },
    /// Nothing of one coin, or of both, is in reach of its price.
    #[error("it has no liquidity at its price")]
    NoLiquidity,
    /// The least depth is told in other coins.
    #[error("no least liquidity is told in {symbol}")]
    Unmeasured {
        /// The pool's quote.
        symbol: String,
    },
    /// The depth is above what a number can tell.
    #[error("its liquidity is more than {symbol} can be counted in")]
    Uncounted {
        /// The pool's quote.
        symbol: String,
    },
    /// Below what the operator asked for.
    #[error("its liquidity of {have} {symbol} is below {least}")]
    Thin {
        /// How deep it is, in whole coins.
        have: Decimal,
        /// What was asked for.
        least: Decimal,
        /// The pool's quote.
        symbol: String,
    },
}

impl Refusal {
    /// Its kind in a few words, under which many are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownCoin { .. } => "unknown coin",
            Self::DecimalsUnknown { .. } | Self::Decimals { .. } | Self::DecimalsAbsurd { .. } => {
                "decimals"
            }
            Self::Token { .. } => "unusable token",
            Self::TokenUnknown { .. } => "untried token",
            Self::Id { .. } | Self::Key(_) => "odd key",
            Self::Hooks(_) => "hooks in swaps",
            Self::Unread => "unread",
            Self::Unopened => "no price",
            Self::Fee { .. } => "fee",
            Self::Tick { .. } => "price at an end",
            Self::NoLiquidity => "no liquidity",
            Self::Unmeasured { .. } => "no least liquidity in its quote",
            Self::Uncounted { .. } => "uncountable liquidity",
            Self::Thin { .. } => "too little liquidity",
        }
    }
}

/// The coins of a pool by their part.
#[derive(Clone, Copy, Debug)]
struct Pair<'r> {
    base: &'r Coin,
    quote: &'r Coin,
    quote_is_coin0: bool,
}

impl Pair<'_> {
    /// The quote's part of two amounts, in whole coins; `None` above what a decimal holds.
    fn depth(&self, [depth0, depth1]: [U256; 2]) -> Option<Decimal> {
        let raw = if self.quote_is_coin0 { depth0 } else { depth1 };
        Some(human_unsigned(raw, self.quote.decimals.into())?.normalize())
    }
}

impl Rules {
    /// Judges a pool by the event that told of it and by what a block says of it.
    pub fn judge(&self, found: &Found, seen: Option<Seen>) -> Judged {
        let pair = match self.pair(found.coins) {
            Ok(pair) => pair,
            Err(refusal) => return Judged { pair: None, depth: None, refusal: Some(refusal) },
        };
        let depth = match seen {
            Some(Seen::Open { depth, .. }) => pair.depth(depth),
            Some(Seen::Unopened) | None => None,
        };
        let may = sane(pair.base)
            .and_then(|()| sane(pair.quote))
            .and_then(|()| self.told(found.terms))
            .and_then(|()| self.live(seen))
            .and_then(|()| self.deep(pair.quote, depth));
        Judged {
            pair: Some([pair.base, pair.quote].map(|coin| coin.symbol.clone())),
            depth,
            refusal: may.err(),
        }
    }

    fn pair(&self, coins: [Address; 2]) -> Result<Pair<'_>, Refusal> {
        let coin = |address| self.coins.get(&address).ok_or(Refusal::UnknownCoin { address });
        let [coin0, coin1] = coins.map(coin);
        let (coin0, coin1) = (coin0?, coin1?);
        let rank = |coin: &Coin| self.quotes.iter().position(|symbol| *symbol == coin.symbol);
        let rank = |coin| rank(coin).unwrap_or(usize::MAX);
        let quote_is_coin0 = rank(coin0) < rank(coin1);
        let (base, quote) = if quote_is_coin0 { (coin1, coin0) } else { (coin0, coin1) };
        Ok(Pair { base, quote, quote_is_coin0 })
    }

    /// Whether its swaps can be told beforehand.
    fn told(&self, terms: Terms) -> Result<(), Refusal> {
        let Terms::V4 { id, key } = terms else { return Ok(()) };
        let hash = key.id();
        if hash != id {
            return Err(Refusal::Id { hash });
        }
        key.check().map_err(Refusal::Key)?;
        let Some(hook) = key.swap_hook() else { return Ok(()) };
        let code_hash = self.hook_codes.get(&key.hooks).copied().flatten();
        match self.hooks.judge(hook, code_hash) {
            Quoting::Curve | Quoting::Simulation { .. } => Ok(()),
            Quoting::Refused(why) => Err(Refusal::Hooks(why)),
        }
    }

    /// Whether it can be traded at all, and at which fee.
    fn live(&self, seen: Option<Seen>) -> Result<(), Refusal> {
        let (tick, fee_pips, depth) = match seen {
            None => return Err(Refusal::Unread),
            Some(Seen::Unopened) => return Err(Refusal::Unopened),
            Some(Seen::Open { tick, fee_pips, depth }) => (tick, fee_pips, depth),
        };
        if fee_pips > self.fee_pips_max {
            return Err(Refusal::Fee { fee_pips, most: self.fee_pips_max });
        }
        if let Some(tick) = tick
            && !(-FARTHEST_TICK..=FARTHEST_TICK).contains(&tick)
        {
            return Err(Refusal::Tick { tick });
        }
        if depth.contains(&U256::ZERO) {
            return Err(Refusal::NoLiquidity);
        }
        Ok(())
    }

    /// Whether it is as deep as asked for.
    fn deep(&self, quote: &Coin, depth: Option<Decimal>) -> Result<(), Refusal> {
        if self.least.is_empty() {
            return Ok(());
        }
        let symbol = || quote.symbol.clone();
        let Some(&least) = self.least.get(&quote.symbol) else {
            return Err(Refusal::Unmeasured { symbol: symbol() });
        };
        match depth {
            None => Err(Refusal::Uncounted { symbol: symbol() }),
            Some(have) if have < least => Err(Refusal::Thin { have, least, symbol: symbol() }),
            Some(_) => Ok(()),
        }
    }
}

/// Whether a coin counts as the file says, and moves as pools count on.
fn sane(coin: &Coin) -> Result<(), Refusal> {
    let symbol = || coin.symbol.clone();
    match coin.on_chain {
        None => return Err(Refusal::DecimalsUnknown { symbol: symbol() }),
        Some(decimals) if decimals > MAX_DECIMALS => {
            return Err(Refusal::DecimalsAbsurd { symbol: symbol(), decimals });
        }
        Some(on_chain) if on_chain != coin.decimals => {
            let in_file = coin.decimals;
            return Err(Refusal::Decimals { symbol: symbol(), on_chain, in_file });
        }
        Some(_) => {}
    }
    match &coin.verdict {
        Verdict::Plain => Ok(()),
        Verdict::Refused(fault) => Err(Refusal::Token { symbol: symbol(), fault: fault.clone() }),
        Verdict::Unknown(doubt) => {
            Err(Refusal::TokenUnknown { symbol: symbol(), doubt: doubt.clone() })
        }
    }
}
