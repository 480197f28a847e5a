//! What an answer to an order request proves.
//!
//! The whole point is the third verdict: a timeout, a 5xx, an unreadable body or one of the codes
//! that say "I do not know" leaves the order `Unknown`, and only a query or the user stream may
//! settle it. A refusal counts as definitive only for codes that prove the request had no effect.

use serde::{Deserialize, Serialize};

use crate::venues::binance::{
    facts::{Fill, OrderView, order_state},
    wire::{DecodeError, Fields, parse, rows},
};

/// Characters of the venue's text that are kept.
const TEXT_CHARS_MAX: usize = 200;

/// What became of an order request (place, cancel or query).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum OrderReply {
    /// The venue shows the order.
    Accepted(OrderView),
    /// The venue refused.
    Rejected {
        /// Its code.
        code: i64,
        /// Its text.
        text: String,
        /// Whether it proves that the request had no effect. When false (a duplicate client id, or
        /// a code we have no proof for) the order must be queried. For a cancel (-2011) and a
        /// query (-2013) it proves only that no such order is open or known to the venue now.
        definitive: bool,
    },
    /// Nothing is proven; the order may live.
    Unknown {
        /// For people.
        why: String,
    },
}

/// The venue's error body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueError {
    /// Negative code.
    pub code: i64,
    /// English text, shortened.
    pub text: String,
}

/// Judges the answer to a place, cancel or query request.
pub fn order_reply(status: u16, body: &[u8]) -> OrderReply {
    match status {
        200..=299 => match order(body) {
            Ok(view) => OrderReply::Accepted(view),
            Err(e) => OrderReply::Unknown { why: format!("http {status}, {e}") },
        },
        // 409 is a replacement that was half done; we never ask for one.
        400..=408 | 410..=499 => match venue_error(body) {
            Some(error) => refusal(error),
            None => OrderReply::Unknown { why: format!("http {status} without a code") },
        },
        _ => {
            let told = venue_error(body)
                .map(|error| format!(": {} {}", error.code, error.text))
                .unwrap_or_default();
            OrderReply::Unknown { why: format!("http {status}{told}") }
        }
    }
}

fn refusal(error: VenueError) -> OrderReply {
    match proof_of(&error) {
        Proof::Unknown => {
            OrderReply::Unknown { why: format!("code {}: {}", error.code, error.text) }
        }
        proof => OrderReply::Rejected {
            code: error.code,
            text: error.text,
            definitive: proof == Proof::NoEffect,
        },
    }
}

/// What an error code proves about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    NoEffect,
    /// Refused, but an order with this id may exist, or we do not know the code.
    MustQuery,
    /// The venue itself does not know.
    Unknown,
}

/// Source: error code pages of the spot and USD-M documentation.
fn proof_of(error: &VenueError) -> Proof {
    match error.code {
        // Unknown error, disconnected, unexpected response, timeout.
        -1000 | -1001 | -1006 | -1007 => Proof::Unknown,
        // Client order id used already: an earlier attempt of ours may have arrived.
        -4116 => Proof::MustQuery,
        -1010 | -2010 if error.text.to_ascii_lowercase().contains("duplicate") => Proof::MustQuery,
        // Not authorised, too many requests, busy, too many orders, clock, signature.
        -1002 | -1003 | -1008 | -1015 | -1021 | -1022 => Proof::NoEffect,
        // Filter failure, bad message, unsupported order combination.
        -1010 | -1013 | -1014 | -1020 => Proof::NoEffect,
        // The family of malformed parameters.
        -1199..=-1100 => Proof::NoEffect,
        // New order rejected, cancel rejected, no such order, keys.
        -2010 | -2011 | -2013 | -2014 | -2015 => Proof::NoEffect,
        // USD-M: margin, immediate trigger, reduce-only, position mode and size, liquidation mode.
        -2028..=-2018 => Proof::NoEffect,
        // USD-M: prices, quantities, notional and settings out of bounds.
        -4199..=-4000 => Proof::NoEffect,
        // USD-M: FOK, IOC and post-only orders that could not be entered.
        -5020 | -5021 | -5022 => Proof::NoEffect,
        _ => Proof::MustQuery,
    }
}

/// The `{code,msg}` body of a refusal, if it is one.
pub fn venue_error(body: &[u8]) -> Option<VenueError> {
    let value = parse("error", body).ok()?;
    let fields = Fields::of("error", &value).ok()?;
    let code = fields.i64("code").ok().filter(|code| *code < 0)?;
    let text = fields.optional_text("msg").unwrap_or_default();
    Some(VenueError { code, text: text.chars().take(TEXT_CHARS_MAX).collect() })
}

/// One order, as placing, cancelling and querying answer it.
///
/// # Errors
/// When a field the order cannot do without is absent or impossible.
pub fn order(body: &[u8]) -> Result<OrderView, DecodeError> {
    let value = parse(ORDER, body)?;
    read_order(Fields::of(ORDER, &value)?)
}

/// The answer to `open_orders`.
///
/// # Errors
/// When it is not a list of orders.
pub fn open_orders(body: &[u8]) -> Result<Vec<OrderView>, DecodeError> {
    rows(ORDER, &parse("open orders", body)?, read_order)
}

const ORDER: &str = "order";

fn read_order(row: Fields<'_>) -> Result<OrderView, DecodeError> {
    // A spot cancel has an id of its own in `clientOrderId`.
    let client_order_id = match row.optional_text("origClientOrderId") {
        Some(id) => id.to_owned(),
        None => row.owned("clientOrderId")?,
    };
    // Spot spells it with two m.
    let filled_quote = match row.optional_decimal("cummulativeQuoteQty")? {
        Some(quote) => Some(quote),
        None => row.optional_decimal("cumQuote")?,
    };
    let at = match row.optional_time("updateTime")? {
        Some(at) => Some(at),
        None => row.optional_time("transactTime")?,
    };
    let fills = match row.find("fills") {
        Some(_) => row.rows("fills", "fill", read_fill)?,
        None => Vec::new(),
    };
    Ok(OrderView {
        symbol: row.owned("symbol")?,
        client_order_id,
        venue_order_id: row.u64("orderId")?,
        side: row.side("side")?,
        state: order_state(&row, "status")?,
        price: row.decimal("price")?,
        quantity: row.decimal("origQty")?,
        filled: row.decimal("executedQty")?,
        filled_quote,
        at,
        fills,
    })
}

fn read_fill(row: Fields<'_>) -> Result<Fill, DecodeError> {
    Ok(Fill {
        trade_id: row.u64("tradeId")?,
        price: row.decimal("price")?,
        quantity: row.decimal("qty")?,
        fee: row.decimal("commission")?,
        fee_asset: row.optional_text("commissionAsset").map(str::to_owned),
        maker: None,
        realized_pnl: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};
    use rust_decimal::Decimal;
    use serde_json::Value;

    use super::*;
    use crate::{
        model::{order::Side, time::Timestamp},
        venues::binance::facts::OrderState,
    };

    const SPOT: &str = include_str!("../../../tests/data/binance/spot_replies.json");
    const USDM: &str = include_str!("../../../tests/data/binance/usdm_replies.json");

    fn sample(file: &str, name: &str) -> Vec<u8> {
        let all: Value = serde_json::from_str(file).unwrap();
        serde_json::to_vec(&all[name]).unwrap()
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn accepted(file: &str, name: &str) -> OrderView {
        match order_reply(200, &sample(file, name)) {
            OrderReply::Accepted(view) => view,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_full_spot_answer_carries_its_fills() {
        let view = accepted(SPOT, "new_order_full");
        assert_eq!((view.state, view.side), (OrderState::Filled, Side::Sell));
        assert_eq!((view.quantity, view.filled), (d("1.5"), d("1.5")));
        assert_eq!(view.filled_quote, Some(d("4020.98")));
        assert_eq!((view.client_order_id.as_str(), view.venue_order_id), ("tkspot1", 28));
        let quantities: Vec<Decimal> = view.fills.iter().map(|fill| fill.quantity).collect();
        assert_eq!(quantities, [d("1.0"), d("0.5")]);
        assert_eq!((view.fills[1].trade_id, view.fills[1].fee), (57, d("1.34032")));
        assert_eq!(view.fills[1].fee_asset.as_deref(), Some("USDT"));
    }

    #[test]
    fn a_spot_cancel_names_the_order_that_was_placed() {
        let view = accepted(SPOT, "cancel_order");
        assert_eq!((view.client_order_id.as_str(), view.state), ("tkspot2", OrderState::Canceled));
        assert_eq!(view.at, Some(Timestamp::from_ms(1_780_000_050_000)));
    }

    #[test]
    fn usdm_answers_decode_with_their_own_names() {
        let view = accepted(USDM, "order");
        assert_eq!((view.state, view.filled), (OrderState::PartiallyFilled, d("0.4")));
        assert_eq!((view.filled_quote, view.fills.len()), (Some(d("1072.4")), 0));
        assert_eq!(view.at, Some(Timestamp::from_ms(1_780_000_000_123)));
        assert_eq!(open_orders(&sample(USDM, "open_orders")).unwrap(), [view]);
        assert_eq!(open_orders(b"[]").unwrap(), []);
        assert_eq!(open_orders(&sample(SPOT, "open_orders")).unwrap()[0].filled, d("0.25"));
    }

    #[test]
    fn errors_prove_what_they_prove() {
        #[derive(Debug, PartialEq)]
        enum Verdict {
            Definitive,
            Query,
            Unknown,
        }
        use Verdict::{Definitive, Query, Unknown};
        let check = |status: u16, code: i64, text: &str, expected: Verdict| {
            let body = format!(r#"{{"code":{code},"msg":"{text}"}}"#);
            let verdict = match order_reply(status, body.as_bytes()) {
                OrderReply::Rejected { definitive: true, .. } => Definitive,
                OrderReply::Rejected { definitive: false, .. } => Query,
                OrderReply::Unknown { .. } => Unknown,
                OrderReply::Accepted(view) => panic!("{view:?}"),
            };
            assert_eq!(verdict, expected, "{status} {code} {text}");
        };
        check(400, -1013, "Filter failure: LOT_SIZE", Definitive);
        check(400, -2010, "Order would immediately match and take.", Definitive);
        check(400, -2010, "Duplicate order sent.", Query);
        check(400, -4116, "ClientOrderId is duplicated.", Query);
        check(400, -2011, "Unknown order sent.", Definitive);
        check(400, -2013, "Order does not exist.", Definitive);
        check(400, -2019, "Margin is insufficient.", Definitive);
        check(400, -2022, "ReduceOnly Order is rejected.", Definitive);
        check(400, -4164, "Order's notional must be no smaller than 20", Definitive);
        check(400, -4120, "Order type not supported for this endpoint.", Definitive);
        check(400, -5022, "Post Only order will be rejected.", Definitive);
        check(400, -1021, "Timestamp for this request is outside of the recvWindow.", Definitive);
        check(401, -2015, "Invalid API-key, IP, or permissions for action.", Definitive);
        check(429, -1003, "Too many requests.", Definitive);
        check(418, -1003, "Way too many requests; IP banned.", Definitive);
        check(400, -1006, "An unexpected response was received.", Unknown);
        check(400, -1007, "Timeout waiting for response from backend server.", Unknown);
        check(400, -1000, "An unknown error occurred.", Unknown);
        check(400, -9999, "A code of tomorrow.", Query);
        check(503, -1008, "Server is currently overloaded.", Unknown);
        check(500, -1013, "Filter failure: LOT_SIZE", Unknown);
        check(409, -2021, "Order cancel-replace partially failed.", Unknown);
        check(400, -1010, "Duplicate order sent.", Query);
        check(400, 7, "Positive codes are no errors.", Unknown);
        check(301, -1013, "A redirect is no answer.", Unknown);
    }

    #[test]
    fn unreadable_answers_leave_the_order_unknown() {
        for (status, body) in [
            (200, &b""[..]),
            (200, b"{"),
            (200, b"[]"),
            (200, br#"{"orderId":28}"#),
            (400, b"<html>"),
            (403, b""),
            (502, b"<html>Bad gateway</html>"),
            (0, b""),
        ] {
            let reply = order_reply(status, body);
            assert!(matches!(reply, OrderReply::Unknown { .. }), "{status} {reply:?}");
        }
    }

    #[test]
    fn every_required_field_is_missed_by_name() {
        let full: Value = serde_json::from_slice(&sample(USDM, "order")).unwrap();
        let required = [
            "symbol",
            "clientOrderId",
            "orderId",
            "side",
            "status",
            "price",
            "origQty",
            "executedQty",
        ];
        for field in required {
            let mut cut = full.clone();
            cut.as_object_mut().unwrap().remove(field);
            let error = order(&serde_json::to_vec(&cut).unwrap()).unwrap_err();
            assert_eq!(error, DecodeError::Missing { what: ORDER, field });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            status in any::<u16>(),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            order_reply(status, &body);
        }

        #[test]
        fn no_mutated_answer_panics(place in 0..600_usize, byte in any::<u8>()) {
            let mut body = sample(SPOT, "new_order_full");
            if let Some(at) = body.get_mut(place) {
                *at = byte;
            }
            order_reply(200, &body);
            order_reply(400, &body);
        }
    }
}
