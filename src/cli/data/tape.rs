//! One book as a tape: the text that `sim::tape` reads and `tools/trim-tapes.py` describes.
//!
//! Times are those at which we learned of the changes. Invariant: after every line the reader's
//! book is the recorded one; where the feed broke it stays as it was until the next snapshot.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;

use super::export::Wanted;
use crate::engine::event::{Body, BookStep, Event};
use crate::market::book::{BookUpdate, Level};
use crate::sim::fixed;

/// Bids and asks as the tape names them.
const BID: char = 'b';
const ASK: char = 'a';

type Levels = BTreeMap<(char, Decimal), Decimal>;

/// A tape being written.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// Unix milliseconds of the first snapshot.
    start_ms: Option<i64>,
    last_ms: i64,
    is_synced: bool,
    book: Levels,
}

impl Tape {
    /// Writes the lines of a fact; says how many.
    pub(super) fn rows(
        &mut self,
        event: &Event,
        wanted: &Wanted,
        text: &mut String,
    ) -> Result<u64> {
        let Body::Book { venue, symbol, step } = &event.body else { return Ok(0) };
        if !wanted.market(venue, symbol) {
            return Ok(0);
        }
        let changes = match step {
            BookStep::Opened | BookStep::Invalid | BookStep::Closed => {
                self.is_synced = false;
                return Ok(0);
            }
            BookStep::Update(BookUpdate::Diff { .. }) if !self.is_synced => return Ok(0),
            BookStep::Update(BookUpdate::Diff { bids, asks, .. }) => levels(bids, asks),
            BookStep::Update(BookUpdate::Snapshot { bids, asks, .. }) => self.reset(bids, asks),
        };
        let ms = event.at.ms();
        let Some(start_ms) = self.start_ms else {
            return self.anchor(ms, &format!("{venue:?} {symbol:?}"), &changes, text);
        };
        self.is_synced = true;
        let mut line = String::new();
        for ((side, price), quantity) in changes {
            if self.set(side, price, quantity) {
                line.push_str(&level(side, price, quantity)?);
            }
        }
        if line.is_empty() {
            return Ok(0);
        }
        // A clock that was set back does not turn the tape back.
        self.last_ms = self.last_ms.max(ms - start_ms);
        text.push_str(&format!("D {}{line}\n", self.last_ms));
        Ok(1)
    }

    /// Refuses a tape that nobody could play.
    pub(super) fn end(&self) -> Result<()> {
        self.start_ms.context("the run never had this book")?;
        ensure!(self.last_ms > 0, "this book never changed in the run");
        Ok(())
    }

    /// The book at the first instant; an empty one is none.
    fn anchor(
        &mut self,
        ms: i64,
        market: &str,
        changes: &Levels,
        text: &mut String,
    ) -> Result<u64> {
        let held = changes.iter().filter(|(_, quantity)| !quantity.is_zero());
        let mut n_lines = 0;
        for ((side, price), quantity) in held {
            if n_lines == 0 {
                text.push_str(&format!("# book of {market}, starts at unix ms {ms}\n"));
            }
            text.push_str(&format!("A{}\n", level(*side, *price, *quantity)?));
            self.set(*side, *price, *quantity);
            n_lines += 1;
        }
        if n_lines > 0 {
            (self.start_ms, self.is_synced) = (Some(ms), true);
        }
        Ok(n_lines)
    }

    /// What brings the book held to a snapshot.
    fn reset(&self, bids: &[Level], asks: &[Level]) -> Levels {
        let mut changes: Levels = self.book.keys().map(|key| (*key, Decimal::ZERO)).collect();
        changes.append(&mut levels(bids, asks));
        changes
    }

    /// True when that changes the book.
    fn set(&mut self, side: char, price: Decimal, quantity: Decimal) -> bool {
        match self.book.entry((side, price)) {
            Entry::Occupied(held) if quantity.is_zero() => {
                held.remove();
                true
            }
            Entry::Occupied(mut held) => held.insert(quantity) != quantity,
            Entry::Vacant(_) if quantity.is_zero() => false,
            Entry::Vacant(free) => {
                free.insert(quantity);
                true
            }
        }
    }
}

fn levels(bids: &[Level], asks: &[Level]) -> Levels {
    let bids = bids.iter().map(|level| ((BID, level.price), level.quantity));
    bids.chain(asks.iter().map(|level| ((ASK, level.price), level.quantity))).collect()
}

/// ` b|a <price> <quantity>`, exact or refused.
fn level(side: char, price: Decimal, quantity: Decimal) -> Result<String> {
    let (price, quantity) = (price.normalize().to_string(), quantity.normalize().to_string());
    let refused = || format!("a tape cannot hold {quantity} at {price}");
    let is_price = fixed::parse(&price).with_context(refused)? > 0;
    ensure!(is_price && fixed::parse(&quantity).with_context(refused)? >= 0, refused());
    Ok(format!(" {side} {price} {quantity}"))
}
