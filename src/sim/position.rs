//! A perpetual position and the integer rule of its profit.
//!
//! The position remembers its exact entry cost. Reducing `r` of `Q` realises, rounded down to 1e-8
//! (against the trader), `proceeds - cost * r / Q` for a long and `cost * r / Q - outlay` for a
//! short; what rounding kept back stays in the entry cost, so that the realised sums of a position
//! opened and closed again are exactly sales minus purchases.

use crate::model::order::Side;
use crate::sim::fixed::{ONE, product};

/// A one-way position. Quantities in 1e-8 base, cost in 1e-8 quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Above zero long, below zero short.
    pub quantity: i64,
    /// What the open quantity was bought (or sold) for; never negative but for rounding kept back.
    pub cost: i128,
}

impl Position {
    /// Average entry price rounded down to 1e-8; 0 when flat.
    pub fn entry_price(&self) -> i128 {
        let size = i128::from(self.quantity).abs();
        (self.cost * i128::from(ONE)).checked_div(size).unwrap_or(0)
    }

    /// Value at `mark`, with the sign of the position, 1e-8 quote.
    pub fn notional(&self, mark: i64) -> i128 {
        product(mark, self.quantity)
    }

    /// Profit if it were closed at `mark`, 1e-8 quote.
    pub fn unrealised(&self, mark: i64) -> i128 {
        if self.quantity >= 0 {
            self.notional(mark) - self.cost
        } else {
            self.cost + self.notional(mark)
        }
    }

    /// How much a trade on `side` would reduce, 1e-8 base.
    pub fn reducible(&self, side: Side) -> i64 {
        match side {
            Side::Sell => self.quantity.max(0),
            Side::Buy => -self.quantity.min(0),
        }
    }

    /// Applies a trade and returns the profit it realised, 1e-8 quote.
    pub fn trade(&mut self, side: Side, price: i64, quantity: i64) -> i128 {
        let reduced = self.reducible(side).min(quantity);
        let realised = if reduced > 0 { self.reduce(price, reduced) } else { 0 };
        let opened = quantity - reduced;
        self.cost += product(price, opened);
        self.quantity += match side {
            Side::Buy => opened,
            Side::Sell => -opened,
        };
        realised
    }

    fn reduce(&mut self, price: i64, reduced: i64) -> i128 {
        let turnover = product(price, reduced);
        let size = i128::from(self.quantity).abs();
        let part = i128::from(reduced);
        if self.quantity > 0 {
            let realised = (turnover * size - self.cost * part).div_euclid(size);
            self.cost -= turnover - realised;
            self.quantity -= reduced;
            realised
        } else {
            let realised = (self.cost * part - turnover * size).div_euclid(size);
            self.cost -= turnover + realised;
            self.quantity += reduced;
            realised
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Position;
    use crate::model::order::Side;
    use crate::sim::fixed::ONE;

    const LOT: i64 = ONE / 1_000;
    const CENT: i64 = ONE / 100;

    #[test]
    fn profit_is_rounded_against_the_trader_and_kept_for_later() {
        for (open, close) in [(Side::Buy, Side::Sell), (Side::Sell, Side::Buy)] {
            let mut position = Position::default();
            position.trade(open, 100 * CENT, LOT);
            position.trade(open, 101 * CENT, 2 * LOT);
            let cost = position.cost;
            let first = position.trade(close, 101 * CENT, LOT);
            // Exactly a third of the cost is not a whole unit; the realised part is the floor.
            let sign = if open == Side::Buy { 1 } else { -1 };
            let exact_times_three =
                sign * (i128::from(101 * CENT) * 3 * i128::from(LOT) / i128::from(ONE) - cost);
            assert_eq!(first, exact_times_three.div_euclid(3), "{open}");
            let rest = position.trade(close, 101 * CENT, 2 * LOT);
            assert_eq!(first + rest, exact_times_three, "{open}: the whole is exact");
            assert_eq!(position, Position::default());
        }
    }

    #[test]
    fn a_trade_through_zero_closes_and_opens() {
        let mut position = Position::default();
        position.trade(Side::Buy, 200 * ONE, 2 * LOT);
        let realised = position.trade(Side::Sell, 210 * ONE, 5 * LOT);
        assert_eq!(realised, i128::from(2 * LOT * 10));
        assert_eq!(position.quantity, -3 * LOT);
        assert_eq!(position.entry_price(), i128::from(210 * ONE));
        assert_eq!(position.unrealised(200 * ONE), i128::from(3 * LOT * 10));
    }
}
