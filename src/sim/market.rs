//! One market: a book moved by a tape and by our orders, and the record of every order and trade.
//!
//! Invariant: each order in `open` rests in the book with exactly its remaining quantity.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::order::Side;
use crate::sim::book::{Batch, Book};
use crate::sim::clearing::Clearing;
use crate::sim::fixed::{ONE, product};
use crate::sim::order::{Kind, Lifetime, Order, Reference, Refusal, Request, Size, Status};
use crate::sim::rules::{OPEN_ORDERS_MAX, Rules};
use crate::sim::tape::{Fact, Player, Step, Tape};

mod matching;

/// Public trades kept for `GET trades`.
pub const TRADES_KEPT: usize = 1_000;
/// Orders kept on record; beyond it the market refuses new ones rather than forget old ones.
pub const ORDERS_KEPT: usize = 2_000_000;

/// Where the exchange's own numbers begin, so that the two markets are never mistaken for each
/// other.
#[derive(Clone, Copy, Debug)]
pub struct FirstIds {
    /// Before the first book step.
    pub update: u64,
    /// Of the first order.
    pub order: u64,
    /// Of the first trade.
    pub trade: u64,
}

/// A trade as everybody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicTrade {
    /// The exchange's id.
    pub id: u64,
    /// 1e-8.
    pub price: i64,
    /// 1e-8 base.
    pub quantity: i64,
    /// Unix ms.
    pub at_ms: i64,
    /// True when the buyer rested.
    pub buyer_is_maker: bool,
}

/// What the public learns, in order.
#[derive(Clone, Debug)]
pub enum Public {
    /// The book changed.
    Batch(Batch),
    /// A trade happened.
    Trade(PublicTrade),
}

/// Figures since the exchange started, in 1e-8 units.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub last: i64,
    /// Last quantity.
    pub last_quantity: i64,
    /// Base traded.
    pub volume: i128,
    /// Quote traded.
    pub quote_volume: i128,
    /// Id of the first trade.
    pub first_id: u64,
    /// Id of the last trade.
    pub last_id: u64,
    /// Number of trades.
    pub count: u64,
}

/// One market.
#[derive(Debug)]
pub struct Market {
    /// What it accepts.
    pub rules: Rules,
    book: Book,
    player: Player,
    orders: BTreeMap<u64, Order>,
    open: BTreeSet<u64>,
    /// The latest order of each client id; older ones of the same id are closed.
    latest: BTreeMap<(usize, String), u64>,
    next_order: u64,
    next_trade: u64,
    trades: VecDeque<PublicTrade>,
    tally: Tally,
    public: Vec<Public>,
}

impl Market {
    /// A market whose book stands at the tape's first instant.
    pub fn new(rules: Rules, tape: Arc<Tape>, first: FirstIds) -> Self {
        let mut book = Book::new(first.update);
        book.anchor(&tape.anchor);
        book.commit();
        Self {
            rules,
            book,
            player: Player::new(tape),
            orders: BTreeMap::new(),
            open: BTreeSet::new(),
            latest: BTreeMap::new(),
            next_order: first.order,
            next_trade: first.trade,
            trades: VecDeque::new(),
            tally: Tally::default(),
            public: Vec::new(),
        }
    }

    /// The book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// How often the tape began again.
    pub fn loops(&self) -> u64 {
        self.player.loops()
    }

    /// The last public trades, oldest first.
    pub fn trades(&self) -> &VecDeque<PublicTrade> {
        &self.trades
    }

    /// Figures since the start.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What the public has to be told since the last call.
    pub fn drain_public(&mut self) -> Vec<Public> {
        std::mem::take(&mut self.public)
    }

    /// Orders of an account from id `from` on, oldest first.
    pub fn orders_from(
        &self,
        account: usize,
        from: u64,
    ) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders.range(from..).map(|(_, order)| order).filter(move |o| o.account == account)
    }

    /// Open orders of an account, oldest first.
    pub fn open_orders(&self, account: usize) -> impl Iterator<Item = &Order> {
        let open = self.open.iter().filter_map(|id| self.orders.get(id));
        open.filter(move |order| order.account == account)
    }

    /// Open orders that may only reduce, of all accounts.
    pub fn open_reducing(&self) -> Vec<u64> {
        let is_reducing = |id: &&u64| self.orders.get(id).is_some_and(|order| order.reduce_only);
        self.open.iter().filter(is_reducing).copied().collect()
    }

    /// Any order on record.
    pub fn order(&self, id: u64) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// An order of an account by either name.
    pub fn find(&self, account: usize, reference: &Reference) -> Option<&Order> {
        let id = match reference {
            Reference::Id(id) => *id,
            Reference::Client(client_id) => *self.latest.get(&(account, client_id.clone()))?,
        };
        self.orders.get(&id).filter(|order| order.account == account)
    }

    /// Middle of the best bid and ask on the price grid, else the last price; 0 when nothing is
    /// known.
    pub fn mid(&self) -> i64 {
        match (self.book.best(Side::Buy), self.book.best(Side::Sell)) {
            (Some((bid, _)), Some((ask, _))) => {
                let mid = bid + (ask - bid) / 2;
                mid - mid % self.rules.tick
            }
            (Some((price, _)), None) | (None, Some((price, _))) => price,
            (None, None) => self.tally.last,
        }
    }

    /// Plays the tape for `by_ms` and stamps what happens with `now_ms`.
    pub fn advance(&mut self, by_ms: i64, now_ms: i64, clearing: &mut impl Clearing) {
        self.player.advance(by_ms);
        while let Some(step) = self.player.due() {
            match step {
                Step::Fact(Fact::Depth(levels)) => {
                    for level in levels {
                        self.book.set_ghost(level);
                    }
                    self.cross(now_ms, clearing);
                }
                Step::Fact(Fact::Trade(trade)) => self.consume(trade, now_ms, clearing),
                Step::Anchor(levels) => {
                    self.book.anchor(&levels);
                    self.cross(now_ms, clearing);
                }
            }
            self.commit();
        }
    }

    /// Accepts and matches an order, or says why not. Returns its id.
    pub fn place(
        &mut self,
        request: Request,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) -> Result<u64, Refusal> {
        let mut order = self.review(request, now_ms)?;
        let resting = order.side.opposite();
        let limit = (order.kind != Kind::Market).then_some(order.price);
        let is_post_only = order.kind == Kind::LimitMaker || order.lifetime == Lifetime::Gtx;
        if is_post_only && self.book.front(resting, limit).is_some() {
            return Err(Refusal::WouldTake);
        }
        if order.reduce_only {
            order.quantity = clearing.fillable(&order);
            if order.quantity <= 0 {
                return Err(Refusal::NothingToReduce);
            }
        }
        let cost = match limit {
            Some(price) => product(price, order.quantity),
            None => self.book.available(resting, None, order.quantity).1,
        };
        clearing.admit(&order, cost)?;
        let id = order.id;
        self.next_order += 1;
        self.latest.insert((order.account, order.client_id.clone()), id);
        self.open.insert(id);
        clearing.open(&order);
        let is_hopeless = order.lifetime == Lifetime::Fok
            && self.book.available(resting, limit, order.quantity).0 < order.quantity;
        self.orders.insert(id, order);
        if !is_hopeless {
            self.take_liquidity(id, limit, now_ms, clearing);
        }
        self.rest_or_expire(id, now_ms, clearing);
        self.commit();
        Ok(id)
    }

    /// Cancels an open order.
    pub fn cancel(
        &mut self,
        account: usize,
        reference: &Reference,
        cancel_id: Option<String>,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) -> Result<u64, Refusal> {
        let order = self.find(account, reference).ok_or(Refusal::UnknownOpen)?;
        if !order.status.is_open() {
            return Err(Refusal::UnknownOpen);
        }
        let id = order.id;
        let cancel_id = cancel_id.unwrap_or_else(|| format!("cancel{id:016}"));
        if let Some(order) = self.orders.get_mut(&id) {
            order.cancel_id = Some(cancel_id);
        }
        self.end(id, Status::Canceled, now_ms, clearing);
        self.commit();
        Ok(id)
    }

    /// Ends an open order by its own terms.
    pub fn expire(&mut self, id: u64, now_ms: i64, clearing: &mut impl Clearing) {
        self.end(id, Status::Expired, now_ms, clearing);
        self.commit();
    }

    fn review(&self, request: Request, now_ms: i64) -> Result<Order, Refusal> {
        let resting = request.side.opposite();
        let reference = self.book.best(resting).map_or(self.tally.last, |(price, _)| price);
        self.rules.admit(&request, reference)?;
        if self.orders.len() >= ORDERS_KEPT {
            return Err(Refusal::Full);
        }
        let id = self.next_order;
        let client_id = request.client_id.unwrap_or_else(|| format!("order{id:017}"));
        let earlier = self.find(request.account, &Reference::Client(client_id.clone()));
        if earlier.is_some_and(|order| order.status.is_open()) {
            return Err(Refusal::Duplicate);
        }
        if self.open_orders(request.account).count() >= OPEN_ORDERS_MAX {
            return Err(Refusal::TooManyOpen);
        }
        let (quantity, quote_quantity) = match request.size {
            Size::Base(quantity) => (quantity, 0),
            Size::Quote(quote) => (self.affordable(resting, quote), quote),
        };
        if quantity == 0 {
            return Err(Refusal::QuantityMin);
        }
        Ok(Order {
            id,
            account: request.account,
            client_id,
            cancel_id: None,
            side: request.side,
            kind: request.kind,
            lifetime: request.lifetime,
            price: request.price,
            quantity,
            quote_quantity,
            reduce_only: request.reduce_only,
            executed: 0,
            executed_quote: 0,
            status: Status::New,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
    }

    /// Whole lots that `quote` buys (or that must be sold for it) on the resting side, without
    /// exceeding it.
    fn affordable(&self, resting: Side, quote: i64) -> i64 {
        let (mut left, mut quantity) = (i128::from(quote), 0_i64);
        for (price, total) in self.book.levels(resting, usize::MAX) {
            let lots = left * i128::from(ONE) / i128::from(price) / i128::from(self.rules.lot);
            let most = i64::try_from(lots * i128::from(self.rules.lot)).unwrap_or(i64::MAX);
            let part = total.min(most);
            quantity = quantity.saturating_add(part).min(self.rules.market_quantity_max);
            left -= product(price, part);
            if part < total {
                break;
            }
        }
        quantity
    }

    fn commit(&mut self) {
        self.public.extend(self.book.commit().map(Public::Batch));
    }
}

impl Tally {
    fn count(&mut self, trade: &PublicTrade) {
        if self.count == 0 {
            (self.open, self.high, self.low) = (trade.price, trade.price, trade.price);
            self.first_id = trade.id;
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.last = trade.price;
        self.last_quantity = trade.quantity;
        self.last_id = trade.id;
        self.volume += i128::from(trade.quantity);
        self.quote_volume += product(trade.price, trade.quantity);
        self.count += 1;
    }
}
