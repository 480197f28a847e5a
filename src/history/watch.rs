//! What the rows of a sheet promise each other, checked while they pass: order, uniqueness, and
//! that nothing is missing between them.
//!
//! A broken promise refuses the file. What is missing is no error: it is counted and told, since a
//! recording with a hole is still a recording.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Fault;
use super::sheet::{self, Cell, Kind, Sheet};
use crate::model::time::{NS_PER_MS, Timestamp};

/// What the rows of one file are, all together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Rows in it.
    pub rows: u64,
    /// The column by which they are sorted; `None` without rows.
    pub sorted_by: Option<String>,
    /// Time of the first row, Unix nanoseconds.
    pub first_ns: Option<Timestamp>,
    /// Time of the last row, Unix nanoseconds.
    pub last_ns: Option<Timestamp>,
    /// By venue and symbol, or by chain and pool.
    pub markets: Vec<Market>,
}

/// What one market has in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    /// The venue, or the chain.
    pub place: String,
    /// The symbol, or the pool; empty for rows of a whole chain.
    pub name: String,
    /// Rows of it.
    pub rows: u64,
    /// Times that a book's chain of updates broke, trades or candles that are missing.
    pub gaps: u64,
    /// Seconds from candle to candle; `None` where there are no two of them, and for the rest.
    pub step_s: Option<i64>,
}

/// The watch over the rows of one file.
#[derive(Debug)]
pub(super) struct Watch {
    sheet: &'static Sheet,
    time: Option<usize>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    seq: i64,
    rows: u64,
    markets: BTreeMap<(String, String), Track>,
}

/// What is remembered of a market.
#[derive(Debug, Default)]
struct Track {
    rows: u64,
    gaps: u64,
    /// Time of a candle or a rate, number of a trade or an update.
    last: Option<i64>,
    /// Block and position of the last log.
    log: Option<(i64, i64)>,
    /// Numbers of our trades.
    trades: BTreeSet<i64>,
    /// How often candles stood so many milliseconds apart.
    steps: BTreeMap<i64, u64>,
}

/// A row being looked at.
struct Row<'a> {
    sheet: &'static Sheet,
    cells: &'a [Option<Cell>],
}

impl Row<'_> {
    fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.get(self.sheet.index(name)?)?.as_ref()
    }

    fn has(&self, name: &str) -> bool {
        self.cell(name).is_some()
    }

    fn whole(&self, name: &str) -> Option<i64> {
        match self.cell(name)? {
            Cell::Whole(number) => Some(*number),
            Cell::Text(_) => None,
        }
    }

    fn word(&self, name: &str) -> &str {
        match self.cell(name) {
            Some(Cell::Text(text)) => text,
            Some(Cell::Whole(_)) | None => "",
        }
    }

    fn decimal(&self, name: &str) -> Option<Decimal> {
        sheet::decimal(self.word(name))
    }

    fn market(&self) -> (String, String) {
        let name = |name| match self.cell(name) {
            Some(Cell::Whole(number)) => number.to_string(),
            Some(Cell::Text(text)) => text.clone(),
            None => String::new(),
        };
        (name(self.sheet.market[0]), name(self.sheet.market[1]))
    }

    fn needs(&self, names: &[&str], by: &str) -> Result<(), Fault> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(Fault::new(*name, format!("it is empty, and {by} needs it"))),
            None => Ok(()),
        }
    }
}

impl Watch {
    pub(super) fn new(sheet: &'static Sheet) -> Self {
        let (time, first, last, seq, rows) = (None, None, None, 0, 0);
        Self { sheet, time, first, last, seq, rows, markets: BTreeMap::new() }
    }

    /// Looks at the next row.
    pub(super) fn row(&mut self, cells: &[Option<Cell>]) -> Result<(), Fault> {
        let row = Row { sheet: self.sheet, cells };
        self.time(&row)?;
        let seq = row.whole("seq").unwrap_or_default();
        if seq < self.seq {
            return Err(Fault::new("seq", format!("{seq} comes after {}", self.seq)));
        }
        (self.seq, self.rows) = (seq, self.rows + 1);
        let track = self.markets.entry(row.market()).or_default();
        track.rows += 1;
        match self.sheet.name {
            "books" => track.book(&row),
            "pools" => track.log(&row),
            "fills" => track.fill(&row),
            "trades" => track.trade(&row),
            "candles" => track.candle(&row),
            "funding" => track.advance(&row).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The rows are sorted by the first time that the first of them has.
    fn time(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        if self.rows == 0 {
            let has = self.sheet.times.iter().find(|name| row.has(name));
            self.time = has.and_then(|name| self.sheet.index(name));
        }
        let column = self.time.and_then(|index| self.sheet.columns.get(index));
        let Some(column) = column else {
            let times = self.sheet.times.join(" or ");
            return Err(Fault::new(times, "it is empty, and the first row needs it"));
        };
        let Some(whole) = row.whole(column.name) else {
            return Err(Fault::new(column.name, "it is empty, and the rows before have it"));
        };
        let scale = if column.kind == Kind::Seconds { NS_PER_MS } else { 1 };
        let at = whole.checked_mul(scale).map(Timestamp);
        let at = at.ok_or_else(|| Fault::new(column.name, "it is later than the year 2262"))?;
        if let Some(last) = self.last.filter(|last| *last > at) {
            let (at, last) = (at.utc(), last.utc());
            return Err(Fault::new(column.name, format!("{at} comes after {last}: sort the file")));
        }
        self.first = self.first.or(Some(at));
        self.last = Some(at);
        Ok(())
    }

    /// What passed.
    pub(super) fn end(self) -> Result<Extent, Fault> {
        let mut markets = Vec::new();
        for ((place, name), track) in self.markets {
            let (step_s, n_missing) = track.steps()?;
            let gaps = track.gaps + n_missing;
            markets.push(Market { place, name, rows: track.rows, gaps, step_s });
        }
        let column = self.time.and_then(|index| self.sheet.columns.get(index));
        Ok(Extent {
            rows: self.rows,
            sorted_by: column.map(|column| column.name.to_owned()),
            first_ns: self.first,
            last_ns: self.last,
            markets,
        })
    }
}

impl Track {
    fn book(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let update = row.word("update");
        let is_level = row.has("side");
        if is_level != row.has("price") || is_level != row.has("quantity") {
            return Err(Fault::new(
                "side",
                "a level has side, price and quantity, or none of them",
            ));
        }
        if is_level && row.decimal("price").is_none_or(|price| price <= Decimal::ZERO) {
            return Err(Fault::new("price", "it must be above 0"));
        }
        if is_level && row.decimal("quantity").is_none_or(|quantity| quantity < Decimal::ZERO) {
            return Err(Fault::new("quantity", "it must not be below 0"));
        }
        match update {
            "diff" => {
                row.needs(&["side", "update_id"], "a diff")?;
                let id = row.whole("update_id");
                if self.last > id {
                    return Err(Fault::new("update_id", "it is below that of the rows before"));
                }
                self.last = id;
            }
            "snapshot" => {
                row.needs(&["update_id"], "a snapshot")?;
                self.last = row.whole("update_id");
            }
            _ if is_level => return Err(Fault::new("side", format!("{update} has no levels"))),
            _ => {
                self.last = None;
                self.gaps += u64::from(update == "invalid");
            }
        }
        Ok(())
    }

    /// A log with its position is one of a recording, whose rows are sorted by it and whole.
    fn log(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let Some((block, log)) = row.whole("block_number").zip(row.whole("log_index")) else {
            return Ok(());
        };
        if let Some((last_block, last)) = self.log.filter(|last| *last >= (block, log)) {
            let what = format!("log {log} of block {block} after {last} of {last_block}");
            return Err(Fault::new("log_index", format!("{what}: each once, and in order")));
        }
        self.log = Some((block, log));
        let event = row.word("event");
        let names: &[&str] = match event {
            "swap" => &["amount0", "amount1", "sqrt_price_x96", "pool_liquidity", "tick"],
            "mint" | "burn" => &["tick_lower", "tick_upper", "liquidity_delta"],
            "collect" => &["tick_lower", "tick_upper", "amount0", "amount1"],
            _ => &[],
        };
        row.needs(names, event)
    }

    fn fill(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let id = row.whole("trade_id").unwrap_or_default();
        if self.trades.insert(id) {
            return Ok(());
        }
        Err(Fault::new("trade_id", format!("trade {id} was there before")))
    }

    fn trade(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        let id = row.whole("trade_id").unwrap_or_default();
        for name in ["price", "quantity"] {
            if row.decimal(name).is_none_or(|number| number <= Decimal::ZERO) {
                return Err(Fault::new(name, "it must be above 0"));
            }
        }
        if let Some(last) = self.last {
            if id <= last {
                return Err(Fault::new("trade_id", format!("trade {id} comes after {last}")));
            }
            self.gaps += (id - last - 1).unsigned_abs();
        }
        self.last = Some(id);
        Ok(())
    }

    fn candle(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        if let Some(step) = self.advance(row)? {
            *self.steps.entry(step).or_default() += 1;
        }
        let [low, high] = ["low", "high"].map(|name| row.decimal(name));
        for name in ["open", "close"] {
            let price = row.decimal(name);
            if price < low || price > high {
                return Err(Fault::new(name, "it is not between low and high"));
            }
        }
        Ok(())
    }

    /// Milliseconds since the row before, of rows that have each a time of their own.
    fn advance(&mut self, row: &Row<'_>) -> Result<Option<i64>, Fault> {
        let at = row.whole("timestamp").unwrap_or_default();
        let step = self.last.map(|last| at - last);
        if step.is_some_and(|step| step <= 0) {
            return Err(Fault::new("timestamp", "this market has that time already"));
        }
        self.last = Some(at);
        Ok(step)
    }

    /// Seconds from candle to candle, and how many candles are missing.
    fn steps(&self) -> Result<(Option<i64>, u64), Fault> {
        let Some(least) = self.steps.keys().next().copied() else { return Ok((None, 0)) };
        let mut n_missing = 0;
        for (step, n_times) in &self.steps {
            if step % least != 0 {
                let (step, least) = (step / 1_000, least / 1_000);
                let what = format!("candles stand {least} s and {step} s apart: split the file");
                return Err(Fault::new("timestamp", what));
            }
            n_missing += (step / least - 1).unsigned_abs() * n_times;
        }
        Ok((Some(least / 1_000), n_missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(sheet: &'static Sheet, rows: &str) -> Result<Extent, Fault> {
        let mut watch = Watch::new(sheet);
        for row in rows.lines() {
            let fields: Vec<&str> = row.split(',').collect();
            watch.row(&sheet.cells(&fields)?)?;
        }
        watch.end()
    }

    #[track_caller]
    fn refused(sheet: &'static Sheet, rows: &str, column: &str) {
        let fault = watched(sheet, rows).expect_err("a promise is broken");
        assert_eq!(fault.column, column, "{fault}");
    }

    #[test]
    fn what_is_missing_is_counted() {
        let candle = |s: i64, symbol: &str| format!("{s},v,{symbol},2,3,1,2,9,,,1\n");
        let rows = [(0, "A"), (0, "B"), (60, "A"), (120, "A"), (300, "A")];
        let rows: String = rows.iter().map(|(s, symbol)| candle(*s, symbol)).collect();
        let extent = watched(&sheet::CANDLES, &rows).unwrap();
        assert_eq!((extent.rows, extent.sorted_by.as_deref()), (5, Some("timestamp")));
        assert_eq!(extent.last_ns, Some(Timestamp::from_s(300)));
        let found: Vec<_> = extent.markets.iter().map(|m| (m.gaps, m.step_s)).collect();
        assert_eq!(found, [(2, Some(60)), (0, None)]);

        let trades = "1,v,A,7,buy,2,1,,1,1\n1,v,A,10,sell,2,1,,1,2\n";
        assert_eq!(watched(&sheet::TRADES, trades).unwrap().markets[0].gaps, 2);
        let books = "1,v,A,opened,,,,,,1\n2,v,A,invalid,,,,,,2\n";
        assert_eq!(watched(&sheet::BOOKS, books).unwrap().markets[0].gaps, 1);
    }

    #[test]
    fn broken_promises_are_refused_by_their_column() {
        let candles = &sheet::CANDLES;
        refused(candles, "60,v,A,2,3,1,2,9,,,1\n0,v,A,2,3,1,2,9,,,2", "timestamp");
        refused(candles, "60,v,A,2,3,1,2,9,,,1\n60,v,A,2,3,1,2,9,,,2", "timestamp");
        refused(candles, "60,v,A,2,3,1,3.01,9,,,1", "close");
        let uneven = "0,v,A,2,3,1,2,9,,,1\n60,v,A,2,3,1,2,9,,,2\n150,v,A,2,3,1,2,9,,,3";
        refused(candles, uneven, "timestamp");
        refused(&sheet::TRADES, "1,v,A,7,buy,2,1,,1,1\n1,v,A,7,buy,2,1,,1,2", "trade_id");
        refused(&sheet::TRADES, "1,v,A,7,buy,2,1,,1,2\n1,v,A,8,buy,2,1,,1,1", "seq");
        let books = &sheet::BOOKS;
        refused(books, "1,v,A,diff,bid,2,1,1,8,1\n1,v,A,diff,bid,2,1,1,7,2", "update_id");
        refused(books, "1,v,A,diff,bid,0,1,1,8,1", "price");
        refused(books, "1,v,A,diff,bid,2,,1,8,1", "side");
        refused(books, "1,v,A,closed,bid,2,1,1,8,1", "side");
        refused(&sheet::FUNDING, "8,v,A,0.1,1\n8,v,A,0.1,2", "timestamp");

        let log = |block: u32, log: u32, tick: &str| {
            format!("{block},5,1,{log},,swap,,,,,,1,-1,9,9,{tick},,1,0xab,,,,,,,,,1\n")
        };
        assert!(watched(&sheet::POOLS, &(log(1, 2, "3") + &log(2, 1, "3"))).is_ok());
        refused(&sheet::POOLS, &(log(1, 2, "3") + &log(1, 2, "3")), "log_index");
        refused(&sheet::POOLS, &log(1, 2, ""), "tick");
    }
}
