//! One order on a venue, from commit to outcome.
//!
//! ```text
//! Sending ──ack──▶ Live ──fill──▶ Partial ──▶ Done(filled | cancelled | expired)
//!    │  └──refused──▶ Done(rejected)
//!    └──doubt──▶ Unknown ──found──▶ that state
//!                        └──not found, after its deadline, often enough──▶ Done(not placed)
//! ```
//! `Unknown` is left only by proof: the venue shows the order, or it is past the instant after
//! which the venue must refuse it and repeated queries do not find it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::order::TimeInForce;
use crate::model::time::Timestamp;
use crate::model::venue::{NewOrder, OrderReply, OrderReport, Reported};

/// Queries that must miss before an order counts as never placed.
pub const NOT_FOUND_MIN: u32 = 3;
/// Time after the order's deadline before a miss proves anything: clock skew and venue lag.
pub const NOT_FOUND_GRACE_MS: i64 = 1_500;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum OrderState {
    /// Committed; the request is on its way.
    Sending,
    /// Resting.
    Live,
    /// Resting, partly filled.
    Partial,
    /// A cancel is on its way.
    CancelSent,
    /// Nobody knows. A hedge in doubt blocks its market, a quote its side; exposure counts neither.
    Unknown { since: Timestamp, misses: u32 },
    /// Over.
    Done { outcome: Outcome },
}

/// How an order ended; never unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of it traded.
    Filled,
    /// Ended by our cancel.
    Cancelled,
    /// Ended by the venue; an IOC remainder ends so.
    Expired,
    /// Refused.
    Rejected,
    /// Proven never to have reached the venue.
    NotPlaced,
}

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// An answer to a request about it.
    Reply(OrderReply),
    /// The venue was asked at this instant and did not know it.
    Missed { asked: Timestamp },
    /// The user stream spoke of it.
    Report(OrderReport),
    /// We asked to cancel it.
    CancelSent,
    /// The process started and found it in flight.
    Restarted,
}

/// An order and all we know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The request as committed.
    pub request: NewOrder,
    /// Where it stands.
    pub state: OrderState,
    /// Base filled, by the venue's word.
    pub filled: Decimal,
    /// When it was planned.
    pub created: Timestamp,
    /// The venue's refusal or our doubt, in words.
    pub why: String,
}

impl Order {
    /// A freshly committed order.
    pub fn new(request: NewOrder, created: Timestamp, why: String) -> Self {
        Self { request, state: OrderState::Sending, filled: Decimal::ZERO, created, why }
    }

    /// True until an outcome is proven.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, OrderState::Done { .. })
    }

    /// True for an order made to rest, which the venue has acknowledged: it moves nothing until it
    /// trades.
    pub fn is_resting(&self) -> bool {
        self.request.time_in_force == TimeInForce::PostOnly
            && matches!(self.state, OrderState::Live | OrderState::Partial)
    }

    /// The one transition function; answers whether anything changed.
    pub fn apply(&mut self, event: &OrderEvent, at: Timestamp) -> bool {
        let before = (self.state, self.filled);
        match event {
            OrderEvent::Report(report) | OrderEvent::Reply(OrderReply::Known(report)) => {
                self.reported(report);
            }
            OrderEvent::Reply(OrderReply::Refused { code, text }) => self.refused(*code, text),
            OrderEvent::Missed { asked } => self.missed(*asked, at),
            OrderEvent::Reply(OrderReply::Unknown { why }) => self.doubted(at, why),
            OrderEvent::Restarted => self.doubted(at, "the process restarted while it was open"),
            OrderEvent::CancelSent => {
                if matches!(self.state, OrderState::Live | OrderState::Partial) {
                    self.state = OrderState::CancelSent;
                }
            }
        }
        before != (self.state, self.filled)
    }

    fn reported(&mut self, report: &OrderReport) {
        // Stream and replies may cross: what is filled never shrinks, what is over stays over.
        self.filled = self.filled.max(report.filled);
        if !self.is_open() {
            return;
        }
        self.state = match report.state {
            Reported::New if self.state == OrderState::CancelSent => OrderState::CancelSent,
            Reported::New => OrderState::Live,
            Reported::Partial if self.state == OrderState::CancelSent => OrderState::CancelSent,
            Reported::Partial => OrderState::Partial,
            Reported::Filled => OrderState::Done { outcome: Outcome::Filled },
            Reported::Cancelled => OrderState::Done { outcome: Outcome::Cancelled },
            Reported::Expired => OrderState::Done { outcome: Outcome::Expired },
            Reported::Rejected => OrderState::Done { outcome: Outcome::Rejected },
        };
    }

    fn refused(&mut self, code: i64, text: &str) {
        // A refusal speaks about the request just made: it ends an order only if none was accepted.
        if self.state == OrderState::Sending {
            self.why = format!("refused by the venue: {code} {text}");
            self.state = OrderState::Done { outcome: Outcome::Rejected };
        }
    }

    fn doubted(&mut self, at: Timestamp, why: &str) {
        if self.is_open() && !matches!(self.state, OrderState::Unknown { .. }) {
            why.clone_into(&mut self.why);
            self.state = OrderState::Unknown { since: at, misses: 0 };
        }
    }

    /// A miss proves something only if the question itself was put after the deadline.
    fn missed(&mut self, asked: Timestamp, at: Timestamp) {
        let is_past = asked > self.request.valid_until.plus_ms(NOT_FOUND_GRACE_MS);
        match self.state {
            OrderState::Unknown { misses, .. } if is_past && misses + 1 >= NOT_FOUND_MIN => {
                self.state = OrderState::Done { outcome: Outcome::NotPlaced };
            }
            OrderState::Unknown { since, misses } if is_past => {
                self.state = OrderState::Unknown { since, misses: misses + 1 };
            }
            OrderState::Done { .. } | OrderState::Unknown { .. } => {}
            _ => self.doubted(at, "the venue does not find it"),
        }
    }

    /// The word stored and shown.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            OrderState::Sending => "sending",
            OrderState::Live => "live",
            OrderState::Partial => "partial",
            OrderState::CancelSent => "cancel_sent",
            OrderState::Unknown { .. } => "unknown",
            OrderState::Done { outcome: Outcome::Filled } => "filled",
            OrderState::Done { outcome: Outcome::Cancelled } => "cancelled",
            OrderState::Done { outcome: Outcome::Expired } => "expired",
            OrderState::Done { outcome: Outcome::Rejected } => "rejected",
            OrderState::Done { outcome: Outcome::NotPlaced } => "not_placed",
        }
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;
    use crate::model::order::{Side, TimeInForce};

    fn order(state: OrderState) -> Order {
        let request = NewOrder {
            venue: "hedge".into(),
            symbol: "ETHUSDT".into(),
            client_order_id: "tk1".into(),
            side: Side::Sell,
            price: dec!(2600),
            quantity: dec!(1),
            time_in_force: TimeInForce::Ioc,
            reduce_only: false,
            valid_until: Timestamp::from_ms(5_000),
        };
        Order { state, ..Order::new(request, Timestamp(0), String::new()) }
    }

    fn report(state: Reported) -> OrderEvent {
        let client_order_id = "tk1".to_owned();
        let venue_order_id = 7;
        let filled = dec!(0.4);
        OrderEvent::Report(OrderReport { client_order_id, venue_order_id, state, filled })
    }

    fn after(state: OrderState, event: &OrderEvent, at_ms: i64) -> &'static str {
        let mut order = order(state);
        order.apply(event, Timestamp::from_ms(at_ms));
        order.state_name()
    }

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let unknown = OrderState::Unknown { since: Timestamp(0), misses: 2 };
        let done = OrderState::Done { outcome: Outcome::Filled };
        let states = [
            OrderState::Sending,
            OrderState::Live,
            OrderState::Partial,
            OrderState::CancelSent,
            unknown,
            done,
        ];
        let refused = OrderReply::Refused { code: -2019, text: "margin".into() };
        let doubt = OrderReply::Unknown { why: "timeout".into() };
        let events = [
            (report(Reported::New), ["live", "live", "live", "cancel_sent", "live", "filled"]),
            (
                report(Reported::Partial),
                ["partial", "partial", "partial", "cancel_sent", "partial", "filled"],
            ),
            (report(Reported::Filled), ["filled"; 6]),
            (
                report(Reported::Cancelled),
                ["cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "filled"],
            ),
            (
                report(Reported::Expired),
                ["expired", "expired", "expired", "expired", "expired", "filled"],
            ),
            (
                report(Reported::Rejected),
                ["rejected", "rejected", "rejected", "rejected", "rejected", "filled"],
            ),
            (
                OrderEvent::Reply(refused),
                ["rejected", "live", "partial", "cancel_sent", "unknown", "filled"],
            ),
            (
                OrderEvent::Reply(doubt),
                ["unknown", "unknown", "unknown", "unknown", "unknown", "filled"],
            ),
            (
                OrderEvent::Missed { asked: Timestamp::from_ms(1_000) },
                ["unknown", "unknown", "unknown", "unknown", "unknown", "filled"],
            ),
            (
                OrderEvent::CancelSent,
                ["sending", "cancel_sent", "cancel_sent", "cancel_sent", "unknown", "filled"],
            ),
            (
                OrderEvent::Restarted,
                ["unknown", "unknown", "unknown", "unknown", "unknown", "filled"],
            ),
        ];
        for (event, want) in events {
            for (state, want) in states.into_iter().zip(want) {
                assert_eq!(after(state, &event, 1_000), want, "{state:?} + {event:?}");
            }
        }
    }

    #[test]
    fn not_placed_needs_the_deadline_and_enough_misses() {
        let mut order = order(OrderState::Unknown { since: Timestamp(0), misses: 0 });
        let early = OrderEvent::Missed { asked: Timestamp::from_ms(6_000) };
        for _ in 0..10 {
            order.apply(&early, Timestamp::from_ms(9_000));
        }
        assert_eq!(order.state_name(), "unknown", "a question put too early proves nothing");
        let late = OrderEvent::Missed { asked: Timestamp::from_ms(6_501) };
        for _ in 1..NOT_FOUND_MIN {
            order.apply(&late, Timestamp::from_ms(9_000));
        }
        assert_eq!(order.state_name(), "unknown");
        order.apply(&late, Timestamp::from_ms(9_000));
        assert_eq!(order.state_name(), "not_placed");
    }

    #[test]
    fn a_late_fill_is_kept_even_when_over() {
        let mut order = order(OrderState::Done { outcome: Outcome::Expired });
        assert!(order.apply(&report(Reported::Partial), Timestamp(9)));
        assert_eq!(order.filled, dec!(0.4));
        assert_eq!(order.state_name(), "expired");
    }
}
