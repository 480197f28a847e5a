//! Gathers the steps of a book into the depth events of one stream cadence.

use std::collections::BTreeSet;

use crate::model::order::Side;
use crate::sim::book::{Batch, Book};

/// Absolute sizes of levels as (price, size), 1e-8.
pub type Levels = Vec<(i64, i64)>;

/// One depth event: absolute sizes after step `last_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthEvent {
    /// First step inside (`U`).
    pub first_id: u64,
    /// Last step inside (`u`).
    pub last_id: u64,
    /// Last step of the event before (`pu`).
    pub previous_id: u64,
    /// Changed bids.
    pub bids: Levels,
    /// Changed asks.
    pub asks: Levels,
}

/// One cadence of one book.
#[derive(Debug)]
pub struct DepthFeed {
    every_ms: i64,
    due_ms: i64,
    previous_id: u64,
    pending: BTreeSet<(u8, i64)>,
    last_id: u64,
}

impl DepthFeed {
    /// Speaks every `every_ms`; 0 means after each step.
    pub fn new(every_ms: i64, update_id: u64) -> Self {
        let pending = BTreeSet::new();
        Self { every_ms, due_ms: 0, previous_id: update_id, pending, last_id: update_id }
    }

    /// Takes a step in.
    pub fn absorb(&mut self, batch: &Batch) {
        let sides =
            batch.levels.iter().map(|(side, price)| (u8::from(*side == Side::Sell), *price));
        self.pending.extend(sides);
        self.last_id = batch.update_id;
    }

    /// The event that is due, if anything changed.
    pub fn due(&mut self, now_ms: i64, book: &Book) -> Option<DepthEvent> {
        if now_ms < self.due_ms || self.last_id == self.previous_id {
            return None;
        }
        self.due_ms = now_ms + self.every_ms;
        self.flush(book)
    }

    /// All that is pending, at once.
    pub fn flush(&mut self, book: &Book) -> Option<DepthEvent> {
        if self.last_id == self.previous_id {
            return None;
        }
        let (mut bids, mut asks) = (Levels::new(), Levels::new());
        for (side, price) in std::mem::take(&mut self.pending) {
            if side == 0 {
                bids.push((price, book.total(Side::Buy, price)));
            } else {
                asks.push((price, book.total(Side::Sell, price)));
            }
        }
        bids.reverse();
        let event = DepthEvent {
            first_id: self.previous_id + 1,
            last_id: self.last_id,
            previous_id: self.previous_id,
            bids,
            asks,
        };
        self.previous_id = self.last_id;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::DepthFeed;
    use crate::model::order::Side;
    use crate::sim::book::Book;
    use crate::sim::tape::GhostLevel;

    #[test]
    fn events_chain_without_gap_and_carry_absolute_sizes() {
        let mut book = Book::new(7);
        let mut feed = DepthFeed::new(100, 7);
        assert_eq!(feed.due(0, &book), None);
        for quantity in [1, 2, 3] {
            book.set_ghost(GhostLevel { side: Side::Buy, price: 5, quantity });
            feed.absorb(&book.commit().unwrap());
        }
        let event = feed.due(0, &book).unwrap();
        assert_eq!((event.first_id, event.last_id, event.previous_id), (8, 10, 7));
        assert_eq!(event.bids, vec![(5, 3)]);
        book.set_ghost(GhostLevel { side: Side::Buy, price: 5, quantity: 0 });
        feed.absorb(&book.commit().unwrap());
        assert_eq!(feed.due(99, &book), None, "not yet");
        let event = feed.due(100, &book).unwrap();
        assert_eq!((event.first_id, event.last_id, event.previous_id), (11, 11, 10));
        assert_eq!(event.bids, vec![(5, 0)]);
    }
}
