//! How the kept state follows each log.
//!
//! Every function computes all new values before it writes the first, so a log that does not fit
//! leaves the state as it was.

use std::ops::RangeInclusive;

use alloy::primitives::{I256, U256};

use crate::market::pools::concentrated::{Touched, paid_token, possible_orders, run_again};
use crate::market::pools::v3::{Desync, PoolV3, SwapEnd, Undo, V3Event};
use crate::math::amm::tick::TickRange;
use crate::math::amm::v3::{SwapOrder, SwapOutcome, swap};

/// The protocol's part of a fee is none or 1/4 to 1/10.
const FEE_PROTOCOL_PARTS: RangeInclusive<u8> = 4..=10;

impl PoolV3 {
    /// Follows one log, in the chain's order, and answers what takes it back.
    ///
    /// # Errors
    /// [`Desync`] for a log that does not follow from the state, and again for every log after it.
    /// [`PoolV3::undo_misfit`] takes back the first of them.
    pub fn apply(&mut self, event: &V3Event) -> Result<Undo, Desync> {
        if let Some(desync) = &self.desync {
            return Err(desync.clone());
        }
        let before = self.before();
        match self.follow(event) {
            Ok(ticks) => Ok(Undo { ticks, ..before }),
            Err(desync) => {
                self.desync = Some(desync.clone());
                Err(desync)
            }
        }
    }

    fn follow(&mut self, event: &V3Event) -> Result<Touched, Desync> {
        let is_first = matches!(event, V3Event::Initialize { .. });
        if !is_first && !self.state.is_initialized() {
            return Err(Desync::NotInitialized);
        }
        match *event {
            V3Event::Initialize { sqrt_price_x96, tick } => {
                self.state.initialize(sqrt_price_x96, tick).ok_or(Desync::Initialize)?;
            }
            V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick } => {
                return self.swap(SwapEnd { amount0, amount1, sqrt_price_x96, liquidity, tick });
            }
            V3Event::Mint { lower, upper, amount } => {
                let added = i128::try_from(amount).ok();
                return self.change_liquidity(lower, upper, added);
            }
            V3Event::Burn { lower, upper, amount } => {
                let taken = i128::try_from(amount).ok();
                return self.change_liquidity(lower, upper, taken.map(|taken| -taken));
            }
            V3Event::Flash { paid0, paid1 } => {
                self.flash([paid0, paid1]).ok_or(Desync::Flash)?;
            }
            V3Event::SetFeeProtocol { old0, old1, new0, new1 } => {
                self.set_fee_protocol([old0, old1], [new0, new1])?;
            }
            V3Event::CollectProtocol { amount0, amount1 } => {
                self.collect_protocol([amount0, amount1])?;
            }
            V3Event::Collect { .. } => {}
        }
        Ok(Touched::default())
    }

    /// Runs the swap again.
    fn swap(&mut self, logged: SwapEnd) -> Result<Touched, Desync> {
        let misfit = |simulated| Desync::Swap { logged: Box::new(logged), simulated };
        let amounts = [logged.amount0, logged.amount1];
        let got = amounts.map(|amount| amount.cmp(&I256::ZERO));
        let way = self.state.way_of(got, logged.sqrt_price_x96).ok_or_else(|| misfit(None))?;
        let amounts = amounts.map(I256::unsigned_abs);
        let orders = possible_orders(way, amounts, logged.sqrt_price_x96);
        let run = |order: &SwapOrder| {
            let outcome = swap(&self.curve(), order).ok()?;
            Some((end_of(&outcome), outcome))
        };
        let outcome = run_again(orders, &logged, run).map_err(misfit)?;
        self.settle(&outcome).ok_or_else(|| misfit(Some(Box::new(logged))))
    }

    /// Takes over a swap's result; `None`, with nothing written, if the protocol's fees overflow.
    fn settle(&mut self, outcome: &SwapOutcome) -> Option<Touched> {
        let paid = paid_token(outcome.direction);
        let protocol_fees = self.protocol_fees[paid].checked_add(outcome.protocol_fee)?;
        let earned = self.earned_by(outcome);
        for (range, earned) in self.watched.iter_mut().zip(earned) {
            range.inside[paid] = range.inside[paid].wrapping_add(earned);
        }
        self.protocol_fees[paid] = protocol_fees;
        Some(self.state.settle(outcome))
    }

    fn change_liquidity(
        &mut self,
        lower: i32,
        upper: i32,
        delta: Option<i128>,
    ) -> Result<Touched, Desync> {
        let range = TickRange::new(lower, upper, self.tick_spacing).ok();
        let changed = range.zip(delta).and_then(|(r, delta)| self.state.change_liquidity(r, delta));
        changed.ok_or(Desync::Liquidity { lower, upper })
    }

    /// A flash loan's fees; `None`, with nothing written, if the liquidity cannot take them.
    fn flash(&mut self, paid: [U256; 2]) -> Option<()> {
        let mut fees = self.protocol_fees;
        let mut added = [U256::ZERO; 2];
        for (token, paid) in paid.into_iter().enumerate() {
            if paid.is_zero() {
                continue;
            }
            let part = if token == 0 { self.fee_protocol & 0x0f } else { self.fee_protocol >> 4 };
            let protocol = if part == 0 { U256::ZERO } else { paid / U256::from(part) };
            fees[token] = fees[token].checked_add(u128::try_from(protocol).ok()?)?;
            added[token] = self.state.growth_of(paid - protocol)?;
        }
        self.protocol_fees = fees;
        self.state.grow(added);
        for (token, grown) in added.into_iter().enumerate() {
            self.share_flash(token, grown);
        }
        Some(())
    }

    fn set_fee_protocol(&mut self, old: [u8; 2], new: [u8; 2]) -> Result<(), Desync> {
        let is_known = old == [self.fee_protocol & 0x0f, self.fee_protocol >> 4];
        let is_allowed = new.iter().all(|part| *part == 0 || FEE_PROTOCOL_PARTS.contains(part));
        if !is_known || !is_allowed {
            return Err(Desync::FeeProtocol);
        }
        self.fee_protocol = new[0] | new[1] << 4;
        Ok(())
    }

    fn collect_protocol(&mut self, amounts: [u128; 2]) -> Result<(), Desync> {
        let left = |token: usize| {
            self.protocol_fees[token].checked_sub(amounts[token]).ok_or(Desync::ProtocolFees)
        };
        self.protocol_fees = [left(0)?, left(1)?];
        Ok(())
    }
}

fn end_of(outcome: &SwapOutcome) -> SwapEnd {
    let (amount0, amount1) = outcome.deltas();
    SwapEnd {
        amount0,
        amount1,
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
    }
}
