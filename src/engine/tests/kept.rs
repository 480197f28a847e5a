//! What a store would have kept of the engine's answers, and what it gives back at a start.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, I256, U256};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::engine::event::{Position, QuoteTally, Recovered};
use crate::engine::output::{Command, Record};
use crate::engine::tests::stage::CHAIN;
use crate::execution::order::Order;
use crate::execution::tx::{Act, Tx, TxRequest, TxState};
use crate::ledger::Loaded;
use crate::ledger::entry::{Entry, Kind};
use crate::model::opportunity::{Opportunity, OpportunityKind, Tally};
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit};
use crate::model::venue::Fill;

/// Rows, as far as stories need them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) entries: Vec<Entry>,
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) fills: Vec<(String, String, Fill, Decimal)>,
    pub(crate) positions: BTreeMap<U256, Position>,
    pub(crate) txs: BTreeMap<u64, Tx>,
    pub(crate) memory: BTreeMap<&'static str, Value>,
    pub(crate) notes: Vec<(&'static str, Value)>,
    pub(crate) opportunities: BTreeMap<Uuid, Opportunity>,
    pub(crate) starts: u64,
}

/// Hash of the transaction in a slot.
pub(crate) fn hash_of(nonce: u64) -> B256 {
    B256::from(U256::from(0x7777_0000_u64 + nonce))
}

impl Kept {
    /// Keeps a row.
    pub(crate) fn record(&mut self, record: &Record) {
        match record.clone() {
            Record::Entry(entry) => {
                assert_balanced(&entry);
                self.entries.push(entry);
            }
            Record::TxState { nonce, state, mined, .. } => {
                let tx = self.txs.get_mut(&nonce).expect("a slot is stored before it moves");
                tx.state = state;
                if let Some(mined) = mined {
                    tx.block = Some(mined.number);
                }
            }
            Record::TxReturned { nonce, .. } => {
                let tx = self.txs.get_mut(&nonce).expect("a slot is stored before it moves");
                (tx.state, tx.block, tx.cost) = (TxState::Broadcast, None, None);
            }
            Record::PositionGone { token_id, .. } => {
                self.positions.remove(&token_id).expect("a position is stored before it goes");
            }
            Record::OrderState(order) => {
                self.orders.insert(order.request.client_order_id.clone(), order);
            }
            Record::Fill { venue, symbol, fill, cash } => {
                self.fills.push((venue, symbol, fill, cash));
            }
            Record::Position(position) => {
                self.positions.insert(position.token_id, position);
            }
            Record::Note { kind, body } => self.notes.push((kind, body)),
            Record::Remember { key, value } => {
                self.memory.insert(key, value);
            }
            Record::Opportunity(opportunity) => {
                self.opportunities.insert(opportunity.id, opportunity);
            }
            Record::Cursor(_) | Record::Reconciled(_) => {}
        }
    }

    /// Keeps what must be committed before it leaves.
    pub(crate) fn command(&mut self, command: &Command, at: Timestamp) {
        match command {
            Command::Place { order, .. } => {
                let id = order.request.client_order_id.clone();
                assert!(self.orders.insert(id, order.clone()).is_none(), "an order id came twice");
            }
            Command::Submit { request, strategy, intent } => {
                let before = self.txs.insert(request.nonce, slot(request, strategy, *intent, at));
                assert!(before.is_none(), "a slot was used twice");
            }
            _ => {}
        }
    }

    /// Entries of one kind.
    pub(crate) fn of(&self, kind: Kind) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.kind == kind).collect()
    }

    /// Kinds of the newest entries, after the first `skipped`.
    pub(crate) fn kinds_after(&self, skipped: usize) -> Vec<Kind> {
        self.entries.iter().skip(skipped).map(|entry| entry.kind).collect()
    }

    /// True when a note of this kind, or one that says this, was kept.
    pub(crate) fn has_note(&self, kind: &str, text: &str) -> bool {
        self.notes.iter().any(|(k, body)| *k == kind && body.to_string().contains(text))
    }

    fn ledger(&self) -> Loaded {
        let mut balances: BTreeMap<(Account, Unit), I256> = BTreeMap::new();
        for posting in self.entries.iter().flat_map(|entry| &entry.postings) {
            *balances.entry((posting.account.clone(), posting.unit.clone())).or_default() +=
                posting.amount;
        }
        Loaded {
            balances,
            recent_ids: self.entries.iter().map(|entry| entry.id).collect::<BTreeSet<_>>(),
            reversed_ids: self.entries.iter().filter_map(Entry::reverses).collect(),
            n_entries: self.entries.len() as u64,
            n_postings: self.entries.iter().map(|entry| entry.postings.len() as u64).sum(),
        }
    }

    fn traded(&self) -> Vec<String> {
        let over = self.orders.iter().filter(|(_, o)| !o.is_open() && !o.filled.is_zero());
        over.map(|(id, _)| id.clone()).collect()
    }

    fn provisional(&self) -> Vec<Entry> {
        let gone: BTreeSet<Uuid> = self.entries.iter().filter_map(Entry::reverses).collect();
        let stands = |entry: &&Entry| {
            entry.block.is_some() && entry.kind != Kind::Reversal && !gone.contains(&entry.id)
        };
        self.entries.iter().filter(stands).cloned().collect()
    }

    fn opened(&self) -> Vec<(String, Timestamp)> {
        let of_venue = |entry: &&Entry| match &entry.postings[0].account {
            Account::Venue { venue } => Some((venue.clone(), entry.at)),
            _ => None,
        };
        self.of(Kind::Opening).iter().filter_map(of_venue).collect()
    }

    /// The day whose value was remembered, and that value.
    pub(crate) fn day_value(&self) -> Option<(i64, Decimal)> {
        let day = self.memory.get("day")?;
        let value = text(&day["value"])?.parse().expect("a decimal was remembered");
        Some((day["day"].as_i64()?, value))
    }

    /// What the store hands to the next start.
    pub(crate) fn recovered(&mut self) -> Recovered {
        self.starts += 1;
        let mut booked: BTreeMap<(String, u64), Decimal> = BTreeMap::new();
        let mut trades: BTreeMap<(String, String), (Timestamp, Decimal)> = BTreeMap::new();
        for (venue, symbol, fill, cash) in &self.fills {
            *booked.entry((venue.clone(), fill.venue_order_id)).or_default() += fill.quantity;
            let of = trades.entry((venue.clone(), symbol.clone())).or_default();
            *of = (of.0.max(fill.venue_time), of.1 + cash);
        }
        let open = self.orders.values().filter(|order| order.is_open()).cloned();
        Recovered {
            ledger: self.ledger(),
            provisional: self.provisional(),
            positions: self.positions.values().cloned().collect(),
            txs: self.txs.values().map(|tx| (CHAIN, tx.clone())).collect(),
            highest_nonce: self.txs.keys().max().map(|nonce| (CHAIN, *nonce)).into_iter().collect(),
            orders: open.collect(),
            trades: trades.into_iter().map(|((v, s), (at, cash))| (v, s, at, cash)).collect(),
            day_value: self.day_value(),
            day_gas: U256::ZERO,
            moves_today: Vec::new(),
            booked: booked.into_iter().map(|((v, id), base)| (v, id, base)).collect(),
            traded: self.traded(),
            opened: self.opened(),
            incomes_since: Vec::new(),
            decisions: self.starts * 1_000_000,
            orders_sent: self.orders.len() as u64,
            orders_filled: 0,
            quotes: QuoteTally::default(),
            rebalances: 0,
            opening_value: self
                .memory
                .get("opening_value")
                .and_then(text)
                .map(|v| v.parse().expect("a decimal was remembered")),
            halted: self.memory.get("halted").and_then(text),
            paused: Vec::new(),
            opportunities: self.opportunities.values().cloned().collect(),
            tallies: vec![(
                CHAIN,
                self.opportunities
                    .values()
                    .next()
                    .map_or(OpportunityKind::Cycle, Opportunity::kind),
                self.opportunities.values().fold(Tally::default(), |mut tally, seen| {
                    tally.turn(None, seen);
                    tally
                }),
            )],
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn slot(request: &TxRequest, strategy: &str, intent: Uuid, at: Timestamp) -> Tx {
    let range = match &request.act {
        Act::Open { open, .. } => Some((open.tick_lower, open.tick_upper)),
        _ => None,
    };
    Tx {
        nonce: request.nonce,
        purpose: request.act.as_str().to_owned(),
        pool: request.act.pool(),
        hash: Some(hash_of(request.nonce)),
        range,
        strategy: strategy.to_owned(),
        intent,
        state: TxState::Signed,
        created: at,
        sent_at_block: 0,
        block: None,
        gas_used: None,
        cost: None,
    }
}

fn assert_balanced(entry: &Entry) {
    let mut sums: BTreeMap<&Unit, I256> = BTreeMap::new();
    for posting in &entry.postings {
        *sums.entry(&posting.unit).or_default() += posting.amount;
    }
    assert!(sums.values().all(I256::is_zero), "{entry:?} does not sum to zero");
}
