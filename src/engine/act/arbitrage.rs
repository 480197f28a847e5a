//! An arbitrage strategy's turn: one search per head, the best cycle on its way to the gate.

use std::collections::BTreeSet;

use alloy::primitives::Address;
use rust_decimal::Decimal;

use crate::engine::Engine;
use crate::engine::event::Pool;
use crate::engine::setup::{ChainSetup, PoolSetup, TokenSetup};
use crate::engine::state::ChainState;
use crate::model::amount::human_unsigned;
use crate::model::chain::PoolAddress;
use crate::model::intent::{CycleLeg, CyclePlan, Intent, Want};
use crate::model::opportunity::{Fate, Opportunity, OpportunityKind};
use crate::strategy::arbitrage::{self, CurveRef, PoolRef, TokenRef};

/// Cycles noted per head: a broken market must not flood the store.
const NOTED_PER_HEAD_MAX: usize = 8;
/// Pips of one percent.
const PIPS_PER_PERCENT: i64 = 10_000;

impl Engine {
    /// Searches once per head, whether the lane is free or not, so that what passes by is counted.
    pub(super) fn decide_arbitrage(&mut self, index: usize, parameters: &arbitrage::Parameters) {
        let Some(chain) = self.chains.get(&parameters.chain) else { return };
        let Some(head) = chain.head.filter(|_| chain.is_ready) else { return };
        if self.strategies[index].searched == Some(head.block.hash) {
            return;
        }
        self.strategies[index].searched = Some(head.block.hash);
        if let Err(why) = chain.live(self.now) {
            return self.strategies[index].say(why, self.now);
        }
        let is_free = !chain.is_busy() && self.now >= chain.retry_at;
        let found = self.search(parameters);
        let before = std::mem::take(&mut self.strategies[index].open_routes);
        let (mut routes, mut is_taken) = (BTreeSet::new(), false);
        let n_found = found.len();
        for found in found {
            // The same pools from another start token are the same cycle.
            if !found.is_worth || !routes.insert(route_key(&found.cycle)) {
                continue;
            }
            let (fate, why) = if is_free && !is_taken {
                (Fate::Found, found.why.clone())
            } else {
                (Fate::Skipped, format!("the lane is busy: {}", found.why))
            };
            let is_new = !before.contains(&route_key(&found.cycle));
            if fate == Fate::Found || (is_new && routes.len() <= NOTED_PER_HEAD_MAX) {
                is_taken |= fate == Fate::Found;
                self.see(parameters, found, fate, why);
            }
        }
        let n_worth = routes.len();
        self.strategies[index].open_routes = routes;
        if !is_taken {
            let why = none_taken(head.block.number, n_found, n_worth);
            self.strategies[index].say(why, self.now);
        }
    }

    /// What it would say with these parameters, whether the lane is free or not.
    pub(in crate::engine) fn arbitrage_says(&self, parameters: &arbitrage::Parameters) -> String {
        let Some(chain) = self.chains.get(&parameters.chain) else { return "unknown chain".into() };
        if let Err(why) = chain.live(self.now) {
            return why;
        }
        let found = self.search(parameters);
        let n_found = found.len();
        match found.into_iter().find(|found| found.is_worth) {
            Some(best) => best.why,
            None => none_taken(chain.head.map_or(0, |head| head.block.number), n_found, 0),
        }
    }

    fn search(&self, parameters: &arbitrage::Parameters) -> Vec<arbitrage::Found> {
        let Some(chain) = self.chains.get(&parameters.chain) else { return Vec::new() };
        let Some(head) = chain.head else { return Vec::new() };
        let pools: Vec<PoolRef<'_>> =
            chain.setup.pools.iter().filter_map(|setup| pool_ref(chain, setup)).collect();
        let tokens: Vec<TokenRef> =
            chain.setup.tokens.iter().map(|token| self.token_ref(token)).collect();
        let cycles = self.tally(parameters.chain, OpportunityKind::Cycle);
        let view = arbitrage::View {
            pools: &pools,
            tokens: &tokens,
            gas_price: head.base_fee.saturating_add(chain.setup.max_priority_fee),
            native_price: self.price_of(&chain.setup.native),
            landed: cycles.landed,
            reverted: cycles.reverted,
            block: head.block.hash,
            at: self.now,
        };
        arbitrage::decide(&view, parameters)
    }

    fn token_ref(&self, token: &TokenSetup) -> TokenRef {
        TokenRef {
            address: token.address,
            decimals: token.decimals,
            price: self.price_of(&token.asset),
            symbol: token.symbol.clone(),
        }
    }

    /// Keeps an opportunity, and sends the one that is taken on to the gate.
    fn see(
        &mut self,
        parameters: &arbitrage::Parameters,
        found: arbitrage::Found,
        fate: Fate,
        why: String,
    ) {
        let arbitrage::Found { key, cycle, net, terms, .. } = found;
        let Some(chain) = self.chains.get(&parameters.chain) else { return };
        let block = chain.head.map_or(0, |head| head.block.number);
        let (token, decimals) = chain
            .setup
            .token(cycle.token)
            .map_or((String::new(), 0), |token| (token.symbol.clone(), token.decimals));
        let route = cycle.legs.iter().map(|leg| leg_text(&chain.setup, leg)).collect();
        let amount_in = human_unsigned(cycle.amount_in, decimals).unwrap_or_default();
        let want = Want::Cycle(cycle);
        let intent = Intent::new(&parameters.strategy, &key, want, why.clone()).with_terms(terms);
        let opportunity = Opportunity {
            id: intent.id,
            chain: parameters.chain,
            strategy: parameters.strategy.clone(),
            block,
            seen: self.now,
            route,
            token,
            amount_in,
            net,
            realised: None,
            fate,
            why,
            hash: None,
            leg: None,
        };
        self.keep_opportunity(opportunity);
        if fate != Fate::Found {
            return;
        }
        let id = intent.id;
        let at = self.now;
        if let Some(memory) = self.strategy_mut(&parameters.strategy) {
            memory.say(intent.why.clone(), at);
        }
        if let Err(why) = self.review_on_chain(intent) {
            self.turn_opportunity(id, Fate::Skipped, Some(why));
        }
    }
}

fn none_taken(block: u64, n_found: usize, n_worth: usize) -> String {
    format!("{n_found} cycles at block {block}, {n_worth} worth it, none taken")
}

/// A pool the executor may trade on, as the search sees it; `None` for one that is not believed.
fn pool_ref<'a>(chain: &'a ChainState, setup: &PoolSetup) -> Option<PoolRef<'a>> {
    let state = chain.pools.get(&setup.address).filter(|state| state.is_usable())?;
    Some(PoolRef {
        id: crate::model::intent::PoolId { chain: chain.setup.chain, address: setup.address },
        dex: setup.executor_dex?,
        token0: setup.token0,
        token1: setup.token1,
        fee_pips: setup.fee_pips,
        curve: match &state.pool {
            Pool::V2(pool) => CurveRef::V2(pool),
            Pool::V3(pool) => CurveRef::V3(pool),
            // Whatever the chain told us of its exchanges: the executor has no word for it.
            Pool::V4(_) => return None,
        },
    })
}

/// The same for the same pools in the same order, wherever the cycle begins and at any block.
fn route_key(cycle: &CyclePlan) -> String {
    let mut pools: Vec<PoolAddress> = cycle.legs.iter().map(|leg| leg.pool.address).collect();
    let first = pools.iter().enumerate().min_by_key(|(_, pool)| **pool).map_or(0, |(at, _)| at);
    pools.rotate_left(first);
    let names: Vec<String> = pools.iter().map(PoolAddress::to_string).collect();
    names.join("/")
}

/// A leg for people: exchange, fee and what is given for what.
fn leg_text(setup: &ChainSetup, leg: &CycleLeg) -> String {
    let symbol = |token: Address| setup.token(token).map_or("?", |token| token.symbol.as_str());
    let dex = setup.pool(leg.pool.address).map_or("?", |pool| pool.dex.as_str());
    let fee = Decimal::from(leg.fee_pips) / Decimal::from(PIPS_PER_PERCENT);
    format!("{dex} {} % {} → {}", fee.normalize(), symbol(leg.token_in), symbol(leg.token_out))
}
