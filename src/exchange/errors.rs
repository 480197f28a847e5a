//! The venues' refusals: HTTP status, code and text as their documentation prints them.

use serde_json::{Value, json};

use crate::sim::fixed::FixedError;
use crate::sim::order::Refusal;

/// One refusal on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Binance's code.
    pub code: i32,
    /// Binance's text.
    pub message: String,
}

/// Which venue speaks: the same mistake has different codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// Spot.
    Spot,
    /// USD-M futures.
    Usdm,
}

impl ApiError {
    /// A refusal with status 400.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    /// A refusal with another status.
    pub fn with_status(status: u16, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The JSON body.
    pub fn body(&self) -> Value {
        json!({"code": self.code, "msg": self.message})
    }

    /// A parameter that must be there is not.
    pub fn missing(name: &str) -> Self {
        let text =
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
        Self::new(-1102, text)
    }

    /// A parameter with characters it may not have.
    pub fn illegal(name: &str, range: &str) -> Self {
        let text =
            format!("Illegal characters found in parameter '{name}'; legal range is '{range}'.");
        Self::new(-1100, text)
    }

    /// A number that cannot be read.
    pub fn number(venue: Venue, name: &str, error: FixedError) -> Self {
        match (error, venue) {
            (FixedError::TooPrecise, Venue::Spot) => {
                Self::new(-1111, format!("Parameter '{name}' has too much precision."))
            }
            (FixedError::TooPrecise, Venue::Usdm) => Self::precision(),
            _ => Self::illegal(name, "^([0-9]{1,20})(\\.[0-9]{1,20})?$"),
        }
    }

    /// Futures' words for too many decimals.
    pub fn precision() -> Self {
        Self::new(-1111, "Precision is over the maximum defined for this asset.")
    }

    /// What the matching engine refused, in the venue's words.
    pub fn refused(venue: Venue, refusal: Refusal) -> Self {
        match venue {
            Venue::Spot => Self::refused_spot(refusal),
            Venue::Usdm => Self::refused_usdm(refusal),
        }
    }

    fn refused_spot(refusal: Refusal) -> Self {
        let (code, text) = match refusal {
            Refusal::Price => (-1013, "Filter failure: PRICE_FILTER"),
            Refusal::QuantityStep | Refusal::QuantityMin | Refusal::QuantityMax => {
                (-1013, "Filter failure: LOT_SIZE")
            }
            Refusal::Notional => (-1013, "Filter failure: NOTIONAL"),
            Refusal::TooManyOpen => (-1013, "Filter failure: MAX_NUM_ORDERS"),
            Refusal::Duplicate => (-2010, "Duplicate order sent."),
            Refusal::WouldTake => (-2010, "Order would immediately match and take."),
            Refusal::Funds => (-2010, "Account has insufficient balance for requested action."),
            Refusal::NothingToReduce => (-1106, "Parameter 'reduceOnly' sent when not required."),
            Refusal::UnknownOpen => (-2011, "Unknown order sent."),
            Refusal::NoSuchOrder => (-2013, "Order does not exist."),
            Refusal::Full => return Self::busy(),
        };
        Self::new(code, text)
    }

    fn refused_usdm(refusal: Refusal) -> Self {
        let (code, text) = match refusal {
            Refusal::Price => (-4014, "Price not increased by tick size."),
            Refusal::QuantityStep => return Self::precision(),
            Refusal::QuantityMin => (-4003, "Quantity less than or equal to zero."),
            Refusal::QuantityMax => (-4005, "Quantity greater than max quantity."),
            Refusal::Notional => (
                -4164,
                "Order's notional must be no smaller than 20 (unless you choose reduce only).",
            ),
            Refusal::TooManyOpen => (-2025, "Reach max open order limit."),
            Refusal::Duplicate => (-4116, "ClientOrderId is duplicated."),
            Refusal::WouldTake => (
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be \
                 rejected. The order will not be recorded in the order history",
            ),
            Refusal::Funds => (-2019, "Margin is insufficient."),
            Refusal::NothingToReduce => (-2022, "ReduceOnly Order is rejected."),
            Refusal::UnknownOpen => (-2011, "Unknown order sent."),
            Refusal::NoSuchOrder => (-2013, "Order does not exist."),
            Refusal::Full => return Self::busy(),
        };
        Self::new(code, text)
    }

    fn busy() -> Self {
        let text = "Server is currently overloaded with other requests. Please try again in a few \
                    minutes.";
        Self::with_status(503, -1008, text)
    }
}
