//! Depth frames and snapshots, decoded. The hot path: borrowed text, one pass, exact decimals.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    market::book::{BookUpdate, Level},
    model::time::Timestamp,
    venues::binance::{Dialect, wire::DecodeError},
};

/// One `depthUpdate`.
#[derive(Debug)]
pub(super) struct Depth {
    pub(super) symbol: String,
    /// `U`: first update id in it.
    pub(super) first: u64,
    /// `u`: last update id in it.
    pub(super) last: u64,
    /// `pu`: last update id of the diff before it; USD-M only.
    pub(super) previous: Option<u64>,
    bids: Vec<Level>,
    asks: Vec<Level>,
    venue_time: Timestamp,
}

impl Depth {
    pub(super) fn into_update(self) -> BookUpdate {
        BookUpdate::Diff {
            bids: self.bids,
            asks: self.asks,
            update_id: self.last,
            venue_time: self.venue_time,
        }
    }
}

/// A REST snapshot.
#[derive(Debug)]
pub(super) struct DepthSnapshot {
    /// `lastUpdateId`.
    pub(super) last: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
    venue_time: Option<Timestamp>,
}

impl DepthSnapshot {
    pub(super) fn into_update(self) -> BookUpdate {
        BookUpdate::Snapshot {
            bids: self.bids,
            asks: self.asks,
            update_id: self.last,
            venue_time: self.venue_time,
        }
    }
}

/// What a frame on a market socket is.
#[derive(Debug)]
pub(super) enum Frame {
    Depth(Depth),
    /// The venue will close this connection.
    Shutdown,
    /// The venue refused a subscription.
    Refused(String),
    /// Another stream's event, or the answer to a subscription.
    Other,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "e")]
    event: Option<&'a str>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireDepth<'a> {
    s: &'a str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
    #[serde(rename = "U")]
    first: u64,
    #[serde(rename = "u")]
    last: u64,
    pu: Option<u64>,
    #[serde(borrow)]
    b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    a: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct WireSnapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last: u64,
    #[serde(rename = "T")]
    transaction_ms: Option<i64>,
    #[serde(borrow)]
    bids: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    asks: Vec<(&'a str, &'a str)>,
}

/// Longest part of a refusal that is repeated.
const REFUSAL_CHARS_MAX: usize = 200;

const DEPTH: &str = "depth event";

/// Decodes one frame, raw or wrapped as `{"stream","data"}`.
pub(super) fn frame(dialect: Dialect, bytes: &[u8]) -> Result<Frame, DecodeError> {
    let outer: Envelope<'_> = read("market frame", bytes)?;
    if let Some(error) = outer.error {
        return Ok(Frame::Refused(error.get().chars().take(REFUSAL_CHARS_MAX).collect()));
    }
    let (body, event) = match outer.data {
        Some(data) => {
            let body = data.get().as_bytes();
            // Some wrapped data are lists (all-market streams): other people's frames.
            if body.first() != Some(&b'{') {
                return Ok(Frame::Other);
            }
            (body, read::<Envelope<'_>>("market event", body)?.event)
        }
        None => (bytes, outer.event),
    };
    match event {
        Some("depthUpdate") => depth(dialect, body).map(Frame::Depth),
        Some("serverShutdown") => Ok(Frame::Shutdown),
        Some(_) | None => Ok(Frame::Other),
    }
}

fn depth(dialect: Dialect, bytes: &[u8]) -> Result<Depth, DecodeError> {
    let wire: WireDepth<'_> = read(DEPTH, bytes)?;
    if wire.first > wire.last {
        let found = format!("U {} after u {}", wire.first, wire.last);
        return Err(DecodeError::Invalid { what: DEPTH, field: "U", found });
    }
    if dialect == Dialect::UsdM && wire.pu.is_none() {
        return Err(DecodeError::Missing { what: DEPTH, field: "pu" });
    }
    Ok(Depth {
        symbol: wire.s.to_owned(),
        first: wire.first,
        last: wire.last,
        previous: wire.pu,
        bids: levels(DEPTH, "b", &wire.b)?,
        asks: levels(DEPTH, "a", &wire.a)?,
        venue_time: Timestamp::from_ms(wire.transaction_ms.unwrap_or(wire.event_ms)),
    })
}

/// Decodes the answer to `GET depth`.
pub(super) fn snapshot(bytes: &[u8]) -> Result<DepthSnapshot, DecodeError> {
    const SNAPSHOT: &str = "depth snapshot";
    let wire: WireSnapshot<'_> = read(SNAPSHOT, bytes)?;
    Ok(DepthSnapshot {
        last: wire.last,
        bids: levels(SNAPSHOT, "bids", &wire.bids)?,
        asks: levels(SNAPSHOT, "asks", &wire.asks)?,
        venue_time: wire.transaction_ms.map(Timestamp::from_ms),
    })
}

fn read<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|e| DecodeError::Shape { what, why: e.to_string() })
}

fn levels(
    what: &'static str,
    field: &'static str,
    rows: &[(&str, &str)],
) -> Result<Vec<Level>, DecodeError> {
    let level = |(price, quantity): &(&str, &str)| {
        let read = Decimal::from_str_exact(price).ok().zip(Decimal::from_str_exact(quantity).ok());
        match read {
            Some((p, q)) if p > Decimal::ZERO && q >= Decimal::ZERO => {
                Ok(Level { price: p, quantity: q })
            }
            Some(_) | None => {
                let found = quantity.chars().chain(" at ".chars()).chain(price.chars());
                let found = found.take(REFUSAL_CHARS_MAX).collect();
                Err(DecodeError::Invalid { what, field, found })
            }
        }
    };
    rows.iter().map(level).collect()
}
