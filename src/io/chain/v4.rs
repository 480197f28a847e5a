//! V4 pools as `PoolManager` stores them, read word by word: the contract has no views of its own.

use alloy::primitives::{Address, B256};
use alloy::rpc::types::Log;

use crate::engine::event::PoolEvent;
use crate::engine::setup::PoolSetup;
use crate::io::chain::read::nonsense;
use crate::io::chain::{ChainClient, ChainError};
use crate::market::pools::v4::key::PoolKey;
use crate::model::chain::PoolAddress;
use crate::venues::uniswap_v4;
use crate::venues::uniswap_v4::abi::PoolManager;
use crate::venues::uniswap_v4::storage::{self, Slot0};

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
    /// A pool's first word and its liquidity in range; the price is zero where there is no pool.
    ///
    /// # Errors
    /// `ChainError`, also when nothing at the address answers as a `PoolManager` does.
    pub async fn v4_state(
        &self,
        manager: Address,
        id: B256,
        at: B256,
    ) -> Result<(Slot0, u128), ChainError> {
        let slots = vec![storage::slot0_slot(id), storage::liquidity_slot(id)];
        let words = self.view(manager, &PoolManager::extsloadCall { slots }, at).await?;
        let [slot0, liquidity] = words[..] else {
            return Err(nonsense("extsload", "it has not two words"));
        };
        Ok((storage::slot0(slot0), storage::liquidity(liquidity)))
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Log as Inner, LogData, U256};
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
