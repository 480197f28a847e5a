//! A live book with what we took out of it: that is gone until the level is spoken of again.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::engine::event::BookStep;
use crate::market::book::touch::Touch;
use crate::market::book::{Book, BookUpdate, Level};
use crate::model::order::Side;
use crate::model::time::Timestamp;

/// One market's book as it is heard.
#[derive(Debug)]
pub(super) struct LiveBook {
    book: Book,
    /// Base we took, by the side it rested on and its price.
    taken: BTreeMap<(Side, Decimal), Decimal>,
}

impl LiveBook {
    /// A book not heard yet, stale after `age_max_ms` without a change.
    pub(super) fn new(age_max_ms: i64, at: Timestamp) -> Self {
        Self { book: Book::new(age_max_ms, at), taken: BTreeMap::new() }
    }

    /// The next step of its life.
    pub(super) fn step(&mut self, step: &BookStep, at: Timestamp) {
        match step {
            BookStep::Opened => self.book.opened(at),
            BookStep::Invalid => self.book.invalidate(at),
            BookStep::Closed => self.book.closed(at),
            BookStep::Update(update) => {
                self.told(update);
                // What does not fit empties the book, as it does the engine's.
                if self.book.apply(update, at).is_err() {
                    self.book.invalidate(at);
                }
                return;
            }
        }
        self.taken.clear();
    }

    fn told(&mut self, update: &BookUpdate) {
        match update {
            BookUpdate::Snapshot { .. } => self.taken.clear(),
            BookUpdate::Diff { bids, asks, .. } => {
                let bids = bids.iter().map(|level| (Side::Buy, level.price));
                for key in bids.chain(asks.iter().map(|level| (Side::Sell, level.price))) {
                    self.taken.remove(&key);
                }
            }
        }
    }

    /// Best bid and ask of others; `None` while the book may not be traded on.
    pub(super) fn touch(&self, now: Timestamp) -> Option<Touch> {
        self.book.touch(now).ok()
    }

    /// What somebody on `side` would meet, best first, without what we took.
    pub(super) fn offers(&self, side: Side) -> impl Iterator<Item = Level> {
        let rest = side.opposite();
        let levels: Box<dyn Iterator<Item = Level> + '_> = match side {
            Side::Buy => Box::new(self.book.asks()),
            Side::Sell => Box::new(self.book.bids()),
        };
        let left = move |level: Level| {
            let taken = self.taken.get(&(rest, level.price)).copied().unwrap_or_default();
            Level { quantity: level.quantity.saturating_sub(taken), ..level }
        };
        levels.map(left).filter(|level| level.quantity > Decimal::ZERO)
    }

    /// Somebody on `side` takes from a level.
    pub(super) fn take(&mut self, side: Side, price: Decimal, quantity: Decimal) {
        let taken = self.taken.entry((side.opposite(), price)).or_default();
        *taken = taken.saturating_add(quantity);
    }
}
