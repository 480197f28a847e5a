//! Opportunities on their way: kept, turned, checked once more before they leave, and counted when
//! the chain tells what became of them. Cycles and swaps against an exchange share this life.

use alloy::primitives::U256;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::output::Record;
use crate::engine::setup::ChainSetup;
use crate::execution::tx::{Act, TxState};
use crate::model::amount::human_unsigned;
use crate::model::chain::Receipt;
use crate::model::opportunity::{
    Fate, LegState, Moved, Opportunity, OpportunityKind, Tally, VenueLeg,
};

/// Opportunities kept in memory for display, besides those still open.
const KEPT: usize = 50;

impl Engine {
    /// Opportunities of a kind on a chain, counted.
    pub(in crate::engine) fn tally(&self, chain: u64, kind: OpportunityKind) -> Tally {
        self.tallies.get(&(chain, kind)).copied().unwrap_or_default()
    }

    /// An opportunity by its want.
    pub(in crate::engine) fn opportunity(&self, id: Uuid) -> Option<&Opportunity> {
        self.opportunities.iter().find(|opportunity| opportunity.id == id)
    }

    pub(super) fn keep_opportunity(&mut self, opportunity: Opportunity) {
        let key = (opportunity.chain, opportunity.kind());
        self.tallies.entry(key).or_default().turn(None, &opportunity);
        self.out.records.push(Record::Opportunity(opportunity.clone()));
        self.opportunities.push_front(opportunity);
        while self.opportunities.len() > KEPT {
            // What is still open, or may be taken back, outlives what is newer and over.
            let is_over = |seen: &Opportunity| !seen.is_open() && !self.is_provisional(seen);
            let Some(oldest) = self.opportunities.iter().rposition(is_over) else { break };
            self.opportunities.remove(oldest);
        }
    }

    /// True while the block of its transaction can be taken back.
    fn is_provisional(&self, seen: &Opportunity) -> bool {
        let is_mined = matches!(seen.fate, Fate::Landed | Fate::Reverted);
        let txs = || self.chains.get(&seen.chain).into_iter().flat_map(|chain| chain.txs.values());
        is_mined && txs().any(|tx| tx.intent == seen.id && tx.state != TxState::Final)
    }

    /// Moves an opportunity on; a want that is none moves nothing.
    pub(in crate::engine) fn turn_opportunity(
        &mut self,
        id: Uuid,
        fate: Fate,
        why: Option<String>,
    ) {
        self.change_opportunity(id, |opportunity| {
            opportunity.fate = fate;
            if let Some(why) = why {
                opportunity.why = why;
            }
        });
    }

    pub(super) fn change_opportunity(&mut self, id: Uuid, change: impl FnOnce(&mut Opportunity)) {
        let Some(index) = self.opportunities.iter().position(|o| o.id == id) else { return };
        let before = self.opportunities[index].clone();
        change(&mut self.opportunities[index]);
        let after = self.opportunities[index].clone();
        let key = (after.chain, after.kind());
        self.tallies.entry(key).or_default().turn(Some(&before), &after);
        self.out.records.push(Record::Opportunity(after));
    }

    /// The chain told the gas of an opportunity: it is taken only if it still pays, in the block it
    /// was found in and at the book of now. `Err` says why not.
    pub(in crate::engine) fn still_pays(&mut self, id: Uuid, gas: u64) -> Result<(), String> {
        let opportunity = self.opportunity(id).ok_or("the opportunity was forgotten")?;
        let chain = self.chains.get(&opportunity.chain).ok_or("unknown chain")?;
        let head = chain.head.ok_or("no head")?;
        let wei = U256::from(gas)
            .saturating_mul(U256::from(head.base_fee.saturating_add(chain.setup.max_priority_fee)));
        let gas = self.gas_value(&chain.setup, wei).ok_or("gas has no price")?;
        if head.block.number > opportunity.block {
            return Err(format!("block {} came while gas was asked for", head.block.number));
        }
        let mut net = opportunity.net.ok_or("its profit is unknown")?;
        net.gas = gas;
        if let Some(leg) = &opportunity.leg {
            net.gross = self.gross_now(&opportunity.strategy, leg)?;
        }
        self.change_opportunity(id, |opportunity| opportunity.net = Some(net));
        let expected = net.expected().ok_or("its profit does not fit")?;
        if expected > Decimal::ZERO {
            return Ok(());
        }
        Err(format!("with gas of {} it would bring {}", gas.round_dp(4), expected.round_dp(4)))
    }

    /// Wei of a chain's gas in the numeraire; `None` without a price.
    pub(super) fn gas_value(&self, chain: &ChainSetup, wei: U256) -> Option<Decimal> {
        human_unsigned(wei, NATIVE_DECIMALS)?.checked_mul(self.price_of(&chain.native)?)
    }

    /// A transaction that may be an opportunity's is in a block.
    pub(in crate::engine) fn opportunity_mined(
        &mut self,
        chain: u64,
        nonce: u64,
        receipt: &Receipt,
    ) {
        let Some(state) = self.chains.get(&chain) else { return };
        let Some(tx) = state.txs.get(&nonce) else { return };
        let Some(opportunity) = self.opportunity(tx.intent) else { return };
        let fate = match tx.state {
            TxState::Included => Fate::Landed,
            _ => Fate::Reverted,
        };
        let id = opportunity.id;
        let leg = opportunity.leg.clone().map(|leg| VenueLeg {
            gas_wei: receipt.cost(),
            since: Some(self.now),
            state: LegState::Due,
            ..self.landed_leg(leg, &state.setup, receipt, fate)
        });
        // With a leg the sum is known when the leg is over.
        let realised = match &leg {
            Some(_) => None,
            None => self.realised(&state.setup, receipt),
        };
        self.change_opportunity(id, |opportunity| {
            opportunity.fate = fate;
            opportunity.realised = realised;
            opportunity.hash = Some(receipt.hash);
            opportunity.leg = leg;
        });
    }

    /// What the swap moved, and what is to be traded for it: nothing when it reverted, and no more
    /// base than came.
    fn landed_leg(
        &self,
        leg: VenueLeg,
        setup: &ChainSetup,
        receipt: &Receipt,
        fate: Fate,
    ) -> VenueLeg {
        if fate != Fate::Landed {
            return VenueLeg { target: Decimal::ZERO, on_chain: Moved::default(), ..leg };
        }
        let on_chain = self.moved(setup, receipt).unwrap_or(leg.expected);
        VenueLeg { target: leg.plan.max(-on_chain.base.max(Decimal::ZERO)), on_chain, ..leg }
    }

    /// The chain took back the block of a mined opportunity: it is on its way again. An approval
    /// that was made for one is none.
    pub(in crate::engine) fn unland_opportunity(&mut self, id: Uuid) {
        let is_mined = |seen: &Opportunity| matches!(seen.fate, Fate::Landed | Fate::Reverted);
        if !self.opportunity(id).is_some_and(is_mined) {
            return;
        }
        let now = self.now;
        self.change_opportunity(id, |opportunity| {
            (opportunity.fate, opportunity.realised) = (Fate::Sent, None);
            if let Some(leg) = &mut opportunity.leg {
                // What was traded meanwhile stays, and is traded back if the swap does not return.
                (leg.state, leg.target) = (LegState::Planned, Decimal::ZERO);
                (leg.on_chain, leg.gas_wei, leg.since) = (Moved::default(), None, Some(now));
            }
        });
    }

    /// What a mined cycle brought, less its gas, in the numeraire; `None` without a price.
    fn realised(&self, setup: &ChainSetup, receipt: &Receipt) -> Option<Decimal> {
        let gas = self.gas_value(setup, receipt.cost()?)?;
        self.moved(setup, receipt)?.value(self.reference_price()?)?.checked_sub(gas)
    }

    /// Base and quote that a receipt moved to and from our wallet; `None` for other assets.
    fn moved(&self, setup: &ChainSetup, receipt: &Receipt) -> Option<Moved> {
        let mut moved = Moved::default();
        for transfer in &receipt.transfers {
            let token = setup.token(transfer.token)?;
            let amount = human_unsigned(transfer.amount, token.decimals)?;
            let amount = if transfer.to == setup.signer { amount } else { -amount };
            let place = match token.asset.as_str() {
                asset if asset == self.setup.base_asset => &mut moved.base,
                asset if asset == self.setup.numeraire => &mut moved.quote,
                _ => return None,
            };
            *place = place.checked_add(amount)?;
        }
        Some(moved)
    }
}

/// True for an act that an opportunity may be made of.
pub(in crate::engine) fn is_trade(act: &Act) -> bool {
    matches!(act, Act::Cycle { .. } | Act::Swap { .. })
}
