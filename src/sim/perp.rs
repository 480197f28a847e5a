//! Perpetual accounts: one USDT wallet with cross margin, one one-way position, funding, and the
//! venue's own records.
//!
//! The wallet moves only by realised profit, commission, funding and transfers, and each move is an
//! income record: `wallet == opening + sum(income)` at all times.

use std::collections::VecDeque;

use crate::model::order::Side;
use crate::sim::BALANCE_MAX;
use crate::sim::clearing::Clearing;
use crate::sim::desk::Desk;
use crate::sim::fixed::{ONE, product, share_down, share_up};
use crate::sim::order::{Fill, Order, Refusal};
use crate::sim::position::Position;
use crate::sim::rules::Rules;

/// The perpetual market and its accounts.
pub type PerpDesk = Desk<PerpClearing>;

/// Funding rounds kept for `GET fundingRate`.
pub const FUNDINGS_KEPT: usize = 1_000;
/// Maintenance margin as a share of the position's value (the venue's first bracket). Shown, never
/// enforced.
pub const MAINTENANCE_SHARE: i64 = ONE / 250;

/// Why the wallet moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncomeKind {
    /// Profit of a reducing trade.
    RealizedPnl,
    /// Fee of a trade.
    Commission,
    /// Funding paid or received.
    FundingFee,
    /// Deposit or withdrawal.
    Transfer,
}

impl IncomeKind {
    /// The venue's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::RealizedPnl => "REALIZED_PNL",
            Self::Commission => "COMMISSION",
            Self::FundingFee => "FUNDING_FEE",
            Self::Transfer => "TRANSFER",
        }
    }
}

/// One move of the wallet, on record for ever.
#[derive(Clone, Copy, Debug)]
pub struct Income {
    /// Rising by one.
    pub id: u64,
    /// Index of the account.
    pub account: usize,
    /// Why.
    pub kind: IncomeKind,
    /// Signed 1e-8 USDT.
    pub amount: i128,
    /// Unix ms.
    pub at_ms: i64,
    /// The trade behind it.
    pub trade_id: Option<u64>,
}

/// A trade of one of our orders, on record for ever.
#[derive(Clone, Copy, Debug)]
pub struct PerpTrade {
    /// Index of the account.
    pub account: usize,
    /// The order.
    pub order_id: u64,
    /// From the owner's side.
    pub side: Side,
    /// Price, quantity, quote, role and time.
    pub fill: Fill,
    /// 1e-8 USDT.
    pub fee: i128,
    /// 1e-8 USDT.
    pub realised: i128,
}

/// One account.
#[derive(Clone, Copy, Debug)]
pub struct PerpAccount {
    /// 1e-8 USDT.
    pub wallet: i128,
    /// One-way.
    pub position: Position,
    /// Value of open orders that could add to the position, 1e-8 USDT.
    pub open_notional: i128,
    /// Initial leverage.
    pub leverage: i64,
    /// Unix ms of the last change.
    pub updated_ms: i64,
}

impl PerpAccount {
    /// Margin the position needs at `mark`, rounded up.
    pub fn position_margin(&self, mark: i64) -> i128 {
        part_up(self.position.notional(mark).abs(), self.leverage)
    }

    /// Margin open orders need, rounded up.
    pub fn order_margin(&self) -> i128 {
        part_up(self.open_notional, self.leverage)
    }

    /// Wallet plus unrealised profit.
    pub fn margin_balance(&self, mark: i64) -> i128 {
        self.wallet + self.position.unrealised(mark)
    }

    /// What new risk may use, never below 0.
    pub fn available(&self, mark: i64) -> i128 {
        (self.margin_balance(mark) - self.position_margin(mark) - self.order_margin()).max(0)
    }
}

fn part_up(amount: i128, divisor: i64) -> i128 {
    -(-amount).div_euclid(i128::from(divisor.max(1)))
}

/// What an owner is told, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum PerpEvent {
    /// An order was accepted or ended, or traded when `trade` is there.
    Order {
        /// The order after it.
        order: Order,
        /// The trade.
        trade: Option<PerpTrade>,
    },
    /// The wallet, and by a trade the position, changed.
    Account {
        /// Index of the account.
        account: usize,
        /// The venue's word for why.
        reason: &'static str,
        /// The account after it.
        after: PerpAccount,
        /// Change other than by profit and commission, 1e-8 USDT.
        change: i128,
        /// Price the unrealised profit is counted at.
        mark: i64,
        /// Unix ms.
        at_ms: i64,
    },
}

/// One round of funding.
#[derive(Clone, Copy, Debug)]
pub struct Funding {
    /// Unix ms.
    pub at_ms: i64,
    /// Share of the position's value longs pay, 1e-8.
    pub rate: i64,
    /// 1e-8.
    pub mark: i64,
}

/// All perpetual accounts.
#[derive(Debug)]
pub struct PerpClearing {
    accounts: Vec<PerpAccount>,
    trades: Vec<PerpTrade>,
    income: Vec<Income>,
    fundings: VecDeque<Funding>,
    events: Vec<PerpEvent>,
    rules: Rules,
    mark: i64,
}

impl PerpClearing {
    /// `n_accounts` accounts with the same opening wallet (1e-8 USDT) and initial leverage.
    pub fn new(rules: Rules, n_accounts: usize, usdt: i64, leverage: i64, now_ms: i64) -> Self {
        let account = PerpAccount {
            wallet: i128::from(usdt),
            position: Position::default(),
            open_notional: 0,
            leverage: leverage.max(1),
            updated_ms: now_ms,
        };
        Self {
            accounts: vec![account; n_accounts],
            trades: Vec::new(),
            income: Vec::new(),
            fundings: VecDeque::new(),
            events: Vec::new(),
            rules,
            mark: 0,
        }
    }

    /// One account.
    pub fn account(&self, account: usize) -> Option<&PerpAccount> {
        self.accounts.get(account)
    }

    /// Trades of an account, oldest first, ids rising.
    pub fn trades(&self, account: usize) -> impl DoubleEndedIterator<Item = &PerpTrade> {
        self.trades.iter().filter(move |trade| trade.account == account)
    }

    /// Income of an account, oldest first.
    pub fn income(&self, account: usize) -> impl DoubleEndedIterator<Item = &Income> {
        self.income.iter().filter(move |income| income.account == account)
    }

    /// The last rounds of funding, oldest first.
    pub fn fundings(&self) -> &VecDeque<Funding> {
        &self.fundings
    }

    /// The mark price, 1e-8.
    pub fn mark(&self) -> i64 {
        self.mark
    }

    /// Sets the mark price, 1e-8.
    pub fn set_mark(&mut self, mark: i64) {
        self.mark = mark;
    }

    /// Sets the initial leverage of an account; the caller keeps it within its own limit.
    pub fn set_leverage(&mut self, account: usize, leverage: i64) {
        if let Some(account) = self.accounts.get_mut(account) {
            account.leverage = leverage.max(1);
        }
    }

    /// What the owners have to be told since the last call.
    pub fn drain_events(&mut self) -> Vec<PerpEvent> {
        std::mem::take(&mut self.events)
    }

    /// Longs pay shorts `rate` of their value at the mark price; each amount is rounded against its
    /// account.
    pub fn fund(&mut self, rate: i64, at_ms: i64) {
        let mark = self.mark;
        if self.fundings.len() == FUNDINGS_KEPT {
            self.fundings.pop_front();
        }
        self.fundings.push_back(Funding { at_ms, rate, mark });
        for account in 0..self.accounts.len() {
            let position = self.accounts[account].position;
            if position.quantity != 0 {
                let amount = share_down(-position.notional(mark), rate);
                self.book(account, IncomeKind::FundingFee, amount, at_ms, None);
                self.tell(account, "FUNDING_FEE", amount, at_ms);
            }
        }
    }

    /// A deposit (or, negative, a withdrawal) with its record and event.
    pub fn transfer(&mut self, account: usize, delta: i64, at_ms: i64) -> Result<(), Refusal> {
        let target = self.accounts.get(account).ok_or(Refusal::Funds)?;
        let delta = i128::from(delta);
        let is_covered = delta >= 0 || target.available(self.mark) >= -delta;
        if !is_covered || target.wallet + delta > BALANCE_MAX {
            return Err(Refusal::Funds);
        }
        self.book(account, IncomeKind::Transfer, delta, at_ms, None);
        let reason = if delta >= 0 { "DEPOSIT" } else { "WITHDRAW" };
        self.tell(account, reason, delta, at_ms);
        Ok(())
    }

    /// Changes a wallet without record or event: the theft that reconciliation must notice.
    pub fn falsify(&mut self, account: usize, steps: i64) -> Result<(), Refusal> {
        let target = self.accounts.get_mut(account).ok_or(Refusal::Funds)?;
        target.wallet += i128::from(steps);
        Ok(())
    }

    fn book(
        &mut self,
        account: usize,
        kind: IncomeKind,
        amount: i128,
        at_ms: i64,
        trade_id: Option<u64>,
    ) {
        let Some(target) = self.accounts.get_mut(account) else {
            return;
        };
        target.wallet += amount;
        target.updated_ms = at_ms;
        let id = self.income.len() as u64 + 1;
        self.income.push(Income { id, account, kind, amount, at_ms, trade_id });
    }

    fn tell(&mut self, account: usize, reason: &'static str, change: i128, at_ms: i64) {
        let Some(after) = self.accounts.get(account).copied() else {
            return;
        };
        let mark = self.mark;
        self.events.push(PerpEvent::Account { account, reason, after, change, mark, at_ms });
    }

    /// Adds to (or, negative, takes from) the value of an account's open orders.
    fn reserve(&mut self, order: &Order, quantity: i64) {
        if order.reduce_only {
            return;
        }
        if let Some(account) = self.accounts.get_mut(order.account) {
            account.open_notional += product(order.price, quantity);
        }
    }
}

impl Clearing for PerpClearing {
    fn admit(&self, order: &Order, cost: i128) -> Result<(), Refusal> {
        let account = self.accounts.get(order.account).ok_or(Refusal::Funds)?;
        let opened = (order.quantity - account.position.reducible(order.side)).max(0);
        if order.reduce_only || opened == 0 {
            return Ok(());
        }
        let opened_cost = cost * i128::from(opened) / i128::from(order.quantity);
        let need = part_up(opened_cost, account.leverage) + share_up(cost, self.rules.taker_fee);
        if account.available(self.mark) >= need { Ok(()) } else { Err(Refusal::Funds) }
    }

    fn open(&mut self, order: &Order) {
        self.reserve(order, order.quantity);
        self.events.push(PerpEvent::Order { order: order.clone(), trade: None });
    }

    fn fillable(&self, order: &Order) -> i64 {
        let position = self.accounts.get(order.account).map(|account| account.position);
        match position {
            Some(position) if order.reduce_only => {
                position.reducible(order.side).min(order.remaining())
            }
            _ => order.remaining(),
        }
    }

    fn settle(&mut self, order: &Order, fill: &Fill) {
        self.reserve(order, -fill.quantity);
        let Some(account) = self.accounts.get_mut(order.account) else {
            return;
        };
        let realised = account.position.trade(order.side, fill.price, fill.quantity);
        let rate = if fill.is_maker { self.rules.maker_fee } else { self.rules.taker_fee };
        let fee = share_up(fill.quote, rate);
        let trade_id = Some(fill.trade_id);
        if realised != 0 {
            self.book(order.account, IncomeKind::RealizedPnl, realised, fill.at_ms, trade_id);
        }
        self.book(order.account, IncomeKind::Commission, -fee, fill.at_ms, trade_id);
        let trade = PerpTrade {
            account: order.account,
            order_id: order.id,
            side: order.side,
            fill: *fill,
            fee,
            realised,
        };
        self.trades.push(trade);
        self.tell(order.account, "ORDER", 0, fill.at_ms);
        self.events.push(PerpEvent::Order { order: order.clone(), trade: Some(trade) });
    }

    fn close(&mut self, order: &Order) {
        self.reserve(order, -order.remaining());
        self.events.push(PerpEvent::Order { order: order.clone(), trade: None });
    }
}
