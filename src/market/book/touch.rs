//! Whether a book may be traded on, and at which prices.

use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::{
    market::book::{Book, Level, feed::Feed},
    model::time::Timestamp,
};

/// Best bid and best ask of a book that may be traded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Highest bid.
    pub bid: Level,
    /// Lowest ask.
    pub ask: Level,
}

impl Touch {
    /// Half way between bid and ask.
    pub fn mid(&self) -> Decimal {
        // bid + (ask - bid) / 2 cannot overflow, unlike (bid + ask) / 2.
        self.bid.price + (self.ask.price - self.bid.price) / Decimal::TWO
    }
}

/// Why a book may not be traded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The feed is not live.
    #[error("the book is {}", .0.word())]
    NotLive(Feed),
    /// The feed says live, but the last change is older than the limit.
    #[error("the book is {age_ms} ms old, the limit is {limit_ms} ms")]
    Overdue {
        /// Milliseconds since the last change.
        age_ms: i64,
        /// The limit.
        limit_ms: i64,
    },
    /// One side has no level.
    #[error("one side of the book is empty")]
    Empty,
    /// Best bid equals best ask.
    #[error("the book is locked at {price}")]
    Locked {
        /// The common price.
        price: Decimal,
    },
    /// Best bid is above best ask.
    #[error("the book is crossed: bid {bid}, ask {ask}")]
    Crossed {
        /// Best bid.
        bid: Decimal,
        /// Best ask.
        ask: Decimal,
    },
}

impl Book {
    /// Best bid and ask, if the book may be traded on at `now`.
    ///
    /// # Errors
    /// The first reason why not: feed, age, an empty side, a locked or crossed touch.
    pub fn touch(&self, now: Timestamp) -> Result<Touch, Unusable> {
        if self.feed != Feed::Live {
            return Err(Unusable::NotLive(self.feed));
        }
        // The limit holds even when nobody called `age` in time.
        let age_ms = self.age_ms(now).ok_or(Unusable::Empty)?;
        if age_ms > self.age_max_ms {
            return Err(Unusable::Overdue { age_ms, limit_ms: self.age_max_ms });
        }
        let bid = self.best_bid().ok_or(Unusable::Empty)?;
        let ask = self.best_ask().ok_or(Unusable::Empty)?;
        match bid.price.cmp(&ask.price) {
            Ordering::Less => Ok(Touch { bid, ask }),
            Ordering::Equal => Err(Unusable::Locked { price: bid.price }),
            Ordering::Greater => Err(Unusable::Crossed { bid: bid.price, ask: ask.price }),
        }
    }

    /// Whether the book may be traded on at `now`.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.touch(now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::book::BookUpdate;

    fn level(price: i64) -> Level {
        Level { price: Decimal::from(price), quantity: Decimal::ONE }
    }

    fn check(bids: &[i64], asks: &[i64], expected: Result<Decimal, Unusable>) {
        let at = Timestamp::from_ms(0);
        let mut book = Book::new(1_000, at);
        book.opened(at);
        let snapshot = BookUpdate::Snapshot {
            bids: bids.iter().copied().map(level).collect(),
            asks: asks.iter().copied().map(level).collect(),
            update_id: 1,
            venue_time: None,
        };
        book.apply(&snapshot, at).unwrap();
        assert_eq!(book.touch(at).map(|touch| touch.mid()), expected);
        assert_eq!(book.usable(at), expected.is_ok());
    }

    #[test]
    fn crossed_locked_and_empty_books_are_not_tradable() {
        let (two, three) = (Decimal::TWO, Decimal::from(3));
        check(&[2], &[3], Ok(Decimal::new(25, 1)));
        check(&[3], &[2], Err(Unusable::Crossed { bid: three, ask: two }));
        check(&[2], &[2], Err(Unusable::Locked { price: two }));
        check(&[], &[2], Err(Unusable::Empty));
        check(&[2], &[], Err(Unusable::Empty));
    }
}
