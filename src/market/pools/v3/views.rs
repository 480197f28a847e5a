//! What the kept state answers; after a log that did not fit, nothing but comparisons.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::market::pools::Difference;
use crate::market::pools::concentrated::Scalars;
use crate::market::pools::v3::{PoolV3, PositionFees, V3Observed, ViewError};
use crate::math::amm::Rounding;
use crate::math::amm::liquidity::tokens_owed;
use crate::math::amm::price::PriceFrame;
use crate::math::amm::tick::TickRange;
use crate::math::amm::v3::{self, Quote, SwapOrder, SwapOutcome};

impl PoolV3 {
    /// Quote per one base in whole tokens.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn price(&self, frame: PriceFrame, rounding: Rounding) -> Result<Decimal, ViewError> {
        self.ready()?;
        Ok(frame.price(self.state.now.sqrt_price_x96, rounding)?)
    }

    /// What a swap would do now: quotes exact in and exact out, with or without a price limit.
    /// Those without one come from [`crate::math::amm::segments`], at the same amounts.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn quote(&self, order: &SwapOrder) -> Result<Quote, ViewError> {
        self.ready()?;
        Ok(self.state.segments.quote(&self.curve(), order)?)
    }

    /// The same step by step, with the fee and the ticks it crosses: for people, slower.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn walk(&self, order: &SwapOrder) -> Result<SwapOutcome, ViewError> {
        self.ready()?;
        Ok(v3::swap(&self.curve(), order)?)
    }

    /// Fee growth inside a range, token0 and token1, Q128.128; only differences mean something.
    ///
    /// # Errors
    /// [`ViewError`]; both ends must be initialized, or the range watched.
    pub fn fee_growth_inside(&self, range: TickRange) -> Result<[U256; 2], ViewError> {
        self.ready()?;
        if let Some(watched) = self.watched_growth(range.lower(), range.upper()) {
            return Ok(watched);
        }
        let inside = self.state.fee_growth_inside(range);
        inside.map_err(|tick| ViewError::TickNotInitialized { tick })
    }

    /// Fees of a position since its last reading of the fee growth inside its range.
    ///
    /// # Errors
    /// [`ViewError`]; both ends must be initialized.
    pub fn position_fees(
        &self,
        range: TickRange,
        liquidity: u128,
        inside_last: [U256; 2],
    ) -> Result<PositionFees, ViewError> {
        let [inside0, inside1] = self.fee_growth_inside(range)?;
        Ok(PositionFees {
            owed0: tokens_owed(liquidity, inside0, inside_last[0]),
            owed1: tokens_owed(liquidity, inside1, inside_last[1]),
            inside0,
            inside1,
        })
    }

    /// Where the kept state and a reading of the same block differ; empty when they agree.
    pub fn compare(&self, observed: &V3Observed) -> Vec<Difference> {
        let Scalars { sqrt_price_x96, tick, liquidity, .. } = self.state.now;
        let [growth0, growth1] = self.state.now.fee_growth_global;
        let [fees0, fees1] = self.protocol_fees;
        let fields = [
            Difference::between("sqrtPriceX96", sqrt_price_x96, observed.sqrt_price_x96),
            Difference::between("tick", tick, observed.tick),
            Difference::between("liquidity", liquidity, observed.liquidity),
            Difference::between("feeGrowthGlobal0X128", growth0, observed.fee_growth_global0),
            Difference::between("feeGrowthGlobal1X128", growth1, observed.fee_growth_global1),
            Difference::between("protocolFees.token0", fees0, observed.protocol_fees.0),
            Difference::between("protocolFees.token1", fees1, observed.protocol_fees.1),
        ];
        fields.into_iter().flatten().collect()
    }

    /// Where the kept state and another whole reading of the same block differ, ticks included;
    /// empty when they agree. Ranges that are watched are no part of it.
    ///
    /// # Errors
    /// [`ViewError::Desynced`]: one of them is out of step with its logs.
    pub fn differences(&self, read: &Self) -> Result<Vec<Difference>, ViewError> {
        self.believed()?;
        read.believed()?;
        let [fee_growth_global0, fee_growth_global1] = read.state.now.fee_growth_global;
        let [fees0, fees1] = read.protocol_fees;
        let mut found = self.compare(&V3Observed {
            sqrt_price_x96: read.state.now.sqrt_price_x96,
            tick: read.state.now.tick,
            liquidity: read.state.now.liquidity,
            fee_growth_global0,
            fee_growth_global1,
            protocol_fees: (fees0, fees1),
        });
        found.extend(Difference::between("feeProtocol", self.fee_protocol, read.fee_protocol));
        found.extend(Difference::between_ticks(&self.state.ticks, &read.state.ticks));
        Ok(found)
    }
}
