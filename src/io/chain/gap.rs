//! States of pools that are known from earlier blocks, brought forward by the logs since.
//!
//! A state counts only while the block it is of is the chain's own, and is not older than the logs
//! that are asked for. Every log's block is compared with the chain's. What cannot be brought
//! forward is dropped, and read whole.

use std::collections::{BTreeMap, BTreeSet};

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use alloy::providers::Provider;
use alloy::rpc::client::BatchRequest;
use alloy::rpc::types::{Filter, Log};
use futures::future::try_join_all;
use serde::Deserialize;

use crate::engine::event::Pool;
use crate::io::chain::batch::fewer;
use crate::io::chain::read::nonsense;
use crate::io::chain::roster::Roster;
use crate::io::chain::{ChainClient, ChainError, ask, refused};
use crate::model::chain::{BlockRef, PoolAddress};

/// A state that is older is read whole instead.
pub const GAP_BLOCKS_MAX: u64 = 5_000;
/// Attempts to bring states forward before they are given up.
const TRIES: u32 = 3;
/// Blocks whose logs are asked for at once, until an endpoint refuses.
const LOG_BLOCKS: u64 = 500;
/// Logs that are followed; where there are more, pools are read whole.
const LOGS_MAX: usize = 200_000;
/// Blocks of one request whose hashes are asked for: an answer holds the names of all transactions.
const HASHES_PER_REQUEST: usize = 50;

/// What is known of pools without asking the chain: kept by an earlier run, or read before an
/// endpoint failed.
#[derive(Debug, Default)]
pub struct KnownPools {
    states: BTreeMap<PoolAddress, (BlockRef, Pool)>,
    /// Times in a row that they could not be brought forward.
    n_failed: u32,
}

impl KnownPools {
    /// A state after a block.
    pub fn insert(&mut self, pool: PoolAddress, block: BlockRef, state: Pool) {
        self.states.insert(pool, (block, state));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Takes out those of one block, and forgets the others.
    pub fn take(&mut self, block: &BlockRef) -> Vec<(PoolAddress, Pool)> {
        let states = std::mem::take(&mut self.states);
        let of_block = states.into_iter().filter(|(_, (at, _))| at == block);
        of_block.map(|(pool, (_, state))| (pool, state)).collect()
    }

    /// Follows logs, in order, up to a block; a pool that one does not fit is dropped.
    fn follow(&mut self, logs: &[Log], pools: &Roster, to: &BlockRef) {
        for log in logs {
            let Some((pool, event)) = pools.event(log) else { continue };
            let Some((at, state)) = self.states.get_mut(&pool) else { continue };
            if log.block_number.is_some_and(|number| number > at.number)
                && let Err(why) = state.apply(&event)
            {
                tracing::warn!(chain = to.chain, %pool, %why, "a kept state does not fit");
                self.states.remove(&pool);
            }
        }
        for (at, _) in self.states.values_mut() {
            *at = *to;
        }
    }
}

/// A block, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Named {
    hash: B256,
}

impl ChainClient {
    /// Brings known states forward to a block of the chain. Those that cannot be are dropped.
    ///
    /// # Errors
    /// `ChainError`, also when the chain has replaced that block, or a log is of another block than
    /// the chain's own; then what is known stays as it was, until it happened too often: an
    /// endpoint may not have those logs any more.
    pub async fn bring_forward(
        &self,
        known: &mut KnownPools,
        pools: &Roster,
        to: &BlockRef,
    ) -> Result<(), ChainError> {
        let done = self.try_forward(known, pools, to).await;
        known.n_failed = if done.is_ok() { 0 } else { known.n_failed + 1 };
        if known.n_failed >= TRIES {
            tracing::warn!(chain = to.chain, "kept states are given up, pools are read whole");
            *known = KnownPools::default();
        }
        done
    }

    async fn try_forward(
        &self,
        known: &mut KnownPools,
        pools: &Roster,
        to: &BlockRef,
    ) -> Result<(), ChainError> {
        let is_near = |at: BlockRef| {
            let gap = to.number.checked_sub(at.number);
            at.chain == to.chain && gap.is_some_and(|gap| gap <= GAP_BLOCKS_MAX)
        };
        known.states.retain(|pool, state| is_near(state.0) && pools.get(*pool).is_some());
        let heights: BTreeSet<u64> = known.states.values().map(|(at, _)| at.number).collect();
        let hashes = self.hashes(&heights).await?;
        known.states.retain(|_, state| hashes.get(&state.0.number) == Some(&state.0.hash));
        let Some(oldest) = known.states.values().map(|(at, _)| at.number).min() else {
            return Ok(());
        };
        let first = oldest.saturating_add(1);
        let logs = self.logs_between(pools.filters(), first, to.number, LOGS_MAX).await?;
        let Some(logs) = logs else {
            tracing::warn!(chain = to.chain, "too many logs since then, pools are read whole");
            *known = KnownPools::default();
            return Ok(());
        };
        self.check(&logs, to).await?;
        known.follow(&logs, pools, to);
        Ok(())
    }

    /// Every log is of the chain's own block, and this block still is, after all were asked for.
    async fn check(&self, logs: &[Log], to: &BlockRef) -> Result<(), ChainError> {
        let mut heights: BTreeSet<u64> = logs.iter().filter_map(|log| log.block_number).collect();
        heights.insert(to.number);
        let hashes = self.hashes(&heights).await?;
        if hashes.get(&to.number) != Some(&to.hash) {
            return Err(nonsense("eth_getLogs", format!("block {} was replaced", to.number)));
        }
        let is_own = |log: &&Log| {
            let asked_for = log.block_number.filter(|number| *number <= to.number);
            let own = asked_for.and_then(|number| hashes.get(&number));
            own.is_some() && own == log.block_hash.as_ref() && !log.removed
        };
        match logs.iter().find(|log| !is_own(log)) {
            None => Ok(()),
            Some(log) => {
                let why = format!("a log of block {:?} is not the chain's", log.block_number);
                Err(nonsense("eth_getLogs", why))
            }
        }
    }

    /// Logs of blocks, in the chain's order; `None` where they are more than `most`. Half as many
    /// blocks are asked for each time the endpoint refuses or takes too long.
    async fn logs_between(
        &self,
        filters: &[Filter],
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<Option<Vec<Log>>, ChainError> {
        let (mut next, mut step) = (from, LOG_BLOCKS);
        let mut found: Vec<Log> = Vec::new();
        while next <= to {
            let last = to.min(next.saturating_add(step - 1));
            let range = |filter: &Filter| filter.clone().from_block(next).to_block(last);
            let filters: Vec<Filter> = filters.iter().map(range).collect();
            self.turn().await;
            match try_join_all(filters.iter().map(|filter| self.logs(filter))).await {
                Ok(logs) => {
                    found.extend(logs.into_iter().flatten());
                    if found.len() > most {
                        return Ok(None);
                    }
                    next = last.saturating_add(1);
                }
                Err(ChainError::Refused { .. } | ChainError::Timeout { .. }) if last > next => {
                    step = (last - next).div_ceil(2);
                }
                Err(error) => return Err(error),
            }
        }
        found.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(Some(found))
    }

    /// Hashes of the chain's own blocks by height; a height that is not there is left out. Half as
    /// many are asked for each time the endpoint refuses or takes too long.
    ///
    /// # Errors
    /// `ChainError`.
    async fn hashes(&self, heights: &BTreeSet<u64>) -> Result<BTreeMap<u64, B256>, ChainError> {
        let heights: Vec<u64> = heights.iter().copied().collect();
        let mut hashes = BTreeMap::new();
        let (mut rest, mut most) = (heights.as_slice(), HASHES_PER_REQUEST);
        while !rest.is_empty() {
            let (some, later) = rest.split_at(rest.len().min(most));
            match self.some_hashes(some).await {
                Ok(found) => {
                    hashes.extend(found);
                    rest = later;
                }
                Err(error) => most = fewer(some.len(), 1, error)?,
            }
        }
        Ok(hashes)
    }

    /// Hashes with one request.
    async fn some_hashes(&self, heights: &[u64]) -> Result<Vec<(u64, B256)>, ChainError> {
        let what = "eth_getBlockByNumber";
        self.turn().await;
        let mut batch = BatchRequest::new(self.provider.client());
        let mut waiters = Vec::with_capacity(heights.len());
        for height in heights {
            let block = (BlockNumberOrTag::Number(*height), false);
            let waiter =
                batch.add_call::<_, Option<Named>>(what, &block).map_err(|e| refused(what, &e))?;
            waiters.push((*height, waiter));
        }
        ask(what, async { batch.send().await }).await?;
        let mut hashes = Vec::with_capacity(waiters.len());
        for (height, waiter) in waiters {
            let block = waiter.await.map_err(|e| refused(what, &e))?;
            hashes.extend(block.map(|block| (height, block.hash)));
        }
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use alloy::providers::RootProvider;
    use alloy::providers::mock::Asserter;
    use alloy::rpc::client::RpcClient;
    use serde_json::{Value, json};

    use super::*;
    use crate::io::chain::roster::tests::{pair, sync};
    use crate::market::pools::v2::{PoolV2, V2Observed};
    use crate::math::amm::v2::KeptPart;

    const POOL: Address = Address::with_last_byte(9);

    fn block(number: u64) -> BlockRef {
        let hash = B256::with_last_byte(u8::try_from(number % 251).unwrap());
        BlockRef { chain: 1, number, hash }
    }

    /// The chain's answer for a height.
    fn named(number: u64) -> Value {
        json!({ "hash": block(number).hash })
    }

    fn known(at: u64) -> KnownPools {
        let seen = V2Observed { reserve0: 10, reserve1: 20 };
        let state = Pool::V2(PoolV2::from_snapshot(seen, KeptPart::UNISWAP));
        let mut known = KnownPools::default();
        known.insert(POOL.into(), block(at), state);
        known
    }

    fn log(number: u64, index: u64, reserves: [u64; 2]) -> Log {
        Log {
            block_number: Some(number),
            block_hash: Some(block(number).hash),
            log_index: Some(index),
            ..sync(POOL, reserves)
        }
    }

    fn client(endpoint: &Asserter) -> ChainClient {
        ChainClient { provider: RootProvider::new(RpcClient::mocked(endpoint.clone())), pace: None }
    }

    async fn brought(
        endpoint: &Asserter,
        known: &mut KnownPools,
        to: u64,
    ) -> Result<Vec<(u128, u128)>, ChainError> {
        let roster = Roster::new(&[pair(POOL)]);
        client(endpoint).bring_forward(known, &roster, &block(to)).await?;
        let reserves = |(_, state): (PoolAddress, Pool)| match state {
            Pool::V2(pool) => pool.reserves(),
            _ => (0, 0),
        };
        Ok(known.take(&block(to)).into_iter().map(reserves).collect())
    }

    #[tokio::test]
    async fn logs_since_are_followed_in_order() {
        let endpoint = Asserter::new();
        endpoint.push_success(&named(100));
        // A range that is refused is asked for in halves: 101 to 600, 101 to 350, 351 to 600.
        endpoint.push_failure_msg("range is too wide");
        endpoint.push_success(&[log(300, 2, [13, 23]), log(300, 1, [12, 22])]);
        endpoint.push_success(&Vec::<Log>::new());
        for height in [300, 600] {
            endpoint.push_success(&named(height));
        }
        let mut known = known(100);
        assert_eq!(brought(&endpoint, &mut known, 600).await.unwrap(), [(13, 23)]);
        assert!(endpoint.pop_response().is_none());
    }

    #[tokio::test]
    async fn a_state_of_a_block_that_is_not_the_chains_is_dropped() {
        let endpoint = Asserter::new();
        endpoint.push_success(&json!({ "hash": B256::repeat_byte(7) }));
        let mut replaced = known(100);
        assert!(brought(&endpoint, &mut replaced, 600).await.unwrap().is_empty());
        endpoint.push_success(&Value::Null);
        let mut unknown = known(100);
        assert!(brought(&endpoint, &mut unknown, 600).await.unwrap().is_empty());
        // Neither is asked for at all.
        let mut old = known(100);
        let too_far = 100 + GAP_BLOCKS_MAX + 1;
        assert!(brought(&endpoint, &mut old, too_far).await.unwrap().is_empty());
        let mut ahead = known(100);
        assert!(brought(&endpoint, &mut ahead, 99).await.unwrap().is_empty());
        assert!(endpoint.pop_response().is_none());
    }

    #[tokio::test]
    async fn a_log_of_a_block_that_is_not_the_chains_changes_nothing() {
        let endpoint = Asserter::new();
        endpoint.push_success(&named(100));
        endpoint.push_success(&[log(101, 0, [12, 22])]);
        endpoint.push_success(&json!({ "hash": B256::repeat_byte(7) }));
        endpoint.push_success(&named(102));
        let mut stays = known(100);
        let told = brought(&endpoint, &mut stays, 102).await;
        assert!(matches!(told, Err(ChainError::Nonsense { .. })), "{told:?}");
        assert_eq!(stays.len(), 1);
        // The same when the block to come to was replaced meanwhile.
        endpoint.push_success(&named(100));
        endpoint.push_success(&Vec::<Log>::new());
        endpoint.push_success(&json!({ "hash": B256::repeat_byte(7) }));
        assert!(brought(&endpoint, &mut stays, 102).await.is_err());
        assert_eq!(stays.len(), 1);
        // The third time in a row is the last.
        endpoint.push_failure_msg("that is pruned");
        assert!(brought(&endpoint, &mut stays, 102).await.is_err() && stays.is_empty());
    }

    #[tokio::test]
    async fn hashes_that_are_too_many_at_once_are_asked_for_in_halves() {
        let endpoint = Asserter::new();
        let heights = [100, 200, 300];
        endpoint.push_failure_msg("response is too large");
        for height in [200, 300, 100, 200, 300] {
            endpoint.push_success(&named(height));
        }
        let told = client(&endpoint).hashes(&BTreeSet::from(heights)).await.unwrap();
        let expected = heights.map(|height| (height, block(height).hash));
        assert_eq!(told, BTreeMap::from(expected));
        assert!(endpoint.pop_response().is_none());
        // One alone is not asked for again.
        for _ in 0..2 {
            endpoint.push_failure_msg("response is too large");
        }
        assert!(client(&endpoint).hashes(&BTreeSet::from([100])).await.is_err());
        assert!(endpoint.pop_response().is_some());
    }

    #[tokio::test]
    async fn too_many_logs_are_given_up_early() {
        let endpoint = Asserter::new();
        let filters = [Filter::new()];
        let both = [log(101, 0, [12, 22]), log(102, 0, [13, 23])];
        endpoint.push_success(&both);
        let told = client(&endpoint).logs_between(&filters, 101, 102, 2).await.unwrap();
        assert_eq!(told.map(|logs| logs.len()), Some(2));
        endpoint.push_success(&both);
        let told = client(&endpoint).logs_between(&filters, 101, 2_000, 1).await.unwrap();
        assert!(told.is_none());
    }

    #[tokio::test]
    async fn a_state_that_a_log_does_not_fit_is_dropped() {
        let endpoint = Asserter::new();
        endpoint.push_success(&named(100));
        let mut cut = log(101, 0, [12, 22]);
        cut.inner.data.data = cut.inner.data.data.slice(..32);
        endpoint.push_success(&[cut]);
        for height in [101, 102] {
            endpoint.push_success(&named(height));
        }
        assert!(brought(&endpoint, &mut known(100), 102).await.unwrap().is_empty());
    }
}
