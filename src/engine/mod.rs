//! The one loop: a fact goes in, rows and deeds come out.
//!
//! `Engine::handle` knows no clock, socket, database, random source or secret; the same facts in
//! the same order give the same answers. A broken promise of ours (an unbalanced entry, a slot in
//! an impossible state) stops trading and says why; bad input is a fact like any other.

mod act;
pub mod admission;
mod audit;
pub mod change;
pub mod event;
pub mod figures;
mod on_chain;
mod on_venue;
pub mod output;
pub mod pools;
pub mod recent;
mod recover;
pub mod reorg;
pub mod setup;
mod slots;
pub mod snapshot;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;
mod trades;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::primitives::U256;
use rust_decimal::Decimal;
use serde_json::json;

use crate::engine::event::{Body, Directive, Event, Position, QuoteTally};
use crate::engine::output::{Command, Output, Record};
use crate::engine::setup::Setup;
use crate::engine::state::{ChainState, HedgeState, StrategyState, VenueState};
use crate::execution::order::{Order, OrderEvent, OrderState};
use crate::ledger::Ledger;
use crate::ledger::entry::{Entry, Kind};
use crate::ledger::reconcile::Comparison;
use crate::market::book::feed::Feed;
use crate::model::opportunity::{Opportunity, OpportunityKind, Tally};
use crate::model::time::Timestamp;
use crate::model::unit::Account;
use crate::risk::gate::Mode;

/// Closed orders and positions kept in memory for display.
const CLOSED_KEPT: usize = 50;
/// Milliseconds of one day.
const DAY_MS: i64 = 86_400_000;

/// The machine.
#[derive(Debug)]
pub struct Engine {
    setup: Setup,
    seq: u64,
    now: Timestamp,
    started: Timestamp,
    mode: Mode,
    mode_since: Timestamp,
    /// A halt stands until a person resumes.
    halted: Option<String>,
    /// The store does not answer in time.
    stalled: Option<String>,
    /// The process is ending.
    is_stopping: bool,
    chains: BTreeMap<u64, ChainState>,
    venues: BTreeMap<String, VenueState>,
    strategies: Vec<StrategyState>,
    hedges: Vec<HedgeState>,
    ledger: Ledger,
    positions: BTreeMap<(u64, U256), Position>,
    orders: BTreeMap<String, Order>,
    closed_orders: VecDeque<Order>,
    /// Client ids of orders of earlier runs that traded.
    traded: BTreeSet<String>,
    /// The newest opportunities, those still open, and what became of all by chain and kind.
    opportunities: VecDeque<Opportunity>,
    tallies: BTreeMap<(u64, OpportunityKind), Tally>,
    decisions: u64,
    orders_queried_at: Timestamp,
    orders_sent: u64,
    quotes: QuoteTally,
    orders_filled: u64,
    rebalances: u64,
    opening_value: Option<Decimal>,
    day: i64,
    day_value: Option<Decimal>,
    day_gas: U256,
    reconciled: BTreeMap<String, (Timestamp, Vec<Comparison>)>,
    /// External movements that wait for a price.
    unpriced: Vec<Entry>,
    last_refusal: BTreeMap<String, Timestamp>,
    out: Output,
}

impl Engine {
    /// An engine that knows its setup and nothing of the world.
    pub fn new(setup: Setup, at: Timestamp) -> Self {
        let chains = setup.chains.iter().map(|c| (c.chain, ChainState::new(c.clone()))).collect();
        let age_max_ms = setup.book_age_max_ms;
        let venue =
            |v: &setup::VenueSetup| (v.name.clone(), VenueState::new(&v.symbols, age_max_ms, at));
        let venues = setup.venues.iter().map(venue).collect();
        let strategies = setup.strategies.iter().map(|_| StrategyState::default()).collect();
        let hedges = setup.hedges.iter().map(|_| HedgeState::default()).collect();
        Self {
            setup,
            seq: 0,
            now: at,
            started: at,
            mode: Mode::Recovering,
            mode_since: at,
            halted: None,
            stalled: None,
            is_stopping: false,
            chains,
            venues,
            strategies,
            hedges,
            ledger: Ledger::default(),
            positions: BTreeMap::new(),
            orders: BTreeMap::new(),
            closed_orders: VecDeque::new(),
            traded: BTreeSet::new(),
            opportunities: VecDeque::new(),
            tallies: BTreeMap::new(),
            decisions: 0,
            orders_queried_at: Timestamp(0),
            orders_sent: 0,
            quotes: QuoteTally::default(),
            orders_filled: 0,
            rebalances: 0,
            opening_value: None,
            day: at.ms().div_euclid(DAY_MS),
            day_value: None,
            day_gas: U256::ZERO,
            reconciled: BTreeMap::new(),
            unpriced: Vec::new(),
            last_refusal: BTreeMap::new(),
            out: Output::default(),
        }
    }

    /// Takes in one fact.
    pub fn handle(&mut self, event: Event) -> Output {
        self.seq = event.seq;
        self.now = self.now.max(event.at);
        let is_deciding = !matches!(event.body, Body::Book { .. });
        self.take(event.body);
        self.turn_day();
        self.settle_mode();
        if is_deciding {
            self.decide();
        }
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, body: Body) {
        match body {
            Body::Started(recovered) => self.recover(*recovered),
            Body::Timer => self.tick(),
            Body::ChainReady(start) => self.chain_ready(*start),
            Body::Block(block) => self.block(*block),
            Body::Reorganised(to) => self.reorganised(*to),
            Body::ReorganisedTooDeep { chain, number, seen, canonical } => {
                self.reorganised_too_deep(chain, number, seen, canonical);
            }
            Body::ChainFeed { chain, is_up, why } => self.chain_feed(chain, is_up, &why),
            Body::PoolAudit { chain, pool, block, observed } => {
                self.pool_audit(chain, pool, block, &observed);
            }
            Body::PoolReading(reading) => self.pool_reading(&reading),
            Body::PoolReload(reading) => self.pool_reload(*reading),
            Body::PoolLogs(found) => self.pool_searched(&found),
            Body::WalletAudit(audit) => self.wallet_audit(&audit),
            Body::Estimated { chain, intent, gas } => self.estimated(chain, intent, gas),
            Body::Sent { chain, nonce, hash } => self.sent(chain, nonce, hash),
            Body::VenueReady(start) => self.venue_ready(*start),
            Body::Book { venue, symbol, step } => self.book(&venue, &symbol, &step),
            Body::UserStream { venue, is_up, why } => self.user_stream(&venue, is_up, &why),
            Body::OrderReport { venue, report } => {
                self.fact(&venue, format!("order {} {:?}", report.client_order_id, report.state));
                let id = report.client_order_id.clone();
                self.order_event(&id, &OrderEvent::Report(report));
            }
            Body::OrderReply { client_order_id, reply } => {
                self.order_event(&client_order_id, &OrderEvent::Reply(reply));
            }
            Body::OrderMissed { client_order_id, asked } => {
                self.order_event(&client_order_id, &OrderEvent::Missed { asked });
            }
            Body::OrderOwner { venue, symbol, venue_order_id, client_order_id, is_forced } => {
                self.order_owner(&venue, &symbol, venue_order_id, &client_order_id, is_forced);
            }
            Body::Fills { venue, symbol, fills, source } => {
                self.fills(&venue, &symbol, fills, source);
            }
            Body::Incomes { venue, incomes } => self.incomes(&venue, &incomes),
            Body::VenueAudit { venue, version, account } => {
                self.venue_audit(&venue, version, &account);
            }
            Body::Store { is_live, why } => self.store(is_live, why),
            Body::Directive(directive) => self.directive(directive),
            Body::Change(change) => self.change(*change),
            Body::Stopping => {
                self.is_stopping = true;
                self.cancel_everything();
            }
        }
    }

    fn directive(&mut self, directive: Directive) {
        match directive {
            Directive::Pause { strategy, reason } => self.pause(&strategy, true, &reason),
            Directive::Start { strategy, reason } => self.pause(&strategy, false, &reason),
            Directive::Halt { reason } => self.halt(reason),
            Directive::Resume { reason } => {
                self.read_given_up_anew();
                if self.halted.take().is_some() {
                    self.note("resumed", json!({ "reason": reason }));
                    self.remember("halted", serde_json::Value::Null);
                }
            }
        }
    }

    /// One strategy decides nothing more, or again; its hedge goes on, since what is held stays.
    fn pause(&mut self, strategy: &str, is_paused: bool, reason: &str) {
        let Some(state) = self.strategy_mut(strategy) else { return };
        if state.is_paused == is_paused {
            return;
        }
        state.is_paused = is_paused;
        let kind = if is_paused { "strategy_paused" } else { "strategy_started" };
        self.note(kind, json!({ "strategy": strategy, "reason": reason }));
        let all = self.strategies.iter().zip(&self.setup.strategies);
        let paused: Vec<&str> =
            all.filter(|(state, _)| state.is_paused).map(|(_, setup)| setup.id.as_str()).collect();
        let paused = json!(paused);
        self.remember("paused", paused);
    }

    /// Full stop: what rests is cancelled at once, nothing new passes until a person resumes.
    pub(crate) fn halt(&mut self, reason: String) {
        if self.halted.is_some() {
            return;
        }
        self.note("halted", json!({ "reason": reason }));
        self.remember("halted", json!(reason));
        self.halted = Some(reason);
        self.cancel_everything();
    }

    fn store(&mut self, is_live: bool, why: String) {
        match (is_live, self.stalled.is_some()) {
            (false, false) => {
                self.cancel_everything();
                self.stalled = Some(why);
            }
            (true, true) => self.stalled = None,
            _ => {}
        }
    }

    pub(crate) fn cancel_everything(&mut self) {
        if !self.setup.sends {
            return;
        }
        for (venue, symbol) in self.markets() {
            // An exchange without a dead-man switch refuses to cancel nothing.
            let is_perpetual = self.is_perpetual(&venue);
            if is_perpetual || self.has_open_order(&venue, &symbol) {
                self.out.commands.push(Command::CancelAll { venue, symbol });
            }
        }
        for order in self.orders.values_mut() {
            order.apply(&OrderEvent::CancelSent, self.now);
        }
    }

    fn settle_mode(&mut self) {
        let mode = self.mode_now();
        if mode != self.mode {
            if mode.as_str() != self.mode.as_str() {
                self.mode_since = self.now;
                let body = json!({ "mode": mode.as_str(), "reason": mode.reason() });
                self.out.records.push(Record::Note { kind: "mode", body });
            }
            self.mode = mode;
        }
    }

    fn mode_now(&self) -> Mode {
        if let Some(reason) = &self.halted {
            return Mode::Halted(reason.clone());
        }
        if let Some(why) = &self.stalled {
            return Mode::Paused(format!("the database does not answer: {why}"));
        }
        if self.is_stopping {
            return Mode::Paused("the process is ending".into());
        }
        let is_ready = self.chains.values().all(|chain| chain.is_ready)
            && self.venues.values().all(|venue| venue.is_ready);
        if !is_ready || self.opening_value.is_none() || !self.is_reconciled_everywhere() {
            return Mode::Recovering;
        }
        if let Some(row) = self.first_difference() {
            return Mode::ReduceOnly(format!(
                "ledger and world differ by {} at {} in {}",
                row.difference(),
                row.account,
                row.unit
            ));
        }
        if let Some(chain) = self.chains.values().find(|chain| self.is_low_on_fuel(chain)) {
            return Mode::ReduceOnly(format!("the signer is low on fuel on {}", chain.setup.name));
        }
        if let Some(scope) = self.overdue_comparison() {
            return Mode::Paused(format!("{scope} could not be compared with the ledger for long"));
        }
        Mode::Running
    }

    fn tick(&mut self) {
        for chain in self.chains.values_mut() {
            if chain.feed == Feed::Live
                && let Err(why) = chain.live(self.now)
            {
                chain.set_feed(Feed::Stale { since: self.now }, &why, self.now);
            }
        }
        for venue in self.venues.values_mut() {
            for book in venue.books.values_mut() {
                book.age(self.now);
            }
        }
        self.judge_all_held();
        self.settle_orders();
        self.audit_venues();
        if self.opening_value.is_none() && self.is_reconciled_everywhere() {
            self.opening_value = self.total_value();
            if let Some(value) = self.opening_value {
                self.remember("opening_value", json!(value.to_string()));
            }
        }
    }

    fn turn_day(&mut self) {
        // Before the day's value is taken: what came from outside must not be counted twice.
        if self.reference_price().is_some() {
            for entry in std::mem::take(&mut self.unpriced) {
                self.shift_opening(&entry);
            }
        }
        let day = self.now.ms().div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            self.day_value = None;
            self.day_gas = U256::ZERO;
            for strategy in &mut self.strategies {
                strategy.moves_today = 0;
            }
        }
        if self.day_value.is_none() && self.opening_value.is_some() {
            self.day_value = self.total_value();
            self.remember_day();
        }
    }

    /// A restart must not renew the day's limits.
    fn remember_day(&mut self) {
        if let Some(value) = self.day_value {
            let value = json!({ "day": self.day, "value": value.to_string() });
            self.remember("day", value);
        }
    }

    pub(crate) fn note(&mut self, kind: &'static str, body: serde_json::Value) {
        self.out.records.push(Record::Note { kind, body });
    }

    pub(crate) fn remember(&mut self, key: &'static str, value: serde_json::Value) {
        self.out.records.push(Record::Remember { key, value });
    }

    /// Books an entry and keeps the books' promises; a broken one stops the house.
    pub(crate) fn book_entry<E: std::fmt::Display>(
        &mut self,
        entry: Result<Option<Entry>, E>,
    ) -> bool {
        let entry = match entry {
            Ok(Some(entry)) => entry,
            Ok(None) => return false,
            Err(error) => {
                self.halt(format!("a fact cannot be booked exactly: {error}"));
                return false;
            }
        };
        let entry = self.ledger.named(entry);
        match self.ledger.book(&entry) {
            Ok(true) => {
                if is_external(&entry) {
                    self.shift_opening(&entry);
                }
                self.keep_provisional(&entry);
                self.out.records.push(Record::Entry(entry));
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.halt(format!("the ledger cannot hold a fact: {error}"));
                false
            }
        }
    }

    /// An entry that stands on a block can be undone while the block can be.
    fn keep_provisional(&mut self, entry: &Entry) {
        let Some(on) = entry.block.filter(|_| entry.kind != Kind::Reversal) else { return };
        if let Some(chain) = self.chains.get_mut(&on.chain) {
            chain.provisional.entry(on.number).or_default().push(entry.clone());
        }
    }

    /// What others put in or took out is neither profit nor loss; what cannot be priced yet waits.
    fn shift_opening(&mut self, entry: &Entry) {
        let Some(opening) = self.opening_value else { return };
        let Some(moved) = self.external_value(entry) else {
            return self.unpriced.push(entry.clone());
        };
        self.opening_value = Some(opening + moved);
        self.day_value = self.day_value.map(|value| value + moved);
        self.remember_day();
        self.remember("opening_value", json!((opening + moved).to_string()));
    }

    /// A strategy's memory, by its name.
    pub(crate) fn strategy_mut(&mut self, id: &str) -> Option<&mut StrategyState> {
        let index = self.setup.strategies.iter().position(|setup| setup.id == id)?;
        self.strategies.get_mut(index)
    }

    pub(crate) fn keep_closed_order(&mut self, order: Order) {
        self.closed_orders.push_front(order);
        self.closed_orders.truncate(CLOSED_KEPT);
    }

    /// True while an order of this market has no outcome.
    pub(crate) fn has_open_order(&self, venue: &str, symbol: &str) -> bool {
        self.orders.values().any(|order| {
            order.request.venue == venue
                && order.request.symbol == symbol
                && !matches!(order.state, OrderState::Done { .. })
        })
    }
}

/// True for what others put in, took out or traded, and for taking that back.
fn is_external(entry: &Entry) -> bool {
    let is_outside =
        |account: &Account| matches!(account, Account::Reason(reason) if reason.is_outside());
    entry.postings.iter().any(|posting| is_outside(&posting.account))
}
