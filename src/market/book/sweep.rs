//! What taking a quantity from a book would cost, rounded against us.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::{
    market::book::{Book, Level},
    model::order::Side,
};

/// Decimal places of an average price.
pub const SWEEP_PRICE_PLACES: u32 = 8;

/// What taking a quantity at once would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Average price per base, rounded against us to `SWEEP_PRICE_PLACES`.
    pub price: Decimal,
    /// Price of the worst level touched.
    pub worst: Decimal,
}

/// Why a quantity cannot be priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// The quantity asked for is not positive.
    #[error("quantity {0} is not positive")]
    NotPositive(Decimal),
    /// The book holds less than was asked for.
    #[error("the book holds {available} only")]
    TooThin {
        /// Everything on that side.
        available: Decimal,
    },
    /// A product left the 96 bits of a Decimal.
    #[error("the amount does not fit a decimal")]
    Overflow,
}

impl Book {
    /// Average price of taking `quantity` at once: buying walks up the asks, selling down the bids.
    /// Looks at levels only; whether the book may be traded on is `touch`'s answer.
    ///
    /// # Errors
    /// When the quantity is not positive, deeper than the book, or beyond a Decimal.
    pub fn sweep(&self, side: Side, quantity: Decimal) -> Result<Sweep, SweepError> {
        if quantity <= Decimal::ZERO {
            return Err(SweepError::NotPositive(quantity));
        }
        let mut left = quantity;
        let mut cost = Decimal::ZERO;
        for level in self.taken_by(side) {
            let taken = left.min(level.quantity);
            let part = level.price.checked_mul(taken).ok_or(SweepError::Overflow)?;
            cost = cost.checked_add(part).ok_or(SweepError::Overflow)?;
            left -= taken;
            if left.is_zero() {
                let price = average_against_us(side, cost, quantity).ok_or(SweepError::Overflow)?;
                return Ok(Sweep { price, worst: level.price });
            }
        }
        Err(SweepError::TooThin { available: quantity - left })
    }

    /// Base that can be taken at `limit` or better; `None` if the sum leaves a Decimal.
    pub fn quantity_to(&self, side: Side, limit: Decimal) -> Option<Decimal> {
        self.taken_by(side)
            .take_while(|level| match side {
                Side::Buy => level.price <= limit,
                Side::Sell => level.price >= limit,
            })
            .try_fold(Decimal::ZERO, |sum, level| sum.checked_add(level.quantity))
    }

    fn taken_by(&self, side: Side) -> Box<dyn Iterator<Item = Level> + '_> {
        match side {
            Side::Buy => Box::new(self.asks()),
            Side::Sell => Box::new(self.bids()),
        }
    }
}

/// `cost / quantity` rounded against us: up when we pay, down when we receive.
fn average_against_us(side: Side, cost: Decimal, quantity: Decimal) -> Option<Decimal> {
    let strategy = match side {
        Side::Buy => RoundingStrategy::ToPositiveInfinity,
        Side::Sell => RoundingStrategy::ToNegativeInfinity,
    };
    let quotient = cost.checked_div(quantity)?;
    let rounded = quotient.round_dp_with_strategy(SWEEP_PRICE_PLACES, strategy);
    // The quotient itself was rounded half-even at 28 digits, perhaps onto the grid from beyond it.
    let back = rounded.checked_mul(quantity)?;
    let step = Decimal::new(1, SWEEP_PRICE_PLACES);
    match side {
        Side::Buy if back < cost => rounded.checked_add(step),
        Side::Sell if back > cost => rounded.checked_sub(step),
        Side::Buy | Side::Sell => Some(rounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{market::book::BookUpdate, model::time::Timestamp};

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn book(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Book {
        let levels = |rows: &[(&str, &str)]| {
            rows.iter().map(|(p, q)| Level { price: d(p), quantity: d(q) }).collect()
        };
        let at = Timestamp::from_ms(0);
        let mut book = Book::new(1_000, at);
        book.opened(at);
        let snapshot = BookUpdate::Snapshot {
            bids: levels(bids),
            asks: levels(asks),
            update_id: 1,
            venue_time: None,
        };
        book.apply(&snapshot, at).unwrap();
        book
    }

    #[test]
    fn sweep_walks_levels_and_rounds_against_us() {
        let book = book(&[("9", "1"), ("8", "2")], &[("11", "1"), ("12", "2")]);
        let check = |side, quantity, price, worst| {
            let expected = Sweep { price: d(price), worst: d(worst) };
            assert_eq!(book.sweep(side, d(quantity)), Ok(expected), "{side} {quantity}");
        };
        check(Side::Buy, "1", "11", "11");
        check(Side::Buy, "2", "11.5", "12");
        check(Side::Buy, "3", "11.66666667", "12");
        check(Side::Sell, "0.5", "9", "9");
        check(Side::Sell, "3", "8.33333333", "8");
    }

    #[test]
    fn a_hair_beyond_the_grid_is_still_rounded_against_us() {
        let tiny = "0.0000000000000000000001";
        let book = book(&[("3", tiny), ("2.9", "1000000")], &[("3", "1000000"), ("4", tiny)]);
        let all = d("1000000") + d(tiny);
        assert!(book.sweep(Side::Buy, all).unwrap().price > d("3"));
        let sold = book.sweep(Side::Sell, all).unwrap().price;
        assert_eq!(sold, d("2.9"));
    }

    #[test]
    fn what_cannot_be_priced_is_refused() {
        let book = book(&[("9", "1")], &[("11", "1"), ("12", "2")]);
        assert_eq!(book.sweep(Side::Buy, d("3.1")), Err(SweepError::TooThin { available: d("3") }));
        assert_eq!(book.sweep(Side::Sell, d("0")), Err(SweepError::NotPositive(d("0"))));
        let huge = self::book(&[("9", "1")], &[("70000000000000000000", "70000000000000000000")]);
        assert_eq!(huge.sweep(Side::Buy, d("60000000000000000000")), Err(SweepError::Overflow));
    }

    #[test]
    fn quantity_to_a_limit_includes_the_limit() {
        let book = book(&[("9", "1"), ("8", "2")], &[("11", "1"), ("12", "2")]);
        assert_eq!(book.quantity_to(Side::Buy, d("12")), Some(d("3")));
        assert_eq!(book.quantity_to(Side::Buy, d("11.9")), Some(d("1")));
        assert_eq!(book.quantity_to(Side::Sell, d("8.5")), Some(d("1")));
        assert_eq!(book.quantity_to(Side::Sell, d("10")), Some(d("0")));
    }
}
