//! The dialect of Uniswap V4: the logs of `PoolManager` in; where it stores a pool is in `storage`.
//!
//! Knows the contract's words, no pool state and no sockets. One contract holds all pools, so that
//! a log is told with the id of its pool. Invariant: a log that is not one of a pool's is `None`;
//! one that is, but malformed, is an error and never half an event.

pub mod abi;
pub mod storage;

#[cfg(test)]
mod recorded;

use alloy::primitives::{B256, Log, U256};
use alloy::sol_types::SolEvent;

use crate::market::pools::v4::key::PoolKey;
use crate::market::pools::v4::{SwapEnd, V4Event};
use crate::venues::{DecodeError, EventLog};

use abi::PoolManager;

/// A pool that was opened, as `Initialize` tells it. Whether the id is the key's hash is not
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the contract calls the pool.
    pub id: B256,
    /// What names it in calls.
    pub key: PoolKey,
    /// Its first price, Q64.96.
    pub sqrt_price_x96: U256,
    /// The tick of that price.
    pub tick: i32,
}

/// The pool event a log tells of, with the pool's id; `None` when it is not one that changes a
/// pool's state. The logs of every pool of the contract are read: the caller looks at the id.
///
/// # Errors
/// When the log has the name of a pool event but not its form.
pub fn decode_manager_log(log: &Log) -> Result<Option<(B256, V4Event)>, DecodeError> {
    let Some(topic) = log.topics().first().copied() else {
        return Ok(None);
    };
    let event = match topic {
        PoolManager::Swap::SIGNATURE_HASH => swap(EventLog::new(log, "Swap"))?,
        PoolManager::ModifyLiquidity::SIGNATURE_HASH => {
            modify_liquidity(EventLog::new(log, "ModifyLiquidity"))?
        }
        PoolManager::Initialize::SIGNATURE_HASH => {
            let opened = initialize(EventLog::new(log, "Initialize"))?;
            let Opened { id, sqrt_price_x96, tick, .. } = opened;
            (id, V4Event::Initialize { sqrt_price_x96, tick })
        }
        PoolManager::Donate::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Donate");
            let [_, id, sender] = log.topics()?;
            log.address(sender)?;
            let [amount0, amount1] = log.words()?.map(U256::from_be_bytes);
            (*id, V4Event::Donate { amount0, amount1 })
        }
        PoolManager::ProtocolFeeUpdated::SIGNATURE_HASH => {
            let log = EventLog::new(log, "ProtocolFeeUpdated");
            let [_, id] = log.topics()?;
            let [protocol_fee] = log.words()?;
            (*id, V4Event::ProtocolFeeUpdated { protocol_fee: log.u24(protocol_fee)? })
        }
        _ => return Ok(None),
    };
    Ok(Some(event))
}

/// The pool that a log tells the opening of; `None` when it tells of something else.
///
/// # Errors
/// When the log has the name of the event but not its form.
pub fn decode_initialize(log: &Log) -> Result<Option<Opened>, DecodeError> {
    if log.topics().first() != Some(&PoolManager::Initialize::SIGNATURE_HASH) {
        return Ok(None);
    }
    initialize(EventLog::new(log, "Initialize")).map(Some)
}

fn swap(log: EventLog<'_>) -> Result<(B256, V4Event), DecodeError> {
    let [_, id, sender] = log.topics()?;
    let [amount0, amount1, sqrt_price_x96, liquidity, tick, fee] = log.words()?;
    log.address(sender)?;
    let end = SwapEnd {
        amount0: log.i128(amount0)?,
        amount1: log.i128(amount1)?,
        sqrt_price_x96: log.u160(sqrt_price_x96)?,
        liquidity: log.u128(liquidity)?,
        tick: log.i24(tick)?,
        fee_pips: log.u24(fee)?,
    };
    Ok((*id, V4Event::Swap(end)))
}

/// The contract logs the change as `int256` and has cut it to `int128` before: a wider one is not
/// its own.
fn modify_liquidity(log: EventLog<'_>) -> Result<(B256, V4Event), DecodeError> {
    let [_, id, sender] = log.topics()?;
    let [lower, upper, delta, _salt] = log.words()?;
    log.address(sender)?;
    let event = V4Event::ModifyLiquidity {
        lower: log.i24(lower)?,
        upper: log.i24(upper)?,
        delta: log.i128(delta)?,
    };
    Ok((*id, event))
}

fn initialize(log: EventLog<'_>) -> Result<Opened, DecodeError> {
    let [_, id, currency0, currency1] = log.topics()?;
    let [fee, tick_spacing, hooks, sqrt_price_x96, tick] = log.words()?;
    let key = PoolKey {
        currency0: log.address(currency0)?,
        currency1: log.address(currency1)?,
        fee_pips: log.u24(fee)?,
        tick_spacing: log.i24(tick_spacing)?,
        hooks: log.address(hooks)?,
    };
    let sqrt_price_x96 = log.u160(sqrt_price_x96)?;
    Ok(Opened { id: *id, key, sqrt_price_x96, tick: log.i24(tick)? })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::aliases::{I24, U24};
    use alloy::primitives::{Address, I256, LogData, U160, address, b256};
    use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::venues::log::samples::{by_abi, logs_of};

    /// Mainnet's `PoolManager`, and its ETH/USDC pool at 0.05 %.
    const CONTRACT: Address = address!("000000000004444c5dc75cb358380d2e3de08a90");
    const ID: B256 = b256!("21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27");
    const USDC: Address = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");
    const SENDER: Address = Address::with_last_byte(9);

    fn of(event: &impl SolEvent) -> Log {
        Log { address: CONTRACT, data: event.encode_log_data() }
    }

    fn opening() -> PoolManager::Initialize {
        PoolManager::Initialize {
            id: ID,
            currency0: Address::ZERO,
            currency1: USDC,
            fee: U24::from(500),
            tickSpacing: I24::unchecked_from(10),
            hooks: Address::ZERO,
            sqrtPriceX96: U160::from(4_295_128_739_u64),
            tick: I24::unchecked_from(-887_272),
        }
    }

    #[test]
    fn topics_are_the_published_ones() {
        let swap = b256!("40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f");
        assert_eq!(PoolManager::Swap::SIGNATURE_HASH, swap);
        let opened = b256!("dd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438");
        assert_eq!(PoolManager::Initialize::SIGNATURE_HASH, opened);
    }

    #[test]
    fn an_opening_tells_the_key() {
        let log = of(&opening());
        let key = PoolKey {
            currency0: Address::ZERO,
            currency1: USDC,
            fee_pips: 500,
            tick_spacing: 10,
            hooks: Address::ZERO,
        };
        let sqrt_price_x96 = U256::from(4_295_128_739_u64);
        let opened = Opened { id: ID, key, sqrt_price_x96, tick: -887_272 };
        assert_eq!(decode_initialize(&log), Ok(Some(opened)));
        assert_eq!(key.id(), ID);
        let event = V4Event::Initialize { sqrt_price_x96, tick: -887_272 };
        assert_eq!(decode_manager_log(&log), Ok(Some((ID, event))));
    }

    #[test]
    fn what_changes_no_pool_is_none() {
        let transfer = Log::new_unchecked(CONTRACT, vec![B256::ZERO; 4], vec![0u8; 64].into());
        for log in [Log::default(), transfer] {
            assert_eq!(decode_manager_log(&log), Ok(None));
            assert_eq!(decode_initialize(&log), Ok(None));
        }
        let given =
            PoolManager::Donate { id: ID, sender: SENDER, amount0: U256::ZERO, amount1: U256::MAX };
        assert_eq!(decode_initialize(&of(&given)), Ok(None));
    }

    #[test]
    fn a_change_wider_than_the_contracts_own_is_malformed() {
        let change = |delta| PoolManager::ModifyLiquidity {
            id: ID,
            sender: SENDER,
            tickLower: I24::unchecked_from(-887_270),
            tickUpper: I24::unchecked_from(-10),
            liquidityDelta: delta,
            salt: B256::repeat_byte(0xee),
        };
        let least = I256::try_from(i128::MIN).unwrap();
        let event = V4Event::ModifyLiquidity { lower: -887_270, upper: -10, delta: i128::MIN };
        assert_eq!(decode_manager_log(&of(&change(least))), Ok(Some((ID, event))));
        assert!(decode_manager_log(&of(&change(least - I256::ONE))).is_err());
    }

    #[test]
    fn malformed_events_are_errors() {
        let whole = of(&opening());
        let told = |topics: usize, data: &[u8]| {
            let topics = whole.topics()[..topics].to_vec();
            let log = Log {
                address: CONTRACT,
                data: LogData::new_unchecked(topics, data.to_vec().into()),
            };
            (decode_manager_log(&log).is_err(), decode_initialize(&log).is_err())
        };
        let data = whole.data.data.to_vec();
        assert_eq!(told(4, &data), (false, false));
        assert_eq!(told(3, &data), (true, true));
        assert_eq!(told(4, &data[..159]), (true, true));
        for byte in [0, 32, 64, 96, 128] {
            let mut dirty = data.clone();
            dirty[byte] ^= 1;
            assert_eq!(told(4, &dirty), (true, true), "byte {byte}");
        }
    }

    fn any_log() -> impl Strategy<Value = Log> {
        prop_oneof![
            logs_of::<PoolManager::Initialize>(4, 5),
            logs_of::<PoolManager::Swap>(3, 6),
            logs_of::<PoolManager::ModifyLiquidity>(3, 4),
            logs_of::<PoolManager::Donate>(3, 2),
            logs_of::<PoolManager::ProtocolFeeUpdated>(2, 1),
        ]
    }

    /// What the generated decoder makes of a log; `None` where it refuses.
    fn event_by_abi(log: &Log) -> Option<(B256, V4Event)> {
        let swap = |e: PoolManager::Swap| {
            let end = SwapEnd {
                amount0: e.amount0,
                amount1: e.amount1,
                sqrt_price_x96: U256::from(e.sqrtPriceX96),
                liquidity: e.liquidity,
                tick: e.tick.as_i32(),
                fee_pips: e.fee.to(),
            };
            (e.id, V4Event::Swap(end))
        };
        let modify = |e: PoolManager::ModifyLiquidity| {
            let (lower, upper) = (e.tickLower.as_i32(), e.tickUpper.as_i32());
            let delta = i128::try_from(e.liquidityDelta).ok()?;
            Some((e.id, V4Event::ModifyLiquidity { lower, upper, delta }))
        };
        let open = |e: PoolManager::Initialize| {
            let sqrt_price_x96 = U256::from(e.sqrtPriceX96);
            (e.id, V4Event::Initialize { sqrt_price_x96, tick: e.tick.as_i32() })
        };
        let donate = |e: PoolManager::Donate| {
            (e.id, V4Event::Donate { amount0: e.amount0, amount1: e.amount1 })
        };
        let set = |e: PoolManager::ProtocolFeeUpdated| {
            (e.id, V4Event::ProtocolFeeUpdated { protocol_fee: e.protocolFee.to() })
        };
        let first = by_abi(log).map(swap).or_else(|| by_abi(log).and_then(modify));
        let first = first.or_else(|| by_abi(log).map(open)).or_else(|| by_abi(log).map(donate));
        first.or_else(|| by_abi(log).map(set))
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 8_192,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn logs_are_read_as_the_generated_decoder_reads_them(log in any_log()) {
            prop_assert_eq!(decode_manager_log(&log).ok().flatten(), event_by_abi(&log));
            let opened = by_abi(&log).map(|e: PoolManager::Initialize| Opened {
                id: e.id,
                key: PoolKey {
                    currency0: e.currency0,
                    currency1: e.currency1,
                    fee_pips: e.fee.to(),
                    tick_spacing: e.tickSpacing.as_i32(),
                    hooks: e.hooks,
                },
                sqrt_price_x96: U256::from(e.sqrtPriceX96),
                tick: e.tick.as_i32(),
            });
            prop_assert_eq!(decode_initialize(&log).ok().flatten(), opened);
        }
    }
}
