//! Rests one bid and one ask on a spot book around a price that leans against the inventory.
//!
//! Knows the touch of the others, what it owns and what it has resting; must never know who else
//! trades the account. Invariants: no price crosses the touch; at most one order of ours a side;
//! nothing is sold that is not owned, nothing bought that cash does not cover, no inventory grown
//! beyond its limit; without a measured volatility nothing new is quoted.

mod sketch;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::market::book::Level;
use crate::math::quoting::{Sampling, ceil_to, estimate, floor_to, realised_variance};
use crate::model::intent::Term;
use crate::model::order::Side;
use crate::model::time::Timestamp;
use crate::model::venue::MarketRules;
use crate::strategy::market_making::sketch::Sketch;

/// How mids become a volatility: thirty steps tell it to about an eighth of itself, and under a
/// tenth of a second the book talks about itself.
const SAMPLING: Sampling = Sampling { spacing_ms_min: 100, steps_min: 30 };
/// Ten thousand basis points.
const BPS: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// What the operator set. The quote asset is taken for the numeraire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Strategy instance.
    pub strategy: String,
    /// Configured venue.
    pub venue: String,
    /// Venue symbol.
    pub symbol: String,
    /// Inventory and resting bid are together worth at most this, numeraire.
    pub budget: Decimal,
    /// Base per order, one order a side; the model's order size Δ.
    pub quote_quantity: Decimal,
    /// Base the inventory may be away from its target, either way.
    pub max_inventory: Decimal,
    /// Base at which both sides are quoted alike.
    pub target_inventory: Decimal,
    /// Absolute risk aversion γ, per unit of quote: γ · variance · base is a price per second.
    pub gamma: f64,
    /// Decay k of the fill intensity with distance, per (quote per base).
    pub kappa: f64,
    /// Fill intensity A at the mid, fills per second of an order of `quote_quantity`.
    pub intensity_a: f64,
    /// Half of ask less bid is at least this part of the mid, whatever the model says.
    pub min_half_spread_bps: Decimal,
    /// When the model asks for more than this part of the mid, we do not quote: a tighter quote
    /// than the model's would be a gift.
    pub max_half_spread_bps: Decimal,
    /// Fee on a filled quote. It widens both sides, and neither is ever nearer to the mid than it;
    /// a rebate (below zero) is not given away.
    pub maker_fee_bps: Decimal,
    /// A quote expires after this time.
    pub ttl_ms: i64,
    /// A resting quote is replaced when the new price differs by at least this part of its own:
    /// less is not worth its place in the queue.
    pub refresh_bps: Decimal,
    /// Mids older than this are not looked at.
    pub volatility_window_ms: i64,
}

/// An order of ours on the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingQuote {
    /// Our side.
    pub side: Side,
    /// Quote per base.
    pub price: Decimal,
    /// Base not yet filled; an order without any is no order.
    pub remaining: Decimal,
    /// When it was sent.
    pub placed: Timestamp,
}

/// What is.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Best bid of the others, see [`touch_of_others`]: a touch that is our own quote would make
    /// us follow ourselves.
    pub bid: Decimal,
    /// Best ask of the others.
    pub ask: Decimal,
    /// Base of the others at `bid`.
    pub bid_quantity: Decimal,
    /// Base of the others at `ask`.
    pub ask_quantity: Decimal,
    /// Mids of the others' touch, oldest first.
    pub mids: &'a [(Timestamp, Decimal)],
    /// Base owned, what our resting ask locks included.
    pub inventory: Decimal,
    /// Quote asset available, what our resting bid locks included.
    pub quote_cash: Decimal,
    /// Trading rules.
    pub rules: &'a MarketRules,
    /// What we have on the book, orders that are being cancelled included.
    pub resting: &'a [RestingQuote],
    /// Now.
    pub at: Timestamp,
    /// Names the decision: one per change of what rests.
    pub decision: u64,
}

/// One side of what we want to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteSide {
    /// Quote per base, on the venue's tick.
    pub price: Decimal,
    /// Base, on the venue's lot.
    pub quantity: Decimal,
}

/// What we want to rest on a market, post-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteTarget {
    /// Configured venue name.
    pub venue: String,
    /// Venue symbol.
    pub symbol: String,
    /// The bid, unless a limit forbids it.
    pub bid: Option<QuoteSide>,
    /// The ask, unless a limit forbids it.
    pub ask: Option<QuoteSide>,
    /// From this instant on nothing of it may rest.
    pub expires: Timestamp,
    /// Value of both sides in the numeraire.
    pub notional: Decimal,
}

impl QuoteTarget {
    /// What we want on one side.
    pub fn side(&self, side: Side) -> Option<QuoteSide> {
        match side {
            Side::Buy => self.bid,
            Side::Sell => self.ask,
        }
    }
}

/// The strategy's answer, always with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This should rest, see [`diff`].
    Quote {
        /// What.
        target: QuoteTarget,
        /// Names the decision within the strategy instance.
        key: String,
        /// The figures that decided.
        why: String,
        /// The same, each as it was used.
        terms: Vec<Term>,
    },
    /// Nothing of ours should rest, see [`withdrawal`].
    Withdraw {
        /// The figures that decided.
        why: String,
    },
    /// Leave things as they are, for this reason.
    Wait(String),
}

/// What to do to one side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteAction {
    /// Take back all we have on this side.
    Cancel(Side),
    /// Rest this, post-only.
    Place(Side, QuoteSide),
}

/// Why nothing can be quoted.
enum Stop {
    /// We know too little: what rests may stay until it expires.
    Blind(String),
    /// What rests may be wrong: it must go.
    Unsafe(String),
}

/// Best level that is not ours alone, less what is ours in it; `levels` come best first.
pub fn touch_of_others(
    mut levels: impl Iterator<Item = Level>,
    side: Side,
    resting: &[RestingQuote],
) -> Option<Level> {
    levels.find_map(|level| {
        let mut ours =
            resting.iter().filter(|quote| quote.side == side && quote.price == level.price);
        let ours = ours.try_fold(Decimal::ZERO, |sum, quote| sum.checked_add(quote.remaining))?;
        let quantity = level.quantity.checked_sub(ours)?;
        (quantity > Decimal::ZERO).then_some(Level { price: level.price, quantity })
    })
}

/// What should rest now.
pub fn decide(view: &View<'_>, parameters: &Parameters) -> Decision {
    match quote(view, parameters) {
        Ok((target, why, terms)) => {
            Decision::Quote { target, key: format!("quote/{}", view.decision), why, terms }
        }
        Err(Stop::Blind(why)) => {
            if view.resting.iter().any(|quote| is_expired(quote, parameters, view.at)) {
                Decision::Withdraw { why: format!("{why}, and a quote of ours has expired") }
            } else {
                Decision::Wait(why)
            }
        }
        Err(Stop::Unsafe(why)) if view.resting.is_empty() => Decision::Wait(why),
        Err(Stop::Unsafe(why)) => Decision::Withdraw { why },
    }
}

fn quote(
    view: &View<'_>,
    parameters: &Parameters,
) -> Result<(QuoteTarget, String, Vec<Term>), Stop> {
    let mid = checked_mid(view, parameters).map_err(Stop::Unsafe)?;
    let variance_per_s = variance_per_s(view, parameters).map_err(Stop::Blind)?;
    let away = view.inventory.checked_sub(parameters.target_inventory);
    let away = away.ok_or_else(|| beyond("inventory")).map_err(Stop::Unsafe)?;
    let sketch = Sketch::new(parameters, mid, away, variance_per_s).map_err(Stop::Unsafe)?;
    let bid = bid_side(view, parameters, &sketch);
    let ask = ask_side(view, parameters, &sketch);
    let why = format!("{sketch}: {}, {}", told("bid", &bid), told("ask", &ask));
    let (bid, ask) = (bid.ok(), ask.ok());
    let value = |side: Option<QuoteSide>| match side {
        Some(side) => side.price.checked_mul(side.quantity),
        None => Some(Decimal::ZERO),
    };
    let notional = value(bid).and_then(|sum| sum.checked_add(value(ask)?));
    let notional = notional.ok_or_else(|| beyond("notional")).map_err(Stop::Unsafe)?;
    if bid.is_none() && ask.is_none() {
        return Err(Stop::Unsafe(why));
    }
    let expires = view.at.plus_ms(parameters.ttl_ms);
    let (venue, symbol) = (parameters.venue.clone(), parameters.symbol.clone());
    let target = QuoteTarget { venue, symbol, bid, ask, expires, notional };
    let terms = sketch.terms(view, parameters, &target);
    Ok((target, why, terms))
}

fn beyond(what: &str) -> String {
    format!("the {what} does not fit a decimal")
}

fn told(name: &str, side: &Result<QuoteSide, String>) -> String {
    match side {
        Ok(side) => format!("{name} {} at {}", side.quantity, side.price),
        Err(why) => format!("no {name} because {why}"),
    }
}

/// Half way between the others' bid and ask, once book, rules and times make sense.
fn checked_mid(view: &View<'_>, parameters: &Parameters) -> Result<Decimal, String> {
    let MarketRules { tick, lot, .. } = view.rules;
    if *tick <= Decimal::ZERO || *lot <= Decimal::ZERO {
        return Err(format!("the market has tick {tick} and lot {lot}"));
    }
    if parameters.ttl_ms <= 0 {
        return Err(format!("quotes would live {} ms", parameters.ttl_ms));
    }
    let has_quantity = view.bid_quantity > Decimal::ZERO && view.ask_quantity > Decimal::ZERO;
    if !(view.bid > Decimal::ZERO && view.bid < view.ask && has_quantity) {
        let View { bid, ask, bid_quantity, ask_quantity, .. } = view;
        return Err(format!("no touch: bid {bid_quantity} at {bid}, ask {ask_quantity} at {ask}"));
    }
    let half = view.ask.checked_sub(view.bid).and_then(|gap| gap.checked_div(Decimal::TWO));
    half.and_then(|half| view.bid.checked_add(half)).ok_or_else(|| beyond("mid"))
}

/// Variance of the price, (quote per base)² per second. A window in which the mid stood still
/// proves only that it moved less than its own step, half a tick: that step is the least we take.
fn variance_per_s(view: &View<'_>, parameters: &Parameters) -> Result<f64, String> {
    let is_old =
        |(at, _): &(Timestamp, Decimal)| view.at.ms_since(*at) > parameters.volatility_window_ms;
    let recent = &view.mids[view.mids.partition_point(is_old)..];
    let variance = realised_variance(recent, SAMPLING).map_err(|error| error.to_string())?;
    let half_tick = estimate(view.rules.tick) / 2.0;
    Ok(variance.per_s.max(half_tick * half_tick / variance.span_s))
}

fn bps_of(value: Decimal, bps: Decimal) -> Option<Decimal> {
    value.checked_mul(bps)?.checked_div(BPS)
}

fn bid_side(
    view: &View<'_>,
    parameters: &Parameters,
    sketch: &Sketch,
) -> Result<QuoteSide, String> {
    let price = || {
        let passive = view.ask.checked_sub(view.rules.tick)?;
        let wanted = sketch.mid.checked_sub(sketch.bid_distance)?;
        floor_to(wanted.min(passive), view.rules.tick)
    };
    let price = price().ok_or_else(|| beyond("price"))?;
    if price <= Decimal::ZERO {
        return Err(format!("its price would be {price}"));
    }
    let room = parameters.max_inventory.checked_sub(sketch.away);
    let covered = || {
        let fee = bps_of(price, parameters.maker_fee_bps.max(Decimal::ZERO))?;
        view.quote_cash.checked_div(price.checked_add(fee)?)
    };
    let affordable = || {
        let held = view.inventory.checked_mul(sketch.mid)?;
        parameters.budget.checked_sub(held)?.checked_div(price)
    };
    let limits = [("inventory limit", room), ("cash", covered()), ("budget", affordable())];
    sized(price, parameters.quote_quantity, &limits, view.rules)
}

fn ask_side(
    view: &View<'_>,
    parameters: &Parameters,
    sketch: &Sketch,
) -> Result<QuoteSide, String> {
    let price = || {
        let passive = view.bid.checked_add(view.rules.tick)?;
        let wanted = sketch.mid.checked_add(sketch.ask_distance)?;
        ceil_to(wanted.max(passive), view.rules.tick)
    };
    let price = price().ok_or_else(|| beyond("price"))?;
    let room = parameters.max_inventory.checked_add(sketch.away);
    let limits = [("inventory limit", room), ("base owned", Some(view.inventory))];
    sized(price, parameters.quote_quantity, &limits, view.rules)
}

/// The order's size: the least of what is wanted and what each limit leaves, floored to the lot.
fn sized(
    price: Decimal,
    wanted: Decimal,
    limits: &[(&str, Option<Decimal>)],
    rules: &MarketRules,
) -> Result<QuoteSide, String> {
    let (mut name, mut most) = ("quote quantity", wanted);
    for &(limit, left) in limits {
        let left = left.ok_or_else(|| beyond(limit))?;
        if left < most {
            (name, most) = (limit, left);
        }
    }
    if most <= Decimal::ZERO {
        return Err(format!("the {name} leaves {} base", most.round_dp(8).normalize()));
    }
    let quantity = floor_to(most, rules.lot).ok_or_else(|| beyond("quantity"))?;
    let notional = price.checked_mul(quantity).ok_or_else(|| beyond("notional"))?;
    if quantity.is_zero() || notional < rules.min_notional {
        return Err(format!(
            "the {name} leaves {quantity} base worth {}, at least {} is needed",
            notional.normalize(),
            rules.min_notional
        ));
    }
    Ok(QuoteSide { price, quantity })
}

fn is_expired(quote: &RestingQuote, parameters: &Parameters, at: Timestamp) -> bool {
    at.ms_since(quote.placed) >= parameters.ttl_ms
}

/// What turns what rests into the target, cancels first. A side is cancelled now and placed by a
/// later call, once the old order is gone; nothing is placed that would meet an order of ours.
pub fn diff(
    target: &QuoteTarget,
    resting: &[RestingQuote],
    parameters: &Parameters,
    at: Timestamp,
) -> Vec<QuoteAction> {
    let (mut cancels, mut places) = (Vec::new(), Vec::new());
    for side in [Side::Buy, Side::Sell] {
        let wanted = if at < target.expires { target.side(side) } else { None };
        let ours: Vec<&RestingQuote> = on_side(resting, side).collect();
        match (wanted, ours.as_slice()) {
            (None, []) => {}
            (Some(wanted), []) if meets_ours(side, wanted.price, resting) => {}
            (Some(wanted), []) => places.push(QuoteAction::Place(side, wanted)),
            (Some(wanted), [quote])
                if !is_expired(quote, parameters, at) && is_kept(quote, wanted, parameters) => {}
            _ => cancels.push(QuoteAction::Cancel(side)),
        }
    }
    cancels.extend(places);
    cancels
}

/// What takes everything of ours off the book.
pub fn withdrawal(resting: &[RestingQuote]) -> Vec<QuoteAction> {
    let sides = [Side::Buy, Side::Sell].into_iter();
    let ours = sides.filter(|side| on_side(resting, *side).next().is_some());
    ours.map(QuoteAction::Cancel).collect()
}

fn on_side(resting: &[RestingQuote], side: Side) -> impl Iterator<Item = &RestingQuote> {
    resting.iter().filter(move |quote| quote.side == side && quote.remaining > Decimal::ZERO)
}

fn meets_ours(side: Side, price: Decimal, resting: &[RestingQuote]) -> bool {
    on_side(resting, side.opposite()).any(|quote| match side {
        Side::Buy => quote.price <= price,
        Side::Sell => quote.price >= price,
    })
}

/// True while the resting quote is near enough in price and no larger than what is wanted. A bid
/// may be larger when it ties up no more money: cash buys less base at a higher price, and to
/// follow that lot by lot would cost the queue. It exceeds the wanted base by less than the
/// refresh threshold.
fn is_kept(quote: &RestingQuote, wanted: QuoteSide, parameters: &Parameters) -> bool {
    let money = |price: Decimal, quantity: Decimal| price.checked_mul(quantity);
    let is_no_larger = quote.remaining <= wanted.quantity
        || (quote.side == Side::Buy
            && money(quote.price, quote.remaining)
                .zip(money(wanted.price, wanted.quantity))
                .is_some_and(|(have, want)| have <= want));
    let is_near = || {
        let moved = wanted.price.checked_sub(quote.price)?.abs().checked_mul(BPS)?;
        let enough = quote.price.checked_mul(parameters.refresh_bps)?;
        Some(moved.is_zero() || moved < enough)
    };
    is_no_larger && is_near().unwrap_or(false)
}

#[cfg(test)]
mod tests;
