//! Spot accounts: what is free, what is locked behind orders, every trade, and what the owners are
//! told.
//!
//! The fee is taken from what is received, rounded up to 1e-8. A buy locks its limit times its
//! quantity in USDT, a sell its quantity in ETH; a fill below the limit frees the difference at
//! once.

use crate::model::order::Side;
use crate::sim::BALANCE_MAX;
use crate::sim::clearing::Clearing;
use crate::sim::desk::Desk;
use crate::sim::fixed::{product, share_up};
use crate::sim::order::{Fill, Kind, Order, Refusal};
use crate::sim::rules::Rules;

/// The spot market and its accounts.
pub type SpotDesk = Desk<SpotClearing>;

/// What a spot account can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// The base.
    Eth,
    /// The quote.
    Usdt,
}

impl Asset {
    /// The venue's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eth => "ETH",
            Self::Usdt => "USDT",
        }
    }

    /// From the venue's word.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Eth, Self::Usdt].into_iter().find(|asset| asset.name() == name)
    }
}

/// A balance in 1e-8 units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Usable now.
    pub free: i128,
    /// Behind open orders.
    pub locked: i128,
}

/// One account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotAccount {
    /// Base.
    pub eth: Balance,
    /// Quote.
    pub usdt: Balance,
    /// Unix ms of the last change.
    pub updated_ms: i64,
}

impl SpotAccount {
    /// The balance of an asset.
    pub fn balance(&self, asset: Asset) -> Balance {
        match asset {
            Asset::Eth => self.eth,
            Asset::Usdt => self.usdt,
        }
    }

    fn balance_mut(&mut self, asset: Asset) -> &mut Balance {
        match asset {
            Asset::Eth => &mut self.eth,
            Asset::Usdt => &mut self.usdt,
        }
    }
}

/// A trade of one of our orders, on record for ever.
#[derive(Clone, Copy, Debug)]
pub struct SpotTrade {
    /// Index of the account.
    pub account: usize,
    /// The order.
    pub order_id: u64,
    /// From the owner's side.
    pub side: Side,
    /// Price, quantity, quote, role and time.
    pub fill: Fill,
    /// 1e-8 of `fee_asset`.
    pub fee: i128,
    /// What was received.
    pub fee_asset: Asset,
}

/// What an owner is told, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum SpotEvent {
    /// An order was accepted or ended, or traded when `trade` is there.
    Report {
        /// The order after it.
        order: Order,
        /// The trade.
        trade: Option<SpotTrade>,
    },
    /// Balances after a change.
    Balances {
        /// Index of the account.
        account: usize,
        /// All of them.
        after: SpotAccount,
    },
    /// A deposit or withdrawal.
    Transfer {
        /// Index of the account.
        account: usize,
        /// Which.
        asset: Asset,
        /// Signed 1e-8.
        delta: i128,
        /// Unix ms.
        at_ms: i64,
    },
}

/// All spot accounts.
#[derive(Debug)]
pub struct SpotClearing {
    accounts: Vec<SpotAccount>,
    trades: Vec<SpotTrade>,
    events: Vec<SpotEvent>,
    rules: Rules,
}

/// What an open order keeps locked: the asset and 1e-8 of it.
fn lock_of(order: &Order, quantity: i64) -> (Asset, i128) {
    match (order.kind, order.side) {
        (Kind::Market, _) => (Asset::Usdt, 0),
        (_, Side::Buy) => (Asset::Usdt, product(order.price, quantity)),
        (_, Side::Sell) => (Asset::Eth, i128::from(quantity)),
    }
}

impl SpotClearing {
    /// `n_accounts` accounts with the same opening balances, 1e-8 units.
    pub fn new(rules: Rules, n_accounts: usize, eth: i64, usdt: i64, now_ms: i64) -> Self {
        let opening = |free: i64| Balance { free: i128::from(free), locked: 0 };
        let account = SpotAccount { eth: opening(eth), usdt: opening(usdt), updated_ms: now_ms };
        let accounts = vec![account; n_accounts];
        Self { accounts, trades: Vec::new(), events: Vec::new(), rules }
    }

    /// One account.
    pub fn account(&self, account: usize) -> SpotAccount {
        self.accounts.get(account).copied().unwrap_or_default()
    }

    /// Trades of an account, oldest first, ids rising.
    pub fn trades(&self, account: usize) -> impl DoubleEndedIterator<Item = &SpotTrade> {
        self.trades.iter().filter(move |trade| trade.account == account)
    }

    /// What the owners have to be told since the last call.
    pub fn drain_events(&mut self) -> Vec<SpotEvent> {
        std::mem::take(&mut self.events)
    }

    /// A deposit (or, negative, a withdrawal) with its events.
    pub fn transfer(
        &mut self,
        account: usize,
        asset: Asset,
        delta: i64,
        at_ms: i64,
    ) -> Result<(), Refusal> {
        let target = self.accounts.get_mut(account).ok_or(Refusal::Funds)?;
        let delta = i128::from(delta);
        let free = target.balance(asset).free + delta;
        if !(0..=BALANCE_MAX).contains(&free) {
            return Err(Refusal::Funds);
        }
        target.balance_mut(asset).free = free;
        self.events.push(SpotEvent::Transfer { account, asset, delta, at_ms });
        self.tell_balances(account, at_ms);
        Ok(())
    }

    /// Changes a balance without telling anybody: the theft that reconciliation must notice.
    pub fn falsify(&mut self, account: usize, asset: Asset, steps: i64) -> Result<(), Refusal> {
        let target = self.accounts.get_mut(account).ok_or(Refusal::Funds)?;
        target.balance_mut(asset).free += i128::from(steps);
        Ok(())
    }

    fn tell_balances(&mut self, account: usize, at_ms: i64) {
        let Some(target) = self.accounts.get_mut(account) else {
            return;
        };
        target.updated_ms = at_ms;
        self.events.push(SpotEvent::Balances { account, after: *target });
    }

    fn lock(&mut self, account: usize, asset: Asset, amount: i128) {
        if let Some(target) = self.accounts.get_mut(account) {
            let balance = target.balance_mut(asset);
            balance.free -= amount;
            balance.locked += amount;
        }
    }

    fn add(&mut self, account: usize, asset: Asset, amount: i128) {
        if let Some(target) = self.accounts.get_mut(account) {
            target.balance_mut(asset).free += amount;
        }
    }
}

impl Clearing for SpotClearing {
    fn admit(&self, order: &Order, cost: i128) -> Result<(), Refusal> {
        let account = self.account(order.account);
        let has_room = match order.side {
            Side::Buy => account.usdt.free >= cost,
            Side::Sell => account.eth.free >= i128::from(order.quantity),
        };
        if has_room { Ok(()) } else { Err(Refusal::Funds) }
    }

    fn open(&mut self, order: &Order) {
        let (asset, amount) = lock_of(order, order.quantity);
        self.lock(order.account, asset, amount);
        self.events.push(SpotEvent::Report { order: order.clone(), trade: None });
        if amount > 0 {
            self.tell_balances(order.account, order.updated_ms);
        }
    }

    fn fillable(&self, order: &Order) -> i64 {
        order.remaining()
    }

    fn settle(&mut self, order: &Order, fill: &Fill) {
        let (asset, amount) = lock_of(order, fill.quantity);
        self.lock(order.account, asset, -amount);
        let base = i128::from(fill.quantity);
        let (paid, received) = match order.side {
            Side::Buy => ((Asset::Usdt, fill.quote), (Asset::Eth, base)),
            Side::Sell => ((Asset::Eth, base), (Asset::Usdt, fill.quote)),
        };
        let rate = if fill.is_maker { self.rules.maker_fee } else { self.rules.taker_fee };
        let fee = share_up(received.1, rate);
        self.add(order.account, paid.0, -paid.1);
        self.add(order.account, received.0, received.1 - fee);
        let trade = SpotTrade {
            account: order.account,
            order_id: order.id,
            side: order.side,
            fill: *fill,
            fee,
            fee_asset: received.0,
        };
        self.trades.push(trade);
        self.events.push(SpotEvent::Report { order: order.clone(), trade: Some(trade) });
        self.tell_balances(order.account, fill.at_ms);
    }

    fn close(&mut self, order: &Order) {
        let (asset, amount) = lock_of(order, order.remaining());
        self.lock(order.account, asset, -amount);
        self.events.push(SpotEvent::Report { order: order.clone(), trade: None });
        if amount > 0 {
            self.tell_balances(order.account, order.updated_ms);
        }
    }
}
