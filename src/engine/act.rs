//! From what is to what is done: strategies decide, the gate reviews, execution plans.

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::event::Position;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::output::{Command, Record};
use crate::engine::setup::StrategySetup;
use crate::engine::state::{Pending, VenueState, pool_view};
use crate::execution::order::{Order, OrderEvent};
use crate::execution::plan;
use crate::execution::tx::{Act, Tx, TxRequest, TxState};
use crate::model::amount::human_unsigned;
use crate::model::chain::BlockRef;
use crate::model::intent::{Intent, PoolId, Want};
use crate::model::unit::{Account, Unit};
use crate::model::venue::OrderReply;
use crate::risk::gate::{self, Approved, Mode, RiskView};
use crate::strategy::{hedging, liquidity};

/// Gas of one full move (withdraw, swap, approvals, mint), for judging whether it pays.
const GAS_PER_MOVE: u64 = 1_100_000;
/// A lasting refusal is noted so often.
const REFUSAL_NOTED_EVERY_MS: i64 = 60_000;
/// Wait after a hedge that traded nothing, doubled so many times at most.
const HEDGE_RETRY_MS: i64 = 1_000;
const HEDGE_RETRY_DOUBLINGS_MAX: u32 = 6;
/// Time a transaction stays valid after its block.
const DEADLINE_MS: i64 = 120_000;

impl Engine {
    /// True when what was decided may still leave: nobody halted and the store answers.
    pub fn may_send(&self) -> bool {
        self.setup.sends && self.halted.is_none() && self.stalled.is_none()
    }

    /// True when deeds may leave at all.
    pub(super) fn can_send(&self) -> bool {
        self.setup.sends && self.mode == Mode::Running
    }

    /// True when the mode and the strategy's own stage both send.
    fn sends_for(&self, strategy: &str) -> bool {
        let is_live = |s: &StrategySetup| s.liquidity.strategy == strategy && s.sends;
        self.setup.sends && self.setup.strategies.iter().any(is_live)
    }

    pub(super) fn decide(&mut self) {
        if !self.setup.sends && self.mode != Mode::Running {
            return;
        }
        for index in 0..self.setup.strategies.len() {
            self.decide_liquidity(index);
            self.decide_hedge(index);
        }
    }

    fn decide_liquidity(&mut self, index: usize) {
        let parameters = self.setup.strategies[index].liquidity.clone();
        let Some(chain) = self.chains.get(&parameters.pool.chain) else { return };
        if !chain.is_ready || chain.is_busy() || self.now < chain.retry_at {
            return;
        }
        let decision = match self.liquidity_view(index, &parameters) {
            Ok(view) => liquidity::decide(&view, &parameters),
            Err(why) => liquidity::Decision::Wait(why),
        };
        match decision {
            liquidity::Decision::Wait(why) => self.strategies[index].why = why,
            liquidity::Decision::Act(intent) => {
                self.strategies[index].why.clone_from(&intent.why);
                self.review_on_chain(*intent);
            }
        }
    }

    fn liquidity_view(
        &self,
        index: usize,
        parameters: &liquidity::Parameters,
    ) -> Result<liquidity::View, String> {
        let chain = self.chains.get(&parameters.pool.chain).ok_or("unknown chain")?;
        let state = chain.pools.get(&parameters.pool.address).ok_or("the pool is not read yet")?;
        let pool = pool_view(&chain.setup, parameters.pool.address, state)
            .ok_or("the pool has no price")?;
        let reference = self.reference_price().ok_or("the reference book is not live")?;
        let wallet = |token: Address| -> Result<U256, String> {
            let signer = chain.setup.signer;
            let account = Account::Wallet { chain: chain.setup.chain, signer };
            let unit = Unit::Erc20 { chain: chain.setup.chain, token };
            let raw = self.ledger.balance(&account, &unit);
            U256::try_from(raw).map_err(|_| "the ledger shows a negative wallet".to_owned())
        };
        let (base, quote) = if pool.base_is_token0 {
            (pool.token0, pool.token1)
        } else {
            (pool.token1, pool.token0)
        };
        let base_fee = chain.head.map_or(0, |head| head.base_fee);
        let gas_price = base_fee.saturating_add(chain.setup.max_priority_fee);
        let gas = U256::from(GAS_PER_MOVE).saturating_mul(U256::from(gas_price));
        let gas = human_unsigned(gas, NATIVE_DECIMALS).ok_or("gas has no price")?;
        Ok(liquidity::View {
            pool,
            reference,
            wallet_base: wallet(base)?,
            wallet_quote: wallet(quote)?,
            held: self.open_position(parameters).map(held),
            moves_today: self.strategies[index].moves_today,
            gas_per_move: gas * reference,
            at: self.now,
            decision: self.decisions,
        })
    }

    pub(super) fn open_position(&self, parameters: &liquidity::Parameters) -> Option<&Position> {
        self.positions.values().find(|position| {
            position.closed.is_none()
                && position.strategy == parameters.strategy
                && position.pool == parameters.pool
        })
    }

    /// Reviews a want for a chain and asks for the gas of its next act.
    fn review_on_chain(&mut self, intent: Intent) {
        let Some(pool) = pool_of(&intent.want) else { return };
        let live = self.pool_live(pool);
        let view = self.risk_view(live, None);
        let (strategy, id, why) = (intent.strategy.clone(), intent.id, intent.why.clone());
        let approved = match gate::review(intent, &view, &self.setup.limits) {
            Ok(approved) => approved,
            Err(refusal) => return self.refused(&strategy, &refusal.to_string()),
        };
        self.last_refusal.remove(&strategy);
        let Some(act) = self.next_act(&approved) else { return };
        if !self.sends_for(&strategy) {
            return self
                .refused(&strategy, &format!("observing only; would {}: {why}", act.as_str()));
        }
        let body = json!({ "intent": id, "strategy": strategy, "act": act.as_str(), "why": why });
        self.note("intent", body);
        let Some(chain) = self.chains.get_mut(&pool.chain) else { return };
        chain.pending = Some(Pending { intent: id, strategy, act: act.clone(), since: self.now });
        self.out.commands.push(Command::Estimate { chain: pool.chain, intent: id, act });
    }

    /// A refusal is noted when it begins and once a minute while it lasts.
    fn refused(&mut self, strategy: &str, why: &str) {
        let noted = self.last_refusal.get(strategy).copied();
        if noted.is_none_or(|noted| self.now.ms_since(noted) >= REFUSAL_NOTED_EVERY_MS) {
            self.last_refusal.insert(strategy.to_owned(), self.now);
            self.note("refused", json!({ "strategy": strategy, "why": why }));
        }
    }

    /// The next transaction of an approved want.
    fn next_act(&self, approved: &Approved) -> Option<Act> {
        let pool = pool_of(&approved.intent().want)?;
        let chain = self.chains.get(&pool.chain)?;
        let setup = chain.setup.pool(pool.address)?;
        let deadline = chain.head?.time.plus_ms(DEADLINE_MS);
        plan::act(approved, (setup.token0, setup.token1), &chain.allowances, deadline)
    }

    /// Takes the next slot and hands the request to the shore, to be signed, committed and sent.
    pub(super) fn submit(&mut self, request: TxRequest, intent: Uuid, strategy: String) {
        let range = match &request.act {
            Act::Open { open, .. } => Some((open.tick_lower, open.tick_upper)),
            _ => None,
        };
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

    fn decide_hedge(&mut self, index: usize) {
        let parameters = self.setup.strategies[index].hedge.clone();
        // An order may be over before its trades are in the ledger: only then we know our hold.
        let is_settled = self.venues.get(&parameters.venue).is_some_and(VenueState::is_settled);
        let is_early = self.now < self.strategies[index].hedge_retry_at;
        if self.has_open_order(&parameters.venue, &parameters.symbol) || !is_settled || is_early {
            return;
        }
        let chain = self.setup.strategies[index].liquidity.pool.chain;
        match self.hedge_intent(index, chain, &parameters) {
            Ok(Some(intent)) => {
                self.strategies[index].hedge_why.clone_from(&intent.why);
                self.review_hedge(intent, &parameters);
            }
            Ok(None) => self.strategies[index].hedge_why = "inside the band".into(),
            Err(why) => self.strategies[index].hedge_why = why,
        }
    }

    fn hedge_intent(
        &mut self,
        index: usize,
        chain: u64,
        parameters: &hedging::Parameters,
    ) -> Result<Option<Intent>, String> {
        self.chains.get(&chain).ok_or("unknown chain")?.live(self.now)?;
        let (in_positions, in_wallet) =
            self.base_on_chain(chain).ok_or("what the positions hold is not known")?;
        let contracts = self
            .contracts(&parameters.venue, &parameters.symbol)
            .ok_or("the perpetual position is not known")?;
        let venue = self.venues.get(&parameters.venue).ok_or("unknown venue")?;
        let rules = venue.rules.get(&parameters.symbol).ok_or("the market's rules are not read")?;
        let book = venue.books.get(&parameters.symbol).ok_or("unknown market")?;
        let touch = book.touch(self.now).map_err(|why| why.to_string())?;
        let mut view = hedging::View {
            base_held: in_positions + in_wallet,
            contracts,
            bid: touch.bid.price,
            ask: touch.ask.price,
            rules,
            outside_since: None,
            at: self.now,
            decision: self.decisions,
        };
        let gap = view.gap(parameters);
        let strategy = &mut self.strategies[index];
        if hedging::is_outside(gap, touch.mid(), parameters) {
            view.outside_since = Some(*strategy.outside_since.get_or_insert(self.now));
        } else {
            strategy.outside_since = None;
        }
        Ok(hedging::decide(&view, parameters))
    }

    fn review_hedge(&mut self, intent: Intent, parameters: &hedging::Parameters) {
        let live = self.venue_live(&parameters.venue, &parameters.symbol);
        let view = self.risk_view(live, Some(parameters));
        let (strategy, id, why) = (intent.strategy.clone(), intent.id, intent.why.clone());
        let approved = match gate::review(intent, &view, &self.setup.limits) {
            Ok(approved) => approved,
            Err(refusal) => {
                return self.refused(&format!("{strategy}/hedge"), &refusal.to_string());
            }
        };
        self.last_refusal.remove(&format!("{strategy}/hedge"));
        if !self.sends_for(&strategy) {
            return self.refused(&format!("{strategy}/hedge"), &format!("observing only: {why}"));
        }
        self.decisions += 1;
        let Some(order) = plan::order(&approved, self.now) else { return };
        self.orders_sent += 1;
        self.orders.insert(order.request.client_order_id.clone(), order.clone());
        self.out.commands.push(Command::Place { order, intent: id, strategy });
    }

    pub(super) fn order_event(&mut self, id: &str, event: &OrderEvent) {
        let Some(order) = self.orders.get_mut(id) else { return };
        let (was_open, filled_before) = (order.is_open(), order.filled);
        if !order.apply(event, self.now) {
            return;
        }
        if filled_before.is_zero() && !order.filled.is_zero() {
            self.orders_filled += 1;
        }
        let order = order.clone();
        let report = match event {
            OrderEvent::Report(report) | OrderEvent::Reply(OrderReply::Known(report)) => {
                Some(report)
            }
            _ => None,
        };
        if let Some(report) = report
            && let Some(venue) = self.venues.get_mut(&order.request.venue)
        {
            let settling = venue.settling(report.venue_order_id);
            settling.reported = settling.reported.max(order.filled);
        }
        self.out.records.push(Record::OrderState(order.clone()));
        if was_open && !order.is_open() {
            self.orders.remove(id);
            self.cool_down(&order);
            // A fill may still be on its way: the ledger takes it by its id whenever it comes.
            self.query_fills(&order.request.venue, &order.request.symbol);
            self.keep_closed_order(order);
        }
    }

    /// An order that traded nothing is not placed again at once: whatever refused it still does.
    fn cool_down(&mut self, order: &Order) {
        let retry_at = if order.filled.is_zero() {
            let index = self.hedge_refusals.min(HEDGE_RETRY_DOUBLINGS_MAX);
            self.hedge_refusals = self.hedge_refusals.saturating_add(1);
            self.now.plus_ms(HEDGE_RETRY_MS << index)
        } else {
            self.hedge_refusals = 0;
            self.now
        };
        for (state, setup) in self.strategies.iter_mut().zip(&self.setup.strategies) {
            if setup.hedge.venue == order.request.venue {
                state.hedge_retry_at = retry_at;
            }
        }
    }

    fn pool_live(&self, pool: PoolId) -> Result<(), String> {
        let chain = self.chains.get(&pool.chain).ok_or("unknown chain")?;
        chain.live(self.now)?;
        chain.pool_live(pool.address)
    }

    fn venue_live(&self, venue: &str, symbol: &str) -> Result<(), String> {
        let state = self.venues.get(venue).ok_or("unknown venue")?;
        if !state.is_user_up || !state.is_ready {
            return Err(format!("the user stream of {venue} is not live"));
        }
        let book = state.books.get(symbol).ok_or("unknown market")?;
        book.touch(self.now).map(|_| ()).map_err(|why| format!("{venue} {symbol}: {why}"))
    }

    fn risk_view(&self, live: Result<(), String>, hedge: Option<&hedging::Parameters>) -> RiskView {
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
        let gas = human_unsigned(self.day_gas, NATIVE_DECIMALS);
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
    /// Both.
    pub held: Decimal,
    /// Perpetual contracts.
    pub contracts: Decimal,
}

fn held(position: &Position) -> liquidity::Held {
    liquidity::Held {
        token_id: position.token_id,
        tick_lower: position.tick_lower,
        tick_upper: position.tick_upper,
        liquidity: position.liquidity,
        opened: position.opened,
    }
}

fn pool_of(want: &Want) -> Option<PoolId> {
    match want {
        Want::Open(open) => Some(open.pool),
        Want::Close(close) => Some(close.pool),
        Want::Swap(swap) => Some(swap.pool),
        Want::Hedge(_) => None,
    }
}
