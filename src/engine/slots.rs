//! Nonce slots: from a gas estimate to a signed request, resending, finality, foreign use.

use alloy::primitives::{B256, U256};
use serde_json::json;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::act::is_trade;
use crate::engine::event::Block;
use crate::engine::on_chain::RETRY_AFTER_MS;
use crate::engine::output::{Command, Record};
use crate::engine::state::{Pending, TXS_KEPT};
use crate::execution::tx::{Act, TxEvent, TxRequest, TxState};
use crate::model::chain::PoolAddress;
use crate::model::opportunity::Fate;

/// A slot not mined after so many blocks, and so long, is sent again, byte for byte.
const RESEND_AFTER_BLOCKS: u64 = 3;
const RESEND_AFTER_MS: u64 = 3_000;
/// Longest a want may wait for its gas estimate before it is dropped and decided anew.
const ESTIMATE_WAIT_MAX_MS: i64 = 15_000;

impl Engine {
    /// Finality, resending, and whether somebody else used our key.
    pub(super) fn slots(&mut self, id: u64, block: &Block) {
        let head = block.header.block.number;
        let (now, may_send, sends) = (self.now, self.may_send(), self.setup.sends);
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let final_after = chain.setup.final_after_blocks;
        let resend_after = chain.setup.blocks_in(RESEND_AFTER_MS, RESEND_AFTER_BLOCKS);
        let mut records = Vec::new();
        let mut foreign = None;
        for tx in chain.txs.values_mut() {
            let event = match tx.state {
                TxState::Signed | TxState::Broadcast
                    if block.signer_nonce.is_some_and(|nonce| nonce > tx.nonce) =>
                {
                    TxEvent::NonceTaken
                }
                TxState::Included | TxState::Reverted
                    if tx.block.is_some_and(|mined| head >= mined.saturating_add(final_after)) =>
                {
                    TxEvent::Deep
                }
                // What never left and is not an exit does not leave during a halt, nor in a mode
                // that does not send.
                TxState::Signed if !may_send && tx.purpose != "withdraw" => continue,
                TxState::Signed | TxState::Broadcast if !sends => continue,
                TxState::Signed | TxState::Broadcast
                    if head >= tx.sent_at_block.saturating_add(resend_after) =>
                {
                    tx.sent_at_block = head;
                    self.out.commands.push(Command::Resend { chain: id, nonce: tx.nonce });
                    continue;
                }
                _ => continue,
            };
            if let Ok(state) = tx.state.next(event) {
                tx.state = state;
                records.push(Record::TxState { chain: id, nonce: tx.nonce, state, mined: None });
                if state == TxState::Foreign {
                    foreign = Some(tx.nonce);
                }
            }
        }
        if let Some(nonce) = block.signer_nonce
            && nonce > chain.next_nonce
            && chain.is_ready
        {
            foreign = Some(nonce - 1);
            chain.next_nonce = nonce;
        }
        let is_late = |p: &mut Pending| now.ms_since(p.since) > ESTIMATE_WAIT_MAX_MS;
        let late = chain.pending.take_if(is_late);
        while chain.txs.len() > TXS_KEPT {
            let first = chain.txs.first_key_value().map(|(nonce, tx)| (*nonce, tx.state));
            match first {
                Some((nonce, TxState::Final)) => chain.txs.remove(&nonce),
                _ => break,
            };
        }
        self.out.records.extend(records);
        if let Some(late) = late {
            let why = "the chain did not tell its gas".to_owned();
            self.withhold(id, &late, Withheld { kind: "estimate_refused", why, is_to_rest: false });
        }
        if let Some(nonce) = foreign {
            self.halt_for_foreign_nonce(id, nonce);
        }
    }

    pub(super) fn sent(&mut self, chain: u64, nonce: u64, hash: B256) {
        let Some(state) = self.chains.get_mut(&chain) else { return };
        let head = state.head.map_or(0, |head| head.block.number);
        let Some(tx) = state.txs.get_mut(&nonce) else { return };
        tx.hash = Some(hash);
        tx.sent_at_block = head;
        if tx.state == TxState::Signed {
            tx.state = TxState::Broadcast;
            let state = tx.state;
            self.out.records.push(Record::TxState { chain, nonce, state, mined: None });
        }
    }

    /// The chain told what an act would use, or why it would fail.
    pub(super) fn estimated(&mut self, id: u64, intent: Uuid, gas: Result<u64, String>) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let Some(pending) = chain.pending.take_if(|pending| pending.intent == intent) else {
            return;
        };
        let request = gas
            .map_err(|why| Withheld { kind: "estimate_refused", why, is_to_rest: true })
            .and_then(|gas| self.request(id, &pending, gas));
        match request {
            Ok(request) => self.submit(request, intent, pending.strategy),
            Err(withheld) => self.withhold(id, &pending, withheld),
        }
    }

    /// The request of an act that may still leave: the world may have changed while gas was asked
    /// for, so a halt, a stall, a market that is not live any more, dear gas and an empty tank stop
    /// here as well.
    fn request(&mut self, id: u64, pending: &Pending, gas: u64) -> Result<TxRequest, Withheld> {
        let refused = |why: String| Withheld { kind: "estimate_refused", why, is_to_rest: false };
        let is_exit = matches!(pending.act, Act::Close { .. });
        if !self.can_send() && !is_exit {
            return Err(refused(format!("mode is {}", self.mode.as_str())));
        }
        if is_trade(&pending.act) && self.opportunity(pending.intent).is_some() {
            self.still_pays(pending.intent, gas).map_err(refused)?;
        }
        let chain = self.chains.get(&id).ok_or_else(|| refused("unknown chain".into()))?;
        let usable =
            |pool: &PoolAddress| chain.pool_usable(*pool, |odd| odd.hinders_act(&pending.act));
        chain
            .live(self.now)
            .and_then(|()| pending.pools.iter().try_for_each(usable))
            .map_err(refused)?;
        let head = chain.head.ok_or_else(|| refused("no head".into()))?;
        if head.base_fee.saturating_add(chain.setup.max_priority_fee) > chain.setup.max_fee {
            // Signed now, it could not be mined and would hold the lane against every exit.
            let why = format!("base fee is {} wei", head.base_fee);
            return Err(Withheld { kind: "gas_too_dear", why, is_to_rest: true });
        }
        let fee = head.base_fee.saturating_mul(2).saturating_add(chain.setup.max_priority_fee);
        let request = TxRequest {
            chain: id,
            nonce: chain.next_nonce,
            act: pending.act.clone(),
            gas_limit: gas.saturating_mul(13) / 10 + 50_000,
            max_fee: fee.min(chain.setup.max_fee),
            max_priority_fee: chain.setup.max_priority_fee.min(fee),
        };
        let most = U256::from(request.gas_limit).saturating_mul(U256::from(request.max_fee));
        let left = self.native(id).unwrap_or_default().saturating_sub(most);
        if !is_exit && left < chain.setup.exit_reserve {
            let why = format!("it could leave {left} wei, less than what exits need");
            return Err(Withheld { kind: "fuel_reserved", why, is_to_rest: true });
        }
        Ok(request)
    }

    /// Lets an act go that was not signed. An opportunity that is gone makes nobody wait.
    fn withhold(&mut self, id: u64, pending: &Pending, withheld: Withheld) {
        let Withheld { kind, why, is_to_rest } = withheld;
        if is_trade(&pending.act) && self.opportunity(pending.intent).is_some() {
            let why = format!("gone before it was signed: {why}");
            return self.turn_opportunity(pending.intent, Fate::Lost, Some(why));
        }
        if is_to_rest && let Some(chain) = self.chains.get_mut(&id) {
            chain.retry_at = self.now.plus_ms(RETRY_AFTER_MS);
        }
        self.note(kind, json!({ "act": pending.act.as_str(), "why": why }));
    }
}

/// Why an act was not signed.
struct Withheld {
    kind: &'static str,
    why: String,
    /// The chain's other acts wait a moment as well.
    is_to_rest: bool,
}
