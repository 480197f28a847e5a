//! V4 pools as `PoolManager` stores them, read word by word: the contract has no views of its own.

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};

use crate::engine::event::{Pool, PoolEvent};
use crate::engine::setup::PoolSetup;
use crate::io::chain::read::nonsense;
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::PoolKey;
use crate::market::pools::v4::{PoolV4, V4Observed, V4Snapshot};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, TickState, check_spacing_v4};
use crate::model::chain::{BlockRef, PoolAddress};
use crate::venues::uniswap_v4;
use crate::venues::uniswap_v4::abi::PoolManager;
use crate::venues::uniswap_v4::storage::{self, Slot0};

/// Words asked for in one call: about two million gas, far below what nodes allow a call.
const WORDS_PER_CALL: usize = 1_000;
/// Ticks that one word of the bitmap stands for.
const WORD_TICKS: i32 = 256;

/// A V4 pool's place: the contract that holds it, and its key.
pub(super) type Place = (Address, PoolKey);

/// Where a setup of V4 has its pool.
pub(super) fn place(setup: &PoolSetup) -> Result<Place, ChainError> {
    setup.manager.zip(setup.key).ok_or_else(|| nonsense("a V4 pool", "it has no manager and key"))
}

/// The event that a log of a manager tells of one of these pools; one that cannot be read is told
/// as broken, by the id that all logs of pools have first.
pub(super) fn v4_event(pools: &[PoolSetup], log: &Log) -> Option<(PoolAddress, PoolEvent)> {
    let (id, event) = match uniswap_v4::decode_manager_log(&log.inner) {
        Ok(event) => event.map(|(id, event)| (id, PoolEvent::V4(event)))?,
        Err(error) => (*log.inner.topics().get(1)?, PoolEvent::Broken(error.to_string())),
    };
    let (pool, manager) = (PoolAddress::from(id), Some(log.inner.address));
    let is_watched = pools.iter().any(|setup| setup.address == pool && setup.manager == manager);
    is_watched.then_some((pool, event))
}

impl ChainClient {
    /// The logs of the managers of these pools that are about one of them; none are asked for where
    /// no pool is V4's.
    pub(super) async fn v4_logs(
        &self,
        pools: &[PoolSetup],
        at: B256,
    ) -> Result<Vec<Log>, ChainError> {
        let mut managers: Vec<Address> = pools.iter().filter_map(|pool| pool.manager).collect();
        managers.sort_unstable();
        managers.dedup();
        if managers.is_empty() {
            return Ok(Vec::new());
        }
        let id = |pool: &PoolSetup| match pool.address {
            PoolAddress::Id(id) => Some(id),
            PoolAddress::Contract(_) => None,
        };
        let ids: Vec<B256> = pools.iter().filter_map(id).collect();
        self.logs(&Filter::new().at_block_hash(at).address(managers).topic1(ids)).await
    }

    /// The first word of a pool; its price is zero where there is none.
    ///
    /// # Errors
    /// `ChainError`, also when nothing at the address answers as a `PoolManager` does.
    pub async fn v4_slot0(
        &self,
        manager: Address,
        id: B256,
        at: B256,
    ) -> Result<Slot0, ChainError> {
        let words = self.words(manager, &[storage::slot0_slot(id)], at).await?;
        let word = words.first().ok_or_else(|| nonsense("extsload", "it has no word"))?;
        Ok(storage::slot0(*word))
    }

    /// The comparable part of a pool at a block.
    pub(super) async fn v4_observed(
        &self,
        setup: &PoolSetup,
        at: B256,
    ) -> Result<V4Observed, ChainError> {
        let (manager, key) = place(setup)?;
        let id = key.id();
        let [growth0, growth1] = storage::fee_growth_slots(id);
        let slots = [storage::slot0_slot(id), storage::liquidity_slot(id), growth0, growth1];
        let words = self.words(manager, &slots, at).await?;
        let [slot0, liquidity, growth0, growth1] = words[..] else {
            return Err(nonsense("extsload", "it has other words than were asked for"));
        };
        let slot0 = storage::slot0(slot0);
        Ok(V4Observed {
            sqrt_price_x96: slot0.sqrt_price_x96,
            tick: slot0.tick,
            protocol_fee: slot0.protocol_fee,
            lp_fee_pips: slot0.lp_fee_pips,
            liquidity: storage::liquidity(liquidity),
            fee_growth_global0: U256::from_be_bytes(growth0.0),
            fee_growth_global1: U256::from_be_bytes(growth1.0),
        })
    }

    /// A pool's whole state at a block.
    pub(super) async fn v4_pool(
        &self,
        setup: &PoolSetup,
        block: &BlockRef,
    ) -> Result<Pool, ChainError> {
        let (place, at) = (place(setup)?, block.hash);
        let observed = self.v4_observed(setup, at).await?;
        let snapshot = V4Snapshot {
            key: place.1,
            sqrt_price_x96: observed.sqrt_price_x96,
            tick: observed.tick,
            protocol_fee: observed.protocol_fee,
            lp_fee_pips: observed.lp_fee_pips,
            liquidity: observed.liquidity,
            fee_growth_global0: observed.fee_growth_global0,
            fee_growth_global1: observed.fee_growth_global1,
            ticks: self.v4_ticks(place, at).await?,
            block: block.number,
        };
        let pool = PoolV4::from_snapshot(snapshot).map_err(|e| nonsense("pool state", e))?;
        Ok(Pool::V4(Box::new(pool)))
    }

    /// All initialized ticks, found through the tick bitmap.
    async fn v4_ticks(
        &self,
        (manager, key): Place,
        at: B256,
    ) -> Result<Vec<(i32, TickState)>, ChainError> {
        let (id, spacing) = (key.id(), key.tick_spacing);
        check_spacing_v4(spacing).map_err(|e| nonsense("tickSpacing", e))?;
        let first = (MIN_TICK / spacing).div_euclid(WORD_TICKS);
        let last = (MAX_TICK / spacing).div_euclid(WORD_TICKS);
        let slot = |position: i32| -> Result<B256, ChainError> {
            let position = i16::try_from(position).map_err(|e| nonsense("tick bitmap", e))?;
            Ok(storage::bitmap_slot(id, position))
        };
        let slots = (first..=last).map(slot).collect::<Result<Vec<_>, _>>()?;
        let words = self.words(manager, &slots, at).await?;
        let mut ticks = Vec::new();
        for (position, word) in (first..=last).zip(words) {
            let bits = U256::from_be_bytes(word.0);
            let set = (0..WORD_TICKS).zip(0..).filter(|(_, bit)| bits.bit(*bit));
            ticks.extend(set.map(|(tick, _)| (position * WORD_TICKS + tick) * spacing));
        }
        let slots: Vec<B256> =
            ticks.iter().flat_map(|tick| storage::tick_slots(id, *tick)).collect();
        let words = self.words(manager, &slots, at).await?;
        let (states, _) = words.as_chunks::<3>();
        Ok(ticks.into_iter().zip(states.iter().copied().map(storage::tick_state)).collect())
    }

    /// Words of a manager's storage, each slot's in the order asked.
    async fn words(
        &self,
        manager: Address,
        slots: &[B256],
        at: B256,
    ) -> Result<Vec<B256>, ChainError> {
        let call = |slots: &[B256]| PoolManager::extsloadCall { slots: slots.to_vec() };
        let calls: Vec<_> = slots.chunks(WORDS_PER_CALL).map(call).collect();
        let answers = self.views(manager, &calls, at).await?;
        let words = answers.concat();
        if words.len() != slots.len() {
            let why = format!("{} words of {} that were asked for", words.len(), slots.len());
            return Err(nonsense("extsload", why));
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Log as Inner, LogData};
    use alloy::sol_types::SolEvent;

    use super::*;
    use crate::engine::setup::Curve;

    const MANAGER: Address = Address::with_last_byte(4);
    const TOKEN: Address = Address::with_last_byte(9);

    fn key(tick_spacing: i32) -> PoolKey {
        let (currency0, hooks) = (Address::ZERO, Address::ZERO);
        PoolKey { currency0, currency1: TOKEN, fee_pips: 500, tick_spacing, hooks }
    }

    fn watched(key: PoolKey) -> PoolSetup {
        PoolSetup {
            address: key.id().into(),
            manager: Some(MANAGER),
            key: Some(key),
            dex: "uniswap_v4".into(),
            curve: Curve::V4,
            executor_dex: None,
            pair: "ETH/TOKEN".into(),
            fee_pips: key.fee_pips,
            tick_spacing: key.tick_spacing,
            token0: key.currency0,
            token1: key.currency1,
            base_is_token0: true,
        }
    }

    fn log(by: Address, data: LogData) -> Log {
        Log { inner: Inner { address: by, data }, ..Log::default() }
    }

    /// Somebody gives to the liquidity in range.
    fn donation(id: B256) -> LogData {
        let (amount0, amount1) = (U256::from(3), U256::ZERO);
        PoolManager::Donate { id, sender: TOKEN, amount0, amount1 }.encode_log_data()
    }

    #[test]
    fn a_log_is_told_with_the_id_of_a_pool_that_is_watched_in_its_contract() {
        let pools = [watched(key(10)), watched(key(60))];
        let (id, other) = (key(60).id(), key(1).id());
        let (pool, event) = v4_event(&pools, &log(MANAGER, donation(id))).unwrap();
        assert_eq!(pool, PoolAddress::Id(id));
        assert!(matches!(event, PoolEvent::V4(_)), "{event:?}");
        assert!(v4_event(&pools, &log(MANAGER, donation(other))).is_none());
        assert!(v4_event(&pools, &log(TOKEN, donation(id))).is_none());
    }

    #[test]
    fn a_log_that_cannot_be_read_breaks_its_own_pool() {
        let pools = [watched(key(10)), watched(key(60))];
        let whole = donation(key(60).id());
        let cut = LogData::new_unchecked(whole.topics().to_vec(), whole.data.slice(..32));
        let (pool, event) = v4_event(&pools, &log(MANAGER, cut)).unwrap();
        assert_eq!(pool, PoolAddress::Id(key(60).id()));
        assert!(matches!(event, PoolEvent::Broken(_)), "{event:?}");
    }
}
