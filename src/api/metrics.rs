//! What Prometheus reads: the published document and the loop's figures as text (exposition format
//! 0.0.4).
//!
//! [`METRICS`] is the one list of what exists. Knows field names of the document, nothing of the
//! engine. Invariant: what is unknown there (null, or not a number) is absent here, never 0; series
//! are bounded; no label names an order, a transaction or a position. Rates are left to the reader.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Shared, openapi};

/// Series of one metric; more are counted and left out.
const SERIES_MAX: usize = 256;
/// Characters of a label's value; it may come from a stranger's contract.
const LABEL_CHARS_MAX: usize = 128;
/// The format that [`render`] writes.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One metric: its name says its unit, and where in the document it is read.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, with prefix and unit.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// What one of its numbers counts.
    pub unit: Unit,
    /// What it tells, in one sentence.
    pub help: &'static str,
    rows: Rows,
    figure: Figure,
}

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, until its source begins anew.
    Counter,
    /// Up and down.
    Gauge,
}

/// What a number counts; base units only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, or seconds since 1970 where the name says timestamp.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share of a whole: 1 is all of it.
    Ratio,
    /// The keeper's unit of value; `tidekeeper_keeper_info` names it.
    Numeraire,
    /// Whole native coins.
    Coins,
    /// Whole units of the asset in the label.
    Asset,
    /// Things, or a height.
    Count,
    /// 1 for yes, 0 for no.
    Truth,
}

impl Unit {
    /// What a name ends in before `_total`; `None` where the name says what is counted.
    pub fn ending(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("_seconds"),
            Self::Bytes => Some("_bytes"),
            Self::Ratio => Some("_ratio"),
            Self::Numeraire => Some("_numeraire"),
            Self::Coins => Some("_coins"),
            Self::Asset | Self::Count | Self::Truth => None,
        }
    }
}

type Pair = (&'static str, &'static str);
type Pairs = &'static [Pair];

/// Where a metric's rows are: a list, or an object that is the only row.
#[derive(Clone, Copy, Debug)]
struct Rows {
    source: Source,
    /// JSON pointer.
    at: &'static str,
    /// Label, and the field of the row that is its value.
    labels: Pairs,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Document,
    Figures,
}

/// How a row becomes numbers; names are fields of the row.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// A number or a decimal string, as it is.
    Number(&'static str),
    /// Milliseconds, told in seconds.
    Milliseconds(&'static str),
    /// Hours, told in seconds.
    Hours(&'static str),
    /// A unix time in milliseconds, told as seconds before the document was made.
    Since(&'static str),
    /// The first as a share of the second.
    Ratio(&'static str, &'static str),
    /// A word, told as whether it is this one.
    Is(&'static str, &'static str),
    /// A truth.
    Flag(&'static str),
    /// A label and its values; 1 where the field has that word.
    OneHot(&'static str, &'static str, &'static [&'static str]),
    /// A label, and the fields that are its values.
    Each(&'static str, &'static [&'static str]),
    /// Quantiles and their fields in nanoseconds, told in seconds; 0 is none yet.
    Quantiles(Pairs),
    /// Rows of a list whose field has a word.
    Rows(&'static str, &'static str, &'static str),
    /// Comparisons that differ; unknown until every place was compared.
    Differences,
    /// 1: the labels are what is told.
    One,
    /// Series left out of this text.
    Dropped,
}

use Figure::{
    Differences, Dropped, Each, Flag, Hours, Is, Milliseconds, Number, One, OneHot, Quantiles,
    Ratio, Since,
};

const fn document(at: &'static str, labels: Pairs) -> Rows {
    Rows { source: Source::Document, at, labels }
}

const fn figures(at: &'static str) -> Rows {
    Rows { source: Source::Figures, at, labels: &[] }
}

const KEEPER: Rows = document("", &[]);
const STATE: Rows = document("/state", &[]);
const CHAINS: Rows = document("/chains", &[("chain_id", "chain_id"), ("chain", "name")]);
const FUEL: Rows = document("/fuel", &[("chain_id", "chain_id")]);
const VENUES: Rows = document("/venues", &[("venue", "venue")]);
const PNL: Rows = document("/pnl", &[]);
const PNL_PARTS: Rows = document("/pnl/parts", &[("part", "name")]);
const PLACES: Rows = document("/exposures", &[("scope", "scope"), ("name", "name")]);
const ASSETS: Rows = document("/exposure", &[("asset", "asset")]);
const HEDGE: Rows = document("/hedge", &[("venue", "venue"), ("market", "market")]);
const LIMITS: Rows = document("/limits", &[("limit", "name")]);
const CYCLES: Rows = document("/arbitrage", &[]);
const STRATEGIES: Rows = document("/strategies", &[("strategy", "id"), ("kind", "kind")]);
const LEDGER: Rows = document("/ledger", &[]);
const RECONCILIATION: Rows = document("/reconciliation", &[]);
const STORE: Rows = document("/store", &[]);
const LOOP: Rows = figures("");

const fn metric(kind: Kind, name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind, unit, help, rows: KEEPER, figure: One }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    metric(Kind::Gauge, name, unit, help)
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Counter, name, Unit::Count, help)
}

/// Everything there is to read.
pub const METRICS: &[Metric] = &[
    gauge("tidekeeper_build_info", Unit::Truth, "Always 1; the version of the program.")
        .of(document("", &[("version", "version")]), One),
    gauge("tidekeeper_keeper_info", Unit::Truth, "Always 1; name and unit of value.")
        .of(document("", &[("keeper", "keeper"), ("numeraire", "numeraire")]), One),
    gauge("tidekeeper_mode", Unit::Truth, "1 for the configured mode.")
        .of(KEEPER, OneHot("mode", "mode", &["observe", "paper", "live", "demo"])),
    gauge("tidekeeper_state", Unit::Truth, "1 for how far the keeper may act now.").of(
        STATE,
        OneHot("state", "kind", &["recovering", "running", "paused", "reduce_only", "halted"]),
    ),
    gauge("tidekeeper_state_age_seconds", Unit::Seconds, "Time since the state began.")
        .of(STATE, Since("since_ms")),
    gauge("tidekeeper_document_timestamp_seconds", Unit::Seconds, "When the loop last published.")
        .of(KEEPER, Milliseconds("at_ms")),
    gauge("tidekeeper_start_timestamp_seconds", Unit::Seconds, "When the process started.")
        .of(KEEPER, Milliseconds("started_ms")),
    gauge("tidekeeper_quiet", Unit::Truth, "1 while nothing of ours is in flight.")
        .of(KEEPER, Flag("is_quiet")),
    gauge("tidekeeper_chain_head_block", Unit::Count, "Number of the newest block handled.")
        .of(CHAINS, Number("head")),
    gauge("tidekeeper_chain_head_age_seconds", Unit::Seconds, "Time since it was handled.")
        .of(CHAINS, Milliseconds("head_age_ms")),
    gauge("tidekeeper_chain_stale_after_seconds", Unit::Seconds, "Age that counts as stale.")
        .of(CHAINS, Milliseconds("stale_after_ms")),
    gauge("tidekeeper_chain_feed_up", Unit::Truth, "1 while the chain's feed is live.")
        .of(CHAINS, Is("feed", "live")),
    counter("tidekeeper_chain_blocks_total", "Blocks handled in this run.")
        .of(CHAINS, Number("blocks")),
    counter("tidekeeper_chain_pool_events_total", "Pool logs applied in this run.")
        .of(CHAINS, Number("pool_events")),
    gauge("tidekeeper_chain_pools_live", Unit::Count, "Pools in use.")
        .of(CHAINS, Number("pools_live")),
    gauge("tidekeeper_chain_pools_quarantined", Unit::Count, "Pools not to be trusted.")
        .of(CHAINS, Number("pools_quarantined")),
    counter("tidekeeper_chain_cycles_landed_total", "Cycles that paid, life of the store.")
        .of(CHAINS, Number("cycles_landed")),
    gauge("tidekeeper_fuel_balance_coins", Unit::Coins, "Native coin, by the ledger.")
        .of(FUEL, Number("native")),
    gauge("tidekeeper_fuel_minimum_coins", Unit::Coins, "Below it only risk is lowered.")
        .of(FUEL, Number("minimum")),
    gauge("tidekeeper_fuel_exit_reserve_coins", Unit::Coins, "What only exits may use.")
        .of(FUEL, Number("exit_reserve")),
    gauge("tidekeeper_fuel_runway_seconds", Unit::Seconds, "How long the fuel lasts as it burns.")
        .of(FUEL, Hours("runway_h")),
    gauge("tidekeeper_venue_feed_up", Unit::Truth, "1 while all books of the venue are live.")
        .of(VENUES, Is("feed", "live")),
    gauge("tidekeeper_venue_user_stream_up", Unit::Truth, "1 while the account's stream is live.")
        .of(VENUES, Is("user_stream", "live")),
    gauge("tidekeeper_venue_book_age_seconds", Unit::Seconds, "Age of the venue's oldest book.")
        .of(VENUES, Milliseconds("age_ms")),
    counter("tidekeeper_venue_book_resyncs_total", "Books begun anew in this run.")
        .of(VENUES, Number("resyncs")),
    gauge("tidekeeper_pnl_numeraire", Unit::Numeraire, "Profit since the ledger began.")
        .of(PNL, Number("total")),
    gauge("tidekeeper_pnl_part_numeraire", Unit::Numeraire, "Profit by part; they sum to all.")
        .of(PNL_PARTS, Number("value")),
    gauge("tidekeeper_exposure_numeraire", Unit::Numeraire, "Value by asset, venue and chain.")
        .of(PLACES, Number("value")),
    gauge("tidekeeper_net_delta_numeraire", Unit::Numeraire, "Value of the base asset, signed.")
        .of(PLACES, Number("net_delta")),
    gauge("tidekeeper_asset_amount", Unit::Asset, "Base asset by where it is, and their sum.")
        .of(ASSETS, Each("part", &["positions", "wallet", "hedge", "net"])),
    gauge("tidekeeper_hedge_contracts", Unit::Asset, "Contracts wanted and held.")
        .of(HEDGE, Each("which", &["target", "have"])),
    gauge("tidekeeper_hedge_unhedged_numeraire", Unit::Numeraire, "Gap between the two.")
        .of(HEDGE, Number("unhedged_value")),
    gauge("tidekeeper_limit_used_numeraire", Unit::Numeraire, "How much of a limit is used.")
        .of(LIMITS, Number("used")),
    gauge("tidekeeper_limit_numeraire", Unit::Numeraire, "The limit.").of(LIMITS, Number("limit")),
    gauge("tidekeeper_limit_used_ratio", Unit::Ratio, "Used share of the limit.")
        .of(LIMITS, Ratio("used", "limit")),
    counter("tidekeeper_opportunities_total", "Opportunities by fate; those sent count as found.")
        .of(CYCLES, Each("fate", &["found", "sent", "landed", "lost", "reverted"])),
    gauge("tidekeeper_arbitrage_expected_numeraire", Unit::Numeraire, "Expected of those sent.")
        .of(CYCLES, Number("expected_net")),
    gauge("tidekeeper_arbitrage_realised_numeraire", Unit::Numeraire, "Realised, after gas.")
        .of(CYCLES, Number("realised_net")),
    gauge("tidekeeper_strategy_sends", Unit::Truth, "0 when the strategy only observes.")
        .of(STRATEGIES, Flag("sends")),
    gauge("tidekeeper_strategy_paused", Unit::Truth, "1 while the operator paused it.")
        .of(STRATEGIES, Flag("is_paused")),
    gauge("tidekeeper_strategy_budget_numeraire", Unit::Numeraire, "Money of the strategy.")
        .of(STRATEGIES, Number("budget")),
    gauge("tidekeeper_strategy_used_numeraire", Unit::Numeraire, "Of that, at work now.")
        .of(STRATEGIES, Number("used")),
    gauge("tidekeeper_strategy_decision_age_seconds", Unit::Seconds, "Time since it decided.")
        .of(STRATEGIES, Since("decided_ms")),
    gauge("tidekeeper_positions_open", Unit::Count, "Open positions.")
        .of(KEEPER, Figure::Rows("positions", "state", "open")),
    counter("tidekeeper_orders_sent_total", "Orders sent, life of the store.")
        .of(KEEPER, Number("orders_sent")),
    counter("tidekeeper_orders_filled_total", "Of these, with at least one fill.")
        .of(KEEPER, Number("orders_filled")),
    counter("tidekeeper_rebalances_total", "Ranges closed to be moved, life of the store.")
        .of(KEEPER, Number("rebalances")),
    counter("tidekeeper_ledger_entries_total", "Entries ever booked.")
        .of(LEDGER, Number("entries")),
    counter("tidekeeper_ledger_postings_total", "Postings ever booked.")
        .of(LEDGER, Number("postings")),
    gauge("tidekeeper_reconciliation_ok", Unit::Truth, "1 while ledger and world agree.")
        .of(RECONCILIATION, Flag("ok")),
    gauge("tidekeeper_reconciliation_age_seconds", Unit::Seconds, "Age of the oldest comparison.")
        .of(RECONCILIATION, Since("checked_ms")),
    gauge("tidekeeper_reconciliation_differences", Unit::Count, "Comparisons that differ.")
        .of(RECONCILIATION, Differences),
    gauge("tidekeeper_store_up", Unit::Truth, "1 while the database answers.")
        .of(STORE, Is("state", "live")),
    gauge("tidekeeper_store_commit_p99_seconds", Unit::Seconds, "99th percentile of a commit.")
        .of(STORE, Milliseconds("commit_ms_p99")),
    counter("tidekeeper_engine_events_total", "Facts handled in this run.")
        .of(LOOP, Number("events")),
    gauge("tidekeeper_engine_event_seconds", Unit::Seconds, "Time that one fact took.")
        .of(figures("/engine_ns"), Quantiles(&[("0.5", "p50"), ("0.99", "p99")])),
    gauge("tidekeeper_resident_memory_bytes", Unit::Bytes, "Memory of the keeper's process.")
        .of(LOOP, Number("rss_bytes")),
    gauge("tidekeeper_startup_seconds", Unit::Seconds, "From process start to running.")
        .of(LOOP, Milliseconds("startup_ms")),
    gauge("tidekeeper_metrics_dropped_series", Unit::Count, "Series left out of this text.")
        .of(KEEPER, Dropped),
];

/// What Prometheus reads; before the first document, what is known already.
#[utoipa::path(
    get, path = "/metrics", tag = openapi::KEEPER, operation_id = "metrics",
    responses((status = 200, description = "Format 0.0.4.", body = String,
        content_type = CONTENT_TYPE))
)]
pub(super) async fn scrape(State(shared): State<Shared>) -> Response {
    let document = shared.door.document.borrow().clone();
    let figures = (shared.door.figures)(&shared.door);
    let text = render(document.as_deref().unwrap_or(&Value::Null), &figures);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// The text of every metric that is known; `figures` are those of the loop.
pub fn render(document: &Value, figures: &Value) -> String {
    let mut text = String::new();
    let mut n_dropped = 0;
    for metric in METRICS {
        let samples = match metric.figure {
            // It stands last in the list: what it counts has been written.
            Dropped => vec![(String::new(), count(n_dropped))],
            _ => metric.samples(document, figures, &mut n_dropped),
        };
        if samples.is_empty() {
            continue;
        }
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let Metric { name, help, .. } = metric;
        write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes all");
        for (labels, value) in samples {
            writeln!(text, "{name}{labels} {value}").expect("a string takes all");
        }
    }
    text
}

impl Metric {
    const fn of(self, rows: Rows, figure: Figure) -> Self {
        Self { rows, figure, ..self }
    }

    /// Labels as written, and values.
    fn samples(
        &self,
        document: &Value,
        figures: &Value,
        n_dropped: &mut usize,
    ) -> Vec<(String, f64)> {
        let source = match self.rows.source {
            Source::Document => document,
            Source::Figures => figures,
        };
        let now_ms = number(&document["at_ms"]);
        let mut seen = BTreeSet::new();
        let mut samples = Vec::new();
        for row in rows(source, self.rows.at) {
            for (own, value) in self.figure.read(row, now_ms) {
                let is_told = value.is_finite() && (self.kind == Kind::Gauge || value >= 0.0);
                if !is_told {
                    continue;
                }
                let labels = labels(self.rows.labels, row, own);
                // The same series twice would make Prometheus refuse the whole text.
                if samples.len() < SERIES_MAX && seen.insert(labels.clone()) {
                    samples.push((labels, value));
                } else {
                    *n_dropped += 1;
                }
            }
        }
        samples
    }
}

fn rows<'a>(source: &'a Value, at: &str) -> &'a [Value] {
    match source.pointer(at) {
        Some(Value::Array(rows)) => rows,
        Some(Value::Null) | None => &[],
        Some(row) => std::slice::from_ref(row),
    }
}

/// A label of the figure itself, and the number it belongs to.
type Told = (Option<Pair>, f64);

impl Figure {
    fn read(self, row: &Value, now_ms: Option<f64>) -> Vec<Told> {
        let alone = |value: Option<f64>| -> Vec<Told> {
            value.map(|value| (None, value)).into_iter().collect()
        };
        match self {
            Number(field) => alone(number(&row[field])),
            Milliseconds(field) => alone(number(&row[field]).map(|ms| ms / 1e3)),
            Hours(field) => alone(number(&row[field]).map(|hours| hours * 3_600.0)),
            Since(field) => {
                let then = number(&row[field]);
                alone(now_ms.zip(then).map(|(now, then)| (now - then) / 1e3))
            }
            Ratio(part, whole) => {
                let whole = number(&row[whole]).filter(|whole| *whole > 0.0);
                alone(number(&row[part]).zip(whole).map(|(part, whole)| part / whole))
            }
            Is(field, word) => alone(row[field].as_str().map(|seen| truth(seen == word))),
            Flag(field) => alone(row[field].as_bool().map(truth)),
            OneHot(label, field, words) => {
                let seen = row[field].as_str();
                let told =
                    |word: &&'static str| Some((Some((label, *word)), truth(seen? == *word)));
                words.iter().filter_map(told).collect()
            }
            Each(label, fields) => {
                let told =
                    |field: &&'static str| Some((Some((label, *field)), number(&row[*field])?));
                fields.iter().filter_map(told).collect()
            }
            Quantiles(fields) => {
                let told = |&(quantile, field): &Pair| {
                    let ns = number(&row[field]).filter(|ns| *ns > 0.0)?;
                    Some((Some(("quantile", quantile)), ns / 1e9))
                };
                fields.iter().filter_map(told).collect()
            }
            Self::Rows(list, field, word) => {
                let rows = row[list].as_array();
                let fits = |rows: &Vec<Value>| rows.iter().filter(|r| r[field] == word).count();
                alone(rows.map(fits).map(count))
            }
            Differences => {
                let rows = row["ok"].as_bool().and(row["rows"].as_array());
                let differ =
                    |rows: &Vec<Value>| rows.iter().filter(|r| r["difference"] != "0").count();
                alone(rows.map(differ).map(count))
            }
            One => alone(row.is_object().then_some(1.0)),
            Dropped => Vec::new(),
        }
    }
}

/// A JSON number or a decimal string; everything else is unknown.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Rows of a document are far below 2^32.
fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}

/// `{a="b",c="d"}`, or nothing when there is no label.
fn labels(fields: Pairs, row: &Value, own: Option<Pair>) -> String {
    let mut text = String::new();
    let mut put = |label: &str, value: &str| {
        let before = if text.is_empty() { '{' } else { ',' };
        write!(text, "{before}{label}=\"{}\"", escaped(value)).expect("a string takes all");
    };
    for &(label, field) in fields {
        match &row[field] {
            Value::String(value) => put(label, value),
            Value::Number(value) => put(label, &value.to_string()),
            _ => put(label, ""),
        }
    }
    if let Some((label, value)) = own {
        put(label, value);
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// A label's value as the format wants it: short, one line, quotes and backslashes escaped.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars().take(LABEL_CHARS_MAX) {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ if letter.is_control() => text.push(char::REPLACEMENT_CHARACTER),
            _ => text.push(letter),
        }
    }
    text
}
