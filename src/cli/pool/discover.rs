//! `pool discover`: pools that the chain's factories opened and the file does not name yet, and
//! why some of them are better left out.

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
use crate::config::chain::Chain;
use crate::config::pool::{Pool, V4Part};
use crate::config::problem::suggest;
use crate::io::chain::discover::judge::Judged;
use crate::io::chain::discover::{Found, Search};
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::DYNAMIC_FEE;
use crate::run::setup::survey::{self, Wanted};
use crate::world::fork;

/// The highest fee where neither the command line nor the chain's file says one, in millionths.
const FEE_PIPS_MAX: u32 = 10_000;

#[derive(Debug, Args)]
pub(super) struct DiscoverArguments {
    #[command(flatten)]
    pub(super) files: FilesArguments,
    /// The chain, by the name in its file: pools between two of its tokens are looked for
    #[arg(long, value_name = "NAME")]
    chain: String,
    /// First block to search; else `from_block` of the chain's file, else 0
    #[arg(long, value_name = "BLOCK")]
    from: Option<u64>,
    /// Last block to search; the newest when not given
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// Least liquidity of a pool that is priced in this token, in whole tokens of it; may be given
    /// for several tokens, and pools priced in others are then left out; else `min_liquidity` of
    /// the file
    #[arg(long, num_args = 2, value_names = ["AMOUNT", "TOKEN"])]
    min_liquidity: Vec<String>,
    /// Highest fee, in millionths; else `max_fee_pips` of the file, else 10000
    #[arg(long, value_name = "PIPS")]
    max_fee_pips: Option<u32>,
}

impl DiscoverArguments {
    /// What is asked of a pool: what the command line does not say, the chain's file may.
    fn wanted(&self, chain: &Chain) -> Result<Wanted> {
        let of_file = chain.discovery.as_ref().map(|discovery| Wanted::of(chain, discovery));
        let fee_pips_of_file = of_file.as_ref().map(|wanted| wanted.fee_pips_max);
        let fee_pips_max = self.max_fee_pips.or(fee_pips_of_file).unwrap_or(FEE_PIPS_MAX);
        let mut least = least(chain, &self.min_liquidity)?;
        if least.is_empty() {
            least = of_file.map(|wanted| wanted.least).unwrap_or_default();
        }
        Ok(Wanted { least, fee_pips_max })
    }
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
    let wanted = arguments.wanted(chain)?;
    let mut report = Report::new(Progress::Terminal);
    let place = Place::pin(&mut report, chain).await;
    super::complain(&report);
    let mut place = place.with_context(|| format!("chain {} does not answer", chain.name))?;
    let from_of_file = chain.discovery.as_ref().map(|discovery| discovery.from_block);
    let from = arguments.from.or(from_of_file).unwrap_or(0);
    let head = place.block.number;
    let to = arguments.to.map_or(head, |to| to.min(head));
    ensure!(from <= to, "--from {from} is above {to}, the last block to search");
    let mut search = Search::new(survey::sources(chain), survey::coins(chain), from..=to);
    let bar = bar(to - from);
    let (found, stopped) = find(&place.client, &mut search, &bar).await;
    let rows = judged(&mut place, &found, wanted, &bar).await;
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
        match survey::opened(client, search).await {
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
    wanted: Wanted,
    bar: &ProgressBar,
) -> Result<Vec<Row>> {
    // The search may have taken long, and nodes forget the states of old blocks.
    place.block = place.newest().await.context("asking for the newest block")?;
    let (chain, client, at) = (place.chain, &place.client, place.block.hash);
    bar.set_message("buying and selling the tokens in simulation");
    let rules = survey::rules(chain, client, at, found, wanted).await?;
    bar.set_message(format!("looking at {} pools", found.len()));
    let judged = survey::judged(client, at, &rules, found).await;
    let judged = judged.context("looking at the pools that were found")?;
    let pairs = found.iter().zip(&judged);
    let mut rows: Vec<Row> = pairs.map(|(found, judged)| row(chain, found, judged)).collect();
    rows.sort_by_key(|row| row.refused.is_some());
    Ok(rows)
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
    let key = survey::v4_key(found);
    let pool = judged.pair.as_ref().map(|pair| survey::pool(found, pair));
    let in_file = pool.as_ref().is_some_and(|pool| survey::is_in_file(chain, pool));
    let is_new = judged.refusal.is_none() && !in_file;
    Row {
        dex: found.dex.name(),
        pair: judged.pair.as_ref().map(|[base, quote]| format!("{base}/{quote}")),
        fee: fee(found.fee_pips()),
        tick_spacing: key.map(|key| key.tick_spacing),
        hooks: key.and_then(survey::hooks).map(|hooks| hooks.to_string()),
        address: found.address().to_string(),
        opened_in_block: found.block,
        liquidity: judged.depth.map(|depth| depth.to_string()),
        in_file,
        refused: judged.refusal.as_ref().map(ToString::to_string),
        allow: pool.filter(|_| is_new).map(|pool| line(&pool)),
    }
}

fn fee(fee_pips: u32) -> String {
    if fee_pips == DYNAMIC_FEE { "dynamic".to_owned() } else { fee_pips.to_string() }
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
    use std::collections::BTreeMap;

    use alloy::primitives::Address;
    use rust_decimal::dec;

    use super::*;
    use crate::config::discovery::Discovery;
    use crate::io::chain::discover::judge::Refusal;
    use crate::run::setup::survey::tests::{HOOKS, base, v3, v4};

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
    fn least_amounts_are_of_coins_of_the_chain() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let asked = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            least(chain, &words)
        };
        let both = asked(&["4.5", "ETH", "10000", "USDT"]).unwrap();
        assert_eq!(both, [("ETH".to_owned(), dec!(4.5)), ("USDT".to_owned(), dec!(10_000))]);
        assert!(asked(&[]).unwrap().is_empty());
        for words in [["1", "USDX"], ["-1", "USDC"], ["much", "USDC"]] {
            assert!(asked(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_file_says_what_the_command_line_does_not() {
        let mut chain = base().chain("base").unwrap().clone();
        let arguments = |words: &[&str], max_fee_pips| DiscoverArguments {
            files: FilesArguments { config: ".".into(), json: false },
            chain: String::new(),
            from: None,
            to: None,
            min_liquidity: words.iter().map(|word| (*word).to_owned()).collect(),
            max_fee_pips,
        };
        let wanted = |chain: &Chain, words: &[&str], max_fee_pips| {
            let wanted = arguments(words, max_fee_pips).wanted(chain).unwrap();
            (wanted.least, wanted.fee_pips_max)
        };
        assert_eq!(wanted(&chain, &[], None), (Vec::new(), FEE_PIPS_MAX));
        chain.discovery = Some(Discovery {
            from_block: 7,
            max_fee_pips: 500,
            min_liquidity: BTreeMap::from([("USDC".to_owned(), dec!(5))]),
            max_pools: 9,
        });
        let of = |symbol: &str, least| vec![(symbol.to_owned(), least)];
        assert_eq!(wanted(&chain, &[], None), (of("USDC", dec!(5)), 500));
        assert_eq!(wanted(&chain, &["7", "WETH"], Some(3_000)), (of("WETH", dec!(7)), 3_000));
    }
}
