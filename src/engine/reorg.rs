//! A chain took blocks back: everything that stood on them is undone, nothing is deleted.
//!
//! Pools go back to what they were, entries are reversed by entries, positions and slots follow
//! from the reversed entries, and the stored bytes of our transactions are sent again. What our
//! hedge did on a venue is not undone: it follows the delta that remains.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, U256};
use serde_json::json;

use crate::engine::Engine;
use crate::engine::act::is_trade;
use crate::engine::admission::Standing;
use crate::engine::output::{Command, Record};
use crate::engine::state::{ChainState, Pending};
use crate::execution::tx::TxEvent;
use crate::ledger::entry::{Entry, Kind};
use crate::market::pools::{v2, v3, v4};
use crate::model::chain::{Header, PoolAddress};
use crate::model::opportunity::Fate;
use crate::model::unit::{Account, Unit};

/// What takes back one log of a pool.
#[derive(Debug)]
pub enum PoolUndo {
    /// Uniswap V3.
    V3(v3::Undo),
    /// Uniswap V4.
    V4(v4::Undo),
    /// Uniswap V2.
    V2(v2::Undo),
    /// The log did not fit, and changed nothing else.
    Misfit,
}

/// What takes a block's logs back.
#[derive(Debug)]
pub struct UndoBlock {
    /// Height.
    pub number: u64,
    /// Pools whose logs the block had.
    pub pools: BTreeMap<PoolAddress, PoolPast>,
}

/// What a pool was before a block.
#[derive(Debug, Default)]
pub struct PoolPast {
    /// How it stood before a log that did not fit.
    pub standing: Option<Standing>,
    /// What takes the block's logs back, in their order.
    pub logs: Vec<PoolUndo>,
}

impl Engine {
    /// The chain's newest common block is `to`; what we handled above it is gone.
    pub(super) fn reorganised(&mut self, to: Header) {
        let id = to.block.chain;
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let from = chain.head.map_or(to.block.number, |head| head.block.number);
        let Restored { contradicted, waiting } = restore_pools(chain, to.block.number);
        chain.forget_logs_above(to.block.number);
        chain.head = Some(to);
        chain.head_at = Some(self.now);
        // What contracts may take now is not known: it is set to zero first, as for a stranger.
        chain.allowances.clear();
        self.drop_pending(id, "the chain took back the block it was found in", |_| true);
        let n_reversed = self.reverse_entries(id, to.block.number);
        let n_resent = self.return_slots(id, to.block.number);
        self.readings_taken_back(id, to.block.number);
        for (address, why) in contradicted {
            self.distrust(id, address, why);
        }
        // Its second reading may have come while it did not follow its logs.
        let reloads = waiting.into_iter().map(|pool| Command::ReloadPool { chain: id, pool });
        self.out.commands.extend(reloads);
        // Until wallet and ledger were compared on the new blocks, nothing is traded.
        self.reconciled.remove(&format!("chain {id}"));
        self.out.records.push(Record::Cursor(to.block));
        self.note(
            "reorganised",
            json!({ "chain": id, "to": to.block.number, "from": from,
                    "entries_reversed": n_reversed, "transactions_returned": n_resent }),
        );
    }

    /// Drops the want that waits for its gas, where it rests on what is not true any more.
    pub(super) fn drop_pending(&mut self, id: u64, why: &str, rests: impl Fn(&Pending) -> bool) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let gone = chain.pending.take_if(|pending| rests(pending));
        if let Some(gone) = gone.filter(|gone| is_trade(&gone.act)) {
            self.turn_opportunity(gone.intent, Fate::Lost, Some(why.to_owned()));
        }
    }

    /// Reverses the entries of removed blocks, newest first, and what they did to positions.
    fn reverse_entries(&mut self, id: u64, to: u64) -> usize {
        let Some(chain) = self.chains.get_mut(&id) else { return 0 };
        let removed = chain.provisional.split_off(&to.saturating_add(1));
        let mut entries: Vec<Entry> = removed.into_values().flatten().collect();
        entries.reverse();
        let mut touched = BTreeSet::new();
        for entry in &entries {
            let reversal = entry.reversed(self.now);
            self.book_entry::<crate::ledger::entry::Unbalanced>(Ok(Some(reversal)));
            touched.extend(self.undo_position(id, entry));
        }
        for token_id in touched {
            let record = match self.positions.get(&(id, token_id)) {
                Some(position) => Record::Position(position.clone()),
                None => Record::PositionGone { chain: id, token_id },
            };
            self.out.records.push(record);
        }
        entries.len()
    }

    /// A removed mint removes its position, a removed burn opens it again.
    fn undo_position(&mut self, id: u64, entry: &Entry) -> Option<U256> {
        let liquidity = entry.postings.iter().find_map(|posting| match posting {
            p if matches!(p.unit, Unit::V3Liquidity { .. }) => match p.account {
                Account::Position { token_id, .. } => Some((token_id, p.amount)),
                _ => None,
            },
            _ => None,
        });
        let (token_id, amount) = liquidity?;
        if entry.kind == Kind::Mint {
            self.positions.remove(&(id, token_id));
            return Some(token_id);
        }
        let closing_gas = self.cost_of(id, &entry.cause);
        let position = self.positions.get_mut(&(id, token_id))?;
        position.gas = position.gas.saturating_sub(closing_gas);
        position.liquidity = amount.unsigned_abs().saturating_to();
        (position.closed, position.closed_price) = (None, None);
        (position.collected0, position.collected1) = (U256::ZERO, U256::ZERO);
        (position.fees0, position.fees1) = (U256::ZERO, U256::ZERO);
        let strategy = position.strategy.clone();
        self.rebalances = self.rebalances.saturating_sub(1);
        if let Some(owner) = self.strategy_mut(&strategy) {
            owner.moves_today = owner.moves_today.saturating_sub(1);
        }
        Some(token_id)
    }

    /// Wei paid by the transaction that an entry's cause begins with.
    fn cost_of(&self, id: u64, cause: &str) -> U256 {
        let hash: Option<B256> = cause.split('/').next().and_then(|hash| hash.parse().ok());
        let txs = self.chains.get(&id).into_iter().flat_map(|chain| chain.txs.values());
        let tx = txs.into_iter().find(|tx| hash.is_some() && tx.hash == hash);
        tx.and_then(|tx| tx.cost).unwrap_or(U256::ZERO)
    }

    /// Slots mined in removed blocks wait again; their own bytes are sent once more.
    fn return_slots(&mut self, id: u64, to: u64) -> usize {
        let Some(chain) = self.chains.get_mut(&id) else { return 0 };
        let (mut returned, mut broken, mut gas) = (Vec::new(), None, U256::ZERO);
        for tx in chain.txs.values_mut().filter(|tx| tx.block.is_some_and(|block| block > to)) {
            match tx.state.next(TxEvent::Removed) {
                Ok(state) => tx.state = state,
                Err(error) => broken = Some(format!("nonce {}: {error}", tx.nonce)),
            }
            gas = gas.saturating_add(tx.cost.unwrap_or(U256::ZERO));
            (tx.block, tx.gas_used, tx.cost) = (None, None, None);
            tx.sent_at_block = to;
            returned.push((tx.nonce, tx.intent));
        }
        chain.gas_spent = chain.gas_spent.saturating_sub(gas);
        self.day_gas = self.day_gas.saturating_sub(gas);
        for (nonce, intent) in &returned {
            self.out.records.push(Record::TxReturned { chain: id, nonce: *nonce });
            if self.setup.sends {
                self.out.commands.push(Command::Resend { chain: id, nonce: *nonce });
            }
            self.unland_opportunity(*intent);
        }
        if let Some(why) = broken {
            self.halt(format!("chain {id} took back a final transaction, {why}"));
        }
        returned.len()
    }

    /// The chain is another one than we followed, deeper than can be undone.
    pub(super) fn reorganised_too_deep(&mut self, id: u64, number: u64, seen: B256, now: B256) {
        self.halt(format!(
            "chain {id} replaced block {number} ({seen}) by {now}, deeper than its reorg window: \
             check the positions by hand"
        ));
    }
}

/// Pools that are not what they were before the removed blocks, or must be asked about.
#[derive(Default)]
struct Restored {
    /// Of which a log cannot be taken back, with why.
    contradicted: Vec<(PoolAddress, String)>,
    /// That wait for a second reading again.
    waiting: Vec<PoolAddress>,
}

/// Pools as they were before the removed blocks.
fn restore_pools(chain: &mut ChainState, to: u64) -> Restored {
    let mut restored = Restored::default();
    while chain.undo.back().is_some_and(|undo| undo.number > to) {
        let Some(undo) = chain.undo.pop_back() else { break };
        for (address, past) in undo.pools {
            if let Some(state) = chain.pools.get_mut(&address) {
                let undone = past.logs.into_iter().rev().try_for_each(|log| state.pool.undo(log));
                // The log that did not fit is gone. What a reading contradicted stays quarantined.
                if let Some(standing) = past.standing {
                    restored.waiting.extend((!standing.is_live()).then_some(address));
                    state.standing = standing;
                }
                restored.contradicted.extend(undone.err().map(|why| (address, why)));
                // Growth that goes back would read as a vast sum of fees.
                state.fee_samples.clear();
            }
        }
    }
    restored
}
