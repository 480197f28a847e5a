//! One act of the ledger: postings that sum to zero in every unit.

use std::collections::BTreeMap;

use alloy::primitives::{B256, I256};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::model::time::Timestamp;
use crate::model::unit::{Account, Reason, Unit};

/// Namespace of entry ids, so that the same cause always makes the same id (`UUIDv5`).
const ENTRY_NAMESPACE: Uuid = Uuid::from_u128(0x7469_6465_6b65_6570_6572_2065_6e74_7279);

/// One line: this account gains (or loses) so many steps of this unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Where.
    pub account: Account,
    /// Of what.
    pub unit: Unit,
    /// Signed, in the unit's smallest step; positive is more in the account.
    pub amount: I256,
}

/// Why an entry exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// What we held when the ledger began.
    Opening,
    /// Gas of one transaction.
    Gas,
    /// Liquidity bought with tokens.
    Mint,
    /// Liquidity turned back into tokens owed.
    Burn,
    /// Tokens owed and fees taken out.
    Collect,
    /// One token turned into another.
    Swap,
    /// Profit of a cycle of pools.
    Cycle,
    /// A trade on a venue.
    Fill,
    /// Perpetual funding.
    Funding,
    /// Somebody sent us something.
    Deposit,
    /// Something left by another hand than our strategies.
    Withdrawal,
    /// Takes back an entry whose block the chain replaced.
    Reversal,
}

const KINDS: [(Kind, &str); 12] = [
    (Kind::Opening, "opening"),
    (Kind::Gas, "gas"),
    (Kind::Mint, "mint"),
    (Kind::Burn, "burn"),
    (Kind::Collect, "collect"),
    (Kind::Swap, "swap"),
    (Kind::Cycle, "cycle"),
    (Kind::Fill, "fill"),
    (Kind::Funding, "funding"),
    (Kind::Deposit, "deposit"),
    (Kind::Withdrawal, "withdrawal"),
    (Kind::Reversal, "reversal"),
];

impl Kind {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        let named = KINDS.iter().find(|(kind, _)| *kind == self);
        named.expect("every kind stands in KINDS").1
    }

    /// The kind of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        KINDS.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }
}

/// The block a provisional entry stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBlock {
    /// Chain id.
    pub chain: u64,
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
}

/// A balanced act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `UUIDv5` of kind and cause: booking the same fact twice is impossible.
    pub id: Uuid,
    /// When we learned it.
    pub at: Timestamp,
    /// Why.
    pub kind: Kind,
    /// The outside fact, unique per kind: transaction hash, trade id, income id.
    pub cause: String,
    /// The block it stands on, for facts of a chain.
    pub block: Option<OnBlock>,
    /// Lines.
    pub postings: Vec<Posting>,
}

/// Between a fact's own name and how often it became true.
const GENERATION: char = '#';

impl Entry {
    /// The entry that takes this one back, on the block it stood on.
    pub fn reversed(&self, at: Timestamp) -> Self {
        let opposite = |p: &Posting| Posting { amount: p.amount.wrapping_neg(), ..p.clone() };
        let cause = self.id.to_string();
        Self {
            id: id_of(Kind::Reversal, &cause),
            at,
            kind: Kind::Reversal,
            cause,
            block: self.block,
            postings: self.postings.iter().map(opposite).collect(),
        }
    }

    /// The id of the entry this one takes back.
    pub fn reverses(&self) -> Option<Uuid> {
        if self.kind == Kind::Reversal { self.cause.parse().ok() } else { None }
    }

    /// The same fact, true once more after it was taken back: `n` counts from 2.
    pub(super) fn generation(mut self, n: u32) -> Self {
        let fact = self.cause.split(GENERATION).next().unwrap_or_default();
        self.cause = format!("{fact}{GENERATION}{n}");
        self.id = id_of(self.kind, &self.cause);
        self
    }
}

pub(super) fn id_of(kind: Kind, cause: &str) -> Uuid {
    Uuid::new_v5(&ENTRY_NAMESPACE, format!("{}/{cause}", kind.as_str()).as_bytes())
}

/// Postings that do not sum to zero: a bug of ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("entry {kind} {cause} is off by {by} in {unit}")]
pub struct Unbalanced {
    kind: &'static str,
    cause: String,
    unit: Unit,
    by: I256,
}

/// Collects the lines of one entry; every move names both ends, so that it balances by shape.
#[derive(Debug)]
pub struct Draft {
    kind: Kind,
    cause: String,
    at: Timestamp,
    block: Option<OnBlock>,
    postings: Vec<Posting>,
}

impl Draft {
    /// Starts an entry for one outside fact.
    pub fn new(kind: Kind, cause: impl Into<String>, at: Timestamp) -> Self {
        Self { kind, cause: cause.into(), at, block: None, postings: Vec::new() }
    }

    /// The block the fact stands on.
    pub fn on(mut self, block: OnBlock) -> Self {
        self.block = Some(block);
        self
    }

    /// `place` gains `amount` (loses when negative), explained by `reason`. Zero moves are left
    /// out.
    pub fn moved(self, place: &Account, unit: &Unit, amount: I256, reason: Reason) -> Self {
        self.between(place, &Account::Reason(reason), unit, amount)
    }

    /// `to` gains what `from` loses.
    pub fn between(mut self, to: &Account, from: &Account, unit: &Unit, amount: I256) -> Self {
        if !amount.is_zero() {
            let opposite = amount.wrapping_neg();
            self.push(to, unit, amount);
            self.push(from, unit, opposite);
        }
        self
    }

    fn push(&mut self, account: &Account, unit: &Unit, amount: I256) {
        self.postings.push(Posting { account: account.clone(), unit: unit.clone(), amount });
    }

    /// The entry, or `None` when nothing moved.
    ///
    /// # Errors
    /// `Unbalanced` when a unit does not sum to zero (only possible at the edge of 256 bits).
    pub fn entry(self) -> Result<Option<Entry>, Unbalanced> {
        let mut sums: BTreeMap<&Unit, I256> = BTreeMap::new();
        for posting in &self.postings {
            let sum = sums.entry(&posting.unit).or_default();
            *sum = sum.wrapping_add(posting.amount);
        }
        if let Some((unit, by)) = sums.into_iter().find(|(_, sum)| !sum.is_zero()) {
            return Err(Unbalanced {
                kind: self.kind.as_str(),
                cause: self.cause.clone(),
                unit: unit.clone(),
                by,
            });
        }
        if self.postings.is_empty() {
            return Ok(None);
        }
        Ok(Some(Entry {
            id: id_of(self.kind, &self.cause),
            at: self.at,
            kind: self.kind,
            cause: self.cause,
            block: self.block,
            postings: self.postings,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn one(cause: &str, amount: i64) -> Entry {
        let place = Account::Venue { venue: "v".into() };
        let unit = Unit::Native { chain: 1 };
        let amount = I256::try_from(amount).expect("small");
        let draft = Draft::new(Kind::Gas, cause, Timestamp(1));
        let entry = draft.moved(&place, &unit, amount, Reason::Gas).entry();
        entry.expect("balanced").expect("not empty")
    }

    #[test]
    fn the_same_cause_is_booked_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.book(&one("a", 5)), Ok(true));
        assert_eq!(ledger.book(&one("a", 5)), Ok(false));
        assert_eq!(ledger.book(&one("b", -2)), Ok(true));
        let place = Account::Venue { venue: "v".into() };
        let balance = ledger.balance(&place, &Unit::Native { chain: 1 });
        assert_eq!(balance, I256::try_from(3).expect("small"));
        assert_eq!(ledger.counts(), (2, 4));
    }

    #[test]
    fn an_overflow_leaves_the_ledger_unchanged() {
        let mut ledger = Ledger::default();
        let (place, unit) = (Account::Venue { venue: "v".into() }, Unit::Native { chain: 1 });
        let draft = Draft::new(Kind::Gas, "max", Timestamp(1));
        let entry = draft.moved(&place, &unit, I256::MAX, Reason::Gas).entry();
        ledger.book(&entry.expect("balanced").expect("some")).expect("fits");
        assert!(ledger.book(&one("one more", 1)).is_err());
        assert_eq!(ledger.balance(&place, &unit), I256::MAX);
    }

    #[test]
    fn nothing_moved_is_no_entry() {
        let draft = Draft::new(Kind::Gas, "zero", Timestamp(1));
        let unit = Unit::Native { chain: 1 };
        let place = Account::Venue { venue: "v".into() };
        assert_eq!(draft.moved(&place, &unit, I256::ZERO, Reason::Gas).entry(), Ok(None));
    }
}
