//! One pool while it is read: what it is asked next, and what its answers said so far.

use std::ops::RangeInclusive;

use alloy::primitives::aliases::I24;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;

use crate::engine::event::{Observed, Pool};
use crate::engine::setup::{Curve, PoolSetup};
use crate::io::chain::ChainError;
use crate::io::chain::batch::{Answer, Call, decoded};
use crate::io::chain::read::{contract, nonsense};
use crate::io::chain::v4::place;
use crate::market::pools::v2::{PoolV2, V2Observed};
use crate::market::pools::v3::{PoolV3, V3Observed, V3Snapshot};
use crate::market::pools::v4::{PoolV4, V4Observed, V4Snapshot};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, TickState, check_spacing_v4};
use crate::math::amm::v2::KeptPart;
use crate::model::chain::PoolAddress;
use crate::venues::uniswap_v2::abi::UniswapV2Pair as Pair;
use crate::venues::uniswap_v3::abi::UniswapV3Pool as V3;
use crate::venues::uniswap_v4::abi::PoolManager;
use crate::venues::uniswap_v4::storage;

/// Words asked for in one call: about two million gas, far below what nodes allow a call.
const WORDS_PER_CALL: usize = 1_000;
/// Ticks that one word of a bitmap stands for.
const WORD_TICKS: i32 = 256;

/// The rounds of questions, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What a pool has one of each.
    Values,
    /// The words of its bitmap that may hold ticks.
    Words,
    /// The ticks these name.
    Ticks,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Values, Self::Words, Self::Ticks];
}

/// What was read of a pool. Its ticks are first their numbers alone.
enum Read {
    Nothing,
    V2(V2Observed),
    V3(Box<V3Snapshot>),
    V4(Box<V4Snapshot>),
}

/// A pool while it is read.
pub(super) struct Draft<'s> {
    setup: &'s PoolSetup,
    read: Read,
}

impl<'s> Draft<'s> {
    pub(super) fn new(setup: &'s PoolSetup) -> Self {
        Self { setup, read: Read::Nothing }
    }

    pub(super) fn address(&self) -> PoolAddress {
        self.setup.address
    }

    /// What is asked in a round.
    ///
    /// # Errors
    /// `ChainError` for what can be no pool.
    pub(super) fn calls(&self, stage: Stage) -> Result<Vec<Call>, ChainError> {
        match (stage, &self.read) {
            (Stage::Values, _) => self.value_calls(),
            (_, Read::Nothing | Read::V2(_)) => Ok(Vec::new()),
            (Stage::Words, Read::V3(pool)) => {
                let contract = contract(self.setup)?;
                let call = |word| (contract, encoded(&V3::tickBitmapCall(word)));
                Ok(words(pool.tick_spacing)?.map(call).collect())
            }
            (Stage::Words, Read::V4(pool)) => {
                let (manager, key) = place(self.setup)?;
                let id = key.id();
                let slot = |word| storage::bitmap_slot(id, word);
                let slots: Vec<B256> = words(pool.key.tick_spacing)?.map(slot).collect();
                Ok(slot_calls(manager, &slots))
            }
            (Stage::Ticks, Read::V3(pool)) => {
                let contract = contract(self.setup)?;
                let call = |(tick, _): &(i32, TickState)| -> Result<Call, ChainError> {
                    let tick = I24::try_from(*tick).map_err(|e| nonsense("ticks", e))?;
                    Ok((contract, encoded(&V3::ticksCall(tick))))
                };
                pool.ticks.iter().map(call).collect()
            }
            (Stage::Ticks, Read::V4(pool)) => {
                let (manager, key) = place(self.setup)?;
                let id = key.id();
                let slots = |(tick, _): &(i32, TickState)| storage::tick_slots(id, *tick);
                let slots: Vec<B256> = pool.ticks.iter().flat_map(slots).collect();
                Ok(slot_calls(manager, &slots))
            }
        }
    }

    fn value_calls(&self) -> Result<Vec<Call>, ChainError> {
        Ok(match self.setup.curve {
            Curve::V2 => vec![(contract(self.setup)?, encoded(&Pair::getReservesCall {}))],
            Curve::V3 => {
                let contract = contract(self.setup)?;
                let calls = [
                    encoded(&V3::slot0Call {}),
                    encoded(&V3::liquidityCall {}),
                    encoded(&V3::feeGrowthGlobal0X128Call {}),
                    encoded(&V3::feeGrowthGlobal1X128Call {}),
                    encoded(&V3::protocolFeesCall {}),
                    encoded(&V3::tickSpacingCall {}),
                    encoded(&V3::feeCall {}),
                ];
                calls.into_iter().map(|call| (contract, call)).collect()
            }
            Curve::V4 => {
                let (manager, key) = place(self.setup)?;
                let id = key.id();
                let [growth0, growth1] = storage::fee_growth_slots(id);
                let first = [storage::slot0_slot(id), storage::liquidity_slot(id)];
                slot_calls(manager, &[first, [growth0, growth1]].concat())
            }
        })
    }

    /// Takes in the answers of a round.
    ///
    /// # Errors
    /// `ChainError` for an answer that is none, or not what was asked for.
    pub(super) fn take(
        self,
        stage: Stage,
        block: u64,
        answers: &[Answer],
    ) -> Result<Self, ChainError> {
        let setup = self.setup;
        let read = match (stage, self.read) {
            (Stage::Values, _) => values(setup, block, answers)?,
            (Stage::Words, Read::V3(mut pool)) => {
                let word = |answer| decoded::<V3::tickBitmapCall>(answer);
                let bits = answers.iter().map(word).collect::<Result<Vec<U256>, _>>()?;
                pool.ticks = ticks_in(&bits, pool.tick_spacing)?;
                Read::V3(pool)
            }
            (Stage::Words, Read::V4(mut pool)) => {
                let told = slots_told(answers)?;
                let bits: Vec<U256> =
                    told.into_iter().map(|word| U256::from_be_bytes(word.0)).collect();
                pool.ticks = ticks_in(&bits, pool.key.tick_spacing)?;
                Read::V4(pool)
            }
            (Stage::Ticks, Read::V3(mut pool)) => {
                same_number("ticks", answers.len(), pool.ticks.len())?;
                for ((_, state), answer) in pool.ticks.iter_mut().zip(answers) {
                    let told = decoded::<V3::ticksCall>(answer)?;
                    *state = TickState {
                        gross: told.liquidityGross,
                        net: told.liquidityNet,
                        outside0: told.feeGrowthOutside0X128,
                        outside1: told.feeGrowthOutside1X128,
                    };
                }
                Read::V3(pool)
            }
            (Stage::Ticks, Read::V4(mut pool)) => {
                let told = slots_told(answers)?;
                let (states, rest) = told.as_chunks::<3>();
                same_number("extsload", states.len(), pool.ticks.len())?;
                same_number("extsload", rest.len(), 0)?;
                for ((_, state), slots) in pool.ticks.iter_mut().zip(states) {
                    *state = storage::tick_state(*slots);
                }
                Read::V4(pool)
            }
            (_, read) => read,
        };
        Ok(Self { setup, read })
    }

    /// What the first round says, to compare with what is kept.
    ///
    /// # Errors
    /// `ChainError` before that round.
    pub(super) fn observed(self) -> Result<Observed, ChainError> {
        match self.read {
            Read::Nothing => Err(nonsense("a pool", "it was not read")),
            Read::V2(seen) => Ok(Observed::V2(seen)),
            Read::V3(pool) => Ok(Observed::V3(Box::new(V3Observed {
                sqrt_price_x96: pool.sqrt_price_x96,
                tick: pool.tick,
                liquidity: pool.liquidity,
                fee_growth_global0: pool.fee_growth_global0,
                fee_growth_global1: pool.fee_growth_global1,
                protocol_fees: (pool.protocol_fees0, pool.protocol_fees1),
            }))),
            Read::V4(pool) => Ok(Observed::V4(Box::new(V4Observed {
                sqrt_price_x96: pool.sqrt_price_x96,
                tick: pool.tick,
                protocol_fee: pool.protocol_fee,
                lp_fee_pips: pool.lp_fee_pips,
                liquidity: pool.liquidity,
                fee_growth_global0: pool.fee_growth_global0,
                fee_growth_global1: pool.fee_growth_global1,
            }))),
        }
    }

    /// The pool, once all rounds are over.
    ///
    /// # Errors
    /// `ChainError` when the values cannot belong to one state.
    pub(super) fn pool(self) -> Result<Pool, ChainError> {
        match self.read {
            Read::Nothing => Err(nonsense("a pool", "it was not read")),
            Read::V2(seen) => Ok(Pool::V2(PoolV2::from_snapshot(seen, KeptPart::UNISWAP))),
            Read::V3(snapshot) => {
                let pool = PoolV3::from_snapshot(*snapshot);
                Ok(Pool::V3(Box::new(pool.map_err(|e| nonsense("pool state", e))?)))
            }
            Read::V4(snapshot) => {
                let pool = PoolV4::from_snapshot(*snapshot);
                Ok(Pool::V4(Box::new(pool.map_err(|e| nonsense("pool state", e))?)))
            }
        }
    }
}

/// What the first round says.
fn values(setup: &PoolSetup, block: u64, answers: &[Answer]) -> Result<Read, ChainError> {
    let short = || nonsense("a pool", "it has other answers than were asked for");
    match setup.curve {
        Curve::V2 => {
            let told = decoded::<Pair::getReservesCall>(answers.first().ok_or_else(short)?)?;
            let (reserve0, reserve1) = (told._reserve0.to(), told._reserve1.to());
            Ok(Read::V2(V2Observed { reserve0, reserve1 }))
        }
        Curve::V3 => {
            let [slot0, liquidity, growth0, growth1, fees, spacing, fee] = answers else {
                return Err(short());
            };
            let slot0 = decoded::<V3::slot0Call>(slot0)?;
            let fees = decoded::<V3::protocolFeesCall>(fees)?;
            Ok(Read::V3(Box::new(V3Snapshot {
                fee_pips: decoded::<V3::feeCall>(fee)?.to(),
                tick_spacing: decoded::<V3::tickSpacingCall>(spacing)?.as_i32(),
                sqrt_price_x96: U256::from(slot0.sqrtPriceX96),
                tick: slot0.tick.as_i32(),
                liquidity: decoded::<V3::liquidityCall>(liquidity)?,
                fee_growth_global0: decoded::<V3::feeGrowthGlobal0X128Call>(growth0)?,
                fee_growth_global1: decoded::<V3::feeGrowthGlobal1X128Call>(growth1)?,
                fee_protocol: slot0.feeProtocol,
                protocol_fees0: fees.token0,
                protocol_fees1: fees.token1,
                ticks: Vec::new(),
                block,
            })))
        }
        Curve::V4 => {
            let (_, key) = place(setup)?;
            let [slot0, liquidity, growth0, growth1] = slots_told(answers)?[..] else {
                return Err(short());
            };
            let slot0 = storage::slot0(slot0);
            Ok(Read::V4(Box::new(V4Snapshot {
                key,
                sqrt_price_x96: slot0.sqrt_price_x96,
                tick: slot0.tick,
                protocol_fee: slot0.protocol_fee,
                lp_fee_pips: slot0.lp_fee_pips,
                liquidity: storage::liquidity(liquidity),
                fee_growth_global0: U256::from_be_bytes(growth0.0),
                fee_growth_global1: U256::from_be_bytes(growth1.0),
                ticks: Vec::new(),
                block,
            })))
        }
    }
}

fn encoded(call: &impl SolCall) -> Bytes {
    call.abi_encode().into()
}

fn same_number(what: &'static str, told: usize, asked: usize) -> Result<(), ChainError> {
    if told == asked { Ok(()) } else { Err(nonsense(what, format!("{told} answers of {asked}"))) }
}

/// Reads words of a manager's storage.
fn slot_calls(manager: Address, slots: &[B256]) -> Vec<Call> {
    let call =
        |slots: &[B256]| (manager, encoded(&PoolManager::extsloadCall { slots: slots.to_vec() }));
    slots.chunks(WORDS_PER_CALL).map(call).collect()
}

fn slots_told(answers: &[Answer]) -> Result<Vec<B256>, ChainError> {
    let mut words = Vec::new();
    for answer in answers {
        words.extend(decoded::<PoolManager::extsloadCall>(answer)?);
    }
    Ok(words)
}

/// The words of a bitmap that may hold ticks.
fn words(spacing: i32) -> Result<RangeInclusive<i16>, ChainError> {
    check_spacing_v4(spacing).map_err(|e| nonsense("tickSpacing", e))?;
    let word = |tick: i32| -> Result<i16, ChainError> {
        let word = (tick / spacing).div_euclid(WORD_TICKS);
        i16::try_from(word).map_err(|e| nonsense("tick bitmap", e))
    };
    Ok(word(MIN_TICK)?..=word(MAX_TICK)?)
}

/// The ticks that words name, not read yet.
fn ticks_in(bits: &[U256], spacing: i32) -> Result<Vec<(i32, TickState)>, ChainError> {
    let places = words(spacing)?;
    same_number("tick bitmap", bits.len(), places.clone().count())?;
    let mut ticks = Vec::new();
    for (place, bits) in places.zip(bits) {
        let set = (0..WORD_TICKS).zip(0..).filter(|(_, bit)| bits.bit(*bit));
        let tick = |(tick, _): (i32, usize)| (i32::from(place) * WORD_TICKS + tick) * spacing;
        ticks.extend(set.map(|at| (tick(at), TickState::default())));
    }
    Ok(ticks)
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;

    use super::*;

    const POOL: Address = Address::with_last_byte(7);

    fn setup() -> PoolSetup {
        PoolSetup {
            address: POOL.into(),
            manager: None,
            key: None,
            dex: "uniswap_v3".into(),
            curve: Curve::V3,
            executor_dex: None,
            pair: "A/B".into(),
            fee_pips: 3_000,
            tick_spacing: 60,
            token0: Address::with_last_byte(1),
            token1: Address::with_last_byte(2),
            base_is_token0: true,
        }
    }

    fn word(value: U256) -> Answer {
        Ok(value.abi_encode().into())
    }

    /// A pool at price one with one position from -60 to 60.
    fn first_round(liquidity: u64) -> Vec<Answer> {
        let (zero, price) = (U256::ZERO, U256::ONE << 96);
        let slot0 = (price, zero, zero, zero, zero, zero, true).abi_encode();
        let words = [U256::from(liquidity), zero, zero].map(word);
        let fees = (zero, zero).abi_encode();
        let last = [Ok(fees.into()), word(U256::from(60)), word(U256::from(3_000))];
        [Ok(slot0.into())].into_iter().chain(words).chain(last).collect()
    }

    fn tick(gross: u64, net: i128) -> Answer {
        let zero = U256::ZERO;
        let size = U256::from(net.unsigned_abs());
        let net = if net < 0 { zero.wrapping_sub(size) } else { size };
        Ok((U256::from(gross), net, zero, zero, zero, zero, zero, true).abi_encode().into())
    }

    fn read(first: &[Answer], ticks: [Answer; 2]) -> Result<Pool, ChainError> {
        let setup = setup();
        let draft = Draft::new(&setup).take(Stage::Values, 9, first)?;
        let calls = draft.calls(Stage::Words)?;
        // Bit 255 of word -1 is tick -60, bit 1 of word 0 tick 60.
        let places = words(60)?;
        assert_eq!((calls.len(), places.clone()), (116, -58..=57));
        let bits = places.map(|place| match place {
            -1 => U256::ONE << 255,
            0 => U256::from(2),
            _ => U256::ZERO,
        });
        let bits: Vec<Answer> = bits.map(word).collect();
        let draft = draft.take(Stage::Words, 9, &bits)?;
        assert_eq!(draft.calls(Stage::Ticks)?.len(), 2);
        draft.take(Stage::Ticks, 9, &ticks)?.pool()
    }

    #[test]
    fn three_rounds_make_a_pool() {
        let Ok(Pool::V3(pool)) = read(&first_round(5), [tick(5, 5), tick(5, -5)]) else {
            panic!("no pool")
        };
        let ticks: Vec<i32> = pool.ticks().keys().copied().collect();
        assert_eq!((ticks, pool.liquidity(), pool.block()), (vec![-60, 60], 5, 9));
        assert_eq!((pool.fee_pips(), pool.tick_spacing()), (3_000, 60));
    }

    #[test]
    fn what_does_not_close_or_was_not_answered_is_no_pool() {
        assert!(read(&first_round(6), [tick(5, 5), tick(5, -5)]).is_err());
        assert!(read(&first_round(5)[..6], [tick(5, 5), tick(5, -5)]).is_err());
        let reverted = || Err("execution reverted".to_owned());
        let told = read(&first_round(5), [tick(5, 5), reverted()]);
        assert!(matches!(told, Err(ChainError::Refused { .. })));
        let empty = read(&first_round(5), [tick(5, 5), Ok(Bytes::new())]);
        assert!(matches!(empty, Err(ChainError::Nonsense { .. })));
    }

    #[test]
    fn only_words_of_the_usable_range_are_asked_for() {
        for (spacing, range) in [(1, -3_466..=3_465), (10, -347..=346), (200, -18..=17)] {
            assert_eq!(words(spacing).unwrap(), range);
        }
        assert_eq!(words(32_767).unwrap(), -1..=0);
        assert!(words(0).is_err());
        assert!(ticks_in(&[U256::ZERO], 60).is_err());
    }
}
