//! Taking a log back.

use crate::market::pools::concentrated::{Scalars, Touched};
use crate::market::pools::v3::{PoolV3, Watched};

/// What one log overwrote, or may have: to be given back to the pool that followed it, the newest
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    pub(super) now: Scalars,
    pub(super) ticks: Touched,
    pub(super) fee_protocol: u8,
    pub(super) protocol_fees: [u128; 2],
    pub(super) watched: Box<[Watched]>,
}

impl PoolV3 {
    /// What takes back whatever comes next, as long as no tick is touched.
    pub(super) fn before(&self) -> Undo {
        Undo {
            now: self.state.now,
            ticks: Touched::default(),
            fee_protocol: self.fee_protocol,
            protocol_fees: self.protocol_fees,
            watched: self.watched.as_slice().into(),
        }
    }

    /// Takes back the newest log, or watch, that is not taken back yet. The block that
    /// [`PoolV3::finish_block`] said stays.
    pub fn undo(&mut self, undo: Undo) {
        self.state.restore(undo.now, undo.ticks);
        self.fee_protocol = undo.fee_protocol;
        self.protocol_fees = undo.protocol_fees;
        self.watched = undo.watched.into_vec();
    }

    /// Takes back the log that did not fit: it changed nothing but that the pool is not believed.
    pub fn undo_misfit(&mut self) {
        self.desync = None;
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::*;
    use crate::market::pools::contract_model::{Act, Model, act, acts};
    use crate::market::pools::replay::empty_pool;
    use crate::market::pools::v3::V3Event;
    use crate::math::amm::Direction;
    use crate::math::amm::tick::sqrt_price_at;
    use crate::math::amm::v3::{Quote, SwapAmount, SwapOrder};

    /// What a pool is told.
    #[derive(Debug)]
    enum Told {
        Log(V3Event),
        Watch(Watched),
        Unwatch(i32, i32),
    }

    /// The model's logs, and every now and then a range that is watched, again or no more.
    fn story(start: i32, fee_pips: u32, script: &[(Act, u8)]) -> Vec<Told> {
        let (mut model, first) = Model::initialized(fee_pips, sqrt_price_at(start).unwrap());
        let mut story = vec![Told::Log(first)];
        for (step, aside) in script {
            story.extend(act(&mut model, step).map(Told::Log));
            let lower = (i32::from(aside % 5) - 3) * 600;
            let (upper, liquidity) = (lower + 900, u128::from(*aside) << 50);
            match aside % 8 {
                0 | 1 => {
                    let inside = [U256::from(*aside), U256::ZERO];
                    story.push(Told::Watch(Watched { lower, upper, liquidity, inside }));
                }
                2 => story.push(Told::Unwatch(lower, upper)),
                _ => {}
            }
        }
        story
    }

    fn tell(pool: &mut PoolV3, told: &Told) -> Undo {
        match told {
            Told::Log(event) => pool.apply(event).unwrap(),
            Told::Watch(range) => pool.watch(*range),
            Told::Unwatch(lower, upper) => pool.unwatch(*lower, *upper),
        }
    }

    /// The pool before each thing it was told, and what takes that back.
    fn follow(pool: &mut PoolV3, story: &[Told]) -> Vec<(PoolV3, Undo)> {
        let told = story.iter().map(|told| {
            quotes_as_the_loop(pool);
            let before = pool.clone();
            (before, tell(pool, told))
        });
        told.collect()
    }

    fn take_back(pool: &mut PoolV3, past: Vec<(PoolV3, Undo)>) {
        for (before, undo) in past.into_iter().rev() {
            pool.undo(undo);
            assert_eq!(*pool, before);
            quotes_as_the_loop(pool);
        }
    }

    fn quotes_as_the_loop(pool: &PoolV3) {
        let amount = SwapAmount::ExactIn(U256::from(1u64 << 40));
        for direction in [Direction::ZeroForOne, Direction::OneForZero] {
            let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
            let looped = pool.walk(&order).map(|outcome| Quote::from(&outcome));
            assert_eq!(pool.quote(&order), looped, "{pool:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 32,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_taken_back_was_never_there_and_can_be_told_again(
            start in -3_000i32..3_000,
            fee_pips in 0u32..20_000,
            script in vec((acts(), any::<u8>()), 1..30),
            cut in any::<usize>(),
        ) {
            let story = story(start, fee_pips, &script);
            let mut pool = empty_pool(fee_pips);
            let mut past = follow(&mut pool, &story);
            let (end, cut) = (pool.clone(), cut % story.len());
            let first = past.clone();
            take_back(&mut pool, past.split_off(cut));
            past.extend(follow(&mut pool, &story[cut..]));
            assert_eq!(pool, end);
            assert_eq!(past, first);
            take_back(&mut pool, past);
            assert_eq!(pool, empty_pool(fee_pips));
        }
    }

    /// Windows have thousands of blocks, and blocks hundreds of logs.
    #[test]
    fn an_entry_is_small_and_has_no_tick_where_none_is_crossed() {
        assert!(size_of::<Undo>() <= 208, "{}", size_of::<Undo>());
        let (mut model, first) = Model::initialized(500, sqrt_price_at(5).unwrap());
        let mut pool = empty_pool(500);
        pool.apply(&first).unwrap();
        let mint = pool.apply(&model.mint(-100, 100, 1 << 70)).unwrap();
        assert_eq!(*mint.ticks, [(-100, None), (100, None)]);
        let order = SwapOrder {
            direction: Direction::ZeroForOne,
            amount: SwapAmount::ExactIn(U256::from(1u64 << 40)),
            sqrt_limit_x96: None,
        };
        let Quote { sqrt_price_x96, liquidity, tick, .. } = pool.quote(&order).unwrap();
        let (amount0, amount1) = pool.quote(&order).unwrap().deltas();
        let swap = V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick };
        let swap = pool.apply(&swap).unwrap();
        assert!(swap.ticks.is_empty() && swap.watched.is_empty());
    }
}
