//! Taking a log back.

use crate::market::pools::concentrated::{Scalars, Touched};
use crate::market::pools::v4::PoolV4;

/// What one log overwrote, or may have: to be given back to the pool that followed it, the newest
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    pub(super) now: Scalars,
    pub(super) ticks: Touched,
    pub(super) protocol_fee: u32,
    pub(super) lp_fee_pips: u32,
}

impl PoolV4 {
    /// What takes back whatever comes next, as long as no tick is touched.
    pub(super) fn before(&self) -> Undo {
        Undo {
            now: self.state.now,
            ticks: Touched::default(),
            protocol_fee: self.protocol_fee,
            lp_fee_pips: self.lp_fee_pips,
        }
    }

    /// Takes back the newest log that is not taken back yet, with an LP fee that was read after it.
    /// The block that [`PoolV4::finish_block`] said stays.
    pub fn undo(&mut self, undo: Undo) {
        self.state.restore(undo.now, undo.ticks);
        self.protocol_fee = undo.protocol_fee;
        self.lp_fee_pips = undo.lp_fee_pips;
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
    use crate::market::pools::v4::V4Event;
    use crate::market::pools::v4::key::DYNAMIC_FEE;
    use crate::market::pools::v4::replay::{
        event, key, key_of, logged, pips, pool, recorded, rows,
    };
    use crate::math::amm::Direction;
    use crate::math::amm::tick::sqrt_price_at;
    use crate::math::amm::v3::{SwapAmount, SwapOrder};

    /// A log, and the LP fee that was read just before it.
    type Told = (Option<u32>, V4Event);

    /// The pool before each log, and what takes the log back.
    fn follow(pool: &mut PoolV4, story: &[Told]) -> Vec<(PoolV4, Undo)> {
        let told = story.iter().map(|(lp_fee_pips, event)| {
            if let Some(lp_fee_pips) = lp_fee_pips {
                pool.set_lp_fee(*lp_fee_pips).unwrap();
            }
            let before = pool.clone();
            (before, pool.apply(event).unwrap())
        });
        told.collect()
    }

    fn take_back(pool: &mut PoolV4, past: Vec<(PoolV4, Undo)>) {
        for (before, undo) in past.into_iter().rev() {
            pool.undo(undo);
            assert_eq!(*pool, before);
        }
    }

    /// Back to a place, on from there, and back to the beginning.
    fn check(start: &PoolV4, story: &[Told], cut: usize) {
        let mut pool = start.clone();
        let mut past = follow(&mut pool, story);
        let (end, first) = (pool.clone(), past.clone());
        take_back(&mut pool, past.split_off(cut));
        past.extend(follow(&mut pool, &story[cut..]));
        assert_eq!(pool, end);
        assert_eq!(past, first);
        take_back(&mut pool, past);
    }

    #[test]
    fn the_contract_s_logs_are_taken_back_and_followed_again() {
        let mut n_logs = 0;
        let file = recorded();
        for recorded in rows(&file["pools"]) {
            let (mut story, mut lp_fee_pips) = (Vec::new(), None);
            for step in rows(&recorded["steps"]) {
                if !step["lp_fee"].is_null() {
                    lp_fee_pips = Some(pips(&step["lp_fee"]));
                }
                if !step["log"].is_null() {
                    story.push((lp_fee_pips.take(), event(&step["log"])));
                }
            }
            let unopened = PoolV4::unopened(key_of(recorded), 0).unwrap();
            for cut in [0, story.len() / 2] {
                check(&unopened, &story, cut);
            }
            n_logs += story.len();
        }
        assert_eq!(n_logs, 513);
    }

    /// What somebody might do to the pool as it is; not all of it fits.
    fn log(pool: &PoolV4, step: (u8, bool, u64, u8, i16)) -> V4Event {
        let (kind, is_down, amount, shift, away) = step;
        let lower = i32::from(away / 5_000) * 60;
        let upper = lower + 1_200;
        let delta = (i128::from(amount) + 1) << (shift % 40);
        match kind % 10 {
            0 | 1 => V4Event::ModifyLiquidity { lower, upper, delta },
            2 => V4Event::ModifyLiquidity { lower, upper, delta: -delta },
            3 => {
                let joined = |tick: i32| pool.ticks().get(&tick).map_or(0, |at| at.net);
                let delta = -joined(lower).min(-joined(upper));
                V4Event::ModifyLiquidity { lower, upper, delta }
            }
            4 => V4Event::Donate { amount0: U256::from(amount), amount1: U256::from(shift) },
            5 => V4Event::ProtocolFeeUpdated { protocol_fee: u32::from(shift) * 4 },
            _ => {
                let order = SwapOrder {
                    direction: if is_down { Direction::ZeroForOne } else { Direction::OneForZero },
                    amount: SwapAmount::ExactIn(U256::from(amount) << usize::from(shift % 16)),
                    sqrt_limit_x96: Some(sqrt_price_at(i32::from(away)).unwrap()),
                };
                let nothing = V4Event::Donate { amount0: U256::ZERO, amount1: U256::ZERO };
                let outcome = pool.walk(&order);
                outcome.map_or(nothing, |outcome| V4Event::Swap(logged(pool, &outcome)))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 128,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_taken_back_was_never_there_and_can_be_told_again(
            fee_pips in 0u32..20_000,
            is_dynamic in any::<bool>(),
            script in vec(any::<(u8, bool, u64, u8, i16)>(), 1..40),
            cut in any::<usize>(),
        ) {
            // Hooks that only see a pool begin may set its fee.
            let start = if is_dynamic {
                pool(key(DYNAMIC_FEE, 1 << 12))
            } else {
                pool(key(fee_pips, 0))
            };
            let mut last = start.clone();
            let mut story = Vec::new();
            for step in script {
                let lp_fee_pips = is_dynamic.then_some(fee_pips + u32::from(step.3));
                if let Some(lp_fee_pips) = lp_fee_pips {
                    last.set_lp_fee(lp_fee_pips).unwrap();
                }
                let event = log(&last, step);
                let before = last.clone();
                if last.apply(&event).is_ok() {
                    story.push((lp_fee_pips, event));
                } else {
                    last.undo_misfit();
                    assert_eq!(last, before, "{event:?}");
                }
            }
            check(&start, &story, cut % (story.len() + 1));
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Undo>() <= 160, "{}", size_of::<Undo>());
    }
}
