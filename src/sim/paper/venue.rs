//! A pretend account at a real venue.
//!
//! What takes is filled from the live book, level by level and never beyond what it shows. What
//! rests is filled at its own price only once the book's other side stands strictly beyond it, and
//! by no more than stands there: where we would have stood in the queue is not guessed at.

mod account;

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;

use crate::engine::event::{Body, BookStep, FillSource, Recovered, VenueStart};
use crate::engine::setup::{Setup, VenueSetup};
use crate::execution::order::Order;
use crate::market::book::Level;
use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;
use crate::model::venue::{Fill, MarketRules, NewOrder, OrderReply, OrderReport, Reported};
use crate::sim::paper::Terms;
use crate::sim::paper::book::LiveBook;
use crate::sim::paper::venue::account::{Account, Trade};

/// Trades and ended orders that are still listed.
const KEPT: usize = 1_000;
/// Numbers of a new process's trades begin so far beyond those of the one before.
const IDS_APART: u64 = 1_000_000;

/// An order that was accepted.
#[derive(Debug)]
struct Standing {
    request: NewOrder,
    id: u64,
    filled: Decimal,
}

impl Standing {
    fn left(&self) -> Decimal {
        self.request.quantity - self.filled
    }

    fn report(&self, state: Reported) -> OrderReport {
        OrderReport {
            client_order_id: self.request.client_order_id.clone(),
            venue_order_id: self.id,
            state,
            filled: self.filled,
        }
    }

    /// The state of one that still stands.
    fn resting(&self) -> Reported {
        if self.filled.is_zero() { Reported::New } else { Reported::Partial }
    }
}

/// One pretend account.
#[derive(Debug)]
pub struct PaperVenue {
    name: String,
    account: Account,
    rules: BTreeMap<String, MarketRules>,
    books: BTreeMap<String, LiveBook>,
    /// What rests, by our id.
    open: BTreeMap<String, Standing>,
    ended: VecDeque<OrderReport>,
    /// The newest trades with their market, oldest first.
    fills: VecDeque<(String, Fill)>,
    /// The newest number given to an order.
    last_order: u64,
    /// The newest number given to a trade.
    last_trade: u64,
}

impl PaperVenue {
    /// The account as the ledger left it. What was open then is over: it ended with its booked
    /// trades, and without any it was never placed.
    pub fn new(
        setup: &Setup,
        venue: &VenueSetup,
        terms: &Terms,
        recovered: &Recovered,
        now: Timestamp,
    ) -> Self {
        let book = || LiveBook::new(setup.book_age_max_ms, now);
        let trades = recovered.trades.iter().filter(|(name, ..)| *name == venue.name);
        let newest = trades.map(|(_, _, at, _)| micros(*at).saturating_add(IDS_APART)).max();
        Self {
            name: venue.name.clone(),
            account: Account::new(setup, venue, terms, recovered),
            rules: BTreeMap::new(),
            books: venue.symbols.iter().map(|symbol| (symbol.clone(), book())).collect(),
            open: BTreeMap::new(),
            ended: ended(&venue.name, recovered),
            fills: VecDeque::new(),
            last_order: 0,
            // Microseconds rise faster than anybody trades, and the clock may have been set back.
            last_trade: newest.unwrap_or(0).max(micros(now)),
        }
    }

    /// The markets' rules were read: the rest of what is told at a start is ours.
    pub fn ready(&mut self, start: &mut VenueStart, now: Timestamp) {
        self.rules = start.rules.iter().cloned().collect();
        start.account = self.account.view();
        start.newest_trade = self.books.keys().map(|symbol| (symbol.clone(), 0)).collect();
        // Trades carry our clock, so that the ledger must begin by it as well.
        start.venue_time = now;
    }

    /// A step of a live book, and what it fills.
    pub fn book(&mut self, symbol: &str, step: &BookStep, now: Timestamp) -> Vec<Body> {
        let Some(book) = self.books.get_mut(symbol) else { return Vec::new() };
        book.step(step, now);
        if book.touch(now).is_none() {
            return Vec::new();
        }
        let here = self.open.values().filter(|standing| standing.request.symbol == symbol);
        let mut resting: Vec<(u64, String)> =
            here.map(|s| (s.id, s.request.client_order_id.clone())).collect();
        resting.sort();
        let fills = |(_, id): (u64, String)| self.traded_through(&id, now);
        resting.into_iter().flat_map(fills).collect()
    }

    /// Fills a resting order with what stands strictly beyond its price on the other side.
    fn traded_through(&mut self, id: &str, now: Timestamp) -> Vec<Body> {
        let Some(mut standing) = self.open.remove(id) else { return Vec::new() };
        let NewOrder { side, price, .. } = standing.request;
        let is_through = |level: &Level| match side {
            Side::Buy => level.price < price,
            Side::Sell => level.price > price,
        };
        let beyond: Vec<Level> = self
            .books
            .get(&standing.request.symbol)
            .map(|book| book.offers(side).take_while(is_through).collect())
            .unwrap_or_default();
        let mut fills = Vec::new();
        for level in beyond {
            let quantity = level.quantity.min(standing.left());
            if quantity.is_zero() {
                break;
            }
            fills.extend(self.fill(&mut standing, (level.price, price), quantity, true, now));
        }
        if fills.is_empty() {
            self.open.insert(id.to_owned(), standing);
            return Vec::new();
        }
        let symbol = standing.request.symbol.clone();
        let report = if standing.left().is_zero() {
            self.end(&standing, Reported::Filled)
        } else {
            let report = standing.report(standing.resting());
            self.open.insert(id.to_owned(), standing);
            report
        };
        vec![
            self.told(&symbol, fills, FillSource::Stream),
            Body::OrderReport { venue: self.name.clone(), report },
        ]
    }

    /// Accepts, fills or refuses a committed order.
    pub fn place(&mut self, order: &NewOrder, now: Timestamp) -> Vec<Body> {
        let order = &self.account.received(order);
        if let Err((code, text)) = self.admit(order, now) {
            let reply = OrderReply::Refused { code, text };
            return vec![answer(&order.client_order_id, reply)];
        }
        self.last_order = number(order).max(self.last_order.saturating_add(1));
        let (request, id) = (order.clone(), self.last_order);
        let mut standing = Standing { request, id, filled: Decimal::ZERO };
        let may_take = order.time_in_force != TimeInForce::PostOnly;
        let fills = if may_take { self.take(&mut standing, now) } else { Vec::new() };
        let report = if standing.left().is_zero() {
            self.end(&standing, Reported::Filled)
        } else if order.time_in_force == TimeInForce::Ioc {
            self.end(&standing, Reported::Expired)
        } else {
            let report = standing.report(standing.resting());
            self.open.insert(order.client_order_id.clone(), standing);
            report
        };
        let mut told = Vec::new();
        if !fills.is_empty() {
            told.push(self.told(&order.symbol, fills, FillSource::Stream));
        }
        told.push(answer(&order.client_order_id, OrderReply::Known(report)));
        told
    }

    /// Why an order is refused, in the venue's numbers and words.
    fn admit(&self, order: &NewOrder, now: Timestamp) -> Result<(), (i64, String)> {
        let refused = |code: i64, text: &str| Err((code, text.to_owned()));
        if now > order.valid_until {
            return refused(0, "committed too late to be sent");
        }
        let Some(rules) = self.rules.get(&order.symbol) else {
            return refused(0, "the market's rules are not read");
        };
        let is_on = |value: Decimal, step: Decimal| {
            step.is_zero() || value.checked_rem(step).is_some_and(|rest| rest.is_zero())
        };
        if order.price <= Decimal::ZERO || !is_on(order.price, rules.tick) {
            return refused(-1_013, "Filter failure: PRICE_FILTER");
        }
        if order.quantity <= Decimal::ZERO || !is_on(order.quantity, rules.lot) {
            return refused(-1_013, "Filter failure: LOT_SIZE");
        }
        let notional = order.price.checked_mul(order.quantity).unwrap_or(Decimal::MAX);
        if notional < rules.min_notional && !order.reduce_only {
            return refused(-1_013, "Filter failure: NOTIONAL");
        }
        if order.time_in_force == TimeInForce::PostOnly {
            let touch = self.books.get(&order.symbol).and_then(|book| book.touch(now));
            let Some(touch) = touch else {
                return refused(0, "the live book is not known: would it take?");
            };
            let would_take = match order.side {
                Side::Buy => order.price >= touch.ask.price,
                Side::Sell => order.price <= touch.bid.price,
            };
            if would_take {
                return refused(-2_010, "Order would immediately match and take.");
            }
        }
        let resting = self.open.values().map(|s| (&s.request, s.left()));
        self.account.admit(order, resting)
    }

    /// Takes what the live book shows up to the order's price.
    fn take(&mut self, standing: &mut Standing, now: Timestamp) -> Vec<Fill> {
        let request = &standing.request;
        let (side, limit) = (request.side, request.price);
        let is_within = |level: &Level| match side {
            Side::Buy => level.price <= limit,
            Side::Sell => level.price >= limit,
        };
        let book = self.books.get(&request.symbol).filter(|book| book.touch(now).is_some());
        let met: Vec<Level> =
            book.map(|b| b.offers(side).take_while(is_within).collect()).unwrap_or_default();
        let mut wanted = self.account.fillable(request).min(standing.left());
        let mut fills = Vec::new();
        for level in met {
            let quantity = level.quantity.min(wanted);
            if quantity.is_zero() {
                break;
            }
            wanted -= quantity;
            fills.extend(self.fill(standing, (level.price, level.price), quantity, false, now));
        }
        fills
    }

    /// One trade: at `price`, with what stands at the level `from`.
    fn fill(
        &mut self,
        standing: &mut Standing,
        (from, price): (Decimal, Decimal),
        quantity: Decimal,
        is_maker: bool,
        now: Timestamp,
    ) -> Option<Fill> {
        let request = &standing.request;
        let (symbol, side) = (&request.symbol, request.side);
        let trade = Trade { side, price, quantity, is_maker };
        let settled = self.account.settle(symbol, trade)?;
        if let Some(book) = self.books.get_mut(symbol) {
            book.take(side, from, quantity);
        }
        standing.filled += quantity;
        self.last_trade = self.last_trade.saturating_add(1);
        let fill = Fill {
            trade_id: self.last_trade,
            client_order_id: Some(standing.request.client_order_id.clone()),
            venue_order_id: standing.id,
            side,
            price,
            quantity,
            fee: settled.fee,
            fee_asset: settled.fee_asset,
            realized_pnl: settled.realized_pnl,
            margin_asset: self.account.numeraire().to_owned(),
            venue_time: now,
            is_forced: false,
        };
        self.fills.push_back((standing.request.symbol.clone(), fill.clone()));
        while self.fills.len() > KEPT {
            self.fills.pop_front();
        }
        Some(fill)
    }

    /// Remembers how an order ended.
    fn end(&mut self, standing: &Standing, state: Reported) -> OrderReport {
        let report = standing.report(state);
        self.ended.push_back(report.clone());
        while self.ended.len() > KEPT {
            self.ended.pop_front();
        }
        report
    }

    fn told(&self, symbol: &str, fills: Vec<Fill>, source: FillSource) -> Body {
        Body::Fills { venue: self.name.clone(), symbol: symbol.to_owned(), fills, source }
    }

    /// Cancels one order; one that does not rest proves nothing.
    pub fn cancel(&mut self, id: &str) -> Vec<Body> {
        let Some(standing) = self.open.remove(id) else { return Vec::new() };
        let report = self.end(&standing, Reported::Cancelled);
        vec![answer(id, OrderReply::Known(report))]
    }

    /// Cancels whatever rests in a market.
    pub fn cancel_all(&mut self, symbol: &str) -> Vec<Body> {
        let here = self.open.iter().filter(|(_, standing)| standing.request.symbol == symbol);
        let ids: Vec<String> = here.map(|(id, _)| id.clone()).collect();
        ids.iter().flat_map(|id| self.cancel(id)).collect()
    }

    /// What is known of one order.
    pub fn query(&self, id: &str, now: Timestamp) -> Vec<Body> {
        let resting = self.open.get(id).map(|standing| standing.report(standing.resting()));
        let ended = || self.ended.iter().rev().find(|r| r.client_order_id == id).cloned();
        match resting.or_else(ended) {
            Some(report) => vec![answer(id, OrderReply::Known(report))],
            None => vec![Body::OrderMissed { client_order_id: id.to_owned(), asked: now }],
        }
    }

    /// Trades of a market after an id and since an instant.
    pub fn list(&self, symbol: &str, after: u64, since: Timestamp) -> Vec<Body> {
        let is_asked = |fill: &Fill| fill.trade_id > after && fill.venue_time >= since;
        let fills = self.fills.iter().filter(|(of, fill)| of == symbol && is_asked(fill));
        let fills = fills.map(|(_, fill)| fill.clone()).collect();
        vec![self.told(symbol, fills, FillSource::List)]
    }

    /// The account, for a comparison.
    pub fn audit(&self, version: u64) -> Vec<Body> {
        let (venue, account) = (self.name.clone(), self.account.view());
        vec![Body::VenueAudit { venue, version, account }]
    }
}

/// Microseconds since 1970, as the store keeps instants.
fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.0 / 1_000).unwrap_or(0)
}

/// The number of an order, by what the store keeps of it: its deadline and its side. So a process
/// that was killed between an order's trades and its report can tell whose the booked trades are.
fn number(order: &NewOrder) -> u64 {
    micros(order.valid_until).saturating_mul(2).saturating_add(u64::from(order.side == Side::Sell))
}

/// How orders ended that the process before left open and whose trades were booked.
fn ended(venue: &str, recovered: &Recovered) -> VecDeque<OrderReport> {
    let end = |order: &Order| {
        let request = &order.request;
        let venue_order_id = number(request);
        let mut booked = recovered.booked.iter();
        let (_, _, filled) = booked.find(|(of, id, _)| of == venue && *id == venue_order_id)?;
        let (client_order_id, filled) = (request.client_order_id.clone(), *filled);
        let is_whole = filled >= request.quantity;
        let state = if is_whole { Reported::Filled } else { Reported::Expired };
        Some(OrderReport { client_order_id, venue_order_id, state, filled })
    };
    let here = recovered.orders.iter().filter(|order| order.request.venue == venue);
    here.filter_map(end).collect()
}

fn answer(id: &str, reply: OrderReply) -> Body {
    Body::OrderReply { client_order_id: id.to_owned(), reply }
}
