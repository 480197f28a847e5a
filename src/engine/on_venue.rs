//! Venue facts: books, the user stream, incomes, orders in doubt.

use crate::engine::Engine;
use crate::engine::audit::venue_scope;
use crate::engine::event::{BookStep, VenueStart};
use crate::engine::output::Command;
use crate::execution::order::{OrderEvent, OrderState};
use crate::ledger::booking;
use crate::model::text::plain;
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit};
use crate::model::venue::{AccountView, Income};

/// Orders in doubt are asked for so often: requests are a budget.
const QUERY_ORDERS_EVERY_MS: i64 = 1_000;
/// Facts are listed again from so long before the newest one: the stream may have skipped some, and
/// the venue may list some late.
pub(super) const FACTS_OVERLAP_MS: i64 = 600_000;

impl Engine {
    pub(super) fn book(&mut self, venue: &str, symbol: &str, step: &BookStep) {
        let now = self.now;
        let Some(state) = self.venues.get_mut(venue) else { return };
        let Some(book) = state.books.get_mut(symbol) else { return };
        match step {
            BookStep::Opened => book.opened(now),
            BookStep::Invalid => book.invalidate(now),
            BookStep::Closed => book.closed(now),
            BookStep::Update(update) => {
                if book.apply(update, now).is_err() {
                    book.invalidate(now);
                    let (venue, symbol) = (venue.to_owned(), symbol.to_owned());
                    self.out.commands.push(Command::ResyncBook { venue, symbol });
                }
            }
        }
    }

    pub(super) fn user_stream(&mut self, venue: &str, is_up: bool, why: &str) {
        let Some(state) = self.venues.get_mut(venue) else { return };
        state.is_user_up = is_up;
        if !is_up {
            // What happened meanwhile is asked for again before anything is traded.
            state.is_ready = false;
            // Until the account was compared again, nothing is traded on what we remember.
            self.reconciled.remove(&venue_scope(venue));
            let Some(state) = self.venues.get_mut(venue) else { return };
            state.last_fact = format!("user stream closed: {}", plain(why));
        }
    }

    pub(super) fn venue_ready(&mut self, start: VenueStart) {
        let is_new = self.is_unopened_venue(&start.venue);
        let at = format!("account read at {}", start.venue_time.utc());
        let Some(state) = self.venues.get_mut(&start.venue) else { return };
        state.rules = start.rules.into_iter().collect();
        state.is_ready = true;
        state.unlisted = state.books.keys().cloned().collect();
        // To be compared with the ledger at the next look.
        state.audited_at = Timestamp(0);
        state.last_fact = at;
        if is_new {
            (state.opened, state.incomes_since) = (start.venue_time, start.venue_time);
            for (symbol, trade) in start.newest_trade {
                state.newest_trade.insert(symbol, trade);
            }
            self.open_venue(&start.venue, &start.account, start.venue_time);
        }
        self.query_all_fills(&start.venue);
        self.query_incomes(&start.venue);
    }

    pub(super) fn query_incomes(&mut self, venue: &str) {
        let since = self.venues.get(venue).map_or(Timestamp(0), |state| state.incomes_since);
        self.out.commands.push(Command::QueryIncomes { venue: venue.to_owned(), since });
    }

    /// Trades of every market of a venue, also of one where nothing of ours trades: somebody else
    /// may.
    pub(super) fn query_all_fills(&mut self, venue: &str) {
        let Some(state) = self.venues.get(venue) else { return };
        let symbols: Vec<String> = state.books.keys().cloned().collect();
        for symbol in symbols {
            self.query_fills(venue, &symbol);
        }
    }

    /// Asks once more for lists of trades that did not come.
    fn ask_lists(&mut self) {
        let ready = self.venues.iter().filter(|(_, state)| state.is_ready);
        let lists = ready.flat_map(|(venue, state)| {
            state.unlisted.iter().map(|symbol| (venue.clone(), symbol.clone()))
        });
        let lists: Vec<(String, String)> = lists.collect();
        for (venue, symbol) in lists {
            self.query_fills(&venue, &symbol);
        }
    }

    pub(super) fn query_fills(&mut self, venue: &str, symbol: &str) {
        let Some(state) = self.venues.get(venue) else { return };
        self.out.commands.push(Command::QueryFills {
            venue: venue.to_owned(),
            symbol: symbol.to_owned(),
            after_trade: state.newest_trade.get(symbol).copied().unwrap_or(0),
            since: state.fills_since.get(symbol).copied().unwrap_or(state.opened).max(state.opened),
        });
    }

    pub(super) fn incomes(&mut self, venue: &str, incomes: &[Income]) {
        let opened = self.venues.get(venue).map_or(Timestamp(0), |state| state.opened);
        if opened == Timestamp(0) {
            // The account was not read yet: its opening will hold this.
            return;
        }
        for income in incomes.iter().filter(|income| income.venue_time >= opened) {
            let entry = booking::income(venue, income, self.now);
            if let Some(state) = self.venues.get_mut(venue) {
                let since = income.venue_time.plus_ms(-FACTS_OVERLAP_MS);
                state.incomes_since = state.incomes_since.max(since);
            }
            if self.book_entry(entry) {
                self.fact(
                    venue,
                    format!("{:?} {} at {}", income.kind, income.id, income.venue_time),
                );
            }
        }
    }

    /// Remembers the newest fact of a venue; a comparison made before it does not hold any more.
    pub(super) fn fact(&mut self, venue: &str, what: String) {
        if let Some(state) = self.venues.get_mut(venue) {
            state.last_fact = what;
            state.version += 1;
        }
    }

    /// Orders nobody knows the fate of are asked for until it is proven, and a cancel is repeated
    /// until the order is over.
    pub(super) fn settle_orders(&mut self) {
        self.withdraw_late_quotes();
        if self.now.ms_since(self.orders_queried_at) < QUERY_ORDERS_EVERY_MS {
            return;
        }
        self.orders_queried_at = self.now;
        self.ask_owners();
        self.ask_lists();
        for order in self.orders.values() {
            // Its answer may be lost, and to cancel twice does no harm.
            if order.state == OrderState::CancelSent {
                self.out.commands.push(Command::Cancel {
                    venue: order.request.venue.clone(),
                    symbol: order.request.symbol.clone(),
                    client_order_id: order.request.client_order_id.clone(),
                });
            }
            // A quote that rests as told is where it should be; all else late is asked for.
            let is_late = self.now > order.request.valid_until && !order.is_resting();
            if matches!(order.state, OrderState::Unknown { .. }) || is_late {
                self.out.commands.push(Command::QueryOrder {
                    venue: order.request.venue.clone(),
                    symbol: order.request.symbol.clone(),
                    client_order_id: order.request.client_order_id.clone(),
                });
            }
        }
    }

    /// A quote that was on its way when all were taken back comes to rest after the cancel: it is
    /// taken back as soon as it is known, as long as nothing may leave.
    fn withdraw_late_quotes(&mut self) {
        if !self.setup.sends || self.may_send() {
            return;
        }
        for order in self.orders.values_mut().filter(|order| order.is_resting()) {
            order.apply(&OrderEvent::CancelSent, self.now);
            self.out.commands.push(Command::Cancel {
                venue: order.request.venue.clone(),
                symbol: order.request.symbol.clone(),
                client_order_id: order.request.client_order_id.clone(),
            });
        }
    }

    fn is_unopened_venue(&self, venue: &str) -> bool {
        let account = Account::Venue { venue: venue.to_owned() };
        !self.ledger.balances().any(|(place, _, _)| *place == account)
    }

    fn open_venue(&mut self, venue: &str, view: &AccountView, at: Timestamp) {
        let account = Account::Venue { venue: venue.to_owned() };
        match holdings(venue, view) {
            Ok(holdings) => {
                let entry = booking::opening(&account, &holdings, at);
                self.book_entry(entry);
            }
            Err(error) => self.halt(format!("the account of {venue} cannot be booked: {error}")),
        }
    }
}

/// A venue account as ledger units.
pub(super) fn holdings(
    venue: &str,
    view: &AccountView,
) -> Result<Vec<(Unit, alloy::primitives::I256)>, booking::BookingError> {
    let venue_name = || venue.to_owned();
    let mut units = Vec::with_capacity(view.balances.len() + view.positions.len());
    for (asset, amount) in &view.balances {
        let unit = Unit::Asset { venue: venue_name(), asset: asset.clone() };
        units.push((unit, booking::venue_steps(*amount)?));
    }
    for (symbol, contracts) in &view.positions {
        let unit = Unit::Perp { venue: venue_name(), symbol: symbol.clone() };
        units.push((unit, booking::venue_steps(*contracts)?));
    }
    Ok(units)
}
