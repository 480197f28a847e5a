//! `discover = true`: pools that the factories of a chain's file opened and the file does not name.
//!
//! A start searches the blocks that no earlier one has searched, as long as it may keep a keeper
//! waiting; the rest is searched beside it, for the next start. It looks at all that was ever
//! found, since what may be kept changes from block to block. Invariant: an endpoint that fails
//! costs the pools it did not tell, and not the start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use anyhow::{Context, Result};
use futures::future::join_all;

use super::survey::{self, Wanted, again};
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
/// A keeper waits so long for a search: without it nothing is hedged and nothing can be halted.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before pools that were not found by their names are looked for once more.
const PAUSE: Duration = Duration::from_secs(3);
/// Pause of a search beside a keeper whose endpoint failed again and again.
const REST: Duration = Duration::from_secs(60);
/// Pools that are looked at in one block.
const LOOK_MAX: usize = 50;
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
/// The endpoint failed before.
const NOT_SEEN: &str = "not looked at";

/// What a start found.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// The pools besides those of the file, oldest first, each with its name as the file would
    /// write it.
    pub(super) pools: Vec<(Pool, PoolSetup)>,
    /// What kept it from finding more.
    pub(super) trouble: Option<String>,
    /// The search, where it is not done.
    pub(super) rest: Option<Hunt>,
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
    let mut hunt = Hunt::begin(chain, discovery, client, store, head).await?;
    let ended = hunt.run(Some(Instant::now() + PATIENCE)).await;
    let found = hunt.all();
    let why = match ended {
        Ended::Whole => None,
        Ended::Late => Some(format!("it took longer than {} s", PATIENCE.as_secs())),
        Ended::Failed(error) => Some(error.to_string()),
    };
    let unsearched = why.map(|why| {
        let (block, found) = (hunt.search.next_block(), found.len());
        tracing::warn!(
            chain = chain.name,
            why,
            block,
            found,
            "the search for pools goes on beside the keeper, which starts with those found before \
             this block: start it again once the search is done; if it does not move, check that \
             the endpoint answers eth_getLogs, or set from_block of [pools.discovery]"
        );
        format!("the search for pools stopped at block {block}: {why}")
    });
    let looked = look(chain, discovery, client, &found).await;
    let trouble = unsearched.or(looked.trouble);
    let rest = trouble.is_some().then_some(hunt).filter(|hunt| !hunt.search.is_done());
    Ok(Discovered { pools: looked.pools, trouble, rest })
}

/// How a search ended.
enum Ended {
    /// No block is left.
    Whole,
    /// Its time was over.
    Late,
    /// The endpoint failed again and again.
    Failed(ChainError),
}

/// A search that goes on where the last one ended, and keeps what it finds.
#[derive(Debug)]
pub(crate) struct Hunt {
    chain: String,
    client: ChainClient,
    store: Store,
    scope: SearchScope,
    search: Search,
    /// Everything found, of earlier searches too.
    found: Vec<Found>,
    /// How many of them are kept in the store.
    n_kept: usize,
    /// The first block that the store does not hold.
    kept_before: u64,
    /// The first block that a reorganisation may still take back.
    unsafe_from: u64,
}

impl Hunt {
    async fn begin(
        chain: &Chain,
        discovery: &Discovery,
        client: &ChainClient,
        store: &Store,
        head: u64,
    ) -> Result<Self> {
        let (sources, coins) = (survey::sources(chain), survey::coins(chain));
        let scope =
            SearchScope { chain: chain.chain_id, sources, coins, from: discovery.from_block };
        let known = store.openings(&scope).await;
        let Openings { found, next } =
            known.context("reading the pools that earlier starts found")?;
        tracing::info!(
            chain = chain.name,
            from = next,
            to = head,
            known = found.len(),
            "searching for pools"
        );
        let search = Search::new(scope.sources.clone(), scope.coins.clone(), next..=head);
        let window = chain.finality.reorg_window_blocks;
        Ok(Self {
            chain: chain.name.clone(),
            client: client.clone(),
            store: store.clone(),
            scope,
            search,
            n_kept: found.len(),
            found,
            kept_before: next,
            unsafe_from: head.saturating_add(1).saturating_sub(window),
        })
    }

    /// Searches to the end, as long as there is time.
    async fn run(&mut self, until: Option<Instant>) -> Ended {
        let mut told = Instant::now();
        let mut ended = Ended::Whole;
        while !self.search.is_done() {
            let asked = survey::opened(&self.client, &mut self.search);
            let answer = match until {
                Some(until) => tokio::time::timeout_at(until.into(), asked).await,
                None => Ok(asked.await),
            };
            match answer {
                Ok(Ok(more)) => self.found.extend(more),
                Ok(Err(error)) => {
                    ended = Ended::Failed(error);
                    break;
                }
                Err(_) => {
                    ended = Ended::Late;
                    break;
                }
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let (block, found) = (self.search.next_block(), self.found.len());
                tracing::info!(chain = self.chain, block, found, "searching for pools");
                self.keep().await;
            }
        }
        self.keep().await;
        ended
    }

    /// Searches what a start left, for the next one.
    pub(crate) async fn finish(mut self) {
        while let Ended::Failed(error) = self.run(None).await {
            let (chain, block) = (&self.chain, self.search.next_block());
            tracing::warn!(chain, %error, block, "the search for pools goes on in a minute");
            tokio::time::sleep(REST).await;
        }
        let (chain, found) = (&self.chain, self.all().len());
        tracing::info!(chain, found, "the search for pools is done: the next start looks at them");
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
                chain = self.chain, %error,
                "the pools that were found are not kept: the next start searches for them again"
            ),
        }
    }

    /// What was found by anybody, in an order of its own: that of the blocks, and inside of a block
    /// that of the addresses. Another search may have found the same before.
    fn all(&self) -> Vec<Found> {
        let mut found = self.found.clone();
        found.sort_by_key(|found| (found.block, found.address(), found.source));
        found.dedup();
        found
    }
}

/// How many pools are left out for which kind of reason.
type LeftOut = BTreeMap<&'static str, usize>;

/// Looks at pools and finds those that may be kept as pools of the file are found.
async fn look(
    chain: &Chain,
    discovery: &Discovery,
    client: &ChainClient,
    found: &[Found],
) -> Discovered {
    if found.is_empty() {
        tracing::info!(chain = chain.name, "no pool was found");
        return Discovered::default();
    }
    let (judged, mut trouble) = all_judged(chain, discovery, client, found).await;
    let (mut kept, mut left_out) = sorted_out(chain, found, &judged);
    if let Some(error) = &trouble {
        let n_unseen = found.len() - judged.len();
        left_out.insert(NOT_SEEN, n_unseen);
        tracing::warn!(
            chain = chain.name,
            error,
            n_unseen,
            "pools that were found could not be looked at: the keeper starts without them; start \
             it again when the endpoint answers"
        );
    }
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
    let (pools, unshown) = shown(chain, client, &kept, &mut left_out).await;
    let counts: Vec<String> = left_out.iter().map(|(why, n)| format!("{why}: {n}")).collect();
    let (n_found, watched, left_out) = (found.len(), pools.len(), counts.join(", "));
    tracing::info!(chain = chain.name, n_found, watched, left_out, "pools discovered");
    trouble = trouble.or(unshown);
    Discovered { pools, trouble, rest: None }
}

/// What is to be thought of pools, in their order, up to an error that does not pass. Each group is
/// looked at in the newest block, since nodes forget the states of old ones.
async fn all_judged(
    chain: &Chain,
    discovery: &Discovery,
    client: &ChainClient,
    found: &[Found],
) -> (Vec<Judged>, Option<String>) {
    let rules = again(async || {
        let at = newest(client).await?;
        survey::rules(chain, client, at, found, Wanted::of(chain, discovery)).await
    });
    let rules = match rules.await {
        Ok(rules) => rules,
        Err(error) => return (Vec::new(), Some(format!("{error:#}"))),
    };
    let (mut judged, mut told) = (Vec::with_capacity(found.len()), Instant::now());
    for some in found.chunks(LOOK_MAX) {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (n_done, n_found) = (judged.len(), found.len());
            tracing::info!(chain = chain.name, n_done, n_found, "looking at pools");
        }
        let seen = again(async || {
            let at = newest(client).await?;
            survey::judged(client, at, &rules, some).await.map_err(anyhow::Error::from)
        });
        match seen.await {
            Ok(more) => judged.extend(more),
            Err(error) => return (judged, Some(format!("{error:#}"))),
        }
    }
    (judged, None)
}

async fn newest(client: &ChainClient) -> Result<B256> {
    Ok(client.latest().await.context("asking for the newest block")?.header.hash)
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
/// was opened can it be followed. Those that were not found are looked for once more.
async fn shown(
    chain: &Chain,
    client: &ChainClient,
    kept: &[(Found, Pool)],
    left_out: &mut LeftOut,
) -> (Vec<(Pool, PoolSetup)>, Option<String>) {
    let (mut pools, mut trouble) = (Vec::new(), None);
    let mut waiting: Vec<&(Found, Pool)> = kept.iter().collect();
    for pause in [None, Some(PAUSE)] {
        if waiting.is_empty() {
            break;
        }
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let asked = std::mem::take(&mut waiting);
        for some in asked.chunks(FOUND_AT_ONCE) {
            let found = named(chain, client, some).await;
            for (one, found) in some.iter().zip(found) {
                match found {
                    Ok(setup) if setup.address == one.0.address() => {
                        pools.push((one.1.clone(), setup));
                    }
                    Ok(_) => *left_out.entry(ELSEWHERE).or_default() += 1,
                    Err(error) => {
                        waiting.push(one);
                        trouble = Some(format!("{}: {error:#}", one.1));
                    }
                }
            }
        }
    }
    if waiting.is_empty() {
        return (pools, None);
    }
    // One of them stands for all: it may be the endpoint.
    tracing::warn!(chain = chain.name, error = trouble, "a pool is left out");
    left_out.insert(NOT_SHOWN, waiting.len());
    (pools, trouble)
}

/// These pools, each found by its name in the newest block.
async fn named(
    chain: &Chain,
    client: &ChainClient,
    pools: &[&(Found, Pool)],
) -> Vec<Result<PoolSetup>> {
    let at = newest(client).await;
    let finding = pools.iter().map(async |(_, pool)| {
        let at = at.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        client.turn().await;
        find_pool(chain, pool, client, *at).await
    });
    join_all(finding).await
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
