//! Other numbers for a strategy while it runs, and what it would say with them.

use serde_json::json;

use crate::engine::Engine;
use crate::engine::event::Change;
use crate::engine::setup::{HedgeSetup, StrategyKind, StrategySetup};
use crate::engine::state::Pending;
use crate::execution::tx::Act;
use crate::model::opportunity::Fate;
use crate::strategy::hedging;

/// What a strategy says, and what it would say with other numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its last decision; `None` before the first.
    pub now: Option<String>,
    /// What it would decide on what is known now.
    pub then: String,
}

impl Engine {
    /// Takes over a strategy's new numbers. What stands is judged by them at its next turn, what
    /// only waits for its gas is decided anew, and a strategy that is paused stays so.
    pub(super) fn change(&mut self, change: Change) {
        let Change { setup, hedge, reason } = change;
        let (id, version) = (setup.id.clone(), setup.version);
        let Some(known) = self.setup.strategies.iter_mut().find(|known| known.id == id) else {
            return;
        };
        *known = setup;
        if let Some(parameters) = hedge {
            let own = self.setup.hedges.iter_mut().find(|own| own.parameters.strategy == id);
            if let Some(own) = own {
                own.parameters = parameters;
            }
        }
        self.drop_wants(&id);
        let body = json!({ "strategy": id, "version": version, "reason": reason });
        self.note("strategy_changed", body);
    }

    /// Drops what a strategy wanted by its old numbers and nobody signed; a closing goes on.
    fn drop_wants(&mut self, strategy: &str) {
        let is_old = |pending: &mut Pending| {
            pending.strategy == strategy && !matches!(pending.act, Act::Close { .. })
        };
        let chains = self.chains.values_mut();
        let gone: Vec<Pending> = chains.filter_map(|chain| chain.pending.take_if(is_old)).collect();
        for gone in gone {
            let why = "its strategy's numbers were changed before it was signed".to_owned();
            self.turn_opportunity(gone.intent, Fate::Lost, Some(why));
            // The next want is another one: the gas of this one may still be told.
            self.decisions += 1;
        }
    }

    /// Lets a strategy decide on what is known now with other numbers, and its hedge with it;
    /// nothing is done and nothing remembered. `None` for a strategy that does not run.
    pub fn preview(
        &self,
        setup: &StrategySetup,
        hedge: Option<&hedging::Parameters>,
    ) -> Option<Said> {
        let index = self.setup.strategies.iter().position(|known| known.id == setup.id)?;
        let why = &self.strategies.get(index)?.why;
        let now = (!why.is_empty()).then(|| why.clone());
        let then = match &setup.kind {
            StrategyKind::Liquidity(parameters) => self.liquidity_says(index, parameters),
            StrategyKind::Arbitrage(parameters) => self.arbitrage_says(parameters),
            StrategyKind::CexDex(parameters) => self.cex_dex_says(parameters),
            StrategyKind::MarketMaking(parameters) => self.making_says(index, parameters),
        };
        let is_own = |own: &HedgeSetup| own.parameters.strategy == setup.id;
        let Some((parameters, own)) = hedge.zip(self.setup.hedges.iter().position(is_own)) else {
            return Some(Said { now, then });
        };
        let hedge_now = self.hedges.get(own).map(|hedge| hedge.why.clone()).unwrap_or_default();
        let hedge_then = self.hedge_says(own, parameters);
        Some(Said {
            now: now.map(|now| format!("{now}; hedge: {hedge_now}")),
            then: format!("{then}; hedge: {hedge_then}"),
        })
    }
}
