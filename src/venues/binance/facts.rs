//! Facts that answers and events share: an order's state, a fill, a position.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    model::{order::Side, time::Timestamp},
    venues::binance::wire::{DecodeError, Fields},
};

/// The venue's word for where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Accepted, nothing filled.
    New,
    /// Accepted, waiting for another order of its list.
    PendingNew,
    /// Some of it filled, the rest is working.
    PartiallyFilled,
    /// All of it filled.
    Filled,
    /// A cancel was accepted and is not done.
    PendingCancel,
    /// Cancelled by us or by the venue's operator; it may be partly filled.
    Canceled,
    /// Refused after it had an id.
    Rejected,
    /// Ended by its own rules; it may be partly filled.
    Expired,
    /// Ended by self-trade prevention; it may be partly filled.
    ExpiredInMatch,
}

impl OrderState {
    /// Whether nothing can happen to the order any more.
    pub fn is_done(self) -> bool {
        match self {
            Self::New | Self::PendingNew | Self::PartiallyFilled | Self::PendingCancel => false,
            Self::Filled
            | Self::Canceled
            | Self::Rejected
            | Self::Expired
            | Self::ExpiredInMatch => true,
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            // The last two are the venue's own liquidation and deleveraging orders.
            "NEW" | "NEW_INSURANCE" | "NEW_ADL" => Self::New,
            "PENDING_NEW" => Self::PendingNew,
            "PARTIALLY_FILLED" => Self::PartiallyFilled,
            "FILLED" => Self::Filled,
            "PENDING_CANCEL" => Self::PendingCancel,
            "CANCELED" => Self::Canceled,
            "REJECTED" => Self::Rejected,
            "EXPIRED" => Self::Expired,
            "EXPIRED_IN_MATCH" => Self::ExpiredInMatch,
            _ => return None,
        })
    }
}

/// One execution of one of our orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The venue's trade id, unique within a market.
    pub trade_id: u64,
    /// Quote per base.
    pub price: Decimal,
    /// Base.
    pub quantity: Decimal,
    /// What we paid in `fee_asset`; negative when we were paid.
    pub fee: Decimal,
    /// Asset of the fee; absent when there is none.
    pub fee_asset: Option<String>,
    /// Whether we were the resting side; absent where the answer does not say.
    pub maker: Option<bool>,
    /// Profit booked by it, in the margin asset (USD-M only).
    pub realized_pnl: Option<Decimal>,
}

/// Which of a market's positions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionSide {
    /// The one position of one-way mode.
    Both,
    /// The long one of hedge mode.
    Long,
    /// The short one of hedge mode.
    Short,
}

/// A perpetual position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The venue's symbol.
    pub symbol: String,
    /// Which position.
    pub side: PositionSide,
    /// Base, signed: negative is short.
    pub quantity: Decimal,
    /// Average entry, quote per base, where the venue says it.
    pub entry_price: Option<Decimal>,
}

impl Position {
    /// Reads a position whose fields are named so.
    pub(super) fn read(row: Fields<'_>, names: &PositionNames) -> Result<Self, DecodeError> {
        let side = match row.text(names.side)? {
            "BOTH" => PositionSide::Both,
            "LONG" => PositionSide::Long,
            "SHORT" => PositionSide::Short,
            _ => return Err(row.invalid(names.side)),
        };
        Ok(Self {
            symbol: row.owned(names.symbol)?,
            side,
            quantity: row.decimal(names.quantity)?,
            entry_price: row.optional_decimal(names.entry_price)?,
        })
    }
}

/// What a position's fields are called, which differs between REST and stream.
pub(super) struct PositionNames {
    pub(super) symbol: &'static str,
    pub(super) side: &'static str,
    pub(super) quantity: &'static str,
    pub(super) entry_price: &'static str,
}

/// An order's state word in `field`.
pub(super) fn order_state(
    row: &Fields<'_>,
    field: &'static str,
) -> Result<OrderState, DecodeError> {
    OrderState::from_word(row.text(field)?).ok_or_else(|| row.invalid(field))
}

/// Our whole order as a REST answer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// The venue's symbol.
    pub symbol: String,
    /// Our id; for a spot cancel the id the order was placed with.
    pub client_order_id: String,
    /// The venue's id, unique within a market.
    pub venue_order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// Where it stands.
    pub state: OrderState,
    /// Limit price; zero for a market order.
    pub price: Decimal,
    /// Base asked for.
    pub quantity: Decimal,
    /// Base filled so far.
    pub filled: Decimal,
    /// Quote filled so far, where the answer says it.
    pub filled_quote: Option<Decimal>,
    /// When the venue last changed it, where the answer says so.
    pub at: Option<Timestamp>,
    /// Executions told in this answer (spot, at placing); not necessarily all there are.
    pub fills: Vec<Fill>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_state_word_is_known_and_ended_ones_are_done() {
        let check = |word: &str, is_done: Option<bool>| {
            assert_eq!(OrderState::from_word(word).map(OrderState::is_done), is_done, "{word}");
        };
        for word in ["NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL", "NEW_ADL"] {
            check(word, Some(false));
        }
        for word in ["FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"] {
            check(word, Some(true));
        }
        check("SOMETHING", None);
        let row = json!({ "X": "SOMETHING" });
        let error = order_state(&Fields::of("order", &row).unwrap(), "X").unwrap_err();
        assert_eq!(error.to_string(), "order has an impossible X: \"SOMETHING\"");
    }
}
