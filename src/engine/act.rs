//! From what is to what is done: strategies decide, the gate reviews, execution plans.

mod arbitrage;
mod cex_dex;
mod hedge;
mod liquidity;
mod making;
mod opportunities;

pub(super) use opportunities::is_trade;

use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::output::Command;
use crate::engine::setup::{StrategyKind, StrategySetup};
use crate::engine::state::Pending;
use crate::execution::order::Order;
use crate::execution::plan;
use crate::execution::tx::{Act, Tx, TxRequest, TxState};
use crate::model::amount::human_unsigned;
use crate::model::chain::BlockRef;
use crate::model::intent::{Intent, PoolId, Want};
use crate::model::opportunity::Fate;
use crate::model::order::TimeInForce;
use crate::risk::gate::{self, Approved, CheckRow, Mode, RiskView};
use crate::strategy::hedging;

/// A lasting refusal is noted so often.
const REFUSAL_NOTED_EVERY_MS: i64 = 60_000;
/// Time a transaction stays valid after its block.
const DEADLINE_MS: i64 = 120_000;
/// Blocks after which the chain refuses a cycle or a swap against an exchange, where so many take
/// longer than the time below: by then its prices are somebody else's.
const GAP_VALID_BLOCKS: u64 = 2;
/// Time such a one stays valid at least: its commit and its way to the chain take a part of it.
const GAP_VALID_MS: u64 = 2_000;
/// A narrow range may need several times as much of one token a block later, and an approval that
/// is too small takes two more blocks, by which the price has moved again: approved is that much.
const APPROVED_TIMES: u64 = 10;
/// An approval costs a gap its block: it is given for many swaps at once.
const GAP_APPROVED_TIMES: u64 = 50;

impl Engine {
    /// True when what was decided may still leave: nobody halted and the store answers.
    pub fn may_send(&self) -> bool {
        self.setup.sends && self.halted.is_none() && self.stalled.is_none() && !self.is_stopping
    }

    /// True while an order of ours rests, or may.
    pub fn has_resting_orders(&self) -> bool {
        let rests =
            |order: &Order| order.is_open() && order.request.time_in_force == TimeInForce::PostOnly;
        self.orders.values().any(rests)
    }

    /// True when deeds may leave at all.
    pub(super) fn can_send(&self) -> bool {
        self.setup.sends && self.mode == Mode::Running
    }

    /// True when the mode and the strategy's own stage both send.
    fn sends_for(&self, strategy: &str) -> bool {
        let is_live = |s: &StrategySetup| s.id == strategy && s.sends;
        self.setup.sends && self.setup.strategies.iter().any(is_live)
    }

    pub(super) fn decide(&mut self) {
        if !self.setup.sends && self.mode != Mode::Running {
            return;
        }
        // What a swap left open is closed first, and not paused with its strategy either.
        self.close_legs();
        for index in 0..self.setup.strategies.len() {
            if self.strategies[index].is_paused {
                self.withdraw_quotes(index);
                continue;
            }
            match self.setup.strategies[index].kind.clone() {
                StrategyKind::Liquidity(parameters) => self.decide_liquidity(index, &parameters),
                StrategyKind::Arbitrage(parameters) => self.decide_arbitrage(index, &parameters),
                StrategyKind::CexDex(parameters) => self.decide_cex_dex(index, &parameters),
                StrategyKind::MarketMaking(parameters) => self.decide_making(index, &parameters),
            }
        }
        // A hedge is not paused with its strategy: what is held must stay hedged.
        for index in 0..self.setup.hedges.len() {
            self.decide_hedge(index);
        }
    }

    /// Reviews a want for a chain and asks for the gas of its next act; `Err` says why not, and is
    /// noted.
    fn review_on_chain(&mut self, intent: Intent) -> Result<(), String> {
        let pools = intent.want.pools();
        let id = pools.first().map(|pool| pool.chain).ok_or("a want of no chain")?;
        let live = pools.iter().try_for_each(|pool| self.pool_usable(*pool, &intent.want));
        let view = self.risk_view(live, None);
        let checks = gate::checks(&intent, &view, &self.setup.limits);
        let act = match self.allowed_act(&intent, &view) {
            Ok(act) => act,
            Err(why) => {
                self.refused(&intent.strategy, &intent, &checks, &why);
                return Err(why);
            }
        };
        self.last_refusal.remove(&intent.strategy);
        self.note_intent(&intent, act.as_str(), &checks);
        let Intent { id: intent, strategy, .. } = intent;
        let pools = pools.into_iter().map(|pool| pool.address).collect();
        let chain = self.chains.get_mut(&id).ok_or("unknown chain")?;
        let since = self.now;
        chain.pending = Some(Pending { intent, strategy, act: act.clone(), pools, since });
        self.out.commands.push(Command::Estimate { chain: id, intent, act });
        Ok(())
    }

    /// The next act of a want that passes the gate and may leave; `Err` says why there is none.
    fn allowed_act(&self, intent: &Intent, view: &RiskView) -> Result<Act, String> {
        let approved = gate::review(intent.clone(), view, &self.setup.limits);
        let approved = approved.map_err(|refusal| refusal.to_string())?;
        let act = self.next_act(&approved).ok_or("the want asks for nothing here")?;
        if !self.sends_for(&intent.strategy) {
            return Err(format!("observing only; would {}: {}", act.as_str(), intent.why));
        }
        Ok(act)
    }

    /// Notes an intent that leads to a deed: its figures, and what each check of the gate found.
    fn note_intent(&mut self, intent: &Intent, act: &str, checks: &[CheckRow]) {
        let Intent { id, strategy, why, terms, .. } = intent;
        let body = json!({ "intent": id, "strategy": strategy, "act": act, "why": why,
            "terms": terms, "gate": checks });
        self.note("intent", body);
    }

    /// A refusal is noted when it begins and once a minute while it lasts; `of` says whose it is.
    fn refused(&mut self, of: &str, intent: &Intent, checks: &[CheckRow], why: &str) {
        let noted = self.last_refusal.get(of).copied();
        if noted.is_none_or(|noted| self.now.ms_since(noted) >= REFUSAL_NOTED_EVERY_MS) {
            self.last_refusal.insert(of.to_owned(), self.now);
            let body = json!({ "intent": intent.id, "strategy": of, "why": why,
                "terms": intent.terms, "gate": checks });
            self.note("refused", body);
        }
    }

    /// The next transaction of an approved want.
    fn next_act(&self, approved: &Approved) -> Option<Act> {
        let pool = *approved.intent().want.pools().first()?;
        let chain = self.chains.get(&pool.chain)?;
        let setup = chain.setup.pool(pool.address)?;
        let head = chain.head?;
        let n_blocks = chain.setup.blocks_in(GAP_VALID_MS, GAP_VALID_BLOCKS);
        let is_gap = self.opportunity(approved.intent().id).is_some();
        let (valid_ms, approved_times) = if is_gap {
            let n_blocks = i64::try_from(n_blocks).unwrap_or(i64::MAX);
            (n_blocks.saturating_mul(chain.setup.block_time_ms), GAP_APPROVED_TIMES)
        } else {
            (DEADLINE_MS, APPROVED_TIMES)
        };
        let terms = plan::Terms {
            time: head.time.plus_ms(valid_ms),
            block: head.block.number.saturating_add(n_blocks),
            approved_times,
        };
        plan::act(approved, (setup.token0, setup.token1), &chain.allowances, terms)
    }

    /// Takes the next slot and hands the request to the shore, to be signed, committed and sent.
    pub(super) fn submit(&mut self, request: TxRequest, intent: Uuid, strategy: String) {
        let range = match &request.act {
            Act::Open { open, .. } => Some((open.tick_lower, open.tick_upper)),
            _ => None,
        };
        if is_trade(&request.act) {
            self.turn_opportunity(intent, Fate::Sent, None);
        }
        let Some(chain) = self.chains.get_mut(&request.chain) else { return };
        if let Act::Approve { token, spender, amount } = &request.act {
            chain.allowances.insert((*token, *spender), *amount);
        }
        chain.next_nonce = request.nonce + 1;
        let tx = Tx {
            nonce: request.nonce,
            purpose: request.act.as_str().to_owned(),
            pool: request.act.pool(),
            range,
            strategy: strategy.clone(),
            intent,
            hash: None,
            state: TxState::Signed,
            created: self.now,
            sent_at_block: chain.head.map_or(0, |head| head.block.number),
            block: None,
            gas_used: None,
            cost: None,
        };
        chain.txs.insert(request.nonce, tx);
        self.out.commands.push(Command::Submit { request, intent, strategy });
    }

    /// A pool that is known, and in which this may be done.
    pub(super) fn pool_usable(&self, pool: PoolId, want: &Want) -> Result<(), String> {
        let chain = self.chains.get(&pool.chain).ok_or("unknown chain")?;
        chain.live(self.now)?;
        chain.pool_usable(pool.address, |oddity| oddity.hinders(want))
    }

    pub(super) fn venue_live(&self, venue: &str, symbol: &str) -> Result<(), String> {
        let state = self.venues.get(venue).ok_or("unknown venue")?;
        if !state.is_user_up || !state.is_ready {
            return Err(format!("the user stream of {venue} is not live"));
        }
        let book = state.books.get(symbol).ok_or("unknown market")?;
        book.touch(self.now).map(|_| ()).map_err(|why| format!("{venue} {symbol}: {why}"))
    }

    pub(super) fn risk_view(
        &self,
        live: Result<(), String>,
        hedge: Option<&hedging::Parameters>,
    ) -> RiskView {
        let price = self.reference_price();
        let exposure = self.exposure();
        let venue_exposure = hedge.and_then(|hedge| {
            let contracts = self.contracts(&hedge.venue, &hedge.symbol)?;
            contracts.abs().checked_mul(price?)
        });
        let daily_pnl = match (self.total_value(), self.day_value) {
            (Some(now), Some(then)) => Some(now - then),
            _ => None,
        };
        // The coins of all chains are one sum: it has a value only where all of them are the base.
        let is_gas_priced = self.setup.unpriced().is_none();
        let gas = human_unsigned(self.day_gas, NATIVE_DECIMALS).filter(|_| is_gas_priced);
        let valued = |amount: Decimal| price.and_then(|price| amount.checked_mul(price));
        RiskView {
            mode: self.mode.clone(),
            is_market_live: live.is_ok(),
            market_state: live.err().unwrap_or_default(),
            gross_exposure: exposure.and_then(|e| valued(e.held.abs() + e.contracts.abs())),
            net_delta: exposure.and_then(|e| valued(e.held + e.contracts)),
            venue_exposure,
            daily_pnl,
            gas_today: gas.and_then(valued),
        }
    }

    /// Base held on all chains and contracts on all venues.
    pub(super) fn exposure(&self) -> Option<Exposure> {
        let mut exposure = Exposure::default();
        for chain in self.chains.keys() {
            let (in_positions, in_wallet) = self.base_on_chain(*chain)?;
            exposure.in_positions += in_positions;
            exposure.in_wallet += in_wallet;
            exposure.held += in_positions + in_wallet;
        }
        exposure.on_books = self.base_on_books(None)?;
        exposure.held += exposure.on_books;
        for (venue, symbol) in self.perpetuals() {
            exposure.contracts += self.contracts(&venue, &symbol)?;
        }
        Some(exposure)
    }

    /// Names a block for people and for comparisons.
    pub(super) fn at_block(block: &BlockRef) -> String {
        format!("block {} ({})", block.number, block.hash)
    }
}

/// Exposure to the base asset, in base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exposure {
    /// In positions, uncollected fees included.
    pub in_positions: Decimal,
    /// In wallets.
    pub in_wallet: Decimal,
    /// On spot accounts, away from their strategies' targets.
    pub on_books: Decimal,
    /// All of it.
    pub held: Decimal,
    /// Perpetual contracts.
    pub contracts: Decimal,
}
