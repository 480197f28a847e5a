//! How orders meet: takers against the book, recorded trades and levels against orders of ours.

use crate::model::order::Side;
use crate::sim::book::{Front, Maker};
use crate::sim::clearing::Clearing;
use crate::sim::fixed::product;
use crate::sim::market::{Market, Public, PublicTrade, TRADES_KEPT};
use crate::sim::order::{Fill, Kind, Lifetime, Status};
use crate::sim::tape::GhostLevel;

impl Market {
    pub(super) fn take_liquidity(
        &mut self,
        id: u64,
        limit: Option<i64>,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) {
        // Ends: each turn fills some of the order, or takes one order of ours out of the book.
        while let Some(order) = self.orders.get(&id) {
            let resting = order.side.opposite();
            let wanted = order.remaining().min(clearing.fillable(order));
            if wanted <= 0 {
                return;
            }
            let Some(front) = self.book.front(resting, limit) else {
                return;
            };
            let Some(front) = self.sound(front, now_ms, clearing) else {
                continue;
            };
            let quantity = wanted.min(front.quantity);
            let trade = self.print(resting, front.price, quantity, now_ms);
            self.book.take(resting, front, quantity);
            self.fill(id, &trade, false, clearing);
            if let Maker::Order(maker_id) = front.maker {
                self.fill(maker_id, &trade, true, clearing);
            }
        }
    }

    pub(super) fn rest_or_expire(&mut self, id: u64, now_ms: i64, clearing: &mut impl Clearing) {
        let Some(order) = self.orders.get(&id) else {
            return;
        };
        if !order.status.is_open() {
            return;
        }
        let may_rest = order.kind != Kind::Market
            && matches!(order.lifetime, Lifetime::Gtc | Lifetime::Gtx)
            && clearing.fillable(order) >= order.remaining();
        if may_rest {
            self.book.rest(order.side, order.price, id, order.remaining());
        } else {
            self.end(id, Status::Expired, now_ms, clearing);
        }
    }

    /// A recorded trade takes by price and time: orders of ours it went through, then the level's
    /// queue.
    pub(super) fn consume(
        &mut self,
        recorded: GhostLevel,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) {
        let GhostLevel { side, price, quantity } = recorded;
        let mut left = quantity;
        while left > 0 {
            let Some(front) = self.book.best_order(side) else {
                break;
            };
            let is_through = match side {
                Side::Buy => front.price > price,
                Side::Sell => front.price < price,
            };
            if !is_through {
                break;
            }
            left -= self.fill_resting(side, front, left, now_ms, clearing);
        }
        let mut ghosts = 0;
        while left > 0 {
            let Some(front) = self.book.front_at(side, price) else {
                break;
            };
            if front.maker == Maker::Ghost {
                let taken = left.min(front.quantity);
                self.book.take(side, front, taken);
                ghosts += taken;
                left -= taken;
                continue;
            }
            if ghosts > 0 {
                self.print(side, price, ghosts, now_ms);
                ghosts = 0;
            }
            left -= self.fill_resting(side, front, left, now_ms, clearing);
        }
        // What the recording traded beyond what the book still shows happened among ghosts.
        if ghosts + left > 0 {
            self.print(side, price, ghosts + left, now_ms);
        }
    }

    /// Recorded levels that cross orders of ours trade with them at our price.
    pub(super) fn cross(&mut self, now_ms: i64, clearing: &mut impl Clearing) {
        for side in [Side::Buy, Side::Sell] {
            let opposite = side.opposite();
            while let Some(own) = self.book.best_order(side) {
                let Some((price, ghost)) = self.book.best_ghost(opposite) else {
                    break;
                };
                let is_crossed = match side {
                    Side::Buy => own.price >= price,
                    Side::Sell => own.price <= price,
                };
                if !is_crossed {
                    break;
                }
                let taken = self.fill_resting(side, own, ghost, now_ms, clearing);
                let front = Front { maker: Maker::Ghost, price, quantity: ghost };
                self.book.take(opposite, front, taken);
            }
        }
    }

    /// Fills a resting order of ours from outside by at most `most`; 0 when it had to expire
    /// instead.
    fn fill_resting(
        &mut self,
        side: Side,
        front: Front,
        most: i64,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) -> i64 {
        let Some(front) = self.sound(front, now_ms, clearing) else {
            return 0;
        };
        let Maker::Order(id) = front.maker else {
            return 0;
        };
        let quantity = most.min(front.quantity);
        let trade = self.print(side, front.price, quantity, now_ms);
        self.book.take(side, front, quantity);
        self.fill(id, &trade, true, clearing);
        quantity
    }

    /// The front itself, unless it is an order of ours that may no longer trade in full: that one
    /// expires.
    fn sound(&mut self, front: Front, now_ms: i64, clearing: &mut impl Clearing) -> Option<Front> {
        if let Maker::Order(id) = front.maker {
            let order = self.orders.get(&id)?;
            if clearing.fillable(order) < order.remaining() {
                self.end(id, Status::Expired, now_ms, clearing);
                return None;
            }
        }
        Some(front)
    }

    fn print(&mut self, resting: Side, price: i64, quantity: i64, at_ms: i64) -> PublicTrade {
        let buyer_is_maker = resting == Side::Buy;
        let trade = PublicTrade { id: self.next_trade, price, quantity, at_ms, buyer_is_maker };
        self.next_trade += 1;
        self.tally.count(&trade);
        if self.trades.len() == TRADES_KEPT {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
        self.public.push(Public::Trade(trade));
        trade
    }

    fn fill(&mut self, id: u64, trade: &PublicTrade, is_maker: bool, clearing: &mut impl Clearing) {
        let Some(order) = self.orders.get_mut(&id) else {
            return;
        };
        let fill = Fill {
            trade_id: trade.id,
            price: trade.price,
            quantity: trade.quantity,
            quote: product(trade.price, trade.quantity),
            is_maker,
            at_ms: trade.at_ms,
        };
        order.executed += fill.quantity;
        order.executed_quote += fill.quote;
        order.updated_ms = fill.at_ms;
        let is_done = order.remaining() == 0;
        order.status = if is_done { Status::Filled } else { Status::PartiallyFilled };
        if is_done {
            self.open.remove(&id);
        }
        clearing.settle(order, &fill);
    }

    pub(super) fn end(
        &mut self,
        id: u64,
        status: Status,
        now_ms: i64,
        clearing: &mut impl Clearing,
    ) {
        let Some(order) = self.orders.get_mut(&id).filter(|o| o.status.is_open()) else {
            return;
        };
        order.status = status;
        order.updated_ms = now_ms;
        self.open.remove(&id);
        self.book.remove(order.side, order.price, id);
        clearing.close(order);
    }
}
