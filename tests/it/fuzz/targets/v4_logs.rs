//! The decoder of `PoolManager`'s logs, as those of `logs`.

use alloy::primitives::U256;
use tidekeeper::market::pools::v4::V4Event;
use tidekeeper::venues::uniswap_v4::decode_manager_log;

use super::logs::{ADDRESS, ANY, Arg, check, is_named, log, number, signed, tick};

const V4_EVENTS: [&str; 5] = [
    "Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)",
    "Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)",
    "ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)",
    "Donate(bytes32,address,uint256,uint256)",
    "ProtocolFeeUpdated(bytes32,uint24)",
];

pub(super) fn v4_logs(bytes: &[u8]) {
    let log = log(bytes, &V4_EVENTS);
    let is_named = is_named(&log, &V4_EVENTS);
    let Ok(event) = decode_manager_log(&log) else {
        assert!(is_named, "{log:?}");
        return;
    };
    assert_eq!(event.is_some(), is_named, "{log:?}");
    let Some((id, event)) = event else { return };
    let id = Arg::Kept(U256::from_be_bytes(id.0));
    match event {
        V4Event::Initialize { sqrt_price_x96, tick: at } => {
            let (fee, tick_spacing) = (Arg::Unsigned(24), Arg::Signed(24));
            let words = [fee, tick_spacing, ADDRESS, Arg::Kept(sqrt_price_x96), tick(at)];
            check(&log, &[id, ADDRESS, ADDRESS], &words);
        }
        V4Event::Swap(end) => {
            let words = [
                signed(end.amount0),
                signed(end.amount1),
                Arg::Kept(end.sqrt_price_x96),
                number(end.liquidity),
                tick(end.tick),
                number(end.fee_pips.into()),
            ];
            check(&log, &[id, ADDRESS], &words);
        }
        V4Event::ModifyLiquidity { lower, upper, delta } => {
            check(&log, &[id, ADDRESS], &[tick(lower), tick(upper), signed(delta), ANY]);
        }
        V4Event::Donate { amount0, amount1 } => {
            check(&log, &[id, ADDRESS], &[amount0, amount1].map(Arg::Kept));
        }
        V4Event::ProtocolFeeUpdated { protocol_fee } => {
            check(&log, &[id], &[number(protocol_fee.into())]);
        }
    }
}
