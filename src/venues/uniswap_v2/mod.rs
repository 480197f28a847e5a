//! The dialect of Uniswap V2: pair logs in, router calldata out.
//!
//! Knows the contracts' words, no pool state and no sockets. Invariant: a log that is not one of
//! the pair's own is `None`; one that is, but malformed, is an error and never half an event.

pub mod abi;

use alloy::primitives::{Address, B256, Bytes, Log, U256, b256, keccak256};
use alloy::sol_types::{SolCall, SolEvent, SolValue};

use crate::market::pools::v2::V2Event;
use crate::venues::{DecodeError, EventLog};

use abi::{UniswapV2Factory as Factory, UniswapV2Pair as Pair, UniswapV2Router02 as Router};

/// Keccak of the pair's creation code, the same on mainnet (v2-periphery, `UniswapV2Library.sol`).
pub const PAIR_INIT_CODE_HASH: B256 =
    b256!("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f");

/// A pair that a factory made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairCreated {
    /// The token of the lower address.
    pub token0: Address,
    /// The other.
    pub token1: Address,
    /// Their contract.
    pub pair: Address,
}

/// A swap of a known input along one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactInput {
    /// What is given.
    pub token_in: Address,
    /// What is taken.
    pub token_out: Address,
    /// How much is given, raw.
    pub amount_in: U256,
    /// Below this output, raw, the router reverts.
    pub amount_out_min: U256,
    /// Who receives the output.
    pub recipient: Address,
    /// Last block time, unix seconds, at which the router accepts it.
    pub deadline: U256,
}

/// The address of a pair, from its factory, the hash of its creation code (forks have their own)
/// and its tokens alone (CREATE2, EIP-1014).
#[must_use]
pub fn pair_address(
    factory: Address,
    code_hash: B256,
    token_a: Address,
    token_b: Address,
) -> Address {
    let (token0, token1) = if token_a < token_b { (token_a, token_b) } else { (token_b, token_a) };
    factory.create2(keccak256((token0, token1).abi_encode_packed()), code_hash)
}

/// The pair event a log tells of; `None` when it is not one that moves reserves. Transfers of the
/// pair's own shares are not: the mint or burn beside them says what happened.
///
/// # Errors
/// When the log has the name of a pair event but not its form.
pub fn decode_pair_log(log: &Log) -> Result<Option<V2Event>, DecodeError> {
    let Some(topic) = log.topics().first().copied() else {
        return Ok(None);
    };
    let event = match topic {
        Pair::Sync::SIGNATURE_HASH => sync(EventLog::new(log, "Sync"))?,
        Pair::Swap::SIGNATURE_HASH => swap(EventLog::new(log, "Swap"))?,
        Pair::Mint::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Mint");
            let [_, sender] = log.topics()?;
            log.address(sender)?;
            let [amount0, amount1] = log.words()?.map(U256::from_be_bytes);
            V2Event::Mint { amount0, amount1 }
        }
        Pair::Burn::SIGNATURE_HASH => {
            let log = EventLog::new(log, "Burn");
            let [_, sender, to] = log.topics()?;
            log.address(sender)?;
            log.address(to)?;
            let [amount0, amount1] = log.words()?.map(U256::from_be_bytes);
            V2Event::Burn { amount0, amount1 }
        }
        _ => return Ok(None),
    };
    Ok(Some(event))
}

fn sync(log: EventLog<'_>) -> Result<V2Event, DecodeError> {
    let [_] = log.topics()?;
    let [reserve0, reserve1] = log.words()?;
    Ok(V2Event::Sync { reserve0: log.u112(reserve0)?, reserve1: log.u112(reserve1)? })
}

fn swap(log: EventLog<'_>) -> Result<V2Event, DecodeError> {
    let [_, sender, to] = log.topics()?;
    log.address(sender)?;
    log.address(to)?;
    let [amount0_in, amount1_in, amount0_out, amount1_out] = log.words()?.map(U256::from_be_bytes);
    Ok(V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out })
}

/// The pair that a factory's log tells of; `None` when it tells of something else.
///
/// # Errors
/// When the log has the name of the event but not its form.
pub fn decode_factory_log(log: &Log) -> Result<Option<PairCreated>, DecodeError> {
    if log.topics().first() != Some(&Factory::PairCreated::SIGNATURE_HASH) {
        return Ok(None);
    }
    let log = EventLog::new(log, "PairCreated");
    let [_, token0, token1] = log.topics()?;
    let [pair, _count] = log.words()?;
    Ok(Some(PairCreated {
        token0: log.address(token0)?,
        token1: log.address(token1)?,
        pair: log.address(pair)?,
    }))
}

/// Calldata for the router.
#[must_use]
pub fn swap_exact_in(swap: &ExactInput) -> Bytes {
    let call = Router::swapExactTokensForTokensCall {
        amountIn: swap.amount_in,
        amountOutMin: swap.amount_out_min,
        path: vec![swap.token_in, swap.token_out],
        to: swap.recipient,
        deadline: swap.deadline,
    };
    call.abi_encode().into()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{LogData, address, hex};
    use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};

    use super::*;
    use crate::venues::log::samples::{by_abi, logs_of};

    const PAIR: Address = address!("b4e16d0168e52d35cacd2c6185b44281ec28c9dc");

    fn log(topic: B256, indexed: usize, words: &[u64]) -> Log {
        let mut topics = vec![topic];
        topics.extend((0..indexed).map(|_| B256::with_last_byte(9)));
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect();
        Log { address: PAIR, data: LogData::new_unchecked(topics, bytes.into()) }
    }

    #[test]
    fn mainnet_pair_is_found_from_its_tokens() {
        let factory = address!("5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f");
        let usdc = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");
        let weth = address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2");
        assert_eq!(pair_address(factory, PAIR_INIT_CODE_HASH, usdc, weth), PAIR);
        assert_eq!(pair_address(factory, PAIR_INIT_CODE_HASH, weth, usdc), PAIR);
    }

    #[test]
    fn each_event_is_read() {
        let sync = b256!("1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1");
        let swap = b256!("d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822");
        let read = |log: &Log| decode_pair_log(log).unwrap().unwrap();
        let one = U256::from(1);
        assert_eq!(read(&log(sync, 0, &[5, 6])), V2Event::Sync { reserve0: 5, reserve1: 6 });
        assert_eq!(
            read(&log(swap, 2, &[1, 0, 0, 1])),
            V2Event::Swap {
                amount0_in: one,
                amount1_in: U256::ZERO,
                amount0_out: U256::ZERO,
                amount1_out: one,
            }
        );
        let mint = log(Pair::Mint::SIGNATURE_HASH, 1, &[1, 1]);
        assert_eq!(read(&mint), V2Event::Mint { amount0: one, amount1: one });
        let burn = log(Pair::Burn::SIGNATURE_HASH, 2, &[1, 1]);
        assert_eq!(read(&burn), V2Event::Burn { amount0: one, amount1: one });
    }

    #[test]
    fn what_is_not_a_pairs_event_is_none() {
        assert_eq!(decode_pair_log(&log(Pair::Transfer::SIGNATURE_HASH, 2, &[1])).unwrap(), None);
        assert_eq!(decode_pair_log(&log(B256::ZERO, 0, &[])).unwrap(), None);
        assert_eq!(decode_pair_log(&Log::default()).unwrap(), None);
    }

    #[test]
    fn malformed_events_are_errors() {
        let sync = Pair::Sync::SIGNATURE_HASH;
        assert!(decode_pair_log(&log(sync, 0, &[5])).is_err());
        assert!(decode_pair_log(&log(sync, 1, &[5, 6])).is_err());
        let mut wide = log(sync, 0, &[5, 6]);
        wide.data.data = [[0xff; 32], [0; 32]].concat().into();
        assert!(decode_pair_log(&wide).is_err());
    }

    #[test]
    fn a_pair_is_told_by_its_factory() {
        let made = Factory::PairCreated::SIGNATURE_HASH;
        let (told, [nine, five]) = (log(made, 2, &[5, 7]), [9, 5].map(Address::with_last_byte));
        let expected = PairCreated { token0: nine, token1: nine, pair: five };
        assert_eq!(decode_factory_log(&told), Ok(Some(expected)));
        assert_eq!(decode_pair_log(&told), Ok(None));
        assert_eq!(decode_factory_log(&log(Pair::Sync::SIGNATURE_HASH, 0, &[1, 2])), Ok(None));
        assert!(decode_factory_log(&log(made, 2, &[5])).is_err());
    }

    fn any_log() -> impl Strategy<Value = Log> {
        prop_oneof![
            logs_of::<Pair::Sync>(1, 2),
            logs_of::<Pair::Swap>(3, 4),
            logs_of::<Pair::Mint>(2, 2),
            logs_of::<Pair::Burn>(3, 2),
            logs_of::<Factory::PairCreated>(3, 2),
        ]
    }

    /// What the generated decoder makes of a pair's log; `None` where it refuses.
    fn pair_by_abi(log: &Log) -> Option<V2Event> {
        let sync = |e: Pair::Sync| {
            let [reserve0, reserve1] = [e.reserve0, e.reserve1].map(|reserve| reserve.to());
            V2Event::Sync { reserve0, reserve1 }
        };
        let swap = |e: Pair::Swap| V2Event::Swap {
            amount0_in: e.amount0In,
            amount1_in: e.amount1In,
            amount0_out: e.amount0Out,
            amount1_out: e.amount1Out,
        };
        let mint = |e: Pair::Mint| V2Event::Mint { amount0: e.amount0, amount1: e.amount1 };
        let burn = |e: Pair::Burn| V2Event::Burn { amount0: e.amount0, amount1: e.amount1 };
        let first = by_abi(log).map(sync).or_else(|| by_abi(log).map(swap));
        first.or_else(|| by_abi(log).map(mint)).or_else(|| by_abi(log).map(burn))
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4_096,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn logs_are_read_as_the_generated_decoder_reads_them(log in any_log()) {
            prop_assert_eq!(decode_pair_log(&log).ok().flatten(), pair_by_abi(&log));
            let made = by_abi(&log).map(|e: Factory::PairCreated| {
                let Factory::PairCreated { token0, token1, pair, .. } = e;
                PairCreated { token0, token1, pair }
            });
            prop_assert_eq!(decode_factory_log(&log).ok().flatten(), made);
        }
    }

    #[test]
    fn swap_names_the_routers_function_and_the_path() {
        let call = swap_exact_in(&ExactInput {
            token_in: Address::with_last_byte(1),
            token_out: Address::with_last_byte(2),
            amount_in: U256::from(3),
            amount_out_min: U256::from(4),
            recipient: Address::with_last_byte(5),
            deadline: U256::MAX,
        });
        assert_eq!(call[..4], hex!("38ed1739"));
        let read = Router::swapExactTokensForTokensCall::abi_decode(&call).unwrap();
        assert_eq!(read.path, [1, 2].map(Address::with_last_byte));
    }
}
