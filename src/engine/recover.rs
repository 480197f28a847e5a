//! What the store remembered becomes state again: the first fact after a start.

use crate::engine::event::Recovered;
use crate::engine::{Engine, on_venue};
use crate::execution::order::OrderEvent;
use crate::ledger::Ledger;
use crate::model::opportunity::Fate;

impl Engine {
    pub(super) fn recover(&mut self, mut recovered: Recovered) {
        self.recover_chains(&mut recovered);
        self.recover_venues(&mut recovered);
        self.recover_day(&mut recovered);
        self.ledger = Ledger::resume(recovered.ledger);
        self.decisions = recovered.decisions;
        self.orders_sent = recovered.orders_sent;
        self.quotes = recovered.quotes;
        self.orders_filled = recovered.orders_filled;
        self.rebalances = recovered.rebalances;
        self.opening_value = recovered.opening_value;
        self.halted = recovered.halted;
        self.opportunities = recovered.opportunities.into();
        let tallies = recovered.tallies.into_iter();
        self.tallies = tallies.map(|(chain, kind, tally)| ((chain, kind), tally)).collect();
        self.drop_unsigned_opportunities();
        for strategy in recovered.paused {
            if let Some(state) = self.strategy_mut(&strategy) {
                state.is_paused = true;
            }
        }
    }

    /// What waited for its gas when the process ended was never signed.
    fn drop_unsigned_opportunities(&mut self) {
        let found = self.opportunities.iter().filter(|seen| seen.fate == Fate::Found);
        let found: Vec<uuid::Uuid> = found.map(|seen| seen.id).collect();
        for id in found {
            let why = "the process ended before it was signed".to_owned();
            self.turn_opportunity(id, Fate::Lost, Some(why));
        }
    }

    fn recover_chains(&mut self, recovered: &mut Recovered) {
        let positions = std::mem::take(&mut recovered.positions).into_iter();
        self.positions = positions.map(|p| ((p.pool.chain, p.token_id), p)).collect();
        for (chain, tx) in std::mem::take(&mut recovered.txs) {
            if let Some(state) = self.chains.get_mut(&chain) {
                state.txs.insert(tx.nonce, tx);
            }
        }
        for (chain, nonce) in &recovered.highest_nonce {
            if let Some(state) = self.chains.get_mut(chain) {
                state.next_nonce = nonce + 1;
            }
        }
        for entry in &recovered.provisional {
            self.keep_provisional(entry);
        }
    }

    fn recover_venues(&mut self, recovered: &mut Recovered) {
        for (venue, symbol, newest, cash) in std::mem::take(&mut recovered.trades) {
            if let Some(state) = self.venues.get_mut(&venue) {
                let since = newest.plus_ms(-on_venue::FACTS_OVERLAP_MS);
                state.fills_since.insert(symbol.clone(), since);
                state.cash.insert(symbol, cash);
            }
        }
        for (venue, venue_order_id, booked) in std::mem::take(&mut recovered.booked) {
            if let Some(state) = self.venues.get_mut(&venue) {
                state.settling(venue_order_id).booked = booked;
            }
        }
        self.traded = std::mem::take(&mut recovered.traded).into_iter().collect();
        for (venue, opened) in &recovered.opened {
            if let Some(state) = self.venues.get_mut(venue) {
                (state.opened, state.incomes_since) = (*opened, *opened);
            }
        }
        for (venue, since) in &recovered.incomes_since {
            if let Some(state) = self.venues.get_mut(venue) {
                state.incomes_since = state.incomes_since.max(*since);
            }
        }
        for mut order in std::mem::take(&mut recovered.orders) {
            order.apply(&OrderEvent::Restarted, self.now);
            self.orders.insert(order.request.client_order_id.clone(), order);
        }
    }

    /// The day's limits go on where they stood, unless the day is another.
    fn recover_day(&mut self, recovered: &mut Recovered) {
        let Some((day, value)) = recovered.day_value else { return };
        if day != self.day {
            return;
        }
        self.day_value = Some(value);
        self.day_gas = recovered.day_gas;
        for (strategy, moves) in std::mem::take(&mut recovered.moves_today) {
            if let Some(state) = self.strategy_mut(&strategy) {
                state.moves_today = moves;
            }
        }
    }
}
