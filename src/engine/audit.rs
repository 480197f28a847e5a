//! The ledger against the world, while running: wallets at a block hash, venues at a fact.

use alloy::primitives::I256;
use serde_json::json;

use crate::engine::Engine;
use crate::engine::event::WalletAudit;
use crate::engine::on_venue::holdings;
use crate::engine::output::{Command, Record};
use crate::engine::state::ChainState;
use crate::ledger::booking;
use crate::ledger::reconcile::{Comparison, compare};
use crate::model::amount::signed;
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit};
use crate::model::venue::AccountView;

/// A venue's account is compared so often.
const AUDIT_VENUE_EVERY_MS: i64 = 5_000;
/// Names of venues' comparisons begin so.
const VENUE_SCOPE: &str = "venue ";
/// Trading pauses when a place was not compared for so long.
const COMPARED_AT_LEAST_EVERY_MS: i64 = 120_000;
/// A comparison that could not be made, or that differs, is made again after this.
const AUDIT_AGAIN_AFTER_MS: i64 = 1_000;

impl ChainState {
    /// What contracts may take is what the chain says, whoever changed it. Not while a transaction
    /// of ours is on its way: what it will allow or take is counted already.
    pub(super) fn learn_allowances(&mut self, audit: &WalletAudit) {
        if !self.txs.values().any(|tx| tx.state.is_pending()) {
            let told = audit.allowances.iter();
            self.allowances = told.map(|(token, by, amount)| ((*token, *by), *amount)).collect();
        }
    }
}

impl Engine {
    /// Below the operator's minimum only what lowers risk is done, so that exits stay paid for.
    pub(super) fn is_low_on_fuel(&self, chain: &ChainState) -> bool {
        chain.is_ready
            && self.native(chain.setup.chain).is_none_or(|native| native < chain.setup.min_native)
    }

    pub(super) fn is_unopened_chain(&self, chain: u64) -> bool {
        !self
            .ledger
            .balances()
            .any(|(place, _, _)| matches!(place, Account::Wallet { chain: of, .. } if *of == chain))
    }

    pub(super) fn open_wallet(&mut self, audit: &WalletAudit) {
        let Some(account) = self.wallet_account(audit) else { return };
        let Some(held) = wallet_units(audit) else {
            return self.halt("a wallet balance does not fit 255 bits".into());
        };
        let entry = booking::opening(&account, &held, self.now);
        self.book_entry(entry);
    }

    fn wallet_account(&self, audit: &WalletAudit) -> Option<Account> {
        let chain = audit.block.chain;
        let signer = self.chains.get(&chain)?.setup.signer;
        Some(Account::Wallet { chain, signer })
    }

    /// Compares wallet and positions at the block the engine just handled; an older read says
    /// nothing about the ledger of now and is dropped.
    pub(super) fn wallet_audit(&mut self, audit: &WalletAudit) {
        let Some(chain) = self.chains.get(&audit.block.chain) else { return };
        let is_current = chain.head.is_some_and(|head| head.block == audit.block);
        let position_manager = chain.setup.position_manager;
        if !is_current || !chain.is_ready {
            return;
        }
        let (Some(account), Some(held)) = (self.wallet_account(audit), wallet_units(audit)) else {
            return;
        };
        let at = Self::at_block(&audit.block);
        let mut rows = compare(&self.ledger, &account, &held, |_| true, &at);
        let chain = audit.block.chain;
        let is_liquidity = |unit: &Unit| matches!(unit, Unit::V3Liquidity { .. });
        for owned in &audit.positions {
            let token_id = owned.token_id;
            let unit = Unit::V3Liquidity { chain, position_manager, token_id };
            let liquidity = I256::from_raw(alloy::primitives::U256::from(owned.liquidity));
            let place = Account::Position { chain, token_id };
            rows.extend(compare(&self.ledger, &place, &[(unit, liquidity)], is_liquidity, &at));
        }
        // Positions the ledger holds and the chain did not list.
        let places: Vec<Account> = self
            .positions
            .values()
            .filter(|p| p.pool.chain == chain && p.closed.is_none())
            .filter(|p| !audit.positions.iter().any(|owned| owned.token_id == p.token_id))
            .map(|p| Account::Position { chain, token_id: p.token_id })
            .collect();
        for place in places {
            rows.extend(compare(&self.ledger, &place, &[], is_liquidity, &at));
        }
        self.learn_fee_growth(audit);
        if let Some(chain) = self.chains.get_mut(&chain) {
            chain.learn_allowances(audit);
        }
        self.reconciled_at(format!("chain {chain}"), rows);
    }

    /// Fee growth inside at opening is what the position manager stored; our pool state was not
    /// looking at that very log.
    fn learn_fee_growth(&mut self, audit: &WalletAudit) {
        for owned in &audit.positions {
            let key = (audit.block.chain, owned.token_id);
            let Some(position) = self.positions.get_mut(&key) else { continue };
            if position.inside.is_none() {
                position.inside = Some((owned.inside0, owned.inside1));
                self.out.records.push(Record::Position(position.clone()));
            }
        }
    }

    pub(super) fn audit_venues(&mut self) {
        let names: Vec<String> = self.venues.keys().cloned().collect();
        for venue in names {
            let has_open = self.is_in_flight(&venue);
            let Some(state) = self.venues.get_mut(&venue) else { continue };
            let is_due = self.now.ms_since(state.audited_at) >= AUDIT_VENUE_EVERY_MS;
            if state.is_ready && is_due && !has_open {
                state.audited_at = self.now;
                let version = state.version;
                self.query_incomes(&venue);
                self.out.commands.push(Command::AuditVenue { venue, version });
            }
        }
    }

    /// True while an order is on its way or may trade at once: what rests moves nothing by itself.
    fn is_in_flight(&self, venue: &str) -> bool {
        self.orders.values().any(|order| order.request.venue == venue && !order.is_resting())
    }

    /// A comparison holds only if nothing of the venue was booked and nothing was in flight since
    /// the account was asked for. A difference counts when the next comparison repeats it: the
    /// venue may have moved (funding) between the two reads.
    pub(super) fn venue_audit(&mut self, venue: &str, version: u64, view: &AccountView) {
        let has_open = self.is_in_flight(venue);
        let again = self.now.plus_ms(AUDIT_AGAIN_AFTER_MS - AUDIT_VENUE_EVERY_MS);
        let Some(state) = self.venues.get_mut(venue) else { return };
        if state.version != version || has_open || !state.is_ready || !state.is_settled() {
            state.audited_at = again;
            return;
        }
        let at = state.last_fact.clone();
        let account = Account::Venue { venue: venue.to_owned() };
        let rows = match holdings(venue, view) {
            Ok(held) => compare(&self.ledger, &account, &held, |_| true, &at),
            Err(error) => {
                return self.halt(format!("the account of {venue} cannot be read: {error}"));
            }
        };
        let is_off = rows.iter().any(|row| !row.difference().is_zero());
        let repeats = state.suspected.as_ref() == Some(&rows);
        state.suspected = is_off.then(|| rows.clone());
        if is_off && !repeats {
            state.audited_at = again;
            self.query_all_fills(venue);
            return;
        }
        self.reconciled_at(venue_scope(venue), rows);
    }

    fn reconciled_at(&mut self, scope: String, rows: Vec<Comparison>) {
        let is_off = |rows: &[Comparison]| rows.iter().any(|row| !row.difference().is_zero());
        let was_off = self.reconciled.get(&scope).is_some_and(|(_, rows)| is_off(rows));
        if is_off(&rows) != was_off {
            let off: Vec<String> = rows
                .iter()
                .filter(|row| !row.difference().is_zero())
                .map(|row| format!("{} {} {}", row.account, row.unit, row.difference()))
                .collect();
            self.note("reconciliation", json!({ "scope": scope, "differences": off }));
            self.out.records.push(Record::Reconciled(rows.clone()));
        }
        self.reconciled.insert(scope, (self.now, rows));
    }

    /// True once every chain and venue was compared at least once.
    pub(super) fn is_reconciled_everywhere(&self) -> bool {
        self.reconciled.len() >= self.chains.len() + self.venues.len()
    }

    /// A venue that was not compared for too long; chains are compared every so many blocks, which
    /// their own liveness watches.
    pub(super) fn overdue_comparison(&self) -> Option<&str> {
        let late = |at: Timestamp| self.now.ms_since(at) > COMPARED_AT_LEAST_EVERY_MS;
        let venues = self.reconciled.iter().filter(|(scope, _)| scope.starts_with(VENUE_SCOPE));
        venues.into_iter().find(|(_, (at, _))| late(*at)).map(|(scope, _)| scope.as_str())
    }

    pub(super) fn first_difference(&self) -> Option<&Comparison> {
        let rows = self.reconciled.values().flat_map(|(_, rows)| rows);
        rows.into_iter().find(|row| !row.difference().is_zero())
    }
}

/// Name of a venue's comparison.
pub(super) fn venue_scope(venue: &str) -> String {
    format!("{VENUE_SCOPE}{venue}")
}

fn wallet_units(audit: &WalletAudit) -> Option<Vec<(Unit, I256)>> {
    let chain = audit.block.chain;
    let mut units = vec![(Unit::Native { chain }, signed(audit.native)?)];
    for (token, amount) in &audit.tokens {
        units.push((Unit::Erc20 { chain, token: *token }, signed(*amount)?));
    }
    Some(units)
}
