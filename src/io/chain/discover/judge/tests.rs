use rust_decimal::dec;

use super::*;
use crate::config::pool::Dex;
use crate::market::pools::v4::key::{PoolKey, SwapHook};
use crate::math::amm::tick::MAX_TICK;

const WETH: Address = Address::with_last_byte(1);
const USDT: Address = Address::with_last_byte(2);
const OTHER: Address = Address::with_last_byte(3);

fn coin(symbol: &str, decimals: u8) -> Coin {
    let (symbol, on_chain) = (symbol.to_owned(), Some(decimals));
    Coin { symbol, decimals, on_chain, verdict: Verdict::Plain }
}

fn rules() -> Rules {
    let eth = coin("ETH", 18);
    Rules {
        coins: [(WETH, coin("WETH", 18)), (USDT, coin("USDT", 6)), (Address::ZERO, eth)].into(),
        quotes: vec!["USDT".to_owned(), "ETH".to_owned(), "WETH".to_owned()],
        least: [("USDT".to_owned(), dec!(10_000))].into(),
        fee_pips_max: 10_000,
        hooks: HookRules::default(),
        hook_codes: BTreeMap::new(),
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
    let key =
        PoolKey { currency0: Address::ZERO, currency1: USDT, fee_pips, tick_spacing: 10, hooks };
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

/// Hooks that are called for what these flags say.
fn hooks(flags: u16) -> Address {
    let [high, low] = flags.to_be_bytes();
    let mut hooks = [0x4f; 20];
    (hooks[18], hooks[19]) = (high, low);
    Address::from(hooks)
}

#[test]
fn hooks_that_take_part_in_swaps_are_refused() {
    let refused =
        |flags: u16, fee_pips| refusal(&rules(), &v4(fee_pips, hooks(flags)), Some(at(0)));
    let no_code = |hook| Some(Refusal::Hooks(NoQuote::NoCode { hook }));
    assert_eq!(refused(0b1000_1000, 500), no_code(SwapHook::TakesTrade));
    assert_eq!(refused(0b0100_0100, 500), no_code(SwapHook::TakesResult));
    assert_eq!(refused(0b1000_0000, 0x80_0000), no_code(SwapHook::SetsFee));
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
fn hooks_of_listed_code_are_kept() {
    let (hooks, code_hash) = (hooks(0b0100_0100), B256::repeat_byte(7));
    let pool = v4(500, hooks);
    let with = |code_hashes| {
        let quoter = Some(OTHER);
        let hook_codes = [(hooks, Some(code_hash))].into();
        let rules = Rules { hooks: HookRules { code_hashes, quoter }, hook_codes, ..rules() };
        refusal(&rules, &pool, Some(at(0)))
    };
    let hook = SwapHook::TakesResult;
    let unlisted = Refusal::Hooks(NoQuote::Unlisted { hook, code_hash });
    assert_eq!((with(vec![]), with(vec![code_hash])), (Some(unlisted), None));
}

#[test]
fn tokens_that_pools_cannot_count_on_are_refused() {
    let with = |verdict: Verdict| {
        let mut rules = rules();
        rules.coins.insert(USDT, Coin { verdict, ..coin("USDT", 6) });
        refusal(&rules, &v3(), Some(at(0)))
    };
    let symbol = || "USDT".to_owned();
    assert_eq!(with(Verdict::Plain), None);
    let fault = Fault::NoBalance;
    let refused = Refusal::Token { symbol: symbol(), fault: fault.clone() };
    assert_eq!(with(Verdict::Refused(fault)), Some(refused));
    let doubt = Doubt::NotTried;
    let unknown = Refusal::TokenUnknown { symbol: symbol(), doubt: doubt.clone() };
    assert_eq!(with(Verdict::Unknown(doubt)), Some(unknown));
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
