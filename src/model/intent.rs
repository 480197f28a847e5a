//! What strategies want. A want is not a deed: only the risk gate turns it into something approved.

use std::fmt::Display;

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::chain::PoolAddress;
use crate::model::order::Side;

/// Namespace of intent ids: the same decision always has the same id (`UUIDv5`).
const INTENT_NAMESPACE: Uuid = Uuid::from_u128(0x7469_6465_6b65_6570_6572_2069_6e74_656e);
/// Digits behind the first of an estimate that is told.
const ESTIMATE_PLACES: usize = 11;

/// A pool's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolId {
    /// Chain id.
    pub chain: u64,
    /// Where it is on it.
    pub address: PoolAddress,
}

/// One want, with the name of who wants it and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Identity of the decision.
    pub id: Uuid,
    /// Strategy instance.
    pub strategy: String,
    /// What.
    pub want: Want,
    /// Why, in one sentence with the figures that decided.
    pub why: String,
    /// The figures of the decision, each as it was used.
    pub terms: Vec<Term>,
}

impl Intent {
    /// `key` names the decision, so that deciding the same thing twice gives the same id.
    pub fn new(strategy: &str, key: &str, want: Want, why: String) -> Self {
        let id = Uuid::new_v5(&INTENT_NAMESPACE, format!("{strategy}/{key}").as_bytes());
        Self { id, strategy: strategy.to_owned(), want, why, terms: Vec::new() }
    }

    /// The same with the figures it was decided by.
    pub fn with_terms(self, terms: Vec<Term>) -> Self {
        Self { terms, ..self }
    }

    /// True when carrying it out can only lower what we risk.
    pub fn reduces_risk(&self) -> bool {
        match &self.want {
            Want::Close(_) => true,
            Want::Hedge(hedge) => hedge.reduce_only,
            // It closes what a swap of ours left open.
            Want::Leg(_) => true,
            Want::Open(_) | Want::Swap(_) | Want::Cycle(_) | Want::Quote(_) => false,
        }
    }
}

/// A figure of a decision, as it was used. The value is text: a decimal and an integer of any width
/// stand in it without a digit lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// Name, as in the field.
    pub name: &'static str,
    /// Value.
    pub value: String,
    /// Unit of the value.
    pub unit: String,
}

impl Term {
    /// A decimal, without trailing zeros.
    pub fn exact(name: &'static str, value: Decimal, unit: &str) -> Self {
        Self::whole(name, value.normalize(), unit)
    }

    /// What tells itself whole: a tick, a count, an amount in smallest units.
    pub fn whole(name: &'static str, value: impl Display, unit: &str) -> Self {
        Self { name, value: value.to_string(), unit: unit.to_owned() }
    }

    /// An estimate, rounded to twelve significant digits; with an exponent beyond a decimal.
    pub fn estimate(name: &'static str, value: f64, unit: &str) -> Self {
        let text = format!("{value:.ESTIMATE_PLACES$e}");
        match Decimal::from_scientific(&text) {
            Ok(rounded) => Self::exact(name, rounded, unit),
            Err(_) => Self::whole(name, text, unit),
        }
    }
}

/// The kinds of want.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// Provide liquidity in a range.
    Open(OpenRange),
    /// Take a position's liquidity and fees back.
    Close(CloseRange),
    /// Turn one pool token into the other.
    Swap(SwapPlan),
    /// Trade the perpetual towards flat.
    Hedge(HedgeTarget),
    /// Trade on a spot book what a swap left open.
    Leg(HedgeTarget),
    /// Trade around a cycle of pools, all or nothing.
    Cycle(CyclePlan),
    /// Rest an order on a book, never take.
    Quote(QuotePlan),
}

impl Want {
    /// Chain and pools it trades on; none for wants of venues.
    pub fn pools(&self) -> Vec<PoolId> {
        match self {
            Self::Open(open) => vec![open.pool],
            Self::Close(close) => vec![close.pool],
            Self::Swap(swap) => vec![swap.pool],
            Self::Cycle(cycle) => cycle.legs.iter().map(|leg| leg.pool).collect(),
            Self::Hedge(_) | Self::Leg(_) | Self::Quote(_) => Vec::new(),
        }
    }
}

/// A range to be opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenRange {
    /// Pool.
    pub pool: PoolId,
    /// First tick inside.
    pub tick_lower: i32,
    /// First tick above.
    pub tick_upper: i32,
    /// At most so much of token0, smallest units.
    pub amount0: U256,
    /// At most so much of token1.
    pub amount1: U256,
    /// At least so much of token0 must be used, or the chain refuses.
    pub amount0_min: U256,
    /// At least so much of token1.
    pub amount1_min: U256,
    /// Value at the reference price, in the numeraire.
    pub notional: Decimal,
}

/// A position to be closed whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloseRange {
    /// Pool.
    pub pool: PoolId,
    /// NFT.
    pub token_id: U256,
    /// All of its liquidity.
    pub liquidity: u128,
    /// Least principal of token0 we accept.
    pub amount0_min: U256,
    /// Least principal of token1.
    pub amount1_min: U256,
}

/// An exact-input swap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SwapPlan {
    /// Pool.
    pub pool: PoolId,
    /// Token paid.
    pub token_in: Address,
    /// Token received.
    pub token_out: Address,
    /// Paid, smallest units.
    pub amount_in: U256,
    /// Least received, set from a price that is not the pool's.
    pub amount_out_min: U256,
    /// Value at the reference price, in the numeraire.
    pub notional: Decimal,
}

/// A trade at once, towards flat: of the perpetual, or of a leg.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgeTarget {
    /// Configured venue name.
    pub venue: String,
    /// Venue symbol.
    pub symbol: String,
    /// Our side.
    pub side: Side,
    /// Base quantity, on the venue's lot.
    pub quantity: Decimal,
    /// Worst price accepted, on the venue's tick.
    pub price_limit: Decimal,
    /// True when it only shrinks our contract position.
    pub reduce_only: bool,
    /// Value in the numeraire.
    pub notional: Decimal,
}

/// One side of a quote, post-only.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotePlan {
    /// Configured venue name.
    pub venue: String,
    /// Venue symbol.
    pub symbol: String,
    /// Our side.
    pub side: Side,
    /// Quote per base, on the venue's tick.
    pub price: Decimal,
    /// Base, on the venue's lot.
    pub quantity: Decimal,
    /// Value in the numeraire.
    pub notional: Decimal,
}

/// A cycle: the input is borrowed from the first pool and returned to it in the same transaction,
/// so that only the profit ever reaches us.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CyclePlan {
    /// Chain id.
    pub chain: u64,
    /// Token in which the cycle begins and ends.
    pub token: Address,
    /// Input, smallest units.
    pub amount_in: U256,
    /// Profit below which the chain must refuse, smallest units.
    pub min_profit: U256,
    /// The pools in order.
    pub legs: Vec<CycleLeg>,
    /// Value of the input, in the numeraire.
    pub notional: Decimal,
}

/// One pool of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CycleLeg {
    /// Pool.
    pub pool: PoolId,
    /// The executor's number of its exchange.
    pub dex: u8,
    /// Swap fee.
    pub fee_pips: u32,
    /// Token given to the pool.
    pub token_in: Address,
    /// Token taken from it.
    pub token_out: Address,
    /// What it is expected to give, smallest units.
    pub amount_out: U256,
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn a_term_tells_its_value_without_losing_a_digit() {
        let decimal = Term::exact("price", dec!(-2000.1200), "quote per base");
        assert_eq!((decimal.value.as_str(), decimal.unit.as_str()), ("-2000.12", "quote per base"));
        assert_eq!(Term::whole("tick", -197_374, "ticks").value, "-197374");
        let widest = Term::whole("liquidity", u128::MAX, "units of liquidity");
        assert_eq!(widest.value.parse::<u128>(), Ok(u128::MAX));
    }

    #[test]
    fn an_estimate_is_rounded_to_twelve_digits() {
        let check = |value: f64, told: &str| {
            assert_eq!(Term::estimate("sigma", value, "").value, told);
        };
        check(0.5, "0.5");
        check(0.0, "0");
        check(2.0 / 3.0, "0.666666666667");
        check(-1234.567_890_123_456_7, "-1234.56789012");
        check(0.000_000_125, "0.000000125");
        check(5e-20, "5.00000000000e-20");
        check(f64::NAN, "NaN");
    }
}
