//! The life of one V3 pool in the EVM, and ours beside it, fed with the pool's logs alone.
//!
//! SushiSwap V3's pools have the same creation code, hash for hash, so this is their proof too.
//!
//! **Where only one side refuses.** The pool refuses liquidity above its maximum per tick, to burn
//! more than a position has, and to touch a position of nothing; ours keeps no positions and is
//! never asked. These are foreseen here by the contract's rules. Nothing else may differ.

mod seen;

use std::collections::BTreeSet;

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, Bytes, I256, Log, U160, U256};
use alloy::sol_types::SolCall;
use anyhow::{Result, ensure};
use rand::Rng;
use tidekeeper::market::pools::v3::{PoolV3, PositionFees, V3Snapshot};
use tidekeeper::math::amm::liquidity::amounts_for_liquidity;
use tidekeeper::math::amm::tick::{MAX_TICK, MAX_TICK_SPACING, TickRange};
use tidekeeper::math::amm::v3::{SwapAmount, SwapOrder};
use tidekeeper::math::amm::{Direction, PIPS, Rounding, mul_div};
use tidekeeper::venues::uniswap_v3::decode_pool_log;

use super::abi::{Pool, PoolFactory, int24};
use super::course::{Course, Lives};
use super::draw::{self, Spot};
use super::machine::{Machine, Sent, halves};
use super::stage::{OWNER, Stage, TRADER, TREASURY, balance};
use super::there_and_back;
use seen::Position;

/// Fees that the factory has from its first day on, with their grids.
const TIERS: [(u32, i32); 3] = [(500, 10), (3_000, 60), (10_000, 200)];
/// The tier that mainnet added.
const LOWEST_TIER: (u32, i32) = (100, 1);
/// Most positions of a pool.
const POSITIONS_MAX: usize = 60;

/// One pool, there and here.
pub(super) struct Life {
    machine: Machine,
    tokens: [Address; 2],
    pool: Address,
    payment: Bytes,
    ours: PoolV3,
    max_per_tick: u128,
    bits: usize,
    n_wanted: usize,
    /// Acts at the start that all bring liquidity.
    n_opening: usize,
    /// The positions there were, with liquidity or without.
    held: BTreeSet<(i32, i32)>,
    /// Every tick that ever was the end of a position.
    used: BTreeSet<i32>,
}

/// The signed amount of an order to a V3 pool: what goes in is positive.
fn specified(amount: SwapAmount) -> I256 {
    match amount {
        SwapAmount::ExactIn(amount) => I256::from_raw(amount),
        SwapAmount::ExactOut(amount) => I256::from_raw(amount).wrapping_neg(),
    }
}

fn drawn_tier(course: &mut Course) -> (u32, i32) {
    let rng = &mut course.rng;
    match rng.random_range(0..8u32) {
        0 => LOWEST_TIER,
        drawn @ 1..=3 => TIERS[usize::try_from(drawn).expect("small") - 1],
        _ => {
            let fee_pips = draw::fee(rng);
            let spacing = draw::spacing(rng, MAX_TICK_SPACING);
            let known = TIERS.into_iter().find(|(fee, _)| *fee == fee_pips);
            known.unwrap_or((fee_pips, spacing))
        }
    }
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
            0..=54 => self.swap(course)?,
            55..=69 => self.mint(course)?,
            70..=83 => self.burn(course)?,
            84..=90 => self.collect(course)?,
            91..=94 => self.flash(course)?,
            95..=97 => self.set_fee_protocol(course)?,
            _ => self.collect_protocol(course)?,
        };
        self.same_state(&touched)
    }

    /// Settles the fees of every position, then compares all that the pool keeps.
    fn end(&mut self, course: &mut Course) -> Result<()> {
        for (lower, upper) in self.held.clone() {
            self.burn_of(course, lower, upper, 0)?;
        }
        let touched: Vec<i32> = self.used.iter().copied().collect();
        self.same_state(&touched)?;
        let n_kept = self.ours.ticks().keys().filter(|tick| self.used.contains(tick)).count();
        ensure!(n_kept == self.ours.ticks().len(), "a tick that no position ends at");
        ensure!(
            self.ours.snapshot()?.fee_protocol == self.fee_protocol(),
            "another feeProtocol than the pool's {}",
            self.fee_protocol()
        );
        Ok(())
    }
}

impl Life {
    /// Creates a pool through the factory and gives it a price.
    pub(super) fn begin(stage: &Stage, factory: Address, course: &mut Course) -> Result<Self> {
        let (fee_pips, tick_spacing) = drawn_tier(course);
        let price = draw::price(&mut course.rng);
        course.does("opening", format_args!("{fee_pips} pips, spacing {tick_spacing}, {price}"));
        let [token0, token1] = stage.tokens;
        let mut machine = stage.machine.fork();
        let fee = U24::from(fee_pips);
        if !TIERS.contains(&(fee_pips, tick_spacing)) {
            let tier = PoolFactory::enableFeeAmountCall { fee, tickSpacing: int24(tick_spacing) };
            machine.must(OWNER, factory, &tier)?;
        }
        let create = PoolFactory::createPoolCall { tokenA: token0, tokenB: token1, fee };
        let created = machine.must(OWNER, factory, &create)?;
        let pool = PoolFactory::createPoolCall::abi_decode_returns(&created.output)?;
        let opened = Pool::initializeCall { sqrtPriceX96: U160::saturating_from(price) };
        let opened = machine.must(OWNER, pool, &opened)?;
        let n_wanted = course.rng.random_range(1..=POSITIONS_MAX);
        let ends_per_side = MAX_TICK / tick_spacing;
        let n_ticks = u128::try_from(2 * ends_per_side + 1)?;
        let mut life = Self {
            machine,
            tokens: stage.tokens,
            pool,
            payment: stage.payment(),
            ours: PoolV3::from_snapshot(V3Snapshot::unopened(fee_pips, tick_spacing, 0))?,
            max_per_tick: u128::MAX / n_ticks,
            bits: draw::bits_of_fee(fee_pips),
            n_wanted,
            n_opening: course.rng.random_range(1..=n_wanted),
            held: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        life.follow(&opened.logs)?;
        life.same_state(&[])?;
        Ok(life)
    }

    /// From here on ours believes in another fee: the comparisons must find out.
    pub(super) fn bend(&mut self) -> Result<()> {
        let mut snapshot = self.ours.snapshot()?;
        snapshot.fee_pips ^= 1;
        self.ours = PoolV3::from_snapshot(snapshot)?;
        Ok(())
    }

    fn send(&mut self, from: Address, call: &impl SolCall) -> Result<Sent> {
        self.machine.send(from, self.pool, U256::ZERO, call)
    }

    fn follow(&mut self, logs: &[Log]) -> Result<()> {
        for log in logs.iter().filter(|log| log.address == self.pool) {
            let Some(event) = decode_pool_log(log)? else { continue };
            there_and_back(&mut self.ours, &event, PoolV3::apply, PoolV3::undo)?;
        }
        Ok(())
    }

    fn spot(&self) -> Spot<'_> {
        Spot {
            sqrt_price_x96: self.ours.sqrt_price_x96(),
            tick: self.ours.tick(),
            spacing: self.ours.tick_spacing(),
            ticks: self.ours.ticks(),
        }
    }

    fn purse(&self) -> [U256; 2] {
        self.tokens.map(|token| balance(&self.machine, token, self.pool))
    }

    fn swap(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let order = draw::order(&mut course.rng, self.spot(), self.bits + 4);
        course.does(kind_of(&order), format_args!("{order:?}"));
        let quote = self.ours.quote(&order);
        let limit = order.sqrt_limit_x96.unwrap_or_else(|| draw::last_price(order.direction));
        let call = Pool::swapCall {
            recipient: TRADER,
            zeroForOne: order.direction == Direction::ZeroForOne,
            amountSpecified: specified(order.amount),
            sqrtPriceLimitX96: U160::saturating_from(limit),
            data: self.payment.clone(),
        };
        let (before, purse) = (self.ours.tick(), self.purse());
        let sent = self.send(TRADER, &call)?;
        let why_not = quote.as_ref().err().map(|error| format!("{error:?}"));
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let quote = quote?;
        let told = Pool::swapCall::abi_decode_returns(&done.output)?;
        let deltas = (told.amount0, told.amount1);
        ensure!(deltas == quote.deltas(), "{deltas:?} traded, {quote:?} quoted");
        let held = self.purse();
        let moved = [0, 1].map(|token| I256::from_raw(held[token].wrapping_sub(purse[token])));
        ensure!(moved == [deltas.0, deltas.1], "{moved:?} moved, {deltas:?} told");
        self.follow(&done.logs)?;
        let end = (self.ours.sqrt_price_x96(), self.ours.tick(), self.ours.liquidity());
        let quoted = (quote.sqrt_price_x96, quote.tick, quote.liquidity);
        ensure!(end == quoted, "the swap ends at {end:?}, {quoted:?} quoted");
        let (low, high) = (before.min(quote.tick), before.max(quote.tick));
        Ok(self.ours.ticks().range(low..=high).map(|(tick, _)| *tick).collect())
    }

    fn mint(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let is_new = self.held.len() < self.n_wanted && course.rng.random_bool(0.7);
        let chosen = if is_new { None } else { draw::one_of(&mut course.rng, &self.held) };
        let (lower, upper) = match chosen {
            Some(ends) => ends,
            None => draw::ends(&mut course.rng, self.spot()),
        };
        let range = TickRange::new(lower, upper, self.ours.tick_spacing());
        let amount = match &range {
            _ if course.rng.random_range(0..64u32) == 0 => 0,
            Ok(range) => draw::liquidity(&mut course.rng, *range, self.bits),
            Err(_) => draw::sized_u128(&mut course.rng, 40),
        };
        course.does("mint", format_args!("{amount} on {lower}..{upper}"));
        let gross = [lower, upper].map(|tick| self.gross(tick));
        let why_not = match &range {
            Err(error) => Some(format!("{error:?}")),
            _ if amount == 0 => Some("a mint of nothing".to_owned()),
            _ if gross.iter().any(|gross| gross + amount > self.max_per_tick) => {
                Some("more than the maximum per tick".to_owned())
            }
            _ => None,
        };
        let before = self.position(lower, upper);
        let fees = self.fees(lower, upper, &before);
        let call = Pool::mintCall {
            recipient: TRADER,
            tickLower: int24(lower),
            tickUpper: int24(upper),
            amount,
            data: self.payment.clone(),
        };
        let sent = self.send(TRADER, &call)?;
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let (range, price) = (range?, self.ours.sqrt_price_x96());
        let due = amounts_for_liquidity(price, range, amount, Rounding::Up)?;
        let told = Pool::mintCall::abi_decode_returns(&done.output)?;
        let paid = (told.amount0, told.amount1);
        ensure!(paid == (due.amount0, due.amount1), "{paid:?} paid, {due:?} due");
        self.follow(&done.logs)?;
        self.held.insert((lower, upper));
        self.used.extend([lower, upper]);
        let mut expected = before.earned(fees);
        expected.liquidity += amount;
        if fees.is_none() {
            // A first touch begins at the growth of now, and its ends have just become ticks.
            expected.inside = self.ours.fee_growth_inside(range)?;
        }
        self.same_position(lower, upper, &expected)?;
        Ok(vec![lower, upper])
    }

    fn burn(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let chosen = draw::one_of(&mut course.rng, &self.held);
        let Some((lower, upper)) = chosen else { return self.mint(course) };
        let held = self.position(lower, upper).liquidity;
        let amount = draw::share(&mut course.rng, held);
        self.burn_of(course, lower, upper, amount)
    }

    fn burn_of(
        &mut self,
        course: &mut Course,
        lower: i32,
        upper: i32,
        amount: u128,
    ) -> Result<Vec<i32>> {
        let kind = if amount == 0 { "poke" } else { "burn" };
        course.does(kind, format_args!("{amount} on {lower}..{upper}"));
        let before = self.position(lower, upper);
        let is_covered = before.liquidity > 0 && amount <= before.liquidity;
        let why_not = (!is_covered).then(|| format!("{amount} of {}", before.liquidity));
        let fees = self.fees(lower, upper, &before);
        let call = Pool::burnCall { tickLower: int24(lower), tickUpper: int24(upper), amount };
        let sent = self.send(TRADER, &call)?;
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let range = TickRange::new(lower, upper, self.ours.tick_spacing())?;
        let price = self.ours.sqrt_price_x96();
        let due = amounts_for_liquidity(price, range, amount, Rounding::Down)?;
        let told = Pool::burnCall::abi_decode_returns(&done.output)?;
        let freed = [told.amount0, told.amount1];
        ensure!(freed == [due.amount0, due.amount1], "{freed:?} freed, {due:?} due");
        self.follow(&done.logs)?;
        let mut expected = before.earned(fees);
        for (owed, freed) in expected.owed.iter_mut().zip(freed) {
            // The contract cuts to 128 bits and wraps.
            *owed = owed.wrapping_add(halves(freed)[0]);
        }
        expected.liquidity -= amount;
        self.same_position(lower, upper, &expected)?;
        Ok(vec![lower, upper])
    }

    fn collect(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let chosen = draw::one_of(&mut course.rng, &self.held);
        let Some((lower, upper)) = chosen else { return self.mint(course) };
        let asked = [0, 1].map(|_| match course.rng.random_range(0..3u32) {
            0 => u128::MAX,
            1 => 0,
            _ => draw::sized_u128(&mut course.rng, 100),
        });
        course.does("collect", format_args!("{asked:?} of {lower}..{upper}"));
        let before = self.position(lower, upper);
        let call = Pool::collectCall {
            recipient: TREASURY,
            tickLower: int24(lower),
            tickUpper: int24(upper),
            amount0Requested: asked[0],
            amount1Requested: asked[1],
        };
        let sent = self.send(TRADER, &call)?;
        let Some(done) = course.judge(None, sent)? else { return Ok(Vec::new()) };
        let told = Pool::collectCall::abi_decode_returns(&done.output)?;
        let paid = [told.amount0, told.amount1];
        let due = [0, 1].map(|token| asked[token].min(before.owed[token]));
        ensure!(paid == due, "{paid:?} paid, {due:?} due");
        self.follow(&done.logs)?;
        let owed = [0, 1].map(|token| before.owed[token] - due[token]);
        self.same_position(lower, upper, &Position { owed, ..before })?;
        Ok(Vec::new())
    }

    /// A loan to the pool itself: it keeps the loan and is paid the fee by the trader.
    fn flash(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let amounts = self.purse().map(|held| match course.rng.random_range(0..4u32) {
            0 => U256::ZERO,
            _ => draw::sized(&mut course.rng, held.bit_len().max(1)).min(held),
        });
        course.does("flash", format_args!("{amounts:?}"));
        let why_not = (self.ours.liquidity() == 0).then(|| "no liquidity".to_owned());
        let call = Pool::flashCall {
            recipient: self.pool,
            amount0: amounts[0],
            amount1: amounts[1],
            data: self.payment.clone(),
        };
        let before = self.purse();
        let sent = self.send(TRADER, &call)?;
        let Some(done) = course.judge(why_not, sent)? else { return Ok(Vec::new()) };
        let (fee, million) = (U256::from(self.ours.fee_pips()), U256::from(PIPS));
        for (token, held) in self.purse().into_iter().enumerate() {
            let due = mul_div(amounts[token], fee, million, Rounding::Up)?;
            ensure!(held - before[token] == due, "a flash fee of {due} was due");
        }
        self.follow(&done.logs)?;
        Ok(Vec::new())
    }

    fn set_fee_protocol(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let parts = [0, 1].map(|_| match course.rng.random_range(0..8u32) {
            0..=1 => 0u8,
            2 => course.rng.random_range(0..20),
            _ => course.rng.random_range(4..=10),
        });
        course.does("protocol fee set", format_args!("{parts:?}"));
        let is_allowed = parts.iter().all(|part| *part == 0 || (4..=10).contains(part));
        let why_not = (!is_allowed).then(|| format!("{parts:?}"));
        let call = Pool::setFeeProtocolCall { feeProtocol0: parts[0], feeProtocol1: parts[1] };
        let sent = self.send(OWNER, &call)?;
        if let Some(done) = course.judge(why_not, sent)? {
            self.follow(&done.logs)?;
        }
        Ok(Vec::new())
    }

    /// The pool keeps one unit of what is taken whole.
    fn collect_protocol(&mut self, course: &mut Course) -> Result<Vec<i32>> {
        let asked = [0, 1].map(|_| match course.rng.random_range(0..3u32) {
            0 => u128::MAX,
            _ => draw::sized_u128(&mut course.rng, 100),
        });
        course.does("protocol fee taken", format_args!("{asked:?}"));
        let accrued = self.protocol_fees();
        let call = Pool::collectProtocolCall {
            recipient: TREASURY,
            amount0Requested: asked[0],
            amount1Requested: asked[1],
        };
        let sent = self.send(OWNER, &call)?;
        let Some(done) = course.judge(None, sent)? else { return Ok(Vec::new()) };
        let told = Pool::collectProtocolCall::abi_decode_returns(&done.output)?;
        let due = [0, 1].map(|token: usize| {
            let due = asked[token].min(accrued[token]);
            if due == accrued[token] { due.saturating_sub(1) } else { due }
        });
        let paid = [told.amount0, told.amount1];
        ensure!(paid == due, "{paid:?} paid, {due:?} due");
        self.follow(&done.logs)?;
        Ok(Vec::new())
    }

    fn gross(&self, tick: i32) -> u128 {
        self.ours.ticks().get(&tick).map_or(0, |state| state.gross)
    }

    /// What the position has earned since it was last touched; `None` where it ends at a tick that
    /// no liquidity holds, so that it has none itself.
    fn fees(&self, lower: i32, upper: i32, before: &Position) -> Option<PositionFees> {
        let range = TickRange::new(lower, upper, self.ours.tick_spacing()).ok()?;
        self.ours.position_fees(range, before.liquidity, before.inside).ok()
    }
}

/// What an order counts as.
pub(super) fn kind_of(order: &SwapOrder) -> &'static str {
    match order.amount {
        SwapAmount::ExactIn(_) => "swap exact in",
        SwapAmount::ExactOut(_) => "swap exact out",
    }
}
