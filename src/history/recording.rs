//! Recordings of Binance's market streams: one frame a line, after the time it was received.
//!
//! Depth goes through the machine that feeds the live books (`venues::binance::sync`), so that the
//! rows are what a keeper would have written down: the snapshot where the diffs prove it, diffs
//! without a hole, and `invalid` where there is one. A diff that no snapshot covers is no row.

use std::io::BufRead;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::forms::Given;
use super::intake::Intake;
use super::lines::Lines;
use super::{At, Fault, HistoryError, sheet};
use crate::market::book::{BookUpdate, Level};
use crate::model::time::Timestamp;
use crate::venues::binance::Dialect;
use crate::venues::binance::sync::{BookSync, Step};

/// What such a file is called.
pub(super) const FORM: &str = "Binance recordings";

/// A line: a frame of a stream, or the answer of REST.
#[derive(Deserialize)]
struct Frame<'a> {
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
}

type WireLevels<'a> = Vec<(&'a str, &'a str)>;

#[derive(Deserialize)]
struct WireDepth<'a> {
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    #[serde(rename = "u")]
    last: u64,
    /// Futures only.
    pu: Option<u64>,
    #[serde(borrow)]
    b: WireLevels<'a>,
    #[serde(borrow)]
    a: WireLevels<'a>,
}

#[derive(Deserialize)]
struct WireSnapshot<'a> {
    symbol: Option<&'a str>,
    #[serde(borrow)]
    bids: WireLevels<'a>,
    #[serde(borrow)]
    asks: WireLevels<'a>,
}

#[derive(Deserialize)]
struct WireTicker<'a> {
    s: &'a str,
    u: u64,
    b: &'a str,
    #[serde(rename = "B")]
    bid_quantity: &'a str,
    a: &'a str,
    #[serde(rename = "A")]
    ask_quantity: &'a str,
    /// Futures only.
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    s: &'a str,
    t: u64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    trade_ms: i64,
    #[serde(rename = "m")]
    is_buyer_maker: bool,
    /// Futures only.
    #[serde(rename = "X")]
    kind: Option<&'a str>,
}

/// A recording of one market being read.
struct Recording<'a, 'b> {
    venue: &'a str,
    symbol: Option<String>,
    sync: Option<BookSync>,
    at: Timestamp,
    line: u64,
    intake: &'a mut Intake<'b>,
}

/// True when a file that begins with this line is a recording.
pub(super) fn is_one(line: &str) -> bool {
    line.split_once(' ')
        .is_some_and(|(ns, json)| ns.parse::<i64>().is_ok() && json.starts_with('{'))
}

/// Reads a recording to its end.
pub(super) fn read(
    lines: &mut Lines<impl BufRead>,
    given: &Given,
    intake: &mut Intake<'_>,
    unread: impl Fn(u64, std::io::Error) -> HistoryError,
) -> Result<(), HistoryError> {
    given.fits(FORM, &["venue"]).map_err(|fault| intake.refuse(At::Line(1), fault))?;
    let venue = given.venue.as_deref().unwrap_or_default();
    let (symbol, sync, at, line) = (None, None, Timestamp::default(), 0);
    let mut recording = Recording { venue, symbol, sync, at, line, intake };
    loop {
        let text = lines.line().map_err(|error| unread(lines.number(), error))?;
        let Some(text) = text else { return Ok(()) };
        recording.line = lines.number();
        recording.frame(&text)?;
    }
}

impl Recording<'_, '_> {
    fn frame(&mut self, text: &str) -> Result<(), HistoryError> {
        let (ns, json) = text.split_once(' ').unwrap_or((text, ""));
        let Some(at) = ns.parse::<i64>().ok().map(Timestamp).filter(|at| *at >= self.at) else {
            let what = format!("{} is no time in ns at or after the line before", sheet::shown(ns));
            return Err(self.refuse("time", what));
        };
        self.at = at;
        let frame: Frame<'_> = self.parsed("json", json)?;
        let Some((stream, body)) = frame.stream.zip(frame.data) else {
            if frame.last_update_id.is_some() {
                return self.snapshot(json);
            }
            return Err(self.refuse("json", "neither a frame of a stream nor a snapshot"));
        };
        match stream.split('@').nth(1) {
            Some("depth") => self.depth(json, body.get()),
            Some("bookTicker") => self.ticker(body.get()),
            Some("trade") => self.trade(body.get()),
            _ => {
                let stream = sheet::shown(stream);
                let what = format!("{stream} is none of @depth, @bookTicker, @trade: leave it out");
                Err(self.refuse("stream", what))
            }
        }
    }

    fn depth(&mut self, json: &str, body: &str) -> Result<(), HistoryError> {
        let wire: WireDepth<'_> = self.parsed("depth", body)?;
        self.named(wire.s)?;
        self.levels("b", &wire.b)?;
        self.levels("a", &wire.a)?;
        if wire.first > wire.last {
            return Err(self.refuse("U", format!("{} is above u, {}", wire.first, wire.last)));
        }
        if self.sync.is_none() {
            // Only futures name the diff before.
            let dialect = if wire.pu.is_some() { Dialect::UsdM } else { Dialect::Spot };
            let mut sync = BookSync::new(dialect, wire.s, i64::MAX);
            sync.opened(self.at);
            self.sync = Some(sync);
            self.step("opened")?;
        }
        let at = self.at;
        let steps = self.sync.as_mut().map(|sync| sync.frame(json.as_bytes(), at));
        self.obey(steps.unwrap_or_default())
    }

    fn snapshot(&mut self, json: &str) -> Result<(), HistoryError> {
        let wire: WireSnapshot<'_> = self.parsed("snapshot", json)?;
        if let Some(symbol) = wire.symbol {
            self.named(symbol)?;
        }
        self.levels("bids", &wire.bids)?;
        self.levels("asks", &wire.asks)?;
        let at = self.at;
        let Some(sync) = self.sync.as_mut() else {
            let what = "a snapshot before the first diff belongs to no stream: leave it out";
            return Err(self.refuse("lastUpdateId", what));
        };
        let steps = sync.snapshot(json.as_bytes(), at);
        self.obey(steps)
    }

    fn ticker(&mut self, body: &str) -> Result<(), HistoryError> {
        let wire: WireTicker<'_> = self.parsed("bookTicker", body)?;
        self.named(wire.s)?;
        let venue_time = wire.transaction_ms.map(venue_ns).unwrap_or_default();
        let (update_id, seq, at) =
            (wire.u.to_string(), self.line.to_string(), self.at.0.to_string());
        let prices = [wire.b, wire.bid_quantity, wire.a, wire.ask_quantity];
        let mut fields = vec![at.as_str(), self.venue, wire.s];
        fields.extend(prices);
        fields.extend([venue_time.as_str(), &update_id, &seq]);
        self.intake.row(&sheet::TICKERS, At::Line(self.line), &fields)
    }

    fn trade(&mut self, body: &str) -> Result<(), HistoryError> {
        let wire: WireTrade<'_> = self.parsed("trade", body)?;
        self.named(wire.s)?;
        let side = if wire.is_buyer_maker { "sell" } else { "buy" };
        let fields: [&str; 10] = [
            &self.at.0.to_string(),
            self.venue,
            wire.s,
            &wire.t.to_string(),
            side,
            wire.p,
            wire.q,
            wire.kind.unwrap_or_default(),
            &venue_ns(wire.trade_ms),
            &self.line.to_string(),
        ];
        self.intake.row(&sheet::TRADES, At::Line(self.line), &fields)
    }

    /// Writes what the machine says of the book.
    fn obey(&mut self, steps: Vec<Step>) -> Result<(), HistoryError> {
        for step in steps {
            match step {
                Step::Emit(update) => self.update(&update)?,
                Step::Invalid { .. } => self.step("invalid")?,
                // A recording answers when it answers.
                Step::FetchSnapshot => {}
                Step::Reconnect => {
                    let at = self.at;
                    if let Some(sync) = self.sync.as_mut() {
                        sync.opened(at);
                    }
                    self.step("opened")?;
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, update: &BookUpdate) -> Result<(), HistoryError> {
        let (word, bids, asks, update_id, venue_time) = match update {
            BookUpdate::Snapshot { bids, asks, update_id, venue_time } => {
                ("snapshot", bids, asks, update_id, *venue_time)
            }
            BookUpdate::Diff { bids, asks, update_id, venue_time } => {
                ("diff", bids, asks, update_id, Some(*venue_time))
            }
        };
        let (update_id, venue_time) =
            (update_id.to_string(), venue_time.map(|at| at.0.to_string()).unwrap_or_default());
        let is_bare = bids.is_empty() && asks.is_empty();
        if is_bare && word == "snapshot" {
            return self.book([word, "", "", "", &venue_time, &update_id]);
        }
        let bids = bids.iter().map(|level| ("bid", level));
        for (side, Level { price, quantity }) in bids.chain(asks.iter().map(|level| ("ask", level)))
        {
            let (price, quantity) = (price.to_string(), quantity.to_string());
            self.book([word, side, &price, &quantity, &venue_time, &update_id])?;
        }
        Ok(())
    }

    /// A row that only says what became of the book.
    fn step(&mut self, update: &str) -> Result<(), HistoryError> {
        self.book([update, "", "", "", "", ""])
    }

    fn book(
        &mut self,
        [update, side, price, quantity, venue_time, update_id]: [&str; 6],
    ) -> Result<(), HistoryError> {
        let (at, seq) = (self.at.0.to_string(), self.line.to_string());
        let symbol = self.symbol.as_deref().unwrap_or_default();
        let fields: [&str; 10] =
            [&at, self.venue, symbol, update, side, price, quantity, venue_time, update_id, &seq];
        self.intake.row(&sheet::BOOKS, At::Line(self.line), &fields)
    }

    /// A recording is of one market.
    fn named(&mut self, symbol: &str) -> Result<(), HistoryError> {
        let known = self.symbol.get_or_insert_with(|| symbol.to_owned());
        if known.as_str() == symbol {
            return Ok(());
        }
        let what = format!("{} after {known}: one market a file", sheet::shown(symbol));
        Err(self.refuse("s", what))
    }

    fn levels(&self, column: &str, levels: &WireLevels<'_>) -> Result<(), HistoryError> {
        let exact = |text: &str| Decimal::from_str_exact(text).ok();
        let is_level = |price: &str, quantity: &str| {
            exact(price).is_some_and(|price| price > Decimal::ZERO)
                && exact(quantity).is_some_and(|quantity| quantity >= Decimal::ZERO)
        };
        match levels.iter().find(|(price, quantity)| !is_level(price, quantity)) {
            Some((price, quantity)) => {
                let (price, quantity) = (sheet::shown(price), sheet::shown(quantity));
                Err(self.refuse(column, format!("impossible level: {quantity} at {price}")))
            }
            None => Ok(()),
        }
    }

    fn parsed<'t, T: Deserialize<'t>>(&self, what: &str, json: &'t str) -> Result<T, HistoryError> {
        let parsed = serde_json::from_str(json);
        parsed.map_err(|error| self.refuse(what, format!("it does not read: {error}")))
    }

    fn refuse(&self, column: &str, what: impl Into<String>) -> HistoryError {
        self.intake.refuse(At::Line(self.line), Fault::new(column, what))
    }
}

fn venue_ns(ms: i64) -> String {
    Timestamp::from_ms(ms).0.to_string()
}
