//! The life of one V4 pool in the EVM's `PoolManager`, and ours beside it, fed with its logs alone.
//!
//! The pool is driven through v4-core's own test contracts; they pay and are paid as the lives ask.
//!
//! **Where only one side refuses.** As in V3 the contract refuses liquidity above its maximum per
//! tick, to take more than a position has, and to touch a position of nothing. It refuses what no
//! `int128` holds, fees owed included. `PoolModifyLiquidityTest` adds a rule of its own: liquidity
//! added must cost something and pay nothing out, liquidity taken must pay something; it fails
//! where fees or rounding make it otherwise. All that is foreseen here. Nothing else may differ,
//! but one case: what a swap gets after `updateDynamicLPFee`, which leaves no log, is not compared
//! until ours has been told the fee or has seen it paid.

mod seen;

use std::collections::BTreeSet;

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, B256, Bytes, I256, Log, U160, U256};
use alloy::sol_types::SolCall;
use anyhow::{Error, Result, ensure};
use rand::Rng;
use tidekeeper::market::pools::v4::PoolV4;
use tidekeeper::market::pools::v4::key::{DYNAMIC_FEE, PoolKey};
use tidekeeper::math::amm::liquidity::amounts_for_liquidity;
use tidekeeper::math::amm::tick::{MAX_TICK, MAX_TICK_SPACING_V4, MIN_TICK};
use tidekeeper::math::amm::v3::{Quote, SwapAmount, SwapOutcome};
use tidekeeper::math::amm::v4::{MAX_LP_FEE_PIPS, check_protocol_fee};
use tidekeeper::math::amm::{Direction, Rounding};
use tidekeeper::venues::uniswap_v4::decode_manager_log;

use super::abi::{Ask, Change, Donor, Key, Provider, Settling, Singleton, Swapper, int24, key_of};
use super::course::{Course, Lives};
use super::draw::{self, Spot};
use super::machine::{Done, Machine, Sent, halves};
use super::stage::{HOOKS, OWNER, Stage, TRADER, TREASURY, V4Site};
use super::there_and_back;
use super::v3::kind_of;
use seen::Position;

/// Most positions of a pool.
const POSITIONS_MAX: usize = 60;
/// Positions of the same range are told apart by a salt below this.
const SALTS: u8 = 3;
/// The native coin that goes with every call; what is left comes back.
const ETHER_SENT: U256 = U256::from_limbs([0, 1 << 63, 0, 0]);
/// The first amount no `int128` holds.
const TOO_MUCH: U256 = U256::from_limbs([0, 1 << 63, 0, 0]);

/// A position by its range and its salt.
type Name = (i32, i32, u8);

/// One pool, there and here.
pub(super) struct Life {
    machine: Machine,
    site: V4Site,
    key: Key,
    id: B256,
    ours: PoolV4,
    /// Whether ours knows the LP fee of now.
    is_told: bool,
    /// What the protocol must have of each currency.
    accrued: [U256; 2],
    max_per_tick: u128,
    bits: usize,
    n_wanted: usize,
    /// Acts at the start that all bring liquidity.
    n_opening: usize,
    /// The positions there were, with liquidity or without.
    held: BTreeSet<Name>,
    /// Every tick that ever was the end of a position.
    used: BTreeSet<i32>,
}

/// The signed amount of an order to `PoolManager`: what goes in is negative.
fn specified(amount: SwapAmount) -> I256 {
    match amount {
        SwapAmount::ExactIn(amount) => I256::from_raw(amount).wrapping_neg(),
        SwapAmount::ExactOut(amount) => I256::from_raw(amount),
    }
}

/// Both amounts of a `BalanceDelta`: the trader's changes.
fn amounts_of(delta: I256) -> [I256; 2] {
    let [low, high] = halves(delta.into_raw());
    [high, low].map(|half| I256::try_from(half.cast_signed()).expect("narrower"))
}

/// What a quote says of the trader's changes.
fn deltas(outcome: &SwapOutcome) -> [I256; 2] {
    let paid = I256::from_raw(outcome.amount_in).wrapping_neg();
    let sent = I256::from_raw(outcome.amount_out);
    match outcome.direction {
        Direction::ZeroForOne => [paid, sent],
        Direction::OneForZero => [sent, paid],
    }
}

fn drawn_key(stage: &Stage, course: &mut Course) -> PoolKey {
    let rng = &mut course.rng;
    let [token0, token1] = stage.tokens;
    let (currency0, currency1) =
        if rng.random_bool(0.3) { (Address::ZERO, token0) } else { (token0, token1) };
    let (fee_pips, hooks) = match rng.random_range(0..16u32) {
        0..=3 => (DYNAMIC_FEE, HOOKS),
        4 => (MAX_LP_FEE_PIPS, Address::ZERO),
        _ => (draw::fee(rng), Address::ZERO),
    };
    let tick_spacing = draw::spacing(rng, MAX_TICK_SPACING_V4);
    PoolKey { currency0, currency1, fee_pips, tick_spacing, hooks }
}

impl Lives for Life {
    fn act(&mut self, course: &mut Course) -> Result<()> {
        self.machine.pass(course.rng.random_range(0..30));
        let drawn = course.rng.random_range(0..100u32);
        let touched = match drawn {
            _ if self.n_opening > 0 => {
                self.n_opening -= 1;
                self.mint(course)?
            }
            0..=52 => self.swap(course)?,
            53..=66 => self.mint(course)?,
            67..=81 => self.burn(course)?,
            82..=87 => self.donate(course)?,
            88..=91 => self.set_protocol_fee(course)?,
            92..=94 => self.collect_protocol(course)?,
            _ if self.ours.key().has_dynamic_fee() => self.set_lp_fee(course)?,
            _ => self.swap(course)?,
        };
        self.same_state(&touched)
    }

    /// Settles the fees of every position, then compares all that the contract keeps of the pool.
    fn end(&mut self, course: &mut Course) -> Result<()> {
        for name in self.held.clone() {
            self.modify(course, name, 0)?;
        }
        let touched: Vec<i32> = self.used.iter().copied().collect();
        self.same_state(&touched)?;
        let n_kept = self.ours.ticks().keys().filter(|tick| self.used.contains(tick)).count();
        ensure!(n_kept == self.ours.ticks().len(), "a tick that no position ends at");
        Ok(())
    }
}

impl Life {
    /// Opens a pool.
    pub(super) fn begin(stage: &Stage, site: V4Site, course: &mut Course) -> Result<Self> {
        let named = drawn_key(stage, course);
        let price = draw::price(&mut course.rng);
        course.does("opening", format_args!("{named:?} at {price}"));
        let key = key_of(&named);
        let mut machine = stage.machine.fork();
        let open = Singleton::initializeCall {
            key: key.clone(),
            sqrtPriceX96: U160::saturating_from(price),
        };
        let opened = machine.must(OWNER, site.singleton, &open)?;
        // Rounded away from the price at the low end, unlike V3.
        let first = MIN_TICK.div_euclid(named.tick_spacing);
        let n_ticks = u128::try_from(MAX_TICK / named.tick_spacing - first + 1)?;
        let n_wanted = course.rng.random_range(1..=POSITIONS_MAX);
        let mut life = Self {
            machine,
            site,
            key,
            id: named.id(),
            ours: PoolV4::unopened(named, 0)?,
            is_told: true,
            accrued: [U256::ZERO; 2],
            max_per_tick: u128::MAX / n_ticks,
            bits: draw::bits_of_fee(named.fee_pips),
            n_wanted,
            n_opening: course.rng.random_range(1..=n_wanted),
            held: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        life.follow(&opened.logs)?;
        life.same_state(&[])?;
        Ok(life)
    }

    /// Calls one of the contracts that pay for the trader.
    fn send(&mut self, to: Address, call: &impl SolCall) -> Result<Sent> {
        let is_native = self.key.currency0.is_zero();
        let value = if is_native { ETHER_SENT } else { U256::ZERO };
        self.machine.send(TRADER, to, value, call)
    }

    fn follow(&mut self, logs: &[Log]) -> Result<()> {
        for log in logs.iter().filter(|log| log.address == self.site.singleton) {
            let Some((id, event)) = decode_manager_log(log)? else { continue };
            ensure!(id == self.id, "a log of pool {id}, which there is none of");
            there_and_back(&mut self.ours, &event, PoolV4::apply, PoolV4::undo)?;
        }
        Ok(())
    }

    fn spot(&self) -> Spot<'_> {
        Spot {
            sqrt_price_x96: self.ours.sqrt_price_x96(),
            tick: self.ours.tick(),
            spacing: self.ours.key().tick_spacing,
            ticks: self.ours.ticks(),
        }
    }

    fn swap(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let order = draw::order(&mut course.rng, self.spot(), self.bits + 4);
        course.does(kind_of(&order), format_args!("{order:?}"));
        let walk = self.ours.walk(&order);
        let same = walk.as_ref().map(Quote::from).map_err(|error| *error);
        ensure!(self.ours.quote(&order) == same, "the table says otherwise than {walk:?}");
        let limit = order.sqrt_limit_x96.unwrap_or_else(|| draw::last_price(order.direction));
        let call = Swapper::swapCall {
            key: self.key.clone(),
            params: Ask {
                zeroForOne: order.direction == Direction::ZeroForOne,
                amountSpecified: specified(order.amount),
                sqrtPriceLimitX96: U160::saturating_from(limit),
            },
            testSettings: Settling { takeClaims: false, settleUsingBurn: false },
            hookData: Bytes::new(),
        };
        let before = self.ours.tick();
        let sent = self.send(self.site.swapper, &call)?;
        if !self.is_told {
            return self.see_fee_paid(course, before, sent);
        }
        let why_not = walk.as_ref().err().map(|error| format!("{error:?}"));
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let quote = walk?;
        let told = amounts_of(Swapper::swapCall::abi_decode_returns(&done.output)?);
        ensure!(told == deltas(&quote), "{told:?} traded, {quote:?} quoted");
        let token = usize::from(quote.direction == Direction::OneForZero);
        self.accrued[token] += U256::from(quote.protocol_fee);
        self.follow(&done.logs)?;
        let end = (self.ours.sqrt_price_x96(), self.ours.tick(), self.ours.liquidity());
        let quoted = (quote.sqrt_price_x96, quote.tick, quote.liquidity);
        ensure!(end == quoted, "the swap ends at {end:?}, {quoted:?} quoted");
        Ok(self.ticks_between(before, quote.tick))
    }

    /// A swap at an LP fee that ours does not know: it must follow the log all the same, and have
    /// the fee from it, but for one pip where two fees pay the same.
    fn see_fee_paid(&mut self, course: &mut Course, before: i32, sent: Sent) -> Result<Vec<i32>> {
        let Sent::Done(Done { logs, .. }) = sent else {
            course.count(false);
            return Ok(Vec::new());
        };
        course.count(true);
        self.follow(&logs)?;
        self.accrued = self.accrued_there();
        let (ours, there) = (self.ours.lp_fee_pips(), self.slot0().lp_fee_pips);
        ensure!(ours.abs_diff(there) <= 1, "a fee of {there} pips was paid, ours has {ours}");
        self.tell_fee()?;
        Ok(self.ticks_between(before, self.ours.tick()))
    }

    fn ticks_between(&self, a: i32, b: i32) -> Vec<i32> {
        self.ours.ticks().range(a.min(b)..=a.max(b)).map(|(tick, _)| *tick).collect()
    }

    fn mint(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let is_new = self.held.len() < self.n_wanted && course.rng.random_bool(0.7);
        let chosen = if is_new { None } else { draw::one_of(&mut course.rng, &self.held) };
        let name = chosen.unwrap_or_else(|| {
            let (lower, upper) = draw::ends(&mut course.rng, self.spot());
            (lower, upper, course.rng.random_range(0..SALTS))
        });
        let amount = match self.range(name) {
            Ok(range) => draw::liquidity(&mut course.rng, range, self.bits),
            Err(_) => draw::sized_u128(&mut course.rng, 40),
        };
        self.modify(course, name, i128::try_from(amount)?)
    }

    fn burn(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let chosen = draw::one_of(&mut course.rng, &self.held);
        let Some(name) = chosen else { return self.mint(course) };
        let amount = draw::share(&mut course.rng, self.position(name).liquidity);
        self.modify(course, name, -i128::try_from(amount)?)
    }

    fn modify(&mut self, course: &mut Course, name: Name, delta: i128) -> Result<Vec<i32>> {
        let kind = match delta {
            0 => "poke",
            1.. => "mint",
            _ => "burn",
        };
        course.does(kind, format_args!("{delta} on {name:?}"));
        let (lower, upper, salt) = name;
        let before = self.position(name);
        let foreseen = self.foresee(name, &before, delta);
        let inside = self.range(name).ok().and_then(|r| self.ours.fee_growth_inside(r).ok());
        let call = Provider::modifyLiquidityCall {
            key: self.key.clone(),
            params: Change {
                tickLower: int24(lower),
                tickUpper: int24(upper),
                liquidityDelta: I256::try_from(delta)?,
                salt: B256::with_last_byte(salt),
            },
            hookData: Bytes::new(),
        };
        let sent = self.send(self.site.provider, &call)?;
        let Some(done) = course.judge(foreseen.clone().err(), sent)? else {
            return Ok(Vec::new());
        };
        let told = amounts_of(Provider::modifyLiquidityCall::abi_decode_returns(&done.output)?);
        ensure!(Ok(told) == foreseen, "{told:?} changed hands, {foreseen:?} foreseen");
        self.follow(&done.logs)?;
        self.held.insert(name);
        self.used.extend([lower, upper]);
        let liquidity = before.liquidity.checked_add_signed(delta);
        let inside = match inside {
            Some(inside) => inside,
            // A first touch begins at the growth of now, and its ends have just become ticks.
            None => self.ours.fee_growth_inside(self.range(name).map_err(Error::msg)?)?,
        };
        let there = self.position(name);
        ensure!(
            Some(there.liquidity) == liquidity && there.inside == inside,
            "{name:?} must have {liquidity:?} since {inside:?}, it has {there:?}"
        );
        Ok(vec![lower, upper])
    }

    /// What a change must give the trader, principal and fees together; or why it must be refused.
    fn foresee(&self, name: Name, before: &Position, delta: i128) -> Result<[I256; 2], String> {
        let range = self.range(name)?;
        let amount = delta.unsigned_abs();
        if delta <= 0 && (before.liquidity == 0 || amount > before.liquidity) {
            return Err(format!("{amount} of {}", before.liquidity));
        }
        let gross = [range.lower(), range.upper()].map(|tick| self.gross(tick));
        if delta > 0 && gross.iter().any(|gross| gross + amount > self.max_per_tick) {
            return Err("more than the maximum per tick".to_owned());
        }
        let rounding = if delta > 0 { Rounding::Up } else { Rounding::Down };
        let price = self.ours.sqrt_price_x96();
        let principal = amounts_for_liquidity(price, range, amount, rounding);
        let principal = principal.map_err(|error| format!("{error:?}"))?;
        // Where an end is no tick the position has no liquidity, and so no fees.
        let fees = self.ours.position_fees(range, before.liquidity, before.inside);
        let fees = fees.unwrap_or_default();
        let both = [(principal.amount0, fees.amount0), (principal.amount1, fees.amount1)];
        if both.iter().any(|(principal, fee)| *principal >= TOO_MUCH || *fee >= TOO_MUCH) {
            return Err("more than an int128".to_owned());
        }
        let changes = both.map(|(principal, fee)| {
            let (principal, fee) = (I256::from_raw(principal), I256::from_raw(fee));
            if delta > 0 { fee - principal } else { fee + principal }
        });
        let costs = changes.iter().any(|change| change.is_negative());
        let pays = changes.iter().any(|change| change.is_positive());
        let is_odd = match delta {
            0 => false,
            1.. => !costs || pays,
            _ => !pays || costs,
        };
        if is_odd {
            return Err(format!("the test contract's own rule: {changes:?}"));
        }
        if changes.iter().any(|change| *change >= I256::from_raw(TOO_MUCH)) {
            return Err("more than an int128 together".to_owned());
        }
        Ok(changes)
    }

    fn donate(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let amounts = [0, 1].map(|_| match course.rng.random_range(0..4u32) {
            0 => U256::ZERO,
            _ => draw::sized(&mut course.rng, self.bits),
        });
        course.does("donate", format_args!("{amounts:?}"));
        let why_not = (self.ours.liquidity() == 0).then(|| "nobody to give to".to_owned());
        let call = Donor::donateCall {
            key: self.key.clone(),
            amount0: amounts[0],
            amount1: amounts[1],
            hookData: Bytes::new(),
        };
        let sent = self.send(self.site.donor, &call)?;
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let told = amounts_of(Donor::donateCall::abi_decode_returns(&done.output)?);
        let given = amounts.map(|amount| I256::from_raw(amount).wrapping_neg());
        ensure!(told == given, "{told:?} changed hands, {given:?} given");
        self.follow(&done.logs)?;
        Ok(Vec::new())
    }

    fn set_protocol_fee(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let [down, up] = [0, 1].map(|_| match course.rng.random_range(0..8u32) {
            0..=1 => 0u32,
            2 => course.rng.random_range(0..1 << 12),
            _ => course.rng.random_range(0..=1_000),
        });
        let packed = down | up << 12;
        course.does("protocol fee set", format_args!("{down} and {up}"));
        let why_not = check_protocol_fee(packed).err().map(|error| format!("{error:?}"));
        let call = Singleton::setProtocolFeeCall {
            key: self.key.clone(),
            newProtocolFee: U24::from(packed),
        };
        let sent = self.machine.send(OWNER, self.site.singleton, U256::ZERO, &call)?;
        if let Some(done) = course.judge(why_not, sent)? {
            self.follow(&done.logs)?;
        }
        Ok(Vec::new())
    }

    /// The protocol's fees are no pool's: taking them leaves no log and changes nothing of ours.
    fn collect_protocol(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let token = course.rng.random_range(0..2usize);
        let accrued = self.accrued[token];
        // Zero is all there is.
        let amount = match course.rng.random_range(0..4u32) {
            0 => accrued + U256::ONE,
            1 => U256::ZERO,
            _ => draw::word(&mut course.rng) % (accrued + U256::ONE),
        };
        course.does("protocol fee taken", format_args!("{amount} of {accrued}"));
        let why_not = (amount > accrued).then(|| "more than there is".to_owned());
        let currency = [self.key.currency0, self.key.currency1][token];
        let call = Singleton::collectProtocolFeesCall { recipient: TREASURY, currency, amount };
        let sent = self.machine.send(OWNER, self.site.singleton, U256::ZERO, &call)?;
        if let Some(done) = course.judge(why_not, sent)? {
            let due = if amount.is_zero() { accrued } else { amount };
            let taken = Singleton::collectProtocolFeesCall::abi_decode_returns(&done.output)?;
            ensure!(taken == due, "{taken} taken, {due} due");
            self.accrued[token] -= due;
            self.follow(&done.logs)?;
        }
        Ok(Vec::new())
    }

    /// Half of the time ours is told at once, as by a new reading; else it must see it in a swap.
    fn set_lp_fee(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let fee_pips = match course.rng.random_range(0..8u32) {
            0 => course.rng.random_range(MAX_LP_FEE_PIPS..=MAX_LP_FEE_PIPS + 1),
            _ => draw::fee(&mut course.rng),
        };
        course.does("lp fee set", format_args!("{fee_pips}"));
        let why_not = (fee_pips > MAX_LP_FEE_PIPS).then(|| "above one".to_owned());
        let call = Singleton::updateDynamicLPFeeCall {
            key: self.key.clone(),
            newDynamicLPFee: U24::from(fee_pips),
        };
        let sent = self.machine.send(HOOKS, self.site.singleton, U256::ZERO, &call)?;
        if let Some(done) = course.judge(why_not, sent)? {
            self.follow(&done.logs)?;
            self.is_told = false;
            if course.rng.random() {
                self.tell_fee()?;
            }
        }
        Ok(Vec::new())
    }
}
