//! How the kept state follows each log.
//!
//! Every function computes all new values before it writes the first, so a log that does not fit
//! leaves the state as it was.

use std::mem;
use std::ops::RangeInclusive;

use alloy::primitives::U256;

use crate::market::pools::v3::{Desync, PoolV3, SwapEnd, V3Event};
use crate::math::amm::tick::{TickRange, TickState, tick_at};
use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder, SwapOutcome, swap};
use crate::math::amm::{Direction, Q128, Rounding, mul_div};

/// The protocol's part of a fee is none or 1/4 to 1/10.
const FEE_PROTOCOL_PARTS: RangeInclusive<u8> = 4..=10;

impl PoolV3 {
    /// Follows one log, in the chain's order.
    ///
    /// # Errors
    /// [`Desync`] for a log that does not follow from the state, and again for every log after it.
    pub fn apply(&mut self, event: &V3Event) -> Result<(), Desync> {
        if let Some(desync) = &self.desync {
            return Err(desync.clone());
        }
        let followed = self.follow(event);
        self.desync = followed.clone().err();
        followed
    }

    fn follow(&mut self, event: &V3Event) -> Result<(), Desync> {
        if let V3Event::Initialize { sqrt_price_x96, tick } = *event {
            return self.initialize(sqrt_price_x96, tick);
        }
        if !self.is_initialized() {
            return Err(Desync::NotInitialized);
        }
        match *event {
            V3Event::Initialize { .. } => Err(Desync::Initialize),
            V3Event::Swap { amount0, amount1, sqrt_price_x96, liquidity, tick } => {
                self.swap(SwapEnd { amount0, amount1, sqrt_price_x96, liquidity, tick })
            }
            V3Event::Mint { lower, upper, amount } => {
                let added = i128::try_from(amount);
                let added = added.map_err(|_| Desync::Liquidity { lower, upper })?;
                self.change_liquidity(lower, upper, added)
            }
            V3Event::Burn { lower, upper, amount } => {
                let taken = i128::try_from(amount);
                let taken = taken.map_err(|_| Desync::Liquidity { lower, upper })?;
                self.change_liquidity(lower, upper, -taken)
            }
            V3Event::Flash { paid0, paid1 } => self.flash([paid0, paid1]),
            V3Event::SetFeeProtocol { old0, old1, new0, new1 } => {
                self.set_fee_protocol([old0, old1], [new0, new1])
            }
            V3Event::CollectProtocol { amount0, amount1 } => {
                self.collect_protocol([amount0, amount1])
            }
            V3Event::Collect { .. } => Ok(()),
        }
    }

    fn initialize(&mut self, sqrt_price_x96: U256, tick: i32) -> Result<(), Desync> {
        if self.is_initialized() || tick_at(sqrt_price_x96) != Ok(tick) {
            return Err(Desync::Initialize);
        }
        self.sqrt_price_x96 = sqrt_price_x96;
        self.tick = tick;
        Ok(())
    }

    /// Runs the swap again. Fixed input, fixed output and stopped by the price can each be what the
    /// trader asked; whichever reproduces the log took the same steps, so it paid the same fees.
    fn swap(&mut self, logged: SwapEnd) -> Result<(), Desync> {
        let misfit = |simulated| Desync::Swap { logged: Box::new(logged), simulated };
        let way = self.way_of(&logged).ok_or_else(|| misfit(None))?;
        let (paid, sent) = match way {
            Direction::ZeroForOne => (logged.amount0, logged.amount1),
            Direction::OneForZero => (logged.amount1, logged.amount0),
        };
        let asked = [
            (SwapAmount::ExactIn(paid.unsigned_abs()), None),
            (SwapAmount::ExactOut(sent.unsigned_abs()), None),
            (SwapAmount::ExactIn(MAX_SWAP_AMOUNT), Some(logged.sqrt_price_x96)),
        ];
        let mut nearest = None;
        for (amount, sqrt_limit_x96) in asked {
            let order = SwapOrder { direction: way, amount, sqrt_limit_x96 };
            let Ok(outcome) = swap(&self.curve(), &order) else {
                continue;
            };
            let end = end_of(&outcome);
            if end == logged {
                return self.settle(&outcome).ok_or_else(|| misfit(Some(Box::new(end))));
            }
            nearest.get_or_insert(end);
        }
        Err(misfit(nearest.map(Box::new)))
    }

    /// The token paid in; a swap through empty ranges pays nothing and shows only in the price.
    fn way_of(&self, logged: &SwapEnd) -> Option<Direction> {
        let (amount0, amount1) = (logged.amount0, logged.amount1);
        if amount0.is_positive() && !amount1.is_positive() {
            Some(Direction::ZeroForOne)
        } else if amount1.is_positive() && !amount0.is_positive() {
            Some(Direction::OneForZero)
        } else if amount0.is_zero() && amount1.is_zero() {
            let falls = logged.sqrt_price_x96 < self.sqrt_price_x96;
            Some(if falls { Direction::ZeroForOne } else { Direction::OneForZero })
        } else {
            None
        }
    }

    /// Takes over a swap's result; `None`, with nothing written, if the protocol's fees overflow.
    fn settle(&mut self, outcome: &SwapOutcome) -> Option<()> {
        let paid = match outcome.direction {
            Direction::ZeroForOne => 0,
            Direction::OneForZero => 1,
        };
        let protocol_fees = self.protocol_fees[paid].checked_add(outcome.protocol_fee)?;
        let earned = self.earned_by(outcome);
        for (range, earned) in self.watched.iter_mut().zip(earned) {
            range.inside[paid] = range.inside[paid].wrapping_add(earned);
        }
        let before = self.fee_growth_global;
        for crossing in &outcome.crossed {
            let mut global = before;
            global[paid] = global[paid].wrapping_add(crossing.fee_growth_x128);
            if let Some(state) = self.ticks.get_mut(&crossing.tick) {
                state.outside0 = global[0].wrapping_sub(state.outside0);
                state.outside1 = global[1].wrapping_sub(state.outside1);
            }
        }
        self.protocol_fees[paid] = protocol_fees;
        self.fee_growth_global[paid] = before[paid].wrapping_add(outcome.fee_growth_x128);
        self.sqrt_price_x96 = outcome.sqrt_price_x96;
        self.tick = outcome.tick;
        self.liquidity = outcome.liquidity;
        self.tabulate_anew(&[]);
        Some(())
    }

    fn change_liquidity(&mut self, lower: i32, upper: i32, delta: i128) -> Result<(), Desync> {
        let misfit = Desync::Liquidity { lower, upper };
        let range = TickRange::new(lower, upper, self.tick_spacing).map_err(|_| misfit.clone())?;
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
        self.tabulate_anew(&[lower, upper]);
        Ok(())
    }

    /// After a change of the price, or of the liquidity at these ticks.
    fn tabulate_anew(&mut self, touched: &[i32]) {
        let mut segments = mem::take(&mut self.segments);
        segments.follow(&self.curve(), touched);
        self.segments = segments;
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

    fn flash(&mut self, paid: [U256; 2]) -> Result<(), Desync> {
        let (mut growth, mut fees) = (self.fee_growth_global, self.protocol_fees);
        let mut added = [U256::ZERO; 2];
        for (token, paid) in paid.into_iter().enumerate() {
            if paid.is_zero() {
                continue;
            }
            let part = if token == 0 { self.fee_protocol & 0x0f } else { self.fee_protocol >> 4 };
            let protocol = if part == 0 { U256::ZERO } else { paid / U256::from(part) };
            let counted = u128::try_from(protocol).map_err(|_| Desync::Flash)?;
            fees[token] = fees[token].checked_add(counted).ok_or(Desync::Flash)?;
            let liquidity = U256::from(self.liquidity);
            let grown = mul_div(paid - protocol, Q128, liquidity, Rounding::Down);
            added[token] = grown.map_err(|_| Desync::Flash)?;
            growth[token] = growth[token].wrapping_add(added[token]);
        }
        (self.fee_growth_global, self.protocol_fees) = (growth, fees);
        for (token, grown) in added.into_iter().enumerate() {
            self.share_flash(token, grown);
        }
        Ok(())
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
