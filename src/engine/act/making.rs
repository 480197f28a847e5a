//! A market maker's turn: what it sees of the book and of itself, and its quotes on their way.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use crate::engine::Engine;
use crate::engine::output::Command;
use crate::execution::order::{Order, OrderEvent, OrderState};
use crate::execution::plan;
use crate::model::amount::human;
use crate::model::intent::{Intent, QuotePlan, Term, Want};
use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit, VENUE_DECIMALS};
use crate::risk::gate;
use crate::strategy::market_making::{
    self, Decision, Parameters, QuoteAction, QuoteSide, RestingQuote, View, touch_of_others,
};

/// A market maker looks at its book so often; books change faster than a quote should.
const LOOK_EVERY_MS: i64 = 100;
/// Mids kept for the volatility, whatever the operator's window.
const MIDS_MAX: usize = 20_000;

/// What quotes rest on: the decision's name, its reason and its figures.
#[derive(Default)]
struct Grounds {
    key: String,
    why: String,
    terms: Vec<Term>,
}

impl Engine {
    pub(super) fn decide_making(&mut self, index: usize, parameters: &Parameters) {
        let is_early = self.strategies[index]
            .decided
            .is_some_and(|decided| self.now.ms_since(decided) < LOOK_EVERY_MS);
        if is_early {
            return;
        }
        let resting = self.resting(&parameters.venue, &parameters.symbol);
        let decision = match self.making_decision(index, parameters, &resting) {
            Ok(decision) => decision,
            // What we cannot see we do not quote on; what rests is taken back.
            Err(why) if resting.is_empty() => Decision::Wait(why),
            Err(why) => Decision::Withdraw { why },
        };
        let (actions, grounds) = match decision {
            Decision::Wait(why) => return self.strategies[index].say(why, self.now),
            Decision::Withdraw { why } => {
                (market_making::withdrawal(&resting), Grounds { why, ..Grounds::default() })
            }
            Decision::Quote { target, key, why, terms } => {
                let actions = market_making::diff(&target, &resting, parameters, self.now);
                (actions, Grounds { key, why, terms })
            }
        };
        self.strategies[index].say(grounds.why.clone(), self.now);
        for action in actions {
            match action {
                QuoteAction::Cancel(side) => self.cancel_quotes(parameters, side),
                QuoteAction::Place(side, wanted) => {
                    self.place_quote(index, parameters, (side, wanted), &grounds);
                }
            }
        }
    }

    /// A paused market maker has nothing resting.
    pub(super) fn withdraw_quotes(&mut self, index: usize) {
        let Some(making) = self.setup.strategies[index].making().cloned() else { return };
        for side in [Side::Buy, Side::Sell] {
            self.cancel_quotes(&making, side);
        }
    }

    fn making_decision(
        &mut self,
        index: usize,
        parameters: &Parameters,
        resting: &[RestingQuote],
    ) -> Result<Decision, String> {
        let mut mids = std::mem::take(&mut self.strategies[index].mids);
        let decision = self.making_with(&mut mids, parameters, resting);
        self.strategies[index].mids = mids;
        decision
    }

    /// What it would say with these parameters.
    pub(in crate::engine) fn making_says(&self, index: usize, parameters: &Parameters) -> String {
        let resting = self.resting(&parameters.venue, &parameters.symbol);
        let mut mids = self.strategies.get(index).map(|s| s.mids.clone()).unwrap_or_default();
        match self.making_with(&mut mids, parameters, &resting) {
            Ok(Decision::Quote { why, .. } | Decision::Withdraw { why } | Decision::Wait(why)) => {
                why
            }
            Err(why) => why,
        }
    }

    /// Decides on the book of now; the mid of now joins `mids`, and old ones leave.
    fn making_with(
        &self,
        mids: &mut VecDeque<(Timestamp, Decimal)>,
        parameters: &Parameters,
        resting: &[RestingQuote],
    ) -> Result<Decision, String> {
        let Parameters { venue, symbol, .. } = parameters;
        self.venue_live(venue, symbol)?;
        let state = self.venues.get(venue).ok_or("unknown venue")?;
        if !state.is_settled() {
            return Err("trades are told that are not booked yet".into());
        }
        let book = state.books.get(symbol).ok_or("unknown market")?;
        // A pretend quote is in nobody's book: all that stands there is of others.
        let shown: &[RestingQuote] = if self.setup.is_paper() { &[] } else { resting };
        let bid = touch_of_others(book.bids(), Side::Buy, shown).ok_or("no bid of others")?;
        let ask = touch_of_others(book.asks(), Side::Sell, shown).ok_or("no ask of others")?;
        let mid = bid.price.checked_add(ask.price).ok_or("no mid")? / Decimal::TWO;
        let rules = state.rules.get(symbol).ok_or("the market's rules are not read")?;
        let inventory = self.spot_held(venue, &self.setup.base_asset);
        let quote_cash = self.spot_held(venue, &self.setup.numeraire);
        let now = self.now;
        mids.push_back((now, mid));
        let is_old = |at| now.ms_since(at) > parameters.volatility_window_ms;
        while mids.len() > MIDS_MAX || mids.front().is_some_and(|(at, _)| is_old(*at)) {
            mids.pop_front();
        }
        let view = View {
            bid: bid.price,
            ask: ask.price,
            bid_quantity: bid.quantity,
            ask_quantity: ask.quantity,
            mids: mids.make_contiguous(),
            inventory: inventory.ok_or("what the venue holds is not known")?,
            quote_cash: quote_cash.ok_or("what the venue holds is not known")?,
            rules,
            resting,
            at: now,
            decision: self.decisions,
        };
        Ok(market_making::decide(&view, parameters))
    }

    /// An asset on a venue, by the ledger.
    pub(in crate::engine) fn spot_held(&self, venue: &str, asset: &str) -> Option<Decimal> {
        let place = Account::Venue { venue: venue.to_owned() };
        let unit = Unit::Asset { venue: venue.to_owned(), asset: asset.to_owned() };
        human(self.ledger.balance(&place, &unit), VENUE_DECIMALS)
    }

    /// Quotes of ours that may rest, in doubt or not: the worst case counts.
    fn resting(&self, venue: &str, symbol: &str) -> Vec<RestingQuote> {
        let quote = |order: &Order| RestingQuote {
            side: order.request.side,
            price: order.request.price,
            remaining: order.request.quantity - order.filled,
            placed: order.created,
        };
        self.quotes_of(venue, symbol).map(quote).collect()
    }

    fn quotes_of(&self, venue: &str, symbol: &str) -> impl Iterator<Item = &Order> {
        self.orders.values().filter(move |order| {
            order.request.venue == venue
                && order.request.symbol == symbol
                && order.request.time_in_force == TimeInForce::PostOnly
                && order.is_open()
        })
    }

    /// Cancels leave first. One already on its way, or in doubt, is not asked for again here.
    fn cancel_quotes(&mut self, parameters: &Parameters, side: Side) {
        let Parameters { venue, symbol, .. } = parameters;
        let ids: Vec<String> = self
            .quotes_of(venue, symbol)
            .filter(|order| order.request.side == side && order.is_resting())
            .map(|order| order.request.client_order_id.clone())
            .collect();
        for id in ids {
            if let Some(order) = self.orders.get_mut(&id) {
                order.apply(&OrderEvent::CancelSent, self.now);
            }
            let (venue, symbol) = (venue.clone(), symbol.clone());
            self.out.commands.push(Command::Cancel { venue, symbol, client_order_id: id });
        }
    }

    fn place_quote(
        &mut self,
        index: usize,
        parameters: &Parameters,
        (side, wanted): (Side, QuoteSide),
        grounds: &Grounds,
    ) {
        let Some(notional) = wanted.price.checked_mul(wanted.quantity) else { return };
        let plan = QuotePlan {
            venue: parameters.venue.clone(),
            symbol: parameters.symbol.clone(),
            side,
            price: wanted.price,
            quantity: wanted.quantity,
            notional,
        };
        let Grounds { key, why, terms } = grounds;
        let key = format!("{key}/{side}");
        let intent = Intent::new(&parameters.strategy, &key, Want::Quote(plan), why.clone());
        let intent = intent.with_terms(terms.clone());
        let live = self.venue_live(&parameters.venue, &parameters.symbol);
        let view = self.risk_view(live, None);
        // One side may be refused for as long as the other is placed.
        let of = format!("{}/{side}", parameters.strategy);
        let checks = gate::checks(&intent, &view, &self.setup.limits);
        let approved = match gate::review(intent.clone(), &view, &self.setup.limits) {
            Ok(approved) => approved,
            Err(refusal) => return self.refused(&of, &intent, &checks, &refusal.to_string()),
        };
        if !self.setup.sends || !self.setup.strategies[index].sends {
            return self.refused(&of, &intent, &checks, &format!("observing only: {why}"));
        }
        self.last_refusal.remove(&of);
        self.decisions += 1;
        let Some(order) = plan::order(&approved, self.now) else { return };
        self.note_intent(&intent, "quote", &checks);
        self.quotes.sent += 1;
        self.orders.insert(order.request.client_order_id.clone(), order.clone());
        let Intent { id, strategy, .. } = intent;
        self.out.commands.push(Command::Place { order, intent: id, strategy });
    }

    /// Base that strategies hold on spot accounts away from their targets; `None` while one is not
    /// known.
    pub(in crate::engine) fn base_on_books(&self, of: Option<&[String]>) -> Option<Decimal> {
        let mut away = Decimal::ZERO;
        for setup in &self.setup.strategies {
            let Some((venue, target)) = setup.inventory() else { continue };
            if of.is_none_or(|strategies| strategies.contains(&setup.id)) {
                let held = self.spot_held(venue, &self.setup.base_asset)?;
                away = away.checked_add(held.checked_sub(target)?)?;
            }
        }
        Some(away)
    }

    /// Counts the life of a quote's order.
    pub(in crate::engine) fn count_quote(&mut self, before: Decimal, order: &Order) {
        if order.request.time_in_force != TimeInForce::PostOnly {
            return;
        }
        self.quotes.filled += u64::from(before.is_zero() && !order.filled.is_zero());
        let is_cancelled = matches!(
            order.state,
            OrderState::Done { outcome: crate::execution::order::Outcome::Cancelled }
        );
        self.quotes.cancelled += u64::from(is_cancelled);
    }
}
