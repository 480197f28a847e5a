//! A cycle of pools that would pay, what it should bring, and what became of it.

use alloy::primitives::B256;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::time::Timestamp;

/// What a cycle is expected to bring, part by part, in the numeraire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetProfit {
    /// Output less input, at the pools' exact states; swap fees are already paid in it.
    pub gross: Decimal,
    /// Gas of a cycle that lands.
    pub gas: Decimal,
    /// Swap fees paid to the pools: contained in `gross`, told for people.
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

/// One cycle seen.
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
    /// The pools in order, for people.
    pub route: Vec<String>,
    /// Symbol of the token it begins and ends in.
    pub token: String,
    /// Input in whole tokens.
    pub amount_in: Decimal,
    /// What it should bring; `None` while a price is unknown.
    pub net: Option<NetProfit>,
    /// What it really brought after gas, numeraire, once mined.
    pub realised: Option<Decimal>,
    /// What became of it.
    pub fate: Fate,
    /// Why, in words.
    pub why: String,
    /// Its transaction.
    pub hash: Option<B256>,
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
