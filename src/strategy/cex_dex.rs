//! A pool against an exchange: swap where the pool pays better, trade the base back on the book.
//!
//! Both sides are sized together, in lots of the exchange, on the pool's exact state and the levels
//! that the book shows. The pool's answer and the book's average only get worse with size, so that
//! what is earned is concave in it, but for rounding. The swap goes first: until it is mined
//! nothing is owed on the exchange, and one that is refused costs its gas. The leg follows at once,
//! at no worse than the operator's loss from the swap's own price.

mod terms;

pub use terms::of_leg as leg_terms;

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::market::book::Book;
use crate::market::pools::v3::PoolV3;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::math::amm::{Direction, PIPS};
use crate::math::quoting::{ceil_to, floor_to};
use crate::model::amount::{human_unsigned, raw_down, raw_up};
use crate::model::intent::{PoolId, SwapPlan, Term};
use crate::model::opportunity::{Moved, NetProfit, failure_probability};
use crate::model::order::Side;
use crate::model::venue::MarketRules;

/// Ten thousand basis points.
const BPS: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);
/// Most halvings of the search; more lots than 2^64 are in no book.
const HALVINGS_MAX: u32 = 64;

/// What the operator set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Strategy instance.
    pub strategy: String,
    /// Chain id; pools of other chains are not looked at.
    pub chain: u64,
    /// Configured venue, a spot account of this strategy alone.
    pub venue: String,
    /// Its symbol.
    pub symbol: String,
    /// Largest swap, numeraire.
    pub budget: Decimal,
    /// Least expected profit after all costs, numeraire.
    pub min_net: Decimal,
    /// Expected worsening of both sides between decision and trade, basis points of the size.
    pub slippage_bps: u32,
    /// The account's fee for taking, basis points.
    pub taker_fee_bps: Decimal,
    /// Base on the account at which there is nothing to hedge.
    pub target_inventory: Decimal,
    /// Worst price of the leg, basis points from the swap's own.
    pub max_loss_bps: Decimal,
    /// What is not traded on the exchange after so long is left to the hedge.
    pub unwind_ms: i64,
}

impl Parameters {
    /// The worst price of a leg: no better deal than this is waited for, no worse one taken. On the
    /// market's tick, towards the safe side; `None` when it does not fit.
    pub fn price_limit(&self, side: Side, anchor: Decimal, tick: Decimal) -> Option<Decimal> {
        let room = anchor.checked_mul(self.max_loss_bps)? / BPS;
        match side {
            Side::Buy => floor_to(anchor.checked_add(room)?, tick),
            Side::Sell => ceil_to(anchor.checked_sub(room)?, tick),
        }
    }

    /// Part of what is received that the exchange leaves.
    fn kept(&self) -> Decimal {
        Decimal::ONE - self.taker_fee_bps / BPS
    }
}

/// A pool of the pair, with what the wallet holds of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct PoolRef<'a> {
    /// Identity.
    pub id: PoolId,
    /// State.
    pub pool: &'a PoolV3,
    /// Swap fee.
    pub fee_pips: u32,
    /// Base and quote token.
    pub tokens: (Address, Address),
    /// Decimals of both.
    pub decimals: (u32, u32),
    /// Held of both, smallest units.
    pub held: (U256, U256),
    /// True when token0 is the base.
    pub base_is_token0: bool,
}

impl PoolRef<'_> {
    fn direction(&self, sells_base: bool) -> Direction {
        if sells_base == self.base_is_token0 {
            Direction::ZeroForOne
        } else {
            Direction::OneForZero
        }
    }

    /// What a swap gives and takes; `None` for one that the pool cannot fill whole.
    fn quote(&self, sells_base: bool, amount: SwapAmount) -> Option<(U256, U256)> {
        let direction = self.direction(sells_base);
        let outcome =
            self.pool.quote(&SwapOrder { direction, amount, sqrt_limit_x96: None }).ok()?;
        outcome.unfilled.is_zero().then_some((outcome.amount_in, outcome.amount_out))
    }
}

/// What is.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Pools that are believed, each once.
    pub pools: &'a [PoolRef<'a>],
    /// The exchange's book; whether it may be traded on was asked before.
    pub book: &'a Book,
    /// Its market's rules.
    pub rules: &'a MarketRules,
    /// Base on the account.
    pub venue_base: Decimal,
    /// Quote on the account.
    pub venue_quote: Decimal,
    /// Gas of one swap, numeraire; `None` when it has no price.
    pub gas: Option<Decimal>,
    /// Swaps of this kind that landed.
    pub landed: u64,
    /// Swaps of this kind that reverted.
    pub reverted: u64,
    /// Block the pools' states are of: the height alone is not enough, a chain may have two of one.
    pub block: B256,
}

/// A swap and a leg that bring more than they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Names it: chain, block, pool and side.
    pub key: String,
    /// The swap; the chain must refuse it when it would not pay its gas any more.
    pub swap: SwapPlan,
    /// What the swap is expected to move.
    pub expected: Moved,
    /// Base to be traded on the exchange, positive to buy.
    pub leg: Decimal,
    /// The swap's average price, quote per base.
    pub anchor: Decimal,
    /// What it earns and costs; `None` where gas has no price.
    pub net: Option<NetProfit>,
    /// True when the expected profit reaches the operator's least.
    pub is_worth: bool,
    /// In one sentence with the figures that decided.
    pub why: String,
    /// The figures it was weighed with.
    pub terms: Vec<Term>,
}

/// The best size of each pool and side that earns before gas, best first.
pub fn decide(view: &View<'_>, parameters: &Parameters) -> Vec<Found> {
    let mut found = Vec::new();
    for pool in view.pools.iter().filter(|pool| pool.id.chain == parameters.chain) {
        for side in [Side::Buy, Side::Sell] {
            let lane = Lane { view, parameters, pool, side };
            found.extend(lane.best().and_then(|trade| lane.found(&trade)));
        }
    }
    let expected = |found: &Found| found.net.and_then(|net| net.expected());
    found.sort_by(|a, b| expected(b).cmp(&expected(a)).then_with(|| a.key.cmp(&b.key)));
    found
}

/// What trading a leg at once would move now, fees off; `None` when the book cannot fill it. Signed
/// as [`Found::leg`].
pub fn leg_now(book: &Book, leg: Decimal, parameters: &Parameters) -> Option<Moved> {
    let side = if leg.is_sign_negative() { Side::Sell } else { Side::Buy };
    let quantity = leg.abs();
    let value = book.sweep(side, quantity).ok()?.price.checked_mul(quantity)?;
    let kept = parameters.kept();
    Some(match side {
        Side::Buy => Moved { base: quantity.checked_mul(kept)?, quote: -value },
        Side::Sell => Moved { base: -quantity, quote: value.checked_mul(kept)? },
    })
}

/// One pool and one side of the exchange.
struct Lane<'a> {
    view: &'a View<'a>,
    parameters: &'a Parameters,
    pool: &'a PoolRef<'a>,
    /// Ours on the exchange.
    side: Side,
}

/// One size, both sides of it.
#[derive(Clone, Copy, Debug)]
struct Trade {
    /// Base on the exchange, whole lots.
    quantity: Decimal,
    /// Into the pool.
    amount_in: U256,
    /// Out of it.
    amount_out: U256,
    on_chain: Moved,
    on_venue: Moved,
    /// Quote that comes in beyond what goes out.
    gross: Decimal,
}

impl Lane<'_> {
    /// The size that earns most; `None` when none does.
    fn best(&self) -> Option<Trade> {
        let lot = self.view.rules.lot;
        let price = self.touch()?;
        let least = ceil_to(self.view.rules.min_notional.checked_div(price)?, lot)?.max(lot);
        let first = self.trade(least).filter(|trade| trade.gross > Decimal::ZERO)?;
        let most = floor_to(self.parameters.budget.checked_div(price)?, lot)?;
        // Whole lots above the least one: the last that still adds something.
        let (mut low, mut high) = (Decimal::ZERO, most.checked_sub(least)?.checked_div(lot)?);
        if high < low {
            return None;
        }
        let at = |lots: Decimal| self.trade(least.checked_add(lots.checked_mul(lot)?)?);
        for _ in 0..HALVINGS_MAX {
            if low >= high {
                break;
            }
            let middle = ((low + high) / Decimal::TWO).ceil();
            let before = at(middle - Decimal::ONE).map(|trade| trade.gross);
            match at(middle).map(|trade| trade.gross) {
                Some(gross) if Some(gross) > before => low = middle,
                _ => high = middle - Decimal::ONE,
            }
        }
        Some(at(low).unwrap_or(first))
    }

    /// Best price we could take.
    fn touch(&self) -> Option<Decimal> {
        let level = match self.side {
            Side::Buy => self.view.book.best_ask(),
            Side::Sell => self.view.book.best_bid(),
        };
        level.map(|level| level.price).filter(|price| *price > Decimal::ZERO)
    }

    /// Both sides of a size; `None` where book, pool, wallet or account do not reach.
    fn trade(&self, quantity: Decimal) -> Option<Trade> {
        let leg = if self.side == Side::Buy { quantity } else { -quantity };
        let on_venue = leg_now(self.view.book, leg, self.parameters)?;
        let ((base_decimals, quote_decimals), (held_base, held_quote)) =
            (self.pool.decimals, self.pool.held);
        let (amount_in, amount_out) = match self.side {
            // What the exchange leaves of what we buy is what the pool gets.
            Side::Buy => {
                let base = raw_down(on_venue.base, base_decimals)?;
                self.pool.quote(true, SwapAmount::ExactIn(base))?
            }
            // The pool gives at least what is sold.
            Side::Sell => {
                let base = raw_up(quantity, base_decimals)?;
                let (amount_in, _) = self.pool.quote(false, SwapAmount::ExactOut(base))?;
                self.pool.quote(false, SwapAmount::ExactIn(amount_in))?
            }
        };
        let is_funded = match self.side {
            Side::Buy => amount_in <= held_base && -on_venue.quote <= self.view.venue_quote,
            Side::Sell => amount_in <= held_quote && quantity <= self.view.venue_base,
        };
        let on_chain = match self.side {
            Side::Buy => Moved {
                base: -human_unsigned(amount_in, base_decimals)?,
                quote: human_unsigned(amount_out, quote_decimals)?,
            },
            Side::Sell => Moved {
                base: human_unsigned(amount_out, base_decimals)?,
                quote: -human_unsigned(amount_in, quote_decimals)?,
            },
        };
        let gross = on_chain.quote.checked_add(on_venue.quote)?;
        let trade = Trade { quantity, amount_in, amount_out, on_chain, on_venue, gross };
        (is_funded && !amount_in.is_zero() && !amount_out.is_zero()).then_some(trade)
    }

    fn found(&self, trade: &Trade) -> Option<Found> {
        let Self { view, parameters, pool, side } = self;
        let notional = trade.on_chain.quote.abs().max(trade.on_venue.quote.abs());
        let anchor = trade.on_chain.quote.checked_div(trade.on_chain.base)?.abs();
        let net = view.gas.and_then(|gas| self.net(trade, notional, gas));
        let expected = net.and_then(|net| net.expected());
        let (base, quote) = pool.tokens;
        let is_buy = *side == Side::Buy;
        let (token_in, token_out) = if is_buy { (base, quote) } else { (quote, base) };
        let (verb, back) = if is_buy { ("sells", "buys") } else { ("buys", "sells") };
        let venue_price = trade.on_venue.quote.checked_div(trade.quantity)?.abs();
        let why = format!(
            "{verb} {} in the pool at {}, {back} it on {} at {} after fees: {} before gas, {} \
             expected",
            trade.quantity.normalize(),
            anchor.round_dp(4),
            parameters.venue,
            venue_price.round_dp(4),
            trade.gross.round_dp(4),
            expected.map_or_else(|| "unknown".to_owned(), |net| net.round_dp(4).to_string()),
        );
        let amount_out_min = self.least_out(trade)?;
        Some(Found {
            key: format!("{}/{}/{:#x}/{side}", parameters.chain, view.block, pool.id.address),
            swap: SwapPlan {
                pool: pool.id,
                token_in,
                token_out,
                amount_in: trade.amount_in,
                amount_out_min,
                notional,
            },
            expected: trade.on_chain,
            leg: if is_buy { trade.quantity } else { -trade.quantity },
            anchor,
            net,
            is_worth: expected.is_some_and(|expected| expected >= parameters.min_net)
                && amount_out_min <= trade.amount_out,
            why,
            terms: terms::of(self, trade, net),
        })
    }

    fn net(&self, trade: &Trade, notional: Decimal, gas: Decimal) -> Option<NetProfit> {
        let pool_fee = Decimal::from(self.pool.fee_pips) / Decimal::from(PIPS);
        let fee = pool_fee.checked_add(self.parameters.taker_fee_bps / BPS)?;
        let slippage = Decimal::from(self.parameters.slippage_bps) / BPS;
        Some(NetProfit {
            gross: trade.gross,
            gas,
            fees: notional.checked_mul(fee)?,
            slippage: notional.checked_mul(slippage)?,
            failure_probability: failure_probability(self.view.landed, self.view.reverted),
        })
    }

    /// The least the chain may give: what pays the leg and the gas, rounded up.
    fn least_out(&self, trade: &Trade) -> Option<U256> {
        let gas = self.view.gas.unwrap_or_default();
        match self.side {
            Side::Buy => raw_up((-trade.on_venue.quote).checked_add(gas)?, self.pool.decimals.1),
            Side::Sell => {
                let cost = (-trade.on_chain.quote).checked_add(gas)?;
                let per_base = trade.on_venue.quote.checked_div(trade.quantity)?;
                raw_up(cost.checked_div(per_base)?, self.pool.decimals.0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
