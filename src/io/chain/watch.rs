//! Follows a chain head by head: every block checked by its parent's hash, its logs fetched by its
//! own hash, gaps filled in order. Subscriptions only say when to look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Block as RpcBlock, Filter, Log, TransactionReceipt};
use alloy::sol_types::SolEvent;
use tokio::sync::{Notify, mpsc};

use crate::engine::event::{Block, Body, ChainStart, PoolEvent};
use crate::engine::setup::{ChainSetup, Curve};
use crate::io::chain::{ChainClient, ChainError};
use crate::io::websocket;
use crate::model::chain::{BlockRef, Header, NftLog, Receipt, TokenTransfer};
use crate::model::time::Timestamp;
use crate::venues::erc20::{self, Erc20};
use crate::venues::uniswap_v2;
use crate::venues::uniswap_v3::{self, PositionEvent};

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
    /// Where the ledger stands; `None` at the very first start.
    pub cursor: Option<BlockRef>,
    /// Our transactions.
    pub awaited: Awaited,
    /// Pools and wallet are compared with the chain every so many blocks.
    pub audit_every_blocks: u64,
    /// Facts go here, in order.
    pub facts: mpsc::Sender<Body>,
    /// Rings when somebody saw a new head.
    pub hint: Arc<Notify>,
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
    /// The chain is not the one we followed, or nobody listens any more.
    End,
}

impl From<ChainError> for Stop {
    fn from(error: ChainError) -> Self {
        Self::Endpoint(error)
    }
}

impl Watcher {
    /// Runs until nobody listens any more or the chain reorganised below us.
    pub async fn run(mut self) {
        let mut last: Option<Header> = None;
        let mut is_started = false;
        let mut is_up = true;
        loop {
            match self.step(&mut last, &mut is_started).await {
                Ok(()) => {
                    if !is_up {
                        is_up = self.feed(true, "").await;
                    }
                    let _ = tokio::time::timeout(LOOK_EVERY, self.hint.notified()).await;
                }
                Err(Stop::Endpoint(error)) => {
                    tracing::warn!(chain = self.setup.chain, %error, "chain endpoint failed");
                    if is_up || !is_started {
                        self.feed(false, &error.to_string()).await;
                    }
                    is_up = false;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
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

    async fn step(&mut self, last: &mut Option<Header>, started: &mut bool) -> Result<(), Stop> {
        let head = header(self.setup.chain, &self.client.latest().await?);
        if !*started {
            self.catch_up(&head, last).await?;
            self.start(&head).await?;
            *last = Some(head);
            *started = true;
            return Ok(());
        }
        let from = last.map_or(head.block.number, |last| last.block.number + 1);
        if head.block.number < from
            && let Some(last) = last.as_ref()
        {
            return self.still_there(last.block).await;
        }
        for number in from..=head.block.number {
            let header = self.follow(number, last, Depth::Head).await?;
            if header.block.number.is_multiple_of(self.audit_every_blocks.max(1)) {
                self.audit(&header.block).await?;
            }
        }
        Ok(())
    }

    /// An endpoint that is behind is only late; another block at our height is a reorganisation.
    async fn still_there(&self, seen: BlockRef) -> Result<(), Stop> {
        match self.client.block_if_there(seen.number).await? {
            Some(block) if block.header.hash != seen.hash => {
                self.reorganised(seen, block.header.hash).await
            }
            _ => Ok(()),
        }
    }

    async fn reorganised(&self, seen: BlockRef, canonical: B256) -> Result<(), Stop> {
        let (chain, number) = (self.setup.chain, seen.number);
        self.tell(Body::Reorganised { chain, number, seen: seen.hash, canonical }).await?;
        Err(Stop::End)
    }

    /// Blocks between the ledger's cursor and the head at start: what happened while we were away.
    async fn catch_up(&self, head: &Header, last: &mut Option<Header>) -> Result<(), Stop> {
        let Some(cursor) = self.cursor else { return Ok(()) };
        if last.is_none() {
            let known = self.client.block(cursor.number.into()).await?;
            if known.header.hash != cursor.hash {
                return self.reorganised(cursor, known.header.hash).await;
            }
            *last = Some(header(self.setup.chain, &known));
        }
        let from = last.map_or(head.block.number, |last| last.block.number) + 1;
        for number in from..=head.block.number {
            self.follow(number, last, Depth::Past).await?;
        }
        Ok(())
    }

    async fn start(&self, head: &Header) -> Result<(), Stop> {
        let mut pools = Vec::with_capacity(self.setup.pools.len());
        for pool in &self.setup.pools {
            pools.push((pool.address, self.client.pool(pool, &head.block).await?));
        }
        let start = ChainStart {
            header: *head,
            pools,
            wallet: self.client.wallet(&self.setup, &head.block).await?,
            signer_nonce: self.client.nonce(self.setup.signer, head.block.hash).await?,
            allowances: self.client.allowances(&self.setup, head.block.hash).await?,
        };
        self.tell(Body::ChainReady(Box::new(start))).await
    }

    /// Fetches the next block and everything in it that concerns us.
    async fn follow(
        &self,
        number: u64,
        last: &mut Option<Header>,
        depth: Depth,
    ) -> Result<Header, Stop> {
        let block = self.client.block(number.into()).await?;
        let header = header(self.setup.chain, &block);
        if let Some(last) = last.as_ref()
            && header.parent != last.block.hash
        {
            self.reorganised(last.block, header.parent).await?;
        }
        let facts = self.facts_of(&block, header, depth).await?;
        let has_ours = !facts.receipts.is_empty();
        *last = Some(header);
        self.tell(Body::Block(Box::new(facts))).await?;
        if has_ours && depth == Depth::Head {
            let wallet = self.client.wallet(&self.setup, &header.block).await?;
            self.tell(Body::WalletAudit(Box::new(wallet))).await?;
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
        let pools: Vec<Address> = self.setup.pools.iter().map(|pool| pool.address).collect();
        let mut logs = self.client.logs(&Filter::new().at_block_hash(at).address(pools)).await?;
        logs.sort_by_key(|log| log.log_index);
        let pool_logs = logs.iter().filter_map(|log| self.pool_log(log)).collect();
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

    fn pool_log(&self, log: &Log) -> Option<(Address, PoolEvent)> {
        let address = log.inner.address;
        let setup = self.setup.pool(address)?;
        let event = match setup.curve {
            Curve::V2 => uniswap_v2::decode_pair_log(&log.inner)
                .map(|event| event.map(PoolEvent::V2))
                .map_err(|e| e.to_string()),
            Curve::V3 => uniswap_v3::decode_pool_log(&log.inner)
                .map(|event| event.map(PoolEvent::V3))
                .map_err(|e| e.to_string()),
        };
        match event {
            Ok(event) => Some((address, event?)),
            Err(why) => Some((address, PoolEvent::Broken(why))),
        }
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
        let pools = |log: &Log| self.setup.pool(log.inner.address);
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

    async fn audit(&self, block: &BlockRef) -> Result<(), Stop> {
        let chain = self.setup.chain;
        for pool in &self.setup.pools {
            let observed = self.client.observe(pool, block.hash).await?;
            let (pool, block) = (pool.address, *block);
            self.tell(Body::PoolAudit { chain, pool, block, observed }).await?;
        }
        let wallet = self.client.wallet(&self.setup, block).await?;
        self.tell(Body::WalletAudit(Box::new(wallet))).await
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
