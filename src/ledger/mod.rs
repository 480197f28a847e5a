//! What is ours: double-entry postings in integers, and the balances they add up to.
//!
//! Invariant: every entry sums to zero per unit; a balance is the sum of its postings; nothing is
//! ever deleted. It never reads a chain, a venue or a clock.

pub mod booking;
pub mod entry;
pub mod reconcile;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::primitives::I256;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::ledger::entry::{Entry, Kind, id_of};
use crate::model::unit::{Account, Unit};

/// How many of the newest entries are kept for display.
const RECENT_ENTRIES_MAX: usize = 40;

/// A balance left the range of 256-bit integers: impossible for real money, so a broken promise.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("balance of {account} in {unit} overflows 256 bits")]
pub struct Overflow {
    account: Account,
    unit: Unit,
}

/// Running balances of every (account, unit).
#[derive(Debug, Default)]
pub struct Ledger {
    balances: BTreeMap<(Account, Unit), I256>,
    booked: BTreeSet<Uuid>,
    /// Entries that were taken back: their facts may become true once more.
    reversed: BTreeSet<Uuid>,
    recent: VecDeque<Entry>,
    n_entries: u64,
    n_postings: u64,
}

impl Ledger {
    /// A ledger that continues from balances and counts loaded at start.
    pub fn resume(loaded: Loaded) -> Self {
        Self {
            balances: loaded.balances,
            booked: loaded.recent_ids,
            reversed: loaded.reversed_ids,
            recent: VecDeque::new(),
            n_entries: loaded.n_entries,
            n_postings: loaded.n_postings,
        }
    }

    /// The entry under the name it is booked by now: a fact that a chain took back and tells again
    /// is a new fact, with the number of its return in its cause.
    pub fn named(&self, entry: Entry) -> Entry {
        let mut named = entry;
        let mut n = 1;
        while self.reversed.contains(&named.id) {
            n += 1;
            named = named.generation(n);
        }
        named
    }

    /// Adds an entry; `Ok(false)` when this very entry was booked before (its id is its cause).
    ///
    /// # Errors
    /// `Overflow`; the ledger is then unchanged.
    pub fn book(&mut self, entry: &Entry) -> Result<bool, Overflow> {
        if self.booked.contains(&entry.id) {
            return Ok(false);
        }
        let mut changed = Vec::with_capacity(entry.postings.len());
        let mut pending: BTreeMap<(Account, Unit), I256> = BTreeMap::new();
        for posting in &entry.postings {
            let key = (posting.account.clone(), posting.unit.clone());
            let before = pending.get(&key).copied().unwrap_or_else(|| self.raw(&key));
            let after = before.checked_add(posting.amount).ok_or_else(|| Overflow {
                account: posting.account.clone(),
                unit: posting.unit.clone(),
            })?;
            pending.insert(key, after);
        }
        changed.extend(pending);
        self.balances.extend(changed);
        self.booked.insert(entry.id);
        self.reversed.extend(entry.reverses());
        self.n_entries += 1;
        self.n_postings += entry.postings.len() as u64;
        self.recent.push_front(entry.clone());
        self.recent.truncate(RECENT_ENTRIES_MAX);
        Ok(true)
    }

    /// True when the fact of this name was booked before.
    pub fn has(&self, kind: Kind, cause: &str) -> bool {
        self.booked.contains(&id_of(kind, cause))
    }

    fn raw(&self, key: &(Account, Unit)) -> I256 {
        self.balances.get(key).copied().unwrap_or(I256::ZERO)
    }

    /// What this account holds of this unit; zero when it never held any.
    pub fn balance(&self, account: &Account, unit: &Unit) -> I256 {
        self.raw(&(account.clone(), unit.clone()))
    }

    /// All balances, in name order.
    pub fn balances(&self) -> impl Iterator<Item = (&Account, &Unit, I256)> {
        self.balances.iter().map(|((account, unit), amount)| (account, unit, *amount))
    }

    /// The newest entries, newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Entry> {
        self.recent.iter()
    }

    /// (entries, postings) ever booked.
    pub fn counts(&self) -> (u64, u64) {
        (self.n_entries, self.n_postings)
    }

    /// True before the opening balances were booked.
    pub fn is_empty(&self) -> bool {
        self.n_entries == 0
    }
}

/// A map by account and unit as a list of pairs: keys of JSON are texts.
mod pairs {
    use std::collections::BTreeMap;

    use alloy::primitives::I256;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::unit::{Account, Unit};

    type Balances = BTreeMap<(Account, Unit), I256>;

    pub(super) fn serialize<S: Serializer>(of: &Balances, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(of)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Balances, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().collect())
    }
}

/// What the store knows of an earlier run's ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Loaded {
    /// Sum of postings per account and unit.
    #[serde(with = "pairs")]
    pub balances: BTreeMap<(Account, Unit), I256>,
    /// Ids of entries, so that a fact seen again is not booked again.
    pub recent_ids: BTreeSet<Uuid>,
    /// Ids of those that were taken back.
    pub reversed_ids: BTreeSet<Uuid>,
    /// Entries ever booked.
    pub n_entries: u64,
    /// Postings ever booked.
    pub n_postings: u64,
}
