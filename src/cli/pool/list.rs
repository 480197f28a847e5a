//! `pool list`: every pool of the files, with its price and its liquidity.

use alloy::primitives::U256;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Answer;
use crate::cli::columns::table;
use crate::cli::findings::{Progress, Report};
use crate::cli::pool::figures::{exact, shown, whole};
use crate::cli::pool::name::name_of;
use crate::cli::pool::place::{Place, Site, block_json};
use crate::config::chain::Chain;
use crate::config::pool::Pool;
use crate::engine::event::Observed;
use crate::engine::setup::PoolSetup;
use crate::io::chain::evm::hooked::{HookRules, Quoting};

/// Pools that are read with the same requests.
const POOLS_AT_ONCE: usize = 64;

/// One pool. What is not of its kind, or could not be read, is `None`.
#[derive(Debug, Serialize)]
struct Row {
    pool: String,
    chain: String,
    dex: &'static str,
    pair: String,
    /// Of V4 the LPs' part, as it is in the block where hooks set it.
    fee_pips: Option<u32>,
    /// A contract or, of V4, an id.
    address: Option<String>,
    /// Quote per base, every digit.
    price: Option<String>,
    /// Of V3 and V4: in range, raw.
    liquidity: Option<String>,
    /// Of V2: in whole tokens.
    reserves: Option<Reserves>,
    block: u64,
    /// How its swaps are told beforehand.
    quoted: Option<String>,
    /// Why it could not be read.
    problem: Option<String>,
    #[serde(skip)]
    price_shown: String,
    /// Whether hooks take part in its swaps.
    #[serde(skip)]
    is_hooked: bool,
}

#[derive(Debug, Serialize)]
struct Reserves {
    base: String,
    quote: String,
}

/// Reads each pool of these chains at one block a chain.
pub(super) async fn list(chains: Vec<&Chain>) -> Answer {
    let mut report = Report::new(Progress::Terminal);
    let (mut rows, mut places, mut n_silent) = (Vec::new(), Vec::new(), 0_usize);
    for chain in chains {
        let Some(place) = Place::pin(&mut report, chain).await else {
            n_silent += 1;
            continue;
        };
        let (mut n_done, n_pools) = (0, chain.pools.len());
        for some in chain.pools.chunks(POOLS_AT_ONCE) {
            report.look(&format!("{}: {n_done} of {n_pools} pools are read", chain.name));
            rows.extend(look(&place, some).await);
            n_done += some.len();
        }
        places.push(place);
    }
    super::complain(&report);
    let n_bad = rows.iter().filter(|row| row.problem.is_some()).count();
    let is_ok = n_bad == 0 && n_silent == 0;
    let chain =
        |place: &Place<'_>| json!({ "chain": place.chain.name, "block": block_json(&place.block) });
    let chains: Vec<Value> = places.iter().map(chain).collect();
    let json = json!({ "ok": is_ok, "chains": chains, "pools": rows });
    let mut text = told(&rows);
    text.extend(places.iter().map(|place| place.told() + "\n"));
    let failure = format!("{n_bad} pool(s) not read, {n_silent} chain(s) without an answer");
    Answer { text, json, failure: (!is_ok).then_some(failure) }
}

/// Reads some pools with the same requests.
async fn look<'c>(place: &Place<'c>, pools: &'c [Pool]) -> Vec<Row> {
    let sites = place.find_all(pools).await;
    let setups: Vec<&PoolSetup> = sites.iter().flatten().map(|site| &site.setup).collect();
    let observed = place.client.observe_all(&setups, place.block.hash).await;
    let (mut observed, silent) = match observed {
        Ok(observed) => (observed.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(error.to_string())),
    };
    let mut rows = Vec::with_capacity(pools.len());
    for (pool, site) in pools.iter().zip(sites) {
        let mut row = unread(place, pool);
        match site {
            Ok(site) => match observed.next() {
                Some(Ok(seen)) => match quoting_of(place, &site).await {
                    Ok(quoting) => {
                        fill(&mut row, &site, &seen);
                        row.quoted = Some(quoting.to_string());
                        row.is_hooked = quoting != Quoting::Curve;
                    }
                    Err(error) => row.problem = Some(format!("{error:#}")),
                },
                Some(Err(error)) => {
                    row.problem = Some(format!("reading {}: {error}", site.setup.address));
                }
                None => row.problem.clone_from(&silent),
            },
            Err(error) => row.problem = Some(format!("{error:#}")),
        }
        rows.push(row);
    }
    rows
}

/// A pool of which nothing is known but what the file says.
fn unread(place: &Place<'_>, pool: &Pool) -> Row {
    Row {
        pool: name_of(place.chain, pool),
        chain: place.chain.name.clone(),
        dex: pool.dex.name(),
        pair: format!("{}/{}", pool.base, pool.quote),
        fee_pips: pool.fixed_fee_pips(),
        address: None,
        price: None,
        liquidity: None,
        reserves: None,
        block: place.block.number,
        quoted: None,
        problem: None,
        price_shown: shown(None),
        is_hooked: false,
    }
}

/// How the swaps of a pool are told beforehand.
async fn quoting_of(place: &Place<'_>, site: &Site<'_>) -> Result<Quoting> {
    let Some(key) = &site.setup.key else { return Ok(Quoting::Curve) };
    let quoting = place.client.quoting(key, &HookRules::of(place.chain), place.block.hash).await;
    quoting.with_context(|| format!("reading {}", site.setup.address))
}

fn fill(row: &mut Row, site: &Site<'_>, observed: &Observed) {
    row.address = Some(site.setup.address.to_string());
    let price = match observed {
        Observed::V3(seen) => {
            row.liquidity = Some(seen.liquidity.to_string());
            site.price_at(seen.sqrt_price_x96)
        }
        Observed::V4(seen) => {
            row.liquidity = Some(seen.liquidity.to_string());
            row.fee_pips = Some(seen.lp_fee_pips);
            site.price_at(seen.sqrt_price_x96)
        }
        Observed::V2(seen) => {
            let [base, quote] = site.base_first([seen.reserve0, seen.reserve1]).map(U256::from);
            row.reserves = Some(Reserves {
                base: whole(base, site.base.decimals),
                quote: whole(quote, site.quote.decimals),
            });
            site.price_of((seen.reserve0, seen.reserve1))
        }
    };
    row.price = exact(price);
    row.price_shown = shown(price);
}

fn told(rows: &[Row]) -> String {
    let head =
        ["chain", "dex", "pair", "fee", "price", "liquidity or reserves", "address", "block"];
    let cells = |row: &Row| {
        let unknown = || "unknown".to_owned();
        let holds = match (&row.liquidity, &row.reserves) {
            (Some(liquidity), _) => liquidity.clone(),
            (None, Some(Reserves { base, quote })) => format!("{base} / {quote}"),
            (None, None) => unknown(),
        };
        [
            row.chain.clone(),
            row.dex.to_owned(),
            row.pair.clone(),
            row.fee_pips.map_or_else(unknown, |fee| fee.to_string()),
            row.price_shown.clone(),
            holds,
            row.address.clone().unwrap_or_else(unknown),
            row.block.to_string(),
        ]
    };
    let all: Vec<[String; 8]> =
        std::iter::once(head.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let mut text = table(&all);
    for row in rows {
        if let Some(quoted) = row.quoted.as_ref().filter(|_| row.is_hooked) {
            text.push_str(&format!("  {}: {quoted}\n", row.pool));
        }
        if let Some(problem) = &row.problem {
            text.push_str(&format!("  {}: {problem}\n", row.pool));
            text.push_str("    do: `tidekeeper check --online` names the key to correct\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_unknown_and_says_why() {
        let row = Row {
            pool: "here/uniswap_v3/A/B/500".to_owned(),
            chain: "here".to_owned(),
            dex: "uniswap_v3",
            pair: "A/B".to_owned(),
            fee_pips: Some(500),
            address: None,
            price: None,
            liquidity: None,
            reserves: None,
            block: 7,
            quoted: None,
            problem: Some("no answer".to_owned()),
            price_shown: shown(None),
            is_hooked: false,
        };
        let text = told(&[row]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].contains("500  unknown  unknown") && lines[1].ends_with('7'), "{text}");
        assert_eq!(lines[2], "  here/uniswap_v3/A/B/500: no answer");
        assert!(lines[3].contains("check --online"), "{text}");
    }
}
