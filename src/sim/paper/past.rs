//! Pretend wallets rebuilt from what the store remembers: nothing else of them is kept.

use std::collections::{BTreeMap, VecDeque};

use alloy::primitives::U256;

use crate::engine::event::{Position, Recovered};
use crate::engine::setup::ChainSetup;
use crate::execution::tx::{Tx, TxState};
use crate::ledger::entry::{Entry, Posting};
use crate::model::unit::{Account, Unit};
use crate::sim::paper::chain::{Slot, Undo};
use crate::sim::paper::wallet::{Nft, Wallet, before};

/// Whether the ledger knows a wallet on the chain.
pub(super) fn has_wallet(setup: &ChainSetup, recovered: &Recovered) -> bool {
    let of_chain = |place: &Account| match place {
        Account::Wallet { chain, .. } => *chain == setup.chain,
        _ => false,
    };
    recovered.ledger.balances.keys().any(|(place, _)| of_chain(place))
}

/// Balances by the ledger, positions by their rows. What contracts may take is not known any more,
/// nor what was taken out of pools.
pub(super) fn wallet(setup: &ChainSetup, recovered: &Recovered) -> Wallet {
    let (chain, signer) = (setup.chain, setup.signer);
    let place = Account::Wallet { chain, signer };
    let held = |unit: Unit| {
        let sum = recovered.ledger.balances.get(&(place.clone(), unit));
        sum.and_then(|sum| U256::try_from(*sum).ok()).unwrap_or_default()
    };
    let token = |address| (address, held(Unit::Erc20 { chain, token: address }));
    let open = positions(setup, recovered).filter(|position| position.closed.is_none());
    Wallet {
        native: held(Unit::Native { chain }),
        tokens: setup.tokens.iter().map(|t| token(t.address)).collect(),
        positions: open.map(|p| (p.token_id, nft(p, p.liquidity))).collect(),
        ..Wallet::default()
    }
}

fn positions<'r>(
    setup: &ChainSetup,
    recovered: &'r Recovered,
) -> impl Iterator<Item = &'r Position> {
    let chain = setup.chain;
    recovered.positions.iter().filter(move |position| position.pool.chain == chain)
}

fn nft(position: &Position, liquidity: u128) -> Nft {
    let (inside0, inside1) = position.inside.unwrap_or_default();
    Nft {
        pool: position.pool.address,
        lower: position.tick_lower,
        upper: position.tick_upper,
        liquidity,
        inside: [inside0, inside1],
    }
}

/// The wallet before each block whose entries may still be taken back, oldest first.
pub(super) fn history(
    setup: &ChainSetup,
    wallet: &Wallet,
    recovered: &Recovered,
) -> VecDeque<Undo> {
    let mut blocks: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
    for entry in &recovered.provisional {
        if let Some(on) = entry.block.filter(|on| on.chain == setup.chain) {
            blocks.entry(on.number).or_default().push(entry);
        }
    }
    let (mut wallet, mut undo) = (wallet.clone(), VecDeque::new());
    for (number, entries) in blocks.into_iter().rev() {
        for posting in entries.iter().rev().flat_map(|entry| &entry.postings) {
            take_back(setup, &mut wallet, posting, recovered);
        }
        undo.push_front(Undo::new(number, wallet.clone()));
    }
    undo
}

fn take_back(setup: &ChainSetup, wallet: &mut Wallet, posting: &Posting, recovered: &Recovered) {
    let (chain, signer) = (setup.chain, setup.signer);
    match (&posting.account, &posting.unit) {
        (place, Unit::Native { .. }) if *place == (Account::Wallet { chain, signer }) => {
            wallet.native = before(wallet.native, posting.amount);
        }
        (place, Unit::Erc20 { token, .. }) if *place == (Account::Wallet { chain, signer }) => {
            let held = before(wallet.held(*token), posting.amount);
            wallet.tokens.insert(*token, held);
        }
        (Account::Position { token_id, .. }, Unit::V3Liquidity { .. }) => {
            let known = positions(setup, recovered).find(|p| p.token_id == *token_id);
            if posting.amount.is_positive() {
                wallet.positions.remove(token_id);
            } else if let Some(position) = known {
                let liquidity = posting.amount.unsigned_abs().saturating_to();
                wallet.positions.insert(*token_id, nft(position, liquidity));
            }
        }
        _ => {}
    }
}

/// Slots that were not mined, or whose block may still be taken back, and the next free one.
pub(super) fn slots(setup: &ChainSetup, recovered: &Recovered) -> (BTreeMap<u64, Slot>, u64) {
    let of_chain = recovered.txs.iter().filter(|(chain, _)| *chain == setup.chain);
    let slot = |(_, tx): &(u64, Tx)| {
        let mined = match tx.state {
            TxState::Signed | TxState::Broadcast => None,
            TxState::Included | TxState::Reverted => Some(tx.block?),
            TxState::Final | TxState::Foreign => return None,
        };
        let hash = tx.hash?;
        Some((tx.nonce, Slot { hash, request: None, sent: None, mined }))
    };
    let highest = recovered.highest_nonce.iter().find(|(chain, _)| *chain == setup.chain);
    let next = highest.map_or(0, |(_, nonce)| nonce.saturating_add(1));
    (of_chain.filter_map(slot).collect(), next)
}
