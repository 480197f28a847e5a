//! How the kept state follows each log.
//!
//! Every function computes all new values before it writes the first, so a log that does not fit
//! leaves the state as it was.

use alloy::primitives::U256;

use crate::market::pools::v4::{Desync, PoolV4, SwapEnd, V4Event};
use crate::math::amm::tick::{TickRange, TickState, tick_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::v4::{
    check_protocol_fee, lp_fee_pips, protocol_part_pips, swap, swap_fee_pips,
};
use crate::math::amm::{Direction, Q128, Rounding, mul_div};

impl PoolV4 {
    /// Follows one log, in the chain's order.
    ///
    /// # Errors
    /// [`Desync`] for a log that does not follow from the state, and again for every log after it.
    pub fn apply(&mut self, event: &V4Event) -> Result<(), Desync> {
        if let Some(desync) = &self.desync {
            return Err(desync.clone());
        }
        let followed = self.follow(event);
        self.desync = followed.clone().err();
        followed
    }

    fn follow(&mut self, event: &V4Event) -> Result<(), Desync> {
        if let V4Event::Initialize { sqrt_price_x96, tick } = *event {
            return self.initialize(sqrt_price_x96, tick);
        }
        if !self.is_initialized() {
            return Err(Desync::NotInitialized);
        }
        match *event {
            V4Event::Initialize { .. } => Err(Desync::Initialize),
            V4Event::Swap(logged) => self.swap(logged),
            V4Event::ModifyLiquidity { lower, upper, delta } => {
                self.change_liquidity(lower, upper, delta)
            }
            V4Event::Donate { amount0, amount1 } => self.donate([amount0, amount1]),
            V4Event::ProtocolFeeUpdated { protocol_fee } => {
                check_protocol_fee(protocol_fee).map_err(|_| Desync::ProtocolFee)?;
                self.protocol_fee = protocol_fee;
                Ok(())
            }
        }
    }

    /// The LP fee begins as the key's, or at zero until hooks set it.
    fn initialize(&mut self, sqrt_price_x96: U256, tick: i32) -> Result<(), Desync> {
        if self.is_initialized() || tick_at(sqrt_price_x96) != Ok(tick) {
            return Err(Desync::Initialize);
        }
        self.sqrt_price_x96 = sqrt_price_x96;
        self.tick = tick;
        self.lp_fee_pips = self.key.fixed_fee_pips().unwrap_or(0);
        Ok(())
    }

    /// Runs the swap again. Fixed input, fixed output and stopped by the price can each be what the
    /// trader asked; whichever reproduces the log took the same steps, so it paid the same fees.
    fn swap(&mut self, logged: SwapEnd) -> Result<(), Desync> {
        if self.key.may_take_trade() && self.is_as_before(&logged) {
            return Ok(());
        }
        let misfit = |simulated| Desync::Swap { logged: Box::new(logged), simulated };
        let way = self.way_of(&logged).ok_or_else(|| misfit(None))?;
        let fee_pips = logged.fee_pips;
        let lp_fee_pips = self.lp_fee_of(way, fee_pips).ok_or(Desync::Fee { fee_pips })?;
        let (paid, sent) = match way {
            Direction::ZeroForOne => (logged.amount0, logged.amount1),
            Direction::OneForZero => (logged.amount1, logged.amount0),
        };
        let asked = [
            (SwapAmount::ExactIn(U256::from(paid.unsigned_abs())), None),
            (SwapAmount::ExactOut(U256::from(sent.unsigned_abs())), None),
            (SwapAmount::ExactIn(MAX_SWAP_AMOUNT), Some(logged.sqrt_price_x96)),
        ];
        let mut nearest = None;
        for (amount, sqrt_limit_x96) in asked {
            let order = SwapOrder { direction: way, amount, sqrt_limit_x96 };
            let run = swap(&self.curve(lp_fee_pips), &order).ok();
            let Some((end, outcome)) = run.and_then(|run| Some((end_of(&run, fee_pips)?, run)))
            else {
                continue;
            };
            if end == logged {
                self.settle(&outcome);
                if !self.key.may_override_fee() {
                    self.lp_fee_pips = lp_fee_pips;
                }
                return Ok(());
            }
            nearest.get_or_insert(end);
        }
        Err(misfit(nearest.map(Box::new)))
    }

    /// A swap that hooks took whole leaves a log of nothing.
    fn is_as_before(&self, logged: &SwapEnd) -> bool {
        let now = (self.sqrt_price_x96, self.liquidity, self.tick);
        let then = (logged.sqrt_price_x96, logged.liquidity, logged.tick);
        (logged.amount0, logged.amount1) == (0, 0) && then == now
    }

    /// The token paid in; a swap through empty ranges pays nothing and shows only in the price.
    fn way_of(&self, logged: &SwapEnd) -> Option<Direction> {
        let (amount0, amount1) = (logged.amount0, logged.amount1);
        if amount0 < 0 && amount1 >= 0 {
            Some(Direction::ZeroForOne)
        } else if amount1 < 0 && amount0 >= 0 {
            Some(Direction::OneForZero)
        } else if (amount0, amount1) == (0, 0) {
            let falls = logged.sqrt_price_x96 < self.sqrt_price_x96;
            Some(if falls { Direction::ZeroForOne } else { Direction::OneForZero })
        } else {
            None
        }
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

    fn settle(&mut self, outcome: &SwapOutcome) {
        let paid = match outcome.direction {
            Direction::ZeroForOne => 0,
            Direction::OneForZero => 1,
        };
        let before = self.fee_growth_global;
        for crossing in &outcome.crossed {
            let mut global = before;
            global[paid] = global[paid].wrapping_add(crossing.fee_growth_x128);
            if let Some(state) = self.ticks.get_mut(&crossing.tick) {
                state.outside0 = global[0].wrapping_sub(state.outside0);
                state.outside1 = global[1].wrapping_sub(state.outside1);
            }
        }
        self.fee_growth_global[paid] = before[paid].wrapping_add(outcome.fee_growth_x128);
        self.sqrt_price_x96 = outcome.sqrt_price_x96;
        self.tick = outcome.tick;
        self.liquidity = outcome.liquidity;
    }

    fn change_liquidity(&mut self, lower: i32, upper: i32, delta: i128) -> Result<(), Desync> {
        let misfit = Desync::Liquidity { lower, upper };
        let range = TickRange::new(lower, upper, self.key.tick_spacing);
        let range = range.map_err(|_| misfit.clone())?;
        if delta == 0 {
            return Ok(());
        }
        let opposite = delta.checked_neg().ok_or_else(|| misfit.clone())?;
        let at_lower = self.tick_after(lower, delta, delta).ok_or_else(|| misfit.clone())?;
        let at_upper = self.tick_after(upper, delta, opposite).ok_or_else(|| misfit.clone())?;
        if range.contains(self.tick) {
            self.liquidity = self.liquidity.checked_add_signed(delta).ok_or(misfit)?;
        }
        for (tick, state) in [(lower, at_lower), (upper, at_upper)] {
            if state.gross == 0 {
                self.ticks.remove(&tick);
            } else {
                self.ticks.insert(tick, state);
            }
        }
        Ok(())
    }

    /// A tick with its liquidity changed. A new one at or below the price takes all growth so far
    /// as outside: by convention it happened below.
    fn tick_after(&self, tick: i32, gross_delta: i128, net_delta: i128) -> Option<TickState> {
        let mut state = match self.ticks.get(&tick) {
            Some(state) => *state,
            None if tick <= self.tick => TickState {
                outside0: self.fee_growth_global[0],
                outside1: self.fee_growth_global[1],
                ..TickState::default()
            },
            None => TickState::default(),
        };
        state.gross = state.gross.checked_add_signed(gross_delta)?;
        state.net = state.net.checked_add(net_delta)?;
        (state.net.unsigned_abs() <= state.gross).then_some(state)
    }

    /// A donation of nothing is allowed, but not one to nobody.
    fn donate(&mut self, amounts: [U256; 2]) -> Result<(), Desync> {
        let mut growth = self.fee_growth_global;
        for (global, amount) in growth.iter_mut().zip(amounts) {
            let liquidity = U256::from(self.liquidity);
            let grown = mul_div(amount, Q128, liquidity, Rounding::Down);
            *global = global.wrapping_add(grown.map_err(|_| Desync::Donate)?);
        }
        self.fee_growth_global = growth;
        Ok(())
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
