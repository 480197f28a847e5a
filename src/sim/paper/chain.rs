//! A pretend wallet on a real chain.
//!
//! Its transactions stand at the end of the first block of a later second than the one they were
//! sent in, after everybody else's, and are run on the pools as that block left them: a block that
//! was sealed before could not hold them, though it is often heard of after. Pools are followed by
//! the same logs as the engine's own. Blocks that the chain takes back are undone, and what stood
//! in them is run again in a later one.

use std::collections::{BTreeMap, VecDeque};

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;

use crate::engine::event::{
    Block, ChainStart, OwnedPosition, Pool, PoolEvent, PoolReading, Recovered, WalletAudit,
};
use crate::engine::reorg::PoolUndo;
use crate::engine::setup::{ChainSetup, StrategySetup};
use crate::execution::tx::{Act, SignedTx, Spender, TxRequest};
use crate::market::pools::v3::Watched;
use crate::model::chain::{BlockRef, Header, PoolAddress, Receipt, TokenTransfer};
use crate::model::time::Timestamp;
use crate::sim::paper::acts::{self, Done, Moved, Place};
use crate::sim::paper::wallet::{Nft, Wallet};
use crate::sim::paper::{money, past};

/// What takes a block back.
#[derive(Debug)]
pub(super) struct Undo {
    number: u64,
    /// The wallet before it.
    wallet: Wallet,
    /// What takes back each thing that pools were told.
    logs: Vec<(PoolAddress, PoolUndo)>,
    /// Pools that are followed no more since.
    lost: Vec<(PoolAddress, Pool)>,
}

impl Undo {
    /// Of a block that has not told any pool anything yet.
    pub(super) fn new(number: u64, wallet: Wallet) -> Self {
        Self { number, wallet, logs: Vec::new(), lost: Vec::new() }
    }
}

/// One slot of the pretend signer.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) hash: B256,
    /// `None` for a slot of an earlier process: what it would do is not known any more.
    pub(super) request: Option<TxRequest>,
    /// When it was first sent; `None` while it waits for that, and for one without a request.
    pub(super) sent: Option<Timestamp>,
    /// Height of its block.
    pub(super) mined: Option<u64>,
}

/// One pretend wallet.
#[derive(Debug)]
pub struct PaperChain {
    setup: ChainSetup,
    /// Budgets that the wallet begins with; `None` once it has begun.
    budgets: Option<Vec<(PoolAddress, Decimal)>>,
    wallet: Wallet,
    pools: BTreeMap<PoolAddress, Pool>,
    /// Pools that could not be followed, as they were last: what ranges in them had earned.
    lost: BTreeMap<PoolAddress, Pool>,
    /// Height at which the pools were read whole; `None` while they are not.
    read_at: Option<u64>,
    /// Heights at which single ones were read anew since.
    reloads: BTreeMap<PoolAddress, u64>,
    head: Option<Header>,
    slots: BTreeMap<u64, Slot>,
    next_nonce: u64,
    undo: VecDeque<Undo>,
}

impl PaperChain {
    /// The wallet as the ledger left it. A slot that was in flight then fails in the next block and
    /// costs nothing.
    pub fn new(setup: ChainSetup, strategies: &[StrategySetup], recovered: &Recovered) -> Self {
        let is_new = !past::has_wallet(&setup, recovered);
        let budgets = is_new.then(|| money::budgets(&setup, strategies));
        let wallet = past::wallet(&setup, recovered);
        let undo = past::history(&setup, &wallet, recovered);
        let (slots, next_nonce) = past::slots(&setup, recovered);
        Self {
            setup,
            budgets,
            wallet,
            pools: BTreeMap::new(),
            lost: BTreeMap::new(),
            read_at: None,
            reloads: BTreeMap::new(),
            head: None,
            slots,
            next_nonce,
            undo,
        }
    }

    /// The chain is read whole: what it says of our accounts becomes what the wallet holds.
    ///
    /// # Errors
    /// Why the starting money cannot be told.
    pub fn ready(&mut self, start: &mut ChainStart) -> Result<(), String> {
        if let Some(budgets) = &self.budgets {
            let pools = start.pools.iter().cloned().collect();
            self.wallet = money::opening(&self.setup, budgets, &pools)?;
            // Nothing can be allowed before the first approval, which makes this known.
            self.wallet.allowances =
                self.pairs().map(|(token, spender)| ((token, spender), U256::ZERO)).collect();
            self.budgets = None;
        }
        for (address, pool) in &mut start.pools {
            self.watch_ranges(*address, pool);
        }
        self.pools = start.pools.iter().cloned().collect();
        (self.lost, self.reloads) = (BTreeMap::new(), BTreeMap::new());
        self.read_at = Some(start.header.block.number);
        self.head = Some(start.header);
        start.wallet = self.state(start.header.block);
        start.signer_nonce = self.nonce();
        Ok(())
    }

    /// A pool is read anew: it is followed from there on, and our ranges in it are watched again.
    pub fn reload(&mut self, reading: &mut PoolReading) {
        let address = reading.pool;
        self.watch_ranges(address, &mut reading.state);
        self.lost.remove(&address);
        self.pools.insert(address, reading.state.clone());
        self.reloads.insert(address, reading.block.number);
        // What blocks before did to it cannot be undone in the new state.
        for undo in &mut self.undo {
            undo.logs.retain(|(known, _)| *known != address);
            undo.lost.retain(|(known, _)| *known != address);
        }
    }

    fn watch_ranges(&self, address: PoolAddress, pool: &mut Pool) {
        let Pool::V3(pool) = pool else { return };
        for nft in self.wallet.positions.values().filter(|nft| nft.pool == address) {
            let Nft { lower, upper, liquidity, .. } = *nft;
            pool.watch(Watched { lower, upper, liquidity, inside: self.grown(nft) });
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (Address, Spender)> {
        let both = [Spender::PositionManager, Spender::SwapRouter];
        let tokens = self.setup.tokens.iter();
        tokens.flat_map(move |token| both.map(|spender| (token.address, spender)))
    }

    /// Fee growth inside a position as it was last known: what grew before this process is not.
    fn grown(&self, nft: &Nft) -> [U256; 2] {
        let known = match self.pools.get(&nft.pool).or_else(|| self.lost.get(&nft.pool)) {
            Some(Pool::V3(pool)) => pool.watched_growth(nft.lower, nft.upper),
            _ => None,
        };
        known.unwrap_or(nft.inside)
    }

    /// One more block: our transactions are added to it. What the wallet holds then, when it had
    /// any.
    pub fn block(&mut self, block: &mut Block) -> Option<WalletAudit> {
        let header = block.header;
        let number = header.block.number;
        let mut undo = Undo::new(number, self.wallet.clone());
        self.head = Some(header);
        if self.read_at.is_some() {
            for (address, event) in &block.pool_logs {
                self.follow(&mut undo, *address, event);
            }
            self.wallet.taken.release(&self.pools);
        }
        // Whoever pays this address on the real chain pays nobody.
        block.foreign_transfers.clear();
        let pending = self.slots.iter().filter(|(_, slot)| slot.mined.is_none());
        let pending: Vec<u64> = pending.map(|(nonce, _)| *nonce).collect();
        for nonce in pending {
            let Some((receipt, told)) = self.include(&header, nonce) else { break };
            for (address, event) in told {
                self.follow(&mut undo, address, &event);
                block.pool_logs.push((address, event));
            }
            block.receipts.push((nonce, receipt));
        }
        self.remember(undo);
        let is_head = block.signer_nonce.is_some();
        block.signer_nonce = block.signer_nonce.map(|_| self.nonce());
        (is_head && !block.receipts.is_empty()).then(|| self.state(header.block))
    }

    /// A pool follows what a block tells of it; one that cannot is followed no more until it is
    /// read anew.
    fn follow(&mut self, undo: &mut Undo, address: PoolAddress, event: &PoolEvent) {
        let Some(pool) = self.pools.get_mut(&address) else { return };
        let followed = pool.apply(event);
        if followed.is_err() {
            undo.lost.extend(self.pools.get(&address).map(|pool| (address, pool.clone())));
            self.lose(address);
        }
        undo.logs.push((address, followed.unwrap_or(PoolUndo::Misfit)));
    }

    fn lose(&mut self, address: PoolAddress) {
        if let Some(pool) = self.pools.remove(&address) {
            self.lost.insert(address, pool);
        }
    }

    /// Puts a slot into a block; `None` while no block would take it.
    fn include(
        &mut self,
        header: &Header,
        nonce: u64,
    ) -> Option<(Receipt, Vec<(PoolAddress, PoolEvent)>)> {
        let slot = self.slots.get_mut(&nonce)?;
        let Some(request) = &slot.request else {
            slot.mined = Some(header.block.number);
            return Some((receipt(slot.hash, (0, 0), None), Vec::new()));
        };
        let price = header.base_fee.saturating_add(request.max_priority_fee).min(request.max_fee);
        let most = U256::from(request.gas_limit).saturating_mul(U256::from(request.max_fee));
        let is_sent = slot.sent.is_some_and(|sent| second(sent) < second(header.time));
        let is_taken = is_sent && self.read_at.is_some() && request.max_fee >= header.base_fee;
        if !is_taken || self.wallet.native < most {
            return None;
        }
        let (setup, pools) = (&self.setup, &self.pools);
        let place = Place { setup, pools, header, nonce };
        let gas = acts::gas(&request.act);
        let done = acts::run(&place, &self.wallet, &request.act).ok();
        slot.mined = Some(header.block.number);
        let receipt = receipt(slot.hash, (gas, price), done.as_ref());
        let mut told = Vec::new();
        if let Some(done) = done {
            self.wallet = done.wallet;
            told = done.told;
        }
        let cost = receipt.cost().unwrap_or(most);
        self.wallet.native = self.wallet.native.saturating_sub(cost);
        Some((receipt, told))
    }

    /// Keeps what a block changed for as long as the block can be taken back.
    fn remember(&mut self, undo: Undo) {
        let oldest = undo.number.saturating_sub(self.setup.final_after_blocks);
        if !undo.logs.is_empty() || undo.wallet != self.wallet {
            self.undo.push_back(undo);
        }
        while self.undo.front().is_some_and(|undo| undo.number < oldest) {
            self.undo.pop_front();
        }
        self.slots.retain(|_, slot| slot.mined.is_none_or(|mined| mined >= oldest));
    }

    /// The chain took back every block above this one.
    pub fn reorganised(&mut self, to: &Header) {
        let number = to.block.number;
        while self.undo.back().is_some_and(|undo| undo.number > number) {
            let Some(undo) = self.undo.pop_back() else { break };
            self.wallet = undo.wallet;
            for (address, pool) in undo.lost {
                self.lost.remove(&address);
                self.pools.insert(address, pool);
            }
            // One that was read whole above this block is not the chain's any more; what its ranges
            // had earned here is all that is still asked of it.
            for (address, log) in undo.logs.into_iter().rev() {
                let pool = self.pools.get_mut(&address);
                if pool.is_some_and(|pool| pool.undo(log).is_err()) {
                    self.pools.remove(&address);
                }
            }
        }
        for slot in self.slots.values_mut() {
            if slot.mined.is_some_and(|mined| mined > number) {
                slot.mined = None;
            }
        }
        self.head = Some(*to);
        // What was read above it is not true any more.
        let gone: Vec<PoolAddress> =
            self.reloads.extract_if(.., |_, at| *at > number).map(|(address, _)| address).collect();
        for address in gone {
            self.lose(address);
        }
        self.read_at = self.read_at.filter(|at| *at <= number);
    }

    /// What the wallet holds at this block; `None` when it is not the newest one here.
    pub fn audit(&self, block: &BlockRef) -> Option<WalletAudit> {
        let is_current = self.head.is_some_and(|head| head.block == *block);
        (is_current && self.budgets.is_none()).then(|| self.state(*block))
    }

    fn state(&self, block: BlockRef) -> WalletAudit {
        let tokens = self.setup.tokens.iter();
        let allowances = self.wallet.allowances.iter();
        let owned = |(token_id, nft): (&U256, &Nft)| OwnedPosition {
            token_id: *token_id,
            liquidity: nft.liquidity,
            inside0: nft.inside[0],
            inside1: nft.inside[1],
        };
        WalletAudit {
            block,
            native: self.wallet.native,
            tokens: tokens.map(|t| (t.address, self.wallet.held(t.address))).collect(),
            positions: self.wallet.positions.iter().map(owned).collect(),
            allowances: allowances.map(|((token, by), left)| (*token, *by, *left)).collect(),
        }
    }

    /// Transactions ever mined.
    fn nonce(&self) -> u64 {
        let waiting = self.slots.iter().find(|(_, slot)| slot.mined.is_none());
        waiting.map_or(self.next_nonce, |(nonce, _)| *nonce)
    }

    /// What an act would use on the newest state.
    ///
    /// # Errors
    /// Why it would revert.
    pub fn estimate(&self, act: &Act) -> Result<u64, String> {
        let header = self.head.as_ref().filter(|_| self.read_at.is_some());
        let header = header.ok_or("the pools are not read")?;
        let (setup, pools, nonce) = (&self.setup, &self.pools, self.next_nonce);
        let place = Place { setup, pools, header, nonce };
        acts::run(&place, &self.wallet, act).map_err(|why| format!("execution reverted: {why}"))?;
        Ok(acts::gas(act))
    }

    /// A committed transaction takes its slot; one that is not sent waits there until it is.
    pub fn keep(&mut self, tx: &SignedTx, sent: Option<Timestamp>) {
        let (hash, request) = (tx.hash, Some(tx.request.clone()));
        self.slots.insert(tx.request.nonce, Slot { hash, request, sent, mined: None });
        self.next_nonce = self.next_nonce.max(tx.request.nonce.saturating_add(1));
    }

    /// A slot is sent (again); its hash.
    pub fn resend(&mut self, nonce: u64, now: Timestamp) -> Option<B256> {
        let slot = self.slots.get_mut(&nonce)?;
        slot.sent = slot.sent.or(Some(now));
        Some(slot.hash)
    }
}

/// Whole seconds, as blocks say them.
fn second(at: Timestamp) -> i64 {
    at.ms().div_euclid(1_000)
}

/// The receipt of an act, decoded as a real one is; without what it did, it failed.
fn receipt(hash: B256, (gas_used, gas_price): (u64, u128), done: Option<&Done>) -> Receipt {
    let transfer = |(log_index, moved): (u64, &Moved)| {
        let Moved { token, from, to, amount } = *moved;
        TokenTransfer { token, from, to, amount, tx: hash, log_index }
    };
    let moved = done.map(|done| done.moved.as_slice()).unwrap_or_default();
    Receipt {
        hash,
        is_success: done.is_some(),
        gas_used,
        gas_price,
        l1_fee: U256::ZERO,
        transfers: (0..).zip(moved).map(transfer).collect(),
        nft_logs: done.map(|done| done.nft_logs.clone()).unwrap_or_default(),
    }
}
