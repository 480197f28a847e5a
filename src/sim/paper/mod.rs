//! Pretend accounts in the real world: one wallet a chain, one account a venue.
//!
//! The facts of the real world pass through here on their way to the engine. What they say of our
//! accounts is replaced by what the pretend ones hold, and our deeds end here. Pure: time is a
//! parameter, answers are facts. Our deeds move neither a pool nor a book of others.

mod acts;
mod book;
mod chain;
mod money;
mod past;
mod taken;
mod venue;
mod wallet;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use alloy::primitives::{Address, keccak256};
use rust_decimal::Decimal;

pub use chain::PaperChain;
pub use money::halves;
pub use venue::PaperVenue;

use crate::engine::event::{Body, Directive, Recovered};
use crate::engine::output::Command;
use crate::engine::setup::Setup;
use crate::execution::tx::{SignedTx, TxRequest};
use crate::model::time::Timestamp;
use crate::model::venue::NewOrder;

/// What an account at a venue is charged and lent, from the operator's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Fee of a resting fill, basis points; negative for a rebate.
    pub maker_fee_bps: Decimal,
    /// Fee of a taking fill, basis points.
    pub taker_fee_bps: Decimal,
    /// Largest value of a position over the margin balance; 1 on spot, where it is not asked for.
    pub leverage_max: Decimal,
}

/// Our pretend address on every chain: made of the keeper's name, so that no key opens it.
pub fn address(keeper: &str) -> Address {
    Address::from_word(keccak256(format!("tidekeeper, paper money of {keeper}")))
}

/// All pretend accounts of a keeper.
#[derive(Debug)]
pub struct PaperWorld {
    chains: BTreeMap<u64, PaperChain>,
    venues: BTreeMap<String, PaperVenue>,
}

impl PaperWorld {
    /// The accounts as the ledger left them; an account the ledger does not know begins with the
    /// starting money.
    pub fn new(
        setup: &Setup,
        terms: &BTreeMap<String, Terms>,
        recovered: &Recovered,
        now: Timestamp,
    ) -> Self {
        let chains = setup.chains.iter().map(|chain| {
            (chain.chain, PaperChain::new(chain.clone(), &setup.strategies, recovered))
        });
        let venues = setup.venues.iter().filter_map(|venue| {
            let terms = terms.get(&venue.name)?;
            Some((venue.name.clone(), PaperVenue::new(setup, venue, terms, recovered, now)))
        });
        Self { chains: chains.collect(), venues: venues.collect() }
    }

    /// What the engine is told of a fact of the real world, in order.
    pub fn hear(&mut self, fact: Body, now: Timestamp) -> Vec<Body> {
        match fact {
            Body::ChainReady(mut start) => {
                let id = start.header.block.chain;
                let Some(chain) = self.chains.get_mut(&id) else { return Vec::new() };
                match chain.ready(&mut start) {
                    Ok(()) => vec![Body::ChainReady(start)],
                    Err(why) => {
                        let reason = format!("chain {id} has no pretend money: {why}");
                        vec![Body::Directive(Directive::Halt { reason })]
                    }
                }
            }
            Body::Block(mut block) => {
                let Some(chain) = self.chains.get_mut(&block.header.block.chain) else {
                    return Vec::new();
                };
                let audit = chain.block(&mut block);
                let audit = audit.map(|audit| Body::WalletAudit(Box::new(audit)));
                std::iter::once(Body::Block(block)).chain(audit).collect()
            }
            Body::PoolReload(mut reading) => {
                if let Some(chain) = self.chains.get_mut(&reading.block.chain) {
                    chain.reload(&mut reading);
                }
                vec![Body::PoolReload(reading)]
            }
            Body::Reorganised(to) => {
                if let Some(chain) = self.chains.get_mut(&to.block.chain) {
                    chain.reorganised(&to);
                }
                vec![Body::Reorganised(to)]
            }
            Body::WalletAudit(real) => {
                let audit = self.chains.get(&real.block.chain).and_then(|c| c.audit(&real.block));
                audit.map(|audit| Body::WalletAudit(Box::new(audit))).into_iter().collect()
            }
            Body::VenueReady(mut start) => {
                if let Some(venue) = self.venues.get_mut(&start.venue) {
                    venue.ready(&mut start, now);
                }
                vec![Body::VenueReady(start)]
            }
            Body::Book { venue, symbol, step } => {
                let account = self.venues.get_mut(&venue);
                let then = account.map(|account| account.book(&symbol, &step, now));
                let told = Body::Book { venue, symbol, step };
                std::iter::once(told).chain(then.into_iter().flatten()).collect()
            }
            other => vec![other],
        }
    }

    /// What a deed that needs no commit leads to.
    pub fn obey(&mut self, command: Command, now: Timestamp) -> Vec<Body> {
        match command {
            Command::Estimate { chain, intent, act } => {
                let Some(account) = self.chains.get(&chain) else { return Vec::new() };
                vec![Body::Estimated { chain, intent, gas: account.estimate(&act) }]
            }
            Command::Resend { chain, nonce } => {
                let account = self.chains.get_mut(&chain);
                let hash = account.and_then(|account| account.resend(nonce, now));
                hash.map(|hash| Body::Sent { chain, nonce, hash }).into_iter().collect()
            }
            Command::QueryOrder { venue, client_order_id, .. } => {
                self.ask(&venue, |account| account.query(&client_order_id, now))
            }
            Command::QueryFills { venue, symbol, after_trade, since } => {
                self.ask(&venue, |account| account.list(&symbol, after_trade, since))
            }
            Command::QueryIncomes { venue, .. } => {
                // Funding is not pretended, and nobody else moves this money.
                vec![Body::Incomes { venue, incomes: Vec::new() }]
            }
            Command::AuditVenue { venue, version } => {
                self.ask(&venue, |account| account.audit(version))
            }
            Command::Cancel { venue, client_order_id, .. } => {
                self.ask(&venue, |account| account.cancel(&client_order_id))
            }
            Command::CancelAll { venue, symbol } => {
                self.ask(&venue, |account| account.cancel_all(&symbol))
            }
            // Every trade told here names its order.
            Command::QueryOwner { .. } => Vec::new(),
            // Real pools and books are read anew by those who hear them; the last two wait for
            // their commit.
            Command::SearchPoolLogs { .. }
            | Command::ReloadPool { .. }
            | Command::ResyncBook { .. }
            | Command::Submit { .. }
            | Command::Place { .. } => Vec::new(),
        }
    }

    /// A committed transaction; one that does not leave stays in its slot until it is sent again.
    pub fn submit(&mut self, tx: &SignedTx, leaves: bool, now: Timestamp) -> Vec<Body> {
        let TxRequest { chain, nonce, .. } = tx.request;
        let Some(account) = self.chains.get_mut(&chain) else { return Vec::new() };
        account.keep(tx, leaves.then_some(now));
        let hash = tx.hash;
        if leaves { vec![Body::Sent { chain, nonce, hash }] } else { Vec::new() }
    }

    /// A committed order that leaves.
    pub fn place(&mut self, order: &NewOrder, now: Timestamp) -> Vec<Body> {
        self.ask(&order.venue, |account| account.place(order, now))
    }

    fn ask(&mut self, venue: &str, deed: impl FnOnce(&mut PaperVenue) -> Vec<Body>) -> Vec<Body> {
        self.venues.get_mut(venue).map(deed).unwrap_or_default()
    }
}
