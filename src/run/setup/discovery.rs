//! `discover = true`: pools that the factories of a chain's file opened and the file does not name.
//!
//! A start searches the blocks that no earlier one has searched, and looks at all that was ever
//! found, since what may be kept changes from block to block. Invariant: an endpoint that fails
//! costs the pools it did not tell, and not the start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use anyhow::{Context, Result};
use futures::future::join_all;

use super::survey::{self, Wanted};
use super::{FOUND_AT_ONCE, find_pool};
use crate::config::chain::Chain;
use crate::config::discovery::Discovery;
use crate::config::pool::Pool;
use crate::engine::setup::PoolSetup;
use crate::io::chain::discover::judge::{Judged, Refusal};
use crate::io::chain::discover::{Found, Search};
use crate::io::chain::{ChainClient, ChainError};
use crate::store::{Openings, SearchScope, Store};

/// How far it is, is told so often, and what was found is kept as often.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Pause before an endpoint that failed is asked once more.
const PAUSE: Duration = Duration::from_secs(3);
/// Pools that the file names are watched anyway.
const NAMED: &str = "named in the file";
/// The engine quotes no pool whose hooks take part in swaps, whoever trusts them.
const SIMULATED: &str = "quoted by simulation alone";
/// Of a coin that nobody knows.
const UNNAMED: &str = "unknown coin";
/// By what the file calls it there is another pool.
const ELSEWHERE: &str = "at another address";
/// The chain did not show it again.
const NOT_SHOWN: &str = "not found again";

/// What a start found.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// The pools besides those of the file, oldest first, each with its name as the file would
    /// write it.
    pub(super) pools: Vec<(Pool, PoolSetup)>,
    /// What kept it from finding more.
    pub(super) trouble: Option<String>,
}

/// Finds the pools of a chain up to this block that may be kept and that its file does not name.
///
/// # Errors
/// When the store does not tell what earlier starts found.
pub(super) async fn discover(
    chain: &Chain,
    discovery: &Discovery,
    client: &ChainClient,
    store: &Store,
    head: u64,
) -> Result<Discovered> {
    let mut hunt = Hunt::begin(chain, discovery, store, head).await?;
    let stopped = hunt.run(client).await;
    let found = hunt.found(discovery);
    let unsearched = stopped.map(|error| {
        let (block, found) = (hunt.search.next_block(), found.len());
        tracing::warn!(
            chain = chain.name, %error, block, found,
            "the search for pools stopped at this block: the keeper starts with those found before \
             it, and the next start goes on there; check that the endpoint answers eth_getLogs, or \
             set from_block of [pools.discovery]"
        );
        format!("the search for pools stopped at block {block}: {error}")
    });
    let looked = look(chain, discovery, client, &found).await;
    let mut discovered = looked.unwrap_or_else(|error| {
        let error = format!("{error:#}");
        tracing::warn!(
            chain = chain.name,
            error,
            "the pools that were found could not be looked at: the keeper starts with those of the \
             file; start it again when the endpoint answers"
        );
        Discovered { trouble: Some(error), ..Discovered::default() }
    });
    discovered.trouble = unsearched.or(discovered.trouble);
    Ok(discovered)
}

/// A search that goes on where the last one ended, and keeps what it finds.
struct Hunt<'h> {
    chain: &'h Chain,
    store: &'h Store,
    scope: SearchScope,
    search: Search,
    /// Everything found, of earlier starts too, oldest first.
    found: Vec<Found>,
    /// How many of them are kept in the store.
    n_kept: usize,
    /// The first block that the store does not hold.
    kept_before: u64,
    /// The first block that a reorganisation may still take back.
    unsafe_from: u64,
}

impl<'h> Hunt<'h> {
    async fn begin(
        chain: &'h Chain,
        discovery: &Discovery,
        store: &'h Store,
        head: u64,
    ) -> Result<Self> {
        let (sources, coins) = (survey::sources(chain), survey::coins(chain));
        let scope =
            SearchScope { chain: chain.chain_id, sources, coins, from: discovery.from_block };
        let known = store.openings(&scope).await;
        let known = known.context("reading the pools that earlier starts found")?;
        let anew = Openings { found: Vec::new(), next: scope.from };
        let Openings { found, next } = known.unwrap_or(anew);
        tracing::info!(
            chain = chain.name,
            from = next,
            to = head,
            known = found.len(),
            "searching for pools"
        );
        let search = Search::new(scope.sources.clone(), scope.coins.clone(), next..=head);
        let window = chain.finality.reorg_window_blocks;
        let unsafe_from = head.saturating_add(1).saturating_sub(window);
        let n_kept = found.len();
        Ok(Self { chain, store, scope, search, found, n_kept, kept_before: next, unsafe_from })
    }

    /// Searches to the end, or up to an error that comes twice.
    async fn run(&mut self, client: &ChainClient) -> Option<ChainError> {
        let (chain, mut told) = (self.chain, Instant::now());
        let (mut failure, mut is_second) = (None, false);
        while !self.search.is_done() {
            match client.opened(&mut self.search).await {
                Ok(more) => {
                    self.found.extend(more);
                    is_second = false;
                }
                Err(error) if is_second => {
                    failure = Some(error);
                    break;
                }
                Err(_) => {
                    is_second = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let (block, found) = (self.search.next_block(), self.found.len());
                tracing::info!(chain = chain.name, block, found, "searching for pools");
                self.keep().await;
            }
        }
        self.keep().await;
        failure
    }

    /// Keeps what was found in blocks that stay. Where that fails the next start searches again.
    async fn keep(&mut self) {
        let before = self.search.next_block().min(self.unsafe_from);
        if before <= self.kept_before {
            return;
        }
        let fresh = self.found.get(self.n_kept..).unwrap_or_default();
        let n_more = fresh.partition_point(|found| found.block < before);
        let more = fresh.get(..n_more).unwrap_or_default();
        match self.store.keep_openings(&self.scope, more, before).await {
            Ok(()) => {
                self.n_kept += n_more;
                self.kept_before = before;
            }
            Err(error) => tracing::warn!(
                chain = self.chain.name, %error,
                "the pools that were found are not kept: the next start searches for them again"
            ),
        }
    }

    /// What was found from the first block on that is asked for, in an order of its own: that of
    /// the blocks, and inside of a block that of the addresses.
    fn found(&self, discovery: &Discovery) -> Vec<Found> {
        let asked = |found: &&Found| found.block >= discovery.from_block;
        let mut found: Vec<Found> = self.found.iter().filter(asked).copied().collect();
        found.sort_by_key(|found| (found.block, found.address()));
        found
    }
}

/// How many pools are left out for which kind of reason.
type LeftOut = BTreeMap<&'static str, usize>;

/// Looks at pools in one block and finds those that may be kept as pools of the file are found.
async fn look(
    chain: &Chain,
    discovery: &Discovery,
    client: &ChainClient,
    found: &[Found],
) -> Result<Discovered> {
    if found.is_empty() {
        tracing::info!(chain = chain.name, "no pool was found");
        return Ok(Discovered::default());
    }
    // The search may have taken long, and nodes forget the states of old blocks.
    let at = client.latest().await.context("asking for the newest block")?.header.hash;
    let wanted = Wanted::of(chain, discovery);
    let rules = survey::rules(chain, client, at, found, wanted).await?;
    let (n_found, mut told) = (found.len(), Instant::now());
    let tell = |n_done: usize| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tracing::info!(chain = chain.name, n_done, n_found, "looking at pools");
        }
    };
    let judged = survey::judged(client, at, &rules, found, tell).await;
    let judged = judged.context("looking at the pools that were found")?;
    let (mut kept, mut left_out) = sorted_out(chain, found, &judged);
    let n_over = kept.len().saturating_sub(discovery.max_pools);
    if n_over > 0 {
        let max_pools = discovery.max_pools;
        tracing::warn!(
            chain = chain.name,
            max_pools,
            n_over,
            "more pools were found than max_pools of [pools.discovery]: those opened last are left \
             out; raise it, or ask for more in min_liquidity"
        );
        kept.truncate(max_pools);
    }
    let discovered = shown(chain, client, at, &kept, &mut left_out).await;
    let counts: Vec<String> = left_out.iter().map(|(why, n)| format!("{why}: {n}")).collect();
    let (watched, left_out) = (discovered.pools.len(), counts.join(", "));
    tracing::info!(chain = chain.name, n_found, watched, left_out, "pools discovered");
    Ok(discovered)
}

/// The pools that are kept, each with its name as the file would write it, and why the others are
/// not.
fn sorted_out(chain: &Chain, found: &[Found], judged: &[Judged]) -> (Vec<(Found, Pool)>, LeftOut) {
    let (mut kept, mut left_out) = (Vec::new(), LeftOut::new());
    for (found, judged) in found.iter().zip(judged) {
        let pool = judged.pair.as_ref().map(|pair| survey::pool(found, pair));
        let refused = judged.refusal.as_ref().map(Refusal::kind);
        let why = refused.or_else(|| survey::swap_hooks(found).map(|_| SIMULATED));
        let why = match (pool, why) {
            (Some(pool), _) if survey::is_in_file(chain, &pool) => NAMED,
            (Some(pool), None) => {
                kept.push((*found, pool));
                continue;
            }
            (_, why) => why.unwrap_or(UNNAMED),
        };
        *left_out.entry(why).or_default() += 1;
    }
    (kept, left_out)
}

/// The pools as a keeper is told them, found by their names: only where that leads to the pool that
/// was opened can it be followed.
async fn shown(
    chain: &Chain,
    client: &ChainClient,
    at: B256,
    kept: &[(Found, Pool)],
    left_out: &mut LeftOut,
) -> Discovered {
    let mut discovered = Discovered::default();
    for some in kept.chunks(FOUND_AT_ONCE) {
        let finding: Vec<_> =
            some.iter().map(|(_, pool)| find_pool(chain, pool, client, at)).collect();
        for ((found, pool), shown) in some.iter().zip(join_all(finding).await) {
            let why = match shown {
                Ok(setup) if setup.address == found.address() => {
                    discovered.pools.push((pool.clone(), setup));
                    continue;
                }
                Ok(_) => ELSEWHERE,
                Err(error) => {
                    // One of them stands for all: it may be the endpoint.
                    if discovered.trouble.is_none() {
                        let error = format!("{error:#}");
                        tracing::warn!(chain = chain.name, %pool, error, "a pool is left out");
                        discovered.trouble = Some(error);
                    }
                    NOT_SHOWN
                }
            };
            *left_out.entry(why).or_default() += 1;
        }
    }
    discovered
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, address};
    use rust_decimal::dec;

    use super::*;
    use crate::run::setup::survey::tests::{HOOKS, base, v3, v4};

    /// Hooks that may take the trade.
    const TAKING: Address = address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f0088");

    fn judged(pair: Option<[&str; 2]>, refusal: Option<Refusal>) -> Judged {
        let pair = pair.map(|pair| pair.map(str::to_owned));
        Judged { pair, depth: Some(dec!(25_000)), refusal }
    }

    #[test]
    fn what_may_be_kept_and_the_engine_can_quote_is_watched_once() {
        let config = base();
        let chain = config.chain("base").unwrap();
        let (ether, wrapped) = (Some(["ETH", "USDC"]), Some(["WETH", "USDC"]));
        let coin = Refusal::UnknownCoin { address: HOOKS };
        let cases = [
            (v3(100), judged(wrapped, None)),
            (v3(500), judged(Some(["USDC", "WETH"]), None)),
            // What the file names is watched, whatever discovery thinks of it.
            (v3(3_000), judged(wrapped, Some(Refusal::NoLiquidity))),
            (v3(10_000), judged(wrapped, Some(Refusal::NoLiquidity))),
            (v4(500, TAKING), judged(ether, None)),
            (v4(500, HOOKS), judged(ether, None)),
            (v4(100, HOOKS), judged(None, Some(coin))),
        ];
        let (found, judged): (Vec<Found>, Vec<Judged>) = cases.into_iter().unzip();
        let (kept, left_out) = sorted_out(chain, &found, &judged);
        let names: Vec<String> = kept.iter().map(|(_, pool)| pool.to_string()).collect();
        let hooked = format!("uniswap_v4 ETH/USDC 500/10/{HOOKS}");
        assert_eq!(names, ["uniswap_v3 WETH/USDC 100".to_owned(), hooked]);
        let counts = [(NAMED, 2), ("no liquidity", 1), (SIMULATED, 1), (UNNAMED, 1)];
        assert_eq!(left_out, LeftOut::from(counts));
    }
}
