//! What the contract's storage says of the pool, and the comparison with ours.
//!
//! Pool and ticks are read where the agent itself reads them; positions are the sixth place of a
//! pool's state (`Pool.State`), the protocol's fees the contract's first mapping.

use alloy::primitives::{B256, U256, keccak256};
use anyhow::{Result, ensure};
use tidekeeper::market::pools::v4::V4Observed;
use tidekeeper::math::amm::tick::TickRange;
use tidekeeper::venues::uniswap_v4::storage::{self, Slot0};

use super::super::machine::{halves, in_map};
use super::{Life, Name};

const PROTOCOL_FEES_ACCRUED: U256 = U256::ONE;
const POSITIONS: U256 = U256::from_limbs([6, 0, 0, 0]);

/// A position as the contract keeps it.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) liquidity: u128,
    /// Fee growth inside at its last touch.
    pub(super) inside: [U256; 2],
}

impl Life {
    fn kept(&self, slot: B256) -> B256 {
        self.machine.word(self.site.singleton, slot.into()).into()
    }

    pub(super) fn slot0(&self) -> Slot0 {
        storage::slot0(self.kept(storage::slot0_slot(self.id)))
    }

    /// Takes over the LP fee as a reading would.
    pub(super) fn tell_fee(&mut self) -> Result<()> {
        self.ours.set_lp_fee(self.slot0().lp_fee_pips)?;
        self.is_told = true;
        Ok(())
    }

    pub(super) fn accrued_there(&self) -> [U256; 2] {
        [self.key.currency0, self.key.currency1].map(|currency| {
            let slot = in_map(currency.into_word().0, PROTOCOL_FEES_ACCRUED);
            self.machine.word(self.site.singleton, slot)
        })
    }

    /// The position of the contract that holds all liquidity for the trader.
    pub(super) fn position(&self, (lower, upper, salt): Name) -> Position {
        let [_, lower @ ..] = lower.to_be_bytes();
        let [_, upper @ ..] = upper.to_be_bytes();
        let salt = B256::with_last_byte(salt);
        let owner = self.site.provider;
        let name = [owner.as_slice(), &lower, &upper, salt.as_slice()].concat();
        let pool: U256 = storage::slot0_slot(self.id).into();
        let first = in_map(keccak256(name).0, pool + POSITIONS);
        let [liquidity, inside0, inside1] = [0u64, 1, 2]
            .map(|place| self.machine.word(self.site.singleton, first + U256::from(place)));
        Position { liquidity: halves(liquidity)[0], inside: [inside0, inside1] }
    }

    /// Compares the pool as a whole, and these ticks one by one.
    pub(super) fn same_state(&self, touched: &[i32]) -> Result<()> {
        let slot0 = self.slot0();
        let [growth0, growth1] = storage::fee_growth_slots(self.id).map(|slot| self.kept(slot));
        let observed = V4Observed {
            sqrt_price_x96: slot0.sqrt_price_x96,
            tick: slot0.tick,
            protocol_fee: slot0.protocol_fee,
            lp_fee_pips: slot0.lp_fee_pips,
            liquidity: storage::liquidity(self.kept(storage::liquidity_slot(self.id))),
            fee_growth_global0: growth0.into(),
            fee_growth_global1: growth1.into(),
        };
        let found = self.ours.compare(&observed);
        ensure!(found.is_empty(), "ours and the contract differ: {found:?}");
        let (fee, there) = (self.ours.lp_fee_pips(), slot0.lp_fee_pips);
        ensure!(!self.is_told || fee == there, "an LP fee of {fee} pips, the contract's {there}");
        let accrued = self.accrued_there();
        ensure!(accrued == self.accrued, "the protocol has {accrued:?}, not {:?}", self.accrued);
        for tick in touched {
            let ours = self.ours.ticks().get(tick).copied().unwrap_or_default();
            let words = storage::tick_slots(self.id, *tick).map(|slot| self.kept(slot));
            let there = storage::tick_state(words);
            ensure!(ours == there, "tick {tick}: ours is {ours:?}, the contract's {there:?}");
        }
        Ok(())
    }

    pub(super) fn gross(&self, tick: i32) -> u128 {
        self.ours.ticks().get(&tick).map_or(0, |state| state.gross)
    }

    pub(super) fn range(&self, (lower, upper, _): Name) -> Result<TickRange, String> {
        let range = TickRange::new(lower, upper, self.ours.key().tick_spacing);
        range.map_err(|error| format!("{error:?}"))
    }
}
