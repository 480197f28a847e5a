//! A hedge's turn, and the life of its orders.

use rust_decimal::Decimal;

use crate::engine::Engine;
use crate::engine::output::{Command, Record};
use crate::engine::setup::HedgeSetup;
use crate::engine::state::VenueState;
use crate::execution::order::{Order, OrderEvent};
use crate::execution::plan;
use crate::model::intent::Intent;
use crate::model::order::TimeInForce;
use crate::model::time::Timestamp;
use crate::model::venue::OrderReply;
use crate::risk::gate;
use crate::strategy::hedging;

/// Wait after a hedge that traded nothing, doubled so many times at most.
const HEDGE_RETRY_MS: i64 = 1_000;
const HEDGE_RETRY_DOUBLINGS_MAX: u32 = 6;
/// What a hedge says while nothing is due.
const INSIDE: &str = "inside the band";

impl Engine {
    pub(super) fn decide_hedge(&mut self, index: usize) {
        let HedgeSetup { parameters, sends, chains, accounts } = self.setup.hedges[index].clone();
        // An order may be over before its trades are in the ledger: only then we know our hold.
        let is_settled = self.venues.get(&parameters.venue).is_some_and(VenueState::is_settled);
        let is_early = self.now < self.hedges[index].retry_at;
        if self.has_open_order(&parameters.venue, &parameters.symbol) || !is_settled || is_early {
            return;
        }
        match self.hedge_intent(index, (&chains, &accounts), &parameters) {
            Ok(Some(intent)) => {
                self.hedges[index].why.clone_from(&intent.why);
                self.review_hedge(intent, &parameters, sends);
            }
            Ok(None) => self.hedges[index].why = INSIDE.into(),
            Err(why) => self.hedges[index].why = why,
        }
    }

    fn hedge_intent(
        &mut self,
        index: usize,
        (chains, accounts): (&[u64], &[String]),
        parameters: &hedging::Parameters,
    ) -> Result<Option<Intent>, String> {
        let (outside_since, intent) = self.hedge_decision(index, (chains, accounts), parameters)?;
        self.hedges[index].outside_since = outside_since;
        Ok(intent)
    }

    /// What a hedge would say with these parameters, whether an order is on its way or not.
    pub(in crate::engine) fn hedge_says(
        &self,
        index: usize,
        parameters: &hedging::Parameters,
    ) -> String {
        let Some(setup) = self.setup.hedges.get(index) else { return "unknown hedge".into() };
        match self.hedge_decision(index, (&setup.chains, &setup.accounts), parameters) {
            Ok((_, Some(intent))) => intent.why,
            Ok((_, None)) => INSIDE.into(),
            Err(why) => why,
        }
    }

    /// Since when the delta is outside the inner band, and the trade that is due.
    fn hedge_decision(
        &self,
        index: usize,
        (chains, accounts): (&[u64], &[String]),
        parameters: &hedging::Parameters,
    ) -> Result<(Option<Timestamp>, Option<Intent>), String> {
        let on_books = self.base_on_books(Some(accounts));
        let on_books = on_books.ok_or("what spot accounts hold is not known")?;
        let base_held = self.base_netted(chains)? + on_books + self.base_in_legs(accounts);
        let contracts = self
            .contracts(&parameters.venue, &parameters.symbol)
            .ok_or("the perpetual position is not known")?;
        let venue = self.venues.get(&parameters.venue).ok_or("unknown venue")?;
        let rules = venue.rules.get(&parameters.symbol).ok_or("the market's rules are not read")?;
        let book = venue.books.get(&parameters.symbol).ok_or("unknown market")?;
        let touch = book.touch(self.now).map_err(|why| why.to_string())?;
        let mut view = hedging::View {
            base_held,
            contracts,
            bid: touch.bid.price,
            ask: touch.ask.price,
            rules,
            outside_since: None,
            at: self.now,
            decision: self.decisions,
        };
        if hedging::is_outside(view.gap(parameters), touch.mid(), parameters) {
            let known = self.hedges.get(index).and_then(|hedge| hedge.outside_since);
            view.outside_since = Some(known.unwrap_or(self.now));
        }
        Ok((view.outside_since, hedging::decide(&view, parameters)))
    }

    /// Base that the strategies of several chains hold together. A chain that is not live counts
    /// with what it last was, so that the others are still hedged; none live is nothing known.
    fn base_netted(&self, chains: &[u64]) -> Result<Decimal, String> {
        let (mut base, mut why_not) = (Decimal::ZERO, None);
        let mut n_live = 0;
        for id in chains {
            match self.chains.get(id).ok_or("unknown chain")?.live(self.now) {
                Ok(()) => n_live += 1,
                Err(why) => why_not = Some(why),
            }
            let (in_positions, in_wallet) =
                self.base_on_chain(*id).ok_or("what the positions hold is not known")?;
            base = base
                .checked_add(in_positions)
                .and_then(|base| base.checked_add(in_wallet))
                .ok_or("what the chains hold does not fit")?;
        }
        match (n_live, why_not) {
            (0, why) => Err(why.unwrap_or_else(|| "no chain is hedged here".to_owned())),
            _ => Ok(base),
        }
    }

    fn review_hedge(&mut self, intent: Intent, parameters: &hedging::Parameters, sends: bool) {
        let live = self.venue_live(&parameters.venue, &parameters.symbol);
        let view = self.risk_view(live, Some(parameters));
        let of = format!("{}/hedge", intent.strategy);
        let checks = gate::checks(&intent, &view, &self.setup.limits);
        let approved = match gate::review(intent.clone(), &view, &self.setup.limits) {
            Ok(approved) => approved,
            Err(refusal) => return self.refused(&of, &intent, &checks, &refusal.to_string()),
        };
        if !self.setup.sends || !sends {
            let why = format!("observing only: {}", intent.why);
            return self.refused(&of, &intent, &checks, &why);
        }
        self.last_refusal.remove(&of);
        self.decisions += 1;
        let Some(order) = plan::order(&approved, self.now) else { return };
        self.note_intent(&intent, "hedge", &checks);
        self.orders_sent += 1;
        self.orders.insert(order.request.client_order_id.clone(), order.clone());
        let Intent { id, strategy, .. } = intent;
        self.out.commands.push(Command::Place { order, intent: id, strategy });
    }

    pub(in crate::engine) fn order_event(&mut self, id: &str, event: &OrderEvent) {
        let Some(order) = self.orders.get(id) else { return };
        let is_leg = self.is_leg_market(&order.request.venue, &order.request.symbol);
        let Some(order) = self.orders.get_mut(id) else { return };
        let (was_open, filled_before) = (order.is_open(), order.filled);
        if !order.apply(event, self.now) {
            return;
        }
        let is_hedge = order.request.time_in_force == TimeInForce::Ioc && !is_leg;
        if is_hedge && filled_before.is_zero() && !order.filled.is_zero() {
            self.orders_filled += 1;
        }
        let order = order.clone();
        self.count_quote(filled_before, &order);
        let report = match event {
            OrderEvent::Report(report) | OrderEvent::Reply(OrderReply::Known(report)) => {
                Some(report)
            }
            _ => None,
        };
        if let Some(report) = report
            && let Some(venue) = self.venues.get_mut(&order.request.venue)
        {
            let settling = venue.settling(report.venue_order_id);
            settling.reported = settling.reported.max(order.filled);
            settling.is_ours = true;
        }
        self.out.records.push(Record::OrderState(order.clone()));
        if was_open && !order.is_open() {
            self.orders.remove(id);
            self.cool_down(&order);
            // A fill may still be on its way: the ledger takes it by its id whenever it comes.
            self.query_fills(&order.request.venue, &order.request.symbol);
            self.keep_closed_order(order);
        }
    }

    /// An order that traded nothing is not placed again at once: whatever refused it still does.
    fn cool_down(&mut self, order: &Order) {
        let now = self.now;
        for (state, setup) in self.hedges.iter_mut().zip(&self.setup.hedges) {
            if setup.parameters.venue != order.request.venue {
                continue;
            }
            if order.filled.is_zero() {
                let doublings = state.refusals.min(HEDGE_RETRY_DOUBLINGS_MAX);
                state.refusals = state.refusals.saturating_add(1);
                state.retry_at = now.plus_ms(HEDGE_RETRY_MS << doublings);
            } else {
                (state.refusals, state.retry_at) = (0, now);
            }
        }
    }
}
