//! Obeys the engine's commands. What must wait for a commit comes through the writer; nothing else
//! can send a transaction or place an order. In mode paper all of it ends in pretend accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::event::Body;
use crate::engine::output::Command;
use crate::engine::setup::ChainSetup;
use crate::execution::tx::{Act, SignedTx};
use crate::io::chain::ChainClient;
use crate::io::chain::watch::{AskedPools, Awaited, PoolTask};
use crate::io::signer::{self, Key, SignError};
use crate::run::paper::PaperHands;
use crate::run::venue::VenueClient;
use crate::store::{Batch, Committed, PlannedOrder, Store};

/// One chain's means to act.
#[allow(missing_debug_implementations, reason = "it holds a key")]
pub(super) struct ChainHands {
    pub(super) setup: ChainSetup,
    pub(super) client: ChainClient,
    pub(super) key: Key,
    pub(super) awaited: Awaited,
}

/// Everything that can touch the world.
#[allow(missing_debug_implementations, reason = "it holds keys")]
pub(super) struct Hands {
    pub(super) reach: Reach,
    pub(super) venues: BTreeMap<String, Arc<VenueClient>>,
    /// To the watcher of each chain.
    pub(super) pools: BTreeMap<u64, AskedPools>,
    /// To the loop.
    pub(super) facts: mpsc::Sender<Body>,
}

/// How far deeds reach.
#[allow(missing_debug_implementations, reason = "it holds keys")]
pub(super) enum Reach {
    /// The world itself.
    Real { chains: BTreeMap<u64, Arc<ChainHands>>, store: Store },
    /// Pretend accounts in this process.
    Paper(PaperHands),
}

impl Hands {
    /// Our transactions that a chain may hold; a pretend one stands in no real block.
    pub(super) fn awaited(&self, chain: u64) -> Awaited {
        let hands = match &self.reach {
            Reach::Real { chains, .. } => chains.get(&chain),
            Reach::Paper(_) => None,
        };
        hands.map(|hands| Arc::clone(&hands.awaited)).unwrap_or_default()
    }

    /// What the engine asks about the pools of a chain.
    pub(super) fn asked(&self, chain: u64) -> AskedPools {
        self.pools.get(&chain).map(Arc::clone).unwrap_or_default()
    }

    fn ask_about_pool(&self, chain: u64, task: PoolTask) {
        if let Some(asked) = self.pools.get(&chain) {
            asked.lock().expect("no holder panics").push_back(task);
        }
    }

    /// Obeys a command that need not wait.
    pub(super) fn obey(&self, command: Command) {
        match (command, &self.reach) {
            (Command::ResyncBook { venue, symbol }, _) => {
                if let Some(client) = self.venues.get(&venue) {
                    client.resync(&symbol);
                }
            }
            (Command::SearchPoolLogs { chain, pool, after }, _) => {
                self.ask_about_pool(chain, PoolTask::Search { pool, after });
            }
            (Command::ReloadPool { chain, pool }, _) => {
                self.ask_about_pool(chain, PoolTask::Reload { pool });
            }
            (command, Reach::Paper(paper)) => paper.obey(command),
            (Command::Estimate { chain, intent, act }, Reach::Real { chains, .. }) => {
                let Some(hands) = chains.get(&chain).cloned() else { return };
                let facts = self.facts.clone();
                tokio::spawn(async move {
                    let gas = match signer::encode(&hands.setup, &act) {
                        Ok((to, input)) => {
                            let asked = hands.client.estimate(hands.setup.signer, to, input).await;
                            asked.map_err(|error| error.to_string())
                        }
                        Err(error) => Err(error.to_string()),
                    };
                    let _ = facts.send(Body::Estimated { chain, intent, gas }).await;
                });
            }
            (Command::Resend { chain, nonce }, Reach::Real { chains, store }) => {
                if let Some(hands) = chains.get(&chain).cloned() {
                    let resent = hands.resend(store.clone(), self.facts.clone(), nonce);
                    tokio::spawn(resent);
                }
            }
            (command, Reach::Real { .. }) => self.ask_venue(command),
        }
    }

    fn ask_venue(&self, command: Command) {
        match command {
            Command::QueryOrder { venue, symbol, client_order_id } => {
                self.spawn(&venue, |client| client.query(symbol, client_order_id));
            }
            Command::QueryOwner { venue, symbol, venue_order_id } => {
                self.spawn(&venue, |client| client.owner(symbol, venue_order_id));
            }
            Command::QueryFills { venue, symbol, after_trade, since } => {
                self.spawn(&venue, |client| client.fills(symbol, after_trade, since));
            }
            Command::QueryIncomes { venue, since } => {
                self.spawn(&venue, |client| client.incomes(since));
            }
            Command::AuditVenue { venue, version } => {
                self.spawn(&venue, |client| client.audit(version));
            }
            Command::Cancel { venue, symbol, client_order_id } => {
                self.spawn(&venue, |client| client.cancel(symbol, client_order_id));
            }
            Command::CancelAll { venue, symbol } => {
                self.spawn(&venue, |client| client.cancel_all(symbol));
            }
            // Those of chains and books were obeyed; the last two wait for their commit: `sign` and
            // the writer see to them.
            Command::Estimate { .. }
            | Command::Resend { .. }
            | Command::SearchPoolLogs { .. }
            | Command::ReloadPool { .. }
            | Command::ResyncBook { .. }
            | Command::Submit { .. }
            | Command::Place { .. } => {}
        }
    }

    fn spawn<F>(&self, venue: &str, deed: impl FnOnce(Arc<VenueClient>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(client) = self.venues.get(venue) {
            tokio::spawn(deed(Arc::clone(client)));
        }
    }

    /// Adds what a command wants committed to the batch; signing happens here, sending does not.
    pub(super) fn sign(&self, command: &Command, batch: &mut Batch) -> Result<(), SignError> {
        match command {
            Command::Submit { request, intent, strategy } => {
                let signed = match &self.reach {
                    Reach::Real { chains, .. } => {
                        let hands = chains.get(&request.chain).ok_or(SignError::NotConfigured)?;
                        let signed = hands.key.sign(&hands.setup, request, *intent, strategy)?;
                        // Awaited before it can possibly be mined.
                        let mut awaited = hands.awaited.lock().expect("no holder panics");
                        awaited.insert(signed.hash, request.nonce);
                        signed
                    }
                    Reach::Paper(paper) => paper.pretend(request, *intent, strategy)?,
                };
                batch.txs.push(signed);
            }
            Command::Place { order, intent, strategy } => batch.orders.push(PlannedOrder {
                order: order.clone(),
                intent: *intent,
                strategy: strategy.clone(),
            }),
            _ => {}
        }
        Ok(())
    }

    /// Carries out the deeds of a kept batch. A commit may come late: what was decided before a
    /// halt or a stall does not leave after it, exits apart. A transaction held back stays in its
    /// slot; an order held back is over.
    pub(super) fn carry_out(&self, batch: Committed<Batch>, may_send: bool) {
        let (txs, orders) = batch.deeds();
        if !txs.is_empty() || !orders.is_empty() {
            fault_point("after_commit", 1);
        }
        for tx in txs {
            let leaves = may_send || matches!(tx.get().request.act, Act::Close { .. });
            match &self.reach {
                Reach::Real { chains, .. } if leaves => {
                    if let Some(hands) = chains.get(&tx.get().request.chain).cloned() {
                        tokio::spawn(hands.send(tx, self.facts.clone()));
                    }
                }
                Reach::Real { .. } => {}
                Reach::Paper(paper) => paper.submit(tx, leaves),
            }
        }
        for order in orders {
            let venue = order.get().order.request.venue.clone();
            let leaves = may_send || order.get().order.request.reduce_only;
            match &self.reach {
                Reach::Paper(paper) if leaves => paper.place(order),
                Reach::Real { .. } if leaves => self.spawn(&venue, |client| client.place(order)),
                _ => self.spawn(&venue, |client| client.hold_back(order)),
            }
        }
    }
}

impl ChainHands {
    /// Sends the stored bytes of a slot once more.
    async fn resend(self: Arc<Self>, store: Store, facts: mpsc::Sender<Body>, nonce: u64) {
        let chain = self.setup.chain;
        match store.raw_tx(chain, self.setup.signer, nonce).await {
            Ok(Some(kept)) => {
                let (hash, raw) = kept.get();
                if let Err(error) = self.client.send_raw(raw).await {
                    tracing::info!(chain, nonce, %hash, %error, "resend was answered badly");
                }
                let _ = facts.send(Body::Sent { chain, nonce, hash: *hash }).await;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(chain, nonce, %error, "slot not read"),
        }
    }

    /// Sends a kept transaction. Whatever the endpoint answers, only the chain's own records count.
    async fn send(self: Arc<Self>, tx: Committed<SignedTx>, facts: mpsc::Sender<Body>) {
        let SignedTx { request, raw, hash, .. } = tx.get();
        if let Err(error) = self.client.send_raw(raw).await {
            tracing::warn!(chain = request.chain, nonce = request.nonce, %hash, %error,
                "send answered with an error");
        }
        fault_point("after_send", 1);
        let (chain, nonce, hash) = (request.chain, request.nonce, *hash);
        let _ = facts.send(Body::Sent { chain, nonce, hash }).await;
    }
}

/// The process dies here, as by `kill -9`, when the environment names this point: the crash tests
/// prove that nothing is lost and nothing is sent twice wherever it stops.
pub(super) fn fault_point(name: &str, n_deeds: usize) {
    if n_deeds > 0 && super::agent::variable(FAULT_VARIABLE).is_some_and(|point| point == name) {
        std::process::abort();
    }
}

/// Names the point at which the process must die; set by the crash tests alone.
pub(super) const FAULT_VARIABLE: &str = "TIDEKEEPER_CRASH_AT";
