//! The decoders of logs that tell of new pools, as those of `logs`. `PoolManager`'s is judged whole
//! by `v4_logs`; here it is the key that a search takes over.

use alloy::primitives::{Address, Log, U256};
use tidekeeper::venues::{DecodeError, uniswap_v2, uniswap_v3, uniswap_v4};

use super::logs::{ANY, Arg, check, is_named, log, number, tick};

const EVENTS: [&str; 3] = [
    "PairCreated(address,address,address,uint256)",
    "PoolCreated(address,address,uint24,int24,address)",
    "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)",
];

fn address(value: Address) -> Arg {
    Arg::Kept(U256::from_be_bytes(value.into_word().0))
}

/// What was read; nothing of a log of another name, and an error of one of this name alone.
fn read<T>(log: &Log, event: &str, told: Result<Option<T>, DecodeError>) -> Option<T> {
    let is_named = is_named(log, &[event]);
    let Ok(made) = told else {
        assert!(is_named, "{log:?}");
        return None;
    };
    assert_eq!(made.is_some(), is_named, "{log:?}");
    made
}

pub(super) fn factory_logs(bytes: &[u8]) {
    let [pair, pool, opened] = EVENTS;
    let log = log(bytes, &EVENTS);
    if let Some(made) = read(&log, pair, uniswap_v2::decode_factory_log(&log)) {
        check(&log, &[made.token0, made.token1].map(address), &[address(made.pair), ANY]);
    }
    if let Some(made) = read(&log, pool, uniswap_v3::decode_factory_log(&log)) {
        let topics = [address(made.token0), address(made.token1), number(made.fee_pips.into())];
        check(&log, &topics, &[tick(made.tick_spacing), address(made.pool)]);
    }
    if let Some(made) = read(&log, opened, uniswap_v4::decode_initialize(&log)) {
        let (id, key) = (Arg::Kept(U256::from_be_bytes(made.id.0)), made.key);
        let words = [
            number(key.fee_pips.into()),
            tick(key.tick_spacing),
            address(key.hooks),
            Arg::Kept(made.sqrt_price_x96),
            tick(made.tick),
        ];
        check(&log, &[id, address(key.currency0), address(key.currency1)], &words);
    }
}
