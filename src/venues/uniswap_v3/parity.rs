//! Every log is read as the decoder generated from the ABI reads it, and refused where that one
//! refuses.

use alloy::primitives::{Log, U256};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};

use super::abi::{
    NonfungiblePositionManager as Positions, UniswapV3Factory as Factory, UniswapV3Pool as Pool,
};
use super::{PoolCreated, PositionEvent, decode_factory_log, decode_pool_log, decode_position_log};
use crate::market::pools::v3::V3Event;
use crate::venues::log::samples::{by_abi, logs_of};

fn any_log() -> impl Strategy<Value = Log> {
    let pool = prop_oneof![
        logs_of::<Pool::Initialize>(1, 2),
        logs_of::<Pool::Swap>(3, 5),
        logs_of::<Pool::Mint>(4, 4),
        logs_of::<Pool::Burn>(4, 3),
        logs_of::<Pool::Collect>(4, 3),
        logs_of::<Pool::Flash>(3, 4),
        logs_of::<Pool::SetFeeProtocol>(1, 4),
        logs_of::<Pool::CollectProtocol>(3, 2),
    ];
    let position = prop_oneof![
        logs_of::<Positions::IncreaseLiquidity>(2, 3),
        logs_of::<Positions::DecreaseLiquidity>(2, 3),
        logs_of::<Positions::Collect>(2, 3),
        logs_of::<Positions::Transfer>(4, 0),
        logs_of::<Factory::PoolCreated>(4, 2),
    ];
    prop_oneof![pool, position]
}

/// What the generated decoder makes of a pool's log; `None` where it refuses.
fn pool_by_abi(log: &Log) -> Option<V3Event> {
    let swap = |e: Pool::Swap| V3Event::Swap {
        amount0: e.amount0,
        amount1: e.amount1,
        sqrt_price_x96: U256::from(e.sqrtPriceX96),
        liquidity: e.liquidity,
        tick: e.tick.as_i32(),
    };
    let mint = |e: Pool::Mint| V3Event::Mint {
        lower: e.tickLower.as_i32(),
        upper: e.tickUpper.as_i32(),
        amount: e.amount,
    };
    let burn = |e: Pool::Burn| V3Event::Burn {
        lower: e.tickLower.as_i32(),
        upper: e.tickUpper.as_i32(),
        amount: e.amount,
    };
    let initialize = |e: Pool::Initialize| V3Event::Initialize {
        sqrt_price_x96: U256::from(e.sqrtPriceX96),
        tick: e.tick.as_i32(),
    };
    let first = by_abi(log).map(swap).or_else(|| by_abi(log).map(mint));
    let first = first.or_else(|| by_abi(log).map(burn));
    first.or_else(|| by_abi(log).map(initialize)).or_else(|| side_by_abi(log))
}

fn side_by_abi(log: &Log) -> Option<V3Event> {
    let collect = |e: Pool::Collect| V3Event::Collect {
        lower: e.tickLower.as_i32(),
        upper: e.tickUpper.as_i32(),
        amount0: e.amount0,
        amount1: e.amount1,
    };
    let flash = |e: Pool::Flash| V3Event::Flash { paid0: e.paid0, paid1: e.paid1 };
    let set = |e: Pool::SetFeeProtocol| V3Event::SetFeeProtocol {
        old0: e.feeProtocol0Old,
        old1: e.feeProtocol1Old,
        new0: e.feeProtocol0New,
        new1: e.feeProtocol1New,
    };
    let took = |e: Pool::CollectProtocol| V3Event::CollectProtocol {
        amount0: e.amount0,
        amount1: e.amount1,
    };
    let first = by_abi(log).map(collect).or_else(|| by_abi(log).map(flash));
    first.or_else(|| by_abi(log).map(set)).or_else(|| by_abi(log).map(took))
}

fn position_by_abi(log: &Log) -> Option<PositionEvent> {
    let increased = |e: Positions::IncreaseLiquidity| PositionEvent::Increased {
        token_id: e.tokenId,
        liquidity: e.liquidity,
        amount0: e.amount0,
        amount1: e.amount1,
    };
    let decreased = |e: Positions::DecreaseLiquidity| PositionEvent::Decreased {
        token_id: e.tokenId,
        liquidity: e.liquidity,
        amount0: e.amount0,
        amount1: e.amount1,
    };
    let collected = |e: Positions::Collect| PositionEvent::Collected {
        token_id: e.tokenId,
        recipient: e.recipient,
        amount0: e.amount0,
        amount1: e.amount1,
    };
    let moved = |e: Positions::Transfer| PositionEvent::Moved {
        token_id: e.tokenId,
        from: e.from,
        to: e.to,
    };
    let first = by_abi(log).map(increased).or_else(|| by_abi(log).map(decreased));
    first.or_else(|| by_abi(log).map(collected)).or_else(|| by_abi(log).map(moved))
}

fn factory_by_abi(log: &Log) -> Option<PoolCreated> {
    by_abi(log).map(|e: Factory::PoolCreated| PoolCreated {
        token0: e.token0,
        token1: e.token1,
        fee_pips: e.fee.to(),
        tick_spacing: e.tickSpacing.as_i32(),
        pool: e.pool,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8_192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn logs_are_read_as_the_generated_decoder_reads_them(log in any_log()) {
        prop_assert_eq!(decode_pool_log(&log).ok().flatten(), pool_by_abi(&log));
        prop_assert_eq!(decode_position_log(&log).ok().flatten(), position_by_abi(&log));
        prop_assert_eq!(decode_factory_log(&log).ok().flatten(), factory_by_abi(&log));
    }
}
