//! The pools that are watched on a chain, found by what names them, and their logs.
//!
//! Built once: a log finds its pool without looking at the others, and what endpoints are asked is
//! cut into filters that they take.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use futures::future::try_join_all;

use crate::engine::event::PoolEvent;
use crate::engine::setup::PoolSetup;
use crate::io::chain::read::pool_event;
use crate::io::chain::{ChainClient, ChainError};
use crate::model::chain::PoolAddress;

/// Contracts or ids in one filter: endpoints bound both how long a question is and how many logs
/// answer it.
const NAMES_PER_FILTER: usize = 1_000;

/// Watched pools.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    setups: BTreeMap<PoolAddress, PoolSetup>,
    filters: Vec<Filter>,
}

impl Roster {
    /// The roster of these pools.
    pub fn new(pools: &[PoolSetup]) -> Self {
        let mut contracts: Vec<Address> = Vec::new();
        // A filter without an address asks for the logs of all: an id goes with its manager.
        let mut ids: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
        for pool in pools {
            match (pool.address, pool.manager) {
                (PoolAddress::Contract(contract), _) => contracts.push(contract),
                (PoolAddress::Id(id), Some(manager)) => ids.entry(manager).or_default().push(id),
                // It has no logs, and cannot be read.
                (PoolAddress::Id(_), None) => {}
            }
        }
        let of_contracts = contracts.chunks(NAMES_PER_FILTER);
        let mut filters: Vec<Filter> =
            of_contracts.map(|some| Filter::new().address(some.to_vec())).collect();
        for (manager, ids) in ids {
            let of_ids = ids.chunks(NAMES_PER_FILTER);
            filters.extend(of_ids.map(|some| Filter::new().address(manager).topic1(some.to_vec())));
        }
        let setups = pools.iter().map(|pool| (pool.address, pool.clone())).collect();
        Self { setups, filters }
    }

    /// A pool by what names it.
    pub fn get(&self, pool: PoolAddress) -> Option<&PoolSetup> {
        self.setups.get(&pool)
    }

    /// What asks for the logs of all of them, of any block.
    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The event a log of one of them tells of; one that cannot be read is told as broken.
    pub(super) fn event(&self, log: &Log) -> Option<(PoolAddress, PoolEvent)> {
        let contract = PoolAddress::from(log.inner.address);
        // A manager's logs of pools have the id first.
        let id = || log.inner.topics().get(1).map(|id| PoolAddress::from(*id));
        let setup = self.get(contract).or_else(|| self.get(id()?))?;
        pool_event(std::slice::from_ref(setup), log)
    }
}

impl ChainClient {
    /// What the logs of one block tell of these pools, in order.
    ///
    /// # Errors
    /// `ChainError`.
    pub async fn pool_events(
        &self,
        pools: &Roster,
        at: B256,
    ) -> Result<Vec<(PoolAddress, PoolEvent)>, ChainError> {
        let filters: Vec<Filter> =
            pools.filters().iter().map(|filter| filter.clone().at_block_hash(at)).collect();
        let found = try_join_all(filters.iter().map(|filter| self.logs(filter))).await?;
        let mut logs: Vec<Log> = found.into_iter().flatten().collect();
        logs.sort_by_key(|log| log.log_index);
        Ok(logs.iter().filter_map(|log| pools.event(log)).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::{Log as Inner, LogData, U256};
    use alloy::sol_types::SolEvent;

    use super::*;
    use crate::engine::setup::Curve;
    use crate::market::pools::v2::V2Event;
    use crate::market::pools::v4::key::PoolKey;
    use crate::venues::uniswap_v2::abi::UniswapV2Pair as Pair;
    use crate::venues::uniswap_v4::abi::PoolManager;

    const MANAGER: Address = Address::with_last_byte(0xfe);

    /// A V2 pair.
    pub(in crate::io::chain) fn pair(address: Address) -> PoolSetup {
        PoolSetup {
            address: address.into(),
            manager: None,
            key: None,
            dex: "uniswap_v2".into(),
            curve: Curve::V2,
            executor_dex: None,
            pair: "A/B".into(),
            fee_pips: 3_000,
            tick_spacing: 1,
            token0: Address::with_last_byte(1),
            token1: Address::with_last_byte(2),
            base_is_token0: true,
        }
    }

    /// The log by which a pair tells its reserves.
    pub(in crate::io::chain) fn sync(of: Address, reserves: [u64; 2]) -> Log {
        let words = reserves.map(|reserve| U256::from(reserve).to_be_bytes::<32>()).concat();
        let data = LogData::new_unchecked(vec![Pair::Sync::SIGNATURE_HASH], words.into());
        Log { inner: Inner { address: of, data }, ..Log::default() }
    }

    fn v4(tick_spacing: i32) -> PoolSetup {
        let (currency0, currency1) = (Address::ZERO, Address::with_last_byte(2));
        let hooks = Address::ZERO;
        let key = PoolKey { currency0, currency1, fee_pips: 500, tick_spacing, hooks };
        PoolSetup {
            address: key.id().into(),
            manager: Some(MANAGER),
            key: Some(key),
            curve: Curve::V4,
            ..pair(Address::ZERO)
        }
    }

    fn donation(by: Address, id: B256) -> Log {
        let (amount0, amount1) = (U256::from(3), U256::ZERO);
        let given = PoolManager::Donate { id, sender: Address::ZERO, amount0, amount1 };
        Log { inner: Inner { address: by, data: given.encode_log_data() }, ..Log::default() }
    }

    fn id(of: &PoolSetup) -> B256 {
        B256::from_slice(of.address.as_slice())
    }

    #[test]
    fn a_log_finds_its_own_pool() {
        let (a, b) = (Address::with_last_byte(10), Address::with_last_byte(11));
        let roster = Roster::new(&[pair(a), v4(10), pair(b), v4(60)]);
        let (pool, event) = roster.event(&sync(b, [3, 4])).unwrap();
        assert_eq!(pool, b.into());
        let told = V2Event::Sync { reserve0: 3, reserve1: 4 };
        assert!(matches!(event, PoolEvent::V2(event) if event == told), "{event:?}");
        let (pool, _) = roster.event(&donation(MANAGER, id(&v4(60)))).unwrap();
        assert_eq!(pool, v4(60).address);
        // Another contract's word for it, an id of no pool, a contract of no pool.
        assert!(roster.event(&donation(a, id(&v4(60)))).is_none());
        assert!(roster.event(&donation(MANAGER, B256::ZERO)).is_none());
        assert!(roster.event(&sync(MANAGER, [3, 4])).is_none());
    }

    #[test]
    fn thousands_are_asked_for_in_several_filters_and_none_in_none() {
        assert!(Roster::default().filters().is_empty());
        let contracts =
            (1..=2_500_u64).map(|n| pair(Address::from_word(B256::from(U256::from(n)))));
        let pools: Vec<PoolSetup> = contracts.chain([v4(10), v4(60)]).collect();
        let roster = Roster::new(&pools);
        let names = |filter: &Filter| (filter.address.len(), filter.topics[1].len());
        let told: Vec<(usize, usize)> = roster.filters().iter().map(names).collect();
        assert_eq!(told, [(1_000, 0), (1_000, 0), (500, 0), (1, 2)]);
    }
}
