//! The forms that a table of market data may come in: which head line makes it which sheet.
//!
//! A form is known by its column names alone. What a file does not say of itself the operator says
//! (`Given`); nothing is taken from the file's name.

use alloy::primitives::Address;

use super::Fault;
use super::sheet::{self, SHEETS, Sheet};

/// What the operator says of a source that does not say it itself.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The venue, by the operator's name.
    pub venue: Option<String>,
    /// EIP-155 id.
    pub chain: Option<u64>,
    /// Address of the pool.
    pub pool: Option<Address>,
}

/// Columns that can be given, by the names of the options.
const GIVEN: [&str; 3] = ["venue", "chain", "pool"];

/// A form of somebody else.
struct Form {
    name: &'static str,
    head: &'static [&'static str],
    sheet: &'static Sheet,
    /// The file's name of a column and ours, where they differ.
    renamed: &'static [(&'static str, &'static str)],
    /// What must be given.
    asks: &'static [&'static str],
}

/// Recorded tables whose rows become those of a sheet.
static FORMS: [Form; 4] = [
    Form {
        name: "Uniswap V3 pool events",
        head: &[
            "block_number",
            "timestamp",
            "tx_index",
            "log_index",
            "tx_hash",
            "event",
            "addr0",
            "addr1",
            "tick_lower",
            "tick_upper",
            "liquidity_delta",
            "amount0",
            "amount1",
            "sqrt_price_x96",
            "pool_liquidity",
            "tick",
        ],
        sheet: &sheet::POOLS,
        renamed: &[],
        asks: &["chain", "pool"],
    },
    Form {
        name: "candles",
        head: &["timestamp", "symbol", "open", "high", "low", "close", "volume"],
        sheet: &sheet::CANDLES,
        renamed: &[],
        asks: &["venue"],
    },
    Form {
        name: "candles in USD",
        head: &[
            "timestamp",
            "symbol",
            "open",
            "high",
            "low",
            "close",
            "volume_usd",
            "market_cap_usd",
        ],
        sheet: &sheet::CANDLES,
        renamed: &[],
        asks: &["venue"],
    },
    Form {
        name: "funding rates",
        head: &["timestamp", "exchange", "symbol", "funding_rate"],
        sheet: &sheet::FUNDING,
        renamed: &[("exchange", "venue")],
        asks: &[],
    },
];

/// Where a cell of a row comes from.
#[derive(Clone, Debug)]
enum Origin {
    Field(usize),
    Given(String),
    /// The line it stands in, where the file has no `seq`.
    Line,
    Unknown,
}

/// How the records of one file become rows of a sheet.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) form: String,
    pub(super) sheet: &'static Sheet,
    n_fields: usize,
    origins: Vec<Origin>,
}

impl Given {
    fn of(&self, column: &str) -> Option<String> {
        match column {
            "venue" => self.venue.clone(),
            "chain" => self.chain.map(|chain| chain.to_string()),
            "pool" => self.pool.map(|pool| format!("{pool:#x}")),
            _ => None,
        }
    }

    /// What is asked for must be given, and nothing else may be.
    pub(super) fn fits(&self, form: &str, asks: &[&str]) -> Result<(), Fault> {
        for column in GIVEN {
            match (self.of(column), asks.contains(&column)) {
                (Some(_), true) | (None, false) => {}
                (Some(_), false) => {
                    let what = format!("{form}: not asked for, leave --{column} out");
                    return Err(Fault::new(column, what));
                }
                (None, true) => {
                    let what = format!("{form} do not say it: give --{column}");
                    return Err(Fault::new(column, what));
                }
            }
        }
        Ok(())
    }
}

/// Finds out what a file is by its column names.
pub(super) fn plan(head: &[String], given: &Given) -> Result<Plan, Fault> {
    if let Some(sheet) = SHEETS.into_iter().find(|sheet| is_same(&names(sheet), head)) {
        let form = format!("{} of tidekeeper", sheet.name);
        given.fits(&form, &[])?;
        return Ok(Plan::new(form, sheet, head, &[], given));
    }
    if let Some(form) = FORMS.iter().find(|form| is_same(form.head, head)) {
        given.fits(form.name, form.asks)?;
        return Ok(Plan::new(form.name.to_owned(), form.sheet, head, form.renamed, given));
    }
    Err(strange(head))
}

/// The sheet whose columns these are, all of them.
pub(super) fn sheet_of(head: &[String]) -> Result<&'static Sheet, Fault> {
    let found = SHEETS.into_iter().find(|sheet| names(sheet) == head);
    found.ok_or_else(|| strange(head))
}

impl Plan {
    fn new(
        form: String,
        sheet: &'static Sheet,
        head: &[String],
        renamed: &[(&str, &str)],
        given: &Given,
    ) -> Self {
        let ours = |name: &str| {
            let found = renamed.iter().find(|(theirs, _)| *theirs == name);
            found.map_or_else(|| name.to_owned(), |(_, ours)| (*ours).to_owned())
        };
        let origin = |column: &sheet::Column| {
            if let Some(index) = head.iter().position(|name| ours(name) == column.name) {
                Origin::Field(index)
            } else if let Some(text) = given.of(column.name) {
                Origin::Given(text)
            } else if column.name == "seq" {
                Origin::Line
            } else {
                Origin::Unknown
            }
        };
        let origins = sheet.columns.iter().map(origin).collect();
        Self { form, sheet, n_fields: head.len(), origins }
    }

    /// The texts of a row of the sheet.
    pub(super) fn fields<'a>(
        &'a self,
        record: &'a [String],
        line: &'a str,
    ) -> Result<Vec<&'a str>, Fault> {
        let (have, want) = (record.len(), self.n_fields);
        if have != want {
            return Err(Fault::new("(all)", format!("{have} fields where {want} belong")));
        }
        let field = |origin: &'a Origin| match origin {
            Origin::Field(index) => record.get(*index).map_or("", String::as_str),
            Origin::Given(text) => text.as_str(),
            Origin::Line => line,
            Origin::Unknown => "",
        };
        Ok(self.origins.iter().map(field).collect())
    }
}

fn names(sheet: &Sheet) -> Vec<&'static str> {
    sheet.columns.iter().map(|column| column.name).collect()
}

/// The same names, in any order: as many, and none twice because all of `known` are there.
fn is_same(known: &[&str], head: &[String]) -> bool {
    known.len() == head.len() && known.iter().all(|name| head.iter().any(|have| have == name))
}

/// Names the column that keeps a file from being the form it is most like.
fn strange(head: &[String]) -> Fault {
    let ours = SHEETS.into_iter().map(|sheet| (sheet.name, names(sheet)));
    let theirs = FORMS.iter().map(|form| (form.name, form.head.to_vec()));
    let known: Vec<(&str, Vec<&str>)> = ours.chain(theirs).collect();
    let has = |name: &str| head.iter().any(|have| have == name);
    let alike = |columns: &[&str]| {
        let n_shared = columns.iter().filter(|name| has(name)).count();
        // Of two that share as many the shorter one is nearer.
        (n_shared, std::cmp::Reverse(columns.len()))
    };
    let nearest = known.iter().max_by_key(|(_, columns)| alike(columns));
    let Some((form, columns)) = nearest.filter(|(_, columns)| columns.iter().any(|name| has(name)))
    else {
        let forms: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let first = head.first().map(String::as_str).unwrap_or_default();
        let what = format!("no known table has it; known are {}", forms.join(", "));
        return Fault::new(sheet::shown(first), what);
    };
    let belongs = format!("{form} have the columns {}", columns.join(","));
    if let Some(name) = head.iter().find(|name| !columns.contains(&name.as_str())) {
        return Fault::new(sheet::shown(name), format!("unknown: {belongs}; rename or remove it"));
    }
    if let Some(name) = columns.iter().find(|name| !has(name)) {
        return Fault::new(*name, format!("missing: {belongs}"));
    }
    let twice = head.iter().enumerate().find(|(index, name)| head[..*index].contains(name));
    let twice = twice.map(|(_, name)| name.as_str()).unwrap_or_default();
    Fault::new(twice, format!("it stands there twice, or not in its place: {belongs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Vec<String> {
        text.trim_end().split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_strange_head_is_refused_by_its_column() {
        #[track_caller]
        fn check(text: &str, column: &str, what: &str) {
            let fault = plan(&head(text), &Given::default()).unwrap_err();
            assert_eq!(fault.column, column, "{fault}");
            assert!(fault.what.starts_with(what), "{fault}");
        }
        check("timestamp,symbol,open,high,low,close,volumen", "\"volumen\"", "unknown: candles");
        check("timestamp,exchange,symbol", "funding_rate", "missing: funding rates");
        check("timestamp,exchange,symbol,symbol,funding_rate", "symbol", "it stands there twice");
        check("a,b", "\"a\"", "no known table has it; known are books, ");
        // A candle without its venue, and a venue for a table that names its own.
        check("timestamp,symbol,open,high,low,close,volume", "venue", "candles do not say it");
        let given = Given { venue: Some("x".to_owned()), ..Given::default() };
        let fault = plan(&head("timestamp,exchange,symbol,funding_rate"), &given).unwrap_err();
        assert_eq!(fault.column, "venue", "{fault}");
    }

    #[test]
    fn columns_in_another_order_and_under_another_name_find_their_place() {
        let plan = plan(&head("symbol,exchange,funding_rate,timestamp"), &Given::default());
        let plan = plan.unwrap();
        let record = head("BTC-USDT,binance,-0.00012359,1577836800");
        let fields = plan.fields(&record, "2").unwrap();
        assert_eq!(fields, ["1577836800", "binance", "BTC-USDT", "-0.00012359", "2"]);
        assert!(plan.fields(&record[1..], "3").is_err());
        let ours = super::plan(&head(&sheet::BOOKS.head()), &Given::default()).unwrap();
        assert_eq!(ours.form, "books of tidekeeper");
    }
}
