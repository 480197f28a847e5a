//! One order book of ghosts and our orders, in price-time priority.
//!
//! Each recorded level is one ghost order. An order of ours that arrives at a level queues behind
//! the ghost as it is then; later growth of the ghost is behind it, shrinking brings it forward to
//! at most the new size. What is taken from a ghost stays taken until the recording speaks of that
//! level again. Invariant: within a level, `ghost_ahead` never falls from one order to the next and
//! never exceeds `ghost`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::order::Side;
use crate::sim::tape::GhostLevel;

/// Who stands at the front of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The recorded level.
    Ghost,
    /// An order of ours, by its id.
    Order(u64),
}

/// The next piece of liquidity a taker would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// Whose it is.
    pub maker: Maker,
    /// At which price, 1e-8.
    pub price: i64,
    /// How much before the next in the queue, 1e-8, above 0.
    pub quantity: i64,
}

/// The levels that changed in one atomic step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The exchange's own id of this step: one more than the last.
    pub update_id: u64,
    /// Side and price of each changed level.
    pub levels: Vec<(Side, i64)>,
}

#[derive(Debug)]
struct Resting {
    id: u64,
    remaining: i64,
    ghost_ahead: i64,
}

#[derive(Debug, Default)]
struct Level {
    ghost: i64,
    orders: VecDeque<Resting>,
}

impl Level {
    fn total(&self) -> i64 {
        self.orders.iter().fold(self.ghost, |sum, order| sum.saturating_add(order.remaining))
    }

    fn front(&self, price: i64) -> Option<Front> {
        match self.orders.front() {
            Some(order) if order.ghost_ahead == 0 => {
                Some(Front { maker: Maker::Order(order.id), price, quantity: order.remaining })
            }
            Some(order) => Some(Front { maker: Maker::Ghost, price, quantity: order.ghost_ahead }),
            None if self.ghost > 0 => {
                Some(Front { maker: Maker::Ghost, price, quantity: self.ghost })
            }
            None => None,
        }
    }
}

/// The book of one market.
#[derive(Debug, Default)]
pub struct Book {
    bids: BTreeMap<i64, Level>,
    asks: BTreeMap<i64, Level>,
    /// Prices at which orders of ours rest.
    own_bids: BTreeSet<i64>,
    own_asks: BTreeSet<i64>,
    /// Totals before the current step, of the levels it touched.
    before: BTreeMap<(u8, i64), i64>,
    update_id: u64,
}

/// True when a taker with this limit accepts `price` on the resting `side`.
fn accepts(side: Side, price: i64, limit: Option<i64>) -> bool {
    match (side, limit) {
        (_, None) => true,
        (Side::Sell, Some(limit)) => price <= limit,
        (Side::Buy, Some(limit)) => price >= limit,
    }
}

impl Book {
    /// An empty book whose next step has id `first_update_id + 1`.
    pub fn new(first_update_id: u64) -> Self {
        Self { update_id: first_update_id, ..Self::default() }
    }

    /// Id of the last step.
    pub fn update_id(&self) -> u64 {
        self.update_id
    }

    fn side(&self, side: Side) -> &BTreeMap<i64, Level> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn own(&self, side: Side) -> &BTreeSet<i64> {
        match side {
            Side::Buy => &self.own_bids,
            Side::Sell => &self.own_asks,
        }
    }

    fn touch(&mut self, side: Side, price: i64) -> &mut Level {
        let (levels, key) = match side {
            Side::Buy => (&mut self.bids, (0, price)),
            Side::Sell => (&mut self.asks, (1, price)),
        };
        let level = levels.entry(price).or_default();
        self.before.entry(key).or_insert_with(|| level.total());
        level
    }

    /// Best price first.
    fn walk(&self, side: Side) -> Box<dyn Iterator<Item = (i64, &Level)> + '_> {
        match side {
            Side::Buy => Box::new(self.bids.iter().rev().map(|(p, l)| (*p, l))),
            Side::Sell => Box::new(self.asks.iter().map(|(p, l)| (*p, l))),
        }
    }

    /// Total size at a level, ghosts and ours; 0 when there is none.
    pub fn total(&self, side: Side, price: i64) -> i64 {
        self.side(side).get(&price).map_or(0, Level::total)
    }

    /// The best `limit` levels, best first.
    pub fn levels(&self, side: Side, limit: usize) -> Vec<(i64, i64)> {
        let all = self.walk(side).map(|(price, level)| (price, level.total()));
        all.filter(|(_, total)| *total > 0).take(limit).collect()
    }

    /// Best price and its size.
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        self.walk(side).map(|(price, level)| (price, level.total())).find(|(_, total)| *total > 0)
    }

    /// What a taker would meet first on the resting `side`, no worse than `limit`.
    pub fn front(&self, side: Side, limit: Option<i64>) -> Option<Front> {
        let front = self.walk(side).find_map(|(price, level)| level.front(price))?;
        accepts(side, front.price, limit).then_some(front)
    }

    /// What a taker would meet first at exactly this level.
    pub fn front_at(&self, side: Side, price: i64) -> Option<Front> {
        self.side(side).get(&price)?.front(price)
    }

    /// Our first order at our best price on `side`, ghosts ignored.
    pub fn best_order(&self, side: Side) -> Option<Front> {
        let own = self.own(side);
        let price = match side {
            Side::Buy => *own.last()?,
            Side::Sell => *own.first()?,
        };
        let order = self.side(side).get(&price)?.orders.front()?;
        Some(Front { maker: Maker::Order(order.id), price, quantity: order.remaining })
    }

    /// Best recorded price on `side` that still has size, with that size.
    pub fn best_ghost(&self, side: Side) -> Option<(i64, i64)> {
        self.walk(side).map(|(price, level)| (price, level.ghost)).find(|(_, ghost)| *ghost > 0)
    }

    /// How much a taker could get on the resting `side` no worse than `limit`, counted up to
    /// `wanted`, and what it would cost in 1e-8 quote.
    pub fn available(&self, side: Side, limit: Option<i64>, wanted: i64) -> (i64, i128) {
        let (mut quantity, mut cost) = (0_i64, 0_i128);
        for (price, level) in self.walk(side) {
            if quantity == wanted || !accepts(side, price, limit) {
                break;
            }
            let part = level.total().min(wanted - quantity);
            quantity += part;
            cost += crate::sim::fixed::product(price, part);
        }
        (quantity, cost)
    }

    /// Takes `quantity` from the front the caller was just shown, or from our order wherever it
    /// stands in its level.
    pub fn take(&mut self, side: Side, front: Front, quantity: i64) {
        let level = self.touch(side, front.price);
        match front.maker {
            Maker::Ghost => {
                let taken = quantity.min(level.ghost);
                level.ghost -= taken;
                for order in &mut level.orders {
                    order.ghost_ahead = (order.ghost_ahead - taken).max(0);
                }
            }
            Maker::Order(id) => {
                if let Some(order) = level.orders.iter_mut().find(|order| order.id == id) {
                    order.remaining -= quantity.min(order.remaining);
                }
                level.orders.retain(|order| order.remaining > 0);
            }
        }
        self.tidy(side, front.price);
    }

    /// Puts an order of ours at the end of its level's queue.
    pub fn rest(&mut self, side: Side, price: i64, id: u64, remaining: i64) {
        let level = self.touch(side, price);
        let ghost_ahead = level.ghost;
        level.orders.push_back(Resting { id, remaining, ghost_ahead });
        match side {
            Side::Buy => self.own_bids.insert(price),
            Side::Sell => self.own_asks.insert(price),
        };
    }

    /// Takes an order of ours out; nothing happens when it does not rest there.
    pub fn remove(&mut self, side: Side, price: i64, id: u64) {
        self.touch(side, price).orders.retain(|order| order.id != id);
        self.tidy(side, price);
    }

    /// How much of the ghost stands before our order; `None` when it does not rest there.
    pub fn ghost_ahead(&self, side: Side, price: i64, id: u64) -> Option<i64> {
        let level = self.side(side).get(&price)?;
        level.orders.iter().find(|order| order.id == id).map(|order| order.ghost_ahead)
    }

    /// The recording says the size of a level.
    pub fn set_ghost(&mut self, recorded: GhostLevel) {
        let level = self.touch(recorded.side, recorded.price);
        level.ghost = recorded.quantity;
        for order in &mut level.orders {
            order.ghost_ahead = order.ghost_ahead.min(recorded.quantity);
        }
        self.tidy(recorded.side, recorded.price);
    }

    /// Brings all ghosts to `anchor`: what it does not name is removed.
    pub fn anchor(&mut self, anchor: &[GhostLevel]) {
        let mut gone: Vec<(Side, i64)> = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            gone.extend(
                self.side(side).iter().filter(|(_, l)| l.ghost > 0).map(|(p, _)| (side, *p)),
            );
        }
        for (side, price) in gone {
            self.set_ghost(GhostLevel { side, price, quantity: 0 });
        }
        for level in anchor {
            self.set_ghost(*level);
        }
    }

    fn tidy(&mut self, side: Side, price: i64) {
        let (levels, own) = match side {
            Side::Buy => (&mut self.bids, &mut self.own_bids),
            Side::Sell => (&mut self.asks, &mut self.own_asks),
        };
        let Some(level) = levels.get(&price) else {
            return;
        };
        if level.orders.is_empty() {
            own.remove(&price);
            if level.ghost == 0 {
                levels.remove(&price);
            }
        }
    }

    /// Ends the current step: the levels whose total changed under a new id, or `None` when none
    /// did.
    pub fn commit(&mut self) -> Option<Batch> {
        let before = std::mem::take(&mut self.before);
        let sides = before.into_iter().map(|((side, price), total)| {
            (if side == 0 { Side::Buy } else { Side::Sell }, price, total)
        });
        let levels: Vec<(Side, i64)> = sides
            .filter(|(side, price, total)| self.total(*side, *price) != *total)
            .map(|(side, price, _)| (side, price))
            .collect();
        if levels.is_empty() {
            return None;
        }
        self.update_id += 1;
        Some(Batch { update_id: self.update_id, levels })
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, Front, Maker};
    use crate::model::order::Side;
    use crate::sim::tape::GhostLevel;

    fn ghost(side: Side, price: i64, quantity: i64) -> GhostLevel {
        GhostLevel { side, price, quantity }
    }

    fn with_queue() -> Book {
        let mut book = Book::new(0);
        book.set_ghost(ghost(Side::Buy, 100, 10));
        book.rest(Side::Buy, 100, 1, 5);
        book
    }

    #[test]
    fn our_order_queues_behind_what_was_there() {
        let mut book = with_queue();
        book.set_ghost(ghost(Side::Buy, 100, 30));
        assert_eq!(book.ghost_ahead(Side::Buy, 100, 1), Some(10), "growth stands behind us");
        book.set_ghost(ghost(Side::Buy, 100, 4));
        assert_eq!(book.ghost_ahead(Side::Buy, 100, 1), Some(4), "shrinking brings us forward");
        let front = book.front(Side::Buy, None).unwrap();
        assert_eq!(front, Front { maker: Maker::Ghost, price: 100, quantity: 4 });
        book.take(Side::Buy, front, 4);
        assert_eq!(book.front(Side::Buy, None).unwrap().maker, Maker::Order(1));
    }

    #[test]
    fn the_second_order_waits_for_the_first() {
        let mut book = with_queue();
        book.rest(Side::Buy, 100, 2, 7);
        let ghost_front = book.front(Side::Buy, None).unwrap();
        book.take(Side::Buy, ghost_front, 10);
        let first = book.front(Side::Buy, None).unwrap();
        assert_eq!(first, Front { maker: Maker::Order(1), price: 100, quantity: 5 });
        book.take(Side::Buy, first, 5);
        assert_eq!(book.front(Side::Buy, None).unwrap().maker, Maker::Order(2));
        assert_eq!(book.total(Side::Buy, 100), 7);
    }

    #[test]
    fn taken_stays_taken_until_the_level_is_spoken_of() {
        let mut book = Book::new(0);
        book.set_ghost(ghost(Side::Sell, 101, 3));
        book.set_ghost(ghost(Side::Sell, 102, 3));
        let front = book.front(Side::Sell, None).unwrap();
        book.take(Side::Sell, front, 3);
        book.set_ghost(ghost(Side::Sell, 102, 4));
        assert_eq!(book.best(Side::Sell), Some((102, 4)));
        book.set_ghost(ghost(Side::Sell, 101, 3));
        assert_eq!(book.best(Side::Sell), Some((101, 3)));
    }

    #[test]
    fn a_step_without_change_has_no_id() {
        let mut book = with_queue();
        assert_eq!(book.commit().unwrap().update_id, 1);
        book.set_ghost(ghost(Side::Buy, 100, 10));
        assert_eq!(book.commit(), None);
        book.rest(Side::Buy, 99, 2, 1);
        book.remove(Side::Buy, 99, 2);
        assert_eq!(book.commit(), None);
        assert_eq!(book.update_id(), 1);
    }

    #[test]
    fn anchoring_keeps_our_orders() {
        let mut book = with_queue();
        book.set_ghost(ghost(Side::Sell, 105, 1));
        book.anchor(&[ghost(Side::Buy, 98, 1), ghost(Side::Sell, 104, 2)]);
        assert_eq!(book.levels(Side::Buy, 9), vec![(100, 5), (98, 1)]);
        assert_eq!(book.levels(Side::Sell, 9), vec![(104, 2)]);
        assert_eq!(book.best_order(Side::Buy).unwrap().maker, Maker::Order(1));
    }
}
