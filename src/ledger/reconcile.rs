//! The ledger against the world, unit by unit: a difference is a number, never an opinion.

use alloy::primitives::I256;
use serde::Serialize;

use crate::ledger::Ledger;
use crate::model::unit::{Account, Unit};

/// One comparison, true at the moment `at` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The place.
    pub account: Account,
    /// What is counted.
    pub unit: Unit,
    /// What the ledger says.
    pub ledger: I256,
    /// What the world says.
    pub actual: I256,
    /// The block hash or user-stream event both are true at.
    pub at: String,
}

impl Comparison {
    /// Actual minus ledger: positive when the world holds more than we booked.
    pub fn difference(&self) -> I256 {
        self.actual.wrapping_sub(self.ledger)
    }
}

/// Compares what one place really holds with the ledger; units the ledger knows there and the
/// world did not list count as zero in the world, so that nothing can vanish unseen.
pub fn compare(
    ledger: &Ledger,
    account: &Account,
    actual: &[(Unit, I256)],
    is_compared: impl Fn(&Unit) -> bool,
    at: &str,
) -> Vec<Comparison> {
    let mut rows: Vec<Comparison> = actual
        .iter()
        .map(|(unit, amount)| Comparison {
            account: account.clone(),
            unit: unit.clone(),
            ledger: ledger.balance(account, unit),
            actual: *amount,
            at: at.to_owned(),
        })
        .collect();
    for (place, unit, amount) in ledger.balances() {
        let is_listed = rows.iter().any(|row| row.unit == *unit);
        if place == account && !is_listed && is_compared(unit) {
            rows.push(Comparison {
                account: account.clone(),
                unit: unit.clone(),
                ledger: amount,
                actual: I256::ZERO,
                at: at.to_owned(),
            });
        }
    }
    rows
}
