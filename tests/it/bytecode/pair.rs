//! The life of one V2 pair in the EVM, and ours beside it, fed with the pair's logs alone.
//!
//! Uniswap's pairs and SushiSwap's are other bytecode with the same rules.
//!
//! **Where only one side refuses.** Ours quotes an output of nothing, which the pair does not pay,
//! and knows no end of `uint112`. Both are foreseen here. What `amount_out` answers is the most the
//! pair pays: one unit more must be refused. `amount_in` rounds up by a unit even where nothing is
//! to be rounded, as Uniswap's library does, so nothing is said of a unit less.

use alloy::primitives::{Address, Bytes, Log, U256};
use alloy::sol_types::SolCall;
use anyhow::{Result, anyhow, ensure};
use rand::Rng;
use tidekeeper::market::pools::v2::{PoolV2, V2Observed};
use tidekeeper::math::amm::v2::{KeptPart, MINIMUM_LIQUIDITY, burn_amounts, mint_shares};
use tidekeeper::math::amm::{Amounts, Direction};
use tidekeeper::venues::uniswap_v2::decode_pair_log;

use super::abi::{Pair, PairFactory, Token};
use super::course::{Course, Lives};
use super::draw;
use super::machine::{Machine, Sent, in_map};
use super::stage::{OWNER, Stage, TRADER, TREASURY, balance};
use super::there_and_back;

/// Where a pair keeps things (`UniswapV2ERC20.sol`, `UniswapV2Pair.sol`).
const SUPPLY: U256 = U256::ZERO;
const SHARES: U256 = U256::ONE;
const RESERVES: U256 = U256::from_limbs([8, 0, 0, 0]);
const K_LAST: U256 = U256::from_limbs([11, 0, 0, 0]);

/// Bits of a reserve.
const RESERVE_BITS: usize = 112;

/// One pair, there and here.
pub(super) struct Life {
    machine: Machine,
    factory: Address,
    tokens: [Address; 2],
    pair: Address,
    ours: PoolV2,
    has_fee: bool,
}

impl Lives for Life {
    fn act(&mut self, course: &mut Course) -> Result<()> {
        self.machine.pass(course.rng.random_range(0..30));
        let is_empty = self.word(SUPPLY).is_zero();
        match course.rng.random_range(0..100u32) {
            0..=79 if is_empty => self.mint(course)?,
            0..=29 => self.swap_in(course)?,
            30..=54 => self.swap_out(course)?,
            55..=59 => self.swap_both(course)?,
            60..=74 => self.mint(course)?,
            75..=86 => self.burn(course)?,
            87..=92 => self.sync(course)?,
            93..=96 => self.skim(course)?,
            _ => self.switch_fee(course)?,
        }
        let word = self.word(RESERVES);
        let mask = (U256::ONE << RESERVE_BITS) - U256::ONE;
        let [reserve0, reserve1] =
            [word, word >> RESERVE_BITS].map(|word| (word & mask).to::<u128>());
        let found = self.ours.compare(&V2Observed { reserve0, reserve1 });
        ensure!(found.is_empty(), "ours and the pair differ: {found:?}");
        let held = self.holdings();
        ensure!(held == self.reserves(), "the pair holds {held:?}, which are not its reserves");
        Ok(())
    }

    /// Every act has compared all that a pair keeps.
    fn end(&mut self, _: &mut Course) -> Result<()> {
        Ok(())
    }
}

impl Life {
    /// Creates a pair through its factory.
    pub(super) fn begin(stage: &Stage, factory: Address, course: &mut Course) -> Result<Self> {
        course.does("opening", "");
        let [token0, token1] = stage.tokens;
        let mut machine = stage.machine.fork();
        let create = PairFactory::createPairCall { tokenA: token0, tokenB: token1 };
        let created = machine.must(OWNER, factory, &create)?;
        let pair = PairFactory::createPairCall::abi_decode_returns(&created.output)?;
        let ours = PoolV2::from_snapshot(nothing(), KeptPart::UNISWAP);
        Ok(Self { machine, factory, tokens: stage.tokens, pair, ours, has_fee: false })
    }

    fn word(&self, slot: U256) -> U256 {
        self.machine.word(self.pair, slot)
    }

    fn shares_of(&self, owner: Address) -> U256 {
        self.word(in_map(owner.into_word().0, SHARES))
    }

    /// Tokens that the pair has, whether its reserves know of them or not.
    fn holdings(&self) -> Amounts {
        let [amount0, amount1] = self.tokens.map(|token| balance(&self.machine, token, self.pair));
        Amounts { amount0, amount1 }
    }

    fn reserves(&self) -> Amounts {
        let (reserve0, reserve1) = self.ours.reserves();
        Amounts { amount0: U256::from(reserve0), amount1: U256::from(reserve1) }
    }

    fn send(&mut self, call: &impl SolCall) -> Result<Sent> {
        self.machine.send(TRADER, self.pair, U256::ZERO, call)
    }

    fn give(&mut self, amounts: [U256; 2]) -> Result<()> {
        for (token, amount) in self.tokens.into_iter().zip(amounts) {
            if !amount.is_zero() {
                let call = Token::transferCall { to: self.pair, amount };
                self.machine.must(TRADER, token, &call)?;
            }
        }
        Ok(())
    }

    /// Takes back what a refused call left lying in the pair.
    fn take_back(&mut self) -> Result<()> {
        self.machine.must(TRADER, self.pair, &Pair::skimCall { to: TRADER }).map(drop)
    }

    fn follow(&mut self, logs: &[Log]) -> Result<()> {
        for log in logs.iter().filter(|log| log.address == self.pair) {
            let Some(event) = decode_pair_log(log)? else { continue };
            there_and_back(&mut self.ours, &event, PoolV2::apply, PoolV2::undo)?;
        }
        Ok(())
    }

    /// Ends an act: its logs are followed, or what was given for nothing comes back.
    fn settle(&mut self, course: &mut Course, why_not: Option<String>, sent: Sent) -> Result<bool> {
        match course.judge(why_not, sent)? {
            Some(done) => self.follow(&done.logs).map(|()| true),
            None => self.take_back().map(|()| false),
        }
    }

    /// Why the pair would not take so much, if it would not.
    fn is_full(&self) -> Option<String> {
        let Amounts { amount0, amount1 } = self.holdings();
        let is_full = amount0.max(amount1).bit_len() > RESERVE_BITS;
        is_full.then(|| "a reserve above uint112".to_owned())
    }

    fn drawn_way(&self, course: &mut Course) -> (Direction, [U256; 2]) {
        let Amounts { amount0, amount1 } = self.reserves();
        if course.rng.random() {
            (Direction::ZeroForOne, [amount0, amount1])
        } else {
            (Direction::OneForZero, [amount1, amount0])
        }
    }

    /// Something up to eight times the reserve it goes to, or anything, or nothing.
    fn drawn_amount(course: &mut Course, reserve: U256) -> U256 {
        match course.rng.random_range(0..32u32) {
            0 => U256::ZERO,
            1 => draw::sized(&mut course.rng, RESERVE_BITS),
            _ => draw::sized(&mut course.rng, (reserve.bit_len() + 3).min(RESERVE_BITS)),
        }
    }

    fn ask(&mut self, way: Direction, out: U256) -> Result<Sent> {
        let [amount0_out, amount1_out] = in_order(way, U256::ZERO, out);
        self.send(&swap_call(amount0_out, amount1_out))
    }

    fn swap_in(&mut self, course: &mut Course) -> Result<()> {
        let (way, [reserve_in, _]) = self.drawn_way(course);
        let amount = Self::drawn_amount(course, reserve_in);
        course.does("swap exact in", format_args!("{way:?} {amount}"));
        let quote = self.ours.quote_exact_in(way, amount);
        self.give(in_order(way, amount, U256::ZERO))?;
        let Ok(out) = quote else {
            let sent = self.ask(way, U256::ONE)?;
            let why_not = quote.err().map(|error| format!("{error:?}"));
            return self.settle(course, why_not, sent).map(drop);
        };
        if let Sent::Done(_) = self.ask(way, out + U256::ONE)? {
            return Err(anyhow!("the pair pays more than the {out} quoted"));
        }
        let why_not = if out.is_zero() { Some("nothing out".to_owned()) } else { self.is_full() };
        let sent = self.ask(way, out)?;
        self.settle(course, why_not, sent).map(drop)
    }

    fn swap_out(&mut self, course: &mut Course) -> Result<()> {
        let (way, [_, reserve_out]) = self.drawn_way(course);
        let out = Self::drawn_amount(course, reserve_out);
        course.does("swap exact out", format_args!("{way:?} {out}"));
        let quote = self.ours.quote_exact_out(way, out);
        let why_not = match quote {
            Err(error) => Some(format!("{error:?}")),
            Ok(amount) => {
                self.give(in_order(way, amount, U256::ZERO))?;
                self.is_full()
            }
        };
        let sent = self.ask(way, out)?;
        self.settle(course, why_not, sent).map(drop)
    }

    /// In on both sides and out on both: nothing of ours quotes it, but every log must fit.
    fn swap_both(&mut self, course: &mut Course) -> Result<()> {
        let Amounts { amount0, amount1 } = self.reserves();
        let paid = [amount0, amount1].map(|reserve| Self::drawn_amount(course, reserve));
        course.does("swap both sides", format_args!("{paid:?}"));
        let bought0 = self.ours.quote_exact_in(Direction::OneForZero, paid[1]);
        let bought1 = self.ours.quote_exact_in(Direction::ZeroForOne, paid[0]);
        let out = [bought0, bought1].map(|bought| bought.unwrap_or(U256::ONE));
        self.give(paid)?;
        let sent = self.send(&swap_call(out[0], out[1]))?;
        let why_not = match &sent {
            Sent::Done(_) => None,
            Sent::Refused(why) => Some(why.clone()),
        };
        self.settle(course, why_not, sent).map(drop)
    }

    /// Shares that the next change of liquidity mints for the protocol: a sixth of the growth of
    /// the root of both reserves' product (`UniswapV2Pair._mintFee`).
    fn shares_due(&self) -> U256 {
        let last = self.word(K_LAST);
        if !self.has_fee || last.is_zero() {
            return U256::ZERO;
        }
        let Amounts { amount0, amount1 } = self.reserves();
        let (now, last) = ((amount0 * amount1).root(2), last.root(2));
        if now <= last {
            return U256::ZERO;
        }
        self.word(SUPPLY) * (now - last) / (now * U256::from(5) + last)
    }

    fn mint(&mut self, course: &mut Course) -> Result<()> {
        let Amounts { amount0, amount1 } = self.reserves();
        let paid = [amount0, amount1].map(|reserve| match reserve.bit_len() {
            0 => draw::sized(&mut course.rng, 100),
            _ => Self::drawn_amount(course, reserve),
        });
        course.does("mint", format_args!("{paid:?}"));
        self.give(paid)?;
        let (supply, due) = (self.word(SUPPLY), self.shares_due());
        let (mine, theirs) = (self.shares_of(TRADER), self.shares_of(TREASURY));
        let deposit = Amounts { amount0: paid[0], amount1: paid[1] };
        let minted = mint_shares(deposit, self.reserves(), supply + due);
        let why_not = minted.as_ref().err().map(|error| format!("{error:?}"));
        let why_not = why_not.or_else(|| self.is_full());
        let sent = self.send(&Pair::mintCall { to: TRADER })?;
        if self.settle(course, why_not, sent)? {
            let minted = minted?;
            let locked = if supply.is_zero() { MINIMUM_LIQUIDITY } else { U256::ZERO };
            let got = [
                self.shares_of(TRADER) - mine,
                self.shares_of(TREASURY) - theirs,
                self.word(SUPPLY) - supply,
            ];
            let expected = [minted, due, minted + due + locked];
            ensure!(got == expected, "shares {got:?} were minted, {expected:?} foreseen");
        }
        Ok(())
    }

    fn burn(&mut self, course: &mut Course) -> Result<()> {
        let mine = self.shares_of(TRADER);
        let shares = match course.rng.random_range(0..8u32) {
            0 => U256::ZERO,
            1 => mine,
            _ => draw::sized(&mut course.rng, mine.bit_len().max(1)).min(mine),
        };
        // Tokens given before a burn are paid out with it, or become reserves without a log.
        let is_gift = course.rng.random_range(0..4u32) == 0;
        let gift = [0, 1].map(|_| draw::sized(&mut course.rng, 30));
        let gift = if is_gift { gift } else { [U256::ZERO; 2] };
        course.does("burn", format_args!("{shares} of {mine} after a gift of {gift:?}"));
        self.give(gift)?;
        let call = Token::transferCall { to: self.pair, amount: shares };
        self.machine.must(TRADER, self.pair, &call)?;
        let (supply, due) = (self.word(SUPPLY), self.shares_due());
        // Shares of burns that were refused still lie in the pair.
        let burned = self.shares_of(self.pair);
        let theirs = self.shares_of(TREASURY);
        let freed = burn_amounts(burned, self.holdings(), supply + due);
        let why_not = freed.as_ref().err().map(|error| format!("{error:?}"));
        let before = self.holdings();
        let sent = self.send(&Pair::burnCall { to: TRADER })?;
        if self.settle(course, why_not, sent)? {
            let (freed, after) = (freed?, self.holdings());
            let paid = Amounts {
                amount0: before.amount0 - after.amount0,
                amount1: before.amount1 - after.amount1,
            };
            ensure!(paid == freed, "{paid:?} paid, {freed:?} foreseen");
            let got = (self.word(SUPPLY), self.shares_of(TREASURY) - theirs);
            let expected = (supply + due - burned, due);
            ensure!(got == expected, "supply and fee {got:?}, {expected:?} foreseen");
        }
        Ok(())
    }

    /// A gift made official.
    fn sync(&mut self, course: &mut Course) -> Result<()> {
        let gift = [0, 1].map(|_| draw::sized(&mut course.rng, 60));
        course.does("gift and sync", format_args!("{gift:?}"));
        self.give(gift)?;
        let why_not = self.is_full();
        let sent = self.send(&Pair::syncCall {})?;
        self.settle(course, why_not, sent).map(drop)
    }

    /// A gift taken back: no log, no change.
    fn skim(&mut self, course: &mut Course) -> Result<()> {
        let gift = [0, 1].map(|_| draw::sized(&mut course.rng, 100));
        course.does("gift and skim", format_args!("{gift:?}"));
        self.give(gift)?;
        let sent = self.send(&Pair::skimCall { to: TREASURY })?;
        self.settle(course, None, sent).map(drop)
    }

    fn switch_fee(&mut self, course: &mut Course) -> Result<()> {
        let has_fee = !self.has_fee;
        course.does("protocol fee set", format_args!("{has_fee}"));
        let fee_to = if has_fee { TREASURY } else { Address::ZERO };
        let call = PairFactory::setFeeToCall { feeTo: fee_to };
        let sent = self.machine.send(OWNER, self.factory, U256::ZERO, &call)?;
        course.judge(None, sent)?;
        self.has_fee = has_fee;
        Ok(())
    }
}

/// What goes in and what comes out, as token0 and token1.
fn in_order(way: Direction, first: U256, second: U256) -> [U256; 2] {
    match way {
        Direction::ZeroForOne => [first, second],
        Direction::OneForZero => [second, first],
    }
}

fn swap_call(amount0_out: U256, amount1_out: U256) -> Pair::swapCall {
    Pair::swapCall {
        amount0Out: amount0_out,
        amount1Out: amount1_out,
        to: TRADER,
        data: Bytes::new(),
    }
}

fn nothing() -> V2Observed {
    V2Observed { reserve0: 0, reserve1: 0 }
}
