//! Chain facts: blocks, receipts, audits of pools.

use std::collections::BTreeMap;

use alloy::primitives::U256;

use crate::engine::Engine;
use crate::engine::admission::{self, Standing};
use crate::engine::event::{Block, ChainStart, Observed, Pool, PoolEvent, Position};
use crate::engine::output::{Mined, Record};
use crate::engine::reorg::{PoolUndo, UndoBlock};
use crate::engine::state::FEE_WINDOW_MS;
use crate::execution::tx::{CYCLE, SWAP, Spender, TxEvent, TxState};
use crate::ledger::booking::{self, ChainPlace, PoolTokens, Purpose};
use crate::ledger::entry::OnBlock;
use crate::market::book::feed::Feed;
use crate::model::chain::{BlockRef, Header, NftLog, PoolAddress, Receipt};
use crate::model::intent::PoolId;
use crate::model::opportunity::Fate;

/// The cursor is stored at least so often, so that a restart never rescans far.
const CURSOR_EVERY_BLOCKS: u64 = 10;
/// After a refused estimate or a revert, nothing is tried for so long.
pub(super) const RETRY_AFTER_MS: i64 = 5_000;

impl Engine {
    pub(super) fn chain_feed(&mut self, chain: u64, is_up: bool, why: &str) {
        let at = self.now;
        if let Some(state) = self.chains.get_mut(&chain) {
            let feed = if is_up { Feed::Live } else { Feed::Down { since: at } };
            state.set_feed(feed, why, at);
        }
    }

    pub(super) fn chain_ready(&mut self, start: ChainStart) {
        let id = start.header.block.chain;
        let (now, is_new) = (self.now, self.is_unopened_chain(id));
        let Some(chain) = self.chains.get_mut(&id) else { return };
        chain.take_over(start.pools, start.header.block.number);
        chain.undo.clear();
        chain.forgotten = None;
        chain.allowances.clear();
        chain.learn_allowances(&start.wallet);
        // Before our first slot the count says nothing: the signer may have lived before us.
        let has_slots = chain.next_nonce > 0;
        let is_foreign = has_slots && start.signer_nonce > chain.next_nonce;
        chain.next_nonce = chain.next_nonce.max(start.signer_nonce);
        chain.head = Some(start.header);
        chain.head_at = Some(now);
        chain.is_ready = true;
        chain.set_feed(Feed::Live, "", now);
        if is_new {
            self.open_wallet(&start.wallet);
            self.out.records.push(Record::Cursor(start.header.block));
        }
        self.wallet_audit(&start.wallet);
        if is_foreign {
            self.halt_for_foreign_nonce(id, start.signer_nonce - 1);
        }
    }

    pub(super) fn halt_for_foreign_nonce(&mut self, chain: u64, nonce: u64) {
        let tx = self.chains.get(&chain).and_then(|chain| chain.txs.get(&nonce));
        if let Some(intent) = tx.map(|tx| tx.intent) {
            let why = "somebody else used its nonce".to_owned();
            self.turn_opportunity(intent, Fate::Lost, Some(why));
        }
        self.halt(format!(
            "nonce {nonce} on chain {chain} was used by a transaction we did not make: \
             the signer's key is used elsewhere"
        ));
    }

    pub(super) fn block(&mut self, block: Block) {
        let id = block.header.block.chain;
        let now = self.now;
        let n_records = self.out.records.len();
        {
            let Some(chain) = self.chains.get_mut(&id) else { return };
            chain.head = Some(block.header);
            chain.head_at = Some(now);
            chain.n_blocks += 1;
            if chain.is_ready {
                chain.set_feed(Feed::Live, "", now);
            }
        }
        self.pool_logs(&block);
        for (nonce, receipt) in &block.receipts {
            self.receipt(&block.header, *nonce, receipt);
        }
        self.foreign_transfers(&block);
        self.slots(id, &block);
        self.count_range(id);
        let number = block.header.block.number;
        if self.out.records.len() > n_records || number.is_multiple_of(CURSOR_EVERY_BLOCKS) {
            self.out.records.push(Record::Cursor(block.header.block));
        }
    }

    fn pool_logs(&mut self, block: &Block) {
        let now = self.now;
        let mut broken = Vec::new();
        let BlockRef { chain: id, number, .. } = block.header.block;
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let mut undo = UndoBlock { number, pools: BTreeMap::new() };
        for (address, event) in &block.pool_logs {
            let Some(state) = chain.pools.get_mut(address) else { continue };
            if !state.standing.follows_logs() {
                continue;
            }
            state.n_events += 1;
            chain.n_pool_events += 1;
            let past = undo.pools.entry(*address).or_default();
            match state.pool.apply(event) {
                Ok(log) => past.logs.push(log),
                Err(why) => {
                    past.logs.push(PoolUndo::Misfit);
                    let why = format!("a log of block {number} does not fit: {why}");
                    let broken_now = Standing::broken(&why, number);
                    past.standing = Some(std::mem::replace(&mut state.standing, broken_now));
                    broken.push((*address, why));
                }
            }
            state.look_back_on(event, block.header.block.number, now);
        }
        chain.remember(undo);
        for pool in self.setup.provided(id) {
            if let Some(state) = chain.pools.get_mut(&pool)
                && let Some([growth0, growth1]) = state.pool.fee_growth_global()
            {
                state.fee_samples.push_back((now, growth0, growth1));
                while state.fee_samples.front().is_some_and(|s| now.ms_since(s.0) > FEE_WINDOW_MS) {
                    state.fee_samples.pop_front();
                }
            }
        }
        for (pool, why) in broken {
            self.distrust(id, pool, why);
        }
    }

    pub(super) fn pool_audit(
        &mut self,
        chain: u64,
        address: PoolAddress,
        block: BlockRef,
        observed: &Observed,
    ) {
        let Some(state) = self.chains.get_mut(&chain) else { return };
        let is_current = state.head.is_some_and(|head| head.block == block);
        let Some(pool) = state.pools.get_mut(&address) else { return };
        if !is_current || !pool.standing.follows_logs() {
            return;
        }
        let Some(differences) = pool.pool.audit(observed) else {
            return self.halt(format!("pool {address} answered as another kind of pool"));
        };
        pool.audited = Some(block.number);
        pool.n_audits += 1;
        if let Some(why) = admission::told(&differences, block.number) {
            self.distrust(chain, address, why);
        }
    }

    fn place(&self, header: &Header) -> Option<ChainPlace> {
        let setup = &self.chains.get(&header.block.chain)?.setup;
        Some(ChainPlace {
            on: OnBlock {
                chain: header.block.chain,
                number: header.block.number,
                hash: header.block.hash,
            },
            at: self.now,
            signer: setup.signer,
            position_manager: setup.position_manager,
        })
    }

    fn receipt(&mut self, header: &Header, nonce: u64, receipt: &Receipt) {
        let id = header.block.chain;
        let Some(place) = self.place(header) else { return };
        let Some(tx) = self.chains.get(&id).and_then(|chain| chain.txs.get(&nonce)) else {
            return self.halt(format!("a receipt came for nonce {nonce}, which is not ours"));
        };
        let (pool, range, strategy) = (tx.pool, tx.range, tx.strategy.clone());
        let (is_cycle, is_swap) = (tx.purpose == CYCLE, tx.purpose == SWAP);
        let has_leg = self.opportunity(tx.intent).is_some_and(|seen| seen.leg.is_some());
        if !matches!(tx.state, TxState::Signed | TxState::Broadcast) {
            return;
        }
        let tokens = pool.and_then(|pool| {
            let setup = self.chains.get(&pool.chain)?.setup.pool(pool.address)?;
            Some(PoolTokens { token0: setup.token0, token1: setup.token1 })
        });
        let purpose = match tokens {
            Some(_) if is_swap && has_leg => Purpose::CexDex,
            Some(tokens) => Purpose::Pool(tokens),
            None if is_cycle => Purpose::Cycle,
            None => Purpose::Other,
        };
        match booking::receipt(&place, receipt, purpose, &self.ledger) {
            Ok(entries) => {
                for entry in entries {
                    self.book_entry::<booking::BookingError>(Ok(Some(entry)));
                }
            }
            Err(error) => {
                return self.halt(format!("receipt {} cannot be booked: {error}", receipt.hash));
            }
        }
        self.mined(header, nonce, receipt);
        if let Some(pool) = pool {
            self.change_positions(pool, range, &strategy, receipt);
        }
        if is_cycle || is_swap {
            self.opportunity_mined(id, nonce, receipt);
        }
        self.decisions += 1;
    }

    fn mined(&mut self, header: &Header, nonce: u64, receipt: &Receipt) {
        let (id, now) = (header.block.chain, self.now);
        let cost = receipt.cost().unwrap_or(U256::MAX);
        let tx = self.chains.get(&id).and_then(|chain| chain.txs.get(&nonce));
        let is_contest = tx.is_some_and(|tx| {
            (tx.purpose == CYCLE || tx.purpose == SWAP) && self.opportunity(tx.intent).is_some()
        });
        self.day_gas = self.day_gas.saturating_add(cost);
        let Some(chain) = self.chains.get_mut(&id) else { return };
        chain.gas_spent = chain.gas_spent.saturating_add(cost);
        let Some(tx) = chain.txs.get_mut(&nonce) else { return };
        let event = if receipt.is_success { TxEvent::Included } else { TxEvent::Reverted };
        match tx.state.next(event) {
            Ok(state) => tx.state = state,
            Err(error) => return self.halt(format!("nonce {nonce}: {error}")),
        }
        tx.block = Some(header.block.number);
        tx.gas_used = Some(receipt.gas_used);
        tx.cost = Some(cost);
        let state = tx.state;
        // Somebody took the gap first: the world is as it was, nothing else has to wait.
        if state == TxState::Reverted && !is_contest {
            chain.retry_at = now.plus_ms(RETRY_AFTER_MS);
        }
        let spender = match tx.purpose.as_str() {
            SWAP => Some(Spender::SwapRouter),
            "mint" => Some(Spender::PositionManager),
            _ => None,
        };
        for transfer in receipt.transfers.iter().filter(|t| t.from == chain.setup.signer) {
            if let Some(left) =
                spender.and_then(|by| chain.allowances.get_mut(&(transfer.token, by)))
            {
                *left = left.saturating_sub(transfer.amount);
            }
        }
        let mined = Mined {
            number: header.block.number,
            block_hash: header.block.hash,
            gas_used: receipt.gas_used,
            cost,
        };
        self.out.records.push(Record::TxState { chain: id, nonce, state, mined: Some(mined) });
    }

    fn change_positions(
        &mut self,
        pool: PoolId,
        range: Option<(i32, i32)>,
        strategy: &str,
        receipt: &Receipt,
    ) {
        let gas = receipt.cost().unwrap_or(U256::MAX);
        let price = self.price_in(pool);
        for log in &receipt.nft_logs {
            match log {
                NftLog::Increased { token_id, liquidity, amount0, amount1 } => {
                    let Some((tick_lower, tick_upper)) = range else { continue };
                    let position = Position {
                        pool,
                        token_id: *token_id,
                        strategy: strategy.to_owned(),
                        tick_lower,
                        tick_upper,
                        liquidity: *liquidity,
                        amount0: *amount0,
                        amount1: *amount1,
                        inside: None,
                        opened: self.now,
                        closed: None,
                        collected0: U256::ZERO,
                        collected1: U256::ZERO,
                        fees0: U256::ZERO,
                        fees1: U256::ZERO,
                        gas,
                        blocks_in_range: 0,
                        blocks_total: 0,
                        closed_price: None,
                    };
                    self.positions.insert((pool.chain, *token_id), position);
                }
                NftLog::Decreased { token_id, amount0, amount1, .. } => {
                    if let Some(position) = self.positions.get_mut(&(pool.chain, *token_id)) {
                        // Principal first; collecting right after adds what is above it as fees.
                        position.liquidity = 0;
                        position.closed = Some(self.now);
                        position.closed_price = price;
                        position.collected0 = *amount0;
                        position.collected1 = *amount1;
                        position.gas = position.gas.saturating_add(gas);
                        self.rebalances += 1;
                        if let Some(owner) = self.strategy_mut(strategy) {
                            owner.moves_today += 1;
                        }
                    }
                }
                NftLog::Collected { token_id, amount0, amount1 } => {
                    if let Some(position) = self.positions.get_mut(&(pool.chain, *token_id)) {
                        position.fees0 = amount0.saturating_sub(position.collected0);
                        position.fees1 = amount1.saturating_sub(position.collected1);
                        position.collected0 = *amount0;
                        position.collected1 = *amount1;
                    }
                }
            }
        }
        let ids: Vec<U256> = receipt.nft_logs.iter().map(NftLog::token_id).collect();
        for id in ids {
            if let Some(position) = self.positions.get(&(pool.chain, id)) {
                self.out.records.push(Record::Position(position.clone()));
            }
        }
    }

    fn foreign_transfers(&mut self, block: &Block) {
        let Some(place) = self.place(&block.header) else { return };
        for transfer in &block.foreign_transfers {
            let entry = booking::external_transfer(&place, transfer);
            self.book_entry(entry);
        }
    }

    fn count_range(&mut self, chain: u64) {
        let Some(state) = self.chains.get(&chain) else { return };
        for position in self.positions.values_mut().filter(|p| p.closed.is_none()) {
            let Some(pool) = state.pools.get(&position.pool.address) else { continue };
            if let Pool::V3(pool) = &pool.pool
                && position.pool.chain == chain
            {
                position.blocks_total += 1;
                let tick = pool.tick();
                if position.tick_lower <= tick && tick < position.tick_upper {
                    position.blocks_in_range += 1;
                }
            }
        }
    }
}

impl Pool {
    /// Follows what a block tells of it, and answers what takes it back.
    ///
    /// # Errors
    /// Why it does not follow from the state before; the pool is not to be believed any more, until
    /// [`PoolUndo::Misfit`] takes it back.
    pub fn apply(&mut self, event: &PoolEvent) -> Result<PoolUndo, String> {
        match (self, event) {
            (Self::V3(pool), PoolEvent::V3(event)) => {
                pool.apply(event).map(PoolUndo::V3).map_err(|e| e.to_string())
            }
            (Self::V4(pool), PoolEvent::V4(event)) => {
                pool.apply(event).map(PoolUndo::V4).map_err(|e| e.to_string())
            }
            (Self::V2(pool), PoolEvent::V2(event)) => {
                pool.apply(event).map(PoolUndo::V2).map_err(|e| e.to_string())
            }
            (Self::V3(pool), PoolEvent::Watched(range)) => Ok(PoolUndo::V3(pool.watch(*range))),
            (Self::V3(pool), PoolEvent::Unwatched { lower, upper }) => {
                Ok(PoolUndo::V3(pool.unwatch(*lower, *upper)))
            }
            (_, PoolEvent::Broken(why)) => Err(why.clone()),
            _ => Err("a log of another kind of pool".into()),
        }
    }

    /// Takes back the newest log that is not taken back yet.
    ///
    /// # Errors
    /// Another kind of pool followed it; nothing is changed.
    pub fn undo(&mut self, log: PoolUndo) -> Result<(), String> {
        match (self, log) {
            (Self::V3(pool), PoolUndo::V3(log)) => pool.undo(log),
            (Self::V4(pool), PoolUndo::V4(log)) => pool.undo(log),
            (Self::V2(pool), PoolUndo::V2(log)) => pool.undo(log),
            (Self::V3(pool), PoolUndo::Misfit) => pool.undo_misfit(),
            (Self::V4(pool), PoolUndo::Misfit) => pool.undo_misfit(),
            (Self::V2(pool), PoolUndo::Misfit) => pool.undo_misfit(),
            _ => return Err("a log of another kind of pool cannot be taken back".into()),
        }
        Ok(())
    }
}
