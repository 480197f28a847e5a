//! How the kept state follows each log.
//!
//! Every function computes all new values before it writes the first, so a log that does not fit
//! leaves the state as it was.

use alloy::primitives::U256;

use crate::market::pools::concentrated::{Touched, possible_orders, run_again};
use crate::market::pools::v4::{Desync, PoolV4, SwapEnd, Undo, V4Event};
use crate::math::amm::Direction;
use crate::math::amm::tick::TickRange;
use crate::math::amm::v3::{SwapOrder, SwapOutcome};
use crate::math::amm::v4::{
    check_protocol_fee, lp_fee_pips, protocol_part_pips, swap, swap_fee_pips,
};

impl PoolV4 {
    /// Follows one log, in the chain's order, and answers what takes it back.
    ///
    /// # Errors
    /// [`Desync`] for a log that does not follow from the state, and again for every log after it.
    /// [`PoolV4::undo_misfit`] takes back the first of them.
    pub fn apply(&mut self, event: &V4Event) -> Result<Undo, Desync> {
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

    fn follow(&mut self, event: &V4Event) -> Result<Touched, Desync> {
        let is_first = matches!(event, V4Event::Initialize { .. });
        if !is_first && !self.state.is_initialized() {
            return Err(Desync::NotInitialized);
        }
        match *event {
            V4Event::Initialize { sqrt_price_x96, tick } => {
                self.state.initialize(sqrt_price_x96, tick).ok_or(Desync::Initialize)?;
                // The LP fee begins as the key's, or at zero until hooks set it.
                self.lp_fee_pips = self.key.fixed_fee_pips().unwrap_or(0);
            }
            V4Event::Swap(logged) => return self.swap(logged),
            V4Event::ModifyLiquidity { lower, upper, delta } => {
                let range = TickRange::new(lower, upper, self.key.tick_spacing).ok();
                let changed = range.and_then(|range| self.state.change_liquidity(range, delta));
                return changed.ok_or(Desync::Liquidity { lower, upper });
            }
            V4Event::Donate { amount0, amount1 } => {
                // A donation of nothing is allowed, but not one to nobody.
                let grown = |amount| self.state.growth_of(amount).ok_or(Desync::Donate);
                let added = [grown(amount0)?, grown(amount1)?];
                self.state.grow(added);
            }
            V4Event::ProtocolFeeUpdated { protocol_fee } => {
                check_protocol_fee(protocol_fee).map_err(|_| Desync::ProtocolFee)?;
                self.protocol_fee = protocol_fee;
                self.state.segments.follow(&[]);
            }
        }
        Ok(Touched::default())
    }

    /// Runs the swap again.
    fn swap(&mut self, logged: SwapEnd) -> Result<Touched, Desync> {
        if self.key.may_take_trade() && self.is_as_before(&logged) {
            return Ok(Touched::default());
        }
        let misfit = |simulated| Desync::Swap { logged: Box::new(logged), simulated };
        let amounts = [logged.amount0, logged.amount1];
        // What the swapper loses is the pool's.
        let got = amounts.map(|amount| 0i128.cmp(&amount));
        let way = self.state.way_of(got, logged.sqrt_price_x96).ok_or_else(|| misfit(None))?;
        let fee_pips = logged.fee_pips;
        let lp_fee_pips = self.lp_fee_of(way, fee_pips).ok_or(Desync::Fee { fee_pips })?;
        let amounts = amounts.map(|amount| U256::from(amount.unsigned_abs()));
        let orders = possible_orders(way, amounts, logged.sqrt_price_x96);
        let run = |order: &SwapOrder| {
            let outcome = swap(&self.curve(lp_fee_pips), order).ok()?;
            Some((end_of(&outcome, fee_pips)?, outcome))
        };
        let outcome = run_again(orders, &logged, run).map_err(misfit)?;
        if !self.key.may_override_fee() {
            self.lp_fee_pips = lp_fee_pips;
        }
        Ok(self.state.settle(&outcome))
    }

    /// A swap that hooks took whole leaves a log of nothing.
    fn is_as_before(&self, logged: &SwapEnd) -> bool {
        let now = (self.sqrt_price_x96(), self.liquidity(), self.tick());
        let then = (logged.sqrt_price_x96, logged.liquidity, logged.tick);
        (logged.amount0, logged.amount1) == (0, 0) && then == now
    }

    /// The LP fee of a swap that paid this in all: the one we know if it fits, and another one only
    /// where hooks may have set it.
    fn lp_fee_of(&self, way: Direction, paid_pips: u32) -> Option<u32> {
        let part = protocol_part_pips(self.protocol_fee, way);
        if swap_fee_pips(self.lp_fee_pips, part) == Ok(paid_pips) {
            return Some(self.lp_fee_pips);
        }
        if self.key.has_dynamic_fee() { lp_fee_pips(paid_pips, part) } else { None }
    }
}

/// A run in the words of a log; `None` where its amounts are none of the contract's.
pub(super) fn end_of(outcome: &SwapOutcome, fee_pips: u32) -> Option<SwapEnd> {
    let paid = u128::try_from(outcome.amount_in).ok()?;
    let paid = 0i128.checked_sub_unsigned(paid)?;
    let sent = u128::try_from(outcome.amount_out).ok()?;
    let sent = i128::try_from(sent).ok()?;
    let (amount0, amount1) = match outcome.direction {
        Direction::ZeroForOne => (paid, sent),
        Direction::OneForZero => (sent, paid),
    };
    Some(SwapEnd {
        amount0,
        amount1,
        sqrt_price_x96: outcome.sqrt_price_x96,
        liquidity: outcome.liquidity,
        tick: outcome.tick,
        fee_pips,
    })
}
