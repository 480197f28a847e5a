//! What the kept state answers; after a log that did not fit, nothing but comparisons.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::market::pools::Difference;
use crate::market::pools::concentrated::Scalars;
use crate::market::pools::v4::{PoolV4, V4Observed, ViewError};
use crate::math::amm::liquidity::fees_owed;
use crate::math::amm::price::PriceFrame;
use crate::math::amm::tick::TickRange;
use crate::math::amm::v3::{SwapOrder, SwapOutcome};
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
    /// Where hooks set the LP fee, it is the fee last read or last paid.
    ///
    /// # Errors
    /// [`ViewError`]; [`ViewError::Hooks`] for every pool whose hooks are called in swaps.
    pub fn quote(&self, order: &SwapOrder) -> Result<SwapOutcome, ViewError> {
        self.ready()?;
        if let Some(hook) = self.key.swap_hook() {
            return Err(ViewError::Hooks(hook));
        }
        Ok(swap(&self.curve(self.lp_fee_pips), order)?)
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
}
