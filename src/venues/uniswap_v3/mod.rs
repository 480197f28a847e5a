//! The dialect of Uniswap V3: pool and position logs in; calldata out is in `calls`.
//!
//! Knows the contracts' words, no pool state and no sockets. Invariant: a log that is not one of
//! the contract's own is `None`; one that is, but malformed, is an error and never half an event.

pub mod abi;
pub mod calls;

#[cfg(test)]
mod parity;

use alloy::primitives::{Address, B256, I256, Log, U256, b256, keccak256};
use alloy::sol_types::{SolEvent, SolValue};

use crate::market::pools::v3::V3Event;
use crate::venues::{DecodeError, EventLog};

use abi::{
    NonfungiblePositionManager as Positions, UniswapV3Factory as Factory, UniswapV3Pool as Pool,
};

/// Keccak of the pool's creation code, the same on mainnet (v3-periphery, `PoolAddress.sol`).
pub const POOL_INIT_CODE_HASH: B256 =
    b256!("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54");

/// Topics of a transfer of a position; an ERC-20 transfer has the same first topic but one fewer.
const NFT_TRANSFER_TOPICS: usize = 4;

/// A pool that a factory made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolCreated {
    /// The token of the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// Fee in millionths of the amount in.
    pub fee_pips: u32,
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// Their contract.
    pub pool: Address,
}

/// What the position contract tells about one of its NFTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionEvent {
    /// Liquidity was added (also by the mint itself).
    Increased { token_id: U256, liquidity: u128, amount0: U256, amount1: U256 },
    /// Liquidity was removed; the amounts wait to be collected.
    Decreased { token_id: U256, liquidity: u128, amount0: U256, amount1: U256 },
    /// Principal and fees were paid out. The contract logs here what it *asked* of the pool, which
    /// can exceed by a wei what was paid; the pool's own collect log is the truth.
    Collected { token_id: U256, recipient: Address, amount0: U256, amount1: U256 },
    /// The NFT changed hands: from zero when minted, to zero when burned.
    Moved { token_id: U256, from: Address, to: Address },
}

/// The address of a pool, from its factory and key alone (CREATE2, EIP-1014).
#[must_use]
pub fn pool_address(
    factory: Address,
    token_a: Address,
    token_b: Address,
    fee_pips: u32,
) -> Address {
    let (token0, token1) = if token_a < token_b { (token_a, token_b) } else { (token_b, token_a) };
    let key = (token0, token1, U256::from(fee_pips)).abi_encode();
    factory.create2(keccak256(key), POOL_INIT_CODE_HASH)
}

/// The pool event a log tells of; `None` when it is not one that changes a pool's state.
///
/// # Errors
/// When the log has the name of a pool event but not its form.
pub fn decode_pool_log(log: &Log) -> Result<Option<V3Event>, DecodeError> {
    let Some(topic) = log.topics().first().copied() else {
        return Ok(None);
    };
    let event = match topic {
        Pool::Swap::SIGNATURE_HASH => swap(EventLog::new(log, "Swap"))?,
        Pool::Mint::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Mint");
            let [_, owner, lower, upper] = log.topics()?;
            let [sender, amount, _, _] = log.words()?;
            log.address(owner)?;
            log.address(sender)?;
            V3Event::Mint {
                lower: log.i24(lower)?,
                upper: log.i24(upper)?,
                amount: log.u128(amount)?,
            }
        }
        Pool::Burn::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Burn");
            let [_, owner, lower, upper] = log.topics()?;
            let [amount, _, _] = log.words()?;
            log.address(owner)?;
            V3Event::Burn {
                lower: log.i24(lower)?,
                upper: log.i24(upper)?,
                amount: log.u128(amount)?,
            }
        }
        Pool::Collect::SIGNATURE_HASH => collect(EventLog::new(log, "Collect"))?,
        Pool::Initialize::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Initialize");
            let [_] = log.topics()?;
            let [sqrt_price_x96, tick] = log.words()?;
            V3Event::Initialize { sqrt_price_x96: log.u160(sqrt_price_x96)?, tick: log.i24(tick)? }
        }
        _ => return decode_side_log(log, topic),
    };
    Ok(Some(event))
}

fn swap(log: EventLog<'_>) -> Result<V3Event, DecodeError> {
    let [_, sender, recipient] = log.topics()?;
    let [amount0, amount1, sqrt_price_x96, liquidity, tick] = log.words()?;
    log.address(sender)?;
    log.address(recipient)?;
    Ok(V3Event::Swap {
        amount0: I256::from_be_bytes(*amount0),
        amount1: I256::from_be_bytes(*amount1),
        sqrt_price_x96: log.u160(sqrt_price_x96)?,
        liquidity: log.u128(liquidity)?,
        tick: log.i24(tick)?,
    })
}

fn collect(log: EventLog<'_>) -> Result<V3Event, DecodeError> {
    let [_, owner, lower, upper] = log.topics()?;
    let [recipient, amount0, amount1] = log.words()?;
    log.address(owner)?;
    log.address(recipient)?;
    Ok(V3Event::Collect {
        lower: log.i24(lower)?,
        upper: log.i24(upper)?,
        amount0: log.u128(amount0)?,
        amount1: log.u128(amount1)?,
    })
}

/// The pool events that move no price and no liquidity: flash loans, the protocol's share.
fn decode_side_log(log: &Log, topic: B256) -> Result<Option<V3Event>, DecodeError> {
    let event = match topic {
        Pool::Flash::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Flash");
            let [_, sender, recipient] = log.topics()?;
            log.address(sender)?;
            log.address(recipient)?;
            let [_, _, paid0, paid1] = log.words()?.map(U256::from_be_bytes);
            V3Event::Flash { paid0, paid1 }
        }
        Pool::SetFeeProtocol::SIGNATURE_HASH => {
            let log = EventLog::new(log, "SetFeeProtocol");
            let [_] = log.topics()?;
            let [old0, old1, new0, new1] = log.words()?;
            V3Event::SetFeeProtocol {
                old0: log.u8(old0)?,
                old1: log.u8(old1)?,
                new0: log.u8(new0)?,
                new1: log.u8(new1)?,
            }
        }
        Pool::CollectProtocol::SIGNATURE_HASH => {
            let log = EventLog::new(log, "CollectProtocol");
            let [_, sender, recipient] = log.topics()?;
            let [amount0, amount1] = log.words()?;
            log.address(sender)?;
            log.address(recipient)?;
            V3Event::CollectProtocol { amount0: log.u128(amount0)?, amount1: log.u128(amount1)? }
        }
        _ => return Ok(None),
    };
    Ok(Some(event))
}

/// The pool that a factory's log tells of; `None` when it tells of something else.
///
/// # Errors
/// When the log has the name of the event but not its form.
pub fn decode_factory_log(log: &Log) -> Result<Option<PoolCreated>, DecodeError> {
    if log.topics().first() != Some(&Factory::PoolCreated::SIGNATURE_HASH) {
        return Ok(None);
    }
    let log = EventLog::new(log, "PoolCreated");
    let [_, token0, token1, fee] = log.topics()?;
    let [tick_spacing, pool] = log.words()?;
    Ok(Some(PoolCreated {
        token0: log.address(token0)?,
        token1: log.address(token1)?,
        fee_pips: log.u24(fee)?,
        tick_spacing: log.i24(tick_spacing)?,
        pool: log.address(pool)?,
    }))
}

/// The position event a log tells of; `None` when it tells of something else.
///
/// # Errors
/// When the log has the name of a position event but not its form.
pub fn decode_position_log(log: &Log) -> Result<Option<PositionEvent>, DecodeError> {
    let topics = log.topics();
    let Some(topic) = topics.first().copied() else {
        return Ok(None);
    };
    let event = match topic {
        Positions::IncreaseLiquidity::SIGNATURE_HASH => {
            let (token_id, liquidity, [amount0, amount1]) =
                position(EventLog::new(log, "IncreaseLiquidity"))?;
            PositionEvent::Increased { token_id, liquidity, amount0, amount1 }
        }
        Positions::DecreaseLiquidity::SIGNATURE_HASH => {
            let (token_id, liquidity, [amount0, amount1]) =
                position(EventLog::new(log, "DecreaseLiquidity"))?;
            PositionEvent::Decreased { token_id, liquidity, amount0, amount1 }
        }
        Positions::Collect::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Collect");
            let [_, token_id] = log.topics()?;
            let [recipient, amount0, amount1] = log.words()?;
            PositionEvent::Collected {
                token_id: U256::from_be_bytes(token_id.0),
                recipient: log.address(recipient)?,
                amount0: U256::from_be_bytes(*amount0),
                amount1: U256::from_be_bytes(*amount1),
            }
        }
        Positions::Transfer::SIGNATURE_HASH if topics.len() == NFT_TRANSFER_TOPICS => {
            let log = EventLog::new(log, "Transfer");
            let [_, from, to, token_id] = log.topics()?;
            PositionEvent::Moved {
                token_id: U256::from_be_bytes(token_id.0),
                from: log.address(from)?,
                to: log.address(to)?,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(event))
}

/// The NFT, the change of its liquidity, and what that is of each token.
fn position(log: EventLog<'_>) -> Result<(U256, u128, [U256; 2]), DecodeError> {
    let [_, token_id] = log.topics()?;
    let [liquidity, amount0, amount1] = log.words()?;
    let amounts = [amount0, amount1].map(|amount| U256::from_be_bytes(*amount));
    Ok((U256::from_be_bytes(token_id.0), log.u128(liquidity)?, amounts))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::aliases::{I24, U24};
    use alloy::primitives::{LogData, address};

    use super::*;

    const POOL: Address = address!("88e6a0c2ddd26feeb64f039a2c41296fcb3f5640");
    const OWNER: Address = Address::with_last_byte(9);

    fn log(topics: Vec<B256>, data: Vec<u8>) -> Log {
        Log { address: POOL, data: LogData::new_unchecked(topics, data.into()) }
    }

    fn of(event: &impl SolEvent) -> Log {
        Log { address: POOL, data: event.encode_log_data() }
    }

    fn pool(log: &Log) -> V3Event {
        decode_pool_log(log).unwrap().unwrap()
    }

    #[test]
    fn mainnet_pool_is_found_from_its_key() {
        let factory = address!("1f98431c8ad98523631ae4a59f267346ea31f984");
        let usdc = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");
        let weth = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");
        assert_eq!(pool_address(factory, weth, usdc, 500), POOL);
    }

    #[test]
    fn recorded_mainnet_swap_is_read() {
        // Block 18937382, log 250, of the recording the demo's flow replays.
        let swap = b256!("c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67");
        let sqrt: U256 = "1662990119151672310826534140478120".parse().unwrap();
        let amount1: I256 = "-783707260129944808".parse().unwrap();
        let words = [
            U256::from(1_779_711_470u64),
            amount1.into_raw(),
            sqrt,
            U256::from(12_453_647_101_533_358_277u128),
            U256::from(199_045),
        ];
        let data = words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
        let recorded = log(vec![swap, OWNER.into_word(), OWNER.into_word()], data);
        let expected = V3Event::Swap {
            amount0: I256::try_from(1_779_711_470).unwrap(),
            amount1,
            sqrt_price_x96: sqrt,
            liquidity: 12_453_647_101_533_358_277,
            tick: 199_045,
        };
        assert_eq!(pool(&recorded), expected);
    }

    #[test]
    fn negative_ticks_are_read_from_topics() {
        let (lower, upper) = (I24::unchecked_from(-198_010), I24::unchecked_from(-196_000));
        let mint = Pool::Mint {
            sender: OWNER,
            owner: OWNER,
            tickLower: lower,
            tickUpper: upper,
            amount: 7,
            amount0: U256::ONE,
            amount1: U256::ONE,
        };
        assert_eq!(pool(&of(&mint)), V3Event::Mint { lower: -198_010, upper: -196_000, amount: 7 });
    }

    #[test]
    fn protocol_events_are_read() {
        let set = Pool::SetFeeProtocol {
            feeProtocol0Old: 0,
            feeProtocol1Old: 0,
            feeProtocol0New: 4,
            feeProtocol1New: 5,
        };
        assert_eq!(pool(&of(&set)), V3Event::SetFeeProtocol { old0: 0, old1: 0, new0: 4, new1: 5 });
        let took =
            Pool::CollectProtocol { sender: OWNER, recipient: OWNER, amount0: 1, amount1: 2 };
        assert_eq!(pool(&of(&took)), V3Event::CollectProtocol { amount0: 1, amount1: 2 });
    }

    #[test]
    fn what_is_not_ours_is_none() {
        assert_eq!(decode_pool_log(&Log::default()).unwrap(), None);
        assert_eq!(decode_position_log(&Log::default()).unwrap(), None);
        let grown = Pool::IncreaseObservationCardinalityNext {
            observationCardinalityNextOld: 1,
            observationCardinalityNextNew: 2,
        };
        assert_eq!(decode_pool_log(&of(&grown)).unwrap(), None);
        let coin = log(vec![Positions::Transfer::SIGNATURE_HASH; 3], vec![0; 32]);
        assert_eq!(decode_position_log(&coin).unwrap(), None);
    }

    #[test]
    fn malformed_events_are_errors() {
        let swap = Pool::Swap::SIGNATURE_HASH;
        let indexed = vec![swap, OWNER.into_word(), OWNER.into_word()];
        assert!(decode_pool_log(&log(indexed.clone(), vec![0; 159])).is_err());
        assert!(decode_pool_log(&log(vec![swap], vec![0; 160])).is_err());
        assert!(decode_pool_log(&log(indexed, vec![0xff; 160])).is_err());
    }

    #[test]
    fn position_events_are_read() {
        let token_id = U256::from(42);
        let moved = Positions::Transfer { from: Address::ZERO, to: OWNER, tokenId: token_id };
        assert_eq!(
            decode_position_log(&of(&moved)).unwrap(),
            Some(PositionEvent::Moved { token_id, from: Address::ZERO, to: OWNER })
        );
        let (amount0, amount1) = (U256::from(1), U256::from(2));
        let paid = Positions::Collect { tokenId: token_id, recipient: OWNER, amount0, amount1 };
        assert_eq!(
            decode_position_log(&of(&paid)).unwrap(),
            Some(PositionEvent::Collected { token_id, recipient: OWNER, amount0, amount1 })
        );
    }

    #[test]
    fn a_pool_is_told_by_its_factory() {
        let (token0, token1) = (Address::with_last_byte(1), Address::with_last_byte(2));
        let (fee, spacing) = (U24::from(10_000), I24::unchecked_from(200));
        let made = Factory::PoolCreated { token0, token1, fee, tickSpacing: spacing, pool: POOL };
        let made = of(&made);
        let expected =
            PoolCreated { token0, token1, fee_pips: 10_000, tick_spacing: 200, pool: POOL };
        assert_eq!(decode_factory_log(&made), Ok(Some(expected)));
        assert_eq!(decode_pool_log(&made), Ok(None));
        assert_eq!(decode_factory_log(&Log::default()), Ok(None));
    }
}
