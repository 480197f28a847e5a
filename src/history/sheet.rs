//! The sheets of the history: which columns each kind of market data has, and what they hold.
//!
//! A row travels as texts, one a column, empty where nothing is known: what a CSV file holds. A
//! sheet checks each text and gives it the type it has in Parquet. Numbers that a venue or a chain
//! wrote stay the text they were, so that no digit is lost; times and counts are whole numbers.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use super::Fault;

/// Letters of a refused text that are repeated.
const SHOWN_CHARS_MAX: usize = 60;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An exact decimal of at most 28 digits, as it was written.
    Decimal,
    /// A whole number of at most 256 bits and its sign, as it was written.
    Integer,
    /// A whole number from 0 to 2^63 - 1.
    Count,
    /// A whole number of 64 bits.
    Number,
    /// Unix nanoseconds.
    Nanos,
    /// Unix seconds; milliseconds in Parquet, which has no type of seconds.
    Seconds,
}

/// A value as Parquet has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Whole(i64),
    Text(String),
}

/// One column of a sheet.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, in CSV and in Parquet.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// True when no row may lack it.
    pub is_needed: bool,
}

/// One kind of market data.
#[derive(Debug)]
pub struct Sheet {
    /// Its name, also that of its files.
    pub name: &'static str,
    /// In the order of the file.
    pub columns: &'static [Column],
    /// The two columns that say which market a row is of.
    pub market: [&'static str; 2],
    /// Rows are sorted by the first of these that the first row has.
    pub times: &'static [&'static str],
}

const fn need(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_needed: true }
}

const fn may(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_needed: false }
}

const SEQ: Column = need("seq", Kind::Count);
const VENUE: Column = need("venue", Kind::Text);
const SYMBOL: Column = need("symbol", Kind::Text);
const SIDES: Kind = Kind::Word(&["buy", "sell"]);
const MARKET: [&str; 2] = ["venue", "symbol"];

/// Order books: one row for every level of a snapshot or a diff. A step without levels has one row,
/// without side: it empties the book. `time_ns` is when the recorder learned of it; rows of one
/// change share `seq`, which counts facts of a run or lines of a recording.
pub static BOOKS: Sheet = Sheet {
    name: "books",
    columns: &[
        need("time_ns", Kind::Nanos),
        VENUE,
        SYMBOL,
        need("update", Kind::Word(&["opened", "invalid", "closed", "snapshot", "diff"])),
        may("side", Kind::Word(&["bid", "ask"])),
        may("price", Kind::Decimal),
        may("quantity", Kind::Decimal),
        may("venue_time_ns", Kind::Nanos),
        may("update_id", Kind::Count),
        SEQ,
    ],
    market: MARKET,
    times: &["time_ns"],
};

/// What happened in pools: one row for every log. The first 16 columns are those of recorded
/// Uniswap V3 logs: a swap's amounts are signed, the pool's side; `timestamp` is the chain's, in
/// seconds. A V4 pool is named by its id, and a change of its liquidity is one event with a sign. A
/// run does not keep which transaction and whose address made a log, nor what a V3 mint or burn was
/// worth in tokens.
pub static POOLS: Sheet = Sheet {
    name: "pools",
    columns: &[
        need("block_number", Kind::Count),
        may("timestamp", Kind::Seconds),
        may("tx_index", Kind::Count),
        may("log_index", Kind::Count),
        may("tx_hash", Kind::Text),
        need("event", Kind::Word(POOL_EVENTS)),
        may("addr0", Kind::Text),
        may("addr1", Kind::Text),
        may("tick_lower", Kind::Number),
        may("tick_upper", Kind::Number),
        may("liquidity_delta", Kind::Integer),
        may("amount0", Kind::Integer),
        may("amount1", Kind::Integer),
        may("sqrt_price_x96", Kind::Integer),
        may("pool_liquidity", Kind::Integer),
        may("tick", Kind::Number),
        may("block_hash", Kind::Text),
        need("chain", Kind::Count),
        may("pool", Kind::Text),
        may("reserve0", Kind::Integer),
        may("reserve1", Kind::Integer),
        may("amount0_in", Kind::Integer),
        may("amount1_in", Kind::Integer),
        may("amount0_out", Kind::Integer),
        may("amount1_out", Kind::Integer),
        may("detail", Kind::Text),
        may("time_ns", Kind::Nanos),
        SEQ,
    ],
    market: ["chain", "pool"],
    times: &["time_ns", "timestamp"],
};

const POOL_EVENTS: &[&str] = &[
    "state",
    "broken",
    "initialize",
    "swap",
    "mint",
    "burn",
    "collect",
    "flash",
    "sync",
    "set_fee_protocol",
    "collect_protocol",
    "modify_liquidity",
    "donate",
    "protocol_fee_updated",
    "reorganised",
    "reorganised_too_deep",
];

/// Our trades, each once, as first told.
pub static FILLS: Sheet = Sheet {
    name: "fills",
    columns: &[
        need("time_ns", Kind::Nanos),
        VENUE,
        SYMBOL,
        need("trade_id", Kind::Count),
        need("side", SIDES),
        need("price", Kind::Decimal),
        need("quantity", Kind::Decimal),
        need("fee", Kind::Decimal),
        may("fee_asset", Kind::Text),
        need("realized_pnl", Kind::Decimal),
        may("margin_asset", Kind::Text),
        may("client_order_id", Kind::Text),
        need("venue_order_id", Kind::Count),
        need("source", Kind::Word(&["stream", "list"])),
        need("learned_ns", Kind::Nanos),
        SEQ,
    ],
    market: MARKET,
    times: &["learned_ns"],
};

/// Best bid and ask of a book, as the venue tells them.
pub static TICKERS: Sheet = Sheet {
    name: "tickers",
    columns: &[
        need("time_ns", Kind::Nanos),
        VENUE,
        SYMBOL,
        need("bid", Kind::Decimal),
        need("bid_quantity", Kind::Decimal),
        need("ask", Kind::Decimal),
        need("ask_quantity", Kind::Decimal),
        may("venue_time_ns", Kind::Nanos),
        need("update_id", Kind::Count),
        SEQ,
    ],
    market: MARKET,
    times: &["time_ns"],
};

/// Trades of all; `side` is that of the taker, `kind` the venue's word where it has one.
pub static TRADES: Sheet = Sheet {
    name: "trades",
    columns: &[
        need("time_ns", Kind::Nanos),
        VENUE,
        SYMBOL,
        need("trade_id", Kind::Count),
        need("side", SIDES),
        need("price", Kind::Decimal),
        need("quantity", Kind::Decimal),
        may("kind", Kind::Text),
        need("venue_time_ns", Kind::Nanos),
        SEQ,
    ],
    market: MARKET,
    times: &["time_ns"],
};

/// Candles; `timestamp` is the start, `volume` in base units. The manifest says how long they are.
pub static CANDLES: Sheet = Sheet {
    name: "candles",
    columns: &[
        need("timestamp", Kind::Seconds),
        VENUE,
        SYMBOL,
        need("open", Kind::Decimal),
        need("high", Kind::Decimal),
        need("low", Kind::Decimal),
        need("close", Kind::Decimal),
        may("volume", Kind::Decimal),
        may("volume_usd", Kind::Decimal),
        may("market_cap_usd", Kind::Decimal),
        SEQ,
    ],
    market: MARKET,
    times: &["timestamp"],
};

/// Funding rates, a fraction for each interval of the venue.
pub static FUNDING: Sheet = Sheet {
    name: "funding",
    columns: &[
        need("timestamp", Kind::Seconds),
        VENUE,
        SYMBOL,
        need("funding_rate", Kind::Decimal),
        SEQ,
    ],
    market: MARKET,
    times: &["timestamp"],
};

/// Every sheet there is.
pub static SHEETS: [&Sheet; 7] = [&BOOKS, &POOLS, &FILLS, &TICKERS, &TRADES, &CANDLES, &FUNDING];

impl Sheet {
    /// The sheet of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SHEETS.into_iter().find(|sheet| sheet.name == name)
    }

    /// The first line of its CSV files.
    pub fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        format!("{}\n", names.join(","))
    }

    /// Position of a column.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Gives the texts of a row their types.
    ///
    /// # Errors
    /// The first column whose text it cannot hold.
    pub fn cells(&self, fields: &[&str]) -> Result<Vec<Option<Cell>>, Fault> {
        if fields.len() != self.columns.len() {
            let (have, want) = (fields.len(), self.columns.len());
            return Err(Fault::new("(all)", format!("{have} fields where {want} belong")));
        }
        let cell = |(column, text): (&Column, &&str)| {
            column.cell(text).map_err(|what| Fault::new(column.name, what))
        };
        self.columns.iter().zip(fields).map(cell).collect()
    }
}

impl Column {
    /// The value of a text; an empty one has none.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn cell(&self, text: &str) -> Result<Option<Cell>, String> {
        if text.is_empty() {
            let what = "it is empty, and every row needs it";
            return if self.is_needed { Err(what.to_owned()) } else { Ok(None) };
        }
        let is_held = match self.kind {
            Kind::Text => true,
            Kind::Word(words) if !words.contains(&text) => {
                return Err(format!("{} is none of: {}", shown(text), words.join(", ")));
            }
            Kind::Word(_) => true,
            Kind::Decimal => decimal(text).is_some(),
            Kind::Integer => is_integer(text),
            Kind::Number => return whole(text, i64::MIN).map(|n| Some(Cell::Whole(n))),
            Kind::Count | Kind::Nanos => return whole(text, 0).map(|n| Some(Cell::Whole(n))),
            Kind::Seconds => {
                let ms = whole(text, 0)?.checked_mul(1_000);
                let ms = ms.ok_or_else(|| format!("{} seconds are too many", shown(text)))?;
                return Ok(Some(Cell::Whole(ms)));
            }
        };
        if is_held {
            return Ok(Some(Cell::Text(text.to_owned())));
        }
        let belongs = match self.kind {
            Kind::Decimal => "an exact decimal of at most 28 digits",
            _ => "a whole number of at most 256 bits",
        };
        Err(format!("{} is not {belongs}", shown(text)))
    }

    /// The text of a value.
    ///
    /// # Errors
    /// A time that is no whole second where seconds belong.
    pub fn text(&self, cell: Cell) -> Result<String, String> {
        match (cell, self.kind) {
            (Cell::Whole(ms), Kind::Seconds) if ms % 1_000 == 0 => Ok((ms / 1_000).to_string()),
            (Cell::Whole(ms), Kind::Seconds) => Err(format!("{ms} ms are no whole seconds")),
            (Cell::Whole(number), _) => Ok(number.to_string()),
            (Cell::Text(text), _) => Ok(text),
        }
    }

    /// True when Parquet has it as a whole number.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Count | Kind::Number | Kind::Nanos | Kind::Seconds)
    }
}

/// The exact value of a decimal, also of one with an exponent.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    let digits = text.split_once(['e', 'E']).map_or(text, |(digits, _)| digits);
    // Underscores and plus signs would be read as well.
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
        return None;
    }
    let exact = Decimal::from_str_exact(digits).ok()?;
    if digits == text { Some(exact) } else { Decimal::from_scientific(text).ok() }
}

/// Whole numbers must be written as we would write them: then they come out as they went in.
fn whole(text: &str, least: i64) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(number) if number < least => Err(format!("{number} is below {least}")),
        Ok(number) if number.to_string() == text => Ok(number),
        Ok(number) => Err(format!("{} must be written as {number}", shown(text))),
        Err(_) => Err(format!("{} is not a whole number of 64 bits", shown(text))),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = text == "0" || !digits.starts_with('0');
    is_plain
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && U256::from_str_radix(digits, 10).is_ok()
}

/// A text of a third party, short and without control characters.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: Option<Cell>) {
        let column = need("x", kind);
        let found = column.cell(text).ok().flatten();
        assert_eq!(found, expected, "{text}");
        if let Some(cell) = found {
            assert_eq!(column.text(cell).as_deref(), Ok(text), "it comes out as it went in");
        }
    }

    #[test]
    fn texts_are_exact_or_refused() {
        let text = |text: &str| Some(Cell::Text(text.to_owned()));
        for exact in ["61837.63000000", "-0.00012359", "7.5e-05", "1E+3", "0"] {
            check(Kind::Decimal, exact, text(exact));
        }
        for bad in ["", "NaN", "1_000", "+1", "1,5", "0x1", "1e99", "-", "1e", "0.1.2"] {
            check(Kind::Decimal, bad, None);
        }
        check(Kind::Decimal, "0.00000000000000000000000000000000001", None);
        let max = U256::MAX.to_string();
        for exact in ["-783707260129944808", "0", max.as_str()] {
            check(Kind::Integer, exact, text(exact));
        }
        for bad in ["", "-", "-0", "01", "1.0", "1e3", &format!("{max}0")] {
            check(Kind::Integer, bad, None);
        }
        check(Kind::Seconds, "1704412823", Some(Cell::Whole(1_704_412_823_000)));
        check(Kind::Seconds, "9223372036854775807", None);
        check(Kind::Nanos, "9223372036854775807", Some(Cell::Whole(i64::MAX)));
        check(Kind::Number, "-887272", Some(Cell::Whole(-887_272)));
        for bad in ["-1", "007", "+7", "1.0", "9223372036854775808"] {
            check(Kind::Count, bad, None);
        }
        check(Kind::Word(&["buy", "sell"]), "BUY", None);
        assert_eq!(may("x", Kind::Count).cell(""), Ok(None));
        assert!(need("x", Kind::Seconds).text(Cell::Whole(1_500)).is_err());
    }

    #[test]
    fn every_sheet_has_the_columns_it_speaks_of() {
        for sheet in SHEETS {
            let named = sheet.market.iter().chain(sheet.times).chain(&["seq"]);
            for name in named {
                assert!(sheet.index(name).is_some(), "{} has no {name}", sheet.name);
            }
            assert!(std::ptr::eq(Sheet::named(sheet.name).unwrap(), sheet));
        }
        let head = POOLS.head();
        assert!(head.starts_with("block_number,timestamp,tx_index,log_index,"), "{head}");
    }
}
