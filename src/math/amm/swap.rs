//! A swap along liquidity that lies between ticks: the loop that V3 and V4 share.
//!
//! A step ends at the next initialized tick or at the edge of its bitmap word, and rounds there, so
//! the word edges are part of the result. What a pool charges, and who gets it, is its [`Curve`]'s.

use alloy::primitives::{I256, U256};

use crate::math::amm::boundaries::{Boundaries, Boundary};
use crate::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, Ticks, check_sqrt_price, check_tick, sqrt_price_at,
    tick_at,
};
use crate::math::amm::v3_step::{StepInput, SwapStep};
use crate::math::amm::{AmmError, Direction, PIPS, Q128, Rounding, mul_div};

/// Steps a swap may take. One end of the protocol to the other at spacing 1 is 6,932 word edges; a
/// step costs a real transaction several thousand gas, so no block has room for this many.
pub const MAX_SWAP_STEPS: u32 = 32_768;

/// Largest amount a swap can name: the contract's `int256`.
pub const MAX_SWAP_AMOUNT: U256 = U256::from_limbs([u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 1]);

/// The side of a swap that is fixed, in raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapAmount {
    /// Give exactly this, fee included.
    ExactIn(U256),
    /// Take exactly this.
    ExactOut(U256),
}

impl SwapAmount {
    /// The fixed amount, whichever side it is on.
    pub fn raw(self) -> U256 {
        match self {
            Self::ExactIn(amount) | Self::ExactOut(amount) => amount,
        }
    }
}

/// What a trader asks of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapOrder {
    /// Which token goes in.
    pub direction: Direction,
    /// The side that is fixed.
    pub amount: SwapAmount,
    /// Price not to be passed, Q64.96; `None` is the end of the protocol's range.
    pub sqrt_limit_x96: Option<U256>,
}

/// An initialized tick the price went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The tick.
    pub tick: i32,
    /// Growth of the input token's fee by this swap up to the crossing, Q128.128, wrapping.
    pub fee_growth_x128: U256,
}

/// What a swap does to trader and pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapOutcome {
    /// Which token went in.
    pub direction: Direction,
    /// Raw units into the pool, fee included.
    pub amount_in: U256,
    /// Raw units out of the pool.
    pub amount_out: U256,
    /// Part of the fixed amount the price limit left over.
    pub unfilled: U256,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick` afterwards.
    pub tick: i32,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
    /// Whole fee in raw units of the input token, the protocol's part included.
    pub fee: U256,
    /// The protocol's part of the fee.
    pub protocol_fee: u128,
    /// Growth of the input token's `feeGrowthGlobal`, Q128.128, wrapping.
    pub fee_growth_x128: U256,
    /// Initialized ticks crossed, in order.
    pub crossed: Vec<Crossing>,
}

impl SwapOutcome {
    /// The pool's balance changes as the `Swap` log tells them: positive is paid to the pool.
    pub fn deltas(&self) -> (I256, I256) {
        Quote::from(self).deltas()
    }
}

/// What a swap would trade and where it would end: a [`SwapOutcome`] without fees and crossings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Which token goes in.
    pub direction: Direction,
    /// Raw units into the pool, fee included.
    pub amount_in: U256,
    /// Raw units out of the pool.
    pub amount_out: U256,
    /// Part of the fixed amount that the price limit, or the end of the prices, leaves over.
    pub unfilled: U256,
    /// Price afterwards, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick` afterwards.
    pub tick: i32,
    /// Liquidity in range afterwards.
    pub liquidity: u128,
}

impl Quote {
    /// The pool's balance changes as the `Swap` log tells them: positive is paid to the pool.
    pub fn deltas(&self) -> (I256, I256) {
        let paid = I256::from_raw(self.amount_in);
        let sent = I256::from_raw(self.amount_out).wrapping_neg();
        match self.direction {
            Direction::ZeroForOne => (paid, sent),
            Direction::OneForZero => (sent, paid),
        }
    }
}

impl From<&SwapOutcome> for Quote {
    fn from(outcome: &SwapOutcome) -> Self {
        Self {
            direction: outcome.direction,
            amount_in: outcome.amount_in,
            amount_out: outcome.amount_out,
            unfilled: outcome.unfilled,
            sqrt_price_x96: outcome.sqrt_price_x96,
            tick: outcome.tick,
            liquidity: outcome.liquidity,
        }
    }
}

/// Where the liquidity of a pool lies, and where its price stands.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// Grid of the ticks.
    pub tick_spacing: i32,
    /// Price, Q64.96.
    pub sqrt_price_x96: U256,
    /// `slot0.tick`; one below the price's own tick after stopping on a tick from above.
    pub tick: i32,
    /// Liquidity in range.
    pub liquidity: u128,
    /// Initialized ticks.
    pub ticks: &'a Ticks,
}

impl Profile<'_> {
    /// Whether price and tick can be a pool's.
    pub(super) fn check(&self) -> Result<(), AmmError> {
        check_sqrt_price(self.sqrt_price_x96)?;
        check_tick(self.tick)
    }
}

/// A pool's liquidity with the rules it trades by.
pub trait Curve {
    /// The first amount that no trade of such a pool can have.
    const TOO_MUCH: U256;

    /// Where its liquidity lies.
    fn profile(&self) -> Profile<'_>;

    /// What a swap in a direction pays in all, in parts of one million.
    ///
    /// # Errors
    /// [`AmmError`] for a fee, or a part of the protocol, that it cannot have, and for a spacing.
    fn fee_pips(&self, direction: Direction) -> Result<u32, AmmError>;

    /// One step inside constant liquidity.
    ///
    /// # Errors
    /// Where the contract reverts.
    fn step(&self, input: &StepInput) -> Result<SwapStep, AmmError>;

    /// The protocol's part of what a step paid in all, of which `fee` is the fee.
    ///
    /// # Errors
    /// [`AmmError::Overflow`].
    fn protocol_part(&self, direction: Direction, paid: U256, fee: U256) -> Result<U256, AmmError>;
}

/// Runs a swap without changing the pool, exactly as its contract does. One exception: V3 lets its
/// count of the protocol's fees wrap at 2^128, which only a token of such a supply reaches; here
/// that is an overflow.
///
/// # Errors
/// What the contract reverts on: a zero or too large amount, a limit on the wrong side, overflow;
/// and a state no contract can be in (price, tick, spacing or fee out of bounds, nets that do not
/// fit). [`AmmError::TooManySteps`] past [`MAX_SWAP_STEPS`].
pub fn swap(curve: &impl Curve, order: &SwapOrder) -> Result<SwapOutcome, AmmError> {
    let mut run = Run::start(curve, order)?;
    for _ in 0..MAX_SWAP_STEPS {
        if run.is_done() {
            return run.finish();
        }
        run.step()?;
    }
    if run.is_done() { run.finish() } else { Err(AmmError::TooManySteps { limit: MAX_SWAP_STEPS }) }
}

/// A swap under way.
struct Run<'a, C> {
    curve: &'a C,
    outcome: SwapOutcome,
    amount: SwapAmount,
    fee_pips: u32,
    sqrt_limit_x96: U256,
    ahead: Boundaries<'a>,
    next: Boundary,
}

impl<'a, C: Curve> Run<'a, C> {
    fn start(curve: &'a C, order: &SwapOrder) -> Result<Self, AmmError> {
        let profile = curve.profile();
        let fee_pips = curve.fee_pips(order.direction)?;
        profile.check()?;
        let amount = order.amount.raw();
        if amount.is_zero() {
            return Err(AmmError::ZeroAmount);
        }
        if amount > MAX_SWAP_AMOUNT {
            return Err(AmmError::Overflow);
        }
        if fee_pips >= PIPS && matches!(order.amount, SwapAmount::ExactOut(_)) {
            return Err(AmmError::Fee { fee: fee_pips });
        }
        let Profile { tick_spacing, sqrt_price_x96, tick, liquidity, ticks } = profile;
        let sqrt_limit_x96 = limit_of(sqrt_price_x96, order)?;
        let outcome = SwapOutcome {
            direction: order.direction,
            amount_in: U256::ZERO,
            amount_out: U256::ZERO,
            unfilled: amount,
            sqrt_price_x96,
            tick,
            liquidity,
            fee: U256::ZERO,
            protocol_fee: 0,
            fee_growth_x128: U256::ZERO,
            crossed: Vec::new(),
        };
        let mut ahead = Boundaries::from(ticks, tick, tick_spacing, order.direction);
        let next = ahead.next();
        Ok(Self { curve, outcome, amount: order.amount, fee_pips, sqrt_limit_x96, ahead, next })
    }

    fn is_done(&self) -> bool {
        self.outcome.unfilled.is_zero() || self.outcome.sqrt_price_x96 == self.sqrt_limit_x96
    }

    fn finish(self) -> Result<SwapOutcome, AmmError> {
        if self.outcome.amount_in.max(self.outcome.amount_out) >= C::TOO_MUCH {
            return Err(AmmError::Overflow);
        }
        Ok(self.outcome)
    }

    fn step(&mut self) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        let start = now.sqrt_price_x96;
        let sqrt_next_x96 = sqrt_price_at(self.next.tick)?;
        let sqrt_target_x96 = match now.direction {
            Direction::ZeroForOne => sqrt_next_x96.max(self.sqrt_limit_x96),
            Direction::OneForZero => sqrt_next_x96.min(self.sqrt_limit_x96),
        };
        let remaining = match self.amount {
            SwapAmount::ExactIn(_) => SwapAmount::ExactIn(now.unfilled),
            SwapAmount::ExactOut(_) => SwapAmount::ExactOut(now.unfilled),
        };
        let step = self.curve.step(&StepInput {
            sqrt_price_x96: start,
            sqrt_target_x96,
            liquidity: now.liquidity,
            remaining,
            fee_pips: self.fee_pips,
        })?;
        let paid = add(step.amount_in, step.fee)?;
        let used = match self.amount {
            SwapAmount::ExactIn(_) => paid,
            SwapAmount::ExactOut(_) => step.amount_out,
        };
        now.unfilled = now.unfilled.checked_sub(used).ok_or(AmmError::Overflow)?;
        now.amount_in = add(now.amount_in, paid)?;
        now.amount_out = add(now.amount_out, step.amount_out)?;
        now.fee = add(now.fee, step.fee)?;
        now.sqrt_price_x96 = step.sqrt_next_x96;
        self.share_fee(step.fee, paid)?;
        if step.sqrt_next_x96 == sqrt_next_x96 {
            return self.pass();
        }
        // A step that did not move leaves the tick alone: it may stand one below its price.
        if step.sqrt_next_x96 != start {
            self.outcome.tick = tick_at(step.sqrt_next_x96)?;
        }
        Ok(())
    }

    /// The protocol takes its part of each step first; the rest of the fee grows with the
    /// liquidity, and without liquidity it grows nobody's.
    fn share_fee(&mut self, fee: U256, paid: U256) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        let protocol = self.curve.protocol_part(now.direction, paid, fee)?;
        let to_liquidity = fee.checked_sub(protocol).ok_or(AmmError::Overflow)?;
        let protocol = u128::try_from(protocol).map_err(|_| AmmError::Overflow)?;
        now.protocol_fee = now.protocol_fee.checked_add(protocol).ok_or(AmmError::Overflow)?;
        if now.liquidity > 0 {
            let liquidity = U256::from(now.liquidity);
            let growth = mul_div(to_liquidity, Q128, liquidity, Rounding::Down)?;
            now.fee_growth_x128 = now.fee_growth_x128.wrapping_add(growth);
        }
        Ok(())
    }

    /// The price arrived at the step's tick: cross it, or walk on into the next bitmap word.
    fn pass(&mut self) -> Result<(), AmmError> {
        let now = &mut self.outcome;
        (now.tick, now.liquidity) = self.next.beyond(now.direction, now.liquidity)?;
        if self.next.net.is_some() {
            let (tick, fee_growth_x128) = (self.next.tick, now.fee_growth_x128);
            now.crossed.push(Crossing { tick, fee_growth_x128 });
        }
        self.next = self.ahead.next();
        Ok(())
    }
}

/// The price an order stops at, which must lie ahead and inside the protocol's range.
fn limit_of(sqrt_price_x96: U256, order: &SwapOrder) -> Result<U256, AmmError> {
    let end = last_price(order.direction);
    let limit = order.sqrt_limit_x96.unwrap_or(end);
    let is_ahead = match order.direction {
        Direction::ZeroForOne => end <= limit && limit < sqrt_price_x96,
        Direction::OneForZero => sqrt_price_x96 < limit && limit <= end,
    };
    if is_ahead { Ok(limit) } else { Err(AmmError::PriceLimit) }
}

/// The last price a swap can reach, Q64.96: one unit inside the protocol's range.
pub(super) fn last_price(direction: Direction) -> U256 {
    match direction {
        Direction::ZeroForOne => MIN_SQRT_PRICE_X96 + U256::ONE,
        Direction::OneForZero => MAX_SQRT_PRICE_X96 - U256::ONE,
    }
}

fn add(a: U256, b: U256) -> Result<U256, AmmError> {
    a.checked_add(b).ok_or(AmmError::Overflow)
}
