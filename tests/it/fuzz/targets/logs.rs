//! The decoders of pool logs: what they read of a log is what stands there, word for word.
//!
//! A log is written anew from the event read of it. Words that the event does not keep are written
//! as the nearest value of their type, so that a word that is none must have been refused.

use alloy::primitives::{Address, B256, I256, Log, U256, keccak256};
use tidekeeper::market::pools::v2::V2Event;
use tidekeeper::market::pools::v3::V3Event;
use tidekeeper::venues::uniswap_v2::decode_pair_log;
use tidekeeper::venues::uniswap_v3::decode_pool_log;

use super::input::Input;

const V2_EVENTS: [&str; 4] = [
    "Sync(uint112,uint112)",
    "Swap(address,uint256,uint256,uint256,uint256,address)",
    "Mint(address,uint256,uint256)",
    "Burn(address,uint256,uint256,address)",
];

const V3_EVENTS: [&str; 8] = [
    "Initialize(uint160,int24)",
    "Swap(address,address,int256,int256,uint160,uint128,int24)",
    "Mint(address,address,int24,int24,uint128,uint256,uint256)",
    "Burn(address,int24,int24,uint128,uint256,uint256)",
    "Collect(address,address,int24,int24,uint128,uint128)",
    "Flash(address,address,uint256,uint256,uint256,uint256)",
    "SetFeeProtocol(uint8,uint8,uint8,uint8)",
    "CollectProtocol(address,address,uint128,uint128)",
];

/// An argument of an event.
pub(super) enum Arg {
    /// One that the decoder hands on.
    Kept(U256),
    /// One that it does not, of so many bits.
    Unsigned(usize),
    /// The same with a sign.
    Signed(usize),
}

pub(super) const ANY: Arg = Arg::Unsigned(256);
pub(super) const ADDRESS: Arg = Arg::Unsigned(160);

impl Arg {
    /// The word that is written for it where this one stands.
    fn written(&self, word: U256) -> U256 {
        match *self {
            Self::Kept(value) => value,
            Self::Unsigned(bits) => word & (U256::MAX >> (256 - bits)),
            Self::Signed(bits) => {
                let unused = 256 - bits;
                I256::from_raw(word << unused).asr(unused).into_raw()
            }
        }
    }
}

pub(super) fn number(value: u128) -> Arg {
    Arg::Kept(U256::from(value))
}

pub(super) fn signed(value: i128) -> Arg {
    Arg::Kept(I256::try_from(value).expect("a narrower number").into_raw())
}

pub(super) fn tick(value: i32) -> Arg {
    signed(i128::from(value))
}

/// A log off an input: how many topics, which event the first of them names (one of none is read),
/// the other topics, and all the rest as data.
pub(super) fn log(bytes: &[u8], events: &[&str]) -> Log {
    let mut input = Input::new(bytes);
    let n_topics = input.byte() % 6;
    let event = events.get(usize::from(input.byte()));
    let mut topics = Vec::new();
    for at in 0..n_topics {
        topics.push(match event {
            Some(name) if at == 0 => keccak256(name),
            _ => B256::from(input.array::<32>()),
        });
    }
    Log::new_unchecked(Address::ZERO, topics, input.rest().to_vec().into())
}

/// Whether the log bears the name of one of these events.
pub(super) fn is_named(log: &Log, events: &[&str]) -> bool {
    log.topics().first().is_some_and(|topic| events.iter().any(|name| keccak256(name) == *topic))
}

/// The topics after the first and the words of the data, written anew, are those of the log. Data
/// after the last word is no concern of the ABI.
pub(super) fn check(log: &Log, indexed: &[Arg], words: &[Arg]) {
    let topics = log.topics().get(1..).unwrap_or_default();
    assert_eq!(topics.len(), indexed.len(), "{log:?}");
    let (found, _) = log.data.data.as_chunks::<32>();
    assert!(found.len() >= words.len(), "{log:?}");
    let topics = topics.iter().map(|topic| topic.0);
    let args = indexed.iter().zip(topics).chain(words.iter().zip(found.iter().copied()));
    for (arg, word) in args {
        let word = U256::from_be_bytes(word);
        assert_eq!(arg.written(word), word, "{log:?}");
    }
}

pub(super) fn v2_logs(bytes: &[u8]) {
    let log = log(bytes, &V2_EVENTS);
    let is_named = is_named(&log, &V2_EVENTS);
    let Ok(event) = decode_pair_log(&log) else {
        assert!(is_named, "{log:?}");
        return;
    };
    assert_eq!(event.is_some(), is_named, "{log:?}");
    match event {
        None => {}
        Some(V2Event::Sync { reserve0, reserve1 }) => {
            check(&log, &[], &[number(reserve0), number(reserve1)]);
        }
        Some(V2Event::Swap { amount0_in, amount1_in, amount0_out, amount1_out }) => {
            let words = [amount0_in, amount1_in, amount0_out, amount1_out].map(Arg::Kept);
            check(&log, &[ADDRESS, ADDRESS], &words);
        }
        Some(V2Event::Mint { amount0, amount1 }) => {
            check(&log, &[ADDRESS], &[amount0, amount1].map(Arg::Kept));
        }
        Some(V2Event::Burn { amount0, amount1 }) => {
            check(&log, &[ADDRESS, ADDRESS], &[amount0, amount1].map(Arg::Kept));
        }
    }
}

pub(super) fn v3_logs(bytes: &[u8]) {
    let log = log(bytes, &V3_EVENTS);
    let is_named = is_named(&log, &V3_EVENTS);
    let Ok(event) = decode_pool_log(&log) else {
        assert!(is_named, "{log:?}");
        return;
    };
    assert_eq!(event.is_some(), is_named, "{log:?}");
    if let Some(event) = event {
        check_v3(&log, event);
    }
}

fn check_v3(log: &Log, event: V3Event) {
    match event {
        V3Event::Initialize { sqrt_price_x96, tick: at } => {
            check(log, &[], &[Arg::Kept(sqrt_price_x96), tick(at)]);
        }
        V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick: at } => {
            let amounts = [amount0, amount1].map(|amount| Arg::Kept(amount.into_raw()));
            let [amount0, amount1] = amounts;
            let price = Arg::Kept(sqrt_price_x96);
            let words = [amount0, amount1, price, number(liquidity), tick(at)];
            check(log, &[ADDRESS, ADDRESS], &words);
        }
        V3Event::Mint { lower, upper, amount } => {
            let indexed = [ADDRESS, tick(lower), tick(upper)];
            check(log, &indexed, &[ADDRESS, number(amount), ANY, ANY]);
        }
        V3Event::Burn { lower, upper, amount } => {
            let indexed = [ADDRESS, tick(lower), tick(upper)];
            check(log, &indexed, &[number(amount), ANY, ANY]);
        }
        V3Event::Collect { lower, upper, amount0, amount1 } => {
            let indexed = [ADDRESS, tick(lower), tick(upper)];
            check(log, &indexed, &[ADDRESS, number(amount0), number(amount1)]);
        }
        V3Event::Flash { paid0, paid1 } => {
            check(log, &[ADDRESS, ADDRESS], &[ANY, ANY, Arg::Kept(paid0), Arg::Kept(paid1)]);
        }
        V3Event::SetFeeProtocol { old0, old1, new0, new1 } => {
            check(log, &[], &[old0, old1, new0, new1].map(|part| number(part.into())));
        }
        V3Event::CollectProtocol { amount0, amount1 } => {
            check(log, &[ADDRESS, ADDRESS], &[number(amount0), number(amount1)]);
        }
    }
}
