//! `pool discover`: pools that the chain's factories opened and the file does not name yet, and
//! why some of them are better left out.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::Address;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use super::{Answer, FilesArguments};
use crate::cli::columns::table;
use crate::cli::findings::{Progress, Report};
use crate::cli::pool::place::{Place, block_json};
use crate::config::Config;
use crate::config::chain::{Chain, Token};
use crate::config::pool::{Pool, V4Part};
use crate::config::problem::suggest;
use crate::io::chain::discover::judge::{Coin, Judged, Rules};
use crate::io::chain::discover::{Found, Search, Terms};
use crate::io::chain::evm::hooked::HookRules;
use crate::io::chain::evm::token::Holding;
use crate::io::chain::evm::verdict::{Doubt, Verdict};
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::{DYNAMIC_FEE, PoolKey};
use crate::world::fork;

/// Decimals of every chain's native coin.
const NATIVE_DECIMALS: u8 = 18;
/// Pools that are looked at between two steps of the bar.
const LOOK_MAX: usize = 50;

#[derive(Debug, Args)]
pub(super) struct DiscoverArguments {
    #[command(flatten)]
    pub(super) files: FilesArguments,
    /// The chain, by the name in its file: pools between two of its tokens are looked for
    #[arg(long, value_name = "NAME")]
    chain: String,
    /// First block to search
    #[arg(long, value_name = "BLOCK", default_value_t = 0)]
    from: u64,
    /// Last block to search; the newest when not given
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// Least liquidity of a pool that is priced in this token, in whole tokens of it; may be given
    /// for several tokens, and pools priced in others are then left out
    #[arg(long, num_args = 2, value_names = ["AMOUNT", "TOKEN"])]
    min_liquidity: Vec<String>,
    /// Highest fee, in millionths
    #[arg(long, value_name = "PIPS", default_value_t = 10_000)]
    max_fee_pips: u32,
}

/// A pool that was found.
#[derive(Debug, Serialize)]
struct Row {
    dex: &'static str,
    /// Base and quote, where both are tokens of the file.
    pair: Option<String>,
    /// In millionths, or `dynamic`.
    fee: String,
    /// Of V4.
    tick_spacing: Option<i32>,
    /// Of V4.
    hooks: Option<String>,
    address: String,
    opened_in_block: u64,
    /// In whole tokens of the quote, where that is known.
    liquidity: Option<String>,
    in_file: bool,
    /// Why it is left out.
    refused: Option<String>,
    /// What to write into the file.
    allow: Option<String>,
}

/// Searches, looks and judges.
pub(super) async fn discover(config: &Config, arguments: &DiscoverArguments) -> Result<Answer> {
    let chain = fork::chain_of(config, &arguments.chain)?;
    let least = least(chain, &arguments.min_liquidity)?;
    let mut report = Report::new(Progress::Terminal);
    let place = Place::pin(&mut report, chain).await;
    super::complain(&report);
    let mut place = place.with_context(|| format!("chain {} does not answer", chain.name))?;
    let (from, head) = (arguments.from, place.block.number);
    let to = arguments.to.map_or(head, |to| to.min(head));
    ensure!(from <= to, "--from {from} is above {to}, the last block to search");
    let sources = chain.dexes.iter().map(|(dex, contracts)| (*dex, contracts.factory)).collect();
    let tokens = chain.tokens.values().map(|token| token.address);
    let mut search = Search::new(sources, tokens.chain([Address::ZERO]).collect(), from..=to);
    let bar = bar(to - from);
    let (found, stopped) = find(&place.client, &mut search, &bar).await;
    let rows = judged(&mut place, &found, least, arguments.max_fee_pips, &bar).await;
    bar.finish_and_clear();
    let next = search.next_block();
    let rows = rows.with_context(|| format!("{} pools found before block {next}", found.len()))?;
    let lines: Vec<&str> = rows.iter().filter_map(|row| row.allow.as_deref()).collect();
    let json = json!({
        "ok": stopped.is_none(),
        "chain": chain.name,
        "block": block_json(&place.block),
        // The first of them, and the first one behind them.
        "searched": { "from": from, "before": next },
        "pools": rows,
        "allow": lines,
    });
    let text = format!("{}{}\n{}", told(&rows), place.told(), paste(&lines));
    let failure = stopped
        .map(|error| format!("stopped before block {next}: {error}; go on with --from {next}"));
    Ok(Answer { text, json, failure })
}

/// Counts the blocks that are searched; drawn on a terminal alone.
fn bar(n_blocks: u64) -> ProgressBar {
    let bar = ProgressBar::new(n_blocks.saturating_add(1));
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} blocks, {msg}") {
        bar.set_style(style);
    }
    bar
}

/// What was found up to the end of the search, or up to an error, with which it stops.
async fn find(
    client: &ChainClient,
    search: &mut Search,
    bar: &ProgressBar,
) -> (Vec<Found>, Option<ChainError>) {
    let from = search.next_block();
    let mut found = Vec::new();
    while !search.is_done() {
        bar.set_message(format!("{} pools found", found.len()));
        match client.opened(search).await {
            Ok(more) => found.extend(more),
            Err(error) => return (found, Some(error)),
        }
        bar.set_position(search.next_block().saturating_sub(from));
    }
    (found, None)
}

/// Looks at every pool in one block, and says of each whether it may be kept.
async fn judged(
    place: &mut Place<'_>,
    found: &[Found],
    least: Vec<(String, Decimal)>,
    fee_pips_max: u32,
    bar: &ProgressBar,
) -> Result<Vec<Row>> {
    // The search may have taken long, and nodes forget the states of old blocks.
    place.block = place.newest().await.context("asking for the newest block")?;
    bar.set_message("buying and selling the tokens in simulation");
    let rules = rules(place, found, least, fee_pips_max).await?;
    let mut rows = Vec::with_capacity(found.len());
    for some in found.chunks(LOOK_MAX) {
        bar.set_message(format!("looked at {} of {} pools", rows.len(), found.len()));
        let seen = place.client.look(some, place.block.hash).await;
        let seen = seen.context("looking at the pools that were found")?;
        let judged = some.iter().zip(seen).map(|(found, seen)| (found, rules.judge(found, seen)));
        rows.extend(judged.map(|(found, judged)| row(place.chain, found, &judged)));
    }
    rows.sort_by_key(|row| row.refused.is_some());
    Ok(rows)
}

/// What is asked of the pools, and what their coins say of themselves and do.
async fn rules(
    place: &Place<'_>,
    found: &[Found],
    least: Vec<(String, Decimal)>,
    fee_pips_max: u32,
) -> Result<Rules> {
    let (chain, at) = (place.chain, place.block.hash);
    let tokens: Vec<Address> = chain.tokens.values().map(|token| token.address).collect();
    let told = place.client.decimals(&tokens, at).await;
    let told = told.context("asking the tokens for their decimals")?;
    let holdings: Vec<Holding> = found.iter().flat_map(holdings).collect();
    let mut verdicts = place.client.try_tokens(&holdings, at).await;
    let hooks: BTreeSet<Address> = found.iter().filter_map(swap_hooks).collect();
    let hook_codes = place.client.code_hashes(&hooks, at).await;
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

/// The tokens of a pool, and who holds them: V4's are all in one contract.
fn holdings(found: &Found) -> Vec<Holding> {
    let holder = found.address().contract().unwrap_or(found.source);
    Holding::both(found.coins, Some(holder))
}

/// The hooks of a pool where they take part in swaps.
fn swap_hooks(found: &Found) -> Option<Address> {
    v4_key(found).filter(|key| key.swap_hook().is_some()).map(|key| key.hooks)
}

/// Symbols that others are priced in: those that liquidity is measured in, those of the file's
/// pools, and the native coin, itself and wrapped.
fn quotes(chain: &Chain, least: &[(String, Decimal)]) -> Vec<String> {
    let measured = least.iter().map(|(symbol, _)| symbol);
    let in_file = chain.pools.iter().map(|pool| &pool.quote);
    let wrapped = chain.tokens.iter().filter(|(_, token)| token.address == chain.wrapped_native);
    let native = [&chain.native].into_iter().chain(wrapped.map(|(symbol, _)| symbol));
    measured.chain(in_file).chain(native).cloned().collect()
}

/// The least amounts of the command line, each of a coin of the chain.
fn least(chain: &Chain, words: &[String]) -> Result<Vec<(String, Decimal)>> {
    let mut least = Vec::new();
    for words in words.chunks(2) {
        let [amount, symbol] = words else {
            bail!("write one amount and one token, as in --min-liquidity 10000 USDC")
        };
        let mut known: Vec<&str> = chain.tokens.keys().map(String::as_str).collect();
        known.push(&chain.native);
        if !known.contains(&symbol.as_str()) {
            bail!("{} has no token {symbol:?}: {}", chain.name, suggest(symbol, &known));
        }
        let number = Decimal::from_str_exact(amount).ok().filter(|n| !n.is_sign_negative());
        let number = number.with_context(|| {
            format!("{amount:?} is not an amount of {symbol}: write a number such as 10000")
        })?;
        least.push((symbol.clone(), number));
    }
    Ok(least)
}

fn row(chain: &Chain, found: &Found, judged: &Judged) -> Row {
    let key = v4_key(found);
    let pool = judged.pair.as_ref().map(|pair| pool(found, pair));
    let in_file = pool.as_ref().is_some_and(|pool| {
        let is_same = |known: &Pool| known.is_same_pool(pool);
        chain.pools.iter().any(is_same)
    });
    let is_new = judged.refusal.is_none() && !in_file;
    Row {
        dex: found.dex.name(),
        pair: judged.pair.as_ref().map(|[base, quote]| format!("{base}/{quote}")),
        fee: fee(found.fee_pips()),
        tick_spacing: key.map(|key| key.tick_spacing),
        hooks: key.and_then(hooks).map(|hooks| hooks.to_string()),
        address: found.address().to_string(),
        opened_in_block: found.block,
        liquidity: judged.depth.map(|depth| depth.to_string()),
        in_file,
        refused: judged.refusal.as_ref().map(ToString::to_string),
        allow: pool.filter(|_| is_new).map(|pool| line(&pool)),
    }
}

fn v4_key(found: &Found) -> Option<PoolKey> {
    match found.terms {
        Terms::V4 { key, .. } => Some(key),
        Terms::V2 { .. } | Terms::V3 { .. } => None,
    }
}

fn hooks(key: PoolKey) -> Option<Address> {
    (!key.hooks.is_zero()).then_some(key.hooks)
}

fn fee(fee_pips: u32) -> String {
    if fee_pips == DYNAMIC_FEE { "dynamic".to_owned() } else { fee_pips.to_string() }
}

/// The pool as the chain's file would name it.
fn pool(found: &Found, [base, quote]: &[String; 2]) -> Pool {
    Pool {
        dex: found.dex,
        base: base.clone(),
        quote: quote.clone(),
        fee_pips: found.fee_pips(),
        v4: v4_key(found).map(|key| V4Part { tick_spacing: key.tick_spacing, hooks: hooks(key) }),
    }
}

/// A line for `allow` in the chain's file.
fn line(pool: &Pool) -> String {
    let Pool { dex, base, quote, fee_pips, v4 } = pool;
    let fee = match *fee_pips {
        DYNAMIC_FEE => format!("{:?}", fee(DYNAMIC_FEE)),
        fee_pips => fee(fee_pips),
    };
    let mut line =
        format!("{{ dex = \"{}\", pair = \"{base}/{quote}\", fee_pips = {fee}", dex.name());
    if let Some(V4Part { tick_spacing, hooks }) = v4 {
        line.push_str(&format!(", tick_spacing = {tick_spacing}"));
        if let Some(hooks) = hooks {
            line.push_str(&format!(", hooks = \"{hooks}\""));
        }
    }
    line + " },"
}

fn told(rows: &[Row]) -> String {
    let head = ["dex", "pair", "fee", "liquidity", "address", "verdict"].map(str::to_owned);
    let cells = |row: &Row| {
        let unknown = || "unknown".to_owned();
        let verdict = match (&row.refused, row.in_file) {
            (Some(why), _) => format!("LEFT OUT: {why}"),
            (None, true) => "in the file".to_owned(),
            (None, false) => "new".to_owned(),
        };
        [
            row.dex.to_owned(),
            row.pair.clone().unwrap_or_else(unknown),
            row.fee.clone(),
            row.liquidity.clone().unwrap_or_else(unknown),
            row.address.clone(),
            verdict,
        ]
    };
    let all: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    table(&all)
}

/// What to write into the chain's file.
fn paste(lines: &[&str]) -> String {
    if lines.is_empty() {
        return "no new pool may be kept\n".to_owned();
    }
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("for allow = [...] below [pools] in the chain's file:\n{lines}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use alloy::primitives::{B256, address};
    use rust_decimal::dec;

    use super::*;
    use crate::config;
    use crate::config::pool::Dex;
    use crate::io::chain::discover::judge::Refusal;

    const HOOKS: Address = address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f1000");

    fn base() -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let files = ["agent.toml", "chains/optimism.toml", "chains/base.toml"].map(text);
        config::load(&files, &|_| None).unwrap()
    }

    fn v3(fee_pips: u32) -> Found {
        let pool = Address::with_last_byte(9);
        Found {
            dex: Dex::UniswapV3,
            source: Address::with_last_byte(8),
            coins: [Address::with_last_byte(1), Address::with_last_byte(2)],
            terms: Terms::V3 { pool, fee_pips },
            block: 7,
        }
    }

    fn v4(fee_pips: u32, hooks: Address) -> Found {
        let currency1 = Address::with_last_byte(2);
        let key =
            PoolKey { currency0: Address::ZERO, currency1, fee_pips, tick_spacing: 10, hooks };
        Found { dex: Dex::UniswapV4, terms: Terms::V4 { id: B256::ZERO, key }, ..v3(0) }
    }

    fn kept(base: &str, quote: &str) -> Judged {
        let pair = Some([base, quote].map(str::to_owned));
        Judged { pair, depth: Some(dec!(25_000)), refusal: None }
    }

    #[test]
    fn a_new_pool_has_the_line_that_names_it() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let line = |found: &Found, base| row(chain, found, &kept(base, "USDC")).allow.unwrap();
        let v3_line = "{ dex = \"uniswap_v3\", pair = \"WETH/USDC\", fee_pips = 100 },";
        assert_eq!(line(&v3(100), "WETH"), v3_line);
        let v4_line = "{ dex = \"uniswap_v4\", pair = \"ETH/USDC\", fee_pips = 500, \
                       tick_spacing = 10 },";
        assert_eq!(line(&v4(500, Address::ZERO), "ETH"), v4_line);
        let dynamic = line(&v4(DYNAMIC_FEE, HOOKS), "ETH");
        let end = format!("fee_pips = \"dynamic\", tick_spacing = 10, hooks = \"{HOOKS}\" }},");
        assert!(dynamic.ends_with(&end), "{dynamic}");
    }

    #[test]
    fn a_pool_of_the_file_and_a_refused_one_have_no_line() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let known = row(chain, &v3(500), &kept("USDC", "WETH"));
        assert!(known.in_file && known.allow.is_none());
        let refusal = Some(Refusal::NoLiquidity);
        let refused = row(chain, &v3(100), &Judged { refusal, ..kept("WETH", "USDC") });
        assert!(!refused.in_file && refused.allow.is_none());
        let coin = Refusal::UnknownCoin { address: HOOKS };
        let nameless = Judged { pair: None, depth: None, refusal: Some(coin) };
        let fresh = row(chain, &v4(500, HOOKS), &kept("ETH", "USDC"));
        let text = told(&[known, fresh, refused, row(chain, &v3(100), &nameless)]);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines[1].starts_with("uniswap_v3  USDC/WETH  500  25000 "), "{text}");
        assert!(lines[1].ends_with("in the file") && lines[2].ends_with("new"), "{text}");
        assert!(lines[3].ends_with("LEFT OUT: it has no liquidity at its price"), "{text}");
        let left_out = format!("LEFT OUT: coin {HOOKS} is no token of the chain's file");
        assert!(lines[4].starts_with("uniswap_v3  unknown    100  unknown "), "{text}");
        assert!(lines[4].ends_with(&left_out), "{text}");
        assert_eq!(paste(&[]), "no new pool may be kept\n");
        assert!(paste(&["{ },"]).ends_with(":\n    { },\n"));
    }

    #[test]
    fn least_amounts_are_of_coins_of_the_chain_and_price_the_others_first() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let asked = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            least(chain, &words)
        };
        let both = asked(&["4.5", "ETH", "10000", "USDT"]).unwrap();
        assert_eq!(both, [("ETH".to_owned(), dec!(4.5)), ("USDT".to_owned(), dec!(10_000))]);
        assert_eq!(quotes(chain, &both)[..3], ["ETH", "USDT", "USDC"]);
        assert!(asked(&[]).unwrap().is_empty());
        for words in [["1", "USDX"], ["-1", "USDC"], ["much", "USDC"]] {
            assert!(asked(&words).is_err(), "{words:?}");
        }
    }
}
