//! Follows a chain head by head: every block checked by its parent's hash, its logs fetched by its
//! own hash, gaps filled in order. Subscriptions only say when to look.

mod audit;
mod begin;
mod rota;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Block as RpcBlock, Filter, Log, TransactionReceipt};
use alloy::sol_types::SolEvent;
use tokio::sync::{Notify, mpsc};

use crate::engine::event::{Block, Body};
use crate::engine::setup::ChainSetup;
use crate::io::chain::gap::KnownPools;
use crate::io::chain::roster::Roster;
use crate::io::chain::watch::audit::Audits;
use crate::io::chain::{ChainClient, ChainError};
use crate::io::websocket;
use crate::model::chain::{BlockRef, Header, NftLog, Receipt, TokenTransfer};
use crate::model::time::Timestamp;
use crate::venues::erc20::{self, Erc20};
use crate::venues::uniswap_v3::{self, PositionEvent};

pub use audit::{AskedPools, PoolTask};

/// Looks at the head at least so often, hint or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Wait after an endpoint failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Nonces of our transactions that may be mined, by hash: the sender fills, the watcher reads.
pub type Awaited = Arc<Mutex<BTreeMap<B256, u64>>>;

/// Follows one chain and tells the engine.
#[derive(Debug)]
pub struct Watcher {
    /// Endpoint.
    pub client: ChainClient,
    /// What to watch.
    pub setup: ChainSetup,
    /// Its pools, by what names them.
    pub roster: Roster,
    /// States of them that an earlier run kept.
    pub kept_pools: KnownPools,
    /// Where the ledger stands; `None` at the very first start.
    pub cursor: Option<BlockRef>,
    /// Blocks that entries of the ledger stand on and that may have been replaced, newest first.
    pub known: Vec<BlockRef>,
    /// Our transactions.
    pub awaited: Awaited,
    /// What the engine asks about pools.
    pub asked: AskedPools,
    /// The wallet and each pool are compared with the chain at least every so many blocks.
    pub audit_every_blocks: u64,
    /// Facts go here, in order.
    pub facts: mpsc::Sender<Body>,
    /// Rings when somebody saw a new head.
    pub hint: Arc<Notify>,
}

/// How far a chain was followed.
#[derive(Debug, Default)]
struct Trail {
    /// The newest blocks followed, oldest first, as deep as they can be undone.
    recent: VecDeque<Header>,
    /// Height at which pools and wallet were read whole; `None` until they are.
    ready_at: Option<u64>,
    /// Blocks were replaced: the wallet is compared at the next head.
    is_audit_due: bool,
    /// What is known of the pools.
    audits: Audits,
    /// States of pools that a start can begin with.
    known: KnownPools,
}

impl Trail {
    fn last(&self) -> Option<Header> {
        self.recent.back().copied()
    }

    fn push(&mut self, header: Header, window: u64) {
        self.recent.push_back(header);
        while self.recent.len() as u64 > window.saturating_add(1) {
            self.recent.pop_front();
        }
    }

    /// Only blocks up to this one are still the chain's.
    fn cut(&mut self, to: Header) {
        while self.recent.back().is_some_and(|header| header.block.number > to.block.number) {
            self.recent.pop_back();
        }
        if self.recent.is_empty() {
            self.recent.push_back(to);
        }
        // What was read whole above it is not true any more.
        self.ready_at = self.ready_at.filter(|at| *at <= to.block.number);
        self.is_audit_due = true;
        self.audits.cut(to.block.number);
    }
}

/// How old a followed block is: endpoints may have forgotten states of the past, never its logs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Past,
    Head,
}

/// Why the watcher stops looking for a moment.
enum Stop {
    /// The endpoint failed: try again.
    Endpoint(ChainError),
    /// The chain replaced blocks; what is left of the trail is where to go on.
    Replaced,
    /// The chain is not the one we followed, or nobody listens any more.
    End,
}

impl From<ChainError> for Stop {
    fn from(error: ChainError) -> Self {
        Self::Endpoint(error)
    }
}

impl Watcher {
    /// Runs until nobody listens any more or the chain replaced more than can be undone.
    pub async fn run(mut self) {
        let mut trail = Trail { known: std::mem::take(&mut self.kept_pools), ..Trail::default() };
        let mut is_up = true;
        loop {
            match self.step(&mut trail).await {
                Ok(()) => {
                    if !is_up {
                        is_up = self.feed(true, "").await;
                    }
                    let _ = tokio::time::timeout(LOOK_EVERY, self.hint.notified()).await;
                }
                Err(Stop::Endpoint(error)) => {
                    tracing::warn!(chain = self.setup.chain, %error, "chain endpoint failed");
                    if is_up || trail.ready_at.is_none() {
                        self.feed(false, &error.to_string()).await;
                    }
                    is_up = false;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                // What follows from the last common block is looked at without a pause.
                Err(Stop::Replaced) => {}
                Err(Stop::End) => return,
            }
        }
    }

    async fn feed(&self, is_up: bool, why: &str) -> bool {
        let fact = Body::ChainFeed { chain: self.setup.chain, is_up, why: why.to_owned() };
        let _ = self.facts.send(fact).await;
        is_up
    }

    async fn tell(&self, fact: Body) -> Result<(), Stop> {
        self.facts.send(fact).await.map_err(|_| Stop::End)
    }

    async fn step(&self, trail: &mut Trail) -> Result<(), Stop> {
        let head = header(self.setup.chain, &self.client.latest().await?);
        if trail.ready_at.is_none() {
            self.catch_up(&head, trail).await?;
            if trail.last().is_some_and(|last| last.block != head.block) {
                // The chain replaced its head meanwhile; what is read must stand on what was told.
                return Ok(());
            }
            let lost = self.start(&head, trail).await?;
            trail.ready_at = Some(head.block.number);
            trail.audits.begin(self, head.block.number, lost);
            if trail.last().is_none() {
                trail.push(head, self.setup.final_after_blocks);
            }
            return Ok(());
        }
        let from = trail.last().map_or(head.block.number, |last| last.block.number + 1);
        if head.block.number < from
            && let Some(last) = trail.last()
        {
            self.still_there(last.block, trail).await?;
            if head.block.number < last.block.number {
                return Ok(());
            }
        }
        for number in from..=head.block.number {
            let header = self.follow(number, trail, Depth::Head).await?;
            let is_due = header.block.number.is_multiple_of(self.audit_every_blocks.max(1));
            let is_newest = number == head.block.number;
            if is_due || (trail.is_audit_due && is_newest) {
                let wallet = self.client.wallet(&self.setup, &header.block).await?;
                self.tell(Body::WalletAudit(Box::new(wallet))).await?;
                trail.is_audit_due = false;
            }
        }
        self.look_after_pools(trail).await
    }

    /// An endpoint that is behind is only late; another block at our height is a reorganisation.
    async fn still_there(&self, seen: BlockRef, trail: &mut Trail) -> Result<(), Stop> {
        match self.client.block_if_there(seen.number).await? {
            Some(block) if block.header.hash != seen.hash => {
                self.replaced(seen, block.header.hash, trail).await
            }
            _ => Ok(()),
        }
    }

    /// Walks back to the newest block the chain kept, and tells it.
    async fn replaced(
        &self,
        seen: BlockRef,
        canonical: B256,
        trail: &mut Trail,
    ) -> Result<(), Stop> {
        for header in trail.recent.clone().into_iter().rev() {
            let kept = self.client.block_if_there(header.block.number).await?;
            if kept.is_some_and(|block| block.header.hash == header.block.hash) {
                trail.cut(header);
                self.tell(Body::Reorganised(Box::new(header))).await?;
                return Err(Stop::Replaced);
            }
        }
        let oldest = trail.recent.front().map_or(seen, |header| header.block);
        let below = self.below(oldest, seen, canonical).await?;
        trail.cut(below);
        Err(Stop::Replaced)
    }

    /// Blocks between the ledger's cursor and the head at start: what happened while we were away.
    async fn catch_up(&self, head: &Header, trail: &mut Trail) -> Result<(), Stop> {
        if trail.last().is_none() {
            let Some(cursor) = self.cursor else { return Ok(()) };
            let begin = self.last_common(cursor).await?;
            trail.push(begin, self.setup.final_after_blocks);
        }
        let from = trail.last().map_or(head.block.number, |last| last.block.number) + 1;
        for number in from..=head.block.number {
            self.follow(number, trail, Depth::Past).await?;
        }
        Ok(())
    }

    /// The block from which a start goes on: the ledger's cursor or, when the chain replaced it,
    /// the newest block below it on which everything in the ledger still stands.
    async fn last_common(&self, cursor: BlockRef) -> Result<Header, Stop> {
        let chain = self.setup.chain;
        let found = self.client.block_if_there(cursor.number).await?;
        let found = found.map(|block| header(chain, &block));
        if let Some(found) = found.filter(|found| found.block.hash == cursor.hash) {
            return Ok(found);
        }
        let canonical = found.map_or(B256::ZERO, |found| found.block.hash);
        self.below(cursor, cursor, canonical).await
    }

    /// The newest block below a replaced one on which everything in the ledger still stands. It is
    /// told; deeper than the window that is told instead, and the chain is followed no further.
    async fn below(
        &self,
        replaced: BlockRef,
        newest: BlockRef,
        canonical: B256,
    ) -> Result<Header, Stop> {
        let chain = self.setup.chain;
        let mut lowest = replaced.number;
        for known in &self.known {
            let block = self.client.block_if_there(known.number).await?;
            if block.is_some_and(|block| block.header.hash == known.hash) {
                break;
            }
            lowest = lowest.min(known.number);
        }
        if newest.number.saturating_sub(lowest) >= self.setup.final_after_blocks {
            let (number, seen) = (newest.number, newest.hash);
            self.tell(Body::ReorganisedTooDeep { chain, number, seen, canonical }).await?;
            return Err(Stop::End);
        }
        let below = self.client.block(lowest.saturating_sub(1).into()).await?;
        let below = header(chain, &below);
        self.tell(Body::Reorganised(Box::new(below))).await?;
        Ok(below)
    }

    /// Fetches the next block and everything in it that concerns us.
    async fn follow(&self, number: u64, trail: &mut Trail, depth: Depth) -> Result<Header, Stop> {
        let block = self.client.block(number.into()).await?;
        let header = header(self.setup.chain, &block);
        if let Some(last) = trail.last()
            && header.parent != last.block.hash
        {
            self.replaced(last.block, header.parent, trail).await?;
        }
        let facts = self.facts_of(&block, header, depth).await?;
        let has_ours = !facts.receipts.is_empty();
        trail.push(header, self.setup.final_after_blocks);
        trail.audits.told(number, &facts.pool_logs);
        self.tell(Body::Block(Box::new(facts))).await?;
        if has_ours && depth == Depth::Head {
            // If it cannot be read here, it is at the next head.
            trail.is_audit_due = true;
            let wallet = self.client.wallet(&self.setup, &header.block).await?;
            self.tell(Body::WalletAudit(Box::new(wallet))).await?;
            trail.is_audit_due = false;
        }
        Ok(header)
    }

    async fn facts_of(
        &self,
        block: &RpcBlock,
        header: Header,
        depth: Depth,
    ) -> Result<Block, ChainError> {
        let at = header.block.hash;
        let pool_logs = self.client.pool_events(&self.roster, at).await?;
        let awaited: Vec<(B256, u64)> = {
            let awaited = self.awaited.lock().expect("no holder panics");
            block.transactions.hashes().filter_map(|h| Some((h, *awaited.get(&h)?))).collect()
        };
        let mut receipts = Vec::with_capacity(awaited.len());
        for (hash, nonce) in awaited {
            let receipt = self.client.receipt(hash).await?;
            if receipt.block_hash != Some(at) {
                let why = format!("{hash} is in another block than {at}");
                return Err(ChainError::Nonsense { what: "eth_getTransactionReceipt", why });
            }
            receipts.push((nonce, self.receipt(&receipt)?));
        }
        receipts.sort_by_key(|(nonce, _)| *nonce);
        let ours: Vec<B256> = receipts.iter().map(|(_, receipt)| receipt.hash).collect();
        Ok(Block {
            header,
            pool_logs,
            receipts,
            foreign_transfers: self.foreign_transfers(at, &ours).await?,
            signer_nonce: match depth {
                Depth::Past => None,
                Depth::Head => Some(self.client.nonce(self.setup.signer, at).await?),
            },
        })
    }

    async fn foreign_transfers(
        &self,
        at: B256,
        ours: &[B256],
    ) -> Result<Vec<TokenTransfer>, ChainError> {
        let tokens: Vec<Address> = self.setup.tokens.iter().map(|token| token.address).collect();
        let us = self.setup.signer.into_word();
        let topic = Erc20::Transfer::SIGNATURE_HASH;
        let base =
            || Filter::new().at_block_hash(at).address(tokens.clone()).event_signature(topic);
        let mut found: BTreeMap<u64, TokenTransfer> = BTreeMap::new();
        for filter in [base().topic1(us), base().topic2(us)] {
            for log in self.client.logs(&filter).await? {
                let hash = log.transaction_hash.unwrap_or_default();
                if ours.contains(&hash) {
                    continue;
                }
                if let Some(transfer) = transfer(&log)? {
                    found.insert(transfer.log_index, transfer);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn receipt(&self, receipt: &TransactionReceipt) -> Result<Receipt, ChainError> {
        let signer = self.setup.signer;
        let tokens = &self.setup.tokens;
        let mut transfers = Vec::new();
        let mut nft_logs = Vec::new();
        for log in receipt.inner.logs() {
            let address = log.inner.address;
            if address == self.setup.position_manager {
                let event = uniswap_v3::decode_position_log(&log.inner).map_err(|e| {
                    ChainError::Nonsense { what: "position log", why: e.to_string() }
                })?;
                nft_logs.extend(event.and_then(nft_log));
            } else if tokens.iter().any(|token| token.address == address)
                && let Some(transfer) = transfer(log)?
                && (transfer.from == signer || transfer.to == signer)
            {
                transfers.push(transfer);
            }
        }
        self.collected_as_paid(&mut nft_logs, &transfers, receipt);
        Ok(Receipt {
            hash: receipt.transaction_hash,
            is_success: receipt.status(),
            gas_used: receipt.gas_used,
            gas_price: receipt.effective_gas_price,
            l1_fee: U256::ZERO,
            transfers,
            nft_logs,
        })
    }

    /// The position manager logs what it *asked* of the pool, which may exceed what was paid by a
    /// unit; what reached us is what the tokens themselves say.
    fn collected_as_paid(
        &self,
        nft_logs: &mut [NftLog],
        transfers: &[TokenTransfer],
        receipt: &TransactionReceipt,
    ) {
        let pools = |log: &Log| self.roster.get(log.inner.address.into());
        let Some(pool) = receipt.inner.logs().iter().find_map(pools) else { return };
        let paid = |token: Address| {
            let to_us = transfers.iter().filter(|t| t.token == token && t.to == self.setup.signer);
            to_us.fold(U256::ZERO, |sum, transfer| sum.saturating_add(transfer.amount))
        };
        for log in nft_logs {
            if let NftLog::Collected { amount0, amount1, .. } = log {
                *amount0 = paid(pool.token0);
                *amount1 = paid(pool.token1);
            }
        }
    }
}

/// Rings `hint` at every head a subscription announces; what it says is not believed, only heard.
pub async fn hear_heads(ws_url: String, hint: Arc<Notify>) {
    let mut socket = websocket::connect(ws_url, websocket::Options::default());
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
    while let Some(event) = socket.frames.recv().await {
        match event {
            websocket::SocketEvent::Opened => {
                // A full queue means the socket is closing: the next opening subscribes again.
                let _ = socket.outgoing.try_send(subscribe.to_owned());
            }
            websocket::SocketEvent::Frame(_) => hint.notify_one(),
            websocket::SocketEvent::Closed { .. } => {}
        }
    }
}

fn header(chain: u64, block: &RpcBlock) -> Header {
    let inner = &block.header;
    Header {
        block: BlockRef { chain, number: inner.number, hash: inner.hash },
        parent: inner.parent_hash,
        time: Timestamp::from_s(i64::try_from(inner.timestamp).unwrap_or(i64::MAX)),
        base_fee: inner.base_fee_per_gas.map_or(0, u128::from),
    }
}

fn transfer(log: &Log) -> Result<Option<TokenTransfer>, ChainError> {
    let decoded = erc20::decode_transfer(&log.inner)
        .map_err(|e| ChainError::Nonsense { what: "transfer log", why: e.to_string() })?;
    Ok(decoded.map(|t| TokenTransfer {
        token: t.token,
        from: t.from,
        to: t.to,
        amount: t.amount,
        tx: log.transaction_hash.unwrap_or_default(),
        log_index: log.log_index.unwrap_or_default(),
    }))
}

fn nft_log(event: PositionEvent) -> Option<NftLog> {
    match event {
        PositionEvent::Increased { token_id, liquidity, amount0, amount1 } => {
            Some(NftLog::Increased { token_id, liquidity, amount0, amount1 })
        }
        PositionEvent::Decreased { token_id, liquidity, amount0, amount1 } => {
            Some(NftLog::Decreased { token_id, liquidity, amount0, amount1 })
        }
        PositionEvent::Collected { token_id, amount0, amount1, .. } => {
            Some(NftLog::Collected { token_id, amount0, amount1 })
        }
        PositionEvent::Moved { .. } => None,
    }
}
