//! Facts as lines of comma-separated values, in the order in which the engine took them in. Their
//! columns are those of the sheets in `history::sheet`.
//!
//! Numbers are written as the journal has them: integers whole, decimals digit by digit. `time_ns`
//! is when we learned of a fact; `seq` is its position in the run, so that rows of one change share
//! it. A field of a third party is quoted wherever it could end a field or a line.

use std::collections::BTreeSet;

use super::export::Wanted;
use crate::engine::event::{Body, BookStep, Event, FillSource};
use crate::market::book::{BookUpdate, Level};
use crate::model::time::Timestamp;

/// Appends a line; a field that could be read as more than one is quoted.
pub(super) fn line(text: &mut String, fields: &[&str]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push('\n');
}

/// Writes the rows of a book's step; says how many.
pub(super) fn books(event: &Event, wanted: &Wanted, text: &mut String) -> u64 {
    let Body::Book { venue, symbol, step } = &event.body else { return 0 };
    if !wanted.market(venue, symbol) {
        return 0;
    }
    let (time, seq) = (event.at.0.to_string(), event.seq.to_string());
    let (update, bids, asks, update_id, venue_time) = match step {
        BookStep::Opened => ("opened", no_levels(), no_levels(), None, None),
        BookStep::Invalid => ("invalid", no_levels(), no_levels(), None, None),
        BookStep::Closed => ("closed", no_levels(), no_levels(), None, None),
        BookStep::Update(BookUpdate::Snapshot { bids, asks, update_id, venue_time }) => {
            ("snapshot", bids.as_slice(), asks.as_slice(), Some(*update_id), *venue_time)
        }
        BookStep::Update(BookUpdate::Diff { bids, asks, update_id, venue_time }) => {
            ("diff", bids.as_slice(), asks.as_slice(), Some(*update_id), Some(*venue_time))
        }
    };
    let update_id = update_id.map(|id| id.to_string()).unwrap_or_default();
    let venue_time = venue_time.map(|at: Timestamp| at.0.to_string()).unwrap_or_default();
    let mut row = |side: &str, price: &str, quantity: &str| {
        line(
            text,
            &[&time, venue, symbol, update, side, price, quantity, &venue_time, &update_id, &seq],
        );
    };
    let mut n_rows = 0;
    for (side, levels) in [("bid", bids), ("ask", asks)] {
        for level in levels {
            row(side, &level.price.to_string(), &level.quantity.to_string());
            n_rows += 1;
        }
    }
    if n_rows == 0 && update != "diff" {
        row("", "", "");
        n_rows = 1;
    }
    n_rows
}

fn no_levels<'a>() -> &'a [Level] {
    &[]
}

/// Which trades were written: the stream and the venue's list tell of the same ones.
#[derive(Debug, Default)]
pub(super) struct Trades {
    told: BTreeSet<(String, String, u64)>,
}

impl Trades {
    /// Writes the trades of a fact that no fact before told; says how many.
    pub(super) fn rows(&mut self, event: &Event, wanted: &Wanted, text: &mut String) -> u64 {
        let Body::Fills { venue, symbol, fills, source } = &event.body else { return 0 };
        if !wanted.market(venue, symbol) {
            return 0;
        }
        let source = match source {
            FillSource::Stream => "stream",
            FillSource::List => "list",
        };
        let mut n_rows = 0;
        for fill in fills {
            if !self.told.insert((venue.clone(), symbol.clone(), fill.trade_id)) {
                continue;
            }
            line(
                text,
                &[
                    &fill.venue_time.0.to_string(),
                    venue,
                    symbol,
                    &fill.trade_id.to_string(),
                    &fill.side.to_string(),
                    &fill.price.to_string(),
                    &fill.quantity.to_string(),
                    &fill.fee.to_string(),
                    &fill.fee_asset,
                    &fill.realized_pnl.to_string(),
                    &fill.margin_asset,
                    fill.client_order_id.as_deref().unwrap_or_default(),
                    &fill.venue_order_id.to_string(),
                    source,
                    &event.at.0.to_string(),
                    &event.seq.to_string(),
                ],
            );
            n_rows += 1;
        }
        n_rows
    }
}
