//! Which of the pools that were found may be kept, and why the others may not.
//!
//! Knows what was read and what the operator asked for; asks nobody. Invariant: every pool that is
//! not kept has its reason, and what is unknown is a reason.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use thiserror::Error;

use crate::io::chain::discover::{Found, Seen, Terms};
use crate::market::pools::v4::key::{KeyError, SwapHook};
use crate::math::amm::price::MAX_DECIMALS;
use crate::math::amm::tick::MAX_TICK;
use crate::model::amount::human_unsigned;

/// Ticks further out than this are within 1 % of the protocol's ends, where a price is whatever the
/// last of the liquidity left.
const TICK_FARTHEST: i32 = MAX_TICK - MAX_TICK / 100;

/// A coin that pools may be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Its symbol in the operator's file.
    pub symbol: String,
    /// Its decimals there.
    pub decimals: u8,
    /// The decimals its contract tells; `None` where it tells none.
    pub on_chain: Option<u8>,
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
    Hooks(SwapHook),
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
            .and_then(|()| plain(found.terms))
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
            && !(-TICK_FARTHEST..=TICK_FARTHEST).contains(&tick)
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

/// Whether a coin counts as the file says.
fn sane(coin: &Coin) -> Result<(), Refusal> {
    let symbol = || coin.symbol.clone();
    match coin.on_chain {
        None => Err(Refusal::DecimalsUnknown { symbol: symbol() }),
        Some(decimals) if decimals > MAX_DECIMALS => {
            Err(Refusal::DecimalsAbsurd { symbol: symbol(), decimals })
        }
        Some(on_chain) if on_chain != coin.decimals => {
            Err(Refusal::Decimals { symbol: symbol(), on_chain, in_file: coin.decimals })
        }
        Some(_) => Ok(()),
    }
}

/// Whether a swap is the pool's arithmetic alone.
fn plain(terms: Terms) -> Result<(), Refusal> {
    let Terms::V4 { id, key } = terms else { return Ok(()) };
    let hash = key.id();
    if hash != id {
        return Err(Refusal::Id { hash });
    }
    key.check().map_err(Refusal::Key)?;
    match key.swap_hook() {
        Some(hook) => Err(Refusal::Hooks(hook)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;
    use crate::config::pool::Dex;
    use crate::market::pools::v4::key::PoolKey;

    const WETH: Address = Address::with_last_byte(1);
    const USDT: Address = Address::with_last_byte(2);
    const OTHER: Address = Address::with_last_byte(3);

    fn coin(symbol: &str, decimals: u8) -> Coin {
        Coin { symbol: symbol.to_owned(), decimals, on_chain: Some(decimals) }
    }

    fn rules() -> Rules {
        let eth = coin("ETH", 18);
        Rules {
            coins: [(WETH, coin("WETH", 18)), (USDT, coin("USDT", 6)), (Address::ZERO, eth)].into(),
            quotes: vec!["USDT".to_owned(), "ETH".to_owned(), "WETH".to_owned()],
            least: [("USDT".to_owned(), dec!(10_000))].into(),
            fee_pips_max: 10_000,
        }
    }

    fn v3() -> Found {
        Found {
            dex: Dex::UniswapV3,
            source: Address::with_last_byte(8),
            coins: [WETH, USDT],
            terms: Terms::V3 { pool: Address::with_last_byte(9), fee_pips: 500 },
            block: 7,
        }
    }

    fn v4(fee_pips: u32, hooks: Address) -> Found {
        let key = PoolKey {
            currency0: Address::ZERO,
            currency1: USDT,
            fee_pips,
            tick_spacing: 10,
            hooks,
        };
        let terms = Terms::V4 { id: key.id(), key };
        Found { dex: Dex::UniswapV4, coins: [Address::ZERO, USDT], terms, ..v3() }
    }

    /// Ten ETH and 25,000 USDT.
    fn deep() -> [U256; 2] {
        [U256::from(10_000_000_000_000_000_000_u128), U256::from(25_000_000_000_u64)]
    }

    fn at(tick: i32) -> Seen {
        Seen::Open { tick: Some(tick), fee_pips: 500, depth: deep() }
    }

    fn refusal(rules: &Rules, found: &Found, seen: Option<Seen>) -> Option<Refusal> {
        rules.judge(found, seen).refusal
    }

    #[test]
    fn a_deep_pool_of_known_coins_is_kept_and_priced_in_the_first_quote() {
        let judged = rules().judge(&v3(), Some(at(-198_000)));
        let pair = Some(["WETH".to_owned(), "USDT".to_owned()]);
        assert_eq!(judged, Judged { pair, depth: Some(dec!(25_000)), refusal: None });
        assert_eq!(refusal(&rules(), &v4(500, Address::ZERO), Some(at(-198_000))), None);
        let turned = Found { coins: [USDT, WETH], ..v3() };
        let [depth0, depth1] = deep();
        let seen = Seen::Open { tick: Some(0), fee_pips: 500, depth: [depth1, depth0] };
        let judged = rules().judge(&turned, Some(seen));
        assert_eq!(judged.pair, Some(["WETH".to_owned(), "USDT".to_owned()]));
        assert_eq!((judged.depth, judged.refusal), (Some(dec!(25_000)), None));
        let pair = Found { terms: Terms::V2 { pair: OTHER }, ..v3() };
        let seen = Seen::Open { tick: None, fee_pips: 3_000, depth: deep() };
        assert_eq!(refusal(&rules(), &pair, Some(seen)), None);
    }

    #[test]
    fn of_two_coins_that_price_nothing_the_second_is_the_quote() {
        let rules = Rules { quotes: Vec::new(), least: BTreeMap::new(), ..rules() };
        let judged = rules.judge(&v3(), Some(at(0)));
        assert_eq!(judged.pair, Some(["WETH".to_owned(), "USDT".to_owned()]));
    }

    #[test]
    fn coins_must_be_known_and_count_as_the_file_says() {
        let unknown = Found { coins: [WETH, OTHER], ..v3() };
        let expected = Refusal::UnknownCoin { address: OTHER };
        assert_eq!(refusal(&rules(), &unknown, Some(at(0))), Some(expected));
        let with = |on_chain: Option<u8>| {
            let mut rules = rules();
            rules.coins.insert(USDT, Coin { on_chain, ..coin("USDT", 6) });
            refusal(&rules, &v3(), Some(at(0)))
        };
        let symbol = || "USDT".to_owned();
        assert_eq!(with(Some(6)), None);
        assert_eq!(with(None), Some(Refusal::DecimalsUnknown { symbol: symbol() }));
        let lies = Refusal::Decimals { symbol: symbol(), on_chain: 18, in_file: 6 };
        assert_eq!(with(Some(18)), Some(lies));
        let absurd = Refusal::DecimalsAbsurd { symbol: symbol(), decimals: 77 };
        assert_eq!(with(Some(77)), Some(absurd));
    }

    #[test]
    fn hooks_that_take_part_in_swaps_are_refused() {
        let refused = |flags: u16, fee_pips| {
            let [high, low] = flags.to_be_bytes();
            let mut hooks = [0x4f; 20];
            (hooks[18], hooks[19]) = (high, low);
            refusal(&rules(), &v4(fee_pips, Address::from(hooks)), Some(at(0)))
        };
        let takes = Refusal::Hooks(SwapHook::TakesTrade);
        assert_eq!(refused(0b1000_1000, 500), Some(takes));
        let result = Refusal::Hooks(SwapHook::TakesResult);
        assert_eq!(refused(0b0100_0100, 500), Some(result));
        assert_eq!(refused(0b1000_0000, 0x80_0000), Some(Refusal::Hooks(SwapHook::SetsFee)));
        // Called for liquidity alone: a swap stays the pool's own.
        assert_eq!(refused(1 << 11, 500), None);
        assert!(matches!(refused(0, 500), Some(Refusal::Key(KeyError::Hooks { .. }))));
        let mut forged = v4(500, Address::ZERO);
        let Terms::V4 { id, .. } = &mut forged.terms else { panic!("a V4 pool") };
        let hash = *id;
        *id = B256::ZERO;
        assert_eq!(refusal(&rules(), &forged, Some(at(0))), Some(Refusal::Id { hash }));
    }

    #[test]
    fn what_cannot_be_traded_is_refused() {
        let check = |seen, expected| assert_eq!(refusal(&rules(), &v3(), seen), Some(expected));
        check(None, Refusal::Unread);
        check(Some(Seen::Unopened), Refusal::Unopened);
        for tick in [-878_401, 878_401, MAX_TICK] {
            check(Some(at(tick)), Refusal::Tick { tick });
        }
        for tick in [-878_400, 878_400] {
            assert_eq!(refusal(&rules(), &v3(), Some(at(tick))), None);
        }
        let [depth0, depth1] = deep();
        for depth in [[U256::ZERO; 2], [depth0, U256::ZERO], [U256::ZERO, depth1]] {
            let seen = Seen::Open { tick: Some(0), fee_pips: 500, depth };
            check(Some(seen), Refusal::NoLiquidity);
        }
        let dear = Seen::Open { tick: Some(0), fee_pips: 10_001, depth: deep() };
        check(Some(dear), Refusal::Fee { fee_pips: 10_001, most: 10_000 });
    }

    #[test]
    fn what_is_not_deep_enough_or_not_known_to_be_is_refused() {
        let of = |raw: U256| Seen::Open { tick: Some(0), fee_pips: 500, depth: [U256::ONE, raw] };
        let symbol = || "USDT".to_owned();
        let have = dec!(9999.999999);
        let thin = Refusal::Thin { have, least: dec!(10_000), symbol: symbol() };
        let seen = Some(of(U256::from(9_999_999_999_u64)));
        assert_eq!(refusal(&rules(), &v3(), seen), Some(thin));
        assert_eq!(refusal(&rules(), &v3(), Some(of(U256::from(10_000_000_000_u64)))), None);
        let vast = Refusal::Uncounted { symbol: symbol() };
        assert_eq!(refusal(&rules(), &v3(), Some(of(U256::MAX))), Some(vast));
        let native = Found { coins: [Address::ZERO, WETH], ..v3() };
        let unmeasured = Refusal::Unmeasured { symbol: "ETH".to_owned() };
        assert_eq!(refusal(&rules(), &native, Some(at(0))), Some(unmeasured));
        let free = Rules { least: BTreeMap::new(), ..rules() };
        assert_eq!(refusal(&free, &native, Some(at(0))), None);
        assert_eq!(refusal(&free, &v3(), Some(of(U256::MAX))), None);
    }
}
