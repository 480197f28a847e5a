//! Pools of V3 and V4 alike: a price, and what liquidity stands between which ticks.

use alloy::primitives::U256;

use crate::engine::event::Pool as State;
use crate::math::amm::tick::Ticks;

/// A pool with ticks, of V3 or V4, as far as its liquidity goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges<'p> {
    pub(super) sqrt_price_x96: U256,
    pub(super) tick: i32,
    pub(super) liquidity: u128,
    pub(super) ticks: &'p Ticks,
}

impl<'p> Ranges<'p> {
    /// `None` for a pair, which has no ticks.
    pub(super) fn of(state: &'p State) -> Option<Self> {
        Some(match state {
            State::V2(_) => return None,
            State::V3(pool) => Self {
                sqrt_price_x96: pool.sqrt_price_x96(),
                tick: pool.tick(),
                liquidity: pool.liquidity(),
                ticks: pool.ticks(),
            },
            State::V4(pool) => Self {
                sqrt_price_x96: pool.sqrt_price_x96(),
                tick: pool.tick(),
                liquidity: pool.liquidity(),
                ticks: pool.ticks(),
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use alloy::primitives::Address;
    use rust_decimal::{Decimal, dec};

    use super::*;
    use crate::cli::pool::curve::tests::{frame, v3};
    use crate::cli::pool::curve::{Profile, moves, sides};
    use crate::market::pools::v4::key::PoolKey;
    use crate::market::pools::v4::{PoolV4, V4Snapshot};
    use crate::math::amm::price::Base;

    /// Hooks that are called before a swap.
    pub(in crate::cli::pool) const HOOKS: Address = Address::with_last_byte(0x80);

    /// The pool of V3's tests as one of V4: without a protocol fee both give the same.
    pub(in crate::cli::pool) fn v4(hooks: Address) -> State {
        let State::V3(pool) = v3() else { panic!("made as V3") };
        let like = pool.snapshot().unwrap();
        let key = PoolKey {
            currency0: Address::ZERO,
            currency1: Address::with_last_byte(1),
            fee_pips: like.fee_pips,
            tick_spacing: like.tick_spacing,
            hooks,
        };
        let snapshot = V4Snapshot {
            key,
            sqrt_price_x96: like.sqrt_price_x96,
            tick: like.tick,
            protocol_fee: 0,
            lp_fee_pips: like.fee_pips,
            liquidity: like.liquidity,
            fee_growth_global0: like.fee_growth_global0,
            fee_growth_global1: like.fee_growth_global1,
            ticks: like.ticks,
            block: like.block,
        };
        State::V4(Box::new(PoolV4::from_snapshot(snapshot).unwrap()))
    }

    #[test]
    fn a_v4_pool_is_drawn_and_moved_as_one_of_v3_with_the_same_liquidity() {
        let (one, other) = (v3(), v4(Address::ZERO));
        let frame = frame(Base::Token0);
        assert_eq!(moves(&other, frame), moves(&one, frame));
        let held = |state: &State| sides(Ranges::of(state).unwrap()).unwrap();
        assert_eq!(held(&other), held(&one));
        let drawn = |state: &State| Profile::around(state, frame, Decimal::ONE, dec!(0.1));
        let bars = |state: &State| drawn(state).unwrap().bars(24);
        assert_eq!(bars(&other), bars(&one));
    }

    #[test]
    fn what_hooks_take_part_in_moves_by_nothing_we_know() {
        let hooked = v4(HOOKS);
        let nothing = moves(&hooked, frame(Base::Token0));
        assert!(nothing.iter().all(|of| of.trade.is_none()), "{nothing:?}");
    }
}
