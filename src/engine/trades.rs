//! Trades on our venue accounts: whose each was, and its booking.
//!
//! An account is ours, yet not every trade on it: a person, another program, or the venue itself
//! may have made it. The stream names the order of a trade by its client id, the venue's list by
//! the venue's id alone. A listed trade whose order is not known is held until the venue, asked
//! for that order, names it: ours after a crash or a lost answer, or somebody else's. To guess
//! would hide a loss or invent a profit.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde_json::json;

use crate::engine::Engine;
use crate::engine::event::FillSource;
use crate::engine::output::{Command, Record};
use crate::ledger::booking::{self, Hand, SpotPair};
use crate::ledger::entry::Kind;
use crate::model::order::Side;
use crate::model::text::plain;
use crate::model::time::Timestamp;
use crate::model::unit::Reason;
use crate::model::venue::Fill;

/// Trades of one venue held at once. What comes beyond is not taken: the list, which is asked for
/// from before the oldest held one, tells it again.
const HELD_MAX: usize = 1_000;
/// Orders of one venue asked for at once: requests are a budget.
const OWNERS_ASKED_AT_ONCE: usize = 10;

/// Whose order made a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Ours.
    Us,
    /// The venue's: a liquidation is a loss of ours like any other.
    Venue,
    /// Somebody else's.
    Other,
}

impl Engine {
    pub(super) fn fills(
        &mut self,
        venue: &str,
        symbol: &str,
        fills: Vec<Fill>,
        source: FillSource,
    ) {
        let Some(state) = self.venues.get(venue) else { return };
        let opened = state.opened;
        if opened == Timestamp(0) {
            // The account was not read yet: its opening will hold this.
            return;
        }
        if !state.books.contains_key(symbol) {
            return self.traded_elsewhere(venue, symbol, &fills);
        }
        for fill in fills.into_iter().filter(|fill| fill.venue_time >= opened) {
            let trade_id = fill.trade_id;
            if !self.take_fill(venue, symbol, fill) {
                return;
            }
            let Some(state) = self.venues.get_mut(venue) else { return };
            // Only the list is complete: what the stream skipped must still be asked for.
            if source == FillSource::List && !state.holds_up_to(symbol, trade_id) {
                let newest = state.newest_trade.entry(symbol.to_owned()).or_default();
                *newest = (*newest).max(trade_id);
            }
        }
        if source == FillSource::List
            && let Some(state) = self.venues.get_mut(venue)
        {
            state.unlisted.remove(symbol);
        }
    }

    /// No file of ours says what this market is made of: the next comparison names what it moved.
    fn traded_elsewhere(&mut self, venue: &str, symbol: &str, fills: &[Fill]) {
        for fill in fills {
            let body = json!({ "venue": venue, "symbol": plain(symbol), "trade": fill.trade_id });
            self.note("trade_not_booked", body);
        }
    }

    /// Books a trade, once, or holds it; false when there is no room to hold it.
    fn take_fill(&mut self, venue: &str, symbol: &str, fill: Fill) -> bool {
        let cause = booking::fill_cause(venue, symbol, fill.trade_id);
        if self.ledger.has(Kind::Fill, &cause) {
            return true;
        }
        let judged = self.owner(venue, &fill);
        let judged = judged.and_then(|owner| Some((owner, self.hand(venue, symbol, owner)?)));
        if let Some((owner, hand)) = judged {
            self.book_fill(venue, symbol, fill, owner, hand);
            return true;
        }
        let Some(state) = self.venues.get_mut(venue) else { return false };
        let key = (symbol.to_owned(), fill.trade_id);
        // Told again, it may say more than before.
        let is_known = state.held.contains_key(&key);
        if is_known && fill.client_order_id.is_none() {
            return true;
        }
        if !is_known && state.held.len() >= HELD_MAX {
            return false;
        }
        state.held.insert(key, fill);
        true
    }

    /// Whose order made a trade; `None` while only the venue's id of that order is known.
    fn owner(&self, venue: &str, fill: &Fill) -> Option<Owner> {
        let name = fill.client_order_id.as_deref();
        let settling = self.venues.get(venue)?.settling.get(&fill.venue_order_id);
        if settling.is_some_and(|order| order.is_ours) || name.is_some_and(|id| self.is_ours(id)) {
            return Some(Owner::Us);
        }
        name.map(|_| if fill.is_forced { Owner::Venue } else { Owner::Other })
    }

    /// True for the client id of an order of ours that may still have trades to book: one that is
    /// open, one that ended of late, one that an earlier run left.
    fn is_ours(&self, client_order_id: &str) -> bool {
        self.orders.contains_key(client_order_id)
            || self.traded.contains(client_order_id)
            || self.closed_orders.iter().any(|o| o.request.client_order_id == client_order_id)
    }

    /// By whose hand a trade is booked. Somebody else's needs the prices of now, so that what it
    /// moved is kept out of the profit in the same commit.
    fn hand(&self, venue: &str, symbol: &str, owner: Owner) -> Option<Hand> {
        if owner != Owner::Other {
            return Some(Hand::Ours);
        }
        let price = self.reference_price()?;
        let mid = if self.is_perpetual(venue) { self.mid(venue, symbol)? } else { price };
        Some(Hand::Other { mid })
    }

    fn book_fill(&mut self, venue: &str, symbol: &str, fill: Fill, owner: Owner, hand: Hand) {
        let entry = if self.is_perpetual(venue) {
            booking::perp_fill(venue, symbol, &fill, hand, self.now)
        } else {
            let (base, quote) = (&self.setup.base_asset, &self.setup.numeraire);
            let is_leg = self.is_leg_market(venue, symbol);
            let reason = if is_leg { Reason::CexDex } else { Reason::Spot };
            let pair = SpotPair { base, quote, reason };
            booking::spot_fill(venue, symbol, pair, &fill, hand, self.now)
        };
        if !self.book_entry(entry) {
            return;
        }
        let Some(notional) = fill.price.checked_mul(fill.quantity) else {
            return self.halt(format!("trade {} is worth more than fits", fill.trade_id));
        };
        let cash = match fill.side {
            Side::Buy => -notional,
            Side::Sell => notional,
        };
        let Some(state) = self.venues.get_mut(venue) else { return };
        if owner == Owner::Us {
            state.settling(fill.venue_order_id).booked += fill.quantity;
        }
        *state.cash.entry(symbol.to_owned()).or_insert(Decimal::ZERO) += cash;
        if owner == Owner::Us {
            self.leg_filled(venue, symbol, &fill);
        }
        self.tell_owner(venue, symbol, &fill, owner);
        self.fact(venue, format!("trade {} at {}", fill.trade_id, fill.venue_time));
        let (venue, symbol) = (venue.to_owned(), symbol.to_owned());
        self.out.records.push(Record::Fill { venue, symbol, fill, cash });
    }

    /// A trade that no order of ours made is worth a person's look.
    fn tell_owner(&mut self, venue: &str, symbol: &str, fill: &Fill, owner: Owner) {
        let kind = match owner {
            Owner::Us => return,
            Owner::Venue => "forced_trade",
            Owner::Other => "manual_trade",
        };
        let body = json!({
            "venue": venue,
            "symbol": symbol,
            "side": fill.side,
            "quantity": fill.quantity.to_string(),
            "price": fill.price.to_string(),
            "trade": fill.trade_id,
            "order": plain(fill.client_order_id.as_deref().unwrap_or_default()),
        });
        self.note(kind, body);
    }

    /// Asks whose the orders behind held trades are.
    pub(super) fn ask_owners(&mut self) {
        for (venue, state) in &self.venues {
            let unnamed = state.held.iter().filter(|(_, fill)| fill.client_order_id.is_none());
            let orders: BTreeSet<(&String, u64)> =
                unnamed.map(|((symbol, _), fill)| (symbol, fill.venue_order_id)).collect();
            for (symbol, venue_order_id) in orders.into_iter().take(OWNERS_ASKED_AT_ONCE) {
                let (venue, symbol) = (venue.clone(), symbol.clone());
                self.out.commands.push(Command::QueryOwner { venue, symbol, venue_order_id });
            }
        }
    }

    /// The venue named an order: its held trades can be judged.
    pub(super) fn order_owner(
        &mut self,
        venue: &str,
        symbol: &str,
        venue_order_id: u64,
        client_order_id: &str,
        is_forced: bool,
    ) {
        let Some(state) = self.venues.get_mut(venue) else { return };
        for ((of, _), fill) in &mut state.held {
            if of == symbol && fill.venue_order_id == venue_order_id {
                fill.client_order_id = Some(client_order_id.to_owned());
                fill.is_forced = is_forced;
            }
        }
        self.judge_held(venue);
    }

    /// What was not known may be by now: an order's id, or a price.
    pub(super) fn judge_all_held(&mut self) {
        let held = self.venues.iter().filter(|(_, state)| !state.held.is_empty());
        let venues: Vec<String> = held.map(|(venue, _)| venue.clone()).collect();
        for venue in venues {
            self.judge_held(&venue);
        }
    }

    fn judge_held(&mut self, venue: &str) {
        let Some(state) = self.venues.get_mut(venue) else { return };
        let held = std::mem::take(&mut state.held);
        if held.is_empty() {
            return;
        }
        for ((symbol, _), fill) in held {
            // It had its room before.
            self.take_fill(venue, &symbol, fill);
        }
        if self.venues.get(venue).is_some_and(|state| state.held.is_empty()) {
            // The list was not believed beyond the oldest held one, and may have been cut short.
            self.query_all_fills(venue);
        }
    }
}
