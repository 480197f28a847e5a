//! One venue's order book of one market, as we know it.
//!
//! Knows levels, its feed's state and its own age. Must never know a venue's sequence rules: the
//! dialect that feeds it proves continuity first. Invariant: levels are served only while the feed
//! is `Live`; whatever breaks the chain empties the book before anything else happens.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    market::book::feed::{Feed, FeedEvent},
    model::time::Timestamp,
};

pub mod feed;
pub mod sweep;
pub mod touch;

/// Levels kept on one side; beyond it the ones farthest from the touch are forgotten.
pub const LEVELS_PER_SIDE_MAX: usize = 10_000;

/// Resting quantity at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Quote per one base.
    pub price: Decimal,
    /// Base; in a diff, zero removes the level.
    pub quantity: Decimal,
}

/// What a dialect says about a book once it has proven that nothing is missing before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "update", rename_all = "snake_case")]
pub enum BookUpdate {
    /// Replaces the whole book.
    Snapshot {
        /// Bids in any order.
        bids: Vec<Level>,
        /// Asks in any order.
        asks: Vec<Level>,
        /// The venue's number of the last change in it.
        update_id: u64,
        /// When the venue took it, if it says so.
        venue_time: Option<Timestamp>,
    },
    /// Sets the named levels to absolute quantities.
    Diff {
        /// Changed bids.
        bids: Vec<Level>,
        /// Changed asks.
        asks: Vec<Level>,
        /// The venue's number of the last change in it.
        update_id: u64,
        /// When the venue made it.
        venue_time: Timestamp,
    },
}

/// Why an update was refused. After `Backwards` and `BadLevel` the book is empty and syncing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A diff without a snapshot under it, or an update to a feed that is down.
    #[error("an update came to a book that is {}", .0.word())]
    NotSynced(Feed),
    /// An update id below the one already applied.
    #[error("update {got} came after {have}")]
    Backwards {
        /// Applied already.
        have: u64,
        /// Refused.
        got: u64,
    },
    /// A price that is not positive or a quantity below zero.
    #[error("impossible level: {quantity} at {price}")]
    BadLevel {
        /// The level's price.
        price: Decimal,
        /// The level's quantity.
        quantity: Decimal,
    },
}

/// An order book with its feed's state.
#[derive(Clone, Debug)]
pub struct Book {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    feed: Feed,
    age_max_ms: i64,
    learned: Option<Timestamp>,
    venue_time: Option<Timestamp>,
    update_id: u64,
    updates: u64,
    resyncs: u64,
}

impl Book {
    /// An empty book, down since `at`, stale after `age_max_ms` without a change.
    pub fn new(age_max_ms: i64, at: Timestamp) -> Self {
        Self {
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            feed: Feed::Down { since: at },
            age_max_ms,
            learned: None,
            venue_time: None,
            update_id: 0,
            updates: 0,
            resyncs: 0,
        }
    }

    /// The connection opened: what was known before it is forgotten.
    pub fn opened(&mut self, at: Timestamp) {
        self.clear();
        self.feed = self.feed.after(FeedEvent::Opened, at);
    }

    /// The connection closed: the book is empty and down.
    pub fn closed(&mut self, at: Timestamp) {
        self.clear();
        self.feed = self.feed.after(FeedEvent::Closed, at);
    }

    /// The chain of changes broke: the book is empty until the next snapshot.
    pub fn invalidate(&mut self, at: Timestamp) {
        self.clear();
        self.resyncs = self.resyncs.saturating_add(1);
        self.feed = self.feed.after(FeedEvent::Broken, at);
    }

    /// Lets time pass: a live book that was silent for longer than the limit becomes stale.
    pub fn age(&mut self, now: Timestamp) {
        if let Some(learned) = self.learned
            && now.ms_since(learned) > self.age_max_ms
        {
            let since = learned.plus_ms(self.age_max_ms);
            self.feed = self.feed.after(FeedEvent::Overdue, since);
        }
    }

    /// Applies one update learned at `at`.
    ///
    /// # Errors
    /// `NotSynced` changes nothing. The others empty the book: its owner must ask for a snapshot.
    pub fn apply(&mut self, update: &BookUpdate, at: Timestamp) -> Result<(), BookError> {
        let (bids, asks, update_id, venue_time) = match update {
            BookUpdate::Snapshot { bids, asks, update_id, venue_time } => {
                if matches!(self.feed, Feed::Down { .. }) {
                    return Err(BookError::NotSynced(self.feed));
                }
                self.clear();
                self.feed = self.feed.after(FeedEvent::Snapshot, at);
                (bids, asks, *update_id, *venue_time)
            }
            BookUpdate::Diff { bids, asks, update_id, venue_time } => {
                if !matches!(self.feed, Feed::Live | Feed::Stale { .. }) {
                    return Err(BookError::NotSynced(self.feed));
                }
                if *update_id < self.update_id {
                    let have = self.update_id;
                    self.invalidate(at);
                    return Err(BookError::Backwards { have, got: *update_id });
                }
                self.feed = self.feed.after(FeedEvent::Diff, at);
                (bids, asks, *update_id, Some(*venue_time))
            }
        };
        for level in bids.iter().chain(asks) {
            if level.price <= Decimal::ZERO || level.quantity < Decimal::ZERO {
                self.invalidate(at);
                return Err(BookError::BadLevel { price: level.price, quantity: level.quantity });
            }
        }
        set_levels(&mut self.bids, bids);
        set_levels(&mut self.asks, asks);
        while self.bids.len() > LEVELS_PER_SIDE_MAX {
            self.bids.pop_first();
        }
        while self.asks.len() > LEVELS_PER_SIDE_MAX {
            self.asks.pop_last();
        }
        self.update_id = update_id;
        self.venue_time = venue_time;
        self.learned = Some(at);
        self.updates = self.updates.saturating_add(1);
        Ok(())
    }

    /// Bids, best first.
    pub fn bids(&self) -> impl Iterator<Item = Level> {
        self.bids.iter().rev().map(|(price, quantity)| Level { price: *price, quantity: *quantity })
    }

    /// Asks, best first.
    pub fn asks(&self) -> impl Iterator<Item = Level> {
        self.asks.iter().map(|(price, quantity)| Level { price: *price, quantity: *quantity })
    }

    /// Highest bid, whatever the state of the feed.
    pub fn best_bid(&self) -> Option<Level> {
        self.bids().next()
    }

    /// Lowest ask, whatever the state of the feed.
    pub fn best_ask(&self) -> Option<Level> {
        self.asks().next()
    }

    /// The feed's state as of the last call.
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// Milliseconds since the last change was learned; `None` before the first.
    pub fn age_ms(&self, now: Timestamp) -> Option<i64> {
        self.learned.map(|learned| now.ms_since(learned))
    }

    /// When the venue made the last change, if it said so.
    pub fn venue_time(&self) -> Option<Timestamp> {
        self.venue_time
    }

    /// The venue's number of the last change; 0 while there is none.
    pub fn update_id(&self) -> u64 {
        self.update_id
    }

    /// Updates applied since the start.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Times the chain broke since the start.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.update_id = 0;
        self.learned = None;
        self.venue_time = None;
    }
}

fn set_levels(side: &mut BTreeMap<Decimal, Decimal>, levels: &[Level]) {
    for level in levels {
        if level.quantity.is_zero() {
            // Removing a level we never knew is normal: snapshots are cut at a depth.
            side.remove(&level.price);
        } else {
            side.insert(level.price, level.quantity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::book::touch::Unusable;

    const LIMIT_MS: i64 = 1_000;

    fn t(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn levels(rows: &[(&str, &str)]) -> Vec<Level> {
        rows.iter()
            .map(|(price, quantity)| Level {
                price: price.parse().unwrap(),
                quantity: quantity.parse().unwrap(),
            })
            .collect()
    }

    fn snapshot(id: u64, bids: &[(&str, &str)], asks: &[(&str, &str)]) -> BookUpdate {
        BookUpdate::Snapshot {
            bids: levels(bids),
            asks: levels(asks),
            update_id: id,
            venue_time: None,
        }
    }

    fn diff(id: u64, bids: &[(&str, &str)], asks: &[(&str, &str)]) -> BookUpdate {
        BookUpdate::Diff { bids: levels(bids), asks: levels(asks), update_id: id, venue_time: t(7) }
    }

    fn live() -> Book {
        let mut book = Book::new(LIMIT_MS, t(0));
        book.opened(t(0));
        let first = snapshot(10, &[("9", "1"), ("8", "2")], &[("11", "1"), ("12", "2")]);
        book.apply(&first, t(0)).unwrap();
        book
    }

    #[test]
    fn diff_sets_absolute_quantities_and_zero_removes() {
        let mut book = live();
        book.apply(&diff(11, &[("9.00", "0"), ("8", "5"), ("7", "0")], &[("10.5", "3")]), t(1))
            .unwrap();
        let touch = book.touch(t(1)).unwrap();
        assert_eq!((touch.bid, touch.ask), (levels(&[("8", "5")])[0], levels(&[("10.5", "3")])[0]));
        assert_eq!(touch.mid(), "9.25".parse().unwrap());
        assert_eq!((book.updates(), book.update_id()), (2, 11));
        assert_eq!(book.venue_time(), Some(t(7)));
    }

    #[test]
    fn snapshot_forgets_everything_before_it() {
        let mut book = live();
        book.apply(&snapshot(5, &[("1", "1")], &[("2", "1")]), t(1)).unwrap();
        assert_eq!((book.bids().count(), book.asks().count(), book.update_id()), (1, 1, 5));
    }

    #[test]
    fn only_a_live_book_is_usable() {
        let mut book = Book::new(LIMIT_MS, t(0));
        assert_eq!(book.touch(t(0)), Err(Unusable::NotLive(Feed::Down { since: t(0) })));
        book.opened(t(1));
        assert_eq!(book.touch(t(1)), Err(Unusable::NotLive(Feed::Syncing)));
        let mut book = live();
        assert!(book.usable(t(0)));
        book.invalidate(t(1));
        assert_eq!(book.touch(t(1)), Err(Unusable::NotLive(Feed::Syncing)));
        assert_eq!((book.best_bid(), book.resyncs()), (None, 1));
        let mut book = live();
        book.closed(t(2));
        assert_eq!(book.touch(t(2)), Err(Unusable::NotLive(Feed::Down { since: t(2) })));
        assert_eq!(book.best_ask(), None);
    }

    #[test]
    fn age_limit_holds_with_and_without_a_call_to_age() {
        let mut book = live();
        assert!(book.usable(t(LIMIT_MS)));
        assert_eq!(
            book.touch(t(LIMIT_MS + 1)),
            Err(Unusable::Overdue { age_ms: LIMIT_MS + 1, limit_ms: LIMIT_MS })
        );
        book.age(t(LIMIT_MS + 500));
        assert_eq!(book.feed(), Feed::Stale { since: t(LIMIT_MS) });
        book.apply(&diff(11, &[], &[]), t(LIMIT_MS + 600)).unwrap();
        assert!(book.usable(t(LIMIT_MS + 600)));
    }

    #[test]
    fn impossible_levels_and_backward_ids_empty_the_book() {
        for bad in [("-1", "1"), ("0", "1"), ("1", "-1")] {
            let mut book = live();
            let refused = book.apply(&diff(11, &[bad], &[]), t(1));
            assert!(matches!(refused, Err(BookError::BadLevel { .. })), "{bad:?}");
            assert_eq!((book.feed(), book.best_bid()), (Feed::Syncing, None));
        }
        let mut book = live();
        assert_eq!(
            book.apply(&diff(9, &[], &[]), t(1)),
            Err(BookError::Backwards { have: 10, got: 9 })
        );
        assert_eq!(book.feed(), Feed::Syncing);
    }

    #[test]
    fn diff_without_snapshot_and_updates_to_a_down_feed_change_nothing() {
        let mut book = Book::new(LIMIT_MS, t(0));
        let first = snapshot(1, &[("1", "1")], &[("2", "1")]);
        assert!(matches!(book.apply(&first, t(0)), Err(BookError::NotSynced(_))));
        book.opened(t(0));
        let refused = book.apply(&diff(2, &[("1", "1")], &[]), t(0));
        assert_eq!(refused, Err(BookError::NotSynced(Feed::Syncing)));
        assert_eq!((book.best_bid(), book.updates()), (None, 0));
    }

    #[test]
    fn levels_far_from_the_touch_are_forgotten_beyond_the_bound() {
        let mut book = live();
        let many = |from: usize| -> Vec<Level> {
            (0..=LEVELS_PER_SIDE_MAX)
                .map(|n| Level { price: Decimal::from(from + n), quantity: Decimal::ONE })
                .collect()
        };
        let far = 100_000;
        let update =
            BookUpdate::Snapshot { bids: many(1), asks: many(far), update_id: 1, venue_time: None };
        book.apply(&update, t(1)).unwrap();
        assert_eq!(book.bids().count(), LEVELS_PER_SIDE_MAX);
        assert_eq!(book.asks().count(), LEVELS_PER_SIDE_MAX);
        let touch = book.touch(t(1)).unwrap();
        assert_eq!(touch.bid.price, Decimal::from(LEVELS_PER_SIDE_MAX + 1));
        assert_eq!(touch.ask.price, Decimal::from(far));
    }
}
