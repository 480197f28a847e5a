//! What the kept state answers; after a log that did not fit, nothing but comparisons.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::market::pools::Difference;
use crate::market::pools::concentrated::Scalars;
use crate::market::pools::v4::{PoolV4, V4Observed, ViewError};
use crate::math::amm::liquidity::fees_owed;
use crate::math::amm::price::PriceFrame;
use crate::math::amm::tick::TickRange;
use crate::math::amm::v3::{Quote, SwapOrder, SwapOutcome};
use crate::math::amm::v4::swap;
use crate::math::amm::{Amounts, Rounding};

impl PoolV4 {
    /// Quote per one base in whole tokens.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn price(&self, frame: PriceFrame, rounding: Rounding) -> Result<Decimal, ViewError> {
        self.ready()?;
        Ok(frame.price(self.state.now.sqrt_price_x96, rounding)?)
    }

    /// What a swap would do now: quotes exact in and exact out, with or without a price limit.
    /// Those without one come from [`crate::math::amm::segments`], at the same amounts. Where hooks
    /// set the LP fee, it is the fee last read or last paid.
    ///
    /// # Errors
    /// [`ViewError`]; [`ViewError::Hooks`] for every pool whose hooks are called in swaps.
    pub fn quote(&self, order: &SwapOrder) -> Result<Quote, ViewError> {
        self.quoted_by_curve()?;
        Ok(self.state.segments.quote(&self.curve(self.lp_fee_pips), order)?)
    }

    /// The same step by step, with the fee and the ticks it crosses: for people, slower.
    ///
    /// # Errors
    /// As [`PoolV4::quote`].
    pub fn walk(&self, order: &SwapOrder) -> Result<SwapOutcome, ViewError> {
        self.quoted_by_curve()?;
        Ok(swap(&self.curve(self.lp_fee_pips), order)?)
    }

    fn quoted_by_curve(&self) -> Result<(), ViewError> {
        self.ready()?;
        self.key.swap_hook().map_or(Ok(()), |hook| Err(ViewError::Hooks(hook)))
    }

    /// Fee growth inside a range, token0 and token1, Q128.128; only differences mean something.
    ///
    /// # Errors
    /// [`ViewError`]; both ends must be initialized.
    pub fn fee_growth_inside(&self, range: TickRange) -> Result<[U256; 2], ViewError> {
        self.ready()?;
        let inside = self.state.fee_growth_inside(range);
        inside.map_err(|tick| ViewError::TickNotInitialized { tick })
    }

    /// Fees of a position since its last reading of the fee growth inside its range, before hooks
    /// take theirs. V4 counts a donation among them.
    ///
    /// # Errors
    /// [`ViewError`]; both ends must be initialized.
    pub fn position_fees(
        &self,
        range: TickRange,
        liquidity: u128,
        inside_last: [U256; 2],
    ) -> Result<Amounts, ViewError> {
        let [inside0, inside1] = self.fee_growth_inside(range)?;
        Ok(Amounts {
            amount0: fees_owed(liquidity, inside0, inside_last[0]),
            amount1: fees_owed(liquidity, inside1, inside_last[1]),
        })
    }

    /// Where the kept state and a reading of the same block differ; empty when they agree. The LP
    /// fee is not among it: without hooks it is the key's, and with them it changes without a log.
    pub fn compare(&self, observed: &V4Observed) -> Vec<Difference> {
        let Scalars { sqrt_price_x96, tick, liquidity, .. } = self.state.now;
        let [growth0, growth1] = self.state.now.fee_growth_global;
        let fields = [
            Difference::between("sqrtPriceX96", sqrt_price_x96, observed.sqrt_price_x96),
            Difference::between("tick", tick, observed.tick),
            Difference::between("protocolFee", self.protocol_fee, observed.protocol_fee),
            Difference::between("liquidity", liquidity, observed.liquidity),
            Difference::between("feeGrowthGlobal0X128", growth0, observed.fee_growth_global0),
            Difference::between("feeGrowthGlobal1X128", growth1, observed.fee_growth_global1),
        ];
        fields.into_iter().flatten().collect()
    }

    /// Where the kept state and another whole reading of the same block differ, ticks included;
    /// empty when they agree. The LP fee is left out as in [`PoolV4::compare`].
    ///
    /// # Errors
    /// [`ViewError::Desynced`]: one of them is out of step with its logs.
    pub fn differences(&self, read: &Self) -> Result<Vec<Difference>, ViewError> {
        self.believed()?;
        read.believed()?;
        let [fee_growth_global0, fee_growth_global1] = read.state.now.fee_growth_global;
        let mut found = self.compare(&V4Observed {
            sqrt_price_x96: read.state.now.sqrt_price_x96,
            tick: read.state.now.tick,
            protocol_fee: read.protocol_fee,
            lp_fee_pips: read.lp_fee_pips,
            liquidity: read.state.now.liquidity,
            fee_growth_global0,
            fee_growth_global1,
        });
        found.extend(Difference::between_ticks(&self.state.ticks, &read.state.ticks));
        Ok(found)
    }
}
