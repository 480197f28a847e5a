//! A trade that would pay, between pools or between a pool and an exchange: what it should bring,
//! and what became of it.

use alloy::primitives::{B256, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::order::Side;
use crate::model::time::Timestamp;

/// What an opportunity is expected to bring, part by part, in the numeraire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetProfit {
    /// Output less input, at the pools' exact states and the book's levels; fees are already paid
    /// in it.
    pub gross: Decimal,
    /// Gas of one that lands.
    pub gas: Decimal,
    /// Fees paid to pools and exchange: contained in `gross`, told for people.
    pub fees: Decimal,
    /// What others' trades before us are expected to take.
    pub slippage: Decimal,
    /// Chance that it reverts, 0 to 1; a revert costs its gas.
    pub failure_probability: Decimal,
}

impl NetProfit {
    /// What is expected after all costs; `None` beyond a decimal.
    pub fn expected(&self) -> Option<Decimal> {
        let landed = self.gross.checked_sub(self.gas)?.checked_sub(self.slippage)?;
        let chance = Decimal::ONE.checked_sub(self.failure_probability)?;
        let failed = self.failure_probability.checked_mul(self.gas)?;
        chance.checked_mul(landed)?.checked_sub(failed)
    }
}

/// Chance that the next one reverts: the mean of a Beta(1, 1) prior after what was seen,
/// `(reverted + 1) / (landed + reverted + 2)`, Laplace's rule of succession (Gelman et al.,
/// Bayesian Data Analysis, 3rd ed., section 2.1). One half before the first.
pub fn failure_probability(landed: u64, reverted: u64) -> Decimal {
    let failed = Decimal::from(reverted) + Decimal::ONE;
    failed / (failed + Decimal::from(landed) + Decimal::ONE)
}

/// What became of an opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Not worth its costs, or not allowed.
    Skipped,
    /// Worth sending; its gas is being asked for.
    Found,
    /// Committed and sent.
    Sent,
    /// Mined, and it paid.
    Landed,
    /// Gone before anything was signed.
    Lost,
    /// Mined and refused by the executor: only gas was paid.
    Reverted,
}

impl Fate {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Found => "found",
            Self::Sent => "sent",
            Self::Landed => "landed",
            Self::Lost => "lost",
            Self::Reverted => "reverted",
        }
    }
}

/// Between what an opportunity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpportunityKind {
    /// Pools alone, in one transaction.
    Cycle,
    /// A pool and an exchange: a swap, then a leg on the exchange.
    Venue,
}

impl OpportunityKind {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cycle => "cycle",
            Self::Venue => "venue",
        }
    }
}

/// Where the leg on the exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// The swap is not mined: nothing is owed.
    Planned,
    /// The swap is mined (or a block that held it was taken back): what is open is traded away.
    Due,
    /// Nothing is open that the exchange would take.
    Closed,
    /// Its time was over: what was open is left to the hedge.
    Left,
}

impl LegState {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Due => "due",
            Self::Closed => "closed",
            Self::Left => "left",
        }
    }
}

/// Base and quote that moved, from our side: what came is positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Base, whole units.
    pub base: Decimal,
    /// Quote, whole units.
    pub quote: Decimal,
}

impl Moved {
    /// Both together; `None` beyond a decimal.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            base: self.base.checked_add(other.base)?,
            quote: self.quote.checked_add(other.quote)?,
        })
    }

    /// Worth in quote at a price of the base; `None` beyond a decimal.
    pub fn value(self, price: Decimal) -> Option<Decimal> {
        self.base.checked_mul(price)?.checked_add(self.quote)
    }
}

/// The exchange's side of an opportunity. Signed base: positive is bought, negative sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueLeg {
    /// Configured venue.
    pub venue: String,
    /// Its symbol.
    pub symbol: String,
    /// Base to be traded when the swap lands as planned.
    pub plan: Decimal,
    /// What the swap is expected to move.
    pub expected: Moved,
    /// The swap's average price, quote per base: the leg may cost so much more and no more.
    pub anchor: Decimal,
    /// Base to be traded by what was mined: zero before, and after a revert.
    pub target: Decimal,
    /// Base traded, before the exchange's fee.
    pub done: Decimal,
    /// What the swap moved.
    pub on_chain: Moved,
    /// What the exchange's trades moved, fees off.
    pub on_venue: Moved,
    /// Gas paid, wei; `None` before the swap is mined.
    pub gas_wei: Option<U256>,
    /// Orders placed for it.
    pub attempts: u32,
    /// Since when it is due.
    pub since: Option<Timestamp>,
    /// When the last order was placed.
    pub tried: Option<Timestamp>,
    /// Where it stands.
    pub state: LegState,
}

impl VenueLeg {
    /// Base still open, signed as the target is.
    pub fn open(&self) -> Decimal {
        self.target.saturating_sub(self.done)
    }

    /// The side that closes what is open.
    pub fn side(&self) -> Side {
        if self.open().is_sign_negative() { Side::Sell } else { Side::Buy }
    }

    /// What both sides brought at a price of the base, less the gas, both in the numeraire; `None`
    /// beyond a decimal.
    pub fn realised(&self, price: Decimal, gas: Decimal) -> Option<Decimal> {
        self.on_chain.plus(self.on_venue)?.value(price)?.checked_sub(gas)
    }

    /// The price that what is open is measured by: the swap's own or, where no swap stands any
    /// more, that at which the exchange traded.
    pub fn measure(&self) -> Decimal {
        let traded = self.on_venue.quote.checked_div(self.done).map(|price| price.abs());
        if self.target.is_zero() { traded.unwrap_or(self.anchor) } else { self.anchor }
    }
}

/// One opportunity seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opportunity {
    /// The want's own id.
    pub id: Uuid,
    /// Chain id.
    pub chain: u64,
    /// Strategy instance.
    pub strategy: String,
    /// Height at which it was seen.
    pub block: u64,
    /// When.
    pub seen: Timestamp,
    /// The pools in order, for people; the exchange after its pool.
    pub route: Vec<String>,
    /// Symbol of the token it begins and ends in.
    pub token: String,
    /// Input in whole tokens.
    pub amount_in: Decimal,
    /// What it should bring; `None` while a price is unknown.
    pub net: Option<NetProfit>,
    /// What it really brought after gas, numeraire, once mined and, with a leg, closed.
    pub realised: Option<Decimal>,
    /// What became of it.
    pub fate: Fate,
    /// Why, in words.
    pub why: String,
    /// Its transaction.
    pub hash: Option<B256>,
    /// Its leg on an exchange; `None` for a cycle of pools.
    pub leg: Option<VenueLeg>,
}

impl Opportunity {
    /// Between what it is.
    pub fn kind(&self) -> OpportunityKind {
        if self.leg.is_some() { OpportunityKind::Venue } else { OpportunityKind::Cycle }
    }

    /// True while something of it may still happen: it must not be forgotten.
    pub fn is_open(&self) -> bool {
        matches!(self.fate, Fate::Found | Fate::Sent)
            || self.leg.as_ref().is_some_and(|leg| leg.state == LegState::Due)
    }
}

/// Opportunities over the life of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Worth sending.
    pub found: u64,
    /// Signed and sent.
    pub sent: u64,
    /// Mined, and it paid.
    pub landed: u64,
    /// Gone before anything was signed.
    pub lost: u64,
    /// Mined and refused.
    pub reverted: u64,
    /// Sum expected of those sent, numeraire.
    pub expected_net: Decimal,
    /// Sum realised of those mined, numeraire.
    pub realised_net: Decimal,
}

impl Tally {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            found: self.found + other.found,
            sent: self.sent + other.sent,
            landed: self.landed + other.landed,
            lost: self.lost + other.lost,
            reverted: self.reverted + other.reverted,
            expected_net: self.expected_net.saturating_add(other.expected_net),
            realised_net: self.realised_net.saturating_add(other.realised_net),
        }
    }

    /// Counts what an opportunity's fate changed from and to.
    pub fn turn(&mut self, before: Option<&Opportunity>, after: &Opportunity) {
        if let Some(before) = before {
            self.count(before, Step::Back);
        }
        self.count(after, Step::Forth);
    }

    fn count(&mut self, of: &Opportunity, step: Step) {
        let expected = of.net.and_then(|net| net.expected()).unwrap_or(Decimal::ZERO);
        let is_sent = matches!(of.fate, Fate::Sent | Fate::Landed | Fate::Reverted);
        let moves = [
            (&mut self.found, of.fate != Fate::Skipped),
            (&mut self.sent, is_sent),
            (&mut self.landed, of.fate == Fate::Landed),
            (&mut self.lost, of.fate == Fate::Lost),
            (&mut self.reverted, of.fate == Fate::Reverted),
        ];
        for (counter, counts) in moves {
            match step {
                Step::Forth => *counter += u64::from(counts),
                Step::Back => *counter = counter.saturating_sub(u64::from(counts)),
            }
        }
        let expected = if is_sent { expected } else { Decimal::ZERO };
        let realised = of.realised.unwrap_or(Decimal::ZERO);
        match step {
            Step::Forth => {
                self.expected_net = self.expected_net.saturating_add(expected);
                self.realised_net = self.realised_net.saturating_add(realised);
            }
            Step::Back => {
                self.expected_net = self.expected_net.saturating_sub(expected);
                self.realised_net = self.realised_net.saturating_sub(realised);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Forth,
    Back,
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    const NET: NetProfit = NetProfit {
        gross: dec!(10),
        gas: dec!(2),
        fees: dec!(3),
        slippage: dec!(1),
        failure_probability: dec!(0.25),
    };

    fn opportunity(fate: Fate, realised: Option<Decimal>) -> Opportunity {
        Opportunity {
            id: Uuid::nil(),
            chain: 1,
            strategy: "cycles".into(),
            block: 7,
            seen: Timestamp(0),
            route: Vec::new(),
            token: "USDT".into(),
            amount_in: dec!(100),
            net: Some(NET),
            realised,
            fate,
            why: String::new(),
            hash: None,
            leg: None,
        }
    }

    #[test]
    fn a_revert_costs_its_gas_and_fees_are_not_taken_twice() {
        // 0.75 x (10 - 2 - 1) - 0.25 x 2
        assert_eq!(NET.expected(), Some(dec!(4.75)));
    }

    #[test]
    fn a_tally_follows_each_fate_and_back() {
        let mut tally = Tally::default();
        let stages = [
            opportunity(Fate::Found, None),
            opportunity(Fate::Sent, None),
            opportunity(Fate::Landed, Some(dec!(5))),
        ];
        tally.turn(None, &stages[0]);
        tally.turn(Some(&stages[0]), &stages[1]);
        tally.turn(Some(&stages[1]), &stages[2]);
        assert_eq!((tally.found, tally.sent, tally.landed), (1, 1, 1));
        assert_eq!((tally.expected_net, tally.realised_net), (dec!(4.75), dec!(5)));
        // The chain took its block back.
        tally.turn(Some(&stages[2]), &stages[1]);
        assert_eq!((tally.sent, tally.landed, tally.realised_net), (1, 0, dec!(0)));
        tally.turn(Some(&stages[1]), &opportunity(Fate::Reverted, Some(dec!(-2))));
        assert_eq!((tally.landed, tally.reverted, tally.realised_net), (0, 1, dec!(-2)));
        tally.turn(None, &opportunity(Fate::Skipped, None));
        assert_eq!(tally.found, 1, "what was not worth sending is not found");
    }
}
